/* The manager: the list of environments, its life, and how one comes up. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/span.h"
#include "sandbox/environment_priv.h"

#define BLUEPRINT_FILE "assay.yaml"
#define BLUEPRINT_MAX ((size_t)1 << 20)
#define SHORT_HASH 12

struct once {
	struct once *next;
	char *name;
};

/* ---- one environment and the list ---- */

struct environment *environment_new(struct environments *all, const struct env_id *id)
{
	struct environment *env = mem_new(sizeof(*env));

	env->all = all;
	env->id = id ? *id : env_id_new(all->world);
	env->references = 1;
	env->dir = text_format("%s/envs/%s", all->state_dir, env->id.text);
	(void)pthread_mutex_init(&env->operation, NULL);
	(void)pthread_mutex_init(&env->mutex, NULL);
	(void)pthread_mutex_init(&env->saving, NULL);
	env->state = ENV_STARTING;
	env->created_ms = env->state_since_ms = world_now_ms(all->world);
	env->touched_ms = world_elapsed_ms(all->world);
	env->marks = json_object();
	env->layers = json_object();
	return env;
}

static void environment_free(struct environment *env)
{
	char *const texts[] = {env->dir,        env->name,     env->purpose,        env->owner,
			       env->repository, env->snapshot, env->blueprint_text, env->snapshot_used};

	for (size_t i = 0; i < env->member_count; i++) {
		log_close(env->members[i].log);
		scope_close(&env->members[i].asked_fd);
		json_decref(env->members[i].image);
	}
	free(env->members);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		free(texts[i]);
	blueprint_free(env->blueprint);
	json_decref(env->credentials);
	json_decref(env->links);
	json_decref(env->own);
	json_decref(env->propagation);
	json_decref(env->marks);
	json_decref(env->layers);
	(void)pthread_mutex_destroy(&env->operation);
	(void)pthread_mutex_destroy(&env->mutex);
	(void)pthread_mutex_destroy(&env->saving);
	free(env);
}

void environment_release(struct environment *env)
{
	struct environments *all;
	bool last;

	if (!env)
		return;
	all = env->all;
	(void)pthread_mutex_lock(&all->mutex);
	last = --env->references == 0;
	(void)pthread_cond_broadcast(&all->changed);
	(void)pthread_mutex_unlock(&all->mutex);
	if (last)
		environment_free(env);
}

void scope_environment(struct environment **env)
{
	environment_release(*env);
}

/* The list holds a reference of its own. */
void environment_add(struct environment *env)
{
	struct environments *all = env->all;

	(void)pthread_mutex_lock(&all->mutex);
	all->list = mem_grow(all->list, all->count + 1, sizeof(struct environment *));
	all->list[all->count++] = env;
	env->references++;
	(void)pthread_mutex_unlock(&all->mutex);
}

void environment_unlist(struct environment *env)
{
	struct environments *all = env->all;
	bool found = false;

	(void)pthread_mutex_lock(&all->mutex);
	for (size_t i = 0; i < all->count; i++) {
		if (all->list[i] == env) {
			all->list[i] = all->list[--all->count];
			found = true;
			break;
		}
	}
	(void)pthread_mutex_unlock(&all->mutex);
	if (found)
		environment_release(env);
}

struct environment *environment_take(struct environments *all, struct env_id id, struct err *err)
{
	struct environment *env = NULL;

	(void)pthread_mutex_lock(&all->mutex);
	for (size_t i = 0; i < all->count && !env; i++)
		if (!all->list[i]->builder && strcmp(all->list[i]->id.text, id.text) == 0)
			env = all->list[i];
	if (env)
		env->references++;
	(void)pthread_mutex_unlock(&all->mutex);
	if (!env)
		(void)err_set(err, ERR_NOT_FOUND, "no environment %s", id.text);
	return env;
}

struct environment **environments_take_all(struct environments *all, size_t *count)
{
	struct environment **list;

	(void)pthread_mutex_lock(&all->mutex);
	*count = all->count;
	list = mem_new_array(all->count, sizeof(struct environment *));
	for (size_t i = 0; i < all->count; i++) {
		list[i] = all->list[i];
		list[i]->references++;
	}
	(void)pthread_mutex_unlock(&all->mutex);
	return list;
}

int environment_lock(struct environment *env, struct err *err)
{
	(void)pthread_mutex_lock(&env->operation);
	if (!environment_going(env))
		return 0;
	(void)pthread_mutex_unlock(&env->operation);
	return err_set(err, ERR_NOT_FOUND, "environment %s is being removed", env->name);
}

