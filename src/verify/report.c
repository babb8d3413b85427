/* The list of tests, and its CTRF reader. */
#include "verify/report.h"

#include <stdlib.h>

#include "base/json.h"
#include "base/scope.h"

enum report_format report_format_of(const char *path)
{
	struct view name = view_of(path);

	if (view_ends(name, VIEW(".xml")))
		return REPORT_JUNIT;
	if (view_ends(name, VIEW(".tap")))
		return REPORT_TAP;
	if (view_ends(name, VIEW(".json")))
		return REPORT_CTRF;
	if (view_ends(name, VIEW(".jsonl")) || view_ends(name, VIEW(".ndjson")))
		return REPORT_JSON;
	return REPORT_NONE;
}

int report_parse(enum report_format format, struct view bytes, struct test_report *report, struct err *err)
{
	if (bytes.length > REPORT_BYTES_MAX)
		return err_set(err, ERR_LIMIT, "a test report has at most %zu bytes, not %zu", REPORT_BYTES_MAX, bytes.length);
	switch (format) {
	case REPORT_JUNIT:
		return report_parse_junit(bytes, report, err);
	case REPORT_TAP:
		return report_parse_tap(bytes, report, err);
	case REPORT_CTRF:
	case REPORT_JSON:
		return report_parse_json(bytes, report, err);
	case REPORT_NONE:
		break;
	}
	return err_set(err, ERR_INVALID,
		       "the format of the test report is not known: name it in the blueprint (junit, tap, ctrf or json)");
}

void test_report_fini(struct test_report *report)
{
	for (size_t i = 0; i < report->count; i++) {
		free(report->cases[i].suite);
		free(report->cases[i].name);
		free(report->cases[i].message);
	}
	free(report->cases);
	*report = (struct test_report){0};
}

const struct test_case *test_report_find(const struct test_report *report, const char *suite, const char *name)
{
	for (size_t i = report->count; i > 0; i--)
		if (strcmp(report->cases[i - 1].name, name) == 0 && strcmp(report->cases[i - 1].suite, suite) == 0)
			return &report->cases[i - 1];
	return NULL;
}

const char *test_status_name(enum test_status status)
{
	static const char *const names[] = {"passed", "failed", "error", "skipped"};

	return names[status];
}

char *test_report_text(struct view text, size_t length_max)
{
	AUTO_JSON holder = json_object();
	char *copy;

	json_set_bytes(holder, "t", view_make(text.at, text.length < length_max ? text.length : length_max));
	copy = text_copy(json_text(holder, "t", ""));
	for (char *c = copy; *c; c++)
		if ((unsigned char)*c < 0x20 && *c != '\n' && *c != '\t')
			*c = ' ';
	return copy;
}

bool test_report_add(struct test_report *report, struct view suite, struct view name, enum test_status status, struct view message,
		     int64_t duration_ms)
{
	if (report->count >= REPORT_CASES_MAX) {
		report->cut = true;
		return false;
	}
	if (report->count == report->capacity) {
		report->capacity = report->capacity ? report->capacity * 2 : 64;
		report->cases = mem_grow(report->cases, report->capacity, sizeof(report->cases[0]));
	}
	report->cases[report->count++] = (struct test_case){.suite = test_report_text(view_trim(suite), REPORT_NAME_MAX),
							    .name = test_report_text(view_trim(name), REPORT_NAME_MAX),
							    .message = test_report_text(view_trim(message), REPORT_MESSAGE_MAX),
							    .status = status,
							    .duration_ms = duration_ms};
	return true;
}

int64_t report_seconds(struct view text)
{
	char copy[32] = "";
	char *end;
	double seconds;

	text = view_trim(text);
	if (!text.length || text.length >= sizeof(copy))
		return -1;
	memcpy(copy, text.at, text.length);
	seconds = strtod(copy, &end);
	if (*end || !(seconds >= 0) || seconds > 1e7)
		return -1;
	return (int64_t)(seconds * 1000 + 0.5);
}

static enum test_status ctrf_status(const char *text)
{
	if (strcmp(text, "passed") == 0)
		return TEST_PASSED;
	return strcmp(text, "failed") == 0 ? TEST_FAILED : TEST_SKIPPED; /* skipped, pending, other */
}

/* `suite` is a text, or in later drafts a list of them. */
static void ctrf_suite(struct buf *out, const json_t *test)
{
	const json_t *suite = json_member(test, "suite");

	if (json_is_string(suite))
		buf_add_text(out, json_string_value(suite));
	for (size_t i = 0; i < json_array_size(suite); i++)
		if (json_is_string(json_array_get(suite, i)))
			buf_add_format(out, "%s%s", i ? " > " : "", json_string_value(json_array_get(suite, i)));
	if (!out->length)
		buf_add_text(out, json_text(test, "filePath", ""));
}

int report_parse_json(struct view bytes, struct test_report *report, struct err *err)
{
	AUTO_JSON json = json_parse(bytes, NULL);
	const json_t *tests = json_member(json_member(json, "results"), "tests");

	if (!json_is_array(tests))
		return report_parse_lines(bytes, report, err);
	for (size_t i = 0; i < json_array_size(tests); i++) {
		const json_t *test = json_array_get(tests, i);
		const json_t *duration = json_member(test, "duration");
		double ms = json_is_number(duration) ? json_number_value(duration) : -1;
		AUTO_BUF suite = buf_new(4096);
		const char *name = json_text(test, "name", NULL);

		if (!name)
			continue;
		ctrf_suite(&suite, test);
		if (!test_report_add(report, buf_view(&suite), view_of(name), ctrf_status(json_text(test, "status", "")),
				     view_of(json_text(test, "message", json_text(test, "trace", ""))),
				     ms >= 0 && ms < 1e10 ? (int64_t)ms : -1))
			break;
	}
	return 0;
}
