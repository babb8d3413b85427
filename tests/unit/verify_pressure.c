/* When a machine is too busy to be a witness, and what its delays explain. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/scope.h"
#include "quoted.h"
#include "verify/finding.h"
#include "verify/pressure.h"

struct seen {
	const char *name;
	struct pressure at[3]; /* a second apart */
	const char *why;       /* NULL: it is not over its limit */
};

static const struct seen machines[] = {
	{"calm", {{2, 1, 0, 0}, {2, 3, 100, 100}, {2, 1, 200, 200}}, NULL},
	{"at the limit", {{2, 24, 0, 0}, {2, 24, 0, 0}, {2, 24, 0, 0}}, NULL},
	{"over it", {{2, 25, 0, 0}, {2, 25, 0, 0}, {2, 25, 0, 0}}, "25 tasks wanted to run on 2 cores"},
	{"for a moment only", {{2, 2, 0, 0}, {2, 60, 0, 0}, {2, 2, 0, 0}}, NULL},
	{"so many tasks, and cores for them", {{64, 200, 0, 0}, {64, 200, 0, 0}, {64, 200, 0, 0}}, NULL},
	{"out of memory",
	 {{2, 1, 500000, 0}, {2, 1, 600000, 0}, {2, 1, 900000, 0}},
	 "programs stood still for memory 20 % of the time"},
	{"nearly", {{2, 1, 500000, 0}, {2, 1, 600000, 0}, {2, 1, 879999, 0}}, NULL},
	{"slow disks", {{2, 1, 0, 0}, {2, 1, 0, 100}, {2, 1, 0, 1200000}}, "programs stood still for disks 60 % of the time"},
	{"one that does not say", {{2, 1, -1, -1}, {2, 1, -1, -1}, {2, 1, -1, -1}}, NULL},
	{"counters that begin again", {{2, 1, 900000, 900000}, {2, 1, 0, 0}, {2, 1, 5, 5}}, NULL},
};

static void a_machine_is_over_its_limit_on_the_whole_and_says_why(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(machines); i++) {
		struct pressure_sum sum = {0};
		AUTO_BUF why = buf_new(400);

		for (size_t k = 0; k < ARRAY_LEN(machines[i].at); k++)
			pressure_add(&sum, &machines[i].at[k], 5000 + 1000 * (int64_t)k);
		if (pressure_over(&sum, &why) != (machines[i].why != NULL))
			fail_msg("%s: %s", machines[i].name, why.length ? why.at : "not over");
		assert_string_equal(why.length ? why.at : "", machines[i].why ? machines[i].why : "");
	}
	assert_false(pressure_over(&(struct pressure_sum){0}, NULL));
}

static void the_kernels_lines_are_read_leniently(void **state)
{
	static const char text[] =
		"some avg10=99.00 avg60=92.90 avg300=54.97 total=42393114521\nfull avg10=0.00 total=7\nhalf total=x\n";
	struct pressure now = {0};

	(void)state;
	assert_int_equal(pressure_total_us(view_of(text), "some "), 42393114521);
	assert_int_equal(pressure_total_us(view_of(text), "full "), 7);
	assert_int_equal(pressure_total_us(view_of(text), "half "), -1);
	assert_int_equal(pressure_total_us(view_of(""), "some "), -1);
	pressure_read((struct pressure_source){0}, &now);
	assert_true(now.cores >= 1 && now.running >= 0);
}

