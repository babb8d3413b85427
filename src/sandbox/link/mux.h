/*
 * mux: what the two ends of a pod's link say to each other over one strand after another: messages that arrive once and in order though connections
 * break, and streams of bytes between descriptors of this end and of the other, each with a window, so that who does not read holds up only himself.
 * All of it belongs to one loop's thread, of a program that ignores SIGPIPE.
 */
#ifndef ASSAY_SANDBOX_LINK_MUX_H
#define ASSAY_SANDBOX_LINK_MUX_H

#include "sandbox/link/strand.h"

/* Kinds of frames. Up to LINK_ACK they belong to a connection: the others are sent again on the next one. */
enum link_kind {
	LINK_HELLO = 1, /* pod: how many it received (u64), its session (u64), and its token */
	LINK_WELCOME,   /* control plane: how many it received (u64), 1 (u32): begin anew; else go on */
	LINK_REFUSED,   /* control plane: why, for the pod's log */
	LINK_ACK,       /* how many were received (u64) */

	LINK_DATA,   /* of stream `id` */
	LINK_END,    /* no more comes on it */
	LINK_STOP,   /* what comes on it is not wanted any more */
	LINK_WINDOW, /* so many bytes (u32) of it were taken */

	LINK_START, /* control plane: link_start and texts; `id` is the program's from now on, and its streams are LINK_STREAM(id, 0…2) */
	LINK_SIGNAL, /* program and signal number (u32 each) */
	LINK_RESIZE, /* rows and columns (u32 each) of program `id`'s terminal */
	LINK_DIAL,   /* port (u32); stream LINK_STREAM(id, 0) both ways when the reply is 0 */
	LINK_USAGE,  /* the reply's body has it, as link_usage */
	LINK_BYE,    /* everything in the room is to end */

	LINK_REPLY, /* pod: to `id`: an errno (u32), and what was asked for */
	LINK_EXIT,  /* pod: program `id` ended, as of waitpid(2) (u32); all that it had written by then came before */

	LINK_OPEN, /* pod: a connection of the room's, `id` of LINK_ID_OPEN and on (sandbox/link/opens.h); stream LINK_STREAM(id, 0) both ways from now on */
	LINK_LISTEN, /* control plane: addresses and ports (u32 each) at which the pod listens for the room's connections: all of them */
	LINK_ACTIVITY, /* control plane: does anybody run? The reply's body has it (u64, enum activity) */
};

#define LINK_STREAM(id, which) ((uint32_t)(id)*4 + (which))
#define LINK_ID_MAX (UINT32_MAX / 4)
#define LINK_ID_OPEN (LINK_ID_MAX / 4 * 3) /* those below are the control plane's to give */
#define MUX_WINDOW ((size_t)256 << 10)
/* What is kept until the other end has it, with MUX_FRAME_COST for each message: from the first on streams are read no more until there is less; over
 * the second the mux is over. */
#define MUX_KEPT_HIGH ((size_t)8 << 20)
#define MUX_KEPT_MAX ((size_t)32 << 20)
#define MUX_FRAME_COST 64

struct mux;

struct mux_use {
	/* A message that is not the mux's own. */
	void (*message)(void *self, unsigned kind, uint32_t id, struct view body);
	/* The strand is gone: give it another (mux_attach), or free it. */
	void (*lost)(void *self, const char *why);
	/* Something of stream `id` moved or ended; may be NULL. */
	void (*moved)(void *self, uint32_t id);
	/* What is there of stream `id` is about to be read, and sent. May be NULL. */
	void (*reading)(void *self, uint32_t id);
	/* What came on stream `id` cannot be written (a full disk, a reader that left): it is lost, and no more is taken. May be NULL. */
	void (*unwritten)(void *self, uint32_t id, int errno_value);
	void *self;
};

struct mux *mux_new(struct loop *loop, const struct mux_use *use);
void mux_free(struct mux *mux); /* and its strand and streams; NULL is fine */
/* Forgets everything but its use: as new. */
void mux_reset(struct mux *mux);

/* Takes the strand, on which both ends have said how many they received; ERR_BROKEN: theirs cannot be; ERR_LIMIT: it is over. */
MUST_USE int mux_attach(struct mux *mux, struct strand *strand, uint64_t their_received, struct err *err);
uint64_t mux_received(const struct mux *mux);
void mux_cut(struct mux *mux); /* its strand breaks, as by a network: nobody is told here */
bool mux_attached(const struct mux *mux);
/* The other end did not take what it was told, and what had to be kept is lost: `lost` was called for the last time, only mux_reset helps. */
bool mux_over(const struct mux *mux);
size_t mux_kept_bytes(const struct mux *mux);

void mux_send(struct mux *mux, unsigned kind, uint32_t id, struct view body);

/* Takes the descriptors: what is read from `read_fd` is sent, what comes is written to `write_fd`; -1: nothing goes that way. Neither is ever
 * waited for, whatever they are; both may be ends of one socket, each a descriptor of its own. */
void mux_stream(struct mux *mux, uint32_t id, int read_fd, int write_fd);
/* Forgets it, here alone. */
void mux_stream_drop(struct mux *mux, uint32_t id);
bool mux_stream_is(const struct mux *mux, uint32_t id); /* it has not ended in both directions */
/* Bytes that came and are not written yet. */
size_t mux_stream_waiting(const struct mux *mux, uint32_t id);
/* Bytes that were read from its descriptor so far; those that are there to be read now are added to *to_come. -1: it is read no more. */
int64_t mux_stream_read(const struct mux *mux, uint32_t id, int64_t *to_come);

/* Another descriptor of the same thing, which can be read or written without waiting; -1 with errno. The caller's stays as it is. */
int link_descriptor(int fd, bool to_write);

#endif
