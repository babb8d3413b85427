/*
 * Requests to a server of ours over its Unix socket, by our own codec, a connection each. Loading libcurl with all that it brings takes a
 * command longer than the call itself (measured: 4 ms beside 1).
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/scope.h"
#include "http/client_priv.h"
#include "http/codec.h"

#define TIMEOUT_DEFAULT_MS 30000
#define TICK_MS 1000 /* how often a stream's caller is asked while nothing comes */
#define CHUNK_BYTES ((size_t)64 << 10)

struct local_call {
	const struct http_call *call;
	struct http_response *response;
	const char *method;
	int fd;
	int64_t deadline_ms; /* -1: none */
};

static int64_t now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Waits for `events`; asks the caller of a stream now and then whether it still listens. */
static int local_wait(const struct local_call *local, short events, struct err *err)
{
	for (;;) {
		int64_t left_ms = local->deadline_ms < 0 ? INT32_MAX : local->deadline_ms - now_ms();
		int result;

		if (left_ms <= 0)
			return err_set(err, ERR_RETRY, "%s: no answer in time", local->call->url);
		if (local->call->on_bytes && left_ms > TICK_MS)
			left_ms = TICK_MS;
		result = poll(&(struct pollfd){local->fd, events, 0}, 1, (int)left_ms);
		if (result > 0)
			return 0;
		if (result < 0 && errno != EINTR)
			return err_errno(err, errno, "cannot wait for a socket");
		if (local->call->on_bytes && !local->call->on_bytes(local->call->self, (struct view){"", 0}))
			return err_set(err, ERR_CANCELLED, "%s: stopped by the caller", local->call->url);
	}
}

static int local_connect(struct local_call *local, struct err *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const char *path = local->call->unix_socket;

	if (strlen(path) >= sizeof(address.sun_path))
		return err_set(err, ERR_INVALID, "the path of the socket is too long: %s", path);
	memcpy(address.sun_path, path, strlen(path) + 1);
	local->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (local->fd < 0)
		return err_errno(err, errno, "cannot make a socket");
	if (connect(local->fd, (const struct sockaddr *)&address, sizeof(address)))
		return err_set(err, ERR_RETRY, "cannot connect to %s: %s", path, strerror(errno));
	return 0;
}

/* -1 only when nothing can come back any more: a server may answer and close before it has read all. */
static int bytes_send(struct local_call *local, struct view bytes, struct err *err)
{
	while (bytes.length) {
		ssize_t sent = send(local->fd, bytes.at, bytes.length, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent > 0) {
			bytes = view_make(bytes.at + sent, bytes.length - (size_t)sent);
			continue;
		}
		if (errno == EPIPE || errno == ECONNRESET)
			return 0;
		if (errno != EAGAIN && errno != EINTR)
			return err_set(err, ERR_RETRY, "%s: %s", local->call->url, strerror(errno));
		if (local_wait(local, POLLOUT, err))
			return -1;
	}
	return 0;
}

static int request_send(struct local_call *local, struct err *err)
{
	const struct http_call *call = local->call;
	AUTO_BUF head = buf_new(HTTP_HEAD_BYTES_MAX);
	const char *host = strstr(call->url, "://");
	const char *path;

	host = host ? host + 3 : call->url;
	path = host + strcspn(host, "/?");
	buf_add_format(&head, "%s %s%s HTTP/1.1\r\nHost: %.*s\r\nConnection: close\r\n", local->method, *path == '/' ? "" : "/",
		       path, (int)(path - host), host);
	for (size_t i = 0; i < call->header_count; i++) {
		if (!http_token_valid(view_of(call->headers[i].name)) || !http_value_valid(view_of(call->headers[i].value)))
			return err_set(err, ERR_INVALID, "the header `%.40s` cannot be sent", call->headers[i].name);
		buf_add_format(&head, "%s: %s\r\n", call->headers[i].name, call->headers[i].value);
	}
	if (call->has_body || call->body.length)
		buf_add_format(&head, "Content-Length: %zu\r\n", call->body.length);
	buf_add_text(&head, "\r\n");
	if (buf_finish(&head, err))
		return -1;
	return bytes_send(local, buf_view(&head), err) || bytes_send(local, call->body, err) ? -1 : 0;
}

