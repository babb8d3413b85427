/* Webhooks of trackers. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "trackers/event.h"
#include "trackers/jira.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_TRACKER_EVENT linear = {0};
	AUTO_TRACKER_EVENT jira = {0};
	struct err err = {0};

	if (linear_event_parse(view_make(data, size), &linear, &err) && err.kind == ERR_NONE)
		abort();
	err = (struct err){0};
	if (jira_event_parse(view_make(data, size), "us", "agent", &jira, &err) && err.kind == ERR_NONE)
		abort();
	return 0;
}
