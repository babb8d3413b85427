/* Whose the words of an application are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/scope.h"
#include "verify/said.h"

#define A "4bf92f3577b34da6a3ce929d0e0e4736"
#define B "aaaabbbbccccddddeeeeffff00001111"

/* An entry whose request had that traceparent, at the preview or at a seam. */
static json_t *entry_make(const char *where, const char *traceparent)
{
	return json_pack("{s:[{s:s, s:{s:[[s, s]]}}]}", where, "proto", "http", "request", "headers", "Traceparent", traceparent);
}

static json_t *word_make(const char *method, const char *text, const char *trace, const char *more, const char *value)
{
	return json_pack("{s:s, s:s, s:{s:s, s:s, s:[[s, s], [s, s]]}}", "proto", "otlp", "from", "catalog", "request", "method",
			 method, "url", text, "headers", "trace", trace, more, value);
}

static void words_go_to_the_request_whose_trace_they_have(void **state)
{
	AUTO_JSON traces = json_object();
	AUTO_JSON first = entry_make("asked", "00-" A "-00f067aa0ba902b7-01");
	AUTO_JSON second = entry_make("seams", "00-" B "-00f067aa0ba902b7-01");
	AUTO_JSON broken = entry_make("seams", "00-" B);
	AUTO_JSON late = word_make("span", "loads", A, "failed", "1");
	AUTO_JSON line = word_make("line", "it is bad", B, "severity", "17");
	AUTO_JSON calm = word_make("line", "it is good", B, "severity", "9");
	AUTO_JSON strange = word_make("span", "x", "11112222333344445555666677778888", "failed", "1");
	AUTO_JSON seen = json_pack("{s:s, s:{s:[[s, s]]}}", "proto", "http", "request", "headers", "trace", A);
	const json_t *said;

	(void)state;
	said_expect(traces, first);
	said_expect(traces, second);
	said_expect(traces, broken);
	assert_true(said_take(traces, late));
	assert_true(said_take(traces, line));
	assert_true(said_take(traces, calm));
	assert_true(said_take(traces, strange));
	assert_false(said_take(traces, seen));
	said = json_member(first, "said");
	assert_int_equal(json_array_size(said), 1);
	assert_string_equal(json_text(json_array_get(said, 0), "service", ""), "catalog");
	assert_string_equal(json_text(json_array_get(said, 0), "text", ""), "loads");
	assert_true(json_flag(json_array_get(said, 0), "failed", false));
	said = json_member(second, "said");
	assert_int_equal(json_array_size(said), 2);
	assert_true(json_flag(json_array_get(said, 0), "failed", false));
	assert_null(json_member(json_array_get(said, 1), "failed"));
	assert_null(json_member(broken, "said"));
}

static void so_many_words_of_so_many_letters_are_kept(void **state)
{
	AUTO_JSON traces = json_object();
	AUTO_JSON entry = entry_make("asked", "00-" A "-00f067aa0ba902b7-01");
	char text[1000];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	said_expect(traces, entry);
	for (int i = 0; i < 3 * SAID_MAX; i++) {
		AUTO_JSON word = word_make("span", text, A, "ended_ns", "5000000");

		assert_true(said_take(traces, word));
	}
	assert_int_equal(json_array_size(json_member(entry, "said")), SAID_MAX);
	assert_int_equal(strlen(json_text(json_array_get(json_member(entry, "said"), 0), "text", "")), SAID_TEXT_MAX);
	assert_int_equal(json_number(json_array_get(json_member(entry, "said"), 0), "ms", 0), 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_go_to_the_request_whose_trace_they_have),
		cmocka_unit_test(so_many_words_of_so_many_letters_are_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
