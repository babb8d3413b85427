/*
 * GitHub as an App sees it (docs.github.com/en/rest, version 2022-11-28): repositories acme/shop and acme/lib, their issues, pull requests, comments,
 * reviews, check runs and deployments; tokens that end and are revoked; limits; deliveries that can be asked for again. Branches are fake_git.c's,
 * in repositories of the name "there-shop". ann may write; evil may not.
 */
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"
#include "outside.h"

#define PATH_PARTS_MAX 10
#define KEY_BITS 1024
#define TOKEN_LIFE_MS ((int64_t)3600 * 1000)
#define TOKENS_MAX 4096
#define LABEL "agent"

static struct {
	char *key;
	json_t *pulls, *issues, *notes, *reviews, *checks, *deployments;
	int64_t number;
	struct {
		int64_t ends_ms;
		bool used;
	} tokens[TOKENS_MAX];
	int token_count;
} hub;

struct asked {
	const struct http_call *call;
	struct http_response *response;
	char path[512];
	const char *parts[PATH_PARTS_MAX];
	int count;
	const char *query;
	json_t *body;        /* NULL: none */
	char repository[64]; /* "acme/shop" */
};

static void head_set(json_t *object, const char *key, const char *text)
{
	(void)json_object_set_new(object, key, json_string(text));
}

/* "there-shop", as fake_git.c knows it. */
static char *folder_of(const char *repository)
{
	return text_format("there-%s", strrchr(repository, '/') + 1);
}

static const char *ref_of(const char *repository, const char *branch)
{
	AUTO_FREE char *folder = folder_of(repository);
	AUTO_FREE char *ref = text_format("refs/heads/%s", branch);

	return git_ref(folder, ref);
}

const char *github_main(const char *repository)
{
	AUTO_FREE char *folder = text_format("there-%s", repository);

	return git_ref(folder, "refs/heads/main");
}

static json_t *find(json_t *list, const char *repository, int64_t number)
{
	size_t index;
	json_t *item;

	json_array_foreach(list, index, item)
		if (json_number(item, "number", json_number(item, "id", 0)) == number &&
		    strcmp(json_text(item, "_repository", ""), repository) == 0)
			return item;
	return NULL;
}

static int64_t number_of(const char *text)
{
	return strtoll(text, NULL, 10);
}

/* ---- webhooks ---- */

static json_t *event(const char *action, const char *repository, const char *sender)
{
	json_t *body = json_pack("{s:{s:s}, s:{s:s, s:s}}", "repository", "full_name", repository, "sender", "login", sender,
				 "type", strchr(sender, '[') ? "Bot" : "User");

	if (action)
		head_set(body, "action", action);
	return body;
}

static void pull_refresh(json_t *pull)
{
	json_t *head = json_object_get(pull, "head");
	const char *now = ref_of(json_text(pull, "_repository", ""), json_text(head, "ref", ""));

	if (now && strcmp(json_text(pull, "state", ""), "open") == 0)
		head_set(head, "sha", now);
}

static void pull_hook(const char *action, json_t *pull, const char *sender)
{
	json_t *body = event(action, json_text(pull, "_repository", ""), sender);

	pull_refresh(pull);
	(void)json_object_set_new(body, "pull_request", json_deep_copy(pull));
	hook_put("pull_request", body);
}

static void push_hook(const char *repository, const char *branch, const char *before, const char *sender)
{
	json_t *body = event(NULL, repository, sender);
	AUTO_FREE char *ref = text_format("refs/heads/%s", branch);
	const char *after = ref_of(repository, branch);

	head_set(body, "ref", ref);
	head_set(body, "before", before ? before : "");
	head_set(body, "after", after ? after : "");
	hook_put("push", body);
}

void github_pushed(const char *repository, const char *branch)
{
	AUTO_FREE char *full = text_format("acme/%s", repository);
	size_t index;
	json_t *pull;

	push_hook(full, branch, NULL, "assay[bot]");
	json_array_foreach(hub.pulls, index, pull)
		if (strcmp(json_text(json_object_get(pull, "head"), "ref", ""), branch) == 0 &&
		    strcmp(json_text(pull, "_repository", ""), full) == 0 && strcmp(json_text(pull, "state", ""), "open") == 0)
			pull_hook("synchronize", pull, "assay[bot]");
}

/* ---- pull requests ---- */

