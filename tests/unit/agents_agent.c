/* The table of agents: what each is started with, and what each line of output becomes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "agents/agent.h"
#include "base/file.h"
#include "base/scope.h"

static struct blueprint *blueprint_with(const char *agent)
{
	AUTO_FREE char *text = text_format(
		"version: 1\nname: shop\nservices:\n  web: {run: node server.js, port: 8080}\nagent: %s\n", agent);
	struct err err = {0};
	struct blueprint *blueprint = blueprint_parse(view_of(text), "assay.yaml", &err);

	if (!blueprint)
		fail_msg("%s", err.text);
	return blueprint;
}

static void on_event(void *self, enum agent_event_kind kind, const json_t *event)
{
	json_t *events = self;
	json_t *kept = json_deep_copy(event);

	(void)kind;
	(void)json_array_append_new(events, kept);
}

/* The events of `output`, as sorted JSON, one a line. */
static bool parse(const char *agent, struct view output, size_t chunk, int exit_code, struct buf *out, char **session)
{
	AUTO_BLUEPRINT blueprint = blueprint_with(agent);
	struct agent_parser *parser = agent_parser_new(agent_find(blueprint->agent.use), blueprint);
	AUTO_JSON events = json_array();
	struct agent_sink sink = {on_event, events, NULL, NULL, NULL};
	struct agent_request request = {blueprint, "do it", NULL, NULL, false};
	size_t index;
	json_t *event;
	bool good;

	agent_parser_begin(parser, &request, sink);
	for (size_t at = 0; at < output.length; at += chunk)
		agent_parser_feed(parser, view_make(output.at + at, output.length - at < chunk ? output.length - at : chunk), sink);
	good = agent_parser_finish(parser, exit_code, sink);
	if (session)
		*session = text_copy(agent_parser_session(parser));
	json_array_foreach(events, index, event) {
		json_format_sorted(out, event);
		buf_add_char(out, '\n');
	}
	agent_parser_free(parser);
	return good;
}

#define CLAUDE "{use: claude}"
#define JSONL "{use: command, run: x, format: jsonl}"
#define TEXT "{use: command, run: x}"

#define CRASH_END "{\"error\":\"crash\",\"kind\":\"end\",\"ok\":false,\"text\":\"\"}\n"

