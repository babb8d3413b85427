/* What a link keeps for another end that does not take it: streams wait, and who lets everything grow is given up. The other end is a thread of the test. */
#include "sandbox/link/opens.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/scope.h"

#define NAME "link.test"
#define PIECE ((size_t)1 << 20)
#define STREAMS 100
#define STREAM_BYTES ((size_t)200 << 10) /* within a window */

static char folder[] = "/tmp/assay-mux-XXXXXX";
static struct buf identity;

/* ---- the other end ---- */

struct peer {
	pthread_t thread;
	struct loop *loop;
	struct tls_side *side;
	struct strand *strand;
	struct mux *mux;
	int fd;
	int wakes; /* -1: it takes what comes; else it reads no more after its welcome until this one ends */
};

static void on_peer_message(void *self, unsigned kind, uint32_t id, struct view body)
{
	(void)self;
	(void)kind;
	(void)id;
	(void)body;
}

static void on_peer_gone(void *self, const char *why)
{
	(void)why;
	loop_stop(((struct peer *)self)->loop);
}

static void on_peer_hello(void *self, struct strand *strand, unsigned kind, uint32_t id, struct view body)
{
	const struct mux_use use = {.message = on_peer_message, .lost = on_peer_gone, .self = self};
	struct peer *peer = self;
	char byte;

	(void)id;
	(void)body;
	if (kind != LINK_HELLO) {
		(void)!read(peer->wakes, &byte, 1);
		loop_stop(peer->loop);
		return;
	}
	strand_send(strand, LINK_WELCOME, 0, VIEW(""));
	if (peer->wakes >= 0)
		return;
	peer->mux = mux_new(peer->loop, &use);
	peer->strand = NULL;
	assert_int_equal(mux_attach(peer->mux, strand, 0, NULL), 0);
}

static void on_peer_lost(void *self, struct strand *strand, const char *why)
{
	(void)strand;
	on_peer_gone(self, why);
}

static const struct strand_use peer_use = {.frame = on_peer_hello, .lost = on_peer_lost};

static void *peer_main(void *self)
{
	struct peer *peer = self;

	peer->strand = strand_new(peer->loop, tls_accept(peer->side, peer->fd, NULL, NULL, VIEW(""), 0), peer->fd, &peer_use, peer);
	loop_run(peer->loop);
	strand_free(peer->strand);
	mux_free(peer->mux);
	loop_free(peer->loop);
	tls_side_free(peer->side);
	return NULL;
}

/* ---- this end ---- */

struct stage {
	struct peer peer;
	struct loop *loop;
	struct tls_side *side;
	struct mux *mux;
	struct strand *strand;
	struct loop_timer timer;
	size_t sent;
	int losses;
	int wakes;
	char why[64];
};

static void on_message(void *self, unsigned kind, uint32_t id, struct view body)
{
	on_peer_message(self, kind, id, body);
}

static void on_lost(void *self, const char *why)
{
	struct stage *stage = self;

	stage->losses++;
	(void)snprintf(stage->why, sizeof(stage->why), "%s", why);
	loop_stop(stage->loop);
}

static void on_strand_lost(void *self, struct strand *strand, const char *why)
{
	struct stage *stage = self;

	strand_free(strand);
	stage->strand = NULL;
	on_lost(self, why);
}

static void stage_open(struct stage *stage)
{
	const struct mux_use use = {.message = on_message, .lost = on_lost, .self = stage};
	struct err err = {0};

	*stage = (struct stage){.wakes = -1};
	stage->loop = loop_new(&err);
	assert_non_null(stage->loop);
	stage->mux = mux_new(stage->loop, &use);
}

static void stage_close(struct stage *stage)
{
	strand_free(stage->strand);
	mux_free(stage->mux);
	loop_drain(stage->loop);
	if (stage->peer.loop) {
		if (stage->wakes >= 0)
			(void)close(stage->wakes);
		assert_int_equal(pthread_join(stage->peer.thread, NULL), 0);
	}
	if (stage->peer.wakes > 0)
		(void)close(stage->peer.wakes);
	loop_free(stage->loop);
	tls_side_free(stage->side);
}

