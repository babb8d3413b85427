/* Rules on code that is no test: what it does to its own judges. */
#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"
#include "verify/integrity_priv.h"

#define RUNNERS_OWN 8 /* of what follows below */
#define SHOWN ((size_t)120)

/* Is the text something that others are held against, or found by: `=== 'x'`, `case 'x'`, `'x':`? */
static bool is_asked_for(struct view line, struct view text)
{
	static const char *const before[] = {"==",        "!=",          "case", "equals(", "strcmp(",
					     "includes(", "startsWith(", " in",  "when",    "["};
	ptrdiff_t at = view_find(line, text);
	struct view left = view_make(line.at, (size_t)at);
	struct view right = view_make(line.at + at + text.length, line.length - (size_t)at - text.length);

	while (left.length && strchr("'\"` (", left.at[left.length - 1]))
		left.length--;
	while (right.length && strchr("'\"` )", right.at[0]))
		right = view_make(right.at + 1, right.length - 1);
	for (size_t i = 0; i < ARRAY_LEN(before); i++)
		if (view_ends(left, view_of(before[i])) ||
		    (before[i][strlen(before[i]) - 1] == '(' && view_ends(left, view_make(before[i], strlen(before[i]) - 1))))
			return true;
	return view_starts(right, VIEW("==")) || view_starts(right, VIEW("!=")) || view_starts(right, VIEW(":")) ||
	       view_starts(right, VIEW("=>"));
}

static void answer_tell(struct check *check, const struct changed *file, struct view line, int number, const char *literal)
{
	bool asked = is_asked_for(line, view_of(literal));

	integrity_add(
		check,
		&(struct finding){.kind = "knows-the-answer",
				  .severity = asked ? SEVERITY_BLOCK : SEVERITY_WARN,
				  .weight = asked ? WEIGHT_ASKS : WEIGHT_SLIGHT + 7,
				  .place = file->path,
				  .path = literal,
				  .line = number,
				  .detail = "A text of a recorded answer stands in the code: a person should see whether it is a "
					    "special case."},
		"%s:%d: code %s a recorded answer: %.60s", file->path, number, asked ? "asks for" : "knows", literal);
}

/* Code that asks whether it is being tested, or that knows an answer by heart. */
static void check_special_cases(struct check *check, struct changed *file)
{
	/* The first are set by runners of tests alone: nothing but a test is meant by them. */
	static const char *const rows[] = {"NODE_TEST_CONTEXT",
					   "JEST_WORKER_ID",
					   "VITEST_WORKER_ID",
					   "PYTEST_CURRENT_TEST",
					   "ASSAY_ENV",
					   "'pytest' in sys.modules",
					   "\"pytest\" in sys.modules",
					   "'unittest' in sys.modules",
					   "NODE_ENV === 'test'",
					   "NODE_ENV === \"test\"",
					   "NODE_ENV == 'test'",
					   "process.env.CI",
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
				answer_tell(check, file, line, lines.number, json_string_value(literal));
		}
	}
}

static bool is_name(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '$';
}

/* Words of a line that brings something in, which name nothing themselves. */
static bool is_keyword(struct view word)
{
	static const char *const rows[] = {"const", "let",     "var",  "import", "from",    "as",     "require",
					   "await", "default", "node", "strict", "type",    "module", "exports",
					   "this",  "self",    "test", "it",     "describe"};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (view_is(word, rows[i]))
			return true;
	return false;
}

