/*
 * The monitor: one thread that notices programs which ended, starts them again as their services say, and keeps house.
 *
 * Theory of operation. The end of a program closes its pipe, which the log pump tells at once; a slow round finds what that misses. An
 * environment whose operation lock is taken is somebody's work: it is left for the next round. A program that ends again and again
 * is given up, with the reason, so that nobody waits for it.
 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/file.h"
#include "base/log.h"
#include "sandbox/environment_priv.h"

#define ROUND_MS 1000
#define ROUND_SOON_MS 100
#define BACK_OFF_FIRST_MS 200
#define BACK_OFF_LAST_MS 10000
#define CRASHES_MAX 6   /* in a row */
#define STEADY_MS 20000 /* having run this long, a program's crashes are forgotten */

static void trash_empty(struct environments *all)
{
	AUTO_FREE char *dir = text_format("%s/trash", all->state_dir);
	struct err err = {0};
	AUTO_JSON names = directory_names(dir, &err);
	json_t *name;
	size_t index;

	json_array_foreach(names, index, name) {
		AUTO_FREE char *path = text_format("%s/%s", dir, json_string_value(name));

		if (file_remove_tree(path, &err))
			log_warn("cannot empty %s: %s", path, err.text);
	}
}

static enum restart_kind restart_of(const struct member *member)
{
	return member->service ? member->service->restart : RESTART_ALWAYS;
}

/* What follows from the end of a member's program. */
static void ended(struct environment *env, struct member *member)
{
	AUTO_BUF text = buf_new(256);
	enum restart_kind restart = restart_of(member);
	int64_t now_ms = elapsed_ms(env->all);
	int64_t pause_ms = BACK_OFF_FIRST_MS;
	bool failed;
	bool again;

	(void)pthread_mutex_lock(&env->mutex);
	failed = member->exit.reason != EXIT_CODE || member->exit.code;
	again = restart == RESTART_ALWAYS || (restart == RESTART_ON_FAILURE && failed);
	exit_status_format(&text, member->exit);
	if (now_ms - member->started_ms > STEADY_MS)
		member->crashes = 0;
	if (again && ++member->crashes >= CRASHES_MAX)
		member->state = MEMBER_FAILED;
	for (int i = 1; i < member->crashes && pause_ms < BACK_OFF_LAST_MS; i++)
		pause_ms *= 2;
	if (again && member->state != MEMBER_FAILED)
		member->restart_at_ms = now_ms + (pause_ms < BACK_OFF_LAST_MS ? pause_ms : BACK_OFF_LAST_MS);
	(void)pthread_mutex_unlock(&env->mutex);
	if (!again)
		log_say(member->log, "ended: %s", text.at ? text.at : "");
	else if (member->restart_at_ms)
		log_say(member->log, "ended: %s; starts again in %lld ms", text.at ? text.at : "", (long long)pause_ms);
	else
		log_say(member->log, "ended: %s; given up after %d times in a row", text.at ? text.at : "", member->crashes);
}

static void start_again(struct environment *env, struct member *member)
{
	struct err err = {0};

	member->restarts++;
	if (member_start(env, member, &err) == 0)
		return;
	log_say(member->log, "cannot start again: %s", err.text);
	__atomic_store_n(&env->all->lost, true, __ATOMIC_RELAXED);
}

/* One look at a member; true when it should be looked at again soon. */
static bool member_look(struct environment *env, struct member *member)
{
	int64_t now_ms = elapsed_ms(env->all);
	bool was_running;
	bool starting;
	bool unready;
	int64_t restart_at_ms;

	(void)pthread_mutex_lock(&env->mutex);
	was_running = member->running;
	starting = member->state == MEMBER_STARTING;
	restart_at_ms = member->restart_at_ms;
	(void)pthread_mutex_unlock(&env->mutex);
	unready = was_running && starting && member_probe(env, member, &(struct err){0}); /* it may find that it has ended */
	if (was_running && member_ended(env, member)) {
		if (member->exit.reason == EXIT_GONE)
			__atomic_store_n(&env->all->lost, true, __ATOMIC_RELAXED);
		else
			ended(env, member);
		return true;
	}
	if (was_running)
		return unready;
	if (restart_at_ms && restart_at_ms <= now_ms)
		start_again(env, member);
	return restart_at_ms != 0;
}

