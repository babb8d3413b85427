/* A carrier that speaks HTTP/2: many requests at once, each a stream. */
#include "gateway/egress/upstream_priv.h"

#include <stdio.h>

#include "base/scope.h"

#define OUT_KEPT_CAPACITY ((size_t)32 << 10)

static int64_t now_ms(void)
{
	return worker_now_us() / 1000;
}

/* ---- what comes ---- */

static void on_head(void *self, struct h2_stream *stream, const struct h2_head *head)
{
	struct upstream *upstream = h2_stream_self(stream);
	struct egress_field fields[H2_FIELDS_MAX + 1];
	struct egress_response response = {.status = head->status, .fields = fields};
	bool bodiless;

	(void)self;
	if (!upstream)
		return;
	bodiless = view_is(upstream->request->method, "HEAD") || head->status == 304;
	response.body_bytes = head->end ? 0 : head->content_length > 0 ? head->content_length : -1;
	for (size_t i = 0; i < head->field_count; i++)
		if (!upstream_field_is_hop(head->fields[i].name) || (bodiless && view_is(head->fields[i].name, "content-length")))
			fields[response.field_count++] = (struct egress_field){head->fields[i].name, head->fields[i].value};
	upstream->headed = true;
	upstream->asker->head(upstream->self, &response);
}

static void on_informational(void *self, struct h2_stream *stream, unsigned status)
{
	const struct carrier *carrier = self;
	struct upstream *upstream = h2_stream_self(stream);
	bool switches = status == 101;

	if (!upstream || (!switches && ++upstream->interim <= UPSTREAM_INTERIM_MAX))
		return;
	h2_stream_self_set(stream, NULL);
	upstream->stream = NULL;
	h2_reset(stream, H2_PROTOCOL);
	(void)snprintf(carrier->flow->problem, sizeof(carrier->flow->problem), "its answer was refused: %s",
		       switches ? "it switches protocols unasked" : "too many interim answers");
	upstream_tell_lost(upstream, carrier->flow->problem, 0, false);
}

static void on_data(void *self, struct h2_stream *stream, struct view bytes)
{
	struct upstream *upstream = h2_stream_self(stream);

	(void)self;
	if (!upstream) {
		h2_consumed(stream, bytes.length);
		return;
	}
	upstream->asker->data(upstream->self, bytes);
	if (upstream->paused)
		upstream->owed += bytes.length;
	else if (upstream->stream)
		h2_consumed(stream, bytes.length);
}

static void on_trailers(void *self, struct h2_stream *stream, const struct h2_field *trailers, size_t count)
{
	struct upstream *upstream = h2_stream_self(stream);
	struct egress_field fields[H2_FIELDS_MAX + 1];
	size_t kept = 0;

	(void)self;
	for (size_t i = 0; i < count; i++)
		if (!upstream_field_is_hop(trailers[i].name))
			fields[kept++] = (struct egress_field){trailers[i].name, trailers[i].value};
	if (upstream && kept)
		upstream->asker->trailers(upstream->self, fields, kept);
}

/* The answer is whole: what is still to come of the request is not wanted. */
static void on_end(void *self, struct h2_stream *stream)
{
	struct carrier *carrier = self;
	struct upstream *upstream = h2_stream_self(stream);

	if (!upstream)
		return;
	h2_stream_self_set(stream, NULL);
	upstream->stream = NULL;
	if (!upstream->request_done)
		h2_reset(stream, H2_NO_ERROR);
	upstream_tell_end(upstream);
	carrier_h2_settle(carrier);
}

static void on_room(void *self, struct h2_stream *stream)
{
	struct upstream *upstream = h2_stream_self(stream);

	(void)self;
	if (upstream)
		upstream->asker->drained(upstream->self);
}

/* A stream that the host says it did not look at may be sent again, whatever it asks for (RFC 9113 8.7). */
static void on_closed(void *self, struct h2_stream *stream, const char *why)
{
	struct carrier *carrier = self;
	struct upstream *upstream = h2_stream_self(stream);
	uint32_t code = h2_stream_code(stream);
	char *text = carrier->flow->problem;

	if (!upstream)
		return;
	upstream->stream = NULL;
	if (code == H2_HTTP11_REQUIRED)
		carrier_h2_refused(carrier);
	(void)snprintf(text, sizeof(carrier->flow->problem), "the host ended it: %.100s", why ? why : "without an answer");
	upstream_tell_lost(upstream, text, code, !upstream->headed && (code == H2_REFUSED || code == H2_HTTP11_REQUIRED));
	carrier_h2_settle(carrier);
}

static const struct h2_events events = {on_head, on_informational, on_data, on_trailers, on_end, on_room, on_closed};

void carrier_h2_open(struct carrier *carrier)
{
	carrier->h2 = h2_new(H2_CLIENT, &events, carrier, now_ms);
}

void carrier_h2_fini(struct carrier *carrier)
{
	h2_free(carrier->h2);
	carrier->h2 = NULL;
}

