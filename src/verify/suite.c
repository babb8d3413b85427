/* Suites, and the files of another commit put into a work tree. */
#include "verify/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "verify/integrity.h"
#include "verify/mutate.h"
#include "verify/report.h"
#include "verify/tree_tar.h"

#define FILE_STEP_LIMIT_MS 120000
#define ARTEFACTS_BEGAN "/tmp/.assay-suite-began"
#define ARTEFACTS_MAX 24
#define ARTEFACTS_BYTES_MAX ((size_t)64 << 20)
#define ARTEFACT_LIST_MAX ((size_t)4 << 20)
#define MEDIA_BYTES_MAX ((size_t)32 << 20)
#define OUTPUT_LINES 40
#define OUTPUT_BYTES_MAX ((size_t)8 << 10)

int workspace_exec(struct ladder *ladder, struct env_id env, const char *const *argv, const struct environment_exec *more,
		   struct exit_status *status, struct err *err)
{
	struct environment_exec exec = *more;
	struct err problem = {0};

	exec.sandbox = "workspace";
	exec.argv = argv;
	exec.cancelled = &ladder->stop;
	if (!exec.timeout_ms || exec.timeout_ms > ladder_left_ms(ladder))
		exec.timeout_ms = ladder_left_ms(ladder) < FILE_STEP_LIMIT_MS || more->timeout_ms ? ladder_left_ms(ladder)
												  : FILE_STEP_LIMIT_MS;
	if (more->timeout_ms && more->timeout_ms < exec.timeout_ms)
		exec.timeout_ms = more->timeout_ms;
	if (environment_exec(ladder->request->environments, env, &exec, status, &problem) == 0)
		return 0;
	if (status->reason == EXIT_GONE && problem.kind == ERR_INVALID && strcmp(env.text, ladder->head_env.text) == 0)
		(void)snprintf(ladder->overfilled, sizeof(ladder->overfilled), "%s", problem.text);
	if (err)
		*err = problem;
	return -1;
}

/* ---- files ---- */

static int batch_put(struct ladder *ladder, struct env_id env, const struct git_hash *commit, const json_t *paths, size_t from,
		     struct err *err)
{
	AUTO_BUF archive = buf_new(TREE_TAR_BYTES_MAX);
	AUTO_BUF said = buf_new((size_t)64 << 10);
	struct exit_status status;

	if (tree_tar(ladder->request->repository, commit, paths, from, &archive, err))
		return err_prefix(err, "the test files of %.12s", commit->text);
	if (workspace_exec(ladder, env, (const char *const[]){"tar", "-x", "-m", "--no-same-owner", "--overwrite", "-f", "-", NULL},
			   &(struct environment_exec){.input = buf_view(&archive), .output = &said}, &status, err))
		return err_prefix(err, "cannot put test files into the workspace");
	if (status.reason != EXIT_CODE || status.code)
		return err_set(err, ERR_INVALID, "cannot put test files into the workspace: %.200s",
			       said.at ? said.at : "tar failed");
	return 0;
}

int files_put(struct ladder *ladder, struct env_id env, const struct git_hash *commit, const json_t *paths, struct err *err)
{
	for (size_t i = 0; i < json_array_size(paths); i += TREE_TAR_PATHS_MAX)
		if (batch_put(ladder, env, commit, paths, i, err))
			return -1;
	return 0;
}

int files_remove(struct ladder *ladder, struct env_id env, const json_t *paths, struct err *err)
{
	AUTO_BUF list = buf_new((size_t)16 << 20);
	struct exit_status status;

	for (size_t i = 0; i < json_array_size(paths); i++) {
		buf_add_text(&list, json_string_value(json_array_get(paths, i)));
		buf_add_char(&list, '\0');
	}
	if (!list.length)
		return 0;
	return workspace_exec(ladder, env, (const char *const[]){"xargs", "-0", "rm", "-f", "--", NULL},
			      &(struct environment_exec){.input = buf_view(&list)}, &status, err);
}

int suite_configure(struct ladder *ladder, struct env_id env, const struct git_hash *commit, struct err *err)
{
	bool base = commit == &ladder->request->base;
	AUTO_JSON put = json_array();
	AUTO_JSON remove = json_array();
	size_t index;
	json_t *change;

	json_array_foreach(ladder->changes, index, change) {
		const char *path = json_text(change, "path", "");
		const char *old = json_text(change, "old_path", path);
		char status = json_text(change, "status", "M")[0];
		bool before = status != 'A';
		bool after = status != 'D';

		if (before && integrity_is_runner_config(old) && (!after || base || strcmp(old, path) != 0))
			(void)json_array_append_new(base ? put : remove, json_string(old));
		if (after && integrity_is_runner_config(path) && (!before || !base || strcmp(old, path) != 0))
			(void)json_array_append_new(base ? remove : put, json_string(path));
	}
	return files_remove(ladder, env, remove, err) || files_put(ladder, env, commit, put, err) ? -1 : 0;
}

