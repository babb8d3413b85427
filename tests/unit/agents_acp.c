/* The row `acp`: what is said to the program, what its messages become, and what it gets for what is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "agents/agent.h"
#include "base/scope.h"

/* One conversation: what both sides and the doer of asks were told, a line each. */
struct talk {
	struct blueprint *blueprint;
	struct agent_parser *parser;
	struct buf told;
};

static void line_add(struct talk *talk, const char *mark, const json_t *json)
{
	buf_add_text(&talk->told, mark);
	json_format_sorted(&talk->told, json);
	buf_add_char(&talk->told, '\n');
}

static void on_event(void *self, enum agent_event_kind kind, const json_t *event)
{
	(void)kind;
	line_add(self, "= ", event);
}

static void on_send(void *self, struct view bytes)
{
	AUTO_JSON message = json_parse(view_trim(bytes), NULL);

	assert_non_null(message);
	assert_int_equal(bytes.at[bytes.length - 1], '\n');
	assert_string_equal(json_text(message, "jsonrpc", ""), "2.0");
	(void)json_object_del(message, "jsonrpc");
	line_add(self, "> ", message);
}

static void on_send_end(void *self)
{
	struct talk *talk = self;

	buf_add_text(&talk->told, "> end\n");
}

static void on_ask(void *self, uint32_t id, const json_t *ask)
{
	AUTO_JSON shown = json_deep_copy(ask);

	(void)json_object_set_new(shown, "number", json_integer((json_int_t)id));
	line_add(self, "? ", shown);
}

static struct agent_sink sink_of(struct talk *talk)
{
	return (struct agent_sink){on_event, talk, on_send, on_send_end, on_ask};
}

static void talk_begin(struct talk *talk, const char *agent, const char *session, const char *history)
{
	AUTO_FREE char *text = text_format("version: 1\nname: shop\nservices:\n  web: {run: x, port: 80}\nagent: %s\n", agent);
	struct agent_request request = {NULL, "do it", session, history, false};
	struct err err = {0};

	talk->blueprint = blueprint_parse(view_of(text), "assay.yaml", &err);
	if (!talk->blueprint)
		fail_msg("%s", err.text);
	request.blueprint = talk->blueprint;
	talk->told = buf_new(1 << 20);
	talk->parser = agent_parser_new(agent_of_blueprint(talk->blueprint), talk->blueprint);
	agent_parser_begin(talk->parser, &request, sink_of(talk));
}

static void talk_end(struct talk *talk)
{
	agent_parser_free(talk->parser);
	blueprint_free(talk->blueprint);
	buf_fini(&talk->told);
}

/* What it has to work with comes before the first prompt; it is no matter here. */
static void tools_drop(struct buf *told)
{
	static const char begin[] = "You work in a sandbox of Assay.";
	static const char end[] = "has them all.\\n\\n";
	char *from = told->at ? strstr(told->at, begin) : NULL;
	char *to = from ? strstr(from, end) : NULL;

	if (!to)
		return;
	to += sizeof(end) - 1;
	memmove(from, to, strlen(to) + 1);
	told->length -= (size_t)(to - from);
}

/* The program says `lines`; what came of it. */
static void says(struct talk *talk, const char *lines, const char *expected)
{
	buf_clear(&talk->told);
	agent_parser_feed(talk->parser, view_of(lines), sink_of(talk));
	tools_drop(&talk->told);
	assert_string_equal(buf_view(&talk->told).at, expected);
}

#define ACP "{use: acp, run: x}"
#define INITIALIZED                                                                              \
	"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"protocolVersion\":1,\"agentCapabilities\":" \
	"{\"loadSession\":true},\"authMethods\":[{\"id\":\"login\"},{\"id\":\"vendor-api-key\"}]}}\n"
