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
	VAULT_SEAL = 5,       /* struct vault_seal_request -> vault_blob_reply */
	VAULT_PUT = 6,        /* struct vault_put_request -> vault_reply */
	VAULT_REMOVE = 7,     /* struct vault_bind_request: `name` -> vault_bind_reply */
	VAULT_BIND = 8,       /* struct vault_bind_request -> vault_bind_reply */
	VAULT_UNBIND = 9, /* struct vault_bind_request: all of `env`, or of every environment when it is "" -> vault_bind_reply */
};

/* What may be known of a credential. */
#define CREDENTIAL_MAGIC "assaycr1"
struct credential_public {
	char magic[8];
	char name[CREDENTIAL_NAME_MAX];
	int64_t set_ms;
	struct credential_use use;
};

#define CREDENTIAL_NONCE_BYTES 12
#define CREDENTIAL_TAG_BYTES 16
#define CREDENTIAL_SEALED_BYTES (4 + CREDENTIAL_VALUE_MAX)

/* As it is on the disk. */
struct credential_blob {
	struct credential_public about;
	unsigned char nonce[CREDENTIAL_NONCE_BYTES];
	unsigned char tag[CREDENTIAL_TAG_BYTES];
	unsigned char sealed[CREDENTIAL_SEALED_BYTES]; /* u32 length, the value, zeros */
};

struct vault_seal_request {
	struct message_header header;
	struct credential_public about;
	uint32_t value_bytes;
	unsigned char value[CREDENTIAL_VALUE_MAX];
};

struct vault_put_request {
	struct message_header header;
	struct credential_blob blob;
};

struct vault_blob_reply {
	struct message_header header;
	int32_t errno_value;
	struct credential_blob blob;
};

struct vault_bind_request {
	struct message_header header;
	char env[VAULT_ENV_MAX];
	char name[CREDENTIAL_NAME_MAX];
};

struct vault_bind_reply {
	struct message_header header;
	int32_t errno_value;
	uint32_t placeholder_bytes;
	struct credential_public about;
	char placeholder[CREDENTIAL_VALUE_MAX];
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

/* The credentials: sealed under the secret in <state>/vault/credentials.secret, in memory only until then. All but load return an errno
 * value. */
struct vault_credentials;

MUST_USE int vault_credentials_load(const char *state_dir, struct vault_credentials **credentials, struct err *err);
void vault_credentials_free(struct vault_credentials *credentials);
MUST_USE int vault_credential_seal(struct vault_credentials *credentials, const struct credential_public *about, struct view value,
				   struct credential_blob *blob);
/* Takes it in; one of the same name is replaced. EBADMSG: it was changed, or sealed by another vault. */
MUST_USE int vault_credential_put(struct vault_credentials *credentials, const struct credential_blob *blob);
MUST_USE int vault_credential_remove(struct vault_credentials *credentials, const char *name);
/* From now on it is released for the environment, whose placeholder for it is appended. */
MUST_USE int vault_credential_bind(struct vault_credentials *credentials, const char *env, const char *name,
				   struct credential_public *about, struct buf *placeholder);
void vault_credential_unbind(struct vault_credentials *credentials, const char *env);
/* Borrowed. EACCES: the rules do not allow it; ENOENT: it is not bound. */
MUST_USE int vault_credential_release(struct vault_credentials *credentials, const struct vault_release_request *request,
				      struct view *value);

/* By what it is recognised. ENOENT: it is not bound. */
MUST_USE int vault_credential_fingerprint(struct vault_credentials *credentials, const struct vault_fingerprint_request *request,
					  struct fingerprint *print);

/* `length` random bytes of a file that is made once, 0600 and on the disk, and only ever readable to its owner. */
MUST_USE int vault_secret_load(const char *dir, const char *name, unsigned char *bytes, size_t length, struct err *err);

/* Gives away everything the process does not need any more: user, capabilities, system calls. */
MUST_USE int vault_confine(struct err *err);

#endif
