/*
 * pairs: names and their values in a text that is nearly JSON: cut in the middle, several one after the other, with a name twice. They are
 * told by their quotes: "name", a colon, then a text, a number, or a list of those.
 */
#ifndef ASSAY_SESSION_PAIRS_H
#define ASSAY_SESSION_PAIRS_H

#include "base/buf.h"

enum pair_kind {
	PAIR_TEXT,   /* without its quotes, as it stands there, with escapes */
	PAIR_CUT,    /* the same of one that has no end */
	PAIR_NUMBER, /* a whole one, of digits alone */
};

/* What the value becomes, as it is to stand there; owned by the caller, NULL: it stays. */
typedef char *pair_change(void *self, struct view name, struct view value, enum pair_kind kind);

/* Appends the text with its values changed. Returns whether one was. */
bool pairs_each(struct buf *out, struct view text, pair_change *change, void *self);

#endif
