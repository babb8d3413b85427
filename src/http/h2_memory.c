/*
 * The memory of nghttp2's sessions.
 *
 * Theory of operation: a session keeps, as long as it lives, room for a whole frame and its table of streams, which together are more than all
 * else of a connection that says nothing. They get pages of their own, which are given back to the kernel while there is no stream: of the
 * frame nobody cares what was in it, and the table of no streams is all zeros (which is looked at before), as pages are that come back.
 */
#include <stdlib.h>
#include <sys/mman.h>

#include "base/scope.h"
#include "http/h2_priv.h"

#define CHUNK_LEAST ((size_t)12 << 10) /* such a piece is nghttp2's room for a frame */
#define CHUNK_BYTES ((size_t)20 << 10)
#define MAP_BYTES ((size_t)4 << 10) /* the first table of streams */
#define PAGES_BYTES (CHUNK_BYTES + MAP_BYTES)

static bool pages_make(struct h2 *h2)
{
	void *pages;

	if (h2->pages)
		return true;
	pages = mmap(NULL, PAGES_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (pages == MAP_FAILED)
		return false;
	h2->pages = pages;
	return true;
}

static bool is_chunk(const struct h2 *h2, const void *at)
{
	return h2->chunk_taken && at == h2->pages;
}

static bool is_map(const struct h2 *h2, const void *at)
{
	return h2->map_taken && at == h2->pages + CHUNK_BYTES;
}

static void *memory_take(size_t size, void *self)
{
	struct h2 *h2 = self;

	if (size < CHUNK_LEAST || size > CHUNK_BYTES || h2->chunk_taken || !pages_make(h2))
		return malloc(size);
	h2->chunk_taken = true;
	return h2->pages;
}

static void memory_free(void *at, void *self)
{
	struct h2 *h2 = self;

	if (at && is_chunk(h2, at))
		h2->chunk_taken = false;
	else if (at && is_map(h2, at))
		h2->map_taken = false;
	else
		free(at);
}

static void *memory_zeroed(size_t count, size_t size, void *self)
{
	struct h2 *h2 = self;
	size_t bytes;

	if (__builtin_mul_overflow(count, size, &bytes) || bytes != MAP_BYTES || h2->map_taken || !pages_make(h2))
		return calloc(count, size);
	h2->map_taken = true;
	return memset(h2->pages + CHUNK_BYTES, 0, MAP_BYTES);
}

static void *memory_resize(void *at, size_t size, void *self)
{
	struct h2 *h2 = self;
	size_t had = at && is_chunk(h2, at) ? CHUNK_BYTES : MAP_BYTES;
	void *moved;

	if (!at)
		return memory_take(size, self);
	if (!is_chunk(h2, at) && !is_map(h2, at))
		return realloc(at, size);
	if (size <= had)
		return at;
	moved = malloc(size);
	if (!moved)
		return NULL;
	memcpy(moved, at, had);
	memory_free(at, self);
	return moved;
}

static bool map_is_empty(const struct h2 *h2)
{
	const char *map = h2->pages + CHUNK_BYTES;

	return map[0] == 0 && memcmp(map, map + 1, MAP_BYTES - 1) == 0;
}

void h2_rest(struct h2 *h2)
{
	if (!h2->pages || h2->count || nghttp2_session_want_write(h2->session))
		return;
	(void)madvise(h2->pages, h2->map_taken && !map_is_empty(h2) ? CHUNK_BYTES : PAGES_BYTES, MADV_DONTNEED);
}

void h2_memory_init(struct h2 *h2)
{
	h2->memory = (nghttp2_mem){h2, memory_take, memory_free, memory_zeroed, memory_resize};
}

void h2_memory_fini(struct h2 *h2)
{
	if (h2->pages)
		(void)munmap(h2->pages, PAGES_BYTES);
	h2->pages = NULL;
}
