/*
 * What client and process say to each other over a SOCK_SEQPACKET pair: net/messages.h's header, then a fixed struct. The bytes to sign
 * come as a sealed memfd, so that they cannot change under the process. Whatever does not fit ends the connection: the control plane's,
 * and with it the process, or the gateway's alone (net/vault.h).
 */
#ifndef ASSAY_VAULT_VAULT_PRIV_H
#define ASSAY_VAULT_VAULT_PRIV_H

#include "net/messages.h"
#include "net/vault.h"
#include "vault/vault.h"

#define VAULT_BYTES_MAX ((size_t)16 << 20)
#define VAULT_PEM_MAX 256
#define VAULT_SIGNATURE_BYTES 64
#define VAULT_KEY_ID_MAX 65

enum vault_ask {
	VAULT_SIGN = 1,       /* with one descriptor: a memfd sealed against writing, shrinking and growing, of exactly `bytes` */
	VAULT_PUBLIC_KEY = 2, /* without */
	VAULT_GATEWAY = 3,    /* with one descriptor: the gateway's link from now on */
	VAULT_AUTHORITY = 4,  /* without: the certificate of `env`'s authority */
};

struct vault_request {
	struct message_header header; /* name is enum vault_ask */
	uint64_t bytes;
	char env[VAULT_ENV_MAX];
};

struct vault_reply {
	struct message_header header;
	int32_t errno_value; /* 0, or why not */
	uint32_t pem_bytes;
	uint32_t ca_bytes;
	unsigned char signature[VAULT_SIGNATURE_BYTES];
	char key_id[VAULT_KEY_ID_MAX];
	char pem[VAULT_PEM_MAX];
	unsigned char ca[VAULT_CA_MAX]; /* DER */
};

/* An Ed25519 key of <state>/vault/key.pem: made, 0600 and on the disk, when there is none. */
struct vault_key;

MUST_USE int vault_key_load(const char *state_dir, struct vault_key **key, struct err *err);
void vault_key_free(struct vault_key *key);
const char *vault_key_id(const struct vault_key *key);
const char *vault_key_pem(const struct vault_key *key); /* of the public half */
MUST_USE int vault_key_sign(const struct vault_key *key, struct view bytes, unsigned char signature[VAULT_SIGNATURE_BYTES],
			    struct err *err);

/* The certificate authorities: one an environment, all of them from the secret in <state>/vault/ca.secret, which is made like the key. */
struct vault_ca;

MUST_USE int vault_ca_load(const char *state_dir, struct vault_ca **ca, struct err *err);
void vault_ca_free(struct vault_ca *ca);
/* DER, appended; `env` is an id, `host` a canonical name: anything else is ERR_INVALID. `now` is in seconds since 1970. */
MUST_USE int vault_ca_certificate(struct vault_ca *ca, const char *env, int64_t now, struct buf *der, struct err *err);
MUST_USE int vault_ca_leaf_key(struct vault_ca *ca, const char *env, struct buf *der, struct err *err);
MUST_USE int vault_ca_mint(struct vault_ca *ca, const char *env, const char *host, int64_t now, struct buf *der, struct err *err);

/* `length` random bytes of a file that is made once, 0600 and on the disk, and only ever readable to its owner. */
MUST_USE int vault_secret_load(const char *dir, const char *name, unsigned char *bytes, size_t length, struct err *err);

/* Gives away everything the process does not need any more: user, capabilities, system calls. */
MUST_USE int vault_confine(struct err *err);

#endif
