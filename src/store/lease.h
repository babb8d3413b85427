/*
 * lease: who may do something alone, for a while. Taking one gives a token that is larger than every token given for its name before:
 * whoever lost a lease without knowing is told by it, because what it writes asks for its token (lease_check).
 *
 * Time is the store's (store_now_ms), so that machines with different clocks agree.
 */
#ifndef ASSAY_STORE_LEASE_H
#define ASSAY_STORE_LEASE_H

#include "store/store.h"

#define LEASE_NAME_MAX 96

struct lease {
	char name[LEASE_NAME_MAX];
	char owner[LEASE_NAME_MAX];
	int64_t token; /* 0: not held */
};

/* ERR_CONFLICT while another owner has it; the same owner takes it again at once, with a new token. */
MUST_USE int lease_take(struct store *store, struct world world, const char *name, const char *owner, int64_t life_ms,
			struct lease *lease, struct err *err);
/* ERR_CONFLICT when it was lost. One that ran out and that nobody took goes on. */
MUST_USE int lease_renew(struct store *store, struct world world, const struct lease *lease, int64_t life_ms, struct err *err);
/* Is it still ours, for this transaction? ERR_CONFLICT when not. */
MUST_USE int lease_check(struct store_tx *tx, const struct lease *lease, struct err *err);
/* Others may take it now; when that was stays known. */
void lease_release(struct store *store, struct world world, struct lease *lease);

#endif
