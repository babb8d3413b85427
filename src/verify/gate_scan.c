/*
 * A rung that looks at what the change brings without running it: secrets, packages with known defects, licences that are not wanted, and what the
 * linters say that the base already configures.
 *
 * Theory of operation: only what is new counts. Secrets are those in the head's files that the base's do not have; packages those that the
 * head's lock files name and the base's do not; remarks of linters those that the base's tree does not give as often, by the base's
 * configuration. Linters run in the work trees of the deployed environments, which end with the next rung: what they say is of the code
 * under test, so it warns unless the blueprint says that it blocks.
 */
#include <stdlib.h>

#include "base/scope.h"
#include "verify/advisories.h"
#include "verify/integrity.h"
#include "verify/linters.h"
#include "verify/packages.h"
#include "verify/suite.h"

#define SCAN_FILES_MAX ((size_t)2000) /* looked at for secrets */
#define SCAN_BYTES_MAX ((size_t)256 << 20)
#define BINARY_LOOKED_AT ((size_t)8000) /* a zero byte there makes a file no text, as git has it */
#define LINTER_TIMEOUT_MS 180000
#define LINTER_MISSING 127
#define LINTER_FOUND 1 /* what most end with when they have remarks, and grep when it has none */
#define LINTER_FILES_MAX ((size_t)1000)

enum weight {
	WEIGHT_SECRET = 85,
	WEIGHT_MALICIOUS = 84,
	WEIGHT_ADVISORY = 60,
	WEIGHT_LICENCE = 50,
	WEIGHT_REMARK = 8,
	WEIGHT_PACKAGE = 2
};

struct scan {
	struct ladder *ladder;
	struct gate *gate;
};

static int file_of(const struct scan *scan, bool head, const char *path, struct buf *out, struct err *err)
{
	const struct verify_request *request = scan->ladder->request;

	return git_file_read(request->repository, head ? &request->head : &request->base, path, out, err);
}

static void PRINTF_LIKE(9, 10) found(struct scan *scan, const char *kind, const char *path, const char *within,
				     enum severity severity, int weight, int64_t line, const char *detail, const char *format, ...)
{
	char title[600];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(title, sizeof(title), format, args);
	va_end(args);
	(void)finding_add(scan->gate->findings,
			  &(struct finding){.gate = scan->gate->name,
					    .kind = kind,
					    .place = path,
					    .path = within,
					    .severity = severity,
					    .weight = weight,
					    .title = title,
					    .detail = detail,
					    .file = path,
					    .line = (int)line},
			  NULL);
}

/* ---- secrets ---- */

struct texts_read {
	struct buf at[SCAN_FILES_MAX];
	struct view views[SCAN_FILES_MAX];
	const json_t *changes[SCAN_FILES_MAX];
	size_t count;
	size_t bytes;
	bool cut;
};

static void texts_fini(struct texts_read **texts)
{
	for (size_t i = 0; *texts && i < (*texts)->count; i++)
		buf_fini(&(*texts)->at[i]);
	free(*texts);
}

/* The changed files as one of the two commits has them. NULL: they could not be read. */
static struct texts_read *texts_of(const struct scan *scan, bool head, struct err *err)
{
	struct texts_read *texts = mem_new(sizeof(*texts));
	size_t index;
	json_t *change;

	json_array_foreach(scan->ladder->changes, index, change) {
		const char *path = json_text(change, "path", "");
		char status = json_text(change, "status", "M")[0];
		struct buf text = buf_new(INTEGRITY_FILE_MAX);

		if (status == (head ? 'D' : 'A'))
			continue;
		if (texts->count == SCAN_FILES_MAX || texts->bytes > SCAN_BYTES_MAX) {
			texts->cut = true;
			break;
		}
		if (file_of(scan, head, head ? path : json_text(change, "old_path", path), &text, err)) {
			buf_fini(&text);
			if (err->kind != ERR_LIMIT && err->kind != ERR_NOT_FOUND) { /* a link is not there */
				texts_fini(&texts);
				return NULL;
			}
			texts->cut = texts->cut || err->kind == ERR_LIMIT;
			continue;
		}
		if (text.length && memchr(text.at, 0, text.length < BINARY_LOOKED_AT ? text.length : BINARY_LOOKED_AT)) {
			buf_fini(&text);
			continue;
		}
		texts->bytes += text.length;
		texts->at[texts->count] = text;
		texts->views[texts->count] = buf_view(&texts->at[texts->count]);
		texts->changes[texts->count++] = change;
	}
	return texts;
}

