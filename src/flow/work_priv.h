/* What flow.c, take.c and visit.c share: the control plane's side of workflows, which of them its threads are on, and one visit of a step. */
#ifndef ASSAY_FLOW_WORK_PRIV_H
#define ASSAY_FLOW_WORK_PRIV_H

#include <pthread.h>

#include "flow/flow_priv.h"

#define WORKERS_MAX 64

enum cancel_reason { CANCEL_NONE, CANCEL_STOP, CANCEL_DEADLINE, CANCEL_CLOSE };

struct busy {
	char id[FLOW_ID_MAX];
	bool cancelled; /* atomic */
	bool ending;    /* it is being undone already: a stop has nothing to add */
	enum cancel_reason reason;
	int64_t deadline_ms; /* monotonic; 0: none */
	struct busy *next;
};

struct flows {
	struct flow_options options;
	pthread_mutex_t lock;
	pthread_cond_t changed; /* for the workers: one is told, and tells the next when it has found something to do */
	pthread_cond_t closes;
	struct busy *busy;
	bool closing;
	int64_t wakes; /* counts calls of workers, so that none is missed between looking and sleeping */
	pthread_t threads[WORKERS_MAX + 2];
	int thread_count;
	struct plane plane;
	bool unsettled;   /* atomic: something that was taken was not put back */
	int64_t connects; /* atomic: of the store, when what was taken was last known to be what the store says */
	int64_t rung_ms;  /* atomic: when timers were rung last */
};

/* A workflow that was taken, with the visit that began. */
struct work {
	struct position position;
	struct busy *busy; /* NULL: nothing was due */
	int visit;         /* how often the step was entered; of one that ends, nothing */
	int64_t started_ms;
};

/* ---- take.c ---- */

struct busy **busy_find(struct flows *flow, const char *id); /* under lock; what it points to is NULL when there is none */
void busy_cancel(struct busy *busy, enum cancel_reason reason);
void busy_remove(struct flows *flow, struct busy *busy);
void worker_call(struct flows *flow); /* under lock: one more looks whether something is due */

/* Something that was taken is not being done: it is let go before the next one is taken. */
void flow_unsettle(struct flows *flow);
MUST_USE int flow_unsettled_release(struct flows *flow, struct err *err);

/* Takes the workflow that is first in line, if one is due, and begins its visit. */
MUST_USE int work_take(struct flows *flow, struct work *work, struct err *err);
/* The same in the caller's transaction; should that not commit, the caller calls busy_remove(). */
MUST_USE int work_take_in(struct flows *flow, struct store_tx *tx, struct work *work, struct err *err);

/* ---- visit.c ---- */

MUST_USE int flow_told(struct flows *flow, struct store_tx *tx, const char *id, const struct flow_move *move, struct err *err);
/* Does it, and stores what came of it. With `next`, which is nothing at first, it may take the next one in the same transaction. */
MUST_USE int work_do(struct flows *flow, const struct work *work, struct work *next, struct err *err);

#endif
