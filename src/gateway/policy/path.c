/* Paths: their one form, and patterns. */
#include "gateway/policy/path.h"

#include <ctype.h>

#include "base/scope.h"

static int hex_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The byte that an escape at `at` stands for, or -1. */
static int escape_of(struct view text, size_t at)
{
	if (at + 2 >= text.length || hex_of(text.at[at + 1]) < 0 || hex_of(text.at[at + 2]) < 0)
		return -1;
	return hex_of(text.at[at + 1]) * 16 + hex_of(text.at[at + 2]);
}

static bool is_unreserved(int c)
{
	return c > 0 && c < 0x80 && (isalnum(c) || c == '-' || c == '.' || c == '_' || c == '~');
}

/* Escapes in their one form. `loose` (a query): what people put there unescaped is let through. */
static bool escapes_resolve(struct view text, struct buf *out, bool loose, const char **why)
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < text.length; i++) {
		unsigned char c = (unsigned char)text.at[i];
		int byte;

		if (c <= ' ' || c >= 0x7f || c == '#' || (!loose && strchr("\"<>\\^`{|}", c))) {
			*why = "the path has a byte that must be escaped";
			return false;
		}
		if (c != '%') {
			buf_add_char(out, (char)c);
			continue;
		}
		byte = escape_of(text, i);
		if (byte < 0 && loose) {
			buf_add_text(out, "%25"); /* "100%" */
			continue;
		}
		if (byte < 0 || (!loose && (byte < 0x20 || byte == 0x7f))) {
			*why = byte < 0 ? "the path has a `%` that is no escape" : "the path has an escaped control byte";
			return false;
		}
		if (is_unreserved(byte)) {
			buf_add_char(out, (char)byte);
		} else {
			buf_add_char(out, '%');
			buf_add_char(out, digits[byte >> 4]);
			buf_add_char(out, digits[byte & 15]);
		}
		i += 2;
	}
	return true;
}

static bool segment_is_dots_with_parameters(struct view segment)
{
	return view_starts(segment, VIEW(".;")) || view_starts(segment, VIEW("..;"));
}

/* Appends `plain` with its dot segments resolved. */
static bool dots_resolve(struct view plain, struct buf *path, const char **why)
{
	struct view rest = view_make(plain.at + 1, plain.length - 1);
	bool odd = false; /* a segment that some servers drop or cut */
	bool dots = false;

	while (rest.at) {
		struct view segment = view_cut(rest, '/', &rest);

		odd = odd || (!segment.length && rest.at) || (segment.length && memchr(segment.at, ';', segment.length));
		dots = dots || view_is(segment, "..");
		if (segment_is_dots_with_parameters(segment)) {
			*why = "the path has a dot segment with parameters";
			return false;
		}
		if (view_is(segment, "..")) {
			if (!path->length) {
				*why = "the path leads above its root";
				return false;
			}
			while (path->at[path->length - 1] != '/')
				buf_cut(path, path->length - 1);
			buf_cut(path, path->length - 1);
		}
		if (view_is(segment, ".") || view_is(segment, "..")) {
			if (!rest.at)
				buf_add_char(path, '/');
			continue;
		}
		buf_add_char(path, '/');
		buf_add_view(path, segment);
	}
	if (dots && odd)
		*why = "the path has `..` together with `//` or `;`";
	return !(dots && odd);
}

bool path_canonical(struct view target, struct buf *path, struct buf *query, const char **why)
{
	AUTO_BUF plain = buf_new(PATH_BYTES_MAX + 1);
	struct view asked;
	struct view raw = view_cut(target, '?', &asked);

	if (!raw.length || raw.at[0] != '/') {
		*why = "the path does not begin with `/`";
		return false;
	}
	if (raw.length > PATH_BYTES_MAX || asked.length > PATH_QUERY_BYTES_MAX) {
		*why = "the path or its query is too long";
		return false;
	}
	if (!escapes_resolve(raw, &plain, false, why) || (asked.at && !escapes_resolve(asked, query, true, why)) ||
	    !dots_resolve(buf_view(&plain), path, why))
		return false;
	if (path->length > 1 && path->at[1] == '/') {
		*why = "the path begins with `//`";
		return false;
	}
	if (query->over) {
		*why = "the path or its query is too long";
		return false;
	}
	return true;
}

bool path_is_ambiguous(struct view path)
{
	for (size_t i = 0; i < path.length; i++) {
		int byte = path.at[i] == '%' ? escape_of(path, i) : 0;

		if (path.at[i] == ';' || byte == '/' || byte == '\\' || byte == ';' || byte == 0xc0 || byte == 0xc1 || byte >= 0xf5)
			return true;
		if (path.at[i] == '/' && i && path.at[i - 1] == '/')
			return true;
		if (byte == '%' && i + 4 < path.length && hex_of(path.at[i + 3]) >= 0 && hex_of(path.at[i + 4]) >= 0)
			return true;
	}
	return false;
}

bool path_pattern_valid(struct view pattern)
{
	size_t stars = 0;

	if (!pattern.length || pattern.length > PATH_PATTERN_BYTES_MAX || (pattern.at[0] != '/' && pattern.at[0] != '*'))
		return false;
	for (size_t i = 0; i < pattern.length; i++) {
		unsigned char c = (unsigned char)pattern.at[i];

		stars += c == '*';
		if (c <= ' ' || c >= 0x7f || c == '#' || c == '\\' || (c == '%' && escape_of(pattern, i) < 0))
			return false;
	}
	return stars <= PATH_STARS_MAX;
}

static bool same(char a, char b, bool nocase)
{
	return a == b || (nocase && tolower((unsigned char)a) == tolower((unsigned char)b));
}

/* `all`: every `*` crosses slashes. Only the last star is ever taken back, and for `**` the last one of those. */
static bool glob(struct view pattern, struct view text, bool all, bool nocase)
{
	size_t p = 0, t = 0;
	size_t narrow_p = SIZE_MAX, narrow_t = 0; /* behind the last `*` */
	size_t wide_p = SIZE_MAX, wide_t = 0;     /* behind the last `**` */

	while (t < text.length || p < pattern.length) {
		if (p < pattern.length && pattern.at[p] == '*') {
			size_t after = p;

			while (after < pattern.length && pattern.at[after] == '*')
				after++;
			if (after == pattern.length)
				return true;
			if (all || after - p > 1) {
				wide_p = after;
				wide_t = t;
				narrow_p = SIZE_MAX;
			} else {
				narrow_p = after;
				narrow_t = t;
			}
			p = after;
			continue;
		}
		if (p < pattern.length && t < text.length && same(pattern.at[p], text.at[t], nocase)) {
			p++;
			t++;
			continue;
		}
		if (narrow_p != SIZE_MAX && narrow_t < text.length && text.at[narrow_t] != '/') {
			p = narrow_p;
			t = ++narrow_t;
			continue;
		}
		if (wide_p == SIZE_MAX || wide_t >= text.length)
			return false;
		p = wide_p;
		t = ++wide_t;
		narrow_p = SIZE_MAX;
	}
	return true;
}

bool path_matches(struct view pattern, struct view path, struct view query, bool nocase)
{
	struct view asked;
	struct view before = view_cut(pattern, '?', &asked);

	return glob(before, path, false, nocase) && (!asked.at || glob(asked, query, true, nocase));
}
