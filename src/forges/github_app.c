/* The App itself: webhooks that did not arrive, and what of its settings is missing. */
#include <stdlib.h>
#include <time.h>

#include "base/scope.h"
#include "forges/github_priv.h"

#define PAGES_MAX 10
#define TRIES_MAX 5 /* of one delivery; then a person must look */

static const char *const events_wanted[] = {
	"issues", "issue_comment", "pull_request", "pull_request_review", "pull_request_review_comment",
	"push",   "check_run",     "check_suite",  "workflow_run",        "repository",
};

/* "2026-11-21T19:30:00Z" and with a fraction, in ms; 0: none. */
static int64_t time_of(const char *text)
{
	struct tm tm = {0};

	return strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) ? (int64_t)timegm(&tm) * 1000 : 0;
}

/* ---- deliveries ---- */

/* One delivery is listed once for each try, newest first: {guid: {"id", "good", "tries"}}. */
static void delivery_note(json_t *seen, const json_t *item)
{
	const char *guid = json_text(item, "guid", "");
	json_t *known = json_object_get(seen, guid);
	bool good = json_number(item, "status_code", 0) >= 200 && json_number(item, "status_code", 0) < 300;

	if (!known) {
		known = json_pack("{s:I, s:b, s:i}", "id", (json_int_t)json_number(item, "id", 0), "good", 0, "tries", 0);
		(void)json_object_set_new(seen, guid, known);
	}
	if (good)
		(void)json_object_set_new(known, "good", json_true());
	(void)json_object_set_new(known, "tries", json_integer(json_number(known, "tries", 0) + 1));
}

static int deliveries_read(struct github *github, int64_t since_ms, json_t *seen, struct remote_told *told, struct err *err)
{
	AUTO_FREE char *path = text_copy("/app/hook/deliveries?per_page=100");
	bool more = true;
	size_t index;
	json_t *item;

	for (int page = 0; more && page < PAGES_MAX; page++) {
		AUTO_ANSWER answer = {0};

		if (github_ask(github, &(struct github_call){.right = GITHUB_APP, .path = path}, &answer, told, err))
			return -1;
		more = view_starts(view_of(answer.next), view_of(github_api(github)));
		json_array_foreach(answer.body, index, item) {
			if (time_of(json_text(item, "delivered_at", "")) < since_ms)
				more = false;
			else
				delivery_note(seen, item);
		}
		free(path);
		path = text_copy(answer.next);
	}
	return 0;
}

int github_sweep(void *self, int64_t since_ms, int *asked, struct remote_told *told, struct err *err)
{
	AUTO_JSON seen = json_object();
	const char *guid;
	json_t *known;

	*asked = 0;
	if (!github_is_app(self))
		return 0;
	if (deliveries_read(self, since_ms, seen, told, err))
		return -1;
	json_object_foreach(seen, guid, known) {
		AUTO_FREE char *path = text_format("/app/hook/deliveries/%lld/attempts", (long long)json_number(known, "id", 0));
		AUTO_ANSWER answer = {0};

		if (json_flag(known, "good", false) || json_number(known, "tries", 0) >= TRIES_MAX)
			continue;
		if (github_ask(self, &(struct github_call){.right = GITHUB_APP, .method = "POST", .path = path}, &answer, told,
			       err))
			return -1;
		(*asked)++;
	}
	return 0;
}

/* ---- the doctor ---- */

static int level_of(const char *name)
{
	return strcmp(name, "admin") == 0 ? 3 : strcmp(name, "write") == 0 ? 2 : strcmp(name, "read") == 0 ? 1 : 0;
}

static void permissions_examine(json_t *list, const json_t *granted, bool installed)
{
	for (size_t i = 0; i < github_permission_count; i++) {
		const char *const *one = github_permissions[i];
		AUTO_FREE char *what = text_format("permission %s: %s, of the %s", one[0], one[1],
						   installed ? "installation" : "App");
		AUTO_FREE char *how =
			installed
				? text_format(
					  "an owner of the account accepts the App's new permission %s: %s (the installation's page, "
					  "\"Review request\")",
					  one[0], one[1])
				: text_format("App settings, \"Permissions & events\": set %s to %s", one[0], one[1]);
		bool good = level_of(json_text(granted, one[0], "")) >= level_of(one[1]);

		remote_found_add(list, what, good ? "good" : "missing", good ? "" : how);
	}
}

static void events_examine(json_t *list, const json_t *events)
{
	for (size_t i = 0; i < ARRAY_LEN(events_wanted); i++) {
		AUTO_FREE char *what = text_format("event %s", events_wanted[i]);
		AUTO_FREE char *how = text_format("App settings, \"Permissions & events\", \"Subscribe to events\": check `%s`",
						  events_wanted[i]);
		bool good = false;
		size_t index;
		json_t *event;

		json_array_foreach((json_t *)(uintptr_t)events, index, event)
			good = good || (json_is_string(event) && strcmp(json_string_value(event), events_wanted[i]) == 0);
		remote_found_add(list, what, good ? "good" : "missing", good ? "" : how);
	}
}

