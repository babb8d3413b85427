/* A small HTTP service that does what a test asks of it by path. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/scope.h"
#include "gateway_fixture.h"
#include "http/codec.h"
#include "net/socket.h"

atomic_uint service_connections;

struct client {
	int fd;
	struct buf input;
};

static bool more(struct client *client)
{
	char bytes[65536];
	ssize_t got = recv(client->fd, bytes, sizeof(bytes), 0);

	if (got > 0)
		buf_add(&client->input, bytes, (size_t)got);
	return got > 0;
}

/* All of the body, counted; the first bytes are kept. */
static bool body_read(struct client *client, const struct http_head *head, uint64_t *bytes, struct buf *kept)
{
	struct http_body body;

	http_body_init(&body, head);
	*bytes = 0;
	while (!http_body_ended(&body)) {
		struct view data;
		size_t used;
		struct err err;

		if (!client->input.length && !more(client))
			return false;
		if (http_body_feed(&body, buf_view(&client->input), &used, &data, &err) == HTTP_BAD)
			return false;
		*bytes += data.length;
		if (kept->length + data.length < 1000)
			buf_add_view(kept, data);
		buf_drop_front(&client->input, used);
	}
	return true;
}

static void answer(struct client *client, const char *headers, const char *body)
{
	AUTO_FREE char *text = text_format("HTTP/1.1 200 OK\r\n%sContent-Length: %zu\r\n\r\n%s", headers, strlen(body), body);

	say(client->fd, text);
}

static void send_many(int fd, size_t bytes)
{
	AUTO_FREE char *piece = mem_new(65536);

	memset(piece, 'd', 65536);
	while (bytes) {
		ssize_t sent = send(fd, piece, bytes < 65536 ? bytes : 65536, MSG_NOSIGNAL);

		if (sent <= 0)
			return;
		bytes -= (size_t)sent;
	}
}

static void echo_headers(struct client *client, const struct http_head *head)
{
	AUTO_BUF text = buf_new(65536);

	buf_add_view(&text, head->method);
	buf_add_char(&text, ' ');
	buf_add_view(&text, head->target);
	buf_add_char(&text, '\n');
	for (size_t i = 0; i < head->field_count; i++) {
		buf_add_view(&text, head->fields[i].name);
		buf_add_text(&text, ": ");
		buf_add_view(&text, head->fields[i].value);
		buf_add_char(&text, '\n');
	}
	answer(client, "", text.at);
}

/* After 101: whatever comes goes back. */
static void echo_raw(struct client *client)
{
	say(client->fd, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
	do {
		(void)!send(client->fd, buf_view(&client->input).at, client->input.length, MSG_NOSIGNAL);
		buf_clear(&client->input);
	} while (more(client));
}

static void events(struct client *client)
{
	say(client->fd, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
	for (int i = 0; i < 3; i++) {
		AUTO_FREE char *event = text_format("data: %d\n\n", i);
		AUTO_FREE char *chunk = text_format("%zx\r\n%s\r\n", strlen(event), event);

		say(client->fd, chunk);
		usleep(30000);
	}
	while (more(client)) /* held open until the browser leaves */
		buf_clear(&client->input);
}

/* false: the connection ends. */
static bool serve(struct client *client, const struct http_head *head, const char *path)
{
	AUTO_BUF kept = buf_new(4096);
	uint64_t bytes;
	AUTO_FREE char *count = NULL;

	if (strcmp(path, "/ws") == 0) {
		echo_raw(client);
		return false;
	}
	if (strcmp(path, "/early") == 0) {
		say(client->fd, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
		return false;
	}
	if (head->expect_continue)
		say(client->fd, "HTTP/1.1 100 Continue\r\n\r\n");
	if (!body_read(client, head, &bytes, &kept))
		return false;
	if (strcmp(path, "/sse") == 0) {
		events(client);
		return false;
	}
	if (strcmp(path, "/chunked") == 0) {
		say(client->fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
		usleep(10000);
		say(client->fd, "7\r\n, world\r\n0\r\nX-Trailer: yes\r\n\r\n");
	} else if (strcmp(path, "/close") == 0) {
		say(client->fd, "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end");
		return false;
	} else if (strcmp(path, "/cut") == 0) {
		say(client->fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
		return false;
	} else if (strcmp(path, "/drop") == 0) {
		return false;
	} else if (strcmp(path, "/smuggle") == 0) {
		say(client->fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
	} else if (strncmp(path, "/big/", 5) == 0) {
		AUTO_FREE char *text = text_format("HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\n", path + 5);

		say(client->fd, text);
		send_many(client->fd, strtoul(path + 5, NULL, 10));
	} else if (strncmp(path, "/headers", 8) == 0) {
		echo_headers(client, head);
	} else if (strcmp(path, "/redirect") == 0) {
		answer(client, "Location: /login?x=1\r\nSet-Cookie: sid=1; Path=/; HttpOnly\r\nSet-Cookie: a=b\r\n", "");
	} else if (strcmp(path, "/once") == 0) {
		answer(client, "", "once"); /* and then it ends, having promised to go on */
		return false;
	} else {
		if (view_is(head->method, "HEAD")) {
			say(client->fd, "HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n");
			return true;
		}
		count = text_format("%s %llu %s", path, (unsigned long long)bytes, kept.at ? kept.at : "");
		answer(client, "", count);
	}
	return head->keep_alive;
}

static void *client_main(void *self)
{
	struct client client = {.fd = (int)(intptr_t)self, .input = buf_new(SIZE_MAX / 4)};
	bool going = true;

	while (going) {
		struct http_head head;
		size_t scanned = 0;
		struct err err;
		enum http_result result;
		AUTO_FREE char *bytes = NULL;
		AUTO_FREE char *path = NULL;

		while ((result = http_request_parse(buf_view(&client.input), &scanned, &head, &err)) == HTTP_MORE && more(&client))
			;
		if (result != HTTP_DONE)
			break;
		/* The views of the head must outlive the input. */
		bytes = view_copy(view_make(client.input.at, head.bytes));
		scanned = 0;
		(void)http_request_parse(view_make(bytes, head.bytes), &scanned, &head, &err);
		buf_drop_front(&client.input, head.bytes);
		path = view_copy(head.target);
		going = serve(&client, &head, path);
	}
	buf_fini(&client.input);
	(void)close(client.fd);
	return NULL;
}

static void *service_main(void *self)
{
	int listener = (int)(intptr_t)self;

	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		pthread_t thread;

		if (fd < 0)
			return NULL;
		socket_tune(fd);
		atomic_fetch_add(&service_connections, 1);
		if (pthread_create(&thread, NULL, client_main, (void *)(intptr_t)fd) == 0)
			(void)pthread_detach(thread);
	}
}

void service_listen(int listener)
{
	pthread_t thread;

	(void)fcntl(listener, F_SETFL, 0);
	(void)pthread_create(&thread, NULL, service_main, (void *)(intptr_t)listener);
	(void)pthread_detach(thread);
}

void service_start(int port)
{
	AUTO_FREE char *address = text_format("127.0.0.1:%d", port);
	struct err err;
	int fd;

	if (socket_listen_tcp(address, &fd, &err)) {
		(void)fprintf(stderr, "%s\n", err.text);
		abort();
	}
	service_listen(fd);
}
