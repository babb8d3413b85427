/* Text with look-alikes and invisible characters, as a person would read it: in ASCII. */
#include <pthread.h>

#include "base/scope.h"
#include "gateway/dlp/views_priv.h"

struct range {
	uint32_t from, to;
};

/* Default-ignorable code points (Unicode's DerivedCoreProperties), combining marks and the other fillers. */
static const struct range invisible[] = {
	{0x00ad, 0x00ad}, {0x0300, 0x036f},   {0x0483, 0x0489},   {0x061c, 0x061c}, {0x115f, 0x1160}, {0x17b4, 0x17b5},
	{0x180b, 0x180f}, {0x1ab0, 0x1aff},   {0x1dc0, 0x1dff},   {0x200b, 0x200f}, {0x202a, 0x202e}, {0x2060, 0x206f},
	{0x20d0, 0x20ff}, {0x3164, 0x3164},   {0xfe00, 0xfe0f},   {0xfe20, 0xfe2f}, {0xfeff, 0xfeff}, {0xffa0, 0xffa0},
	{0xfff9, 0xfffb}, {0xe0000, 0xe001f}, {0xe007f, 0xe0fff}, {0x2800, 0x2800},
};

/* Blocks that follow ASCII: the first of them, how many, the ASCII character of the first. */
static const struct {
	uint32_t from, count;
	char ascii;
} blocks[] = {
	{0xff01, 94, '!'}, {0xe0020, 95, ' '}, {0x24b6, 26, 'A'},  {0x24d0, 26, 'a'},  {0x2460, 9, '1'}, {0x2080, 10, '0'},
	{0x2074, 6, '4'},  {0x1f130, 26, 'A'}, {0x1f150, 26, 'A'}, {0x1f170, 26, 'A'}, {0x2010, 1, '-'}, {0x2011, 1, '-'},
	{0x2012, 1, '-'},  {0x2013, 1, '-'},   {0x2014, 1, '-'},   {0x2015, 1, '-'},   {0x2212, 1, '-'}, {0x2018, 1, '\''},
	{0x2019, 1, '\''}, {0x201c, 1, '"'},   {0x201d, 1, '"'},   {0x00a0, 1, ' '},   {0x3000, 1, ' '}, {0x00b2, 2, '2'},
	{0x00b9, 1, '1'},  {0x2044, 1, '/'},   {0x2215, 1, '/'},   {0xff3f, 1, '_'},   {0x2024, 1, '.'}, {0x3002, 1, '.'},
};

/* Cyrillic, Greek, Armenian and Latin letters that fonts draw as ASCII's (Unicode's confusables, the common ones). */
static const struct {
	uint16_t code;
	char ascii;
} look_alikes[] = {
	{0x0131, 'i'}, {0x0251, 'a'}, {0x0261, 'g'}, {0x026a, 'I'}, {0x0391, 'A'}, {0x0392, 'B'}, {0x0395, 'E'}, {0x0396, 'Z'},
	{0x0397, 'H'}, {0x0399, 'I'}, {0x039a, 'K'}, {0x039c, 'M'}, {0x039d, 'N'}, {0x039f, 'O'}, {0x03a1, 'P'}, {0x03a4, 'T'},
	{0x03a5, 'Y'}, {0x03a7, 'X'}, {0x03b1, 'a'}, {0x03b3, 'y'}, {0x03b9, 'i'}, {0x03ba, 'k'}, {0x03bd, 'v'}, {0x03bf, 'o'},
	{0x03c1, 'p'}, {0x03c3, 'o'}, {0x03c5, 'u'}, {0x03c7, 'x'}, {0x0405, 'S'}, {0x0406, 'I'}, {0x0408, 'J'}, {0x0410, 'A'},
	{0x0412, 'B'}, {0x0415, 'E'}, {0x0417, '3'}, {0x041a, 'K'}, {0x041c, 'M'}, {0x041d, 'H'}, {0x041e, 'O'}, {0x0420, 'P'},
	{0x0421, 'C'}, {0x0422, 'T'}, {0x0423, 'Y'}, {0x0425, 'X'}, {0x0430, 'a'}, {0x0435, 'e'}, {0x043a, 'k'}, {0x043e, 'o'},
	{0x0440, 'p'}, {0x0441, 'c'}, {0x0443, 'y'}, {0x0445, 'x'}, {0x0455, 's'}, {0x0456, 'i'}, {0x0458, 'j'}, {0x0475, 'v'},
	{0x04ae, 'Y'}, {0x04bb, 'h'}, {0x04c0, 'I'}, {0x04cf, 'l'}, {0x0501, 'd'}, {0x051b, 'q'}, {0x051d, 'w'}, {0x0555, 'O'},
	{0x0578, 'n'}, {0x057d, 'u'}, {0x0581, 'g'}, {0x0585, 'o'}, {0x2113, 'l'}, {0x212a, 'K'}, {0x2160, 'I'}, {0x2164, 'V'},
	{0x2169, 'X'}, {0x216c, 'L'}, {0x216d, 'C'}, {0x216e, 'D'}, {0x216f, 'M'}, {0x2170, 'i'}, {0x217c, 'l'}, {0x217d, 'c'},
	{0x217e, 'd'}, {0x217f, 'm'},
};

