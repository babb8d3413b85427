/* A carrier that speaks HTTP/1.1: one request, its answer, and then perhaps another. What it sends while idle, its end included, ends it. */
#include "gateway/egress/upstream_priv.h"

#include <ctype.h>
#include <stdio.h>

#include "base/scope.h"

#define INPUT_BYTES_MAX (SCRATCH_BYTES * 2 + HTTP_HEAD_BYTES_MAX)
#define HEAD_KEPT_CAPACITY ((size_t)8 << 10)
#define HEAD_BYTES_USUAL 1024

void carrier_h1_init(struct carrier *carrier)
{
	carrier->h1.input = buf_new(INPUT_BYTES_MAX);
	carrier->h1.text = buf_new(HTTP_HEAD_BYTES_MAX * 2);
	carrier->h1.trailers = buf_new(HTTP_HEAD_BYTES_MAX);
}

void carrier_h1_fini(struct carrier *carrier)
{
	buf_fini(&carrier->h1.input);
	buf_fini(&carrier->h1.text);
	buf_fini(&carrier->h1.trailers);
}

/* ---- what is sent ---- */

static void field_write(struct buf *out, const struct egress_field *field)
{
	http_name_write(out, field->name);
	buf_add_text(out, ": ");
	buf_add_view(out, field->value);
	buf_add_text(out, "\r\n");
}

static void length_write(struct buf *out, uint64_t bytes)
{
	buf_add_text(out, "Content-Length: ");
	buf_add_number(out, bytes);
	buf_add_text(out, "\r\n");
}

static void head_write(struct buf *out, const struct egress_request *request)
{
	(void)buf_reserve(out, HEAD_BYTES_USUAL);
	buf_add_view(out, request->method);
	buf_add_char(out, ' ');
	buf_add_view(out, request->path);
	if (request->query.length) {
		buf_add_char(out, '?');
		buf_add_view(out, request->query);
	}
	buf_add_text(out, " HTTP/1.1\r\nHost: ");
	buf_add_text(out, request->host);
	if (request->port != (request->tls ? 443 : 80))
		buf_add_format(out, ":%u", request->port);
	buf_add_text(out, "\r\n");
	for (size_t i = 0; i < request->field_count; i++)
		field_write(out, &request->fields[i]);
	if (request->websocket)
		buf_add_text(out, "Connection: Upgrade\r\nUpgrade: websocket\r\n");
	if (request->body_bytes < 0)
		buf_add_text(out, "Transfer-Encoding: chunked\r\n");
	else if (request->body_bytes > 0 || view_is(request->method, "POST") || view_is(request->method, "PUT") ||
		 view_is(request->method, "PATCH"))
		length_write(out, (uint64_t)request->body_bytes);
	buf_add_text(out, "\r\n");
}

void carrier_h1_ask(struct carrier *carrier, struct upstream *upstream)
{
	const struct egress_request *request = upstream->request;
	struct carrier_h1 *h1 = &carrier->h1;
	struct buf *out = flow_buf(carrier->flow, SIDE_SERVER);

	h1->state = H1_ANSWER_HEAD;
	(void)snprintf(h1->method, sizeof(h1->method), "%.*s", (int)request->method.length, request->method.at);
	h1->chunked = request->body_bytes < 0;
	h1->websocket = request->websocket;
	h1->scanned = 0;
	if (out)
		head_write(out, request);
}

void carrier_h1_body(struct upstream *upstream, struct view bytes)
{
	struct flow *flow = upstream->carrier->flow;
	char size[24];

	if (!upstream->carrier->h1.chunked) {
		flow_write(flow, SIDE_SERVER, bytes);
		return;
	}
	(void)snprintf(size, sizeof(size), "%zx\r\n", bytes.length);
	flow_write(flow, SIDE_SERVER, view_of(size));
	flow_write(flow, SIDE_SERVER, bytes);
	flow_write(flow, SIDE_SERVER, VIEW("\r\n"));
}

/* Where the body's length was announced there is no place for trailers. */
void carrier_h1_body_end(struct upstream *upstream)
{
	AUTO_BUF out = buf_new(HTTP_HEAD_BYTES_MAX * 4);

	if (!upstream->carrier->h1.chunked)
		return;
	buf_add_text(&out, "0\r\n");
	for (size_t i = 0; i < upstream->trailer_count; i++)
		field_write(&out, &upstream->trailers[i]);
	buf_add_text(&out, "\r\n");
	flow_write(upstream->carrier->flow, SIDE_SERVER, buf_view(&out));
}

