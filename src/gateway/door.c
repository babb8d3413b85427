/*
 * Doors.
 *
 * Theory of operation: asks and replies are in order on the door's SEQPACKET socket, so one ask of each kind is under way at most. A
 * flow that wants a socket when the stock is empty waits in the door's list; it is served when sockets come, or fails after a while.
 */
#include "gateway/door.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/scope.h"
#include "gateway/entry.h"
#include "gateway/flow.h"
#include "gateway/resolver.h"
#include "net/door.h"
#include "net/socket.h"

#define LISTENERS 4 /* TCP v4, TCP v6, DNS over UDP, DNS over TCP */
#define ACCEPTS_A_TURN 16
#define ACCEPT_PAUSE_MS 100

struct listener {
	struct door *door;
	struct loop_watch watch;
	int fd;
};

struct door {
	struct env *env;
	struct door *next;
	char *sandbox;
	struct loop_watch watch;
	int fd;
	struct listener listeners[LISTENERS];
	struct loop_timer accept_pause;
	struct loop_timer wait_timer;
	int stock[DOOR_STOCK_MAX];
	size_t stock_count;
	bool sockets_asked;
	struct flow *waiting;
	bool freed;
};

struct door *door_find(struct env *env, const char *sandbox)
{
	for (struct door *door = env->doors; door; door = door->next)
		if (strcmp(door->sandbox, sandbox) == 0)
			return door;
	return NULL;
}

const char *door_sandbox(const struct door *door)
{
	return door->sandbox;
}

struct env *door_env(const struct door *door)
{
	return door->env;
}

static void waiting_remove(struct flow *flow)
{
	if (!flow->wait_place)
		return;
	*flow->wait_place = flow->wait_next;
	if (flow->wait_next)
		flow->wait_next->wait_place = flow->wait_place;
	flow->wait_place = NULL;
}

void door_wait_cancel(struct flow *flow)
{
	waiting_remove(flow);
}

static void waiting_fail(struct door *door, const char *why)
{
	while (door->waiting) {
		struct flow *flow = door->waiting;

		waiting_remove(flow);
		if (!flow->protocol->server_lost(flow, why))
			flow_close(flow, why);
		flow_update(flow);
	}
}

static void wait_expired(struct loop_timer *timer)
{
	waiting_fail((struct door *)((char *)timer - offsetof(struct door, wait_timer)), "the sandbox gives no socket");
}

static void door_memory_free(void *self)
{
	free(self);
}

void door_free(struct door *door)
{
	struct loop *loop = door->env->worker->loop;
	struct door **place = &door->env->doors;

	if (door->freed)
		return;
	door->freed = true;
	while (*place != door)
		place = &(*place)->next;
	*place = door->next;
	waiting_fail(door, "the sandbox is gone");
	loop_watch_remove(loop, &door->watch);
	loop_timer_stop(loop, &door->accept_pause);
	loop_timer_stop(loop, &door->wait_timer);
	for (size_t i = 0; i < LISTENERS; i++) {
		if (door->listeners[i].fd < 0)
			continue;
		loop_watch_remove(loop, &door->listeners[i].watch);
		(void)close(door->listeners[i].fd);
	}
	while (door->stock_count)
		(void)close(door->stock[--door->stock_count]);
	(void)close(door->fd);
	free(door->sandbox);
	loop_defer(loop, door_memory_free, door);
}

static int door_ask(struct door *door, enum door_ask ask, uint32_t count)
{
	struct door_request request = {.ask = ask, .count = count};

	return send(door->fd, &request, sizeof(request), MSG_NOSIGNAL) == (ssize_t)sizeof(request) ? 0 : -1;
}

static void stock_refill(struct door *door)
{
	if (door->sockets_asked || door->stock_count > DOOR_STOCK_LOW)
		return;
	door->sockets_asked = door_ask(door, DOOR_SOCKETS, DOOR_SOCKETS_MAX) == 0;
}

static void accept_resume(struct loop_timer *timer)
{
	struct door *door = (struct door *)((char *)timer - offsetof(struct door, accept_pause));

	for (size_t i = 0; i < LISTENERS; i++)
		loop_watch_set(door->env->worker->loop, &door->listeners[i].watch, LOOP_READ);
}

