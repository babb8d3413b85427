/*
 * effects: what a request takes away, by name: keys and members that its services remove from Redis, and counters that they move. Rows are
 * compared as they are in the end; of keys only the commands are seen. What a request makes and takes away itself, a lock or a count of what is
 * under way, is none.
 */
#ifndef ASSAY_VERIFY_EFFECTS_H
#define ASSAY_VERIFY_EFFECTS_H

#include "base/json.h"

/* {"front > cache DEL cart:…": true} of an entry of a run (verify/compare.h); `inside` as for call_edge(). Owned by the caller. */
json_t *effects_of(const json_t *entry, const json_t *inside);

/* The first effect that the head has where the request fails, and the base, twice, only where it succeeds; the others are the entries of one
 * request under the same fault, `whole` that of the base without one. Owned by the caller; NULL: none. */
char *effects_first_early(const json_t *whole, const json_t *base, const json_t *again, const json_t *head, const json_t *inside);

#endif
