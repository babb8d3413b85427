/*
 * openapi: the OpenAPI 3.1 document of the API, made from the same rows that answer it.
 *
 * Types are words: `text`, `line`, `integer`, `number`, `flag`, `time` (milliseconds since 1970), `object`, `any`, `one|of|these`, the name
 * of a shape, or any of them in brackets for a list. A member is `NAME TYPE`; `NAME? TYPE` may be absent, `NAME TYPE?` may be null, and
 * `...` says that there may be others.
 */
#ifndef ASSAY_WEB_OPENAPI_H
#define ASSAY_WEB_OPENAPI_H

#include "base/json.h"

#define SHAPE_MEMBERS_MAX 28

struct shape {
	const char *name;
	const char *does;
	const char *members[SHAPE_MEMBERS_MAX];
};
extern const struct shape shapes[];
extern const size_t shape_count;

struct row;
/* Owned by the caller. Rows without `does` are left out. */
json_t *openapi_make(const struct row *rows, size_t row_count, const char *server);

#endif
