/* Connections: their table of kinds, their rows, and how they are shown. */
#include "runs/connection.h"

#include <stdlib.h>
#include <strings.h>

#include "base/scope.h"
#include "http/url.h"
#include "runs/runs_priv.h"

#define NAME_BYTES_MAX 60

const struct connection_kind connection_kinds[] = {
	{"linear",
	 "https://api.linear.app",
	 {{"client_id", CONNECTION_TEXT, "the OAuth application's client id"},
	  {"client_secret", CONNECTION_SECRET, "its client secret"},
	  {"webhook_secret", CONNECTION_SECRET, "its webhook's signing secret"},
	  {"scopes", CONNECTION_TEXT, "what it asks for (read,write,app:assignable,app:mentionable)"},
	  {"client_credentials", CONNECTION_FLAG, "one's own workspace: tokens without an install page"},
	  {"authorize_url", CONNECTION_TEXT, "where people allow it (https://linear.app/oauth/authorize)"},
	  {"repositories", CONNECTION_LIST, "which repository: rules {team, project, label, repository}, the first that fits"},
	  {"repository", CONNECTION_TEXT, "when no rule fits and nobody says"},
	  {"approvers", CONNECTION_LIST,
	   "ids or addresses of who may let a held request go from a session; nobody when it is not set"},
	  {"review_state", CONNECTION_TEXT, "the state's name when the pull request is there"},
	  {"failed_state", CONNECTION_TEXT, "the state's name when the run failed"}}},
	{"github",
	 "https://api.github.com",
	 {{"app_id", CONNECTION_TEXT, "the App's id or client id"},
	  {"slug", CONNECTION_TEXT, "the App's name in mentions"},
	  {"private_key", CONNECTION_SECRET, "the App's private key (PEM)"},
	  {"webhook_secret", CONNECTION_SECRET, "the webhook's secret"},
	  {"token", CONNECTION_SECRET, "a personal token, instead of an App"},
	  {"label", CONNECTION_TEXT, "the label that gives work (agent)"},
	  {"pictures", CONNECTION_FLAG,
	   "what the agent saw is shown with a pull request (by links to us: yes where we are reached by https)"},
	  {"resolve", CONNECTION_FLAG, "review threads that a verified change dealt with are resolved (no)"}}},
	{"gitea",
	 "https://gitea.com",
	 {{"user", CONNECTION_TEXT, "the name of the token's user there: who is mentioned and assigned"},
	  {"token", CONNECTION_SECRET, "a bot user's token: write:repository, write:issue, read:user"},
	  {"webhook_secret", CONNECTION_SECRET, "the webhook's secret"},
	  {"label", CONNECTION_TEXT, "the label that gives work (agent)"},
	  {"pictures", CONNECTION_FLAG, "what the agent saw is shown with a pull request (yes)"}}},
	{"gitlab",
	 "https://gitlab.com",
	 {{"user", CONNECTION_TEXT, "the name of the token's user there: who is mentioned and assigned"},
	  {"token", CONNECTION_SECRET, "a project or group access token with the scope api (glpat-…)"},
	  {"webhook_secret", CONNECTION_SECRET, "the webhook's secret token"},
	  {"signing_token", CONNECTION_SECRET, "the webhook's signing token (whsec_…), instead of a secret token"},
	  {"label", CONNECTION_TEXT, "the label that gives work (agent)"},
	  {"pictures", CONNECTION_FLAG, "what the agent saw is shown with a pull request (yes)"},
	  {"resolve", CONNECTION_FLAG, "review threads that a verified change dealt with are resolved (no)"}}},
	{"jira",
	 "https://api.atlassian.com",
	 {{"email", CONNECTION_TEXT, "whose API token it is; with it, the base is the site: https://SITE.atlassian.net"},
	  {"token", CONNECTION_SECRET, "that API token, of an account that is the agent's"},
	  {"client_id", CONNECTION_TEXT, "instead: the client id of an OAuth 2.0 (3LO) application"},
	  {"client_secret", CONNECTION_SECRET, "its secret"},
	  {"scopes", CONNECTION_TEXT, "what it asks for (read:jira-work write:jira-work read:jira-user offline_access)"},
	  {"site", CONNECTION_TEXT, "of several sites that allowed it: which (https://SITE.atlassian.net)"},
	  {"auth_base", CONNECTION_TEXT, "where people allow it (https://auth.atlassian.com)"},
	  {"webhook_secret", CONNECTION_SECRET, "the webhook's secret"},
	  {"label", CONNECTION_TEXT, "a label that gives work, too"},
	  {"repositories", CONNECTION_LIST,
	   "which repository: rules {team, project, label, repository}; team is the project's key"},
	  {"repository", CONNECTION_TEXT, "when no rule fits and nobody says"},
	  {"approvers", CONNECTION_LIST, "account ids or addresses of who may let a held request go; nobody when it is not set"},
	  {"started_state", CONNECTION_TEXT, "the status when work begins (the first that is in progress)"},
	  {"review_state", CONNECTION_TEXT, "the status when the pull request is there"},
	  {"failed_state", CONNECTION_TEXT, "the status when the run failed"}}},
	{"slack",
	 "https://slack.com/api",
	 {{"token", CONNECTION_SECRET, "the application's bot token (xoxb-…)"},
	  {"app_token", CONNECTION_SECRET, "an app-level token (xapp-…) for Socket Mode: nothing has to reach us"},
	  {"signing_secret", CONNECTION_SECRET, "instead: the signing secret of events that come over HTTP"},
	  {"repositories", CONNECTION_LIST, "which repository: rules {repository}, the first that fits"},
	  {"repository", CONNECTION_TEXT, "when no rule fits and nobody says"},
	  {"approvers", CONNECTION_LIST, "user ids of who may let a held request go; nobody when it is not set"}}},
	{"standard", "", {{"webhook_secret", CONNECTION_SECRET, "the secret that deliveries are signed with (whsec_…)"}}},
};
const size_t connection_kind_count = ARRAY_LEN(connection_kinds);

