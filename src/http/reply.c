/* Requests and replies as handlers see them. */
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>

#include "base/scope.h"
#include "http/server_priv.h"
#include "http/url.h"
#include "http/websocket.h"

#define REPLY_BYTES_MAX ((size_t)256 << 20)
#define STREAM_PENDING_MAX ((size_t)8 << 20)

struct http_reply *reply_new(struct http_server *server, struct connection *connection, const struct http_head *head,
			     const char *peer)
{
	struct http_reply *reply = mem_new(sizeof(*reply));
	size_t scanned = 0;

	reply->server = server;
	reply->connection = connection;
	reply->head_bytes = view_copy(view_make(head->method.at, head->bytes));
	/* Parsed again, so that the views are into the copy. */
	(void)http_request_parse(view_make(reply->head_bytes, head->bytes), &scanned, &reply->head, NULL);
	reply->body = buf_new(0);
	reply->headers = buf_new(HTTP_HEAD_BYTES_MAX);
	reply->output = buf_new(REPLY_BYTES_MAX);
	reply->peer = text_copy(peer);
	reply->close = !head->keep_alive;
	return reply;
}

void reply_free(struct http_reply *reply)
{
	if (!reply)
		return;
	for (size_t i = 0; i < reply->param_count; i++) {
		free(reply->params[i].name);
		free(reply->params[i].value);
	}
	for (size_t i = 0; i < reply->kept_count; i++)
		free(reply->kept[i]);
	free(reply->kept);
	free(reply->head_bytes);
	free(reply->peer);
	free(reply->path);
	free(reply->query);
	free(reply->rest);
	free((char *)(uintptr_t)reply->request.method);
	buf_fini(&reply->body);
	buf_fini(&reply->headers);
	buf_fini(&reply->output);
	free(reply);
}

static void params_drop(struct http_reply *reply)
{
	for (size_t i = 0; i < reply->param_count; i++) {
		free(reply->params[i].name);
		free(reply->params[i].value);
	}
	reply->param_count = 0;
	free(reply->rest);
	reply->rest = NULL;
}

static bool param_add(struct http_reply *reply, struct view name, struct view value)
{
	AUTO_BUF decoded = buf_new(HTTP_TARGET_BYTES_MAX);

	if (reply->param_count == HTTP_PARAMS_MAX || !value.length || url_decode(&decoded, value, false, NULL) ||
	    memchr(decoded.at, '\0', decoded.length))
		return false;
	reply->params[reply->param_count++] = (struct param){view_copy(name), buf_take(&decoded)};
	return true;
}

/* Does the path fit the pattern, segment by segment? */
static bool pattern_fits(struct http_reply *reply, const char *pattern, const char *path)
{
	struct view want = view_of(pattern);
	struct view have = view_of(path);

	params_drop(reply);
	for (;;) {
		struct view want_rest, have_rest;
		struct view piece, part;

		if (view_is(want, "*")) {
			reply->rest = have.at ? view_copy(have) : text_copy("");
			return true;
		}
		piece = view_cut(want, '/', &want_rest);
		part = view_cut(have, '/', &have_rest);
		if (piece.length > 2 && piece.at[0] == '{' && piece.at[piece.length - 1] == '}') {
			if (!param_add(reply, view_make(piece.at + 1, piece.length - 2), part))
				return false;
		} else if (!view_equal(piece, part)) {
			return false;
		}
		if (!want_rest.at || !have_rest.at)
			return !want_rest.at && !have_rest.at;
		want = want_rest;
		have = have_rest;
	}
}

static bool method_fits(const char *wanted, const char *method)
{
	return strcmp(wanted, "*") == 0 || strcmp(wanted, method) == 0 ||
	       (strcmp(wanted, "GET") == 0 && strcmp(method, "HEAD") == 0);
}

static void route_find(struct http_reply *reply, const struct http_route *routes, size_t route_count)
{
	reply->no_route_status = 404;
	for (size_t i = 0; i < route_count; i++) {
		if (!pattern_fits(reply, routes[i].pattern, reply->path))
			continue;
		/* What is for any method is not for a path that is another row's. */
		if (strcmp(routes[i].method, "*") == 0 && reply->no_route_status == 405)
			return;
		if (method_fits(routes[i].method, reply->request.method)) {
			reply->route = &routes[i];
			return;
		}
		reply->no_route_status = 405;
	}
	params_drop(reply);
}

