/*
 * url: absolute http, https and ws URLs, and percent-decoding of their parts (RFC 3986). Strict: no user info, no control or
 * non-ASCII bytes.
 */
#ifndef ASSAY_HTTP_URL_H
#define ASSAY_HTTP_URL_H

#include "base/buf.h"

struct url {
	struct view scheme;
	struct view host;  /* without brackets when it is an IPv6 address */
	uint16_t port;     /* of the scheme when none is given */
	struct view path;  /* starts with "/", or is empty */
	struct view query; /* without "?" */
};

/* Views borrow from `text`. A fragment is dropped. */
MUST_USE int url_parse(struct view text, struct url *url, struct err *err);
/* %XX become bytes; with `form`, + becomes a blank. ERR_INVALID on a broken escape. */
MUST_USE int url_decode(struct buf *out, struct view text, bool form, struct err *err);
/* The decoded value of `name` in a query or form body; NULL when absent or broken. Owned by the caller. */
char *url_query_get(struct view query, const char *name);
/* Resolves "." and ".." of a path that starts with "/"; above the root is ERR_INVALID. */
MUST_USE int url_path_normal(struct buf *out, struct view path, struct err *err);

#endif
