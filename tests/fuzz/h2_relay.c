/* HTTP/2 that passes, in any pieces of both sides: whatever goes on is HTTP/2 that another relay takes, to the same end. */
#include <assert.h>
#include <stdlib.h>

#include "base/scope.h"
#include "http/h2_relay.h"
#include "seam.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct run {
	struct h2_relay *relay, *next; /* `next` is fed what goes on; NULL in that one's own run */
	size_t frames, next_frames;
	bool broken;
};

static void check(const struct h2_relay_frame *frame)
{
	for (size_t i = 0; i < frame->field_count; i++)
		assert(frame->fields[i].name.at && frame->fields[i].value.at);
}

static void next_frame(void *self, enum h2_relay_side from, const struct h2_relay_frame *frame, struct view wire)
{
	(void)from;
	(void)wire;
	check(frame);
	((struct run *)self)->next_frames++;
}

static void next_data(void *self, enum h2_relay_side from, struct view wire, struct view content, bool last)
{
	(void)self;
	(void)from;
	(void)last;
	assert(content.length <= wire.length);
}

static void pass(struct run *run, enum h2_relay_side from, struct view wire)
{
	struct err err;

	if (h2_relay_feed(run->next, from, wire, &err))
		abort();
}

static void on_frame(void *self, enum h2_relay_side from, const struct h2_relay_frame *frame, struct view wire)
{
	struct run *run = self;

	check(frame);
	run->frames++;
	pass(run, from, wire);
	if (frame->type != H2_RELAY_DATA)
		assert(run->frames == run->next_frames);
}

static void on_data(void *self, enum h2_relay_side from, struct view wire, struct view content, bool last)
{
	struct run *run = self;

	assert(content.length <= wire.length);
	pass(run, from, wire);
	assert(h2_relay_mid_frame(run->next, from) == !last);
}

static void feed(void *self, bool server, struct view piece, int64_t at)
{
	struct run *run = self;
	struct err err;

	(void)at;
	run->broken = run->broken || h2_relay_feed(run->relay, server ? H2_RELAY_SERVER : H2_RELAY_CLIENT, piece, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct h2_relay_events events = {on_frame, on_data};
	static const struct h2_relay_events next_events = {next_frame, next_data};
	struct run run = {.frames = 0};

	run.relay = h2_relay_new(&events, &run);
	run.next = h2_relay_new(&next_events, &run);
	(void)h2_relay_looks_server(view_make(data, size));
	seam_pieces(data, size, feed, &run);
	h2_relay_free(run.relay);
	h2_relay_free(run.next);
	return 0;
}
