/*
 * local: environments on this machine, made by a keeper process that this starts and, should it end, starts again (sandboxes do not
 * survive that, environments and volumes do).
 *
 * Calls may come from any thread but a loop's.
 */
#ifndef ASSAY_SANDBOX_LOCAL_LOCAL_H
#define ASSAY_SANDBOX_LOCAL_LOCAL_H

#include "sandbox/provider.h"

struct local_options {
	const char *state_dir; /* absolute; made if absent; one keeper at a time */
	const char *program;   /* run with "keeper" as first argument; NULL: /proc/self/exe */
	/* An OCI runtime that makes the sandboxes: "runc", "crun" or a path; NULL: our own code, which is faster. */
	const char *runtime;
};

/* Starts the keeper and waits until it is ready (a first start makes the pool: up to some seconds). ERR_CONFLICT when another keeper
 * holds the state, ERR_DENIED where an ordinary user may not make a user namespace. */
MUST_USE int local_provider_open(const struct local_options *options, struct provider *provider, struct err *err);
/* Ends every sandbox and the keeper; environments and volumes stay on disk. */
void local_provider_close(struct provider provider);
/* Does the keeper run? Starts it when it has died; an error says why it does not. Any thread. */
MUST_USE int local_provider_look(struct provider provider, struct err *err);
/* The keeper's pid, for tests and reports. */
pid_t local_provider_keeper(struct provider provider);

/* [{"check": text, "ok": bool, "level": "needed|better", "found": text, "mend": text}]: what this machine lacks for sandboxes, and how
 * to get it. Needs no keeper. For an ordinary user it forks: only in a program with one thread. Owned by the caller. */
json_t *local_doctor(const char *state_dir);

#endif
