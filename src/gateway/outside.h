/*
 * outside: connections to hosts outside, by the name that their synthetic address stands for. The name and the port are judged by the
 * environment's rules; on ports 80 and 443 the first bytes must then be HTTP whose Host, or a TLS ClientHello whose server name, is that
 * same name. Only then the name is looked up, and only public addresses of it are dialled. Hosts with stubs are answered by the
 * gateway itself and never looked up.
 *
 * There is no proxy to be configured in the sandbox: DNS leads here, so programs need no variables.
 */
#ifndef ASSAY_GATEWAY_OUTSIDE_H
#define ASSAY_GATEWAY_OUTSIDE_H

#include "gateway/flow.h"

void outside_begin(struct flow *flow, const char *host, uint16_t port);

#endif
