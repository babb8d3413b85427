/* Blocks that are filled from the front; what is larger than a block gets one of its own. */
#include "base/arena.h"

#include <stdlib.h>

#include "base/scope.h"

#define BLOCK_BYTES ((size_t)16 << 10)
#define ALIGNMENT _Alignof(max_align_t)

struct arena_block {
	struct arena_block *next;
	size_t size;
	_Alignas(max_align_t) char bytes[];
};

void arena_fini(struct arena *arena)
{
	struct arena_block *next;

	for (struct arena_block *block = arena->blocks; block; block = next) {
		next = block->next;
		free(block);
	}
	*arena = (struct arena){0};
}

void arena_wipe(struct arena *arena)
{
	for (struct arena_block *block = arena->blocks; block; block = block->next)
		explicit_bzero(block->bytes, block->size);
	arena_fini(arena);
}

void *arena_take(struct arena *arena, size_t size)
{
	struct arena_block *block = arena->blocks;
	size_t rounded;
	size_t wanted;
	void *at;

	if (__builtin_add_overflow(size, ALIGNMENT - 1, &rounded))
		abort();
	rounded -= rounded % ALIGNMENT;
	if (!block || rounded > block->size - arena->used) {
		wanted = rounded > BLOCK_BYTES ? rounded : BLOCK_BYTES;
		block = mem_new(sizeof(*block) + wanted);
		block->size = wanted;
		block->next = arena->blocks;
		arena->blocks = block;
		arena->used = 0;
	}
	at = block->bytes + arena->used;
	arena->used += rounded;
	return at;
}

void *arena_take_array(struct arena *arena, size_t count, size_t size)
{
	size_t total;

	if (__builtin_mul_overflow(count, size, &total))
		abort();
	return arena_take(arena, total);
}

char *arena_copy(struct arena *arena, struct view text)
{
	char *copy = arena_take(arena, text.length + 1);

	if (text.length)
		memcpy(copy, text.at, text.length);
	return copy;
}