/* Texts have ' for ". */
static const struct {
	const char *base;
	const char *head;
	bool explains;
} entries[] = {
	{"{'response': {'status': 200}, 'ms': 20}", "{'response': {'status': 200}, 'ms': 25}", false},
	{"{'response': {'status': 200}, 'ms': 20}", "{'response': {'status': 404}, 'ms': 25}", false},
	{"{'response': {'status': 200}, 'ms': 20}", "{'response': null, 'error': 'it took too long', 'ms': 15000}", true},
	{"{'response': {'status': 200}, 'ms': 20}", "{'response': {'status': 502}, 'ms': 160}", true},
	{"{'response': {'status': 504}, 'ms': 20}", "{'response': {'status': 200}, 'ms': 25}", true},
	{"{'response': {'status': 200}, 'ms': 20}", "{'response': {'status': 200}, 'ms': 2500}", true},
	{"{'response': {'status': 200}, 'ms': 20}",
	 "{'response': {'status': 200}, 'ms': 170, 'seams': [{'proto': 'http', 'response': {'status': 200}}, {'proto': 'http', 'response': null}]}",
	 true},
	{"{'response': {'status': 200}, 'ms': 20}",
	 "{'response': {'status': 200}, 'ms': 70, 'seams': [{'proto': 'http', 'response': {'status': 201}}, {'proto': 'postgres'}]}",
	 false},
};

static void only_what_is_late_or_lost_is_explained_by_a_delay(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(entries); i++) {
		AUTO_JSON base = quoted_json(entries[i].base);
		AUTO_JSON head = quoted_json(entries[i].head);

		if (pressure_explains(base, head) != entries[i].explains)
			fail_msg("row %zu: %s", i, entries[i].head);
	}
}

static void what_blocks_is_marked_where_a_delay_explains_it(void **state)
{
	AUTO_JSON base = quoted_json(
		"{'entries': [{'response': {'status': 200}, 'ms': 1}, {'response': {'status': 200}, 'ms': 1}]}");
	AUTO_JSON head = quoted_json(
		"{'entries': [{'response': {'status': 200}, 'ms': 1}, {'response': {'status': 500}, 'ms': 1}]}");
	AUTO_JSON findings = quoted_json(
		"[{'severity': 'block', 'at': 0}, {'severity': 'block', 'at': 1}, {'severity': 'warn', 'at': 1}, {'severity': 'block'}]");
	AUTO_JSON kinds = quoted_json(
		"[{'gate': 'race', 'kind': 'race-lost', 'severity': 'block'}, {'gate': 'race', 'kind': 'race-sum', 'severity': 'block'},"
		" {'gate': 'faults', 'kind': 'status', 'severity': 'block'}, {'gate': 'faults', 'kind': 'status', 'severity': 'warn'}]");

	AUTO_JSON order = quoted_json(
		"{'entries': [{'response': {'status': 200}}, {'request': {'method': 'POST'}, 'response': null}, {'response': {'status': 200}}]}");
	AUTO_JSON after = quoted_json(
		"[{'severity': 'block', 'at': 0}, {'severity': 'block', 'at': 1}, {'severity': 'block', 'at': 2}]");

	(void)state;
	pressure_mark(after, order, order);
	assert_false(json_flag(json_array_get(after, 0), "timed", false));
	assert_true(json_flag(json_array_get(after, 1), "timed", false));
	assert_true(json_flag(json_array_get(after, 2), "timed", false));
	pressure_mark(findings, base, head);
	assert_false(json_flag(json_array_get(findings, 0), "timed", false));
	assert_true(json_flag(json_array_get(findings, 1), "timed", false));
	assert_false(json_flag(json_array_get(findings, 2), "timed", false));
	assert_true(json_flag(json_array_get(findings, 3), "timed", false));
	pressure_mark(findings, base, base);
	pressure_mark_kinds(kinds);
	assert_true(json_flag(json_array_get(kinds, 0), "timed", false));
	assert_false(json_flag(json_array_get(kinds, 1), "timed", false));
	assert_true(json_flag(json_array_get(kinds, 2), "timed", false));
	assert_false(json_flag(json_array_get(kinds, 3), "timed", false));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_machine_is_over_its_limit_on_the_whole_and_says_why),
		cmocka_unit_test(the_kernels_lines_are_read_leniently),
		cmocka_unit_test(only_what_is_late_or_lost_is_explained_by_a_delay),
		cmocka_unit_test(what_blocks_is_marked_where_a_delay_explains_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
