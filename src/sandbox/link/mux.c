/*
 * Messages and streams.
 *
 * Theory of operation: every frame but those of a connection has a number, which is not sent: both ends count. It is kept until the other end says
 * that it has it, and sent again when a new strand says that it has not. What is kept is bounded: with much of it no stream is read, and who lets even the
 * messages beside them grow beyond a limit (he says that he received nothing, or reads nothing) is given up. A stream is a pair of pumps; where a
 * descriptor cannot be waited for (a file), it is read and written at once.
 */
#include "sandbox/link/mux.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/scope.h"

#define PIECE ((size_t)32 << 10)
#define PIECES_A_TURN 4

struct frame {
	struct frame *next;
	unsigned kind;
	uint32_t id;
	size_t length;
	char body[];
};

/* One descriptor of a stream. */
struct end {
	struct loop_watch watch;
	int fd; /* -1: closed */
	bool socket;
	bool waits; /* on the loop; else it is always ready */
};

struct stream {
	struct stream *next;
	struct mux *mux;
	uint32_t id;
	struct end in;     /* read here, sent there */
	struct end out;    /* written here */
	size_t credit;     /* that may be sent */
	int64_t read;      /* bytes of `in` */
	size_t taken;      /* written, and not yet told */
	struct buf output; /* came, not written */
	bool ended;        /* nothing more comes */
	bool held;         /* not read, because too much is kept */
};

struct mux {
	struct loop *loop;
	struct mux_use use;
	struct strand *strand;
	struct frame *kept, **kept_end;
	size_t kept_bytes;
	bool over;  /* it could not be kept */
	bool freed; /* at the end of this turn */
	uint64_t sent, acknowledged, received, told;
	struct stream *streams;
};

/* ---- messages ---- */

static void kept_drop(struct mux *mux, uint64_t theirs)
{
	while (mux->acknowledged < theirs && mux->kept) {
		struct frame *frame = mux->kept;

		mux->kept = frame->next;
		mux->acknowledged++;
		mux->kept_bytes -= frame->length + MUX_FRAME_COST;
		free(frame);
	}
	if (!mux->kept)
		mux->kept_end = &mux->kept;
}

static void on_over(void *self)
{
	struct mux *mux = self;

	if (mux->over && !mux->freed)
		mux->use.lost(mux->use.self, "the other end does not take what it is told");
}

void mux_send(struct mux *mux, unsigned kind, uint32_t id, struct view body)
{
	struct frame *frame;

	if (mux->over)
		return;
	if (mux->kept_bytes + body.length + MUX_FRAME_COST > MUX_KEPT_MAX) {
		mux->over = true;
		mux_cut(mux);
		loop_defer(mux->loop, on_over, mux); /* nobody is called back from a call of his own */
		return;
	}
	frame = mem_new(sizeof(*frame) + body.length);
	mux->kept_bytes += body.length + MUX_FRAME_COST;
	*frame = (struct frame){.kind = kind, .id = id, .length = body.length};
	if (body.length)
		memcpy(frame->body, body.at, body.length);
	*mux->kept_end = frame;
	mux->kept_end = &frame->next;
	mux->sent++;
	if (mux->strand)
		strand_send(mux->strand, kind, id, body);
}

static void number_send(struct mux *mux, unsigned kind, uint32_t id, uint32_t number)
{
	AUTO_BUF body = buf_new(8);

	strand_put_u32(&body, number);
	mux_send(mux, kind, id, buf_view(&body));
}

static void acknowledge(struct mux *mux)
{
	AUTO_BUF body = buf_new(8);

	if (!mux->strand || mux->told == mux->received)
		return;
	mux->told = mux->received;
	strand_put_u64(&body, mux->received);
	strand_send(mux->strand, LINK_ACK, 0, buf_view(&body));
}

/* ---- descriptors ---- */

