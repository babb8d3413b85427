/*
 * effect: what a run does outside (a comment, a state, a pull request, a webhook), stored by the step that wants it in the step's own
 * transaction, and sent afterwards by threads of its own. What is promised of order, repetition, limits and chatter is said in
 * flow/outbox.h. A kind of effect is a row of the table in effect.c: who sends it, and who is told what came of it.
 */
#ifndef ASSAY_RUNS_EFFECT_H
#define ASSAY_RUNS_EFFECT_H

#include "flow/flow.h"
#include "flow/outbox.h"

struct runs;

struct effect_kind {
	const char *name; /* "hook", "linear.post" */
	/* Sends it; blocks for a minute at most. ERR_RETRY and ERR_CONFLICT: once more, after a pause; ERR_LIMIT: its whole tenant waits until
	 * answer->blocked_until_ms; any other error: it is dead. */
	int (*send)(struct runs *runs, const struct outbox_effect *effect, struct outbox_answer *answer, struct err *err);
	/* Did an earlier try happen, whose answer was lost? NULL: the receiver knows operations, or the same again changes nothing. */
	int (*happened)(struct runs *runs, const struct outbox_effect *effect, bool *did, struct outbox_answer *answer,
			struct err *err);
	/* It was sent (failure NULL), or never will be; in the transaction that stores it: only with the store. NULL: nobody asks. */
	int (*settled)(struct runs *runs, struct store_tx *tx, const struct outbox_effect *effect, const char *answer,
		       const struct err *failure, struct err *err);
};

struct effect {
	const char *kind;
	const char *operation; /* unique, and the same when the step is begun again: effect_operation() */
	const char *tenant;    /* whom an announced limit blocks: "linear/CONNECTION" */
	const char *target;    /* within which order is kept: "linear/ENG-12" */
	const json_t *data;
	bool chatter; /* progress that the next line makes obsolete */
};

/* In the caller's transaction; what was put under this operation before stays as it is. */
MUST_USE int effect_put(struct runs *runs, struct store_tx *tx, const struct effect *effect, struct err *err);
/* "RUN/STEP/VISIT/WHAT"; owned by the caller. */
char *effect_operation(const struct flow_visit *visit, const char *what);

/* After the flows. Starts the threads; with `threads` 0 effects_work() does it. */
MUST_USE int effects_open(struct runs *runs, int threads, struct err *err);
void effects_close(struct runs *runs);
/* Sends what is due first, if anything is. */
MUST_USE int effects_work(struct runs *runs, bool *did, struct err *err);

#endif
