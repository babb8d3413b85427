/*
 * Gitea's webhooks as events. X-Gitea-Event says the family of an event; what it is in full is said by the action, and by what the body has. A webhook of an
 * issue's labels or assignees has all of them, and does not say which are new.
 */
#include <stdio.h>

#include "base/scope.h"
#include "forges/gitea.h"

static const char *text_at(const json_t *object, const char *key)
{
	return json_text(object, key, "");
}

static void id_set(char *place, size_t size, int64_t number)
{
	if (number)
		(void)snprintf(place, size, "%lld", (long long)number);
}

/* ---- issues ---- */

static void names_add(struct forge_event *event, const json_t *list, const char *key, bool people)
{
	size_t index;
	json_t *item;

	json_array_foreach((json_t *)(uintptr_t)list, index, item)
		forge_event_list(&event->gained, text_at(item, key), people);
}

static void issue_read(struct forge_event *event, const json_t *issue)
{
	event->number = json_number(issue, "number", 0);
	event->title = text_at(issue, "title");
	event->text = text_at(issue, "body");
	event->url = text_at(issue, "html_url");
	event->on_pull = json_is_object(json_member(issue, "pull_request")) || json_flag(event->json, "is_pull", false);
}

static void issues(struct forge_event *event)
{
	const json_t *issue = json_member(event->json, "issue");

	issue_read(event, issue);
	if (strcmp(event->action, "opened") != 0 && strcmp(event->action, "assigned") != 0 &&
	    strcmp(event->action, "label_updated") != 0)
		return;
	event->whole = strcmp(event->action, "opened") != 0;
	names_add(event, json_member(issue, "labels"), "name", false);
	names_add(event, json_member(issue, "assignees"), "login", true);
}

static void issue_comment(struct forge_event *event)
{
	const json_t *comment = json_member(event->json, "comment");

	issue_read(event, json_member(event->json, "issue"));
	event->text = text_at(comment, "body");
	event->url = text_at(comment, "html_url");
	id_set(event->id, sizeof(event->id), json_number(comment, "id", 0));
	(void)snprintf(event->content, sizeof(event->content), "comment/%s", event->id);
	if (strcmp(event->action, "created") != 0 || !*event->id)
		event->kind = FORGE_EVENT_IGNORED;
}

/* ---- pull requests ---- */

static void pull_read(struct forge_event *event, const json_t *pull)
{
	const json_t *head = json_member(pull, "head");
	const json_t *base = json_member(pull, "base");

	event->on_pull = true;
	event->number = json_number(pull, "number", 0);
	event->title = text_at(pull, "title");
	event->text = text_at(pull, "body");
	event->url = text_at(pull, "html_url");
	event->branch = text_at(head, "ref");
	event->head = text_at(head, "sha");
	event->target = text_at(base, "ref");
	event->base = text_at(base, "sha");
	event->merged = json_flag(pull, "merged", false);
	event->draft = json_flag(pull, "draft", strncmp(event->title, "WIP:", 4) == 0);
	event->fork = strcasecmp(text_at(json_member(head, "repo"), "full_name"), event->repository) != 0;
}

/* A review tells who, not which: it is read by its author. */
static void review_read(struct forge_event *event, const json_t *review)
{
	static const struct {
		const char *word;
		const char *state;
	} rows[] = {{"rejected", "changes_requested"}, {"approved", "approved"}};
	const char *type = text_at(review, "type");

	event->kind = FORGE_EVENT_REVIEW;
	event->action = "submitted";
	event->review_state = "commented";
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (strstr(type, rows[i].word))
			event->review_state = rows[i].state;
	event->text = text_at(review, "content");
	id_set(event->review, sizeof(event->review), json_number(json_member(event->json, "sender"), "id", 0));
}

static void pull_request(struct forge_event *event)
{
	const json_t *review = json_member(event->json, "review");

	if (json_is_object(json_member(event->json, "comment")) && !json_is_object(review)) {
		event->kind = FORGE_EVENT_COMMENT;
		issue_comment(event);
		return;
	}
	pull_read(event, json_member(event->json, "pull_request"));
	if (json_is_object(review))
		review_read(event, review);
	else if (strcmp(event->action, "synchronized") == 0)
		event->action = "synchronize";
}

static void push(struct forge_event *event)
{
	const char *ref = text_at(event->json, "ref");

	event->branch = strncmp(ref, "refs/heads/", 11) == 0 ? ref + 11 : "";
	event->base = text_at(event->json, "before");
	event->head = text_at(event->json, "after");
	if (!*event->branch)
		event->kind = FORGE_EVENT_IGNORED;
}

/* The first whose name begins the event's. */
static const struct {
	const char *begins;
	enum forge_event_kind kind;
	void (*read)(struct forge_event *event);
} table[] = {
	{"issue_comment", FORGE_EVENT_COMMENT, issue_comment},
	{"issue", FORGE_EVENT_ISSUE, issues}, /* issues, issue_assign, issue_label */
	{"pull_request", FORGE_EVENT_PULL, pull_request},
	{"push", FORGE_EVENT_PUSH, push},
};

int gitea_event_parse(const char *name, struct view body, struct forge_event *event, struct err *err)
{
	const json_t *sender;

	if (forge_event_open(body, event, err))
		return -1;
	sender = json_member(event->json, "sender");
	event->action = text_at(event->json, "action");
	event->repository = text_at(json_member(event->json, "repository"), "full_name");
	event->actor = text_at(sender, "login");
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (strncmp(name, table[i].begins, strlen(table[i].begins)) == 0) {
			event->kind = table[i].kind;
			table[i].read(event);
			break;
		}
	if (!*event->repository)
		event->kind = FORGE_EVENT_IGNORED;
	forge_event_stream(event, '#');
	return 0;
}
