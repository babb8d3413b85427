/* Rooms of a cluster as callers see them: found, awaited, lost; programs started, awaited, signalled; ports dialled. */
#include "sandbox/kubernetes/cluster_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/scope.h"
#include "sandbox/init/control.h"

#define ANSWER_MS 60000
#define ASIDE_MS 3600000
#define ACTIVITY_MS 1000
#define ASKED_ROOMS_MAX 64
#define SILENT_MAX 3
#define KILLED_BY_SHELL (128 + SIGKILL)

/* ---- rooms ---- */

struct room *pod_room_find(struct cluster *cluster, struct env_id env, const char *name)
{
	struct room *room = cluster->rooms;

	while (room && (strcmp(room->env.text, env.text) != 0 || strcmp(room->name, name) != 0))
		room = room->next;
	return room;
}

struct room *pod_room_by_pod(struct cluster *cluster, const char *space, const char *name)
{
	struct room *room = cluster->rooms;

	while (room && (strcmp(room->space, space) != 0 || strcmp(room->name, name) != 0))
		room = room->next;
	return room;
}

static bool is_frozen(const struct cluster *cluster, struct env_id env)
{
	const struct space_row *row = cluster->spaces;

	while (row && strcmp(row->env.text, env.text) != 0)
		row = row->next;
	return row && row->frozen;
}

int pod_room_use(struct cluster *cluster, struct env_id env, const char *name, struct room **room, struct err *err)
{
	*room = pod_room_find(cluster, env, name);
	if (!*room && is_frozen(cluster, env))
		return err_set(err, ERR_CONFLICT, "environment %s is frozen: thaw it first", env.text);
	if (!*room)
		return err_set(err, ERR_NOT_FOUND, "there is no sandbox %s in environment %s", name, env.text);
	if ((*room)->gone || !(*room)->linked)
		return err_set(err, ERR_CONFLICT, "sandbox %s has ended%s%s", name, (*room)->why[0] ? ": " : "", (*room)->why);
	(*room)->users++;
	return 0;
}

void pod_room_unuse(struct room *room)
{
	if (--room->users)
		return;
	while (room->programs) {
		struct program *program = room->programs;

		room->programs = program->next;
		scope_close(&program->terminal);
		free(program);
	}
	free(room);
}

void pod_room_lose(struct room *room, const char *why)
{
	if (room->gone)
		return;
	room->gone = true;
	if (!room->removed) /* else its end is posted */
		room_door_lose_post(room);
	(void)snprintf(room->why, sizeof(room->why), "%s", why);
	for (struct program *program = room->programs; program; program = program->next)
		if (!program->ended) {
			program->gone = !program->ending;
			program->ended = true;
		}
	for (struct call *call = room->calls; call; call = call->next)
		if (!call->done && !call->posted) {
			call->errno_value = ENOTCONN;
			call->done = true;
		}
	(void)pthread_cond_broadcast(&room->cluster->changed);
}

void pod_room_remove(struct room *room)
{
	struct room **place = &room->cluster->rooms;

	room->removed = true;
	pod_room_lose(room, "it was removed");
	while (*place != room)
		place = &(*place)->next;
	*place = room->next;
	pod_room_close_post(room);
}

bool cluster_wait(struct cluster *cluster, const bool *done, int64_t deadline_ms)
{
	struct timespec until = {deadline_ms / 1000, deadline_ms % 1000 * 1000000};

	while (!*done) {
		if (!deadline_ms)
			(void)pthread_cond_wait(&cluster->changed, &cluster->mutex);
		else if (pthread_cond_timedwait(&cluster->changed, &cluster->mutex, &until) == ETIMEDOUT)
			return *done;
	}
	return true;
}

/* ---- calls ---- */

static void call_init(struct call *call, struct room *room, unsigned kind)
{
	*call = (struct call){.room = room, .kind = kind, .id = ++room->last_id, .fds = {-1, -1, -1}};
	call->body = buf_new(STRAND_BODY_MAX);
}

void call_fini(struct call *call)
{
	buf_fini(&call->body);
	for (size_t i = 0; i < ARRAY_LEN(call->fds); i++)
		scope_close(&call->fds[i]);
}

