/* Raw seams, and guessing. */
#include "gateway/seams/raw.h"

#include <stdlib.h>

#include "base/scope.h"
#include "gateway/door.h"
#include "gateway/fault.h"
#include "gateway/seams/http.h"
#include "gateway/seams/postgres.h"
#include "gateway/seams/redis.h"

#define REFUSED_WAIT_MS 100 /* for the request that a refused connection was made for, so that the log can tell of it */

struct raw {
	struct flow *flow;
	enum protocol protocol;
	bool guessing;
	struct buf first; /* while guessing */
	const char *refused;
	struct postgres *postgres;
	struct redis *redis;
	size_t counted; /* of the environment's in_flight */
};

static void raw_count(struct raw *raw)
{
	size_t now = raw->postgres ? postgres_in_flight(raw->postgres) : raw->redis ? redis_in_flight(raw->redis) : 0;

	raw->flow->env->in_flight += now - raw->counted;
	raw->counted = now;
}

/* Wall time of a monotonic one. */
static int64_t wall_of(int64_t at_us)
{
	return worker_wall_ms() - (worker_now_us() - at_us) / 1000;
}

static void postgres_done(void *self, const struct postgres_done *done)
{
	struct raw *raw = self;
	AUTO_EXCHANGE exchange;

	env_exchange_begin(raw->flow->env, &exchange, raw->flow->from, raw->flow->to, "postgres");
	exchange.t0_ms = wall_of(done->begun_us);
	exchange.dt_us = done->ended_us - done->begun_us;
	exchange.command = text_copy(done->command);
	exchange.statement = text_copy(done->statement);
	exchange.complete = text_copy(done->complete);
	exchange.error = text_copy(done->error);
	exchange_log_add(raw->flow->env->log, &exchange);
}

static void redis_done(void *self, const struct redis_done *done)
{
	struct raw *raw = self;
	AUTO_EXCHANGE exchange;

	env_exchange_begin(raw->flow->env, &exchange, raw->flow->from, raw->flow->to, "redis");
	exchange.t0_ms = wall_of(done->begun_us);
	exchange.dt_us = done->ended_us - done->begun_us;
	exchange.command = text_copy(done->command);
	if (done->statement.length)
		exchange.statement = view_copy(done->statement);
	exchange.complete = text_copy(done->complete);
	exchange.error = text_copy(done->error);
	exchange_log_add(raw->flow->env->log, &exchange);
}

static void raw_read(struct raw *raw, enum side from, struct view bytes)
{
	int64_t now_us;

	if (!raw->postgres && !raw->redis)
		return;
	now_us = worker_now_us();
	if (raw->postgres)
		(from == SIDE_CLIENT ? postgres_client : postgres_server)(raw->postgres, bytes, now_us);
	else
		(from == SIDE_CLIENT ? redis_client : redis_server)(raw->redis, bytes, now_us);
	raw_count(raw);
}

/* The first bytes of the client: HTTP, or not, or not yet known. Takes `bytes` in all cases. */
static void guess(struct raw *raw, struct view bytes)
{
	struct flow *flow = raw->flow;
	const char *refused = raw->refused;

	buf_add_view(&raw->first, bytes);
	if (http_looks_more(buf_view(&raw->first)))
		return;
	raw->guessing = false;
	if (!http_looks(buf_view(&raw->first))) {
		flow_write(flow, SIDE_SERVER, buf_view(&raw->first));
		buf_fini(&raw->first);
		if (refused)
			flow_close(flow, refused);
		return;
	}
	flow_timer(flow, -1, NULL);
	http_seam_begin(flow, &http_seam_plain, NULL);
	http_seam_feed(flow, buf_view(&raw->first)); /* it lives until the end of the turn */
	if (refused && !flow->closed && !flow->protocol->server_lost(flow, refused))
		flow_close(flow, refused);
}

static void raw_pass(struct flow *flow, enum side from, struct view bytes)
{
	struct raw *raw = flow->state;

	raw_read(raw, from, bytes);
	flow->passes = !raw->postgres && !raw->redis;
	flow_write(flow, from == SIDE_CLIENT ? SIDE_SERVER : SIDE_CLIENT, bytes);
}

/* What a fault held goes on. */
static void raw_resume(struct flow *flow)
{
	struct raw *raw = flow->state;

	flow_pause(flow, SIDE_CLIENT, false);
	raw_pass(flow, SIDE_CLIENT, buf_view(&raw->first));
	buf_clear(&raw->first);
}

static void raw_data(struct flow *flow, enum side from, struct view bytes)
{
	struct raw *raw = flow->state;

	if (from == SIDE_CLIENT && flow->env->faults && (raw->postgres || raw->redis) && fault_holds(flow, raw_resume)) {
		flow_pause(flow, SIDE_CLIENT, true);
		buf_add_view(&raw->first, bytes);
		return;
	}
	if (raw->guessing && from == SIDE_CLIENT) {
		guess(raw, bytes);
		return;
	}
	if (raw->guessing) {
		raw->guessing = false;
		flow_write(flow, SIDE_SERVER, buf_view(&raw->first));
		buf_fini(&raw->first);
	}
	raw_pass(flow, from, bytes);
}