void carrier_h2_data(struct carrier *carrier, struct view bytes)
{
	struct flow *flow = carrier->flow;
	struct err err;

	if (h2_feed(carrier->h2, bytes, &err)) {
		(void)snprintf(flow->problem, sizeof(flow->problem), "its answer was refused: %.120s", err.text);
		flow_close(flow, flow->problem);
		return;
	}
	carrier_h2_pump_later(carrier);
}

/* ---- what is sent ---- */

bool carrier_h2_ask(struct carrier *carrier, struct upstream *upstream)
{
	const struct egress_request *request = upstream->request;
	struct h2_field fields[EGRESS_FIELDS_MAX + 2];
	struct h2_head head = {.method = request->method, .fields = fields, .content_length = request->body_bytes};
	AUTO_BUF text = buf_new(HTTP_HEAD_BYTES_MAX * 2);
	char authority[HOST_NAME_MAX_BYTES + 8];
	char length[24];

	if (!h2_accepts(carrier->h2))
		return false;
	(void)snprintf(authority, sizeof(authority), "%s", request->host);
	if (request->port != (request->tls ? 443 : 80))
		(void)snprintf(authority, sizeof(authority), "%s:%u", request->host, request->port);
	head.scheme = request->tls ? VIEW("https") : VIEW("http");
	head.authority = view_of(authority);
	head.path = request->path;
	if (request->query.length) {
		buf_add_view(&text, request->path);
		buf_add_char(&text, '?');
		buf_add_view(&text, request->query);
		head.path = buf_view(&text);
	}
	for (size_t i = 0; i < request->field_count; i++)
		fields[head.field_count++] = (struct h2_field){request->fields[i].name, request->fields[i].value};
	if (request->trailers)
		fields[head.field_count++] = (struct h2_field){VIEW("te"), VIEW("trailers")};
	if (request->body_bytes > 0) {
		(void)snprintf(length, sizeof(length), "%lld", (long long)request->body_bytes);
		fields[head.field_count++] = (struct h2_field){VIEW("content-length"), view_of(length)};
	}
	head.end = request->body_bytes == 0;
	upstream->request_done = head.end;
	upstream->stream = h2_request(carrier->h2, &head, upstream, NULL);
	carrier_h2_pump_later(carrier);
	return upstream->stream != NULL;
}

void carrier_h2_body_end(struct upstream *upstream)
{
	struct h2_field fields[H2_FIELDS_MAX];
	size_t count = 0;

	for (; count < upstream->trailer_count && count < H2_FIELDS_MAX; count++)
		fields[count] = (struct h2_field){upstream->trailers[count].name, upstream->trailers[count].value};
	if (!upstream->stream)
		return;
	if (count)
		h2_send_trailers(upstream->stream, fields, count);
	else
		h2_send(upstream->stream, VIEW(""), true);
}

void carrier_h2_pause(struct upstream *upstream, bool paused)
{
	upstream->paused = paused;
	if (paused || !upstream->stream)
		return;
	h2_consumed(upstream->stream, upstream->owed);
	upstream->owed = 0;
	carrier_h2_pump_later(upstream->carrier);
}

void carrier_h2_let_go(struct upstream *upstream, enum h2_code code)
{
	if (!upstream->stream)
		return;
	h2_stream_self_set(upstream->stream, NULL);
	h2_reset(upstream->stream, code);
	upstream->stream = NULL;
	carrier_h2_pump_later(upstream->carrier);
}

/* A stream ended: is it idle now, or of no more use? */
void carrier_h2_settle(struct carrier *carrier)
{
	if (carrier->ask_count || carrier->flow->closed)
		return;
	if (h2_usable(carrier->h2)) {
		carrier_idle_set(carrier, true);
		return;
	}
	carrier_bucket_leave(carrier);
	h2_wind_down(carrier->h2);
	carrier_h2_pump_later(carrier);
}

void carrier_h2_pump(struct carrier *carrier)
{
	struct flow *flow = carrier->flow;
	AUTO_BUF out = buf_new(H2_OUTPUT_BYTES_MAX * 2);
	struct err err;

	while (!flow->closed && !flow_full(flow, SIDE_SERVER)) {
		buf_clear(&out);
		if (h2_output(carrier->h2, &out, &err)) {
			(void)snprintf(flow->problem, sizeof(flow->problem), "%.159s", err.text);
			flow_close(flow, flow->problem);
			return;
		}
		if (!out.length)
			break;
		flow_write(flow, SIDE_SERVER, buf_view(&out));
	}
	if (!flow->closed && h2_over(carrier->h2))
		flow_close(flow, carrier->ask_count ? "the connection ended" : NULL);
}

static void pump_now(void *self)
{
	struct carrier *carrier = self;

	carrier->pump_due = false;
	if (carrier->flow->closed)
		return;
	carrier_h2_pump(carrier);
	flow_update(carrier->flow);
}

void carrier_h2_pump_later(struct carrier *carrier)
{
	if (carrier->pump_due || carrier->flow->closed)
		return;
	carrier->pump_due = true;
	loop_defer(carrier->env->worker->loop, pump_now, carrier);
}
