/* Verdicts and previews on commits: check runs with annotations, commit statuses where we are no App, deployments. */
#include <stdio.h>

#include "base/scope.h"
#include "forges/github_priv.h"

#define ANNOTATIONS_PER_CALL ((size_t)50)
#define SUMMARY_BYTES_MAX ((size_t)65000)
#define DESCRIPTION_MAX 140
#define MESSAGE_BYTES_MAX ((size_t)60000)

static int ask(struct github *github, const char *repository, const char *method, const char *path, const json_t *body,
	       struct rest_answer *answer, struct remote_told *told, struct err *err)
{
	struct github_call call = {.repository = repository, .right = GITHUB_WORK, .method = method, .path = path, .body = body};

	return github_ask(github, &call, answer, told, err);
}

/* ---- statuses: what a token may do ---- */

static int status_put(struct github *github, const char *repository, const struct remote_check *check, struct remote_told *told,
		      struct err *err)
{
	static const char *const states[] = {
		[REMOTE_RUNNING] = "pending", [REMOTE_GOOD] = "success", [REMOTE_BAD] = "failure", [REMOTE_UNKNOWN] = "error"};
	AUTO_FREE char *path = text_format("/repos/%s/statuses/%s", repository, check->head);
	AUTO_JSON body = json_pack("{s:s, s:s}", "state", states[check->state], "context", check->name);
	AUTO_ANSWER answer = {0};

	remote_text_set(body, "description", check->title, DESCRIPTION_MAX);
	if (check->url)
		(void)json_object_set_new(body, "target_url", json_string(check->url));
	return ask(github, repository, "POST", path, body, &answer, told, err);
}

/* ---- check runs ---- */

/* "Could not tell" must not pass a branch's protection, as `neutral` would. */
static void state_set(json_t *body, enum remote_state state)
{
	static const char *const conclusions[] = {
		[REMOTE_GOOD] = "success", [REMOTE_BAD] = "failure", [REMOTE_UNKNOWN] = "action_required"};

	(void)json_object_set_new(body, "status", json_string(state == REMOTE_RUNNING ? "in_progress" : "completed"));
	if (state != REMOTE_RUNNING)
		(void)json_object_set_new(body, "conclusion", json_string(conclusions[state]));
}

static json_t *annotations_of(const json_t *list, size_t from)
{
	json_t *out = json_array();

	for (size_t i = from; i < json_array_size(list) && i < from + ANNOTATIONS_PER_CALL; i++) {
		const json_t *item = json_array_get(list, i);
		json_int_t line = json_number(item, "line", 1);
		json_t *one = json_pack("{s:s, s:I, s:I, s:s}", "path", json_text(item, "path", ""), "start_line", line, "end_line",
					line, "annotation_level", json_text(item, "level", "warning"));

		remote_text_set(one, "message", json_text(item, "message", ""), MESSAGE_BYTES_MAX);
		remote_text_set(one, "title", json_text(item, "title", ""), 250);
		(void)json_array_append_new(out, one);
	}
	return out;
}

/* GitHub fetches them. */
static json_t *images_of(const json_t *pictures)
{
	json_t *out = json_array();
	size_t index;
	json_t *each;

	json_array_foreach((json_t *)(uintptr_t)pictures, index, each) {
		const char *name = json_text(each, "name", "");
		AUTO_FREE char *caption = text_format("%s, as the agent saw it", name);

		(void)json_array_append_new(out, json_pack("{s:s, s:s, s:s}", "alt", name, "image_url", json_text(each, "url", ""),
							   "caption", caption));
	}
	return out;
}