/* Out of descriptors: a level-triggered listener would spin, so all of them rest for a moment. */
static void accept_rest(struct door *door, const struct err *err)
{
	log_warn("env=%s sandbox=%s: %s", door->env->id, door->sandbox, err->text);
	for (size_t i = 0; i < LISTENERS; i++)
		loop_watch_set(door->env->worker->loop, &door->listeners[i].watch, 0);
	loop_timer_set(door->env->worker->loop, &door->accept_pause, ACCEPT_PAUSE_MS);
}

static void listener_ready(struct loop_watch *watch, unsigned events)
{
	struct listener *listener = (struct listener *)((char *)watch - offsetof(struct listener, watch));
	struct door *door = listener->door;
	size_t kind = (size_t)(listener - door->listeners);
	size_t flows_max = door->env->worker->env_flows_max;

	(void)events;
	if (kind == 2) {
		resolver_udp(door, listener->fd);
		return;
	}
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		struct err err;
		int fd;

		if (socket_accept(listener->fd, &fd, &err)) {
			if (err.kind != ERR_RETRY)
				accept_rest(door, &err);
			return;
		}
		if (flows_max && door->env->flow_count >= flows_max) {
			env_denied(door->env, door->sandbox, "*", 0, "too many connections at once");
			socket_reset(fd);
		} else if (kind == 3) {
			resolver_tcp(door, fd);
		} else {
			entry_accept(door, fd);
		}
	}
}

static void listeners_take(struct door *door, const int *fds, size_t count)
{
	for (size_t i = 0; i < LISTENERS && i < count; i++) {
		struct listener *listener = &door->listeners[i];
		struct err err;

		if (listener->fd >= 0) {
			loop_watch_remove(door->env->worker->loop, &listener->watch);
			(void)close(listener->fd);
		}
		listener->fd = fds[i];
		listener->watch.ready = listener_ready;
		(void)fcntl(fds[i], F_SETFL, fcntl(fds[i], F_GETFL) | O_NONBLOCK);
		if (loop_watch_add(door->env->worker->loop, &listener->watch, fds[i], LOOP_READ, &err))
			log_error("env=%s sandbox=%s: %s", door->env->id, door->sandbox, err.text);
	}
	for (size_t i = LISTENERS; i < count; i++)
		(void)close(fds[i]);
}

/* Connects with sockets of the stock: one that was refused on 127.0.0.1 cannot be used again for ::1. */
static void stock_connect(struct door *door, struct flow *flow)
{
	int failed, fd;

	for (;;) {
		fd = door->stock[--door->stock_count];
		(void)fcntl(fd, F_SETFL, O_NONBLOCK | O_RDWR);
		failed = door_connect(fd, flow->port, flow->v6);
		if (failed != ECONNREFUSED || flow->v6 || !door->stock_count)
			break;
		(void)close(fd);
		flow->v6 = true;
	}
	flow->dials_in = failed == EINPROGRESS;
	if (failed && failed != EINPROGRESS) {
		const char *why = failed == ECONNREFUSED ? "connection refused" : strerror(failed);

		(void)close(fd);
		if (!flow->protocol->server_lost(flow, why))
			flow_close(flow, why);
	} else {
		flow_server_set(flow, fd, true);
	}
	stock_refill(door);
	flow_update(flow);
}

static void sockets_take(struct door *door, const int *fds, size_t count)
{
	door->sockets_asked = false;
	for (size_t i = 0; i < count; i++) {
		if (door->stock_count == DOOR_STOCK_MAX)
			(void)close(fds[i]);
		else
			door->stock[door->stock_count++] = fds[i];
	}
	while (door->waiting && door->stock_count && !door->freed) {
		struct flow *flow = door->waiting;

		waiting_remove(flow);
		stock_connect(door, flow);
	}
	if (door->freed)
		return;
	if (!door->waiting)
		loop_timer_stop(door->env->worker->loop, &door->wait_timer);
	if (!count && door->waiting)
		waiting_fail(door, "the sandbox gives no socket");
	else if (count)
		stock_refill(door);
}

