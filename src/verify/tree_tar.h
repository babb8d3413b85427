/*
 * tree_tar: some files of a commit as a tar archive, byte for byte as they are committed. `git archive` is not used: it obeys the commit's own
 * .gitattributes (export-ignore, export-subst), which could keep a test from being put back.
 */
#ifndef ASSAY_VERIFY_TREE_TAR_H
#define ASSAY_VERIFY_TREE_TAR_H

#include "base/git.h"

#define TREE_TAR_PATHS_MAX ((size_t)40) /* of one call */
#define TREE_TAR_BYTES_MAX ((size_t)128 << 20)

/* Appends an archive of the paths ([path], from index `from` on, at most TREE_TAR_PATHS_MAX of them); what is no file or link is left out. */
MUST_USE int tree_tar(const char *repository, const struct git_hash *commit, const json_t *paths, size_t from, struct buf *out,
		      struct err *err);

#endif