static char *suite_dir(const struct test_suite *suite)
{
	return suite->dir && strcmp(suite->dir, ".") != 0 ? text_format("/workspace/%s", suite->dir) : text_copy("/workspace");
}

int file_write_in(struct ladder *ladder, struct env_id env, const char *path, struct view text, struct err *err)
{
	AUTO_FREE char *whole = text_format("/workspace/%s", path);
	AUTO_BUF said = buf_new((size_t)64 << 10);
	struct exit_status status;

	if (workspace_exec(ladder, env, (const char *const[]){"sh", "-c", "cat >\"$0\"", whole, NULL},
			   &(struct environment_exec){.input = text, .output = &said}, &status, err))
		return err_prefix(err, "cannot write %s", path);
	return status.reason == EXIT_CODE && !status.code ? 0 : err_set(err, ERR_INVALID, "cannot write %s", path);
}

void suite_coverage(struct ladder *ladder, struct env_id env)
{
	static const char *const first[] = {"sh",
					    "-c",
					    "for file; do [ -f \"$file\" ] && exec cat -- \"$file\"; done",
					    "sh",
					    "coverage/lcov.info",
					    "lcov.info",
					    "coverage.lcov",
					    "coverage.xml",
					    "cobertura.xml",
					    "coverage/cobertura-coverage.xml",
					    "coverage.json",
					    "coverage/coverage.json",
					    "coverage.out",
					    "cover.out",
					    NULL};
	const struct blueprint *blueprint = ladder->blueprint;

	for (size_t i = 0; i < blueprint->test_count; i++) {
		AUTO_FREE char *dir = suite_dir(&blueprint->tests[i]);
		AUTO_BUF text = buf_new(COVERAGE_BYTES_MAX);
		struct exit_status status;

		if (workspace_exec(ladder, env, first, &(struct environment_exec){.dir = dir, .output = &text}, &status, NULL) ||
		    status.reason != EXIT_CODE || status.code || !text.length)
			continue;
		if (!ladder->coverage)
			ladder->coverage = json_object();
		coverage_read(buf_view(&text), ladder->coverage);
	}
}

json_t *suite_files(const struct ladder *ladder, const struct test_suite *suite, const json_t *all)
{
	json_t *files = json_array();

	for (size_t i = 0; i < json_array_size(all); i++) {
		const char *path = json_string_value(json_array_get(all, i));
		bool belongs = !suite->files.count && integrity_is_test(ladder->blueprint, path);

		for (size_t k = 0; k < suite->files.count && !belongs; k++)
			belongs = glob_match(suite->files.at[k], path);
		if (belongs)
			(void)json_array_append(files, json_array_get(all, i));
	}
	return files;
}

/* ---- runs ---- */

static void tests_note(json_t *tests, const struct test_report *report)
{
	for (size_t i = 0; i < report->count; i++) {
		const struct test_case *test = &report->cases[i];
		AUTO_FREE char *id = test->suite[0] ? text_format("%s > %s", test->suite, test->name) : text_copy(test->name);

		(void)json_object_set_new(
			tests, id, json_pack("{s:s, s:s}", "status", test_status_name(test->status), "message", test->message));
	}
}

/* Reads the report that the run left; that there is none is told, and no error. */
static int report_read(struct ladder *ladder, struct env_id env, const struct test_suite *suite, json_t *result, struct err *err)
{
	enum report_format format = suite->format != REPORT_NONE ? suite->format
				    : suite->report              ? report_format_of(suite->report)
								 : REPORT_NONE;
	AUTO_BUF bytes = buf_new(REPORT_BYTES_MAX);
	AUTO_BUF errors = buf_new(4096);
	AUTO_REPORT report = {0};
	AUTO_FREE char *dir = suite_dir(suite);
	struct exit_status status = {EXIT_CODE, 1};
	struct err problem = {0};
	bool failed;

	if (!suite->report)
		return 0;
	failed = workspace_exec(ladder, env, (const char *const[]){"cat", "--", suite->report, NULL},
				&(struct environment_exec){.dir = dir, .output = &bytes, .errors = &errors}, &status, &problem);
	if (failed && problem.kind != ERR_LIMIT) { /* a huge one is its own fault; anything else is ours */
		*err = problem;
		return -1;
	}
	if (failed)
		(void)err_prefix(&problem, "its report");
	if (failed || status.reason != EXIT_CODE || status.code) {
		(void)json_object_set_new(result, "report_problem", json_string(failed ? problem.text : "it wrote no report"));
		return 0;
	}
	if (report_parse(format, buf_view(&bytes), &report, &problem)) {
		json_set_bytes(result, "report_problem", view_of(problem.text));
		return 0;
	}
	(void)json_object_set_new(result, "reported", json_true());
	tests_note(json_member(result, "tests"), &report);
	return 0;
}

