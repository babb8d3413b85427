/* Texts that are whole: their parts, joined, because a secret may have been divided among them. */
#include <ctype.h>

#include "gateway/dlp/spare.h"
#include "gateway/dlp/views_priv.h"

#define FIELDS_LEAST 2

/* a=x&b=y: x and y; the names too, joined. */
static void form_joined(struct view text, view_emit *emit, void *self)
{
	SPARE_BUF values = spare_buf(VIEW_TEXT_MAX);
	SPARE_BUF all = spare_buf(VIEW_TEXT_MAX * 2);
	struct view rest = text;
	size_t count = 0;

	while (rest.length) {
		struct view value, pair = view_cut(rest, '&', &rest);
		struct view name = view_cut(pair, '=', &value);

		if (!value.at || name.length > 256)
			return;
		buf_add_view(&values, value);
		buf_add_view(&all, name);
		buf_add_view(&all, value);
		count++;
	}
	if (count < FIELDS_LEAST)
		return;
	buf_add_char(&values, '\n');
	buf_add_view(&values, buf_view(&all));
	emit(self, "joined fields", VIEW_PIECED, buf_view(&values));
}

/* The strings of a JSON text: values, names, and both as they come. Escapes stay as they are: another view reads them. */
static void json_joined(struct view text, view_emit *emit, void *self)
{
	SPARE_BUF out = spare_buf(VIEW_TEXT_MAX * 8);
	SPARE_BUF values = spare_buf(VIEW_TEXT_MAX);
	SPARE_BUF names = spare_buf(VIEW_TEXT_MAX);
	SPARE_BUF all = spare_buf(VIEW_TEXT_MAX);
	size_t count = 0;

	for (size_t i = 0; i < text.length; i++) {
		size_t end = i + 1, after;

		if (text.at[i] != '"')
			continue;
		while (end < text.length && text.at[end] != '"')
			end += text.at[end] == '\\' ? 2 : 1;
		if (end >= text.length)
			break;
		for (after = end + 1; after < text.length && isspace((unsigned char)text.at[after]); after++)
			;
		buf_add(after < text.length && text.at[after] == ':' ? &names : &values, text.at + i + 1, end - i - 1);
		buf_add(&all, text.at + i + 1, end - i - 1);
		count++;
		i = end;
	}
	if (count < FIELDS_LEAST)
		return;
	buf_add_view(&out, buf_view(&values));
	buf_add_char(&out, '\n');
	/* Names may be the first half, and values the second. */
	buf_add_view(&out, buf_view(&names));
	buf_add_view(&out, buf_view(&values));
	buf_add_view(&out, buf_view(&names));
	buf_add_char(&out, '\n');
	buf_add_view(&out, buf_view(&all));
	emit(self, "joined strings", VIEW_PIECED, buf_view(&out));
}

/* RFC 2046 section 5.1: the parts' bodies, without their fields. */
static void multipart_joined(struct view text, view_emit *emit, void *self)
{
	SPARE_BUF bodies = spare_buf(VIEW_TEXT_MAX);
	struct view rest, boundary = view_trim(view_cut(text, '\n', &rest));
	bool in_fields = true;
	size_t count = 0;

	if (boundary.length < 3 || boundary.length > 72)
		return;
	while (rest.length) {
		struct view line = view_cut(rest, '\n', &rest);
		struct view bare = line.length && line.at[line.length - 1] == '\r' ? view_make(line.at, line.length - 1) : line;

		if (view_starts(bare, boundary)) {
			in_fields = true;
			count++;
		} else if (!in_fields) {
			buf_add_view(&bodies, bare);
		} else if (!bare.length) {
			in_fields = false;
		}
	}
	if (count >= FIELDS_LEAST)
		emit(self, "joined parts", VIEW_PIECED, buf_view(&bodies));
}

void views_of_whole(struct view text, view_emit *emit, void *self)
{
	struct view trimmed = view_trim(text);

	if (!trimmed.length)
		return;
	if (trimmed.at[0] == '{' || trimmed.at[0] == '[')
		json_joined(trimmed, emit, self);
	else if (view_starts(trimmed, VIEW("--")))
		multipart_joined(trimmed, emit, self);
	else if (memchr(trimmed.at, '&', trimmed.length) && memchr(trimmed.at, '=', trimmed.length))
		form_joined(trimmed, emit, self);
}
