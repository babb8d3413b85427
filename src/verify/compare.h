/*
 * compare: what one version of an application does differently from another, on the same requests and the same data.
 *
 * Theory of operation: two runs of the base teach what differs by itself (ids, tokens, times, order): the *noise*, by endpoint and
 * field, with the class of what was seen. A run of the head is then held against the base, layer by layer: status, headers, cookies,
 * body, calls on the seams, calls to the outside, rows written, logs. A noisy field is not ignored, it must stay in its class. Where the two
 * base runs disagree about a *status*, the endpoint is unstable: nothing is claimed about it, and nothing passes because of it.
 *
 * A run is {"entries": [{"session", "request": {"method", "url", "headers", "body"}, "response": {"status", "headers", "body"} | null,
 * "error"?: text, "ms", "under"?: what was special about it, "seams": [exchanges as in net/messages.h], "asked"?: [those of the preview, without
 * what the entry has already]}], "rows": as environment_rows_written() gives them, "logs"?: {service: {"errors", "leaks"}} (verify/logs.h)}.
 * Severities are those of the verify stage's contract: what a consumer would notice blocks, what may be meant warns, additions inform.
 */
#ifndef ASSAY_VERIFY_COMPARE_H
#define ASSAY_VERIFY_COMPARE_H

#include "base/json.h"

struct compare_options {
	const char *gate;     /* whose findings they are */
	const json_t *inside; /* {name: "service" | "database"}: what is not in it is the outside */
};

struct comparison;

/* `base` and `again` are borrowed for the life of the comparison. */
struct comparison *comparison_new(const json_t *base, const json_t *again, const struct compare_options *options);
void comparison_free(struct comparison *comparison);
/* Findings, worst first; "at" of one is the place of its entry in the runs. Owned by the caller. */
json_t *comparison_judge(const struct comparison *comparison, const json_t *head);
/* [{"endpoint", "path", "class"}], owned by the caller. */
json_t *comparison_noise(const struct comparison *comparison);
/* [{"endpoint", "reason"}]: where the base disagrees with itself. Owned by the caller. */
json_t *comparison_unstable(const struct comparison *comparison);
/* Of the blocking findings of one head run those that a second one has too; the others become warnings that say so. */
void findings_confirm(json_t *findings, const json_t *again, json_t *unstable);

#endif
