/*
 * views: what a text says when it is read another way. Each view is made only when something in the text asks for it, and only of the
 * parts that do; the views of views are made by the caller, up to its depth.
 */
#ifndef ASSAY_GATEWAY_DLP_VIEWS_H
#define ASSAY_GATEWAY_DLP_VIEWS_H

#include "base/buf.h"

#define VIEW_TEXT_MAX ((size_t)64 << 10) /* bytes of text that are looked at in one call */
#define JOINED_LEAST 8                   /* characters that pieces have together; without digits, twice as many */

enum view_kind {
	VIEW_DECODED, /* what was written is what was meant: every rule is used */
	VIEW_PIECED,  /* parts were put together that may not belong together */
	VIEW_TURNED,  /* so was everything: nothing more is to be read from it */
};

typedef void view_emit(void *self, const char *name, enum view_kind kind, struct view decoded);

/* `decoded` lives during the call of `emit`, which may call views_make again. `whole`: nothing came before the text, or will come after.
 * `words`: what is looked for may be made of small letters alone, so that any two words may be its parts. */
void views_make(struct view text, bool whole, bool words, view_emit *emit, void *self);
/* The text backwards, or its letters moved by 13: for a caller that found a sign of it. */
void views_turned(struct view text, bool reversed, view_emit *emit, void *self);

#endif
