/*
 * unpack: an answer's body without its content coding, as it comes: an answer that must be read, because a credential may be in it or a model
 * is paid by it, is passed on as it reads. Bounded as gateway/dlp/inflate.h says; at most UNPACK_LAYERS_MAX codings.
 */
#ifndef ASSAY_GATEWAY_EGRESS_UNPACK_H
#define ASSAY_GATEWAY_EGRESS_UNPACK_H

#include "base/buf.h"

#define UNPACK_LAYERS_MAX 2

struct unpack;

/* `codings` is a Content-Encoding, "gzip" or "gzip, br". NULL: nothing is to be undone, or, with *known false, it cannot be. */
struct unpack *unpack_new(struct view codings, bool *known);
void unpack_free(struct unpack *unpack); /* NULL is fine */
/* What the bytes say goes to `each`, in pieces. False: they are not what was said, or too much. */
bool unpack_feed(struct unpack *unpack, struct view bytes, void (*each)(void *self, struct view bytes), void *self);
bool unpack_whole(const struct unpack *unpack); /* nothing of the stream is missing */

#endif
