/* Raw seams, and guessing. */
#include "gateway/seams/raw.h"

#include <stdlib.h>

#include "base/scope.h"
#include "gateway/door.h"
#include "gateway/fault.h"
#include "gateway/seams/http.h"
#include "gateway/shared.h"
#include "gateway/seams/amqp.h"
#include "gateway/seams/h2.h"
#include "gateway/seams/mysql.h"
#include "gateway/seams/nats.h"
#include "gateway/seams/postgres.h"
#include "gateway/seams/redis.h"
#include "http/h2_relay.h"

/* The struct as it is, and zero from then on. */
#define TAKE_WHOLE(record)                            \
	__extension__({                               \
		__typeof__(record) taken_ = (record); \
		(record) = (__typeof__(record)){0};   \
		taken_;                               \
	})
#define REFUSED_WAIT_MS 100 /* for the request that a refused connection was made for, so that the log can tell of it */

/* Who reads along with what; PROTOCOL_GUESS asks all of them. */
static const struct reader_ops *const readers[] = {
	[PROTOCOL_GUESS] = NULL,        [PROTOCOL_POSTGRES] = &reader_postgres, [PROTOCOL_REDIS] = &reader_redis,
	[PROTOCOL_AMQP] = &reader_amqp, [PROTOCOL_MYSQL] = &reader_mysql,       [PROTOCOL_NATS] = &reader_nats,
};

struct raw {
	struct flow *flow;
	const struct reader_ops *ops; /* NULL: nobody reads along */
	void *reader;
	bool guessing;
	struct buf first; /* while guessing */
	const char *refused;
	size_t counted;    /* of the environment's in_flight */
	bool acknowledges; /* what is being read does, of a message */
};

static void raw_count(struct raw *raw)
{
	size_t now = raw->reader ? raw->ops->in_flight(raw->reader) : 0;

	raw->flow->env->in_flight += now - raw->counted;
	raw->counted = now;
}

/* Wall time of a monotonic one. */
static int64_t wall_of(int64_t at_us)
{
	return worker_wall_ms() - (worker_now_us() - at_us) / 1000;
}

static void raw_tell(void *self, const struct reader_event *event)
{
	struct raw *raw = self;
	AUTO_EXCHANGE exchange;

	raw->acknowledges = raw->acknowledges || (event->place.at && strcmp(event->command, "ack") == 0);
	env_exchange_begin(raw->flow->env, &exchange, raw->flow->from, raw->flow->to, raw->ops->name);
	exchange.t0_ms = wall_of(event->begun_us);
	exchange.dt_us = event->ended_us - event->begun_us;
	*(event->place.at ? &exchange.method : &exchange.command) = text_copy(event->command);
	if (event->place.at)
		exchange.url = view_copy(event->place);
	if (event->statement.length)
		exchange.statement = view_copy(event->statement);
	exchange.complete = text_copy(event->complete);
	exchange.error = text_copy(event->error);
	if (event->headers)
		exchange.request_headers = TAKE_WHOLE(*event->headers);
	if (event->body)
		exchange.request_body = TAKE_WHOLE(*event->body);
	exchange_log_add(raw->flow->env->log, &exchange);
}

static void raw_reader_set(struct raw *raw, const struct reader_ops *ops)
{
	raw->ops = ops;
	raw->reader = ops ? ops->make(raw_tell, raw) : NULL;
}

/* By the first bytes of whoever speaks first. */
static void reader_guess(struct raw *raw, enum side from, struct view bytes)
{
	for (size_t i = 0; i < ARRAY_LEN(readers) && !raw->reader; i++)
		if (readers[i] && readers[i]->looks && readers[i]->looks(bytes, from == SIDE_SERVER))
			raw_reader_set(raw, readers[i]);
}

static void raw_read(struct raw *raw, enum side from, struct view bytes)
{
	if (!raw->reader)
		return;
	(from == SIDE_CLIENT ? raw->ops->client : raw->ops->server)(raw->reader, bytes, worker_now_us());
	if (from == SIDE_CLIENT && raw->ops->acknowledges && raw->ops->acknowledges(raw->reader))
		raw->acknowledges = true;
	raw_count(raw);
}

