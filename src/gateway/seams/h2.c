/* HTTP/2 seams: the streams of a connection, what is logged of them, and the faults they meet. */
#include "gateway/seams/h2.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"
#include "gateway/door.h"
#include "gateway/fault.h"
#include "http/h2_relay.h"

#define FIELDS_OWN_MAX 4
#define ANSWER_BYTES_MAX (H2_SEAM_LATE_BYTES_MAX * 4) /* a frame has up to 16 MiB */
#define BETWEEN_BYTES_MAX (ANSWER_BYTES_MAX + ((size_t)4 << 20))
#define KEPT_BYTES_MAX ((size_t)16 << 20)
#define FIELD_COST 48 /* of a field beside its texts */
#define UNAVAILABLE "assay: a fault of this environment answers 503"

struct stream {
	struct stream *next;
	uint32_t id;
	struct exchange exchange;
	int64_t begun_us;
	bool counted; /* in the environment's in_flight */
	bool headed;  /* its final response has begun */
	bool ends[2]; /* by side: that half is whole */
	bool grpc;
	bool lose;    /* its response is not to come (gateway/fault.h) */
	bool logged;  /* over; only what its client still sends of it is dropped */
	bool dropped; /* the server knows nothing of it */
	bool late;    /* its answer waits in `answer` */
	int64_t due_us;
	size_t kept; /* bytes of its header sections */
	struct buf answer;
};

struct h2_seam {
	struct flow *flow;
	struct h2_relay *relay;
	struct stream *streams;
	size_t count;
	uint32_t last_id;
	uint32_t passed_id;   /* the last one that the server knows */
	bool drop_data[2];    /* the DATA frame under way does not go on */
	struct stream *of[2]; /* whose it is; NULL: nobody's we know */
	struct buf between;   /* frames of ours to the client, for when no other one is under way */
	bool greeted;         /* the server's first frame went there: nothing may come before it (RFC 9113 3.4) */
	size_t kept;          /* bytes of header sections, of all streams that are followed */
	size_t late_bytes;    /* of all answers that wait */
	const char *broken;
};

static void h2_tick(struct flow *flow);

static bool alive(const struct h2_seam *seam)
{
	return !seam->flow->closed && seam->flow->state == seam;
}

static struct stream *stream_find(const struct h2_seam *seam, uint32_t id)
{
	struct stream *stream = seam->streams;

	while (stream && stream->id != id)
		stream = stream->next;
	return stream;
}

static void count_set(struct h2_seam *seam, struct stream *stream, bool counted)
{
	if (stream->counted == counted)
		return;
	stream->counted = counted;
	seam->flow->env->in_flight += counted ? 1 : (uint64_t)-1;
}

static void stream_log(struct h2_seam *seam, struct stream *stream, const char *error)
{
	struct env *env = seam->flow->env;

	if (stream->logged)
		return;
	stream->logged = true;
	count_set(seam, stream, false);
	stream->exchange.dt_us = worker_now_us() - stream->begun_us;
	if (error && !stream->exchange.error)
		stream->exchange.error = text_copy(error);
	if (!env->gone)
		exchange_log_add(env->log, &stream->exchange);
}

static void stream_free(struct h2_seam *seam, struct stream *stream)
{
	struct stream **place = &seam->streams;

	while (*place != stream)
		place = &(*place)->next;
	*place = stream->next;
	seam->count--;
	seam->kept -= stream->kept;
	seam->late_bytes -= stream->answer.length;
	for (int side = 0; side < 2; side++)
		if (seam->of[side] == stream)
			seam->of[side] = NULL;
	exchange_fini(&stream->exchange);
	buf_fini(&stream->answer);
	free(stream);
}

/* Is there nothing more to come of it? */
static void stream_check(struct h2_seam *seam, struct stream *stream)
{
	if (stream->ends[SIDE_SERVER] && !stream->late && !stream->logged && stream->ends[SIDE_CLIENT])
		stream_log(seam, stream, NULL);
	if (stream->logged && !stream->late && (!stream->dropped || stream->ends[SIDE_CLIENT]))
		stream_free(seam, stream);
}

/* ---- what we say ourselves ---- */

