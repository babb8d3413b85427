/* A thread's spare buffers: a stack of them, freed with the thread. */
#include "gateway/dlp/spare.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/scope.h"

#define SPARE_BLOCKS 4

struct spare {
	struct buf bufs[SPARE_BUFS];
	size_t buf_count;
	char *blocks[SPARE_BLOCKS];
	size_t block_count;
};

static pthread_key_t spare_key;
static pthread_once_t spare_once = PTHREAD_ONCE_INIT;
static _Thread_local struct spare *spare_own;

static void spare_free(void *pointer)
{
	struct spare *spare = pointer;

	for (size_t i = 0; i < spare->buf_count; i++)
		buf_fini(&spare->bufs[i]);
	for (size_t i = 0; i < spare->block_count; i++)
		free(spare->blocks[i]);
	free(spare);
	spare_own = NULL;
}

static void spare_key_make(void)
{
	if (pthread_key_create(&spare_key, spare_free))
		abort();
}

static struct spare *spare_get(void)
{
	if (spare_own)
		return spare_own;
	(void)pthread_once(&spare_once, spare_key_make);
	spare_own = mem_new(sizeof *spare_own);
	if (pthread_setspecific(spare_key, spare_own))
		abort();
	return spare_own;
}

struct buf spare_buf(size_t length_max)
{
	struct spare *spare = spare_get();
	struct buf buf = buf_new(length_max);

	if (spare->buf_count) {
		buf = spare->bufs[--spare->buf_count];
		buf.length_max = length_max;
	}
	return buf;
}

void spare_buf_put(struct buf *buf)
{
	struct spare *spare = spare_get();

	if (buf->at)
		explicit_bzero(buf->at, buf->length);
	buf_clear(buf);
	if (!buf->at || buf->capacity > SPARE_BUF_BYTES_MAX || spare->buf_count == SPARE_BUFS) {
		buf_fini(buf);
		return;
	}
	spare->bufs[spare->buf_count++] = *buf;
	*buf = buf_new(buf->length_max);
}

char *spare_block(size_t length)
{
	struct spare *spare = spare_get();

	return spare->block_count ? spare->blocks[--spare->block_count] : mem_grow(NULL, length, 1);
}

void spare_block_put(char *block)
{
	struct spare *spare = spare_get();

	if (block && spare->block_count < SPARE_BLOCKS)
		spare->blocks[spare->block_count++] = block;
	else
		free(block);
}
