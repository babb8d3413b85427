/*
 * Jira Cloud: its webhooks taken, and what is said there written.
 *
 * A connection is of one site, which is its only account. Progress is one comment that is changed (board.h); questions and final words are comments of their own, to whoever gave the
 * work. A comment carries its operation as a property, by which it is found again when the answer to its making was lost.
 */
#include <stdlib.h>

#include "base/scope.h"
#include "runs/board.h"
#include "runs/jira_priv.h"
#include "runs/runs_priv.h"
#include "trackers/adf.h"

#define PROPERTY "assay"
#define NAME_PATH_MAX ((size_t)4096)
#define LOOKED_AT_MAX 10 /* of the newest comments of ours, for one whose answer was lost */
#define COMMENTS_READ_MAX 50
#define COMMENT_BYTES_MAX ((size_t)64 << 10)

/* ---- in ---- */

static int event_parse(const struct connection *connection, struct view body, struct tracker_event *event, struct err *err)
{
	if (jira_event_parse(body, jira_setting(connection, "self"), jira_setting(connection, "label"), event, err))
		return -1;
	event->account = jira_setting(connection, "account");
	return 0;
}

static int verify(const struct connection *connection, const struct webhook_request *request, int64_t now_ms, struct err *err)
{
	return webhook_verify(WEBHOOK_JIRA, connection_secret(connection, "webhook_secret"), request, now_ms, err);
}

static int keys(const struct connection *connection, const struct webhook_request *request, struct inbox_keys *out, struct err *err)
{
	const char *delivery = request->header(request->self, "x-atlassian-webhook-identifier");
	AUTO_TRACKER_EVENT event = {0};

	if (event_parse(connection, request->body, &event, err))
		return -1;
	if (!delivery || !delivery[0] || strlen(delivery) > 200)
		return err_set(err, ERR_INVALID, "the webhook has no X-Atlassian-Webhook-Identifier");
	out->ignored = event.kind == TRACKER_IGNORED || !event.account || event.actor_is_self;
	out->time_ms = event.time_ms; /* no header has one */
	out->age_max_ms = event.time_ms ? JIRA_WEBHOOK_AGE_MS : 0;
	out->delivery = text_copy(delivery);
	out->content = event.key[0] ? text_copy(event.key) : NULL;
	out->stream = event.thread ? text_copy(event.thread) : NULL;
	out->kind = text_format("%.80s", json_text(event.raw, "webhookEvent", ""));
	return 0;
}

static int take(struct runs *runs, struct store_tx *tx, const struct connection *connection, const struct inbox_message *message,
		struct err *err)
{
	AUTO_TRACKER_EVENT event = {0};

	return event_parse(connection, message->data, &event, err) ? -1 : thread_take(runs, tx, connection, &event, err);
}

const struct inbox_source inbox_jira = {.name = "jira", .verify = verify, .keys = keys, .take = take};

/* ---- asking ---- */

static int said_by(const struct speaking *speaking, struct jira_ask *ask, struct err *err)
{
	const struct token_call call = {speaking->thread.connection, speaking->thread.account, jira_ask_act, ask};
	struct token_said said;

	ask->world = speaking->runs->options.world;
	if (!token_use(speaking->runs, &call, &said, err))
		return 0;
	speaking->answer->blocked_until_ms = said.blocked_until_ms;
	return -1;
}

/* `path` and `body` (may be NULL) are stolen; *answer is owned by the caller, and NULL where nobody wants it. Blocks. */
static int ask(const struct speaking *speaking, const char *method, char *path, json_t *body, json_t **answer, struct err *err)
{
	AUTO_FREE char *owned_path = path;
	AUTO_JSON owned_body = body;
	AUTO_JSON ignored = NULL;
	struct jira_ask ask = {.method = method, .path = path, .body = body, .answer = answer ? answer : &ignored};

	return said_by(speaking, &ask, err);
}

static char *path_of(const struct speaking *speaking, const char *rest)
{
	AUTO_BUF path = buf_new(2048);

	buf_add_text(&path, "/issue/");
	buf_add_url(&path, view_of(speaking->thread.item_id));
	buf_add_text(&path, rest);
	return buf_take(&path);
}

