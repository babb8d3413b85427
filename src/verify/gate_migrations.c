/*
 * The rung after the replay, for changes that migrate: what the migration does to an application that is in use.
 *
 * Theory of operation: services are not replaced in the moment in which a schema changes, so for a while the old code works with the new
 * schema. In an environment of the base, whose services run, the head's migration files are put into the work tree and `migrate` is run;
 * then the sessions are replayed, and held against what the base answers on its own schema. In a second one the sessions come first, so
 * that the migration meets rows that the application wrote, which a snapshot may have none of; and what a `rollback` says it undoes is
 * undone, and done again. While `migrate` runs, the locks that keep even readers out are looked at. What blocks was seen in two such
 * environments. In a third the services are replaced first, and the schema stays: whether that goes well says in which order a person may
 * deploy, and blocks nothing.
 *
 * All databases that migrate are migrated, one after the other. That `migrate` can be run twice is a promise of the blueprint; where the
 * base's own cannot, nothing is said.
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
#define DATABASES_MAX 8
#define SCHEMA_MAX ((size_t)4 << 20)

enum weight { WEIGHT_FAILS = 96, WEIGHT_OLD_CODE = 94, WEIGHT_LOCK = 90, WEIGHT_ROLLBACK = 85, WEIGHT_ORDER = 5 };

/* What one of the environments came to, with one of the databases. */
struct trial {
	json_t *failed;   /* {"said"}; NULL: nothing failed */
	json_t *locked;   /* {table: for how many ms} */
	json_t *unredone; /* {"said"}: what was undone could not be done again; NULL: it could, or was not tried */
	int64_t took_ms;
	bool not_undone; /* after `rollback` the schema is another one than before */
	bool not_twice;  /* the base's own cannot be run again */
};

struct work {
	struct ladder *ladder;
	struct gate *gate;
	const struct database *databases[DATABASES_MAX]; /* that migrate */
	size_t count;
	json_t *put;      /* [path]: migration files of the head */
	json_t *remove;   /* [path] that it has no more */
	json_t *code_put; /* the same of all that migrates nothing */
	json_t *code_remove;
	struct trial first[DATABASES_MAX];
	struct trial rows[DATABASES_MAX];
	char *not_started; /* why the new code could not be deployed on the old schema; NULL: it could */
};

static void trial_fini(struct trial *trial)
{
	json_decref(trial->failed);
	json_decref(trial->locked);
	json_decref(trial->unredone);
	*trial = (struct trial){0};
}

static void trials_fini(struct work *work)
{
	for (size_t i = 0; i < work->count; i++) {
		trial_fini(&work->first[i]);
		trial_fini(&work->rows[i]);
	}
}

static void work_fini(struct work *work)
{
	json_decref(work->put);
	json_decref(work->remove);
	json_decref(work->code_put);
	json_decref(work->code_remove);
	trials_fini(work);
	free(work->not_started);
}

/* ---- which files ---- */

/* Is the file named by a word of the command? */
static bool command_names(const struct command *command, const char *path)
{
	AUTO_BUF words = buf_new((size_t)1 << 20);
	struct view rest;

	if (command->shell)
		buf_add_text(&words, command->shell);
	for (size_t i = 0; command->argv && command->argv[i]; i++)
		buf_add_format(&words, "%s ", command->argv[i]);
	rest = buf_view(&words);
	while (rest.length) {
		struct view word = view_cut(rest, ' ', &rest);

		if (view_starts(word, VIEW("./")))
			word = view_make(word.at + 2, word.length - 2);
		if (view_is(word, path))
			return true;
	}
	return false;
}

/* What is asked of a database from files is code, though it is SQL. */
static bool migration_is(const char *path)
{
	static const char *const rows[] = {"**/migrations/**", "**/migration/**", "**/migrate/**",    "**/migrate.*",
					   "**/alembic/**",    "**/changelog/**", "**/schema.prisma", "**/schema.rb",
					   "**/structure.sql", "**/*.sql"};
	static const char *const queries[] = {"**/queries/**", "**/query/**", "**/sqlc/**", "**/test/**", "**/tests/**"};

	for (size_t i = 0; i < ARRAY_LEN(queries); i++)
		if (glob_match(queries[i], path))
			return false;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (glob_match(rows[i], path))
			return true;
	return false;
}

