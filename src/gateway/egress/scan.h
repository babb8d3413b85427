/*
 * scan: the stage of a request in which what it carries is looked at (gateway/dlp): its head and its body, before anything of it leaves; of a
 * body that is longer than what is held, each part before it leaves, with the last DLP_HOLD_BACK bytes kept back; of a WebSocket each
 * message (egress/frames.h).
 *
 * Requests wait until the rules that hold for them are compiled (egress/scan_rules.h). Without rules nothing leaves.
 */
#ifndef ASSAY_GATEWAY_EGRESS_SCAN_H
#define ASSAY_GATEWAY_EGRESS_SCAN_H

#include "gateway/egress/pipeline.h"

#define SCAN_RULES_ASK_MS 20 /* between looks at whether the rules are there */

enum scanned {
	SCAN_GO,
	SCAN_WAIT, /* the rules are not compiled yet */
	SCAN_HOLD, /* a person must allow it: the verdict says why */
	SCAN_REFUSE,
};

/* Why this host may not be asked about, or connected to: its name carries data, or a secret. NULL: it may. A constant. */
const char *scan_host(struct env *env, const char *host);
/* A name as it may be shown: one that carries a secret is "[hidden]", but for the domain below which it stands, if that carries none. */
#define SCAN_SHOWN_BYTES 264
void scan_name_show(struct env *env, const char *host, char shown[SCAN_SHOWN_BYTES]);
/* Writes what was found since the last time into the ledger: rule, place, digest, never the value. */
void scan_note(struct pipeline *pipeline, struct dlp_message *message);

/* What was found is taken out of the exchange, before that is kept (pipeline->hidden). */
void scan_hide(struct pipeline *pipeline);

/* The head, and what is held of the body. */
enum scanned scan_request(struct pipeline *pipeline);
/* More of the body before it is let out: true if the request must be refused for it. */
bool scan_held(struct pipeline *pipeline, struct view bytes);
/* The trailers of the body, before they are passed on: true if the request must be refused for them (the verdict says why). */
bool scan_trailers(struct pipeline *pipeline, const struct egress_field *fields, size_t count);
/* What of the body may go, of all that is held: the rest is in pipeline->tail from then on. */
struct view scan_let_out(struct pipeline *pipeline);
/* More of the body, of a request that is out; the view is what may go now, until the next call, and *more, which is of `bytes`, what may go
 * behind it. *refused: nothing may, and it must end. */
struct view scan_body(struct pipeline *pipeline, struct view bytes, struct view *more, bool *refused);
struct view scan_body_end(struct pipeline *pipeline, bool *refused);
/* Nothing more has come for a while, and somebody may wait for an answer to what has. */
struct view scan_body_idle(struct pipeline *pipeline, bool *refused);

/* Of the extensions that a WebSocket asks for, those that can be read; before any stage. */
void scan_offers(struct pipeline *pipeline);
/* For who scans parts of it by himself (egress/frames.h): the verdict on what was found, and what rules want overwritten in bytes that
 * begin at `offset` of the body or message. */
void scan_verdict_set(struct pipeline *pipeline, const struct dlp_message *message);
void scan_redact(const struct dlp_message *message, char *bytes, size_t length, uint64_t offset);
void scan_free(struct pipeline *pipeline);

#endif
