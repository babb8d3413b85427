/*
 * The promises of sandbox/provider.h, kept by the local provider: as root, and as an ordinary user (tests/as_user.sh), where what is not
 * possible is skipped aloud. Each test makes environments of its own; the keeper and its pool are shared, as in life.
 */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6/ip6_tables.h>

#include "provider_rest.h"

#include "base/file.h"
#include "base/scope.h"
#include "net/door.h"
#include "sandbox/local/keeper.h"
#include "sandbox/local/local.h"

#define WAIT_MS 20000
#define OUTPUT_MAX ((size_t)1 << 20)
#define SKIPPED 77 /* for meson */

static char state_dir[] = "/tmp/assay-provider-XXXXXX";
static const char *runtime; /* an OCI runtime that makes the rooms: a second row of the same promises */
static struct provider provider;
static bool pool_copies; /* it cannot share blocks */

static const char *const plain_env[] = {"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/home/assay", NULL};

/* ---- steps ---- */

static void good(int result, const struct err *err)
{
	if (result)
		fail_msg("%s", err->text);
}

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

static void env_end(struct env_id env)
{
	struct err err = {0};

	good(provider_env_remove(provider, env, &err), &err);
}

static uint32_t start(struct env_id env, const char *name, const char *const *argv, bool as_root, int out)
{
	struct program_spec spec = {.argv = argv, .env = plain_env, .dir = "/", .as_root = as_root, .fds = {-1, out, out}};
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

/* Runs a shell line and gives its output, without the last newline. */
static char *shell(struct env_id env, const char *name, bool as_root, const char *line, struct exit_status *status)
{
	const char *argv[] = {"sh", "-c", line, NULL};
	AUTO_BUF output = buf_new(OUTPUT_MAX);
	struct exit_status ended;
	struct err err = {0};
	uint32_t process;
	int out[2];

	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	process = start(env, name, argv, as_root, out[1]);
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

static void says(struct env_id env, const char *name, bool as_root, const char *line, const char *wanted)
{
	AUTO_FREE char *got = shell(env, name, as_root, line, NULL);

	assert_string_equal(got, wanted);
}

static bool rootless(void)
{
	return geteuid() != 0;
}

/* ---- programs ---- */

static void a_program_runs_as_the_user_or_as_root_of_its_room(void **state)
{
	struct env_id env = env_with(NULL, "one");

	(void)state;
	says(env, "one", false, "id -u; id -g; id -G; whoami", "1000\n1000\n1000\nassay");
	{
		AUTO_FREE char *root = shell(env, "one", true, "id -u; whoami", NULL);

		if (rootless() && strcmp(root, "1000\nassay") == 0)
			print_message("the user has one id: a room has no root\n");
		else
			assert_string_equal(root, "0\nroot");
	}
	says(env, "one", false, "echo $$ >/tmp/x; cat /tmp/x | wc -l; hostname", "1\none");
	env_end(env);
}

static void exit_codes_and_signals_are_told_as_they_were(void **state)
{
	struct env_id env = env_with(NULL, "one");
	AUTO_BUF text = buf_new(256);
	struct exit_status status;

	(void)state;
	free(shell(env, "one", false, "exit 3", &status));
	assert_int_equal(status.reason, EXIT_CODE);
	assert_int_equal(status.code, 3);
	free(shell(env, "one", false, "kill -SEGV $$", &status));
	assert_int_equal(status.reason, EXIT_SIGNAL);
	assert_int_equal(status.code, SIGSEGV);
	exit_status_format(&text, status);
	assert_string_equal(text.at, "signal 11 (Segmentation fault)");
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
	spec.argv = (const char *[]){"true", NULL};
	spec.dir = "/no/such/folder";
	assert_int_equal(provider_program_start(provider, env, "one", &spec, &process, &err), -1);
	assert_int_equal(provider_program_start(provider, env, "two", &spec, &process, &err), -1);
	assert_int_equal(err.kind, ERR_NOT_FOUND);
	env_end(env);
}

static void a_wait_ends_at_its_timeout_and_a_signal_reaches_the_whole_group(void **state)
{
	struct env_id env = env_with(NULL, "one");
	const char *argv[] = {"sh", "-c", "sleep 100 & sleep 100", NULL};
	uint32_t process = start(env, "one", argv, false, -1);
	struct exit_status status;
	struct err err = {0};

	(void)state;
	assert_int_equal(provider_program_wait(provider, env, "one", process, 50, &status, &err), -1);
	assert_int_equal(err.kind, ERR_RETRY);
	good(provider_program_signal(provider, env, "one", process, SIGTERM, &err), &err);
	status = wait_end(env, "one", process);
	assert_int_equal(status.reason, EXIT_SIGNAL);
	assert_int_equal(status.code, SIGTERM);
	says(env, "one", false,
	     "for i in 1 2 3 4 5 6 7 8 9 10; do pgrep sleep >/dev/null || break; sleep 0.1; done; pgrep -c sleep", "0");
	env_end(env);
}

/* Sessions and groups of their own, a parent that is gone, ears closed to what can be caught. */
#define LEAVES                                                                                                              \
	"{ setsid sleep 54323 & sh -c '(setsid sleep 54323 &) &'; setsid sh -c 'trap \"\" TERM HUP INT; sleep 54323; :' & " \
	"} >/dev/null 2>&1; until [ $(pgrep -fc '^sleep 54323') -ge 3 ]; do :; done; "

static void what_ended_programs_left_is_killed_and_programs_that_run_are_not(void **state)
{
	struct env_id env = env_with(NULL, "one");
	const char *runs[] = {"sh", "-c", "sleep 54324 & setsid -w sleep 54324", NULL};
	uint32_t process = start(env, "one", runs, false, -1);
	struct exit_status status;
	struct err err = {0};

	(void)state;
	says(env, "one", false, LEAVES " pgrep -fc '^sleep 54323'", "3");
	good(provider_program_signal(provider, env, "one", 0, SIGKILL, &err), &err);
	says(env, "one", false, "pgrep -fc '^sleep 54323'; pgrep -fc '^sleep 54324'", "0\n2");
	assert_int_equal(provider_program_wait(provider, env, "one", process, 1, &status, &err), -1);
	assert_int_equal(err.kind, ERR_RETRY);
	env_end(env);
}

/* Each process of the chain lives only until it has forked the next: whoever looks for it comes too late. */
static void where_no_program_runs_nothing_outlives_it_not_even_who_forks_all_the_time(void **state)
{
	struct env_id env = env_with(NULL, "one");
	struct err err = {0};

	(void)state;
	says(env, "one", false,
	     LEAVES
	     " for i in 1 2 3; do setsid perl -e 'while (1) { exit if fork }' >/dev/null 2>&1 & done; pgrep -fc '^sleep 54323'",
	     "3");
	good(provider_program_signal(provider, env, "one", 0, SIGKILL, &err), &err);
	says(env, "one", false, "pgrep -c '^(sleep|perl)$'", "0");
	env_end(env);
}

static void large_arguments_and_environments_arrive_whole(void **state)
{
	struct env_id env = env_with(NULL, "one");
	AUTO_FREE char *large = mem_new(100001);
	AUTO_FREE char *variable = NULL;
	const char *argv[] = {"sh", "-c", "echo ${#1} ${#LARGE}", "sh", large, NULL};
	const char *variables[] = {"PATH=/usr/bin", NULL, NULL};
	struct program_spec spec = {.argv = argv, .env = variables, .dir = "/tmp", .fds = {-1, -1, -1}};
	AUTO_BUF output = buf_new(OUTPUT_MAX);
	struct err err = {0};
	uint32_t process;
	int out[2];

	(void)state;
	memset(large, 'x', 100000);
	variable = text_format("LARGE=%s", large);
	variables[1] = variable;
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	spec.fds[1] = out[1];
	good(provider_program_start(provider, env, "one", &spec, &process, &err), &err);
	(void)close(out[1]);
	good(file_read_fd(out[0], &output, &err), &err);
	(void)close(out[0]);
	assert_string_equal(output.at, "100000 100000\n");
	assert_int_equal(wait_end(env, "one", process).code, 0);
	env_end(env);
}

static void a_terminal_becomes_the_programs_own(void **state)
{
	struct env_id env = env_with(NULL, "one");
	const char *argv[] = {"sh", "-c", "test -t 0 && echo yes >/dev/tty", NULL};
	struct program_spec spec = {.argv = argv, .env = plain_env, .dir = "/", .terminal = true};
	struct err err = {0};
	uint32_t process;
	char text[64] = {0};
	int master, slave;

	(void)state;
	assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
	spec.fds[0] = spec.fds[1] = spec.fds[2] = slave;
	good(provider_program_start(provider, env, "one", &spec, &process, &err), &err);
	assert_int_equal(wait_end(env, "one", process).code, 0);
	assert_true(read(master, text, sizeof(text) - 1) > 0);
	assert_string_equal(text, "yes\r\n");
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

		processes[i] = start(env, "one", argv, false, -1);
	}
	for (int i = 49; i >= 0; i--)
		assert_int_equal(wait_end(env, "one", processes[i]).code, i);
	env_end(env);
}

static void fds_close(const int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++)
		(void)close(fds[i]);
}

