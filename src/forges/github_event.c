/*
 * GitHub's webhooks as events. A row says which event and which of its actions mean what; the rest is ignored. A comment that belongs to a
 * review still pending is not told by GitHub.
 */
#include <stdio.h>

#include "base/scope.h"
#include "forges/github.h"

static const char *text_at(const json_t *object, const char *key)
{
	return json_text(object, key, "");
}

static void id_set(char *place, size_t size, const json_t *object, const char *key)
{
	int64_t number = json_number(object, key, 0);

	if (number)
		(void)snprintf(place, size, "%lld", (long long)number);
}

/* ---- what the parts of a payload say ---- */

static void issue_read(struct forge_event *event, const json_t *issue)
{
	event->number = json_number(issue, "number", 0);
	event->title = text_at(issue, "title");
	event->text = text_at(issue, "body");
	event->url = text_at(issue, "html_url");
	event->on_pull = json_is_object(json_member(issue, "pull_request"));
}

static void pull_read(struct forge_event *event, const json_t *pull)
{
	const json_t *head = json_member(pull, "head");
	const json_t *base = json_member(pull, "base");
	const char *from = text_at(json_member(head, "repo"), "full_name");

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
	event->draft = json_flag(pull, "draft", false);
	event->fork = strcmp(from, event->repository) != 0;
}

static void comment_read(struct forge_event *event, const json_t *comment)
{
	event->text = text_at(comment, "body");
	event->url = text_at(comment, "html_url");
	event->path = text_at(comment, "path");
	event->line = json_number(comment, "line", json_number(comment, "original_line", 0));
	id_set(event->id, sizeof(event->id), comment, "id");
	id_set(event->review, sizeof(event->review), comment, "pull_request_review_id");
	id_set(event->thread, sizeof(event->thread), comment, "in_reply_to_id");
	if (!*event->thread)
		(void)snprintf(event->thread, sizeof(event->thread), "%s", event->id);
}

static const char *content_time(const json_t *object)
{
	return json_text(object, "updated_at", json_text(object, "submitted_at", ""));
}

static void content_set(struct forge_event *event, const char *what, const char *id, const char *time)
{
	(void)snprintf(event->content, sizeof(event->content), "%s/%.40s/%.24s/%.40s", what, id, event->action, time);
}

/* ---- one function per event ---- */

static void issues(struct forge_event *event)
{
	bool away = strncmp(event->action, "un", 2) == 0;

	issue_read(event, json_member(event->json, "issue"));
	forge_event_list(away ? &event->lost : &event->gained, text_at(json_member(event->json, "label"), "name"), false);
	forge_event_list(away ? &event->lost : &event->gained, text_at(json_member(event->json, "assignee"), "login"), true);
}

static void issue_comment(struct forge_event *event)
{
	const json_t *comment = json_member(event->json, "comment");
	const char *url;

	issue_read(event, json_member(event->json, "issue"));
	url = event->url;
	comment_read(event, comment);
	if (!*event->url)
		event->url = url;
	content_set(event, "comment", event->id, content_time(comment));
}

static void pull_request(struct forge_event *event)
{
	const json_t *after = json_member(event->json, "after");

	pull_read(event, json_member(event->json, "pull_request"));
	if (json_is_string(after))
		event->head = json_string_value(after);
}

static void pull_request_review(struct forge_event *event)
{
	const json_t *review = json_member(event->json, "review");

	pull_read(event, json_member(event->json, "pull_request"));
	event->text = text_at(review, "body");
	event->url = text_at(review, "html_url");
	event->review_state = text_at(review, "state");
	id_set(event->id, sizeof(event->id), review, "id");
	(void)snprintf(event->review, sizeof(event->review), "%s", event->id);
	content_set(event, "review", event->id, content_time(review));
}

