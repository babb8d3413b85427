/*
 * dlp: does what leaves a sandbox carry a secret? One pass over every byte of a message, in pieces of any size, in three stages:
 * the secrets that the environment is known to have, in all their encodings, and the values of its credentials, known by fingerprints; rules for the formats of credentials (Hyperscan, streaming);
 * and decoded views of whatever looks encoded. What the rules find is confirmed (entropy, stop words, checksums) before it counts.
 *
 * Rules are compiled once and shared (struct dlp_rules, immutable, any thread). Each environment has a struct dlp with its known secrets and
 * its window over several requests (any thread). A message belongs to one thread; nothing of it blocks.
 *
 * Use: dlp_begin, dlp_head (once, when there is a head), dlp_coding, dlp_feed…, dlp_end, dlp_free. At any time dlp_action says the strongest
 * action found so far. dlp_feed returns how many bytes of the body may be let go in all: what is behind them can still become part of a
 * finding. The caller that lets nothing go before dlp_end leaks nothing.
 */
#ifndef ASSAY_GATEWAY_DLP_DLP_H
#define ASSAY_GATEWAY_DLP_DLP_H

#include "base/json.h"
#include "gateway/egress/request.h"

#define DLP_RULES_MAX 4096
#define DLP_RULE_ID_MAX 64           /* with its NUL */
#define DLP_HOLD_BACK ((size_t)4096) /* bytes behind which no secret that a rule describes can begin */
#define DLP_FINDINGS_MAX 64          /* of one message; with more, it is blocked */
#define DLP_SECRETS_MAX 256
#define DLP_SECRET_LEAST ((size_t)8) /* shorter ones, and ones of few different characters, are not looked for */
#define DLP_SECRET_MOST ((size_t)8192)
#define DLP_BODY_HELD ((size_t)4 << 20) /* what callers keep before the first byte is let go, so that the refusal is a clean one */

/* From weak to strong. */
enum dlp_action { DLP_NONE, DLP_LOG, DLP_REDACT, DLP_HOLD, DLP_BLOCK };

enum dlp_where { DLP_PATH, DLP_QUERY, DLP_HEADER, DLP_BODY, DLP_TRAILER, DLP_MESSAGE, DLP_HOST };

struct dlp_finding {
	char rule[DLP_RULE_ID_MAX]; /* a rule's id; "known-secret", "unreadable", "too-much" for what is not a rule's */
	const char *title;          /* one line for people: constant, or lives as long as the rules */
	enum dlp_where where;
	enum dlp_action action;
	const char *view;  /* "plain", or how it was written: "base64", "escaped", "gzip", … */
	char digest[17];   /* of the value: 16 hexadecimal digits of its SHA-256; the value itself is not kept */
	bool exact;        /* `from` and `to` are the value's own bytes, as they were fed: they can be overwritten */
	uint64_t from, to; /* of the body; of the value inside its part otherwise */
	bool taken;        /* by dlp_finding_take() */
};

struct dlp_rules;
struct dlp;
struct dlp_message;

/*
 * Compiles Assay's own rules, unless `without_own`, and then `own` (a list as `egress: dlp: rules:` of assay.yaml has it, or NULL). A rule that
 * has the id of an earlier one replaces it. One without a pattern is about those that are there, `*` in its id standing for anything: its
 * `action` (block, hold, redact, log, off) is theirs, and values that `allow` describes are none; with `paths`, in requests for those only.
 * Later ones count over earlier ones. The database is kept in `cache_dir` (NULL: nowhere) by the digest of what it is made of. Blocks:
 * about a second, or 50 ms from the cache. The result has one reference.
 */
struct dlp_rules *dlp_rules_new(const json_t *own, bool without_own, const char *cache_dir, struct err *err);
/* Would they be taken? *wrong is the place in the list of the one that err is about; SIZE_MAX: of none. Blocks for a
 * millisecond, and what it takes to compile them one by one. */
