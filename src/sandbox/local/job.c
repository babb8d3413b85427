/* Work that takes long, in a forked child that writes its error, if any, into a pipe and ends. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox/local/keeper_priv.h"

struct job {
	enum watch watch;
	struct job *next;
	struct job_spec spec;
	pid_t pid;
	int pid_fd;
	int report_fd;
};

static struct job *jobs;

int job_start(struct keeper *keeper, const struct job_spec *spec, struct err *err)
{
	struct job *job;
	int report[2];
	pid_t pid;

	if (pipe2(report, O_CLOEXEC | O_NONBLOCK))
		return err_errno(err, errno, "cannot make a pipe");
	pid = fork();
	if (pid == 0) {
		struct err failure = {0};

		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (spec->work(spec->self, &failure) == 0)
			failure.kind = ERR_NONE;
		(void)!write(report[1], &failure, sizeof(failure));
		_exit(0);
	}
	(void)close(report[1]);
	if (pid < 0) {
		(void)close(report[0]);
		return err_errno(err, errno, "cannot start a child");
	}
	job = mem_new(sizeof(*job));
	*job = (struct job){.watch = WATCH_JOB, .next = jobs, .spec = *spec, .pid = pid, .report_fd = report[0]};
	job->pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
	jobs = job;
	(void)epoll_ctl(keeper->epoll_fd, EPOLL_CTL_ADD, job->pid_fd, &(struct epoll_event){.events = EPOLLIN, .data.ptr = job});
	return 0;
}

/* A child that was forked meanwhile may hold the descriptor too: only removing it keeps its events away. */
static void job_end(struct keeper *keeper, struct job *job, const struct err *failure)
{
	struct job **place = &jobs;

	while (*place != job)
		place = &(*place)->next;
	*place = job->next;
	(void)epoll_ctl(keeper->epoll_fd, EPOLL_CTL_DEL, job->pid_fd, NULL);
	(void)close(job->pid_fd);
	(void)close(job->report_fd);
	job->spec.done(job->spec.self, failure);
	free(job);
}

void job_finish(struct keeper *keeper, struct job *job)
{
	struct err failure = {0};
	bool told = read(job->report_fd, &failure, sizeof(failure)) == (ssize_t)sizeof(failure);

	(void)waitpid(job->pid, NULL, 0);
	if (!told)
		(void)err_set(&failure, ERR_RETRY, "the work was interrupted");
	job_end(keeper, job, failure.kind == ERR_NONE ? NULL : &failure);
}

void jobs_cancel(struct keeper *keeper, struct env_id env)
{
	struct job *job = jobs, *next;

	for (; job; job = next) {
		struct err failure;

		next = job->next;
		if (strcmp(job->spec.env.text, env.text) != 0)
			continue;
		(void)kill(job->pid, SIGKILL);
		(void)waitpid(job->pid, NULL, 0);
		(void)err_set(&failure, ERR_CANCELLED, "the environment is being removed");
		job_end(keeper, job, &failure);
	}
}

void jobs_kill(void)
{
	for (const struct job *job = jobs; job; job = job->next) {
		(void)kill(job->pid, SIGKILL);
		(void)waitpid(job->pid, NULL, 0);
	}
}
