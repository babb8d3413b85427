/*
 * flow: durable workflows. A workflow is the list of what happened to it; folded, that is a position in a table of steps. An event is stored
 * before a step is begun and after it ended, so that after a crash at any point the step is begun again. Steps are therefore written to
 * be repeated.
 *
 * Several control planes may work on one store: each holds a lease, a workflow that one has taken is left alone by the others until that
 * lease is over, and what a control plane does after it lost its lease is refused by the store.
 *
 * What comes from outside (a message, a stop, a merge) is a signal: it is stored first, then the workflow is woken. A workflow that
 * waits holds no thread. What a failed step means is decided in one place by the kind of its error: ERR_RETRY and ERR_CONFLICT are
 * tried again with growing pauses, ERR_CANCELLED leaves the step to be begun again, everything else fails the workflow. A workflow that
 * fails or is stopped undoes what its steps did, last first, where they say how.
 *
 *	ready -> ready, waiting, done, failed, stopped      waiting -> ready, failed, stopped
 *	failed, stopped -> ready                            done is final
 */
#ifndef ASSAY_FLOW_FLOW_H
#define ASSAY_FLOW_FLOW_H

#include "base/world.h"
#include "flow/plane.h"
#include "store/store.h"

#define FLOW_NEXT_MAX 6
#define FLOW_SIGNAL_BYTES_MAX ((size_t)1 << 20)
#define FLOW_TIMER_NAME_MAX 64
#define FLOW_RETRY_FIRST_MS 500
#define FLOW_RETRY_LONGEST_MS 60000

enum flow_status { FLOW_READY, FLOW_WAITING, FLOW_DONE, FLOW_FAILED, FLOW_STOPPED };

/* One visit of a step. */
struct flow_visit {
	const char *id;
	const char *step;
	int visit;         /* how often this step was entered, 1… */
	int tries;         /* of this visit, 1…: more after ERR_RETRY and after a crash */
	const char *owner; /* whose lease it is done under, for flow_visit_held() */
	int64_t fence;
	const bool *cancelled; /* becomes true when the work should end with ERR_CANCELLED; read it atomically */
	/* Set by the step: where to go; neither means that the workflow is done. */
	const char *next;
	bool park; /* stay here until a signal comes, or wake_ms has passed; one that was there before the visit wakes nobody */
	int64_t wake_ms;  /* 0: only a signal, or a timer of the workflow's */
	char detail[256]; /* one line about how it went, shown to people */
};

/* In a transaction of a step that must not be one of who hung past its lease while another went on. ERR_CANCELLED: it is. */
MUST_USE int flow_visit_held(struct store_tx *tx, const struct flow_visit *visit, struct err *err);

/* What is done about an error of a kind; a table of them ends with ERR_NONE. */
struct flow_retry {
	enum err_kind kind;
	int tries_max;
	int64_t first_ms; /* the first pause; each next one is twice as long, give or take a quarter */
	int64_t longest_ms;
};

struct flow_step {
	const char *name;
	const char *next[FLOW_NEXT_MAX + 1]; /* where it may go; ends with NULL */
	int (*act)(void *self, struct flow_visit *visit, struct err *err);
	int tries_max;       /* of one visit, for ERR_RETRY and ERR_CONFLICT */
	int64_t deadline_ms; /* of one try: then it is cancelled and the workflow fails; 0: none */
	/* Undoes what a visit did, or began to do; repeated like a step, by the same rule. NULL: nothing is to be undone. */
	int (*undo)(void *self, struct flow_visit *visit, struct err *err);
	const struct flow_retry *retry; /* NULL: ERR_RETRY and ERR_CONFLICT, tries_max, the usual pauses */
};

/* What happened, told inside the transaction that stores it. */
struct flow_move {
	const char *step;
	const char *status; /* of the visit: running, done, failed, waiting */
	enum flow_status flow;
	bool began; /* the step was entered, not only gone on with */
	const char *detail;
	int64_t ms;        /* of the visit; -1 while it runs */
	const char *error; /* of a failed workflow */
};

struct flow_definition {
	const char *name;
	const struct flow_step *steps; /* the first one is where a workflow begins */
	size_t step_count;
	int (*moved)(void *self, struct store_tx *tx, const char *id, const struct flow_move *move, struct err *err);
	/* Before the workflow becomes failed or stopped; may be repeated. */
	void (*ending)(void *self, const char *id, enum flow_status final);
	/* Does one try of a step, or of its undoing, by calling `does`: for who measures it. NULL: nobody does. */
	int (*around)(void *self, int (*does)(void *self, struct flow_visit *visit, struct err *err), bool undoes,
		      struct flow_visit *visit, struct err *err);
};