static int hook_examine(struct github *github, json_t *list, const char *hook_url, struct err *err)
{
	AUTO_ANSWER answer = {0};
	AUTO_FREE char *how = text_format(
		"App settings, \"Webhook\": URL %s, content type application/json, and the connection's secret", hook_url);
	bool good;

	if (github_ask(github, &(struct github_call){.right = GITHUB_APP, .path = "/app/hook/config"}, &answer, NULL, err))
		return -1;
	good = strcmp(json_text(answer.body, "url", ""), hook_url) == 0;
	remote_found_add(list, "webhook URL", good ? "good" : "wrong", good ? "" : how);
	good = strcmp(json_text(answer.body, "content_type", ""), "json") == 0;
	remote_found_add(list, "webhook content type", good ? "good" : "wrong", good ? "" : how);
	good = *json_text(answer.body, "secret", "") != '\0';
	remote_found_add(list, "webhook secret", good ? "good" : "missing", good ? "" : how);
	return 0;
}

static int installation_examine(struct github *github, json_t *list, const char *repository, struct err *err)
{
	AUTO_FREE char *path = text_format("/repos/%s/installation", repository);
	AUTO_FREE char *how = text_format("%s/apps/%s/installations/new, and choose %s", github_web(github), github_name(github),
					  repository);
	AUTO_ANSWER answer = {0};
	bool good = true;

	if (github_ask(github, &(struct github_call){.right = GITHUB_APP, .path = path}, &answer, NULL, err)) {
		if (answer.status != 404)
			return -1;
		remote_found_add(list, "installation on the repository", "missing", how);
		return 0;
	}
	good = !json_text(answer.body, "suspended_at", NULL);
	remote_found_add(list, "installation on the repository", good ? "good" : "wrong",
			 good ? "" : "the installation is suspended: unsuspend it");
	permissions_examine(list, json_member(answer.body, "permissions"), true);
	return 0;
}

static int app_examine(struct github *github, json_t *list, struct err *err)
{
	AUTO_ANSWER answer = {0};

	if (github_ask(github, &(struct github_call){.right = GITHUB_APP, .path = "/app"}, &answer, NULL, err)) {
		if (answer.status != 401)
			return -1;
		remote_found_add(list, "the App's id and key", "wrong",
				 "take the client id and a private key from the App's settings");
		return 0;
	}
	remote_found_add(list, "the App's id and key", "good", "");
	if (strcmp(json_text(answer.body, "slug", ""), github_name(github)) != 0) {
		AUTO_FREE char *how = text_format("set the connection's `name` to `%s`", json_text(answer.body, "slug", ""));

		remote_found_add(list, "the App's name", "wrong", how);
	}
	permissions_examine(list, json_member(answer.body, "permissions"), false);
	events_examine(list, json_member(answer.body, "events"));
	return 0;
}

/* What a token of a person may is only known for a repository. */
static int token_examine(struct github *github, json_t *list, const char *repository, struct err *err)
{
	AUTO_FREE char *path = repository ? text_format("/repos/%s", repository) : text_copy("/user");
	struct github_call call = {.repository = repository ? repository : "", .right = GITHUB_WORK, .path = path};
	AUTO_ANSWER answer = {0};
	bool good;

	if (github_ask(github, &call, &answer, NULL, err)) {
		if (answer.status != 401 && answer.status != 404)
			return -1;
		remote_found_add(list, "the token", "wrong",
				 "make one that may read and write contents, pull requests, issues, statuses and deployments");
		return 0;
	}
	good = !repository || json_flag(json_member(answer.body, "permissions"), "push", false);
	remote_found_add(list, "the token may write", good ? "good" : "missing",
			 good ? "" : "give its owner write access to the repository");
	remote_found_add(list, "check runs", "missing",
			 "only a GitHub App may make them: with a token, verdicts are commit statuses");
	return 0;
}

json_t *github_examine(void *self, const char *repository, const char *hook_url, struct err *err)
{
	AUTO_JSON list = json_array();

	if (!github_is_app(self))
		return token_examine(self, list, repository, err) ? NULL : TAKE(list);
	if (app_examine(self, list, err))
		return NULL;
	if (strcmp(json_text(json_array_get(list, 0), "state", ""), "good") == 0 &&
	    (hook_examine(self, list, hook_url, err) || (repository && installation_examine(self, list, repository, err))))
		return NULL;
	return TAKE(list);
}
