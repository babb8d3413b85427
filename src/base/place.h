/*
 * place: where Assay keeps its state and its sockets. State: ASSAY_STATE, else /var/lib/assay for root, else
 * $XDG_STATE_HOME/assay (default ~/.local/state/assay). Sockets: <ASSAY_STATE>/run when that is set, else /run/assay for root, else
 * $XDG_RUNTIME_DIR/assay, else <state>/run. Nothing is made here.
 */
#ifndef ASSAY_BASE_PLACE_H
#define ASSAY_BASE_PLACE_H

#include "base/err.h"

/* Absolute, owned by the caller; NULL when there is neither ASSAY_STATE nor a home directory. */
char *place_state(struct err *err);
char *place_runtime(struct err *err);
/* <runtime>/serve.sock: what the command line talks to. */
char *place_serve_socket(struct err *err);

#endif