/* Names by which a file knows what tests are made of: {"assert": true}, and what it calls them by itself. Owned by the caller. */
static json_t *judges_of(struct view text)
{
	static const char *const modules[] = {
		"assert", "node:assert", "assert/strict", "node:assert/strict", "node:test", "chai", "expect", "@jest/globals",
		"vitest", "unittest",    "pytest",        "unittest.mock",      "_pytest"};
	json_t *names = json_pack("{s:b, s:b, s:b, s:b, s:b, s:b, s:b}", "assert", 1, "expect", 1, "TestCase", 1, "unittest", 1,
				  "pytest", 1, "chai", 1, "AssertionError", 1);

	while (text.length) {
		struct view line = view_trim(view_cut(text, '\n', &text));
		bool brings = false;

		if (view_find(line, VIEW("require(")) < 0 && !view_starts(line, VIEW("import ")) &&
		    !view_starts(line, VIEW("from ")) && view_find(line, VIEW("import(")) < 0)
			continue;
		for (size_t i = 0; i < ARRAY_LEN(modules) && !brings; i++) {
			const char quotes[] = {'\'', '"', ' '};

			for (size_t k = 0; k < ARRAY_LEN(quotes) && !brings; k++) {
				AUTO_FREE char *named = text_format("%c%s%c", quotes[k], modules[i], quotes[k]);
				AUTO_FREE char *last = text_format(" %s", modules[i]);

				brings = view_find(line, view_of(named)) >= 0 ||
					 (quotes[k] == ' ' && view_ends(line, view_of(last)));
			}
		}
		while (brings && line.length) { /* any word that it could be called by */
			struct view word = line;

			for (word.length = 0; word.length < line.length && is_name(line.at[word.length]); word.length++)
				continue;
			if (word.length && word.length < SHOWN && !is_keyword(word)) {
				AUTO_FREE char *name = view_copy(word);

				(void)json_object_set_new(names, name, json_true());
			}
			line = view_make(line.at + word.length + (word.length < line.length),
					 line.length - word.length - (word.length < line.length));
		}
	}
	return names;
}

/* Behind a name, `.equal = …`, `['equal'] = …`, `.a.b = …`: what it has is given another meaning. */
static bool is_assigned(struct view behind)
{
	size_t at = 0;

	while (at < behind.length && (is_name(behind.at[at]) || strchr(".[]'\"`)+", behind.at[at])))
		at++;
	if (!at)
		return false;
	behind = view_trim(view_make(behind.at + at, behind.length - at));
	return behind.length > 1 && behind.at[0] == '=' && behind.at[1] != '=' && behind.at[1] != '>';
}

/* Code that looks for a test among those who called it, or in how it was started. */
static bool looks_for_a_test(struct view line)
{
	static const char *const rows[] = {".stack",           "inspect.stack(", "traceback.",    "process.argv",
					   "sys.argv",         "require.main",   "module.parent", "runtime.Caller(",
					   "runtime.Callers(", "os.Args",        "__progname",    "/proc/self/cmdline"};
	bool test = view_find(line, VIEW("test")) >= 0 || view_find(line, VIEW("spec")) >= 0;

	for (size_t i = 0; test && i < ARRAY_LEN(rows); i++)
		if (view_find(line, view_of(rows[i])) >= 0 && (view_find(line, VIEW("'")) >= 0 || view_find(line, VIEW("\"")) >= 0))
			return true;
	return false;
}

/* C's `main(` on its own, whatever stands before it, even on the line above. */
static bool begins_in_c(struct view line)
{
	for (ptrdiff_t at = view_find(line, VIEW("main")); at >= 0; at = view_find(line, VIEW("main"))) {
		struct view behind = view_make(line.at + at + 4, line.length - (size_t)at - 4);

		if ((at == 0 || !is_name(line.at[at - 1])) && (view_starts(behind, VIEW("(")) || view_starts(behind, VIEW(" ("))))
			return true;
		line = behind;
	}
	return false;
}

/* Has the file a place where a program begins, in a line that is no comment? It may end there, too. */
static bool is_program(const char *path, struct view text)
{
	static const char *const rows[] = {"__main__", "func main(", "fn main(", "fun main(", "void main(", "require.main"};
	static const char *const in_c[] = {"**/*.c", "**/*.cc", "**/*.cpp", "**/*.cxx"};
	struct view comment = view_of(language_of(path)->comment);
	bool c = integrity_matches(in_c, ARRAY_LEN(in_c), path);

	if (view_starts(text, VIEW("#!")))
		return true;
	while (text.length) {
		struct view line = view_trim(view_cut(text, '\n', &text));

		if (view_starts(line, comment) || view_starts(line, VIEW("/*")) || view_starts(line, VIEW("* ")))
			continue;
		for (size_t i = 0; i < ARRAY_LEN(rows); i++)
			if (view_find(line, view_of(rows[i])) >= 0)
				return true;
		if (c && begins_in_c(line))
			return true;
	}
	return false;
}

