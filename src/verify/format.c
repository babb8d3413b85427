/* Masks by scanners: each tells how many bytes of what it knows begin at a place, or 0. */
#include "verify/format.h"

#include <ctype.h>
#include <stdio.h>

#include "base/scope.h"

#define HEX_MIN 8
#define TOKEN_MIN 16
#define TOKEN_DASHED_MIN 20
#define TOKEN_MATCH_MIN 8
#define EPOCH_MIN 1e9 /* numbers from here on are taken for times: seconds and milliseconds must not be mixed up */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_word(char c)
{
	return is_digit(c) || is_letter(c);
}

/* Pattern letters: 0 digit, x hex digit, A upper-case letter, a lower-case letter, anything else itself. */
static bool fits(struct view text, const char *pattern)
{
	for (size_t i = 0; pattern[i]; i++) {
		char c;

		if (i >= text.length)
			return false;
		c = text.at[i];
		if (pattern[i] == '0'   ? !is_digit(c)
		    : pattern[i] == 'x' ? !is_hex(c)
		    : pattern[i] == 'A' ? !(c >= 'A' && c <= 'Z')
		    : pattern[i] == 'a' ? !(c >= 'a' && c <= 'z')
					: c != pattern[i])
			return false;
	}
	return true;
}

static struct view from(struct view text, size_t at)
{
	return view_make(text.at + at, text.length - at);
}

static size_t run_of(struct view text, bool (*is)(char c))
{
	size_t length = 0;

	while (length < text.length && is(text.at[length]))
		length++;
	return length;
}

