/* Webhooks of GitHub: the name of the event on the first line, then the body. What was read is within the event's own texts. */
#include <assert.h>
#include <stdlib.h>

#include "base/scope.h"
#include "forges/github.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view body;
	struct view name = view_cut(view_make(data, size), '\n', &body);
	AUTO_FREE char *event_name = view_copy(name);
	AUTO_EVENT event = {0};
	struct err err = {0};
	struct view rest;

	if (github_event_parse(event_name, body, &event, &err)) {
		assert(err.kind != ERR_NONE);
		return 0;
	}
	assert(strlen(event.content) < sizeof(event.content) && strlen(event.stream) < sizeof(event.stream));
	(void)forge_command_find(event.text, &rest);
	assert(rest.at);
	(void)forge_mentions(event.text, "assay");
	(void)forge_event_name(event.kind);
	return 0;
}
