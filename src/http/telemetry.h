/*
 * telemetry: reads what programs export by OTLP over HTTP: requests of /v1/traces and /v1/logs, in protobuf or JSON, gzip or plain.
 *
 * The bytes are hostile: they come from the code that is judged. What is read from them is what that code says of itself, never what was
 * seen. Members that are not known are skipped, texts are made valid UTF-8 and cut, and what is of the wrong form is refused whole.
 *
 * Sources: opentelemetry.io/docs/specs/otlp (1.5); opentelemetry-proto 1.5, trace/v1/trace.proto, logs/v1/logs.proto, common/v1/common.proto.
 */
#ifndef ASSAY_HTTP_TELEMETRY_H
#define ASSAY_HTTP_TELEMETRY_H

#include "base/arena.h"
#include "base/span.h"

#define TELEMETRY_BODY_MAX ((size_t)4 << 20)  /* as it is read; of gzip, what comes out of it */
#define TELEMETRY_ITEMS_MAX ((size_t)10000)   /* spans, or lines, of one request */
#define TELEMETRY_VALUES_MAX ((size_t)400000) /* of JSON: some 40 for each span */
#define TELEMETRY_TEXT_MAX ((size_t)1024)     /* longer texts are cut */
#define TELEMETRY_ERROR 17                    /* a severity from here on is ERROR or FATAL */

enum telemetry_signal { TELEMETRY_TRACES, TELEMETRY_LOGS };
enum telemetry_coding { TELEMETRY_PROTOBUF, TELEMETRY_JSON };

/* A span, or a line of a log. Texts are of the request's arena, "" where there is none. */
struct telemetry_item {
	const char *service;                   /* the resource's service.name */
	const char *text;                      /* a span's name; a line, where it is a text */
	unsigned char trace[SPAN_TRACE_BYTES]; /* zeros: none */
	unsigned char id[SPAN_ID_BYTES];       /* of the span; of a line, the one it was written in; zeros: none */
	unsigned char parent[SPAN_ID_BYTES];   /* zeros: none */
	uint64_t begun_ns; /* since 1970, by its own clock; of a line, when it was written or seen; 0: not known */
	uint64_t ended_ns; /* of a span */
	uint32_t severity; /* of a line: 1 to 24, 0: not known */
	bool failed;       /* a span that says so */
};

struct telemetry {
	struct arena arena;
	struct telemetry_item *items;
	size_t count;
	size_t capacity;
};

void telemetry_fini(struct telemetry *telemetry);
#define AUTO_TELEMETRY __attribute__((cleanup(telemetry_fini))) struct telemetry

/* Undoes gzip. ERR_INVALID: it is none, or not whole, or more follows; ERR_LIMIT: over TELEMETRY_BODY_MAX. */
MUST_USE int telemetry_gunzip(struct buf *out, struct view body, struct err *err);
/* The items in their order; nothing on failure. ERR_INVALID: no such request; ERR_LIMIT: TELEMETRY_BODY_MAX or TELEMETRY_ITEMS_MAX. */
MUST_USE int telemetry_parse(enum telemetry_signal signal, enum telemetry_coding coding, struct view body,
			     struct telemetry *telemetry, struct err *err);

#endif
