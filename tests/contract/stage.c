/*
 * stage: runs a command as if it were in a sandbox: names and connections of it come to a real gateway, with a real vault behind it, and the
 * outside is this machine. For tests and benchmarks with real programs on both ends.
 *
 *	stage [--environment ID] [--authorities PEM] [--before COMMAND] [--ledger yes] [--secret 'NAME VALUE RULE PLACE'] ROUTES NAME…
 *		-- COMMAND [ARGUMENT…]
 *
 * ROUTES is a file with the body of ENV_PUT; each NAME is a host outside, which the gateway finds at 127.0.0.1, or, as NAME=ADDRESS, there. The --before command (a line for
 * sh) runs outside, as the hosts: it says it is ready by making the file $STAGE/ready, and is ended with the stage. The command finds in
 * its environment: STAGE (a folder of its own), ASSAY_CA (the environment's authority), GATEWAY_PID. With --ledger the gateway keeps one, in
 * $STAGE/ledger, whose heads the vault signs; with --secret the environment has a credential (`-` in RULE stands for a blank), and
 * ASSAY_PLACEHOLDER is what its sandboxes see of it. What models' calls used is in $STAGE/usage; SIGHUP to the stage takes $STAGE/routes as new ROUTES, SIGUSR1 kills, SIGUSR2 undoes that. The exit code is the command's; 77 when it cannot be done here.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"
#include "base/world.h"
#include "gateway_fixture.h"
#include "ledger/ledger.h"
#include "vault/vault.h"

#define EXIT_SKIP 77
#define READY_POLLS 1000
#define ROUTES_BYTES_MAX ((size_t)4 << 20)

struct stage {
	const char *env;
	const char *authorities;
	const char *before;
	const char *secret;
	bool ledger;
	const char *routes;
	char **names;
	size_t name_count;
	char **command;
	char dir[64];
};

static _Noreturn void give_up(const char *what)
{
	perror(what);
	exit(1);
}

static bool options_parse(int argc, char **argv, struct stage *stage)
{
	int at = 1;

	for (; at + 1 < argc && strncmp(argv[at], "--", 2) == 0 && argv[at][2]; at += 2) {
		if (strcmp(argv[at], "--environment") == 0)
			stage->env = argv[at + 1];
		else if (strcmp(argv[at], "--authorities") == 0)
			stage->authorities = argv[at + 1];
		else if (strcmp(argv[at], "--before") == 0)
			stage->before = argv[at + 1];
		else if (strcmp(argv[at], "--secret") == 0)
			stage->secret = argv[at + 1];
		else if (strcmp(argv[at], "--ledger") == 0)
			stage->ledger = true;
		else
			return false;
	}
	if (at >= argc)
		return false;
	stage->routes = argv[at++];
	stage->names = argv + at;
	while (at < argc && strcmp(argv[at], "--") != 0) {
		stage->name_count++;
		at++;
	}
	stage->command = argv + at + 1;
	return at + 1 < argc;
}

static void text_mount(const struct stage *stage, const char *name, const char *text, const char *place)
{
	AUTO_FREE char *path = text_format("%s/%s", stage->dir, name);
	struct err err = {0};

	if (file_replace(path, view_of(text), 0644, &err) || mount(path, place, NULL, MS_BIND, NULL))
		give_up(place);
}

static void mounts_own(void)
{
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		give_up("a mount namespace");
}

/* "NAME" is here, "NAME=ADDRESS" elsewhere. */
static void host_line(struct buf *text, const char *name)
{
	struct view address;
	struct view host = view_cut(view_of(name), '=', &address);

	buf_add_format(text, "%.*s %.*s\n", address.at ? (int)address.length : 9, address.at ? address.at : "127.0.0.1",
		       (int)host.length, host.at);
}

