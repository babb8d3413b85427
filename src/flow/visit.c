/* One visit of a step: it is done without any lock, and what came of it is stored; and the end of a workflow that failed or was stopped. */
#include <assert.h>
#include <stdio.h>

#include "base/log.h"
#include "base/scope.h"
#include "flow/work_priv.h"

static const struct flow_step *step_find(const struct flows *flow, const char *name)
{
	for (size_t i = 0; i < flow->options.definition->step_count; i++)
		if (strcmp(flow->options.definition->steps[i].name, name) == 0)
			return &flow->options.definition->steps[i];
	return NULL;
}

static bool step_allows(const struct flow_step *step, const char *next)
{
	for (size_t i = 0; i < FLOW_NEXT_MAX && step->next[i]; i++)
		if (strcmp(step->next[i], next) == 0)
			return true;
	return false;
}

int flow_told(struct flows *flow, struct store_tx *tx, const char *id, const struct flow_move *move, struct err *err)
{
	return flow->options.definition->moved ? flow->options.definition->moved(flow->options.self, tx, id, move, err) : 0;
}

/* ---- one visit ---- */

/* The position as it is now, if it is still ours. */
static int position_again(struct flows *flow, struct store_tx *tx, const struct position *position, struct position *now,
			  struct err *err)
{
	const struct lease *lease = &flow->plane.lease;

	if (position_get(tx, position->id, now, err))
		return -1;
	if (strcmp(now->owner, lease->name) != 0 || now->fence != lease->token || now->visit != position->visit)
		return err_set(err, ERR_CONFLICT, "workflow %s was taken over by %s: what was done here is done again there",
			       position->id, now->owner[0] ? now->owner : "another control plane");
	now->owner[0] = '\0';
	return 0;
}

/* The visit is over, parked or paused: where the workflow stands now. */
static int visit_end_in(struct flows *flow, struct store_tx *tx, const struct position *position, const struct event *event,
			const struct flow_move *move, struct err *err)
{
	struct event whole = *event;
	struct position now;
	int64_t now_ms = world_now_ms(flow->options.world);
	int64_t signals = 0;

	if (position_again(flow, tx, position, &now, err))
		return -1;
	if (event->kind == EVENT_PAUSED && position->ending == FLOW_READY &&
	    now.ending != FLOW_READY) /* a stop waits for no pause */
		whole.number = 0;
	/* What came while the step looked elsewhere wakes it at once; what it left when it began is not for it. */
	if (event->kind == EVENT_PARKED &&
	    store_number_get(
		    tx, &signals, 0,
		    "SELECT count(*) FROM flow_signal WHERE flow = ? AND taken = 0 AND EXISTS (SELECT 1 FROM flow_event WHERE"
		    " flow_event.flow = flow_signal.flow AND flow_event.seq > ? AND flow_event.kind = 'signalled')",
		    VALUES(V(position->id), V(position->version)), err))
		return -1;
	return event_append(tx, now_ms, &now, &whole, err) ||
			       (signals && event_append(tx, now_ms, &now, &(struct event){.kind = EVENT_WOKEN}, err)) ||
			       flow_told(flow, tx, position->id, move, err)
		       ? -1
		       : 0;
}

static int visit_end(struct flows *flow, const struct position *position, const struct event *event, const struct flow_move *move,
		     struct err *err)
{
	AUTO_TX tx = {0};

	if (store_begin(flow->options.store, &tx, err) || visit_end_in(flow, &tx, position, event, move, err))
		return -1;
	return store_commit(&tx, err);
}

/* May this thread go on with another one at once? Where others write, too, the end of a visit is risked for nothing else. */
static bool may_go_on(struct flows *flow)
{
	bool closing;

	(void)pthread_mutex_lock(&flow->lock);
	closing = flow->closing;
	(void)pthread_mutex_unlock(&flow->lock);
	return !closing && !store_is_shared(flow->options.store) && !plane_is_lost(&flow->plane) &&
	       !__atomic_load_n(&flow->unsettled, __ATOMIC_SEQ_CST);
}

/* The visit ends and the next one begins in one transaction: half the writes. */
static int visit_end_and_take(struct flows *flow, const struct position *position, const struct event *event,
			      const struct flow_move *move, struct work *next, struct err *err)
{
	AUTO_TX tx = {0};

	if (store_begin(flow->options.store, &tx, err) || visit_end_in(flow, &tx, position, event, move, err) ||
	    work_take_in(flow, &tx, next, err))
		return -1;
	if (!store_commit(&tx, err))
		return 0;
	if (next->busy)
		busy_remove(flow, next->busy);
	next->busy = NULL;
	return -1;
}

/* What is to be done about an error of this kind; NULL: the workflow fails. */
static const struct flow_retry *retry_find(const struct flow_step *step, enum err_kind kind, struct flow_retry *usual)
{
	*usual = (struct flow_retry){kind, step->tries_max, FLOW_RETRY_FIRST_MS, FLOW_RETRY_LONGEST_MS};
	if (!step->retry)
		return kind == ERR_RETRY || kind == ERR_CONFLICT ? usual : NULL;
	for (const struct flow_retry *retry = step->retry; retry->kind != ERR_NONE; retry++)
		if (retry->kind == kind)
			return retry;
	return NULL;
}

