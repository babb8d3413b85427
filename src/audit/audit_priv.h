/* audit_priv: what the files of src/audit share. */
#ifndef ASSAY_AUDIT_AUDIT_PRIV_H
#define ASSAY_AUDIT_AUDIT_PRIV_H

#include <pthread.h>

#include "audit/audit.h"
#include "ledger/segment.h"
#include "store/store.h"

#define AUDIT_WRITERS_MAX 16

struct audit {
	char *folder; /* <state>/ledger */
	struct audit_options options;
	char *public_key;
	char key_id[65];
	struct store *store;
	struct ledger *ledger;
	pthread_mutex_t ring_lock;  /* of the one ring */
	pthread_mutex_t index_lock; /* one brings the index up to date */
};

/* Names of the writers' folders. Each, and the list, is the caller's. */
MUST_USE int audit_writers(const struct audit *audit, char ***names, size_t *count, struct err *err);
/* The heads that we kept, of all writers. To be read before the segments, which only grow. */
MUST_USE int audit_witnesses(struct audit *audit, struct ledger_head *heads, size_t most, size_t *count, struct err *err);

#endif