static int pulls_list(struct asked *asked)
{
	json_t *list = json_array();
	const char *wanted = strstr(asked->query, "head=acme:");
	size_t index;
	json_t *pull;

	if (!wanted || !strstr(asked->query, "state=all"))
		broken("pull requests are listed by %s", asked->query);
	json_array_foreach(hub.pulls, index, pull) {
		const char *ref = json_text(json_object_get(pull, "head"), "ref", "");
		AUTO_BUF escaped = buf_new(512);

		buf_add_text(&escaped, "head=acme:");
		buf_add_url(&escaped, view_of(ref));
		if (strcmp(wanted, escaped.at) == 0 && strcmp(json_text(pull, "_repository", ""), asked->repository) == 0) {
			pull_refresh(pull);
			(void)json_array_insert(list, 0, pull); /* the newest first */
		}
	}
	return answer_put(asked->response, 200, list);
}

static int failed_422(struct asked *asked, const char *message)
{
	return answer_put(asked->response, 422,
			  json_pack("{s:s, s:[{s:s}]}", "message", "Validation Failed", "errors", "message", message));
}

static int pull_make(struct asked *asked)
{
	const char *branch = json_text(asked->body, "head", NULL);
	const char *target = json_text(asked->body, "base", NULL);
	const char *head = branch ? ref_of(asked->repository, branch) : NULL;
	size_t index;
	json_t *pull;
	json_t *made;

	if (!branch || !target || !json_text(asked->body, "title", NULL))
		broken("a pull request without head, base or title is asked for");
	if (!head)
		return failed_422(asked, "head is invalid");
	json_array_foreach(hub.pulls, index, pull)
		if (strcmp(json_text(json_object_get(pull, "head"), "ref", ""), branch) == 0 &&
		    strcmp(json_text(pull, "_repository", ""), asked->repository) == 0) {
			if (strcmp(json_text(pull, "state", ""), "open") == 0)
				return failed_422(asked, "A pull request already exists for acme:branch.");
			if (json_flag(pull, "merged", false) && git_holds(ref_of(asked->repository, target), head))
				return failed_422(asked, "No commits between main and the branch");
		}
	hub.number++;
	made = json_pack("{s:I, s:o, s:s, s:s, s:b, s:b, s:O, s:O?, s:o, s:{s:s, s:s, s:{s:s}}, s:{s:s, s:s}, s:{s:s}}", "number",
			 (json_int_t)hub.number, "node_id", json_sprintf("PR_%lld", (long long)hub.number), "state", "open",
			 "_repository", asked->repository, "merged", 0, "draft", json_flag(asked->body, "draft", false), "title",
			 json_object_get(asked->body, "title"), "body", json_object_get(asked->body, "body"), "html_url",
			 json_sprintf("https://github.com/%s/pull/%lld", asked->repository, (long long)hub.number), "head", "ref",
			 branch, "sha", head, "repo", "full_name", asked->repository, "base", "ref", target, "sha",
			 ref_of(asked->repository, target), "user", "login", "assay[bot]");
	(void)json_array_append_new(hub.pulls, made);
	pull_hook("opened", made, "assay[bot]");
	return answer_put(asked->response, 201, json_deep_copy(made));
}

static json_t *pull_of(struct asked *asked)
{
	json_t *pull = find(hub.pulls, asked->repository, number_of(asked->parts[4]));

	if (!pull)
		broken("there is no pull request %s", asked->path);
	pull_refresh(pull);
	return pull;
}

static int pull_show(struct asked *asked)
{
	return answer_put(asked->response, 200, json_deep_copy(pull_of(asked)));
}

static void pull_end(json_t *pull, bool merged, const char *sender)
{
	const char *repository = json_text(pull, "_repository", "");

	pull_refresh(pull);
	if (merged) {
		AUTO_FREE char *folder = folder_of(repository);
		const char *head = json_text(json_object_get(pull, "head"), "sha", "");
		const char *before = ref_of(repository, "main");

		git_ref_put(folder, "refs/heads/main", git_commit_make(before, head, git_content(head)));
		push_hook(repository, "main", before, sender);
	}
	head_set(pull, "state", "closed");
	(void)json_object_set_new(pull, "merged", json_boolean(merged));
	(void)json_object_set_new(pull, "merged_at", merged ? json_string("2026-11-22T12:00:00Z") : json_null());
	pull_hook("closed", pull, sender);
}

static int pull_edit(struct asked *asked)
{
	json_t *pull = pull_of(asked);
	const char *state = json_text(asked->body, "state", NULL);

	if (state && strcmp(state, "closed") != 0)
		broken("a pull request is made %s", state);
	if (state && strcmp(json_text(pull, "state", ""), "open") == 0)
		pull_end(pull, false, "assay[bot]");
	if (json_text(asked->body, "title", NULL))
		(void)json_object_set(pull, "title", json_object_get(asked->body, "title"));
	if (json_text(asked->body, "body", NULL))
		(void)json_object_set(pull, "body", json_object_get(asked->body, "body"));
	return pull_show(asked);
}