int64_t flow_pause_ms(struct world world, int64_t first_ms, int64_t longest_ms, int tries)
{
	int64_t pause_ms = first_ms;
	uint32_t random = 0;

	for (int i = 1; i < tries && pause_ms < longest_ms; i++)
		pause_ms *= 2;
	if (pause_ms > longest_ms)
		pause_ms = longest_ms;
	world_random(world, &random, sizeof(random));
	return pause_ms * 3 / 4 + pause_ms * (int64_t)(random % 1024) / 2048;
}

/* Fails the workflow: that is stored first, so that it is tidied up even when we die in between. */
static int fail(struct flows *flow, const struct position *position, int64_t ms, const char *error, struct err *err)
{
	struct flow_move move = {position->step, "failed", FLOW_READY, false, error, ms, NULL};
	struct event event = {.kind = EVENT_FAILING, .text = error};

	return visit_end(flow, position, &event, &move, err);
}

/* What came of a step that ended without error. */
static int settle(struct flows *flow, const struct position *position, const struct flow_step *step, struct flow_visit *visit,
		  int64_t ms, struct work *next, struct err *err)
{
	struct flow_move move = {position->step, "done", FLOW_READY, false, visit->detail, ms, NULL};
	struct event event = {.kind = EVENT_WENT, .next = visit->next, .text = visit->detail};

	if (visit->park) {
		move.status = "waiting";
		move.flow = FLOW_WAITING;
		event = (struct event){.kind = EVENT_PARKED, .number = visit->wake_ms, .text = visit->detail};
	} else if (!visit->next) {
		move.flow = FLOW_DONE;
	} else {
		assert(step_allows(step, visit->next));
	}
	if (next && may_go_on(flow) && !visit_end_and_take(flow, position, &event, &move, next, err))
		return 0; /* else it is stored alone: nothing is done again because of another */
	return visit_end(flow, position, &event, &move, err);
}

/* What came of one that failed. */
static int settle_failed(struct flows *flow, const struct position *position, const struct flow_step *step,
			 const struct flow_visit *visit, int64_t ms, const struct err *failure, struct err *err)
{
	struct flow_retry usual;
	const struct flow_retry *retry = retry_find(step, failure->kind, &usual);
	struct flow_move move = {position->step, "running", FLOW_READY, false, failure->text, ms, NULL};
	struct event event = {.kind = EVENT_PAUSED, .text = failure->text};

	if (!retry || visit->tries >= retry->tries_max)
		return fail(flow, position, ms, failure->text, err);
	event.number = world_now_ms(flow->options.world) +
		       flow_pause_ms(flow->options.world, retry->first_ms, retry->longest_ms, visit->tries);
	return visit_end(flow, position, &event, &move, err);
}

static enum cancel_reason act(struct flows *flow, int64_t deadline_ms, struct busy *busy,
			      int (*does)(void *self, struct flow_visit *visit, struct err *err), struct flow_visit *visit,
			      int *status, struct err *failure)
{
	const struct flow_definition *definition = flow->options.definition;
	enum cancel_reason reason;

	(void)pthread_mutex_lock(&flow->lock);
	busy->deadline_ms = deadline_ms ? world_elapsed_ms(flow->options.world) + deadline_ms : 0;
	(void)pthread_mutex_unlock(&flow->lock);
	*status = definition->around ? definition->around(flow->options.self, does, busy->ending, visit, failure)
				     : does(flow->options.self, visit, failure);
	(void)pthread_mutex_lock(&flow->lock);
	busy->deadline_ms = 0;
	reason = busy->reason;
	(void)pthread_mutex_unlock(&flow->lock);
	return reason;
}

int flow_visit_held(struct store_tx *tx, const struct flow_visit *visit, struct err *err)
{
	/* Written, not only read: nobody takes it before this transaction has ended. */
	if (store_run(tx, "UPDATE flow SET owner = owner WHERE id = ? AND owner = ? AND fence = ?",
		      VALUES(V(visit->id), V(visit->owner), V(visit->fence)), err))
		return -1;
	return store_changed(tx)
		       ? 0
		       : err_set(err, ERR_CANCELLED, "another control plane has taken workflow %s over meanwhile", visit->id);
}

