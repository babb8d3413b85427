/* Slack: requests as the workspace that allowed them, whose the token is, and what a connection lacks. */
#include <stdio.h>

#include "base/scope.h"
#include "runs/runs_priv.h"
#include "runs/slack_priv.h"

int slack_asking_act(void *self, const struct connection *connection, const char *token, struct token_said *said, struct err *err)
{
	struct slack_asking *asking = self;
	struct slack_said heard;
	int failed;

	(void)token; /* it is the connection's own */
	asking->call.base = connection->base;
	asking->call.token = connection_secret(connection, "token");
	if (!asking->call.token)
		return err_set(err, ERR_DENIED, "`%.60s` has no token", connection->name);
	failed = slack_ask(&asking->call, asking->answer, &heard, err);
	*said = (struct token_said){heard.blocked_until_ms, heard.expired};
	(void)snprintf(asking->error, sizeof(heard.error), "%s", heard.error);
	if (asking->scopes)
		(void)snprintf(asking->scopes, sizeof(heard.scopes), "%s", heard.scopes);
	return failed;
}

/* ---- tokens ---- */

static int token_own(const struct connection *connection, json_t **answer, struct err *err)
{
	if (!connection_secret(connection, "token"))
		return err_set(err, ERR_INVALID, "`%.60s` has no token (xoxb-…)", connection->name);
	*answer = json_object();
	return 0;
}

static int viewer(struct world world, const struct connection *connection, const json_t *answer, struct account *account,
		  json_t **made, struct err *err)
{
	const struct slack_call call = {
		.world = world, .base = connection->base, .token = connection_secret(connection, "token"), .method = "auth.test"};
	struct slack_said said;
	AUTO_JSON self = NULL;

	(void)answer;
	if (slack_ask(&call, &self, &said, err))
		return err_prefix(err, "asking who we are");
	account->account = text_copy(json_text(self, "team_id", NULL));
	account->name = text_copy(json_text(self, "team", ""));
	account->self = text_copy(json_text(self, "user_id", NULL));
	if (!account->account || !account->self)
		return err_set(err, ERR_BROKEN, "Slack does not say whose the token is");
	*made = json_pack("{s:s, s:s}", "account", account->account, "self", account->self);
	return 0;
}

const struct token_ops slack_tokens = {.own = token_own, .viewer = viewer};

/* ---- what it lacks ---- */

#define SETTINGS "api.slack.com/apps → your application"

/* What no work is without, then what it may be without. */
static void scopes_say(struct check *check, const char *scopes)
{
	static const struct {
		const char *name;
		bool note;
	} rows[] = {{"app_mentions:read", false}, {"chat:write", false}, {"channels:history", false},
		    {"im:history", true},         {"files:write", true}, {"groups:history", true}};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_FREE char *what = text_format("scope %s", rows[i].name);
		AUTO_FREE char *how = text_format("in " SETTINGS ": OAuth & Permissions, add %s, and install it again",
						  rows[i].name);
		bool has = check_scope(scopes, rows[i].name);

		check_say(check, what, has, rows[i].note, has ? "is given" : "is not given", how);
	}
}

static void account_say(struct check *check, const json_t *account)
{
	AUTO_FREE char *what = text_format("workspace %s", json_text(account, "name", ""));
	AUTO_FREE char *how = text_format("`assay slack connect %s` once more", check->connection->name);
	char error[64] = "";
	char scopes[sizeof(((struct slack_said *)NULL)->scopes)] = "";
	json_t *answer = NULL;
	struct slack_asking asking = {{.world = check->runs->options.world, .method = "auth.test"}, &answer, error, scopes};
	const struct token_call call = {check->connection->id, json_text(account, "account", ""), slack_asking_act, &asking};
	struct token_said said;
	struct err err = {0};
	bool failed = token_use(check->runs, &call, &said, &err);

	check_say(check, what, !failed, false, failed ? err.text : "answers", how);
	if (!failed && scopes[0])
		scopes_say(check, scopes);
	json_decref(answer);
}

int slack_check(struct check *check, struct err *err)
{
	const struct connection *connection = check->connection;
	bool socket = connection_secret(connection, "app_token");
	AUTO_FREE char *hook = text_format(
		"in " SETTINGS
		": Event Subscriptions for app_mention, message.im and message.channels, by Socket Mode or at the URL %s/hooks/%s",
		check->runs->pages_base, connection->id);
	AUTO_JSON accounts = NULL;
	json_t *account;
	size_t i;

	check_setting(check, "token", connection_secret(connection, "token"),
		      "the Bot User OAuth Token (xoxb-…) of " SETTINGS ": `assay connections set NAME --secrets`");
	check_say(check, "app_token or signing_secret", socket || connection_secret(connection, "signing_secret"), false,
		  socket ? "Socket Mode" : "signed HTTP",
		  "an app-level token (xapp-…, connections:write) for Socket Mode, or the Signing Secret, of " SETTINGS);
	accounts = check_accounts(check, err);
	if (!accounts)
		return -1;
	json_array_foreach(accounts, i, account)
		account_say(check, account);
	return check_deliveries(check, "app_mention", "events of mentions", false, hook, err) ||
			       check_deliveries(check, "block_actions", "buttons", true,
						"in " SETTINGS ": Interactivity, by Socket Mode or at the same URL", err)
		       ? -1
		       : 0;
}
