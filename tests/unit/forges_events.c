/* What GitLab and Gitea tell by webhooks, as events: rows of a name, a body, and what it says; and who may have sent it. */
#include <stdio.h>

#include "base/scope.h"
#include "forges/remote.h"
#include "quoted.h"

struct row {
	const char *kind;
	const char *name;
	const char *body;
	enum forge_event_kind event;
	const char *action;
	int64_t number;
	const char *gained; /* the names, blank-separated */
	const char *lost;
	const char *stream;
};

#define LAB "'project': {'path_with_namespace': 'acme/shop/app'}, 'user': {'username': 'alice'}"
#define MERGE \
	"'iid': 7, 'title': 'T', 'source_branch': 'b', 'target_branch': 'main', 'source_project_id': 1, 'target_project_id': 1"

#define TEA "'repository': {'full_name': 'acme/app'}, 'sender': {'login': 'alice', 'id': 4}"
#define PULL "'pull_request': {'number': 7, 'title': 'T', 'head': {'ref': 'b', 'repo': {'full_name': 'acme/app'}}}"

static const struct row rows[] = {
	{"gitlab", "Issue Hook",
	 "{" LAB ", 'object_attributes': {'iid': 5, 'action': 'open'}, 'labels': [{'title': 'agent'}, {'title': 'bug'}]}",
	 FORGE_EVENT_ISSUE, "opened", 5, "agent bug", "", "acme/shop/app#5"},
	{"gitlab", "Issue Hook",
	 "{" LAB ", 'object_attributes': {'iid': 5, 'action': 'update'}, 'changes': {'labels': {'previous': [{'title': 'bug'}],"
	 " 'current': [{'title': 'bug'}, {'title': 'agent'}]}, 'assignees': {'previous': [{'username': 'bob'}], 'current': []}}}",
	 FORGE_EVENT_ISSUE, "edited", 5, "agent", "@bob", "acme/shop/app#5"},
	{"gitlab", "Confidential Issue Hook", "{" LAB ", 'object_attributes': {'iid': 5, 'action': 'close'}}", FORGE_EVENT_ISSUE,
	 "closed", 5, "", "", "acme/shop/app#5"},
	{"gitlab", "Merge Request Hook", "{" LAB ", 'object_attributes': {" MERGE ", 'action': 'open'}}", FORGE_EVENT_PULL,
	 "opened", 7, "", "", "acme/shop/app!7"},
	{"gitlab", "Merge Request Hook", "{" LAB ", 'object_attributes': {" MERGE ", 'action': 'update', 'oldrev': 'x'}}",
	 FORGE_EVENT_PULL, "synchronize", 7, "", "", "acme/shop/app!7"},
	{"gitlab", "Merge Request Hook",
	 "{" LAB ", 'object_attributes': {" MERGE
	 ", 'action': 'update'}, 'changes': {'draft': {'previous': true, 'current': false}}}",
	 FORGE_EVENT_PULL, "ready_for_review", 7, "", "", "acme/shop/app!7"},
	{"gitlab", "Merge Request Hook", "{" LAB ", 'object_attributes': {" MERGE ", 'action': 'merge', 'state': 'merged'}}",
	 FORGE_EVENT_PULL, "closed", 7, "", "", "acme/shop/app!7"},
	{"gitlab", "Note Hook",
	 "{" LAB
	 ", 'object_attributes': {'id': 3, 'note': '/assay stop', 'noteable_type': 'MergeRequest'}, 'merge_request': {" MERGE "}}",
	 FORGE_EVENT_COMMENT, "created", 7, "", "", "acme/shop/app!7"},
	{"gitlab", "Note Hook",
	 "{" LAB
	 ", 'object_attributes': {'id': 3, 'note': 'Why?', 'type': 'DiffNote', 'discussion_id': 'd1', 'author_id': 4, 'noteable_type':"
	 " 'MergeRequest', 'position': {'new_path': 'a.c', 'new_line': 9}}, 'merge_request': {" MERGE "}}",
	 FORGE_EVENT_REVIEW_COMMENT, "created", 7, "", "", "acme/shop/app!7"},
	{"gitlab", "Note Hook",
	 "{" LAB ", 'object_attributes': {'id': 3, 'note': '/assay verify', 'type': 'DiffNote', 'noteable_type': 'MergeRequest'},"
	 " 'merge_request': {" MERGE "}}",
	 FORGE_EVENT_COMMENT, "created", 7, "", "", "acme/shop/app!7"},
	{"gitlab", "Note Hook",
	 "{" LAB ", 'object_attributes': {'id': 3, 'note': 'x', 'noteable_type': 'Issue'}, 'issue': {'iid': 5}}",
	 FORGE_EVENT_COMMENT, "created", 5, "", "", "acme/shop/app#5"},
	{"gitlab", "Note Hook", "{" LAB ", 'object_attributes': {'id': 3, 'note': 'x', 'noteable_type': 'Commit'}}",
	 FORGE_EVENT_IGNORED, "created", 0, "", "", "acme/shop/app"},
	{"gitlab", "Note Hook",
	 "{" LAB
	 ", 'object_attributes': {'id': 3, 'note': 'x', 'action': 'update', 'noteable_type': 'Issue'}, 'issue': {'iid': 5}}",
	 FORGE_EVENT_IGNORED, "created", 5, "", "", "acme/shop/app#5"},
	{"gitlab", "Push Hook", "{" LAB ", 'ref': 'refs/heads/main', 'user_username': 'bob', 'after': 'f00'}", FORGE_EVENT_PUSH, "",
	 0, "", "", "acme/shop/app"},
	{"gitlab", "Pipeline Hook",
	 "{" LAB ", 'object_attributes': {'id': 9, 'status': 'failed', 'source': 'push'}, 'merge_request': {'iid': 7}}",
	 FORGE_EVENT_CHECKS, "completed", 7, "", "", "acme/shop/app!7"},
	{"gitlab", "Pipeline Hook", "{" LAB ", 'object_attributes': {'id': 9, 'status': 'failed', 'source': 'external'}}",
	 FORGE_EVENT_IGNORED, "completed", 0, "", "", "acme/shop/app"},
	{"gitlab", "Wiki Page Hook", "{" LAB "}", FORGE_EVENT_IGNORED, "", 0, "", "", "acme/shop/app"},
	{"gitlab", "Issue Hook", "{'object_attributes': 7, 'project': [], 'user': 1, 'changes': {'labels': 3}}",
	 FORGE_EVENT_IGNORED, "edited", 0, "", "", ""},
	{"gitea", "issues", "{" TEA ", 'action': 'opened', 'issue': {'number': 5, 'labels': [{'name': 'agent'}]}}",
	 FORGE_EVENT_ISSUE, "opened", 5, "agent", "", "acme/app#5"},
	{"gitea", "issues",
	 "{" TEA
	 ", 'action': 'label_updated', 'issue': {'number': 5, 'labels': [{'name': 'agent'}], 'assignees': [{'login': 'bob'}]}}",
	 FORGE_EVENT_ISSUE, "label_updated", 5, "agent @bob", "", "acme/app#5"},
	{"gitea", "issue_assign", "{" TEA ", 'action': 'assigned', 'issue': {'number': 5, 'assignees': [{'login': 'assay-bot'}]}}",
	 FORGE_EVENT_ISSUE, "assigned", 5, "@assay-bot", "", "acme/app#5"},
	{"gitea", "issues", "{" TEA ", 'action': 'closed', 'issue': {'number': 5, 'labels': [{'name': 'agent'}]}}",
	 FORGE_EVENT_ISSUE, "closed", 5, "", "", "acme/app#5"},
	{"gitea", "issue_comment", "{" TEA ", 'action': 'created', 'issue': {'number': 5}, 'comment': {'id': 3, 'body': 'x'}}",
	 FORGE_EVENT_COMMENT, "created", 5, "", "", "acme/app#5"},
	{"gitea", "issue_comment", "{" TEA ", 'action': 'edited', 'issue': {'number': 5}, 'comment': {'id': 3, 'body': 'x'}}",
	 FORGE_EVENT_IGNORED, "edited", 5, "", "", "acme/app#5"},
	{"gitea", "pull_request", "{" TEA ", 'action': 'opened', " PULL "}", FORGE_EVENT_PULL, "opened", 7, "", "", "acme/app#7"},
	{"gitea", "pull_request_sync", "{" TEA ", 'action': 'synchronized', " PULL "}", FORGE_EVENT_PULL, "synchronize", 7, "", "",
	 "acme/app#7"},
	{"gitea", "pull_request_rejected",
	 "{" TEA ", 'action': 'reviewed', 'review': {'type': 'pull_request_review_rejected'}, " PULL "}", FORGE_EVENT_REVIEW,
	 "submitted", 7, "", "", "acme/app#7"},
	{"gitea", "pull_request_comment",
	 "{" TEA ", 'action': 'created', 'is_pull': true, 'issue': {'number': 7}, 'comment': {'id': 3}}", FORGE_EVENT_COMMENT,
	 "created", 7, "", "", "acme/app#7"},
	{"gitea", "push", "{" TEA ", 'ref': 'refs/heads/main'}", FORGE_EVENT_PUSH, "", 0, "", "", "acme/app"},
	{"gitea", "push", "{" TEA ", 'ref': 'refs/tags/v1'}", FORGE_EVENT_IGNORED, "", 0, "", "", "acme/app"},
	{"gitea", "repository", "{" TEA ", 'action': 'deleted'}", FORGE_EVENT_IGNORED, "deleted", 0, "", "", "acme/app"},
	{"gitea", "issues", "{'issue': [], 'sender': 'x'}", FORGE_EVENT_IGNORED, "", 0, "", "", ""},
};

