/* assay reproduce: one finding of a record, looked at again on this machine. */
#include <stdio.h>

#include "base/scope.h"
#include "cli/api.h"
#include "cli/checkout.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/record.h"
#include "cli/report.h"
#include "verify/finding.h"
#include "verify/record.h"

#define PROGRAM "assay reproduce"

enum reproduce_exit { REPRODUCE_GONE = 0, REPRODUCE_DIFFERS = 1, REPRODUCE_UNSURE = 2, REPRODUCE_USAGE = 64 };

/* The record's statement, its signature checked when a key is given. Owned by the caller. */
static json_t *statement_read(const char *what, const char *key, struct err *err)
{
	AUTO_BUF envelope = buf_new(RECORD_BYTES_MAX);
	AUTO_BUF pem = buf_new((size_t)64 << 10);
	json_t *statement = NULL;

	if (record_envelope(PROGRAM, what, &envelope, err))
		return NULL;
	if (!key)
		return record_payload(buf_view(&envelope), err);
	if (record_key_read(PROGRAM, key, &pem, err) || record_verify(buf_view(&envelope), buf_view(&pem), &statement, err))
		return NULL;
	return statement;
}

static const char *commit_of(const json_t *predicate, const char *side)
{
	return json_text(json_member(predicate, side), "gitCommit", "");
}

/* What POST /verify is asked: both commits, from the checkout, and the finding. Owned by the caller. */
static json_t *question_make(struct api *api, const char *dir, const json_t *predicate, const json_t *finding, struct err *err)
{
	AUTO_FREE char *top = checkout_find(dir, err);
	AUTO_JSON after = top ? checkout_put(api, PROGRAM, top, commit_of(predicate, "head"), NULL, false, err) : NULL;
	AUTO_JSON before = after ? checkout_put(api, PROGRAM, top, commit_of(predicate, "base"), json_text(after, "name", NULL),
						false, err)
				 : NULL;
	const char *session = json_text(finding, "session", "");

	if (!before)
		return NULL;
	return json_pack("{s:O, s:O, s:O, s:O*, s:{s:O, s:s*, s:I}}", "repository", json_member(before, "name"), "base",
			 json_member(before, "commit"), "head", json_member(after, "commit"), "snapshot",
			 json_is_object(json_member(predicate, "snapshot")) ? json_member(predicate, "snapshot") : NULL, "finding",
			 "gate", json_member(finding, "gate"), "session", session[0] ? session : NULL, "entry",
			 (json_int_t)(session[0] ? json_number(finding, "entry", -1) : -1));
}

static const json_t *gate_of(const json_t *report, const char *name)
{
	const json_t *gates = json_member(report, "gates");

	for (size_t i = 0; i < json_array_size(gates); i++)
		if (strcmp(json_text(json_array_get(gates, i), "name", ""), name) == 0)
			return json_array_get(gates, i);
	return NULL;
}

/* The report with this finding alone. Owned by the caller. */
static json_t *report_of(const json_t *report, json_t *finding)
{
	json_t *made = json_copy((json_t *)(uintptr_t)report);

	(void)json_object_set_new(made, "findings", json_pack("[O]", finding));
	(void)json_object_set_new(made, "not_covered", json_array());
	return made;
}

