/*
 * The engine of durable workflows.
 *
 * Theory of operation: the store is the truth; memory holds only which workflows a thread is on (`busy`), so that a stop finds the flag
 * to raise. In one transaction a worker takes the workflow that is first in line, writes this control plane's name and token into it
 * and stores that the visit began; it acts without any lock, and stores where it went if name and token are still there. A stop is
 * stored as `ending`, which every later visit obeys before anything else: so a stop that was answered survives a crash.
 *
 * What was taken and could not be put back, because the store failed, is `unsettled`: it is let go before the next one is taken. What a
 * control plane that died had taken is free when its lease is over, or at once when the same one begins again.
 */
#include "flow/flow.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/scope.h"
#include "flow/flow_priv.h"

#define WORKERS_MAX 64
#define STOPS_MS 500      /* how often it is looked for stops that others stored */
#define IDLE_WAIT_MS 1000 /* the longest a worker sleeps without looking at the clock */

enum cancel_reason { CANCEL_NONE, CANCEL_STOP, CANCEL_DEADLINE, CANCEL_CLOSE };

struct busy {
	char id[64];
	bool cancelled; /* atomic */
	bool ending;    /* it is being undone already: a stop has nothing to add */
	enum cancel_reason reason;
	int64_t deadline_ms; /* monotonic; 0: none */
	struct busy *next;
};

struct flows {
	struct flow_options options;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct busy *busy;
	bool closing;
	int64_t wakes; /* counts flows_wake, so that none is missed between looking and sleeping */
	pthread_t threads[WORKERS_MAX + 2];
	int thread_count;
	struct plane plane;
	bool unsettled; /* atomic: something that was taken was not put back */
};

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

static int told(struct flows *flow, struct store_tx *tx, const char *id, const struct flow_move *move, struct err *err)
{
	return flow->options.definition->moved ? flow->options.definition->moved(flow->options.self, tx, id, move, err) : 0;
}

/* Something that was taken is not being done: it is let go before the next one is taken. */
static void flow_unsettle(struct flows *flow)
{
	__atomic_store_n(&flow->unsettled, true, __ATOMIC_SEQ_CST);
}

/* ---- who is busy ---- */

static struct busy **busy_find(struct flows *flow, const char *id)
{
	struct busy **at = &flow->busy;

	while (*at && strcmp((*at)->id, id) != 0)
		at = &(*at)->next;
	return at;
}

static void busy_cancel(struct busy *busy, enum cancel_reason reason)
{
	if (busy->reason == CANCEL_NONE)
		busy->reason = reason;
	__atomic_store_n(&busy->cancelled, true, __ATOMIC_SEQ_CST);
}

static void busy_remove(struct flows *flow, struct busy *busy)
{
	struct busy **at;

	(void)pthread_mutex_lock(&flow->lock);
	at = &flow->busy;
	while (*at != busy) /* not by its id: another thread may have taken the workflow again already */
		at = &(*at)->next;
	*at = busy->next;
	flow->wakes++;
	(void)pthread_cond_broadcast(&flow->changed);
	(void)pthread_mutex_unlock(&flow->lock);
	free(busy);
}

/* ---- who takes what ---- */

/* What was taken and then left without a word (the store failed, a stop was stored) is let go. */
static int unsettled_release(struct flows *flow, struct err *err)
{
	AUTO_TX tx = {0};
	AUTO_ROWS rows = {0};
	const struct lease *lease = &flow->plane.lease;

	if (store_begin(flow->options.store, &tx, err) ||
	    store_query(&tx, &rows, "SELECT id FROM flow WHERE name = ? AND owner = ? AND fence = ?",
			VALUES(V(flow->options.definition->name), V(lease->name), V(lease->token)), err))
		return -1;
	while (store_rows_next(&rows)) {
		const char *id = store_rows_text(&rows, 0);
		bool busy;

		(void)pthread_mutex_lock(&flow->lock);
		busy = *busy_find(flow, id);
		(void)pthread_mutex_unlock(&flow->lock);
		if (!busy && store_run(&tx, "UPDATE flow SET owner = NULL WHERE id = ?", VALUES(V(id)), err))
			return -1;
	}
	return store_rows_finish(&rows, err) ? -1 : store_commit(&tx, err);
}

