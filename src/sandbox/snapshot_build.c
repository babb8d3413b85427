/*
 * How snapshots are made.
 *
 * Theory of operation. In a builder, every database of the blueprint is started over an empty, initialised directory; its sources are
 * loaded by the engine's own programs inside its sandbox; shell seeds run in the builder's workspace and reach the databases by name.
 * What the blueprint's `mask` names is replaced, and what is left is searched for what looks like people's (snapshot_mask.c).
 * Then all are settled, all are stopped cleanly, and only then is the first one committed: one cut. A server that does not stop
 * cleanly fails the snapshot.
 */
#include "sandbox/snapshot_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define START_LIMIT_MS 60000
#define CONNECT_LIMIT_MS 10000
#define KEY_KEPT 16

static void plan_fini(struct plan *plan)
{
	for (size_t i = 0; i < plan->count; i++) {
		scope_close(&plan->loads[i].fd);
		free(plan->loads[i].label);
		free(plan->loads[i].line);
	}
	free(plan->loads);
	json_decref(plan->leaks);
}

/* ---- one server in a builder ---- */

static int server_start(struct environment *builder, struct member *member, bool loading, struct err *err)
{
	AUTO_ENGINE_PROGRAM program = {.count = 0};

	member->target.ops->serve(&member->target, loading, &program);
	if (member_start_argv(builder, member, engine_program_argv(&program), "/", NULL, err))
		return -1;
	return member_wait_ready(builder, member, member_ready_limit_ms(member, START_LIMIT_MS), NULL, err)
		       ? member_quote_log(builder, member, err)
		       : 0;
}

/* Cleanly, or it is an error. */
static int server_stop(struct environment *builder, struct member *member, struct err *err)
{
	const struct engine_ops *ops = member->target.ops;
	AUTO_ENGINE_PROGRAM program = {.count = 0};
	AUTO_BUF output = buf_new((size_t)1 << 20);
	struct environment_exec exec = {.output = &output};

	member_stop(builder, member, ops->stop_signal, ops->stop_limit_ms);
	if (member->exit.reason != EXIT_CODE || member->exit.code) {
		AUTO_BUF how = buf_new(256);

		exit_status_format(&how, member->exit);
		(void)err_set(err, ERR_BROKEN, "%s did not stop cleanly: %s", member->name, how.at ? how.at : "");
		return member_quote_log(builder, member, err);
	}
	if (!ops->inspect)
		return 0;
	ops->inspect(&member->target, &program);
	exec.argv = engine_program_argv(&program);
	if (member_run_checked(builder, member, &exec, "cannot inspect the data", err))
		return -1;
	return ops->inspect_clean(buf_view(&output)) ? 0 : err_set(err, ERR_BROKEN, "%s was not shut down cleanly", member->name);
}

static int initialise(struct environment *builder, struct member *member, struct err *err)
{
	AUTO_ENGINE_PROGRAM program = {.count = 0};
	AUTO_FREE char *what = text_format("cannot initialise %s", member->name);
	struct environment_exec exec = {.timeout_ms = BUILD_LIMIT_MS};

	member->target.ops->initialise(&member->target, &program);
	exec.argv = engine_program_argv(&program);
	return member_run_checked(builder, member, &exec, what, err);
}

/* ---- the empty database under every other ---- */

static struct member *database_member(struct environment *builder, const struct database *database)
{
	for (size_t i = 0; i < builder->member_count; i++)
		if (builder->members[i].kind == MEMBER_DATABASE && strcmp(builder->members[i].name, database->name) == 0)
			return &builder->members[i];
	return NULL;
}

