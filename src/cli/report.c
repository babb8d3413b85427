/* The report on a terminal: two columns where there is room, one below the other where there is not. */
#include "cli/report.h"

#include <stdlib.h>

#include "base/scope.h"
#include "base/world.h"
#include "verify/finding.h"

#define COLUMN_MIN 30
#define VALUE_LINES_MAX 14
#define TREE_LINES_MAX 10
#define TREE_LINES_BEFORE 3 /* the first difference */
#define FINDINGS_WHOLE 3    /* the worst; the others are one line each */
#define TITLE_WIDTH 38

const char *report_mark(const char *status)
{
	if (strcmp(status, "pass") == 0 || strcmp(status, "verified") == 0)
		return "✓";
	if (strcmp(status, "fail") == 0 || strcmp(status, "failed") == 0)
		return "✗";
	return strcmp(status, "skipped") == 0 ? "–" : "?";
}

enum tone report_tone(const char *status)
{
	if (strcmp(status, "pass") == 0 || strcmp(status, "verified") == 0)
		return TONE_GOOD;
	if (strcmp(status, "fail") == 0 || strcmp(status, "failed") == 0)
		return TONE_BAD;
	return strcmp(status, "skipped") == 0 ? TONE_FAINT : TONE_UNSURE;
}

void report_gate_draw(FILE *file, const json_t *gate)
{
	const char *status = json_text(gate, "status", "unstable");
	AUTO_FREE char *title = terminal_line(json_text(gate, "title", json_text(gate, "name", "")));
	AUTO_FREE char *reason = terminal_line(json_text(gate, "reason", ""));
	AUTO_BUF took = buf_new(64);

	duration_format(&took, json_number(gate, "ms", 0));
	fprintf(file, "  %s%s%s %-*s %s%9s%s  %s%s%s\n", terminal_tone(file, report_tone(status)), report_mark(status),
		terminal_end(file), TITLE_WIDTH, title, terminal_tone(file, TONE_FAINT),
		strcmp(status, "skipped") == 0 ? "" : took.at, terminal_end(file), terminal_tone(file, report_tone(status)),
		reason[0]                     ? reason
		: strcmp(status, "pass") == 0 ? ""
					      : status,
		terminal_end(file));
}

/* ---- side by side ---- */

struct lines {
	char **at; /* owned, harmless */
	size_t count;
};

static void lines_fini(struct lines *lines)
{
	for (size_t i = 0; i < lines->count; i++)
		free(lines->at[i]);
	free(lines->at);
}
#define AUTO_LINES __attribute__((cleanup(lines_fini))) struct lines

static void lines_add(struct lines *lines, struct view text)
{
	lines->at = mem_grow(lines->at, lines->count + 1, sizeof(lines->at[0]));
	lines->at[lines->count++] = view_copy(text);
}

/* A value as indented lines. */
static struct lines lines_of(const json_t *value)
{
	struct lines lines = {0};
	AUTO_BUF text = buf_new((size_t)4 << 20);
	AUTO_BUF clean = buf_new((size_t)8 << 20);
	struct view rest;

	if (!value || json_is_null(value))
		return lines;
	if (json_is_string(value))
		buf_add(&text, json_string_value(value), json_string_length(value));
	else
		json_format_pretty(&text, value);
	terminal_clean(&clean, buf_view(&text), true);
	rest = buf_view(&clean);
	while (rest.length && lines.count < VALUE_LINES_MAX) {
		struct view line = view_cut(rest, '\n', &rest);

		lines_add(&lines, line);
	}
	if (rest.length)
		lines_add(&lines, VIEW("…"));
	return lines;
}

/* The bytes of a text's first `width` columns. */
static size_t columns_take(const char *text, int width)
{
	size_t length = 0;

	for (; text[length]; length++)
		if (((unsigned char)text[length] & 0xc0) != 0x80 && width-- == 0)
			break;
	return length;
}

/* The same lines, none wider than the column; what goes on begins a little to the right. */
static struct lines lines_wrap(const struct lines *lines, int width)
{
	struct lines wrapped = {0};

	for (size_t i = 0; i < lines->count; i++) {
		const char *rest = lines->at[i];
		size_t length = columns_take(rest, width);

		lines_add(&wrapped, view_make(rest, length));
		for (rest += length; *rest && wrapped.count < 2 * (size_t)VALUE_LINES_MAX; rest += length) {
			AUTO_FREE char *line = NULL;

			length = columns_take(rest, width - 2);
			line = text_format("  %.*s", (int)length, rest);
			lines_add(&wrapped, view_of(line));
		}
	}
	return wrapped;
}

