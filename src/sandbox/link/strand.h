/*
 * strand: frames over one TLS connection on a loop: what a pod's link and the control plane say to each other. A frame is a header of 12 bytes, all
 * little-endian (length of the body, kind, 0, id), and a body. Nothing that comes is trusted: a frame that is too long ends the connection.
 */
#ifndef ASSAY_SANDBOX_LINK_STRAND_H
#define ASSAY_SANDBOX_LINK_STRAND_H

#include "net/loop.h"
#include "net/tls.h"

#define STRAND_BODY_MAX ((size_t)3 << 20) /* a program's arguments are the longest */
#define STRAND_HEAD 12
#define STRAND_WAITING_MAX ((size_t)48 << 20) /* of what was sent and has not left: who does not read loses the connection */

struct strand;

struct strand_use {
	/* `body` is valid during the call. The strand may be freed in it. */
	void (*frame)(void *self, struct strand *strand, unsigned kind, uint32_t id, struct view body);
	/* Once: it cannot go on. Free it then or later. */
	void (*lost)(void *self, struct strand *strand, const char *why);
	size_t body_max; /* of a frame; 0: STRAND_BODY_MAX */
};

/* Takes the session and its socket; the handshake is made first. */
struct strand *strand_new(struct loop *loop, struct tls *tls, int fd, const struct strand_use *use, void *self);
/* Somebody else's from now on. */
void strand_hand(struct strand *strand, const struct strand_use *use, void *self);
/* What was sent on a strand that is lost is dropped. */
void strand_send(struct strand *strand, unsigned kind, uint32_t id, struct view body);
/* Ends when what was sent has left, or cannot. */
void strand_free(struct strand *strand); /* NULL is fine */

/* Little-endian numbers of a body; 0 beyond its end. */
uint32_t strand_u32(struct view body, size_t at);
uint64_t strand_u64(struct view body, size_t at);
void strand_put_u32(struct buf *out, uint32_t number);
void strand_put_u64(struct buf *out, uint64_t number);

#endif
