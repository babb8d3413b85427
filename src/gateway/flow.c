/*
 * The moving of bytes.
 *
 * Theory of operation: an event on a leg reads once into the worker's scratch and hands that to the protocol, which calls flow_write for
 * the other leg (or the same one). flow_write only collects, unless the piece is large and nothing waits: then it goes straight to the
 * socket. At the end of each callback flow_update flushes both legs and sets what epoll is asked for, so small pieces leave together.
 */
#include "gateway/flow.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/scope.h"
#include "gateway/door.h"
#include "net/socket.h"

#define DRAIN_MS 3000
#define BULK_BYTES ((size_t)64 << 10)    /* read at once: from here on it is bulk */
#define STRAIGHT_BYTES 8192              /* pieces from here on are not collected */
#define RECORDS_BYTES ((size_t)64 << 10) /* encrypted at once */

static size_t waiting(const struct leg *leg)
{
	return leg->out.length - leg->out_at + leg->piped + (leg->tls ? tls_waiting(leg->tls) : 0);
}

static void pipe_drop(struct leg *leg)
{
	for (int i = 0; i < 2; i++) {
		if (leg->pipe[i] >= 0)
			(void)close(leg->pipe[i]);
		leg->pipe[i] = -1;
	}
	leg->piped = 0;
}

static void list_remove(struct flow *flow)
{
	if (!flow->place)
		return;
	*flow->place = flow->next;
	if (flow->next)
		flow->next->place = flow->place;
	flow->place = NULL;
	if (flow->env)
		flow->env->flow_count--;
}

void flow_env_set(struct flow *flow, struct env *env)
{
	struct flow **list = env ? &env->flows : &flow->worker->loose;

	if (flow->env == env && flow->place)
		return;
	list_remove(flow);
	flow->env = env;
	flow->next = *list;
	flow->place = list;
	if (flow->next)
		flow->next->place = &flow->next;
	*list = flow;
	if (env)
		env->flow_count++;
}

static void client_ready(struct loop_watch *watch, unsigned events);
static void server_ready(struct loop_watch *watch, unsigned events);

static void timer_expired(struct loop_timer *timer)
{
	struct flow *flow = (struct flow *)((char *)timer - offsetof(struct flow, timer));

	flow->timed_out(flow);
	flow_update(flow);
}

struct flow *flow_new(struct worker *worker, struct env *env, int client_fd, const char *from)
{
	struct flow *flow = mem_new(sizeof(*flow));

	flow->worker = worker;
	flow->from = text_copy(from);
	flow->t0_ms = worker_wall_ms();
	flow->begun_us = worker_now_us();
	flow->timer.expired = timer_expired;
	for (int i = 0; i < 2; i++) {
		flow->legs[i].fd = flow->legs[i].pipe[0] = flow->legs[i].pipe[1] = -1;
		flow->legs[i].out = buf_new(SIZE_MAX / 4); /* bounded by not reading the other side */
	}
	flow->legs[SIDE_CLIENT].watch.ready = client_ready;
	flow->legs[SIDE_SERVER].watch.ready = server_ready;
	flow->legs[SIDE_CLIENT].fd = client_fd;
	flow_env_set(flow, env);
	return flow;
}

void flow_protocol_set(struct flow *flow, const struct flow_protocol *protocol, void *state)
{
	if (flow->protocol && flow->protocol->release && flow->state)
		loop_defer(flow->worker->loop, flow->protocol->release, flow->state);
	flow->protocol = protocol;
	flow->state = state;
}

void flow_server_set(struct flow *flow, int fd, bool connecting)
{
	struct leg *leg = &flow->legs[SIDE_SERVER];

	socket_tune(fd);
	leg->fd = fd;
	leg->connecting = connecting;
	leg->ended = leg->end_sent = false;
}

void flow_server_drop(struct flow *flow)
{
	struct leg *leg = &flow->legs[SIDE_SERVER];

	loop_watch_remove(flow->worker->loop, &leg->watch);
	if (leg->fd >= 0)
		(void)close(leg->fd);
	buf_fini(&leg->out);
	tls_free(leg->tls);
	pipe_drop(leg);
	*leg = (struct leg){.watch = {.ready = server_ready}, .fd = -1, .out = buf_new(SIZE_MAX / 4), .pipe = {-1, -1}};
}

