/*
 * mutate: small mistakes made in lines that a change brings, to ask whether its tests would see them; and which of those lines ran at all,
 * by what coverage tools wrote. Text only: operators that nearly all languages share, outside of quotes and comments, one mistake a line.
 */
#ifndef ASSAY_VERIFY_MUTATE_H
#define ASSAY_VERIFY_MUTATE_H

#include "base/json.h"

#define COVERAGE_BYTES_MAX ((size_t)16 << 20)

/* Lines that a unified diff adds: [{"path", "line": number in the head, "text"}]. Owned by the caller. */
json_t *diff_lines(struct view diff);
/* The line with one mistake in it, and what was done ("== for !="); NULL: there is nothing to mistake. Owned by the caller; *what is static. */
char *mutant_of(struct view line, const char **what);
/* Adds the lines of a file of lcov, Cobertura, gcov (--json-format, gcovr --json), coverage.py (json) or go (-coverprofile) to
 * {path: {line number as text: how often it ran}}. Whatever cannot be read is left out: the file was written by the code under test. */
void coverage_read(struct view text, json_t *coverage);
/* How often a line ran: -1 when nothing is known of it. Paths in coverage may be absolute, or begin further down. */
int64_t coverage_of(const json_t *coverage, const char *path, int64_t line);

#endif
