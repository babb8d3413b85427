/*
 * From Atlassian's document format to Markdown. A document is a tree of nodes; each node is written by its row below, and one without a row
 * by what it contains. How deep it goes is limited by the parser of JSON.
 */
#include "trackers/adf.h"

#include <stdlib.h>

#include "base/scope.h"

#define TEXT_BYTES_MAX ((size_t)256 << 10)
#define OLD_MENTION "[~accountid:"

struct writing {
	struct buf *out;
	const char *without; /* whose mentions are left out; may be NULL */
	int depth;           /* of lists */
	int ordered;         /* > 0: the number of the next item */
};

static void node_write(struct writing *writing, const json_t *node);

static void content_write(struct writing *writing, const json_t *node)
{
	json_t *child;
	size_t i;

	json_array_foreach(json_member(node, "content"), i, child)
		node_write(writing, child);
}

static const char *attr(const json_t *node, const char *name, const char *fallback)
{
	return json_text(json_member(node, "attrs"), name, fallback);
}

static const char *mark_href(const json_t *node, bool *is_code)
{
	const char *href = NULL;
	json_t *mark;
	size_t i;

	*is_code = false;
	json_array_foreach(json_member(node, "marks"), i, mark) {
		if (strcmp(json_text(mark, "type", ""), "link") == 0)
			href = attr(mark, "href", NULL);
		*is_code = *is_code || strcmp(json_text(mark, "type", ""), "code") == 0;
	}
	return href;
}

static void text_write(struct writing *writing, const json_t *node)
{
	const char *text = json_text(node, "text", "");
	bool is_code;
	const char *href = mark_href(node, &is_code);

	if (is_code)
		buf_add_format(writing->out, "`%s`", text);
	else if (href && strcmp(href, text) != 0)
		buf_add_format(writing->out, "[%s](%s)", text, href);
	else
		buf_add_text(writing->out, text);
}

static void lines_end(struct writing *writing)
{
	buf_add_text(writing->out, writing->depth ? "\n" : "\n\n");
}

static void paragraph_write(struct writing *writing, const json_t *node)
{
	content_write(writing, node);
	lines_end(writing);
}

static void heading_write(struct writing *writing, const json_t *node)
{
	int64_t level = json_number(json_member(node, "attrs"), "level", 1);

	for (int64_t i = 0; i < level && i < 6; i++)
		buf_add_char(writing->out, '#');
	buf_add_char(writing->out, ' ');
	paragraph_write(writing, node);
}

static void list_write(struct writing *writing, const json_t *node)
{
	struct writing inner = {writing->out, writing->without, writing->depth + 1,
				strcmp(json_text(node, "type", ""), "orderedList") == 0 ? 1 : 0};

	content_write(&inner, node);
	if (!writing->depth)
		buf_add_char(writing->out, '\n');
}

static void indent(struct writing *writing)
{
	for (int i = 1; i < writing->depth; i++)
		buf_add_text(writing->out, "  ");
}

static void item_write(struct writing *writing, const json_t *node)
{
	indent(writing);
	if (writing->ordered)
		buf_add_format(writing->out, "%d. ", writing->ordered++);
	else
		buf_add_text(writing->out, "- ");
	content_write(writing, node);
}

static void task_write(struct writing *writing, const json_t *node)
{
	indent(writing);
	buf_add_format(writing->out, "- [%s] ", strcmp(attr(node, "state", ""), "DONE") == 0 ? "x" : " ");
	content_write(writing, node);
	buf_add_char(writing->out, '\n');
}

/* The fence is longer than any in it. */
static void code_write(struct writing *writing, const json_t *node)
{
	AUTO_BUF inner = buf_new(TEXT_BYTES_MAX);
	struct writing inside = {.out = &inner, .without = writing->without};
	size_t longest = 2;
	size_t count = 0;

	content_write(&inside, node);
	for (size_t i = 0; i < inner.length; i++) {
		count = inner.at[i] == '`' ? count + 1 : 0;
		longest = count > longest ? count : longest;
	}
	AUTO_FREE char *fence = mem_new(longest + 2);

	memset(fence, '`', longest + 1);
	buf_add_format(writing->out, "%s%s\n", fence, attr(node, "language", ""));
	buf_add_view(writing->out, buf_view(&inner));
	buf_add_format(writing->out, "\n%s", fence);
	lines_end(writing);
}

static void quote_write(struct writing *writing, const json_t *node)
{
	AUTO_BUF inner = buf_new(TEXT_BYTES_MAX);
	struct writing inside = {.out = &inner, .without = writing->without};
	struct view rest;

	content_write(&inside, node);
	for (rest = view_trim(buf_view(&inner)); rest.length;) {
		struct view line = view_cut(rest, '\n', &rest);

		buf_add_text(writing->out, "> ");
		buf_add_view(writing->out, line);
		buf_add_char(writing->out, '\n');
	}
	buf_add_char(writing->out, '\n');
}

