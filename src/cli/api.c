/* Requests over the Unix socket of `assay serve`, and its streams. */
#include "cli/api.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/place.h"
#include "base/scope.h"
#include "base/world.h"
#include "cli/server.h"
#include "cli/terminal.h"
#include "http/client.h"

#define CALL_MS 120000
#define ANSWER_MAX ((size_t)256 << 20)
#define EVENT_MAX ((size_t)16 << 20)

struct api {
	char *socket;
	bool started; /* by us: then we start it again when it dies */
};

static const char *const start_args[] = {"--exit-when-idle", NULL};

const char *api_socket(const struct api *api)
{
	return api->socket;
}

void api_close(struct api *api)
{
	if (!api)
		return;
	free(api->socket);
	free(api);
}

void scope_api(struct api **api)
{
	api_close(*api);
}

static enum err_kind kind_of_name(const char *name)
{
	for (enum err_kind kind = ERR_INVALID; kind <= ERR_BROKEN; kind++)
		if (name && strcmp(err_kind_name(kind), name) == 0)
			return kind;
	return ERR_BROKEN;
}

/* A problem (RFC 9457), of an answer or of a stream. */
static int error_take(const json_t *problem, struct err *err)
{
	return err_set(err, kind_of_name(json_text(problem, "kind", NULL)), "%s",
		       json_text(problem, "detail", "the server gave no reason"));
}

/* `type` NULL: without a body. */
static int call_bytes(struct api *api, const char *method, const char *path, const char *type, struct view body,
		      struct http_response *response, struct err *err)
{
	AUTO_FREE char *url = text_format("http://localhost/api/v1%s", path);
	struct http_header header = {"Content-Type", type};
	struct http_call request = {
		.method = method,
		.url = url,
		.unix_socket = api->socket,
		.headers = &header,
		.header_count = type ? 1 : 0,
		.timeout_ms = CALL_MS,
		.body_bytes_max = ANSWER_MAX,
		.body = body,
		.has_body = type != NULL,
	};

	if (http_client_call(&request, response, err))
		return err_prefix(err, "assay serve");
	if (response->status < 400)
		return 0;
	AUTO_JSON answer = json_parse(buf_view(&response->body), NULL);
	return answer ? error_take(answer, err) : err_set(err, ERR_BROKEN, "assay serve answered %u", response->status);
}

static int call(struct api *api, const char *method, const char *path, const json_t *body, struct http_response *response,
		struct err *err)
{
	bool posts = strcmp(method, "POST") == 0;
	AUTO_BUF text = buf_new(ANSWER_MAX);

	if (posts && body)
		json_format(&text, body);
	else if (posts)
		buf_add_text(&text, "{}");
	return call_bytes(api, method, path, posts ? "application/json" : NULL, buf_view(&text), response, err);
}

static json_t *answer_parse(const struct http_response *response, const char *method, const char *path, struct err *err)
{
	json_t *answer = json_parse(response->body.length ? buf_view(&response->body) : VIEW("{}"), err);

	if (!answer)
		(void)err_prefix(err, "the answer to %s %s", method, path);
	return answer;
}

static json_t *call_json(struct api *api, const char *method, const char *path, const json_t *body, struct err *err)
{
	AUTO_RESPONSE response = {0};

	return call(api, method, path, body, &response, err) ? NULL : answer_parse(&response, method, path, err);
}

json_t *api_post_bytes(struct api *api, const char *path, struct view bytes, struct err *err)
{
	AUTO_RESPONSE response = {0};

	return call_bytes(api, "POST", path, "application/octet-stream", bytes, &response, err)
		       ? NULL
		       : answer_parse(&response, "POST", path, err);
}

json_t *api_get(struct api *api, const char *path, struct err *err)
{
	return call_json(api, "GET", path, NULL, err);
}

json_t *api_post(struct api *api, const char *path, const json_t *body, struct err *err)
{
	return call_json(api, "POST", path, body, err);
}

json_t *api_delete(struct api *api, const char *path, struct err *err)
{
	return call_json(api, "DELETE", path, NULL, err);
}

/* Lists come in pages; `next` names the last item of one. */
static char *page_path(const char *path, const char *next)
{
	AUTO_BUF out = buf_new(ANSWER_MAX);

	buf_add_format(&out, "%s%cafter=", path, strchr(path, '?') ? '&' : '?');
	buf_add_url(&out, view_of(next));
	return buf_take(&out);
}

