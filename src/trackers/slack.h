/*
 * slack: requests to Slack's Web API and what its answers mean, its events (over HTTP and Socket Mode alike), and the shapes of messages. Nothing here
 * knows runs, keeps anything, or sleeps. Errors are sorted as in http/rest.h.
 *
 * Sources: api.slack.com/web, /events-api, /interactivity, /apis/socket-mode, /reference/block-kit, /authentication/verifying-requests-from-slack.
 */
#ifndef ASSAY_TRACKERS_SLACK_H
#define ASSAY_TRACKERS_SLACK_H

#include "http/rest.h"
#include "trackers/event.h"

#define SLACK_BASE "https://slack.com/api"
#define SLACK_SECTION_BYTES_MAX 2900 /* of a section's text; Slack has 3,000 characters */
#define SLACK_BUTTONS_MAX 20
#define SLACK_ACTION_STOP "assay.stop"
#define SLACK_ACTION_ANSWER "assay.answer" /* and what follows it; its value is the answer */

struct slack_said {
	int64_t blocked_until_ms;
	bool expired;
	char error[64];   /* Slack's word for it; empty: it was none of Slack's */
	char scopes[512]; /* what the token may, by commas; empty: it was not said */
};

/* `method` is Slack's: "chat.postMessage". `arguments` is sent as JSON, or, with `is_read`, as a query of texts and numbers (what reads takes no
 * JSON). *answer (owned) is the answer of an `ok`. Blocks. */
struct slack_call {
	struct world world;
	const char *base;
	const char *token;
	const char *method;
	const json_t *arguments;
	bool is_read;
};
MUST_USE int slack_ask(const struct slack_call *call, json_t **answer, struct slack_said *said, struct err *err);
/* The same without the network. */
MUST_USE int slack_answer_judge(const json_t *body, struct slack_said *said, struct err *err);

/* Brings a file to the place that files.getUploadURLExternal gave; *id (owned) is what files.completeUploadExternal is told. */
MUST_USE int slack_upload(struct world world, const json_t *place, const char *type, struct view bytes, char **id, struct err *err);

/* An event_callback, an interaction (its JSON, or the form "payload=…" that HTTP brings). `self` is who we are there, `account` the team.
 * event->only_known: of a thread that is none of ours it says nothing. */
MUST_USE int slack_event_parse(struct view body, const char *account, const char *self, struct tracker_event *event,
			       struct err *err);
/* Of a url_verification: what is to be answered; owned, NULL: it is none. */
char *slack_challenge(struct view body);

/* A message of Socket Mode. */
enum slack_envelope_kind { SLACK_HELLO, SLACK_EVENT, SLACK_DISCONNECT, SLACK_OTHER };
struct slack_envelope {
	enum slack_envelope_kind kind;
	char id[128];    /* to acknowledge it by; empty: nothing is to be */
	char reason[64]; /* of a disconnect */
	char *payload;   /* owned: of an event */
};
MUST_USE int slack_envelope_parse(struct view text, struct slack_envelope *envelope, struct err *err);
void slack_envelope_fini(struct slack_envelope *envelope);

/* ---- what is said; all owned by the caller ---- */

/* Markdown as Slack's mrkdwn: nothing in it mentions anybody or is a command. */
char *slack_mrkdwn(struct view markdown);
/* mrkdwn that people wrote, without our own mention. */
char *slack_plain(struct view mrkdwn, const char *self);
json_t *slack_section(const char *mrkdwn);
json_t *slack_context(const char *mrkdwn);
/* {"type": "button"}; `action` is unique within its message. */
json_t *slack_button(const char *action, const char *text, const char *value, const char *style);
json_t *slack_actions(json_t *buttons); /* stolen */
/* A run's plan [{"text", "state"}] as a block of tasks. */
json_t *slack_plan(const char *title, const json_t *plan);

#endif
