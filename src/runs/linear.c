/*
 * Linear: its webhooks taken, what is said there sent, how a workspace allows it, and what its connection lacks.
 *
 * Each workspace that installed the application is an account, with its own tokens and its own id for us. The id of an effect's operation is
 * the id of what is created there, so that a repetition creates nothing.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"
#include "runs/runs_priv.h"
#include "runs/voice.h"
#include "trackers/linear.h"

#define CONFIDENT 0.5
#define PICTURE_TYPE "image/png"
#define FINAL_BYTES_MAX ((size_t)128 << 10)
#define CANDIDATES_MAX 50

/* ---- in ---- */

static int verify(const struct connection *connection, const struct webhook_request *request, int64_t now_ms, struct err *err)
{
	return webhook_verify(WEBHOOK_LINEAR, connection_secret(connection, "webhook_secret"), request, now_ms, err);
}

static int keys(const struct connection *connection, const struct webhook_request *request, struct inbox_keys *out, struct err *err)
{
	const char *delivery = request->header(request->self, "linear-delivery");
	const char *wanted = json_text(connection->configuration, "client_id", NULL);
	AUTO_TRACKER_EVENT event = {0};

	if (linear_event_parse(request->body, &event, err))
		return -1;
	if (!delivery || !delivery[0] || strlen(delivery) > 100)
		return err_set(err, ERR_INVALID, "the webhook has no Linear-Delivery");
	out->ignored = event.kind == TRACKER_IGNORED || !event.account ||
		       (wanted && event.client && strcmp(wanted, event.client) != 0);
	out->time_ms = event.time_ms; /* the header's is not signed: the body's is */
	out->age_max_ms = LINEAR_WEBHOOK_AGE_MS;
	out->delivery = text_copy(delivery);
	out->content = event.key[0] ? text_copy(event.key) : NULL;
	/* What is said in a session is acted on in order; its other events may pass it. */
	out->stream = event.thread ? text_copy(event.thread) : NULL;
	out->kind = text_format("%.60s.%.60s", json_text(event.raw, "type", ""), json_text(event.raw, "action", ""));
	return 0;
}

static int take(struct runs *runs, struct store_tx *tx, const struct connection *connection, const struct inbox_message *message,
		struct err *err)
{
	AUTO_TRACKER_EVENT event = {0};

	return linear_event_parse(message->data, &event, err) ? -1 : thread_take(runs, tx, connection, &event, err);
}

const struct inbox_source inbox_linear = {.name = "linear", .verify = verify, .keys = keys, .take = take};

/* ---- out ---- */

struct linear_ask {
	const char *operation;
	const json_t *variables;
	json_t **data;
	int64_t now_ms;
};

static int act(void *self, const struct connection *connection, const char *token, struct token_said *said, struct err *err)
{
	struct linear_ask *ask = self;
	const struct linear_access access = {connection->base, token};
	struct linear_said heard;
	int failed = linear_call(&access, ask->operation, ask->variables, ask->now_ms, ask->data, &heard, err);

	*said = (struct token_said){heard.blocked_until_ms, heard.expired};
	return failed;
}

/* Asks as the account. `variables` is borrowed; *data is owned by the caller. Blocks. */
static int linear_ask(struct runs *runs, const char *connection, const char *account, const char *operation,
		      const json_t *variables, json_t **data, struct token_said *said, struct err *err)
{
	struct linear_ask ask = {operation, variables, data, world_now_ms(runs->options.world)};
	const struct token_call call = {connection, account, act, &ask};

	*data = NULL;
	return token_use(runs, &call, said, err);
}

static int ask(const struct speaking *speaking, const char *operation, json_t *variables, json_t **data, struct err *err)
{
	AUTO_JSON owned = variables;
	struct token_said said;
	AUTO_JSON ignored = NULL;

	if (!linear_ask(speaking->runs, speaking->thread.connection, speaking->thread.account, operation, variables,
			data ? data : &ignored, &said, err))
		return 0;
	speaking->answer->blocked_until_ms = said.blocked_until_ms;
	return -1;
}

