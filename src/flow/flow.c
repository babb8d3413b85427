/*
 * The engine of durable workflows.
 *
 * Theory of operation: the store is the truth; memory holds only which workflows a thread is on (`busy`), so that a stop finds the flag
 * to raise. In one transaction a worker takes the workflow that is first in line, writes this control plane's name and token into it
 * and stores that the visit began; it acts without any lock, and stores where it went if name and token are still there. A stop is
 * stored as `ending`, which every later visit obeys before anything else: so a stop that was answered survives a crash. Where nobody
 * else writes to the store, a visit ends and the thread's next one begins in one transaction; should that fail, it ends alone.
 *
 * What was taken and could not be put back, because the store failed or lost its last second, is `unsettled`: it is let go before the next one is taken. What a
 * control plane that died had taken is free when its lease is over, or at once when the same one begins again.
 */
#include "flow/flow.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/scope.h"
#include "flow/work_priv.h"

#define STOPS_MS 500      /* how often it is looked for stops that others stored */
#define IDLE_WAIT_MS 1000 /* the longest a worker sleeps without looking at the clock */

/* What is due first, if anything is; the lease is ours. */
static int first_take(struct flows *flow, struct work *work, struct err *err)
{
	int64_t connects = store_connects(flow->options.store);

	if (!flow->options.workers && plane_renew(&flow->plane, err))
		return -1;
	if (plane_is_lost(&flow->plane))
		return err_set(err, ERR_CONFLICT, "another control plane is called %s", flow->plane.lease.owner);
	if (__atomic_exchange_n(&flow->connects, connects, __ATOMIC_SEQ_CST) != connects)
		flow_unsettle(flow);
	if (__atomic_exchange_n(&flow->unsettled, false, __ATOMIC_SEQ_CST) && flow_unsettled_release(flow, err)) {
		flow_unsettle(flow);
		return -1;
	}
	return work_take(flow, work, err);
}

int flows_work_on(struct flows *flow, int visits_max, bool *did, struct err *err)
{
	struct work works[2]; /* what is done, and what is done next */
	int status = 0;

	*did = false;
	if (first_take(flow, &works[0], err))
		return -1;
	for (int i = 0; !status && works[i % 2].busy; i++) {
		struct work *work = &works[i % 2];
		struct work *next = &works[(i + 1) % 2];

		*did = true;
		next->busy = NULL;
		status = work_do(flow, work, i + 1 < visits_max ? next : NULL, err);
		busy_remove(flow, work->busy);
	}
	if (status)
		flow_unsettle(flow);
	return status;
}

int flows_work(struct flows *flow, bool *did, struct err *err)
{
	return flows_work_on(flow, 1, did, err);
}

/* ---- threads ---- */

static struct timespec time_in(int64_t timeout_ms)
{
	struct timespec until;

	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)(timeout_ms / 1000);
	until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	return until;
}

static void sleep_until_called(struct flows *flow, int64_t seen)
{
	struct timespec until = time_in(IDLE_WAIT_MS);

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
		if (flows_work_on(flow, INT_MAX, &did, &err))
			log_warn("flow: %s", err.text);
		(void)pthread_mutex_lock(&flow->lock);
		if (err.kind != ERR_NONE) /* the call that it had is another one's */
			(void)pthread_cond_signal(&flow->changed);
		if (!did || err.kind != ERR_NONE)
			sleep_until_called(flow, err.kind == ERR_NONE ? seen : flow->wakes);
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
		struct timespec until;

		for (struct busy *busy = flow->busy; busy; busy = busy->next)
			if (late || (busy->deadline_ms && busy->deadline_ms <= now_ms))
				busy_cancel(busy, late ? CANCEL_CLOSE : CANCEL_DEADLINE);
		until = time_in(IDLE_WAIT_MS);
		if (!flow->closing)
			(void)pthread_cond_timedwait(&flow->closes, &flow->lock, &until);
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
	(void)pthread_cond_init(&self->closes, &clock);
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
	(void)pthread_cond_broadcast(&flow->closes);
	(void)pthread_mutex_unlock(&flow->lock);
	store_nudge(flow->options.store);
	for (int i = 0; i < flow->thread_count; i++)
		(void)pthread_join(flow->threads[i], NULL);
	plane_close(&flow->plane);
	(void)pthread_cond_destroy(&flow->changed);
	(void)pthread_cond_destroy(&flow->closes);
	(void)pthread_mutex_destroy(&flow->lock);
	free(flow);
}

void flows_wake(struct flows *flow)
{
	(void)pthread_mutex_lock(&flow->lock);
	worker_call(flow);
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
