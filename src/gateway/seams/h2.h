/*
 * h2: HTTP/2 between services, without TLS and from the first byte ("prior knowledge", as gRPC in a cluster is). Frames pass as they come
 * (http/h2_relay.h); every stream is an exchange like one of HTTP/1.1. Trailers are among the response's headers, so that a gRPC call has its
 * `grpc-status` there.
 *
 * Faults are met by streams: one that hangs does not reach the server (when that ends, its client is told that nothing was done with it); a
 * slow one is answered late; 503 is answered by us, to gRPC as UNAVAILABLE. Reset and lost reset the connection.
 */
#ifndef ASSAY_GATEWAY_SEAMS_H2_H
#define ASSAY_GATEWAY_SEAMS_H2_H

#include "gateway/flow.h"

#define H2_SEAM_STREAMS_MAX 1000                 /* of a connection, open at once */
#define H2_SEAM_LATE_BYTES_MAX ((size_t)8 << 20) /* of answers that are slow: more goes on at once */
#define H2_SEAM_STREAMING_MS \
	1000 /* an answer that has begun and still goes on then is a stream, and does not keep an environment busy */

/* What the client (and perhaps the server before it) said is fed by the flow's data. */
void h2_seam_begin(struct flow *flow);

#endif
