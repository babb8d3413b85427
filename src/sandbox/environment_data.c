/* An environment's data and evidence: deploys, fresh data, marks, what was written, and when it is quiet. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/span.h"
#include "data/redis_wire.h"
#include "sandbox/environment_priv.h"

#define CONNECT_LIMIT_MS 5000
#define LAYER_MARKS_MAX 64
#define QUIET_SETTLE_MS 2 /* that nothing may be seen in, where nobody can tell who runs */
#define QUIET_BUSY_MS 500 /* where somebody does */
#define UNREST_MAX 3      /* times that it was so all the while */
#define QUIET_PAUSE_FIRST_US 20
#define QUIET_PAUSE_SHORT_US 500
#define QUIET_PAUSE_LAST_US 50000
#define EXCHANGES_CHUNK ((size_t)1 << 20)
#define EXCHANGES_READ_MAX ((size_t)64 << 20) /* of one call: the next goes on from there */

int member_talk(struct environment *env, const struct member *member,
		int (*talk)(const struct engine_target *target, int fd, struct err *err), struct err *err)
{
	AUTO_CLOSE int fd = -1;

	if (member_connect(env, member, CONNECT_LIMIT_MS, &fd, err))
		return -1;
	return talk(&member->target, fd, err) ? err_prefix(err, "%s", member->name) : 0;
}

/* What forks of one layer hold at first is the same: {layer: the last mark that was taken over it}. */
static json_t *mark_known(struct environment *env, const char *layer)
{
	json_t *known;

	(void)pthread_mutex_lock(&env->all->mutex);
	known = json_deep_copy(json_object_get(env->all->layer_marks, layer));
	(void)pthread_mutex_unlock(&env->all->mutex);
	return known;
}

static void mark_keep(struct environment *env, const char *layer, const json_t *mark)
{
	(void)pthread_mutex_lock(&env->all->mutex);
	if (json_object_size(env->all->layer_marks) >= LAYER_MARKS_MAX)
		(void)json_object_clear(env->all->layer_marks);
	(void)json_object_set_new(env->all->layer_marks, layer, json_deep_copy(mark));
	(void)pthread_mutex_unlock(&env->all->mutex);
}

static json_t *mark_ask(struct environment *env, struct member *member, const struct engine_marking *marking, struct err *err)
{
	AUTO_CLOSE int fd = -1;
	json_t *mark;

	if (member_ask(env, member, CONNECT_LIMIT_MS, &fd, err))
		return NULL;
	mark = member->target.ops->mark(&member->target, fd, marking, err);
	if (!mark)
		(void)err_prefix(err, "%s", member->name);
	return mark;
}

static json_t *mark_take(struct environment *env, struct member *member, struct err *err)
{
	struct engine_marking marking = {.counted = env->volatile_, /* only a verification compares */
					 .forked_s = env->created_ms / 1000};
	const char *layer = json_string_value(json_array_get(json_object_get(env->layers, member->volume), 0));
	AUTO_FREE char *once = marking.counted && layer ? text_format("mark/%s", layer) : NULL;
	AUTO_JSON known = NULL;
	json_t *mark;

	if (!once)
		return mark_ask(env, member, &marking, err);
	/* Of several forks that come up at once one counts, and the others go by it. */
	environments_once_begin(env->all, once);
	known = mark_known(env, layer);
	marking.known = known;
	mark = mark_ask(env, member, &marking, err);
	if (mark)
		mark_keep(env, layer, mark);
	environments_once_end(env->all, once);
	return mark;
}

int environment_marks_take(struct environment *env, struct err *err)
{
	for (size_t i = 0; i < env->member_count; i++) {
		struct member *member = &env->members[i];
		json_t *mark;

		if (member->kind != MEMBER_DATABASE)
			continue;
		mark = mark_take(env, member, err);
		if (!mark)
			return -1;
		(void)pthread_mutex_lock(&env->mutex);
		(void)json_object_set_new(env->marks, member->name, mark);
		(void)pthread_mutex_unlock(&env->mutex);
	}
	return 0;
}