/* An activity under the operation's id: one that is there already was sent by an earlier try. `content` and `extra` are stolen. */
static int activity(const struct speaking *speaking, json_t *content, json_t *extra, struct err *err)
{
	struct linear_uuid id = linear_uuid_of(speaking->effect->operation);
	json_t *input = json_pack("{s:s, s:s, s:o}", "id", id.text, "agentSessionId", speaking->thread.thread, "content", content);

	if (extra) {
		(void)json_object_update(input, extra);
		json_decref(extra);
	}
	(void)snprintf(speaking->answer->text, sizeof(speaking->answer->text), "%s", id.text);
	if (!ask(speaking, "ActivityCreate", json_pack("{s:o}", "input", input), NULL, err))
		return 0;
	if (err->kind != ERR_CONFLICT)
		return -1;
	*err = (struct err){0};
	return 0;
}

static json_t *ephemeral_of(const struct speaking *speaking)
{
	return json_flag(speaking->speech, "ephemeral", false) ? json_pack("{s:b}", "ephemeral", 1) : NULL;
}

static const char *text_of(const struct speaking *speaking)
{
	return json_text(speaking->speech, "text", "");
}

static int send_thought(struct speaking *speaking, struct err *err)
{
	return activity(speaking, linear_thought(text_of(speaking)), ephemeral_of(speaking), err);
}

static int send_action(struct speaking *speaking, struct err *err)
{
	const json_t *speech = speaking->speech;

	return activity(speaking,
			linear_action(json_text(speech, "action", ""), json_text(speech, "parameter", ""),
				      json_text(speech, "result", NULL)),
			ephemeral_of(speaking), err);
}

static int send_ask(struct speaking *speaking, struct err *err)
{
	const json_t *options = json_member(speaking->speech, "options");
	const char *values[LINEAR_OPTIONS_MAX];
	size_t count = 0;
	json_t *option;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)options, i, option)
		if (json_is_string(option) && count < LINEAR_OPTIONS_MAX)
			values[count++] = json_string_value(option);
	return activity(speaking, linear_words("elicitation", text_of(speaking)),
			count ? json_pack("{s:s, s:o}", "signal", "select", "signalMetadata", linear_options(values, count)) : NULL,
			err);
}

static int picture_upload(void *self, const char *file, struct view bytes, char **url, struct err *err)
{
	const struct speaking *speaking = self;
	AUTO_JSON data = NULL;

	if (ask(speaking, "FileUpload",
		json_pack("{s:s, s:s, s:I}", "contentType", PICTURE_TYPE, "filename", file, "size", (json_int_t)bytes.length),
		&data, err))
		return -1;
	return linear_upload(speaking->runs->options.world, data, PICTURE_TYPE, bytes, url, err);
}

/* Final words with what the agent saw: one that cannot be brought there is named, and holds nothing up. */
static int send_final(struct speaking *speaking, struct err *err)
{
	AUTO_BUF text = buf_new(FINAL_BYTES_MAX);
	AUTO_JSON pictures = voice_pictures(speaking, picture_upload, err);

	if (!pictures)
		return -1;
	buf_add_text(&text, text_of(speaking));
	voice_pictures_write(pictures, true, &text);
	if (buf_finish(&text, err))
		return -1;
	return activity(speaking, linear_words(json_text(speaking->speech, "say", ""), text.at), NULL, err);
}

static int session_update(const struct speaking *speaking, json_t *input, struct err *err)
{
	return ask(speaking, "SessionUpdate", json_pack("{s:s, s:o}", "id", speaking->thread.thread, "input", input), NULL, err);
}

static int send_plan(struct speaking *speaking, struct err *err)
{
	return session_update(speaking, json_pack("{s:o}", "plan", linear_plan(json_member(speaking->speech, "plan"))), err);
}

