/* Lines that a diff adds, mistakes in them, and what coverage tools say of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/scope.h"
#include "verify/mutate.h"

static void each_line_gets_one_mistake(void **state)
{
	static const struct {
		const char *line;
		const char *wrong; /* NULL: none */
	} rows[] = {
		{"  if (a === b) {", "  if (a !== b) {"},
		{"if a <= b:", "if a < b:"},
		{"if (a < b)", "if (a <= b)"},
		{"\treturn a + b;", "\treturn a - b;"},
		{"return a && b;", "return a || b;"},
		{"if not ready:", "if ready:"},
		{"if (!ready)", "if (ready)"},
		{"return true;", "return false;"},
		{"return untrue;", NULL},
		{"x = True", "x = False"},
		{"limit = 10", "limit = 11"},
		{"retry(3, x2)", "retry(4, x2)"},
		{"ratio = 1.5", NULL},
		{"say('a < b')", NULL},
		{"say(\"1\", `2`)", NULL},
		{"// a < b", NULL},
		{"# a < b", NULL},
		{"go() // 3 < 4", NULL},
		{"import a < b", NULL},
		{"const x = require('y') || 1", NULL},
		{"", NULL},
		{"}", NULL},
		{"'unclosed < ", NULL},
		{"escaped('\\'') < 3", "escaped('\\'') <= 3"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *what = "";
		AUTO_FREE char *wrong = mutant_of(view_of(rows[i].line), &what);

		if (!wrong != !rows[i].wrong || (wrong && strcmp(wrong, rows[i].wrong) != 0))
			fail_msg("`%s` became `%s`", rows[i].line, wrong ? wrong : "nothing");
	}
}

static void lines_that_are_added_have_their_numbers(void **state)
{
	static const char diff[] =
		"diff --git a/x.js b/x.js\n--- a/x.js\n+++ b/x.js\n@@ -1,3 +1,4 @@ f\n one\n-two\n+TWO\n+++ more\n three\n"
		"@@ -20 +21,0 @@\n-gone\n@@ -30,0 +31 @@\n+late\n"
		"diff --git a/y b/y\n--- a/y\n+++ /dev/null\n@@ -1 +0,0 @@\n-y\n"
		"diff --git a/z.py b/z.py\nnew file mode 100644\n--- /dev/null\n+++ b/z.py\n@@ -0,0 +1 @@\n+z\n\\ No newline\n"
		"diff --git a/a b.py b/a b.py\n--- a/a b.py\t\n+++ b/a b.py\t\n@@ -1,0 +2 @@\n+named\n"
		"diff --git \"a/q\\\"\" \"b/q\\\"\"\n--- /dev/null\n+++ \"b/q\\\"\"\n@@ -0,0 +1 @@\n+quoted\n";
	AUTO_JSON lines = diff_lines(view_of(diff));
	AUTO_BUF text = buf_new(4096);

	(void)state;
	for (size_t i = 0; i < json_array_size(lines); i++) {
		const json_t *line = json_array_get(lines, i);

		buf_add_format(&text, "%s:%d %s, ", json_text(line, "path", ""), (int)json_number(line, "line", 0),
			       json_text(line, "text", ""));
	}
	assert_string_equal(text.at, "x.js:2 TWO, x.js:3 ++ more, x.js:31 late, z.py:1 z, a b.py:2 named, ");
}

static void coverage_is_read_leniently(void **state)
{
	AUTO_JSON coverage = json_object();

	(void)state;
	coverage_read(VIEW("TN:\nSF:/workspace/src/a.js\nDA:1,3\nDA:2,0\nDA:x,1\nDA:3\nend_of_record\nDA:9,nine\n"), coverage);
	coverage_read(VIEW("<?xml version='1.0'?><coverage><class filename='lib/b.py'><lines><line number='4' hits='0'/>"
			   "<line number='5' hits='2'/></lines></class><broken"),
		      coverage);
	coverage_read(
		VIEW("{\"files\": [{\"file\": \"src/c.c\", \"lines\": [{\"line_number\": 7, \"count\": 0}, {\"line_number\": 8, \"count\": 2},"
		     " {\"line_number\": -1, \"count\": 2}, 3]}, 4]}"),
		coverage);
	coverage_read(VIEW("{\"files\": {\"d.py\": {\"executed_lines\": [1, 2], \"missing_lines\": [3, \"x\"]}, \"e.py\": 5}}"),
		      coverage);
	coverage_read(
		VIEW("mode: set\nx/pkg/sum.go:3.27,5.2 1 0\nx/pkg/sum.go:7.2,7.9 1 4\nx/pkg/sum.go:9.1,99999999.2 1 1\nbroken:\n"),
		coverage);
	coverage_read(VIEW("{\"files\": "), coverage);
	coverage_read(VIEW(""), coverage);
	coverage_read(VIEW("DA:1,1\n\001\002"), coverage);
	assert_int_equal(coverage_of(coverage, "src/a.js", 1), 1);
	assert_int_equal(coverage_of(coverage, "src/a.js", 2), 0);
	assert_int_equal(coverage_of(coverage, "src/a.js", 3), -1);
	assert_int_equal(coverage_of(coverage, "xsrc/a.js", 1), -1);
	assert_int_equal(coverage_of(coverage, "server/lib/b.py", 4), 0);
	assert_int_equal(coverage_of(coverage, "server/lib/b.py", 5), 1);
	assert_int_equal(coverage_of(coverage, "c.py", 5), -1);
	assert_int_equal(coverage_of(coverage, "src/c.c", 7), 0);
	assert_int_equal(coverage_of(coverage, "src/c.c", 8), 1);
	assert_int_equal(coverage_of(coverage, "d.py", 2), 1);
	assert_int_equal(coverage_of(coverage, "d.py", 3), 0);
	assert_int_equal(coverage_of(coverage, "pkg/sum.go", 4), 0);
	assert_int_equal(coverage_of(coverage, "pkg/sum.go", 7), 1);
	assert_int_equal(coverage_of(coverage, "pkg/sum.go", 9), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_line_gets_one_mistake),
		cmocka_unit_test(lines_that_are_added_have_their_numbers),
		cmocka_unit_test(coverage_is_read_leniently),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
