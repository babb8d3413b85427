/* SHA-256 by OpenSSL's EVP interface. */
#include "base/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/scope.h"

static void context_free(EVP_MD_CTX **context)
{
	EVP_MD_CTX_free(*context);
}
#define AUTO_CONTEXT __attribute__((cleanup(context_free))) EVP_MD_CTX *

static EVP_MD_CTX *begin(void)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();

	if (!context || EVP_DigestInit_ex(context, EVP_sha256(), NULL) != 1)
		abort();
	return context;
}

static struct digest finish(EVP_MD_CTX *context)
{
	static const char digits[] = "0123456789abcdef";
	unsigned char bytes[32];
	struct digest digest = {{0}};

	if (EVP_DigestFinal_ex(context, bytes, NULL) != 1)
		abort();
	for (unsigned i = 0; i < sizeof(bytes); i++) {
		digest.text[2 * i] = digits[bytes[i] >> 4];
		digest.text[2 * i + 1] = digits[bytes[i] & 15];
	}
	return digest;
}

struct digest digest_of(struct view bytes)
{
	AUTO_CONTEXT context = begin();

	(void)EVP_DigestUpdate(context, bytes.at, bytes.length);
	return finish(context);
}

struct digest digest_of_parts(const struct view *parts, size_t count)
{
	AUTO_CONTEXT context = begin();

	for (size_t i = 0; i < count; i++) {
		uint64_t length = parts[i].length;

		(void)EVP_DigestUpdate(context, &length, sizeof(length));
		(void)EVP_DigestUpdate(context, parts[i].at, parts[i].length);
	}
	return finish(context);
}

void digest_keyed(const unsigned char key[DIGEST_KEY_BYTES], const struct view *parts, size_t count, unsigned char out[32])
{
	unsigned char pad[64] = {0};
	unsigned char inner[32];
	AUTO_CONTEXT inside = begin();
	AUTO_CONTEXT outside = begin();

	for (size_t i = 0; i < sizeof(pad); i++)
		pad[i] = (unsigned char)((i < DIGEST_KEY_BYTES ? key[i] : 0) ^ 0x36);
	(void)EVP_DigestUpdate(inside, pad, sizeof(pad));
	for (size_t i = 0; i < count; i++) {
		uint64_t length = parts[i].length;

		(void)EVP_DigestUpdate(inside, &length, sizeof(length));
		(void)EVP_DigestUpdate(inside, parts[i].at, parts[i].length);
	}
	for (size_t i = 0; i < sizeof(pad); i++)
		pad[i] ^= 0x36 ^ 0x5c;
	(void)EVP_DigestUpdate(outside, pad, sizeof(pad));
	if (EVP_DigestFinal_ex(inside, inner, NULL) != 1 || EVP_DigestUpdate(outside, inner, sizeof(inner)) != 1 ||
	    EVP_DigestFinal_ex(outside, out, NULL) != 1)
		abort();
	OPENSSL_cleanse(pad, sizeof(pad));
}

int digest_of_file(const char *path, struct digest *digest, struct err *err)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	AUTO_CONTEXT context = begin();
	char chunk[16384];
	ssize_t got;

	if (fd < 0)
		return err_errno(err, errno, "cannot open %s", path);
	while ((got = read(fd, chunk, sizeof(chunk))) > 0)
		(void)EVP_DigestUpdate(context, chunk, (size_t)got);
	if (got < 0)
		return err_errno(err, errno, "cannot read %s", path);
	*digest = finish(context);
	return 0;
}
