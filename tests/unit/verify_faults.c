/* What runs under the same faults say of each other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "verify/faults.h"

#define UNDER "orders > bank "

/* "lost = 503 | 0, 201 key | db.orders 1": the fault (none: as recorded), the answer ("-": none), the calls to the bank by what they were answered and
 * their key ("/": to another address; "~" before it: it began first, and ended here; "*": the fault answered it), the rows. */
static json_t *entry_make(const char *text)
{
	struct view rest, calls, rows, status, fault;
	json_t *seams = json_array();
	json_t *written = json_object();
	json_t *entry;

	status = view_trim(view_cut(view_of(text), '|', &rest));
	calls = view_trim(view_cut(rest, '|', &rows));
	rows = view_trim(rows);
	fault = view_trim(view_cut(status, '=', &status));
	status = view_trim(status);
	while (calls.length) {
		struct view call = view_trim(view_cut(calls, ',', &calls));
		struct view key;
		struct view first = view_cut(call, ' ', &key);
		bool began_first = view_starts(first, VIEW("~"));
		bool met = view_starts(first, VIEW("*"));
		AUTO_FREE char *answer = view_copy(view_make(first.at + (began_first || met), first.length - (began_first || met)));
		bool elsewhere = view_starts(key, VIEW("/"));
		json_t *exchange = json_pack("{s:s, s:s, s:s, s:{s:s, s:s, s:[]}, s:{s:i, s:[]}}", "from", "orders", "to", "bank",
					     "proto", "http", "request", "method", "POST", "url", elsewhere ? "/other" : "/charges",
					     "headers", "response", "status", atoi(answer), "headers");
		AUTO_FREE char *named = key.length && !elsewhere ? view_copy(key) : NULL;

		if (began_first)
			(void)json_object_set_new(exchange, "seq", json_integer(-1));
		if (met)
			(void)json_object_set_new(exchange, "error", json_string("fault: 503"));
		if (named)
			(void)json_array_append_new(json_member(json_member(exchange, "request"), "headers"),
						    json_pack("[s, s]", "idempotency-key", named));
		(void)json_array_append_new(seams, exchange);
	}
	if (rows.length) {
		struct view count;
		AUTO_FREE char *table = view_copy(view_cut(rows, ' ', &count));
		AUTO_FREE char *more = view_copy(count);

		(void)json_object_set_new(written, table, json_integer(atoi(more)));
	}
	AUTO_FREE char *answered = view_copy(status);
	AUTO_FREE char *under = text_format("%s%.*s", UNDER, (int)fault.length, fault.at);

	entry = json_pack("{s:s, s:i, s:{s:s, s:s, s:[], s:s}, s:o, s:o, s:i}", "session", "s", "index", 0, "request", "method",
			  "POST", "url", "/orders", "headers", "body", "{}", "seams", seams, "written", written, "ms", 10);
	if (strcmp(answered, "-") != 0)
		(void)json_object_set_new(entry, "response",
					  json_pack("{s:i, s:[], s:s}", "status", atoi(answered), "headers", "body", "{}"));
	else
		(void)json_object_set_new(entry, "response", json_null());
	if (fault.length)
		(void)json_object_set_new(entry, "under", json_string(under));
	return entry;
}

static json_t *run_make(const char *text)
{
	return json_pack("{s:[o], s:n}", "entries", entry_make(text), "rows");
}

