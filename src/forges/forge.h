/*
 * forge: where pull requests live and branches are merged. Promises as in trackers/tracker.h: errors by what the caller does next, no
 * state about runs, and the same call again has no further effect. A pull request's natural key is its repository and branch.
 */
#ifndef ASSAY_FORGES_FORGE_H
#define ASSAY_FORGES_FORGE_H

#include "base/git.h"
#include "store/list.h"

#define FORGE_TEXT_BYTES_MAX ((size_t)256 << 10)

struct forge_pull {
	const char *repository;
	const char *branch; /* "assay/12-fix-the-cart" */
	const char *target; /* "main" */
	const char *title;
	const char *body;
	bool draft;
	struct git_hash base;
	struct git_hash head;
	const char *run;
	int64_t issue;
	const char *verdict;     /* "verified", … or NULL */
	const char *environment; /* or NULL */
	const char *preview;     /* a URL, or NULL */
	/* Asked in the transaction that writes it: who hung while another took the work over must not write over it. May be NULL. */
	int (*held)(const void *self, struct store_tx *tx, struct err *err);
	const void *held_self;
};

enum forge_state { FORGE_OPEN, FORGE_MERGED, FORGE_CLOSED };

struct forge_ops {
	const char *name;
	/* A page of pull requests as in doc/api.md, the newest first; owned by the caller. */
	json_t *(*list)(void *self, const struct list_ask *ask, struct err *err);
	json_t *(*fetch)(void *self, int64_t number, struct err *err);
	/* Makes it, or brings the open one of this branch to this form. ERR_CONFLICT when the branch's was merged or closed by a person:
	 * what happened is asked with fetch(). */
	int (*upsert)(void *self, const struct forge_pull *pull, int64_t *number, struct err *err);
	int (*review)(void *self, int64_t number, const char *author, const char *kind, const char *text, const char *operation,
		      struct err *err);
	/* Merges the head that was published into the target as it is now. ERR_CONFLICT names files; merged already is no error. */
	int (*merge)(void *self, int64_t number, struct git_hash *merged, struct err *err);
	int (*close)(void *self, int64_t number, struct err *err);
};

struct forge {
	const struct forge_ops *ops;
	void *self;
};

json_t *forge_list(struct forge forge, const struct list_ask *ask, struct err *err);
json_t *forge_fetch(struct forge forge, int64_t number, struct err *err);
MUST_USE int forge_upsert(struct forge forge, const struct forge_pull *pull, int64_t *number, struct err *err);
MUST_USE int forge_review(struct forge forge, int64_t number, const char *author, const char *kind, const char *text,
			  const char *operation, struct err *err);
MUST_USE int forge_merge(struct forge forge, int64_t number, struct git_hash *merged, struct err *err);
MUST_USE int forge_close(struct forge forge, int64_t number, struct err *err);
/* The state in what fetch() gave. */
enum forge_state forge_state_of(const json_t *pull);

#endif
