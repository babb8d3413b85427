/* record: signed records as files and of runs, for those who read them. */
#ifndef ASSAY_CLI_RECORD_H
#define ASSAY_CLI_RECORD_H

#include "base/json.h"

#define RECORD_BYTES_MAX ((size_t)18 << 20)

/* The envelope in a file (the last line of one with several), or of a run, whose server is asked. */
MUST_USE int record_envelope(const char *program, const char *what, struct buf *envelope, struct err *err);
/* What it says, unchecked; owned by the caller. */
json_t *record_payload(struct view envelope, struct err *err);
/* The public key in a file, or, when `path` is NULL, this server's. */
MUST_USE int record_key_read(const char *program, const char *path, struct buf *pem, struct err *err);

#endif
