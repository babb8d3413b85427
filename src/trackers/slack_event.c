/*
 * What Slack says: events, interactions, and the envelopes of Socket Mode around them.
 *
 * A thread of a channel is the session: "CHANNEL:TS". A mention begins one or is said in it; in a thread that is ours, and in a direct message,
 * everything a person writes is for us. What a mention is delivered as twice (as a mention and as a message) has one key.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"
#include "http/url.h"
#include "trackers/slack.h"

#define FORM_PREFIX "payload="
#define FORM_BYTES_MAX ((size_t)1 << 20)

/* Kept in `raw`, as every text of an event is; an interaction's raw is its JSON. */
static const char *keep(struct tracker_event *event, const char *name, const char *text)
{
	json_set_bytes(event->raw, name, view_of(text));
	return json_text(event->raw, name, NULL);
}

static void thread_take(struct tracker_event *event, const char *channel, const char *ts)
{
	AUTO_FREE char *thread = NULL;
	AUTO_FREE char *item = NULL;

	if (!channel || !ts || strlen(channel) > 40 || strlen(ts) > 40)
		return;
	thread = text_format("%s:%s", channel, ts);
	item = text_format("%s-%s", channel, ts);
	event->thread = keep(event, "assay.thread", thread);
	event->item_id = event->thread;
	event->item = keep(event, "assay.item", item);
}

static bool says_stop(const char *text)
{
	struct view words = view_trim(view_of(text));

	while (words.length && strchr(".!", words.at[words.length - 1]))
		words.length--;
	return view_equal_nocase(words, VIEW("stop"));
}

/* ---- events ---- */

/* People of other workspaces are in shared channels; they give no orders. */
static bool is_stranger(const json_t *event, const char *account)
{
	const char *team = json_text(event, "user_team", json_text(event, "source_team", json_text(event, "team", NULL)));

	return team && strcmp(team, account) != 0;
}

static void message_take(struct tracker_event *event, const json_t *inner, const char *account, const char *self)
{
	const char *ts = json_text(inner, "ts", NULL);
	const char *thread = json_text(inner, "thread_ts", NULL);
	const char *channel = json_text(inner, "channel", NULL);
	AUTO_FREE char *mention = text_format("<@%s>", self);
	AUTO_FREE char *plain = slack_plain(view_of(json_text(inner, "text", "")), self);
	bool direct = strcmp(json_text(inner, "channel_type", ""), "im") == 0;
	bool mentioned = strcmp(json_text(inner, "type", ""), "app_mention") == 0 || strstr(json_text(inner, "text", ""), mention);

	event->actor = json_text(inner, "user", NULL);
	event->actor_name = event->actor;
	event->actor_is_self = event->actor && strcmp(event->actor, self) == 0;
	if (!event->actor || !ts || json_text(inner, "subtype", NULL) || json_text(inner, "bot_id", NULL) ||
	    is_stranger(inner, account) || (!direct && !mentioned && !thread))
		return;
	thread_take(event, channel, thread ? thread : ts);
	event->only_known = !direct && !mentioned;
	event->text = keep(event, "assay.text", plain);
	event->title = event->text;
	event->kind = !event->thread ? TRACKER_IGNORED : says_stop(plain) ? TRACKER_STOP : TRACKER_PROMPTED;
	(void)snprintf(event->key, sizeof(event->key), "message:%.40s:%.40s", channel ? channel : "", ts);
}

static void callback_take(struct tracker_event *event, const char *account, const char *self)
{
	const json_t *inner = json_member(event->raw, "event");
	const char *type = json_text(inner, "type", "");

	event->time_ms = json_number(event->raw, "event_time", 0) * 1000;
	if (strcmp(type, "app_mention") == 0 || strcmp(type, "message") == 0) {
		message_take(event, inner, account, self);
	} else if (strcmp(type, "agent_session_stopped") == 0) {
		thread_take(event, json_text(inner, "channel", NULL), json_text(inner, "thread_ts", NULL));
		event->actor = json_text(inner, "user", NULL);
		event->kind = event->thread ? TRACKER_STOP : TRACKER_IGNORED;
	} else if (strcmp(type, "app_uninstalled") == 0) {
		event->kind = TRACKER_REVOKED;
	}
	if (!event->key[0])
		(void)snprintf(event->key, sizeof(event->key), "event:%.100s", json_text(event->raw, "event_id", ""));
}

/* ---- interactions ---- */