static int pull_merge(struct asked *asked)
{
	json_t *pull = pull_of(asked);

	if (strcmp(json_text(pull, "state", ""), "open") != 0 || json_flag(pull, "draft", false))
		return answer_put(asked->response, 405, json_pack("{s:s}", "message", "Pull Request is not mergeable"));
	if (strcmp(json_text(asked->body, "sha", ""), json_text(json_object_get(pull, "head"), "sha", "")) != 0)
		return answer_put(asked->response, 409,
				  json_pack("{s:s}", "message", "Head branch was modified. Review and try again."));
	pull_end(pull, true, "assay[bot]");
	return answer_put(asked->response, 200, json_pack("{s:b}", "merged", 1));
}

static int query(struct asked *asked)
{
	const char *id = json_text(json_object_get(asked->body, "variables"), "id", "");
	bool ready = strstr(json_text(asked->body, "query", ""), "markPullRequestReadyForReview") != NULL;
	size_t index;
	json_t *pull;

	json_array_foreach(hub.pulls, index, pull)
		if (strcmp(json_text(pull, "node_id", ""), id) == 0) {
			(void)json_object_set_new(pull, "draft", json_boolean(!ready));
			pull_hook(ready ? "ready_for_review" : "converted_to_draft", pull, "assay[bot]");
			return answer_put(asked->response, 200, json_pack("{s:{}}", "data"));
		}
	broken("GraphQL is asked for %s", id);
}

/* ---- comments ---- */

static json_t *note_add(const char *repository, int64_t number, const char *kind, const char *author, const char *body)
{
	json_t *note = json_pack("{s:I, s:s, s:I, s:s, s:{s:s}, s:s, s:s}", "id", (json_int_t)++hub.number, "_repository",
				 repository, "_of", (json_int_t)number, "_kind", kind, "user", "login", author, "body", body,
				 "updated_at", "2026-11-22T12:00:00Z");

	(void)json_array_append_new(hub.notes, note);
	return note;
}

static int notes_list_kind(struct asked *asked, const char *kind, const char *member, int64_t number)
{
	json_t *list = json_array();
	size_t index;
	json_t *note;

	json_array_foreach(hub.notes, index, note)
		if (json_number(note, member, 0) == number && strcmp(json_text(note, "_kind", ""), kind) == 0 &&
		    strcmp(json_text(note, "_repository", ""), asked->repository) == 0)
			(void)json_array_append(list, note);
	return answer_put(asked->response, 200, list);
}

static int notes_list(struct asked *asked)
{
	return notes_list_kind(asked, strcmp(asked->parts[3], "pulls") == 0 ? "line" : "note", "_of", number_of(asked->parts[4]));
}

static int review_notes(struct asked *asked)
{
	return notes_list_kind(asked, "line", "pull_request_review_id", number_of(asked->parts[6]));
}

/* Of ours: is one with this mark there already? */
static void mark_check(const char *repository, int64_t number, const char *body)
{
	struct view mark = view_cut(view_of(body), '\n', &(struct view){0});
	size_t index;
	json_t *note;

	if (!view_starts(mark, VIEW("<!-- assay:")))
		broken("a comment of ours has no mark: %.40s", body);
	json_array_foreach(hub.notes, index, note)
		if (json_number(note, "_of", 0) == number && strcmp(json_text(note, "_repository", ""), repository) == 0 &&
		    view_equal(view_cut(view_of(json_text(note, "body", "")), '\n', &(struct view){0}), mark))
			outside.doubles++;
}

static int note_make(struct asked *asked)
{
	bool reply = strcmp(asked->parts[3], "pulls") == 0;
	int64_t number = number_of(asked->parts[4]);
	const char *body = json_text(asked->body, "body", "");
	json_t *note;

	mark_check(asked->repository, number, body);
	note = note_add(asked->repository, number, reply ? "line" : "note", "assay[bot]", body);
	if (reply)
		(void)json_object_set_new(note, "in_reply_to_id", json_integer(number_of(asked->parts[6])));
	return answer_put(asked->response, 201, json_deep_copy(note));
}

static int note_edit(struct asked *asked)
{
	json_t *note = find(hub.notes, asked->repository, number_of(asked->parts[5]));

	if (!note || strcmp(json_text(json_object_get(note, "user"), "login", ""), "assay[bot]") != 0)
		broken("a comment that is not ours is edited: %s", asked->path);
	(void)json_object_set(note, "body", json_object_get(asked->body, "body"));
	return answer_put(asked->response, 200, json_deep_copy(note));
}

static int react(struct asked *asked)
{
	if (!find(hub.notes, asked->repository, number_of(asked->parts[5])))
		broken("a reaction to nothing: %s", asked->path);
	return answer_put(asked->response, 201, json_pack("{s:s}", "content", "eyes"));
}

