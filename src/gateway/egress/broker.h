/*
 * broker: the credentials of an environment, whose sandboxes hold only placeholders. At the end of a request's head, when the policy has
 * allowed it, the broker says which credentials are to be put in, asks for each of them once, and writes the head anew. A placeholder
 * that stands anywhere else, in any clothes (percent-encoded, base64, within another text), is a leak attempt: the request is refused. A
 * host that a credential is for takes no other one. What was put in is masked in everything that comes back.
 *
 *	switch (broker_judge(broker, &request, &plan, &verdict)) {
 *	case BROKER_PLAIN:   // nothing to do
 *	case BROKER_REFUSED: // the verdict says why
 *	case BROKER_RELEASE: // for each i < plan.count: ask the vault for broker_ask(); then broker_apply()
 *	}
 *
 * Nothing blocks. One thread. egress/brokered.h is this for the pipeline.
 */
#ifndef ASSAY_GATEWAY_EGRESS_BROKER_H
#define ASSAY_GATEWAY_EGRESS_BROKER_H

#include "base/json.h"
#include "gateway/egress/request.h"
#include "gateway/egress/swap.h"
#include "net/vault.h"

#define BROKER_CREDENTIALS_MAX 64 /* of an environment */
#define BROKER_WANTS_MAX 4        /* of a request */

struct broker;

/* [{"name", "placeholder", "for": ["POST https://…"], "in": "header:x-api-key", "require"?: true}], or NULL for none. All or nothing. */
MUST_USE int broker_new(const json_t *credentials, struct broker **broker, struct err *err);
struct broker *broker_ref(struct broker *broker); /* requests under way hold one; NULL is fine */
void broker_free(struct broker *broker);          /* gives a reference back; NULL is fine */
size_t broker_count(const struct broker *broker);
/* Its placeholders, for whoever looks for them in views that the broker does not see; borrowed. */
struct view broker_placeholder(const struct broker *broker, size_t index);
const char *broker_name(const struct broker *broker, size_t index);
bool broker_goes_into_bodies(const struct broker *broker, size_t index); /* or messages */

enum broker_answer { BROKER_PLAIN, BROKER_RELEASE, BROKER_REFUSED };

struct broker_want {
	size_t credential; /* index */
	size_t value_bytes;
	unsigned char value[CREDENTIAL_VALUE_MAX]; /* wiped by broker_plan_fini() */
};

struct broker_plan {
	size_t count;
	struct broker_want *wants;
};

/* NULL broker: PLAIN, if no placeholder is in it. The plan is zeroed before, and to be given to broker_plan_fini(). */
enum broker_answer broker_judge(const struct broker *broker, const struct egress_request *request, struct broker_plan *plan,
				struct egress_verdict *verdict);
void broker_plan_fini(struct broker_plan *plan);
/* What to ask the vault; the header is the link's. */
void broker_ask(const struct broker *broker, const struct broker_plan *plan, size_t index, const struct egress_request *request,
		struct vault_release_request *ask);
/* Logins at PostgreSQL servers. Is there a credential for one at that host? Then no other password goes there. */
bool broker_logs_in(const struct broker *broker, const char *host, uint16_t port);
/* The plan of a login at `request` (host, port, path "/database") whose password is `placeholder`. False: it is none of theirs. */
bool broker_login(const struct broker *broker, const struct egress_request *request, struct view placeholder,
		  struct broker_plan *plan);
/* What it answered. -1: refused, and the verdict says so. */
MUST_USE int broker_answered(const struct broker *broker, struct broker_plan *plan, size_t index,
			     const struct vault_release_reply *reply, struct egress_verdict *verdict);

/* A head with the credentials in it: its views live as long as it. */
struct broker_head {
	struct egress_request request;
	struct egress_field fields[EGRESS_FIELDS_MAX];
	struct broker_text *texts;
};

/* All values are there. Accept-Encoding becomes identity, and a Range and WebSocket extensions are left out: what comes back must be
 * readable as a whole. */
MUST_USE int broker_apply(const struct broker *broker, const struct broker_plan *plan, const struct egress_request *request,
			  struct broker_head *head, struct egress_verdict *verdict);
/* After it: signs anew what is signed for AWS (egress/aws.h). `body` is all of the body, or `whole` is false. */
MUST_USE int broker_sign(const struct broker *broker, const struct broker_plan *plan, const struct egress_request *request,
			 struct view body, bool whole, struct broker_head *head, struct egress_verdict *verdict);
void broker_head_fini(struct broker_head *head); /* wiped */
/* Is there a credential in what is sent, so that it has to be masked in what comes back? */
bool broker_puts_in(const struct broker *broker, const struct broker_plan *plan);

/* For the response's fields, trailers, body and messages; owned by the caller. Works on what is not compressed. */
struct swap *broker_mask(const struct broker *broker, const struct broker_plan *plan);

/* For a request's body, or a WebSocket's messages to the host: puts in what goes there, and finds what does not. NULL broker: finds any
 * placeholder. Owned by the caller, who frees it before the broker; after each piece broker_body_stray() says whether the request must end
 * now, before more is sent. */
struct swap *broker_body(struct broker *broker, const struct broker_plan *plan, bool websocket);
bool broker_body_stray(const struct swap *body);
/* Does a credential go into the body, or the messages? */
bool broker_body_takes(const struct broker *broker, const struct broker_plan *plan, bool websocket);
/* Does the body change its length, so that it cannot be sent with the one that was announced? */
bool broker_body_resizes(const struct broker *broker, const struct broker_plan *plan, bool websocket);

#endif
