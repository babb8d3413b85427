/*
 * Hosts outside: which connection a request goes over.
 *
 * Theory of operation: a carrier is a flow with a server's leg alone, so that whatever resets an environment's flows resets these too. It
 * hangs from a bucket of the worker's table, by its key, as long as another request may be given to it: while it is opened, unless the host is
 * known to speak HTTP/1.1 only; idle; or speaking HTTP/2 with streams to spare. What the host speaks is known when TLS is agreed on.
 */
#include "gateway/egress/upstream_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"
#include "gateway/egress/dial.h"

#define BUCKETS 256
#define KNOWN 1024 /* hosts of which it is remembered what they speak; the later of two takes the place */
#define CONNECT_MS 15000

enum known { KNOWN_NOTHING, KNOWN_H1, KNOWN_H2, KNOWN_REFUSES_H2 };

struct upstreams {
	struct carrier *buckets[BUCKETS];
	size_t idle;
	unsigned char known[KNOWN]; /* enum known, by host and port */
	struct tls_sessions *sessions;
};

static const struct flow_protocol upstream_protocol;

struct upstreams *upstreams_new(struct worker *worker)
{
	struct upstreams *upstreams = mem_new(sizeof(*upstreams));

	(void)worker;
	upstreams->sessions = tls_sessions_new();
	return upstreams;
}

void upstreams_free(struct upstreams *upstreams)
{
	if (!upstreams)
		return;
	tls_sessions_free(upstreams->sessions); /* the connections went with their environments */
	free(upstreams);
}

void upstreams_forget(struct env *env)
{
	AUTO_FREE char *beginning = text_format("%s/", env->id);

	tls_sessions_forget(env->worker->upstreams->sessions, view_of(beginning));
}

/* ---- the table ---- */

static struct carrier **bucket_of(struct env *env, const char *host, uint16_t port)
{
	uint64_t hash = view_hash(view_of(host)) ^ view_hash(view_of(env->id)) * 31 ^ port;

	return &env->worker->upstreams->buckets[hash % BUCKETS];
}

static unsigned char *known_of(struct env *env, const char *host, uint16_t port)
{
	return &env->worker->upstreams->known[(view_hash(view_of(host)) + port) % KNOWN];
}

void carrier_h2_refused(const struct carrier *carrier)
{
	*known_of(carrier->env, carrier->host, carrier->port) = KNOWN_REFUSES_H2;
}

void carrier_bucket_leave(struct carrier *carrier)
{
	if (!carrier->place)
		return;
	*carrier->place = carrier->next;
	if (carrier->next)
		carrier->next->place = carrier->place;
	carrier->place = NULL;
}

static void bucket_enter(struct carrier *carrier)
{
	struct carrier **bucket = bucket_of(carrier->env, carrier->host, carrier->port);

	if (carrier->place)
		return;
	carrier->next = *bucket;
	carrier->place = bucket;
	if (carrier->next)
		carrier->next->place = &carrier->next;
	*bucket = carrier;
}

static void idle_expired(struct flow *flow)
{
	flow_close(flow, NULL);
}

void carrier_idle_set(struct carrier *carrier, bool idle)
{
	struct upstreams *upstreams = carrier->env->worker->upstreams;

	if (carrier->idle == idle)
		return;
	if (idle && (carrier->env->gone || upstreams->idle >= UPSTREAM_KEPT_MAX)) {
		flow_close(carrier->flow, NULL);
		return;
	}
	carrier->idle = idle;
	upstreams->idle += idle ? 1 : (size_t)-1;
	flow_pause(carrier->flow, SIDE_SERVER, false); /* the answer before may have ended while its client was too slow for it */
	if (idle)
		bucket_enter(carrier);
	else if (carrier->state == CARRIER_H1)
		carrier_bucket_leave(carrier);
	flow_timer(carrier->flow, idle ? UPSTREAM_IDLE_MS : -1, idle ? idle_expired : NULL);
}

static bool carrier_fits(const struct carrier *carrier, const struct env *env, const struct egress_request *request,
			 const char *credential)
{
	return carrier->env == env && carrier->port == request->port && carrier->tls == request->tls &&
	       (carrier->tls || carrier->prior == (request->version == 20)) && strcmp(carrier->host, request->host) == 0 &&
	       strcmp(carrier->credential, credential) == 0;
}