/* Frames of ours to the client go between its frames. */
static void between_send(struct h2_seam *seam)
{
	if (!seam->greeted || h2_relay_mid_frame(seam->relay, H2_RELAY_SERVER) || !seam->between.length)
		return;
	flow_write(seam->flow, SIDE_CLIENT, buf_view(&seam->between));
	buf_clear(&seam->between);
}

static void refused_send(struct h2_seam *seam, const struct stream *stream)
{
	static const struct h2_field grpc[FIELDS_OWN_MAX] = {{VIEW(":status"), VIEW("200")},
							     {VIEW("content-type"), VIEW("application/grpc")},
							     {VIEW("grpc-status"), VIEW("14")},
							     {VIEW("grpc-message"), VIEW(UNAVAILABLE)}};
	static const struct h2_field plain[FIELDS_OWN_MAX] = {{VIEW(":status"), VIEW("503")},
							      {VIEW("content-type"), VIEW("text/plain; charset=utf-8")},
							      {VIEW("retry-after"), VIEW("1")},
							      {VIEW("cache-control"), VIEW("no-store")}};

	h2_relay_headers_format(seam->relay, H2_RELAY_CLIENT, stream->id, stream->grpc ? grpc : plain, FIELDS_OWN_MAX, stream->grpc,
				&seam->between);
	if (!stream->grpc)
		h2_relay_data_format(stream->id, VIEW(UNAVAILABLE "\n"), true, &seam->between);
	if (!stream->ends[SIDE_CLIENT])
		h2_relay_reset_format(stream->id, H2_NO_ERROR, &seam->between);
	between_send(seam);
}

static void stream_refuse(struct h2_seam *seam, struct stream *stream)
{
	struct exchange *exchange = &stream->exchange;

	stream->dropped = true;
	exchange->status = stream->grpc ? 200 : 503;
	if (stream->grpc)
		exchange_header_add(&exchange->response_headers, VIEW("grpc-status"), VIEW("14"));
	refused_send(seam, stream);
	stream_log(seam, stream, "fault: 503");
}

/* ---- answers that come late ---- */

static void late_release(struct h2_seam *seam, struct stream *stream)
{
	stream->late = false;
	stream->due_us = 0;
	buf_add_view(&seam->between, buf_view(&stream->answer));
	seam->late_bytes -= stream->answer.length;
	buf_fini(&stream->answer);
	between_send(seam);
	stream_check(seam, stream);
}

/* Those that are due; the timer is set for the next. A frame under way comes whole before. */
static void late_check(struct h2_seam *seam)
{
	int64_t now_us = worker_now_us();
	int64_t wait_ms = -1;
	struct stream *next;

	for (struct stream *stream = seam->streams; stream; stream = next) {
		int64_t due_us = stream->late                        ? stream->due_us
				 : stream->counted && stream->headed ? stream->begun_us + (int64_t)H2_SEAM_STREAMING_MS * 1000
								     : 0;

		next = stream->next;
		if (!due_us)
			continue;
		if (due_us > now_us) {
			int64_t ms = (due_us - now_us) / 1000 + 1;

			wait_ms = wait_ms < 0 || ms < wait_ms ? ms : wait_ms;
		} else if (!stream->late) {
			count_set(seam, stream, false);
		} else if (!h2_relay_mid_frame(seam->relay, H2_RELAY_SERVER)) {
			late_release(seam, stream);
		}
	}
	flow_timer(seam->flow, wait_ms, wait_ms < 0 ? NULL : h2_tick);
}

static void h2_tick(struct flow *flow)
{
	late_check(flow->state);
}

/* The fault is over: what was slow is due, what hung was not begun. */
static void h2_resume(struct flow *flow)
{
	struct h2_seam *seam = flow->state;
	struct stream *next;

	for (struct stream *stream = seam->streams; stream; stream = next) {
		next = stream->next;
		if (stream->late) {
			stream->due_us = worker_now_us();
		} else if (stream->dropped && !stream->logged) {
			h2_relay_reset_format(stream->id, H2_REFUSED, &seam->between);
			stream_log(seam, stream, "fault: hang");
			stream_check(seam, stream);
		}
	}
	between_send(seam);
	late_check(seam);
}

