/*
 * flow: one connection through the gateway: a client's leg and, once it is dialled, a server's leg, with what moves bytes between them:
 * reading when the other side can take more, writing what waits, passing on ends and resets. What the bytes mean is the business of the
 * flow's protocol, a table of callbacks: raw, HTTP, egress and so on.
 *
 * Where the protocol does not look at the bytes and they come in bulk, they are spliced through a pipe instead of being copied twice.
 *
 * At most about half a mebibyte waits in each direction; then the sender is not read, so memory stays flat whatever passes.
 */
#ifndef ASSAY_GATEWAY_FLOW_H
#define ASSAY_GATEWAY_FLOW_H

#include "gateway/env.h"
#include "net/tls.h"

#define FLOW_WAITING_MAX ((size_t)256 << 10) /* over it the sender is not read */

enum side { SIDE_CLIENT, SIDE_SERVER };

struct leg {
	struct loop_watch watch;
	int fd; /* -1: none */
	struct buf out;
	size_t out_at;
	int pipe[2];     /* what passes in bulk waits here, behind `out`; -1: none yet */
	size_t piped;    /* bytes in it */
	struct tls *tls; /* NULL: the bytes are what they are */
	bool connecting;
	bool securing;   /* its TLS handshake is under way */
	bool more;       /* it may have more to be read than the socket says */
	bool full;       /* `drained` is to be called */
	bool paused;     /* the protocol does not want it read now */
	bool ended;      /* it sent its end */
	bool end_wanted; /* shut down for writing when `out` is empty */
	bool end_sent;
};

struct flow_protocol {
	const char *name;
	/* All of `bytes` must be taken. */
	void (*data)(struct flow *flow, enum side from, struct view bytes);
	void (*ended)(struct flow *flow, enum side from);
	void (*connected)(struct flow *flow); /* the server's leg; may be NULL */
	/* It could not be connected, or was reset. false: the flow is to be closed (with a reset). */
	bool (*server_lost)(struct flow *flow, const char *why);
	void (*closing)(struct flow *flow, const char *why); /* the last call; `why` NULL: all went well */
	void (*release)(void *state);                        /* at the end of that turn: frees the state */
	/* The handshake of flow_tls_set is done; one that fails is server_lost, or closes the flow. May be NULL, like the next. */
	void (*secured)(struct flow *flow, enum side side);
	void (*drained)(struct flow *flow, enum side to); /* after flow_full was true: room for more */
};

struct flow {
	struct worker *worker;
	struct env *env;                      /* NULL: a preview connection between two environments */
	struct flow *next, **place;           /* of the environment's list */
	struct flow *wait_next, **wait_place; /* of the door that it waits at; wait_place NULL: none */
	struct leg legs[2];
	const struct flow_protocol *protocol;
	void *state; /* the protocol's */
	struct loop_timer timer;
	void (*timed_out)(struct flow *flow);
	char *from;
	char *to;
	char callee[64]; /* the environment whose room it is dialled into, and which room; "" none */
	char callee_room[64];
	char home[64];  /* of one whose requests go where they belong (gateway/shared.h): where it began */
	bool ambiguous; /* whose its request is */
	uint16_t port;
	int64_t t0_ms;
	int64_t begun_us;
	uint64_t bytes[2];               /* read from each side */
	void (*held)(struct flow *flow); /* a fault keeps it: how it goes on (gateway/fault.h); NULL: none does */
	size_t dial_next;                /* of the replicas: which was tried last */
	size_t dial_tries;
	uint32_t dial_serial; /* of the DOOR_DIAL that it waits for */
	bool passes;          /* the protocol does not look at the bytes (any more): in bulk they need not come to memory */
	bool outside;         /* goes to an outside host: judged again when the rules change */
	bool dials_in;        /* connects to a sandbox */
	bool v6;              /* there, to ::1 */
	bool closed;
	bool update_due;
	bool reading_on;   /* a read without an event is due */
	char problem[160]; /* what a `why` that was made here points to */
};

/* Takes the connection; -1: there is none, as for a flow that has a server's leg alone. `from` is copied. */
struct flow *flow_new(struct worker *worker, struct env *env, int client_fd, const char *from);
void flow_env_set(struct flow *flow, struct env *env); /* moves it between the lists; NULL: none */
/* The state of the protocol before is released at the end of the turn, unless flow->state was taken out of it. */
void flow_protocol_set(struct flow *flow, const struct flow_protocol *protocol, void *state);
/* From here on that leg speaks TLS, which is taken: `data` brings what it says, once `secured` was called, and flow_write is encrypted. */
void flow_tls_set(struct flow *flow, enum side side, struct tls *tls);
/* Does so much wait to be sent that no more should be written now? Then `drained` tells when. */
bool flow_full(struct flow *flow, enum side to);
/* Takes a connected or connecting descriptor for the server's leg. */
void flow_server_set(struct flow *flow, int fd, bool connecting);
void flow_server_drop(struct flow *flow); /* closes that leg only, and forgets what waits for it */
/* Sends, or keeps for later. */
/* What flow_write() adds to, for what is written in many small pieces; NULL: it is closed. Valid until the next call of another function. */
struct buf *flow_buf(struct flow *flow, enum side to);
void flow_write(struct flow *flow, enum side to, struct view bytes);
void flow_end(struct flow *flow, enum side to); /* after what waits */
void flow_pause(struct flow *flow, enum side side, bool paused);
void flow_timer(struct flow *flow, int64_t after_ms, void (*timed_out)(struct flow *flow)); /* after_ms < 0: none */
/* `why` NULL: in order; else both legs are reset. Freed at the end of the turn; more calls are harmless. */
void flow_close(struct flow *flow, const char *why);
/* Ends it in order: what waits is written, then the client is shut down, and what it still sends is thrown away for a moment, so that it
 * gets to read the answer. The protocol is closed now. */
void flow_finish(struct flow *flow);
/* Writes what waits and says to epoll what is wanted: after calls from outside of a callback of this flow. */
void flow_update(struct flow *flow);
/* The same at the end of the turn, so that what several calls write leaves at once. */
void flow_update_later(struct flow *flow);

#endif