const struct connection_kind *connection_kind_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(connection_kinds); i++)
		if (strcmp(connection_kinds[i].name, name) == 0)
			return &connection_kinds[i];
	return NULL;
}

/* ---- rows ---- */

void connection_fini(struct connection *connection)
{
	const char *key;
	json_t *value;

	if (connection->secrets && connection->secrets->refcount == 1)
		json_object_foreach(connection->secrets, key, value)
			if (json_is_string(value))
				explicit_bzero((char *)(uintptr_t)json_string_value(value), json_string_length(value));
	json_decref(connection->secrets);
	json_decref(connection->configuration);
	free(connection->id);
	free(connection->kind);
	free(connection->name);
	free(connection->base);
	free(connection->state);
	free(connection->error);
	*connection = (struct connection){0};
}

const char *connection_secret(const struct connection *connection, const char *key)
{
	return json_text(connection->secrets, key, NULL);
}

static json_t *object_read(const char *text, struct err *err)
{
	json_t *object = json_parse(view_of(text), err);

	if (object && !json_is_object(object)) {
		json_decref(object);
		object = NULL;
		(void)err_set(err, ERR_BROKEN, "the store keeps no object where a connection's should be");
	}
	return object;
}

int connection_read(struct store_tx *tx, const char *id, struct connection *connection, struct err *err)
{
	AUTO_ROWS rows = {0};

	if (store_query(tx, &rows,
			"SELECT id, kind, name, base, configuration, secrets, state, error, created_ms FROM connection"
			" WHERE id = ? OR name = ?",
			VALUES(V(id), V(id)), err))
		return -1;
	if (!store_rows_next(&rows))
		return store_rows_finish(&rows, err) ? -1 : err_set(err, ERR_NOT_FOUND, "there is no connection `%.80s`", id);
	connection_fini(connection);
	connection->id = text_copy(store_rows_text(&rows, 0));
	connection->kind = text_copy(store_rows_text(&rows, 1));
	connection->name = text_copy(store_rows_text(&rows, 2));
	connection->base = text_copy(store_rows_text(&rows, 3));
	connection->configuration = object_read(store_rows_text(&rows, 4), err);
	connection->secrets = connection->configuration ? object_read(store_rows_text(&rows, 5), err) : NULL;
	connection->state = text_copy(store_rows_text(&rows, 6));
	connection->error = text_copy(store_rows_text(&rows, 7));
	connection->created_ms = store_rows_number(&rows, 8);
	return connection->secrets ? 0 : -1;
}

