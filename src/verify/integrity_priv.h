/* What the rules know of a language, shared by the reader of test files and the rules. */
#ifndef ASSAY_VERIFY_INTEGRITY_PRIV_H
#define ASSAY_VERIFY_INTEGRITY_PRIV_H

#include "verify/integrity.h"

enum named {
	NAMED_QUOTED = 1, /* the first quoted text behind it */
	NAMED_WORD,       /* the word it begins, or that follows */
	NAMED_REST,       /* until its own last character comes again */
	NAMED_AFTER_TEST, /* the word that follows, on a line after a mark (#[test], @Test) */
};

struct declaration {
	const char *text;
	enum named named;
};

struct language {
	const char *extensions[8];
	struct declaration tests[9];
	const char *skips[13];
	const char *onlys[6];
	const char *asserts[7];
	const char *comment;
};

/* NULL: no language whose tests we can read. */
const struct language *language_of(const char *path);
bool line_has_any(struct view line, const char *const *words, size_t count);
/* Lines that assert something. */
size_t assertions_of(const char *path, struct view text);

#endif
