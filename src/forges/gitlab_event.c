/*
 * GitLab's webhooks as events. Actions are told in the words that the other hosts use; one webhook of an issue may tell of many labels and people.
 * Numbers of issues and of merge requests are counted apart.
 */
#include <stdio.h>

#include "base/scope.h"
#include "forges/gitlab.h"

static const char *text_at(const json_t *object, const char *key)
{
	return json_text(object, key, "");
}

static void id_set(char *place, size_t size, int64_t number)
{
	if (number)
		(void)snprintf(place, size, "%lld", (long long)number);
}

static const struct {
	const char *said;
	const char *action;
} actions[] = {{"open", "opened"}, {"close", "closed"}, {"reopen", "reopened"}, {"merge", "closed"}};

static const char *action_of(const json_t *attributes)
{
	const char *said = text_at(attributes, "action");

	for (size_t i = 0; i < ARRAY_LEN(actions); i++)
		if (strcmp(actions[i].said, said) == 0)
			return actions[i].action;
	return "edited";
}

/* ---- issues ---- */

static bool has(const json_t *list, const char *key, const char *name)
{
	size_t index;
	json_t *item;

	json_array_foreach((json_t *)(uintptr_t)list, index, item)
		if (strcmp(text_at(item, key), name) == 0)
			return true;
	return false;
}

/* What is in `list` and not in `other`. */
static void difference_add(json_t **into, const json_t *list, const json_t *other, const char *key, bool people)
{
	size_t index;
	json_t *item;

	json_array_foreach((json_t *)(uintptr_t)list, index, item)
		if (!has(other, key, text_at(item, key)))
			forge_event_list(into, text_at(item, key), people);
}

static void changes_read(struct forge_event *event, const char *what, const char *key, bool people)
{
	const json_t *change = json_member(json_member(event->json, "changes"), what);
	const json_t *now = json_member(change, "current");
	const json_t *before = json_member(change, "previous");

	/* A new issue has what it has. */
	if (strcmp(event->action, "opened") == 0)
		now = json_member(event->json, what);
	difference_add(&event->gained, now, before, key, people);
	difference_add(&event->lost, before, now, key, people);
}

static void issue(struct forge_event *event)
{
	const json_t *about = json_member(event->json, "object_attributes");

	event->action = action_of(about);
	event->number = json_number(about, "iid", 0);
	event->title = text_at(about, "title");
	event->text = text_at(about, "description");
	event->url = text_at(about, "url");
	changes_read(event, "labels", "title", false);
	changes_read(event, "assignees", "username", true);
}

/* ---- merge requests ---- */

static void pull_read(struct forge_event *event, const json_t *about)
{
	event->on_pull = true;
	event->number = json_number(about, "iid", 0);
	event->title = text_at(about, "title");
	event->text = text_at(about, "description");
	event->url = text_at(about, "url");
	event->branch = text_at(about, "source_branch");
	event->target = text_at(about, "target_branch");
	event->head = text_at(json_member(about, "last_commit"), "id");
	event->merged = strcmp(text_at(about, "state"), "merged") == 0;
	event->draft = json_flag(about, "draft", json_flag(about, "work_in_progress", false));
	event->fork = json_number(about, "source_project_id", 0) != json_number(about, "target_project_id", 0);
}

/* An update has the commit before it exactly when there are new ones. */
static void merge_request(struct forge_event *event)
{
	const json_t *about = json_member(event->json, "object_attributes");
	const json_t *draft = json_member(json_member(event->json, "changes"), "draft");

	pull_read(event, about);
	event->action = action_of(about);
	if (json_text(about, "oldrev", NULL))
		event->action = "synchronize";
	else if (draft)
		event->action = json_flag(draft, "current", false) ? "converted_to_draft" : "ready_for_review";
}

/* ---- notes ---- */

