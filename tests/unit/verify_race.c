/* Measures of what is written, what can be made scarce, and the rules for copies sent at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/scope.h"
#include "quoted.h"
#include "verify/finding.h"
#include "verify/race.h"

/* Texts have ' for ". */
static const struct {
	const char *name;
	const char *turns;    /* steps */
	const char *together; /* the same */
	const char *expected; /* "kind path", joined by ", "; "unstable" */
} rows[] = {
	{"the same", "[{'name': 'cold', 'ok': 4, 'rows': {'db.a': 4}}]", "[{'name': 'cold', 'ok': 4, 'rows': {'db.a': 4}}]", ""},
	{"more succeed", "[{'name': 'cold', 'ok': 1}]", "[{'name': 'cold', 'ok': 4}]", "race-more "},
	{"fewer succeed", "[{'name': 'cold', 'ok': 4}]", "[{'name': 'cold', 'ok': 1, 'refused': 3}]", ""},
	{"one error may be anything", "[{'name': 'cold', 'ok': 4}]", "[{'name': 'cold', 'ok': 3, 'failed': 1}]", ""},
	{"errors", "[{'name': 'cold', 'ok': 4}]", "[{'name': 'cold', 'ok': 1, 'failed': 3}]", "race-error "},
	{"errors either way", "[{'name': 'cold', 'failed': 4}]", "[{'name': 'cold', 'failed': 4}]", ""},
	{"rows twice", "[{'name': 'cold', 'ok': 4, 'rows': {'db.a': 1}}]", "[{'name': 'cold', 'ok': 4, 'rows': {'db.a': 2}}]",
	 "race-rows db.a"},
	{"rows that were cut", "[{'name': 'cold', 'ok': 4, 'cut': true, 'rows': {'db.a': 1}}]",
	 "[{'name': 'cold', 'ok': 4, 'rows': {'db.a': 2}}]", "unstable"},
	{"an answer too late", "[{'name': 'cold', 'ok': 1}]", "[{'name': 'cold', 'ok': 1, 'lost': 1}]", "unstable"},
	{"more succeed though an answer is late", "[{'name': 'cold', 'ok': 1}]", "[{'name': 'cold', 'ok': 3, 'lost': 1}]",
	 "race-more unstable"},
	{"answers that come too late at once alone", "[{'name': 'cold', 'ok': 4}]", "[{'name': 'cold', 'ok': 1, 'lost': 3}]",
	 "race-lost unstable"},
	{"answers that come too late either way", "[{'name': 'cold', 'ok': 1, 'lost': 3}]", "[{'name': 'cold', 'lost': 4}]",
	 "unstable"},
	{"errors beside an answer too late", "[{'name': 'cold', 'ok': 4}]", "[{'name': 'cold', 'ok': 1, 'failed': 2, 'lost': 1}]",
	 "race-error unstable"},
	{"what comes before an answer too late", "[{'name': 'cold', 'ok': 1}, {'name': 'warm', 'ok': 4}]",
	 "[{'name': 'cold', 'ok': 2}, {'name': 'warm', 'ok': 3, 'lost': 1}]", "race-more unstable"},
	{"what comes behind an answer too late", "[{'name': 'cold', 'ok': 4}, {'name': 'scarce', 'ok': 2}]",
	 "[{'name': 'cold', 'ok': 3, 'lost': 1}, {'name': 'scarce', 'ok': 4}]", "unstable"},
	{"what comes behind one that is late in turn",
	 "[{'name': 'cold', 'ok': 4}, {'name': 'turns', 'lost': 1}, {'name': 'scarce', 'ok': 2}]",
	 "[{'name': 'cold', 'ok': 4}, {'name': 'scarce', 'ok': 4}]", "unstable"},
	{"below nothing", "[{'name': 'scarce', 'scarce': 'db.a.n', 'ok': 2, 'least': {'db.a.n': 0.0}}]",
	 "[{'name': 'scarce', 'scarce': 'db.a.n', 'ok': 2, 'least': {'db.a.n': -4.0}}]", "race-negative db.a.n"},
	{"more of the scarce", "[{'name': 'scarce', 'scarce': 'db.a.n', 'ok': 2}]",
	 "[{'name': 'scarce', 'scarce': 'db.a.n', 'ok': 4}]", "race-more db.a.n"},
	{"another scarce thing", "[{'name': 'scarce', 'scarce': 'db.a.n', 'ok': 2}]",
	 "[{'name': 'scarce', 'scarce': 'db.a.m', 'ok': 4}]", ""},
	{"below nothing either way", "[{'name': 'cold', 'least': {'db.a.n': -1.0}}]",
	 "[{'name': 'cold', 'least': {'db.a.n': -4.0}}]", ""},
	{"given twice", "[{'name': 'cold', 'distinct': {'db.a.n': true}}]", "[{'name': 'cold', 'repeated': {'db.a.n': true}}]",
	 "race-repeated db.a.n"},
	{"an invariant", "[{'name': 'warm', 'broken': []}]", "[{'name': 'warm', 'broken': ['books']}]", "invariant books"},
	{"an invariant that never holds", "[{'name': 'warm', 'broken': ['books']}]", "[{'name': 'warm', 'broken': ['books']}]", ""},
};