/* One that can be used now or, failing that, one that is being opened and likely to take many. NULL: none. */
static struct carrier *carrier_find(struct env *env, const struct egress_request *request, const char *credential, bool fresh)
{
	enum known known = *known_of(env, request->host, request->port);
	bool h2 = !request->websocket && known != KNOWN_REFUSES_H2;
	bool joins = h2 && known != KNOWN_H1;
	struct carrier *opening = NULL;

	for (struct carrier *at = *bucket_of(env, request->host, request->port); at; at = at->next) {
		if (!carrier_fits(at, env, request, credential))
			continue;
		if (at->state == CARRIER_OPENING) {
			if (joins && !at->only_h1 && at->ask_count < H2_STREAMS_MAX)
				opening = at;
		} else if (!fresh && (at->state == CARRIER_H1 || (h2 && h2_accepts(at->h2)))) {
			return at;
		}
	}
	return opening;
}

/* ---- asks ---- */

static void ask_enter(struct carrier *carrier, struct upstream *upstream)
{
	upstream->carrier = carrier;
	upstream->next = carrier->asks;
	upstream->place = &carrier->asks;
	if (upstream->next)
		upstream->next->place = &upstream->next;
	carrier->asks = upstream;
	carrier->ask_count++;
}

void upstream_leave(struct upstream *upstream)
{
	if (!upstream->place)
		return;
	*upstream->place = upstream->next;
	if (upstream->next)
		upstream->next->place = upstream->place;
	upstream->place = NULL;
	upstream->carrier->ask_count--;
}

static void ask_free(void *self)
{
	struct upstream *upstream = self;

	buf_fini(&upstream->pending);
	free(upstream);
}

/* Nobody's from here on; whoever is up the stack may still look at it. */
static void ask_drop(struct upstream *upstream)
{
	upstream_leave(upstream);
	upstream->asker = NULL;
	loop_defer(upstream->carrier->env->worker->loop, ask_free, upstream);
}

void upstream_tell_end(struct upstream *upstream)
{
	const struct upstream_asker *asker = upstream->asker;

	ask_drop(upstream);
	if (asker)
		asker->ends(upstream->self);
}

void upstream_tell_lost(struct upstream *upstream, const char *why, uint32_t code, bool again)
{
	const struct upstream_asker *asker = upstream->asker;

	ask_drop(upstream);
	if (asker)
		asker->lost(upstream->self, why, code, again && !upstream->fresh);
}

bool upstream_field_is_hop(struct view name)
{
	static const char *const hops[] = {
		"connection",        "content-length", "keep-alive", "proxy-authenticate", "proxy-connection", "te", "trailer",
		"transfer-encoding", "upgrade",        "alt-svc",    "alternate-protocol"};

	for (size_t i = 0; i < ARRAY_LEN(hops); i++)
		if (view_is(name, hops[i]))
			return true;
	return false;
}

/* ---- the opening ---- */

static void open_timed_out(struct flow *flow)
{
	flow_close(flow, "no connection in time");
}

static struct carrier *carrier_open(struct env *env, const struct egress_request *request, const char *credential)
{
	struct carrier *carrier = mem_new(sizeof(*carrier));
	struct flow *flow = flow_new(env->worker, env, -1, request->origin.sandbox);

	carrier->flow = flow;
	carrier->env = env;
	carrier->port = request->port;
	carrier->tls = request->tls;
	carrier->prior = !request->tls && request->version == 20;
	carrier->only_h1 = request->websocket || (!request->tls && !carrier->prior) ||
			   *known_of(env, request->host, request->port) == KNOWN_REFUSES_H2;
	(void)snprintf(carrier->host, sizeof(carrier->host), "%s", request->host);
	(void)snprintf(carrier->credential, sizeof(carrier->credential), "%s", credential);
	carrier_h1_init(carrier);
	flow->to = text_copy(request->host);
	flow->port = request->port;
	flow->outside = true;
	flow_protocol_set(flow, &upstream_protocol, carrier);
	flow_timer(flow, CONNECT_MS, open_timed_out);
	if (!carrier->only_h1)
		bucket_enter(carrier);
	carrier->dial = dial_begin(flow, request->host, request->port);
	return carrier;
}

/* Gives a request to a carrier that is open, with what waits of it. false: it takes no more. */
static bool ask_begin(struct upstream *upstream)
{
	struct carrier *carrier = upstream->carrier;
	bool was_full = upstream->pending_full;

	upstream->reused = carrier->used;
	carrier->used = true;
	carrier_idle_set(carrier, false);
	if (carrier->state == CARRIER_H1)
		carrier_h1_ask(carrier, upstream);
	else if (!carrier_h2_ask(carrier, upstream))
		return false;
	upstream_body(upstream, buf_view(&upstream->pending));
	buf_fini(&upstream->pending);
	if (upstream->pending_end)
		upstream_body_end(upstream);
	if (was_full && !upstream_full(upstream) && upstream->asker)
		upstream->asker->drained(upstream->self);
	return true;
}

