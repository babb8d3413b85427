/* Pull requests on Gitea, their verdicts and previews as commit statuses. */
#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"
#include "forges/gitea_priv.h"

#define TITLE_BYTES_MAX ((size_t)255)
#define DESCRIPTION_BYTES_MAX ((size_t)255)
#define PREVIEW_CONTEXT "assay/preview"
#define PULL_BRANCH "pull/"

static void told_set(struct remote_told *told, const json_t *item)
{
	told->number = json_number(item, "number", 0);
	(void)snprintf(told->url, sizeof(told->url), "%s", json_text(item, "html_url", ""));
}

static bool from_fork(const json_t *item, const char *repository)
{
	return strcasecmp(json_text(json_member(json_member(item, "head"), "repo"), "full_name", ""), repository) != 0;
}

static bool is_open(const json_t *item)
{
	return strcmp(json_text(item, "state", ""), "open") == 0;
}

static bool is_of_branch(const json_t *item, const char *repository, const char *branch)
{
	return !from_fork(item, repository) && strcmp(json_text(json_member(item, "head"), "ref", ""), branch) == 0;
}

/* What an earlier try made, and what was over before its answer was heard of, is among those that changed last. */
static int over_find(struct bot *bot, const char *repository, const struct remote_pull *pull, json_t **found,
		     struct remote_told *told, struct err *err)
{
	AUTO_FREE char *path = text_format("/repos/%s/pulls?state=closed&sort=recentupdate&limit=50", repository);
	AUTO_ANSWER answer = {0};
	size_t index;
	json_t *item;

	if (bot_ask(bot, NULL, path, NULL, &answer, told, err))
		return -1;
	json_array_foreach(answer.body, index, item)
		if (!*found && is_of_branch(item, repository, pull->branch) &&
		    remote_is_earlier(pull, json_text(json_member(item, "head"), "sha", ""), json_text(item, "body", "")))
			*found = json_incref(item);
	return 0;
}

static int pull_find(struct bot *bot, const char *repository, const struct remote_pull *pull, json_t **found,
		     struct remote_told *told, struct err *err)
{
	AUTO_FREE char *path = text_format("/repos/%s/pulls?state=open&limit=50", repository);
	AUTO_JSON list = bot_list(bot, path, told, err);
	size_t index;
	json_t *item;

	*found = NULL;
	if (!list)
		return -1;
	json_array_foreach(list, index, item)
		if (!*found && is_of_branch(item, repository, pull->branch))
			*found = json_incref(item);
	return *found || pull->number ? 0 : over_find(bot, repository, pull, found, told, err);
}

static json_t *pull_body(const struct remote_pull *pull)
{
	AUTO_FREE char *title = text_format("%s%s", pull->draft ? GITEA_DRAFT : "", pull->title);
	json_t *body = json_object();

	remote_text_set(body, "title", title, TITLE_BYTES_MAX);
	json_set_bytes(body, "body", view_of(pull->body));
	return body;
}

static int pull_edit(struct bot *bot, const char *repository, const struct remote_pull *pull, const json_t *item,
		     struct remote_told *told, struct err *err)
{
	AUTO_FREE char *path = text_format("/repos/%s/pulls/%lld", repository, (long long)json_number(item, "number", 0));
	AUTO_JSON body = pull_body(pull);
	AUTO_ANSWER answer = {0};

	told_set(told, item);
	if (!is_open(item))
		return 0;
	if (strcmp(json_text(item, "title", ""), json_text(body, "title", "")) == 0 &&
	    strcmp(json_text(item, "body", ""), json_text(body, "body", "")) == 0)
		return 0;
	return bot_ask(bot, "PATCH", path, body, &answer, told, err);
}

static int pull_make(struct bot *bot, const char *repository, const struct remote_pull *pull, struct remote_told *told,
		     struct err *err)
{
	AUTO_FREE char *path = text_format("/repos/%s/pulls", repository);
	AUTO_JSON body = pull_body(pull);
	AUTO_ANSWER answer = {0};

