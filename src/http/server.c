/*
 * The server's connections.
 *
 * Theory of operation: one thread runs the loop and owns every connection. A request goes: head parsed on the loop, route found, body
 * collected up to the route's limit, handler run on the pool, answer posted back, written, next request. While a handler runs its
 * connection is not read, and is not freed before the answer came back. A stream is shared by the connection and the handler's
 * code; its bytes pass through a buffer under its mutex.
 */
#include "http/server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/scope.h"
#include "http/server_priv.h"
#include "net/pool.h"
#include "net/socket.h"

#define LISTENERS_MAX 8
#define READ_BYTES 65536
#define REQUEST_MS 30000 /* from the first byte of a head to its last; between two pieces of a body */
#define DRAIN_MS 2000    /* how long a closed client may go on sending before it is reset */
#define JOBS_WAITING_MAX 1024

enum connection_state {
	CONNECTION_HEAD,    /* a request is awaited or its head is read */
	CONNECTION_BODY,    /* its body is read */
	CONNECTION_HANDLED, /* a handler runs */
	CONNECTION_ANSWER,  /* the answer is written */
	CONNECTION_STREAM,  /* a stream is attached */
	CONNECTION_DRAIN,   /* answered and shut down; what still comes is thrown away */
};

struct listener {
	struct http_server *server;
	struct loop_watch watch;
	struct loop_timer retry;
	int fd;
	bool local;
};

struct connection {
	struct http_server *server;
	struct connection *next, **place;
	struct loop_watch watch;
	struct loop_timer timer;
	int fd;
	bool local;
	uid_t peer_uid;
	char *peer;
	enum connection_state state;
	bool gone; /* the client left while a handler ran */
	struct buf input;
	size_t scanned;
	struct http_body decoder;
	struct http_reply *reply;
	struct buf output;
	size_t written; /* of output */
	struct http_stream *stream;
	bool stream_chunked;
	bool stream_ended;
};

struct http_server {
	struct http_server_spec spec;
	char *extra_headers;
	struct loop *loop;
	struct pool *pool;
	struct listener listeners[LISTENERS_MAX];
	size_t listener_count;
	struct connection *connections;
	size_t connection_count;
	pthread_t thread;
	bool started;
	bool stopping;
	int64_t grace_ms;
	struct loop_timer stop_timer;
	struct together together;
};

static void connection_step(struct connection *connection);

struct loop *server_loop(struct http_server *server)
{
	return server->loop;
}

const struct http_server_spec *server_spec(const struct http_server *server)
{
	return &server->spec;
}

struct pool *server_pool(struct http_server *server)
{
	return server->pool;
}

const char *server_extra_headers(struct http_server *server)
{
	return server->extra_headers;
}

static void stop_check(struct http_server *server)
{
	if (server->stopping && !server->connections)
		loop_stop(server->loop);
}

static void stream_detach(struct connection *connection)
{
	struct http_stream *stream = connection->stream;

	if (!stream)
		return;
	connection->stream = NULL;
	(void)pthread_mutex_lock(&stream->mutex);
	stream->gone = true;
	stream->connection = NULL;
	(void)pthread_mutex_unlock(&stream->mutex);
	stream_unsent(stream, 0);
	stream_release(stream);
}

static void connection_free(void *self)
{
	struct connection *connection = self;

	buf_fini(&connection->input);
	buf_fini(&connection->output);
	free(connection->peer);
	free(connection);
}

/* Closes; the memory goes at the end of the turn. While a handler runs only the descriptor stops being watched. */
static void connection_close(struct connection *connection)
{
	struct http_server *server = connection->server;

	loop_watch_remove(server->loop, &connection->watch);
	loop_timer_stop(server->loop, &connection->timer);
	if (connection->state == CONNECTION_HANDLED) {
		connection->gone = true;
		return;
	}
	stream_detach(connection);
	reply_free(TAKE(connection->reply));
	(void)close(connection->fd);
	*connection->place = connection->next;
	if (connection->next)
		connection->next->place = connection->place;
	server->connection_count--;
	loop_defer(server->loop, connection_free, connection);
	stop_check(server);
}

/* The kernel throws away what waits, too. */
static void connection_cut(struct connection *connection)
{
	static const struct linger at_once = {.l_onoff = 1, .l_linger = 0};

	(void)setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	connection_close(connection);
}