void reply_route(struct http_reply *reply, const struct http_route *routes, size_t route_count)
{
	AUTO_BUF path = buf_new(HTTP_TARGET_BYTES_MAX);
	struct view query;
	struct view target = view_cut(reply->head.target, '?', &query);

	reply->request.method = view_copy(reply->head.method);
	if (url_path_normal(&path, target, NULL)) {
		reply->path = text_copy("/");
		reply->query = text_copy("");
		reply->no_route_status = 400;
	} else {
		reply->path = buf_take(&path);
		reply->query = query.at ? view_copy(query) : text_copy("");
		route_find(reply, routes, route_count);
	}
	reply->body = buf_new(reply->route ? reply->route->body_bytes_max : 0);
	reply->request.path = reply->path;
	reply->request.query = reply->query;
	reply->request.rest = reply->rest ? reply->rest : "";
	reply->request.peer = reply->peer;
	reply->request.route = reply->route;
	reply->request.internal = reply;
}

static json_t *problem_make(unsigned status, const char *kind, const char *detail)
{
	json_t *problem = json_object();
	AUTO_FREE char *type = text_format("urn:assay:problem:%s", kind);

	json_set_bytes(problem, "type", view_of(type));
	json_set_bytes(problem, "title", view_of(http_status_text(status)));
	(void)json_object_set_new(problem, "status", json_integer((json_int_t)status));
	json_set_bytes(problem, "detail", view_of(detail));
	json_set_bytes(problem, "kind", view_of(kind));
	return problem;
}

static void problem_send(struct http_reply *reply, unsigned status, const json_t *problem)
{
	AUTO_BUF text = buf_new(REPLY_BYTES_MAX);

	json_format(&text, problem);
	buf_add_char(&text, '\n');
	http_reply_send(reply, status, "application/problem+json", buf_view(&text));
}

void reply_plain(struct http_reply *reply, unsigned status, const char *text)
{
	AUTO_JSON problem = problem_make(status,
					 err_kind_name(status == 404  ? ERR_NOT_FOUND
						       : status < 500 ? ERR_INVALID
								      : ERR_BROKEN),
					 text);

	problem_send(reply, status, problem);
}

/* A path that is there, but not for this method: which ones it is there for (RFC 9110, 15.5.6). */
static void allow_add(struct http_reply *reply, const struct http_server_spec *spec)
{
	AUTO_BUF methods = buf_new(HTTP_HEAD_BYTES_MAX);

	for (size_t i = 0; i < spec->route_count; i++)
		if (strcmp(spec->routes[i].method, "*") != 0 && pattern_fits(reply, spec->routes[i].pattern, reply->path))
			buf_add_format(&methods, "%s%s", methods.length ? ", " : "", spec->routes[i].method);
	http_reply_header(reply, "Allow", methods.at);
}

/* Is it answered before any handler? */
static bool reply_begin(struct http_reply *reply, const struct http_server_spec *spec)
{
	reply->request.body = buf_view(&reply->body);
	return spec->before && spec->before(spec->self, &reply->request, reply);
}

static void reply_end(struct http_reply *reply)
{
	if (!reply->answered)
		reply_plain(reply, 500, "the handler gave no answer");
}

void reply_run(struct http_reply *reply, const struct http_server_spec *spec)
{
	if (!reply_begin(reply, spec)) {
		if (!reply->route && reply->no_route_status == 405)
			allow_add(reply, spec);
		if (reply->route)
			reply->route->handle(spec->self, &reply->request, reply);
		else
			reply_plain(reply, reply->no_route_status, http_status_text(reply->no_route_status));
	}
	reply_end(reply);
}

