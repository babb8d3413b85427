/*
 * Webhooks of Jira Cloud, as an administrator registers them: developer.atlassian.com/cloud/jira/platform/webhooks.
 *
 * There are no sessions: an issue is the thread. Work is given by assigning the issue to us, by a label, or by a mention in a comment; on an issue
 * that is ours, every comment is for us. A comment `stop`, taking the issue away, or moving it back to where nothing has begun, ends it.
 */
#include <stdio.h>

#include "base/scope.h"
#include "trackers/adf.h"
#include "trackers/jira.h"

#define COMMENT_BYTES_MAX ((size_t)64 << 10)

static const json_t *fields_of(const json_t *raw)
{
	return json_member(json_member(raw, "issue"), "fields");
}

static void issue_take(struct tracker_event *event)
{
	const json_t *issue = json_member(event->raw, "issue");
	const json_t *fields = json_member(issue, "fields");

	event->item = json_text(issue, "key", NULL);
	event->item_id = json_text(issue, "id", NULL);
	event->thread = event->item_id;
	event->title = json_text(fields, "summary", NULL);
	event->team = json_text(json_member(fields, "project"), "key", NULL);
}

static void actor_take(struct tracker_event *event, const json_t *user, const char *self)
{
	event->actor = json_text(user, "accountId", NULL);
	event->actor_name = json_text(user, "displayName", NULL);
	event->actor_email = json_text(user, "emailAddress", NULL);
	event->actor_is_self = event->actor && strcmp(event->actor, self) == 0;
}

/* Kept in `raw`, as every text of an event is. */
static const char *keep(struct tracker_event *event, const char *name, struct view text)
{
	json_set_bytes(event->raw, name, text);
	return json_text(event->raw, name, NULL);
}

static const char *description_of(struct tracker_event *event)
{
	const json_t *description = json_member(fields_of(event->raw), "description");
	AUTO_BUF text = buf_new(COMMENT_BYTES_MAX);

	if (!description || json_is_null(description))
		return NULL;
	adf_text(description, NULL, &text);
	return keep(event, "assay.description", buf_view(&text));
}

/* ---- issues ---- */

struct change {
	const char *from;
	const char *to;
	const char *from_text;
	const char *to_text;
};

static bool change_find(const json_t *raw, const char *field, struct change *change)
{
	json_t *item;
	size_t i;

	json_array_foreach(json_member(json_member(raw, "changelog"), "items"), i, item)
		if (strcmp(json_text(item, "fieldId", json_text(item, "field", "")), field) == 0) {
			*change = (struct change){json_text(item, "from", ""), json_text(item, "to", ""),
						  json_text(item, "fromString", ""), json_text(item, "toString", "")};
			return true;
		}
	return false;
}

/* Labels are words with blanks between. */
static bool has_word(const char *words, const char *word)
{
	for (struct view rest = view_of(words); rest.length;)
		if (view_is(view_cut(rest, ' ', &rest), word))
			return true;
	return false;
}

static const char *assignee_of(const json_t *raw)
{
	return json_text(json_member(fields_of(raw), "assignee"), "accountId", "");
}

static bool list_has(const json_t *list, const char *text)
{
	json_t *each;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)list, i, each)
		if (json_is_string(each) && strcmp(json_string_value(each), text) == 0)
			return true;
	return false;
}

static enum tracker_event_kind created_kind(const json_t *raw, const char *self, const char *label)
{
	bool labelled = label && list_has(json_member(fields_of(raw), "labels"), label);

	return strcmp(assignee_of(raw), self) == 0 || labelled ? TRACKER_CREATED : TRACKER_ISSUE;
}

static enum tracker_event_kind updated_kind(const json_t *raw, const char *self, const char *label)
{
	const json_t *status = json_member(fields_of(raw), "status");
	struct change change;

