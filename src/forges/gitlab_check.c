/* Verdicts and previews on commits: commit statuses, the report as a note, environments with deployments. */
#include <stdio.h>

#include "base/scope.h"
#include "forges/gitlab_priv.h"

#define DESCRIPTION_BYTES_MAX ((size_t)255)

/* ---- statuses ---- */

/* "Could not tell" is no failure, and must not pass where pipelines must succeed. */
static const char *status_state(enum remote_state state)
{
	static const char *const names[] = {
		[REMOTE_RUNNING] = "running", [REMOTE_GOOD] = "success", [REMOTE_BAD] = "failed", [REMOTE_UNKNOWN] = "canceled"};

	return names[state];
}

static json_t *status_body(const struct remote_check *check)
{
	json_t *body = json_pack("{s:s, s:s}", "state", status_state(check->state), "name", check->name);

	remote_text_set(body, "description", check->title, DESCRIPTION_BYTES_MAX);
	if (check->url)
		(void)json_object_set_new(body, "target_url", json_string(check->url));
	return body;
}

/* Is the newest one of this name as it should be? */
static int status_is(struct bot *bot, const char *repository, const struct remote_check *check, const json_t *body, bool *same,
		     struct remote_told *told, struct err *err)
{
	AUTO_BUF name = buf_new(1024);
	AUTO_FREE char *path = NULL;
	AUTO_JSON list = NULL;
	const json_t *newest = NULL;
	size_t index;
	json_t *item;

	*same = false;
	buf_add_url(&name, view_of(check->name));
	if (buf_finish(&name, err))
		return -1;
	path = gitlab_path(repository, "/repository/commits/%s/statuses?per_page=100&name=%s", check->head, name.at);
	list = bot_list(bot, path, told, err);
	if (!list)
		return -1;
	json_array_foreach(list, index, item)
		if (json_number(item, "id", 0) > json_number(newest, "id", 0))
			newest = item;
	*same = newest && strcmp(json_text(newest, "status", ""), json_text(body, "state", "")) == 0 &&
		strcmp(json_text(newest, "description", ""), json_text(body, "description", "")) == 0;
	return 0;
}

static int status_post(struct bot *bot, const char *repository, const struct remote_check *check, json_t *body,
		       struct remote_told *told, struct err *err)
{
	AUTO_FREE char *path = gitlab_path(repository, "/statuses/%s", check->head);
	AUTO_ANSWER first = {0};
	AUTO_ANSWER answer = {0};

	if (!bot_ask(bot, "POST", path, body, &first, told, err))
		return 0;
	/* GitLab says so of a state that it has already. */
	if (first.status == 400 && strcasestr(err->text, "cannot transition status"))
		return 0;
	/* A commit of a fork is on no branch of the project. */
	if (first.status != 404 || !check->number)
		return -1;
	(void)json_object_set_new(body, "ref", json_sprintf("refs/merge-requests/%lld/head", (long long)check->number));
	return bot_ask(bot, "POST", path, body, &answer, told, err);
}

static int status_put(struct bot *bot, const char *repository, const struct remote_check *check, struct remote_told *told,
		      struct err *err)
{
	AUTO_JSON body = status_body(check);
	bool same;

	if (status_is(bot, repository, check, body, &same, told, err))
		return -1;
	return same ? 0 : status_post(bot, repository, check, body, told, err);
}

int gitlab_check_put(void *self, const char *repository, const struct remote_check *check, struct remote_told *told,
		     struct err *err)
{
	if (status_put(self, repository, check, told, err))
		return -1;
	return remote_report_put(self, repository, check, gitlab_note_put, told, err);
}

/* ---- environments and deployments ---- */

static const char *deployment_state(enum remote_state state)
{
	static const char *const names[] = {
		[REMOTE_RUNNING] = "running", [REMOTE_GOOD] = "success", [REMOTE_BAD] = "failed", [REMOTE_UNKNOWN] = "canceled"};

	return names[state];
}

/* Owned; NULL with no error: there is none. */
static int environment_find(struct bot *bot, const char *repository, const char *name, json_t **environment,
			    struct remote_told *told, struct err *err)
{
	AUTO_BUF encoded = buf_new(4096);
	AUTO_FREE char *path = NULL;
	AUTO_ANSWER answer = {0};

	*environment = NULL;
	buf_add_url(&encoded, view_of(name));
	if (buf_finish(&encoded, err))
		return -1;
	path = gitlab_path(repository, "/environments?name=%s", encoded.at);
	if (bot_ask(bot, NULL, path, NULL, &answer, told, err))
		return -1;
	*environment = json_incref(json_array_get(answer.body, 0));
	return 0;
}

