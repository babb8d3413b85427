/* Text made harmless, and the little that is known about the terminal it goes to. */
#include "cli/terminal.h"

#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/scope.h"

#define TEXT_MAX ((size_t)64 << 20)

/* The length of the UTF-8 sequence at `at`, and its character; 0 when it is none. */
static size_t character_take(struct view text, uint32_t *character)
{
	const unsigned char *at = (const unsigned char *)text.at;
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t length = at[0] < 0x80 ? 1 : at[0] >> 5 == 6 ? 2 : at[0] >> 4 == 14 ? 3 : at[0] >> 3 == 30 ? 4 : 0;

	if (!length || length > text.length)
		return 0;
	*character = length == 1 ? at[0] : at[0] & (0x7fu >> length);
	for (size_t i = 1; i < length; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return 0;
		*character = *character << 6 | (at[i] & 0x3fu);
	}
	return *character < least[length] || *character > 0x10ffff || (*character >= 0xd800 && *character < 0xe000) ? 0 : length;
}

/* Marks that change the direction of text, or are not seen at all. */
static bool invisible(uint32_t character)
{
	return character == 0xad || character == 0x61c || character == 0x180e || (character >= 0x200b && character <= 0x200f) ||
	       (character >= 0x2028 && character <= 0x202e) || (character >= 0x2060 && character <= 0x206f) ||
	       character == 0xfeff || (character >= 0xe0000 && character <= 0xe007f);
}

static void control_add(struct buf *out, uint32_t character, bool lines)
{
	if (lines && (character == '\n' || character == '\t'))
		buf_add_char(out, (char)character);
	else if (character == '\n' || character == '\t' || character == '\r')
		buf_add_text(out, !lines && out->length && out->at[out->length - 1] != ' ' ? " " : "");
	else if (character == 0x1b)
		buf_add_text(out, "\u241b");
	else
		buf_add_text(out, "\u00b7");
}

void terminal_clean(struct buf *out, struct view text, bool lines)
{
	while (text.length) {
		uint32_t character = 0;
		size_t length = character_take(text, &character);

		if (!length) {
			buf_add_text(out, "\ufffd");
			length = 1;
		} else if (character < 0x20 || (character >= 0x7f && character < 0xa0) || invisible(character)) {
			control_add(out, character, lines);
		} else {
			buf_add(out, text.at, length);
		}
		text = view_make(text.at + length, text.length - length);
	}
}

char *terminal_line(const char *text)
{
	AUTO_BUF out = buf_new(TEXT_MAX);

	terminal_clean(&out, view_of(text), false);
	return out.length ? buf_take(&out) : text_copy("");
}

char *terminal_fit(const char *text, int columns)
{
	AUTO_FREE char *line = terminal_line(text);
	struct view rest = view_of(line);
	int count = 0;
	size_t before_last = 0;

	while (rest.length) {
		uint32_t character;
		size_t length = character_take(rest, &character);

		if (count == columns - 1)
			before_last = (size_t)(rest.at - line);
		if (count == columns)
			return text_format("%.*s…", (int)before_last, line);
		count++;
		rest = view_make(rest.at + (length ? length : 1), rest.length - (length ? length : 1));
	}
	return TAKE(line);
}

bool terminal_is(FILE *file)
{
	const char *kind = getenv("TERM");

	return isatty(fileno(file)) && kind && kind[0] && strcmp(kind, "dumb") != 0;
}

static struct winsize size_of(FILE *file)
{
	struct winsize size = {0};

	(void)ioctl(fileno(file), TIOCGWINSZ, &size);
	return size;
}

int terminal_columns(FILE *file)
{
	struct winsize size = size_of(file);

	return size.ws_col ? size.ws_col : 80;
}

int terminal_rows(FILE *file)
{
	struct winsize size = size_of(file);

	return size.ws_row ? size.ws_row : 24;
}

static bool colours(FILE *file)
{
	const char *none = getenv("NO_COLOR");

	return terminal_is(file) && !(none && none[0]);
}

const char *terminal_tone(FILE *file, enum tone tone)
{
	static const char *const tones[] = {
		[TONE_PLAIN] = "",       [TONE_BOLD] = "\033[1m",    [TONE_FAINT] = "\033[2m", [TONE_GOOD] = "\033[32m",
		[TONE_BAD] = "\033[31m", [TONE_UNSURE] = "\033[33m", [TONE_BUSY] = "\033[36m",
	};

	return colours(file) ? tones[tone] : "";
}

const char *terminal_end(FILE *file)
{
	return colours(file) ? "\033[0m" : "";
}
