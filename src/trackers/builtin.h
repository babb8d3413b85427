/*
 * builtin: the tracker that needs no account: issues in the store, shown on Assay's own pages. An issue from outside is a row here, too,
 * that names its connection and what it is called there; who keeps the two in step is runs/thread.
 */
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

/* An issue that lives outside; texts are borrowed. */
struct tracker_mirror {
	const char *connection;
	const char *account;
	const char *item;    /* "ENG-12": what people call it */
	const char *item_id; /* what its API calls it */
	const char *url;
	const char *repository;
	const char *title;
	const char *body;
};

/* In the caller's transaction. What was there is brought up to date, and is open again when it was closed here. */
MUST_USE int tracker_builtin_mirror(struct store_tx *tx, const struct tracker_mirror *mirror, int64_t now_ms, int64_t *number,
				    struct err *err);
MUST_USE int tracker_builtin_comment(struct store_tx *tx, int64_t number, const char *author, const char *text,
				     const char *operation, int64_t now_ms, struct err *err);
MUST_USE int tracker_builtin_claim(struct store_tx *tx, int64_t number, const char *run, struct err *err);

#endif
