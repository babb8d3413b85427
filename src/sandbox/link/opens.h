/*
 * opens: the connections that a link carries, counted: so many at once and no more. Those that the pod opened, as either end counts them, have ids of its
 * own range. Loop's thread only.
 */
#ifndef ASSAY_SANDBOX_LINK_OPENS_H
#define ASSAY_SANDBOX_LINK_OPENS_H

#include "sandbox/link/mux.h"

#define LINK_OPENS_MAX 192 /* of one pod; each may have a window of bytes waiting */

struct link_opens {
	uint32_t ids[LINK_OPENS_MAX];
	size_t count;
	uint32_t last;
};

/* LINK_OPEN's body: u32 each. */
enum link_open_field { LINK_OPEN_KIND, LINK_OPEN_ADDRESS, LINK_OPEN_PORT, LINK_OPEN_FIELDS };

static inline bool link_is_open(uint32_t id)
{
	return id >= LINK_ID_OPEN && id < LINK_ID_MAX;
}

/* A fresh id for a connection; 0: there are too many. */
uint32_t link_opens_new(struct link_opens *opens);
/* One that has an id. False: that is in use, or one too many. */
bool link_opens_add(struct link_opens *opens, uint32_t id);
/* Something of it moved or ended: forgets it when it did. */
void link_opens_moved(struct link_opens *opens, const struct mux *mux, uint32_t id);
/* Ends all, here alone. */
void link_opens_drop(struct link_opens *opens, struct mux *mux);

#endif
