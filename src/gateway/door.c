/*
 * Doors.
 *
 * Theory of operation: asks and replies are in order on the door's SEQPACKET socket, so one ask of each kind is under way at most. A
 * flow that wants a socket when the stock is empty waits in the door's list; it is served when sockets come, or fails after a while.
 * A door by flow (net/door.h) has neither listeners nor a stock: there the list is of flows that each wait for the answer to a dial of their own.
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
#include "gateway/egress/record.h"
#include "gateway/entry.h"
#include "gateway/flow.h"
#include "gateway/resolver.h"
#include "gateway/shared.h"
#include "gateway/told.h"
#include "net/door.h"
#include "net/socket.h"

#define LISTENERS 4 /* TCP v4, TCP v6, DNS over UDP, DNS over TCP */
#define ACCEPTS_A_TURN 16
#define ACCEPT_PAUSE_MS 100
#define OUTSIDE_MAX 256 /* places of hosts outside at which one sandbox listens: those asked for last */
#define PORTS_MAX 16    /* of one host */
#define BY_FLOW_DETAIL \
	"the sandbox has a door by flow: an explicit proxy and names on its loopback, behind the cluster's NetworkPolicy"

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
	bool by_flow;
	struct door_place outside[OUTSIDE_MAX]; /* by flow: synthetic addresses; a ring */
	size_t outside_count, outside_next;
	bool untold; /* where to listen: it did not take it */
	uint32_t dial_serial;
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

uint32_t door_address(const struct door *door, uint32_t synthetic)
{
	return door->by_flow ? door_loopback(synthetic) : synthetic;
}

