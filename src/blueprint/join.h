/*
 * join: one blueprint of several repositories, each of which is checked out in a folder of its name. What runs, is tested, replayed, protected or may
 * leave in any of them does so in all of them together: services and databases have one name space, and what one repository stubs as a host and
 * another has as a service is that service. Names that clash are refused. Who works is said by the first that says so.
 */
#ifndef ASSAY_BLUEPRINT_JOIN_H
#define ASSAY_BLUEPRINT_JOIN_H

#include "base/buf.h"

struct blueprint_side {
	const char *folder; /* of the repository: letters, digits, dashes */
	struct view text;   /* its assay.yaml; empty: it has none, and only brings its files */
};

/* The text of an assay.yaml, checked. ERR_INVALID names the repository and what is wrong with it, or which two do not go together. */
MUST_USE int blueprint_join(const struct blueprint_side *sides, size_t count, struct buf *out, struct err *err);

#endif
