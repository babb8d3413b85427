/* The way out, up to the point where it is known what is spoken. */
#include "gateway/outside.h"

#include <stdlib.h>

#include "base/scope.h"
#include "gateway/egress/dial.h"
#include "gateway/egress/h1.h"
#include "gateway/egress/h2.h"
#include "gateway/egress/login.h"
#include "gateway/egress/mint.h"
#include "gateway/egress/refusal.h"
#include "gateway/entry.h"
#include "net/hello.h"
#include "gateway/policy/policy.h"
#include "gateway/seams/http.h"
#include "gateway/stub.h"
#include "gateway/egress/scan.h"

#define FIRST_BYTES_MS 30000
#define SILENT_MS 300 /* on other ports: then the server may speak first */
#define HANDSHAKE_MS 15000
#define CONNECT_MS 15000
#define FIRST_BYTES_MAX (SCRATCH_BYTES * 2)

struct outside {
	struct flow *flow;
	char host[HOST_NAME_MAX_BYTES];
	uint16_t port;
	enum { SNIFFING, LISTENING, MINTING, SECURING, PASSING } state; /* LISTENING: the client is silent, the server may begin */
	bool opaque;                                                    /* TLS is not opened */
	struct buf first;
	struct mint_ask *ask;
	struct dial *dial;
	const char *error;
	bool told; /* rows say how it ended */
};

static bool port_is_web(uint16_t port)
{
	return port == 80 || port == 443;
}

static void outside_row(struct outside *outside, const char *error)
{
	struct flow *flow = outside->flow;
	AUTO_EXCHANGE exchange;

	env_exchange_begin(flow->env, &exchange, flow->from, outside->host, "tcp");
	exchange.t0_ms = flow->t0_ms;
	exchange.dt_us = worker_now_us() - flow->begun_us;
	exchange.command = text_format("%s %u", outside->opaque ? "passthrough" : "connect", outside->port);
	exchange.error = text_copy(error);
	exchange.request_body.bytes = flow->bytes[SIDE_CLIENT];
	exchange.request_body.cut = flow->bytes[SIDE_CLIENT] > 0;
	exchange.response_body.bytes = flow->bytes[SIDE_SERVER];
	exchange.response_body.cut = flow->bytes[SIDE_SERVER] > 0;
	exchange_log_add(flow->env->log, &exchange);
}

/* Not HTTP, so there is nobody to explain it to but TLS, which has alerts (0: none). */
static void outside_refuse(struct outside *outside, enum refusal_alert alert, const char *why, const char *remedy)
{
	struct flow *flow = outside->flow;
	struct egress_verdict verdict = {.action = EGRESS_DENY,
					 .status = alert == REFUSAL_ALERT_NAME ? 421 : 400,
					 .rule = "protocol",
					 .why = why,
					 .remedy = remedy};
	AUTO_BUF out = buf_new(64);

	outside->told = true;
	(void)refusal_connection(flow, outside->host, outside->port, &verdict);
	if (!alert) {
		flow_close(flow, why);
		return;
	}
	refusal_alert_format(alert, &out);
	flow_write(flow, SIDE_CLIENT, buf_view(&out));
	flow_finish(flow);
}

/* ---- bytes as they are ---- */

static void connect_timed_out(struct flow *flow)
{
	if (flow->legs[SIDE_SERVER].fd >= 0 && !flow->legs[SIDE_SERVER].connecting)
		return;
	flow_server_drop(flow);
	if (!flow->protocol->server_lost(flow, "no connection in time"))
		flow_close(flow, "no connection in time");
}

/* Once. */
static void server_dial(struct outside *outside)
{
	flow_timer(outside->flow, CONNECT_MS, connect_timed_out);
	if (!outside->dial)
		outside->dial = dial_begin(outside->flow, outside->host, outside->port);
}

static void pass(struct outside *outside)
{
	outside->state = PASSING;
	flow_write(outside->flow, SIDE_SERVER, buf_view(&outside->first));
	buf_fini(&outside->first);
	server_dial(outside);
}

/* The client spoke after all, and what it speaks is read: who does that connects anew. */
static void server_leave(struct outside *outside)
{
	dial_free(outside->dial);
	outside->dial = NULL;
	flow_server_drop(outside->flow);
}

static bool outside_server_lost(struct flow *flow, const char *why)
{
	struct outside *outside = flow->state;

	if (outside->dial && !flow->bytes[SIDE_SERVER] && flow->legs[SIDE_SERVER].fd < 0 && dial_again(outside->dial))
		return true;
	outside->error = why;
	return false;
}

static void outside_connected(struct flow *flow)
{
	const struct outside *outside = flow->state;

	if (!outside->first.length) /* else the rest of its first bytes is waited for */
		flow_timer(flow, -1, NULL);
}