static void output_quote(struct ladder *ladder, struct env_id env, json_t *result)
{
	AUTO_BUF log = buf_new((size_t)1 << 20);
	struct view tail;

	if (environment_logs(ladder->request->environments, env, "workspace", OUTPUT_LINES, NULL, &log, NULL))
		return;
	tail = buf_view(&log);
	if (tail.length > OUTPUT_BYTES_MAX)
		tail = view_make(tail.at + tail.length - OUTPUT_BYTES_MAX, OUTPUT_BYTES_MAX);
	json_set_bytes(result, "output", tail);
}

const char *media_type(struct view bytes)
{
	if (view_starts(bytes, VIEW("\x89PNG\r\n\x1a\n")))
		return "image/png";
	if (view_starts(bytes, view_make("\x1a\x45\xdf\xa3", 4)))
		return "video/webm";
	if (bytes.length >= 12 && view_is(view_make(bytes.at + 4, 4), "ftyp"))
		return "video/mp4";
	return NULL;
}

/* From here on, files that are written are newer than it. */
static int artefacts_begin(struct ladder *ladder, struct env_id env, const struct test_suite *suite, struct err *err)
{
	struct exit_status status;

	if (!suite->artefacts.count)
		return 0;
	return workspace_exec(ladder, env, (const char *const[]){"touch", ARTEFACTS_BEGAN, NULL},
			      &(struct environment_exec){.dir = "/workspace"}, &status, err);
}

/* How long it is. */
static size_t artefact_take(struct ladder *ladder, struct env_id env, const struct test_suite *suite, const char *path)
{
	AUTO_FREE char *name = text_format("tests/%s/%s", suite->name, path);
	AUTO_FREE char *title = text_format("%s: %s", suite->name, path);
	AUTO_BUF bytes = buf_new(MEDIA_BYTES_MAX);
	struct exit_status status;
	const char *type;

	if (workspace_exec(ladder, env, (const char *const[]){"cat", "--", path, NULL},
			   &(struct environment_exec){.dir = "/workspace", .output = &bytes}, &status, NULL)) {
		if (bytes.over)
			ladder_not_covered(ladder, "suite %s: %s is longer than %zu MiB and was not kept", suite->name, path,
					   MEDIA_BYTES_MAX >> 20);
		return 0;
	}
	type = media_type(buf_view(&bytes));
	if (type)
		ladder_media(ladder, name, title, type, buf_view(&bytes));
	else
		ladder_artefact(ladder, name, buf_view(&bytes));
	return bytes.length;
}

/* What the run on the change left of what the suite names, the commit's own files aside. That there is none is no error. */
static void artefacts_take(struct ladder *ladder, struct env_id env, const struct test_suite *suite)
{
	static const char *const find[] = {"find",          ".",       "(",      "-name", ".git",  "-o", "-name",
					   "node_modules",  ")",       "-prune", "-o",    "-type", "f",  "-newer",
					   ARTEFACTS_BEGAN, "-printf", "%P\\0",  NULL};
	AUTO_BUF list = buf_new(ARTEFACT_LIST_MAX);
	struct exit_status status;
	size_t bytes = 0;
	size_t taken = 0;

	if (!suite->artefacts.count || strcmp(env.text, ladder->head_env.text) != 0 ||
	    workspace_exec(ladder, env, find, &(struct environment_exec){.dir = "/workspace", .output = &list}, &status, NULL))
		return;
	for (size_t at = 0; at < list.length; at += strlen(list.at + at) + 1) {
		const char *path = list.at + at;
		bool wanted = false;

		for (size_t i = 0; i < suite->artefacts.count; i++)
			wanted = wanted || glob_match(suite->artefacts.at[i], path);
		if (!wanted)
			continue;
		if (taken++ == ARTEFACTS_MAX || bytes > ARTEFACTS_BYTES_MAX) {
			ladder_not_covered(ladder, "suite %s: more than %d artefacts, or %zu MiB of them: the rest was not kept",
					   suite->name, ARTEFACTS_MAX, ARTEFACTS_BYTES_MAX >> 20);
			return;
		}
		bytes += artefact_take(ladder, env, suite, path);
	}
}