/* One send; -1 on errors but a full socket, which counts as 0. */
static ssize_t leg_send(const struct leg *leg, const char *at, size_t length)
{
	ssize_t sent = send(leg->fd, at, length, MSG_NOSIGNAL);

	return sent < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : sent;
}

/* Encrypts and sends as much as the socket takes; the rest. What is wrong with the leg is found again when it is flushed. */
static struct view tls_leg_write(struct leg *leg, struct view bytes)
{
	while (bytes.length && !tls_waiting(leg->tls)) {
		size_t piece = bytes.length < RECORDS_BYTES ? bytes.length : RECORDS_BYTES;

		if (!tls_write(leg->tls, view_make(bytes.at, piece)))
			break;
		bytes = view_make(bytes.at + piece, bytes.length - piece);
		if (!tls_flush(leg->tls))
			break;
	}
	return bytes;
}

struct buf *flow_buf(struct flow *flow, enum side to)
{
	struct leg *leg = &flow->legs[to];

	if (flow->closed)
		return NULL;
	buf_borrow(&leg->out, &flow->worker->spares);
	if (leg->piped) { /* keeps its place before what is added */
		char *place = buf_reserve(&leg->out, leg->piped);
		ssize_t got = read(leg->pipe[0], place, leg->piped);

		buf_commit(&leg->out, got > 0 ? (size_t)got : 0);
		leg->piped = 0;
	}
	return &leg->out;
}

void flow_write(struct flow *flow, enum side to, struct view bytes)
{
	struct leg *leg = &flow->legs[to];
	struct buf *out = bytes.length ? flow_buf(flow, to) : NULL;

	if (!out)
		return;
	if (bytes.length >= STRAIGHT_BYTES && leg->fd >= 0 && !leg->connecting && !leg->tls && !waiting(leg)) {
		ssize_t sent = leg_send(leg, bytes.at, bytes.length);

		if (sent > 0)
			bytes = view_make(bytes.at + sent, bytes.length - (size_t)sent);
	}
	if (bytes.length >= STRAIGHT_BYTES && leg->fd >= 0 && !leg->connecting && leg->tls && !leg->securing && !waiting(leg))
		bytes = tls_leg_write(leg, bytes);
	buf_add_view(out, bytes);
}

void flow_tls_set(struct flow *flow, enum side side, struct tls *tls)
{
	struct leg *leg = &flow->legs[side];

	tls_free(leg->tls);
	leg->tls = tls;
	leg->securing = leg->more = true; /* a client begins; a server may have the beginning already */
}

bool flow_full(struct flow *flow, enum side to)
{
	struct leg *leg = &flow->legs[to];

	leg->full = leg->full || waiting(leg) >= FLOW_WAITING_MAX;
	return leg->full;
}

void flow_end(struct flow *flow, enum side to)
{
	flow->legs[to].end_wanted = true;
}

void flow_pause(struct flow *flow, enum side side, bool paused)
{
	flow->legs[side].paused = paused;
}

void flow_timer(struct flow *flow, int64_t after_ms, void (*timed_out)(struct flow *flow))
{
	flow->timed_out = timed_out;
	if (after_ms < 0)
		loop_timer_stop(flow->worker->loop, &flow->timer);
	else
		loop_timer_set(flow->worker->loop, &flow->timer, after_ms);
}

static void flow_free(void *self)
{
	struct flow *flow = self;

	buf_fini(&flow->legs[0].out);
	buf_fini(&flow->legs[1].out);
	free(flow->from);
	free(flow->to);
	free(flow);
}

static void protocol_close(struct flow *flow, const char *why)
{
	const struct flow_protocol *protocol = flow->protocol;

	if (!protocol)
		return;
	protocol->closing(flow, why);
	if (protocol->release && flow->state)
		loop_defer(flow->worker->loop, protocol->release, flow->state);
	flow->protocol = NULL;
	flow->state = NULL;
}

