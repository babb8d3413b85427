/*
 * finding: one thing that a gate found, and the list of them, worst first. A finding's id is a digest of gate, place and kind, never of
 * values: the same defect has the same id in every attempt, so that "fixed", "still there" and "new" can be told. One that a person
 * accepts for what it reads (an edit of a protected file) is bound to that, too: what is written there later is another finding.
 */
#ifndef ASSAY_VERIFY_FINDING_H
#define ASSAY_VERIFY_FINDING_H

#include "base/json.h"

#define FINDINGS_MAX ((size_t)200) /* of one gate; the worst are kept */
#define EVIDENCE_BYTES_MAX ((size_t)4096)

enum severity { SEVERITY_BLOCK, SEVERITY_WARN, SEVERITY_INFO };

struct finding {
	const char *gate;
	const char *kind;  /* "status", "missing", …: a part of the id */
	const char *place; /* endpoint, edge, table or file: a part of the id */
	const char *path;  /* within it, or "" */
	const char *bound; /* what it says holds for these contents alone: a part of the id; NULL: for whatever is there */
	enum severity severity;
	int weight;        /* among those of one severity: more is worse */
	const char *title; /* one line */
	const char *detail;
	const json_t *expected; /* borrowed, cut to EVIDENCE_BYTES_MAX; NULL: null */
	const json_t *got;
	const char *file;
	int line;
};

/* Adds to the array `findings`; one of the same id is counted instead ("count"), and the worst of them is told. Returns it, borrowed, with *fresh
 * false when it was there already and no milder; NULL when the list is full of what is as bad: milder ones make room. */
json_t *finding_add(json_t *findings, const struct finding *finding, bool *fresh);
/* Worst first, stable. */
void findings_sort(json_t *findings);
bool findings_block(const json_t *findings);
bool finding_is(const json_t *finding, enum severity severity);
/* Borrowed, or NULL. */
json_t *finding_find(const json_t *findings, const char *id);
const char *severity_name(enum severity severity);
/* A value as one short line: for titles. */
void value_describe(struct buf *out, const json_t *value);
/* A call of a finding's trees (verify/tree.h) as a line: "  orders > bank POST /pay -> 503 (3 times)". What would end it is a blank. */
void finding_call_format(struct buf *out, const json_t *row);
/* Both trees as lines of a diff, each behind `indent`, from shortly before the first difference on; nothing when there is none. */
void finding_trees_format(struct buf *out, const json_t *finding, const char *indent);
/* A copy whose text is at most EVIDENCE_BYTES_MAX long; a larger one becomes the beginning of its text. Owned by the caller. */
json_t *evidence_of(const json_t *value);

#endif
