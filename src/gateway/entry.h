/* entry: where a sandbox's connections come in: who is meant is read from the original destination, and the right protocol begins. */
#ifndef ASSAY_GATEWAY_ENTRY_H
#define ASSAY_GATEWAY_ENTRY_H

#include <stdint.h>

struct door;
struct egress_verdict;
struct flow;

void entry_accept(struct door *door, int fd); /* takes the connection */
/* The same of one that was made elsewhere: to that address, one of ours or none. */
void entry_flow(struct door *door, int fd, uint32_t address, uint16_t port);

/* Refuses a connection to what may not be reached: in words to HTTP, by an alert to TLS, by a reset to all others (egress/refusal.h). `host` and
 * the verdict are copied. */
void entry_deny(struct flow *flow, const char *host, uint16_t port, const struct egress_verdict *verdict);

#endif