#define SERVERS "[{\"args\":[\"mcp\"],\"command\":\"/usr/local/bin/assay-env\",\"env\":[],\"name\":\"assay\"}]"
#define NEW_SESSION "> {\"id\":2,\"method\":\"session/new\",\"params\":{\"cwd\":\"/workspace\",\"mcpServers\":" SERVERS "}}\n"
#define PROMPT(id)                                                                                                        \
	"> {\"id\":" id ",\"method\":\"session/prompt\",\"params\":{\"prompt\":[{\"text\":\"do it\",\"type\":\"text\"}]," \
	"\"sessionId\":\"s\"}}\n"
#define SESSION(id) "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"result\":{\"sessionId\":\"s\"}}\n"
#define STARTED "= {\"kind\":\"start\",\"session\":\"s\"}\n"
#define UPDATE(text) "{\"jsonrpc\":\"2.0\",\"method\":\"session/update\",\"params\":{\"sessionId\":\"s\",\"update\":{" text "}}}\n"
#define STOPPED(id, reason) "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"result\":{\"stopReason\":\"" reason "\"}}\n"
#define USAGE "\"usage\":{\"input_tokens\":0,\"output_tokens\":0}"

static void talk_to_prompt(struct talk *talk)
{
	talk_begin(talk, ACP, NULL, NULL);
	says(talk, INITIALIZED, NEW_SESSION);
	says(talk, SESSION("2"), STARTED PROMPT("3"));
}

static void a_turn_is_a_session_a_prompt_and_its_answer(void **state)
{
	struct talk talk;

	(void)state;
	talk_begin(&talk, ACP, NULL, NULL);
	assert_non_null(strstr(talk.told.at, "\"protocolVersion\":1"));
	assert_non_null(strstr(talk.told.at, "\"method\":\"initialize\""));
	says(&talk, INITIALIZED, NEW_SESSION);
	says(&talk, SESSION("2"), STARTED PROMPT("3"));
	says(&talk, STOPPED("3", "end_turn"), "= {\"kind\":\"end\",\"ok\":true,\"text\":\"\"," USAGE "}\n> end\n");
	assert_true(agent_parser_finish(talk.parser, 0, sink_of(&talk)));
	talk_end(&talk);
}

static void a_later_turn_loads_the_session_and_its_replay_is_not_shown(void **state)
{
	struct talk talk;

	(void)state;
	talk_begin(&talk, ACP, "s", "earlier");
	says(&talk, INITIALIZED,
	     "> {\"id\":2,\"method\":\"session/load\",\"params\":{\"cwd\":\"/workspace\",\"mcpServers\":" SERVERS
	     ",\"sessionId\":\"s\"}}\n");
	says(&talk, UPDATE("\"sessionUpdate\":\"agent_message_chunk\",\"content\":{\"type\":\"text\",\"text\":\"old\"}"), "");
	says(&talk, "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":null}\n", STARTED PROMPT("3"));
	talk_end(&talk);
}

static void a_session_that_cannot_be_loaded_is_a_new_one_that_is_told_what_was_said(void **state)
{
	struct talk talk;

	(void)state;
	talk_begin(&talk, ACP, "gone", "earlier");
	says(&talk, INITIALIZED,
	     "> {\"id\":2,\"method\":\"session/load\",\"params\":{\"cwd\":\"/workspace\",\"mcpServers\":" SERVERS
	     ",\"sessionId\":\"gone\"}}\n");
	says(&talk, "{\"jsonrpc\":\"2.0\",\"id\":2,\"error\":{\"code\":-32002,\"message\":\"not found\"}}\n",
	     "= {\"kind\":\"observation\",\"ok\":false,\"text\":\"the earlier session cannot be loaded: a new one begins\"}\n"
	     "> {\"id\":3,\"method\":\"session/new\",\"params\":{\"cwd\":\"/workspace\",\"mcpServers\":" SERVERS "}}\n");
	buf_clear(&talk.told);
	agent_parser_feed(talk.parser, VIEW(SESSION("3")), sink_of(&talk));
	assert_non_null(strstr(talk.told.at, "earlier"));
	assert_non_null(strstr(talk.told.at, "do it"));
	talk_end(&talk);
}