static void fault_meet(struct h2_seam *seam, struct stream *stream)
{
	int64_t ms = 0;

	switch (fault_take(seam->flow, &ms)) {
	case FAULT_NONE:
		break;
	case FAULT_HANG:
		stream->dropped = true;
		seam->flow->held = h2_resume;
		break;
	case FAULT_SLOW:
		stream->late = true;
		stream->due_us = worker_now_us() + ms * 1000;
		seam->flow->held = h2_resume;
		late_check(seam);
		break;
	case FAULT_RESET:
		flow_close(seam->flow, "fault: reset");
		break;
	case FAULT_LOST:
		stream->lose = true;
		break;
	case FAULT_503:
		stream_refuse(seam, stream);
		break;
	}
}

/* ---- sections ---- */

static struct view field_find(const struct h2_relay_frame *frame, const char *name)
{
	for (size_t i = 0; i < frame->field_count; i++)
		if (view_is(frame->fields[i].name, name))
			return frame->fields[i].value;
	return (struct view){0};
}

/* A packed section of a few bytes may be long, and come again and again. */
static void headers_keep(struct h2_seam *seam, struct stream *stream, struct exchange_headers *headers,
			 const struct h2_relay_frame *frame)
{
	for (size_t i = 0; i < frame->field_count; i++) {
		struct view name = frame->fields[i].name;
		size_t bytes = name.length + frame->fields[i].value.length + FIELD_COST;

		if (seam->kept + bytes > KEPT_BYTES_MAX) {
			seam->broken = "more header fields at once than are followed";
			return;
		}
		seam->kept += bytes;
		stream->kept += bytes;
		if (view_is(name, ":authority"))
			exchange_header_add(headers, VIEW("host"), frame->fields[i].value);
		else if (!view_starts(name, VIEW(":")))
			exchange_header_add(headers, name, frame->fields[i].value);
	}
}

static struct stream *stream_new(struct h2_seam *seam, const struct h2_relay_frame *frame)
{
	struct stream *stream = mem_new(sizeof(*stream));
	struct flow *flow = seam->flow;
	struct view path = field_find(frame, ":path");

	stream->id = seam->last_id = frame->stream;
	stream->answer = buf_new(ANSWER_BYTES_MAX);
	stream->begun_us = worker_now_us();
	stream->grpc = view_starts(field_find(frame, "content-type"), VIEW("application/grpc"));
	env_exchange_begin(flow->env, &stream->exchange, flow->from, flow->to, "http");
	stream->exchange.method = view_copy(field_find(frame, ":method"));
	stream->exchange.url = view_copy(path.at ? path : field_find(frame, ":authority")); /* CONNECT has no path */
	headers_keep(seam, stream, &stream->exchange.request_headers, frame);
	stream->next = seam->streams;
	seam->streams = stream;
	seam->count++;
	count_set(seam, stream, true);
	return stream;
}

/* A request's head, or its trailers. NULL: of a stream that is not followed. */
static struct stream *client_section(struct h2_seam *seam, const struct h2_relay_frame *frame)
{
	struct stream *stream = stream_find(seam, frame->stream);

	if (stream) {
		headers_keep(seam, stream, &stream->exchange.request_headers, frame);
		stream->ends[SIDE_CLIENT] = stream->ends[SIDE_CLIENT] || frame->end;
		return stream;
	}
	if (frame->stream <= seam->last_id || !(frame->stream & 1))
		return NULL;
	if (seam->count == H2_SEAM_STREAMS_MAX) {
		seam->broken = "more streams at once than are followed";
		return NULL;
	}
	stream = stream_new(seam, frame);
	stream->ends[SIDE_CLIENT] = frame->end;
	if (seam->flow->env->faults)
		fault_meet(seam, stream);
	return stream;
}

static void server_section(struct h2_seam *seam, struct stream *stream, const struct h2_relay_frame *frame)
{
	uint64_t status = 0;

	(void)view_to_u64(field_find(frame, ":status"), &status);
	if (!stream->headed && status / 100 == 1)
		return;
	if (!stream->headed)
		stream->exchange.status = status <= 999 ? (int)status : 0;
	headers_keep(seam, stream, &stream->exchange.response_headers, frame);
	stream->ends[SIDE_SERVER] = frame->end;
	if (stream->headed)
		return;
	stream->headed = true;
	if (stream->lose)
		flow_close(seam->flow, "fault: the response was lost");
	else if (!frame->end)
		late_check(seam); /* an answer that goes on and on */
}

