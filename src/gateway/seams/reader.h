/*
 * reader: what reads along with a connection of a protocol other than HTTP and tells of each statement, command or message. It never
 * changes a byte, and what it does not understand (TLS, compression, a broken frame) turns it blind for the rest of the connection: then
 * nothing more is told and nothing is counted, and where the protocol is one that says so, an event "unread" tells why.
 *
 * Both ends are programs of the environment: all bytes are hostile, and everything kept is bounded.
 */
#ifndef ASSAY_GATEWAY_SEAMS_READER_H
#define ASSAY_GATEWAY_SEAMS_READER_H

#include "http/exchange.h"

#define READER_MESSAGES_KEPT_MAX ((size_t)4 << 20) /* bodies of messages that come in at once, of one connection */

/* Something that ended. Borrowed for the call. */
struct reader_event {
	const char *command; /* "query", "SET", "publish", "deliver", "ack" … */
	struct view
		statement; /* SQL text, a command with its arguments, the queue of a message; any bytes, perhaps cut; .at NULL: none */
	struct view place;    /* of a message: "exchange/routing key", subject, key of the stream; .at NULL: no message */
	const char *complete; /* "SELECT 3", kind of reply, "redelivered" …; NULL when it failed */
	const char *error;    /* what was answered, or why nothing was; NULL when it went well */
	int64_t begun_us;
	int64_t ended_us;
	struct exchange_headers *headers; /* of a message; may be NULL */
	struct exchange_body *body;       /* of a message; may be NULL; the callee may take it */
};

typedef void reader_tell(void *self, const struct reader_event *event);

struct reader_ops {
	const char *name; /* as exchanges have it */
	void *(*make)(reader_tell *tell, void *self);
	/* What still waits for an answer is told as failed with `why` (NULL: not told). */
	void (*end)(void *reader, const char *why, int64_t now_us);
	void (*client)(void *reader, struct view bytes, int64_t now_us);
	void (*server)(void *reader, struct view bytes, int64_t now_us);
	size_t (*in_flight)(const void *reader); /* asked and not answered, given and not acknowledged */
	/* Could the first bytes of a connection be of this protocol? NULL: never guessed. */
	bool (*looks)(struct view bytes, bool server);
	/* Does something in what was given to `client` last acknowledge a message? NULL: "ack" is told as soon as it is read. */
	bool (*acknowledges)(const void *reader);
};

#endif
