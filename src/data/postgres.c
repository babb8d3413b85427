/*
 * PostgreSQL as an engine. Nothing waits for the disk (fsync=off): an environment need not survive a crash of the machine. But every
 * commit is written to the kernel (synchronous_commit stays on): the data survives the end of the server, whatever ends it, and a
 * clone of the volume of a frozen environment is complete.
 */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/scope.h"
#include "data/engine.h"
#include "data/postgres_sql.h"
#include "data/postgres_wire.h"

#define BINARIES "/usr/lib/postgresql"
#define DIRECTORY ENGINE_DATA_PATH "/postgres"
#define SQL_MAX ((size_t)1 << 16)

static int version_choose(int wanted, int *version, struct err *err)
{
	DIR *directory = opendir(BINARIES);
	int newest = 0;

	for (struct dirent *entry = directory ? readdir(directory) : NULL; entry; entry = readdir(directory)) {
		AUTO_FREE char *server = text_format(BINARIES "/%s/bin/postgres", entry->d_name);
		int found = atoi(entry->d_name);

		if (found > newest && (!wanted || found == wanted) && access(server, X_OK) == 0)
			newest = found;
	}
	if (directory)
		(void)closedir(directory);
	if (!newest && wanted)
		return err_set(err, ERR_NOT_FOUND, "PostgreSQL %d is not installed: apt install postgresql-%d", wanted, wanted);
	if (!newest)
		return err_set(err, ERR_NOT_FOUND, "PostgreSQL is not installed: apt install postgresql");
	*version = newest;
	return 0;
}

static void initialise(const struct engine_target *target, struct engine_program *program)
{
	engine_program_add(program, BINARIES "/%d/bin/initdb", target->version);
	engine_program_add(program, "--pgdata=" DIRECTORY);
	engine_program_add(program, "--username=%s", target->database->user);
	engine_program_add(program, "--auth=trust");
	engine_program_add(program, "--encoding=UTF8");
	engine_program_add(program, "--locale=C.UTF-8");
	engine_program_add(program, "--no-sync");
	engine_program_add(program, "--no-instructions");
}

static void serve(const struct engine_target *target, bool loading, struct engine_program *program)
{
	static const char *const settings[] = {
		"listen_addresses=127.0.0.1",
		"unix_socket_directories=/tmp",
		"fsync=off",
		"full_page_writes=off",
		"wal_level=minimal",
		"max_wal_senders=0",
		"shared_buffers=32MB",
		"max_connections=100", /* its own default; each costs memory that is touched at the start */
		"autovacuum_naptime=10min",
		"checkpoint_timeout=30min",
		"jit=off",
		"logging_collector=off",
		"log_destination=stderr",
		"log_line_prefix=",
		"log_checkpoints=off",
		"update_process_title=off",
		"dynamic_shared_memory_type=posix",
	};

	engine_program_add(program, BINARIES "/%d/bin/postgres", target->version);
	engine_program_add(program, "-D");
	engine_program_add(program, DIRECTORY);
	engine_program_add(program, "-p");
	engine_program_add(program, "%u", (unsigned)target->ops->port);
	for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
		engine_program_add(program, "-c");
		engine_program_add(program, "%s", settings[i]);
	}
	if (loading) {
		engine_program_add(program, "-c");
		engine_program_add(program, "maintenance_work_mem=256MB");
	}
}

static int ready(const struct engine_target *target, int fd, int64_t timeout_ms, struct err *err)
{
	AUTO_WIRE wire = wire_new(fd, timeout_ms, (size_t)1 << 20);
	struct err problem = {0};

	/* The first session of a database builds its catalog caches: in the one that will be used, not in another. */
	if (postgres_wire_start(&wire, target->database->user, target->database->database, &problem) == 0 ||
	    problem.kind == ERR_NOT_FOUND)
		return 0;
	if (err)
		*err = problem;
	return -1;
}

/* An identifier or a literal, with its quote doubled inside. */
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

