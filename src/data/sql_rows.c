/* Digests are made by the server (or in our own process, for a file): only keys and digests travel. */
#include "data/sql_rows.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"
#include "data/engine.h"

struct table {
	const struct sql_column *columns;
	size_t count;
};

static struct table table_next(const struct sql_schema *schema, size_t first)
{
	struct table table = {&schema->columns[first], 1};

	while (first + table.count < schema->column_count && sql_same_table(&table.columns[0], &table.columns[table.count]))
		table.count++;
	return table;
}

static bool is_keyed(const struct table *table)
{
	for (size_t i = 0; i < table->count; i++)
		if (table->columns[i].key_place)
			return true;
	return false;
}

static void value_add(const struct sql *sql, struct buf *out, const struct sql_column *column, const char *name)
{
	const char *form = column->kind == SQL_BYTES ? "hex(%s)" : sql->ops->as_json ? sql->ops->as_json : "%s";

	for (const char *place; (place = strstr(form, "%s")); form = place + 2) {
		buf_add(out, form, (size_t)(place - form));
		buf_add_text(out, name);
	}
	buf_add_text(out, form);
}

/* json_object('id', "id", …) of the key's columns, in its order, or of all. */
static void object_add(struct sql *sql, struct buf *out, const struct table *table, bool key)
{
	int64_t place = 1;
	bool some = false;

	buf_add_text(out, "json_object(");
	for (bool found = true; found && (key || place == 1); place++) {
		found = false;
		for (size_t i = 0; i < table->count; i++) {
			const struct sql_column *column = &table->columns[i];
			AUTO_BUF name = buf_new(4096);

			if (key && column->key_place != place)
				continue;
			buf_add_text(out, some ? ", " : "");
			sql_add_text(out, column->name);
			buf_add_text(out, ", ");
			sql_add_name(sql, &name, column->name);
			value_add(sql, out, column, name.at);
			some = true;
			found = true;
		}
	}
	buf_add_char(out, ')');
}

static void digest_add(struct sql *sql, struct buf *out, const struct table *table)
{
	buf_add_text(out, sql->ops->row_digest);
	for (size_t i = 0; i < table->count; i++) {
		buf_add_text(out, i ? ", quote(" : "quote(");
		sql_add_name(sql, out, table->columns[i].name);
		buf_add_char(out, ')');
	}
	buf_add_text(out, sql->ops->row_digest_end);
}

/* {key or digest: digest}; a table without a key: {digest: how many}. */
static int table_read(struct sql *sql, const struct table *table, json_t **content, bool *cut, struct err *err)
{
	AUTO_BUF text = buf_new(SQL_STATEMENT_MAX);
	AUTO_JSON rows = json_array();
	bool keyed = is_keyed(table);
	bool more = false;
	json_t *row;
	size_t index;

	buf_add_text(&text, "SELECT ");
	if (keyed)
		object_add(sql, &text, table, true);
	else
		buf_add_text(&text, "''");
	buf_add_text(&text, ", ");
	digest_add(sql, &text, table);
	buf_add_text(&text, " FROM ");
	sql_add_table(sql, &text, table->columns[0].schema, table->columns[0].table);
	buf_add_format(&text, " LIMIT %zu", SQL_MARK_ROWS_MAX + 1);
	if (buf_finish(&text, err) || sql->ops->query(sql, text.at, rows, SQL_MARK_ROWS_MAX + 1, &more, err))
		return -1;
	if (more || json_array_size(rows) > SQL_MARK_ROWS_MAX) {
		*cut = true;
		return 0;
	}
	*content = json_object();
	json_array_foreach(rows, index, row) {
		const char *key = json_string_value(json_array_get(row, 0));
		json_t *digest = json_array_get(row, 1);
		const char *name = keyed ? key : json_string_value(digest);

		if (!name || !json_is_string(digest))
			continue;
		if (keyed)
			(void)json_object_set(*content, name, digest);
		else
			(void)json_object_set_new(*content, name, json_integer(json_number(*content, name, 0) + 1));
	}
	return 0;
}

json_t *sql_rows_mark(struct sql *sql, struct err *err)
{
	AUTO_SQL_SCHEMA schema = {.rows = NULL};
	AUTO_JSON tables = json_object();
	bool cut = false;

	if (sql_schema_read(sql, &schema, err))
		return NULL;
	for (size_t first = 0; first < schema.column_count;) {
		struct table table = table_next(&schema, first);
		AUTO_FREE char *shown = sql_table_shown(sql, table.columns[0].schema, table.columns[0].table);
		json_t *content = NULL;

		if (table_read(sql, &table, &content, &cut, err))
			return NULL;
		/* One that is too large is null: not compared, and not taken for new. */
		(void)json_object_set_new(tables, shown, content ? content : json_null());
		first += table.count;
	}
	return json_pack("{s:O}", "tables", tables);
}

