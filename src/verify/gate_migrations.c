/*
 * The rung after the replay, for changes that migrate: what the migration does to an application that is in use.
 *
 * Theory of operation: services are not replaced in the moment in which a schema changes, so for a while the old code works with the new
 * schema. In an environment of the base, whose services run, the head's migration files are put into the work tree and `migrate` is run;
 * then the sessions are replayed, and held against what the base answers on its own schema. In a second one the sessions come first, so
 * that the migration meets rows that the application wrote, which a snapshot may have none of; and what a `rollback` says it undoes is
 * undone. While `migrate` runs, the locks that keep even readers out are looked at. What blocks was seen in two such environments.
 *
 * That `migrate` can be run twice is a promise of the blueprint; where the base's own cannot, nothing is said.
 */
#include <stdio.h>
#include <stdlib.h>

#include "verify/call.h"
#include "verify/compare.h"
#include "verify/rehearsal.h"
#include "verify/suite.h"

#define MIGRATE_LIMIT_MS 120000
#define LOCKED_MS 1500 /* for which nobody reads a table: more is a finding */
#define SAID_MAX ((size_t)256 << 10)
#define SAID_SHOWN ((size_t)1500)
#define SCHEMA_MAX ((size_t)4 << 20)

enum weight { WEIGHT_FAILS = 96, WEIGHT_OLD_CODE = 94, WEIGHT_LOCK = 90, WEIGHT_ROLLBACK = 85 };

/* What one of the two environments came to. */
struct trial {
	json_t *failed;  /* {"what", "said"}; NULL: nothing failed */
	json_t *locked;  /* {table: for how many ms} */
	bool not_undone; /* after `rollback` the schema is another one than before */
	bool not_twice;  /* the base's own cannot be run again */
};

struct work {
	struct ladder *ladder;
	struct gate *gate;
	const struct database *database;
	json_t *put;    /* [path]: migration files of the head */
	json_t *remove; /* [path] that it has no more */
	struct trial first;
	struct trial rows;
};

static void trial_fini(struct trial *trial)
{
	json_decref(trial->failed);
	json_decref(trial->locked);
	*trial = (struct trial){0};
}

static void work_fini(struct work *work)
{
	json_decref(work->put);
	json_decref(work->remove);
	trial_fini(&work->first);
	trial_fini(&work->rows);
}

/* ---- which files ---- */

static bool is_migration(const struct work *work, const char *path)
{
	static const char *const rows[] = {"**/migrations/**", "**/migration/**", "**/migrate/**", "**/migrate.*",
					   "**/alembic/**",    "**/*.sql",        "**/schema.*",   "**/db/**"};
	const char *shell = work->database->migrate.shell;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (glob_match(rows[i], path))
			return true;
	return shell && strstr(shell, path);
}

static void files_sort_out(struct work *work)
{
	size_t index;
	json_t *change;

	work->put = json_array();
	work->remove = json_array();
	json_array_foreach(work->ladder->changes, index, change) {
		const char *old = json_text(change, "old_path", NULL);
		const char *path = json_text(change, "path", "");
		bool gone = json_text(change, "status", "M")[0] == 'D';

		if (is_migration(work, path))
			(void)json_array_append(gone ? work->remove : work->put, json_member(change, "path"));
		if (old && !gone && is_migration(work, old))
			(void)json_array_append(work->remove, json_member(change, "old_path"));
	}
}

/* ---- looking at locks ---- */

struct watch {
	struct running *running;
	const char *database;
	bool ending;   /* atomic */
	json_t *first; /* {table: when it was seen locked first, by the database's clock} */
	json_t *held;
};

/* A second's worth of looking, in one statement: the database's own clock and pace. */
static const char locks_sql[] =
	"SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS at, coalesce((SELECT string_agg(DISTINCT c.relname, ' ')"
	" FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace"
	" WHERE g > 0 AND l.granted AND l.mode = 'AccessExclusiveLock' AND c.relkind = 'r' AND c.reltuples <> 0"
	" AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND l.pid <> pg_backend_pid()), '') AS tables"
	" FROM generate_series(1, 15) g, LATERAL (SELECT pg_sleep(0.05 + 0 * g)) s";