void environment_unlock(struct environment *env)
{
	(void)pthread_mutex_unlock(&env->operation);
}

void environment_touched(struct environment *env)
{
	int64_t grace_ms = env->blueprint ? env->blueprint->preview.grace_ms : 0;
	int64_t until_ms = world_now_ms(env->all->world) + grace_ms;

	(void)pthread_mutex_lock(&env->mutex);
	env->touched_ms = elapsed_ms(env->all);
	if (grace_ms && until_ms > env->expires_ms)
		env->expires_ms = until_ms;
	(void)pthread_mutex_unlock(&env->mutex);
}

static struct once *once_find(const struct environments *all, const char *name)
{
	for (struct once *once = all->onces; once; once = once->next)
		if (strcmp(once->name, name) == 0)
			return once;
	return NULL;
}

void environments_once_begin(struct environments *all, const char *name)
{
	struct once *once = mem_new(sizeof(*once));

	once->name = text_copy(name);
	(void)pthread_mutex_lock(&all->mutex);
	while (once_find(all, name))
		(void)pthread_cond_wait(&all->changed, &all->mutex);
	once->next = all->onces;
	all->onces = once;
	(void)pthread_mutex_unlock(&all->mutex);
}

void environments_once_end(struct environments *all, const char *name)
{
	struct once **at = &all->onces;
	struct once *once;

	(void)pthread_mutex_lock(&all->mutex);
	while (strcmp((*at)->name, name) != 0)
		at = &(*at)->next;
	once = *at;
	*at = once->next;
	(void)pthread_cond_broadcast(&all->changed);
	(void)pthread_mutex_unlock(&all->mutex);
	free(once->name);
	free(once);
}

/* ---- the manager's life ---- */

static int load_all(struct environments *all, struct err *err)
{
	AUTO_FREE char *dir = text_format("%s/envs", all->state_dir);
	AUTO_FREE char *trash = text_format("%s/trash", all->state_dir);
	AUTO_JSON names = NULL;
	json_t *name;
	size_t index;

	if (file_make_dirs(dir, 0750, err) || file_remove_tree(trash, err) || file_make_dirs(trash, 0750, err))
		return -1;
	names = directory_names(dir, err);
	if (!names)
		return -1;
	json_array_foreach(names, index, name) {
		struct environment *env;
		struct env_id id;
		struct err problem = {0};

		if (env_id_parse(view_of(json_string_value(name)), &id, NULL))
			continue;
		env = environment_load(all, id, &problem);
		if (!env) {
			/* Its record is broken or was never finished: reconciling removes what there is of it. */
			AUTO_FREE char *path = text_format("%s/%s", dir, id.text);

			log_warn("env=%s forgotten: %s", id.text, problem.text);
			if (file_remove_tree(path, err))
				return -1;
			continue;
		}
		environment_add(env);
		environment_release(env);
	}
	return 0;
}

int environments_open(const struct environments_options *options, struct environments **environments, struct err *err)
{
	struct environments *all = mem_new(sizeof(*all));

	all->state_dir = text_copy(options->state_dir);
	all->layer_marks = json_object();
	all->preview_base = text_copy(options->preview_base);
	all->provider = options->provider;
	all->world = options->world;
	all->gateway = options->gateway;
	all->governed = options->gateway != NULL;
	all->authority = options->authority;
	all->mask_key = options->mask_key;
	all->preview_url = options->preview_url;
	all->preview_link = options->preview_link;
	all->self = options->self;
	all->pool.warm = options->warm;
	all->egress = options->egress;
	(void)pthread_rwlock_init(&all->gateway_lock, NULL);
	(void)pthread_mutex_init(&all->mutex, NULL);
	(void)pthread_cond_init(&all->changed, NULL);
	all->pump = log_pump_open(monitor_hint, all, err);
	if (!all->pump || load_all(all, err) || monitor_start(all, err)) {
		environments_close(all);
		return err_prefix(err, "environments in %s", options->state_dir);
	}
	*environments = all;
	return 0;
}

