/*
 * dial: connects a flow's server leg to a host outside, after the verdict and never before: the name is looked up (on the pool; what was
 * found is remembered for DIAL_REMEMBERED_MS), addresses that may not be reached are left out, and the others are tried as RFC 8305 has it: the
 * families in turn, the next one 250 ms after the last or when that failed, and the first that connects is the flow's.
 */
#ifndef ASSAY_GATEWAY_EGRESS_DIAL_H
#define ASSAY_GATEWAY_EGRESS_DIAL_H

#include "gateway/flow.h"

#define DIAL_REMEMBERED_MS 5000

struct dial;
struct dial_names; /* a worker's memory of names */

struct dial_names *dial_names_new(void);
void dial_names_free(struct dial_names *names);

/* Begins. What fails is told by the protocol's server_lost, now or later, which may call dial_again(). The flow outlives it. */
struct dial *dial_begin(struct flow *flow, const char *host, uint16_t port);
/* Begins at the next address; false when there is none. */
bool dial_again(struct dial *dial);
bool dial_looks_up(const struct dial *dial); /* the name is not known yet */
void dial_free(struct dial *dial);           /* NULL is fine */

#endif
