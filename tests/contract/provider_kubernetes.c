/*
 * The promises of sandbox/provider.h that a cluster can keep, at the scripted API server, whose kubelet of tests runs the pods as processes of this machine
 * (for root alone). With KUBECONFIG, and what `make check-kubernetes` needs besides, at that cluster.
 */
#include "kubernetes_fixture.h"
#include "provider_rest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/process.h"
#include "base/scope.h"
#include "net/socket.h"
#include "sandbox/kubernetes/check.h"
#include "sandbox/kubernetes/cluster.h"
#include "sandbox/kubernetes/conform.h"
#include "sandbox/link/mux.h"

#define WAIT_MS 60000
#define OUTPUT_MAX ((size_t)4 << 20)
#define NAME "assay.internal"
#define SCRIPTED_IMAGE "assay:test"

static struct cluster scripted; /* unless a real one is used */
static struct kube_config *config;
static struct kube_client *client;
static char folder[] = "/tmp/assay-cluster-XXXXXX";
static struct buf identity, authority;
static struct kube_cluster_options options;
static struct provider provider;

static const char *const plain_env[] = {"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/tmp", NULL};
static const struct sandbox_spec with_volume = {.mounts = {{"work", "/workspace", false}}, .mount_count = 1};

static void good(int result, const struct err *err)
{
	if (result)
		fail_msg("%s", err->text);
}

/* ---- steps ---- */

static struct env_id env_with(const struct sandbox_spec *base, const char *name)
{
	struct env_id env = env_id_new(world_real);
	struct sandbox_spec spec = base ? *base : (struct sandbox_spec){0};
	struct err err = {0};

	good(provider_env_make(provider, env, &err), &err);
	spec.env = env;
	spec.name = name;
	if (name)
		good(provider_sandbox_make(provider, &spec, &err), &err);
	return env;
}

static struct env_id env_with_volume(const char *const *layers, size_t count)
{
	struct env_id env = env_with(NULL, NULL);
	struct sandbox_spec spec = with_volume;
	struct err err = {0};
	bool copied;

	good(provider_volume_make(provider, env, "work", layers, count, false, &copied, &err), &err);
	spec.env = env;
	spec.name = "one";
	good(provider_sandbox_make(provider, &spec, &err), &err);
	return env;
}

static void env_end(struct env_id env)
{
	struct err err = {0};

	good(provider_env_remove(provider, env, &err), &err);
}

static uint32_t start(struct env_id env, const char *name, const char *const *argv, int in, int out)
{
	struct program_spec spec = {.argv = argv, .env = plain_env, .dir = "/", .fds = {in, out, out}};
	struct err err = {0};
	uint32_t process = 0;

	good(provider_program_start(provider, env, name, &spec, &process, &err), &err);
	return process;
}

static struct exit_status wait_end(struct env_id env, const char *name, uint32_t process)
{
	struct exit_status status = {0};
	struct err err = {0};

	good(provider_program_wait(provider, env, name, process, WAIT_MS, &status, &err), &err);
	return status;
}

static char *shell(struct env_id env, const char *name, const char *line, struct exit_status *status)
{
	const char *argv[] = {"sh", "-c", line, NULL};
	AUTO_BUF output = buf_new(OUTPUT_MAX);
	struct exit_status ended;
	struct err err = {0};
	uint32_t process;
	int out[2];

	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	process = start(env, name, argv, -1, out[1]);
	(void)close(out[1]);
	good(file_read_fd(out[0], &output, &err), &err);
	(void)close(out[0]);
	ended = wait_end(env, name, process);
	if (status)
		*status = ended;
	while (output.length && output.at[output.length - 1] == '\n')
		output.at[--output.length] = '\0';
	return output.at ? buf_take(&output) : text_copy("");
}

static void says(struct env_id env, const char *name, const char *line, const char *wanted)
{
	AUTO_FREE char *got = shell(env, name, line, NULL);

	assert_string_equal(got, wanted);
}

/* ---- programs ---- */

static void a_program_runs_and_its_end_is_told_as_it_was(void **state)
{
	struct env_id env = env_with(NULL, "one");
	struct exit_status status;

	(void)state;
	says(env, "one", "id -u; echo $$ >/tmp/x; wc -l </tmp/x", "1000\n1");
	free(shell(env, "one", "exit 3", &status));
	assert_int_equal(status.reason, EXIT_CODE);
	assert_int_equal(status.code, 3);
	free(shell(env, "one", "kill -SEGV $$", &status));
	assert_int_equal(status.reason, EXIT_SIGNAL);
	assert_int_equal(status.code, SIGSEGV);
	env_end(env);
}

static void a_program_that_cannot_run_is_an_error_that_names_it(void **state)
{
	struct env_id env = env_with(NULL, "one");
	const char *argv[] = {"no-such-program", NULL};
	struct program_spec spec = {.argv = argv, .env = plain_env, .dir = "/", .fds = {-1, -1, -1}};
	struct err err = {0};
	uint32_t process;

	(void)state;
	assert_int_equal(provider_program_start(provider, env, "one", &spec, &process, &err), -1);
	assert_int_equal(err.kind, ERR_NOT_FOUND);
	assert_non_null(strstr(err.text, "no-such-program"));
	assert_int_equal(provider_program_start(provider, env, "two", &spec, &process, &err), -1);
	assert_int_equal(err.kind, ERR_NOT_FOUND);
	env_end(env);
}

static void a_wait_ends_at_its_timeout_and_a_signal_reaches_the_whole_group(void **state)
{
	struct env_id env = env_with(NULL, "one");
	const char *argv[] = {"sh", "-c", "sleep 100 & sleep 100", NULL};
	uint32_t process = start(env, "one", argv, -1, -1);
	struct exit_status status;
	struct err err = {0};

	(void)state;
	assert_int_equal(provider_program_wait(provider, env, "one", process, 50, &status, &err), -1);
	assert_int_equal(err.kind, ERR_RETRY);
	good(provider_program_signal(provider, env, "one", process, SIGTERM, &err), &err);
	status = wait_end(env, "one", process);
	assert_int_equal(status.reason, EXIT_SIGNAL);
	assert_int_equal(status.code, SIGTERM);
	says(env, "one", "while pgrep -x sleep >/dev/null; do sleep 0.05; done; echo none", "none");
	env_end(env);
}

static void what_ended_programs_left_is_killed_and_programs_that_run_are_not(void **state)
{
	struct env_id env = env_with(NULL, "one");
	const char *runs[] = {"sh", "-c", "echo up; exec sleep 54324", NULL};
	struct err err = {0};
	char line[8];
	int out[2];

	(void)state;
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	(void)start(env, "one", runs, -1, out[1]);
	assert_int_equal(read(out[0], line, sizeof(line)), 3);
	says(env, "one", "setsid sleep 54323 >/dev/null 2>&1 & until pgrep -fx 'sleep 54323' >/dev/null; do :; done; echo left",
	     "left");
	good(provider_program_signal(provider, env, "one", 0, SIGKILL, &err), &err);
	says(env, "one", "pgrep -fcx 'sleep 54323'; pgrep -fcx 'sleep 54324'", "0\n1");
	(void)close(out[0]);
	(void)close(out[1]);
	env_end(env);
}

