/* PostgreSQL read along, in any pieces; in the end nothing is in flight. */
#include "seam.h"

#include <assert.h>

#include "gateway/seams/postgres.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void tell(void *self, const struct postgres_done *done)
{
	(void)self;
	assert(done->command && (!done->complete || !done->error));
}

static void say(void *self, bool server, struct view piece, int64_t at)
{
	(server ? postgres_server : postgres_client)(self, piece, at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct postgres *postgres = postgres_new(tell, NULL);

	seam_pieces(data, size, say, postgres);
	postgres_free(postgres, size & 1 ? "end" : NULL, (int64_t)size);
	return 0;
}