json_t *api_items(struct api *api, const char *path, struct err *err)
{
	AUTO_JSON all = json_array();
	AUTO_FREE char *page = text_copy(path);

	while (page) {
		AUTO_JSON answer = api_get(api, page, err);
		json_t *items = json_member(answer, "items");
		const char *next = json_text(answer, "next", NULL);

		if (!answer)
			return NULL;
		if (!json_is_array(items)) {
			(void)err_set(err, ERR_BROKEN, "the answer to GET %s has no items", page);
			return NULL;
		}
		(void)json_array_extend(all, items);
		free(page);
		page = next ? page_path(path, next) : NULL;
	}
	return TAKE(all);
}

int api_text(struct api *api, const char *path, struct buf *out, struct err *err)
{
	AUTO_RESPONSE response = {0};

	if (call(api, "GET", path, NULL, &response, err))
		return -1;
	buf_add_view(out, buf_view(&response.body));
	return buf_finish(out, err);
}

char *api_path(const char *pattern, ...)
{
	AUTO_BUF out = buf_new(ANSWER_MAX);
	va_list args;

	va_start(args, pattern);
	for (const char *at = pattern; *at; at++) {
		if (at[0] != '{' || at[1] != '}') {
			buf_add_char(&out, *at);
			continue;
		}
		buf_add_url(&out, view_of(va_arg(args, const char *)));
		at++;
	}
	va_end(args);
	return buf_take(&out);
}

/* ---- streams ---- */

struct stream {
	struct api_listener listener;
	bool (*bytes)(void *self, struct view view); /* of plain text */
	void *bytes_self;
	const struct http_response *response; /* its headers are there before the first byte */
	struct buf refused;                   /* a refusal comes as JSON instead of a stream */
	struct buf line;
	struct buf data;
	char *name;
	int64_t id;
	bool ended; /* the listener wants no more */
	json_t *done;
	struct err failed;
};

static void event_reset(struct stream *stream)
{
	buf_clear(&stream->data);
	free(TAKE(stream->name));
	stream->id = 0;
}

static void event_end(struct stream *stream)
{
	AUTO_JSON data = stream->data.length ? json_parse(buf_view(&stream->data), NULL) : NULL;
	const char *name = stream->name ? stream->name : "message";

	if (!data) {
		event_reset(stream);
		return;
	}
	if (stream->listener.event && !stream->listener.event(stream->listener.self, name, stream->id, data))
		stream->ended = true;
	if (strcmp(name, "done") == 0 && !stream->done)
		stream->done = json_incref(data);
	if (strcmp(name, "error") == 0 && !stream->failed.kind)
		(void)error_take(data, &stream->failed);
	event_reset(stream);
}

static void event_line(struct stream *stream, struct view line)
{
	struct view value;
	struct view field = view_cut(line, ':', &value);
	uint64_t number;

	if (!line.length) {
		event_end(stream);
		return;
	}
	if (value.length && value.at[0] == ' ')
		value = view_make(value.at + 1, value.length - 1);
	if (view_is(field, "event") && value.at) {
		free(stream->name);
		stream->name = view_copy(value);
	} else if (view_is(field, "id") && view_to_u64(value, &number) && number <= INT64_MAX) {
		stream->id = (int64_t)number;
	} else if (view_is(field, "data")) {
		if (stream->data.length)
			buf_add_char(&stream->data, '\n');
		buf_add_view(&stream->data, value);
	}
}

static bool is_refusal(const struct stream *stream)
{
	const char *type = http_response_header(stream->response, "Content-Type");

	return type && (view_starts(view_of(type), VIEW("application/json")) ||
			view_starts(view_of(type), VIEW("application/problem+json")));
}

static bool stream_feed(void *self, struct view bytes)
{
	struct stream *stream = self;

	if (is_refusal(stream)) {
		buf_add_view(&stream->refused, bytes);
		return true;
	}
	if (!bytes.length && stream->listener.event && !stream->listener.event(stream->listener.self, NULL, 0, NULL))
		stream->ended = true;
	while (bytes.length && !stream->ended) {
		struct view rest;
		struct view line = view_cut(bytes, '\n', &rest);

		buf_add_view(&stream->line, line);
		if (!rest.at)
			break;
		event_line(stream, view_trim(buf_view(&stream->line)));
		buf_clear(&stream->line);
		bytes = rest;
	}
	return !stream->ended && !stream->line.over && !stream->data.over;
}

static bool text_feed(void *self, struct view bytes)
{
	struct stream *stream = self;

	if (is_refusal(stream)) {
		buf_add_view(&stream->refused, bytes);
		return true;
	}
	stream->ended = !stream->bytes(stream->bytes_self, bytes);
	return !stream->ended;
}

