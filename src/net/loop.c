/*
 * One epoll loop.
 *
 * Theory of operation: epoll_data holds the watch's pointer, which may dangle when the watch was removed by an earlier event of
 * the same batch. So the batch is kept where loop_watch_remove can see it, and removal clears the entries of that watch. Timers
 * are a binary heap of pointers; each timer knows its place.
 */
#include "net/loop.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/scope.h"

#define BATCH_MAX 256

struct task {
	void (*function)(void *self);
	void *self;
};

struct tasks {
	struct task *at;
	size_t count;
	size_t capacity;
};

struct loop {
	int epoll_fd;
	struct loop_watch wake;
	int wake_fd;
	int64_t now_ms;
	uint64_t additions;
	struct loop_timer **timers;
	size_t timer_count;
	size_t timer_capacity;
	struct loop_watch *first; /* before the others; NULL: none */
	struct epoll_event batch[BATCH_MAX];
	int batch_count;
	struct tasks deferred;
	struct tasks running; /* an empty list to take turns with: nothing is allocated in a turn */
	pthread_mutex_t posted_mutex;
	struct tasks posted; /* under posted_mutex */
	atomic_bool stopping;
};

static int64_t monotonic_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void tasks_add(struct tasks *tasks, void (*function)(void *self), void *self)
{
	if (tasks->count == tasks->capacity) {
		tasks->capacity = tasks->capacity ? tasks->capacity * 2 : 16;
		tasks->at = mem_grow(tasks->at, tasks->capacity, sizeof(*tasks->at));
	}
	tasks->at[tasks->count++] = (struct task){function, self};
}

/* Runs what is there; what those functions add waits for the next call. */
static void deferred_run(struct loop *loop)
{
	struct tasks now = loop->deferred;

	loop->deferred = loop->running;
	loop->running = (struct tasks){0};
	for (size_t i = 0; i < now.count; i++)
		now.at[i].function(now.at[i].self);
	now.count = 0;
	loop->running = now;
}

static void posted_run(struct loop *loop)
{
	struct tasks now;

	(void)pthread_mutex_lock(&loop->posted_mutex);
	now = loop->posted;
	loop->posted = (struct tasks){0};
	(void)pthread_mutex_unlock(&loop->posted_mutex);
	for (size_t i = 0; i < now.count; i++)
		now.at[i].function(now.at[i].self);
	free(now.at);
}

static void wake_drain(struct loop_watch *watch, unsigned events)
{
	uint64_t count;

	(void)events;
	(void)!read(watch->fd, &count, sizeof(count));
}

struct loop *loop_new(struct err *err)
{
	struct loop *loop = mem_new(sizeof(*loop));

	(void)pthread_mutex_init(&loop->posted_mutex, NULL);
	loop->now_ms = monotonic_ms();
	loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0 || loop->wake_fd < 0) {
		(void)err_errno(err, errno, "cannot make an event loop");
		loop_free(loop);
		return NULL;
	}
	loop->wake.ready = wake_drain;
	if (loop_watch_add(loop, &loop->wake, loop->wake_fd, LOOP_READ, err)) {
		loop_free(loop);
		return NULL;
	}
	return loop;
}

void loop_drain(struct loop *loop)
{
	posted_run(loop);
	while (loop->deferred.count)
		deferred_run(loop);
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	loop_drain(loop);
	if (loop->epoll_fd >= 0)
		(void)close(loop->epoll_fd);
	if (loop->wake_fd >= 0)
		(void)close(loop->wake_fd);
	(void)pthread_mutex_destroy(&loop->posted_mutex);
	free(loop->posted.at);
	free(loop->deferred.at);
	free(loop->running.at);
	free(loop->timers);
	free(loop);
}

static uint32_t epoll_events(unsigned events)
{
	return (events & LOOP_READ ? (uint32_t)EPOLLIN : 0) | (events & LOOP_WRITE ? (uint32_t)EPOLLOUT : 0);
}

int loop_watch_add(struct loop *loop, struct loop_watch *watch, int fd, unsigned events, struct err *err)
{
	struct epoll_event event = {.events = epoll_events(events), .data = {.ptr = watch}};

	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event))
		return err_errno(err, errno, "cannot watch descriptor %d", fd);
	watch->fd = fd;
	watch->events = events;
	watch->added = ++loop->additions;
	return 0;
}

void loop_watch_set(struct loop *loop, struct loop_watch *watch, unsigned events)
{
	struct epoll_event event = {.events = epoll_events(events), .data = {.ptr = watch}};

	if (!watch->added || watch->events == events)
		return;
	watch->events = events;
	(void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, watch->fd, &event);
}

