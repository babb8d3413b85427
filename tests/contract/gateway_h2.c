/* HTTP/2 between services, through the gateway, between ends that are not ours (Node's). Needs root, ip, nft and node; else skipped aloud. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/process.h"
#include "base/scope.h"
#include "gateway_fixture.h"

#define PORT 8090
#define ROUTES                                                                                                                                                           \
	"{\"names\": {\"front\": {\"sandbox\": \"front\", \"kind\": \"service\", \"port\": 80}, \"api\": {\"sandbox\": \"api\", \"kind\": \"service\", \"port\": 8090}," \
	" \"down\": {\"sandbox\": \"api\", \"kind\": \"service\", \"port\": 8099}}}"
#define STEPS_MAX 8

static struct world_fixture *world;
static char program[512];

struct fixture {
	struct copy copy;
	char url[64];
	char down[64];
};

static void fixture_make(const char *id, struct fixture *fixture)
{
	char address[32];
	int code;

	copy_make(world, id, "ready", ROUTES, &fixture->copy);
	copy_callee(&fixture->copy, "api");
	copy_caller(&fixture->copy, "front");
	ask_name("api", 1, false, address, &code);
	(void)snprintf(fixture->url, sizeof(fixture->url), "http://%s:%d", address, PORT);
	ask_name("down", 1, false, address, &code);
	(void)snprintf(fixture->down, sizeof(fixture->down), "http://%s:8099", address);
}

/* What the client's steps (NULL-terminated) said, a line each. Owned by the caller. */
static char *call(const char *url, const char *const *steps)
{
	const char *argv[STEPS_MAX + 5] = {"node", program, "call", url};
	AUTO_FREE char *path = text_format("PATH=%s", getenv("PATH"));
	const char *const env[] = {path, NULL};
	AUTO_BUF out = buf_new(65536);
	AUTO_BUF errors = buf_new(65536);
	struct err err = {0};
	int status = -1;

	for (size_t i = 0; i < STEPS_MAX && steps[i]; i++)
		argv[4 + i] = steps[i];
	if (process_run(&(struct process_spec){.argv = argv, .env = env, .output = &out, .errors = &errors}, &status, &err) ||
	    status)
		fail_msg("%s: %s %d: %.*s", steps[0], err.text, status, (int)errors.length, buf_view(&errors).at);
	buf_add_text(&out, "");
	return buf_take(&out);
}

#define CALL(url, ...) call(url, (const char *const[]){__VA_ARGS__, NULL})

static void fault(struct fixture *fixture, const char *kind, const char *more)
{
	AUTO_FREE char *body = text_format("{\"env\": \"%s\", \"kind\": \"%s\", \"seam\": \"front->api\"%s}", fixture->copy.id,
					   kind, more);

	json_decref(control(world, MESSAGE_FAULT, body));
}

static const json_t *line_of(const json_t *log, const char *url)
{
	for (size_t i = 0; i < json_array_size(log); i++)
		if (strcmp(json_text(json_member(json_array_get(log, i), "request"), "url", ""), url) == 0)
			return json_array_get(log, i);
	fail_msg("nothing is logged of %s", url);
	return NULL;
}

static const char *header_of(const json_t *message, const char *name)
{
	const json_t *headers = json_member(message, "headers");

	for (size_t i = 0; i < json_array_size(headers); i++)
		if (strcmp(json_string_value(json_array_get(json_array_get(headers, i), 0)), name) == 0)
			return json_string_value(json_array_get(json_array_get(headers, i), 1));
	return "";
}

static void streams_pass_whole_and_each_is_an_exchange(void **state)
{
	struct fixture fixture;
	AUTO_FREE char *said = NULL;
	AUTO_JSON log = NULL;
	const json_t *line;

	(void)state;
	fixture_make("h2", &fixture);
	said = CALL(fixture.url, "many", "get:/one", "grpc:/shop.Cart/Add", "grpc:/shop.Cart/Fail:13", "many");
	assert_string_equal(said, "same\n200\n200 grpc 0\n200 grpc 13\nsame\n");
	log = copy_log(&fixture.copy);
	assert_int_equal(json_array_size(log), 83);
	line = line_of(log, "/shop.Cart/Fail");
	assert_string_equal(json_text(line, "from", ""), "front");
	assert_string_equal(json_text(line, "to", ""), "api");
	assert_string_equal(json_text(line, "proto", ""), "http");
	assert_string_equal(json_text(json_member(line, "request"), "method", ""), "POST");
	assert_string_equal(header_of(json_member(line, "request"), "te"), "trailers");
	assert_int_equal(json_number(json_member(line, "response"), "status", 0), 200);
	assert_string_equal(header_of(json_member(line, "response"), "grpc-status"), "13");
	line = line_of(log, "/one");
	assert_string_equal(json_text(json_member(line, "response"), "body", ""), "/one");
	assert_string_equal(header_of(json_member(line, "response"), "x-end"), "z");
	for (size_t i = 0; i < json_array_size(log); i++)
		assert_null(json_member(json_array_get(log, i), "error"));
	copy_drop(&fixture.copy);
}

