/* The rules, one function each, on one changed file or on all of them. */
#include "verify/integrity.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"
#include "verify/finding.h"
#include "verify/integrity_priv.h"

#define SKIP_LOOK ((size_t)2000) /* from a mark on a test to its name */
#define LOCK_FILE_MAX ((size_t)32 << 20)
#define READ_MAX ((size_t)1 << 30) /* of all files of a change */
#define FILES_MAX 1000             /* of a change that are read; more is said in a finding */

void integrity_add(struct check *check, const struct finding *about, const char *format, ...)
{
	struct finding finding = *about;
	char title[400];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(title, sizeof(title), format, args);
	va_end(args);
	finding.gate = "integrity";
	finding.file = about->place;
	finding.title = title;
	(void)finding_add(check->findings, &finding, NULL);
}

/* ---- what a path is ---- */

static bool any_matches(const struct texts *globs, const char *path)
{
	for (size_t i = 0; i < globs->count; i++)
		if (glob_match(globs->at[i], path))
			return true;
	return false;
}

bool integrity_matches(const char *const *rows, size_t count, const char *path)
{
	for (size_t i = 0; i < count; i++)
		if (glob_match(rows[i], path))
			return true;
	return false;
}

static bool is_ci(const char *path)
{
	for (const char *const *glob = blueprint_ci_globs; *glob; glob++)
		if (glob_match(*glob, path))
			return true;
	return false;
}

bool integrity_is_code(const char *path)
{
	return language_of(path) != NULL;
}

bool integrity_is_runner_config(const char *path)
{
	static const char *const rows[] = {
		/* runners of tests, and what they load first */
		"**/jest.config.*", "**/jest.setup.*", "**/jest-setup.*", "**/setup-jest.*", "**/setupTests.*", "**/setupJest.*",
		"**/vitest.config.*", "**/vitest.setup.*", "**/vitest.workspace.*", "**/vite.config.*", "**/.mocharc*",
		"**/karma.conf.*", "**/playwright.config.*", "**/cypress.config.*", "**/cypress.json", "**/wdio.conf.*",
		"**/ava.config.*", "**/.taprc", "**/jasmine.json", "**/.babelrc*", "**/babel.config.*", "**/.swcrc",
		"**/pytest.ini", "**/.pytest.ini", "**/pytest.toml", "**/conftest.py", "**/tox.ini", "**/setup.cfg", "**/nose2.cfg",
		"**/noxfile.py", "**/phpunit.xml*", "**/.rspec", "**/.config/nextest.toml", "**/CTestCustom.cmake", "**/.env.test",
		"**/.env.testing", "**/.env.ci",
		/* of the programs that start them */
		"**/.npmrc", "**/.yarnrc*", "**/.pnpmfile.cjs", "**/bunfig.toml", "**/.cargo/config", "**/.cargo/config.toml",
		"**/.bazelrc", "**/.noderc",
		/* coverage */
		"**/.coveragerc", "**/codecov.yml", "**/.codecov.yml", "**/.nycrc*", "**/nyc.config.*", "**/.c8rc*",
		"**/.simplecov", "**/.lcovrc", "**/gcovr.cfg",
		/* linters */
		"**/.eslintrc*", "**/.eslintignore", "**/eslint.config.*", "**/biome.json*", "**/.oxlintrc.json", "**/.pylintrc",
		"**/pylintrc", "**/.flake8", "**/ruff.toml", "**/.ruff.toml", "**/mypy.ini", "**/.mypy.ini", "**/.golangci.*",
		"**/.clang-tidy", "**/clippy.toml", "**/.clippy.toml", "**/.rubocop.yml", "**/.rubocop_todo.yml",
		"**/.stylelintrc*", "**/.shellcheckrc", "**/.semgrepignore", "**/phpstan.neon*"};

	return integrity_matches(rows, ARRAY_LEN(rows), path);
}

