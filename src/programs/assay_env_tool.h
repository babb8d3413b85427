/*
 * assay_env_tool: the tool API of `assay serve` (doc/api.md), as a workspace reaches it: http://assay.internal/tool/v1, where the gateway
 * knows who is asking.
 */
#ifndef ASSAY_PROGRAMS_ASSAY_ENV_TOOL_H
#define ASSAY_PROGRAMS_ASSAY_ENV_TOOL_H

#include "base/json.h"
#include "programs/assay_env_http.h"

#define TOOL_ANSWER_MAX ((size_t)64 << 20)
#define TOOL_SILENCE_MS 120000

/* One call with its whole answer as text in `out`; `body` NULL: none. */
MUST_USE int tool_call(const char *method, const char *path, const json_t *body, struct buf *out, struct err *err);
/* A body that is no JSON; the answer is, and owned by the caller. */
json_t *tool_bytes(const char *path, const char *type, struct view bytes, struct err *err);
json_t *tool_json(const char *method, const char *path, const json_t *body, struct err *err); /* owned by the caller */
/* A call that is answered by server-sent events: tells progress as it comes, gives what `done` brought, owned by the caller. */
json_t *tool_work(const char *path, const json_t *body, void (*progress)(void *self, const char *line), void *self,
		  struct err *err);
/* A URL without a port that names a service means that service's port. */
void tool_port_find(struct env_url *url);

#endif
