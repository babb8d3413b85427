/* What the service does with a body: text in, text and a status out. No sockets here, so tests call it directly. */
#pragma once

#include <stddef.h>

#define SERVICE_ANSWER_BYTES_MAX 16384

/* Answers a POST /quote: fills `answer` with JSON and returns the HTTP status, 200 or 400. */
int service_quote(const char *body, size_t body_bytes, char answer[SERVICE_ANSWER_BYTES_MAX]);