bool integrity_is_test(const struct blueprint *blueprint, const char *path)
{
	static const char *const rows[] = {"**/*.test.*", "**/*.spec.*",   "**/*_test.*", "**/test_*.*",     "test/**",
					   "tests/**",    "**/test/**",    "**/tests/**", "**/__tests__/**", "spec/**",
					   "**/spec/**",  "**/*Test.java", "**/*Test.kt"};

	for (size_t i = 0; blueprint && i < blueprint->test_count; i++)
		if (any_matches(&blueprint->tests[i].files, path))
			return true;
	return language_of(path) && integrity_matches(rows, ARRAY_LEN(rows), path);
}

/* ---- lines ---- */

static char *line_key(struct view line)
{
	return view_copy(view_trim(line));
}

struct fresh_lines fresh_lines_new(struct view text, struct view other)
{
	struct fresh_lines lines = {.rest = text, .others = json_object()};

	while (other.length) {
		AUTO_FREE char *key = line_key(view_cut(other, '\n', &other));

		(void)json_object_set_new_nocheck(lines.others, key, json_integer(json_number(lines.others, key, 0) + 1));
	}
	return lines;
}

bool fresh_lines_next(struct fresh_lines *lines, struct view *line)
{
	while (lines->rest.length) {
		struct view whole = view_cut(lines->rest, '\n', &lines->rest);
		AUTO_FREE char *key = line_key(whole);
		int64_t left = json_number(lines->others, key, 0);

		lines->number++;
		if (left > 0) {
			(void)json_object_set_new_nocheck(lines->others, key, json_integer(left - 1));
			continue;
		}
		*line = view_trim(whole);
		if (line->length)
			return true;
	}
	json_decref(lines->others);
	lines->others = NULL;
	return false;
}

/* ---- rules on one file ---- */

static void check_protected(struct check *check, const struct changed *file)
{
	static const char advice[] = "A person must approve this: undo it, or say in the pull request why it is needed.";
	const char *how = file->status == 'D' ? "deleted" : file->status == 'A' ? "added" : "changed";
	const char *paths[] = {file->path, file->old_path};

	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		/* Who approves it approves what it is now. */
		struct finding about = {
			.kind = "protected", .weight = WEIGHT_PROTECTED, .place = paths[i], .bound = file->blob, .detail = advice};

		if (!paths[i])
			continue;
		if (strcmp(paths[i], "assay.yaml") == 0) {
			integrity_add(check, &about, "the blueprint says how this change is judged, and was %s", how);
		} else if (any_matches(&check->blueprint->verify.protected_paths, paths[i])) {
			integrity_add(check, &about, "%s is protected, and was %s", paths[i], how);
		} else if (is_ci(paths[i])) {
			about.kind = "ci";
			about.weight--;
			integrity_add(check, &about, "%s runs the checks, and was %s", paths[i], how);
		} else if (integrity_is_runner_config(paths[i])) {
			about.kind = "runner-config";
			about.severity = SEVERITY_WARN;
			about.weight = WEIGHT_SLIGHT + 5;
			about.detail = "Tests were judged with the configuration of the base.";
			integrity_add(check, &about, "the configuration %s of what checks the code was %s", paths[i], how);
		}
	}
}

/* The test that a line skips: the first one from there on. Owned by the caller. */
static char *test_skipped(const struct changed *file, struct view line, struct view rest)
{
	size_t length = line.length + (rest.length ? (size_t)(rest.at - line.at) - line.length + rest.length : 0);
	AUTO_JSON names = integrity_tests_of(file->path, view_make(line.at, length < SKIP_LOOK ? length : SKIP_LOOK));

	return text_copy(json_array_size(names) ? json_string_value(json_array_get(names, 0)) : "");
}

