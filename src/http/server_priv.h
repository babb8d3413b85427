/* server_priv: what server.c (connections, on the loop) and reply.c (requests and replies, on the pool) share. */
#ifndef ASSAY_HTTP_SERVER_PRIV_H
#define ASSAY_HTTP_SERVER_PRIV_H

#include <pthread.h>

#include "http/codec.h"
#include "http/server.h"
#include "net/loop.h"

struct connection;

struct param {
	char *name;
	char *value;
};

/* One request from its head to its answer: made and freed on the loop, filled by the handler on the pool. */
struct http_reply {
	struct http_server *server;
	struct connection *connection; /* loop only */
	struct http_request request;
	char *head_bytes; /* what `head` borrows from */
	struct http_head head;
	struct buf body;
	char *peer;
	char *path;
	char *query;
	char *rest;
	const struct http_route *route; /* NULL: no_route_status is answered */
	unsigned no_route_status;
	struct param params[HTTP_PARAMS_MAX];
	size_t param_count;
	char **kept; /* header values handed out as text */
	size_t kept_count;

	struct buf headers; /* lines added by http_reply_header */
	bool answered;
	unsigned status;
	struct buf output; /* head and body of the answer */
	bool close;        /* the answer ends the connection */
	struct http_stream *stream;
	bool upgraded;           /* the connection is no longer ours */
	struct http_reply *next; /* of those that wait to be handled together */
};

/* together.c: requests of routes that handle several at once, and wait while others are handled. */
struct together {
	struct http_server *server;
	pthread_mutex_t mutex;
	struct http_reply *first, **last;
	size_t waiting;
	unsigned takers; /* threads that handle some */
	bool posted;     /* loop only: it is looked after at the end of this turn */
};

void together_init(struct together *together, struct http_server *server);
void together_fini(struct together *together);
/* On the loop. false: too many wait. */
MUST_USE bool together_add(struct together *together, struct http_reply *reply);

/* Held by the caller and, while attached, by the connection. */
struct http_stream {
	pthread_mutex_t mutex;
	struct loop *loop;
	struct connection *connection; /* loop only */
	struct buf pending;
	size_t unsent; /* bytes that the connection took and the socket did not */
	void (*room)(void *self);
	void *room_self;
	unsigned holders;
	bool gone;
	bool closed;
	bool cut;
	bool flush_posted;
};

struct http_reply *reply_new(struct http_server *server, struct connection *connection, const struct http_head *head,
			     const char *peer);
void reply_free(struct http_reply *reply);
/* Finds the route and fills path, query, params. */
void reply_route(struct http_reply *reply, const struct http_route *routes, size_t route_count);
/* Calls `before`, then the handler, and sees to it that there is an answer. */
void reply_run(struct http_reply *reply, const struct http_server_spec *spec);
/* The same for several of one route with `handle_all`. */
void reply_run_all(struct http_reply *const *replies, size_t count, const struct http_server_spec *spec);
/* The answer for what never reaches a handler. */
void reply_plain(struct http_reply *reply, unsigned status, const char *text);

struct loop *server_loop(struct http_server *server);
const struct http_server_spec *server_spec(const struct http_server *server);
struct pool *server_pool(struct http_server *server);
void server_answer(struct http_reply *reply); /* any thread: it is answered, the connection goes on */
const char *server_extra_headers(struct http_server *server);
void stream_flush_on_loop(void *stream); /* server.c */
void stream_release(struct http_stream *stream);
void stream_unsent(struct http_stream *stream, size_t bytes); /* on the loop: so many wait for the socket */
/* On the handler's thread: a duplicate of the connection's socket, and what was read of it beyond the request. */
MUST_USE int server_socket_take(struct http_reply *reply, struct buf *early, struct err *err);

#endif
