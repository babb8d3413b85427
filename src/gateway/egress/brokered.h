/*
 * brokered: one request's way through the broker (egress/broker.h): judged, its credentials released, its head written anew, its body looked
 * through, its answer masked. A request of an environment without credentials, which holds no placeholder, has none (NULL): every function
 * takes that.
 */
#ifndef ASSAY_GATEWAY_EGRESS_BROKERED_H
#define ASSAY_GATEWAY_EGRESS_BROKERED_H

#include "gateway/egress/pipeline.h"

struct brokered;

/* The stage after the policy: may what stands in its head stand there? */
enum stage_result brokered_stage(struct pipeline *pipeline);
/* The stage after the body: what of it is held must hold no placeholder that does not go there. */
enum stage_result brokered_body_stage(struct pipeline *pipeline);
/* The last stage before it is sent: waits while the vault is asked. */
enum stage_result brokered_release_stage(struct pipeline *pipeline);
void brokered_cancel(struct brokered *brokered); /* what was asked is not waited for */
void brokered_free(struct brokered *brokered);

/* The request as it is scanned for secrets, after brokered_stage: a placeholder that stands where it may is none. Lives until the next call. */
const struct egress_request *brokered_scanned(struct pipeline *pipeline);
/* What is sent: the head with the credentials in it; and whose connection it goes over. */
const struct egress_request *brokered_request(struct pipeline *pipeline);
const char *brokered_credential(const struct pipeline *pipeline);
/* The body from its start again: before what is held is sent, each time. */
void brokered_body_begin(struct pipeline *pipeline);
/* What goes on of a piece of it (`last`: and of what was kept back), borrowed until the next call. false: a placeholder is in it that does
 * not go there: nothing more may be sent, and the verdict says why. */
MUST_USE bool brokered_body_again(struct pipeline *pipeline, struct view bytes,
				  struct view *out); /* what its stage has looked at, from the start */
bool brokered_body(struct pipeline *pipeline, struct view bytes, bool last, struct view *out);

bool brokered_masks(const struct pipeline *pipeline); /* a credential was put in: what comes back must be read */
/* The answer's head as the sandbox may see it: borrowed until the next call. */
void brokered_answer_head(struct pipeline *pipeline, const struct egress_response *response, struct egress_response *masked);
/* A whole message that comes back over a WebSocket; borrowed as the next. */
struct view brokered_message(struct pipeline *pipeline, struct view message);
struct view brokered_answer(struct pipeline *pipeline, struct view bytes, bool last); /* borrowed until the next call */

#endif