/* A strand of this end's, to another that takes what comes, or does not. */
static void peer_begin(struct stage *stage, bool takes, const struct strand_use *use)
{
	AUTO_FREE char *authority = text_format("%s/link.pem", folder);
	int pair[2], wakes[2] = {-1, -1};
	struct err err = {0};

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	if (!takes)
		assert_int_equal(pipe(wakes), 0);
	stage->wakes = wakes[1];
	stage->peer = (struct peer){.fd = pair[1], .wakes = wakes[0], .loop = loop_new(&err)};
	assert_int_equal(tls_server_new(&stage->peer.side, &err), 0);
	assert_int_equal(tls_server_identity(stage->peer.side, buf_view(&identity), NAME, &err), 0);
	assert_int_equal(tls_client_new(authority, &stage->side, &err), 0);
	assert_int_equal(pthread_create(&stage->peer.thread, NULL, peer_main, &stage->peer), 0);
	stage->strand = strand_new(stage->loop, tls_connect(stage->side, pair[0], NAME, 0, NULL), pair[0], use, stage);
	strand_send(stage->strand, LINK_HELLO, 0, VIEW(""));
}

/* ---- what is promised ---- */

static void piece_send(struct stage *stage)
{
	AUTO_FREE char *piece = mem_new(PIECE);

	strand_send(stage->strand, LINK_RESIZE, 1, view_make(piece, PIECE));
	stage->sent += PIECE;
}

static void on_more(struct loop_timer *timer)
{
	struct stage *stage = (struct stage *)(void *)((char *)timer - offsetof(struct stage, timer));

	piece_send(stage);
	if (stage->sent < 4 * STRAND_WAITING_MAX)
		loop_timer_set(stage->loop, &stage->timer, 1);
	else
		loop_stop(stage->loop);
}

static void on_welcome_pour(void *self, struct strand *strand, unsigned kind, uint32_t id, struct view body)
{
	struct stage *stage = self;

	(void)strand;
	(void)id;
	(void)body;
	assert_int_equal(kind, LINK_WELCOME);
	stage->timer.expired = on_more;
	loop_timer_set(stage->loop, &stage->timer, 1);
}

static void who_does_not_read_loses_the_connection(void **state)
{
	const struct strand_use use = {.frame = on_welcome_pour, .lost = on_strand_lost};
	struct stage stage;

	(void)state;
	stage_open(&stage);
	peer_begin(&stage, false, &use);
	loop_run(stage.loop);
	loop_timer_stop(stage.loop, &stage.timer);
	assert_int_equal(stage.losses, 1);
	assert_string_equal(stage.why, "the other end does not read");
	assert_true(stage.sent < STRAND_WAITING_MAX + 4 * PIECE); /* and what the socket holds */
	stage_close(&stage);
}

static void messages_that_are_never_taken_end_the_link_for_good(void **state)
{
	AUTO_FREE char *piece = mem_new(PIECE);
	struct err err = {0};
	struct stage stage;

	(void)state;
	stage_open(&stage);
	for (size_t i = 0; i < 2 * MUX_KEPT_MAX / PIECE; i++) {
		mux_send(stage.mux, LINK_RESIZE, 1, view_make(piece, PIECE));
		assert_true(mux_kept_bytes(stage.mux) <= MUX_KEPT_MAX);
	}
	assert_int_equal(stage.losses, 0); /* not from within a call of ours */
	loop_drain(stage.loop);
	assert_int_equal(stage.losses, 1);
	assert_true(mux_over(stage.mux));
	assert_int_equal(mux_attach(stage.mux, NULL, 0, &err), -1);
	assert_int_equal(err.kind, ERR_LIMIT);
	mux_reset(stage.mux);
	assert_false(mux_over(stage.mux));
	assert_int_equal(mux_kept_bytes(stage.mux), 0);
	stage_close(&stage);
}

static void on_welcome_attach(void *self, struct strand *strand, unsigned kind, uint32_t id, struct view body)
{
	struct stage *stage = self;

	(void)kind;
	(void)id;
	(void)body;
	stage->strand = NULL;
	assert_int_equal(mux_attach(stage->mux, strand, 0, NULL), 0);
}

static bool all_read(const struct stage *stage)
{
	int64_t ignored = 0;

	for (uint32_t i = 0; i < STREAMS; i++)
		if (mux_stream_read(stage->mux, i, &ignored) >= 0)
			return false;
	return mux_kept_bytes(stage->mux) == 0;
}

static void on_look(struct loop_timer *timer)
{
	struct stage *stage = (struct stage *)(void *)((char *)timer - offsetof(struct stage, timer));

	if (all_read(stage))
		loop_stop(stage->loop);
	else
		loop_timer_set(stage->loop, &stage->timer, 10);
}

