/*
 * The leak scan of a SQL database: every column of text or numbers without a rule is searched by the server for what might be
 * somebody's data (leak_pattern), and what matches is looked at here. JSON documents are looked at leaf by leaf.
 */
#include <ctype.h>
#include <stdlib.h>

#include "base/scope.h"
#include "data/leak.h"
#include "data/leaves.h"
#include "data/sql.h"

#define ROWS_MAX 200000 /* of one column, of those that match */
#define VALUE_CHARS_MAX 65536
#define PLACES_MAX 1000 /* within the documents of one column */
#define CARD_SHARE 10   /* one in so many numbers of a card's length is one by chance, or nearly */

struct scan {
	struct sql *sql;
	const struct mask_rule *rules;
	size_t rule_count;
	const struct sql_column *column;
	const char *shown; /* "users.email" */
	json_t *places;    /* {"users.profile/email": [1, 0, 0, 0]} of the column */
	int64_t numbers;   /* values of digits alone, as long as a card's */
	int64_t rows;
	json_t *found;
};

static const struct mask_rule *rule_of(const struct scan *scan, const char *path)
{
	for (size_t i = 0; i < scan->rule_count; i++) {
		const char *column = scan->rules[i].column;
		size_t length = strcspn(column, "/");
		AUTO_FREE char *whole = text_format("%s.%s.%s", scan->column->schema, scan->column->table, scan->column->name);

		if ((strlen(scan->shown) != length || strncmp(column, scan->shown, length) != 0) &&
		    (strlen(whole) != length || strncmp(column, whole, length) != 0))
			continue;
		if (!column[length] || (path && leaf_is_at(column + length, path)))
			return &scan->rules[i];
	}
	return NULL;
}

static void found_add(struct scan *scan, const char *path, const int64_t counts[LEAK_KINDS])
{
	AUTO_FREE char *place = text_format("%s%s", scan->shown, path);
	json_t *before = json_object_get(scan->places, place);

	if (!before && json_object_size(scan->places) < PLACES_MAX) {
		before = json_pack("[i, i, i, i]", 0, 0, 0, 0);
		(void)json_object_set_new(scan->places, place, before);
	}
	for (size_t kind = 0; before && kind < LEAK_KINDS; kind++)
		(void)json_array_set_new(before, kind,
					 json_integer(json_integer_value(json_array_get(before, kind)) + counts[kind]));
}

static void text_look(struct scan *scan, const char *text, const char *path, const char *name)
{
	int64_t counts[LEAK_KINDS] = {0};
	bool found = false;

	leak_find(view_of(text), name, counts);
	for (size_t kind = 0; kind < LEAK_KINDS; kind++)
		found = found || counts[kind];
	if (found)
		found_add(scan, path, counts);
}

static int leaf_look(void *self, const struct leaf *leaf, struct err *err)
{
	struct scan *scan = self;
	const char *name = strrchr(leaf->path, '/');
	AUTO_FREE char *text = NULL;

	(void)err;
	if (rule_of(scan, leaf->path))
		return 0;
	text = leaf_text(leaf);
	if (text)
		text_look(scan, text, leaf->path, name ? name + 1 : "");
	return 0;
}

static bool is_card_long(const char *text)
{
	size_t length = strspn(text, "0123456789");

	return !text[length] && length >= 13 && length <= 19;
}

static int value_look(void *self, const char *n, const char *old, struct err *err)
{
	struct scan *scan = self;

	(void)n;
	(void)err;
	scan->rows++;
	scan->numbers += is_card_long(old);
	if ((old[0] == '{' || old[0] == '[') && leaves_walk(view_of(old), leaf_look, scan, NULL) == 0)
		return 0;
	text_look(scan, old, "", scan->column->name);
	return 0;
}

static void places_report(struct scan *scan)
{
	const char *place;
	json_t *counts;

	json_object_foreach(scan->places, place, counts)
		for (size_t kind = 0; kind < LEAK_KINDS; kind++) {
			json_int_t count = json_integer_value(json_array_get(counts, kind));

			if (!count || (kind == LEAK_CARD && count * CARD_SHARE < scan->numbers))
				continue;
			(void)json_array_append_new(scan->found, json_pack("{s:s, s:s, s:I, s:b}", "column", place, "kind",
									   leak_name((enum leak_kind)kind), "count", count,
									   "sampled", scan->rows >= ROWS_MAX));
		}
}

static int column_scan(struct scan *scan, struct err *err)
{
	struct sql *sql = scan->sql;
	AUTO_BUF value = buf_new(SQL_STATEMENT_MAX);
	AUTO_BUF table = buf_new(SQL_STATEMENT_MAX);
	AUTO_BUF where = buf_new(SQL_STATEMENT_MAX);
	AUTO_BUF pattern = buf_new(4096);
	AUTO_JSON places = json_object();

	scan->places = places;
	scan->rows = 0;
	scan->numbers = 0;
	sql_add_as_text(sql, &value, NULL, scan->column->name);
	sql_add_table(sql, &table, scan->column->schema, scan->column->table);
	sql_add_text(&pattern, leak_pattern);
	if (sql->ops->matches) {
		const char *first = strstr(sql->ops->matches, "%s");
		const char *second = strstr(first + 2, "%s");

		buf_add_format(&where, "%.*s%s%.*s%s%s", (int)(first - sql->ops->matches), sql->ops->matches, value.at,
			       (int)(second - first - 2), first + 2, pattern.at, second + 2);
	} else {
		buf_add_format(&where, "%s IS NOT NULL", value.at);
	}
	if (sql_run(sql, err,
		    "CREATE TEMPORARY TABLE assay_old AS SELECT row_number() OVER (ORDER BY 1) AS n, v AS old FROM "
		    "(SELECT substr(%s, 1, %d) AS v FROM %s WHERE %s LIMIT %d) d",
		    value.at, VALUE_CHARS_MAX, table.at, where.at, ROWS_MAX) ||
	    sql_run(sql, err, "CREATE INDEX assay_old_n ON assay_old (n)") || sql_pages(sql, value_look, scan, NULL, err) ||
	    sql_run(sql, err, "DROP TABLE assay_old"))
		return err_prefix(err, "leak scan: %s", scan->shown);
	places_report(scan);
	return 0;
}

json_t *sql_scan(struct sql *sql, const struct mask_rule *rules, size_t rule_count, struct err *err)
{
	AUTO_SQL_SCHEMA schema = {.rows = NULL};
	AUTO_JSON found = json_array();
	struct scan scan = {.sql = sql, .rules = rules, .rule_count = rule_count, .found = found};

	if (sql_schema_read(sql, &schema, err))
		return NULL;
	for (size_t i = 0; i < schema.column_count; i++) {
		AUTO_FREE char *table = sql_table_shown(sql, schema.columns[i].schema, schema.columns[i].table);
		AUTO_FREE char *shown = text_format("%s.%s", table, schema.columns[i].name);

		scan.column = &schema.columns[i];
		scan.shown = shown;
		if ((schema.columns[i].kind == SQL_TEXT || schema.columns[i].kind == SQL_NUMBER) && !rule_of(&scan, NULL) &&
		    column_scan(&scan, err))
			return NULL;
	}
	return TAKE(found);
}
