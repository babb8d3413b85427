/*
 * egress: the rules for what may leave a sandbox, as assay.yaml and the operator's policy file have them, in the form in which the gateway
 * takes them (gateway/policy/policy.h).
 */
#ifndef ASSAY_BLUEPRINT_EGRESS_H
#define ASSAY_BLUEPRINT_EGRESS_H

#include "base/json.h"
#include "blueprint/blueprint.h"

/* What scans (gateway/dlp) says of {"rules"?, "gitleaks"?}: which rule is wrong (SIZE_MAX: none of them) and why. Without one nobody asks. */
typedef int dlp_rules_judge(const json_t *description, size_t *wrong, struct err *err);
void dlp_rules_source(dlp_rules_judge *judge);
/* `egress: dlp:` as the gateway takes it (gateway/egress/scan_rules.h), without its gitleaks.toml; owned by the caller. */
json_t *blueprint_dlp_json(const struct blueprint *blueprint);
/* Puts a gitleaks.toml into it. */
MUST_USE int dlp_gitleaks_put(json_t *description, struct view text, const char *file_name, struct err *err);

#define POLICY_FILE_BYTES_MAX ((size_t)32 << 20)
#define POLICY_FILE_RULES_MAX ((size_t)200000)

/* A list; owned by the caller. */
json_t *egress_rules_json(const struct egress_rule *rules, size_t count);
/* The operator's policy file: {"rules": [...], "ceiling": bool, "passthrough": bool, "dlp"?: as blueprint_dlp_json(), "gitleaks"?: path}, its rules named "organisation-1", … where they have no
 * id; owned by the caller. Errors name file, line and column. An empty file has no rules: it denies nothing and allows nothing. */
json_t *policy_file_parse(struct view text, const char *file_name, struct err *err);
/* Of a file that may be either: an assay.yaml's egress rules (a list), or a policy file (an object), with its gitleaks.toml. Reads it; blocks. */
json_t *policy_file_load(const char *path, struct err *err);
/* The same of a text, a draft: without its gitleaks.toml. */
json_t *policy_text_load(struct view text, const char *file_name, struct err *err);

#endif
