/*
 * Bringing an environment up: everything at once that does not wait for something else.
 *
 * Theory of operation. Each member, and the migrations, is a task with a thread; a task waits for the tasks it needs, does its steps, and
 * says so. The first failure is kept and ends the others at their next wait. The threads are joined before environment_start
 * returns, so nothing of it outlives the call.
 */
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "sandbox/environment_priv.h"

enum task_state { TASK_OPEN, TASK_MADE /* its member exists */, TASK_DONE, TASK_FAILED };

struct start;

struct task {
	struct start *start;
	struct member *member; /* NULL: migrations and marks */
	enum task_state state;
	pthread_t thread;
	bool running;
};

struct start {
	struct environment *env;
	struct progress progress;
	unsigned what;
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	bool failed; /* atomic: also ends waits for readiness */
	struct err first;
	struct task *tasks;
	size_t count;
};

static void start_fail(struct start *start, const struct err *err)
{
	(void)pthread_mutex_lock(&start->mutex);
	if (!start->failed)
		start->first = *err;
	__atomic_store_n(&start->failed, true, __ATOMIC_RELAXED);
	(void)pthread_cond_broadcast(&start->changed);
	(void)pthread_mutex_unlock(&start->mutex);
}

static void task_move(struct task *task, enum task_state state)
{
	struct start *start = task->start;

	(void)pthread_mutex_lock(&start->mutex);
	task->state = state;
	(void)pthread_cond_broadcast(&start->changed);
	(void)pthread_mutex_unlock(&start->mutex);
}

static bool start_ends(struct start *start)
{
	return start->failed || progress_cancelled(start->progress) || environment_going(start->env);
}

/* Waits until the task is at least in `state`; -1 when the whole start ends. */
static int task_await(struct start *start, const struct task *needed, enum task_state state, struct err *err)
{
	bool reached;

	(void)pthread_mutex_lock(&start->mutex);
	while (needed->state < state && !start_ends(start)) {
		struct timespec until;

		(void)clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += 100000000;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		(void)pthread_cond_timedwait(&start->changed, &start->mutex, &until);
	}
	reached = needed->state >= state && needed->state != TASK_FAILED && !start_ends(start);
	(void)pthread_mutex_unlock(&start->mutex);
	return reached ? 0 : err_set(err, ERR_CANCELLED, "stopped");
}

static int64_t step_begin(struct start *start, const char *verb, const char *name)
{
	AUTO_FREE char *step = text_format("%s %s", verb, name);

	step_report(start->progress, step, "", -1);
	return elapsed_ms(start->env->all);
}

static void step_end(struct start *start, const char *verb, const char *name, int64_t began_ms)
{
	AUTO_FREE char *step = text_format("%s %s", verb, name);

	step_report(start->progress, step, "", elapsed_ms(start->env->all) - began_ms);
}

/* The volume over the layers that the environment remembers for it. */
static int volume_over_layers(struct environment *env, const char *volume, bool blocks, struct err *err)
{
	const char *layers[VOLUME_LAYERS_MAX];
	size_t count = 0;
	bool copied = false;
	size_t index;
	json_t *layer;

	(void)pthread_mutex_lock(&env->mutex);
	json_array_foreach(json_object_get(env->layers, volume), index, layer)
		if (count < VOLUME_LAYERS_MAX)
			layers[count++] = json_string_value(layer);
	(void)pthread_mutex_unlock(&env->mutex);
	if (provider_volume_make(env->all->provider, env->id, volume, layers, count, blocks, &copied, err))
		return err_prefix(err, "clone %s", volume);
	if (copied && !__atomic_exchange_n(&env->all->copies, true, __ATOMIC_RELAXED))
		log_warn("env=%s volume=%s nothing can be cloned there: data is copied, whenever an environment starts",
			 env->id.text, volume);
	return 0;
}

static int volume_make(struct start *start, const struct member *member, struct err *err)
{
	bool workspace = member->kind == MEMBER_WORKSPACE;
	const char *shown = workspace ? "workspace" : member->name;
	int64_t began_ms = step_begin(start, "clone", shown);

	if (volume_over_layers(start->env, member->volume, member->kind == MEMBER_DATABASE, err) ||
	    (workspace && environment_has_tool(start->env) && volume_over_layers(start->env, TOOL_VOLUME, false, err)))
		return -1;
	step_end(start, "clone", shown, began_ms);
	return 0;
}

