/* Masks and classes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/scope.h"
#include "verify/format.h"

static void a_mask_keeps_the_words_and_names_what_changes(void **state)
{
	static const char *const rows[][2] = {
		{"6d7b8c9a26b938a86282ebc5214d5cf42813734c", "<hex:40>"},
		{"3f2504e0-4f89-41d3-9a0c-0305e82c3301", "<uuid>"},
		{"order-12345", "order-<number>"},
		{"2026-11-21T19:30:00.123Z", "<timestamp>"},
		{"2026-11-21 19:30:00+00", "<timestamp>"},
		{"Sat, 21 Nov 2026 19:30:00 GMT", "<timestamp>"},
		{"due 2026-11-21", "due <date>"},
		{"eyJhbGciOi.eyJzdWIi.c2ln", "<jwt>"},
		{"Bearer 8f14e45fceea167a", "Bearer <hex:16>"},
		{"aZ3-_kfj39fjKDJF93kfjd_x", "<token>"},
		{"order-line-for-customer-17", "order-line-for-customer-<number>"},
		{"12.50 EUR", "<number> EUR"},
		{"a<b", "a<<b"},
		{"x1y2", "x1y2"},
		{"", ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_BUF mask = buf_new(4096);

		format_mask(&mask, view_of(rows[i][0]));
		assert_string_equal(mask.at ? mask.at : "", rows[i][1]);
		assert_true(format_matches(buf_view(&mask), view_of(rows[i][0])));
	}
}

static void a_text_of_another_form_does_not_match(void **state)
{
	static const struct {
		const char *mask;
		const char *text;
		bool matches;
	} rows[] = {
		{"<hex:8>", "12345678", true},
		{"<hex:8>", "1234567g", false},
		{"<hex:8>", "123456789", false},
		{"<uuid>", "none", false},
		{"<uuid>", "", false},
		{"order-<number>", "order-7", true},
		{"order-<number>", "order-", false},
		{"<number>", "7 and more", false},
		{"a<<b", "a<b", true},
		{"<token>", "0123456789abcdef", true},
		{"<timestamp>", "2026-11-21", false},
		{"<date>", "2026-11-21", true},
		{"", "", true},
		{"", "x", false},
		{"<unknown>", "x", false},
		{"<", "<", true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(format_matches(view_of(rows[i].mask), view_of(rows[i].text)), rows[i].matches);
}

static void paths_lose_what_names_one_thing(void **state)
{
	static const char *const rows[][2] = {
		{"/api/orders/17/lines?x=1", "/api/orders/:id/lines"},
		{"http://shop.localhost:7421/a/3f2504e0-4f89-41d3-9a0c-0305e82c3301", "/a/:id"},
		{"/", "/"},
		{"http://host", "/"},
		{"/products/walnut-table", "/products/walnut-table"},
		{"/r/2026-11-21/", "/r/:id/"},
		{"", ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_BUF path = buf_new(4096);

		format_path(&path, view_of(rows[i][0]));
		assert_string_equal(path.at ? path.at : "", rows[i][1]);
	}
}

static void a_class_is_as_wide_as_what_was_seen(void **state)
{
	static const struct {
		const char *first, *second, *value;
		bool has;
		const char *described;
	} rows[] = {
		{"\"3f2504e0-4f89-41d3-9a0c-0305e82c3301\"", "\"00000000-4f89-41d3-9a0c-0305e82c3301\"",
		 "\"11111111-4f89-41d3-9a0c-0305e82c3301\"", true, "uuid"},
		{"\"3f2504e0-4f89-41d3-9a0c-0305e82c3301\"", "\"00000000-4f89-41d3-9a0c-0305e82c3301\"", "\"\"", false, "uuid"},
		{"3", "9", "7", true, "number around 3 to 9"},
		{"3", "9", "7.5", false, "number around 3 to 9"},
		{"3", "9", "-1", false, "number around 3 to 9"},
		{"3", "9", "\"7\"", false, "number around 3 to 9"},
		{"1700000000000", "1700000000009", "1700000000", false, "timestamp as a number"},
		{"1700000000000", "1700000000009", "1700000060000", true, "timestamp as a number"},
		{"\"abc\"", "\"xyz\"", "\"anything\"", true, "text"},
		{"\"abc\"", "\"xyz\"", "3", false, "text"},
		{"null", "\"xyz\"", "3", true, "any"},
		{"true", "false", "true", true, "boolean"},
		{"\"8f14e45fceea167a\"", "\"1234567812345678\"", "\"aaaaaaaaaaaaaaaa\"", true, "hex:16"},
		{"\"1234567812345678\"", "\"8f14e45fceea167a\"", "\"aaaaaaaaaaaaaaaa\"", true, "hex:16"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_JSON a = json_parse(view_of(rows[i].first), NULL);
		AUTO_JSON b = json_parse(view_of(rows[i].second), NULL);
		AUTO_JSON value = json_parse(view_of(rows[i].value), NULL);
		AUTO_JSON one = class_join(NULL, a);
		AUTO_JSON both = class_join(one, b);
		AUTO_BUF text = buf_new(4096);

		class_describe(&text, both);
		assert_string_equal(text.at, rows[i].described);
		assert_int_equal(class_has(both, value), rows[i].has);
		assert_true(class_has(both, a));
		assert_true(class_has(both, b));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_mask_keeps_the_words_and_names_what_changes),
		cmocka_unit_test(a_text_of_another_form_does_not_match),
		cmocka_unit_test(paths_lose_what_names_one_thing),
		cmocka_unit_test(a_class_is_as_wide_as_what_was_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
