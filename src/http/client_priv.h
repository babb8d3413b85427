/* client_priv: the two ways of a call. Only for this folder. */
#ifndef ASSAY_HTTP_CLIENT_PRIV_H
#define ASSAY_HTTP_CLIENT_PRIV_H

#include "http/client.h"

/* As http_client_call; `response` is begun by the caller, who also ends it when this fails. */
MUST_USE int http_local_call(const struct http_call *call, struct http_response *response, struct err *err);
MUST_USE int http_curl_call(const struct http_call *call, struct http_response *response, struct err *err);

#endif
