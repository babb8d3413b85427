/*
 * backup: all that a control plane cannot make again, in one file, and back. The file is a tar archive: store.jsonl (store/copy.h), and of the
 * state the repositories, the vault's keys and sealed credentials, the ledger and recorded sessions. Environments are no part of it: a run
 * that goes on gets a new one. Whoever has the file has the keys: it is written for its owner alone.
 */
#ifndef ASSAY_PROGRAMS_BACKUP_H
#define ASSAY_PROGRAMS_BACKUP_H

#include "base/err.h"

/* Also while the server runs: the store is one moment's, and what it names in the repositories is there. `store` NULL: the state's
 * own. The file appears whole or not at all. */
MUST_USE int backup_make(const char *state_dir, const char *store, const char *file, struct err *err);
/* Into a state and a store that hold nothing. ERR_CONFLICT when they do, or when a server runs on them. */
MUST_USE int backup_restore(const char *state_dir, const char *store, const char *file, struct err *err);

#endif
