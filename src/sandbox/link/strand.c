/* Frames over one TLS connection. */
#include "sandbox/link/strand.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/scope.h"

#define READ_BYTES ((size_t)64 << 10)
#define READS_A_TURN 8

struct strand {
	struct loop *loop;
	struct tls *tls;
	struct loop_watch watch;
	int fd;
	const struct strand_use *use;
	void *self;
	struct buf input;
	struct buf early; /* frames sent before the handshake's end */
	bool open;        /* the handshake is done */
	bool lost;
	bool more;  /* may wait within the session: the socket says nothing of it */
	bool full;  /* at the end of this turn it is lost */
	bool freed; /* at the end of this turn */
};

/* ---- numbers ---- */

static uint64_t number_at(struct view body, size_t at, size_t bytes)
{
	uint64_t number = 0;

	for (size_t i = 0; i < bytes && at + i < body.length; i++)
		number |= (uint64_t)(unsigned char)body.at[at + i] << (8 * i);
	return number;
}

static void number_put(struct buf *out, uint64_t number, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		buf_add_char(out, (char)(unsigned char)(number >> (8 * i)));
}

uint32_t strand_u32(struct view body, size_t at)
{
	return (uint32_t)number_at(body, at, 4);
}

uint64_t strand_u64(struct view body, size_t at)
{
	return number_at(body, at, 8);
}

void strand_put_u32(struct buf *out, uint32_t number)
{
	number_put(out, number, 4);
}

void strand_put_u64(struct buf *out, uint64_t number)
{
	number_put(out, number, 8);
}

/* ---- a connection ---- */

static void strand_end(void *self)
{
	struct strand *strand = self;

	tls_free(strand->tls);
	(void)close(strand->fd);
	if (strand->input.at)
		explicit_bzero(strand->input.at, strand->input.capacity); /* tokens came by it */
	buf_fini(&strand->input);
	buf_fini(&strand->early);
	free(strand);
}

static void lose(struct strand *strand, const char *why)
{
	if (strand->lost || strand->freed)
		return;
	strand->lost = true;
	loop_watch_remove(strand->loop, &strand->watch);
	strand->use->lost(strand->self, strand, why);
}

static void flush(struct strand *strand)
{
	if (strand->lost || strand->freed)
		return;
	if (!tls_flush(strand->tls)) {
		lose(strand, "the connection ended");
		return;
	}
	loop_watch_set(strand->loop, &strand->watch, strand->more || tls_waiting(strand->tls) ? LOOP_READ | LOOP_WRITE : LOOP_READ);
}

/* False: it is lost, or was freed. */
static bool frames_take(struct strand *strand)
{
	size_t at = 0;

	while (!strand->lost && !strand->freed) {
		struct view rest = view_make(strand->input.at + at, strand->input.length - at);
		size_t length = rest.length >= STRAND_HEAD ? strand_u32(rest, 0) : 0;

		if (rest.length >= STRAND_HEAD && length > (strand->use->body_max ? strand->use->body_max : STRAND_BODY_MAX)) {
			lose(strand, "a frame is too long");
			break;
		}
		if (rest.length < STRAND_HEAD || rest.length < STRAND_HEAD + length)
			break;
		strand->use->frame(strand->self, strand, strand_u32(rest, 4), strand_u32(rest, 8),
				   view_make(rest.at + STRAND_HEAD, length));
		at += STRAND_HEAD + length;
	}
	if (!strand->freed)
		buf_drop_front(&strand->input, at);
	return !strand->lost && !strand->freed;
}

static bool shake(struct strand *strand)
{
	struct err err = {0};

	switch (tls_handshake(strand->tls, &err)) {
	case TLS_DONE:
		strand->open = true;
		if (strand->early.length && !tls_write(strand->tls, buf_view(&strand->early)))
			lose(strand, "the connection ended");
		buf_clear(&strand->early);
		return !strand->lost;
	case TLS_MORE:
		return true;
	case TLS_FAILED:
		(void)tls_flush(strand->tls); /* the alert */
		lose(strand, err.text);
	}
	return false;
}

static void bytes_take(struct strand *strand)
{
	strand->more = true;
	for (int i = 0; i < READS_A_TURN; i++) {
		char *at = buf_reserve(&strand->input, READ_BYTES);
		ssize_t got = at ? tls_read(strand->tls, at, READ_BYTES) : -2;

		if (got == -1) {
			strand->more = false;
			return;
		}
		if (got <= 0) {
			lose(strand, got ? "the connection broke" : "the connection ended");
			return;
		}
		buf_commit(&strand->input, (size_t)got);
		if (!frames_take(strand))
			return;
	}
}

static void on_ready(struct loop_watch *watch, unsigned events)
{
	struct strand *strand = (struct strand *)(void *)((char *)watch - offsetof(struct strand, watch));

	(void)events;
	tls_readable(strand->tls);
	if ((strand->open || shake(strand)) && strand->open)
		bytes_take(strand);
	flush(strand);
}

struct strand *strand_new(struct loop *loop, struct tls *tls, int fd, const struct strand_use *use, void *self)
{
	struct strand *strand = mem_new(sizeof(*strand));

	*strand = (struct strand){.loop = loop, .tls = tls, .fd = fd, .use = use, .self = self};
	strand->input = buf_new(STRAND_BODY_MAX + STRAND_HEAD + READ_BYTES);
	strand->early = buf_new(STRAND_BODY_MAX);
	strand->watch.ready = on_ready;
	if (loop_watch_add(loop, &strand->watch, fd, LOOP_READ | LOOP_WRITE, NULL))
		strand->lost = true;
	return strand;
}

void strand_hand(struct strand *strand, const struct strand_use *use, void *self)
{
	strand->use = use;
	strand->self = self;
}

static void on_full(void *self)
{
	lose(self, "the other end does not read");
}

void strand_send(struct strand *strand, unsigned kind, uint32_t id, struct view body)
{
	AUTO_BUF frame = buf_new(STRAND_HEAD + STRAND_BODY_MAX);

	if (strand->lost || strand->full || strand->freed)
		return;
	if ((strand->open ? tls_waiting(strand->tls) : strand->early.length) + STRAND_HEAD + body.length >
	    (strand->open ? STRAND_WAITING_MAX : STRAND_BODY_MAX)) {
		strand->full = true; /* nobody is called back from a call of his own */
		loop_defer(strand->loop, on_full, strand);
		return;
	}
	strand_put_u32(&frame, (uint32_t)body.length);
	strand_put_u32(&frame, kind);
	strand_put_u32(&frame, id);
	buf_add_view(&frame, body);
	if (!strand->open) {
		buf_add_view(&strand->early, buf_view(&frame));
		return;
	}
	/* What breaks here is found out by the next turn. */
	if (tls_write(strand->tls, buf_view(&frame)))
		loop_watch_set(strand->loop, &strand->watch, LOOP_READ | LOOP_WRITE);
}

void strand_free(struct strand *strand)
{
	if (!strand || strand->freed)
		return;
	strand->freed = true;
	loop_watch_remove(strand->loop, &strand->watch);
	if (strand->open && !strand->lost) {
		tls_end(strand->tls);
		(void)tls_flush(strand->tls);
	}
	loop_defer(strand->loop, strand_end, strand);
}
