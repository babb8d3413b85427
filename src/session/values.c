/* A sealed file: 12 bytes that are never the same, 16 that authenticate, then the JSON, encrypted. */
#include "session/values.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/scope.h"

#define LABEL_SEAL "assay session values 1"
#define NONCE_BYTES 12
#define TAG_BYTES 16

static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

static void context_free(EVP_CIPHER_CTX **context)
{
	EVP_CIPHER_CTX_free(*context);
}
#define AUTO_CONTEXT __attribute__((cleanup(context_free))) EVP_CIPHER_CTX *

void hide_key_derive(struct hide_key *key, const unsigned char signature[64])
{
	unsigned length = 0;
	unsigned char made[EVP_MAX_MD_SIZE];

	(void)HMAC(EVP_sha256(), HIDE_KEY_TEXT, sizeof(HIDE_KEY_TEXT) - 1, signature, 64, made, &length);
	memcpy(key->bytes, made, HIDE_KEY_BYTES);
	OPENSSL_cleanse(made, sizeof(made));
}

static void seal_key(const struct hide_key *key, unsigned char made[EVP_MAX_MD_SIZE])
{
	unsigned length = 0;

	(void)HMAC(EVP_sha256(), key->bytes, HIDE_KEY_BYTES, (const unsigned char *)LABEL_SEAL, sizeof(LABEL_SEAL) - 1, made,
		   &length);
}

static char *path_of(const char *state_dir)
{
	return text_format("%s/sessions/values.sealed", state_dir);
}

bool values_exist(const char *state_dir)
{
	AUTO_FREE char *path = path_of(state_dir);

	return file_exists(path);
}

static int seal(const struct hide_key *key, struct view plain, struct buf *out, struct err *err)
{
	AUTO_CONTEXT context = EVP_CIPHER_CTX_new();
	unsigned char secret[EVP_MAX_MD_SIZE];
	unsigned char nonce[NONCE_BYTES];
	unsigned char tag[TAG_BYTES];
	unsigned char *made = mem_new(plain.length + 1);
	int length = 0;
	bool good;

	seal_key(key, secret);
	good = context && RAND_bytes(nonce, NONCE_BYTES) == 1 &&
	       EVP_EncryptInit_ex(context, EVP_aes_256_gcm(), NULL, secret, nonce) == 1 &&
	       EVP_EncryptUpdate(context, made, &length, (const unsigned char *)plain.at, (int)plain.length) == 1 &&
	       EVP_EncryptFinal_ex(context, made + length, &length) == 1 &&
	       EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, TAG_BYTES, tag) == 1;
	OPENSSL_cleanse(secret, sizeof(secret));
	if (good) {
		buf_add(out, nonce, NONCE_BYTES);
		buf_add(out, tag, TAG_BYTES);
		buf_add(out, made, plain.length);
	}
	free(made);
	return good ? buf_finish(out, err) : err_set(err, ERR_BROKEN, "the secrets of sessions cannot be sealed");
}

static int unseal(const struct hide_key *key, struct view sealed, struct buf *out, struct err *err)
{
	AUTO_CONTEXT context = EVP_CIPHER_CTX_new();
	unsigned char secret[EVP_MAX_MD_SIZE];
	unsigned char tag[TAG_BYTES];
	const unsigned char *bytes = (const unsigned char *)sealed.at;
	size_t plain_bytes = sealed.length < NONCE_BYTES + TAG_BYTES ? 0 : sealed.length - NONCE_BYTES - TAG_BYTES;
	unsigned char *made = mem_new(plain_bytes + 1);
	int length = 0;
	bool good = sealed.length >= NONCE_BYTES + TAG_BYTES && context != NULL;

	seal_key(key, secret);
	if (good)
		memcpy(tag, bytes + NONCE_BYTES, TAG_BYTES);
	good = good && EVP_DecryptInit_ex(context, EVP_aes_256_gcm(), NULL, secret, bytes) == 1 &&
	       EVP_DecryptUpdate(context, made, &length, bytes + NONCE_BYTES + TAG_BYTES, (int)plain_bytes) == 1 &&
	       EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_SET_TAG, TAG_BYTES, tag) == 1 &&
	       EVP_DecryptFinal_ex(context, made + length, &length) == 1;
	OPENSSL_cleanse(secret, sizeof(secret));
	if (good)
		buf_add(out, made, plain_bytes);
	OPENSSL_cleanse(made, plain_bytes);
	free(made);
	return good ? buf_finish(out, err)
		    : err_set(err, ERR_BROKEN, "the secrets of sessions were sealed under another key, or changed");
}

static json_t *read_locked(const char *path, const struct hide_key *key, struct err *err)
{
	AUTO_BUF sealed = buf_new(VALUES_BYTES_MAX);
	AUTO_BUF plain = buf_new(VALUES_BYTES_MAX);
	json_t *values;

	if (!file_exists(path))
		return json_object();
	if (file_read(path, &sealed, err) || unseal(key, buf_view(&sealed), &plain, err))
		return NULL;
	values = json_parse(buf_view(&plain), err);
	OPENSSL_cleanse(plain.at, plain.length);
	return values;
}

json_t *values_read(const char *state_dir, const struct hide_key *key, struct err *err)
{
	AUTO_FREE char *path = path_of(state_dir);
	json_t *values;

	(void)pthread_mutex_lock(&one_at_a_time);
	values = read_locked(path, key, err);
	(void)pthread_mutex_unlock(&one_at_a_time);
	return values;
}

static int add_locked(const char *path, const struct hide_key *key, const json_t *values, struct err *err)
{
	AUTO_JSON all = read_locked(path, key, err);
	AUTO_BUF plain = buf_new(VALUES_BYTES_MAX);
	AUTO_BUF sealed = buf_new(VALUES_BYTES_MAX);
	int failed;

	if (!all)
		return -1;
	(void)json_object_update(all, (json_t *)(uintptr_t)values);
	if (json_object_size(all) > VALUES_MAX)
		return err_set(err, ERR_LIMIT, "more than %zu secrets of sessions: remove %s, and record anew", VALUES_MAX, path);
	json_format(&plain, all);
	failed = buf_finish(&plain, err) || seal(key, buf_view(&plain), &sealed, err) ||
		 file_replace(path, buf_view(&sealed), 0600, err);
	if (plain.at)
		OPENSSL_cleanse(plain.at, plain.length);
	return failed ? -1 : 0;
}

int values_add(const char *state_dir, const struct hide_key *key, const json_t *values, struct err *err)
{
	AUTO_FREE char *dir = text_format("%s/sessions", state_dir);
	AUTO_FREE char *path = path_of(state_dir);
	int failed;

	if (!json_object_size(values))
		return 0;
	if (file_make_dirs(dir, 0700, err))
		return -1;
	(void)pthread_mutex_lock(&one_at_a_time);
	failed = add_locked(path, key, values, err);
	(void)pthread_mutex_unlock(&one_at_a_time);
	return failed;
}
