/*
 * Removing environments.
 *
 * Theory of operation. Who wants an environment gone raises `going`: whatever works in it ends soon, and nothing begins in it any more.
 * From then on it leaves, whatever happens: when a removal fails (the keeper died under it, a mount is held), the wish is written into
 * its state file, the monitor tries again each round, and after a restart the next manager does. So a caller that fails to remove an
 * environment owes it nothing more.
 */
#include <stdio.h>

#include "base/log.h"
#include "sandbox/environment_priv.h"

/* A keeper that dies while it removes leaves the rest to the next one, which the same request starts. */
static int provider_part(struct environment *env, struct err *err)
{
	struct err first = {0};

	if (provider_env_remove(env->all->provider, env->id, &first) == 0)
		return 0;
	if (first.kind == ERR_RETRY)
		return provider_env_remove(env->all->provider, env->id, err);
	if (err)
		*err = first;
	return -1;
}

/* Said once, and kept for whoever comes after us. */
static void stays_for_now(struct environment *env, const struct err *why)
{
	struct err err = {0};

	if (env->lingers)
		return;
	env->lingers = true;
	log_warn("env=%s stays for now: %s", env->id.text, why->text);
	if (environment_save(env, &err))
		log_error("env=%s %s", env->id.text, err.text);
}

int environment_remove_locked(struct environment *env, struct err *err)
{
	AUTO_FREE char *trash = text_format("%s/trash/%s", env->all->state_dir, env->id.text);
	struct err problem = {0};

	__atomic_store_n(&env->going, true, __ATOMIC_RELAXED);
	gateway_env_gone(env);
	if (provider_part(env, &problem)) {
		stays_for_now(env, &problem);
		if (err)
			*err = problem;
		return -1;
	}
	members_forget(env);
	(void)rename(env->dir, trash);
	environment_unlist(env);
	monitor_hint(env->all); /* it empties the trash */
	return 0;
}

bool environment_leaves(const struct environment *env)
{
	return __atomic_load_n(&env->going, __ATOMIC_RELAXED);
}

int environment_down(struct environments *environments, struct env_id id, struct err *err)
{
	AUTO_ENVIRONMENT env = environment_take(environments, id, err);
	int result;

	if (!env || environment_stood_on_refuse(env, "removed", err))
		return -1;
	/* Whatever works in it now ends soon. */
	__atomic_store_n(&env->going, true, __ATOMIC_RELAXED);
	(void)pthread_mutex_lock(&env->operation);
	result = environment_remove_locked(env, err);
	(void)pthread_mutex_unlock(&env->operation);
	return result;
}
