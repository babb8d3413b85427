/* What every SQL engine shares: the schema as records, names and texts in statements, rows in pages. */
#include "data/sql.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"

void sql_close(struct sql *sql)
{
	if (sql->ops && sql->ops->close)
		sql->ops->close(sql);
	json_decref(sql->aside);
	wire_fini(&sql->wire);
	*sql = (struct sql){.ops = NULL};
}

static const char *cell(const json_t *row, size_t at)
{
	const char *text = json_string_value(json_array_get(row, at));

	return text ? text : "";
}

static bool cell_true(const json_t *row, size_t at)
{
	return cell(row, at)[0] == 't' || cell(row, at)[0] == '1';
}

static enum sql_class kind_of(const char *kind)
{
	static const char *const kinds[] = {[SQL_TEXT] = "text", [SQL_NUMBER] = "number", [SQL_BYTES] = "bytes"};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (strcmp(kind, kinds[i]) == 0)
			return (enum sql_class)i;
	return SQL_OTHER;
}

static void column_read(const json_t *row, struct sql_column *column)
{
	*column = (struct sql_column){.schema = cell(row, 0),
				      .table = cell(row, 1),
				      .name = cell(row, 2),
				      .type = cell(row, 3),
				      .kind = kind_of(cell(row, 4)),
				      .length_max = atoll(cell(row, 5)),
				      .number_max = atoll(cell(row, 6)),
				      .generated = cell_true(row, 7),
				      .unique = cell_true(row, 8),
				      .partitioned = cell_true(row, 9),
				      .key_place = atoll(cell(row, 10))};
}

/* One row a column pair: name, schema, table, column, parent's schema, table, column; in the order of keys and their columns. */
static void key_read(const json_t *row, struct sql_schema *schema)
{
	struct sql_key *last = schema->key_count ? &schema->keys[schema->key_count - 1] : NULL;

	if (!last || strcmp(last->name, cell(row, 0)) != 0 || strcmp(last->schema, cell(row, 1)) != 0 ||
	    strcmp(last->table, cell(row, 2)) != 0) {
		last = &schema->keys[schema->key_count++];
		*last = (struct sql_key){.name = cell(row, 0),
					 .schema = cell(row, 1),
					 .table = cell(row, 2),
					 .parent_schema = cell(row, 4),
					 .parent_table = cell(row, 5)};
	}
	if (last->parts < SQL_KEY_PARTS_MAX) {
		last->columns[last->parts] = cell(row, 3);
		last->parent_columns[last->parts++] = cell(row, 6);
	}
}

int sql_schema_read(struct sql *sql, struct sql_schema *schema, struct err *err)
{
	bool cut = false;
	json_t *row;
	size_t index;

	*schema = (struct sql_schema){.rows = json_array(), .key_rows = json_array()};
	if (sql->ops->query(sql, sql->ops->columns, schema->rows, SQL_COLUMNS_MAX, &cut, err) ||
	    sql->ops->query(sql, sql->ops->keys, schema->key_rows, SQL_KEYS_MAX, &cut, err))
		return -1;
	if (cut)
		return err_set(err, ERR_LIMIT, "more than %zu columns or %zu columns of foreign keys", SQL_COLUMNS_MAX,
			       SQL_KEYS_MAX);
	schema->columns = mem_new_array(json_array_size(schema->rows) + 1, sizeof(*schema->columns));
	schema->keys = mem_new_array(json_array_size(schema->key_rows) + 1, sizeof(*schema->keys));
	json_array_foreach(schema->rows, index, row)
		column_read(row, &schema->columns[schema->column_count++]);
	json_array_foreach(schema->key_rows, index, row)
		key_read(row, schema);
	return 0;
}

void sql_schema_fini(struct sql_schema *schema)
{
	free(schema->columns);
	free(schema->keys);
	json_decref(schema->rows);
	json_decref(schema->key_rows);
}

bool sql_column_is(const struct sql_column *column, const char *schema, const char *table, const char *name)
{
	return strcmp(column->schema, schema) == 0 && strcmp(column->table, table) == 0 && strcmp(column->name, name) == 0;
}

