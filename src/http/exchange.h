/*
 * exchange: one request and its response on a seam or at the preview, as the gateway logs it (net/messages.h) and as sessions keep
 * it (http/har.h). All pointers are owned; texts are valid UTF-8; absent texts are NULL.
 */
#ifndef ASSAY_HTTP_EXCHANGE_H
#define ASSAY_HTTP_EXCHANGE_H

#include "base/json.h"

#define EXCHANGE_BODY_KEPT_MAX ((size_t)64 << 10)

struct exchange_header {
	char *name; /* owned, with its value behind it */
	char *value;
};

struct exchange_headers {
	struct exchange_header *at;
	size_t count;
};

struct exchange_body {
	char *at; /* as on the wire: Content-Encoding not undone; NUL-terminated beyond its length */
	size_t length;
	size_t capacity; /* of `at`; may be less than it has */
	uint64_t bytes;  /* of all of it; more than length when it was cut */
	bool cut;
};

struct exchange {
	uint64_t seq;
	char *from;
	char *to;
	char *proto; /* "http", "postgres", "mysql", "redis", "amqp", "nats", "tcp"; "dns": a name that did not resolve; "otlp": said, not seen (gateway/told.h) */
	char *phase;
	char *replay; /* label of the verifier's request; NULL: none */
	char *error;  /* why there is no (whole) response, or what a database answered */
	int64_t t0_ms;
	int64_t dt_us;

	/* Request. method and url for http; url is as sent, for preview and egress absolute. */
	char *method;
	char *url;
	char *command;   /* postgres: query, execute; redis: GET … */
	char *statement; /* SQL text; redis: the command with its arguments, cut */
	struct exchange_headers request_headers;
	struct exchange_body request_body;

	/* Response. status 0: none came. */
	int status;
	char *complete; /* postgres: the command tag; redis: the kind of reply */
	struct exchange_headers response_headers;
	struct exchange_body response_body;
};

void exchange_fini(struct exchange *exchange);
#define AUTO_EXCHANGE __attribute__((cleanup(exchange_fini))) struct exchange

void exchange_header_add(struct exchange_headers *headers, struct view name, struct view value);
/* First such header, any case; NULL when absent. Borrowed. */
const char *exchange_header(const struct exchange_headers *headers, const char *name);
/* Keeps at most EXCHANGE_BODY_KEPT_MAX bytes, counts all, sets cut. */
void exchange_body_add(struct exchange_body *body, struct view bytes);
/* Takes the memory out of a body that is not needed any more, for another one; with nothing in it. */
struct exchange_body exchange_body_spare(struct exchange_body *body);

/* One line of the log, newline included. */
void exchange_format(struct buf *out, const struct exchange *exchange);
/* Unknown members are ignored; members of the wrong type are ERR_INVALID. */
MUST_USE int exchange_parse(struct view line, struct exchange *exchange, struct err *err);

#endif
