/*
 * linear: runs given by Linear: its webhooks in (a row of inbox.c), what is said there out (a row of effect.c), and how a workspace allows it.
 *
 * Each workspace that installed the application is an account, with its own tokens and its own id for us. An id of the outbox's operation is
 * the id of what is created there, so that a repetition creates nothing.
 */
#ifndef ASSAY_RUNS_LINEAR_H
#define ASSAY_RUNS_LINEAR_H

#include "runs/account.h"

/* Asks as the account (trackers/linear.h), with a token that is renewed when it must be. Blocks. */
struct linear_said;
MUST_USE int linear_ask(struct runs *runs, const char *connection, const char *account, const char *operation,
			const json_t *variables, json_t **data, struct linear_said *said, struct err *err);

/* An issue that a person names here ("ENG-12"): fetched, kept, and a session opened on it, so that what its run does is seen there. Blocks.
 * Owned by the caller, as tracker_fetch(). ERR_NOT_FOUND: no workspace has it. */
json_t *linear_import(struct runs *runs, const char *item, const char *repository, struct err *err);

/* The page where an admin of a workspace allows it; `redirect` is ours. Owned by the caller. */
char *runs_linear_permission(struct runs *runs, const char *connection, const char *redirect, struct err *err);
/* What came back from there: the workspace's tokens are kept. {"account", "name"}; owned by the caller. ERR_DENIED: the state is not one of
 * ours, or is too old. */
json_t *runs_linear_allowed(struct runs *runs, const char *state, const char *code, struct err *err);
/* By the application's own right, for one's own workspace: the same answer. */
json_t *runs_linear_own(struct runs *runs, const char *connection, struct err *err);

#endif
