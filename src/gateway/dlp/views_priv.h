/* views_priv: the views one by one, for views.c. */
#ifndef ASSAY_GATEWAY_DLP_VIEWS_PRIV_H
#define ASSAY_GATEWAY_DLP_VIEWS_PRIV_H

#include "gateway/dlp/views.h"

#define WINDOW_BYTES ((size_t)64)
#define WINDOW_DENSE 1   /* short words, close together */
#define WINDOW_NUMERIC 2 /* mostly digits */

/* What a text has that asks for a view. */
struct signs {
	bool percent, amp, backslash, equals, plus, high, nul, quote;
	bool dense, numeric; /* a window is */
	size_t window_count;
	unsigned char windows[VIEW_TEXT_MAX / WINDOW_BYTES + 1];
};

/* A copy of a text in which some places are replaced, and of which only what is near to them is kept. */
struct patch {
	struct view text;
	struct buf out;
	size_t copied; /* of the text */
	size_t count;
};
void patch_begin(struct patch *patch, struct view text);
void patch_put(struct patch *patch, size_t at, size_t skip, const char *by, size_t by_length); /* in order of `at` */
/* Emits it when there was anything to replace; frees it. */
void patch_end(struct patch *patch, const char *name, enum view_kind kind, view_emit *emit, void *self);

/* Letters that look like ASCII's, and characters that nobody sees (views_unicode.c). */
void view_unicode(struct view text, view_emit *emit, void *self);
/* Runs of base 64, base 32 and hexadecimal digits (views_runs.c). */
void view_runs(struct view text, view_emit *emit, void *self);
/* Of a text that is all there is: the values of a form, the strings of a JSON text, the parts of a multipart body, each joined. */
void views_of_whole(struct view text, view_emit *emit, void *self);

#endif