static bool is_migration(const struct work *work, const char *path)
{
	for (size_t i = 0; i < work->count; i++)
		if (command_names(&work->databases[i]->migrate, path))
			return true;
	return migration_is(path);
}

static void files_sort_out(struct work *work)
{
	size_t index;
	json_t *change;

	work->put = json_array();
	work->remove = json_array();
	work->code_put = json_array();
	work->code_remove = json_array();
	json_array_foreach(work->ladder->changes, index, change) {
		const char *old = json_text(change, "old_path", NULL);
		const char *path = json_text(change, "path", "");
		bool gone = json_text(change, "status", "M")[0] == 'D';

		if (is_migration(work, path))
			(void)json_array_append(gone ? work->remove : work->put, json_member(change, "path"));
		else
			(void)json_array_append(gone ? work->code_remove : work->code_put, json_member(change, "path"));
		if (old && !gone)
			(void)json_array_append(is_migration(work, old) ? work->remove : work->code_remove,
						json_member(change, "old_path"));
	}
}

/* ---- looking at locks ---- */

struct watch {
	struct running *running;
	const char *database;
	bool ending;    /* atomic */
	json_t *filled; /* {table: true} */
	json_t *first;  /* {table and who locks it: when it was seen first, by the database's clock} */
	json_t *held;   /* {table: for how many ms} */
};

/* A second's worth of looking, in one statement: the database's own clock and pace. Each lock goes by its table and who holds it. */
static const char locks_sql[] =
	"SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS at, coalesce((SELECT string_agg(DISTINCT"
	" translate(c.relname, ' ,\":', '____') || ':' || l.virtualtransaction, ' ')"
	" FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace"
	" WHERE g > 0 AND l.granted AND l.mode = 'AccessExclusiveLock' AND c.relkind = 'r'"
	" AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND l.pid <> pg_backend_pid()), '') AS tables"
	" FROM generate_series(1, 15) g, LATERAL (SELECT pg_sleep(0.05 + 0 * g)) s";

/* Tables that hold anything: nobody waits for one that does not. Asked before, since a table's size waits for its lock. */
static const char filled_sql[] =
	"SELECT translate(c.relname, ' ,\":', '____') FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r'"
	" AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND pg_relation_size(c.oid) > 0";

static void sample_note(struct watch *watch, struct view line)
{
	AUTO_JSON now = json_object();
	struct view locks;
	const char *name;
	json_t *since;
	void *next;
	uint64_t at;

	if (!view_to_u64(view_cut(line, ',', &locks), &at))
		return;
	while (locks.length) {
		AUTO_FREE char *lock = view_copy(view_cut(locks, ' ', &locks));
		AUTO_FREE char *table = view_copy(view_cut(view_of(lock), ':', &(struct view){0}));
		int64_t first;

		if (!json_object_get(watch->filled, table))
			continue;
		(void)json_object_set_new(now, lock, json_true());
		if (!json_object_get(watch->first, lock))
			(void)json_object_set_new(watch->first, lock, json_integer((json_int_t)at));
		first = json_number(watch->first, lock, 0);
		if ((int64_t)at - first > json_number(watch->held, table, 0))
			(void)json_object_set_new(watch->held, table, json_integer((json_int_t)at - first));
	}
	json_object_foreach_safe(watch->first, next, name, since)
	{ /* free again: the next lock is another */
		if (!json_object_get(now, name))
			(void)json_object_del(watch->first, name);
	}
}

