/*
 * refusal: how the gateway says no. To HTTP in one line of text, or in JSON to who accepts that, with the rule, the ledger's number and what to do; to
 * TLS that is not opened by an alert, which programs print; to anything else by the end of the connection. What ends before there is a
 * request is a row in the ledger and one among the exchanges all the same, and the control plane is told.
 */
#ifndef ASSAY_GATEWAY_EGRESS_REFUSAL_H
#define ASSAY_GATEWAY_EGRESS_REFUSAL_H

#include "gateway/egress/request.h"
#include "gateway/flow.h"

#define REFUSAL_METHOD "connect" /* of such a row in the ledger */

/* RFC 8446 section 6 */
enum refusal_alert { REFUSAL_ALERT_DENIED = 49, REFUSAL_ALERT_NAME = 112 };

/* The body. `request` may lack method and path. */
void refusal_format(const struct egress_request *request, const struct egress_verdict *verdict, uint64_t number, bool as_json,
		    struct buf *out);
/* The same as a whole answer of HTTP/1, after which the connection ends. `head`: what came of the request, to see what it accepts. */
void refusal_http_format(const struct egress_request *request, const struct egress_verdict *verdict, uint64_t number,
			 struct view head, struct buf *out);
void refusal_alert_format(enum refusal_alert alert, struct buf *out);
/* A connection to `host` that ends before there is a request: rows and word of it. Returns the ledger's number. */
uint64_t refusal_connection(struct flow *flow, const char *host, uint16_t port, const struct egress_verdict *verdict);
/* A request for who has none. */
struct egress_request refusal_sketch(const struct flow *flow, const char *host, uint16_t port);

#endif
