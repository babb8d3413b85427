/* Tokens of Linear's workspaces: allowed by a person, renewed, used. */
#include <pthread.h>
#include <stdlib.h>
#include <strings.h>

#include "base/scope.h"
#include "runs/linear.h"
#include "runs/runs_priv.h"
#include "trackers/linear.h"

#define EARLY_MS ((int64_t)300 * 1000)
#define PERMISSION_MS ((int64_t)600 * 1000)
#define PERMISSIONS_MAX 1000
#define AGAIN_MS ((int64_t)60 * 1000) /* what waits for a token that a person must renew is tried so often */

static pthread_mutex_t renewing = PTHREAD_MUTEX_INITIALIZER; /* one at a time: a second request would end the first one's token */

static struct linear_client client_of(const struct connection *connection)
{
	return (struct linear_client){connection->base, json_text(connection->configuration, "client_id", ""),
				      connection_secret(connection, "client_secret")};
}

static const char *scopes_of(const struct connection *connection)
{
	return json_text(connection->configuration, "scopes", LINEAR_SCOPES);
}

/* Whose the token is; *account gets everything but the connection. */
static int viewer_take(const struct connection *connection, const json_t *answer, int64_t now_ms, struct account *account,
		       struct err *err)
{
	const struct linear_access access = {connection->base, json_text(answer, "access_token", "")};
	struct linear_said said;
	AUTO_JSON data = NULL;
	const json_t *workspace;

	if (linear_call(&access, "Viewer", NULL, now_ms, &data, &said, err))
		return err_prefix(err, "asking who we are");
	workspace = json_member(data, "organization");
	account->account = text_copy(json_text(workspace, "id", NULL));
	account->name = text_copy(json_text(workspace, "name", ""));
	account->self = text_copy(json_text(json_member(data, "viewer"), "id", NULL));
	if (!account->account || !account->self)
		return err_set(err, ERR_BROKEN, "Linear does not say whose the token is");
	return 0;
}

static void answer_take(struct account *account, const json_t *answer, int64_t now_ms)
{
	int64_t seconds = json_number(answer, "expires_in", 0);

	json_decref(account->secrets);
	account->secrets = json_pack("{s:s, s:s*}", "access_token", json_text(answer, "access_token", ""), "refresh_token",
				     json_text(answer, "refresh_token", NULL));
	account->ends_ms = seconds > 0 && seconds < INT64_C(400) * 86400 ? now_ms + seconds * 1000 : 0;
	if (json_text(answer, "scope", NULL)) {
		free(account->scopes);
		account->scopes = text_copy(json_text(answer, "scope", ""));
	}
}

static int account_store(struct runs *runs, const struct account *account, struct err *err)
{
	AUTO_TX tx = {0};

	if (store_begin(runs->store, &tx, err) || account_write(&tx, account, err) ||
	    connection_state_set(&tx, account->connection, NULL, err))
		return -1;
	return store_commit_synced(&tx, err);
}

static int connected(struct runs *runs, const struct connection *connection, const json_t *answer, json_t **shown, struct err *err)
{
	int64_t now_ms = world_now_ms(runs->options.world);
	AUTO_ACCOUNT account = {.connection = text_copy(connection->id)};

	if (viewer_take(connection, answer, now_ms, &account, err))
		return -1;
	answer_take(&account, answer, now_ms);
	if (account_store(runs, &account, err))
		return -1;
	*shown = json_pack("{s:s, s:s}", "account", account.account, "name", account.name);
	return 0;
}

/* ---- renewing ---- */

static int renew(struct runs *runs, const struct connection *connection, struct account *account, struct err *err)
{
	const struct linear_client client = client_of(connection);
	const char *refresh = json_text(account->secrets, "refresh_token", NULL);
	AUTO_JSON answer = NULL;
	int failed;

	if (refresh)
		failed = linear_token_refresh(&client, refresh, &answer, err);
	else if (json_flag(connection->configuration, "client_credentials", false))
		failed = linear_token_of_client(&client, scopes_of(connection), &answer, err);
	else
		return err_set(err, ERR_DENIED, "the permission of `%.80s` is over: `assay linear connect %s`", account->name,
			       connection->name);
	if (failed)
		return -1;
	answer_take(account, answer, world_now_ms(runs->options.world));
	return account_store(runs, account, err);
}

