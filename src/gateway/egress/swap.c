/*
 * Many texts at once.
 *
 * Theory of operation: a window of the shortest text's length moves over the bytes; a table says, for the last two bytes in it, how far it
 * may move before any text could end such a window (Wu and Manber, 1994). Where it may not move, the few texts that have these two bytes
 * there are compared. When there are only a few texts, thirty-two places at once are asked whether one of them begins there, by its first two
 * bytes: each text is a bit, and each half of a byte has a table of which texts have it there, so that four look-ups and three `and` answer for
 * all texts. At the end of a piece, the bytes from which a text could still grow are kept.
 */
#include "gateway/egress/swap.h"

#include <stdlib.h>

#include "base/scope.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif

#define BLOCKS 4096 /* two bytes, folded: a small table is made quickly, and stays near */
#define NONE (-1)
#define FEW 8

typedef unsigned char block __attribute__((vector_size(16)));

struct text {
	unsigned char *from;
	unsigned char *to;
	size_t from_bytes, to_bytes;
	int tag;
	int next; /* of those with the same block, the longer first */
};

/* The texts and what is known of them: not changed by what is fed. */
struct texts {
	struct text *at;
	size_t count;
	size_t capacity;
	size_t shortest, longest;
	bool built;
	unsigned char begins[256]; /* does a text begin with that byte? */
	unsigned char shift[BLOCKS];
	short first[BLOCKS]; /* text with that block at the window's end */
	/* Of a few texts, the longest first: */
	const struct text *few[FEW];
	block begin[FEW], next[FEW]; /* their first byte, their second */
	unsigned char
		halves[4]
		      [16]; /* for each value of the low and high half of the first byte, and of the second: a bit for each text */
	bool wide;          /* thirty-two places at once */
};

struct swap {
	struct texts *texts;
	bool borrowed;  /* they are another's */
	uint64_t *hits; /* of each text; NULL: none yet */
	struct buf kept;
};

struct swap *swap_new(void)
{
	struct swap *swap = mem_new(sizeof(*swap));

	swap->texts = mem_new(sizeof(*swap->texts));
	swap->kept = buf_new(BUF_MAX_DEFAULT);
	return swap;
}

struct swap *swap_like(const struct swap *other)
{
	struct swap *swap = mem_new(sizeof(*swap));

	swap->texts = other->texts;
	swap->borrowed = true;
	swap->kept = buf_new(BUF_MAX_DEFAULT);
	return swap;
}

static void texts_free(struct texts *texts)
{
	for (size_t i = 0; i < texts->count; i++) {
		explicit_bzero(texts->at[i].from, texts->at[i].from_bytes);
		explicit_bzero(texts->at[i].to, texts->at[i].to_bytes);
		free(texts->at[i].from);
		free(texts->at[i].to);
	}
	free(texts->at);
	free(texts);
}

void swap_free(struct swap *swap)
{
	if (!swap)
		return;
	if (!swap->borrowed)
		texts_free(swap->texts);
	free(swap->hits);
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
	struct texts *texts = swap->texts;

	if (texts->count == SWAP_TEXTS_MAX || from.length < SWAP_TEXT_BYTES_MIN || from.length > SWAP_TEXT_BYTES_MAX)
		return false;
	for (size_t i = 0; i < texts->count; i++)
		if (view_equal(view_make(texts->at[i].from, texts->at[i].from_bytes), from))
			return false;
	if (texts->count == texts->capacity) {
		texts->capacity = texts->capacity ? texts->capacity * 2 : 8;
		texts->at = mem_grow(texts->at, texts->capacity, sizeof(*texts->at));
	}
	texts->at[texts->count++] = (struct text){.from = bytes_copy(from),
						  .to = bytes_copy(to),
						  .from_bytes = from.length,
						  .to_bytes = to.length,
						  .tag = tag,
						  .next = NONE};
	texts->built = false;
	return true;
}

static size_t block_of(const unsigned char *at)
{
	return ((size_t)at[0] << 4 ^ at[1]) % BLOCKS;
}

static void chain_add(struct texts *texts, size_t index)
{
	struct text *text = &texts->at[index];
	short *place = &texts->first[block_of(text->from + texts->shortest - 2)];
	int at = *place;
	struct text *before = NULL;

	while (at != NONE && texts->at[at].from_bytes >= text->from_bytes) {
		before = &texts->at[at];
		at = before->next;
	}
	text->next = at;
	if (before)
		before->next = (int)index;
	else
		*place = (short)index;
}

static int longer_first(const void *a, const void *b)
{
	const struct text *left = *(const struct text *const *)a;
	const struct text *right = *(const struct text *const *)b;

	return left->from_bytes > right->from_bytes ? -1 : left->from_bytes < right->from_bytes;
}

