/*
 * postgres: reads along with a connection of the PostgreSQL protocol (version 3, "Message Flow" and "Message Formats" of its manual) and
 * tells of each statement when it has ended: command "query" or "execute", its text, the command tag or "42P01 relation … does not exist".
 * TLS, GSS or a broken frame turn it blind.
 */
#ifndef ASSAY_GATEWAY_SEAMS_POSTGRES_H
#define ASSAY_GATEWAY_SEAMS_POSTGRES_H

#include "gateway/seams/reader.h"

#define POSTGRES_STATEMENT_KEPT_MAX 8192
#define POSTGRES_PENDING_MAX 65536 /* statements of one connection without an answer */
#define POSTGRES_PREPARED_MAX 4096 /* named statements, and portals, of one connection */

extern const struct reader_ops reader_postgres;

#endif
