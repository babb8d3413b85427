/* Tokens of outside services: allowed by a person, renewed, used. */
#include "runs/token.h"

#include <pthread.h>
#include <stdlib.h>
#include <strings.h>

#include "base/scope.h"
#include "runs/runs_priv.h"
#include "runs/voice.h"

#define EARLY_MS ((int64_t)300 * 1000)
#define PERMISSION_MS ((int64_t)600 * 1000)
#define PERMISSIONS_MAX 1000
#define AGAIN_MS ((int64_t)60 * 1000) /* what waits for a token that a person must renew is tried so often */

static pthread_mutex_t renewing = PTHREAD_MUTEX_INITIALIZER; /* one at a time: a second request would end the first one's token */

static const struct token_ops *ops_of(const struct connection *connection, struct err *err)
{
	const struct voice *voice = voice_find(connection->kind);

	if (voice && voice->tokens)
		return voice->tokens;
	(void)err_set(err, ERR_INVALID, "`%.60s` is no connection that somebody has to allow", connection->name);
	return NULL;
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

/* `made` (may be NULL) is put over the connection's settings. */
static int account_store(struct runs *runs, const struct account *account, const json_t *made, struct err *err)
{
	AUTO_TX tx = {0};

	if (store_begin(runs->store, &tx, err) || account_write(&tx, account, err) ||
	    (made && connection_merge(&tx, account->connection, made, NULL, err)) ||
	    connection_state_set(&tx, account->connection, NULL, err))
		return -1;
	return store_commit_synced(&tx, err);
}

static int connected(struct runs *runs, const struct token_ops *ops, const struct connection *connection, const json_t *answer,
		     json_t **shown, struct err *err)
{
	AUTO_ACCOUNT account = {.connection = text_copy(connection->id)};
	const char *before = json_text(connection->configuration, "account", NULL);
	AUTO_JSON made = NULL;

	if (ops->viewer(runs->options.world, connection, answer, &account, &made, err))
		return -1;
	/* Its threads are of the place that it was of. */
	if (made && before && strcmp(before, account.account) != 0)
		return err_set(err, ERR_CONFLICT,
			       "the connection `%.60s` is of another place (%.200s): make one of its own for %.200s",
			       connection->name, before, account.name);
	answer_take(&account, answer, world_now_ms(runs->options.world));
	if (account_store(runs, &account, made, err))
		return -1;
	*shown = json_pack("{s:s, s:s}", "account", account.account, "name", account.name);
	return 0;
}

/* ---- renewing ---- */

static int renew(struct runs *runs, const struct connection *connection, struct account *account, struct err *err)
{
	const struct token_ops *ops = ops_of(connection, err);
	const char *refresh = json_text(account->secrets, "refresh_token", NULL);
	AUTO_JSON answer = NULL;
	int failed;

	if (!ops)
		return -1;
	if (refresh)
		failed = ops->renew(connection, refresh, &answer, err);
	else if (ops->renews_own && json_flag(connection->configuration, "client_credentials", false))
		failed = ops->own(connection, &answer, err);
	else
		return err_set(err, ERR_DENIED, "the permission of `%.80s` is over: `assay %s connect %s`", account->name,
			       connection->kind, connection->name);
	if (failed)
		return -1;
	answer_take(account, answer, world_now_ms(runs->options.world));
	return account_store(runs, account, NULL, err);
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
static int wait_for_person(struct runs *runs, const struct connection *connection, struct token_said *said, struct err *err)
{
	struct err failure = *err;
	AUTO_TX tx = {0};

	if (!connection->id)
		return -1;
	/* A store that fails here says so: with the refusal's own error what waits would be given up. */
	*err = (struct err){0};
	if (store_begin(runs->store, &tx, err) || connection_state_set(&tx, connection->id, failure.text, err) ||
	    store_commit(&tx, err))
		return -1;
	said->blocked_until_ms = world_now_ms(runs->options.world) + AGAIN_MS;
	return err_set(err, ERR_LIMIT, "%s", failure.text);
}

int token_use(struct runs *runs, const struct token_call *call, struct token_said *said, struct err *err)
{
	AUTO_FREE char *used = NULL;
	int failed = -1;

	for (int i = 0; i < 2; i++) {
		AUTO_CONNECTION connection = {0};
		AUTO_ACCOUNT account = {0};

		*said = (struct token_said){0};
		if (token_get(runs, call->connection, call->account, used, &connection, &account, err))
			return err->kind == ERR_DENIED || err->kind == ERR_NOT_FOUND ? wait_for_person(runs, &connection, said, err)
										     : -1;
		if (used)
			explicit_bzero(used, strlen(used));
		free(used);
		used = text_copy(json_text(account.secrets, "access_token", ""));
		failed = call->act(call->self, &connection, used, said, err);
		if (!failed || !said->expired)
			break;
		if (i)
			failed = wait_for_person(runs, &connection, said, err);
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

static char *url_make(struct runs *runs, const struct connection *connection, const struct token_ops *ops, const char *redirect,
		      struct err *err)
{
	int64_t now_ms = world_now_ms(runs->options.world);
	AUTO_BUF state = buf_new(80);
	AUTO_BUF verifier = buf_new(80);
	int64_t there = 0;
	AUTO_TX tx = {0};

	random_text(runs, &state);
	random_text(runs, &verifier);
	if (store_begin(runs->store, &tx, err) ||
	    store_run(&tx, "DELETE FROM permission WHERE ends_ms < ?", VALUES(V(now_ms)), err) ||
	    store_number_get(&tx, &there, 0, "SELECT count(*) FROM permission", NO_VALUES, err))
		return NULL;
	if (there >= PERMISSIONS_MAX) {
		(void)err_set(err, ERR_LIMIT, "%d permissions are being asked for: try again in ten minutes", PERMISSIONS_MAX);
		return NULL;
	}
	if (store_run(&tx, "INSERT INTO permission (state, connection, verifier, redirect, ends_ms) VALUES (?, ?, ?, ?, ?)",
		      VALUES(V(state.at), V(connection->id), V(verifier.at), V(redirect), V(now_ms + PERMISSION_MS)), err) ||
	    store_commit(&tx, err))
		return NULL;
	return ops->authorize_url(connection, redirect, state.at, verifier.at);
}

static json_t *own(struct runs *runs, const struct connection *connection, const struct token_ops *ops, struct err *err)
{
	AUTO_JSON answer = NULL;
	json_t *shown = NULL;
	int failed;

	(void)pthread_mutex_lock(&renewing);
	failed = ops->own(connection, &answer, err) || connected(runs, ops, connection, answer, &shown, err);
	(void)pthread_mutex_unlock(&renewing);
	return failed ? NULL : shown;
}

json_t *runs_permission(struct runs *runs, const char *id, const char *redirect, bool by_own, struct err *err)
{
	AUTO_CONNECTION connection = {0};
	const struct token_ops *ops;
	AUTO_FREE char *url = NULL;

	if (connection_load(runs, id, &connection, err))
		return NULL;
	ops = ops_of(&connection, err);
	if (!ops)
		return NULL;
	if (by_own || !ops->authorize_url || connection_secret(&connection, "token"))
		return own(runs, &connection, ops, err);
	if (!json_text(connection.configuration, "client_id", NULL)) {
		(void)err_set(err, ERR_INVALID, "`%.60s` has no client_id: no page of %s can allow it", id, connection.kind);
		return NULL;
	}
	url = url_make(runs, &connection, ops, redirect, err);
	return url ? json_pack("{s:s, s:s}", "url", url, "redirect", redirect) : NULL;
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

json_t *runs_allowed(struct runs *runs, const char *state, const char *code, struct err *err)
{
	AUTO_CONNECTION connection = {0};
	AUTO_FREE char *verifier = NULL;
	AUTO_FREE char *redirect = NULL;
	AUTO_JSON answer = NULL;
	json_t *shown = NULL;
	const struct token_ops *ops;

	if (permission_take(runs, state, &connection, &verifier, &redirect, err))
		return NULL;
	ops = ops_of(&connection, err);
	if (!ops || ops->of_code(&connection, code, redirect, verifier, &answer, err))
		return NULL;
	return connected(runs, ops, &connection, answer, &shown, err) ? NULL : shown;
}