static int visit_do(struct flows *flow, const struct work *work, struct work *next, struct err *err)
{
	const struct position *position = &work->position;
	struct busy *busy = work->busy;
	const struct flow_step *step = step_find(flow, position->step);
	struct flow_visit visit = {.id = position->id,
				   .step = position->step,
				   .visit = work->visit,
				   .tries = position->tries,
				   .owner = position->owner,
				   .fence = position->fence,
				   .cancelled = &busy->cancelled};
	struct err failure = {0};
	enum cancel_reason reason;
	int64_t ms;
	int status;

	if (!step)
		return err_set(err, ERR_BROKEN, "workflow %s stands at the unknown step `%s`", position->id, position->step);
	reason = act(flow, step->deadline_ms, busy, step->act, &visit, &status, &failure);
	ms = world_now_ms(flow->options.world) - work->started_ms;
	if (!status)
		return settle(flow, position, step, &visit, ms, next, err);
	if (reason == CANCEL_STOP || (failure.kind == ERR_CANCELLED && reason == CANCEL_CLOSE)) {
		flow_unsettle(flow); /* a stop is stored; after a close the step begins again */
		return 0;
	}
	if (reason == CANCEL_DEADLINE) {
		AUTO_FREE char *text = text_format("%s took longer than %lld s", step->name, (long long)step->deadline_ms / 1000);

		return fail(flow, position, ms, text, err);
	}
	if (failure.kind == ERR_CANCELLED && !__atomic_load_n(&busy->cancelled, __ATOMIC_SEQ_CST))
		return err_set(err, ERR_CANCELLED, "%s", failure.text); /* the world ended under the step: begin it again */
	return settle_failed(flow, position, step, &visit, ms, &failure, err);
}

/* ---- the end of one that failed or was stopped ---- */

/* The last step that was entered, can be undone and was not: NULL when there is none. */
static const struct flow_step *undo_find(struct flows *flow, const char *id, struct flow_visit *visit, struct err *err)
{
	const struct flow_step *step = NULL;
	AUTO_TX tx = {0};
	AUTO_ROWS rows = {0};

	if (store_begin_free(flow->options.store, &tx, err) ||
	    store_query(
		    &tx, &rows,
		    "SELECT step, max(visit) FROM flow_visit WHERE flow = ? AND undone = 0 GROUP BY step ORDER BY max(seq) DESC",
		    VALUES(V(id)), err))
		return NULL;
	while (!step && store_rows_next(&rows)) {
		step = step_find(flow, store_rows_text(&rows, 0));
		if (step && !step->undo)
			step = NULL;
		if (step) {
			visit->step = step->name;
			visit->visit = (int)store_rows_number(&rows, 1);
		}
	}
	if (store_rows_finish(&rows, err))
		return NULL;
	return step;
}

/* Undoes one step; *done says whether none is left. */
static int undo_one(struct flows *flow, const struct position *position, struct busy *busy, bool *done, struct err *err)
{
	struct flow_visit visit = {.id = position->id,
				   .tries = position->tries + 1,
				   .owner = position->owner,
				   .fence = position->fence,
				   .cancelled = &busy->cancelled};
	struct err failure = {0};
	const struct flow_step *step = undo_find(flow, position->id, &visit, &failure);
	struct event event = {.kind = EVENT_UNDONE};
	struct flow_move move = {.status = "done", .flow = FLOW_READY, .ms = -1};
	struct flow_retry usual;
	const struct flow_retry *retry;
	int status = 0;

	*done = !step;
	if (!step)
		return failure.kind == ERR_NONE ? 0 : err_set(err, failure.kind, "%s", failure.text);
	move.step = event.step = step->name;
	if (act(flow, step->deadline_ms, busy, step->undo, &visit, &status, &failure) != CANCEL_NONE && status)
		return err_set(err, ERR_CANCELLED, "%s", failure.text);
	if (!status)
		return visit_end(flow, position, &event, &move, err);
	if (failure.kind == ERR_CANCELLED)
		return err_set(err, ERR_CANCELLED, "%s", failure.text);
	retry = retry_find(step, failure.kind, &usual);
	if (!retry || visit.tries >= retry->tries_max) {
		log_warn("flow=%s step=%s: cannot be undone: %s", position->id, step->name, failure.text);
		event.text = failure.text;
		return visit_end(flow, position, &event, &move, err);
	}
	event = (struct event){EVENT_PAUSED, step->name, NULL, 0, failure.text};
	event.number = world_now_ms(flow->options.world) +
		       flow_pause_ms(flow->options.world, retry->first_ms, retry->longest_ms, visit.tries);
	return visit_end(flow, position, &event, &move, err);
}

/* The workflow is to fail or stop: undo, tidy up, then say so. */
static int end_do(struct flows *flow, const struct position *position, struct busy *busy, struct err *err)
{
	struct flow_move move = {position->step, "failed", position->ending, false, NULL, 0, position->error};
	struct event event = {.kind = EVENT_ENDED};
	struct position now;
	AUTO_TX tx = {0};
	bool done;

	if (undo_one(flow, position, busy, &done, err))
		return -1;
	if (!done)
		return 0;
	if (flow->options.definition->ending)
		flow->options.definition->ending(flow->options.self, position->id, position->ending);
	if (store_begin(flow->options.store, &tx, err) || position_again(flow, &tx, position, &now, err) ||
	    event_append(&tx, world_now_ms(flow->options.world), &now, &event, err) ||
	    flow_told(flow, &tx, position->id, &move, err))
		return -1;
	return store_commit(&tx, err);
}

int work_do(struct flows *flow, const struct work *work, struct work *next, struct err *err)
{
	return work->position.ending == FLOW_READY ? visit_do(flow, work, next, err)
						   : end_do(flow, &work->position, work->busy, err);
}