static void streams_wait_while_much_is_kept_and_go_on_when_it_was_taken(void **state)
{
	const struct strand_use use = {.frame = on_welcome_attach, .lost = on_strand_lost};
	AUTO_FREE char *bytes = mem_new(STREAM_BYTES);
	struct stage stage;

	(void)state;
	stage_open(&stage);
	for (uint32_t i = 0; i < STREAMS; i++) {
		int pair[2];

		if (i % 2) { /* a file, and a socket whose other end has gone */
			mux_stream(stage.mux, i, file_anonymous(view_make(bytes, STREAM_BYTES), NULL), -1);
			continue;
		}
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
		assert_true(send(pair[1], bytes, STREAM_BYTES, MSG_DONTWAIT) > 0);
		(void)close(pair[1]);
		mux_stream(stage.mux, i, pair[0], -1);
	}
	assert_true(mux_kept_bytes(stage.mux) < MUX_KEPT_HIGH + ((size_t)64 << 10));
	assert_false(all_read(&stage));
	stage.timer.expired = on_look;
	loop_timer_set(stage.loop, &stage.timer, 0);
	peer_begin(&stage, true, &use);
	loop_run(stage.loop);
	assert_int_equal(stage.losses, 0);
	assert_true(all_read(&stage));
	stage_close(&stage);
}

/* ---- begin ---- */

static void connections_are_counted_and_no_id_is_used_twice(void **state)
{
	const struct mux_use use = {.message = on_peer_message, .lost = on_peer_gone};
	struct loop *loop = loop_new(NULL);
	struct mux *mux = mux_new(loop, &use);
	struct link_opens ours = {0}, theirs = {0};
	uint32_t first = link_opens_new(&ours);
	int pair[2];

	(void)state;
	assert_non_null(loop);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_true(link_is_open(first));
	assert_false(link_is_open(LINK_ID_OPEN - 1));
	assert_false(link_is_open(LINK_ID_MAX));
	for (size_t i = 1; i < LINK_OPENS_MAX; i++)
		assert_true(link_opens_add(&theirs, link_opens_new(&ours)));
	assert_int_equal(link_opens_new(&ours), 0);
	assert_true(link_opens_add(&theirs, first));
	assert_false(link_opens_add(&theirs, first));
	assert_false(link_opens_add(&theirs, LINK_ID_MAX - 1));
	/* One that has a stream stays until that has ended; one that never had one goes when it is looked at. */
	mux_stream(mux, LINK_STREAM(first, 0), pair[0], -1);
	link_opens_moved(&ours, mux, first);
	assert_int_equal(ours.count, LINK_OPENS_MAX);
	link_opens_moved(&ours, mux, first + 1);
	assert_int_equal(ours.count, LINK_OPENS_MAX - 1);
	assert_int_not_equal(link_opens_new(&ours), 0);
	link_opens_drop(&ours, mux);
	assert_int_equal(ours.count, 0);
	assert_false(mux_stream_is(mux, LINK_STREAM(first, 0)));
	/* At the end of the range it begins again, past those that are in use. */
	ours = (struct link_opens){.ids = {LINK_ID_OPEN}, .count = 1, .last = LINK_ID_MAX - 1};
	assert_int_equal(link_opens_new(&ours), LINK_ID_OPEN + 1);
	mux_free(mux);
	(void)close(pair[1]);
	loop_free(loop);
}

static void pem_read(const char *name)
{
	AUTO_FREE char *path = text_format("%s/%s", folder, name);

	assert_int_equal(file_read(path, &identity, NULL), 0);
}

static int begin(void **state)
{
	AUTO_FREE char *line = NULL;

	(void)state;
	assert_non_null(mkdtemp(folder));
	line = text_format(
		"cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout link.key -out link.pem "
		"-subj /CN=" NAME " -addext subjectAltName=DNS:" NAME " -days 2 2>/dev/null",
		folder);
	assert_int_equal(system(line), 0);
	identity = buf_new(65536);
	pem_read("link.pem");
	pem_read("link.key");
	return 0;
}

static int end(void **state)
{
	(void)state;
	buf_fini(&identity);
	return file_remove_tree(folder, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_does_not_read_loses_the_connection),
		cmocka_unit_test(messages_that_are_never_taken_end_the_link_for_good),
		cmocka_unit_test(streams_wait_while_much_is_kept_and_go_on_when_it_was_taken),
		cmocka_unit_test(connections_are_counted_and_no_id_is_used_twice),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
