/* What programs say of themselves to the gateway, by OTLP: bytes of OpenTelemetry's own encoder (tests/data/otlp), and of nobody's. Needs root,
 * ip and nft; else skipped aloud. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include "base/file.h"
#include "base/scope.h"
#include "gateway/told.h"
#include "gateway_fixture.h"
#include "http/telemetry.h"
#include "net/messages.h"

#define ROUTES "{\"names\": {\"api\": {\"sandbox\": \"api\", \"kind\": \"service\", \"port\": 8080}}, \"tools\": []}"
#define TRACE "5b8efff798038103d269b633813fc60c"
#define ROOT "eee19b7ec3c1b174"
#define PART "eee19b7ec3c1b173"
#define PROTOBUF "Content-Type: application/x-protobuf\r\n"
#define JSON "Content-Type: application/json\r\n"

static struct world_fixture *world;

static void told_make(const char *id, struct copy *copy)
{
	copy_make(world, id, "ready", ROUTES, copy);
	copy_caller(copy, "front");
}

static struct buf sample_read(const char *name)
{
	AUTO_FREE char *path = text_format("%s/tests/data/otlp/%s", getenv("ASSAY_SOURCE_ROOT"), name);
	struct buf bytes = buf_new(TELEMETRY_BODY_MAX);
	struct err err = {0};

	if (file_read(path, &bytes, &err))
		fail_msg("%s", err.text);
	return bytes;
}

static int dial(void)
{
	char address[32];
	int code;

	ask_name(MESSAGE_TOLD_HOST, 1, false, address, &code);
	assert_int_equal(code, 0);
	AUTO_FREE char *place = text_format("%s:%d", address, TOLD_PORT);
	return dial_to(place);
}

static void send_all(int fd, struct view bytes)
{
	while (bytes.length) {
		ssize_t sent = send(fd, bytes.at, bytes.length, MSG_NOSIGNAL);

		if (sent <= 0) /* it was refused before it was whole */
			return;
		bytes = view_make(bytes.at + sent, bytes.length - (size_t)sent);
	}
}

/* A request of its own connection; what was answered, whole. Owned by the caller. */
static char *tell(const char *line, const char *headers, struct view body)
{
	AUTO_FREE char *head = text_format(
		"%s HTTP/1.1\r\nHost: telemetry.assay.internal:4318\r\nConnection: close\r\n%sContent-Length: %zu\r\n\r\n", line,
		headers, body.length);
	AUTO_CLOSE int fd = dial();

	say(fd, head);
	send_all(fd, body);
	return hear(fd, NULL);
}

static unsigned status_of(const char *heard)
{
	unsigned status = 0;

	(void)sscanf(heard, "HTTP/1.1 %u ", &status);
	return status;
}

static const char *content(const char *heard)
{
	const char *end = strstr(heard, "\r\n\r\n");

	assert_non_null(end);
	return end + 4;
}

/* A header of a line of the log, "" where there is none. */
static const char *header(const json_t *line, const char *name)
{
	const json_t *headers = json_member(json_member(line, "request"), "headers");

	for (size_t i = 0; i < json_array_size(headers); i++)
		if (strcmp(json_string_value(json_array_get(json_array_get(headers, i), 0)), name) == 0)
			return json_string_value(json_array_get(json_array_get(headers, i), 1));
	return "";
}

static void line_check(const json_t *line, const char *method, const char *text, const char *id, const char *parent)
{
	assert_string_equal(json_text(line, "proto", ""), "otlp");
	assert_string_equal(json_text(line, "from", ""), "front");
	assert_string_equal(json_text(line, "phase", "none"), "none");
	assert_string_equal(json_text(json_member(line, "request"), "method", ""), method);
	assert_string_equal(json_text(json_member(line, "request"), "url", ""), text);
	assert_string_equal(header(line, "service"), "orders");
	assert_string_equal(header(line, "trace"), TRACE);
	assert_string_equal(header(line, "span"), id);
	assert_string_equal(header(line, "parent"), parent);
}

