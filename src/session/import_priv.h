/* What the forms of import share. */
#ifndef ASSAY_SESSION_IMPORT_PRIV_H
#define ASSAY_SESSION_IMPORT_PRIV_H

#include "session/import.h"

void import_left_out(struct import *import, const char *format, ...) PRINTF_LIKE(2, 3);
/* Adds it, numbered, unless there are HAR_ENTRIES_MAX; takes what it owns either way. */
void import_add(struct import *import, struct exchange *exchange);
/* A body as a session has it. */
void import_body(struct exchange_body *body, struct view bytes);
MUST_USE int import_openapi(const json_t *document, struct import *import, struct err *err);
MUST_USE int import_postman(const json_t *collection, struct import *import, struct err *err);
MUST_USE int import_log(struct view text, struct import *import, struct err *err);

#endif
