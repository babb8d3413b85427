/*
 * acp, the other half: what the agent asks of us. Permission is given: the sandbox and the gateway are what forbids. Files and terminals are
 * asked of the program's own sandbox, so that an agent gets nothing here that its own tools would not give it. Each request is
 * answered exactly once, also one that is no good.
 */
#include "agents/acp_priv.h"

#include <stdlib.h>

#include "base/scope.h"

#define INVALID_REQUEST (-32600)
#define METHOD_NOT_FOUND (-32601)
#define INVALID_PARAMS (-32602)
#define FAILED (-32000)
#define RESOURCE_NOT_FOUND (-32002) /* agentclientprotocol.com, ErrorCode */

/* ---- permission ---- */

/* The option that allows the least: this once, before always. NULL: none allows. */
static const char *option_choose(const json_t *options)
{
	static const char *const kinds[] = {"allow_once", "allow_always"};
	size_t index;
	json_t *option;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		json_array_foreach(options, index, option)
			if (strcmp(json_text(option, "kind", ""), kinds[i]) == 0 && json_text(option, "optionId", NULL))
				return json_text(option, "optionId", "");
	return NULL;
}

static void permission(struct agent_parser *parser, json_t *id, const json_t *params, struct agent_sink sink)
{
	const char *option = option_choose(json_member(params, "options"));
	json_t *outcome;

	if (json_member(params, "toolCall"))
		acp_call(parser, json_member(params, "toolCall"), sink);
	if (option && !parser->queued)
		outcome = json_pack("{s:s, s:s}", "outcome", "selected", "optionId", option);
	else
		outcome = json_pack("{s:s}", "outcome", "cancelled");
	acp_reply(sink, id, json_pack("{s:o}", "outcome", outcome));
}

/* ---- files and terminals ---- */

/* Each makes the ask of the request's parameters; NULL: they are not what they must be. */
static json_t *ask_read(const json_t *params)
{
	const char *path = json_text(params, "path", "");
	json_t *ask;

	if (path[0] != '/')
		return NULL;
	ask = json_pack("{s:s, s:s}", "ask", "read", "path", path);
	if (json_number(params, "line", 0) > 0)
		(void)json_object_set_new(ask, "line", json_integer(json_number(params, "line", 0)));
	if (json_number(params, "limit", 0) > 0)
		(void)json_object_set_new(ask, "limit", json_integer(json_number(params, "limit", 0)));
	return ask;
}

static json_t *ask_write(const json_t *params)
{
	const char *path = json_text(params, "path", "");
	json_t *content = json_member(params, "content");

	if (path[0] != '/' || !json_is_string(content))
		return NULL;
	return json_pack("{s:s, s:s, s:O}", "ask", "write", "path", path, "content", content);
}

/* Some agents give a line for a shell as the command. */
static json_t *words_of(const char *command, const json_t *args)
{
	json_t *words = json_array();
	size_t index;
	json_t *word;

	if (!json_array_size(args) && strpbrk(command, " \t\n;|&$<>(")) {
		(void)json_array_append_new(words, json_string("sh"));
		(void)json_array_append_new(words, json_string("-c"));
	}
	(void)json_array_append_new(words, json_string(command));
	json_array_foreach(args, index, word)
		if (json_is_string(word))
			(void)json_array_append(words, word);
	return words;
}

static json_t *ask_run(const json_t *params)
{
	const char *command = json_text(params, "command", "");
	const char *dir = json_text(params, "cwd", NULL);
	int64_t most = json_number(params, "outputByteLimit", ACP_OUTPUT_BYTES_MAX);
	json_t *env = json_object();
	json_t *ask;
	size_t index;
	json_t *variable;

	json_array_foreach(json_member(params, "env"), index, variable) {
		const char *name = json_text(variable, "name", "");

		if (*name && !strchr(name, '='))
			(void)json_object_set_new(env, name, json_string(json_text(variable, "value", "")));
	}
	if (!*command || (dir && dir[0] != '/')) {
		json_decref(env);
		return NULL;
	}
	most = most < 0 || most > ACP_OUTPUT_BYTES_MAX ? ACP_OUTPUT_BYTES_MAX : most;
	ask = json_pack("{s:s, s:o, s:o, s:I}", "ask", "run", "argv", words_of(command, json_member(params, "args")), "env", env,
			"bytes_max", (json_int_t)most);
	if (dir)
		(void)json_object_set_new(ask, "dir", json_string(dir));
	return ask;
}