static void timer_expired(struct loop_timer *timer)
{
	connection_close((struct connection *)((char *)timer - offsetof(struct connection, timer)));
}

static void events_want(struct connection *connection)
{
	bool reads = connection->state != CONNECTION_HANDLED && connection->state != CONNECTION_ANSWER;
	bool writes = connection->written < connection->output.length;

	loop_watch_set(connection->server->loop, &connection->watch, (reads ? LOOP_READ : 0) | (writes ? LOOP_WRITE : 0));
}

/* Writes what waits; false when the client is gone (and the connection closed). */
static bool output_flush(struct connection *connection)
{
	while (connection->written < connection->output.length) {
		ssize_t wrote = send(connection->fd, connection->output.at + connection->written,
				     connection->output.length - connection->written, MSG_NOSIGNAL);

		if (wrote < 0 && (errno == EAGAIN || errno == EINTR))
			return true;
		if (wrote < 0) {
			connection_close(connection);
			return false;
		}
		connection->written += (size_t)wrote;
	}
	buf_fini(&connection->output);
	connection->output = buf_new(SIZE_MAX / 4);
	connection->written = 0;
	return true;
}

static void drain_begin(struct connection *connection)
{
	(void)shutdown(connection->fd, SHUT_WR);
	connection->state = CONNECTION_DRAIN;
	loop_timer_set(connection->server->loop, &connection->timer, DRAIN_MS);
}

/* The answer is out: the next request, or the end. */
static void answer_end(struct connection *connection)
{
	bool last = connection->reply->close || connection->server->stopping;

	reply_free(TAKE(connection->reply));
	if (last) {
		drain_begin(connection);
		return;
	}
	connection->state = CONNECTION_HEAD;
	connection->scanned = 0;
	loop_timer_set(connection->server->loop, &connection->timer,
		       connection->input.length ? REQUEST_MS : connection->server->spec.idle_ms);
	connection_step(connection);
}

static void chunk_add(struct connection *connection, struct view bytes)
{
	if (connection->stream_chunked)
		buf_add_format(&connection->output, "%zx\r\n", bytes.length);
	buf_add_view(&connection->output, bytes);
	if (connection->stream_chunked)
		buf_add_text(&connection->output, "\r\n");
}

/* Takes what the stream holds; false when nothing waits. */
static bool stream_take(struct connection *connection, bool *cut)
{
	struct http_stream *stream = connection->stream;
	struct buf pending;

	(void)pthread_mutex_lock(&stream->mutex);
	connection->stream_ended = stream->closed;
	*cut = stream->cut;
	pending = stream->pending;
	stream->unsent = pending.length;
	stream->pending = buf_new(pending.length_max);
	(void)pthread_mutex_unlock(&stream->mutex);
	if (pending.length)
		chunk_add(connection, buf_view(&pending));
	buf_fini(&pending);
	if (connection->stream_ended && connection->stream_chunked)
		buf_add_text(&connection->output, "0\r\n\r\n");
	return connection->output.length > 0;
}

/* Moves what the stream holds to the socket, a portion after the other. */
static void stream_pump(struct connection *connection)
{
	bool cut = false;

	for (;;) {
		if (!output_flush(connection))
			return;
		stream_unsent(connection->stream, connection->output.length - connection->written);
		if (connection->output.length)
			break;
		if (connection->stream_ended) {
			stream_detach(connection);
			drain_begin(connection);
			break;
		}
		if (!stream_take(connection, &cut) && !connection->stream_ended)
			break;
		if (cut) {
			connection_cut(connection);
			return;
		}
	}
	events_want(connection);
}

void stream_flush_on_loop(void *self)
{
	struct http_stream *stream = self;
	bool cut;

	(void)pthread_mutex_lock(&stream->mutex);
	stream->flush_posted = false;
	cut = stream->cut;
	(void)pthread_mutex_unlock(&stream->mutex);
	if (stream->connection && cut)
		connection_cut(stream->connection);
	else if (stream->connection)
		stream_pump(stream->connection);
	stream_release(stream);
}

static void stream_attach(struct connection *connection, struct http_stream *stream)
{
	connection->stream = stream;
	connection->stream_chunked = connection->reply->head.minor != 0;
	connection->state = CONNECTION_STREAM;
	stream->connection = connection;
	stream_pump(connection);
}

