/*
 * codex: OpenAI's Codex CLI, as measured with 0.169.0: `codex exec --json`, prompt on standard input. A plan comes only when it is asked for;
 * `error` at the top is no failure while it reconnects; token counts are cumulative over the thread, also across `resume`.
 * OPENAI_API_KEY alone is ignored by `codex exec`: it is given as CODEX_API_KEY too. OPENAI_BASE_URL becomes its configuration key.
 */
#include "agents/agent_priv.h"
#include "base/scope.h"

static const char *env_find(const struct agent_request *request, const char *name)
{
	const struct variables *env = &request->blueprint->agent.env;

	for (size_t i = 0; i < env->count; i++)
		if (strcmp(env->at[i].name, name) == 0)
			return env->at[i].value;
	return NULL;
}

static int turn(const struct agent_request *request, struct agent_turn *out, struct err *err)
{
	static const char *const words[] = {
		"--json",
		"--dangerously-bypass-approvals-and-sandbox", /* the sandbox is ours */
		"--skip-git-repo-check",
		"-c",
		"tools.update_plan.enabled=true",
		"-c",
		"check_for_update_on_startup=false",
		"-c",
		"analytics.enabled=false",
		"-c",
		"features.plugins=false",
		"-c",
		"features.apps=false",
		"-c",
		"features.api_key_model_discovery=false", /* else the key goes to chatgpt.com too */
	};
	const char *base_url = env_find(request, "OPENAI_BASE_URL");
	const char *key = env_find(request, "OPENAI_API_KEY");

	(void)err;
	agent_argv_begin(out, &request->blueprint->agent.run, "codex");
	agent_argv_add(out, "exec");
	if (request->session)
		agent_argv_add(out, "resume");
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		agent_argv_add(out, words[i]);
	agent_tools_codex(out);
	agent_settings_codex(out, request);
	if (base_url) {
		AUTO_FREE char *setting = text_format("openai_base_url=\"%s\"", base_url);

		agent_argv_add(out, "-c");
		agent_argv_add(out, setting);
	}
	if (request->blueprint->agent.model) {
		agent_argv_add(out, "-m");
		agent_argv_add(out, request->blueprint->agent.model);
	}
	if (request->session)
		agent_argv_add(out, request->session);
	agent_argv_add(out, "-");
	if (key && !env_find(request, "CODEX_API_KEY"))
		agent_env_add(&out->env, "CODEX_API_KEY", key);
	return 0;
}

/* ---- items ---- */

static void command_item(struct agent_parser *parser, const json_t *item, bool begun, struct agent_sink sink)
{
	const char *id = json_text(item, "id", NULL);
	const char *output = json_text(item, "aggregated_output", "");

	if (begun)
		agent_act(parser, sink, id, "shell", NULL, item);
	else
		agent_observe(parser, sink, id, strcmp(json_text(item, "status", ""), "completed") == 0, view_of(output));
}

static void change_item(struct agent_parser *parser, const json_t *item, bool begun, struct agent_sink sink)
{
	const char *id = json_text(item, "id", NULL);
	AUTO_BUF paths = buf_new(AGENT_TEXT_MAX);
	size_t index;
	json_t *change;

	json_array_foreach(json_member(item, "changes"), index, change)
		buf_add_format(&paths, "%s%s %s", index ? ", " : "", json_text(change, "kind", "change"),
			       json_text(change, "path", "?"));
	if (begun)
		agent_act(parser, sink, id, "edit", buf_view(&paths).at, item);
	else
		agent_observe(parser, sink, id, strcmp(json_text(item, "status", ""), "completed") == 0, buf_view(&paths));
}

static void tool_item(struct agent_parser *parser, const json_t *item, bool begun, struct agent_sink sink)
{
	const char *id = json_text(item, "id", NULL);
	const json_t *error = json_member(item, "error");
	AUTO_FREE char *tool = text_format("%s.%s", json_text(item, "server", "mcp"), json_text(item, "tool", "?"));
	AUTO_BUF text = buf_new(AGENT_TEXT_MAX * 2);
	size_t index;
	json_t *block;

	if (begun) {
		agent_act(parser, sink, id, tool, NULL, json_member(item, "arguments"));
		return;
	}
	json_array_foreach(json_member(json_member(item, "result"), "content"), index, block)
		buf_add_text(&text, json_text(block, "text", ""));
	if (json_is_object(error))
		buf_add_text(&text, json_text(error, "message", ""));
	agent_observe(parser, sink, id, strcmp(json_text(item, "status", ""), "completed") == 0, buf_view(&text));
}