static int secrets_in(const struct scan *scan, const struct texts_read *texts, json_t *found_in, struct err *err)
{
	const struct verify_sources *sources = scan->ladder->request->sources;

	return texts->count ? sources->secrets(sources->self, texts->views, texts->count, found_in, err) : 0;
}

/* What makes it the same one: its value, wherever it stands; of too many in one file the file. Owned by the caller. */
static char *secret_key(const json_t *one, const struct texts_read *texts)
{
	const char *digest = json_text(one, "digest", "");

	if (strcmp(json_text(one, "rule", ""), SECRETS_TOO_MANY) != 0)
		return text_copy(digest);
	return text_format("%s %s", digest, json_text(texts->changes[json_number(one, "text", 0)], "path", ""));
}

static int secrets_look(struct scan *scan, struct err *err)
{
	const struct verify_sources *sources = scan->ladder->request->sources;
	__attribute__((cleanup(texts_fini))) struct texts_read *before = NULL;
	__attribute__((cleanup(texts_fini))) struct texts_read *after = NULL;
	AUTO_JSON known = json_array();
	AUTO_JSON fresh = json_array();
	AUTO_JSON old = json_object();
	size_t index;
	json_t *one;

	if (!sources || !sources->secrets) {
		ladder_not_covered(scan->ladder, "scan: nothing here looks for secrets in files");
		return 0;
	}
	before = texts_of(scan, false, err);
	after = before ? texts_of(scan, true, err) : NULL;
	if (!after)
		return -1;
	if (before->cut || after->cut)
		ladder_not_covered(scan->ladder,
				   "scan: not all changed files were looked at for secrets: they are too many, or too large");
	if (secrets_in(scan, before, known, err) || secrets_in(scan, after, fresh, err))
		return -1;
	json_array_foreach(known, index, one) {
		AUTO_FREE char *key = secret_key(one, before);

		(void)json_object_set_new(old, key, json_true());
	}
	json_array_foreach(fresh, index, one) {
		const json_t *change = after->changes[json_number(one, "text", 0)];
		const char *path = json_text(change, "path", "");
		bool mild = integrity_is_test(scan->ladder->blueprint, path) || json_flag(one, "mild", false);

		AUTO_FREE char *key = secret_key(one, after);

		if (json_flag(old, key, false))
			continue;
		gate_count_add(scan->gate, "secrets", 1);
		found(scan, "secret", path, json_text(one, "digest", ""), mild ? SEVERITY_WARN : SEVERITY_BLOCK, WEIGHT_SECRET,
		      json_number(one, "line", 0),
		      "A secret that was committed once stays in the history: it has to be revoked where it is from, not only taken out. What is none can be "
		      "declared by this finding's id.",
		      "%s holds what looks like a secret: %s", path, json_text(one, "title", ""));
	}
	return 0;
}

/* ---- packages ---- */

/* All that the changed lock files of one commit name; "file" is where. NULL: they could not be read. */
static json_t *packages_of(struct scan *scan, bool head, struct err *err)
{
	json_t *all = json_object();
	size_t index;
	json_t *change;

	json_array_foreach(scan->ladder->changes, index, change) {
		const char *path = head ? json_text(change, "path", "")
					: json_text(change, "old_path", json_text(change, "path", ""));
		AUTO_BUF text = buf_new(PACKAGES_BYTES_MAX);
		AUTO_JSON packages = json_object();
		const char *key;
		json_t *package;

		bool whole = true;

		if (!packages_locked(path))
			continue;
		if (file_of(scan, head, path, &text, err)) {
			if (err->kind == ERR_NOT_FOUND) /* in this commit */
				continue;
			if (err->kind != ERR_LIMIT) {
				json_decref(all);
				return NULL;
			}
			whole = false;
		}
		whole = whole && packages_read(path, buf_view(&text), packages) &&
			json_object_size(all) + json_object_size(packages) <= PACKAGES_MAX;
		if (!whole && head)
			ladder_not_covered(scan->ladder, "scan: %s could not be read whole: its packages were not all looked at",
					   path);
		json_object_foreach(packages, key, package)
			json_set_bytes(package, "file", view_of(path));
		if (json_object_size(all) + json_object_size(packages) <= PACKAGES_MAX)
			(void)json_object_update_missing(all, packages);
	}
	return all;
}