static void a_program_that_wants_a_key_is_signed_in_with_one(void **state)
{
	static const char refused[] = "{\"jsonrpc\":\"2.0\",\"id\":2,\"error\":{\"code\":-32000,\"message\":\"Sign in\"}}\n";
	struct talk talk;

	(void)state;
	talk_begin(&talk, ACP, NULL, NULL);
	says(&talk, INITIALIZED, NEW_SESSION);
	says(&talk, refused, "> {\"id\":3,\"method\":\"authenticate\",\"params\":{\"methodId\":\"vendor-api-key\"}}\n");
	says(&talk, "{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{}}\n",
	     "> {\"id\":4,\"method\":\"session/new\",\"params\":{\"cwd\":\"/workspace\",\"mcpServers\":" SERVERS "}}\n");
	says(&talk, "{\"jsonrpc\":\"2.0\",\"id\":4,\"error\":{\"code\":-32000,\"message\":\"Sign in\"}}\n",
	     "= {\"error\":\"auth\",\"kind\":\"end\",\"ok\":false,\"text\":\"no session: Sign in\"," USAGE "}\n> end\n");
	talk_end(&talk);
}

static void a_model_is_set_the_way_the_program_offers_it(void **state)
{
	struct talk talk;

	(void)state;
	talk_begin(&talk, "{use: command, run: x, format: acp, model: big}", NULL, NULL);
	says(&talk, INITIALIZED, NEW_SESSION);
	says(&talk, "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"sessionId\":\"s\",\"models\":{\"currentModelId\":\"small\"}}}\n",
	     "= {\"kind\":\"start\",\"model\":\"big\",\"session\":\"s\"}\n"
	     "> {\"id\":3,\"method\":\"session/set_model\",\"params\":{\"modelId\":\"big\",\"sessionId\":\"s\"}}\n");
	says(&talk, "{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{}}\n", PROMPT("4"));
	talk_end(&talk);
	talk_begin(&talk, "{use: acp, run: x, model: big}", NULL, NULL);
	says(&talk, INITIALIZED, NEW_SESSION);
	says(&talk, SESSION("2"),
	     "= {\"kind\":\"start\",\"model\":\"big\",\"session\":\"s\"}\n"
	     "> {\"id\":3,\"method\":\"session/set_config_option\",\"params\":{\"configId\":\"model\",\"sessionId\":\"s\",\"value\":\"big\"}}\n");
	says(&talk, "{\"jsonrpc\":\"2.0\",\"id\":3,\"error\":{\"code\":-32602,\"message\":\"no such model\"}}\n",
	     "= {\"error\":\"crash\",\"kind\":\"end\",\"ok\":false,\"text\":\"the model: no such model\"," USAGE "}\n> end\n");
	talk_end(&talk);
}

