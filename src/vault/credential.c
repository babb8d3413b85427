/*
 * Credentials.
 *
 * Theory of operation: on the disk a credential is a blob: what it is for, in clear, and its value, sealed by AES-256-GCM under a key of
 * the vault with the clear part authenticated. The control plane keeps the blobs and gives them back after a start; it sees a value once,
 * when a person sets it. Here values lie in memory that is locked and in no dump. A credential is released for an environment only while
 * it is bound to it; a placeholder is an HMAC over both names, so that it is the same after any restart and says nothing about the value.
 */
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/scope.h"
#include "vault/vault_priv.h"

#define SECRET_FILE "credentials.secret"
#define SECRET_BYTES 32
#define CREDENTIALS_MAX 256
#define BINDINGS_MAX 4096
#define LABEL_SEAL "assay credential seal 1"
#define LABEL_PLACEHOLDER "assay credential placeholder 1"
#define LABEL_FINGERPRINT "assay credential fingerprint 1"
#define PLACEHOLDER_RANDOM 22 /* letters of base 62 at least: 131 bits */

struct credential {
	struct credential_public about; /* name "": free */
	uint32_t value_bytes;
	unsigned char value[CREDENTIAL_VALUE_MAX];
};

struct binding {
	char env[VAULT_ENV_MAX]; /* "": free */
	char name[CREDENTIAL_NAME_MAX];
};

struct vault_credentials {
	unsigned char seal_key[SECRET_BYTES];
	unsigned char placeholder_key[SECRET_BYTES];
	unsigned char fingerprint_key[SECRET_BYTES];
	struct credential credentials[CREDENTIALS_MAX];
	struct binding bindings[BINDINGS_MAX];
	unsigned char signing_key[SIGV4_KEY_BYTES]; /* that was released last */
};

/* Beginnings that say whose key it is and nothing of the key: programs look at them before they use one. */
static const char *const public_beginnings[] = {
	"sk-ant-api03-", "sk-ant-oat01-", "sk-ant-", "sk-proj-", "sk-or-v1-", "sk-",  "github_pat_", "ghp_", "gho_",
	"ghs_",          "glpat-",        "npm_",    "pypi-",    "xoxb-",     "AIza", "hf_",         "gsk_", "xai-",
};

static void derive(const unsigned char *secret, const char *label, unsigned char *key)
{
	unsigned length = SECRET_BYTES;

	if (!HMAC(EVP_sha256(), secret, SECRET_BYTES, (const unsigned char *)label, strlen(label), key, &length))
		abort();
}

int vault_credentials_load(const char *state_dir, struct vault_credentials **credentials, struct err *err)
{
	AUTO_FREE char *dir = text_format("%s/vault", state_dir);
	struct vault_credentials *made;
	unsigned char secret[SECRET_BYTES];

	if (vault_secret_load(dir, SECRET_FILE, secret, sizeof(secret), err))
		return -1;
	made = mmap(NULL, sizeof(*made), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (made == MAP_FAILED)
		return err_errno(err, errno, "cannot make memory for credentials");
	(void)madvise(made, sizeof(*made), MADV_DONTDUMP);
	(void)madvise(made, sizeof(*made), MADV_WIPEONFORK);
	(void)mlock(made, sizeof(*made)); /* vault_confine() says it when memory cannot be locked */
	derive(secret, LABEL_SEAL, made->seal_key);
	derive(secret, LABEL_PLACEHOLDER, made->placeholder_key);
	derive(secret, LABEL_FINGERPRINT, made->fingerprint_key);
	OPENSSL_cleanse(secret, sizeof(secret));
	*credentials = made;
	return 0;
}

void vault_credentials_free(struct vault_credentials *credentials)
{
	if (!credentials)
		return;
	OPENSSL_cleanse(credentials, sizeof(*credentials));
	(void)munmap(credentials, sizeof(*credentials));
}

/* Whatever the sender did: every text ends, and what is for nothing is refused. */
static bool about_good(const struct credential_public *about)
{
	const struct credential_use *use = &about->use;

	if (memcmp(about->magic, CREDENTIAL_MAGIC, sizeof(about->magic)) != 0 || !memchr(about->name, '\0', sizeof(about->name)) ||
	    !credential_name_valid(view_of(about->name)) || !memchr(use->slot, '\0', sizeof(use->slot)) ||
	    credential_use_check(use, NULL))
		return false;
	for (size_t i = 0; i < use->rule_count; i++)
		if (!memchr(use->rules[i].method, '\0', sizeof(use->rules[i].method)) ||
		    !memchr(use->rules[i].host, '\0', sizeof(use->rules[i].host)) ||
		    !memchr(use->rules[i].path, '\0', sizeof(use->rules[i].path)))
			return false;
	return true;
}

/* ---- sealing ---- */

static bool cipher_run(const struct vault_credentials *credentials, bool seal, struct credential_blob *blob, unsigned char *plain)
{
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	int length = 0;
	bool done;

	done = context && EVP_CipherInit_ex(context, EVP_aes_256_gcm(), NULL, credentials->seal_key, blob->nonce, seal) == 1 &&
	       EVP_CipherUpdate(context, NULL, &length, (const unsigned char *)&blob->about, sizeof(blob->about)) == 1;
	if (done && seal)
		done = EVP_CipherUpdate(context, blob->sealed, &length, plain, CREDENTIAL_SEALED_BYTES) == 1 &&
		       EVP_CipherFinal_ex(context, blob->sealed + length, &length) == 1 &&
		       EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, CREDENTIAL_TAG_BYTES, blob->tag) == 1;
	else if (done)
		done = EVP_CipherUpdate(context, plain, &length, blob->sealed, CREDENTIAL_SEALED_BYTES) == 1 &&
		       EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, CREDENTIAL_TAG_BYTES, blob->tag) == 1 &&
		       EVP_CipherFinal_ex(context, plain + length, &length) == 1;
	EVP_CIPHER_CTX_free(context);
	return done;
}