/* {"tables": {…}} and {"keys": {…}} become what the header promises; "cut" goes to the top. */
static void rows_put(json_t *result, const struct member *member, json_t *rows)
{
	bool tables = member->target.ops->sql != NULL;
	const char *engine = tables ? "tables" : member->target.ops->name;
	json_t *by_name = json_object_get(result, engine);
	json_t *content = json_member(rows, tables ? "tables" : "keys");

	if (!by_name) {
		by_name = json_object();
		(void)json_object_set_new(result, engine, by_name);
	}
	(void)json_object_set(by_name, member->name, content);
	if (json_object_size(json_member(rows, "touched"))) {
		if (!json_member(result, "touched"))
			(void)json_object_set_new(result, "touched", json_object());
		(void)json_object_set(json_object_get(result, "touched"), member->name, json_member(rows, "touched"));
	}
	if (json_member(rows, "connections")) {
		if (!json_member(result, "connections"))
			(void)json_object_set_new(result, "connections", json_object());
		(void)json_object_set(json_object_get(result, "connections"), member->name, json_member(rows, "connections"));
	}
	if (json_flag(rows, "cut", false))
		(void)json_object_set_new(result, "cut", json_true());
}

static json_t *rows_ask(struct environments *environments, struct env_id id, bool touched, struct err *err)
{
	AUTO_ENVIRONMENT env = environment_take(environments, id, err);
	AUTO_JSON result = json_object();

	if (!env || environment_awake(env, err))
		return NULL;
	for (size_t i = 0; i < env->member_count; i++) {
		struct member *member = &env->members[i];
		AUTO_CLOSE int fd = -1;
		AUTO_JSON mark = NULL;
		AUTO_JSON rows = NULL;

		if (member->kind != MEMBER_DATABASE)
			continue;
		(void)pthread_mutex_lock(&env->mutex);
		mark = json_copy(json_object_get(env->marks, member->name));
		(void)pthread_mutex_unlock(&env->mutex);
		if (!touched && json_member(mark, "xid")) /* it knows new rows without how many there were */
			(void)json_object_del(mark, "tables");
		if (member_ask(env, member, CONNECT_LIMIT_MS, &fd, err))
			return NULL;
		rows = member->target.ops->rows(&member->target, fd, mark, err);
		if (!rows) {
			(void)err_prefix(err, "%s", member->name);
			return NULL;
		}
		rows_put(result, member, rows);
	}
	return TAKE(result);
}

json_t *environment_rows_written(struct environments *environments, struct env_id id, struct err *err)
{
	return rows_ask(environments, id, true, err);
}

json_t *environment_rows_new(struct environments *environments, struct env_id id, struct err *err)
{
	return rows_ask(environments, id, false, err);
}

/* ---- deploy and reset ---- */

static void services_stop(struct environment *env, const char *service)
{
	for (size_t i = 0; i < env->member_count; i++) {
		struct member *member = &env->members[i];

		if (!member->service || (service && strcmp(member->service->name, service) != 0))
			continue;
		member_stop(env, member, SIGTERM, STOP_GRACE_MS);
		member->crashes = 0;
	}
}

/* After a failed deploy the environment stays as it is, to be looked into: its services say what they are. */
static int start_again(struct environment *env, unsigned what, struct progress progress, struct err *err)
{
	if (environment_start(env, what, progress, err))
		return -1;
	if (environment_state_of(env) == ENV_FAILED)
		environment_move(env, ENV_READY);
	environment_touched(env);
	return environment_save(env, err);
}