/* The first that is due and nobody's, and within the limits. */
static int due_find(struct flows *flow, struct store_tx *tx, struct position *position, bool *found, struct err *err)
{
	static const char sql[] =
		"SELECT " POSITION_COLUMNS
		" FROM flow WHERE name = ? AND status = 'ready' AND wake_ms <= ? AND (home = '' OR home = ?) AND " PLANE_NOBODYS(
			"flow") " AND (? = 0 OR (SELECT count(*) FROM flow other JOIN lease held ON held.name = other.owner AND held.token = other.fence"
				" WHERE other.name = flow.name AND other.owner IS NOT NULL AND other.tenant = flow.tenant AND held.until_ms > ?) < ?)"
				" AND (? = 0 OR (SELECT count(*) FROM flow other JOIN lease held ON held.name = other.owner AND held.token = other.fence"
				" WHERE other.name = flow.name AND other.owner IS NOT NULL AND other.repository = flow.repository AND held.until_ms > ?)"
				" < ?) ORDER BY priority DESC, rank LIMIT 1";
	const struct flow_options *options = &flow->options;
	int64_t store_ms;
	AUTO_ROWS rows = {0};

	if (store_now_ms(tx, options->world, &store_ms, err) ||
	    store_query(tx, &rows, sql,
			VALUES(V(options->definition->name), V(world_now_ms(options->world)), V(flow->plane.lease.name),
			       V(store_ms), V(options->tenant_max), V(store_ms), V(options->tenant_max), V(options->repository_max),
			       V(store_ms), V(options->repository_max)),
			err))
		return -1;
	*found = store_rows_next(&rows);
	if (*found)
		position_read(position, &rows);
	return store_rows_finish(&rows, err);
}

/* Writes our name into it. */
static int claim(struct flows *flow, struct store_tx *tx, struct position *position, struct err *err)
{
	const struct lease *lease = &flow->plane.lease;

	(void)snprintf(position->owner, sizeof(position->owner), "%s", lease->name);
	position->fence = lease->token;
	if (lease_check(tx, lease, err))
		return -1;
	return store_run(
		tx, "UPDATE flow SET owner = ?, fence = ?, home = CASE WHEN ? = 1 THEN ? ELSE home END WHERE id = ?",
		VALUES(V(lease->name), V(lease->token), V(flow->options.home == FLOW_WHERE_TAKEN), V(lease->name), V(position->id)),
		err);
}

static struct busy *busy_add(struct flows *flow, const struct position *position)
{
	struct busy *busy = mem_new(sizeof(*busy));

	(void)snprintf(busy->id, sizeof(busy->id), "%s", position->id);
	busy->ending = position->ending != FLOW_READY;
	(void)pthread_mutex_lock(&flow->lock);
	busy->next = flow->busy;
	flow->busy = busy;
	(void)pthread_mutex_unlock(&flow->lock);
	return busy;
}

/* Stores that the step runs: the visit that a crash or a pause left open goes on, else a new one begins. */
static int visit_begin(struct flows *flow, struct store_tx *tx, struct position *position, struct err *err)
{
	struct flow_move move = {position->step, "running", FLOW_READY, position->visit == 0, "", -1, NULL};
	struct event event = {.kind = EVENT_BEGUN};

	return event_append(tx, world_now_ms(flow->options.world), position, &event, err) ||
			       told(flow, tx, position->id, &move, err)
		       ? -1
		       : 0;
}

