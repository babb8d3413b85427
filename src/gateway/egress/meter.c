/*
 * Reading usage from what passes.
 *
 * Theory of operation: bytes go through three layers. The framing finds documents: all of it, or what stands behind "data:" of a line. The
 * tokenizer walks a document and keeps the names of the members that it is in, up to DEPTH of them; within lists, but for one around
 * everything (Gemini's answer as a list), the path is lost on purpose. A scalar at a known path is put at its place. In a stream counts are
 * those so far, so of each the largest is taken; in a WebSocket each call's counts come once, at its end, and are added.
 */
#include "gateway/egress/meter.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"

#define DEPTH_KEPT 3
#define DEPTH_MAX 512 /* deeper, and a document is not read on */
#define BYTES_A_TOKEN 4
#define COUNT_MAX ((int64_t)1 << 40)

enum counter { COUNT_INPUT, COUNT_OUTPUT, COUNT_CACHE_READ, COUNT_CACHE_WRITE, COUNT_THOUGHTS, COUNT_TOOLS, COUNTERS };

struct place {
	const char *path; /* member names joined by "." */
	enum counter counter;
	bool includes_cached; /* this input counts what came from the cache, too */
};

static const struct place places[] = {
	/* Anthropic: the document, message_start and message_delta */
	{"usage.input_tokens", COUNT_INPUT, false},
	{"usage.output_tokens", COUNT_OUTPUT, false},
	{"usage.cache_read_input_tokens", COUNT_CACHE_READ, false},
	{"usage.cache_creation_input_tokens", COUNT_CACHE_WRITE, false},
	{"message.usage.input_tokens", COUNT_INPUT, false},
	{"message.usage.output_tokens", COUNT_OUTPUT, false},
	{"message.usage.cache_read_input_tokens", COUNT_CACHE_READ, false},
	{"message.usage.cache_creation_input_tokens", COUNT_CACHE_WRITE, false},
	/* OpenAI: Chat Completions, then Responses (whose document has Anthropic's names, and cached tokens within) */
	{"usage.prompt_tokens", COUNT_INPUT, true},
	{"usage.completion_tokens", COUNT_OUTPUT, false},
	{"usage.prompt_tokens_details.cached_tokens", COUNT_CACHE_READ, true},
	{"usage.input_tokens_details.cached_tokens", COUNT_CACHE_READ, true},
	{"response.usage.input_tokens", COUNT_INPUT, true},
	{"response.usage.output_tokens", COUNT_OUTPUT, false},
	{"response.usage.input_tokens_details.cached_tokens", COUNT_CACHE_READ, true},
	/* Gemini */
	{"usageMetadata.promptTokenCount", COUNT_INPUT, true},
	{"usageMetadata.candidatesTokenCount", COUNT_OUTPUT, false},
	{"usageMetadata.thoughtsTokenCount", COUNT_THOUGHTS, false},
	{"usageMetadata.toolUsePromptTokenCount", COUNT_TOOLS, false},
	{"usageMetadata.cachedContentTokenCount", COUNT_CACHE_READ, true},
};
static const char *const model_places[] = {"model", "message.model", "response.model", "modelVersion"};

enum lexer { LEX_VALUE, LEX_STRING, LEX_ESCAPE, LEX_SCALAR };
enum frame { FRAME_UNKNOWN, FRAME_DOCUMENT, FRAME_EVENTS };
enum line { LINE_START, LINE_DATA, LINE_OTHER };

struct meter {
	/* the document */
	enum lexer lexer;
	size_t depth;                               /* of objects and lists */
	char keys[DEPTH_KEPT + 1][METER_MODEL_MAX]; /* keys[d]: the member that we are in at object depth d + 1 */
	bool in_list[DEPTH_MAX];
	bool expects_key;
	bool is_key;
	bool lost; /* too deep */
	char token[METER_MODEL_MAX];
	size_t token_length;
	/* the framing */
	enum frame frame;
	enum line line;
	char line_start[8];
	size_t line_length;
	/* what was found */
	int64_t counts[COUNTERS];
	bool counted;
	bool includes_cached;
	char model[METER_MODEL_MAX];
	size_t request_bytes;
	size_t events;
	bool chat; /* streams of it may come without a count */
	bool messages;
	struct meter_usage sum; /* of a WebSocket's calls */
	bool summed;
};

