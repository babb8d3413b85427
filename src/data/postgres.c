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
#include "data/postgres_rows.h"
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

static int create(const struct engine_target *target, int fd, struct err *err)
{
	AUTO_WIRE wire = wire_new(fd, ENGINE_STATEMENT_TIMEOUT_MS, (size_t)1 << 20);
	AUTO_BUF sql = buf_new(SQL_MAX);
	AUTO_JSON rows = json_array();

	if (postgres_wire_start(&wire, target->database->user, "template1", err))
		return -1;
	buf_add_text(&sql, "SELECT 1 FROM pg_database WHERE datname = ");
	postgres_add_quoted(&sql, '\'', target->database->database);
	if (postgres_wire_query(&wire, sql.at, rows, 1, NULL, err))
		return -1;
	if (json_array_size(rows))
		return 0;
	buf_clear(&sql);
	buf_add_text(&sql, "CREATE DATABASE ");
	postgres_add_quoted(&sql, '"', target->database->database);
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
	.mark = postgres_mark,
	.rows = postgres_rows,
	.sql = postgres_sql_open,
	.scrub = scrub,
	.url = url,
};
