/*
 * Many texts at once.
 *
 * Theory of operation: a window of the shortest text's length moves over the bytes; a table says, for the last two bytes in it, how far it
 * may move before any text could end such a window (Wu and Manber, 1994). Where it may not move, the few texts that have these two bytes
 * there are compared. At the end of a piece, the bytes from which a text could still grow are kept.
 */
#include "gateway/egress/swap.h"

#include <stdlib.h>

#include "base/scope.h"

#define BLOCKS 65536
#define NONE (-1)

struct text {
	unsigned char *from;
	unsigned char *to;
	size_t from_bytes, to_bytes;
	int tag;
	int next; /* of those with the same block, the longer first */
	uint64_t hits;
};

struct swap {
	struct text texts[SWAP_TEXTS_MAX];
	size_t count;
	size_t shortest, longest;
	bool built;
	unsigned char begins[256]; /* does a text begin with that byte? */
	unsigned char shift[BLOCKS];
	short first[BLOCKS]; /* text with that block at the window's end */
	struct buf kept;
};

struct swap *swap_new(void)
{
	struct swap *swap = mem_new(sizeof(*swap));

	swap->kept = buf_new(BUF_MAX_DEFAULT);
	return swap;
}

void swap_free(struct swap *swap)
{
	if (!swap)
		return;
	for (size_t i = 0; i < swap->count; i++) {
		explicit_bzero(swap->texts[i].from, swap->texts[i].from_bytes);
		explicit_bzero(swap->texts[i].to, swap->texts[i].to_bytes);
		free(swap->texts[i].from);
		free(swap->texts[i].to);
	}
	if (swap->kept.at)
		explicit_bzero(swap->kept.at, swap->kept.capacity);
	buf_fini(&swap->kept);
	free(swap);
}

static unsigned char *bytes_copy(struct view text)
{
	unsigned char *copy = mem_new(text.length + 1);

	if (text.length)
		memcpy(copy, text.at, text.length);
	return copy;
}

bool swap_add(struct swap *swap, struct view from, struct view to, int tag)
{
	if (swap->count == SWAP_TEXTS_MAX || from.length < SWAP_TEXT_BYTES_MIN || from.length > SWAP_TEXT_BYTES_MAX)
		return false;
	for (size_t i = 0; i < swap->count; i++)
		if (view_equal(view_make(swap->texts[i].from, swap->texts[i].from_bytes), from))
			return false;
	swap->texts[swap->count++] = (struct text){.from = bytes_copy(from),
						   .to = bytes_copy(to),
						   .from_bytes = from.length,
						   .to_bytes = to.length,
						   .tag = tag,
						   .next = NONE};
	swap->built = false;
	return true;
}

static size_t block_of(const unsigned char *at)
{
	return (size_t)at[0] << 8 | at[1];
}

static void chain_add(struct swap *swap, size_t index)
{
	struct text *text = &swap->texts[index];
	size_t block = block_of(text->from + swap->shortest - 2);
	short *place = &swap->first[block];
	int at = *place;
	struct text *before = NULL;

	while (at != NONE && swap->texts[at].from_bytes >= text->from_bytes) {
		before = &swap->texts[at];
		at = before->next;
	}
	text->next = at;
	if (before)
		before->next = (int)index;
	else
		*place = (short)index;
}

static void tables_build(struct swap *swap)
{
	swap->built = true;
	swap->shortest = SIZE_MAX;
	swap->longest = 0;
	memset(swap->begins, 0, sizeof(swap->begins));
	for (size_t i = 0; i < swap->count; i++) {
		size_t length = swap->texts[i].from_bytes;

		swap->shortest = length < swap->shortest ? length : swap->shortest;
		swap->longest = length > swap->longest ? length : swap->longest;
		swap->begins[swap->texts[i].from[0]] = 1;
	}
	if (swap->shortest > 250)
		swap->shortest = swap->count ? 250 : 2; /* the shifts are bytes */
	memset(swap->shift, (int)(swap->shortest - 1), sizeof(swap->shift));
	for (size_t i = 0; i < BLOCKS; i++)
		swap->first[i] = NONE;
	for (size_t i = 0; i < swap->count; i++) {
		for (size_t k = 0; k + 2 <= swap->shortest; k++) {
			unsigned char *shift = &swap->shift[block_of(swap->texts[i].from + k)];
			unsigned char far = (unsigned char)(swap->shortest - 2 - k);

			*shift = far < *shift ? far : *shift;
		}
		chain_add(swap, i);
	}
}

