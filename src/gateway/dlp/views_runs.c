/* Runs of digits of base 64, 32 and 16, in windows that have their sign, decoded from every digit that can be a first one. */
#include <ctype.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/scope.h"
#include "gateway/dlp/spare.h"
#include "gateway/dlp/views_priv.h"

#define LINE_LEAST ((size_t)16)    /* digits of a line that may go on in the next one */
#define TEXT_LEAST ((size_t)12)    /* characters in a row that are kept of what was decoded */
#define TURNED_MOST ((size_t)4096) /* digits of a run that are decoded from every offset; the rest from its own */
#define RUN_COUNTED_MOST ((size_t)4096)
#define RUN_DIGITS_MAX ((size_t)16384) /* longer ones are read as several */

/* A digit's number, + 1; 0 for what is none. Both alphabets of RFC 4648. */
static const unsigned char digits_64[256] = {
	['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,  ['F'] = 6,  ['G'] = 7,  ['H'] = 8,  ['I'] = 9,  ['J'] = 10,
	['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16, ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20,
	['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24, ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30,
	['e'] = 31, ['f'] = 32, ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40,
	['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48, ['w'] = 49, ['x'] = 50,
	['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56, ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60,
	['8'] = 61, ['9'] = 62, ['+'] = 63, ['-'] = 63, ['/'] = 64, ['_'] = 64,
};

struct run {
	size_t length;
	size_t upper, lower, digits; /* of hexadecimal and base 32 it is asked what it is made of */
	size_t hex, base32;
	char *characters; /* RUN_DIGITS_MAX */
};

struct runs {
	struct buf base64, base32, hex;
	struct buf decoded; /* the run, one way */
	struct run run;
};

static bool is_digit(char c)
{
	return digits_64[(unsigned char)c] != 0;
}

/* Where the next line of a wrapped run begins, if `at` is the end of a line of one; else 0. JSON's \n counts as a line's end. */
static size_t line_next(struct view text, size_t at)
{
	size_t i = at;

	while (i < text.length && text.at[i] == '\\' && i + 1 < text.length && strchr("rn", text.at[i + 1]))
		i += 2;
	while (i < text.length && (text.at[i] == '\r' || text.at[i] == '\n'))
		i++;
	if (i == at || i - at > 4)
		return 0;
	while (i < text.length && i - at < 40 && (text.at[i] == ' ' || text.at[i] == '\t'))
		i++;
	return i < text.length && is_digit(text.at[i]) ? i : 0;
}

/* Reads the run at `at`; returns where it ends. */
static size_t run_read(struct run *run, struct view text, size_t at)
{
	size_t line = 0;

	run->length = run->upper = run->lower = run->digits = run->hex = run->base32 = 0;
	while (at < text.length && run->length < RUN_DIGITS_MAX) {
		char c = text.at[at];
		size_t next;

		if (is_digit(c)) {
			run->characters[run->length++] = c;
			run->upper += c >= 'A' && c <= 'Z';
			run->lower += c >= 'a' && c <= 'z';
			run->digits += c >= '0' && c <= '9';
			run->hex += isxdigit((unsigned char)c) != 0;
			run->base32 += isalpha((unsigned char)c) || (c >= '2' && c <= '7');
			line++;
			at++;
			continue;
		}
		next = line >= LINE_LEAST ? line_next(text, at) : 0;
		if (!next)
			break;
		line = 0;
		at = next;
	}
	return at;
}

static bool is_text(char c)
{
	/* NUL: UTF-16. */
	static const bool texts[256] = {[0x20 ... 0x7e] = true, ['\n'] = true, ['\r'] = true, ['\t'] = true, [0] = true};

	return texts[(unsigned char)c];
}

/* Of what was decoded only text is kept: what is none was no encoding, or is binary and would only make more views. Of each TEXT_LEAST bytes the
 * last one is looked at first: where that is no text, no text worth keeping ends before it. */
static void text_add(struct buf *out, const struct buf *decoded)
{
	for (size_t from = 0; from + TEXT_LEAST <= decoded->length;) {
		size_t at = from + TEXT_LEAST, end = at;

		while (at > from && is_text(decoded->at[at - 1]))
			at--;
		if (at > from) {
			from = at;
			continue;
		}
		while (end < decoded->length && is_text(decoded->at[end]))
			end++;
		buf_add(out, decoded->at + from, end - from);
		buf_add_char(out, '\n');
		from = end + 1;
	}
}

static unsigned number(const struct run *run, size_t at)
{
	return digits_64[(unsigned char)run->characters[at]] - 1u;
}

static void decode_64(const struct run *run, struct buf *decoded, struct buf *out)
{
	for (size_t lead = 0; lead < 4; lead++) {
		size_t end = lead && run->length > TURNED_MOST ? TURNED_MOST : run->length;
		size_t made = 0, i;
		char *to;

		buf_clear(decoded);
		to = buf_reserve(decoded, run->length + 4);
		if (!to)
			return;
		for (i = lead; i + 4 <= end; i += 4) {
			unsigned group = number(run, i) << 18 | number(run, i + 1) << 12 | number(run, i + 2) << 6 |
					 number(run, i + 3);

			to[made++] = (char)(group >> 16);
			to[made++] = (char)(group >> 8);
			to[made++] = (char)group;
		}
		if (end - i >= 2)
			to[made++] = (char)(number(run, i) << 2 | number(run, i + 1) >> 4);
		if (end - i >= 3)
			to[made++] = (char)(number(run, i + 1) << 4 | number(run, i + 2) >> 2);
		buf_commit(decoded, made);
		text_add(out, decoded);
	}
}

static unsigned hex_digit(char c)
{
	return ((unsigned char)c & 15U) + (c & 0x40 ? 9U : 0U);
}

static void decode_hex(const struct run *run, struct buf *decoded, struct buf *out)
{
	for (size_t lead = 0; lead < 2; lead++) {
		size_t made = 0;
		char *to;

		buf_clear(decoded);
		to = buf_reserve(decoded, run->length / 2 + 1);
		if (!to)
			return;
		for (size_t i = lead; i + 2 <= run->length; i += 2)
			to[made++] = (char)(hex_digit(run->characters[i]) << 4 | hex_digit(run->characters[i + 1]));
		buf_commit(decoded, made);
		text_add(out, decoded);
	}
}

static void decode_32(const struct run *run, struct buf *decoded, struct buf *out)
{
	size_t leads = run->length > TURNED_MOST ? 1 : 8;

	for (size_t lead = 0; lead < leads; lead++) {
		unsigned bits = 0, count = 0;

		buf_clear(decoded);
		for (size_t i = lead; i < run->length; i++) {
			char c = run->characters[i];

			bits = bits << 5 | (unsigned)(isalpha((unsigned char)c) ? (c | 0x20) - 'a' : c - '2' + 26);
			count += 5;
			if (count >= 8) {
				count -= 8;
				buf_add_char(decoded, (char)(bits >> count));
			}
		}
		text_add(out, decoded);
	}
}

/* Text in base 64 has capitals and small letters; identifiers and paths rarely have many of both. */
static void run_decode(struct runs *runs)
{
	const struct run *run = &runs->run;

	if (run->hex == run->length) {
		if (run->digits >= 4)
			decode_hex(run, &runs->decoded, &runs->hex);
		return;
	}
	if (run->base32 == run->length && run->digits >= 2 && (!run->upper || !run->lower))
		decode_32(run, &runs->decoded, &runs->base32);
	if (run->upper >= 3 && run->lower >= 3)
		decode_64(run, &runs->decoded, &runs->base64);
}

/* Of each byte: capitals 1, small letters 1 << 16, digits 1 << 32, so that sums count them; and of a group of four digits, the places where it
 * may stand when the group is three characters of text: 1 first, 2 second, 4 third. */
static uint64_t kinds_of[256];
static unsigned char places_of[256];
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static void tables_make(void)
{
	for (unsigned c = 0; c < 256; c++) {
		unsigned number = digits_64[c] - 1u;

		if (!digits_64[c])
			continue;
		kinds_of[c] = number < 26 ? 1 : number < 52 ? 1 << 16 : number < 62 ? (uint64_t)1 << 32 : 0;
		places_of[c] = (unsigned char)(((number >= 8 && number < 32) || number < 4 ? 1 : 0) | (number & 8 ? 0 : 2) |
					       (number & 2 ? 0 : 4));
	}
}

static unsigned char places(char c)
{
	return places_of[(unsigned char)c];
}

/* May a run on one line be base 64 of TEXT_LEAST characters? Names of programs hardly ever are. */
static bool run_may_be_text(struct view run)
{
	uint64_t good = 0;
	unsigned char one = places(run.at[0]), two = places(run.at[1]);

	for (size_t i = 2; i < run.length; i++) {
		unsigned char three = places(run.at[i]);

		good = good << 1 | ((one & 1) && (two & 2) && (three & 4));
		/* Three groups in a row are the least that holds TEXT_LEAST characters. */
		if ((good & 0x111) == 0x111)
			return true;
		one = two;
		two = three;
	}
	return false;
}

#define UPPER(n) ((n)&0xffff)
#define LOWER(n) ((n) >> 16 & 0xffff)
#define DIGITS(n) ((n) >> 32)
/* Is it worth to be read? */
static bool run_is_telling(struct view text, size_t from, size_t end)
{
	uint64_t kinds = 0;
	bool plain;

	/* Of one that goes on in the next line, this is not all; nor are a few thousand digits anything but data. */
	if (line_next(text, end) || end - from >= RUN_COUNTED_MOST)
		return true;
	for (size_t i = from; i < end; i++)
		kinds += kinds_of[(unsigned char)text.at[i]];
	plain = UPPER(kinds) + LOWER(kinds) + DIGITS(kinds) == end - from;
	/* Hexadecimal or base 32: run_decode() looks again. */
	if (plain && DIGITS(kinds) >= 2 && (!UPPER(kinds) || !LOWER(kinds) || UPPER(kinds) + LOWER(kinds) < DIGITS(kinds) * 4))
		return true;
	return UPPER(kinds) >= 3 && LOWER(kinds) >= 3 && run_may_be_text(view_make(text.at + from, end - from));
}

static size_t run_find(struct view text, const struct signs *signs, size_t at)
{
	size_t end = at;

	do
		at = signs_run(signs, end, &end);
	while (at < text.length && !run_is_telling(text, at, end));
	return at < text.length ? at : text.length;
}

void view_runs(struct view text, const struct signs *signs, view_emit *emit, void *self)
{
	struct runs runs;
	SPARE_BUF characters = spare_buf(RUN_DIGITS_MAX);
	size_t at;

	(void)pthread_once(&tables_once, tables_make);
	at = run_find(text, signs, 0);
	if (at == text.length)
		return;
	runs.run.characters = buf_reserve(&characters, RUN_DIGITS_MAX);
	runs.decoded = spare_buf(VIEW_TEXT_MAX * 2);
	runs.base64 = spare_buf(VIEW_TEXT_MAX * 4);
	runs.base32 = spare_buf(VIEW_TEXT_MAX * 6);
	runs.hex = spare_buf(VIEW_TEXT_MAX * 2);
	for (; at < text.length; at = run_find(text, signs, at)) {
		at = run_read(&runs.run, text, at);
		run_decode(&runs);
	}
	if (runs.base64.length)
		emit(self, "base64", VIEW_DECODED, buf_view(&runs.base64));
	if (runs.base32.length)
		emit(self, "base32", VIEW_DECODED, buf_view(&runs.base32));
	if (runs.hex.length)
		emit(self, "hex", VIEW_DECODED, buf_view(&runs.hex));
	spare_buf_put(&runs.base64);
	spare_buf_put(&runs.base32);
	spare_buf_put(&runs.hex);
	spare_buf_put(&runs.decoded);
}
