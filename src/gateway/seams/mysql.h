/*
 * mysql: reads along with a connection of the MySQL protocol (MySQL's and MariaDB's "Client/Server Protocol", version 10) and tells of each
 * statement when it has ended: command "query", "execute" (of a prepared one, with its text) or "prepare" (one that failed), its text, "ROWS 3" or
 * "OK 2" (changed), or the error: "1064 You have an error …". Where the two agree on TLS or compression it says so once and is blind.
 */
#ifndef ASSAY_GATEWAY_SEAMS_MYSQL_H
#define ASSAY_GATEWAY_SEAMS_MYSQL_H

#include "gateway/seams/reader.h"

#define MYSQL_STATEMENT_KEPT_MAX 8192
#define MYSQL_PENDING_MAX 4096  /* statements of one connection without an answer */
#define MYSQL_PREPARED_MAX 4096 /* of one connection */

extern const struct reader_ops reader_mysql;

#endif