static int review_show(struct asked *asked)
{
	json_t *review = find(hub.reviews, asked->repository, number_of(asked->parts[6]));

	if (!review)
		broken("there is no review %s", asked->path);
	return answer_put(asked->response, 200, json_deep_copy(review));
}

static int issue_show(struct asked *asked)
{
	json_t *issue = find(hub.issues, asked->repository, number_of(asked->parts[4]));

	if (!issue)
		broken("there is no issue %s", asked->path);
	return answer_put(asked->response, 200, json_deep_copy(issue));
}

static int permission_show(struct asked *asked)
{
	bool writes = strcmp(asked->parts[4], "ann") == 0;

	if (!writes && chance(2))
		return answer_put(asked->response, 404, json_pack("{s:s}", "message", "evil is not a user"));
	return answer_put(asked->response, 200, json_pack("{s:s}", "permission", writes ? "write" : "read"));
}

/* ---- checks and deployments ---- */

static int checks_list(struct asked *asked)
{
	json_t *list = json_array();
	size_t index;
	json_t *check;

	json_array_foreach(hub.checks, index, check)
		if (strcmp(json_text(check, "head_sha", ""), asked->parts[4]) == 0 &&
		    strcmp(json_text(check, "_repository", ""), asked->repository) == 0)
			(void)json_array_append(list, check);
	return answer_put(asked->response, 200, json_pack("{s:o}", "check_runs", list));
}

static void check_take(struct asked *asked, json_t *check)
{
	const char *conclusion = json_text(asked->body, "conclusion", NULL);

	if (strcmp(json_text(asked->body, "status", ""), "completed") == 0 && !conclusion)
		broken("a check is completed without a conclusion");
	if (conclusion && strcmp(conclusion, "success") == 0 &&
	    strncmp(git_content(json_text(check, "head_sha", "")), "good", 4) != 0)
		broken("GitHub is told that %s is good", git_content(json_text(check, "head_sha", "")));
	(void)json_object_update(check, asked->body);
}

static int check_make(struct asked *asked)
{
	json_t *made = json_pack("{s:I, s:s, s:O, s:O}", "id", (json_int_t)++hub.number, "_repository", asked->repository,
				 "head_sha", json_object_get(asked->body, "head_sha"), "external_id",
				 json_object_get(asked->body, "external_id"));
	size_t index;
	json_t *check;

	if (!made)
		broken("a check without a commit is made");
	json_array_foreach(hub.checks, index, check)
		outside.doubles += strcmp(json_text(check, "head_sha", ""), json_text(made, "head_sha", "")) == 0 &&
				   strcmp(json_text(check, "external_id", ""), json_text(made, "external_id", "")) == 0;
	check_take(asked, made);
	(void)json_array_append_new(hub.checks, made);
	return answer_put(asked->response, 201, json_deep_copy(made));
}

static int check_edit(struct asked *asked)
{
	json_t *check = find(hub.checks, asked->repository, number_of(asked->parts[4]));

	if (!check)
		broken("there is no check %s", asked->path);
	check_take(asked, check);
	return answer_put(asked->response, 200, json_deep_copy(check));
}

static int deployments_list(struct asked *asked)
{
	json_t *list = json_array();
	size_t index;
	json_t *each;

	json_array_foreach(hub.deployments, index, each) {
		AUTO_FREE char *sha = text_format("&sha=%s&", json_text(each, "ref", ""));
		AUTO_BUF environment = buf_new(512);

		buf_add_text(&environment, "&environment=");
		buf_add_url(&environment, view_of(json_text(each, "environment", "")));
		if (strcmp(json_text(each, "_repository", ""), asked->repository) == 0 &&
		    (!strstr(asked->query, "&sha=") || strstr(asked->query, sha)) &&
		    view_ends(view_of(asked->query), buf_view(&environment)))
			(void)json_array_append(list, each);
	}
	return answer_put(asked->response, 200, list);
}

static int deployment_make(struct asked *asked)
{
	json_t *made = json_deep_copy(asked->body);
	size_t index;
	json_t *each;

	if (!json_text(made, "ref", NULL) || !json_text(made, "environment", NULL) || json_flag(made, "auto_merge", true))
		broken("a deployment is asked for as nobody wants it");
	json_array_foreach(hub.deployments, index, each)
		outside.doubles += strcmp(json_text(each, "ref", ""), json_text(made, "ref", "")) == 0 &&
				   strcmp(json_text(each, "environment", ""), json_text(made, "environment", "")) == 0;
	(void)json_object_set_new(made, "id", json_integer(++hub.number));
	(void)json_object_set_new(made, "_statuses", json_array());
	head_set(made, "_repository", asked->repository);
	(void)json_array_append_new(hub.deployments, made);
	return answer_put(asked->response, 201, json_deep_copy(made));
}

