/*
 * store: transactions and statements over the control plane's database. It is durable against kill -9 of any process at any time:
 * a committed transaction is there, any other is not. What must also outlive a loss of power is synced after its commit.
 *
 * Three kinds, one contract: SQLite in a file, SQLite in memory, PostgreSQL. A transaction is serial: no other one runs beside it, so
 * it is short, holds no other lock and waits for nothing outside. Any thread; never on a loop. SQL here is the common part of SQLite
 * and PostgreSQL, parameters are `?`.
 */
#ifndef ASSAY_STORE_STORE_H
#define ASSAY_STORE_STORE_H

#include "base/json.h"
#include "base/world.h"

struct store;

/* `where` is a file, ":memory:", or "postgres://…" (libpq's URLs). Makes or opens the database and brings it to the newest form.
 * ERR_INVALID when a newer program made it, ERR_BROKEN when it is no database of ours or its forms were other ones, ERR_RETRY when it
 * cannot be reached. */
MUST_USE int store_open(const char *where, struct store **store, struct err *err);
void store_close(struct store *store);
const char *store_where(const struct store *store); /* for people: the path, or the URL without its password */
bool store_is_shared(const struct store *store);    /* may other programs work on it at the same time? */

struct store_tx {
	struct store *store; /* NULL: not begun, or over */
	bool wrote;
	void *session; /* the database's */
};

#define AUTO_TX __attribute__((cleanup(store_abort))) struct store_tx

/* The calling thread must not be in a transaction of the same store. */
MUST_USE int store_begin(struct store *store, struct store_tx *tx, struct err *err);
MUST_USE int store_commit(struct store_tx *tx, struct err *err); /* on failure it is aborted */
void store_abort(struct store_tx *tx);                           /* no effect when it is over */
/* As store_begin, but others may run beside it: for what only inserts, or locks the rows it takes with store_skip_locked(). */
MUST_USE int store_begin_free(struct store *store, struct store_tx *tx, struct err *err);
/* Only reads, all of it as it is now, and holds nobody up (but other threads on this store, where it is a file). */
MUST_USE int store_begin_snapshot(struct store *store, struct store_tx *tx, struct err *err);
/* Who must not wait (somebody outside does) says so around its transaction; who can calls store_give_way() before its own, and makes those
 * short while store_is_hurried(). Any number at once; any thread that is in no transaction of this store. */
void store_hurry_begin(struct store *store);
void store_hurry_end(struct store *store);
bool store_is_hurried(struct store *store);
/* Returns when nobody hurries, or after so long. */
void store_give_way(struct store *store, int64_t most_ms);
/* What is put after a SELECT that takes rows of a queue: rows that another transaction takes are left out. */
const char *store_skip_locked(const struct store_tx *tx);

/* Returns when all that was committed before the call outlives a loss of power; callers at the same time share one write to the disk.
 * ERR_BROKEN when the disk refused: then nothing since the last success is certain, and every later call fails too. */
MUST_USE int store_sync(struct store *store, struct err *err);
MUST_USE int store_commit_synced(struct store_tx *tx, struct err *err);

/* The time that all who share the store agree on: the database's when it is on a machine of its own, else the world's. */
MUST_USE int store_now_ms(struct store_tx *tx, struct world world, int64_t *now_ms, struct err *err);

enum store_kind { STORE_NULL, STORE_NUMBER, STORE_REAL, STORE_TEXT };

/* A parameter; text is borrowed until the call returns. */
struct store_value {
	enum store_kind kind;
	int64_t number;
	double real;
	struct view text;
};

struct store_value store_value_number(int64_t number);
struct store_value store_value_real(double real);
struct store_value store_value_text(const char *text); /* NULL is NULL */
struct store_value store_value_view(struct view text);

#define V(x) \
	_Generic((x),                             \
		bool: store_value_number,         \
		int: store_value_number,          \
		long: store_value_number,         \
		long long: store_value_number,    \
		double: store_value_real,         \
		char *: store_value_text,         \
		const char *: store_value_text,   \
		struct view: store_value_view)(x)
/* The two arguments `values, count`. */
#define VALUES(...) \
	(const struct store_value[]){__VA_ARGS__}, sizeof((const struct store_value[]){__VA_ARGS__}) / sizeof(struct store_value)
#define NO_VALUES NULL, 0

/* A statement without rows. ERR_CONFLICT for a broken constraint, ERR_RETRY when somebody else holds the file. */
MUST_USE int store_run(struct store_tx *tx, const char *sql, const struct store_value *values, size_t count, struct err *err);
int64_t store_changed(const struct store_tx *tx); /* rows changed by the last store_run */
int64_t store_last_id(const struct store_tx *tx); /* the number given to the last inserted row */

/* Rows of a query, one at a time; over when the transaction is. */
struct store_rows {
	const struct store_ops *ops; /* NULL: there are none */
	struct store *store;
	void *statement;
	int status;
	int row;
};

#define AUTO_ROWS __attribute__((cleanup(store_rows_fini))) struct store_rows

MUST_USE int store_query(struct store_tx *tx, struct store_rows *rows, const char *sql, const struct store_value *values,
			 size_t count, struct err *err);
bool store_rows_next(struct store_rows *rows);                            /* false at the end, and when it failed */
MUST_USE int store_rows_finish(struct store_rows *rows, struct err *err); /* did it fail? */
void store_rows_fini(struct store_rows *rows);
int64_t store_rows_number(struct store_rows *rows, int column); /* 0 for NULL */
double store_rows_real(struct store_rows *rows, int column);
const char *store_rows_text(struct store_rows *rows, int column); /* borrowed until the next row; NULL for NULL */
bool store_rows_null(struct store_rows *rows, int column);
/* A value for JSON: null, integer, real or string. */
json_t *store_rows_json(struct store_rows *rows, int column);

/* The first column of the first row; `fallback` when there is none. */
MUST_USE int store_number_get(struct store_tx *tx, int64_t *number, int64_t fallback, const char *sql,
			      const struct store_value *values, size_t count, struct err *err);

/* Counts commits that wrote something. store_wait returns when the count is no longer `seen`, or after timeout_ms. */
int64_t store_version(struct store *store);
void store_wait(struct store *store, int64_t seen, int64_t timeout_ms);
void store_nudge(struct store *store); /* lets every store_wait return */
/* Counts how often a database of its own was connected to anew. It may have died, and have lost what was committed in its last second and
 * not synced: who goes by what it once committed looks again when the count is another. 0 where the store ends with this process. */
int64_t store_connects(const struct store *store);

/* Who hears of the same without a thread that waits: `heard` is called by who committed, must not block, and calls nothing of the store. */
struct store_listener {
	void (*heard)(void *self);
	void *self;
	struct store_listener *next; /* the store's */
};
void store_listen(struct store *store, struct store_listener *listener);
void store_listen_end(struct store *store, struct store_listener *listener); /* it is not called any more; listening or not */

#endif