void flow_close(struct flow *flow, const char *why)
{
	if (flow->closed)
		return;
	flow->closed = true;
	door_wait_cancel(flow);
	loop_timer_stop(flow->worker->loop, &flow->timer);
	protocol_close(flow, why);
	for (int i = 0; i < 2; i++) {
		struct leg *leg = &flow->legs[i];

		loop_watch_remove(flow->worker->loop, &leg->watch);
		pipe_drop(leg);
		if (leg->fd >= 0 && leg->tls && !why && !leg->end_sent) {
			tls_end(leg->tls);
			(void)tls_flush(leg->tls);
		}
		tls_free(leg->tls);
		leg->tls = NULL;
		if (leg->fd >= 0 && why)
			socket_reset(leg->fd);
		else if (leg->fd >= 0)
			(void)close(leg->fd);
		leg->fd = -1;
	}
	list_remove(flow);
	loop_defer(flow->worker->loop, flow_free, flow);
}

static void drain_data(struct flow *flow, enum side from, struct view bytes)
{
	(void)flow;
	(void)from;
	(void)bytes;
}

static void drain_ended(struct flow *flow, enum side from)
{
	(void)flow;
	(void)from;
}

static bool drain_server_lost(struct flow *flow, const char *why)
{
	(void)flow;
	(void)why;
	return true;
}

static void drain_closing(struct flow *flow, const char *why)
{
	(void)flow;
	(void)why;
}

static void drain_timed_out(struct flow *flow)
{
	flow_close(flow, NULL);
}

static const struct flow_protocol drain_protocol = {"drain", drain_data, drain_ended, NULL, drain_server_lost, drain_closing, NULL};

void flow_finish(struct flow *flow)
{
	if (flow->closed)
		return;
	door_wait_cancel(flow);
	protocol_close(flow, NULL);
	flow->protocol = &drain_protocol;
	flow_server_drop(flow);
	flow->legs[SIDE_CLIENT].end_wanted = true;
	flow->legs[SIDE_CLIENT].paused = false;
	flow_timer(flow, DRAIN_MS, drain_timed_out);
}

/* Encrypts some of what waits, and sends it; as leg_flush. */
static bool tls_leg_flush(struct leg *leg)
{
	while (leg->fd >= 0 && !leg->connecting) {
		size_t left = leg->out.length - leg->out_at;
		size_t piece = left < RECORDS_BYTES ? left : RECORDS_BYTES;

		if (!tls_flush(leg->tls))
			return false;
		if (tls_waiting(leg->tls) || leg->securing || !piece)
			return true;
		if (!tls_write(leg->tls, view_make(leg->out.at + leg->out_at, piece)))
			return false;
		leg->out_at += piece;
	}
	return true;
}

