/*
 * h2: one HTTP/2 connection (RFC 9113), either end of it, over bytes that somebody else carries: h2_feed() takes what came, h2_output()
 * gives what is to be sent. nghttp2 does the framing and HPACK; what it lets pass and a strict reader would not, ends the stream or the
 * connection here. Nothing of the framing is handed on: padding, priorities, pings and the splitting of cookies end here.
 *
 * Flow control follows the reader: bytes that came are credited back to their stream when h2_consumed() says so (to the connection at once:
 * a stream that waits holds no other up), and what is sent waits in a stream's own buffer until the peer has room. Not thread-safe. Calls from within events are allowed, but for h2_feed, h2_output and h2_free.
 */
#ifndef ASSAY_HTTP_H2_H
#define ASSAY_HTTP_H2_H

#include "base/buf.h"

#define H2_STREAMS_MAX 100
#define H2_FIELDS_MAX 128
#define H2_SECTION_BYTES_MAX ((size_t)32 << 10) /* names, values, and 32 for each (RFC 9113 6.5.2) */
#define H2_WINDOW_BYTES ((size_t)256 << 10)     /* of a stream */
#define H2_CONNECTION_WINDOW_BYTES ((size_t)1 << 20)
#define H2_WAITING_LOW ((size_t)64 << 10)     /* `room` is told when less than that waits again */
#define H2_WAITING_MAX ((size_t)64 << 20)     /* nobody lets more wait: h2_waiting() is there to be asked */
#define H2_OUTPUT_BYTES_MAX ((size_t)1 << 20) /* in one h2_output() */
#define H2_RESETS_MAX 200  /* by the peer or for its mistakes, in H2_WINDOW_MS: more of them and the connection ends */
#define H2_FRAMES_MAX 2000 /* pings, settings, priorities, empty data, in H2_WINDOW_MS */
#define H2_WINDOW_MS 10000

struct h2;
struct h2_stream;

struct h2_field {
	struct view name; /* lower case */
	struct view value;
};

/* Views live as long as the event. */
struct h2_head {
	struct view method, scheme, authority, path; /* requests; authority may be empty, then there is `host` */
	struct view host;                            /* requests: the field of that name, which is not among the fields */
	unsigned status;                             /* responses */
	const struct h2_field *fields;               /* cookies joined to one */
	size_t field_count;
	int64_t content_length; /* -1: not said */
	size_t bytes;           /* of all fields that came, 32 for each added (RFC 9113 6.5.2) */
	bool end;               /* nothing follows: no body, no trailers */
};

/* RFC 9113 7. */
enum h2_code {
	H2_NO_ERROR = 0,
	H2_PROTOCOL = 1,
	H2_INTERNAL = 2,
	H2_REFUSED = 7, /* nothing was done with it */
	H2_CANCEL = 8,
	H2_CALM = 0xb,
	H2_HTTP11_REQUIRED = 0xd,
};

/* Each is told in the order given; `closed` once for each stream, and the stream is gone after it. */
struct h2_events {
	/* A request (as server), a final response (as client). */
	void (*head)(void *self, struct h2_stream *stream, const struct h2_head *head);
	void (*informational)(void *self, struct h2_stream *stream, unsigned status); /* as client; may be NULL */
	void (*data)(void *self, struct h2_stream *stream, struct view bytes);        /* to be credited by h2_consumed() */
	void (*trailers)(void *self, struct h2_stream *stream, const struct h2_field *fields, size_t count);
	void (*end)(void *self, struct h2_stream *stream); /* the peer's half is whole */
	/* Less than H2_WAITING_LOW waits again, after more had. */
	void (*room)(void *self, struct h2_stream *stream);
	/* `why` NULL: both halves are whole; else it was reset, by whom and why in words; h2_stream_code() has the code. */
	void (*closed)(void *self, struct h2_stream *stream, const char *why);
};

enum h2_role { H2_SERVER, H2_CLIENT };

/* `now_ms` is a monotonic clock. What a beginning connection sends is in h2_output(). */
struct h2 *h2_new(enum h2_role role, const struct h2_events *events, void *self, int64_t (*now_ms)(void));
/* Gives memory back that is only of use while something is said; when there is no stream. It may be called at any time. */
void h2_rest(struct h2 *h2);
/* Streams that are open are told to be closed. NULL is allowed. */
void h2_free(struct h2 *h2);

/* Takes all bytes. ERR_INVALID, ERR_LIMIT: the connection is over; h2_output() still gives the GOAWAY that says so. */
MUST_USE int h2_feed(struct h2 *h2, struct view bytes, struct err *err);
/* Appends what is to be sent, at most about H2_OUTPUT_BYTES_MAX: ask again until nothing is added. */
MUST_USE int h2_output(struct h2 *h2, struct buf *out, struct err *err);
/* Neither side has anything to say any more: the carrier may be closed. */
bool h2_over(const struct h2 *h2);
/* As client: may another request be sent now? h2_usable(): now, or when one of those under way has ended. */
bool h2_accepts(const struct h2 *h2);
bool h2_usable(const struct h2 *h2);
bool h2_mid_section(const struct h2 *h2); /* a header section has begun to come in, and not ended */
size_t h2_stream_count(const struct h2 *h2);
/* No new streams; those that are open go on. */
void h2_wind_down(struct h2 *h2);

/* As client: sends a request's head. The stream's `self` is for the caller. NULL: the connection takes no more. */
struct h2_stream *h2_request(struct h2 *h2, const struct h2_head *head, void *self, struct err *err);
/* As server: 1xx, or the final head. */
MUST_USE int h2_respond(struct h2_stream *stream, unsigned status, const struct h2_field *fields, size_t count, bool end,
			struct err *err);
/* Body of either side; copied, and sent as the peer has room. */
void h2_send(struct h2_stream *stream, struct view bytes, bool end);
/* Ends the body with trailers, after what waits. */
void h2_send_trailers(struct h2_stream *stream, const struct h2_field *fields, size_t count);
/* A server's stream whose answer is sent whole before the request came whole is reset by itself, with H2_NO_ERROR, unless the rest is short. */
void h2_reset(struct h2_stream *stream, uint32_t code);  /* enum h2_code, or what the other side of a gateway said */
uint32_t h2_stream_code(const struct h2_stream *stream); /* in `closed` */
/* Bytes of `data` were dealt with. */
void h2_consumed(struct h2_stream *stream, size_t bytes);
size_t h2_waiting(const struct h2_stream *stream); /* bytes to be sent that still wait */
uint64_t h2_sent(const struct h2_stream *stream);  /* bytes of the body that left */

int32_t h2_stream_id(const struct h2_stream *stream);
void *h2_stream_self(const struct h2_stream *stream);
void h2_stream_self_set(struct h2_stream *stream, void *self);

#endif