static int statuses(struct asked *asked)
{
	json_t *deployment = find(hub.deployments, asked->repository, number_of(asked->parts[4]));
	json_t *list = json_object_get(deployment, "_statuses");
	json_t *latest = json_array_get(list, json_array_size(list) - 1);

	if (!deployment)
		broken("there is no deployment %s", asked->path);
	if (!asked->body)
		return answer_put(asked->response, 200, latest ? json_pack("[O]", latest) : json_array());
	(void)json_array_append(list, asked->body);
	return answer_put(asked->response, 201, json_incref(asked->body));
}

/* ---- the host's own CI, and the App ---- */

static int jobs_list(struct asked *asked)
{
	return answer_put(
		asked->response, 200,
		json_pack("{s:[{s:i, s:s, s:s, s:[]}]}", "jobs", "id", 7, "name", "build", "conclusion", "failure", "steps"));
}

static int log_show(struct asked *asked)
{
	asked->response->status = 200;
	buf_add_text(&asked->response->body, "1 of 2 tests failed\n");
	return 0;
}

static int repository_show(struct asked *asked)
{
	return answer_put(
		asked->response, 200,
		json_pack("{s:s, s:b, s:s}", "default_branch", "main", "private", 1, "html_url", "https://github.com/acme"));
}

static int installation_show(struct asked *asked)
{
	static const char *const names[] = {"contents",    "pull_requests", "issues",   "checks",   "statuses",
					    "deployments", "actions",       "metadata", "workflows"};
	json_t *granted = json_object();

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		head_set(granted, names[i], "write");
	return answer_put(asked->response, 200, json_pack("{s:i, s:o}", "id", 1, "permissions", granted));
}

static int token_make(struct asked *asked)
{
	if (hub.token_count == TOKENS_MAX)
		broken("too many tokens");
	hub.tokens[hub.token_count].ends_ms = sim.clock_ms + TOKEN_LIFE_MS;
	hub.tokens[hub.token_count].used = false;
	return answer_put(asked->response, 201, json_pack("{s:o}", "token", json_sprintf("ghs_%d", hub.token_count++)));
}

static json_t *time_json(int64_t ms)
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm;
	char text[32];

	(void)gmtime_r(&seconds, &tm);
	(void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	return json_string(text);
}

static int deliveries_list(struct asked *asked)
{
	json_t *list = json_array();

	for (int i = outside.hook_count - 1; i >= 0; i--) {
		const struct hook_sim *hook = &outside.hooks[i];

		for (int k = 0; *hook->event && k < hook->tries; k++)
			(void)json_array_append_new(list, json_pack("{s:i, s:s, s:o, s:i}", "id", i + 1, "guid", hook->id,
								    "delivered_at", time_json(hook->tried_ms), "status_code",
								    k ? 504 : (int)hook->status));
	}
	return answer_put(asked->response, 200, list);
}

static int delivery_again(struct asked *asked)
{
	int64_t id = number_of(asked->parts[3]);

	if (id < 1 || id > outside.hook_count)
		broken("there is no delivery %s", asked->path);
	outside.hooks[id - 1].waits = true;
	outside.hooks[id - 1].due_ms = sim.clock_ms + (int64_t)pick(5000);
	return answer_put(asked->response, 202, json_object());
}

/* ---- the table; "*" is any one part ---- */

static const struct {
	const char *method;
	const char *path;
	int (*answer)(struct asked *asked);
} routes[] = {
	{"GET", "repos/*/*", repository_show},
	{"GET", "repos/*/*/installation", installation_show},
	{"POST", "app/installations/1/access_tokens", token_make},
	{"GET", "app/hook/deliveries", deliveries_list},
	{"POST", "app/hook/deliveries/*/attempts", delivery_again},
	{"POST", "graphql", query},
	{"GET", "repos/*/*/pulls", pulls_list},
	{"POST", "repos/*/*/pulls", pull_make},
	{"GET", "repos/*/*/pulls/*", pull_show},
	{"PATCH", "repos/*/*/pulls/*", pull_edit},
	{"PUT", "repos/*/*/pulls/*/merge", pull_merge},
	{"GET", "repos/*/*/pulls/*/comments", notes_list},
	{"POST", "repos/*/*/pulls/*/comments/*/replies", note_make},
	{"GET", "repos/*/*/pulls/*/reviews/*", review_show},
	{"GET", "repos/*/*/pulls/*/reviews/*/comments", review_notes},
	{"GET", "repos/*/*/issues/*", issue_show},
	{"GET", "repos/*/*/issues/*/comments", notes_list},
	{"POST", "repos/*/*/issues/*/comments", note_make},
	{"PATCH", "repos/*/*/issues/comments/*", note_edit},
	{"POST", "repos/*/*/*/comments/*/reactions", react},
	{"GET", "repos/*/*/collaborators/*/permission", permission_show},
	{"GET", "repos/*/*/commits/*/check-runs", checks_list},
	{"POST", "repos/*/*/check-runs", check_make},
	{"PATCH", "repos/*/*/check-runs/*", check_edit},
	{"GET", "repos/*/*/deployments", deployments_list},
	{"POST", "repos/*/*/deployments", deployment_make},
	{"GET", "repos/*/*/deployments/*/statuses", statuses},
	{"POST", "repos/*/*/deployments/*/statuses", statuses},
	{"GET", "repos/*/*/actions/runs/*/jobs", jobs_list},
	{"GET", "repos/*/*/actions/jobs/*/logs", log_show},
};