/* In the middle of a prompt: what the program says, and what becomes of it. */
static const struct {
	const char *says;
	const char *told;
} rows[] = {
	/* updates */
	{UPDATE("\"sessionUpdate\":\"plan\",\"entries\":[{\"content\":\"mend\",\"priority\":\"high\",\"status\":\"in_progress\"}]"),
	 "= {\"items\":[{\"state\":\"in_progress\",\"text\":\"mend\"}],\"kind\":\"plan\"}\n"},
	{UPDATE("\"sessionUpdate\":\"agent_thought_chunk\",\"content\":{\"type\":\"text\",\"text\":\"h\"}")
		 UPDATE("\"sessionUpdate\":\"agent_thought_chunk\",\"content\":{\"type\":\"text\",\"text\":\"m\"}")
			 UPDATE("\"sessionUpdate\":\"current_mode_update\",\"currentModeId\":\"plan\""),
	 "= {\"kind\":\"thought\",\"text\":\"hm\"}\n= {\"kind\":\"observation\",\"ok\":true,\"text\":\"its mode is now plan\"}\n"},
	{UPDATE("\"sessionUpdate\":\"available_commands_update\",\"availableCommands\":[]"), ""},
	{UPDATE("\"sessionUpdate\":\"tool_call\",\"toolCallId\":\"c\",\"title\":\"bash\",\"kind\":\"execute\",\"status\":\"pending\""),
	 ""},
	{UPDATE("\"sessionUpdate\":\"tool_call\",\"toolCallId\":\"c\",\"title\":\"bash\",\"kind\":\"execute\",\"status\":\"pending\"")
		 UPDATE("\"sessionUpdate\":\"tool_call_update\",\"toolCallId\":\"c\",\"title\":\"make test\",\"status\":\"in_progress\","
			"\"rawInput\":{\"command\":\"make test\"}")
			 UPDATE("\"sessionUpdate\":\"tool_call_update\",\"toolCallId\":\"c\",\"status\":\"failed\",\"content\":[{\"type\":"
				"\"content\",\"content\":{\"type\":\"text\",\"text\":\"no rule\"}}]"),
	 "= {\"detail\":\"make test\",\"id\":\"c\",\"kind\":\"action\",\"title\":\"make test\",\"tool\":\"execute\"}\n"
	 "= {\"id\":\"c\",\"kind\":\"observation\",\"ok\":false,\"text\":\"no rule\"}\n"},
	{UPDATE("\"sessionUpdate\":\"tool_call\",\"toolCallId\":\"d\",\"title\":\"Edit\",\"kind\":\"edit\",\"status\":\"completed\","
		"\"locations\":[{\"path\":\"/workspace/a\"}],\"content\":[{\"type\":\"diff\",\"path\":\"/workspace/a\",\"oldText\":null,"
		"\"newText\":\"x\"}]"),
	 "= {\"detail\":\"/workspace/a\",\"id\":\"d\",\"kind\":\"action\",\"title\":\"Edit\",\"tool\":\"edit\"}\n"
	 "= {\"id\":\"d\",\"kind\":\"observation\",\"ok\":true,\"text\":\"changed /workspace/a\"}\n"},
	{UPDATE("\"sessionUpdate\":\"odd\""),
	 "= {\"kind\":\"observation\",\"ok\":true,\"text\":\"{\\\"jsonrpc\\\":\\\"2.0\\\",\\\"method\\\":\\\"session/update\\\",\\\"params\\\":{"
	 "\\\"sessionId\\\":\\\"s\\\",\\\"update\\\":{\\\"sessionUpdate\\\":\\\"odd\\\"}}}\"}\n"},
	/* of another session, to another request, of no protocol */
	{"{\"jsonrpc\":\"2.0\",\"method\":\"session/update\",\"params\":{\"sessionId\":\"t\",\"update\":{\"sessionUpdate\":\"plan\"}}}\n",
	 ""},
	{STOPPED("2", "end_turn"), ""},
	{STOPPED("\"3\"", "end_turn"), ""},
	{"{\"id\":3,\"result\":{\"stopReason\":\"end_turn\"}}\n",
	 "= {\"kind\":\"observation\",\"ok\":true,\"text\":\"{\\\"id\\\":3,\\\"result\\\":{\\\"stopReason\\\":\\\"end_turn\\\"}}\"}\n"},
	{"warning: old node\n", "= {\"kind\":\"observation\",\"ok\":true,\"text\":\"warning: old node\"}\n"},
	/* permission: the least that allows */
	{"{\"jsonrpc\":\"2.0\",\"id\":\"p\",\"method\":\"session/request_permission\",\"params\":{\"sessionId\":\"s\",\"options\":[{\"optionId\":"
	 "\"a\",\"kind\":\"allow_always\"},{\"optionId\":\"o\",\"kind\":\"allow_once\"},{\"optionId\":\"r\",\"kind\":\"reject_once\"}]}}\n",
	 "> {\"id\":\"p\",\"result\":{\"outcome\":{\"optionId\":\"o\",\"outcome\":\"selected\"}}}\n"},
	{"{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"session/request_permission\",\"params\":{\"options\":[{\"optionId\":\"r\",\"kind\":"
	 "\"reject_once\"}]}}\n",
	 "> {\"id\":0,\"result\":{\"outcome\":{\"outcome\":\"cancelled\"}}}\n"},
	/* files and terminals */
	{"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"fs/read_text_file\",\"params\":{\"sessionId\":\"s\",\"path\":\"/etc/x\",\"line\":2}}\n",
	 "? {\"ask\":\"read\",\"line\":2,\"number\":1,\"path\":\"/etc/x\"}\n"},
	{"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"fs/read_text_file\",\"params\":{\"sessionId\":\"s\",\"path\":\"x\"}}\n",
	 "> {\"error\":{\"code\":-32602,\"message\":\"these parameters are not what the protocol says\"},\"id\":7}\n"},
	{"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"terminal/create\",\"params\":{\"sessionId\":\"s\",\"command\":\"make a\",\"env\":[{\"name\":"
	 "\"A\",\"value\":\"b\"}],\"outputByteLimit\":99999999}}\n",
	 "? {\"argv\":[\"sh\",\"-c\",\"make a\"],\"ask\":\"run\",\"bytes_max\":1048576,\"env\":{\"A\":\"b\"},\"number\":1}\n"},
	/* what there is not */
	{"{\"jsonrpc\":\"2.0\",\"id\":8,\"method\":\"cursor/ask\",\"params\":{}}\n",
	 "> {\"error\":{\"code\":-32601,\"message\":\"there is no such method here\"},\"id\":8}\n"},
	{"{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"fs/read_text_file\",\"params\":{}}\n",
	 "> {\"error\":{\"code\":-32600,\"message\":\"this is no id of a request\"},\"id\":null}\n"},
	{"{\"jsonrpc\":\"2.0\",\"id\":8,\"method\":\"fs/read_text_file\",\"params\":{\"sessionId\":\"t\",\"path\":\"/x\"}}\n",
	 "> {\"error\":{\"code\":-32602,\"message\":\"there is no such session\"},\"id\":8}\n"},
	/* ends */
	{STOPPED("3", "max_tokens"),
	 "= {\"error\":\"limit\",\"kind\":\"end\",\"ok\":false,\"text\":\"the agent stopped: max_tokens\"," USAGE "}\n> end\n"},
	{STOPPED("3", "refusal"),
	 "= {\"error\":\"crash\",\"kind\":\"end\",\"ok\":false,\"text\":\"the agent stopped: refusal\"," USAGE "}\n> end\n"},
	{"{\"jsonrpc\":\"2.0\",\"id\":3,\"error\":{\"code\":429,\"message\":\"slow down\"}}\n",
	 "= {\"error\":\"overload\",\"kind\":\"end\",\"ok\":false,\"text\":\"the prompt: slow down\"," USAGE "}\n> end\n"},
	{"{\"jsonrpc\":\"2.0\",\"id\":3,\"error\":{\"code\":-32603,\"message\":\"no\",\"data\":{\"errorKind\":\"billing_error\"}}}\n",
	 "= {\"error\":\"quota\",\"kind\":\"end\",\"ok\":false,\"text\":\"the prompt: no\"," USAGE "}\n> end\n"},
};

