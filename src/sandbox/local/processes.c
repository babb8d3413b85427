/*
 * The processes of a room where there are no control groups (the keeper of an ordinary user to whom none are delegated): found as the
 * descendants of its pid 1, counted from /proc, frozen by a signal that all of them get at once from inside their pid namespace.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sandbox/local/keeper_priv.h"

#define CHILDREN_BYTES ((size_t)64 << 10)
#define DEPTH_MAX 1024
#define STOP_WAIT_STEPS 2000
#define STOP_SLEEP_STEPS 100
#define STOP_STEP_NS 1000000

/* Told of each; false ends the walk. */
typedef bool visitor(void *self, pid_t pid);

static bool walk(pid_t pid, int depth, visitor *visit, void *self);

static bool children_walk(const char *file, int depth, visitor *visit, void *self)
{
	AUTO_FREE char *list = mem_new(CHILDREN_BYTES);
	bool on = true;

	if (!text_get(file, list, CHILDREN_BYTES))
		return true;
	for (char *save = NULL, *word = strtok_r(list, " \n", &save); word && on; word = strtok_r(NULL, " \n", &save))
		on = walk(atoi(word), depth + 1, visit, self);
	return on;
}

static bool walk(pid_t pid, int depth, visitor *visit, void *self)
{
	char path[64 + NAME_MAX];
	struct dirent *entry;
	bool on = pid > 0 && visit(self, pid);
	DIR *threads;

	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	threads = on && depth < DEPTH_MAX ? opendir(path) : NULL;
	while (threads && on && (entry = readdir(threads))) {
		if (entry->d_name[0] == '.')
			continue;
		(void)snprintf(path, sizeof(path), "/proc/%d/task/%s/children", (int)pid, entry->d_name);
		on = children_walk(path, depth, visit, self);
	}
	if (threads)
		(void)closedir(threads);
	return on;
}

/* What follows the name in /proc/PID/stat: "S ppid …"; the name may hold anything. */
static const char *stat_get(pid_t pid, char *text, size_t length)
{
	char path[64];
	const char *end;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (!text_get(path, text, length))
		return NULL;
	end = strrchr(text, ')');
	return end && end[1] == ' ' ? end + 2 : NULL;
}

struct count {
	struct sandbox_usage *usage;
	int64_t ticks;
};

static bool count_one(void *self, pid_t pid)
{
	struct count *count = self;
	char text[1024], path[64];
	const char *stat = stat_get(pid, text, sizeof(text));
	long times[4], resident, shared;

	if (!stat)
		return true;
	count->usage->pids++;
	if (sscanf(stat, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %ld %ld %ld %ld", &times[0], &times[1], &times[2],
		   &times[3]) == 4)
		count->ticks += times[0] + times[1] + times[2] + times[3];
	(void)snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
	if (text_get(path, text, sizeof(text)) && sscanf(text, "%*d %ld %ld", &resident, &shared) == 2)
		count->usage->memory_bytes += (resident - shared) * sysconf(_SC_PAGESIZE);
	return true;
}

void processes_usage(pid_t first, struct sandbox_usage *usage)
{
	struct count count = {.usage = usage};

	*usage = (struct sandbox_usage){0};
	(void)walk(first, 0, count_one, &count);
	usage->cpu_ms = count.ticks * 1000 / sysconf(_SC_CLK_TCK);
	usage->memory_peak_bytes = usage->memory_bytes;
}

/*
 * Pid 1 is ours and goes on; what has ended needs not be stopped. One that sleeps in the kernel will stop before it is back in its
 * program; that may never be: vfork waits for a child that is stopped.
 */
struct still {
	pid_t first;
	const char *states; /* that count */
	bool all;
};

static bool is_still(void *self, pid_t pid)
{
	struct still *still = self;
	char text[1024];
	const char *stat = pid == still->first ? NULL : stat_get(pid, text, sizeof(text));

	still->all = !stat || strchr(still->states, *stat);
	return still->all;
}

/* In a child of its own: joins each room's pid namespace, from where a grandchild signals all but its pid 1, in one act of the kernel. */
static void signal_all(const struct kept_env *env, int number) __attribute__((noreturn));
static void signal_all(const struct kept_env *env, int number)
{
	for (const struct room *room = env->rooms; room; room = room->next) {
		pid_t pid;

		if (!room->pid)
			continue;
		if (setns(room->pid_fd, CLONE_NEWPID))
			_exit(errno);
		pid = fork();
		if (pid == 0)
			_exit(kill(-1, number) && errno != ESRCH ? errno : 0);
		if (pid > 0)
			(void)waitpid(pid, NULL, 0);
	}
	_exit(0);
}

int processes_freeze(const struct kept_env *env, bool frozen, struct err *err)
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0)
		signal_all(env, frozen ? SIGSTOP : SIGCONT);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return err_errno(err, errno, "cannot start a child");
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		return err_errno(err, WIFEXITED(status) ? WEXITSTATUS(status) : EINTR, "cannot %s the environment",
				 frozen ? "stop" : "continue");
	for (int i = 0; frozen && i < STOP_WAIT_STEPS; i++) {
		struct still still = {.states = i < STOP_SLEEP_STEPS ? "TtZX" : "TtZXD", .all = true};

		for (const struct room *room = env->rooms; room && still.all; room = room->next) {
			still.first = room->pid;
			(void)walk(room->pid, 0, is_still, &still);
		}
		if (still.all)
			return 0;
		(void)nanosleep(&(struct timespec){0, STOP_STEP_NS}, NULL);
	}
	return frozen ? err_set(err, ERR_RETRY, "the environment did not stop in time") : 0;
}
