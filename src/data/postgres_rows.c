/*
 * What was written to a PostgreSQL since a mark: rows by the transaction that wrote them, and how many of the older ones are gone.
 *
 * Theory of operation: no index knows who wrote a row, so a table is read whole to tell. A table that holds a lot, and most of them do not change
 * while somebody looks, would make every question as slow as it is large, and in a fork, whose files are nobody else's, that means from the
 * disk. So the server is told to write out what it has (CHECKPOINT), and a table whose files are as old and as large as they were is
 * not read. That needs a time before which nothing of this environment can have been written, since files tell theirs in seconds: only files that
 * are older than the fork are gone by. For the same reason what such a table holds is what it held in any other fork of its layer, where it has been
 * counted.
 */
#include "data/postgres_rows.h"

#include <stdio.h>

#include "base/scope.h"
#include "data/postgres_wire.h"

#define SQL_MAX ((size_t)1 << 16)
#define FILES_FROM_BYTES "8388608" /* less than that is read in no time */

/* An identifier or a literal, with its quote doubled inside. */
void postgres_add_quoted(struct buf *out, char quote, const char *text)
{
	buf_add_char(out, quote);
	for (; *text; text++) {
		if (*text == quote)
			buf_add_char(out, quote);
		buf_add_char(out, *text);
	}
	buf_add_char(out, quote);
}

static const char tables_sql[] =
	"SELECT n.nspname, c.relname, coalesce((SELECT json_agg(a.attname ORDER BY k.place) FROM pg_index i, "
	"unnest(i.indkey::int2[]) WITH ORDINALITY AS k(number, place) JOIN pg_attribute a ON a.attnum = k.number "
	"WHERE i.indrelid = c.oid AND i.indisprimary AND a.attrelid = c.oid), '[]')::text "
	"FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
	"WHERE c.relkind = 'r' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' ORDER BY 1, 2";

/* The files of tables that hold FILES_FROM_BYTES at least: what they are called, how large they are, when each was written last, and when the last
 * one was. What has no log (UNLOGGED) a checkpoint leaves in memory. */
static const char files_sql[] =
	"SELECT n.nspname, c.relname, f.path || ' ' || f.bytes || ' ' || string_agg(f.written::text, ',' ORDER BY f.part), max(f.written)::text "
	"FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, LATERAL (SELECT path, bytes, part, "
	"extract(epoch FROM (pg_stat_file(path || CASE WHEN part > 0 THEN '.' || part ELSE '' END, true)).modification)::bigint AS written "
	"FROM (SELECT pg_relation_filepath(c.oid) AS path, pg_relation_size(c.oid) AS bytes) AS whole, "
	"generate_series(0, (bytes - 1) / pg_size_bytes(current_setting('segment_size'))) AS part) AS f "
	"WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' "
	"AND pg_relation_size(c.oid) >= " FILES_FROM_BYTES " GROUP BY 1, 2, f.path, f.bytes ORDER BY 1, 2";

/* ---- what is there, and what is left of it ---- */

static void add_table(struct buf *sql, const json_t *table)
{
	postgres_add_quoted(sql, '"', json_string_value(json_array_get(table, 0)));
	buf_add_char(sql, '.');
	postgres_add_quoted(sql, '"', json_string_value(json_array_get(table, 1)));
}

/* "orders", "audit.orders" for one that is not in `public`. Owned. */
static char *table_shown(const json_t *table)
{
	const char *schema = json_string_value(json_array_get(table, 0));
	const char *name = json_string_value(json_array_get(table, 1));

	return strcmp(schema, "public") == 0 ? text_copy(name) : text_format("%s.%s", schema, name);
}

/* As tables_sql gives them: three texts each. */
static int tables_read(struct wire *wire, json_t *tables, bool *cut, struct err *err)
{
	size_t index;
	json_t *table;

	if (postgres_wire_query(wire, tables_sql, tables, ENGINE_TABLES_MAX, cut, err))
		return -1;
	json_array_foreach(tables, index, table)
		for (size_t i = 0; i < 3; i++)
			if (!json_is_string(json_array_get(table, i)))
				return err_set(err, ERR_BROKEN, "the server has a table without a name");
	return 0;
}

/* How many rows are older than the mark, and the sum of their keys' digests: ["3", "-17…"]; with `before` not NULL, what of that is missing
 * now. Without a primary key the sum is 0. */
