/* Texts that are whole: their parts, joined, because a secret may have been divided among them. */
#include <ctype.h>

#include "gateway/dlp/dlp.h"
#include "gateway/dlp/spare.h"
#include "gateway/dlp/views_priv.h"

#define FIELDS_LEAST 2
#define STRING_END_NEAR \
	((size_t)256) /* bytes behind the word at a string's end that are kept: longer than the tokens that are looked for */
#define STRING_END_MOST DLP_HOLD_BACK

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

/* How much of a string's beginning may belong to a secret that began in the string before it: its first word, and what follows near. */
static size_t head_length(struct view string)
{
	size_t most = string.length < STRING_END_MOST ? string.length : STRING_END_MOST, at = 0;

	while (at < most && !isspace((unsigned char)string.at[at]))
		at++;
	return at + STRING_END_NEAR;
}

static size_t tail_length(struct view string)
{
	size_t most = string.length < STRING_END_MOST ? string.length : STRING_END_MOST, length = 0;

	while (length < most && !isspace((unsigned char)string.at[string.length - length - 1]))
		length++;
	return length + STRING_END_NEAR;
}

/* A string, to be joined with the ones before and behind it: what is in the middle of a long one was looked at where it stands. */
static void string_add(struct buf *out, struct view string)
{
	size_t head, tail;

	if (string.length <= 2 * STRING_END_NEAR) {
		buf_add_view(out, string);
		return;
	}
	head = head_length(string);
	tail = tail_length(string);
	if (head + tail >= string.length) {
		buf_add_view(out, string);
		return;
	}
	buf_add(out, string.at, head);
	buf_add_char(out, '\n');
	buf_add(out, string.at + string.length - tail, tail);
}

/* Where the string that begins at `at` ends; the text's length when it does not. */
static size_t string_end(struct view text, size_t at)
{
	while ((at = view_find_any(text, at, "\"\"\\\\")) < text.length && text.at[at] == '\\')
		at += 2;
	return at < text.length ? at : text.length;
}

/* The strings of a JSON text: values, names, and both as they come. Escapes stay as they are: another view reads them. */
static void json_joined(struct view text, view_emit *emit, void *self)
{
	SPARE_BUF out = spare_buf(VIEW_TEXT_MAX * 8);
	SPARE_BUF values = spare_buf(VIEW_TEXT_MAX);
	SPARE_BUF names = spare_buf(VIEW_TEXT_MAX);
	SPARE_BUF all = spare_buf(VIEW_TEXT_MAX);
	size_t value_count = 0, name_count = 0;

	for (size_t i = view_find_any(text, 0, "\"\"\"\""); i < text.length; i = view_find_any(text, i, "\"\"\"\"")) {
		size_t end = string_end(text, i + 1), after;
		struct view string;
		bool name;

		if (end == text.length)
			break;
		string = view_make(text.at + i + 1, end - i - 1);
		for (after = end + 1; after < text.length && isspace((unsigned char)text.at[after]); after++)
			;
		name = after < text.length && text.at[after] == ':';
		string_add(name ? &names : &values, string);
		string_add(&all, string);
		name_count += name;
		value_count += !name;
		i = end + 1;
	}
	if (name_count + value_count < FIELDS_LEAST)
		return;
	if (value_count > 1) {
		buf_add_view(&out, buf_view(&values));
		buf_add_char(&out, '\n');
	}
	/* Names may be the first half, and values the second. */
	buf_add_view(&out, buf_view(&names));
	buf_add_view(&out, buf_view(&values));
	buf_add_view(&out, buf_view(&names));
	if (value_count > 1 || name_count > 1) {
		buf_add_char(&out, '\n');
		buf_add_view(&out, buf_view(&all));
	}
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
