/* The gateway's beginning and end. */
#include "gateway/gateway.h"

#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/place.h"
#include "base/scope.h"
#include "gateway/control.h"
#include "gateway/egress/dial.h"
#include "gateway/egress/mint.h"
#include "gateway/egress/record.h"
#include "gateway/egress/release.h"
#include "gateway/egress/pipeline.h"
#include "gateway/egress/scan_rules.h"
#include "gateway/egress/upstream.h"
#include "gateway/env.h"
#include "gateway/flow.h"
#include "gateway/front.h"
#include "gateway/policy/policy.h"
#include "gateway/preview.h"
#include "net/pool.h"
#include "net/socket.h"

#define DESCRIPTORS_LEAST 1024
#define DESCRIPTORS_MOST ((size_t)1 << 20)
#define LOOKUP_THREADS 4
#define LOOKUPS_WAITING_MAX 256

struct options {
	int link_fd;
	const char *preview_listen;
	const char *front_listen;
	const char *tool_socket;
	const char *user;
	const char *authorities;
};

static struct loop *stopped_by_signal;

static void on_signal(int number)
{
	(void)number;
	loop_stop(stopped_by_signal);
}

static int options_parse(int argc, char **argv, struct options *options, struct err *err)
{
	static const struct option names[] = {
		{"link-fd", required_argument, NULL, 'l'},      {"preview-listen", required_argument, NULL, 'p'},
		{"front-listen", required_argument, NULL, 'f'}, {"tool-socket", required_argument, NULL, 't'},
		{"user", required_argument, NULL, 'u'},         {"reach", required_argument, NULL, 'r'},
		{"authorities", required_argument, NULL, 'a'},  {NULL, 0, NULL, 0},
	};
	uint64_t number;
	int option;

	*options = (struct options){.link_fd = -1, .user = GATEWAY_USER};
	optind = 1;
	opterr = 0;
	while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
		if (option == 'l' && view_to_u64(view_of(optarg), &number) && number < 1 << 20)
			options->link_fd = (int)number;
		else if (option == 'p')
			options->preview_listen = optarg;
		else if (option == 'f')
			options->front_listen = optarg;
		else if (option == 't')
			options->tool_socket = optarg;
		else if (option == 'u')
			options->user = optarg;
		else if (option == 'a')
			options->authorities = optarg;
		else if (option == 'r') {
			if (reach_add(optarg, err))
				return -1;
		} else
			return err_set(
				err, ERR_INVALID,
				"usage: assay gateway --link-fd N --preview-listen ADDRESS:PORT [--front-listen ADDRESS:PORT] [--tool-socket PATH] [--user NAME] "
				"[--reach ADDRESS/BITS]… [--authorities FILE]");
	}
	if (options->link_fd < 0)
		return err_set(err, ERR_INVALID, "--link-fd is missing: the gateway is started by `assay serve`");
	return 0;
}

/* Root is needed to own the tool API's socket, and for nothing after it. */
static int privileges_drop(const struct options *options, struct err *err)
{
	const struct passwd *user;

	if (geteuid() != 0)
		return 0;
	user = getpwnam(options->user);
	if (!user || user->pw_uid == 0)
		return err_set(err, ERR_INVALID, "the gateway cannot become `%s`: there is no such unprivileged user",
			       options->user);
	if (options->tool_socket && chown(options->tool_socket, user->pw_uid, (gid_t)-1) && errno != ENOENT)
		return err_errno(err, errno, "cannot hand %s to `%s`", options->tool_socket, options->user);
	if (setgroups(0, NULL) || setresgid(user->pw_gid, user->pw_gid, user->pw_gid) ||
	    setresuid(user->pw_uid, user->pw_uid, user->pw_uid))
		return err_errno(err, errno, "cannot become `%s`", options->user);
	return 0;
}

/* Ends with its parent, gains nothing by exec, may open as many descriptors as it is allowed. */
static int confine(pid_t parent, size_t *descriptors, struct err *err)
{
	struct rlimit files = {.rlim_cur = DESCRIPTORS_LEAST};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_PDEATHSIG, SIGKILL))
		return err_errno(err, errno, "cannot confine the gateway");
	if (getppid() != parent)
		return err_set(err, ERR_CANCELLED, "the parent is gone");
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	*descriptors = files.rlim_cur < DESCRIPTORS_MOST ? (size_t)files.rlim_cur : DESCRIPTORS_MOST;
	return 0;
}