/* Starts the program and waits until it is ready; a second attempt when the first did not come up. */
static int program_up(struct start *start, struct member *member, struct err *err)
{
	struct environment *env = start->env;
	int64_t began_ms = step_begin(start, "start", member->name);

	for (int attempt = 1;; attempt++) {
		if (member_start(env, member, err))
			return -1;
		if (member_wait_ready(env, member, member_ready_limit_ms(member, READY_LIMIT_MS), &start->failed, err) == 0)
			break;
		if (err->kind == ERR_CANCELLED || attempt == 2)
			return member_quote_log(env, member, err);
		log_say(member->log, "%s: starting it again", err->text);
		member_stop(env, member, SIGTERM, STOP_GRACE_MS);
		err->kind = ERR_NONE;
	}
	step_end(start, "start", member->name, began_ms);
	return 0;
}

static int database_task(struct task *task, struct err *err)
{
	struct start *start = task->start;
	struct member *member = task->member;

	if (member->running)
		return 0;
	if ((start->what & START_VOLUMES) && volume_make(start, member, err))
		return -1;
	if (!member->made && member_make(start->env, member, err))
		return -1;
	task_move(task, TASK_MADE);
	return program_up(start, member, err);
}

/* A room that mounts a database's folder is made after it. */
static int await_files(struct start *start, const struct member *member, struct err *err)
{
	for (size_t i = 0; i < start->count; i++)
		if (start->tasks[i].member && member_has_file(member, start->tasks[i].member) &&
		    task_await(start, &start->tasks[i], TASK_MADE, err))
			return -1;
	return 0;
}

static int workspace_task(struct task *task, struct err *err)
{
	struct start *start = task->start;

	if (task->member->made)
		return 0;
	if (((start->what & START_VOLUMES) && volume_make(start, task->member, err)) || await_files(start, task->member, err))
		return -1;
	return member_make(start->env, task->member, err);
}

static struct task *task_of(struct start *start, const char *member_name)
{
	for (size_t i = 0; i < start->count; i++)
		if (member_name ? start->tasks[i].member && strcmp(start->tasks[i].member->name, member_name) == 0
				: !start->tasks[i].member)
			return &start->tasks[i];
	return NULL;
}

static int await_kind(struct start *start, enum member_kind kind, struct err *err)
{
	for (size_t i = 0; i < start->count; i++)
		if (start->tasks[i].member && start->tasks[i].member->kind == kind &&
		    task_await(start, &start->tasks[i], TASK_DONE, err))
			return -1;
	return 0;
}

static int migrate(struct start *start, const struct database *database, struct err *err)
{
	struct environment *env = start->env;
	AUTO_FREE char *what = text_format("migrate %s", database->name);
	const char *held[4];
	struct environment_exec exec = {.argv = command_argv(&database->migrate, held),
					.env = &database->env,
					.timeout_ms = BUILD_LIMIT_MS,
					.cancelled = &start->failed};
	int64_t began_ms = step_begin(start, "migrate", database->name);

	if (member_run_checked(env, member_find(env, WORKSPACE_MEMBER), &exec, what, err))
		return -1;
	step_end(start, "migrate", database->name, began_ms);
	return 0;
}

static int migrate_task(struct task *task, struct err *err)
{
	struct start *start = task->start;
	const struct blueprint *blueprint = start->env->blueprint;

	if (await_kind(start, MEMBER_DATABASE, err) || await_kind(start, MEMBER_WORKSPACE, err))
		return -1;
	if (!(start->what & START_MIGRATE))
		return 0;
	for (size_t i = 0; i < blueprint->database_count; i++)
		if (command_is_set(&blueprint->databases[i].migrate) && migrate(start, &blueprint->databases[i], err))
			return -1;
	return environment_marks_take(start->env, err);
}

static int build(struct start *start, struct member *member, struct err *err)
{
	AUTO_FREE char *dir = text_format(WORKSPACE_PATH "/%s", member->service->dir ? member->service->dir : ".");
	AUTO_FREE char *what = text_format("build %s", member->name);
	const char *held[4];
	struct environment_exec exec = {.argv = command_argv(&member->service->build, held),
					.dir = dir,
					.timeout_ms = BUILD_LIMIT_MS,
					.cancelled = &start->failed};
	int64_t began_ms = step_begin(start, "build", member->name);

	if (member_run_checked(start->env, member, &exec, what, err))
		return -1;
	step_end(start, "build", member->name, began_ms);
	return 0;
}

static bool is_first_replica(const struct member *member)
{
	return strcmp(member->name, member->service->name) == 0;
}

