/*
 * The second rung: the tests of the base, on the code of the head.
 *
 * Theory of operation: each suite runs on both versions, with the base's test files put over the head's. What fails on the head is run
 * twice more on both: what always fails there and never on the base is broken by the change; what fails on both was broken before; what
 * fails sometimes is flaky, which is told and neither blocks nor passes silently. A test that the base has and the head does not run,
 * although its file was put back, was taken out by the change.
 */
#include <stdlib.h>

#include "verify/format.h"
#include "verify/suite.h"

#define RUNS 3
#define MESSAGE_SHOWN 3000

struct suite_work {
	const struct test_suite *suite;
	int from; /* which of the runs are wanted: from … to - 1 */
	int to;
	json_t *results[RUNS]; /* owned */
	bool overfilled;       /* its environment was stopped for that, which is told */
};

static void results_free(struct suite_work *work)
{
	for (size_t i = 0; i < RUNS; i++)
		json_decref(work->results[i]);
}

static void side_suite(struct side *side)
{
	struct suite_work *work = (struct suite_work *)(uintptr_t)side->argument;

	side->result = 0;
	for (int i = work->from; i < work->to && !side->result; i++) {
		if (i > 0 && suite_reset(side->ladder, side->env, work->suite, &side->err)) {
			side->result = -1;
			return;
		}
		work->results[i] = suite_run(side->ladder, side->env, work->suite, &side->err);
		side->result = work->results[i] ? 0 : -1;
	}
}

static int both_run(struct ladder *ladder, struct gate *gate, const struct test_suite *suite, struct suite_work *base,
		    struct suite_work *head, int from, int to, struct err *err)
{
	struct side first = {.ladder = ladder, .gate = "tests", .label = "base", .env = ladder->base_env, .argument = base};
	struct side second = {.ladder = ladder, .gate = "tests", .label = "head", .env = ladder->head_env, .argument = head};

	base->suite = head->suite = suite;
	base->from = head->from = from;
	base->to = head->to = to;
	sides_run(side_suite, (struct side *const[]){&first, &second}, 2);
	if (first.result) {
		*err = first.err;
		return err_prefix(err, "suite %s on the base", suite->name);
	}
	head->overfilled = second.result && suite_overfilled(ladder, gate, suite);
	if (second.result && !head->overfilled) {
		*err = second.err;
		return err_prefix(err, "suite %s on the change", suite->name);
	}
	return 0;
}

/* With `hidden`, a run that failed and names no test that did counts for each: its report is of the code that is judged, its exit code is
 * the runner's. */
static int failures_of(const struct suite_work *work, const char *id, bool hidden)
{
	int count = 0;

	for (int i = 0; i < work->to; i++)
		count += suite_failed(work->results[i], id) || (hidden && suite_failed(work->results[i], SUITE_SELF));
	return count;
}

static json_t *shown(const char *message)
{
	AUTO_JSON holder = json_object();

	json_set_bytes(holder, "message", view_make(message, strnlen(message, MESSAGE_SHOWN)));
	return json_incref(json_member(holder, "message"));
}

static json_t *finding_make(struct gate *gate, const struct test_suite *suite, const char *kind, enum severity severity, int weight,
			    const char *id, const char *message, const char *detail, const char *title)
{
	AUTO_JSON expected = json_string("it passes, as on the base");
	AUTO_JSON got = shown(message[0] ? message : "it fails");
	AUTO_FREE char *command = text_format("assay-env test %s", suite->name);
	json_t *made = finding_add(gate->findings,
				   &(struct finding){.gate = gate->name,
						     .kind = kind,
						     .place = suite->name,
						     .path = id,
						     .severity = severity,
						     .weight = weight,
						     .title = title,
						     .detail = detail,
						     .expected = expected,
						     .got = got},
				   NULL);

	if (made)
		(void)json_object_set_new(made, "reproduce", json_string(command));
	return made;
}