static const struct {
	const char *agent;
	const char *output;
	int exit_code;
	bool good;
	const char *events;
} rows[] = {
	/* Claude Code */
	{CLAUDE, "{\"type\":\"system\",\"subtype\":\"init\",\"session_id\":\"s-1\",\"model\":\"m\",\"tools\":[\"Bash\"]}\n", 0,
	 false, "{\"kind\":\"start\",\"model\":\"m\",\"session\":\"s-1\"}\n" CRASH_END},
	{CLAUDE,
	 "{\"type\":\"assistant\",\"message\":{\"id\":\"a\",\"content\":[{\"type\":\"thinking\",\"thinking\":\"hm\",\"signature\":\"x\"}]}}\n",
	 0, false, "{\"kind\":\"thought\",\"text\":\"hm\"}\n" CRASH_END},
	{CLAUDE,
	 "{\"type\":\"assistant\",\"message\":{\"content\":[{\"type\":\"text\",\"text\":\"hello\"},{\"type\":\"tool_use\",\"id\":\"t1\","
	 "\"name\":\"Bash\",\"input\":{\"command\":\"sh test.sh\",\"description\":\"Run the tests\"}}]}}\n",
	 0, false,
	 "{\"kind\":\"message\",\"text\":\"hello\"}\n"
	 "{\"detail\":\"sh test.sh\",\"id\":\"t1\",\"kind\":\"action\",\"title\":\"Run the tests\",\"tool\":\"Bash\"}\n"
	 "{\"error\":\"crash\",\"kind\":\"end\",\"ok\":false,\"text\":\"hello\"}\n"},
	{CLAUDE,
	 "{\"type\":\"assistant\",\"message\":{\"content\":[{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"TodoWrite\",\"input\":{\"todos\":["
	 "{\"content\":\"Fix\",\"status\":\"in_progress\"},{\"content\":\"Test\",\"status\":\"what\"}]}}]}}\n",
	 0, false,
	 "{\"items\":[{\"state\":\"in_progress\",\"text\":\"Fix\"},{\"state\":\"pending\",\"text\":\"Test\"}],\"kind\":\"plan\"}\n" CRASH_END},
	{CLAUDE,
	 "{\"type\":\"assistant\",\"message\":{\"content\":[{\"type\":\"tool_use\",\"name\":\"TaskCreate\",\"input\":{\"subject\":\"Fix\"}}]}}\n"
	 "{\"type\":\"assistant\",\"message\":{\"content\":[{\"type\":\"tool_use\",\"name\":\"TaskUpdate\",\"input\":{\"taskId\":\"1\","
	 "\"status\":\"completed\"}}]}}\n",
	 0, false,
	 "{\"items\":[{\"state\":\"pending\",\"text\":\"Fix\"}],\"kind\":\"plan\"}\n"
	 "{\"items\":[{\"state\":\"completed\",\"text\":\"Fix\"}],\"kind\":\"plan\"}\n" CRASH_END},
	{CLAUDE,
	 "{\"type\":\"user\",\"message\":{\"content\":[{\"type\":\"tool_result\",\"content\":\"Exit code 3\\noops\",\"is_error\":true,"
	 "\"tool_use_id\":\"t1\"}]}}\n",
	 0, false, "{\"id\":\"t1\",\"kind\":\"observation\",\"ok\":false,\"text\":\"Exit code 3\\noops\"}\n" CRASH_END},
	{CLAUDE,
	 "{\"type\":\"user\",\"message\":{\"content\":[{\"type\":\"tool_result\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":"
	 "\"text\",\"text\":\"b\"}],\"tool_use_id\":\"t1\"}]}}\n",
	 0, false, "{\"id\":\"t1\",\"kind\":\"observation\",\"ok\":true,\"text\":\"ab\"}\n" CRASH_END},
	{CLAUDE,
	 "{\"duration_api_ms\":1,\"total_cost_usd\":0.5,\"usage\":{\"input_tokens\":7,\"cache_read_input_tokens\":3,\"output_tokens\":2},"
	 "\"is_error\":false,\"subtype\":\"success\",\"type\":\"result\",\"result\":\"done\"}\n",
	 0, true,
	 "{\"kind\":\"end\",\"ok\":true,\"text\":\"done\",\"usage\":{\"input_tokens\":10,\"output_tokens\":2,\"session_cost_usd\":0.5}}\n"},
	{CLAUDE, "{\"type\":\"result\",\"subtype\":\"success\",\"is_error\":false,\"result\":\"done\"}\n", 1, false,
	 "{\"kind\":\"end\",\"ok\":true,\"text\":\"done\",\"usage\":{\"input_tokens\":0,\"output_tokens\":0}}\n"},
	{CLAUDE,
	 "{\"type\":\"result\",\"subtype\":\"success\",\"is_error\":true,\"api_error_status\":401,\"result\":\"API Error: 401\"}\n",
	 1, false,
	 "{\"error\":\"auth\",\"kind\":\"end\",\"ok\":false,\"text\":\"API Error: 401\",\"usage\":{\"input_tokens\":0,\"output_tokens\":0}}\n"},
	{CLAUDE, "{\"type\":\"result\",\"subtype\":\"success\",\"is_error\":true,\"result\":\"Credit balance is too low\"}\n", 1,
	 false,
	 "{\"error\":\"quota\",\"kind\":\"end\",\"ok\":false,\"text\":\"Credit balance is too low\",\"usage\":{\"input_tokens\":0,"
	 "\"output_tokens\":0}}\n"},
	{CLAUDE, "{\"type\":\"result\",\"subtype\":\"error_max_turns\",\"is_error\":true}\n", 1, false,
	 "{\"error\":\"limit\",\"kind\":\"end\",\"ok\":false,\"usage\":{\"input_tokens\":0,\"output_tokens\":0}}\n"},
	{CLAUDE,
	 "{\"type\":\"system\",\"subtype\":\"api_retry\",\"attempt\":1,\"max_retries\":3,\"error_status\":529,\"error\":\"overloaded\"}\n",
	 1, false,
	 "{\"kind\":\"observation\",\"ok\":false,\"text\":\"the model's API answered 529 (overloaded); try 1 of 3\"}\n"
	 "{\"error\":\"overload\",\"kind\":\"end\",\"ok\":false,\"text\":\"\"}\n"},
	{CLAUDE, "{\"type\":\"stream_event\"}\n{\"type\":\"system\",\"subtype\":\"status\"}\nnot json\n{}\n[1]\n\"x\"\n", 0, false,
	 CRASH_END},
	{CLAUDE, "{\"type\":\"assistant\",\"message\":7}\n{\"type\":\"user\",\"message\":{\"content\":\"hi\"}}\n", 0, false,
	 CRASH_END},

	/* command, format jsonl */
	{JSONL,
	 "{\"type\":\"start\",\"session\":\"s\",\"model\":\"m\",\"more\":1}\n{\"type\":\"thought\",\"text\":\"t\"}\n"
	 "{\"type\":\"action\",\"id\":\"1\",\"tool\":\"edit\",\"title\":\"a\",\"detail\":\"d\"}\n"
	 "{\"type\":\"observation\",\"id\":\"1\",\"ok\":false,\"text\":\"no\"}\n"
	 "{\"type\":\"plan\",\"items\":[{\"text\":\"x\",\"state\":\"completed\"},7]}\n{\"type\":\"message\",\"text\":\"m\"}\n"
	 "{\"type\":\"end\",\"ok\":true,\"text\":\"bye\",\"usage\":{\"input_tokens\":1,\"output_tokens\":2,\"cost_usd\":0.25}}\n",
	 0, true,
	 "{\"kind\":\"start\",\"model\":\"m\",\"session\":\"s\"}\n{\"kind\":\"thought\",\"text\":\"t\"}\n"
	 "{\"detail\":\"d\",\"id\":\"1\",\"kind\":\"action\",\"title\":\"a\",\"tool\":\"edit\"}\n"
	 "{\"id\":\"1\",\"kind\":\"observation\",\"ok\":false,\"text\":\"no\"}\n"
	 "{\"items\":[{\"state\":\"completed\",\"text\":\"x\"}],\"kind\":\"plan\"}\n{\"kind\":\"message\",\"text\":\"m\"}\n"
	 "{\"kind\":\"end\",\"ok\":true,\"text\":\"bye\",\"usage\":{\"cost_usd\":0.25,\"input_tokens\":1,\"output_tokens\":2}}\n"},
	{JSONL, "npm warn\n{\"type\":\"odd\"}\n{\"type\":\"end\",\"ok\":false,\"error\":\"limit\"}\n", 0, false,
	 "{\"kind\":\"observation\",\"ok\":true,\"text\":\"npm warn\"}\n"
	 "{\"kind\":\"observation\",\"ok\":true,\"text\":\"{\\\"type\\\":\\\"odd\\\"}\"}\n"
	 "{\"error\":\"limit\",\"kind\":\"end\",\"ok\":false,\"usage\":{\"cost_usd\":0.0,\"input_tokens\":0,\"output_tokens\":0}}\n"},
	{JSONL, "", 0, false, CRASH_END},
	{JSONL,
	 "{\"type\":\"message\",\"text\":\"m\",\"usage\":{\"cost_usd\":0.5}}\n{\"type\":\"message\",\"text\":\"n\",\"usage\":{\"cost_usd\":-1}}\n"
	 "{\"type\":\"message\",\"text\":\"o\",\"usage\":{\"cost_usd\":\"2\"}}\n",
	 0, false,
	 "{\"kind\":\"message\",\"text\":\"m\"}\n{\"kind\":\"message\",\"text\":\"n\"}\n{\"kind\":\"message\",\"text\":\"o\"}\n"
	 "{\"error\":\"crash\",\"kind\":\"end\",\"ok\":false,\"text\":\"\",\"usage\":{\"cost_usd\":0.5,\"session_cost_usd\":0.0}}\n"},

	/* command, format text: the exit code is the outcome */
	{TEXT, "one\r\n\ntwo", 0, true,
	 "{\"kind\":\"start\"}\n{\"kind\":\"message\",\"text\":\"one\"}\n{\"kind\":\"message\",\"text\":\"two\"}\n"
	 "{\"kind\":\"end\",\"ok\":true,\"text\":\"one\\ntwo\"}\n"},
	{TEXT, "", 3, false, CRASH_END},
	{TEXT, "\xff\x01", 0, true,
	 "{\"kind\":\"start\"}\n{\"kind\":\"message\",\"text\":\"\xef\xbf\xbd\\u0001\"}\n"
	 "{\"kind\":\"end\",\"ok\":true,\"text\":\"\xef\xbf\xbd\\u0001\"}\n"},
};

