/* Jira: what its webhooks mean for us, and which transition is taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/scope.h"
#include "trackers/jira.h"

#define ISSUE(assignee, category)                                                                                                  \
	"'issue':{'id':'10','key':'SHOP-1','fields':{'summary':'T','description':'D','project':{'key':'SHOP'},'labels':['agent']," \
	"'assignee':" assignee ",'status':{'statusCategory':{'key':'" category "'}},'updated':'2026'}}"
#define US "{'accountId':'us'}"
#define BY(id) "'user':{'accountId':'" id "','displayName':'Alice','emailAddress':'a@b.test'}"
#define CHANGED(field, from, to)                                                                                \
	"'changelog':{'id':'7','items':[{'field':'" field "','fieldId':'" field "','from':'" from "','to':'" to \
	"','fromString':'" from "','toString':'" to "'}]}"
#define UPDATED(rest, assignee, category) \
	"{'webhookEvent':'jira:issue_updated','timestamp':5," BY("al") "," rest "," ISSUE(assignee, category) "}"
#define COMMENT(author, type, body, assignee)                                                  \
	"{'webhookEvent':'comment_created','comment':{'id':'3','author':{'accountId':'" author \
	"','displayName':'Al','accountType':'" type "'},'body':" body "}," ISSUE(assignee, "new") "}"
#define MENTION \
	"{'type':'doc','content':[{'type':'paragraph','content':[{'type':'mention','attrs':{'id':'us','text':'@Us'}},{'type':'text','text':' stop.'}]}]}"

static const struct {
	const char *body;
	enum tracker_event_kind kind;
	const char *text;
	const char *key;
} rows[] = {
	{"{}", TRACKER_IGNORED, NULL, ""},
	{"{'webhookEvent':7,'issue':null}", TRACKER_IGNORED, NULL, ""},
	{"{'webhookEvent':'jira:issue_updated','issue':{'id':'10'}}", TRACKER_ISSUE, NULL, "issue:10:"},
	{"{'webhookEvent':'rocket'," ISSUE("null", "new") "}", TRACKER_IGNORED, NULL, ""},
	{UPDATED(CHANGED("assignee", "x", "us"), US, "new"), TRACKER_CREATED, "D", "issue:10:7"},
	{UPDATED(CHANGED("assignee", "us", "x"), "null", "new"), TRACKER_UNASSIGNED, "D", "issue:10:7"},
	{UPDATED(CHANGED("assignee", "x", "y"), "null", "new"), TRACKER_ISSUE, "D", "issue:10:7"},
	{UPDATED(CHANGED("labels", "a", "a agent"), "null", "new"), TRACKER_CREATED, "D", "issue:10:7"},
	{UPDATED(CHANGED("labels", "agent b", "b"), "null", "new"), TRACKER_UNASSIGNED, "D", "issue:10:7"},
	{UPDATED(CHANGED("labels", "agents", "agents b"), "null", "new"), TRACKER_ISSUE, "D", "issue:10:7"},
	{UPDATED(CHANGED("status", "3", "1"), US, "new"), TRACKER_STOP, "D", "issue:10:7"},
	{UPDATED(CHANGED("status", "1", "3"), US, "indeterminate"), TRACKER_ISSUE, "D", "issue:10:7"},
	{"{'webhookEvent':'jira:issue_created'," BY("al") "," ISSUE(US, "new") "}", TRACKER_CREATED, "D", "issue:10:created"},
	{"{'webhookEvent':'jira:issue_deleted'," ISSUE("null", "new") "}", TRACKER_UNASSIGNED, NULL, ""},
	{COMMENT("al", "atlassian", "'[~accountid:us] do it'", "null"), TRACKER_PROMPTED, "do it", "comment:3"},
	{COMMENT("al", "atlassian", "'do it'", "null"), TRACKER_COMMENT, "do it", "comment:3"},
	{COMMENT("al", "atlassian", "'do it'", US), TRACKER_PROMPTED, "do it", "comment:3"},
	{COMMENT("al", "atlassian", "'please do not stop'", US), TRACKER_PROMPTED, "please do not stop", "comment:3"},
	{COMMENT("al", "atlassian", "' STOP! '", US), TRACKER_STOP, "STOP!", "comment:3"},
	{COMMENT("al", "atlassian", MENTION, "null"), TRACKER_STOP, "stop.", "comment:3"},
	{COMMENT("al", "customer", "'[~accountid:us] do it'", US), TRACKER_COMMENT, "do it", "comment:3"},
	{COMMENT("al", "app", "'[~accountid:us] do it'", US), TRACKER_COMMENT, "do it", "comment:3"},
	{COMMENT("al", "atlassian", "null", US), TRACKER_PROMPTED, "", "comment:3"},
};

static char *quoted(const char *text)
{
	char *copy = text_copy(text);

	for (char *at = copy; *at; at++)
		*at = *at == '\'' ? '"' : *at;
	return copy;
}

static void webhooks_mean_what_people_meant(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_FREE char *body = quoted(rows[i].body);
		AUTO_TRACKER_EVENT event = {0};
		struct err err = {0};

		if (jira_event_parse(view_of(body), "us", "agent", &event, &err))
			fail_msg("%s: %s", body, err.text);
		if (event.kind != rows[i].kind)
			fail_msg("%s: %d", body, (int)event.kind);
		assert_string_equal(event.key, rows[i].key);
		assert_true(!rows[i].text ? !event.text : event.text && strcmp(event.text, rows[i].text) == 0);
		if (event.kind == TRACKER_CREATED || event.kind == TRACKER_STOP) {
			assert_string_equal(event.item, "SHOP-1");
			assert_string_equal(event.thread, "10");
			assert_string_equal(event.team, "SHOP");
			assert_false(event.actor_is_self);
		}
	}
}

static void our_own_writes_are_known(void **state)
{
	AUTO_FREE char *update = quoted(
		"{'webhookEvent':'jira:issue_updated'," BY("us") "," CHANGED("assignee", "", "us") "," ISSUE(US, "new") "}");
	AUTO_FREE char *comment = quoted(COMMENT("us", "atlassian", "'[~accountid:us] stop'", US));
	const char *const bodies[] = {update, comment};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		AUTO_TRACKER_EVENT event = {0};

		assert_int_equal(jira_event_parse(view_of(bodies[i]), "us", NULL, &event, NULL), 0);
		assert_true(event.actor_is_self);
	}
}

static void before_anybody_allowed_it_everything_is_ignored(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_FREE char *body = quoted(rows[i].body);
		AUTO_TRACKER_EVENT event = {0};

		assert_int_equal(jira_event_parse(view_of(body), NULL, NULL, &event, NULL), 0);
		assert_int_equal(event.kind, TRACKER_IGNORED);
	}
	static const char *const broken[] = {"", "[1]", "{", "\xff", "null"};

	for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
		AUTO_TRACKER_EVENT event = {0};

		assert_int_equal(jira_event_parse(view_of(broken[i]), "us", NULL, &event, NULL), -1);
	}
}

static void a_transition_is_taken_by_name_or_by_category(void **state)
{
	AUTO_JSON answer = json_parse(
		VIEW("{\"transitions\":[{\"id\":\"1\",\"to\":{\"name\":\"Done\",\"statusCategory\":{\"key\":\"done\"}}},{\"id\":\"2\",\"to\":"
		     "{\"name\":\"In Review\",\"statusCategory\":{\"key\":\"indeterminate\"}}},{\"id\":\"3\"}]}"),
		NULL);

	(void)state;
	assert_string_equal(jira_transition(answer, NULL), "2");
	assert_string_equal(jira_transition(answer, "done"), "1");
	assert_null(jira_transition(answer, "Elsewhere"));
	assert_null(jira_transition(NULL, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(webhooks_mean_what_people_meant),
		cmocka_unit_test(our_own_writes_are_known),
		cmocka_unit_test(before_anybody_allowed_it_everything_is_ignored),
		cmocka_unit_test(a_transition_is_taken_by_name_or_by_category),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
