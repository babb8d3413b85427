/* Tokens of Linear: by a person's permission, by refreshing, by the application's own right. linear.app/developers/oauth-2-0-authentication. */
#include <stdlib.h>

#include "base/digest.h"
#include "base/scope.h"
#include "http/client.h"
#include "trackers/linear.h"

#define SEND_MS 20000
#define FORM_BYTES_MAX ((size_t)16 << 10)
#define ANSWER_BYTES_MAX ((size_t)256 << 10)

static int hex_value(char c)
{
	return c <= '9' ? c - '0' : c - 'a' + 10;
}

/* RFC 7636: the verifier's SHA-256 in base64url without padding. */
static void challenge_add(struct buf *out, const char *verifier)
{
	struct digest digest = digest_of(view_of(verifier));
	unsigned char hash[32];
	AUTO_BUF plain = buf_new(64);
	AUTO_BUF web = buf_new(64);

	for (size_t i = 0; i < sizeof(hash); i++)
		hash[i] = (unsigned char)(hex_value(digest.text[2 * i]) * 16 + hex_value(digest.text[2 * i + 1]));
	buf_add_base64(&plain, hash, sizeof(hash));
	for (size_t i = 0; i < plain.length && plain.at[i] != '='; i++)
		buf_add_char(&web, plain.at[i] == '+' ? '-' : plain.at[i] == '/' ? '_' : plain.at[i]);
	buf_add_view(out, buf_view(&web));
}

static void pair_add(struct buf *out, const char *name, const char *value)
{
	buf_add_format(out, "%s%s=", out->length && out->at[out->length - 1] != '?' ? "&" : "", name);
	buf_add_url(out, view_of(value));
}

char *linear_authorize_url(const char *authorize, const struct linear_client *client, const char *redirect, const char *scopes,
			   const char *state, const char *verifier)
{
	AUTO_BUF url = buf_new(FORM_BYTES_MAX);

	buf_add_format(&url, "%s?", authorize);
	pair_add(&url, "client_id", client->id);
	pair_add(&url, "redirect_uri", redirect);
	pair_add(&url, "response_type", "code");
	pair_add(&url, "scope", scopes);
	pair_add(&url, "state", state);
	pair_add(&url, "actor", "app");
	pair_add(&url, "code_challenge_method", "S256");
	buf_add_text(&url, "&code_challenge=");
	challenge_add(&url, verifier);
	return buf_take(&url);
}

static int token_judge(const struct http_response *response, json_t **answer, struct err *err)
{
	AUTO_JSON body = json_parse(buf_view(&response->body), NULL);
	const char *why = json_text(body, "error_description", json_text(body, "error", "it gives no reason"));

	if (response->status >= 500 || response->status == 429 || (response->status == 200 && !json_is_object(body)))
		return err_set(err, ERR_RETRY, "Linear answers %u to a request for a token", response->status);
	if (response->status != 200)
		return err_set(err, ERR_DENIED, "Linear gives no token (%u): %.200s", response->status, why);
	if (!json_text(body, "access_token", NULL))
		return err_set(err, ERR_BROKEN, "Linear's answer has no access_token");
	*answer = TAKE(body);
	return 0;
}

static int token_ask(const struct linear_client *client, struct buf *form, json_t **answer, struct err *err)
{
	AUTO_FREE char *url = text_format("%s/oauth/token", client->base);
	const struct http_header headers[] = {{"Content-Type", "application/x-www-form-urlencoded"},
					      {"User-Agent", "assay/" ASSAY_VERSION}};
	AUTO_RESPONSE response = {0};
	int failed;

	pair_add(form, "client_id", client->id);
	if (client->secret)
		pair_add(form, "client_secret", client->secret);
	const struct http_call call = {.method = "POST",
				       .url = url,
				       .headers = headers,
				       .header_count = ARRAY_LEN(headers),
				       .body = buf_view(form),
				       .has_body = true,
				       .timeout_ms = SEND_MS,
				       .body_bytes_max = ANSWER_BYTES_MAX};

	*answer = NULL;
	failed = buf_finish(form, err) || http_client_call(&call, &response, err) || token_judge(&response, answer, err);
	explicit_bzero(form->at, form->length);
	if (response.body.at)
		explicit_bzero(response.body.at, response.body.length);
	return failed ? -1 : 0;
}

int linear_token_of_code(const struct linear_client *client, const char *code, const char *redirect, const char *verifier,
			 json_t **answer, struct err *err)
{
	AUTO_BUF form = buf_new(FORM_BYTES_MAX);

	pair_add(&form, "grant_type", "authorization_code");
	pair_add(&form, "code", code);
	pair_add(&form, "redirect_uri", redirect);
	pair_add(&form, "code_verifier", verifier);
	return token_ask(client, &form, answer, err);
}

int linear_token_refresh(const struct linear_client *client, const char *refresh, json_t **answer, struct err *err)
{
	AUTO_BUF form = buf_new(FORM_BYTES_MAX);

	pair_add(&form, "grant_type", "refresh_token");
	pair_add(&form, "refresh_token", refresh);
	return token_ask(client, &form, answer, err);
}

int linear_token_of_client(const struct linear_client *client, const char *scopes, json_t **answer, struct err *err)
{
	AUTO_BUF form = buf_new(FORM_BYTES_MAX);

	pair_add(&form, "grant_type", "client_credentials");
	pair_add(&form, "scope", scopes);
	return token_ask(client, &form, answer, err);
}
