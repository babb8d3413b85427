/*
 * fields: two JSON values compared field by field, with types and order; lists of things with an identity are aligned by it, so that one
 * that is missing does not make all the others differ. Paths are of the form "items[].price", indexes collapsed.
 */
#ifndef ASSAY_VERIFY_FIELDS_H
#define ASSAY_VERIFY_FIELDS_H

#include "base/json.h"

enum difference_kind {
	DIFFERENCE_MISSING, /* a field is gone */
	DIFFERENCE_ADDED,
	DIFFERENCE_TYPE, /* null, boolean, integer, real, string, list, object */
	DIFFERENCE_VALUE,
	DIFFERENCE_FORMAT,  /* a field that differs between runs of the same code is not in its class any more */
	DIFFERENCE_ELEMENT, /* a list lost an element that can be named by its identity; or gained one: `expected` is NULL */
	DIFFERENCE_LENGTH,
	DIFFERENCE_ORDER, /* the same elements in another order */
};

struct difference {
	enum difference_kind kind;
	const char *path;       /* "" for the whole value */
	const json_t *expected; /* borrowed, NULL: absent */
	const json_t *got;
};

struct fields_rules {
	/* The class of a field known to differ between runs of the same code, or NULL. Of a list, `path` with "#length" or "#order"; of a
	 * field that comes and goes, with "#presence". */
	const json_t *(*noise)(void *self, const char *path);
	void (*report)(void *self, const struct difference *difference);
	void *self;
};

void fields_compare(const json_t *expected, const json_t *got, const struct fields_rules *rules);
const char *difference_name(enum difference_kind kind);
/* "integer", "real number", "list": for people. */
const char *json_type_name(const json_t *value);

#endif
