/*
 * world: the clock, randomness and ids, as one value that is passed to whoever needs them, so that workflows can be simulated.
 *
 * Ids are types: `struct run_id` and `struct env_id` do not mix. Their text is a letter and ten characters of lower-case base 32
 * (50 random bits), fit for a DNS label, a file name and a URL.
 */
#ifndef ASSAY_BASE_WORLD_H
#define ASSAY_BASE_WORLD_H

#include "base/buf.h"

struct world_ops {
	int64_t (*now_ms)(void *self);     /* wall clock, ms since 1970 */
	int64_t (*elapsed_ms)(void *self); /* monotonic */
	void (*random)(void *self, void *at, size_t length);
};

struct world {
	const struct world_ops *ops;
	void *self;
};

extern const struct world world_real; /* the kernel's clocks and getrandom(2); any thread */

int64_t world_now_ms(struct world world);
int64_t world_elapsed_ms(struct world world);
void world_random(struct world world, void *at, size_t length);

#define ID_TEXT_MAX 16

struct env_id {
	char text[ID_TEXT_MAX]; /* e… : an environment */
};
struct run_id {
	char text[ID_TEXT_MAX]; /* r… */
};

struct env_id env_id_new(struct world world);
struct run_id run_id_new(struct world world);
/* The letter and ten characters, nothing else. */
MUST_USE int env_id_parse(struct view text, struct env_id *id, struct err *err);
MUST_USE int run_id_parse(struct view text, struct run_id *id, struct err *err);

/* 2026-11-21T19:30:00.123Z */
void time_format(struct buf *out, int64_t time_ms);
/* 12 ms, 1.3 s, 4 min 10 s, 2 h 5 min: for people. */
void duration_format(struct buf *out, int64_t duration_ms);
/* 500ms, 30s, 10m, 24h, 7d. */
MUST_USE int duration_parse(struct view text, int64_t *duration_ms, struct err *err);
/* Bytes, or 64K, 512M, 2G (powers of 1024). */
MUST_USE int size_parse(struct view text, int64_t *bytes, struct err *err);

#endif
