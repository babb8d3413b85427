/* JSON from outside: limits, and texts that are not UTF-8. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/scope.h"

static void what_is_not_json_is_refused_with_line_and_column(void **state)
{
	static const char *const rows[] = {"", "{", "{\"a\":1,}", "[1] x", "{\"a\":1,\"a\":2}", "nul", "\"\xff\"", "{\"a\":1e999}"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = {0};
		AUTO_JSON json = json_parse(view_of(rows[i]), &err);

		assert_null(json);
		assert_int_equal(err.kind, ERR_INVALID);
		assert_non_null(strstr(err.text, "line"));
	}
}

static void nesting_over_a_hundred_is_a_limit(void **state)
{
	AUTO_BUF text = buf_new(10000);
	struct err err = {0};

	(void)state;
	for (int i = 0; i < 200; i++)
		buf_add_char(&text, '[');
	for (int i = 0; i < 200; i++)
		buf_add_char(&text, ']');
	AUTO_JSON json = json_parse(buf_view(&text), &err);
	assert_null(json);
	assert_int_equal(err.kind, ERR_LIMIT);
}

static void bytes_that_are_not_utf8_become_replacement_characters(void **state)
{
	static const struct {
		const char *in;
		const char *out;
	} rows[] = {
		{"ok", "ok"},
		{"a\xff"
		 "b",
		 "a\xef\xbf\xbd"
		 "b"},
		{"\xc3\xa9", "\xc3\xa9"},
		{"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
		{"\xf0\x9f\x98", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
		{"\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"},
		{"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_JSON object = json_object();

		json_set_bytes(object, "k", view_of(rows[i].in));
		assert_string_equal(json_text(object, "k", NULL), rows[i].out);
	}
}

static void getters_fall_back_on_absence_and_on_another_type(void **state)
{
	AUTO_JSON json = json_parse(VIEW("{\"n\": 1, \"s\": \"x\", \"z\": null}"), NULL);

	(void)state;
	assert_int_equal(json_number(json, "n", 5), 1);
	assert_int_equal(json_number(json, "s", 5), 5);
	assert_string_equal(json_text(json, "n", "no"), "no");
	assert_string_equal(json_text(json, "z", "no"), "no");
	assert_string_equal(json_text(NULL, "z", "no"), "no");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_not_json_is_refused_with_line_and_column),
		cmocka_unit_test(nesting_over_a_hundred_is_a_limit),
		cmocka_unit_test(bytes_that_are_not_utf8_become_replacement_characters),
		cmocka_unit_test(getters_fall_back_on_absence_and_on_another_type),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