static void each_message_becomes_what_it_means_and_each_request_is_answered(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct talk talk;

		talk_to_prompt(&talk);
		says(&talk, rows[i].says, rows[i].told);
		talk_end(&talk);
	}
}

static void an_ask_is_answered_once(void **state)
{
	struct talk talk;
	AUTO_JSON content = json_pack("{s:s}", "content", "x");

	(void)state;
	talk_to_prompt(&talk);
	says(&talk, "{\"jsonrpc\":\"2.0\",\"id\":\"r\",\"method\":\"fs/read_text_file\",\"params\":{\"path\":\"/a\"}}\n",
	     "? {\"ask\":\"read\",\"number\":1,\"path\":\"/a\"}\n");
	buf_clear(&talk.told);
	agent_parser_answer(talk.parser, 1, content, NULL, sink_of(&talk));
	agent_parser_answer(talk.parser, 1, content, NULL, sink_of(&talk));
	agent_parser_answer(talk.parser, 9, NULL, "no", sink_of(&talk));
	assert_string_equal(talk.told.at, "> {\"id\":\"r\",\"result\":{\"content\":\"x\"}}\n");
	talk_end(&talk);
}

static void a_file_that_is_not_there_is_told_apart(void **state)
{
	struct talk talk;

	(void)state;
	talk_to_prompt(&talk);
	says(&talk, "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"fs/read_text_file\",\"params\":{\"path\":\"/a\"}}\n",
	     "? {\"ask\":\"read\",\"number\":1,\"path\":\"/a\"}\n");
	buf_clear(&talk.told);
	agent_parser_answer(talk.parser, 1, NULL, "head: cannot open '/a' for reading: No such file or directory", sink_of(&talk));
	assert_string_equal(talk.told.at,
			    "> {\"error\":{\"code\":-32002,\"message\":\"Resource not found (ENOENT): no such file\"},\"id\":7}\n");
	talk_end(&talk);
}