static int empty_build(struct environments *all, const struct database *database, const char *layer, struct err *err)
{
	AUTO_FREE char *text = builder_databases_text(database, 1);
	AUTO_BUILDER builder = NULL;
	AUTO_JSON meta = json_object();
	struct member *member;

	builder = builder_begin(all, &(struct builder_spec){.blueprint_text = text}, err);
	member = builder ? database_member(builder, database) : NULL;
	if (!member || builder_member_make(builder, member, NULL, err) || initialise(builder, member, err) ||
	    server_start(builder, member, false, err) || member_talk(builder, member, member->target.ops->create, err) ||
	    member_talk(builder, member, member->target.ops->settle, err) || server_stop(builder, member, err))
		return -1;
	(void)json_object_set_new(meta, "engine", json_string(member->target.ops->name));
	(void)json_object_set_new(meta, "engine_version", json_integer(member->target.version));
	member_unmake(builder, member);
	return builder_commit(builder, member, layer, meta, err);
}

char *snapshot_empty_layer(struct environments *all, const struct database *database, struct progress progress, struct err *err)
{
	const struct view key[] = {view_of(database->user), view_of(database->database)};
	AUTO_FREE char *layer = NULL;
	struct engine_target target;
	bool exists = false;
	int result;

	if (engine_target_init(&target, database, err))
		return NULL;
	layer = text_format("empty/%s-%d/%.*s", target.ops->name, target.version, KEY_KEPT,
			    digest_of_parts(key, ARRAY_LEN(key)).text);
	environments_once_begin(all, layer);
	result = layer_exists(all, layer, &exists, err);
	if (result == 0 && !exists) {
		const struct plan plan = {.all = all, .progress = progress, .name = ""};
		int64_t began_ms = plan_step_begin(&plan, "initialise", database->name);

		result = empty_build(all, database, layer, err);
		if (result == 0)
			plan_step_end(&plan, "initialise", database->name, began_ms);
	}
	environments_once_end(all, layer);
	return result ? NULL : TAKE(layer);
}

/* ---- loading ---- */

static int databases_each(struct plan *plan, int (*act)(struct plan *plan, struct member *member, struct err *err), struct err *err)
{
	for (size_t i = 0; i < plan->builder->member_count; i++)
		if (plan->builder->members[i].kind == MEMBER_DATABASE && act(plan, &plan->builder->members[i], err))
			return -1;
	return 0;
}

static int load_file(struct plan *plan, const struct load *load, bool offline, struct err *err)
{
	AUTO_ENGINE_PROGRAM program = {.count = 0};
	AUTO_FREE char *what = text_format("cannot load %s into %s", load->label, load->database->name);
	struct environment_exec exec = {.timeout_ms = LOAD_LIMIT_MS, .input_fd = load->fd, .cancelled = plan->progress.cancelled};
	bool needs_offline = false;
	int64_t began_ms;

	if (load->database->target.ops->loader(&load->database->target, load->form, &program, &needs_offline, err))
		return -1;
	if (needs_offline != offline)
		return 0;
	began_ms = plan_step_begin(plan, "load", load->database->name);
	exec.argv = engine_program_argv(&program);
	if (member_run_checked(plan->builder, load->database, &exec, what, err))
		return -1;
	plan_step_end(plan, "load", load->database->name, began_ms);
	return 0;
}

/* Empty directory, sandbox, what must lie there before the server starts, server. */
static int database_begin(struct plan *plan, struct member *member, struct err *err)
{
	AUTO_FREE char *layer = snapshot_empty_layer(plan->all, member->target.database, plan->progress, err);
	bool rdb = false;

	if (!layer || builder_member_make(plan->builder, member, layer, err))
		return -1;
	for (size_t i = 0; i < plan->count; i++) {
		if (plan->loads[i].database != member)
			continue;
		rdb = rdb || plan->loads[i].form == FORM_RDB;
		if (load_file(plan, &plan->loads[i], true, err))
			return -1;
	}
	return server_start(plan->builder, member, rdb || member->target.ops->kind != ENGINE_REDIS, err);
}

