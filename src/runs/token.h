/*
 * token: who allowed us what at an outside service, and the tokens that came of it. A workspace, site or team is an account (account.h): a
 * person allows it on the service's page (OAuth), or it is our own and the connection's secrets are enough. How a service gives
 * and renews tokens is its row of struct token_ops; all of them are asked for through here, renewed one at a time, and stored before
 * they are used.
 */
#ifndef ASSAY_RUNS_TOKEN_H
#define ASSAY_RUNS_TOKEN_H

#include "base/world.h"
#include "runs/account.h"

/* What a service said beside its answer. */
struct token_said {
	int64_t blocked_until_ms; /* with ERR_LIMIT */
	bool expired;             /* it refused the token itself */
};

/* *answer (owned) is OAuth's {"access_token", "expires_in", "refresh_token"?, "scope"?}: not for eyes. All block. */
struct token_ops {
	/* Where a person allows it; owned. NULL: there is no such page. */
	char *(*authorize_url)(const struct connection *connection, const char *redirect, const char *state, const char *verifier);
	int (*of_code)(const struct connection *connection, const char *code, const char *redirect, const char *verifier,
		       json_t **answer, struct err *err);
	int (*renew)(const struct connection *connection, const char *refresh, json_t **answer, struct err *err);
	/* By the connection's own right. ERR_INVALID: it has none, and what to set. */
	int (*own)(const struct connection *connection, json_t **answer, struct err *err);
	bool renews_own; /* own() gives a token that ends, and is called again then */
	/* Whose it is: fills account, name, self. *made (owned, may stay NULL): settings that the connection keeps of it. */
	int (*viewer)(struct world world, const struct connection *connection, const json_t *answer, struct account *account,
		      json_t **made, struct err *err);
};

/* A call of an account: `act` is given a token that holds; when it says that it is refused, a new one, once. */
struct token_call {
	const char *connection;
	const char *account;
	int (*act)(void *self, const struct connection *connection, const char *token, struct token_said *said, struct err *err);
	void *self;
};
/* Blocks. Where only a person can renew the permission the error is ERR_LIMIT, so that nothing is lost, and the connection says why. */
MUST_USE int token_use(struct runs *runs, const struct token_call *call, struct token_said *said, struct err *err);

/* By the connection's own right, with `own` or where it has no other: {"account", "name"}. Else the page where an admin of a workspace allows
 * it: {"url", "redirect"}; `redirect` is ours. Owned by the caller. */
json_t *runs_permission(struct runs *runs, const char *connection, const char *redirect, bool own, struct err *err);
/* What came back from there: the workspace's tokens are kept. {"account", "name"}; owned by the caller. ERR_DENIED: the state is not one of
 * ours, or is too old. */
json_t *runs_allowed(struct runs *runs, const char *state, const char *code, struct err *err);

#endif
