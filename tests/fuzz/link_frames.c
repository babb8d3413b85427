/*
 * What a pod may say on its link, from its first byte: frames however they are cut, the hello, and everything that a mux makes of what follows. The
 * session of TLS is replaced by the input, read in pieces; the same bytes in other pieces are the same messages.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "net/tls.h"

struct input {
	struct view rest;
	size_t piece;
};
static struct input input;

static enum tls_result input_handshake(struct tls *tls, struct err *err)
{
	(void)tls;
	(void)err;
	return TLS_DONE;
}
static ssize_t input_read(struct tls *tls, char *at, size_t length)
{
	size_t count = input.rest.length < input.piece ? input.rest.length : input.piece;

	(void)tls;
	count = count < length ? count : length;
	if (count)
		memcpy(at, input.rest.at, count);
	input.rest = view_make(input.rest.at + count, input.rest.length - count);
	return (ssize_t)count;
}
static void input_readable(struct tls *tls)
{
	(void)tls;
}
static bool input_write(struct tls *tls, struct view bytes)
{
	(void)tls;
	(void)bytes;
	return true;
}
static bool input_flush(struct tls *tls)
{
	(void)tls;
	return true;
}
static size_t input_waiting(const struct tls *tls)
{
	(void)tls;
	return 0;
}

#define tls_handshake input_handshake
#define tls_read input_read
#define tls_readable input_readable
#define tls_write input_write
#define tls_flush input_flush
#define tls_waiting input_waiting
#define tls_end input_readable
#define tls_free input_readable
#include "sandbox/link/strand.c"

#include "sandbox/link/mux.h"

#define STREAMS 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct end {
	struct loop *loop;
	struct strand *strand; /* until the mux has it */
	struct mux *mux;
	uint64_t heard; /* of all messages: their kinds, ids and bodies */
};

static void on_message(void *self, unsigned kind, uint32_t id, struct view body)
{
	struct end *end = self;

	end->heard = end->heard * 1099511628211u + kind;
	end->heard = end->heard * 1099511628211u + id;
	end->heard = end->heard * 1099511628211u + view_hash(body);
	if (kind == LINK_EXIT) /* as the control plane does with what it knows */
		for (uint32_t i = 0; i < STREAMS; i++)
			mux_stream_drop(end->mux, LINK_STREAM(id, i));
	else
		mux_send(end->mux, LINK_REPLY, id, body);
}

static void on_mux_lost(void *self, const char *why)
{
	(void)why;
	loop_stop(((struct end *)self)->loop);
}

static void on_lost(void *self, struct strand *strand, const char *why)
{
	(void)strand;
	on_mux_lost(self, why);
}

static void streams_make(struct end *end)
{
	for (uint32_t i = 0; i < STREAMS; i++) {
		int pair[2];

		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
			abort();
		/* The far end of every other one is gone already. */
		if (i % 2)
			(void)close(pair[1]);
		mux_stream(end->mux, LINK_STREAM(1, i), i % 2 ? -1 : pair[1], fcntl(pair[0], F_DUPFD_CLOEXEC, 0));
		(void)close(pair[0]);
	}
}

static void on_hello(void *self, struct strand *strand, unsigned kind, uint32_t id, struct view body)
{
	struct end *end = self;

	(void)id;
	if (kind != LINK_HELLO) {
		loop_stop(end->loop);
		return;
	}
	if (mux_attach(end->mux, strand, strand_u64(body, 0), NULL)) {
		loop_stop(end->loop);
		return;
	}
	end->strand = NULL;
}

static uint64_t talk(struct view bytes, size_t piece)
{
	static const struct strand_use use = {.frame = on_hello, .lost = on_lost};
	struct end end = {.loop = loop_new(NULL)};
	const struct mux_use mux_use = {.message = on_message, .lost = on_mux_lost, .self = &end};
	int pair[2];

	if (!end.loop || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) || write(pair[1], "x", 1) != 1)
		abort();
	input = (struct input){bytes, piece};
	end.mux = mux_new(end.loop, &mux_use);
	streams_make(&end);
	end.strand = strand_new(end.loop, NULL, pair[0], &use, &end);
	loop_run(end.loop);
	assert(mux_kept_bytes(end.mux) <= MUX_KEPT_MAX + STRAND_BODY_MAX);
	strand_free(end.strand);
	mux_free(end.mux);
	loop_drain(end.loop);
	loop_free(end.loop);
	(void)close(pair[1]);
	return end.heard;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view bytes = view_make(data, size);

	assert(talk(bytes, SIZE_MAX) == talk(bytes, 1 + size / 7));
	return 0;
}
