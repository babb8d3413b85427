/*
 * h2_relay: one HTTP/2 connection (RFC 9113, prior knowledge) that passes from its one end to its other, read frame by frame. It terminates
 * nothing: settings, windows, pings, priorities of streams that are open and ends are between the two ends. Only header blocks are written
 * anew, without a dynamic table (RFC 7541), so that a frame may be left out or put in between without either end's table going astray.
 *
 * All bytes are hostile. What is no HTTP/2 is ERR_INVALID, what is more than is kept ERR_LIMIT: then the connection cannot go on.
 */
#ifndef ASSAY_HTTP_H2_RELAY_H
#define ASSAY_HTTP_H2_RELAY_H

#include "http/h2.h"

#define H2_RELAY_BLOCK_MAX ((size_t)128 << 10)  /* of a header section, as it comes */
#define H2_RELAY_SECTION_MAX ((size_t)64 << 10) /* unpacked: names, values, and 32 for each */
#define H2_RELAY_FIELDS_MAX 512
#define H2_RELAY_FRAME_MAX ((size_t)64 << 10) /* of frames other than DATA, which passes in pieces */
#define H2_RELAY_TABLE_MAX ((size_t)64 << 10) /* of what either end may remember */
#define H2_RELAY_FRAME_HEAD_BYTES ((size_t)9)

enum h2_relay_side { H2_RELAY_CLIENT, H2_RELAY_SERVER };
enum h2_relay_type { /* RFC 9113 6 */
		     H2_RELAY_DATA = 0,
		     H2_RELAY_HEADERS = 1,
		     H2_RELAY_RESET = 3,
		     H2_RELAY_SETTINGS = 4,
		     H2_RELAY_PUSH = 5,
		     H2_RELAY_GOAWAY = 7,
		     H2_RELAY_WINDOW = 8,
		     H2_RELAY_CONTINUATION = 9,
};

/* Views live as long as the event. */
struct h2_relay_frame {
	unsigned type;                 /* enum h2_relay_type, or another one */
	uint32_t stream;               /* 0: of the connection */
	bool end;                      /* DATA, HEADERS: its sender's half ends */
	uint32_t code;                 /* RESET: enum h2_code */
	size_t length;                 /* DATA: what it takes of the windows */
	const struct h2_field *fields; /* HEADERS, PUSH: also those that begin with ":" */
	size_t field_count;
};

struct h2_relay_events {
	/* `wire` is how it goes on. Of DATA that is the frame's head; the rest follows. */
	void (*frame)(void *self, enum h2_relay_side from, const struct h2_relay_frame *frame, struct view wire);
	/* Of the DATA frame told last: bytes that go on, and what of them is no padding; `last`: it is whole. */
	void (*data)(void *self, enum h2_relay_side from, struct view wire, struct view content, bool last);
};

/* Do the bytes begin as a client's connection does, or are they too few to say? */
bool h2_relay_looks(struct view bytes);
bool h2_relay_looks_more(struct view bytes);
bool h2_relay_looks_server(struct view bytes); /* as a server's */

struct h2_relay *h2_relay_new(const struct h2_relay_events *events, void *self);
void h2_relay_free(struct h2_relay *relay); /* NULL is fine; not within an event */
/* Takes all bytes that came from a side. The client's preface goes on as a frame of type 0xff. */
MUST_USE int h2_relay_feed(struct h2_relay *relay, enum h2_relay_side from, struct view bytes, struct err *err);
/* Is a DATA frame under way from that side? Then nothing may be put in between. */
bool h2_relay_mid_frame(const struct h2_relay *relay, enum h2_relay_side from);

/* Frames of our own to that side, appended. */
void h2_relay_headers_format(struct h2_relay *relay, enum h2_relay_side to, uint32_t stream, const struct h2_field *fields,
			     size_t count, bool end, struct buf *out);
void h2_relay_data_format(uint32_t stream, struct view content, bool end, struct buf *out);
void h2_relay_reset_format(uint32_t stream, enum h2_code code, struct buf *out);
void h2_relay_window_format(uint32_t stream, size_t bytes, struct buf *out);

#endif
