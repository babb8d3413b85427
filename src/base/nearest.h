/* nearest: "did you mean": of the names offered, the one a mistyped word is closest to. */
#ifndef ASSAY_BASE_NEAREST_H
#define ASSAY_BASE_NEAREST_H

#include "base/buf.h"

#define NEAREST_WORD_MAX ((size_t)64) /* longer words are near nothing */

struct nearest {
	struct view word;
	const char *name; /* the nearest so far, borrowed; NULL: none is within 1 edit (short words) to 3 edits (long ones) */
	size_t edits;
};

struct nearest nearest_new(struct view word);
void nearest_offer(struct nearest *nearest, const char *name);

#endif