/* An error on the way: it says what a failure will have been. */
static void trouble(struct agent_parser *parser, const char *message, struct agent_sink sink)
{
	const char *class = agent_text_class(message);

	if (class)
		parser->failure = class;
	if (strstr(message, "unexpected status 401") || strstr(message, "unexpected status 403")) {
		parser->hopeless = true; /* it would try for 17 s */
		parser->failure = "auth";
		agent_last_set(parser, message);
	}
	agent_observe(parser, sink, NULL, false, view_of(message));
}

static void item_line(struct agent_parser *parser, const json_t *item, bool begun, struct view text, struct agent_sink sink)
{
	const char *type = json_text(item, "type", "");

	if (strcmp(type, "todo_list") == 0)
		agent_plan(parser, sink, json_member(item, "items"), "text", NULL, "completed");
	else if (strcmp(type, "command_execution") == 0)
		command_item(parser, item, begun, sink);
	else if (strcmp(type, "file_change") == 0)
		change_item(parser, item, begun, sink);
	else if (strcmp(type, "mcp_tool_call") == 0)
		tool_item(parser, item, begun, sink);
	else if (begun)
		return; /* of the others the completed item says all */
	else if (strcmp(type, "reasoning") == 0)
		agent_say(parser, sink, AGENT_THOUGHT, json_text(item, "text", ""));
	else if (strcmp(type, "agent_message") == 0)
		agent_say(parser, sink, AGENT_MESSAGE, json_text(item, "text", ""));
	else if (strcmp(type, "error") == 0)
		trouble(parser, json_text(item, "message", ""), sink);
	else
		agent_unknown(parser, text, sink);
}

/* ---- turns ---- */

static void turn_completed(struct agent_parser *parser, const json_t *usage, struct agent_sink sink)
{
	json_t *event = json_object();
	json_t *counted = json_object();

	(void)json_object_set_new(counted, "session_input_tokens", json_integer(json_number(usage, "input_tokens", 0)));
	(void)json_object_set_new(counted, "session_output_tokens", json_integer(json_number(usage, "output_tokens", 0)));
	(void)json_object_set_new(event, "ok", json_true());
	(void)json_object_set_new(event, "usage", counted);
	agent_text_set(event, "text", buf_view(&parser->last));
	agent_emit(parser, sink, AGENT_END, event);
}

static void turn_failed(struct agent_parser *parser, const json_t *error, struct agent_sink sink)
{
	const char *message = json_text(error, "message", "");
	const char *class = agent_text_class(message);
	json_t *event = json_object();

	(void)json_object_set_new(event, "ok", json_false());
	(void)json_object_set_new(event, "error", json_string(class ? class : parser->failure ? parser->failure : "crash"));
	agent_text_set(event, "text", view_of(message));
	agent_emit(parser, sink, AGENT_END, event);
}

static void line(struct agent_parser *parser, struct view text, struct agent_sink sink)
{
	AUTO_JSON from = json_parse(text, NULL);
	const char *type = json_text(from, "type", "");

	if (strcmp(type, "thread.started") == 0) {
		json_t *event = json_object();

		agent_text_take(event, "session", from, "thread_id");
		agent_emit(parser, sink, AGENT_START, event);
	} else if (strcmp(type, "item.started") == 0 || strcmp(type, "item.completed") == 0) {
		item_line(parser, json_member(from, "item"), strcmp(type, "item.started") == 0, text, sink);
	} else if (strcmp(type, "item.updated") == 0) {
		if (strcmp(json_text(json_member(from, "item"), "type", ""), "todo_list") == 0)
			item_line(parser, json_member(from, "item"), false, text, sink);
	} else if (strcmp(type, "turn.completed") == 0) {
		turn_completed(parser, json_member(from, "usage"), sink);
	} else if (strcmp(type, "turn.failed") == 0) {
		turn_failed(parser, json_member(from, "error"), sink);
	} else if (strcmp(type, "error") == 0) {
		trouble(parser, json_text(from, "message", ""), sink);
	} else if (strcmp(type, "turn.started") != 0) {
		agent_unknown(parser, text, sink);
	}
}

const struct agent_ops agent_codex = {
	.instructs = true,
	.name = "codex",
	.resumes = true,
	.key = "CODEX_API_KEY",
	.package = {"0.169.0", "codex@npm:@openai/codex@{version}-linux-{arch}", "codex/vendor/*/bin/codex", "codex"},
	.turn = turn,
	.line = line,
};
