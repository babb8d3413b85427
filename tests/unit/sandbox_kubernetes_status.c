/* What answers of API servers mean: texts that real ones gave (contract of 1.35), and what stands before them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/scope.h"
#include "sandbox/kubernetes/status.h"

#define STATUS(rest) "{\"kind\": \"Status\", \"status\": \"Failure\", " rest "}"
#define CAUSE(reason) "\"details\": {\"causes\": [{\"reason\": \"" reason "\"}]}"

static void an_answer_means_what_its_code_reason_and_cause_say(void **state)
{
	static const struct {
		unsigned code;
		const char *body;
		enum kube_meaning meaning;
		enum err_kind kind;
	} rows[] = {
		{200, "{\"kind\": \"Pod\"}", KUBE_GOOD, ERR_NONE},
		{201, "{\"kind\": \"Pod\"}", KUBE_GOOD, ERR_NONE},
		{200, STATUS("\"status\": \"Success\""), KUBE_GOOD, ERR_NONE},
		{401, STATUS("\"reason\": \"Unauthorized\""), KUBE_UNKNOWN_TO_SERVER, ERR_DENIED},
		{403, STATUS("\"reason\": \"Forbidden\""), KUBE_FORBIDDEN, ERR_DENIED},
		{403, STATUS("\"reason\": \"Forbidden\", " CAUSE("NamespaceTerminating")), KUBE_TERMINATING, ERR_CONFLICT},
		{404, STATUS("\"reason\": \"NotFound\""), KUBE_MISSING, ERR_NOT_FOUND},
		{404, "404 page not found\n", KUBE_MISSING, ERR_NOT_FOUND},
		{409, STATUS("\"reason\": \"AlreadyExists\""), KUBE_EXISTS, ERR_CONFLICT},
		{409, STATUS("\"reason\": \"Conflict\""), KUBE_CHANGED, ERR_CONFLICT},
		{409, STATUS("\"reason\": \"Conflict\", " CAUSE("FieldManagerConflict")), KUBE_OWNED, ERR_CONFLICT},
		{410, STATUS("\"reason\": \"Expired\""), KUBE_EXPIRED, ERR_CONFLICT},
		{413, "too large", KUBE_WRONG, ERR_INVALID},
		{415, STATUS("\"reason\": \"UnsupportedMediaType\""), KUBE_WRONG, ERR_INVALID},
		{422, STATUS("\"reason\": \"Invalid\""), KUBE_WRONG, ERR_INVALID},
		{429, "Too many requests, please try again later.\n", KUBE_BUSY, ERR_RETRY},
		{429, STATUS("\"reason\": \"TooManyRequests\", " CAUSE("DisruptionBudget")), KUBE_DISRUPTS, ERR_CONFLICT},
		{500,
		 STATUS("\"message\": \"failed to create typed patch object (/c; /v1, Kind=ConfigMap): .datta: field not declared\""),
		 KUBE_WRONG, ERR_INVALID},
		{500, STATUS("\"reason\": \"InternalError\", \"message\": \"failed to create typed patch object\""), KUBE_TROUBLE,
		 ERR_RETRY},
		{500, "failed to create typed patch object", KUBE_WRONG, ERR_INVALID},
		{502, "<html>", KUBE_TROUBLE, ERR_RETRY},
		{504, STATUS("\"reason\": \"Timeout\""), KUBE_TROUBLE, ERR_RETRY},
		{504, STATUS("\"reason\": \"Timeout\", " CAUSE("ResourceVersionTooLarge")), KUBE_AHEAD, ERR_CONFLICT},
		{302, "", KUBE_WRONG, ERR_INVALID},
		{0, "", KUBE_WRONG, ERR_INVALID},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct kube_status status;
		struct err err = {0};

		kube_status_judge(rows[i].code, NULL, view_of(rows[i].body), &status);
		if (status.meaning != rows[i].meaning)
			fail_msg("row %zu: %s", i, kube_meaning_name(status.meaning));
		if (status.meaning != KUBE_GOOD)
			assert_int_equal(kube_status_err(&status, &err), -1);
		assert_int_equal(err.kind, rows[i].kind);
	}
}

static void how_long_to_wait_is_what_the_server_asks_for_within_bounds(void **state)
{
	static const struct {
		const char *header, *body;
		int64_t wait_ms;
	} rows[] = {
		{"1", "", 1000},
		{"0", "", 0},
		{"99999999999", "", KUBE_WAIT_MAX_MS},
		{"Fri, 31 Dec 1999 23:59:59 GMT", "", 0},
		{NULL, STATUS("\"details\": {\"retryAfterSeconds\": 2}"), 2000},
		{"3", STATUS("\"details\": {\"retryAfterSeconds\": 2}"), 3000},
		{NULL, STATUS("\"details\": {\"retryAfterSeconds\": 9223372036854775807}"), KUBE_WAIT_MAX_MS},
		{NULL, STATUS("\"details\": {\"retryAfterSeconds\": -1}"), 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct kube_status status;

		kube_status_judge(429, rows[i].header, view_of(rows[i].body), &status);
		assert_int_equal(status.wait_ms, rows[i].wait_ms);
	}
}

static void a_line_of_a_watch_is_an_event_or_none(void **state)
{
	static const struct {
		const char *line;
		int change; /* -1: none */
		const char *version;
	} rows[] = {
		{"{\"type\": \"ADDED\", \"object\": {\"metadata\": {\"resourceVersion\": \"7\"}}}", KUBE_ADDED, "7"},
		{"{\"type\": \"BOOKMARK\", \"object\": {\"metadata\": {\"resourceVersion\": \"8\"}}}", KUBE_BOOKMARK, "8"},
		{"{\"type\": \"ERROR\", \"object\": {\"kind\": \"Status\", \"code\": 410}}", KUBE_ERROR, ""},
		{"{\"type\": \"DELETED\", \"object\": {}}", KUBE_DELETED, ""},
		{"{\"type\": \"DELETED\", \"object\": 7}", -1, ""},
		{"{\"type\": \"OTHER\", \"object\": {}}", -1, ""},
		{"{\"kind\": \"Status\", \"code\": 403}", -1, ""},
		{"{\"type\": \"ADDED\", \"object\": {\"meta", -1, ""},
		{"Too many requests", -1, ""},
		{"", -1, ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct kube_event event;
		struct err err = {0};
		int result = kube_event_parse(view_of(rows[i].line), &event, &err);

		assert_int_equal(result, rows[i].change < 0 ? -1 : 0);
		if (!result)
			assert_int_equal(event.change, rows[i].change);
		assert_string_equal(event.version, rows[i].version);
		json_decref(event.object);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_means_what_its_code_reason_and_cause_say),
		cmocka_unit_test(how_long_to_wait_is_what_the_server_asks_for_within_bounds),
		cmocka_unit_test(a_line_of_a_watch_is_an_event_or_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
