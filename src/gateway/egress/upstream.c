/*
 * Hosts outside, over HTTP/1.1.
 *
 * Theory of operation: a connection is a flow with a server's leg alone, so that whatever resets an environment's flows resets these too.
 * It is asked one request at a time; between two it hangs from a bucket of the worker's table, by its key. What it sends while idle, its end
 * included, ends it.
 */
#include "gateway/egress/upstream.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"
#include "gateway/egress/dial.h"
#include "gateway/flow.h"
#include "gateway/policy/policy.h"
#include "http/codec.h"

#define BUCKETS 256
#define CONNECT_MS 15000
#define INPUT_BYTES_MAX (SCRATCH_BYTES * 2 + HTTP_HEAD_BYTES_MAX)
#define HEAD_KEPT_CAPACITY ((size_t)8 << 10)
#define HEAD_BYTES_USUAL 1024
#define INTERIM_MAX 16 /* 1xx answers before the real one */

enum upstream_state { UPSTREAM_OPENING, UPSTREAM_HEAD, UPSTREAM_BODY, UPSTREAM_TUNNEL, UPSTREAM_IDLE };

struct upstream {
	struct flow *flow;
	struct upstream *next, **place; /* of the bucket, while idle */
	struct env *env;
	char host[HOST_NAME_MAX_BYTES];
	char credential[UPSTREAM_CREDENTIAL_MAX];
	uint16_t port;
	bool tls;
	enum upstream_state state;
	struct dial *dial;
	const char *problem; /* why it could not be opened */
	/* the request under way */
	const struct upstream_asker *asker; /* NULL: nobody's */
	void *self;
	char method[40];
	bool reused;
	bool repeatable; /* sending it twice does no harm */
	bool chunked;
	bool request_done;
	bool websocket;
	bool keep;
	unsigned interim;
	/* the answer */
	struct buf input;
	size_t scanned;
	struct http_body body;
	struct buf text; /* of its head, names in lower case */
};

struct upstreams {
	struct upstream *buckets[BUCKETS];
	size_t idle;
};

struct upstreams *upstreams_new(struct worker *worker)
{
	(void)worker;
	return mem_new(sizeof(struct upstreams));
}

void upstreams_free(struct upstreams *upstreams)
{
	free(upstreams); /* the connections go with their environments */
}

/* ---- the kept ---- */

static struct upstream **bucket_of(struct env *env, const char *host, uint16_t port)
{
	uint64_t hash = view_hash(view_of(host)) ^ view_hash(view_of(env->id)) * 31 ^ port;

	return &env->worker->upstreams->buckets[hash % BUCKETS];
}

static void idle_leave(struct upstream *upstream)
{
	if (!upstream->place)
		return;
	*upstream->place = upstream->next;
	if (upstream->next)
		upstream->next->place = upstream->place;
	upstream->place = NULL;
	upstream->env->worker->upstreams->idle--;
}

static void idle_expired(struct flow *flow)
{
	flow_close(flow, NULL);
}

static void idle_enter(struct upstream *upstream)
{
	struct upstream **bucket = bucket_of(upstream->env, upstream->host, upstream->port);

	if (upstream->env->gone || upstream->env->worker->upstreams->idle >= UPSTREAM_KEPT_MAX) {
		flow_close(upstream->flow, NULL);
		return;
	}
	upstream->state = UPSTREAM_IDLE;
	upstream->next = *bucket;
	upstream->place = bucket;
	if (upstream->next)
		upstream->next->place = &upstream->next;
	*bucket = upstream;
	upstream->env->worker->upstreams->idle++;
	if (upstream->text.capacity > HEAD_KEPT_CAPACITY)
		buf_fini(&upstream->text);
	flow_timer(upstream->flow, UPSTREAM_IDLE_MS, idle_expired);
}

static struct upstream *idle_take(struct env *env, const struct egress_request *request, const char *credential)
{
	for (struct upstream *at = *bucket_of(env, request->host, request->port); at; at = at->next) {
		if (at->env != env || at->port != request->port || at->tls != request->tls ||
		    strcmp(at->host, request->host) != 0 || strcmp(at->credential, credential) != 0)
			continue;
		idle_leave(at);
		flow_timer(at->flow, -1, NULL);
		return at;
	}
	return NULL;
}

/* ---- what is sent ---- */

static bool method_repeats(struct view method)
{
	static const char *const methods[] = {"GET", "HEAD", "OPTIONS", "PUT", "DELETE"};

	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		if (view_is(method, methods[i]))
			return true;
	return false;
}

static bool authority_needs_port(const struct egress_request *request)
{
	return request->port != (request->tls ? 443 : 80);
}

