/*
 * restart: when a process that ended may be started again. One that was well is at once; one that could not be started waits, twice as
 * long after each failure. Holds nothing; the caller locks. Times are world_elapsed_ms().
 */
#ifndef ASSAY_BASE_RESTART_H
#define ASSAY_BASE_RESTART_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define RESTART_PAUSE_FIRST_MS 100
#define RESTART_PAUSE_LONGEST_MS 10000

struct restart {
	int64_t pause_ms; /* 0: its last start was good */
	int64_t again_ms; /* not before */
};

/* ERR_RETRY, which says how long it still waits; `what` is how people call it. */
MUST_USE int restart_allowed(const struct restart *restart, int64_t now_ms, const char *what, struct err *err);
/* What became of a start. */
void restart_ended(struct restart *restart, int64_t now_ms, bool good);

#endif