static int deploy_locked(struct environment *env, const char *service, struct progress progress, struct err *err)
{
	enum environment_state state;

	if (service && !blueprint_service_find(env->blueprint, service))
		return err_set(err, ERR_NOT_FOUND, "the blueprint of %s has no service `%s`", env->name, service);
	if (service && !environment_owns(env, service))
		return err_set(err, ERR_INVALID, "%s has no `%s` of its own: that one answers in %s", env->name, service,
			       env->below.text);
	if (environment_wake(env, err))
		return -1;
	state = environment_state_of(env);
	if (state != ENV_READY && state != ENV_FAILED)
		return err_set(err, ERR_CONFLICT, "environment %s is %s", env->name, environment_state_name(state));
	services_stop(env, service);
	return start_again(env, service ? 0 : START_MIGRATE, progress, err);
}

int environment_deploy(struct environments *environments, struct env_id id, const char *service, struct progress progress,
		       struct err *err)
{
	AUTO_ENVIRONMENT env = environment_take(environments, id, err);
	struct span span;
	int result;

	if (!env || environment_lock(env, err))
		return -1;
	environment_span_begin(env, &span, "deploy");
	span_text(&span, "assay.service", service);
	result = deploy_locked(env, service, progress, err);
	span_end(&span, result ? err : NULL);
	environment_unlock(env);
	return result;
}

/* A file stays where it is mounted: it is made what its snapshot is, which its own room mounts beside it. */
static int file_restore(struct environment *env, struct member *member, const char *layer, struct err *err)
{
	AUTO_ENGINE_PROGRAM program = {.count = 0};
	AUTO_FREE char *what = text_format("cannot set %s back", member->name);
	struct environment_exec exec = {.timeout_ms = BUILD_LIMIT_MS};
	bool copied = false;

	(void)snprintf(member->fresh, sizeof(member->fresh), "fresh-%.*s", SANDBOX_NAME_MAX - 6, member->name);
	if (provider_volume_remove(env->all->provider, env->id, member->fresh,
				   err) || /* of a time before, perhaps of another server's */
	    provider_volume_make(env->all->provider, env->id, member->fresh, &layer, layer ? 1 : 0, true, &copied, err)) {
		member->fresh[0] = '\0';
		return -1;
	}
	member->target.ops->restore(&member->target, FRESH_PATH, &program);
	exec.argv = engine_program_argv(&program);
	return member_make(env, member, err) || member_run_checked(env, member, &exec, what, err) ? -1 : 0;
}

static int reset_locked(struct environment *env, struct progress progress, struct err *err)
{
	const struct provider provider = env->all->provider;

	if (environment_wake(env, err))
		return -1;
	services_stop(env, NULL);
	for (size_t i = 0; i < env->member_count; i++) {
		struct member *member = &env->members[i];
		const char *layer;
		bool copied = false;

		if (member->kind != MEMBER_DATABASE)
			continue;
		/* What it holds is thrown away: there is nothing to stop cleanly. */
		member_unmake(env, member);
		layer = json_string_value(json_array_get(json_object_get(env->layers, member->volume), 0));
		if (member->target.ops->restore) {
			if (file_restore(env, member, layer, err))
				return -1;
			continue;
		}
		if (provider_volume_remove(provider, env->id, member->volume, err) ||
		    provider_volume_make(provider, env->id, member->volume, &layer, layer ? 1 : 0, true, &copied, err))
			return err_prefix(err, "clone %s", member->name);
	}
	return start_again(env, START_MIGRATE, progress, err);
}

int environment_reset_data(struct environments *environments, struct env_id id, struct progress progress, struct err *err)
{
	AUTO_ENVIRONMENT env = environment_take(environments, id, err);
	int result;

	if (!env || environment_lock(env, err))
		return -1;
	result = reset_locked(env, progress, err);
	environment_unlock(env);
	return result;
}

/* ---- quiet ---- */