static int shell_run(struct plan *plan, const struct load *load, struct err *err)
{
	struct member *workspace = member_find(plan->builder, WORKSPACE_MEMBER);
	const char *line[] = {"sh", "-c", load->line, NULL};
	const char *script[] = {"bash", "-s", NULL};
	AUTO_FREE char *what = text_format("seed `%s`", load->label);
	struct environment_exec exec = {.argv = load->line ? line : script,
					.timeout_ms = LOAD_LIMIT_MS,
					.input_fd = load->fd > 0 ? load->fd : 0,
					.cancelled = plan->progress.cancelled};
	int64_t began_ms = plan_step_begin(plan, "seed", load->label);

	if (member_run_checked(plan->builder, workspace, &exec, what, err))
		return -1;
	plan_step_end(plan, "seed", load->label, began_ms);
	return 0;
}

static int loads_run(struct plan *plan, struct err *err)
{
	for (size_t i = 0; i < plan->count; i++) {
		const struct load *load = &plan->loads[i];

		if (progress_cancelled(plan->progress))
			return err_set(err, ERR_CANCELLED, "stopped");
		if (load->database ? load_file(plan, load, false, err) : shell_run(plan, load, err))
			return -1;
	}
	return 0;
}

/* What was masked, loaded into an empty directory: the one that held it before is thrown away with its logs. */
static int database_rewrite(struct plan *plan, struct member *member, struct err *err)
{
	AUTO_ENGINE_PROGRAM program = {.count = 0};
	AUTO_FREE char *what = text_format("cannot write %s anew", member->name);
	AUTO_FREE char *path = text_format("%s/rewrite", plan->builder->dir);
	struct environment_exec exec = {.timeout_ms = LOAD_LIMIT_MS, .cancelled = plan->progress.cancelled};
	struct load load = {.database = member, .label = member->name, .form = FORM_SQL};
	AUTO_FREE char *layer = NULL;
	AUTO_CLOSE int fd = -1;

	if (!plan_changes(plan, member) || !member->target.ops->rewriter)
		return 0;
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_errno(err, errno, "cannot write %s", path);
	(void)unlink(path);
	member->target.ops->rewriter(&member->target, &program);
	exec.argv = engine_program_argv(&program);
	exec.output_fd = fd;
	if (member_run_checked(plan->builder, member, &exec, what, err))
		return -1;
	member_unmake(plan->builder, member);
	layer = snapshot_empty_layer(plan->all, member->target.database, plan->progress, err);
	if (!layer || provider_volume_remove(plan->all->provider, plan->builder->id, member->volume, err) ||
	    builder_member_make(plan->builder, member, layer, err) || server_start(plan->builder, member, true, err))
		return err_prefix(err, "%s", what);
	(void)lseek(fd, 0, SEEK_SET);
	load.fd = fd;
	return load_file(plan, &load, false, err);
}

static int database_settle(struct plan *plan, struct member *member, struct err *err)
{
	int64_t began_ms = plan_step_begin(plan, "settle", member->name);

	if (member_talk(plan->builder, member, member->target.ops->settle, err))
		return -1;
	plan_step_end(plan, "settle", member->name, began_ms);
	return 0;
}

/* What the stopped server keeps of values that were replaced. */
static int database_scrub(struct plan *plan, struct member *member, struct err *err)
{
	AUTO_ENGINE_PROGRAM program = {.count = 0};
	AUTO_FREE char *what = text_format("cannot clean %s of what was masked", member->name);
	struct environment_exec exec = {.timeout_ms = BUILD_LIMIT_MS};

	if (!plan_changes(plan, member) || !member->target.ops->scrub)
		return 0;
	member->target.ops->scrub(&member->target, &program);
	exec.argv = engine_program_argv(&program);
	return member_run_checked(plan->builder, member, &exec, what, err);
}

static int database_stop(struct plan *plan, struct member *member, struct err *err)
{
	int64_t began_ms = plan_step_begin(plan, "stop", member->name);

	if (server_stop(plan->builder, member, err) || database_scrub(plan, member, err))
		return -1;
	member_unmake(plan->builder, member);
	plan_step_end(plan, "stop", member->name, began_ms);
	return 0;
}

/* ---- committing ---- */

/* What the version is made of: engines, and every source in its order. */
static struct digest recipe_digest(const struct plan *plan)
{
	AUTO_BUF recipe = buf_new((size_t)1 << 20);

