/* Outputs of linters, and which linters are known. */
#include "verify/linters.h"

#include <string.h>

#include "base/scope.h"

const struct linter linters_known[] = {
	{"eslint",
	 {"eslint.config.js", "eslint.config.mjs", "eslint.config.cjs", ".eslintrc", ".eslintrc.js", ".eslintrc.cjs",
	  ".eslintrc.json", ".eslintrc.yml"},
	 NULL,
	 NULL,
	 "node_modules/.bin/eslint",
	 "node_modules/.bin/eslint -f json ."},
	{"tsc", {"tsconfig.json"}, NULL, NULL, "node_modules/.bin/tsc", "node_modules/.bin/tsc --noEmit --pretty false"},
	{"ruff", {"ruff.toml", ".ruff.toml"}, NULL, NULL, "ruff", "ruff check --no-cache --output-format=concise ."},
	{"ruff", {"pyproject.toml"}, "[tool.ruff", NULL, "ruff", "ruff check --no-cache --output-format=concise ."},
	{"flake8", {".flake8"}, NULL, NULL, "flake8", "flake8"},
	{"flake8", {"setup.cfg", "tox.ini"}, "[flake8]", NULL, "flake8", "flake8"},
	{"mypy", {"mypy.ini", ".mypy.ini"}, NULL, NULL, "mypy", "mypy --no-color-output --no-error-summary ."},
	{"pylint",
	 {".pylintrc", "pylintrc"},
	 NULL,
	 ".py",
	 "pylint",
	 "pylint --msg-template='{path}:{line}:{column}: {symbol}: {msg}' -- \"$@\""},
	{"shellcheck", {".shellcheckrc"}, NULL, ".sh .bash", "shellcheck", "shellcheck -f gcc -- \"$@\""},
	{"golangci-lint",
	 {".golangci.yml", ".golangci.yaml", ".golangci.toml", ".golangci.json"},
	 NULL,
	 NULL,
	 "golangci-lint",
	 "golangci-lint run"},
	{"clippy", {"clippy.toml", ".clippy.toml"}, NULL, NULL, "cargo", "cargo clippy --offline --message-format=short 2>&1"},
	{"rubocop", {".rubocop.yml"}, NULL, NULL, "rubocop", "rubocop --format emacs"},
	{"semgrep",
	 {".semgrep.yml", ".semgrep.yaml"},
	 NULL,
	 NULL,
	 "semgrep",
	 "semgrep scan --config .semgrep.y*ml --sarif --quiet --metrics=off --disable-version-check"},
	{"cppcheck",
	 {NULL},
	 NULL,
	 ".c .cc .cpp .cxx .h .hpp",
	 "cppcheck",
	 "cppcheck --quiet --template=gcc --enable=warning,portability -- \"$@\" 2>&1"},
};
const size_t linters_known_count = ARRAY_LEN(linters_known);

bool linter_takes(const struct linter *linter, const char *path)
{
	struct view rest = view_of(linter->files);

	while (rest.length) {
		struct view extension = view_cut(rest, ' ', &rest);

		if (view_ends(view_of(path), extension))
			return true;
	}
	return false;
}

/* ---- reading ---- */

static struct view relative(struct view path, const char *root)
{
	size_t length = strlen(root);

	if (view_starts(path, VIEW("file://")))
		path = view_make(path.at + 7, path.length - 7);
	if (view_starts(path, view_of(root)) && path.length > length && path.at[length] == '/')
		path = view_make(path.at + length + 1, path.length - length - 1);
	if (view_starts(path, VIEW("./")))
		path = view_make(path.at + 2, path.length - 2);
	return path;
}

static bool remark_add(json_t *remarks, struct view path, int64_t line, struct view rule, struct view text)
{
	json_t *remark;

	if (json_array_size(remarks) >= LINT_REMARKS_MAX)
		return false;
	remark = json_pack("{s:I}", "line", (json_int_t)line);
	json_set_bytes(remark, "path", view_make(path.at, path.length < LINT_TEXT_MAX ? path.length : LINT_TEXT_MAX));
	json_set_bytes(remark, "rule", view_make(rule.at, rule.length < LINT_TEXT_MAX ? rule.length : LINT_TEXT_MAX));
	json_set_bytes(remark, "text", view_make(text.at, text.length < LINT_TEXT_MAX ? text.length : LINT_TEXT_MAX));
	return json_array_append_new(remarks, remark) == 0;
}

/* SARIF 2.1.0: results with a location each. */
static bool sarif_read(const json_t *root, const char *folder, json_t *remarks)
{
	const json_t *runs = json_member(root, "runs");

	for (size_t i = 0; i < json_array_size(runs); i++) {
		const json_t *results = json_member(json_array_get(runs, i), "results");

		for (size_t k = 0; k < json_array_size(results); k++) {
			const json_t *result = json_array_get(results, k);
			const json_t *place = json_member(json_array_get(json_member(result, "locations"), 0), "physicalLocation");
			const char *path = json_text(json_member(place, "artifactLocation"), "uri", "");

			if (json_array_size(json_member(result, "suppressions")) ||
			    strcmp(json_text(result, "level", "warning"), "none") == 0)
				continue;
			if (!remark_add(remarks, relative(view_of(path), folder),
					json_number(json_member(place, "region"), "startLine", 0),
					view_of(json_text(result, "ruleId", "")),
					view_of(json_text(json_member(result, "message"), "text", ""))))
				return false;
		}
	}
	return true;
}