static void licence_judge(struct scan *scan, const json_t *package, const char *what)
{
	const struct texts *refused = &scan->ladder->blueprint->verify.refused_licences;
	const char *licence = json_text(package, "licence", "");

	for (size_t i = 0; i < refused->count; i++)
		if (licence[0] && glob_match(refused->at[i], licence))
			found(scan, "licence", json_text(package, "file", ""), what, SEVERITY_BLOCK, WEIGHT_LICENCE, 0,
			      "verify.licences of assay.yaml refuses it.", "%s has the licence %s", what, licence);
}

static void package_tell(struct scan *scan, const json_t *package)
{
	const char *file = json_text(package, "file", "");
	const char *from = json_text(package, "from", "");
	AUTO_FREE char *what = text_format("%s %s", json_text(package, "name", ""), json_text(package, "version", ""));

	licence_judge(scan, package, what);
	if (from[0])
		found(scan, "origin", file, what, SEVERITY_WARN, WEIGHT_PACKAGE, 0,
		      "Nobody but its author says what is in it, and it may be another thing tomorrow.",
		      "%s comes from %s, not from its registry", what, from);
	if (json_flag(package, "script", false))
		found(scan, "install-script", file, what, SEVERITY_WARN, WEIGHT_PACKAGE, 0, "",
		      "%s runs code of its own when it is installed", what);
	found(scan, "package", file, what, SEVERITY_INFO, WEIGHT_PACKAGE, 0, "", "new package: %s (%s)%s%s", what,
	      json_text(package, "ecosystem", ""), json_text(package, "licence", NULL) ? ", licence " : "",
	      json_text(package, "licence", ""));
}

static void advisory_tell(struct scan *scan, const json_t *advisory, const json_t *package)
{
	const char *severity = json_text(advisory, "severity", "");
	bool malicious = strcmp(severity, "malicious") == 0;
	bool blocks = malicious || strcmp(severity, "critical") == 0 || strcmp(severity, "high") == 0;
	AUTO_FREE char *within = text_format("%s %s", json_text(package, "name", ""), json_text(advisory, "id", ""));

	gate_count_add(scan->gate, "advisories", 1);
	found(scan, "advisory", json_text(package, "file", ""), within, blocks ? SEVERITY_BLOCK : SEVERITY_WARN,
	      malicious ? WEIGHT_MALICIOUS : WEIGHT_ADVISORY, 0, json_text(advisory, "summary", ""),
	      "%s %s has a known defect: %s%s%s%s", json_text(package, "name", ""), json_text(package, "version", ""),
	      json_text(advisory, "id", ""), severity[0] ? " (" : "", severity, severity[0] ? ")" : "");
}

static int packages_look(struct scan *scan, struct err *err)
{
	const struct verify_sources *sources = scan->ladder->request->sources;
	AUTO_JSON before = packages_of(scan, false, err);
	AUTO_JSON after = before ? packages_of(scan, true, err) : NULL;
	AUTO_JSON fresh = json_array();
	AUTO_JSON known = json_array();
	AUTO_JSON missing = json_array();
	const char *key;
	json_t *one;
	size_t index;

	if (!after)
		return -1;
	json_object_foreach(after, key, one)
		if (!json_member(before, key))
			(void)json_array_append(fresh, one);
	gate_count(scan->gate, "packages", (int64_t)json_array_size(fresh));
	json_array_foreach(fresh, index, one)
		package_tell(scan, one);
	if (advisories_search(sources ? sources->advisories_dir : NULL, scan->ladder->request->cache_dir, fresh, known, missing,
			      &scan->ladder->stop, err))
		return err_prefix(err, "advisories");
	json_array_foreach(known, index, one)
		advisory_tell(scan, one, json_array_get(fresh, (size_t)json_number(one, "package", 0)));
	json_array_foreach(missing, index, one)
		ladder_not_covered(scan->ladder, "scan: no advisories for %s on this machine (doc/verify.md says where they lie)",
				   json_string_value(one));
	return 0;
}