/* After all runs: what came of one test that failed on the head in the first. */
static void judge_test(struct ladder *ladder, struct gate *gate, const struct suite_work *base, const struct suite_work *head,
		       const char *id)
{
	const struct test_suite *suite = head->suite;
	int failed = failures_of(head, id, !failures_of(base, SUITE_SELF, false));
	int before = failures_of(base, id, false);
	const char *message = suite_message(head->results[0], id);
	bool timed_out = json_flag(head->results[0], "timed_out", false);
	AUTO_FREE char *detail = text_format(
		"Failed in %d of %d runs on the change, in %d of %d on the base; the tests are the base's.%s%s", failed, head->to,
		before, base->to, timed_out ? " It ran out of time: " : "",
		timed_out ? json_text(head->results[0], "end", "") : "");
	AUTO_FREE char *title = text_format("%s: %s %s", suite->name, id,
					    before == base->to            ? "fails on the base too"
					    : failed < head->to || before ? "is flaky"
									  : "fails on the change and passes on the base");

	if (before == base->to) {
		gate_count_add(gate, "failing_before", 1);
		(void)finding_make(gate, suite, "failing-before", SEVERITY_INFO, 1, id, message, detail, title);
		if (strcmp(id, SUITE_SELF) == 0)
			ladder_not_covered(ladder, "suite %s: it fails on the base too, so it proves nothing", suite->name);
	} else if (failed < head->to || before) {
		gate_count_add(gate, "flaky", 1);
		(void)finding_make(gate, suite, "flaky", SEVERITY_WARN, 20, id, message, detail, title);
	} else {
		gate_count_add(gate, "failed", 1);
		json_t *made = finding_make(gate, suite, "test-fails", SEVERITY_BLOCK, 90, id, message, detail, title);

		if (made && timed_out)
			(void)json_object_set_new(made, "timed", json_true());
	}
}

/* Is a test of this form there? Parameters may be in names. */
static bool has_form(json_t *tests, const char *id)
{
	AUTO_BUF mask = buf_new((size_t)64 << 10);
	const char *name;
	json_t *test;

	format_mask(&mask, view_of(id));
	json_object_foreach(tests, name, test)
		if (format_matches(buf_view(&mask), view_of(name)))
			return true;
	return false;
}

/* Tests that passed on the base and did not run on the head. Counted only; with `gate` reported. */
static size_t missing_tests(struct gate *gate, const struct suite_work *base, const struct suite_work *head, int run)
{
	json_t *tests = json_member(base->results[run], "tests");
	json_t *there = json_member(head->results[run], "tests");
	size_t count = 0;
	const char *id;
	json_t *test;

	/* A suite that broke off says so itself. */
	if (!json_flag(head->results[run], "reported", false) && !json_flag(head->results[run], "ok", false))
		return 0;
	json_object_foreach(tests, id, test) {
		if (strcmp(json_text(test, "status", ""), "passed") != 0 || json_object_get(there, id) || has_form(there, id))
			continue;
		count++;
		if (!gate)
			continue;
		AUTO_FREE char *title = text_format("%s: %s does not run on the change", head->suite->name, id);

		(void)finding_make(gate, head->suite, "test-gone", SEVERITY_BLOCK, 88, id,
				   json_text(head->results[run], "report_problem", "it is not in the report"),
				   "The base runs it, and its file was put back before the run: the change keeps it from running.",
				   title);
	}
	return count;
}

static void count_tests(struct gate *gate, const json_t *result)
{
	const char *id;
	json_t *test;

	json_object_foreach(json_member(result, "tests"), id, test) {
		const char *status = json_text(test, "status", "");

		if (strcmp(status, "passed") == 0)
			gate_count_add(gate, "passed", 1);
		else if (strcmp(status, "skipped") == 0)
			gate_count_add(gate, "skipped", 1);
	}
}

static bool any_failure(const json_t *result)
{
	const char *id;
	json_t *test;

	if (!json_flag(result, "ok", false))
		return true;
	json_object_foreach(json_member(result, "tests"), id, test)
		if (suite_failed(result, id))
			return true;
	return false;
}

/* A test that the base does not have is the next rung's to judge, when the change touches the suite's files. */
static bool is_new(struct ladder *ladder, const struct suite_work *base, const char *id)
{
	AUTO_JSON changed = json_array();
	AUTO_JSON files = NULL;

	for (int i = 0; i < base->to; i++)
		if (json_object_get(json_member(base->results[i], "tests"), id))
			return false;
	for (size_t i = 0; i < json_array_size(ladder->changes); i++)
		if (json_text(json_array_get(ladder->changes, i), "status", "D")[0] != 'D')
			(void)json_array_append(changed, json_member(json_array_get(ladder->changes, i), "path"));
	files = suite_files(ladder, base->suite, changed);
	return json_array_size(files) > 0;
}

static int64_t refused_in(const struct suite_work *work)
{
	int64_t refused = 0;

	for (int i = 0; i < work->to; i++)
		refused += json_number(work->results[i], "processes_refused", 0);
	return refused;
}

