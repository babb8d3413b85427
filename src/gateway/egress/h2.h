/*
 * h2: the sandbox's side of a connection to the outside that speaks HTTP/2: each stream is a request of its own and goes through the pipeline as
 * those of HTTP/1 do; what one of them waits for, a person or a host, holds no other up. What is wrong with a request ends its stream,
 * what is wrong with frames ends the connection. RFC 8441 (WebSockets) is not offered.
 */
#ifndef ASSAY_GATEWAY_EGRESS_H2_H
#define ASSAY_GATEWAY_EGRESS_H2_H

#include "gateway/flow.h"

#define H2_FIRST_MS 30000  /* until the first request, and for a header section from its first byte on */
#define H2_QUIET_MS 120000 /* without a request, or without a byte of a body that is due or that is to be read */
#define H2_FIELDS_BYTES_MAX ((size_t)256 << 10) /* of the heads of all requests under way: more are refused, to be sent again */
#define H2_PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

/* All requests must be for that host and port: `host` is canonical, and what the connection was made to. `first` is what the client sent
 * before. */
void h2_begin(struct flow *flow, const char *host, uint16_t port, struct view first);

#endif
