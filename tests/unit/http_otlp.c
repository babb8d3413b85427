/* Spans, and a collector that gets them: what it is sent, and what happens when it does not want it. */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/scope.h"
#include "base/world.h"
#include "http/otlp.h"
#include "net/socket.h"

#define ASKED_MAX ((size_t)1 << 20)
#define UNTIL_MS 60000

/* One connection for each answer, in order. */
struct collector {
	int fd;
	pthread_t thread;
	const char *const *answers; /* NULL ends them */
	char *asked[8];
	int count; /* atomic */
};

static bool is_whole(const char *text)
{
	const char *end = strstr(text, "\r\n\r\n");
	const char *length = strcasestr(text, "content-length:");

	return end && length && strlen(end + 4) >= strtoul(length + 15, NULL, 10);
}

static void *collector_main(void *self)
{
	struct collector *collector = self;

	for (size_t i = 0; collector->answers[i]; i++) {
		struct pollfd asked_for = {.fd = collector->fd, .events = POLLIN};
		int fd = poll(&asked_for, 1, UNTIL_MS) == 1 ? accept(collector->fd, NULL, NULL) : -1;
		char *asked = mem_new(ASKED_MAX);
		size_t length = 0;
		ssize_t got = 1;

		while (got > 0 && !is_whole(asked) && length < ASKED_MAX - 1) {
			got = read(fd, asked + length, ASKED_MAX - 1 - length);
			length += got > 0 ? (size_t)got : 0;
		}
		collector->asked[i] = asked;
		(void)!write(fd, collector->answers[i], strlen(collector->answers[i]));
		(void)close(fd);
		(void)__atomic_add_fetch(&collector->count, 1, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

static void collector_start(struct collector *collector, const char *const *answers)
{
	struct err err = {0};
	AUTO_FREE char *url = NULL;

	*collector = (struct collector){.answers = answers};
	assert_int_equal(socket_listen_tcp("127.0.0.1:0", &collector->fd, &err), 0);
	url = text_format("http://127.0.0.1:%d", socket_port(collector->fd));
	(void)setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url, 1);
	(void)setenv("OTEL_BSP_SCHEDULE_DELAY", "10", 1);
	assert_int_equal(pthread_create(&collector->thread, NULL, collector_main, collector), 0);
}

static void collector_stop(struct collector *collector)
{
	(void)pthread_join(collector->thread, NULL);
	for (size_t i = 0; i < ARRAY_LEN(collector->asked); i++)
		free(collector->asked[i]);
	(void)close(collector->fd);
	(void)unsetenv("OTEL_EXPORTER_OTLP_ENDPOINT");
}

static struct otlp_counts counts_until(struct otlp *otlp, int64_t all)
{
	struct otlp_counts counts = otlp_counts(otlp);

	for (int i = 0; i < UNTIL_MS / 5 && counts.sent + counts.dropped < all; i++) {
		(void)usleep(5000);
		counts = otlp_counts(otlp);
	}
	return counts;
}

static struct otlp *opened(void)
{
	struct otlp *otlp = NULL;
	struct err err = {0};

	if (otlp_open("1.2.3", &otlp, &err))
		fail_msg("%s", err.text);
	assert_non_null(otlp);
	return otlp;
}

static void one_span(const char *name)
{
	struct span span;

	span_begin(&span, SPAN_INTERNAL, "%s", name);
	span_end(&span, NULL);
}

static const char *attribute(const json_t *list, const char *name)
{
	size_t i;
	json_t *item;

	json_array_foreach(list, i, item)
		if (strcmp(json_text(item, "key", ""), name) == 0)
			return json_text(json_member(item, "value"), "stringValue",
					 json_text(json_member(item, "value"), "intValue", ""));
	return NULL;
}

/* ---- spans ---- */

static json_t *told;

static void remember(void *self, const struct span *span)
{
	(void)self;
	(void)json_array_append_new(told, otlp_span(span));
}

static void watch(void)
{
	told = json_array();
	span_watch(remember, NULL);
}

static void unwatch(void)
{
	span_watch(NULL, NULL);
	json_decref(told);
}

static void while_nobody_watches_nothing_is_told(void **state)
{
	struct span span;

	(void)state;
	span_begin(&span, SPAN_INTERNAL, "a");
	span_text(&span, "b", "c");
	span_end(&span, NULL);
	assert_false(span.watched);
	assert_null(span_current());
}

static void a_run_is_one_trace_whoever_tells_it(void **state)
{
	struct err failed = {.kind = ERR_RETRY, .text = "no"};
	struct span step;
	struct span gate;
	struct span foreign;
	const json_t *items[5];

	(void)state;
	watch();
	span_begin_run(&step, "r0123456789", "step %s", "verify");
	span_begin(&gate, SPAN_INTERNAL, "gate %s", "tests");
	span_end(&gate, &failed);
	span_begin_run(&foreign, "rother", "deploy");
	span_end(&foreign, NULL);
	span_end(&step, NULL);
	span_run("r0123456789", 1000, 2000, NULL, NULL);
	assert_int_equal(json_array_size(told), 4);
	for (size_t i = 0; i < 4; i++)
		items[i] = json_array_get(told, i);
	assert_string_equal(json_text(items[0], "name", ""), "gate tests");
	assert_string_equal(json_text(items[0], "parentSpanId", ""), json_text(items[2], "spanId", "-"));
	assert_string_equal(json_text(items[0], "traceId", ""), json_text(items[3], "traceId", "-"));
	assert_int_equal(json_number(json_member(items[0], "status"), "code", 0), 2);
	assert_string_equal(json_text(json_member(items[0], "status"), "message", ""), "no");
	assert_string_not_equal(json_text(items[1], "traceId", ""), json_text(items[0], "traceId", ""));
	assert_string_not_equal(json_text(items[1], "parentSpanId", ""), json_text(items[2], "spanId", ""));
	assert_string_equal(json_text(items[2], "parentSpanId", ""), json_text(items[3], "spanId", "-"));
	assert_string_equal(attribute(json_member(items[2], "attributes"), "assay.run"), "r0123456789");
	assert_int_equal(json_object_size(json_member(items[2], "status")), 0);
	assert_null(json_member(items[3], "parentSpanId"));
	assert_string_equal(json_text(items[3], "startTimeUnixNano", ""), "1000000000");
	assert_string_equal(json_text(items[3], "endTimeUnixNano", ""), "2000000000");
	assert_null(span_current());
	unwatch();
}

static void a_caller_s_trace_is_gone_on_with(void **state)
{
	static const struct {
		const char *header;
		bool good;
	} rows[] = {
		{"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true},
		{"01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-comes-later", true},
		{"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x", false},
		{"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false},
		{"00-00000000000000000000000000000000-00f067aa0ba902b7-01", false},
		{"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", false},
		{"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", false},
		{"00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01", false},
		{"00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01", false},
		{"", false},
		{NULL, false},
	};

	(void)state;
	watch();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct span span;
		const json_t *item;

		span_begin(&span, SPAN_SERVER, "GET /");
		span_continue(&span, rows[i].header);
		span_end(&span, NULL);
		item = json_array_get(told, i);
		assert_int_equal(json_number(item, "kind", 0), SPAN_SERVER);
		assert_int_equal(strcmp(json_text(item, "traceId", ""), "4bf92f3577b34da6a3ce929d0e0e4736") == 0, rows[i].good);
		assert_int_equal(strcmp(json_text(item, "parentSpanId", ""), "00f067aa0ba902b7") == 0, rows[i].good);
	}
	unwatch();
}

static void *part_main(void *outer)
{
	span_join(outer);
	one_span("part");
	return NULL;
}

static void what_another_thread_does_is_a_part(void **state)
{
	struct span whole;
	pthread_t thread;

	(void)state;
	watch();
	span_begin(&whole, SPAN_INTERNAL, "whole");
	assert_int_equal(pthread_create(&thread, NULL, part_main, span_current()), 0);
	(void)pthread_join(thread, NULL);
	span_end(&whole, NULL);
	assert_string_equal(json_text(json_array_get(told, 0), "parentSpanId", ""),
			    json_text(json_array_get(told, 1), "spanId", "-"));
	unwatch();
}

/* ---- settings ---- */

static void the_environment_says_whether_and_where(void **state)
{
	static const struct {
		const char *name;
		const char *value;
		const char *other;
		const char *other_value;
		bool sends;
		const char *wrong; /* NULL: nothing is */
	} rows[] = {
		{"OTEL_SERVICE_NAME", "x", "OTEL_TRACES_EXPORTER", "otlp", false, NULL},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER", "none", false, NULL},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1", "OTEL_SDK_DISABLED", "TRUE", false, NULL},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1/", "OTEL_SDK_DISABLED", "false", true, NULL},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://collector.example/x", "OTEL_SDK_DISABLED", "", true, NULL},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4317", "OTEL_SDK_DISABLED", "", false, "OTEL_EXPORTER_OTLP_ENDPOINT"},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "ws://a/", "OTEL_SDK_DISABLED", "", false,
		 "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct otlp *otlp = NULL;
		struct err err = {0};
		int failed;

		(void)setenv(rows[i].name, rows[i].value, 1);
		(void)setenv(rows[i].other, rows[i].other_value, 1);
		failed = otlp_open("1", &otlp, &err);
		assert_int_equal(failed, rows[i].wrong ? -1 : 0);
		if (rows[i].wrong)
			assert_ptr_equal(strstr(err.text, rows[i].wrong), err.text);
		assert_int_equal(otlp != NULL, rows[i].sends);
		otlp_close(otlp);
		(void)unsetenv(rows[i].name);
		(void)unsetenv(rows[i].other);
	}
}

/* ---- a collector ---- */

static void a_collector_is_sent_what_is_done(void **state)
{
	static const char *const answers[] = {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", NULL};
	struct collector collector;
	struct otlp *otlp;
	AUTO_JSON body = NULL;
	const json_t *sent;
	struct err err = {0};

	(void)state;
	collector_start(&collector, answers);
	(void)setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20abc, x-team = tools,broken,=", 1);
	(void)setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test", 1);
	otlp = opened();
	one_span("first");
	assert_int_equal(counts_until(otlp, 1).sent, 1);
	otlp_close(otlp);
	(void)unsetenv("OTEL_EXPORTER_OTLP_HEADERS");
	(void)unsetenv("OTEL_RESOURCE_ATTRIBUTES");
	assert_ptr_equal(strstr(collector.asked[0], "POST /v1/traces HTTP/1.1\r\n"), collector.asked[0]);
	assert_non_null(strcasestr(collector.asked[0], "\r\ncontent-type: application/json\r\n"));
	assert_non_null(strcasestr(collector.asked[0], "\r\nauthorization: Bearer abc\r\n"));
	assert_non_null(strcasestr(collector.asked[0], "\r\nx-team: tools\r\n"));
	body = json_parse(view_of(strstr(collector.asked[0], "\r\n\r\n") + 4), &err);
	assert_non_null(body);
	sent = json_array_get(json_member(body, "resourceSpans"), 0);
	assert_string_equal(attribute(json_member(json_member(sent, "resource"), "attributes"), "service.name"), "assay");
	assert_string_equal(attribute(json_member(json_member(sent, "resource"), "attributes"), "deployment.environment.name"),
			    "test");
	sent = json_array_get(json_member(sent, "scopeSpans"), 0);
	assert_string_equal(json_text(json_member(sent, "scope"), "version", ""), "1.2.3");
	assert_string_equal(json_text(json_array_get(json_member(sent, "spans"), 0), "name", ""), "first");
	collector_stop(&collector);
}

static void a_collector_that_is_busy_is_asked_again_and_one_that_refuses_is_not(void **state)
{
	static const char *const answers[] = {"HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n",
					      "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
					      "HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n", NULL};
	struct collector collector;
	struct otlp *otlp;
	struct otlp_counts counts;

	(void)state;
	collector_start(&collector, answers);
	otlp = opened();
	one_span("first");
	assert_int_equal(counts_until(otlp, 1).sent, 1);
	assert_string_equal(strstr(collector.asked[0], "\r\n\r\n"), strstr(collector.asked[1], "\r\n\r\n"));
	one_span("second");
	counts = counts_until(otlp, 2);
	assert_int_equal(counts.sent, 1);
	assert_int_equal(counts.dropped, 1);
	otlp_close(otlp);
	collector_stop(&collector);
}

/* It takes connections, and never says a word. */
static void who_is_never_answered_waits_for_nothing(void **state)
{
	enum { MORE = 1000 };
	AUTO_CLOSE int fd = -1;
	AUTO_FREE char *url = NULL;
	struct err err = {0};
	struct otlp *otlp;
	struct otlp_counts counts;

	(void)state;
	assert_int_equal(socket_listen_tcp("127.0.0.1:0", &fd, &err), 0);
	url = text_format("http://127.0.0.1:%d", socket_port(fd));
	(void)setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url, 1);
	otlp = opened();
	for (int i = 0; i < OTLP_QUEUE_MAX + OTLP_BATCH_MAX + MORE; i++)
		one_span("nobody hears");
	counts = otlp_counts(otlp);
	assert_int_equal(counts.sent, 0);
	assert_in_range(counts.dropped, MORE, MORE + OTLP_BATCH_MAX);
	otlp_close(otlp);
	(void)unsetenv("OTEL_EXPORTER_OTLP_ENDPOINT");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(while_nobody_watches_nothing_is_told),
		cmocka_unit_test(a_run_is_one_trace_whoever_tells_it),
		cmocka_unit_test(a_caller_s_trace_is_gone_on_with),
		cmocka_unit_test(what_another_thread_does_is_a_part),
		cmocka_unit_test(the_environment_says_whether_and_where),
		cmocka_unit_test(a_collector_is_sent_what_is_done),
		cmocka_unit_test(a_collector_that_is_busy_is_asked_again_and_one_that_refuses_is_not),
		cmocka_unit_test(who_is_never_answered_waits_for_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