/* On the session, where they are one click away, and on the issue, where they stay; both know a URL they have. */
static int send_links(struct speaking *speaking, struct err *err)
{
	const json_t *links = json_member(speaking->speech, "links");
	json_t *link;
	size_t i;

	if (session_update(speaking, json_pack("{s:O}", "addedExternalUrls", links), err))
		return -1;
	json_array_foreach((json_t *)(uintptr_t)links, i, link) {
		json_t *input = json_pack("{s:s, s:s, s:s, s:s}", "issueId", speaking->thread.item_id, "title",
					  json_text(link, "label", ""), "url", json_text(link, "url", ""), "subtitle", "Assay");

		if (ask(speaking, "AttachmentCreate", json_pack("{s:o}", "input", input), NULL, err) && err->kind != ERR_CONFLICT)
			return -1;
		*err = (struct err){0};
	}
	return 0;
}

static int issue_update(const struct speaking *speaking, const json_t *input, struct err *err)
{
	return ask(speaking, "IssueUpdate", json_pack("{s:s, s:O}", "id", speaking->thread.item_id, "input", input), NULL, err);
}

/* The delegate is set when nobody is it; the state moves on only from before the work, and only when a person gave it. */
static int state_started(struct speaking *speaking, const json_t *issue, const json_t *states, const char *self, struct err *err)
{
	const char *type = json_text(json_member(issue, "state"), "type", "");
	bool over = strcmp(type, "started") == 0 || strcmp(type, "completed") == 0 || strcmp(type, "canceled") == 0;
	const char *started = linear_started_state(states);
	AUTO_JSON input = json_object();

	if (!json_is_object(json_member(issue, "delegate")) && self)
		(void)json_object_set_new(input, "delegateId", json_string(self));
	if (!over && started && speaking->thread.actor)
		(void)json_object_set_new(input, "stateId", json_string(started));
	return json_object_size(input) ? issue_update(speaking, input, err) : 0;
}

static int send_state(struct speaking *speaking, struct err *err)
{
	const char *state = json_text(speaking->speech, "state", "");
	AUTO_CONNECTION connection = {0};
	AUTO_ACCOUNT account = {0};
	AUTO_FREE char *key = text_format("%s_state", state);
	AUTO_JSON issue = NULL;
	AUTO_JSON states = NULL;
	const char *name;
	const char *id;
	AUTO_TX tx = {0};

	if (store_begin_snapshot(speaking->runs->store, &tx, err) ||
	    connection_read(&tx, speaking->thread.connection, &connection, err) ||
	    account_read(&tx, connection.id, speaking->thread.account, &account, err))
		return -1;
	store_abort(&tx);
	name = json_text(connection.configuration, key, NULL);
	if (strcmp(state, "started") != 0 && !name)
		return 0;
	if (ask(speaking, "IssueContext", json_pack("{s:s}", "id", speaking->thread.item_id), &issue, err))
		return -1;
	id = json_text(json_member(json_member(issue, "issue"), "team"), "id", "");
	if (ask(speaking, "TeamStates", json_pack("{s:s}", "id", id), &states, err))
		return -1;
	if (strcmp(state, "started") == 0)
		return state_started(speaking, json_member(issue, "issue"), states, account.self, err);
	id = linear_state_named(states, name);
	if (!id)
		return err_set(err, ERR_INVALID, "the team has no state `%.80s` (%s)", name, key);
	AUTO_JSON input = json_pack("{s:s}", "stateId", id);

	return issue_update(speaking, input, err);
}

/* ---- opening ---- */

static json_t *names_of(const json_t *labels)
{
	json_t *names = json_array();
	json_t *label;
	size_t i;

	json_array_foreach(json_member(labels, "nodes"), i, label)
		(void)json_array_append_new(names, json_string(json_text(label, "name", "")));
	return names;
}

static json_t *comments_of(const json_t *issue)
{
	json_t *list = json_array();
	const json_t *nodes = json_member(json_member(issue, "comments"), "nodes");

	/* The newest first there, the oldest first here. */
	for (size_t i = json_array_size(nodes); i--;) {
		const json_t *node = json_array_get(nodes, i);
		const json_t *user = json_member(node, "user");
		json_t *comment = json_object();

		(void)json_object_set_new(comment, "id", json_string(json_text(node, "id", "")));
		(void)json_object_set_new(
			comment, "author",
			json_string(json_text(user, "name", json_text(json_member(node, "botActor"), "name", "somebody"))));
		(void)json_object_set_new(comment, "text", json_string(json_text(node, "body", "")));
		(void)json_array_append_new(list, comment);
	}
	return list;
}

