/*
 * Theory of operation: one pass with vectors looks for signs (signs_read); each view has one. A view that changes few places copies only
 * what lies CONTEXT bytes around them (struct patch), so that its cost follows what is encoded and not what is sent. Runs of base 64, base
 * 32 and hexadecimal digits are found by looking at every RUN_LEAST-th byte (runs_decode).
 */
#include "gateway/dlp/views.h"

#include <ctype.h>

#include "base/scope.h"
#include "gateway/dlp/spare.h"
#include "gateway/dlp/views_priv.h"

#define CONTEXT ((size_t)256) /* longer than the tokens that are looked for */
#define WORD_MOST ((size_t)128)
#define ESCAPE_MOST ((size_t)96) /* characters that one escape stands for */

typedef unsigned char vector __attribute__((vector_size(16)));
typedef unsigned long long halves __attribute__((vector_size(16)));

static vector vector_at(const char *at)
{
	vector bytes;

	memcpy(&bytes, at, sizeof bytes);
	return bytes;
}

static bool vector_any(vector bytes)
{
	halves both = (halves)bytes;

	return (both[0] | both[1]) != 0;
}

size_t view_find_any(struct view text, size_t at, const char any[4])
{
	const unsigned char *bytes = (const unsigned char *)any;

	for (; at + 16 <= text.length; at += 16) {
		vector here = vector_at(text.at + at);

		if (vector_any((vector)(here == bytes[0]) | (vector)(here == bytes[1]) | (vector)(here == bytes[2]) |
			       (vector)(here == bytes[3])))
			break;
	}
	while (at < text.length && text.at[at] != any[0] && text.at[at] != any[1] && text.at[at] != any[2] && text.at[at] != any[3])
		at++;
	return at;
}

/* The same, of the windows that have the sign. */
static size_t find_in(struct view text, const struct signs *signs, unsigned sign, size_t at, const char any[4])
{
	while ((at = signs_next(signs, sign, at)) < text.length) {
		size_t end = (at / WINDOW_BYTES + 1) * WINDOW_BYTES;

		end = end < text.length ? end : text.length;
		at = view_find_any(view_make(text.at, end), at, any);
		if (at < end)
			return at;
	}
	return text.length;
}

/* What words and keys are made of, without regard to the locale: this is asked often. */
static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
	return (char)(c | 0x20) >= 'a' && (char)(c | 0x20) <= 'z';
}

static bool is_token(char c)
{
	static const bool tokens[256] = {
		['A' ... 'Z'] = true, ['a' ... 'z'] = true, ['-' ... '9'] = true, ['_'] = true, ['+'] = true, ['='] = true};

	return tokens[(unsigned char)c];
}

/* Calls `view` for each stretch of windows that have the sign, with one more on each side. */
static void each_stretch(const struct signs *signs, unsigned sign, struct view text, struct buf *out,
			 void (*view)(struct view, struct buf *))
{
	size_t window = 0;

	while (window < signs->window_count) {
		size_t from, to;

		if (!(signs->windows[window] & sign)) {
			window++;
			continue;
		}
		from = window ? window - 1 : 0;
		while (window < signs->window_count &&
		       (signs->windows[window] & sign || (window && signs->windows[window - 1] & sign)))
			window++;
		to = window * WINDOW_BYTES < text.length ? window * WINDOW_BYTES : text.length;
		view(view_make(text.at + from * WINDOW_BYTES, to - from * WINDOW_BYTES), out);
	}
}

/* Patches */

void patch_begin(struct patch *patch, struct view text)
{
	*patch = (struct patch){.text = text, .context = CONTEXT, .out = spare_buf(VIEW_TEXT_MAX * 4)};
}

void patch_put(struct patch *patch, size_t at, size_t skip, const char *by, size_t by_length)
{
	size_t from = patch->copied;

	if (!patch->count || at - from > 2 * patch->context) {
		if (patch->count) {
			buf_add(&patch->out, patch->text.at + from, patch->context);
			buf_add_char(&patch->out, '\n');
		}
		from = at - from > patch->context ? at - patch->context : from;
	}
	buf_add(&patch->out, patch->text.at + from, at - from);
	buf_add(&patch->out, by, by_length);
	patch->copied = at + skip;
	patch->count++;
}