static const char *line_at(const struct lines *lines, size_t index)
{
	return index < lines->count ? lines->at[index] : "";
}

/* Columns that a text takes: continuation bytes take none. */
static int width_of(const char *text)
{
	int width = 0;

	for (; *text; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

static void cell_draw(const char *text, int width, bool differs, enum tone tone)
{
	AUTO_FREE char *fit = terminal_fit(text, width);

	printf("%s%s%s%*s", differs ? terminal_tone(stdout, tone) : "", fit, differs ? terminal_end(stdout) : "",
	       width - width_of(fit), "");
}

static void columns_draw(const char *left_title, const struct lines *left, const char *right_title, const struct lines *right)
{
	int width = (terminal_columns(stdout) - 9) / 2;
	bool beside = width >= COLUMN_MIN;
	AUTO_LINES a = lines_wrap(left, beside ? width : COLUMN_MIN * 2);
	AUTO_LINES b = lines_wrap(right, beside ? width : COLUMN_MIN * 2);
	size_t count = a.count > b.count ? a.count : b.count;

	for (size_t i = 0; !beside && i < a.count; i++)
		printf("      - %s\n", a.at[i]);
	for (size_t i = 0; !beside && i < b.count; i++)
		printf("      + %s\n", b.at[i]);
	if (!beside)
		return;
	printf("      %s", terminal_tone(stdout, TONE_FAINT));
	cell_draw(left_title, width, false, TONE_PLAIN);
	printf(" │ %s%s\n", right_title, terminal_end(stdout));
	for (size_t i = 0; i < count; i++) {
		bool differs = strcmp(line_at(&a, i), line_at(&b, i)) != 0;

		printf("      ");
		cell_draw(line_at(&a, i), width, differs, TONE_GOOD);
		printf(" │ %s%s%s\n", differs ? terminal_tone(stdout, TONE_BAD) : "", line_at(&b, i),
		       differs ? terminal_end(stdout) : "");
	}
}

static void tree_line_add(struct lines *lines, const json_t *row)
{
	AUTO_BUF text = buf_new(BUF_MAX_DEFAULT);
	AUTO_FREE char *clean = NULL;

	finding_call_format(&text, row);
	clean = terminal_line(text.at);
	lines_add(lines, view_of(clean));
}

static struct lines tree_lines(const json_t *tree, size_t from)
{
	struct lines lines = {0};

	if (from)
		lines_add(&lines, VIEW("…"));
	for (size_t i = from; i < json_array_size(tree) && i < from + TREE_LINES_MAX; i++)
		tree_line_add(&lines, json_array_get(tree, i));
	return lines;
}

/* Both trees from shortly before the first difference on; nothing when there is none. */
static void trees_draw(const json_t *expected, const json_t *got)
{
	size_t at = 0;
	size_t from;

	while (json_array_get(expected, at) && json_equal(json_array_get(expected, at), json_array_get(got, at)))
		at++;
	if (at >= json_array_size(expected) && at >= json_array_size(got))
		return;
	from = at > TREE_LINES_BEFORE ? at - TREE_LINES_BEFORE : 0;
	AUTO_LINES before = tree_lines(expected, from);
	AUTO_LINES now = tree_lines(got, from);
	columns_draw("calls before", &before, "calls now", &now);
}

static struct lines said_lines(const json_t *said)
{
	struct lines lines = {0};

	for (size_t i = 0; i < json_array_size(said) && i < TREE_LINES_MAX; i++) {
		const json_t *word = json_array_get(said, i);
		AUTO_FREE char *text = text_format("%s: %s%s", json_text(word, "service", ""), json_text(word, "text", ""),
						   json_flag(word, "failed", false) ? " (failed)" : "");
		AUTO_FREE char *clean = terminal_line(text);

		lines_add(&lines, view_of(clean));
	}
	return lines;
}

/* The word of the code that is judged, by OTLP: no evidence. */
static void said_draw(const json_t *expected, const json_t *got)
{
	AUTO_LINES before = said_lines(expected);
	AUTO_LINES now = said_lines(got);

	if (before.count || now.count)
		columns_draw("said before", &before, "said now", &now);
}

/* ---- findings ---- */

static enum tone severity_tone(const char *severity)
{
	return strcmp(severity, "block") == 0 ? TONE_BAD : strcmp(severity, "warn") == 0 ? TONE_UNSURE : TONE_FAINT;
}

static void label_draw(const char *label, const char *text)
{
	AUTO_FREE char *clean = terminal_line(text);

	if (clean[0])
		printf("      %s%s%s %s\n", terminal_tone(stdout, TONE_FAINT), label, terminal_end(stdout), clean);
}

static void request_draw(const json_t *request)
{
	AUTO_FREE char *text = NULL;

	if (!json_is_object(request))
		return;
	text = text_format("%s %s %s", json_text(request, "method", ""), json_text(request, "url", ""),
			   json_text(request, "body", ""));
	label_draw("request", text);
}

/* Who said that a difference is meant, and why. */
static void declared_draw(const json_t *declared)
{
	const char *because = json_text(declared, "because", "");
	AUTO_FREE char *text = text_format("by %s%s%s", json_text(declared, "by", ""), because[0] ? ": " : "", because);

	if (json_is_object(declared))
		label_draw("declared", text);
}

/* What the blueprint says of it. */
static void ruled_draw(const json_t *ruled)
{
	const char *because = json_text(ruled, "because", "");
	AUTO_FREE char *text = text_format("%s: %s%s%s", json_text(ruled, "as", ""), json_text(ruled, "match", ""),
					   because[0] ? ": " : "", because);

	if (json_is_object(ruled))
		label_draw("rule", text);
}

static void finding_draw(const json_t *finding, bool whole)
{
	const json_t *declared = json_member(finding, "declared");
	const char *severity = json_is_object(declared) ? "meant" : json_text(finding, "severity", "info");
	AUTO_FREE char *title = terminal_line(json_text(finding, "title", ""));
	AUTO_LINES expected = lines_of(json_member(finding, "expected"));
	AUTO_LINES got = lines_of(json_member(finding, "got"));
	int64_t count = json_number(finding, "count", 1);

	printf("%s  %s%-5s%s %s%s%s  %s%s", whole ? "\n" : "", terminal_tone(stdout, severity_tone(severity)), severity,
	       terminal_end(stdout), terminal_tone(stdout, TONE_BOLD), title, terminal_end(stdout),
	       terminal_tone(stdout, TONE_FAINT), json_text(finding, "id", ""));
	if (count > 1)
		printf(" ×%lld", (long long)count);
	printf("%s\n", terminal_end(stdout));
	declared_draw(declared);
	ruled_draw(json_member(finding, "ruled"));
	if (!whole)
		return;
	request_draw(json_member(finding, "request"));
	if (expected.count || got.count)
		columns_draw("expected", &expected, "got", &got);
	trees_draw(json_member(finding, "expected_tree"), json_member(finding, "got_tree"));
	said_draw(json_member(finding, "expected_said"), json_member(finding, "got_said"));
	label_draw("why", json_text(finding, "detail", ""));
	if (strcmp(severity, "block") == 0)
		label_draw("reproduce", json_text(finding, "reproduce", ""));
}

static void findings_draw(const json_t *findings, bool all)
{
	size_t hidden = 0;
	size_t index;
	json_t *finding;

	json_array_foreach(findings, index, finding) {
		if (!all && index == FINDINGS_WHOLE)
			printf("\n");
		if (!all && strcmp(json_text(finding, "severity", ""), "info") == 0 && !json_member(finding, "declared"))
			hidden++;
		else
			finding_draw(finding, all || index < FINDINGS_WHOLE);
	}
	if (!all && json_array_size(findings) > FINDINGS_WHOLE)
		printf("\n  --all shows every finding with its evidence%s\n", hidden ? ", and those that only inform" : "");
}

static void list_draw(const char *title, const json_t *lines)
{
	size_t index;
	json_t *line;

	if (!json_array_size(lines))
		return;
	printf("\n%s\n", title);
	json_array_foreach(lines, index, line) {
		AUTO_FREE char *clean = terminal_line(json_string_value(line));

		printf("  · %s\n", clean);
	}
}

/* A report names commits by text, a record by {"gitCommit"}. */
static const char *commit_of(const json_t *report, const char *key)
{
	const json_t *member = json_member(report, key);

	return json_is_object(member) ? json_text(member, "gitCommit", "") : json_text(report, key, "");
}

void report_draw(const json_t *report, struct report_form form)
{
	const char *verdict = json_text(report, "verdict", "unverified");
	AUTO_FREE char *reason = terminal_line(json_text(report, "reason", ""));
	size_t index;
	json_t *gate;

	json_array_foreach(json_member(report, "gates"), index, gate)
		if (!form.no_gates)
			report_gate_draw(stdout, gate);
	findings_draw(json_member(report, "findings"), form.all);
	list_draw("not covered", json_member(report, "not_covered"));
	printf("\n%s%s %s%s  %.12s → %.12s\n", terminal_tone(stdout, report_tone(verdict)), report_mark(verdict), verdict,
	       terminal_end(stdout), commit_of(report, "base"), commit_of(report, "head"));
	if (reason[0])
		printf("  %s\n", reason);
}