static void path_split(struct asked *asked)
{
	char *query;

	(void)snprintf(asked->path, sizeof(asked->path), "%s", asked->call->url + strlen("https://api.github.com/"));
	query = strchr(asked->path, '?');
	asked->query = query ? query + 1 : "";
	if (query)
		*query = '\0';
	for (char *at = asked->path; at && asked->count < PATH_PARTS_MAX;) {
		asked->parts[asked->count++] = at;
		at = strchr(at, '/');
		if (at)
			*at++ = '\0';
	}
	if (asked->count > 2)
		(void)snprintf(asked->repository, sizeof(asked->repository), "%.20s/%.20s", asked->parts[1], asked->parts[2]);
}

static bool fits(const struct asked *asked, const char *pattern)
{
	struct view rest = view_of(pattern);

	for (int i = 0; i < asked->count; i++) {
		struct view part = view_cut(rest, '/', &rest);

		if (!view_is(part, "*") && !view_is(part, asked->parts[i]))
			return false;
	}
	return !rest.length;
}

static const char *header_of(const struct http_call *call, const char *name)
{
	for (size_t i = 0; i < call->header_count; i++)
		if (strcmp(call->headers[i].name, name) == 0)
			return call->headers[i].value;
	return "";
}

/* The App says who it is by a signed word; all else is asked with a token, which ends, or is revoked. */
static bool knows(const struct asked *asked)
{
	const char *word = header_of(asked->call, "Authorization");
	bool app = strcmp(asked->parts[0], "app") == 0 || (asked->count == 4 && strcmp(asked->parts[3], "installation") == 0);
	long token;

	if (strncmp(word, "Bearer ", 7) != 0 || (strncmp(word, "Bearer ghs_", 11) == 0) == app)
		broken("%s is asked as %.12s", asked->parts[0], word);
	if (app)
		return true;
	token = strtol(word + 11, NULL, 10);
	if (token < 0 || token >= hub.token_count)
		broken("an unknown token: %s", word);
	if (hub.tokens[token].used && chance(200)) /* an owner changed what the App may */
		hub.tokens[token].ends_ms = 0;
	hub.tokens[token].used = true;
	return hub.tokens[token].ends_ms > sim.clock_ms;
}

/* "Rate limits for the REST API", "Troubleshooting the REST API". */
static bool refuses(const struct asked *asked)
{
	struct http_response *response = asked->response;

	if (!chance(25))
		return false;
	switch (pick(6)) {
	case 0:
		buf_add_text(&response->body, "<html>Unicorn!</html>");
		response->status = 502;
		break;
	case 1:
		(void)answer_put(response, 500, json_pack("{s:s}", "message", "Server Error"));
		break;
	case 2:
		(void)answer_put(response, 503, NULL);
		break;
	case 3:
		(void)answer_put(response, 429, json_pack("{s:s}", "message", "Too many requests"));
		answer_head(response, "Retry-After", 7);
		break;
	case 4:
		(void)answer_put(response, 403, json_pack("{s:s}", "message", "You have exceeded a secondary rate limit."));
		break;
	default:
		(void)answer_put(response, 403, json_pack("{s:s}", "message", "API rate limit exceeded for installation."));
		answer_head(response, "X-RateLimit-Remaining", 0);
		answer_head(response, "X-RateLimit-Reset", sim.clock_ms / 1000 + 1 + (int64_t)pick(120));
	}
	return true;
}

static int route(struct asked *asked)
{
	const char *method = asked->call->method ? asked->call->method : asked->call->has_body ? "POST" : "GET";

	if (!knows(asked))
		return answer_put(asked->response, 401, json_pack("{s:s}", "message", "Bad credentials"));
	if (refuses(asked))
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(routes); i++)
		if (strcmp(routes[i].method, method) == 0 && fits(asked, routes[i].path))
			return routes[i].answer(asked);
	broken("GitHub knows no %s %s", method, asked->call->url);
}

int github_answer(const struct http_call *call, struct http_response *response)
{
	struct asked asked = {.call = call, .response = response};
	AUTO_JSON body = call->has_body ? json_parse(call->body, NULL) : NULL;

	path_split(&asked);
	asked.body = body;
	return route(&asked);
}

