/* A text read in every other way, to the depth that the scanner goes: both readers of signs must agree, and nothing is made without bounds. */
#include <stdint.h>
#include <stdlib.h>

#include "gateway/dlp/views_priv.h"

#define DEPTH_MAX 4
#define MADE_MAX ((size_t)64 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct state {
	unsigned depth;
	size_t made;
};

static void read_all(struct view text, struct state *state);

static void on_view(void *self, const char *name, enum view_kind kind, struct view decoded)
{
	struct state *state = self;

	state->made += decoded.length;
	if (!name[0] || state->made > MADE_MAX)
		abort();
	if (kind == VIEW_TURNED || state->depth == DEPTH_MAX)
		return;
	state->depth++;
	read_all(decoded, state);
	state->depth--;
}

static void read_all(struct view text, struct state *state)
{
	struct signs fast, slow;

	if (!text.length)
		return;
	if (text.length > VIEW_TEXT_MAX)
		text.length = VIEW_TEXT_MAX;
	signs_read(&fast, text);
	signs_read_portable(&slow, text);
	if (fast.all != slow.all || fast.window_count != slow.window_count ||
	    memcmp(fast.windows, slow.windows, fast.window_count * sizeof fast.windows[0]) != 0 ||
	    memcmp(fast.tokens, slow.tokens, fast.window_count * sizeof fast.tokens[0]) != 0 ||
	    memcmp(fast.quotes, slow.quotes, fast.window_count * sizeof fast.quotes[0]) != 0)
		abort();
	views_make(text, state->depth == 0, false, on_view, state);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct state state = {0};

	read_all(view_make(data, size), &state);
	return 0;
}
