/* Bytes from one to the other. */
#include "relay/pair.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/scope.h"
#include "net/socket.h"

#define READ_BYTES ((size_t)64 << 10)

struct end {
	struct loop_watch watch;
	struct pair *pair;
	int fd;
	struct buf out; /* for it */
	size_t out_at;
	bool ended;    /* it sent its end */
	bool end_sent; /* it was sent the other's */
};

struct pair {
	struct loop *loop;
	struct end ends[2];
	struct loop_timer timer;
	void (*over)(void *self);
	void *self;
	bool closed;
};

static void pair_release(void *self)
{
	struct pair *pair = self;

	for (int i = 0; i < 2; i++)
		buf_fini(&pair->ends[i].out);
	free(pair);
}

void pair_free(struct pair *pair)
{
	if (pair->closed)
		return;
	pair->closed = true;
	loop_timer_stop(pair->loop, &pair->timer);
	for (int i = 0; i < 2; i++) {
		loop_watch_remove(pair->loop, &pair->ends[i].watch);
		scope_close(&pair->ends[i].fd);
	}
	pair->over(pair->self);
	loop_defer(pair->loop, pair_release, pair);
}

static void idle(struct loop_timer *timer)
{
	pair_free((struct pair *)((char *)timer - offsetof(struct pair, timer)));
}

static size_t waiting(const struct end *end)
{
	return end->out.length - end->out_at;
}

/* false: it is broken. */
static bool end_flush(struct end *end, const struct end *other)
{
	while (waiting(end)) {
		ssize_t sent = send(end->fd, end->out.at + end->out_at, waiting(end), MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && (errno == EAGAIN || errno == ENOTCONN)) {
			if (end->out_at >= PAIR_WAITING_MAX) { /* else all that ever passed is kept */
				buf_drop_front(&end->out, end->out_at);
				end->out_at = 0;
			}
			return true;
		}
		if (sent < 0)
			return false;
		end->out_at += (size_t)sent;
	}
	buf_clear(&end->out);
	end->out_at = 0;
	if (other->ended && !end->end_sent) {
		end->end_sent = true;
		(void)shutdown(end->fd, SHUT_WR);
	}
	return true;
}

/* false: it is broken. */
static bool end_read(struct end *end, struct end *other)
{
	char *place = buf_reserve(&other->out, READ_BYTES);
	ssize_t got = place ? recv(end->fd, place, READ_BYTES, 0) : 0;

	if (got < 0)
		return errno == EAGAIN || errno == EINTR;
	end->ended = got == 0;
	buf_commit(&other->out, (size_t)got);
	return true;
}

static void pair_watch(struct pair *pair)
{
	for (int i = 0; i < 2; i++) {
		struct end *end = &pair->ends[i];
		unsigned events = waiting(end) ? LOOP_WRITE : 0;

		if (!end->ended && waiting(&pair->ends[!i]) < PAIR_WAITING_MAX)
			events |= LOOP_READ;
		if (end->watch.added)
			loop_watch_set(pair->loop, &end->watch, events);
		else if ((events & LOOP_READ) && loop_watch_add(pair->loop, &end->watch, end->fd, events, NULL))
			end->ended = true; /* no memory for it: nothing more comes from there */
	}
}

static void end_ready(struct loop_watch *watch, unsigned events)
{
	struct end *end = (struct end *)((char *)watch - offsetof(struct end, watch));
	struct pair *pair = end->pair;
	struct end *other = &pair->ends[end == &pair->ends[0]];
	bool good = true;

	if ((events & LOOP_BROKEN) && !(events & LOOP_READ)) {
		/* Closed in both directions is no error: what it sent may still wait to be read, when there is room for it. */
		good = !socket_error(end->fd);
		loop_watch_remove(pair->loop, &end->watch);
	}
	if (good && (events & LOOP_READ))
		good = end_read(end, other);
	good = good && end_flush(other, end) && end_flush(end, other);
	if (!good || (end->end_sent && other->end_sent)) {
		pair_free(pair);
		return;
	}
	loop_timer_set(pair->loop, &pair->timer, pair->ends[1].ended ? PAIR_REST_MS : PAIR_IDLE_MS);
	pair_watch(pair);
}

struct pair *pair_new(struct loop *loop, const int fds[2], const struct view first[2], void (*over)(void *self), void *self,
		      struct err *err)
{
	struct pair *pair = mem_new(sizeof(*pair));

	*pair = (struct pair){.loop = loop, .timer = {.expired = idle}, .over = over, .self = self};
	for (int i = 0; i < 2; i++) {
		pair->ends[i] = (struct end){
			.pair = pair, .watch = {.ready = end_ready}, .fd = fds[i], .out = buf_new(SIZE_MAX / 4)};
		buf_add_view(&pair->ends[i].out, first[i]);
	}
	for (int i = 0; i < 2; i++) {
		if (!loop_watch_add(loop, &pair->ends[i].watch, fds[i], LOOP_READ | LOOP_WRITE, err))
			continue;
		pair_free(pair);
		return NULL;
	}
	loop_timer_set(loop, &pair->timer, PAIR_IDLE_MS);
	return pair;
}
