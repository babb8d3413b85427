/*
 * proxy: the way out for programs that want a proxy named: http://proxy.assay.internal:3128, CONNECT and absolute form. It ends in the same
 * code as connections that nobody knows to be intercepted, which all others are; it is offered for programs that refuse to work without.
 */
#ifndef ASSAY_GATEWAY_EGRESS_PROXY_H
#define ASSAY_GATEWAY_EGRESS_PROXY_H

#include "gateway/egress/request.h"
#include "gateway/flow.h"
#include "gateway/policy/host.h"
#include "http/codec.h"

void proxy_begin(struct flow *flow);
/* Where CONNECT is to lead. false: nowhere; the verdict says why. */
bool proxy_target(const struct flow *flow, const struct http_head *head, char host[HOST_NAME_MAX_BYTES], uint16_t *port,
		  struct egress_verdict *verdict);

#endif
