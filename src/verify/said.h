/*
 * said: what an application says of itself while a request is answered (OTLP, gateway/told.h): spans, and lines of logs, whose trace is one that
 * the gateway saw in the request's exchanges. It is the word of the code that is judged: it stands beside a finding, under its own name, and no
 * comparison and no verdict reads it.
 */
#ifndef ASSAY_VERIFY_SAID_H
#define ASSAY_VERIFY_SAID_H

#include "base/json.h"

#define SAID_MAX 40 /* of one request; more are left out */
#define SAID_TEXT_MAX 200

/* Notes by which traces words of this entry (its "seams" and "asked") will be known: `traces` is {trace: entry}. A trace that several requests have is the
 * last one's. */
void said_expect(json_t *traces, json_t *entry);
/* An exchange of the log: false when it is none of an application's words. Known ones become the entry's "said":
 * [{"service", "kind": "span|line", "text", "ms"?, "failed"?}]. Exporters are late: it may be of an earlier request. */
bool said_take(json_t *traces, const json_t *exchange);

#endif
