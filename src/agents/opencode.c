/*
 * opencode: OpenCode, as measured with 1.18.33: `opencode run --format json --auto --thinking`, prompt on standard input. Parts come whole, and
 * a tool only when it has ended. There is no terminal event: the turn is over when the output ends after a step whose reason is `stop` and
 * nothing failed. Tokens and cost are told for each step.
 */
#include "agents/agent_priv.h"
#include "base/scope.h"

static int turn(const struct agent_request *request, struct agent_turn *out, struct err *err)
{
	static const char *const words[] = {"run", "--format", "json", "--auto", "--thinking"};
	static const char *const off[] = {"OPENCODE_DISABLE_AUTOUPDATE", "OPENCODE_DISABLE_MODELS_FETCH",
					  "OPENCODE_DISABLE_LSP_DOWNLOAD", "OPENCODE_DISABLE_DEFAULT_PLUGINS"};

	(void)err;
	agent_argv_begin(out, &request->blueprint->agent.run, "opencode");
	agent_argv_options(out, request, words, ARRAY_LEN(words), "-m", "--session");
	agent_tools_opencode(out, request->settings);
	if (!request->settings)
		agent_env_add(&out->env, "OPENCODE_DISABLE_PROJECT_CONFIG", "1");
	for (size_t i = 0; i < ARRAY_LEN(off); i++)
		agent_env_add(&out->env, off[i], "1");
	return 0;
}

static void tool_use(struct agent_parser *parser, const json_t *part, struct agent_sink sink)
{
	const json_t *state = json_member(part, "state");
	const json_t *metadata = json_member(state, "metadata");
	const char *id = json_text(part, "callID", NULL);
	const char *tool = json_text(part, "tool", "");
	const char *output = json_text(state, "output", json_text(state, "error", ""));
	bool ok = strcmp(json_text(state, "status", ""), "completed") == 0 && json_number(metadata, "exit", 0) == 0;

	if (strcmp(tool, "todowrite") == 0 && ok) {
		agent_plan(parser, sink, json_member(json_member(state, "input"), "todos"), "content", "status", NULL);
		return;
	}
	agent_act(parser, sink, id, tool, NULL, json_member(state, "input"));
	agent_observe(parser, sink, id, ok, view_of(output));
}

static void step_finish(struct agent_parser *parser, const json_t *part)
{
	const json_t *tokens = json_member(part, "tokens");
	const json_t *cache = json_member(tokens, "cache");
	const json_t *cost = json_member(part, "cost");

	parser->input_tokens += json_number(tokens, "input", 0) + json_number(cache, "read", 0) + json_number(cache, "write", 0);
	parser->output_tokens += json_number(tokens, "output", 0) + json_number(tokens, "reasoning", 0);
	if (json_is_number(cost))
		parser->cost_usd += json_number_value(cost);
	parser->stopped = strcmp(json_text(part, "reason", ""), "stop") == 0;
}

static void error_line(struct agent_parser *parser, const json_t *error, struct agent_sink sink)
{
	const json_t *data = json_member(error, "data");
	const char *message = json_text(data, "message", json_text(error, "name", "an error"));
	int64_t status = json_number(data, "statusCode", 0);
	const char *class = agent_text_class(message);

	parser->failure = class && strcmp(class, "quota") == 0 ? class
			  : status                             ? agent_status_class(status)
			  : class                              ? class
							       : "crash";
	agent_observe(parser, sink, NULL, false, view_of(message));
	buf_clear(&parser->last);
	buf_add_text(&parser->last, message);
}

static void line(struct agent_parser *parser, struct view text, struct agent_sink sink)
{
	AUTO_JSON from = json_parse(text, NULL);
	const json_t *part = json_member(from, "part");
	const char *type = json_text(from, "type", "");

	if (!parser->started && json_text(from, "sessionID", NULL)) {
		json_t *event = json_object();

		agent_text_take(event, "session", from, "sessionID");
		agent_emit(parser, sink, AGENT_START, event);
	}
	if (strcmp(type, "reasoning") == 0)
		agent_say(parser, sink, AGENT_THOUGHT, json_text(part, "text", ""));
	else if (strcmp(type, "text") == 0)
		agent_say(parser, sink, AGENT_MESSAGE, json_text(part, "text", ""));
	else if (strcmp(type, "tool_use") == 0)
		tool_use(parser, part, sink);
	else if (strcmp(type, "step_finish") == 0)
		step_finish(parser, part);
	else if (strcmp(type, "error") == 0)
		error_line(parser, json_member(from, "error"), sink);
	else if (strcmp(type, "step_start") == 0)
		parser->stopped = false;
	else
		agent_unknown(parser, text, sink);
}

static void output_end(struct agent_parser *parser, struct agent_sink sink)
{
	bool ok = parser->stopped && !parser->failure;
	json_t *event = json_object();
	json_t *usage = json_object();

	parser->cut_off = !parser->stopped && !parser->failure;
	(void)json_object_set_new(usage, "input_tokens", json_integer(parser->input_tokens));
	(void)json_object_set_new(usage, "output_tokens", json_integer(parser->output_tokens));
	(void)json_object_set_new(usage, "cost_usd", json_real(parser->cost_usd));
	(void)json_object_set_new(event, "ok", json_boolean(ok));
	(void)json_object_set_new(event, "usage", usage);
	if (!ok)
		(void)json_object_set_new(event, "error", json_string(parser->failure ? parser->failure : "crash"));
	agent_text_set(event, "text", buf_view(&parser->last));
	agent_emit(parser, sink, AGENT_END, event);
}

const struct agent_ops agent_opencode = {
	.instructs = true,
	.name = "opencode",
	.resumes = true,
	.settings = (const char *const[]){".opencode", "opencode.json", "opencode.jsonc", NULL},
	.settings_forced = (const char *const[]){".opencode", NULL},
	.package = {"1.18.33", "opencode-linux-{arch}@{version}", "opencode-linux-{arch}/bin/opencode", "opencode"},
	.turn = turn,
	.line = line,
	.output_end = output_end,
};
