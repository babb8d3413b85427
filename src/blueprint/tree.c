/* libyaml's events, put together to a bounded tree. */
#include "blueprint/tree.h"

#include <stdlib.h>
#include <yaml.h>

#include "base/scope.h"

#define SHOWN_BYTES_MAX 40

struct anchor {
	const char *name;
	const struct tree_node *node;
	struct anchor *next;
};

struct builder {
	yaml_parser_t parser;
	yaml_event_t event; /* the next one, not yet used */
	bool has_event;
	struct view text;
	const char *file_name;
	enum tree_dialect dialect;
	struct arena *arena;
	struct anchor *anchors; /* newest first: a later one hides an earlier of the same name */
	size_t nodes;
	size_t nodes_max;
	struct err *err;
};

/* Children while a list or a map is being read; freed by their scope. */
struct children {
	struct tree_pair *at; /* key is NULL in a list */
	size_t count;
	size_t capacity;
};

static void children_fini(struct children *children)
{
	free(children->at);
}
#define AUTO_CHILDREN __attribute__((cleanup(children_fini))) struct children

static void children_add(struct children *children, const struct tree_node *key, const struct tree_node *value)
{
	if (children->count == children->capacity) {
		children->capacity = children->capacity ? children->capacity * 2 : 8;
		children->at = mem_grow(children->at, children->capacity, sizeof(*children->at));
	}
	children->at[children->count++] = (struct tree_pair){key, value};
}

static int PRINTF_LIKE(4, 5)
	refuse_at(struct builder *builder, const yaml_mark_t *mark, enum err_kind kind, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)err_set_va(builder->err, kind, format, args);
	va_end(args);
	return err_prefix(builder->err, "%s:%zu:%zu", builder->file_name, mark->line + 1, mark->column + 1);
}

static int parser_refuse(struct builder *builder)
{
	const yaml_parser_t *parser = &builder->parser;
	const yaml_mark_t *mark = &parser->problem_mark;
	const char *problem = parser->problem ? parser->problem : "unreadable";

	if (parser->error == YAML_READER_ERROR)
		return err_set(builder->err, ERR_INVALID, "%s: not UTF-8 text: %s at byte %zu", builder->file_name, problem,
			       parser->problem_offset);
	if (mark->index < builder->text.length && builder->text.at[mark->index] == '\t')
		return refuse_at(builder, mark, ERR_INVALID, "not YAML: a tab indents here: use spaces");
	return refuse_at(builder, mark, ERR_INVALID, "not YAML: %s%s%s", problem, parser->context ? ", " : "",
			 parser->context ? parser->context : "");
}

static int event_next(struct builder *builder)
{
	if (builder->has_event)
		yaml_event_delete(&builder->event);
	builder->has_event = false;
	if (!yaml_parser_parse(&builder->parser, &builder->event))
		return parser_refuse(builder);
	builder->has_event = true;
	return 0;
}

static struct tree_node *node_new(struct builder *builder, enum tree_kind kind)
{
	struct tree_node *node = arena_take(builder->arena, sizeof(*node));

	node->kind = kind;
	node->line = (int)builder->event.start_mark.line + 1;
	node->column = (int)builder->event.start_mark.column + 1;
	node->weight = 1;
	return node;
}

static int weight_add(struct builder *builder, size_t weight)
{
	builder->nodes += weight;
	if (builder->nodes > builder->nodes_max)
		return refuse_at(builder, &builder->event.start_mark, ERR_LIMIT, "more than %zu values", builder->nodes_max);
	return 0;
}

/* What anchors and tags the event has is allowed? The anchor's name is copied to *name. */
static int properties_check(struct builder *builder, const yaml_char_t *anchor, const yaml_char_t *tag, const char **name)
{
	*name = NULL;
	if (builder->dialect == TREE_STRICT && anchor)
		return refuse_at(builder, &builder->event.start_mark, ERR_INVALID,
				 "anchors (&) are not allowed here: write the value where it is used");
	if (builder->dialect == TREE_STRICT && tag)
		return refuse_at(builder, &builder->event.start_mark, ERR_INVALID, "tags (!) are not allowed here");
	if (anchor)
		*name = arena_copy(builder->arena, view_of((const char *)anchor));
	return 0;
}

static void anchor_add(struct builder *builder, const char *name, const struct tree_node *node)
{
	struct anchor *anchor;

	if (!name)
		return;
	anchor = arena_take(builder->arena, sizeof(*anchor));
	*anchor = (struct anchor){name, node, builder->anchors};
	builder->anchors = anchor;
}

static const struct tree_node *scalar_read(struct builder *builder)
{
	const yaml_event_t *event = &builder->event;
	struct view text = view_make(event->data.scalar.value, event->data.scalar.length);
	struct tree_node *node = node_new(builder, TREE_SCALAR);
	const char *name;

	if (properties_check(builder, event->data.scalar.anchor, event->data.scalar.tag, &name) || weight_add(builder, 1))
		return NULL;
	if (memchr(text.at, '\0', text.length)) {
		(void)refuse_at(builder, &event->start_mark, ERR_INVALID, "a text with a NUL character");
		return NULL;
	}
	node->text = arena_copy(builder->arena, text);
	node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	anchor_add(builder, name, node);
	return node;
}