static void arguments_and_streams_arrive_whole_both_ways(void **state)
{
	struct env_id env = env_with(NULL, "one");
	const char *argv[] = {"sh", "-c", "echo ${#1}; sha256sum; head -c 1500000 /dev/zero | tr '\\0' x", "sh", NULL, NULL};
	AUTO_FREE char *large = mem_new(100001);
	AUTO_BUF output = buf_new(OUTPUT_MAX);
	struct err err = {0};
	uint32_t process;
	int in, out[2];

	(void)state;
	memset(large, 'x', 100000);
	argv[4] = large;
	in = file_anonymous(view_make(large, 100000), &err);
	assert_true(in >= 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	process = start(env, "one", argv, in, out[1]);
	(void)close(out[1]);
	good(file_read_fd(out[0], &output, &err), &err);
	assert_int_equal(wait_end(env, "one", process).code, 0);
	/* sha256 of a hundred thousand x */
	assert_non_null(strstr(output.at, "100000\n"));
	assert_int_equal(output.length, 7 + 68 + 1500000);
	(void)close(in);
	(void)close(out[0]);
	env_end(env);
}

/* Locally a program whose reader went is ended by SIGPIPE: so here. */
static void a_reader_that_leaves_ends_who_writes(void **state)
{
	struct env_id env = env_with(NULL, "one");
	const char *argv[] = {"yes", NULL};
	struct exit_status status;
	uint32_t process;
	char some[4];
	int out[2];

	(void)state;
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	process = start(env, "one", argv, -1, out[1]);
	(void)close(out[1]);
	assert_int_equal(read(out[0], some, 2), 2);
	(void)close(out[0]);
	status = wait_end(env, "one", process);
	assert_int_equal(status.reason, EXIT_SIGNAL);
	assert_int_equal(status.code, SIGPIPE);
	env_end(env);
}

static void a_terminal_is_the_programs_own_and_has_its_size(void **state)
{
	struct env_id env = env_with(NULL, "one");
	const char *argv[] = {
		"sh", "-c",
		"test -t 0 && stty size >/dev/tty; until [ \"$(stty size)\" = '50 100' ]; do sleep 0.05; done; echo grown", NULL};
	struct winsize size = {.ws_row = 24, .ws_col = 80};
	struct program_spec spec = {.argv = argv, .env = plain_env, .dir = "/", .terminal = true};
	struct err err = {0};
	uint32_t process;
	char text[64] = {0};
	int master, slave;

	(void)state;
	assert_int_equal(openpty(&master, &slave, NULL, NULL, &size), 0);
	spec.fds[0] = spec.fds[1] = spec.fds[2] = slave;
	good(provider_program_start(provider, env, "one", &spec, &process, &err), &err);
	assert_true(read(master, text, sizeof(text) - 1) > 0);
	assert_memory_equal(text, "24 80\r", 6);
	size = (struct winsize){.ws_row = 50, .ws_col = 100};
	assert_int_equal(ioctl(master, TIOCSWINSZ, &size), 0);
	assert_int_equal(wait_end(env, "one", process).code, 0);
	(void)close(master);
	(void)close(slave);
	env_end(env);
}

static void many_programs_end_in_any_order(void **state)
{
	struct env_id env = env_with(NULL, "one");
	uint32_t processes[50];

	(void)state;
	for (int i = 0; i < 50; i++) {
		AUTO_FREE char *line = text_format("exit %d", i);
		const char *argv[] = {"sh", "-c", line, NULL};

		processes[i] = start(env, "one", argv, -1, -1);
	}
	for (int i = 49; i >= 0; i--)
		assert_int_equal(wait_end(env, "one", processes[i]).code, i);
	env_end(env);
}

static void a_listening_program_is_reached_by_dialling(void **state)
{
	struct env_id env = env_with(NULL, "one");
	const char *argv[] = {
		"python3", "-c",
		"import socket\ns = socket.create_server(('127.0.0.1', 0))\nprint(s.getsockname()[1], flush=True)\n"
		"c, _ = s.accept(); d = b''\nwhile len(d) < 300000: d += c.recv(65536)\nc.sendall(d[::-1]); c.close()\n",
		NULL};
	AUTO_FREE char *sent = mem_new(300000);
	AUTO_BUF got = buf_new(OUTPUT_MAX);
	struct err err = {0};
	char line[16] = {0};
	uint16_t port;
	int out[2], fd;

	(void)state;
	assert_int_equal(provider_sandbox_dial(provider, env, "one", 1, &fd, &err), -1);
	assert_int_equal(err.kind, ERR_RETRY);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	(void)start(env, "one", argv, -1, out[1]);
	assert_true(read(out[0], line, sizeof(line) - 1) > 0);
	port = (uint16_t)strtoul(line, NULL, 10);
	for (size_t i = 0; i < 300000; i++)
		sent[i] = (char)('a' + i % 26);
	good(provider_sandbox_dial(provider, env, "one", port, &fd, &err), &err);
	good(file_write_fd(fd, view_make(sent, 300000), &err), &err);
	good(file_read_fd(fd, &got, &err), &err);
	assert_int_equal(got.length, 300000);
	assert_int_equal(got.at[0], sent[299999]);
	assert_int_equal(got.at[299999], sent[0]);
	(void)close(fd);
	(void)close(out[0]);
	(void)close(out[1]);
	env_end(env);
}

/* ---- who runs ---- */

/* In the second of two rooms: one that computes, and two that wake each other, of whom each may be asleep when it is looked at. */
static void somebody_who_runs_in_any_room_is_seen(void **state)
{
	const char *const computes[] = {"sh", "-c", "while :; do :; done", NULL};
	const char *const wake[] = {"python3", "-c",
				    "import os, threading\na, b = os.pipe(), os.pipe()\n"
				    "def pass_on(take, give):\n while True: os.write(give[1], os.read(take[0], 1))\n"
				    "threading.Thread(target=pass_on, args=(a, b), daemon=True).start()\n"
				    "os.write(a[1], b'x'); pass_on(b, a)\n",
				    NULL};
	const char *const sleeps[] = {"tail", "-f", "/dev/null", NULL};
	const char *const *const busy[] = {computes, wake};
	struct env_id env = env_with(NULL, "one");
	struct sandbox_spec spec = {.env = env, .name = "two"};
	struct err err = {0};

	(void)state;
	good(provider_sandbox_make(provider, &spec, &err), &err);
	(void)start(env, "one", sleeps, -1, -1);
	(void)start(env, "two", sleeps, -1, -1);
	assert_int_equal(rest_await(provider, env), ACTIVITY_IDLE);
	for (size_t i = 0; i < ARRAY_LEN(busy); i++) {
		uint32_t process = start(env, "two", busy[i], -1, -1);

		for (int j = 0; j < 100; j++)
			assert_int_equal(provider_env_activity(provider, env), ACTIVITY_BUSY);
		good(provider_program_signal(provider, env, "two", process, SIGKILL, &err), &err);
		(void)wait_end(env, "two", process);
		assert_int_equal(rest_await(provider, env), ACTIVITY_IDLE);
	}
	env_end(env);
}

/* ---- the link ---- */

/* Cut again and again while a program counts: each line comes once, in its order, and its end is told. */
static void a_link_that_breaks_loses_and_doubles_nothing(void **state)
{
	struct env_id env = env_with(NULL, "one");
	const char *argv[] = {"sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); echo $i; done; exit 7", NULL};
	AUTO_FREE char *line = NULL;
	size_t size = 0;
	long count = 0;
	uint32_t process;
	FILE *lines;
	int out[2];

	(void)state;
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	process = start(env, "one", argv, -1, out[1]);
	(void)close(out[1]);
	lines = fdopen(out[0], "r");
	assert_non_null(lines);
	while (getline(&line, &size, lines) > 0) {
		assert_int_equal(strtol(line, NULL, 10), ++count);
		if (count % 4000 == 1)
			kube_cluster_cut(provider);
	}
	assert_int_equal(count, 20000);
	assert_int_equal(wait_end(env, "one", process).code, 7);
	kube_cluster_cut(provider);
	says(env, "one", "echo alive", "alive");
	(void)fclose(lines);
	env_end(env);
}

static void a_token_is_not_among_what_programs_can_read(void **state)
{
	struct env_id env = env_with(NULL, "one");

	(void)state;
	says(env, "one",
	     "ls /assay-token /var/run/secrets/kubernetes.io 2>/dev/null; touch /assay/x 2>/dev/null || echo refused; env | grep -c ^ASSAY_LINK",
	     "refused\n0");
	env_end(env);
}

/* ---- volumes and layers ---- */

static void commit(struct env_id env, const char *layer)
{
	AUTO_JSON meta = json_pack("{s:s}", "made", "by a test");
	struct err err = {0};

	good(provider_env_stop(provider, env, &err), &err);
	good(provider_volume_commit(provider, env, "work", layer, meta, &err), &err);
}

static void a_volume_is_shared_by_sandboxes_and_survives_them(void **state)
{
	struct env_id env = env_with_volume(NULL, 0);
	struct sandbox_spec spec = with_volume;
	struct err err = {0};

	(void)state;
	spec.env = env;
	spec.name = "two";
	spec.mounts[0].read_only = true;
	spec.mounts[0].path = "/a/new/place";
	good(provider_sandbox_make(provider, &spec, &err), &err);
	says(env, "one", "echo text >/workspace/file; stat -c %u /workspace", "1000");
	says(env, "two", "cat /a/new/place/file; touch /a/new/place/x 2>/dev/null || echo refused", "text\nrefused");
	good(provider_env_stop(provider, env, &err), &err);
	spec = with_volume;
	spec.env = env;
	spec.name = "one";
	good(provider_sandbox_make(provider, &spec, &err), &err);
	says(env, "one", "cat /workspace/file", "text");
	env_end(env);
}

/* The claims of an environment that was removed are gone some time later. */
static void layer_end(const char *layer)
{
	struct err err = {0};
	int failed = -1;

	for (int i = 0; i < 600 && failed; i++) {
		failed = provider_layer_remove(provider, layer, &err);
		if (failed && err.kind != ERR_CONFLICT)
			break;
		(void)usleep(failed ? 100000 : 0);
	}
	good(failed, &err);
}

static void layers_lie_below_volumes_of_other_environments_unchanged(void **state)
{
	static const char *const first[] = {"test/first"};
	static const char *const second[] = {"test/second"};
	struct env_id one = env_with_volume(NULL, 0), two, three;
	struct sandbox_spec spec = with_volume;
	struct err err = {0};
	AUTO_JSON list = NULL;

	(void)state;
	says(one, "one", "cd /workspace; mkdir d; echo a >d/a; echo b >d/b; echo c >c; chmod 700 d; umask", "0022");
	assert_int_equal(provider_volume_commit(provider, one, "work", "test/first", NULL, &err), -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
	commit(one, "test/first");
	spec.env = one;
	spec.name = "one";
	good(provider_sandbox_make(provider, &spec, &err), &err);
	says(one, "one", "cat /workspace/c; echo more >/workspace/c", "c");
	two = env_with_volume(first, 1);
	says(two, "one", "cd /workspace; cat d/a; stat -c '%u %a' d; rm d/a; echo B >d/b; mv d e; cat e/b", "a\n1000 700\nB");
	commit(two, "test/second");
	three = env_with_volume(second, 1);
	says(three, "one", "cd /workspace; ls -A . e; cat e/b c", ".:\nc\ne\n\ne:\nb\nB\nc");
	assert_int_equal(provider_layer_remove(provider, "test/first", &err), -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
	list = provider_layer_list(provider, "test/", &err);
	assert_int_equal(json_array_size(list), 2);
	assert_string_equal(json_text(json_member(json_array_get(list, 0), "meta"), "made", ""), "by a test");
	env_end(one);
	env_end(two);
	env_end(three);
	layer_end("test/first");
	layer_end("test/second");
	assert_int_equal(provider_layer_remove(provider, "test/first", &err), -1);
	assert_int_equal(err.kind, ERR_NOT_FOUND);
}

static void a_frozen_environment_has_no_pods_and_its_volumes_and_can_be_cloned(void **state)
{
	struct env_id from = env_with_volume(NULL, 0), to;
	const char *argv[] = {"sleep", "1000", NULL};
	uint32_t process = start(from, "one", argv, -1, -1);
	struct sandbox_spec spec = with_volume;
	struct program_spec program = {.argv = argv, .env = plain_env, .dir = "/", .fds = {-1, -1, -1}};
	struct exit_status status;
	struct err err = {0};

	(void)state;
	says(from, "one", "cd /workspace; echo new >new; ln new hard; ln -s new soft; truncate -s 100M sparse", "");
	good(provider_env_freeze(provider, from, true, &err), &err);
	assert_int_equal(provider_program_wait(provider, from, "one", process, 0, &status, &err), -1);
	assert_int_equal(provider_program_start(provider, from, "one", &program, &process, &err), -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
	assert_non_null(strstr(err.text, "frozen"));
	to = env_with(NULL, NULL);
	good(provider_volume_clone(provider, from, to, "work", &err), &err);
	spec.env = to;
	spec.name = "one";
	good(provider_sandbox_make(provider, &spec, &err), &err);
	says(to, "one", "cd /workspace; ls; cat hard soft; stat -c '%u %h' new; du -k sparse | cut -f1; echo more >>new",
	     "hard\nnew\nsoft\nsparse\nnew\nnew\n1000 2\n0");
	good(provider_env_freeze(provider, from, false, &err), &err);
	says(from, "one", "cat /workspace/new", "new");
	env_end(from);
	env_end(to);
}

/* ---- life and death ---- */

static bool listed(struct env_id env, size_t *sandboxes, char *why, size_t size)
{
	struct err err = {0};
	AUTO_JSON list = provider_env_list(provider, &err);
	size_t i;
	json_t *row;

	assert_non_null(list);
	json_array_foreach(list, i, row)
		if (strcmp(json_text(row, "env", ""), env.text) == 0) {
			*sandboxes = json_array_size(json_member(row, "sandboxes"));
			(void)snprintf(why, size, "%s", json_text(row, "stopped", ""));
			return true;
		}
	return false;
}

static void what_exists_is_listed_and_what_was_removed_is_not(void **state)
{
	struct env_id env = env_with(NULL, "one");
	struct sandbox_spec spec = {.env = env, .name = "two"};
	struct err err = {0};
	size_t sandboxes;
	char why[200];

	(void)state;
	good(provider_sandbox_make(provider, &spec, &err), &err);
	assert_int_equal(provider_sandbox_make(provider, &spec, &err), -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
	assert_true(listed(env, &sandboxes, why, sizeof(why)));
	assert_int_equal(sandboxes, 2);
	good(provider_sandbox_remove(provider, env, "two", &err), &err);
	assert_true(listed(env, &sandboxes, why, sizeof(why)));
	assert_int_equal(sandboxes, 1);
	good(provider_sandbox_make(provider, &spec, &err), &err); /* the name again, while the first pod may be on its way out */
	env_end(env);
	assert_false(listed(env, &sandboxes, why, sizeof(why)));
	env_end(env); /* absence is no error */
	assert_int_equal(provider_sandbox_make(provider, &spec, &err), -1);
	assert_int_equal(err.kind, ERR_NOT_FOUND);
}

static void a_waiting_caller_is_told_when_the_room_is_destroyed(void **state)
{
	struct env_id env = env_with(NULL, "one");
	const char *argv[] = {"sleep", "100", NULL};
	const char *kill_all[] = {"sh", "-c", "kill -9 -1", NULL};
	uint32_t process = start(env, "one", argv, -1, -1);
	struct exit_status status;

	(void)state;
	(void)start(env, "one", kill_all, -1, -1);
	status = wait_end(env, "one", process);
	assert_int_equal(status.reason, EXIT_SIGNAL);
	assert_int_equal(status.code, SIGKILL);
	says(env, "one", "echo alive", "alive");
	env_end(env);
}

static void a_pod_that_dies_is_told_as_gone_and_why(void **state)
{
	struct env_id env = env_with_volume(NULL, 0);
	const char *argv[] = {"sleep", "100", NULL};
	uint32_t process = start(env, "one", argv, -1, -1);
	struct sandbox_spec spec = with_volume;
	struct err err = {0};
	size_t sandboxes;
	char why[200];

	(void)state;
	if (!scripted.base) {
		print_message("a node is not killed on a cluster that is somebody's: skipped\n");
		skip();
	}
	says(env, "one", "echo kept >/workspace/f; sync", "");
	{
		AUTO_JSON seen = cluster_state(&scripted);
		size_t index;
		json_t *object;

		json_array_foreach(json_member(seen, "objects"), index, object) {
			const json_t *meta = json_member(json_member(object, "object"), "metadata");

			if (strcmp(json_text(json_member(object, "object"), "kind", ""), "Pod") == 0)
				cluster_act(&scripted, "kill", "{\"path\": \"/api/v1/namespaces/%s/pods/%s\"}",
					    json_text(meta, "namespace", ""), json_text(meta, "name", ""));
		}
	}
	assert_int_equal(wait_end(env, "one", process).reason, EXIT_GONE);
	assert_true(listed(env, &sandboxes, why, sizeof(why)));
	assert_int_equal(sandboxes, 0);
	assert_non_null(strstr(why, "sandbox one: "));
	spec.env = env;
	spec.name = "one";
	good(provider_sandbox_make(provider, &spec, &err), &err);
	says(env, "one", "cat /workspace/f", "kept");
	env_end(env);
}

/* ---- the control plane's end ---- */

static void another_control_plane_finds_what_the_first_left(void **state)
{
	struct env_id env = env_with_volume(NULL, 0);
	struct sandbox_spec spec = with_volume;
	const char *argv[] = {"sleep", "424243", NULL};
	struct err err = {0};
	size_t sandboxes;
	char why[200];

	(void)state;
	says(env, "one", "echo kept >/workspace/f; sync", "");
	(void)start(env, "one", argv, -1, -1);
	kube_cluster_close(provider);
	good(kube_cluster_open(&options, &provider, &err), &err);
	assert_true(listed(env, &sandboxes, why, sizeof(why)));
	assert_int_equal(sandboxes, 0);
	spec.env = env;
	spec.name = "one";
	good(provider_sandbox_make(provider, &spec, &err), &err);
	says(env, "one", "cat /workspace/f; pgrep -fcx 'sleep 424243'", "kept\n0");
	env_end(env);
	env = env_with_volume(NULL, 0);
	says(env, "one", "echo cold >/workspace/f; sync", "");
	good(provider_env_freeze(provider, env, true, &err), &err);
	kube_cluster_close(provider);
	good(kube_cluster_open(&options, &provider, &err), &err);
	good(provider_env_freeze(provider, env, false, &err), &err);
	says(env, "one", "cat /workspace/f", "cold");
	env_end(env);
}

static void what_a_cluster_cannot_do_is_refused_with_what_can(void **state)
{
	static const char *const images[] = {"dir:/srv", "layer:x", "oci:/x:y"};
	struct env_id env = env_with(NULL, NULL);
	struct sandbox_spec spec = {.env = env, .name = "one"};
	struct err err = {0};
	int fd;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(images); i++) {
		spec.image = images[i];
		assert_int_equal(provider_sandbox_make(provider, &spec, &err), -1);
		assert_int_equal(err.kind, ERR_INVALID);
	}
	spec = (struct sandbox_spec){.env = env, .name = "one", .mounts = {{"none", "/x", false}}, .mount_count = 1};
	assert_int_equal(provider_sandbox_make(provider, &spec, &err), -1);
	assert_int_equal(err.kind, ERR_NOT_FOUND);
	assert_int_equal(provider_sandbox_door(provider, env, "one", &fd, &err), -1);
	assert_int_equal(err.kind, ERR_NOT_FOUND);
	env_end(env);
}

/* A request that outlived its sender: it is swept, and the older one is what we go on with. */
static void a_doubled_namespace_goes_by_itself(void **state)
{
	struct kube_cluster_options often = options;
	struct err err = {0};
	struct env_id env;
	int left = 2;

	(void)state;
	if (!scripted.base) {
		print_message("nothing is doubled on a cluster that is somebody's: skipped\n");
		skip();
	}
	often.sweep_ms = 100;
	kube_cluster_close(provider);
	good(kube_cluster_open(&often, &provider, &err), &err);
	env = env_with(NULL, "one");
	cluster_act(&scripted, "put",
		    "{\"path\": \"/api/v1/namespaces/assay-%s-000000\", \"object\": {\"metadata\": {\"name\": \"assay-%s-000000\", "
		    "\"creationTimestamp\": \"2999-01-01T00:00:00Z\", \"labels\": {\"" KUBE_LABEL_OWNER "\": \"contract\", "
		    "\"" KUBE_LABEL_ENVIRONMENT "\": \"%s\"}}}}",
		    env.text, env.text, env.text);
	for (int i = 0; i < 600 && left > 1; i++) {
		AUTO_FREE char *prefix = text_format("/namespaces//assay-%s-", env.text);

		left = (int)cluster_count(&scripted, prefix);
		(void)usleep(50000);
	}
	assert_int_equal(left, 1);
	says(env, "one", "echo alive", "alive");
	env_end(env);
	kube_cluster_close(provider);
	good(kube_cluster_open(&options, &provider, &err), &err);
}

/* The aims of the project: at most 40 requests for an environment, at most 3 for its end. */
static void an_environment_takes_few_requests(void **state)
{
	static const char *const names[] = {"app", "worker", "db", "cache", "mail"};
	struct env_id env = env_id_new(world_real);
	struct sandbox_spec spec = with_volume;
	uint64_t before = kube_client_requests(client), made, removed;
	struct err err = {0};

	(void)state;
	good(provider_env_make(provider, env, &err), &err);
	good(provider_volume_make(provider, env, "work", NULL, 0, false, NULL, &err), &err);
	spec.env = env;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		spec.name = names[i];
		spec.mount_count = i < 2;
		good(provider_sandbox_make(provider, &spec, &err), &err);
	}
	made = kube_client_requests(client);
	env_end(env);
	removed = kube_client_requests(client);
	print_message("five rooms: %u requests, and %u for their end\n", (unsigned)(made - before), (unsigned)(removed - made));
	assert_true(made - before <= 40);
	assert_true(removed - made <= 3);
}

/* ---- what we may do ---- */

/* False: something was refused. */
static bool a_room_lives_and_goes(void)
{
	struct env_id env = env_id_new(world_real);
	struct sandbox_spec spec = with_volume;
	struct err err = {0};
	bool good_so_far;

	spec.env = env;
	spec.name = "one";
	good_so_far = !provider_env_make(provider, env, &err) &&
		      !provider_volume_make(provider, env, "work", NULL, 0, false, NULL, &err) &&
		      !provider_sandbox_make(provider, &spec, &err) && !provider_env_freeze(provider, env, true, &err) &&
		      !provider_env_freeze(provider, env, false, &err) && !provider_sandbox_remove(provider, env, "one", &err) &&
		      !provider_volume_remove(provider, env, "work", &err);
	return !provider_env_remove(provider, env, &err) && good_so_far;
}

/* Each rule of those that grant `verb` on `resource`, without it. */
static void without(const char *verb, const char *resource)
{
	AUTO_BUF rules = buf_new(65536);
	bool first = true;

	for (const struct kube_need *need = kube_needs; need->verb; need++) {
		if (strcmp(need->verb, verb) == 0 && strcmp(need->resource, resource) == 0)
			continue;
		buf_add_format(&rules, "%s{\"apiGroups\": [\"%s\"], \"resources\": [\"%s\"], \"verbs\": [\"%s\"]}",
			       first ? "" : ", ", need->group, need->resource, need->verb);
		first = false;
	}
	cluster_act(&scripted, "set", "{\"rules\": [%s]}", rules.at);
}

static void without_any_verb_that_rooms_need_none_lives_and_goes(void **state)
{
	static const struct {
		const char *verb, *resource;
	} rows[] = {{"delete", "pods"},
		    {"create", "configmaps"},
		    {"patch", "configmaps"},
		    {"list", "configmaps"},
		    {"delete", "configmaps"},
		    {"create", "persistentvolumeclaims"},
		    {"patch", "persistentvolumeclaims"},
		    {"list", "persistentvolumeclaims"},
		    {"delete", "persistentvolumeclaims"},
		    {"create", "tokenreviews"}};
	struct kube_cluster_options hasty = options;
	struct err err = {0};

	(void)state;
	if (!scripted.base) {
		print_message("the role of a cluster that is somebody's is not changed: skipped\n");
		skip();
	}
	without("", "");
	assert_true(a_room_lives_and_goes());
	kube_cluster_close(provider);
	hasty.patience_ms = 3000;
	good(kube_cluster_open(&hasty, &provider, &err), &err);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		without(rows[i].verb, rows[i].resource);
		if (a_room_lives_and_goes())
			fail_msg("no room needs %s %s", rows[i].verb, rows[i].resource);
	}
	cluster_act(&scripted, "set", "{\"rules\": null}");
	kube_cluster_close(provider);
	good(kube_cluster_open(&options, &provider, &err), &err);
}

/* ---- what does not go well ---- */

/* The provider goes on with other limits; NULL: with those of all tests. */
static void provider_again(const struct kube_cluster_options *other)
{
	struct err err = {0};

	kube_cluster_close(provider);
	good(kube_cluster_open(other ? other : &options, &provider, &err), &err);
}

/* ---- clones by the cluster's storage ---- */

#define SNAPSHOT_CLASS "fast"

static const char *const database[] = {"snapshot/db"};
static const char *const shuffled[] = {"snapshot/shuffled"};

static void provider_with_snapshots(int64_t patience_ms, int64_t sweep_ms)
{
	struct kube_cluster_options other = options;

	if (!scripted.base) {
		print_message("what the storage of a cluster that is somebody's does is not looked at: skipped\n");
		skip();
	}
	other.site.snapshot_class = SNAPSHOT_CLASS;
	other.patience_ms = patience_ms;
	other.sweep_ms = sweep_ms;
	cluster_act(&scripted, "set", "{\"snapshot_class\": \"" SNAPSHOT_CLASS "\"}");
	provider_again(&other);
}

/* An environment with a database's volume, over what the layer has. */
static struct env_id env_with_database(const char *const *layers, size_t count, bool *copied)
{
	struct env_id env = env_with(NULL, NULL);
	struct sandbox_spec spec = with_volume;
	struct err err = {0};

	good(provider_volume_make(provider, env, "work", layers, count, true, copied, &err), &err);
	spec.env = env;
	spec.name = "one";
	good(provider_sandbox_make(provider, &spec, &err), &err);
	return env;
}

/* Of what the storage really holds. */
static size_t physical_count(void)
{
	AUTO_FREE char *path = text_format("%s/node/snapshots", folder);
	DIR *there = opendir(path);
	const struct dirent *entry;
	size_t count = 0;

	while (there && (entry = readdir(there)))
		count += entry->d_name[0] != '.';
	if (there)
		(void)closedir(there);
	return count;
}

static size_t content_count(void)
{
	return cluster_count(&scripted, KUBE_SNAPSHOT_GROUP "/volumesnapshotcontents/");
}

/* What goes, goes some time later. */
static void comes_to(size_t (*counted)(void), size_t wanted)
{
	for (int i = 0; i < 600 && counted() != wanted; i++)
		(void)usleep(50000);
	assert_int_equal(counted(), wanted);
}

static void a_database_is_cloned_by_the_clusters_storage(void **state)
{
	AUTO_FREE char *tree = text_format("%s/kubernetes/layer-snapshot%%2Fdb/tree.tar", folder);
	struct env_id one, two, three;
	struct err err = {0};
	bool copied;

	(void)state;
	provider_with_snapshots(0, 0);
	one = env_with_database(NULL, 0, &copied);
	says(one, "one", "cd /workspace; mkdir d; echo a >d/a; chmod 700 d; ln -s d/a link", "");
	commit(one, database[0]);
	assert_int_equal(physical_count(), 1);
	assert_int_equal(cluster_count(&scripted, KUBE_SNAPSHOT_GROUP "/volumesnapshots/"), 0);
	assert_false(file_exists(tree));
	env_end(one);
	comes_to(content_count, 1); /* the layer's, which outlives the environment that it was of */

	two = env_with_database(database, 1, &copied);
	assert_false(copied);
	three = env_with_database(database, 1, &copied);
	says(two, "one", "cd /workspace; cat link; stat -c '%u %a' d; echo more >>d/a; echo b >b", "a\n1000 700");
	says(three, "one", "cd /workspace; cat link; ls", "a\nd\nlink");
	assert_int_equal(provider_layer_remove(provider, database[0], &err), -1);
	assert_int_equal(err.kind, ERR_CONFLICT);

	commit(two, shuffled[0]); /* a clone of a clone */
	env_end(two);
	env_end(three);
	one = env_with_database(shuffled, 1, &copied);
	says(one, "one", "cd /workspace; cat link b", "a\nmore\nb");
	env_end(one);
	layer_end(database[0]);
	comes_to(physical_count, 1);
	layer_end(shuffled[0]);
	comes_to(physical_count, 0);
	comes_to(content_count, 0);
	provider_again(NULL);
}

static void a_clones_claim_is_as_large_as_the_storage_wants(void **state)
{
	struct env_id one, two;
	size_t index;
	json_t *each;
	AUTO_JSON there = NULL;
	bool copied, large = false;

	(void)state;
	provider_with_snapshots(0, 0);
	cluster_act(&scripted, "set", "{\"restore_bytes\": 3221225472}");
	one = env_with_database(NULL, 0, &copied);
	commit(one, database[0]);
	two = env_with_database(database, 1, &copied);
	there = cluster_state(&scripted);
	json_array_foreach(json_member(there, "objects"), index, each) {
		const json_t *spec = json_member(json_member(each, "object"), "spec");

		if (json_member(spec, "dataSource") && strstr(json_text(each, "path", ""), two.text))
			large = strcmp(json_text(json_member(json_member(spec, "resources"), "requests"), "storage", ""),
				       "3221225472") == 0;
	}
	assert_true(large);
	env_end(one);
	env_end(two);
	layer_end(database[0]);
	comes_to(physical_count, 0);
	cluster_act(&scripted, "set", "{\"restore_bytes\": 1048576}");
	provider_again(NULL);
}

static void a_fork_of_a_frozen_environment_is_cloned_too_and_no_other_volume_is(void **state)
{
	struct env_id from, to;
	struct sandbox_spec spec = with_volume;
	struct err err = {0};
	bool copied;

	(void)state;
	provider_with_snapshots(0, 0);
	from = env_with_database(NULL, 0, &copied);
	says(from, "one", "echo new >/workspace/new", "");
	good(provider_env_freeze(provider, from, true, &err), &err);
	to = env_with(NULL, NULL);
	good(provider_volume_clone(provider, from, to, "work", &err), &err);
	assert_int_equal(physical_count(), 1);
	spec.env = to;
	spec.name = "one";
	good(provider_sandbox_make(provider, &spec, &err), &err);
	says(to, "one", "cat /workspace/new; echo more >>/workspace/new", "new");
	good(provider_env_freeze(provider, from, false, &err), &err);
	says(from, "one", "cat /workspace/new", "new");
	env_end(to);
	comes_to(physical_count, 0);
	env_end(from);
	comes_to(content_count, 0);

	from = env_with_volume(NULL, 0);
	says(from, "one", "echo plain >/workspace/new", "");
	commit(from, "snapshot/plain");
	assert_int_equal(physical_count(), 0);
	env_end(from);
	layer_end("snapshot/plain");
	provider_again(NULL);
}

/* The layer cannot be written down when its snapshot is there: nothing of it stays, though nobody says so to whoever comes after. */
static void what_a_death_left_of_snapshots_is_swept(void **state)
{
	AUTO_FREE char *place = text_format("%s/kubernetes/layer-snapshot%%2Fdb", folder);
	struct env_id one, two;
	char space[KUBE_NAME_MAX];
	struct err err = {0};
	bool copied, frozen;

	(void)state;
	provider_with_snapshots(0, 0);
	one = env_with_database(NULL, 0, &copied);
	good(provider_env_stop(provider, one, &err), &err);
	good(file_replace(place, VIEW("in the way"), 0600, &err), &err);
	assert_int_equal(provider_volume_commit(provider, one, "work", database[0], NULL, &err), -1);
	assert_int_equal(unlink(place), 0);
	env_end(one);
	assert_int_equal(physical_count(), 1);
	provider_with_snapshots(0, 200);
	comes_to(physical_count, 0);
	comes_to(content_count, 0);

	/* The namespace of one that has a clone is removed by somebody else. */
	provider_with_snapshots(0, 3600000);
	one = env_with_database(NULL, 0, &copied);
	commit(one, database[0]);
	two = env_with_database(database, 1, &copied);
	comes_to(content_count, 2);
	good(kube_space_find(&options.site, two, space, &frozen, &err), &err);
	cluster_act(&scripted, "drop", "{\"path\": \"/api/v1/namespaces/%s\"}", space);
	assert_int_equal(content_count(), 2);
	provider_with_snapshots(0, 200);
	comes_to(content_count, 1);
	assert_int_equal(physical_count(), 1); /* which it was only a name of */
	env_end(one);
	env_end(two);

	/* The cluster does not answer while a layer ends. */
	cluster_act(&scripted, "fault", "{\"match\": \"PATCH .*volumesnapshotcontents\", \"kind\": \"garbage\", \"count\": 2}");
	layer_end(database[0]);
	comes_to(physical_count, 0);
	comes_to(content_count, 0);
	provider_again(NULL);
}

static void a_snapshot_that_does_not_come_is_told_in_the_clusters_words(void **state)
{
	struct env_id one;
	struct err err = {0};
	bool copied;

	(void)state;
	provider_with_snapshots(2000, 0);
	one = env_with_database(NULL, 0, &copied);
	good(provider_env_stop(provider, one, &err), &err);
	cluster_act(&scripted, "set", "{\"snapshot_trouble\": \"rpc error: the pool is full\"}");
	assert_int_equal(provider_volume_commit(provider, one, "work", database[0], NULL, &err), -1);
	assert_int_equal(err.kind, ERR_RETRY);
	assert_non_null(strstr(err.text, "rpc error: the pool is full"));
	assert_int_equal(cluster_count(&scripted, KUBE_SNAPSHOT_GROUP "/"), 0);
	cluster_act(&scripted, "set", "{\"snapshot_trouble\": null}");
	good(provider_volume_commit(provider, one, "work", database[0], NULL, &err), &err);
	provider_again(NULL);
	assert_int_equal(provider_volume_make(provider, one, "other", database, 1, true, &copied, &err), -1);
	assert_non_null(strstr(err.text, "kubernetes-snapshot-class"));
	provider_with_snapshots(0, 0);
	env_end(one);
	layer_end(database[0]);
	comes_to(physical_count, 0);
	provider_again(NULL);
}

/* A database's layer is made, an environment has it, and all goes. */
static bool a_snapshot_lives_and_goes(void)
{
	struct env_id env = env_id_new(world_real), other = env_id_new(world_real);
	struct err err = {0};
	bool copied;
	bool well = provider_env_make(provider, env, &err) == 0 && provider_env_make(provider, other, &err) == 0 &&
		    provider_volume_make(provider, env, "work", NULL, 0, true, &copied, &err) == 0 &&
		    provider_volume_commit(provider, env, "work", database[0], NULL, &err) == 0 &&
		    provider_volume_make(provider, other, "work", database, 1, true, &copied, &err) == 0;

	well = provider_env_remove(provider, other, &err) == 0 && well;
	for (int i = 0; i < 100 && provider_layer_remove(provider, database[0], &err) && err.kind == ERR_CONFLICT; i++)
		(void)usleep(50000);
	for (int i = 0; i < 20 && physical_count(); i++)
		(void)usleep(50000);
	well = well && physical_count() == 0 && cluster_count(&scripted, KUBE_SNAPSHOT_GROUP "/") == 0;
	return provider_env_remove(provider, env, &err) == 0 && well; /* that it was of is still there until now */
}

static void snapshot_rules_without(const struct kube_need *left_out)
{
	AUTO_BUF rules = buf_new(65536);

	for (int more = 0; more < 2; more++)
		for (const struct kube_need *need = more ? kube_snapshot_needs : kube_needs; need->verb; need++)
			if (need != left_out)
				buf_add_format(&rules, "%s{\"apiGroups\": [\"%s\"], \"resources\": [\"%s\"], \"verbs\": [\"%s\"]}",
					       rules.length ? ", " : "", need->group, need->resource, need->verb);
	cluster_act(&scripted, "set", "{\"rules\": [%s]}", rules.at);
}

static void without_any_verb_for_snapshots_none_is_made_or_goes(void **state)
{
	(void)state;
	provider_with_snapshots(2000, 0);
	snapshot_rules_without(NULL);
	assert_true(a_snapshot_lives_and_goes());
	for (const struct kube_need *need = kube_snapshot_needs; need->verb; need++) {
		snapshot_rules_without(need);
		if (a_snapshot_lives_and_goes())
			fail_msg("no snapshot needs %s %s", need->verb, need->resource);
		snapshot_rules_without(NULL);
		provider_with_snapshots(2000, 200);
		comes_to(physical_count, 0); /* with the right again, all that was left goes */
		comes_to(content_count, 0);
		provider_with_snapshots(2000, 0);
	}
	cluster_act(&scripted, "set", "{\"rules\": null}");
	provider_again(NULL);
}

static char *layer_file(const char *layer)
{
	return text_format("%s/kubernetes/layer-%s/tree.tar", folder, layer);
}

/* A layer of a file of so many bytes, which nothing can shorten. */
static void layer_make(const char *layer, size_t bytes)
{
	AUTO_FREE char *line = text_format("head -c %zu /dev/urandom >/workspace/f; sync", bytes);
	struct env_id env = env_with_volume(NULL, 0);

	says(env, "one", line, "");
	commit(env, layer);
	env_end(env);
}

/* Nobody wrote down that it was a layer, or somebody removed that already. */
static void what_a_death_left_of_a_layer_goes_at_the_next_start(void **state)
{
	AUTO_FREE char *spool = text_format("%s/kubernetes/spool-eaaaaaaaaaa-work", folder);
	AUTO_FREE char *half = text_format("%s/kubernetes/layer-half", folder);
	AUTO_FREE char *tree = text_format("%s/tree.tar", half);
	AUTO_FREE char *whole = layer_file("whole");
	struct err err = {0};

	(void)state;
	layer_make("whole", 1000);
	good(file_make_dirs(half, 0700, &err), &err);
	good(file_replace(tree, VIEW("x"), 0600, &err), &err);
	good(file_replace(spool, VIEW("x"), 0600, &err), &err);
	provider_again(NULL);
	assert_false(file_exists(spool));
	assert_false(file_exists(half));
	assert_true(file_exists(whole));
	layer_end("whole");
}

static void a_pod_that_has_lived_long_enough_ends_by_itself(void **state)
{
	struct kube_cluster_options brief = options;
	const char *argv[] = {"sleep", "100", NULL};
	struct sandbox_spec spec = with_volume;
	struct err err = {0};
	size_t sandboxes;
	char why[200];

	(void)state;
	brief.rooms.life_ms = 5000;
	provider_again(&brief);
	spec.env = env_with_volume(NULL, 0);
	says(spec.env, "one", "echo kept >/workspace/f; sync", "");
	assert_int_equal(wait_end(spec.env, "one", start(spec.env, "one", argv, -1, -1)).reason, EXIT_GONE);
	assert_true(listed(spec.env, &sandboxes, why, sizeof(why)));
	assert_int_equal(sandboxes, 0);
	assert_non_null(strstr(why, "DeadlineExceeded"));
	provider_again(NULL);
	spec.name = "one";
	good(provider_sandbox_make(provider, &spec, &err), &err);
	says(spec.env, "one", "cat /workspace/f", "kept");
	env_end(spec.env);
}

static void a_volume_that_is_filled_for_ever_is_given_up(void **state)
{
	const char *layers[] = {"endless"};
	struct env_id env = env_with(NULL, NULL);
	struct kube_cluster_options hasty = options;
	struct sandbox_spec spec = with_volume;
	AUTO_FREE char *tree = layer_file("endless");
	struct err err = {0};
	AUTO_CLOSE int held = -1;
	bool copied;

	(void)state;
	layer_make("endless", 1000);
	hasty.aside_ms = 1000;
	provider_again(&hasty);
	assert_int_equal(unlink(tree), 0);
	assert_int_equal(mkfifo(tree, 0600), 0);
	held = open(tree, O_RDWR | O_CLOEXEC); /* nothing comes, and no end either */
	assert_true(held >= 0);
	good(provider_volume_make(provider, env, "work", layers, 1, false, &copied, &err), &err);
	spec.env = env;
	spec.name = "one";
	assert_int_equal(provider_sandbox_make(provider, &spec, &err), -1);
	assert_int_equal(err.kind, ERR_RETRY);
	assert_non_null(strstr(err.text, "has not ended within 1 s"));
	env_end(env);
	provider_again(NULL);
}

/* ---- who knocks ---- */

#define KNOCKERS 4
#define KNOCK_REVIEW_MS 300

/* Connects as a pod's link would, with a token of nobody's, and again whenever it is refused, until nobody listens any more. */
struct knocker {
	struct loop *loop;
	struct tls_side *side;
	char *address;
	int left;
	pthread_t thread;
};

static void knock(struct knocker *knocker);

static void on_knock_frame(void *self, struct strand *strand, unsigned kind, uint32_t id, struct view body)
{
	(void)kind;
	(void)id;
	(void)body;
	strand_free(strand);
	knock(self);
}

static void on_knock_lost(void *self, struct strand *strand, const char *why)
{
	(void)why;
	strand_free(strand);
	knock(self);
}

static const struct strand_use knock_use = {.frame = on_knock_frame, .lost = on_knock_lost};

static void knock(struct knocker *knocker)
{
	char hello[20] = {0};
	struct strand *strand;
	bool pending;
	int fd;

	if (socket_connect_tcp(knocker->address, &fd, &pending, NULL) || (pending && socket_error(fd))) {
		if (--knocker->left == 0)
			loop_stop(knocker->loop);
		return;
	}
	memset(hello + 16, 'x', 4);
	strand = strand_new(knocker->loop, tls_connect(knocker->side, fd, NAME, 0, NULL), fd, &knock_use, knocker);
	strand_send(strand, LINK_HELLO, 0, view_make(hello, sizeof(hello)));
}

static void *knocker_main(void *self)
{
	struct knocker *knocker = self;

	for (int i = 0; i < KNOCKERS; i++)
		knock(knocker);
	loop_run(knocker->loop);
	return NULL;
}

static void knocker_begin(struct knocker *knocker)
{
	AUTO_FREE char *trusted = text_format("%s/link.pem", folder);
	struct err err = {0};

	*knocker = (struct knocker){.loop = loop_new(&err), .left = KNOCKERS};
	knocker->address = text_format("127.0.0.1:%d", kube_cluster_port(provider));
	good(tls_client_new(trusted, &knocker->side, &err), &err);
	assert_int_equal(pthread_create(&knocker->thread, NULL, knocker_main, knocker), 0);
}

static void knocker_end(struct knocker *knocker)
{
	assert_int_equal(pthread_join(knocker->thread, NULL), 0);
	loop_free(knocker->loop);
	tls_side_free(knocker->side);
	free(knocker->address);
}

static bool was_asked(const char *path)
{
	AUTO_JSON seen = cluster_state(&scripted);
	size_t index;
	json_t *line;

	json_array_foreach(json_member(seen, "log"), index, line)
		if (strstr(json_string_value(line), path))
			return true;
	return false;
}

static void who_knocks_all_the_time_does_not_keep_us_from_closing(void **state)
{
	struct knocker knocker;
	struct err err = {0};

	(void)state;
	if (!scripted.base) {
		print_message("a cluster that is somebody's is not made slow: skipped\n");
		skip();
	}
	cluster_act(&scripted, "fault", "{\"match\": \"tokenreviews\", \"kind\": \"slow\", \"ms\": %d, \"count\": 1000000}",
		    KNOCK_REVIEW_MS);
	cluster_act(&scripted, "forget", "{}");
	knocker_begin(&knocker);
	while (!was_asked("tokenreviews")) /* the test's own end is the deadline */
		(void)usleep(10000);
	kube_cluster_close(provider);
	knocker_end(&knocker);
	cluster_act(&scripted, "heal", "{}");
	good(kube_cluster_open(&options, &provider, &err), &err);
}

/* All of it is in pipes, and its program has ended well, before the disk (here: the largest file of this process) is seen to be full. */
#define SILENT 600
#define SILENT_MAX 32 /* of one address */

static size_t still_open(const int *fds)
{
	size_t count = 0;
	char byte;

	for (size_t i = 0; i < SILENT; i++)
		count += recv(fds[i], &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
	return count;
}

/* Any program of a pod may connect to where links arrive. */
static void who_connects_and_says_nothing_takes_few_places(void **state)
{
	const struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK + 1)}};
	const struct sockaddr_in to = {.sin_family = AF_INET,
				       .sin_port = htons((uint16_t)kube_cluster_port(provider)),
				       .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fds[SILENT];

	(void)state;
	for (size_t i = 0; i < SILENT; i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(bind(fds[i], (const struct sockaddr *)&from, sizeof(from)), 0);
		assert_int_equal(connect(fds[i], (const struct sockaddr *)&to, sizeof(to)), 0);
	}
	while (still_open(fds) > SILENT_MAX) /* the test's own end is the deadline */
		(void)usleep(10000);
	for (size_t i = 0; i < SILENT; i++)
		(void)close(fds[i]);
}

static void on_long_frame(void *self, struct strand *strand, unsigned kind, uint32_t id, struct view body)
{
	(void)self;
	(void)strand;
	(void)id;
	fail_msg("answered with a frame of kind %u: %.*s", kind, (int)body.length, body.at);
}

static void on_long_lost(void *self, struct strand *strand, const char *why)
{
	(void)why;
	strand_free(strand);
	loop_stop(self);
}

static void a_hello_that_is_too_long_is_not_read(void **state)
{
	static const struct strand_use use = {.frame = on_long_frame, .lost = on_long_lost};
	AUTO_FREE char *trusted = text_format("%s/link.pem", folder);
	AUTO_FREE char *address = text_format("127.0.0.1:%d", kube_cluster_port(provider));
	struct err err = {0};
	struct loop *loop = loop_new(&err);
	struct tls_side *side = NULL;
	AUTO_BUF hello = buf_new(65536);
	bool pending;
	int fd = -1;

	(void)state;
	if (!scripted.base) {
		print_message("what a cluster that is somebody's was asked is not known: skipped\n");
		skip();
	}
	cluster_act(&scripted, "forget", "{}");
	good(tls_client_new(trusted, &side, &err), &err);
	good(socket_connect_tcp(address, &fd, &pending, &err), &err);
	for (int i = 0; i < 16; i++)
		buf_add_char(&hello, '\0');
	for (int i = 0; i < 20000; i++)
		buf_add_char(&hello, 'x');
	strand_send(strand_new(loop, tls_connect(side, fd, NAME, 0, NULL), fd, &use, loop), LINK_HELLO, 0, buf_view(&hello));
	loop_run(loop); /* the test's own end is the deadline */
	loop_drain(loop);
	loop_free(loop);
	tls_side_free(side);
	assert_false(was_asked("tokenreviews"));
}

static void a_layer_that_does_not_fit_on_the_disk_is_none(void **state)
{
	struct env_id env = env_with_volume(NULL, 0);
	AUTO_FREE char *tree = layer_file("cut");
	struct rlimit whole, small;
	struct err err = {0};
	struct stat info;
	int result;

	(void)state;
	says(env, "one", "head -c 50000 /dev/urandom >/workspace/f; sync", "");
	good(provider_env_stop(provider, env, &err), &err);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &whole), 0);
	small = (struct rlimit){.rlim_cur = 20000, .rlim_max = whole.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	result = provider_volume_commit(provider, env, "work", "cut", NULL, &err);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &whole), 0);
	assert_int_equal(result, -1);
	assert_non_null(strstr(err.text, "what it wrote cannot be kept"));
	assert_int_equal(stat(tree, &info), -1);
	good(provider_volume_commit(provider, env, "work", "cut", NULL, &err), &err);
	assert_int_equal(stat(tree, &info), 0);
	assert_true(info.st_size > 50000);
	env_end(env);
}

