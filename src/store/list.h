/*
 * list: one page of a table, the newest first, cut and filtered where the rows are. A page ends with a number that its last row keeps for
 * ever, so rows that come or go between two pages neither repeat nor hide others.
 */
#ifndef ASSAY_STORE_LIST_H
#define ASSAY_STORE_LIST_H

#include "store/store.h"

#define LIST_LIMIT_DEFAULT 100
#define LIST_LIMIT_MAX 1000
#define LIST_VALUES_MAX 40 /* over it is ERR_LIMIT */
#define LIST_SQL_MAX ((size_t)16 << 10)

/* What is asked for. Filters are NULL or "" for all; all texts are borrowed. */
struct list_ask {
	int64_t after;     /* `next` of the page before; 0: the first page */
	int64_t limit;     /* rows, at most LIST_LIMIT_MAX; 0: LIST_LIMIT_DEFAULT */
	const char *state; /* any of these words: "open,working"; likewise the next two */
	const char *repository;
	const char *agent;
	const char *text; /* is in a text of the row, whether in small or in capital letters */
	bool asks;        /* only what waits for an answer of a person */
};

/* A query that grows, and its page that fills. The values borrow what they are made of. */
struct list_sql {
	struct buf sql;
	struct buf pattern; /* of list_text */
	struct store_value values[LIST_VALUES_MAX];
	size_t count;
	bool conditions;
	bool over; /* more values than fit */
	int64_t limit, taken, last, next;
};

#define AUTO_LIST __attribute__((cleanup(list_fini))) struct list_sql

void list_init(struct list_sql *list, const char *select); /* "SELECT seq, … FROM run" */
void list_fini(struct list_sql *list);
void list_condition(struct list_sql *list, const char *condition); /* ANDed; its values, if any, come next */
void list_value(struct list_sql *list, struct store_value value);
void list_any(struct list_sql *list, const char *column, const char *words);  /* no words: no condition */
void list_text(struct list_sql *list, const char *columns, const char *text); /* an expression of texts */
/* The rows behind ask->after by `key`, its limit, and the query itself. */
MUST_USE int list_query(struct list_sql *list, struct store_tx *tx, struct store_rows *rows, const char *key,
			const struct list_ask *ask, struct err *err);
/* For each row, with its key: does the page take it? false: it is full, and there is more. */
bool list_takes(struct list_sql *list, int64_t key);
/* {"items", "next"?: where the next page begins, as a text}; takes items. */
json_t *list_page(const struct list_sql *list, json_t *items);

#endif
