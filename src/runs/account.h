/*
 * account: what a workspace, site or team of an outside service allowed us: its id there, who we are in it, and the tokens. One connection
 * has as many as installed it. Tokens are kept with the store's rights and asked for through here: they are renewed shortly before they
 * end, one at a time, and stored before they are used.
 */
#ifndef ASSAY_RUNS_ACCOUNT_H
#define ASSAY_RUNS_ACCOUNT_H

#include "runs/connection.h"

#define ACCOUNTS_MAX 1000

struct account {
	char *connection;
	char *account;
	char *name;
	char *self; /* who we are there */
	char *scopes;
	json_t *secrets; /* {"access_token", "refresh_token"?}: not for eyes */
	int64_t ends_ms; /* of the access token; 0: never */
};

void account_fini(struct account *account); /* wipes the secrets */
#define AUTO_ACCOUNT __attribute__((cleanup(account_fini))) struct account

/* ERR_NOT_FOUND: the service is not connected for it. */
MUST_USE int account_read(struct store_tx *tx, const char *connection, const char *account, struct account *out, struct err *err);
MUST_USE int account_write(struct store_tx *tx, const struct account *account, struct err *err);
/* [{"account", "name", "self", "scopes", "ends_ms"}] of a connection; owned by the caller. */
json_t *account_list(struct store_tx *tx, const char *connection, struct err *err);

#endif
