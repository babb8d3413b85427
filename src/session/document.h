/* document: a description that others write in JSON or in YAML, as one JSON value. Bounded; an error says file, line and column. */
#ifndef ASSAY_SESSION_DOCUMENT_H
#define ASSAY_SESSION_DOCUMENT_H

#include "base/json.h"

#define DOCUMENT_BYTES_MAX ((size_t)16 << 20)
#define DOCUMENT_NODES_MAX ((size_t)400000) /* of a YAML one, aliases unfolded */

/* Owned by the caller. In YAML, scalars without quotes are null, truths and numbers as JSON has them (YAML 1.2's core schema). */
json_t *document_parse(struct view text, const char *file_name, struct err *err);

#endif