/* Code that ends whatever uses it, its tests too, and says that all is well. `whole`: the line with its indentation. */
static bool ends_well(struct view whole, bool program)
{
	static const char *const anywhere[] = {"os._exit(0)",          "_Exit(0)",       "quick_exit(0)", "reallyExit(0)",
					       "process.exitCode = 0", "syscall.Exit(0)"};
	static const char *const in_libraries[] = {"exit(0);", "exit(EXIT_SUCCESS)", "os.Exit(0)", "process::exit(0)"};
	static const char *const at_once[] = {"process.exit(0)", "process.exit()", "sys.exit(0)", "sys.exit()", "raise SystemExit",
					      "exit 0",          "exit(0)",        "quit()",      "exit!(0)"};

	for (size_t i = 0; i < ARRAY_LEN(anywhere); i++)
		if (view_find(whole, view_of(anywhere[i])) >= 0)
			return true;
	if (program)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(in_libraries); i++)
		if (view_find(whole, view_of(in_libraries[i])) >= 0 && view_find(whole, VIEW("process.exit")) < 0)
			return true;
	for (size_t i = 0; i < ARRAY_LEN(at_once); i++)
		if (view_starts(whole, view_of(at_once[i])))
			return true;
	return false;
}

static void check_ends(struct check *check, struct changed *file)
{
	struct fresh_lines lines;
	struct view line;
	bool program;

	if (file->test || !language_of(file->path) || file->status == 'D')
		return;
	/* What was a library does not become a program by a word in it. */
	program = is_program(file->path, buf_view(&file->head)) &&
		  (file->status == 'A' || is_program(file->path, buf_view(&file->base)));
	lines = fresh_lines_new(buf_view(&file->head), buf_view(&file->base));
	while (fresh_lines_next(&lines, &line)) {
		AUTO_FREE char *shown = view_copy(view_make(line.at, line.length < SHOWN ? line.length : SHOWN));
		struct view whole = line;

		while (whole.at > file->head.at && whole.at[-1] != '\n') {
			whole.at--;
			whole.length++;
		}
		if (looks_for_a_test(line))
			integrity_add(check,
				      &(struct finding){.kind = "asks-if-tested",
							.severity = SEVERITY_BLOCK,
							.weight = WEIGHT_ASKS,
							.place = file->path,
							.path = shown,
							.line = lines.number,
							.detail = "Code that behaves otherwise under test is not tested."},
				      "%s:%d: code looks for a test that calls it: %s", file->path, lines.number, shown);
		if (ends_well(whole, program))
			integrity_add(check,
				      &(struct finding){.kind = "ends-the-tests",
							.severity = SEVERITY_BLOCK,
							.weight = WEIGHT_ASKS,
							.place = file->path,
							.path = shown,
							.line = lines.number,
							.detail = "What uses it ends well there, whatever was still to be tested."},
				      "%s:%d: code ends its own tests: %s", file->path, lines.number, shown);
	}
}

/* Calls that give their first argument another meaning. */
static const char *const changers[] = {"Object.assign(",
				       "Object.defineProperty(",
				       "Object.defineProperties(",
				       "Reflect.set(",
				       "Reflect.defineProperty(",
				       "Object.setPrototypeOf(",
				       "setattr(",
				       "delattr(",
				       "patch.object(",
				       "patch(",
				       "spyOn(",
				       ".stub(",
				       "mock.method(",
				       "delete "};

/* Is what comes next the first thing that such a call is given? */
static bool is_handed_over(struct view before)
{
	while (before.length && strchr("'\"", before.at[before.length - 1]))
		before.length--;
	for (size_t i = 0; i < ARRAY_LEN(changers); i++)
		if (view_ends(before, view_of(changers[i])))
			return true;
	return false;
}