int vault_credential_seal(struct vault_credentials *credentials, const struct credential_public *about, struct view value,
			  struct credential_blob *blob)
{
	unsigned char plain[CREDENTIAL_SEALED_BYTES] = {0};
	uint32_t bytes = (uint32_t)value.length;
	bool done;

	*blob = (struct credential_blob){.about = *about};
	if (!about_good(about) || credential_value_check(&about->use, value, NULL))
		return EINVAL;
	memcpy(plain, &bytes, sizeof(bytes));
	memcpy(plain + sizeof(bytes), value.at, value.length);
	done = RAND_bytes(blob->nonce, sizeof(blob->nonce)) == 1 && cipher_run(credentials, true, blob, plain);
	OPENSSL_cleanse(plain, sizeof(plain));
	return done ? 0 : EIO;
}

static struct credential *credential_find(struct vault_credentials *credentials, const char *name)
{
	for (size_t i = 0; i < CREDENTIALS_MAX; i++)
		if (strcmp(credentials->credentials[i].about.name, name) == 0)
			return &credentials->credentials[i];
	return NULL;
}

int vault_credential_put(struct vault_credentials *credentials, const struct credential_blob *blob)
{
	struct credential_blob copy = *blob;
	unsigned char plain[CREDENTIAL_SEALED_BYTES];
	struct credential *place;
	uint32_t bytes;
	int problem = 0;

	if (!about_good(&blob->about) || !cipher_run(credentials, false, &copy, plain)) {
		OPENSSL_cleanse(plain, sizeof(plain));
		return EBADMSG;
	}
	memcpy(&bytes, plain, sizeof(bytes));
	place = credential_find(credentials, blob->about.name);
	if (!place)
		place = credential_find(credentials, "");
	if (!place || bytes > CREDENTIAL_VALUE_MAX) {
		problem = place ? EBADMSG : ENOSPC;
	} else {
		place->about = blob->about;
		place->value_bytes = bytes;
		memcpy(place->value, plain + sizeof(bytes), CREDENTIAL_VALUE_MAX);
	}
	OPENSSL_cleanse(plain, sizeof(plain));
	return problem;
}

int vault_credential_remove(struct vault_credentials *credentials, const char *name)
{
	struct credential *credential = name[0] ? credential_find(credentials, name) : NULL;

	if (!credential)
		return ENOENT;
	OPENSSL_cleanse(credential, sizeof(*credential));
	for (size_t i = 0; i < BINDINGS_MAX; i++)
		if (strcmp(credentials->bindings[i].name, name) == 0)
			credentials->bindings[i] = (struct binding){.env = ""};
	return 0;
}

/* ---- bindings ---- */

static struct binding *binding_find(struct vault_credentials *credentials, const char *env, const char *name)
{
	for (size_t i = 0; i < BINDINGS_MAX; i++)
		if (strcmp(credentials->bindings[i].env, env) == 0 && strcmp(credentials->bindings[i].name, name) == 0)
			return &credentials->bindings[i];
	return NULL;
}

static size_t beginning_length(const struct credential *credential)
{
	struct view value = view_make(credential->value, credential->value_bytes);

	for (size_t i = 0; i < ARRAY_LEN(public_beginnings); i++)
		if (view_starts(value, view_of(public_beginnings[i])))
			return strlen(public_beginnings[i]);
	return 0;
}

/* As long as the value, or as short as a placeholder can be. */
static void placeholder_make(const struct vault_credentials *credentials, const struct credential *credential, const char *env,
			     struct buf *out)
{
	static const char letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	size_t beginning = beginning_length(credential);
	size_t least = beginning + sizeof(CREDENTIAL_MARK) - 1 + PLACEHOLDER_RANDOM;
	size_t length = credential->value_bytes > least ? credential->value_bytes : least;
	unsigned char bytes[SECRET_BYTES];
	size_t at = sizeof(bytes);