static size_t scan_uuid(struct view text)
{
	return fits(text, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx") ? 36 : 0;
}

static size_t scan_date(struct view text)
{
	return fits(text, "0000-00-00") && (text.length == 10 || !is_digit(text.at[10])) ? 10 : 0;
}

/* ISO 8601 with a time, or RFC 9110's "Sat, 21 Nov 2026 19:30:00 GMT". */
static size_t scan_timestamp(struct view text)
{
	size_t length = 16;

	if (fits(text, "Aaa, 00 Aaa 0000 00:00:00 GMT"))
		return 29;
	if (!fits(text, "0000-00-00T00:00") && !fits(text, "0000-00-00 00:00"))
		return 0;
	if (fits(from(text, length), ":00")) {
		length += 3;
		if (length < text.length && (text.at[length] == '.' || text.at[length] == ','))
			length += 1 + run_of(from(text, length + 1), is_digit);
	}
	if (length < text.length && text.at[length] == 'Z')
		return length + 1;
	if (fits(from(text, length), "+00:00") || fits(from(text, length), "-00:00"))
		return length + 6;
	if (fits(from(text, length), "+0000") || fits(from(text, length), "-0000"))
		return length + 5;
	if (fits(from(text, length), "+00") || fits(from(text, length), "-00"))
		return length + 3;
	return length;
}

static bool is_token(char c)
{
	return is_word(c) || c == '-' || c == '_';
}

static size_t scan_jwt(struct view text)
{
	size_t head;
	size_t body;
	size_t signature;

	if (!view_starts(text, VIEW("eyJ")))
		return 0;
	head = run_of(text, is_token);
	if (head >= text.length || text.at[head] != '.')
		return 0;
	body = run_of(from(text, head + 1), is_token);
	if (!body || head + 1 + body >= text.length || text.at[head + 1 + body] != '.')
		return 0;
	signature = run_of(from(text, head + body + 2), is_token);
	return head + body + 2 + signature;
}

struct letters {
	size_t digits, upper, lower, hex;
};

static struct letters letters_of(struct view text)
{
	struct letters letters = {0};

	for (size_t i = 0; i < text.length; i++) {
		letters.digits += is_digit(text.at[i]);
		letters.upper += text.at[i] >= 'A' && text.at[i] <= 'Z';
		letters.lower += text.at[i] >= 'a' && text.at[i] <= 'z';
		letters.hex += is_hex(text.at[i]);
	}
	return letters;
}

/* With dashes and underscores only when it mixes all kinds of letters, so that "order-line-for-customer-17" is none. */
static size_t scan_token(struct view text)
{
	size_t length = run_of(text, is_token);
	struct letters letters = letters_of(view_make(text.at, length));

	if (length >= TOKEN_DASHED_MIN && letters.digits > 1 && letters.upper > 1 && letters.lower > 1)
		return length;
	length = run_of(text, is_word);
	letters = letters_of(view_make(text.at, length));
	return length >= TOKEN_MIN && letters.digits && letters.upper + letters.lower ? length : 0;
}

static size_t scan_hex(struct view text)
{
	size_t length = run_of(text, is_word);
	struct letters letters = letters_of(view_make(text.at, length));

	return length >= HEX_MIN && letters.hex == length && letters.digits && letters.digits < length &&
			       !(letters.upper && letters.lower)
		       ? length
		       : 0;
}

static size_t scan_number(struct view text)
{
	size_t length = run_of(text, is_digit);
	size_t fraction;

	if (!length || (length < text.length && is_letter(text.at[length])))
		return 0;
	if (length + 1 < text.length && text.at[length] == '.') {
		fraction = run_of(from(text, length + 1), is_digit);
		if (fraction)
			length += 1 + fraction;
	}
	return length;
}

static const struct {
	const char *name;
	size_t (*scan)(struct view text);
} scanners[] = {{"<uuid>", scan_uuid}, {"<timestamp>", scan_timestamp}, {"<date>", scan_date},    {"<jwt>", scan_jwt},
		{"<hex:", scan_hex},   {"<token>", scan_token},         {"<number>", scan_number}};

static void mask_char(struct buf *out, char c)
{
	if (c == '<')
		buf_add_char(out, '<');
	buf_add_char(out, c);
}

void format_mask(struct buf *out, struct view text)
{
	size_t at = 0;

	if (text.length > FORMAT_TEXT_MAX)
		text.length = FORMAT_TEXT_MAX;
	while (at < text.length) {
		bool boundary = at == 0 || !is_word(text.at[at - 1]);
		size_t length = 0;

		for (size_t i = 0; boundary && !length && i < ARRAY_LEN(scanners); i++) {
			length = scanners[i].scan(from(text, at));
			if (length) {
				buf_add_text(out, scanners[i].name);
				if (scanners[i].scan == scan_hex)
					buf_add_format(out, "%zu>", length);
			}
		}
		if (!length)
			mask_char(out, text.at[at]);
		at += length ? length : 1;
	}
}

/* How much of the text a placeholder takes; SIZE_MAX: it does not fit. Looser than the scanners where chance decides their answer: a
 * hash may happen to have no letter. */
static size_t placeholder_takes(struct view name, struct view text)
{
	struct view rest;
	uint64_t wanted = 0;
	size_t length = 0;

	if (view_starts(name, VIEW("hex:"))) {
		(void)view_cut(name, ':', &rest);
		length = run_of(text, is_hex);
		return view_to_u64(rest, &wanted) && length == wanted ? length : SIZE_MAX;
	}
	if (view_is(name, "token")) {
		length = run_of(text, is_token);
		return length >= TOKEN_MATCH_MIN ? length : SIZE_MAX;
	}
	if (view_is(name, "number"))
		length = scan_number(text);
	else if (view_is(name, "uuid"))
		length = scan_uuid(text);
	else if (view_is(name, "timestamp"))
		length = scan_timestamp(text);
	else if (view_is(name, "date"))
		length = scan_date(text);
	else if (view_is(name, "jwt"))
		length = scan_jwt(text);
	return length ? length : SIZE_MAX;
}

bool format_matches(struct view mask, struct view text)
{
	if (text.length > FORMAT_TEXT_MAX)
		text.length = FORMAT_TEXT_MAX;
	while (mask.at && mask.length) {
		struct view rest;
		struct view name;
		size_t taken = 1;

		if (mask.at[0] == '<' && mask.length > 1 && mask.at[1] != '<') {
			name = view_cut(from(mask, 1), '>', &rest);
			taken = placeholder_takes(name, text);
			if (taken == SIZE_MAX)
				return false;
			mask = rest;
		} else {
			size_t width = mask.at[0] == '<' && mask.length > 1 ? 2 : 1;

			if (!text.at || !text.length || text.at[0] != mask.at[0])
				return false;
			mask = from(mask, width);
		}
		text = from(text, taken);
	}
	return !text.length;
}

void format_segment(struct buf *out, struct view segment)
{
	for (size_t i = 0; i < ARRAY_LEN(scanners); i++)
		if (segment.length && scanners[i].scan(segment) == segment.length) {
			buf_add_text(out, ":id");
			return;
		}
	buf_add_view(out, segment);
}

void format_path(struct buf *out, struct view url)
{
	ptrdiff_t scheme = view_find(url, VIEW("://"));
	struct view rest;

	if (scheme >= 0 && url.length && url.at[0] != '/') {
		const char *slash;

		url = from(url, (size_t)scheme + 3);
		slash = url.length ? memchr(url.at, '/', url.length) : NULL;
		url = slash ? from(url, (size_t)(slash - url.at)) : VIEW("/");
	}
	url = view_cut(url, '?', &rest);
	url = view_cut(url, '#', &rest);
	if (url.length && url.at[0] != '/') { /* no path: a stream, a subject, an exchange and its key: an id may be a part of it */
		format_mask(out, url);
		return;
	}
	while (url.length && url.at[0] == '/') {
		struct view segment = view_cut(from(url, 1), '/', &rest);

		buf_add_char(out, '/');
		format_segment(out, segment);
		url = rest.at ? view_make(segment.at + segment.length, rest.length + 1) : VIEW("");
	}
}

/* ---- classes ---- */

static json_t *class_any(void)
{
	return json_pack("{s:s}", "class", "any");
}

static json_t *class_number(const json_t *class_, const json_t *value)
{
	double number = json_number_value(value);
	bool integer = json_is_integer(value);
	double least = number;
	double most = number;

	if (class_) {
		double old_least = json_number_value(json_member(class_, "min"));
		double old_most = json_number_value(json_member(class_, "max"));

		least = number < old_least ? number : old_least;
		most = number > old_most ? number : old_most;
		integer = integer && json_flag(class_, "integer", false);
	}
	return json_pack("{s:s, s:f, s:f, s:b}", "class", "number", "min", least, "max", most, "integer", integer);
}

static json_t *class_text(const json_t *class_, const json_t *value)
{
	struct view text = view_make(json_string_value(value), json_string_length(value));
	AUTO_BUF mask = buf_new(8 * FORMAT_TEXT_MAX);

	format_mask(&mask, text);
	buf_add_char(&mask, '\0');
	if (!class_)
		return json_pack("{s:s, s:s, s:O}", "class", "format", "mask", mask.at, "sample", value);
	if (strcmp(json_text(class_, "class", ""), "format") != 0)
		return json_pack("{s:s}", "class", "text");
	if (format_matches(view_of(json_text(class_, "mask", "")), text))
		return json_deep_copy(class_);
	if (format_matches(view_of(mask.at), view_of(json_text(class_, "sample", ""))))
		return json_pack("{s:s, s:s, s:O}", "class", "format", "mask", mask.at, "sample", value);
	return json_pack("{s:s}", "class", "text");
}

static const char *class_kind(const json_t *value)
{
	if (json_is_number(value))
		return "number";
	if (json_is_string(value))
		return "text";
	return json_is_boolean(value) ? "boolean" : "any";
}

json_t *class_join(const json_t *class_, const json_t *value)
{
	const char *kind = class_kind(value);
	const char *old = class_ ? json_text(class_, "class", "any") : kind;

	if (strcmp(old, "format") == 0)
		old = "text";
	if (strcmp(kind, "any") == 0 || strcmp(old, kind) != 0)
		return class_any();
	if (strcmp(kind, "number") == 0)
		return class_number(class_, value);
	if (strcmp(kind, "text") == 0)
		return class_text(class_, value);
	return json_pack("{s:s}", "class", "boolean");
}

static bool number_has(const json_t *class_, const json_t *value)
{
	double least = json_number_value(json_member(class_, "min"));
	double most = json_number_value(json_member(class_, "max"));
	double number;

	if (!json_is_number(value) || (json_flag(class_, "integer", false) && !json_is_integer(value)))
		return false;
	number = json_number_value(value);
	if (least >= 0 && number < 0)
		return false;
	return least < EPOCH_MIN || (number >= least / 10 && number <= most * 10);
}

bool class_has(const json_t *class_, const json_t *value)
{
	const char *kind = json_text(class_, "class", "any");

	if (strcmp(kind, "number") == 0)
		return number_has(class_, value);
	if (strcmp(kind, "boolean") == 0)
		return json_is_boolean(value);
	if (strcmp(kind, "text") == 0)
		return json_is_string(value);
	if (strcmp(kind, "format") == 0)
		return json_is_string(value) && format_matches(view_of(json_text(class_, "mask", "")),
							       view_make(json_string_value(value), json_string_length(value)));
	return true;
}

void class_describe(struct buf *out, const json_t *class_)
{
	const char *kind = json_text(class_, "class", "any");
	struct view mask = view_of(json_text(class_, "mask", ""));

	if (strcmp(kind, "number") == 0) {
		double least = json_number_value(json_member(class_, "min"));
		double most = json_number_value(json_member(class_, "max"));

		buf_add_format(out, "%s", least >= EPOCH_MIN ? "timestamp as a number" : "number");
		if (least < EPOCH_MIN)
			buf_add_format(out, " around %g to %g", least, most);
	} else if (strcmp(kind, "format") != 0) {
		buf_add_text(out, kind);
	} else if (mask.length > 2 && mask.at[0] == '<' && memchr(mask.at, '>', mask.length) == mask.at + mask.length - 1) {
		buf_add_view(out, view_make(mask.at + 1, mask.length - 2));
	} else {
		buf_add_view(out, view_make(mask.at, mask.length < 80 ? mask.length : 80));
	}
}
