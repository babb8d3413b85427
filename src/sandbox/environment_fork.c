/* Freezing, waking, forking and putting right: the life of environments after they came up. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "sandbox/environment_priv.h"

#define WAKES_MAX 5 /* in a row, of one whose ground went away each time */

static void environment_cold_set(struct environment *env, bool cold)
{
	(void)pthread_mutex_lock(&env->mutex);
	env->cold = cold;
	(void)pthread_mutex_unlock(&env->mutex);
}

/* Where freezing ends the programs, databases write what they have first, and what is woken is made again from the volumes. */
static int programs_freeze(struct environment *env, struct err *err)
{
	if (env->all->provider.ops->freeze_ends) {
		environment_stop_members(env, true);
		environment_cold_set(env, true); /* also where it fails now: nothing of it runs */
	}
	return provider_env_freeze(env->all->provider, env->id, true, err);
}

int environment_freeze_locked(struct environment *env, struct err *err)
{
	if (environment_state_of(env) == ENV_FROZEN)
		return 0;
	if (environment_stood_on_refuse(env, "frozen", err))
		return -1;
	if (environment_state_of(env) != ENV_READY)
		return err_set(err, ERR_CONFLICT, "environment %s is %s: only a ready one can be frozen", env->name,
			       environment_state_name(environment_state_of(env)));
	/* First the gateway: requests that come from now on wait for the thaw. */
	environment_move(env, ENV_FROZEN);
	if (!env->cold && programs_freeze(env, err)) {
		environment_move(env, ENV_READY);
		return -1;
	}
	return environment_save(env, err);
}

void environment_still(struct environment *env)
{
	struct err err = {0};

	if (env->cold || environment_going(env))
		return;
	if (provider_env_freeze(env->all->provider, env->id, true, &err)) {
		log_info("env=%s failed, and runs on: %s", env->id.text, err.text);
		return;
	}
	(void)pthread_mutex_lock(&env->mutex);
	env->still = true;
	(void)pthread_mutex_unlock(&env->mutex);
}

void environment_failed(struct environment *env, const struct err *why)
{
	environment_move(env, ENV_FAILED);
	(void)pthread_mutex_lock(&env->mutex);
	(void)snprintf(env->error, sizeof(env->error), "%s", why->text);
	(void)pthread_mutex_unlock(&env->mutex);
}

static bool environment_is_still(struct environment *env)
{
	bool still;

	(void)pthread_mutex_lock(&env->mutex);
	still = env->still;
	(void)pthread_mutex_unlock(&env->mutex);
	return still;
}

/* Thawed sandboxes are new ones there: the gateway gets their doors. */
static int doors_put(struct environment *env, struct err *err)
{
	for (size_t i = 0; i < env->member_count; i++) {
		struct member *member = &env->members[i];

		(void)member_ended(env, member);
		if (member->made && gateway_member_put(env, member, err))
			return -1;
	}
	return 0;
}

/* It stays failed; its programs go on, where they can. */
static int still_end(struct environment *env, struct err *err)
{
	if (provider_env_freeze(env->all->provider, env->id, false, err) ||
	    (env->all->provider.ops->freeze_ends && doors_put(env, err)))
		return -1;
	(void)pthread_mutex_lock(&env->mutex);
	env->still = false;
	(void)pthread_mutex_unlock(&env->mutex);
	environment_touched(env);
	return 0;
}

static bool environment_cold(struct environment *env)
{
	bool cold;

	(void)pthread_mutex_lock(&env->mutex);
	cold = env->cold;
	(void)pthread_mutex_unlock(&env->mutex);
	return cold;
}

/* Makes the members again from the volumes: after a crash or a stop of ours. */
static int warm(struct environment *env, struct err *err)
{
	struct progress quiet = {0};

	environment_move(env, ENV_STARTING);
	/* Whatever is left of members belongs to nobody any more. */
	if (provider_env_stop(env->all->provider, env->id, err))
		return -1;
	members_forget(env);
	return gateway_env_put(env, err) || environment_start(env, 0, quiet, err) ? -1 : 0;
}

static bool member_exists(const struct member *member, const json_t *there)
{
	json_t *name;
	size_t index;

	json_array_foreach(json_member(there, "sandboxes"), index, name)
		if (strcmp(json_string_value(name), member->name) == 0)
			return true;
	return false;
}