static char *joined(const json_t *list)
{
	AUTO_BUF out = buf_new(4096);
	size_t index;
	json_t *item;

	json_array_foreach((json_t *)(uintptr_t)list, index, item)
		buf_add_format(&out, "%s%s", index ? " " : "", json_string_value(item));
	buf_add_text(&out, "");
	return out.at ? buf_take(&out) : text_copy("");
}

static void a_webhook_says_what_happened(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *row = &rows[i];
		AUTO_FREE char *body = quoted_text(row->body);
		AUTO_EVENT event = {0};
		struct err err = {0};

		if (remote_kind_find(row->kind)->event_parse(row->name, view_of(body), &event, &err))
			fail_msg("%s: %s", body, err.text);
		AUTO_FREE char *gained = joined(event.gained);
		AUTO_FREE char *lost = joined(event.lost);
		if (event.kind != row->event || strcmp(event.action, row->action) != 0 || event.number != row->number ||
		    strcmp(gained, row->gained) != 0 || strcmp(lost, row->lost) != 0 || strcmp(event.stream, row->stream) != 0)
			fail_msg("%s: is %s %s of %lld, +[%s] -[%s], in %s", body, forge_event_name(event.kind), event.action,
				 (long long)event.number, gained, lost, event.stream);
	}
}