/* ---- comments ---- */

/* Whose operation it is; owned, NULL: nobody's of ours. */
static int operation_of(const struct speaking *speaking, const json_t *comment, char **operation, struct err *err)
{
	const json_t *properties = json_member(comment, "properties");
	AUTO_JSON answer = NULL;
	json_t *each;
	size_t i;

	json_array_foreach(properties, i, each)
		if (strcmp(json_text(each, "key", ""), PROPERTY) == 0) {
			*operation = text_copy(json_text(json_member(each, "value"), "operation", NULL));
			return 0;
		}
	if (json_is_array(properties))
		return 0;
	if (ask(speaking, NULL, text_format("/comment/%s/properties/" PROPERTY, json_text(comment, "id", "")), NULL, &answer,
		err)) {
		if (err->kind != ERR_NOT_FOUND)
			return -1;
		*err = (struct err){0};
	}
	*operation = text_copy(json_text(json_member(answer, "value"), "operation", NULL));
	return 0;
}

/* One of ours that is there already; *id (owned) is NULL when none is. */
static int comment_find(const struct speaking *speaking, const char *operation, char **id, struct err *err)
{
	AUTO_CONNECTION connection = {0};
	AUTO_JSON answer = NULL;
	const char *self;
	json_t *comment;
	int looked = 0;
	size_t i;

	*id = NULL;
	if (connection_load(speaking->runs, speaking->thread.connection, &connection, err) ||
	    ask(speaking, NULL, path_of(speaking, "/comment?orderBy=-created&maxResults=50&expand=properties"), NULL, &answer, err))
		return -1;
	self = json_text(connection.configuration, "self", "");
	json_array_foreach(json_member(answer, "comments"), i, comment) {
		AUTO_FREE char *theirs = NULL;

		if (strcmp(json_text(json_member(comment, "author"), "accountId", ""), self) != 0 || looked++ >= LOOKED_AT_MAX)
			continue;
		if (operation_of(speaking, comment, &theirs, err))
			return -1;
		if (theirs && strcmp(theirs, operation) == 0) {
			*id = text_copy(json_text(comment, "id", NULL));
			return 0;
		}
	}
	return 0;
}

/* `document` is stolen; *id (owned) is what it is called there. */
static int comment_make(const struct speaking *speaking, const char *operation, json_t *document, char **id, struct err *err)
{
	json_t *body = json_pack("{s:o, s:[{s:s, s:{s:s}}]}", "body", document, "properties", "key", PROPERTY, "value", "operation",
				 operation);
	AUTO_JSON answer = NULL;

	if (ask(speaking, NULL, path_of(speaking, "/comment"), body, &answer, err))
		return -1;
	*id = text_copy(json_text(answer, "id", NULL));
	return *id ? 0 : err_set(err, ERR_RETRY, "Jira made a comment and does not say which");
}

/* ---- pictures ---- */

/* People's browsers know the site, and not where an application asks. */
static char *attachment_url(const struct connection *connection, const json_t *attachment)
{
	const char *site = json_text(connection->configuration, "site", connection->base);
	const char *id = json_text(attachment, "id", "");

	return id[0] && strspn(id, "0123456789") == strlen(id) ? text_format("%s/rest/api/3/attachment/content/%s", site, id)
							       : NULL;
}

/* One that an earlier try brought; *url (owned) stays NULL when none is there. */
static int attachment_find(const struct speaking *speaking, const struct connection *connection, const char *file, char **url,
			   struct err *err)
{
	const char *self = json_text(connection->configuration, "self", "");
	AUTO_JSON issue = NULL;
	json_t *each;
	size_t i;

	if (ask(speaking, NULL, path_of(speaking, "?fields=attachment"), NULL, &issue, err))
		return -1;
	json_array_foreach(json_member(json_member(issue, "fields"), "attachment"), i, each)
		if (!*url && strcmp(json_text(each, "filename", ""), file) == 0 &&
		    strcmp(json_text(json_member(each, "author"), "accountId", ""), self) == 0)
			*url = attachment_url(connection, each);
	return 0;
}

