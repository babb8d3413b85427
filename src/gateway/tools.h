/*
 * tools: http://assay.internal/ in the sandboxes that may: a proxy to the control plane's tool API on a Unix socket, with the caller's name
 * in X-Assay-Env and X-Assay-Sandbox, set here and nowhere else. Not logged as exchanges: they are not the application's.
 */
#ifndef ASSAY_GATEWAY_TOOLS_H
#define ASSAY_GATEWAY_TOOLS_H

#include "gateway/flow.h"

void tools_begin(struct flow *flow);

#endif
