/*
 * MariaDB, or MySQL's protocol, as an engine. Nothing waits for the disk (innodb_flush_method=nosync), but every commit is written to the
 * kernel: the data survives the end of the server, and a clone of the volume of a frozen environment is complete. A fork runs without
 * grant tables: whoever comes is let in, with any password. While a snapshot is made they are read, so that statements about accounts
 * are taken.
 */
#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/scope.h"
#include "data/engine.h"
#include "data/mysql_sql.h"
#include "data/mysql_wire.h"
#include "data/sql_rows.h"

#define SERVER "/usr/sbin/mariadbd"
#define DIRECTORY ENGINE_DATA_PATH "/mysql"
#define READ_LIMIT_MS ((int64_t)10 * ENGINE_STATEMENT_TIMEOUT_MS) /* of all tables */
#define VERSION 10                                                /* of Debian 12: which one, the package knows */

static int version_choose(int wanted, int *version, struct err *err)
{
	if (access(SERVER, X_OK))
		return err_set(err, ERR_NOT_FOUND, "MariaDB is not installed: apt install mariadb-server");
	*version = wanted ? wanted : VERSION;
	return 0;
}

static void initialise(const struct engine_target *target, struct engine_program *program)
{
	(void)target;
	engine_program_add(program, "mariadb-install-db");
	engine_program_add(program, "--no-defaults");
	engine_program_add(program, "--datadir=" DIRECTORY);
	engine_program_add(program, "--auth-root-authentication-method=normal");
	engine_program_add(program, "--skip-test-db");
	engine_program_add(program, "--innodb-flush-method=nosync");
	engine_program_add(program, "--innodb-use-native-aio=0");
	engine_program_add(program, "--innodb-log-file-size=32M");
}

static void serve(const struct engine_target *target, bool loading, struct engine_program *program)
{
	static const char *const settings[] = {
		"--no-defaults",
		"--datadir=" DIRECTORY,
		"--bind-address=127.0.0.1",
		"--socket=/tmp/mysqld.sock",
		"--pid-file=/tmp/mysqld.pid",
		"--tmpdir=/tmp",
		"--skip-log-bin",
		"--skip-name-resolve",
		"--character-set-server=utf8mb4",
		"--max-connections=100",
		"--max-allowed-packet=256M",
		"--performance-schema=OFF",
		"--innodb-flush-method=nosync",
		"--innodb-flush-log-at-trx-commit=2",
		"--innodb-doublewrite=0",
		"--innodb-use-native-aio=0",
		"--innodb-buffer-pool-size=64M",
		"--innodb-buffer-pool-dump-at-shutdown=0",
		"--innodb-buffer-pool-load-at-startup=0",
		"--innodb-log-file-size=32M",
	};

	engine_program_add(program, SERVER);
	for (size_t i = 0; i < ARRAY_LEN(settings); i++)
		engine_program_add(program, "%s", settings[i]);
	engine_program_add(program, "--port=%u", (unsigned)target->ops->port);
	if (!loading)
		engine_program_add(program, "--skip-grant-tables");
}

static int ready(const struct engine_target *target, int fd, int64_t timeout_ms, struct err *err)
{
	AUTO_WIRE wire = wire_new(fd, timeout_ms, (size_t)1 << 20);

	return mysql_wire_start(&wire, target->database->user, err);
}

/* With the grant tables read again, the account can be made that a server which reads them will want. */
static int create(const struct engine_target *target, int fd, struct err *err)
{
	AUTO_WIRE wire = wire_new(fd, ENGINE_STATEMENT_TIMEOUT_MS, (size_t)1 << 20);
	AUTO_FREE char *database = text_format("CREATE DATABASE IF NOT EXISTS `%s` CHARACTER SET utf8mb4",
					       target->database->database);
	AUTO_FREE char *user = text_format("CREATE USER IF NOT EXISTS `%s`@`%%`", target->database->user);
	AUTO_FREE char *grant = text_format("GRANT ALL ON *.* TO `%s`@`%%` WITH GRANT OPTION", target->database->user);
	const char *const statements[] = {database, "FLUSH PRIVILEGES", user, grant};

	if (mysql_wire_start(&wire, target->database->user, err))
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(statements); i++)
		if (mysql_wire_query(&wire, statements[i], NULL, 0, NULL, err))
			return -1;
	return 0;
}

static void client_add(const struct engine_target *target, const char *name, struct engine_program *program)
{
	engine_program_add(program, "%s", name);
	engine_program_add(program, "--no-defaults");
	engine_program_add(program, "--host=127.0.0.1");
	engine_program_add(program, "--protocol=tcp");
	engine_program_add(program, "--user=%s", target->database->user);
	engine_program_add(program, "--default-character-set=utf8mb4");
}

static void client(const struct engine_target *target, const char *statement, struct engine_program *program)
{
	client_add(target, "mariadb", program);
	engine_program_add(program, "--database=%s", target->database->database);
	engine_program_add(program, "--batch");
	engine_program_add(program, "--execute=%s", statement);
}

/* MySQL 8 writes collations into its dumps that MariaDB has under another name. */
static int loader(const struct engine_target *target, enum engine_form form, struct engine_program *program, bool *offline,
		  struct err *err)
{
	*offline = false;
	if (form != FORM_SQL && form != FORM_SQL_GZIP)
		return err_set(err, ERR_INVALID, "MariaDB loads SQL: what mariadb-dump or mysqldump writes");
	engine_program_add(program, "bash");
	engine_program_add(program, "-c");
	engine_program_add(
		program,
		"set -o pipefail; %s | LC_ALL=C sed -E 's/(COLLATE[ =]*)utf8mb4_0900_[a-z_]+/\\1utf8mb4_unicode_520_ci/g' | \"$@\"",
		form == FORM_SQL_GZIP ? "gzip -dc" : "cat");
	engine_program_add(program, "bash");
	client_add(target, "mariadb", program);
	engine_program_add(program, "--database=%s", target->database->database);
	return 0;
}

