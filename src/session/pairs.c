/* One way through the text, from quote to quote: what stands between two of them is a name when a colon follows. */
#include "session/pairs.h"

#include <stdlib.h>

#include "base/scope.h"

#define NUMBER_DIGITS_MAX ((size_t)18)

struct walk {
	struct view text;
	size_t from; /* of what is not copied yet */
	struct buf *out;
	pair_change *change;
	void *self;
	bool changed;
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Of what is neither text nor list: numbers, true, false, null. */
static bool is_plain(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || c == '-' || c == '+' || c == '.' || c == 'E';
}

static size_t run_end(struct view text, size_t at, bool (*is)(char c))
{
	while (at < text.length && is(text.at[at]))
		at++;
	return at;
}

static bool value_change(struct walk *walk, struct view name, size_t at, size_t end, enum pair_kind kind)
{
	AUTO_FREE char *made = walk->change(walk->self, name, view_make(walk->text.at + at, end - at), kind);

	if (!made)
		return false;
	buf_add(walk->out, walk->text.at + walk->from, at - walk->from);
	buf_add_text(walk->out, made);
	walk->from = end;
	walk->changed = true;
	return true;
}

/* The text whose first quote is at `at`. Returns where it goes on behind it. */
static size_t text_walk(struct walk *walk, struct view name, size_t at)
{
	size_t begin = at + 1;
	size_t end = begin;

	while (end < walk->text.length && walk->text.at[end] != '"')
		end += walk->text.at[end] == '\\' ? 2 : 1;
	if (end < walk->text.length) {
		(void)value_change(walk, name, begin, end, PAIR_TEXT);
		return end + 1;
	}
	return value_change(walk, name, begin, walk->text.length, PAIR_CUT) ? walk->text.length : begin;
}

static size_t plain_walk(struct walk *walk, struct view name, size_t at)
{
	size_t digits = run_end(walk->text, at, is_digit);
	size_t end = run_end(walk->text, at, is_plain);

	if (digits == end && end > at && end - at <= NUMBER_DIGITS_MAX)
		(void)value_change(walk, name, at, end, PAIR_NUMBER);
	return end;
}

/* What follows the colon. Returns where it goes on behind it; of lists with objects, at the first of these. */
static size_t value_walk(struct walk *walk, struct view name, size_t at)
{
	struct view text = walk->text;
	size_t depth = 0;

	do {
		at = run_end(text, at, is_blank);
		if (at >= text.length)
			return at;
		if (text.at[at] == '"') {
			at = text_walk(walk, name, at);
		} else if (is_plain(text.at[at])) {
			at = plain_walk(walk, name, at);
		} else if (text.at[at] == '[') {
			depth++;
			at++;
		} else if (depth && (text.at[at] == ']' || text.at[at] == ',')) {
			depth -= text.at[at] == ']';
			at++;
		} else {
			return at;
		}
	} while (depth);
	return at;
}

bool pairs_each(struct buf *out, struct view text, pair_change *change, void *self)
{
	struct walk walk = {.text = text, .out = out, .change = change, .self = self};
	size_t at = 0;

	for (;;) {
		const char *first = at < text.length ? memchr(text.at + at, '"', text.length - at) : NULL;
		size_t begin = first ? (size_t)(first - text.at) + 1 : text.length;
		const char *last = begin < text.length ? memchr(text.at + begin, '"', text.length - begin) : NULL;
		size_t colon;

		if (!last)
			break;
		/* Without a colon behind them nothing was between them, and the second is the first of what comes next. */
		at = (size_t)(last - text.at);
		colon = run_end(text, at + 1, is_blank);
		if (colon < text.length && text.at[colon] == ':')
			at = value_walk(&walk, view_make(first + 1, (size_t)(last - first) - 1), colon + 1);
	}
	buf_add(out, text.at + walk.from, text.length - walk.from);
	return walk.changed;
}
