/*
 * span: what was done, from when to when, and as a part of what: pieces of work, told to whoever watches (http/otlp.h sends them to a collector of
 * OpenTelemetry). While nobody watches, all of this does nothing.
 *
 * A span begins and ends on one thread; those begun in between are its parts, unless they are of another trace. A run is a trace: its id
 * and that of its root follow from the run's, so that what is told before and after a crash, or by two control planes, belongs together.
 *
 *	struct span span;
 *	span_begin(&span, SPAN_INTERNAL, "gate %s", name);
 *	span_text(&span, "assay.gate.status", status);
 *	span_end(&span, failed ? &err : NULL);
 */
#ifndef ASSAY_BASE_SPAN_H
#define ASSAY_BASE_SPAN_H

#include "base/json.h"

#define SPAN_NAME_MAX 120
#define SPAN_TRACE_BYTES 16
#define SPAN_ID_BYTES 8

enum span_kind { SPAN_INTERNAL = 1, SPAN_SERVER = 2 }; /* as OTLP's SpanKind */

struct span {
	bool watched; /* somebody is told when it ends */
	enum span_kind kind;
	char name[SPAN_NAME_MAX];
	unsigned char trace[SPAN_TRACE_BYTES];
	unsigned char id[SPAN_ID_BYTES];
	unsigned char parent[SPAN_ID_BYTES]; /* zeros: it is a root */
	int64_t begun_ns;                    /* since 1970 */
	int64_t ended_ns;
	json_t *attributes;       /* an object of texts, whole numbers and booleans; NULL: none */
	const struct err *failed; /* NULL: it went well; or that is not known */
	struct span *outer;       /* of this thread, current again when this one ends */
};

/* Is told of each span that ends, on the thread that ended it; must not block. NULL: nobody is. Set before threads begin, or unset after
 * they ended. */
void span_watch(void (*ended)(void *self, const struct span *span), void *self);
bool span_watched(void);

/* A part of this thread's current span, and the current one from now on; a trace of its own where there is none. */
void span_begin(struct span *span, enum span_kind kind, const char *format, ...) PRINTF_LIKE(3, 4);
/* The same in the trace of a run, below its root unless the current span is of that trace already. */
void span_begin_run(struct span *span, const char *run, const char *format, ...) PRINTF_LIKE(3, 4);
/* It goes on with what the caller of a request does: a header `traceparent` (W3C Trace Context), of any form; one that is none is ignored. */
void span_continue(struct span *span, const char *traceparent);
/* Copied; `text` NULL is left out. */
void span_text(struct span *span, const char *name, const char *text);
void span_number(struct span *span, const char *name, int64_t number);
/* Tells of it; `failed` NULL: it went well. */
void span_end(struct span *span, const struct err *failed);
/* The root of a run's trace, when the run is over; may be told again. */
void span_run(const char *run, int64_t begun_ms, int64_t ended_ms, json_t *attributes, const struct err *failed);

/* For a thread that does a part of another's work, which outlives it: what is current there is current here, too. */
struct span *span_current(void);
void span_join(struct span *current);

#endif
