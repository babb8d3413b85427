/*
 * arena: many small things that live and die together: one per parsed text, request or workflow step. What is taken from it is zeroed,
 * aligned for anything, and never freed alone.
 */
#ifndef ASSAY_BASE_ARENA_H
#define ASSAY_BASE_ARENA_H

#include "base/buf.h"

struct arena_block;

struct arena {
	struct arena_block *blocks; /* newest first */
	size_t used;                /* of the newest */
};

void arena_fini(struct arena *arena); /* a zeroed struct is an empty arena */
void arena_wipe(struct arena *arena); /* the same, and nothing of what it held is left in memory: for secrets */
#define AUTO_ARENA __attribute__((cleanup(arena_fini))) struct arena

void *arena_take(struct arena *arena, size_t size) __attribute__((returns_nonnull));
void *arena_take_array(struct arena *arena, size_t count, size_t size) __attribute__((returns_nonnull)); /* overflow aborts */
char *arena_copy(struct arena *arena, struct view text) __attribute__((returns_nonnull));                /* NUL-terminated */

#endif