/* Takes the first workflow that is due, and begins its visit. */
static int pick(struct flows *flow, struct position *position, struct busy **taken, struct err *err)
{
	AUTO_TX tx = {0};
	bool found = false;

	*taken = NULL;
	if (store_begin(flow->options.store, &tx, err) || flow_timers_ring(flow, &tx, err) ||
	    due_find(flow, &tx, position, &found, err))
		return -1;
	if (!found)
		return tx.wrote ? store_commit(&tx, err) : 0;
	if (claim(flow, &tx, position, err) || (position->ending == FLOW_READY && visit_begin(flow, &tx, position, err)))
		return -1;
	*taken = busy_add(flow, position); /* before the commit: a stop that follows it finds it */
	if (!store_commit(&tx, err))
		return 0;
	busy_remove(flow, *taken);
	*taken = NULL;
	return -1;
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

/* The visit is over, parked or paused: stores it and where the workflow stands now. */
static int visit_end(struct flows *flow, const struct position *position, const struct event *event, struct flow_move *move,
		     struct err *err)
{
	struct event whole = *event;
	struct position now;
	AUTO_TX tx = {0};
	int64_t now_ms = world_now_ms(flow->options.world);
	int64_t signals = 0;

	if (store_begin(flow->options.store, &tx, err) || position_again(flow, &tx, position, &now, err))
		return -1;
	if (event->kind == EVENT_PAUSED && position->ending == FLOW_READY &&
	    now.ending != FLOW_READY) /* a stop waits for no pause */
		whole.number = 0;
	if (event->kind == EVENT_PARKED && /* what came while the step looked elsewhere wakes it at once */
	    store_number_get(&tx, &signals, 0, "SELECT count(*) FROM flow_signal WHERE flow = ? AND taken = 0",
			     VALUES(V(position->id)), err))
		return -1;
	if (event_append(&tx, now_ms, &now, &whole, err) ||
	    (signals && event_append(&tx, now_ms, &now, &(struct event){.kind = EVENT_WOKEN}, err)) ||
	    told(flow, &tx, position->id, move, err))
		return -1;
	return store_commit(&tx, err);
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
		  int64_t ms, struct err *err)
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

/* Which visit of its step it is, and when that began. */
static int visit_read(struct flows *flow, const struct position *position, struct flow_visit *visit, int64_t *started_ms,
		      struct err *err)
{
	AUTO_TX tx = {0};
	AUTO_ROWS rows = {0};

	visit->id = position->id;
	visit->step = position->step;
	visit->tries = position->tries;
	if (store_begin_free(flow->options.store, &tx, err) ||
	    store_query(&tx, &rows, "SELECT visit, started_ms FROM flow_visit WHERE flow = ? AND seq = ?",
			VALUES(V(position->id), V(position->visit)), err))
		return -1;
	if (!store_rows_next(&rows))
		return store_rows_finish(&rows, err) ? -1 : err_set(err, ERR_BROKEN, "workflow %s has lost a visit", position->id);
	visit->visit = (int)store_rows_number(&rows, 0);
	*started_ms = store_rows_number(&rows, 1);
	return store_rows_finish(&rows, err);
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

static int visit_do(struct flows *flow, const struct position *position, struct busy *busy, struct err *err)
{
	const struct flow_step *step = step_find(flow, position->step);
	struct flow_visit visit = {.cancelled = &busy->cancelled};
	struct err failure = {0};
	enum cancel_reason reason;
	int64_t started_ms = 0;
	int64_t ms;
	int status;

	if (!step)
		return err_set(err, ERR_BROKEN, "workflow %s stands at the unknown step `%s`", position->id, position->step);
	if (visit_read(flow, position, &visit, &started_ms, err))
		return -1;
	reason = act(flow, step->deadline_ms, busy, step->act, &visit, &status, &failure);
	ms = world_now_ms(flow->options.world) - started_ms;
	if (!status)
		return settle(flow, position, step, &visit, ms, err);
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
	struct flow_visit visit = {.id = position->id, .tries = position->tries + 1, .cancelled = &busy->cancelled};
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
	    event_append(&tx, world_now_ms(flow->options.world), &now, &event, err) || told(flow, &tx, position->id, &move, err))
		return -1;
	return store_commit(&tx, err);
}

int flows_work(struct flows *flow, bool *did, struct err *err)
{
	struct position position;
	struct busy *busy;
	int status;

	*did = false;
	if (!flow->options.workers && plane_renew(&flow->plane, err))
		return -1;
	if (plane_is_lost(&flow->plane))
		return err_set(err, ERR_CONFLICT, "another control plane is called %s", flow->plane.lease.owner);
	if (__atomic_exchange_n(&flow->unsettled, false, __ATOMIC_SEQ_CST) && unsettled_release(flow, err)) {
		flow_unsettle(flow);
		return -1;
	}
	if (pick(flow, &position, &busy, err))
		return -1;
	if (!busy)
		return 0;
	*did = true;
	status = position.ending == FLOW_READY ? visit_do(flow, &position, busy, err) : end_do(flow, &position, busy, err);
	busy_remove(flow, busy);
	if (status)
		flow_unsettle(flow);
	return status;
}

/* ---- threads ---- */

static void sleep_until_changed(struct flows *flow, int64_t seen, int64_t timeout_ms)
{
	struct timespec until;

	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)(timeout_ms / 1000);
	until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	while (flow->wakes == seen && !flow->closing)
		if (pthread_cond_timedwait(&flow->changed, &flow->lock, &until))
			break;
}