static void sample_note(struct watch *watch, struct view line)
{
	AUTO_JSON now = json_object();
	struct view tables;
	const char *name;
	json_t *since;
	void *next;
	uint64_t at;

	if (!view_to_u64(view_cut(line, ',', &tables), &at))
		return;
	while (tables.length) {
		AUTO_FREE char *table = view_copy(view_cut(tables, ' ', &tables));
		int64_t first;

		if (!table[0] || strcmp(table, "\"\"") == 0)
			continue;
		(void)json_object_set_new(now, table, json_true());
		if (!json_object_get(watch->first, table))
			(void)json_object_set_new(watch->first, table, json_integer((json_int_t)at));
		first = json_number(watch->first, table, 0);
		if ((int64_t)at - first > json_number(watch->held, table, 0))
			(void)json_object_set_new(watch->held, table, json_integer((json_int_t)at - first));
	}
	json_object_foreach_safe(watch->first, next, name, since)
	{ /* free again: the next lock is another */
		if (!json_object_get(now, name))
			(void)json_object_del(watch->first, name);
	}
}

static void *watch_locks(void *self)
{
	struct watch *watch = self;

	while (!__atomic_load_n(&watch->ending, __ATOMIC_ACQUIRE)) {
		AUTO_BUF output = buf_new((size_t)1 << 20);
		struct view rest;

		if (environment_query(watch->running->side->ladder->request->environments, watch->running->side->env,
				      watch->database, locks_sql, &output, NULL))
			break;
		(void)view_cut(buf_view(&output), '\n', &rest);
		while (rest.length) {
			struct view line = view_cut(rest, '\n', &rest);

			if (line.length && line.at[0] != '(')
				sample_note(watch, line);
		}
	}
	return NULL;
}

/* ---- running it ---- */

/* *ok: it came to a good end. What it said otherwise is kept. */
static int command_run(struct running *running, const struct database *database, const struct command *command, bool *ok,
		       json_t **said, struct err *err)
{
	const char *const shell[] = {"sh", "-c", command->shell, NULL};
	AUTO_BUF output = buf_new(SAID_MAX);
	struct ladder *ladder = running->side->ladder;
	struct environment_exec exec = {.sandbox = "workspace",
					.argv = command->shell ? shell : (const char *const *)command->argv,
					.env = &database->env,
					.timeout_ms = ladder_left_ms(ladder) < MIGRATE_LIMIT_MS ? ladder_left_ms(ladder)
												: MIGRATE_LIMIT_MS,
					.output = &output,
					.cancelled = &ladder->stop};
	struct exit_status status;
	struct view tail;

	if (environment_exec(ladder->request->environments, running->side->env, &exec, &status, err))
		return -1;
	*ok = status.reason == EXIT_CODE && status.code == 0;
	if (*ok || !said)
		return 0;
	tail = view_trim(buf_view(&output));
	if (tail.length > SAID_SHOWN)
		tail = view_make(tail.at + tail.length - SAID_SHOWN, SAID_SHOWN);
	*said = json_object();
	json_set_bytes(*said, "said", tail);
	return 0;
}

static int migrate_watched(struct running *running, const struct work *work, struct trial *trial, bool *ok, struct err *err)
{
	struct watch watch = {running, work->database->name, false, json_object(), json_object()};
	bool postgres = work->database->engine == ENGINE_POSTGRES;
	pthread_t thread;
	bool apart = postgres && pthread_create(&thread, NULL, watch_locks, &watch) == 0;
	int result = command_run(running, work->database, &work->database->migrate, ok, &trial->failed, err);

	__atomic_store_n(&watch.ending, true, __ATOMIC_RELEASE);
	if (apart)
		(void)pthread_join(thread, NULL);
	json_decref(watch.first);
	trial->locked = watch.held;
	return result;
}

