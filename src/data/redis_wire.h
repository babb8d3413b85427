/* redis_wire: commands and replies of Redis (RESP 2, https://redis.io/docs/reference/protocol-spec/). The server's bytes are hostile. */
#ifndef ASSAY_DATA_REDIS_WIRE_H
#define ASSAY_DATA_REDIS_WIRE_H

#include "base/json.h"
#include "data/wire.h"

/* Takes one whole reply off the front of `in`: 1 with *reply (texts, integers, nulls, arrays; owned by the caller); 0 when more bytes
 * are needed; -1 when they are none. *is_error: the reply is an error, its text in *reply. Bytes that are no UTF-8 become U+FFFD. */
MUST_USE int redis_reply_take(struct view *in, json_t **reply, bool *is_error, struct err *err);

/* A command and its reply, owned by the caller; an error reply is ERR_INVALID, LOADING and the like ERR_RETRY. */
json_t *redis_wire_command(struct wire *wire, const char *const *arguments, size_t count, struct err *err);

#endif
