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
MUST_USE int digest_of_file(const char *path, struct digest *digest, struct err *err);

#endif
