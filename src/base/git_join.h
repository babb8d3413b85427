/*
 * git_join: several repositories as one tree, each in a folder of its name, and the way back. Work that concerns all of them is then a commit like
 * any other: one checkout, one environment, one verification. All repositories are bare and ours (base/git.h). Blocks.
 */
#ifndef ASSAY_BASE_GIT_JOIN_H
#define ASSAY_BASE_GIT_JOIN_H

#include "base/git.h"

#define GIT_SIDES_MAX 6

struct git_side {
	const char *name;       /* its folder; no slash */
	const char *repository; /* its own */
	struct git_hash commit;
};

/*
 * The commit in `joined` (made when it is not there) whose tree is the file `file` with `text`, beside each side's tree in its folder; its parents are
 * the sides' commits, which are brought there, with their history. The same call gives the same commit, wherever and whenever.
 */
MUST_USE int git_join(const char *joined, const struct git_side *sides, size_t count, const char *file, struct view text,
		      struct git_hash *commit, struct err *err);

/*
 * What `whole`, a commit in `joined`, has in the side's folder, as one commit on top of the side's, in the side's own repository as `ref`. *commit is the
 * side's when nothing differs there, and no ref is set then. The same call gives the same commit. ERR_INVALID: the folder is something else by now.
 */
MUST_USE int git_split(const char *joined, const struct git_hash *whole, const struct git_side *side, const char *ref,
		       const char *message, struct git_hash *commit, struct err *err);

#endif
