/*
 * acp: any program that speaks the Agent Client Protocol, version 1 (agentclientprotocol.com): JSON-RPC 2.0, one message a line, over its
 * standard input and output. Measured with `gemini --acp` 0.61.0 and `opencode acp` 1.18.33.
 *
 * Theory of operation. We are the client: initialize, session/new or session/load, the model where one is wanted, session/prompt; its
 * answer is the terminal event, and then the program's standard input ends. One request of ours is open at a time, and only its
 * own number answers it. While a session is loaded the agent tells it again: that is not shown. Updates that no part of the protocol
 * explains are shown as they are. A message in the middle of a turn cancels the prompt; when that has been answered the message is the
 * next prompt of the same session.
 */
#include "agents/acp_priv.h"

#include <stdlib.h>

#include "base/scope.h"

#define AUTH_REQUIRED (-32000)

/* ---- messages ---- */

static void message_send(struct agent_sink sink, json_t *message)
{
	AUTO_JSON owned = message;
	AUTO_BUF line = buf_new((size_t)32 << 20);

	(void)json_object_set_new(message, "jsonrpc", json_string("2.0"));
	json_format(&line, message);
	buf_add_char(&line, '\n');
	if (sink.send)
		sink.send(sink.self, buf_view(&line));
}

void acp_notify(struct agent_sink sink, const char *method, json_t *params)
{
	message_send(sink, json_pack("{s:s, s:o}", "method", method, "params", params));
}

void acp_reply(struct agent_sink sink, json_t *id, json_t *result)
{
	message_send(sink, json_pack("{s:o, s:o}", "id", id, "result", result));
}

void acp_refuse(struct agent_sink sink, json_t *id, int code, const char *message)
{
	json_t *error = json_pack("{s:i}", "code", code);

	json_set_bytes(error, "message", view_of(message));
	message_send(sink, json_pack("{s:o, s:o}", "id", id, "error", error));
}

/* Each step has its own number, so that an answer to an earlier one is none to this. `params` is stolen. */
static void request(struct agent_parser *parser, enum acp_step step, const char *method, json_t *params, struct agent_sink sink)
{
	struct acp *acp = acp_of(parser);

	acp->step = step;
	acp->request = ++acp->request_last;
	message_send(sink, json_pack("{s:I, s:s, s:o}", "id", (json_int_t)acp->request, "method", method, "params", params));
}

/* ---- the end ---- */

static void end(struct agent_parser *parser, const char *class, struct view text, struct agent_sink sink)
{
	struct acp *acp = acp_of(parser);
	json_t *event = json_object();
	json_t *usage = json_object();

	agent_said_end(parser, sink, acp->saying);
	(void)json_object_set_new(usage, "input_tokens", json_integer(acp->input_tokens));
	(void)json_object_set_new(usage, "output_tokens", json_integer(acp->output_tokens));
	if (parser->session_cost_usd >= 0)
		(void)json_object_set_new(usage, "session_cost_usd", json_real(parser->session_cost_usd));
	(void)json_object_set_new(event, "ok", json_boolean(!class));
	(void)json_object_set_new(event, "usage", usage);
	if (class)
		(void)json_object_set_new(event, "error", json_string(class));
	agent_text_set(event, "text", class ? text : buf_view(&parser->last));
	acp->step = ACP_DONE;
	acp->request = 0;
	agent_emit(parser, sink, AGENT_END, event);
	if (sink.send_end)
		sink.send_end(sink.self);
}

/* An error of JSON-RPC: its class is read from the whole of it, since vendors put what they mean anywhere in it. */
static void end_error(struct agent_parser *parser, const char *what, const json_t *error, struct agent_sink sink)
{
	AUTO_BUF whole = buf_new((size_t)4 << 20);
	AUTO_BUF text = buf_new(AGENT_TEXT_MAX * 2);
	int64_t code = json_number(error, "code", 0);
	const char *class;

	json_format(&whole, error);
	buf_add_format(&text, "%s: %s", what, json_text(error, "message", "refused"));
	class = agent_text_class(buf_view(&whole).at);
	if (!class && code >= 400 && code < 600) /* some give the status of HTTP */
		class = agent_status_class(code);
	if (!class && acp_of(parser)->step < ACP_MODEL && code == AUTH_REQUIRED)
		class = "auth";
	end(parser, class ? class : "crash", buf_view(&text), sink);
}