static void *worker_main(void *self)
{
	struct flows *flow = self;
	bool closing = false;

	while (!closing) {
		struct err err = {0};
		bool did = false;
		int64_t seen;

		(void)pthread_mutex_lock(&flow->lock);
		seen = flow->wakes;
		(void)pthread_mutex_unlock(&flow->lock);
		if (flows_work(flow, &did, &err))
			log_warn("flow: %s", err.text);
		(void)pthread_mutex_lock(&flow->lock);
		if (!did || err.kind != ERR_NONE)
			sleep_until_changed(flow, err.kind == ERR_NONE ? seen : flow->wakes, IDLE_WAIT_MS);
		closing = flow->closing;
		(void)pthread_mutex_unlock(&flow->lock);
	}
	return NULL;
}

/* Raises the flag of steps that are over their deadline, and of all when others may have taken over. */
static void *deadline_main(void *self)
{
	struct flows *flow = self;

	(void)pthread_mutex_lock(&flow->lock);
	while (!flow->closing) {
		int64_t now_ms = world_elapsed_ms(flow->options.world);
		bool late = plane_is_late(&flow->plane);

		for (struct busy *busy = flow->busy; busy; busy = busy->next)
			if (late || (busy->deadline_ms && busy->deadline_ms <= now_ms))
				busy_cancel(busy, late ? CANCEL_CLOSE : CANCEL_DEADLINE);
		sleep_until_changed(flow, flow->wakes, IDLE_WAIT_MS);
	}
	(void)pthread_mutex_unlock(&flow->lock);
	return NULL;
}

/* Stops that others stored (another control plane, a delivery) about what is being done here. */
static int stops_read(struct flows *flow, struct err *err)
{
	AUTO_TX tx = {0};
	AUTO_ROWS rows = {0};

	if (store_begin_free(flow->options.store, &tx, err) ||
	    store_query(&tx, &rows, "SELECT id FROM flow WHERE name = ? AND owner = ? AND ending IS NOT NULL",
			VALUES(V(flow->options.definition->name), V(flow->plane.lease.name)), err))
		return -1;
	(void)pthread_mutex_lock(&flow->lock);
	while (store_rows_next(&rows)) {
		struct busy *busy = *busy_find(flow, store_rows_text(&rows, 0));

		if (busy && !busy->ending)
			busy_cancel(busy, CANCEL_STOP);
	}
	(void)pthread_mutex_unlock(&flow->lock);
	return store_rows_finish(&rows, err);
}

/* Keeps the lease, and, where the store is shared, hears of what others commit. */
static void *plane_main(void *self)
{
	struct flows *flow = self;
	bool closing = false;
	int64_t looked_ms = 0;

	while (!closing) {
		int64_t seen = store_version(flow->options.store);
		int64_t now_ms = world_elapsed_ms(flow->options.world);
		bool looks = now_ms - looked_ms >= STOPS_MS;
		struct err err = {0};

		if (looks)
			looked_ms = now_ms;
		if (plane_renew(&flow->plane, &err) || (looks && stops_read(flow, &err)))
			log_warn("flow: %s", err.text);
		store_wait(flow->options.store, seen,
			   flow->plane.life_ms / 4 < IDLE_WAIT_MS ? flow->plane.life_ms / 4 : IDLE_WAIT_MS);
		if (store_is_shared(flow->options.store))
			flows_wake(flow);
		(void)pthread_mutex_lock(&flow->lock);
		closing = flow->closing;
		(void)pthread_mutex_unlock(&flow->lock);
	}
	return NULL;
}

static int thread_add(struct flows *flow, void *(*body)(void *self), struct err *err)
{
	int problem = pthread_create(&flow->threads[flow->thread_count], NULL, body, flow);

	if (problem)
		return err_errno(err, problem, "cannot start a thread");
	flow->thread_count++;
	return 0;
}

/* Whoever waits looks at the facts again: what it waits for may have happened while nobody ran. */
static int waiting_wake(struct flows *flow, struct err *err)
{
	AUTO_TX tx = {0};

	if (store_begin(flow->options.store, &tx, err) ||
	    store_run(&tx, "UPDATE flow SET wake_ms = 1 WHERE name = ? AND status = 'waiting' AND (home = '' OR home = ?)",
		      VALUES(V(flow->options.definition->name), V(flow->plane.lease.name)), err))
		return -1;
	return store_commit(&tx, err);
}

int flows_open(const struct flow_options *options, struct flows **flow, struct err *err)
{
	struct flows *self = mem_new(sizeof(*self));
	pthread_condattr_t clock;

	assert(options->workers <= WORKERS_MAX);
	self->options = *options;
	(void)pthread_mutex_init(&self->lock, NULL);
	(void)pthread_condattr_init(&clock);
	(void)pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&self->changed, &clock);
	(void)pthread_condattr_destroy(&clock);
	if (plane_open(&self->plane, options->store, options->world, options->plane ? options->plane : "local", options->life_ms,
		       err) ||
	    waiting_wake(self, err) ||
	    (options->workers && (thread_add(self, deadline_main, err) || thread_add(self, plane_main, err)))) {
		flows_close(self);
		return -1;
	}
	for (int i = 0; i < options->workers; i++)
		if (thread_add(self, worker_main, err)) {
			flows_close(self);
			return -1;
		}
	*flow = self;
	return 0;
}