static void interaction_take(struct tracker_event *event, const char *account)
{
	const json_t *user = json_member(event->raw, "user");
	const json_t *container = json_member(event->raw, "container");
	const json_t *action = json_array_get(json_member(event->raw, "actions"), 0);
	const char *id = json_text(action, "action_id", "");
	const char *team = json_text(user, "team_id", account);
	const char *message = json_text(container, "message_ts", "");

	event->actor = json_text(user, "id", NULL);
	event->actor_name = json_text(user, "username", json_text(user, "name", event->actor));
	if (!event->actor || strcmp(team, account) != 0)
		return;
	thread_take(event, json_text(container, "channel_id", NULL),
		    json_text(container, "thread_ts", json_text(json_member(event->raw, "message"), "thread_ts", message)));
	if (!event->thread)
		return;
	event->only_known = true;
	if (strcmp(id, SLACK_ACTION_STOP) == 0) {
		event->kind = TRACKER_STOP;
	} else if (strncmp(id, SLACK_ACTION_ANSWER, strlen(SLACK_ACTION_ANSWER)) == 0) {
		event->kind = TRACKER_PROMPTED;
		event->text = json_text(action, "value", "");
	}
	(void)snprintf(event->key, sizeof(event->key), "action:%.40s:%.40s", message, json_text(action, "action_ts", ""));
}

/* JSON, or the form that HTTP brings an interaction as. */
static json_t *body_parse(struct view body, struct err *err)
{
	AUTO_BUF json = buf_new(FORM_BYTES_MAX);

	if (!view_starts(body, VIEW(FORM_PREFIX)))
		return json_parse(body, err);
	body = view_cut(view_make(body.at + strlen(FORM_PREFIX), body.length - strlen(FORM_PREFIX)), '&', &(struct view){0});
	return url_decode(&json, body, true, err) || buf_finish(&json, err) ? NULL : json_parse(buf_view(&json), err);
}

int slack_event_parse(struct view body, const char *account, const char *self, struct tracker_event *event, struct err *err)
{
	const char *type;

	*event = (struct tracker_event){.raw = body_parse(body, err)};
	if (!event->raw)
		return -1;
	if (!json_is_object(event->raw)) {
		tracker_event_fini(event);
		return err_set(err, ERR_INVALID, "the event is no JSON object");
	}
	event->self = self;
	event->account = json_text(event->raw, "team_id", json_text(json_member(event->raw, "team"), "id", NULL));
	if (!self || !account || !event->account || strcmp(event->account, account) != 0)
		return 0;
	type = json_text(event->raw, "type", "");
	if (strcmp(type, "event_callback") == 0)
		callback_take(event, account, self);
	else if (strcmp(type, "block_actions") == 0)
		interaction_take(event, account);
	return 0;
}

char *slack_challenge(struct view body)
{
	AUTO_JSON json = view_starts(body, VIEW("{")) ? json_parse(body, NULL) : NULL;

	return strcmp(json_text(json, "type", ""), "url_verification") == 0 ? text_copy(json_text(json, "challenge", "")) : NULL;
}

/* ---- Socket Mode ---- */

int slack_envelope_parse(struct view text, struct slack_envelope *envelope, struct err *err)
{
	static const char *const with_payload[] = {"events_api", "interactive"};
	AUTO_JSON json = json_parse(text, err);
	const char *type = json_text(json, "type", "");
	const json_t *payload = json_member(json, "payload");

	*envelope = (struct slack_envelope){.kind = SLACK_OTHER};
	if (!json)
		return -1;
	if (!json_is_object(json))
		return err_set(err, ERR_INVALID, "the envelope is no JSON object");
	(void)snprintf(envelope->id, sizeof(envelope->id), "%.120s", json_text(json, "envelope_id", ""));
	if (strcmp(type, "hello") == 0)
		envelope->kind = SLACK_HELLO;
	if (strcmp(type, "disconnect") == 0) {
		envelope->kind = SLACK_DISCONNECT;
		(void)snprintf(envelope->reason, sizeof(envelope->reason), "%.60s", json_text(json, "reason", ""));
	}
	for (size_t i = 0; i < ARRAY_LEN(with_payload); i++)
		if (strcmp(type, with_payload[i]) == 0 && json_is_object(payload)) {
			AUTO_BUF out = buf_new(BUF_MAX_DEFAULT);

			json_format(&out, payload);
			envelope->kind = SLACK_EVENT;
			envelope->payload = buf_take(&out);
		}
	return 0;
}

void slack_envelope_fini(struct slack_envelope *envelope)
{
	free(envelope->payload);
	*envelope = (struct slack_envelope){0};
}
