/* From Markdown to Atlassian's document format, block by block, line by line. */
#include "trackers/adf.h"

#include <stdlib.h>

#include "base/scope.h"

#define HEADING_MAX 6
#define NESTING_MAX 4
#define SPAN_BYTES_MAX ((size_t)2000) /* what is marked, or a link: what ends later is text */

/* ---- inside a line ---- */

static json_t *marks_with(const json_t *marks, json_t *mark)
{
	json_t *all = marks ? json_copy((json_t *)(uintptr_t)marks) : json_array();

	(void)json_array_append_new(all, mark);
	return all;
}

static void text_add(json_t *content, struct view text, const json_t *marks)
{
	json_t *node;

	if (!text.length)
		return;
	node = json_pack("{s:s}", "type", "text");
	json_set_bytes(node, "text", text);
	if (json_array_size(marks))
		(void)json_object_set(node, "marks", (json_t *)(uintptr_t)marks);
	(void)json_array_append_new(content, node);
}

static bool is_web(struct view url)
{
	return view_starts(url, VIEW("https://")) || view_starts(url, VIEW("http://"));
}

static json_t *link_mark(struct view url)
{
	json_t *attrs = json_object();

	json_set_bytes(attrs, "href", url);
	return json_pack("{s:s, s:o}", "type", "link", "attrs", attrs);
}

static struct view from(struct view text, size_t at)
{
	return view_make(text.at + at, text.length - at);
}

/* An address that stands by itself: up to a blank, without the punctuation that ends a sentence. */
static size_t address_length(struct view text)
{
	size_t length = 0;

	while (length < text.length && !strchr(" \t\n<>\"`|)]", text.at[length]))
		length++;
	while (length && strchr(".,;:!?'*", text.at[length - 1]))
		length--;
	return length;
}

static void inline_add(json_t *content, struct view text, const json_t *marks, int nesting);

/* [label](url); how many bytes it has, 0 when it is none. */
static size_t link_add(json_t *content, struct view text, const json_t *marks)
{
	struct view span = view_make(text.at, text.length < SPAN_BYTES_MAX ? text.length : SPAN_BYTES_MAX);
	ptrdiff_t middle = view_find(span, VIEW("]("));
	struct view url;
	ptrdiff_t end;

	if (middle < 2 || view_find(view_make(text.at, (size_t)middle), VIEW("\n")) >= 0)
		return 0;
	url = from(span, (size_t)middle + 2);
	end = view_find(url, VIEW(")"));
	if (end < 1)
		return 0;
	url.length = (size_t)end;
	if (!is_web(url))
		return 0;
	AUTO_JSON with = marks_with(marks, link_mark(url));

	text_add(content, view_make(text.at + 1, (size_t)middle - 1), with);
	return (size_t)middle + 2 + (size_t)end + 1;
}

/* Between two of the same signs; how many bytes with them, 0 when it is none. */
static size_t marked_add(json_t *content, struct view text, struct view sign, const char *mark, const json_t *marks, int nesting)
{
	bool is_code = strcmp(mark, "code") == 0;
	/* Code ends wherever it ends: what is in it must not act. */
	struct view span = view_make(text.at, is_code || text.length < SPAN_BYTES_MAX ? text.length : SPAN_BYTES_MAX);
	struct view inner = span.length > sign.length ? from(span, sign.length) : (struct view){0};
	ptrdiff_t end = view_find(inner, sign);

	if (end < 1 || (!is_code && inner.at[0] == ' '))
		return 0;
	inner.length = (size_t)end;
	AUTO_JSON with = marks_with(is_code ? NULL : marks, json_pack("{s:s}", "type", mark));

	if (is_code)
		text_add(content, inner, with);
	else
		inline_add(content, inner, with, nesting + 1);
	return (size_t)end + 2 * sign.length;
}

static size_t special_add(json_t *content, struct view text, const json_t *marks, int nesting)
{
	if (text.at[0] == '\n') {
		(void)json_array_append_new(content, json_pack("{s:s}", "type", "hardBreak"));
		return 1;
	}
	if (text.at[0] == '`')
		return marked_add(content, text, VIEW("`"), "code", marks, nesting);
	if (text.at[0] == '*' && nesting < NESTING_MAX)
		return view_starts(text, VIEW("**")) ? marked_add(content, text, VIEW("**"), "strong", marks, nesting)
						     : marked_add(content, text, VIEW("*"), "em", marks, nesting);
	if (text.at[0] == '[')
		return link_add(content, text, marks);
	if (text.at[0] == 'h' && is_web(text)) {
		size_t length = address_length(text);
		AUTO_JSON with = marks_with(marks, link_mark(view_make(text.at, length)));

		text_add(content, view_make(text.at, length), with);
		return length;
	}
	return 0;
}