static void check_skips(struct check *check, struct changed *file)
{
	const struct language *language = language_of(file->path);
	struct fresh_lines lines;
	struct view line;

	if (!language || !file->test)
		return;
	lines = fresh_lines_new(buf_view(&file->head), buf_view(&file->base));
	while (fresh_lines_next(&lines, &line)) {
		bool skip = line_has_any(line, language->skips, ARRAY_LEN(language->skips));
		bool only = line_has_any(line, language->onlys, ARRAY_LEN(language->onlys));
		AUTO_FREE char *shown = view_copy(view_make(line.at, line.length < 120 ? line.length : 120));

		if (!skip && !only)
			continue;
		AUTO_FREE char *skipped = test_skipped(file, line, lines.rest);

		integrity_add(check,
			      &(struct finding){
				      .kind = only ? "only" : "skipped",
				      .severity = SEVERITY_BLOCK,
				      .weight = WEIGHT_SKIPPED,
				      .place = file->path,
				      .path = shown,
				      .bound = skipped,
				      .line = lines.number,
				      .detail = "A test that does not run proves nothing: mend the code, or let a person decide."},
			      "%s:%d: %s: %s", file->path, lines.number, only ? "only some tests run now" : "a test is skipped",
			      shown);
	}
}

static void check_assertions(struct check *check, struct changed *file)
{
	size_t before = assertions_of(file->old_path ? file->old_path : file->path, buf_view(&file->base));
	size_t after = assertions_of(file->path, buf_view(&file->head));
	struct finding about = {
		.kind = "weakened",
		.severity = SEVERITY_WARN,
		.weight = WEIGHT_SLIGHT + 8,
		.place = file->path,
		.detail =
			"The tests of the base were run on the change as well; a person should look at what is not asserted any more."};
	AUTO_JSON names = NULL;

	if (!file->test || file->status == 'D' || file->status == 'A' || after >= before)
		return;
	names = integrity_tests_of(file->path, buf_view(&file->head));
	if (!after && json_array_size(names)) {
		about.kind = "asserts-nothing";
		about.severity = SEVERITY_BLOCK;
		about.weight = WEIGHT_SKIPPED;
		about.bound = file->blob;
		integrity_add(check, &about, "the tests of %s assert nothing any more", file->path);
	} else {
		integrity_add(check, &about, "%s asserts less: %zu assertions instead of %zu", file->path, after, before);
	}
}

static bool is_command_file(const char *path)
{
	static const char *const rows[] = {"**/package.json", "**/Makefile",      "**/makefile",    "**/*.mk",
					   "**/*.sh",         "**/justfile",      "**/Taskfile*",   "**/tox.ini",
					   "**/Procfile",     "**/composer.json", "**/GNUmakefile", "**/Justfile"};

	return is_ci(path) || integrity_matches(rows, ARRAY_LEN(rows), path);
}

/* Commands that cannot fail any more, where tests are started. */
static void check_commands(struct check *check, struct changed *file)
{
	static const char *const rows[] = {"|| true",
					   "||true",
					   "|| exit 0",
					   "; exit 0",
					   "--passWithNoTests",
					   "--pass-with-no-tests",
					   "continue-on-error: true",
					   "allow_failure: true",
					   "|| :",
					   "set +e",
					   "--no-verify",
					   "--exitfirst=0"};
	struct fresh_lines lines;
	struct view line;

	if (!is_command_file(file->path) || file->status == 'D')
		return;
	lines = fresh_lines_new(buf_view(&file->head), buf_view(&file->base));
	while (fresh_lines_next(&lines, &line)) {
		bool tests = view_find(line, VIEW("test")) >= 0 || view_find(line, VIEW("lint")) >= 0 ||
			     view_find(line, VIEW("check")) >= 0 || is_ci(file->path);
		AUTO_FREE char *shown = view_copy(view_make(line.at, line.length < 120 ? line.length : 120));
		bool quiet = view_is(line, "exit 0") && file->test;

		for (size_t i = 0; !quiet && i < ARRAY_LEN(rows); i++)
			quiet = view_find(line, view_of(rows[i])) >= 0;
		if (!quiet)
			continue;
		integrity_add(check,
			      &(struct finding){.kind = "cannot-fail",
						.severity = tests || file->test ? SEVERITY_BLOCK : SEVERITY_WARN,
						.weight = WEIGHT_COMMAND,
						.place = file->path,
						.path = shown,
						.line = lines.number,
						.detail = "A check that cannot fail proves nothing."},
			      "%s:%d: a command cannot fail any more: %s", file->path, lines.number, shown);
	}
}

/* ---- tests over all files ---- */

