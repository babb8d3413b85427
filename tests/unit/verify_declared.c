/* What a declaration speaks of, and what it does to findings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/scope.h"
#include "quoted.h"
#include "verify/declared.h"
#include "verify/finding.h"

static json_t *finding(const char *gate, const char *kind, const char *place, const char *path, enum severity severity)
{
	const struct finding row = {
		.gate = gate, .kind = kind, .place = place, .path = path, .severity = severity, .title = "it differs"};
	AUTO_JSON list = json_array();

	return json_incref(finding_add(list, &row, NULL));
}

static void a_declaration_matches_by_place_and_path(void **state)
{
	static const struct {
		const char *match;
		const char *gate, *place, *path;
		bool fits;
	} rows[] = {
		{"GET /api/products", "replay", "GET /api/products", "body.items[].price", true},
		{"GET /api/products body.items[].price", "replay", "GET /api/products", "body.items[].price", true},
		{"GET /api/products body.items*", "replay", "GET /api/products", "body.items[].price", true},
		{"GET /api/products body.*.price", "replay", "GET /api/products", "body.items[].price", true},
		{"GET /api/products body.*.prices", "replay", "GET /api/products", "body.items[].price", false},
		{"GET /api/products body.items", "replay", "GET /api/products", "body.items[].price", false},
		{"GET /api/product", "replay", "GET /api/products", "", false},
		{"GET /api/*", "replay", "GET /api/products", "status", true},
		{"* body.total", "replay", "GET /api/orders/:id", "body.total", true},
		{"* body.total", "replay", "GET /api/orders/:id", "body.totals", false},
		{"front > catalog*", "replay", "front > catalog", "GET /products", true},
		{"GET /api/products value", "replay", "GET /api/products", "body.items[].price", true},
		{"GET /api/products status", "replay", "GET /api/products", "body.items[].price", false},
		{"GET /api/products", "faults", "GET /api/products", "status", true},
		{"test/cart.test.js", "tests", "test/cart.test.js", "", false},
		{"test/*", "integrity", "test/cart.test.js", "", false},
		{"GET /api/products", "deploy", "GET /api/products", "", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_JSON item = finding(rows[i].gate, "value", rows[i].place, rows[i].path, SEVERITY_BLOCK);

		if (declaration_fits(rows[i].match, item) != rows[i].fits)
			fail_msg("%s, %s %s %s: expected %d", rows[i].match, rows[i].gate, rows[i].place, rows[i].path,
				 rows[i].fits);
	}
}

static void a_rule_says_what_a_difference_is_and_the_first_that_fits_counts(void **state)
{
	static char first[] = "GET /a body.at", second[] = "GET /a", third[] = "* latency", why[] = "it is a date";
	const struct severity_rule rules[] = {{first, RULE_INFORM, why}, {second, RULE_BLOCK, NULL}, {third, RULE_WARN, NULL}};
	static const struct {
		const char *gate, *place, *path;
		enum severity is, becomes;
		const char *match;
	} rows[] = {
		{"replay", "GET /a", "body.at", SEVERITY_BLOCK, SEVERITY_INFO, "GET /a body.at"},
		{"replay", "GET /a", "body.count", SEVERITY_INFO, SEVERITY_BLOCK, "GET /a"},
		{"replay", "GET /b", "latency", SEVERITY_INFO, SEVERITY_WARN, "* latency"},
		{"replay", "GET /b", "body.at", SEVERITY_BLOCK, SEVERITY_BLOCK, NULL},
		{"integrity", "GET /a", "body.at", SEVERITY_BLOCK, SEVERITY_BLOCK, NULL}, /* which compares nothing */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_JSON item = finding(rows[i].gate, "value", rows[i].place, rows[i].path, rows[i].is);
		AUTO_JSON list = json_pack("[O]", item);
		const json_t *ruled;

		findings_rule(list, rules, ARRAY_LEN(rules));
		ruled = json_member(item, "ruled");
		assert_true(finding_is(item, rows[i].becomes));
		assert_string_equal(json_text(ruled, "match", ""), rows[i].match ? rows[i].match : "");
		assert_int_equal(json_text(ruled, "because", NULL) != NULL, i == 0);
	}
}

