/* GitLab as a remote: what a project is, and what a connection lacks. */
#include "forges/gitlab.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"
#include "forges/gitlab_priv.h"

static const struct bot_style style = {.label = "GitLab",
				       .base = "https://gitlab.com",
				       .api = "/api/v4",
				       .header = "PRIVATE-TOKEN",
				       .scheme = "",
				       .login = "username"};

/* Of a webhook those that we need, and why. */
static const char *const hook_events[][2] = {{"issues_events", "Issues events"},
					     {"note_events", "Comments"},
					     {"merge_requests_events", "Merge request events"},
					     {"push_events", "Push events"},
					     {"pipeline_events", "Pipeline events"}};

char *gitlab_path(const char *repository, const char *format, ...)
{
	AUTO_BUF path = buf_new(8192);
	va_list arguments;
	char *rest = NULL;

	buf_add_text(&path, "/projects/");
	buf_add_url(&path, view_of(repository));
	va_start(arguments, format);
	if (vasprintf(&rest, format, arguments) < 0)
		abort();
	va_end(arguments);
	buf_add_text(&path, rest);
	free(rest);
	return buf_take(&path);
}

void gitlab_text_set(json_t *object, const char *key, const char *text)
{
	AUTO_BUF out = buf_new(2 * REMOTE_BODY_BYTES_MAX);

	for (struct view rest = view_of(text); rest.length;) {
		struct view line = view_cut(rest, '\n', &rest);
		struct view shown = view_trim(line);

		if (shown.length && shown.at[0] == '/')
			buf_add_char(&out, '\\');
		buf_add_view(&out, shown.length && shown.at[0] == '/' ? shown : line);
		if (rest.length)
			buf_add_char(&out, '\n');
	}
	json_set_bytes(object, key, buf_view(&out));
}

static json_t *describe(void *self, const char *repository, struct remote_told *told, struct err *err)
{
	AUTO_FREE char *path = gitlab_path(repository, "%s", "");
	AUTO_ANSWER answer = {0};

	if (bot_ask(self, NULL, path, NULL, &answer, told, err))
		return NULL;
	return json_pack("{s:s, s:b, s:s}", "branch", json_text(answer.body, "default_branch", "main"), "private",
			 strcmp(json_text(answer.body, "visibility", "private"), "public") != 0, "url",
			 json_text(answer.body, "web_url", ""));
}

/* ---- the doctor ---- */

static int token_examine(struct bot *bot, json_t *list, struct err *err)
{
	AUTO_ANSWER answer = {0};
	AUTO_FREE char *ends = NULL;
	bool good = false;
	size_t index;
	json_t *scope;

	if (bot_ask(bot, NULL, "/personal_access_tokens/self", NULL, &answer, NULL, err)) {
		if (answer.status != 401 && answer.status != 404)
			return -1;
		remote_found_add(list, "the token", "wrong",
				 "make a project access token: Settings, Access tokens; role Developer or Maintainer, scope api");
		return 0;
	}
	json_array_foreach(json_member(answer.body, "scopes"), index, scope)
		good = good || (json_is_string(scope) && strcmp(json_string_value(scope), "api") == 0);
	remote_found_add(list, "the token's scope api", good ? "good" : "missing",
			 good ? "" : "make a token that has the scope `api`");
	ends = text_format("the token ends on %s", json_text(answer.body, "expires_at", "no day"));
	remote_found_add(list, ends, "good", "");
	return 0;
}

static int user_examine(struct bot *bot, json_t *list, struct err *err)
{
	const char *login;
	bool good;

	if (bot_self(bot, &login, NULL, err))
		return -1;
	good = strcasecmp(login, bot_name(bot)) == 0;
	AUTO_FREE char *how = text_format("set the connection's `user` to `%s`: it is who is mentioned and assigned", login);
	remote_found_add(list, "the bot's name", good ? "good" : "wrong", good ? "" : how);
	return 0;
}

static int64_t level_of(const json_t *project)
{
	const json_t *permissions = json_member(project, "permissions");
	int64_t own = json_number(json_member(permissions, "project_access"), "access_level", 0);
	int64_t group = json_number(json_member(permissions, "group_access"), "access_level", 0);

	return own > group ? own : group;
}

static void hook_say(json_t *list, const json_t *hook, const char *hook_url)
{
	AUTO_FREE char *how = text_format("the project's Settings, Webhooks: URL %s, with the connection's secret token", hook_url);
	bool secret = json_flag(hook, "token_present", true) || json_flag(hook, "signing_token_present", false);
	bool able = strcmp(json_text(hook, "alert_status", "executable"), "executable") == 0;

	remote_found_add(list, "webhook", hook ? "good" : "missing", hook ? "" : how);
	if (!hook)
		return;
	for (size_t i = 0; i < ARRAY_LEN(hook_events); i++) {
		AUTO_FREE char *what = text_format("webhook's %s", hook_events[i][1]);
		AUTO_FREE char *todo = text_format("the project's Settings, Webhooks: check \"%s\"", hook_events[i][1]);
		bool good = json_flag(hook, hook_events[i][0], false);

		remote_found_add(list, what, good ? "good" : "missing", good ? "" : todo);
	}
	remote_found_add(list, "webhook secret", secret ? "good" : "missing", secret ? "" : how);
	remote_found_add(list, "webhook is called", able ? "good" : "wrong",
			 able ? "" : "GitLab switched it off after failures: Settings, Webhooks, \"Test\" switches it on again");
}

