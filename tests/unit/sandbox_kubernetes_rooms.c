/* What becomes of a cluster's rooms when their end and what is asked of them meet: the loop's thread is played by the test. */
#include "sandbox/kubernetes/cluster_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/scope.h"
#include "net/door.h"
#include "net/socket.h"

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
	room_door_init(room);
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

/* ---- doors: the gateway is played by the test, and so is a pod that cannot be believed ---- */

/* The gateway's end of the room's door. */
static int door_of(struct room *room)
{
	const struct door_request listeners = {.ask = DOOR_LISTENERS};
	struct door_reply reply = {0};
	struct err err = {0};
	int fd = -1;

	assert_int_equal(cluster_sandbox_door(&cluster, (struct env_id){""}, "", &fd, &err), 0);
	loop_drain(cluster.loop);
	assert_int_equal(send(fd, &listeners, sizeof(listeners), 0), sizeof(listeners));
	room_door_serve(room);
	assert_int_equal(recv(fd, &reply, sizeof(reply), 0), sizeof(reply));
	assert_int_equal(reply.ask, DOOR_BY_FLOW);
	return fd;
}

/* What the pod says it opened: `length` bytes of these numbers. */
static void pod_opens(struct room *room, uint32_t id, const uint32_t fields[4], size_t length)
{
	AUTO_BUF body = buf_new(64);

	for (size_t i = 0; i < 4; i++)
		strand_put_u32(&body, fields[i]);
	room_door_opened(room, id, view_make(body.at, length));
}

