/* The loop: watches, timers, functions from other threads; and the pool beside it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/scope.h"
#include "net/loop.h"
#include "net/pool.h"

struct end {
	struct loop_watch watch;
	struct loop *loop;
	struct end *other;
	int events;
};

static void end_ready(struct loop_watch *watch, unsigned events)
{
	struct end *end = (struct end *)watch;
	char byte;

	end->events++;
	if (events & LOOP_READ)
		(void)!read(watch->fd, &byte, 1);
	/* Whoever comes first removes both: the other one's event of the same turn must not arrive. */
	loop_watch_remove(end->loop, &end->watch);
	loop_watch_remove(end->loop, &end->other->watch);
	loop_stop(end->loop);
}

static void a_watch_removed_within_a_turn_gets_no_event_of_it(void **state)
{
	struct loop *loop = loop_new(NULL);
	struct end ends[2] = {0};
	int a[2], b[2];

	(void)state;
	assert_int_equal(pipe(a) | pipe(b), 0);
	assert_int_equal(write(a[1], "x", 1) + write(b[1], "x", 1), 2);
	for (int i = 0; i < 2; i++) {
		ends[i] = (struct end){.watch = {.ready = end_ready}, .loop = loop, .other = &ends[!i]};
		assert_int_equal(loop_watch_add(loop, &ends[i].watch, i ? b[0] : a[0], LOOP_READ, NULL), 0);
	}
	loop_run(loop);
	assert_int_equal(ends[0].events + ends[1].events, 1);
	loop_free(loop);
	(void)(close(a[0]) + close(a[1]) + close(b[0]) + close(b[1]));
}

struct alarm {
	struct loop_timer timer;
	struct loop *loop;
	char name;
	char *order;
};

static void alarm_expired(struct loop_timer *timer)
{
	struct alarm *alarm = (struct alarm *)timer;
	size_t length = strlen(alarm->order);

	alarm->order[length] = alarm->name;
	if (alarm->name == 'z')
		loop_stop(alarm->loop);
}

static void timers_expire_in_order_and_can_be_moved_and_stopped(void **state)
{
	static const int64_t after[] = {30, 5, 20, 10, 25, 15};
	struct loop *loop = loop_new(NULL);
	struct alarm alarms[ARRAY_LEN(after)];
	char order[16] = "";
	struct alarm last = {.timer = {.expired = alarm_expired}, .loop = loop, .name = 'z', .order = order};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(after); i++) {
		alarms[i] = (struct alarm){
			.timer = {.expired = alarm_expired}, .loop = loop, .name = (char)('a' + i), .order = order};
		loop_timer_set(loop, &alarms[i].timer, after[i]);
	}
	loop_timer_set(loop, &last.timer, 60);
	loop_timer_set(loop, &alarms[1].timer, 40); /* b moves behind a */
	loop_timer_stop(loop, &alarms[3].timer);    /* d never comes */
	loop_timer_stop(loop, &alarms[3].timer);
	loop_run(loop);
	assert_string_equal(order, "fceabz");
	loop_free(loop);
}

#define POSTS 20000

struct counted {
	struct loop *loop;
	int count; /* on the loop's thread only */
};

static void count_one(void *self)
{
	struct counted *counted = self;

	if (++counted->count == POSTS * 2)
		loop_stop(counted->loop);
}

static void *poster_main(void *self)
{
	struct counted *counted = self;

	for (int i = 0; i < POSTS; i++)
		loop_post(counted->loop, count_one, counted);
	return NULL;
}

static void functions_posted_by_threads_all_run_on_the_loop(void **state)
{
	struct counted counted = {.loop = loop_new(NULL)};
	pthread_t threads[2];

	(void)state;
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, poster_main, &counted), 0);
	loop_run(counted.loop);
	for (int i = 0; i < 2; i++)
		(void)pthread_join(threads[i], NULL);
	assert_int_equal(counted.count, POSTS * 2);
	loop_free(counted.loop);
}

static void add_one(void *self)
{
	atomic_fetch_add((atomic_int *)self, 1);
	usleep(1000);
}

static void a_pool_runs_what_it_took_and_refuses_what_is_too_much(void **state)
{
	struct pool *pool = pool_new(2, 10, NULL);
	atomic_int ran = 0;
	int taken = 0;

	(void)state;
	for (int i = 0; i < 100; i++)
		taken += pool_add(pool, add_one, &ran);
	assert_in_range(taken, 10, 99);
	pool_free(pool);
	assert_int_equal(atomic_load(&ran), taken);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_watch_removed_within_a_turn_gets_no_event_of_it),
		cmocka_unit_test(timers_expire_in_order_and_can_be_moved_and_stopped),
		cmocka_unit_test(functions_posted_by_threads_all_run_on_the_loop),
		cmocka_unit_test(a_pool_runs_what_it_took_and_refuses_what_is_too_much),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