/* Does the provider still have every member that we believe in? */
static bool members_exist(struct environment *env, const json_t *there)
{
	for (size_t i = 0; i < env->member_count; i++)
		if (env->members[i].made && !member_exists(&env->members[i], there))
			return false;
	return true;
}

static bool is_made(struct environment *env, size_t at)
{
	bool made;

	(void)pthread_mutex_lock(&env->mutex);
	made = env->members[at].made;
	(void)pthread_mutex_unlock(&env->mutex);
	return made;
}

static const json_t *there_find(const json_t *exists, const char *id)
{
	json_t *there;
	size_t index;

	json_array_foreach(exists, index, there)
		if (strcmp(json_text(there, "env", ""), id) == 0)
			return there;
	return NULL;
}

bool environment_ground_lost(struct environment *env)
{
	AUTO_FREE bool *before = mem_new_array(env->member_count + 1, sizeof(*before));
	AUTO_JSON exists = NULL;
	const json_t *there;
	bool lost = false;

	for (size_t i = 0; i < env->member_count; i++)
		before[i] = is_made(env, i);
	exists = provider_env_list(env->all->provider, NULL);
	if (!exists)
		return true;
	there = there_find(exists, env->id.text);
	for (size_t i = 0; i < env->member_count && !lost; i++)
		lost = before[i] && is_made(env, i) && !member_exists(&env->members[i], there);
	return lost;
}

static int stopped_set(const struct environment *env, const json_t *there, struct err *err)
{
	const char *why = json_text(there, "stopped", NULL);

	if (!why)
		return 0;
	return err_set(err, json_flag(there, "own_fault", false) ? ERR_INVALID : ERR_LIMIT, "environment %s was stopped: %s",
		       env->name ? env->name : env->id.text, why);
}

int environment_unstopped(struct environment *env, struct err *err)
{
	AUTO_JSON exists = provider_env_list(env->all->provider, NULL);

	return stopped_set(env, there_find(exists, env->id.text), err);
}

/* It did not come back because what it stood on went away again, or because we end: not a fault of its own. */
static bool wakes_later(struct environment *env, const struct err *why)
{
	AUTO_JSON exists = NULL;

	if (__atomic_load_n(&env->all->closing, __ATOMIC_RELAXED))
		return true;
	if (++env->wakes >= WAKES_MAX)
		return false;
	exists = provider_env_list(env->all->provider, NULL);
	if (why->kind != ERR_RETRY && members_exist(env, there_find(exists, env->id.text)))
		return false;
	__atomic_store_n(&env->all->lost, true, __ATOMIC_RELAXED);
	return true;
}

/* From its volumes, after everything else of it was lost. */
static int wake_cold(struct environment *env, struct err *err)
{
	struct err problem = {0};

	if (warm(env, &problem) == 0) {
		env->wakes = 0;
		return 0;
	}
	if (err)
		*err = problem;
	if (wakes_later(env, &problem)) {
		environment_cold_set(env, true);
		environment_move(env, ENV_READY);
		return -1;
	}
	environment_failed(env, &problem);
	environment_still(env);
	(void)!environment_save(env, NULL);
	return -1;
}

int environment_wake(struct environment *env, struct err *err)
{
	enum environment_state state = environment_state_of(env);

	if (state == ENV_FAILED && environment_is_still(env))
		return still_end(env, err);
	if ((state == ENV_READY && !env->cold) || (state != ENV_READY && state != ENV_FROZEN))
		return 0;
	if (env->cold ? wake_cold(env, err) : provider_env_freeze(env->all->provider, env->id, false, err))
		return -1;
	environment_move(env, ENV_READY);
	environment_touched(env);
	return environment_save(env, err);
}

int environment_awake(struct environment *env, struct err *err)
{
	enum environment_state state = environment_state_of(env);
	int result;

	environment_touched(env);
	/* One that is brought back after a crash is `starting`, too: whoever wants it waits for that. */
	if (state != ENV_FROZEN && !(state == ENV_FAILED && environment_is_still(env)) &&
	    !((state == ENV_READY || state == ENV_STARTING) && environment_cold(env)))
		return 0;
	if (environment_lock(env, err))
		return -1;
	result = environment_wake(env, err);
	environment_unlock(env);
	return result;
}

int environment_freeze(struct environments *environments, struct env_id id, bool frozen, struct err *err)
{
	AUTO_ENVIRONMENT env = environment_take(environments, id, err);
	int result;

	if (!env || environment_lock(env, err))
		return -1;
	result = frozen ? environment_freeze_locked(env, err) : environment_wake(env, err);
	environment_unlock(env);
	return result;
}

