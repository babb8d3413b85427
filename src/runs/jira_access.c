/*
 * Jira Cloud: requests as the account that allowed them, how a site allows it, and what its connection lacks.
 *
 * A connection is of one site; who we are there, and where the site is, are settings that are kept when it is allowed.
 */
#include "base/scope.h"
#include "runs/jira_priv.h"
#include "runs/runs_priv.h"

const char *jira_setting(const struct connection *connection, const char *name)
{
	return json_text(connection->configuration, name, NULL);
}

static struct jira_access access_of(struct world world, const struct connection *connection, const char *token)
{
	const char *own = connection_secret(connection, "token");

	return (struct jira_access){.world = world,
				    .base = connection->base,
				    .cloud = jira_setting(connection, "cloud"),
				    .email = own ? json_text(connection->configuration, "email", "") : NULL,
				    .token = own ? own : token};
}

int jira_ask_act(void *self, const struct connection *connection, const char *token, struct token_said *said, struct err *err)
{
	struct jira_ask *ask = self;
	const struct jira_access access = access_of(ask->world, connection, token);
	struct jira_said heard;
	int failed = ask->file ? jira_attach(&access, ask->path, ask->file, ask->bytes, ask->answer, &heard, err)
			       : jira_call(&access, ask->method, ask->path, ask->body, ask->answer, &heard, err);

	*said = (struct token_said){heard.blocked_until_ms, heard.expired};
	return failed;
}

/* ---- tokens ---- */

static struct jira_client client_of(const struct connection *connection)
{
	return (struct jira_client){json_text(connection->configuration, "auth_base", JIRA_AUTH),
				    json_text(connection->configuration, "client_id", ""),
				    connection_secret(connection, "client_secret")};
}

static char *authorize_url(const struct connection *connection, const char *redirect, const char *state, const char *verifier)
{
	const struct jira_client client = client_of(connection);

	(void)verifier; /* the client has a secret */
	return jira_authorize_url(&client, redirect, json_text(connection->configuration, "scopes", JIRA_SCOPES), state);
}

static int token_of_code(const struct connection *connection, const char *code, const char *redirect, const char *verifier,
			 json_t **answer, struct err *err)
{
	const struct jira_client client = client_of(connection);

	(void)verifier;
	return jira_token_of_code(world_real, &client, code, redirect, answer, err);
}

static int token_renew(const struct connection *connection, const char *refresh, json_t **answer, struct err *err)
{
	const struct jira_client client = client_of(connection);

	return jira_token_refresh(world_real, &client, refresh, answer, err);
}

/* The token is a secret of the connection, and stays there. */
static int token_own(const struct connection *connection, json_t **answer, struct err *err)
{
	if (!connection_secret(connection, "token") || !jira_setting(connection, "email"))
		return err_set(err, ERR_INVALID, "`%.60s` has no token with an email", connection->name);
	if (strcmp(connection->base, JIRA_BASE) == 0)
		return err_set(err, ERR_INVALID,
			       "say where the site is: `assay connections set %s --base https://SITE.atlassian.net`",
			       connection->name);
	*answer = json_object();
	return 0;
}

/* The site that is wanted, or the only one. Borrowed. */
static const json_t *site_choose(const json_t *sites, const char *wanted, struct err *err)
{
	json_t *site;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)sites, i, site)
		if (wanted ? strcasecmp(json_text(site, "url", ""), wanted) == 0 : json_array_size(sites) == 1)
			return site;
	(void)err_set(err, ERR_INVALID, "%zu sites allowed it%s: say which with --set site=https://SITE.atlassian.net",
		      json_array_size(sites), wanted ? ", and not the one that is set" : "");
	return NULL;
}

