/* Reports of test runners, as they write them and as they should not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/scope.h"
#include "verify/report.h"
#include "verify/xml.h"

/* Each test as "suite/name=status", joined by "; ". */
static char *list(enum report_format format, struct view bytes, bool *cut, struct err *err)
{
	AUTO_REPORT report = {0};
	AUTO_BUF out = buf_new((size_t)1 << 20);

	if (report_parse(format, bytes, &report, err))
		return NULL;
	for (size_t i = 0; i < report.count; i++)
		buf_add_format(&out, "%s%s/%s=%s", i ? "; " : "", report.cases[i].suite, report.cases[i].name,
			       test_status_name(report.cases[i].status));
	if (cut)
		*cut = report.cut;
	return buf_take(&out);
}

static void every_format_gives_the_same_list(void **state)
{
	static const struct {
		enum report_format format;
		const char *text;
		const char *expected; /* NULL: refused */
		bool cut;
	} rows[] = {
		{REPORT_JUNIT, "<testsuites><testsuite name=\"a\"><testcase name=\"x\" classname=\"c\"/></testsuite></testsuites>",
		 "c/x=passed"},
		{REPORT_JUNIT, "<testsuite name='a'><testsuite name='b'><testcase name='x'/></testsuite></testsuite>",
		 "a > b/x=passed"},
		{REPORT_JUNIT,
		 "<?xml version='1.0'?><!-- c --><testsuite><testcase name='x'><failure message='m'/></testcase></testsuite>",
		 "/x=failed"},
		{REPORT_JUNIT, "<testsuite><testcase name='x'><error>boom</error></testcase></testsuite>", "/x=error"},
		{REPORT_JUNIT, "<testsuite><testcase name='x'><skipped/></testcase></testsuite>", "/x=skipped"},
		{REPORT_JUNIT, "<testsuite><testcase name='x'><rerunFailure/></testcase></testsuite>", "/x=passed"},
		{REPORT_JUNIT, "<testsuite><testcase name='a &lt;&amp;&#65;&#x42;&bad; b'/></testsuite>", "/a <&AB&bad; b=passed"},
		{REPORT_JUNIT,
		 "<testsuite><testcase name='x'><system-out><![CDATA[</testcase><failure>]]></system-out></testcase></testsuite>",
		 "/x=passed"},
		{REPORT_JUNIT, "<!DOCTYPE x [<!ENTITY a 'b'>]><testsuite><testcase name='&a;'/></testsuite>", "/&a;=passed"},
		{REPORT_JUNIT, "<testsuite><testcase name='x'/><testcase name='y'><failure>", "/x=passed", true},
		{REPORT_JUNIT, "<testsuite><testcase name='x'/><testcase name=y/>", "/x=passed", true},
		{REPORT_JUNIT, "<testsuite></testsuite>", ""},
		{REPORT_JUNIT, "\xef\xbb\xbf<testsuite><testcase name='x'/></testsuite>", "/x=passed"},
		{REPORT_JUNIT, "<html><body>404</body></html>", NULL},
		{REPORT_JUNIT, "", NULL},
		{REPORT_JSON,
		 "{\"Action\":\"run\",\"Package\":\"p\",\"Test\":\"TestA\"}\n{\"Action\":\"pass\",\"Package\":\"p\",\"Test\":\"TestA\",\"Elapsed\":0.1}\n"
		 "{\"Action\":\"fail\",\"Package\":\"p\",\"Test\":\"TestB/x\"}\n{\"Action\":\"skip\",\"Package\":\"p\",\"Test\":\"TestC\"}\n"
		 "{\"Action\":\"fail\",\"Package\":\"p\"}\n",
		 "p/TestA=passed; p/TestB/x=failed; p/TestC=skipped"},
		{REPORT_JSON,
		 "{ \"type\": \"suite\", \"event\": \"started\", \"test_count\": 2 }\n{ \"type\": \"test\", \"event\": \"started\", \"name\": \"a::b\" }\n"
		 "{ \"type\": \"test\", \"name\": \"a::b\", \"event\": \"ok\" }\nprinted\n{ \"type\": \"test\", \"name\": \"a::c\", \"event\": \"failed\" }\n"
		 "{ \"type\": \"test\", \"name\": \"d\", \"event\": \"ignored\" }\n",
		 "/a::b=passed; /a::c=failed; /d=skipped"},
		{REPORT_JSON,
		 "{\"type\":\"test:pass\",\"data\":{\"name\":\"a\",\"file\":\"/x.js\",\"details\":{\"duration_ms\":1.5}}}\n"
		 "{\"type\":\"test:fail\",\"data\":{\"name\":\"b\",\"details\":{\"error\":{\"message\":\"no\"}}}}\n"
		 "{\"type\":\"test:pass\",\"data\":{\"name\":\"s\",\"details\":{\"type\":\"suite\"}}}\n"
		 "{\"type\":\"test:pass\",\"data\":{\"name\":\"c\",\"skip\":true}}\n",
		 "/x.js/a=passed; /b=failed; /c=skipped"},
		{REPORT_CTRF, "{\"Action\":\"pass\",\"Package\":\"p\",\"Test\":\"T\"}\n{\"Action\":\"fa", "p/T=passed", true},
		{REPORT_JSON, "{\"type\": 3}\n[]\n", NULL},
		{REPORT_JSON, "\001\002 binary", NULL},
		{REPORT_TAP, "1..2\nok 1 - x\nnot ok 2 y\n", "/x=passed; /y=failed"},
		{REPORT_TAP, "ok\nnot ok\n1..2\n", "/=passed; /=failed"},
		{REPORT_TAP, "TAP version 13\nok 1 - x # SKIP no database\nnot ok 2 - y # TODO later\n", "/x=skipped; /y=skipped"},
		{REPORT_TAP, "ok 1 - a \\# skip b\n", "/a \\# skip b=passed"},
		{REPORT_TAP,
		 "TAP version 14\n# Subtest: p\n    # Subtest: c\n    ok 1 - c\n    not ok 2 - d\n    1..2\nnot ok 1 - p\n1..1\n",
		 "p/c=passed; p/d=failed"},
		{REPORT_TAP, "# Subtest: p\n    ok 1 - c\n    1..1\nnot ok 1 - p # after\n", "p/c=passed; /p # after=failed"},
		{REPORT_TAP, "not ok 1 - x\n  ---\n  message: ok 9 - not a test\n  ...\nok 2 - y\r\n", "/x=failed; /y=passed"},
		{REPORT_TAP, "ok 1 - x\nBail out! no database\n", "/x=passed; /Bail out! no database=error"},
		{REPORT_TAP, "not ok 1 - x\n  ---\n  message: m\n", "/x=failed", true},
		{REPORT_TAP, "hello\n", NULL},
		{REPORT_CTRF, "{\"results\": {\"tests\": [{\"name\": \"x\", \"status\": \"passed\", \"suite\": \"s\"}]}}",
		 "s/x=passed"},
		{REPORT_CTRF, "{\"results\": {\"tests\": [{\"name\": \"x\", \"status\": \"failed\", \"suite\": [\"a\", \"b\"]}]}}",
		 "a > b/x=failed"},
		{REPORT_CTRF,
		 "{\"results\": {\"tests\": [{\"name\": \"x\", \"status\": \"pending\"}, {\"status\": \"passed\"}, 3]}}",
		 "/x=skipped"},
		{REPORT_CTRF, "{\"results\": {}}", NULL},
		{REPORT_CTRF, "[", NULL},
		{REPORT_NONE, "x", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = {0};
		bool cut = false;
		AUTO_FREE char *got = list(rows[i].format, view_of(rows[i].text), &cut, &err);

		if (!rows[i].expected) {
			assert_null(got);
			assert_int_equal(err.kind, ERR_INVALID);
			continue;
		}
		assert_non_null(got);
		assert_string_equal(got, rows[i].expected);
		assert_int_equal(cut, rows[i].cut);
	}
}

static void messages_and_durations_are_kept(void **state)
{
	AUTO_REPORT junit = {0};
	AUTO_REPORT tap = {0};
	struct err err = {0};

	(void)state;
	assert_int_equal(report_parse(REPORT_JUNIT,
				      VIEW("<testsuite><testcase name='x' time='0.25'><failure message='expected 1 &lt; 2' "
					   "type='T'>at line 3</failure></testcase></testsuite>"),
				      &junit, &err),
			 0);
	assert_string_equal(junit.cases[0].message, "expected 1 < 2\nat line 3");
	assert_int_equal(junit.cases[0].duration_ms, 250);
	assert_int_equal(
		report_parse(REPORT_TAP, VIEW("not ok 1 - x\n  ---\n  duration_ms: 12.7\n  error: 'no'\n  ...\n"), &tap, &err), 0);
	assert_int_equal(tap.cases[0].duration_ms, 12);
	assert_non_null(strstr(tap.cases[0].message, "error: 'no'"));
}

static void a_test_that_is_listed_twice_counts_as_its_last_line(void **state)
{
	AUTO_REPORT report = {0};
	struct err err = {0};

	(void)state;
	assert_int_equal(report_parse(REPORT_TAP, VIEW("not ok 1 - x\nok 2 - x\n"), &report, &err), 0);
	assert_int_equal(test_report_find(&report, "", "x")->status, TEST_PASSED);
	assert_null(test_report_find(&report, "", "y"));
}

static void bytes_that_are_no_text_become_text(void **state)
{
	AUTO_REPORT report = {0};
	struct err err = {0};

	(void)state;
	assert_int_equal(report_parse(REPORT_JUNIT, VIEW("<testsuite><testcase name='\xff\x01x'/></testsuite>"), &report, &err), 0);
	assert_string_equal(report.cases[0].name, "\xef\xbf\xbd x");
}

static void a_report_of_too_many_tests_is_cut(void **state)
{
	AUTO_BUF text = buf_new((size_t)8 << 20);
	AUTO_REPORT report = {0};
	struct err err = {0};

	(void)state;
	for (int i = 0; i < REPORT_CASES_MAX + 5; i++)
		buf_add_format(&text, "ok %d - t\n", i);
	assert_int_equal(report_parse(REPORT_TAP, buf_view(&text), &report, &err), 0);
	assert_int_equal(report.count, REPORT_CASES_MAX);
	assert_true(report.cut);
}

static void deep_nesting_ends_the_document(void **state)
{
	AUTO_BUF text = buf_new((size_t)1 << 20);
	AUTO_REPORT report = {0};
	struct err err = {0};

	(void)state;
	buf_add_text(&text, "<testsuite><testcase name='x'/>");
	for (int i = 0; i < 1000; i++)
		buf_add_text(&text, "<a>");
	assert_int_equal(report_parse(REPORT_JUNIT, buf_view(&text), &report, &err), 0);
	assert_int_equal(report.count, 1);
	assert_true(report.cut);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_format_gives_the_same_list),
		cmocka_unit_test(messages_and_durations_are_kept),
		cmocka_unit_test(a_test_that_is_listed_twice_counts_as_its_last_line),
		cmocka_unit_test(bytes_that_are_no_text_become_text),
		cmocka_unit_test(a_report_of_too_many_tests_is_cut),
		cmocka_unit_test(deep_nesting_ends_the_document),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
