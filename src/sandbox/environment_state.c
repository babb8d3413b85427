/* What an environment is, as a table of states, as a file that survives a crash, and as JSON for people. */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "sandbox/environment_priv.h"

#define STATE_FILE_MAX ((size_t)1 << 20)
#define BLUEPRINT_MAX ((size_t)1 << 20)
#define BIT(state) (1u << (state))

static const struct {
	const char *name;
	unsigned next; /* states it may move to */
} states[ENV_STATE_COUNT] = {
	[ENV_STARTING] = {"starting", BIT(ENV_READY) | BIT(ENV_FAILED) | BIT(ENV_STOPPED)},
	[ENV_READY] = {"ready", BIT(ENV_FROZEN) | BIT(ENV_STARTING) | BIT(ENV_FAILED) | BIT(ENV_STOPPED)},
	[ENV_FROZEN] = {"frozen", BIT(ENV_READY) | BIT(ENV_STARTING) | BIT(ENV_FAILED) | BIT(ENV_STOPPED)},
	[ENV_FAILED] = {"failed", BIT(ENV_READY) | BIT(ENV_STARTING) | BIT(ENV_STOPPED)},
	[ENV_STOPPED] = {"stopped", BIT(ENV_STARTING) | BIT(ENV_FROZEN) | BIT(ENV_FAILED)},
};

static const char *const member_states[] = {
	[MEMBER_ABSENT] = "stopped",  [MEMBER_STARTING] = "starting", [MEMBER_READY] = "ready",
	[MEMBER_RUNNING] = "running", [MEMBER_EXITED] = "exited",     [MEMBER_FAILED] = "failed",
};

static const char *const member_kinds[] = {
	[MEMBER_SERVICE] = "service", [MEMBER_WORKER] = "worker", [MEMBER_DATABASE] = "database", [MEMBER_WORKSPACE] = "workspace"};

const char *environment_state_name(enum environment_state state)
{
	return states[state].name;
}

const char *member_state_name(enum member_state state)
{
	return member_states[state];
}

const char *member_kind_name(enum member_kind kind)
{
	return member_kinds[kind];
}

enum environment_state environment_state_of(struct environment *env)
{
	enum environment_state state;

	(void)pthread_mutex_lock(&env->mutex);
	state = env->state;
	(void)pthread_mutex_unlock(&env->mutex);
	return state;
}

void environment_move(struct environment *env, enum environment_state state)
{
	bool moves;

	(void)pthread_mutex_lock(&env->mutex);
	moves = env->state != state;
	assert(!moves || (states[env->state].next & BIT(state)));
	env->state = state;
	if (moves)
		env->state_since_ms = world_now_ms(env->all->world);
	if (state != ENV_FAILED)
		env->error[0] = '\0';
	(void)pthread_mutex_unlock(&env->mutex);
	if (moves && !env->builder)
		gateway_env_state(env, state);
}

json_t *directory_names(const char *path, struct err *err)
{
	DIR *directory = opendir(path);
	json_t *names = json_array();

	if (!directory) {
		json_decref(names);
		(void)err_errno(err, errno, "cannot read %s", path);
		return NULL;
	}
	for (struct dirent *entry = readdir(directory); entry; entry = readdir(directory))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			(void)json_array_append_new(names, json_string(entry->d_name));
	(void)closedir(directory);
	return names;
}

static char *state_path(const struct environment *env, const char *file)
{
	return text_format("%s/%s", env->dir, file);
}

static json_t *text_or_null(const char *text)
{
	return text ? json_string(text) : json_null();
}

