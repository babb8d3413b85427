/*
 * TAP 12, 13 and 14 (testanything.org): test lines, directives, subtests by indentation, YAML blocks. Only leaves are tests: a line that
 * closes a subtest is its parent's summary, and counts only when it failed although its children passed.
 */
#include "base/scope.h"
#include "verify/report.h"

#define TAP_DEPTH_MAX 32
#define INDENT 4

struct level {
	struct view name; /* of the subtest that is open here */
	size_t tests;     /* since the last line of the level above */
	size_t failed;
};

struct reading {
	struct test_report *report;
	struct level levels[TAP_DEPTH_MAX + 1];
	bool in_yaml;
	size_t yaml_case; /* the test that the block is about: its index + 1, 0: none */
	struct buf yaml;
	bool seen;
};

static size_t indent_of(struct view line)
{
	size_t spaces = 0;

	while (spaces < line.length && line.at[spaces] == ' ')
		spaces++;
	return spaces;
}

static struct view after(struct view line, size_t length)
{
	return view_trim(view_make(line.at + length, line.length - length));
}

static void message_set(struct reading *reading)
{
	struct test_case *test = reading->yaml_case ? &reading->report->cases[reading->yaml_case - 1] : NULL;
	ptrdiff_t duration = view_find(buf_view(&reading->yaml), VIEW("duration_ms:"));

	if (test && duration >= 0) {
		struct view rest;
		struct view value = view_cut(
			view_make(reading->yaml.at + duration + 12, reading->yaml.length - (size_t)duration - 12), '\n', &rest);
		int64_t thousandths = report_seconds(value);

		test->duration_ms = thousandths < 0 ? -1 : thousandths / 1000;
	}
	if (test && (test->status == TEST_FAILED || test->status == TEST_ERROR) && !test->message[0]) {
		scope_free(&test->message);
		test->message = test_report_text(buf_view(&reading->yaml), REPORT_MESSAGE_MAX);
	}
	reading->in_yaml = false;
	reading->yaml_case = 0;
	buf_clear(&reading->yaml);
}

/* "# SKIP reason" and "# TODO reason" behind a description, any case; an escaped \# is none. */
static bool directive_cut(struct view *description, struct view *directive)
{
	for (size_t i = 0; i + 5 <= description->length; i++) {
		struct view rest;

		if (description->at[i] != '#' || (i && description->at[i - 1] == '\\'))
			continue;
		rest = after(*description, i + 1);
		if (rest.length < 4 || (!view_equal_nocase(view_make(rest.at, 4), VIEW("skip")) &&
					!view_equal_nocase(view_make(rest.at, 4), VIEW("todo"))))
			continue;
		*directive = rest;
		*description = view_trim(view_make(description->at, i));
		return true;
	}
	return false;
}

static void suite_name(struct buf *out, const struct reading *reading, size_t depth)
{
	for (size_t i = 0; i < depth; i++)
		if (reading->levels[i].name.length) {
			if (out->length)
				buf_add_text(out, " > ");
			buf_add_view(out, reading->levels[i].name);
		}
}

/* "1 - description", the number and the dash being optional. */
static struct view description_of(struct view text)
{
	size_t digits = 0;

	while (digits < text.length && text.at[digits] >= '0' && text.at[digits] <= '9')
		digits++;
	text = after(text, digits);
	return view_starts(text, VIEW("- ")) ? after(text, 2) : text;
}

static void test_take(struct reading *reading, size_t depth, bool good, struct view text)
{
	struct level *below = &reading->levels[depth + 1];
	bool parent = below->tests > 0;
	bool failed_alone = parent && !good && !below->failed;
	struct view description = description_of(text);
	struct view directive = {0};
	AUTO_BUF suite = buf_new(8192);
	enum test_status status = good ? TEST_PASSED : TEST_FAILED;

	if (directive_cut(&description, &directive))
		status = TEST_SKIPPED;
	reading->levels[depth].tests++;
	reading->levels[depth].failed += status == TEST_FAILED;
	reading->levels[depth].name = (struct view){0};
	*below = (struct level){0};
	reading->yaml_case = 0;
	if (parent && !failed_alone)
		return;
	suite_name(&suite, reading, depth);
	if (test_report_add(reading->report, buf_view(&suite), description.length ? description : text, status, directive, -1))
		reading->yaml_case = reading->report->count;
}

static void line_take(struct reading *reading, struct view line)
{
	size_t spaces = indent_of(line);
	size_t depth = spaces / INDENT;
	struct view text = view_trim(line);

	if (reading->in_yaml) {
		if (view_is(text, "..."))
			message_set(reading);
		else {
			buf_add_view(&reading->yaml, line);
			buf_add_char(&reading->yaml, '\n');
		}
		return;
	}
	if (view_is(text, "---")) {
		reading->in_yaml = true;
		return;
	}
	if (depth >= TAP_DEPTH_MAX)
		return;
	if (view_starts(text, VIEW("# Subtest:"))) {
		/* At the level of the summary; what older writers put one level in is taken for nothing. */
		reading->levels[depth].name = after(text, 10);
		reading->levels[depth + 1] = (struct level){0};
	} else if (view_starts(text, VIEW("TAP version ")) || view_starts(text, VIEW("1.."))) {
		reading->seen = true;
	} else if (view_starts(text, VIEW("Bail out!"))) {
		reading->seen = true;
		(void)test_report_add(reading->report, VIEW(""), text, TEST_ERROR, after(text, 9), -1);
	} else if (view_is(text, "ok") || view_starts(text, VIEW("ok "))) {
		reading->seen = true;
		test_take(reading, depth, true, after(text, 2));
	} else if (view_is(text, "not ok") || view_starts(text, VIEW("not ok "))) {
		reading->seen = true;
		test_take(reading, depth, false, after(text, 6));
	}
}

int report_parse_tap(struct view bytes, struct test_report *report, struct err *err)
{
	struct reading reading = {.report = report, .yaml = buf_new(4 * REPORT_MESSAGE_MAX)};
	struct view rest = bytes;

	while (rest.length && !report->cut) {
		struct view line = view_cut(rest, '\n', &rest);

		if (line.length && line.at[line.length - 1] == '\r')
			line.length--;
		line_take(&reading, line);
	}
	report->cut = report->cut || reading.in_yaml;
	buf_fini(&reading.yaml);
	if (!reading.seen)
		return err_set(err, ERR_INVALID, "the report is no TAP: it has no plan and no test line");
	return 0;
}
