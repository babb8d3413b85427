/* What the files of store/ share: a store is the operations of its database, and whoever waits for its commits. */
#ifndef ASSAY_STORE_STORE_PRIV_H
#define ASSAY_STORE_STORE_PRIV_H

#include <pthread.h>

#include "store/store.h"

enum store_alone { STORE_SERIAL, STORE_FREE, STORE_SNAPSHOT };

struct store_ops {
	const char *name;         /* "SQLite", "PostgreSQL" */
	const char *skip_locked;  /* put after a SELECT that takes rows of a queue */
	const char *clock_ms_sql; /* asks the database for its clock; NULL: it has that of this machine */
	void (*close)(struct store *store);
	/* Sets tx->session, NULL on failure. */
	int (*begin)(struct store *store, struct store_tx *tx, enum store_alone alone, struct err *err);
	int (*commit)(struct store_tx *tx, struct err *err); /* the session is over in any case */
	void (*abort)(struct store_tx *tx);
	int (*run)(struct store_tx *tx, const char *sql, const struct store_value *values, size_t count, struct err *err);
	int64_t (*changed)(const struct store_tx *tx);
	int64_t (*last_id)(const struct store_tx *tx);
	int (*script)(struct store_tx *tx, const char *sql, struct err *err); /* a migration, in the common form */
	bool (*has_table)(struct store_tx *tx, const char *name);
	/* The form as stores of before the table `store_form` tell it, 0 when there is nothing, -1 when others' tables are. */
	int (*form)(struct store_tx *tx, int64_t *form, struct err *err);
	int (*form_set)(struct store_tx *tx, int64_t form, struct err *err); /* for programs of that time */
	int (*query)(struct store_tx *tx, struct store_rows *rows, const char *sql, const struct store_value *values, size_t count,
		     struct err *err);
	bool (*next)(struct store_rows *rows);
	int (*finish)(struct store_rows *rows, struct err *err);
	void (*fini)(struct store_rows *rows);
	int64_t (*number)(struct store_rows *rows, int column);
	double (*real)(struct store_rows *rows, int column);
	const char *(*text)(struct store_rows *rows, int column);
	enum store_kind (*kind)(struct store_rows *rows, int column);
	int (*columns)(struct store_rows *rows);
	const char *(*column)(struct store_rows *rows, int column);
	int (*numbers_set)(struct store_tx *tx, struct err *err); /* after rows with numbers were put; NULL: it does so itself */
	int (*flush)(struct store *store, struct err *err);       /* all that was committed is on the disk; blocks */
	void (*tell)(struct store *store); /* somebody committed: tells other machines; NULL: there are none */
};

struct store {
	const struct store_ops *ops;
	char *where; /* for messages; no password */
	pthread_mutex_t watch_lock;
	pthread_cond_t watch;
	int64_t version;                  /* under watch_lock */
	struct store_listener *listeners; /* under watch_lock */
	int hurried;                      /* under watch_lock */
	int64_t connects;                 /* atomic */
	pthread_cond_t unhurried;
	pthread_mutex_t flush_lock; /* and what follows */
	pthread_cond_t flushed[2];  /* by the number of the sync that is waited for, even or odd */
	int64_t flushes_begun;
	int64_t flushes_done;
	bool flushing;
	bool flush_failed; /* for good: what the disk lost once, a second sync does not bring back */
};

MUST_USE int store_sqlite_open(const char *path, struct store **store, struct err *err);
MUST_USE int store_postgres_open(const char *url, struct store **store, struct err *err);
void store_init(struct store *store, const struct store_ops *ops, const char *where);
void store_fini(struct store *store);

/* Brings an open store to the newest form. */
MUST_USE int store_migrate(struct store *store, struct err *err);

/* `?` outside of quotes becomes $1, $2 …; *count is how many. Owned. */
char *dialect_statement(const char *sql, size_t *count);
/* CREATE TABLE and ALTER TABLE as SQLite has them, with PostgreSQL's types. Owned. */
char *dialect_schema(const char *sql);

#endif