/* "id" = 40 AND …: so that an index finds it. */
static int key_match(struct sql *sql, struct buf *out, const struct table *table, const char *key, struct err *err)
{
	AUTO_JSON parts = json_parse(view_of(key), err);
	bool some = false;

	if (!parts)
		return -1;
	for (size_t i = 0; i < table->count; i++) {
		const struct sql_column *column = &table->columns[i];
		json_t *part = json_object_get(parts, column->name);
		AUTO_FREE char *number = json_is_string(part) ? NULL : json_dumps(part, JSON_ENCODE_ANY);
		AUTO_BUF name = buf_new(4096);

		if (!column->key_place)
			continue;
		if (!json_is_string(part) && !json_is_number(part))
			return err_set(err, ERR_BROKEN, "a row's key does not add up");
		sql_add_name(sql, &name, column->name);
		buf_add_text(out, some ? " AND " : "");
		buf_add_format(out, column->kind == SQL_BYTES ? "hex(%s) = " : "%s = ", name.at);
		if (number)
			buf_add_text(out, number);
		else
			sql_add_text(out, json_string_value(part));
		some = true;
	}
	return 0;
}

/* One row as it is now. */
static int row_add(struct sql *sql, const struct table *table, const char *key, const char *digest, json_t *list, struct err *err)
{
	AUTO_BUF text = buf_new(SQL_STATEMENT_MAX);
	AUTO_JSON rows = json_array();
	AUTO_JSON row = NULL;
	const char *found;

	buf_add_text(&text, "SELECT ");
	object_add(sql, &text, table, false);
	buf_add_text(&text, " FROM ");
	sql_add_table(sql, &text, table->columns[0].schema, table->columns[0].table);
	buf_add_text(&text, " WHERE ");
	if (key && key_match(sql, &text, table, key, err))
		return -1;
	if (!key) {
		digest_add(sql, &text, table);
		buf_add_text(&text, " = ");
		sql_add_text(&text, digest);
	}
	buf_add_text(&text, " LIMIT 1");
	if (buf_finish(&text, err) || sql->ops->query(sql, text.at, rows, 1, NULL, err))
		return -1;
	found = json_string_value(json_array_get(json_array_get(rows, 0), 0));
	if (!found)
		return 0;
	row = json_parse(view_of(found), NULL);
	(void)json_array_append_new(list, json_pack("{s:o, s:o}", "key", key ? json_parse(view_of(key), NULL) : json_object(),
						    "row", row ? TAKE(row) : json_string(found)));
	return 0;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* What is now and was not, or was otherwise. */
static int written_add(struct sql *sql, const struct table *table, const json_t *before, const json_t *now, json_t *list, bool *cut,
		       struct err *err)
{
	const char **changed = mem_new_array(json_object_size(now) + 1, sizeof(*changed));
	bool keyed = is_keyed(table);
	size_t count = 0;
	const char *name;
	json_t *value;
	int result = 0;

	json_object_foreach((json_t *)(uintptr_t)now, name, value)
		if (!json_equal(value, json_member(before, name)))
			changed[count++] = name;
	qsort(changed, count, sizeof(*changed), by_text);
	*cut = *cut || count > ENGINE_ROWS_MAX;
	for (size_t i = 0; i < count && i < ENGINE_ROWS_MAX && result == 0; i++)
		result = row_add(sql, table, keyed ? changed[i] : NULL, changed[i], list, err);
	free(changed);
	return result;
}

/* ["2", "digest"]: how many of before are gone or changed, and the sum of their keys' digests. */
static void touched_add(const char *shown, const json_t *before, const json_t *now, json_t *touched)
{
	uint64_t sum = 0;
	int64_t count = 0;
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)before, name, value) {
		if (json_equal(value, json_member(now, name)))
			continue;
		count++;
		sum += view_hash(view_of(name));
	}
	if (count) {
		AUTO_FREE char *number = text_format("%lld", (long long)count);
		AUTO_FREE char *digest = text_format("%llu", (unsigned long long)sum);

		(void)json_object_set_new(touched, shown, json_pack("[s, s]", number, digest));
	}
}

json_t *sql_rows_since(struct sql *sql, const json_t *mark, struct err *err)
{
	AUTO_SQL_SCHEMA schema = {.rows = NULL};
	AUTO_JSON result = json_pack("{s:{}, s:{}}", "tables", "touched");
	const json_t *marked = json_member(mark, "tables");
	bool cut = false;

	if (sql_schema_read(sql, &schema, err))
		return NULL;
	for (size_t first = 0; first < schema.column_count;) {
		struct table table = table_next(&schema, first);
		AUTO_FREE char *shown = sql_table_shown(sql, table.columns[0].schema, table.columns[0].table);
		json_t *before = json_object_get(marked, shown);
		AUTO_JSON list = json_array();
		AUTO_JSON now = NULL;

		first += table.count;
		if (json_is_null(before)) {
			cut = true;
			continue;
		}
		if (table_read(sql, &table, &now, &cut, err) || (now && written_add(sql, &table, before, now, list, &cut, err)))
			return NULL;
		if (json_array_size(list))
			(void)json_object_set(json_object_get(result, "tables"), shown, list);
		if (now)
			touched_add(shown, before, now, json_object_get(result, "touched"));
	}
	if (cut)
		(void)json_object_set_new(result, "cut", json_true());
	return TAKE(result);
}
