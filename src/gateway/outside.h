/*
 * outside: connections to hosts outside, by the name that their synthetic address stands for, or that CONNECT named. The name and the port
 * are judged by the environment's rules; then the first bytes must be HTTP, or a TLS ClientHello whose server name is that same name.
 * TLS is opened with a certificate of the environment's own authority, unless a rule passes the host through; what is said inside goes
 * request by request through the pipeline (egress/pipeline.h). Only what is allowed is looked up, and only public addresses of it are
 * dialled. Hosts with stubs are answered by the gateway itself and never looked up.
 *
 * On a port that a rule names, other than 80 and 443, something else may be spoken too, if the rule allows everything there: then bytes
 * are passed on as they are.
 *
 * There is no proxy to be configured in the sandbox: DNS leads here, so programs need no variables.
 */
#ifndef ASSAY_GATEWAY_OUTSIDE_H
#define ASSAY_GATEWAY_OUTSIDE_H

#include "gateway/flow.h"

/* `first` is what the client sent already. */
void outside_begin(struct flow *flow, const char *host, uint16_t port, struct view first);

#endif
