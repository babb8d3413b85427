/*
 * postgres_wire: the little of PostgreSQL's protocol 3.0 that asks simple statements of a server which trusts us
 * (https://www.postgresql.org/docs/current/protocol.html, 55.2 and 55.7). The server's bytes are hostile.
 */
#ifndef ASSAY_DATA_POSTGRES_WIRE_H
#define ASSAY_DATA_POSTGRES_WIRE_H

#include "base/json.h"
#include "data/wire.h"

/* Takes one whole message off the front of `in`: 1, with its type and body; 0 when more bytes are needed; -1 when they are none. */
MUST_USE int postgres_message_take(struct view *in, char *type, struct view *body, struct err *err);
/* DataRow's body as an array of texts and nulls, owned by the caller. */
json_t *postgres_row_parse(struct view body, struct err *err);
/* ErrorResponse's body: the five characters of its SQLSTATE (or empty) and its message. */
void postgres_error_parse(struct view body, struct view *code, struct view *message);

/* Start-up until ready for a query. ERR_RETRY while the server starts or stops; ERR_NOT_FOUND: no such database. */
MUST_USE int postgres_wire_start(struct wire *wire, const char *user, const char *database, struct err *err);
/* Runs one simple query. The rows, at most rows_max, are appended to `rows` (may be NULL); *cut says that there were more. */
MUST_USE int postgres_wire_query(struct wire *wire, const char *sql, json_t *rows, size_t rows_max, bool *cut, struct err *err);

#endif