void reply_run_all(struct http_reply *const *replies, size_t count, const struct http_server_spec *spec)
{
	struct http_asked asked[HTTP_TOGETHER_MAX];
	size_t left = 0;

	for (size_t i = 0; i < count; i++)
		if (!reply_begin(replies[i], spec))
			asked[left++] = (struct http_asked){&replies[i]->request, replies[i]};
	if (left)
		replies[0]->route->handle_all(spec->self, asked, left);
	for (size_t i = 0; i < count; i++)
		reply_end(replies[i]);
}

const char *http_request_header(const struct http_request *request, const char *name)
{
	struct http_reply *reply = (struct http_reply *)(uintptr_t)request->internal;
	struct view value = http_head_field(&reply->head, name);

	if (!value.at)
		return NULL;
	reply->kept = mem_grow(reply->kept, reply->kept_count + 1, sizeof(*reply->kept));
	reply->kept[reply->kept_count] = view_copy(value);
	return reply->kept[reply->kept_count++];
}

const char *http_request_param(const struct http_request *request, const char *name)
{
	const struct http_reply *reply = request->internal;

	for (size_t i = 0; i < reply->param_count; i++)
		if (strcmp(reply->params[i].name, name) == 0)
			return reply->params[i].value;
	return NULL;
}

char *http_request_query(const struct http_request *request, const char *name)
{
	return url_query_get(view_of(request->query), name);
}

char *http_request_cookie(const struct http_request *request, const char *name)
{
	const struct http_reply *reply = request->internal;

	for (size_t i = 0; i < reply->head.field_count; i++) {
		struct view rest = reply->head.fields[i].value;

		if (!view_equal_nocase(reply->head.fields[i].name, VIEW("cookie")))
			continue;
		while (rest.at) {
			struct view value;
			struct view key = view_trim(view_cut(view_cut(rest, ';', &rest), '=', &value));

			if (value.at && view_is(key, name))
				return view_copy(view_trim(value));
		}
	}
	return NULL;
}

json_t *http_request_json(const struct http_request *request, struct err *err)
{
	return json_parse(request->body, err);
}

void http_reply_header(struct http_reply *reply, const char *name, const char *value)
{
	buf_add_format(&reply->headers, "%s: ", name);
	for (const char *at = value; *at; at++)
		buf_add_char(&reply->headers, (unsigned char)*at < 0x20 || *at == 0x7f ? ' ' : *at);
	buf_add_text(&reply->headers, "\r\n");
}

static void head_format(struct http_reply *reply, unsigned status, const char *content_type)
{
	const char *extra = server_extra_headers(reply->server);
	time_t now = time(NULL);
	char date[40];
	struct tm utc;

	reply->answered = true;
	reply->status = status;
	(void)gmtime_r(&now, &utc);
	(void)strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &utc);
	buf_add_format(&reply->output, "HTTP/1.1 %u %s\r\nDate: %s\r\n", status, http_status_text(status), date);
	if (content_type)
		buf_add_format(&reply->output, "Content-Type: %s\r\n", content_type);
	if (extra)
		buf_add_text(&reply->output, extra);
	buf_add_view(&reply->output, buf_view(&reply->headers));
	if (reply->close)
		buf_add_text(&reply->output, "Connection: close\r\n");
	else if (reply->head.minor == 0)
		buf_add_text(&reply->output, "Connection: keep-alive\r\n");
}

void http_reply_send(struct http_reply *reply, unsigned status, const char *content_type, struct view body)
{
	if (reply->answered)
		return;
	head_format(reply, status, content_type);
	if (status != 204 && status != 304)
		buf_add_format(&reply->output, "Content-Length: %zu\r\n", body.length);
	buf_add_text(&reply->output, "\r\n");
	if (strcmp(reply->request.method, "HEAD") != 0 && status != 204 && status != 304)
		buf_add_view(&reply->output, body);
}

void http_reply_json(struct http_reply *reply, unsigned status, const json_t *json)
{
	AUTO_BUF text = buf_new(REPLY_BYTES_MAX);

	json_format(&text, json);
	buf_add_char(&text, '\n');
	http_reply_send(reply, status, "application/json", buf_view(&text));
}