bool monitor_look(struct environment *env)
{
	bool soon = false;

	if (env->builder || environment_going(env) || env->cold || environment_state_of(env) != ENV_READY)
		return false;
	for (size_t i = 0; i < env->member_count; i++)
		if (env->members[i].kind != MEMBER_WORKSPACE && member_look(env, &env->members[i]))
			soon = true;
	return soon;
}

static bool environment_look(struct environment *env)
{
	bool soon = false;

	if (pthread_mutex_trylock(&env->operation))
		return false;
	if (environment_leaves(env))
		(void)!environment_remove_locked(env, NULL);
	else
		soon = monitor_look(env);
	(void)pthread_mutex_unlock(&env->operation);
	return soon;
}

/* Until a hint comes or the time is over. */
static void rest(struct environments *all, int64_t limit_ms)
{
	struct timespec until;

	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += (long)(limit_ms % 1000) * 1000000;
	until.tv_sec += limit_ms / 1000 + until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	(void)pthread_mutex_lock(&all->monitor_mutex);
	while (!all->monitor_hint && !__atomic_load_n(&all->closing, __ATOMIC_RELAXED))
		if (pthread_cond_timedwait(&all->monitor_wake, &all->monitor_mutex, &until) == ETIMEDOUT)
			break;
	all->monitor_hint = false;
	(void)pthread_mutex_unlock(&all->monitor_mutex);
}

static void *monitor_run(void *self)
{
	struct environments *all = self;
	bool soon = false;

	while (!__atomic_load_n(&all->closing, __ATOMIC_RELAXED)) {
		struct environment **list;
		size_t count = 0;

		rest(all, soon ? ROUND_SOON_MS : ROUND_MS);
		soon = false;
		list = environments_take_all(all, &count);
		for (size_t i = 0; i < count; i++) {
			if (!__atomic_load_n(&all->closing, __ATOMIC_RELAXED) && environment_look(list[i]))
				soon = true;
			environment_release(list[i]);
		}
		free(list);
		if (__atomic_exchange_n(&all->lost, false, __ATOMIC_RELAXED) && !__atomic_load_n(&all->closing, __ATOMIC_RELAXED)) {
			struct err err = {0};

			pool_drop(all);
			if (environment_reconcile(all, &err)) {
				log_warn("cannot put environments right: %s", err.text);
				__atomic_store_n(&all->lost, true, __ATOMIC_RELAXED);
			}
		}
		pool_tend(all);
		trash_empty(all);
	}
	return NULL;
}

int monitor_start(struct environments *all, struct err *err)
{
	int problem;

	(void)pthread_mutex_init(&all->monitor_mutex, NULL);
	(void)pthread_cond_init(&all->monitor_wake, NULL);
	problem = pthread_create(&all->monitor, NULL, monitor_run, all);
	if (problem)
		return err_errno(err, problem, "cannot start the monitor");
	all->monitoring = true;
	return 0;
}

void monitor_hint(void *environments)
{
	struct environments *all = environments;

	(void)pthread_mutex_lock(&all->monitor_mutex);
	all->monitor_hint = true;
	(void)pthread_cond_signal(&all->monitor_wake);
	(void)pthread_mutex_unlock(&all->monitor_mutex);
}

void monitor_lost(struct environments *all)
{
	__atomic_store_n(&all->lost, true, __ATOMIC_RELAXED);
	monitor_hint(all);
}

void monitor_stop(struct environments *all)
{
	if (!all->monitoring)
		return;
	monitor_hint(all);
	(void)pthread_join(all->monitor, NULL);
	all->monitoring = false;
}
