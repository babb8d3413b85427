/*
 * latency: is one version slower than another, told so that a busy machine is no reason?
 *
 * Two lists of times, of requests sent in turn to both versions, are held against each other by rank (Mann-Whitney, one-sided): whatever
 * slows the machine slows both. Slower is who is it both surely (p < 0.001) and so much that somebody would notice: a quarter and
 * LATENCY_SHIFT_US more in the middle. Fewer than LATENCY_SAMPLES_MIN of a side say nothing.
 */
#ifndef ASSAY_VERIFY_LATENCY_H
#define ASSAY_VERIFY_LATENCY_H

#include "base/json.h"

#define LATENCY_SAMPLES_MAX 30
#define LATENCY_SAMPLES_MIN 8
#define LATENCY_SHIFT_US 5000
#define LATENCY_SUSPECTS_MAX 6

struct latency_samples {
	int64_t at_us[LATENCY_SAMPLES_MAX];
	size_t count;
};

struct latency_times {
	struct latency_samples base;
	struct latency_samples head;
};

int64_t latency_median_us(const struct latency_samples *samples);
/* Is the head slower than the base? */
bool latency_slower(const struct latency_times *times);

struct latency_suspect {
	const json_t *entry; /* of the head's run, borrowed */
	int64_t over_ms;     /* by which it was slower than both of the base */
};

/* Requests whose one time on the head was more than both on the base, by a quarter and LATENCY_SHIFT_US: what is worth being measured. Each
 * endpoint once, the worst first, at most LATENCY_SUSPECTS_MAX; of those answered alike and well. Returns how many. */
size_t latency_suspects(const json_t *base, const json_t *again, const json_t *head, struct latency_suspect *suspects);

#endif