static int refusal(struct stream *stream, unsigned status, struct err *err)
{
	AUTO_JSON answer = json_parse(buf_view(&stream->refused), NULL);

	return answer ? error_take(answer, err) : err_set(err, ERR_BROKEN, "assay serve answered %u", status);
}

static int stream_run(struct api *api, const char *method, const char *path, const json_t *body, struct stream *stream,
		      struct err *err)
{
	AUTO_FREE char *url = text_format("http://localhost/api/v1%s", path);
	AUTO_BUF text = buf_new(ANSWER_MAX);
	AUTO_RESPONSE response = {0};
	struct http_header headers[] = {{"Accept", "text/event-stream"}, {"Content-Type", "application/json"}};
	struct http_call request = {
		.method = method,
		.url = url,
		.unix_socket = api->socket,
		.headers = headers,
		.header_count = strcmp(method, "GET") == 0 ? 1 : 2,
		.timeout_ms = -1,
		.on_bytes = stream->bytes ? text_feed : stream_feed,
		.self = stream,
	};
	struct err problem = {0};
	int result = 0;

	if (strcmp(method, "POST") == 0) {
		if (body)
			json_format(&text, body);
		else
			buf_add_text(&text, "{}");
		request.body = buf_view(&text);
		request.has_body = true;
	}
	stream->response = &response;
	stream->refused = buf_new(EVENT_MAX);
	stream->line = buf_new(EVENT_MAX);
	stream->data = buf_new(EVENT_MAX);
	if (http_client_call(&request, &response, &problem) && !stream->ended)
		result = err_set(err, problem.kind, "assay serve: %s", problem.text);
	else if (response.status >= 400)
		result = refusal(stream, response.status, err);
	buf_fini(&stream->refused);
	buf_fini(&stream->line);
	buf_fini(&stream->data);
	free(TAKE(stream->name));
	return result;
}

int api_follow(struct api *api, const char *path, struct api_listener listener, struct err *err)
{
	struct stream stream = {.listener = listener};
	int result = stream_run(api, "GET", path, NULL, &stream, err);

	json_decref(stream.done);
	return result;
}

int api_follow_text(struct api *api, const char *path, bool (*bytes)(void *self, struct view view), void *self, struct err *err)
{
	struct stream stream = {.bytes = bytes, .bytes_self = self};

	return stream_run(api, "GET", path, NULL, &stream, err);
}

json_t *api_work(struct api *api, const char *path, const json_t *body, struct api_listener listener, struct err *err)
{
	struct stream stream = {.listener = listener};
	AUTO_JSON done = NULL;
	int result = stream_run(api, "POST", path, body, &stream, err);

	done = stream.done;
	if (result)
		return NULL;
	if (stream.failed.kind) {
		if (err)
			*err = stream.failed;
		return NULL;
	}
	if (!done) {
		(void)err_set(err, ERR_RETRY, "the server went away before the work was done");
		return NULL;
	}
	return TAKE(done);
}

static bool progress_print(void *self, const char *name, int64_t id, const json_t *data)
{
	int64_t ms = json_number(data, "ms", -1);

	(void)self;
	(void)id;
	if (name && strcmp(name, "progress") == 0 && ms >= 0) {
		AUTO_FREE char *step = terminal_line(json_text(data, "step", ""));
		AUTO_FREE char *detail = terminal_line(json_text(data, "detail", ""));
		AUTO_BUF took = buf_new(64);

		duration_format(&took, ms);
		fprintf(stderr, "  %-24s %-9s %s%s%s\n", step, took.at, terminal_tone(stderr, TONE_FAINT), detail,
			terminal_end(stderr));
	}
	return true;
}

struct api_listener api_progress_printer(void)
{
	return (struct api_listener){.event = progress_print};
}

/* ---- the connection ---- */

struct api *api_open(const char *program, bool start, struct err *err)
{
	AUTO_API struct api *api = mem_new(sizeof(*api));

	api->socket = place_serve_socket(err);
	if (!api->socket)
		return NULL;
	if (!server_answers(api->socket)) {
		if (!start) {
			(void)err_set(err, ERR_NOT_FOUND, "no server runs here (%s): start it with `assay serve`", api->socket);
			return NULL;
		}
		fprintf(stderr, "%s: starting a server in the background; it ends by itself when it is idle\n", program);
		if (server_start(start_args, api->socket, err))
			return NULL;
		api->started = true;
	}
	return TAKE(api);
}

void api_revive(struct api *api)
{
	struct err err;

	if (api->started && !server_answers(api->socket) && server_start(start_args, api->socket, &err))
		fprintf(stderr, "assay: %s\n", err.text);
}