/* Projects that are at code hosts: {"hostname", "repositoryFullName"}, and beside them what each is called here. */
static json_t *candidates_of(struct runs *runs, json_t *projects, struct err *err)
{
	AUTO_JSON list = json_array();
	AUTO_TX tx = {0};
	AUTO_ROWS rows = {0};

	if (store_begin_snapshot(runs->store, &tx, err) ||
	    store_query(&tx, &rows, "SELECT name, remote, url FROM repository ORDER BY name LIMIT ?",
			VALUES(V((int64_t)CANDIDATES_MAX)), err))
		return NULL;
	while (store_rows_next(&rows)) {
		const char *remote = store_rows_text(&rows, 1);
		const char *url = store_rows_text(&rows, 2);
		const char *host = strstr(url, "://");

		host = host ? host + 3 : url;
		(void)json_array_append_new(
			list, json_pack("{s:s%, s:s}", "hostname", host, strcspn(host, "/"), "repositoryFullName", remote));
		(void)json_object_set_new(projects, remote, json_string(store_rows_text(&rows, 0)));
	}
	return store_rows_finish(&rows, err) ? NULL : TAKE(list);
}

/* Linear's own guess, when it is sure enough and one of ours. */
static int suggestion(struct speaking *speaking, char **repository, struct err *err)
{
	AUTO_JSON projects = json_object();
	AUTO_JSON candidates = candidates_of(speaking->runs, projects, err);
	AUTO_JSON data = NULL;
	const json_t *best = NULL;
	json_t *each;
	size_t i;

	if (!candidates)
		return -1;
	if (!json_array_size(candidates))
		return 0;
	if (ask(speaking, "RepositorySuggestions",
		json_pack("{s:s, s:O, s:s}", "issueId", speaking->thread.item_id, "candidates", candidates, "session",
			  speaking->thread.thread),
		&data, err))
		return -1;
	json_array_foreach(json_member(json_member(data, "issueRepositorySuggestions"), "suggestions"), i, each) {
		double confidence = json_number_value(json_member(each, "confidence"));

		if (confidence >= CONFIDENT && (!best || confidence > json_number_value(json_member(best, "confidence"))))
			best = each;
	}
	*repository = text_copy(json_text(projects, json_text(best, "repositoryFullName", ""), NULL));
	return 0;
}

static void item_take(struct voice_item *item, json_t *data)
{
	const json_t *issue = json_member(data, "issue");
	json_t *labels = names_of(json_member(issue, "labels"));
	json_t *comments = comments_of(issue);

	voice_item_keep(item, data);
	voice_item_keep(item, labels);
	voice_item_keep(item, comments);
	item->item = (struct thread_item){.item = json_text(issue, "identifier", NULL),
					  .item_id = json_text(issue, "id", NULL),
					  .url = json_text(issue, "url", NULL),
					  .title = json_text(issue, "title", NULL),
					  .body = json_text(issue, "description", NULL),
					  .team = json_text(json_member(issue, "team"), "key", NULL),
					  .project = json_text(json_member(issue, "project"), "name", NULL),
					  .labels = labels,
					  .comments = comments};
}

static int fetch(struct speaking *speaking, struct voice_item *item, struct err *err)
{
	json_t *data = NULL;

	if (ask(speaking, "IssueContext", json_pack("{s:s}", "id", speaking->thread.item_id), &data, err))
		return -1;
	item_take(item, data);
	return 0;
}

/* ---- begun here ---- */

/* `data` is IssueContext's, owned by the caller; NULL: this workspace does not have it. */
static int item_find(struct runs *runs, const char *connection, const char *account, const char *name, json_t **data,
		     struct err *err)
{
	AUTO_JSON variables = json_pack("{s:s}", "id", name);
	struct token_said said;

	if (!linear_ask(runs, connection, account, "IssueContext", variables, data, &said, err) || err->kind != ERR_NOT_FOUND)
		return *data ? 0 : -1;
	*err = (struct err){0};
	return 0;
}

