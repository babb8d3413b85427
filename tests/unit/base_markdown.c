/* Strangers' words in Markdown of ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/markdown.h"
#include "base/scope.h"

static void what_a_stranger_wrote_is_one_line_of_code(void **state)
{
	static const struct {
		const char *text;
		bool is_cell;
		const char *wanted;
	} rows[] = {
		{"", false, ""},
		{" \n ", false, ""},
		{"GET /cart became 500", false, "`GET /cart became 500`"},
		{"@acme/all Fixes #1 ![x](https://evil.test)", false, "`@acme/all Fixes #1 ![x](https://evil.test)`"},
		{"a`@all`b", false, "`a'@all'b`"},
		{"``` \n/close\r\n\t<img>", false, "`'''  /close   <img>`"},
		{"a|b", false, "`a|b`"},
		{"a|b", true, "`a\\|b`"},
		{"a\u202e\u200bb", false, "`a[U+202E][U+200B]b`"},
		{"a\xff", false, "`a\xef\xbf\xbd`"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_BUF out = buf_new(4000);

		markdown_code_add(&out, rows[i].text, rows[i].is_cell);
		assert_string_equal(out.at ? out.at : "", rows[i].wanted);
	}
}

static void what_is_long_is_cut(void **state)
{
	AUTO_BUF out = buf_new(4 * MARKDOWN_CODE_BYTES_MAX);
	char text[MARKDOWN_CODE_BYTES_MAX + 2];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	markdown_code_add(&out, text, false);
	assert_true(view_ends(buf_view(&out), VIEW("x…`")));
	assert_int_equal(out.length, MARKDOWN_CODE_BYTES_MAX + strlen("``…"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_stranger_wrote_is_one_line_of_code),
		cmocka_unit_test(what_is_long_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