/* The first text in `bytes` from *at on, which becomes where it begins. */
static struct text *find(const struct swap *swap, struct view bytes, size_t *at)
{
	const unsigned char *data = (const unsigned char *)bytes.at;
	size_t end = *at + swap->shortest;

	while (end <= bytes.length) {
		size_t block = block_of(data + end - 2);
		size_t start = end - swap->shortest;

		if (swap->shift[block]) {
			end += swap->shift[block];
			continue;
		}
		for (int i = swap->first[block]; i != NONE; i = swap->texts[i].next) {
			const struct text *text = &swap->texts[i];

			if (text->from_bytes <= bytes.length - start && memcmp(data + start, text->from, text->from_bytes) == 0) {
				*at = start;
				return (struct text *)(uintptr_t)text;
			}
		}
		end++;
	}
	return NULL;
}

/* Where the last bytes begin that could still grow to a text. */
static size_t growing_from(const struct swap *swap, struct view bytes, size_t from)
{
	size_t least = bytes.length > swap->longest - 1 ? bytes.length - (swap->longest - 1) : 0;

	for (size_t at = from > least ? from : least; at < bytes.length; at++) {
		size_t left = bytes.length - at;

		if (!swap->begins[(unsigned char)bytes.at[at]])
			continue;
		for (size_t i = 0; i < swap->count; i++)
			if (swap->texts[i].from_bytes > left && memcmp(swap->texts[i].from, bytes.at + at, left) == 0)
				return at;
	}
	return bytes.length;
}

/* Appends `bytes` with every text replaced, up to what must wait; returns how many bytes were used. */
static size_t run(const struct swap *swap, struct view bytes, struct buf *out, bool last, bool count)
{
	size_t at = 0, done = 0;
	size_t stop;
	struct text *text;

	/* A text that begins before another that could still grow to a longer one is replaced at once; one behind it waits. */
	stop = last ? bytes.length : growing_from(swap, bytes, 0);
	while ((text = find(swap, bytes, &at)) && at < stop) {
		buf_add(out, bytes.at + done, at - done);
		buf_add(out, text->to, text->to_bytes);
		if (count)
			text->hits++;
		at += text->from_bytes;
		done = at;
		if (!last && stop < done)
			stop = growing_from(swap, bytes, done);
	}
	if (done < stop)
		buf_add(out, bytes.at + done, stop - done);
	return done > stop ? done : stop;
}

void swap_feed(struct swap *swap, struct view bytes, struct buf *out)
{
	size_t used;

	if (!swap->built)
		tables_build(swap);
	if (!swap->count) {
		buf_add_view(out, bytes);
		return;
	}
	if (swap->kept.length) {
		buf_add_view(&swap->kept, bytes);
		used = run(swap, buf_view(&swap->kept), out, false, true);
		buf_drop_front(&swap->kept, used);
		return;
	}
	used = run(swap, bytes, out, false, true);
	buf_add(&swap->kept, bytes.at + used, bytes.length - used);
}

void swap_end(struct swap *swap, struct buf *out)
{
	if (!swap->built)
		tables_build(swap);
	if (swap->kept.length)
		(void)run(swap, buf_view(&swap->kept), out, true, true);
	if (swap->kept.at)
		explicit_bzero(swap->kept.at, swap->kept.length);
	buf_clear(&swap->kept);
}

void swap_text(const struct swap *swap, struct view text, struct buf *out)
{
	if (!swap->built)
		tables_build((struct swap *)(uintptr_t)swap);
	if (swap->count)
		(void)run(swap, text, out, true, false);
	else
		buf_add_view(out, text);
}

