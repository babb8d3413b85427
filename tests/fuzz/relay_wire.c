/* Frames at a relay, and passes of visitors: more bytes never change a verdict, and what was read is written as it was. */
#include <assert.h>

#include "net/pass.h"
#include "relay/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void pass_try(struct view text)
{
	AUTO_BUF again = buf_new(PASS_TEXT_MAX);
	AUTO_BUF twice = buf_new(PASS_TEXT_MAX);
	struct pass pass;

	if (pass_parse(text, &pass, NULL))
		return;
	pass_format(&pass, &again);
	assert(pass_parse(buf_view(&again), &pass, NULL) == 0);
	pass_format(&pass, &twice);
	assert(view_equal(buf_view(&again), buf_view(&twice)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view bytes = view_make(data, size);
	struct wire half = {0};
	struct wire whole = {0};
	enum wire_result first = wire_parse(view_make(data, size / 2), &half);
	enum wire_result last = wire_parse(bytes, &whole);

	assert(first == WIRE_MORE || first == last);
	if (last == WIRE_DONE) {
		AUTO_BUF again = buf_new(WIRE_HEAD_BYTES + WIRE_BODY_MAX);

		wire_add(&again, whole.kind, whole.body);
		assert(view_equal(buf_view(&again), view_make(data, whole.bytes)));
	}
	pass_try(bytes);
	return 0;
}