static void few_build(struct texts *texts)
{
	for (size_t i = 0; i < texts->count; i++)
		texts->few[i] = &texts->at[i];
	qsort(texts->few, texts->count, sizeof(const struct text *), longer_first);
	for (size_t i = 0; i < texts->count; i++) {
		memset(&texts->begin[i], texts->few[i]->from[0], sizeof(block));
		memset(&texts->next[i], texts->few[i]->from[1], sizeof(block));
	}
	memset(texts->halves, 0, sizeof(texts->halves));
	for (size_t i = 0; i < texts->count; i++)
		for (size_t half = 0; half < 4; half++) {
			unsigned char byte = texts->few[i]->from[half / 2];

			texts->halves[half][half % 2 ? byte >> 4 : byte & 15] |= (unsigned char)(1u << i);
		}
#ifdef __x86_64__
	texts->wide = __builtin_cpu_supports("avx2");
#endif
}

#ifdef __x86_64__
#define AVX2 __attribute__((target("avx2")))

AVX2 static inline __m256i look_up(const unsigned char half[16], __m256i values)
{
	return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)half)), values);
}

/* The first place from `start` on where one of them may begin; where fewer than thirty-two, and one more, are left when there is none. */
AVX2 static size_t few_skip(const struct texts *texts, struct view bytes, size_t start)
{
	const __m256i low = _mm256_set1_epi8(15);

	for (; bytes.length - start > 32; start += 32) {
		__m256i here = _mm256_loadu_si256((const __m256i *)(bytes.at + start));
		__m256i next = _mm256_loadu_si256((const __m256i *)(bytes.at + start + 1));
		__m256i first = _mm256_and_si256(look_up(texts->halves[0], _mm256_and_si256(here, low)),
						 look_up(texts->halves[1], _mm256_and_si256(_mm256_srli_epi16(here, 4), low)));
		__m256i second = _mm256_and_si256(look_up(texts->halves[2], _mm256_and_si256(next, low)),
						  look_up(texts->halves[3], _mm256_and_si256(_mm256_srli_epi16(next, 4), low)));

		if (!_mm256_testz_si256(first, second))
			return start + (size_t)__builtin_ctz(~(unsigned)_mm256_movemask_epi8(
					       _mm256_cmpeq_epi8(_mm256_and_si256(first, second), _mm256_setzero_si256())));
	}
	return start;
}
#endif

static void tables_build(struct texts *texts)
{
	texts->built = true;
	texts->shortest = SIZE_MAX;
	texts->longest = 0;
	memset(texts->begins, 0, sizeof(texts->begins));
	for (size_t i = 0; i < texts->count; i++) {
		size_t length = texts->at[i].from_bytes;

		texts->shortest = length < texts->shortest ? length : texts->shortest;
		texts->longest = length > texts->longest ? length : texts->longest;
		texts->begins[texts->at[i].from[0]] = 1;
	}
	if (texts->shortest > 250)
		texts->shortest = texts->count ? 250 : 2; /* the shifts are bytes */
	memset(texts->shift, (int)(texts->shortest - 1), sizeof(texts->shift));
	memset(texts->first, 0xff, sizeof(texts->first)); /* NONE */
	for (size_t i = 0; i < texts->count; i++) {
		for (size_t k = 0; k + 2 <= texts->shortest; k++) {
			unsigned char *shift = &texts->shift[block_of(texts->at[i].from + k)];
			unsigned char far = (unsigned char)(texts->shortest - 2 - k);

			*shift = far < *shift ? far : *shift;
		}
		chain_add(texts, i);
	}
	if (texts->count <= FEW)
		few_build(texts);
}

/* May one of them begin at one of the sixteen places from `at` on? */
static bool few_begin(const struct texts *texts, const unsigned char *at)
{
	block here, behind, found = {0};
	uint64_t halves[2];

	memcpy(&here, at, sizeof(here));
	memcpy(&behind, at + 1, sizeof(behind));
	for (size_t i = 0; i < texts->count; i++)
		found |= (block)(here == texts->begin[i]) & (block)(behind == texts->next[i]);
	memcpy(halves, &found, sizeof(halves));
	return halves[0] | halves[1];
}

static const struct text *few_at(const struct texts *texts, const unsigned char *at, size_t left)
{
	for (size_t i = 0; i < texts->count; i++)
		if (texts->few[i]->from_bytes <= left && memcmp(at, texts->few[i]->from, texts->few[i]->from_bytes) == 0)
			return texts->few[i];
	return NULL;
}

static const struct text *few_find(const struct texts *texts, struct view bytes, size_t *at)
{
	const unsigned char *data = (const unsigned char *)bytes.at;
	size_t start = *at;

	while (start + texts->shortest <= bytes.length) {
		size_t end;

#ifdef __x86_64__
		if (texts->wide)
			start = few_skip(texts, bytes, start);
#endif
		end = start + sizeof(block);
		if (end < bytes.length && !few_begin(texts, data + start)) {
			start = end;
			continue;
		}
		for (; start < end && start + texts->shortest <= bytes.length; start++) {
			const struct text *text = few_at(texts, data + start, bytes.length - start);

			if (text) {
				*at = start;
				return text;
			}
		}
	}
	return NULL;
}

