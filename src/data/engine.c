/* The table of engines, programs as lists of arguments, and what a file holds. */
#include "data/engine.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"

static const struct engine_ops *const engines[] = {
	[ENGINE_POSTGRES] = &engine_postgres, [ENGINE_REDIS] = &engine_redis,       [ENGINE_MARIADB] = &engine_mariadb,
	[ENGINE_MYSQL] = &engine_mariadb,     [ENGINE_RABBITMQ] = &engine_rabbitmq, [ENGINE_NATS] = &engine_nats,
	[ENGINE_SQLITE] = &engine_sqlite,
};

const struct engine_ops *engine_of(enum engine_kind kind)
{
	return engines[kind];
}

int engine_target_init(struct engine_target *target, const struct database *database, struct err *err)
{
	target->ops = engine_of(database->engine);
	target->database = database;
	if (target->ops->version(database->version, &target->version, err))
		return err_prefix(err, "database %s", database->name);
	return 0;
}

void engine_program_fini(struct engine_program *program)
{
	for (size_t i = 0; i < program->count; i++)
		free(program->argv[i]);
	program->count = 0;
	program->argv[0] = NULL;
}

void engine_program_add(struct engine_program *program, const char *format, ...)
{
	char *text = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0 || program->count >= ENGINE_ARGUMENTS_MAX)
		abort(); /* the lists are ours and short */
	va_end(args);
	program->argv[program->count++] = text;
	program->argv[program->count] = NULL;
}

int engine_form_detect(enum engine_kind kind, struct view head, const char *file_name, enum engine_form *form, struct err *err)
{
	struct view name = view_of(file_name);
	bool redis = kind == ENGINE_REDIS;

	if (engine_of(kind)->waiting)
		return err_set(err, ERR_INVALID,
			       "%s is nothing that %s can load: its services declare and fill queues, or a seed of `exec:`",
			       file_name, engine_of(kind)->name);
	if (view_starts(head, VIEW("\x1f\x8b")) || view_ends(name, VIEW(".gz")))
		*form = FORM_SQL_GZIP;
	else if (view_starts(head, VIEW("PGDMP")))
		*form = FORM_PGDUMP;
	else if (view_starts(head, VIEW("SQLite format 3")))
		*form = FORM_SQLITE;
	else if (view_starts(head, VIEW("REDIS")) || view_ends(name, VIEW(".rdb")))
		*form = FORM_RDB;
	else
		*form = redis ? FORM_COMMANDS : FORM_SQL;
	if ((*form == FORM_SQLITE || *form == FORM_PGDUMP) && kind == ENGINE_SQLITE)
		return *form == FORM_SQLITE
			       ? 0
			       : err_set(err, ERR_INVALID,
					 "%s is nothing that sqlite can load: give .sql, .sql.gz or a database file", file_name);
	if (*form == FORM_SQLITE || (redis ? *form == FORM_SQL_GZIP || *form == FORM_PGDUMP : *form == FORM_RDB))
		return err_set(err, ERR_INVALID, "%s is nothing that %s can load: %s", file_name, engine_of(kind)->name,
			       redis ? "give an RDB file or a list of commands" : "give .sql, .sql.gz or a custom dump of pg_dump");
	return 0;
}
