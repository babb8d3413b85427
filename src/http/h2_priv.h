/* h2_priv: what the files of an HTTP/2 connection share: what comes in (h2.c), what goes out (h2_send.c), its memory (h2_memory.c). */
#ifndef ASSAY_HTTP_H2_PRIV_H
#define ASSAY_HTTP_H2_PRIV_H

#include <nghttp2/nghttp2.h>

#include "http/h2.h"

struct section;

struct h2_stream {
	struct h2 *h2;
	struct h2_stream *next, **place;
	int32_t id;
	void *self;
	struct buf out;
	size_t out_at;
	bool out_end;  /* nothing is added any more */
	bool deferred; /* nghttp2 waits for more */
	bool was_full; /* `room` is owed */
	struct buf trailer_bytes;
	size_t trailer_count;
	size_t unconsumed;
	uint64_t sent;
	bool answered; /* before the request was whole */
	size_t late;   /* bytes of the request since */
	uint32_t code; /* it closed by */
	bool told;     /* the caller knows it */
	bool head_told;
	bool end_told;
	const char *why; /* we reset it */
};

struct h2 {
	enum h2_role role;
	const struct h2_events *events;
	void *self;
	int64_t (*now_ms)(void);
	nghttp2_session *session;
	struct h2_stream *streams;
	size_t count;
	struct section *section; /* of the one header block that can be under way; NULL while there is no stream */
	struct h2_stream *of;    /* whose it is */
	bool mid_section;
	int64_t window_began_ms; /* for the counts */
	unsigned resets, frames;
	bool flooded;
	nghttp2_mem memory;
	char *pages;      /* of its own (h2_memory.c); NULL: not there yet */
	bool chunk_taken; /* the first of them */
	bool map_taken;   /* the last one */
};

/* ---- h2.c ---- */

struct h2_stream *h2_stream_new(struct h2 *h2, void *self);
void h2_stream_free(struct h2_stream *stream);
void h2_stream_refuse(struct h2_stream *stream, uint32_t code, const char *why); /* `why` is not copied; the first one counts */

/* ---- h2_memory.c ---- */

void h2_memory_init(struct h2 *h2); /* before its session */
void h2_memory_fini(struct h2 *h2); /* after it */

#endif
