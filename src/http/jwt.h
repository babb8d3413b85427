/*
 * jwt: a signed token of somebody else's (JWS in its compact form, RFC 7515; RFC 7519), judged with that one's keys (a JWKS, RFC 7517). RS256 and
 * ES256 and nothing else: neither `none`, nor anything that a token says about where its key is. Never blocks.
 */
#ifndef ASSAY_HTTP_JWT_H
#define ASSAY_HTTP_JWT_H

#include "base/json.h"

#define JWT_BYTES_MAX ((size_t)64 << 10)

/* What the token claims, when one of the keys has signed it; owned by the caller. ERR_DENIED when none has, or it is none; ERR_NOT_FOUND when
 * it names a key that is not among them: ask for them again. Who it is from, for whom, and until when is the caller's to judge. */
json_t *jwt_verify(struct view token, const json_t *keys, struct err *err);

/* In base64 for URLs, without padding (RFC 4648, 5). */
void base64url_add(struct buf *out, const void *at, size_t length);

#endif
