/*
 * vault: what the gateway asks of the vault over a SOCK_SEQPACKET pair of their own: net/messages.h's header, then a fixed struct; no
 * descriptors. A reply has the request's name and id. Whatever does not fit ends the connection.
 *
 * Each environment has a certificate authority of its own, whose key never leaves the vault, and one key for all its leaf certificates,
 * which the gateway holds. Both follow from the vault's secret and the environment's id, so they are the same after any restart.
 */
#ifndef ASSAY_NET_VAULT_H
#define ASSAY_NET_VAULT_H

#include "net/credential.h"
#include "net/fingerprint.h"
#include "net/messages.h"
#include "net/sigv4.h"

#define VAULT_ENV_MAX 64   /* an environment's id, with its NUL */
#define VAULT_HOST_MAX 254 /* a host name, canonical, with its NUL */
#define VAULT_LEAF_MAX 2048
#define VAULT_CA_MAX 1024
#define VAULT_KEY_MAX 256
#define VAULT_ASKED_MAX 32 /* by the gateway, at once */

enum vault_gateway_ask {
	VAULT_IDENTITY = 32,    /* struct vault_identity_request */
	VAULT_MINT = 33,        /* struct vault_mint_request */
	VAULT_RELEASE = 34,     /* struct vault_release_request */
	VAULT_FINGERPRINT = 35, /* struct vault_fingerprint_request */
	VAULT_CHANGED = 36,     /* struct vault_changed, from the vault, unasked for */
};

struct vault_identity_request {
	struct message_header header;
	char env[VAULT_ENV_MAX];
};

struct vault_identity_reply {
	struct message_header header;
	int32_t errno_value; /* 0, or why not */
	uint32_t key_bytes;
	uint32_t ca_bytes;
	unsigned char key[VAULT_KEY_MAX]; /* of the leaves: a private key's DER */
	unsigned char ca[VAULT_CA_MAX];   /* the authority's certificate, DER */
};

struct vault_mint_request {
	struct message_header header;
	char env[VAULT_ENV_MAX];
	char host[VAULT_HOST_MAX];
};

struct vault_mint_reply {
	struct message_header header;
	int32_t errno_value; /* 0, or why not */
	uint32_t leaf_bytes;
	unsigned char leaf[VAULT_LEAF_MAX]; /* a certificate for the host, DER: 90 days, from a day ago on */
};

/* One credential for one request, in canonical form, that the policy has allowed. The vault judges it again by the rules that it keeps. */
#define VAULT_METHOD_MAX 32
#define VAULT_PATH_MAX 2048
struct vault_release_request {
	struct message_header header;
	uint16_t scheme; /* enum credential_scheme */
	uint16_t port;
	char env[VAULT_ENV_MAX];
	char name[CREDENTIAL_NAME_MAX];
	char host[VAULT_HOST_MAX];
	char method[VAULT_METHOD_MAX];
	char path[VAULT_PATH_MAX];   /* without the query; a longer one is never allowed */
	char scope[SIGV4_SCOPE_MAX]; /* of one that signs: for what; "" otherwise */
};

struct vault_release_reply {
	struct message_header header;
	int32_t errno_value; /* 0; EACCES: its rules do not allow this request, ENOENT: not bound to this environment (any more) */
	uint32_t value_bytes;
	unsigned char value[CREDENTIAL_VALUE_MAX]; /* of one that signs: the key for the scope, which is good for nothing else */
};

/* Of a credential that is bound to the environment, so that its value is recognised in what leaves. */
struct vault_fingerprint_request {
	struct message_header header;
	char env[VAULT_ENV_MAX];
	char name[CREDENTIAL_NAME_MAX];
};

struct vault_fingerprint_reply {
	struct message_header header;
	int32_t errno_value; /* 0; ENOENT: not bound to this environment (any more) */
	uint32_t unused;
	struct fingerprint print;
};

/* A credential was set or removed: fingerprints are to be asked for again. */
struct vault_changed {
	struct message_header header;
	char name[CREDENTIAL_NAME_MAX];
};

#endif