/* eslint -f json: [{"filePath", "messages": [{"ruleId", "line", "message"}]}]. */
static bool eslint_read(const json_t *root, const char *folder, json_t *remarks)
{
	for (size_t i = 0; i < json_array_size(root); i++) {
		const json_t *file = json_array_get(root, i);
		const json_t *messages = json_member(file, "messages");

		for (size_t k = 0; k < json_array_size(messages); k++) {
			const json_t *message = json_array_get(messages, k);

			if (!remark_add(remarks, relative(view_of(json_text(file, "filePath", "")), folder),
					json_number(message, "line", 0), view_of(json_text(message, "ruleId", "")),
					view_of(json_text(message, "message", ""))))
				return false;
		}
	}
	return true;
}

/* A number at the front; *rest is what follows. */
static bool number_cut(struct view text, int64_t *number, struct view *rest)
{
	size_t digits = 0;

	*number = 0;
	while (digits < text.length && digits < 9 && text.at[digits] >= '0' && text.at[digits] <= '9')
		*number = *number * 10 + (text.at[digits++] - '0');
	*rest = view_make(text.at + digits, text.length - digits);
	return digits > 0;
}

/* "path:3: text", "path:3:7: text", "path(3,7): text". */
static bool line_read(struct view line, struct view *path, int64_t *number, struct view *text)
{
	bool placed = false; /* a file's name begins the line: not the time of a log's */

	for (size_t i = 1; i + 2 < line.length; i++) {
		struct view rest;
		int64_t column;

		placed = placed || line.at[i - 1] == '.' || line.at[i - 1] == '/';
		if ((line.at[i] != ':' && line.at[i] != '(') ||
		    !number_cut(view_make(line.at + i + 1, line.length - i - 1), number, &rest))
			continue;
		*path = view_make(line.at, i);
		if (!placed)
			continue;
		if (line.at[i] == '(') {
			ptrdiff_t end = view_find(rest, VIEW("):"));

			if (end < 0)
				return false;
			*text = view_trim(view_make(rest.at + end + 2, rest.length - (size_t)end - 2));
			return true;
		}
		if (!rest.length || rest.at[0] != ':')
			continue;
		rest = view_make(rest.at + 1, rest.length - 1);
		if (number_cut(rest, &column, text) && text->length && text->at[0] == ':')
			rest = view_make(text->at + 1, text->length - 1);
		*text = view_trim(rest);
		return text->length > 0;
	}
	return false;
}

static bool lines_read(struct view output, const char *folder, json_t *remarks)
{
	while (output.length) {
		struct view line = view_trim(view_cut(output, '\n', &output));
		struct view path;
		struct view text;
		int64_t number;

		if (line_read(line, &path, &number, &text) && !view_starts(text, VIEW("note:")) &&
		    !remark_add(remarks, relative(path, folder), number, VIEW(""), text))
			return false;
	}
	return true;
}

bool lint_read(struct view output, const char *root, json_t *remarks)
{
	struct view begin = view_trim(output);
	AUTO_JSON json = begin.length && (begin.at[0] == '{' || begin.at[0] == '[') ? json_parse(output, NULL) : NULL;

	if (json_is_object(json))
		return sarif_read(json, root, remarks);
	if (json_is_array(json))
		return eslint_read(json, root, remarks);
	return lines_read(output, root, remarks);
}

/* ---- comparing ---- */

/* What makes two remarks the same one: numbers in a text move with the code. Owned by the caller. */
static char *remark_key(const json_t *remark)
{
	AUTO_BUF key = buf_new(4 * LINT_TEXT_MAX + 64);
	const char *text = json_text(remark, "text", "");

	buf_add_format(&key, "%s\n%s\n", json_text(remark, "path", ""), json_text(remark, "rule", ""));
	for (size_t i = 0; text[i]; i++)
		if (text[i] < '0' || text[i] > '9')
			buf_add_char(&key, text[i]);
	return buf_take(&key);
}

json_t *lint_fresh(const json_t *base, const json_t *head)
{
	AUTO_JSON counts = json_object();
	json_t *fresh = json_array();
	size_t index;
	json_t *remark;

	json_array_foreach(base, index, remark) {
		AUTO_FREE char *key = remark_key(remark);

		(void)json_object_set_new(counts, key, json_integer(json_number(counts, key, 0) + 1));
	}
	json_array_foreach(head, index, remark) {
		AUTO_FREE char *key = remark_key(remark);
		int64_t left = json_number(counts, key, 0);

		if (left > 0)
			(void)json_object_set_new(counts, key, json_integer(left - 1));
		else
			(void)json_array_append(fresh, remark);
	}
	return fresh;
}