/* ---- linters ---- */

struct lint {
	const char *name;
	const char *dir;   /* below the work tree */
	const char *file;  /* that it writes; NULL: it prints */
	char *const *argv; /* or a line for sh: */
	const char *shell;
	json_t *files; /* that it is given, [path]; NULL: none */
	bool blocks;
	bool asked; /* nobody configured it: that it is not there is nothing to tell */
};

/* What it came to on one of the two versions. */
struct linted {
	const struct lint *lint;
	json_t *remarks;
	int code; /* that it ended with */
	bool missing;
	bool cut;
};

/* sh with the files behind the line. Owned by the caller; the texts are not. */
static const char **lint_argv(const struct lint *lint)
{
	size_t files = json_array_size(lint->files) < LINTER_FILES_MAX ? json_array_size(lint->files) : LINTER_FILES_MAX;
	const char **argv = mem_new_array(files + 5, sizeof(*argv));
	size_t count = 0;

	argv[count++] = "sh";
	argv[count++] = "-c";
	argv[count++] = lint->shell;
	argv[count++] = "sh";
	for (size_t i = 0; i < files; i++)
		argv[count++] = json_string_value(json_array_get(lint->files, i));
	return argv;
}

/* Its output, or the file it writes, and not one that lay there before. */
static int lint_output(struct side *side, struct linted *linted, struct buf *output)
{
	const struct lint *lint = linted->lint;
	const char **argv = lint->shell ? lint_argv(lint) : NULL;
	AUTO_BUF said = buf_new(LINT_BYTES_MAX);
	AUTO_BUF errors = buf_new(LINT_BYTES_MAX);
	struct environment_exec exec = {
		.dir = lint->dir, .output = &said, .errors = &errors, .timeout_ms = LINTER_TIMEOUT_MS, .sweep = true};
	struct environment_exec beside = {.dir = lint->dir, .output = output, .errors = &errors};
	struct exit_status status = {EXIT_CODE, 0};
	int result = lint->file ? workspace_exec(side->ladder, side->env, (const char *const[]){"rm", "-f", "--", lint->file, NULL},
						 &beside, &status, &side->err)
				: 0;

	if (result == 0)
		result = workspace_exec(side->ladder, side->env, argv ? argv : (const char *const *)lint->argv, &exec, &status,
					&side->err);
	free(argv);
	if (result)
		return -1;
	linted->missing = status.reason == EXIT_CODE && (status.code == LINTER_MISSING || status.code == LINTER_MISSING - 1);
	linted->code = status.reason == EXIT_CODE ? status.code : -1;
	linted->cut = said.over;
	if (!lint->file) {
		buf_add_view(output, buf_view(&said));
		return 0;
	}
	buf_clear(output);
	if (workspace_exec(side->ladder, side->env, (const char *const[]){"cat", "--", lint->file, NULL}, &beside, &status,
			   &side->err))
		return -1;
	if (status.reason != EXIT_CODE || status.code)
		return err_set(&side->err, ERR_NOT_FOUND, "it wrote no %s", lint->file);
	return 0;
}

static void lint_work(struct side *side)
{
	struct linted *linted = (struct linted *)(uintptr_t)side->argument;
	AUTO_FREE char *name = text_format("%s-%s.txt", linted->lint->name, side->label);
	AUTO_BUF output = buf_new(LINT_BYTES_MAX);

	side->result = lint_output(side, linted, &output);
	if (side->result || linted->missing)
		return;
	linted->cut = !lint_read(buf_view(&output), "/workspace", linted->remarks) || linted->cut || output.over;
	if (linted->code && linted->code != LINTER_FOUND && !json_array_size(linted->remarks))
		side->result = err_set(&side->err, ERR_INVALID, "it ends with %d and says nothing", linted->code);
	ladder_artefact(side->ladder, name, buf_view(&output));
}

