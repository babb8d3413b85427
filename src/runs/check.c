/* What a connection still lacks: each line says what is so, or what to do about it. */
#include <stdlib.h>

#include "base/scope.h"
#include "runs/linear.h"
#include "runs/runs_priv.h"
#include "trackers/linear.h"

#define SETTINGS "linear.app → Settings → API → your application"

struct list {
	struct runs *runs;
	const struct connection *connection;
	json_t *items;
};

/* `what` is the thing, `how` what to do when it is not so; a note is not wrong. */
static void say(struct list *list, const char *what, bool ok, bool note, const char *says, const char *how)
{
	json_t *item = json_pack("{s:s, s:s, s:s}", "connection", list->connection->name, "what", what, "state",
				 ok     ? "ok"
				 : note ? "note"
					: "missing");

	json_set_bytes(item, "says", view_of(says));
	if (!ok)
		json_set_bytes(item, "do", view_of(how));
	(void)json_array_append_new(list->items, item);
}

static void say_setting(struct list *list, const char *key, bool set, const char *how)
{
	say(list, key, set, false, set ? "is set" : "is not set", how);
}

static bool scope_has(const char *scopes, const char *name)
{
	for (struct view rest = view_of(scopes); rest.length;) {
		struct view word = view_cut(rest, strchr(scopes, ',') ? ',' : ' ', &rest);

		if (view_is(view_trim(word), name))
			return true;
	}
	return false;
}

static void scopes_say(struct list *list, const json_t *account)
{
	static const char *const wanted[] = {"read", "write", "app:assignable", "app:mentionable"};
	const char *scopes = json_text(account, "scopes", "");
	AUTO_FREE char *how = text_format("add it to `scopes` (`assay connections set %s --set scopes=" LINEAR_SCOPES
					  "`), then `assay linear connect %s` once more",
					  list->connection->name, list->connection->name);

	for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
		AUTO_FREE char *what = text_format("scope %s in %s", wanted[i], json_text(account, "name", ""));
		bool has = scope_has(scopes, wanted[i]);

		say(list, what, has, false, has ? "was allowed" : "was not allowed", how);
	}
}

/* Does every rule's team exist there? */
static void teams_say(struct list *list, const json_t *account, const json_t *data)
{
	json_t *rule;
	json_t *team;
	size_t i, k;

	json_array_foreach(json_member(list->connection->configuration, "repositories"), i, rule) {
		const char *key = json_text(rule, "team", NULL);
		bool found = !key;

		json_array_foreach(json_member(json_member(data, "teams"), "nodes"), k, team)
			found = found || strcasecmp(json_text(team, "key", ""), key) == 0;
		AUTO_FREE char *what = text_format("team %s in %s", key ? key : "", json_text(account, "name", ""));

		if (key)
			say(list, what, found, true, found ? "is there" : "is none that the application may see",
			    "give the application access to the team (its page under Settings → Applications), or mend the rule");
	}
}

static void account_say(struct list *list, const json_t *account)
{
	AUTO_FREE char *what = text_format("workspace %s", json_text(account, "name", ""));
	AUTO_FREE char *how = text_format("`assay linear connect %s` once more", list->connection->name);
	struct linear_said said;
	AUTO_JSON data = NULL;
	struct err err = {0};

	if (linear_ask(list->runs, list->connection->id, json_text(account, "account", ""), "Teams", NULL, &data, &said, &err)) {
		say(list, what, false, false, err.text, how);
		return;
	}
	say(list, what, true, false, "answers", "");
	scopes_say(list, account);
	teams_say(list, account, data);
}

static int deliveries_say(struct list *list, struct err *err)
{
	static const char *const categories[][3] = {{"AgentSessionEvent", "Agent session events", ""},
						    {"AppUserNotification", "Inbox notifications", "note"},
						    {"PermissionChange", "Permission changes", "note"},
						    {"OAuthApp", "OAuth app revoked", "note"}};
	AUTO_FREE char *hook = text_format("%s/hooks/%s", list->runs->pages_base, list->connection->id);
	AUTO_TX tx = {0};

	if (store_begin_snapshot(list->runs->store, &tx, err))
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(categories); i++) {
		AUTO_FREE char *what = text_format("webhooks of “%s”", categories[i][1]);
		AUTO_FREE char *how = text_format("in " SETTINGS
						  ": webhooks on, URL %s, and the category “%s” ticked; a workspace that installed "
						  "it before must allow it again",
						  hook, categories[i][1]);
		int64_t seen = 0;

		if (store_number_get(&tx, &seen, 0,
				     "SELECT count(*) FROM inbox WHERE source = ? AND substr(kind, 1, length(?)) = ?",
				     VALUES(V(list->connection->id), V(categories[i][0]), V(categories[i][0])), err))
			return -1;
		say(list, what, seen > 0, categories[i][2][0], seen ? "have come" : "have never come", how);
	}
	return 0;
}

static int linear_check(struct list *list, struct err *err)
{
	const struct connection *connection = list->connection;
	AUTO_JSON accounts = NULL;
	json_t *account;
	size_t i;

	say_setting(list, "client_id", json_text(connection->configuration, "client_id", NULL),
		    "copy it from " SETTINGS ": `assay connections set NAME --set client_id=…`");
	say_setting(list, "webhook_secret", connection_secret(connection, "webhook_secret"),
		    "copy the signing secret from " SETTINGS ": `assay connections set NAME --secrets`");
	{
		AUTO_TX tx = {0};

		accounts = store_begin_snapshot(list->runs->store, &tx, err) ? NULL : account_list(&tx, connection->id, err);
	}
	if (!accounts)
		return -1;
	if (!json_array_size(accounts))
		say(list, "workspace", false, false, "none has allowed it",
		    "`assay linear connect NAME`, as an admin of the workspace");
	json_array_foreach(accounts, i, account)
		account_say(list, account);
	return deliveries_say(list, err);
}

json_t *runs_connection_check(struct runs *runs, const char *id, struct err *err)
{
	AUTO_CONNECTION connection = {0};
	struct list list = {runs, &connection, NULL};
	AUTO_JSON items = json_array();

	if (connection_load(runs, id, &connection, err))
		return NULL;
	list.items = items;
	if (strcmp(connection.kind, "linear") != 0) {
		say(&list, connection.kind, connection_secret(&connection, "webhook_secret"), true, "its secret",
		    "set webhook_secret");
		return TAKE(items);
	}
	return linear_check(&list, err) ? NULL : TAKE(items);
}

json_t *runs_connection_accounts(struct runs *runs, const char *id, struct err *err)
{
	AUTO_CONNECTION connection = {0};
	AUTO_TX tx = {0};

	return store_begin_snapshot(runs->store, &tx, err) || connection_read(&tx, id, &connection, err)
		       ? NULL
		       : account_list(&tx, connection.id, err);
}