	for (size_t i = 0; i < plan->builder->member_count; i++) {
		const struct member *member = &plan->builder->members[i];

		if (member->kind == MEMBER_DATABASE)
			buf_add_format(&recipe, "%s %s %d %s %s\n", member->name, member->target.ops->name, member->target.version,
				       member->target.database->database, member->target.database->user);
	}
	for (size_t i = 0; i < plan->count; i++)
		buf_add_format(&recipe, "%s %d %s\n", plan->loads[i].database ? plan->loads[i].database->name : "*",
			       (int)plan->loads[i].form, plan->loads[i].digest.text);
	plan_mask_digest(plan, &recipe);
	return digest_of(buf_view(&recipe));
}

static void source_text(const struct plan *plan, const struct member *member, struct buf *out)
{
	for (size_t i = 0; i < plan->count; i++)
		if (!plan->loads[i].database || plan->loads[i].database == member)
			buf_add_format(out, "%s%s", out->length ? ", " : "", plan->loads[i].label);
	if (!out->length)
		buf_add_text(out, "empty");
}

static int commit_all(struct plan *plan, int version, struct err *err)
{
	struct digest digest = recipe_digest(plan);
	int64_t parts = 0;

	for (size_t i = 0; i < plan->builder->member_count; i++)
		parts += plan->builder->members[i].kind == MEMBER_DATABASE;
	for (size_t i = 0; i < plan->builder->member_count; i++) {
		const struct member *member = &plan->builder->members[i];
		AUTO_BUF source = buf_new((size_t)1 << 16);
		AUTO_FREE char *layer = text_format("snapshot/%s/%d/%s", plan->name, version, member->name);
		AUTO_JSON meta = NULL;

		if (member->kind != MEMBER_DATABASE)
			continue;
		source_text(plan, member, &source);
		meta = json_pack("{s:s, s:s, s:I, s:I, s:I}", "digest", digest.text, "engine", member->target.ops->name,
				 "engine_version", (json_int_t)member->target.version, "parts", (json_int_t)parts, "created_ms",
				 (json_int_t)world_now_ms(plan->all->world));
		json_set_bytes(meta, "source", buf_view(&source));
		plan_mask_note(plan, member, meta);
		if (builder_commit(plan->builder, member, layer, meta, err))
			return err_prefix(err, "cannot keep snapshot %s", layer);
	}
	return 0;
}

static bool has_shell(const struct plan *plan)
{
	for (size_t i = 0; i < plan->count; i++)
		if (!plan->loads[i].database)
			return true;
	return false;
}

/* From the plan to layers. `tree` is the workspace's layer, or NULL. */
static int plan_run(struct plan *plan, const char *tree, int version, struct err *err)
{
	struct member *workspace = member_find(plan->builder, WORKSPACE_MEMBER);

	if (databases_each(plan, database_begin, err))
		return -1;
	if (has_shell(plan) && builder_member_make(plan->builder, workspace, tree, err))
		return -1;
	plan->leaks = json_object();
	if (loads_run(plan, err))
		return -1;
	/* Nothing of the repository runs any more: nobody sees what is masked now, and nobody writes to it. */
	member_unmake(plan->builder, workspace);
	if (databases_each(plan, database_mask, err) || databases_each(plan, database_scan, err) ||
	    databases_each(plan, database_rewrite, err) || databases_each(plan, database_settle, err) ||
	    databases_each(plan, database_stop, err))
		return -1;
	return commit_all(plan, version, err);
}

static int name_check(const char *name, struct err *err)
{
	size_t length = strlen(name);
	bool good = length && length <= 40;

	for (size_t i = 0; i < length; i++)
		good = good && ((name[i] >= 'a' && name[i] <= 'z') || (name[i] >= '0' && name[i] <= '9') || (i && name[i] == '-'));
	return good ? 0
		    : err_set(err, ERR_INVALID, "`%s` is no name for a snapshot: lower-case letters, digits, dashes; at most 40",
			      name);
}

