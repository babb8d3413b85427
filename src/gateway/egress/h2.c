/*
 * HTTP/2 from a sandbox.
 *
 * Theory of operation: http/h2.h makes events of frames; a request's head takes a pipeline, and the pipeline answers through `client` into
 * the stream. What is to be sent is collected and written once, at the end of the turn, as far as the socket has room; beyond that it waits in
 * the streams, and who fills them is paused. A body that is not wanted now is not credited, so the client stops by itself.
 */
#include "gateway/egress/h2.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"
#include "gateway/egress/pipeline.h"
#include "gateway/policy/host.h"
#include "http/codec.h"
#include "http/h2.h"

#define TICK_MS 10000

struct connection {
	struct flow *flow;
	struct h2 *h2;
	struct call *calls;
	char host[HOST_NAME_MAX_BYTES];
	uint16_t port;
	size_t field_bytes; /* of the heads of all calls */
	int64_t section_ms; /* since when a header section is coming in; 0: none is */
	int64_t quiet_ms;   /* since when there is no call */
	bool asked;         /* there was a request */
	bool pump_due;
};

/* One request. */
struct call {
	struct connection *connection;
	struct call *next, **place;
	struct h2_stream *stream;
	struct pipeline *pipeline; /* NULL: answered, or refused */
	size_t field_bytes;
	size_t owed;  /* of its body: came, and is not credited yet */
	bool whole;   /* its body came */
	bool paused;  /* its body is not wanted now */
	bool touched; /* something came of it in this turn */
	bool head_only;
	int64_t moved_ms; /* when something of its body came, or of its answer left */
	uint64_t sent;    /* of its answer, then */
};

static void pump_later(struct connection *connection);

static int64_t now_ms(void)
{
	return worker_now_us() / 1000;
}

/* ---- the answer ---- */

static void answer_head(void *self, const struct egress_response *response)
{
	struct call *call = self;
	struct h2_field fields[EGRESS_FIELDS_MAX + 1];
	bool body = !call->head_only && response->status != 204 && response->status != 304 && response->body_bytes != 0;
	size_t count = 0;
	char length[24];

	for (size_t i = 0; i < response->field_count && i < EGRESS_FIELDS_MAX; i++)
		fields[count++] = (struct h2_field){response->fields[i].name, response->fields[i].value};
	if (body && response->body_bytes > 0) {
		(void)snprintf(length, sizeof(length), "%lld", (long long)response->body_bytes);
		fields[count++] = (struct h2_field){VIEW("content-length"), view_of(length)};
	}
	if (h2_respond(call->stream, response->status, fields, count, !body, NULL))
		h2_reset(call->stream, H2_INTERNAL);
	pump_later(call->connection);
}

static void answer_data(void *self, struct view bytes)
{
	struct call *call = self;

	if (call->head_only)
		return;
	h2_send(call->stream, bytes, false);
	pump_later(call->connection);
}

static void answer_trailers(void *self, const struct egress_field *fields, size_t count)
{
	struct call *call = self;
	struct h2_field sent[EGRESS_FIELDS_MAX];

	if (call->head_only)
		return;
	for (size_t i = 0; i < count; i++)
		sent[i] = (struct h2_field){fields[i].name, fields[i].value};
	h2_send_trailers(call->stream, sent, count); /* copied; it ends the answer */
}

static void answer_ends(void *self)
{
	struct call *call = self;

	call->pipeline = NULL;
	h2_send(call->stream, VIEW(""), true);
	pump_later(call->connection);
}

static void answer_lost(void *self, const char *why, uint32_t code)
{
	struct call *call = self;

	(void)why;
	call->pipeline = NULL;
	h2_reset(call->stream, code ? code : H2_INTERNAL);
	pump_later(call->connection);
}

static bool answer_full(void *self)
{
	const struct call *call = self;

	return h2_waiting(call->stream) >= H2_WAITING_LOW;
}

static void request_pause(void *self, bool paused)
{
	struct call *call = self;

	call->paused = paused;
	call->moved_ms = now_ms();
	if (paused || !call->owed)
		return;
	h2_consumed(call->stream, call->owed);
	call->owed = 0;
	pump_later(call->connection);
}