static bool path_is_model(struct view path, bool *chat)
{
	*chat = view_ends(path, VIEW("/chat/completions"));
	return *chat || view_ends(path, VIEW("/v1/messages")) || view_ends(path, VIEW("/responses")) ||
	       view_ends(path, VIEW(":generateContent")) || view_ends(path, VIEW(":streamGenerateContent"));
}

struct meter *meter_new(const struct egress_request *request)
{
	struct meter *meter;
	bool chat;

	if (!path_is_model(request->path, &chat) || (!view_is(request->method, "POST") && !request->websocket))
		return NULL;
	meter = mem_new(sizeof(*meter));
	meter->chat = chat;
	return meter;
}

void meter_free(struct meter *meter)
{
	free(meter);
}

void meter_request(struct meter *meter, size_t bytes)
{
	meter->request_bytes += bytes;
}

/* ---- the tokenizer ---- */

static void document_begin(struct meter *meter)
{
	meter->lexer = LEX_VALUE;
	meter->depth = 0;
	meter->expects_key = meter->is_key = meter->lost = false;
	meter->token_length = 0;
}

/* "usage.input_tokens", or NULL-length when the place is of no interest. One list around everything does not count. */
static bool path_now(const struct meter *meter, struct buf *path)
{
	size_t first = meter->depth && meter->in_list[0] ? 1 : 0;
	size_t count = meter->depth - first;

	if (!count || count > DEPTH_KEPT)
		return false;
	for (size_t i = first; i < meter->depth; i++)
		if (meter->in_list[i])
			return false;
	for (size_t i = 0; i < count; i++) {
		if (i)
			buf_add_char(path, '.');
		buf_add_text(path, meter->keys[first + i]);
	}
	return true;
}

static void scalar_end(struct meter *meter, bool is_string)
{
	char bytes[DEPTH_KEPT * METER_MODEL_MAX + 8];
	AUTO_BUF path = buf_new(sizeof(bytes));
	uint64_t number;

	meter->token[meter->token_length < METER_MODEL_MAX ? meter->token_length : METER_MODEL_MAX - 1] = '\0';
	if (meter->token_length >= METER_MODEL_MAX || !path_now(meter, &path))
		return;
	for (size_t i = 0; is_string && i < ARRAY_LEN(model_places); i++)
		if (view_is(buf_view(&path), model_places[i]))
			(void)snprintf(meter->model, sizeof(meter->model), "%s", meter->token);
	if (is_string || !view_to_u64(view_of(meter->token), &number) || number > COUNT_MAX)
		return;
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		const struct place *place = &places[i];

		if (!view_is(buf_view(&path), place->path))
			continue;
		if (meter->counts[place->counter] < (int64_t)number)
			meter->counts[place->counter] = (int64_t)number;
		meter->includes_cached = meter->includes_cached || place->includes_cached;
		meter->counted = true;
	}
}

static void nest(struct meter *meter, bool list)
{
	if (meter->depth == DEPTH_MAX) {
		meter->lost = true;
		return;
	}
	meter->in_list[meter->depth] = list;
	if (meter->depth <= DEPTH_KEPT)
		meter->keys[meter->depth][0] = '\0';
	meter->depth++;
	meter->expects_key = !list;
}

static void unnest(struct meter *meter)
{
	if (meter->depth)
		meter->depth--;
	meter->expects_key = false;
}

static void string_end(struct meter *meter)
{
	meter->lexer = LEX_VALUE;
	if (!meter->is_key) {
		scalar_end(meter, true);
		return;
	}
	if (meter->depth && meter->depth <= DEPTH_KEPT + 1) {
		char *key = meter->keys[meter->depth - 1];
		bool whole = meter->token_length < METER_MODEL_MAX;

		memcpy(key, meter->token, whole ? meter->token_length : 0);
		key[whole ? meter->token_length : 0] = '\0';
	}
	meter->expects_key = false;
}

static void token_add(struct meter *meter, char c)
{
	if (meter->token_length < METER_MODEL_MAX)
		meter->token[meter->token_length++] = c;
}

static void value_byte(struct meter *meter, char c)
{
	switch (c) {
	case '"':
		meter->lexer = LEX_STRING;
		meter->is_key = meter->expects_key;
		meter->token_length = 0;
		break;
	case '{':
	case '[':
		nest(meter, c == '[');
		break;
	case '}':
	case ']':
		unnest(meter);
		break;
	case ',':
		meter->expects_key = meter->depth && !meter->in_list[meter->depth - 1];
		break;
	case ':':
	case ' ':
	case '\t':
	case '\r':
	case '\n':
		break;
	default:
		meter->lexer = LEX_SCALAR;
		meter->token_length = 0;
		token_add(meter, c);
	}
}