/* ---- steps ---- */

static json_t *text_block(const char *text)
{
	json_t *block = json_pack("{s:s}", "type", "text");

	json_set_bytes(block, "text", view_of(text));
	return block;
}

static void prompt_send(struct agent_parser *parser, const char *text, struct agent_sink sink)
{
	request(parser, ACP_PROMPT, "session/prompt",
		json_pack("{s:s, s:[o]}", "sessionId", parser->session, "prompt", text_block(text)), sink);
}

static void initialize_send(struct agent_parser *parser, struct agent_sink sink)
{
	request(parser, ACP_INITIALIZE, "initialize",
		json_pack("{s:i, s:{s:{s:b, s:b}, s:b}, s:{s:s, s:s, s:s}}", "protocolVersion", ACP_VERSION, "clientCapabilities",
			  "fs", "readTextFile", 0, "writeTextFile", 1, "terminal", 1, "clientInfo", "name", "assay", "title",
			  "Assay", "version", "1"),
		sink);
}

static json_t *session_params(void)
{
	return json_pack("{s:s, s:o}", "cwd", ACP_ROOT, "mcpServers", agent_tools_acp());
}

static void session_new(struct agent_parser *parser, struct agent_sink sink)
{
	struct acp *acp = acp_of(parser);

	free(acp->wanted);
	acp->wanted = NULL;
	acp->loading = false;
	request(parser, ACP_SESSION, "session/new", session_params(), sink);
}

static void session_request(struct agent_parser *parser, struct agent_sink sink)
{
	struct acp *acp = acp_of(parser);
	json_t *params;

	if (!acp->wanted || !acp->can_load) {
		session_new(parser, sink);
		return;
	}
	params = session_params();
	json_set_bytes(params, "sessionId", view_of(acp->wanted));
	acp->loading = true;
	request(parser, ACP_SESSION, "session/load", params, sink);
}

/* A key is what a sandbox can have; signing in with a browser is not. */
static char *auth_method_choose(const json_t *auth_methods)
{
	const char *chosen = NULL;
	size_t index;
	json_t *method;

	json_array_foreach(auth_methods, index, method) {
		const char *id = json_text(method, "id", NULL);

		if (id && (strstr(id, "api-key") || strstr(id, "api_key") || strcmp(json_text(method, "type", ""), "env_var") == 0))
			return text_copy(id);
		chosen = chosen ? chosen : id;
	}
	return text_copy(chosen);
}

static void initialized(struct agent_parser *parser, const json_t *result, struct agent_sink sink)
{
	struct acp *acp = acp_of(parser);

	if (json_number(result, "protocolVersion", 0) != ACP_VERSION) {
		end(parser, "crash", VIEW("the agent does not speak version 1 of the Agent Client Protocol"), sink);
		return;
	}
	acp->can_load = json_flag(json_member(result, "agentCapabilities"), "loadSession", false);
	acp->auth_method = auth_method_choose(json_member(result, "authMethods"));
	session_request(parser, sink);
}

/* What session/new or session/load says of the model in use; NULL: nothing. */
static const char *model_in_use(const json_t *result)
{
	const char *model = json_text(json_member(result, "models"), "currentModelId", NULL);
	size_t index;
	json_t *option;

	json_array_foreach(json_member(result, "configOptions"), index, option)
		if (!model && strcmp(json_text(option, "id", ""), "model") == 0)
			model = json_text(option, "currentValue", NULL);
	return model;
}

static void session_ready(struct agent_parser *parser, const json_t *result, struct agent_sink sink)
{
	struct acp *acp = acp_of(parser);
	const char *model = model_in_use(result);
	const char *session = acp->loading ? acp->wanted : json_text(result, "sessionId", "");
	json_t *event = json_object();

	if (!*session || strlen(session) > ACP_ID_BYTES_MAX) {
		json_decref(event);
		end(parser, "crash", VIEW("the agent names no session"), sink);
		return;
	}
	agent_text_set(event, "session", view_of(session));
	if (acp->model || model)
		agent_text_set(event, "model", view_of(acp->model ? acp->model : model));
	agent_emit(parser, sink, AGENT_START, event);
	if (acp->loading) { /* it knows what was said */
		free(acp->whole_prompt);
		acp->whole_prompt = TAKE(acp->prompt);
	}
	acp->loading = false;
	if (!acp->model || (model && strcmp(model, acp->model) == 0))
		prompt_send(parser, acp->whole_prompt, sink);
	else if (json_member(result, "models"))
		request(parser, ACP_MODEL, "session/set_model",
			json_pack("{s:s, s:s}", "sessionId", parser->session, "modelId", acp->model), sink);
	else
		request(parser, ACP_MODEL, "session/set_config_option",
			json_pack("{s:s, s:s, s:s}", "sessionId", parser->session, "configId", "model", "value", acp->model), sink);
}