static void every_line_becomes_the_events_it_means(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		for (size_t chunk = 1; chunk <= 1000; chunk = chunk * 10 + 3) {
			AUTO_BUF out = buf_new(1 << 20);
			bool good = parse(rows[i].agent, view_of(rows[i].output), chunk, rows[i].exit_code, &out, NULL);

			assert_string_equal(out.at ? out.at : "", rows[i].events);
			assert_int_equal(good, rows[i].good);
		}
}

/* Whole turns as the real programs wrote them (tests/data/agents/AGENT.STORY.jsonl), against the events they are known to mean
 * (….events). ASSAY_TEST_WRITE=1 writes those anew, to be read before they are kept. */
static const struct {
	const char *agent;
	const char *story;
	int exit_code;
	bool good;
} stories[] = {
	{"claude", "limited", 0, true},        {"claude", "limited", 1, false},
	{"claude", "revoked-key", 137, false}, {"codex", "good", 0, true},
	{"codex", "good", 1, false},           {"codex", "revoked-key", 1, false},
	{"gemini", "good", 0, true},           {"gemini", "good", 145, false},
	{"gemini", "revoked-key", 145, false}, {"opencode", "good", 0, true},
	{"opencode", "good", 1, false},        {"opencode", "revoked-key", 1, false},
	{"cursor", "good", 0, true},           {"cursor", "good", 1, false},
	{"cursor", "cut-off", 0, false},       {"acp", "gemini", 0, true},
	{"acp", "gemini", 1, false},           {"acp", "gemini-revoked-key", 0, false},
	{"acp", "opencode", 0, true},          {"acp", "opencode-revoked-key", 0, false},
};

