/* Requests to Slack, and what its answers mean. */
#include "trackers/slack.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"

#define URL_BYTES_MAX ((size_t)16 << 10)

static void query_add(struct buf *url, const json_t *arguments)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)arguments, key, value) {
		AUTO_FREE char *number = json_is_integer(value) ? text_format("%lld", (long long)json_integer_value(value)) : NULL;
		const char *text = json_is_string(value)  ? json_string_value(value)
				   : json_is_true(value)  ? "true"
				   : json_is_false(value) ? "false"
							  : number;

		if (!text)
			continue;
		buf_add_format(url, "%s%s=", strchr(url->at, '?') ? "&" : "?", key);
		buf_add_url(url, view_of(text));
	}
}

/* Slack's words, and what its callers do next; any other is a mistake of the request. */
static enum err_kind kind_of(const char *error)
{
	static const struct {
		const char *name;
		enum err_kind kind;
	} rows[] = {
		{"ratelimited", ERR_LIMIT},           {"rate_limited", ERR_LIMIT},
		{"internal_error", ERR_RETRY},        {"fatal_error", ERR_RETRY},
		{"service_unavailable", ERR_RETRY},   {"request_timeout", ERR_RETRY},
		{"team_added_to_org", ERR_RETRY},     {"invalid_auth", ERR_DENIED},
		{"not_authed", ERR_DENIED},           {"account_inactive", ERR_DENIED},
		{"token_revoked", ERR_DENIED},        {"token_expired", ERR_DENIED},
		{"missing_scope", ERR_DENIED},        {"not_allowed_token_type", ERR_DENIED},
		{"no_permission", ERR_DENIED},        {"not_in_channel", ERR_DENIED},
		{"is_archived", ERR_DENIED},          {"restricted_action", ERR_DENIED},
		{"access_denied", ERR_DENIED},        {"ekm_access_denied", ERR_DENIED},
		{"channel_not_found", ERR_NOT_FOUND}, {"message_not_found", ERR_NOT_FOUND},
		{"thread_not_found", ERR_NOT_FOUND},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (strcmp(rows[i].name, error) == 0)
			return rows[i].kind;
	return ERR_INVALID;
}

static bool is_about_token(const char *error)
{
	static const char *const words[] = {"invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired"};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcmp(words[i], error) == 0)
			return true;
	return false;
}

int slack_answer_judge(const json_t *body, struct slack_said *said, struct err *err)
{
	const char *error = json_text(body, "error", "it gives no reason");
	const char *needed = json_text(body, "needed", NULL);

	if (json_flag(body, "ok", false))
		return 0;
	if (!json_is_object(body))
		return err_set(err, ERR_RETRY, "Slack's answer is no object");
	(void)snprintf(said->error, sizeof(said->error), "%.60s", error);
	said->expired = is_about_token(error);
	return err_set(err, kind_of(error), "Slack answers %.60s%s%.100s", error, needed ? ": it needs the scope " : "",
		       needed ? needed : "");
}

int slack_ask(const struct slack_call *call, json_t **answer, struct slack_said *said, struct err *err)
{
	AUTO_BUF url = buf_new(URL_BYTES_MAX);
	AUTO_FREE char *bearer = text_format("Bearer %s", call->token);
	AUTO_JSON nothing = json_object();
	AUTO_ANSWER got = {0};
	struct rest_call rest = {.headers = {{"Authorization", bearer}}};
	int failed;

	*answer = NULL;
	*said = (struct slack_said){0};
	buf_add_format(&url, "%s/%s", call->base, call->method);
	if (call->is_read)
		query_add(&url, call->arguments);
	else
		rest.body = call->arguments ? call->arguments : nothing;
	rest.url = url.at;
	failed = buf_finish(&url, err) || rest_ask(call->world, &rest, &got, err);
	explicit_bzero(bearer, strlen(bearer));
	said->blocked_until_ms = got.wait_until_ms;
	(void)snprintf(said->scopes, sizeof(said->scopes), "%s", got.scopes);
	if (failed)
		return err_prefix(err, "Slack");
	if (slack_answer_judge(got.body, said, err))
		return err_prefix(err, "%s", call->method);
	*answer = TAKE(got.body);
	return 0;
}

int slack_upload(struct world world, const json_t *place, const char *type, struct view bytes, char **id, struct err *err)
{
	struct rest_call call = {.bytes = bytes, .type = type, .plain = true};
	const char *file;
	AUTO_ANSWER answer = {0};

	if (json_text_get(place, "upload_url", &call.url, err) || json_text_get(place, "file_id", &file, err))
		return err_prefix(err, "Slack's place for a file");
	if (rest_ask(world, &call, &answer, err)) {
		/* The place is of a minute: another one is asked for. */
		if (answer.status)
			err->kind = ERR_RETRY;
		return err_prefix(err, "Slack's place for a file");
	}
	*id = text_copy(file);
	return 0;
}
