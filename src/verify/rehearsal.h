/*
 * rehearsal: the recorded sessions of a verification, sent to a fresh environment of one of the versions.
 *
 * Theory of operation: requests go one after the other through the preview, and the environment is waited for to be quiet after each, so
 * that every call, row and event belongs to one request. What it comes to is a run, as verify/compare.h has it. A gate may ask more on
 * the way: before a request is sent as recorded, its hook is called, which may send it otherwise first.
 */
#ifndef ASSAY_VERIFY_REHEARSAL_H
#define ASSAY_VERIFY_REHEARSAL_H

#include "verify/ladder.h"
#include "verify/replay.h"

#define REQUEST_TIMEOUT_MS 15000

struct rehearsal {
	struct ladder *ladder;
	struct replay **replays;
	size_t count;
	json_t *sessions; /* [{"name", "digest", "requests", "held_out"}], as `replays` */
	int64_t requests;
};

/* Reads the base's sessions and the held-out ones; `digests` gets a line for each. What cannot be replayed is told in not_covered. */
struct rehearsal *rehearsal_load(struct ladder *ladder, struct buf *digests, struct err *err);
void rehearsal_free(struct rehearsal *rehearsal);

/* The place of the session of that name; `count` when there is none. */
size_t rehearsal_session(const struct rehearsal *rehearsal, const char *name);

/* A request whose exchanges are in the log, and have not been read. */
struct unread {
	json_t *entry; /* borrowed from the run */
	int number;    /* of its phase */
	int64_t end;   /* of its part of the log; it begins where the one before ends */
};

/* One run at work. */
struct running {
	struct side *side;
	const struct rehearsal *rehearsal;
	const char *preview;
	json_t *entries; /* of the run */
	int64_t exchanges_from;
	int quiet_misses;
	int sent;
	struct unread *unread; /* owned */
	size_t unread_count;
	json_t *traces; /* of what was sent, for what the application says of it (verify/said.h); owned */
	json_t *rows;   /* the hook's: how many there were of each table; owned */
};

/* What a run is made by. */
struct rehearsal_plan {
	const struct rehearsal *rehearsal;
	/* Before a request of a session is sent as recorded; `entries` are the session's so far. NULL: nothing is done. */
	int (*before)(struct running *running, const struct rehearsal_plan *plan, size_t session, size_t index,
		      const json_t *entries, struct err *err);
	/* After the last request. NULL: nothing is done. */
	int (*after)(struct running *running, const struct rehearsal_plan *plan, struct err *err);
	bool apart; /* what is written and logged belongs to what the hook did: none of the whole run is taken */
	const void *self;
};

/* How a request is sent. */
struct sending {
	const char *under; /* what is special about it: a part of its place; NULL: nothing */
	int64_t timeout_ms;
	bool read_later; /* its "seams" come when the session is over: nothing in between looks at them */
	bool in_passing; /* only on the way to another: nobody waits for quiet, and what it calls is not looked at */
	/* Once it was answered, or was not in time, before the environment is waited for. May be NULL. */
	int (*answered)(struct running *running, struct err *err);
};

/* Sends a request of a session and waits for the environment to be quiet. The entry, with its "seams", is borrowed from the run; NULL on
 * failure. */
json_t *running_send(struct running *running, size_t session, size_t index, const json_t *entries, const struct sending *how,
		     struct err *err);

/* For hooks that send on their own: waits for the environment to be quiet; one that never is, is left alone after a while. */
MUST_USE int running_quiet(struct running *running, struct err *err);
/* Waits a while for programs that ended to be started again. One that does not come back is met by the next request. */
void running_recover(struct running *running);
/* Breaks a seam (gateway/fault.h), and mends all. */
MUST_USE int running_break(struct running *running, const json_t *fault, struct err *err);
MUST_USE int running_mend(struct running *running, struct err *err);

/* The work of a side whose `argument` is a plan: environment up, the sessions, rows written, environment down. Sets `run`. */
void side_rehearse(struct side *side);
/* Of base or head by its label. */
struct side rehearsal_side(const struct rehearsal_plan *plan, const char *gate, const char *label);

/* Who took part in an exchange: for what is not covered. */
void rehearsal_seen(struct ladder *ladder, const json_t *exchange);

/* How to come to the request of a finding by hand ("session" and "entry" of it); of a held-out session no other request is told. `before` are
 * commands that go first ("" for none). */
void rehearsal_reproduce(const struct rehearsal *rehearsal, json_t *finding, const char *before);

#endif