static json_t *check_body(const struct remote_check *check, size_t from)
{
	json_t *output = json_object();
	json_t *body = json_object();

	remote_text_set(output, "title", check->title, 250);
	remote_text_set(output, "summary", check->summary, SUMMARY_BYTES_MAX);
	if (from < json_array_size(check->annotations))
		(void)json_object_set_new(output, "annotations", annotations_of(check->annotations, from));
	if (json_array_size(check->pictures))
		(void)json_object_set_new(output, "images", images_of(check->pictures));
	(void)json_object_set_new(body, "name", json_string(check->name));
	(void)json_object_set_new(body, "external_id", json_string(check->run));
	if (check->url)
		(void)json_object_set_new(body, "details_url", json_string(check->url));
	(void)json_object_set_new(body, "output", output);
	state_set(body, check->state);
	return body;
}

/* The one of this run on this commit: its id, and how many annotations it has; 0 when there is none. */
static int check_find(struct github *github, const char *repository, const struct remote_check *check, int64_t *id,
		      size_t *annotations, struct remote_told *told, struct err *err)
{
	AUTO_BUF path = buf_new(2048);
	AUTO_ANSWER answer = {0};
	size_t index;
	json_t *item;

	buf_add_format(&path, "/repos/%s/commits/%s/check-runs?filter=latest&per_page=100&check_name=", repository, check->head);
	buf_add_url(&path, view_of(check->name));
	*id = 0;
	if (buf_finish(&path, err) || ask(github, repository, NULL, path.at, NULL, &answer, told, err))
		return -1;
	json_array_foreach(json_member(answer.body, "check_runs"), index, item)
		if (strcmp(json_text(item, "external_id", ""), check->run) == 0 && !*id) {
			*id = json_number(item, "id", 0);
			*annotations = (size_t)json_number(json_member(item, "output"), "annotations_count", 0);
		}
	return 0;
}

/* Annotations are appended by each call: those that an earlier try brought there are not sent again. */
static int check_rest(struct github *github, const char *repository, const struct remote_check *check, int64_t id, size_t from,
		      struct remote_told *told, struct err *err)
{
	AUTO_FREE char *path = text_format("/repos/%s/check-runs/%lld", repository, (long long)id);

	do {
		AUTO_JSON body = check_body(check, from);
		AUTO_ANSWER answer = {0};

		if (ask(github, repository, "PATCH", path, body, &answer, told, err))
			return -1;
		from += ANNOTATIONS_PER_CALL;
	} while (from < json_array_size(check->annotations));
	return 0;
}

static int check_make(struct github *github, const char *repository, const struct remote_check *check, struct remote_told *told,
		      struct err *err)
{
	AUTO_FREE char *path = text_format("/repos/%s/check-runs", repository);
	AUTO_JSON body = check_body(check, 0);
	AUTO_ANSWER answer = {0};

	(void)json_object_set_new(body, "head_sha", json_string(check->head));
	if (ask(github, repository, "POST", path, body, &answer, told, err))
		return -1;
	if (json_array_size(check->annotations) <= ANNOTATIONS_PER_CALL)
		return 0;
	return check_rest(github, repository, check, json_number(answer.body, "id", 0), ANNOTATIONS_PER_CALL, told, err);
}

int github_check_put(void *self, const char *repository, const struct remote_check *check, struct remote_told *told,
		     struct err *err)
{
	size_t there = 0;
	int64_t id;

	if (!github_is_app(self))
		return status_put(self, repository, check, told, err);
	if (check_find(self, repository, check, &id, &there, told, err))
		return -1;
	return id ? check_rest(self, repository, check, id, there, told, err) : check_make(self, repository, check, told, err);
}

/* ---- deployments ---- */

static const char *deployment_state(enum remote_state state)
{
	static const char *const names[] = {
		[REMOTE_RUNNING] = "in_progress", [REMOTE_GOOD] = "success", [REMOTE_BAD] = "failure", [REMOTE_UNKNOWN] = "error"};

	return names[state];
}

static int deployments_list(struct github *github, const char *repository, const char *environment, const char *sha,
			    struct rest_answer *answer, struct remote_told *told, struct err *err)
{
	AUTO_BUF path = buf_new(2048);