/* HTTP/2 from here on, with what was said before. */
static void h2_begin(struct raw *raw, enum side from, struct view bytes)
{
	struct flow *flow = raw->flow;
	const char *refused = raw->refused;

	raw->guessing = false;
	flow_timer(flow, -1, NULL);
	shared_unstamped(flow, "http/2");
	h2_seam_begin(flow);
	if (raw->first.length) /* it lives until the end of the turn */
		flow->protocol->data(flow, SIDE_CLIENT, buf_view(&raw->first));
	if (!flow->closed && bytes.length)
		flow->protocol->data(flow, from, bytes);
	if (refused && !flow->closed && !flow->protocol->server_lost(flow, refused))
		flow_close(flow, refused);
}

/* The first bytes of the client: HTTP, or not, or not yet known. Takes `bytes` in all cases. */
static void guess(struct raw *raw, struct view bytes)
{
	struct flow *flow = raw->flow;
	const char *refused = raw->refused;
	const struct http_seam_hooks *hooks = shared_hooks(flow);

	buf_add_view(&raw->first, bytes);
	if (http_looks_more(buf_view(&raw->first)) || h2_relay_looks_more(buf_view(&raw->first)))
		return;
	if (h2_relay_looks(buf_view(&raw->first))) {
		h2_begin(raw, SIDE_CLIENT, VIEW(""));
		return;
	}
	raw->guessing = false;
	if (!http_looks(buf_view(&raw->first))) {
		reader_guess(raw, SIDE_CLIENT, buf_view(&raw->first));
		raw_read(raw, SIDE_CLIENT, buf_view(&raw->first));
		flow_write(flow, SIDE_SERVER, buf_view(&raw->first));
		buf_fini(&raw->first);
		if (refused)
			flow_close(flow, refused);
		return;
	}
	flow_timer(flow, -1, NULL);
	http_seam_begin(flow, hooks, NULL);
	http_seam_feed(flow, buf_view(&raw->first)); /* it lives until the end of the turn */
	/* Hooks that look for the server themselves have another one, or were told. */
	if (refused && !hooks->owns_server && !flow->closed && !flow->protocol->server_lost(flow, refused))
		flow_close(flow, refused);
}

static void raw_pass(struct flow *flow, enum side from, struct view bytes)
{
	struct raw *raw = flow->state;

	raw->acknowledges = false;
	raw_read(raw, from, bytes);
	if (from == SIDE_CLIENT && raw->acknowledges && flow->env->faults && fault_loses(flow))
		return;
	flow->passes = !raw->reader;
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

	if (from == SIDE_CLIENT && flow->env->faults && raw->reader && fault_holds(flow, raw_resume)) {
		flow_pause(flow, SIDE_CLIENT, true);
		buf_add_view(&raw->first, bytes);
		return;
	}
	if (raw->guessing && from == SIDE_CLIENT) {
		guess(raw, bytes);
		return;
	}
	if (raw->guessing && h2_relay_looks_server(bytes) && (!raw->first.length || h2_relay_looks_more(buf_view(&raw->first)))) {
		h2_begin(raw, from, bytes);
		return;
	}
	if (raw->guessing) {
		raw->guessing = false;
		reader_guess(raw, from, bytes);
		raw_read(raw, SIDE_CLIENT, buf_view(&raw->first));
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
	struct flow *flow = raw->flow;
	AUTO_EXCHANGE exchange;

	env_exchange_begin(flow->env, &exchange, flow->from, flow->to, raw->ops ? raw->ops->name : "tcp");
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

	if (flow->env->gone)
		why = NULL;
	if (raw->reader)
		raw->ops->end(TAKE(raw->reader), flow->env->gone ? NULL : why ? why : "the connection ended", worker_now_us());
	flow->env->in_flight -= raw->counted;
	raw->counted = 0;
	if (!raw->ops ? talked || why : why && !flow->bytes[SIDE_SERVER])
		connection_log(raw, why);
}

static void raw_release(void *state)
{
	struct raw *raw = state;

	buf_fini(&raw->first);
	free(raw);
}

static const struct flow_protocol raw_protocol = {"raw", raw_data, raw_ended, NULL, raw_server_lost, raw_closing, raw_release};

static struct raw *raw_new(struct flow *flow)
{
	struct raw *raw = mem_new(sizeof(*raw));

	raw->flow = flow;
	raw->first = buf_new(FLOW_WAITING_MAX * 2);
	flow_protocol_set(flow, &raw_protocol, raw);
	return raw;
}

void raw_begin(struct flow *flow, enum protocol protocol)
{
	struct raw *raw = raw_new(flow);

	raw->guessing = protocol == PROTOCOL_GUESS;
	raw_reader_set(raw, readers[protocol]);
}

void raw_begin_plain(struct flow *flow, struct view first)
{
	(void)raw_new(flow);
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
