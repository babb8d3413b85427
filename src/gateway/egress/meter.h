/*
 * meter: how many tokens a call to a model used, read from the bytes of its answer as they pass: Anthropic's Messages, OpenAI's Chat
 * Completions and Responses, Gemini's generateContent, each as one JSON document, as server-sent events or as WebSocket messages. The bytes
 * are read by a tokenizer that keeps a path and one token: memory is flat, whatever passes. Only members at the places where a vendor puts
 * them count, so that what a model writes, or an agent has it write, is not mistaken for them.
 *
 * Sources: docs.anthropic.com/en/api/messages and /messages-streaming (usage; message_start, message_delta), platform.openai.com
 * /docs/api-reference/chat and /responses (usage; response.completed), ai.google.dev/api/generate-content (usageMetadata).
 */
#ifndef ASSAY_GATEWAY_EGRESS_METER_H
#define ASSAY_GATEWAY_EGRESS_METER_H

#include "gateway/egress/request.h"

#define METER_MODEL_MAX 96

struct meter;

struct meter_usage {
	char model[METER_MODEL_MAX]; /* as the answer names it; "" when it does not */
	int64_t input;               /* tokens that were read, those from a cache not counted */
	int64_t output;
	int64_t cache_read;
	int64_t cache_write;
	bool estimated; /* the answer had no count (a stream of Chat Completions without include_usage): made of its events and the request's bytes */
};

/* A meter for the answer to `request`, or NULL when its path is none of a model's: …/v1/messages, …/chat/completions, …/responses,
 * …:generateContent, …:streamGenerateContent, on any host. */
struct meter *meter_new(const struct egress_request *request);
void meter_free(struct meter *meter); /* NULL is fine */
/* The request's body, for the estimate; and the answer's, without content coding. In any pieces. */
void meter_request(struct meter *meter, size_t bytes);
void meter_feed(struct meter *meter, struct view bytes);
/* One whole WebSocket text message of either side; true when it ended a call: then take its usage. */
bool meter_message(struct meter *meter, struct view text);
/* What was used since the last time; false when nothing was. At the end of the answer, or after meter_message. */
bool meter_take(struct meter *meter, struct meter_usage *usage);

#endif
