/*
 * HTTP/1 from a sandbox.
 *
 * Theory of operation: what comes is parsed from the input buffer, or in place when that is empty, as far as the state allows: a head
 * only when no request is under way, body bytes only while one is due. The pipeline answers through `client`; an answer that comes
 * while requests are being taken does not take the next one itself, so the stack stays flat.
 */
#include "gateway/egress/h1.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"
#include "gateway/egress/pipeline.h"
#include "gateway/egress/proxy.h"
#include "gateway/egress/refusal.h"
#include "gateway/outside.h"
#include "gateway/policy/policy.h"
#include "http/codec.h"

#define HEAD_BYTES_USUAL 1024
#define INPUT_BYTES_MAX (SCRATCH_BYTES * 2 + HTTP_HEAD_BYTES_MAX)

enum request_state { REQUEST_HEAD, REQUEST_BODY, REQUEST_DONE };

struct h1 {
	struct flow *flow;
	char host[HOST_NAME_MAX_BYTES];
	uint16_t port;
	bool proxy;
	struct buf input;
	size_t scanned;
	enum request_state state;
	struct http_body body;
	struct buf trailers_in;    /* of its body */
	struct buf trailers;       /* of the answer */
	struct pipeline *pipeline; /* NULL: none */
	bool keep;                 /* the client means to go on */
	bool old;                  /* HTTP/1.0: no chunks */
	bool head_only;
	bool chunked; /* the answer's framing */
	bool tunnel;
	bool continues; /* it waits for 100 Continue */
	bool paused;    /* its body is not wanted now */
	bool taking;    /* in the loop over the input */
	int64_t left;   /* of the answer's body; -1: until the close or in chunks */
};

static void input_take(struct h1 *h1, struct view bytes);

/* Is the flow still ours? */
static bool alive(const struct h1 *h1)
{
	return !h1->flow->closed && h1->flow->state == h1;
}

/* ---- the answer ---- */

static bool status_has_body(unsigned status)
{
	return status / 100 != 1 && status != 204 && status != 304;
}

static void framing_write(struct h1 *h1, const struct egress_response *response, struct buf *out)
{
	bool body = !h1->head_only && status_has_body(response->status);

	h1->chunked = false;
	h1->left = body ? response->body_bytes : 0;
	if (response->tunnel) {
		buf_add_text(out, "Connection: Upgrade\r\nUpgrade: websocket\r\n");
		return;
	}
	if (body && response->body_bytes >= 0) {
		buf_add_text(out, "Content-Length: ");
		buf_add_number(out, (uint64_t)response->body_bytes);
		buf_add_text(out, "\r\n");
	} else if (body && !h1->old) {
		h1->chunked = true;
		buf_add_text(out, "Transfer-Encoding: chunked\r\n");
	} else if (body) {
		h1->keep = false;
	}
	/* What is still to come of the request is not waited for. */
	if (h1->state != REQUEST_DONE)
		h1->keep = false;
	if (!h1->keep)
		buf_add_text(out, "Connection: close\r\n");
	else if (h1->old)
		buf_add_text(out, "Connection: keep-alive\r\n");
}

static void answer_head(void *self, const struct egress_response *response)
{
	struct h1 *h1 = self;
	struct buf *out = flow_buf(h1->flow, SIDE_CLIENT);

	h1->continues = false;
	if (!out)
		return;
	(void)buf_reserve(out, HEAD_BYTES_USUAL);
	buf_add_text(out, "HTTP/1.1 ");
	buf_add_number(out, response->status);
	buf_add_char(out, ' ');
	buf_add_text(out, http_status_text(response->status));
	buf_add_text(out, "\r\n");
	for (size_t i = 0; i < response->field_count; i++) {
		http_name_write(out, response->fields[i].name);
		buf_add_text(out, ": ");
		buf_add_view(out, response->fields[i].value);
		buf_add_text(out, "\r\n");
	}
	framing_write(h1, response, out);
	buf_add_text(out, "\r\n");
	flow_update_later(h1->flow);
	if (response->tunnel) {
		h1->tunnel = true;
		flow_timer(h1->flow, -1, NULL);
	}
}