MUST_USE int dlp_rules_check(const json_t *own, size_t *wrong, struct err *err);
struct dlp_rules *dlp_rules_ref(struct dlp_rules *rules);
void dlp_rules_unref(struct dlp_rules *rules); /* NULL is fine */
size_t dlp_rules_count(const struct dlp_rules *rules);
/* The rules as they are built in: [{"id", "title", "pattern" or "near" and "value", …, "found", "clean"}], borrowed for ever. */
const json_t *dlp_rules_built_in(void);
/* A gitleaks.toml as a list of rules for dlp_rules_new (owned by the caller). Blocks nothing. ERR_INVALID names the line. */
json_t *dlp_rules_from_gitleaks(struct view toml, struct err *err);

struct dlp_secret {
	const char *name; /* shown in findings: never the value */
	struct view value;
};

struct dlp *dlp_new(struct dlp_rules *rules); /* takes a reference of its own */
struct dlp *dlp_ref(struct dlp *dlp);
void dlp_unref(struct dlp *dlp); /* messages hold it too; NULL is fine */
/* Which rules messages use that begin from now on. */
void dlp_rules_set(struct dlp *dlp, struct dlp_rules *rules);
/* Replaces the environment's known secrets, for messages that begin from now on. The values are copied. Blocks for some 10 ms: call it on
 * the pool. */
MUST_USE int dlp_secrets_set(struct dlp *dlp, const struct dlp_secret *secrets, size_t count, struct err *err);

struct fingerprint;
struct dlp_known {
	const char *name;                /* of the credential */
	const struct fingerprint *print; /* a valid one; all of one key */
};
/* Replaces the values of the vault that are known by their fingerprints, for messages that begin from now on. Copied. */
void dlp_known_set(struct dlp *dlp, const struct dlp_known *known, size_t count);

/* A host name before anything is asked about it: may it be one that carries data? NULL: no; else why it may not be, a constant.
 * `listed`: a rule names this very host, not a wildcard. Canonical form. NULL dlp: only its form is looked at. */
const char *dlp_host(struct dlp *dlp, const char *host, bool listed);

/* Is there a secret in it, so that it may be shown nowhere? NULL dlp: does it look as if? */
bool dlp_host_carries(struct dlp *dlp, const char *host);

struct dlp_message *dlp_begin(struct dlp *dlp, enum dlp_where where); /* DLP_BODY or DLP_MESSAGE: what is fed */
void dlp_free(struct dlp_message *message);                           /* NULL is fine */
/* Path, query and fields, each alone and joined, and the content-encoding of what will be fed. */
void dlp_head(struct dlp_message *message, const struct egress_request *request);
/* Only the fields: trailers of a body, before or after dlp_end. */
void dlp_fields(struct dlp_message *message, enum dlp_where where, const struct egress_field *fields, size_t count);
/* The content-encoding of what will be fed ("gzip, br"); unknown ones are a finding that blocks. Before the first dlp_feed. */
void dlp_coding(struct dlp_message *message, struct view content_encoding);
/* Returns how many bytes of all that was fed may be let go. */
uint64_t dlp_feed(struct dlp_message *message, struct view bytes);
/* Looks at everything fed so far, for peers that wait for an answer to it before they send more: all of it may go then. */
uint64_t dlp_flush(struct dlp_message *message);
/* No more is fed. All findings are known. */
void dlp_end(struct dlp_message *message);

enum dlp_action dlp_action(const struct dlp_message *message);
/* Strongest first after dlp_end, else as found; borrowed until the next call for the message. */
const struct dlp_finding *dlp_findings(const struct dlp_message *message, size_t *count);
/* Each of them once, whenever it came, for who writes them down; NULL: no more yet. Borrowed as those. */
const struct dlp_finding *dlp_finding_take(struct dlp_message *message);
const char *dlp_action_name(enum dlp_action action);
const char *dlp_where_name(enum dlp_where where);

#endif
