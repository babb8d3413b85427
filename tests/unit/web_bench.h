/* A server of src/web over the fakes of web_fakes.c, and questions to it. */
#ifndef ASSAY_TESTS_WEB_BENCH_H
#define ASSAY_TESTS_WEB_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/scope.h"
#include "web/web.h"
#include "web_fakes.h"

struct bench {
	char dir[32];
	char *serve_socket;
	char *tool_socket;
	struct web *web;
	char *token;
	bool ended;
};

struct answer {
	unsigned status;
	char *text;
	char *type;
	char *etag;
	char *keeping; /* Cache-Control */
	char *policy;
	char *cookie;
	char *replayed; /* Idempotency-Replayed */
	char *retry;    /* Retry-After */
	char *rate;     /* RateLimit */
};

void answer_free(struct answer *answer);
#define AUTO_ANSWER __attribute__((cleanup(answer_free))) struct answer

enum road { TCP, UNIX, TOOL };

/* `headers`: "Name: value" lines; "$TOKEN" and "$PORT" in them are replaced. */
struct answer ask(struct bench *bench, enum road road, const char *method, const char *path, const char *headers, const char *body);

struct question {
	enum road road;
	const char *method;
	const char *path;
	const char *headers;
	const char *body;
	unsigned status;
	const char *says; /* part of the answer */
};

void questions_ask(struct bench *bench, const struct question *rows, size_t count); /* fails at the first that is not answered so */

#define GOOD "X-Assay-Token: $TOKEN"

extern atomic_llong bench_passed_ms; /* how far the server's clocks are before the real ones */

int bench_open(void **state); /* for a group: *state is the bench */
int bench_close(void **state);

#endif
