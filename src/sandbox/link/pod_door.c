/*
 * The door of a pod: where its programs' connections and questions for names are taken, and sent over the link.
 *
 * Theory of operation: nothing can be redirected in a pod that may change nothing of its network, so names have addresses of its loopback
 * (net/door.h), and we listen at those which the gateway names, in the network that the pod's containers share. A connection becomes a stream of the
 * mux at once: whether it may be is the gateway's to say, and it says so on it. A question that came by UDP goes as one by TCP, on a stream of its own.
 * Over a number of connections no more are taken until some have ended.
 */
#include "sandbox/link/pod_priv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/scope.h"
#include "net/door.h"
#include "net/socket.h"

#define BACKLOG 256
#define ACCEPTS_A_TURN 16
#define QUESTION_BYTES_MAX 512 /* RFC 1035, 4.2.1 */
#define QUESTIONS_MAX 48       /* by UDP that wait for an answer: then the oldest is given up, as a network would */
#define PREFIX 2

struct pod_listener {
	struct pod_listener *next;
	struct pod_door *door;
	struct door_place place;
	enum door_flow_kind kind;
	int fd;
	bool wanted; /* while the list is gone through */
	struct loop_watch watch;
};

struct pod_question {
	struct pod_door *door;
	int fd; /* our end of its stream; -1: none */
	struct sockaddr_in from;
	struct buf answer;
	struct loop_watch watch;
};

struct pod_door {
	struct pod *pod;
	struct pod_listener *listeners;
	struct link_opens opens;
	bool resting; /* there are too many */
	int questions_fd;
	struct loop_watch questions_watch;
	struct pod_question questions[QUESTIONS_MAX];
	size_t question_next;
};

/* ---- connections ---- */

/* Takes the descriptor. */
static void connection_send(struct pod_door *door, enum door_flow_kind kind, struct door_place place, int fd)
{
	struct mux *mux = door->pod->mux;
	AUTO_BUF body = buf_new(4 * (size_t)LINK_OPEN_FIELDS);
	uint32_t id = link_opens_new(&door->opens);

	if (!id) {
		(void)close(fd);
		return;
	}
	(void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	strand_put_u32(&body, kind);
	strand_put_u32(&body, place.address);
	strand_put_u32(&body, place.port);
	mux_send(mux, LINK_OPEN, id, buf_view(&body));
	mux_stream(mux, LINK_STREAM(id, 0), fd, fcntl(fd, F_DUPFD_CLOEXEC, 3));
}

static void rest(struct pod_door *door, bool resting)
{
	if (door->resting == resting)
		return;
	door->resting = resting;
	for (struct pod_listener *listener = door->listeners; listener; listener = listener->next)
		loop_watch_set(door->pod->loop, &listener->watch, resting ? 0 : LOOP_READ);
}

static void on_connection(struct loop_watch *watch, unsigned events)
{
	struct pod_listener *listener = (struct pod_listener *)(void *)((char *)watch - offsetof(struct pod_listener, watch));
	struct pod_door *door = listener->door;

	(void)events;
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		int fd;

		if (door->opens.count == LINK_OPENS_MAX) {
			rest(door, true);
			return;
		}
		if (socket_accept(listener->fd, &fd, NULL))
			return;
		socket_tune(fd);
		connection_send(door, listener->kind, listener->place, fd);
	}
}

void pod_door_moved(struct pod_door *door, uint32_t id)
{
	link_opens_moved(&door->opens, door->pod->mux, id);
	if (door->opens.count < LINK_OPENS_MAX)
		rest(door, false);
}

/* ---- where to listen ---- */

static void listener_end(void *self)
{
	free(self);
}

static void listener_close(struct pod_listener *listener)
{
	struct pod_door *door = listener->door;
	struct pod_listener **place = &door->listeners;

	while (*place != listener)
		place = &(*place)->next;
	*place = listener->next;
	loop_watch_remove(door->pod->loop, &listener->watch);
	(void)close(listener->fd);
	loop_defer(door->pod->loop, listener_end, listener);
}

static int bound_socket(int type, struct door_place place)
{
	const struct sockaddr_in at = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)place.port), .sin_addr = {htonl(place.address)}};
	AUTO_CLOSE int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	const int one = 1;

	if (fd < 0 || (type == SOCK_STREAM && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one))) ||
	    bind(fd, (const struct sockaddr *)&at, sizeof(at)) || (type == SOCK_STREAM && listen(fd, BACKLOG)))
		return -1;
	return TAKE_FD(fd);
}

static void listener_open(struct pod_door *door, struct door_place place, enum door_flow_kind kind)
{
	const struct in_addr address = {htonl(place.address)};
	int fd = bound_socket(SOCK_STREAM, place);
	struct pod_listener *listener;
	char text[INET_ADDRSTRLEN] = "";
	struct err err = {0};

	if (fd < 0) { /* a program of the room is there already: what it does not reach by that name it reaches by the proxy */
		(void)inet_ntop(AF_INET, &address, text, sizeof(text));
		log_warn("cannot listen at %s:%u: %s", text, place.port, strerror(errno));
		return;
	}
	listener = mem_new(sizeof(*listener));
	*listener = (struct pod_listener){
		.next = door->listeners, .door = door, .place = place, .kind = kind, .fd = fd, .wanted = true};
	door->listeners = listener;
	listener->watch.ready = on_connection;
	if (loop_watch_add(door->pod->loop, &listener->watch, fd, door->resting ? 0 : LOOP_READ, &err))
		log_error("%s", err.text);
}