/* Steps of two halves before the one at once. */
static const struct {
	const char *name;
	const char *halves; /* sums of one and of the other */
	const char *other;
	int ok;
	const char *sums; /* at once */
	const char *expected;
} sums[] = {
	{"as much for each", "{'db.a.n': 2.0}", "{'db.a.n': 2.0}", 4, "{'db.a.n': 4.0}", ""},
	{"lost", "{'db.a.n': 2.0}", "{'db.a.n': 2.0}", 4, "{'db.a.n': 1.0}", "race-sum db.a.n"},
	{"lost altogether", "{'db.a.n': 2.0}", "{'db.a.n': 2.0}", 4, "{}", "race-sum db.a.n"},
	{"fewer succeed, as much for each", "{'db.a.n': -4.0}", "{'db.a.n': -4.0}", 1, "{'db.a.n': -2.0}", ""},
	{"fewer succeed, but all have an effect", "{'db.a.n': -4.0}", "{'db.a.n': -4.0}", 1, "{'db.a.n': -8.0}", "race-sum db.a.n"},
	{"never the same", "{'db.a.n': 2.0}", "{'db.a.n': 5.0}", 4, "{'db.a.n': 1.0}", ""},
	{"parts of a coin", "{'db.a.n': 0.2}", "{'db.a.n': 0.2}", 4, "{'db.a.n': 0.4000000001}", ""},
	{"what only copies at once do", "{}", "{}", 4, "{'db.a.n': 1.0}", ""},
};

static void findings_format(struct buf *out, const json_t *findings, const json_t *unstable)
{
	for (size_t i = 0; i < json_array_size(findings); i++) {
		const json_t *finding = json_array_get(findings, i);

		buf_add_format(out, "%s%s %s", out->length ? ", " : "", json_text(finding, "kind", ""),
			       json_text(finding, "path", ""));
	}
	if (json_array_size(unstable))
		buf_add_text(out, "unstable");
	assert_true(json_array_size(unstable) <= 1);
}

static json_t *races_of(json_t *steps)
{
	assert_non_null(steps);
	return json_pack("[{s:s, s:s, s:i, s:o}]", "place", "POST /a", "session", "s.har", "entry", 0, "steps", steps);
}

static void judged_as(const char *name, const json_t *turns, const json_t *together, const char *expected)
{
	AUTO_JSON unstable = json_array();
	AUTO_JSON findings = races_judge(turns, together, unstable);
	AUTO_BUF text = buf_new(4096);

	findings_format(&text, findings, unstable);
	if (strcmp(text.at ? text.at : "", expected) != 0)
		fail_msg("%s: `%s` instead of `%s`", name, text.at ? text.at : "", expected);
}

static void copies_at_once_must_end_as_in_turn(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_JSON turns = races_of(quoted_json(rows[i].turns));
		AUTO_JSON together = races_of(quoted_json(rows[i].together));

		judged_as(rows[i].name, turns, together, rows[i].expected);
	}
}