int connection_load(struct runs *runs, const char *id, struct connection *connection, struct err *err)
{
	AUTO_TX tx = {0};

	return store_begin_snapshot(runs->store, &tx, err) ? -1 : connection_read(&tx, id, connection, err);
}

json_t *connection_ids(struct store_tx *tx, const char *kind, struct err *err)
{
	AUTO_JSON ids = json_array();
	AUTO_ROWS rows = {0};

	if (store_query(tx, &rows, "SELECT id FROM connection WHERE kind = ? OR ? = '' ORDER BY created_ms, id",
			VALUES(V(kind ? kind : ""), V(kind ? kind : "")), err))
		return NULL;
	while (store_rows_next(&rows))
		(void)json_array_append_new(ids, store_rows_json(&rows, 0));
	return store_rows_finish(&rows, err) ? NULL : TAKE(ids);
}

static void members_merge(json_t *object, const json_t *over)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)over, key, value) {
		if (json_is_null(value))
			(void)json_object_del(object, key);
		else
			(void)json_object_set(object, key, value);
	}
}

static int connection_write(struct store_tx *tx, const struct connection *connection, struct err *err)
{
	AUTO_BUF configuration = buf_new(CONNECTION_BYTES_MAX);
	AUTO_BUF secrets = buf_new(CONNECTION_BYTES_MAX);
	int failed;

	json_format(&configuration, connection->configuration);
	json_format(&secrets, connection->secrets);
	failed = buf_finish(&configuration, err) || buf_finish(&secrets, err) ||
		 store_run(tx, "UPDATE connection SET name = ?, base = ?, configuration = ?, secrets = ? WHERE id = ?",
			   VALUES(V(connection->name), V(connection->base), V(buf_view(&configuration)), V(buf_view(&secrets)),
				  V(connection->id)),
			   err);
	explicit_bzero(secrets.at, secrets.length);
	return failed ? -1 : 0;
}

int connection_merge(struct store_tx *tx, const char *id, const json_t *configuration, const json_t *secrets, struct err *err)
{
	AUTO_CONNECTION connection = {0};

	if (connection_read(tx, id, &connection, err))
		return -1;
	members_merge(connection.configuration, configuration);
	members_merge(connection.secrets, secrets);
	return connection_write(tx, &connection, err);
}

int connection_state_set(struct store_tx *tx, const char *id, const char *error, struct err *err)
{
	AUTO_FREE char *cut = error ? text_format("%.*s", (int)CONNECTION_ERROR_MAX, error) : NULL;
	const char *state = error ? "broken" : "ready";

	return store_run(tx, "UPDATE connection SET state = ?, error = ? WHERE id = ? AND (state <> ? OR coalesce(error, '') <> ?)",
			 VALUES(V(state), V((const char *)cut), V(id), V(state), V(cut ? (const char *)cut : "")), err);
}

/* ---- what people say about one ---- */

static const struct connection_key *key_find(const struct connection_kind *kind, const char *name)
{
	for (size_t i = 0; i < CONNECTION_KEYS_MAX && kind->keys[i].name; i++)
		if (strcmp(kind->keys[i].name, name) == 0)
			return &kind->keys[i];
	return NULL;
}

static const char *const type_names[] = {[CONNECTION_TEXT] = "text",
					 [CONNECTION_SECRET] = "secret",
					 [CONNECTION_NUMBER] = "number",
					 [CONNECTION_FLAG] = "flag",
					 [CONNECTION_LIST] = "list"};

static bool type_fits(enum connection_type type, const json_t *value)
{
	switch (type) {
	case CONNECTION_TEXT:
	case CONNECTION_SECRET:
		return json_is_string(value) && json_string_length(value);
	case CONNECTION_NUMBER:
		return json_is_integer(value);
	case CONNECTION_FLAG:
		return json_is_boolean(value);
	case CONNECTION_LIST:
		return json_is_array(value);
	}
	return false;
}

static int members_check(const struct connection_kind *kind, const json_t *members, bool secrets, struct err *err)
{
	const char *name;
	json_t *value;

	if (members && !json_is_object(members))
		return err_set(err, ERR_INVALID, "%s: expected an object", secrets ? "secrets" : "configuration");
	json_object_foreach((json_t *)(uintptr_t)members, name, value) {
		const struct connection_key *key = key_find(kind, name);

		if (!key)
			return err_set(err, ERR_INVALID, "a connection to %s has no `%.60s`", kind->name, name);
		if ((key->type == CONNECTION_SECRET) != secrets)
			return err_set(err, ERR_INVALID, "`%s` is %s secret: say it among the %s", name, secrets ? "no" : "a",
				       secrets ? "settings" : "secrets");
		if (!json_is_null(value) && !type_fits(key->type, value))
			return err_set(err, ERR_INVALID, "`%s`: expected a %s (%s)", name, type_names[key->type], key->about);
	}
	return 0;
}

