/*
 * race: what an application makes of several copies of one request that are sent at once, held against the same copies one after another.
 *
 * Theory of operation: who takes turns properly comes to the same end either way: as many answers that say yes, as many rows for each of
 * them, the same change of every number for each of them, no number below nothing, no value twice that was distinct. What differs is a race.
 * A run holds, for each request, the steps that were made of it, in an environment where copies were sent at once and in one where they
 * were not (verify/gate_race.c); here they are judged.
 *
 * A step is {"name": "cold" | "turns" | "turns again" | "warm" | "scarce", "ok", "refused", "failed", "lost": how many copies were answered
 * so, "rows": {table: more}, "sums": {column: more}, "least": {column: value}, "distinct": {column: true}, "repeated": {column: true},
 * "broken": [names of invariants], "cut": bool, "scarce"?: column}; a race {"place", "session", "entry", "steps": [step…]}.
 */
#ifndef ASSAY_VERIFY_RACE_H
#define ASSAY_VERIFY_RACE_H

#include "base/json.h"

#define RACE_COPIES 4

/* What is written now, of environment_rows_written(): {"rows", "sums", "least", "distinct", "repeated", "cut"}. Owned by the caller. */
json_t *race_measure(const json_t *rows);
/* The step from one measure to the next, without its answers. Owned by the caller. */
json_t *race_step(const char *name, const json_t *before, const json_t *after);
/* The column that each copy takes the same from, of one row only, between three lists of rows written ("turns" and "turns again" apart):
 * {"database", "table", "column", "key": {…}, "value": what it is now, "each": how much is taken}; NULL: there is none. Owned by the caller. */
json_t *race_scarce(const json_t *first, const json_t *second, const json_t *third);

/* Findings of copies at once (`together`) that copies in turn (`turns`) do not have, both [race…] of one version: each blocks. Places that
 * could not be judged are appended to `unstable` ([{"endpoint", "reason"}]). Owned by the caller. */
json_t *races_judge(const json_t *turns, const json_t *together, json_t *unstable);
/* Stated invariants that hold in `base_turns` and do not in `head_turns`, though nothing was sent at once: added to `findings`. */
void races_judge_turns(const json_t *base_turns, const json_t *head_turns, json_t *findings);

#endif