static const struct pipeline_client client = {.head = answer_head,
					      .data = answer_data,
					      .trailers = answer_trailers,
					      .ends = answer_ends,
					      .lost = answer_lost,
					      .full = answer_full,
					      .pause = request_pause};

/* ---- the request ---- */

static struct view text_keep(struct buf *text, struct view from)
{
	size_t at = text->length;

	buf_add_view(text, from);
	return view_make(text->at + at, from.length);
}

/* As much of it as can be told of a request that has no form. */
static void request_sketch(struct call *call, const struct h2_head *head)
{
	const struct connection *connection = call->connection;
	struct egress_request *request = &call->pipeline->request;

	request->host = connection->host;
	request->port = connection->port;
	request->tls = connection->flow->legs[SIDE_CLIENT].tls != NULL;
	request->version = 20;
	request->method = text_keep(&call->pipeline->text, head->method);
}

static bool destination_fits(const struct connection *connection, const struct h2_head *head)
{
	bool tls = connection->flow->legs[SIDE_CLIENT].tls != NULL;

	if (!view_is(head->scheme, tls ? "https" : "http") || (!head->authority.length && !head->host.length))
		return false;
	return (!head->authority.length || pipeline_authority_fits(head->authority, connection->host, connection->port, tls)) &&
	       (!head->host.length || pipeline_authority_fits(head->host, connection->host, connection->port, tls));
}

/* Fills the pipeline's request; *why is set, and the status returned, when it has no form to be passed on in. */
static unsigned request_fill(struct call *call, const struct h2_head *head, bool *expects, const char **why)
{
	struct pipeline *pipeline = call->pipeline;
	struct egress_request *request = &pipeline->request;

	*why = pipeline_method_problem(head->method);
	if (*why)
		return 405;
	*why = "the request names another host than the connection was made to";
	if (!destination_fits(call->connection, head))
		return 421;
	request->body_bytes = head->end ? 0 : head->content_length > 0 ? head->content_length : -1;
	if (pipeline_target_set(pipeline, head->path, why))
		return 400;
	for (size_t i = 0; i < head->field_count; i++) {
		struct view name = text_keep(&pipeline->text, head->fields[i].name);
		struct view value = text_keep(&pipeline->text, head->fields[i].value);

		if (view_is(name, "te"))
			request->trailers = true; /* nothing else may be said there (RFC 9113 8.2.2) */
		if (view_is(name, "expect")) {
			*why = "an expectation that is not 100-continue";
			*expects = view_equal_nocase(value, VIEW("100-continue"));
			if (!*expects)
				return 400;
		}
		if (pipeline_field_add(pipeline, (char *)(uintptr_t)name.at, name.length, value, why))
			return 400;
	}
	return 0;
}

static void call_add(struct connection *connection, struct h2_stream *stream, const struct h2_head *head)
{
	struct call *call = mem_new(sizeof(*call));

	call->connection = connection;
	call->stream = stream;
	call->field_bytes = head->bytes;
	call->whole = head->end;
	call->head_only = view_is(head->method, "HEAD");
	call->moved_ms = now_ms();
	call->next = connection->calls;
	call->place = &connection->calls;
	if (call->next)
		call->next->place = &call->next;
	connection->calls = call;
	connection->field_bytes += call->field_bytes;
	connection->asked = true;
	h2_stream_self_set(stream, call);
}

static void on_head(void *self, struct h2_stream *stream, const struct h2_head *head)
{
	struct connection *connection = self;
	struct flow *flow = connection->flow;
	struct call *call;
	const char *why = NULL;
	bool expects = false;
	unsigned status;

	connection->section_ms = 0;
	if (flow->closed)
		return;
	if (connection->field_bytes + head->bytes > H2_FIELDS_BYTES_MAX) {
		h2_reset(stream, H2_REFUSED);
		return;
	}
	call_add(connection, stream, head);
	call = connection->calls;
	call->pipeline = pipeline_take(flow->env, flow->from);
	(void)buf_reserve(&call->pipeline->text, head->bytes); /* so that it does not move */
	request_sketch(call, head);
	status = request_fill(call, head, &expects, &why);
	if (status) {
		pipeline_refuse(call->pipeline, &client, call, status, status == 421 ? "destination" : "canonical-form", why, NULL);
		return;
	}
	pipeline_begin(call->pipeline, &client, call);
	if (call->pipeline && expects && !call->whole && h2_respond(stream, 100, NULL, 0, false, NULL))
		h2_reset(stream, H2_INTERNAL);
}

