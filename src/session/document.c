/* JSON by its first character, YAML otherwise. */
#include "session/document.h"

#include <errno.h>
#include <stdlib.h>

#include "base/scope.h"
#include "blueprint/tree.h"

static json_t *text_json(const char *text)
{
	AUTO_JSON holder = json_object();

	json_set_bytes(holder, "x", view_of(text));
	return json_incref(json_member(holder, "x"));
}

static json_t *plain_json(const char *text)
{
	char *end = NULL;
	long long whole;
	double real;

	if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)
		return json_boolean(text[0] == 't');
	if (!strchr("-0123456789.", text[0]) || text[strspn(text, "+-0123456789.eE")])
		return text_json(text);
	errno = 0;
	whole = strtoll(text, &end, 10);
	if (!*end && end != text && !errno)
		return json_integer(whole);
	real = strtod(text, &end);
	return *end || end == text || real > 1e300 || real < -1e300 ? text_json(text) : json_real(real);
}

static json_t *node_json(const struct tree_node *node)
{
	json_t *json;

	switch (node->kind) {
	case TREE_LIST:
		json = json_array();
		for (size_t i = 0; i < node->count; i++)
			(void)json_array_append_new(json, node_json(node->items[i]));
		return json;
	case TREE_MAP:
		json = json_object();
		for (size_t i = 0; i < node->count; i++)
			(void)json_object_set_new(json, node->pairs[i].key->text, node_json(node->pairs[i].value));
		return json;
	case TREE_SCALAR:
		break;
	}
	if (tree_is_null(node))
		return json_null();
	return node->plain ? plain_json(node->text) : text_json(node->text);
}

json_t *document_parse(struct view text, const char *file_name, struct err *err)
{
	static const struct tree_limits limits = {.bytes = DOCUMENT_BYTES_MAX, .nodes = DOCUMENT_NODES_MAX};
	struct view trimmed;
	const struct tree_node *root;
	AUTO_ARENA arena = {.used = 0};
	json_t *json;

	if (text.length > DOCUMENT_BYTES_MAX) {
		(void)err_set(err, ERR_LIMIT, "%s: more than %zu MiB", file_name, DOCUMENT_BYTES_MAX >> 20);
		return NULL;
	}
	if (view_starts(text, VIEW("\xef\xbb\xbf")))
		text = view_make(text.at + 3, text.length - 3);
	trimmed = view_trim(text);
	if (trimmed.length && (trimmed.at[0] == '{' || trimmed.at[0] == '[')) {
		json = json_parse(text, err);
		if (!json)
			(void)err_prefix(err, "%s", file_name);
		return json;
	}
	root = tree_parse_within(text, file_name, TREE_LOOSE, limits, &arena, err);
	return root ? node_json(root) : NULL;
}
