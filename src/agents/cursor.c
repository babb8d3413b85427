/*
 * cursor: Cursor's CLI, from its documentation (it is not on npm and was not run here): `agent -p --output-format stream-json`, the shape of
 * Claude Code's lines but for thoughts, which come in pieces, and tools, which are objects named after the tool. It tells no usage.
 */
#include "agents/agent_priv.h"
#include "base/scope.h"

static int turn(const struct agent_request *request, struct agent_turn *out, struct err *err)
{
	static const char *const words[] = {"-p",      "--output-format", "stream-json", "--force",
					    "--trust", "--approve-mcps",  "--sandbox",   "disabled"};

	(void)err;
	agent_argv_begin(out, &request->blueprint->agent.run, "agent");
	agent_argv_options(out, request, words, ARRAY_LEN(words), "--model", "--resume");
	agent_tools_cursor(out);
	return 0;
}

static void thought_end(struct agent_parser *parser, struct agent_sink sink)
{
	agent_said_end(parser, sink, AGENT_THOUGHT);
}

static void assistant(struct agent_parser *parser, const json_t *message, struct agent_sink sink)
{
	size_t index;
	json_t *block;

	json_array_foreach(json_member(message, "content"), index, block)
		if (json_text(block, "text", NULL))
			agent_say(parser, sink, AGENT_MESSAGE, json_text(block, "text", ""));
}

/* {"shellToolCall": {"args": {…}, "result": {"success": {…}} or {"error": …}}} */
static void tool_call(struct agent_parser *parser, const json_t *from, struct agent_sink sink)
{
	bool begun = strcmp(json_text(from, "subtype", ""), "started") == 0;
	const char *id = json_text(from, "call_id", NULL);
	json_t *calls = json_member(from, "tool_call");
	const char *name;
	json_t *call;

	json_object_foreach(calls, name, call) {
		size_t length = strlen(name);
		AUTO_FREE char *tool = text_format(
			"%.*s", (int)(length > 8 && strcmp(name + length - 8, "ToolCall") == 0 ? length - 8 : length), name);
		const json_t *args = json_member(call, "args");
		const json_t *success = json_member(json_member(call, "result"), "success");
		AUTO_BUF text = buf_new((size_t)2 << 20);

		if (strcmp(tool, "updateTodos") == 0 || strcmp(tool, "todoWrite") == 0) {
			if (begun)
				agent_plan(parser, sink, json_member(args, "todos"), "content", "status", NULL);
			return;
		}
		if (begun) {
			agent_act(parser, sink, id, tool, NULL, args);
			return;
		}
		if (json_text(success, "stdout", NULL) || json_text(success, "stderr", NULL))
			buf_add_format(&text, "%s%s", json_text(success, "stdout", ""), json_text(success, "stderr", ""));
		else if (json_member(call, "result"))
			json_format(&text, json_member(call, "result"));
		agent_observe(parser, sink, id, success && json_number(success, "exitCode", 0) == 0, buf_view(&text));
		return;
	}
}

static void result(struct agent_parser *parser, const json_t *from, struct agent_sink sink)
{
	bool ok = strcmp(json_text(from, "subtype", ""), "success") == 0 && !json_flag(from, "is_error", true);
	const char *class = agent_text_class(json_text(from, "result", ""));
	json_t *event = json_object();

	(void)json_object_set_new(event, "ok", json_boolean(ok));
	if (!ok)
		(void)json_object_set_new(event, "error", json_string(class ? class : "crash"));
	agent_text_take(event, "text", from, "result");
	agent_emit(parser, sink, AGENT_END, event);
}

static void line(struct agent_parser *parser, struct view text, struct agent_sink sink)
{
	AUTO_JSON from = json_parse(text, NULL);
	const char *type = json_text(from, "type", "");
	const char *subtype = json_text(from, "subtype", "");

	if (strcmp(type, "thinking") == 0 && strcmp(subtype, "delta") == 0) {
		buf_add_text(&parser->said, json_text(from, "text", ""));
		return;
	}
	thought_end(parser, sink);
	if (strcmp(type, "system") == 0 && strcmp(subtype, "init") == 0) {
		json_t *event = json_object();

		agent_text_take(event, "session", from, "session_id");
		agent_text_take(event, "model", from, "model");
		agent_emit(parser, sink, AGENT_START, event);
	} else if (strcmp(type, "assistant") == 0) {
		assistant(parser, json_member(from, "message"), sink);
	} else if (strcmp(type, "tool_call") == 0) {
		tool_call(parser, from, sink);
	} else if (strcmp(type, "result") == 0) {
		result(parser, from, sink);
	} else if (strcmp(type, "user") != 0 && strcmp(type, "thinking") != 0) {
		agent_unknown(parser, text, sink);
	}
}

const struct agent_ops agent_cursor = {
	.name = "cursor",
	.package = {.command = "agent"},
	.resumes = true,
	.settings = (const char *const[]){".cursor", NULL},
	.settings_forced = (const char *const[]){".cursor/hooks.json", ".cursor/mcp.json", NULL},
	.key = "CURSOR_API_KEY",
	.turn = turn,
	.line = line,
	.output_end = thought_end,
};
