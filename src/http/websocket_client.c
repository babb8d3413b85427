/* The handshake, then frames over libcurl's connection. */
#include "http/websocket_client.h"

#include <stdlib.h>

#include "base/scope.h"
#include "base/world.h"
#include "http/client_priv.h"
#include "http/url.h"
#include "http/websocket.h"

#define HEAD_BYTES_MAX ((size_t)16 << 10)
#define READ_BYTES 16384
#define MESSAGES_MAX 1000 /* that came in one piece */

struct websocket_client {
	struct http_pipe *pipe;
	struct websocket_reader *reader;
	struct buf message; /* that is being read */
	struct buf out;     /* what is to be answered to control frames */
	char **messages;
	size_t count;
	int64_t heard_ms;
	bool over;
};

/* ---- frames ---- */

static void on_data(void *self, enum websocket_opcode opcode, struct view bytes, bool first, bool last)
{
	struct websocket_client *client = self;

	(void)opcode;
	if (first)
		buf_clear(&client->message);
	buf_add_view(&client->message, bytes);
	if (!last || client->count >= MESSAGES_MAX)
		return;
	client->messages = mem_grow(client->messages, client->count + 1, sizeof(*client->messages));
	client->messages[client->count++] = view_copy(buf_view(&client->message));
}

static void frame_add(struct buf *out, enum websocket_opcode opcode, struct view payload)
{
	unsigned char mask[4];

	world_random(world_real, mask, sizeof(mask));
	websocket_frame_write(out, opcode, true, true, mask, payload);
}

static void on_control(void *self, enum websocket_opcode opcode, struct view payload)
{
	struct websocket_client *client = self;

	if (opcode == WEBSOCKET_PING)
		frame_add(&client->out, WEBSOCKET_PONG, payload);
	if (opcode == WEBSOCKET_CLOSE) {
		frame_add(&client->out, WEBSOCKET_CLOSE, view_make(payload.at, payload.length < 2 ? payload.length : 2));
		client->over = true;
	}
}

static const struct websocket_events events = {on_data, on_control};

static int flush(struct websocket_client *client, struct err *err)
{
	int failed = client->out.length ? http_pipe_write(client->pipe, buf_view(&client->out), err) : 0;

	buf_clear(&client->out);
	return failed;
}

/* ---- the handshake ---- */

static struct view header_find(struct view head, const char *wanted)
{
	struct view rest = head;

	while (rest.length) {
		struct view value;
		struct view line = view_cut(rest, '\n', &rest);
		struct view name = view_cut(line, ':', &value);

		if (value.at && view_equal_nocase(view_trim(name), view_of(wanted)))
			return view_trim(value);
	}
	return (struct view){0};
}

static int answer_check(struct view head, const char *key, struct err *err)
{
	struct view rest;
	struct view status = view_trim(view_cut(head, '\n', &rest));
	AUTO_BUF accept = buf_new(64);

	if (!view_starts(status, VIEW("HTTP/1.1 ")))
		return err_set(err, ERR_BROKEN, "the answer to a WebSocket's beginning is no HTTP");
	if (!view_starts(status, VIEW("HTTP/1.1 101")))
		return err_set(err, view_starts(status, VIEW("HTTP/1.1 5")) ? ERR_RETRY : ERR_DENIED, "no WebSocket: %.*s",
			       (int)(status.length < 100 ? status.length : 100), status.at);
	websocket_accept_write(&accept, view_of(key));
	if (!view_equal(header_find(rest, "Sec-WebSocket-Accept"), buf_view(&accept)))
		return err_set(err, ERR_BROKEN, "the answer to a WebSocket's beginning is to another one");
	return 0;
}

/* Up to the empty line; what follows it is the first frames. */
static int answer_read(struct websocket_client *client, const char *key, int64_t timeout_ms, struct err *err)
{
	int64_t until_ms = world_elapsed_ms(world_real) + timeout_ms;
	AUTO_BUF head = buf_new(HEAD_BYTES_MAX);
	ptrdiff_t end;

	while ((end = view_find(buf_view(&head), VIEW("\r\n\r\n"))) < 0) {
		char bytes[READ_BYTES];
		size_t length = 0;
		int64_t left_ms = until_ms - world_elapsed_ms(world_real);

		if (left_ms <= 0)
			return err_set(err, ERR_RETRY, "nobody answers to a WebSocket's beginning");
		if (http_pipe_read(client->pipe, bytes, sizeof(bytes), left_ms, &length, err))
			return -1;
		buf_add(&head, bytes, length);
		if (buf_finish(&head, err))
			return -1;
	}
	if (answer_check(view_make(head.at, (size_t)end), key, err))
		return -1;
	return websocket_read(client->reader, view_make(head.at + end + 4, head.length - (size_t)end - 4), err);
}

