/*
 * process: run a program on the host and wait for it, or start one and hold it by pidfd. Children get an explicit environment and
 * explicit descriptors, never a shell, and start through posix_spawn, so this is safe in programs with threads. Blocking calls:
 * never on a loop.
 */
#ifndef ASSAY_BASE_PROCESS_H
#define ASSAY_BASE_PROCESS_H

#include <sys/types.h>

#include "base/buf.h"

struct process_spec {
	const char *const *argv; /* NULL-terminated; argv[0] is looked up in PATH */
	const char *const *env;  /* NULL-terminated "K=V"; NULL gives PATH, HOME=/nonexistent, LANG=C.UTF-8 and nothing else */
	const char *dir;         /* NULL: ours */
	struct view input;       /* written to stdin, then closed; empty: /dev/null */
	struct buf *output;      /* stdout is appended here, up to its maximum; NULL: /dev/null */
	struct buf *errors;      /* stderr; NULL: the last 4 KiB go into the error text */
	int64_t timeout_ms;      /* 0: one minute; over it the child is killed and ERR_LIMIT comes back */
	int input_fd;            /* > 0: stdin is this descriptor, `input` is not used */
	int output_fd;           /* > 0: stdout is this descriptor, `output` is not used */
};

/* Runs to the end. *status is the exit code, or 128 + signal. When `status` is NULL, any code but 0 is an error (ERR_INVALID) that
 * quotes the last line of stderr. */
MUST_USE int process_run(const struct process_spec *spec, int *status, struct err *err);

/* Starts and returns a pidfd (*pid is for reports only). fds[i] becomes descriptor i of the child for i < fd_count; all others close. */
MUST_USE int process_start(const char *const *argv, const char *const *env, const int *fds, size_t fd_count, pid_t *pid,
			   int *pid_fd, struct err *err);
/* Waits at most timeout_ms (-1: for ever); ERR_RETRY when it still runs. */
MUST_USE int process_wait(int pid_fd, int64_t timeout_ms, int *status, struct err *err);

#endif
