/*
 * inflate: compressed bytes in pieces of any size, within bounds: at most INFLATE_BYTES_MAX out, INFLATE_RATIO_MAX to one after the first
 * megabyte, INFLATE_MEMBERS_MAX gzip members or zstd frames, zstd windows of 8 MiB. Does not block.
 */
#ifndef ASSAY_GATEWAY_DLP_INFLATE_H
#define ASSAY_GATEWAY_DLP_INFLATE_H

#include "base/buf.h"

#define INFLATE_BYTES_MAX ((uint64_t)256 << 20)
#define INFLATE_RATIO_MAX 200
#define INFLATE_RATIO_AFTER ((uint64_t)1 << 20)
#define INFLATE_MEMBERS_MAX 1000
#define INFLATE_WINDOW_LOG 23

enum coding { CODING_NONE, CODING_GZIP, CODING_DEFLATE, CODING_ZLIB, CODING_RAW, CODING_BROTLI, CODING_ZSTD };

enum inflated {
	INFLATED_MORE,   /* out is full, or in is used up */
	INFLATED_END,    /* the stream is over; what is left of `in` does not belong to it */
	INFLATED_BROKEN, /* it is not what it was said to be */
	INFLATED_LIMIT,
};

struct inflater;

/* A content-coding's name (RFC 9110 section 8.4.1, RFC 7932, RFC 8878), case ignored; false: not one that can be read. "identity" is NONE. */
bool coding_parse(struct view name, enum coding *coding);

struct inflater *inflater_new(enum coding coding); /* not CODING_NONE; DEFLATE finds out whether it is zlib's or raw */
void inflater_free(struct inflater *inflater);     /* NULL is fine */
/* Takes from *in, which moves on; writes at most `room` bytes to `out` and says how many in *made. Call again while *made == room. */
enum inflated inflater_run(struct inflater *inflater, struct view *in, char *out, size_t room, size_t *made);
bool inflater_whole(const struct inflater *inflater); /* nothing of what was begun is missing */

#endif