static int answer(const json_t *report, const json_t *predicate, const json_t *recorded, bool as_json)
{
	const char *id = json_text(recorded, "id", "");
	const char *gate = json_text(recorded, "gate", "");
	const json_t *row = gate_of(report, gate);
	json_t *found = finding_find(json_member(report, "findings"), id);
	const char *mine = json_text(json_member(report, "snapshot"), "digest", "");
	const char *its = json_text(json_member(predicate, "snapshot"), "digest", "");
	bool told = row && strcmp(json_text(row, "status", ""), "unstable") != 0 &&
		    strcmp(json_text(row, "status", ""), "skipped") != 0;
	enum reproduce_exit code = found ? REPRODUCE_DIFFERS : told ? REPRODUCE_GONE : REPRODUCE_UNSURE;
	AUTO_JSON alone = found ? report_of(report, found) : NULL;

	if (as_json) {
		AUTO_JSON all = json_pack("{s:s, s:s, s:b, s:O*, s:O}", "id", id, "answer",
					  code == REPRODUCE_DIFFERS ? "differs"
					  : code == REPRODUCE_GONE  ? "gone"
								    : "unsure",
					  "same_snapshot", strcmp(mine, its) == 0, "finding", found, "report", report);

		cli_print_json(all);
		return (int)code;
	}
	if (strcmp(mine, its) != 0)
		printf("on another snapshot than the record's (%.12s, not %.12s): values may be others\n", mine[0] ? mine : "none",
		       its[0] ? its : "none");
	if (found)
		report_draw(alone, (struct report_form){.all = true, .no_gates = true});
	else if (told)
		printf("%s is gone: %s\n", id, json_text(recorded, "title", ""));
	else
		printf("%s: it could not be told: %s\n", id, json_text(row, "reason", json_text(report, "reason", "")));
	return (int)code;
}

static int reproduce(const char *record, const char *id, const char *dir, const char *key, bool as_json)
{
	struct err err = {0};
	AUTO_JSON statement = statement_read(record, key, &err);
	const json_t *predicate = json_member(statement, "predicate");
	const json_t *finding = finding_find(json_member(predicate, "findings"), id);
	AUTO_JSON question = NULL;
	AUTO_JSON report = NULL;

	if (statement && !finding)
		(void)err_set(&err, ERR_NOT_FOUND, "the record has no finding %s: `assay record show %s --all` lists them", id,
			      record);
	if (finding && json_member(predicate, "repositories")) {
		(void)err_set(&err, ERR_INVALID,
			      "the record is of several repositories: look at its run (assay show), or at each by itself");
		finding = NULL;
	}
	AUTO_API struct api *api = finding ? api_open(PROGRAM, true, &err) : NULL;
	question = api ? question_make(api, dir, predicate, finding, &err) : NULL;
	report = question ? api_work(api, "/verify", question, as_json ? (struct api_listener){0} : api_progress_printer(), &err)
			  : NULL;
	if (!report) {
		(void)cli_fail(PROGRAM, as_json, &err);
		return REPRODUCE_UNSURE;
	}
	return answer(report, predicate, finding, as_json);
}

int cli_reproduce(int argc, char **argv)
{
	const char *dir = NULL;
	const char *key = NULL;
	bool as_json = false;
	const struct cli_option options[] = {
		{.name = "repo",
		 .value = "DIR",
		 .help = "a git checkout that has both commits (default: the one around this folder)",
		 .text = &dir},
		{.name = "key", .value = "PEM", .help = "check the record's signature with this public key first", .text = &key},
		{.name = "json", .help = "the answer as JSON", .flag = &as_json},
	};
	const struct cli_usage usage = {
		.program = PROGRAM,
		.arguments = "RECORD#FINDING [--repo DIR] [--key PEM] [--json]",
		.about =
			"Looks at one finding of a record again: forks the same commits, from the record's snapshot where this machine has it, sends\n"
			"the requests of its session up to its own, and shows what base and change answer. RECORD is a file or a run.\n"
			"Exits with 1 when it still differs, 0 when not, 2 when it could not be told, 64 for a wrong usage.",
		.options = options,
		.option_count = ARRAY_LEN(options),
		.positional_min = 1,
		.positional_max = 1};
	AUTO_FREE char *record = NULL;
	const char *hash;
	int code = CLI_DONE;

	if (cli_options(&usage, argc, argv, &code) < 0)
		return code == CLI_USAGE ? REPRODUCE_USAGE : code;
	hash = strrchr(argv[1], '#');
	if (!hash || hash == argv[1] || strncmp(hash, "#f-", 3) != 0) {
		(void)cli_refuse(PROGRAM, "expected RECORD#FINDING, e.g. record.intoto.jsonl#f-6dbb50703b2f");
		return REPRODUCE_USAGE;
	}
	record = view_copy(view_make(argv[1], (size_t)(hash - argv[1])));
	return reproduce(record, hash + 1, dir, key, as_json);
}