static void on_data(void *self, struct h2_stream *stream, struct view bytes)
{
	struct call *call = h2_stream_self(stream);

	(void)self;
	if (call && call->pipeline) {
		call->touched = true;
		call->moved_ms = now_ms();
		pipeline_body(call->pipeline, bytes);
	}
	if (call && call->pipeline && call->paused)
		call->owed += bytes.length;
	else
		h2_consumed(stream, bytes.length);
}

static void on_trailers(void *self, struct h2_stream *stream, const struct h2_field *trailers, size_t count)
{
	struct connection *connection = self;
	struct call *call = h2_stream_self(stream);
	struct egress_field fields[H2_FIELDS_MAX + 1];

	connection->section_ms = 0;
	for (size_t i = 0; i < count; i++)
		fields[i] = (struct egress_field){trailers[i].name, trailers[i].value};
	if (call && call->pipeline)
		pipeline_trailers(call->pipeline, fields, count);
}

static void on_end(void *self, struct h2_stream *stream)
{
	struct call *call = h2_stream_self(stream);

	(void)self;
	if (!call || call->whole)
		return;
	call->whole = call->touched = true;
	if (call->pipeline)
		pipeline_body_end(call->pipeline);
}

static void on_room(void *self, struct h2_stream *stream)
{
	struct call *call = h2_stream_self(stream);

	(void)self;
	if (call && call->pipeline)
		pipeline_client_drained(call->pipeline);
}

static void call_remove(struct call *call, const char *why)
{
	struct connection *connection = call->connection;
	struct pipeline *pipeline = TAKE(call->pipeline);

	*call->place = call->next;
	if (call->next)
		call->next->place = call->place;
	connection->field_bytes -= call->field_bytes;
	connection->quiet_ms = now_ms();
	free(call);
	if (pipeline)
		pipeline_cancel(pipeline, why ? why : "the client left before the response ended");
}

static void on_closed(void *self, struct h2_stream *stream, const char *why)
{
	struct call *call = h2_stream_self(stream);

	(void)self;
	if (call)
		call_remove(call, why);
}

static const struct h2_events events = {on_head, NULL, on_data, on_trailers, on_end, on_room, on_closed};

/* ---- the connection ---- */

static void pump(struct connection *connection)
{
	struct flow *flow = connection->flow;
	AUTO_BUF out = buf_new(H2_OUTPUT_BYTES_MAX * 2);
	struct err err;

	while (!flow->closed && !flow_full(flow, SIDE_CLIENT)) {
		buf_clear(&out);
		if (h2_output(connection->h2, &out, &err)) {
			(void)snprintf(flow->problem, sizeof(flow->problem), "%.159s", err.text);
			flow_close(flow, flow->problem);
			return;
		}
		if (!out.length)
			break;
		flow_write(flow, SIDE_CLIENT, buf_view(&out));
	}
	if (!flow->closed && h2_over(connection->h2))
		flow_finish(flow);
}

/* Is the flow still ours? */
static bool alive(const struct connection *connection)
{
	return !connection->flow->closed && connection->flow->state == connection;
}

static void pump_now(void *self)
{
	struct connection *connection = self;

	connection->pump_due = false;
	if (!alive(connection))
		return;
	pump(connection);
	flow_update(connection->flow);
}

static void pump_later(struct connection *connection)
{
	if (connection->pump_due || !alive(connection))
		return;
	connection->pump_due = true;
	loop_defer(connection->flow->worker->loop, pump_now, connection);
}