/* Attachments are seen by all, so that one whose answer was lost is looked for. */
static int picture_upload(void *self, const char *file, struct view bytes, char **url, struct err *err)
{
	const struct speaking *speaking = self;
	AUTO_FREE char *path = path_of(speaking, "/attachments");
	AUTO_CONNECTION connection = {0};
	AUTO_JSON made = NULL;
	struct jira_ask ask = {.path = path, .file = file, .bytes = bytes, .answer = &made};

	if (connection_load(speaking->runs, speaking->thread.connection, &connection, err) ||
	    (speaking->effect->tries > 1 && attachment_find(speaking, &connection, file, url, err)))
		return -1;
	if (*url)
		return 0;
	if (said_by(speaking, &ask, err))
		return -1;
	*url = attachment_url(&connection, json_array_get(made, 0));
	return *url ? 0 : err_set(err, ERR_RETRY, "Jira took a picture and does not say which it is");
}

/* A comment of its own, to whoever gave the work. */
static int tell(struct speaking *speaking, const char *markdown, const json_t *pictures, struct err *err)
{
	json_t *each;
	size_t i;

	AUTO_JSON request = json_parse(view_of(speaking->thread.request), NULL);
	const char *operation = speaking->effect->operation;
	AUTO_FREE char *id = NULL;
	json_t *document;

	if (speaking->effect->tries > 1 && comment_find(speaking, operation, &id, err))
		return -1;
	if (id)
		return 0;
	document = adf_of_markdown(view_of(markdown));
	json_array_foreach((json_t *)(uintptr_t)pictures, i, each)
		if (json_text(each, "url", NULL))
			adf_picture_add(document, json_text(each, "name", ""), json_text(each, "url", ""));
	if (speaking->thread.actor)
		adf_mention_first(document, speaking->thread.actor, json_text(request, "by", NULL));
	return comment_make(speaking, operation, document, &id, err);
}

static int board_make(const struct speaking *speaking, const json_t *board, json_t *document, char **id, struct err *err)
{
	AUTO_JSON owned = document;
	AUTO_FREE char *name = board_name(&speaking->thread, board);

	if (comment_find(speaking, name, id, err))
		return -1;
	return *id ? 0 : comment_make(speaking, name, json_incref(owned), id, err);
}

static int send_board(struct speaking *speaking, struct err *err)
{
	AUTO_JSON board = board_read(&speaking->thread);
	AUTO_FREE char *id = board_message(&speaking->thread, board);
	AUTO_BUF text = buf_new(COMMENT_BYTES_MAX);
	AUTO_JSON document = NULL;

	if (board_is_told(&speaking->thread, board))
		return 0;
	board_markdown(board, &text);
	document = adf_of_markdown(buf_view(&text));
	if (id) {
		AUTO_FREE char *rest = text_format("/comment/%s", id);

		if (!ask(speaking, "PUT", path_of(speaking, rest), json_pack("{s:O}", "body", document), NULL, err))
			return board_told(speaking->runs, &speaking->thread, board, id, err);
		if (err->kind != ERR_NOT_FOUND)
			return -1;
		/* A person removed it. */
		*err = (struct err){0};
		free(TAKE(id));
	}
	if (board_make(speaking, board, json_incref(document), &id, err))
		return -1;
	return board_told(speaking->runs, &speaking->thread, board, id, err);
}

/* Where the message of this turn is, its head is brought up to date first: what comes last is what people are told of. */
static int board_end(struct speaking *speaking, struct err *err)
{
	AUTO_JSON board = board_read(&speaking->thread);
	AUTO_FREE char *id = board_message(&speaking->thread, board);

	return id ? send_board(speaking, err) : 0;
}

static int send_final(struct speaking *speaking, struct err *err)
{
	AUTO_BUF text = buf_new(COMMENT_BYTES_MAX);
	AUTO_JSON pictures = NULL;

	if (board_end(speaking, err))
		return -1;
	pictures = voice_pictures(speaking, picture_upload, err);
	if (!pictures)
		return -1;
	buf_add_text(&text, json_text(speaking->speech, "text", ""));
	voice_pictures_write(pictures, false, &text);
	return buf_finish(&text, err) ? -1 : tell(speaking, text.at, pictures, err);
}

