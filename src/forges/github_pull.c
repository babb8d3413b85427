/* Pull requests on GitHub: one open one by its branch, a draft until it is verified. */
#include <stdio.h>

#include "base/scope.h"
#include "forges/github_priv.h"

#define READY "mutation($id: ID!) { markPullRequestReadyForReview(input: {pullRequestId: $id}) { pullRequest { isDraft } } }"
#define DRAFT "mutation($id: ID!) { convertPullRequestToDraft(input: {pullRequestId: $id}) { pullRequest { isDraft } } }"

static int ask(struct github *github, const char *repository, const char *method, const char *path, const json_t *body,
	       struct rest_answer *answer, struct remote_told *told, struct err *err)
{
	struct github_call call = {.repository = repository, .right = GITHUB_WORK, .method = method, .path = path, .body = body};

	return github_ask(github, &call, answer, told, err);
}

static void told_set(struct remote_told *told, const json_t *item)
{
	told->number = json_number(item, "number", 0);
	(void)snprintf(told->url, sizeof(told->url), "%s", json_text(item, "html_url", ""));
}

static bool is_open(const json_t *item)
{
	return strcmp(json_text(item, "state", ""), "open") == 0;
}

/* All of its branch, the newest first. `head` must be "owner:branch", else it is no filter. */
static int branch_list(struct github *github, const char *repository, const char *branch, struct rest_answer *answer,
		       struct remote_told *told, struct err *err)
{
	const char *slash = strchr(repository, '/');
	AUTO_BUF path = buf_new(4096);

	buf_add_format(&path, "/repos/%s/pulls?state=all&sort=created&direction=desc&per_page=100&head=%.*s:", repository,
		       (int)(slash ? slash - repository : 0), repository);
	buf_add_url(&path, view_of(branch));
	return buf_finish(&path, err) || ask(github, repository, NULL, path.at, NULL, answer, told, err) ? -1 : 0;
}

/* The open one, borrowed; else, where none is known, the one that an earlier try made and that was over before its answer was heard of: by its
 * head or its text, or, with `any_merged`, the newest that was merged. NULL: there is none. */
static json_t *item_choose(const json_t *list, const struct remote_pull *pull, bool any_merged)
{
	json_t *over = NULL;
	size_t index;
	json_t *item;

	json_array_foreach((json_t *)(uintptr_t)list, index, item) {
		const json_t *head = json_member(item, "head");

		if (strcmp(json_text(head, "ref", ""), pull->branch) != 0)
			continue;
		if (is_open(item))
			return item;
		if (!over && (remote_is_earlier(pull, json_text(head, "sha", ""), json_text(item, "body", "")) ||
			      (any_merged && !pull->number && json_text(item, "merged_at", NULL))))
			over = item;
	}
	return over;
}

static int draft_set(struct github *github, const char *repository, const json_t *item, bool draft, struct remote_told *told,
		     struct err *err)
{
	AUTO_JSON data = NULL;

	if (json_flag(item, "draft", false) == draft)
		return 0;
	return github_query(github, repository, draft ? DRAFT : READY, json_pack("{s:s}", "id", json_text(item, "node_id", "")),
			    &data, told, err);
}

static int pull_edit(struct github *github, const char *repository, const struct remote_pull *pull, const json_t *item,
		     struct remote_told *told, struct err *err)
{
	AUTO_FREE char *path = text_format("/repos/%s/pulls/%lld", repository, (long long)json_number(item, "number", 0));
	AUTO_JSON body = json_object();
	AUTO_ANSWER answer = {0};

	told_set(told, item);
	if (!is_open(item))
		return 0;
	json_set_bytes(body, "title", view_of(pull->title));
	json_set_bytes(body, "body", view_of(pull->body));
	if ((strcmp(json_text(item, "title", ""), json_text(body, "title", "")) != 0 ||
	     strcmp(json_text(item, "body", ""), json_text(body, "body", "")) != 0) &&
	    ask(github, repository, "PATCH", path, body, &answer, told, err))
		return -1;
	if (!draft_set(github, repository, item, pull->draft, told, err))
		return 0;
	/* Where the plan has no drafts, the first line of the body says what it is. */
	return pull->draft && err->kind == ERR_INVALID ? 0 : -1;
}

static int pull_make(struct github *github, const char *repository, const struct remote_pull *pull, bool draft,
		     struct rest_answer *answer, struct remote_told *told, struct err *err)
{
	AUTO_FREE char *path = text_format("/repos/%s/pulls", repository);
	AUTO_JSON body = json_object();