static size_t rights_collect(struct msghdr *header, int *fds)
{
	size_t count = 0;

	for (struct cmsghdr *at = CMSG_FIRSTHDR(header); at; at = CMSG_NXTHDR(header, at)) {
		size_t here = (at->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (at->cmsg_level != SOL_SOCKET || at->cmsg_type != SCM_RIGHTS)
			continue;
		memcpy(fds + count, CMSG_DATA(at), here * sizeof(int));
		count += here;
	}
	return count;
}

static void door_ready(struct loop_watch *watch, unsigned events)
{
	struct door *door = (struct door *)((char *)watch - offsetof(struct door, watch));
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * DOOR_SOCKETS_MAX)];
	} control;
	struct door_reply reply;
	struct iovec piece = {.iov_base = &reply, .iov_len = sizeof(reply)};
	struct msghdr header = {
		.msg_iov = &piece, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)};
	ssize_t got = recvmsg(door->fd, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	int fds[DOOR_SOCKETS_MAX];
	size_t count;

	(void)events;
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) { /* its pid 1 ended: what is connected stays, nothing new comes */
		loop_watch_remove(door->env->worker->loop, &door->watch);
		waiting_fail(door, "the sandbox is gone");
		return;
	}
	count = rights_collect(&header, fds);
	if (got == (ssize_t)sizeof(reply) && reply.ask == DOOR_LISTENERS) {
		listeners_take(door, fds, count);
	} else if (got == (ssize_t)sizeof(reply) && reply.ask == DOOR_SOCKETS) {
		sockets_take(door, fds, count);
	} else {
		log_warn("env=%s sandbox=%s: its door said something unknown", door->env->id, door->sandbox);
		for (size_t i = 0; i < count; i++)
			(void)close(fds[i]);
	}
}

int door_open(struct env *env, const char *sandbox, int fd, struct err *err)
{
	struct door *old = door_find(env, sandbox);
	struct door *door = mem_new(sizeof(*door));

	if (old)
		door_free(old);
	door->env = env;
	door->sandbox = text_copy(sandbox);
	door->fd = fd;
	door->watch.ready = door_ready;
	door->accept_pause.expired = accept_resume;
	door->wait_timer.expired = wait_expired;
	for (size_t i = 0; i < LISTENERS; i++)
		door->listeners[i] = (struct listener){.door = door, .fd = -1};
	door->next = env->doors;
	env->doors = door;
	(void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	if (loop_watch_add(env->worker->loop, &door->watch, fd, LOOP_READ, err)) {
		door_free(door);
		return -1;
	}
	if (door_ask(door, DOOR_LISTENERS, 0)) {
		(void)err_errno(err, errno, "cannot ask the door of %s", sandbox);
		door_free(door);
		return -1;
	}
	stock_refill(door);
	return 0;
}

static void dial(struct flow *flow, const char *sandbox)
{
	struct door *door = door_find(flow->env, sandbox);

	flow->dial_tries++;
	if (!door || !door->watch.added) {
		if (!flow->protocol->server_lost(flow, "its sandbox does not run"))
			flow_close(flow, "its sandbox does not run");
		return;
	}
	if (door->stock_count && !door->waiting) {
		stock_connect(door, flow);
		return;
	}
	flow->wait_next = NULL;
	flow->wait_place = &door->waiting;
	while (*flow->wait_place)
		flow->wait_place = &(*flow->wait_place)->wait_next;
	*flow->wait_place = flow;
	stock_refill(door);
	if (!door->wait_timer.place)
		loop_timer_set(door->env->worker->loop, &door->wait_timer, DOOR_WAIT_MS);
}

void door_dial(struct flow *flow, struct name *name, uint16_t port)
{
	flow->port = port;
	flow->dial_tries = 0;
	flow->v6 = false;
	flow->dial_next = name->turn++ % name->sandbox_count;
	free(flow->to);
	flow->to = text_copy(name->name);
	dial(flow, name->sandboxes[flow->dial_next]);
}

bool door_dial_again(struct flow *flow)
{
	struct name *name = flow->env && flow->to ? env_name(flow->env, flow->to) : NULL;

	if (!name || !flow->dial_tries || flow->dial_tries >= name->sandbox_count)
		return false;
	flow->dial_next = (flow->dial_next + 1) % name->sandbox_count;
	flow->v6 = false;
	dial(flow, name->sandboxes[flow->dial_next]);
	return true;
}

bool door_dial_v6(struct flow *flow)
{
	struct name *name = flow->env && flow->to ? env_name(flow->env, flow->to) : NULL;

	if (!name || !flow->dials_in || flow->v6 || flow->dial_next >= name->sandbox_count)
		return false;
	flow->v6 = true;
	flow->dial_tries--;
	dial(flow, name->sandboxes[flow->dial_next]);
	return true;
}
