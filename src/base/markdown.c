/* Strangers' words in Markdown of ours. */
#include "base/markdown.h"

#include <string.h>

#include "base/scope.h"

/* Is the character one that people do not see, or that turns the order of what they see? */
static bool is_hidden(uint32_t c)
{
	static const uint32_t ranges[][2] = {{0x00ad, 0x00ad}, {0x034f, 0x034f}, {0x061c, 0x061c},  {0x115f, 0x1160},
					     {0x17b4, 0x17b5}, {0x180b, 0x180f}, {0x200b, 0x200f},  {0x202a, 0x202e},
					     {0x2060, 0x206f}, {0x3164, 0x3164}, {0xfe00, 0xfe0e},  {0xfeff, 0xfeff},
					     {0xffa0, 0xffa0}, {0xfff0, 0xfffb}, {0xe0000, 0xe0fff}};

	if (c < 0x20)
		return c != '\n' && c != '\t' && c != '\r';
	for (size_t i = 0; i < ARRAY_LEN(ranges); i++)
		if (c >= ranges[i][0] && c <= ranges[i][1])
			return true;
	return c >= 0x7f && c < 0xa0;
}

bool markdown_hides(struct view text)
{
	while (text.length) {
		size_t length = view_utf8_length(text);

		if (!length || is_hidden(view_utf8_point(text, length)))
			return true;
		text = view_make(text.at + length, text.length - length);
	}
	return false;
}

void markdown_visible_add(struct buf *out, struct view text)
{
	while (text.length) {
		size_t length = view_utf8_length(text);
		uint32_t c = length ? view_utf8_point(text, length) : 0xfffd;

		if (!length)
			buf_add_text(out, "\xef\xbf\xbd");
		else if (is_hidden(c))
			buf_add_format(out, "[U+%04X]", (unsigned)c);
		else
			buf_add(out, text.at, length);
		length = length ? length : 1;
		text = view_make(text.at + length, text.length - length);
	}
}

void markdown_code_add(struct buf *out, const char *text, bool is_cell)
{
	struct view rest = view_make(text, strnlen(text, MARKDOWN_CODE_BYTES_MAX));
	AUTO_BUF shown = buf_new(8 * MARKDOWN_CODE_BYTES_MAX + 1);

	markdown_visible_add(&shown, rest);
	rest = view_trim(buf_view(&shown));
	if (!rest.length)
		return;
	buf_add_char(out, '`');
	for (size_t i = 0; i < rest.length; i++)
		switch (rest.at[i]) {
		case '`':
			buf_add_char(out, '\'');
			break;
		case '\n':
		case '\r':
		case '\t':
			buf_add_char(out, ' ');
			break;
		case '|':
			buf_add_text(out, is_cell ? "\\|" : "|");
			break;
		default:
			buf_add_char(out, rest.at[i]);
		}
	buf_add_text(out, strlen(text) > MARKDOWN_CODE_BYTES_MAX ? "…`" : "`");
}
