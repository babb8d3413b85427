/*
 * What every kind of store has in common: checks, fault points, values, syncs, and whoever waits for a commit.
 *
 * Theory of operation of store_sync(): a write to the disk that begins after the call covers all that was committed before it. So
 * whoever comes while one is going waits for the next; one of them makes it, for all. Who waits for this one and who for the next wait in two
 * places, and not where commits are waited for: each is woken once, however many come.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/fault.h"
#include "base/scope.h"
#include "store/store_priv.h"

static int crash(struct err *err)
{
	return err_set(err, ERR_CANCELLED, "the store: a fault was asked for");
}

void store_init(struct store *store, const struct store_ops *ops, const char *where)
{
	pthread_condattr_t clock;

	store->ops = ops;
	store->where = text_copy(where);
	(void)pthread_mutex_init(&store->watch_lock, NULL);
	(void)pthread_condattr_init(&clock);
	(void)pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&store->watch, &clock);
	(void)pthread_cond_init(&store->unhurried, &clock);
	(void)pthread_condattr_destroy(&clock);
	(void)pthread_mutex_init(&store->flush_lock, NULL);
	(void)pthread_cond_init(&store->flushed[0], NULL);
	(void)pthread_cond_init(&store->flushed[1], NULL);
}

void store_fini(struct store *store)
{
	(void)pthread_cond_destroy(&store->watch);
	(void)pthread_cond_destroy(&store->unhurried);
	(void)pthread_mutex_destroy(&store->watch_lock);
	(void)pthread_cond_destroy(&store->flushed[0]);
	(void)pthread_cond_destroy(&store->flushed[1]);
	(void)pthread_mutex_destroy(&store->flush_lock);
	free(store->where);
}

int store_open(const char *where, struct store **store, struct err *err)
{
	struct view place = view_of(where);
	bool postgres = view_starts(place, VIEW("postgres://")) || view_starts(place, VIEW("postgresql://"));
	struct store *self = NULL;

	if (postgres ? store_postgres_open(where, &self, err) : store_sqlite_open(where, &self, err))
		return -1;
	if (store_migrate(self, err)) {
		(void)err_prefix(err, "cannot open %s", self->where);
		store_close(self);
		return -1;
	}
	*store = self;
	return 0;
}

void store_close(struct store *store)
{
	if (store)
		store->ops->close(store);
}

const char *store_where(const struct store *store)
{
	return store->where;
}

bool store_is_shared(const struct store *store)
{
	return store->ops->tell;
}

/* ---- transactions ---- */

static int begin(struct store *store, struct store_tx *tx, enum store_alone alone, struct err *err)
{
	if (FAULT("store.begin"))
		return crash(err);
	*tx = (struct store_tx){.store = store};
	if (!store->ops->begin(store, tx, alone, err))
		return 0;
	tx->store = NULL;
	return -1;
}

int store_begin(struct store *store, struct store_tx *tx, struct err *err)
{
	return begin(store, tx, STORE_SERIAL, err);
}

int store_begin_free(struct store *store, struct store_tx *tx, struct err *err)
{
	return begin(store, tx, STORE_FREE, err);
}

int store_begin_snapshot(struct store *store, struct store_tx *tx, struct err *err)
{
	return begin(store, tx, STORE_SNAPSHOT, err);
}

void store_abort(struct store_tx *tx)
{
	if (!tx->store)
		return;
	tx->store->ops->abort(tx);
	tx->store = NULL;
}

int store_commit(struct store_tx *tx, struct err *err)
{
	struct store *store = tx->store;
	int status;

	if (FAULT("store.commit")) {
		store_abort(tx);
		return crash(err);
	}
	status = store->ops->commit(tx, err);
	tx->store = NULL;
	if (status)
		return -1;
	if (tx->wrote) {
		store_nudge(store);
		if (store->ops->tell)
			store->ops->tell(store);
	}
	return FAULT("store.committed") ? crash(err) : 0;
}

int store_commit_synced(struct store_tx *tx, struct err *err)
{
	struct store *store = tx->store;

	return store_commit(tx, err) || store_sync(store, err) ? -1 : 0;
}