static int send_ask(struct speaking *speaking, struct err *err)
{
	AUTO_BUF text = buf_new(COMMENT_BYTES_MAX);
	json_t *option;
	size_t i;

	buf_add_format(&text, "%s\n\n", json_text(speaking->speech, "text", ""));
	json_array_foreach(json_member(speaking->speech, "options"), i, option)
		buf_add_format(&text, "- %s\n", json_string_value(option));
	buf_add_text(&text, "\nAnswer with a comment.");
	return board_end(speaking, err) ? -1 : tell(speaking, text.at, NULL, err);
}

/* ---- links and states ---- */

/* One of that name: the same again changes it. */
static int link_put(const struct speaking *speaking, const json_t *link, struct err *err)
{
	const char *label = json_text(link, "label", "");
	json_t *body = json_pack("{s:o, s:{s:s, s:s}, s:s, s:{s:s, s:s}}", "globalId",
				 json_sprintf("system=assay&id=%s/%s", speaking->thread.id, label), "application", "type",
				 "dev.assay", "name", "Assay", "relationship", "Assay", "object", "url", json_text(link, "url", ""),
				 "title", label);

	return ask(speaking, NULL, path_of(speaking, "/remotelink"), body, NULL, err);
}

static int send_links(struct speaking *speaking, struct err *err)
{
	json_t *link;
	size_t i;

	json_array_foreach(json_member(speaking->speech, "links"), i, link)
		if (link_put(speaking, link, err))
			return -1;
	return send_board(speaking, err);
}

static int move(struct speaking *speaking, const char *state, const char *name, struct err *err)
{
	AUTO_JSON answer = NULL;
	const char *id;

	if (ask(speaking, NULL, path_of(speaking, "/transitions"), NULL, &answer, err))
		return -1;
	id = jira_transition(answer, name);
	if (!id && name)
		return err_set(err, ERR_INVALID, "no transition leads from where the issue is to `%.80s` (%s_state)", name, state);
	return id ? ask(speaking, NULL, path_of(speaking, "/transitions"), json_pack("{s:{s:s}}", "transition", "id", id), NULL,
			err)
		  : 0;
}

/* The issue is ours when it is nobody's; it moves on only from before the work. */
static int state_started(struct speaking *speaking, const struct connection *connection, struct err *err)
{
	const char *self = jira_setting(connection, "self");
	AUTO_JSON issue = NULL;
	const json_t *fields;
	const char *category;

	if (ask(speaking, NULL, path_of(speaking, "?fields=status,assignee"), NULL, &issue, err))
		return -1;
	fields = json_member(issue, "fields");
	category = json_text(json_member(json_member(fields, "status"), "statusCategory"), "key", "");
	if (!json_is_object(json_member(fields, "assignee")) && self &&
	    ask(speaking, "PUT", path_of(speaking, "/assignee"), json_pack("{s:s}", "accountId", self), NULL, err))
		return -1;
	return strcmp(category, "new") == 0 ? move(speaking, "started", jira_setting(connection, "started_state"), err) : 0;
}

static int send_state(struct speaking *speaking, struct err *err)
{
	const char *state = json_text(speaking->speech, "state", "");
	AUTO_FREE char *key = text_format("%s_state", state);
	AUTO_CONNECTION connection = {0};
	AUTO_JSON issue = NULL;
	const char *name;
	const char *now;

	if (connection_load(speaking->runs, speaking->thread.connection, &connection, err))
		return -1;
	if (strcmp(state, "started") == 0)
		return state_started(speaking, &connection, err);
	name = jira_setting(&connection, key);
	if (!name)
		return 0;
	if (ask(speaking, NULL, path_of(speaking, "?fields=status"), NULL, &issue, err))
		return -1;
	now = json_text(json_member(json_member(issue, "fields"), "status"), "name", "");
	return strcasecmp(now, name) == 0 ? 0 : move(speaking, state, name, err);
}

/* ---- the issue ---- */