/* ---- people ---- */

void github_give(int nth)
{
	json_t *issue = json_pack("{s:I, s:s, s:o, s:s, s:s, s:s}", "number", (json_int_t)++hub.number, "_repository", "acme/shop",
				  "title", json_sprintf("mail %d", nth), "body", "do it", "state", "open", "html_url",
				  "https://github.com/acme/shop/issues/1");
	json_t *body = event("labeled", "acme/shop", "ann");

	(void)json_array_append_new(hub.issues, issue);
	(void)json_object_set(body, "issue", issue);
	(void)json_object_set_new(body, "label", json_pack("{s:s}", "name", LABEL));
	hook_put("issues", body);
}

static void comment(json_t *pull, const char *author, const char *text)
{
	const char *repository = json_text(pull, "_repository", "");
	int64_t number = json_number(pull, "number", 0);
	json_t *body = event("created", repository, author);

	(void)json_object_set_new(body, "issue", json_pack("{s:I, s:{}}", "number", (json_int_t)number, "pull_request"));
	(void)json_object_set(body, "comment", note_add(repository, number, "note", author, text));
	hook_put("issue_comment", body);
}

/* The review and each of its comments are told, in any order. */
static void review(json_t *pull)
{
	const char *repository = json_text(pull, "_repository", "");
	AUTO_FREE char *text = words_new("msg");
	json_t *made = json_pack("{s:I, s:s, s:s, s:s, s:s, s:{s:s}}", "id", (json_int_t)++hub.number, "_repository", repository,
				 "body", text, "state", pick(2) ? "changes_requested" : "commented", "submitted_at",
				 "2026-11-22T12:00:00Z", "user", "login", "ann");
	json_t *body = event("submitted", repository, "ann");

	(void)json_array_append_new(hub.reviews, made);
	(void)json_object_set_new(body, "pull_request", json_deep_copy(pull));
	(void)json_object_set(body, "review", made);
	for (uint64_t n = pick(3); n; n--) {
		AUTO_FREE char *line = words_new("msg");
		json_t *told = event("created", repository, "ann");
		json_t *note = note_add(repository, json_number(pull, "number", 0), "line", "ann", line);

		(void)json_object_set(note, "pull_request_review_id", json_object_get(made, "id"));
		head_set(note, "path", "app.txt");
		(void)json_object_set_new(told, "pull_request", json_deep_copy(pull));
		(void)json_object_set(told, "comment", note);
		hook_put("pull_request_review_comment", told);
	}
	hook_put("pull_request_review", body);
}

static void checks_fail(json_t *pull)
{
	json_t *body = event("completed", json_text(pull, "_repository", ""), "ann");

	(void)json_object_set_new(body, "workflow_run",
				  json_pack("{s:I, s:s, s:s, s:O, s:O, s:[{s:O}]}", "id", (json_int_t)++hub.number, "name", "CI",
					    "conclusion", "failure", "head_branch",
					    json_object_get(json_object_get(pull, "head"), "ref"), "head_sha",
					    json_object_get(json_object_get(pull, "head"), "sha"), "pull_requests", "number",
					    json_object_get(pull, "number")));
	hook_put("workflow_run", body);
}

/* Every run of the issue may end by it: where it arrives late, one that began meanwhile. */
static void take_back(void)
{
	char name[ID_TEXT_MAX];
	json_t *issue = json_array_size(hub.issues) ? json_array_get(hub.issues, pick(json_array_size(hub.issues))) : NULL;
	json_t *body;

	if (!issue ||
	    !stored("SELECT count(*) FROM run JOIN issue_remote ON issue_remote.issue = run.issue WHERE issue_remote.number = ?",
		    VALUES(V(json_number(issue, "number", 0)))))
		return;
	(void)snprintf(name, sizeof(name), "github/%lld", (long long)json_number(issue, "number", 0));
	stop_note(name);
	body = event("unlabeled", "acme/shop", "ann");
	(void)json_object_set(body, "issue", issue);
	(void)json_object_set_new(body, "label", json_pack("{s:s}", "name", LABEL));
	hook_put("issues", body);
}

static void main_moves(void)
{
	const char *before = github_main("shop");

	git_ref_put("there-shop", "refs/heads/main", git_commit_make(before, NULL, git_content(before)));
	push_hook("acme/shop", "main", before, "ann");
}

