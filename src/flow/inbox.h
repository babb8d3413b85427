/*
 * inbox: what came from outside, stored before anybody is told that it was taken, and acted on once.
 *
 * A message has two names: that of its delivery, which a sender repeats when our answer was lost, and that of its content, which stays the
 * same when it is sent anew (a webhook redelivered by hand). Known by either, it is taken and nothing happens. What is done about a
 * message, and that it was done, are one transaction; from then on its names are kept, and what it said is not. Messages of one stream (an
 * issue, a pull request) are acted on in order.
 */
#ifndef ASSAY_FLOW_INBOX_H
#define ASSAY_FLOW_INBOX_H

#include "base/world.h"
#include "store/store.h"

#define INBOX_BYTES_MAX ((size_t)25 << 20) /* of one message: GitHub sends up to 25 MB */
#define INBOX_TRIES_MAX 20
#define INBOX_TOGETHER_MAX 32

struct inbox_message {
	const char *source;   /* "github", "linear": names are unique within it */
	const char *delivery; /* the sender's id of this delivery */
	const char *content;  /* NULL: only the delivery tells */
	const char *stream;   /* NULL: in any order */
	const char *kind;
	struct view data;
};

/* What became of a message that was given to be kept. */
struct inbox_result {
	bool seen; /* it was known */
	struct err
		failure; /* ERR_NONE: it is kept. ERR_LIMIT: too long; after any error the sender must be told to send it again */
};

/* Returns when all that are kept outlive a loss of power: one transaction and one write to the disk for all of them, shared with those who
 * call at the same time. What cannot be kept keeps no other from it. Goes before whoever acts on messages. */
void inbox_accept_all(struct store *store, struct world world, const struct inbox_message *messages, size_t count,
		      struct inbox_result *results);
/* The same for one. */
MUST_USE int inbox_accept(struct store *store, struct world world, const struct inbox_message *message, bool *seen,
			  struct err *err);

struct inbox {
	struct store *store;
	struct world world;
	/* Acts on it, in the transaction that marks it done: only with the store, and so that it can be begun again. ERR_RETRY and
	 * ERR_CONFLICT are tried again, up to INBOX_TRIES_MAX times; with any other error the message is dead, and stays to be looked at. */
	int (*act)(void *self, struct store_tx *tx, const struct inbox_message *message, struct err *err);
	void *self;
};

/* Acts on the messages that are due first, if there are any: up to INBOX_TOGETHER_MAX in one transaction, fewer while others wait to have theirs
 * kept. One that fails is put off alone. */
MUST_USE int inbox_work(const struct inbox *inbox, bool *did, struct err *err);

#endif
