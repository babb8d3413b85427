/*
 * pipeline: one request on its way out and its answer on its way back, whatever protocol either side speaks. It passes stages in one order
 * (the table in stages.c); each may let it go on, refuse it, or have it wait. Nothing of it leaves before the last stage, `upstream`; until
 * then its body is kept, up to PIPELINE_HELD_MAX.
 *
 * A client's side (HTTP/1: egress/h1.h, HTTP/2: egress/h2.h) takes a pipeline, fills its request, begins it and feeds it the body; it hears the answer through its
 * table of callbacks, of which `ends` or `lost` is the last: the pipeline is gone then.
 */
#ifndef ASSAY_GATEWAY_EGRESS_PIPELINE_H
#define ASSAY_GATEWAY_EGRESS_PIPELINE_H

#include "gateway/egress/request.h"
#include "gateway/env.h"
#include "ledger/ledger.h"

#define PIPELINE_HELD_MAX ((size_t)4 << 20) /* of a body that waits for its request to be let out */
#define PIPELINE_BODY_WAIT_MS 50            /* for more of a body of unknown length, before its request goes on without the rest */

struct brokered;
struct dlp_message;
struct frames;
struct hold_waiter;
struct meter;
struct pipeline;
struct unpack;
struct upstream;

/* What a stage says: the verdict is set, it goes on; it waits, and calls pipeline_resume(); the verdict refuses it. */
enum stage_result { STAGE_GO, STAGE_WAIT, STAGE_REFUSE };

struct pipeline_client {
	void (*head)(void *self, const struct egress_response *response); /* views live for the call */
	void (*data)(void *self, struct view bytes);
	void (*trailers)(void *self, const struct egress_field *fields, size_t count); /* after the data; views live for the call */
	void (*ends)(void *self);
	/* In the middle of the answer: what came must not look whole. `code` is what the host said, of HTTP/2's; 0: nothing. */
	void (*lost)(void *self, const char *why, uint32_t code);
	bool (*full)(void *self);               /* no more data now; then pipeline_client_drained() */
	void (*pause)(void *self, bool paused); /* no more of the body now */
};

/* Open: stages are its friends. */
struct pipeline {
	struct env *env;
	struct egress_request request;
	struct buf text; /* what the request's views point into; does not move any more once it is begun */
	struct buf path;
	struct buf query;
	struct buf trailer_text;       /* what the trailers point into */
	struct egress_field *trailers; /* of its body; NULL: none came */
	size_t trailer_count;
	struct egress_verdict verdict;
	char accept[64];           /* the start of its Accept: how a refusal is to be worded */
	struct brokered *brokered; /* NULL: no credential has to do with it */
	uint64_t number;           /* of its rows in the ledger */
	struct ledger_wait intent; /* its row waits for room */
	bool intent_waits;
	bool intent_kept; /* its row is in the ledger: its outcome must follow */
	bool intent_refused;
	uint64_t answer_bytes;
	const struct pipeline_client *client;
	void *self;
	unsigned stage;
	bool begun;
	bool waits;  /* a stage waits: pipeline_resume() goes on */
	bool whole;  /* all of the body came */
	bool sent;   /* it is with the upstream */
	bool headed; /* the head of an answer went to the client */
	bool over;
	bool counted; /* in the environment's in_flight */
	bool client_paused;
	bool body_waited;    /* for a body of unknown length: once */
	struct buf held;     /* the body so far, until the answer begins */
	size_t held_counted; /* of it, by the environment */
	bool held_whole;     /* all that came is in it */
	uint64_t body_came;
	struct upstream *upstream;
	bool asks;                /* a person must approve it: the verdict says by which rule */
	struct hold_waiter *hold; /* while it waits for that */
	uint64_t judged;          /* the generation of the policy that allowed it */
	struct meter *meter;      /* of a call to a model; NULL */
	struct dlp_message *scan; /* what looks at it; NULL before that */
	struct frames *frames;    /* a WebSocket that was agreed on; NULL */
	struct unpack *unpack;    /* of an answer that is read and comes compressed; NULL */
	struct buf tail;          /* of the body: what came and may not go yet */
	size_t tail_gone;         /* of tail: went already */
	uint64_t let_go;          /* of the body: went */
	char scan_why[160];
	unsigned hidden; /* a bit for each enum dlp_where whose text is kept nowhere */
	struct loop_timer body_timer;
	struct exchange exchange;
	struct exchange_body bodies[2]; /* memory for what it keeps of them, while it has none */
	int64_t begun_us;
	struct pipeline *next;                         /* of the worker's spare ones */
	struct egress_field fields[EGRESS_FIELDS_MAX]; /* of the request; last: the rest is zeroed for the next one */
};

struct pipeline *pipeline_take(struct env *env, const char *sandbox);
/* Adds a field as it came (any case); hop-by-hop ones, Host and what could change what the request means are left out. Names and values
 * must lie in pipeline->text. -1: it may not be passed on at all; *why says so. */
MUST_USE int pipeline_field_add(struct pipeline *pipeline, char *name, size_t name_length, struct view value, const char **why);
/* The target "/path?query" in its one form. */
MUST_USE int pipeline_target_set(struct pipeline *pipeline, struct view target, const char **why);
/* Why a request of this method is not passed on; NULL: it is. */
const char *pipeline_method_problem(struct view method);
/* Is "host[:port]" the canonical host, and the port? */
bool pipeline_authority_fits(struct view authority, const char *host, uint16_t port, bool tls);
/* The request is filled: it goes its way. May answer before it returns. */
void pipeline_begin(struct pipeline *pipeline, const struct pipeline_client *client, void *self);
/* Refuses it instead, or before it is begun: `why` and `remedy` are constants. */
void pipeline_refuse(struct pipeline *pipeline, const struct pipeline_client *client, void *self, unsigned status, const char *rule,
		     const char *why, const char *remedy);
void pipeline_body(struct pipeline *pipeline, struct view bytes);
/* What came behind the body, before its end: what says how a message is read, where it goes or who sends it is left out. */
void pipeline_trailers(struct pipeline *pipeline, const struct egress_field *fields, size_t count);
void pipeline_body_end(struct pipeline *pipeline);
/* What was written above leaves now. */
void pipeline_send(struct pipeline *pipeline);
void pipeline_client_drained(struct pipeline *pipeline);
void pipeline_resume(struct pipeline *pipeline);                  /* by the stage that waited; pipeline->verdict says how */
bool pipeline_is_held(const struct pipeline *pipeline);           /* it waits for a person: a client that leaves takes it along */
void pipeline_cancel(struct pipeline *pipeline, const char *why); /* the client is gone: no callback any more */
void pipelines_free(struct worker *worker);                       /* the spare ones */

#endif
