/*
 * sql: one session with a database that speaks SQL, and what masks, scans and subsets are written in: an engine brings the few words
 * that differ. Blocks. What the database answers is hostile and bounded.
 */
#ifndef ASSAY_DATA_SQL_H
#define ASSAY_DATA_SQL_H

#include "base/json.h"
#include "data/mask.h"
#include "data/wire.h"

#define SQL_COLUMNS_MAX ((size_t)50000)
#define SQL_KEYS_MAX ((size_t)20000)
#define SQL_KEY_PARTS_MAX ((size_t)16)
#define SQL_STATEMENT_MAX ((size_t)64 << 20)
#define SQL_PAGE_ROWS 500

struct sql;

struct sql_ops {
	const char *default_schema; /* not shown; NULL: schemas are not shown at all */
	char quote;                 /* of identifiers */
	const char *columns;        /* gives rows as struct sql_column names them */
	const char *keys;           /* gives rows as struct sql_key names them */
	const char *elsewhere;      /* gives a row with a name when something is in another database; NULL: there are none */
	const char *as_text;        /* "%s" is a column: its value as text, compared byte by byte */
	const char *matches;        /* two "%s", a text and a quoted pattern: does it match? NULL: look at all */
	const char *cast;           /* "%s" is the type: behind a text that becomes one; NULL: that goes by itself */
	const char *insert_all;     /* behind the columns of an INSERT that gives identity columns too */
	const char *value_index;    /* on assay_old.old, so that a join by it is quick; NULL: the server joins by hashing */
	bool update_joins;          /* UPDATE a JOIN b …, not UPDATE a SET … FROM b */
	const char *as_json;        /* every "%s" is a column: its value as json_object takes it; NULL: as it is */
	const char *row_digest; /* before and behind the quoted values of a row: a digest of them; of engines that use sql_rows */
	const char *row_digest_end;

	/* The rows, at most rows_max, texts and nulls, are appended to `rows` (may be NULL); *cut says that there were more,
	 * or that they are longer than ENGINE_REPLY_BYTES_MAX: without it, that is ERR_LIMIT. */
	int (*query)(struct sql *sql, const char *text, json_t *rows, size_t rows_max, bool *cut, struct err *err);
	/* From here on neither foreign keys nor triggers act; `end` undoes it. */
	int (*begin)(struct sql *sql, struct err *err);
	int (*end)(struct sql *sql, struct err *err);
	/* Nothing that was replaced is left in what a clone of the data has, nor in what is made of tables. */
	int (*scrub)(struct sql *sql, struct err *err);
	void (*close)(struct sql *sql);
};

struct sql {
	const struct sql_ops *ops;
	struct wire wire;
	void *handle;          /* the engine's own */
	json_t *aside;         /* what `begin` took away */
	const bool *cancelled; /* may be NULL */
};

void sql_close(struct sql *sql);
#define AUTO_SQL __attribute__((cleanup(sql_close))) struct sql

enum sql_class { SQL_TEXT, SQL_NUMBER, SQL_BYTES, SQL_OTHER };

struct sql_column { /* borrowed from sql_schema.rows */
	const char *schema;
	const char *table;
	const char *name;
	const char *type; /* as a cast names it */
	enum sql_class kind;
	int64_t length_max;
	int64_t number_max;
	bool generated;
	bool unique;       /* part of a unique index */
	bool partitioned;  /* the table is a parent of others that hold its rows */
	int64_t key_place; /* in the primary key, from 1; 0: none, or not asked */
};

struct sql_key { /* a foreign key; borrowed from sql_schema.keys */
	const char *name;
	const char *schema;
	const char *table;
	const char *parent_schema;
	const char *parent_table;
	const char *columns[SQL_KEY_PARTS_MAX];
	const char *parent_columns[SQL_KEY_PARTS_MAX];
	size_t parts;
};

struct sql_schema {
	json_t *rows;
	json_t *key_rows;
	struct sql_column *columns; /* sorted by schema, table and place */
	size_t column_count;
	struct sql_key *keys;
	size_t key_count;
};

MUST_USE int sql_schema_read(struct sql *sql, struct sql_schema *schema, struct err *err);
void sql_schema_fini(struct sql_schema *schema);
#define AUTO_SQL_SCHEMA __attribute__((cleanup(sql_schema_fini))) struct sql_schema

bool sql_column_is(const struct sql_column *column, const char *schema, const char *table, const char *name);
bool sql_same_table(const struct sql_column *a, const struct sql_column *b);

/* ---- statements ---- */

void sql_add_name(const struct sql *sql, struct buf *out, const char *name);
void sql_add_text(struct buf *out, const char *text); /* quoted; the session takes backslashes as they are */
void sql_add_table(const struct sql *sql, struct buf *out, const char *schema, const char *table);
void sql_add_as_text(const struct sql *sql, struct buf *out, const char *table, const char *column); /* `table` may be NULL */
/* "users", "audit.users": owned by the caller. */
char *sql_table_shown(const struct sql *sql, const char *schema, const char *table);
MUST_USE int sql_run(struct sql *sql, struct err *err, const char *format, ...) PRINTF_LIKE(3, 4);
MUST_USE int sql_number(struct sql *sql, const char *text, int64_t *number, struct err *err);
/* Calls `each` with every row (n, old) of the temporary table assay_old, in pages. */
MUST_USE int sql_pages(struct sql *sql, int (*each)(void *self, const char *n, const char *old, struct err *err), void *self,
		       int (*page)(void *self, struct err *err), struct err *err);

/* ---- masks (sql_mask.c) ---- */

struct sql_mask {
	const unsigned char *key; /* DIGEST_KEY_BYTES */
	const struct mask_rule *rules;
	size_t rule_count;
	bool all_there; /* a rule for a column that is not there is an error */
};

/* Replaces what the rules name, and what foreign keys tie to it; then every foreign key joins as many rows as before. Errors name
 * columns, never values. The old values are still in the database's files: sql_ops.scrub. */
MUST_USE int sql_mask(struct sql *sql, const struct sql_mask *mask, struct err *err);
/* What a server quotes of a value in its error (`…: "ada@x.example"`, `Duplicate entry 'ada' for key`) becomes three dots; names stay. */
void sql_error_hide(struct err *err);

/* ---- subsets (sql_subset.c) ---- */

/* Removes what the rules do not keep, and what refers to something that is not there any more. */
MUST_USE int sql_subset(struct sql *sql, const struct subset_rule *rules, size_t rule_count, struct err *err);

/* ---- leaks (sql_scan.c) ---- */

/* [{"column": "users.email", "kind": "email", "count": 3, "sampled": false}]: what columns without a rule hold, owned by the caller. */
json_t *sql_scan(struct sql *sql, const struct mask_rule *rules, size_t rule_count, struct err *err);

#endif