static void session_refused(struct agent_parser *parser, const json_t *error, struct agent_sink sink)
{
	struct acp *acp = acp_of(parser);

	if (json_number(error, "code", 0) == AUTH_REQUIRED && acp->auth_method && !acp->authenticated) {
		acp->authenticated = true;
		request(parser, ACP_AUTHENTICATE, "authenticate", json_pack("{s:s}", "methodId", acp->auth_method), sink);
	} else if (acp->loading) {
		agent_observe(parser, sink, NULL, false, VIEW("the earlier session cannot be loaded: a new one begins"));
		session_new(parser, sink);
	} else {
		end_error(parser, "no session", error, sink);
	}
}

static void usage_count(struct acp *acp, const json_t *result)
{
	const json_t *usage = json_member(result, "usage");
	const json_t *quota = json_member(json_member(json_member(result, "_meta"), "quota"), "token_count");

	acp->input_tokens += json_number(usage, "inputTokens", json_number(quota, "input_tokens", 0));
	acp->input_tokens += json_number(usage, "cachedReadTokens", 0) + json_number(usage, "cachedWriteTokens", 0);
	acp->output_tokens += json_number(usage, "outputTokens", json_number(quota, "output_tokens", 0));
}

static void prompt_ended(struct agent_parser *parser, const json_t *result, struct agent_sink sink)
{
	const char *reason = json_text(result, "stopReason", "");
	AUTO_FREE char *text = text_format("the agent stopped: %.100s", *reason ? reason : "it does not say why");
	AUTO_FREE char *next = TAKE(parser->queued);

	usage_count(acp_of(parser), result);
	parser->acting = 0;
	if (next)
		prompt_send(parser, next, sink);
	else if (strcmp(reason, "end_turn") == 0)
		end(parser, NULL, VIEW(""), sink);
	else
		end(parser, strncmp(reason, "max_", 4) == 0 ? "limit" : "crash", view_of(text), sink);
}

/* The answer to the request that is open. */
static void answered(struct agent_parser *parser, const json_t *message, struct agent_sink sink)
{
	struct acp *acp = acp_of(parser);
	const json_t *error = json_member(message, "error");
	const json_t *result = json_member(message, "result");

	acp->request = 0;
	agent_said_end(parser, sink, acp->saying);
	switch (acp->step) {
	case ACP_INITIALIZE:
		if (error)
			end_error(parser, "initialize", error, sink);
		else
			initialized(parser, result, sink);
		break;
	case ACP_AUTHENTICATE:
		if (error)
			end_error(parser, "signing in", error, sink);
		else
			session_request(parser, sink);
		break;
	case ACP_SESSION:
		if (error)
			session_refused(parser, error, sink);
		else
			session_ready(parser, result, sink);
		break;
	case ACP_MODEL:
		if (error)
			end_error(parser, "the model", error, sink);
		else
			prompt_send(parser, acp->whole_prompt, sink);
		break;
	case ACP_PROMPT:
		if (error && !parser->queued)
			end_error(parser, "the prompt", error, sink);
		else
			prompt_ended(parser, result, sink);
		break;
	case ACP_DONE:
		break;
	}
}

/* ---- updates ---- */

static void chunk(struct agent_parser *parser, const json_t *update, enum agent_event_kind kind, struct agent_sink sink)
{
	struct acp *acp = acp_of(parser);
	const json_t *content = json_member(update, "content");
	const char *text = json_text(content, "text", NULL);

	if (acp->saying != kind)
		agent_said_end(parser, sink, acp->saying);
	acp->saying = kind;
	if (text)
		buf_add_text(&parser->said, text);
	else
		buf_add_format(&parser->said, "[%.40s]", json_text(content, "type", "nothing"));
}

