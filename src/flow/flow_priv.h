/* What the files of flow/ share: where a workflow stands, what happens to it, and the control plane that is on it. */
#ifndef ASSAY_FLOW_FLOW_PRIV_H
#define ASSAY_FLOW_FLOW_PRIV_H

#include "flow/flow.h"

#define FLOW_ID_MAX 64
#define FLOW_STEP_MAX 32

const struct flow_options *flows_options(const struct flows *flow);

/* Timers that are due become signals, and who has slept long enough is woken. */
MUST_USE int flow_timers_ring(struct flows *flow, struct store_tx *tx, struct err *err);
/* The pause before the next try: twice as long each time, give or take a quarter. */
int64_t flow_pause_ms(struct world world, int64_t first_ms, int64_t longest_ms, int tries);

const char *flow_status_name(enum flow_status status);

/* Where a workflow stands: what its events lead to, and who is on it. */
struct position {
	char id[FLOW_ID_MAX];
	char step[FLOW_STEP_MAX];
	enum flow_status status;
	enum flow_status ending; /* FLOW_READY: none */
	int tries;
	int64_t wake_ms;
	int64_t version;
	int64_t visit; /* the open one; 0: none */
	char error[ERR_TEXT_MAX];
	/* not of its events */
	char owner[LEASE_NAME_MAX];
	int64_t fence;
};

enum event_kind {
	EVENT_IMPORTED,  /* from before there were events: next is its status, number its tries */
	EVENT_STARTED,   /* at step */
	EVENT_BEGUN,     /* a visit of step, or one more try of the open visit */
	EVENT_WENT,      /* step is done, next is the next; without next the workflow is done; text is the detail */
	EVENT_PARKED,    /* step waits for a signal, or until number */
	EVENT_WOKEN,     /* that time has come */
	EVENT_PAUSED,    /* step is tried again at number; text is the error */
	EVENT_SIGNALLED, /* text is the signal's kind */
	EVENT_FAILING,   /* text is the error */
	EVENT_STOPPING,  /* a person said so */
	EVENT_UNDONE,    /* step; text is why it could not be */
	EVENT_ENDED,     /* failed or stopped */
	EVENT_RETRIED,   /* it goes on at next */
};

struct event {
	enum event_kind kind;
	const char *step; /* NULL: the position's */
	const char *next;
	int64_t number;
	const char *text;
};

/* Appends it to what the position was read from: ERR_CONFLICT when somebody was faster. The position is the new one afterwards. */
MUST_USE int event_append(struct store_tx *tx, int64_t now_ms, struct position *position, const struct event *event,
			  struct err *err);
MUST_USE int position_get(struct store_tx *tx, const char *id, struct position *position, struct err *err);

#define POSITION_COLUMNS "id, step, status, ending, tries, wake_ms, version, visit, error, owner, fence"
void position_read(struct position *position, struct store_rows *rows);

#endif
