/*
 * pressure: is this machine so busy that what comes late, or not at all, may be its doing and not the change's?
 *
 * It is over its limit while, on average, more tasks want to run than PRESSURE_TASKS_MAX for each core, or programs stood still for memory
 * or for disks for a large part of the time. What is found then and could be made by a mere delay is no evidence: the gate answers that
 * it could not tell. What no delay explains (a field that is gone from an answer that came) stays what it is.
 */
#ifndef ASSAY_VERIFY_PRESSURE_H
#define ASSAY_VERIFY_PRESSURE_H

#include "base/json.h"

#define PRESSURE_TASKS_MAX 12      /* for each core */
#define PRESSURE_MEMORY_PERCENT 20 /* of the time somebody stood still for memory */
#define PRESSURE_DISK_PERCENT 60   /* of the time everybody stood still for disks */

/* One look at the machine. */
struct pressure {
	int cores;
	int running;       /* tasks that run, or want to */
	int64_t memory_us; /* since the start of the machine: how long somebody stood still for memory; -1: it does not say */
	int64_t disk_us;   /* the same, everybody, for disks */
};

struct pressure_source {
	void (*read)(void *self, struct pressure *now); /* must not block; any thread. NULL: the machine itself */
	void *self;
};

/* Looks at the machine: /proc/loadavg and /proc/pressure. What it does not tell is taken for calm. */
void pressure_read(struct pressure_source source, struct pressure *now);
/* The fields of `some avg10=… total=123` behind `word`: 123; -1: there is no such line. */
int64_t pressure_total_us(struct view text, const char *word);

/* What was seen over a while. */
struct pressure_sum {
	int64_t looks;
	int64_t running; /* all looks together */
	struct pressure first;
	struct pressure last;
	int64_t begin_ms; /* elapsed */
	int64_t end_ms;
};

void pressure_add(struct pressure_sum *sum, const struct pressure *now, int64_t elapsed_ms);
/* Says why: "25 tasks wanted to run on 2 cores". `why` may be NULL. */
bool pressure_over(const struct pressure_sum *sum, struct buf *why);

/* Could a delay of either side have brought these entries of two runs about: no answer, an answer that says so, a call below that had
 * none, or one that took long? `b` may be NULL. */
bool pressure_explains(const json_t *a, const json_t *b);
/* Marks what blocks ("timed") and is of entries that a delay explains, or that come after one of those that changes something; what is of
 * the whole run, where it explains any entry. */
void pressure_mark(json_t *findings, const json_t *base_run, const json_t *head_run);
/* Marks what blocks and is of a kind that a delay may always bring about: a service that is not ready in time, a seam's patience. */
void pressure_mark_kinds(json_t *findings);

#endif
