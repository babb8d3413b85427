/* A report as SARIF and as JUnit XML, which our own readers read again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/scope.h"
#include "verify/export.h"
#include "verify/linters.h"
#include "verify/report.h"

static const char text[] =
	"{\"verdict\":\"failed\",\"reason\":\"r\",\"ms\":61500,\"base\":\"a\",\"head\":\"b\",\"tool\":{\"version\":\"1\"},\"gates\":["
	"{\"name\":\"deploy\",\"title\":\"deploys\",\"status\":\"pass\",\"ms\":1500,\"reason\":\"\"},"
	"{\"name\":\"scan\",\"title\":\"scanned\",\"status\":\"fail\",\"ms\":20,\"reason\":\"2 findings block\"},"
	"{\"name\":\"replay\",\"title\":\"replayed\",\"status\":\"skipped\",\"ms\":0,\"reason\":\"not reached\"}],\"findings\":["
	"{\"id\":\"f-1\",\"gate\":\"scan\",\"kind\":\"secret\",\"severity\":\"block\",\"title\":\"a <b> & \\\"c\\\"\\u0001\",\"detail\":\"why\",\"file\":"
	"\"src/a b.js\",\"line\":3},"
	"{\"id\":\"f-2\",\"gate\":\"scan\",\"kind\":\"secret\",\"severity\":\"block\",\"title\":\"meant\",\"detail\":\"\",\"file\":null,\"line\":0,\"declared\":"
	"{\"because\":\"it is none\"}},"
	"{\"id\":\"f-3\",\"gate\":\"scan\",\"kind\":\"package\",\"severity\":\"info\",\"title\":\"new\",\"detail\":\"\",\"file\":null,\"line\":0}]}";

static void sarif_has_a_rule_for_a_kind_and_a_result_for_a_finding(void **state)
{
	AUTO_JSON report = json_parse(VIEW(text), NULL);
	AUTO_JSON sarif = export_sarif(report);
	AUTO_JSON remarks = json_array();
	AUTO_BUF out = buf_new(BUF_MAX_DEFAULT);
	const json_t *run = json_array_get(json_member(sarif, "runs"), 0);
	const json_t *results = json_member(run, "results");
	const json_t *rules = json_member(json_member(json_member(run, "tool"), "driver"), "rules");

	(void)state;
	assert_non_null(sarif);
	assert_int_equal(json_array_size(rules), 2);
	assert_string_equal(json_text(json_array_get(rules, 0), "id", ""), "scan/secret");
	assert_int_equal(json_array_size(results), 3);
	assert_string_equal(json_text(json_array_get(results, 0), "level", ""), "error");
	assert_string_equal(json_text(json_array_get(results, 2), "level", ""), "note");
	assert_int_equal(json_number(json_array_get(results, 1), "ruleIndex", -1), 0);
	assert_int_equal(json_array_size(json_member(json_array_get(results, 1), "suppressions")), 1);
	json_format(&out, sarif);
	assert_true(lint_read(buf_view(&out), "/", remarks));
	assert_int_equal(json_array_size(remarks), 2); /* not what is suppressed */
	assert_string_equal(json_text(json_array_get(remarks, 0), "path", ""), "src/a%20b.js");
	assert_int_equal(json_number(json_array_get(remarks, 0), "line", 0), 3);
}

static void junit_fails_what_blocks_and_skips_what_was_not_reached(void **state)
{
	AUTO_JSON report = json_parse(VIEW(text), NULL);
	AUTO_BUF out = buf_new(BUF_MAX_DEFAULT);
	AUTO_REPORT read = {0};
	struct err err = {0};

	(void)state;
	export_junit(report, &out);
	assert_int_equal(report_parse_junit(buf_view(&out), &read, &err), 0);
	assert_false(read.cut);
	assert_int_equal(read.count, 5);
	assert_int_equal(test_report_find(&read, "deploy", "deploys")->status, TEST_PASSED);
	assert_int_equal(test_report_find(&read, "deploy", "deploys")->duration_ms, 1500);
	assert_int_equal(test_report_find(&read, "scan", "scanned")->status, TEST_FAILED);
	assert_int_equal(test_report_find(&read, "scan", "f-1 a <b> & \"c\"")->status, TEST_FAILED);
	assert_int_equal(test_report_find(&read, "scan", "f-2 meant")->status, TEST_PASSED);
	assert_int_equal(test_report_find(&read, "replay", "replayed")->status, TEST_SKIPPED);
	assert_non_null(strstr(out.at, "tests=\"3\" failures=\"2\" errors=\"0\" skipped=\"0\""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sarif_has_a_rule_for_a_kind_and_a_result_for_a_finding),
		cmocka_unit_test(junit_fails_what_blocks_and_skips_what_was_not_reached),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
