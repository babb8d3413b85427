/*
 * h1: the sandbox's side of a connection to the outside that speaks HTTP/1: its requests are read strictly, one at a time, and go through the
 * pipeline. Whatever is not certain about a message's end closes the connection.
 */
#ifndef ASSAY_GATEWAY_EGRESS_H1_H
#define ASSAY_GATEWAY_EGRESS_H1_H

#include "gateway/flow.h"

#define H1_HEAD_MS 30000  /* for a head, from its first byte on */
#define H1_IDLE_MS 120000 /* between requests, and without a byte of a body that is due */

/* All requests must be for that host and port: `host` is canonical, and what the connection was made to. `first` is what the client sent
 * before. */
void h1_begin(struct flow *flow, const char *host, uint16_t port, struct view first);
/* Requests name their host themselves, in absolute form, or ask for a tunnel (egress/proxy.h). */
void h1_proxy_begin(struct flow *flow);

#endif
