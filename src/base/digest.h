/* digest: SHA-256 of bytes, as 64 lower-case hexadecimal digits. */
#ifndef ASSAY_BASE_DIGEST_H
#define ASSAY_BASE_DIGEST_H

#include "base/buf.h"

struct digest {
	char text[65];
};

struct digest digest_of(struct view bytes);
/* Of several parts; each is preceded by its length, so that ("ab","c") and ("a","bc") differ. */
struct digest digest_of_parts(const struct view *parts, size_t count);
/* HMAC-SHA-256 (RFC 2104) of several parts, each preceded by its length. */
#define DIGEST_KEY_BYTES 32
void digest_keyed(const unsigned char key[DIGEST_KEY_BYTES], const struct view *parts, size_t count, unsigned char out[32]);
MUST_USE int digest_of_file(const char *path, struct digest *digest, struct err *err);

#endif