struct flows;

/* Which control plane may do a workflow, where what its steps made is on one machine. */
enum flow_home {
	FLOW_ANYWHERE,    /* whoever is free */
	FLOW_WHERE_BEGUN, /* the one that started it */
	FLOW_WHERE_TAKEN, /* the first that is free, and that one until it is gone */
};

struct flow_options {
	struct store *store;
	const struct flow_definition *definition;
	void *self;
	struct world world;
	int workers;       /* threads; 0: none, flows_work() does it (for tests) */
	const char *plane; /* the name of this control plane, the same after each start; NULL: "local" */
	int64_t life_ms;   /* of its lease; 0: PLANE_LIFE_MS */
	enum flow_home home;
	int tenant_max;     /* so many workflows of one tenant at once, on all control planes; 0: any number */
	int repository_max; /* and of one repository */
};

/* Where a workflow stands in line. Higher priorities go first; among equals, tenants take turns. */
struct flow_line {
	const char *tenant;
	const char *repository;
	int priority;
};

/* Goes on with every workflow that was not finished, and looks again at every one that waits. ERR_CANCELLED or ERR_RETRY when the store
 * did not answer. */
MUST_USE int flows_open(const struct flow_options *options, struct flows **flow, struct err *err);
/* Cancels what is being done, waits for it; it is begun again at the next open. */
void flows_close(struct flows *flow);

/* Whose name and token are in what is taken: for an outbox that is worked on beside. */
struct plane *flows_plane(struct flows *flow);

/* In the caller's transaction, after whose commit flows_wake() is called. */
MUST_USE int flow_start(struct flows *flow, struct store_tx *tx, const char *id, struct flow_line line, struct err *err);
MUST_USE int flow_signal(struct flows *flow, struct store_tx *tx, const char *id, const char *kind, const json_t *data,
			 struct err *err);
/* [{"kind", "data", "time_ms"}] of what was not taken, in order; they are taken when the transaction commits. */
MUST_USE int flow_signals_take(struct store_tx *tx, const char *id, json_t **signals, struct err *err);
/* At due_ms the signal `timer` {"name"} comes; 0: never. A timer of the same name is replaced. */
MUST_USE int flow_timer_set(struct store_tx *tx, const char *id, const char *name, int64_t due_ms, struct err *err);
void flows_wake(struct flows *flow);

/* Stops at once: cancels the step, then ending(), then `stopped`. ERR_DENIED when it is over. */
MUST_USE int flow_stop(struct flows *flow, const char *id, struct err *err);
/* The same in the caller's transaction: a step that is being done here is cancelled within a second of its commit. */
MUST_USE int flow_stop_in(struct flows *flow, struct store_tx *tx, const char *id, struct err *err);
/* A failed or stopped workflow goes on from the step it was in, or from the first one that was undone: in the caller's transaction, after
 * whose commit flows_wake() is called. */
MUST_USE int flow_retry(struct flows *flow, struct store_tx *tx, const char *id, struct err *err);
/* Whoever lives in a control plane that is gone for so long may be taken by another one. Each is told of, in the transaction that moves it. */
MUST_USE int flow_homes_free(struct flows *flow, int64_t gone_ms, int *freed,
			     int (*moves)(void *self, struct store_tx *tx, const char *id, struct err *err), struct err *err);
/* How many are not over, waiting ones included; and how many of them wait for nothing but a thread or a pause. */
void flows_count(struct flows *flow, int *unfinished, int *active);
/* What one that could be done now waits for, for people; nothing is added when it is being done, waits for a signal, or is over. */
MUST_USE int flow_waits(struct flows *flow, struct store_tx *tx, const char *id, struct buf *out, struct err *err);
/* As in doc/api.md, `steps` of a run. */
json_t *flow_visits(struct store_tx *tx, const char *id, struct err *err);

/* Are all rows what their events lead to? ERR_BROKEN names the first that is not. */
MUST_USE int flows_check(struct store_tx *tx, struct err *err);

/* One visit, if any is due; *did says whether. For tests without threads. */
MUST_USE int flows_work(struct flows *flow, bool *did, struct err *err);
/* As a worker's thread does: up to so many visits, each of which may begin in the transaction that ends the one before. */
MUST_USE int flows_work_on(struct flows *flow, int visits_max, bool *did, struct err *err);

#endif
