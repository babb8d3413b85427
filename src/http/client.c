/* What both ways of a call share: ours over a Unix socket, libcurl for everybody else. */
#include <stdlib.h>
#include <strings.h>
#include <time.h>

#include "http/client_priv.h"

void http_response_fini(struct http_response *response)
{
	for (size_t i = 0; i < response->header_count; i++) {
		free((char *)(uintptr_t)response->headers[i].name);
		free((char *)(uintptr_t)response->headers[i].value);
	}
	free(response->headers);
	buf_fini(&response->body);
	*response = (struct http_response){0};
}

static int64_t now_us(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int http_client_call(const struct http_call *call, struct http_response *response, struct err *err)
{
	int64_t begun_us = now_us();
	int result;

	*response = (struct http_response){.body = buf_new(call->body_bytes_max ? call->body_bytes_max : BUF_MAX_DEFAULT)};
	result = call->unix_socket ? http_local_call(call, response, err) : http_curl_call(call, response, err);
	response->duration_us = now_us() - begun_us;
	if (result)
		http_response_fini(response);
	return result;
}

const char *http_response_header(const struct http_response *response, const char *name)
{
	for (size_t i = 0; i < response->header_count; i++)
		if (strcasecmp(response->headers[i].name, name) == 0)
			return response->headers[i].value;
	return NULL;
}
