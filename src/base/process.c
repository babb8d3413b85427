/* Host programs by posix_spawn and pidfd: pipes are pumped by one poll loop. */
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/scope.h"
#include "base/world.h"

#define TIMEOUT_DEFAULT_MS 60000
#define ERRORS_KEPT 4096

static const char *const env_default[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/nonexistent",
					  "LANG=C.UTF-8", NULL};

struct running {
	pid_t pid;
	int pid_fd;
	int in;
	int out;
	int errors;
};

static int spawn(const char *const *argv, const char *const *env, const char *dir, const int *fds, size_t fd_count, pid_t *pid,
		 struct err *err)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none;
	sigset_t all;
	int low[8];
	int problem;

	if (fd_count > ARRAY_LEN(low))
		return err_set(err, ERR_LIMIT, "a child takes at most %zu descriptors", ARRAY_LEN(low));
	/* Lift all above the target numbers first, so that no dup2 overwrites a source. */
	for (size_t i = 0; i < fd_count; i++)
		low[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, (int)ARRAY_LEN(low) + 1);
	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawnattr_init(&attributes);
	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	(void)posix_spawnattr_setsigmask(&attributes, &none);
	(void)posix_spawnattr_setsigdefault(&attributes, &all);
	(void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
	for (size_t i = 0; i < fd_count; i++)
		(void)posix_spawn_file_actions_adddup2(&actions, low[i], (int)i);
	(void)posix_spawn_file_actions_addclosefrom_np(&actions, (int)fd_count);
	if (dir)
		(void)posix_spawn_file_actions_addchdir_np(&actions, dir);
	problem = posix_spawnp(pid, argv[0], &actions, &attributes, (char *const *)(uintptr_t)argv,
			       (char *const *)(uintptr_t)(env ? env : env_default));
	(void)posix_spawn_file_actions_destroy(&actions);
	(void)posix_spawnattr_destroy(&attributes);
	for (size_t i = 0; i < fd_count; i++)
		if (low[i] >= 0)
			(void)close(low[i]);
	return problem ? err_errno(err, problem, "cannot start %s", argv[0]) : 0;
}

int process_start(const char *const *argv, const char *const *env, const int *fds, size_t fd_count, pid_t *pid, int *pid_fd,
		  struct err *err)
{
	if (spawn(argv, env, NULL, fds, fd_count, pid, err))
		return -1;
	*pid_fd = (int)syscall(SYS_pidfd_open, *pid, 0);
	if (*pid_fd < 0) {
		(void)err_errno(err, errno, "cannot hold %s", argv[0]);
		(void)kill(*pid, SIGKILL);
		(void)waitpid(*pid, NULL, 0);
		return -1;
	}
	return 0;
}

int process_wait(int pid_fd, int64_t timeout_ms, int *status, struct err *err)
{
	struct pollfd waiting = {pid_fd, POLLIN, 0};
	siginfo_t info = {0};
	int ready;

	do
		ready = poll(&waiting, 1, timeout_ms > 0x3fffffff ? 0x3fffffff : (int)timeout_ms);
	while (ready < 0 && errno == EINTR);
	if (ready == 0)
		return err_set(err, ERR_RETRY, "still running");
	if (waitid(P_PIDFD, (id_t)pid_fd, &info, WEXITED))
		return err_errno(err, errno, "cannot wait for a child");
	if (status)
		*status = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
	return 0;
}

static int pipe_make(int *read_end, int *write_end, struct err *err)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC))
		return err_errno(err, errno, "cannot make a pipe");
	*read_end = ends[0];
	*write_end = ends[1];
	return 0;
}