static void what_a_program_says_is_a_line_of_no_phase(void **state)
{
	static const struct {
		const char *path, *headers, *sample, *answer;
	} rows[] = {
		{"POST /v1/traces", PROTOBUF, "traces.pb", ""},
		{"POST /v1/traces", JSON, "traces.json", "{}"},
		{"POST /v1/traces?x=1", "content-type: Application/X-Protobuf\r\nContent-Encoding: gzip\r\n", "traces.pb.gz", ""},
	};
	struct copy copy;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_BUF body = sample_read(rows[i].sample);
		AUTO_JSON log = NULL;
		AUTO_JSON phase = NULL;

		told_make("said", &copy);
		phase = control(world, MESSAGE_PHASE, "{\"env\": \"said\", \"phase\": \"replay-1\"}");
		AUTO_FREE char *heard = tell(rows[i].path, rows[i].headers, buf_view(&body));

		assert_int_equal(status_of(heard), 200);
		assert_string_equal(content(heard), rows[i].answer);
		assert_non_null(strstr(heard, rows[i].answer[0] ? JSON : PROTOBUF));
		log = copy_log(&copy);
		assert_int_equal(json_array_size(log), 2);
		line_check(json_array_get(log, 0), "span", "GET /api/orders", ROOT, "");
		line_check(json_array_get(log, 1), "span", "reserve stock", PART, ROOT);
		assert_string_equal(header(json_array_get(log, 0), "failed"), "");
		assert_string_equal(header(json_array_get(log, 1), "failed"), "1");
		assert_string_equal(header(json_array_get(log, 1), "begun_ns"), "1700000000000000005");
		assert_string_equal(header(json_array_get(log, 1), "ended_ns"), "1700000001000000007");
		copy_drop(&copy);
	}
}

static void lines_of_logs_are_kept_and_metrics_are_not(void **state)
{
	AUTO_BUF logs = sample_read("logs.json");
	AUTO_BUF wire = sample_read("logs.pb");
	struct copy copy;

	(void)state;
	told_make("lines", &copy);
	AUTO_FREE char *first = tell("POST /v1/logs", JSON, buf_view(&logs));
	AUTO_FREE char *second = tell("POST /v1/logs", PROTOBUF, buf_view(&wire));
	AUTO_FREE char *metrics = tell("POST /v1/metrics", JSON, VIEW("{\"resourceMetrics\": []}"));
	AUTO_JSON log = copy_log(&copy);

	assert_int_equal(status_of(first), 200);
	assert_int_equal(status_of(second), 200);
	assert_int_equal(status_of(metrics), 200);
	assert_string_equal(content(metrics), "{}");
	assert_int_equal(json_array_size(log), 6);
	line_check(json_array_get(log, 0), "line", "cannot reserve: größer", PART, "");
	assert_string_equal(header(json_array_get(log, 0), "severity"), "17");
	line_check(json_array_get(log, 3), "line", "cannot reserve: größer", PART, "");
	copy_drop(&copy);
}

static void a_connection_carries_many_and_leave_is_given_to_who_asks(void **state)
{
	AUTO_BUF body = sample_read("traces.json");
	struct copy copy;

	(void)state;
	told_make("many", &copy);
	AUTO_CLOSE int fd = dial();
	AUTO_FREE char *head = text_format("POST /v1/traces HTTP/1.1\r\nHost: t\r\n" JSON "Content-Length: %zu\r\n"
					   "Expect: 100-continue\r\n\r\n",
					   body.length);

	for (int i = 0; i < 3; i++) {
		say(fd, head);
		AUTO_FREE char *leave = hear(fd, "\r\n\r\n");
		assert_string_equal(leave, "HTTP/1.1 100 Continue\r\n\r\n");
		send_all(fd, buf_view(&body));
		AUTO_FREE char *heard = hear(fd, "\r\n\r\n{}");
		assert_int_equal(status_of(heard), 200);
	}
	AUTO_JSON log = copy_log(&copy);
	assert_int_equal(json_array_size(log), 6);
	copy_drop(&copy);
}

static void what_is_no_otlp_is_refused_in_its_own_words(void **state)
{
	static const struct {
		const char *line, *headers;
		struct view body;
		unsigned status;
		const char *why;
	} rows[] = {
		{"POST /v1/traces", PROTOBUF, {"\xff\xff\xff", 3}, 400, ""},
		{"POST /v1/traces", JSON, {"[1", 2}, 400, "{\"message\""},
		{"POST /v1/traces", JSON, {"", 0}, 400, "{\"message\""},
		{"POST /v1/logs", PROTOBUF "Content-Encoding: gzip\r\n", {"no gzip", 7}, 400, "gzip"},
		{"POST /v1/logs", PROTOBUF "Content-Encoding: br\r\n", {"x", 1}, 415, "gzip or identity"},
		{"POST /v1/traces", "Content-Type: text/plain\r\n", {"x", 1}, 415, "the media type"},
		{"POST /v1/traces", "", {"x", 1}, 415, "the media type"},
		{"GET /v1/traces", "", {"", 0}, 405, "it takes POST"},
		{"POST /v1/other", JSON, {"{}", 2}, 404, "there are"},
		{"POST /v1/traces", JSON "Expect: 100-continue\r\nX-Pad: x\r\n", {"{", 1}, 400, "message"},
	};
	struct copy copy;

	(void)state;
	told_make("refused", &copy);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_FREE char *heard = tell(rows[i].line, rows[i].headers, rows[i].body);
		const char *final = strstr(heard, "HTTP/1.1 100 ") ? content(heard) : heard;

		if (status_of(final) != rows[i].status || !strstr(final, rows[i].why))
			fail_msg("row %zu: %s", i, heard);
	}
	AUTO_JSON log = copy_log(&copy);
	assert_int_equal(json_array_size(log), 0);
	copy_drop(&copy);
}