static void an_id_matches_in_every_gate_but_the_first(void **state)
{
	AUTO_JSON removed = finding("integrity", "removed", "test/cart.test.js", "", SEVERITY_BLOCK);
	AUTO_JSON deploy = finding("deploy", "up", "orders", "", SEVERITY_BLOCK);

	(void)state;
	assert_true(declaration_fits(json_text(removed, "id", ""), removed));
	assert_false(declaration_fits("f-000000000000", removed));
	assert_false(declaration_fits(json_text(deploy, "id", ""), deploy));
}

static void what_says_too_much_or_is_no_line_is_refused(void **state)
{
	static const struct {
		const char *match, *says;
	} rows[] = {
		{"", "too much"},
		{"*", "too much"},
		{"* *", "too much"},
		{"POST *", "too much"},
		{"DELETE /*", "too much"},
		{"G*T /*", "too much"},
		{"*ET *", "too much"},
		{"GET /api\nPOST /api", "one line"},
		{"GET /api\x1b[1m", "one line"},
	};
	struct err err = {0};
	char long_one[DECLARATION_BYTES_MAX + 2];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(declaration_check(rows[i].match, &err), -1);
		assert_non_null(strstr(err.text, rows[i].says));
	}
	memset(long_one, 'a', sizeof(long_one) - 1);
	long_one[sizeof(long_one) - 1] = '\0';
	assert_int_equal(declaration_check(long_one, &err), -1);
	assert_int_equal(declaration_check("GET /api/products", &err), 0);
	assert_int_equal(declaration_check("f-0123456789ab", &err), 0);
}

static void what_is_declared_informs_and_says_by_whom(void **state)
{
	AUTO_JSON declared = quoted_json(
		"[{'match': 'GET /a body.x', 'by': 'ada', 'because': 'asked for'},"
		" {'match': 'GET /a', 'by': 'bob', 'because': ''}, {'match': 'GET /never', 'by': 'ada', 'because': ''}]");
	AUTO_JSON findings = json_array();
	AUTO_JSON counted = NULL;
	AUTO_FREE char *summary = NULL;

	(void)state;
	(void)json_array_append_new(findings, finding("replay", "value", "GET /a", "body.x", SEVERITY_BLOCK));
	(void)json_array_append_new(findings, finding("replay", "value", "GET /a", "body.y", SEVERITY_BLOCK));
	(void)json_array_append_new(findings, finding("replay", "order", "GET /a", "body.z", SEVERITY_WARN));
	(void)json_array_append_new(findings, finding("replay", "value", "GET /b", "body.x", SEVERITY_BLOCK));
	(void)json_array_append_new(findings, finding("replay", "added", "GET /a", "body.w", SEVERITY_INFO));
	assert_null(declared_summary(findings));
	assert_int_equal(findings_declare(findings, declared), 2);
	assert_true(findings_block(findings)); /* GET /b is nobody's */
	assert_string_equal(json_text(json_member(json_array_get(findings, 0), "declared"), "by", ""), "ada");
	assert_string_equal(json_text(json_member(json_array_get(findings, 1), "declared"), "by", ""), "bob");
	assert_true(finding_is(json_array_get(findings, 2), SEVERITY_INFO));
	assert_null(json_object_get(json_array_get(findings, 3), "declared"));
	assert_null(json_object_get(json_array_get(findings, 4), "declared"));
	counted = declared_count(declared, findings);
	assert_int_equal(json_number(json_array_get(counted, 0), "findings", -1), 1);
	assert_int_equal(json_number(json_array_get(counted, 1), "findings", -1), 2);
	assert_int_equal(json_number(json_array_get(counted, 2), "findings", -1), 0);
	summary = declared_summary(findings);
	assert_string_equal(summary, "2 declared by ada, bob");
	assert_int_equal(findings_declare(findings, declared), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_declaration_matches_by_place_and_path),
		cmocka_unit_test(a_rule_says_what_a_difference_is_and_the_first_that_fits_counts),
		cmocka_unit_test(an_id_matches_in_every_gate_but_the_first),
		cmocka_unit_test(what_says_too_much_or_is_no_line_is_refused),
		cmocka_unit_test(what_is_declared_informs_and_says_by_whom),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
