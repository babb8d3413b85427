/*
 * Theory of operation: for each kind of byte there is a bit, and the set of bytes that have it is the product of a set of low and a set of high
 * nibbles: so one byte's bits are low[b & 15] & high[b >> 4], which is one instruction for 32 bytes. Of each byte it is looked up what it may
 * be the first of, of the next one what it may be the second of, and what both say is a sign. The sets say more than is meant here and
 * there (a product has more members than its parts): who follows a sign looks again.
 */
#include <pthread.h>

#include "base/scope.h"
#include "gateway/dlp/views_priv.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif

#define DENSE_LEAST 18  /* words in a window: code and prose have about 10, single letters with something between them 32 */
#define DIGITS_LEAST 30 /* decimal ones, and the x of 0x, in a window */
#define MIXED_LEAST 2   /* digits and capitals near a run that is worth decoding */

struct nibbles {
	unsigned char low[16], high[16];
};

/* What is the first byte of a sign, and what may follow it. */
static const struct {
	unsigned char sign;
	const char *first, *second;
} pairs[] = {
	{SIGN_PERCENT, "%+", "0123456789abcdefABCDEF"},
	{SIGN_AMP, "&", "#acdeglpqs"},
	{SIGN_BACKSLASH_U, "\\", "uUx"},
	{SIGN_BACKSLASH_SLASH, "\\", "/"},
	{SIGN_BACKSLASH_OCTAL, "\\", "01234567"},
	{SIGN_EQUALS, "=", "0123456789ABCDEF\r\n"},
	{SIGN_QUOTE, "\"'", " ,+\"'.&\n\\"},
	{SIGN_BACKQUOTE, "`", " ,+`.&\n"},
};

/* These products are exact: letters by the halves of their alphabet. */
#define CLASS_UPPER 0x03u
#define CLASS_WORD 0x8fu
#define CLASS_X 0x40u
#define CLASS_DIGIT 0x80u
static const struct {
	unsigned char class;
	const char *bytes;
} classes[] = {
	{0x01, "ABCDEFGHIJKLMNO"},
	{0x02, "PQRSTUVWXYZ"},
	{0x04, "abcdefghijklmno"},
	{0x08, "pqrstuvwxyz"},
	{0x10, "+-/"},
	{0x20, "_"},
	{CLASS_X, "x"},
	{CLASS_DIGIT, "0123456789"},
};

static struct nibbles first, second, class;

static void nibbles_add(struct nibbles *nibbles, unsigned char bit, const char *bytes)
{
	for (; *bytes; bytes++) {
		nibbles->low[*bytes & 15] |= bit;
		nibbles->high[(unsigned char)*bytes >> 4] |= bit;
	}
}

static void nibbles_make(void)
{
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		nibbles_add(&first, pairs[i].sign, pairs[i].first);
		nibbles_add(&second, pairs[i].sign, pairs[i].second);
	}
	for (size_t i = 0; i < ARRAY_LEN(classes); i++)
		nibbles_add(&class, classes[i].class, classes[i].bytes);
}

/* What one window says. */
struct window {
	uint64_t token, word, digit, upper, ex, quote, escape;
	int mixed;      /* digits and capitals */
	unsigned signs; /* SIGN_… of pairs, SIGN_HIGH, SIGN_NUL */
};

static unsigned char bits_of(const struct nibbles *nibbles, char c)
{
	return nibbles->low[c & 15] & nibbles->high[(unsigned char)c >> 4];
}

/* At `at` there are WINDOW_BYTES, and one more. */
static void window_read_portable(const char *at, struct window *window)
{
	*window = (struct window){0};
	for (size_t i = 0; i < WINDOW_BYTES; i++) {
		unsigned char bits = bits_of(&class, at[i]);
		uint64_t bit = (uint64_t)1 << i;

		window->token |= bits ? bit : 0;
		window->word |= bits & CLASS_WORD ? bit : 0;
		window->digit |= bits & CLASS_DIGIT ? bit : 0;
		window->upper |= bits & CLASS_UPPER ? bit : 0;
		window->ex |= bits & CLASS_X ? bit : 0;
		bits = bits_of(&first, at[i]) & bits_of(&second, at[i + 1]);
		window->signs |= bits;
		window->quote |= bits & SIGNS_QUOTE ? bit : 0;
		window->escape |= bits & SIGNS_ESCAPE ? bit : 0;
		window->signs |= at[i] & 0x80 ? SIGN_HIGH : 0;
		window->signs |= at[i] ? 0 : SIGN_NUL;
	}
}

