/*
 * faults: what two runs under the same faults (gate_faults.c) say of each other. What a head does worse than the base is a finding: an
 * error instead of an answer, a success over the failure of a call that was made and not made again, a call made twice as two, rows or
 * effects of what failed, no end of waiting. A retry that helps is none.
 *
 * An entry of a run was sent "under" a fault on its seam, as recorded, or "in_passing", only to come to another; "part" counts the environments
 * of a run, "written" is {table: rows more}.
 */
#ifndef ASSAY_VERIFY_FAULTS_H
#define ASSAY_VERIFY_FAULTS_H

#include "verify/compare.h"

#define ALL_THE_TIME "all the time" /* the end of an "under": who tries again is not helped */

struct faults {
	const json_t *base, *again; /* two runs of the base */
	const json_t *inside;       /* as for call_edge() */
	size_t shared;              /* in parts from this one on nothing is judged but what was sent under a fault */
};

/* The head's run held against the base's: findings, worst first, owned by the caller. `comparison` is of the same runs of the base. */
json_t *faults_judge(const struct faults *faults, const struct comparison *comparison, const json_t *head);

/* Was the entry at that place, under a fault, carried out by one side only, or to another end? Then nothing after it in its part can be held
 * against each other. */
bool faults_part_ways(const struct faults *faults, size_t at, const json_t *head);

#endif
