/*
 * branch: a run's branch at the code host of one of its projects, as we last knew it: what we pushed there last, or took from there. It says of what
 * is there now whether somebody took something back, and a push finds it there or does not happen. A ref of the project's repository holds it.
 */
#ifndef ASSAY_RUNS_BRANCH_H
#define ASSAY_RUNS_BRANCH_H

#include "base/git.h"

/* All borrowed. */
struct branch {
	const char *path; /* the project's repository here */
	const char *run;
	const char *name;
};

enum branch_news {
	BRANCH_KNOWN, /* nothing that is not in ours */
	BRANCH_MORE,  /* it went forward, or nobody knows what it was before */
	BRANCH_BACK,  /* ours has what was there and is there no longer */
};

/* Of no digits: nothing was seen there yet. */
MUST_USE int branch_seen(const struct branch *branch, struct git_hash *seen, struct err *err);
/* It was `before` when it was last known, and is `now`; who was faster knew something newer, and is not contradicted. */
MUST_USE int branch_see(const struct branch *branch, const struct git_hash *before, const struct git_hash *now, struct err *err);
/* What `there` is for a run whose head is `ours`. `seen` is from before `there` was fetched: a push of ours may have come between. */
MUST_USE int branch_news(const struct branch *branch, const struct git_hash *seen, const struct git_hash *there,
			 const struct git_hash *ours, enum branch_news *news, struct err *err);
/* May `head` be pushed over what was seen? `newest` is the run's head (no digits: it has none), read after `seen`: what was taken back leaves it before
 * it is known to be gone there. ERR_DENIED: `head` does not follow what was seen, or the run went on without it. */
MUST_USE int branch_push_check(const struct branch *branch, const struct git_hash *seen, const struct git_hash *newest,
			       const struct git_hash *head, struct err *err);
/* Nothing of it is kept in a project's repository any more: the run is gone. */
MUST_USE int branches_forget(const char *path, const char *run, struct err *err);
/* What the run made and goes on without stays in the repository. */
MUST_USE int branch_keep(const struct branch *branch, const struct git_hash *commit, struct err *err);

#endif
