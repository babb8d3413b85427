/* Both directions of a WebSocket. */
#include "gateway/egress/frames.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"
#include "base/world.h"
#include "gateway/dlp/dlp.h"
#include "gateway/egress/brokered.h"
#include "gateway/egress/meter.h"
#include "gateway/egress/pipeline_priv.h"
#include "gateway/egress/scan.h"
#include "http/websocket.h"

#define CLOSE_POLICY 1008 /* RFC 6455 section 7.4.1 */

struct direction {
	struct websocket_reader *reader; /* NULL: what comes is passed on as it is */
	struct buf text;                 /* of the message under way */
	struct buf out;
};

struct frames {
	struct pipeline *pipeline;
	struct direction client;
	struct direction host;
	struct dlp_message *message; /* of the client, the one under way */
	bool within_budget;          /* when it began */
	bool refused;
};

static void verdict_refuse(struct frames *frames, const char *rule, const char *why, const char *remedy)
{
	frames->refused = true;
	pipeline_verdict_set(&frames->pipeline->verdict, 403, rule, why, remedy);
}

/* ---- the client's ---- */

static void client_write(struct frames *frames, enum websocket_opcode opcode, struct view payload)
{
	unsigned char mask[4];

	world_random(world_real, mask, sizeof(mask));
	websocket_frame_write(&frames->client.out, opcode, true, true, mask, payload);
}

static void client_judge(struct frames *frames, struct dlp_message *message)
{
	dlp_end(message);
	scan_note(frames->pipeline, message);
	if (dlp_action(message) < DLP_HOLD || frames->refused)
		return;
	frames->refused = true;
	scan_verdict_set(frames->pipeline, message);
	frames->pipeline->verdict.action = EGRESS_DENY;
}

/* A call to a model within a connection that was let out before the budget was spent: the next connection is held for a person. */
static void budget_judge(struct frames *frames)
{
	const struct pipeline *pipeline = frames->pipeline;

	if (pipeline->meter && frames->within_budget && pipeline->env->over_budget && !frames->refused)
		verdict_refuse(frames, "budget", pipeline->env->over_budget, "connect again: a person is asked then");
}

static void client_data(void *self, enum websocket_opcode opcode, struct view bytes, bool first, bool last)
{
	struct frames *frames = self;
	struct buf *text = &frames->client.text;
	struct view filled;

	if (first) {
		budget_judge(frames);
		dlp_free(frames->message);
		frames->message = dlp_begin(frames->pipeline->env->dlp, DLP_MESSAGE);
		buf_clear(text);
	}
	(void)dlp_feed(frames->message, bytes);
	buf_add_view(text, bytes);
	if (!last)
		return;
	client_judge(frames, frames->message);
	if (frames->refused || text->over)
		return;
	scan_redact(frames->message, text->at, text->length, 0);
	if (brokered_body(frames->pipeline, buf_view(text), true, &filled))
		client_write(frames, opcode, filled);
	else
		frames->refused = true;
	dlp_free(TAKE(frames->message));
	buf_clear(text);
}

static void client_control(void *self, enum websocket_opcode opcode, struct view payload)
{
	struct frames *frames = self;
	struct dlp_message *message = dlp_begin(frames->pipeline->env->dlp, DLP_MESSAGE);

	(void)dlp_feed(message, payload);
	client_judge(frames, message);
	dlp_free(message);
	if (!frames->refused)
		client_write(frames, opcode, payload);
}

struct view frames_out(struct pipeline *pipeline, struct view bytes, bool *refused)
{
	struct frames *frames = pipeline->frames;
	struct err err;

	buf_clear(&frames->client.out);
	if (websocket_read(frames->client.reader, bytes, &err) && !frames->refused) {
		verdict_refuse(frames, "websocket", "what it sent are no WebSocket frames", NULL);
		pipeline->verdict.status = 400;
	}
	*refused = frames->refused;
	return frames->refused ? view_make("", 0) : buf_view(&frames->client.out);
}

/* ---- the host's ---- */

static void host_data(void *self, enum websocket_opcode opcode, struct view bytes, bool first, bool last)
{
	struct frames *frames = self;
	struct pipeline *pipeline = frames->pipeline;
	struct buf *text = &frames->host.text;

	if (first)
		buf_clear(text);
	buf_add_view(text, bytes);
	if (!last || text->over)
		return;
	if (pipeline->meter && opcode == WEBSOCKET_TEXT && meter_message(pipeline->meter, buf_view(text)))
		pipeline_usage_tell(pipeline);
	websocket_frame_write(&frames->host.out, opcode, true, true, NULL, brokered_message(pipeline, buf_view(text)));
	buf_clear(text);
}

