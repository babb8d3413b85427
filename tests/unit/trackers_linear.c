/* Linear: captured webhooks, the vendor's answers, and the shapes of what is sent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/scope.h"
#include "http/webhook.h"
#include "trackers/event.h"
#include "trackers/linear.h"

#define NOW_MS INT64_C(1795284071000)

static json_t *sample_read(const char *name)
{
	AUTO_FREE char *path = text_format("%s/tests/data/webhooks/linear-%s.json", getenv("SOURCE_ROOT"), name);
	AUTO_BUF text = buf_new(1 << 20);
	json_t *sample;

	assert_int_equal(file_read(path, &text, NULL), 0);
	sample = json_parse(buf_view(&text), NULL);
	assert_non_null(sample);
	return sample;
}

static const char *sample_header(void *self, const char *name)
{
	return json_text(json_member(self, "headers"), name, NULL);
}

static void captured_webhooks_verify_and_parse(void **state)
{
	static const struct {
		const char *name;
		enum tracker_event_kind kind;
		const char *text;
		const char *actor;
		const char *key;
	} rows[] = {
		{"agentsessionevent-created", TRACKER_CREATED, "## Steps", "Alice Ng", "session:640ce82a"},
		{"agentsessionevent-created-mention-in-thread", TRACKER_CREATED, "## Steps", "Bob Roy", "session:ae25a381"},
		{"agentsessionevent-prompted", TRACKER_PROMPTED, "", "", "activity:"},
		{"agentsessionevent-prompted-stop", TRACKER_STOP, "stop", "Alice Ng", "activity:47659503"},
		{"appusernotification-issueassignedtoyou", TRACKER_IGNORED, NULL, "Alice Ng", "notification:"},
		{"appusernotification-issuecommentmention", TRACKER_IGNORED, NULL, "", "notification:"},
		{"appusernotification-issuenewcomment", TRACKER_IGNORED, NULL, "", "notification:"},
		{"appusernotification-issuestatuschanged", TRACKER_IGNORED, NULL, "", "notification:"},
		{"appusernotification-issueunassignedfromyou", TRACKER_UNASSIGNED, NULL, "Alice Ng", "notification:3752e427"},
		{"comment-create", TRACKER_COMMENT, "I saw it too.", "Bob Roy", "data:8e980de6"},
		{"issue-create", TRACKER_ISSUE, "## Steps", "Alice Ng", "data:776bddbc"},
		{"issue-update", TRACKER_ISSUE, "## Steps", "Alice Ng", "data:776bddbc"},
		{"oauthapp-revoked", TRACKER_REVOKED, NULL, NULL, ""},
		{"permissionchange-teamaccesschanged", TRACKER_ACCESS, NULL, NULL, ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_JSON sample = sample_read(rows[i].name);
		AUTO_TRACKER_EVENT event = {0};
		struct webhook_request request = {sample_header, sample, view_of(json_text(sample, "body", ""))};
		struct err err = {0};

		if (webhook_verify(WEBHOOK_LINEAR, json_text(sample, "secret", ""), &request, NOW_MS, &err) ||
		    linear_event_parse(request.body, &event, &err))
			fail_msg("%s: %s", rows[i].name, err.text);
		assert_int_equal(webhook_verify(WEBHOOK_LINEAR, "another", &request, NOW_MS, &err), -1);
		assert_int_equal(event.kind, rows[i].kind);
		assert_non_null(event.account);
		assert_true(event.time_ms > NOW_MS - 60000);
		assert_true(!rows[i].text || (event.text && strstr(event.text, rows[i].text)));
		assert_true(!rows[i].actor || (event.actor_name && strstr(event.actor_name, rows[i].actor)));
		assert_true(strncmp(event.key, rows[i].key, strlen(rows[i].key)) == 0);
		assert_false(event.actor_is_self);
		if (rows[i].kind == TRACKER_CREATED || rows[i].kind == TRACKER_STOP) {
			assert_string_equal(event.item, "ENG-1");
			assert_string_equal(event.team, "ENG");
			assert_non_null(event.thread);
		}
	}
}

static void what_is_absent_null_or_new_is_ignored(void **state)
{
	static const struct {
		const char *body;
		enum tracker_event_kind kind;
	} rows[] = {
		{"{}", TRACKER_IGNORED},
		{"{\"type\":7,\"action\":null}", TRACKER_IGNORED},
		{"{\"type\":\"Rocket\",\"action\":\"launch\"}", TRACKER_IGNORED},
		{"{\"type\":\"AgentSessionEvent\",\"action\":\"created\"}", TRACKER_IGNORED},
		{"{\"type\":\"AgentSessionEvent\",\"action\":\"danced\",\"agentSession\":{\"id\":\"a\"}}", TRACKER_IGNORED},
		{"{\"type\":\"AgentSessionEvent\",\"action\":\"created\",\"agentSession\":{\"id\":\"a\",\"issue\":null,\"creator\":null}}",
		 TRACKER_CREATED},
		{"{\"type\":\"AgentSessionEvent\",\"action\":\"prompted\",\"agentSession\":{\"id\":\"a\"},\"agentActivity\":[]}",
		 TRACKER_PROMPTED},
		{"{\"type\":\"OAuthApp\",\"action\":\"made\"}", TRACKER_IGNORED},
	};
	static const char *const broken[] = {"", "[1]", "{\"type\":", "\xff", "null"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_TRACKER_EVENT event = {0};

		assert_int_equal(linear_event_parse(view_of(rows[i].body), &event, NULL), 0);
		assert_int_equal(event.kind, rows[i].kind);
	}
	for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
		AUTO_TRACKER_EVENT event = {0};
		struct err err = {0};

		assert_int_equal(linear_event_parse(view_of(broken[i]), &event, &err), -1);
		assert_int_equal(err.kind, ERR_INVALID);
	}
}

struct headers {
	const char *pairs[8];
};

static const char *answer_header(void *self, const char *name)
{
	const struct headers *headers = self;

	for (size_t i = 0; i + 1 < ARRAY_LEN(headers->pairs) && headers->pairs[i]; i += 2)
		if (strcasecmp(headers->pairs[i], name) == 0)
			return headers->pairs[i + 1];
	return NULL;
}

#define ERRORS(message, code, type) \
	"{\"data\":null,\"errors\":[{\"message\":\"" message "\",\"extensions\":{\"code\":\"" code "\",\"type\":\"" type "\"}}]}"

static void answers_are_judged_as_the_vendor_means_them(void **state)
{
	static const struct {
		unsigned status;
		const char *body;
		enum err_kind kind;
		bool expired;
		int64_t blocked_ms;
		struct headers headers;
	} rows[] = {
		{200, "{\"data\":{\"agentActivityCreate\":{\"success\":true}}}", ERR_NONE, false, 0, {{NULL}}},
		{200, "{\"data\":{\"agentActivityCreate\":{\"success\":false}}}", ERR_RETRY, false, 0, {{NULL}}},
		{400,
		 ERRORS("Rate limit exceeded", "RATELIMITED", "ratelimited"),
		 ERR_LIMIT,
		 false,
		 NOW_MS + 90000,
		 {{"X-RateLimit-Requests-Remaining", "0", "X-RateLimit-Requests-Reset", "1795284161000",
		   "X-RateLimit-Complexity-Remaining", "100", NULL}}},
		{429, "Too many", ERR_LIMIT, false, NOW_MS + 7000, {{"Retry-After", "7", NULL}}},
		{401,
		 ERRORS("Authentication required", "AUTHENTICATION_ERROR", "authentication error"),
		 ERR_DENIED,
		 true,
		 0,
		 {{NULL}}},
		{401, "", ERR_DENIED, true, 0, {{NULL}}},
		{200,
		 ERRORS("conflict on insert of AgentActivity", "INPUT_ERROR", "invalid input"),
		 ERR_CONFLICT,
		 false,
		 0,
		 {{NULL}}},
		{200,
		 ERRORS("Entity AgentActivity with id x already exists", "INPUT_ERROR", "invalid input"),
		 ERR_CONFLICT,
		 false,
		 0,
		 {{NULL}}},
		{200, ERRORS("Argument Validation Error", "INVALID_INPUT", "invalid input"), ERR_INVALID, false, 0, {{NULL}}},
		{200, ERRORS("no more", "USAGE_LIMIT_EXCEEDED", "usage limit exceeded"), ERR_DENIED, false, 0, {{NULL}}},
		{200, ERRORS("no", "FORBIDDEN", "forbidden"), ERR_DENIED, false, 0, {{NULL}}},
		{500, ERRORS("oops", "INTERNAL_SERVER_ERROR", "internal error"), ERR_RETRY, false, 0, {{NULL}}},
		{200, ERRORS("slow", "OTHER", "lock timeout"), ERR_RETRY, false, 0, {{NULL}}},
		{200, ERRORS("Entity not found: Issue", "INPUT_ERROR", "invalid input"), ERR_NOT_FOUND, false, 0, {{NULL}}},
		{502, "<html>Bad gateway</html>", ERR_RETRY, false, 0, {{NULL}}},
		{200, "<html>hello</html>", ERR_RETRY, false, 0, {{NULL}}},
		{400, "{}", ERR_INVALID, false, 0, {{NULL}}},
		{403, "{}", ERR_DENIED, false, 0, {{NULL}}},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct headers headers = rows[i].headers;
		struct linear_answer answer = {rows[i].status, view_of(rows[i].body), answer_header, &headers};
		struct linear_said said = {0};
		struct err err = {0};
		AUTO_JSON data = NULL;
		int failed = linear_answer_judge(&answer, NOW_MS, &data, &said, &err);

		if (!!failed != (rows[i].kind != ERR_NONE) || err.kind != rows[i].kind || said.expired != rows[i].expired ||
		    said.blocked_until_ms != rows[i].blocked_ms)
			fail_msg("row %zu: %d %s, blocked %lld", i, (int)err.kind, err.text, (long long)said.blocked_until_ms);
	}
}

static void documents_are_found_and_names_of_operations_are_uuids(void **state)
{
	struct linear_uuid uuid = linear_uuid_of("r1/turn/1");

	(void)state;
	assert_true(view_starts(linear_document("Viewer"), VIEW("query Viewer {")));
	assert_true(view_starts(linear_document("ActivityCreate"), VIEW("mutation ActivityCreate(")));
	assert_true(view_find(linear_document("AttachmentCreate"), VIEW("attachment { id }")) > 0);
	assert_int_equal(linear_document("Nothing").length, 0);
	assert_int_equal(strlen(uuid.text), 36);
	assert_int_equal(uuid.text[14], '4');
	assert_int_equal(uuid.text[19], 'a');
	assert_string_equal(uuid.text, linear_uuid_of("r1/turn/1").text);
	assert_string_not_equal(uuid.text, linear_uuid_of("r1/turn/2").text);
}

static void who_allows_it_is_sent_where_the_vendor_asks(void **state)
{
	/* RFC 7636, appendix B */
	struct linear_client client = {"https://api.linear.app", "id", NULL};
	AUTO_FREE char *url = linear_authorize_url(LINEAR_AUTHORIZE, &client, "http://127.0.0.1:1/back", LINEAR_SCOPES, "s&t",
						   "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");

	(void)state;
	assert_string_equal(url,
			    "https://linear.app/oauth/authorize?client_id=id&redirect_uri=http%3A%2F%2F127.0.0.1%3A1%2Fback"
			    "&response_type=code&scope=read%2Cwrite%2Capp%3Aassignable%2Capp%3Amentionable&state=s%26t&actor=app"
			    "&code_challenge_method=S256&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
}

