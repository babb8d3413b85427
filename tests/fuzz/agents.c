/* The output of agents: the first byte picks the row and the chunking, the rest are lines as a hostile program might write them. One that
 * talks is answered at once, and with bit 3 a person writes to it in the middle. */
#include "agents/agent.h"
#include "base/scope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct talk {
	struct agent_parser *parser;
	size_t count;
};

static struct agent_sink sink_of(struct talk *talk);

static void on_event(void *self, enum agent_event_kind kind, const json_t *event)
{
	struct talk *talk = self;

	/* What comes out is an object of the kind it says, always. */
	if (!json_text(event, "kind", NULL) || (unsigned)kind > AGENT_END)
		__builtin_trap();
	talk->count++;
}

/* What we say is one whole line, whatever it was that we answer. */
static void on_send(void *self, struct view bytes)
{
	struct talk *talk = self;
	AUTO_JSON message = json_parse(view_trim(bytes), NULL);

	if (!json_is_object(message) || memchr(bytes.at, '\n', bytes.length) != bytes.at + bytes.length - 1)
		__builtin_trap();
	talk->count++;
}

static void on_send_end(void *self)
{
	(void)self;
}

static void on_ask(void *self, uint32_t id, const json_t *ask)
{
	struct talk *talk = self;

	if (!json_text(ask, "ask", NULL))
		__builtin_trap();
	if (id % 3)
		agent_parser_answer(talk->parser, id, NULL, id % 3 == 1 ? NULL : "no", sink_of(talk));
}

static struct agent_sink sink_of(struct talk *talk)
{
	return (struct agent_sink){on_event, talk, on_send, on_send_end, on_ask};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char jsonl[] = "jsonl";
	struct blueprint blueprint = {0};
	struct agent_request request = {&blueprint, "do it", NULL, NULL, false};
	struct talk talk = {0};
	const struct agent_ops *const *rows;
	size_t row_count;
	size_t chunk;

	if (!size)
		return 0;
	rows = agent_rows(&row_count);
	blueprint.agent.format = data[0] & 8 ? jsonl : NULL;
	chunk = (size_t)(data[0] >> 4) + 1;
	talk.parser = agent_parser_new(rows[(data[0] & 7) % row_count], &blueprint);
	agent_parser_begin(talk.parser, &request, sink_of(&talk));
	for (size_t at = 1; at < size; at += chunk) {
		agent_parser_feed(talk.parser, view_make(data + at, size - at < chunk ? size - at : chunk), sink_of(&talk));
		if ((data[0] & 8) && at < size / 2 && at + chunk >= size / 2)
			(void)agent_parser_message(talk.parser, "in red", sink_of(&talk));
	}
	(void)agent_parser_finish(talk.parser, 0, sink_of(&talk));
	agent_parser_free(talk.parser);
	return 0;
}