/* ---- versions ---- */

static int seeds_build(struct environments *all, const struct builder_spec *spec, struct progress progress, const char *name,
		       int version, struct err *err)
{
	AUTO_FREE char *tree = NULL;
	AUTO_BUILDER builder = builder_begin(all, spec, err);
	__attribute__((cleanup(plan_fini))) struct plan plan = {.all = all, .builder = builder, .progress = progress, .name = name};

	if (!builder)
		return -1;
	for (size_t i = 0; i < builder->member_count; i++) {
		struct member *member = &builder->members[i];

		if (member->kind == MEMBER_DATABASE && member->target.database->seed &&
		    plan_seed_add(&plan, member, member->target.database->seed, err))
			return -1;
	}
	if (has_shell(&plan)) {
		tree = source_layer(all, spec->repository, spec->commit, spec->blueprint_text, false, progress, err);
		if (!tree)
			return -1;
	}
	return plan_run(&plan, tree, version, err);
}

int snapshot_from_seeds(struct environments *all, const struct builder_spec *spec, struct progress progress, char **snapshot,
			struct err *err)
{
	AUTO_BLUEPRINT blueprint = blueprint_parse(view_of(spec->blueprint_text), "assay.yaml", err);
	AUTO_FREE char *once = NULL;
	const char *name;
	int version = 0;
	int result;

	if (!blueprint)
		return -1;
	name = snapshot_name_of(blueprint);
	if (name_check(name, err))
		return -1;
	once = text_format("snapshot/%s", name);
	environments_once_begin(all, once);
	result = snapshot_version_last(all, name, true, &version, err);
	if (result == 0 && !version) {
		result = seeds_build(all, spec, progress, name, 1, err);
		version = 1;
	}
	environments_once_end(all, once);
	if (result)
		return err_prefix(err, "snapshot %s", name);
	*snapshot = text_format("%s/%d", name, version);
	return 0;
}

int snapshot_create(struct environments *environments, const char *name, const struct blueprint *blueprint,
		    const struct snapshot_source *sources, size_t source_count, struct progress progress, int *version,
		    struct err *err)
{
	AUTO_FREE char *text = NULL;
	AUTO_FREE char *once = text_format("snapshot/%s", name);
	AUTO_BUILDER builder = NULL;
	__attribute__((cleanup(plan_fini))) struct plan plan = {.all = environments, .progress = progress, .name = name};
	int last = 0;
	int result;

	if (name_check(name, err))
		return -1;
	if (!blueprint->database_count)
		return err_set(err, ERR_INVALID, "the blueprint %s has no databases", blueprint->name);
	text = builder_databases_text(blueprint->databases, blueprint->database_count);
	builder = builder_begin(environments, &(struct builder_spec){.blueprint_text = text}, err);
	if (!builder)
		return -1;
	plan.builder = builder;
	plan.blueprint = blueprint;
	if (plan_sources_add(&plan, sources, source_count, err))
		return -1;
	environments_once_begin(environments, once);
	result = snapshot_version_last(environments, name, false, &last, err);
	if (result == 0)
		result = plan_run(&plan, NULL, last + 1, err);
	environments_once_end(environments, once);
	if (result)
		return err_prefix(err, "snapshot %s", name);
	*version = last + 1;
	return 0;
}

int snapshot_create_from_seeds(struct environments *environments, const char *name, const char *repository,
			       const struct git_hash *commit, const char *blueprint, struct progress progress, int *version,
			       struct err *err)
{
	AUTO_FREE char *once = text_format("snapshot/%s", name);
	int last = 0;
	int result;

	if (name_check(name, err))
		return -1;
	environments_once_begin(environments, once);
	result = snapshot_version_last(environments, name, false, &last, err);
	if (result == 0)
		result = seeds_build(environments, &(struct builder_spec){repository, commit, blueprint}, progress, name, last + 1,
				     err);
	environments_once_end(environments, once);
	if (result)
		return err_prefix(err, "snapshot %s", name);
	*version = last + 1;
	return 0;
}
