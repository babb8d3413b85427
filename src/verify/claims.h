/*
 * claims: what an agent says it did, held against what is known. Sentences of its summary that state something checkable (tests pass, so many
 * of them; tests were added; these files were changed, only these; so many; the tests were run) become claims; everything else stays what
 * it is: its word. The reading is conservative: a sentence that hedges, negates or asks claims nothing, and what cannot be held against a fact is
 * `unknown`, never one of the other two.
 */
#ifndef ASSAY_VERIFY_CLAIMS_H
#define ASSAY_VERIFY_CLAIMS_H

#include "base/json.h"

#define CLAIMS_MAX 32
#define CLAIM_TEXT_MAX ((size_t)300) /* of the sentence, in a claim */

struct claim_facts {
	const json_t *report;  /* verify/verify.h; NULL: not judged */
	const json_t *changes; /* git_changes() from base to head; NULL: not known */
	const json_t *ran;     /* [text]: the commands and tools that the agent was seen to use; NULL: not known */
};

/* [{"claim": the sentence, "kind": "tests_pass|tests_added|tests_kept|tests_run|deployed|files|file_count", "status":
 * "confirmed|contradicted|unknown", "why": one line}], in the order of the text; owned by the caller. `summary`: any bytes. */
json_t *claims_check(struct view summary, const struct claim_facts *facts);

#endif
