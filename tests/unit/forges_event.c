/* What code hosts tell by webhooks: every sample verifies and says what it is; commands and mentions are found where a person wrote them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/scope.h"
#include "forges/github.h"
#include "http/webhook.h"

static const char *sample_header(void *self, const char *name)
{
	return json_text(self, name, NULL);
}

static json_t *sample_read(const char *name)
{
	AUTO_FREE char *path = text_format("%s/tests/data/webhooks/github-%s.json", getenv("SOURCE_ROOT"), name);
	AUTO_BUF text = buf_new((size_t)1 << 20);
	struct err err = {0};

	if (file_read(path, &text, &err))
		fail_msg("%s", err.text);
	return json_parse(buf_view(&text), &err);
}

static void every_sample_of_github_verifies_and_parses(void **state)
{
	static const struct {
		const char *sample;
		enum forge_event_kind kind;
		const char *action;
		int64_t number;
		bool on_pull;
	} rows[] = {
		{"check_suite-requested", FORGE_EVENT_IGNORED, "requested", 0, false},
		{"create", FORGE_EVENT_IGNORED, "", 0, false},
		{"issue_comment-created", FORGE_EVENT_COMMENT, "created", 1, true},
		{"issues-assigned", FORGE_EVENT_ISSUE, "assigned", 2, false},
		{"issues-labeled", FORGE_EVENT_ISSUE, "labeled", 2, false},
		{"issues-opened", FORGE_EVENT_ISSUE, "opened", 2, false},
		{"pull_request-closed", FORGE_EVENT_PULL, "closed", 1, true},
		{"pull_request-opened", FORGE_EVENT_PULL, "opened", 1, true},
		{"pull_request-synchronize", FORGE_EVENT_PULL, "synchronize", 1, true},
		{"pull_request_review-submitted", FORGE_EVENT_REVIEW, "submitted", 1, true},
		{"pull_request_review_comment-created", FORGE_EVENT_REVIEW_COMMENT, "created", 1, true},
		{"push", FORGE_EVENT_PUSH, "", 0, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_JSON sample = sample_read(rows[i].sample);
		json_t *headers = json_member(sample, "headers");
		struct webhook_request request = {sample_header, headers, view_of(json_text(sample, "body", ""))};
		AUTO_EVENT event = {0};
		struct err err = {0};

		if (webhook_verify(WEBHOOK_GITHUB, json_text(sample, "secret", ""), &request, 0, &err) ||
		    github_event_parse(json_text(headers, "x-github-event", ""), request.body, &event, &err))
			fail_msg("%s: %s", rows[i].sample, err.text);
		if (event.kind != rows[i].kind || strcmp(event.action, rows[i].action) != 0 ||
		    (rows[i].kind != FORGE_EVENT_IGNORED && event.number != rows[i].number) || event.on_pull != rows[i].on_pull)
			fail_msg("%s: is %s %s of %lld", rows[i].sample, forge_event_name(event.kind), event.action,
				 (long long)event.number);
		assert_string_equal(event.repository, "acme/app");
		assert_true(*event.actor);
	}
}

static void what_is_no_event_is_ignored_or_refused(void **state)
{
	static const struct {
		const char *name;
		const char *body;
		bool refused;
	} rows[] = {
		{"issues", "", true},
		{"issues", "[]", true},
		{"issues", "{\"action\":", true},
		{"issues", "{}", false},
		{"issues", "{\"action\": \"opened\"}", false},
		{"issues", "{\"action\": 7, \"repository\": {\"full_name\": []}, \"issue\": \"x\", \"sender\": 1}", false},
		{"never_heard_of", "{\"action\": \"opened\", \"repository\": {\"full_name\": \"a/b\"}}", false},
		{"issues", "{\"action\": \"pinned\", \"repository\": {\"full_name\": \"a/b\"}, \"issue\": {\"number\": 1}}", false},
		{"push", "{\"ref\": \"refs/tags/v1\", \"repository\": {\"full_name\": \"a/b\"}}", false},
		{"workflow_run",
		 "{\"action\": \"completed\", \"repository\": {\"full_name\": \"a/b\"}, \"workflow_run\": {\"conclusion\": \"success\"}}",
		 false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_EVENT event = {0};
		struct err err = {0};
		int status = github_event_parse(rows[i].name, view_of(rows[i].body), &event, &err);

		if (rows[i].refused ? status == 0 : status || event.kind != FORGE_EVENT_IGNORED)
			fail_msg("%s", rows[i].body);
	}
}

static void a_command_is_the_first_that_a_person_wrote(void **state)
{
	static const struct {
		const char *text;
		enum forge_command command;
		const char *rest;
	} rows[] = {
		{"/assay stop", FORGE_COMMAND_STOP, ""},
		{"Please.\n\n  /Assay  RETRY now, please \r\n/assay stop", FORGE_COMMAND_RETRY, "now, please"},
		{"/assay approve h12", FORGE_COMMAND_APPROVE, "h12"},
		{"/assay dance", FORGE_COMMAND_UNKNOWN, ""},
		{"/assay", FORGE_COMMAND_UNKNOWN, ""},
		{"/agent also cover Firefox", FORGE_COMMAND_RUN, "also cover Firefox"},
		{"/assaystop", FORGE_COMMAND_NONE, ""},
		{"say /assay stop", FORGE_COMMAND_NONE, ""},
		{"> /assay stop", FORGE_COMMAND_NONE, ""},
		{"```\n/assay stop\n```", FORGE_COMMAND_NONE, ""},
		{"~~~\n```\n/assay stop\n~~~\n/assay preview", FORGE_COMMAND_PREVIEW, ""},
		{"    /assay stop", FORGE_COMMAND_NONE, ""},
		{"\t/assay stop", FORGE_COMMAND_NONE, ""},
		{"", FORGE_COMMAND_NONE, ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct view rest;

		if (forge_command_find(rows[i].text, &rest) != rows[i].command || !view_is(rest, rows[i].rest))
			fail_msg("%s: rest `%.*s`", rows[i].text, (int)rest.length, rest.at);
	}
}

static void a_mention_is_a_word_of_its_own(void **state)
{
	static const struct {
		const char *text;
		bool mentions;
	} rows[] = {
		{"@assay please look", true},  {"Hi @Assay, look", true},   {"(@assay)", true},     {"@assay", true},
		{"mail me@assay.test", false}, {"@assay-bot", false},       {"@assay/core", false}, {"`@assay`", false},
		{"> @assay do it", false},     {"```\n@assay\n```", false}, {"@assa", false},       {"", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (forge_mentions(rows[i].text, "assay") != rows[i].mentions)
			fail_msg("%s", rows[i].text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_sample_of_github_verifies_and_parses),
		cmocka_unit_test(what_is_no_event_is_ignored_or_refused),
		cmocka_unit_test(a_command_is_the_first_that_a_person_wrote),
		cmocka_unit_test(a_mention_is_a_word_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
