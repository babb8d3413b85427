/*
 * reconcile: what must be true, rather than what happened. A table of things that are made true again and again, each at its interval, by
 * one of the control planes that share the store: whichever does it holds its lease meanwhile. A failure is remembered and tried again.
 */
#ifndef ASSAY_FLOW_RECONCILE_H
#define ASSAY_FLOW_RECONCILE_H

#include "base/world.h"
#include "store/store.h"

struct reconciler {
	const char *name;
	int64_t every_ms;
	int (*act)(void *self, struct err *err); /* may block; may be repeated; does nothing when all is well */
};

/* Does each that is due; *did is how many were tried. ERR_* of the store only: what a reconciler says is logged and stored. */
MUST_USE int reconcilers_work(struct store *store, struct world world, const char *plane, const struct reconciler *table,
			      size_t count, void *self, int *did, struct err *err);

#endif
