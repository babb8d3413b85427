/*
 * reproduction: one finding of a record, looked at again: the gates that it needs, and of the sessions its own, up to its request. Where the machine has
 * the record's snapshot it is forked from that, else from what the blueprint's seeds make.
 */
#ifndef ASSAY_VERIFY_REPRODUCTION_H
#define ASSAY_VERIFY_REPRODUCTION_H

#include "base/json.h"

struct reproduction {
	const char *gate;       /* of the finding */
	const char *session;    /* NULL: all of them */
	int64_t entry;          /* its request in the session; -1: all of them */
	const json_t *snapshot; /* {"name", "version", "digest"} of the record, or NULL */
};

/* Is the gate one that the finding's needs? */
bool reproduction_needs(const struct reproduction *reproduction, const char *gate);

#endif
