/* Which workflow is done next, and which ones are being done here. */
#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"
#include "flow/work_priv.h"

/* ---- who is busy ---- */

struct busy **busy_find(struct flows *flow, const char *id)
{
	struct busy **at = &flow->busy;

	while (*at && strcmp((*at)->id, id) != 0)
		at = &(*at)->next;
	return at;
}

void busy_cancel(struct busy *busy, enum cancel_reason reason)
{
	if (busy->reason == CANCEL_NONE)
		busy->reason = reason;
	__atomic_store_n(&busy->cancelled, true, __ATOMIC_SEQ_CST);
}

void busy_remove(struct flows *flow, struct busy *busy)
{
	struct busy **at;

	(void)pthread_mutex_lock(&flow->lock);
	at = &flow->busy;
	while (*at != busy) /* not by its id: another thread may have taken the workflow again already */
		at = &(*at)->next;
	*at = busy->next;
	worker_call(flow);
	(void)pthread_mutex_unlock(&flow->lock);
	free(busy);
}

void worker_call(struct flows *flow)
{
	flow->wakes++;
	(void)pthread_cond_signal(&flow->changed);
}

void flow_unsettle(struct flows *flow)
{
	__atomic_store_n(&flow->unsettled, true, __ATOMIC_SEQ_CST);
}

/* ---- who takes what ---- */

/* What was taken and then left without a word (the store failed, a stop was stored). */
int flow_unsettled_release(struct flows *flow, struct err *err)
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

static struct busy *busy_add(struct flows *flow, const struct position *position)
{
	struct busy *busy = mem_new(sizeof(*busy));

	(void)snprintf(busy->id, sizeof(busy->id), "%s", position->id);
	busy->ending = position->ending != FLOW_READY;
	(void)pthread_mutex_lock(&flow->lock);
	busy->next = flow->busy;
	flow->busy = busy;
	worker_call(flow); /* what else is due is for another one */
	if (flow->closing) /* those that were there were told so already */
		busy_cancel(busy, CANCEL_CLOSE);
	(void)pthread_mutex_unlock(&flow->lock);
	return busy;
}

/* Stores that the step runs: the visit that a crash or a pause left open goes on, else a new one begins. */
static int visit_begin(struct flows *flow, struct store_tx *tx, struct position *position, struct err *err)
{
	struct flow_move move = {position->step, "running", FLOW_READY, position->visit == 0, "", -1, NULL};
	struct event event = {.kind = EVENT_BEGUN};

	return event_append(tx, world_now_ms(flow->options.world), position, &event, err) ||
			       flow_told(flow, tx, position->id, &move, err)
		       ? -1
		       : 0;
}

/* Which visit of its step it is, and when that began. */
static int visit_read(struct store_tx *tx, struct work *work, struct err *err)
{
	AUTO_ROWS rows = {0};

	if (store_query(tx, &rows, "SELECT visit, started_ms FROM flow_visit WHERE flow = ? AND seq = ?",
			VALUES(V((const char *)work->position.id), V(work->position.visit)), err))
		return -1;
	if (!store_rows_next(&rows))
		return store_rows_finish(&rows, err) ? -1
						     : err_set(err, ERR_BROKEN, "workflow %s has lost a visit", work->position.id);
	work->visit = (int)store_rows_number(&rows, 0);
	work->started_ms = store_rows_number(&rows, 1);
	return store_rows_finish(&rows, err);
}

/* Writes our name into it, with the beginning of its visit where one begins. */
static int claim(struct flows *flow, struct store_tx *tx, struct work *work, struct err *err)
{
	const struct lease *lease = &flow->plane.lease;
	struct position *position = &work->position;
	bool begins = position->ending == FLOW_READY;

	(void)snprintf(position->owner, sizeof(position->owner), "%s", lease->name);
	position->fence = lease->token;
	if (lease_check(tx, lease, err))
		return -1;
	if ((!begins || flow->options.home == FLOW_WHERE_TAKEN) &&
	    store_run(tx, "UPDATE flow SET owner = ?, fence = ?, home = CASE WHEN ? = 1 THEN ? ELSE home END WHERE id = ?",
		      VALUES(V(lease->name), V(lease->token), V(flow->options.home == FLOW_WHERE_TAKEN), V(lease->name),
			     V((const char *)position->id)),
		      err))
		return -1;
	return begins && (visit_begin(flow, tx, position, err) || visit_read(tx, work, err)) ? -1 : 0;
}

/* Timers ring once a millisecond, and whenever nothing else is due. */
static int first_find(struct flows *flow, struct store_tx *tx, struct position *position, bool *found, struct err *err)
{
	int64_t now_ms = world_now_ms(flow->options.world);
	bool rung = __atomic_exchange_n(&flow->rung_ms, now_ms, __ATOMIC_SEQ_CST) == now_ms;

	if ((!rung && flow_timers_ring(flow, tx, err)) || due_find(flow, tx, position, found, err))
		return -1;
	if (*found || !rung)
		return 0;
	return flow_timers_ring(flow, tx, err) || due_find(flow, tx, position, found, err) ? -1 : 0;
}

int work_take_in(struct flows *flow, struct store_tx *tx, struct work *work, struct err *err)
{
	bool found = false;

	*work = (struct work){.busy = NULL};
	if (first_find(flow, tx, &work->position, &found, err))
		return -1;
	if (!found)
		return 0;
	if (claim(flow, tx, work, err))
		return -1;
	work->busy = busy_add(flow, &work->position); /* before the commit: a stop that follows it finds it */
	return 0;
}

int work_take(struct flows *flow, struct work *work, struct err *err)
{
	AUTO_TX tx = {0};

	work->busy = NULL;
	if (store_begin(flow->options.store, &tx, err) || work_take_in(flow, &tx, work, err))
		return -1;
	if (!tx.wrote || !store_commit(&tx, err))
		return 0;
	if (work->busy)
		busy_remove(flow, work->busy);
	work->busy = NULL;
	return -1;
}