/* The process of this machine that has this one's program as a child, by what that says of itself. */
static pid_t parent_of(const char *line)
{
	/* A shell says that it is up before it becomes the program. */
	AUTO_FREE char *command = text_format(
		"for i in $(seq 200); do p=$(pgrep -fx '%s') && break; sleep 0.05; done; ps -o ppid= -p $p", line);
	FILE *out = popen(command, "r");
	char text[32] = {0};

	assert_non_null(out);
	assert_non_null(fgets(text, sizeof(text), out));
	assert_int_equal(pclose(out), 0);
	return (pid_t)strtol(text, NULL, 10);
}

static void a_program_that_starts_when_nobody_waits_any_more_is_ended(void **state)
{
	const char *stays[] = {"sh", "-c", "echo up; exec sleep 64321", NULL};
	const char *late[] = {"sleep", "64322", NULL};
	struct program_spec spec = {.argv = late, .env = plain_env, .dir = "/", .fds = {-1, -1, -1}};
	struct kube_cluster_options hasty = options;
	struct err err = {0};
	struct env_id env;
	uint32_t process;
	char line[8];
	int out[2];
	pid_t init;

	(void)state;
	if (!scripted.base) {
		print_message("nobody's processes are stopped on a cluster that is somebody's: skipped\n");
		skip();
	}
	hasty.answer_ms = 2000;
	provider_again(&hasty);
	env = env_with(NULL, "one");
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	(void)start(env, "one", stays, -1, out[1]);
	assert_int_equal(read(out[0], line, sizeof(line)), 3);
	init = parent_of("sleep 64321");
	assert_int_equal(kill(init, SIGSTOP), 0);
	assert_int_equal(provider_program_start(provider, env, "one", &spec, &process, &err), -1);
	assert_int_equal(err.kind, ERR_RETRY);
	assert_int_equal(kill(init, SIGCONT), 0);
	says(env, "one",
	     "i=0; while pgrep -fx 'sleep 64322' >/dev/null && [ $i -lt 100 ]; do i=$((i + 1)); sleep 0.05; done; [ $i -lt 100 ] && echo none",
	     "none");
	(void)close(out[0]);
	(void)close(out[1]);
	env_end(env);
	provider_again(NULL);
}

