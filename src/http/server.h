/*
 * server: HTTP/1.1 for our own pages and API. A thread of its own runs the loop with all connections; handlers run on a pool of
 * threads, so they may block. Keep-alive, chunked requests, streams (SSE), graceful stop.
 *
 *	static const struct http_route routes[] = {
 *		{"GET", "/api/v1/runs/{id}", run_show, 0},
 *		{"POST", "/api/v1/runs", run_make, 1 << 20},
 *		{"GET", "/static/" "*", static_file, 0},
 *	};
 *
 * The first route whose method and pattern fit is taken. `{name}` fits one segment, which is percent-decoded; a last `*` fits the
 * rest. GET routes answer HEAD too. A path that fits only with other methods gets 405, none gets 404.
 */
#ifndef ASSAY_HTTP_SERVER_H
#define ASSAY_HTTP_SERVER_H

#include <sys/types.h>

#include "base/json.h"

#define HTTP_PARAMS_MAX 8
#define HTTP_SERVER_CONNECTIONS_MAX 4096

struct http_server;
struct http_reply;
struct http_stream;

/* Valid until the handler returns. All text is NUL-terminated. */
struct http_request {
	const char *method;
	const char *path;  /* as sent, percent-encoded, "." and ".." resolved */
	const char *query; /* without "?", "" when none */
	struct view body;
	const char *peer;               /* "127.0.0.1:5001" or "unix" */
	bool local;                     /* came over a Unix socket */
	uid_t peer_uid;                 /* of a Unix socket's peer */
	const char *rest;               /* what `*` stood for, "" otherwise */
	const struct http_route *route; /* the row that fits; NULL in `before` when none does */
	const void *internal;
};

/* A request and the reply to it. */
struct http_asked {
	const struct http_request *request;
	struct http_reply *reply;
};

#define HTTP_TOGETHER_MAX 64 /* requests that are handled together */

struct http_route {
	const char *method; /* "*": any, of a path that no row before fits */
	const char *pattern;
	void (*handle)(void *self, const struct http_request *request, struct http_reply *reply);
	size_t body_bytes_max; /* over it the client gets 413 */
	/* In place of `handle`: all that came while those before were handled, on one thread, answered before it returns (none by a stream, and none
	 * handed over). */
	void (*handle_all)(void *self, const struct http_asked *asked, size_t count);
};

struct http_server_spec {
	const struct http_route *routes;
	size_t route_count;
	void *self;                /* given to the handlers */
	size_t threads;            /* 0: 8 */
	int64_t idle_ms;           /* a connection without a request is closed after it; 0: 75 s */
	const char *extra_headers; /* lines "Name: value\r\n" put into each reply, e.g. security headers; NULL: none */
	/* Called before each handler, also when no route fits; answering the request here (true) ends it. NULL: none. */
	bool (*before)(void *self, const struct http_request *request, struct http_reply *reply);
};

struct http_server *http_server_new(const struct http_server_spec *spec, struct err *err);
/* Listeners are added before the start; see net/socket.h for the forms of address. *port is the bound one (may be NULL). */
MUST_USE int http_server_listen_tcp(struct http_server *server, const char *address, int *port, struct err *err);
MUST_USE int http_server_listen_unix(struct http_server *server, const char *path, mode_t mode, struct err *err);
MUST_USE int http_server_start(struct http_server *server, struct err *err);
/* Stops accepting, lets requests that run end (at most grace_ms), closes streams, frees. Not from a handler. NULL is fine. */
void http_server_free(struct http_server *server, int64_t grace_ms);

/* Borrowed until the handler returns; NULL when absent. */
const char *http_request_header(const struct http_request *request, const char *name);
const char *http_request_param(const struct http_request *request, const char *name);
/* Decoded; owned by the caller; NULL when absent. */
char *http_request_query(const struct http_request *request, const char *name);
char *http_request_cookie(const struct http_request *request, const char *name);
/* The body as JSON, owned by the caller; NULL and err when it is none. */
json_t *http_request_json(const struct http_request *request, struct err *err);

/* A header of the answer, before it is sent. Control bytes in the value are replaced by blanks. */
void http_reply_header(struct http_reply *reply, const char *name, const char *value);
/* Exactly one of these answers; a handler that returns without gets 500 sent for it, a second answer is dropped. `body` is copied. */
void http_reply_send(struct http_reply *reply, unsigned status, const char *content_type, struct view body);
void http_reply_json(struct http_reply *reply, unsigned status, const json_t *json);
/* A problem (RFC 9457): {"type": "urn:assay:problem:KIND", "title", "status", "detail": the text of err, "kind"}. The status fits the
 * kind: 400, 404, 409 for CONFLICT and CANCELLED, 403, 413 for LIMIT, 503 for RETRY, 500. Owned by the caller. */
json_t *http_problem(const struct err *err);
void http_reply_problem(struct http_reply *reply, unsigned status, const struct err *err); /* with a status of the caller's own */
void http_reply_err(struct http_reply *reply, const struct err *err); /* the problem, as application/problem+json */
unsigned http_reply_status(const struct http_reply *reply);           /* that it was answered with; 0 before */
void http_reply_redirect(struct http_reply *reply, unsigned status, const char *location);

/* Answers with a body that is written as it comes, chunked; the connection is closed at its end. The stream outlives the handler and
 * is the caller's: http_stream_close() exactly once. For SSE the content type is "text/event-stream". */
struct http_stream *http_reply_stream(struct http_reply *reply, unsigned status, const char *content_type);
/* Any thread; copies and never blocks. false: the client is gone, or reads so slowly that more than 8 MiB waited (then it is cut). */
bool http_stream_write(struct http_stream *stream, struct view bytes);
/* One event: "event: name", "id: id" (both may be NULL), "data: …" for each line of data. */
bool http_stream_event(struct http_stream *stream, const char *name, const char *id, struct view data);
void http_event_format(struct buf *text, const char *name, const char *id, struct view data); /* the same, for several streams */
/* How many bytes that were written are not yet taken by the socket. Any thread. */
size_t http_stream_waiting(struct http_stream *stream);
/* Do at most bytes_max wait? If not, `room` is called once when none do, or the client is gone, and not after http_stream_close: on the server's
 * thread, with the stream locked: it must not block, and calls nothing of the stream. Any thread. */
bool http_stream_room(struct http_stream *stream, size_t bytes_max, void (*room)(void *self), void *self);
bool http_stream_gone(struct http_stream *stream);  /* any thread: the client left, or the server stops */
void http_stream_close(struct http_stream *stream); /* what was written is sent before */
void http_stream_cut(struct http_stream *stream);   /* in place of http_stream_close: what waits is thrown away */

/* Answers 101 and hands the connection over to another protocol: the socket (non-blocking) is the caller's from now on, and the server
 * forgets it. Bytes that the client sent early are appended to `early`. Returns the descriptor; -1 with ERR_INVALID when the request
 * asks for no upgrade to `protocol`; then the handler still has to answer. */
MUST_USE int http_reply_upgrade(struct http_reply *reply, const char *protocol, struct buf *early, struct err *err);
/* The same for a WebSocket (RFC 6455 4.2.2) that offers `protocol` among its Sec-WebSocket-Protocol; no extension is agreed on. */
MUST_USE int http_reply_websocket(struct http_reply *reply, const char *protocol, struct buf *early, struct err *err);

#endif