static unsigned status_of_kind(enum err_kind kind)
{
	switch (kind) {
	case ERR_INVALID:
		return 400;
	case ERR_NOT_FOUND:
		return 404;
	case ERR_CONFLICT:
	case ERR_CANCELLED:
		return 409;
	case ERR_DENIED:
		return 403;
	case ERR_LIMIT:
		return 413;
	case ERR_RETRY:
		return 503;
	case ERR_NONE:
	case ERR_BROKEN:
		break;
	}
	return 500;
}

json_t *http_problem(const struct err *err)
{
	return problem_make(status_of_kind(err->kind), err_kind_name(err->kind), err->text);
}

void http_reply_problem(struct http_reply *reply, unsigned status, const struct err *err)
{
	AUTO_JSON problem = problem_make(status, err_kind_name(err->kind), err->text);

	problem_send(reply, status, problem);
}

void http_reply_err(struct http_reply *reply, const struct err *err)
{
	http_reply_problem(reply, status_of_kind(err->kind), err);
}

unsigned http_reply_status(const struct http_reply *reply)
{
	return reply->status;
}

void http_reply_redirect(struct http_reply *reply, unsigned status, const char *location)
{
	http_reply_header(reply, "Location", location);
	http_reply_send(reply, status, "text/plain; charset=utf-8", view_of(location));
}

struct http_stream *http_reply_stream(struct http_reply *reply, unsigned status, const char *content_type)
{
	struct http_stream *stream = mem_new(sizeof(*stream));

	(void)pthread_mutex_init(&stream->mutex, NULL);
	stream->loop = server_loop(reply->server);
	stream->pending = buf_new(STREAM_PENDING_MAX);
	stream->holders = 1;
	if (reply->answered || strcmp(reply->request.method, "HEAD") == 0) {
		stream->gone = true;
		if (!reply->answered)
			http_reply_send(reply, status, content_type, (struct view){"", 0});
		return stream;
	}
	reply->close = true;
	head_format(reply, status, content_type);
	/* HTTP/1.0 clients read until the end; others get chunks, so that an end that was cut shows. */
	buf_add_text(&reply->output, reply->head.minor ? "Cache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n"
						       : "Cache-Control: no-store\r\n\r\n");
	stream->holders = 2;
	reply->stream = stream;
	return stream;
}

static int upgrade(struct http_reply *reply, const char *protocol, const char *headers, struct buf *early, struct err *err)
{
	AUTO_FREE char *answer = text_format("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n%s\r\n",
					     protocol, headers);
	int fd;

	if (!reply->head.upgrade || !http_head_has(&reply->head, "upgrade", protocol) || reply->answered)
		return err_set(err, ERR_INVALID, "this wants `Connection: Upgrade` and `Upgrade: %s`", protocol);
	fd = server_socket_take(reply, early, err);
	/* The connection is fresh, so this fits its send buffer; a client that is gone already is seen at the first read. */
	if (fd >= 0)
		(void)!send(fd, answer, strlen(answer), MSG_NOSIGNAL);
	return fd;
}

int http_reply_upgrade(struct http_reply *reply, const char *protocol, struct buf *early, struct err *err)
{
	return upgrade(reply, protocol, "", early, err);
}

int http_reply_websocket(struct http_reply *reply, const char *protocol, struct buf *early, struct err *err)
{
	const char *version = http_request_header(&reply->request, "Sec-WebSocket-Version");
	const char *key = http_request_header(&reply->request, "Sec-WebSocket-Key");
	AUTO_BUF accept = buf_new(64);
	AUTO_FREE char *headers = NULL;
	AUTO_BUF nonce = buf_new(64);

	if (!version || strcmp(version, "13") != 0)
		return err_set(err, ERR_INVALID, "Sec-WebSocket-Version: expected 13");
	if (!key || buf_add_unbase64(&nonce, view_of(key), err) || nonce.length != WEBSOCKET_KEY_BYTES)
		return err_set(err, ERR_INVALID, "Sec-WebSocket-Key: expected %d bytes in base64", WEBSOCKET_KEY_BYTES);
	if (!http_head_has(&reply->head, "sec-websocket-protocol", protocol))
		return err_set(err, ERR_INVALID, "Sec-WebSocket-Protocol: expected %s", protocol);
	websocket_accept_write(&accept, view_of(key));
	headers = text_format("Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: %s\r\n", accept.at, protocol);
	return upgrade(reply, "websocket", headers, early, err);
}

