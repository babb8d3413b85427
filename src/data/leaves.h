/*
 * leaves: the texts and numbers within a JSON document, each with its path and its place, found without building the document: what is
 * around them stays byte for byte when one is replaced. A path has keys, and `*` for the elements of a list.
 */
#ifndef ASSAY_DATA_LEAVES_H
#define ASSAY_DATA_LEAVES_H

#include "base/json.h"

#define LEAVES_DEPTH_MAX 100
#define LEAVES_PATH_MAX ((size_t)4096)

struct leaf {
	const char *path; /* list elements are "*" */
	struct view raw;  /* its bytes in the document, quotes included */
	bool is_text;     /* else a number */
};

/* Calls `each` in order; one that returns nonzero ends the walk with that. -1 without err's being set by `each`: the text is no JSON. */
MUST_USE int leaves_walk(struct view document, int (*each)(void *self, const struct leaf *leaf, struct err *err), void *self,
			 struct err *err);
/* What a leaf's bytes say, a blank for a NUL, owned by the caller; NULL when they are none. */
char *leaf_text(const struct leaf *leaf);
/* Does a rule's path ("/contact/email", `*` for any key or index) name this leaf, or something it is in? */
bool leaf_is_at(const char *rule_path, const char *path);

#endif