static int account_get(struct runs *runs, const char *connection, const char *id, struct connection *row, struct account *account,
		       struct err *err)
{
	AUTO_TX tx = {0};

	return store_begin_snapshot(runs->store, &tx, err) || connection_read(&tx, connection, row, err) ||
			       account_read(&tx, row->id, id, account, err)
		       ? -1
		       : 0;
}

/* `refused`: the token that was; another one may have come meanwhile. */
static int token_get(struct runs *runs, const char *connection, const char *id, const char *refused, struct connection *row,
		     struct account *account, struct err *err)
{
	int failed;

	if (account_get(runs, connection, id, row, account, err))
		return -1;
	if (!refused && (!account->ends_ms || account->ends_ms - world_now_ms(runs->options.world) > EARLY_MS))
		return 0;
	(void)pthread_mutex_lock(&renewing);
	failed = account_get(runs, connection, id, row, account, err);
	if (!failed && (refused ? strcmp(json_text(account->secrets, "access_token", ""), refused) == 0
				: account->ends_ms - world_now_ms(runs->options.world) <= EARLY_MS))
		failed = renew(runs, row, account, err);
	(void)pthread_mutex_unlock(&renewing);
	return failed;
}

/* A person must act; until then nothing of this workspace is lost. */
static int wait_for_person(struct runs *runs, const struct connection *connection, struct linear_said *said, struct err *err)
{
	struct err failure = *err;
	struct err ignored = {0};
	AUTO_TX tx = {0};

	if (!connection->id || store_begin(runs->store, &tx, &ignored) ||
	    connection_state_set(&tx, connection->id, failure.text, &ignored) || store_commit(&tx, &ignored))
		return -1;
	said->blocked_until_ms = world_now_ms(runs->options.world) + AGAIN_MS;
	return err_set(err, ERR_LIMIT, "%s", failure.text);
}

int linear_ask(struct runs *runs, const char *id, const char *workspace, const char *operation, const json_t *variables,
	       json_t **data, struct linear_said *said, struct err *err)
{
	AUTO_FREE char *used = NULL;
	int failed = -1;

	*data = NULL;
	*said = (struct linear_said){0};
	for (int i = 0; i < 2; i++) {
		AUTO_CONNECTION connection = {0};
		AUTO_ACCOUNT account = {0};
		struct linear_access access;

		if (token_get(runs, id, workspace, used, &connection, &account, err))
			return err->kind == ERR_DENIED || err->kind == ERR_NOT_FOUND ? wait_for_person(runs, &connection, said, err)
										     : -1;
		if (used)
			explicit_bzero(used, strlen(used));
		free(used);
		used = text_copy(json_text(account.secrets, "access_token", ""));
		access = (struct linear_access){connection.base, used};
		failed = linear_call(&access, operation, variables, world_now_ms(runs->options.world), data, said, err);
		if (!failed || !said->expired)
			break;
		if (i)
			return wait_for_person(runs, &connection, said, err);
	}
	explicit_bzero(used, strlen(used));
	return failed;
}

/* ---- a person's permission ---- */

static void random_text(struct runs *runs, struct buf *out)
{
	unsigned char random[32];

	world_random(runs->options.world, random, sizeof(random));
	buf_add_hex(out, random, sizeof(random));
}

