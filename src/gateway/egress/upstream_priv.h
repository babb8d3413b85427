/*
 * upstream_priv: what the files of upstream share. An upstream is one request's; a carrier is the connection that it goes over: HTTP/1.1,
 * one request at a time (upstream_h1.c), or HTTP/2, many at once (upstream_h2.c). While a carrier is opened, requests that may go over it
 * wait at it, with what came of their bodies.
 */
#ifndef ASSAY_GATEWAY_EGRESS_UPSTREAM_PRIV_H
#define ASSAY_GATEWAY_EGRESS_UPSTREAM_PRIV_H

#include "gateway/egress/upstream.h"
#include "gateway/flow.h"
#include "gateway/policy/host.h"
#include "http/codec.h"
#include "http/h2.h"

#define UPSTREAM_INTERIM_MAX 16 /* 1xx answers before the real one */

struct carrier;

struct upstream {
	struct carrier *carrier;
	struct upstream *next, **place;     /* of the carrier's */
	const struct upstream_asker *asker; /* NULL: nobody listens any more */
	void *self;
	const struct egress_request *request;
	const struct egress_field *trailers; /* of its body, borrowed; NULL before they are known */
	size_t trailer_count;
	bool fresh;
	bool reused;     /* the carrier had carried something before */
	bool repeatable; /* sending it twice does no harm */
	bool request_done;
	unsigned interim;
	/* while the carrier is opened */
	struct buf pending;
	bool pending_end;
	bool pending_full; /* the asker waits for room */
	/* HTTP/2 */
	struct h2_stream *stream;
	size_t owed; /* bytes that came while paused: not credited yet */
	bool paused;
	bool headed;
};

enum carrier_state { CARRIER_OPENING, CARRIER_H1, CARRIER_H2 };

/* What is only HTTP/1.1's. */
struct carrier_h1 {
	enum { H1_IDLE, H1_ANSWER_HEAD, H1_ANSWER_BODY, H1_TUNNEL } state;
	char method[40];
	bool chunked;
	bool websocket;
	bool keep;
	struct buf input;
	size_t scanned;
	struct http_body body;
	struct buf text; /* of the answer's head, names in lower case */
	struct buf trailers;
};

struct carrier {
	struct flow *flow;
	struct env *env;
	struct carrier *next, **place; /* of the bucket; place NULL: not to be found there */
	bool idle;                     /* counted as such */
	char host[HOST_NAME_MAX_BYTES];
	char credential[UPSTREAM_CREDENTIAL_MAX];
	uint16_t port;
	bool tls;
	bool prior; /* HTTP/2 in clear, known before */
	bool only_h1;
	bool used;
	enum carrier_state state;
	struct dial *dial;
	const char *problem; /* why it could not be opened */
	struct upstream *asks;
	size_t ask_count;
	struct carrier_h1 h1;
	struct h2 *h2;
	bool pump_due;
};

/* ---- upstream.c ---- */

void carrier_idle_set(struct carrier *carrier, bool idle); /* idle: it waits for requests, for a time; false: it is in use */
void carrier_bucket_leave(struct carrier *carrier);
void carrier_h2_refused(const struct carrier *carrier); /* the host wants HTTP/1.1 only */
void upstream_leave(struct upstream *upstream);         /* its carrier */
/* The ask is told, and is nobody's from then on. */
void upstream_tell_end(struct upstream *upstream);
void upstream_tell_lost(struct upstream *upstream, const char *why, uint32_t code, bool again);
bool upstream_field_is_hop(struct view name); /* of an answer: means nothing to who asked */

/* ---- upstream_h1.c ---- */

void carrier_h1_init(struct carrier *carrier);
void carrier_h1_fini(struct carrier *carrier);
void carrier_h1_ask(struct carrier *carrier, struct upstream *upstream); /* sends its head */
void carrier_h1_body(struct upstream *upstream, struct view bytes);
void carrier_h1_body_end(struct upstream *upstream);
void carrier_h1_data(struct carrier *carrier, struct view bytes);
void carrier_h1_ended(struct carrier *carrier);
bool carrier_h1_again(const struct upstream *upstream); /* nothing of the answer came: may it be asked again? */

/* ---- upstream_h2.c ---- */

void carrier_h2_open(struct carrier *carrier);
void carrier_h2_fini(struct carrier *carrier);
/* false: it takes no more. */
bool carrier_h2_ask(struct carrier *carrier, struct upstream *upstream);
void carrier_h2_body_end(struct upstream *upstream);
void carrier_h2_pause(struct upstream *upstream, bool paused);
void carrier_h2_let_go(struct upstream *upstream, enum h2_code code); /* its stream is reset */
void carrier_h2_settle(struct carrier *carrier);                      /* after one left it */
void carrier_h2_data(struct carrier *carrier, struct view bytes);
void carrier_h2_pump(struct carrier *carrier);       /* writes what is to be sent */
void carrier_h2_pump_later(struct carrier *carrier); /* at the end of the turn */

#endif
