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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_that_speak_of_an_error_are_known_by_their_form),
		cmocka_unit_test(secrets_of_a_session_are_known_and_found_in_logs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