	json_set_bytes(body, "head", view_of(pull->branch));
	json_set_bytes(body, "base", view_of(pull->target));
	if (bot_ask(bot, "POST", path, body, &answer, told, err))
		return -1;
	told_set(told, answer.body);
	return 0;
}

int gitea_pull_put(void *self, const char *repository, const struct remote_pull *pull, struct remote_told *told, struct err *err)
{
	static const struct bot_pulls pulls = {"pull request #", pull_find, pull_edit, pull_make};

	return bot_pull_put(self, &pulls, repository, pull, told, err);
}

json_t *gitea_pull_get(void *self, const char *repository, int64_t number, struct remote_told *told, struct err *err)
{
	AUTO_FREE char *path = text_format("/repos/%s/pulls/%lld", repository, (long long)number);
	AUTO_ANSWER answer = {0};
	const json_t *head;
	const json_t *base;
	const char *title;
	bool wip;

	if (bot_ask(self, NULL, path, NULL, &answer, told, err))
		return NULL;
	head = json_member(answer.body, "head");
	base = json_member(answer.body, "base");
	title = json_text(answer.body, "title", "");
	wip = strncmp(title, GITEA_DRAFT, strlen(GITEA_DRAFT)) == 0;
	told_set(told, answer.body);
	return json_pack(
		"{s:I, s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:b, s:s, s:s}", "number", (json_int_t)number, "url", told->url, "state",
		json_flag(answer.body, "merged", false)                    ? "merged"
		: strcmp(json_text(answer.body, "state", ""), "open") == 0 ? "open"
									   : "closed",
		"head", json_text(head, "sha", ""), "branch", json_text(head, "ref", ""), "target", json_text(base, "ref", ""),
		"base", json_text(base, "sha", ""), "draft", json_flag(answer.body, "draft", wip), "fork",
		from_fork(answer.body, repository), "title", title + (wip ? strlen(GITEA_DRAFT) : 0), "author",
		json_text(json_member(answer.body, "user"), "login", ""));
}

char *gitea_pull_ref(int64_t number)
{
	return text_format("refs/pull/%lld/head", (long long)number);
}

int gitea_pull_close(void *self, const char *repository, int64_t number, struct remote_told *told, struct err *err)
{
	AUTO_FREE char *path = text_format("/repos/%s/pulls/%lld", repository, (long long)number);
	AUTO_JSON body = json_pack("{s:s}", "state", "closed");
	AUTO_ANSWER answer = {0};

	return bot_ask(self, "PATCH", path, body, &answer, told, err);
}

int gitea_pull_merge(void *self, const char *repository, int64_t number, const char *head, struct remote_told *told,
		     struct err *err)
{
	AUTO_FREE char *path = text_format("/repos/%s/pulls/%lld/merge", repository, (long long)number);
	AUTO_JSON body = json_pack("{s:s, s:s}", "Do", "merge", "head_commit_id", head);
	AUTO_JSON now = NULL;
	AUTO_ANSWER answer = {0};

	if (!bot_ask(self, "POST", path, body, &answer, told, err))
		return 0;
	if (answer.status != 405 && answer.status != 409)
		return -1;
	now = gitea_pull_get(self, repository, number, told, NULL);
	if (now && strcmp(json_text(now, "state", ""), "merged") == 0)
		return remote_merged_with(json_text(now, "head", ""), head, err);
	/* Whether it can be merged is found out after each push, and until then it says so. */
	err->kind = strcasestr(err->text, "try again later") ? ERR_RETRY : ERR_CONFLICT;
	return -1;
}

/* ---- statuses ---- */

struct status {
	const char *head;
	const char *context;
	const char *state;
	const char *description;
	const char *url; /* NULL: none */
};