/* ---- begin and end ---- */

static void openssl(const char *line)
{
	AUTO_FREE char *script = text_format("cd %s && openssl %s 2>/dev/null", folder, line);

	if (system(script) != 0)
		fail_msg("openssl %s", line);
}

static void pem_read(const char *name, struct buf *into)
{
	AUTO_FREE char *path = text_format("%s/%s", folder, name);
	struct err err = {0};

	good(file_read(path, into, &err), &err);
}

static void identity_make(void)
{
	openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout link.key -out link.pem -subj /CN=" NAME
		" -addext subjectAltName=DNS:" NAME " -days 2");
	identity = buf_new(65536);
	authority = buf_new(65536);
	pem_read("link.pem", &identity);
	pem_read("link.key", &identity);
	pem_read("link.pem", &authority);
	buf_add_char(&authority, '\0');
}

static bool scripted_begin(const char *assay)
{
	if (geteuid() != 0) {
		print_message("a kubelet of tests makes namespaces: for root alone: skipped\n");
		return false;
	}
	if (!cluster_begin(&scripted, NULL, NULL))
		return false;
	cluster_act(&scripted, "set", "{\"kubelet\": {\"base\": \"%s/node\", \"programs\": {\"" SCRIPTED_IMAGE "\": \"%s\"}}}",
		    folder, assay);
	client = scripted.client;
	options.rooms.image = options.image = SCRIPTED_IMAGE;
	options.listen = "127.0.0.1:0";
	options.peer = (struct kube_peer){.cidr = "127.0.0.1/32", .port = 7430};
	return true;
}