/* ---- what comes ---- */

bool carrier_h1_again(const struct upstream *upstream)
{
	const struct carrier_h1 *h1 = &upstream->carrier->h1;

	return upstream->reused && h1->state == H1_ANSWER_HEAD && !upstream->interim && !h1->input.length && upstream->repeatable;
}

static bool answering(const struct carrier *carrier)
{
	return !carrier->flow->closed && carrier->asks;
}

static void trailers_deliver(struct carrier *carrier)
{
	struct http_field found[HTTP_FIELDS_MAX];
	struct egress_field fields[HTTP_FIELDS_MAX];
	struct buf *text = &carrier->h1.trailers;
	size_t count = 0;
	size_t all = http_trailers_cut(text, found);

	for (size_t i = 0; i < all; i++)
		if (!upstream_field_is_hop(found[i].name))
			fields[count++] = (struct egress_field){found[i].name, found[i].value};
	if (count)
		carrier->asks->asker->trailers(carrier->asks->self, fields, count);
	buf_clear(text);
}

/* The answer is whole. */
static void answer_end(struct carrier *carrier)
{
	struct upstream *upstream = carrier->asks;
	struct carrier_h1 *h1 = &carrier->h1;
	bool keep = h1->keep && upstream->request_done && !h1->input.length && !carrier->flow->legs[SIDE_SERVER].ended;

	if (h1->trailers.length)
		trailers_deliver(carrier);
	if (!answering(carrier))
		return;
	h1->state = H1_IDLE;
	if (h1->text.capacity > HEAD_KEPT_CAPACITY)
		buf_fini(&h1->text);
	/* Told before the connection is closed, and given to the next after it was told. */
	upstream_leave(upstream);
	if (keep)
		carrier_idle_set(carrier, true);
	else
		flow_close(carrier->flow, NULL);
	upstream_tell_end(upstream);
}

static void answer_broken(struct carrier *carrier, const char *why)
{
	struct flow *flow = carrier->flow;

	(void)snprintf(flow->problem, sizeof(flow->problem), "its answer was refused: %.120s", why);
	if (carrier->asks)
		upstream_tell_lost(carrier->asks, flow->problem, 0, false);
	flow_close(flow, flow->problem);
}

static struct view lowered(struct buf *text, struct view name)
{
	size_t at = text->length;
	char *place = buf_reserve(text, name.length);

	for (size_t i = 0; i < name.length; i++)
		place[i] = (char)tolower((unsigned char)name.at[i]);
	buf_commit(text, name.length);
	return view_make(text->at + at, name.length);
}

/* Named by the Connection field: meant for the next hop only. */
static bool field_is_listed(const struct http_head *head, struct view name)
{
	char text[64];

	if (name.length >= sizeof(text))
		return false;
	memcpy(text, name.at, name.length);
	text[name.length] = '\0';
	return http_head_has(head, "connection", text);
}

static int64_t body_bytes_of(const struct http_head *head)
{
	switch (head->framing) {
	case HTTP_BODY_NONE:
		return 0;
	case HTTP_BODY_LENGTH:
		return (int64_t)head->content_length;
	case HTTP_BODY_CHUNKED:
	case HTTP_BODY_UNTIL_CLOSE:
		break;
	}
	return -1;
}

static void head_deliver(struct carrier *carrier, const struct http_head *head, bool tunnel)
{
	struct egress_field fields[HTTP_FIELDS_MAX + 1];
	struct egress_response response = {
		.status = head->status, .fields = fields, .body_bytes = tunnel ? -1 : body_bytes_of(head), .tunnel = tunnel};
	bool lists = http_head_field(head, "connection").at;
	bool head_only = strcmp(carrier->h1.method, "HEAD") == 0 || head->status == 304;
	struct buf *text = &carrier->h1.text;

	buf_clear(text);
	(void)buf_reserve(text, head->bytes); /* so that it does not move */
	for (size_t i = 0; i < head->field_count; i++) {
		struct view name = lowered(text, head->fields[i].name);

		/* The length of what a GET would bring is worth telling. */
		if ((upstream_field_is_hop(name) && !(head_only && view_is(name, "content-length"))) ||
		    (lists && field_is_listed(head, name)))
			continue;
		fields[response.field_count++] = (struct egress_field){name, head->fields[i].value};
	}
	carrier->asks->headed = true;
	carrier->asks->asker->head(carrier->asks->self, &response);
}

