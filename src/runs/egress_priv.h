/* egress_priv: what the files of egress share: the state, and what is done to it. */
#ifndef ASSAY_RUNS_EGRESS_PRIV_H
#define ASSAY_RUNS_EGRESS_PRIV_H

#include <pthread.h>
#include <sys/types.h>
#include <time.h>

#include "runs/egress.h"

struct egress {
	struct egress_ops ops;
	struct world world;
	char *path; /* of egress.json */
	char *state_policy;
	char *named_policy; /* NULL: not named */
	pthread_mutex_t mutex;
	pthread_mutex_t reloading;
	json_t *state;
	json_t *price_table;
	json_t *prices;       /* its rows: borrowed */
	json_t *prices_about; /* where they are from */
	json_t *policy;       /* NULL: none */
	char *policy_path;
	struct timespec policy_changed;
	off_t policy_size;
	int64_t policy_loaded_ms;
	char policy_error[ERR_TEXT_MAX];
	uint64_t version;
	bool attached;
};

void egress_lock(struct egress *egress);
void egress_unlock(struct egress *egress);

/* Holding the mutex, all of them. */
json_t *egress_part(struct egress *egress, const char *name); /* of the state: an object, made when absent; borrowed */
json_t *egress_part_of(json_t *object, const char *name);
MUST_USE int egress_save(struct egress *egress, struct err *err);
void egress_save_logged(struct egress *egress);
void egress_over_text(const json_t *run,
		      struct buf *out); /* of a run's spending: that it is over its budget; nothing when it is not */

/* Whose answers are remembered and whose spending is added up together: a run's environments, or one that is nobody's. */
const char *egress_owner(const char *env, const char *run);

#endif