static void a_refused_call_is_a_row_with_its_request(void **state)
{
	struct fixture fixture;
	AUTO_FREE char *said = NULL;
	AUTO_JSON log = NULL;
	const json_t *line;

	(void)state;
	fixture_make("h2-down", &fixture);
	said = CALL(fixture.down, "get:/gone");
	assert_string_equal(said, "lost\n");
	log = copy_log(&fixture.copy);
	line = line_of(log, "/gone");
	assert_string_equal(json_text(line, "to", ""), "down");
	assert_non_null(json_member(line, "error"));
	copy_drop(&fixture.copy);
}

static void faults_are_met_by_streams_and_the_others_go_on(void **state)
{
	static const struct {
		const char *kind, *more;
		const char *steps[STEPS_MAX];
		const char *said;
		const char *url, *error; /* of what is logged; NULL: any */
	} rows[] = {
		{"503", "", {"get:/a", "get:/b"}, "503\n200\n", "/a", "fault: 503"},
		{"503", "", {"grpc:/a", "grpc:/b"}, "200 grpc 14\n200 grpc 0\n", "/a", "fault: 503"},
		{"503", ", \"times\": 2", {"many", "get:/b"}, "other\n200\n", "/b", NULL},
		{"hang", ", \"times\": 1", {"get:/a:300", "get:/b", "many"}, "cancelled\n200\nsame\n", "/a", "the client reset"},
		{"slow", ", \"times\": 1, \"ms\": 400", {"race:/a:/b", "many"}, "/b /a\nsame\n", "/a", NULL},
		{"slow", ", \"times\": 1, \"ms\": 60000", {"get:/a:300", "get:/b"}, "cancelled\n200\n", "/a", "the client reset"},
		{"reset", "", {"get:/a"}, "lost\n", "/a", "fault: reset"},
		{"lost", "", {"get:/a"}, "lost\n", "/a", "fault: the response was lost"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_FREE char *id = text_format("h2-fault-%zu", i);
		struct fixture fixture;
		AUTO_FREE char *said = NULL;
		AUTO_JSON log = NULL;
		const char *error;

		fixture_make(id, &fixture);
		fault(&fixture, rows[i].kind, rows[i].more);
		said = call(fixture.url, rows[i].steps);
		if (strcmp(said, rows[i].said) != 0)
			fail_msg("row %zu (%s): %s", i, rows[i].kind, said);
		log = copy_log(&fixture.copy);
		error = json_text(line_of(log, rows[i].url), "error", "");
		if (rows[i].error ? !strstr(error, rows[i].error) : *error)
			fail_msg("row %zu (%s): logged as `%s`", i, rows[i].kind, error);
		copy_drop(&fixture.copy);
	}
}

static void what_hung_is_given_back_when_the_fault_ends(void **state)
{
	struct fixture fixture;
	AUTO_FREE char *path = text_format("PATH=%s", getenv("PATH"));
	const char *const argv[] = {"node", program, "call", fixture.url, "get:/a", "get:/b", NULL};
	const char *const env[] = {path, NULL};
	AUTO_FREE char *said = NULL;
	AUTO_JSON log = NULL;
	struct err err = {0};
	int out[2];
	ssize_t got;
	int status = -1;
	int pid_fd;
	pid_t pid;

	(void)state;
	fixture_make("h2-clear", &fixture);
	fault(&fixture, "hang", ", \"times\": 1");
	assert_int_equal(pipe(out), 0);
	if (process_start(argv, env, (const int[]){STDIN_FILENO, out[1], STDERR_FILENO}, 3, &pid, &pid_fd, &err))
		fail_msg("%s", err.text);
	(void)close(out[1]);
	for (int turn = 0; turn < 2000; turn++) { /* until it hangs */
		AUTO_JSON answer = control(world, MESSAGE_FAULT, "{\"env\": \"h2-clear\", \"kind\": \"list\"}");

		if (json_number(json_array_get(json_member(answer, "items"), 0), "met", 0))
			break;
		usleep(5000);
	}
	fault(&fixture, "clear", "");
	assert_int_equal(process_wait(pid_fd, 60000, &status, &err), 0);
	(void)close(pid_fd);
	said = mem_new(4096);
	for (size_t length = 0; (got = read(out[0], said + length, 4095 - length)) > 0;)
		length += (size_t)got;
	(void)close(out[0]);
	assert_string_equal(said, "ERR_HTTP2_STREAM_ERROR\n200\n");
	log = copy_log(&fixture.copy);
	assert_string_equal(json_text(line_of(log, "/a"), "error", ""), "fault: hang");
	copy_drop(&fixture.copy);
}

static void an_answer_that_goes_on_and_on_leaves_the_environment_quiet(void **state)
{
	struct fixture fixture;
	AUTO_FREE char *path = text_format("PATH=%s", getenv("PATH"));
	const char *const argv[] = {"node", program, "call", fixture.url, "stream", "wait", NULL};
	const char *const env[] = {path, NULL};
	AUTO_JSON log = NULL;
	struct err err = {0};
	bool busy = true;
	int turns = 0;
	int life[2];
	int out[2];
	char byte;
	int status = -1;
	int pid_fd;
	pid_t pid;

	(void)state;
	fixture_make("h2-stream", &fixture);
	assert_int_equal(pipe(life), 0);
	assert_int_equal(pipe(out), 0);
	if (process_start(argv, env, (const int[]){life[0], out[1], STDERR_FILENO}, 3, &pid, &pid_fd, &err))
		fail_msg("%s", err.text);
	(void)close(out[1]);
	assert_int_equal(read(out[0], &byte, 1), 1); /* it has begun */
	for (int turn = 0; turn < 4000 && busy; turn++) {
		AUTO_JSON answer = control(world, MESSAGE_QUIET, "{\"env\": \"h2-stream\"}");

		busy = json_number(answer, "in_flight", 1) || json_number(answer, "unwritten", 1);
		usleep(5000);
	}
	assert_false(busy);
	(void)close(life[0]);
	(void)close(life[1]);
	assert_int_equal(process_wait(pid_fd, 60000, &status, &err), 0);
	(void)close(out[0]);
	(void)close(pid_fd);
	do { /* it ends when the gateway hears of it */
		json_decref(log);
		log = copy_log(&fixture.copy);
	} while (!json_array_size(log) && turns++ < 2000);
	assert_non_null(line_of(log, "/stream"));
	copy_drop(&fixture.copy);
}

/* Node's server in our namespace, until `life` is closed; -1: there is none. */
static int server_start(int *life)
{
	AUTO_FREE char *path = text_format("PATH=%s", getenv("PATH"));
	AUTO_FREE char *port = text_format("%d", PORT);
	const char *const argv[] = {"node", program, "serve", port, NULL};
	const char *const env[] = {path, NULL};
	struct err err;
	char byte = 0;
	int pair[2];
	int out[2];
	int pid_fd;
	pid_t pid;

	if (pipe(pair) || pipe(out) ||
	    process_start(argv, env, (const int[]){pair[0], out[1], STDERR_FILENO}, 3, &pid, &pid_fd, &err))
		return -1;
	(void)close(pair[0]);
	(void)close(out[1]);
	*life = pair[1];
	if (read(out[0], &byte, 1) != 1)
		return -1;
	(void)close(out[0]);
	return pid_fd;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(streams_pass_whole_and_each_is_an_exchange),
		cmocka_unit_test(a_refused_call_is_a_row_with_its_request),
		cmocka_unit_test(faults_are_met_by_streams_and_the_others_go_on),
		cmocka_unit_test(what_hung_is_given_back_when_the_fault_ends),
		cmocka_unit_test(an_answer_that_goes_on_and_on_leaves_the_environment_quiet),
	};
	const char *source = getenv("ASSAY_SOURCE_ROOT");
	int failed;
	int status;
	int life = -1;
	int server;

	(void)snprintf(program, sizeof(program), "%s/tests/contract/h2_peer.mjs", source ? source : ".");
	world = world_open();
	if (!world)
		return 77;
	server = server_start(&life);
	if (server < 0) {
		(void)printf("skipped: node is not there\n");
		world_close(world);
		return 77;
	}
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	world_close(world);
	(void)close(life);
	if (process_wait(server, 10000, &status, &(struct err){0}))
		failed++;
	return failed;
}