/* ---- what is spoken ---- */

static void state_free(void *self)
{
	struct outside *outside = self;

	mint_cancel(outside->ask);
	dial_free(outside->dial);
	buf_fini(&outside->first);
	free(outside);
}

/* HTTP/2 in clear, as gRPC on a port of its own speaks it, where a rule names that port: does it begin like that? */
static bool prior_h2(const struct outside *outside)
{
	struct view first = buf_view(&outside->first);
	struct view preface = VIEW(H2_PREFACE);

	if (port_is_web(outside->port) || env_stub(outside->flow->env, outside->host) || !first.length)
		return false;
	return first.length < preface.length ? view_starts(preface, first) : view_starts(first, preface);
}

static const struct http_seam_hooks stub_hooks = {.logged = true, .request = stub_request, .release = state_free};

/* HTTP, in clear or within TLS that was opened. */
static void http_begin(struct outside *outside)
{
	struct flow *flow = outside->flow;

	const struct tls *tls = flow->legs[SIDE_CLIENT].tls;

	server_leave(outside);
	flow_timer(flow, -1, NULL);
	if (tls ? tls_protocol(tls) == TLS_HTTP2 : prior_h2(outside)) {
		h2_begin(flow, outside->host, outside->port, buf_view(&outside->first));
		return;
	}
	if (!env_stub(flow->env, outside->host)) {
		h1_begin(flow, outside->host, outside->port, buf_view(&outside->first));
		return;
	}
	flow->state = NULL; /* it goes on as the hooks' */
	http_seam_begin(flow, &stub_hooks, outside);
	http_seam_feed(flow, buf_view(&outside->first));
}

static void outside_secured(struct flow *flow, enum side side)
{
	(void)side;
	http_begin(flow->state);
}

static void secure_timed_out(struct flow *flow)
{
	flow_close(flow, "the TLS handshake did not end");
}

static void minted(void *self, const struct tls_certificate *certificate, const struct tls_key *key, const char *why)
{
	struct outside *outside = self;
	struct flow *flow = outside->flow;

	outside->ask = NULL;
	if (why) {
		outside_refuse(outside, REFUSAL_ALERT_DENIED, why, NULL);
		return;
	}
	outside->state = SECURING;
	flow_tls_set(flow, SIDE_CLIENT,
		     tls_accept(flow->worker->tls_server, flow->legs[SIDE_CLIENT].fd, certificate, key, buf_view(&outside->first),
				env_stub(flow->env, outside->host) ? TLS_HTTP1 : TLS_HTTP1 | TLS_HTTP2));
	buf_fini(&outside->first);
	flow_update(flow);
}

static void sniff_tls(struct outside *outside)
{
	AUTO_BUF scratch = buf_new(HELLO_BYTES_MAX * 2);
	struct flow *flow = outside->flow;
	char name[HOST_NAME_MAX_BYTES];
	struct view found;

	switch (hello_parse(buf_view(&outside->first), &scratch, &found)) {
	case HELLO_MORE:
		return;
	case HELLO_BAD:
		outside_refuse(outside, 0, "what came is no TLS ClientHello", NULL);
		return;
	case HELLO_DONE:
		break;
	}
	if (!found.length) {
		outside_refuse(outside, REFUSAL_ALERT_NAME, "TLS without a server name", "the program must send one (SNI)");
	} else if (!host_canonical(found, name) || strcmp(name, outside->host) != 0) {
		outside_refuse(outside, REFUSAL_ALERT_NAME, "TLS for another server name than the connection was made to", NULL);
	} else if (outside->opaque) {
		pass(outside);
	} else {
		server_leave(outside);
		outside->state = MINTING;
		flow_timer(flow, HANDSHAKE_MS, secure_timed_out);
		outside->ask = mint_leaf(flow->worker->mint, flow->env->id, outside->host, minted, outside);
	}
}

/* May what is neither HTTP nor TLS go there? */
static bool anything_goes(const struct outside *outside)
{
	const struct flow *flow = outside->flow;
	const struct egress_origin origin = env_origin(flow->env, flow->from);

	return outside->opaque || policy_host_is_free(flow->env->policy, &origin, outside->host, outside->port);
}

/* Neither HTTP nor TLS. */
static void sniff_other(struct outside *outside)
{
	if (port_is_web(outside->port) || env_stub(outside->flow->env, outside->host))
		outside_refuse(outside, 0, "neither HTTP nor TLS", NULL);
	else if (!anything_goes(outside))
		outside_refuse(outside, 0, "neither HTTP nor TLS, and the rules ask what is said",
			       "a rule without methods and paths lets such a port through");
	else
		pass(outside);
}

