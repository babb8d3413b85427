/*
 * OpenSSL's memory.
 *
 * Theory of operation: a session that has nothing to read or write holds no record buffers, so that idle ones are small; so each read and
 * each write takes one and gives it back. They are larger than what malloc keeps at hand, and giving them back makes it tidy up. So a
 * few are kept here, of the two sizes that there are, for each thread.
 */
#include <malloc.h>
#include <openssl/crypto.h>
#include <stdlib.h>

#include "base/scope.h"
#include "net/tls.h"

#define KEPT_MAX 32
#define SLACK_BYTES 256 /* what malloc may give beyond what was asked for */

static const size_t sizes[] = {(size_t)18 << 10, (size_t)36 << 10}; /* a record and its frame; what is read ahead */

struct kept {
	void *at[KEPT_MAX];
	size_t count;
};

static __thread struct kept kept[ARRAY_LEN(sizes)];

static void *memory_take(size_t bytes, const char *file, int line)
{
	(void)file;
	(void)line;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		if (bytes > sizes[i] || bytes <= sizes[i] / 2)
			continue;
		return kept[i].count ? kept[i].at[--kept[i].count] : malloc(sizes[i]);
	}
	return malloc(bytes);
}

static void memory_give(void *at, const char *file, int line)
{
	size_t bytes = at ? malloc_usable_size(at) : 0;

	(void)file;
	(void)line;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		if (bytes < sizes[i] || bytes > sizes[i] + SLACK_BYTES || kept[i].count == KEPT_MAX)
			continue;
		kept[i].at[kept[i].count++] = at;
		return;
	}
	free(at);
}

static void *memory_change(void *at, size_t bytes, const char *file, int line)
{
	(void)file;
	(void)line;
	return realloc(at, bytes);
}

void tls_memory_keep(void)
{
	/* Refused when OpenSSL was used before: then it is only slower. */
	(void)CRYPTO_set_mem_functions(memory_take, memory_change, memory_give);
}

void tls_memory_drop(void)
{
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
		while (kept[i].count)
			free(kept[i].at[--kept[i].count]);
}
