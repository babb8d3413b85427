/*
 * Values of the vault, known by their fingerprints (net/fingerprint.h).
 *
 * Theory of operation: the windows of all values are in one hash table for each environment, and in a filter of bits before it, so that a
 * text costs a hash and a bit for every 8 of its bytes (or for each of them, when there is a short value), where it has no spaces: values
 * rarely have any. What the table knows is confirmed by the HMAC of the whole form. A window of the plain form alone is a part: enough of them, over several requests, are the value.
 */
#include <stdlib.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "base/scope.h"
#include "base/world.h"
#include "gateway/dlp/dlp_priv.h"

#define FILTER_BITS_LEAST 12
#define FILTER_BITS_MOST 20
#define FILTER_SPARE 6 /* one in 64 of what it lets through is nothing */
#define BLOCK_BYTES 64
#define EACH_1 UINT64_C(0xffffffffffffffff) /* of a block's bytes */
#define EACH_4 UINT64_C(0x1111111111111111)
#define EACH_8 UINT64_C(0x0101010101010101)
_Static_assert(FINGERPRINT_STRIDE == 8, "EACH_8 is the stride");
#define TEXT_SHORT ((size_t)256)   /* looked at from every byte, so that shorter parts are seen as well */
#define TEXT_MIDDLE ((size_t)1024) /* from every fourth: parts of 19 bytes are seen, in longer texts parts of 23 */

struct slot {
	uint64_t hash;
	uint16_t value; /* plus one; 0: free */
	int16_t form;   /* -1: a part */
	uint16_t at;    /* of the window, in the form */
};

struct form {
	uint16_t length;
	char view[10];
	unsigned char mac[FINGERPRINT_MAC_BYTES];
};

struct value {
	char *title;
	struct form *forms;
	size_t length;
};

struct known {
	atomic_int references;
	uint64_t serial;
	struct fingerprint_key key;
	struct value *values;
	size_t count;
	size_t longest; /* of the forms */
	bool kinds[FINGERPRINT_KINDS];
	bool spaced;        /* one has spaces in it */
	struct slot *slots; /* 1 << slot_bits */
	unsigned slot_bits;
	uint64_t *filter; /* 1 << filter_bits bits */
	unsigned filter_bits;
};

static void slot_add(struct known *known, const struct slot *slot)
{
	size_t mask = ((size_t)1 << known->slot_bits) - 1;
	uint64_t bit = slot->hash >> (64 - known->filter_bits);
	size_t place = (size_t)(slot->hash >> (64 - known->slot_bits));

	known->filter[bit / 64] |= UINT64_C(1) << bit % 64;
	while (known->slots[place & mask].value)
		place++;
	known->slots[place & mask] = *slot;
}

static void value_add(struct known *known, const struct fingerprint *print, size_t index)
{
	struct value *value = &known->values[index];

	value->length = print->length;
	known->spaced |= print->spaced != 0;
	value->forms = mem_new_array(print->form_count + 1U, sizeof(*value->forms));
	for (size_t i = 0; i < print->form_count; i++) {
		const struct fingerprint_form *form = &print->form[i];

		value->forms[i].length = form->length;
		memcpy(value->forms[i].view, form->view, sizeof(form->view));
		memcpy(value->forms[i].mac, form->mac, sizeof(form->mac));
		known->longest = form->length > known->longest ? form->length : known->longest;
		known->kinds[form->kind] = true;
		for (size_t k = 0; k < form->windows; k++)
			slot_add(known,
				 &(struct slot){form->window[k], (uint16_t)(index + 1), (int16_t)i, (uint16_t)(form->first + k)});
	}
	known->kinds[FINGERPRINT_16_STRIDE] |= print->part_count > 0;
	for (size_t i = 0; i < print->part_count; i++)
		slot_add(known, &(struct slot){print->part[i], (uint16_t)(index + 1), -1, (uint16_t)i});
}

struct known *known_new(const struct dlp_known *list, size_t count)
{
	struct known *known = mem_new(sizeof(*known));
	size_t slots = 0;