void flows_close(struct flows *flow)
{
	if (!flow)
		return;
	(void)pthread_mutex_lock(&flow->lock);
	flow->closing = true;
	for (struct busy *busy = flow->busy; busy; busy = busy->next)
		busy_cancel(busy, CANCEL_CLOSE);
	(void)pthread_cond_broadcast(&flow->changed);
	(void)pthread_mutex_unlock(&flow->lock);
	store_nudge(flow->options.store);
	for (int i = 0; i < flow->thread_count; i++)
		(void)pthread_join(flow->threads[i], NULL);
	plane_close(&flow->plane);
	(void)pthread_cond_destroy(&flow->changed);
	(void)pthread_mutex_destroy(&flow->lock);
	free(flow);
}

void flows_wake(struct flows *flow)
{
	(void)pthread_mutex_lock(&flow->lock);
	flow->wakes++;
	(void)pthread_cond_broadcast(&flow->changed);
	(void)pthread_mutex_unlock(&flow->lock);
}

/* ---- from outside (signal.c has the rest) ---- */

const struct flow_options *flows_options(const struct flows *flow)
{
	return &flow->options;
}

struct plane *flows_plane(struct flows *flow)
{
	return &flow->plane;
}

int flow_stop_in(struct flows *flow, struct store_tx *tx, const char *id, struct err *err)
{
	struct position position;

	if (position_get(tx, id, &position, err))
		return -1;
	if (position.status != FLOW_READY && position.status != FLOW_WAITING)
		return err_set(err, ERR_DENIED, "%s is over: it is %s", id, flow_status_name(position.status));
	if (position.ending != FLOW_READY)
		return 0;
	return event_append(tx, world_now_ms(flow->options.world), &position, &(struct event){.kind = EVENT_STOPPING}, err);
}

static int stop_store(struct flows *flow, const char *id, struct err *err)
{
	AUTO_TX tx = {0};

	if (store_begin(flow->options.store, &tx, err) || flow_stop_in(flow, &tx, id, err))
		return -1;
	return tx.wrote ? store_commit_synced(&tx, err) : 0;
}

int flow_stop(struct flows *flow, const char *id, struct err *err)
{
	struct busy *busy;

	if (stop_store(flow, id, err))
		return -1;
	(void)pthread_mutex_lock(&flow->lock);
	busy = *busy_find(flow, id);
	if (busy && !busy->ending)
		busy_cancel(busy, CANCEL_STOP);
	(void)pthread_mutex_unlock(&flow->lock);
	flows_wake(flow);
	return 0;
}

/* The first step that was undone and not entered since, or the one it stands at. */
static int retry_step(struct store_tx *tx, const struct position *position, char step[FLOW_STEP_MAX], struct err *err)
{
	AUTO_ROWS rows = {0};

	(void)snprintf(step, FLOW_STEP_MAX, "%s", position->step);
	if (store_query(tx, &rows,
			"SELECT step FROM flow_visit WHERE flow = ? AND undone = 1 AND step NOT IN"
			" (SELECT step FROM flow_visit WHERE flow = ? AND undone = 0) ORDER BY seq LIMIT 1",
			VALUES(V(position->id), V(position->id)), err))
		return -1;
	if (store_rows_next(&rows))
		(void)snprintf(step, FLOW_STEP_MAX, "%s", store_rows_text(&rows, 0));
	return store_rows_finish(&rows, err);
}

int flow_retry(struct flows *flow, struct store_tx *tx, const char *id, struct err *err)
{
	struct event event = {.kind = EVENT_RETRIED};
	char step[FLOW_STEP_MAX];
	struct position position;

	if (position_get(tx, id, &position, err))
		return -1;
	if (position.status != FLOW_FAILED && position.status != FLOW_STOPPED)
		return err_set(err, ERR_DENIED, "%s is %s: only a failed or stopped one can be tried again", id,
			       flow_status_name(position.status));
	if (retry_step(tx, &position, step, err))
		return -1;
	event.next = step;
	return event_append(tx, world_now_ms(flow->options.world), &position, &event, err);
}
