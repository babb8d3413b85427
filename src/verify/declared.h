/*
 * declared: differences that are meant. A change that alters behaviour on purpose is told so by a person; what was declared stays in the
 * report, is shown as declared and by whom, and does not block. What is not declared does.
 *
 * A declaration is {"match": text, "by": who, "because": why}. It matches findings
 *
 *	f-0123456789ab                     by their id: of any gate but `deploy`
 *	GET /api/products                  by their place: all that is different there
 *	GET /api/products body.items.*     by place and path; `*` stands for any characters
 *	POST /api/orders status            by place and kind
 *
 * the last three only where behaviour was compared, which is what they speak of: a test that was removed is no behaviour.
 */
#ifndef ASSAY_VERIFY_DECLARED_H
#define ASSAY_VERIFY_DECLARED_H

#include "base/json.h"
#include "blueprint/blueprint.h"

#define DECLARATION_BYTES_MAX ((size_t)300)
#define DECLARATIONS_MAX 100 /* of one verification */

/* One line, not blank, and more than wildcards: "*" would declare whatever comes. ERR_INVALID says what it may be. */
MUST_USE int declaration_check(const char *match, struct err *err);
bool declaration_fits(const char *match, const json_t *finding);
/*
 * Findings that `declared` matches become "info", with "declared": {"match", "by", "because"}. Only those that block or warn are looked at. The
 * first that matches counts. Returns how many that blocked do not any more.
 */
size_t findings_declare(json_t *findings, const json_t *declared);
/* What the blueprint's rules say of differences of behaviour: each becomes what the first rule that fits it says, with "ruled": {"match", "as", "because"}.
 * Those that must not be made less of (gates that compare nothing) are not looked at. */
void findings_rule(json_t *findings, const struct severity_rule *rules, size_t count);
/* The declarations, each with "findings": how many it was for. Owned by the caller. */
json_t *declared_count(const json_t *declared, const json_t *findings);
/* What was declared and seen, and by whom, as people read it: "2 declared by ada, bob"; NULL: nothing was. Owned by the caller. */
char *declared_summary(const json_t *findings);

#endif