static void answer_data(void *self, struct view bytes)
{
	struct h1 *h1 = self;
	char size[24];

	if (h1->head_only || !bytes.length)
		return;
	if (h1->chunked) {
		(void)snprintf(size, sizeof(size), "%zx\r\n", bytes.length);
		flow_write(h1->flow, SIDE_CLIENT, view_of(size));
	}
	flow_write(h1->flow, SIDE_CLIENT, bytes);
	if (h1->chunked)
		flow_write(h1->flow, SIDE_CLIENT, VIEW("\r\n"));
	flow_update_later(h1->flow);
}

static void idle_timed_out(struct flow *flow)
{
	flow_close(flow, NULL);
}

static void body_timed_out(struct flow *flow)
{
	flow_close(flow, "its request did not go on");
}

/* They have a place only behind chunks; elsewhere nobody gets to see them. */
static void answer_trailers(void *self, const struct egress_field *fields, size_t count)
{
	struct h1 *h1 = self;

	for (size_t i = 0; h1->chunked && i < count; i++) {
		http_name_write(&h1->trailers, fields[i].name);
		buf_add_text(&h1->trailers, ": ");
		buf_add_view(&h1->trailers, fields[i].value);
		buf_add_text(&h1->trailers, "\r\n");
	}
}

/* The answer is whole: the next request may come, or the end. */
static void answer_ends(void *self)
{
	struct h1 *h1 = self;
	struct flow *flow = h1->flow;

	h1->pipeline = NULL;
	if (h1->chunked) {
		flow_write(flow, SIDE_CLIENT, VIEW("0\r\n"));
		flow_write(flow, SIDE_CLIENT, buf_view(&h1->trailers));
		flow_write(flow, SIDE_CLIENT, VIEW("\r\n"));
		buf_fini(&h1->trailers);
	}
	if (!h1->keep || h1->tunnel || h1->state != REQUEST_DONE) {
		flow_finish(flow);
	} else {
		h1->state = REQUEST_HEAD;
		h1->paused = false;
		flow_pause(flow, SIDE_CLIENT, false);
		flow_timer(flow, H1_IDLE_MS, idle_timed_out);
		if (flow->legs[SIDE_CLIENT].ended && !h1->input.length)
			flow_finish(flow);
		else if (!h1->taking && h1->input.length)
			input_take(h1, view_make("", 0));
	}
	flow_update_later(flow);
}

static void answer_lost(void *self, const char *why, uint32_t code)
{
	struct h1 *h1 = self;

	(void)code;
	h1->pipeline = NULL;
	flow_close(h1->flow, why);
}

static bool answer_full(void *self)
{
	struct h1 *h1 = self;

	return flow_full(h1->flow, SIDE_CLIENT);
}

static void request_pause(void *self, bool paused)
{
	struct h1 *h1 = self;

	h1->paused = paused;
	flow_pause(h1->flow, SIDE_CLIENT, paused);
	if (!paused && !h1->taking) {
		if (h1->input.length)
			input_take(h1, view_make("", 0));
		flow_update(h1->flow);
	}
}

static const struct pipeline_client client = {.head = answer_head,
					      .data = answer_data,
					      .trailers = answer_trailers,
					      .ends = answer_ends,
					      .lost = answer_lost,
					      .full = answer_full,
					      .pause = request_pause};

/* ---- the request ---- */

/* Fills the pipeline's request from the head; *why is set, and the status returned, when it has no form to be passed on in. */
static unsigned request_fill(struct h1 *h1, const struct http_head *head, const char *host, uint16_t port, bool tls,
			     struct view target, const char **why)
{
	struct pipeline *pipeline = h1->pipeline;
	struct egress_request *request = &pipeline->request;
	char *text = buf_reserve(&pipeline->text, head->bytes);
	struct view upgrade = http_head_field(head, "upgrade");
	bool lists = http_head_field(head, "connection").at;
	const char *base = head->method.at; /* the head begins with it */