/* How the gateway and the hosts outside see names. */
static void hosts_mount(const struct stage *stage)
{
	AUTO_BUF text = buf_new(ROUTES_BYTES_MAX);

	buf_add_text(&text, "127.0.0.1 localhost\n");
	for (size_t i = 0; i < stage->name_count; i++)
		host_line(&text, stage->names[i]);
	text_mount(stage, "hosts-outside", text.at, "/etc/hosts");
}

static pid_t before_start(const struct stage *stage)
{
	AUTO_FREE char *ready = text_format("%s/ready", stage->dir);
	pid_t pid = fork();

	if (pid == 0) {
		(void)setpgid(0, 0);
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)execl("/bin/sh", "sh", "-c", stage->before, (char *)NULL);
		_exit(127);
	}
	for (int i = 0; i < READY_POLLS && !file_exists(ready); i++)
		(void)usleep(20000);
	if (!file_exists(ready)) {
		(void)fprintf(stderr, "stage: the hosts outside did not start\n");
		(void)kill(-pid, SIGKILL);
		exit(1);
	}
	return pid;
}

/* The gateway's link to a vault of its own. */
static struct vault *vault_introduce(struct world_fixture *world, const struct stage *stage)
{
	AUTO_FREE char *state = text_format("%s/state", stage->dir);
	AUTO_FREE char *ca = text_format("%s/ca.pem", stage->dir);
	AUTO_BUF pem = buf_new(65536);
	AUTO_JSON body = json_object();
	AUTO_JSON answer = NULL;
	struct vault *vault = NULL;
	struct err err = {0};
	char hash[9];
	int fd = -1;

	if (vault_open(state, &vault, &err) || vault_gateway_link(vault, &fd, &err) ||
	    vault_authority(vault, stage->env, &pem, hash, &err) || file_replace(ca, buf_view(&pem), 0644, &err)) {
		(void)fprintf(stderr, "stage: %s\n", err.text);
		exit(1);
	}
	answer = link_call(world->link, MESSAGE_VAULT, body, &fd, 1, 5000, &err);
	(void)close(fd);
	if (!answer) {
		(void)fprintf(stderr, "stage: %s\n", err.text);
		exit(1);
	}
	(void)setenv("ASSAY_CA", ca, 1);
	return vault;
}

/* On the link's thread: what serve would have signed. */
static void head_sign(void *self, struct link *link, struct link_message *message)
{
	struct vault *vault = self;
	struct ledger_head head;
	char line[LEDGER_HEAD_TEXT_MAX];
	char key_id[65];
	AUTO_JSON body = NULL;
	struct err err = {0};

	if (!ledger_head_parse(view_of(json_text(message->body, "head", "")), &head, &err)) {
		unsigned char bytes[LEDGER_HEAD_BYTES];

		ledger_head_bytes(&head, bytes);
		if (!vault_sign(vault, view_make(bytes, sizeof(bytes)), head.signature, key_id, &err)) {
			ledger_head_format(&head, line);
			body = json_pack("{s:s}", "head", line);
		}
	}
	link_reply(link, message->name, message->request, body, body ? NULL : &err);
}

