/* Programs of the local provider: started, awaited, signalled through their room's pid 1. */
#include "sandbox/local/local_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"

#define KILLED_BY_SHELL (128 + SIGKILL) /* how a shell reports a child's SIGKILL */

static uint32_t texts_add(struct buf *texts, const char *const *list)
{
	uint32_t count = 0;

	for (; list && list[count]; count++)
		buf_add(texts, list[count], strlen(list[count]) + 1);
	return count;
}

/* A memfd with argv, env, dir and user. */
static int texts_make(const struct program_spec *spec, struct init_request *request, int *fd, struct err *err)
{
	AUTO_BUF texts = buf_new(INIT_TEXTS_BYTES_MAX);
	AUTO_CLOSE int made = memfd_create("texts", MFD_CLOEXEC);
	const char *dir = spec->dir ? spec->dir : "/";
	const char *user = spec->user ? spec->user : "";

	request->argv_count = texts_add(&texts, spec->argv);
	request->env_count = texts_add(&texts, spec->env);
	buf_add(&texts, dir, strlen(dir) + 1);
	buf_add(&texts, user, strlen(user) + 1);
	if (buf_finish(&texts, err))
		return err_prefix(err, "the program's arguments and environment");
	if (request->argv_count > INIT_TEXTS_MAX || request->env_count > INIT_TEXTS_MAX)
		return err_set(err, ERR_LIMIT, "a program has more than %d arguments", INIT_TEXTS_MAX);
	if (made < 0 || file_write_fd(made, buf_view(&texts), err))
		return err_errno(err, errno, "cannot make a memfd");
	*fd = TAKE_FD(made);
	return 0;
}

static void program_forget(struct room *room, const struct program *program)
{
	struct program **place = &room->programs;

	while (*place != program)
		place = &(*place)->next;
	*place = program->next;
	free((void *)(uintptr_t)program);
}

int local_program_start(void *self, struct env_id env, const char *name, const struct program_spec *spec, uint32_t *process,
			struct err *err)
{
	struct local *local = self;
	struct init_request request = {.ask = INIT_START, .as_root = spec->as_root, .terminal = spec->terminal};
	struct program *program;
	AUTO_CLOSE int texts = -1;
	int fds[4], result;
	struct room *room;
	size_t count = 1;

	if (texts_make(spec, &request, &texts, err))
		return -1;
	fds[0] = texts;
	for (unsigned i = 0; i < 3; i++)
		if (spec->fds[i] >= 0) {
			request.stdio |= 1u << i;
			fds[count++] = spec->fds[i];
		}
	(void)pthread_mutex_lock(&local->mutex);
	result = local_room_use(local, env, name, &room, err);
	if (!result) {
		program = mem_new(sizeof(*program));
		program->id = request.id = ++room->last_id;
		program->next = room->programs;
		room->programs = program;
		result = local_room_ask(local, room, &request, fds, count, NULL, err);
		if (result == ESRCH)
			result = err_set(err, ERR_NOT_FOUND, "there is no user `%.80s` in sandbox %s", spec->user ? spec->user : "",
					 name);
		else if (result > 0)
			result = err_errno(err, result, "cannot run `%s` in sandbox %s", spec->argv[0], name);
		if (result)
			program_forget(room, program);
		else
			*process = program->id;
		local_room_unuse(room);
	}
	(void)pthread_mutex_unlock(&local->mutex);
	return result;
}

static struct program *program_find(const struct room *room, uint32_t id)
{
	struct program *program = room->programs;

	while (program && program->id != id)
		program = program->next;
	return program;
}

/* Was it the kernel, for want of memory? Asked only when a SIGKILL that was not ours ended it. */
static bool was_oom(struct local *local, struct room *room)
{
	struct sandbox_usage usage;
	struct err ignored;
	bool oom;

	if (local_sandbox_usage(local, room->env, room->name, &usage, &ignored))
		return false;
	(void)pthread_mutex_lock(&local->mutex);
	oom = usage.oom_kills > room->oom_seen;
	room->oom_seen = usage.oom_kills;
	(void)pthread_mutex_unlock(&local->mutex);
	return oom;
}

static void status_tell(struct local *local, struct room *room, const struct program *program, struct exit_status *status)
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
	if (maybe_oom && !program->killed && !room->removed && was_oom(local, room))
		*status = (struct exit_status){EXIT_OOM, SIGKILL};
}

int local_program_wait(void *self, struct env_id env, const char *name, uint32_t process, int64_t timeout_ms,
		       struct exit_status *status, struct err *err)
{
	struct local *local = self;
	struct program *program, ended = {0};
	struct room *room;
	int result = 0;

	(void)pthread_mutex_lock(&local->mutex);
	room = local_room_find(local, env, name);
	program = room ? program_find(room, process) : NULL;
	if (!program) {
		(void)pthread_mutex_unlock(&local->mutex);
		return err_set(err, ERR_NOT_FOUND, "sandbox %s has no program %u", name, process);
	}
	room->users++;
	if (timeout_ms == 0 ? !program->ended
			    : !local_wait(local, &program->ended, timeout_ms < 0 ? 0 : world_elapsed_ms(world_real) + timeout_ms))
		result = err_set(err, ERR_RETRY, "program %u of sandbox %s still runs", process, name);
	else {
		ended = *program;
		program_forget(room, program);
	}
	(void)pthread_mutex_unlock(&local->mutex);
	if (!result)
		status_tell(local, room, &ended, status);
	(void)pthread_mutex_lock(&local->mutex);
	local_room_unuse(room);
	(void)pthread_mutex_unlock(&local->mutex);
	return result;
}

int local_program_signal(void *self, struct env_id env, const char *name, uint32_t process, int signal_number, struct err *err)
{
	struct local *local = self;
	struct init_request request = {.ask = INIT_SIGNAL, .program = process, .signal_number = signal_number};
	struct program *program;
	struct room *room;
	int result;

	(void)pthread_mutex_lock(&local->mutex);
	result = local_room_use(local, env, name, &room, err);
	if (!result) {
		program = program_find(room, process);
		if (program && signal_number == SIGKILL)
			program->killed = true;
		request.id = ++room->last_id;
		result = local_room_ask(local, room, &request, NULL, 0, NULL, err);
		if (result > 0)
			result = err_errno(err, result, "cannot signal program %u of sandbox %s", process, name);
		local_room_unuse(room);
	}
	(void)pthread_mutex_unlock(&local->mutex);
	return result;
}