int link_descriptor(int fd, bool to_write)
{
	AUTO_FREE char *path = text_format("/proc/self/fd/%d", fd);
	struct stat info;

	if (fstat(fd, &info))
		return -1;
	/* Opened again it has flags of its own. What can be neither (a socket, a file whose place is shared) is used as it is. */
	if (S_ISFIFO(info.st_mode) || S_ISCHR(info.st_mode))
		return open(path, (to_write ? O_WRONLY : O_RDONLY) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

static void end_close(struct mux *mux, struct end *end)
{
	if (end->fd < 0)
		return;
	loop_watch_remove(mux->loop, &end->watch);
	(void)close(end->fd);
	end->fd = -1;
}

static void end_open(struct mux *mux, struct end *end, int fd, void (*ready)(struct loop_watch *watch, unsigned events))
{
	struct stat info;

	*end = (struct end){.fd = fd};
	if (fd < 0)
		return;
	end->socket = fstat(fd, &info) == 0 && S_ISSOCK(info.st_mode);
	end->watch.ready = ready;
	end->waits = loop_watch_add(mux->loop, &end->watch, fd, 0, NULL) == 0;
}

static void end_want(struct mux *mux, struct end *end, unsigned events)
{
	if (end->fd >= 0 && end->waits)
		loop_watch_set(mux->loop, &end->watch, events);
}

/* ---- streams ---- */

static struct stream *stream_find(const struct mux *mux, uint32_t id)
{
	struct stream *stream = mux->streams;

	while (stream && stream->id != id)
		stream = stream->next;
	return stream;
}

static void stream_free(void *self)
{
	struct stream *stream = self;

	buf_fini(&stream->output);
	free(stream);
}

static void stream_forget(struct stream *stream)
{
	struct mux *mux = stream->mux;
	struct stream **place = &mux->streams;

	end_close(mux, &stream->in);
	end_close(mux, &stream->out);
	while (*place != stream)
		place = &(*place)->next;
	*place = stream->next;
	loop_defer(mux->loop, stream_free, stream);
}

static void stream_moved(struct stream *stream)
{
	struct mux *mux = stream->mux;
	uint32_t id = stream->id;

	if (stream->in.fd < 0 && stream->out.fd < 0)
		stream_forget(stream);
	if (mux->use.moved)
		mux->use.moved(mux->use.self, id);
}

static void in_end(struct stream *stream)
{
	end_close(stream->mux, &stream->in);
	mux_send(stream->mux, LINK_END, stream->id, VIEW(""));
}

static bool may_read(const struct stream *stream)
{
	return stream->in.fd >= 0 && stream->credit && stream->mux->kept_bytes < MUX_KEPT_HIGH;
}

static void in_pump(struct stream *stream)
{
	char piece[PIECE];

	for (int i = 0; (i < PIECES_A_TURN || !stream->in.waits) && may_read(stream); i++) {
		size_t most = stream->credit < sizeof(piece) ? stream->credit : sizeof(piece);
		ssize_t got = stream->in.socket ? recv(stream->in.fd, piece, most, MSG_DONTWAIT) : read(stream->in.fd, piece, most);

		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (got <= 0) {
			in_end(stream);
			break;
		}
		stream->credit -= (size_t)got;
		stream->read += got;
		mux_send(stream->mux, LINK_DATA, stream->id, view_make(piece, (size_t)got));
	}
	stream->held = stream->in.fd >= 0 && stream->mux->kept_bytes >= MUX_KEPT_HIGH;
	end_want(stream->mux, &stream->in, may_read(stream) ? LOOP_READ : 0);
}

/* One that is told all the time that its peer is broken is not watched while it may not be read. */
static void in_pump_again(struct stream *stream)
{
	if (stream->in.fd >= 0 && stream->in.waits && !stream->in.watch.added)
		stream->in.waits = loop_watch_add(stream->mux->loop, &stream->in.watch, stream->in.fd, 0, NULL) == 0;
	in_pump(stream);
}

/* Nobody takes what comes. */
static void out_stop(struct stream *stream, int errno_value)
{
	struct mux *mux = stream->mux;

	buf_clear(&stream->output);
	end_close(stream->mux, &stream->out);
	if (!stream->ended)
		mux_send(mux, LINK_STOP, stream->id, VIEW(""));
	if (mux->use.unwritten)
		mux->use.unwritten(mux->use.self, stream->id, errno_value);
}

static void out_pump(struct stream *stream)
{
	struct mux *mux = stream->mux;
	size_t done = 0;

	while (stream->out.fd >= 0 && done < stream->output.length) {
		const char *at = stream->output.at + done;
		size_t length = stream->output.length - done;
		ssize_t put = stream->out.socket ? send(stream->out.fd, at, length, MSG_DONTWAIT | MSG_NOSIGNAL)
						 : write(stream->out.fd, at, length);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0 && errno == EAGAIN)
			break;
		if (put < 0) {
			out_stop(stream, errno);
			return;
		}
		done += (size_t)put;
	}
	if (stream->out.fd < 0)
		return;
	buf_drop_front(&stream->output, done);
	stream->taken += done;
	if (stream->taken >= MUX_WINDOW / 4 && !stream->ended) {
		number_send(mux, LINK_WINDOW, stream->id, (uint32_t)stream->taken);
		stream->taken = 0;
	}
	end_want(mux, &stream->out, stream->output.length ? LOOP_WRITE : 0);
	if (!stream->output.length && stream->ended) {
		if (stream->out.socket)
			(void)shutdown(stream->out.fd, SHUT_WR);
		end_close(mux, &stream->out);
	}
}

static void on_in(struct loop_watch *watch, unsigned events)
{
	struct stream *stream = (struct stream *)(void *)((char *)watch - offsetof(struct stream, in.watch));

	if ((events & LOOP_BROKEN) && !may_read(stream)) {
		loop_watch_remove(stream->mux->loop, &stream->in.watch);
		stream->held = stream->credit > 0;
		return;
	}
	if (stream->mux->use.reading)
		stream->mux->use.reading(stream->mux->use.self, stream->id);
	in_pump(stream);
	stream_moved(stream);
}

static void on_out(struct loop_watch *watch, unsigned events)
{
	struct stream *stream = (struct stream *)(void *)((char *)watch - offsetof(struct stream, out.watch));

	if (events & LOOP_BROKEN && !stream->output.length)
		out_stop(stream, EPIPE); /* its reader went */
	else
		out_pump(stream);
	stream_moved(stream);
}

void mux_stream(struct mux *mux, uint32_t id, int read_fd, int write_fd)
{
	struct stream *stream = mem_new(sizeof(*stream));

	*stream = (struct stream){.next = mux->streams, .mux = mux, .id = id, .credit = MUX_WINDOW, .output = buf_new(MUX_WINDOW)};
	mux->streams = stream;
	end_open(mux, &stream->in, read_fd, on_in);
	end_open(mux, &stream->out, write_fd, on_out);
	if (write_fd < 0)
		stream->ended = true;
	in_pump(stream);
	stream_moved(stream);
}

void mux_stream_drop(struct mux *mux, uint32_t id)
{
	struct stream *stream = stream_find(mux, id);

	if (stream)
		stream_forget(stream);
}

bool mux_stream_is(const struct mux *mux, uint32_t id)
{
	return stream_find(mux, id) != NULL;
}

size_t mux_stream_waiting(const struct mux *mux, uint32_t id)
{
	const struct stream *stream = stream_find(mux, id);

	return stream ? stream->output.length : 0;
}

int64_t mux_stream_read(const struct mux *mux, uint32_t id, int64_t *to_come)
{
	const struct stream *stream = stream_find(mux, id);
	int there = 0;

	if (!stream || stream->in.fd < 0)
		return -1;
	if (ioctl(stream->in.fd, FIONREAD, &there) == 0)
		*to_come += there;
	return stream->read;
}

/* ---- what comes ---- */

static void data_take(struct stream *stream, struct view body)
{
	if (stream->out.fd < 0)
		return;
	buf_add_view(&stream->output, body); /* who sends more than the window loses it */
	out_pump(stream);
}

static void credit_take(struct stream *stream, uint32_t more)
{
	stream->credit = stream->credit + more < MUX_WINDOW ? stream->credit + more : MUX_WINDOW;
	in_pump_again(stream);
}

/* Less is kept. */
static void held_read(struct mux *mux)
{
	struct stream *stream = mux->streams;

	while (stream && mux->kept_bytes < MUX_KEPT_HIGH) {
		if (!stream->held) {
			stream = stream->next;
			continue;
		}
		stream->held = false;
		in_pump_again(stream);
		stream_moved(stream);
		stream = mux->streams; /* whoever is called may change them */
	}
}

static bool stream_message(struct mux *mux, unsigned kind, uint32_t id, struct view body)
{
	struct stream *stream;

	if (kind < LINK_DATA || kind > LINK_WINDOW)
		return false;
	stream = stream_find(mux, id);
	if (!stream)
		return true; /* it has ended here */
	if (kind == LINK_DATA)
		data_take(stream, body);
	else if (kind == LINK_WINDOW)
		credit_take(stream, strand_u32(body, 0));
	else if (kind == LINK_STOP && stream->in.fd >= 0)
		in_end(stream);
	else if (kind == LINK_END && !stream->ended) {
		stream->ended = true;
		out_pump(stream);
	}
	stream_moved(stream);
	return true;
}

static void on_frame(void *self, struct strand *strand, unsigned kind, uint32_t id, struct view body)
{
	struct mux *mux = self;

	if (kind == LINK_ACK) {
		uint64_t theirs = strand_u64(body, 0);

		kept_drop(mux, theirs < mux->sent ? theirs : mux->sent);
		held_read(mux);
		return;
	}
	if (kind < LINK_ACK)
		return; /* was for the beginning */
	mux->received++;
	if (!stream_message(mux, kind, id, body))
		mux->use.message(mux->use.self, kind, id, body);
	if (mux->strand == strand)
		acknowledge(mux);
}

static void on_lost(void *self, struct strand *strand, const char *why)
{
	struct mux *mux = self;

	strand_free(strand);
	mux->strand = NULL;
	mux->use.lost(mux->use.self, why);
}

static const struct strand_use mux_strand_use = {.frame = on_frame, .lost = on_lost};

/* ---- life ---- */

struct mux *mux_new(struct loop *loop, const struct mux_use *use)
{
	struct mux *mux = mem_new(sizeof(*mux));

	*mux = (struct mux){.loop = loop, .use = *use};
	mux->kept_end = &mux->kept;
	return mux;
}

void mux_reset(struct mux *mux)
{
	while (mux->streams)
		stream_forget(mux->streams);
	kept_drop(mux, UINT64_MAX);
	strand_free(mux->strand);
	mux->strand = NULL;
	mux->sent = mux->acknowledged = mux->received = mux->told = 0;
	mux->over = false;
}

static void mux_end(void *self)
{
	free(self);
}

void mux_free(struct mux *mux)
{
	if (!mux)
		return;
	mux_reset(mux);
	mux->freed = true;
	loop_defer(mux->loop, mux_end, mux);
}

int mux_attach(struct mux *mux, struct strand *strand, uint64_t their_received, struct err *err)
{
	if (mux->over)
		return err_set(err, ERR_LIMIT, "the other end did not take what it was told");
	if (their_received < mux->acknowledged || their_received > mux->sent)
		return err_set(err, ERR_BROKEN, "the other end says that it received %llu messages of %llu",
			       (unsigned long long)their_received, (unsigned long long)mux->sent);
	strand_free(mux->strand);
	mux->strand = strand;
	strand_hand(strand, &mux_strand_use, mux);
	kept_drop(mux, their_received);
	mux->told = mux->received;
	for (const struct frame *frame = mux->kept; frame; frame = frame->next)
		strand_send(strand, frame->kind, frame->id, view_make(frame->body, frame->length));
	held_read(mux);
	return 0;
}

uint64_t mux_received(const struct mux *mux)
{
	return mux->received;
}

void mux_cut(struct mux *mux)
{
	strand_free(mux->strand);
	mux->strand = NULL;
}

bool mux_attached(const struct mux *mux)
{
	return mux->strand != NULL;
}

bool mux_over(const struct mux *mux)
{
	return mux->over;
}

size_t mux_kept_bytes(const struct mux *mux)
{
	return mux->kept_bytes;
}