static void document_byte(struct meter *meter, char c)
{
	if (meter->lost)
		return;
	switch (meter->lexer) {
	case LEX_ESCAPE:
		token_add(meter, '\\'); /* no name that counts has one */
		meter->lexer = LEX_STRING;
		break;
	case LEX_STRING:
		if (c == '"')
			string_end(meter);
		else if (c == '\\')
			meter->lexer = LEX_ESCAPE;
		else
			token_add(meter, c);
		break;
	case LEX_SCALAR:
		if (!strchr(",]} \t\r\n", c) || !c) {
			token_add(meter, c);
			break;
		}
		meter->lexer = LEX_VALUE;
		scalar_end(meter, false);
		value_byte(meter, c);
		break;
	case LEX_VALUE:
		value_byte(meter, c);
		break;
	}
}

/* ---- the framing ---- */

static void events_byte(struct meter *meter, char c)
{
	static const char data[] = "data:";

	if (c == '\n' || c == '\r') {
		if (meter->line == LINE_DATA && meter->lexer == LEX_SCALAR)
			document_byte(meter, ' ');
		meter->line = LINE_START;
		meter->line_length = 0;
		return;
	}
	if (meter->line == LINE_DATA) {
		document_byte(meter, c);
	} else if (meter->line == LINE_START) {
		if (c != data[meter->line_length]) {
			meter->line = LINE_OTHER;
		} else if (++meter->line_length == sizeof(data) - 1) {
			meter->line = LINE_DATA;
			meter->events++;
			document_begin(meter);
		}
	}
}

void meter_feed(struct meter *meter, struct view bytes)
{
	for (size_t i = 0; i < bytes.length; i++) {
		char c = bytes.at[i];

		if (meter->frame == FRAME_UNKNOWN && !strchr(" \t\r\n", c)) {
			meter->frame = c == '{' || c == '[' ? FRAME_DOCUMENT : FRAME_EVENTS;
			document_begin(meter);
		}
		if (meter->frame == FRAME_DOCUMENT)
			document_byte(meter, c);
		else if (meter->frame == FRAME_EVENTS)
			events_byte(meter, c);
	}
}

/* ---- the sums ---- */

static struct meter_usage usage_now(const struct meter *meter)
{
	const int64_t *counts = meter->counts;
	int64_t input = counts[COUNT_INPUT] + counts[COUNT_TOOLS];
	struct meter_usage usage = {.input = input,
				    .output = counts[COUNT_OUTPUT] + counts[COUNT_THOUGHTS],
				    .cache_read = counts[COUNT_CACHE_READ],
				    .cache_write = counts[COUNT_CACHE_WRITE]};

	if (meter->includes_cached)
		usage.input = input > usage.cache_read ? input - usage.cache_read : 0;
	memcpy(usage.model, meter->model, sizeof(usage.model));
	return usage;
}

static void counts_clear(struct meter *meter)
{
	memset(meter->counts, 0, sizeof(meter->counts));
	meter->counted = meter->includes_cached = false;
}

bool meter_message(struct meter *meter, struct view text)
{
	struct meter_usage usage;

	meter->messages = true;
	document_begin(meter);
	for (size_t i = 0; i < text.length; i++)
		document_byte(meter, text.at[i]);
	if (!meter->counted)
		return false;
	usage = usage_now(meter);
	memcpy(meter->sum.model, usage.model, sizeof(usage.model));
	meter->sum.input += usage.input;
	meter->sum.output += usage.output;
	meter->sum.cache_read += usage.cache_read;
	meter->sum.cache_write += usage.cache_write;
	meter->summed = true;
	counts_clear(meter);
	return true;
}

bool meter_take(struct meter *meter, struct meter_usage *usage)
{
	if (meter->messages) {
		*usage = meter->sum;
		meter->sum = (struct meter_usage){0};
		return meter->summed && !(meter->summed = false);
	}
	if (meter->lexer == LEX_SCALAR)
		document_byte(meter, ' ');
	*usage = usage_now(meter);
	if (!meter->counted && meter->chat && meter->frame == FRAME_EVENTS) {
		usage->input = (int64_t)(meter->request_bytes / BYTES_A_TOKEN);
		usage->output = (int64_t)meter->events; /* most carry one token */
		usage->estimated = true;
	} else if (!meter->counted) {
		return false;
	}
	counts_clear(meter);
	meter->request_bytes = meter->events = 0;
	return true;
}