static void sniff(struct outside *outside)
{
	struct view first = buf_view(&outside->first);

	if (first.length && first.at[0] == 22)
		sniff_tls(outside);
	else if (prior_h2(outside) ? first.length >= strlen(H2_PREFACE) : http_looks(first))
		http_begin(outside);
	else if (prior_h2(outside))
		return; /* more of it comes */
	else if (!first.length || !http_looks_more(first))
		sniff_other(outside);
}

static void first_bytes_timed_out(struct flow *flow)
{
	flow_close(flow, "no first bytes");
}

static void silence_ended(struct flow *flow)
{
	struct outside *outside = flow->state;

	if (outside->first.length || !anything_goes(outside)) {
		flow_timer(flow, FIRST_BYTES_MS, first_bytes_timed_out);
		return;
	}
	outside->state = LISTENING;
	server_dial(outside);
}

static void outside_data(struct flow *flow, enum side from, struct view bytes)
{
	struct outside *outside = flow->state;

	if (outside->state == LISTENING && from == SIDE_SERVER)
		pass(outside);
	if (outside->state == PASSING) {
		flow->passes = true;
		flow_write(flow, from == SIDE_CLIENT ? SIDE_SERVER : SIDE_CLIENT, bytes);
		return;
	}
	if (outside->state == LISTENING && !outside->first.length)
		flow_timer(flow, FIRST_BYTES_MS, first_bytes_timed_out);
	buf_add_view(&outside->first, bytes);
	if (outside->first.over)
		outside_refuse(outside, 0, "too much before its TLS handshake", NULL);
	else if (outside->state == SNIFFING || outside->state == LISTENING)
		sniff(outside);
}

static void outside_ended(struct flow *flow, enum side from)
{
	const struct outside *outside = flow->state;

	if (outside->state != PASSING && outside->state != LISTENING)
		flow_close(flow, NULL);
	else
		flow_end(flow, from == SIDE_CLIENT ? SIDE_SERVER : SIDE_CLIENT);
}

static void outside_closing(struct flow *flow, const char *why)
{
	struct outside *outside = flow->state;

	if (flow->env->gone || outside->told)
		return;
	if (outside->state == SECURING && why) { /* most often it trusts no authority of ours */
		const struct egress_verdict verdict = {
			.action = EGRESS_DENY,
			.status = 400,
			.rule = "tls-handshake",
			.why = why,
			.remedy =
				"the program must trust the environment's authority (SSL_CERT_FILE and its like are set), or its host needs a "
				"`passthrough` rule"};

		(void)refusal_connection(flow, outside->host, outside->port, &verdict);
		return;
	}
	if (outside->state == PASSING || outside->state == LISTENING || outside->error || why)
		outside_row(outside, outside->error ? outside->error : why);
}

static const struct flow_protocol outside_protocol = {
	.name = "outside",
	.data = outside_data,
	.ended = outside_ended,
	.connected = outside_connected,
	.server_lost = outside_server_lost,
	.closing = outside_closing,
	.release = state_free,
	.secured = outside_secured,
};

void outside_begin(struct flow *flow, const char *host, uint16_t port, struct view first)
{
	const struct egress_origin origin = env_origin(flow->env, flow->from);
	const json_t *stub = env_stub(flow->env, host);
	struct egress_verdict verdict = {.action = EGRESS_ALLOW};
	struct outside *outside;

	if (!stub)
		verdict.action = policy_host(flow->env->policy, &origin, host, port, &verdict);
	if (verdict.action != EGRESS_DENY) {
		verdict.why = scan_host(flow->env, host);
		verdict.action = verdict.why ? EGRESS_DENY : verdict.action;
	}
	if (verdict.action == EGRESS_DENY) {
		AUTO_FREE char *kept = text_copy(host);

		entry_deny(flow, kept, port, &verdict);
		return;
	}
	if (!stub && verdict.action != EGRESS_PASSTHROUGH && login_is_due(flow->env, host, port)) {
		login_begin(flow, host, port, first);
		return;
	}
	outside = mem_new(sizeof(*outside));
	outside->flow = flow;
	memcpy(outside->host, host, strlen(host) + 1);
	outside->port = port;
	outside->opaque = verdict.action == EGRESS_PASSTHROUGH;
	outside->first = buf_new(FIRST_BYTES_MAX);
	free(flow->to);
	flow->to = text_copy(host);
	flow->port = port;
	flow->outside = !stub;
	buf_add_view(&outside->first, first);
	flow_protocol_set(flow, &outside_protocol, outside);
	flow_timer(flow, port_is_web(port) || stub ? FIRST_BYTES_MS : SILENT_MS,
		   port_is_web(port) || stub ? first_bytes_timed_out : silence_ended);
	if (first.length)
		sniff(outside);
}
