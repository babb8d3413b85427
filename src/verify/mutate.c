/* Lines of a diff, mistakes in them, and the formats of coverage that nearly every tool writes. */
#include "verify/mutate.h"

#include <stdlib.h>

#include "base/diff.h"
#include "base/scope.h"
#include "verify/xml.h"

#define LINE_MAX_BYTES ((size_t)2000)
#define LINES_MAX ((size_t)5000)
#define LINE_NUMBER_MAX 1000000 /* of a file with coverage */
#define BLOCK_LINES_MAX 10000   /* of go's blocks */

/* ---- lines of a diff ---- */

json_t *diff_lines(struct view diff)
{
	json_t *lines = json_array();
	struct diff_reader reader = {.rest = diff};
	struct diff_line line;

	while (json_array_size(lines) < LINES_MAX && diff_next(&reader, &line)) {
		json_t *added = json_object();

		json_set_bytes(added, "path", line.path);
		(void)json_object_set_new(added, "line", json_integer(line.number));
		json_set_bytes(added, "text", line.text);
		if (line.path.length && line.text.length < LINE_MAX_BYTES)
			(void)json_array_append(lines, added);
		json_decref(added);
	}
	return lines;
}

/* ---- mistakes ---- */

static const struct {
	const char *find;
	const char *put;
	const char *what;
} operators[] = {
	{" === ", " !== ", "!== for ==="},   {" !== ", " === ", "=== for !=="},   {" == ", " != ", "!= for =="},
	{" != ", " == ", "== for !="},       {" <= ", " < ", "< for <="},         {" >= ", " > ", "> for >="},
	{" < ", " <= ", "<= for <"},         {" > ", " >= ", ">= for >"},         {" && ", " || ", "|| for &&"},
	{" || ", " && ", "&& for ||"},       {" and ", " or ", "or for and"},     {" or ", " and ", "and for or"},
	{" + ", " - ", "- for +"},           {" - ", " + ", "+ for -"},           {" * ", " / ", "/ for *"},
	{" / ", " * ", "* for /"},           {" % ", " * ", "* for %"},           {" += ", " -= ", "-= for +="},
	{" -= ", " += ", "+= for -="},       {"if not ", "if ", "no not"},        {"(!", "(", "no !"},
	{"true", "false", "false for true"}, {"false", "true", "true for false"}, {"True", "False", "False for True"},
	{"False", "True", "True for False"},
};

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* Which bytes of the line are code: not in quotes, not behind the sign of a comment. What is over the limit is none. */
static void code_mark(struct view line, bool *code)
{
	char quote = '\0';

	for (size_t i = 0; i < line.length; i++) {
		char c = line.at[i];
		bool comment = !quote && (c == '#' || (c == '/' && i + 1 < line.length && line.at[i + 1] == '/'));

		if (comment)
			return;
		code[i] = !quote && c != '"' && c != '\'' && c != '`';
		if (quote && c == '\\')
			i++;
		else if (quote == c)
			quote = '\0';
		else if (!quote && (c == '"' || c == '\'' || c == '`'))
			quote = c;
	}
}

static char *spliced(struct view line, size_t at, size_t length, const char *put)
{
	return text_format("%.*s%s%.*s", (int)at, line.at, put, (int)(line.length - at - length), line.at + at + length);
}

static bool stands_alone(struct view line, size_t at, size_t length)
{
	bool word = is_word(line.at[at]);

	return !word || ((at == 0 || !is_word(line.at[at - 1])) &&
			 (at + length == line.length || !is_word(line.at[at + length]) || line.at[at + length - 1] == ' '));
}

/* A number by itself: one more. */
static char *number_mutant(struct view line, const bool *code)
{
	for (size_t i = 0; i < line.length; i++) {
		size_t end = i;

		while (end < line.length && line.at[end] >= '0' && line.at[end] <= '9')
			end++;
		if (end == i)
			continue;
		if (code[i] && end - i < 9 && (i == 0 || (!is_word(line.at[i - 1]) && line.at[i - 1] != '.')) &&
		    (end == line.length || (!is_word(line.at[end]) && line.at[end] != '.'))) {
			AUTO_FREE char *more = text_format("%ld", strtol(line.at + i, NULL, 10) + 1);

			return spliced(line, i, end - i, more);
		}
		i = end;
	}
	return NULL;
}

char *mutant_of(struct view line, const char **what)
{
	static const char *const none[] = {"import ", "from ", "#include", "use ", "package ", "using ", "*", "/*", "@"};
	struct view text = view_trim(line);
	bool code[LINE_MAX_BYTES] = {false};

	if (!text.length || line.length >= LINE_MAX_BYTES || view_find(text, VIEW("require(")) >= 0)
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(none); i++)
		if (view_starts(text, view_of(none[i])))
			return NULL;
	code_mark(line, code);
	for (size_t i = 0; i < ARRAY_LEN(operators); i++) {
		size_t length = strlen(operators[i].find);

		for (size_t at = 0; at + length <= line.length; at++) {
			if (!code[at] || memcmp(line.at + at, operators[i].find, length) != 0 || !stands_alone(line, at, length))
				continue;
			*what = operators[i].what;
			return spliced(line, at, length, operators[i].put);
		}
	}
	*what = "one more";
	return number_mutant(line, code);
}

/* ---- coverage ---- */

static json_t *file_of(json_t *coverage, struct view path)
{
	AUTO_FREE char *name = view_copy(path);
	json_t *lines = json_object_get(coverage, name);

	if (!lines && json_object_set_new(coverage, name, json_object()) == 0)
		lines = json_object_get(coverage, name);
	return lines;
}