/* false when the peer is gone. */
static bool leg_flush(struct leg *leg, struct buf_spares *spares)
{
	if (leg->tls && !tls_leg_flush(leg))
		return false;
	while (!leg->tls && leg->fd >= 0 && !leg->connecting && leg->out_at < leg->out.length) {
		ssize_t sent = leg_send(leg, leg->out.at + leg->out_at, leg->out.length - leg->out_at);

		if (sent < 0)
			return false;
		if (sent == 0)
			return true;
		leg->out_at += (size_t)sent;
	}
	while (leg->fd >= 0 && !leg->connecting && leg->piped) {
		ssize_t sent = splice(leg->pipe[0], NULL, leg->fd, NULL, leg->piped, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

		if (sent < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		if (sent <= 0)
			return true;
		leg->piped -= (size_t)sent;
	}
	if (leg->out_at == leg->out.length && leg->out.length) {
		leg->out_at = 0;
		buf_return(&leg->out, spares);
	} else if (leg->out_at > FLOW_WAITING_MAX) {
		buf_drop_front(&leg->out, leg->out_at);
		leg->out_at = 0;
	}
	if (leg->fd >= 0 && !leg->connecting && leg->end_wanted && !leg->end_sent && !waiting(leg)) {
		leg->end_sent = true;
		if (leg->tls) {
			tls_end(leg->tls);
			(void)tls_flush(leg->tls);
		}
		(void)shutdown(leg->fd, SHUT_WR);
	}
	return true;
}

static void server_lose(struct flow *flow, const char *why)
{
	if (!flow->protocol->server_lost(flow, why))
		flow_close(flow, why);
}

static void read_on(void *self);

/* What epoll is asked for follows from what waits. A leg that only broke is not watched until it is wanted again. */
static void leg_watch(struct flow *flow, struct leg *leg, const struct leg *other)
{
	unsigned events = 0;

	if (leg->fd < 0)
		return;
	if (leg->securing && !leg->connecting)
		events |= LOOP_READ;
	else if (!leg->connecting && !leg->ended && !leg->paused && waiting(other) < FLOW_WAITING_MAX)
		events |= LOOP_READ;
	if (leg->more && events && !flow->reading_on) {
		flow->reading_on = true;
		loop_defer(flow->worker->loop, read_on, flow);
	}
	if (leg->connecting || (waiting(leg) && (!leg->securing || tls_waiting(leg->tls))))
		events |= LOOP_WRITE;
	if (leg->watch.added)
		loop_watch_set(flow->worker->loop, &leg->watch, events);
	else if (events && loop_watch_add(flow->worker->loop, &leg->watch, leg->fd, events, NULL))
		flow_close(flow, "out of memory for events");
}

static void drained_tell(struct flow *flow)
{
	for (int i = 0; i < 2 && !flow->closed; i++) {
		struct leg *leg = &flow->legs[i];

		if (!leg->full || waiting(leg) > FLOW_WAITING_MAX / 2)
			continue;
		leg->full = false;
		if (flow->protocol->drained)
			flow->protocol->drained(flow, (enum side)i);
	}
}

void flow_update(struct flow *flow)
{
	struct leg *client = &flow->legs[SIDE_CLIENT];
	struct leg *server = &flow->legs[SIDE_SERVER];
	struct buf_spares *spares = &flow->worker->spares;

	if (flow->closed)
		return;
	if (!leg_flush(client, spares)) {
		flow_close(flow, "the client went away");
		return;
	}
	if (!leg_flush(server, spares)) {
		server_lose(flow, "the server went away");
		if (flow->closed || !leg_flush(client, spares))
			return;
	}
	if (client->ended && client->end_sent && (server->fd < 0 || (server->ended && server->end_sent))) {
		flow_close(flow, NULL);
		return;
	}
	if (client->full || server->full)
		drained_tell(flow);
	if (!flow->closed)
		leg_watch(flow, client, server);
	if (!flow->closed)
		leg_watch(flow, server, client);
}

static void update_now(void *self)
{
	struct flow *flow = self;

	flow->update_due = false;
	flow_update(flow);
}

void flow_update_later(struct flow *flow)
{
	if (flow->closed || flow->update_due)
		return;
	flow->update_due = true;
	loop_defer(flow->worker->loop, update_now, flow);
}

/* Moves what came into the pipe of the other leg; -1 with EAGAIN also when the pipe is full. */
static ssize_t leg_splice(const struct leg *leg, struct leg *other)
{
	ssize_t got = splice(leg->fd, NULL, other->pipe[1], NULL, SCRATCH_BYTES, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

	if (got > 0)
		other->piped += (size_t)got;
	return got;
}

/* From here on this direction is spliced, when it can be. */
static void bulk_begin(struct leg *other)
{
	if (other->pipe[0] >= 0 || pipe2(other->pipe, O_CLOEXEC | O_NONBLOCK))
		return;
	(void)fcntl(other->pipe[0], F_SETPIPE_SZ, (int)FLOW_WAITING_MAX); /* the default size does as well */
}

/* What TLS has, as recv() would say it. */
static ssize_t tls_leg_read(struct leg *leg, char *scratch)
{
	size_t length = 0;
	ssize_t got = -1;

	tls_readable(leg->tls);
	while (length < SCRATCH_BYTES && (got = tls_read(leg->tls, scratch + length, SCRATCH_BYTES - length)) > 0)
		length += (size_t)got;
	leg->more = got != -1 && length; /* the end, or an error, is found again */
	if (length)
		return (ssize_t)length;
	errno = got == -1 ? EAGAIN : EPROTO;
	return got == 0 ? 0 : -1;
}

static void leg_read(struct flow *flow, enum side side)
{
	struct leg *leg = &flow->legs[side];
	struct leg *other = &flow->legs[!side];
	bool spliced = flow->passes && other->pipe[0] >= 0;
	ssize_t got = leg->tls  ? tls_leg_read(leg, flow->worker->scratch)
		      : spliced ? leg_splice(leg, other)
				: recv(leg->fd, flow->worker->scratch, SCRATCH_BYTES, 0);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got > 0 && flow->passes && !leg->tls && !other->tls && (size_t)got >= BULK_BYTES)
		bulk_begin(other);
	if (got > 0)
		flow->bytes[side] += (uint64_t)got;
	if (got > 0 && !spliced) {
		flow->protocol->data(flow, side, view_make(flow->worker->scratch, (size_t)got));
	} else if (got == 0) {
		leg->ended = true;
		flow->protocol->ended(flow, side);
	} else if (got < 0 && side == SIDE_SERVER) {
		server_lose(flow, "the server reset the connection");
	} else if (got < 0) {
		flow_close(flow, "the client reset the connection");
	}
}

static void server_connected(struct flow *flow)
{
	struct leg *leg = &flow->legs[SIDE_SERVER];
	int error = socket_error(leg->fd);

	leg->connecting = false;
	if (error) { /* what waits for it is kept: it may be connected to another one */
		loop_watch_remove(flow->worker->loop, &leg->watch);
		(void)close(leg->fd);
		leg->fd = -1;
		if (error == ECONNREFUSED && door_dial_v6(flow))
			return;
		server_lose(flow, error == ECONNREFUSED ? "connection refused" : strerror(error));
	} else if (flow->protocol->connected) {
		flow->protocol->connected(flow);
	}
}

static void leg_secure(struct flow *flow, enum side side)
{
	struct leg *leg = &flow->legs[side];
	struct err err;

	tls_readable(leg->tls);
	leg->more = false;
	switch (tls_handshake(leg->tls, &err)) {
	case TLS_MORE:
		break;
	case TLS_FAILED:
		(void)tls_flush(leg->tls);
		(void)snprintf(flow->problem, sizeof(flow->problem), "%.159s", err.text);
		leg->securing = false;
		if (side == SIDE_SERVER)
			server_lose(flow, flow->problem);
		else
			flow_close(flow, flow->problem);
		break;
	case TLS_DONE:
		leg->securing = false;
		leg->more = true;
		if (flow->protocol->secured)
			flow->protocol->secured(flow, side);
		break;
	}
}

static void leg_ready(struct flow *flow, enum side side, unsigned events)
{
	struct leg *leg = &flow->legs[side];

	if (leg->securing && !leg->connecting) {
		if (events & (LOOP_READ | LOOP_BROKEN))
			leg_secure(flow, side);
		flow_update_later(flow);
		return;
	}
	if (leg->connecting && (events & (LOOP_WRITE | LOOP_BROKEN))) {
		server_connected(flow);
	} else if (events & LOOP_READ) {
		leg_read(flow, side);
	} else if (events & LOOP_BROKEN) {
		int error = socket_error(leg->fd);

		if (error && side == SIDE_SERVER)
			server_lose(flow, "the server reset the connection");
		else if (error)
			flow_close(flow, "the client reset the connection");
		else
			loop_watch_remove(flow->worker->loop, &leg->watch); /* both directions ended; what came is not wanted yet */
	}
	flow_update_later(flow);
}

static void client_ready(struct loop_watch *watch, unsigned events)
{
	leg_ready((struct flow *)((char *)watch - offsetof(struct flow, legs[SIDE_CLIENT].watch)), SIDE_CLIENT, events);
}

static void server_ready(struct loop_watch *watch, unsigned events)
{
	leg_ready((struct flow *)((char *)watch - offsetof(struct flow, legs[SIDE_SERVER].watch)), SIDE_SERVER, events);
}

/* Reads what no event will tell of: it is in the session's memory already. */
static void read_on(void *self)
{
	struct flow *flow = self;

	flow->reading_on = false;
	for (int i = 0; i < 2 && !flow->closed; i++) {
		struct leg *leg = &flow->legs[i];

		if (!leg->more || leg->fd < 0 || leg->connecting)
			continue;
		if (leg->securing || (!leg->ended && !leg->paused && waiting(&flow->legs[!i]) < FLOW_WAITING_MAX))
			leg_ready(flow, (enum side)i, LOOP_READ);
	}
}