static void host_control(void *self, enum websocket_opcode opcode, struct view payload)
{
	struct frames *frames = self;

	websocket_frame_write(&frames->host.out, opcode, true, true, NULL, brokered_message(frames->pipeline, payload));
}

bool frames_back(struct pipeline *pipeline, struct view bytes, struct view *out)
{
	struct frames *frames = pipeline->frames;
	struct err err;

	*out = bytes;
	if (!frames->host.reader)
		return true;
	buf_clear(&frames->host.out);
	if (websocket_read(frames->host.reader, bytes, &err) || frames->host.text.over) {
		verdict_refuse(frames, "websocket", "what came back are no WebSocket frames, or a message too long to be read",
			       NULL);
		pipeline->verdict.status = 502;
		return false;
	}
	*out = buf_view(&frames->host.out);
	return true;
}

struct view frames_farewell(struct pipeline *pipeline)
{
	struct frames *frames = pipeline->frames;
	const struct egress_verdict *verdict = &pipeline->verdict;
	char reason[WEBSOCKET_CONTROL_BYTES_MAX + 1] = {(char)(CLOSE_POLICY >> 8), (char)(CLOSE_POLICY & 255)};
	size_t length;

	(void)snprintf(reason + 2, sizeof(reason) - 2, "assay: %s [rule %s]", verdict->why, verdict->rule);
	length = 2 + strlen(reason + 2);
	while (length > 2 && ((unsigned char)reason[length - 1] & 0x80)) /* no letter that was cut */
		length--;
	buf_clear(&frames->host.out);
	websocket_frame_write(&frames->host.out, WEBSOCKET_CLOSE, true, true, NULL, view_make(reason, length));
	return buf_view(&frames->host.out);
}

/* ---- life ---- */

static struct websocket_reader *reader_new(struct frames *frames, const struct websocket_deflate *deflate, bool client)
{
	static const struct websocket_events of_client = {.data = client_data, .control = client_control};
	static const struct websocket_events of_host = {.data = host_data, .control = host_control};
	struct websocket_spec spec = {.masked = client,
				      .deflate = deflate->agreed,
				      .no_context_takeover = client ? deflate->client_no_context_takeover
								    : deflate->server_no_context_takeover,
				      .message_bytes_max = FRAMES_MESSAGE_BYTES_MAX,
				      .events = client ? &of_client : &of_host,
				      .self = frames};

	return websocket_reader_new(&spec);
}

static void direction_init(struct direction *direction, struct websocket_reader *reader)
{
	direction->reader = reader;
	direction->text = buf_new((size_t)FRAMES_MESSAGE_BYTES_MAX);
	direction->out = buf_new((size_t)FRAMES_MESSAGE_BYTES_MAX * 2);
}

bool frames_begin(struct pipeline *pipeline, const struct egress_response *response)
{
	struct websocket_deflate deflate = {.agreed = false};
	struct frames *frames;

	for (size_t i = 0; i < response->field_count; i++)
		if (view_equal_nocase(response->fields[i].name, VIEW("sec-websocket-extensions")) &&
		    (deflate.agreed || websocket_deflate_parse(response->fields[i].value, &deflate, NULL)))
			return false;
	frames = mem_new(sizeof(*frames));
	frames->pipeline = pipeline;
	frames->within_budget = !pipeline->env->over_budget;
	direction_init(&frames->client, reader_new(frames, &deflate, true));
	direction_init(&frames->host, pipeline->meter || brokered_masks(pipeline) ? reader_new(frames, &deflate, false) : NULL);
	pipeline->frames = frames;
	return true;
}

static void direction_fini(struct direction *direction)
{
	websocket_reader_free(direction->reader);
	if (direction->out.at)
		explicit_bzero(direction->out.at, direction->out.capacity);
	buf_fini(&direction->text);
	buf_fini(&direction->out);
}

void frames_free(struct frames *frames)
{
	if (!frames)
		return;
	direction_fini(&frames->client);
	direction_fini(&frames->host);
	dlp_free(frames->message);
	free(frames);
}
