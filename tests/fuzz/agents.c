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
	static char jsonl[] = "jsonl";
	struct blueprint blueprint = {0};
	size_t count = 0;
	struct agent_sink sink = {on_event, &count};
	struct agent_parser *parser;
	const struct agent_ops *const *rows;
	size_t row_count;
	size_t chunk;

	if (!size)
		return 0;
	rows = agent_rows(&row_count);
	blueprint.agent.format = data[0] & 8 ? jsonl : NULL;
	chunk = (size_t)(data[0] >> 4) + 1;
	parser = agent_parser_new(rows[(data[0] & 7) % row_count], &blueprint);
	for (size_t at = 1; at < size; at += chunk)
		agent_parser_feed(parser, view_make(data + at, size - at < chunk ? size - at : chunk), sink);
	(void)agent_parser_finish(parser, 0, sink);
	agent_parser_free(parser);
	return 0;
}
