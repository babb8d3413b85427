/*
 * report: what a test runner wrote about its tests: JUnit XML, TAP 12 to 14, CTRF JSON, or the streams of JSON of go, cargo and
 * node, as one list.
 *
 * The file is written by the code under test, so it is read as hostile bytes, and it is only believed for the *names* of tests and for
 * failures: whether the suite passed is judged by the exit code, from outside. Reading is lenient: what is broken ends the list, which
 * then says that it is cut.
 */
#ifndef ASSAY_VERIFY_REPORT_H
#define ASSAY_VERIFY_REPORT_H

#include "base/buf.h"
#include "blueprint/blueprint.h"

#define REPORT_BYTES_MAX ((size_t)32 << 20)
#define REPORT_CASES_MAX 50000
#define REPORT_NAME_MAX ((size_t)400)     /* longer names are cut */
#define REPORT_MESSAGE_MAX ((size_t)4000) /* longer messages too */

enum test_status { TEST_PASSED, TEST_FAILED, TEST_ERROR, TEST_SKIPPED };

struct test_case {
	char *suite; /* class, file or parents: "" when there is none */
	char *name;
	char *message; /* of a failure, or the reason of a skip; "" */
	enum test_status status;
	int64_t duration_ms; /* -1: not told */
};

struct test_report {
	struct test_case *cases;
	size_t count;
	size_t capacity;
	bool cut; /* the file ended in the middle, or was over a limit: there may be more */
};

/* The format that a file's name tells: REPORT_NONE when it does not. */
enum report_format report_format_of(const char *path);
/* `report` must be zeroed; it is filled as far as the bytes can be read. ERR_INVALID when they are no such report at all. */
MUST_USE int report_parse(enum report_format format, struct view bytes, struct test_report *report, struct err *err);
void test_report_fini(struct test_report *report);
#define AUTO_REPORT __attribute__((cleanup(test_report_fini))) struct test_report

/* Borrowed; NULL when absent. The last one counts: runners list a retried test again. */
const struct test_case *test_report_find(const struct test_report *report, const char *suite, const char *name);
const char *test_status_name(enum test_status status);

/* For the readers of the formats. Texts are copied, cut to their maxima and made valid UTF-8. False when the list is full. */
bool test_report_add(struct test_report *report, struct view suite, struct view name, enum test_status status, struct view message,
		     int64_t duration_ms);
MUST_USE int report_parse_junit(struct view bytes, struct test_report *report, struct err *err);
MUST_USE int report_parse_tap(struct view bytes, struct test_report *report, struct err *err);
/* CTRF, or else a stream of events. */
MUST_USE int report_parse_json(struct view bytes, struct test_report *report, struct err *err);
MUST_USE int report_parse_lines(struct view bytes, struct test_report *report, struct err *err);
/* A copy, owned by the caller: at most `length_max` bytes, valid UTF-8, no control characters but newline and tab. */
char *test_report_text(struct view text, size_t length_max);
/* "0.25" seconds, as runners write them, in ms; -1 when it is none. */
int64_t report_seconds(struct view text);

#endif
