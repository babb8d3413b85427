/*
 * rest: JSON over HTTP as code hosts and trackers speak it, and what their answers mean for the caller: the one table of retries and limits
 * for all of them. Redirects are not followed and nothing is tried again here. Blocks.
 *
 * Sources: docs.github.com "Rate limits for the REST API", "Troubleshooting the REST API"; docs.gitlab.com "Rate limits".
 */
#ifndef ASSAY_HTTP_REST_H
#define ASSAY_HTTP_REST_H

#include "base/json.h"
#include "base/world.h"
#include "http/client.h"

#define REST_HEADERS_MAX 8
#define REST_ANSWER_BYTES_MAX ((size_t)32 << 20)
#define REST_TIMEOUT_MS 20000
#define REST_PAUSE_MS ((int64_t)60000) /* of a limit that names no end */

struct rest_call {
	const char *method; /* NULL: GET, or POST with a body */
	const char *url;
	const json_t *body;
	struct view bytes;                            /* instead of `body`, with `type` */
	const char *type;                             /* NULL: no bytes are sent */
	struct http_header headers[REST_HEADERS_MAX]; /* beside Accept, User-Agent and Content-Type; ends with an empty name */
	bool plain;                                   /* what comes back is no JSON: it is `text` */
};

struct rest_answer {
	unsigned status; /* 0: none came */
	json_t *body;    /* of any status; NULL: nothing came, or no JSON */
	struct buf text; /* of a plain answer */
	int64_t wait_until_ms;
	char location[1024]; /* of a redirect, else empty */
	char needs[256];     /* permissions that a refusal names, else empty */
	char scopes[512];    /* what the token may, by commas, where it is said; else empty */
	char next[1024];     /* the URL of the next page, else empty */
};

/*
 * 0 for 2xx, and for 3xx of a plain call. Else by what the caller does next: ERR_RETRY (no answer, 408, 425, 5xx, or 2xx that is no JSON), ERR_LIMIT with
 * `wait_until_ms` (a limit was announced: nothing of this account before then), ERR_DENIED (401, 403), ERR_NOT_FOUND (404, 410, and what is
 * somewhere else now), ERR_CONFLICT
 * (409), ERR_INVALID (the rest; what the host said is in the text). End `answer` with rest_answer_fini in any case.
 */
MUST_USE int rest_ask(struct world world, const struct rest_call *call, struct rest_answer *answer, struct err *err);
void rest_answer_fini(struct rest_answer *answer);

/* A form with one file (RFC 7578) appended to `out`; its media type, with the boundary, is owned by the caller. `file` is a plain name. */
char *rest_form(struct world world, const char *field, const char *file, const char *file_type, struct view bytes, struct buf *out);
#define AUTO_ANSWER __attribute__((cleanup(rest_answer_fini))) struct rest_answer

#endif
