/*
 * h2_section: the header section of HTTP/2 that is coming in, field by field: what of it is pseudo, what is a field, and cookies put together again.
 * For h2.c, which holds the limits.
 */
#ifndef ASSAY_HTTP_H2_SECTION_H
#define ASSAY_HTTP_H2_SECTION_H

#include "http/h2.h"

/* Where a text lies in the section's bytes. */
struct span {
	size_t at, length;
};

/* The header section that is coming in. */
struct section {
	struct buf bytes;
	struct span names[H2_FIELDS_MAX];
	struct span values[H2_FIELDS_MAX];
	size_t count;
	size_t total; /* as RFC 9113 counts */
	struct span method, scheme, authority, path, status, host;
	bool hosts_differ;
	struct buf cookie;
};

struct section *section_new(void);
void section_free(struct section *section); /* NULL is fine */
void section_clear(struct section *section);
void section_add(struct section *section, struct view name, struct view value);
/* The whole, in `fields`; views live until the next call. Cookies come last. */
struct h2_head section_head(struct section *section, struct h2_field fields[H2_FIELDS_MAX + 1], bool end);

#endif
