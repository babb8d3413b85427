/*
 * engine: a database server that an environment can hold: what to start, how to know that it is ready, how to fill it, stop it, ask
 * it, and say what was written since a mark.
 *
 * Nothing here starts a process: an engine gives programs, which the environment manager runs in the database's room as uid 1000 with
 * the database's volume at /data, and talks its protocol over sockets that the manager connected. What comes back over such a
 * socket is hostile and bounded.
 */
#ifndef ASSAY_DATA_ENGINE_H
#define ASSAY_DATA_ENGINE_H

#include "base/digest.h"
#include "base/json.h"
#include "blueprint/blueprint.h"

#define ENGINE_ARGUMENTS_MAX ((size_t)64)
#define ENGINE_DATA_PATH "/data"
#define ENGINE_TABLES_MAX 1000         /* looked at by rows */
#define ENGINE_ROWS_MAX ((size_t)1000) /* of one table or of one Redis value */
#define ENGINE_KEYS_MAX ((size_t)10000)
#define ENGINE_REPLY_BYTES_MAX ((size_t)64 << 20)
#define ENGINE_STATEMENT_TIMEOUT_MS 60000

struct engine_program {
	char *argv[ENGINE_ARGUMENTS_MAX + 1]; /* owned, NULL-terminated */
	size_t count;
};

void engine_program_fini(struct engine_program *program);
#define AUTO_ENGINE_PROGRAM __attribute__((cleanup(engine_program_fini))) struct engine_program
void engine_program_add(struct engine_program *program, const char *format, ...) PRINTF_LIKE(2, 3);
static inline const char *const *engine_program_argv(const struct engine_program *program)
{
	return (const char *const *)program->argv;
}

/* One database of a blueprint and the server that was chosen for it. Borrowed texts. */
struct engine_target {
	const struct engine_ops *ops;
	const struct database *database;
	int version; /* major */
};

/* What a seed or dump file holds. */
enum engine_form { FORM_SQL, FORM_SQL_GZIP, FORM_PGDUMP, FORM_RDB, FORM_COMMANDS, FORM_SQLITE };

struct sql;

/* What a mark is to say, and what it may go by. */
struct engine_marking {
	bool counted;        /* also how much there is, so that rows() can tell what is gone: that reads every table once */
	int64_t forked_s;    /* unix time before which nothing of this environment was written */
	const json_t *known; /* a counted mark of another fork of the same layer; NULL: there is none */
};

struct engine_ops {
	enum engine_kind kind;
	const char *name; /* also its protocol's name at the gateway */
	uint16_t port;
	int stop_signal;       /* a clean stop */
	int64_t stop_limit_ms; /* after which it is not clean any more */

	/* The newest major version on this machine, or `wanted`; ERR_NOT_FOUND says which package is missing. */
	int (*version)(int wanted, int *version, struct err *err);
	/* Makes an empty data directory; /data exists and is writable. */
	void (*initialise)(const struct engine_target *target, struct engine_program *program);
	/* `loading`: takes up what a loader put into the data directory. */
	void (*serve)(const struct engine_target *target, bool loading, struct engine_program *program);
	/* Is the server at the other end of fd ready for statements? ERR_RETRY: not yet. Blocks at most timeout_ms. */
	int (*ready)(const struct engine_target *target, int fd, int64_t timeout_ms, struct err *err);
	/* The database of the blueprint exists after this. */
	int (*create)(const struct engine_target *target, int fd, struct err *err);
	/* One statement, printed as the engine's own client prints it. */
	void (*client)(const struct engine_target *target, const char *statement, struct engine_program *program);
	/* Reads a file of that form on its standard input. With *offline the server must not run meanwhile. */
	int (*loader)(const struct engine_target *target, enum engine_form form, struct engine_program *program, bool *offline,
		      struct err *err);
	/* A host program that writes a dump of a running server to its standard output; *form is what it writes. */
	int (*dumper)(const struct engine_target *target, const char *url, struct engine_program *program, enum engine_form *form,
		      struct err *err);
	/* The last thing before the clean stop of a snapshot: what a fork should not have to do again. */
	int (*settle)(const struct engine_target *target, int fd, struct err *err);
	/* A program whose output says whether the data directory was left cleanly; NULL: nothing to ask. */
	void (*inspect)(const struct engine_target *target, struct engine_program *program);
	bool (*inspect_clean)(struct view output);
	/* Where the data stands now, for rows(). Owned by the caller. */
	json_t *(*mark)(const struct engine_target *target, int fd, const struct engine_marking *marking, struct err *err);
	/* What was written since the mark (sandbox/environment.h, environment_rows_written), bounded. Owned by the caller. */
	json_t *(*rows)(const struct engine_target *target, int fd, const json_t *mark, struct err *err);
	/* A session for masks and scans (data/sql.h); NULL: it has no tables. The socket stays the caller's. */
	int (*sql)(const struct engine_target *target, int fd, struct sql *sql, struct err *err);
	/* Of engines that hold keys; NULL: it has none. Masks replace what the rules name; the scan gives what keys without a rule hold, as
	 * sql_scan does. Errors name rules, never values. */
	int (*keys_mask)(const struct engine_target *target, int fd, const unsigned char key[DIGEST_KEY_BYTES],
			 const struct mask_rule *rules, size_t rule_count, struct err *err);
	json_t *(*keys_scan)(const struct engine_target *target, int fd, const struct mask_rule *rules, size_t rule_count,
			     struct err *err);
	/* After masks, over data that was left cleanly: drops what the server keeps of what was replaced. NULL: it keeps nothing. */
	void (*scrub)(const struct engine_target *target, struct engine_program *program);
	/* After masks, where logs keep what was replaced: prints all that a fork is to have, as FORM_SQL, to be loaded into an empty
	 * directory. NULL: `scrub` is enough. */
	void (*rewriter)(const struct engine_target *target, struct engine_program *program);
	/* "postgres://user@db:5432/database", appended. */
	void (*url)(const struct engine_target *target, struct buf *out);
	/* Of brokers. How many messages wait, for a consumer or for its acknowledgement: in `queue` (its stream, and group when it has one),
	 * or, when that is NULL, in all that somebody consumes. *which: where, owned by the caller, when some wait. NULL: engines without. */
	int (*waiting)(const struct engine_target *target, int fd, const struct queue *queue, int64_t *count, char **which,
		       struct err *err);
	/* Of engines that are files in a folder, which rooms share: nobody connects to them but the environment manager. A program that sets the
	 * data back to what lies under `from`, while other programs may have it open. NULL: engines that are servers. */
	void (*restore)(const struct engine_target *target, const char *from, struct engine_program *program);
	int64_t ready_limit_ms; /* of one attempt to start; 0: what others have */
	uint16_t ask_port;      /* where mark, rows and waiting are asked; 0: at `port` */
};

const struct engine_ops *engine_of(enum engine_kind kind);
/* Chooses the version; the database stays the caller's. */
MUST_USE int engine_target_init(struct engine_target *target, const struct database *database, struct err *err);
/* By its first bytes, and its name where those do not tell. */
MUST_USE int engine_form_detect(enum engine_kind kind, struct view head, const char *file_name, enum engine_form *form,
				struct err *err);

extern const struct engine_ops engine_mariadb;
extern const struct engine_ops engine_postgres;
extern const struct engine_ops engine_redis;
extern const struct engine_ops engine_rabbitmq;
extern const struct engine_ops engine_nats;
extern const struct engine_ops engine_sqlite;

#endif
