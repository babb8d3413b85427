/*
 * leak: what in a text looks like somebody's data: e-mail addresses, telephone and card numbers, tokens. What nobody can have is none:
 * example.com and its like, telephone numbers kept for fiction, the cards that payment providers publish for tests.
 */
#ifndef ASSAY_DATA_LEAK_H
#define ASSAY_DATA_LEAK_H

#include "base/buf.h"

enum leak_kind { LEAK_EMAIL, LEAK_PHONE, LEAK_CARD, LEAK_TOKEN, LEAK_KINDS };

/* A pattern (POSIX extended, case kept) that every text with something to find matches: for the server to look first. */
extern const char leak_pattern[];

/* Adds what was found to counts[]. `name` is the column's or key's name: digits alone are a telephone number where it says so. */
void leak_find(struct view text, const char *name, int64_t counts[LEAK_KINDS]);
const char *leak_name(enum leak_kind kind); /* "email", as the kind of mask that mends it */

#endif