/* The base's own once more, then with the head's files. */
static int migrate(struct running *running, const struct work *work, struct trial *trial, struct err *err)
{
	struct ladder *ladder = work->ladder;
	bool ok = false;

	if (command_run(running, work->database, &work->database->migrate, &ok, NULL, err))
		return -1;
	trial->not_twice = !ok;
	if (!ok)
		return 0;
	if (files_remove(ladder, running->side->env, work->remove, err) ||
	    files_put(ladder, running->side->env, &ladder->request->head, work->put, err) ||
	    migrate_watched(running, work, trial, &ok, err))
		return -1;
	return 0;
}

static int before(struct running *running, const struct rehearsal_plan *plan, size_t session, size_t index, const json_t *entries,
		  struct err *err)
{
	const struct work *work = plan->self;

	(void)entries;
	return session == 0 && index == 0 ? migrate(running, work, (struct trial *)(uintptr_t)&work->first, err) : 0;
}

static const char schema_sql[] =
	"SELECT x FROM (SELECT table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable || ' ' ||"
	" coalesce(column_default, '') FROM information_schema.columns WHERE table_schema NOT IN ('pg_catalog', 'information_schema')"
	" UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
	" UNION ALL SELECT conrelid::regclass || ' ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid <> 0) t(x) ORDER BY 1";

static int schema_read(struct running *running, const struct work *work, struct buf *text, struct err *err)
{
	return environment_query(running->side->ladder->request->environments, running->side->env, work->database->name, schema_sql,
				 text, err);
}

static int after(struct running *running, const struct rehearsal_plan *plan, struct err *err)
{
	const struct work *work = plan->self;
	struct trial *trial = (struct trial *)(uintptr_t)&work->rows;
	bool undoes = work->database->engine == ENGINE_POSTGRES &&
		      (work->database->rollback.shell || work->database->rollback.argv);
	AUTO_BUF was = buf_new(SCHEMA_MAX);
	AUTO_BUF is = buf_new(SCHEMA_MAX);
	bool ok = false;

	if ((undoes && schema_read(running, work, &was, err)) || migrate(running, work, trial, err))
		return -1;
	if (!undoes || trial->not_twice || trial->failed)
		return 0;
	if (command_run(running, work->database, &work->database->rollback, &ok, NULL, err) || schema_read(running, work, &is, err))
		return -1;
	trial->not_undone = !ok || !view_equal(buf_view(&was), buf_view(&is));
	return 0;
}

/* ---- judging ---- */

static void report(json_t *findings, const char *kind, const char *place, int weight, const json_t *got, const char *detail,
		   const char *title)
{
	json_t *made = finding_add(findings,
				   &(struct finding){.gate = "migrations",
						     .kind = kind,
						     .place = place,
						     .path = "",
						     .severity = SEVERITY_BLOCK,
						     .weight = weight,
						     .title = title,
						     .detail = detail,
						     .got = got},
				   NULL);

	if (made)
		(void)json_object_set_new(made, "reproduce", json_string("assay-env deploy"));
}

static void trial_judge(const struct trial *trial, json_t *findings)
{
	const char *table;
	json_t *held;

	if (trial->failed)
		report(findings, "migration-fails", "migrate", WEIGHT_FAILS, json_member(trial->failed, "said"),
		       "It was run in a deployed environment of the base, with rows that the application has written.",
		       "the migration fails on data in use");
	json_object_foreach(trial->locked, table, held) {
		AUTO_FREE char *title = text_format("nobody can read %s for %lld ms while the migration runs", table,
						    (long long)json_integer_value(held));

		if (json_integer_value(held) >= LOCKED_MS)
			report(findings, "locked", table, WEIGHT_LOCK, NULL,
			       "The lock is held until the transaction ends: do what takes long outside of it.", title);
	}
	if (trial->not_undone)
		report(findings, "not-undone", "rollback", WEIGHT_ROLLBACK, NULL,
		       "The base's `rollback` was run with the change's files.",
		       "after the rollback the schema is another one than before the migration");
}

