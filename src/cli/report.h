/*
 * report: a verification's report (verify/verify.h), or the predicate of its record, drawn for people: gates with marks, findings with what
 * was expected and what came side by side, and what was not covered.
 */
#ifndef ASSAY_CLI_REPORT_H
#define ASSAY_CLI_REPORT_H

#include "base/json.h"
#include "cli/terminal.h"

struct report_form {
	bool all;      /* findings that only inform, too; otherwise they are counted */
	bool no_gates; /* they were drawn already, as they ended */
};

/* On standard output. */
void report_draw(const json_t *report, struct report_form form);
/* "✓ deploy        deploys and migrates              1.2 s  reason" */
void report_gate_draw(FILE *file, const json_t *gate);
/* The mark and tone of a gate's status, or of a verdict. */
const char *report_mark(const char *status);
enum tone report_tone(const char *status);

#endif