static void ledger_introduce(struct world_fixture *world, struct vault *vault, const struct stage *stage)
{
	AUTO_FREE char *path = text_format("%s/ledger", stage->dir);
	AUTO_BUF key = buf_new(65536);
	AUTO_JSON body = NULL;
	AUTO_JSON answer = NULL;
	unsigned char signature[64];
	char key_id[65];
	struct err err = {0};
	int folder = -1;

	fixture_head_sign = head_sign;
	fixture_head_sign_self = vault;
	if (mkdir(path, 0700) || chmod(path, 0777) /* whoever the gateway becomes */ ||
	    (folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		give_up(path);
	if (!vault_public_key(vault, &key, &err) && !vault_sign(vault, VIEW("x"), signature, key_id, &err)) {
		body = json_pack("{s:s, s:s}", "key_id", key_id, "key", key.at);
		answer = link_call(world->link, MESSAGE_LEDGER, body, &folder, 1, 5000, &err);
	}
	(void)close(folder);
	if (!answer) {
		(void)fprintf(stderr, "stage: the ledger: %s\n", err.text);
		exit(1);
	}
}

/* Binds the credential of --secret, and adds it to the routes. */
static void secret_introduce(struct vault *vault, const struct stage *stage, struct buf *routes)
{
	AUTO_FREE char *text = text_copy(stage->secret);
	AUTO_JSON json = json_parse(buf_view(routes), NULL);
	AUTO_BUF placeholder = buf_new(65536);
	struct credential_use use = {0};
	struct err err = {0};
	char *words[4];
	char *at = text;

	for (size_t i = 0; i < 4; i++)
		words[i] = strsep(&at, " ");
	for (char *blank = words[2]; blank && (blank = strchr(blank, '-')); blank++)
		*blank = ' ';
	if (!json || !words[3] || credential_rule_parse(view_of(words[2]), &use, &err) ||
	    credential_place_parse(view_of(words[3]), &use, &err) ||
	    vault_secret_set(vault, words[0], &use, view_of(words[1]), &err) ||
	    vault_secret_bind(vault, stage->env, words[0], &use, &placeholder, &err)) {
		(void)fprintf(stderr, "stage: %s: %s\n", stage->secret, err.text);
		exit(1);
	}
	(void)json_object_set_new(json, "credentials",
				  json_pack("[{s:s, s:s, s:[s], s:s}]", "name", words[0], "placeholder", placeholder.at, "for",
					    words[2], "in", words[3]));
	(void)setenv("ASSAY_PLACEHOLDER", placeholder.at, 1);
	buf_clear(routes);
	json_format(routes, json);
}

static int64_t now_us(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* SIGUSR1: the environment is killed, and $STAGE/killed says in how many microseconds, and when that began, in milliseconds since 1970; SIGUSR2:
 * undone. */
static void kill_switch(const struct stage *stage, struct world_fixture *world, bool undo)
{
	AUTO_FREE char *path = text_format("%s/%s", stage->dir, undo ? "undone" : "killed");
	AUTO_FREE char *body = text_format("{\"env\": \"%s\", \"because\": \"a test\", \"undo\": %s}", stage->env,
					   undo ? "true" : "false");
	int64_t began_ms = world_now_ms(world_real);
	int64_t began_us = now_us();
	AUTO_JSON answer = control(world, MESSAGE_KILL, body);
	AUTO_FREE char *line = text_format("%lld %lld\n", (long long)(answer ? now_us() - began_us : -1), (long long)began_ms);

	(void)!file_replace(path, view_of(line), 0644, NULL);
}

/* SIGHUP: the routes in $STAGE/routes hold from now on; then $STAGE/reloaded is there. */
static void routes_reload(const struct stage *stage, struct world_fixture *world)
{
	AUTO_FREE char *path = text_format("%s/routes", stage->dir);
	AUTO_FREE char *done = text_format("%s/reloaded", stage->dir);
	AUTO_BUF text = buf_new(ROUTES_BYTES_MAX);
	AUTO_BUF whole = buf_new(ROUTES_BYTES_MAX);
	AUTO_JSON body = file_read(path, &text, NULL) ? NULL : json_parse(buf_view(&text), NULL);
	AUTO_JSON answer = NULL;

	if (!body)
		return;
	(void)json_object_set_new(body, "env", json_string(stage->env));
	(void)json_object_set_new(body, "state", json_string("ready"));
	json_format(&whole, body);
	answer = control(world, MESSAGE_ENV_PUT, whole.at);
	(void)!file_replace(done, answer ? VIEW("taken\n") : VIEW("refused\n"), 0644, NULL);
}

static int command_wait(const struct stage *stage, struct world_fixture *world, const sigset_t *signals, pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, WNOHANG) == 0) {
		int got = sigwaitinfo(signals, NULL);

		if (got == SIGUSR1 || got == SIGUSR2)
			kill_switch(stage, world, got == SIGUSR2);
		else if (got == SIGHUP)
			routes_reload(stage, world);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int command_run(const struct stage *stage, struct world_fixture *world, const sigset_t *signals)
{
	AUTO_FREE char *gateway = text_format("%d", (int)world->gateway);
	pid_t pid = fork();

	if (pid == 0) {
		(void)sigprocmask(SIG_UNBLOCK, signals, NULL);
		mounts_own();
		text_mount(stage, "hosts-inside", "127.0.0.1 localhost\n", "/etc/hosts");
		text_mount(stage, "resolv.conf", "nameserver 127.0.0.1\noptions ndots:1 timeout:5\n", "/etc/resolv.conf");
		(void)setenv("GATEWAY_PID", gateway, 1);
		(void)execvp(stage->command[0], stage->command);
		perror(stage->command[0]);
		_exit(127);
	}
	return command_wait(stage, world, signals, pid);
}

int main(int argc, char **argv)
{
	struct stage stage = {.env = "stage"};
	const char *arguments[] = {"--reach", "127.0.0.0/8", NULL, NULL, NULL};
	AUTO_BUF routes = buf_new(ROUTES_BYTES_MAX);
	AUTO_FREE char *usage = NULL;
	struct world_fixture *world;
	struct vault *vault;
	struct copy copy;
	struct err err = {0};
	pid_t before = -1;
	sigset_t signals;
	int code;

	if (argc > 1 && strcmp(argv[1], "vault") == 0)
		return vault_main(argc - 1, argv + 1);
	if (!options_parse(argc, argv, &stage)) {
		(void)fprintf(
			stderr,
			"usage: stage [--environment ID] [--authorities PEM] [--before LINE] [--ledger yes] [--secret TEXT] ROUTES NAME… -- COMMAND…\n");
		return 2;
	}
	if (geteuid() != 0)
		return EXIT_SKIP;
	(void)snprintf(stage.dir, sizeof(stage.dir), "/tmp/assay-stage-XXXXXX");
	if (!mkdtemp(stage.dir) || chmod(stage.dir, 0755))
		give_up("a folder");
	(void)setenv("STAGE", stage.dir, 1);
	usage = text_format("%s/usage", stage.dir);
	fixture_usage_path = usage;
	if (stage.authorities) {
		arguments[2] = "--authorities";
		arguments[3] = stage.authorities;
	}
	if (file_read(stage.routes, &routes, &err)) {
		(void)fprintf(stderr, "stage: %s\n", err.text);
		return 2;
	}
	(void)sigemptyset(&signals);
	(void)sigaddset(&signals, SIGUSR1);
	(void)sigaddset(&signals, SIGUSR2);
	(void)sigaddset(&signals, SIGHUP);
	(void)sigaddset(&signals, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &signals, NULL); /* in every thread */
	fixture_arguments = arguments;
	fixture_dns_port = 53;
	mounts_own();
	hosts_mount(&stage);
	world = world_open();
	if (!world)
		return EXIT_SKIP;
	if (stage.before)
		before = before_start(&stage);
	vault = vault_introduce(world, &stage);
	if (stage.ledger)
		ledger_introduce(world, vault, &stage);
	if (stage.secret)
		secret_introduce(vault, &stage, &routes);
	copy_make(world, stage.env, "ready", routes.at, &copy);
	copy_caller(&copy, "workspace");
	code = command_run(&stage, world, &signals);
	copy_drop(&copy);
	world_close(world);
	vault_close(vault);
	if (before > 0) {
		(void)kill(-before, SIGKILL);
		(void)waitpid(before, NULL, 0);
	}
	if (file_remove_tree(stage.dir, &err))
		(void)fprintf(stderr, "stage: %s\n", err.text);
	return code;
}
