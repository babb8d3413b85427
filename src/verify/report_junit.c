/*
 * JUnit XML as runners write it: testsuites, testsuite (nested or not), testcase with failure, error, skipped, rerunFailure, flakyFailure. A test's suite is
 * its classname, or else the names of the suites around it.
 */
#include "base/scope.h"
#include "verify/report.h"
#include "verify/xml.h"

struct reading {
	struct xml xml;
	struct test_report *report;
	struct view suites[XML_DEPTH_MAX + 1]; /* names of the open <testsuite>s */
	size_t suite_count;
	bool in_case;
	bool in_message;
	enum test_status status;
	struct view name;
	struct view class_name;
	struct view time;
	struct buf message;
	bool seen; /* any element of the format */
};

static void suite_open(struct reading *reading)
{
	struct view name = xml_attribute(&reading->xml, "name");

	reading->seen = true;
	if (reading->suite_count < ARRAY_LEN(reading->suites))
		reading->suites[reading->suite_count++] = name;
}

static void case_open(struct reading *reading)
{
	reading->seen = reading->in_case = true;
	reading->in_message = false;
	reading->status = TEST_PASSED;
	reading->name = xml_attribute(&reading->xml, "name");
	reading->class_name = xml_attribute(&reading->xml, "classname");
	reading->time = xml_attribute(&reading->xml, "time");
	buf_clear(&reading->message);
}

/* A failure's element: its attributes tell the message, its text the details. */
static void outcome_open(struct reading *reading, enum test_status status)
{
	struct view message = xml_attribute(&reading->xml, "message");

	if (reading->status == TEST_PASSED || status < TEST_SKIPPED)
		reading->status = status;
	xml_decode(&reading->message, message.length ? message : xml_attribute(&reading->xml, "type"));
	if (message.length)
		buf_add_char(&reading->message, '\n');
	reading->in_message = true;
}

static void case_close(struct reading *reading)
{
	AUTO_BUF suite = buf_new(8192);
	AUTO_BUF name = buf_new(8192);
	struct view message;

	reading->in_case = reading->in_message = false;
	xml_decode(&name, reading->name);
	xml_decode(&suite, reading->class_name);
	for (size_t i = 0; !reading->class_name.length && i < reading->suite_count; i++) {
		if (!reading->suites[i].length)
			continue;
		if (suite.length)
			buf_add_text(&suite, " > ");
		xml_decode(&suite, reading->suites[i]);
	}
	message = reading->status == TEST_PASSED ? VIEW("") : buf_view(&reading->message);
	(void)test_report_add(reading->report, buf_view(&suite), buf_view(&name), reading->status, message,
			      report_seconds(reading->time));
}

static void element_open(struct reading *reading)
{
	struct view name = reading->xml.name;

	if (view_is(name, "testsuite") || view_is(name, "testsuites"))
		suite_open(reading);
	else if (view_is(name, "testcase"))
		case_open(reading);
	else if (!reading->in_case)
		return;
	else if (view_is(name, "failure"))
		outcome_open(reading, TEST_FAILED);
	else if (view_is(name, "error"))
		outcome_open(reading, TEST_ERROR);
	else if (view_is(name, "skipped"))
		outcome_open(reading, TEST_SKIPPED);
}

static void element_close(struct reading *reading)
{
	struct view name = reading->xml.name;

	if ((view_is(name, "testsuite") || view_is(name, "testsuites")) && reading->suite_count)
		reading->suite_count--;
	else if (view_is(name, "testcase") && reading->in_case)
		case_close(reading);
	else if (view_is(name, "failure") || view_is(name, "error") || view_is(name, "skipped"))
		reading->in_message = false;
}

static void text_take(struct reading *reading)
{
	if (!reading->in_message)
		return;
	if (reading->xml.literal)
		buf_add_view(&reading->message, reading->xml.text);
	else
		xml_decode(&reading->message, reading->xml.text);
}

int report_parse_junit(struct view bytes, struct test_report *report, struct err *err)
{
	struct reading reading = {.xml = xml_new(bytes), .report = report, .message = buf_new(4 * REPORT_MESSAGE_MAX)};
	enum xml_event event;

	while ((event = xml_next(&reading.xml)) != XML_END && !report->cut) {
		if (event == XML_OPEN)
			element_open(&reading);
		else if (event == XML_CLOSE)
			element_close(&reading);
		else
			text_take(&reading);
	}
	buf_fini(&reading.message);
	report->cut = report->cut || reading.xml.broken;
	if (!reading.seen)
		return err_set(err, ERR_INVALID, "the report is no JUnit XML: it has neither <testsuite> nor <testcase>");
	return 0;
}