static const struct {
	const char *name;
	const char *base, *head;
	const char *blocks; /* the kind; NULL: nothing does */
	bool parts;         /* what comes after cannot be held against each other */
} cases[] = {
	{"alike", "503 = 503 | 503", "503 = 503 | 503", NULL, false},
	{"an error instead of an answer", "503 = 200 | 503, 200", "503 = 500 | 503", "status", true},
	{"a failure that is hidden", "503 = 503 | 503", "503 = 201 | 503", "status", true},
	{"a retry that helps", "503 = 503 | 503", "503 = 201 | 503, 201 | db.orders 1", NULL, true},
	{"a retry that ends before what it is of", "hang = 502 | 503", "hang = 201 | 201, ~503 | db.orders 1", NULL, true},
	{"a failure after what went well", "503 = 503 | 503", "503 = 201 | 201, 503", "status", true},
	{"an answer that was kept from before", "503 = 503 | 503", "503 = 200 |", NULL, true},
	{"a failure that is hidden behind another call", "503 = 503 | 503", "503 = 201 | 503, 404 /other", "status", true},
	{"rows behind another failure", "503 = 503 | 503", "503 = 500 | 503 | db.orders 1", "rows", true},
	{"two calls at once instead of one after the other", "lost = 503 | 0", "lost = 503 | 0, 0 /other", NULL, false},
	{"calls at once, of which the fault meets another", "503 = 200 | *503, 200, 200 /other",
	 "503 = 200 | *503 /other, 200, 200 /other", NULL, false},
	{"a call that fails by itself", "503 = 200 | *503, 200, 200 /other", "503 = 200 | *503, 200, 503 /other", "call-fails",
	 false},
	{"neither is seen to call", "503 = 503 |", "503 = 200 |", "status", true},
	{"a charge that is made again as a new one", "lost = 503 | 0", "lost = 201 | 0, 201", "doubled", true},
	{"a charge that is made again by its key", "lost = 503 | 0", "lost = 201 | 0 k1, 201 k1", NULL, true},
	{"a charge that is made again by another key", "lost = 503 | 0 k1", "lost = 201 | 0 k1, 201 k2", "doubled", true},
	{"rows behind a failure", "503 = 503 | 503", "503 = 503 | 503 | db.orders 1", "rows", true},
	{"rows behind an answer that we did not wait for", "hang = - | 0", "hang = - | 0, 201 | db.orders 1", NULL, true},
	{"rows behind a call that was never answered", "hang = - | 0", "hang = - | 0 | db.orders 1", "rows", true},
};

static void what_is_worse_under_a_fault_blocks(void **state)
{
	static const struct compare_options options = {.gate = "faults"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_JSON base = run_make(cases[i].base);
		AUTO_JSON again = run_make(cases[i].base);
		AUTO_JSON head = run_make(cases[i].head);
		struct comparison *comparison = comparison_new(base, again, &options);
		const struct faults faults = {base, again, NULL, 1};
		AUTO_JSON findings = faults_judge(&faults, comparison, head);
		const char *kind = NULL;

		for (size_t k = json_array_size(findings); k > 0; k--)
			if (strcmp(json_text(json_array_get(findings, k - 1), "severity", ""), "block") == 0)
				kind = json_text(json_array_get(findings, k - 1), "kind", "");
		if (strcmp(kind ? kind : "", cases[i].blocks ? cases[i].blocks : "") != 0)
			fail_msg("%s: `%s` instead of `%s`", cases[i].name, kind ? kind : "nothing",
				 cases[i].blocks ? cases[i].blocks : "nothing");
		if (faults_part_ways(&faults, 0, head) != cases[i].parts)
			fail_msg("%s: what comes after it can%s be compared", cases[i].name, cases[i].parts ? "" : "not");
		comparison_free(comparison);
	}
}

static void of_an_environment_of_its_own_only_the_fault_is_judged(void **state)
{
	static const struct compare_options options = {.gate = "faults"};

	(void)state;
	for (int row = 0; row < 3; row++) {
		int part = row > 0;
		AUTO_JSON base = run_make("= 200 |");
		AUTO_JSON head = run_make(row < 2 ? "= 404 |" : "= 500 |"); /* that is no matter of other data */
		json_t *entry = json_array_get(json_member(base, "entries"), 0);
		const struct faults faults = {base, base, NULL, 1};
		struct comparison *comparison;

		(void)json_object_set_new(entry, "part", json_integer(part));
		comparison = comparison_new(base, base, &options);
		AUTO_JSON findings = faults_judge(&faults, comparison, head);

		assert_int_equal(json_array_size(findings), row == 1 ? 0 : 1);
		assert_false(faults_part_ways(&faults, 0, head));
		comparison_free(comparison);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_worse_under_a_fault_blocks),
		cmocka_unit_test(of_an_environment_of_its_own_only_the_fault_is_judged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