/* On the loop: a handler has ended. */
static void reply_done(void *self)
{
	struct http_reply *reply = self;
	struct connection *connection = reply->connection;

	connection->state = CONNECTION_ANSWER;
	if (reply->upgraded) {
		connection_close(connection);
		return;
	}
	if (connection->gone) {
		if (reply->stream) {
			connection->stream = reply->stream;
			stream_detach(connection);
		}
		connection_close(connection);
		return;
	}
	buf_fini(&connection->output);
	connection->output = reply->output;
	reply->output = (struct buf){0};
	connection->written = 0;
	if (reply->stream) {
		stream_attach(connection, reply->stream);
		return;
	}
	loop_timer_set(connection->server->loop, &connection->timer, REQUEST_MS);
	connection_step(connection);
}

int server_socket_take(struct http_reply *reply, struct buf *early, struct err *err)
{
	/* While the handler runs the loop neither reads this connection nor frees it. */
	struct connection *connection = reply->connection;
	int fd = fcntl(connection->fd, F_DUPFD_CLOEXEC, 3);

	if (fd < 0)
		return err_errno(err, errno, "cannot take the connection over");
	buf_add_view(early, buf_view(&connection->input));
	reply->upgraded = true;
	reply->answered = true;
	return fd;
}

void server_answer(struct http_reply *reply)
{
	loop_post(reply->server->loop, reply_done, reply);
}

static void job_run(void *self)
{
	struct http_reply *reply = self;

	reply_run(reply, &reply->server->spec);
	server_answer(reply);
}

static bool job_add(struct http_server *server, struct http_reply *reply)
{
	return reply->route && reply->route->handle_all ? together_add(&server->together, reply)
							: pool_add(server->pool, job_run, reply);
}

static void request_run(struct connection *connection)
{
	connection->state = CONNECTION_HANDLED;
	loop_timer_stop(connection->server->loop, &connection->timer);
	if (job_add(connection->server, connection->reply)) {
		events_want(connection);
		return;
	}
	reply_plain(connection->reply, 503, "the server is too busy; try again");
	reply_done(connection->reply);
}

/* Answers without a handler, and ends the connection after it. */
static void request_refuse(struct connection *connection, unsigned status, const char *text)
{
	struct http_head none = {.method = VIEW(""), .minor = 1};

	if (!connection->reply) {
		connection->reply = reply_new(connection->server, connection, &none, connection->peer);
		connection->reply->request.method = text_copy("GET");
	}
	connection->reply->close = true;
	reply_plain(connection->reply, status, text);
	connection->state = CONNECTION_HANDLED;
	reply_done(connection->reply);
}

/* Reads a head from the input; true when the state moved on. */
static bool head_step(struct connection *connection)
{
	struct http_head head;
	struct err err;
	enum http_result result = http_request_parse(buf_view(&connection->input), &connection->scanned, &head, &err);
	struct http_reply *reply;

	if (result == HTTP_MORE)
		return false;
	if (result == HTTP_BAD) {
		request_refuse(connection, err.kind == ERR_LIMIT ? 431 : 400, err.text);
		return false;
	}
	reply = reply_new(connection->server, connection, &head, connection->peer);
	connection->reply = reply;
	reply->request.local = connection->local;
	reply->request.peer_uid = connection->peer_uid;
	reply_route(reply, connection->server->spec.routes, connection->server->spec.route_count);
	buf_drop_front(&connection->input, reply->head.bytes);
	http_body_init(&connection->decoder, &reply->head);
	if (reply->head.framing == HTTP_BODY_LENGTH && reply->head.content_length > reply->body.length_max) {
		request_refuse(connection, reply->route ? 413 : reply->no_route_status,
			       reply->route ? "the body is too large" : http_status_text(reply->no_route_status));
		return false;
	}
	if (reply->head.expect_continue && !http_body_ended(&connection->decoder)) {
		buf_add_text(&connection->output, "HTTP/1.1 100 Continue\r\n\r\n");
		if (!output_flush(connection))
			return false;
	}
	connection->state = CONNECTION_BODY;
	return true;
}

