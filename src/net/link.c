/*
 * Messages over SOCK_SEQPACKET.
 *
 * Theory of operation: the socket is non-blocking for a loop and blocking for a reader thread. Sending is one sendmsg under a mutex;
 * on a loop, what does not fit waits in a queue until the socket is writable. Requests that wait for an answer are a list under
 * the same mutex; an answer either fills the waiting link_call's place and signals it, or is handed to the callback of link_ask. A
 * request's handler is called without the mutex.
 */
#include "net/link.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/scope.h"
#include "net/loop.h"
#include "net/packet_priv.h"

#define QUEUE_MAX 4096

/* A request of ours that has no answer yet. */
struct waiting {
	struct waiting *next;
	uint64_t request;
	void (*answered)(void *self, json_t *answer, const struct err *err); /* NULL: a thread waits on `done` */
	void *self;
	json_t *answer;
	struct err err;
	bool done;
};

struct link {
	int fd;
	struct link_spec spec;
	struct loop *loop;
	struct loop_watch watch;
	pthread_t thread;
	bool threaded;
	int stop_fds[2]; /* closing the writing end ends the reader thread */

	pthread_mutex_t mutex;
	pthread_cond_t answered;
	struct waiting *waiting;
	uint64_t requests;
	struct packet *queue_first;
	struct packet **queue_last;
	size_t queue_length;
	bool broken;
	bool flush_posted;
	bool freed;  /* on a loop: link_free was called while functions were posted */
	char *input; /* MESSAGE_BYTES_MAX */
};

/* Sends what waits, in order. Called with the mutex held. Returns false when something is left. */
static bool queue_flush(struct link *link)
{
	while (link->queue_first) {
		struct packet *message = link->queue_first;

		if (!link->broken && packet_send(link->fd, message)) {
			if (errno == EAGAIN || errno == EWOULDBLOCK)
				return false;
			link->broken = true;
		}
		link->queue_first = message->next;
		if (!link->queue_first)
			link->queue_last = &link->queue_first;
		link->queue_length--;
		packet_free(message);
	}
	return true;
}

static void flush_on_loop(void *self)
{
	struct link *link = self;
	bool empty;

	(void)pthread_mutex_lock(&link->mutex);
	link->flush_posted = false;
	if (link->freed) {
		(void)pthread_mutex_unlock(&link->mutex);
		free(link);
		return;
	}
	empty = queue_flush(link);
	(void)pthread_mutex_unlock(&link->mutex);
	loop_watch_set(link->loop, &link->watch, empty ? LOOP_READ : LOOP_READ | LOOP_WRITE);
}

bool link_is_over(struct link *link)
{
	bool over;

	(void)pthread_mutex_lock(&link->mutex);
	over = link->broken;
	(void)pthread_mutex_unlock(&link->mutex);
	return over;
}

/* Takes `message`. With the mutex held. */
static int message_put(struct link *link, struct packet *message, struct err *err)
{
	if (link->broken) {
		packet_free(message);
		return err_set(err, ERR_RETRY, "the other process is gone");
	}
	if (link->queue_length >= QUEUE_MAX) {
		packet_free(message);
		return err_set(err, ERR_LIMIT, "%d messages wait for a process that does not read", QUEUE_MAX);
	}
	message->next = NULL;
	*link->queue_last = message;
	link->queue_last = &message->next;
	link->queue_length++;
	if (!queue_flush(link) && !link->threaded && !link->flush_posted) {
		link->flush_posted = true;
		loop_post(link->loop, flush_on_loop, link);
	}
	return 0;
}

static int link_send(struct link *link, unsigned name, uint64_t request, const json_t *body, const int *fds, size_t fd_count,
		     struct err *err)
{
	struct packet *message = packet_make(name, request, body, fds, fd_count, err);
	int result;

	if (!message)
		return -1;
	(void)pthread_mutex_lock(&link->mutex);
	result = message_put(link, message, err);
	(void)pthread_mutex_unlock(&link->mutex);
	return result;
}

/* The waiting request `request`, taken out of the list; with the mutex held. */
static struct waiting *waiting_take(struct link *link, uint64_t request)
{
	for (struct waiting **at = &link->waiting; *at; at = &(*at)->next) {
		struct waiting *found = *at;

		if (found->request != request)
			continue;
		*at = found->next;
		return found;
	}
	return NULL;
}

