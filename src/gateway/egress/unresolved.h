/*
 * unresolved: names that sandboxes asked for and that no rule lets resolve. Most programs see no more of a denied host than that, so this is where it
 * is written down: a verdict in the ledger and a row among the exchanges (`resolve`), and word to the control plane; the same name of one
 * sandbox once a minute, and UNRESOLVED_BURST names, then UNRESOLVED_PER_SECOND, in all: of those beyond, how many they were.
 */
#ifndef ASSAY_GATEWAY_EGRESS_UNRESOLVED_H
#define ASSAY_GATEWAY_EGRESS_UNRESOLVED_H

#include "gateway/env.h"

#define UNRESOLVED_BURST 256
#define UNRESOLVED_PER_SECOND 10
#define UNRESOLVED_METHOD "resolve" /* of such a row in the ledger */

/* `host` is canonical; `verdict` says why. On the loop, never waits. */
void unresolved_note(struct env *env, const char *sandbox, const char *host, const struct egress_verdict *verdict);
void unresolved_free(struct env *env);

#endif