/* KUBECONFIG, and where its pods reach us. */
static bool real_begin(void)
{
	struct err err = {0};
	const char *port = strrchr(getenv("ASSAY_LINK_ADDRESS"), ':');

	config = kube_config_find(NULL, &err);
	if (!config || !port) {
		print_message("%s\n", config ? "ASSAY_LINK_ADDRESS has no port" : err.text);
		return false;
	}
	client = kube_client_open(config, world_real);
	options.rooms.image = options.image = getenv("ASSAY_IMAGE");
	options.rooms.address = getenv("ASSAY_LINK_ADDRESS");
	options.listen = text_format("0.0.0.0%s", port);
	options.peer = (struct kube_peer){.cidr = "0.0.0.0/0", .port = atoi(port + 1)};
	return true;
}

static int begin(const char *assay)
{
	bool real = getenv("KUBECONFIG") && getenv("ASSAY_IMAGE") && getenv("ASSAY_LINK_ADDRESS");
	struct err err = {0};

	if (!mkdtemp(folder))
		return 1;
	identity_make();
	if (!(real ? real_begin() : scripted_begin(assay)))
		return 77;
	options.site = (struct kube_site){.client = client, .world = world_real, .owner = "contract"};
	options.rooms.name = NAME;
	options.rooms.spread = true; /* the API's description judges it with the rest */
	options.rooms.authority = authority.at;
	options.identity = buf_view(&identity);
	options.state_dir = folder;
	options.claim_bytes = (int64_t)1 << 30;
	options.sweep_ms = 3600000; /* requests are counted */
	if (kube_cluster_open(&options, &provider, &err)) {
		print_message("%s\n", err.text);
		return 1;
	}
	return 0;
}