/* One in a thread is a reviewer's word, unless it is a command. */
static void thread_read(struct forge_event *event, const json_t *about)
{
	const json_t *position = json_member(about, "position");
	struct view rest;

	(void)snprintf(event->thread, sizeof(event->thread), "%.50s", text_at(about, "discussion_id"));
	id_set(event->review, sizeof(event->review), json_number(about, "author_id", 0));
	event->path = text_at(position, "new_path");
	event->line = json_number(position, "new_line", json_number(position, "old_line", 0));
	if (forge_command_find(event->text, &rest) == FORGE_COMMAND_NONE)
		event->kind = FORGE_EVENT_REVIEW_COMMENT;
}

static void note(struct forge_event *event)
{
	const json_t *about = json_member(event->json, "object_attributes");
	const char *on = text_at(about, "noteable_type");
	const char *action = json_text(about, "action", "create");

	event->action = "created";
	if (strcmp(on, "MergeRequest") == 0)
		pull_read(event, json_member(event->json, "merge_request"));
	else if (strcmp(on, "Issue") == 0)
		event->number = json_number(json_member(event->json, "issue"), "iid", 0);
	event->text = text_at(about, "note");
	event->url = text_at(about, "url");
	id_set(event->id, sizeof(event->id), json_number(about, "id", 0));
	(void)snprintf(event->content, sizeof(event->content), "note/%s", event->id);
	if (!event->number || strcmp(action, "create") != 0 || json_flag(about, "system", false))
		event->kind = FORGE_EVENT_IGNORED;
	else if (event->on_pull && json_text(about, "type", NULL))
		thread_read(event, about);
}

/* ---- branches and pipelines ---- */

static void push(struct forge_event *event)
{
	const char *ref = text_at(event->json, "ref");

	event->branch = strncmp(ref, "refs/heads/", 11) == 0 ? ref + 11 : "";
	event->base = text_at(event->json, "before");
	event->head = text_at(event->json, "after");
	event->actor = text_at(event->json, "user_username");
	if (!*event->branch)
		event->kind = FORGE_EVENT_IGNORED;
}

/* The statuses that we set make a pipeline, too, whose source is "external". */
static void pipeline(struct forge_event *event)
{
	const json_t *about = json_member(event->json, "object_attributes");
	const json_t *pull = json_member(event->json, "merge_request");

	event->action = "completed";
	event->number = json_number(pull, "iid", 0);
	event->on_pull = true;
	event->branch = json_text(pull, "source_branch", text_at(about, "ref"));
	event->head = text_at(about, "sha");
	event->title = json_text(about, "name", text_at(about, "ref"));
	event->url = text_at(about, "url");
	event->review_state = text_at(about, "status");
	id_set(event->id, sizeof(event->id), json_number(about, "id", 0));
	(void)snprintf(event->content, sizeof(event->content), "pipeline/%s/%.60s", event->id, text_at(about, "finished_at"));
	if (strcmp(event->review_state, "failed") != 0 || strcmp(text_at(about, "source"), "external") == 0)
		event->kind = FORGE_EVENT_IGNORED;
}

static const struct {
	const char *name;
	enum forge_event_kind kind;
	void (*read)(struct forge_event *event);
} table[] = {
	{"Issue Hook", FORGE_EVENT_ISSUE, issue},
	{"Confidential Issue Hook", FORGE_EVENT_ISSUE, issue},
	{"Note Hook", FORGE_EVENT_COMMENT, note},
	{"Confidential Note Hook", FORGE_EVENT_COMMENT, note},
	{"Merge Request Hook", FORGE_EVENT_PULL, merge_request},
	{"Push Hook", FORGE_EVENT_PUSH, push},
	{"Pipeline Hook", FORGE_EVENT_CHECKS, pipeline},
};

int gitlab_event_parse(const char *name, struct view body, struct forge_event *event, struct err *err)
{
	if (forge_event_open(body, event, err))
		return -1;
	event->repository = text_at(json_member(event->json, "project"), "path_with_namespace");
	event->actor = text_at(json_member(event->json, "user"), "username");
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (strcmp(table[i].name, name) == 0) {
			event->kind = table[i].kind;
			table[i].read(event);
			break;
		}
	if (!*event->repository)
		event->kind = FORGE_EVENT_IGNORED;
	forge_event_stream(event, event->on_pull ? '!' : '#');
	return 0;
}