static enum err_kind kind_parse(const char *name)
{
	for (int kind = ERR_NONE; kind <= ERR_BROKEN; kind++)
		if (strcmp(err_kind_name((enum err_kind)kind), name) == 0)
			return (enum err_kind)kind;
	return ERR_BROKEN;
}

/* Takes the body: jansson's counts are not for two threads. */
static void answer_take(struct link *link, uint64_t request, json_t **body)
{
	struct waiting *waiting;
	struct err err = {0};
	bool posted;

	if (!json_flag(*body, "ok", false))
		(void)err_set(&err, kind_parse(json_text(*body, "kind", "broken")), "%s", json_text(*body, "error", "failed"));
	(void)pthread_mutex_lock(&link->mutex);
	waiting = waiting_take(link, request);
	posted = waiting && waiting->answered; /* of a call it is on the caller's stack, and gone once we unlock */
	if (waiting && !posted) {
		waiting->answer = err.kind ? NULL : TAKE(*body);
		waiting->err = err;
		waiting->done = true;
		(void)pthread_cond_broadcast(&link->answered);
	}
	(void)pthread_mutex_unlock(&link->mutex);
	if (posted) {
		waiting->answered(waiting->self, err.kind ? NULL : TAKE(*body), &err);
		free(waiting);
	}
}

static void request_take(struct link *link, struct link_message *message)
{
	struct err err = {0};

	for (size_t i = 0; i < link->spec.row_count; i++) {
		const struct link_row *row = &link->spec.rows[i];

		if (row->name != message->name)
			continue;
		if (row->from == link->spec.peer) {
			row->handle(link->spec.self, link, message);
			return;
		}
		break;
	}
	(void)err_set(&err, ERR_DENIED, "message %u is not accepted from this peer", message->name);
	log_warn("%s", err.text);
	link_reply(link, message->name, message->request, NULL, &err);
}

static void message_handle(struct link *link, size_t length, struct link_message *message)
{
	struct message_header header;
	struct err err = {0};
	unsigned name;

	if (length < sizeof(header)) {
		log_warn("a message of %zu bytes was dropped", length);
		return;
	}
	memcpy(&header, link->input, sizeof(header));
	name = header.name & ~(NAME_BODY_IN_FD | NAME_REPLY);
	message->name = (uint16_t)name;
	message->request = header.request;
	if (header.length != length || header.version != MESSAGE_VERSION) {
		(void)err_set(&err, ERR_BROKEN, "message %u has length %u of %zu and version %u; this is version %d", name,
			      header.length, length, header.version, MESSAGE_VERSION);
	} else {
		message->body = packet_body(message, view_make(link->input + sizeof(header), length - sizeof(header)),
					    header.name & NAME_BODY_IN_FD, &err);
	}
	if (!message->body) {
		log_warn("%s", err.text);
		if (!(header.name & NAME_REPLY))
			link_reply(link, message->name, message->request, NULL, &err);
		return;
	}
	if (header.name & NAME_REPLY)
		answer_take(link, header.request, &message->body);
	else
		request_take(link, message);
}

/* Receives and handles one message: 1, 0 when none waits, -1 when the peer is gone. */
static int message_receive(struct link *link)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * LINK_FDS_MAX)];
	} control;
	struct iovec piece = {.iov_base = link->input, .iov_len = MESSAGE_BYTES_MAX};
	struct msghdr header = {
		.msg_iov = &piece, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)};
	struct link_message message = {0};
	ssize_t length = recvmsg(link->fd, &header, MSG_CMSG_CLOEXEC);

	if (length < 0)
		return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? 0 : -1;
	packet_rights(&header, &message);
	if (length == 0) {
		packet_fds_close(message.fds, message.fd_count);
		return -1;
	}
	if (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
		log_warn("a message that was cut was dropped");
	else
		message_handle(link, (size_t)length, &message);
	packet_fds_close(message.fds, message.fd_count);
	json_decref(message.body);
	return 1;
}

