/*
 * xml: just enough XML to read the reports of test runners, from hostile bytes. A pull reader over borrowed bytes: no document type
 * declarations are followed, no entities but the five predefined and numbers, nothing nested deeper than a fixed depth. Lenient where
 * runners are careless: what cannot be read ends the document, and what came before it counts.
 */
#ifndef ASSAY_VERIFY_XML_H
#define ASSAY_VERIFY_XML_H

#include "base/buf.h"

#define XML_ATTRIBUTES_MAX 32
#define XML_DEPTH_MAX 64

enum xml_event {
	XML_OPEN,  /* name and attributes are set */
	XML_CLOSE, /* name is set; comes for <a/> too */
	XML_TEXT,  /* text is set, still encoded unless `literal` (CDATA) */
	XML_END,   /* of the document; `broken` says whether it ended in the middle */
};

struct xml_attribute {
	struct view name;  /* without its namespace prefix */
	struct view value; /* still encoded */
};

struct xml {
	struct view rest;
	struct view name;
	struct view text;
	bool literal;
	bool broken;
	struct xml_attribute attributes[XML_ATTRIBUTES_MAX]; /* more are dropped */
	size_t attribute_count;
	int depth;
	bool close_pending;
};

struct xml xml_new(struct view bytes);
enum xml_event xml_next(struct xml *xml);
/* Encoded; empty when absent. */
struct view xml_attribute(const struct xml *xml, const char *name);
/* Appends with entities replaced; unknown ones stay as they are, bytes that are no UTF-8 too. */
void xml_decode(struct buf *out, struct view encoded);

#endif
