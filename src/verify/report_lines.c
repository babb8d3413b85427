/*
 * Streams of JSON, a line an event, as runners write them: `go test -json` (Action, Package, Test, Output), cargo's libtest
 * (--format json: type, event, name, stdout) and events of node:test ({"type": "test:fail", "data": {name, nesting, details}}). Lines that
 * are none of it, as of what a test prints, are left out.
 */
#include "base/json.h"
#include "base/scope.h"
#include "verify/report.h"

#define LINE_BYTES_MAX ((size_t)1 << 20)
#define OUTPUTS_MAX 5000 /* tests whose output is remembered */

struct stream {
	struct test_report *report;
	json_t *outputs; /* {"package test": what it printed so far} */
	bool seen;
};

static int64_t real_ms(const json_t *seconds, double factor)
{
	double value = json_is_number(seconds) ? json_number_value(seconds) * factor : -1;

	return value >= 0 && value < 1e10 ? (int64_t)value : -1;
}

/* ---- go ---- */

static void go_output(struct stream *stream, const char *key, const char *text)
{
	const char *old = json_text(stream->outputs, key, "");

	if (!old[0] && json_object_size(stream->outputs) >= OUTPUTS_MAX)
		return;
	if (strlen(old) < REPORT_MESSAGE_MAX) {
		AUTO_FREE char *whole = text_format("%s%s", old, text);

		json_set_bytes(stream->outputs, key, view_of(whole));
	}
}

static void go_event(struct stream *stream, const json_t *event)
{
	static const struct {
		const char *action;
		enum test_status status;
	} rows[] = {{"pass", TEST_PASSED}, {"fail", TEST_FAILED}, {"skip", TEST_SKIPPED}};
	const char *action = json_text(event, "Action", "");
	const char *package = json_text(event, "Package", "");
	const char *test = json_text(event, "Test", NULL);

	stream->seen = true;
	if (!test) /* of the package as a whole: its tests say it */
		return;
	AUTO_FREE char *key = text_format("%s %s", package, test);

	if (strcmp(action, "output") == 0)
		go_output(stream, key, json_text(event, "Output", ""));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (strcmp(action, rows[i].action) == 0)
			(void)test_report_add(stream->report, view_of(package), view_of(test), rows[i].status,
					      rows[i].status == TEST_PASSED ? VIEW("")
									    : view_of(json_text(stream->outputs, key, "")),
					      real_ms(json_object_get(event, "Elapsed"), 1000));
}

/* ---- cargo ---- */

static void cargo_event(struct stream *stream, const json_t *event)
{
	static const struct {
		const char *event;
		enum test_status status;
	} rows[] = {{"ok", TEST_PASSED}, {"failed", TEST_FAILED}, {"ignored", TEST_SKIPPED}, {"timeout", TEST_FAILED}};
	const char *name = json_text(event, "name", NULL);
	const char *what = json_text(event, "event", "");

	stream->seen = true;
	if (!name || strcmp(json_text(event, "type", ""), "test") != 0)
		return;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (strcmp(what, rows[i].event) == 0)
			(void)test_report_add(stream->report, VIEW(""), view_of(name), rows[i].status,
					      view_of(json_text(event, "stdout", json_text(event, "message", ""))),
					      real_ms(json_object_get(event, "exec_time"), 1000));
}

/* ---- node ---- */

static void node_event(struct stream *stream, const json_t *event)
{
	const json_t *data = json_member(event, "data");
	const json_t *details = json_member(data, "details");
	const char *name = json_text(data, "name", NULL);
	bool failed = strcmp(json_text(event, "type", ""), "test:fail") == 0;
	const json_t *error = json_member(details, "error");
	const char *message = json_is_string(error) ? json_string_value(error) : json_text(error, "message", "");
	bool skipped = json_object_get(data, "skip") || json_object_get(data, "todo");

	stream->seen = true;
	if (!name || strcmp(json_text(details, "type", ""), "suite") == 0 ||
	    (!failed && strcmp(json_text(event, "type", ""), "test:pass") != 0))
		return;
	(void)test_report_add(stream->report, view_of(json_text(data, "file", "")), view_of(name),
			      skipped  ? TEST_SKIPPED
			      : failed ? TEST_FAILED
				       : TEST_PASSED,
			      view_of(failed ? message : ""), real_ms(json_object_get(details, "duration_ms"), 1));
}

static void line_read(struct stream *stream, struct view line)
{
	AUTO_JSON event = line.length && line.length <= LINE_BYTES_MAX && line.at[0] == '{' ? json_parse(line, NULL) : NULL;
	const char *type = json_text(event, "type", "");

	if (json_text(event, "Action", NULL))
		go_event(stream, event);
	else if (strncmp(type, "test:", 5) == 0)
		node_event(stream, event);
	else if (json_text(event, "event", NULL) && (strcmp(type, "test") == 0 || strcmp(type, "suite") == 0))
		cargo_event(stream, event);
}

int report_parse_lines(struct view bytes, struct test_report *report, struct err *err)
{
	AUTO_JSON outputs = json_object();
	struct stream stream = {.report = report, .outputs = outputs};

	while (bytes.length && !report->cut) {
		bool whole = memchr(bytes.at, '\n', bytes.length) != NULL;
		struct view line = view_trim(view_cut(bytes, '\n', &bytes));
		size_t before = report->count;

		line_read(&stream, line);
		if (!whole && line.length && line.at[0] == '{' && report->count == before && line.at[line.length - 1] != '}')
			report->cut = true; /* in the middle of an event */
	}
	if (!stream.seen)
		return err_set(
			err, ERR_INVALID,
			"the JSON report is neither CTRF (results.tests) nor events of go test, cargo or node:test, a line each");
	return 0;
}