void github_act(void)
{
	json_t *pull = json_array_size(hub.pulls) ? json_array_get(hub.pulls, pick(json_array_size(hub.pulls))) : NULL;
	AUTO_FREE char *text = words_new("msg");
	AUTO_FREE char *evil = words_new("evil");
	bool open = pull && strcmp(json_text(pull, "state", ""), "open") == 0;

	if (pull)
		pull_refresh(pull);
	switch (pick(12)) {
	case 0:
		if (chance(4))
			take_back();
		break;
	case 1:
		if (open && !json_flag(pull, "draft", false))
			pull_end(pull, true, "ann");
		break;
	case 2:
		if (open && chance(3))
			pull_end(pull, false, "ann");
		break;
	case 3:
	case 4:
		if (pull)
			comment(pull, "ann", text);
		break;
	case 5:
		if (pull)
			comment(pull, "evil", evil);
		break;
	case 6:
		if (pull)
			checks_fail(pull);
		break;
	case 7:
		main_moves();
		break;
	default:
		if (pull)
			review(pull);
	}
}

void github_ready(void)
{
	size_t index;
	json_t *pull;

	json_array_foreach(hub.pulls, index, pull)
		if (json_flag(pull, "draft", false)) {
			(void)json_object_set_new(pull, "draft", json_false());
			(void)json_object_set_new(pull, "_ready", json_true());
		}
}

/* ---- at the end ---- */

/* What it says there is what we say, and nothing of ours is there that we do not know. */
static void pull_check(const json_t *pull)
{
	const char *name = strchr(json_text(pull, "_repository", ""), '/') + 1;
	int64_t number = json_number(pull, "number", 0);
	const char *state = json_flag(pull, "merged", false) ? "merged" : json_text(pull, "state", "");
	const struct store_value values[] = {V(name), V(number), V(state)};

	if (stored("SELECT count(*) FROM pull_remote WHERE repository = ? AND number = ?", values, 2) != 1)
		broken("pull request %lld at GitHub (%s) is known to nobody here", (long long)number, state);
	if (stored("SELECT count(*) FROM pull_remote JOIN pull ON pull.number = pull_remote.pull WHERE pull_remote.repository = ? AND"
		   " pull_remote.number = ? AND pull.state = ?",
		   values, 3) != 1)
		broken("pull request %lld of %s is %s at GitHub, and something else here", (long long)number, name, state);
	/* The call of a control plane that hung may come after those of the one that took over; GitHub has no condition for it. */
	if (!sim.hangs && strcmp(state, "open") == 0 && !json_flag(pull, "draft", false) && !json_flag(pull, "_ready", false) &&
	    strncmp(git_content(json_text(json_object_get(pull, "head"), "sha", "")), "good", 4) != 0)
		broken("pull request %lld at GitHub is no draft: %s", (long long)number,
		       git_content(json_text(json_object_get(pull, "head"), "sha", "")));
}

static void deployment_check(const json_t *deployment)
{
	const json_t *list = json_object_get(deployment, "_statuses");
	const char *state = json_text(json_array_get(list, json_array_size(list) - 1), "state", "none");

	if (strcmp(state, "inactive") != 0 && stored("SELECT count(*) FROM run WHERE branch = ? AND state = 'done'",
						     VALUES(V(json_text(deployment, "environment", "")))))
		broken("the preview of %s is %s at GitHub, and its run is over", json_text(deployment, "environment", ""), state);
}

void github_check(void)
{
	size_t index;
	json_t *item;

	json_array_foreach(hub.pulls, index, item)
		pull_refresh(item);
	json_array_foreach(hub.pulls, index, item)
		pull_check(item);
	json_array_foreach(hub.deployments, index, item)
		deployment_check(item);
}

/* ---- a world's ---- */

/* One key for all worlds: nothing follows from it. */
const char *github_key(void)
{
	EVP_PKEY *key;
	BIO *bio;
	char *text;
	long length;

	if (hub.key)
		return hub.key;
	key = EVP_RSA_gen(KEY_BITS);
	bio = BIO_new(BIO_s_mem());
	if (!key || !bio || PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1)
		broken("no key");
	length = BIO_get_mem_data(bio, &text);
	hub.key = view_copy(view_make(text, (size_t)length));
	BIO_free(bio);
	EVP_PKEY_free(key);
	return hub.key;
}

void github_begin(void)
{
	json_t **const lists[] = {&hub.pulls, &hub.issues, &hub.notes, &hub.reviews, &hub.checks, &hub.deployments};

	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		*lists[i] = json_array();
	hub.number = 100;
	hub.token_count = 0;
	git_ref_put("there-shop", "refs/heads/main", git_commit_make(NULL, NULL, "base"));
	git_ref_put("there-lib", "refs/heads/main", git_commit_make(NULL, NULL, "base"));
}

void github_end(void)
{
	json_t **const lists[] = {&hub.pulls, &hub.issues, &hub.notes, &hub.reviews, &hub.checks, &hub.deployments};

	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		json_decref(*lists[i]);
		*lists[i] = NULL;
	}
}
