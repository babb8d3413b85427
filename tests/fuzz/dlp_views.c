/* A text read in every other way, to the depth that the scanner goes: all readers of signs must agree, and nothing is made without bounds. */
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

static bool same(const struct signs *a, const struct signs *b)
{
	size_t count = a->window_count;

	return a->all == b->all && count == b->window_count && memcmp(a->windows, b->windows, count * sizeof a->windows[0]) == 0 &&
	       memcmp(a->tokens, b->tokens, count * sizeof a->tokens[0]) == 0 &&
	       memcmp(a->quotes, b->quotes, count * sizeof a->quotes[0]) == 0 &&
	       memcmp(a->escapes, b->escapes, count * sizeof a->escapes[0]) == 0;
}

static void read_all(struct view text, struct state *state)
{
	struct signs fast, slow;

	if (!text.length)
		return;
	if (text.length > VIEW_TEXT_MAX)
		text.length = VIEW_TEXT_MAX;
	(void)signs_read_by(&slow, text, SIGNS_PORTABLE);
	for (enum signs_way way = SIGNS_AVX2; way < SIGNS_WAYS; way++)
		if (signs_read_by(&fast, text, way) && !same(&fast, &slow))
			abort();
	views_make(text, state->depth == 0, false, on_view, state);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct state state = {0};

	read_all(view_make(data, size), &state);
	return 0;
}
