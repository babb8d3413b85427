/*
 * Environments that stand on another one, their baseline: only the services that changed are forked, the rest answers there
 * (gateway/shared.h). Databases are always their own: shared rows are where environments lie to each other. A verdict is never made in one.
 */
#include <stdlib.h>

#include "sandbox/environment_priv.h"

#define PROPAGATION_MAX 64

bool environment_owns(const struct environment *env, const char *service)
{
	size_t index;
	json_t *name;

	if (!env->below.text[0])
		return true;
	json_array_foreach(env->own, index, name)
		if (strcmp(json_string_value(name), service) == 0)
			return true;
	return false;
}

size_t environment_stood_on(struct environment *env)
{
	size_t count = 0;

	(void)pthread_mutex_lock(&env->all->mutex);
	for (size_t i = 0; i < env->all->count; i++)
		count += !environment_leaves(env->all->list[i]) && strcmp(env->all->list[i]->below.text, env->id.text) == 0;
	(void)pthread_mutex_unlock(&env->all->mutex);
	return count;
}

int environment_stood_on_refuse(struct environment *env, const char *what, struct err *err)
{
	size_t count = environment_stood_on(env);

	return count ? err_set(err, ERR_CONFLICT, "%zu environment%s stand%s on %s: it cannot be %s", count, count == 1 ? "" : "s",
			       count == 1 ? "s" : "", env->name, what)
		     : 0;
}

/* ---- which services are its own ---- */

static bool is_below(const char *path, const char *dir)
{
	size_t length = strlen(dir);

	if (strcmp(dir, ".") == 0)
		return true;
	return strncmp(path, dir, length) == 0 && path[length] == '/';
}

/* The length of the folder by which a service has a file; 0: it has not. */
static size_t claim_of(const struct service *service, const char *path)
{
	const char *dir = service->dir ? service->dir : ".";

	return is_below(path, dir) ? (strcmp(dir, ".") == 0 ? 1 : strlen(dir) + 1) : 0;
}

/* What only people or tests read changes no service. */
static bool is_harmless(const struct blueprint *blueprint, const char *path)
{
	if (view_ends(view_of(path), VIEW(".md")))
		return true;
	for (size_t i = 0; i < blueprint->test_count; i++)
		for (size_t k = 0; k < blueprint->tests[i].files.count; k++)
			if (glob_match(blueprint->tests[i].files.at[k], path))
				return true;
	return false;
}

/* Who has a file in the narrowest folder; a file that nobody has is everybody's. */
static void owners_add(const struct blueprint *blueprint, const char *path, json_t *changed)
{
	size_t narrowest = 0;

	if (is_harmless(blueprint, path))
		return;
	for (size_t i = 0; i < blueprint->service_count; i++) {
		size_t claim = claim_of(&blueprint->services[i], path);

		narrowest = claim > narrowest ? claim : narrowest;
	}
	for (size_t i = 0; i < blueprint->service_count; i++)
		if (claim_of(&blueprint->services[i], path) == narrowest)
			(void)json_object_set_new(changed, blueprint->services[i].name, json_true());
}

/* [name] of services whose files differ between the two commits; owned by the caller. */
static json_t *changed_find(struct environment *env, const struct environment *below, struct err *err)
{
	AUTO_JSON changes = git_changes(env->repository, &below->commit, &env->commit, err);
	AUTO_JSON changed = json_object();
	json_t *names = json_array();
	const char *name;
	json_t *value;
	size_t index;

	json_array_foreach(changes, index, value) {
		owners_add(env->blueprint, json_text(value, "path", ""), changed);
		if (json_text(value, "old_path", NULL))
			owners_add(env->blueprint, json_text(value, "old_path", ""), changed);
	}
	json_object_foreach(changed, name, value)
		(void)json_array_append_new(names, json_string(name));
	if (changes && json_array_size(names))
		return names;
	json_decref(names);
	if (changes)
		(void)err_set(err, ERR_INVALID, "no service of %.12s differs from what %s has: name those that are to be its own",
			      env->commit.text, below->name);
	return NULL;
}

