/*
 * mysql_wire: the little of MySQL's client/server protocol that asks simple statements of a server which trusts us
 * (https://mariadb.com/kb/en/clientserver-protocol/: connection phase, COM_QUERY, text result sets). The server's bytes are hostile.
 * A connector library cannot be given a socket that is connected already, and ours are made within the database's room.
 */
#ifndef ASSAY_DATA_MYSQL_WIRE_H
#define ASSAY_DATA_MYSQL_WIRE_H

#include "base/json.h"
#include "data/wire.h"

#define MYSQL_STATEMENT_MAX ((size_t)15 << 20) /* one packet */

/* Takes one whole packet off the front of `in`: 1, with its number and body; 0 when more bytes are needed; -1 when it is longer than
 * anything asked for. */
MUST_USE int mysql_packet_take(struct view *in, uint8_t *number, struct view *body, struct err *err);
/* Takes a length-encoded integer off the front; false when there is none (or NULL's sign). */
bool mysql_length_take(struct view *in, uint64_t *length);
/* A row of a text result set as an array of `columns` texts and nulls, owned by the caller. */
json_t *mysql_row_parse(struct view body, size_t columns, struct err *err);
/* ERR_Packet's body: its number and message. */
void mysql_error_parse(struct view body, unsigned *code, struct view *message);

/* Handshake until ready for a statement, with no password, nobody's database chosen. ERR_RETRY while the server starts or stops. */
MUST_USE int mysql_wire_start(struct wire *wire, const char *user, struct err *err);
/* Runs one statement. The rows, at most rows_max, are appended to `rows` (may be NULL); *cut says that there were more. ERR_NOT_FOUND: no
 * such database. */
MUST_USE int mysql_wire_query(struct wire *wire, const char *sql, json_t *rows, size_t rows_max, bool *cut, struct err *err);

#endif