	buf_add_format(&path, "/repos/%s/deployments?per_page=100%s%s&environment=", repository, sha ? "&sha=" : "",
		       sha ? sha : "");
	buf_add_url(&path, view_of(environment));
	return buf_finish(&path, err) ? -1 : ask(github, repository, NULL, path.at, NULL, answer, told, err);
}

/* Without these two GitHub would merge the base into our branch, or refuse while our own checks run. */
static json_t *deployment_body(const struct remote_deployment *deployment)
{
	return json_pack("{s:s, s:s, s:s, s:b, s:[], s:b, s:b, s:s, s:{s:s}}", "ref", deployment->head, "environment",
			 deployment->environment, "task", "deploy", "auto_merge", 0, "required_contexts", "transient_environment",
			 1, "production_environment", 0, "description", "A preview by Assay", "payload", "run", deployment->run);
}

static int deployment_find(struct github *github, const char *repository, const struct remote_deployment *deployment, int64_t *id,
			   struct remote_told *told, struct err *err)
{
	AUTO_ANSWER found = {0};
	AUTO_ANSWER made = {0};
	AUTO_FREE char *path = text_format("/repos/%s/deployments", repository);
	AUTO_JSON body = NULL;

	if (deployments_list(github, repository, deployment->environment, deployment->head, &found, told, err))
		return -1;
	*id = json_number(json_array_get(found.body, 0), "id", 0);
	if (*id)
		return 0;
	body = deployment_body(deployment);
	if (ask(github, repository, "POST", path, body, &made, told, err))
		return -1;
	*id = json_number(made.body, "id", 0);
	return *id ? 0 : err_set(err, ERR_BROKEN, "GitHub made no deployment: %s", json_text(made.body, "message", ""));
}

static int status_latest(struct github *github, const char *repository, int64_t id, struct rest_answer *answer,
			 struct remote_told *told, struct err *err)
{
	AUTO_FREE char *path = text_format("/repos/%s/deployments/%lld/statuses?per_page=1", repository, (long long)id);

	return ask(github, repository, NULL, path, NULL, answer, told, err);
}

static int deployment_status(struct github *github, const char *repository, int64_t id, const char *state, const char *url,
			     const char *log_url, struct remote_told *told, struct err *err)
{
	AUTO_FREE char *path = text_format("/repos/%s/deployments/%lld/statuses", repository, (long long)id);
	AUTO_JSON body = json_pack("{s:s, s:b}", "state", state, "auto_inactive", 0);
	AUTO_ANSWER latest = {0};
	AUTO_ANSWER answer = {0};
	const json_t *now;

	if (status_latest(github, repository, id, &latest, told, err))
		return -1;
	now = json_array_get(latest.body, 0);
	if (now && strcmp(json_text(now, "state", ""), state) == 0 &&
	    strcmp(json_text(now, "environment_url", ""), url ? url : "") == 0)
		return 0;
	if (url)
		(void)json_object_set_new(body, "environment_url", json_string(url));
	if (log_url)
		(void)json_object_set_new(body, "log_url", json_string(log_url));
	return ask(github, repository, "POST", path, body, &answer, told, err);
}

int github_deployment_put(void *self, const char *repository, const struct remote_deployment *deployment, struct remote_told *told,
			  struct err *err)
{
	int64_t id;

	if (deployment_find(self, repository, deployment, &id, told, err))
		return -1;
	return deployment_status(self, repository, id, deployment_state(deployment->state), deployment->url, deployment->log_url,
				 told, err);
}

int github_deployment_end(void *self, const char *repository, const char *environment, struct remote_told *told, struct err *err)
{
	AUTO_ANSWER found = {0};
	size_t index;
	json_t *item;

	if (deployments_list(self, repository, environment, NULL, &found, told, err))
		return -1;
	json_array_foreach(found.body, index, item)
		if (deployment_status(self, repository, json_number(item, "id", 0), "inactive", NULL, NULL, told, err))
			return -1;
	return 0;
}
