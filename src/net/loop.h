/*
 * loop: one epoll loop. File descriptors are watched level-triggered, timers are one-shot, and other threads reach the loop only
 * by loop_post().
 *
 * Watches and timers are embedded in their owners and never allocated here; they must be removed before the owner is freed. A
 * watch that is removed while its turn runs gets no further event of that turn, so an owner may remove and free anything of its
 * own, or of others, inside a callback. Callbacks must not block. All functions but loop_post and loop_stop belong to the
 * thread that runs the loop (or to the only thread, before it runs).
 */
#ifndef ASSAY_NET_LOOP_H
#define ASSAY_NET_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct loop;

#define LOOP_READ 1u
#define LOOP_WRITE 2u
#define LOOP_BROKEN 4u /* only reported, never asked for: the peer reset, or both directions are closed */

struct loop_watch {
	void (*ready)(struct loop_watch *watch, unsigned events); /* set before loop_watch_add */
	int fd;
	unsigned events; /* what is asked for now */
	uint64_t added;  /* internal: tells a stale event from a fresh one; 0 when not added */
};

struct loop_timer {
	void (*expired)(struct loop_timer *timer); /* set before loop_timer_set */
	int64_t at_ms;
	size_t place; /* internal: 1 + index in the heap, 0 when not set */
};

struct loop *loop_new(struct err *err);
void loop_free(struct loop *loop); /* posted functions that have not run are run first; NULL is fine */

/* The descriptor stays the caller's. Zero `events` is allowed (only LOOP_BROKEN is reported then). */
MUST_USE int loop_watch_add(struct loop *loop, struct loop_watch *watch, int fd, unsigned events, struct err *err);
void loop_watch_set(struct loop *loop, struct loop_watch *watch, unsigned events); /* no system call when nothing changes */
void loop_watch_remove(struct loop *loop, struct loop_watch *watch);               /* not added: nothing happens */

/* What it is told of is handled before all else that a turn of the loop brings; one watch, which was added. */
void loop_watch_first(struct loop *loop, struct loop_watch *watch);
/* Runs `expired` once, not before after_ms from now; setting again moves it. */
void loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t after_ms);
void loop_timer_stop(struct loop *loop, struct loop_timer *timer);

/* Runs `function` on the loop's thread, in order of posting. Any thread; never blocks. */
void loop_post(struct loop *loop, void (*function)(void *self), void *self);
/* Runs `function` at the end of this turn, when no event of it is left: where objects are freed. */
void loop_defer(struct loop *loop, void (*function)(void *self), void *self);

int64_t loop_now_ms(struct loop *loop); /* monotonic, read once a turn */
void loop_run(struct loop *loop);       /* until loop_stop */
void loop_stop(struct loop *loop);      /* any thread, any number of times */
void loop_drain(struct loop *loop);     /* runs what was posted: for the end, when no thread runs the loop any more */

#endif
