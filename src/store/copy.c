/*
 * A store as lines of JSON.
 *
 * The tables are those that the migrations make, in their order: what refers to another table comes after it.
 */
#include "store/copy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"
#include "store/migrations.h"
#include "store/store_priv.h"

#define TABLE_NAME_MAX 64
#define COLUMNS_MAX 64
#define CHUNK ((size_t)1 << 20)

/* Calls `each` for every table of the migrations. */
static int tables_each(int (*each)(void *self, const char *table, struct err *err), void *self, struct err *err)
{
	static const char words[] = "CREATE TABLE ";

	for (size_t i = 0; i < store_migration_count; i++)
		for (const char *at = store_migrations[i].sql; (at = strstr(at, words)); at++) {
			char table[TABLE_NAME_MAX];
			const char *name = at + sizeof(words) - 1;

			(void)snprintf(table, sizeof(table), "%.*s", (int)strcspn(name, " ("), name);
			if (each(self, table, err))
				return -1;
		}
	return 0;
}

/* ---- out ---- */

struct out {
	struct store_tx *tx;
	int fd;
	struct buf buf;
	int64_t rows;
};

static int out_flush(struct out *out, size_t over, struct err *err)
{
	if (out->buf.length <= over)
		return 0;
	if (buf_finish(&out->buf, err) || file_write_fd(out->fd, buf_view(&out->buf), err))
		return -1;
	buf_clear(&out->buf);
	return 0;
}

static int out_line(struct out *out, json_t *line, struct err *err)
{
	json_format(&out->buf, line);
	buf_add_char(&out->buf, '\n');
	json_decref(line);
	return out_flush(out, CHUNK, err);
}

static int out_table(void *self, const char *table, struct err *err)
{
	struct out *out = self;
	AUTO_FREE char *sql = text_format("SELECT * FROM %s", table);
	AUTO_ROWS rows = {0};
	json_t *columns = json_array();
	int count;

	if (store_query(out->tx, &rows, sql, NO_VALUES, err)) {
		json_decref(columns);
		return -1;
	}
	count = rows.ops->columns(&rows);
	for (int i = 0; i < count; i++)
		(void)json_array_append_new(columns, json_string(rows.ops->column(&rows, i)));
	if (out_line(out, json_pack("{s:s, s:o}", "table", table, "columns", columns), err))
		return -1;
	while (store_rows_next(&rows)) {
		json_t *row = json_array();

		for (int i = 0; i < count; i++)
			(void)json_array_append_new(row, store_rows_json(&rows, i));
		if (out_line(out, row, err))
			return err_prefix(err, "table %s", table);
		out->rows++;
	}
	return store_rows_finish(&rows, err);
}

int store_copy_out(struct store *store, int fd, int64_t *rows, struct err *err)
{
	AUTO_TX tx = {0};
	struct out out = {.tx = &tx, .fd = fd, .buf = buf_new(STORE_LINE_BYTES_MAX + 2 * CHUNK)};
	int status;

	if (store_begin_snapshot(store, &tx, err)) {
		buf_fini(&out.buf);
		return -1;
	}
	status = out_line(&out,
			  json_pack("{s:s, s:I, s:I}", "assay", "store", "form", (json_int_t)store_migration_count, "time_ms",
				    (json_int_t)world_now_ms(world_real)),
			  err) || tables_each(out_table, &out, err) ||
				 out_flush(&out, 0, err)
			 ? -1
			 : 0;
	buf_fini(&out.buf);
	*rows = out.rows;
	return status;
}

/* ---- in ---- */

static int table_is_empty(void *self, const char *table, struct err *err)
{
	AUTO_FREE char *sql = text_format("SELECT count(*) FROM %s", table);
	int64_t count = 0;

	/* A control plane that was only opened leaves its lease. */
	if (strcmp(table, "lease") == 0)
		return 0;
	if (store_number_get(self, &count, 0, sql, NO_VALUES, err))
		return -1;
	return count ? err_set(err, ERR_CONFLICT, "the store is not empty: %s has %lld rows", table, (long long)count) : 0;
}

struct wanted {
	const char *table;
	bool found;
};

static int table_is(void *self, const char *table, struct err *err)
{
	struct wanted *wanted = self;

	(void)err;
	wanted->found = wanted->found || strcmp(wanted->table, table) == 0;
	return 0;
}

