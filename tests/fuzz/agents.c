/* The output of agents: the first byte picks the row and the chunking, the rest are lines as a hostile program might write them. */
#include "agents/agent.h"
#include "base/scope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_event(void *self, enum agent_event_kind kind, const json_t *event)
{
	size_t *count = self;

	/* What comes out is an object of the kind it says, always. */
	if (!json_text(event, "kind", NULL) || (unsigned)kind > AGENT_END)
		__builtin_trap();
	++*count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char claude[] = "claude";
	static char command[] = "command";
	static char jsonl[] = "jsonl";
	struct blueprint blueprint = {0};
	size_t count = 0;
	struct agent_sink sink = {on_event, &count};
	struct agent_parser *parser;
	size_t chunk;

	if (!size)
		return 0;
	blueprint.agent.use = data[0] & 1 ? claude : command;
	blueprint.agent.format = data[0] & 2 ? jsonl : NULL;
	chunk = (size_t)(data[0] >> 2) + 1;
	parser = agent_parser_new(agent_find(blueprint.agent.use), &blueprint);
	for (size_t at = 1; at < size; at += chunk)
		agent_parser_feed(parser, view_make(data + at, size - at < chunk ? size - at : chunk), sink);
	(void)agent_parser_finish(parser, 0, sink);
	agent_parser_free(parser);
	return 0;
}