int environment_save(struct environment *env, struct err *err)
{
	AUTO_FREE char *path = state_path(env, "state.json");
	AUTO_FREE char *blueprint = state_path(env, "assay.yaml");
	AUTO_JSON json = json_object();
	AUTO_BUF text = buf_new(STATE_FILE_MAX);
	int result;

	if (env->builder)
		return 0;
	(void)pthread_mutex_lock(&env->saving); /* what was formatted later is written later */
	(void)pthread_mutex_lock(&env->mutex);
	(void)json_object_set_new(json, "id", json_string(env->id.text));
	(void)json_object_set_new(json, "name", json_string(env->name));
	(void)json_object_set_new(json, "purpose", json_string(env->purpose));
	(void)json_object_set_new(json, "owner", json_string(env->owner));
	(void)json_object_set_new(json, "repository", json_string(env->repository));
	(void)json_object_set_new(json, "commit", json_string(env->commit.text));
	(void)json_object_set_new(json, "snapshot_wanted", text_or_null(env->snapshot));
	(void)json_object_set_new(json, "snapshot", text_or_null(env->snapshot_used));
	(void)json_object_set_new(json, "volatile", json_boolean(env->volatile_));
	(void)json_object_set_new(json, "no_services", json_boolean(env->no_services));
	if (env->below.text[0]) {
		(void)json_object_set_new(json, "below", json_string(env->below.text));
		(void)json_object_set(json, "own", env->own);
	}
	(void)json_object_set_new(json, "pinned", json_boolean(env->pinned));
	(void)json_object_set_new(json, "created_ms", json_integer(env->created_ms));
	(void)json_object_set_new(json, "expires_ms", json_integer(env->expires_ms));
	(void)json_object_set_new(json, "state", json_string(states[env->state].name));
	(void)json_object_set_new(json, "error", json_string(env->error));
	(void)json_object_set_new(json, "going", json_boolean(environment_leaves(env)));
	if (env->links)
		(void)json_object_set(json, "links", env->links);
	(void)json_object_set(json, "marks", env->marks);
	(void)json_object_set(json, "layers", env->layers);
	json_format_pretty(&text, json);
	(void)pthread_mutex_unlock(&env->mutex);
	result = buf_finish(&text, err) || file_make_dirs(env->dir, 0750, err) ||
				 (!file_exists(blueprint) && file_replace(blueprint, view_of(env->blueprint_text), 0640, err)) ||
				 file_replace(path, buf_view(&text), 0640, err)
			 ? -1
			 : 0;
	(void)pthread_mutex_unlock(&env->saving);
	return result;
}

static enum environment_state state_of(const char *name)
{
	for (size_t i = 0; i < ENV_STATE_COUNT; i++)
		if (strcmp(states[i].name, name) == 0)
			return (enum environment_state)i;
	return ENV_STOPPED;
}

static void texts_load(struct environment *env, const json_t *json)
{
	const char *wanted = json_text(json, "snapshot_wanted", NULL);

	env->name = text_copy(json_text(json, "name", env->id.text));
	env->purpose = text_copy(json_text(json, "purpose", ""));
	env->owner = text_copy(json_text(json, "owner", ""));
	env->repository = text_copy(json_text(json, "repository", ""));
	env->snapshot = text_copy(wanted);
	env->snapshot_used = text_copy(json_text(json, "snapshot", NULL));
	env->volatile_ = json_flag(json, "volatile", false);
	env->no_services = json_flag(json, "no_services", false);
	(void)!env_id_parse(view_of(json_text(json, "below", "")), &env->below, NULL);
	env->own = json_incref(json_member(json, "own"));
	env->pinned = json_flag(json, "pinned", false);
	env->going = env->lingers = json_flag(json, "going", false);
	env->created_ms = json_number(json, "created_ms", 0);
	env->expires_ms = json_number(json, "expires_ms", 0);
	env->state = state_of(json_text(json, "state", "stopped"));
	env->state_since_ms = world_now_ms(env->all->world);
	(void)snprintf(env->error, sizeof(env->error), "%s", json_text(json, "error", ""));
}

struct environment *environment_load(struct environments *all, struct env_id id, struct err *err)
{
	AUTO_ENVIRONMENT env = environment_new(all, &id);
	AUTO_FREE char *path = state_path(env, "state.json");
	AUTO_FREE char *blueprint = state_path(env, "assay.yaml");
	AUTO_BUF text = buf_new(STATE_FILE_MAX);
	AUTO_BUF yaml = buf_new(BLUEPRINT_MAX);
	AUTO_JSON json = NULL;
	json_t *part;

	if (file_read(path, &text, err) || file_read(blueprint, &yaml, err))
		return NULL;
	json = json_parse(buf_view(&text), err);
	if (!json || git_hash_parse(view_of(json_text(json, "commit", "")), &env->commit, err)) {
		(void)err_prefix(err, "%s", path);
		return NULL;
	}
	texts_load(env, json);
	part = json_member(json, "layers");
	if (json_is_object(part)) {
		json_decref(env->layers);
		env->layers = json_incref(part);
	}
	env->links = json_incref(json_member(json, "links"));
	part = json_member(json, "marks");
	if (json_is_object(part)) {
		json_decref(env->marks);
		env->marks = json_incref(part);
	}
	env->cold = true;
	env->blueprint_text = view_copy(buf_view(&yaml));
	env->blueprint = blueprint_parse(buf_view(&yaml), "assay.yaml", err);
	if (!env->blueprint || members_plan(env, err))
		return NULL;
	return TAKE(env);
}

