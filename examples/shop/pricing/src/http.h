/* The least HTTP/1.1 server that is still a correct one: one request per connection, a thread for each, limits on everything. */
#pragma once

#include <stddef.h>

#define HTTP_REQUEST_BYTES_MAX 65536
#define HTTP_ANSWER_BYTES_MAX 16384
#define HTTP_CONNECTIONS_MAX 64
#define HTTP_TIMEOUT_S 10

struct http_request {
	char method[8];
	char path[256];
	char request_id[80]; /* "-" if there is none */
	const char *body;
	size_t body_bytes;
};

/* Fills `answer` (NUL-terminated JSON) and returns the status. Called from many threads at once. */
typedef int http_handle(const struct http_request *request, char *answer, size_t answer_size);

/* Serves on the port until SIGTERM or SIGINT; returns the exit status. */
int http_serve(int port, http_handle *handle);