static void real_turns_become_the_events_they_mean(void **state)
{
	const char *root = getenv("SOURCE_ROOT");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(stories); i++) {
		AUTO_FREE char *base = text_format("%s/tests/data/agents/%s.%s", root ? root : ".", stories[i].agent,
						   stories[i].story);
		AUTO_FREE char *output_path = text_format("%s.jsonl", base);
		AUTO_FREE char *events_path = text_format("%s.events", base);
		AUTO_FREE char *agent = text_format("{use: %s, run: x}", stories[i].agent);
		AUTO_BUF output = buf_new(1 << 20);
		AUTO_BUF wanted = buf_new(1 << 20);
		struct err err;

		if (file_read(output_path, &output, &err))
			fail_msg("%s", err.text);
		for (size_t chunk = 1; chunk <= 10000; chunk = chunk * 10 + 3) {
			AUTO_BUF out = buf_new(1 << 20);
			bool good = parse(agent, buf_view(&output), chunk, stories[i].exit_code, &out, NULL);

			if (getenv("ASSAY_TEST_WRITE"))
				assert_int_equal(file_replace(events_path, buf_view(&out), 0644, &err), 0);
			buf_clear(&wanted);
			if (file_read(events_path, &wanted, &err))
				fail_msg("%s", err.text);
			assert_string_equal(out.at, wanted.at);
			assert_int_equal(good, stories[i].good);
		}
	}
}

