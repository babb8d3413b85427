/*
 * otlp: sends the spans of this process (base/span.h) to a collector, by OTLP over HTTP as JSON.
 *
 * Nothing waits for it: spans go into a queue of a stated length, a thread sends what is in it every few seconds, and what finds the
 * queue full, or the collector unwilling for long, is dropped and counted. Settings are the standard variables of OpenTelemetry:
 * OTEL_EXPORTER_OTLP_ENDPOINT (to which "/v1/traces" is added) or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT (as it is), …_HEADERS, …_TIMEOUT,
 * OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_BSP_SCHEDULE_DELAY, and OTEL_SDK_DISABLED or OTEL_TRACES_EXPORTER=none for none at all.
 *
 * Sources: opentelemetry.io/docs/specs/otlp (1.5), …/otel/protocol/exporter, …/otel/configuration/sdk-environment-variables.
 */
#ifndef ASSAY_HTTP_OTLP_H
#define ASSAY_HTTP_OTLP_H

#include "base/span.h"

#define OTLP_QUEUE_MAX 2048 /* spans that wait */
#define OTLP_BATCH_MAX 512  /* of one request */
#define OTLP_CLOSE_MS 2000  /* the last ones are sent for so long when the process ends */

struct otlp;

/* What became of spans since the start. */
struct otlp_counts {
	int64_t sent;
	int64_t dropped;
};

/* As the environment says; *otlp is NULL when it names no collector. ERR_INVALID names the variable that is wrong. `version` is of the service. */
MUST_USE int otlp_open(const char *version, struct otlp **otlp, struct err *err);
struct otlp_counts otlp_counts(struct otlp *otlp); /* any thread */
/* Sends what waits, for OTLP_CLOSE_MS. After all threads that begin spans. NULL is fine. */
void otlp_close(struct otlp *otlp);

/* What a collector is sent for a span; owned by the caller. */
json_t *otlp_span(const struct span *span);

#endif