static void each_that_succeeds_changes_as_much(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sums); i++) {
		AUTO_JSON turns = races_of(quoted_json("[{'name': 'warm', 'ok': 4}]"));
		AUTO_JSON together = races_of(json_pack("[{s:s, s:i, s:o}, {s:s, s:i, s:o}, {s:s, s:i, s:o}]", "name", "turns",
							"ok", RACE_COPIES / 2, "sums", quoted_json(sums[i].halves), "name",
							"turns again", "ok", RACE_COPIES / 2, "sums", quoted_json(sums[i].other),
							"name", "warm", "ok", sums[i].ok, "sums", quoted_json(sums[i].sums)));

		judged_as(sums[i].name, turns, together, sums[i].expected);
	}
}

static void an_invariant_that_breaks_in_turn_is_told_too(void **state)
{
	AUTO_JSON base = races_of(quoted_json("[{'name': 'cold', 'broken': ['old']}]"));
	AUTO_JSON head = races_of(quoted_json("[{'name': 'cold', 'broken': ['old', 'new']}]"));
	AUTO_JSON findings = json_array();
	AUTO_BUF text = buf_new(4096);

	(void)state;
	races_judge_turns(base, head, findings);
	findings_format(&text, findings, NULL);
	assert_string_equal(text.at, "invariant new");
}

static const char written[] =
	"{'tables': {'db': {'items': [{'key': {'id': 3}, 'row': {'id': 3, 'stock': 44, 'shop_id': 9, 'at': 1700000000}}],"
	" 'sales': [{'key': {'id': 1}, 'row': {'id': 1, 'n': 2, 'at': '2026-11-22T09:00:00Z', 'who': 'ada'}},"
	" {'key': {'id': 2}, 'row': {'id': 2, 'n': 2, 'at': '2026-11-22T09:00:00Z', 'who': 'bob'}}]}},"
	" 'redis': {'cache': {'visits:17': {'type': 'string', 'value': '12'}, 'jobs': {'type': 'list', 'value': ['a', 'b']}}}}";

static void amounts_are_summed_and_ids_and_times_are_not(void **state)
{
	AUTO_JSON all = quoted_json(written);
	AUTO_JSON measure = race_measure(all);
	AUTO_BUF text = buf_new(4096);

	(void)state;
	json_format_sorted(&text, json_member(measure, "rows"));
	assert_string_equal(text.at, "{\"cache.jobs\":2.0,\"cache.visits:<number>\":1.0,\"db.items\":1.0,\"db.sales\":2.0}");
	buf_clear(&text);
	json_format_sorted(&text, json_member(measure, "sums"));
	assert_string_equal(text.at, "{\"cache.visits:<number>\":12.0,\"db.items.stock\":44.0,\"db.sales.n\":4.0}");
	buf_clear(&text);
	json_format_sorted(&text, json_member(measure, "distinct"));
	assert_string_equal(text.at, "{\"db.sales.who\":true}");
	buf_clear(&text);
	json_format_sorted(&text, json_member(measure, "repeated"));
	assert_string_equal(text.at, "{\"db.sales.n\":true}");
}

static json_t *stock(int value)
{
	return json_pack("{s:{s:{s:[{s:{s:i}, s:{s:i, s:i, s:s}}]}}}", "tables", "db", "items", "key", "id", 3, "row", "id", 3,
			 "stock", value, "name", "tea");
}

static void only_what_each_copy_takes_the_same_of_is_made_scarce(void **state)
{
	AUTO_JSON first = stock(50);
	AUTO_JSON second = stock(50 - RACE_COPIES / 2 * 3);
	AUTO_JSON third = stock(50 - RACE_COPIES * 3);
	AUTO_JSON other = stock(50 - RACE_COPIES * 4);
	AUTO_JSON scarce = race_scarce(first, second, third);
	AUTO_JSON none = race_scarce(first, second, other);

	(void)state;
	assert_string_equal(json_text(scarce, "column", ""), "stock");
	assert_int_equal(json_number(scarce, "each", 0), 3);
	assert_int_equal(json_number(scarce, "value", 0), 50 - RACE_COPIES * 3);
	assert_null(none);
	assert_null(race_scarce(third, second, first));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(copies_at_once_must_end_as_in_turn),
		cmocka_unit_test(each_that_succeeds_changes_as_much),
		cmocka_unit_test(an_invariant_that_breaks_in_turn_is_told_too),
		cmocka_unit_test(amounts_are_summed_and_ids_and_times_are_not),
		cmocka_unit_test(only_what_each_copy_takes_the_same_of_is_made_scarce),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