uint32_t door_address_back(const struct door *door, uint32_t address)
{
	return door->by_flow ? door_synthetic(address) : address;
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
	if (door->by_flow || door->sockets_asked || door->stock_count > DOOR_STOCK_LOW)
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

/* A connection that came, or questions by TCP: taken. */
static void connection_take(struct door *door, int fd, bool dns, const struct door_flow *flow)
{
	size_t flows_max = door->env->worker->env_flows_max;

	if (flows_max && door->env->flow_count >= flows_max) {
		env_denied(door->env, door->sandbox, "*", 0, "too many connections at once");
		socket_reset(fd);
	} else if (dns) {
		resolver_tcp(door, fd);
	} else if (flow) {
		entry_flow(door, fd, flow->address, (uint16_t)flow->port);
	} else {
		entry_accept(door, fd);
	}
}

static void listener_ready(struct loop_watch *watch, unsigned events)
{
	struct listener *listener = (struct listener *)((char *)watch - offsetof(struct listener, watch));
	struct door *door = listener->door;
	size_t kind = (size_t)(listener - door->listeners);

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
		connection_take(door, fd, kind == 3, NULL);
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

/* ---- doors by flow ---- */

/* Is the port one that programs of the sandbox listen at? There a listener for another name would be in their way. */
static bool is_own_port(const struct door *door, uint16_t port)
{
	const struct env *env = door->env;

	for (size_t i = 0; i < env->name_count; i++) {
		const struct name *name = &env->names[i];
		bool shown = env->preview_service && env->preview_port == port && strcmp(env->preview_service, name->name) == 0;

		for (size_t k = 0; (name->port == port || shown) && k < name->sandbox_count; k++)
			if (strcmp(name->sandboxes[k], door->sandbox) == 0)
				return true;
	}
	return false;
}

static void place_add(struct door_listen *listen, const struct door *door, uint32_t synthetic, uint16_t port)
{
	uint32_t address = door_loopback(synthetic);

	if (address && port && listen->count < DOOR_LISTEN_MAX && !is_own_port(door, port))
		listen->at[listen->count++] = (struct door_place){address, port};
}

static void listen_tell(struct door *door)
{
	struct env *env = door->env;
	struct door_listen listen = {.ask = DOOR_LISTEN};
	size_t length;
	bool told;

	place_add(&listen, door, ADDRESS_PROXY, MESSAGE_PROXY_PORT);
	if (env_tool_allowed(env, door->sandbox))
		place_add(&listen, door, ADDRESS_TOOLS, 80);
	place_add(&listen, door, ADDRESS_TOOLS, TOLD_PORT);
	for (size_t i = 0; i < env->name_count; i++)
		place_add(&listen, door, address_of_own(env->addresses, env->names[i].name), env->names[i].port);
	for (size_t i = 1; i <= door->outside_count; i++) { /* the latest come first: the list may be full */
		const struct door_place *place = &door->outside[(door->outside_next + OUTSIDE_MAX - i) % OUTSIDE_MAX];

		place_add(&listen, door, place->address, (uint16_t)place->port);
	}
	length = offsetof(struct door_listen, at) + listen.count * sizeof(listen.at[0]);
	told = send(door->fd, &listen, length, MSG_NOSIGNAL) == (ssize_t)length;
	if (!told && !door->untold)
		log_warn("env=%s sandbox=%s: its door does not take where to listen", env->id, door->sandbox);
	door->untold = !told;
}

/* False: it is there. */
static bool outside_add(struct door *door, uint32_t synthetic, uint16_t port)
{
	for (size_t i = 0; i < door->outside_count; i++)
		if (door->outside[i].address == synthetic && door->outside[i].port == port)
			return false;
	door->outside[door->outside_next] = (struct door_place){synthetic, port};
	door->outside_next = (door->outside_next + 1) % OUTSIDE_MAX;
	if (door->outside_count < OUTSIDE_MAX)
		door->outside_count++;
	return true;
}

void door_host_asked(struct door *door, const char *host, uint32_t synthetic)
{
	uint16_t ports[PORTS_MAX] = {443, 80};
	size_t count = !door->by_flow ? 0 : env_stub(door->env, host) ? 2 : policy_ports(door->env->policy, host, ports, PORTS_MAX);
	bool more = door->untold;

	for (size_t i = 0; i < count; i++)
		more = outside_add(door, synthetic, ports[i]) || more;
	if (more)
		listen_tell(door);
}

void door_names_changed(struct env *env)
{
	for (struct door *door = env->doors; door; door = door->next)
		if (door->by_flow)
			listen_tell(door);
}

static void dial_ask(struct door *door, struct flow *flow)
{
	struct door_dial ask = {.ask = DOOR_DIAL, .port = flow->port};

	if (++door->dial_serial == 0)
		door->dial_serial = 1;
	ask.serial = flow->dial_serial = door->dial_serial;
	if (send(door->fd, &ask, sizeof(ask), MSG_NOSIGNAL) != (ssize_t)sizeof(ask))
		log_warn("env=%s sandbox=%s: its door does not take a dial", door->env->id, door->sandbox); /* it fails in time */
}

static void dialled(struct door *door, const struct door_reply *reply, int fd)
{
	struct flow *flow = door->waiting;
	const char *why = reply->errno_value == ECONNREFUSED ? "connection refused" : "the sandbox gives no socket";

	while (flow && flow->dial_serial != reply->count)
		flow = flow->wait_next;
	if (!flow) { /* it waits no more */
		scope_close(&fd);
		return;
	}
	waiting_remove(flow);
	flow->dials_in = false;
	if (fd >= 0) {
		(void)fcntl(fd, F_SETFL, O_NONBLOCK | O_RDWR);
		flow_server_set(flow, fd, true);
	} else if (!flow->protocol->server_lost(flow, why)) {
		flow_close(flow, why);
	}
	flow_update(flow);
	if (door->freed)
		return;
	if (door->waiting) /* there is progress */
		loop_timer_set(door->env->worker->loop, &door->wait_timer, DOOR_WAIT_MS);
	else
		loop_timer_stop(door->env->worker->loop, &door->wait_timer);
}

/* Who speaks for the sandbox has no sockets to hand over. Which way its traffic is kept is on record. */
static void by_flow_begin(struct door *door)
{
	const struct egress_request nothing = {.origin = env_origin(door->env, door->sandbox), .host = ""};
	struct ledger_row row = {.kind = LEDGER_POLICY};

	if (door->by_flow)
		return;
	door->by_flow = true;
	row.texts[LEDGER_ACTOR] = VIEW("gateway");
	row.texts[LEDGER_DETAIL] = VIEW(BY_FLOW_DETAIL);
	record_row(door->env->worker, 0, &nothing, row);
	listen_tell(door);
	for (struct flow *flow = door->waiting; flow; flow = flow->wait_next)
		dial_ask(door, flow);
}

/* False: it is not as it must be. */
static bool by_flow_take(struct door *door, const struct door_flow *flow, int *fd)
{
	if (!door->by_flow || *fd < 0 || !flow->port || flow->port > UINT16_MAX ||
	    (flow->kind != DOOR_FLOW_CONNECT && flow->kind != DOOR_FLOW_DNS))
		return false;
	(void)fcntl(*fd, F_SETFL, O_NONBLOCK | O_RDWR);
	connection_take(door, TAKE_FD(*fd), flow->kind == DOOR_FLOW_DNS, flow);
	return true;
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

union said {
	struct door_reply reply;
	struct door_flow flow;
};

/* Takes what came, and its descriptors. False: it is nothing that a door says; those are the caller's then. */
static bool door_said(struct door *door, const union said *said, size_t length, int *fds, size_t count)
{
	if (length == sizeof(said->flow) && said->flow.ask == DOOR_FLOW)
		return count == 1 && by_flow_take(door, &said->flow, &fds[0]);
	if (length != sizeof(said->reply))
		return false;
	switch (said->reply.ask) {
	case DOOR_LISTENERS:
		listeners_take(door, fds, count);
		return true;
	case DOOR_SOCKETS:
		sockets_take(door, fds, count);
		return true;
	case DOOR_BY_FLOW:
		by_flow_begin(door);
		return count == 0;
	case DOOR_DIAL:
		if (count > 1)
			return false;
		dialled(door, &said->reply, count ? fds[0] : -1);
		return true;
	default:
		return false;
	}
}

static void door_ready(struct loop_watch *watch, unsigned events)
{
	struct door *door = (struct door *)((char *)watch - offsetof(struct door, watch));
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * DOOR_SOCKETS_MAX)];
	} control;
	union said said;
	struct iovec piece = {.iov_base = &said, .iov_len = sizeof(said)};
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
	if (door_said(door, &said, (size_t)got, fds, count))
		return;
	log_warn("env=%s sandbox=%s: its door said something unknown", door->env->id, door->sandbox);
	for (size_t i = 0; i < count; i++)
		scope_close(&fds[i]);
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

static void dial(struct flow *flow, struct env *env, const char *sandbox)
{
	struct door *door = door_find(env, sandbox);

	flow->dial_tries++;
	(void)snprintf(flow->callee_room, sizeof(flow->callee_room), "%s", sandbox);
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
	if (door->by_flow)
		dial_ask(door, flow);
	else
		stock_refill(door);
	if (!door->wait_timer.place)
		loop_timer_set(door->env->worker->loop, &door->wait_timer, DOOR_WAIT_MS);
}

void door_dial_in(struct flow *flow, struct env *env, struct name *name, uint16_t port)
{
	flow->port = port;
	flow->dial_tries = 0;
	flow->v6 = false;
	flow->dial_next = name->turn++ % name->sandbox_count;
	(void)snprintf(flow->callee, sizeof(flow->callee), "%s", env->id);
	if (!flow->to || strcmp(flow->to, name->name) != 0) {
		free(flow->to);
		flow->to = text_copy(name->name);
	}
	dial(flow, env, name->sandboxes[flow->dial_next]);
}

void door_dial(struct flow *flow, struct name *name, uint16_t port)
{
	struct env *env = name->away ? shared_below(flow->env) : flow->env;
	struct name *there = env && name->away ? env_name(env, name->name) : name;

	if (env && there && !there->away) {
		if (env != flow->env)
			env_touch(env);
		door_dial_in(flow, env, there, port);
		return;
	}
	flow->port = port;
	free(flow->to);
	flow->to = text_copy(name->name);
	if (!flow->protocol->server_lost(flow, "the environment that it stands on is gone"))
		flow_close(flow, "the environment that it stands on is gone");
}

/* Where it was dialled into, and under which name there. */
static struct env *dialled_env(const struct flow *flow, struct name **name)
{
	struct env *env = flow->callee[0] && flow->to ? env_find(flow->worker, flow->callee) : NULL;

	*name = env ? env_name(env, flow->to) : NULL;
	return env;
}

bool door_dial_again(struct flow *flow)
{
	struct name *name;
	struct env *env = dialled_env(flow, &name);

	if (!name || !flow->dial_tries || flow->dial_tries >= name->sandbox_count)
		return false;
	flow->dial_next = (flow->dial_next + 1) % name->sandbox_count;
	flow->v6 = false;
	dial(flow, env, name->sandboxes[flow->dial_next]);
	return true;
}

bool door_dial_v6(struct flow *flow)
{
	struct name *name;
	struct env *env = dialled_env(flow, &name);

	if (!name || !flow->dials_in || flow->v6 || flow->dial_next >= name->sandbox_count)
		return false;
	flow->v6 = true;
	flow->dial_tries--;
	dial(flow, env, name->sandboxes[flow->dial_next]);
	return true;
}
