/*
 * copy: everything in a store as lines of JSON, and back: from any kind of store into any other, of the same form.
 *
 * The first line is {"assay": "store", "form": N, "time_ms"}; then for each table {"table", "columns"} and a line for each of its rows, an
 * array. It is one moment's state, and the store is written to meanwhile.
 */
#ifndef ASSAY_STORE_COPY_H
#define ASSAY_STORE_COPY_H

#include "store/store.h"

#define STORE_LINE_BYTES_MAX ((size_t)128 << 20) /* of one row */

/* Writes to the descriptor; blocks. *rows is how many. */
MUST_USE int store_copy_out(struct store *store, int fd, int64_t *rows, struct err *err);
/* Into a store that holds nothing yet, all or nothing. ERR_CONFLICT when it holds something, ERR_INVALID when the lines are of another
 * form or are none. */
MUST_USE int store_copy_in(struct store *store, int fd, int64_t *rows, struct err *err);

#endif
