/*
 * schema: what assay.yaml may contain, as tables: a section is a mapping, a field one of its keys. The parser walks them, and a test
 * holds doc/assay.schema.json against them ($defs/<section>/properties/<field>).
 */
#ifndef ASSAY_BLUEPRINT_SCHEMA_H
#define ASSAY_BLUEPRINT_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct reader;
struct tree_node;

struct field {
	const char *name;
	const char *expected; /* "a number from 1 to 65535": for messages */
	/* Reads the value (never null) into `record + offset`. */
	int (*set)(struct reader *reader, const struct field *field, const struct tree_node *value, void *record);
	size_t offset;
	size_t count_offset; /* of a list's size_t count */
	int64_t least;       /* of a number */
	int64_t most;
	const char *const *words;      /* of an enumeration, in its order; ends with NULL */
	const struct section *section; /* of a mapping, or of each member of one */
	bool required;
};

struct section {
	const char *name;
	const struct field *fields; /* ends with name NULL */
	size_t size;                /* of the record */
};

/* All of them, the whole file ("blueprint") first; ends with NULL. */
extern const struct section *const schema_sections[];

#endif