static int create(const struct engine_target *target, int fd, struct err *err)
{
	AUTO_WIRE wire = wire_new(fd, ENGINE_STATEMENT_TIMEOUT_MS, (size_t)1 << 20);
	AUTO_BUF sql = buf_new(SQL_MAX);
	AUTO_JSON rows = json_array();

	if (postgres_wire_start(&wire, target->database->user, "template1", err))
		return -1;
	buf_add_text(&sql, "SELECT 1 FROM pg_database WHERE datname = ");
	add_quoted(&sql, '\'', target->database->database);
	if (postgres_wire_query(&wire, sql.at, rows, 1, NULL, err))
		return -1;
	if (json_array_size(rows))
		return 0;
	buf_clear(&sql);
	buf_add_text(&sql, "CREATE DATABASE ");
	add_quoted(&sql, '"', target->database->database);
	return postgres_wire_query(&wire, sql.at, NULL, 0, NULL, err);
}

static void client_add(const struct engine_target *target, const char *name, struct engine_program *program)
{
	engine_program_add(program, BINARIES "/%d/bin/%s", target->version, name);
	engine_program_add(program, "--host=127.0.0.1");
	engine_program_add(program, "--username=%s", target->database->user);
	engine_program_add(program, "--dbname=%s", target->database->database);
}

static void client(const struct engine_target *target, const char *statement, struct engine_program *program)
{
	client_add(target, "psql", program);
	engine_program_add(program, "--no-psqlrc");
	engine_program_add(program, "--csv");
	engine_program_add(program, "--quiet");
	engine_program_add(program, "--set=ON_ERROR_STOP=1");
	engine_program_add(program, "--command=%s", statement);
}

static int loader(const struct engine_target *target, enum engine_form form, struct engine_program *program, bool *offline,
		  struct err *err)
{
	*offline = false;
	if (form == FORM_PGDUMP) {
		client_add(target, "pg_restore", program);
		engine_program_add(program, "--no-owner");
		engine_program_add(program, "--no-acl");
		engine_program_add(program, "--exit-on-error");
		return 0;
	}
	if (form != FORM_SQL && form != FORM_SQL_GZIP)
		return err_set(err, ERR_INVALID, "PostgreSQL cannot load an RDB file");
	if (form == FORM_SQL_GZIP) {
		/* A damaged file must not look like a short one. */
		engine_program_add(program, "bash");
		engine_program_add(program, "-c");
		engine_program_add(program, "set -o pipefail; gzip -dc | \"$@\"");
		engine_program_add(program, "bash");
	}
	client_add(target, "psql", program);
	engine_program_add(program, "--no-psqlrc");
	engine_program_add(program, "--quiet");
	engine_program_add(program, "--output=/dev/null");
	engine_program_add(program, "--set=ON_ERROR_STOP=1");
	engine_program_add(program, "--file=-");
	return 0;
}

static int dumper(const struct engine_target *target, const char *url, struct engine_program *program, enum engine_form *form,
		  struct err *err)
{
	if (strncmp(url, "postgres://", 11) != 0 && strncmp(url, "postgresql://", 13) != 0)
		return err_set(err, ERR_INVALID, "database %s is PostgreSQL: its URL begins with postgres://",
			       target->database->name);
	engine_program_add(program, BINARIES "/%d/bin/pg_dump", target->version);
	engine_program_add(program, "--format=custom");
	engine_program_add(program, "--compress=1");
	engine_program_add(program, "--no-owner");
	engine_program_add(program, "--no-acl");
	engine_program_add(program, "--no-password");
	engine_program_add(program, "--dbname=%s", url);
	*form = FORM_PGDUMP;
	return 0;
}

static int settle(const struct engine_target *target, int fd, struct err *err)
{
	AUTO_WIRE wire = wire_new(fd, 10 * (int64_t)ENGINE_STATEMENT_TIMEOUT_MS, (size_t)1 << 20);

	if (postgres_wire_start(&wire, target->database->user, target->database->database, err) ||
	    postgres_wire_query(&wire, "VACUUM (ANALYZE)", NULL, 0, NULL, err))
		return -1;
	return postgres_wire_query(&wire, "CHECKPOINT", NULL, 0, NULL, err);
}

static void inspect(const struct engine_target *target, struct engine_program *program)
{
	engine_program_add(program, BINARIES "/%d/bin/pg_controldata", target->version);
	engine_program_add(program, "--pgdata=" DIRECTORY);
}

