/* Slack: what its events and envelopes mean for us, its answers, and its text both ways. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/scope.h"
#include "trackers/slack.h"

#define CALLBACK(event) "{'type':'event_callback','team_id':'T1','event_id':'Ev1','event_time':7,'event':" event "}"
#define MESSAGE(type, more) CALLBACK("{'type':'" type "','user':'U1','ts':'5.1','channel':'C1'," more "}")
#define PRESSED(action, value)                                                                                                             \
	"{'type':'block_actions','team':{'id':'T1'},'user':{'id':'U1','username':'alice','team_id':'T1'},'container':{'message_ts':'6.1'," \
	"'channel_id':'C1','thread_ts':'5.1'},'actions':[{'action_id':'" action "','value':'" value "','action_ts':'8'}]}"

static char *quoted(const char *text)
{
	char *copy = text_copy(text);

	for (char *at = copy; *at; at++)
		*at = *at == '\'' ? '"' : *at;
	return copy;
}

static const struct {
	const char *body;
	enum tracker_event_kind kind;
	const char *thread;
	const char *text;
	bool only_known;
} rows[] = {
	{"{}", TRACKER_IGNORED, NULL, NULL, false},
	{"{'type':'event_callback','team_id':'T2','event':{'type':'app_mention','user':'U1','ts':'5.1','channel':'C1'}}",
	 TRACKER_IGNORED, NULL, NULL, false},
	{MESSAGE("app_mention", "'text':'<@US> do &lt;it&gt;'"), TRACKER_PROMPTED, "C1:5.1", "do <it>", false},
	{MESSAGE("message", "'text':'<@US> do it','channel_type':'channel'"), TRACKER_PROMPTED, "C1:5.1", "do it", false},
	{MESSAGE("message", "'text':'do it','channel_type':'channel'"), TRACKER_IGNORED, NULL, NULL, false},
	{MESSAGE("message", "'text':'do it','channel_type':'im'"), TRACKER_PROMPTED, "C1:5.1", "do it", false},
	{MESSAGE("message", "'text':'and this','thread_ts':'4.1'"), TRACKER_PROMPTED, "C1:4.1", "and this", true},
	{MESSAGE("message", "'text':' Stop! ','thread_ts':'4.1'"), TRACKER_STOP, "C1:4.1", "Stop!", true},
	{MESSAGE("app_mention", "'text':'do not stop'"), TRACKER_PROMPTED, "C1:5.1", "do not stop", false},
	{MESSAGE("message", "'text':'x','thread_ts':'4.1','bot_id':'B'"), TRACKER_IGNORED, NULL, NULL, false},
	{MESSAGE("message", "'text':'x','thread_ts':'4.1','subtype':'message_changed'"), TRACKER_IGNORED, NULL, NULL, false},
	{MESSAGE("app_mention", "'text':'x','user_team':'T2'"), TRACKER_IGNORED, NULL, NULL, false},
	{MESSAGE("app_mention", "'text':'x','team':'T2'"), TRACKER_IGNORED, NULL, NULL, false},
	{CALLBACK("{'type':'agent_session_stopped','channel':'C1','thread_ts':'4.1','user':'U1'}"), TRACKER_STOP, "C1:4.1", NULL,
	 false},
	{CALLBACK("{'type':'agent_session_stopped','channel':7}"), TRACKER_IGNORED, NULL, NULL, false},
	{CALLBACK("{'type':'app_uninstalled'}"), TRACKER_REVOKED, NULL, NULL, false},
	{CALLBACK("{'type':'rocket'}"), TRACKER_IGNORED, NULL, NULL, false},
	{CALLBACK("null"), TRACKER_IGNORED, NULL, NULL, false},
	{PRESSED("assay.stop", "stop"), TRACKER_STOP, "C1:5.1", NULL, true},
	{PRESSED("assay.answer.1", "Deny"), TRACKER_PROMPTED, "C1:5.1", "Deny", true},
	{PRESSED("another", "Deny"), TRACKER_IGNORED, "C1:5.1", NULL, true},
	{"{'type':'block_actions','team':{'id':'T1'},'user':{'id':'U1','team_id':'T2'},'actions':[]}", TRACKER_IGNORED, NULL, NULL,
	 false},
};

static void is_row(size_t i, struct view body)
{
	AUTO_TRACKER_EVENT event = {0};
	struct err err = {0};

	if (slack_event_parse(body, "T1", "US", &event, &err))
		fail_msg("%s: %s", rows[i].body, err.text);
	if (event.kind != rows[i].kind || event.only_known != rows[i].only_known)
		fail_msg("%s: %d", rows[i].body, (int)event.kind);
	assert_string_equal(event.thread ? event.thread : "-", rows[i].thread ? rows[i].thread : "-");
	if (rows[i].text)
		assert_string_equal(event.text, rows[i].text);
	assert_true(event.kind == TRACKER_IGNORED || event.key[0]);
}

static void events_mean_what_people_meant(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_FREE char *body = quoted(rows[i].body);
		AUTO_BUF form = buf_new(1 << 16);

		buf_add_text(&form, "payload=");
		buf_add_url(&form, view_of(body));
		is_row(i, view_of(body));
		is_row(i, buf_view(&form));
	}
}

static void a_mention_that_comes_as_two_events_has_one_key(void **state)
{
	AUTO_FREE char *mention = quoted(MESSAGE("app_mention", "'text':'<@US> do it'"));
	AUTO_FREE char *message = quoted(MESSAGE("message", "'text':'<@US> do it','channel_type':'channel'"));
	AUTO_TRACKER_EVENT one = {0};
	AUTO_TRACKER_EVENT two = {0};

	(void)state;
	assert_int_equal(slack_event_parse(view_of(mention), "T1", "US", &one, NULL), 0);
	assert_int_equal(slack_event_parse(view_of(message), "T1", "US", &two, NULL), 0);
	assert_string_equal(one.key, two.key);
	assert_string_equal(one.key, "message:C1:5.1");
}

static void what_is_no_event_is_refused_and_before_it_is_allowed_all_is_ignored(void **state)
{
	static const char *const broken[] = {"", "[1]", "{", "payload=%7", "payload=%ff", "null"};
	AUTO_FREE char *body = quoted(MESSAGE("app_mention", "'text':'x'"));
	AUTO_TRACKER_EVENT event = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
		AUTO_TRACKER_EVENT none = {0};

		assert_int_equal(slack_event_parse(view_of(broken[i]), "T1", "US", &none, NULL), -1);
	}
	assert_int_equal(slack_event_parse(view_of(body), NULL, NULL, &event, NULL), 0);
	assert_int_equal(event.kind, TRACKER_IGNORED);
}

static void envelopes_are_opened(void **state)
{
	static const struct {
		const char *text;
		enum slack_envelope_kind kind;
		const char *id;
		const char *payload;
	} envelopes[] = {
		{"{'type':'hello','num_connections':1}", SLACK_HELLO, "", NULL},
		{"{'type':'events_api','envelope_id':'e1','payload':{'a':1}}", SLACK_EVENT, "e1", "{\"a\":1}"},
		{"{'type':'interactive','envelope_id':'e2','payload':{}}", SLACK_EVENT, "e2", "{}"},
		{"{'type':'events_api','envelope_id':'e3','payload':'x'}", SLACK_OTHER, "e3", NULL},
		{"{'type':'slash_commands','envelope_id':'e4','payload':{}}", SLACK_OTHER, "e4", NULL},
		{"{'type':'disconnect','reason':'warning'}", SLACK_DISCONNECT, "", NULL},
		{"{}", SLACK_OTHER, "", NULL},
	};
	struct slack_envelope broken;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(envelopes); i++) {
		AUTO_FREE char *text = quoted(envelopes[i].text);
		struct slack_envelope envelope;

		assert_int_equal(slack_envelope_parse(view_of(text), &envelope, NULL), 0);
		assert_int_equal(envelope.kind, envelopes[i].kind);
		assert_string_equal(envelope.id, envelopes[i].id);
		assert_string_equal(envelope.payload ? envelope.payload : "-", envelopes[i].payload ? envelopes[i].payload : "-");
		slack_envelope_fini(&envelope);
	}
	assert_int_equal(slack_envelope_parse(VIEW("[]"), &broken, NULL), -1);
	assert_int_equal(slack_envelope_parse(VIEW("x"), &broken, NULL), -1);
}

static void answers_are_judged_as_the_vendor_means_them(void **state)
{
	static const struct {
		const char *body;
		enum err_kind kind;
		bool expired;
	} answers[] = {
		{"{'ok':true}", ERR_NONE, false},
		{"{'ok':false,'error':'ratelimited'}", ERR_LIMIT, false},
		{"{'ok':false,'error':'internal_error'}", ERR_RETRY, false},
		{"{'ok':false,'error':'token_revoked'}", ERR_DENIED, true},
		{"{'ok':false,'error':'missing_scope','needed':'chat:write'}", ERR_DENIED, false},
		{"{'ok':false,'error':'message_not_found'}", ERR_NOT_FOUND, false},
		{"{'ok':false,'error':'invalid_blocks'}", ERR_INVALID, false},
		{"{}", ERR_INVALID, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
		AUTO_FREE char *text = quoted(answers[i].body);
		AUTO_JSON body = json_parse(view_of(text), NULL);
		struct slack_said said = {0};
		struct err err = {0};

		assert_int_equal(slack_answer_judge(body, &said, &err), answers[i].kind == ERR_NONE ? 0 : -1);
		assert_int_equal(err.kind, answers[i].kind);
		assert_int_equal(said.expired, answers[i].expired);
	}
}

static void text_is_turned_and_nothing_in_it_acts(void **state)
{
	static const char *const out[][2] = {
		{"plain", "plain"},
		{"<!channel> <@U1> & <https://x.test|y>", "&lt;!channel&gt; &lt;@U1&gt; &amp; &lt;https://x.test|y&gt;"},
		{"**bold** and # no", "*bold* and # no"},
		{"## Head\n- one", "*Head*\n- one"},
		{"[a|b](https://x.test/?a=1&b=2)", "<https://x.test/?a=1&amp;b=2|a/b>"},
		{"[a](javascript:x) [b](https://x|y)", "[a](javascript:x) [b](https://x|y)"},
		{"```c\n**a** <b>\n```", "```\n**a** &lt;b&gt;\n```"},
		{"", ""},
	};
	static const char *const in[][2] = {
		{"<@US> do it", "do it"},
		{"<@US|assay> ask <@U1|alice> or <@U2>", "ask alice or @U2"},
		{"see <https://x.test|the page> <https://y.test>", "see [the page](https://x.test) https://y.test"},
		{"<!here> in <#C1|shop> &lt;b&gt; &amp;amp;", "here in shop <b> &amp;"},
		{"< never ends", "< never ends"},
		{"a<>b", "ab"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(out); i++) {
		AUTO_FREE char *text = slack_mrkdwn(view_of(out[i][0]));

		assert_string_equal(text, out[i][1]);
	}
	for (size_t i = 0; i < ARRAY_LEN(in); i++) {
		AUTO_FREE char *text = slack_plain(view_of(in[i][0]), "US");

		assert_string_equal(text, in[i][1]);
	}
}

static void a_section_is_cut_where_a_line_ends(void **state)
{
	AUTO_BUF text = buf_new(1 << 16);

	(void)state;
	while (text.length < 2 * SLACK_SECTION_BYTES_MAX)
		buf_add_text(&text, "<https://x.test|ä>\n");
	AUTO_JSON section = slack_section(text.at);
	const char *kept = json_text(json_member(section, "text"), "text", "");

	assert_true(strlen(kept) <= SLACK_SECTION_BYTES_MAX + 3);
	assert_string_equal(kept + strlen(kept) - strlen(">\n…"), ">\n…");
}

static void an_address_is_verified_by_its_challenge(void **state)
{
	AUTO_FREE char *challenge = slack_challenge(VIEW("{\"type\":\"url_verification\",\"challenge\":\"x\"}"));
	AUTO_FREE char *none = slack_challenge(VIEW("{\"type\":\"event_callback\",\"challenge\":\"x\"}"));

	(void)state;
	assert_string_equal(challenge, "x");
	assert_null(none);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(events_mean_what_people_meant),
		cmocka_unit_test(a_mention_that_comes_as_two_events_has_one_key),
		cmocka_unit_test(what_is_no_event_is_refused_and_before_it_is_allowed_all_is_ignored),
		cmocka_unit_test(envelopes_are_opened),
		cmocka_unit_test(answers_are_judged_as_the_vendor_means_them),
		cmocka_unit_test(text_is_turned_and_nothing_in_it_acts),
		cmocka_unit_test(a_section_is_cut_where_a_line_ends),
		cmocka_unit_test(an_address_is_verified_by_its_challenge),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
