/* The server and the client, against each other and against raw bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/scope.h"
#include "http/client.h"
#include "http/server.h"
#include "net/socket.h"

struct fixture {
	struct http_server *server;
	char address[32];
	char unix_path[64];
	struct http_stream *_Atomic stream;
	atomic_int before_calls;
	atomic_int held; /* requests of /together whose handlers wait for `let_go` */
	atomic_int let_go;
};

static void handle_hello(void *self, const struct http_request *request, struct http_reply *reply)
{
	AUTO_FREE char *text = text_format("hello %s%s", http_request_param(request, "name"), request->local ? ", local" : "");

	(void)self;
	http_reply_header(reply, "X-Note", "a\r\nb");
	http_reply_send(reply, 200, "text/plain", view_of(text));
}

static void handle_echo(void *self, const struct http_request *request, struct http_reply *reply)
{
	(void)self;
	http_reply_send(reply, 201, "application/octet-stream", request->body);
}

static void handle_static(void *self, const struct http_request *request, struct http_reply *reply)
{
	AUTO_FREE char *asked = http_request_query(request, "q");
	AUTO_FREE char *cookie = http_request_cookie(request, "sid");
	AUTO_FREE char *text = text_format("%s|%s|%s", request->rest, asked ? asked : "-", cookie ? cookie : "-");

	(void)self;
	http_reply_send(reply, 200, "text/plain", view_of(text));
}

static void handle_silent(void *self, const struct http_request *request, struct http_reply *reply)
{
	(void)self;
	(void)request;
	(void)reply;
}

static void handle_stream(void *self, const struct http_request *request, struct http_reply *reply)
{
	struct fixture *fixture = self;

	(void)request;
	atomic_store(&fixture->stream, http_reply_stream(reply, 200, "text/event-stream"));
}

/* Answers each with what it sent; the first ones wait, so that more come meanwhile. */
static void handle_together(void *self, const struct http_asked *asked, size_t count)
{
	struct fixture *fixture = self;

	atomic_fetch_add(&fixture->held, (int)count);
	while (!atomic_load(&fixture->let_go))
		(void)usleep(1000);
	for (size_t i = 0; i < count; i++)
		if (!view_is(asked[i].request->body, "silent"))
			http_reply_send(asked[i].reply, 200, "text/plain", asked[i].request->body);
}

static bool before_each(void *self, const struct http_request *request, struct http_reply *reply)
{
	struct fixture *fixture = self;

	atomic_fetch_add(&fixture->before_calls, 1);
	if (!http_request_header(request, "X-Forbid"))
		return false;
	http_reply_send(reply, 403, "text/plain", VIEW("no"));
	return true;
}

static const struct http_route routes[] = {
	{"GET", "/hello/{name}", handle_hello, 0}, {"POST", "/echo", handle_echo, 100000},
	{"GET", "/static/*", handle_static, 0},    {"GET", "/silent", handle_silent, 0},
	{"GET", "/stream", handle_stream, 0},      {"POST", "/together", NULL, 100, handle_together},
};

static int setup(void **state)
{
	struct fixture *fixture = mem_new(sizeof(*fixture));
	struct http_server_spec spec = {.routes = routes,
					.route_count = ARRAY_LEN(routes),
					.self = fixture,
					.extra_headers = "X-Frame-Options: DENY\r\n",
					.before = before_each,
					.threads = 4};
	struct err err;
	int port;

	fixture->server = http_server_new(&spec, &err);
	(void)snprintf(fixture->unix_path, sizeof(fixture->unix_path), "/tmp/assay-unit-%d.sock", (int)getpid());
	assert_non_null(fixture->server);
	assert_int_equal(http_server_listen_tcp(fixture->server, "127.0.0.1:0", &port, &err), 0);
	assert_int_equal(http_server_listen_unix(fixture->server, fixture->unix_path, 0600, &err), 0);
	assert_int_equal(http_server_start(fixture->server, &err), 0);
	(void)snprintf(fixture->address, sizeof(fixture->address), "127.0.0.1:%d", port);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	http_server_free(fixture->server, 500);
	(void)unlink(fixture->unix_path);
	free(fixture);
	return 0;
}

static void call(struct fixture *fixture, const char *method, const char *path, struct view body, struct http_response *response)
{
	AUTO_FREE char *url = text_format("http://%s%s", fixture->address, path);
	struct http_call call = {.method = method, .url = url, .body = body, .timeout_ms = 5000};
	struct err err = {0};

	if (http_client_call(&call, response, &err))
		fail_msg("%s %s: %s", method, path, err.text);
}