static int viewer(struct world world, const struct connection *connection, const json_t *answer, struct account *account,
		  json_t **made, struct err *err)
{
	const char *token = json_text(answer, "access_token", "");
	struct jira_access access = access_of(world, connection, token);
	AUTO_JSON sites = access.email ? NULL : jira_sites(world, connection->base, token, err);
	AUTO_JSON self = NULL;
	const char *url = connection->base;
	struct jira_said said;

	access.cloud = NULL;
	if (!access.email) {
		const json_t *site = sites ? site_choose(sites, jira_setting(connection, "site"), err) : NULL;

		if (!site)
			return -1;
		access.cloud = json_text(site, "id", "");
		url = json_text(site, "url", "");
	}
	if (jira_call(&access, NULL, "/myself", NULL, &self, &said, err))
		return err_prefix(err, "asking who we are");
	account->account = text_copy(access.cloud ? access.cloud : url);
	account->name = text_copy(url);
	account->self = text_copy(json_text(self, "accountId", NULL));
	if (!account->self)
		return err_set(err, ERR_BROKEN, "Jira does not say whose the token is");
	*made = json_pack("{s:s, s:s, s:s, s:s?}", "account", account->account, "self", account->self, "site", url, "cloud",
			  access.cloud);
	return 0;
}

const struct token_ops jira_tokens = {
	.authorize_url = authorize_url, .of_code = token_of_code, .renew = token_renew, .own = token_own, .viewer = viewer};

/* ---- what it lacks ---- */

#define WEBHOOKS "Jira: Settings → System → WebHooks"

static void permissions_say(struct check *check, const char *account)
{
	static const char *const wanted[] = {"BROWSE_PROJECTS", "ADD_COMMENTS", "TRANSITION_ISSUES",
					     "ASSIGN_ISSUES",   "LINK_ISSUES",  "CREATE_ATTACHMENTS"};
	static const char path[] =
		"/mypermissions?permissions=BROWSE_PROJECTS,ADD_COMMENTS,TRANSITION_ISSUES,ASSIGN_ISSUES,LINK_ISSUES,CREATE_ATTACHMENTS";
	json_t *answer = NULL;
	struct jira_ask ask = {.world = check->runs->options.world, .path = path, .answer = &answer};
	const struct token_call call = {check->connection->id, account, jira_ask_act, &ask};
	AUTO_FREE char *how = text_format("`assay jira connect %s` once more", check->connection->name);
	struct token_said said;
	struct err err = {0};

	if (token_use(check->runs, &call, &said, &err)) {
		check_say(check, "site", false, false, err.text, how);
		return;
	}
	AUTO_JSON owned = answer;

	check_say(check, "site", true, false, "answers", "");
	for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
		const json_t *permission = json_member(json_member(owned, "permissions"), wanted[i]);
		bool has = json_flag(permission, "havePermission", false);
		AUTO_FREE char *what = text_format("permission %s", wanted[i]);

		check_say(check, what, has, false, has ? "is given" : "is not given",
			  "give the agent's account a role with it: Project settings → Permissions");
	}
}

static int webhooks_say(struct check *check, struct err *err)
{
	static const char *const events[][2] = {{"jira:issue_updated", "webhooks of changed issues"},
						{"comment_created", "webhooks of comments"}};

	for (size_t i = 0; i < ARRAY_LEN(events); i++) {
		AUTO_FREE char *how = text_format(WEBHOOKS ": URL %s/hooks/%s, a secret, and the event %s", check->runs->pages_base,
						  check->connection->id, events[i][0]);

		if (check_deliveries(check, events[i][0], events[i][1], i > 0, how, err))
			return -1;
	}
	return 0;
}

int jira_check(struct check *check, struct err *err)
{
	const struct connection *connection = check->connection;
	bool allowed = connection_secret(connection, "token") || jira_setting(connection, "client_id");
	AUTO_JSON accounts = NULL;
	json_t *account;
	size_t i;

	check_setting(check, "token", allowed,
		      "an API token of the agent's account with its email, or client_id and client_secret of an OAuth application");
	check_setting(check, "webhook_secret", connection_secret(connection, "webhook_secret"),
		      "give the webhook a secret (" WEBHOOKS "), and the same here: `assay connections set NAME --secrets`");
	accounts = check_accounts(check, err);
	if (!accounts)
		return -1;
	json_array_foreach(accounts, i, account)
		permissions_say(check, json_text(account, "account", ""));
	return webhooks_say(check, err);
}