static void ask_place(struct upstream *upstream, struct env *env, const char *credential)
{
	struct carrier *carrier = carrier_find(env, upstream->request, credential, upstream->fresh);

	if (!carrier)
		carrier = carrier_open(env, upstream->request, credential);
	ask_enter(carrier, upstream);
	if (carrier->state == CARRIER_OPENING || ask_begin(upstream))
		return;
	upstream_leave(upstream);
	ask_enter(carrier_open(env, upstream->request, credential), upstream);
}

/* It is known what the host speaks. Requests that it does not take are placed elsewhere. */
static void opened(struct carrier *carrier)
{
	const struct tls *tls = carrier->flow->legs[SIDE_SERVER].tls;
	bool h2 = carrier->prior || (tls && tls_protocol(tls) == TLS_HTTP2);
	struct upstream *waiting = NULL;

	flow_timer(carrier->flow, -1, NULL);
	dial_free(carrier->dial);
	carrier->dial = NULL;
	carrier->state = h2 ? CARRIER_H2 : CARRIER_H1;
	if (tls && !carrier->only_h1)
		*known_of(carrier->env, carrier->host, carrier->port) = h2 ? KNOWN_H2 : KNOWN_H1;
	if (h2)
		carrier_h2_open(carrier);
	else
		carrier_bucket_leave(carrier);
	while (carrier->asks) { /* who came first is first again */
		struct upstream *upstream = carrier->asks;

		upstream_leave(upstream);
		upstream->next = waiting;
		waiting = upstream;
	}
	while (waiting) {
		struct upstream *upstream = waiting;

		waiting = upstream->next;
		if (h2 || !carrier->used) {
			ask_enter(carrier, upstream);
			if (ask_begin(upstream))
				continue;
			upstream_leave(upstream);
		}
		ask_place(upstream, carrier->env, carrier->credential);
	}
}

static void upstream_connected(struct flow *flow)
{
	struct carrier *carrier = flow->state;
	unsigned protocols = carrier->only_h1 ? TLS_HTTP1 : TLS_HTTP1 | TLS_HTTP2;
	/* A session is gone on with by those alone who would share a connection. */
	AUTO_FREE char *name = text_format("%s/%s/%s/%u/%u", carrier->env->id, carrier->credential, carrier->host, carrier->port,
					   protocols);
	struct tls_resume resume = {flow->worker->upstreams->sessions, view_of(name), loop_now_ms(flow->worker->loop)};

	if (carrier->tls)
		flow_tls_set(flow, SIDE_SERVER,
			     tls_connect(flow->worker->tls_client, flow->legs[SIDE_SERVER].fd, carrier->host, protocols, &resume));
	else
		opened(carrier);
}

static void upstream_secured(struct flow *flow, enum side side)
{
	(void)side;
	opened(flow->state);
}

static bool upstream_server_lost(struct flow *flow, const char *why)
{
	struct carrier *carrier = flow->state;

	/* Another address of the same name, as long as it is only about connecting: a certificate is not tried again. */
	if (carrier->state == CARRIER_OPENING && flow->legs[SIDE_SERVER].fd < 0 && carrier->dial && dial_again(carrier->dial))
		return true;
	carrier->problem = why;
	return false;
}

/* ---- the flow ---- */

static void upstream_data(struct flow *flow, enum side from, struct view bytes)
{
	struct carrier *carrier = flow->state;

	(void)from;
	if (carrier->state == CARRIER_H2)
		carrier_h2_data(carrier, bytes);
	else
		carrier_h1_data(carrier, bytes);
}

static void upstream_ended(struct flow *flow, enum side from)
{
	struct carrier *carrier = flow->state;

	(void)from;
	if (carrier->state == CARRIER_H1)
		carrier_h1_ended(carrier);
	else
		flow_close(flow, carrier->ask_count ? "the connection ended" : NULL);
}

