/*
 * The store over SQLite: one connection, one mutex, write-ahead log.
 *
 * Theory of operation: a transaction is BEGIN IMMEDIATE on the one connection, under the mutex; that makes every transaction
 * serial, which is what the code above is written for. synchronous=NORMAL with a write-ahead log keeps committed transactions over a
 * crash of the program; a loss of power may undo the last of them, whole, and steps are made to be repeated.
 */
#include "store/store.h"

#include <assert.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <time.h>

#include "base/fault.h"
#include "base/scope.h"
#include "store/migrations.h"

#define BUSY_TIMEOUT_MS 5000
#define APPLICATION_ID 0x41535359 /* "ASSY" */

struct store {
	sqlite3 *db;
	pthread_mutex_t lock; /* held from begin to commit or abort */
	pthread_mutex_t watch_lock;
	pthread_cond_t watch;
	int64_t version; /* under watch_lock */
};

static int db_error(sqlite3 *db, const char *what, struct err *err)
{
	int code = sqlite3_errcode(db);
	enum err_kind kind = ERR_BROKEN;

	if (code == SQLITE_BUSY || code == SQLITE_LOCKED)
		kind = ERR_RETRY;
	else if (code == SQLITE_CONSTRAINT)
		kind = ERR_CONFLICT;
	else if (code == SQLITE_FULL || code == SQLITE_TOOBIG)
		kind = ERR_LIMIT;
	return err_set(err, kind, "the store: %s: %s", what, sqlite3_errmsg(db));
}

static int crash(struct err *err)
{
	return err_set(err, ERR_CANCELLED, "the store: a fault was asked for");
}

static int pragma_number(sqlite3 *db, const char *sql, int64_t *number, struct err *err)
{
	sqlite3_stmt *statement = NULL;

	if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK || sqlite3_step(statement) != SQLITE_ROW) {
		(void)sqlite3_finalize(statement);
		return db_error(db, sql, err);
	}
	*number = sqlite3_column_int64(statement, 0);
	(void)sqlite3_finalize(statement);
	return 0;
}

static int execute(sqlite3 *db, const char *sql, struct err *err)
{
	return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : db_error(db, "cannot execute", err);
}

static int migrate_one(sqlite3 *db, size_t number, struct err *err)
{
	AUTO_FREE char *mark = text_format("PRAGMA user_version = %zu; PRAGMA application_id = %d;", number, APPLICATION_ID);

	if (execute(db, "BEGIN IMMEDIATE", err))
		return -1;
	if (execute(db, store_migrations[number - 1].sql, err) || execute(db, mark, err) || execute(db, "COMMIT", err)) {
		(void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
		return err_prefix(err, "migration %zu (%s)", number, store_migrations[number - 1].about);
	}
	return 0;
}

static int migrate(sqlite3 *db, const char *path, struct err *err)
{
	int64_t version;
	int64_t application;

	if (pragma_number(db, "PRAGMA user_version", &version, err) ||
	    pragma_number(db, "PRAGMA application_id", &application, err))
		return -1;
	if (version && application != APPLICATION_ID)
		return err_set(err, ERR_BROKEN, "%s is a database of another program", path);
	if (version > (int64_t)store_migration_count)
		return err_set(err, ERR_INVALID, "%s has form %lld, this program knows %zu: run the newer program that wrote it",
			       path, (long long)version, store_migration_count);
	for (size_t number = (size_t)version + 1; number <= store_migration_count; number++)
		if (migrate_one(db, number, err))
			return -1;
	return 0;
}

int store_open(const char *path, struct store **store, struct err *err)
{
	static const char settings[] = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;"
				       "PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY;";
	struct store *self = mem_new(sizeof(*self));
	pthread_condattr_t clock;

	(void)pthread_mutex_init(&self->lock, NULL);
	(void)pthread_mutex_init(&self->watch_lock, NULL);
	(void)pthread_condattr_init(&clock);
	(void)pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&self->watch, &clock);
	(void)pthread_condattr_destroy(&clock);
	if (sqlite3_open_v2(path, &self->db,
			    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX | SQLITE_OPEN_NOFOLLOW,
			    NULL) != SQLITE_OK) {
		(void)db_error(self->db, path, err);
		store_close(self);
		return -1;
	}
	(void)sqlite3_busy_timeout(self->db, BUSY_TIMEOUT_MS);
	if (execute(self->db, settings, err) || migrate(self->db, path, err)) {
		store_close(self);
		return err_prefix(err, "cannot open %s", path);
	}
	*store = self;
	return 0;
}

void store_close(struct store *store)
{
	if (!store)
		return;
	(void)sqlite3_close_v2(store->db);
	(void)pthread_cond_destroy(&store->watch);
	(void)pthread_mutex_destroy(&store->watch_lock);
	(void)pthread_mutex_destroy(&store->lock);
	free(store);
}

int store_begin(struct store *store, struct store_tx *tx, struct err *err)
{
	if (FAULT("store.begin"))
		return crash(err);
	(void)pthread_mutex_lock(&store->lock);
	if (execute(store->db, "BEGIN IMMEDIATE", err)) {
		(void)pthread_mutex_unlock(&store->lock);
		return -1;
	}
	*tx = (struct store_tx){store, false};
	return 0;
}

void store_abort(struct store_tx *tx)
{
	struct store *store = tx->store;

	if (!store)
		return;
	tx->store = NULL;
	(void)sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
	(void)pthread_mutex_unlock(&store->lock);
}