bool sql_same_table(const struct sql_column *a, const struct sql_column *b)
{
	return strcmp(a->schema, b->schema) == 0 && strcmp(a->table, b->table) == 0;
}

static void add_quoted(struct buf *out, char quote, const char *text)
{
	buf_add_char(out, quote);
	for (; *text; text++) {
		if (*text == quote)
			buf_add_char(out, quote);
		buf_add_char(out, *text);
	}
	buf_add_char(out, quote);
}

void sql_add_name(const struct sql *sql, struct buf *out, const char *name)
{
	add_quoted(out, sql->ops->quote, name);
}

void sql_add_text(struct buf *out, const char *text)
{
	add_quoted(out, '\'', text);
}

void sql_add_table(const struct sql *sql, struct buf *out, const char *schema, const char *table)
{
	if (schema[0]) {
		sql_add_name(sql, out, schema);
		buf_add_char(out, '.');
	}
	sql_add_name(sql, out, table);
}

/* Puts `text` where a template of an engine has its "%s". */
static void add_in_place(struct buf *out, const char *template, const char *text)
{
	const char *place = strstr(template, "%s");

	buf_add(out, template, (size_t)(place - template));
	buf_add_text(out, text);
	buf_add_text(out, place + 2);
}

void sql_add_as_text(const struct sql *sql, struct buf *out, const char *table, const char *column)
{
	AUTO_BUF name = buf_new(SQL_STATEMENT_MAX);

	if (table)
		buf_add_format(&name, "%s.", table);
	sql_add_name(sql, &name, column);
	add_in_place(out, sql->ops->as_text, name.at);
}

char *sql_table_shown(const struct sql *sql, const char *schema, const char *table)
{
	if (!sql->ops->default_schema || strcmp(schema, sql->ops->default_schema) == 0)
		return text_copy(table);
	return text_format("%s.%s", schema, table);
}

int sql_run(struct sql *sql, struct err *err, const char *format, ...)
{
	AUTO_FREE char *text = NULL;
	va_list args;

	if (sql->cancelled && *sql->cancelled)
		return err_set(err, ERR_CANCELLED, "stopped");
	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		abort();
	va_end(args);
	return sql->ops->query(sql, text, NULL, 0, NULL, err);
}

int sql_number(struct sql *sql, const char *text, int64_t *number, struct err *err)
{
	AUTO_JSON rows = json_array();

	if (sql->ops->query(sql, text, rows, 1, NULL, err))
		return -1;
	*number = atoll(cell(json_array_get(rows, 0), 0));
	return 0;
}

int sql_pages(struct sql *sql, int (*each)(void *self, const char *n, const char *old, struct err *err), void *self,
	      int (*page)(void *self, struct err *err), struct err *err)
{
	AUTO_FREE char *last = text_copy("0");
	size_t page_rows = SQL_PAGE_ROWS;

	for (;;) {
		AUTO_FREE char *text = text_format("SELECT n, old FROM assay_old WHERE n > %s ORDER BY n LIMIT %zu", last,
						   page_rows);
		AUTO_JSON rows = json_array();
		struct err why = {0};
		uint64_t number;
		json_t *row;
		size_t index;

		if (sql->cancelled && *sql->cancelled)
			return err_set(err, ERR_CANCELLED, "stopped");
		if (sql->ops->query(sql, text, rows, page_rows, NULL, &why)) {
			if (why.kind != ERR_LIMIT || page_rows == 1)
				return err_set(err, why.kind, "%s", why.text);
			page_rows /= 2; /* so long values that a page of them is too much */
			continue;
		}
		json_array_foreach(rows, index, row)
			if (each(self, cell(row, 0), cell(row, 1), err))
				return -1;
		if (page && page(self, err))
			return -1;
		if (json_array_size(rows) < page_rows)
			return 0;
		row = json_array_get(rows, json_array_size(rows) - 1);
		if (!view_to_u64(view_of(cell(row, 0)), &number))
			return err_set(err, ERR_BROKEN, "the server numbers rows with something else");
		free(last);
		last = text_copy(cell(row, 0));
	}
}
