/* stub: answers for outside hosts, from the rows of a stub file (doc/blueprint.md), as an HTTP server. */
#ifndef ASSAY_GATEWAY_STUB_H
#define ASSAY_GATEWAY_STUB_H

#include "gateway/seams/http.h"

/* The hook of a connection to a host with stubs: flow->to is its name. */
enum http_verdict stub_request(struct http_seam *seam, const struct http_head *head, struct buf *out);

/* The `response` of the first row that fits; NULL when none does. Borrowed. */
const json_t *stub_find(const json_t *rows, struct view method, struct view target);

#endif
