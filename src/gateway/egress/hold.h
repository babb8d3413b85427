/*
 * hold: requests that wait for a person. One is parked whole, with its body, and bound to a digest of all that would be sent; the control
 * plane keeps the question and shows it. Requests that are the same share one question. Nothing of a parked request can change, nothing of it
 * has left, and what was approved is exactly that: another path, another body is another question, unless the answer said "for this run" or
 * "for an hour", which opens its host, method and path under the rule that asked. No answer in time, a control plane that is gone, too many
 * questions: denied.
 *
 * What a scanner found (rules "dlp:…") is asked every time: no answer to it is remembered.
 */
#ifndef ASSAY_GATEWAY_EGRESS_HOLD_H
#define ASSAY_GATEWAY_EGRESS_HOLD_H

#include "base/json.h"
#include "gateway/egress/request.h"

struct env;
struct holds;
struct hold_waiter;

#define HOLD_BODY_BYTES_MAX ((size_t)4 << 20) /* a request with more cannot be shown whole, and is refused */
#define HOLD_SHOWN_BYTES ((size_t)2048)       /* of the body, to the person */
#define HOLD_QUESTIONS_MAX 32                 /* open at once, of an environment */
#define HOLD_WAITERS_MAX 64                   /* requests that share one */
#define HOLD_REMEMBERED_MAX 256
#define HOLD_DEADLINE_MS_DEFAULT ((int64_t)10 * 60 * 1000)

struct holds *holds_new(struct env *env);
void holds_free(struct holds *holds); /* denies what waits; NULL is fine */

/* Is there an answer that was given for more than one request, by which this one may go? `verdict` says which rule asks. Then it becomes
 * EGRESS_ALLOW, with the answer's rule. */
bool hold_remembered(struct holds *holds, const struct egress_request *request, struct egress_verdict *verdict);

/* Parks a request whose verdict is EGRESS_APPROVE. `body` is all of it, as it would be sent; request and body are the caller's and must not
 * change until it is answered. `answered` is called once, on the loop and not from within: EGRESS_ALLOW, or EGRESS_DENY with what to say.
 * NULL when it cannot wait: then `refusal` says why. */
struct hold_waiter *hold_park(struct holds *holds, const struct egress_request *request, const struct egress_verdict *verdict,
			      struct view body, void (*answered)(void *self, const struct egress_verdict *verdict), void *self,
			      struct egress_verdict *refusal);
/* The client went away: `answered` is not called any more. */
void hold_cancel(struct hold_waiter *waiter);

/* HOLD_ANSWER (net/messages.h). */
MUST_USE int hold_answer(struct holds *holds, const json_t *body, struct err *err);
/* Denies all questions: rule "kill", … */
void holds_deny(struct holds *holds, const char *rule, const char *why);
/* Takes the answers that are remembered, as the control plane keeps them: ENV_PUT's "remembered". */
MUST_USE int holds_remember(struct holds *holds, const json_t *list, struct err *err);

/* The digest that a person's answer is bound to: of method, place, fields and body. */
void hold_digest(const struct egress_request *request, struct view body, char digest[65]);

#endif
