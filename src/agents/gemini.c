/*
 * gemini: Google's Gemini CLI, as measured with 0.61.0: `gemini --output-format stream-json --approval-mode yolo`, prompt on standard input.
 * Messages come in pieces. A command that fails is told as a success, and so is being stopped: exit code 0, but no `result`. Without its
 * settings in HOME it refuses to run headless, asks for trust, and sends statistics.
 */
#include "agents/agent_priv.h"
#include "base/scope.h"

static const char settings[] =
	"{\"security\":{\"auth\":{\"selectedType\":\"gemini-api-key\"}},\"privacy\":{\"usageStatisticsEnabled\":false},"
	"\"general\":{\"enableAutoUpdate\":false,\"enableAutoUpdateNotification\":false},\"telemetry\":{\"enabled\":false},"
	"\"context\":{\"fileName\":[\"AGENTS.md\",\"GEMINI.md\"]},\"experimental\":{\"taskTracker\":true},"
	"\"hooks\":{\"AfterAgent\":[{\"hooks\":[{\"type\":\"command\",\"command\":\"" AGENT_GATE " deny\",\"timeout\":" AGENT_GATE_S
	"000}]}]},\"mcpServers\":{\"assay\":{\"command\":\"" AGENT_TOOLS_PROGRAM
	"\",\"args\":[\"mcp\"],\"trust\":true,\"timeout\":3600000}}}\n";

static int turn(const struct agent_request *request, struct agent_turn *out, struct err *err)
{
	static const char *const words[] = {"--output-format", "stream-json", "--approval-mode", "yolo"};

	(void)err;
	agent_argv_begin(out, &request->blueprint->agent.run, "gemini");
	agent_argv_options(out, request, words, ARRAY_LEN(words), "-m", "--resume");
	if (!request->settings) {
		agent_argv_add(out, "--allowed-mcp-server-names");
		agent_argv_add(out, "assay");
	}
	agent_env_add(&out->env, "GEMINI_CLI_TRUST_WORKSPACE", "true"); /* else yolo silently becomes `default` */
	agent_env_add(&out->env, "GEMINI_CLI_NO_RELAUNCH", "true");     /* one process, which heeds signals */
	agent_env_add(&out->files, ".gemini/settings.json", settings);
	agent_env_add(&out->files, ".gemini/GEMINI.md", agent_tools_text);
	return 0;
}

/* The message that came in pieces is whole when something else comes. */
static void said_end(struct agent_parser *parser, struct agent_sink sink)
{
	agent_said_end(parser, sink, AGENT_MESSAGE);
}

static void message(struct agent_parser *parser, const json_t *from, struct agent_sink sink)
{
	if (strcmp(json_text(from, "role", ""), "assistant") != 0)
		return; /* our own prompt */
	if (!json_flag(from, "delta", false))
		said_end(parser, sink);
	buf_add_text(&parser->said, json_text(from, "content", ""));
}

/* The tracker changes one task at a time, which it names by its title or by a number. */
static void tracker(struct agent_parser *parser, const char *tool, const json_t *input, struct agent_sink sink)
{
	const char *title = json_text(input, "title", NULL);
	json_t *event;

	if (!parser->plan)
		parser->plan = json_array();
	if (strcmp(tool, "tracker_create_task") == 0 && title && json_array_size(parser->plan) < AGENT_PLAN_MAX)
		(void)json_array_append_new(parser->plan, agent_plan_item(title, "pending"));
	else if (strcmp(tool, "tracker_update_task") == 0 && title) {
		size_t index;
		json_t *item;

		json_array_foreach(parser->plan, index, item)
			if (strcmp(json_text(item, "text", ""), title) == 0)
				(void)json_array_set_new(parser->plan, index,
							 agent_plan_item(title, json_text(input, "status", "")));
	} else {
		return;
	}
	event = json_object();
	(void)json_object_set_new(event, "items", json_deep_copy(parser->plan));
	agent_emit(parser, sink, AGENT_PLAN, event);
}

static void tool_use(struct agent_parser *parser, const json_t *from, struct agent_sink sink)
{
	const char *tool = json_text(from, "tool_name", "");
	const json_t *input = json_member(from, "parameters");

	if (strcmp(tool, "write_todos") == 0)
		agent_plan(parser, sink, json_member(input, "todos"), "description", "status", NULL);
	else if (strcmp(tool, "update_topic") == 0) /* narration */
		agent_say(parser, sink, AGENT_THOUGHT, json_text(input, "summary", json_text(input, "title", "")));
	else if (strncmp(tool, "tracker_", 8) == 0)
		tracker(parser, tool, input, sink);
	else
		agent_act(parser, sink, json_text(from, "tool_id", NULL), tool, NULL, input);
}

static void result(struct agent_parser *parser, const json_t *from, struct agent_sink sink)
{
	const json_t *stats = json_member(from, "stats");
	const char *message_text = json_text(json_member(from, "error"), "message", "");
	const char *class = agent_text_class(message_text);
	bool ok = strcmp(json_text(from, "status", ""), "success") == 0;
	json_t *event = json_object();
	json_t *usage = json_object();

	(void)json_object_set_new(usage, "input_tokens", json_integer(json_number(stats, "input_tokens", 0)));
	(void)json_object_set_new(usage, "output_tokens", json_integer(json_number(stats, "output_tokens", 0)));
	(void)json_object_set_new(event, "ok", json_boolean(ok));
	(void)json_object_set_new(event, "usage", usage);
	if (!ok)
		(void)json_object_set_new(event, "error", json_string(class ? class : "crash"));
	agent_text_set(event, "text", ok ? buf_view(&parser->last) : view_of(message_text));
	agent_emit(parser, sink, AGENT_END, event);
}

static void line(struct agent_parser *parser, struct view text, struct agent_sink sink)
{
	AUTO_JSON from = json_parse(text, NULL);
	const char *type = json_text(from, "type", "");

	if (strcmp(type, "message") == 0) {
		message(parser, from, sink);
		return;
	}
	said_end(parser, sink);
	if (strcmp(type, "init") == 0) {
		json_t *event = json_object();

		agent_text_take(event, "session", from, "session_id");
		agent_text_take(event, "model", from, "model");
		agent_emit(parser, sink, AGENT_START, event);
	} else if (strcmp(type, "tool_use") == 0) {
		tool_use(parser, from, sink);
	} else if (strcmp(type, "tool_result") == 0) {
		agent_observe(parser, sink, json_text(from, "tool_id", NULL), strcmp(json_text(from, "status", ""), "success") == 0,
			      view_of(json_text(from, "output", "")));
	} else if (strcmp(type, "result") == 0) {
		result(parser, from, sink);
	} else {
		agent_unknown(parser, text, sink);
	}
}

const struct agent_ops agent_gemini = {
	.instructs = true,
	.name = "gemini",
	.resumes = true,
	.settings = (const char *const[]){".gemini", NULL},
	.settings_forced = (const char *const[]){".gemini/settings.json", NULL}, /* its hooks */
	.key = "GEMINI_API_KEY",
	.package = {"0.61.0", "@google/gemini-cli@{version}", "@google/gemini-cli/bundle/gemini.js", "gemini"},
	.turn = turn,
	.line = line,
	.output_end = said_end,
};