	memcpy(text, base, head->bytes);
	buf_commit(&pipeline->text, head->bytes);
	request->host = host;
	request->port = port;
	request->tls = tls;
	request->method = view_make(text, head->method.length);
	request->body_bytes = head->framing == HTTP_BODY_CHUNKED  ? -1
			      : head->framing == HTTP_BODY_LENGTH ? (int64_t)head->content_length
								  : 0;
	request->trailers = http_head_has(head, "te", "trailers");
	/* RFC 6455 4.1. With another method, or a body, it is no handshake but a request like any other: Upgrade does not go with it. */
	request->websocket = head->upgrade && view_equal_nocase(upgrade, VIEW("websocket")) && view_is(head->method, "GET") &&
			     head->minor == 1 && head->framing == HTTP_BODY_NONE;
	if (pipeline_target_set(pipeline, target, why))
		return 400;
	for (size_t i = 0; i < head->field_count; i++) {
		struct http_field field = head->fields[i];
		char *name = text + (field.name.at - base);
		char listed[64];

		if (lists) {
			(void)snprintf(listed, sizeof(listed), "%.*s", (int)(field.name.length < 63 ? field.name.length : 63),
				       field.name.at);
			if (http_head_has(head, "connection", listed))
				continue;
		}
		if (pipeline_field_add(pipeline, name, field.name.length,
				       view_make(text + (field.value.at - base), field.value.length), why))
			return 400;
	}
	return 0;
}

/* Cuts "http://authority/path" into its parts; false: it is not of that form. */
static bool absolute_cut(struct view target, bool tls, struct view *authority, struct view *path)
{
	struct view scheme = tls ? VIEW("https://") : VIEW("http://");
	const char *slash;

	if (target.length < scheme.length || !view_equal_nocase(view_make(target.at, scheme.length), scheme))
		return false;
	*authority = view_make(target.at + scheme.length, target.length - scheme.length);
	slash = memchr(authority->at, '/', authority->length);
	*path = VIEW("/");
	if (slash) {
		*path = view_make(slash, (size_t)(target.at + target.length - slash));
		authority->length = (size_t)(slash - authority->at);
	}
	return authority->length > 0;
}

/* Where the request goes: the host of the connection, or, at the proxy, the one it names. Returns a status, 0: all is well. */
static unsigned destination_find(struct h1 *h1, const struct http_head *head, struct view *target, const char **why)
{
	bool tls = h1->flow->legs[SIDE_CLIENT].tls != NULL;
	struct view authority = head->host;
	struct view path = head->target;

	if (h1->proxy) {
		struct view port_text;
		uint64_t number = 80;
		struct view name;

		*why = "a proxy wants http://host/path, or CONNECT";
		if (!absolute_cut(head->target, false, &authority, &path))
			return 400;
		name = view_cut(authority, ':', &port_text);
		*why = "a host that has no canonical name";
		if (!host_canonical(name, h1->host))
			return 400;
		if (port_text.at &&
		    (!port_text.length || port_text.at[0] == '0' || !view_to_u64(port_text, &number) || number > 65535))
			return 400;
		h1->port = (uint16_t)number;
	} else if (path.at[0] != '/') {
		*why = "the request names another host than the connection was made to";
		if (!absolute_cut(head->target, tls, &authority, &path) ||
		    !pipeline_authority_fits(authority, h1->host, h1->port, tls))
			return 421;
	}
	*why = "the request names another host than the connection was made to";
	if (head->host.length ? !pipeline_authority_fits(head->host, h1->host, h1->port, tls) : head->minor == 1)
		return 421;
	*target = path;
	return 0;
}

/* What cannot be read in one way only: answered, while nothing of it has left, and the end of the connection. `head`: what came of it. */
static void refuse_unread(struct h1 *h1, unsigned status, const char *why, struct view head)
{
	struct flow *flow = h1->flow;
	const char *host = h1->host[0] ? h1->host : MESSAGE_PROXY_HOST;
	struct egress_verdict verdict = {.action = EGRESS_DENY, .status = status, .rule = "framing", .why = why};
	struct egress_request request = refusal_sketch(flow, host, h1->port);
	AUTO_BUF out = buf_new(HTTP_HEAD_BYTES_MAX * 2);

	request.method = VIEW("");
	refusal_http_format(&request, &verdict, refusal_connection(flow, host, h1->port, &verdict), head, &out);
	flow_write(flow, SIDE_CLIENT, buf_view(&out));
	flow_finish(flow);
}

