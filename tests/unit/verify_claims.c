/* What agents say they did, by sentences: what each claims, and what becomes of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/scope.h"
#include "verify/claims.h"

#define REPORT(tests, red)                                                                                                      \
	"{\"gates\":[{\"name\":\"tests\",\"status\":\"" tests "\",\"reason\":\"cart.total fails\",\"counts\":{\"passed\":12}}," \
	"{\"name\":\"red-green\",\"status\":\"pass\",\"counts\":{\"new\":" red "}}]}"

static const char green[] = REPORT("pass", "3");
static const char red[] = REPORT("fail", "0");
static const char unjudged[] = REPORT("skipped", "0");

static const struct {
	const char *said;
	const char *report;
	const char *claims; /* "kind status, kind status" */
} rows[] = {
	/* tests that pass */
	{"All tests pass.", green, "tests_pass confirmed"},
	{"All 15 tests pass now.", green, "tests_pass confirmed"},
	{"The 16 tests are green.", green, "tests_pass contradicted"},
	{"The 4 unit tests pass.", green, "tests_pass unknown"},
	{"All tests pass.", red, "tests_pass contradicted"},
	{"All tests pass.", unjudged, "tests_pass unknown"},
	{"All tests pass.", NULL, "tests_pass unknown"},
	{"The test suite is green!", red, "tests_pass contradicted"},
	{"All tests should pass.", red, ""},
	{"Do the tests pass?", red, ""},
	{"The tests did not pass before.", red, ""},
	{"If the tests pass, merge it.", red, ""},
	{"The password test page is green-field work.", green, ""},
	/* tests that were added */
	{"I added three tests for the cart.", green, "tests_added confirmed"},
	{"Added 3 new unit tests.", green, "tests_added confirmed"},
	{"Added 5 tests.", green, "tests_added contradicted"},
	{"Wrote a test for it.", green, "tests_added confirmed"},
	{"I added tests.", red, "tests_added unknown"},
	{"I didn't add tests.", red, ""},
	/* tests that were kept */
	{"No existing tests were changed.", green, "tests_kept unknown"},
	{"I fixed it without removing any tests.", green, "tests_kept unknown"},
	/* what was done */
	{"I ran the unit tests.", green, "tests_run confirmed"},
	{"Deployed it and looked at the page.", green, "deployed unknown"},
	{"It is not deployed.", green, ""},
	/* files */
	{"I changed src/cart.py and src/price.py.", green, "files confirmed"},
	{"Updated `cart.py`.", green, "files confirmed"},
	{"Edited src/main.py.", green, "files contradicted"},
	{"Only changed src/cart.py.", green, "files contradicted"},
	{"I changed only src/cart.py, src/price.py, test/test_cart.py and old.py.", green, "files confirmed"},
	{"Deleted old.py.", green, "files confirmed"},
	{"Removed src/cart.py.", green, "files contradicted"},
	{"Removed the cache from src/cart.py and e.g. the lock.", green, ""},
	{"I changed how config.json is read.", green, ""},
	{"I would have changed src/main.py.", green, ""},
	{"I changed 4 files.", green, "file_count confirmed"},
	{"Two files changed.", green, "file_count contradicted"},
	/* several, and none */
	{"- Changed src/cart.py\n- All tests pass\n", green, "files confirmed, tests_pass confirmed"},
	{"Fixed the rounding. Added a test; it passes.", green, "tests_added confirmed"},
	{"The total is now rounded once.", green, ""},
	{"", green, ""},
};

static void each_sentence_is_held_against_the_record(void **state)
{
	AUTO_JSON changes = json_parse(
		VIEW("[{\"path\":\"src/cart.py\",\"status\":\"M\"},{\"path\":\"src/price.py\",\"status\":\"M\"},"
		     "{\"path\":\"test/test_cart.py\",\"status\":\"M\"},{\"path\":\"old.py\",\"status\":\"D\"}]"),
		NULL);
	AUTO_JSON ran = json_pack("[s, s]", "Bash python3 -m unittest", "Read src/cart.py");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_JSON report = rows[i].report ? json_parse(view_of(rows[i].report), NULL) : NULL;
		AUTO_JSON claims = claims_check(view_of(rows[i].said),
						&(struct claim_facts){.report = report, .changes = changes, .ran = ran});
		AUTO_BUF out = buf_new(1 << 16);
		size_t index;
		json_t *claim;

		json_array_foreach(claims, index, claim) {
			buf_add_format(&out, "%s%s %s", index ? ", " : "", json_text(claim, "kind", ""),
				       json_text(claim, "status", ""));
			assert_true(json_text(claim, "why", "")[0]);
		}
		buf_add_text(&out, "");
		if (strcmp(out.at, rows[i].claims) != 0)
			fail_msg("%s: got `%s`, wanted `%s`", rows[i].said, out.at, rows[i].claims);
	}
}

static void without_a_test_file_in_the_change_no_test_was_added_or_changed(void **state)
{
	AUTO_JSON changes = json_parse(VIEW("[{\"path\":\"src/cart.py\",\"status\":\"M\"}]"), NULL);
	AUTO_JSON claims = claims_check(VIEW("I added tests. No existing tests were changed."),
					&(struct claim_facts){.changes = changes});

	(void)state;
	assert_string_equal(json_text(json_array_get(claims, 0), "status", ""), "contradicted");
	assert_string_equal(json_text(json_array_get(claims, 1), "status", ""), "confirmed");
}

static void what_is_said_too_often_is_bounded(void **state)
{
	AUTO_BUF said = buf_new(1 << 20);
	AUTO_JSON claims = NULL;

	(void)state;
	for (int i = 0; i < 1000; i++)
		buf_add_text(&said, "All tests pass.\n");
	claims = claims_check(buf_view(&said), &(struct claim_facts){0});
	assert_int_equal(json_array_size(claims), CLAIMS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_sentence_is_held_against_the_record),
		cmocka_unit_test(without_a_test_file_in_the_change_no_test_was_added_or_changed),
		cmocka_unit_test(what_is_said_too_often_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
