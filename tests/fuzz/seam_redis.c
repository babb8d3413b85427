/* Redis read along: pieces of the input are the client's and the server's in turn; in the end nothing is in flight. */
#include <assert.h>

#include "gateway/seams/redis.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void tell(void *self, const struct redis_done *done)
{
	(void)self;
	assert(done->command && (!done->complete || !done->error));
}

/* A piece: its length in one byte, the highest bit of which says that the server speaks. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct redis *redis = redis_new(tell, NULL);
	size_t at = 0;

	while (at < size) {
		size_t length = data[at] & 127;
		bool server = data[at] & 128;

		at++;
		length = length < size - at ? length : size - at;
		(server ? redis_server : redis_client)(redis, view_make(data + at, length), (int64_t)at);
		at += length;
	}
	redis_free(redis, size & 1 ? "end" : NULL, (int64_t)size);
	return 0;
}