/* The gateway is given nothing. */
static void assert_quiet(int door)
{
	char byte;

	assert_int_equal(recv(door, &byte, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
}

static int flow_taken(int door, struct door_flow *flow)
{
	int fd = -1;

	assert_int_equal(socket_take(door, flow, sizeof(*flow), &fd), sizeof(*flow));
	assert_true(fd >= 0);
	return fd;
}

static void what_a_pod_may_not_open_never_comes_to_the_gateway(void **state)
{
	static const struct {
		uint32_t id;
		uint32_t fields[4];
		size_t length;
	} rows[] = {
		{0, {DOOR_FLOW_CONNECT, 0x7f120002, 3128}, 12}, /* an id of ours: a program's stream could have it */
		{LINK_ID_OPEN - 1, {DOOR_FLOW_CONNECT, 0x7f120002, 3128}, 12},
		{LINK_ID_MAX, {DOOR_FLOW_CONNECT, 0x7f120002, 3128}, 12},
		{UINT32_MAX, {DOOR_FLOW_CONNECT, 0x7f120002, 3128}, 12},
		{LINK_ID_OPEN, {0, 0x7f120002, 3128}, 12},
		{LINK_ID_OPEN, {DOOR_FLOW_DNS + 1, 0x7f120002, 3128}, 12},
		{LINK_ID_OPEN, {DOOR_FLOW_CONNECT, 0x7f120002, 0}, 12},
		{LINK_ID_OPEN, {DOOR_FLOW_CONNECT, 0x7f120002, 65536}, 12},
		{LINK_ID_OPEN, {DOOR_FLOW_CONNECT, 0x7f120002, 3128}, 0},
		{LINK_ID_OPEN, {DOOR_FLOW_CONNECT, 0x7f120002, 3128}, 11},
		{LINK_ID_OPEN, {DOOR_FLOW_CONNECT, 0x7f120002, 3128, 1}, 16},
	};
	struct room *room = room_linked();
	int door = door_of(room);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t kept = mux_kept_bytes(room->mux);

		pod_opens(room, rows[i].id, rows[i].fields, rows[i].length);
		assert_quiet(door);
		assert_int_equal(mux_kept_bytes(room->mux) - kept,
				 2 * MUX_FRAME_COST); /* it is told: an end, and that nothing is taken */
		assert_int_equal(room->door.opens.count, 0);
	}
	pod_room_remove(room);
	loop_drain(cluster.loop);
	(void)close(door);
	room_end(room);
}

static void a_pod_has_so_many_connections_and_each_once(void **state)
{
	static const uint32_t fields[4] = {DOOR_FLOW_CONNECT, 0x7f120002, 3128};
	struct room *room = room_linked();
	int door = door_of(room);
	int taken[LINK_OPENS_MAX];
	struct door_flow flow;

	(void)state;
	for (uint32_t i = 0; i < LINK_OPENS_MAX; i++) {
		pod_opens(room, LINK_ID_OPEN + i, fields, 12);
		taken[i] = flow_taken(door, &flow);
		assert_int_equal(flow.kind, DOOR_FLOW_CONNECT);
		assert_int_equal(flow.address, 0x7f120002);
		assert_int_equal(flow.port, 3128);
		pod_opens(room, LINK_ID_OPEN + i, fields, 12); /* again */
		assert_quiet(door);
	}
	pod_opens(room, LINK_ID_OPEN + LINK_OPENS_MAX, fields, 12);
	assert_quiet(door);
	assert_int_equal(room->door.opens.count, LINK_OPENS_MAX);
	/* The room ends: so does all that the gateway has of it. */
	pod_room_lose(room, "it is lost");
	loop_drain(cluster.loop);
	for (size_t i = 0; i < LINK_OPENS_MAX; i++) {
		char byte;

		assert_int_equal(recv(taken[i], &byte, 1, MSG_DONTWAIT), 0);
		(void)close(taken[i]);
	}
	assert_int_equal(recv(door, &flow, sizeof(flow), MSG_DONTWAIT), 0);
	(void)close(door);
	pod_room_remove(room);
	loop_drain(cluster.loop);
	room_end(room);
}

static void without_a_gateway_nothing_goes_anywhere(void **state)
{
	static const uint32_t fields[4] = {DOOR_FLOW_CONNECT, 0x7f120002, 3128};
	struct room *room = room_linked();
	int door = door_of(room);

	(void)state;
	(void)close(door);
	room_door_serve(room);
	assert_int_equal(room->door.fd, -1);
	pod_opens(room, LINK_ID_OPEN, fields, 12);
	assert_int_equal(room->door.opens.count, 0);
	assert_false(mux_stream_is(room->mux, LINK_STREAM(LINK_ID_OPEN, 0)));
	door = door_of(room); /* one that was started again */
	pod_opens(room, LINK_ID_OPEN, fields, 12);
	(void)close(flow_taken(door, &(struct door_flow){0}));
	(void)close(door);
	pod_room_remove(room);
	loop_drain(cluster.loop);
	room_end(room);
}

/* Answers to dials come in any order, and one that nobody waits for is told so. */
static void dials_are_answered_by_their_serials(void **state)
{
	struct room *room = room_linked();
	int door = door_of(room);
	struct door_reply reply;
	uint32_t first;
	int fd = -1;

	(void)state;
	for (uint32_t i = 0; i < POD_DIALS_MAX + 1; i++) {
		const struct door_dial dial = {.ask = DOOR_DIAL, .serial = 100 + i, .port = 8080};

		assert_int_equal(send(door, &dial, sizeof(dial), 0), sizeof(dial));
		room_door_serve(room);
	}
	assert_int_equal(recv(door, &reply, sizeof(reply), 0), sizeof(reply)); /* one too many */
	assert_int_equal(reply.count, 100 + POD_DIALS_MAX);
	assert_int_equal(reply.errno_value, EAGAIN);
	first = room->last_id - POD_DIALS_MAX + 1;
	assert_true(room_door_dialled(room, first + 1, ECONNREFUSED));
	assert_int_equal(recv(door, &reply, sizeof(reply), 0), sizeof(reply));
	assert_int_equal(reply.count, 101);
	assert_int_equal(reply.errno_value, ECONNREFUSED);
	assert_true(room_door_dialled(room, first, 0));
	assert_int_equal(socket_take(door, &reply, sizeof(reply), &fd), sizeof(reply));
	assert_int_equal(reply.count, 100);
	assert_true(fd >= 0);
	assert_false(room_door_dialled(room, first, 0)); /* twice */
	assert_false(room_door_dialled(room, first + POD_DIALS_MAX + 7, 0));
	assert_quiet(door);
	pod_room_lose(room, "it is lost");
	loop_drain(cluster.loop);
	assert_int_equal(recv(fd, &reply, 1, MSG_DONTWAIT), 0);
	(void)close(fd);
	(void)close(door);
	pod_room_remove(room);
	loop_drain(cluster.loop);
	room_end(room);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_terminal_of_a_room_that_is_removed_is_not_looked_at_any_more),
		cmocka_unit_test(what_a_pod_may_not_open_never_comes_to_the_gateway),
		cmocka_unit_test(a_pod_has_so_many_connections_and_each_once),
		cmocka_unit_test(without_a_gateway_nothing_goes_anywhere),
		cmocka_unit_test(dials_are_answered_by_their_serials),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
