/* Proofs of a password. */
#include "net/scram.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/scope.h"

#define MD5_BYTES 16

static bool mac(const unsigned char *key, struct view text, unsigned char digest[SCRAM_BYTES])
{
	unsigned length = SCRAM_BYTES;

	return HMAC(EVP_sha256(), key, SCRAM_BYTES, (const unsigned char *)text.at, text.length, digest, &length) != NULL;
}

bool scram_prove(struct view password, struct view salt, uint32_t iterations, struct view message, struct scram *scram)
{
	unsigned char salted[SCRAM_BYTES], client_key[SCRAM_BYTES], server_key[SCRAM_BYTES], stored[SCRAM_BYTES],
		shown[SCRAM_BYTES];
	bool good = PKCS5_PBKDF2_HMAC(password.at, (int)password.length, (const unsigned char *)salt.at, (int)salt.length,
				      (int)iterations, EVP_sha256(), SCRAM_BYTES, salted) == 1 &&
		    mac(salted, VIEW("Client Key"), client_key) && mac(salted, VIEW("Server Key"), server_key) &&
		    EVP_Digest(client_key, SCRAM_BYTES, stored, NULL, EVP_sha256(), NULL) == 1 && mac(stored, message, shown) &&
		    mac(server_key, message, scram->signature);

	for (size_t i = 0; good && i < SCRAM_BYTES; i++)
		scram->proof[i] = client_key[i] ^ shown[i];
	OPENSSL_cleanse(salted, sizeof(salted));
	OPENSSL_cleanse(client_key, sizeof(client_key));
	OPENSSL_cleanse(server_key, sizeof(server_key));
	OPENSSL_cleanse(stored, sizeof(stored));
	return good;
}

bool scram_signed(const struct scram *scram, struct view shown)
{
	return shown.length == SCRAM_BYTES && CRYPTO_memcmp(shown.at, scram->signature, SCRAM_BYTES) == 0;
}

static bool md5_hex(struct view first, struct view second, struct buf *out)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	unsigned char digest[MD5_BYTES];
	unsigned length = sizeof(digest);
	bool good = context && EVP_DigestInit_ex(context, EVP_md5(), NULL) == 1 &&
		    EVP_DigestUpdate(context, first.at, first.length) == 1 &&
		    EVP_DigestUpdate(context, second.at, second.length) == 1 && EVP_DigestFinal_ex(context, digest, &length) == 1;

	EVP_MD_CTX_free(context);
	if (good)
		buf_add_hex(out, digest, sizeof(digest));
	return good;
}

bool scram_md5(struct view password, struct view user, struct view salt, struct buf *out)
{
	AUTO_BUF inner = buf_new(MD5_BYTES * 2 + 1);
	bool good = md5_hex(password, user, &inner);

	buf_add_text(out, "md5");
	good = good && md5_hex(buf_view(&inner), salt, out);
	if (inner.at)
		OPENSSL_cleanse(inner.at, inner.length);
	return good;
}
