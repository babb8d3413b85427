/* A list of findings: each once, the worst of them, and what blocks is never the one that has no room. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/scope.h"
#include "verify/finding.h"

static json_t *add(json_t *findings, const char *place, enum severity severity, const char *title, bool *fresh)
{
	const struct finding row = {.gate = "replay", .kind = "added", .place = place, .severity = severity, .title = title};

	return finding_add(findings, &row, fresh);
}

static void the_worst_of_one_is_told(void **state)
{
	AUTO_JSON findings = json_array();
	const json_t *made;
	bool fresh;

	(void)state;
	(void)add(findings, "GET /a", SEVERITY_INFO, "a note is new", &fresh);
	assert_true(fresh);
	made = add(findings, "GET /a", SEVERITY_BLOCK, "a note is new, and looks secret", &fresh);
	assert_true(fresh);
	assert_true(finding_is(made, SEVERITY_BLOCK));
	assert_string_equal(json_text(made, "title", ""), "a note is new, and looks secret");
	(void)add(findings, "GET /a", SEVERITY_WARN, "milder", &fresh);
	assert_false(fresh);
	assert_int_equal(json_array_size(findings), 1);
	assert_string_equal(json_text(json_array_get(findings, 0), "title", ""), "a note is new, and looks secret");
	assert_int_equal(json_number(json_array_get(findings, 0), "count", 0), 3);
}

static void what_blocks_has_room_in_a_full_list(void **state)
{
	AUTO_JSON findings = json_array();
	char place[32];

	(void)state;
	for (size_t i = 0; i < FINDINGS_MAX; i++) {
		(void)snprintf(place, sizeof(place), "GET /%zu", i);
		assert_non_null(add(findings, place, i % 2 ? SEVERITY_WARN : SEVERITY_INFO, "it differs", NULL));
	}
	assert_null(add(findings, "GET /more", SEVERITY_INFO, "it differs", NULL));
	for (size_t i = 0; i < FINDINGS_MAX; i++) {
		(void)snprintf(place, sizeof(place), "POST /%zu", i);
		assert_non_null(add(findings, place, SEVERITY_BLOCK, "it fails", NULL));
		assert_int_equal(json_array_size(findings), FINDINGS_MAX);
	}
	assert_null(add(findings, "POST /more", SEVERITY_BLOCK, "it fails", NULL));
	for (size_t i = 0; i < FINDINGS_MAX; i++)
		assert_true(finding_is(json_array_get(findings, i), SEVERITY_BLOCK));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_worst_of_one_is_told),
		cmocka_unit_test(what_blocks_has_room_in_a_full_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