/* Messages that the group has not been given, or has not acknowledged. */
static int queue_length(int fd, const struct queue *queue, int64_t *waiting, struct err *err)
{
	AUTO_WIRE wire = wire_new(fd, CONNECT_LIMIT_MS, (size_t)1 << 20);
	AUTO_JSON groups = redis_wire_command(&wire, (const char *const[]){"XINFO", "GROUPS", queue->stream}, 3, NULL);
	AUTO_JSON length = NULL;
	json_t *group;
	size_t index;

	*waiting = 0;
	json_array_foreach(groups, index, group) {
		const char *name = NULL;
		int64_t pending = 0;
		int64_t lag = 0;

		/* Name and value by turns. */
		for (size_t i = 0; i + 1 < json_array_size(group); i += 2) {
			const char *key = json_string_value(json_array_get(group, i));
			const json_t *value = json_array_get(group, i + 1);

			if (key && strcmp(key, "name") == 0)
				name = json_string_value(value);
			else if (key && strcmp(key, "pending") == 0)
				pending = json_integer_value(value);
			else if (key && strcmp(key, "lag") == 0)
				lag = json_integer_value(value);
		}
		if (name && (!queue->group || strcmp(name, queue->group) == 0)) {
			*waiting = pending + lag;
			return 0;
		}
	}
	/* Nobody has made the group yet: whatever the stream holds will be read. */
	length = redis_wire_command(&wire, (const char *const[]){"XLEN", queue->stream}, 2, err);
	if (!length)
		return err_prefix(err, "queue %s", queue->name);
	*waiting = json_integer_value(length);
	return 0;
}

/* The connection that the last question had, or -1; *fd goes back for the next. */
static void asked_swap(struct environment *env, struct member *member, int *fd)
{
	int other;

	(void)pthread_mutex_lock(&env->mutex);
	other = member->asked_fd;
	member->asked_fd = *fd;
	*fd = other;
	(void)pthread_mutex_unlock(&env->mutex);
}

/* Asked after every request of a replay: to connect anew each time is most of what that takes. */
static int stream_waiting(struct environment *env, struct member *member, const struct queue *queue, int64_t *count,
			  struct err *err)
{
	AUTO_CLOSE int fd = -1;
	int result;

	asked_swap(env, member, &fd);
	if (fd < 0 || queue_length(fd, queue, count, NULL)) {
		scope_close(&fd);
		if (member_ask(env, member, CONNECT_LIMIT_MS, &fd, err))
			return -1;
		result = queue_length(fd, queue, count, err);
		if (result)
			return -1;
	}
	asked_swap(env, member, &fd);
	return 0;
}

/* Where something waits, owned by the caller. */
static int named_waiting(struct environment *env, const struct queue *queue, char **which, int64_t *count, struct err *err)
{
	struct member *member = member_find(env, queue->database);
	AUTO_CLOSE int fd = -1;

	if (!member)
		return err_set(err, ERR_INVALID, "queue %s: no database `%s`", queue->name, queue->database);
	if (!member->target.ops->waiting) {
		*which = text_copy(queue->name);
		return stream_waiting(env, member, queue, count, err);
	}
	if (member_ask(env, member, CONNECT_LIMIT_MS, &fd, err))
		return -1;
	return member->target.ops->waiting(&member->target, fd, queue, count, which, err);
}

static bool queues_named(const struct environment *env, const struct member *member)
{
	for (size_t i = 0; i < env->blueprint->queue_count; i++)
		if (strcmp(env->blueprint->queues[i].database, member->name) == 0)
			return true;
	return false;
}

/* The blueprint's queues, and all of a broker of which it names none. */
static int queues_waiting(struct environment *env, char **which, int64_t *count, struct err *err)
{
	*count = 0;
	for (size_t i = 0; i < env->blueprint->queue_count && !*count; i++) {
		free(TAKE(*which));
		if (named_waiting(env, &env->blueprint->queues[i], which, count, err))
			return -1;
	}
	for (size_t i = 0; i < env->member_count && !*count; i++) {
		const struct member *member = &env->members[i];
		AUTO_CLOSE int fd = -1;

		if (member->kind != MEMBER_DATABASE || !member->target.ops->waiting || queues_named(env, member))
			continue;
		free(TAKE(*which));
		if (member_ask(env, member, CONNECT_LIMIT_MS, &fd, err) ||
		    member->target.ops->waiting(&member->target, fd, NULL, count, which, err))
			return err_prefix(err, "%s", member->name);
	}
	return 0;
}