static void row_write(struct writing *writing, const json_t *node)
{
	json_t *cell;
	size_t i;

	buf_add_char(writing->out, '|');
	json_array_foreach(json_member(node, "content"), i, cell) {
		AUTO_BUF inner = buf_new(TEXT_BYTES_MAX);
		struct writing inside = {.out = &inner, .without = writing->without};
		struct view text;

		content_write(&inside, cell);
		text = view_trim(buf_view(&inner));
		buf_add_char(writing->out, ' ');
		for (size_t k = 0; k < text.length; k++)
			buf_add_char(writing->out, text.at[k] == '\n' ? ' ' : text.at[k]);
		buf_add_text(writing->out, " |");
	}
	buf_add_char(writing->out, '\n');
}

static void table_write(struct writing *writing, const json_t *node)
{
	content_write(writing, node);
	buf_add_char(writing->out, '\n');
}

static void break_write(struct writing *writing, const json_t *node)
{
	(void)node;
	buf_add_char(writing->out, '\n');
}

static void rule_write(struct writing *writing, const json_t *node)
{
	(void)node;
	buf_add_text(writing->out, "---\n\n");
}

static void mention_write(struct writing *writing, const json_t *node)
{
	const char *id = attr(node, "id", "");

	if (!writing->without || strcmp(id, writing->without) != 0)
		buf_add_text(writing->out, attr(node, "text", id));
}

static void emoji_write(struct writing *writing, const json_t *node)
{
	buf_add_text(writing->out, attr(node, "text", attr(node, "shortName", "")));
}

static void card_write(struct writing *writing, const json_t *node)
{
	buf_add_text(writing->out, attr(node, "url", ""));
}

static void media_write(struct writing *writing, const json_t *node)
{
	buf_add_format(writing->out, "[a file%s%s]\n", attr(node, "alt", NULL) ? ": " : "", attr(node, "alt", ""));
}

static const struct {
	const char *type;
	void (*write)(struct writing *writing, const json_t *node);
} rows[] = {
	{"text", text_write},         {"paragraph", paragraph_write}, {"heading", heading_write}, {"bulletList", list_write},
	{"orderedList", list_write},  {"listItem", item_write},       {"taskList", list_write},   {"taskItem", task_write},
	{"decisionList", list_write}, {"decisionItem", task_write},   {"codeBlock", code_write},  {"blockquote", quote_write},
	{"table", table_write},       {"tableRow", row_write},        {"hardBreak", break_write}, {"rule", rule_write},
	{"mention", mention_write},   {"emoji", emoji_write},         {"status", emoji_write},    {"inlineCard", card_write},
	{"blockCard", card_write},    {"embedCard", card_write},      {"media", media_write},
};

static void node_write(struct writing *writing, const json_t *node)
{
	const char *type = json_text(node, "type", "");

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (strcmp(rows[i].type, type) == 0) {
			rows[i].write(writing, node);
			return;
		}
	content_write(writing, node);
}

/* Of a text in the older notation. */
static void old_write(struct writing *writing, struct view text)
{
	AUTO_FREE char *mention = text_format(OLD_MENTION "%s]", writing->without ? writing->without : "");

	while (text.length) {
		ptrdiff_t at = view_find(text, view_of(mention));
		size_t plain = at < 0 ? text.length : (size_t)at;

		buf_add(writing->out, text.at, plain);
		plain += at < 0 ? 0 : strlen(mention);
		text = view_make(text.at + plain, text.length - plain);
	}
}

void adf_text(const json_t *document, const char *without, struct buf *out)
{
	AUTO_BUF text = buf_new(TEXT_BYTES_MAX);
	struct writing writing = {.out = &text, .without = without};

	if (json_is_string(document))
		old_write(&writing, view_of(json_string_value(document)));
	else
		node_write(&writing, document);
	buf_add_view(out, view_trim(buf_view(&text)));
}

static bool node_mentions(const json_t *node, const char *id)
{
	json_t *child;
	size_t i;

	if (strcmp(json_text(node, "type", ""), "mention") == 0 && strcmp(attr(node, "id", ""), id) == 0)
		return true;
	json_array_foreach(json_member(node, "content"), i, child)
		if (node_mentions(child, id))
			return true;
	return false;
}

bool adf_mentions(const json_t *document, const char *id)
{
	AUTO_FREE char *old = text_format(OLD_MENTION "%s]", id);

	return json_is_string(document) ? strstr(json_string_value(document), old) != NULL : node_mentions(document, id);
}