/* What it sends are no frames, or too many: said, and the end. */
static void frames_bad(struct connection *connection, const struct err *err)
{
	struct flow *flow = connection->flow;
	AUTO_EXCHANGE exchange = {0};

	env_exchange_begin(flow->env, &exchange, flow->from, connection->host, "http");
	exchange.error = text_format("bad request: %s", err->text);
	exchange_log_add(flow->env->log, &exchange);
	env_denied(flow->env, flow->from, connection->host, connection->port, err->text);
	pump(connection);
	if (alive(connection))
		flow_finish(flow);
}

static void h2_data(struct flow *flow, enum side from, struct view bytes)
{
	struct connection *connection = flow->state;
	struct call *next;
	struct err err;

	(void)from;
	if (h2_feed(connection->h2, bytes, &err)) {
		if (alive(connection))
			frames_bad(connection, &err);
		return;
	}
	if (!alive(connection))
		return;
	if (!h2_mid_section(connection->h2))
		connection->section_ms = 0;
	else if (!connection->section_ms)
		connection->section_ms = now_ms();
	for (struct call *call = connection->calls; call; call = next) {
		next = call->next;
		if (!call->touched)
			continue;
		call->touched = false;
		if (call->pipeline)
			pipeline_send(call->pipeline);
	}
	pump_later(connection);
}

static void h2_ended(struct flow *flow, enum side from)
{
	const struct connection *connection = flow->state;

	(void)from;
	if (connection->calls)
		flow_close(flow, "the client left");
	else
		flow_finish(flow);
}

static bool h2_server_lost(struct flow *flow, const char *why)
{
	(void)flow;
	(void)why;
	return true;
}

static void h2_closing(struct flow *flow, const char *why)
{
	struct connection *connection = flow->state;

	while (connection->calls) {
		h2_stream_self_set(connection->calls->stream, NULL);
		call_remove(connection->calls, why);
	}
}

static void h2_release(void *state)
{
	struct connection *connection = state;

	h2_free(connection->h2);
	free(connection);
}

static void h2_drained(struct flow *flow, enum side to)
{
	(void)to;
	pump_later(flow->state);
}

static const struct flow_protocol h2_protocol = {
	.name = "h2",
	.data = h2_data,
	.ended = h2_ended,
	.server_lost = h2_server_lost,
	.closing = h2_closing,
	.release = h2_release,
	.drained = h2_drained,
};

/* A body that does not go on, or an answer that is not read. */
static bool call_stands(struct call *call, int64_t now)
{
	if (h2_sent(call->stream) != call->sent || (!h2_waiting(call->stream) && (call->whole || call->paused))) {
		call->sent = h2_sent(call->stream);
		call->moved_ms = now;
	}
	return now - call->moved_ms >= H2_QUIET_MS;
}

static void ticked(struct flow *flow)
{
	struct connection *connection = flow->state;
	int64_t now = now_ms();

	if (connection->section_ms && now - connection->section_ms >= H2_FIRST_MS) {
		flow_close(flow, "the request's head was too slow");
		return;
	}
	for (struct call *call = connection->calls; call; call = call->next)
		if (call_stands(call, now))
			h2_reset(call->stream, H2_CANCEL);
	if (!connection->calls && now - connection->quiet_ms >= (connection->asked ? H2_QUIET_MS : H2_FIRST_MS)) {
		h2_wind_down(connection->h2);
		pump(connection);
		if (alive(connection))
			flow_finish(flow);
		return;
	}
	if (!connection->calls)
		h2_rest(connection->h2);
	pump_later(connection);
	flow_timer(flow, TICK_MS, ticked);
}

void h2_begin(struct flow *flow, const char *host, uint16_t port, struct view first)
{
	struct connection *connection = mem_new(sizeof(*connection));
	AUTO_BUF kept = buf_new(SIZE_MAX / 4);

	buf_add_view(&kept, first); /* it may belong to the protocol before */
	connection->flow = flow;
	connection->h2 = h2_new(H2_SERVER, &events, connection, now_ms);
	connection->quiet_ms = now_ms();
	(void)snprintf(connection->host, sizeof(connection->host), "%s", host);
	connection->port = port;
	flow_protocol_set(flow, &h2_protocol, connection);
	flow_timer(flow, TICK_MS, ticked);
	pump_later(connection);
	if (kept.length)
		h2_data(flow, SIDE_CLIENT, buf_view(&kept));
}