/* Feeds the input to the body; true when the state moved on. */
static bool body_step(struct connection *connection)
{
	struct http_reply *reply = connection->reply;
	size_t done = 0;
	struct err err;

	for (;;) {
		struct view bytes = view_make(buf_view(&connection->input).at + done, connection->input.length - done);
		struct view data;
		size_t used;
		enum http_result result = http_body_feed(&connection->decoder, bytes, &used, &data, &err);

		buf_add_view(&reply->body, data);
		done += used;
		if (result == HTTP_BAD || reply->body.over) {
			request_refuse(connection, result == HTTP_BAD ? 400 : 413,
				       result == HTTP_BAD ? err.text : "the body is too large");
			return false;
		}
		if (result == HTTP_DONE) {
			buf_drop_front(&connection->input, done);
			request_run(connection);
			return false;
		}
		if (!used) {
			buf_drop_front(&connection->input, done);
			return false;
		}
	}
}

static void answer_step(struct connection *connection)
{
	if (!output_flush(connection))
		return;
	if (connection->output.length)
		events_want(connection);
	else
		answer_end(connection);
}

static void connection_step(struct connection *connection)
{
	if (connection->state == CONNECTION_HEAD && !head_step(connection) && connection->state != CONNECTION_HEAD)
		return;
	if (connection->state == CONNECTION_BODY) {
		(void)body_step(connection);
		if (connection->state != CONNECTION_BODY)
			return;
	}
	if (connection->state == CONNECTION_ANSWER) {
		answer_step(connection);
		return;
	}
	events_want(connection);
}

/* Reads once; false when the client is gone (and the connection closed). */
static bool input_read(struct connection *connection)
{
	char bytes[READ_BYTES];
	ssize_t got = recv(connection->fd, bytes, sizeof(bytes), 0);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (got <= 0) {
		connection_close(connection);
		return false;
	}
	if (connection->state == CONNECTION_DRAIN || connection->state == CONNECTION_STREAM)
		return true; /* nothing that comes now is of use */
	if (connection->state == CONNECTION_BODY || !connection->input.length)
		loop_timer_set(connection->server->loop, &connection->timer, REQUEST_MS);
	buf_add(&connection->input, bytes, (size_t)got);
	return true;
}

static void connection_ready(struct loop_watch *watch, unsigned events)
{
	struct connection *connection = (struct connection *)((char *)watch - offsetof(struct connection, watch));
	enum connection_state state = connection->state;

	if ((events & LOOP_BROKEN) && (state == CONNECTION_HANDLED || state == CONNECTION_STREAM || state == CONNECTION_DRAIN)) {
		connection_close(connection);
		return;
	}
	if (state == CONNECTION_STREAM) {
		if ((events & LOOP_READ) && !input_read(connection))
			return;
		stream_pump(connection);
		return;
	}
	if (state != CONNECTION_ANSWER && (events & (LOOP_READ | LOOP_BROKEN)) && !input_read(connection))
		return;
	connection_step(connection);
}

static void connection_new(struct http_server *server, int fd, bool local)
{
	struct connection *connection = mem_new(sizeof(*connection));
	AUTO_BUF peer = buf_new(128);

	connection->server = server;
	connection->fd = fd;
	connection->local = local;
	if (local) {
		struct ucred credentials = {.uid = (uid_t)-1};
		socklen_t length = sizeof(credentials);

		(void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length);
		connection->peer_uid = credentials.uid;
	}
	socket_peer_format(&peer, fd);
	connection->peer = buf_take(&peer);
	connection->input = buf_new(SIZE_MAX /
				    4); /* bounded by the head's limit and one read: nothing is read while a request runs */
	connection->output = buf_new(SIZE_MAX / 4);
	connection->watch.ready = connection_ready;
	connection->timer.expired = timer_expired;
	connection->next = server->connections;
	connection->place = &server->connections;
	if (connection->next)
		connection->next->place = &connection->next;
	server->connections = connection;
	server->connection_count++;
	if (loop_watch_add(server->loop, &connection->watch, fd, LOOP_READ, NULL))
		connection_close(connection);
	else
		loop_timer_set(server->loop, &connection->timer, server->spec.idle_ms);
}

static void listener_retry(struct loop_timer *timer)
{
	struct listener *listener = (struct listener *)((char *)timer - offsetof(struct listener, retry));

	loop_watch_set(listener->server->loop, &listener->watch, LOOP_READ);
}

