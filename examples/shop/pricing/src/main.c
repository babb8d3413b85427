/* Pricing: GET /healthz and POST /quote on $PORT. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http.h"
#include "service.h"

static int handle(const struct http_request *request, char *answer, size_t answer_size)
{
	if (strcmp(request->path, "/healthz") == 0) {
		snprintf(answer, answer_size, "{\"ok\":true}");
		return 200;
	}
	if (strcmp(request->path, "/quote") == 0 && strcmp(request->method, "POST") == 0)
		return service_quote(request->body, request->body_bytes, answer);
	snprintf(answer, answer_size, "{\"error\":\"not found\"}");
	return 404;
}

int main(void)
{
	const char *port = getenv("PORT");
	setvbuf(stdout, NULL, _IOLBF, 0);
	return http_serve(port ? atoi(port) : 8002, handle);
}