static void a_thread_of_a_merge_request_is_read_by_its_author(void **state)
{
	AUTO_FREE char *body = quoted_text(
		"{" LAB ", 'object_attributes': {'id': 3, 'note': 'Why?', 'type': 'DiffNote', 'discussion_id':"
		" '0123456789abcdef0123456789abcdef01234567', 'author_id': 4, 'noteable_type': 'MergeRequest',"
		" 'position': {'new_path': 'a.c', 'new_line': 9}}, 'merge_request': {" MERGE "}}");
	AUTO_EVENT event = {0};

	(void)state;
	assert_int_equal(remote_kind_find("gitlab")->event_parse("Note Hook", view_of(body), &event, NULL), 0);
	assert_string_equal(event.thread, "0123456789abcdef0123456789abcdef01234567");
	assert_string_equal(event.review, "4");
	assert_string_equal(event.path, "a.c");
	assert_int_equal(event.line, 9);
}

/* ---- who sent it ---- */

static const char *header_of(void *self, const char *name)
{
	return json_text(self, name, NULL);
}

static void who_does_not_know_the_secret_is_refused(void **state)
{
	static const struct {
		const char *kind;
		const char *secrets;
		const char *headers;
		bool taken;
	} senders[] = {
		{"gitlab", "{'webhook_secret': 'hush'}", "{'x-gitlab-token': 'hush'}", true},
		{"gitlab", "{'webhook_secret': 'hush'}", "{'x-gitlab-token': 'hus'}", false},
		{"gitlab", "{'webhook_secret': 'hush'}", "{}", false},
		{"gitlab", "{}", "{'x-gitlab-token': ''}", false},
		{"gitea", "{'webhook_secret': 'hush'}",
		 "{'x-gitea-signature': '192324a2e62af75d17096ef005e8976075b52a199873f2f7c63e61e6bdbacf0e'}", true},
		{"gitea", "{'webhook_secret': 'hush'}",
		 "{'x-forgejo-signature': '192324a2e62af75d17096ef005e8976075b52a199873f2f7c63e61e6bdbacf0e'}", true},
		{"gitea", "{'webhook_secret': 'other'}",
		 "{'x-gitea-signature': '192324a2e62af75d17096ef005e8976075b52a199873f2f7c63e61e6bdbacf0e'}", false},
		{"gitea", "{'webhook_secret': 'hush'}",
		 "{'x-hub-signature-256': 'sha256=192324a2e62af75d17096ef005e8976075b52a199873f2f7c63e61e6bdbacf0e'}", false},
		/* standardwebhooks.com's own example */
		{"gitlab", "{'signing_token': 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'}",
		 "{'webhook-id': 'msg_p5jXN8AQM9LWM0D4loKWxJek', 'webhook-timestamp': '1614265330', 'webhook-signature':"
		 " 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='}",
		 true},
		{"gitlab", "{'signing_token': 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'webhook_secret': 'hush'}",
		 "{'x-gitlab-token': 'hush'}", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(senders); i++) {
		AUTO_JSON secrets = quoted_json(senders[i].secrets);
		AUTO_JSON headers = quoted_json(senders[i].headers);
		struct webhook_request request = {header_of, headers, view_of("{\"test\": 2432232314}")};
		struct err err = {0};
		int status = remote_kind_find(senders[i].kind)->verify(secrets, &request, (int64_t)1614265330 * 1000, &err);

		if ((status == 0) != senders[i].taken)
			fail_msg("%zu: %s", i, err.text);
		if (status)
			assert_int_equal(err.kind, ERR_DENIED);
	}
}

static void our_own_name_is_known_as_each_host_writes_it(void **state)
{
	static const struct {
		const char *kind;
		const char *settings;
		const char *login;
		bool self;
	} names[] = {
		{"github", "{'slug': 'assay'}", "assay[bot]", true},
		{"github", "{'slug': 'assay'}", "assay", false},
		{"github", "{}", "assay[bot]", true},
		{"gitlab", "{'user': 'assay-bot'}", "Assay-Bot", true},
		{"gitlab", "{'user': 'assay-bot'}", "assay", false},
		{"gitlab", "{}", "", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		AUTO_JSON settings = quoted_json(names[i].settings);

		if (remote_kind_is_self(remote_kind_find(names[i].kind), settings, names[i].login) != names[i].self)
			fail_msg("%s: %s", names[i].kind, names[i].login);
	}
	assert_null(remote_kind_find("linear"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_webhook_says_what_happened),
		cmocka_unit_test(a_thread_of_a_merge_request_is_read_by_its_author),
		cmocka_unit_test(who_does_not_know_the_secret_is_refused),
		cmocka_unit_test(our_own_name_is_known_as_each_host_writes_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