static json_t *ask_terminal(const json_t *params, const char *what)
{
	const char *terminal = json_text(params, "terminalId", NULL);

	return terminal ? json_pack("{s:s, s:s}", "ask", what, "terminal", terminal) : NULL;
}

static json_t *ask_output(const json_t *params)
{
	return ask_terminal(params, "output");
}

static json_t *ask_wait(const json_t *params)
{
	return ask_terminal(params, "wait");
}

static json_t *ask_kill(const json_t *params)
{
	return ask_terminal(params, "kill");
}

static json_t *ask_release(const json_t *params)
{
	return ask_terminal(params, "release");
}

static const struct {
	const char *method;
	json_t *(*ask)(const json_t *params);
} methods[] = {
	{"fs/read_text_file", ask_read},   {"fs/write_text_file", ask_write},    {"terminal/create", ask_run},
	{"terminal/output", ask_output},   {"terminal/wait_for_exit", ask_wait}, {"terminal/kill", ask_kill},
	{"terminal/release", ask_release},
};

/* `ask` and `id` are stolen. */
static void pass_on(struct agent_parser *parser, json_t *id, json_t *ask, struct agent_sink sink)
{
	struct acp *acp = acp_of(parser);
	AUTO_JSON owned = ask;
	char number[16];

	if (!ask) {
		acp_refuse(sink, id, INVALID_PARAMS, "these parameters are not what the protocol says");
		return;
	}
	if (!sink.ask || json_object_size(acp->asks) >= ACP_ASKS_MAX) {
		acp_refuse(sink, id, FAILED, "too many requests are open");
		return;
	}
	(void)snprintf(number, sizeof(number), "%u", ++acp->ask_last);
	(void)json_object_set_new(acp->asks, number, id);
	sink.ask(sink.self, acp->ask_last, ask);
}

void acp_answer(struct agent_parser *parser, uint32_t id, const json_t *result, const char *error, struct agent_sink sink)
{
	struct acp *acp = acp_of(parser);
	char number[16];
	json_t *asked;

	(void)snprintf(number, sizeof(number), "%u", id);
	asked = json_incref(json_object_get(acp->asks, number));
	if (!asked)
		return;
	(void)json_object_del(acp->asks, number);
	/* Who wants to write a new file reads it first, and must be able to tell that it is not there: Gemini by these words. */
	if (error && strstr(error, "No such file or directory"))
		acp_refuse(sink, asked, RESOURCE_NOT_FOUND, "Resource not found (ENOENT): no such file");
	else if (error)
		acp_refuse(sink, asked, FAILED, error);
	else
		acp_reply(sink, asked, result ? json_deep_copy(result) : json_object());
}

/* A whole number or a short text; anything else is no id that we would say again. */
static bool id_valid(const json_t *id)
{
	return json_is_integer(id) || (json_is_string(id) && json_string_length(id) <= ACP_ID_BYTES_MAX);
}

void acp_serve(struct agent_parser *parser, const json_t *message, struct agent_sink sink)
{
	const char *method = json_text(message, "method", "");
	const json_t *params = json_member(message, "params");
	const char *session = json_text(params, "sessionId", NULL);
	json_t *id = json_incref(json_member(message, "id"));

	if (!id_valid(id)) {
		json_decref(id);
		acp_refuse(sink, json_null(), INVALID_REQUEST, "this is no id of a request");
		return;
	}
	if (session && parser->session && strcmp(session, parser->session) != 0) {
		acp_refuse(sink, id, INVALID_PARAMS, "there is no such session");
		return;
	}
	if (strcmp(method, "session/request_permission") == 0) {
		permission(parser, id, params, sink);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		if (strcmp(method, methods[i].method) == 0) {
			pass_on(parser, id, methods[i].ask(params), sink);
			return;
		}
	}
	acp_refuse(sink, id, METHOD_NOT_FOUND, "there is no such method here");
}
