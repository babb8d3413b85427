/* Which lines of a log speak of an error, and which give a secret away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/scope.h"
#include "verify/logs.h"

static void lines_that_speak_of_an_error_are_known_by_their_form(void **state)
{
	static const struct {
		const char *log;
		const char *form; /* NULL: none */
		int64_t count;
	} rows[] = {
		{"error: order 17 is not paid\nerror: order 18 is not paid\n", "error: order <number> is not paid", 2},
		{"level=error msg=gone", "level=error msg=gone", 1},
		{"Traceback (most recent call last):", "Traceback (most recent call last):", 1},
		{"java.lang.IllegalStateException: closed", "java.lang.IllegalStateException: closed", 1},
		{"thread 'main' panicked at src/main.rs:4", "thread 'main' panicked at src/main.rs:<number>", 1},
		{"FATAL the disk is full", "FATAL the disk is full", 1},
		{"errors=0 requests=12", NULL, 0},
		{"{\"error\": null, \"ok\": true}", NULL, 0},
		{"error=- status=200", NULL, 0},
		{"GET /items 200 3 ms", NULL, 0},
		{"", NULL, 0},
		{"error error=0", "error error=<number>", 1},
		{"\xff\xfe error \x80\n", NULL, -1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_JSON forms = logs_errors(view_of(rows[i].log));

		if (rows[i].count < 0)
			continue; /* it need only be survived */
		assert_int_equal(json_object_size(forms), rows[i].form != NULL);
		if (rows[i].form && json_number(json_object_get(forms, rows[i].form), "count", 0) != rows[i].count)
			fail_msg("`%s` is not known as `%s`", rows[i].log, rows[i].form);
	}
}

static void secrets_of_a_session_are_known_and_found_in_logs(void **state)
{
	AUTO_JSON entries = json_loads(
		"[{\"request\": {\"method\": \"POST\", \"url\": \"/api/login\", \"headers\": [[\"Authorization\", \"Bearer abcdef0123456789\"]],"
		" \"body\": \"{\\\"email\\\": \\\"ada@example.org\\\", \\\"password\\\": \\\"s3same\\\"}\"},"
		" \"response\": {\"status\": 200, \"headers\": [[\"Set-Cookie\", \"sid=0123456789abcdef; Path=/\"]],"
		" \"body\": \"{\\\"user\\\": {\\\"api_key\\\": \\\"k-9999-8888\\\"}, \\\"note\\\": \\\"nothing secret here\\\"}\"}}]",
		0, NULL);
	AUTO_JSON secrets = logs_secrets(entries);
	AUTO_JSON leaks = logs_leaks(
		VIEW("login ada@example.org\npassword was s3same, again s3same\ncookie 0123456789abcdef set\n"), secrets);

	(void)state;
	assert_int_equal(json_object_size(secrets), 4);
	assert_string_equal(json_text(secrets, "abcdef0123456789", ""), "header authorization");
	assert_string_equal(json_text(secrets, "s3same", ""), "password of POST /api/login");
	assert_string_equal(json_text(secrets, "0123456789abcdef", ""), "cookie sid");
	assert_string_equal(json_text(secrets, "k-9999-8888", ""), "api_key of POST /api/login");
	assert_int_equal(json_object_size(leaks), 2);
	assert_string_equal(json_text(leaks, "password of POST /api/login", ""), "password was ***, again ***");
	assert_string_equal(json_text(leaks, "cookie sid", ""), "cookie *** set");
}

#define SERVED \
	"  File \"/usr/lib/python3.11/socketserver.py\", line 683, in process_request_thread\n    self.finish_request(request)\n"
#define CALLED "  File \"/usr/lib/python3.11/http/client.py\", line 1377, in getresponse\n    response.begin()\n"

/* How many lines speak of an error. */
static void a_client_that_goes_away_is_no_error(void **state)
{
	static const struct {
		const char *log;
		int64_t lines;
	} rows[] = {
		{"----\nException occurred during processing of request from ('127.0.0.1', 46520)\nTraceback (most recent call last):\n" SERVED
		 "ConnectionResetError: [Errno 104] Connection reset by peer\n----\n",
		 0},
		{"Traceback (most recent call last):\n" SERVED "BrokenPipeError: [Errno 32] Broken pipe\nerror: no stock\n", 1},
		/* one of its own calls was reset, as it served */
		{"Traceback (most recent call last):\n" SERVED CALLED
		 "ConnectionResetError: [Errno 104] Connection reset by peer\n",
		 2},
		{"Traceback (most recent call last):\n  File \"job.py\", line 2\nConnectionResetError: [Errno 104] reset\n", 2},
		{"Traceback (most recent call last):\n" SERVED "KeyError: 'id'\n", 2},
		{"Traceback (most recent call last):\n" SERVED, 1},
		{"ConnectionResetError: alone\n", 1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_JSON forms = logs_errors(view_of(rows[i].log));
		int64_t lines = 0;
		const char *form;
		json_t *about;

		json_object_foreach(forms, form, about)
			lines += json_number(about, "count", 0);
		if (lines != rows[i].lines)
			fail_msg("row %zu: %lld lines", i, (long long)lines);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_that_speak_of_an_error_are_known_by_their_form),
		cmocka_unit_test(secrets_of_a_session_are_known_and_found_in_logs),
		cmocka_unit_test(a_client_that_goes_away_is_no_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