static void a_line_that_is_too_long_is_dropped_aloud(void **state)
{
	AUTO_BUF output = buf_new((size_t)4 << 20);
	AUTO_BUF out = buf_new(1 << 20);

	(void)state;
	for (int i = 0; i < 3 << 20; i++)
		buf_add_char(&output, 'x');
	buf_add_text(&output, "\n{\"type\":\"end\"}\n");
	assert_true(parse(JSONL, buf_view(&output), 4096, 0, &out, NULL));
	assert_non_null(strstr(out.at, "more than 1 MiB"));
	assert_true(out.length < 1000);
}

static void long_texts_are_cut(void **state)
{
	AUTO_BUF output = buf_new((size_t)1 << 20);
	AUTO_BUF out = buf_new((size_t)1 << 20);

	(void)state;
	for (int i = 0; i < 100000; i++)
		buf_add_char(&output, 'x');
	assert_true(parse(TEXT, buf_view(&output), 65536, 0, &out, NULL));
	assert_non_null(strstr(out.at, "[83616 more bytes]"));
}

static void the_session_is_remembered(void **state)
{
	AUTO_BUF out = buf_new(1 << 20);
	AUTO_FREE char *session = NULL;

	(void)state;
	(void)parse(CLAUDE, VIEW("{\"type\":\"system\",\"subtype\":\"init\",\"session_id\":\"s-1\"}\n"), 100, 0, &out, &session);
	assert_string_equal(session, "s-1");
}

#define CODEX_TOOLS                                                                                         \
	"-c|mcp_servers.assay.command=\"/usr/local/bin/assay-env\"|-c|mcp_servers.assay.args=[\"mcp\"]|-c|" \
	"mcp_servers.assay.tool_timeout_sec=3600|-c|developer_instructions=\"TOOLS|--dangerously-bypass-hook-trust"
#define CLAUDE_HOOK \
	"{\"hooks\":{\"Stop\":[{\"hooks\":[{\"type\":\"command\",\"command\":\"/usr/local/bin/assay-env gate\",\"timeout\":20}]}]}}"

static void argv_is(const struct agent_turn *turn, const char *expected)
{
	AUTO_BUF out = buf_new(4096);

	for (char **word = turn->argv; *word; word++) {
		const char *tools = strstr(*word, "You work in a sandbox of Assay");

		buf_add_format(&out, "%s%.*s%s", word == turn->argv ? "" : "|", tools ? (int)(tools - *word) : (int)strlen(*word),
			       *word, tools ? "TOOLS" : "");
	}
	assert_string_equal(out.at, expected);
}

static const char *env_of(const struct agent_turn *turn, const char *name)
{
	const char *value = NULL;

	for (size_t i = 0; i < turn->env.count; i++)
		if (strcmp(turn->env.at[i].name, name) == 0)
			value = turn->env.at[i].value;
	return value;
}