/* How often programs of its workspace could not start others, so far. */
static int64_t refused_of(struct ladder *ladder, struct env_id env)
{
	AUTO_JSON shown = environment_show(ladder->request->environments, env, NULL);
	json_t *sandbox;
	size_t index;

	json_array_foreach(json_member(shown, "sandboxes"), index, sandbox)
		if (strcmp(json_text(sandbox, "kind", ""), "workspace") == 0)
			return json_number(sandbox, "pids_refused", 0);
	return 0;
}

json_t *suite_run(struct ladder *ladder, struct env_id env, const struct test_suite *suite, struct err *err)
{
	const char *const shell[] = {"sh", "-c", suite->run.shell, NULL};
	AUTO_JSON result = json_pack("{s:s, s:b, s:b, s:b, s:s, s:{}}", "suite", suite->name, "ok", 0, "timed_out", 0, "reported",
				     0, "output", "", "tests");
	AUTO_FREE char *dir = suite_dir(suite);
	AUTO_BUF end = buf_new(256);
	struct exit_status status = {EXIT_CODE, 1};
	struct err problem = {0};
	int64_t refused = refused_of(ladder, env);

	if (suite->report && workspace_exec(ladder, env, (const char *const[]){"rm", "-f", "--", suite->report, NULL},
					    &(struct environment_exec){.dir = dir}, &status, err))
		return NULL;
	if (artefacts_begin(ladder, env, suite, err))
		return NULL;
	if (workspace_exec(ladder, env, suite->run.shell ? shell : (const char *const *)suite->run.argv,
			   &(struct environment_exec){.dir = dir, .env = &suite->env, .timeout_ms = suite->timeout_ms}, &status,
			   &problem)) {
		if (problem.kind != ERR_LIMIT || ladder_stopped(ladder)) {
			*err = problem;
			return NULL;
		}
		(void)json_object_set_new(result, "timed_out", json_true());
		buf_add_format(&end, "it did not end within %lld s", (long long)suite->timeout_ms / 1000);
	} else {
		exit_status_format(&end, status);
		(void)json_object_set_new(result, "ok", json_boolean(status.reason == EXIT_CODE && status.code == 0));
	}
	json_set_bytes(result, "end", buf_view(&end));
	(void)json_object_set_new(result, "processes_refused", json_integer(refused_of(ladder, env) - refused));
	artefacts_take(ladder, env, suite);
	if (report_read(ladder, env, suite, result, err))
		return NULL;
	/* Without its services a suite fails for no fault of the code. */
	if (suite->needs_services && !json_flag(result, "ok", false) && environment_intact(ladder->request->environments, env, err))
		return NULL;
	output_quote(ladder, env, result);
	return TAKE(result);
}

bool suite_overfilled(struct ladder *ladder, struct gate *gate, const struct test_suite *suite)
{
	AUTO_FREE char *title = text_format("%s: it fills the disk on the change, and not on the base", suite->name);

	if (!ladder->overfilled[0])
		return false;
	(void)finding_add(gate->findings,
			  &(struct finding){.gate = gate->name,
					    .kind = "disk-full",
					    .place = suite->name,
					    .path = SUITE_SELF,
					    .severity = SEVERITY_BLOCK,
					    .weight = 92,
					    .title = title,
					    .detail = ladder->overfilled},
			  NULL);
	return true;
}

int suite_reset(struct ladder *ladder, struct env_id env, const struct test_suite *suite, struct err *err)
{
	if (!suite->needs_services || !ladder->blueprint->database_count)
		return 0;
	return environment_reset_data(ladder->request->environments, env, (struct progress){.cancelled = &ladder->stop}, err);
}

static const char *status_of(const json_t *result, const char *id)
{
	return json_text(json_member(json_member(result, "tests"), id), "status", "");
}

static bool is_failure(const char *status)
{
	return strcmp(status, "failed") == 0 || strcmp(status, "error") == 0;
}

bool suite_failed(const json_t *result, const char *id)
{
	const char *name;
	json_t *test;

	if (strcmp(id, SUITE_SELF) != 0)
		return is_failure(status_of(result, id));
	if (json_flag(result, "ok", false))
		return false;
	json_object_foreach(json_member(result, "tests"), name, test)
		if (is_failure(json_text(test, "status", "")))
			return false;
	return true;
}

bool suite_passed(const json_t *result, const char *id)
{
	if (strcmp(id, SUITE_SELF) == 0)
		return json_flag(result, "ok", false);
	return strcmp(status_of(result, id), "passed") == 0;
}

const char *suite_message(const json_t *result, const char *id)
{
	if (strcmp(id, SUITE_SELF) == 0)
		return json_text(result, "output", "");
	return json_text(json_member(json_member(result, "tests"), id), "message", "");
}
