/*
 * openapi: what an OpenAPI 3 document says can be asked (https://spec.openapis.org/oas/v3.1.0). Only what a request is made of is read;
 * `$ref` is followed inside the document, and what leads in a circle ends.
 */
#ifndef ASSAY_SESSION_OPENAPI_H
#define ASSAY_SESSION_OPENAPI_H

#include "base/json.h"

#define OPENAPI_OPERATIONS_MAX ((size_t)2000)
#define OPENAPI_EXAMPLES_MAX ((size_t)20) /* of one body */
#define OPENAPI_VALUES_MAX 5000           /* schemas that are followed for one value */
#define OPENAPI_DEPTH_MAX 24              /* of a schema that is followed */

/* Is the document one of OpenAPI 3? */
bool openapi_is(const json_t *document);
/*
 * [{"method": "GET", "path": "/base/orders/{id}",
 *   "parameters": [{"in": "path|query|header|cookie", "name", "required": bool, "schema": {…}, "example"?: any}],
 *   "body": {"type": media type, "schema": {…}, "required": bool, "examples": [any]} | null,
 *   "answer": {"status": n, "type"?: media type, "example"?: any}}], in the document's order. Owned by the caller.
 */
json_t *openapi_operations(const json_t *document, struct err *err);
/* The schema that a `$ref` (or none) stands for. Borrowed; NULL when it leads nowhere. */
const json_t *openapi_resolve(const json_t *document, const json_t *node);
/* A value of the schema: its example, default, first of its enum, or the plainest of its type; with `only_given`, NULL where the document
 * gives none. Owned by the caller. */
json_t *openapi_value(const json_t *document, const json_t *schema, bool only_given);
/* A value as the text of a parameter: lists by commas. Owned by the caller. */
char *openapi_text(const json_t *value);

#endif