static void head_timed_out(struct flow *flow)
{
	struct h1 *h1 = flow->state;

	if (h1->input.length)
		refuse_unread(h1, 408, "the request's head was too slow", buf_view(&h1->input));
	else
		flow_close(flow, NULL);
}

static void head_bad(struct h1 *h1, const struct err *err, struct view head)
{
	refuse_unread(h1, err->kind == ERR_LIMIT ? 431 : 400, err->text, head);
}

/* As much of it as can be told of a request that has no form. */
static void request_sketch(struct h1 *h1, const struct http_head *head)
{
	struct egress_request *request = &h1->pipeline->request;

	buf_add_view(&h1->pipeline->text, head->method);
	request->host = h1->host[0] ? h1->host : "?";
	request->port = h1->port;
	request->tls = h1->flow->legs[SIDE_CLIENT].tls != NULL;
	request->method = buf_view(&h1->pipeline->text);
}

static void request_begin(struct h1 *h1, const struct http_head *head)
{
	struct flow *flow = h1->flow;
	bool tls = flow->legs[SIDE_CLIENT].tls != NULL;
	const char *why = pipeline_method_problem(head->method);
	struct view target = head->target;
	unsigned status = why ? 405 : destination_find(h1, head, &target, &why);

	h1->keep = head->keep_alive;
	h1->old = head->minor == 0;
	h1->head_only = view_is(head->method, "HEAD");
	h1->tunnel = h1->chunked = false;
	h1->continues = head->expect_continue;
	http_body_init(&h1->body, head);
	buf_clear(&h1->trailers);
	buf_clear(&h1->trailers_in);
	h1->body.trailers = &h1->trailers_in;
	h1->state = http_body_ended(&h1->body) ? REQUEST_DONE : REQUEST_BODY;
	h1->pipeline = pipeline_take(flow->env, flow->from);
	if (status)
		request_sketch(h1, head);
	else
		status = request_fill(h1, head, h1->host, h1->port, tls, target, &why);
	if (status) {
		h1->keep = h1->keep && status == 421; /* only then it is sure where it ends, and what it says */
		pipeline_refuse(h1->pipeline, &client, h1, status, status == 421 ? "destination" : "canonical-form", why, NULL);
		return;
	}
	pipeline_begin(h1->pipeline, &client, h1);
	if (h1->pipeline && h1->continues && h1->state == REQUEST_BODY)
		flow_write(flow, SIDE_CLIENT, VIEW("HTTP/1.1 100 Continue\r\n\r\n"));
}

/* CONNECT at the proxy: from here on the connection is as if it had been made to that host. */
static size_t connect_take(struct h1 *h1, const struct http_head *head, struct view bytes)
{
	struct flow *flow = h1->flow;
	struct egress_verdict verdict;
	char host[HOST_NAME_MAX_BYTES] = "";
	uint16_t port = 0;

	if (proxy_target(flow, head, host, &port, &verdict)) {
		flow_write(flow, SIDE_CLIENT, VIEW("HTTP/1.1 200 Connection established\r\n\r\n"));
		outside_begin(flow, host, port, view_make(bytes.at + head->bytes, bytes.length - head->bytes));
		return bytes.length;
	}
	h1->keep = h1->head_only = h1->tunnel = h1->chunked = false;
	h1->state = REQUEST_DONE;
	memcpy(h1->host, host, sizeof(h1->host));
	h1->port = port;
	h1->pipeline = pipeline_take(flow->env, flow->from);
	request_sketch(h1, head);
	for (size_t i = 0; i < head->field_count; i++)
		if (view_equal_nocase(head->fields[i].name, VIEW("accept")))
			(void)snprintf(h1->pipeline->accept, sizeof(h1->pipeline->accept), "%.*s",
				       (int)(head->fields[i].value.length < 63 ? head->fields[i].value.length : 63),
				       head->fields[i].value.at);
	pipeline_refuse(h1->pipeline, &client, h1, verdict.status ? verdict.status : 403, verdict.rule, verdict.why,
			verdict.remedy);
	return bytes.length;
}