/* The text of a tool call's content, or else of its raw output. */
static void call_text(struct buf *out, const json_t *call)
{
	const json_t *raw = json_member(call, "rawOutput");
	const char *raw_text = json_is_string(raw) ? json_string_value(raw) : json_text(raw, "output", NULL);
	size_t index;
	json_t *item;

	json_array_foreach(json_member(call, "content"), index, item) {
		const char *type = json_text(item, "type", "");

		if (strcmp(type, "content") == 0)
			buf_add_text(out, json_text(json_member(item, "content"), "text", ""));
		else if (strcmp(type, "diff") == 0)
			buf_add_format(out, "%schanged %s", out->length ? "\n" : "", json_text(item, "path", "?"));
	}
	if (!out->length && raw_text)
		buf_add_text(out, raw_text);
}

/* What a person sees of it: its input, or where it acts. */
static void call_begin(struct agent_parser *parser, json_t *call, const char *id, struct agent_sink sink)
{
	const json_t *input = json_member(call, "rawInput");
	const char *path = json_text(json_array_get(json_member(call, "locations"), 0), "path", NULL);
	AUTO_JSON where = json_object();

	(void)json_object_set_new(call, "acted", json_true());
	if (path)
		json_set_bytes(where, "path", view_of(path));
	agent_act(parser, sink, id, json_text(call, "kind", "other"), json_text(call, "title", NULL),
		  json_is_object(input) && json_object_size(input) ? input
		  : path                                           ? where
								   : NULL);
}

/* Later updates bring only what changed. */
static json_t *call_merge(struct acp *acp, const char *id, const json_t *update)
{
	static const char *const kept[] = {"title", "kind", "status", "content", "locations", "rawInput", "rawOutput"};
	json_t *call = json_object_get(acp->calls, id);

	if (!call && json_object_size(acp->calls) >= ACP_CALLS_MAX)
		return NULL;
	if (!call) {
		call = json_object();
		(void)json_object_set_new(acp->calls, id, call);
	}
	for (size_t i = 0; i < ARRAY_LEN(kept); i++)
		if (json_member(update, kept[i]) && !json_is_null(json_member(update, kept[i])))
			(void)json_object_set(call, kept[i], json_member(update, kept[i]));
	return call;
}

void acp_call(struct agent_parser *parser, const json_t *update, struct agent_sink sink)
{
	struct acp *acp = acp_of(parser);
	AUTO_FREE char *id = text_copy(json_text(update, "toolCallId", ""));
	json_t *call = *id && strlen(id) <= ACP_ID_BYTES_MAX ? call_merge(acp, id, update) : NULL;
	const char *status = json_text(call, "status", "pending");
	bool good = strcmp(status, "completed") == 0;
	bool over = good || strcmp(status, "failed") == 0;
	AUTO_BUF text = buf_new(AGENT_LINE_MAX);

	if (!call)
		return;
	/* One that is pending is often not written to its end. */
	if (!json_member(call, "acted") && (over || strcmp(status, "in_progress") == 0))
		call_begin(parser, call, id, sink);
	if (!over)
		return;
	call_text(&text, call);
	agent_observe(parser, sink, id, good, buf_view(&text));
	(void)json_object_del(acp->calls, id);
}

static void usage_update(struct agent_parser *parser, const json_t *update)
{
	const json_t *cost = json_member(update, "cost");
	const json_t *amount = json_member(cost, "amount");

	if (json_is_number(amount) && json_number_value(amount) >= 0 && strcmp(json_text(cost, "currency", "USD"), "USD") == 0)
		parser->session_cost_usd = json_number_value(amount);
}

/* Of the protocol, and nothing for a person. */
static bool is_quiet(const char *kind)
{
	static const char *const quiet[] = {"user_message_chunk", "available_commands_update", "config_option_update",
					    "session_info_update"};

	for (size_t i = 0; i < ARRAY_LEN(quiet); i++)
		if (strcmp(kind, quiet[i]) == 0)
			return true;
	return false;
}

