/* The relay's process: a loop, and the user nobody. */
#include "programs/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/scope.h"
#include "cli/cli.h"
#include "relay/relay.h"
#include "relay/wire.h"

#define USER "nobody"
#define VISITORS_DEFAULT "0.0.0.0:443"
#define MACHINES_DEFAULT "0.0.0.0:7422"

struct arguments {
	const char *listen, *machines, *tokens;         /* of the relay */
	const char *to, *domain, *token_file, *forward; /* of a machine */
	bool with_parent;
};

static struct loop *stopped_by_signal;

static void on_signal(int number)
{
	(void)number;
	loop_stop(stopped_by_signal);
}

/* The ports are bound and the files are open: nothing needs root any more. */
static int privileges_drop(struct err *err)
{
	struct rlimit files;
	const struct passwd *user = geteuid() == 0 ? getpwnam(USER) : NULL;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	if (geteuid() == 0 && (!user || setgroups(0, NULL) || setresgid(user->pw_gid, user->pw_gid, user->pw_gid) ||
			       setresuid(user->pw_uid, user->pw_uid, user->pw_uid)))
		return err_errno(err, errno, "cannot become `" USER "`");
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ? err_errno(err, errno, "cannot confine the relay") : 0;
}

static int relay_serve(struct loop *loop, const struct arguments *arguments, struct err *err)
{
	AUTO_CLOSE int tokens = open(arguments->tokens, O_RDONLY | O_CLOEXEC);
	const struct relay_server_options options = {
		.loop = loop, .visitors = arguments->listen, .machines = arguments->machines, .tokens = tokens};
	struct relay_server *server = NULL;

	if (tokens < 0)
		return err_errno(err, errno, "cannot read %s", arguments->tokens);
	if (relay_server_open(&options, &server, err))
		return -1;
	if (privileges_drop(err)) {
		relay_server_close(server);
		return -1;
	}
	log_info("visitors at port %d, machines at port %d", relay_server_visitors_port(server),
		 relay_server_machines_port(server));
	loop_run(loop);
	relay_server_close(server);
	return 0;
}

/* After a change of users, which forgets it. */
static int parent_follow(pid_t parent, struct err *err)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL))
		return err_errno(err, errno, "cannot end with its parent");
	return getppid() == parent ? 0 : err_set(err, ERR_CANCELLED, "the parent is gone");
}

static int relay_join(struct loop *loop, const struct arguments *arguments, struct err *err)
{
	pid_t parent = getppid();
	AUTO_BUF file = buf_new(WIRE_TOKEN_MAX + 2);
	AUTO_FREE char *token = NULL;
	struct relay_client_options options = {
		.loop = loop, .relay = arguments->to, .domain = arguments->domain, .forward = arguments->forward};
	struct relay_client *client = NULL;
	int failed;

	if (file_read(arguments->token_file, &file, err) || buf_finish(&file, err))
		return -1;
	options.token = token = view_copy(view_trim(buf_view(&file)));
	explicit_bzero(file.at, file.length);
	failed = privileges_drop(err) || (arguments->with_parent && parent_follow(parent, err)) ||
		 relay_client_open(&options, &client, err);
	explicit_bzero(token, strlen(token));
	if (failed)
		return -1;
	loop_run(loop);
	relay_client_close(client);
	return 0;
}

static int arguments_check(const char *program, const struct arguments *arguments)
{
	if (!arguments->to && !arguments->tokens)
		return cli_refuse(program, "--tokens FILE is missing; or --to HOST:PORT, on a machine behind a relay");
	if (arguments->to && (!arguments->domain || !arguments->token_file || !arguments->forward))
		return cli_refuse(program, "--to goes with --domain, --token-file and --forward");
	if (arguments->to && arguments->tokens)
		return cli_refuse(program, "--to and --tokens are one too many");
	return CLI_DONE;
}

int relay_main(int argc, char **argv)
{
	struct arguments arguments = {.listen = VISITORS_DEFAULT, .machines = MACHINES_DEFAULT};
	const struct cli_option options[] = {
		{.name = "tokens",
		 .value = "FILE",
		 .help = "who may be behind which domain: lines `DOMAIN TOKEN`",
		 .text = &arguments.tokens},
		{.name = "listen", .value = "ADDRESS", .help = "visitors (" VISITORS_DEFAULT ")", .text = &arguments.listen},
		{.name = "machines", .value = "ADDRESS", .help = "machines (" MACHINES_DEFAULT ")", .text = &arguments.machines},
		{.name = "to", .value = "HOST:PORT", .help = "be the machine behind that relay", .text = &arguments.to},
		{.name = "domain", .value = "DOMAIN", .help = "for visitors of https://ENV.DOMAIN", .text = &arguments.domain},
		{.name = "token-file",
		 .value = "FILE",
		 .help = "the token that the relay knows for it",
		 .text = &arguments.token_file},
		{.name = "forward", .value = "ADDRESS", .help = "where visits go: 127.0.0.1:443", .text = &arguments.forward},
		{.name = "with-parent", .help = "end when the process that started it ends", .flag = &arguments.with_parent},
	};
	const struct cli_usage usage = {
		.program = "assay relay",
		.arguments =
			"--tokens FILE [--listen A:P] [--machines A:P] | --to HOST:PORT --domain D --token-file FILE --forward A:P",
		.about =
			"Forwards bytes between visitors and machines that can open no port. TLS ends at the machine: the relay has no key.",
		.options = options,
		.option_count = ARRAY_LEN(options)};
	struct sigaction stop = {.sa_handler = on_signal};
	struct loop *loop;
	struct err err = {0};
	int code = CLI_DONE;

	log_init("relay", LOG_LEVEL_INFO);
	if (cli_options(&usage, argc, argv, &code) < 0 || (code = arguments_check(usage.program, &arguments)) != CLI_DONE)
		return code;
	(void)signal(SIGPIPE, SIG_IGN);
	loop = loop_new(&err);
	stopped_by_signal = loop;
	if (loop) {
		(void)sigaction(SIGTERM, &stop, NULL);
		(void)sigaction(SIGINT, &stop, NULL);
	}
	if (!loop || (arguments.to ? relay_join(loop, &arguments, &err) : relay_serve(loop, &arguments, &err)))
		code = cli_fail(usage.program, false, &err);
	(void)signal(SIGTERM, SIG_IGN);
	(void)signal(SIGINT, SIG_IGN);
	loop_free(loop);
	return code;
}