/* A needed service is ready when all of its replicas are. */
static int await_need(struct start *start, const char *name, struct err *err)
{
	for (size_t i = 0; i < start->count; i++) {
		const struct member *member = start->tasks[i].member;
		bool wanted = member &&
			      (member->service ? strcmp(member->service->name, name) == 0 : strcmp(member->name, name) == 0);

		if (wanted && task_await(start, &start->tasks[i], TASK_DONE, err))
			return -1;
	}
	return 0;
}

static int service_task(struct task *task, struct err *err)
{
	struct start *start = task->start;
	struct member *member = task->member;
	const struct service *service = member->service;

	if (member->running)
		return 0;
	if (task_await(start, task_of(start, WORKSPACE_MEMBER), TASK_DONE, err) || await_files(start, member, err))
		return -1;
	if (!member->made && member_make(start->env, member, err))
		return -1;
	/* The work tree is one: it is built once, by the first replica; a fresh one came built. */
	if (command_is_set(&service->build) && is_first_replica(member) &&
	    !((start->what & START_VOLUMES) && source_builds(service)) && build(start, member, err))
		return -1;
	task_move(task, TASK_MADE);
	if (!is_first_replica(member) && task_await(start, task_of(start, service->name), TASK_MADE, err))
		return -1;
	for (size_t i = 0; i < service->needs.count; i++)
		if (await_need(start, service->needs.at[i], err))
			return -1;
	if (task_await(start, task_of(start, NULL), TASK_DONE, err))
		return -1;
	return program_up(start, member, err);
}

static void *task_run(void *self)
{
	struct task *task = self;
	struct err err = {0};
	int result;

	if (!task->member)
		result = migrate_task(task, &err);
	else if (task->member->kind == MEMBER_DATABASE)
		result = database_task(task, &err);
	else if (task->member->kind == MEMBER_WORKSPACE)
		result = workspace_task(task, &err);
	else
		result = service_task(task, &err);
	if (result) {
		if (task->member) {
			(void)pthread_mutex_lock(&task->start->env->mutex);
			task->member->state = MEMBER_FAILED;
			(void)pthread_mutex_unlock(&task->start->env->mutex);
		}
		/* A task that was only stopped knows less than the one that stopped it. */
		if (err.kind != ERR_CANCELLED || environment_going(task->start->env) || progress_cancelled(task->start->progress))
			start_fail(task->start, &err);
	}
	task_move(task, result ? TASK_FAILED : TASK_DONE);
	return NULL;
}

static void tasks_plan(struct start *start)
{
	struct environment *env = start->env;

	start->tasks = mem_new_array(env->member_count + 1, sizeof(*start->tasks));
	for (size_t i = 0; i < env->member_count; i++)
		start->tasks[start->count++] = (struct task){.start = start, .member = &env->members[i]};
	start->tasks[start->count++] = (struct task){.start = start};
}

int environment_start(struct environment *env, unsigned what, struct progress progress, struct err *err)
{
	struct start start = {.env = env, .progress = progress, .what = what};

	(void)pthread_mutex_init(&start.mutex, NULL);
	(void)pthread_cond_init(&start.changed, NULL);
	tasks_plan(&start);
	for (size_t i = 0; i < start.count; i++) {
		struct task *task = &start.tasks[i];

		task->running = pthread_create(&task->thread, NULL, task_run, task) == 0;
		if (!task->running)
			start_fail(&start, &(struct err){ERR_RETRY, "cannot start a thread"});
	}
	for (size_t i = 0; i < start.count; i++)
		if (start.tasks[i].running)
			(void)pthread_join(start.tasks[i].thread, NULL);
	(void)pthread_mutex_destroy(&start.mutex);
	(void)pthread_cond_destroy(&start.changed);
	free(start.tasks);
	if (start.failed && err)
		*err = start.first;
	if (!start.failed) {
		(void)pthread_mutex_lock(&env->mutex);
		env->cold = false;
		(void)pthread_mutex_unlock(&env->mutex);
	}
	return start.failed ? -1 : 0;
}

void environment_stop_members(struct environment *env, bool databases)
{
	for (size_t i = env->member_count; i-- > 0;) {
		struct member *member = &env->members[i];

		if (member->service) {
			member_stop(env, member, SIGTERM, STOP_GRACE_MS);
		} else if (databases && member->kind == MEMBER_DATABASE) {
			member_stop(env, member, member->target.ops->stop_signal, member->target.ops->stop_limit_ms);
			member_unmake(env, member);
		}
	}
}
