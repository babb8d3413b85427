/* Globs over paths. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/scope.h"
#include "blueprint/blueprint.h"

static const struct {
	const char *glob;
	const char *path;
	bool matches;
} rows[] = {
	{"a", "a", true},
	{"a", "b", false},
	{"a", "a/b", false},
	{"", "", true},
	{"a/", "a", false},
	{"*.har", "x.har", true},
	{"*.har", "sessions/x.har", false},
	{"sessions/*.har", "sessions/x.har", true},
	{"sessions/*.har", "sessions/a/x.har", false},
	{"*", "", true},
	{"*", "a/b", false},
	{"a*b*c", "aXbYbZc", true},
	{"a*b*c", "aXbYbZ", false},
	{"?", "a", true},
	{"?", "", false},
	{"?", "/", false},
	{"a?c", "a/c", false},
	{"**", "a", true},
	{"**", "a/b/c", true},
	{"sessions/**", "sessions/a", true},
	{"sessions/**", "sessions/a/b", true},
	{"sessions/**", "sessions", false},
	{"sessions/**", "other/a", false},
	{"**/test.js", "test.js", true},
	{"**/test.js", "a/b/test.js", true},
	{"**/test.js", "a/b/mytest.js", false},
	{"a/**/z", "a/z", true},
	{"a/**/z", "a/b/c/z", true},
	{"a/**/z", "a/b/c/y", false},
	{"a/**/b/**/c", "a/x/b/y/b/z/c", true},
	{"a/**/b/**/c", "a/x/y/z/c", false},
	{"*/test/**", "front/test/a.js", true},
	{"**/*.test.*", "x/y/z.test.ts", true},
	{"[abc]", "b", true},
	{"[a-c]x", "bx", true},
	{"[!a-c]x", "bx", false},
	{"[^a-c]x", "dx", true},
	{"[]]", "]", true},
	{"[a-]", "-", true},
	{"[a", "[a", true},
	{"x[", "x[", true},
	{".github/**", ".github/workflows/ci.yml", true},
};

static void each_glob_matches_what_it_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (glob_match(rows[i].glob, rows[i].path) != rows[i].matches)
			fail_msg("`%s` on `%s`: expected %s", rows[i].glob, rows[i].path, rows[i].matches ? "a match" : "no match");
}

static void many_stars_do_not_take_for_ever(void **state)
{
	AUTO_BUF glob = buf_new(4096);
	AUTO_BUF path = buf_new(4096);

	(void)state;
	for (int i = 0; i < 200; i++) {
		buf_add_text(&glob, i % 2 ? "**/" : "a*a*a*/");
		buf_add_text(&path, "aaaaaaaa/");
	}
	buf_add_text(&glob, "b");
	buf_add_text(&path, "c");
	assert_false(glob_match(glob.at, path.at));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_glob_matches_what_it_says),
		cmocka_unit_test(many_stars_do_not_take_for_ever),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