/* ---- limits ---- */

static void too_much_memory_ends_the_program_and_is_told_as_that(void **state)
{
	struct sandbox_spec spec = {.limits = {.memory_bytes = (int64_t)64 << 20}};
	struct env_id env = env_with(&spec, "one");
	struct sandbox_usage usage;
	struct exit_status status;
	struct err err = {0};

	(void)state;
	good(provider_sandbox_usage(provider, env, "one", &usage, &err), &err);
	free(shell(env, "one", false, "exec python3 -c 'x = bytearray(300 << 20)'", &status));
	if ((usage.unlimited & LIMIT_MEMORY) && status.reason == EXIT_CODE && status.code == 1) {
		print_message("no memory controller here: each process is refused more, and none is killed\n");
		says(env, "one", false, "echo alive", "alive");
		env_end(env);
		skip();
	}
	assert_int_equal(status.reason, EXIT_OOM);
	free(shell(env, "one", false, "python3 -c 'x = bytearray(300 << 20)'; exit $?", &status));
	assert_int_equal(status.reason, EXIT_OOM);
	says(env, "one", false, "echo alive", "alive");
	good(provider_sandbox_usage(provider, env, "one", &usage, &err), &err);
	assert_true(usage.oom_kills >= 1);
	assert_true(usage.memory_peak_bytes > (int64_t)32 << 20 && usage.memory_peak_bytes <= (int64_t)64 << 20);
	env_end(env);
}

static void a_fork_bomb_meets_the_limit_of_processes(void **state)
{
	struct sandbox_spec spec = {.limits = {.pids = 40}};
	struct env_id env = env_with(&spec, "one");
	struct sandbox_usage usage;
	struct err err = {0};

	(void)state;
	free(shell(env, "one", false, "i=0; while [ $i -lt 100 ]; do sleep 3 >/dev/null 2>&1 & i=$((i+1)); done; kill $$", NULL));
	good(provider_sandbox_usage(provider, env, "one", &usage, &err), &err);
	assert_true(usage.pids <= 40);
	if (!(usage.unlimited & LIMIT_PIDS))
		assert_true(usage.pids_refused > 0);
	good(provider_sandbox_remove(provider, env, "one", &err), &err);
	env_end(env);
}

/* What the kernel limits by user: each environment has users of its own. */
static void who_uses_up_a_users_watches_leaves_others_theirs(void **state)
{
	const char *argv[] = {"python3", "-c",
			      "import ctypes, time\nlibc = ctypes.CDLL(None)\nwhile libc.inotify_init1(0) >= 0: pass\n"
			      "print('full', flush=True)\ntime.sleep(600)",
			      NULL};
	struct env_id greedy = env_with(NULL, "one"), other = env_with(NULL, "one");
	char line[8] = "";
	int out[2];

	(void)state;
	if (rootless() || runtime) {
		env_end(greedy);
		env_end(other);
		print_message(
			"the environments of an ordinary user, and those of an OCI runtime, share what is limited by user: skipped\n");
		skip();
	}
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	(void)start(greedy, "one", argv, false, out[1]);
	assert_int_equal(poll(&(struct pollfd){out[0], POLLIN, 0}, 1, WAIT_MS), 1);
	assert_int_equal(read(out[0], line, sizeof(line)), 5);
	says(other, "one", false, "python3 -c 'import ctypes; print(ctypes.CDLL(None).inotify_init1(0) >= 0)'", "True");
	fds_close(out, 2);
	env_end(greedy);
	env_end(other);
}

static void a_cpu_limit_holds(void **state)
{
	struct sandbox_spec spec = {.limits = {.cpu_percent = 10}};
	struct env_id env = env_with(&spec, "one");
	struct sandbox_usage usage;
	struct err err = {0};

	(void)state;
	free(shell(env, "one", false, "timeout 1 sh -c 'while :; do :; done'", NULL));
	good(provider_sandbox_usage(provider, env, "one", &usage, &err), &err);
	env_end(env);
	if (usage.unlimited & LIMIT_CPU) {
		print_message("no cpu controller here: that limit is not tested\n");
		skip();
	}
	assert_true(usage.cpu_ms > 0 && usage.cpu_ms < 400);
}