static void item_take(struct voice_item *item, json_t *issue, const struct connection *connection)
{
	const json_t *fields = json_member(issue, "fields");
	const char *self = json_text(connection->configuration, "self", "");
	const char *site = json_text(connection->configuration, "site", connection->base);
	json_t *texts = json_object();
	json_t *comments = json_array();
	AUTO_BUF body = buf_new(COMMENT_BYTES_MAX);
	json_t *each;
	size_t i;

	json_array_foreach(json_member(json_member(fields, "comment"), "comments"), i, each) {
		const json_t *author = json_member(each, "author");
		AUTO_BUF text = buf_new(COMMENT_BYTES_MAX);
		json_t *comment;

		if (strcmp(json_text(author, "accountId", ""), self) == 0 || json_array_size(comments) >= COMMENTS_READ_MAX)
			continue;
		adf_text(json_member(each, "body"), NULL, &text);
		comment = json_pack("{s:s, s:s}", "id", json_text(each, "id", ""), "author",
				    json_text(author, "displayName", "somebody"));
		json_set_bytes(comment, "text", buf_view(&text));
		(void)json_array_append_new(comments, comment);
	}
	adf_text(json_member(fields, "description"), NULL, &body);
	json_set_bytes(texts, "body", buf_view(&body));
	(void)json_object_set_new(texts, "url", json_sprintf("%s/browse/%s", site, json_text(issue, "key", "")));
	item->item = (struct thread_item){.item = json_text(issue, "key", NULL),
					  .item_id = json_text(issue, "id", NULL),
					  .url = json_text(texts, "url", NULL),
					  .title = json_text(fields, "summary", NULL),
					  .body = json_text(texts, "body", NULL),
					  .team = json_text(json_member(fields, "project"), "key", NULL),
					  .project = json_text(json_member(fields, "project"), "name", NULL),
					  .labels = json_member(fields, "labels"),
					  .comments = comments};
	voice_item_keep(item, texts);
	voice_item_keep(item, comments);
	voice_item_keep(item, issue);
}

#define FIELDS "?fields=summary,description,labels,project,comment"

static int fetch(struct speaking *speaking, struct voice_item *item, struct err *err)
{
	AUTO_CONNECTION connection = {0};
	json_t *issue = NULL;

	if (connection_load(speaking->runs, speaking->thread.connection, &connection, err) ||
	    ask(speaking, NULL, path_of(speaking, FIELDS), NULL, &issue, err))
		return -1;
	item_take(item, issue, &connection);
	return 0;
}

static json_t *import(struct runs *runs, const char *connection_id, const char *account, const char *name, const char *repository,
		      struct err *err)
{
	AUTO_BUF path = buf_new(NAME_PATH_MAX);
	AUTO_CONNECTION connection = {0};
	AUTO_ITEM item = {0};
	AUTO_FREE char *text = NULL;
	json_t *issue = NULL;
	struct jira_ask ask = {.world = runs->options.world, .answer = &issue};
	const struct token_call call = {connection_id, account, jira_ask_act, &ask};
	struct token_said said;
	int64_t number = 0;

	buf_add_text(&path, "/issue/");
	buf_add_url(&path, view_of(name));
	buf_add_text(&path, FIELDS);
	ask.path = path.at;
	if (buf_finish(&path, err) || connection_load(runs, connection_id, &connection, err))
		return NULL;
	if (token_use(runs, &call, &said, err)) {
		if (err->kind == ERR_NOT_FOUND)
			*err = (struct err){0};
		return NULL;
	}
	item_take(&item, issue, &connection);
	if (thread_import(runs, connection_id, account, item.item.item_id ? item.item.item_id : name, item.item.url, &item.item,
			  repository, &number, err))
		return NULL;
	text = text_format("%lld", (long long)number);
	return tracker_fetch(runs->tracker, text, err);
}

/* ---- the table ---- */

static const struct voice_row rows[] = {
	{"thought", send_board}, {"action", send_board},   {"plan", send_board},  {"links", send_links},
	{"ask", send_ask},       {"response", send_final}, {"error", send_final}, {"state", send_state},
};

static int say(struct speaking *speaking, struct err *err)
{
	return voice_say(rows, ARRAY_LEN(rows), speaking, err);
}

const struct voice voice_jira = {.kind = "jira",
				 .tokens = &jira_tokens,
				 .has_board = true,
				 .say = say,
				 .fetch = fetch,
				 .import = import,
				 .check = jira_check};
