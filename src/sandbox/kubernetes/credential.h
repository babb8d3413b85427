/*
 * credential: with what the API server knows us at the moment. Tokens are rotated beneath us: a token's file is read again after a minute,
 * whatever the token says of its end; a plugin is asked again when what it gave has expired, or was refused. Any thread; a plugin blocks.
 */
#ifndef ASSAY_SANDBOX_KUBERNETES_CREDENTIAL_H
#define ASSAY_SANDBOX_KUBERNETES_CREDENTIAL_H

#include "base/world.h"
#include "sandbox/kubernetes/config.h"

#define KUBE_TOKEN_FRESH_MS 60000
#define KUBE_PLUGIN_MS 60000

struct kube_credential {
	char *token;             /* NULL: none */
	char *certificate, *key; /* PEM; NULL: none */
	uint64_t serial;         /* another one each time they changed */
};

struct kube_identity;

/* Borrows `config`. */
struct kube_identity *kube_identity_new(const struct kube_config *config, struct world world);
void kube_identity_free(struct kube_identity *identity); /* NULL is allowed */
/* ERR_DENIED: the plugin or the file gives none, and a person must see to it. */
MUST_USE int kube_identity_get(struct kube_identity *identity, struct kube_credential *credential, struct err *err);
/* The one of that serial was refused (401). False: there is nothing else to try. */
bool kube_identity_refused(struct kube_identity *identity, uint64_t serial);
void kube_credential_fini(struct kube_credential *credential); /* wipes */
#define AUTO_CREDENTIAL __attribute__((cleanup(kube_credential_fini))) struct kube_credential

/* What a plugin printed. *expires_ms is 0 when it does not say. Owned by the caller; wants the version it was asked in. */
MUST_USE int kube_credential_parse(struct view printed, const char *version, struct kube_credential *credential,
				   int64_t *expires_ms, struct err *err);

#endif