/* A name in the usual spelling: some origins take no other. */
static void name_write(struct buf *out, struct view name)
{
	char *at = buf_reserve(out, name.length);
	bool first = true;

	for (size_t i = 0; at && i < name.length; i++) {
		at[i] = (char)(first ? toupper((unsigned char)name.at[i]) : name.at[i]);
		first = name.at[i] == '-';
	}
	if (at)
		buf_commit(out, name.length);
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
	if (authority_needs_port(request))
		buf_add_format(out, ":%u", request->port);
	buf_add_text(out, "\r\n");
	for (size_t i = 0; i < request->field_count; i++) {
		name_write(out, request->fields[i].name);
		buf_add_text(out, ": ");
		buf_add_view(out, request->fields[i].value);
		buf_add_text(out, "\r\n");
	}
	if (request->websocket)
		buf_add_text(out, "Connection: Upgrade\r\nUpgrade: websocket\r\n");
	if (request->body_bytes < 0)
		buf_add_text(out, "Transfer-Encoding: chunked\r\n");
	else if (request->body_bytes > 0 || view_is(request->method, "POST") || view_is(request->method, "PUT") ||
		 view_is(request->method, "PATCH"))
		buf_add_format(out, "Content-Length: %lld\r\n", (long long)request->body_bytes);
	buf_add_text(out, "\r\n");
}

void upstream_body(struct upstream *upstream, struct view bytes)
{
	char size[24];

	if (!bytes.length || upstream->request_done)
		return;
	if (!upstream->chunked) {
		flow_write(upstream->flow, SIDE_SERVER, bytes);
		return;
	}
	(void)snprintf(size, sizeof(size), "%zx\r\n", bytes.length);
	flow_write(upstream->flow, SIDE_SERVER, view_of(size));
	flow_write(upstream->flow, SIDE_SERVER, bytes);
	flow_write(upstream->flow, SIDE_SERVER, VIEW("\r\n"));
}

void upstream_body_end(struct upstream *upstream)
{
	if (upstream->request_done)
		return;
	upstream->request_done = true;
	if (upstream->chunked)
		flow_write(upstream->flow, SIDE_SERVER, VIEW("0\r\n\r\n"));
}

void upstream_send(struct upstream *upstream)
{
	flow_update(upstream->flow);
}

bool upstream_full(struct upstream *upstream)
{
	return flow_full(upstream->flow, SIDE_SERVER);
}

void upstream_pause(struct upstream *upstream, bool paused)
{
	flow_pause(upstream->flow, SIDE_SERVER, paused);
	if (!paused)
		flow_update(upstream->flow);
}

/* ---- what comes ---- */

static void upstream_lose(struct upstream *upstream, const char *why)
{
	const struct upstream_asker *asker = upstream->asker;
	bool again = upstream->reused && upstream->state == UPSTREAM_HEAD && !upstream->interim && !upstream->input.length &&
		     upstream->repeatable;

	upstream->asker = NULL;
	if (asker)
		asker->lost(upstream->self, why, again);
}

/* The answer is whole. */
static void upstream_end(struct upstream *upstream)
{
	const struct upstream_asker *asker = upstream->asker;
	void *self = upstream->self;
	bool keep = upstream->keep && upstream->request_done && !upstream->input.length && !upstream->flow->legs[SIDE_SERVER].ended;

	upstream->asker = NULL;
	upstream->self = NULL;
	if (keep)
		idle_enter(upstream);
	else
		flow_close(upstream->flow, NULL);
	if (asker)
		asker->ends(self);
}

