/* seam_reader: a reader of a protocol (gateway/seams/reader.h) under any input of both sides. */
#ifndef ASSAY_TESTS_FUZZ_SEAM_READER_H
#define ASSAY_TESTS_FUZZ_SEAM_READER_H

#include <assert.h>

#include "gateway/seams/reader.h"
#include "seam.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seam_run {
	const struct reader_ops *ops;
	void *reader;
};

static void seam_tell(void *self, const struct reader_event *event)
{
	(void)self;
	assert(event->command && (!event->complete || !event->error));
	assert(!event->body || event->body->length <= EXCHANGE_BODY_KEPT_MAX);
}

static void seam_say(void *self, bool server, struct view piece, int64_t at)
{
	const struct seam_run *run = self;

	(server ? run->ops->server : run->ops->client)(run->reader, piece, at);
}

static inline int seam_run(const struct reader_ops *ops, const uint8_t *data, size_t size)
{
	struct seam_run run = {ops, ops->make(seam_tell, NULL)};

	if (ops->looks)
		(void)ops->looks(view_make(data, size), size & 1);
	seam_pieces(data, size, seam_say, &run);
	ops->end(run.reader, size & 1 ? "end" : NULL, (int64_t)size);
	return 0;
}

#endif