static void routes_are_found_by_method_and_pattern(void **state)
{
	static const struct {
		const char *method;
		const char *path;
		unsigned status;
		const char *body;
	} rows[] = {
		{"GET", "/hello/you", 200, "hello you"},
		{"GET", "/hello/a%2Fb%20c", 200, "hello a/b c"},
		{"GET", "/hello/", 404, NULL},
		{"GET", "/hello/a/b", 404, NULL},
		{"GET", "/hello/%00", 404, NULL},
		{"GET", "/x/../hello/me", 200, "hello me"},
		{"GET", "/../etc/passwd", 400, NULL},
		{"POST", "/hello/you", 405, NULL},
		{"HEAD", "/hello/you", 200, ""},
		{"GET", "/nothing", 404, NULL},
		{"GET", "/static/a/b.css?q=1%202&x", 200, "a/b.css|1 2|-"},
		{"GET", "/silent", 500, NULL},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_RESPONSE response;

		call(*state, rows[i].method, rows[i].path, (struct view){"", 0}, &response);
		assert_int_equal(response.status, rows[i].status);
		if (rows[i].body)
			assert_string_equal(response.body.at ? response.body.at : "", rows[i].body);
		assert_string_equal(http_response_header(&response, "x-frame-options"), "DENY");
	}
}

static void a_body_comes_back_and_one_over_the_limit_gets_413(void **state)
{
	AUTO_FREE char *bytes = mem_new(200000);
	AUTO_RESPONSE good;
	AUTO_RESPONSE over;

	memset(bytes, 'x', 200000);
	call(*state, "POST", "/echo", view_make(bytes, 100000), &good);
	assert_int_equal(good.status, 201);
	assert_int_equal(good.body.length, 100000);
	call(*state, "POST", "/echo", view_make(bytes, 100001), &over);
	assert_int_equal(over.status, 413);
}

static void a_header_value_cannot_break_the_head(void **state)
{
	AUTO_RESPONSE response;

	call(*state, "GET", "/hello/x", (struct view){"", 0}, &response);
	assert_string_equal(http_response_header(&response, "x-note"), "a  b");
}

static void before_is_asked_first_and_may_answer(void **state)
{
	struct fixture *fixture = *state;
	AUTO_FREE char *url = text_format("http://%s/nothing", fixture->address);
	struct http_header header = {"X-Forbid", "1"};
	struct http_call spec = {.url = url, .headers = &header, .header_count = 1};
	AUTO_RESPONSE response;

	assert_int_equal(http_client_call(&spec, &response, NULL), 0);
	assert_int_equal(response.status, 403);
}

static void a_unix_socket_serves_the_same_routes(void **state)
{
	struct fixture *fixture = *state;
	struct http_call spec = {.url = "http://assay/hello/x", .unix_socket = fixture->unix_path};
	AUTO_RESPONSE response;

	assert_int_equal(http_client_call(&spec, &response, NULL), 0);
	assert_string_equal(response.body.at, "hello x, local");
}

