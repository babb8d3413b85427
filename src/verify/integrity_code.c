/* Rules on code that is no test: what it does to its own judges. */
#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"
#include "verify/integrity_priv.h"

#define RUNNERS_OWN 5 /* of the variables below */
#define SHOWN ((size_t)120)

/* Code that asks whether it is being tested, or that knows an answer by heart. */
static void check_special_cases(struct check *check, struct changed *file)
{
	/* The first are set by runners of tests alone: nothing but a test is meant by them. */
	static const char *const rows[] = {"NODE_TEST_CONTEXT",
					   "JEST_WORKER_ID",
					   "VITEST_WORKER_ID",
					   "PYTEST_CURRENT_TEST",
					   "ASSAY_ENV",
					   "NODE_ENV === 'test'",
					   "NODE_ENV === \"test\"",
					   "NODE_ENV == 'test'",
					   "process.env.CI",
					   "'pytest' in sys.modules",
					   "\"pytest\" in sys.modules",
					   "'unittest' in sys.modules",
					   "npm_lifecycle_event",
					   "testing.Testing()",
					   "GITHUB_ACTIONS",
					   "getenv(\"CI\")",
					   "os.environ.get(\"CI\")",
					   "os.environ.get('CI')"};
	struct fresh_lines lines;
	struct view line;

	if (file->test || !language_of(file->path) || file->status == 'D')
		return;
	lines = fresh_lines_new(buf_view(&file->head), buf_view(&file->base));
	while (fresh_lines_next(&lines, &line)) {
		size_t index;
		json_t *literal;

		for (size_t i = 0; i < ARRAY_LEN(rows); i++)
			if (view_find(line, view_of(rows[i])) >= 0)
				integrity_add(check,
					      &(struct finding){.kind = "asks-if-tested",
								.severity = i < RUNNERS_OWN ? SEVERITY_BLOCK : SEVERITY_WARN,
								.weight = i < RUNNERS_OWN ? WEIGHT_ASKS : WEIGHT_SLIGHT + 6,
								.place = file->path,
								.path = rows[i],
								.line = lines.number,
								.detail = "Code that behaves otherwise under test is not tested."},
					      "%s:%d: code asks whether it is tested: %s", file->path, lines.number, rows[i]);
		json_array_foreach(check->literals, index, literal) {
			struct view text = view_make(json_string_value(literal), json_string_length(literal));

			if (text.length >= INTEGRITY_LITERAL_MIN && view_find(line, text) >= 0 &&
			    view_find(buf_view(&file->base), text) < 0)
				integrity_add(
					check,
					&(struct finding){
						.kind = "knows-the-answer",
						.severity = SEVERITY_WARN,
						.weight = WEIGHT_SLIGHT + 7,
						.place = file->path,
						.path = json_string_value(literal),
						.line = lines.number,
						.detail =
							"A text of a recorded answer stands in the code: a person should see whether it is a special case."},
					"%s:%d: code knows a recorded answer: %.60s", file->path, lines.number,
					json_string_value(literal));
		}
	}
}

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '$';
}

/* `assert.equal = …`, `expect(…).toBe = …` and the like: an assertion is given another meaning. */
static bool assigns_to(struct view line, const char *owner)
{
	struct view rest = line;
	ptrdiff_t at;

	while ((at = view_find(rest, view_of(owner))) >= 0) {
		rest = view_make(rest.at + (size_t)at + strlen(owner), rest.length - (size_t)at - strlen(owner));
		struct view behind = rest;

		while (behind.length && is_word(behind.at[0]))
			behind = view_make(behind.at + 1, behind.length - 1);
		behind = view_trim(behind);
		if (behind.length > 1 && behind.at[0] == '=' && behind.at[1] != '=' && behind.at[1] != '>')
			return true;
	}
	return false;
}

