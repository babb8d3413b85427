/*
 * inbox: what outside services tell us (webhooks). A delivery at /hooks/CONNECTION is verified over its raw bytes, stored with its two names
 * (flow/inbox.h), answered, and acted on afterwards by a thread, once, those of one stream in order. What a kind of connection sends is a
 * row of the table in inbox.c.
 *
 * Acting is done in the transaction that marks the delivery done: only with the store (start a run, tell one, put an effect). What has to be
 * asked of the service first is an effect, and what follows from the answer is done when that is settled.
 */
#ifndef ASSAY_RUNS_INBOX_H
#define ASSAY_RUNS_INBOX_H

#include "flow/inbox.h"
#include "http/webhook.h"
#include "runs/connection.h"

struct runs;

/* The names of a delivery; texts are owned, and freed by who asked for them. */
struct inbox_keys {
	char *delivery;     /* the sender's id of it */
	char *content;      /* of what it says, the same when it is sent anew; NULL: only the delivery tells */
	char *stream;       /* in order within it; NULL: in any order */
	char *kind;         /* what the service calls it: "issues.opened" */
	char *answer;       /* JSON that is answered; NULL: {} */
	char *known;        /* an id of a thread: without that thread it is nothing of ours */
	int64_t time_ms;    /* when the body says that it was sent, for services that sign no header's time */
	int64_t age_max_ms; /* how far from now that may be; 0: any time */
	bool ignored;       /* nothing of ours: it is answered and not stored */
};

struct inbox_source {
	const char *name; /* the kind of connection: "linear" */
	/* Was it sent by the service (and now, where a header says so)? ERR_DENIED: no. Usually one call of webhook_verify(); the body is read once, by
	 * keys(). */
	int (*verify)(const struct connection *connection, const struct webhook_request *request, int64_t now_ms, struct err *err);
	/* Its names, from headers and body; `text` of the body is UTF-8 without NUL. ERR_INVALID: it is none that we know. */
	int (*keys)(const struct connection *connection, const struct webhook_request *request, struct inbox_keys *keys,
		    struct err *err);
	/* Acts on it. ERR_RETRY and ERR_CONFLICT: once more, later; any other error: it is dead, and stays to be looked at. */
	int (*take)(struct runs *runs, struct store_tx *tx, const struct connection *connection,
		    const struct inbox_message *message, struct err *err);
};

/* What came for a connection, and what became of it. */
struct runs_delivery {
	const char *connection;
	struct webhook_request request;
	char *answer;       /* owned by the caller: the JSON to send with 200; NULL when it failed */
	struct err failure; /* ERR_NONE: it is taken */
};

#define RUNS_DELIVERIES_MAX 64

/*
 * Deliveries that came at the same time. Returns when those that are taken outlive a loss of power. What one fails with is its own: ERR_NOT_FOUND: no
 * such connection, or one that takes none; ERR_DENIED: it is not signed by it; ERR_INVALID, ERR_LIMIT: it is never taken; ERR_RETRY: send
 * it again. At most RUNS_DELIVERIES_MAX. Any thread; blocks for the disk.
 */
void runs_deliveries_take(struct runs *runs, struct runs_delivery *deliveries, size_t count);
/* One; *answer is owned by the caller. */
MUST_USE int runs_delivery_take(struct runs *runs, const char *connection, const struct webhook_request *request, char **answer,
				struct err *err);

/* The same for what came over a connection that we opened: nobody has to sign it. */
MUST_USE int runs_delivery_keep(struct runs *runs, const char *connection, struct view body, struct err *err);

/* After the flows. With `threaded` a thread acts on what came; without, inboxes_work() does. */
MUST_USE int inboxes_open(struct runs *runs, bool threaded, struct err *err);
void inboxes_close(struct runs *runs);
/* Acts on what is due first, if anything is. */
MUST_USE int inboxes_work(struct runs *runs, bool *did, struct err *err);

#endif