static bool inspect_clean(struct view output)
{
	while (output.at) {
		struct view value;
		struct view line = view_cut(output, '\n', &output);

		if (view_starts(line, VIEW("Database cluster state:"))) {
			(void)view_cut(line, ':', &value);
			return view_is(view_trim(value), "shut down");
		}
	}
	return false;
}

static const char tables_sql[] =
	"SELECT n.nspname, c.relname, coalesce((SELECT json_agg(a.attname ORDER BY k.place) FROM pg_index i, "
	"unnest(i.indkey::int2[]) WITH ORDINALITY AS k(number, place) JOIN pg_attribute a ON a.attnum = k.number "
	"WHERE i.indrelid = c.oid AND i.indisprimary AND a.attrelid = c.oid), '[]')::text "
	"FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
	"WHERE c.relkind = 'r' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' ORDER BY 1, 2";

/* ---- what is there, and what is left of it ---- */

static void add_table(struct buf *sql, const json_t *table)
{
	add_quoted(sql, '"', json_string_value(json_array_get(table, 0)));
	buf_add_char(sql, '.');
	add_quoted(sql, '"', json_string_value(json_array_get(table, 1)));
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
		add_quoted(&sql, '"', json_string_value(column));
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

static int tables_count(struct wire *wire, json_int_t xid, json_t *mark, struct err *err)
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

		if (old_rows(wire, table, xid, NULL, &counted, err))
			return -1;
		(void)json_object_set_new(counts, shown, counted);
	}
	return 0;
}

static json_t *mark(const struct engine_target *target, int fd, bool counted, struct err *err)
{
	AUTO_WIRE wire = wire_new(fd, ENGINE_STATEMENT_TIMEOUT_MS, (size_t)1 << 20);
	AUTO_JSON result = json_object();
	AUTO_JSON rows = json_array();
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
	if (counted && tables_count(&wire, (json_int_t)xid, result, err))
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
		add_quoted(&sql, '"', json_string_value(row));
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

static json_t *rows(const struct engine_target *target, int fd, const json_t *marked, struct err *err)
{
	AUTO_WIRE wire = wire_new(fd, ENGINE_STATEMENT_TIMEOUT_MS, ENGINE_REPLY_BYTES_MAX);
	AUTO_JSON tables = json_array();
	AUTO_JSON result = json_pack("{s:{}, s:{}}", "tables", "touched");
	json_int_t xid = json_number(marked, "xid", 0);
	bool cut = false;
	size_t index;
	json_t *table;

	if (postgres_wire_start(&wire, target->database->user, target->database->database, err) ||
	    tables_read(&wire, tables, &cut, err) || connections_count(&wire, result, err))
		return NULL;
	json_array_foreach(tables, index, table)
		if (table_rows(&wire, table, xid, result, err) || table_touched(&wire, table, marked, result, err))
			return NULL;
	if (cut)
		(void)json_object_set_new(result, "cut", json_true());
	return TAKE(result);
}

/* The log of changes has what was there before: after a clean stop nothing needs it. */
static void scrub(const struct engine_target *target, struct engine_program *program)
{
	engine_program_add(program, BINARIES "/%d/bin/pg_resetwal", target->version);
	engine_program_add(program, "--pgdata=" DIRECTORY);
}

static void url(const struct engine_target *target, struct buf *out)
{
	buf_add_text(out, "postgres://");
	buf_add_url(out, view_of(target->database->user));
	buf_add_format(out, "@%s:%u/", target->database->name, (unsigned)target->ops->port);
	buf_add_url(out, view_of(target->database->database));
}

const struct engine_ops engine_postgres = {
	.kind = ENGINE_POSTGRES,
	.name = "postgres",
	.port = 5432,
	.stop_signal = SIGINT, /* fast: ends sessions, writes a checkpoint */
	.stop_limit_ms = 60000,
	.version = version_choose,
	.initialise = initialise,
	.serve = serve,
	.ready = ready,
	.create = create,
	.client = client,
	.loader = loader,
	.dumper = dumper,
	.settle = settle,
	.inspect = inspect,
	.inspect_clean = inspect_clean,
	.mark = mark,
	.rows = rows,
	.sql = postgres_sql_open,
	.scrub = scrub,
	.url = url,
};
