/*
 * The third rung: tests that the change adds must see the change: red on the base's code, green on the head's, three times. That a test can
 * be written to its author's misunderstanding is not this gate's to find; that a test sees nothing is.
 */
#include <stdlib.h>
#include <strings.h>

#include "verify/suite.h"

#define GREENS 3

struct proof {
	struct ladder *ladder;
	struct gate *gate;
	const struct test_suite *suite;
	json_t *files;   /* of the suite, added or changed by the head: [path] */
	json_t *on_base; /* the head's tests on the base's code */
	json_t *on_head[GREENS];
	int64_t red;
	int64_t weak;
	int64_t blind;
};

static void proof_fini(struct proof *proof)
{
	json_decref(proof->files);
	json_decref(proof->on_base);
	for (size_t i = 0; i < GREENS; i++)
		json_decref(proof->on_head[i]);
}

static json_t *paths_changed(struct ladder *ladder)
{
	json_t *paths = json_array();

	for (size_t i = 0; i < json_array_size(ladder->changes); i++) {
		const json_t *change = json_array_get(ladder->changes, i);

		if (json_text(change, "status", "D")[0] != 'D')
			(void)json_array_append(paths, json_member(change, "path"));
	}
	return paths;
}

/* The head's test files in the head's work tree again, without those that it removed. */
static int tests_of_head(struct proof *proof, struct err *err)
{
	struct ladder *ladder = proof->ladder;
	AUTO_JSON base_all = tree_paths(ladder, &ladder->request->base, err);
	AUTO_JSON head_all = base_all ? tree_paths(ladder, &ladder->request->head, err) : NULL;
	AUTO_JSON before = head_all ? suite_files(ladder, proof->suite, base_all) : NULL;
	AUTO_JSON after = head_all ? suite_files(ladder, proof->suite, head_all) : NULL;
	AUTO_JSON there = json_object();
	AUTO_JSON gone = json_array();

	if (!head_all)
		return -1;
	for (size_t i = 0; i < json_array_size(head_all); i++)
		(void)json_object_set_new(there, json_string_value(json_array_get(head_all, i)), json_true());
	for (size_t i = 0; i < json_array_size(before); i++)
		if (!json_object_get(there, json_string_value(json_array_get(before, i))))
			(void)json_array_append(gone, json_array_get(before, i));
	if (suite_configure(ladder, ladder->head_env, &ladder->request->head, err) ||
	    files_remove(ladder, ladder->head_env, gone, err))
		return -1;
	return files_put(ladder, ladder->head_env, &ladder->request->head, after, err);
}

static void side_prove(struct side *side)
{
	struct proof *proof = (struct proof *)(uintptr_t)side->argument;
	bool base = strcmp(side->label, "base") == 0;

	side->result = -1;
	if (base && files_put(side->ladder, side->env, &side->ladder->request->head, proof->files, &side->err))
		return;
	if (!base && tests_of_head(proof, &side->err))
		return;
	for (int i = 0; i < (base ? 1 : GREENS); i++) {
		json_t *result;

		if (suite_reset(side->ladder, side->env, proof->suite, &side->err))
			return;
		result = suite_run(side->ladder, side->env, proof->suite, &side->err);
		if (!result)
			return;
		*(base ? &proof->on_base : &proof->on_head[i]) = result;
	}
	side->result = 0;
}

/* It did not come to an assertion: something of the head that the test needs is not there on the base. */
static bool is_weak(const json_t *result, const char *id)
{
	static const char *const words[] = {
		"cannot find module", "modulenotfounderror",        "importerror",        "syntaxerror", "is not a function",
		"no such file",       "undefined reference",        "cannot find symbol", "nameerror",   "attributeerror",
		"referenceerror",     "does not provide an export", "undeclared",         "not defined"};
	const char *status = json_text(json_member(json_member(result, "tests"), id), "status", "");
	const char *message = suite_message(result, id);

	if (strcmp(status, "failed") != 0)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcasestr(message, words[i]))
			return true;
	return false;
}

static void report(struct proof *proof, const char *kind, enum severity severity, const char *id, const char *message,
		   const char *detail, const char *title)
{
	AUTO_JSON got = json_string(message);
	AUTO_FREE char *command = text_format("assay-env test %s", proof->suite ? proof->suite->name : "");
	json_t *made = finding_add(proof->gate->findings,
				   &(struct finding){.gate = proof->gate->name,
						     .kind = kind,
						     .place = proof->suite ? proof->suite->name : "tests",
						     .path = id,
						     .severity = severity,
						     .weight = severity == SEVERITY_BLOCK ? 85 : 15,
						     .title = title,
						     .detail = detail,
						     .got = message[0] ? got : NULL},
				   NULL);

	if (made && proof->suite)
		(void)json_object_set_new(made, "reproduce", json_string(command));
}

