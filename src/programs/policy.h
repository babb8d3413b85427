/* policy: requests judged under rules that are not in force, for `assay policy`: by the gateway's own judge. */
#ifndef ASSAY_PROGRAMS_POLICY_H
#define ASSAY_PROGRAMS_POLICY_H

#include "base/json.h"

/* For each of `requests` ({"method", "url", "origin": {"env", "sandbox", "agent", "repository", "run"}}) what policy_explain() says
 * (gateway/policy/policy.h); one whose URL has no form is denied with rule "canonical-form". Wrong rules are the error. */
json_t *policy_requests_judge(const json_t *policy, const json_t *above, const json_t *requests, struct err *err);

/* A dlp_rules_judge (blueprint/egress.h): by the scanner itself. */
int policy_dlp_judge(const json_t *description, size_t *wrong, struct err *err);

/* Takes what is to be scanned by out of the body of a POLICY_PUT, into a file that goes beside it: it may be large. *fd is -1, or the
 * caller's. */
MUST_USE int policy_scan_file(json_t *body, int *fd, struct err *err);

#endif
