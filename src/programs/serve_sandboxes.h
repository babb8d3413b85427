/* serve_sandboxes: who makes the sandboxes of `assay serve`: this machine's keeper, or a cluster. */
#ifndef ASSAY_PROGRAMS_SERVE_SANDBOXES_H
#define ASSAY_PROGRAMS_SERVE_SANDBOXES_H

#include "sandbox/provider.h"
#include "vault/vault.h"

struct kube_site; /* sandbox/kubernetes/space.h */
struct serve_sandboxes;

struct serve_sandboxes_options {
	const char *provider; /* "local" (or NULL) or "kubernetes", which the settings kubernetes-… of the configuration are for */
	const char *state_dir;
	const char *oci;     /* for `local`: an OCI runtime, or NULL */
	struct vault *vault; /* its key names this installation at a cluster, unless: */
	const char *owner;
};

/* ERR_INVALID: a setting is wrong, or there is no such provider. */
MUST_USE int serve_sandboxes_open(const struct serve_sandboxes_options *options, struct serve_sandboxes **sandboxes,
				  struct err *err);
/* For checks: where it is at a cluster, of several the first; NULL: it is on this machine. */
const struct kube_site *serve_sandboxes_site(const struct serve_sandboxes *sandboxes);
/* Are the settings right? Nobody is asked. */
MUST_USE int serve_sandboxes_check(const char *provider, struct err *err);
struct provider serve_sandboxes_provider(const struct serve_sandboxes *sandboxes);
const char *serve_sandboxes_name(const char *provider); /* of what is looked at: "keeper" or "cluster" */
/* Would a sandbox be made now? */
MUST_USE int serve_sandboxes_look(const struct serve_sandboxes *sandboxes, struct err *err);
json_t *serve_sandboxes_doctor(const struct serve_sandboxes *sandboxes); /* web_options.doctor */
void serve_sandboxes_close(struct serve_sandboxes *sandboxes);           /* NULL is fine */

#endif