static int handshake(struct websocket_client *client, const struct url *url, int64_t timeout_ms, struct err *err)
{
	unsigned char random[WEBSOCKET_KEY_BYTES];
	AUTO_BUF key = buf_new(64);
	AUTO_BUF request = buf_new(HEAD_BYTES_MAX);

	world_random(world_real, random, sizeof(random));
	buf_add_base64(&key, random, sizeof(random));
	buf_add_format(&request, "GET %.*s%s%.*s HTTP/1.1\r\nHost: %.*s", (int)url->path.length, url->path.at,
		       url->query.length ? "?" : "", (int)url->query.length, url->query.at ? url->query.at : "",
		       (int)url->host.length, url->host.at);
	if (url->port != 80 && url->port != 443)
		buf_add_format(&request, ":%u", (unsigned)url->port);
	buf_add_format(&request,
		       "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n"
		       "User-Agent: assay/" ASSAY_VERSION "\r\n\r\n",
		       key.at);
	return buf_finish(&request, err) || http_pipe_write(client->pipe, buf_view(&request), err)
		       ? -1
		       : answer_read(client, key.at, timeout_ms, err);
}

struct websocket_client *websocket_client_open(const char *text, int64_t timeout_ms, struct err *err)
{
	const struct websocket_spec spec = {.message_bytes_max = WEBSOCKET_MESSAGE_BYTES_MAX, .events = &events};
	bool secure = strncmp(text, "wss://", 6) == 0;
	AUTO_FREE char *web = text_format("%s%s", secure ? "https" : "http", strstr(text, "://") ? strstr(text, "://") : "");
	struct websocket_client *client;
	struct websocket_spec own = spec;
	struct url url;

	if ((!secure && strncmp(text, "ws://", 5) != 0) || url_parse(view_of(web), &url, err)) {
		(void)err_set(err, ERR_INVALID, "no address of a WebSocket");
		return NULL;
	}
	client = mem_new(sizeof(*client));
	own.self = client;
	client->message = buf_new(WEBSOCKET_MESSAGE_BYTES_MAX);
	client->out = buf_new(WEBSOCKET_MESSAGE_BYTES_MAX + 64);
	client->reader = websocket_reader_new(&own);
	client->heard_ms = world_elapsed_ms(world_real);
	client->pipe = http_pipe_open(web, timeout_ms, err);
	if (client->pipe && !handshake(client, &url, timeout_ms, err))
		return client;
	websocket_client_close(client);
	return NULL;
}

/* ---- messages ---- */

static bool message_take(struct websocket_client *client, char **message)
{
	if (!client->count)
		return false;
	*message = client->messages[0];
	client->count--;
	memmove(client->messages, client->messages + 1, client->count * sizeof(*client->messages));
	return true;
}

int websocket_client_receive(struct websocket_client *client, int64_t timeout_ms, char **message, struct err *err)
{
	int64_t until_ms = world_elapsed_ms(world_real) + timeout_ms;

	*message = NULL;
	while (!message_take(client, message)) {
		char bytes[READ_BYTES];
		size_t length = 0;
		int64_t left_ms = until_ms - world_elapsed_ms(world_real);

		if (client->over)
			return err_set(err, ERR_RETRY, "the other side closed the WebSocket");
		if (http_pipe_read(client->pipe, bytes, sizeof(bytes), left_ms > 0 ? left_ms : 0, &length, err))
			return -1;
		if (length) {
			client->heard_ms = world_elapsed_ms(world_real);
			if (websocket_read(client->reader, view_make(bytes, length), err) || flush(client, err))
				return -1;
		} else if (left_ms <= 0) {
			return 0;
		}
	}
	return 0;
}

int websocket_client_send(struct websocket_client *client, struct view text, struct err *err)
{
	frame_add(&client->out, WEBSOCKET_TEXT, text);
	return buf_finish(&client->out, err) ? -1 : flush(client, err);
}

int websocket_client_ping(struct websocket_client *client, struct err *err)
{
	frame_add(&client->out, WEBSOCKET_PING, VIEW("assay"));
	return flush(client, err);
}

int64_t websocket_client_silent_ms(const struct websocket_client *client)
{
	return world_elapsed_ms(world_real) - client->heard_ms;
}

void websocket_client_close(struct websocket_client *client)
{
	if (!client)
		return;
	http_pipe_close(client->pipe);
	websocket_reader_free(client->reader);
	buf_fini(&client->message);
	buf_fini(&client->out);
	for (size_t i = 0; i < client->count; i++)
		free(client->messages[i]);
	free(client->messages);
	free(client);
}