static void judge_new(struct proof *proof, const char *id)
{
	int green = 0;

	for (size_t i = 0; i < GREENS; i++)
		green += suite_passed(proof->on_head[i], id);
	gate_count_add(proof->gate, "new", 1);
	if (green < GREENS) {
		bool skipped = strcmp(json_text(json_member(json_member(proof->on_head[0], "tests"), id), "status", ""),
				      "skipped") == 0;
		AUTO_FREE char *title = skipped ? text_format("%s: the new test %s is skipped", proof->suite->name, id)
						: text_format("%s: the new test %s passes in %d of %d runs on the change",
							      proof->suite->name, id, green, GREENS);

		report(proof, skipped ? "new-skipped" : "not-green", skipped ? SEVERITY_WARN : SEVERITY_BLOCK, id,
		       suite_message(proof->on_head[0], id), "A new test must pass every time on the code that it was written for.",
		       title);
		return;
	}
	if (suite_passed(proof->on_base, id)) {
		AUTO_FREE char *title = text_format("%s: the new test %s passes on the base too", proof->suite->name, id);

		proof->blind++;
		report(proof, "not-red", SEVERITY_WARN, id, "", "It does not see the change.", title);
	} else if (is_weak(proof->on_base, id)) {
		proof->weak++;
	} else {
		proof->red++;
	}
}

/* A test is the change's when the base does not have it, or when its message on the base differs from what the base's own file gives: a
 * changed test that passed before and fails now on the same code. */
static bool is_of_change(const struct proof *proof, const json_t *plain, const char *id)
{
	if (!json_object_get(json_member(plain, "tests"), id))
		return true;
	return suite_passed(plain, id) && suite_failed(proof->on_base, id);
}

static void judge_suite(struct proof *proof)
{
	const json_t *plain = json_member(json_member(proof->ladder->suites, proof->suite->name), "base");
	const char *id;
	json_t *test;

	json_object_foreach(json_member(proof->on_head[0], "tests"), id, test)
		if (is_of_change(proof, plain, id))
			judge_new(proof, id);
	if (!json_flag(proof->on_head[0], "ok", false) && suite_failed(proof->on_head[0], SUITE_SELF)) {
		AUTO_FREE char *title = text_format("%s: the suite with the change's own tests fails (%s)", proof->suite->name,
						    json_text(proof->on_head[0], "end", ""));

		report(proof, "not-green", SEVERITY_BLOCK, SUITE_SELF, json_text(proof->on_head[0], "output", ""),
		       "The change's own tests must pass on its own code.", title);
	}
}

/* *overfilled: nothing can be run on the head any more. */
static int suite_prove(struct proof *proof, bool *overfilled, struct err *err)
{
	struct ladder *ladder = proof->ladder;
	struct side base = {.ladder = ladder, .gate = "red-green", .label = "base", .env = ladder->base_env, .argument = proof};
	struct side head = {.ladder = ladder, .gate = "red-green", .label = "head", .env = ladder->head_env, .argument = proof};

	sides_run(side_prove, (struct side *const[]){&base, &head}, 2);
	*overfilled = !base.result && head.result && suite_overfilled(ladder, proof->gate, proof->suite);
	if (*overfilled)
		return 0;
	if (base.result || head.result) {
		*err = base.result ? base.err : head.err;
		return err_prefix(err, "suite %s", proof->suite->name);
	}
	judge_suite(proof);
	return 0;
}

static void judge_all(struct gate *gate, struct ladder *ladder, int64_t red, int64_t weak, int64_t blind)
{
	struct proof nobody = {.ladder = ladder, .gate = gate};

	gate_count(gate, "red", red);
	gate_count(gate, "weak", weak);
	gate_count(gate, "blind", blind);
	if (red + weak == 0)
		report(&nobody, "unproven", SEVERITY_WARN, "", "",
		       "A test that fails on the base and passes on the change would prove it.",
		       "no new test fails on the base: what the change does is unproven by tests");
	else if (red == 0)
		report(&nobody, "weakly-proven", SEVERITY_INFO, "", "",
		       "They fail on the base because something they need is not there.",
		       "no new test comes to an assertion on the base");
}

int gate_red_green(struct ladder *ladder, struct gate *gate, struct err *err)
{
	AUTO_JSON changed = paths_changed(ladder);
	int64_t red = 0;
	int64_t weak = 0;
	int64_t blind = 0;
	bool any = false;
	bool overfilled;

	for (size_t i = 0; i < ladder->blueprint->test_count; i++) {
		__attribute__((cleanup(proof_fini))) struct proof proof = {
			.ladder = ladder, .gate = gate, .suite = &ladder->blueprint->tests[i]};
		int64_t begin_ms = world_elapsed_ms(ladder->request->world);

		proof.files = suite_files(ladder, proof.suite, changed);
		if (!json_array_size(proof.files))
			continue;
		any = true;
		ladder_report(ladder, gate->name, proof.suite->name, "", -1);
		if (suite_prove(&proof, &overfilled, err))
			return -1;
		if (overfilled)
			return 0;
		ladder_report(ladder, gate->name, proof.suite->name, "", world_elapsed_ms(ladder->request->world) - begin_ms);
		red += proof.red;
		weak += proof.weak;
		blind += proof.blind;
	}
	if (!any) {
		gate->status = GATE_SKIPPED;
		gate_reason(gate, "unproven: the change adds or changes no test");
	}
	suite_coverage(ladder, ladder->head_env);
	judge_all(gate, ladder, red, weak, blind);
	return 0;
}