	atomic_init(&known->references, 1);
	known->serial = database_serial();
	known->count = count;
	known->values = mem_new_array(count + 1, sizeof(*known->values));
	for (size_t i = 0; i < count; i++) {
		slots += list[i].print->part_count;
		for (size_t k = 0; k < list[i].print->form_count; k++)
			slots += list[i].print->form[k].windows;
	}
	for (known->slot_bits = 4; ((size_t)1 << known->slot_bits) < slots * 2; known->slot_bits++)
		;
	known->filter_bits = known->slot_bits + FILTER_SPARE - 1;
	known->filter_bits = known->filter_bits < FILTER_BITS_LEAST ? FILTER_BITS_LEAST : known->filter_bits;
	known->filter_bits = known->filter_bits > FILTER_BITS_MOST ? FILTER_BITS_MOST : known->filter_bits;
	known->slots = mem_new_array((size_t)1 << known->slot_bits, sizeof(*known->slots));
	known->filter = mem_new_array((size_t)1 << (known->filter_bits - 6), sizeof(*known->filter));
	for (size_t i = 0; i < count; i++) {
		known->key = list[i].print->key;
		known->values[i].title = text_format("the value of the credential %s", list[i].name);
		value_add(known, list[i].print, i);
	}
	return known;
}

struct known *known_ref(struct known *known)
{
	if (known)
		atomic_fetch_add(&known->references, 1);
	return known;
}

uint64_t known_serial(const struct known *known)
{
	return known ? known->serial : 0;
}

void known_unref(struct known *known)
{
	if (!known || atomic_fetch_sub(&known->references, 1) != 1)
		return;
	for (size_t i = 0; i < known->count; i++) {
		free(known->values[i].title);
		free(known->values[i].forms);
	}
	free(known->values);
	free(known->slots);
	free(known->filter);
	explicit_bzero(&known->key, sizeof(known->key));
	free(known);
}

struct search {
	const struct known *known;
	struct view text;
	size_t fresh;
	known_found *found;
	void *self;
};

/* The table's word on a window that the filter let through. */
static void search_look(const struct search *search, size_t at, unsigned words, uint64_t hash)
{
	const struct known *known = search->known;
	size_t mask = ((size_t)1 << known->slot_bits) - 1;

	for (size_t place = (size_t)(hash >> (64 - known->slot_bits)); known->slots[place & mask].value; place++) {
		const struct slot *slot = &known->slots[place & mask];
		const struct value *value = &known->values[slot->value - 1];
		struct known_hit hit = {.value = slot->value - 1U, .title = value->title, .from = at, .to = at + (size_t)words * 8};
		unsigned char mac[FINGERPRINT_MAC_BYTES];

		if (slot->hash != hash)
			continue;
		if (slot->form < 0) {
			hit.view = "pieces";
			hit.part = true;
			hit.part_at = slot->at;
			hit.value_length = value->length;
		} else {
			const struct form *form = &value->forms[slot->form];

			if (at < slot->at || search->text.length - (at - slot->at) < form->length)
				continue;
			hit.view = form->view;
			hit.from = at - slot->at;
			hit.to = hit.from + form->length;
			fingerprint_mac(&known->key, view_make(search->text.at + hit.from, form->length), mac);
			if (memcmp(mac, form->mac, sizeof(mac)) != 0)
				continue;
		}
		if (hit.to > search->fresh)
			search->found(search->self, &hit);
	}
}

/* Of the bytes from `at` on, which ones may be in a window; none behind the text. */
static uint64_t block_good(const struct search *search, size_t at)
{
	size_t left = at < search->text.length ? search->text.length - at : 0;
	uint64_t there = left >= BLOCK_BYTES ? ~UINT64_C(0) : (UINT64_C(1) << left) - 1, spaces = 0;

	if (search->known->spaced || !left)
		return there;
#ifdef __SSE2__
	if (left >= BLOCK_BYTES) {
		const __m128i space = _mm_set1_epi8(' ');

		for (unsigned i = 0; i < BLOCK_BYTES; i += 16) {
			__m128i bytes = _mm_loadu_si128((const __m128i *)(search->text.at + at + i));

			spaces |= (uint64_t)(unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(bytes, space), bytes)) << i;
		}
		return ~spaces;
	}