/* Where the compiled rules are kept, for the user that the gateway becomes; NULL: nowhere, and they are compiled at each start. */
static char *scan_cache_make(const struct options *options)
{
	const struct passwd *user = geteuid() == 0 ? getpwnam(options->user) : NULL;
	AUTO_FREE char *state = place_state(NULL);
	AUTO_FREE char *path = state ? text_format("%s/dlp", state) : NULL;

	if (!path || file_make_dirs(path, 0700, NULL) || (user && chown(path, user->pw_uid, user->pw_gid)))
		return NULL;
	return TAKE(path);
}

/* Previews for people elsewhere: nothing answers until their certificate has come (FRONT). */
static int front_begin(struct worker *worker, const char *address, struct err *err)
{
	int listener = -1;

	worker->front = front_new();
	if (address && socket_listen_tcp(address, &listener, err))
		return -1;
	worker->outer = preview_new(worker, listener, worker->front, err);
	if (worker->outer && address)
		log_info("previews for people elsewhere at %s, port %d", address, socket_port(listener));
	return worker->outer ? 0 : -1;
}

static int worker_begin(struct worker *worker, const struct options *options, pid_t parent, struct err *err)
{
	AUTO_FREE char *scan_cache = NULL;
	int listener = -1;
	size_t descriptors = 0;

	worker->scratch = mem_new(SCRATCH_BYTES);
	worker->tool_socket = options->tool_socket;
	worker->loop = loop_new(err);
	if (!worker->loop || tls_server_new(&worker->tls_server, err) ||
	    tls_client_new(options->authorities, &worker->tls_client, err))
		return -1;
	worker->mint = mint_new(worker);
	worker->releases = releases_new(worker->mint);
	worker->upstreams = upstreams_new(worker);
	worker->names = dial_names_new();
	if (options->preview_listen) {
		if (socket_listen_tcp(options->preview_listen, &listener, err))
			return -1;
		worker->preview = preview_new(worker, listener, NULL, err);
		if (!worker->preview)
			return -1;
		log_info("previews at %s, port %d", options->preview_listen, socket_port(listener));
	}
	if (front_begin(worker, options->front_listen, err))
		return -1;
	scan_cache = scan_cache_make(options);
	if (privileges_drop(options, err) || confine(parent, &descriptors, err))
		return -1;
	worker->env_flows_max = ENV_FLOWS_SHARE(descriptors);
	worker->log_writer = log_writer_new(err);
	worker->lookups = worker->log_writer ? pool_new(LOOKUP_THREADS, LOOKUPS_WAITING_MAX, err) : NULL;
	if (!worker->lookups)
		return -1;
	scan_begin(worker, scan_cache);
	releases_changed_set(worker->releases, scan_vault_changed, worker);
	return control_begin(worker, options->link_fd, err);
}

static void worker_end(struct worker *worker)
{
	while (worker->envs)
		env_remove(worker->envs);
	while (worker->loose)
		flow_close(worker->loose, "the gateway ends");
	pool_free(worker->lookups);
	releases_free(worker->releases);
	record_close(worker);
	link_free(worker->link);
	if (worker->loop)
		loop_drain(worker->loop);
	scan_end(worker);
	preview_free(worker->preview);
	preview_free(worker->outer);
	front_free(worker->front);
	mint_free(worker->mint);
	upstreams_free(worker->upstreams);
	dial_names_free(worker->names);
	pipelines_free(worker);
	tls_side_free(worker->tls_server);
	tls_side_free(worker->tls_client);
	policy_release(worker->policy);
	log_writer_free(worker->log_writer);
	loop_free(worker->loop);
	buf_spares_fini(&worker->spares);
	tls_memory_drop();
	free(worker->scratch);
}

int gateway_main(int argc, char **argv)
{
	struct worker *worker = mem_new(sizeof(*worker));
	struct sigaction stop = {.sa_handler = on_signal};
	pid_t parent = getppid();
	struct options options;
	struct err err;
	int code = 0;

	tls_memory_keep();
	log_init("gateway", LOG_LEVEL_INFO);
	(void)signal(SIGPIPE, SIG_IGN);
	if (options_parse(argc, argv, &options, &err) || worker_begin(worker, &options, parent, &err)) {
		log_error("%s", err.text);
		code = 1;
	} else {
		stopped_by_signal = worker->loop;
		(void)sigaction(SIGTERM, &stop, NULL);
		(void)sigaction(SIGINT, &stop, NULL);
		loop_run(worker->loop);
		(void)signal(SIGTERM, SIG_IGN);
		(void)signal(SIGINT, SIG_IGN);
	}
	worker_end(worker);
	free(worker);
	return code;
}
