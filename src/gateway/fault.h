/*
 * fault: a seam of an environment that is broken on purpose, until it is cleared or has been met as often as was asked: to see what the
 * callers do. Nothing of it is kept: a gateway that starts again has none, and no verification ever meets one, because its environments
 * are fresh.
 *
 * hang: a request is not answered; slow: it goes on after a while; reset: its connection is reset; lost: it is answered, and the connection
 * is reset instead of handing the answer on; 503: it is answered so, by us. Requests are those of HTTP, of either version (services and stubs; HTTP/2: gateway/seams/h2.h); at a
 * database's seam it is what the client sends next, and lost and 503 are not to be had. At a broker's (RabbitMQ, NATS with JetStream, streams of Redis) lost is a
 * message that was dealt with, and whose acknowledgement does not arrive: its connection is reset, and the broker gives it again (Redis: to
 * who asks for what it was given before).
 */
#ifndef ASSAY_GATEWAY_FAULT_H
#define ASSAY_GATEWAY_FAULT_H

#include "gateway/flow.h"
#include "gateway/seams/http.h"

#define FAULTS_MAX 16
#define FAULT_MS_MAX 600000

/* {"kind": "hang|slow|reset|lost|503|clear|list", "seam"?: "caller->name" or "name" for every caller, "times"?, "ms"?}. Another fault of the same
 * seam is replaced; what it held goes on. */
MUST_USE int faults_change(struct env *env, const json_t *body, struct err *err);
/* [{"from"?, "to", "kind", "ms"?, "left"?, "met"}]; owned by the caller. */
json_t *faults_list(const struct env *env);
void faults_free(struct faults *faults);

enum fault_kind { FAULT_HANG, FAULT_SLOW, FAULT_RESET, FAULT_LOST, FAULT_503, FAULT_NONE };

/* What fault a request of the flow's caller meets, and how slow that is. */
enum fault_kind fault_take(struct flow *flow, int64_t *ms);
/* A request from the flow's caller to what it goes to: HTTP_PASS when it meets no fault. */
enum http_verdict fault_request(struct http_seam *seam);
/* The same for what a database's client sent: true when it is not to go on now. Then the caller keeps it, and `resume` says when it may. */
bool fault_holds(struct flow *flow, void (*resume)(struct flow *flow));
/* What a broker's client sent acknowledges a message: true when it does not arrive; the flow is closed. */
bool fault_loses(struct flow *flow);

#endif