void patch_end(struct patch *patch, const char *name, enum view_kind kind, view_emit *emit, void *self)
{
	size_t rest = patch->text.length - patch->copied;

	if (patch->count) {
		buf_add(&patch->out, patch->text.at + patch->copied, rest < patch->context ? rest : patch->context);
		emit(self, name, kind, buf_view(&patch->out));
	}
	spare_buf_put(&patch->out);
}

/* Escapes */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* `digits` hexadecimal digits at the front, or -1. */
static long hex_number(struct view text, size_t digits)
{
	long number = 0;

	if (text.length < digits)
		return -1;
	for (size_t i = 0; i < digits; i++) {
		int digit = hex_digit(text.at[i]);

		if (digit < 0)
			return -1;
		number = number << 4 | digit;
	}
	return number;
}

static struct view view_from(struct view text, size_t at)
{
	return at < text.length ? view_make(text.at + at, text.length - at) : view_make(text.at + text.length, 0);
}

/* \u0041, \u{41}, \x41, \101, \n, \/ and so on: its length, 0 when it is none. */
static size_t escape_backslash(struct view text, long *code)
{
	static const char simple[] = "n\nr\rt\t\"\"''\\\\//";
	char kind = text.length > 1 ? text.at[1] : 0;

	if (kind == 'x' && (*code = hex_number(view_from(text, 2), 2)) >= 0)
		return 4;
	if (kind == 'u' && (*code = hex_number(view_from(text, 2), 4)) >= 0)
		return 6;
	if (kind == 'U' && (*code = hex_number(view_from(text, 2), 8)) >= 0)
		return 10;
	if (kind == 'u' && text.length > 3 && text.at[2] == '{')
		for (size_t digits = 1; digits <= 6 && digits + 3 < text.length; digits++)
			if (text.at[digits + 3] == '}' && (*code = hex_number(view_from(text, 3), digits)) >= 0)
				return digits + 4;
	if (kind >= '0' && kind <= '7') {
		size_t digits = 0;

		for (*code = 0; digits < 3 && digits + 1 < text.length && text.at[digits + 1] >= '0' && text.at[digits + 1] <= '7';
		     digits++)
			*code = *code * 8 + (text.at[digits + 1] - '0');
		return digits + 1;
	}
	for (size_t i = 0; i + 1 < sizeof simple; i += 2)
		if (kind && kind == simple[i]) {
			*code = (unsigned char)simple[i + 1];
			return 2;
		}
	return 0;
}

/* &#65; &#x41; and the five names. */
static size_t escape_amp(struct view text, long *code)
{
	static const struct {
		struct view name;
		char c;
	} names[] = {{VIEW("&amp;"), '&'},    {VIEW("&lt;"), '<'},   {VIEW("&gt;"), '>'},   {VIEW("&quot;"), '"'},
		     {VIEW("&apos;"), '\''},  {VIEW("&sol;"), '/'},  {VIEW("&plus;"), '+'}, {VIEW("&equals;"), '='},
		     {VIEW("&lowbar;"), '_'}, {VIEW("&dash;"), '-'}, {VIEW("&colon;"), ':'}};
	bool hex = text.length > 3 && (text.at[2] | 0x20) == 'x';
	size_t at = hex ? 3 : 2;

	for (size_t i = 0; i < ARRAY_LEN(names) && text.length > 1 && text.at[1] != '#'; i++)
		if (text.at[1] == names[i].name.at[1] && view_starts(text, names[i].name)) {
			*code = (unsigned char)names[i].c;
			return names[i].name.length;
		}
	if (text.length < 4 || text.at[1] != '#')
		return 0;
	for (*code = 0; at < text.length && at < 12; at++) {
		int digit = hex_digit(text.at[at]);

		if (digit < 0 || (!hex && digit > 9))
			break;
		*code = *code * (hex ? 16 : 10) + digit;
	}
	if (at == (hex ? 3u : 2u))
		return 0;
	return at < text.length && text.at[at] == ';' ? at + 1 : at;
}