static void upstream_closing(struct flow *flow, const char *why)
{
	struct carrier *carrier = flow->state;

	carrier_bucket_leave(carrier);
	carrier_idle_set(carrier, false);
	why = carrier->problem ? carrier->problem : why ? why : "the connection ended";
	while (carrier->asks) {
		struct upstream *upstream = carrier->asks;
		bool again = carrier->state == CARRIER_H1   ? carrier_h1_again(upstream)
			     : carrier->state == CARRIER_H2 ? upstream->reused && upstream->repeatable && !upstream->headed
							    : false;

		if (upstream->stream)
			h2_stream_self_set(upstream->stream, NULL);
		upstream->stream = NULL;
		upstream_tell_lost(upstream, why, 0, again);
	}
}

static void upstream_release(void *state)
{
	struct carrier *carrier = state;

	dial_free(carrier->dial);
	carrier_h1_fini(carrier);
	carrier_h2_fini(carrier);
	free(carrier);
}

static void upstream_drained(struct flow *flow, enum side to)
{
	struct carrier *carrier = flow->state;

	(void)to;
	if (carrier->state == CARRIER_H2)
		carrier_h2_pump(carrier);
	else if (carrier->asks && carrier->asks->asker)
		carrier->asks->asker->drained(carrier->asks->self);
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

/* ---- from who asks ---- */

static bool method_repeats(struct view method)
{
	static const char *const methods[] = {"GET", "HEAD", "OPTIONS", "PUT", "DELETE"};

	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		if (view_is(method, methods[i]))
			return true;
	return false;
}

struct upstream *upstream_ask(struct env *env, const struct egress_request *request, const char *credential, bool fresh,
			      const struct upstream_asker *asker, void *self)
{
	struct upstream *upstream = mem_new(sizeof(*upstream));

	upstream->asker = asker;
	upstream->self = self;
	upstream->request = request;
	upstream->fresh = fresh;
	upstream->repeatable = method_repeats(request->method);
	upstream->pending = buf_new(SIZE_MAX / 4); /* bounded by upstream_full() */
	ask_place(upstream, env, credential);
	return upstream;
}

void upstream_body(struct upstream *upstream, struct view bytes)
{
	if (!bytes.length || upstream->request_done || !upstream->asker)
		return;
	if (upstream->carrier->state == CARRIER_OPENING)
		buf_add_view(&upstream->pending, bytes);
	else if (upstream->carrier->state == CARRIER_H1)
		carrier_h1_body(upstream, bytes);
	else
		h2_send(upstream->stream, bytes, false);
}

void upstream_trailers(struct upstream *upstream, const struct egress_field *fields, size_t count)
{
	upstream->trailers = fields;
	upstream->trailer_count = count;
}

void upstream_body_end(struct upstream *upstream)
{
	if (upstream->request_done || !upstream->asker)
		return;
	if (upstream->carrier->state == CARRIER_OPENING) {
		upstream->pending_end = true;
		return;
	}
	upstream->request_done = true;
	if (upstream->carrier->state == CARRIER_H1)
		carrier_h1_body_end(upstream);
	else
		carrier_h2_body_end(upstream);
}

void upstream_send(struct upstream *upstream)
{
	if (upstream->carrier->state == CARRIER_H2)
		carrier_h2_pump_later(upstream->carrier);
	else
		flow_update_later(upstream->carrier->flow);
}

bool upstream_full(struct upstream *upstream)
{
	switch (upstream->carrier->state) {
	case CARRIER_OPENING:
		upstream->pending_full = upstream->pending.length >= FLOW_WAITING_MAX;
		return upstream->pending_full;
	case CARRIER_H1:
		return flow_full(upstream->carrier->flow, SIDE_SERVER);
	case CARRIER_H2:
		break;
	}
	return upstream->stream && h2_waiting(upstream->stream) >= H2_WAITING_LOW;
}

void upstream_pause(struct upstream *upstream, bool paused)
{
	if (upstream->carrier->state == CARRIER_H2) {
		carrier_h2_pause(upstream, paused);
		return;
	}
	flow_pause(upstream->carrier->flow, SIDE_SERVER, paused);
	if (!paused)
		flow_update(upstream->carrier->flow);
}

void upstream_cancel(struct upstream *upstream)
{
	struct carrier *carrier = upstream->carrier;

	if (!upstream->asker)
		return;
	if (carrier->state == CARRIER_H2)
		carrier_h2_let_go(upstream, H2_CANCEL);
	ask_drop(upstream);
	if (carrier->state == CARRIER_H2)
		carrier_h2_settle(carrier);
	else if (!carrier->asks)
		flow_close(carrier->flow, "nobody waits for the answer");
}
