/*
 * verify: evidence about a commit that its author cannot fake.
 *
 * The verifier forks fresh environments from the exact commits (base, base again, head) and one snapshot; nothing of the agent's
 * sandbox is used, and how to judge (blueprint, test commands, sessions, protected paths) comes from base. Gates run as a ladder that
 * stops at the first blocking rung. What could not be told is "unverified", never one of the other two.
 */
#ifndef ASSAY_VERIFY_VERIFY_H
#define ASSAY_VERIFY_VERIFY_H

#include "sandbox/environment.h"
#include "verify/pressure.h"

struct reproduction;

enum verdict { VERDICT_VERIFIED, VERDICT_FAILED, VERDICT_UNVERIFIED };

#define SECRETS_TOO_MANY "too-many" /* a rule: there are more in a text than are told apart */

/* What the gate `scan` asks of this machine. */
struct verify_sources {
	/* Finds secrets in texts of files. Appends {"text": its place, "rule", "title", "line": 0 when it is not known, "digest": of the value,
	 * "mild": true for what harms nobody}. Blocks. NULL: nothing looks for them. */
	int (*secrets)(void *self, const struct view *texts, size_t count, json_t *found, struct err *err);
	void *self;
	const char *advisories_dir; /* verify/advisories.h; it need not exist. NULL: none */
};

struct verify_request {
	struct environments *environments;
	const char *repository; /* bare, ours */
	struct git_hash base;
	struct git_hash head;
	const char *sessions_dir;  /* held-out sessions (HAR files) of this repository, or NULL */
	const char *artefacts_dir; /* made; reports, logs and exchange pairs go here, named by digest in the report */
	const char *cache_dir;     /* made; kept runs of bases, shared by verifications; NULL: none are kept */
	const json_t *declared;    /* [{"match", "by", "because"}]: differences that are meant (verify/declared.h); NULL: none */
	const json_t
		*secrets; /* {placeholder: value} of sessions (session/hide.h): what their requests need to be sent; NULL: none */
	const struct verify_sources *sources;    /* NULL: none */
	const struct reproduction *reproduction; /* one finding of a record (verify/reproduction.h); NULL: everything is asked */
	int attempt;                             /* 1…: shown in feedback */
	int attempts;
	struct progress progress; /* steps are "<gate>" or "<gate>: <what>" */
	struct world world;
	struct pressure_source pressure; /* {0}: of this machine */
};

/*
 * Returns 0 when a verdict was reached (whatever it is). *report is owned by the caller:
 * {"verdict": "verified|failed|unverified", "reason": one sentence, "base": hash, "head": hash, "base_tree", "head_tree", "repository",
 *  "snapshot": {"name", "version", "digest"} | null, "blueprint_digest", "tool": {"version"}, "topology": "full",
 *  "started_ms", "ms", "attempt", "attempts",
 *  "gates": [{"name": "deploy|tests|red-green|integrity|scan|replay|migrations|faults|race|visual|mutation", "title", "status": "pass|fail|unstable|skipped", "reason", "ms",
 *             "counts": {…}, "findings": [ids]}],
 *  "findings": [{"id": "f-" 12 hex, stable over attempts, "gate", "severity": "block|warn|info", "title": one line,
 *                "request": {"method", "url", "body"} | null, "expected": any, "got": any,
 *                "expected_tree": [calls], "got_tree": [calls],   // {"edge": "front > catalog", "call": "GET /products/1", "status": 200, "depth": 0, "late"?, "error"?, "count"?} (verify/tree.h)
 *                "expected_said"?: [words], "got_said"?: [words], // the application's own, by OTLP: {"service", "kind": "span|line", "text", "ms"?, "failed"?} (verify/said.h)
 *                "file": path | null, "line": n, "detail": text, "timed"?: true,   // a busy machine could bring it about, too
 *                "reproduce": "assay-env http POST http://front/api/orders …",
 *                "declared"?: {"match", "by", "because"}}],     // it would block or warn, but is meant
 *  "declared": [{"match", "by", "because", "findings": how many it was for}],
 *  "sessions": [{"name", "digest", "requests", "held_out"}],
 *  "noise": [{"endpoint", "path", "class"}], "not_covered": ["service pricing: no exchange of the sessions reaches it", …],
 *  "artefacts": [{"name", "digest", "bytes"}],
 *  "media": [{"name", "title", "type": "image/png" | "video/webm" | "video/mp4", "digest", "bytes"}]}   // those that people look at
 */
MUST_USE int verify_run(const struct verify_request *request, json_t **report, struct err *err);

/* What the agent is told: at most three findings, worst first, each with request, expected, got, where the call trees first differ, and
 * the command that reproduces it; held-out bodies beyond the failing one are not shown. */
void verify_feedback(struct buf *out, const json_t *report);

enum verdict verdict_of(const json_t *report);
const char *verdict_name(enum verdict verdict);

#endif