	buf_add(out, credential->value, beginning);
	buf_add_text(out, CREDENTIAL_MARK);
	for (uint32_t block = 0; out->length < length;) {
		if (at == sizeof(bytes)) {
			unsigned char text[VAULT_ENV_MAX + CREDENTIAL_NAME_MAX + sizeof(block)] = {0};
			unsigned made = sizeof(bytes);

			memcpy(text, env, strlen(env));
			memcpy(text + VAULT_ENV_MAX, credential->about.name, strlen(credential->about.name));
			memcpy(text + VAULT_ENV_MAX + CREDENTIAL_NAME_MAX, &block, sizeof(block));
			if (!HMAC(EVP_sha256(), credentials->placeholder_key, SECRET_BYTES, text, sizeof(text), bytes, &made))
				abort();
			block++;
			at = 0;
		}
		if (bytes[at] < 248) /* 4 * 62: every letter as likely as another */
			buf_add_char(out, letters[bytes[at] % 62]);
		at++;
	}
}

int vault_credential_bind(struct vault_credentials *credentials, const char *env, const char *name, struct credential_public *about,
			  struct buf *placeholder)
{
	const struct credential *credential = name[0] ? credential_find(credentials, name) : NULL;
	struct binding *binding = env[0] ? binding_find(credentials, env, name) : NULL;

	if (!credential || !env[0])
		return ENOENT;
	if (!binding)
		binding = binding_find(credentials, "", "");
	if (!binding)
		return ENOSPC;
	(void)snprintf(binding->env, sizeof(binding->env), "%s", env);
	(void)snprintf(binding->name, sizeof(binding->name), "%s", name);
	*about = credential->about;
	placeholder_make(credentials, credential, env, placeholder);
	return 0;
}

void vault_credential_unbind(struct vault_credentials *credentials, const char *env)
{
	for (size_t i = 0; i < BINDINGS_MAX; i++)
		if (!env[0] || strcmp(credentials->bindings[i].env, env) == 0)
			credentials->bindings[i] = (struct binding){.env = ""};
}

int vault_credential_release(struct vault_credentials *credentials, const struct vault_release_request *request, struct view *value)
{
	struct credential *credential;

	if (!memchr(request->env, '\0', sizeof(request->env)) || !memchr(request->name, '\0', sizeof(request->name)) ||
	    !memchr(request->host, '\0', sizeof(request->host)) || !memchr(request->method, '\0', sizeof(request->method)) ||
	    !memchr(request->path, '\0', sizeof(request->path)) || !memchr(request->scope, '\0', sizeof(request->scope)))
		return EINVAL;
	if (!request->env[0] || !request->name[0] || !binding_find(credentials, request->env, request->name))
		return ENOENT;
	credential = credential_find(credentials, request->name);
	if (!credential)
		return ENOENT;
	if (!credential_allows(&credential->about.use, (enum credential_scheme)request->scheme, request->host, request->port,
			       view_of(request->method), view_of(request->path)))
		return EACCES;
	*value = view_make(credential->value, credential->value_bytes);
	if (credential->about.use.place != CREDENTIAL_AWS)
		return 0;
	if (!sigv4_key(*value, request->scope, credentials->signing_key)) {
		*value = VIEW("");
		return EINVAL;
	}
	*value = view_make(credentials->signing_key, sizeof(credentials->signing_key));
	return 0;
}

/* The environment's own, always the same. */
static void fingerprint_key_of(const struct vault_credentials *credentials, const char *env, struct fingerprint_key *key)
{
	unsigned char bytes[sizeof(key->words) + sizeof(key->mac)];
	AUTO_FREE char *hashing = text_format("hash %s", env);
	AUTO_FREE char *confirming = text_format("mac %s", env);

	derive(credentials->fingerprint_key, hashing, bytes);
	derive(credentials->fingerprint_key, confirming, bytes + sizeof(key->words));
	memcpy(key->words, bytes, sizeof(key->words));
	memcpy(key->mac, bytes + sizeof(key->words), sizeof(key->mac));
	for (size_t i = 0; i < ARRAY_LEN(key->words); i++)
		key->words[i] |= 1;
	OPENSSL_cleanse(bytes, sizeof(bytes));
}

int vault_credential_fingerprint(struct vault_credentials *credentials, const struct vault_fingerprint_request *request,
				 struct fingerprint *print)
{
	const struct credential *credential;
	struct fingerprint_key key;

	if (!memchr(request->env, '\0', sizeof(request->env)) || !memchr(request->name, '\0', sizeof(request->name)))
		return EINVAL;
	if (!request->env[0] || !request->name[0] || !binding_find(credentials, request->env, request->name))
		return ENOENT;
	credential = credential_find(credentials, request->name);
	if (!credential)
		return ENOENT;
	fingerprint_key_of(credentials, request->env, &key);
	fingerprint_make(&key, view_make(credential->value, credential->value_bytes), beginning_length(credential), print);
	OPENSSL_cleanse(&key, sizeof(key));
	return 0;
}