static json_t *member_json(struct environment *env, struct member *member, bool usage, unsigned *unlimited)
{
	struct sandbox_usage used = {0};
	bool made;
	json_t *json = json_object();

	(void)pthread_mutex_lock(&env->mutex);
	made = member->made;
	(void)json_object_set_new(json, "name", json_string(member->name));
	(void)json_object_set_new(json, "kind", json_string(member_kinds[member->kind]));
	(void)json_object_set_new(json, "state", json_string(member_states[member->state]));
	(void)json_object_set_new(json, "port", json_integer(member->port));
	(void)json_object_set_new(json, "restarts", json_integer(member->restarts));
	(void)json_object_set_new(json, "ready_ms", json_integer(member->ready_ms));
	if (member->has_exit && !member->running) {
		AUTO_BUF text = buf_new(256);

		exit_status_format(&text, member->exit);
		if (member->exit.reason == EXIT_OOM && member->service && member->service->limits.memory_bytes)
			buf_add_format(&text, " (limit %lld MiB)", (long long)(member->service->limits.memory_bytes >> 20));
		(void)json_object_set_new(json, "exit", json_string(text.at ? text.at : ""));
	}
	(void)pthread_mutex_unlock(&env->mutex);
	if (usage && made && provider_sandbox_usage(env->all->provider, env->id, member->name, &used, NULL) == 0) {
		(void)json_object_set_new(json, "memory_bytes", json_integer(used.memory_bytes));
		(void)json_object_set_new(json, "cpu_ms", json_integer(used.cpu_ms));
		(void)json_object_set_new(json, "oom_kills", json_integer(used.oom_kills));
		(void)json_object_set_new(json, "pids_refused", json_integer(used.pids_refused));
		*unlimited |= used.unlimited;
	} else {
		(void)json_object_set_new(json, "memory_bytes", json_integer(0));
		(void)json_object_set_new(json, "cpu_ms", json_integer(0));
		(void)json_object_set_new(json, "oom_kills", json_integer(0));
		(void)json_object_set_new(json, "pids_refused", json_integer(0));
	}
	return json;
}

/* Names of the limits that are not kept here. */
static json_t *limits_json(unsigned unlimited)
{
	json_t *names = json_array();

	if (unlimited & LIMIT_MEMORY)
		(void)json_array_append_new(names, json_string("memory"));
	if (unlimited & LIMIT_CPU)
		(void)json_array_append_new(names, json_string("cpus"));
	if (unlimited & LIMIT_PIDS)
		(void)json_array_append_new(names, json_string("pids"));
	return names;
}

json_t *environment_json(struct environment *env, bool usage)
{
	AUTO_FREE char *preview = environment_preview_url(env->all, env->id);
	AUTO_FREE char *repository = text_copy(env->repository);
	char *base = repository ? strrchr(repository, '/') : NULL;
	json_t *members = json_array();
	json_t *json = json_object();
	unsigned unlimited = 0;

	for (size_t i = 0; i < env->member_count; i++)
		(void)json_array_append_new(members, member_json(env, &env->members[i], usage, &unlimited));
	/* <state>/repos/<name>.git is shown as its name. */
	base = base ? base + 1 : repository;
	if (base && strlen(base) > 4 && strcmp(base + strlen(base) - 4, ".git") == 0)
		base[strlen(base) - 4] = '\0';
	(void)pthread_mutex_lock(&env->mutex);
	(void)json_object_set_new(json, "id", json_string(env->id.text));
	(void)json_object_set_new(json, "name", json_string(env->name));
	(void)json_object_set_new(json, "purpose", json_string(env->purpose));
	(void)json_object_set_new(json, "owner", json_string(env->owner));
	(void)json_object_set_new(json, "state", json_string(states[env->state].name));
	(void)json_object_set_new(json, "state_since_ms", json_integer(env->state_since_ms));
	(void)json_object_set_new(json, "repository", text_or_null(base));
	(void)json_object_set_new(json, "commit", json_string(env->commit.text));
	(void)json_object_set_new(json, "snapshot", text_or_null(env->snapshot_used));
	(void)json_object_set_new(json, "created_ms", json_integer(env->created_ms));
	(void)json_object_set_new(json, "expires_ms", json_integer(env->expires_ms));
	(void)json_object_set_new(json, "pinned", json_boolean(env->pinned));
	(void)json_object_set_new(json, "preview", text_or_null(preview));
	(void)json_object_set_new(json, "door_mode", json_string(door_mode_name(env->all->provider.ops->door_mode)));
	if (env->error[0])
		json_set_bytes(json, "error", view_of(env->error));
	(void)pthread_mutex_unlock(&env->mutex);
	shared_show(env, json);
	(void)json_object_set_new(json, "sandboxes", members);
	if (unlimited)
		(void)json_object_set_new(json, "unlimited", limits_json(unlimited));
	return json;
}