/* What `assay kubernetes check --conformance` says of rooms; where the API server is reached all the same, that is no row that is well. */
static void rooms_conform_and_a_hole_is_seen(void **state)
{
	static const char *const servers[] = {"http://198.51.100.7", "file:///proc", "http://198.51.100.7"};
	struct kube_site site = options.site;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		if (i == 2 && !scripted.base)
			break;
		if (i == 2) {
			site.snapshot_class = SNAPSHOT_CLASS;
			provider_with_snapshots(0, 0);
		}
		const struct kube_conform_room trial = {
			.site = &site, .provider = provider, .server = servers[i], .patience_ms = WAIT_MS};
		AUTO_JSON rows = kube_conform_rooms(&trial, NULL);
		size_t index;
		json_t *row;

		assert_int_equal(json_array_size(rows), i == 2 ? 8 : 7);
		json_array_foreach(rows, index, row) {
			bool hole = i == 1 && strstr(json_text(row, "check", ""), "leads out");

			if (json_flag(row, "ok", false) == hole)
				fail_msg("%s: %s", json_text(row, "check", ""), json_text(row, "found", ""));
		}
	}
	provider_again(NULL);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_program_runs_and_its_end_is_told_as_it_was),
		cmocka_unit_test(a_program_that_cannot_run_is_an_error_that_names_it),
		cmocka_unit_test(a_wait_ends_at_its_timeout_and_a_signal_reaches_the_whole_group),
		cmocka_unit_test(what_ended_programs_left_is_killed_and_programs_that_run_are_not),
		cmocka_unit_test(arguments_and_streams_arrive_whole_both_ways),
		cmocka_unit_test(a_reader_that_leaves_ends_who_writes),
		cmocka_unit_test(a_terminal_is_the_programs_own_and_has_its_size),
		cmocka_unit_test(many_programs_end_in_any_order),
		cmocka_unit_test(a_listening_program_is_reached_by_dialling),
		cmocka_unit_test(somebody_who_runs_in_any_room_is_seen),
		cmocka_unit_test(a_link_that_breaks_loses_and_doubles_nothing),
		cmocka_unit_test(a_token_is_not_among_what_programs_can_read),
		cmocka_unit_test(a_volume_is_shared_by_sandboxes_and_survives_them),
		cmocka_unit_test(layers_lie_below_volumes_of_other_environments_unchanged),
		cmocka_unit_test(a_frozen_environment_has_no_pods_and_its_volumes_and_can_be_cloned),
		cmocka_unit_test(a_database_is_cloned_by_the_clusters_storage),
		cmocka_unit_test(a_clones_claim_is_as_large_as_the_storage_wants),
		cmocka_unit_test(a_fork_of_a_frozen_environment_is_cloned_too_and_no_other_volume_is),
		cmocka_unit_test(what_a_death_left_of_snapshots_is_swept),
		cmocka_unit_test(what_a_death_left_of_a_layer_goes_at_the_next_start),
		cmocka_unit_test(a_snapshot_that_does_not_come_is_told_in_the_clusters_words),
		cmocka_unit_test(without_any_verb_for_snapshots_none_is_made_or_goes),
		cmocka_unit_test(what_exists_is_listed_and_what_was_removed_is_not),
		cmocka_unit_test(a_waiting_caller_is_told_when_the_room_is_destroyed),
		cmocka_unit_test(a_pod_that_dies_is_told_as_gone_and_why),
		cmocka_unit_test(a_pod_that_has_lived_long_enough_ends_by_itself),
		cmocka_unit_test(another_control_plane_finds_what_the_first_left),
		cmocka_unit_test(what_a_cluster_cannot_do_is_refused_with_what_can),
		cmocka_unit_test(an_environment_takes_few_requests),
		cmocka_unit_test(rooms_conform_and_a_hole_is_seen),
		cmocka_unit_test(a_doubled_namespace_goes_by_itself),
		cmocka_unit_test(a_volume_that_is_filled_for_ever_is_given_up),
		cmocka_unit_test(a_layer_that_does_not_fit_on_the_disk_is_none),
		cmocka_unit_test(who_knocks_all_the_time_does_not_keep_us_from_closing),
		cmocka_unit_test(who_connects_and_says_nothing_takes_few_places),
		cmocka_unit_test(a_hello_that_is_too_long_is_not_read),
		cmocka_unit_test(a_program_that_starts_when_nobody_waits_any_more_is_ended),
		cmocka_unit_test(without_any_verb_that_rooms_need_none_lives_and_goes),
	};
	AUTO_FREE char *assay = argc > 1 ? realpath(argv[1], NULL) : NULL; /* containers are started elsewhere */
	struct err err = {0};
	int failed;

	if (!assay) {
		(void)fprintf(stderr, "usage: contract_provider_kubernetes ASSAY [TEST]\n");
		return 2;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN);
	failed = begin(assay);
	if (failed) {
		if (scripted.base)
			cluster_end(&scripted);
		(void)!file_remove_tree(folder, &err);
		return failed;
	}
	if (argc > 2)
		cmocka_set_test_filter(argv[2]);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	kube_cluster_close(provider);
	if (scripted.base) {
		cluster_unwrong(&scripted);
		cluster_end(&scripted);
	}
	(void)!file_remove_tree(folder, &err);
	return failed;
}