static void claude_is_started_and_resumed_with_the_prompt_on_stdin(void **state)
{
	AUTO_BLUEPRINT blueprint = blueprint_with("{use: claude, model: opus, env: {A: b}}");
	struct agent_request request = {blueprint, "do it", "s-1", "earlier", false};
	struct agent_turn turn;

	(void)state;
	assert_int_equal(agent_turn_make(&request, &turn, NULL), 0);
	argv_is(&turn,
		"claude|-p|--input-format|stream-json|--output-format|stream-json|--verbose|--dangerously-skip-permissions|--model|opus|"
		"--resume|s-1|--mcp-config|{\"mcpServers\":{\"assay\":{\"command\":\"/usr/local/bin/assay-env\",\"args\":[\"mcp\"]}}}|"
		"--strict-mcp-config|--append-system-prompt|TOOLS|--settings|" CLAUDE_HOOK "|--setting-sources|user");
	assert_string_equal(turn.input, "do it");
	assert_string_equal(env_of(&turn, "IS_SANDBOX"), "1");
	assert_string_equal(env_of(&turn, "CLAUDE_CODE_ENABLE_TASKS"), "0");
	assert_string_equal(env_of(&turn, "A"), "b");
	agent_turn_fini(&turn);
	request.session = NULL;
	assert_int_equal(agent_turn_make(&request, &turn, NULL), 0);
	assert_non_null(strstr(turn.input, "earlier"));
	agent_turn_fini(&turn);
}

