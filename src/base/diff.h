/* diff: the lines that a unified diff adds. Text only: whatever comes, the reader ends. */
#ifndef ASSAY_BASE_DIFF_H
#define ASSAY_BASE_DIFF_H

#include "base/buf.h"

struct diff_line {
	struct view path; /* empty: of a name that git quotes (control characters, quotes) */
	int64_t number;   /* in the head */
	struct view text; /* without its `+` */
};

/* All of it is the reader's, and begins as {.rest = the diff}. */
struct diff_reader {
	struct view rest;
	struct view path;
	int64_t number;
	bool in_hunk;
};

/* The next line that is added, borrowed from the diff; false: there is none. */
bool diff_next(struct diff_reader *reader, struct diff_line *line);

#endif
