/*
 * address: the synthetic addresses of one environment. Its own names keep theirs for its life; outside hosts get one when they are looked
 * up, and the 4,096 used last keep it. So an address tells the name that was meant, and no lookup is made before a connection is
 * allowed.
 *
 *	198.18.0.1     the tool API
 *	198.18.0.2     the proxy for programs that want one
 *	198.18.1.0 …   services and databases
 *	198.19.0.0/16  outside hosts
 *
 * The address follows from the name (the next one when that is taken), so that programs which remember one still mean the same after
 * the gateway was started again.
 */
#ifndef ASSAY_GATEWAY_ADDRESS_H
#define ASSAY_GATEWAY_ADDRESS_H

#include "gateway/policy/policy.h"

#define ADDRESS_TOOLS 0xc6120001u
#define ADDRESS_PROXY 0xc6120002u
#define ADDRESS_OWN_FIRST 0xc6120100u
#define ADDRESS_OWN_SPAN 0xff00u
#define ADDRESS_OWN_MAX 4096
#define ADDRESS_HOST_FIRST 0xc6130000u
#define ADDRESS_HOST_SPAN 0x10000u
#define ADDRESS_HOSTS_MAX 4096

struct addresses;

struct addresses *addresses_new(void);
void addresses_free(struct addresses *addresses);
/* Host byte order; 0 when there are too many own names. */
uint32_t address_of_own(struct addresses *addresses, const char *name);
uint32_t address_of_host(struct addresses *addresses, const char *host);
/* Borrowed, until the next call of address_of_host; NULL when nothing has the address. */
const char *address_own_name(const struct addresses *addresses, uint32_t address);
const char *address_host_name(struct addresses *addresses, uint32_t address);

#endif
