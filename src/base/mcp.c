/* What a line of the protocol means. */
#include "base/mcp.h"

#include <string.h>

#include "base/scope.h"

enum { PARSE_ERROR = -32700, INVALID_REQUEST = -32600, METHOD_NOT_FOUND = -32601, INVALID_PARAMS = -32602 };

/* Newest first: what is offered to a client that asks for another. */
static const char *const versions[] = {"2025-11-25", "2025-06-18", "2024-11-05"};

static json_t *message_new(const json_t *id)
{
	json_t *message = json_pack("{s:s}", "jsonrpc", "2.0");

	(void)json_object_set(message, "id", (json_t *)(uintptr_t)id);
	return message;
}

static void result_send(const struct mcp_server *mcp, const json_t *id, json_t *result)
{
	AUTO_JSON message = message_new(id);

	(void)json_object_set_new(message, "result", result);
	mcp->send(mcp->self, message);
}

static void error_send(const struct mcp_server *mcp, const json_t *id, int code, const char *text)
{
	AUTO_JSON message = json_pack("{s:s}", "jsonrpc", "2.0");
	json_t *error = json_pack("{s:i}", "code", code);

	json_set_bytes(error, "message", view_of(text));
	(void)json_object_set_new(message, "id", id ? json_incref((json_t *)(uintptr_t)id) : json_null());
	(void)json_object_set_new(message, "error", error);
	mcp->send(mcp->self, message);
}

static json_t *text_content(const char *text)
{
	json_t *content = json_pack("{s:s}", "type", "text");

	json_set_bytes(content, "text", view_of(text));
	return content;
}

void mcp_server_answer(const struct mcp_server *mcp, const json_t *id, const char *text, const char *png_base64, bool failed)
{
	json_t *content = json_array();

	if (*text || !png_base64)
		(void)json_array_append_new(content, text_content(text));
	if (png_base64)
		(void)json_array_append_new(
			content, json_pack("{s:s, s:s, s:s}", "type", "image", "data", png_base64, "mimeType", "image/png"));
	result_send(mcp, id, json_pack("{s:o, s:b}", "content", content, "isError", failed));
}

void mcp_server_progress(const struct mcp_server *mcp, const json_t *token, int64_t count, const char *text)
{
	json_t *params = json_pack("{s:I}", "progress", (json_int_t)count);
	AUTO_JSON message = json_pack("{s:s, s:s}", "jsonrpc", "2.0", "method", "notifications/progress");

	(void)json_object_set(params, "progressToken", (json_t *)(uintptr_t)token);
	json_set_bytes(params, "message", view_of(text));
	(void)json_object_set_new(message, "params", params);
	mcp->send(mcp->self, message);
}

/* ---- methods ---- */

static void initialize(const struct mcp_server *mcp, const json_t *id, const json_t *params)
{
	const char *asked = json_text(params, "protocolVersion", "");
	const char *version = versions[0];

	for (size_t i = 0; i < ARRAY_LEN(versions); i++)
		if (strcmp(versions[i], asked) == 0)
			version = versions[i];
	result_send(mcp, id,
		    json_pack("{s:s, s:{s:{s:b}}, s:{s:s, s:s, s:s}, s:s}", "protocolVersion", version, "capabilities", "tools",
			      "listChanged", 0, "serverInfo", "name", mcp->name, "title", mcp->title, "version", ASSAY_VERSION,
			      "instructions", mcp->instructions));
}

static void ping(const struct mcp_server *mcp, const json_t *id, const json_t *params)
{
	(void)params;
	result_send(mcp, id, json_object());
}

static void tools_list(const struct mcp_server *mcp, const json_t *id, const json_t *params)
{
	(void)params;
	result_send(mcp, id, json_pack("{s:o}", "tools", mcp->tools(mcp->self)));
}

/* What is wrong with the arguments is told as the tool's own failure, so that the model sees it and can mend it. */
static void tools_call(const struct mcp_server *mcp, const json_t *id, const json_t *params)
{
	const char *name = json_text(params, "name", "");
	const json_t *token = json_member(json_member(params, "_meta"), "progressToken");
	AUTO_FREE char *text = text_format("no tool `%.60s`", name);
	bool unknown = false;
	struct err err = {0};

	if (!json_is_string(token) && !json_is_integer(token))
		token = NULL;
	if (!mcp->call(mcp->self, id, name, json_member(params, "arguments"), token, &unknown, &err))
		return;
	if (unknown)
		error_send(mcp, id, INVALID_PARAMS, text);
	else
		mcp_server_answer(mcp, id, err.text, NULL, true);
}

static const struct {
	const char *name;
	void (*handle)(const struct mcp_server *mcp, const json_t *id, const json_t *params);
} methods[] = {
	{"initialize", initialize},
	{"ping", ping},
	{"tools/list", tools_list},
	{"tools/call", tools_call},
};

static void request_handle(const struct mcp_server *mcp, const json_t *id, const char *method, const json_t *params)
{
	AUTO_FREE char *unknown = text_format("no method `%.60s`", method);

	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		if (strcmp(methods[i].name, method) == 0) {
			methods[i].handle(mcp, id, params);
			return;
		}
	error_send(mcp, id, METHOD_NOT_FOUND, unknown);
}

void mcp_server_line_too_long(const struct mcp_server *mcp)
{
	error_send(mcp, NULL, PARSE_ERROR, "a message has at most 1 MiB");
}

void mcp_server_line(const struct mcp_server *mcp, struct view line)
{
	struct err err = {0};
	AUTO_JSON message = NULL;
	const json_t *id;
	const char *method;

	line = view_trim(line);
	if (!line.length)
		return;
	message = json_parse(line, &err);
	if (!message) {
		error_send(mcp, NULL, PARSE_ERROR, err.text);
		return;
	}
	id = json_member(message, "id");
	method = json_text(message, "method", NULL);
	if (!json_is_string(id) && !json_is_integer(id))
		id = NULL;
	if (!json_is_object(message) || strcmp(json_text(message, "jsonrpc", ""), "2.0") != 0 ||
	    (json_member(message, "id") && !id && method)) {
		error_send(mcp, id, INVALID_REQUEST, "this is no request of JSON-RPC 2.0");
		return;
	}
	if (method && id)
		request_handle(mcp, id, method, json_member(message, "params"));
	else if (method && strcmp(method, "notifications/cancelled") == 0 &&
		 json_member(json_member(message, "params"), "requestId"))
		mcp->cancel(mcp->self, json_member(json_member(message, "params"), "requestId"));
	else if (!method && !json_member(message, "result") && !json_member(message, "error"))
		error_send(mcp, id, INVALID_REQUEST, "a message has a method, a result or an error");
}
