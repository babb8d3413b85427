/* Views, buffers and encodings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"

static void a_buf_drops_what_goes_over_its_maximum_and_says_so_once(void **state)
{
	AUTO_BUF buf = buf_new(4);
	struct err err = {0};

	(void)state;
	buf_add_text(&buf, "abc");
	assert_int_equal(buf_finish(&buf, &err), 0);
	buf_add_text(&buf, "de");
	assert_string_equal(buf.at, "abc");
	assert_int_equal(buf_finish(&buf, &err), -1);
	assert_int_equal(err.kind, ERR_LIMIT);
}

static void base64_survives_both_ways_at_every_length(void **state)
{
	unsigned char bytes[9] = {0, 255, 1, 254, 2, 253, 3, 252, 4};

	(void)state;
	for (size_t length = 0; length <= sizeof(bytes); length++) {
		AUTO_BUF text = buf_new(64);
		AUTO_BUF back = buf_new(64);

		buf_add_base64(&text, bytes, length);
		assert_int_equal(buf_add_unbase64(&back, buf_view(&text), NULL), 0);
		assert_int_equal(back.length, length);
		assert_true(view_equal(buf_view(&back), view_make(bytes, length)));
	}
}

static void bad_base64_is_refused(void **state)
{
	static const char *const rows[] = {"A", "AA*A", "AAAAA", "A A="};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		AUTO_BUF out = buf_new(64);

		assert_int_equal(buf_add_unbase64(&out, view_of(rows[i]), NULL), -1);
	}
}

static void cutting_a_view_gives_the_part_before_and_the_rest(void **state)
{
	struct view rest;
	struct view head = view_cut(VIEW("a=b=c"), '=', &rest);

	(void)state;
	assert_true(view_is(head, "a"));
	assert_true(view_is(rest, "b=c"));
	head = view_cut(VIEW("abc"), '=', &rest);
	assert_true(view_is(head, "abc"));
	assert_null(rest.at);
}

static void numbers_over_64_bits_are_no_numbers(void **state)
{
	uint64_t number;

	(void)state;
	assert_true(view_to_u64(VIEW("18446744073709551615"), &number));
	assert_true(number == UINT64_MAX);
	assert_false(view_to_u64(VIEW("18446744073709551616"), &number));
	assert_false(view_to_u64(VIEW("-1"), &number));
	assert_false(view_to_u64(VIEW(""), &number));
}

static void shell_quoting_keeps_quotes(void **state)
{
	AUTO_BUF out = buf_new(64);

	(void)state;
	buf_add_shell(&out, VIEW("it's $HOME"));
	assert_string_equal(out.at, "'it'\\''s $HOME'");
}

static void what_is_replaced_is_replaced_everywhere(void **state)
{
	AUTO_BUF out = buf_new(64);

	(void)state;
	buf_add_replaced(&out, VIEW("aab aa b"), VIEW("aa"), VIEW("xaay"));
	buf_add_replaced(&out, VIEW(""), VIEW("aa"), VIEW("x"));
	buf_add_replaced(&out, VIEW("|a"), VIEW("aa"), VIEW("x"));
	assert_string_equal(out.at, "xaayb xaay b|a");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_buf_drops_what_goes_over_its_maximum_and_says_so_once),
		cmocka_unit_test(base64_survives_both_ways_at_every_length),
		cmocka_unit_test(bad_base64_is_refused),
		cmocka_unit_test(cutting_a_view_gives_the_part_before_and_the_rest),
		cmocka_unit_test(numbers_over_64_bits_are_no_numbers),
		cmocka_unit_test(shell_quoting_keeps_quotes),
		cmocka_unit_test(what_is_replaced_is_replaced_everywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
