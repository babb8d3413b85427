/*
 * claude: Claude Code, as measured with 2.1.330: `claude -p --input-format stream-json --output-format stream-json --verbose`, one JSON
 * object a line both ways, in no fixed order of keys. One API message comes in several `assistant` lines. Failures say `subtype: success`
 * with `is_error: true`. `total_cost_usd` is cumulative over the session, also across --resume: it is passed on as session_cost_usd.
 *
 * Each prompt has a `result`. A message in the middle of a turn is an interrupt; when what was interrupted has had its result the message
 * is the next prompt of the same process. After the last result its standard input ends, and it leaves.
 */
#include "agents/agent_priv.h"

#include <stdlib.h>

#include "base/scope.h"

static int turn(const struct agent_request *request, struct agent_turn *out, struct err *err)
{
	static const char *const words[] = {"-p",
					    "--input-format",
					    "stream-json",
					    "--output-format",
					    "stream-json",
					    "--verbose",
					    "--dangerously-skip-permissions"};
	static const struct {
		const char *name;
		const char *value;
	} env[] = {
		{"IS_SANDBOX", "1"}, /* else it refuses to skip permissions as root */
		{"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"},
		{"CLAUDE_CODE_ENABLE_TODO_TOOLS", "1"}, /* these three: a plan in the stream */
		{"CLAUDE_CODE_ENABLE_TASKS", "0"},
		{"ENABLE_TOOL_SEARCH", "false"},
		{"CLAUDE_CODE_MAX_RETRIES", "3"}, /* a revoked key is told after seconds, not minutes */
	};

	(void)err;
	agent_argv_begin(out, &request->blueprint->agent.run, "claude");
	agent_argv_options(out, request, words, ARRAY_LEN(words), "--model", "--resume");
	agent_tools_claude(out);
	agent_settings_claude(out, request);
	for (size_t i = 0; i < ARRAY_LEN(env); i++)
		agent_env_add(&out->env, env[i].name, env[i].value);
	return 0;
}

/* ---- what it is told ---- */

static void say(struct agent_sink sink, json_t *line)
{
	AUTO_JSON owned = line;
	AUTO_BUF text = buf_new((size_t)32 << 20);

	json_format(&text, line);
	buf_add_char(&text, '\n');
	if (sink.send)
		sink.send(sink.self, buf_view(&text));
}

static void prompt_say(const char *text, struct agent_sink sink)
{
	json_t *message = json_pack("{s:s}", "role", "user");

	json_set_bytes(message, "content", view_of(text));
	say(sink, json_pack("{s:s, s:o}", "type", "user", "message", message));
}

static void begin(struct agent_parser *parser, const struct agent_request *request, struct agent_sink sink)
{
	AUTO_FREE char *text = agent_prompt(request, request->session != NULL);

	(void)parser;
	prompt_say(text, sink);
}

static bool message(struct agent_parser *parser, const char *text, struct agent_sink sink)
{
	agent_queue(parser, text);
	say(sink, json_pack("{s:s, s:s, s:{s:s}}", "type", "control_request", "request_id", "interrupt", "request", "subtype",
			    "interrupt"));
	return true;
}

/* ---- the plan ---- */

static void plan_emit(struct agent_parser *parser, json_t *items, struct agent_sink sink)
{
	json_t *event = json_object();

	(void)json_object_set_new(event, "items", items);
	agent_emit(parser, sink, AGENT_PLAN, event);
}

/* TodoWrite brings the whole plan each time; TaskCreate and TaskUpdate, where they are on, change one item. True when it was one of them. */
static bool plan_tool(struct agent_parser *parser, const char *tool, const json_t *input, struct agent_sink sink)
{
	if (strcmp(tool, "TodoWrite") == 0) {
		agent_plan(parser, sink, json_member(input, "todos"), "content", "status", NULL);
		return true;
	}
	if (!parser->plan)
		parser->plan = json_array();
	if (strcmp(tool, "TaskCreate") == 0) {
		if (json_array_size(parser->plan) < AGENT_PLAN_MAX)
			(void)json_array_append_new(parser->plan, agent_plan_item(json_text(input, "subject", ""), "pending"));
	} else if (strcmp(tool, "TaskUpdate") == 0) {
		uint64_t number = 0;
		json_t *item;

		(void)view_to_u64(view_of(json_text(input, "taskId", "")), &number);
		item = number ? json_array_get(parser->plan, number - 1) : NULL;
		if (item && json_text(input, "status", NULL)) {
			json_t *now = agent_plan_item(json_text(item, "text", ""), json_text(input, "status", ""));

			(void)json_object_update(item, now);
			json_decref(now);
		}
	} else {
		return false;
	}
	plan_emit(parser, json_deep_copy(parser->plan), sink);
	return true;
}

/* ---- messages ---- */

static void tool_use(struct agent_parser *parser, const json_t *block, struct agent_sink sink)
{
	const json_t *input = json_member(block, "input");
	const char *tool = json_text(block, "name", "");

	if (!plan_tool(parser, tool, input, sink))
		agent_act(parser, sink, json_text(block, "id", NULL), tool, NULL, input);
}

static void assistant(struct agent_parser *parser, const json_t *message, struct agent_sink sink)
{
	size_t index;
	json_t *block;

	json_array_foreach(json_member(message, "content"), index, block) {
		const char *type = json_text(block, "type", "");
		json_t *event = NULL;

		if (strcmp(type, "tool_use") == 0) {
			tool_use(parser, block, sink);
			continue;
		}
		if (strcmp(type, "thinking") != 0 && strcmp(type, "text") != 0)
			continue;
		event = json_object();
		agent_text_take(event, "text", block, type);
		agent_emit(parser, sink, strcmp(type, "text") == 0 ? AGENT_MESSAGE : AGENT_THOUGHT, event);
	}
}