/* A session is opened on it, so that what its run does is seen there. */
static json_t *import(struct runs *runs, const char *connection, const char *account, const char *name, const char *repository,
		      struct err *err)
{
	AUTO_ITEM item = {0};
	AUTO_JSON variables = NULL;
	AUTO_JSON data = NULL;
	AUTO_FREE char *text = NULL;
	json_t *found = NULL;
	const json_t *session;
	struct token_said said;
	int64_t number = 0;

	if (item_find(runs, connection, account, name, &found, err) || !found)
		return NULL;
	item_take(&item, found);
	variables = json_pack("{s:{s:s}}", "input", "issueId", item.item.item_id ? item.item.item_id : "");
	if (linear_ask(runs, connection, account, "SessionOnIssue", variables, &data, &said, err))
		return NULL;
	session = json_member(json_member(data, "agentSessionCreateOnIssue"), "agentSession");
	if (thread_import(runs, connection, account, json_text(session, "id", ""), json_text(session, "url", NULL), &item.item,
			  repository, &number, err))
		return NULL;
	text = text_format("%lld", (long long)number);
	return tracker_fetch(runs->tracker, text, err);
}

/* ---- tokens ---- */

static struct linear_client client_of(const struct connection *connection)
{
	return (struct linear_client){connection->base, json_text(connection->configuration, "client_id", ""),
				      connection_secret(connection, "client_secret")};
}

static const char *scopes_of(const struct connection *connection)
{
	return json_text(connection->configuration, "scopes", LINEAR_SCOPES);
}

static char *authorize_url(const struct connection *connection, const char *redirect, const char *state, const char *verifier)
{
	const struct linear_client client = client_of(connection);

	return linear_authorize_url(json_text(connection->configuration, "authorize_url", LINEAR_AUTHORIZE), &client, redirect,
				    scopes_of(connection), state, verifier);
}

static int token_of_code(const struct connection *connection, const char *code, const char *redirect, const char *verifier,
			 json_t **answer, struct err *err)
{
	const struct linear_client client = client_of(connection);

	return linear_token_of_code(&client, code, redirect, verifier, answer, err);
}

static int token_renew(const struct connection *connection, const char *refresh, json_t **answer, struct err *err)
{
	const struct linear_client client = client_of(connection);

	return linear_token_refresh(&client, refresh, answer, err);
}

static int token_own(const struct connection *connection, json_t **answer, struct err *err)
{
	const struct linear_client client = client_of(connection);

	if (!json_flag(connection->configuration, "client_credentials", false) || !client.secret)
		return err_set(err, ERR_INVALID, "`%.60s` has no client_credentials=true, or no client_secret", connection->name);
	return linear_token_of_client(&client, scopes_of(connection), answer, err);
}

static int viewer(struct world world, const struct connection *connection, const json_t *answer, struct account *account,
		  json_t **made, struct err *err)
{
	const struct linear_access access = {connection->base, json_text(answer, "access_token", "")};
	struct linear_said said;
	AUTO_JSON data = NULL;
	const json_t *workspace;

	(void)made;
	if (linear_call(&access, "Viewer", NULL, world_now_ms(world), &data, &said, err))
		return err_prefix(err, "asking who we are");
	workspace = json_member(data, "organization");
	account->account = text_copy(json_text(workspace, "id", NULL));
	account->name = text_copy(json_text(workspace, "name", ""));
	account->self = text_copy(json_text(json_member(data, "viewer"), "id", NULL));
	if (!account->account || !account->self)
		return err_set(err, ERR_BROKEN, "Linear does not say whose the token is");
	return 0;
}

static const struct token_ops tokens = {.authorize_url = authorize_url,
					.of_code = token_of_code,
					.renew = token_renew,
					.own = token_own,
					.renews_own = true,
					.viewer = viewer};

/* ---- what it lacks ---- */

#define SETTINGS "linear.app → Settings → API → your application"

