/*
 * The doors of rooms on a cluster (net/door.h, by flow): the gateway at one end, the pod's link at the other.
 *
 * Theory of operation: all of it is the loop's thread's. What a pod opens becomes a socket pair, one end of which the gateway is given with the address
 * that was meant; nothing here reads what passes. What comes from the pod is not believed: so many connections at once, of its own ids, to an address and a
 * port; what they want is judged by the gateway, which knows from its door whose they are. Without a gateway there is nobody to ask, and nothing goes
 * anywhere.
 */
#include "sandbox/kubernetes/cluster_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/scope.h"
#include "net/door.h"

#define MESSAGES_A_TURN 64

/* ---- to the gateway ---- */

/* Takes the descriptor (-1: none). False: it could not be said. */
static bool door_say(struct room *room, const void *at, size_t length, int fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {{0}};
	struct iovec part = {(void *)(uintptr_t)at, length};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	bool said;

	if (fd >= 0) {
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof(control.bytes);
		control.align = (struct cmsghdr){
			.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
		memcpy(CMSG_DATA(&control.align), &fd, sizeof(fd));
	}
	said = room->door.fd >= 0 && sendmsg(room->door.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)length;
	scope_close(&fd);
	return said;
}

static void stream_refuse(struct room *room, uint32_t id)
{
	mux_send(room->mux, LINK_STOP, LINK_STREAM(id, 0), VIEW(""));
	mux_send(room->mux, LINK_END, LINK_STREAM(id, 0), VIEW(""));
}

/* A stream of the link as a socket; -1 with errno. */
static int stream_socket(struct room *room, uint32_t id)
{
	int pair[2], ours;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return -1;
	ours = fcntl(pair[1], F_DUPFD_CLOEXEC, 3);
	if (ours < 0) {
		scope_close(&pair[0]);
		scope_close(&pair[1]);
		return -1;
	}
	mux_stream(room->mux, LINK_STREAM(id, 0), pair[1], ours);
	return pair[0];
}

/* ---- from the pod ---- */

void room_door_opened(struct room *room, uint32_t id, struct view body)
{
	const struct door_flow flow = {.ask = DOOR_FLOW,
				       .kind = strand_u32(body, 4 * (size_t)LINK_OPEN_KIND),
				       .address = strand_u32(body, 4 * (size_t)LINK_OPEN_ADDRESS),
				       .port = strand_u32(body, 4 * (size_t)LINK_OPEN_PORT)};
	bool sound = body.length == 4 * (size_t)LINK_OPEN_FIELDS && flow.port && flow.port <= UINT16_MAX &&
		     (flow.kind == DOOR_FLOW_CONNECT || flow.kind == DOOR_FLOW_DNS);
	int fd;

	if (!sound || !link_is_open(id) || room->door.fd < 0 || !link_opens_add(&room->door.opens, id)) {
		stream_refuse(room, id);
		return;
	}
	fd = stream_socket(room, id);
	if (fd < 0) {
		log_warn("kubernetes: a connection of %s/%s is refused: %s", room->space, room->name, strerror(errno));
		stream_refuse(room, id);
		room_door_moved(room, id);
	} else if (!door_say(room, &flow, sizeof(flow), fd)) { /* its end is closed: so is the stream, in a moment */
		log_debug("kubernetes: the gateway does not take a connection of %s/%s", room->space, room->name);
	}
}

void room_door_moved(struct room *room, uint32_t id)
{
	link_opens_moved(link_is_open(id) ? &room->door.opens : &room->door.dialled, room->mux, id);
}

int room_door_socket(struct room *room, uint32_t id)
{
	int fd = -1;

	errno = EMFILE;
	if (link_opens_add(&room->door.dialled, id))
		fd = stream_socket(room, id);
	if (fd < 0) {
		int failed = errno;

		stream_refuse(room, id);
		room_door_moved(room, id);
		errno = failed;
	}
	return fd;
}

bool room_door_dialled(struct room *room, uint32_t id, int errno_value)
{
	struct door_reply reply = {.ask = DOOR_DIAL, .errno_value = errno_value};
	struct pod_dialling *dial = room->door.dials;
	int fd = -1;

	while (dial < room->door.dials + room->door.dial_count && dial->id != id)
		dial++;
	if (dial == room->door.dials + room->door.dial_count)
		return false;
	reply.count = dial->serial;
	*dial = room->door.dials[--room->door.dial_count];
	if (!errno_value) {
		fd = room_door_socket(room, id);
		reply.errno_value = fd < 0 ? errno : 0;
	}
	(void)door_say(room, &reply, sizeof(reply), fd);
	return true;
}

/* ---- from the gateway ---- */

static void dial_begin(struct room *room, const struct door_dial *ask)
{
	AUTO_BUF body = buf_new(8);
	struct room_door *door = &room->door;
	uint32_t id;

	if (door->dial_count == POD_DIALS_MAX || !room->mux) {
		const struct door_reply reply = {.ask = DOOR_DIAL, .count = ask->serial, .errno_value = EAGAIN};

		(void)door_say(room, &reply, sizeof(reply), -1);
		return;
	}
	(void)pthread_mutex_lock(&room->cluster->mutex);
	id = ++room->last_id;
	(void)pthread_mutex_unlock(&room->cluster->mutex);
	door->dials[door->dial_count++] = (struct pod_dialling){id, ask->serial};
	strand_put_u32(&body, ask->port);
	mux_send(room->mux, LINK_DIAL, id, buf_view(&body));
}

static void listen_pass(struct room *room, const struct door_listen *listen)
{
	AUTO_BUF body = buf_new(sizeof(listen->at));

	for (uint32_t i = 0; i < listen->count; i++) {
		strand_put_u32(&body, listen->at[i].address);
		strand_put_u32(&body, listen->at[i].port);
	}
	mux_send(room->mux, LINK_LISTEN, 0, buf_view(&body));
}

union asked {
	struct door_request request;
	struct door_dial dial;
	struct door_listen listen;
};

static void asked_serve(struct room *room, const union asked *asked, size_t length)
{
	const struct door_reply by_flow = {.ask = DOOR_BY_FLOW};
	const size_t head = offsetof(struct door_listen, at);

	switch (asked->request.ask) {
	case DOOR_LISTENERS:
		(void)door_say(room, &by_flow, sizeof(by_flow), -1);
		break;
	case DOOR_DIAL:
		if (length == sizeof(asked->dial))
			dial_begin(room, &asked->dial);
		break;
	case DOOR_LISTEN:
		if (length >= head && asked->listen.count <= DOOR_LISTEN_MAX &&
		    length == head + asked->listen.count * sizeof(asked->listen.at[0]))
			listen_pass(room, &asked->listen);
		break;
	default: /* DOOR_SOCKETS: asked before it was said that there are none */
		break;
	}
}

void room_door_serve(struct room *room)
{
	for (int i = 0; i < MESSAGES_A_TURN && room->door.fd >= 0 && room->mux; i++) {
		union asked asked;
		ssize_t got = recv(room->door.fd, &asked, sizeof(asked), MSG_DONTWAIT);

		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (got >= (ssize_t)sizeof(asked.request))
			asked_serve(room, &asked, (size_t)got);
		else
			room_door_close(room); /* the gateway has ended: what it had is ended with its sockets */
	}
}

static void on_asked(struct loop_watch *watch, unsigned events)
{
	(void)events;
	room_door_serve((struct room *)(void *)((char *)watch - offsetof(struct room, door.watch)));
}

/* ---- life ---- */

void room_door_init(struct room *room)
{
	room->door.fd = -1;
	room->door.watch.ready = on_asked;
}

void room_door_close(struct room *room)
{
	if (room->door.fd < 0)
		return;
	loop_watch_remove(room->cluster->loop, &room->door.watch);
	scope_close(&room->door.fd);
	room->door.fd = -1;
	room->door.dial_count = 0; /* who answers one of these is told that nobody waits */
}

void room_door_end(struct room *room)
{
	room_door_close(room);
	if (!room->mux)
		return;
	link_opens_drop(&room->door.opens, room->mux);
	link_opens_drop(&room->door.dialled, room->mux);
}

struct fresh_door {
	struct room *room;
	int fd;
};

/* The newest is the one: a gateway that was started again has no other. */
static void on_fresh_door(void *self)
{
	AUTO_FREE struct fresh_door *fresh = self;
	struct room *room = fresh->room;
	struct cluster *cluster = room->cluster;
	struct err err = {0};

	room_door_close(room);
	if (room->mux && !room->gone && !loop_watch_add(cluster->loop, &room->door.watch, fresh->fd, LOOP_READ, &err))
		room->door.fd = TAKE_FD(fresh->fd);
	scope_close(&fresh->fd);
	(void)pthread_mutex_lock(&cluster->mutex);
	pod_room_unuse(room);
	(void)pthread_mutex_unlock(&cluster->mutex);
}

int cluster_sandbox_door(void *self, struct env_id env, const char *name, int *fd, struct err *err)
{
	struct cluster *cluster = self;
	struct fresh_door *fresh;
	struct room *room;
	int pair[2], result;

	*fd = -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair))
		return err_errno(err, errno, "cannot make a door for sandbox %s", name);
	(void)pthread_mutex_lock(&cluster->mutex);
	result = pod_room_use(cluster, env, name, &room, err);
	if (!result) {
		fresh = mem_new(sizeof(*fresh));
		*fresh = (struct fresh_door){room, TAKE_FD(pair[1])}; /* the loop's now, as is the use of the room */
		*fd = TAKE_FD(pair[0]);
		loop_post(cluster->loop, on_fresh_door, fresh);
	}
	(void)pthread_mutex_unlock(&cluster->mutex);
	scope_close(&pair[0]);
	scope_close(&pair[1]);
	return result;
}

static void on_room_lost(void *self)
{
	struct room *room = self;
	struct cluster *cluster = room->cluster;

	room_door_end(room);
	(void)pthread_mutex_lock(&cluster->mutex);
	pod_room_unuse(room);
	(void)pthread_mutex_unlock(&cluster->mutex);
}

void room_door_lose_post(struct room *room)
{
	room->users++;
	loop_post(room->cluster->loop, on_room_lost, room);
}