/* Without a slash at its end; owned. */
static char *base_take(const char *text, struct err *err)
{
	struct view view = view_of(text);
	struct url url;

	while (view_ends(view, VIEW("/")))
		view.length--;
	if (url_parse(view, &url, err)) {
		(void)err_prefix(err, "base");
		return NULL;
	}
	if (!view_is(url.scheme, "https") && !view_is(url.scheme, "http")) {
		(void)err_set(err, ERR_INVALID, "base: expected https://…, not `%.200s`", text);
		return NULL;
	}
	return view_copy(view);
}

static int name_check(const char *name, struct err *err)
{
	size_t length = strlen(name);
	bool good = length > 0 && length <= NAME_BYTES_MAX;

	for (size_t i = 0; good && i < length; i++)
		good = (name[i] >= 'a' && name[i] <= 'z') || (name[i] >= '0' && name[i] <= '9') ||
		       (i && (name[i] == '-' || name[i] == '.'));
	return good ? 0
		    : err_set(err, ERR_INVALID, "`%.80s` is no name of a connection: lower-case letters, digits, dashes and dots",
			      name);
}

/* What a request says, put over the connection. */
static int request_put(struct connection *connection, const json_t *request, struct err *err)
{
	const struct connection_kind *kind = connection_kind_find(connection->kind);
	const char *base = json_text(request, "base", NULL);
	const char *name = json_text(request, "name", NULL);

	if (!kind)
		return err_set(err, ERR_BROKEN, "the store keeps a connection to `%s`, which is none we know", connection->kind);
	if (members_check(kind, json_member(request, "configuration"), false, err) ||
	    members_check(kind, json_member(request, "secrets"), true, err) || (name && name_check(name, err)))
		return -1;
	if (base) {
		free(connection->base);
		connection->base = base_take(base, err);
		if (!connection->base)
			return -1;
	}
	if (name) {
		free(connection->name);
		connection->name = text_copy(name);
	}
	members_merge(connection->configuration, json_member(request, "configuration"));
	members_merge(connection->secrets, json_member(request, "secrets"));
	return 0;
}

static json_t *connection_json(const struct connection *connection)
{
	AUTO_JSON names = json_array();
	const char *key;
	json_t *value;

	json_object_foreach(connection->secrets, key, value)
		(void)json_array_append_new(names, json_string(key));
	return json_pack("{s:s, s:s, s:s, s:s, s:O, s:O, s:s, s:s?, s:I, s:o}", "id", connection->id, "kind", connection->kind,
			 "name", connection->name, "base", connection->base, "configuration", connection->configuration, "secrets",
			 names, "state", connection->state, "error", connection->error, "created_ms",
			 (json_int_t)connection->created_ms, "hook", json_sprintf("/hooks/%s", connection->id));
}

json_t *runs_connection_list(struct runs *runs, struct err *err)
{
	AUTO_JSON items = json_array();
	AUTO_JSON ids = NULL;
	AUTO_TX tx = {0};
	size_t i;
	json_t *id;

	ids = store_begin(runs->store, &tx, err) ? NULL : connection_ids(&tx, NULL, err);
	if (!ids)
		return NULL;
	json_array_foreach(ids, i, id) {
		AUTO_CONNECTION connection = {0};

		if (connection_read(&tx, json_string_value(id), &connection, err))
			return NULL;
		(void)json_array_append_new(items, connection_json(&connection));
	}
	return TAKE(items);
}

json_t *runs_connection_show(struct runs *runs, const char *id, struct err *err)
{
	AUTO_CONNECTION connection = {0};

	return connection_load(runs, id, &connection, err) ? NULL : connection_json(&connection);
}

