/*
 * buf and view: bytes that are owned, and bytes that are borrowed.
 *
 * A view borrows; it is never NUL-terminated by promise. A buf owns and grows up to a maximum stated when it is made. Going
 * over the maximum drops what does not fit, remembers it, and is reported once by buf_finish(): so that code which appends
 * in ten places needs one check.
 */
#ifndef ASSAY_BASE_BUF_H
#define ASSAY_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"

struct view {
	const char *at;
	size_t length;
};

#define VIEW(literal) ((struct view){(literal), sizeof(literal) - 1})

static inline struct view view_of(const char *text)
{
	return (struct view){text, text ? strlen(text) : 0};
}
static inline struct view view_make(const void *at, size_t length)
{
	return (struct view){(const char *)at, length};
}
static inline bool view_equal(struct view a, struct view b)
{
	return a.length == b.length && (a.length == 0 || memcmp(a.at, b.at, a.length) == 0);
}
/* ASCII only. */
static inline bool view_equal_nocase(struct view a, struct view b)
{
	return a.length == b.length && (a.length == 0 || strncasecmp(a.at, b.at, a.length) == 0);
}
/* Most texts that are compared differ in their first byte. */
static inline bool view_is(struct view a, const char *text)
{
	return (a.length == 0 || a.at[0] == text[0]) && view_equal(a, view_of(text));
}
static inline bool view_starts(struct view a, struct view prefix)
{
	return a.length >= prefix.length && view_equal(view_make(a.at, prefix.length), prefix);
}
bool view_ends(struct view a, struct view suffix);
struct view view_trim(struct view a); /* spaces and tabs on both sides, CR and LF too */
/* The part before the first `by`; *rest is what follows it, or empty with at == NULL when `by` is absent. */
struct view view_cut(struct view a, char by, struct view *rest);
ptrdiff_t view_find(struct view haystack, struct view needle); /* -1 when absent */
/* Decimal digits only, no sign, no blanks. */
bool view_to_u64(struct view a, uint64_t *number);
/* Length of the valid UTF-8 sequence at the front (RFC 3629), 0 when there is none. */
size_t view_utf8_length(struct view a);
/* The character that `length` bytes, as view_utf8_length() counted them, stand for. */
uint32_t view_utf8_point(struct view a, size_t length);
char *view_copy(struct view a) __attribute__((malloc, returns_nonnull)); /* NUL-terminated; free() it */
uint64_t view_hash(struct view a);                                       /* FNV-1a: not for hostile keys in unbounded tables */

struct buf {
	char *at; /* NUL-terminated whenever something was appended */
	size_t length;
	size_t capacity;
	size_t length_max;
	bool over;
};

#define BUF_MAX_DEFAULT ((size_t)64 << 20)

struct buf buf_new(size_t length_max);
void buf_fini(struct buf *buf);
#define AUTO_BUF __attribute__((cleanup(buf_fini))) struct buf

void buf_add(struct buf *buf, const void *at, size_t length);
void buf_add_view(struct buf *buf, struct view view);
static inline void buf_add_text(struct buf *buf, const char *text)
{
	buf_add(buf, text, strlen(text));
}
void buf_add_char(struct buf *buf, char c);
void buf_add_number(struct buf *buf, uint64_t number); /* decimal */
void buf_add_format(struct buf *buf, const char *format, ...) PRINTF_LIKE(2, 3);
/* Room for `length` more bytes to be written at the returned place, then buf_commit(); NULL when it would go over. */
char *buf_reserve(struct buf *buf, size_t length);
void buf_commit(struct buf *buf, size_t length);
void buf_drop_front(struct buf *buf, size_t length);
void buf_cut(struct buf *buf, size_t length); /* keeps the first `length` bytes, or all */
void buf_clear(struct buf *buf);
static inline struct view buf_view(const struct buf *buf)
{
	return (struct view){buf->at ? buf->at : "", buf->length};
}
/* Memory of buffers that are empty most of the time: taken when something is to be added, given back when it is gone. Zeroed: empty. */
#define BUF_SPARES_MAX 32
#define BUF_SPARE_BYTES_MAX ((size_t)64 << 10) /* larger ones are freed */
struct buf_spares {
	struct buf at[BUF_SPARES_MAX];
	size_t count;
};
void buf_borrow(struct buf *buf, struct buf_spares *spares); /* one without memory gets some, when there is any */
void buf_return(struct buf *buf, struct buf_spares *spares); /* buf is as after buf_fini() */
void buf_spares_fini(struct buf_spares *spares);
/* ERR_LIMIT when the maximum was exceeded at any time since buf_new or buf_clear. */
MUST_USE int buf_finish(const struct buf *buf, struct err *err);
/* NUL-terminated text, owned by the caller; the buf is empty afterwards. */
char *buf_take(struct buf *buf);

/* Encodings, appended to `out`. */
void buf_add_hex(struct buf *out, const void *at, size_t length);
void buf_add_base64(struct buf *out, const void *at, size_t length);
MUST_USE int buf_add_unbase64(struct buf *out, struct view text, struct err *err); /* both alphabets, padding optional */
void buf_add_html(struct buf *out, struct view text);                              /* escapes & < > " ' */
void buf_add_shell(struct buf *out, struct view text);                             /* single-quoted for sh */
/* `text` with `to` wherever it has `from`, which is not empty. */
void buf_add_replaced(struct buf *out, struct view text, struct view from, struct view to);
void buf_add_url(struct buf *out, struct view text); /* percent-encoded, unreserved kept */

#endif
