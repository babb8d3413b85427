/*
 * markdown: strangers' words in Markdown that is shown as ours, at places where Markdown acts: a mention calls somebody, `Fixes #1` closes what it names,
 * a picture tells its host who looks. Names of tests, paths, what a program printed: all of it is a stranger's.
 */
#ifndef ASSAY_BASE_MARKDOWN_H
#define ASSAY_BASE_MARKDOWN_H

#include "base/buf.h"

#define MARKDOWN_CODE_BYTES_MAX ((size_t)1000)

/* Has it characters that people do not see, or that turn the order of what they see? */
bool markdown_hides(struct view text);
/* The text with everything hidden in it written out. */
void markdown_visible_add(struct buf *out, struct view text);
/* As code, one line in which nothing acts, cut to MARKDOWN_CODE_BYTES_MAX; nothing of an empty text. In the cell of a table (`is_cell`) it ends no cell. */
void markdown_code_add(struct buf *out, const char *text, bool is_cell);

#endif