static int old_rows(struct wire *wire, const json_t *table, json_int_t xid, const json_t *before, json_t **counted, struct err *err)
{
	AUTO_JSON keys = json_parse(view_of(json_string_value(json_array_get(table, 2))), err);
	AUTO_JSON rows = json_array();
	AUTO_BUF sql = buf_new(SQL_MAX);
	AUTO_FREE char *first = before ? text_format("%s -", json_string_value(json_array_get(before, 0))) : text_copy("0 +");
	AUTO_FREE char *second = before ? text_format("%s -", json_string_value(json_array_get(before, 1))) : text_copy("0 +");
	bool keyed = json_array_size(keys) > 0;
	size_t index;
	json_t *column;

	if (!keys)
		return -1;
	buf_add_format(&sql, "SELECT (%s count(*))::text, (%s coalesce(sum(hashtextextended(json_build_array(", first, second);
	json_array_foreach(keys, index, column) {
		buf_add_text(&sql, index ? ", " : "");
		postgres_add_quoted(&sql, '"', json_string_value(column));
	}
	buf_add_text(&sql, keyed ? ")::text, 0)), 0))::text FROM " : ")::text, 0)), 0) * 0)::text FROM ");
	add_table(&sql, table);
	buf_add_format(&sql, " WHERE age(xmin) > (SELECT age('%lld'::xid))", (long long)(xid & 0xffffffff));
	if (buf_finish(&sql, err) || postgres_wire_query(wire, sql.at, rows, 1, NULL, err))
		return -1;
	if (!json_is_string(json_array_get(json_array_get(rows, 0), 0)) ||
	    !json_is_string(json_array_get(json_array_get(rows, 0), 1)))
		return err_set(err, ERR_BROKEN, "the server does not count rows");
	*counted = json_incref(json_array_get(rows, 0));
	return 0;
}

/* {"orders": "base/16384/16390 73728000 1763900000"}: the files of what holds a lot, as they are now. With `forked_s` only of those that
 * nobody has written to since. Owned; NULL on failure. */
static json_t *files_read(struct wire *wire, int64_t forked_s, struct err *err)
{
	AUTO_JSON rows = json_array();
	AUTO_JSON files = json_object();
	size_t index;
	json_t *row;

	if (postgres_wire_query(wire, files_sql, rows, 1, &(bool){false}, err))
		return NULL;
	if (!json_array_size(rows)) /* the server has nothing to write out for */
		return TAKE(files);
	(void)json_array_clear(rows);
	if (postgres_wire_query(wire, "CHECKPOINT", NULL, 0, NULL, err) ||
	    postgres_wire_query(wire, files_sql, rows, ENGINE_TABLES_MAX, &(bool){false}, err))
		return NULL;
	json_array_foreach(rows, index, row) {
		const char *written = json_string_value(json_array_get(row, 3));
		AUTO_FREE char *shown = NULL;
		uint64_t written_s;

		for (size_t i = 0; i < 3; i++)
			if (!json_is_string(json_array_get(row, i))) {
				(void)err_set(err, ERR_BROKEN, "the server has a table without a file");
				return NULL;
			}
		if (forked_s && (!written || !view_to_u64(view_of(written), &written_s) || written_s >= (uint64_t)forked_s))
			continue;
		shown = table_shown(row);
		(void)json_object_set(files, shown, json_array_get(row, 2));
	}
	return TAKE(files);
}

/* Is what was said of a table's files there still so? */
static bool files_same(const json_t *files, const json_t *before, const char *shown)
{
	const json_t *was = json_member(before, shown);

	return was && json_equal(json_member(files, shown), was);
}

static int tables_count(struct wire *wire, json_int_t xid, const json_t *known, json_t *mark, struct err *err)
{
	AUTO_JSON tables = json_array();
	json_t *counts = json_object();
	size_t index;
	json_t *table;

	(void)json_object_set_new(mark, "tables", counts);
	if (tables_read(wire, tables, &(bool){false}, err))
		return -1;
	json_array_foreach(tables, index, table) {
		AUTO_FREE char *shown = table_shown(table);
		json_t *counted = NULL;

		if (files_same(json_member(mark, "files"), json_member(known, "files"), shown))
			counted = json_incref(json_member(json_member(known, "tables"), shown));
		if (!counted && old_rows(wire, table, xid, NULL, &counted, err))
			return -1;
		(void)json_object_set_new(counts, shown, counted);
	}
	return 0;
}

json_t *postgres_mark(const struct engine_target *target, int fd, const struct engine_marking *marking, struct err *err)
{
	AUTO_WIRE wire = wire_new(fd, ENGINE_STATEMENT_TIMEOUT_MS, (size_t)1 << 20);
	AUTO_JSON result = json_object();
	AUTO_JSON rows = json_array();
	json_t *files;
	const char *number;
	uint64_t xid;

	/* txid_current() takes a number, so that every later transaction has a higher one; it is in every version. */
	if (postgres_wire_start(&wire, target->database->user, target->database->database, err) ||
	    postgres_wire_query(&wire, "SELECT txid_current()", rows, 1, NULL, err))
		return NULL;
	number = json_string_value(json_array_get(json_array_get(rows, 0), 0));
	if (!number || !view_to_u64(view_of(number), &xid) || xid > INT64_MAX) {
		(void)err_set(err, ERR_BROKEN, "the server has no transaction number");
		return NULL;
	}
	(void)json_object_set_new(result, "xid", json_integer((json_int_t)xid));
	files = files_read(&wire, marking->forked_s, err);
	if (!files)
		return NULL;
	(void)json_object_set_new(result, "files", files);
	if (marking->counted && tables_count(&wire, (json_int_t)xid, marking->known, result, err))
		return NULL;
	return TAKE(result);
}