void stream_release(struct http_stream *stream)
{
	bool last;

	(void)pthread_mutex_lock(&stream->mutex);
	last = --stream->holders == 0;
	(void)pthread_mutex_unlock(&stream->mutex);
	if (!last)
		return;
	(void)pthread_mutex_destroy(&stream->mutex);
	buf_fini(&stream->pending);
	free(stream);
}

/* With the mutex held. */
static void flush_post(struct http_stream *stream)
{
	if (stream->flush_posted || stream->gone)
		return;
	stream->flush_posted = true;
	stream->holders++;
	loop_post(stream->loop, stream_flush_on_loop, stream);
}

bool http_stream_write(struct http_stream *stream, struct view bytes)
{
	bool there;

	(void)pthread_mutex_lock(&stream->mutex);
	if (!stream->gone && !stream->closed && bytes.length) {
		buf_add_view(&stream->pending, bytes);
		stream->cut |= stream->pending.over;
		flush_post(stream); /* also when it went over: then the loop cuts the connection */
	}
	there = !stream->gone && !stream->pending.over;
	(void)pthread_mutex_unlock(&stream->mutex);
	return there;
}

void http_event_format(struct buf *text, const char *name, const char *id, struct view data)
{
	struct view rest = data;

	if (name)
		buf_add_format(text, "event: %s\n", name);
	if (id)
		buf_add_format(text, "id: %s\n", id);
	do {
		struct view line = view_cut(rest, '\n', &rest);

		buf_add_text(text, "data: ");
		buf_add_view(text, line);
		buf_add_char(text, '\n');
	} while (rest.at);
	buf_add_char(text, '\n');
}

bool http_stream_event(struct http_stream *stream, const char *name, const char *id, struct view data)
{
	AUTO_BUF text = buf_new(STREAM_PENDING_MAX);

	http_event_format(&text, name, id, data);
	return http_stream_write(stream, buf_view(&text));
}

size_t http_stream_waiting(struct http_stream *stream)
{
	size_t waiting;

	(void)pthread_mutex_lock(&stream->mutex);
	waiting = stream->pending.length + stream->unsent;
	(void)pthread_mutex_unlock(&stream->mutex);
	return waiting;
}

bool http_stream_room(struct http_stream *stream, size_t bytes_max, void (*room)(void *self), void *self)
{
	bool there;

	(void)pthread_mutex_lock(&stream->mutex);
	there = stream->gone || stream->pending.length + stream->unsent <= bytes_max;
	stream->room = there ? NULL : room;
	stream->room_self = self;
	(void)pthread_mutex_unlock(&stream->mutex);
	return there;
}

/* With the mutex held: there is room, or nobody reads any more. */
static void room_say(struct http_stream *stream)
{
	void (*room)(void *self) = TAKE(stream->room);

	if (room)
		room(stream->room_self);
}

void stream_unsent(struct http_stream *stream, size_t bytes)
{
	(void)pthread_mutex_lock(&stream->mutex);
	stream->unsent = bytes;
	if (stream->gone || (!bytes && !stream->pending.length))
		room_say(stream);
	(void)pthread_mutex_unlock(&stream->mutex);
}

bool http_stream_gone(struct http_stream *stream)
{
	bool gone;

	(void)pthread_mutex_lock(&stream->mutex);
	gone = stream->gone || stream->pending.over;
	(void)pthread_mutex_unlock(&stream->mutex);
	return gone;
}

static void stream_end(struct http_stream *stream, bool cut)
{
	(void)pthread_mutex_lock(&stream->mutex);
	stream->closed = true;
	stream->cut |= cut;
	stream->room = NULL;
	flush_post(stream);
	(void)pthread_mutex_unlock(&stream->mutex);
	stream_release(stream);
}

void http_stream_close(struct http_stream *stream)
{
	stream_end(stream, false);
}

void http_stream_cut(struct http_stream *stream)
{
	stream_end(stream, true);
}
