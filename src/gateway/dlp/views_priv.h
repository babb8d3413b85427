/* views_priv: the views one by one, for views.c, and what says where each has something to do. */
#ifndef ASSAY_GATEWAY_DLP_VIEWS_PRIV_H
#define ASSAY_GATEWAY_DLP_VIEWS_PRIV_H

#include "gateway/dlp/views.h"

#define WINDOW_BYTES ((size_t)64)
#define WINDOWS_MAX (VIEW_TEXT_MAX / WINDOW_BYTES + 1)
#define RUN_LEAST 24 /* digits of base 64, 32 or 16 in a row that are decoded */

/* What a window of a text has that asks for a view: of the first eight, their first byte is in it. */
#define SIGN_PERCENT 0x01u         /* %41, and +A of UTF-7 */
#define SIGN_AMP 0x02u             /* &#65; &lt; */
#define SIGN_BACKSLASH_U 0x04u     /* \u0041 \x41 */
#define SIGN_BACKSLASH_SLASH 0x08u /* \/ */
#define SIGN_BACKSLASH_OCTAL 0x10u /* \101 */
#define SIGN_EQUALS 0x20u          /* =41, and = at the end of a line */
#define SIGN_QUOTE 0x40u           /* a quote, and something that may stand between two */
#define SIGN_BACKQUOTE 0x80u
#define SIGN_HIGH 0x100u /* a byte that is not ASCII */
#define SIGN_NUL 0x200u
#define SIGN_DENSE 0x400u   /* short words, close together */
#define SIGN_NUMERIC 0x800u /* mostly digits */
#define SIGN_RUN 0x1000u    /* a run of RUN_LEAST digits of base 64 ends here, with some digits or capitals near */
#define SIGNS_ESCAPE (SIGN_PERCENT | SIGN_AMP | SIGN_BACKSLASH_U | SIGN_BACKSLASH_SLASH | SIGN_BACKSLASH_OCTAL)
#define SIGNS_QUOTE (SIGN_QUOTE | SIGN_BACKQUOTE)

struct signs {
	unsigned all;
	size_t window_count;
	uint16_t windows[WINDOWS_MAX];
	uint64_t tokens[WINDOWS_MAX];  /* of each window, which bytes are digits of base 64 */
	uint64_t quotes[WINDOWS_MAX];  /* which ones begin SIGN_QUOTE or SIGN_BACKQUOTE */
	uint64_t escapes[WINDOWS_MAX]; /* and which ones one of SIGNS_ESCAPE, or look as if */
};
/* Of at most VIEW_TEXT_MAX bytes; not of none. By the best of the ways that the processor has; all say the same. */
void signs_read(struct signs *signs, struct view text);
enum signs_way { SIGNS_PORTABLE, SIGNS_AVX2, SIGNS_AVX512, SIGNS_WAYS };
bool signs_read_by(struct signs *signs, struct view text, enum signs_way way); /* false: not on this processor */
/* The first place at or behind `at` that lies in a window which has any of the signs; SIZE_MAX: there is none. */
size_t signs_next(const struct signs *signs, unsigned any, size_t at);
/* The next byte, at or behind `at`, of SIGN_QUOTE or SIGN_BACKQUOTE; SIZE_MAX: there is none. */
size_t signs_quote(const struct signs *signs, size_t at);
/* The same of SIGNS_ESCAPE. */
size_t signs_escape(const struct signs *signs, size_t at);
/* The next run of RUN_LEAST digits of base 64 at or behind `at`, and where it ends; SIZE_MAX: there is none. */
size_t signs_run(const struct signs *signs, size_t at, size_t *end);

/* Where the next of four bytes is, at or behind `at`; the text's length when there is none. */
size_t view_find_any(struct view text, size_t at, const char any[4]);

/* A copy of a text in which some places are replaced, and of which only what is near to them is kept. */
struct patch {
	struct view text;
	struct buf out;
	size_t context; /* bytes that are kept on each side */
	size_t copied;  /* of the text */
	size_t count;
};
void patch_begin(struct patch *patch, struct view text);
void patch_put(struct patch *patch, size_t at, size_t skip, const char *by, size_t by_length); /* in order of `at` */
/* Emits it when there was anything to replace; frees it. */
void patch_end(struct patch *patch, const char *name, enum view_kind kind, view_emit *emit, void *self);

/* Letters that look like ASCII's, and characters that nobody sees (views_unicode.c). */
void view_unicode(struct view text, const struct signs *signs, view_emit *emit, void *self);
/* Runs of base 64, base 32 and hexadecimal digits (views_runs.c). */
void view_runs(struct view text, const struct signs *signs, view_emit *emit, void *self);
/* Of a text that is all there is: the values of a form, the strings of a JSON text, the parts of a multipart body, each joined. */
void views_of_whole(struct view text, view_emit *emit, void *self);

#endif
