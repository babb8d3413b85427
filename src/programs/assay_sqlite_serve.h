/*
 * assay_sqlite_serve: statements for the environment manager, by the simple queries of PostgreSQL's protocol, as far as
 * data/postgres_wire asks them: a start-up message, Query, Terminate; answered by AuthenticationOk, DataRow (all values as text),
 * CommandComplete, ErrorResponse and ReadyForQuery (https://www.postgresql.org/docs/15/protocol-message-formats.html).
 */
#ifndef ASSAY_PROGRAMS_ASSAY_SQLITE_SERVE_H
#define ASSAY_PROGRAMS_ASSAY_SQLITE_SERVE_H

#include <stdint.h>

/* Listens on 127.0.0.1 until SIGTERM, each visitor in a process of its own. The exit code. */
int sqlite_serve(const char *path, uint16_t port);

#endif
