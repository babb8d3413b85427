/*
 * The engine of durable workflows.
 *
 * Theory of operation: the table `flow` is the truth; memory holds only which workflows a thread is on (`busy`), so that no two
 * threads take the same one and a stop finds the flag to raise. A worker picks the workflow that is due first, stores that the visit
 * runs, acts without any lock, and stores where it went. A stop is stored as `ending`, which every later visit obeys before anything
 * else: so a stop that was answered survives a crash.
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
#define IDLE_WAIT_MS 1000 /* the longest a worker sleeps without looking at the clock */

enum cancel_reason { CANCEL_NONE, CANCEL_STOP, CANCEL_DEADLINE, CANCEL_CLOSE };

struct busy {
	char id[64];
	bool cancelled; /* atomic */
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
	pthread_t threads[WORKERS_MAX + 1];
	int thread_count;
};

static const struct status_row {
	const char *name;
	unsigned next; /* bits of enum flow_status */
} statuses[] = {
	[FLOW_READY] = {"ready", 1u << FLOW_READY | 1u << FLOW_WAITING | 1u << FLOW_DONE | 1u << FLOW_FAILED | 1u << FLOW_STOPPED},
	[FLOW_WAITING] = {"waiting", 1u << FLOW_READY | 1u << FLOW_FAILED | 1u << FLOW_STOPPED},
	[FLOW_DONE] = {"done", 0},
	[FLOW_FAILED] = {"failed", 1u << FLOW_READY},
	[FLOW_STOPPED] = {"stopped", 1u << FLOW_READY},
};

static enum flow_status status_parse(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(statuses); i++)
		if (name && strcmp(statuses[i].name, name) == 0)
			return (enum flow_status)i;
	return FLOW_FAILED;
}