/* The first text in `bytes` from *at on, which becomes where it begins. */
static const struct text *find(const struct texts *texts, struct view bytes, size_t *at)
{
	const unsigned char *data = (const unsigned char *)bytes.at;
	size_t end = *at + texts->shortest;

	if (texts->count <= FEW)
		return few_find(texts, bytes, at);
	while (end <= bytes.length) {
		size_t key = block_of(data + end - 2);
		size_t start = end - texts->shortest;

		if (texts->shift[key]) {
			end += texts->shift[key];
			continue;
		}
		for (int i = texts->first[key]; i != NONE; i = texts->at[i].next) {
			const struct text *text = &texts->at[i];

			if (text->from_bytes <= bytes.length - start && memcmp(data + start, text->from, text->from_bytes) == 0) {
				*at = start;
				return text;
			}
		}
		end++;
	}
	return NULL;
}

/* Where the last bytes begin that could still grow to a text. */
static size_t growing_from(const struct texts *texts, struct view bytes, size_t from)
{
	size_t least = bytes.length > texts->longest - 1 ? bytes.length - (texts->longest - 1) : 0;

	for (size_t at = from > least ? from : least; at < bytes.length; at++) {
		size_t left = bytes.length - at;

		if (!texts->begins[(unsigned char)bytes.at[at]])
			continue;
		for (size_t i = 0; i < texts->count; i++)
			if (texts->at[i].from_bytes > left && memcmp(texts->at[i].from, bytes.at + at, left) == 0)
				return at;
	}
	return bytes.length;
}

static void hit_count(struct swap *swap, const struct text *text)
{
	if (!swap->hits)
		swap->hits = mem_new_array(SWAP_TEXTS_MAX, sizeof(*swap->hits));
	swap->hits[text - swap->texts->at]++;
}

/* Appends `bytes` with every text replaced, up to what must wait; returns how many bytes were used. `counts`: whose hits they are, or
 * NULL. */
static size_t run(const struct texts *texts, struct view bytes, struct buf *out, bool last, struct swap *counts)
{
	size_t at = 0, done = 0;
	size_t stop;
	const struct text *text;

	/* A text that begins before another that could still grow to a longer one is replaced at once; one behind it waits. */
	stop = last ? bytes.length : growing_from(texts, bytes, 0);
	while ((text = find(texts, bytes, &at)) && at < stop) {
		buf_add(out, bytes.at + done, at - done);
		buf_add(out, text->to, text->to_bytes);
		if (counts)
			hit_count(counts, text);
		at += text->from_bytes;
		done = at;
		if (!last && stop < done)
			stop = growing_from(texts, bytes, done);
	}
	if (done < stop)
		buf_add(out, bytes.at + done, stop - done);
	return done > stop ? done : stop;
}

static struct texts *texts_built(const struct swap *swap)
{
	if (!swap->texts->built)
		tables_build(swap->texts);
	return swap->texts;
}

void swap_feed(struct swap *swap, struct view bytes, struct buf *out)
{
	const struct texts *texts = texts_built(swap);
	size_t used;

	if (!texts->count) {
		buf_add_view(out, bytes);
		return;
	}
	if (swap->kept.length) {
		buf_add_view(&swap->kept, bytes);
		used = run(texts, buf_view(&swap->kept), out, false, swap);
		buf_drop_front(&swap->kept, used);
		return;
	}
	used = run(texts, bytes, out, false, swap);
	if (used < bytes.length)
		buf_add(&swap->kept, bytes.at + used, bytes.length - used);
}

struct view swap_pass(struct swap *swap, struct view bytes, bool last, struct buf *out)
{
	const struct texts *texts = texts_built(swap);
	size_t at = 0, stop = bytes.length;

	if (texts->count && !swap->kept.length) {
		stop = last ? bytes.length : growing_from(texts, bytes, 0);
		if (!find(texts, bytes, &at)) {
			if (stop < bytes.length)
				buf_add(&swap->kept, bytes.at + stop, bytes.length - stop);
			return view_make(bytes.at, stop);
		}
	} else if (!texts->count) {
		return bytes;
	}
	swap_feed(swap, bytes, out);
	if (last)
		swap_end(swap, out);
	return buf_view(out);
}

void swap_end(struct swap *swap, struct buf *out)
{
	if (swap->kept.length)
		(void)run(texts_built(swap), buf_view(&swap->kept), out, true, swap);
	if (swap->kept.at)
		explicit_bzero(swap->kept.at, swap->kept.length);
	buf_clear(&swap->kept);
}

void swap_text(const struct swap *swap, struct view text, struct buf *out)
{
	const struct texts *texts = texts_built(swap);

	if (texts->count)
		(void)run(texts, text, out, true, NULL);
	else
		buf_add_view(out, text);
}

int swap_find(const struct swap *swap, struct view text)
{
	const struct texts *texts = texts_built(swap);
	size_t at = 0;
	const struct text *found = texts->count ? find(texts, text, &at) : NULL;

	return found ? found->tag : NONE;
}

uint64_t swap_hits(const struct swap *swap, int tag)
{
	uint64_t hits = 0;

	for (size_t i = 0; swap->hits && i < swap->texts->count; i++)
		if (swap->texts->at[i].tag == tag)
			hits += swap->hits[i];
	return hits;
}

size_t swap_count(const struct swap *swap)
{
	return swap->texts->count;
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