static void remarks_tell(struct scan *scan, const struct lint *lint, const json_t *base, const json_t *head)
{
	AUTO_JSON fresh = lint_fresh(base, head);
	size_t index;
	json_t *remark;

	json_array_foreach(fresh, index, remark) {
		const char *path = json_text(remark, "path", "");
		const char *rule = json_text(remark, "rule", "");
		AUTO_FREE char *within = text_format("%s %s", rule, json_text(remark, "text", ""));

		gate_count_add(scan->gate, "remarks", 1);
		found(scan, lint->name, path, within, lint->blocks ? SEVERITY_BLOCK : SEVERITY_WARN, WEIGHT_REMARK,
		      json_number(remark, "line", 0), "", "%s: %s:%lld: %s%s%s", lint->name, path,
		      (long long)json_number(remark, "line", 0), json_text(remark, "text", ""), rule[0] ? " " : "", rule);
	}
}

/* What blocks, when it speaks, must not be silenced by being broken. */
static void lint_failed(struct scan *scan, const struct lint *lint, const struct side *sides)
{
	const struct side *failed = sides[0].result ? &sides[0] : &sides[1];

	ladder_not_covered(scan->ladder, "scan: %s did not end well: %s", lint->name, failed->err.text);
	if (lint->blocks && !sides[0].result)
		found(scan, "linter-fails", lint->name, "", SEVERITY_BLOCK, WEIGHT_REMARK, 0, failed->err.text,
		      "%s ends well on the base, and not on the change", lint->name);
}

/* What it said of both, or why it said nothing. */
static void lint_judge(struct scan *scan, const struct lint *lint, const struct side *sides, const struct linted *linted)
{
	if (sides[0].result || sides[1].result) {
		lint_failed(scan, lint, sides);
	} else if (linted[0].missing || linted[1].missing) {
		if (!lint->asked)
			ladder_not_covered(scan->ladder, "scan: %s is configured, and is not there to be run", lint->name);
	} else {
		if (linted[0].cut || linted[1].cut)
			ladder_not_covered(scan->ladder, "scan: %s says more than is read", lint->name);
		gate_count_add(scan->gate, "linters", 1);
		remarks_tell(scan, lint, linted[0].remarks, linted[1].remarks);
	}
}

static int lint_run(struct scan *scan, const struct lint *lint, struct err *err)
{
	struct ladder *ladder = scan->ladder;
	AUTO_JSON base = json_array();
	AUTO_JSON head = json_array();
	struct linted linted[] = {{.lint = lint, .remarks = base}, {.lint = lint, .remarks = head}};
	struct side sides[] = {
		{.ladder = ladder, .gate = "scan", .label = "base", .env = ladder->base_env, .argument = &linted[0]},
		{.ladder = ladder, .gate = "scan", .label = "head", .env = ladder->head_env, .argument = &linted[1]}};

	ladder_report(ladder, "scan", lint->name, "", -1);
	sides_run(lint_work, (struct side *const[]){&sides[0], &sides[1]}, ARRAY_LEN(sides));
	if (ladder_stopped(ladder))
		return err_set(err, ERR_CANCELLED, "the verification was stopped");
	lint_judge(scan, lint, sides, linted);
	return 0;
}

/* Is one of its files in the base's tree, with the text that says so? *config is the file. */
static bool linter_configured(const struct scan *scan, const struct linter *linter, const json_t *there, const char **config)
{
	for (size_t i = 0; i < ARRAY_LEN(linter->configs) && linter->configs[i]; i++) {
		AUTO_BUF text = buf_new(INTEGRITY_FILE_MAX);

		*config = linter->configs[i];
		if (!json_member(there, linter->configs[i]))
			continue;
		if (!linter->within || (file_of(scan, false, linter->configs[i], &text, NULL) == 0 &&
					view_find(buf_view(&text), view_of(linter->within)) >= 0))
			return true;
	}
	*config = NULL;
	return !linter->configs[0];
}

