/*
 * told: http://telemetry.assay.internal:4318 in every sandbox: what programs export by OTLP over HTTP (opentelemetry.io/docs/specs/otlp 1.5,
 * "OTLP/HTTP") in protobuf or JSON, plain or gzip. Spans, and lines of logs, become lines of the environment's log (protocol "otlp"); metrics
 * are accepted and dropped.
 *
 * It is what the code that is judged says of itself: no request of it counts as in flight, its lines are of no phase, so that whoever reads what
 * was seen during a request does not find them among it, and an environment that says too much is not listened to any further.
 */
#ifndef ASSAY_GATEWAY_TOLD_H
#define ASSAY_GATEWAY_TOLD_H

#include "gateway/flow.h"

#define TOLD_PORT 4318
#define TOLD_BYTES_MAX ((size_t)16 << 20) /* of lines of the log, of an environment's whole life */
#define TOLD_READ_MAX ((size_t)64 << 20)  /* of bodies that are read, likewise: the rest is accepted, and dropped */
#define TOLD_HELD_MAX ((size_t)16 << 20)  /* of bodies that are not whole yet, of an environment */

void told_begin(struct flow *flow);

#endif