char *runs_linear_permission(struct runs *runs, const char *id, const char *redirect, struct err *err)
{
	int64_t now_ms = world_now_ms(runs->options.world);
	AUTO_CONNECTION connection = {0};
	AUTO_BUF state = buf_new(80);
	AUTO_BUF verifier = buf_new(80);
	struct linear_client client;
	int64_t there = 0;
	AUTO_TX tx = {0};

	random_text(runs, &state);
	random_text(runs, &verifier);
	if (store_begin(runs->store, &tx, err) || connection_read(&tx, id, &connection, err) ||
	    store_run(&tx, "DELETE FROM permission WHERE ends_ms < ?", VALUES(V(now_ms)), err) ||
	    store_number_get(&tx, &there, 0, "SELECT count(*) FROM permission", NO_VALUES, err))
		return NULL;
	client = client_of(&connection);
	if (strcmp(connection.kind, "linear") != 0 || !client.id[0]) {
		(void)err_set(err, ERR_INVALID, "`%.60s` is no connection to Linear with a client_id", id);
		return NULL;
	}
	if (there >= PERMISSIONS_MAX) {
		(void)err_set(err, ERR_LIMIT, "%d permissions are being asked for: try again in ten minutes", PERMISSIONS_MAX);
		return NULL;
	}
	if (store_run(&tx, "INSERT INTO permission (state, connection, verifier, redirect, ends_ms) VALUES (?, ?, ?, ?, ?)",
		      VALUES(V(state.at), V(connection.id), V(verifier.at), V(redirect), V(now_ms + PERMISSION_MS)), err) ||
	    store_commit(&tx, err))
		return NULL;
	return linear_authorize_url(json_text(connection.configuration, "authorize_url", LINEAR_AUTHORIZE), &client, redirect,
				    scopes_of(&connection), state.at, verifier.at);
}

/* Taken once: whoever brings the same state again is refused. */
static int permission_take(struct runs *runs, const char *state, struct connection *connection, char **verifier, char **redirect,
			   struct err *err)
{
	AUTO_FREE char *id = NULL;
	AUTO_TX tx = {0};

	if (store_begin(runs->store, &tx, err))
		return -1;
	{
		AUTO_ROWS rows = {0};

		if (store_query(&tx, &rows,
				"SELECT connection, verifier, redirect FROM permission WHERE state = ? AND ends_ms >= ?",
				VALUES(V(state), V(world_now_ms(runs->options.world))), err))
			return -1;
		if (!store_rows_next(&rows))
			return store_rows_finish(&rows, err)
				       ? -1
				       : err_set(err, ERR_DENIED,
						 "this permission was not asked for here, or too long ago: begin again");
		id = text_copy(store_rows_text(&rows, 0));
		*verifier = text_copy(store_rows_text(&rows, 1));
		*redirect = text_copy(store_rows_text(&rows, 2));
	}
	if (store_run(&tx, "DELETE FROM permission WHERE state = ?", VALUES(V(state)), err) ||
	    connection_read(&tx, id, connection, err))
		return -1;
	return store_commit(&tx, err);
}

json_t *runs_linear_allowed(struct runs *runs, const char *state, const char *code, struct err *err)
{
	AUTO_CONNECTION connection = {0};
	AUTO_FREE char *verifier = NULL;
	AUTO_FREE char *redirect = NULL;
	AUTO_JSON answer = NULL;
	json_t *shown = NULL;
	struct linear_client client;

	if (permission_take(runs, state, &connection, &verifier, &redirect, err))
		return NULL;
	client = client_of(&connection);
	if (linear_token_of_code(&client, code, redirect, verifier, &answer, err))
		return NULL;
	return connected(runs, &connection, answer, &shown, err) ? NULL : shown;
}

json_t *runs_linear_own(struct runs *runs, const char *id, struct err *err)
{
	AUTO_CONNECTION connection = {0};
	AUTO_JSON answer = NULL;
	json_t *shown = NULL;
	struct linear_client client;
	int failed;

	if (connection_load(runs, id, &connection, err))
		return NULL;
	client = client_of(&connection);
	if (!json_flag(connection.configuration, "client_credentials", false) || !client.secret) {
		(void)err_set(err, ERR_INVALID, "`%.60s` has no client_credentials=true, or no client_secret", id);
		return NULL;
	}
	(void)pthread_mutex_lock(&renewing);
	failed = linear_token_of_client(&client, scopes_of(&connection), &answer, err) ||
		 connected(runs, &connection, answer, &shown, err);
	(void)pthread_mutex_unlock(&renewing);
	return failed ? NULL : shown;
}