	if (change_find(raw, "assignee", &change)) {
		if (strcmp(change.to, self) == 0)
			return TRACKER_CREATED;
		if (strcmp(change.from, self) == 0)
			return TRACKER_UNASSIGNED;
	}
	if (label && change_find(raw, "labels", &change) && has_word(change.from_text, label) != has_word(change.to_text, label))
		return has_word(change.to_text, label) ? TRACKER_CREATED : TRACKER_UNASSIGNED;
	if (change_find(raw, "status", &change) && strcmp(json_text(json_member(status, "statusCategory"), "key", ""), "new") == 0)
		return TRACKER_STOP;
	return TRACKER_ISSUE;
}

static void issue_event(struct tracker_event *event, const char *what, const char *self, const char *label)
{
	const char *change = json_text(json_member(event->raw, "changelog"), "id", "");

	event->kind = strcmp(what, "jira:issue_created") == 0 ? created_kind(event->raw, self, label)
							      : updated_kind(event->raw, self, label);
	actor_take(event, json_member(event->raw, "user"), self);
	event->text = description_of(event);
	event->updated = json_text(fields_of(event->raw), "updated", "");
	if (event->item_id)
		(void)snprintf(event->key, sizeof(event->key), "issue:%.60s:%.60s", event->item_id,
			       strcmp(what, "jira:issue_created") == 0 ? "created" : change);
}

/* ---- comments ---- */

/* What was said to us, without our name. */
static const char *words_of(struct tracker_event *event, const json_t *body, const char *self)
{
	AUTO_BUF text = buf_new(COMMENT_BYTES_MAX);

	adf_text(body, self, &text);
	return keep(event, "assay.words", buf_view(&text));
}

static bool says_stop(const char *text)
{
	struct view words = view_trim(view_of(text));

	while (words.length && strchr(".!", words.at[words.length - 1]))
		words.length--;
	return view_equal_nocase(words, VIEW("stop"));
}

/* Customers of a service desk and other applications write about an issue; they give no orders. */
static bool may_order(const json_t *author)
{
	return strcmp(json_text(author, "accountType", "atlassian"), "atlassian") == 0;
}

static void comment_event(struct tracker_event *event, const char *self)
{
	const json_t *comment = json_member(event->raw, "comment");
	const json_t *author = json_member(comment, "author");
	const json_t *body = json_member(comment, "body");
	const char *id = json_text(comment, "id", NULL);
	bool mentioned = adf_mentions(body, self);

	actor_take(event, author, self);
	event->text = words_of(event, body, self);
	event->kind = TRACKER_COMMENT;
	event->is_new = true;
	if ((mentioned || strcmp(assignee_of(event->raw), self) == 0) && may_order(author))
		event->kind = says_stop(event->text ? event->text : "") ? TRACKER_STOP : TRACKER_PROMPTED;
	if (id)
		(void)snprintf(event->key, sizeof(event->key), "comment:%.100s", id);
}

int jira_event_parse(struct view body, const char *self, const char *label, struct tracker_event *event, struct err *err)
{
	const char *what;

	*event = (struct tracker_event){.raw = json_parse(body, err)};
	if (!event->raw)
		return -1;
	if (!json_is_object(event->raw)) {
		tracker_event_fini(event);
		return err_set(err, ERR_INVALID, "the webhook is no JSON object");
	}
	what = json_text(event->raw, "webhookEvent", "");
	event->self = self;
	event->time_ms = json_number(event->raw, "timestamp", 0);
	issue_take(event);
	if (!self || !self[0] || !event->item_id)
		return 0;
	if (strcmp(what, "jira:issue_created") == 0 || strcmp(what, "jira:issue_updated") == 0)
		issue_event(event, what, self, label);
	else if (strcmp(what, "comment_created") == 0)
		comment_event(event, self);
	else if (strcmp(what, "jira:issue_deleted") == 0)
		event->kind = TRACKER_UNASSIGNED;
	return 0;
}
