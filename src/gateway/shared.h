/*
 * shared: an environment that stands on another one, its baseline: some services are its own, the others answer where the baseline has
 * them. Whose a request is travels in the member `env` of its `baggage` (https://www.w3.org/TR/baggage/), which only the gateway writes.
 */
#ifndef ASSAY_GATEWAY_SHARED_H
#define ASSAY_GATEWAY_SHARED_H

#include "gateway/seams/http.h"

#define SHARED_BAGGAGE_MAX ((size_t)8192) /* what must be passed on (Baggage, section 3.3) */

/* How the requests of a connection between two rooms are taken: plainly, stamped, or each to where it belongs. */
const struct http_seam_hooks *shared_hooks(const struct flow *flow);
/* The environment that others stand on when this one does, or NULL. */
struct env *shared_below(const struct env *env);
bool shared_is_baseline(const struct env *env);
/* Writes the fields of a request that comes in from outside, with its own `baggage` in place of what it says of environments. */
void shared_baggage_write(const struct http_head *head, const char *env, struct buf *out);
/* What cannot be stamped passes as it is, and that is told. */
void shared_unstamped(struct flow *flow, const char *protocol);
/* Connections that were begun before anybody stood on the environment. */
void shared_baseline_begin(struct env *baseline);

/* The value of a `baggage` field: appended to `out` but for the members called `env`; *env (64 bytes) is the last of those, or "". */
void shared_baggage_read(struct view value, struct buf *out, char env[64]);

#endif