/* Reads what is there; closes the descriptor at its end. What goes over the maximum is dropped and remembered by the buf. */
static void drain(int *fd, struct buf *into, bool keep_last)
{
	char chunk[16384];
	ssize_t got = read(*fd, chunk, sizeof(chunk));

	if (got < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (got <= 0) {
		(void)close(*fd);
		*fd = -1;
		return;
	}
	buf_add(into, chunk, (size_t)got);
	if (keep_last && into->length > ERRORS_KEPT)
		buf_drop_front(into, into->length - ERRORS_KEPT);
}

/* write(2) whose SIGPIPE is swallowed, in whatever program we are a library of. */
static ssize_t write_quietly(int fd, struct view bytes)
{
	const struct timespec at_once = {0, 0};
	sigset_t pipe_only;
	sigset_t before;
	ssize_t put;
	int kept;

	(void)sigemptyset(&pipe_only);
	(void)sigaddset(&pipe_only, SIGPIPE);
	(void)pthread_sigmask(SIG_BLOCK, &pipe_only, &before);
	put = write(fd, bytes.at, bytes.length);
	kept = errno;
	if (put < 0 && kept == EPIPE)
		(void)sigtimedwait(&pipe_only, NULL, &at_once);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	errno = kept;
	return put;
}

static void feed(int *fd, struct view *input)
{
	ssize_t put = input->length ? write_quietly(*fd, *input) : 0;

	if (put < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (put > 0) {
		input->at += put;
		input->length -= (size_t)put;
	}
	if (put < 0 || !input->length) {
		(void)close(*fd);
		*fd = -1;
	}
}

/* Pumps until every pipe is closed and the child has ended, or the time is over. */
static int pump(struct running *run, const struct process_spec *spec, struct buf *output, struct buf *errors, int64_t deadline_ms)
{
	struct view input = spec->input;
	bool ended = false;

	while (run->in >= 0 || run->out >= 0 || run->errors >= 0 || !ended) {
		struct pollfd fds[4] = {{run->in, POLLOUT, 0},
					{run->out, POLLIN, 0},
					{run->errors, POLLIN, 0},
					{ended ? -1 : run->pid_fd, POLLIN, 0}};
		int64_t left_ms = deadline_ms - world_elapsed_ms(world_real);

		if (left_ms <= 0)
			return -1;
		/* A daemon that inherited our pipes must not hold us: a moment after the end is enough. */
		if (ended && left_ms > 200)
			left_ms = 200;
		if (poll(fds, 4, (int)(left_ms > 60000 ? 60000 : left_ms)) == 0 && ended)
			return 0;
		if (fds[0].revents)
			feed(&run->in, &input);
		if (fds[1].revents)
			drain(&run->out, output, false);
		if (fds[2].revents)
			drain(&run->errors, errors, !spec->errors);
		if (fds[3].revents)
			ended = true;
	}
	return 0;
}

static struct view last_line(const struct buf *errors)
{
	struct view text = view_trim(buf_view(errors));
	const char *newline = text.length ? memrchr(text.at, '\n', text.length) : NULL;

	if (newline)
		text = view_make(newline + 1, text.length - (size_t)(newline + 1 - text.at));
	return text;
}

static void running_fini(struct running *run)
{
	int *const fds[] = {&run->pid_fd, &run->in, &run->out, &run->errors};

	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		scope_close(fds[i]);
}

int process_run(const struct process_spec *spec, int *status, struct err *err)
{
	__attribute__((cleanup(running_fini))) struct running run = {-1, -1, -1, -1, -1};
	AUTO_BUF errors_kept = buf_new((size_t)1 << 20);
	AUTO_BUF dropped = buf_new(0);
	AUTO_CLOSE int child_in = -1;
	AUTO_CLOSE int child_out = -1;
	AUTO_CLOSE int child_errors = -1;
	struct buf *errors = spec->errors ? spec->errors : &errors_kept;
	int64_t timeout_ms = spec->timeout_ms ? spec->timeout_ms : TIMEOUT_DEFAULT_MS;
	int code = 0;

	if (spec->input_fd <= 0 && spec->input.length) {
		if (pipe_make(&child_in, &run.in, err))
			return -1;
		(void)fcntl(run.in, F_SETFL, O_NONBLOCK);
	} else {
		child_in = spec->input_fd > 0 ? fcntl(spec->input_fd, F_DUPFD_CLOEXEC, 3) : open("/dev/null", O_RDONLY | O_CLOEXEC);
	}
	if (spec->output_fd > 0)
		child_out = fcntl(spec->output_fd, F_DUPFD_CLOEXEC, 3);
	else if (!spec->output)
		child_out = open("/dev/null", O_WRONLY | O_CLOEXEC);
	else if (pipe_make(&run.out, &child_out, err))
		return -1;
	if (pipe_make(&run.errors, &child_errors, err))
		return -1;
	if (spawn(spec->argv, spec->env, spec->dir, (int[]){child_in, child_out, child_errors}, 3, &run.pid, err))
		return -1;
	run.pid_fd = (int)syscall(SYS_pidfd_open, run.pid, 0);
	scope_close(&child_in);
	scope_close(&child_out);
	scope_close(&child_errors);
	child_in = child_out = child_errors = -1;
	if (run.pid_fd < 0 ||
	    pump(&run, spec, spec->output ? spec->output : &dropped, errors, world_elapsed_ms(world_real) + timeout_ms)) {
		(void)kill(-run.pid, SIGKILL); /* posix_spawn gave it a session of its own */
		(void)waitpid(run.pid, NULL, 0);
		return err_set(err, ERR_LIMIT, "%s ran longer than %lld ms", spec->argv[0], (long long)timeout_ms);
	}
	if (process_wait(run.pid_fd, -1, &code, err))
		return -1;
	if (status)
		*status = code;
	else if (code) {
		struct view line = last_line(errors);

		return err_set(err, ERR_INVALID, "%s ended with %d: %.*s", spec->argv[0], code,
			       (int)(line.length < 300 ? line.length : 300), line.at);
	}
	return spec->output && !spec->output_fd ? buf_finish(spec->output, err) : 0;
}
