/*
 * websocket: the frames of RFC 6455 and permessage-deflate (RFC 7692), one direction at a time, strict. A reader turns bytes into parts
 * of messages, unmasked and inflated, and control frames; websocket_frame_write() makes frames again. Whoever sits in between reads with one
 * and writes with the other: nothing passes that was not understood, and what was split over frames arrives whole or in order.
 *
 * Frames are written uncompressed, which an agreed permessage-deflate allows (RFC 7692 6): so no context is kept for sending.
 */
#ifndef ASSAY_HTTP_WEBSOCKET_H
#define ASSAY_HTTP_WEBSOCKET_H

#include "base/buf.h"

#define WEBSOCKET_CONTROL_BYTES_MAX 125 /* RFC 6455 5.5 */
#define WEBSOCKET_RATIO_MAX 200         /* inflated to received, beyond the first mebibyte of a message */
#define WEBSOCKET_RATIO_FREE_BYTES ((uint64_t)1 << 20)
#define WEBSOCKET_KEY_BYTES 16
#define WEBSOCKET_OFFERS_MAX 16 /* extensions in one header */

enum websocket_opcode {
	WEBSOCKET_TEXT = 1,
	WEBSOCKET_BINARY = 2,
	WEBSOCKET_CLOSE = 8,
	WEBSOCKET_PING = 9,
	WEBSOCKET_PONG = 10,
};

/* Called within websocket_read(); views live as long as the call. */
struct websocket_events {
	/* The next part of a message, perhaps empty. The first part says so, and so does the last. Text is valid UTF-8 once it is whole. */
	void (*data)(void *self, enum websocket_opcode opcode, struct view bytes, bool first, bool last);
	/* A control frame; between the parts of a message too. Of WEBSOCKET_CLOSE the code and the reason are valid or absent. */
	void (*control)(void *self, enum websocket_opcode opcode, struct view payload);
};

struct websocket_spec {
	bool masked;                /* the sender is the client: every frame must be masked. Else none may be. */
	bool deflate;               /* permessage-deflate was agreed on */
	bool no_context_takeover;   /* … and this sender starts each message anew */
	uint64_t message_bytes_max; /* inflated; 0: no maximum */
	const struct websocket_events *events;
	void *self;
};

struct websocket_reader;

struct websocket_reader *websocket_reader_new(const struct websocket_spec *spec);
void websocket_reader_free(struct websocket_reader *reader); /* NULL is allowed */
/* Takes all bytes. ERR_INVALID: they are no WebSocket; ERR_LIMIT: a message too long or blown up. The reader is of no use after it. */
MUST_USE int websocket_read(struct websocket_reader *reader, struct view bytes, struct err *err);
/* Nothing may follow: a close frame came. Between messages: none is under way. */
bool websocket_closed(const struct websocket_reader *reader);
bool websocket_between_messages(const struct websocket_reader *reader);

/* One frame. `opcode` is the message's: frames after its first become continuations. `mask` NULL: not masked. */
void websocket_frame_write(struct buf *out, enum websocket_opcode opcode, bool first, bool last, const unsigned char *mask,
			   struct view payload);

/* Sec-WebSocket-Accept for a client's Sec-WebSocket-Key (RFC 6455 4.2.2). */
void websocket_accept_write(struct buf *out, struct view key);

/* What both sides agreed on, for each sender. */
struct websocket_deflate {
	bool agreed;
	bool client_no_context_takeover;
	bool server_no_context_takeover;
};

/* Sec-WebSocket-Extensions of a request (all such fields, joined by commas): writes to `out` those offers of permessage-deflate that are
 * understood here, in their order; nothing when there is none. ERR_INVALID: not the grammar of RFC 6455 9.1. */
MUST_USE int websocket_offers_filter(struct view value, struct buf *out, struct err *err);
/* The same field of the answer: empty, or one permessage-deflate. Anything else was not offered: ERR_INVALID. */
MUST_USE int websocket_deflate_parse(struct view value, struct websocket_deflate *deflate, struct err *err);

#endif
