/*
 * resolver: answers what a sandbox asks of DNS, from what the gateway knows: names of its environment and outside hosts that the rules
 * allow get synthetic addresses, everything else does not exist. Nobody is asked.
 */
#ifndef ASSAY_GATEWAY_RESOLVER_H
#define ASSAY_GATEWAY_RESOLVER_H

struct door;

void resolver_udp(struct door *door, int fd); /* reads and answers what waits on the socket */
void resolver_tcp(struct door *door, int fd); /* takes a connection */

#endif