/* Mathematical alphabets: 52 letters each, and 10 digits each (U+1D400 and U+1D7CE). */
static char mathematical(uint32_t code)
{
	if (code >= 0x1d400 && code < 0x1d6a4) {
		uint32_t letter = (code - 0x1d400) % 52;

		return (char)(letter < 26 ? 'A' + letter : 'a' + letter - 26);
	}
	if (code >= 0x1d7ce && code < 0x1d800)
		return (char)('0' + (code - 0x1d7ce) % 10);
	return 0;
}

static bool is_invisible(uint32_t code)
{
	for (size_t i = 0; i < ARRAY_LEN(invisible); i++)
		if (code >= invisible[i].from && code <= invisible[i].to)
			return true;
	return false;
}

/* What it looks like; 0 when it is like nothing in ASCII. */
static char ascii_of(uint32_t code)
{
	size_t low = 0, high = ARRAY_LEN(look_alikes);

	if (code < 0x80)
		return (char)code; /* written longer than it needs */
	for (size_t i = 0; i < ARRAY_LEN(blocks); i++)
		if (code >= blocks[i].from && code - blocks[i].from < blocks[i].count)
			return (char)((unsigned char)blocks[i].ascii + (code - blocks[i].from));
	while (low < high) {
		size_t middle = (low + high) / 2;

		if (look_alikes[middle].code < code)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < ARRAY_LEN(look_alikes) && look_alikes[low].code == code)
		return look_alikes[low].ascii;
	return mathematical(code);
}

/* What stands in the place of a character: ASCII's, INVISIBLE, or 0 for itself. Binary data has millions of them: those of two and three bytes are
 * in a table. */
#define INVISIBLE 0x80u
#define TABLE_CODES ((uint32_t)0x10000)
static unsigned char table[TABLE_CODES];
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

static unsigned char stand_in(uint32_t code)
{
	return is_invisible(code) ? INVISIBLE : (unsigned char)ascii_of(code);
}

static void table_make(void)
{
	for (uint32_t code = 0; code < TABLE_CODES; code++)
		table[code] = stand_in(code);
}

/* As lenient as the most lenient reader: overlong forms are taken. Its length; 1 and the byte itself when it is no sequence. */
static size_t decode(struct view text, uint32_t *code)
{
	unsigned char first = (unsigned char)text.at[0];
	size_t length = first >= 0xf0 && first < 0xf8 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1;

	*code = first;
	if (length == 1 || first >= 0xf8 || text.length < length)
		return 1;
	*code = first & (0x7fu >> length);
	for (size_t i = 1; i < length; i++) {
		if (((unsigned char)text.at[i] & 0xc0) != 0x80) {
			*code = first;
			return 1;
		}
		*code = *code << 6 | ((unsigned char)text.at[i] & 0x3f);
	}
	return length;
}

/* The next byte, at or behind `at`, that may be the first of a sequence: one that says so, and is followed by one that goes on. Of what is not
 * ASCII in binary data most is neither. */
static size_t lead_next(struct view text, size_t at)
{
	typedef unsigned char vector __attribute__((vector_size(16)));
	typedef unsigned long long halves __attribute__((vector_size(16)));

	for (; at + sizeof(vector) < text.length; at += sizeof(vector)) {
		vector here, next;
		halves leads;

		memcpy(&here, text.at + at, sizeof here);
		memcpy(&next, text.at + at + 1, sizeof next);
		leads = (halves)((here >= 0xc0) & ((next & 0xc0) == 0x80));
		if (leads[0] | leads[1])
			break;
	}
	while (at + 1 < text.length && ((unsigned char)text.at[at] < 0xc0 || ((unsigned char)text.at[at + 1] & 0xc0) != 0x80))
		at++;
	return at + 1 < text.length ? at : text.length;
}

void view_unicode(struct view text, const struct signs *signs, view_emit *emit, void *self)
{
	struct patch patch;

	(void)pthread_once(&table_once, table_make);
	patch_begin(&patch, text);
	for (size_t i = lead_next(text, signs_next(signs, SIGN_HIGH, 0)); i < text.length; i = lead_next(text, i)) {
		uint32_t code;
		size_t length = decode(view_make(text.at + i, text.length - i), &code);
		unsigned char by = length == 1 ? 0 : code < TABLE_CODES ? table[code] : stand_in(code);

		if (by)
			patch_put(&patch, i, length, (const char *)&by, by != INVISIBLE);
		i += length;
	}
	patch_end(&patch, "look-alike letters", VIEW_DECODED, emit, self);
}
