/*
 * plane: this control plane among those that share a store. It holds a lease under its name; what it takes (a workflow, an effect) carries
 * the name and the lease's token, and is anybody's when that lease ran out or was taken again.
 */
#ifndef ASSAY_FLOW_PLANE_H
#define ASSAY_FLOW_PLANE_H

#include "store/lease.h"

#define PLANE_LIFE_MS 10000

struct plane {
	struct store *store;
	struct world world;
	struct lease lease;
	int64_t life_ms;
	int64_t renewed_ms; /* elapsed; atomic, as the next */
	bool lost;          /* another one has our name: it is over */
};

/* Who had this name before has it no longer. `life_ms` 0: PLANE_LIFE_MS. */
MUST_USE int plane_open(struct plane *plane, struct store *store, struct world world, const char *name, int64_t life_ms,
			struct err *err);
/* When a third of its life is over: goes on for a whole one. ERR_CONFLICT when it was lost. Call it often. */
MUST_USE int plane_renew(struct plane *plane, struct err *err);
bool plane_is_lost(const struct plane *plane);
/* May others have taken what we hold, because we could not renew? */
bool plane_is_late(const struct plane *plane);
void plane_close(struct plane *plane); /* others may take at once what it holds */

/* Put into a WHERE: the row's `owner` and `fence` are nobody's, or of one that is gone. One value: the time. */
#define PLANE_NOBODYS(table)                                                                                                      \
	"(" table ".owner IS NULL OR NOT EXISTS (SELECT 1 FROM lease WHERE lease.name = " table ".owner AND lease.token = " table \
	".fence AND lease.until_ms > ?))"

#endif
