/* Redis read along, in any pieces; in the end nothing is in flight. */
#include "seam.h"

#include <assert.h>

#include "gateway/seams/redis.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void tell(void *self, const struct redis_done *done)
{
	(void)self;
	assert(done->command && (!done->complete || !done->error));
}

static void say(void *self, bool server, struct view piece, int64_t at)
{
	(server ? redis_server : redis_client)(self, piece, at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct redis *redis = redis_new(tell, NULL);

	seam_pieces(data, size, say, redis);
	redis_free(redis, size & 1 ? "end" : NULL, (int64_t)size);
	return 0;
}