static void check_patches(struct check *check, struct changed *file)
{
	static const char *const owners[] = {"assert.",
					     "assert').",
					     "assert\").",
					     "assert/strict').",
					     "expect.",
					     "TestCase.",
					     "node:test').",
					     "node:test\").",
					     "unittest.",
					     "pytest.",
					     "test').only",
					     "chai.Assertion.",
					     "AssertionError.prototype."};
	static const char *const words[] = {
		"pytest_runtest_",         "pytest_collection_modifyitems", "sys.modules['pytest']", "sys.modules[\"pytest\"]",
		"sys.modules['unittest']", "sys.modules[\"unittest\"]",     "Module._load =",        "expect.extend({toBe"};
	struct fresh_lines lines;
	struct view line;

	if (file->test || !language_of(file->path) || file->status == 'D')
		return;
	lines = fresh_lines_new(buf_view(&file->head), buf_view(&file->base));
	while (fresh_lines_next(&lines, &line)) {
		AUTO_FREE char *shown = view_copy(view_make(line.at, line.length < SHOWN ? line.length : SHOWN));
		bool patches = false;

		for (size_t i = 0; i < ARRAY_LEN(owners) && !patches; i++)
			patches = assigns_to(line, owners[i]);
		for (size_t i = 0; i < ARRAY_LEN(words) && !patches; i++)
			patches = view_find(line, view_of(words[i])) >= 0;
		if (patches)
			integrity_add(check,
				      &(struct finding){.kind = "patches-the-tests",
							.severity = SEVERITY_BLOCK,
							.weight = WEIGHT_COMMAND + 2,
							.place = file->path,
							.path = shown,
							.line = lines.number,
							.detail = "Code must not change what its tests are made of."},
				      "%s:%d: code changes the means of tests: %s", file->path, lines.number, shown);
	}
}

/* Files that are found in place of what judges, because of where they lie. */
void integrity_check_place(struct check *check, const struct changed *file)
{
	static const char *const rows[] = {
		"**/node_modules/**", "**/sitecustomize.py",   "**/usercustomize.py", "**/*.pth",
		"**/pytest.py",       "**/pytest/__init__.py", "**/_pytest/**",       "**/unittest.py",
		"**/unittest/**",     "**/site-packages/**",   "**/.bundle/config",   "**/node_modules",
		"**/_pytest",         "**/unittest",           "**/site-packages"}; /* the last ones: a link */

	if (file->status != 'D' && (file->status != 'M' || file->old_path) && integrity_matches(rows, ARRAY_LEN(rows), file->path))
		integrity_add(
			check,
			&(struct finding){
				.kind = "shadows-the-tests",
				.severity = SEVERITY_BLOCK,
				.weight = WEIGHT_COMMAND + 1,
				.place = file->path,
				.bound = file->blob,
				.detail = "It may be loaded in place of what runs the tests: a person must see why it is needed."},
			"%s lies where a program looks for what runs the tests", file->path);
}

/* Does a suite's command run that script of a package.json? */
static bool runs_script(const struct blueprint *blueprint, const char *name)
{
	const char *plain = strncmp(name, "pre", 3) == 0 ? name + 3 : strncmp(name, "post", 4) == 0 ? name + 4 : name;
	AUTO_FREE char *run = text_format("run %s", plain);
	AUTO_FREE char *yarn = text_format("yarn %s", plain);
	AUTO_FREE char *pnpm = text_format("pnpm %s", plain);

	for (size_t i = 0; i < blueprint->test_count; i++) {
		const char *shell = blueprint->tests[i].run.shell ? blueprint->tests[i].run.shell : "";

		if (strstr(shell, run) || strstr(shell, yarn) || strstr(shell, pnpm) ||
		    (strcmp(plain, "test") == 0 && (strstr(shell, "npm test") || strstr(shell, "npm t"))))
			return true;
	}
	return false;
}

/* What `npm test` does is the change's own word. */
static void check_scripts(struct check *check, struct changed *file)
{
	static const char *const rows[] = {"**/package.json"};
	AUTO_JSON before = NULL;
	AUTO_JSON after = NULL;
	AUTO_JSON names = json_object();
	const char *name;
	json_t *value;

	if (file->status == 'D' || file->status == 'A' || !integrity_matches(rows, ARRAY_LEN(rows), file->path))
		return;
	before = json_parse(buf_view(&file->base), NULL);
	after = json_parse(buf_view(&file->head), NULL);
	(void)json_object_update(names, json_member(before, "scripts"));
	(void)json_object_update(names, json_member(after, "scripts"));
	json_object_foreach(names, name, value) {
		const char *was = json_text(json_member(before, "scripts"), name, "");
		const char *is = json_text(json_member(after, "scripts"), name, "");

		if (strcmp(was, is) != 0 && runs_script(check->blueprint, name))
			integrity_add(check,
				      &(struct finding){.kind = "runner-command",
							.severity = SEVERITY_BLOCK,
							.weight = WEIGHT_COMMAND + 3,
							.place = file->path,
							.path = name,
							.bound = is,
							.detail = "A person must approve how the tests are run."},
				      "%s: the script `%s` that runs the tests is `%.80s` now", file->path, name, is);
	}
}

void integrity_check_code(struct check *check, struct changed *file)
{
	check_special_cases(check, file);
	check_patches(check, file);
	integrity_check_place(check, file);
	check_scripts(check, file);
}
