/* mysql_sql: a session (data/sql.h) with MariaDB. */
#ifndef ASSAY_DATA_MYSQL_SQL_H
#define ASSAY_DATA_MYSQL_SQL_H

#include "data/engine.h"
#include "data/sql.h"

/* Its statements have so long together. */
MUST_USE int mysql_sql_open_for(const struct engine_target *target, int fd, int64_t limit_ms, struct sql *sql, struct err *err);
/* As long as masks may take. */
MUST_USE int mysql_sql_open(const struct engine_target *target, int fd, struct sql *sql, struct err *err);

#endif
