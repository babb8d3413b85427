/*
 * import: what others recorded or wrote down, as a session: HAR 1.2, the examples of an OpenAPI 3 document, a Postman collection (v2.1), an
 * access log (Common or Combined). Bounded; an error says file and place. What cannot become a request is left out, with a line for people.
 */
#ifndef ASSAY_SESSION_IMPORT_H
#define ASSAY_SESSION_IMPORT_H

#include "http/har.h"

#define IMPORT_BYTES_MAX HAR_BYTES_MAX
#define IMPORT_LEFT_OUT_MAX ((size_t)200) /* lines; then their number */
#define IMPORT_HOST "http://app"          /* of requests that name none: only path and query are replayed */

enum import_form { IMPORT_GUESS, IMPORT_HAR, IMPORT_OPENAPI, IMPORT_POSTMAN, IMPORT_LOG };

struct import {
	struct session session;
	json_t *left_out; /* [text] */
};

/* "har", "openapi", "postman", "log"; NULL of IMPORT_GUESS. */
const char *import_form_name(enum import_form form);
/* `form` may be IMPORT_GUESS: then it is what the text looks like. On failure there is nothing to free. */
MUST_USE int import_parse(struct view text, const char *file_name, enum import_form form, struct import *import, struct err *err);
void import_fini(struct import *import);
#define AUTO_IMPORT __attribute__((cleanup(import_fini))) struct import

#endif