/* 1: some came; 0: the end. */
static int bytes_receive(struct local_call *local, struct buf *in, struct err *err)
{
	AUTO_FREE char *chunk = mem_new(CHUNK_BYTES);

	for (;;) {
		ssize_t got = recv(local->fd, chunk, CHUNK_BYTES, MSG_DONTWAIT);

		if (got >= 0) {
			buf_add(in, chunk, (size_t)got);
			return got > 0;
		}
		if (errno != EAGAIN && errno != EINTR)
			return err_set(err, ERR_RETRY, "%s: %s", local->call->url, strerror(errno));
		if (local_wait(local, POLLIN, err))
			return -1;
	}
}

static void head_keep(struct http_response *response, const struct http_head *head)
{
	response->status = head->status;
	response->headers = mem_new_array(head->field_count, sizeof(*response->headers));
	for (size_t i = 0; i < head->field_count; i++)
		response->headers[response->header_count++] = (struct http_header){view_copy(head->fields[i].name),
										   view_copy(head->fields[i].value)};
}

/* The final head; `in` then begins with what follows it. */
static int head_receive(struct local_call *local, struct buf *in, struct http_body *body, struct err *err)
{
	AUTO_FREE struct http_head *head = mem_new(sizeof(*head));
	size_t scanned = 0;

	for (;;) {
		enum http_result result = http_response_parse(buf_view(in), &scanned, view_of(local->method), head, err);
		int got;

		if (result == HTTP_BAD)
			return err_set(err, ERR_BROKEN, "%s: what came is not HTTP", local->call->url);
		if (result == HTTP_DONE) {
			bool interim = head->status < 200;

			if (!interim) {
				head_keep(local->response, head);
				http_body_init(body, head);
			}
			buf_drop_front(in, head->bytes);
			if (!interim)
				return 0;
			scanned = 0;
			continue;
		}
		got = bytes_receive(local, in, err);
		if (got < 0)
			return -1;
		if (got == 0)
			return err_set(err, ERR_RETRY, "%s: the connection was closed without an answer", local->call->url);
	}
}

static int data_take(const struct local_call *local, struct view data, struct err *err)
{
	struct http_response *response = local->response;

	if (!data.length)
		return 0;
	if (local->call->on_bytes)
		return local->call->on_bytes(local->call->self, data)
			       ? 0
			       : err_set(err, ERR_CANCELLED, "%s: stopped by the caller", local->call->url);
	buf_add_view(&response->body, data);
	return response->body.over ? err_set(err, ERR_LIMIT, "%s: the response is larger than allowed", local->call->url) : 0;
}

static int body_receive(struct local_call *local, struct buf *in, struct http_body *body, struct err *err)
{
	while (!http_body_ended(body)) {
		struct view rest = buf_view(in);
		enum http_result result = HTTP_MORE;
		int got;

		while (rest.length && result == HTTP_MORE) {
			struct view data;
			size_t used;

			result = http_body_feed(body, rest, &used, &data, err);
			if (result == HTTP_BAD)
				return err_set(err, ERR_BROKEN, "%s: what came is not HTTP", local->call->url);
			if (data_take(local, data, err))
				return -1;
			if (!used)
				break;
			rest = view_make(rest.at + used, rest.length - used);
		}
		buf_drop_front(in, in->length - rest.length);
		if (result == HTTP_DONE)
			return 0;
		got = bytes_receive(local, in, err);
		if (got < 0)
			return -1;
		if (got == 0 && body->framing == HTTP_BODY_UNTIL_CLOSE)
			return 0;
		if (got == 0)
			return err_set(err, ERR_RETRY, "%s: the connection was closed in the middle of the answer",
				       local->call->url);
	}
	return 0;
}

int http_local_call(const struct http_call *call, struct http_response *response, struct err *err)
{
	struct local_call local = {.call = call, .response = response, .fd = -1, .deadline_ms = -1};
	AUTO_BUF in = buf_new(HTTP_HEAD_BYTES_MAX + 2 * CHUNK_BYTES);
	struct http_body body = {.framing = HTTP_BODY_NONE};
	int result;

	local.method = call->method ? call->method : call->has_body || call->body.length ? "POST" : "GET";
	if (call->timeout_ms >= 0)
		local.deadline_ms = now_ms() + (call->timeout_ms ? call->timeout_ms : TIMEOUT_DEFAULT_MS);
	result = local_connect(&local, err) || request_send(&local, err) || head_receive(&local, &in, &body, err) ||
				 body_receive(&local, &in, &body, err)
			 ? -1
			 : 0;
	if (local.fd >= 0)
		(void)close(local.fd);
	return result;
}