static void update_told(struct agent_parser *parser, const json_t *update, struct view line, struct agent_sink sink)
{
	const char *kind = json_text(update, "sessionUpdate", "");

	if (strcmp(kind, "agent_message_chunk") == 0) {
		chunk(parser, update, AGENT_MESSAGE, sink);
		return;
	}
	if (strcmp(kind, "agent_thought_chunk") == 0) {
		chunk(parser, update, AGENT_THOUGHT, sink);
		return;
	}
	if (is_quiet(kind))
		return;
	agent_said_end(parser, sink, acp_of(parser)->saying);
	if (strcmp(kind, "tool_call") == 0 || strcmp(kind, "tool_call_update") == 0) {
		acp_call(parser, update, sink);
	} else if (strcmp(kind, "plan") == 0) {
		agent_plan(parser, sink, json_member(update, "entries"), "content", "status", NULL);
	} else if (strcmp(kind, "usage_update") == 0) {
		usage_update(parser, update);
	} else if (strcmp(kind, "current_mode_update") == 0) {
		AUTO_FREE char *text = text_format("its mode is now %.100s", json_text(update, "currentModeId", "?"));

		agent_observe(parser, sink, NULL, true, view_of(text));
	} else {
		agent_unknown(parser, line, sink);
	}
}

static void line(struct agent_parser *parser, struct view text, struct agent_sink sink)
{
	AUTO_JSON message = json_parse(text, NULL);
	struct acp *acp = acp_of(parser);
	const char *method = json_text(message, "method", NULL);
	const json_t *id = json_member(message, "id");
	const json_t *params = json_member(message, "params");

	if (!acp || strcmp(json_text(message, "jsonrpc", ""), "2.0") != 0) {
		agent_unknown(parser, text, sink);
	} else if (method && id) {
		acp_serve(parser, message, sink);
	} else if (method && strcmp(method, "session/update") == 0 && parser->session && !acp->loading &&
		   strcmp(json_text(params, "sessionId", ""), parser->session) == 0) {
		update_told(parser, json_member(params, "update"), text, sink);
	} else if (method && strcmp(method, "session/update") != 0) {
		agent_unknown(parser, text, sink);
	} else if (!method && acp->request && json_is_integer(id) && json_integer_value(id) == (json_int_t)acp->request) {
		answered(parser, message, sink);
	}
}

/* ---- the row ---- */

static int turn(const struct agent_request *asked, struct agent_turn *out, struct err *err)
{
	const struct command *run = &asked->blueprint->agent.run;

	if (!run->shell && !run->argv)
		return err_set(err, ERR_INVALID, "agent.use is `acp`, but agent.run is missing: the program, as [gemini, --acp]");
	agent_argv_begin(out, run, NULL);
	return 0;
}

static void begin(struct agent_parser *parser, const struct agent_request *asked, struct agent_sink sink)
{
	struct acp *acp = mem_new(sizeof(*acp));

	parser->own = acp;
	acp->prompt = text_copy(asked->prompt);
	acp->whole_prompt = agent_prompt(asked, false);
	acp->wanted = text_copy(asked->session);
	acp->model = text_copy(asked->blueprint->agent.model);
	acp->saying = AGENT_MESSAGE;
	acp->calls = json_object();
	acp->asks = json_object();
	parser->session_cost_usd = -1;
	initialize_send(parser, sink);
}

static bool message(struct agent_parser *parser, const char *text, struct agent_sink sink)
{
	struct acp *acp = acp_of(parser);

	if (!acp || acp->step == ACP_DONE)
		return false;
	if (acp->step < ACP_PROMPT) {
		AUTO_FREE char *first = acp->whole_prompt;

		acp->whole_prompt = text_format("%s\n\n%s", first, text);
		return true;
	}
	agent_queue(parser, text);
	acp_notify(sink, "session/cancel", json_pack("{s:s}", "sessionId", parser->session));
	return true;
}

static void output_end(struct agent_parser *parser, struct agent_sink sink)
{
	if (parser->own)
		agent_said_end(parser, sink, acp_of(parser)->saying);
}

static void own_free(void *own)
{
	struct acp *acp = own;

	json_decref(acp->calls);
	json_decref(acp->asks);
	free(acp->auth_method);
	free(acp->prompt);
	free(acp->whole_prompt);
	free(acp->wanted);
	free(acp->model);
	free(acp);
}

const struct agent_ops agent_acp = {
	.name = "acp",
	.resumes = true,
	.turn = turn,
	.line = line,
	.output_end = output_end,
	.begin = begin,
	.message = message,
	.answer = acp_answer,
	.own_free = own_free,
};
