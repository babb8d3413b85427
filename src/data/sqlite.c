/*
 * SQLite as an engine. There is no server: the application has the file, in a folder that is mounted in every room that needs it, and
 * locks it as SQLite does. The database's own room has the same folder, and in it assay-sqlite, by which the environment manager fills
 * the file, asks it and sets it back (programs/assay_sqlite.c). Nothing of ours opens the file outside of a room.
 */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/scope.h"
#include "data/postgres_wire.h"
#include "data/sql_rows.h"
#include "data/sqlite_sql.h"

#define PROGRAM "assay-sqlite"
#define SHELL_PROGRAM "/usr/bin/sqlite3"
#define VERSION 3
#define READ_LIMIT_MS 120000 /* every row of every table is read */

static int version_choose(int wanted, int *version, struct err *err)
{
	*version = VERSION;
	return wanted && wanted != VERSION ? err_set(err, ERR_NOT_FOUND, "there is no SQLite %d here: only 3", wanted) : 0;
}

/* assay-sqlite VERB /data/FILE */
static void program_add(const struct engine_target *target, struct engine_program *program, const char *verb)
{
	engine_program_add(program, PROGRAM);
	engine_program_add(program, "%s", verb);
	engine_program_add(program, ENGINE_DATA_PATH "/%s", target->database->database);
}

static void initialise(const struct engine_target *target, struct engine_program *program)
{
	program_add(target, program, "make");
}

static void serve(const struct engine_target *target, bool loading, struct engine_program *program)
{
	(void)loading;
	program_add(target, program, "serve");
	engine_program_add(program, "%u", (unsigned)target->ops->port);
}

static int ready(const struct engine_target *target, int fd, int64_t timeout_ms, struct err *err)
{
	AUTO_WIRE wire = wire_new(fd, timeout_ms, (size_t)1 << 20);

	return postgres_wire_start(&wire, target->database->user, target->database->database, err) ||
			       postgres_wire_query(&wire, "PRAGMA schema_version", NULL, 0, NULL, err)
		       ? -1
		       : 0;
}

static int create(const struct engine_target *target, int fd, struct err *err)
{
	return ready(target, fd, ENGINE_STATEMENT_TIMEOUT_MS, err);
}

static void client(const struct engine_target *target, const char *statement, struct engine_program *program)
{
	program_add(target, program, "query");
	engine_program_add(program, "%s", statement);
}

static int loader(const struct engine_target *target, enum engine_form form, struct engine_program *program, bool *offline,
		  struct err *err)
{
	*offline = false;
	if (form == FORM_SQL_GZIP) {
		engine_program_add(program, "bash");
		engine_program_add(program, "-c");
		engine_program_add(program, "set -o pipefail; gzip -dc | \"$@\"");
		engine_program_add(program, "bash");
	} else if (form != FORM_SQL && form != FORM_SQLITE) {
		return err_set(err, ERR_INVALID, "SQLite loads SQL, or a database file");
	}
	program_add(target, program, form == FORM_SQLITE ? "put" : "load");
	return 0;
}

/* A consistent copy of a file that may be in use, as statements; sqlite3 reads it, and changes nothing. */
static int dumper(const struct engine_target *target, const char *url, struct engine_program *program, enum engine_form *form,
		  struct err *err)
{
	const char *path = strncmp(url, "sqlite:", 7) == 0 ? url + 7 : NULL;

	while (path && path[0] == '/' && path[1] == '/')
		path++;
	if (!path || path[0] != '/')
		return err_set(err, ERR_INVALID, "database %s is SQLite: its URL is sqlite:///PATH/OF/THE/FILE",
			       target->database->name);
	if (access(SHELL_PROGRAM, X_OK))
		return err_set(err, ERR_NOT_FOUND, "sqlite3 is not installed, which reads %s: apt install sqlite3", path);
	engine_program_add(program, SHELL_PROGRAM);
	engine_program_add(program, "-init");
	engine_program_add(program, "/dev/null");
	engine_program_add(program, "-safe"); /* the file's views and triggers reach nothing else */
	engine_program_add(program, "-readonly");
	engine_program_add(program, "-bail");
	engine_program_add(program, "%s", path);
	engine_program_add(program, ".dump");
	*form = FORM_SQL;
	return 0;
}

static int settle(const struct engine_target *target, int fd, struct err *err)
{
	AUTO_SQL sql = {.ops = NULL};

	return sqlite_sql_open(target, fd, &sql, err) || sql_run(&sql, err, "PRAGMA wal_checkpoint(TRUNCATE)") ? -1 : 0;
}

static void inspect(const struct engine_target *target, struct engine_program *program)
{
	program_add(target, program, "check");
}

static bool inspect_clean(struct view output)
{
	return view_is(view_trim(output), "clean");
}

static void restore(const struct engine_target *target, const char *from, struct engine_program *program)
{
	program_add(target, program, "restore");
	engine_program_add(program, "%s/%s", from, target->database->database);
}

static json_t *mark(const struct engine_target *target, int fd, const struct engine_marking *marking, struct err *err)
{
	AUTO_SQL sql = {.ops = NULL};

	(void)marking;
	return sqlite_sql_open_for(target, fd, READ_LIMIT_MS, &sql, err) ? NULL : sql_rows_mark(&sql, err);
}

static json_t *rows(const struct engine_target *target, int fd, const json_t *marked, struct err *err)
{
	AUTO_SQL sql = {.ops = NULL};

	return sqlite_sql_open_for(target, fd, READ_LIMIT_MS, &sql, err) ? NULL : sql_rows_since(&sql, marked, err);
}

/* As SQLAlchemy and Django write it: four slashes before an absolute path. */
static void url(const struct engine_target *target, struct buf *out)
{
	buf_add_text(out, "sqlite:///");
	buf_add_text(out, target->database->path);
}

const struct engine_ops engine_sqlite = {
	.kind = ENGINE_SQLITE,
	.name = "sqlite",
	.port = 5499,
	.stop_signal = SIGTERM,
	.stop_limit_ms = 10000,
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
	.sql = sqlite_sql_open,
	.url = url,
	.restore = restore,
};
