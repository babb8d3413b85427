/*
 * client: HTTP requests to others, by libcurl, which nobody else includes and the first such call loads; and to servers of ours over
 * Unix sockets, without it. Every call blocks and may come from any thread but a loop's. Redirects are not followed, environment
 * proxies are not used, TLS is verified.
 */
#ifndef ASSAY_HTTP_CLIENT_H
#define ASSAY_HTTP_CLIENT_H

#include "base/buf.h"

#define HTTP_CALL_HEADERS_MAX 64
#define HTTP_SESSION_IDLE_MAX 8 /* connections that wait for the next call */

struct http_header {
	const char *name;
	const char *value;
};

/* Whom to trust and as whom to come, in PEM; what is NULL is the system's, or nothing. */
struct http_tls {
	const char *authority;
	const char *certificate, *key; /* both or neither */
	const char *server_name;       /* that its certificate must have, where it is not the URL's host */
	bool unverified;               /* any certificate will do */
};

/* Connections that are kept between calls, for whoever calls one server often. Any thread. */
struct http_session;
struct http_session *http_session_new(void);
void http_session_free(struct http_session *session); /* no call is under way; NULL is allowed */

struct http_call {
	const char *method; /* NULL: GET, or POST with a body */
	const char *url;
	const char *unix_socket;      /* connect here instead, without TLS; the URL's host is then only the Host header */
	const char *connect_to;       /* "127.0.0.1:7421": connect here whatever the URL's host is */
	const struct http_tls *tls;   /* NULL: the system's authorities */
	const char *proxy;            /* "http://…", "https://…", "socks5://…"; NULL: none */
	struct http_session *session; /* NULL: a connection of its own */
	const struct http_header *headers;
	size_t header_count;
	struct view body;
	bool has_body;         /* send `body` even when it is empty */
	int64_t timeout_ms;    /* for all of it; 0: 30 s; -1: none (streams) */
	size_t body_bytes_max; /* of the response; 0: 64 MiB; over it ERR_LIMIT */
	/* When set, the response body comes here as it arrives instead of into the response; false ends the call (ERR_CANCELLED). Also
	 * called with an empty view at least once a second while nothing arrives. */
	bool (*on_bytes)(void *self, struct view bytes);
	void *self;
};

struct http_response {
	unsigned status;
	struct http_header *headers; /* in order, owned */
	size_t header_count;
	struct buf body;
	int64_t duration_us;
};

/* Any status is success; failing to get a whole response is ERR_RETRY (connection) or ERR_BROKEN (what came is no HTTP). */
MUST_USE int http_client_call(const struct http_call *call, struct http_response *response, struct err *err);
void http_response_fini(struct http_response *response);
#define AUTO_RESPONSE __attribute__((cleanup(http_response_fini))) struct http_response
/* First such header, any case; NULL when absent. */
const char *http_response_header(const struct http_response *response, const char *name);

#endif