/* Each is a new row there, of which the newest counts: none is made that says the same. */
static int status_put(struct bot *bot, const char *repository, const struct status *status, struct remote_told *told,
		      struct err *err)
{
	AUTO_FREE char *list_path = text_format("/repos/%s/commits/%s/statuses?limit=50", repository, status->head);
	AUTO_FREE char *path = text_format("/repos/%s/statuses/%s", repository, status->head);
	AUTO_JSON body = json_pack("{s:s, s:s, s:s}", "state", status->state, "context", status->context, "target_url",
				   status->url ? status->url : "");
	AUTO_JSON list = bot_list(bot, list_path, told, err);
	AUTO_ANSWER answer = {0};
	const json_t *newest = NULL;
	size_t index;
	json_t *item;

	if (!list)
		return -1;
	remote_text_set(body, "description", status->description, DESCRIPTION_BYTES_MAX);
	json_array_foreach(list, index, item)
		if (strcmp(json_text(item, "context", ""), status->context) == 0 &&
		    json_number(item, "id", 0) > json_number(newest, "id", 0))
			newest = item;
	if (newest && strcmp(json_text(newest, "status", ""), status->state) == 0 &&
	    strcmp(json_text(newest, "description", ""), json_text(body, "description", "")) == 0 &&
	    strcmp(json_text(newest, "target_url", ""), json_text(body, "target_url", "")) == 0)
		return 0;
	return bot_ask(bot, "POST", path, body, &answer, told, err);
}

int gitea_check_put(void *self, const char *repository, const struct remote_check *check, struct remote_told *told, struct err *err)
{
	static const char *const states[] = {
		[REMOTE_RUNNING] = "pending", [REMOTE_GOOD] = "success", [REMOTE_BAD] = "failure", [REMOTE_UNKNOWN] = "error"};
	struct status status = {.head = check->head,
				.context = check->name,
				.state = states[check->state],
				.description = check->title,
				.url = check->url};

	if (status_put(self, repository, &status, told, err))
		return -1;
	return remote_report_put(self, repository, check, gitea_note_put, told, err);
}

int gitea_deployment_put(void *self, const char *repository, const struct remote_deployment *deployment, struct remote_told *told,
			 struct err *err)
{
	struct status status = {.head = deployment->head,
				.context = PREVIEW_CONTEXT,
				.state = deployment->state == REMOTE_GOOD ? "success" : "error",
				.description = "The preview: this change, running",
				.url = deployment->url};

	return status_put(self, repository, &status, told, err);
}

/* The commit of a branch, or of what we call pull/NUMBER; empty: it is gone. */
static int head_find(struct bot *bot, const char *repository, const char *environment, struct buf *head, struct remote_told *told,
		     struct err *err)
{
	AUTO_BUF path = buf_new(4096);
	AUTO_ANSWER answer = {0};
	AUTO_JSON pull = NULL;
	int64_t number;

	buf_add_format(&path, "/repos/%s/branches/", repository);
	buf_add_url(&path, view_of(environment));
	if (buf_finish(&path, err))
		return -1;
	if (!bot_ask(bot, NULL, path.at, NULL, &answer, told, err)) {
		buf_add_text(head, json_text(json_member(answer.body, "commit"), "id", ""));
		return 0;
	}
	if (answer.status != 404)
		return -1;
	number = strncmp(environment, PULL_BRANCH, strlen(PULL_BRANCH)) == 0 ? strtoll(environment + strlen(PULL_BRANCH), NULL, 10)
									     : 0;
	pull = number > 0 ? gitea_pull_get(bot, repository, number, told, err) : NULL;
	if (number > 0 && !pull && err->kind != ERR_NOT_FOUND)
		return -1;
	buf_add_text(head, json_text(pull, "head", ""));
	return 0;
}

int gitea_deployment_end(void *self, const char *repository, const char *environment, struct remote_told *told, struct err *err)
{
	AUTO_BUF head = buf_new(256);
	struct status status = {.context = PREVIEW_CONTEXT, .state = "success", .description = "The preview has ended"};

	if (head_find(self, repository, environment, &head, told, err))
		return -1;
	if (!head.length)
		return 0;
	status.head = head.at;
	return status_put(self, repository, &status, told, err);
}