int store_commit(struct store_tx *tx, struct err *err)
{
	struct store *store = tx->store;
	bool wrote = tx->wrote;

	if (FAULT("store.commit")) {
		store_abort(tx);
		return crash(err);
	}
	if (execute(store->db, "COMMIT", err)) {
		store_abort(tx);
		return -1;
	}
	tx->store = NULL;
	(void)pthread_mutex_unlock(&store->lock);
	if (wrote)
		store_nudge(store);
	return FAULT("store.committed") ? crash(err) : 0;
}

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

static int bind(sqlite3_stmt *statement, int at, const struct store_value *value)
{
	switch (value->kind) {
	case STORE_NUMBER:
		return sqlite3_bind_int64(statement, at, value->number);
	case STORE_REAL:
		return sqlite3_bind_double(statement, at, value->real);
	case STORE_TEXT:
		return sqlite3_bind_text64(statement, at, value->text.at ? value->text.at : "", value->text.length,
					   SQLITE_TRANSIENT, SQLITE_UTF8);
	case STORE_NULL:
		break;
	}
	return sqlite3_bind_null(statement, at);
}

static int prepare(struct store_tx *tx, const char *sql, const struct store_value *values, size_t count, sqlite3_stmt **statement,
		   struct err *err)
{
	sqlite3 *db = tx->store->db;

	*statement = NULL;
	if (sqlite3_prepare_v2(db, sql, -1, statement, NULL) != SQLITE_OK)
		return db_error(db, sql, err);
	assert((size_t)sqlite3_bind_parameter_count(*statement) == count);
	for (size_t i = 0; i < count; i++)
		if (bind(*statement, (int)i + 1, &values[i]) != SQLITE_OK) {
			(void)db_error(db, sql, err);
			(void)sqlite3_finalize(*statement);
			*statement = NULL;
			return -1;
		}
	return 0;
}

int store_run(struct store_tx *tx, const char *sql, const struct store_value *values, size_t count, struct err *err)
{
	sqlite3_stmt *statement;
	int status;

	if (FAULT("store.run"))
		return crash(err);
	if (prepare(tx, sql, values, count, &statement, err))
		return -1;
	tx->wrote = true;
	while ((status = sqlite3_step(statement)) == SQLITE_ROW)
		;
	if (status != SQLITE_DONE)
		(void)db_error(tx->store->db, sql, err);
	(void)sqlite3_finalize(statement);
	return status == SQLITE_DONE ? 0 : -1;
}

int64_t store_changed(const struct store_tx *tx)
{
	return sqlite3_changes64(tx->store->db);
}

int64_t store_last_id(const struct store_tx *tx)
{
	return sqlite3_last_insert_rowid(tx->store->db);
}

int store_query(struct store_tx *tx, struct store_rows *rows, const char *sql, const struct store_value *values, size_t count,
		struct err *err)
{
	sqlite3_stmt *statement;

	if (FAULT("store.query"))
		return crash(err);
	if (prepare(tx, sql, values, count, &statement, err))
		return -1;
	*rows = (struct store_rows){statement, SQLITE_OK};
	return 0;
}

bool store_rows_next(struct store_rows *rows)
{
	rows->status = sqlite3_step(rows->statement);
	return rows->status == SQLITE_ROW;
}

int store_rows_finish(struct store_rows *rows, struct err *err)
{
	sqlite3 *db = sqlite3_db_handle(rows->statement);

	if (rows->status != SQLITE_DONE && rows->status != SQLITE_ROW && rows->status != SQLITE_OK)
		return db_error(db, "cannot read", err);
	return 0;
}

void store_rows_fini(struct store_rows *rows)
{
	if (rows->statement)
		(void)sqlite3_finalize(rows->statement);
	rows->statement = NULL;
}

int64_t store_rows_number(struct store_rows *rows, int column)
{
	return sqlite3_column_int64(rows->statement, column);
}

double store_rows_real(struct store_rows *rows, int column)
{
	return sqlite3_column_double(rows->statement, column);
}

const char *store_rows_text(struct store_rows *rows, int column)
{
	return (const char *)sqlite3_column_text(rows->statement, column);
}

bool store_rows_null(struct store_rows *rows, int column)
{
	return sqlite3_column_type(rows->statement, column) == SQLITE_NULL;
}

json_t *store_rows_json(struct store_rows *rows, int column)
{
	switch (sqlite3_column_type(rows->statement, column)) {
	case SQLITE_INTEGER:
		return json_integer(sqlite3_column_int64(rows->statement, column));
	case SQLITE_FLOAT:
		return json_real(sqlite3_column_double(rows->statement, column));
	case SQLITE_TEXT:
		return json_string(store_rows_text(rows, column));
	default:
		return json_null();
	}
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

int64_t store_version(struct store *store)
{
	int64_t version;

	(void)pthread_mutex_lock(&store->watch_lock);
	version = store->version;
	(void)pthread_mutex_unlock(&store->watch_lock);
	return version;
}

void store_wait(struct store *store, int64_t seen, int64_t timeout_ms)
{
	struct timespec until;

	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)(timeout_ms / 1000);
	until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	(void)pthread_mutex_lock(&store->watch_lock);
	while (store->version == seen)
		if (pthread_cond_timedwait(&store->watch, &store->watch_lock, &until))
			break;
	(void)pthread_mutex_unlock(&store->watch_lock);
}

void store_nudge(struct store *store)
{
	(void)pthread_mutex_lock(&store->watch_lock);
	store->version++;
	(void)pthread_cond_broadcast(&store->watch);
	(void)pthread_mutex_unlock(&store->watch_lock);
}