static void tests_note(json_t *index, const char *path, const json_t *names)
{
	for (size_t i = 0; i < json_array_size(names); i++)
		(void)json_object_set_new(index, json_string_value(json_array_get(names, i)), json_string(path));
}

static void tests_collect(struct check *check, struct changed *file)
{
	AUTO_JSON before = NULL;
	AUTO_JSON after = NULL;

	if (!file->test)
		return;
	before = integrity_tests_of(file->old_path ? file->old_path : file->path, buf_view(&file->base));
	after = integrity_tests_of(file->path, buf_view(&file->head));
	tests_note(check->base_tests, file->old_path ? file->old_path : file->path, before);
	tests_note(check->head_tests, file->path, after);
}

/* Of one file: how many of its tests are nowhere any more, and how many the change has that were nowhere. */
static void check_removed(struct check *check, const struct changed *file)
{
	const char *path = file->old_path ? file->old_path : file->path;
	AUTO_BUF names = buf_new(INTEGRITY_FILE_MAX); /* who lets them go has seen which */
	size_t gone = 0;
	size_t fresh = 0;
	const char *name;
	const char *first = NULL;
	json_t *at;

	if (!file->test || file->status == 'A')
		return;
	json_object_foreach(check->base_tests, name, at) {
		if (strcmp(json_string_value(at), path) != 0 || json_object_get(check->head_tests, name))
			continue;
		gone++;
		first = first ? first : name;
		buf_add_format(&names, "%s\n", name);
	}
	json_object_foreach(check->head_tests, name, at)
		fresh += strcmp(json_string_value(at), file->path) == 0 && !json_object_get(check->base_tests, name);
	if (file->status == 'D' && !gone && !language_of(path))
		integrity_add(check,
			      &(struct finding){.kind = "removed",
						.severity = SEVERITY_BLOCK,
						.weight = WEIGHT_REMOVED,
						.place = path,
						.detail = "Put it back, or let a person decide."},
			      "the test file %s was removed", path);
	if (!gone)
		return;
	if (file->status != 'D' && fresh >= gone)
		integrity_add(
			check,
			&(struct finding){
				.kind = "renamed",
				.severity = SEVERITY_WARN,
				.weight = WEIGHT_SLIGHT + 4,
				.place = file->path,
				.detail =
					"As many are new: they may have been renamed. The tests of the base were run on the change as well."},
			"%s: %zu tests are gone, first `%s`", file->path, gone, first);
	else
		integrity_add(
			check,
			&(struct finding){
				.kind = "removed",
				.severity = SEVERITY_BLOCK,
				.weight = WEIGHT_REMOVED,
				.place = path,
				.bound = names.at,
				.detail = "Put them back, or let a person decide: what they checked is not checked any more."},
			"%s: %zu tests were removed, first `%s`", path, gone, first);
}

static bool readable(const struct changed *file)
{
	return file->test || is_command_file(file->path) || integrity_is_manifest(file->path) || language_of(file->path);
}

/* False: there is more of it than is read. What is not there, as a link, is empty. */
static bool text_read(const struct check *check, bool head, const char *path, struct buf *out)
{
	int failed = check->reader.read(check->reader.self, head, path, out);
	bool over = buf_finish(out, NULL) != 0;

	if (failed || over)
		buf_clear(out);
	return !over;
}

/* Does somebody write it by hand, so that none is as large? What others are made of, as snapshots of tests, may be. */
static bool is_written(const struct changed *file)
{
	return language_of(file->path) || is_command_file(file->path);
}

/* What a package manager writes, which is as large as what the project needs. */
static bool is_lock(const char *path)
{
	static const char *const rows[] = {"**/*.lock", "**/package-lock.json", "**/npm-shrinkwrap.json", "**/pnpm-lock.yaml"};

	return integrity_matches(rows, ARRAY_LEN(rows), path);
}