const char *store_skip_locked(const struct store_tx *tx)
{
	return tx->store->ops->skip_locked;
}

int store_now_ms(struct store_tx *tx, struct world world, int64_t *now_ms, struct err *err)
{
	if (tx->store->ops->clock_ms_sql)
		return store_number_get(tx, now_ms, 0, tx->store->ops->clock_ms_sql, NO_VALUES, err);
	*now_ms = world_now_ms(world);
	return 0;
}

/* All whom it covers go on; of those who came meanwhile one makes the next, unless somebody new is faster. */
static void flush_end(struct store *store, bool failed)
{
	store->flushing = false;
	store->flush_failed = store->flush_failed || failed;
	store->flushes_done = store->flushes_begun;
	(void)pthread_cond_broadcast(&store->flushed[store->flushes_done & 1]);
	if (store->flush_failed)
		(void)pthread_cond_broadcast(&store->flushed[(store->flushes_done + 1) & 1]);
	else
		(void)pthread_cond_signal(&store->flushed[(store->flushes_done + 1) & 1]);
}

int store_sync(struct store *store, struct err *err)
{
	int64_t wanted;
	bool failed;

	if (FAULT("store.sync"))
		return crash(err);
	(void)pthread_mutex_lock(&store->flush_lock);
	wanted = store->flushes_begun + 1;
	while (store->flushes_done < wanted && !store->flush_failed) {
		if (store->flushing) {
			(void)pthread_cond_wait(&store->flushed[wanted & 1], &store->flush_lock);
			continue;
		}
		store->flushing = true;
		store->flushes_begun++;
		(void)pthread_mutex_unlock(&store->flush_lock);
		failed = store->ops->flush(store, err);
		(void)pthread_mutex_lock(&store->flush_lock);
		flush_end(store, failed);
		if (failed) {
			(void)pthread_mutex_unlock(&store->flush_lock);
			return -1;
		}
	}
	failed = store->flush_failed;
	(void)pthread_mutex_unlock(&store->flush_lock);
	return failed ? err_set(err, ERR_BROKEN, "the store %s: the disk refused a sync; restart when it is well again",
				store->where)
		      : 0;
}

/* ---- statements ---- */

struct store_value store_value_number(int64_t number)
{
	return (struct store_value){.kind = STORE_NUMBER, .number = number};
}

struct store_value store_value_real(double real)
{
	return (struct store_value){.kind = STORE_REAL, .real = real};
}

struct store_value store_value_text(const char *text)
{
	return text ? store_value_view(view_of(text)) : (struct store_value){.kind = STORE_NULL};
}

struct store_value store_value_view(struct view text)
{
	return (struct store_value){.kind = STORE_TEXT, .text = text};
}

int store_run(struct store_tx *tx, const char *sql, const struct store_value *values, size_t count, struct err *err)
{
	if (FAULT("store.run"))
		return crash(err);
	tx->wrote = true;
	return tx->store->ops->run(tx, sql, values, count, err);
}

int64_t store_changed(const struct store_tx *tx)
{
	return tx->store->ops->changed(tx);
}

int64_t store_last_id(const struct store_tx *tx)
{
	return tx->store->ops->last_id(tx);
}

int store_query(struct store_tx *tx, struct store_rows *rows, const char *sql, const struct store_value *values, size_t count,
		struct err *err)
{
	if (FAULT("store.query"))
		return crash(err);
	*rows = (struct store_rows){0};
	if (tx->store->ops->query(tx, rows, sql, values, count, err))
		return -1;
	rows->ops = tx->store->ops;
	return 0;
}

bool store_rows_next(struct store_rows *rows)
{
	return rows->ops->next(rows);
}

int store_rows_finish(struct store_rows *rows, struct err *err)
{
	return rows->ops->finish(rows, err);
}

void store_rows_fini(struct store_rows *rows)
{
	if (rows->ops)
		rows->ops->fini(rows);
	rows->ops = NULL;
}

int64_t store_rows_number(struct store_rows *rows, int column)
{
	return rows->ops->number(rows, column);
}

double store_rows_real(struct store_rows *rows, int column)
{
	return rows->ops->real(rows, column);
}