static void each_agent_is_started_and_resumed_in_its_own_way(void **state)
{
	static const struct {
		const char *agent;
		const char *argv; /* of a resumed turn */
		const char *variable, *value;
	} cases[] = {
		{"{use: codex, model: gpt, env: {OPENAI_API_KEY: k, OPENAI_BASE_URL: \"http://a/v1\"}}",
		 "codex|exec|resume|--json|--dangerously-bypass-approvals-and-sandbox|--skip-git-repo-check|-c|tools.update_plan.enabled=true|-c|"
		 "check_for_update_on_startup=false|-c|analytics.enabled=false|-c|features.plugins=false|-c|features.apps=false|-c|"
		 "features.api_key_model_discovery=false|" CODEX_TOOLS "|-c|openai_base_url=\"http://a/v1\"|-m|gpt|s-1|-",
		 "CODEX_API_KEY", "k"},
		{"{use: codex, env: {OPENAI_API_KEY: k, CODEX_API_KEY: own}}",
		 "codex|exec|resume|--json|--dangerously-bypass-approvals-and-sandbox|--skip-git-repo-check|-c|tools.update_plan.enabled=true|-c|"
		 "check_for_update_on_startup=false|-c|analytics.enabled=false|-c|features.plugins=false|-c|features.apps=false|-c|"
		 "features.api_key_model_discovery=false|" CODEX_TOOLS "|s-1|-",
		 "CODEX_API_KEY", "own"},
		{"{use: gemini, model: g}",
		 "gemini|--output-format|stream-json|--approval-mode|yolo|-m|g|--resume|s-1|--allowed-mcp-server-names|assay",
		 "GEMINI_CLI_NO_RELAUNCH", "true"},
		{"{use: opencode, model: a/b, run: [/opt/opencode, --print-logs]}",
		 "/opt/opencode|--print-logs|run|--format|json|--auto|--thinking|-m|a/b|--session|s-1",
		 "OPENCODE_DISABLE_AUTOUPDATE", "1"},
		{"{use: cursor, env: {CURSOR_API_KEY: k}}",
		 "agent|-p|--output-format|stream-json|--force|--trust|--approve-mcps|--sandbox|disabled|--resume|s-1",
		 "CURSOR_API_KEY", "k"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_BLUEPRINT blueprint = blueprint_with(cases[i].agent);
		struct agent_request request = {blueprint, "do it", "s-1", "earlier", false};
		struct agent_turn turn;

		assert_int_equal(agent_turn_make(&request, &turn, NULL), 0);
		argv_is(&turn, cases[i].argv);
		assert_string_equal(turn.input, "do it");
		assert_string_equal(env_of(&turn, cases[i].variable), cases[i].value);
		agent_turn_fini(&turn);
	}
}

static void settings_of_the_repository_are_used_only_when_they_may_be(void **state)
{
	static const struct {
		const char *agent;
		const char *without; /* a word or a variable of a turn without them */
	} cases[] = {{"{use: claude}", "--setting-sources"},
		     {"{use: gemini}", "--allowed-mcp-server-names"},
		     {"{use: opencode}", "OPENCODE_DISABLE_PROJECT_CONFIG"}};

	(void)state;
	for (size_t i = 0; i < 2 * ARRAY_LEN(cases); i++) {
		AUTO_BLUEPRINT blueprint = blueprint_with(cases[i / 2].agent);
		struct agent_request request = {blueprint, "do it", NULL, NULL, i % 2 == 1};
		bool found = false;
		struct agent_turn turn;

		assert_int_equal(agent_turn_make(&request, &turn, NULL), 0);
		for (char **word = turn.argv; *word; word++)
			found |= strcmp(*word, cases[i / 2].without) == 0;
		found |= env_of(&turn, cases[i / 2].without) != NULL;
		assert_int_equal(found, !request.settings);
		agent_turn_fini(&turn);
	}
}

static void a_command_is_a_shell_line_or_words_and_gets_what_was_said_before(void **state)
{
	AUTO_BLUEPRINT line = blueprint_with("{use: command, run: node agent.js}");
	AUTO_BLUEPRINT list = blueprint_with("{use: command, run: [node, agent.js]}");
	struct agent_request request = {line, "do it", "s-1", "earlier", false};
	struct agent_turn turn;

	(void)state;
	assert_int_equal(agent_turn_make(&request, &turn, NULL), 0);
	argv_is(&turn, "sh|-c|node agent.js|sh");
	assert_non_null(strstr(turn.input, "earlier"));
	agent_turn_fini(&turn);
	request.blueprint = list;
	assert_int_equal(agent_turn_make(&request, &turn, NULL), 0);
	argv_is(&turn, "node|agent.js");
	agent_turn_fini(&turn);
}

static void what_installs_an_agent_names_its_version_and_nothing_else_of_the_caller(void **state)
{
	static const struct {
		const char *agent, *version, *part; /* NULL: refused */
	} cases[] = {
		{"claude", NULL, " @anthropic-ai/claude-code-linux-\"$arch\"@2.1.330\n"},
		{"claude", "2.2.0-beta.1", "@2.2.0-beta.1\n"},
		{"codex", NULL, "ln -s ../node_modules/codex/vendor/*/bin/codex codex\n"},
		{"claude", "1;reboot", NULL},
		{"claude", "-1", NULL},
		{"claude", "", NULL},
		{"cursor", NULL, NULL},
		{"command", NULL, NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err err = {0};
		AUTO_FREE char *script = agent_install_script(agent_find(cases[i].agent), cases[i].version, &err);

		assert_int_equal(script != NULL, cases[i].part != NULL);
		assert_int_equal(err.kind, script ? ERR_NONE : ERR_INVALID);
		if (script)
			assert_non_null(strstr(script, cases[i].part));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_line_becomes_the_events_it_means),
		cmocka_unit_test(real_turns_become_the_events_they_mean),
		cmocka_unit_test(a_line_that_is_too_long_is_dropped_aloud),
		cmocka_unit_test(long_texts_are_cut),
		cmocka_unit_test(the_session_is_remembered),
		cmocka_unit_test(claude_is_started_and_resumed_with_the_prompt_on_stdin),
		cmocka_unit_test(each_agent_is_started_and_resumed_in_its_own_way),
		cmocka_unit_test(settings_of_the_repository_are_used_only_when_they_may_be),
		cmocka_unit_test(a_command_is_a_shell_line_or_words_and_gets_what_was_said_before),
		cmocka_unit_test(what_installs_an_agent_names_its_version_and_nothing_else_of_the_caller),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
