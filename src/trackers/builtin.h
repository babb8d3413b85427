/* builtin: the tracker that needs no account: issues in the store, shown on Assay's own pages. */
#ifndef ASSAY_TRACKERS_BUILTIN_H
#define ASSAY_TRACKERS_BUILTIN_H

#include "base/world.h"
#include "store/store.h"
#include "trackers/tracker.h"

/* Borrows the store. Free with tracker_builtin_free. */
struct tracker tracker_builtin_new(struct store *store, struct world world);
void tracker_builtin_free(struct tracker tracker);

/* A new issue in the caller's transaction, as make() gives it; owned by the caller. */
json_t *tracker_builtin_make_in(struct store_tx *tx, struct world world, const char *repository, const char *title,
				const char *body, struct err *err);

#endif