/* Only a Maintainer may read them. */
static int hooks_examine(struct bot *bot, json_t *list, const char *repository, const char *hook_url, struct err *err)
{
	AUTO_FREE char *path = gitlab_path(repository, "/hooks?per_page=100");
	AUTO_JSON hooks = bot_list(bot, path, NULL, err);
	const json_t *mine = NULL;
	size_t index;
	json_t *hook;

	if (!hooks && (err->kind == ERR_DENIED || err->kind == ERR_NOT_FOUND)) {
		remote_found_add(list, "webhook", "unknown",
				 "the token's role is too low to see webhooks: look yourself, or give it the role Maintainer");
		return 0;
	}
	if (!hooks)
		return -1;
	json_array_foreach(hooks, index, hook)
		if (strcmp(json_text(hook, "url", ""), hook_url) == 0)
			mine = hook;
	hook_say(list, mine, hook_url);
	return 0;
}

static int project_examine(struct bot *bot, json_t *list, const char *repository, const char *hook_url, struct err *err)
{
	AUTO_FREE char *path = gitlab_path(repository, "%s", "");
	AUTO_ANSWER answer = {0};
	bool good;

	if (bot_ask(bot, NULL, path, NULL, &answer, NULL, err)) {
		if (answer.status != 404)
			return -1;
		remote_found_add(list, "access to the project", "missing", "make the token's user a member: Developer or more");
		return 0;
	}
	good = level_of(answer.body) >= GITLAB_LEVEL_DEVELOPER;
	remote_found_add(list, "access to the project", good ? "good" : "missing",
			 good ? "" : "give the token's user the role Developer or more");
	return hooks_examine(bot, list, repository, hook_url, err);
}

static json_t *examine(void *self, const char *repository, const char *hook_url, struct err *err)
{
	AUTO_JSON list = json_array();

	if (token_examine(self, list, err))
		return NULL;
	if (strcmp(json_text(json_array_get(list, 0), "state", ""), "wrong") == 0)
		return TAKE(list);
	if (user_examine(self, list, err) || (repository && project_examine(self, list, repository, hook_url, err)))
		return NULL;
	return TAKE(list);
}

/* ---- the kind ---- */

static const struct remote_ops gitlab_ops = {
	.name = "gitlab",
	.pull_sign = GITLAB_SIGN,
	.credential = bot_credential,
	.clone_url = bot_clone_url,
	.describe = describe,
	.pull_put = gitlab_pull_put,
	.pull_get = gitlab_pull_get,
	.pull_close = gitlab_pull_close,
	.pull_merge = gitlab_pull_merge,
	.note_put = gitlab_note_put,
	.reply = gitlab_reply,
	.resolve = gitlab_resolve,
	.picture_put = gitlab_picture_put,
	.issue_get = gitlab_issue_get,
	.pull_ref = gitlab_pull_ref,
	.ack = gitlab_ack,
	.review = gitlab_review,
	.check_put = gitlab_check_put,
	.deployment_put = gitlab_deployment_put,
	.deployment_end = gitlab_deployment_end,
	.may_command = gitlab_may_command,
	.failure_read = gitlab_failure_read,
	.missed = gitlab_missed,
	.examine = examine,
	.free = bot_free,
};

static int make(const struct remote_options *options, struct remote *remote, struct err *err)
{
	struct bot *bot;

	if (bot_new(&style, options, remote_kind_mention(&gitlab_kind, options->configuration), &bot, err))
		return -1;
	*remote = (struct remote){&gitlab_ops, bot};
	return 0;
}

/* Who signs is believed for that only: a secret that travels in plain would be the weaker way around it. */
static int verify(const json_t *secrets, const struct webhook_request *request, int64_t now_ms, struct err *err)
{
	if (json_text(secrets, "signing_token", NULL))
		return remote_webhook_verify(WEBHOOK_STANDARD, secrets, "signing_token", request, now_ms, err);
	return remote_webhook_verify(WEBHOOK_GITLAB, secrets, "webhook_secret", request, now_ms, err);
}

/* X-Gitlab-Event-UUID is the same for all that follows from one webhook, and names no delivery. */
const struct remote_kind gitlab_kind = {.name = "gitlab",
					.name_key = "user",
					.actor = "%s",
					.event_header = "x-gitlab-event",
					.delivery_headers = {"idempotency-key", "webhook-id"},
					.make = make,
					.verify = verify,
					.event_parse = gitlab_event_parse};