/* Does the line give another meaning to what one of the names stands for? */
static bool changes_one_of(struct view line, const json_t *names)
{
	for (size_t i = 0; i < line.length; i++) {
		size_t end = i;
		AUTO_FREE char *name = NULL;
		struct view behind;

		if (!is_name(line.at[i]) || (i && is_name(line.at[i - 1])))
			continue;
		while (end < line.length && is_name(line.at[end]))
			end++;
		name = view_copy(view_make(line.at + i, end - i));
		behind = view_make(line.at + end, line.length - end);
		i = end - 1;
		if (json_object_get(names, name) && (is_handed_over(view_make(line.at, end - strlen(name))) ||
						     (behind.length && strchr(".[", behind.at[0]) && is_assigned(behind))))
			return true;
	}
	return false;
}

/* `require(…)[…] = …`, whatever it is: only what lies beside the file is its own. */
static bool assigns_to_required(struct view line)
{
	ptrdiff_t at = view_find(line, VIEW("require("));
	struct view rest = at < 0 ? VIEW("") : view_make(line.at + at + 8, line.length - (size_t)at - 8);
	struct view behind;

	if (!rest.length || view_starts(rest, VIEW("'.")) || view_starts(rest, VIEW("\".")))
		return false;
	(void)view_cut(rest, ')', &behind);
	if (view_starts(behind, VIEW("["))) {
		(void)view_cut(behind, ']', &behind);
		behind = view_trim(behind);
		return behind.length > 1 && behind.at[0] == '=' && behind.at[1] != '=';
	}
	return view_starts(behind, VIEW(".")) && is_assigned(behind);
}

/* Of a line that is one expression: `require('assert').equal = …`, `__import__('unittest').TestCase.x = …`. */
static bool changes_what_it_brings(struct view line)
{
	static const char *const rows[] = {"assert')",    "assert\")",    "assert/strict')", "assert/strict\")",
					   "node:test')", "node:test\")", "unittest')",      "unittest\")",
					   "pytest')",    "pytest\")",    "test')"};

	if (assigns_to_required(line))
		return true;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		ptrdiff_t at = view_find(line, view_of(rows[i]));
		struct view before = view_make(line.at, at < 0 ? 0 : (size_t)at);
		struct view behind = at < 0 ? VIEW("")
					    : view_make(line.at + at + strlen(rows[i]), line.length - (size_t)at - strlen(rows[i]));

		if (behind.length && strchr(".[", behind.at[0]) && is_assigned(behind))
			return true;
		for (size_t k = 0; behind.length && behind.at[0] == ',' && k < ARRAY_LEN(changers); k++)
			if (view_find(before, view_of(changers[k])) >= 0)
				return true;
	}
	return false;
}

/* `def __eq__(…): return True` and the like: `next` is the line behind it. */
static bool equals_all(struct view line, struct view next)
{
	next = view_trim(view_cut(next, '\n', &(struct view){0}));
	return (view_find(line, VIEW("def __eq__(")) >= 0 &&
		(view_is(next, "return True") || view_ends(line, VIEW("return True")))) ||
	       (view_find(line, VIEW("operator==(")) >= 0 && view_find(line, VIEW("return true;")) >= 0);
}