/* Whatever came of it: who starts programs without end is told of, also when it passes. */
static void processes_judge(struct gate *gate, const struct suite_work *base, const struct suite_work *head)
{
	AUTO_FREE char *title = text_format("%s: on the change it starts more programs than a sandbox may, and on the base not",
					    head->suite->name);
	AUTO_FREE char *detail = text_format("%lld were refused.", (long long)refused_in(head));

	if (refused_in(head) && !refused_in(base))
		(void)finding_add(gate->findings,
				  &(struct finding){.gate = "tests",
						    .kind = "processes",
						    .place = head->suite->name,
						    .path = SUITE_SELF,
						    .severity = SEVERITY_WARN,
						    .weight = 40,
						    .title = title,
						    .detail = detail},
				  NULL);
}

static void judge_suite(struct ladder *ladder, struct gate *gate, const struct suite_work *base, const struct suite_work *head)
{
	AUTO_JSON ids = json_object();
	const char *id;
	json_t *test;

	for (int i = 0; i < head->to; i++)
		json_object_foreach(json_member(head->results[i], "tests"), id, test)
			if (suite_failed(head->results[i], id) && !is_new(ladder, base, id))
				(void)json_object_set_new(ids, id, json_null());
	for (int i = 0; i < head->to; i++)
		if (suite_failed(head->results[i], SUITE_SELF))
			(void)json_object_set_new(ids, SUITE_SELF, json_null());
	json_object_foreach(ids, id, test)
		judge_test(ladder, gate, base, head, id);
	if (head->to == 1 || missing_tests(NULL, base, head, head->to - 1))
		(void)missing_tests(gate, base, head, head->to - 1);
}

/* *overfilled: nothing can be run on the head any more. */
static int suite_judge(struct ladder *ladder, struct gate *gate, const struct test_suite *suite, bool *overfilled, struct err *err)
{
	struct suite_work base = {0};
	struct suite_work head = {0};
	int result = both_run(ladder, gate, suite, &base, &head, 0, 1, err);

	if (result == 0 && !head.overfilled && (any_failure(head.results[0]) || missing_tests(NULL, &base, &head, 0))) {
		ladder_report(ladder, gate->name, suite->name, "something fails: twice more on both", -1);
		result = both_run(ladder, gate, suite, &base, &head, 1, RUNS, err);
		base.to = head.to = RUNS;
	}
	*overfilled = head.overfilled;
	if (result == 0 && !head.overfilled) {
		AUTO_FREE char *name = text_format("tests/%s.json", suite->name);
		AUTO_JSON kept = json_pack("{s:O, s:O}", "base", base.results[0], "head", head.results[0]);

		count_tests(gate, head.results[0]);
		judge_suite(ladder, gate, &base, &head);
		processes_judge(gate, &base, &head);
		(void)json_object_set(ladder->suites, suite->name, kept);
		ladder_artefact_json(ladder, name, kept);
		if (suite->report && !json_flag(base.results[0], "reported", false))
			ladder_not_covered(ladder, "suite %s: %s", suite->name,
					   json_text(base.results[0], "report_problem", "no report"));
	}
	results_free(&base);
	results_free(&head);
	return result;
}

/* The base's test files over the head's, and what the runners are configured by: a file that only the head has is taken away. */
static int originals_put(struct ladder *ladder, struct gate *gate, struct err *err)
{
	AUTO_JSON all = tree_paths(ladder, &ladder->request->base, err);

	if (!all || suite_configure(ladder, ladder->head_env, &ladder->request->base, err))
		return -1;
	for (size_t i = 0; i < ladder->blueprint->test_count; i++) {
		AUTO_JSON files = suite_files(ladder, &ladder->blueprint->tests[i], all);

		if (files_put(ladder, ladder->head_env, &ladder->request->base, files, err))
			return -1;
		gate_count_add(gate, "files", (int64_t)json_array_size(files));
	}
	return 0;
}

int gate_tests(struct ladder *ladder, struct gate *gate, struct err *err)
{
	bool overfilled = false;

	if (!ladder->blueprint->test_count) {
		gate->status = GATE_SKIPPED;
		gate_reason(gate, "the blueprint names no tests");
		ladder_not_covered(ladder, "tests: the blueprint names none");
		return 0;
	}
	if (originals_put(ladder, gate, err))
		return -1;
	for (size_t i = 0; i < ladder->blueprint->test_count && !overfilled; i++) {
		const struct test_suite *suite = &ladder->blueprint->tests[i];
		int64_t begin_ms = world_elapsed_ms(ladder->request->world);

		ladder_report(ladder, gate->name, suite->name, "", -1);
		if (suite_judge(ladder, gate, suite, &overfilled, err))
			return -1;
		ladder_report(ladder, gate->name, suite->name, "", world_elapsed_ms(ladder->request->world) - begin_ms);
	}
	return 0;
}
