/* A walker over JSON's grammar (RFC 8259) that keeps places instead of values. */
#include "data/leaves.h"

#include <ctype.h>

#include "base/scope.h"

struct walk {
	struct view rest;
	struct buf path;
	int (*each)(void *self, const struct leaf *leaf, struct err *err);
	void *self;
	struct err *err;
};

static int broken(struct walk *walk)
{
	return err_set(walk->err, ERR_INVALID, "a value is no JSON");
}

static void forward(struct walk *walk, size_t length)
{
	walk->rest = view_make(walk->rest.at + length, walk->rest.length - length);
}

static char next(struct walk *walk)
{
	while (walk->rest.length && strchr(" \t\r\n", walk->rest.at[0]) && walk->rest.at[0])
		forward(walk, 1);
	return walk->rest.length ? walk->rest.at[0] : '\0';
}

/* The bytes of the text at the front, with its quotes. */
static int text_take(struct walk *walk, struct view *raw)
{
	size_t at = 1;

	while (at < walk->rest.length && walk->rest.at[at] != '"')
		at += walk->rest.at[at] == '\\' ? 2 : 1;
	if (at >= walk->rest.length)
		return broken(walk);
	*raw = view_make(walk->rest.at, at + 1);
	forward(walk, at + 1);
	return 0;
}

static int leaf_give(struct walk *walk, struct view raw, bool is_text)
{
	struct leaf leaf = {walk->path.length ? walk->path.at : "", raw, is_text};

	if (buf_finish(&walk->path, walk->err))
		return -1;
	return walk->each(walk->self, &leaf, walk->err);
}

static int value_walk(struct walk *walk, int depth);

static int key_push(struct walk *walk)
{
	struct view raw = {0};
	struct leaf key;
	AUTO_FREE char *text = NULL;

	if (next(walk) != '"' || text_take(walk, &raw))
		return broken(walk);
	key = (struct leaf){"", raw, true};
	text = leaf_text(&key);
	if (!text || next(walk) != ':')
		return broken(walk);
	forward(walk, 1);
	buf_add_char(&walk->path, '/');
	buf_add_text(&walk->path, text);
	buf_add_char(&walk->path, '\0');
	buf_cut(&walk->path, walk->path.length - 1);
	return 0;
}

/* Of an object or a list, whose opening sign is at the front. */
static int members_walk(struct walk *walk, int depth)
{
	bool object = walk->rest.at[0] == '{';
	char end = object ? '}' : ']';
	size_t outer = walk->path.length;

	forward(walk, 1);
	if (next(walk) == end) {
		forward(walk, 1);
		return 0;
	}
	for (;;) {
		int result;

		if (object && key_push(walk))
			return -1;
		if (!object) {
			buf_add(&walk->path, "/*", 3);
			buf_cut(&walk->path, walk->path.length - 1);
		}
		result = value_walk(walk, depth + 1);
		if (result)
			return result;
		buf_cut(&walk->path, outer);
		if (walk->path.at)
			walk->path.at[outer] = '\0';
		if (next(walk) == end) {
			forward(walk, 1);
			return 0;
		}
		if (next(walk) != ',')
			return broken(walk);
		forward(walk, 1);
	}
}

static int word_walk(struct walk *walk)
{
	size_t length = 0;

	while (length < walk->rest.length &&
	       (isalnum((unsigned char)walk->rest.at[length]) || strchr("+-.", walk->rest.at[length])) && walk->rest.at[length])
		length++;
	if (!length)
		return broken(walk);
	struct view raw = view_make(walk->rest.at, length);

	forward(walk, length);
	if (view_is(raw, "null") || view_is(raw, "true") || view_is(raw, "false"))
		return 0;
	return raw.at[0] == '-' || isdigit((unsigned char)raw.at[0]) ? leaf_give(walk, raw, false) : broken(walk);
}

static int value_walk(struct walk *walk, int depth)
{
	struct view raw = {0};
	char c = next(walk);

	if (depth > LEAVES_DEPTH_MAX)
		return broken(walk);
	if (c == '{' || c == '[')
		return members_walk(walk, depth);
	if (c != '"')
		return word_walk(walk);
	return text_take(walk, &raw) ? -1 : leaf_give(walk, raw, true);
}

int leaves_walk(struct view document, int (*each)(void *self, const struct leaf *leaf, struct err *err), void *self,
		struct err *err)
{
	struct walk walk = {document, buf_new(LEAVES_PATH_MAX), each, self, err};
	int result = value_walk(&walk, 0);

	if (result == 0 && next(&walk))
		result = broken(&walk);
	buf_fini(&walk.path);
	return result;
}

char *leaf_text(const struct leaf *leaf)
{
	AUTO_FREE char *listed = NULL;
	AUTO_JSON list = NULL;
	char *text;

	if (!leaf->is_text)
		return view_copy(leaf->raw);
	listed = text_format("[%.*s]", (int)leaf->raw.length, leaf->raw.at);
	list = json_parse(view_of(listed), NULL);
	if (json_array_size(list) != 1)
		return NULL;
	/* A NUL (\u0000) would hide what is behind it. */
	text = view_copy(view_make(json_string_value(json_array_get(list, 0)), json_string_length(json_array_get(list, 0))));
	for (size_t i = 0; i < json_string_length(json_array_get(list, 0)); i++)
		text[i] = text[i] ? text[i] : ' ';
	return text;
}

bool leaf_is_at(const char *rule_path, const char *path)
{
	while (*rule_path == '/') {
		size_t wanted = strcspn(rule_path + 1, "/");
		size_t part = strcspn(path + (*path == '/'), "/");
		bool any = wanted == 1 && rule_path[1] == '*';

		if (*path != '/' || (!any && (wanted != part || memcmp(rule_path + 1, path + 1, part) != 0)))
			return false;
		rule_path += wanted + 1;
		path += part + 1;
	}
	return true;
}
