/*
 * command: any program of the user's. The prompt is its standard input. With `format: text` what it writes is its words and its exit code
 * the outcome; with `format: jsonl` each line is one of our seven events, {"type": "thought", …fields as in agent.h}; any of them may
 * say in its `usage` what the turn has cost so far.
 */
#include "agents/agent_priv.h"
#include "base/scope.h"

static int turn(const struct agent_request *request, struct agent_turn *out, struct err *err)
{
	const struct command *run = &request->blueprint->agent.run;

	if (!run->shell && !run->argv)
		return err_set(err, ERR_INVALID, "agent.use is `command`, but agent.run is missing");
	agent_argv_begin(out, run, NULL);
	if (request->blueprint->agent.model)
		agent_env_add(&out->env, "ASSAY_AGENT_MODEL", request->blueprint->agent.model);
	return 0;
}

static json_t *plan_of(const json_t *from)
{
	json_t *items = json_array();
	size_t index;
	json_t *item;

	json_array_foreach(json_member(from, "items"), index, item)
		if (index < AGENT_PLAN_MAX && json_text(item, "text", NULL))
			(void)json_array_append_new(items,
						    agent_plan_item(json_text(item, "text", ""), json_text(item, "state", "")));
	return items;
}

static json_t *usage_of(const json_t *from)
{
	json_t *usage = json_object();
	const json_t *cost = json_member(from, "cost_usd");

	(void)json_object_set_new(usage, "input_tokens", json_integer(json_number(from, "input_tokens", 0)));
	(void)json_object_set_new(usage, "output_tokens", json_integer(json_number(from, "output_tokens", 0)));
	(void)json_object_set_new(usage, "cost_usd", json_real(json_is_number(cost) ? json_number_value(cost) : 0.0));
	return usage;
}

/* Which fields each type has: nothing else is passed on. */
static const struct {
	const char *type;
	enum agent_event_kind kind;
	const char *texts[5];
} types[] = {
	{"start", AGENT_START, {"session", "model"}},
	{"thought", AGENT_THOUGHT, {"text"}},
	{"action", AGENT_ACTION, {"id", "tool", "title", "detail"}},
	{"observation", AGENT_OBSERVATION, {"id", "text"}},
	{"plan", AGENT_PLAN, {NULL}},
	{"message", AGENT_MESSAGE, {"text"}},
	{"end", AGENT_END, {"text", "error"}},
};

static void cost_take(struct agent_parser *parser, const json_t *from)
{
	const json_t *cost = json_member(json_member(from, "usage"), "cost_usd");

	if (json_is_number(cost) && json_number_value(cost) > parser->cost_usd)
		parser->cost_usd = json_number_value(cost);
}

static bool event_line(struct agent_parser *parser, const json_t *from, struct agent_sink sink)
{
	const char *type = json_text(from, "type", "");
	json_t *event;

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		if (strcmp(types[i].type, type) != 0)
			continue;
		cost_take(parser, from);
		event = json_object();
		for (size_t k = 0; types[i].texts[k]; k++)
			agent_text_take(event, types[i].texts[k], from, types[i].texts[k]);
		if (types[i].kind == AGENT_PLAN)
			(void)json_object_set_new(event, "items", plan_of(from));
		if (types[i].kind == AGENT_OBSERVATION || types[i].kind == AGENT_END)
			(void)json_object_set_new(event, "ok", json_boolean(json_flag(from, "ok", true)));
		if (types[i].kind == AGENT_END)
			(void)json_object_set_new(event, "usage", usage_of(json_member(from, "usage")));
		agent_emit(parser, sink, types[i].kind, event);
		return true;
	}
	return false;
}

static void words(struct agent_parser *parser, struct view line, enum agent_event_kind kind, struct agent_sink sink)
{
	json_t *event = json_object();

	agent_text_set(event, "text", line);
	if (kind == AGENT_OBSERVATION)
		(void)json_object_set_new(event, "ok", json_true());
	agent_emit(parser, sink, kind, event);
}

static void line(struct agent_parser *parser, struct view text, struct agent_sink sink)
{
	AUTO_JSON from = parser->json ? json_parse(text, NULL) : NULL;

	if (!parser->started && !parser->json)
		agent_emit(parser, sink, AGENT_START, json_object());
	if (!parser->json) {
		words(parser, text, AGENT_MESSAGE, sink);
		buf_add(&parser->last, text.at, text.length < AGENT_LAST_MAX ? text.length : AGENT_LAST_MAX);
		buf_add_char(&parser->last, '\n');
		if (parser->last.length > AGENT_LAST_MAX)
			buf_drop_front(&parser->last, parser->last.length - AGENT_LAST_MAX);
	} else if (!event_line(parser, from, sink)) {
		words(parser, text, AGENT_OBSERVATION, sink);
	}
}

const struct agent_ops agent_command = {
	.name = "command",
	.turn = turn,
	.line = line,
};