static int own_check(const struct environment *env, const json_t *services, struct err *err)
{
	size_t index;
	json_t *name;

	json_array_foreach((json_t *)(uintptr_t)services, index, name)
		if (!json_is_string(name) || !blueprint_service_find(env->blueprint, json_string_value(name)))
			return err_set(err, ERR_NOT_FOUND, "the blueprint has no service `%.60s`",
				       json_is_string(name) ? json_string_value(name) : "?");
	return 0;
}

/* The others must be there, at the same port. */
static int others_check(const struct environment *env, const struct environment *below, struct err *err)
{
	for (size_t i = 0; i < env->blueprint->service_count; i++) {
		const struct service *service = &env->blueprint->services[i];
		const struct service *there = blueprint_service_find(below->blueprint, service->name);

		if (environment_owns(env, service->name) || !service->port)
			continue;
		if (!there || there->port != service->port)
			return err_set(err, ERR_INVALID, "%s has no service `%s` at port %u: name it among those that are its own",
				       below->name, service->name, (unsigned)service->port);
	}
	return 0;
}

int shared_plan(struct environment *env, const struct environment_spec *spec, struct err *err)
{
	AUTO_ENVIRONMENT below = environment_take(env->all, spec->below, err);

	if (!below)
		return -1;
	if (below->below.text[0] || below->no_services || below->volatile_)
		return err_set(err, ERR_INVALID, "%s is no environment with all of its services: nothing can stand on it",
			       below->name);
	if (strcmp(below->repository, env->repository) != 0)
		return err_set(err, ERR_INVALID, "%s is of another repository", below->name);
	if (environment_awake(below, err) || own_check(env, spec->services, err))
		return -1;
	env->own = json_array_size(spec->services) ? json_incref((json_t *)(uintptr_t)spec->services)
						   : changed_find(env, below, err);
	if (!env->own)
		return -1;
	env->below = spec->below;
	return others_check(env, below, err);
}

int shared_below_there(struct environment *env, struct err *err)
{
	AUTO_ENVIRONMENT below = env->below.text[0] ? environment_take(env->all, env->below, err) : NULL;

	return env->below.text[0] && !below ? -1 : 0;
}

/* ---- what is told of it ---- */

void shared_names_add(const struct environment *env, json_t *names)
{
	for (size_t i = 0; env->below.text[0] && env->blueprint && i < env->blueprint->service_count; i++) {
		const struct service *service = &env->blueprint->services[i];

		if (service->port && !environment_owns(env, service->name))
			(void)json_object_set_new(names, service->name,
						  json_pack("{s:s, s:b, s:s, s:i}", "sandbox", service->name, "away", 1, "kind",
							    "service", "port", (int)service->port));
	}
}

int shared_note(struct environments *all, struct env_id id, const json_t *body, struct err *err)
{
	AUTO_ENVIRONMENT env = environment_take(all, id, err);
	AUTO_JSON note = json_pack("{s:s, s:s, s:s}", "from", json_text(body, "sandbox", ""), "to", json_text(body, "to", ""),
				   "why", json_text(body, "why", ""));
	size_t index;
	json_t *known;
	bool there = false;

	if (!env)
		return -1;
	(void)pthread_mutex_lock(&env->mutex);
	if (!env->propagation)
		env->propagation = json_array();
	json_array_foreach(env->propagation, index, known)
		there = there || json_equal(known, note);
	if (!there && json_array_size(env->propagation) < PROPAGATION_MAX)
		(void)json_array_append(env->propagation, note);
	(void)pthread_mutex_unlock(&env->mutex);
	return 0;
}

void shared_show(struct environment *env, json_t *json)
{
	if (!env->below.text[0])
		return;
	(void)json_object_set_new(json, "below", json_string(env->below.text));
	(void)json_object_set(json, "own", env->own);
	(void)pthread_mutex_lock(&env->mutex);
	(void)json_object_set_new(json, "propagation", env->propagation ? json_deep_copy(env->propagation) : json_array());
	(void)pthread_mutex_unlock(&env->mutex);
}
