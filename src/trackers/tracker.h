/*
 * tracker: where issues live. An implementation holds no state about runs, never sleeps, and reports errors by what the caller does
 * next (base/err.h): ERR_RETRY means the same call with the same operation id later.
 *
 * An item is the tracker's own name of an issue ("12", "ENG-12"). Whatever changes something takes an operation id, derived from
 * (run, step) and never random when sent: the same call with the same id again has no further effect.
 */
#ifndef ASSAY_TRACKERS_TRACKER_H
#define ASSAY_TRACKERS_TRACKER_H

#include "store/list.h"

#define TRACKER_TITLE_BYTES_MAX ((size_t)500)
#define TRACKER_TEXT_BYTES_MAX ((size_t)256 << 10)

struct tracker_ops {
	const char *name;
	/* A page of issues as in doc/api.md, the newest first; owned by the caller. */
	json_t *(*list)(void *self, const struct list_ask *ask, struct err *err);
	json_t *(*fetch)(void *self, const char *item, struct err *err);
	json_t *(*make)(void *self, const char *repository, const char *title, const char *body, struct err *err);
	/* The issue is worked on by this run: ERR_CONFLICT when another one has it, or it is done or closed. */
	int (*claim)(void *self, const char *item, const char *run, struct err *err);
	int (*post)(void *self, const char *item, const char *author, const char *text, const char *operation, struct err *err);
	int (*link_pull)(void *self, const char *item, int64_t pull, struct err *err);
	int (*set_state)(void *self, const char *item, const char *state, struct err *err);
};

struct tracker {
	const struct tracker_ops *ops;
	void *self;
};

/* Wrappers: they check texts against the limits above. */
json_t *tracker_list(struct tracker tracker, const struct list_ask *ask, struct err *err);
json_t *tracker_fetch(struct tracker tracker, const char *item, struct err *err);
json_t *tracker_make(struct tracker tracker, const char *repository, const char *title, const char *body, struct err *err);
MUST_USE int tracker_claim(struct tracker tracker, const char *item, const char *run, struct err *err);
MUST_USE int tracker_post(struct tracker tracker, const char *item, const char *author, const char *text, const char *operation,
			  struct err *err);
MUST_USE int tracker_link_pull(struct tracker tracker, const char *item, int64_t pull, struct err *err);
MUST_USE int tracker_set_state(struct tracker tracker, const char *item, const char *state, struct err *err);

#endif
