/*
 * swap: replaces texts in a stream, whatever the pieces it comes in: placeholders by credentials on the way out, credentials by placeholders
 * on the way back. What is kept back is only the end of a piece that begins one of the texts: never more than the longest less one byte.
 * The first place where a text begins is replaced, by the longest that begins there. Texts are wiped when it is freed.
 */
#ifndef ASSAY_GATEWAY_EGRESS_SWAP_H
#define ASSAY_GATEWAY_EGRESS_SWAP_H

#include "base/buf.h"

#define SWAP_TEXTS_MAX 128
#define SWAP_TEXT_BYTES_MAX ((size_t)16 << 10)
#define SWAP_TEXT_BYTES_MIN 4

struct swap;

struct swap *swap_new(void);
/* The same texts for another stream. They are borrowed: `other` outlives it, and nothing is added to either any more. */
struct swap *swap_like(const struct swap *other);
void swap_free(struct swap *swap); /* NULL is fine */
/* Before the first piece. Copies; what is there already, too short, too long or one too many is left out: false. `tag` is the caller's. */
bool swap_add(struct swap *swap, struct view from, struct view to, int tag);
/* Appends what can be let go. */
void swap_feed(struct swap *swap, struct view bytes, struct buf *out);
/* The same, and the rest when they are the `last`, but what need not be changed is not copied: what can be let go is in `bytes`, or in `out`. */
struct view swap_pass(struct swap *swap, struct view bytes, bool last, struct buf *out);
void swap_end(struct swap *swap, struct buf *out); /* the rest; it can be fed again from the start */
/* Whole text at once, besides what is being fed. */
void swap_text(const struct swap *swap, struct view text, struct buf *out);
/* Is one of them in it? The tag of the first; -1: none. */
int swap_find(const struct swap *swap, struct view text);
uint64_t swap_hits(const struct swap *swap, int tag); /* while it was fed */
size_t swap_count(const struct swap *swap);

/* Every way a value may come back in text: itself, in base64 at any place of a longer text, percent-encoded, in hexadecimal, escaped as
 * JSON. Each is replaced by text of the same length: `placeholder` where it is as long, stars otherwise. */
void swap_add_masks(struct swap *swap, struct view value, struct view placeholder);
/* The base64 of `text` at each of its three places, both alphabets, without what depends on its neighbours. */
void swap_add_base64(struct swap *swap, struct view text, int tag);

#endif