static void pull_request_review_comment(struct forge_event *event)
{
	const json_t *comment = json_member(event->json, "comment");

	pull_read(event, json_member(event->json, "pull_request"));
	comment_read(event, comment);
	content_set(event, "line", event->id, content_time(comment));
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

/* The pull request it ran for, when GitHub says which: of the same repository only. */
static void pull_of_checks(struct forge_event *event, const json_t *checks)
{
	const json_t *pull = json_array_get(json_member(checks, "pull_requests"), 0);

	event->number = json_number(pull, "number", 0);
	event->on_pull = pull != NULL;
	event->branch = text_at(checks, "head_branch");
	event->head = text_at(checks, "head_sha");
	id_set(event->id, sizeof(event->id), checks, "id");
}

static void workflow_run(struct forge_event *event)
{
	const json_t *run = json_member(event->json, "workflow_run");
	const char *conclusion = text_at(run, "conclusion");
	AUTO_FREE char *attempt = text_format("%lld", (long long)json_number(run, "run_attempt", 1));

	pull_of_checks(event, run);
	event->title = text_at(run, "name");
	event->url = text_at(run, "html_url");
	event->review_state = conclusion;
	content_set(event, "workflow", event->id, attempt);
	if (strcmp(conclusion, "failure") != 0 && strcmp(conclusion, "timed_out") != 0 &&
	    strcmp(conclusion, "startup_failure") != 0)
		event->kind = FORGE_EVENT_IGNORED;
}

/* A check of ours: `external_id` is the run that it is about. */
static void check_run(struct forge_event *event)
{
	const json_t *run = json_member(event->json, "check_run");

	pull_of_checks(event, run);
	event->title = text_at(run, "external_id");
	event->branch = text_at(json_member(run, "check_suite"), "head_branch");
	event->text = text_at(json_member(event->json, "requested_action"), "identifier");
}

static void check_suite(struct forge_event *event)
{
	pull_of_checks(event, json_member(event->json, "check_suite"));
}

static void installation(struct forge_event *event)
{
	event->title = text_at(json_member(json_member(event->json, "installation"), "account"), "login");
}

/* What it was called: the same name where only its owner changed. */
static void moved(struct forge_event *event)
{
	const json_t *changes = json_member(event->json, "changes");
	const json_t *owner = json_member(json_member(changes, "owner"), "from");
	const json_t *repository = json_member(event->json, "repository");

	event->title = json_text(json_member(json_member(changes, "repository"), "name"), "from", text_at(repository, "name"));
	event->base = json_text(json_member(owner, "organization"), "login", text_at(json_member(owner, "user"), "login"));
	event->url = text_at(repository, "html_url");
}

static const struct {
	const char *name;
	const char *actions; /* blank-separated; NULL: it has none */
	enum forge_event_kind kind;
	void (*read)(struct forge_event *event);
} table[] = {
	{"issues", "opened labeled unlabeled assigned unassigned closed reopened edited deleted transferred", FORGE_EVENT_ISSUE,
	 issues},
	{"issue_comment", "created", FORGE_EVENT_COMMENT, issue_comment},
	{"pull_request", "opened synchronize closed reopened ready_for_review converted_to_draft labeled edited", FORGE_EVENT_PULL,
	 pull_request},
	{"pull_request_review", "submitted", FORGE_EVENT_REVIEW, pull_request_review},
	{"pull_request_review_comment", "created", FORGE_EVENT_REVIEW_COMMENT, pull_request_review_comment},
	{"push", NULL, FORGE_EVENT_PUSH, push},
	{"workflow_run", "completed", FORGE_EVENT_CHECKS, workflow_run},
	{"check_run", "rerequested requested_action", FORGE_EVENT_AGAIN, check_run},
	{"check_suite", "rerequested", FORGE_EVENT_AGAIN, check_suite},
	{"installation", "created deleted suspend unsuspend new_permissions_accepted", FORGE_EVENT_INSTALLATION, installation},
	{"repository", "renamed transferred", FORGE_EVENT_MOVED, moved},
	{"installation_repositories", "added removed", FORGE_EVENT_INSTALLATION, installation},
};

static bool listed(const char *list, const char *word)
{
	for (struct view rest = view_of(list); rest.length;)
		if (view_is(view_cut(rest, ' ', &rest), word))
			return true;
	return false;
}

static void envelope_read(struct forge_event *event)
{
	const json_t *sender = json_member(event->json, "sender");

	event->action = text_at(event->json, "action");
	event->repository = text_at(json_member(event->json, "repository"), "full_name");
	event->actor = text_at(sender, "login");
	event->actor_is_bot = strcmp(text_at(sender, "type"), "Bot") == 0;
}

int github_event_parse(const char *name, struct view body, struct forge_event *event, struct err *err)
{
	if (forge_event_open(body, event, err))
		return -1;
	envelope_read(event);
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (strcmp(table[i].name, name) == 0 && (!table[i].actions || listed(table[i].actions, event->action))) {
			event->kind = table[i].kind;
			table[i].read(event);
			break;
		}
	if (event->kind != FORGE_EVENT_INSTALLATION && !*event->repository)
		event->kind = FORGE_EVENT_IGNORED;
	forge_event_stream(event, '#');
	return 0;
}
