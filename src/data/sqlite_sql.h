/* sqlite_sql: a session with assay-sqlite, which has the functions that SQLite lacks (programs/assay_sqlite_file.h); triggers do not act in it. */
#ifndef ASSAY_DATA_SQLITE_SQL_H
#define ASSAY_DATA_SQLITE_SQL_H

#include "data/engine.h"
#include "data/sql.h"

/* As engine_ops.sql. */
MUST_USE int sqlite_sql_open(const struct engine_target *target, int fd, struct sql *sql, struct err *err);
MUST_USE int sqlite_sql_open_for(const struct engine_target *target, int fd, int64_t limit_ms, struct sql *sql, struct err *err);

#endif