/* Takes a request head; how much of the bytes, 0 when more are needed. */
static size_t head_take(struct h1 *h1, struct view bytes)
{
	struct http_head head;
	struct err err;
	enum http_result result = http_request_parse(bytes, &h1->scanned, &head, &err);

	if (result == HTTP_MORE) {
		if (h1->flow->timed_out != head_timed_out)
			flow_timer(h1->flow, H1_HEAD_MS, head_timed_out);
		return 0;
	}
	h1->scanned = 0;
	if (result == HTTP_BAD) {
		head_bad(h1, &err, bytes);
		return bytes.length;
	}
	flow_timer(h1->flow, -1, NULL);
	if (h1->proxy && view_is(head.method, "CONNECT"))
		return connect_take(h1, &head, bytes);
	request_begin(h1, &head);
	if (alive(h1) && h1->state == REQUEST_BODY)
		flow_timer(h1->flow, H1_IDLE_MS, body_timed_out);
	return head.bytes;
}

/* Its end is not known: whatever follows is not read. An answer can still be given while nothing of the request has left. */
static void body_bad(struct h1 *h1, const struct err *err)
{
	struct pipeline *pipeline = h1->pipeline;
	struct flow *flow = h1->flow;

	h1->pipeline = NULL;
	if (!pipeline->sent) {
		pipeline_cancel(pipeline, "its body cannot be read");
		refuse_unread(h1, 400, err->text, VIEW(""));
		return;
	}
	pipeline_cancel(pipeline, "its body cannot be read");
	flow_close(flow, "its body cannot be read");
}

static void trailers_take(struct h1 *h1)
{
	struct http_field found[HTTP_FIELDS_MAX];
	struct egress_field fields[HTTP_FIELDS_MAX];
	size_t count = http_trailers_cut(&h1->trailers_in, found);

	for (size_t i = 0; i < count; i++)
		fields[i] = (struct egress_field){found[i].name, found[i].value};
	pipeline_trailers(h1->pipeline, fields, count);
	buf_fini(&h1->trailers_in);
}

/* Takes a piece of the body; how much of it. */
static size_t body_take(struct h1 *h1, struct view bytes)
{
	struct view data;
	struct err err;
	size_t used;
	enum http_result result = http_body_feed(&h1->body, bytes, &used, &data, &err);

	if (result == HTTP_BAD) {
		body_bad(h1, &err);
		return bytes.length;
	}
	if (data.length)
		pipeline_body(h1->pipeline, data);
	if (result == HTTP_DONE && h1->pipeline) {
		h1->state = REQUEST_DONE;
		flow_timer(h1->flow, -1, NULL);
		if (h1->trailers_in.length)
			trailers_take(h1);
		if (h1->pipeline)
			pipeline_body_end(h1->pipeline);
	}
	return used;
}

/* As many of the bytes as can be taken now. */
static size_t bytes_take(struct h1 *h1, struct view bytes)
{
	size_t done = 0;

	while (alive(h1) && done < bytes.length) {
		struct view rest = view_make(bytes.at + done, bytes.length - done);
		size_t used;

		if (h1->tunnel && h1->pipeline) {
			pipeline_body(h1->pipeline, rest);
			return bytes.length;
		}
		if (h1->state == REQUEST_HEAD && !h1->pipeline)
			used = head_take(h1, rest);
		else if (h1->state == REQUEST_BODY && h1->pipeline && !h1->paused)
			used = body_take(h1, rest);
		else
			break;
		if (!used)
			break;
		done += used;
	}
	return done;
}

/* Once over the input; how much was taken of all there is. */
static void input_pass(struct h1 *h1, struct view bytes)
{
	struct buf *input = &h1->input;
	size_t done;

	if (input->length) {
		buf_add_view(input, bytes);
		done = bytes_take(h1, buf_view(input));
		if (alive(h1))
			buf_drop_front(input, done);
	} else {
		done = bytes_take(h1, bytes);
		if (alive(h1) && done < bytes.length)
			buf_add(input, bytes.at + done, bytes.length - done);
	}
	if (alive(h1) && h1->pipeline)
		pipeline_send(h1->pipeline);
}