static void call_begin(struct call *call)
{
	call->posted = true;
	call->next = call->room->calls;
	call->room->calls = call;
	call_post(call);
}

/* False: it was not answered by then. */
static bool call_end(struct call *call, int64_t deadline_ms)
{
	struct cluster *cluster = call->room->cluster;
	struct call **place = &call->room->calls;
	bool done;

	while (call->posted)
		(void)pthread_cond_wait(&cluster->changed, &cluster->mutex);
	done = cluster_wait(cluster, &call->done, deadline_ms);
	while (*place != call)
		place = &(*place)->next;
	*place = call->next;
	if (!done)
		call_abandon(call);
	return done;
}

int pod_room_ask(struct room *room, struct call *call, struct err *err)
{
	const struct kube_cluster_options *options = &room->cluster->options;
	int64_t answer_ms = options->answer_ms ? options->answer_ms : ANSWER_MS;

	if (buf_finish(&call->body, err))
		return err_prefix(err, "what is asked of sandbox %s", room->name);
	call_begin(call);
	if (!call_end(call, world_elapsed_ms(world_real) + answer_ms))
		return err_set(err, ERR_RETRY, "sandbox %s does not answer", room->name);
	if (call->errno_value == ENOTCONN)
		return err_set(err, ERR_CONFLICT, "sandbox %s has ended%s%s", room->name, room->why[0] ? ": " : "", room->why);
	return call->errno_value;
}

/* ---- programs ---- */

static uint32_t texts_add(struct buf *texts, const char *const *list)
{
	uint32_t count = 0;

	for (; list && list[count]; count++)
		buf_add(texts, list[count], strlen(list[count]) + 1);
	return count;
}

/* The descriptors are the caller's: others of the same things, which never keep the loop. */
static int descriptors_take(struct call *call, const int fds[3], struct err *err)
{
	for (int i = 0; i < 3; i++) {
		if (fds[i] < 0)
			continue;
		call->fds[i] = link_descriptor(fds[i], i != 0);
		if (call->fds[i] < 0)
			return err_errno(err, errno, "cannot use descriptor %d of the program", i);
	}
	return 0;
}

static int start_write(struct call *call, const struct program_spec *spec, unsigned flags, const struct winsize *size,
		       struct err *err)
{
	AUTO_BUF texts = buf_new(INIT_TEXTS_BYTES_MAX);
	uint32_t argc = texts_add(&texts, spec->argv);
	uint32_t envc = texts_add(&texts, spec->env);
	const char *dir = spec->dir ? spec->dir : "/";
	const char *user = spec->user ? spec->user : "";

	buf_add(&texts, dir, strlen(dir) + 1);
	buf_add(&texts, user, strlen(user) + 1);
	if (buf_finish(&texts, err))
		return err_prefix(err, "the program's arguments and environment");
	if (argc > INIT_TEXTS_MAX || envc > INIT_TEXTS_MAX)
		return err_set(err, ERR_LIMIT, "a program has more than %d arguments", INIT_TEXTS_MAX);
	for (unsigned i = 0; i < 3; i++)
		if (spec->fds[i] >= 0)
			flags |= 1u << i;
	strand_put_u32(&call->body, argc);
	strand_put_u32(&call->body, envc);
	strand_put_u32(&call->body, flags | (spec->as_root ? LINK_START_ROOT : 0) | (spec->terminal ? LINK_START_TERMINAL : 0));
	strand_put_u32(&call->body, size->ws_row);
	strand_put_u32(&call->body, size->ws_col);
	buf_add_view(&call->body, buf_view(&texts));
	return 0;
}

static void program_forget(struct room *room, struct program *program)
{
	struct program **place = &room->programs;

	while (*place != program)
		place = &(*place)->next;
	*place = program->next;
	scope_close(&program->terminal);
	free(program);
}