static void inline_add(json_t *content, struct view text, const json_t *marks, int nesting)
{
	size_t plain = 0;
	size_t at = 0;

	while (at < text.length) {
		AUTO_JSON found = json_array();
		size_t length = strchr("\n`*[h", text.at[at]) ? special_add(found, from(text, at), marks, nesting) : 0;

		if (!length) {
			at++;
			continue;
		}
		text_add(content, view_make(text.at + plain, at - plain), marks);
		(void)json_array_extend(content, found);
		at += length;
		plain = at;
	}
	text_add(content, from(text, plain), marks);
}

static json_t *node_of(const char *type, struct view text)
{
	json_t *content = json_array();

	inline_add(content, text, NULL, 0);
	return json_pack("{s:s, s:o}", "type", type, "content", content);
}

/* ---- lines ---- */

struct lines {
	struct view rest;
	json_t *content;
};

static struct view line_peek(const struct lines *lines)
{
	struct view rest;
	struct view line = view_cut(lines->rest, '\n', &rest);

	return view_ends(line, VIEW("\r")) ? view_make(line.at, line.length - 1) : line;
}

static void line_drop(struct lines *lines)
{
	struct view rest;

	(void)view_cut(lines->rest, '\n', &rest);
	lines->rest = rest;
}

static size_t sign_count(struct view line, char sign)
{
	size_t count = 0;

	while (count < line.length && line.at[count] == sign)
		count++;
	return count;
}

static size_t heading_level(struct view line)
{
	size_t level = sign_count(line, '#');

	return level && level <= HEADING_MAX && level < line.length && line.at[level] == ' ' ? level : 0;
}

/* Of a line without its blanks: how long "- " or "12. " is; 0: no item. */
static size_t item_sign(struct view line, bool *is_ordered)
{
	size_t digits = 0;

	while (digits < line.length && digits < 9 && line.at[digits] >= '0' && line.at[digits] <= '9')
		digits++;
	*is_ordered = digits > 0;
	if (digits)
		return digits + 1 < line.length && line.at[digits] == '.' && line.at[digits + 1] == ' ' ? digits + 2 : 0;
	return line.length > 1 && strchr("-*+", line.at[0]) && line.at[1] == ' ' ? 2 : 0;
}

static size_t fence_length(struct view line)
{
	size_t ticks = sign_count(line, '`');
	size_t waves = sign_count(line, '~');

	return ticks >= 3 ? ticks : waves >= 3 ? waves : 0;
}

static bool is_rule(struct view line)
{
	return line.length >= 3 && sign_count(line, '-') == line.length;
}

/* |---|:--| */
static bool is_table_line(struct view line)
{
	size_t i = 0;

	while (i < line.length && strchr("|-: \t", line.at[i]))
		i++;
	return i == line.length;
}

static bool begins_block(struct view line)
{
	bool is_ordered;

	return !line.length || heading_level(line) || item_sign(line, &is_ordered) || fence_length(line) || is_rule(line) ||
	       line.at[0] == '|' || line.at[0] == '>';
}

static void fence_take(struct lines *lines, struct view open)
{
	size_t length = fence_length(open);
	struct view language = view_trim(from(open, length));
	struct view text = {0};
	json_t *node = json_pack("{s:s}", "type", "codeBlock");

	line_drop(lines);
	text.at = lines->rest.at;
	while (lines->rest.at) {
		struct view line = view_trim(line_peek(lines));

		if (fence_length(line) >= length && line.at[0] == open.at[0] && sign_count(line, line.at[0]) == line.length)
			break;
		text.length = (size_t)(line_peek(lines).at - text.at) + line_peek(lines).length;
		line_drop(lines);
	}
	line_drop(lines);
	if (language.length && language.length < 40) {
		json_t *attrs = json_object();

		json_set_bytes(attrs, "language", language);
		(void)json_object_set_new(node, "attrs", attrs);
	}
	if (text.length) {
		json_t *content = json_array();

		text_add(content, text, NULL);
		(void)json_object_set_new(node, "content", content);
	}
	(void)json_array_append_new(lines->content, node);
}

static void list_take(struct lines *lines, bool is_ordered)
{
	json_t *items = json_array();

	while (lines->rest.at) {
		struct view line = view_trim(line_peek(lines));
		bool same;
		size_t sign = item_sign(line, &same);

		if (!sign || same != is_ordered)
			break;
		(void)json_array_append_new(
			items, json_pack("{s:s, s:[o]}", "type", "listItem", "content", node_of("paragraph", from(line, sign))));
		line_drop(lines);
	}
	(void)json_array_append_new(lines->content,
				    json_pack("{s:s, s:o}", "type", is_ordered ? "orderedList" : "bulletList", "content", items));
}

static json_t *row_of(struct view line, const char *cell_type)
{
	json_t *cells = json_array();

	line = from(line, 1);
	if (view_ends(line, VIEW("|")))
		line.length--;
	do {
		struct view rest;
		struct view cell = view_trim(view_cut(line, '|', &rest));

		(void)json_array_append_new(cells,
					    json_pack("{s:s, s:[o]}", "type", cell_type, "content", node_of("paragraph", cell)));
		line = rest;
	} while (line.at);
	return json_pack("{s:s, s:o}", "type", "tableRow", "content", cells);
}