static void who_runs_is_seen(void **state)
{
	const char *const runs[] = {"sh", "-c", "while :; do :; done", NULL};
	const char *const sleeps[] = {"tail", "-f", "/dev/null", NULL};
	struct env_id env = env_with(NULL, "one");
	struct err err = {0};
	uint32_t process;

	(void)state;
	(void)start(env, "one", sleeps, false, -1);
	if (rest_await(provider, env) == ACTIVITY_UNKNOWN) {
		env_end(env);
		print_message("# this provider cannot tell here who runs\n");
		skip();
	}
	assert_int_equal(rest_await(provider, env), ACTIVITY_IDLE);
	process = start(env, "one", runs, false, -1);
	for (int i = 0; i < 100; i++)
		assert_int_equal(provider_env_activity(provider, env), ACTIVITY_BUSY);
	good(provider_program_signal(provider, env, "one", process, SIGKILL, &err), &err);
	assert_int_equal(wait_end(env, "one", process).reason, EXIT_SIGNAL);
	assert_int_equal(rest_await(provider, env), ACTIVITY_IDLE);
	env_end(env);
}

static void a_frozen_environment_stands_still_and_goes_on(void **state)
{
	struct env_id env = env_with(NULL, "one");
	const char *argv[] = {"sh", "-c", "while :; do echo x; sleep 0.01; done", NULL};
	struct err err = {0};
	uint32_t process;
	char text[4096];
	int out[2];
	int fd;

	(void)state;
	assert_int_equal(pipe2(out, O_CLOEXEC | O_NONBLOCK), 0);
	process = start(env, "one", argv, false, out[1]);
	assert_int_equal(poll(&(struct pollfd){out[0], POLLIN, 0}, 1, WAIT_MS), 1);
	good(provider_env_freeze(provider, env, true, &err), &err);
	while (read(out[0], text, sizeof(text)) > 0)
		continue;
	assert_int_equal(poll(&(struct pollfd){out[0], POLLIN, 0}, 1, 300), 0);
	assert_int_equal(provider_sandbox_door(provider, env, "one", &fd, &err), -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
	good(provider_env_freeze(provider, env, false, &err), &err);
	assert_int_equal(poll(&(struct pollfd){out[0], POLLIN, 0}, 1, WAIT_MS), 1);
	good(provider_env_freeze(provider, env, true, &err), &err);
	env_end(env); /* frozen: it must still end */
	assert_int_equal(provider_program_wait(provider, env, "one", process, 0, &(struct exit_status){0}, &err), -1);
	(void)close(out[0]);
	(void)close(out[1]);
}

/* ---- door ---- */

static void descriptors_take(int door, enum door_ask ask, uint32_t count, int *fds, uint32_t wanted)
{
	struct door_request request = {ask, count};
	struct door_reply reply = {0};
	char control[CMSG_SPACE(sizeof(int) * DOOR_SOCKETS_MAX)];
	struct iovec part = {&reply, sizeof(reply)};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};

	assert_int_equal(send(door, &request, sizeof(request), 0), sizeof(request));
	assert_int_equal(poll(&(struct pollfd){door, POLLIN, 0}, 1, WAIT_MS), 1);
	assert_int_equal(recvmsg(door, &message, MSG_CMSG_CLOEXEC), sizeof(reply));
	assert_int_equal(reply.errno_value, 0);
	assert_int_equal(reply.count, wanted);
	memcpy(fds, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int) * wanted);
}