/* The clean stop of one environment: databases write what they have, the state says what should be again. */
static void close_one(struct environment *env)
{
	enum environment_state state;

	(void)pthread_mutex_lock(&env->operation);
	state = environment_state_of(env);
	if (environment_leaves(env)) {
		(void)!environment_remove_locked(env, NULL); /* or the next manager does */
	} else if (!env->builder) {
		if (state == ENV_FROZEN && !env->cold)
			(void)!provider_env_freeze(env->all->provider, env->id, false, NULL);
		if ((state == ENV_READY || state == ENV_FROZEN) && !env->cold)
			environment_stop_members(env, true);
		(void)!provider_env_stop(env->all->provider, env->id, NULL);
	}
	gateway_env_gone(env);
	(void)pthread_mutex_unlock(&env->operation);
}

void environments_close(struct environments *all)
{
	if (!all)
		return;
	__atomic_store_n(&all->closing, true, __ATOMIC_RELAXED);
	monitor_stop(all);
	pool_close(all);
	for (;;) {
		struct environment *env = NULL;

		(void)pthread_mutex_lock(&all->mutex);
		if (all->count) {
			env = all->list[0];
			env->references++;
		}
		(void)pthread_mutex_unlock(&all->mutex);
		if (!env)
			break;
		close_one(env);
		environment_unlist(env);
		(void)pthread_mutex_lock(&all->mutex);
		while (env->references > 1) /* callers that are still in it: they see `closing` */
			(void)pthread_cond_wait(&all->changed, &all->mutex);
		(void)pthread_mutex_unlock(&all->mutex);
		environment_release(env);
	}
	log_pump_close(all->pump);
	(void)pthread_rwlock_destroy(&all->gateway_lock);
	(void)pthread_mutex_destroy(&all->mutex);
	(void)pthread_cond_destroy(&all->changed);
	json_decref(all->layer_marks);
	free(all->list);
	free(all->state_dir);
	free(all->preview_base);
	free(all);
}

/* ---- up and down ---- */

static int blueprint_read(struct environment *env, const struct environment_spec *spec, struct err *err)
{
	AUTO_BUF text = buf_new(BLUEPRINT_MAX);
	AUTO_FREE char *where = text_format("%.*s:" BLUEPRINT_FILE, SHORT_HASH, spec->commit.text);

	if (spec->blueprint)
		env->blueprint_text = text_copy(spec->blueprint);
	else if (git_file_read(spec->repository, &spec->commit, BLUEPRINT_FILE, &text, err))
		return -1;
	else
		env->blueprint_text = view_copy(buf_view(&text));
	env->blueprint = blueprint_parse(view_of(env->blueprint_text), spec->blueprint ? BLUEPRINT_FILE : where, err);
	return env->blueprint ? 0 : -1;
}

static void layer_set(struct environment *env, const char *volume, const char *layer)
{
	(void)pthread_mutex_lock(&env->mutex);
	(void)json_object_set_new(env->layers, volume, json_pack("[s]", layer));
	(void)pthread_mutex_unlock(&env->mutex);
}

struct environment *environment_plan(struct environments *all, const struct environment_spec *spec, struct err *err)
{
	AUTO_ENVIRONMENT env = environment_new(all, NULL);

	env->purpose = text_copy(spec->purpose ? spec->purpose : "");
	env->owner = text_copy(spec->owner ? spec->owner : "");
	env->repository = text_copy(spec->repository);
	env->commit = spec->commit;
	env->snapshot = text_copy(spec->snapshot);
	env->volatile_ = spec->volatile_;
	env->no_services = spec->no_services;
	if (blueprint_read(env, spec, err))
		return NULL;
	env->name = text_copy(spec->name ? spec->name : env->blueprint->name);
	env->expires_ms = env->created_ms + env->blueprint->preview.grace_ms;
	if (spec->tool) {
		AUTO_FREE char *layer = text_format(TOOL_LAYERS "%s", spec->tool);

		layer_set(env, TOOL_VOLUME, layer);
	}
	if (spec->snapshot) { /* a wrong name leaves nothing behind */
		AUTO_FREE char *used = snapshot_resolve(all, env->blueprint, env->snapshot, err);

		if (!used)
			return NULL;
	}
	if ((spec->below.text[0] && shared_plan(env, spec, err)) || members_plan(env, err))
		return NULL;
	return TAKE(env);
}

static int snapshot_choose(struct environment *env, struct progress progress, struct err *err)
{
	struct err problem = {0};
	char *used = snapshot_resolve(env->all, env->blueprint, env->snapshot, &problem);
	bool seeds = false;

	if (!used && problem.kind != ERR_NONE) {
		if (err)
			*err = problem;
		return -1;
	}
	for (size_t i = 0; i < env->blueprint->database_count; i++)
		seeds = seeds || env->blueprint->databases[i].seed;
	if (!used && seeds &&
	    snapshot_from_seeds(env->all, &(struct builder_spec){env->repository, &env->commit, env->blueprint_text}, progress,
				&used, err))
		return -1;
	(void)pthread_mutex_lock(&env->mutex);
	free(env->snapshot_used);
	env->snapshot_used = used;
	(void)pthread_mutex_unlock(&env->mutex);
	return 0;
}