/* ---- frames ---- */

static void stream_reset(struct h2_seam *seam, struct stream *stream, enum side from, uint32_t code)
{
	AUTO_FREE char *why = NULL;

	stream->ends[SIDE_CLIENT] = stream->ends[SIDE_SERVER] = true;
	/* A server may say that it needs no more of a request that it answered whole. */
	if (from == SIDE_CLIENT || code != H2_NO_ERROR || !stream->headed)
		why = text_format(from == SIDE_CLIENT ? "the client reset the stream (code %u)"
						      : "the server reset the stream (code %u)",
				  code);
	stream_log(seam, stream, why);
	if (stream->late)
		stream->due_us = 1; /* what waits of its answer is for its client to throw away: it counts in its window */
	else
		stream_check(seam, stream);
	late_check(seam);
}

static void client_frame(struct h2_seam *seam, const struct h2_relay_frame *frame, struct view wire)
{
	struct stream *stream = frame->stream ? stream_find(seam, frame->stream) : NULL;
	bool dropped;

	if (frame->type == H2_RELAY_HEADERS)
		stream = client_section(seam, frame);
	if (!alive(seam) || seam->broken)
		return;
	if (frame->type == H2_RELAY_HEADERS && !(stream && stream->dropped) && frame->stream > seam->passed_id)
		seam->passed_id = frame->stream;
	dropped = (stream && stream->dropped) || frame->stream > seam->passed_id;
	if (frame->type == H2_RELAY_DATA) {
		seam->drop_data[SIDE_CLIENT] = dropped;
		seam->of[SIDE_CLIENT] = stream;
		if (dropped && frame->length) {
			h2_relay_window_format(0, frame->length, &seam->between);
			between_send(seam);
		}
		if (stream && frame->end)
			stream->ends[SIDE_CLIENT] = true;
	}
	if (!dropped)
		flow_write(seam->flow, SIDE_SERVER, wire);
	if (stream && frame->type == H2_RELAY_RESET)
		stream_reset(seam, stream, SIDE_CLIENT, frame->code);
	else if (stream && frame->type != H2_RELAY_DATA)
		stream_check(seam, stream);
}

/* The answers of all streams together wait in so much; what is over goes at the next moment it can. */
static void late_add(struct h2_seam *seam, struct stream *stream, struct view wire)
{
	size_t before = stream->answer.length;

	buf_add_view(&stream->answer, wire);
	seam->late_bytes += stream->answer.length - before;
	if (seam->late_bytes > H2_SEAM_LATE_BYTES_MAX)
		stream->due_us = 1;
	if (stream->answer.over)
		seam->broken = "more of a slow answer than is kept";
}

static void server_frame(struct h2_seam *seam, const struct h2_relay_frame *frame, struct view wire)
{
	struct stream *stream;
	bool late;

	late_check(seam); /* between two frames */
	between_send(seam);
	stream = frame->stream ? stream_find(seam, frame->stream) : NULL;
	if (stream && frame->type == H2_RELAY_HEADERS)
		server_section(seam, stream, frame);
	if (!alive(seam) || seam->broken)
		return;
	late = stream && stream->late && frame->type != H2_RELAY_WINDOW;
	if (frame->type == H2_RELAY_DATA) {
		seam->drop_data[SIDE_SERVER] = late;
		seam->of[SIDE_SERVER] = stream;
		if (stream && frame->end)
			stream->ends[SIDE_SERVER] = true;
	}
	if (late)
		late_add(seam, stream, wire);
	else
		flow_write(seam->flow, SIDE_CLIENT, wire);
	seam->greeted = true;
	if (stream && frame->type == H2_RELAY_RESET)
		stream_reset(seam, stream, SIDE_SERVER, frame->code);
	else if (stream && frame->type != H2_RELAY_DATA)
		stream_check(seam, stream);
}

