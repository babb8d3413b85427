/* Requests to Jira, and tokens for them. */
#include "trackers/jira.h"

#include <stdlib.h>

#include "base/scope.h"

#define FORM_BYTES_MAX ((size_t)16 << 10)
#define HEADER_BYTES_MAX ((size_t)16 << 10)

/* ---- calls ---- */

static char *url_of(const struct jira_access *access, const char *path)
{
	return access->cloud ? text_format("%s/ex/jira/%s/rest/api/3%s", access->base, access->cloud, path)
			     : text_format("%s/rest/api/3%s", access->base, path);
}

static char *authorization_of(const struct jira_access *access)
{
	AUTO_BUF header = buf_new(HEADER_BYTES_MAX);
	AUTO_FREE char *pair = NULL;

	if (!access->email)
		return text_format("Bearer %s", access->token);
	pair = text_format("%s:%s", access->email, access->token);
	buf_add_text(&header, "Basic ");
	buf_add_base64(&header, pair, strlen(pair));
	explicit_bzero(pair, strlen(pair));
	return buf_take(&header);
}

/* `rest` has all but where to, and as whom. */
static int call_as(const struct jira_access *access, struct rest_call *rest, const char *path, json_t **answer,
		   struct jira_said *said, struct err *err)
{
	AUTO_FREE char *url = url_of(access, path);
	AUTO_FREE char *authorization = authorization_of(access);
	AUTO_ANSWER got = {0};
	int failed;

	rest->url = url;
	rest->headers[0] = (struct http_header){"Authorization", authorization};
	rest->headers[1] = (struct http_header){"Accept", "application/json"};
	failed = rest_ask(access->world, rest, &got, err);
	explicit_bzero(authorization, strlen(authorization));
	*answer = NULL;
	*said = (struct jira_said){got.wait_until_ms, got.status == 401};
	if (failed)
		return err_prefix(err, "Jira");
	*answer = TAKE(got.body);
	return 0;
}

int jira_call(const struct jira_access *access, const char *method, const char *path, const json_t *body, json_t **answer,
	      struct jira_said *said, struct err *err)
{
	return call_as(access, &(struct rest_call){.method = method, .body = body}, path, answer, said, err);
}

int jira_attach(const struct jira_access *access, const char *path, const char *file, struct view bytes, json_t **answer,
		struct jira_said *said, struct err *err)
{
	AUTO_BUF form = buf_new(bytes.length + FORM_BYTES_MAX);
	AUTO_FREE char *type = rest_form(access->world, "file", file, "image/png", bytes, &form);
	/* Jira takes a file of no page of its own only so: it is no forgery. */
	struct rest_call rest = {.type = type, .headers = {[2] = {"X-Atlassian-Token", "no-check"}}};

	*answer = NULL;
	*said = (struct jira_said){0};
	if (buf_finish(&form, err))
		return -1;
	rest.bytes = buf_view(&form);
	return call_as(access, &rest, path, answer, said, err);
}

const char *jira_transition(const json_t *answer, const char *name)
{
	json_t *transition;
	size_t i;

	json_array_foreach(json_member(answer, "transitions"), i, transition) {
		const json_t *to = json_member(transition, "to");
		const char *category = json_text(json_member(to, "statusCategory"), "key", "");

		if (name ? strcasecmp(json_text(to, "name", ""), name) == 0 : strcmp(category, "indeterminate") == 0)
			return json_text(transition, "id", NULL);
	}
	return NULL;
}

/* ---- OAuth ---- */

static void pair_add(struct buf *out, const char *name, const char *value)
{
	buf_add_format(out, "%s%s=", out->at[out->length - 1] == '?' ? "" : "&", name);
	buf_add_url(out, view_of(value));
}

char *jira_authorize_url(const struct jira_client *client, const char *redirect, const char *scopes, const char *state)
{
	AUTO_BUF url = buf_new(FORM_BYTES_MAX);

	buf_add_format(&url, "%s/authorize?", client->auth);
	pair_add(&url, "audience", "api.atlassian.com");
	pair_add(&url, "client_id", client->id);
	pair_add(&url, "scope", scopes);
	pair_add(&url, "redirect_uri", redirect);
	pair_add(&url, "state", state);
	pair_add(&url, "response_type", "code");
	pair_add(&url, "prompt", "consent");
	return buf_take(&url);
}

/* `request` is stolen. */
static int token_ask(struct world world, const struct jira_client *client, json_t *request, json_t **answer, struct err *err)
{
	AUTO_JSON body = request;
	AUTO_FREE char *url = text_format("%s/oauth/token", client->auth);
	const struct rest_call call = {.url = url, .body = body};
	AUTO_ANSWER got = {0};

	*answer = NULL;
	(void)json_object_set_new(body, "client_id", json_string(client->id));
	(void)json_object_set_new(body, "client_secret", json_string(client->secret ? client->secret : ""));
	if (rest_ask(world, &call, &got, err)) {
		/* A code or a token that is over is no mistake of the request: a person must allow it anew. */
		if (err && (err->kind == ERR_INVALID || err->kind == ERR_NOT_FOUND))
			err->kind = ERR_DENIED;
		return err_prefix(err, "Atlassian gives no token");
	}
	if (!json_text(got.body, "access_token", NULL))
		return err_set(err, ERR_BROKEN, "Atlassian's answer has no access_token");
	*answer = TAKE(got.body);
	return 0;
}

int jira_token_of_code(struct world world, const struct jira_client *client, const char *code, const char *redirect,
		       json_t **answer, struct err *err)
{
	return token_ask(world, client,
			 json_pack("{s:s, s:s, s:s}", "grant_type", "authorization_code", "code", code, "redirect_uri", redirect),
			 answer, err);
}

int jira_token_refresh(struct world world, const struct jira_client *client, const char *refresh, json_t **answer, struct err *err)
{
	return token_ask(world, client, json_pack("{s:s, s:s}", "grant_type", "refresh_token", "refresh_token", refresh), answer,
			 err);
}

json_t *jira_sites(struct world world, const char *base, const char *token, struct err *err)
{
	AUTO_FREE char *url = text_format("%s/oauth/token/accessible-resources", base);
	AUTO_FREE char *authorization = text_format("Bearer %s", token);
	const struct rest_call call = {.url = url, .headers = {{"Authorization", authorization}, {"Accept", "application/json"}}};
	AUTO_ANSWER got = {0};
	int failed = rest_ask(world, &call, &got, err);

	explicit_bzero(authorization, strlen(authorization));
	if (failed)
		return NULL;
	if (!json_is_array(got.body)) {
		(void)err_set(err, ERR_BROKEN, "Atlassian's answer is no list of sites");
		return NULL;
	}
	return TAKE(got.body);
}