/* What is under way in an environment, and since when nothing is. */
struct silence {
	struct calls calls;
	char *queue;            /* where messages wait */
	int64_t waiting;        /* how many */
	int64_t since_ms;       /* elapsed time; -1: something is under way */
	int64_t ended;          /* exchanges so far, then: another count, and something was under way */
	bool empty;             /* so are the queues, since then */
	enum activity activity; /* of the programs, since then */
};

static void silence_fini(struct silence *silence)
{
	free(silence->queue);
}

/* Somebody who runs is waited for, once the deadline is near no longer. */
static bool silence_lasted(const struct environment *env, const struct silence *silence, int64_t deadline_ms)
{
	int64_t lasted_ms = elapsed_ms(env->all) - silence->since_ms;
	bool patient = silence->activity == ACTIVITY_BUSY && __atomic_load_n(&env->unrest, __ATOMIC_RELAXED) < UNREST_MAX;
	int64_t wanted_ms = patient && silence->since_ms + QUIET_BUSY_MS < deadline_ms ? QUIET_BUSY_MS : QUIET_SETTLE_MS;

	return silence->activity == ACTIVITY_IDLE || lasted_ms > wanted_ms;
}

/* The gateway was asked: it goes on, is over, or begins. */
static void silence_hear(const struct environment *env, struct silence *silence)
{
	if (silence->since_ms >= 0 && silence->ended == silence->calls.ended && !silence->calls.in_flight)
		return;
	silence->since_ms = silence->calls.in_flight ? -1 : elapsed_ms(env->all);
	silence->ended = silence->calls.ended;
	silence->activity = ACTIVITY_UNKNOWN;
	silence->empty = false;
	if (silence->calls.in_flight)
		silence->waiting = 0;
}

/* The gateway knows of nothing that is under way: the programs are asked, and the queues when it matters. */
static int silence_listen(struct environment *env, struct silence *silence, int64_t deadline_ms, struct err *err)
{
	if (silence->activity != ACTIVITY_IDLE)
		silence->activity = provider_env_activity(env->all->provider, env->id);
	if (silence->activity == ACTIVITY_BUSY && !silence_lasted(env, silence, deadline_ms))
		return 0;
	if (queues_waiting(env, &silence->queue, &silence->waiting, err))
		return -1;
	silence->empty = !silence->waiting;
	if (!silence->empty)
		silence->since_ms = -1;
	return 0;
}

/* Who never rests is not waited for again and again. */
static void rest_note(struct environment *env, enum activity activity)
{
	if (activity == ACTIVITY_IDLE)
		__atomic_store_n(&env->unrest, 0, __ATOMIC_RELAXED);
	else if (activity == ACTIVITY_BUSY)
		(void)__atomic_add_fetch(&env->unrest, 1, __ATOMIC_RELAXED);
}

static int not_quiet(const struct silence *silence, int64_t timeout_ms, struct err *err)
{
	if (silence->waiting)
		return err_set(err, ERR_LIMIT, "not quiet after %lld ms: %lld messages wait in queue %s", (long long)timeout_ms,
			       (long long)silence->waiting, silence->queue ? silence->queue : "");
	if (silence->calls.in_flight)
		return err_set(err, ERR_LIMIT, "not quiet after %lld ms: %lld requests are in flight", (long long)timeout_ms,
			       (long long)silence->calls.in_flight);
	return err_set(err, ERR_LIMIT, "not quiet after %lld ms: one call comes after the other", (long long)timeout_ms);
}

/*
 * Theory of operation. An environment is quiet when no call is under way, no message waits, and nobody runs who could begin one. The gateway
 * says the first, the queues the second, the kernel the third: when at one moment every thread sleeps, and neither before nor after it a
 * call is under way or has ended, only a timer begins something. Where the kernel cannot be asked, silence for a moment stands for it, and
 * where somebody always runs, too. What was seen is in the log then.
 */