static void requests_that_are_not_answered_are_bounded(void **state)
{
	struct talk talk;
	int asked = 0;
	int refused = 0;

	(void)state;
	talk_to_prompt(&talk);
	for (int i = 0; i < 100; i++) {
		AUTO_FREE char *line = text_format(
			"{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"terminal/wait_for_exit\",\"params\":{\"terminalId\":\"t\"}}\n",
			i);

		buf_clear(&talk.told);
		agent_parser_feed(talk.parser, view_of(line), sink_of(&talk));
		asked += talk.told.at[0] == '?';
		refused += talk.told.at[0] == '>';
	}
	assert_int_equal(asked, 64);
	assert_int_equal(refused, 36);
	talk_end(&talk);
}

static void a_message_cancels_the_prompt_and_is_the_next_one(void **state)
{
	struct talk talk;

	(void)state;
	talk_to_prompt(&talk);
	buf_clear(&talk.told);
	assert_true(agent_parser_message(talk.parser, "in red", sink_of(&talk)));
	assert_string_equal(talk.told.at, "> {\"method\":\"session/cancel\",\"params\":{\"sessionId\":\"s\"}}\n");
	says(&talk, STOPPED("3", "cancelled"),
	     "> {\"id\":4,\"method\":\"session/prompt\",\"params\":{\"prompt\":[{\"text\":\"in red\",\"type\":\"text\"}],\"sessionId\":\"s\"}}\n");
	says(&talk, STOPPED("3", "end_turn"), "");
	says(&talk, STOPPED("4", "end_turn"), "= {\"kind\":\"end\",\"ok\":true,\"text\":\"\"," USAGE "}\n> end\n");
	assert_false(agent_parser_message(talk.parser, "too late", sink_of(&talk)));
	talk_end(&talk);
}

static void a_program_of_another_version_is_not_talked_to(void **state)
{
	struct talk talk;

	(void)state;
	talk_begin(&talk, ACP, NULL, NULL);
	says(&talk, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"protocolVersion\":2}}\n",
	     "= {\"error\":\"crash\",\"kind\":\"end\",\"ok\":false,\"text\":\"the agent does not speak version 1 of the Agent Client Protocol\"," USAGE
	     "}\n> end\n");
	talk_end(&talk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_turn_is_a_session_a_prompt_and_its_answer),
		cmocka_unit_test(a_later_turn_loads_the_session_and_its_replay_is_not_shown),
		cmocka_unit_test(a_session_that_cannot_be_loaded_is_a_new_one_that_is_told_what_was_said),
		cmocka_unit_test(a_program_that_wants_a_key_is_signed_in_with_one),
		cmocka_unit_test(a_model_is_set_the_way_the_program_offers_it),
		cmocka_unit_test(each_message_becomes_what_it_means_and_each_request_is_answered),
		cmocka_unit_test(an_ask_is_answered_once),
		cmocka_unit_test(a_file_that_is_not_there_is_told_apart),
		cmocka_unit_test(requests_that_are_not_answered_are_bounded),
		cmocka_unit_test(a_message_cancels_the_prompt_and_is_the_next_one),
		cmocka_unit_test(a_program_of_another_version_is_not_talked_to),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