/* A head was parsed; false: nothing more is to be done with this connection. */
static bool head_begin(struct carrier *carrier, const struct http_head *head)
{
	struct carrier_h1 *h1 = &carrier->h1;
	bool tunnel = head->status == 101;
	struct view kind = http_head_field(head, "upgrade");

	if (tunnel && (!h1->websocket || !view_equal_nocase(kind, VIEW("websocket")))) {
		answer_broken(carrier, "it switches protocols unasked");
		return false;
	}
	if (head->status / 100 == 1 && !tunnel) {
		if (++carrier->asks->interim <= UPSTREAM_INTERIM_MAX)
			return true;
		answer_broken(carrier, "too many interim answers");
		return false;
	}
	http_body_init(&h1->body, head);
	buf_clear(&h1->trailers);
	h1->body.trailers = &h1->trailers;
	h1->keep = head->keep_alive && head->framing != HTTP_BODY_UNTIL_CLOSE;
	h1->state = tunnel ? H1_TUNNEL : H1_ANSWER_BODY;
	if (tunnel)
		h1->chunked = carrier->asks->request_done = false;
	head_deliver(carrier, head, tunnel);
	return true;
}

/* Takes a piece; how much of it, 0 when more is needed. */
static size_t piece_take(struct carrier *carrier, struct view bytes)
{
	struct upstream *upstream = carrier->asks;
	struct carrier_h1 *h1 = &carrier->h1;
	struct http_head head;
	struct view data;
	struct err err;
	size_t used = 0;
	enum http_result result;

	if (h1->state == H1_TUNNEL) {
		upstream->asker->data(upstream->self, bytes);
		return bytes.length;
	}
	if (h1->state == H1_ANSWER_HEAD) {
		result = http_response_parse(bytes, &h1->scanned, view_of(h1->method), &head, &err);
		if (result == HTTP_MORE)
			return 0;
		h1->scanned = 0;
		if (result == HTTP_BAD)
			answer_broken(carrier, err.text);
		else if (head_begin(carrier, &head))
			used = head.bytes;
		return result == HTTP_DONE ? head.bytes : bytes.length;
	}
	result = http_body_feed(&h1->body, bytes, &used, &data, &err);
	if (result == HTTP_BAD) {
		answer_broken(carrier, err.text);
		return bytes.length;
	}
	if (data.length)
		upstream->asker->data(upstream->self, data);
	return used;
}

static size_t pieces_take(struct carrier *carrier, struct view bytes)
{
	size_t done = 0;

	while (answering(carrier) && done < bytes.length) {
		size_t used = piece_take(carrier, view_make(bytes.at + done, bytes.length - done));

		if (!used)
			break;
		done += used;
		if (carrier->h1.state == H1_ANSWER_BODY && http_body_ended(&carrier->h1.body))
			break;
	}
	return done;
}

void carrier_h1_data(struct carrier *carrier, struct view bytes)
{
	struct carrier_h1 *h1 = &carrier->h1;
	struct buf *input = &h1->input;
	size_t done;

	if (carrier->state == CARRIER_OPENING || h1->state == H1_IDLE || !carrier->asks) {
		flow_close(carrier->flow, "it sent what was not asked for");
		return;
	}
	if (input->length) {
		buf_add_view(input, bytes);
		done = pieces_take(carrier, buf_view(input));
		if (!carrier->flow->closed)
			buf_drop_front(input, done);
	} else {
		done = pieces_take(carrier, bytes);
		if (!carrier->flow->closed && done < bytes.length)
			buf_add(input, bytes.at + done, bytes.length - done);
	}
	if (!answering(carrier))
		return;
	if (input->over)
		answer_broken(carrier, "a message that does not end");
	else if (h1->state == H1_ANSWER_BODY && http_body_ended(&h1->body))
		answer_end(carrier);
}

void carrier_h1_ended(struct carrier *carrier)
{
	const struct carrier_h1 *h1 = &carrier->h1;

	if (carrier->asks && ((h1->state == H1_ANSWER_BODY && h1->body.framing == HTTP_BODY_UNTIL_CLOSE) || h1->state == H1_TUNNEL))
		answer_end(carrier);
	else
		flow_close(carrier->flow, "it ended before its answer did");
}