/* Holding the mutex: 0, -1, or an errno of the room's. */
static int start(struct room *room, const struct program_spec *spec, unsigned flags, uint32_t *process, struct err *err)
{
	struct program *program = mem_new(sizeof(*program));
	struct call call;
	int result;

	call_init(&call, room, LINK_START);
	*program = (struct program){.id = call.id, .terminal = -1};
	if (spec->terminal && spec->fds[0] >= 0) {
		program->terminal = fcntl(spec->fds[0], F_DUPFD_CLOEXEC, 3);
		(void)ioctl(spec->fds[0], TIOCGWINSZ, &program->size);
	}
	program->next = room->programs;
	room->programs = program;
	result = descriptors_take(&call, spec->fds, err) || start_write(&call, spec, flags, &program->size, err)
			 ? -1
			 : pod_room_ask(room, &call, err);
	call_fini(&call);
	if (result)
		program_forget(room, program);
	else
		*process = program->id;
	if (!result && program->terminal >= 0)
		pod_room_sizes_post(room);
	return result;
}

int cluster_program_start(void *self, struct env_id env, const char *name, const struct program_spec *spec, uint32_t *process,
			  struct err *err)
{
	struct cluster *cluster = self;
	struct room *room;
	int result;

	(void)pthread_mutex_lock(&cluster->mutex);
	result = pod_room_use(cluster, env, name, &room, err);
	if (!result) {
		result = start(room, spec, 0, process, err);
		if (result == ESRCH)
			result = err_set(err, ERR_NOT_FOUND, "there is no user `%.80s` in sandbox %s", spec->user ? spec->user : "",
					 name);
		else if (result > 0)
			result = err_errno(err, result, "cannot run `%s` in sandbox %s", spec->argv[0], name);
		pod_room_unuse(room);
	}
	(void)pthread_mutex_unlock(&cluster->mutex);
	return result;
}

static struct program *program_find(const struct room *room, uint32_t id)
{
	struct program *program = room->programs;

	while (program && program->id != id)
		program = program->next;
	return program;
}

/* Holding the mutex: was it the kernel, for want of memory? Of a room that is gone its pod says so. */
static bool was_oom(struct room *room)
{
	struct call call;
	bool oom = false;

	if (room->gone)
		return strstr(room->state.why, "OOMKilled") != NULL;
	call_init(&call, room, LINK_USAGE);
	if (pod_room_ask(room, &call, NULL) == 0) {
		oom = call.answer[LINK_USAGE_OOMS] > room->oom_seen;
		room->oom_seen = call.answer[LINK_USAGE_OOMS];
	}
	call_fini(&call);
	return oom;
}

static void status_tell(struct room *room, const struct program *program, struct exit_status *status)
{
	bool maybe_oom;

	if (program->gone)
		*status = (struct exit_status){EXIT_GONE, 0};
	else if (WIFSIGNALED(program->status))
		*status = (struct exit_status){EXIT_SIGNAL, WTERMSIG(program->status)};
	else
		*status = (struct exit_status){EXIT_CODE, WEXITSTATUS(program->status)};
	maybe_oom = program->gone || (status->reason == EXIT_SIGNAL && status->code == SIGKILL) ||
		    (status->reason == EXIT_CODE && status->code == KILLED_BY_SHELL);
	if (maybe_oom && !program->killed && !room->removed && was_oom(room))
		*status = (struct exit_status){EXIT_OOM, SIGKILL};
}

/* Holding the mutex, and the room. *unwritten: of the program. */
static int wait_for(struct room *room, uint32_t process, int64_t timeout_ms, struct exit_status *status, int *unwritten,
		    struct err *err)
{
	struct program *program = program_find(room, process);
	struct program ended;

	if (!program)
		return err_set(err, ERR_NOT_FOUND, "sandbox %s has no program %u", room->name, process);
	if (timeout_ms == 0
		    ? !program->ended
		    : !cluster_wait(room->cluster, &program->ended, timeout_ms < 0 ? 0 : world_elapsed_ms(world_real) + timeout_ms))
		return err_set(err, ERR_RETRY, "program %u of sandbox %s still runs", process, room->name);
	ended = *program;
	*unwritten = ended.unwritten;
	program_forget(room, program);
	status_tell(room, &ended, status);
	return 0;
}

