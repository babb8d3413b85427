/* Calls over a Unix socket, answered by a scripted server. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/scope.h"
#include "http/client.h"

static char socket_dir[] = "/tmp/assay-client-XXXXXX";
static char *socket_path;
static int listener;

/* One connection: reads up to the end of the head (and `wanted` bytes more), says its line in pieces, closes. */
struct script {
	const char *answer;
	size_t piece; /* bytes a write; 0: all */
	size_t wanted;
	char asked[4096];
};

static void *serve(void *self)
{
	struct script *script = self;
	int fd = accept(listener, NULL, NULL);
	size_t length = 0, all = strlen(script->answer);
	const char *end = NULL;

	while (length < sizeof(script->asked) - 1 && (!end || length < (size_t)(end + 4 - script->asked) + script->wanted)) {
		ssize_t got = read(fd, script->asked + length, sizeof(script->asked) - 1 - length);

		if (got <= 0)
			break;
		length += (size_t)got;
		script->asked[length] = '\0';
		end = strstr(script->asked, "\r\n\r\n");
	}
	for (size_t at = 0; at < all;) {
		size_t part = script->piece && script->piece < all - at ? script->piece : all - at;

		if (send(fd, script->answer + at, part, MSG_NOSIGNAL) < 0)
			break;
		at += part;
	}
	(void)close(fd);
	return NULL;
}

static int call(struct script *script, struct http_call request, struct http_response *response, struct err *err)
{
	pthread_t thread;
	int result;

	request.unix_socket = socket_path;
	if (!request.url)
		request.url = "http://localhost/a?b=c";
	assert_int_equal(pthread_create(&thread, NULL, serve, script), 0);
	result = http_client_call(&request, response, err);
	(void)pthread_join(thread, NULL);
	return result;
}

static void answers_are_read_however_they_come(void **state)
{
	static const struct {
		const char *answer;
		unsigned status;
		const char *body;
	} rows[] = {
		{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello"},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", 200, "hello"},
		{"HTTP/1.0 200 OK\r\n\r\nhello", 200, "hello"},
		{"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", 404, ""},
		{"HTTP/1.1 204 No Content\r\n\r\n", 204, ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		for (size_t piece = 0; piece < 8; piece++) {
			struct script script = {.answer = rows[i].answer, .piece = piece};
			AUTO_RESPONSE response = {0};
			struct err err = {0};

			assert_int_equal(call(&script, (struct http_call){0}, &response, &err), 0);
			assert_int_equal(response.status, rows[i].status);
			assert_true(view_is(buf_view(&response.body), rows[i].body));
			assert_non_null(strstr(script.asked, "GET /a?b=c HTTP/1.1\r\nHost: localhost\r\n"));
		}
}

static void what_goes_wrong_is_told_by_its_kind(void **state)
{
	static const struct {
		const char *answer;
		enum err_kind kind;
	} rows[] = {
		{"", ERR_RETRY},
		{"HTTP/1.1 200 OK\r\nContent-", ERR_RETRY},
		{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", ERR_RETRY},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n", ERR_RETRY},
		{"SSH-2.0-OpenSSH_9.2\r\n\r\n", ERR_BROKEN},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", ERR_BROKEN},
		{"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n01234567890123456789", ERR_LIMIT},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct script script = {.answer = rows[i].answer};
		struct http_response response;
		struct err err = {0};

		assert_int_equal(call(&script, (struct http_call){.body_bytes_max = 10}, &response, &err), -1);
		assert_int_equal(err.kind, rows[i].kind);
	}
}

static void a_body_and_headers_are_sent(void **state)
{
	struct http_header header = {"X-One", "1"};
	struct script script = {.answer = "HTTP/1.1 200 OK\r\nX-Two: 2\r\nContent-Length: 0\r\n\r\n", .wanted = 4};
	struct http_call request = {.headers = &header, .header_count = 1, .body = VIEW("body")};
	AUTO_RESPONSE response = {0};
	struct err err = {0};

	(void)state;
	assert_int_equal(call(&script, request, &response, &err), 0);
	assert_int_equal(strncmp(script.asked, "POST ", 5), 0);
	assert_non_null(strstr(script.asked, "X-One: 1\r\n"));
	assert_non_null(strstr(script.asked, "Content-Length: 4\r\n"));
	assert_non_null(strstr(script.asked, "\r\n\r\nbody"));
	assert_string_equal(http_response_header(&response, "x-two"), "2");
}

static bool stop_at_two(void *self, struct view bytes)
{
	size_t *seen = self;

	*seen += bytes.length;
	return *seen < 2;
}

static void a_stream_ends_when_its_caller_says_so(void **state)
{
	struct script script = {.answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n1\r\nc\r\n",
				.piece = 1};
	size_t seen = 0;
	struct http_call request = {.timeout_ms = -1, .on_bytes = stop_at_two, .self = &seen};
	struct http_response response;
	struct err err = {0};

	(void)state;
	assert_int_equal(call(&script, request, &response, &err), -1);
	assert_int_equal(err.kind, ERR_CANCELLED);
	assert_int_equal(seen, 2);
}

static void a_header_with_a_line_break_is_not_sent(void **state)
{
	struct http_header header = {"X-One", "1\r\nX-Two: 2"};
	struct http_call request = {.url = "http://localhost/", .unix_socket = socket_path, .headers = &header, .header_count = 1};
	struct http_response response;
	struct err err = {0};

	(void)state;
	assert_int_equal(http_client_call(&request, &response, &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
}

static void nobody_there_is_worth_another_try(void **state)
{
	struct http_call request = {.url = "http://localhost/", .unix_socket = "/nonexistent/socket"};
	struct http_response response;
	struct err err = {0};

	(void)state;
	assert_int_equal(http_client_call(&request, &response, &err), -1);
	assert_int_equal(err.kind, ERR_RETRY);
}

static void libcurl_is_loaded_when_it_is_needed(void **state)
{
	struct http_call request = {.url = "http://127.0.0.1:1/"};
	struct http_response response;
	struct err err = {0};

	(void)state;
	assert_int_equal(http_client_call(&request, &response, &err), -1);
	assert_int_equal(err.kind, ERR_RETRY);
	request.url = "gopher://127.0.0.1/";
	assert_int_equal(http_client_call(&request, &response, &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
}

static int group_open(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	(void)state;
	if (!mkdtemp(socket_dir))
		return -1;
	socket_path = text_format("%s/socket", socket_dir);
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", socket_path);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return bind(listener, (const struct sockaddr *)&address, sizeof(address)) || listen(listener, 8) ? -1 : 0;
}

static int group_close(void **state)
{
	(void)state;
	(void)close(listener);
	(void)unlink(socket_path);
	free(socket_path);
	return rmdir(socket_dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_are_read_however_they_come),
		cmocka_unit_test(what_goes_wrong_is_told_by_its_kind),
		cmocka_unit_test(a_body_and_headers_are_sent),
		cmocka_unit_test(a_stream_ends_when_its_caller_says_so),
		cmocka_unit_test(a_header_with_a_line_break_is_not_sent),
		cmocka_unit_test(nobody_there_is_worth_another_try),
		cmocka_unit_test(libcurl_is_loaded_when_it_is_needed),
	};

	return cmocka_run_group_tests(tests, group_open, group_close);
}