/* One part of a URL, percent-decoded; owned. */
static char *part_decode(struct view part)
{
	char *text = view_copy(part);
	char *to = text;

	for (const char *at = text; *at; at++) {
		unsigned byte;

		if (at[0] == '%' && isxdigit((unsigned char)at[1]) && isxdigit((unsigned char)at[2]) &&
		    sscanf(at + 1, "%2x", &byte) == 1 && byte) {
			*to++ = (char)byte;
			at += 2;
		} else {
			*to++ = *at;
		}
	}
	*to = '\0';
	return text;
}

static void option_add(struct engine_program *program, const char *name, struct view part)
{
	AUTO_FREE char *text = part_decode(part);

	if (text[0])
		engine_program_add(program, "--%s=%s", name, text);
}

static void dump_settings_add(struct engine_program *program)
{
	static const char *const settings[] = {"--single-transaction",
					       "--skip-lock-tables",
					       "--routines",
					       "--triggers",
					       "--hex-blob",
					       "--no-tablespaces",
					       "--skip-comments",
					       "--quick",
					       "--default-character-set=utf8mb4"};

	for (size_t i = 0; i < ARRAY_LEN(settings); i++)
		engine_program_add(program, "%s", settings[i]);
}

static int dumper(const struct engine_target *target, const char *url, struct engine_program *program, enum engine_form *form,
		  struct err *err)
{
	struct view rest = view_of(url);
	struct view authority;
	struct view path;
	struct view query;
	struct view password;
	struct view port;
	const char *at;
	AUTO_FREE char *database = NULL;

	if (!view_starts(rest, VIEW("mysql://")) && !view_starts(rest, VIEW("mariadb://")))
		return err_set(err, ERR_INVALID, "database %s is MariaDB: its URL begins with mysql://", target->database->name);
	rest = view_of(strstr(url, "://") + 3);
	authority = view_cut(rest, '/', &path);
	path = view_cut(path, '?', &query);
	database = part_decode(path);
	if (!database[0] || database[0] == '-')
		return err_set(err, ERR_INVALID, "the URL of %s names no database: mysql://user@host/DATABASE",
			       target->database->name);
	engine_program_add(program, "mariadb-dump");
	engine_program_add(program, "--no-defaults");
	dump_settings_add(program);
	at = memrchr(authority.at, '@', authority.length);
	if (at) {
		option_add(program, "user", view_cut(view_make(authority.at, (size_t)(at - authority.at)), ':', &password));
		option_add(program, "password", password);
		authority = view_make(at + 1, authority.length - (size_t)(at + 1 - authority.at));
	}
	option_add(program, "host", view_cut(authority, ':', &port));
	option_add(program, "port", port);
	engine_program_add(program, "%s", database);
	*form = FORM_SQL;
	return 0;
}

/* All that a fork is to have, from the server in the same room. */
static void rewriter(const struct engine_target *target, struct engine_program *program)
{
	client_add(target, "mariadb-dump", program);
	dump_settings_add(program);
	engine_program_add(program, "--events");
	engine_program_add(program, "%s", target->database->database);
}

static int settle(const struct engine_target *target, int fd, struct err *err)
{
	AUTO_SQL sql = {.ops = NULL};
	AUTO_SQL_SCHEMA schema = {.rows = NULL};

	if (mysql_sql_open(target, fd, &sql, err) || sql_schema_read(&sql, &schema, err))
		return -1;
	for (size_t i = 0; i < schema.column_count; i++) {
		AUTO_BUF table = buf_new(4096);

		if (i && sql_same_table(&schema.columns[i - 1], &schema.columns[i]))
			continue;
		sql_add_table(&sql, &table, "", schema.columns[i].table);
		if (sql_run(&sql, err, "ANALYZE TABLE %s", table.at))
			return -1;
	}
	return 0;
}

static json_t *mark(const struct engine_target *target, int fd, const struct engine_marking *marking, struct err *err)
{
	AUTO_SQL sql = {.ops = NULL};

	(void)marking;
	return mysql_sql_open_for(target, fd, READ_LIMIT_MS, &sql, err) ? NULL : sql_rows_mark(&sql, err);
}

static json_t *rows(const struct engine_target *target, int fd, const json_t *marked, struct err *err)
{
	AUTO_SQL sql = {.ops = NULL};

	return mysql_sql_open_for(target, fd, READ_LIMIT_MS, &sql, err) ? NULL : sql_rows_since(&sql, marked, err);
}

static void url(const struct engine_target *target, struct buf *out)
{
	buf_add_text(out, "mysql://");
	buf_add_url(out, view_of(target->database->user));
	buf_add_format(out, "@%s:%u/", target->database->name, (unsigned)target->ops->port);
	buf_add_url(out, view_of(target->database->database));
}

const struct engine_ops engine_mariadb = {
	.kind = ENGINE_MARIADB,
	.name = "mysql",
	.port = 3306,
	.stop_signal = SIGTERM,
	.stop_limit_ms = 60000,
	.version = version_choose,
	.initialise = initialise,
	.serve = serve,
	.ready = ready,
	.create = create,
	.client = client,
	.loader = loader,
	.dumper = dumper,
	.rewriter = rewriter,
	.settle = settle,
	.mark = mark,
	.rows = rows,
	.sql = mysql_sql_open,
	.url = url,
};
