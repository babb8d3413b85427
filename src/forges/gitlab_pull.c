/* Merge requests: one open one by its branch, a draft by the words that its title begins with. */
#include <stdio.h>

#include "base/scope.h"
#include "forges/gitlab_priv.h"

#define TITLE_BYTES_MAX ((size_t)255)

static void told_set(struct remote_told *told, const json_t *item)
{
	told->number = json_number(item, "iid", 0);
	(void)snprintf(told->url, sizeof(told->url), "%s", json_text(item, "web_url", ""));
}

static bool from_fork(const json_t *item)
{
	return json_number(item, "source_project_id", 0) != json_number(item, "target_project_id", 0);
}

static bool is_open(const json_t *item)
{
	return strcmp(json_text(item, "state", ""), "opened") == 0;
}

/* One from a fork may have a branch of the same name. */
static int pull_find(struct bot *bot, const char *repository, const struct remote_pull *pull, json_t **found,
		     struct remote_told *told, struct err *err)
{
	AUTO_BUF encoded = buf_new(4096);
	AUTO_FREE char *path = NULL;
	AUTO_JSON list = NULL;
	json_t *over = NULL;
	size_t index;
	json_t *item;

	*found = NULL;
	buf_add_url(&encoded, view_of(pull->branch));
	if (buf_finish(&encoded, err))
		return -1;
	path = gitlab_path(repository, "/merge_requests?per_page=100&source_branch=%s", encoded.at);
	list = bot_list(bot, path, told, err);
	if (!list)
		return -1;
	json_array_foreach(list, index, item) {
		if (from_fork(item) || strcmp(json_text(item, "source_branch", ""), pull->branch) != 0)
			continue;
		if (!*found && is_open(item))
			*found = json_incref(item);
		else if (!over && remote_is_earlier(pull, json_text(item, "sha", ""), json_text(item, "description", "")))
			over = item;
	}
	if (!*found)
		*found = json_incref(over);
	return 0;
}

static json_t *pull_body(const struct remote_pull *pull)
{
	AUTO_FREE char *title = text_format("%s%s", pull->draft ? GITLAB_DRAFT : "", pull->title);
	json_t *body = json_object();

	remote_text_set(body, "title", title, TITLE_BYTES_MAX);
	gitlab_text_set(body, "description", pull->body);
	return body;
}

static int pull_edit(struct bot *bot, const char *repository, const struct remote_pull *pull, const json_t *item,
		     struct remote_told *told, struct err *err)
{
	AUTO_FREE char *path = gitlab_path(repository, "/merge_requests/%lld", (long long)json_number(item, "iid", 0));
	AUTO_JSON body = pull_body(pull);
	AUTO_ANSWER answer = {0};

	told_set(told, item);
	if (!is_open(item))
		return 0;
	if (strcmp(json_text(item, "title", ""), json_text(body, "title", "")) == 0 &&
	    strcmp(json_text(item, "description", ""), json_text(body, "description", "")) == 0)
		return 0;
	return bot_ask(bot, "PUT", path, body, &answer, told, err);
}

static int pull_make(struct bot *bot, const char *repository, const struct remote_pull *pull, struct remote_told *told,
		     struct err *err)
{
	AUTO_FREE char *path = gitlab_path(repository, "/merge_requests");
	AUTO_JSON body = pull_body(pull);
	AUTO_ANSWER answer = {0};

	json_set_bytes(body, "source_branch", view_of(pull->branch));
	json_set_bytes(body, "target_branch", view_of(pull->target));
	(void)json_object_set_new(body, "remove_source_branch", json_false());
	if (bot_ask(bot, "POST", path, body, &answer, told, err))
		return -1;
	told_set(told, answer.body);
	return 0;
}

int gitlab_pull_put(void *self, const char *repository, const struct remote_pull *pull, struct remote_told *told, struct err *err)
{
	static const struct bot_pulls pulls = {"merge request !", pull_find, pull_edit, pull_make};

	return bot_pull_put(self, &pulls, repository, pull, told, err);
}

static const char *state_of(const json_t *item)
{
	const char *state = json_text(item, "state", "");

	return strcmp(state, "merged") == 0 ? "merged" : strcmp(state, "closed") == 0 ? "closed" : "open";
}

static int item_get(struct bot *bot, const char *repository, int64_t number, struct rest_answer *answer, struct remote_told *told,
		    struct err *err)
{
	AUTO_FREE char *path = gitlab_path(repository, "/merge_requests/%lld", (long long)number);

	return bot_ask(bot, NULL, path, NULL, answer, told, err);
}

json_t *gitlab_pull_get(void *self, const char *repository, int64_t number, struct remote_told *told, struct err *err)
{
	AUTO_ANSWER answer = {0};
	const char *title;

	if (item_get(self, repository, number, &answer, told, err))
		return NULL;
	title = json_text(answer.body, "title", "");
	if (strncmp(title, GITLAB_DRAFT, strlen(GITLAB_DRAFT)) == 0)
		title += strlen(GITLAB_DRAFT);
	told_set(told, answer.body);
	return json_pack("{s:I, s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:b, s:s, s:s}", "number", (json_int_t)number, "url", told->url,
			 "state", state_of(answer.body), "head", json_text(answer.body, "sha", ""), "branch",
			 json_text(answer.body, "source_branch", ""), "target", json_text(answer.body, "target_branch", ""), "base",
			 json_text(json_member(answer.body, "diff_refs"), "base_sha", ""), "draft",
			 json_flag(answer.body, "draft", false), "fork", from_fork(answer.body), "title", title, "author",
			 json_text(json_member(answer.body, "author"), "username", ""));
}

char *gitlab_pull_ref(int64_t number)
{
	return text_format("refs/merge-requests/%lld/head", (long long)number);
}

int gitlab_pull_close(void *self, const char *repository, int64_t number, struct remote_told *told, struct err *err)
{
	AUTO_FREE char *path = gitlab_path(repository, "/merge_requests/%lld", (long long)number);
	AUTO_JSON body = json_pack("{s:s}", "state_event", "close");
	AUTO_ANSWER answer = {0};

	return bot_ask(self, "PUT", path, body, &answer, told, err);
}

/* Whether it can be merged is found out by GitLab after each push, and until then it refuses. */
static bool is_looking(const json_t *item)
{
	static const char *const words[] = {"unchecked", "checking", "preparing", "approvals_syncing"};
	const char *status = json_text(item, "detailed_merge_status", "");

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcmp(words[i], status) == 0)
			return true;
	return false;
}

int gitlab_pull_merge(void *self, const char *repository, int64_t number, const char *head, struct remote_told *told,
		      struct err *err)
{
	AUTO_FREE char *path = gitlab_path(repository, "/merge_requests/%lld/merge", (long long)number);
	AUTO_JSON body = json_pack("{s:s}", "sha", head);
	AUTO_ANSWER answer = {0};
	AUTO_ANSWER now = {0};

	if (!bot_ask(self, "PUT", path, body, &answer, told, err))
		return 0;
	if (answer.status != 405 && answer.status != 406 && answer.status != 409 && answer.status != 422)
		return -1;
	if (item_get(self, repository, number, &now, told, NULL))
		return -1;
	if (strcmp(state_of(now.body), "merged") == 0)
		return remote_merged_with(json_text(now.body, "sha", ""), head, err);
	err->kind = is_looking(now.body) ? ERR_RETRY : ERR_CONFLICT;
	return -1;
}