static void listener_ready(struct loop_watch *watch, unsigned events)
{
	struct listener *listener = (struct listener *)((char *)watch - offsetof(struct listener, watch));
	struct http_server *server = listener->server;
	struct err err;
	int fd;

	(void)events;
	if (socket_accept(listener->fd, &fd, &err)) {
		if (err.kind == ERR_RETRY)
			return;
		log_warn("%s", err.text); /* out of descriptors: look again in a moment */
		loop_watch_set(server->loop, watch, 0);
		loop_timer_set(server->loop, &listener->retry, 100);
		return;
	}
	if (server->connection_count >= HTTP_SERVER_CONNECTIONS_MAX)
		(void)close(fd);
	else
		connection_new(server, fd, listener->local);
}

struct http_server *http_server_new(const struct http_server_spec *spec, struct err *err)
{
	struct http_server *server = mem_new(sizeof(*server));

	server->spec = *spec;
	if (!server->spec.threads)
		server->spec.threads = 8;
	if (!server->spec.idle_ms)
		server->spec.idle_ms = 75000;
	server->extra_headers = text_copy(spec->extra_headers);
	together_init(&server->together, server);
	server->loop = loop_new(err);
	if (!server->loop) {
		http_server_free(server, 0);
		return NULL;
	}
	return server;
}

static int listener_add(struct http_server *server, int fd, bool local, struct err *err)
{
	struct listener *listener = &server->listeners[server->listener_count];

	if (server->listener_count == LISTENERS_MAX) {
		(void)close(fd);
		return err_set(err, ERR_LIMIT, "more than %d listeners", LISTENERS_MAX);
	}
	*listener = (struct listener){.server = server, .fd = fd, .local = local};
	listener->watch.ready = listener_ready;
	listener->retry.expired = listener_retry;
	server->listener_count++;
	return loop_watch_add(server->loop, &listener->watch, fd, LOOP_READ, err);
}

int http_server_listen_tcp(struct http_server *server, const char *address, int *port, struct err *err)
{
	int fd;

	if (socket_listen_tcp(address, &fd, err))
		return -1;
	if (port)
		*port = socket_port(fd);
	return listener_add(server, fd, false, err);
}

int http_server_listen_unix(struct http_server *server, const char *path, mode_t mode, struct err *err)
{
	int fd;

	return socket_listen_unix(path, mode, &fd, err) ? -1 : listener_add(server, fd, true, err);
}

static void *server_main(void *self)
{
	struct http_server *server = self;

	loop_run(server->loop);
	return NULL;
}

int http_server_start(struct http_server *server, struct err *err)
{
	int failed;

	server->pool = pool_new(server->spec.threads, JOBS_WAITING_MAX, err);
	if (!server->pool)
		return -1;
	failed = pthread_create(&server->thread, NULL, server_main, server);
	if (failed)
		return err_errno(err, failed, "cannot start the server's thread");
	server->started = true;
	return 0;
}

static void stop_expired(struct loop_timer *timer)
{
	struct http_server *server = (struct http_server *)((char *)timer - offsetof(struct http_server, stop_timer));

	loop_stop(server->loop);
}

/* On the loop: no new connections; idle ones and streams end now, the others after their answer. */
static void stop_begin(void *self)
{
	struct http_server *server = self;
	struct connection *next;

	server->stopping = true;
	for (size_t i = 0; i < server->listener_count; i++)
		loop_watch_remove(server->loop, &server->listeners[i].watch);
	for (struct connection *at = server->connections; at; at = next) {
		next = at->next;
		if (at->state == CONNECTION_HEAD || at->state == CONNECTION_STREAM || at->state == CONNECTION_DRAIN)
			connection_close(at);
	}
	server->stop_timer.expired = stop_expired;
	loop_timer_set(server->loop, &server->stop_timer, server->grace_ms);
	stop_check(server);
}

/* After the loop's end: handlers may still run; their answers find their connections, then all is closed. */
static void connections_end(struct http_server *server)
{
	pool_free(server->pool);
	loop_drain(server->loop);
	while (server->connections)
		connection_close(server->connections);
}

void http_server_free(struct http_server *server, int64_t grace_ms)
{
	if (!server)
		return;
	server->grace_ms = grace_ms;
	if (server->started) {
		loop_post(server->loop, stop_begin, server);
		(void)pthread_join(server->thread, NULL);
	}
	connections_end(server);
	for (size_t i = 0; i < server->listener_count; i++)
		(void)close(server->listeners[i].fd);
	loop_free(server->loop);
	together_fini(&server->together);
	free(server->extra_headers);
	free(server);
}
