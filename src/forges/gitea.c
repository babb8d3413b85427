/* Gitea as a remote: what a repository is, and what a connection lacks. */
#include "forges/gitea.h"

#include "base/scope.h"
#include "forges/gitea_priv.h"

static const struct bot_style style = {.label = "Gitea",
				       .base = "https://gitea.com",
				       .api = "/api/v1",
				       .header = "Authorization",
				       .scheme = "token ",
				       .login = "login"};

/* As a webhook's settings name them. */
static const char *const hook_events[] = {"issues",       "issue_label",       "issue_assign",         "issue_comment",
					  "pull_request", "pull_request_sync", "pull_request_comment", "pull_request_review",
					  "push"};

static json_t *describe(void *self, const char *repository, struct remote_told *told, struct err *err)
{
	AUTO_FREE char *path = text_format("/repos/%s", repository);
	AUTO_ANSWER answer = {0};

	if (bot_ask(self, NULL, path, NULL, &answer, told, err))
		return NULL;
	return json_pack("{s:s, s:b, s:s}", "branch", json_text(answer.body, "default_branch", "main"), "private",
			 json_flag(answer.body, "private", true), "url", json_text(answer.body, "html_url", ""));
}

/* ---- the doctor ---- */

static int user_examine(struct bot *bot, json_t *list, bool *known, struct err *err)
{
	const char *login;
	bool good;

	*known = !bot_self(bot, &login, NULL, err);
	if (!*known && err->kind != ERR_DENIED)
		return -1;
	remote_found_add(list, "the token", *known ? "good" : "wrong",
			 *known ? ""
				: "make one as the bot's user: Settings, Applications; scopes write:repository, write:issue and "
				  "read:user");
	if (!*known)
		return 0;
	good = strcasecmp(login, bot_name(bot)) == 0;
	AUTO_FREE char *how = text_format("set the connection's `user` to `%s`: it is who is mentioned and assigned", login);
	remote_found_add(list, "the bot's name", good ? "good" : "wrong", good ? "" : how);
	return 0;
}

static bool event_in(const json_t *events, const char *name)
{
	size_t index;
	json_t *item;

	json_array_foreach((json_t *)(uintptr_t)events, index, item)
		if (json_is_string(item) && strcmp(json_string_value(item), name) == 0)
			return true;
	return false;
}

static void hook_say(json_t *list, const json_t *hook, const char *hook_url)
{
	AUTO_FREE char *how = text_format(
		"the repository's Settings, Webhooks, Add: URL %s, application/json, the connection's secret", hook_url);
	bool json = strcmp(json_text(json_member(hook, "config"), "content_type", ""), "json") == 0;
	bool active = json_flag(hook, "active", false);

	remote_found_add(list, "webhook", hook ? "good" : "missing", hook ? "" : how);
	if (!hook)
		return;
	remote_found_add(list, "webhook content type", json ? "good" : "wrong", json ? "" : how);
	remote_found_add(list, "webhook is active", active ? "good" : "wrong", active ? "" : "check \"Active\" in its settings");
	for (size_t i = 0; i < ARRAY_LEN(hook_events); i++) {
		AUTO_FREE char *what = text_format("event %s", hook_events[i]);
		AUTO_FREE char *todo = text_format("the webhook's settings, \"Custom events\": check `%s`", hook_events[i]);
		bool good = event_in(json_member(hook, "events"), hook_events[i]);

		remote_found_add(list, what, good ? "good" : "missing", good ? "" : todo);
	}
}

static int hooks_examine(struct bot *bot, json_t *list, const char *repository, const char *hook_url, struct err *err)
{
	AUTO_FREE char *path = text_format("/repos/%s/hooks?limit=50", repository);
	AUTO_JSON hooks = bot_list(bot, path, NULL, err);
	const json_t *mine = NULL;
	size_t index;
	json_t *hook;

	if (!hooks)
		return -1;
	json_array_foreach(hooks, index, hook)
		if (strcmp(json_text(json_member(hook, "config"), "url", ""), hook_url) == 0)
			mine = hook;
	hook_say(list, mine, hook_url);
	return 0;
}

static int repository_examine(struct bot *bot, json_t *list, const char *repository, const char *hook_url, struct err *err)
{
	AUTO_FREE char *path = text_format("/repos/%s", repository);
	AUTO_ANSWER answer = {0};
	bool admin;

	if (bot_ask(bot, NULL, path, NULL, &answer, NULL, err) && answer.status != 404)
		return -1;
	admin = json_flag(json_member(answer.body, "permissions"), "admin", false);
	remote_found_add(
		list, "administrator of the repository", admin ? "good" : "missing",
		admin ? ""
		      : "the repository's Settings, Collaborators: add the bot as an administrator; without it Gitea does not "
			"say who may write, and nobody is heard");
	return admin ? hooks_examine(bot, list, repository, hook_url, err) : 0;
}

static json_t *examine(void *self, const char *repository, const char *hook_url, struct err *err)
{
	AUTO_JSON list = json_array();
	bool known;

	if (user_examine(self, list, &known, err) ||
	    (known && repository && repository_examine(self, list, repository, hook_url, err)))
		return NULL;
	remote_found_add(list, "deployments", "unknown", "Gitea has none: the preview is a commit status whose link leads there");
	return TAKE(list);
}

/* ---- the kind ---- */

static const struct remote_ops gitea_ops = {
	.name = "gitea",
	.pull_sign = "#",
	.credential = bot_credential,
	.clone_url = bot_clone_url,
	.describe = describe,
	.pull_put = gitea_pull_put,
	.pull_get = gitea_pull_get,
	.pull_close = gitea_pull_close,
	.pull_merge = gitea_pull_merge,
	.note_put = gitea_note_put,
	.reply = gitea_reply,
	.picture_put = gitea_picture_put,
	.issue_get = gitea_issue_get,
	.pull_ref = gitea_pull_ref,
	.ack = gitea_ack,
	.review = gitea_review,
	.check_put = gitea_check_put,
	.deployment_put = gitea_deployment_put,
	.deployment_end = gitea_deployment_end,
	.may_command = gitea_may_command,
	.missed = gitea_missed,
	.examine = examine,
	.free = bot_free,
};

static int make(const struct remote_options *options, struct remote *remote, struct err *err)
{
	struct bot *bot;

	if (bot_new(&style, options, remote_kind_mention(&gitea_kind, options->configuration), &bot, err))
		return -1;
	*remote = (struct remote){&gitea_ops, bot};
	return 0;
}

static int verify(const json_t *secrets, const struct webhook_request *request, int64_t now_ms, struct err *err)
{
	return remote_webhook_verify(WEBHOOK_GITEA, secrets, "webhook_secret", request, now_ms, err);
}

/* Forgejo sends each header under both names. */
const struct remote_kind gitea_kind = {.name = "gitea",
				       .name_key = "user",
				       .actor = "%s",
				       .event_header = "x-gitea-event",
				       .delivery_headers = {"x-gitea-delivery", "x-forgejo-delivery"},
				       .make = make,
				       .verify = verify,
				       .event_parse = gitea_event_parse};