#ifdef __x86_64__
#define AVX2 __attribute__((target("avx2,popcnt")))

AVX2 static inline __m256i load_nibbles(const unsigned char *nibbles)
{
	return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)nibbles));
}

AVX2 static inline __m256i look_up(const struct nibbles *nibbles, __m256i low, __m256i high)
{
	return _mm256_and_si256(_mm256_shuffle_epi8(load_nibbles(nibbles->low), low),
				_mm256_shuffle_epi8(load_nibbles(nibbles->high), high));
}

AVX2 static inline uint64_t mask_of(__m256i tops)
{
	return (uint32_t)_mm256_movemask_epi8(tops);
}

/* Which bytes have none of the bits. */
AVX2 static inline uint64_t mask_none(__m256i bits, int of)
{
	return mask_of(_mm256_cmpeq_epi8(_mm256_and_si256(bits, _mm256_set1_epi8((char)of)), _mm256_setzero_si256()));
}

AVX2 static inline __attribute__((always_inline)) void window_read_avx2(const char *at, struct window *window)
{
	const __m256i nibble = _mm256_set1_epi8(15);
	__m256i signs = _mm256_setzero_si256(), nul = signs;
	uint64_t high_bytes = 0;

	*window = (struct window){0};
	for (unsigned half = 0; half < WINDOW_BYTES; half += 32) {
		__m256i here = _mm256_loadu_si256((const __m256i *)(at + half));
		__m256i next = _mm256_loadu_si256((const __m256i *)(at + half + 1));
		__m256i low = _mm256_and_si256(here, nibble), high = _mm256_and_si256(_mm256_srli_epi16(here, 4), nibble);
		__m256i next_low = _mm256_and_si256(next, nibble), next_high = _mm256_and_si256(_mm256_srli_epi16(next, 4), nibble);
		__m256i bits = look_up(&class, low, high);

		__m256i both = _mm256_and_si256(look_up(&first, low, high), look_up(&second, next_low, next_high));

		signs = _mm256_or_si256(signs, both);
		nul = _mm256_or_si256(nul, _mm256_cmpeq_epi8(here, _mm256_setzero_si256()));
		high_bytes |= mask_of(here);
		window->token |= (~mask_none(bits, 0xff) & 0xffffffff) << half;
		window->word |= (~mask_none(bits, CLASS_WORD) & 0xffffffff) << half;
		window->upper |= (~mask_none(bits, CLASS_UPPER) & 0xffffffff) << half;
		window->digit |= mask_of(bits) << half;
		window->ex |= mask_of(_mm256_slli_epi16(bits, 1)) << half;
		/* The two highest bits. */
		window->quote |= mask_of(_mm256_or_si256(both, _mm256_slli_epi16(both, 1))) << half;
		window->escape |= (~mask_none(both, SIGNS_ESCAPE) & 0xffffffff) << half;
	}
	if (!_mm256_testz_si256(signs, signs)) {
		__m128i both = _mm_or_si128(_mm256_castsi256_si128(signs), _mm256_extracti128_si256(signs, 1));
		uint64_t all = (uint64_t)_mm_cvtsi128_si64(both) | (uint64_t)_mm_cvtsi128_si64(_mm_unpackhi_epi64(both, both));

		all |= all >> 32;
		all |= all >> 16;
		window->signs = (unsigned)((all | all >> 8) & 0xff);
	}
	window->signs |= high_bytes ? SIGN_HIGH : 0;
	window->signs |= _mm256_testz_si256(nul, nul) ? 0 : SIGN_NUL;
}

/* A window is one vector here, and what is asked of it a mask. */
#define AVX512 __attribute__((target("avx512f,avx512bw,popcnt")))

AVX512 static inline __m512i look_up_512(const struct nibbles *nibbles, __m512i low, __m512i high)
{
	__m512i lows = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)nibbles->low));
	__m512i highs = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)nibbles->high));

	return _mm512_and_si512(_mm512_shuffle_epi8(lows, low), _mm512_shuffle_epi8(highs, high));
}

