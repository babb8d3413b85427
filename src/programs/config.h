/*
 * config: /etc/assay/assay.conf, or $XDG_CONFIG_HOME/assay/assay.conf of an ordinary user; ASSAY_CONFIG names another. YAML, one key for
 * each setting. A key stands for an environment variable and is read as if that were set: what is set already wins, an option of the
 * command line wins over both. So every command, and every process that it starts, agrees on where the state is.
 */
#ifndef ASSAY_PROGRAMS_CONFIG_H
#define ASSAY_PROGRAMS_CONFIG_H

#include "base/json.h"

/* Sets the variables. No file where it usually is: nothing. ERR_DENIED when others than the owner may write it, ERR_INVALID with file,
 * line and column for what is wrong in it. Before any thread is started. */
MUST_USE int config_load(struct err *err);
/* Reads the file again, while the program runs: the names of the keys that changed, owned by the caller. NULL: something is wrong in it, and all stays
 * as it was. The environment is left alone: only config_text() and config_number() say what is new. Any thread. */
json_t *config_reload(struct err *err);
char *config_text(const char *key); /* owned by the caller; NULL: nothing is said */
/* What a key of numbers or times (in ms) says. */
int64_t config_number(const char *key, int64_t fallback);
/* What counts: each key with its value, and where that is from, as a file that can be loaded. */
void config_dump(struct buf *out);

#endif
