/*
 * vault: the process that holds the keys and nothing else. It makes an Ed25519 key on its first start (<state>/vault/key.pem, 0600, owned
 * by its own user where it may), and signs what the control plane sends it; and it is the certificate authority of every environment
 * (ca.secret beside it), which mints what the gateway asks for over a link of their own (net/vault.h). Fixed structs, no parser, no
 * network.
 */
#ifndef ASSAY_VAULT_VAULT_H
#define ASSAY_VAULT_VAULT_H

#include "base/buf.h"
#include "net/credential.h"

/* `assay vault --state DIR --link-fd N`: returns the exit code. */
int vault_main(int argc, char **argv);

/* The control plane's side. */
struct vault;

/* Starts the process (/proc/self/exe vault) and waits until it answers. */
MUST_USE int vault_open(const char *state_dir, struct vault **vault, struct err *err);
void vault_close(struct vault *vault);
/* Any thread; restarts the process when it has died. At most 16 MiB. `key_id` is the SHA-256 of the public key's DER, in hex. */
MUST_USE int vault_sign(struct vault *vault, struct view bytes, unsigned char signature[64], char key_id[65], struct err *err);
MUST_USE int vault_public_key(struct vault *vault, struct buf *pem, struct err *err);
/* A fresh link for the gateway, owned by the caller; the one before it ends. It ends too when the process dies: then ask for another. */
MUST_USE int vault_gateway_link(struct vault *vault, int *fd, struct err *err);
/* The certificate that the sandboxes of an environment trust, PEM, appended, and the hash of its name by which OpenSSL finds it in a folder. */
MUST_USE int vault_authority(struct vault *vault, const char *env, struct buf *pem, char hash[9], struct err *err);

/* Credentials, kept sealed in <state>/vault/credentials. Any thread. A value is released to the gateway alone, for one request that the
 * credential's rules allow, of an environment that it is bound to. A credential of the same name is replaced. */
MUST_USE int vault_secret_set(struct vault *vault, const char *name, const struct credential_use *use, struct view value,
			      struct err *err);
/* ERR_NOT_FOUND when there is none. It is dead at once, for whoever it was bound to. */
MUST_USE int vault_secret_remove(struct vault *vault, const char *name, struct err *err);
void vault_secret_each(struct vault *vault,
		       void (*each)(void *self, const char *name, const struct credential_use *use, int64_t set_ms), void *self);
/* Gives what the environment's sandboxes see in its place, appended: always the same for the two names. ERR_NOT_FOUND: no such credential.
 */
MUST_USE int vault_secret_bind(struct vault *vault, const char *env, const char *name, struct credential_use *use,
			       struct buf *placeholder, struct err *err);
/* None of them is released for it any more; "": for no environment. */
MUST_USE int vault_secret_unbind(struct vault *vault, const char *env, struct err *err);

#endif
