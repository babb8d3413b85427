/*
 * checkout: the user's own git checkout, which the command line reads but never obeys: nothing of its hooks, filters or
 * configuration runs.
 */
#ifndef ASSAY_CLI_CHECKOUT_H
#define ASSAY_CLI_CHECKOUT_H

#include "cli/api.h"

/* The top of the checkout that `dir` is in (NULL: the current directory), absolute, owned by the caller. */
char *checkout_find(const char *dir, struct err *err);
/* Does the work tree differ from `commit`? false also when that cannot be told. */
bool checkout_changed(const char *top, const char *commit);
/* Puts it into the server at `revision` (NULL: HEAD): the answer of POST /repositories, owned by the caller. Says on standard error
 * when there are uncommitted changes, which are left out. `name` may be NULL. With `move` the
 * project's main follows it. */
json_t *checkout_put(struct api *api, const char *program, const char *top, const char *revision, const char *name, bool move,
		     struct err *err);

#endif