/* The changed files of both commits that it takes: what only one has, the other says nothing about. */
static json_t *files_of(const struct scan *scan, const struct linter *linter)
{
	json_t *files = json_array();
	size_t index;
	json_t *change;

	json_array_foreach(scan->ladder->changes, index, change) {
		const char *path = json_text(change, "path", "");

		if (json_text(change, "status", "D")[0] != 'D' && linter_takes(linter, path))
			(void)json_array_append_new(files, json_string(path));
	}
	return files;
}

static int known_run(struct scan *scan, const struct linter *linter, struct err *err)
{
	AUTO_FREE char *shell = text_format("command -v %s >/dev/null || exit %d; %s", linter->program, LINTER_MISSING,
					    linter->command);
	AUTO_JSON files = linter->files ? files_of(scan, linter) : NULL;
	struct lint lint = {.name = linter->name, .shell = shell, .files = files, .asked = !linter->configs[0]};

	return files && !json_array_size(files) ? 0 : lint_run(scan, &lint, err);
}

/* The head's work tree as its commit is, but for the files by which linters and runners are told what to do: those are the base's. */
static int head_make(struct scan *scan, json_t *configs, struct err *err)
{
	struct ladder *ladder = scan->ladder;
	AUTO_JSON put = json_array();
	AUTO_JSON gone = json_array();
	size_t index;
	json_t *change;

	json_array_foreach(ladder->changes, index, change) {
		const char *path = json_text(change, "path", "");
		const char *old = json_text(change, "old_path", path);
		char status = json_text(change, "status", "M")[0];

		if (status != 'A' && integrity_is_runner_config(old))
			(void)json_array_append_new(configs, json_string(old));
		if (status == 'D' || (integrity_is_runner_config(path) && (status == 'A' || strcmp(old, path) != 0)))
			(void)json_array_append_new(gone, json_string(path));
		else if (!integrity_is_runner_config(path))
			(void)json_array_append_new(put, json_string(path));
	}
	return files_remove(ladder, ladder->head_env, gone, err) ||
			       files_put(ladder, ladder->head_env, &ladder->request->head, put, err) ||
			       files_put(ladder, ladder->head_env, &ladder->request->base, configs, err)
		       ? -1
		       : 0;
}

static int own_run(struct scan *scan, const struct linter_run *run, struct err *err)
{
	AUTO_FREE char *dir = run->dir ? text_format("/workspace/%s", run->dir) : text_copy("/workspace");
	struct lint lint = {.name = run->name,
			    .dir = dir,
			    .file = run->report,
			    .argv = run->run.argv,
			    .shell = run->run.shell,
			    .blocks = run->blocks};

	return lint_run(scan, &lint, err);
}

static int linters_look(struct scan *scan, struct err *err)
{
	const struct blueprint *blueprint = scan->ladder->blueprint;
	AUTO_JSON paths = tree_paths(scan->ladder, &scan->ladder->request->base, err);
	AUTO_JSON there = json_object();
	AUTO_JSON configs = json_array();
	const struct linter *used[32];
	size_t count = 0;
	size_t index;
	json_t *path;

	if (!paths)
		return -1;
	json_array_foreach(paths, index, path)
		(void)json_object_set_new(there, json_string_value(path), json_true());
	for (size_t i = 0; i < linters_known_count && count < ARRAY_LEN(used); i++) {
		const char *config;

		if (!linter_configured(scan, &linters_known[i], there, &config))
			continue;
		used[count++] = &linters_known[i];
		if (config)
			(void)json_array_append_new(configs, json_string(config));
	}
	if (!count && !blueprint->verify.linter_count)
		return 0;
	if (head_make(scan, configs, err))
		return -1;
	for (size_t i = 0; i < count; i++)
		if (known_run(scan, used[i], err))
			return -1;
	for (size_t i = 0; i < blueprint->verify.linter_count; i++)
		if (own_run(scan, &blueprint->verify.linters[i], err))
			return -1;
	return 0;
}

int gate_scan(struct ladder *ladder, struct gate *gate, struct err *err)
{
	struct scan scan = {ladder, gate};

	return secrets_look(&scan, err) || packages_look(&scan, err) || linters_look(&scan, err) ? -1 : 0;
}