void loop_watch_remove(struct loop *loop, struct loop_watch *watch)
{
	if (!watch->added)
		return;
	(void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
	watch->added = 0;
	if (loop->first == watch)
		loop->first = NULL;
	for (int i = 0; i < loop->batch_count; i++)
		if (loop->batch[i].data.ptr == watch)
			loop->batch[i].data.ptr = NULL;
}

static void heap_place(struct loop *loop, size_t at, struct loop_timer *timer)
{
	loop->timers[at] = timer;
	timer->place = at + 1;
}

static void heap_up(struct loop *loop, size_t at, struct loop_timer *timer)
{
	while (at > 0 && loop->timers[(at - 1) / 2]->at_ms > timer->at_ms) {
		heap_place(loop, at, loop->timers[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	heap_place(loop, at, timer);
}

static void heap_down(struct loop *loop, size_t at, struct loop_timer *timer)
{
	for (;;) {
		size_t child = at * 2 + 1;

		if (child + 1 < loop->timer_count && loop->timers[child + 1]->at_ms < loop->timers[child]->at_ms)
			child++;
		if (child >= loop->timer_count || loop->timers[child]->at_ms >= timer->at_ms)
			break;
		heap_place(loop, at, loop->timers[child]);
		at = child;
	}
	heap_place(loop, at, timer);
}

void loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t after_ms)
{
	loop_timer_stop(loop, timer);
	if (loop->timer_count == loop->timer_capacity) {
		loop->timer_capacity = loop->timer_capacity ? loop->timer_capacity * 2 : 64;
		loop->timers = mem_grow(loop->timers, loop->timer_capacity, sizeof(struct loop_timer *));
	}
	timer->at_ms = loop->now_ms + (after_ms > 0 ? after_ms : 0);
	heap_up(loop, loop->timer_count++, timer);
}

void loop_timer_stop(struct loop *loop, struct loop_timer *timer)
{
	struct loop_timer *last;
	size_t at;

	if (!timer->place)
		return;
	at = timer->place - 1;
	timer->place = 0;
	last = loop->timers[--loop->timer_count];
	if (last == timer)
		return;
	if (at > 0 && loop->timers[(at - 1) / 2]->at_ms > last->at_ms)
		heap_up(loop, at, last);
	else
		heap_down(loop, at, last);
}

static void timers_run(struct loop *loop)
{
	while (loop->timer_count && loop->timers[0]->at_ms <= loop->now_ms) {
		struct loop_timer *timer = loop->timers[0];

		loop_timer_stop(loop, timer);
		timer->expired(timer);
	}
}

void loop_post(struct loop *loop, void (*function)(void *self), void *self)
{
	static const uint64_t one = 1;
	bool first;

	(void)pthread_mutex_lock(&loop->posted_mutex);
	first = loop->posted.count == 0;
	tasks_add(&loop->posted, function, self);
	(void)pthread_mutex_unlock(&loop->posted_mutex);
	if (first)
		(void)!write(loop->wake_fd, &one, sizeof(one));
}

void loop_defer(struct loop *loop, void (*function)(void *self), void *self)
{
	tasks_add(&loop->deferred, function, self);
}

int64_t loop_now_ms(struct loop *loop)
{
	return loop->now_ms;
}

static int wait_ms(const struct loop *loop)
{
	int64_t wait = -1;

	if (loop->deferred.count)
		return 0;
	if (loop->timer_count) {
		wait = loop->timers[0]->at_ms - monotonic_ms();
		wait = wait < 0 ? 0 : wait > 60000 ? 60000 : wait;
	}
	return (int)wait;
}

void loop_watch_first(struct loop *loop, struct loop_watch *watch)
{
	loop->first = watch;
}

static void batch_run(struct loop *loop)
{
	for (int i = 1; loop->first && i < loop->batch_count; i++) {
		if (loop->batch[i].data.ptr == loop->first) {
			struct epoll_event event = loop->batch[i];

			loop->batch[i] = loop->batch[0];
			loop->batch[0] = event;
		}
	}
	for (int i = 0; i < loop->batch_count; i++) {
		struct loop_watch *watch = loop->batch[i].data.ptr;
		uint32_t got = loop->batch[i].events;
		unsigned events = 0;

		if (!watch)
			continue;
		if (got & EPOLLIN)
			events |= LOOP_READ;
		if (got & EPOLLOUT)
			events |= LOOP_WRITE;
		if (got & (EPOLLERR | EPOLLHUP))
			events |= LOOP_BROKEN;
		watch->ready(watch, events);
	}
	loop->batch_count = 0;
}

void loop_run(struct loop *loop)
{
	while (!atomic_load(&loop->stopping)) {
		int count = epoll_wait(loop->epoll_fd, loop->batch, BATCH_MAX, wait_ms(loop));

		loop->now_ms = monotonic_ms();
		loop->batch_count = count > 0 ? count : 0;
		batch_run(loop);
		posted_run(loop);
		timers_run(loop);
		deferred_run(loop);
	}
}

void loop_stop(struct loop *loop)
{
	static const uint64_t one = 1;

	atomic_store(&loop->stopping, true);
	(void)!write(loop->wake_fd, &one, sizeof(one));
}