static void upstream_broken(struct upstream *upstream, const char *why)
{
	(void)snprintf(upstream->flow->problem, sizeof(upstream->flow->problem), "its answer was refused: %.120s", why);
	upstream_lose(upstream, upstream->flow->problem);
	flow_close(upstream->flow, upstream->flow->problem);
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

static bool field_is_hop(struct view name)
{
	static const char *const hops[] = {
		"connection",        "content-length", "keep-alive", "proxy-authenticate", "proxy-connection", "te", "trailer",
		"transfer-encoding", "upgrade",        "alt-svc",    "alternate-protocol"};

	for (size_t i = 0; i < ARRAY_LEN(hops); i++)
		if (view_is(name, hops[i]))
			return true;
	return false;
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

static void head_deliver(struct upstream *upstream, const struct http_head *head, bool tunnel)
{
	struct egress_field fields[HTTP_FIELDS_MAX + 1];
	struct egress_response response = {
		.status = head->status, .fields = fields, .body_bytes = tunnel ? -1 : body_bytes_of(head), .tunnel = tunnel};
	bool lists = http_head_field(head, "connection").at;
	bool head_only = strcmp(upstream->method, "HEAD") == 0 || head->status == 304;

	buf_clear(&upstream->text);
	(void)buf_reserve(&upstream->text, head->bytes); /* so that it does not move */
	for (size_t i = 0; i < head->field_count; i++) {
		struct view name = lowered(&upstream->text, head->fields[i].name);

		/* The length of what a GET would bring is worth telling. */
		if ((field_is_hop(name) && !(head_only && view_is(name, "content-length"))) ||
		    (lists && field_is_listed(head, name)))
			continue;
		fields[response.field_count++] = (struct egress_field){name, head->fields[i].value};
	}
	upstream->asker->head(upstream->self, &response);
}

/* A head was parsed; false: nothing more is to be done with this connection. */
static bool head_begin(struct upstream *upstream, const struct http_head *head)
{
	bool tunnel = head->status == 101;
	struct view kind = http_head_field(head, "upgrade");

	if (tunnel && (!upstream->websocket || !view_equal_nocase(kind, VIEW("websocket")))) {
		upstream_broken(upstream, "it switches protocols unasked");
		return false;
	}
	if (head->status / 100 == 1 && !tunnel) {
		if (++upstream->interim <= INTERIM_MAX)
			return true;
		upstream_broken(upstream, "too many interim answers");
		return false;
	}
	http_body_init(&upstream->body, head);
	upstream->keep = head->keep_alive && head->framing != HTTP_BODY_UNTIL_CLOSE;
	upstream->state = tunnel ? UPSTREAM_TUNNEL : UPSTREAM_BODY;
	if (tunnel)
		upstream->chunked = upstream->request_done = false;
	head_deliver(upstream, head, tunnel);
	return true;
}

/* Takes a piece; how much of it, 0 when more is needed. */
static size_t piece_take(struct upstream *upstream, struct view bytes)
{
	struct http_head head;
	struct view data;
	struct err err;
	size_t used = 0;
	enum http_result result;

	if (upstream->state == UPSTREAM_TUNNEL) {
		upstream->asker->data(upstream->self, bytes);
		return bytes.length;
	}
	if (upstream->state == UPSTREAM_HEAD) {
		result = http_response_parse(bytes, &upstream->scanned, view_of(upstream->method), &head, &err);
		if (result == HTTP_MORE)
			return 0;
		upstream->scanned = 0;
		if (result == HTTP_BAD)
			upstream_broken(upstream, err.text);
		else if (head_begin(upstream, &head))
			used = head.bytes;
		return result == HTTP_DONE ? head.bytes : bytes.length;
	}
	result = http_body_feed(&upstream->body, bytes, &used, &data, &err);
	if (result == HTTP_BAD) {
		upstream_broken(upstream, err.text);
		return bytes.length;
	}
	if (data.length)
		upstream->asker->data(upstream->self, data);
	return used;
}

static bool answering(const struct upstream *upstream)
{
	return !upstream->flow->closed && upstream->asker;
}

static size_t pieces_take(struct upstream *upstream, struct view bytes)
{
	size_t done = 0;

	while (answering(upstream) && done < bytes.length) {
		size_t used = piece_take(upstream, view_make(bytes.at + done, bytes.length - done));

		if (!used)
			break;
		done += used;
		if (upstream->state == UPSTREAM_BODY && http_body_ended(&upstream->body))
			break;
	}
	return done;
}

static void upstream_data(struct flow *flow, enum side from, struct view bytes)
{
	struct upstream *upstream = flow->state;
	struct buf *input = &upstream->input;
	size_t done;

	(void)from;
	if (upstream->state == UPSTREAM_IDLE || upstream->state == UPSTREAM_OPENING || !upstream->asker) {
		flow_close(flow, "it sent what was not asked for");
		return;
	}
	if (input->length) {
		buf_add_view(input, bytes);
		done = pieces_take(upstream, buf_view(input));
		if (!flow->closed)
			buf_drop_front(input, done);
	} else {
		done = pieces_take(upstream, bytes);
		if (!flow->closed && done < bytes.length)
			buf_add(input, bytes.at + done, bytes.length - done);
	}
	if (!answering(upstream))
		return;
	if (input->over)
		upstream_broken(upstream, "a message that does not end");
	else if (upstream->state == UPSTREAM_BODY && http_body_ended(&upstream->body))
		upstream_end(upstream);
}

static void upstream_ended(struct flow *flow, enum side from)
{
	struct upstream *upstream = flow->state;

	(void)from;
	if (upstream->asker && ((upstream->state == UPSTREAM_BODY && upstream->body.framing == HTTP_BODY_UNTIL_CLOSE) ||
				upstream->state == UPSTREAM_TUNNEL))
		upstream_end(upstream);
	else
		flow_close(flow, "it ended before its answer did");
}

/* ---- the opening ---- */

static void opened(struct upstream *upstream)
{
	flow_timer(upstream->flow, -1, NULL);
	upstream->state = UPSTREAM_HEAD;
	dial_free(upstream->dial);
	upstream->dial = NULL;
}

static void upstream_connected(struct flow *flow)
{
	struct upstream *upstream = flow->state;

	if (upstream->tls)
		flow_tls_set(flow, SIDE_SERVER,
			     tls_connect(flow->worker->tls_client, flow->legs[SIDE_SERVER].fd, upstream->host, TLS_HTTP1));
	else
		opened(upstream);
}

static void upstream_secured(struct flow *flow, enum side side)
{
	(void)side;
	opened(flow->state);
}

static bool upstream_server_lost(struct flow *flow, const char *why)
{
	struct upstream *upstream = flow->state;

	/* Another address of the same name, as long as it is only about connecting: a certificate is not tried again. */
	if (upstream->state == UPSTREAM_OPENING && flow->legs[SIDE_SERVER].fd < 0 && upstream->dial && dial_again(upstream->dial))
		return true;
	upstream->problem = why;
	return false;
}

static void open_timed_out(struct flow *flow)
{
	flow_close(flow, "no connection in time");
}

static void upstream_closing(struct flow *flow, const char *why)
{
	struct upstream *upstream = flow->state;

	idle_leave(upstream);
	upstream_lose(upstream, upstream->problem ? upstream->problem : why ? why : "the connection ended");
}

static void upstream_release(void *state)
{
	struct upstream *upstream = state;

	dial_free(upstream->dial);
	buf_fini(&upstream->input);
	buf_fini(&upstream->text);
	free(upstream);
}

static void upstream_drained(struct flow *flow, enum side to)
{
	const struct upstream *upstream = flow->state;

	(void)to;
	if (upstream->asker)
		upstream->asker->drained(upstream->self);
}

static const struct flow_protocol upstream_protocol = {
	.name = "upstream",
	.data = upstream_data,
	.ended = upstream_ended,
	.connected = upstream_connected,
	.server_lost = upstream_server_lost,
	.closing = upstream_closing,
	.release = upstream_release,
	.secured = upstream_secured,
	.drained = upstream_drained,
};

static struct upstream *upstream_open(struct env *env, const struct egress_request *request, const char *credential)
{
	struct upstream *upstream = mem_new(sizeof(*upstream));
	struct flow *flow = flow_new(env->worker, env, -1, request->origin.sandbox);

	upstream->flow = flow;
	upstream->env = env;
	upstream->port = request->port;
	upstream->tls = request->tls;
	(void)snprintf(upstream->host, sizeof(upstream->host), "%s", request->host);
	(void)snprintf(upstream->credential, sizeof(upstream->credential), "%s", credential);
	upstream->input = buf_new(INPUT_BYTES_MAX);
	upstream->text = buf_new(HTTP_HEAD_BYTES_MAX * 2);
	flow->to = text_copy(request->host);
	flow->port = request->port;
	flow->outside = true;
	flow_protocol_set(flow, &upstream_protocol, upstream);
	flow_timer(flow, CONNECT_MS, open_timed_out);
	upstream->dial = dial_begin(flow, request->host, request->port);
	return upstream;
}

struct upstream *upstream_ask(struct env *env, const struct egress_request *request, const char *credential, bool fresh,
			      const struct upstream_asker *asker, void *self)
{
	struct upstream *upstream = fresh ? NULL : idle_take(env, request, credential);
	AUTO_BUF out = buf_new(HTTP_HEAD_BYTES_MAX * 4);

	if (upstream) {
		upstream->reused = true;
		upstream->state = UPSTREAM_HEAD;
	} else {
		upstream = upstream_open(env, request, credential);
	}
	upstream->asker = asker;
	upstream->self = self;
	(void)snprintf(upstream->method, sizeof(upstream->method), "%.*s", (int)request->method.length, request->method.at);
	upstream->repeatable = method_repeats(request->method);
	upstream->chunked = request->body_bytes < 0;
	upstream->request_done = false;
	upstream->websocket = request->websocket;
	upstream->interim = 0;
	upstream->scanned = 0;
	head_write(&out, request);
	flow_write(upstream->flow, SIDE_SERVER, buf_view(&out));
	return upstream;
}

void upstream_cancel(struct upstream *upstream)
{
	upstream->asker = NULL;
	flow_close(upstream->flow, "nobody waits for the answer");
}