const char *store_rows_text(struct store_rows *rows, int column)
{
	return rows->ops->text(rows, column);
}

bool store_rows_null(struct store_rows *rows, int column)
{
	return rows->ops->kind(rows, column) == STORE_NULL;
}

json_t *store_rows_json(struct store_rows *rows, int column)
{
	switch (rows->ops->kind(rows, column)) {
	case STORE_NUMBER:
		return json_integer(store_rows_number(rows, column));
	case STORE_REAL:
		return json_real(store_rows_real(rows, column));
	case STORE_TEXT:
		return json_string(store_rows_text(rows, column));
	case STORE_NULL:
		break;
	}
	return json_null();
}

int store_number_get(struct store_tx *tx, int64_t *number, int64_t fallback, const char *sql, const struct store_value *values,
		     size_t count, struct err *err)
{
	AUTO_ROWS rows = {0};

	if (store_query(tx, &rows, sql, values, count, err))
		return -1;
	*number = store_rows_next(&rows) && !store_rows_null(&rows, 0) ? store_rows_number(&rows, 0) : fallback;
	return store_rows_finish(&rows, err);
}

/* ---- who waits for a commit ---- */

int64_t store_version(struct store *store)
{
	int64_t version;

	(void)pthread_mutex_lock(&store->watch_lock);
	version = store->version;
	(void)pthread_mutex_unlock(&store->watch_lock);
	return version;
}

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

void store_wait(struct store *store, int64_t seen, int64_t timeout_ms)
{
	struct timespec until = time_in(timeout_ms);

	(void)pthread_mutex_lock(&store->watch_lock);
	while (store->version == seen)
		if (pthread_cond_timedwait(&store->watch, &store->watch_lock, &until))
			break;
	(void)pthread_mutex_unlock(&store->watch_lock);
}

int64_t store_connects(const struct store *store)
{
	return __atomic_load_n(&store->connects, __ATOMIC_SEQ_CST);
}

void store_nudge(struct store *store)
{
	(void)pthread_mutex_lock(&store->watch_lock);
	store->version++;
	(void)pthread_cond_broadcast(&store->watch);
	for (struct store_listener *at = store->listeners; at; at = at->next)
		at->heard(at->self);
	(void)pthread_mutex_unlock(&store->watch_lock);
}

void store_listen(struct store *store, struct store_listener *listener)
{
	(void)pthread_mutex_lock(&store->watch_lock);
	listener->next = store->listeners;
	store->listeners = listener;
	(void)pthread_mutex_unlock(&store->watch_lock);
}

void store_listen_end(struct store *store, struct store_listener *listener)
{
	(void)pthread_mutex_lock(&store->watch_lock);
	for (struct store_listener **at = &store->listeners; *at; at = &(*at)->next)
		if (*at == listener) {
			*at = listener->next;
			break;
		}
	(void)pthread_mutex_unlock(&store->watch_lock);
}

/* ---- who must not wait ---- */

void store_hurry_begin(struct store *store)
{
	(void)pthread_mutex_lock(&store->watch_lock);
	store->hurried++;
	(void)pthread_mutex_unlock(&store->watch_lock);
}

void store_hurry_end(struct store *store)
{
	(void)pthread_mutex_lock(&store->watch_lock);
	if (--store->hurried == 0)
		(void)pthread_cond_broadcast(&store->unhurried);
	(void)pthread_mutex_unlock(&store->watch_lock);
}

bool store_is_hurried(struct store *store)
{
	bool hurried;

	(void)pthread_mutex_lock(&store->watch_lock);
	hurried = store->hurried > 0;
	(void)pthread_mutex_unlock(&store->watch_lock);
	return hurried;
}

void store_give_way(struct store *store, int64_t most_ms)
{
	struct timespec until;

	if (!store_is_hurried(store))
		return;
	until = time_in(most_ms);
	(void)pthread_mutex_lock(&store->watch_lock);
	while (store->hurried)
		if (pthread_cond_timedwait(&store->unhurried, &store->watch_lock, &until))
			break;
	(void)pthread_mutex_unlock(&store->watch_lock);
}
