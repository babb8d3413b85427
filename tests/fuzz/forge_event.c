/* Webhooks of code hosts: the name of the event on the first line, then the body, read as each of them would. What was read is within the event's own texts. */
#include <assert.h>
#include <stdlib.h>

#include "base/scope.h"
#include "forges/remote.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_as(const char *kind, const char *name, struct view body)
{
	AUTO_EVENT event = {0};
	struct err err = {0};
	struct view rest;

	if (remote_kind_find(kind)->event_parse(name, body, &event, &err)) {
		assert(err.kind != ERR_NONE);
		return;
	}
	assert(strlen(event.content) < sizeof(event.content) && strlen(event.stream) < sizeof(event.stream));
	(void)forge_command_find(event.text, &rest);
	assert(rest.at);
	(void)forge_mentions(event.text, "assay");
	(void)forge_event_name(event.kind);
	(void)forge_event_lists(event.gained, "agent", "assay");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view body;
	struct view name = view_cut(view_make(data, size), '\n', &body);
	AUTO_FREE char *event_name = view_copy(name);

	read_as("github", event_name, body);
	read_as("gitlab", event_name, body);
	read_as("gitea", event_name, body);
	return 0;
}