static void a_plan_and_states_are_in_the_vendors_words(void **state)
{
	AUTO_JSON plan = json_parse(
		VIEW("[{\"text\":\"a\",\"state\":\"completed\"},{\"text\":\"b\",\"state\":\"in_progress\"},{\"text\":\"c\"}]"),
		NULL);
	AUTO_JSON list = linear_plan(plan);
	AUTO_JSON states = json_parse(
		VIEW("{\"team\":{\"states\":{\"nodes\":[{\"id\":\"1\",\"name\":\"Done\",\"type\":\"completed\",\"position\":0},"
		     "{\"id\":\"2\",\"name\":\"In Review\",\"type\":\"started\",\"position\":1002.5},"
		     "{\"id\":\"3\",\"name\":\"In Progress\",\"type\":\"started\",\"position\":2}]}}}"),
		NULL);
	AUTO_BUF text = buf_new(4096);

	(void)state;
	json_format_sorted(&text, list);
	assert_string_equal(text.at, "[{\"content\":\"a\",\"status\":\"completed\"},{\"content\":\"b\",\"status\":\"inProgress\"},"
				     "{\"content\":\"c\",\"status\":\"pending\"}]");
	assert_string_equal(linear_started_state(states), "3");
	assert_string_equal(linear_state_named(states, "in review"), "2");
	assert_null(linear_state_named(states, "Other"));
	assert_null(linear_started_state(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(captured_webhooks_verify_and_parse),
		cmocka_unit_test(what_is_absent_null_or_new_is_ignored),
		cmocka_unit_test(answers_are_judged_as_the_vendor_means_them),
		cmocka_unit_test(documents_are_found_and_names_of_operations_are_uuids),
		cmocka_unit_test(who_allows_it_is_sent_where_the_vendor_asks),
		cmocka_unit_test(a_plan_and_states_are_in_the_vendors_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
