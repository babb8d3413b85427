/*
 * assay_env_http: the small HTTP/1.1 client of assay-env: plain sockets, one request a connection, names asked of the nameserver in
 * /etc/resolv.conf (a static program has no NSS). It speaks to our own tool API and to the services of the environment.
 */
#ifndef ASSAY_PROGRAMS_ASSAY_ENV_HTTP_H
#define ASSAY_PROGRAMS_ASSAY_ENV_HTTP_H

#include "base/buf.h"

#define ENV_HTTP_HEAD_MAX ((size_t)64 << 10)

struct env_url {
	char host[256];
	uint16_t port;      /* 0: none given */
	const char *target; /* "/path?query", borrowed; "" means "/" */
};

MUST_USE int env_url_parse(const char *text, struct env_url *url, struct err *err);

struct env_request {
	const char *method;
	struct env_url url;         /* port 0 means 80 */
	const char *const *headers; /* "Name: value", header_count of them */
	size_t header_count;
	struct view body;
	bool has_body;
	int64_t silence_ms; /* 0: for ever; the longest wait for the next byte */
};

struct env_response {
	int status;
	struct buf head;                              /* status line and headers, as they came */
	void (*headed)(void *self, struct view head); /* once, before the first byte of the body; may be NULL */
	bool (*bytes)(void *self, struct view bytes); /* the body as it comes, without chunk framing; false ends it */
	void *self;
};

/* Blocks until the body has ended. ERR_RETRY when there is no connection, ERR_BROKEN when the answer is no HTTP. */
MUST_USE int env_http_call(const struct env_request *request, struct env_response *response, struct err *err);

#endif