static struct buf gzip_of_zeros(size_t bytes)
{
	struct buf out = buf_new(TELEMETRY_BODY_MAX);
	AUTO_FREE char *plain = mem_new(bytes);
	z_stream stream = {0};

	assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, MAX_WBITS + 16, 9, Z_DEFAULT_STRATEGY), Z_OK);
	stream.next_in = (unsigned char *)plain;
	stream.avail_in = (unsigned)bytes;
	stream.next_out = (unsigned char *)buf_reserve(&out, 1 << 20);
	stream.avail_out = 1 << 20;
	assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
	buf_commit(&out, (1 << 20) - stream.avail_out);
	(void)deflateEnd(&stream);
	return out;
}

static void what_is_over_four_megabytes_is_refused_however_it_comes(void **state)
{
	AUTO_BUF big = buf_new(2 * TELEMETRY_BODY_MAX);
	AUTO_BUF bomb = gzip_of_zeros(TELEMETRY_BODY_MAX + 1);
	AUTO_BUF chunked = buf_new(3 * TELEMETRY_BODY_MAX);
	struct copy copy;

	(void)state;
	memset(buf_reserve(&big, TELEMETRY_BODY_MAX + 1), ' ', TELEMETRY_BODY_MAX + 1);
	buf_commit(&big, TELEMETRY_BODY_MAX + 1);
	buf_add_format(&chunked, "%zx\r\n", big.length);
	buf_add_view(&chunked, buf_view(&big));
	told_make("big", &copy);
	AUTO_CLOSE int fd = dial();
	AUTO_FREE char *by_length = tell("POST /v1/traces", JSON "Expect: 100-continue\r\n", view_make(big.at, big.length));
	AUTO_FREE char *by_gzip = tell("POST /v1/traces", PROTOBUF "Content-Encoding: gzip\r\n", buf_view(&bomb));

	say(fd, "POST /v1/traces HTTP/1.1\r\nHost: t\r\n" JSON "Transfer-Encoding: chunked\r\n\r\n");
	send_all(fd, buf_view(&chunked));
	AUTO_FREE char *by_chunks = hear(fd, "over 4 MiB");
	assert_int_equal(status_of(by_length), 413);
	assert_int_equal(status_of(by_gzip), 413);
	assert_int_equal(status_of(by_chunks), 413);
	copy_drop(&copy);
}

/* 10 MiB of lines by their measure, twice: the second is not all kept, and who says it is told how much of it. */
static void more_than_is_kept_is_told_and_not_kept(void **state)
{
	AUTO_BUF body = buf_new(TELEMETRY_BODY_MAX);
	size_t rejected = 0;
	struct copy copy;

	(void)state;
	buf_add_text(&body, "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[");
	for (size_t i = 0; i < TELEMETRY_ITEMS_MAX; i++)
		buf_add_format(&body, "%s{\"severityNumber\":17,\"body\":{\"stringValue\":\"%0100zu\"}}", i ? "," : "", i);
	buf_add_text(&body, "]}]}]}");
	told_make("much", &copy);
	AUTO_FREE char *first = tell("POST /v1/logs", JSON, buf_view(&body));
	AUTO_FREE char *second = tell("POST /v1/logs", JSON, buf_view(&body));
	AUTO_FREE char *third = tell("POST /v1/logs", JSON, buf_view(&body));
	AUTO_JSON answer = json_parse(view_of(content(second)), NULL);
	AUTO_JSON log = copy_log(&copy);

	assert_string_equal(content(first), "{}");
	assert_int_equal(status_of(second), 200);
	rejected = (size_t)atol(json_text(json_member(answer, "partialSuccess"), "rejectedLogRecords", "0"));
	assert_true(rejected > 0 && rejected < TELEMETRY_ITEMS_MAX);
	assert_int_equal(json_array_size(log), 2 * TELEMETRY_ITEMS_MAX - rejected);
	assert_non_null(strstr(third, "\"10000\""));
	copy_drop(&copy);
}

