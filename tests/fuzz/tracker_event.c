/* Webhooks of trackers. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "trackers/event.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_TRACKER_EVENT event = {0};
	struct err err = {0};

	if (linear_event_parse(view_make(data, size), &event, &err) && err.kind == ERR_NONE)
		abort();
	return 0;
}