int swap_find(const struct swap *swap, struct view text)
{
	const struct text *found;
	size_t at = 0;

	if (!swap->built)
		tables_build((struct swap *)(uintptr_t)swap);
	found = swap->count ? find(swap, text, &at) : NULL;
	return found ? found->tag : NONE;
}

uint64_t swap_hits(const struct swap *swap, int tag)
{
	uint64_t hits = 0;

	for (size_t i = 0; i < swap->count; i++)
		if (swap->texts[i].tag == tag)
			hits += swap->texts[i].hits;
	return hits;
}

size_t swap_count(const struct swap *swap)
{
	return swap->count;
}

/* ---- in other clothes ---- */

static void stars_add(struct swap *swap, struct view from, int tag)
{
	AUTO_BUF stars = buf_new(SWAP_TEXT_BYTES_MAX);
	char *at = from.length <= SWAP_TEXT_BYTES_MAX ? buf_reserve(&stars, from.length) : NULL;

	if (!at)
		return;
	memset(at, '*', from.length);
	buf_commit(&stars, from.length);
	(void)swap_add(swap, from, buf_view(&stars), tag);
}

void swap_add_base64(struct swap *swap, struct view text, int tag)
{
	for (size_t shift = 0; shift < 3; shift++) {
		AUTO_BUF bytes = buf_new(SWAP_TEXT_BYTES_MAX);
		AUTO_BUF encoded = buf_new(2 * SWAP_TEXT_BYTES_MAX);
		size_t skip = (shift * 8 + 5) / 6;
		size_t whole = (shift + text.length) * 8 / 6;

		buf_add(&bytes, "\0\0", shift);
		buf_add_view(&bytes, text);
		buf_add_base64(&encoded, bytes.at, bytes.length);
		stars_add(swap, view_make(encoded.at + skip, whole - skip), tag);
		for (size_t i = 0; i < encoded.length; i++) {
			if (encoded.at[i] == '+')
				encoded.at[i] = '-';
			else if (encoded.at[i] == '/')
				encoded.at[i] = '_';
		}
		stars_add(swap, view_make(encoded.at + skip, whole - skip), tag);
		explicit_bzero(bytes.at, bytes.length);
		explicit_bzero(encoded.at, encoded.length);
	}
}

static void url_add(struct swap *swap, struct view value, bool lower)
{
	AUTO_BUF encoded = buf_new(SWAP_TEXT_BYTES_MAX);

	buf_add_url(&encoded, value);
	for (size_t i = 0; lower && i + 2 < encoded.length; i++)
		if (encoded.at[i] == '%')
			for (size_t k = 1; k < 3; k++)
				encoded.at[i + k] = (char)(encoded.at[i + k] | 0x20); /* digits have the bit already */
	if (encoded.length)
		stars_add(swap, buf_view(&encoded), 0);
}

static void hex_add(struct swap *swap, struct view value, bool upper)
{
	AUTO_BUF encoded = buf_new(SWAP_TEXT_BYTES_MAX);

	buf_add_hex(&encoded, value.at, value.length);
	for (size_t i = 0; upper && i < encoded.length; i++)
		if (encoded.at[i] >= 'a')
			encoded.at[i] = (char)(encoded.at[i] - 'a' + 'A');
	stars_add(swap, buf_view(&encoded), 0);
}

static void json_add(struct swap *swap, struct view value, bool slashes)
{
	AUTO_BUF encoded = buf_new(SWAP_TEXT_BYTES_MAX);

	for (size_t i = 0; i < value.length; i++) {
		char c = value.at[i];

		if (c == '"' || c == '\\' || (slashes && c == '/'))
			buf_add_char(&encoded, '\\');
		buf_add_char(&encoded, c);
	}
	stars_add(swap, buf_view(&encoded), 0);
}

void swap_add_masks(struct swap *swap, struct view value, struct view placeholder)
{
	if (placeholder.length == value.length)
		(void)swap_add(swap, value, placeholder, 0);
	else
		stars_add(swap, value, 0);
	swap_add_base64(swap, value, 0);
	url_add(swap, value, false);
	url_add(swap, value, true);
	hex_add(swap, value, false);
	hex_add(swap, value, true);
	json_add(swap, value, false);
	json_add(swap, value, true);
}
