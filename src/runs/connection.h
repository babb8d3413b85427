/*
 * connection: an outside service that we are joined to, by what it calls us (a name, an address, settings) and what only we know
 * (secrets): a tracker, a forge, a chat. What may be set is a table by kind.
 *
 * Secrets are kept with the store's rights, are given to the code that needs them, and are never part of what is shown or logged. What comes
 * in at /hooks/ID is for the connection of that id.
 */
#ifndef ASSAY_RUNS_CONNECTION_H
#define ASSAY_RUNS_CONNECTION_H

#include "base/json.h"
#include "runs/runs.h"
#include "store/store.h"

#define CONNECTIONS_MAX 100
#define CONNECTION_KEYS_MAX 16
#define CONNECTION_BYTES_MAX ((size_t)64 << 10) /* of the settings, and of the secrets */
#define CONNECTION_ERROR_MAX ((size_t)400)

/* What can be set for a kind. */
struct connection_key {
	const char *name;
	enum connection_type { CONNECTION_TEXT, CONNECTION_SECRET, CONNECTION_NUMBER, CONNECTION_FLAG, CONNECTION_LIST } type;
	const char *about;
};

struct connection_kind {
	const char *name;
	const char *base; /* where the service is when nothing is said; "": it is nowhere, it only calls us */
	struct connection_key keys[CONNECTION_KEYS_MAX]; /* those of no name end the list */
};

extern const struct connection_kind connection_kinds[];
extern const size_t connection_kind_count;
const struct connection_kind *connection_kind_find(const char *name);

/* Texts are owned. */
struct connection {
	char *id;
	char *kind;
	char *name;            /* unique */
	char *base;            /* "https://api.linear.app": no slash at its end */
	json_t *configuration; /* an object */
	json_t *secrets;       /* an object of texts: not for eyes */
	char *state;           /* "new": nothing has come of it yet; "ready"; "broken": `error` says why */
	char *error;
	int64_t created_ms;
};

void connection_fini(struct connection *connection); /* wipes the secrets */
#define AUTO_CONNECTION __attribute__((cleanup(connection_fini))) struct connection

const char *connection_secret(const struct connection *connection, const char *key); /* NULL when it is not set; borrowed */

/* By id or name. ERR_NOT_FOUND: there is none. */
MUST_USE int connection_read(struct store_tx *tx, const char *id, struct connection *connection, struct err *err);
MUST_USE int connection_load(struct runs *runs, const char *id, struct connection *connection, struct err *err);
/* Ids, the oldest first; of one kind, or all with NULL. Owned by the caller. */
json_t *connection_ids(struct store_tx *tx, const char *kind, struct err *err);
/* Puts members over what is kept; null removes one. Not checked against the table: for what we were given by the service. */
MUST_USE int connection_merge(struct store_tx *tx, const char *id, const json_t *configuration, const json_t *secrets,
			      struct err *err);
/* What came of the last use; `error` NULL: it went well. Written only when it changes something. */
MUST_USE int connection_state_set(struct store_tx *tx, const char *id, const char *error, struct err *err);

/* For the API: {"id", "kind", "name", "base", "configuration", "secrets": [names], "state", "error", "created_ms", "hook": path}; owned by
 * the caller. */
json_t *runs_connection_list(struct runs *runs, struct err *err);
json_t *runs_connection_show(struct runs *runs, const char *id, struct err *err);
/* {"kind", "name"?, "base"?, "configuration"?, "secrets"?} */
json_t *runs_connection_make(struct runs *runs, const json_t *request, struct err *err);
/* The same without a kind: what is said is changed, null removes. */
json_t *runs_connection_change(struct runs *runs, const char *id, const json_t *request, struct err *err);
MUST_USE int runs_connection_remove(struct runs *runs, const char *id, struct err *err);
/* Whoever allowed it: [{"account", "name", "self", "scopes", "ends_ms"}]. */
json_t *runs_connection_accounts(struct runs *runs, const char *id, struct err *err);
/* What it lacks: [{"connection", "what", "state": "ok|note|missing", "says", "do"?}]. Asks the service: blocks. */
json_t *runs_connection_check(struct runs *runs, const char *id, struct err *err);
/* [{"kind", "base", "keys": [{"name", "type", "about"}]}] */
json_t *runs_connection_kinds(void);

#endif