/* New bytes, or none: then what waits is looked at again. A request that is answered at once may have another behind it. */
static void input_take(struct h1 *h1, struct view bytes)
{
	struct buf *input = &h1->input;
	struct flow *flow = h1->flow;
	size_t before;

	h1->taking = true;
	do {
		before = input->length + bytes.length;
		input_pass(h1, bytes);
		bytes = view_make("", 0);
	} while (alive(h1) && !h1->pipeline && input->length && input->length < before);
	if (!alive(h1))
		return;
	h1->taking = false;
	if (input->over) {
		flow_close(flow, "a message that does not end");
		return;
	}
	if (!input->length && input->capacity > HTTP_HEAD_BYTES_MAX)
		buf_fini(input);
	/* What it sends while its request is under way waits where it is. */
	flow_pause(flow, SIDE_CLIENT, h1->paused || (h1->pipeline && input->length && h1->state == REQUEST_DONE));
}

static void h1_data(struct flow *flow, enum side from, struct view bytes)
{
	struct h1 *h1 = flow->state;

	(void)from;
	if (h1->state == REQUEST_BODY)
		flow_timer(flow, H1_IDLE_MS, body_timed_out);
	input_take(h1, bytes);
}

static void h1_ended(struct flow *flow, enum side from)
{
	struct h1 *h1 = flow->state;

	(void)from;
	if (!h1->pipeline)
		flow_finish(flow);
	else if (h1->tunnel || h1->state == REQUEST_BODY || pipeline_is_held(h1->pipeline))
		flow_close(flow, "the client left");
	/* else: it has asked and only listens now */
}

static bool h1_server_lost(struct flow *flow, const char *why)
{
	(void)flow;
	(void)why;
	return true;
}

static void h1_closing(struct flow *flow, const char *why)
{
	struct h1 *h1 = flow->state;
	struct pipeline *pipeline = h1->pipeline;

	h1->pipeline = NULL;
	if (pipeline)
		pipeline_cancel(pipeline, h1->tunnel && !why ? NULL : why ? why : "the client left before the response ended");
}

static void h1_release(void *state)
{
	struct h1 *h1 = state;

	buf_fini(&h1->input);
	buf_fini(&h1->trailers_in);
	buf_fini(&h1->trailers);
	free(h1);
}

static void h1_drained(struct flow *flow, enum side to)
{
	struct h1 *h1 = flow->state;

	(void)to;
	if (h1->pipeline)
		pipeline_client_drained(h1->pipeline);
}

static const struct flow_protocol h1_protocol = {
	.name = "h1",
	.data = h1_data,
	.ended = h1_ended,
	.server_lost = h1_server_lost,
	.closing = h1_closing,
	.release = h1_release,
	.drained = h1_drained,
};

static struct h1 *h1_new(struct flow *flow)
{
	struct h1 *h1 = mem_new(sizeof(*h1));

	h1->flow = flow;
	h1->input = buf_new(INPUT_BYTES_MAX);
	h1->trailers_in = buf_new(HTTP_HEAD_BYTES_MAX);
	h1->trailers = buf_new(HTTP_HEAD_BYTES_MAX);
	flow_protocol_set(flow, &h1_protocol, h1);
	flow_timer(flow, H1_HEAD_MS, head_timed_out);
	return h1;
}

void h1_begin(struct flow *flow, const char *host, uint16_t port, struct view first)
{
	AUTO_BUF kept = buf_new(SIZE_MAX / 4);
	struct h1 *h1;

	buf_add_view(&kept, first); /* it may belong to the protocol before */
	h1 = h1_new(flow);
	(void)snprintf(h1->host, sizeof(h1->host), "%s", host);
	h1->port = port;
	if (kept.length)
		h1_data(flow, SIDE_CLIENT, buf_view(&kept));
}

void h1_proxy_begin(struct flow *flow)
{
	struct h1 *h1 = h1_new(flow);

	h1->proxy = true;
}