static const struct tree_node *alias_read(struct builder *builder)
{
	const char *name = (const char *)builder->event.data.alias.anchor;

	if (builder->dialect == TREE_STRICT) {
		(void)refuse_at(builder, &builder->event.start_mark, ERR_INVALID,
				"aliases (*) are not allowed here: write the value itself, or quote a text that begins with *");
		return NULL;
	}
	for (const struct anchor *anchor = builder->anchors; anchor; anchor = anchor->next)
		if (strcmp(anchor->name, name) == 0)
			return weight_add(builder, anchor->node->weight) ? NULL : anchor->node;
	(void)refuse_at(builder, &builder->event.start_mark, ERR_INVALID,
			"an alias (*) of an anchor that is not complete before it");
	return NULL;
}

static const struct tree_node *node_read(struct builder *builder, int depth);

static const struct tree_node *list_read(struct builder *builder, int depth)
{
	struct tree_node *node = node_new(builder, TREE_LIST);
	AUTO_CHILDREN children = {0};
	const char *name;

	if (properties_check(builder, builder->event.data.sequence_start.anchor, builder->event.data.sequence_start.tag, &name) ||
	    weight_add(builder, 1))
		return NULL;
	for (;;) {
		const struct tree_node *item;

		if (event_next(builder))
			return NULL;
		if (builder->event.type == YAML_SEQUENCE_END_EVENT)
			break;
		item = node_read(builder, depth + 1);
		if (!item)
			return NULL;
		children_add(&children, NULL, item);
		node->weight += item->weight;
	}
	node->count = children.count;
	node->items = arena_take_array(builder->arena, children.count, sizeof(*node->items));
	for (size_t i = 0; i < children.count; i++)
		node->items[i] = children.at[i].value;
	anchor_add(builder, name, node);
	return node;
}

static bool children_have(const struct children *children, const char *key)
{
	for (size_t i = 0; i < children->count; i++)
		if (strcmp(children->at[i].key->text, key) == 0)
			return true;
	return false;
}

/* `<<: *other` or `<<: [*a, *b]`: pairs that the map does not have itself. */
static int merge(struct builder *builder, struct children *children, const struct tree_node *source)
{
	if (source->kind == TREE_SCALAR)
		return err_set(builder->err, ERR_INVALID, "%s:%d:%d: `<<` expects a mapping or a list of mappings",
			       builder->file_name, source->line, source->column);
	for (size_t i = 0; source->kind == TREE_LIST && i < source->count; i++)
		if (merge(builder, children, source->items[i]))
			return -1;
	for (size_t i = 0; source->kind == TREE_MAP && i < source->count; i++)
		if (!children_have(children, source->pairs[i].key->text))
			children_add(children, source->pairs[i].key, source->pairs[i].value);
	return 0;
}

/* The key at the current event, checked. */
static const struct tree_node *key_read(struct builder *builder, const struct children *children)
{
	const struct tree_node *key;

	if (builder->event.type != YAML_SCALAR_EVENT) {
		(void)refuse_at(builder, &builder->event.start_mark, ERR_INVALID, "a key must be a plain text");
		return NULL;
	}
	key = scalar_read(builder);
	if (key && children_have(children, key->text)) {
		AUTO_BUF shown = buf_new(4 * SHOWN_BYTES_MAX);

		tree_describe(&shown, key);
		(void)err_set(builder->err, ERR_INVALID, "%s:%d:%d: the key %s is here for the second time", builder->file_name,
			      key->line, key->column, shown.at);
		return NULL;
	}
	return key;
}

static int pairs_read(struct builder *builder, struct children *children, const struct tree_node **merged, int depth)
{
	for (;;) {
		const struct tree_node *key;
		const struct tree_node *value;

		if (event_next(builder))
			return -1;
		if (builder->event.type == YAML_MAPPING_END_EVENT)
			return 0;
		key = key_read(builder, children);
		if (!key || event_next(builder))
			return -1;
		value = node_read(builder, depth + 1);
		if (!value)
			return -1;
		if (builder->dialect == TREE_LOOSE && key->plain && strcmp(key->text, "<<") == 0)
			*merged = value;
		else
			children_add(children, key, value);
	}
}

static const struct tree_node *map_read(struct builder *builder, int depth)
{
	struct tree_node *node = node_new(builder, TREE_MAP);
	const struct tree_node *merged = NULL;
	AUTO_CHILDREN children = {0};
	const char *name;

	if (properties_check(builder, builder->event.data.mapping_start.anchor, builder->event.data.mapping_start.tag, &name) ||
	    weight_add(builder, 1) || pairs_read(builder, &children, &merged, depth) ||
	    (merged && merge(builder, &children, merged)))
		return NULL;
	for (size_t i = 0; i < children.count; i++)
		node->weight += 1 + children.at[i].value->weight;
	node->count = children.count;
	node->pairs = arena_take_array(builder->arena, children.count, sizeof(*node->pairs));
	if (children.count)
		memcpy(node->pairs, children.at, children.count * sizeof(*node->pairs));
	anchor_add(builder, name, node);
	return node;
}

