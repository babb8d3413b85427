/* postgres_rows: marks of a PostgreSQL, and what was written since (data/engine.h). */
#ifndef ASSAY_DATA_POSTGRES_ROWS_H
#define ASSAY_DATA_POSTGRES_ROWS_H

#include "data/engine.h"

json_t *postgres_mark(const struct engine_target *target, int fd, const struct engine_marking *marking, struct err *err);
json_t *postgres_rows(const struct engine_target *target, int fd, const json_t *mark, struct err *err);

/* An identifier or a literal, with its quote doubled inside. */
void postgres_add_quoted(struct buf *out, char quote, const char *text);

#endif