/* INSERT INTO table (columns) VALUES (?, …); owned, NULL when there is no such table or a column has no name. */
static char *insert_make(const json_t *head, size_t *count, struct err *err)
{
	const char *table = json_text(head, "table", "");
	const json_t *columns = json_member(head, "columns");
	AUTO_BUF sql = buf_new(65536);
	struct wanted wanted = {table, false};

	*count = json_array_size(columns);
	if (tables_each(table_is, &wanted, err) || !wanted.found || !*count || *count > COLUMNS_MAX) {
		(void)err_set(err, ERR_INVALID, "`%.60s` is no table of the store", table);
		return NULL;
	}
	buf_add_format(&sql, "INSERT INTO %s (", table);
	for (size_t i = 0; i < *count; i++) {
		const char *name = json_string_value(json_array_get(columns, i));

		if (!name || !*name || name[strspn(name, "abcdefghijklmnopqrstuvwxyz_")]) {
			(void)err_set(err, ERR_INVALID, "a column of %s has no name", table);
			return NULL;
		}
		buf_add_format(&sql, "%s%s", i ? ", " : "", name);
	}
	buf_add_text(&sql, ") VALUES (");
	for (size_t i = 0; i < *count; i++)
		buf_add_text(&sql, i ? ", ?" : "?");
	buf_add_char(&sql, ')');
	return buf_take(&sql);
}

static int row_insert(struct store_tx *tx, const char *sql, size_t count, const json_t *row, struct err *err)
{
	struct store_value values[COLUMNS_MAX];

	if (!sql || json_array_size(row) != count)
		return err_set(err, ERR_INVALID, "a row that fits no table");
	for (size_t i = 0; i < count; i++) {
		const json_t *value = json_array_get(row, i);

		values[i] = json_is_integer(value) ? store_value_number(json_integer_value(value))
			    : json_is_real(value)  ? store_value_real(json_real_value(value))
			    : json_is_string(value)
				    ? store_value_view(view_make(json_string_value(value), json_string_length(value)))
				    : store_value_text(NULL);
	}
	return store_run(tx, sql, values, count, err);
}

struct in {
	struct store_tx *tx;
	char *sql; /* of the table whose rows come */
	size_t columns;
	bool begun, skip;
	int64_t rows;
};

static int in_line(struct in *in, struct view line, struct err *err)
{
	AUTO_JSON item = json_parse(line, err);

	if (!item)
		return -1;
	if (!in->begun) {
		in->begun = true;
		if (strcmp(json_text(item, "assay", ""), "store") != 0)
			return err_set(err, ERR_INVALID, "it is no copy of a store");
		if (json_number(item, "form", 0) != (int64_t)store_migration_count)
			return err_set(err, ERR_INVALID, "it has form %lld, this program makes %zu: use the program that wrote it",
				       (long long)json_number(item, "form", 0), store_migration_count);
		return 0;
	}
	if (json_is_object(item)) {
		free(in->sql);
		in->sql = insert_make(item, &in->columns, err);
		in->skip = strcmp(json_text(item, "table", ""), "lease") == 0; /* nobody holds any here */
		return in->sql ? 0 : -1;
	}
	if (in->skip)
		return 0;
	in->rows++;
	return row_insert(in->tx, in->sql, in->columns, item, err);
}

static int in_lines(struct in *in, int fd, struct err *err)
{
	AUTO_BUF buf = buf_new(STORE_LINE_BYTES_MAX + CHUNK);
	int64_t number = 0;

	for (;;) {
		char *place = buf_reserve(&buf, CHUNK);
		ssize_t length = place ? read(fd, place, CHUNK) : -1;
		struct view rest;
		size_t taken = 0;
		const char *end;

		if (length < 0)
			return err_set(err, ERR_LIMIT, "line %lld cannot be read", (long long)number + 1);
		if (length == 0)
			return buf.length || !in->begun
				       ? err_set(err, ERR_INVALID, "it ends in the middle of line %lld", (long long)number + 1)
				       : 0;
		buf_commit(&buf, (size_t)length);
		for (rest = buf_view(&buf); (end = memchr(rest.at, '\n', rest.length)); number++) {
			size_t size = (size_t)(end - rest.at);

			if (in_line(in, view_make(rest.at, size), err))
				return err_prefix(err, "line %lld", (long long)number + 1);
			rest = view_make(end + 1, rest.length - size - 1);
			taken += size + 1;
		}
		buf_drop_front(&buf, taken);
	}
}

int store_copy_in(struct store *store, int fd, int64_t *rows, struct err *err)
{
	AUTO_TX tx = {0};
	struct in in = {.tx = &tx};
	int status;

	if (store_begin(store, &tx, err) || tables_each(table_is_empty, &tx, err))
		return -1;
	status = in_lines(&in, fd, err);
	free(in.sql);
	*rows = in.rows;
	if (status || (store->ops->numbers_set && store->ops->numbers_set(&tx, err)))
		return -1;
	return store_commit_synced(&tx, err);
}