AVX512 static inline uint64_t mask_any(__m512i bits, unsigned of)
{
	return _mm512_test_epi8_mask(bits, _mm512_set1_epi8((char)of));
}

AVX512 static inline __attribute__((always_inline)) void window_read_avx512(const char *at, struct window *window)
{
	const __m512i nibble = _mm512_set1_epi8(15);
	__m512i here = _mm512_loadu_si512(at), next = _mm512_loadu_si512(at + 1);
	__m512i low = _mm512_and_si512(here, nibble), high = _mm512_and_si512(_mm512_srli_epi16(here, 4), nibble);
	__m512i next_low = _mm512_and_si512(next, nibble), next_high = _mm512_and_si512(_mm512_srli_epi16(next, 4), nibble);
	__m512i bits = look_up_512(&class, low, high);
	__m512i both = _mm512_and_si512(look_up_512(&first, low, high), look_up_512(&second, next_low, next_high));

	*window = (struct window){.token = mask_any(bits, 0xff),
				  .word = mask_any(bits, CLASS_WORD),
				  .upper = mask_any(bits, CLASS_UPPER),
				  .digit = mask_any(bits, CLASS_DIGIT),
				  .ex = mask_any(bits, CLASS_X),
				  .quote = mask_any(both, SIGNS_QUOTE),
				  .escape = mask_any(both, SIGNS_ESCAPE)};
	if (mask_any(both, 0xff))
		for (unsigned sign = 1; sign < 0x100; sign <<= 1)
			window->signs |= mask_any(both, sign) ? sign : 0;
	window->signs |= _mm512_movepi8_mask(here) ? SIGN_HIGH : 0;
	window->signs |= _mm512_testn_epi8_mask(here, here) ? SIGN_NUL : 0;
}
#endif

/* Which bits end a run of RUN_LEAST ones, in the second of two windows. */
static inline uint64_t runs_end(uint64_t before, uint64_t here)
{
	unsigned __int128 both = (unsigned __int128)here << 64 | before;

	both &= both << 1;
	both &= both << 2;
	both &= both << 4;
	both &= both << 8;
	both &= both << 8;
	return (uint64_t)(both >> 64);
}
_Static_assert(RUN_LEAST == 24, "runs_end counts to 24");

/* Is there any? */
static inline bool runs_any(uint64_t before, uint64_t here)
{
	uint64_t within = here;

	within &= within >> 1;
	within &= within >> 2;
	within &= within >> 4;
	within &= within >> 8;
	within &= within >> 8;
	/* The bit behind the last one, so that neither count is of nothing. */
	return within || (here & 1 && __builtin_clzll(~before | 1) + __builtin_ctzll(~here) >= RUN_LEAST);
}

static inline void signs_add(struct signs *signs, struct window *window, const struct window *before)
{
	unsigned all = window->signs;
	int digits = __builtin_popcountll(window->digit);

	window->mixed = digits + __builtin_popcountll(window->upper);

	if (__builtin_popcountll(window->word & ~(window->word >> 1)) >= DENSE_LEAST)
		all |= SIGN_DENSE;
	if (digits >= DIGITS_LEAST / 2 && digits + __builtin_popcountll(window->ex & window->digit >> 1) >= DIGITS_LEAST)
		all |= SIGN_NUMERIC;
	if (window->mixed + before->mixed >= MIXED_LEAST && runs_any(before->token, window->token))
		all |= SIGN_RUN;
	signs->tokens[signs->window_count] = window->token;
	signs->quotes[signs->window_count] = window->quote;
	signs->escapes[signs->window_count] = window->escape;
	signs->windows[signs->window_count++] = (uint16_t)all;
	signs->all |= all;
}

typedef void window_read(const char *at, struct window *window);

static inline __attribute__((always_inline)) void windows_read(struct signs *signs, struct view text, window_read *read)
{
	char last[WINDOW_BYTES + 1];
	struct window windows[2] = {{0}, {0}};
	size_t at = 0;

	signs->all = 0;
	signs->window_count = 0;
	for (; text.length - at > WINDOW_BYTES; at += WINDOW_BYTES) {
		read(text.at + at, &windows[1]);
		signs_add(signs, &windows[1], &windows[0]);
		windows[0] = windows[1];
	}
	memset(last, '.', sizeof last);
	memcpy(last, text.at + at, text.length - at);
	read(last, &windows[1]);
	signs_add(signs, &windows[1], &windows[0]);
}