/* Reading holds up the loop of all environments: one has only so much of it, whatever is in the bodies. */
static void more_than_is_read_is_accepted_and_dropped(void **state)
{
	AUTO_BUF body = buf_new(TELEMETRY_BODY_MAX);
	AUTO_BUF good = sample_read("traces.json");
	AUTO_BUF wire = sample_read("traces.pb");
	struct copy copy;

	(void)state;
	memset(buf_reserve(&body, TELEMETRY_BODY_MAX), ' ', TELEMETRY_BODY_MAX);
	buf_commit(&body, TELEMETRY_BODY_MAX);
	body.at[0] = '{';
	body.at[1] = '}';
	told_make("read", &copy);
	for (size_t i = 0; i < TOLD_READ_MAX / TELEMETRY_BODY_MAX; i++) {
		AUTO_FREE char *heard = tell("POST /v1/traces", JSON, buf_view(&body));

		assert_string_equal(content(heard), "{}");
	}
	AUTO_FREE char *json = tell("POST /v1/traces", JSON, buf_view(&good));
	AUTO_FREE char *protobuf = tell("POST /v1/traces", PROTOBUF, buf_view(&wire));
	AUTO_JSON log = copy_log(&copy);

	assert_int_equal(status_of(json), 200);
	assert_non_null(strstr(content(json), "\"rejectedSpans\":\"0\""));
	assert_int_equal(status_of(protobuf), 200);
	assert_non_null(strstr(content(protobuf), "nothing is kept"));
	assert_int_equal(json_array_size(log), 0);
	copy_drop(&copy);
}

/* Requests that are never whole hold memory; more than TOLD_HELD_MAX of it they may not, and what they hold is given back. */
static void bodies_that_never_end_do_not_fill_the_memory(void **state)
{
	AUTO_BUF piece = buf_new(TELEMETRY_BODY_MAX);
	AUTO_BUF good = sample_read("traces.pb");
	size_t count = TOLD_HELD_MAX / (TELEMETRY_BODY_MAX - 1) + 1;
	struct pollfd polled[8];
	size_t last = 0;
	int fds[8];
	struct copy copy;
	int turn = 0;

	(void)state;
	memset(buf_reserve(&piece, TELEMETRY_BODY_MAX - 1), ' ', TELEMETRY_BODY_MAX - 1);
	buf_commit(&piece, TELEMETRY_BODY_MAX - 1);
	told_make("slow", &copy);
	assert_true(count <= ARRAY_LEN(fds));
	for (size_t i = 0; i < count; i++) {
		fds[i] = dial();
		say(fds[i], "POST /v1/traces HTTP/1.1\r\nHost: t\r\n" JSON "Content-Length: 4194304\r\n\r\n");
		send_all(fds[i], buf_view(&piece));
		polled[i] = (struct pollfd){fds[i], POLLIN, 0};
	}
	assert_true(poll(polled, count, 10000) > 0);
	for (size_t i = 0; i < count; i++) /* which of them was the one too much is chance */
		last = polled[i].revents ? i : last;
	AUTO_FREE char *refused = hear(fds[last], "under way");
	assert_int_equal(status_of(refused), 503);
	assert_non_null(strstr(refused, "Retry-After: 1\r\n"));
	for (size_t i = 0; i < count; i++)
		(void)close(fds[i]);
	for (unsigned status = 0; status != 200; turn++) { /* the ends come through in their own time */
		AUTO_FREE char *heard = tell("POST /v1/traces", PROTOBUF, buf_view(&good));

		status = status_of(heard);
		assert_true(turn < 1000);
	}
	copy_drop(&copy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_program_says_is_a_line_of_no_phase),
		cmocka_unit_test(lines_of_logs_are_kept_and_metrics_are_not),
		cmocka_unit_test(a_connection_carries_many_and_leave_is_given_to_who_asks),
		cmocka_unit_test(what_is_no_otlp_is_refused_in_its_own_words),
		cmocka_unit_test(what_is_over_four_megabytes_is_refused_however_it_comes),
		cmocka_unit_test(more_than_is_kept_is_told_and_not_kept),
		cmocka_unit_test(more_than_is_read_is_accepted_and_dropped),
		cmocka_unit_test(bodies_that_never_end_do_not_fill_the_memory),
	};
	int failed;

	world = world_open();
	if (!world)
		return 77;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	world_close(world);
	return failed;
}