static void count_note(json_t *lines, int64_t number, bool ran)
{
	AUTO_FREE char *key = NULL;

	if (!lines || number <= 0 || number > LINE_NUMBER_MAX)
		return;
	key = text_format("%lld", (long long)number);
	(void)json_object_set_new(lines, key, json_integer(json_number(lines, key, 0) + (ran ? 1 : 0)));
}

static void hit_note(json_t *lines, struct view number, struct view hits)
{
	uint64_t line;
	uint64_t count;

	if (view_to_u64(number, &line) && view_to_u64(hits, &count) && line <= LINE_NUMBER_MAX)
		count_note(lines, (int64_t)line, count > 0);
}

static void lcov_read(struct view text, json_t *coverage)
{
	json_t *lines = NULL;

	while (text.length) {
		struct view line = view_trim(view_cut(text, '\n', &text));
		struct view hits;
		struct view number;

		if (view_starts(line, VIEW("SF:")))
			lines = file_of(coverage, view_make(line.at + 3, line.length - 3));
		if (!view_starts(line, VIEW("DA:")))
			continue;
		number = view_cut(view_make(line.at + 3, line.length - 3), ',', &hits);
		hit_note(lines, number, view_cut(hits, ',', &(struct view){0}));
	}
}

static void cobertura_read(struct view text, json_t *coverage)
{
	struct xml xml = xml_new(text);
	json_t *lines = NULL;
	enum xml_event event;

	while ((event = xml_next(&xml)) != XML_END) {
		if (event == XML_OPEN && view_is(xml.name, "class")) {
			AUTO_BUF path = buf_new(LINE_MAX_BYTES);

			xml_decode(&path, xml_attribute(&xml, "filename"));
			lines = file_of(coverage, buf_view(&path));
		} else if (event == XML_OPEN && view_is(xml.name, "line")) {
			hit_note(lines, xml_attribute(&xml, "number"), xml_attribute(&xml, "hits"));
		}
	}
}

/* {"files": [{"file", "lines": [{"line_number", "count"}]}]} of gcov, {"files": {path: {"executed_lines", "missing_lines"}}} of coverage.py */
static void json_read(struct view text, json_t *coverage)
{
	AUTO_JSON json = json_parse(text, NULL);
	const json_t *files = json_member(json, "files");
	const char *path;
	json_t *file;

	for (size_t i = 0; i < json_array_size(files); i++) {
		const json_t *lines = json_member(json_array_get(files, i), "lines");
		json_t *of_file = file_of(coverage, view_of(json_text(json_array_get(files, i), "file", "")));

		for (size_t k = 0; k < json_array_size(lines); k++) {
			const json_t *line = json_array_get(lines, k);

			count_note(of_file, json_number(line, "line_number", 0), json_number(line, "count", 0) > 0);
		}
	}
	json_object_foreach((json_t *)(uintptr_t)files, path, file) {
		static const char *const lists[] = {"missing_lines", "executed_lines"};
		json_t *of_file = file_of(coverage, view_of(path));

		for (int ran = 0; ran < 2; ran++)
			for (size_t k = 0; k < json_array_size(json_member(file, lists[ran])); k++)
				count_note(of_file, json_integer_value(json_array_get(json_member(file, lists[ran]), k)), ran > 0);
	}
}

/* "x/pkg/sum.go:3.27,5.2 1 0": from line 3 to 5, one statement, never. */
static void go_read(struct view text, json_t *coverage)
{
	while (text.length) {
		struct view line = view_trim(view_cut(text, '\n', &text));
		const char *colon = line.length ? memrchr(line.at, ':', line.length) : NULL;
		struct view rest = colon ? view_make(colon + 1, line.length - (size_t)(colon - line.at) - 1) : VIEW("");
		struct view from = view_cut(view_cut(rest, ',', &rest), '.', &(struct view){0});
		struct view until = view_cut(view_cut(rest, ' ', &rest), '.', &(struct view){0});
		uint64_t first, last, count;

		(void)view_cut(rest, ' ', &rest);
		if (!view_to_u64(from, &first) || !view_to_u64(until, &last) || !view_to_u64(rest, &count) || last < first ||
		    last - first > BLOCK_LINES_MAX)
			continue;
		for (uint64_t number = first; number <= last; number++)
			count_note(file_of(coverage, view_make(line.at, (size_t)(colon - line.at))), (int64_t)number, count > 0);
	}
}

void coverage_read(struct view text, json_t *coverage)
{
	struct view begin = view_trim(text);

	if (view_starts(begin, VIEW("<")))
		cobertura_read(text, coverage);
	else if (view_starts(begin, VIEW("{")))
		json_read(text, coverage);
	else if (view_starts(begin, VIEW("mode: ")))
		go_read(text, coverage);
	else
		lcov_read(text, coverage);
}

/* "src/a.js" and "/workspace/web/src/a.js", either way. */
static bool ends_as(struct view longer, struct view path)
{
	return longer.at && view_ends(longer, path) &&
	       (longer.length == path.length || longer.at[longer.length - path.length - 1] == '/');
}

int64_t coverage_of(const json_t *coverage, const char *path, int64_t line)
{
	AUTO_FREE char *key = text_format("%lld", (long long)line);
	int64_t best = -1;
	const char *name;
	json_t *lines;

	json_object_foreach((json_t *)(uintptr_t)coverage, name, lines) {
		int64_t hits = json_number(lines, key, -1);

		if ((ends_as(view_of(name), view_of(path)) || ends_as(view_of(path), view_of(name))) && hits > best)
			best = hits;
	}
	return best;
}
