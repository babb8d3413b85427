/*
 * builtin: the forge that needs no account: pull requests in the store, branches in a bare repository per project
 * (<state>/repos/NAME.git), merged without a work tree and without anything of the repository running on the host.
 */
#ifndef ASSAY_FORGES_BUILTIN_H
#define ASSAY_FORGES_BUILTIN_H

#include "base/world.h"
#include "forges/forge.h"
#include "store/store.h"

/* Borrows the store; `repositories` is the folder of the bare repositories, copied. Free with forge_builtin_free. */
struct forge forge_builtin_new(struct store *store, const char *repositories, struct world world);
void forge_builtin_free(struct forge forge);

/* It was merged (as `hash`) or closed elsewhere: in the caller's transaction. *changed: it was open here until now. */
MUST_USE int forge_builtin_end_in(struct store_tx *tx, int64_t number, bool merged, const char *hash, bool *changed,
				  struct err *err);

#endif