/* What a request does otherwise; rows differ by the columns that are new. */
static void old_code_judge(const struct work *work, const json_t *run, json_t *findings)
{
	const struct compare_options options = {.inside = work->ladder->inside, .gate = work->gate->name};
	struct comparison *comparison = comparison_new(work->ladder->base_run, work->ladder->base_again, &options);
	AUTO_JSON all = comparison_judge(comparison, run);
	size_t index;
	json_t *finding;

	json_array_foreach(all, index, finding) {
		AUTO_FREE char *title = text_format("the old code on the new schema: %s", json_text(finding, "title", ""));

		if (!finding_is(finding, SEVERITY_BLOCK) || view_starts(view_of(json_text(finding, "place", "")), VIEW("rows of ")))
			continue;
		json_set_bytes(finding, "title", view_of(title));
		json_set_bytes(
			finding, "detail",
			VIEW("While services are replaced, the old ones work with the new schema: add first, remove in a later change."));
		(void)json_object_set_new(finding, "weight", json_integer(WEIGHT_OLD_CODE));
		(void)json_array_append(findings, finding);
	}
	comparison_free(comparison);
}

/* ---- the rung ---- */

/* Both environments, side by side; what they came to as findings, owned by the caller. */
static json_t *round_run(struct work *work, const char *label, const char *with_rows, struct err *err)
{
	const struct rehearsal_plan first = {.rehearsal = work->ladder->rehearsal, .before = before, .self = work};
	const struct rehearsal_plan rows = {.rehearsal = work->ladder->rehearsal, .after = after, .apart = true, .self = work};
	struct side old = rehearsal_side(&first, work->gate->name, label);
	struct side used = rehearsal_side(&rows, work->gate->name, with_rows);
	json_t *findings = NULL;

	trial_fini(&work->first);
	trial_fini(&work->rows);
	sides_run(side_rehearse, (struct side *const[]){&old, &used}, 2);
	if (old.result || used.result) {
		*err = old.result ? old.err : used.err;
	} else {
		findings = json_array();
		trial_judge(&work->first, findings);
		trial_judge(&work->rows, findings);
		if (!work->first.not_twice && !work->first.failed)
			old_code_judge(work, old.run, findings);
		findings_sort(findings);
	}
	json_decref(old.run);
	json_decref(used.run);
	return findings;
}

static int judge(struct work *work, struct err *err)
{
	json_t *findings = round_run(work, "base, migrated", "base, migrated with rows", err);
	AUTO_JSON unstable = json_array();
	AUTO_JSON again = NULL;

	if (!findings)
		return -1;
	json_decref(work->gate->findings);
	work->gate->findings = findings;
	if (work->first.not_twice || work->rows.not_twice)
		ladder_not_covered(work->ladder, "migrations: the base's `migrate` of %s cannot be run twice",
				   work->database->name);
	for (size_t i = 0; i < json_array_size(findings); i++)
		if (json_text(json_array_get(findings, i), "session", NULL))
			rehearsal_reproduce(work->ladder->rehearsal, json_array_get(findings, i), "");
	if (!findings_block(findings))
		return 0;
	again = round_run(work, "base, migrated again", "base, migrated with rows again", err);
	if (!again)
		return -1;
	findings_confirm(findings, again, unstable);
	return 0;
}

int gate_migrations(struct ladder *ladder, struct gate *gate, struct err *err)
{
	__attribute__((cleanup(work_fini))) struct work work = {.ladder = ladder, .gate = gate};
	const struct blueprint *blueprint = ladder->blueprint;

	for (size_t i = 0; i < blueprint->database_count && !work.database; i++)
		if (blueprint->databases[i].migrate.shell || blueprint->databases[i].migrate.argv)
			work.database = &blueprint->databases[i];
	if (work.database)
		files_sort_out(&work);
	if (!json_array_size(work.put) && !json_array_size(work.remove)) {
		gate->status = GATE_SKIPPED;
		gate_reason(gate, "%s", work.database ? "the change has no migration" : "the blueprint has no `migrate`");
		return 0;
	}
	gate_count(gate, "files", (int64_t)(json_array_size(work.put) + json_array_size(work.remove)));
	if (!ladder->rehearsal || !ladder->base_run) {
		gate->status = GATE_SKIPPED;
		gate_reason(gate, "nothing was replayed");
		ladder_not_covered(
			ladder, "migrations: nothing says what the old code does on the new schema: there is no recorded session");
		return 0;
	}
	return judge(&work, err);
}
