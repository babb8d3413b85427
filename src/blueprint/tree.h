/*
 * tree: a YAML document as nodes that know their line and column. Bounded: bytes, depth, nodes (an alias counts as all that it stands
 * for, so nothing small unfolds into something huge). Keys are plain text and unique. Nothing is interpreted: a scalar is its text.
 */
#ifndef ASSAY_BLUEPRINT_TREE_H
#define ASSAY_BLUEPRINT_TREE_H

#include "base/arena.h"

#define TREE_BYTES_MAX ((size_t)256 << 10)
#define TREE_DEPTH_MAX 32
#define TREE_NODES_MAX 20000

enum tree_kind { TREE_SCALAR, TREE_LIST, TREE_MAP };

struct tree_pair {
	const struct tree_node *key; /* a scalar */
	const struct tree_node *value;
};

struct tree_node {
	enum tree_kind kind;
	int line; /* from 1 */
	int column;
	bool plain;       /* a scalar without quotes: may be a null, a number or a truth */
	const char *text; /* of a scalar */
	const struct tree_node **items;
	struct tree_pair *pairs;
	size_t count;  /* of items or pairs */
	size_t weight; /* nodes it stands for, itself included */
};

enum tree_dialect {
	TREE_STRICT, /* anchors, aliases and tags are refused */
	TREE_LOOSE,  /* anchors, aliases, `<<` merges and tags, as compose files have them; tags are ignored */
};

struct tree_limits {
	size_t bytes;
	size_t nodes;
};

/* As tree_parse, for files that their owner may make large. */
const struct tree_node *tree_parse_within(struct view text, const char *file_name, enum tree_dialect dialect,
					  struct tree_limits limits, struct arena *arena, struct err *err);
/* The root of the only document, in the arena; an empty text is a null scalar. Errors are "file:line:column: …". */
const struct tree_node *tree_parse(struct view text, const char *file_name, enum tree_dialect dialect, struct arena *arena,
				   struct err *err);

/* The value of a key of a map; NULL when absent, null, or `map` is none (or NULL). */
const struct tree_node *tree_find(const struct tree_node *map, const char *key);
bool tree_is_null(const struct tree_node *node); /* nothing, ~ or null without quotes; NULL too */
/* The text of a scalar that is not null, else NULL. */
const char *tree_text(const struct tree_node *node);
/* "a list", "a mapping", "`text`" cut to 40 bytes and cleaned of control characters: for messages. */
void tree_describe(struct buf *out, const struct tree_node *node);

#endif