/* With the preview as its address: that is where "View app" leads. */
static int environment_put(struct bot *bot, const char *repository, const struct remote_deployment *deployment,
			   struct remote_told *told, struct err *err)
{
	AUTO_FREE char *path = gitlab_path(repository, "/environments");
	AUTO_JSON body = json_pack("{s:s, s:s*}", "tier", "development", "external_url", deployment->url);
	AUTO_JSON there = NULL;
	AUTO_ANSWER answer = {0};

	if (environment_find(bot, repository, deployment->environment, &there, told, err))
		return -1;
	if (!there) {
		(void)json_object_set_new(body, "name", json_string(deployment->environment));
		return bot_ask(bot, "POST", path, body, &answer, told, err);
	}
	if (strcmp(json_text(there, "external_url", ""), deployment->url ? deployment->url : "") == 0)
		return 0;
	AUTO_FREE char *one = text_format("%s/%lld", path, (long long)json_number(there, "id", 0));
	return bot_ask(bot, "PUT", one, body, &answer, told, err);
}

/* A deployment is shown with the merge request whose branch it names; what we call the branch of somebody's may be none there. */
static int branch_find(struct bot *bot, const char *repository, const struct remote_deployment *deployment, char **branch,
		       struct remote_told *told, struct err *err)
{
	AUTO_JSON pull = NULL;

	if (!deployment->number) {
		*branch = text_copy(deployment->branch);
		return 0;
	}
	pull = gitlab_pull_get(bot, repository, deployment->number, told, err);
	if (!pull)
		return -1;
	*branch = text_copy(json_flag(pull, "fork", false) ? deployment->head : json_text(pull, "branch", ""));
	return 0;
}

static int deployment_find(struct bot *bot, const char *repository, const struct remote_deployment *deployment, json_t **found,
			   struct remote_told *told, struct err *err)
{
	AUTO_BUF encoded = buf_new(4096);
	AUTO_FREE char *path = NULL;
	AUTO_JSON list = NULL;
	size_t index;
	json_t *item;

	*found = NULL;
	buf_add_url(&encoded, view_of(deployment->environment));
	if (buf_finish(&encoded, err))
		return -1;
	path = gitlab_path(repository, "/deployments?order_by=id&sort=desc&per_page=100&environment=%s", encoded.at);
	list = bot_list(bot, path, told, err);
	if (!list)
		return -1;
	json_array_foreach(list, index, item)
		if (!*found && strcmp(json_text(item, "sha", ""), deployment->head) == 0)
			*found = json_incref(item);
	return 0;
}

static int deployment_make(struct bot *bot, const char *repository, const struct remote_deployment *deployment,
			   struct remote_told *told, struct err *err)
{
	AUTO_FREE char *path = gitlab_path(repository, "/deployments");
	AUTO_FREE char *branch = NULL;
	AUTO_JSON body = NULL;
	AUTO_ANSWER answer = {0};

	if (branch_find(bot, repository, deployment, &branch, told, err))
		return -1;
	body = json_pack("{s:s, s:s, s:s, s:b, s:s}", "environment", deployment->environment, "sha", deployment->head, "ref",
			 branch, "tag", 0, "status", deployment_state(deployment->state));
	return bot_ask(bot, "POST", path, body, &answer, told, err);
}

int gitlab_deployment_put(void *self, const char *repository, const struct remote_deployment *deployment, struct remote_told *told,
			  struct err *err)
{
	const char *state = deployment_state(deployment->state);
	AUTO_JSON there = NULL;
	AUTO_JSON body = json_pack("{s:s}", "status", state);
	AUTO_ANSWER answer = {0};

	if (environment_put(self, repository, deployment, told, err) ||
	    deployment_find(self, repository, deployment, &there, told, err))
		return -1;
	if (!there)
		return deployment_make(self, repository, deployment, told, err);
	if (strcmp(json_text(there, "status", ""), state) == 0)
		return 0;
	AUTO_FREE char *path = gitlab_path(repository, "/deployments/%lld", (long long)json_number(there, "id", 0));
	return bot_ask(self, "PUT", path, body, &answer, told, err);
}

int gitlab_deployment_end(void *self, const char *repository, const char *environment, struct remote_told *told, struct err *err)
{
	AUTO_JSON there = NULL;
	AUTO_ANSWER answer = {0};

	if (environment_find(self, repository, environment, &there, told, err))
		return -1;
	if (!there || strcmp(json_text(there, "state", ""), "available") != 0)
		return 0;
	AUTO_FREE char *path = gitlab_path(repository, "/environments/%lld/stop", (long long)json_number(there, "id", 0));
	return bot_ask(self, "POST", path, NULL, &answer, told, err);
}
