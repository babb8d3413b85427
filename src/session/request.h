/* request: a request of an operation that a document describes (session/openapi.h), with values for its parameters and its body. */
#ifndef ASSAY_SESSION_REQUEST_H
#define ASSAY_SESSION_REQUEST_H

#include "http/exchange.h"

/* `values` is [{"in", "name", "value"}]; `body` may be NULL. The answer is the one that the operation has as example. False, and nothing made:
 * a part of the path has no value, or an empty one. */
MUST_USE bool request_make(const json_t *operation, const json_t *values, const json_t *body, struct exchange *exchange);

#endif