/* What is stored of one workflow. */
struct position {
	char id[64];
	char step[32];
	enum flow_status status;
	enum flow_status ending; /* FLOW_READY: none */
	int tries;
	int64_t since_ms;
	char error[ERR_TEXT_MAX];
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

static void position_read(struct position *position, struct store_rows *rows)
{
	*position = (struct position){.status = status_parse(store_rows_text(rows, 2)), .tries = (int)store_rows_number(rows, 4)};
	position->ending = store_rows_null(rows, 3) ? FLOW_READY : status_parse(store_rows_text(rows, 3));
	position->since_ms = store_rows_number(rows, 5);
	(void)snprintf(position->id, sizeof(position->id), "%s", store_rows_text(rows, 0));
	(void)snprintf(position->step, sizeof(position->step), "%s", store_rows_text(rows, 1));
	(void)snprintf(position->error, sizeof(position->error), "%s", store_rows_null(rows, 6) ? "" : store_rows_text(rows, 6));
}

#define POSITION_COLUMNS "id, step, status, ending, tries, since_ms, error"

static int position_get(struct store_tx *tx, const char *id, struct position *position, struct err *err)
{
	AUTO_ROWS rows = {0};

	if (store_query(tx, &rows, "SELECT " POSITION_COLUMNS " FROM flow WHERE id = ?", VALUES(V(id)), err))
		return -1;
	if (!store_rows_next(&rows))
		return store_rows_finish(&rows, err) ? -1 : err_set(err, ERR_NOT_FOUND, "no workflow %s", id);
	position_read(position, &rows);
	return 0;
}

/* The one place that changes where a workflow stands. */
static int flow_set(struct flows *flow, struct store_tx *tx, const struct position *from, enum flow_status status, const char *step,
		    int tries, int64_t wake_ms, const char *error, struct err *err)
{
	assert(statuses[from->status].next & 1u << status);
	log_debug("flow=%s step=%s status=%s from=%s:%s", from->id, step, statuses[status].name, from->step,
		  statuses[from->status].name);
	return store_run(tx,
			 "UPDATE flow SET step = ?, status = ?, tries = ?, wake_ms = ?, since_ms = ?, error = ?,"
			 " ending = CASE WHEN ? THEN ending END WHERE id = ?",
			 VALUES(V(step), V(statuses[status].name), V(tries), V(wake_ms), V(world_now_ms(flow->options.world)),
				V(error), V(status == FLOW_READY || status == FLOW_WAITING), V(from->id)),
			 err);
}

static int told(struct flows *flow, struct store_tx *tx, const char *id, const struct flow_move *move, struct err *err)
{
	return flow->options.definition->moved ? flow->options.definition->moved(flow->options.self, tx, id, move, err) : 0;
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
	at = busy_find(flow, busy->id);
	*at = busy->next;
	flow->wakes++;
	(void)pthread_cond_broadcast(&flow->changed);
	(void)pthread_mutex_unlock(&flow->lock);
	free(busy);
}

/* Takes the first workflow that is due and that nobody is on. */
static int pick(struct flows *flow, struct position *position, struct busy **taken, struct err *err)
{
	AUTO_TX tx = {0};
	AUTO_ROWS rows = {0};

	*taken = NULL;
	if (store_begin(flow->options.store, &tx, err) ||
	    store_query(
		    &tx, &rows,
		    "SELECT " POSITION_COLUMNS " FROM flow WHERE name = ? AND (status = 'ready' OR (status = 'waiting' AND"
		    " (wake_ms > 0 OR ending IS NOT NULL))) AND (wake_ms <= ? OR ending IS NOT NULL) ORDER BY wake_ms, since_ms",
		    VALUES(V(flow->options.definition->name), V(world_now_ms(flow->options.world))), err))
		return -1;
	(void)pthread_mutex_lock(&flow->lock);
	while (!*taken && !flow->closing && store_rows_next(&rows)) {
		position_read(position, &rows);
		if (*busy_find(flow, position->id))
			continue;
		*taken = mem_new(sizeof(**taken));
		memcpy((*taken)->id, position->id, sizeof(position->id));
		(*taken)->next = flow->busy;
		flow->busy = *taken;
	}
	(void)pthread_mutex_unlock(&flow->lock);
	return *taken ? 0 : store_rows_finish(&rows, err);
}

/* ---- one visit ---- */

/* Stores that the step runs: the visit that a crash or a pause left open goes on, else a new one begins. */
static int visit_begin(struct flows *flow, const struct position *position, struct flow_visit *visit, int64_t *seq,
		       int64_t *started_ms, struct err *err)
{
	const char *id = position->id;
	int64_t now_ms = world_now_ms(flow->options.world);
	struct flow_move move = {position->step, "running", FLOW_READY, false, "", -1, NULL};
	int64_t count = 0;
	AUTO_TX tx = {0};

	if (store_begin(flow->options.store, &tx, err) ||
	    store_number_get(&tx, seq, 0, "SELECT seq FROM flow_visit WHERE flow = ? AND step = ? AND ended_ms IS NULL",
			     VALUES(V(id), V(position->step)), err) ||
	    store_number_get(&tx, &count, 0, "SELECT count(*) FROM flow_visit WHERE flow = ? AND step = ?",
			     VALUES(V(id), V(position->step)), err))
		return -1;
	move.began = *seq == 0;
	if (*seq == 0) {
		count++;
		if (store_number_get(&tx, seq, 0, "SELECT max(seq) FROM flow_visit WHERE flow = ?", VALUES(V(id)), err))
			return -1;
		++*seq;
		if (store_run(
			    &tx,
			    "INSERT INTO flow_visit (flow, seq, step, visit, status, started_ms) VALUES (?, ?, ?, ?, 'running', ?)",
			    VALUES(V(id), V(*seq), V(position->step), V(count), V(now_ms)), err))
			return -1;
	} else if (store_run(&tx, "UPDATE flow_visit SET status = 'running' WHERE flow = ? AND seq = ?", VALUES(V(id), V(*seq)),
			     err)) {
		return -1;
	}
	if (store_number_get(&tx, started_ms, now_ms, "SELECT started_ms FROM flow_visit WHERE flow = ? AND seq = ?",
			     VALUES(V(id), V(*seq)), err) ||
	    flow_set(flow, &tx, position, FLOW_READY, position->step, position->tries + 1, 0, NULL, err) ||
	    told(flow, &tx, id, &move, err))
		return -1;
	visit->id = id;
	visit->step = position->step;
	visit->visit = (int)count;
	visit->tries = position->tries + 1;
	return store_commit(&tx, err);
}

/* The visit is over, or parked: stores it and where the workflow stands now. */
static int visit_end(struct flows *flow, const struct position *position, int64_t seq, const struct flow_move *move, int tries,
		     const char *step, int64_t wake_ms, struct err *err)
{
	bool open = strcmp(move->status, "waiting") == 0 || strcmp(move->status, "running") == 0;
	struct position now;
	AUTO_TX tx = {0};
	enum flow_status status = move->flow;
	int64_t signals = 0;

	if (store_begin(flow->options.store, &tx, err) || position_get(&tx, position->id, &now, err))
		return -1;
	if (status == FLOW_WAITING) { /* what came while the step looked elsewhere wakes it at once */
		if (store_number_get(&tx, &signals, 0, "SELECT count(*) FROM flow_signal WHERE flow = ? AND taken = 0",
				     VALUES(V(position->id)), err))
			return -1;
		if (signals)
			status = FLOW_READY;
	}
	if (store_run(&tx,
		      "UPDATE flow_visit SET status = ?, detail = ?, ended_ms = CASE WHEN ? THEN NULL ELSE ? END"
		      " WHERE flow = ? AND seq = ?",
		      VALUES(V(move->status), V(move->detail), V(open), V(world_now_ms(flow->options.world)), V(position->id),
			     V(seq)),
		      err) ||
	    flow_set(flow, &tx, &now, status, step, tries, status == FLOW_READY && signals ? 0 : wake_ms, move->error, err) ||
	    told(flow, &tx, position->id, move, err))
		return -1;
	return store_commit(&tx, err);
}

static int64_t retry_pause_ms(int tries)
{
	int64_t pause_ms = FLOW_RETRY_FIRST_MS;

	for (int i = 1; i < tries && pause_ms < FLOW_RETRY_LONGEST_MS; i++)
		pause_ms *= 2;
	return pause_ms < FLOW_RETRY_LONGEST_MS ? pause_ms : FLOW_RETRY_LONGEST_MS;
}

static bool step_tries_again(const struct flow_step *step, const struct flow_visit *visit, enum err_kind kind)
{
	switch (kind) {
	case ERR_RETRY:
	case ERR_CONFLICT:
		return visit->tries < step->tries_max;
	case ERR_NONE:
	case ERR_INVALID:
	case ERR_NOT_FOUND:
	case ERR_DENIED:
	case ERR_LIMIT:
	case ERR_CANCELLED:
	case ERR_BROKEN:
		break;
	}
	return false;
}

/* Fails the workflow: `ending` first, so that it is tidied up even when we die in between. */
static int fail(struct flows *flow, const struct position *position, int64_t seq, int64_t ms, const char *error, struct err *err)
{
	struct flow_move move = {position->step, "failed", FLOW_READY, false, error, ms, NULL};
	AUTO_TX tx = {0};
	struct position now;

	if (store_begin(flow->options.store, &tx, err) || position_get(&tx, position->id, &now, err))
		return -1;
	if (store_run(&tx, "UPDATE flow_visit SET status = 'failed', detail = ?, ended_ms = ? WHERE flow = ? AND seq = ?",
		      VALUES(V(error), V(world_now_ms(flow->options.world)), V(position->id), V(seq)), err) ||
	    store_run(&tx, "UPDATE flow SET ending = 'failed', error = ? WHERE id = ? AND ending IS NULL",
		      VALUES(V(error), V(position->id)), err) ||
	    told(flow, &tx, position->id, &move, err))
		return -1;
	return store_commit(&tx, err);
}

/* What came of a step that ended without error. */
static int settle(struct flows *flow, const struct position *position, const struct flow_step *step, struct flow_visit *visit,
		  int64_t seq, int64_t ms, struct err *err)
{
	struct flow_move move = {position->step, "done", FLOW_READY, false, visit->detail, ms, NULL};

	if (visit->park) {
		move.status = "waiting";
		move.flow = FLOW_WAITING;
		return visit_end(flow, position, seq, &move, 0, position->step, visit->wake_ms, err);
	}
	if (!visit->next) {
		move.flow = FLOW_DONE;
		return visit_end(flow, position, seq, &move, 0, position->step, 0, err);
	}
	assert(step_allows(step, visit->next));
	return visit_end(flow, position, seq, &move, 0, visit->next, 0, err);
}

static int visit_do(struct flows *flow, const struct position *position, struct busy *busy, struct err *err)
{
	const struct flow_step *step = step_find(flow, position->step);
	struct flow_visit visit = {.cancelled = &busy->cancelled};
	struct err failure = {0};
	enum cancel_reason reason;
	int64_t seq = 0;
	int64_t started_ms = 0;
	int64_t ms;
	int status;

	if (!step)
		return err_set(err, ERR_BROKEN, "workflow %s stands at the unknown step `%s`", position->id, position->step);
	if (visit_begin(flow, position, &visit, &seq, &started_ms, err))
		return -1;
	(void)pthread_mutex_lock(&flow->lock);
	busy->deadline_ms = step->deadline_ms ? world_elapsed_ms(flow->options.world) + step->deadline_ms : 0;
	(void)pthread_mutex_unlock(&flow->lock);
	status = step->act(flow->options.self, &visit, &failure);
	(void)pthread_mutex_lock(&flow->lock);
	busy->deadline_ms = 0;
	reason = busy->reason;
	(void)pthread_mutex_unlock(&flow->lock);
	ms = world_now_ms(flow->options.world) - started_ms;
	if (!status)
		return settle(flow, position, step, &visit, seq, ms, err);
	if (reason == CANCEL_STOP || (failure.kind == ERR_CANCELLED && reason == CANCEL_CLOSE))
		return 0; /* a stop is stored; after a close the step begins again */
	if (reason == CANCEL_DEADLINE) {
		AUTO_FREE char *text = text_format("%s took longer than %lld s", step->name, (long long)step->deadline_ms / 1000);

		return fail(flow, position, seq, ms, text, err);
	}
	if (failure.kind == ERR_CANCELLED && !__atomic_load_n(&busy->cancelled, __ATOMIC_SEQ_CST))
		return err_set(err, ERR_CANCELLED, "%s", failure.text); /* the world ended under the step: begin it again */
	if (step_tries_again(step, &visit, failure.kind)) {
		struct flow_move move = {position->step, "running", FLOW_READY, false, failure.text, ms, NULL};

		return visit_end(flow, position, seq, &move, visit.tries, position->step,
				 world_now_ms(flow->options.world) + retry_pause_ms(visit.tries), err);
	}
	return fail(flow, position, seq, ms, failure.text, err);
}

/* The workflow is to fail or stop: tidy up, then say so. */
static int end_do(struct flows *flow, const struct position *position, struct err *err)
{
	struct flow_move move = {position->step, "failed", position->ending, false, NULL, 0, position->error};
	struct position now;
	AUTO_TX tx = {0};

	if (flow->options.definition->ending)
		flow->options.definition->ending(flow->options.self, position->id, position->ending);
	if (store_begin(flow->options.store, &tx, err) || position_get(&tx, position->id, &now, err))
		return -1;
	if (now.ending == FLOW_READY)
		return 0;
	if (store_run(&tx, "UPDATE flow_visit SET status = 'failed', ended_ms = ? WHERE flow = ? AND ended_ms IS NULL",
		      VALUES(V(world_now_ms(flow->options.world)), V(position->id)), err) ||
	    flow_set(flow, &tx, &now, now.ending, now.step, 0, 0, now.error[0] ? now.error : NULL, err) ||
	    told(flow, &tx, position->id, &move, err))
		return -1;
	return store_commit(&tx, err);
}

int flows_work(struct flows *flow, bool *did, struct err *err)
{
	struct position position;
	struct busy *busy;
	int status;

	*did = false;
	if (pick(flow, &position, &busy, err))
		return -1;
	if (!busy)
		return 0;
	*did = true;
	status = position.ending == FLOW_READY ? visit_do(flow, &position, busy, err) : end_do(flow, &position, err);
	busy_remove(flow, busy);
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

/* Raises the flag of steps that are over their deadline. */
static void *deadline_main(void *self)
{
	struct flows *flow = self;

	(void)pthread_mutex_lock(&flow->lock);
	while (!flow->closing) {
		int64_t now_ms = world_elapsed_ms(flow->options.world);

		for (struct busy *busy = flow->busy; busy; busy = busy->next)
			if (busy->deadline_ms && busy->deadline_ms <= now_ms)
				busy_cancel(busy, CANCEL_DEADLINE);
		sleep_until_changed(flow, flow->wakes, IDLE_WAIT_MS);
	}
	(void)pthread_mutex_unlock(&flow->lock);
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
	    store_run(&tx, "UPDATE flow SET status = 'ready', tries = 0, wake_ms = 0 WHERE name = ? AND status = 'waiting'",
		      VALUES(V(flow->options.definition->name)), err))
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
	if (waiting_wake(self, err) || (options->workers && thread_add(self, deadline_main, err))) {
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
	for (int i = 0; i < flow->thread_count; i++)
		(void)pthread_join(flow->threads[i], NULL);
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

static int stop_store(struct flows *flow, const char *id, struct err *err)
{
	struct position position;
	AUTO_TX tx = {0};

	if (store_begin(flow->options.store, &tx, err) || position_get(&tx, id, &position, err))
		return -1;
	if (position.status != FLOW_READY && position.status != FLOW_WAITING)
		return err_set(err, ERR_DENIED, "%s is over: it is %s", id, statuses[position.status].name);
	if (store_run(&tx, "UPDATE flow SET ending = coalesce(ending, 'stopped') WHERE id = ?", VALUES(V(id)), err))
		return -1;
	return store_commit(&tx, err);
}

int flow_stop(struct flows *flow, const char *id, struct err *err)
{
	struct busy *busy;

	if (stop_store(flow, id, err))
		return -1;
	(void)pthread_mutex_lock(&flow->lock);
	busy = *busy_find(flow, id);
	if (busy)
		busy_cancel(busy, CANCEL_STOP);
	(void)pthread_mutex_unlock(&flow->lock);
	flows_wake(flow);
	return 0;
}

int flow_retry(struct flows *flow, const char *id, struct err *err)
{
	struct position position;
	AUTO_TX tx = {0};

	if (store_begin(flow->options.store, &tx, err) || position_get(&tx, id, &position, err))
		return -1;
	if (position.status != FLOW_FAILED && position.status != FLOW_STOPPED)
		return err_set(err, ERR_DENIED, "%s is %s: only a failed or stopped one can be tried again", id,
			       statuses[position.status].name);
	if (flow_set(flow, &tx, &position, FLOW_READY, position.step, 0, 0, NULL, err) || store_commit(&tx, err))
		return -1;
	flows_wake(flow);
	return 0;
}
