/* The signing key: Ed25519 by OpenSSL's EVP interface, in one file that is made once. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/file.h"
#include "base/scope.h"
#include "vault/vault_priv.h"

struct vault_key {
	EVP_PKEY *pair;
	char id[VAULT_KEY_ID_MAX];
	char pem[VAULT_PEM_MAX];
};

static void bio_free(BIO **bio)
{
	(void)BIO_free(*bio);
}
#define AUTO_BIO __attribute__((cleanup(bio_free))) BIO *

static void pair_free(EVP_PKEY **pair)
{
	EVP_PKEY_free(*pair);
}
#define AUTO_PAIR __attribute__((cleanup(pair_free))) EVP_PKEY *

static void context_free(EVP_MD_CTX **context)
{
	EVP_MD_CTX_free(*context);
}
#define AUTO_CONTEXT __attribute__((cleanup(context_free))) EVP_MD_CTX *

static int sync_dir(const char *path, struct err *err)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd))
		return err_errno(err, errno, "cannot sync %s", path);
	return 0;
}

/* Writes it beside and links it into place, so that of two processes that start at once one makes it and both use it. */
static int secret_write(const char *dir, const char *path, struct view bytes, struct err *err)
{
	AUTO_FREE char *beside = text_format("%s/key.XXXXXX", dir);
	AUTO_CLOSE int fd = mkostemp(beside, O_CLOEXEC); /* 0600 */
	int problem = 0;

	if (fd < 0)
		return err_errno(err, errno, "cannot make %s", beside);
	if (file_write_fd(fd, bytes, err)) {
		(void)unlink(beside);
		return -1;
	}
	if (fsync(fd) || (link(beside, path) && errno != EEXIST))
		problem = errno;
	(void)unlink(beside);
	if (problem)
		return err_errno(err, problem, "cannot make %s", path);
	return sync_dir(dir, err);
}

static int key_make(const char *dir, const char *path, struct err *err)
{
	AUTO_PAIR pair = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	AUTO_BIO bio = BIO_new(BIO_s_secmem());
	char *text = NULL;
	long length;

	if (!pair || !bio || PEM_write_bio_PKCS8PrivateKey(bio, pair, NULL, NULL, 0, NULL, NULL) != 1)
		return err_set(err, ERR_BROKEN, "cannot make an Ed25519 key");
	length = BIO_get_mem_data(bio, &text);
	return secret_write(dir, path, view_make(text, (size_t)length), err);
}

/* Only its owner may ever have been able to read it. The descriptor, or -1. */
static int secret_open(const char *path, struct err *err)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct stat facts;

	if (fd < 0)
		return err_errno(err, errno, "cannot open %s", path);
	if (fstat(fd, &facts))
		return err_errno(err, errno, "cannot look at %s", path);
	if (!S_ISREG(facts.st_mode) || (facts.st_mode & 077))
		return err_set(err, ERR_DENIED, "%s may be read by others than its owner: chmod 600, or remove it for a new one",
			       path);
	return TAKE_FD(fd);
}

int vault_secret_load(const char *dir, const char *name, unsigned char *bytes, size_t length, struct err *err)
{
	AUTO_FREE char *path = text_format("%s/%s", dir, name);
	AUTO_CLOSE int fd = -1;

	if (!file_exists(path)) {
		int failed;

		if (RAND_bytes(bytes, (int)length) != 1)
			return err_set(err, ERR_BROKEN, "no random bytes");
		failed = secret_write(dir, path, view_make(bytes, length), err);
		OPENSSL_cleanse(bytes, length);
		if (failed)
			return -1;
	}
	fd = secret_open(path, err);
	if (fd < 0)
		return -1;
	if (read(fd, bytes, length) != (ssize_t)length)
		return err_set(err, ERR_BROKEN, "%s is too short: remove it for a new one", path);
	return 0;
}

static int key_open(const char *path, EVP_PKEY **pair, struct err *err)
{
	AUTO_CLOSE int fd = secret_open(path, err);
	AUTO_BIO bio = NULL;

	if (fd < 0)
		return -1;
	bio = BIO_new_fd(fd, BIO_NOCLOSE);
	*pair = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
	if (!*pair)
		return err_set(err, ERR_BROKEN, "%s holds no private key: remove it for a new one", path);
	if (EVP_PKEY_get_id(*pair) != EVP_PKEY_ED25519)
		return err_set(err, ERR_BROKEN, "%s holds no Ed25519 key", path);
	return 0;
}

static int key_describe(struct vault_key *key, struct err *err)
{
	AUTO_BIO bio = BIO_new(BIO_s_mem());
	unsigned char *der = NULL;
	int der_bytes = i2d_PUBKEY(key->pair, &der);
	struct digest digest;
	char *text = NULL;
	long length;

	if (der_bytes <= 0 || !bio || PEM_write_bio_PUBKEY(bio, key->pair) != 1)
		return err_set(err, ERR_BROKEN, "cannot write the public key");
	digest = digest_of(view_make(der, (size_t)der_bytes));
	OPENSSL_free(der);
	memcpy(key->id, digest.text, sizeof(key->id));
	length = BIO_get_mem_data(bio, &text);
	if (length <= 0 || (size_t)length >= sizeof(key->pem))
		return err_set(err, ERR_LIMIT, "the public key is longer than %d bytes", VAULT_PEM_MAX);
	memcpy(key->pem, text, (size_t)length);
	return 0;
}

int vault_key_load(const char *state_dir, struct vault_key **key, struct err *err)
{
	AUTO_FREE char *dir = text_format("%s/vault", state_dir);
	AUTO_FREE char *path = text_format("%s/key.pem", dir);
	struct vault_key *made;

	if (file_make_dirs(dir, 0700, err))
		return -1;
	if (!file_exists(path) && key_make(dir, path, err))
		return -1;
	made = mem_new(sizeof(*made));
	if (key_open(path, &made->pair, err) || key_describe(made, err)) {
		vault_key_free(made);
		return -1;
	}
	*key = made;
	return 0;
}

void vault_key_free(struct vault_key *key)
{
	if (key)
		EVP_PKEY_free(key->pair);
	free(key);
}

const char *vault_key_id(const struct vault_key *key)
{
	return key->id;
}

const char *vault_key_pem(const struct vault_key *key)
{
	return key->pem;
}

int vault_key_sign(const struct vault_key *key, struct view bytes, unsigned char signature[VAULT_SIGNATURE_BYTES], struct err *err)
{
	AUTO_CONTEXT context = EVP_MD_CTX_new();
	size_t length = VAULT_SIGNATURE_BYTES;

	if (!context || EVP_DigestSignInit(context, NULL, NULL, NULL, key->pair) != 1 ||
	    EVP_DigestSign(context, signature, &length, (const unsigned char *)bytes.at, bytes.length) != 1 ||
	    length != VAULT_SIGNATURE_BYTES)
		return err_set(err, ERR_BROKEN, "cannot sign");
	return 0;
}