static struct environment *fork_plan(struct environment *from, struct err *err)
{
	AUTO_ENVIRONMENT env = environment_new(from->all, NULL);

	env->purpose = text_copy(from->purpose);
	env->owner = text_copy("");
	env->repository = text_copy(from->repository);
	env->commit = from->commit;
	env->snapshot = text_copy(from->snapshot);
	env->snapshot_used = text_copy(from->snapshot_used);
	env->no_services = from->no_services;
	env->below = from->below;
	env->own = json_incref(from->own);
	env->name = text_format("%s-fork", from->name);
	env->blueprint_text = text_copy(from->blueprint_text);
	env->blueprint = blueprint_parse(view_of(from->blueprint_text), "assay.yaml", err);
	if (!env->blueprint || members_plan(env, err))
		return NULL;
	env->expires_ms = env->created_ms + env->blueprint->preview.grace_ms;
	(void)pthread_mutex_lock(&from->mutex);
	(void)json_object_update(env->layers, from->layers);
	(void)json_object_update(env->marks, from->marks);
	(void)pthread_mutex_unlock(&from->mutex);
	return TAKE(env);
}

/* The volumes, while nothing in the source moves. */
static int volumes_clone(struct environment *from, struct environment *env, struct progress progress, struct err *err)
{
	const struct provider provider = env->all->provider;
	bool was_frozen = environment_state_of(from) == ENV_FROZEN || from->cold;
	int64_t began_ms = elapsed_ms(env->all);
	const char *volume;
	json_t *layers;
	int result = 0;

	step_report(progress, "clone", "", -1);
	if (!was_frozen &&
	    (provider.ops->freeze_ends ? environment_freeze_locked(from, err) : provider_env_freeze(provider, from->id, true, err)))
		return -1;
	json_object_foreach(env->layers, volume, layers)
		if (result == 0)
			result = provider_volume_clone(provider, from->id, env->id, volume, err);
	if (!was_frozen && (provider.ops->freeze_ends ? environment_wake(from, result ? NULL : err)
						      : provider_env_freeze(provider, from->id, false, result ? NULL : err)))
		result = -1;
	step_report(progress, "clone", "", elapsed_ms(env->all) - began_ms);
	return result;
}

static int fork_locked(struct environment *from, struct environment *env, struct progress progress, struct err *err)
{
	enum environment_state state = environment_state_of(from);

	if (state != ENV_READY && state != ENV_FROZEN)
		return err_set(err, ERR_CONFLICT, "environment %s is %s: nothing to fork", from->name,
			       environment_state_name(state));
	if (environment_save(env, err) || provider_env_make(env->all->provider, env->id, err) ||
	    volumes_clone(from, env, progress, err) || gateway_env_put(env, err) || environment_start(env, 0, progress, err))
		return -1;
	environment_move(env, ENV_READY);
	environment_touched(env);
	return environment_save(env, err);
}

int environment_fork(struct environments *environments, struct env_id from_id, struct progress progress, struct env_id *id,
		     struct err *err)
{
	AUTO_ENVIRONMENT from = environment_take(environments, from_id, err);
	AUTO_ENVIRONMENT env = NULL;
	int result;

	if (!from || environment_lock(from, err))
		return -1;
	env = fork_plan(from, err);
	if (!env) {
		environment_unlock(from);
		return -1;
	}
	environment_add(env);
	*id = env->id;
	(void)pthread_mutex_lock(&env->operation);
	result = fork_locked(from, env, progress, err);
	if (result)
		(void)!environment_remove_locked(env, NULL); /* or the monitor does */
	(void)pthread_mutex_unlock(&env->operation);
	environment_unlock(from);
	return result;
}

/* ---- what is, against what should be ---- */

/* Some of its sandboxes ended, others go on: those that ended are made again over the volumes that they had. */
static int members_restore(struct environment *env, const json_t *there, struct err *err)
{
	struct progress quiet = {0};

	for (size_t i = 0; i < env->member_count; i++) {
		if (!env->members[i].made || member_exists(&env->members[i], there))
			continue;
		log_warn("env=%s sandbox=%s has ended: it is made again", env->id.text, env->members[i].name);
		member_unmake(env, &env->members[i]);
	}
	if (environment_start(env, 0, quiet, err) == 0)
		return 0;
	environment_cold_set(env, true); /* all of it, then */
	return -1;
}