/* The peer is gone: every waiting request fails, then `closed` is called. */
static void link_break(struct link *link)
{
	struct waiting *asked = NULL;
	struct waiting *next;

	(void)pthread_mutex_lock(&link->mutex);
	link->broken = true;
	(void)queue_flush(link);
	for (struct waiting *at = link->waiting; at; at = next) {
		next = at->next;
		(void)err_set(&at->err, ERR_RETRY, "the other process is gone");
		at->done = true;
		if (at->answered) {
			at->next = asked;
			asked = at;
		}
	}
	link->waiting = NULL;
	(void)pthread_cond_broadcast(&link->answered);
	(void)pthread_mutex_unlock(&link->mutex);
	for (; asked; asked = next) {
		next = asked->next;
		asked->answered(asked->self, NULL, &asked->err);
		free(asked);
	}
	if (link->spec.closed)
		link->spec.closed(link->spec.self, link);
}

#define MESSAGES_A_TURN 32

static void link_ready(struct loop_watch *watch, unsigned events)
{
	struct link *link = (struct link *)((char *)watch - offsetof(struct link, watch));
	int got = 1;

	if (events & LOOP_WRITE)
		flush_on_loop(link);
	for (int i = 0; got > 0 && i < MESSAGES_A_TURN && (events & (LOOP_READ | LOOP_BROKEN)); i++)
		got = message_receive(link);
	if (got < 0) {
		loop_watch_remove(link->loop, &link->watch);
		link_break(link);
	}
}

static void *reader_main(void *self)
{
	struct link *link = self;
	struct pollfd polled[2] = {{.fd = link->fd, .events = POLLIN}, {.fd = link->stop_fds[0], .events = POLLIN}};

	for (;;) {
		int got;

		if (poll(polled, 2, -1) < 0 && errno != EINTR)
			break;
		if (polled[1].revents)
			break;
		got = polled[0].revents ? message_receive(link) : 0;
		if (got < 0)
			break;
	}
	link_break(link);
	return NULL;
}

static struct link *link_new(const struct link_spec *spec)
{
	struct link *link = mem_new(sizeof(*link));
	pthread_condattr_t attributes;

	link->spec = *spec;
	link->fd = spec->fd;
	link->input = mem_new(MESSAGE_BYTES_MAX);
	link->queue_last = &link->queue_first;
	link->stop_fds[0] = link->stop_fds[1] = -1;
	(void)pthread_mutex_init(&link->mutex, NULL);
	(void)pthread_condattr_init(&attributes);
	(void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&link->answered, &attributes);
	(void)pthread_condattr_destroy(&attributes);
	return link;
}

struct link *link_on_loop(struct loop *loop, const struct link_spec *spec, struct err *err)
{
	struct link *link = link_new(spec);

	link->loop = loop;
	link->watch.ready = link_ready;
	(void)fcntl(link->fd, F_SETFL, fcntl(link->fd, F_GETFL) | O_NONBLOCK);
	if (loop_watch_add(loop, &link->watch, link->fd, LOOP_READ, err)) {
		link_free(link);
		return NULL;
	}
	loop_watch_first(loop, &link->watch);
	return link;
}

struct link *link_on_thread(const struct link_spec *spec, struct err *err)
{
	struct link *link = link_new(spec);
	int failed;

	(void)fcntl(link->fd, F_SETFL, fcntl(link->fd, F_GETFL) & ~O_NONBLOCK);
	if (pipe2(link->stop_fds, O_CLOEXEC)) {
		(void)err_errno(err, errno, "cannot make a pipe");
		link_free(link);
		return NULL;
	}
	failed = pthread_create(&link->thread, NULL, reader_main, link);
	if (failed) {
		(void)err_errno(err, failed, "cannot start a thread");
		link_free(link);
		return NULL;
	}
	link->threaded = true;
	return link;
}

void link_free(struct link *link)
{
	const struct err gone = {.kind = ERR_RETRY, .text = "the link was closed"};
	struct waiting *asked = NULL;
	struct waiting *next;
	bool posted;

	if (!link)
		return;
	if (link->threaded) {
		(void)close(link->stop_fds[1]);
		link->stop_fds[1] = -1;
		(void)pthread_join(link->thread, NULL);
	} else if (link->loop) {
		loop_watch_remove(link->loop, &link->watch);
	}
	(void)pthread_mutex_lock(&link->mutex);
	link->broken = true;
	(void)queue_flush(link);
	link->freed = true;
	posted = link->flush_posted;
	while (link->waiting) {
		struct waiting *waiting = waiting_take(link, link->waiting->request);

		if (!waiting->answered)
			continue;
		waiting->next = asked;
		asked = waiting;
	}
	(void)pthread_mutex_unlock(&link->mutex);
	for (; asked; asked = next) {
		next = asked->next;
		asked->answered(asked->self, NULL, &gone);
		free(asked);
	}
	(void)close(link->fd);
	packet_fds_close(link->stop_fds, 2);
	free(link->input);
	link->input = NULL;
	if (posted)
		return; /* flush_on_loop frees it */
	(void)pthread_cond_destroy(&link->answered);
	(void)pthread_mutex_destroy(&link->mutex);
	free(link);
}

