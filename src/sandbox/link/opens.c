/* Connections of a pod, counted. */
#include "sandbox/link/opens.h"

static bool is_used(const struct link_opens *opens, uint32_t id)
{
	for (size_t i = 0; i < opens->count; i++)
		if (opens->ids[i] == id)
			return true;
	return false;
}

uint32_t link_opens_new(struct link_opens *opens)
{
	if (opens->count == LINK_OPENS_MAX)
		return 0;
	do {
		opens->last = link_is_open(opens->last + 1) ? opens->last + 1 : LINK_ID_OPEN;
	} while (is_used(opens, opens->last));
	opens->ids[opens->count++] = opens->last;
	return opens->last;
}

bool link_opens_add(struct link_opens *opens, uint32_t id)
{
	if (opens->count == LINK_OPENS_MAX || is_used(opens, id))
		return false;
	opens->ids[opens->count++] = id;
	return true;
}

void link_opens_moved(struct link_opens *opens, const struct mux *mux, uint32_t id)
{
	if (mux_stream_is(mux, LINK_STREAM(id, 0)))
		return;
	for (size_t i = 0; i < opens->count; i++)
		if (opens->ids[i] == id) {
			opens->ids[i] = opens->ids[--opens->count];
			return;
		}
}

void link_opens_drop(struct link_opens *opens, struct mux *mux)
{
	while (opens->count)
		mux_stream_drop(mux, LINK_STREAM(opens->ids[--opens->count], 0));
}