	json_set_bytes(body, "head", view_of(pull->branch));
	json_set_bytes(body, "base", view_of(pull->target));
	json_set_bytes(body, "title", view_of(pull->title));
	json_set_bytes(body, "body", view_of(pull->body));
	(void)json_object_set_new(body, "draft", json_boolean(draft));
	if (ask(github, repository, "POST", path, body, answer, told, err))
		return -1;
	told_set(told, answer->body);
	return 0;
}

/* 422 has meanings that are no errors of ours. */
static int pull_make_again(struct github *github, const char *repository, const struct remote_pull *pull, struct remote_told *told,
			   struct err *err)
{
	struct err why = *err;
	bool merged = strcasestr(why.text, "No commits between");
	AUTO_ANSWER answer = {0};
	const json_t *item;

	if (strcasestr(why.text, "Draft pull requests are not supported"))
		return pull_make(github, repository, pull, false, &answer, told, err);
	if (!merged && !strcasestr(why.text, "already exists"))
		return -1;
	if (branch_list(github, repository, pull->branch, &answer, told, err))
		return -1;
	item = item_choose(answer.body, pull, merged);
	if (item)
		return pull_edit(github, repository, pull, item, told, err);
	*err = why;
	return -1;
}

int github_pull_put(void *self, const char *repository, const struct remote_pull *pull, struct remote_told *told, struct err *err)
{
	AUTO_ANSWER found = {0};
	AUTO_ANSWER made = {0};
	const json_t *item;

	if (branch_list(self, repository, pull->branch, &found, told, err))
		return -1;
	item = item_choose(found.body, pull, false);
	if (item)
		return pull_edit(self, repository, pull, item, told, err);
	if (pull->number)
		return err_set(err, ERR_CONFLICT, "pull request %lld is not open any more", (long long)pull->number);
	if (!pull_make(self, repository, pull, pull->draft, &made, told, err))
		return 0;
	return err->kind == ERR_INVALID ? pull_make_again(self, repository, pull, told, err) : -1;
}

json_t *github_pull_get(void *self, const char *repository, int64_t number, struct remote_told *told, struct err *err)
{
	AUTO_FREE char *path = text_format("/repos/%s/pulls/%lld", repository, (long long)number);
	AUTO_ANSWER answer = {0};
	const json_t *head;
	const json_t *base;
	const char *state;

	if (ask(self, repository, NULL, path, NULL, &answer, told, err))
		return NULL;
	head = json_member(answer.body, "head");
	base = json_member(answer.body, "base");
	state = json_flag(answer.body, "merged", false)                    ? "merged"
		: strcmp(json_text(answer.body, "state", ""), "open") == 0 ? "open"
									   : "closed";
	told_set(told, answer.body);
	return json_pack("{s:I, s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:b, s:s, s:s}", "number", (json_int_t)number, "url", told->url,
			 "state", state, "head", json_text(head, "sha", ""), "branch", json_text(head, "ref", ""), "target",
			 json_text(base, "ref", ""), "base", json_text(base, "sha", ""), "draft",
			 json_flag(answer.body, "draft", false), "fork",
			 strcmp(json_text(json_member(head, "repo"), "full_name", ""), repository) != 0, "title",
			 json_text(answer.body, "title", ""), "author", json_text(json_member(answer.body, "user"), "login", ""));
}

char *github_pull_ref(int64_t number)
{
	return text_format("refs/pull/%lld/head", (long long)number);
}

int github_pull_close(void *self, const char *repository, int64_t number, struct remote_told *told, struct err *err)
{
	AUTO_FREE char *path = text_format("/repos/%s/pulls/%lld", repository, (long long)number);
	AUTO_JSON body = json_pack("{s:s}", "state", "closed");
	AUTO_ANSWER answer = {0};

	return ask(self, repository, "PATCH", path, body, &answer, told, err);
}

int github_pull_merge(void *self, const char *repository, int64_t number, const char *head, struct remote_told *told,
		      struct err *err)
{
	AUTO_FREE char *path = text_format("/repos/%s/pulls/%lld/merge", repository, (long long)number);
	AUTO_JSON body = json_pack("{s:s}", "sha", head);
	AUTO_JSON now = NULL;
	AUTO_ANSWER answer = {0};
	struct github_call call = {.repository = repository, .right = GITHUB_MERGE, .method = "PUT", .path = path, .body = body};

	if (!github_ask(self, &call, &answer, told, err))
		return 0;
	if (answer.status != 405)
		return -1;
	/* Not mergeable: because it is merged already, or for a reason that the host's text names. */
	now = github_pull_get(self, repository, number, told, NULL);
	if (now && strcmp(json_text(now, "state", ""), "merged") == 0)
		return remote_merged_with(json_text(now, "head", ""), head, err);
	err->kind = ERR_CONFLICT;
	return -1;
}