/* {"touched": {"orders": ["2", "digest"]}}: how many rows of those that the mark counted were changed or deleted since, and which, as a sum. */
static int table_touched(struct wire *wire, const json_t *table, const json_t *marked, json_t *result, struct err *err)
{
	AUTO_FREE char *shown = table_shown(table);
	const json_t *before = json_member(json_member(marked, "tables"), shown);
	json_t *counted = NULL;

	if (!before)
		return 0;
	if (old_rows(wire, table, json_number(marked, "xid", 0), before, &counted, err))
		return -1;
	if (strcmp(json_string_value(json_array_get(counted, 0)), "0") != 0)
		(void)json_object_set(json_object_get(result, "touched"), shown, counted);
	json_decref(counted);
	return 0;
}

/* ---- what was written ---- */

/* Rows of one table whose xmin is not older than the mark, by its age: every row is looked at, and a comparison of texts is four times as much. */
static int table_rows(struct wire *wire, const json_t *table, json_int_t xid, json_t *result, struct err *err)
{
	const char *key_text = json_string_value(json_array_get(table, 2));
	AUTO_JSON keys = json_parse(view_of(key_text), err);
	AUTO_JSON rows = json_array();
	AUTO_JSON list = json_array();
	AUTO_BUF sql = buf_new(SQL_MAX);
	bool cut = false;
	size_t index;
	json_t *row;

	if (!keys)
		return -1;
	buf_add_text(&sql, "SELECT row_to_json(t)::text FROM (SELECT * FROM ");
	add_table(&sql, table);
	buf_add_format(&sql, " WHERE age(xmin) <= (SELECT age('%lld'::xid))", (long long)(xid & 0xffffffff));
	json_array_foreach(keys, index, row) {
		buf_add_text(&sql, index ? ", " : " ORDER BY ");
		postgres_add_quoted(&sql, '"', json_string_value(row));
	}
	buf_add_format(&sql, " LIMIT %zu) t", ENGINE_ROWS_MAX + 1);
	if (buf_finish(&sql, err) || postgres_wire_query(wire, sql.at, rows, ENGINE_ROWS_MAX, &cut, err))
		return -1;
	json_array_foreach(rows, index, row) {
		const char *text = json_string_value(json_array_get(row, 0));
		AUTO_JSON whole = json_parse(view_of(text), NULL);
		json_t *entry = json_object();
		json_t *key = json_object();
		json_t *column;
		size_t at;

		json_array_foreach(keys, at, column)
			(void)json_object_set(key, json_string_value(column), json_object_get(whole, json_string_value(column)));
		(void)json_object_set_new(entry, "key", key);
		(void)json_object_set_new(entry, "row", whole ? TAKE(whole) : json_string(text));
		(void)json_array_append_new(list, entry);
	}
	if (cut)
		(void)json_object_set_new(result, "cut", json_true());
	if (json_array_size(list)) {
		AUTO_FREE char *shown = table_shown(table);

		(void)json_object_set(json_object_get(result, "tables"), shown, list);
	}
	return 0;
}

/* How many connections others have open. */
static int connections_count(struct wire *wire, json_t *result, struct err *err)
{
	AUTO_JSON rows = json_array();
	const char *text;
	uint64_t count = 0;

	if (postgres_wire_query(
		    wire, "SELECT count(*)::text FROM pg_stat_activity WHERE client_port IS NOT NULL AND pid <> pg_backend_pid()",
		    rows, 1, NULL, err))
		return -1;
	text = json_string_value(json_array_get(json_array_get(rows, 0), 0));
	if (text && view_to_u64(view_of(text), &count))
		(void)json_object_set_new(result, "connections", json_integer((json_int_t)count));
	return 0;
}

json_t *postgres_rows(const struct engine_target *target, int fd, const json_t *mark, struct err *err)
{
	AUTO_WIRE wire = wire_new(fd, ENGINE_STATEMENT_TIMEOUT_MS, ENGINE_REPLY_BYTES_MAX);
	AUTO_JSON tables = json_array();
	AUTO_JSON files = NULL;
	AUTO_JSON result = json_pack("{s:{}, s:{}}", "tables", "touched");
	json_int_t xid = json_number(mark, "xid", 0);
	const json_t *before = json_member(mark, "files");
	bool cut = false;
	size_t index;
	json_t *table;

	if (postgres_wire_start(&wire, target->database->user, target->database->database, err) ||
	    tables_read(&wire, tables, &cut, err) || connections_count(&wire, result, err))
		return NULL;
	files = json_object_size(before) ? files_read(&wire, 0, err) : json_object();
	if (!files)
		return NULL;
	json_array_foreach(tables, index, table) {
		AUTO_FREE char *shown = table_shown(table);

		if (files_same(files, before, shown))
			continue;
		if (table_rows(&wire, table, xid, result, err) || table_touched(&wire, table, mark, result, err))
			return NULL;
	}
	if (cut)
		(void)json_object_set_new(result, "cut", json_true());
	return TAKE(result);
}