static void table_take(struct lines *lines)
{
	json_t *rows = json_array();
	bool first = true;

	while (lines->rest.at) {
		struct view line = view_trim(line_peek(lines));

		if (!line.length || line.at[0] != '|')
			break;
		if (!is_table_line(line)) {
			(void)json_array_append_new(rows, row_of(line, first ? "tableHeader" : "tableCell"));
			first = false;
		}
		line_drop(lines);
	}
	if (json_array_size(rows))
		(void)json_array_append_new(lines->content, json_pack("{s:s, s:o}", "type", "table", "content", rows));
	else
		json_decref(rows);
}

/* Lines up to one that begins something else; of a quote, without its sign. */
static json_t *paragraph_take(struct lines *lines, bool is_quote)
{
	AUTO_BUF text = buf_new(ADF_MARKDOWN_BYTES_MAX);

	while (lines->rest.at) {
		struct view line = view_trim(line_peek(lines));

		if (is_quote ? !line.length || line.at[0] != '>' : begins_block(line) && text.length)
			break;
		line_drop(lines);
		buf_add_format(&text, "%s", text.length ? "\n" : "");
		buf_add_view(&text, is_quote ? view_trim(from(line, 1)) : line);
	}
	return node_of("paragraph", buf_view(&text));
}

static void block_take(struct lines *lines)
{
	struct view line = view_trim(line_peek(lines));
	bool is_ordered;

	if (!line.length) {
		line_drop(lines);
	} else if (fence_length(line)) {
		fence_take(lines, line);
	} else if (heading_level(line)) {
		json_t *node = node_of("heading", from(line, heading_level(line) + 1));

		(void)json_object_set_new(node, "attrs", json_pack("{s:i}", "level", (int)heading_level(line)));
		(void)json_array_append_new(lines->content, node);
		line_drop(lines);
	} else if (is_rule(line)) {
		(void)json_array_append_new(lines->content, json_pack("{s:s}", "type", "rule"));
		line_drop(lines);
	} else if (line.at[0] == '|') {
		table_take(lines);
	} else if (line.at[0] == '>') {
		(void)json_array_append_new(
			lines->content, json_pack("{s:s, s:[o]}", "type", "blockquote", "content", paragraph_take(lines, true)));
	} else if (item_sign(line, &is_ordered)) {
		list_take(lines, is_ordered);
	} else {
		(void)json_array_append_new(lines->content, paragraph_take(lines, false));
	}
}

/* Whole characters of at most so many bytes. */
static struct view cut_at(struct view text, size_t length_max)
{
	size_t length = length_max;

	if (text.length <= length_max)
		return text;
	while (length && ((unsigned char)text.at[length] & 0xc0) == 0x80)
		length--;
	return view_make(text.at, length);
}

json_t *adf_of_markdown(struct view markdown)
{
	struct view kept = cut_at(markdown, ADF_MARKDOWN_BYTES_MAX);
	struct lines lines = {kept, json_array()};

	while (lines.rest.at)
		block_take(&lines);
	if (kept.length < markdown.length)
		(void)json_array_append_new(lines.content,
					    node_of("paragraph", VIEW("… (cut here: it is longer than a comment may be)")));
	return json_pack("{s:s, s:i, s:o}", "type", "doc", "version", 1, "content", lines.content);
}

void adf_mention_first(json_t *document, const char *id, const char *name)
{
	AUTO_FREE char *text = text_format("@%s", name ? name : id);
	json_t *mention = json_pack("{s:s, s:{s:s}}", "type", "mention", "attrs", "id", id);

	json_set_bytes(json_member(mention, "attrs"), "text", view_of(text));
	(void)json_array_insert_new(json_member(document, "content"), 0,
				    json_pack("{s:s, s:[o]}", "type", "paragraph", "content", mention));
}

void adf_picture_add(json_t *document, const char *name, const char *url)
{
	json_t *content = json_array();
	AUTO_JSON marks = marks_with(NULL, link_mark(view_of(url)));
	json_t *media = json_pack("{s:s, s:{s:s}}", "type", "media", "attrs", "type", "external");

	text_add(content, view_of(name), marks);
	json_set_bytes(json_member(media, "attrs"), "url", view_of(url));
	json_set_bytes(json_member(media, "attrs"), "alt", view_of(name));
	(void)json_array_append_new(json_member(document, "content"),
				    json_pack("{s:s, s:o}", "type", "paragraph", "content", content));
	(void)json_array_append_new(json_member(document, "content"), json_pack("{s:s, s:{s:s}, s:[o]}", "type", "mediaSingle",
										"attrs", "layout", "center", "content", media));
}