static void on_frame(void *self, enum h2_relay_side from, const struct h2_relay_frame *frame, struct view wire)
{
	struct h2_seam *seam = self;

	if (!alive(seam) || seam->broken)
		return;
	if (from == H2_RELAY_CLIENT)
		client_frame(seam, frame, wire);
	else
		server_frame(seam, frame, wire);
}

static void on_data(void *self, enum h2_relay_side from, struct view wire, struct view content, bool last)
{
	struct h2_seam *seam = self;
	enum side side = from == H2_RELAY_CLIENT ? SIDE_CLIENT : SIDE_SERVER;
	struct stream *stream = seam->of[side];

	if (!alive(seam) || seam->broken)
		return;
	if (stream && !stream->logged)
		exchange_body_add(side == SIDE_CLIENT ? &stream->exchange.request_body : &stream->exchange.response_body, content);
	if (!seam->drop_data[side])
		flow_write(seam->flow, side == SIDE_CLIENT ? SIDE_SERVER : SIDE_CLIENT, wire);
	else if (side == SIDE_SERVER && stream)
		late_add(seam, stream, wire);
	if (!last)
		return;
	seam->of[side] = NULL;
	if (stream)
		stream_check(seam, stream);
}

static const struct h2_relay_events relay_events = {on_frame, on_data};

/* ---- the flow ---- */

static void h2_data(struct flow *flow, enum side from, struct view bytes)
{
	struct h2_seam *seam = flow->state;
	struct err err;

	if (h2_relay_feed(seam->relay, from == SIDE_CLIENT ? H2_RELAY_CLIENT : H2_RELAY_SERVER, bytes, &err)) {
		(void)snprintf(flow->problem, sizeof(flow->problem), "bad HTTP/2 of the %s: %.100s",
			       from == SIDE_CLIENT ? "client" : "server", err.text);
		seam->broken = flow->problem;
	}
	if (alive(seam) && seam->broken)
		flow_close(flow, seam->broken);
	if (alive(seam)) {
		between_send(seam);
		if (from == SIDE_SERVER)
			late_check(seam);
	}
	if (alive(seam) && seam->between.length > BETWEEN_BYTES_MAX)
		flow_close(flow, "its client asks more than its server lets us answer");
}

static void h2_ended(struct flow *flow, enum side from)
{
	struct h2_seam *seam = flow->state;

	/* Behind its end nothing can come late any more. */
	for (struct stream *stream = seam->streams; from == SIDE_SERVER && stream; stream = stream->next)
		stream->due_us = stream->late ? 1 : stream->due_us;
	if (from == SIDE_SERVER)
		late_check(seam);
	if (!alive(seam))
		return;
	if (from == SIDE_CLIENT && flow->legs[SIDE_SERVER].fd < 0)
		flow_finish(flow);
	else
		flow_end(flow, from == SIDE_CLIENT ? SIDE_SERVER : SIDE_CLIENT);
}

static bool h2_server_lost(struct flow *flow, const char *why)
{
	(void)why;
	return !flow->bytes[SIDE_SERVER] && flow->legs[SIDE_SERVER].fd < 0 && door_dial_again(flow);
}

static void h2_closing(struct flow *flow, const char *why)
{
	struct h2_seam *seam = flow->state;

	while (seam->streams) {
		struct stream *stream = seam->streams;

		stream_log(seam, stream,
			   stream->ends[SIDE_SERVER] ? NULL
			   : why                     ? why
						     : "the connection ended before the response did");
		stream_free(seam, stream);
	}
}

static void h2_release(void *state)
{
	struct h2_seam *seam = state;

	h2_relay_free(seam->relay);
	buf_fini(&seam->between);
	free(seam);
}

static const struct flow_protocol h2_protocol = {"h2", h2_data, h2_ended, NULL, h2_server_lost, h2_closing, h2_release};

void h2_seam_begin(struct flow *flow)
{
	struct h2_seam *seam = mem_new(sizeof(*seam));

	seam->flow = flow;
	seam->relay = h2_relay_new(&relay_events, seam);
	seam->between = buf_new(ANSWER_BYTES_MAX * 2);
	flow_protocol_set(flow, &h2_protocol, seam);
}
