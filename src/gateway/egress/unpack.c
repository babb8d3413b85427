/* Codings, the one that was applied last undone first. */
#include "gateway/egress/unpack.h"

#include <stdlib.h>

#include "base/scope.h"
#include "gateway/dlp/inflate.h"

#define PIECE_BYTES ((size_t)32 << 10)

struct layer {
	struct inflater *inflater;
	bool begun;
	bool ended;
	char piece[PIECE_BYTES];
};

struct unpack {
	struct layer layers[UNPACK_LAYERS_MAX];
	size_t count;
	void (*each)(void *self, struct view bytes);
	void *self;
};

struct unpack *unpack_new(struct view codings, bool *known)
{
	struct unpack *unpack = mem_new(sizeof(*unpack));
	enum coding found[UNPACK_LAYERS_MAX];
	struct view rest = codings;

	*known = true;
	while (*known && rest.at && rest.length) {
		struct view name = view_trim(view_cut(rest, ',', &rest));
		enum coding coding;

		if (!name.length)
			continue;
		*known = coding_parse(name, &coding) && (coding == CODING_NONE || unpack->count < UNPACK_LAYERS_MAX);
		if (*known && coding != CODING_NONE)
			found[unpack->count++] = coding;
	}
	if (!*known || !unpack->count) {
		free(unpack);
		return NULL;
	}
	for (size_t i = 0; i < unpack->count; i++)
		unpack->layers[i].inflater = inflater_new(found[unpack->count - 1 - i]);
	return unpack;
}

void unpack_free(struct unpack *unpack)
{
	for (size_t i = 0; unpack && i < unpack->count; i++)
		inflater_free(unpack->layers[i].inflater);
	free(unpack);
}

/* What a layer says goes through the ones after it: at most UNPACK_LAYERS_MAX deep. */
static bool layer_feed(struct unpack *unpack, size_t at, struct view bytes)
{
	struct layer *layer;
	size_t made = PIECE_BYTES;

	if (at >= unpack->count || at >= UNPACK_LAYERS_MAX) {
		unpack->each(unpack->self, bytes);
		return true;
	}
	layer = &unpack->layers[at];
	layer->begun = layer->begun || bytes.length;
	while (!layer->ended && (bytes.length || made == PIECE_BYTES)) {
		size_t before = bytes.length;
		enum inflated result = inflater_run(layer->inflater, &bytes, layer->piece, PIECE_BYTES, &made);

		if (result == INFLATED_BROKEN || result == INFLATED_LIMIT)
			return false;
		if (made && !layer_feed(unpack, at + 1, view_make(layer->piece, made)))
			return false;
		layer->ended = result == INFLATED_END;
		if (!made && bytes.length == before)
			break;
	}
	return true; /* what follows the end of a stream belongs to nobody */
}

bool unpack_feed(struct unpack *unpack, struct view bytes, void (*each)(void *self, struct view bytes), void *self)
{
	unpack->each = each;
	unpack->self = self;
	return layer_feed(unpack, 0, bytes);
}

bool unpack_whole(const struct unpack *unpack)
{
	for (size_t i = 0; i < unpack->count; i++)
		if (unpack->layers[0].begun && !inflater_whole(unpack->layers[i].inflater))
			return false;
	return true;
}
