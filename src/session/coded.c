/* Runs of base64, and tokens made of three of them. */
#include "session/coded.h"

#include "base/scope.h"
#include "http/jwt.h"

#define JWT_MIN ((size_t)20)

static bool is_base64url(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

static bool is_base64(char c)
{
	return is_base64url(c) || c == '+' || c == '/' || c == '=';
}

static size_t run_end(struct view text, size_t at, bool (*is)(char c))
{
	while (at < text.length && is(text.at[at]))
		at++;
	return at;
}

size_t coded_jwt_at(struct view text, size_t at, size_t *signature)
{
	size_t first;
	size_t second;
	size_t end;

	if (at + JWT_MIN > text.length || memcmp(text.at + at, "eyJ", 3) != 0 || (at && is_base64url(text.at[at - 1])))
		return 0;
	first = run_end(text, at, is_base64url);
	if (first >= text.length || text.at[first] != '.')
		return 0;
	second = run_end(text, first + 1, is_base64url);
	if (second >= text.length || text.at[second] != '.' || second - first < 4)
		return 0;
	end = run_end(text, second + 1, is_base64url);
	*signature = second + 1;
	return end > second + 8 ? end - at : 0;
}

/* UTF-8 without control characters but for white space. */
static bool is_text(struct view text)
{
	for (size_t at = 0; at < text.length;) {
		size_t length = view_utf8_length(view_make(text.at + at, text.length - at));

		if (!length || ((unsigned char)text.at[at] < ' ' && !strchr("\t\r\n", text.at[at])) || !text.at[at])
			return false;
		at += length;
	}
	return text.length > 0;
}

static bool decode(struct buf *out, struct view run)
{
	size_t before = out->length;

	if (buf_add_unbase64(out, run, NULL) == 0 && !out->over && is_text(view_make(out->at + before, out->length - before)))
		return true;
	buf_cut(out, before);
	return false;
}

bool coded_plain(struct buf *out, struct view text)
{
	size_t signature = 0;
	struct view rest;

	if (text.length && coded_jwt_at(text, 0, &signature) == text.length) {
		(void)view_cut(text, '.', &rest);
		return decode(out, view_cut(rest, '.', &rest));
	}
	return text.length >= CODED_MIN && run_end(text, 0, is_base64) == text.length && decode(out, text);
}

static void encode(struct buf *out, struct view run, bool token, struct view plain)
{
	bool url = token || memchr(run.at, '_', run.length) || memchr(run.at, '-', run.length);

	if (url)
		base64url_add(out, plain.at, plain.length);
	else
		buf_add_base64(out, plain.at, plain.length);
}

bool coded_each(struct buf *out, struct view text, bool tokens, bool (*change)(void *self, struct buf *plain), void *self)
{
	bool changed = false;

	for (size_t at = 0; at < text.length;) {
		size_t end = run_end(text, at, is_base64);
		struct view run = view_make(text.at + at, end - at);
		bool token = (at && text.at[at - 1] == '.') || (end < text.length && text.at[end] == '.');
		AUTO_BUF plain = buf_new(CODED_TEXT_MAX);

		if (run.length >= CODED_MIN && (tokens || !token) && decode(&plain, run) && change(self, &plain)) {
			encode(out, run, token, buf_view(&plain));
			changed = true;
		} else {
			buf_add_view(out, run);
		}
		for (at = end; at < text.length && !is_base64(text.at[at]); at++)
			buf_add_char(out, text.at[at]);
	}
	return changed;
}
