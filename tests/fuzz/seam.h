/* seam: input for a reader of both directions of a connection: pieces that are the client's and the server's in turn. */
#ifndef ASSAY_TESTS_FUZZ_SEAM_H
#define ASSAY_TESTS_FUZZ_SEAM_H

#include "base/buf.h"

/* A piece: its length in one byte, the highest bit of which says that the server speaks. */
static inline void seam_pieces(const uint8_t *data, size_t size,
			       void (*say)(void *self, bool server, struct view piece, int64_t at), void *self)
{
	for (size_t at = 0; at < size;) {
		size_t length = data[at] & 127;
		bool server = data[at] & 128;

		at++;
		length = length < size - at ? length : size - at;
		say(self, server, view_make(data + at, length), (int64_t)at);
		at += length;
	}
}

#endif