static void scopes_say(struct check *check, const json_t *account)
{
	static const char *const wanted[] = {"read", "write", "app:assignable", "app:mentionable"};
	const char *scopes = json_text(account, "scopes", "");
	AUTO_FREE char *how = text_format("add it to `scopes` (`assay connections set %s --set scopes=" LINEAR_SCOPES
					  "`), then `assay linear connect %s` once more",
					  check->connection->name, check->connection->name);

	for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
		AUTO_FREE char *what = text_format("scope %s in %s", wanted[i], json_text(account, "name", ""));
		bool has = check_scope(scopes, wanted[i]);

		check_say(check, what, has, false, has ? "was allowed" : "was not allowed", how);
	}
}

/* Does every rule's team exist there? */
static void teams_say(struct check *check, const json_t *account, const json_t *data)
{
	json_t *rule;
	json_t *team;
	size_t i, k;

	json_array_foreach(json_member(check->connection->configuration, "repositories"), i, rule) {
		const char *key = json_text(rule, "team", NULL);
		bool found = !key;

		json_array_foreach(json_member(json_member(data, "teams"), "nodes"), k, team)
			found = found || strcasecmp(json_text(team, "key", ""), key) == 0;
		AUTO_FREE char *what = text_format("team %s in %s", key ? key : "", json_text(account, "name", ""));

		if (key)
			check_say(
				check, what, found, true, found ? "is there" : "is none that the application may see",
				"give the application access to the team (its page under Settings → Applications), or mend the rule");
	}
}

static void account_say(struct check *check, const json_t *account)
{
	AUTO_FREE char *what = text_format("workspace %s", json_text(account, "name", ""));
	AUTO_FREE char *how = text_format("`assay linear connect %s` once more", check->connection->name);
	struct token_said said;
	AUTO_JSON data = NULL;
	struct err err = {0};

	if (linear_ask(check->runs, check->connection->id, json_text(account, "account", ""), "Teams", NULL, &data, &said, &err)) {
		check_say(check, what, false, false, err.text, how);
		return;
	}
	check_say(check, what, true, false, "answers", "");
	scopes_say(check, account);
	teams_say(check, account, data);
}

static int webhooks_say(struct check *check, struct err *err)
{
	static const char *const categories[][3] = {{"AgentSessionEvent", "Agent session events", ""},
						    {"AppUserNotification", "Inbox notifications", "note"},
						    {"PermissionChange", "Permission changes", "note"},
						    {"OAuthApp", "OAuth app revoked", "note"}};

	for (size_t i = 0; i < ARRAY_LEN(categories); i++) {
		AUTO_FREE char *what = text_format("webhooks of “%s”", categories[i][1]);
		AUTO_FREE char *how = text_format("in " SETTINGS
						  ": webhooks on, URL %s/hooks/%s, and the category “%s” ticked; a workspace that "
						  "installed it before must allow it again",
						  check->runs->pages_base, check->connection->id, categories[i][1]);

		if (check_deliveries(check, categories[i][0], what, categories[i][2][0], how, err))
			return -1;
	}
	return 0;
}

static int check(struct check *check, struct err *err)
{
	const struct connection *connection = check->connection;
	AUTO_JSON accounts = NULL;
	json_t *account;
	size_t i;

	check_setting(check, "client_id", json_text(connection->configuration, "client_id", NULL),
		      "copy it from " SETTINGS ": `assay connections set NAME --set client_id=…`");
	check_setting(check, "webhook_secret", connection_secret(connection, "webhook_secret"),
		      "copy the signing secret from " SETTINGS ": `assay connections set NAME --secrets`");
	accounts = check_accounts(check, err);
	if (!accounts)
		return -1;
	json_array_foreach(accounts, i, account)
		account_say(check, account);
	return webhooks_say(check, err);
}

/* ---- the table ---- */

static const struct voice_row rows[] = {
	{"thought", send_thought}, {"action", send_action}, {"ask", send_ask},     {"response", send_final},
	{"error", send_final},     {"plan", send_plan},     {"links", send_links}, {"state", send_state},
};

static int say(struct speaking *speaking, struct err *err)
{
	return voice_say(rows, ARRAY_LEN(rows), speaking, err);
}

const struct voice voice_linear = {
	.kind = "linear", .tokens = &tokens, .say = say, .fetch = fetch, .suggest = suggestion, .import = import, .check = check};