/* RFC 2152: +AEEAQg- is two characters in UTF-16, in base 64, up to what is no digit of it. */
static size_t escape_utf7(struct view text, char out[ESCAPE_MOST], size_t *made)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	unsigned bits = 0, count = 0;
	size_t at = 1;

	if (text.length < 4 || text.at[1] != 'A')
		return 0;
	for (*made = 0; at < text.length && *made < ESCAPE_MOST; at++) {
		const char *digit = text.at[at] ? strchr(digits, text.at[at]) : NULL;

		if (!digit)
			break;
		bits = bits << 6 | (unsigned)(digit - digits);
		count += 6;
		if (count < 16)
			continue;
		count -= 16;
		if (bits >> count > 0x7e || (bits >> count < ' ' && !isspace((int)(bits >> count))))
			return 0;
		out[(*made)++] = (char)(bits >> count);
		bits &= (1u << count) - 1;
	}
	if (!*made || count >= 6 || bits)
		return 0;
	return at < text.length && text.at[at] == '-' ? at + 1 : at;
}

static size_t utf8_encode(long code, char out[4])
{
	if (code < 0x80) {
		out[0] = (char)code;
		return 1;
	}
	if (code < 0x800) {
		out[0] = (char)(0xc0 | code >> 6);
		out[1] = (char)(0x80 | (code & 0x3f));
		return 2;
	}
	if (code < 0x10000) {
		out[0] = (char)(0xe0 | code >> 12);
		out[1] = (char)(0x80 | (code >> 6 & 0x3f));
		out[2] = (char)(0x80 | (code & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | (code >> 18 & 7));
	out[1] = (char)(0x80 | (code >> 12 & 0x3f));
	out[2] = (char)(0x80 | (code >> 6 & 0x3f));
	out[3] = (char)(0x80 | (code & 0x3f));
	return 4;
}

/* \n, \" and their like are everywhere in JSON: they count only near to one that hides something. */
static bool escape_is_strong(struct view text)
{
	return text.at[0] != '\\' ||
	       (text.length > 1 && (strchr("uUx/", text.at[1]) || (text.at[1] >= '0' && text.at[1] <= '7')) && text.at[1]);
}

static size_t escape_any(struct view text, char out[ESCAPE_MOST], size_t *made)
{
	long code = -1;
	size_t length = 0;

	switch (text.at[0]) {
	case '%':
		/* A byte, not a character. */
		code = hex_number(view_from(text, 1), 2);
		if (code < 0)
			return 0;
		out[0] = (char)code;
		*made = 1;
		return 3;
	case '\\':
		length = escape_backslash(text, &code);
		break;
	case '&':
		length = escape_amp(text, &code);
		break;
	case '+':
		return escape_utf7(text, out, made);
	default:
		return 0;
	}
	if (length)
		*made = utf8_encode(code, out);
	return length;
}

static void view_escaped(struct view text, const struct signs *signs, view_emit *emit, void *self)
{
	struct patch patch;
	char out[ESCAPE_MOST];
	size_t made = 0, last_strong = 0;

	patch_begin(&patch, text);
	for (size_t i = signs_escape(signs, 0); i < text.length;
	     i = patch.count && i - last_strong < CONTEXT ? view_find_any(text, i, "%\\&+") : signs_escape(signs, i)) {
		size_t length = escape_any(view_from(text, i), out, &made);
		bool strong = length && escape_is_strong(view_from(text, i));

		if (strong || (length && patch.count && i - last_strong < CONTEXT))
			patch_put(&patch, i, length, out, made);
		if (strong)
			last_strong = i;
		i += length ? length : 1;
	}
	patch_end(&patch, "escaped", VIEW_DECODED, emit, self);
}

/* RFC 2045 section 6.7: =41, and = at the end of a line that goes on. RFC 2047's Q writes the same. */
static void view_quoted_printable(struct view text, const struct signs *signs, view_emit *emit, void *self)
{
	struct patch patch;

	patch_begin(&patch, text);
	for (size_t i = find_in(text, signs, SIGN_EQUALS, 0, "===="); i + 1 < text.length;
	     i = find_in(text, signs, SIGN_EQUALS, i, "====")) {
		struct view rest = view_from(text, i + 1);
		size_t end = rest.at[0] == '\n' ? 1 : rest.length > 1 && rest.at[0] == '\r' && rest.at[1] == '\n' ? 2 : 0;
		long code;
		char c;

		if (end) { /* within a word only: it is there that it hides something */
			if (i && end < rest.length && is_token(text.at[i - 1]) && is_token(rest.at[end]))
				patch_put(&patch, i, 1 + end, "", 0);
			i += 1 + end;
		} else if ((code = hex_number(rest, 2)) >= ' ') {
			c = (char)code;
			patch_put(&patch, i, 3, &c, 1);
			i += 3;
		} else {
			i++;
		}
	}
	patch_end(&patch, "quoted-printable", VIEW_DECODED, emit, self);
}

static void view_without_nul(struct view text, const struct signs *signs, view_emit *emit, void *self)
{
	struct patch patch;

	patch_begin(&patch, text);
	for (size_t i = find_in(text, signs, SIGN_NUL, 0, "\0\0\0"); i < text.length;
	     i = find_in(text, signs, SIGN_NUL, i + 1, "\0\0\0"))
		patch_put(&patch, i, 1, "", 0);
	patch_end(&patch, "utf-16", VIEW_DECODED, emit, self);
}

/* Pieces */

static bool is_quote(char c)
{
	return c == '"' || c == '\'' || c == '`';
}

/* From a closing quote to the opening one of what it is joined with: "AK" + "IA", ["A","K"], 'a' 'b', \"a\" + \"b\". 0: it is none. */
static size_t join_length(struct view text)
{
	size_t i = 1;
	bool op = false;

	while (i < text.length && i < 24) {
		char c = text.at[i];

		if (is_quote(c))
			return i + 1;
		if (c == '+' || c == '.' || c == ',' || c == '&' || c == '|') {
			if (op && c != '&' && c != '|')
				return 0;
			op = true;
		} else if (c == '\\' && i + 1 < text.length &&
			   (text.at[i + 1] == 'n' || text.at[i + 1] == 'r' || text.at[i + 1] == 't')) {
			i++;
		} else if (c != ' ' && c != '\t' && c != '\r' && c != '\n' && c != '\\') {
			return 0;
		}
		i++;
	}
	return 0;
}

/* A closing quote at `at`, of which another piece of the same word follows: how much is between them, with the backslash of an escaped
 * quote, which is *before bytes in front of `at`. 0: none is. */
static size_t join_at(struct view text, size_t from, size_t at, size_t *before)
{
	size_t length;

	*before = at > from && text.at[at - 1] == '\\';
	/* Pieces of one word: there is something of it on both sides. */
	if (at <= from + *before || !is_token(text.at[at - *before - 1]))
		return 0;
	length = join_length(view_from(text, at));
	return length && at + length < text.length && is_token(text.at[at + length]) ? length : 0;
}

struct kinds {
	size_t digits, upper, lower, all;
};

static void kinds_add(struct kinds *kinds, char c)
{
	kinds->digits += is_digit(c);
	kinds->upper += is_letter(c) && !(c & 0x20);
	kinds->lower += is_letter(c) && c & 0x20;
	kinds->all++;
}

/* Would the pieces together be a key, or are they a list of words? */
static bool kinds_are_telling(const struct kinds *kinds)
{
	return (kinds->digits && kinds->all >= JOINED_LEAST) ||
	       (kinds->upper >= 2 && kinds->lower >= 2 && kinds->all >= 2 * JOINED_LEAST);
}

/* Pieces that follow each other from the closing quote at `at` on; returns where the last one ends. */
static size_t chain_read(struct view text, size_t from, size_t at, struct kinds *kinds)
{
	size_t before, length;

	for (size_t i = at; i-- > from && at - i < WORD_MOST && (is_token(text.at[i]) || text.at[i] == '\\');)
		kinds_add(kinds, text.at[i]);
	while ((length = join_at(text, from, at, &before))) {
		for (at += length; at < text.length && is_token(text.at[at]); at++)
			kinds_add(kinds, text.at[at]);
		if (at < text.length && text.at[at] == '\\')
			at++;
		if (at == text.length || !is_quote(text.at[at]))
			break;
	}
	return at;
}

static void view_joined(struct view text, const struct signs *signs, bool words, view_emit *emit, void *self)
{
	size_t i = signs_quote(signs, 0), told = 0;
	struct patch patch;

	patch_begin(&patch, text);
	patch.context = WORD_MOST;
	for (; i < text.length; i = signs_quote(signs, i)) {
		struct kinds kinds = {0};
		size_t before, length, end;

		if (!i || (!is_token(text.at[i - 1]) && text.at[i - 1] != '\\')) { /* most are: nothing of a word is before it */
			i++;
			continue;
		}
		length = join_at(text, patch.copied, i, &before);
		if (length && i >= told) {
			end = chain_read(text, patch.copied, i, &kinds);
			if (!words && !kinds_are_telling(&kinds)) {
				i = end > i + length ? end : i + length;
				continue;
			}
			told = end;
		}
		if (length)
			patch_put(&patch, i - before, length + before, "", 0);
		i += length ? length : 1;
	}
	patch_end(&patch, "joined", VIEW_PIECED, emit, self);
}

/* Without what stands between letters and digits: once with `_` and `-`, once without them. */
static void strip(struct view text, struct buf *out)
{
	for (int pass = 0; pass < 2; pass++) {
		char *to = buf_reserve(out, text.length + 1);
		size_t made = 0;

		if (!to)
			return;
		for (size_t i = 0; i < text.length; i++) {
			char c = text.at[i];

			to[made] = c; /* written over when it does not stay */
			made += is_digit(c) || is_letter(c) || (pass == 0 && (c == '_' || c == '-'));
		}
		to[made] = '\n';
		buf_commit(out, made + 1);
	}
}

/* Character codes, in a row: 115, 107, 45 or 0163 0153, whatever stands between. Two readings at once. */
static void numbers_flush(struct buf *out, struct buf numbers[2])
{
	for (int i = 0; i < 2; i++) {
		if (numbers[i].length >= 8) {
			buf_add_view(out, buf_view(&numbers[i]));
			buf_add_char(out, '\n');
		}
		buf_clear(&numbers[i]);
	}
}

static void numbers(struct view text, struct buf *out)
{
	struct buf rows[2] = {spare_buf(VIEW_TEXT_MAX), spare_buf(VIEW_TEXT_MAX)};
	size_t last = 0;

	for (size_t i = 0; i < text.length;) {
		size_t digits = 0, decimal = 0, octal = 0;

		while (i + digits < text.length && digits < 5 && isdigit((unsigned char)text.at[i + digits])) {
			decimal = decimal * 10 + (size_t)(text.at[i + digits] - '0');
			octal = text.at[i + digits] < '8' && octal < 512 ? octal * 8 + (size_t)(text.at[i + digits] - '0') : 512;
			digits++;
		}
		if (!digits) {
			i++;
			continue;
		}
		if (i - last > 10)
			numbers_flush(out, rows);
		if (decimal >= 32 && decimal < 127)
			buf_add_char(&rows[0], (char)decimal);
		if (octal >= 32 && octal < 127)
			buf_add_char(&rows[1], (char)octal);
		if ((decimal < 32 || decimal > 126) && (octal < 32 || octal > 126))
			numbers_flush(out, rows);
		i += digits;
		last = i;
	}
	numbers_flush(out, rows);
	spare_buf_put(&rows[0]);
	spare_buf_put(&rows[1]);
}

/* Hexadecimal pairs with something between: 73:6b, 73 6b, 0x73, 0x6b. */
static void hex_pairs(struct view text, struct buf *out)
{
	size_t row = 0, last = 0;

	for (size_t i = 0; i + 1 < text.length;) {
		size_t at = i;
		long code;

		if (text.at[at] == '0' && (text.at[at + 1] | 0x20) == 'x')
			at += 2;
		code = hex_number(view_from(text, at), 2);
		if (code < 0 || (at + 2 < text.length && hex_digit(text.at[at + 2]) >= 0)) {
			i++;
			continue;
		}
		if (i - last > 4) {
			if (row && row < 8)
				buf_cut(out, out->length - row);
			else if (row)
				buf_add_char(out, '\n');
			row = 0;
		}
		buf_add_char(out, (char)code);
		row++;
		i = last = at + 2;
	}
	if (row && row < 8)
		buf_cut(out, out->length - row);
}

struct stretches {
	const char *name;
	enum view_kind kind;
	void (*view)(struct view text, struct buf *out);
};

static void view_stretches(const struct signs *signs, unsigned sign, struct view text, const struct stretches *stretches,
			   view_emit *emit, void *self)
{
	SPARE_BUF out = spare_buf(VIEW_TEXT_MAX * 4);

	each_stretch(signs, sign, text, &out, stretches->view);
	if (out.length)
		emit(self, stretches->name, stretches->kind, buf_view(&out));
}

void views_make(struct view text, bool whole, bool words, view_emit *emit, void *self)
{
	struct signs signs;

	if (!text.length)
		return;
	if (text.length > VIEW_TEXT_MAX)
		text.length = VIEW_TEXT_MAX;
	signs_read(&signs, text);
	if (signs.all & SIGNS_ESCAPE)
		view_escaped(text, &signs, emit, self);
	if (signs.all & SIGN_EQUALS)
		view_quoted_printable(text, &signs, emit, self);
	if (signs.all & SIGN_NUL)
		view_without_nul(text, &signs, emit, self);
	if (signs.all & SIGN_HIGH)
		view_unicode(text, &signs, emit, self);
	if (signs.all & SIGNS_QUOTE)
		view_joined(text, &signs, words, emit, self);
	if (signs.all & SIGN_DENSE)
		view_stretches(&signs, SIGN_DENSE, text, &(struct stretches){"punctuated", VIEW_TURNED, strip}, emit, self);
	if (signs.all & SIGN_NUMERIC)
		view_stretches(&signs, SIGN_NUMERIC, text, &(struct stretches){"character codes", VIEW_DECODED, numbers}, emit,
			       self);
	if (signs.all & (SIGN_NUMERIC | SIGN_DENSE))
		view_stretches(&signs, SIGN_NUMERIC | SIGN_DENSE, text, &(struct stretches){"hex", VIEW_DECODED, hex_pairs}, emit,
			       self);
	if (whole)
		views_of_whole(text, emit, self);
	if (signs.all & SIGN_RUN)
		view_runs(text, &signs, emit, self);
}

void views_turned(struct view text, bool reversed, view_emit *emit, void *self)
{
	SPARE_BUF out = spare_buf(VIEW_TEXT_MAX);
	char *to;

	if (text.length > VIEW_TEXT_MAX)
		text.length = VIEW_TEXT_MAX;
	to = buf_reserve(&out, text.length);
	for (size_t i = 0; i < text.length; i++) {
		char c = text.at[reversed ? text.length - 1 - i : i];

		if (!reversed && isalpha((unsigned char)c)) {
			char a = islower((unsigned char)c) ? 'a' : 'A';

			c = (char)(a + (c - a + 13) % 26);
		}
		to[i] = c;
	}
	buf_commit(&out, text.length);
	emit(self, reversed ? "reversed" : "rot13", VIEW_TURNED, buf_view(&out));
}
