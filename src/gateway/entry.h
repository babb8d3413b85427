/* entry: where a sandbox's connections come in: who is meant is read from the original destination, and the right protocol begins. */
#ifndef ASSAY_GATEWAY_ENTRY_H
#define ASSAY_GATEWAY_ENTRY_H

#include <stdint.h>

struct door;
struct flow;

void entry_accept(struct door *door, int fd); /* takes the connection */

/* Refuses a connection to what may not be reached: one clear line for HTTP (port 80 and 8080), a reset for all others. Tells the
 * control plane. `host` and `why` are copied. */
void entry_deny(struct flow *flow, const char *host, uint16_t port, const char *why);

#endif
