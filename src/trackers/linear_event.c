/* Webhooks of Linear: linear.app/developers/webhooks and /agent-interaction, as captured in 2026. */
#include <stdio.h>

#include "trackers/event.h"

#include "base/scope.h"

void tracker_event_fini(struct tracker_event *event)
{
	json_decref(event->raw);
	*event = (struct tracker_event){0};
}

static void issue_take(struct tracker_event *event, const json_t *issue)
{
	event->item = json_text(issue, "identifier", NULL);
	event->item_id = json_text(issue, "id", NULL);
	event->title = json_text(issue, "title", NULL);
	event->team = json_text(json_member(issue, "team"), "key", NULL);
	event->team_id = json_text(issue, "teamId", json_text(json_member(issue, "team"), "id", NULL));
	if (!event->url)
		event->url = json_text(issue, "url", NULL);
}

static void actor_take(struct tracker_event *event, const json_t *actor)
{
	event->actor = json_text(actor, "id", event->actor);
	event->actor_name = json_text(actor, "name", NULL);
	event->actor_email = json_text(actor, "email", NULL);
}

/* Is the name of what the content is the same, whoever sends it how often? */
static void key_set(struct tracker_event *event, const char *what, const char *id)
{
	if (id && strlen(id) < TRACKER_KEY_MAX / 2)
		(void)snprintf(event->key, sizeof(event->key), "%s:%s", what, id);
}

/* The words of a mention stand only here; conversations of other agents, which may stand beside, are not for ours. */
static struct view context_find(const json_t *raw)
{
	static const char begin[] = "<primary-directive-thread";
	static const char end[] = "</primary-directive-thread>";
	const char *context = json_text(raw, "promptContext", "");
	const char *from = strstr(context, begin);
	const char *to = from ? strstr(from, end) : NULL;

	return to ? view_make(from, (size_t)(to - from) + strlen(end)) : (struct view){0};
}

static void session_take(struct tracker_event *event, const char *action)
{
	const json_t *session = json_member(event->raw, "agentSession");
	const json_t *activity = json_member(event->raw, "agentActivity");
	const json_t *issue = json_member(session, "issue");

	event->thread = json_text(session, "id", NULL);
	event->url = json_text(session, "url", NULL);
	event->self = json_text(event->raw, "appUserId", json_text(session, "appUserId", NULL));
	issue_take(event, issue);
	if (!event->thread)
		return;
	if (strcmp(action, "created") == 0) {
		event->kind = TRACKER_CREATED;
		event->actor = json_text(session, "creatorId", NULL);
		actor_take(event, json_member(session, "creator"));
		/* The session's comment is the vendor's placeholder when the issue was delegated: the request is the issue. */
		event->text = json_text(issue, "description", NULL);
		event->guidance = json_member(event->raw, "guidance");
		event->comments = json_member(event->raw, "previousComments");
		event->context = context_find(event->raw);
		key_set(event, "session", event->thread);
	} else if (strcmp(action, "prompted") == 0) {
		const char *signal = json_text(activity, "signal", "");

		event->kind = strcmp(signal, "stop") == 0 ? TRACKER_STOP : TRACKER_PROMPTED;
		event->actor = json_text(activity, "userId", NULL);
		actor_take(event, json_member(activity, "user"));
		event->text = json_text(json_member(activity, "content"), "body", json_text(activity, "body", NULL));
		key_set(event, "activity", json_text(activity, "id", NULL));
	}
}

static void notification_take(struct tracker_event *event, const char *action)
{
	const json_t *notification = json_member(event->raw, "notification");

	if (strcmp(action, "issueUnassignedFromYou") == 0)
		event->kind = TRACKER_UNASSIGNED;
	event->self = json_text(event->raw, "appUserId", NULL);
	event->actor = json_text(notification, "actorId", NULL);
	actor_take(event, json_member(notification, "actor"));
	issue_take(event, json_member(notification, "issue"));
	if (!event->item_id)
		event->item_id = json_text(notification, "issueId", NULL);
	key_set(event, "notification", json_text(notification, "id", NULL));
}

/* Data events: what the row is now. */
static void data_take(struct tracker_event *event, const char *action)
{
	const json_t *data = json_member(event->raw, "data");
	const char *id = json_text(data, "id", NULL);
	const char *updated = json_text(data, "updatedAt", "");

	event->updated = updated;
	event->is_new = strcmp(action, "create") == 0;
	event->url = json_text(event->raw, "url", NULL);
	event->text = json_text(data, event->kind == TRACKER_COMMENT ? "body" : "description", NULL);
	actor_take(event, json_member(event->raw, "actor"));
	issue_take(event, event->kind == TRACKER_COMMENT ? json_member(data, "issue") : data);
	if (!event->item_id)
		event->item_id = json_text(data, "issueId", NULL);
	if (id && strlen(id) + strlen(action) + strlen(updated) < TRACKER_KEY_MAX / 2)
		(void)snprintf(event->key, sizeof(event->key), "data:%s:%s:%s", id, action, updated);
}

int linear_event_parse(struct view body, struct tracker_event *event, struct err *err)
{
	const char *type;
	const char *action;

	*event = (struct tracker_event){.raw = json_parse(body, err)};
	if (!event->raw)
		return -1;
	if (!json_is_object(event->raw)) {
		tracker_event_fini(event);
		return err_set(err, ERR_INVALID, "the webhook is no JSON object");
	}
	type = json_text(event->raw, "type", "");
	action = json_text(event->raw, "action", "");
	event->account = json_text(event->raw, "organizationId", NULL);
	event->client = json_text(event->raw, "oauthClientId", NULL);
	event->time_ms = json_number(event->raw, "webhookTimestamp", 0);
	if (strcmp(type, "AgentSessionEvent") == 0) {
		session_take(event, action);
	} else if (strcmp(type, "AppUserNotification") == 0) {
		notification_take(event, action);
	} else if (strcmp(type, "Comment") == 0 || strcmp(type, "Issue") == 0) {
		event->kind = type[0] == 'C' ? TRACKER_COMMENT : TRACKER_ISSUE;
		data_take(event, action);
	} else if (strcmp(type, "PermissionChange") == 0) {
		event->kind = TRACKER_ACCESS;
		event->removed = json_member(event->raw, "removedTeamIds");
	} else if (strcmp(type, "OAuthApp") == 0 && strcmp(action, "revoked") == 0) {
		event->kind = TRACKER_REVOKED;
	}
	event->actor_is_self = event->actor && event->self && strcmp(event->actor, event->self) == 0;
	return 0;
}