#ifdef __x86_64__
AVX2 static void signs_read_avx2(struct signs *signs, struct view text)
{
	windows_read(signs, text, window_read_avx2);
}

AVX512 static void signs_read_avx512(struct signs *signs, struct view text)
{
	windows_read(signs, text, window_read_avx512);
}
#endif

bool signs_read_by(struct signs *signs, struct view text, enum signs_way way)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, nibbles_make);
	if (way == SIGNS_PORTABLE) {
		windows_read(signs, text, window_read_portable);
		return true;
	}
#ifdef __x86_64__
	if (way == SIGNS_AVX2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt")) {
		signs_read_avx2(signs, text);
		return true;
	}
	if (way == SIGNS_AVX512 && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("popcnt")) {
		signs_read_avx512(signs, text);
		return true;
	}
#endif
	return false;
}

void signs_read(struct signs *signs, struct view text)
{
	if (!signs_read_by(signs, text, SIGNS_AVX512) && !signs_read_by(signs, text, SIGNS_AVX2))
		(void)signs_read_by(signs, text, SIGNS_PORTABLE);
}

size_t signs_next(const struct signs *signs, unsigned any, size_t at)
{
	size_t window = at / WINDOW_BYTES;

	if (window < signs->window_count && signs->windows[window] & any)
		return at;
	for (window++; window < signs->window_count; window++)
		if (signs->windows[window] & any)
			return window * WINDOW_BYTES;
	return SIZE_MAX;
}

/* The next bit at or behind `at`. */
static size_t bit_next(const struct signs *signs, const uint64_t bits[WINDOWS_MAX], size_t at)
{
	for (size_t window = at / WINDOW_BYTES; window < signs->window_count; window++) {
		uint64_t here = bits[window];

		if (window == at / WINDOW_BYTES)
			here &= ~(uint64_t)0 << at % WINDOW_BYTES;
		if (here)
			return window * WINDOW_BYTES + (size_t)__builtin_ctzll(here);
	}
	return SIZE_MAX;
}

size_t signs_quote(const struct signs *signs, size_t at)
{
	return bit_next(signs, signs->quotes, at);
}

size_t signs_escape(const struct signs *signs, size_t at)
{
	return bit_next(signs, signs->escapes, at);
}

/* Where the run that `at` lies in begins; not before `least`. */
static size_t run_begin(const struct signs *signs, size_t at, size_t least)
{
	while (at > least) {
		size_t window = (at - 1) / WINDOW_BYTES, bits = at - window * WINDOW_BYTES;
		uint64_t others = ~signs->tokens[window] << (WINDOW_BYTES - bits);

		if (others) {
			at -= (size_t)__builtin_clzll(others);
			break;
		}
		at = window * WINDOW_BYTES;
	}
	return at > least ? at : least;
}

static size_t run_end(const struct signs *signs, size_t at)
{
	while (at / WINDOW_BYTES < signs->window_count) {
		uint64_t others = ~signs->tokens[at / WINDOW_BYTES] >> at % WINDOW_BYTES;

		if (others)
			return at + (size_t)__builtin_ctzll(others);
		at = (at / WINDOW_BYTES + 1) * WINDOW_BYTES;
	}
	return at;
}

size_t signs_run(const struct signs *signs, size_t at, size_t *end)
{
	for (size_t from = at; (from = signs_next(signs, SIGN_RUN, from)) != SIZE_MAX;) {
		size_t window = from / WINDOW_BYTES;
		uint64_t ends = runs_end(window ? signs->tokens[window - 1] : 0, signs->tokens[window]);

		ends &= ~(uint64_t)0 << from % WINDOW_BYTES;
		if (ends) {
			from = window * WINDOW_BYTES + (size_t)__builtin_ctzll(ends);
			*end = run_end(signs, from);
			from = run_begin(signs, from, at);
			if (*end - from >= RUN_LEAST)
				return from;
			from = *end; /* what is before `at` does not count */
		} else {
			from = (window + 1) * WINDOW_BYTES;
		}
	}
	return SIZE_MAX;
}
