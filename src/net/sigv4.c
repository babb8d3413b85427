/* AWS's chain of HMACs. */
#include "net/sigv4.h"

#include <ctype.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>

#include "base/scope.h"

#define SECRET_MAX ((size_t)4096)
#define DAY_DIGITS 8

static void mac(const void *key, size_t key_bytes, struct view text, unsigned char out[SIGV4_KEY_BYTES])
{
	if (!HMAC(EVP_sha256(), key, (int)key_bytes, (const unsigned char *)text.at, text.length, out, NULL))
		abort();
}

bool sigv4_key(struct view secret, const char *scope, unsigned char key[SIGV4_KEY_BYTES])
{
	AUTO_BUF first = buf_new(SECRET_MAX + 8);
	struct view rest, service;
	struct view day = view_cut(view_of(scope), '/', &rest);
	struct view region = rest.at ? view_cut(rest, '/', &service) : VIEW("");

	for (size_t i = 0; i < day.length; i++)
		if (!isdigit((unsigned char)day.at[i]))
			return false;
	if (day.length != DAY_DIGITS || !region.length || !service.at || !service.length || memchr(service.at, '/', service.length))
		return false;
	buf_add_text(&first, "AWS4");
	buf_add_view(&first, secret);
	if (first.over)
		return false;
	mac(first.at, first.length, day, key);
	mac(key, SIGV4_KEY_BYTES, region, key);
	mac(key, SIGV4_KEY_BYTES, service, key);
	mac(key, SIGV4_KEY_BYTES, VIEW("aws4_request"), key);
	OPENSSL_cleanse(first.at, first.length);
	return true;
}

void sigv4_sign(const unsigned char key[SIGV4_KEY_BYTES], struct view text, struct buf *out)
{
	unsigned char signature[SIGV4_KEY_BYTES];

	mac(key, SIGV4_KEY_BYTES, text, signature);
	buf_add_hex(out, signature, sizeof(signature));
}
