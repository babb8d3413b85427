/* Calls of the tool API, and its server-sent events. */
#include "programs/assay_env_tool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"

#define TOOL_HOST "http://assay.internal"

/* ---- the tool API ---- */

static bool collect(void *self, struct view bytes)
{
	struct buf *into = self;

	buf_add_view(into, bytes);
	return !into->over;
}

static int tool_url(const char *path, char **text, struct env_url *url, struct err *err)
{
	const char *base = getenv("ASSAY_TOOL_URL"); /* for tests */

	*text = text_format("%s/tool/v1/%s", base ? base : TOOL_HOST, path);
	return env_url_parse(*text, url, err);
}

/* The message of an error answer. */
static int refused(int status, struct view body, struct err *err)
{
	AUTO_JSON answer = json_parse(body, NULL);

	return err_set(err, ERR_INVALID, "%s",
		       json_text(answer, "detail", status == 404 ? "this tool is not there" : "the request failed"));
}

static int call(struct env_request *request, const char *type, const char *path, struct buf *out, struct err *err)
{
	AUTO_FREE char *header = text_format("Content-Type: %s", type);
	AUTO_FREE char *text = NULL;
	struct env_response response = {.bytes = collect, .self = out, .head = buf_new(ENV_HTTP_HEAD_MAX)};
	int status;

	request->headers = (const char *const[]){header};
	request->header_count = 1;
	request->silence_ms = TOOL_SILENCE_MS;
	status = tool_url(path, &text, &request->url, err) || env_http_call(request, &response, err) ? -1 : 0;
	buf_fini(&response.head);
	if (!status && response.status >= 400)
		return refused(response.status, buf_view(out), err);
	return status;
}

int tool_call(const char *method, const char *path, const json_t *body, struct buf *out, struct err *err)
{
	AUTO_BUF sent = buf_new(TOOL_ANSWER_MAX);
	struct env_request request = {.method = method};

	if (body) {
		json_format(&sent, body);
		request.body = buf_view(&sent);
		request.has_body = true;
	}
	return call(&request, "application/json", path, out, err);
}

json_t *tool_bytes(const char *path, const char *type, struct view bytes, struct err *err)
{
	AUTO_BUF out = buf_new(TOOL_ANSWER_MAX);
	struct env_request request = {.method = "POST", .body = bytes, .has_body = true};

	return call(&request, type, path, &out, err) ? NULL : json_parse(buf_view(&out), err);
}

json_t *tool_json(const char *method, const char *path, const json_t *body, struct err *err)
{
	AUTO_BUF out = buf_new(TOOL_ANSWER_MAX);

	return tool_call(method, path, body, &out, err) ? NULL : json_parse(buf_view(&out), err);
}

/* ---- server-sent events ---- */

struct stream {
	struct buf line;
	struct buf data;
	char event[32];
	struct buf refused; /* the body of an answer that is no stream */
	struct env_response *response;
	json_t *done;
	struct err err;
	void (*progress)(void *self, const char *line);
	void *self;
};

static void step_tell(const struct stream *stream, const json_t *data)
{
	int64_t ms = json_number(data, "ms", -1);
	AUTO_FREE char *line = text_format("%-28s %6lld ms  %.200s", json_text(data, "step", ""), (long long)ms,
					   json_text(data, "detail", ""));

	if (ms >= 0)
		stream->progress(stream->self, line);
}

static void event_end(struct stream *stream)
{
	AUTO_JSON data = stream->data.length ? json_parse(buf_view(&stream->data), NULL) : NULL;

	if (strcmp(stream->event, "progress") == 0)
		step_tell(stream, data);
	if (strcmp(stream->event, "done") == 0 && data) {
		json_decref(stream->done);
		stream->done = json_incref(data);
	}
	if (strcmp(stream->event, "error") == 0)
		(void)err_set(&stream->err, ERR_INVALID, "%s", json_text(data, "detail", "it failed"));
	buf_clear(&stream->data);
	stream->event[0] = '\0';
}

static void event_line(struct stream *stream, struct view line)
{
	struct view value;
	struct view field = view_cut(line, ':', &value);

	if (!line.length) {
		event_end(stream);
		return;
	}
	value = view_trim(value);
	if (view_is(field, "event"))
		(void)snprintf(stream->event, sizeof(stream->event), "%.*s", (int)value.length, value.at);
	else if (view_is(field, "data"))
		buf_add_view(&stream->data, value);
}

static bool stream_bytes(void *self, struct view bytes)
{
	struct stream *stream = self;

	if (stream->response->status >= 400)
		return collect(&stream->refused, bytes);
	while (bytes.length) {
		const char *newline = memchr(bytes.at, '\n', bytes.length);
		size_t length = newline ? (size_t)(newline - bytes.at) : bytes.length;

		buf_add(&stream->line, bytes.at, length);
		if (!newline)
			break;
		event_line(stream, view_trim(buf_view(&stream->line)));
		buf_clear(&stream->line);
		bytes = view_make(newline + 1, bytes.length - length - 1);
	}
	return true;
}

json_t *tool_work(const char *path, const json_t *body, void (*progress)(void *self, const char *line), void *self, struct err *err)
{
	static const char *const headers[] = {"Content-Type: application/json", "Accept: text/event-stream"};
	AUTO_FREE char *text = NULL;
	AUTO_BUF sent = buf_new(TOOL_ANSWER_MAX);
	struct stream stream = {.line = buf_new(TOOL_ANSWER_MAX),
				.data = buf_new(TOOL_ANSWER_MAX),
				.refused = buf_new(TOOL_ANSWER_MAX),
				.progress = progress,
				.self = self};
	struct env_response response = {.bytes = stream_bytes, .self = &stream, .head = buf_new(ENV_HTTP_HEAD_MAX)};
	struct env_request request = {.method = "POST", .headers = headers, .header_count = 2, .has_body = true};
	int status;

	stream.response = &response;
	json_format(&sent, body);
	request.body = buf_view(&sent);
	status = tool_url(path, &text, &request.url, err) || env_http_call(&request, &response, err) ? -1 : 0;
	if (!status && response.status >= 400)
		status = refused(response.status, buf_view(&stream.refused), err);
	if (!status && stream.err.kind != ERR_NONE) {
		*err = stream.err;
		status = -1;
	}
	if (!status && !stream.done)
		status = err_set(err, ERR_RETRY, "the answer was cut off");
	buf_fini(&stream.line);
	buf_fini(&stream.data);
	buf_fini(&stream.refused);
	buf_fini(&response.head);
	if (status)
		json_decref(stream.done);
	return status ? NULL : stream.done;
}

void tool_port_find(struct env_url *url)
{
	AUTO_JSON env = url->port || strchr(url->host, '.') ? NULL : tool_json("GET", "environment", NULL, NULL);
	size_t index;
	json_t *sandbox;

	json_array_foreach(json_member(env, "sandboxes"), index, sandbox)
		if (strcmp(json_text(sandbox, "name", ""), url->host) == 0)
			url->port = (uint16_t)json_number(sandbox, "port", 0);
}
