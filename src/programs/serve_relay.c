/* One child. */
#include "programs/serve_relay.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "base/process.h"
#include "base/scope.h"

#define END_TIMEOUT_MS 3000

struct serve_relay {
	char *relay, *domain, *token_file, *forward;
	int pid_fd; /* -1: none */
};

static int process_begin(struct serve_relay *relay, struct err *err)
{
	const char *const argv[] = {"/proc/self/exe", "relay",        "--to",          relay->relay,
				    "--domain",       relay->domain,  "--token-file",  relay->token_file,
				    "--forward",      relay->forward, "--with-parent", NULL};
	const char *const env[] = {"PATH=/usr/bin:/bin", "HOME=/nonexistent", "LANG=C.UTF-8", NULL};
	AUTO_CLOSE int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	pid_t pid;

	if (null < 0)
		return err_errno(err, errno, "cannot start the way to the relay");
	return process_start(argv, env, (int[]){null, null, STDERR_FILENO}, 3, &pid, &relay->pid_fd, err);
}

int serve_relay_open(const struct serve_relay_options *options, struct serve_relay **relay, struct err *err)
{
	struct serve_relay *made = mem_new(sizeof(*made));

	*made = (struct serve_relay){.relay = text_copy(options->relay),
				     .domain = text_copy(options->domain),
				     .token_file = text_copy(options->token_file),
				     .forward = text_copy(options->forward),
				     .pid_fd = -1};
	if (!made->token_file || access(made->token_file, R_OK)) {
		(void)err_set(err, ERR_INVALID, "preview-relay-token: expected a file with the relay's token%s%s",
			      made->token_file ? ", not " : "", made->token_file ? made->token_file : "");
		serve_relay_close(made);
		return -1;
	}
	if (process_begin(made, err)) {
		serve_relay_close(made);
		return -1;
	}
	*relay = made;
	return 0;
}

void serve_relay_look(struct serve_relay *relay)
{
	struct err err = {0};

	if (relay->pid_fd >= 0 && process_wait(relay->pid_fd, 0, NULL, &err) && err.kind == ERR_RETRY)
		return;
	log_warn("the way to the relay ended; it is started again");
	scope_close(&relay->pid_fd);
	relay->pid_fd = -1;
	if (process_begin(relay, &err))
		log_error("%s", err.text);
}

void serve_relay_close(struct serve_relay *relay)
{
	if (!relay)
		return;
	if (relay->pid_fd >= 0) {
		(void)syscall(SYS_pidfd_send_signal, relay->pid_fd, SIGTERM, NULL, 0);
		if (process_wait(relay->pid_fd, END_TIMEOUT_MS, NULL, NULL))
			(void)syscall(SYS_pidfd_send_signal, relay->pid_fd, SIGKILL, NULL, 0);
		scope_close(&relay->pid_fd);
	}
	free(relay->relay);
	free(relay->domain);
	free(relay->token_file);
	free(relay->forward);
	free(relay);
}