/* The tables that `filled_sql` names, in watch->filled. */
static int filled_read(struct watch *watch, struct err *err)
{
	AUTO_BUF output = buf_new((size_t)1 << 20);
	struct view rest;

	if (environment_query(watch->running->side->ladder->request->environments, watch->running->side->env, watch->database,
			      filled_sql, &output, err))
		return -1;
	(void)view_cut(buf_view(&output), '\n', &rest);
	while (rest.length) {
		AUTO_FREE char *table = view_copy(view_trim(view_cut(rest, '\n', &rest)));

		if (table[0])
			(void)json_object_set_new(watch->filled, table, json_true());
	}
	return 0;
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

static int migrate_watched(struct running *running, const struct database *database, struct trial *trial, bool *ok, struct err *err)
{
	struct watch watch = {running, database->name, false, json_object(), json_object(), json_object()};
	bool postgres = database->engine == ENGINE_POSTGRES;
	int64_t begin_ms = world_elapsed_ms(running->side->ladder->request->world);
	int result = postgres ? filled_read(&watch, err) : 0;
	pthread_t thread;
	bool apart = postgres && result == 0 && pthread_create(&thread, NULL, watch_locks, &watch) == 0;

	if (result == 0)
		result = command_run(running, database, &database->migrate, ok, &trial->failed, err);
	__atomic_store_n(&watch.ending, true, __ATOMIC_RELEASE);
	if (apart)
		(void)pthread_join(thread, NULL);
	json_decref(watch.first);
	json_decref(watch.filled);
	trial->locked = watch.held;
	trial->took_ms = world_elapsed_ms(running->side->ladder->request->world) - begin_ms;
	return result;
}

/* The base's own once more, then with the head's files. */
static int migrate(struct running *running, const struct work *work, struct trial *trials, struct err *err)
{
	struct ladder *ladder = work->ladder;
	bool ok = true;

	for (size_t i = 0; i < work->count; i++) {
		if (command_run(running, work->databases[i], &work->databases[i]->migrate, &ok, NULL, err))
			return -1;
		trials[i].not_twice = !ok;
	}
	if (files_remove(ladder, running->side->env, work->remove, err) ||
	    files_put(ladder, running->side->env, &ladder->request->head, work->put, err))
		return -1;
	for (size_t i = 0; i < work->count; i++)
		if (!trials[i].not_twice && migrate_watched(running, work->databases[i], &trials[i], &ok, err))
			return -1;
	return 0;
}

static bool is_first(size_t session, size_t index)
{
	return session == 0 && index == 0;
}

static int before(struct running *running, const struct rehearsal_plan *plan, size_t session, size_t index, const json_t *entries,
		  struct err *err)
{
	const struct work *work = plan->self;

	(void)entries;
	return is_first(session, index) ? migrate(running, work, ((struct work *)(uintptr_t)work)->first, err) : 0;
}

/* The services are replaced by the head's; the migrations stay the base's. */
static int before_new_code(struct running *running, const struct rehearsal_plan *plan, size_t session, size_t index,
			   const json_t *entries, struct err *err)
{
	struct work *work = (struct work *)(uintptr_t)plan->self;
	struct ladder *ladder = work->ladder;

	(void)entries;
	if (!is_first(session, index))
		return 0;
	if (files_remove(ladder, running->side->env, work->code_remove, err) ||
	    files_put(ladder, running->side->env, &ladder->request->head, work->code_put, err))
		return -1;
	if (environment_deploy(ladder->request->environments, running->side->env, NULL,
			       (struct progress){.cancelled = &ladder->stop}, err) == 0)
		return 0;
	if (err->kind != ERR_CANCELLED && err->kind != ERR_RETRY)
		work->not_started = text_copy(err->text);
	return -1;
}

static const char schema_sql[] =
	"SELECT x FROM (SELECT table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable || ' ' ||"
	" coalesce(column_default, '') FROM information_schema.columns WHERE table_schema NOT IN ('pg_catalog', 'information_schema')"
	" UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
	" UNION ALL SELECT conrelid::regclass || ' ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid <> 0) t(x) ORDER BY 1";

static int schema_read(struct running *running, const struct database *database, struct buf *text, struct err *err)
{
	return environment_query(running->side->ladder->request->environments, running->side->env, database->name, schema_sql, text,
				 err);
}

/* Undone, and done again. */
static int roll(struct running *running, const struct database *database, struct view was, struct trial *trial, struct err *err)
{
	AUTO_BUF is = buf_new(SCHEMA_MAX);
	bool ok = false;
	bool again = false;

	if (command_run(running, database, &database->rollback, &ok, NULL, err) || schema_read(running, database, &is, err))
		return -1;
	trial->not_undone = !ok || !view_equal(was, buf_view(&is));
	return trial->not_undone ? 0 : command_run(running, database, &database->migrate, &again, &trial->unredone, err);
}

static bool undoes(const struct database *database)
{
	return database->engine == ENGINE_POSTGRES && (database->rollback.shell || database->rollback.argv);
}

static int after(struct running *running, const struct rehearsal_plan *plan, struct err *err)
{
	struct work *work = (struct work *)(uintptr_t)plan->self;
	struct buf was[DATABASES_MAX];
	int result = 0;

	for (size_t i = 0; i < work->count; i++)
		was[i] = buf_new(SCHEMA_MAX);
	for (size_t i = 0; i < work->count && !result; i++)
		result = undoes(work->databases[i]) ? schema_read(running, work->databases[i], &was[i], err) : 0;
	if (!result)
		result = migrate(running, work, work->rows, err);
	for (size_t i = work->count; i-- > 0 && !result;)
		if (undoes(work->databases[i]) && !work->rows[i].not_twice && !work->rows[i].failed)
			result = roll(running, work->databases[i], buf_view(&was[i]), &work->rows[i], err);
	for (size_t i = 0; i < work->count; i++)
		buf_fini(&was[i]);
	return result;
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

/* Of several databases each goes by its name. */
static char *place_of(const struct work *work, size_t database, const char *what)
{
	return work->count > 1 ? text_format("%s %s", work->databases[database]->name, what) : text_copy(what);
}

static void trial_judge(const struct work *work, size_t database, const struct trial *trial, json_t *findings)
{
	AUTO_FREE char *migrate_place = place_of(work, database, "migrate");
	AUTO_FREE char *rollback_place = place_of(work, database, "rollback");
	const char *table;
	json_t *held;

	if (trial->failed)
		report(findings, "migration-fails", migrate_place, WEIGHT_FAILS, json_member(trial->failed, "said"),
		       "It was run in a deployed environment of the base, with rows that the application has written.",
		       "the migration fails on data in use");
	json_object_foreach(trial->locked, table, held) {
		AUTO_FREE char *place = place_of(work, database, table);
		AUTO_FREE char *title = text_format("nobody can read %s for %lld ms while the migration runs", table,
						    (long long)json_integer_value(held));

		if (json_integer_value(held) >= LOCKED_MS)
			report(findings, "locked", place, WEIGHT_LOCK, NULL,
			       "The lock is held until the transaction ends: do what takes long outside of it.", title);
	}
	if (trial->not_undone)
		report(findings, "not-undone", rollback_place, WEIGHT_ROLLBACK, NULL,
		       "The base's `rollback` was run with the change's files.",
		       "after the rollback the schema is another one than before the migration");
	if (trial->unredone)
		report(findings, "not-redone", rollback_place, WEIGHT_ROLLBACK - 1, json_member(trial->unredone, "said"),
		       "`migrate`, the base's `rollback` and `migrate` again were run, with the change's files.",
		       "what the rollback undid cannot be migrated again");
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

/* Services before the schema: what comes of it is told, for who decides the order. The replay found nothing of the kind on the new schema. */
static void new_code_tell(struct work *work, const struct side *side, json_t *findings)
{
	const struct compare_options options = {.inside = work->ladder->inside, .gate = work->gate->name};
	struct comparison *comparison = NULL;
	AUTO_JSON all = NULL;
	AUTO_FREE char *what = NULL;
	size_t blocking = 0;

	if (work->not_started) {
		what = text_format("it does not deploy: %.200s", work->not_started);
	} else {
		comparison = comparison_new(work->ladder->base_run, work->ladder->base_again, &options);
		all = comparison_judge(comparison, side->run);
		comparison_free(comparison);
		for (size_t i = 0; i < json_array_size(all); i++)
			blocking += finding_is(json_array_get(all, i), SEVERITY_BLOCK);
		what = text_format("%.300s%s", json_text(json_array_get(all, 0), "title", ""), blocking > 1 ? ", and more" : "");
		if (!blocking)
			return;
	}
	AUTO_FREE char *title = text_format("the new code needs the new schema: on the old one %s", what);

	(void)finding_add(
		findings,
		&(struct finding){.gate = work->gate->name,
				  .kind = "needs-migration-first",
				  .place = "deploy order",
				  .severity = SEVERITY_INFO,
				  .weight = WEIGHT_ORDER,
				  .title = title,
				  .detail = "Migrate before the services are replaced, and undo the migration only after them."},
		NULL);
}

/* ---- the rung ---- */

/* The environments, side by side; what they came to as findings, owned by the caller. The order of deploying is asked once. */
static json_t *round_run(struct work *work, const char *label, const char *with_rows, bool once, struct err *err)
{
	const struct rehearsal_plan first = {.rehearsal = work->ladder->rehearsal, .before = before, .self = work};
	const struct rehearsal_plan rows = {.rehearsal = work->ladder->rehearsal, .after = after, .apart = true, .self = work};
	const struct rehearsal_plan code = {.rehearsal = work->ladder->rehearsal, .before = before_new_code, .self = work};
	struct side old = rehearsal_side(&first, work->gate->name, label);
	struct side used = rehearsal_side(&rows, work->gate->name, with_rows);
	struct side fresh = rehearsal_side(&code, work->gate->name, "base, with the new code");
	bool ordered = once && json_array_size(work->code_put) + json_array_size(work->code_remove) > 0;
	json_t *findings = NULL;

	trials_fini(work);
	sides_run(side_rehearse, (struct side *const[]){&old, &used, &fresh}, ordered ? 3 : 2);
	if (old.result || used.result) {
		*err = old.result ? old.err : used.err;
	} else if (ordered && fresh.result && !work->not_started) {
		*err = fresh.err;
	} else {
		bool whole = true;

		findings = json_array();
		for (size_t i = 0; i < work->count; i++) {
			trial_judge(work, i, &work->first[i], findings);
			trial_judge(work, i, &work->rows[i], findings);
			whole = whole && !work->first[i].not_twice && !work->first[i].failed;
		}
		if (whole)
			old_code_judge(work, old.run, findings);
		if (whole && ordered)
			new_code_tell(work, &fresh, findings);
		findings_sort(findings);
	}
	json_decref(old.run);
	json_decref(used.run);
	json_decref(fresh.run);
	return findings;
}

static int judge(struct work *work, struct err *err)
{
	json_t *findings = round_run(work, "base, migrated", "base, migrated with rows", true, err);
	AUTO_JSON unstable = json_array();
	AUTO_JSON again = NULL;
	int64_t took_ms = 0;

	if (!findings)
		return -1;
	json_decref(work->gate->findings);
	work->gate->findings = findings;
	for (size_t i = 0; i < work->count; i++) {
		took_ms += work->rows[i].took_ms;
		if (work->first[i].not_twice || work->rows[i].not_twice)
			ladder_not_covered(work->ladder, "migrations: the base's `migrate` of %s cannot be run twice",
					   work->databases[i]->name);
	}
	gate_count(work->gate, "migrate_ms", took_ms);
	for (size_t i = 0; i < json_array_size(findings); i++)
		if (json_text(json_array_get(findings, i), "session", NULL))
			rehearsal_reproduce(work->ladder->rehearsal, json_array_get(findings, i), "");
	if (!findings_block(findings))
		return 0;
	again = round_run(work, "base, migrated again", "base, migrated with rows again", false, err);
	if (!again)
		return -1;
	findings_confirm(findings, again, unstable);
	return 0;
}

int gate_migrations(struct ladder *ladder, struct gate *gate, struct err *err)
{
	__attribute__((cleanup(work_fini))) struct work work = {.ladder = ladder, .gate = gate};
	const struct blueprint *blueprint = ladder->blueprint;
	size_t left_out = 0;

	for (size_t i = 0; i < blueprint->database_count; i++) {
		const struct database *database = &blueprint->databases[i];

		if (!database->migrate.shell && !database->migrate.argv)
			continue;
		if (work.count < DATABASES_MAX)
			work.databases[work.count++] = database;
		else
			left_out++;
	}
	if (left_out)
		ladder_not_covered(ladder, "migrations: %zu databases were left out: %d are looked at", left_out, DATABASES_MAX);
	if (work.count)
		files_sort_out(&work);
	if (!json_array_size(work.put) && !json_array_size(work.remove)) {
		gate->status = GATE_SKIPPED;
		gate_reason(gate, "%s", work.count ? "the change has no migration" : "the blueprint has no `migrate`");
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