int cluster_program_wait(void *self, struct env_id env, const char *name, uint32_t process, int64_t timeout_ms,
			 struct exit_status *status, struct err *err)
{
	struct cluster *cluster = self;
	struct room *room;
	int result, ignored;

	(void)pthread_mutex_lock(&cluster->mutex);
	room = pod_room_find(cluster, env, name);
	if (room) {
		room->users++;
		result = wait_for(room, process, timeout_ms, status, &ignored, err);
		pod_room_unuse(room);
	} else {
		result = err_set(err, ERR_NOT_FOUND, "sandbox %s has no program %u", name, process);
	}
	(void)pthread_mutex_unlock(&cluster->mutex);
	return result;
}

/* Holding the mutex: 0, -1, or an errno of the room's. */
static int signal_ask(struct room *room, uint32_t process, int signal_number, struct err *err)
{
	struct call call;
	int result;

	call_init(&call, room, LINK_SIGNAL);
	strand_put_u32(&call.body, process);
	strand_put_u32(&call.body, (uint32_t)signal_number);
	result = pod_room_ask(room, &call, err);
	call_fini(&call);
	return result;
}

int cluster_program_signal(void *self, struct env_id env, const char *name, uint32_t process, int signal_number, struct err *err)
{
	struct cluster *cluster = self;
	struct program *program;
	struct room *room;
	int result;

	(void)pthread_mutex_lock(&cluster->mutex);
	result = pod_room_use(cluster, env, name, &room, err);
	if (!result) {
		program = program_find(room, process);
		if (program && signal_number == SIGKILL)
			program->killed = true;
		result = signal_ask(room, process, signal_number, err);
		if (result > 0)
			result = err_errno(err, result, "cannot signal program %u of sandbox %s", process, name);
		pod_room_unuse(room);
	}
	(void)pthread_mutex_unlock(&cluster->mutex);
	return result;
}

/* Holding the mutex, and the room. */
static int aside_wait(struct room *room, uint32_t process, struct exit_status *status, struct err *err)
{
	const struct kube_cluster_options *options = &room->cluster->options;
	int64_t limit_ms = options->aside_ms ? options->aside_ms : ASIDE_MS;
	struct program *program;
	struct err late = {0};
	int unwritten;

	if (wait_for(room, process, limit_ms, status, &unwritten, &late) == 0)
		return unwritten ? err_errno(err, unwritten, "what it wrote cannot be kept") : 0;
	program = program_find(room, process);
	if (late.kind != ERR_RETRY || !program)
		return err_set(err, late.kind, "%s", late.text);
	program_forget(room, program);
	(void)!signal_ask(room, process, SIGKILL, NULL);
	return err_set(err, ERR_RETRY, "it has not ended within %lld s", (long long)limit_ms / 1000);
}

int pod_room_aside(struct cluster *cluster, struct env_id env, const char *name, const char *const *argv, int in, int out,
		   int *code, struct err *err)
{
	const struct program_spec spec = {.argv = argv, .fds = {in, out, -1}};
	struct exit_status status = {0};
	struct room *room;
	uint32_t process;
	int result;

	(void)pthread_mutex_lock(&cluster->mutex);
	result = pod_room_use(cluster, env, name, &room, err);
	if (!result) {
		result = start(room, &spec, LINK_START_ASIDE, &process, err);
		if (result > 0)
			result = err_errno(err, result, "cannot run `%s` beside sandbox %s", argv[0], name);
		if (!result && aside_wait(room, process, &status, err))
			result = err_prefix(err, "`%s` beside sandbox %s", argv[0], name);
		pod_room_unuse(room);
	}
	(void)pthread_mutex_unlock(&cluster->mutex);
	if (!result && status.reason != EXIT_CODE)
		result = err_set(err, ERR_RETRY, "`%s` beside sandbox %s did not end well", argv[0], name);
	*code = status.code;
	return result;
}

/* ---- ports, and what is used ---- */

