/* What environments are, asked by people and by the rest of the program; and the small things that are set on them. */
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "sandbox/environment_priv.h"

#define MEMINFO_MAX ((size_t)1 << 14)
#define ROOM_SHARE 2          /* of what is free, this part: others start programs, too */
#define LINKS_REFUSED_MAX 256 /* of an environment */

static int by_age(const void *a, const void *b)
{
	const struct environment *const *left = (const struct environment *const *)a;
	const struct environment *const *right = (const struct environment *const *)b;

	return (*left)->created_ms < (*right)->created_ms ? 1 : (*left)->created_ms > (*right)->created_ms ? -1 : 0;
}

json_t *environment_list(struct environments *environments, struct err *err)
{
	size_t count = 0;
	struct environment **list = environments_take_all(environments, &count);
	json_t *result = json_array();

	(void)err;
	qsort(list, count, sizeof(struct environment *), by_age);
	for (size_t i = 0; i < count; i++) {
		if (!list[i]->builder)
			(void)json_array_append_new(result, environment_json(list[i], false));
		environment_release(list[i]);
	}
	free(list);
	return result;
}

json_t *environment_show(struct environments *environments, struct env_id id, struct err *err)
{
	AUTO_ENVIRONMENT env = environment_take(environments, id, err);

	return env ? environment_json(env, true) : NULL;
}

/* "MemAvailable:   1234 kB" */
static int64_t memory_free(void)
{
	AUTO_BUF text = buf_new(MEMINFO_MAX);
	struct view rest;

	if (file_read("/proc/meminfo", &text, NULL))
		return 0;
	rest = buf_view(&text);
	while (rest.length) {
		struct view line = view_cut(rest, '\n', &rest);
		struct view value;
		uint64_t kilobytes;

		if (view_is(view_cut(line, ':', &value), "MemAvailable") &&
		    view_to_u64(view_cut(view_trim(value), ' ', &value), &kilobytes) && kilobytes < INT64_MAX >> 10)
			return (int64_t)kilobytes << 10;
	}
	return 0;
}

size_t environment_room(struct environments *environments, struct env_id like)
{
	AUTO_JSON shown = environments->provider.ops->elsewhere ? NULL : environment_show(environments, like, NULL);
	int64_t bytes = 0;
	size_t index;
	json_t *sandbox;

	json_array_foreach(json_member(shown, "sandboxes"), index, sandbox)
		bytes += json_number(sandbox, "memory_bytes", 0);
	return bytes > 0 ? (size_t)(memory_free() / ROOM_SHARE / bytes) : 0;
}

int environment_find(struct environments *environments, const char *text, struct env_id *id, struct err *err)
{
	size_t exact = 0;
	size_t loose = 0;

	(void)pthread_mutex_lock(&environments->mutex);
	for (size_t i = 0; i < environments->count; i++) {
		const struct environment *env = environments->list[i];
		bool same = strcmp(env->id.text, text) == 0;

		if (env->builder)
			continue;
		if (same || strcmp(env->name, text) == 0) {
			if (!exact || same)
				*id = env->id;
			exact = same ? 1 : exact + 1;
			if (same)
				break;
		} else if (!exact && text[0] && strncmp(env->id.text, text, strlen(text)) == 0) {
			*id = env->id;
			loose++;
		}
	}
	(void)pthread_mutex_unlock(&environments->mutex);
	if (exact == 1 || (!exact && loose == 1))
		return 0;
	if (exact || loose)
		return err_set(err, ERR_CONFLICT, "`%s` is the name of %zu environments: give an id (assay env list)", text,
			       exact ? exact : loose);
	return err_set(err, ERR_NOT_FOUND, "no environment `%s`: `assay env list` shows them", text);
}

int environment_intact(struct environments *environments, struct env_id id, struct err *err)
{
	AUTO_ENVIRONMENT env = environment_take(environments, id, err);
	const char *destroyed = NULL;

	if (!env)
		return -1;
	if (environment_lock(env, err))
		return -1;
	(void)monitor_look(env);
	for (size_t i = 0; i < env->member_count && !destroyed; i++)
		if (env->members[i].destroyed)
			destroyed = env->members[i].name;
	environment_unlock(env);
	if (destroyed && environment_unstopped(env, err))
		return -1;
	return destroyed ? err_set(err, ERR_RETRY, "sandbox %s of environment %s was destroyed", destroyed, id.text) : 0;
}