/* The node that begins at the current event. */
static const struct tree_node *node_read(struct builder *builder, int depth)
{
	if (depth > TREE_DEPTH_MAX) {
		(void)refuse_at(builder, &builder->event.start_mark, ERR_LIMIT, "nested more than %d deep", TREE_DEPTH_MAX);
		return NULL;
	}
	switch ((int)builder->event.type) {
	case YAML_SCALAR_EVENT:
		return scalar_read(builder);
	case YAML_ALIAS_EVENT:
		return alias_read(builder);
	case YAML_SEQUENCE_START_EVENT:
		return list_read(builder, depth);
	case YAML_MAPPING_START_EVENT:
		return map_read(builder, depth);
	default:
		(void)refuse_at(builder, &builder->event.start_mark, ERR_INVALID, "not YAML: a value was expected");
		return NULL;
	}
}

/* Steps over one event, to the second from here. */
static int event_skip(struct builder *builder)
{
	return event_next(builder) ? -1 : event_next(builder);
}

/* Stream start, document start, the root, document end, stream end. */
static const struct tree_node *document_read(struct builder *builder)
{
	const struct tree_node *root;

	if (event_skip(builder))
		return NULL;
	if (builder->event.type == YAML_STREAM_END_EVENT) {
		struct tree_node *nothing = node_new(builder, TREE_SCALAR);

		nothing->text = "";
		nothing->plain = true;
		nothing->line = nothing->column = 1;
		return nothing;
	}
	if (event_next(builder))
		return NULL;
	root = node_read(builder, 0);
	if (!root || event_skip(builder))
		return NULL;
	if (builder->event.type != YAML_STREAM_END_EVENT) {
		(void)refuse_at(builder, &builder->event.start_mark, ERR_INVALID, "a second document begins here: expected one");
		return NULL;
	}
	return root;
}

const struct tree_node *tree_parse(struct view text, const char *file_name, enum tree_dialect dialect, struct arena *arena,
				   struct err *err)
{
	const struct tree_limits limits = {TREE_BYTES_MAX, TREE_NODES_MAX};

	return tree_parse_within(text, file_name, dialect, limits, arena, err);
}

const struct tree_node *tree_parse_within(struct view text, const char *file_name, enum tree_dialect dialect,
					  struct tree_limits limits, struct arena *arena, struct err *err)
{
	struct builder builder = {
		.text = text, .file_name = file_name, .dialect = dialect, .arena = arena, .nodes_max = limits.nodes, .err = err};
	const struct tree_node *root;

	if (text.length > limits.bytes) {
		(void)err_set(err, ERR_LIMIT, "%s: more than %zu KiB", file_name, limits.bytes >> 10);
		return NULL;
	}
	if (!yaml_parser_initialize(&builder.parser))
		abort();
	yaml_parser_set_encoding(&builder.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&builder.parser, (const unsigned char *)(text.at ? text.at : ""), text.length);
	root = document_read(&builder);
	if (builder.has_event)
		yaml_event_delete(&builder.event);
	yaml_parser_delete(&builder.parser);
	return root;
}

const struct tree_node *tree_find(const struct tree_node *map, const char *key)
{
	for (size_t i = 0; map && map->kind == TREE_MAP && i < map->count; i++)
		if (strcmp(map->pairs[i].key->text, key) == 0)
			return tree_is_null(map->pairs[i].value) ? NULL : map->pairs[i].value;
	return NULL;
}

bool tree_is_null(const struct tree_node *node)
{
	return !node || (node->kind == TREE_SCALAR && node->plain &&
			 (!node->text[0] || strcmp(node->text, "~") == 0 || strcmp(node->text, "null") == 0));
}

const char *tree_text(const struct tree_node *node)
{
	return tree_is_null(node) || node->kind != TREE_SCALAR ? NULL : node->text;
}

void tree_describe(struct buf *out, const struct tree_node *node)
{
	size_t length;

	if (tree_is_null(node)) {
		buf_add_text(out, "nothing");
		return;
	}
	if (node->kind != TREE_SCALAR) {
		buf_add_text(out, node->kind == TREE_LIST ? "a list" : "a mapping");
		return;
	}
	length = strlen(node->text);
	if (length > SHOWN_BYTES_MAX)
		length = SHOWN_BYTES_MAX;
	while (length && length == SHOWN_BYTES_MAX && ((unsigned char)node->text[length] & 0xc0) == 0x80)
		length--;
	buf_add_char(out, '`');
	for (size_t i = 0; i < length; i++)
		buf_add_char(out, (unsigned char)node->text[i] < 0x20 || node->text[i] == 0x7f ? ' ' : node->text[i]);
	buf_add_text(out, node->text[length] ? "…`" : "`");
}
