/*
 * sql_rows: what was written since a mark, for engines that do not keep when a row was: every row of then and now, by the digest of its
 * values, is compared by its primary key (a table without one: by all of it). A table of more than SQL_MARK_ROWS_MAX rows is not
 * compared, and the answer says that it is cut.
 */
#ifndef ASSAY_DATA_SQL_ROWS_H
#define ASSAY_DATA_SQL_ROWS_H

#include "data/sql.h"

#define SQL_MARK_ROWS_MAX ((size_t)200000)

/* Owned by the caller. */
json_t *sql_rows_mark(struct sql *sql, struct err *err);
/* As engine_ops.rows promises, owned by the caller. */
json_t *sql_rows_since(struct sql *sql, const json_t *mark, struct err *err);

#endif