static void check_patches(struct check *check, struct changed *file)
{
	static const char *const words[] = {"pytest_runtest_",         "pytest_collection_modifyitems",
					    "sys.modules['pytest']",   "sys.modules[\"pytest\"]",
					    "sys.modules['unittest']", "sys.modules[\"unittest\"]",
					    "Module._load =",          "Module._resolveFilename =",
					    "expect.extend({toBe",     "pytest_sessionfinish",
					    "pytest_configure(",       "#define assert(",
					    "#define assert_",         "#define EXPECT_",
					    "#define ASSERT_",         "process.reallyExit =",
					    "process.exit =",          "Object.is =",
					    "builtins.AssertionError", "sys.excepthook =",
					    "unittest.main =",         "process.emit ="};
	struct fresh_lines lines;
	AUTO_JSON names = NULL;
	struct view line;

	if (file->test || !language_of(file->path) || file->status == 'D')
		return;
	names = judges_of(buf_view(&file->head));
	lines = fresh_lines_new(buf_view(&file->head), buf_view(&file->base));
	while (fresh_lines_next(&lines, &line)) {
		AUTO_FREE char *shown = view_copy(view_make(line.at, line.length < SHOWN ? line.length : SHOWN));
		bool patches = false;

		if (view_starts(line, view_of(language_of(file->path)->comment)) && !view_starts(line, VIEW("#define")))
			continue;
		patches = changes_one_of(line, names) || changes_what_it_brings(line) || equals_all(line, lines.rest);
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
	static const char *const rows[] = {"**/node_modules/**", "**/sitecustomize.py", "**/usercustomize.py", "**/*.pth",
					   "**/pytest.py", "**/pytest/__init__.py", "**/_pytest/**", "**/unittest.py",
					   "**/unittest/**", "**/site-packages/**", "**/.bundle/config", "**/__pycache__/**",
					   "**/*.pyc", "**/.pytest_cache/**", "**/.jest-cache/**", "**/*.egg-link",
					   /* links */
					   "**/node_modules", "**/_pytest", "**/unittest", "**/site-packages"};

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

/* The first quote of any kind, or NULL. */
static const char *quote_find(struct view line)
{
	for (size_t i = 0; i < line.length; i++)
		if (line.at[i] == '\'' || line.at[i] == '"' || line.at[i] == '`')
			return line.at + i;
	return NULL;
}

/* Is a text in quotes on this line the path of what judges: a test, a session, the blueprint? */
static bool names_evidence(const struct check *check, struct view line)
{
	while (line.length) {
		const char *quote = quote_find(line);
		const char *end;
		struct view path;
		AUTO_FREE char *text = NULL;
		bool found;

		if (!quote)
			return false;
		line = view_make(quote + 1, line.length - (size_t)(quote - line.at) - 1);
		end = memchr(line.at, *quote, line.length);
		path = view_make(line.at, end ? (size_t)(end - line.at) : line.length);
		line = view_make(path.at + path.length, line.length - path.length);
		if (line.length)
			line = view_make(line.at + 1, line.length - 1);
		while (view_starts(path, VIEW("./")) || view_starts(path, VIEW("../")) || view_starts(path, VIEW("/workspace/")))
			path = path.at[0] == '/'   ? view_make(path.at + 11, path.length - 11)
			       : path.at[1] == '/' ? view_make(path.at + 2, path.length - 2)
						   : view_make(path.at + 3, path.length - 3);
		text = view_copy(path);
		found = strcmp(text, "assay.yaml") == 0 || (strchr(text, '.') && integrity_is_test(check->blueprint, text));
		for (size_t i = 0; i < check->blueprint->sessions.count; i++)
			found = found || glob_match(check->blueprint->sessions.at[i], text);
		if (found)
			return true;
	}
	return false;
}

/* Code that reads what it is judged by. */
static void check_reads(struct check *check, struct changed *file)
{
	static const char *const reads[] = {"readFile", "open(",        "read_text", "read_bytes",       "File.read",
					    "ReadFile", "include_str!", "readdir",   "createReadStream", "Open("};
	struct fresh_lines lines;
	struct view line;

	if (file->test || !language_of(file->path) || file->status == 'D')
		return;
	lines = fresh_lines_new(buf_view(&file->head), buf_view(&file->base));
	while (fresh_lines_next(&lines, &line)) {
		bool read = false;

		for (size_t i = 0; i < ARRAY_LEN(reads) && !read; i++)
			read = view_find(line, view_of(reads[i])) >= 0;
		if (!read || !names_evidence(check, line))
			continue;
		AUTO_FREE char *shown = view_copy(view_make(line.at, line.length < SHOWN ? line.length : SHOWN));

		integrity_add(
			check,
			&(struct finding){.kind = "reads-the-evidence",
					  .severity = SEVERITY_BLOCK,
					  .weight = WEIGHT_ASKS,
					  .place = file->path,
					  .path = shown,
					  .line = lines.number,
					  .detail = "Code that reads tests or recorded sessions can answer what they expect."},
			"%s:%d: code reads what it is judged by: %s", file->path, lines.number, shown);
	}
}

void integrity_check_code(struct check *check, struct changed *file)
{
	check_reads(check, file);
	check_ends(check, file);
	check_special_cases(check, file);
	check_patches(check, file);
}