static struct pod_listener *listener_find(const struct pod_door *door, struct door_place place)
{
	struct pod_listener *listener = door->listeners;

	while (listener && (listener->place.address != place.address || listener->place.port != place.port))
		listener = listener->next;
	return listener;
}

void pod_door_listen(struct pod_door *door, struct view body)
{
	const size_t row = 2 * sizeof(uint32_t);
	size_t count = body.length / row;

	if (body.length % row || count > DOOR_LISTEN_MAX) {
		log_warn("the control plane names places to listen at that are none");
		return;
	}
	for (struct pod_listener *listener = door->listeners; listener; listener = listener->next)
		listener->wanted = listener->kind == DOOR_FLOW_DNS;
	for (size_t i = 0; i < count; i++) {
		struct door_place place = {strand_u32(body, i * row), strand_u32(body, i * row + 4)};
		struct pod_listener *listener = listener_find(door, place);

		if (listener)
			listener->wanted = true;
		else if (door_synthetic(place.address) && place.port && place.port <= UINT16_MAX)
			listener_open(door, place, DOOR_FLOW_CONNECT);
	}
	for (struct pod_listener *listener = door->listeners, *next; listener; listener = next) {
		next = listener->next;
		if (!listener->wanted)
			listener_close(listener);
	}
}

/* ---- questions ---- */

static void question_end(struct pod_question *question)
{
	if (question->fd < 0)
		return;
	loop_watch_remove(question->door->pod->loop, &question->watch);
	(void)close(question->fd);
	question->fd = -1;
	buf_fini(&question->answer);
}

static void on_answer(struct loop_watch *watch, unsigned events)
{
	struct pod_question *question = (struct pod_question *)(void *)((char *)watch - offsetof(struct pod_question, watch));
	char piece[QUESTION_BYTES_MAX + PREFIX];
	ssize_t got = recv(question->fd, piece, sizeof(piece), MSG_DONTWAIT);
	const unsigned char *at;
	size_t length;

	(void)events;
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got > 0)
		buf_add(&question->answer, piece, (size_t)got);
	if (got <= 0 || question->answer.over) { /* there is no answer: whoever asked asks again */
		question_end(question);
		return;
	}
	at = (const unsigned char *)question->answer.at;
	length = question->answer.length >= PREFIX ? ((size_t)at[0] << 8 | at[1]) + PREFIX : SIZE_MAX;
	if (question->answer.length < length)
		return;
	(void)sendto(question->door->questions_fd, question->answer.at + PREFIX, length - PREFIX, MSG_DONTWAIT | MSG_NOSIGNAL,
		     (const struct sockaddr *)&question->from, sizeof(question->from));
	question_end(question);
}

static void question_ask(struct pod_door *door, const struct sockaddr_in *from, const unsigned char *bytes, size_t length)
{
	const struct door_place place = {INADDR_LOOPBACK, DOOR_DNS_PORT};
	struct pod_question *question = &door->questions[door->question_next++ % QUESTIONS_MAX];
	int pair[2];

	question_end(question);
	if (door->opens.count == LINK_OPENS_MAX || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair))
		return;
	*question = (struct pod_question){
		.door = door, .fd = pair[0], .from = *from, .answer = buf_new(QUESTION_BYTES_MAX + PREFIX)};
	question->watch.ready = on_answer;
	if (send(pair[0], bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)length ||
	    loop_watch_add(door->pod->loop, &question->watch, pair[0], LOOP_READ, NULL)) {
		question_end(question);
		(void)close(pair[1]);
		return;
	}
	connection_send(door, DOOR_FLOW_DNS, place, pair[1]);
}

static void on_questions(struct loop_watch *watch, unsigned events)
{
	struct pod_door *door = (struct pod_door *)(void *)((char *)watch - offsetof(struct pod_door, questions_watch));

	(void)events;
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		unsigned char bytes[PREFIX + QUESTION_BYTES_MAX + 1];
		struct sockaddr_in from;
		socklen_t from_length = sizeof(from);
		ssize_t got = recvfrom(door->questions_fd, bytes + PREFIX, sizeof(bytes) - PREFIX, MSG_DONTWAIT,
				       (struct sockaddr *)&from, &from_length);

		if (got < 0)
			return;
		if (!got || got > QUESTION_BYTES_MAX)
			continue;
		bytes[0] = (unsigned char)((size_t)got >> 8);
		bytes[1] = (unsigned char)got;
		question_ask(door, &from, bytes, (size_t)got + PREFIX);
	}
}

/* ---- life ---- */

struct pod_door *pod_door_open(struct pod *pod)
{
	const struct door_place names = {INADDR_LOOPBACK, DOOR_DNS_PORT};
	struct pod_door *door = mem_new(sizeof(*door));
	struct err err = {0};

	*door = (struct pod_door){.pod = pod};
	for (size_t i = 0; i < QUESTIONS_MAX; i++)
		door->questions[i].fd = -1;
	listener_open(door, names, DOOR_FLOW_DNS);
	door->questions_fd = bound_socket(SOCK_DGRAM, names);
	door->questions_watch.ready = on_questions;
	if (door->questions_fd < 0 || loop_watch_add(pod->loop, &door->questions_watch, door->questions_fd, LOOP_READ, &err))
		log_warn("no names are resolved in this pod: port %d: %s", DOOR_DNS_PORT, strerror(errno));
	return door;
}

void pod_door_reset(struct pod_door *door)
{
	for (size_t i = 0; i < QUESTIONS_MAX; i++)
		question_end(&door->questions[i]);
	door->opens.count = 0;
	rest(door, false);
}