static struct timespec deadline_after(int64_t ms)
{
	struct timespec at;

	(void)clock_gettime(CLOCK_MONOTONIC, &at);
	at.tv_sec += ms / 1000;
	at.tv_nsec += ms % 1000 * 1000000;
	if (at.tv_nsec >= 1000000000) {
		at.tv_sec++;
		at.tv_nsec -= 1000000000;
	}
	return at;
}

/* Puts `waiting` into the list and sends its request; takes it out again when that fails. */
static int request_send(struct link *link, struct waiting *waiting, uint16_t name, const json_t *body, const int *fds,
			size_t fd_count, struct err *err)
{
	struct packet *message = packet_make(name, 0, body, fds, fd_count, err);
	struct message_header header;
	int result;

	if (!message)
		return -1;
	(void)pthread_mutex_lock(&link->mutex);
	waiting->request = ++link->requests;
	memcpy(&header, message->bytes, sizeof(header));
	header.request = waiting->request;
	memcpy(message->bytes, &header, sizeof(header));
	waiting->next = link->waiting;
	link->waiting = waiting;
	result = message_put(link, message, err);
	if (result)
		(void)waiting_take(link, waiting->request);
	(void)pthread_mutex_unlock(&link->mutex);
	return result;
}

json_t *link_call(struct link *link, uint16_t name, const json_t *body, const int *fds, size_t fd_count, int64_t timeout_ms,
		  struct err *err)
{
	struct timespec deadline = deadline_after(timeout_ms);
	struct waiting waiting = {0};

	if (request_send(link, &waiting, name, body, fds, fd_count, err))
		return NULL;
	(void)pthread_mutex_lock(&link->mutex);
	while (!waiting.done) {
		if (pthread_cond_timedwait(&link->answered, &link->mutex, &deadline) == ETIMEDOUT && !waiting.done) {
			(void)waiting_take(link, waiting.request);
			(void)err_set(&waiting.err, ERR_RETRY, "no answer to message %u within %lld ms", name,
				      (long long)timeout_ms);
			break;
		}
	}
	(void)pthread_mutex_unlock(&link->mutex);
	if (!waiting.answer && err)
		*err = waiting.err;
	return waiting.answer;
}

int link_ask(struct link *link, uint16_t name, const json_t *body,
	     void (*answered)(void *self, json_t *answer, const struct err *err), void *self, struct err *err)
{
	struct waiting *waiting = mem_new(sizeof(*waiting));

	waiting->answered = answered;
	waiting->self = self;
	if (request_send(link, waiting, name, body, NULL, 0, err)) {
		free(waiting);
		return -1;
	}
	return 0;
}

void link_notify(struct link *link, uint16_t name, const json_t *body)
{
	struct err err;

	if (link_send(link, name, 0, body, NULL, 0, &err) && err.kind != ERR_RETRY)
		log_warn("message %u was dropped: %s", name, err.text);
}

void link_reply(struct link *link, uint16_t name, uint64_t request, const json_t *body, const struct err *failure)
{
	AUTO_JSON answer = body ? json_copy((json_t *)(uintptr_t)body) : json_object();
	struct err err;

	if (!request)
		return;
	(void)json_object_set_new(answer, "ok", json_boolean(!failure));
	if (failure) {
		(void)json_object_set_new(answer, "kind", json_string(err_kind_name(failure->kind)));
		json_set_bytes(answer, "error", view_of(failure->text));
	}
	if (link_send(link, name | NAME_REPLY, request, answer, NULL, 0, &err) && err.kind != ERR_RETRY)
		log_warn("cannot answer message %u: %s", name, err.text);
}