char *environment_preview_url(struct environments *environments, struct env_id id)
{
	AUTO_ENVIRONMENT env = environment_take(environments, id, NULL);
	const char *port = environments->preview_base ? strrchr(environments->preview_base, ':') : NULL;
	AUTO_FREE char *path = NULL;
	const char *given;
	char *elsewhere;
	int64_t serial;

	if (!env || !env->blueprint || !env->blueprint->preview.service || env->no_services || !environments->preview_base)
		return NULL;
	given = env->blueprint->preview.path ? env->blueprint->preview.path : "/";
	path = text_format("%s%s", given[0] == '/' ? "" : "/", given);
	(void)pthread_mutex_lock(&env->mutex);
	serial = json_number(env->links, "serial", 0);
	(void)pthread_mutex_unlock(&env->mutex);
	elsewhere = environments->preview_url ? environments->preview_url(environments->self, id.text, path, serial) : NULL;
	return elsewhere ? elsewhere : text_format("http://%s.localhost%s%s", id.text, port ? port : "", path);
}

/* What was taken back, and one more (NULL: all so far), without those that have ended. Owned by the caller; NULL: too many. */
static json_t *links_without(const json_t *before, const struct preview_link *link, int64_t now_s, struct err *err)
{
	int64_t serial = json_number(before, "serial", 0) + 1;
	json_t *refused = json_array();
	size_t index;
	json_t *each;

	json_array_foreach(json_member(before, "refused"), index, each)
		if (link && json_integer_value(json_array_get(each, 1)) > now_s)
			(void)json_array_append(refused, each);
	if (link)
		(void)json_array_append_new(refused, json_pack("[I, I]", (json_int_t)link->serial, (json_int_t)link->ends_s));
	if (json_array_size(refused) > LINKS_REFUSED_MAX) {
		json_decref(refused);
		(void)err_set(err, ERR_LIMIT, "%d links of it were taken back one by one: take back all", LINKS_REFUSED_MAX);
		return NULL;
	}
	return json_pack("{s:I, s:I, s:o}", "serial", (json_int_t)serial, "from",
			 (json_int_t)(link ? json_number(before, "from", 0) : serial), "refused", refused);
}

static int links_take_back(struct environment *env, const struct preview_link *link, struct err *err)
{
	int64_t now_s = world_now_ms(env->all->world) / 1000;
	json_t *after;

	(void)pthread_mutex_lock(&env->mutex);
	after = links_without(env->links, link, now_s, err);
	if (after) {
		json_decref(env->links);
		env->links = after;
	}
	(void)pthread_mutex_unlock(&env->mutex);
	return after ? environment_save(env, err) : -1;
}

int environment_links_revoke(struct environments *environments, struct env_id id, const char *link, struct err *err)
{
	AUTO_ENVIRONMENT env = environment_take(environments, id, err);
	struct preview_link found;

	if (!env)
		return -1;
	if (!environments->preview_link)
		return err_set(err, ERR_INVALID,
			       "there are no links to previews: they are for this machine only (--preview-domain)");
	if (link && environments->preview_link(environments->self, id.text, link, &found, err))
		return -1;
	return links_take_back(env, link ? &found : NULL, err) || gateway_links(env, err) ? -1 : 0;
}

int environment_pin(struct environments *environments, struct env_id id, bool pinned, struct err *err)
{
	AUTO_ENVIRONMENT env = environment_take(environments, id, err);

	if (!env)
		return -1;
	(void)pthread_mutex_lock(&env->mutex);
	env->pinned = pinned;
	(void)pthread_mutex_unlock(&env->mutex);
	return environment_save(env, err);
}

int environment_extend(struct environments *environments, struct env_id id, int64_t grace_ms, struct err *err)
{
	AUTO_ENVIRONMENT env = environment_take(environments, id, err);

	if (!env)
		return -1;
	if (grace_ms < 0)
		return err_set(err, ERR_INVALID, "a grace period is not negative");
	(void)pthread_mutex_lock(&env->mutex);
	env->expires_ms = world_now_ms(environments->world) + grace_ms;
	(void)pthread_mutex_unlock(&env->mutex);
	return environment_save(env, err);
}

int environment_logs(struct environments *environments, struct env_id id, const char *sandbox, int lines, int64_t *from,
		     struct buf *output, struct err *err)
{
	AUTO_ENVIRONMENT env = environment_take(environments, id, err);
	AUTO_FREE char *dir = NULL;

	if (!env)
		return -1;
	if (sandbox && !member_find(env, sandbox))
		return err_set(err, ERR_NOT_FOUND, "environment %s has no sandbox `%s`", env->name, sandbox);
	dir = text_format("%s/log", env->dir);
	return log_read(dir, sandbox ? sandbox : "all", lines, from, output, err);
}