int cluster_sandbox_dial(void *self, struct env_id env, const char *name, uint16_t port, int *fd, struct err *err)
{
	struct cluster *cluster = self;
	struct room *room;
	struct call call;
	int result;

	(void)pthread_mutex_lock(&cluster->mutex);
	result = pod_room_use(cluster, env, name, &room, err);
	if (!result) {
		call_init(&call, room, LINK_DIAL);
		strand_put_u32(&call.body, port);
		result = pod_room_ask(room, &call, err);
		if (result > 0)
			result = err_errno(err, result, "port %u of sandbox %s", port, name);
		else if (!result)
			*fd = TAKE_FD(call.fds[0]);
		call_fini(&call);
		pod_room_unuse(room);
	}
	(void)pthread_mutex_unlock(&cluster->mutex);
	return result;
}

int cluster_sandbox_usage(void *self, struct env_id env, const char *name, struct sandbox_usage *usage, struct err *err)
{
	struct cluster *cluster = self;
	struct room *room;
	struct call call;
	int result;

	(void)pthread_mutex_lock(&cluster->mutex);
	result = pod_room_use(cluster, env, name, &room, err);
	if (!result) {
		call_init(&call, room, LINK_USAGE);
		result = pod_room_ask(room, &call, err);
		if (result > 0)
			result = err_errno(err, result, "what sandbox %s uses", name);
		*usage = (struct sandbox_usage){.memory_bytes = (int64_t)call.answer[LINK_USAGE_MEMORY],
						.memory_peak_bytes = (int64_t)call.answer[LINK_USAGE_PEAK],
						.cpu_ms = (int64_t)call.answer[LINK_USAGE_CPU_MS],
						.pids = (int)call.answer[LINK_USAGE_PIDS],
						.oom_kills = (int)call.answer[LINK_USAGE_OOMS],
						.pids_refused = (int)call.answer[LINK_USAGE_PIDS_REFUSED],
						.unlimited = (unsigned)call.answer[LINK_USAGE_UNLIMITED]};
		call_fini(&call);
		pod_room_unuse(room);
	}
	(void)pthread_mutex_unlock(&cluster->mutex);
	return result;
}

/* ---- does anybody run ---- */

/* A room of a pod that does not know the question is not asked for ever. */
static enum activity activity_take(struct call *call, int64_t deadline_ms)
{
	struct room *room = call->room;
	bool done = call_end(call, deadline_ms);

	room->silent = done ? 0 : room->silent + 1;
	if (!done || call->errno_value || call->answer[0] > ACTIVITY_IDLE)
		return ACTIVITY_UNKNOWN;
	return (enum activity)call->answer[0];
}

/* Who runs is told before who cannot be asked: he is worth waiting for. */
static enum activity activity_of_both(enum activity one, enum activity other)
{
	if (one == ACTIVITY_BUSY || other == ACTIVITY_BUSY)
		return ACTIVITY_BUSY;
	return one == ACTIVITY_IDLE ? other : one;
}

/* All rooms are asked at once. Each tells a moment of its own; what passed between two of them meanwhile, the gateway saw. */
enum activity cluster_env_activity(void *self, struct env_id env)
{
	struct cluster *cluster = self;
	struct call calls[ASKED_ROOMS_MAX];
	enum activity activity = ACTIVITY_IDLE;
	int64_t deadline_ms = world_elapsed_ms(world_real) + ACTIVITY_MS;
	size_t count = 0;

	(void)pthread_mutex_lock(&cluster->mutex);
	for (struct room *room = cluster->rooms; room; room = room->next) {
		if (strcmp(room->env.text, env.text) != 0 || room->gone)
			continue;
		if (!room->linked || room->silent >= SILENT_MAX || count == ASKED_ROOMS_MAX) {
			activity = ACTIVITY_UNKNOWN;
			continue;
		}
		room->users++;
		call_init(&calls[count], room, LINK_ACTIVITY);
		call_begin(&calls[count++]);
	}
	for (size_t i = 0; i < count; i++) {
		struct room *room = calls[i].room;

		activity = activity_of_both(activity, activity_take(&calls[i], deadline_ms));
		call_fini(&calls[i]);
		pod_room_unuse(room);
	}
	(void)pthread_mutex_unlock(&cluster->mutex);
	return activity;
}
