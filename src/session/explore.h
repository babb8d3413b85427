/*
 * explore: requests that nobody has asked yet, made of what a document says can be asked (session/openapi.h) and of what was: one thing about
 * each is varied (a parameter or a field of the body), so that what a change answers otherwise there is seen. The same seed makes the same
 * requests; how many there are is bounded, and each operation has its turn before one has its second.
 */
#ifndef ASSAY_SESSION_EXPLORE_H
#define ASSAY_SESSION_EXPLORE_H

#include "http/har.h"

#define EXPLORE_DEFAULT 100
#define EXPLORE_MAX 5000
#define EXPLORE_PHASE "synthesised" /* of every exchange that is made */

struct explore_spec {
	const json_t *document;     /* of OpenAPI, or NULL */
	const struct session *seen; /* or NULL */
	uint64_t seed;
	size_t count; /* at most so many */
};

/* Adds them to the session. ERR_INVALID: neither a document nor a session gives anything to ask. */
MUST_USE int explore_make(const struct explore_spec *spec, struct session *session, struct err *err);

#endif