static void raw_ended(struct flow *flow, enum side from)
{
	struct raw *raw = flow->state;

	if (raw->guessing && from == SIDE_CLIENT) {
		raw->guessing = false;
		flow_write(flow, SIDE_SERVER, buf_view(&raw->first));
	}
	flow_end(flow, from == SIDE_CLIENT ? SIDE_SERVER : SIDE_CLIENT);
}

static void refused_timed_out(struct flow *flow)
{
	const struct raw *raw = flow->state;

	flow_close(flow, raw->refused);
}

static bool raw_server_lost(struct flow *flow, const char *why)
{
	struct raw *raw = flow->state;

	if (!flow->bytes[SIDE_SERVER] && flow->legs[SIDE_SERVER].fd < 0 && door_dial_again(flow))
		return true;
	if (!raw->guessing || flow->legs[SIDE_SERVER].fd >= 0 || raw->refused)
		return false;
	raw->refused = why;
	flow_timer(flow, REFUSED_WAIT_MS, refused_timed_out);
	return true;
}

/* One row for the whole connection: what cannot be told in requests. */
static void connection_log(const struct raw *raw, const char *why)
{
	static const char *const protos[] = {
		[PROTOCOL_GUESS] = "tcp", [PROTOCOL_POSTGRES] = "postgres", [PROTOCOL_REDIS] = "redis"};
	struct flow *flow = raw->flow;
	AUTO_EXCHANGE exchange;

	env_exchange_begin(flow->env, &exchange, flow->from, flow->to, protos[raw->protocol]);
	exchange.t0_ms = flow->t0_ms;
	exchange.dt_us = worker_now_us() - flow->begun_us;
	exchange.command = text_format("connect %u", flow->port);
	exchange.error = text_copy(why);
	exchange.request_body.bytes = flow->bytes[SIDE_CLIENT];
	exchange.request_body.cut = flow->bytes[SIDE_CLIENT] > 0;
	exchange.response_body.bytes = flow->bytes[SIDE_SERVER];
	exchange.response_body.cut = flow->bytes[SIDE_SERVER] > 0;
	exchange_log_add(flow->env->log, &exchange);
}

static void raw_closing(struct flow *flow, const char *why)
{
	struct raw *raw = flow->state;
	bool talked = flow->bytes[SIDE_CLIENT] || flow->bytes[SIDE_SERVER];
	int64_t now_us = worker_now_us();

	if (flow->env->gone)
		why = NULL;
	postgres_free(TAKE(raw->postgres), flow->env->gone ? NULL : why ? why : "the connection ended", now_us);
	redis_free(TAKE(raw->redis), flow->env->gone ? NULL : why ? why : "the connection ended", now_us);
	flow->env->in_flight -= raw->counted;
	raw->counted = 0;
	if (raw->protocol == PROTOCOL_GUESS ? talked || why : why && !flow->bytes[SIDE_SERVER])
		connection_log(raw, why);
}

static void raw_release(void *state)
{
	struct raw *raw = state;

	buf_fini(&raw->first);
	free(raw);
}

static const struct flow_protocol raw_protocol = {"raw", raw_data, raw_ended, NULL, raw_server_lost, raw_closing, raw_release};

static struct raw *raw_new(struct flow *flow, enum protocol protocol)
{
	struct raw *raw = mem_new(sizeof(*raw));

	raw->flow = flow;
	raw->protocol = protocol;
	raw->first = buf_new(FLOW_WAITING_MAX * 2);
	flow_protocol_set(flow, &raw_protocol, raw);
	return raw;
}

void raw_begin(struct flow *flow, enum protocol protocol)
{
	struct raw *raw = raw_new(flow, protocol);

	raw->guessing = protocol == PROTOCOL_GUESS;
	if (protocol == PROTOCOL_POSTGRES)
		raw->postgres = postgres_new(postgres_done, raw);
	else if (protocol == PROTOCOL_REDIS)
		raw->redis = redis_new(redis_done, raw);
}

void raw_begin_plain(struct flow *flow, struct view first)
{
	(void)raw_new(flow, PROTOCOL_GUESS);
	flow_write(flow, SIDE_SERVER, first);
}

void raw_begin_postgres(struct flow *flow, struct view start, struct view from_server, struct view from_client)
{
	raw_begin(flow, PROTOCOL_POSTGRES);
	raw_read(flow->state, SIDE_CLIENT, start);
	if (from_server.length)
		raw_data(flow, SIDE_SERVER, from_server);
	if (from_client.length)
		raw_data(flow, SIDE_CLIENT, from_client);
}