/* A tool's result is a text, or a list of blocks with texts. */
static void result_text(json_t *event, const json_t *content)
{
	AUTO_BUF text = buf_new(AGENT_TEXT_MAX * 2);
	size_t index;
	json_t *block;

	if (json_is_string(content))
		buf_add(&text, json_string_value(content), json_string_length(content));
	json_array_foreach(content, index, block)
		buf_add_text(&text, json_text(block, "text", ""));
	agent_text_set(event, "text", buf_view(&text));
}

static void user(struct agent_parser *parser, const json_t *message, struct agent_sink sink)
{
	size_t index;
	json_t *block;

	json_array_foreach(json_member(message, "content"), index, block) {
		json_t *event;

		if (strcmp(json_text(block, "type", ""), "tool_result") != 0)
			continue;
		event = json_object();
		agent_text_take(event, "id", block, "tool_use_id");
		(void)json_object_set_new(event, "ok", json_boolean(!json_flag(block, "is_error", false)));
		result_text(event, json_member(block, "content"));
		agent_emit(parser, sink, AGENT_OBSERVATION, event);
	}
}

/* ---- errors and the end ---- */

static const char *result_class(const struct agent_parser *parser, const json_t *result)
{
	const char *by_text = agent_text_class(json_text(result, "result", ""));

	if (strncmp(json_text(result, "subtype", ""), "error_max", 9) == 0)
		return "limit";
	if (by_text && strcmp(by_text, "quota") == 0)
		return by_text;
	if (json_number(result, "api_error_status", 0))
		return agent_status_class(json_number(result, "api_error_status", 0));
	return by_text ? by_text : parser->failure ? parser->failure : "crash";
}

static void result(struct agent_parser *parser, const json_t *from, struct agent_sink sink)
{
	const json_t *usage = json_member(from, "usage");
	const json_t *cost = json_member(from, "total_cost_usd");
	bool ok = !json_flag(from, "is_error", true) && strcmp(json_text(from, "subtype", ""), "success") == 0;
	AUTO_FREE char *next = TAKE(parser->queued);
	AUTO_JSON event = json_object();
	json_t *counted = json_object();
	int64_t input = json_number(usage, "input_tokens", 0) + json_number(usage, "cache_creation_input_tokens", 0) +
			json_number(usage, "cache_read_input_tokens", 0);

	parser->input_tokens += input;
	parser->output_tokens += json_number(usage, "output_tokens", 0);
	(void)json_object_set_new(counted, "input_tokens", json_integer(parser->input_tokens));
	(void)json_object_set_new(counted, "output_tokens", json_integer(parser->output_tokens));
	if (json_is_number(cost))
		(void)json_object_set_new(counted, "session_cost_usd", json_real(json_number_value(cost)));
	(void)json_object_set_new(event, "ok", json_boolean(ok));
	(void)json_object_set_new(event, "usage", counted);
	if (!ok)
		(void)json_object_set_new(event, "error", json_string(result_class(parser, from)));
	agent_text_take(event, "text", from, "result");
	if (!json_member(event, "text"))
		agent_text_take(event, "text", json_array_get(json_member(from, "errors"), 0) ? from : NULL, "terminal_reason");
	parser->acting = 0;
	if (next) {
		prompt_say(next, sink);
		return;
	}
	agent_emit(parser, sink, AGENT_END, TAKE(event));
	if (sink.send_end)
		sink.send_end(sink.self);
}

static void system_line(struct agent_parser *parser, const json_t *from, struct agent_sink sink)
{
	const char *subtype = json_text(from, "subtype", "");
	json_t *event;

	if (strcmp(subtype, "init") == 0) {
		event = json_object();
		agent_text_take(event, "session", from, "session_id");
		agent_text_take(event, "model", from, "model");
		agent_emit(parser, sink, AGENT_START, event);
	} else if (strcmp(subtype, "api_retry") == 0) {
		AUTO_FREE char *text = text_format("the model's API answered %lld (%s); try %lld of %lld",
						   (long long)json_number(from, "error_status", 0), json_text(from, "error", "?"),
						   (long long)json_number(from, "attempt", 0),
						   (long long)json_number(from, "max_retries", 0));

		parser->failure = agent_status_class(json_number(from, "error_status", 500));
		parser->hopeless = strcmp(parser->failure, "auth") == 0 || strcmp(parser->failure, "quota") == 0;
		if (parser->hopeless)
			agent_last_set(parser, text);
		agent_observe(parser, sink, NULL, false, view_of(text));
	}
}

static void line(struct agent_parser *parser, struct view text, struct agent_sink sink)
{
	AUTO_JSON from = json_parse(text, NULL);
	const char *type = json_text(from, "type", "");

	if (strcmp(type, "assistant") == 0)
		assistant(parser, json_member(from, "message"), sink);
	else if (strcmp(type, "user") == 0)
		user(parser, json_member(from, "message"), sink);
	else if (strcmp(type, "system") == 0)
		system_line(parser, from, sink);
	else if (strcmp(type, "result") == 0)
		result(parser, from, sink);
}

const struct agent_ops agent_claude = {
	.instructs = true,
	.name = "claude",
	.resumes = true,
	.settings = (const char *const[]){".claude", ".mcp.json", NULL},
	.key = "ANTHROPIC_API_KEY",
	.package = {"2.1.330", "@anthropic-ai/claude-code-linux-{arch}@{version}", "@anthropic-ai/claude-code-linux-{arch}/claude",
		    "claude"},
	.turn = turn,
	.line = line,
	.begin = begin,
	.message = message,
};
