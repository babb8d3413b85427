/*
 * link: one SOCK_SEQPACKET connection between two of our processes, speaking net/messages.h in both directions: requests with an id,
 * replies, and notices that want none. Descriptors travel along. A body over 60 KiB travels in a memfd, unseen by the users.
 *
 * Each end gives a table of what it accepts: {name, who may send it, handler}; everything else is answered with an error. A link
 * is driven by a loop (link_on_loop) or by a reader thread of its own (link_on_thread); handlers run there and must not block.
 * A request is answered by link_reply, then or later, from any thread. When the peer goes away every waiting request fails with
 * ERR_RETRY and `closed` is called once.
 */
#ifndef ASSAY_NET_LINK_H
#define ASSAY_NET_LINK_H

#include "base/json.h"
#include "net/messages.h"

struct loop;
struct link;

#define LINK_FDS_MAX 8
#define LINK_BODY_BYTES_MAX ((size_t)16 << 20)

enum link_role { LINK_CONTROL = 1, LINK_GATEWAY = 2 };

struct link_message {
	uint16_t name;
	uint64_t request;      /* 0: a notice, not to be answered */
	json_t *body;          /* an object; a handler that keeps it takes it (TAKE): jansson's counts are not for two threads */
	int fds[LINK_FDS_MAX]; /* a handler that keeps one sets its place to -1; the others are closed after it */
	size_t fd_count;
};

struct link_row {
	uint16_t name;
	enum link_role from;
	void (*handle)(void *self, struct link *link, struct link_message *message);
};

struct link_spec {
	int fd;              /* the link's own from now on, also on failure */
	enum link_role peer; /* who is at the other end */
	const struct link_row *rows;
	size_t row_count;
	void (*closed)(void *self, struct link *link); /* may be NULL */
	void *self;
};

/* What it brings is handled before all else that a turn of the loop does. */
struct link *link_on_loop(struct loop *loop, const struct link_spec *spec, struct err *err);
struct link *link_on_thread(const struct link_spec *spec, struct err *err);
/* Stops it and waits for the reader thread; not from a handler of a threaded link. NULL is fine. */
void link_free(struct link *link);

/* Is the peer gone? Any thread. */
bool link_is_over(struct link *link);
/* Sends a request and waits for its answer: an object owned by the caller, or NULL: the peer's error, ERR_RETRY after timeout_ms or
 * when the peer is gone. Descriptors stay the caller's. Any thread but the one that reads the link. */
json_t *link_call(struct link *link, uint16_t name, const json_t *body, const int *fds, size_t fd_count, int64_t timeout_ms,
		  struct err *err);
/* As link_call for the thread that reads: `answered` is called there once, with the answer, or NULL and an error. */
MUST_USE int link_ask(struct link *link, uint16_t name, const json_t *body,
		      void (*answered)(void *self, json_t *answer, const struct err *err), void *self, struct err *err);
/* A notice: dropped, with a log line, when the peer is gone or does not read. Any thread. */
void link_notify(struct link *link, uint16_t name, const json_t *body);

/* Answers `message` (or a copy of its name and id kept for later). `body` may be NULL: {"ok": true}; else "ok" is added to a copy of
 * it. With `failure` the answer is the error. Any thread; an answer to a notice, or after the peer went, is dropped. */
void link_reply(struct link *link, uint16_t name, uint64_t request, const json_t *body, const struct err *failure);

#endif
