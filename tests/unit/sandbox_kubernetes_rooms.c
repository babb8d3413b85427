/* What becomes of a cluster's rooms when their end and what is asked of them meet: the loop's thread is played by the test. */
#include "sandbox/kubernetes/cluster_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/scope.h"

static struct cluster cluster;

static const struct mux_use deaf = {0};

/* Linked, and held by the loop and by the test. */
static struct room *room_linked(void)
{
	struct room *room = mem_new(sizeof(*room));
	struct err err = {0};

	cluster = (struct cluster){.mutex = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP, .changed = PTHREAD_COND_INITIALIZER};
	cluster.loop = loop_new(&err);
	assert_non_null(cluster.loop);
	*room = (struct room){.cluster = &cluster, .users = 2, .linked = true};
	room->mux = mux_new(cluster.loop, &deaf);
	cluster.rooms = room;
	return room;
}

static void room_end(struct room *room)
{
	assert_int_equal(room->users, 1);
	pod_room_unuse(room);
	loop_free(cluster.loop);
}

static void a_terminal_of_a_room_that_is_removed_is_not_looked_at_any_more(void **state)
{
	struct room *room = room_linked();

	(void)state;
	pod_room_remove(room);
	pod_room_sizes_post(room);
	assert_int_equal(room->users, 3); /* whoever started it may be done with it first */
	loop_drain(cluster.loop);
	assert_int_equal(room->sizes.place, 0);
	room_end(room);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_terminal_of_a_room_that_is_removed_is_not_looked_at_any_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