/* Sends the bytes and reads until the server closes or `until` answers came. */
static void raw(struct fixture *fixture, struct view bytes, unsigned until, struct buf *out)
{
	struct timeval limit = {.tv_sec = 5};
	struct err err;
	bool pending;
	int fd;

	assert_int_equal(socket_connect_tcp(fixture->address, &fd, &pending, &err), 0);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	while (pending && socket_error(fd) == 0 && send(fd, "", 0, MSG_NOSIGNAL) < 0)
		usleep(1000);
	assert_int_equal(send(fd, bytes.at, bytes.length, MSG_NOSIGNAL), (ssize_t)bytes.length);
	for (unsigned turn = 0; turn < 500; turn++) {
		char piece[4096];
		ssize_t got = recv(fd, piece, sizeof(piece), MSG_DONTWAIT);
		unsigned answers = 0;

		if (got == 0)
			break;
		if (got < 0) {
			usleep(2000);
			continue;
		}
		buf_add(out, piece, (size_t)got);
		for (const char *at = out->at; (at = strstr(at, "HTTP/1.1 ")); at++)
			answers++;
		if (until && answers >= until)
			break;
	}
	(void)close(fd);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
	AUTO_BUF out = buf_new(65536);
	const char *second;

	raw(*state,
	    VIEW("GET /hello/1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
		 "3\r\nabc\r\n0\r\n\r\nGET /hello/3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
	    0, &out);
	second = strstr(out.at, "201 Created");
	assert_non_null(strstr(out.at, "hello 1"));
	assert_non_null(second);
	assert_non_null(strstr(second, "\r\n\r\nabc"));
	assert_non_null(strstr(second, "hello 3"));
}

static void broken_requests_get_400_and_the_connection_ends(void **state)
{
	static const char *const rows[] = {
		"GET / HTTP/1.1\nHost: a\n\n",
		"GET / HTTP/1.1\r\n\r\n",
		"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
		"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nZ\r\n",
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_BUF out = buf_new(65536);

		raw(*state, view_of(rows[i]), 0, &out);
		assert_non_null(out.at);
		assert_int_equal(strncmp(out.at, "HTTP/1.1 400 ", 13), 0);
		assert_non_null(strstr(out.at, "Connection: close"));
	}
}

struct events {
	struct buf text;
	struct fixture *fixture;
};

static bool events_add(void *self, struct view bytes)
{
	struct events *events = self;

	buf_add_view(&events->text, bytes);
	return !events->text.at || !strstr(events->text.at, "three");
}

static void *feeder_main(void *self)
{
	struct fixture *fixture = self;

	while (!atomic_load(&fixture->stream))
		usleep(1000);
	(void)http_stream_event(atomic_load(&fixture->stream), "step", "7", VIEW("one\ntwo"));
	(void)http_stream_event(atomic_load(&fixture->stream), NULL, NULL, VIEW("three"));
	return NULL;
}

static void a_stream_carries_events_until_the_client_leaves(void **state)
{
	struct fixture *fixture = *state;
	AUTO_FREE char *url = text_format("http://%s/stream", fixture->address);
	struct events events = {.text = buf_new(65536), .fixture = fixture};
	struct http_call spec = {.url = url, .on_bytes = events_add, .self = &events, .timeout_ms = -1};
	AUTO_RESPONSE response = {0};
	struct http_stream *stream;
	struct err err;
	pthread_t feeder;
	int turns = 0;

	assert_int_equal(pthread_create(&feeder, NULL, feeder_main, fixture), 0);
	assert_int_equal(http_client_call(&spec, &response, &err), -1);
	assert_int_equal(err.kind, ERR_CANCELLED);
	assert_non_null(strstr(events.text.at, "event: step\nid: 7\ndata: one\ndata: two\n\n"));
	(void)pthread_join(feeder, NULL);
	stream = atomic_load(&fixture->stream);
	while (!http_stream_gone(stream) && turns++ < 1000)
		usleep(2000);
	assert_true(http_stream_gone(stream));
	assert_false(http_stream_write(stream, VIEW("late")));
	http_stream_close(stream);
	buf_fini(&events.text);
}

static void said_room(void *self)
{
	(void)atomic_fetch_add((atomic_int *)self, 1);
}

/* Asks for the stream by a socket that nobody reads, and fills it until much waits. */
static struct http_stream *stream_full(struct fixture *fixture, int *fd)
{
	static char bytes[65536];
	struct view ask = VIEW("GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
	struct http_stream *stream;
	struct err err;
	bool pending;

	atomic_store(&fixture->stream, NULL);
	assert_int_equal(socket_connect_tcp(fixture->address, fd, &pending, &err), 0);
	while (pending && socket_error(*fd) == 0 && send(*fd, "", 0, MSG_NOSIGNAL) < 0)
		usleep(1000);
	assert_int_equal(write(*fd, ask.at, ask.length), ask.length);
	while (!(stream = atomic_load(&fixture->stream)))
		usleep(1000);
	memset(bytes, 'x', sizeof(bytes));
	assert_int_equal(http_stream_waiting(stream), 0);
	for (int quiet = 0; quiet<20; quiet = http_stream_waiting(stream)> sizeof(bytes) ? quiet + 1 : 0) {
		if (http_stream_waiting(stream) <= sizeof(bytes))
			assert_true(http_stream_write(stream, view_make(bytes, sizeof(bytes))));
		usleep(1000);
	}
	return stream;
}

static void who_writes_to_a_full_stream_hears_when_it_is_empty(void **state)
{
	static char bytes[65536];
	atomic_int said = 0;
	struct http_stream *stream;
	int fd;

	stream = stream_full(*state, &fd);
	assert_true(http_stream_room(stream, SIZE_MAX, said_room, &said));
	assert_false(http_stream_room(stream, sizeof(bytes), said_room, &said));
	assert_int_equal(atomic_load(&said), 0);
	for (int turns = 0; turns < 5000 && !atomic_load(&said); turns++)
		if (read(fd, bytes, sizeof(bytes)) < 0)
			usleep(1000);
	assert_int_equal(atomic_load(&said), 1);
	assert_int_equal(http_stream_waiting(stream), 0);
	assert_true(http_stream_room(stream, 0, said_room, &said));
	http_stream_close(stream);
	(void)close(fd);
}

static void a_stream_that_is_cut_ends_at_once_though_nobody_reads(void **state)
{
	static char bytes[65536];
	atomic_int said = 0;
	struct pollfd ended = {.events = POLLRDHUP};

	http_stream_cut(stream_full(*state, &ended.fd));
	assert_int_equal(poll(&ended, 1, 10000), 1);
	(void)close(ended.fd);
	/* One that leaves makes room, too: nobody waits for it in vain. */
	struct http_stream *stream = stream_full(*state, &ended.fd);
	assert_false(http_stream_room(stream, sizeof(bytes), said_room, &said));
	(void)close(ended.fd);
	for (int turns = 0; turns < 5000 && !atomic_load(&said); turns++)
		usleep(1000);
	assert_int_equal(atomic_load(&said), 1);
	assert_true(http_stream_gone(stream));
	http_stream_close(stream);
}

struct caller {
	struct fixture *fixture;
	pthread_t thread;
	char body[16];
	bool forbidden;
	unsigned status;
	bool same; /* what came back is what was sent */
};

static void *caller_main(void *self)
{
	struct caller *caller = self;
	AUTO_FREE char *url = text_format("http://%s/together", caller->fixture->address);
	const struct http_header forbid = {"X-Forbid", "1"};
	struct http_call call = {.method = "POST",
				 .url = url,
				 .headers = &forbid,
				 .header_count = caller->forbidden,
				 .body = view_of(caller->body),
				 .timeout_ms = 60000};
	AUTO_RESPONSE response;

	if (http_client_call(&call, &response, NULL))
		return NULL;
	caller->status = response.status;
	caller->same = view_is(buf_view(&response.body), caller->body);
	return NULL;
}

/* Each has its own answer, whoever it was handled with. */
static void requests_that_come_while_others_are_handled_are_handled_together(void **state)
{
	struct fixture *fixture = *state;
	struct caller callers[40] = {0};

	for (size_t i = 0; i < ARRAY_LEN(callers); i++) {
		callers[i].fixture = fixture;
		callers[i].forbidden = i % 10 == 7;
		if (i % 10 == 8)
			(void)snprintf(callers[i].body, sizeof(callers[i].body), "silent");
		else
			(void)snprintf(callers[i].body, sizeof(callers[i].body), "body %zu", i);
		assert_int_equal(pthread_create(&callers[i].thread, NULL, caller_main, &callers[i]), 0);
	}
	while (atomic_load(&fixture->held) < 3) /* by three threads, or by fewer that have more */
		(void)usleep(1000);
	atomic_store(&fixture->let_go, 1);
	for (size_t i = 0; i < ARRAY_LEN(callers); i++) {
		assert_int_equal(pthread_join(callers[i].thread, NULL), 0);
		assert_int_equal(callers[i].status, callers[i].forbidden ? 403 : i % 10 == 8 ? 500 : 200);
		assert_int_equal(callers[i].same, callers[i].status == 200);
	}
	assert_int_equal(atomic_load(&fixture->held), 40 - 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(routes_are_found_by_method_and_pattern),
		cmocka_unit_test(a_body_comes_back_and_one_over_the_limit_gets_413),
		cmocka_unit_test(a_header_value_cannot_break_the_head),
		cmocka_unit_test(before_is_asked_first_and_may_answer),
		cmocka_unit_test(a_unix_socket_serves_the_same_routes),
		cmocka_unit_test(pipelined_requests_are_answered_in_order),
		cmocka_unit_test(broken_requests_get_400_and_the_connection_ends),
		cmocka_unit_test(a_stream_carries_events_until_the_client_leaves),
		cmocka_unit_test(who_writes_to_a_full_stream_hears_when_it_is_empty),
		cmocka_unit_test(a_stream_that_is_cut_ends_at_once_though_nobody_reads),
		cmocka_unit_test(requests_that_come_while_others_are_handled_are_handled_together),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