/* One environment; the operation lock is held, and the list was made under it. */
static int reconcile_lost(struct environment *env, const json_t *there, struct err *err)
{
	struct err why = {0};

	if (members_exist(env, there))
		return 0;
	if (stopped_set(env, there, &why) && !env->volatile_ && environment_state_of(env) != ENV_FAILED) {
		/* It would fill the disk again. */
		environment_cold_set(env, true);
		environment_failed(env, &why);
		return environment_save(env, err);
	}
	if (there && json_array_size(json_member(there, "sandboxes")) && !env->volatile_ && environment_state_of(env) == ENV_READY)
		return members_restore(env, there, err);
	environment_cold_set(env, true);
	return 0;
}

/* One environment; the operation lock is held. `there` may be older than the lock. */
static int reconcile_one(struct environment *env, const json_t *there, struct err *err)
{
	enum environment_state state = environment_state_of(env);
	AUTO_JSON fresh = NULL;
	int64_t now_ms = world_now_ms(env->all->world);
	int64_t idle_ms = env->blueprint->preview.idle_ms;
	bool needed = environment_stood_on(env);
	bool expired;
	bool idle;

	(void)pthread_mutex_lock(&env->mutex);
	expired = !needed && !env->pinned && env->expires_ms && env->expires_ms < now_ms && !env->busy;
	idle = !needed && idle_ms && !env->busy && elapsed_ms(env->all) - env->touched_ms > idle_ms;
	(void)pthread_mutex_unlock(&env->mutex);
	if (!env->cold && !members_exist(env, there)) {
		fresh = provider_env_list(env->all->provider, err);
		if (!fresh)
			return -1;
		there = there_find(fresh, env->id.text);
		if (reconcile_lost(env, there, err))
			return -1;
	}
	if (env->cold)
		env->still = false;
	/* One that was cut off while it came up has no volumes worth keeping; nobody waits for a volatile one any more. */
	if (expired || (env->cold && env->volatile_) || (state == ENV_STARTING && env->cold) ||
	    (env->cold && !there && state != ENV_FAILED)) {
		log_info("env=%s removed: %s", env->id.text, expired ? "its time is over" : "it was cut off");
		return environment_remove_locked(env, err);
	}
	if (state == ENV_READY && env->cold)
		return environment_wake(env, err);
	/* A volatile one whose programs end has no second life. */
	if (state == ENV_READY && idle && !(env->volatile_ && env->all->provider.ops->freeze_ends))
		return environment_freeze_locked(env, err);
	if (state == ENV_FAILED && idle && !environment_is_still(env))
		environment_still(env);
	if (env->cold && state == ENV_FROZEN)
		return gateway_env_put(env, err);
	return 0;
}

static bool is_ours(struct environments *all, const char *id)
{
	bool found = false;

	(void)pthread_mutex_lock(&all->mutex);
	for (size_t i = 0; i < all->count && !found; i++)
		found = strcmp(all->list[i]->id.text, id) == 0;
	(void)pthread_mutex_unlock(&all->mutex);
	return found;
}

int environment_reconcile(struct environments *environments, struct err *err)
{
	size_t count = 0;
	AUTO_JSON exists = provider_env_list(environments->provider, err);
	struct environment **list;
	json_t *there;
	size_t index;
	int result = 0;

	if (!exists)
		return -1;
	json_array_foreach(exists, index, there) {
		struct env_id id;

		if (env_id_parse(view_of(json_text(there, "env", "")), &id, NULL) || is_ours(environments, id.text))
			continue;
		log_info("env=%s removed: nobody knows it", id.text);
		if (provider_env_remove(environments->provider, id, err))
			result = -1;
	}
	list = environments_take_all(environments, &count);
	for (size_t i = 0; i < count; i++) {
		struct environment *env = list[i];
		struct err problem = {0};

		/* What somebody works on now is right, or will be at the next round; what leaves is the monitor's. */
		if (!env->builder && pthread_mutex_trylock(&env->operation) == 0) {
			if (!environment_going(env) && reconcile_one(env, there_find(exists, env->id.text), &problem)) {
				log_warn("env=%s %s", env->id.text, problem.text);
				if (err)
					*err = problem;
				result = -1;
			}
			(void)pthread_mutex_unlock(&env->operation);
		}
		environment_release(env);
	}
	free(list);
	return result;
}
