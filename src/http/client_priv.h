/* client_priv: the two ways of a call. Only for this folder. */
#ifndef ASSAY_HTTP_CLIENT_PRIV_H
#define ASSAY_HTTP_CLIENT_PRIV_H

#include "http/client.h"

/* As http_client_call; `response` is begun by the caller, who also ends it when this fails. */
MUST_USE int http_local_call(const struct http_call *call, struct http_response *response, struct err *err);
MUST_USE int http_curl_call(const struct http_call *call, struct http_response *response, struct err *err);

/* A connection as libcurl makes it, with its bytes as they are. One thread; the URL is http or https. */
struct http_pipe;
struct http_pipe *http_pipe_open(const char *url, int64_t timeout_ms, struct err *err);
MUST_USE int http_pipe_write(struct http_pipe *pipe, struct view bytes, struct err *err); /* all of them */
/* *length is 0 when nothing came for so long; ERR_RETRY: it is over. */
MUST_USE int http_pipe_read(struct http_pipe *pipe, char *at, size_t size, int64_t timeout_ms, size_t *length, struct err *err);
void http_pipe_close(struct http_pipe *pipe); /* NULL is allowed */

#endif