/* Which layers each volume stands on; those that do not exist are built. */
static int layers_choose(struct environment *env, struct progress progress, struct err *err)
{
	AUTO_FREE char *tree = NULL;

	if (snapshot_choose(env, progress, err))
		return -1;
	for (size_t i = 0; i < env->member_count; i++) {
		struct member *member = &env->members[i];
		AUTO_FREE char *layer = NULL;

		if (member->kind != MEMBER_DATABASE)
			continue;
		layer = snapshot_layer(env->all, env->snapshot_used, member->target.database, progress, err);
		if (!layer)
			return -1;
		layer_set(env, member->volume, layer);
	}
	tree = source_layer(env->all, env->repository, &env->commit, env->blueprint_text, !env->no_services, progress, err);
	if (!tree)
		return -1;
	layer_set(env, WORK_VOLUME, tree);
	return 0;
}

static int up_steps(struct environment *env, struct progress progress, struct err *err)
{
	int result = shared_below_there(env, err) || environment_save(env, err) ? -1 : 0;

	if (result == 0 && !env->adopted)
		result = provider_env_make(env->all->provider, env->id, err);
	if (result == 0)
		result = layers_choose(env, progress, err);
	if (result == 0)
		result = gateway_env_put(env, err);
	if (result == 0)
		result = environment_start(env, START_VOLUMES | START_MIGRATE, progress, err);
	if (result)
		return -1;
	environment_move(env, ENV_READY);
	environment_touched(env);
	pool_want(env);
	return environment_save(env, err);
}

void environment_span_begin(const struct environment *env, struct span *span, const char *what)
{
	if (env->owner && env->owner[0])
		span_begin_run(span, env->owner, "%s", what);
	else
		span_begin(span, SPAN_INTERNAL, "%s", what);
	span_text(span, "assay.environment", env->id.text);
	span_text(span, "assay.environment.purpose", env->purpose);
}

int environment_up_locked(struct environment *env, struct progress progress, struct err *err)
{
	struct span span;
	int result;

	environment_span_begin(env, &span, "environment up");
	result = up_steps(env, progress, err);
	span_end(&span, result ? err : NULL);
	return result;
}

int environment_up(struct environments *environments, const struct environment_spec *spec, bool keep_failed,
		   struct progress progress, struct env_id *id, struct err *err)
{
	struct err problem = {0};
	AUTO_ENVIRONMENT env = NULL;
	struct environment *spare;
	bool full;
	int result;

	(void)pthread_mutex_lock(&environments->mutex);
	full = environments->count >= ENVIRONMENTS_MAX;
	(void)pthread_mutex_unlock(&environments->mutex);
	if (full)
		return err_set(err, ERR_LIMIT, "there are already %d environments", ENVIRONMENTS_MAX);
	env = environment_plan(environments, spec, err);
	if (!env)
		return -1;
	spare = pool_take_whole(env);
	if (spare) {
		environment_release(env);
		env = spare;
		*id = env->id;
		result = environment_save(env, err);
		environment_unlock(env);
		return result;
	}
	spare = pool_adopt(env);
	environment_add(env);
	if (spare) {
		environment_unlist(spare);
		environment_release(spare);
	}
	*id = env->id;
	if (environment_lock(env, err))
		return -1;
	result = environment_up_locked(env, progress, &problem);
	if (result) {
		if (problem.kind != ERR_CANCELLED && environment_ground_lost(env) && environment_unstopped(env, &problem) == 0)
			problem.kind = ERR_RETRY; /* whatever did not come up: it is not the application's fault */
		if (err)
			*err = problem;
		if (!keep_failed || environment_going(env)) {
			if (!__atomic_load_n(&env->all->closing, __ATOMIC_RELAXED))
				(void)!environment_remove_locked(env, NULL); /* or the monitor does */
		} else {
			environment_failed(env, &problem);
			environment_still(env);
			if (environment_save(env, &problem))
				log_error("env=%s %s", env->id.text, problem.text);
		}
	}
	environment_unlock(env);
	return result;
}
