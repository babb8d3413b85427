/*
 * terminal: writing for people. What comes from outside (agents, services, repositories) is made harmless first: control
 * characters, escape sequences and invisible direction marks are shown instead of obeyed.
 */
#ifndef ASSAY_CLI_TERMINAL_H
#define ASSAY_CLI_TERMINAL_H

#include <stdio.h>

#include "base/buf.h"

/* Appends `text` with control characters replaced (ESC becomes ␛, the others a dot-like mark) and bytes that are no UTF-8 as U+FFFD.
 * Newlines and tabs stay when `lines`; otherwise they become blanks, and runs of them one. */
void terminal_clean(struct buf *out, struct view text, bool lines);
/* The same, owned by the caller, on one line; NULL gives "". */
char *terminal_line(const char *text);
/* Cuts a cleaned text to `columns` columns with an ellipsis; one column a character is assumed. Owned by the caller. */
char *terminal_fit(const char *text, int columns);

bool terminal_is(FILE *file);     /* a terminal on which lines can be redrawn */
int terminal_columns(FILE *file); /* 80 when unknown */
int terminal_rows(FILE *file);    /* 24 when unknown */

enum tone { TONE_PLAIN, TONE_BOLD, TONE_FAINT, TONE_GOOD, TONE_BAD, TONE_UNSURE, TONE_BUSY };
/* The sequence that begins or ends a tone; "" when `file` is no terminal or NO_COLOR is set. Borrowed. */
const char *terminal_tone(FILE *file, enum tone tone);
const char *terminal_end(FILE *file);

#endif