static int connection_insert(struct runs *runs, struct connection *connection, struct err *err)
{
	AUTO_TX tx = {0};
	int64_t there = 0;
	int64_t named = 0;

	if (store_begin(runs->store, &tx, err) ||
	    store_number_get(&tx, &there, 0, "SELECT count(*) FROM connection", NO_VALUES, err) ||
	    store_number_get(&tx, &named, 0, "SELECT count(*) FROM connection WHERE name = ?", VALUES(V(connection->name)), err))
		return -1;
	if (there >= CONNECTIONS_MAX)
		return err_set(err, ERR_LIMIT, "there are %d connections already", CONNECTIONS_MAX);
	if (named)
		return err_set(err, ERR_CONFLICT, "there is a connection `%s` already: give this one another name",
			       connection->name);
	if (store_run(&tx,
		      "INSERT INTO connection (id, kind, name, base, configuration, secrets, state, created_ms)"
		      " VALUES (?, ?, ?, ?, '{}', '{}', 'new', ?)",
		      VALUES(V(connection->id), V(connection->kind), V(connection->name), V(connection->base),
			     V(connection->created_ms)),
		      err) ||
	    connection_write(&tx, connection, err))
		return -1;
	return store_commit(&tx, err);
}

json_t *runs_connection_make(struct runs *runs, const json_t *request, struct err *err)
{
	const char *name = json_text(request, "kind", "");
	const struct connection_kind *kind = connection_kind_find(name);
	AUTO_CONNECTION connection = {0};
	AUTO_BUF id = buf_new(64);
	unsigned char random[8];

	if (!kind) {
		(void)err_set(err, ERR_INVALID,
			      "kind: expected linear, jira, slack, github, gitlab, gitea or standard, not `%.40s`", name);
		return NULL;
	}
	world_random(runs->options.world, random, sizeof(random));
	buf_add_text(&id, "c");
	buf_add_hex(&id, random, sizeof(random));
	connection.id = text_copy(id.at);
	connection.kind = text_copy(kind->name);
	connection.name = text_copy(kind->name);
	connection.base = text_copy(kind->base);
	connection.state = text_copy("new");
	connection.configuration = json_object();
	connection.secrets = json_object();
	connection.created_ms = world_now_ms(runs->options.world);
	if (request_put(&connection, request, err) || connection_insert(runs, &connection, err))
		return NULL;
	return connection_json(&connection);
}

/* What was broken may be mended: what waits for that is tried at once. */
static int tenants_wake(struct store_tx *tx, const struct connection *connection, struct err *err)
{
	AUTO_FREE char *pattern = text_format("%%/%s%%", connection->id);

	if (strcmp(connection->state, "broken") != 0)
		return 0;
	return store_run(tx, "DELETE FROM outbox_tenant WHERE tenant LIKE ?", VALUES(V((const char *)pattern)), err);
}

json_t *runs_connection_change(struct runs *runs, const char *id, const json_t *request, struct err *err)
{
	AUTO_CONNECTION connection = {0};
	AUTO_TX tx = {0};

	if (store_begin(runs->store, &tx, err) || connection_read(&tx, id, &connection, err) ||
	    request_put(&connection, request, err) || connection_write(&tx, &connection, err) ||
	    tenants_wake(&tx, &connection, err) || store_commit(&tx, err))
		return NULL;
	return connection_json(&connection);
}

int runs_connection_remove(struct runs *runs, const char *id, struct err *err)
{
	AUTO_CONNECTION connection = {0};
	AUTO_TX tx = {0};

	if (store_begin(runs->store, &tx, err) || connection_read(&tx, id, &connection, err) ||
	    store_run(&tx, "DELETE FROM connection WHERE id = ?", VALUES(V(connection.id)), err))
		return -1;
	return store_commit(&tx, err);
}

json_t *runs_connection_kinds(void)
{
	json_t *items = json_array();

	for (size_t i = 0; i < ARRAY_LEN(connection_kinds); i++) {
		const struct connection_kind *kind = &connection_kinds[i];
		json_t *keys = json_array();

		for (size_t k = 0; k < CONNECTION_KEYS_MAX && kind->keys[k].name; k++)
			(void)json_array_append_new(keys, json_pack("{s:s, s:s, s:s}", "name", kind->keys[k].name, "type",
								    type_names[kind->keys[k].type], "about", kind->keys[k].about));
		(void)json_array_append_new(items,
					    json_pack("{s:s, s:s?, s:o}", "kind", kind->name, "base", kind->base, "keys", keys));
	}
	return items;
}
