/* URLs, queries and paths. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/scope.h"
#include "http/url.h"

static void urls_are_taken_apart(void **state)
{
	static const struct {
		const char *text;
		const char *host; /* NULL: refused */
		unsigned port;
		const char *path;
		const char *query;
	} rows[] = {
		{"http://a/b?c=d#e", "a", 80, "/b", "c=d"}, {"https://a.example:8443", "a.example", 8443, "", ""},
		{"HTTP://[::1]:81/", "::1", 81, "/", ""},   {"ws://h?x", "h", 80, "", "x"},
		{"ftp://a/", NULL, 0, NULL, NULL},          {"http:///x", NULL, 0, NULL, NULL},
		{"http://u@a/", NULL, 0, NULL, NULL},       {"http://a:0/", NULL, 0, NULL, NULL},
		{"http://a:65536/", NULL, 0, NULL, NULL},   {"http://a:x/", NULL, 0, NULL, NULL},
		{"http://[::1/", NULL, 0, NULL, NULL},      {"http://a b/", NULL, 0, NULL, NULL},
		{"http://a\\b/", NULL, 0, NULL, NULL},      {"a/b", NULL, 0, NULL, NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct url url;
		int result = url_parse(view_of(rows[i].text), &url, NULL);

		assert_int_equal(result, rows[i].host ? 0 : -1);
		if (result)
			continue;
		assert_true(view_is(url.host, rows[i].host));
		assert_int_equal(url.port, rows[i].port);
		assert_true(view_is(url.path, rows[i].path));
		assert_true(view_is(url.query, rows[i].query));
	}
}

static void query_values_are_decoded(void **state)
{
	AUTO_FREE char *plus = url_query_get(VIEW("a=1&b=x+y%2Fz&c"), "b");
	AUTO_FREE char *empty = url_query_get(VIEW("a=1&b=x+y%2Fz&c"), "c");
	AUTO_FREE char *absent = url_query_get(VIEW("a=1"), "b");
	AUTO_FREE char *broken = url_query_get(VIEW("b=%zz"), "b");

	(void)state;
	assert_string_equal(plus, "x y/z");
	assert_string_equal(empty, "");
	assert_null(absent);
	assert_null(broken);
}

static void paths_do_not_leave_the_root(void **state)
{
	static const struct {
		const char *path;
		const char *normal; /* NULL: refused */
	} rows[] = {
		{"/", "/"},         {"/a/b", "/a/b"}, {"/a/./b", "/a/b"}, {"/a/../b", "/b"}, {"/a/..", "/"}, {"/a/b/.", "/a/b/"},
		{"/a//b", "/a//b"}, {"/..", NULL},    {"/a/../..", NULL}, {"a", NULL},       {"", NULL},     {"/a/b/../", "/a/"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_BUF out = buf_new(100);
		int result = url_path_normal(&out, view_of(rows[i].path), NULL);

		assert_int_equal(result, rows[i].normal ? 0 : -1);
		if (!result)
			assert_string_equal(out.at, rows[i].normal);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(urls_are_taken_apart),
		cmocka_unit_test(query_values_are_decoded),
		cmocka_unit_test(paths_do_not_leave_the_root),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