#endif
	for (size_t i = 0; i < left && i < BLOCK_BYTES; i++)
		spaces |= (uint64_t)((unsigned char)search->text.at[at + i] <= ' ') << i;
	return there & ~spaces;
}

/* Looks at every window of `words` that begins at one of the bits. */
static inline __attribute__((always_inline)) void block_look(const struct search *search, size_t at, uint64_t begins,
							     unsigned words)
{
	const struct known *known = search->known;

	for (; begins; begins &= begins - 1) {
		size_t place = at + (size_t)__builtin_ctzll(begins);
		uint64_t hash = fingerprint_hash(&known->key, search->text.at + place, words);
		uint64_t bit = hash >> (64 - known->filter_bits);

		if (known->filter[bit / 64] >> bit % 64 & 1)
			search_look(search, place, words, hash);
	}
}

/* Of parts of a value there is a window for each byte, so that in a short text also those are seen that no stride would hit; forms are found by
 * their stride. */
static uint64_t parts_stride(size_t length)
{
	return length <= TEXT_SHORT ? EACH_1 : length <= TEXT_MIDDLE ? EACH_4 : EACH_8;
}

void known_search(const struct known *known, struct view text, size_t fresh, known_found *found, void *self)
{
	const struct search search = {known, text, fresh, found, self};
	const uint64_t parts = parts_stride(text.length);
	size_t at = fresh > known->longest ? fresh - known->longest : 0;
	uint64_t next = block_good(&search, at);

	for (; at < text.length; at += BLOCK_BYTES) {
		uint64_t here = next;
		unsigned __int128 runs; /* bytes where so many good ones begin */
		uint64_t of8, of16;

		next = block_good(&search, at + BLOCK_BYTES);
		runs = (unsigned __int128)next << 64 | here;
		runs &= runs >> 1;
		runs &= runs >> 2;
		runs &= runs >> 4;
		of8 = (uint64_t)runs;
		if (known->kinds[FINGERPRINT_8])
			block_look(&search, at, of8, 1);
		of16 = of8 & (uint64_t)(runs >> 8);
		if (!of16)
			continue;
		if (known->kinds[FINGERPRINT_16])
			block_look(&search, at, of16, 2);
		if (known->kinds[FINGERPRINT_24])
			block_look(&search, at, of16 & (uint64_t)(runs >> 16), 3);
		if (known->kinds[FINGERPRINT_16_STRIDE])
			block_look(&search, at, of16 & parts, 2);
		if (known->kinds[FINGERPRINT_32_STRIDE])
			block_look(&search, at, of16 & (uint64_t)(runs >> 16) & (uint64_t)(runs >> 24) & EACH_8, 4);
	}
}

/* ---- parts, over several requests ---- */

struct known_parts *known_parts_new(const struct known *known)
{
	return mem_new_array(known->count + 1, sizeof(struct known_parts));
}

bool known_part(struct known_parts *parts, const struct known_hit *hit, int64_t now_ms)
{
	struct known_parts *mine = &parts[hit->value];
	size_t covered = 0, end = 0;

	if (now_ms - mine->ms > PIECES_KEPT_MS)
		memset(mine->seen, 0, sizeof(mine->seen));
	mine->ms = now_ms;
	mine->seen[hit->part_at / 64] |= UINT64_C(1) << hit->part_at % 64;
	for (size_t i = 0; i < FINGERPRINT_PARTS_MAX; i++) {
		if (!(mine->seen[i / 64] >> i % 64 & 1))
			continue;
		covered += i >= end ? FINGERPRINT_PART_BYTES : i + FINGERPRINT_PART_BYTES - end;
		end = i + FINGERPRINT_PART_BYTES;
	}
	return covered * 100 >= hit->value_length * PIECES_PERCENT ||
	       covered + FINGERPRINT_STRIDE > FINGERPRINT_PARTS_MAX; /* of a long one, only the beginning is there */
}