static int accept_one(int listener)
{
	int fd;

	assert_int_equal(poll(&(struct pollfd){listener, POLLIN, 0}, 1, WAIT_MS), 1);
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static void whatever_a_program_connects_to_lands_at_the_door(void **state)
{
	struct env_id env = env_with(NULL, "one");
	const char *v4[] = {"bash", "-c", "exec 3<>/dev/tcp/203.0.113.9/4711 && echo hello >&3", NULL};
	const char *v6[] = {"bash", "-c", "exec 3<>/dev/tcp/2001:db8::7/443 && echo hello >&3", NULL};
	struct sockaddr_in target = {0};
	struct sockaddr_in6 target6 = {0};
	struct err err = {0};
	socklen_t length = sizeof(target);
	char text[64] = {0}, address[64];
	int door, listeners[4], connection;
	uint32_t process;

	(void)state;
	good(provider_sandbox_door(provider, env, "one", &door, &err), &err);
	descriptors_take(door, DOOR_LISTENERS, 0, listeners, 4);
	process = start(env, "one", v4, false, -1);
	connection = accept_one(listeners[0]);
	assert_int_equal(getsockopt(connection, SOL_IP, SO_ORIGINAL_DST, &target, &length), 0);
	assert_string_equal(inet_ntop(AF_INET, &target.sin_addr, address, sizeof(address)), "203.0.113.9");
	assert_int_equal(ntohs(target.sin_port), 4711);
	assert_true(read(connection, text, sizeof(text) - 1) > 0);
	assert_string_equal(text, "hello\n");
	(void)close(connection);
	assert_int_equal(wait_end(env, "one", process).code, 0);
	process = start(env, "one", v6, false, -1);
	connection = accept_one(listeners[1]);
	length = sizeof(target6);
	assert_int_equal(getsockopt(connection, SOL_IPV6, IP6T_SO_ORIGINAL_DST, &target6, &length), 0);
	assert_string_equal(inet_ntop(AF_INET6, &target6.sin6_addr, address, sizeof(address)), "2001:db8::7");
	(void)close(connection);
	assert_int_equal(wait_end(env, "one", process).code, 0);
	fds_close(listeners, 4);
	(void)close(door);
	env_end(env);
}

static void names_are_asked_at_the_door_whatever_server_is_asked(void **state)
{
	static const char line[] = "import socket\n"
				   "for a in ('127.0.0.1', '198.51.100.53'):\n"
				   " s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5); s.connect((a, 53))\n"
				   " s.send(b'ask'); print(s.recv(99).decode())\n";
	struct env_id env = env_with(NULL, "one");
	const char *argv[] = {"python3", "-c", line, NULL};
	struct err err = {0};
	int door, listeners[4];
	uint32_t process;

	(void)state;
	good(provider_sandbox_door(provider, env, "one", &door, &err), &err);
	descriptors_take(door, DOOR_LISTENERS, 0, listeners, 4);
	process = start(env, "one", argv, false, -1);
	for (int i = 0; i < 2; i++) {
		struct sockaddr_in from;
		socklen_t length = sizeof(from);
		char text[16];

		assert_int_equal(poll(&(struct pollfd){listeners[2], POLLIN, 0}, 1, WAIT_MS), 1);
		assert_int_equal(recvfrom(listeners[2], text, sizeof(text), 0, (struct sockaddr *)&from, &length), 3);
		assert_int_equal(sendto(listeners[2], "told", 4, 0, (struct sockaddr *)&from, length), 4);
	}
	assert_int_equal(wait_end(env, "one", process).code, 0);
	fds_close(listeners, 4);
	(void)close(door);
	env_end(env);
}

static void other_udp_is_refused_at_once(void **state)
{
	struct env_id env = env_with(NULL, "one");

	(void)state;
	says(env, "one", false,
	     "python3 -c \"\n"
	     "import socket\n"
	     "for f, a in ((socket.AF_INET, '8.8.8.8'), (socket.AF_INET6, '2001:db8::1')):\n"
	     " s = socket.socket(f, socket.SOCK_DGRAM); s.settimeout(2); s.connect((a, 443)); s.send(b'x')\n"
	     " try: s.recv(1); print('answer')\n"
	     " except ConnectionRefusedError: print('refused')\n"
	     " except OSError as e: print(e)\n\"",
	     "refused\nrefused");
	env_end(env);
}

static void a_listening_program_is_reached_by_dialling(void **state)
{
	struct env_id env = env_with(NULL, "one");
	const char *argv[] = {
		"python3", "-c",
		"import select, socket\n"
		"s = [socket.create_server(('0.0.0.0', 80)), socket.create_server(('::1', 81), family=socket.AF_INET6)]\n"
		"print('up', flush=True)\n"
		"while True:\n for one in select.select(s, [], [])[0]:\n  c, _ = one.accept(); c.sendall(b'hi'); c.close()\n",
		NULL};
	struct err err = {0};
	int out[2], fd, door, sockets[3];
	char text[8] = {0};

	(void)state;
	assert_int_equal(provider_sandbox_dial(provider, env, "one", 80, &fd, &err), -1);
	assert_int_equal(err.kind, ERR_RETRY);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	(void)start(env, "one", argv, false, out[1]);
	assert_int_equal(poll(&(struct pollfd){out[0], POLLIN, 0}, 1, WAIT_MS), 1);
	for (uint16_t port = 80; port <= 81; port++) { /* the second on ::1 alone */
		good(provider_sandbox_dial(provider, env, "one", port, &fd, &err), &err);
		assert_int_equal(read(fd, text, sizeof(text)), 2);
		(void)close(fd);
	}
	good(provider_sandbox_door(provider, env, "one", &door, &err), &err);
	descriptors_take(door, DOOR_SOCKETS, 3, sockets, 3);
	(void)door_connect(sockets[2], 80, false);
	assert_int_equal(poll(&(struct pollfd){sockets[2], POLLIN, 0}, 1, WAIT_MS), 1);
	assert_int_equal(read(sockets[2], text, sizeof(text)), 2);
	fds_close(sockets, 3);
	fds_close(out, 2);
	(void)close(door);
	env_end(env);
}

/* ---- volumes and layers ---- */

static const struct sandbox_spec with_volume = {.mounts = {{"work", "/workspace", false}}, .mount_count = 1};

/* An environment with one volume `work` over `layers` and a sandbox that has it. */
static struct env_id env_with_volume(const char *const *layers, size_t count, bool blocks)
{
	struct env_id env = env_with(NULL, NULL);
	struct sandbox_spec spec = with_volume;
	struct err err = {0};
	bool copied;

	good(provider_volume_make(provider, env, "work", layers, count, blocks, &copied, &err), &err);
	spec.env = env;
	spec.name = "one";
	good(provider_sandbox_make(provider, &spec, &err), &err);
	return env;
}

static void commit(struct env_id env, const char *layer)
{
	AUTO_JSON meta = json_pack("{s:s}", "made", "by a test");
	struct err err = {0};

	good(provider_env_stop(provider, env, &err), &err);
	good(provider_volume_commit(provider, env, "work", layer, meta, &err), &err);
}

static void a_volume_is_shared_by_sandboxes_and_survives_them(void **state)
{
	struct env_id env = env_with_volume(NULL, 0, false);
	struct sandbox_spec spec = with_volume;
	struct err err = {0};

	(void)state;
	spec.env = env;
	spec.name = "two";
	spec.mounts[0].read_only = true;
	spec.mounts[0].path = "/a/new/place";
	good(provider_sandbox_make(provider, &spec, &err), &err);
	says(env, "one", false, "echo text >/workspace/file; stat -c %u /workspace", "1000");
	says(env, "two", false, "cat /a/new/place/file; touch /a/new/place/x 2>/dev/null || echo refused", "text\nrefused");
	good(provider_env_stop(provider, env, &err), &err);
	spec = with_volume;
	spec.env = env;
	spec.name = "one";
	good(provider_sandbox_make(provider, &spec, &err), &err);
	says(env, "one", false, "cat /workspace/file", "text");
	env_end(env);
}

static void layers_lie_below_volumes_of_other_environments_unchanged(void **state)
{
	static const char *const first[] = {"test/first"};
	static const char *const second[] = {"test/second"};
	struct env_id one = env_with_volume(NULL, 0, false), two, three;
	struct err err = {0};
	AUTO_JSON list = NULL;

	(void)state;
	says(one, "one", false, "cd /workspace; mkdir d; echo a >d/a; echo b >d/b; echo c >c; chmod 700 d; umask", "0022");
	commit(one, "test/first");
	two = env_with_volume(first, 1, false);
	says(two, "one", false, "cd /workspace; cat d/a; stat -c '%u %a' d; rm d/a; echo B >d/b; mv d e; cat e/b",
	     "a\n1000 700\nB");
	commit(two, "test/second");
	three = env_with_volume(second, 1, false);
	says(three, "one", false, "cd /workspace; ls -A . e; cat e/b c", ".:\nc\ne\n\ne:\nb\nB\nc");
	env_end(one);
	one = env_with_volume(first, 1, true);
	says(one, "one", false, "cd /workspace; ls; cat d/a d/b", "c\nd\na\nb");
	assert_int_equal(provider_layer_remove(provider, "test/first", &err), -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
	list = provider_layer_list(provider, "test/", &err);
	assert_int_equal(json_array_size(list), 2);
	assert_string_equal(json_text(json_member(json_array_get(list, 0), "meta"), "made", ""), "by a test");
	env_end(one);
	env_end(two);
	env_end(three);
	assert_int_equal(provider_layer_remove(provider, "test/first", &err), -1); /* below the second */
	good(provider_layer_remove(provider, "test/second", &err), &err);
	good(provider_layer_remove(provider, "test/first", &err), &err);
	assert_int_equal(provider_layer_remove(provider, "test/first", &err), -1);
	assert_int_equal(err.kind, ERR_NOT_FOUND);
}

static void a_committed_volume_goes_on_and_a_running_one_is_not_committed(void **state)
{
	struct env_id env = env_with_volume(NULL, 0, false);
	struct sandbox_spec spec = with_volume;
	struct err err = {0};

	(void)state;
	says(env, "one", false, "echo 1 >/workspace/f", "");
	assert_int_equal(provider_volume_commit(provider, env, "work", "test/going", NULL, &err), -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
	commit(env, "test/going");
	spec.env = env;
	spec.name = "one";
	good(provider_sandbox_make(provider, &spec, &err), &err);
	says(env, "one", false, "cat /workspace/f; echo 2 >/workspace/f; cat /workspace/f", "1\n2");
	env_end(env);
	good(provider_layer_remove(provider, "test/going", &err), &err);
}

static void a_clone_has_what_was_written_and_its_own_owner(void **state)
{
	static const char *const layers[] = {"test/base"};
	struct env_id base = env_with_volume(NULL, 0, false), from, to;
	struct sandbox_spec spec = with_volume;
	struct err err = {0};

	(void)state;
	says(base, "one", false, "echo base >/workspace/base; echo gone >/workspace/gone", "");
	commit(base, "test/base");
	from = env_with_volume(layers, 1, true);
	says(from, "one", false,
	     "cd /workspace; echo new >new; ln new hard; ln -s new soft; rm gone; truncate -s 100M sparse; mkfifo p", "");
	good(provider_env_freeze(provider, from, true, &err), &err);
	to = env_with(NULL, NULL);
	good(provider_volume_clone(provider, from, to, "work", &err), &err);
	spec.env = to;
	spec.name = "one";
	good(provider_sandbox_make(provider, &spec, &err), &err);
	says(to, "one", false,
	     "cd /workspace; ls; cat base hard soft; stat -c '%u %h' new; du -k sparse | cut -f1; echo more >>new",
	     "base\nhard\nnew\np\nsoft\nsparse\nbase\nnew\nnew\n1000 2\n0");
	good(provider_env_freeze(provider, from, false, &err), &err);
	says(from, "one", false, "cat /workspace/new", "new");
	env_end(base);
	env_end(from);
	env_end(to);
	good(provider_layer_remove(provider, "test/base", &err), &err);
}

static void a_large_file_of_a_layer_is_not_copied_up_whole(void **state)
{
	static const char *const layers[] = {"test/large"};
	struct env_id env = env_with_volume(NULL, 0, true);
	AUTO_FREE char *used = NULL;
	struct err err = {0};
	bool copied = true;

	(void)state;
	says(env, "one", false, "head -c 200M /dev/urandom >/workspace/large; stat -c %s /workspace/large", "209715200");
	commit(env, "test/large");
	env_end(env);
	env = env_with(NULL, NULL);
	good(provider_volume_make(provider, env, "work", layers, 1, true, &copied, &err), &err);
	pool_copies = copied;
	if (copied)
		print_message("this machine's pool cannot share blocks: the layer was copied\n");
	else {
		struct sandbox_spec spec = with_volume;
		int64_t before = world_elapsed_ms(world_real);

		spec.env = env;
		spec.name = "one";
		good(provider_sandbox_make(provider, &spec, &err), &err);
		says(env, "one", false, "printf x | dd of=/workspace/large conv=notrunc bs=1 seek=100000000 2>/dev/null", "");
		assert_true(world_elapsed_ms(world_real) - before < 1000);
	}
	env_end(env);
	good(provider_layer_remove(provider, "test/large", &err), &err);
}

static void a_folder_or_a_layer_is_an_image(void **state)
{
	struct env_id env = env_with_volume(NULL, 0, false), other;
	struct sandbox_spec spec = {.image = "layer:test/image"};
	const char *argv[] = {"/bin/tool", NULL};
	struct err err = {0};

	(void)state;
	says(env, "one", false,
	     "cd /workspace; mkdir bin etc lib64; cp /bin/true bin/tool; cp -L --parents $(ldd /bin/true | grep -o '/[^ ]*') . 2>/dev/null; "
	     "mkdir -p lib64; cp -L /lib64/ld-linux-x86-64.so.2 lib64; mkdir -p lib/x86_64-linux-gnu; "
	     "cp -L /lib/x86_64-linux-gnu/libc.so.6 lib/x86_64-linux-gnu; echo mine >etc/hosts",
	     "");
	commit(env, "test/image");
	other = env_with(&spec, "one");
	assert_int_equal(wait_end(other, "one", start(other, "one", argv, false, -1)).code, 0);
	assert_int_equal(provider_layer_remove(provider, "test/image", &err), -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
	env_end(other);
	env_end(env);
	good(provider_layer_remove(provider, "test/image", &err), &err);
	spec.image = "dir:/no/such/folder";
	spec.env = env = env_with(NULL, NULL);
	spec.name = "one";
	assert_int_equal(provider_sandbox_make(provider, &spec, &err), -1);
	assert_int_equal(err.kind, ERR_NOT_FOUND);
	spec.image = "dir:/etc"; /* no root file system */
	assert_int_equal(provider_sandbox_make(provider, &spec, &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
	spec.image = "dir:/"; /* shows the home, and the state, of who runs this */
	assert_int_equal(provider_sandbox_make(provider, &spec, &err), -1);
	assert_int_equal(err.kind, ERR_DENIED);
	env_end(env);
}

static void an_oci_image_is_unpacked_once_and_kept_by_its_digest(void **state)
{
	AUTO_FREE char *dir = text_format("%s/image", state_dir);
	AUTO_FREE char *line = text_format(
		"mkdir -p %s/root/bin && cd %s && cp -L $(which busybox || echo /bin/true) root/bin/tool && "
		"{ umoci init --layout lay && umoci new --image lay:t && umoci insert --image lay:t root /; } >%s/log 2>&1",
		dir, dir, dir);
	AUTO_FREE char *image = text_format("oci:%s/lay:t", dir);
	struct sandbox_spec spec = {.image = image, .name = "one", .env = env_with(NULL, NULL)};
	struct err err = {0};
	AUTO_JSON list = NULL;

	(void)state;
	if (system(line) || access("/usr/bin/skopeo", X_OK)) {
		print_message("no umoci or no skopeo: images are not tested\n");
		env_end(spec.env);
		skip();
	}
	good(provider_sandbox_make(provider, &spec, &err), &err);
	spec.name = "two";
	good(provider_sandbox_make(provider, &spec, &err), &err);
	list = provider_layer_list(provider, "image/", &err);
	assert_int_equal(json_array_size(list), 1);
	assert_string_equal(json_text(json_member(json_array_get(list, 0), "meta"), "image", ""), image);
	env_end(spec.env);
	spec.env = env_with(NULL, NULL);
	spec.image = "oci:/no/such/layout:t";
	assert_int_equal(provider_sandbox_make(provider, &spec, &err), -1);
	spec.image = "--help";
	assert_int_equal(provider_sandbox_make(provider, &spec, &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
	env_end(spec.env);
}

/* ---- life and death ---- */

static bool listed(struct env_id env, size_t *sandboxes)
{
	struct err err = {0};
	AUTO_JSON list = provider_env_list(provider, &err);
	size_t i;
	json_t *row;

	assert_non_null(list);
	json_array_foreach(list, i, row)
		if (strcmp(json_text(row, "env", ""), env.text) == 0) {
			*sandboxes = json_array_size(json_member(row, "sandboxes"));
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

	(void)state;
	good(provider_sandbox_make(provider, &spec, &err), &err);
	assert_int_equal(provider_sandbox_make(provider, &spec, &err), -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
	assert_true(listed(env, &sandboxes));
	assert_int_equal(sandboxes, 2);
	good(provider_sandbox_remove(provider, env, "two", &err), &err);
	assert_true(listed(env, &sandboxes));
	assert_int_equal(sandboxes, 1);
	env_end(env);
	assert_false(listed(env, &sandboxes));
	env_end(env); /* absence is no error */
	assert_int_equal(provider_sandbox_make(provider, &spec, &err), -1);
	assert_int_equal(err.kind, ERR_NOT_FOUND);
}

static void a_waiting_caller_is_told_when_the_room_is_destroyed(void **state)
{
	struct env_id env = env_with(NULL, "one");
	const char *argv[] = {"sleep", "100", NULL};
	uint32_t process = start(env, "one", argv, false, -1);
	const char *kill_all[] = {"sh", "-c", "kill -9 -1", NULL};
	struct exit_status status;

	(void)state;
	(void)start(env, "one", kill_all, true, -1); /* pid 1 of the room is not among "all" */
	status = wait_end(env, "one", process);
	assert_int_equal(status.reason, EXIT_SIGNAL);
	assert_int_equal(status.code, SIGKILL);
	says(env, "one", false, "echo alive", "alive");
	env_end(env);
}

/* Is a process left whose command line matches? (The shell's own must not.) */
static bool process_left(const char *word)
{
	AUTO_FREE char *line = text_format("pgrep -f '%s' >/dev/null", word);

	return system(line) == 0;
}

static void after_kill_9_of_the_keeper_nothing_runs_and_volumes_are_there(void **state)
{
	struct env_id env = env_with_volume(NULL, 0, false);
	const char *argv[] = {"sleep", "424242", NULL};
	uint32_t process = start(env, "one", argv, false, -1);
	struct sandbox_spec spec = with_volume;
	struct exit_status status;
	struct err err = {0};
	size_t sandboxes;

	(void)state;
	says(env, "one", false, "echo kept >/workspace/f; sync", "");
	good(provider_env_freeze(provider, env, true, &err), &err);
	assert_int_equal(kill(local_provider_keeper(provider), SIGKILL), 0);
	assert_int_equal(provider_program_wait(provider, env, "one", process, WAIT_MS, &status, &err), 0);
	assert_int_equal(status.reason, EXIT_GONE);
	for (int i = 0; i < 100 && process_left("sleep 42424[2]"); i++)
		(void)usleep(50000);
	assert_false(process_left("sleep 42424[2]"));
	assert_true(listed(env, &sandboxes)); /* asks a new keeper */
	assert_int_equal(sandboxes, 0);
	spec.env = env;
	spec.name = "one";
	good(provider_sandbox_make(provider, &spec, &err), &err);
	says(env, "one", false, "cat /workspace/f", "kept");
	env_end(env);
}

/* Returns when another keeper answers. */
static void keeper_kill(void)
{
	pid_t before = local_provider_keeper(provider);
	AUTO_JSON list = NULL;

	assert_int_equal(kill(before, SIGKILL), 0);
	for (int i = 0; i < 200 && (!list || local_provider_keeper(provider) == before); i++) {
		(void)usleep(50000);
		json_decref(list);
		list = provider_env_list(provider, NULL);
	}
	assert_non_null(list);
}

/* As if the machine had ended under it and was started again: nothing that it wrote had to be on the disk. */
static void after_the_machines_end_nothing_of_an_environment_is_trusted(void **state)
{
	AUTO_FREE char *path = text_format("%s/keeper.boot", state_dir);
	struct env_id env = env_with_volume(NULL, 0, false);
	struct err err = {0};
	size_t sandboxes;

	(void)state;
	says(env, "one", false, "echo lost >/workspace/f", "");
	assert_true(file_exists(path));
	good(file_replace(path, VIEW("another start of the machine\n"), 0600, &err), &err);
	keeper_kill();
	assert_false(listed(env, &sandboxes));
	env = env_with_volume(NULL, 0, false);
	keeper_kill();
	assert_true(listed(env, &sandboxes)); /* that was only a keeper's end */
	env_end(env);
}

static void an_environment_goes_fast_and_deep_folders_do_not_stop_the_reaper(void **state)
{
	struct env_id env = env_with_volume(NULL, 0, false);
	int64_t before;

	(void)state;
	free(shell(
		env, "one", false,
		"cd /workspace; python3 -c \"\nimport os\nfor i in range(4000):\n os.mkdir('d'); os.chdir('d')\nopen('f','w')\n\"",
		NULL));
	before = world_elapsed_ms(world_real);
	env_end(env);
	assert_true(world_elapsed_ms(world_real) - before < 1000);
}

/* A provider on a small disk of its own (a user's: a folder), for one test; it goes whatever the test asserts. */
static struct provider usual;

static int small_open(const char *name, const char *size)
{
	AUTO_FREE char *dir = text_format("%s/%s", state_dir, name);
	AUTO_FREE char *make = rootless() ? text_format("mkdir -p %s", dir)
					  : text_format("mkdir %s && mount -t tmpfs -o size=%s %s %s", dir, size, name, dir);
	struct local_options options = {.state_dir = dir, .runtime = runtime};
	struct err err = {0};

	usual = provider;
	if (system(make) != 0)
		return -1;
	if (local_provider_open(&options, &provider, &err) == 0)
		return 0;
	print_message("cannot open a provider in %s: %s\n", dir, err.text);
	return -1;
}

static int small_close(const char *name)
{
	AUTO_FREE char *unmake = text_format("umount -l %s/%s && rmdir %s/%s", state_dir, name, state_dir, name);

	local_provider_close(provider);
	provider = usual;
	return rootless() || system(unmake) == 0 ? 0 : -1;
}

/* Loop devices whose image is in no folder any more. */
static int loops_orphaned(void)
{
	FILE *list = popen("losetup --list --noheadings --output BACK-FILE | grep -cx ' */pool.img'", "re");
	int count = -1;

	if (list && fscanf(list, "%d", &count) != 1)
		count = -1;
	return list && pclose(list) >= 0 ? count : -1;
}

static int loops_before;

static int filled_open(void **state)
{
	(void)state;
	loops_before = loops_orphaned();
	return small_open("small", "1200m");
}

/* Where an environment may hold less. */
static int named_open(void **state)
{
	int result;

	(void)setenv(KEEPER_SHARE_VARIABLE, "5", 1);
	result = filled_open(state);
	(void)unsetenv(KEEPER_SHARE_VARIABLE);
	return result;
}

static int filled_close(void **state)
{
	(void)state;
	if (small_close("small"))
		return -1;
	for (int i = 0; i < 100 && loops_orphaned() > loops_before; i++)
		(void)usleep(50000);
	return loops_orphaned() > loops_before ? -1 : 0;
}

static int plain_open(void **state)
{
	(void)state;
	return small_open("plain", "300m");
}

static int plain_close(void **state)
{
	(void)state;
	return small_close("plain");
}

/* In a mount namespace of this thread's own, where /usr and /opt are mounts. */
static int host_namespace = -1;

static int apart_open(void **state)
{
	AUTO_FREE char *dir = text_format("%s/apart", state_dir);
	struct local_options options = {.state_dir = dir, .runtime = runtime};
	struct err err = {0};

	(void)state;
	usual = provider;
	if (rootless())
		return 0;
	host_namespace = open("/proc/thread-self/ns/mnt", O_RDONLY | O_CLOEXEC);
	if (host_namespace < 0 || unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("/usr", "/usr", NULL, MS_BIND, NULL) || mount("opt", "/opt", "tmpfs", 0, NULL) ||
	    system("mkdir /opt/app && echo shown >/opt/app/f && (umask 077 && echo hidden >/opt/secret)") != 0)
		return -1;
	return local_provider_open(&options, &provider, &err);
}

static int apart_close(void **state)
{
	int result;

	(void)state;
	if (rootless())
		return 0;
	local_provider_close(provider);
	provider = usual;
	result = setns(host_namespace, CLONE_NEWNS);
	(void)close(host_namespace);
	return result;
}

static void folders_that_are_mounts_of_their_own_are_shown_behind_the_mask(void **state)
{
	struct env_id env;

	(void)state;
	if (rootless()) {
		print_message("an ordinary user's sandboxes have an overlay for each folder anyway: skipped\n");
		skip();
	}
	env = env_with(NULL, "one");
	says(env, "one", false, "cat /opt/app/f; ls /opt; ls -d /usr/bin/env", "shown\napp\n/usr/bin/env");
	says(env, "one", true, "echo mine >/opt/app/g && cat /opt/app/g", "mine");
	says(env, "one", false, "echo no 2>/dev/null >/opt/app/h || echo refused", "refused");
	env_end(env);
}

/* Why the provider killed its sandboxes; NULL: it did not. Owned. */
static char *stopped(struct env_id env)
{
	struct err err = {0};
	AUTO_JSON list = provider_env_list(provider, &err);
	json_t *row;
	size_t i;

	assert_non_null(list);
	json_array_foreach(list, i, row)
		if (strcmp(json_text(row, "env", ""), env.text) == 0)
			return text_copy(json_text(row, "stopped", NULL));
	return NULL;
}

/* Nine tenths of a share in a layer that nobody else has, then enough of its own for a count: no share is exceeded. */
static void what_lies_in_a_layer_is_not_counted_for_who_forks_it(void **state)
{
	static const char *const layers[] = {"test/large"};
	struct env_id maker, user;
	AUTO_FREE char *why = NULL;
	struct err err = {0};

	(void)state;
	if (rootless()) {
		print_message("a disk of its own cannot be mounted by a user\n");
		skip();
	}
	maker = env_with_volume(NULL, 0, false);
	says(maker, "one", false, "head -c 240M /dev/urandom >/workspace/large; echo written", "written");
	commit(maker, "test/large");
	env_end(maker);
	user = env_with_volume(layers, 1, false);
	says(user, "one", false,
	     "for i in 1 2 3; do head -c 20M /dev/urandom >/workspace/f$i; sleep 1; done; stat -c %s /workspace/*",
	     "20971520\n20971520\n20971520\n251658240");
	why = stopped(user);
	assert_null(why);
	env_end(user);
	good(provider_layer_remove(provider, "test/large", &err), &err);
}

static void who_fills_the_disk_is_stopped_and_its_neighbour_is_not(void **state)
{
	AUTO_FREE char *why = NULL;
	AUTO_FREE char *why_not = NULL;
	struct env_id quiet, filler;
	struct exit_status status;

	(void)state;
	if (rootless()) {
		print_message("a disk of its own cannot be mounted by a user\n");
		skip();
	}
	quiet = env_with(NULL, "one");
	filler = env_with(NULL, "one");
	says(quiet, "one", false, "head -c 20M /dev/zero >/tmp/mine; echo written", "written");
	free(shell(filler, "one", false, "while :; do head -c 20M /dev/zero >>/tmp/fill || exit 7; sleep 0.02; done", &status));
	assert_true(status.reason == EXIT_GONE || (status.reason == EXIT_CODE && status.code == 7));
	for (int i = 0; i < 200 && !why; i++) {
		(void)usleep(50000);
		why = stopped(filler);
	}
	why_not = stopped(quiet);
	assert_null(why_not);
	assert_non_null(why);
	assert_non_null(strstr(why, "MiB of the disk"));
	/* What the filler held is given back when its room has gone: a moment, not an outage. */
	says(quiet, "one", false,
	     "for try in $(seq 200); do head -c 20M /dev/zero 2>/dev/null >/tmp/more && break; sleep 0.05; done; stat -c %s /tmp/mine "
	     "/tmp/more",
	     "20971520\n20971520");
	env_end(quiet);
	env_end(filler);
}

static void who_makes_files_without_end_is_stopped(void **state)
{
	AUTO_FREE char *why = NULL;
	struct exit_status status;
	struct env_id filler;

	(void)state;
	if (rootless()) {
		print_message("a disk of its own cannot be mounted by a user\n");
		skip();
	}
	filler = env_with(NULL, "one");
	free(shell(filler, "one", false,
		   "exec python3 -c 'import os\ni = 0\nwhile True:\n os.mkdir(f\"/tmp/{i}\")\n for n in range(1000): "
		   "open(f\"/tmp/{i}/{n}\", \"w\").close()\n i += 1'",
		   &status));
	assert_true(status.reason == EXIT_GONE || status.reason == EXIT_CODE);
	for (int i = 0; i < 200 && !why; i++) {
		(void)usleep(50000);
		why = stopped(filler);
	}
	assert_non_null(why);
	env_end(filler);
}

/* A folder that cannot share blocks, and too small for an image that can. */
static void without_shared_blocks_a_database_is_copied_whole(void **state)
{
	static const char *const layers[] = {"test/two"};
	struct sandbox_spec spec = with_volume;
	struct env_id one, two;
	bool copied = false;
	struct err err = {0};

	(void)state;
	if (rootless() && !pool_copies) {
		print_message("a folder that cannot share blocks cannot be mounted by a user\n");
		skip();
	}
	one = env_with_volume(NULL, 0, true);
	says(one, "one", false, "cd /workspace; echo 1 >a; mkdir d; echo 2 >d/b; ln a c", "");
	commit(one, "test/one");
	spec.env = one;
	spec.name = "one";
	good(provider_sandbox_make(provider, &spec, &err), &err);
	says(one, "one", false, "cd /workspace; rm d/b; echo 3 >d/c", "");
	commit(one, "test/two");
	two = env_with(NULL, NULL);
	good(provider_volume_make(provider, two, "work", layers, 1, true, &copied, &err), &err);
	assert_true(copied);
	spec.env = two;
	good(provider_sandbox_make(provider, &spec, &err), &err);
	says(two, "one", false, "cd /workspace; cat a c d/*; ls d; stat -c '%u %h' a; echo 4 >a; cat c", "1\n1\n3\nc\n1000 2\n4");
	env_end(one);
	good(provider_layer_remove(provider, "test/two", &err), &err); /* nothing lies over it: it was copied */
	env_end(two);
}

static void wrong_names_and_numbers_are_refused(void **state)
{
	static const char *const names[] = {
		"", "-a", "a-", "A", "a.b", "a/b", "..", "a b", "0123456789012345678901234567890123456789012345678901234567890123"};
	struct env_id env = env_with(NULL, NULL);
	struct sandbox_spec spec = {.env = env};
	struct err err = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		spec.name = names[i];
		assert_int_equal(provider_sandbox_make(provider, &spec, &err), -1);
		assert_int_equal(err.kind, ERR_INVALID);
		assert_int_equal(provider_volume_make(provider, env, names[i], NULL, 0, false, NULL, &err), -1);
	}
	spec.name = "one";
	spec.limits.memory_bytes = -1;
	assert_int_equal(provider_sandbox_make(provider, &spec, &err), -1);
	spec = (struct sandbox_spec){.env = env, .name = "one", .mounts = {{"none", "/x", false}}, .mount_count = 1};
	assert_int_equal(provider_sandbox_make(provider, &spec, &err), -1);
	assert_int_equal(err.kind, ERR_NOT_FOUND);
	assert_int_equal(provider_env_make(provider, (struct env_id){"../../etc"}, &err), -1);
	env_end(env);
}

/* Can it make one room here? */
static bool runtime_works(void)
{
	AUTO_FREE char *dir = text_format("%s", "/tmp/assay-runtime-XXXXXX");
	struct local_options options = {.state_dir = mkdtemp(dir), .runtime = runtime};
	struct env_id env = env_id_new(world_real);
	struct sandbox_spec spec = {.env = env, .name = "one"};
	struct err err = {0};
	bool works = false;

	if (local_provider_open(&options, &provider, &err) == 0) {
		works = !provider_env_make(provider, env, &err) && !provider_sandbox_make(provider, &spec, &err);
		local_provider_close(provider);
	}
	if (!works)
		(void)printf("sandboxes by %s: skipped: %s\n", runtime, err.text);
	(void)!file_remove_tree(dir, &err);
	return works;
}

static int group_open(void **state)
{
	struct local_options options = {.state_dir = state_dir, .runtime = runtime};
	struct err err = {0};

	(void)state;
	if (!mkdtemp(state_dir) || local_provider_open(&options, &provider, &err)) {
		print_message("cannot open the provider: %s\n", err.text);
		return -1;
	}
	return 0;
}

static int group_close(void **state)
{
	struct err err = {0};

	(void)state;
	local_provider_close(provider);
	if (rootless()) { /* layers belong to other ids of the user's range, and the keeper's reaper may still be at work */
		AUTO_FREE char *line = text_format(
			"for try in $(seq 50); do unshare --map-root-user $(grep -qs \"^$(id -un):\" /etc/subuid && echo --map-auto) "
			"rm -rf %s 2>/dev/null && exit 0; sleep 0.1; done; exit 1",
			state_dir);

		return system(line);
	}
	return file_remove_tree(state_dir, &err);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_program_runs_as_the_user_or_as_root_of_its_room),
		cmocka_unit_test(exit_codes_and_signals_are_told_as_they_were),
		cmocka_unit_test(a_program_that_cannot_run_is_an_error_that_names_it),
		cmocka_unit_test(a_wait_ends_at_its_timeout_and_a_signal_reaches_the_whole_group),
		cmocka_unit_test(what_ended_programs_left_is_killed_and_programs_that_run_are_not),
		cmocka_unit_test(where_no_program_runs_nothing_outlives_it_not_even_who_forks_all_the_time),
		cmocka_unit_test(large_arguments_and_environments_arrive_whole),
		cmocka_unit_test(a_terminal_becomes_the_programs_own),
		cmocka_unit_test(many_programs_end_in_any_order),
		cmocka_unit_test(too_much_memory_ends_the_program_and_is_told_as_that),
		cmocka_unit_test(a_fork_bomb_meets_the_limit_of_processes),
		cmocka_unit_test(who_uses_up_a_users_watches_leaves_others_theirs),
		cmocka_unit_test(a_cpu_limit_holds),
		cmocka_unit_test(who_runs_is_seen),
		cmocka_unit_test(a_frozen_environment_stands_still_and_goes_on),
		cmocka_unit_test(whatever_a_program_connects_to_lands_at_the_door),
		cmocka_unit_test(names_are_asked_at_the_door_whatever_server_is_asked),
		cmocka_unit_test(other_udp_is_refused_at_once),
		cmocka_unit_test(a_listening_program_is_reached_by_dialling),
		cmocka_unit_test(a_volume_is_shared_by_sandboxes_and_survives_them),
		cmocka_unit_test(layers_lie_below_volumes_of_other_environments_unchanged),
		cmocka_unit_test(a_committed_volume_goes_on_and_a_running_one_is_not_committed),
		cmocka_unit_test(a_clone_has_what_was_written_and_its_own_owner),
		cmocka_unit_test(a_large_file_of_a_layer_is_not_copied_up_whole),
		cmocka_unit_test(a_folder_or_a_layer_is_an_image),
		cmocka_unit_test(an_oci_image_is_unpacked_once_and_kept_by_its_digest),
		cmocka_unit_test(what_exists_is_listed_and_what_was_removed_is_not),
		cmocka_unit_test(a_waiting_caller_is_told_when_the_room_is_destroyed),
		cmocka_unit_test(after_kill_9_of_the_keeper_nothing_runs_and_volumes_are_there),
		cmocka_unit_test(after_the_machines_end_nothing_of_an_environment_is_trusted),
		cmocka_unit_test(an_environment_goes_fast_and_deep_folders_do_not_stop_the_reaper),
		cmocka_unit_test_setup_teardown(folders_that_are_mounts_of_their_own_are_shown_behind_the_mask, apart_open,
						apart_close),
		cmocka_unit_test_setup_teardown(what_lies_in_a_layer_is_not_counted_for_who_forks_it, filled_open, filled_close),
		cmocka_unit_test_setup_teardown(who_fills_the_disk_is_stopped_and_its_neighbour_is_not, filled_open, filled_close),
		cmocka_unit_test_setup_teardown(who_makes_files_without_end_is_stopped, named_open, filled_close),
		cmocka_unit_test_setup_teardown(without_shared_blocks_a_database_is_copied_whole, plain_open, plain_close),
		cmocka_unit_test(wrong_names_and_numbers_are_refused),
	};

	if (argc > 1 && strcmp(argv[1], "keeper") == 0)
		return keeper_main(argc - 1, argv + 1);
	if (argc > 2 && strcmp(argv[1], "--oci") == 0) {
		if (geteuid() != 0) {
			(void)printf("OCI runtimes make rooms only for root: skipped\n");
			return SKIPPED;
		}
		runtime = argv[2];
		if (!runtime_works())
			return SKIPPED;
		argc -= 2;
		argv += 2;
	}
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, group_open, group_close);
}