int environment_quiet(struct environments *environments, struct env_id id, int64_t timeout_ms, struct err *err)
{
	AUTO_ENVIRONMENT env = environment_take(environments, id, err);
	int64_t deadline_ms = elapsed_ms(environments) + timeout_ms;
	__attribute__((cleanup(silence_fini))) struct silence silence = {.since_ms = -1};
	useconds_t pause_us = QUIET_PAUSE_FIRST_US;

	if (!env || environment_awake(env, err))
		return -1;
	for (;;) {
		bool rested = silence.activity == ACTIVITY_IDLE;

		if (gateway_calls(env, &silence.calls, err))
			return -1;
		silence_hear(env, &silence);
		if (silence.empty && silence_lasted(env, &silence, deadline_ms) && !silence.calls.unwritten) {
			rest_note(env, silence.activity);
			return 0;
		}
		if (elapsed_ms(environments) >= deadline_ms)
			return not_quiet(&silence, timeout_ms, err);
		if (environment_going(env))
			return err_set(err, ERR_CANCELLED, "the environment is being removed");
		if (!silence.calls.in_flight && silence_listen(env, &silence, deadline_ms, err))
			return -1;
		if (silence.empty && silence.activity == ACTIVITY_IDLE && !rested)
			continue;
		(void)usleep(pause_us);
		pause_us = pause_us * 3 / 2;
		if (pause_us > (silence.since_ms >= 0 ? QUIET_PAUSE_SHORT_US : QUIET_PAUSE_LAST_US))
			pause_us = silence.since_ms >= 0 ? QUIET_PAUSE_SHORT_US : QUIET_PAUSE_LAST_US;
	}
}

static int exchanges_open(const struct environment *env, int *fd, struct err *err)
{
	AUTO_FREE char *path = text_format("%s/exchanges.jsonl", env->dir);

	*fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return *fd >= 0 || errno == ENOENT ? 0 : err_errno(err, errno, "cannot read %s", path);
}

int environment_exchanges_end(struct environments *environments, struct env_id id, int64_t *end, struct err *err)
{
	AUTO_ENVIRONMENT env = environment_take(environments, id, err);
	AUTO_CLOSE int fd = -1;
	struct stat info = {0};

	if (!env || exchanges_open(env, &fd, err))
		return -1;
	if (fd >= 0 && fstat(fd, &info))
		return err_errno(err, errno, "cannot read the exchanges of %s", id.text);
	*end = info.st_size;
	return 0;
}

/* Only whole lines: the gateway may be writing the last one. */
int environment_exchanges(struct environments *environments, struct env_id id, int64_t *from, int64_t until, struct buf *lines,
			  struct err *err)
{
	AUTO_ENVIRONMENT env = environment_take(environments, id, err);
	AUTO_CLOSE int fd = -1;

	if (!env || exchanges_open(env, &fd, err))
		return -1;
	for (size_t taken = 0; fd >= 0 && (until >= 0 ? *from < until : taken < EXCHANGES_READ_MAX);) {
		AUTO_FREE char *chunk = mem_new(EXCHANGES_CHUNK);
		size_t wanted = until >= 0 && until - *from < (int64_t)EXCHANGES_CHUNK ? (size_t)(until - *from) : EXCHANGES_CHUNK;
		ssize_t got = pread(fd, chunk, wanted, *from);
		const char *end = got > 0 ? memrchr(chunk, '\n', (size_t)got) : NULL;

		if (got < 0)
			return err_errno(err, errno, "cannot read the exchanges of %s", id.text);
		if (!end)
			break;
		buf_add(lines, chunk, (size_t)(end - chunk) + 1);
		*from += end - chunk + 1;
		taken += (size_t)(end - chunk) + 1;
	}
	return buf_finish(lines, err);
}