static void file_read_both(struct check *check, struct changed *file)
{
	size_t most = is_lock(file->path) ? LOCK_FILE_MAX : INTEGRITY_FILE_MAX;
	bool was_whole = true;
	bool whole = true;
	bool tight = most > READ_MAX - check->bytes;

	if (tight)
		most = READ_MAX - check->bytes;
	file->base = buf_new(most);
	file->head = buf_new(most);
	if (!readable(file))
		return;
	if (file->status != 'A')
		was_whole = text_read(check, false, file->old_path ? file->old_path : file->path, &file->base);
	if (file->status != 'D')
		whole = text_read(check, true, file->path, &file->head);
	check->bytes += file->base.length + file->head.length;
	if (check->bytes > READ_MAX)
		check->bytes = READ_MAX;
	if (whole || !(is_written(file) || integrity_is_manifest(file->path)))
		return;
	/* What was as large before, as a bundle that is built, does not stop every change of it. */
	integrity_add(check,
		      &(struct finding){.kind = "not-read",
					.severity = was_whole || tight ? SEVERITY_BLOCK : SEVERITY_WARN,
					.weight = was_whole || tight ? WEIGHT_COMMAND : WEIGHT_SLIGHT + 2,
					.place = file->path,
					.bound = file->blob,
					.detail = "No rule was asked about what it says: a person must see why it is so large."},
		      "%s is too large, and was not read", file->path);
}

static struct changed changed_of(const struct blueprint *blueprint, const json_t *change)
{
	struct changed file = {.path = json_text(change, "path", ""),
			       .old_path = json_text(change, "old_path", NULL),
			       .blob = json_text(change, "blob", ""),
			       .status = json_text(change, "status", "M")[0]};

	file.test = integrity_is_test(blueprint, file.path) || (file.old_path && integrity_is_test(blueprint, file.old_path));
	return file;
}

/* What judges is read before what is judged: nobody hides the one behind much of the other. */
static bool is_judge(const struct changed *file)
{
	return file->test || is_command_file(file->path) || integrity_is_manifest(file->path);
}

/* The changed files in the order in which they are looked at; *judges of them judge. Owned by the caller. */
static struct changed *changed_all(const json_t *changes, const struct blueprint *blueprint, size_t *judges)
{
	size_t count = json_array_size(changes);
	struct changed *files = mem_new_array(count + 1, sizeof(*files));
	size_t at = 0;

	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < count; i++) {
			struct changed file = changed_of(blueprint, json_array_get(changes, i));

			if (is_judge(&file) == (pass == 0))
				files[at++] = file;
		}
		if (pass == 0)
			*judges = at;
	}
	return files;
}

static void file_check(struct check *check, struct changed *file)
{
	file_read_both(check, file);
	check_skips(check, file);
	check_assertions(check, file);
	check_commands(check, file);
	integrity_check_code(check, file);
	integrity_check_sources(check, file);
	tests_collect(check, file);
}

json_t *integrity_check(const json_t *changes, const struct blueprint *blueprint, const json_t *literals, struct file_reader reader)
{
	struct check check = {blueprint, literals, reader, json_array(), json_object(), json_object(), 0};
	size_t all = json_array_size(changes);
	size_t count = all < FILES_MAX ? all : FILES_MAX;
	size_t judges = 0;
	struct changed *files = changed_all(changes, blueprint, &judges);

	for (size_t i = 0; i < all; i++) { /* what a path says alone is looked at in all */
		check_protected(&check, &files[i]);
		integrity_check_place(&check, &files[i]);
	}
	for (size_t i = 0; i < count; i++)
		file_check(&check, &files[i]);
	integrity_check_runners(&check, files, count);
	for (size_t i = 0; i < count; i++) {
		check_removed(&check, &files[i]);
		buf_fini(&files[i].base);
		buf_fini(&files[i].head);
	}
	if (all > count)
		integrity_add(&check,
			      &(struct finding){.kind = "too-many-files",
						.severity = judges > count ? SEVERITY_BLOCK : SEVERITY_WARN,
						.weight = WEIGHT_SLIGHT,
						.place = "",
						.detail = "A person should look at the rest."},
			      "only %d of %zu changed files were looked at", FILES_MAX, all);
	json_decref(check.base_tests);
	json_decref(check.head_tests);
	free(files);
	findings_sort(check.findings);
	return check.findings;
}
