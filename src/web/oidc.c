/* The provider, asked. */
#include "web/oidc.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/scope.h"
#include "http/client.h"
#include "http/jwt.h"
#include "http/url.h"
#include "web/web_priv.h"

#define ANSWER_BYTES_MAX ((size_t)1 << 20)
#define ASK_MS 10000
#define FORM_BYTES_MAX ((size_t)64 << 10)
#define DISCOVERY_MS ((int64_t)3600 * 1000)
#define KEYS_AGAIN_MS ((int64_t)10 * 1000) /* a token that names no key of theirs makes us ask no oftener */
#define DISCOVERY_PATH "/.well-known/openid-configuration"
#define SCOPES "openid email profile"

struct oidc {
	struct oidc_options options;
	pthread_mutex_t mutex; /* of the next four */
	json_t *about;
	int64_t about_ms;
	json_t *keys;
	int64_t keys_ms;
};

static bool is_here(struct view host)
{
	return view_is(host, "localhost") || view_is(host, "::1") || view_starts(host, VIEW("127."));
}

static int place_check(const char *what, const char *url, struct err *err)
{
	struct url parsed;

	if (url_parse(view_of(url), &parsed, err))
		return err_prefix(err, "%s", what);
	if (!view_is(parsed.scheme, "https") && !(view_is(parsed.scheme, "http") && is_here(parsed.host)))
		return err_set(err, ERR_INVALID, "%s: expected https://…, not `%.200s`", what, url);
	return 0;
}

/* ---- roles ---- */

struct rule {
	struct view claim, value;
	enum role role;
};

static int rule_parse(struct view word, struct rule *rule, struct err *err)
{
	const char *last = NULL;
	struct view rest;

	for (size_t i = 0; i < word.length; i++)
		if (word.at[i] == '=')
			last = word.at + i;
	if (last) {
		AUTO_FREE char *role = view_copy(view_make(last + 1, (size_t)(word.at + word.length - last - 1)));

		rule->claim = view_cut(view_make(word.at, (size_t)(last - word.at)), ':', &rest);
		rule->value = rest;
		if (rule->claim.length && rest.length)
			return role_parse(role, &rule->role, err) ? err_prefix(err, "oidc-roles") : 0;
	}
	return err_set(err, ERR_INVALID, "oidc-roles: expected CLAIM:VALUE=ROLE, not `%.*s`",
		       (int)(word.length > 100 ? 100 : word.length), word.at);
}

static bool text_fits(const struct rule *rule, const json_t *value)
{
	struct view text = view_make(json_string_value(value), json_string_length(value));

	if (!json_is_string(value) || memchr(text.at, '\0', text.length))
		return false;
	if (view_is(rule->claim, "email") && rule->value.at[0] == '@')
		return text.length > rule->value.length &&
		       view_equal_nocase(view_make(text.at + text.length - rule->value.length, rule->value.length), rule->value);
	return view_is(rule->claim, "email") ? view_equal_nocase(text, rule->value) : view_equal(text, rule->value);
}

static bool rule_fits(const struct rule *rule, const json_t *claims)
{
	AUTO_FREE char *name = view_copy(rule->claim);
	const json_t *value = json_member(claims, name);
	size_t i;
	json_t *one;

	if (view_is(rule->claim, "email") && !json_is_true(json_member(claims, "email_verified")))
		return false;
	if (json_is_string(value))
		return text_fits(rule, value);
	json_array_foreach(value, i, one)
		if (text_fits(rule, one))
			return true;
	return false;
}

int oidc_role_find(const char *roles, const json_t *claims, char role[16], struct err *err)
{
	bool found = false;
	enum role best = ROLE_VIEWER;

	for (struct view rest = view_trim(view_of(roles)); rest.length; rest = view_trim(rest)) {
		struct rule rule;

		if (rule_parse(view_cut(rest, ' ', &rest), &rule, err))
			return -1;
		if (claims && rule_fits(&rule, claims) && (!found || rule.role > best)) {
			found = true;
			best = rule.role;
		}
	}
	if (claims && !found)
		return err_set(err, ERR_DENIED, "nothing of what the provider says of you gives you a role here (oidc-roles)");
	(void)snprintf(role, 16, "%s", role_name(best));
	return 0;
}

/* ---- opening ---- */

int oidc_open(const struct oidc_options *options, struct oidc **oidc, struct err *err)
{
	struct oidc *made;
	char role[16];

	if (place_check("oidc-issuer", options->issuer, err))
		return -1;
	if (!options->client || !*options->client)
		return err_set(err, ERR_INVALID, "oidc-client is missing: the name by which the provider knows this server");
	if (!options->roles || !view_trim(view_of(options->roles)).length)
		return err_set(err, ERR_INVALID, "oidc-roles is missing: who of the provider's people may do what");
	if (oidc_role_find(options->roles, NULL, role, err))
		return -1;
	made = mem_new(sizeof(*made));
	made->options = (struct oidc_options){text_copy(options->issuer), text_copy(options->client),
					      text_copy(options->secret ? options->secret : ""), text_copy(options->roles),
					      options->world};
	(void)pthread_mutex_init(&made->mutex, NULL);
	*oidc = made;
	return 0;
}

void oidc_close(struct oidc *oidc)
{
	if (!oidc)
		return;
	explicit_bzero((char *)(uintptr_t)oidc->options.secret, strlen(oidc->options.secret));
	free((char *)(uintptr_t)oidc->options.issuer);
	free((char *)(uintptr_t)oidc->options.client);
	free((char *)(uintptr_t)oidc->options.secret);
	free((char *)(uintptr_t)oidc->options.roles);
	json_decref(oidc->about);
	json_decref(oidc->keys);
	(void)pthread_mutex_destroy(&oidc->mutex);
	free(oidc);
}

/* ---- asking ---- */

/* `form` NULL: GET. What is no success is said with what the provider says of it. */
static json_t *ask(const char *what, const char *url, const char *authorization, const struct buf *form, struct err *err)
{
	struct http_header headers[] = {{"Accept", "application/json"},
					{"Content-Type", "application/x-www-form-urlencoded"},
					{"Authorization", authorization}};
	struct http_call call = {.url = url,
				 .headers = headers,
				 .header_count = authorization ? 3 : 2,
				 .body = form ? buf_view(form) : VIEW(""),
				 .has_body = form != NULL,
				 .timeout_ms = ASK_MS,
				 .body_bytes_max = ANSWER_BYTES_MAX};
	AUTO_RESPONSE response = {0};
	json_t *answer;

	if (place_check(what, url, err) || http_client_call(&call, &response, err)) {
		(void)err_prefix(err, "the provider's %s", what);
		return NULL;
	}
	answer = json_parse(buf_view(&response.body), NULL);
	if (response.status == 200 && json_is_object(answer))
		return answer;
	(void)err_set(err,
		      response.status >= 500                             ? ERR_RETRY
		      : response.status >= 400 && response.status != 404 ? ERR_DENIED
									 : ERR_BROKEN,
		      "the provider's %s answers %u: %.100s%s%.200s", what, response.status,
		      json_text(answer, "error", "no JSON object"), json_text(answer, "error_description", NULL) ? ": " : "",
		      json_text(answer, "error_description", ""));
	json_decref(answer);
	return NULL;
}

static const char *const places[] = {"authorization_endpoint", "token_endpoint", "jwks_uri"};

/* What the provider says of itself; owned by the caller. */
static json_t *about_get(struct oidc *oidc, struct err *err)
{
	int64_t now = world_elapsed_ms(oidc->options.world);
	AUTO_FREE char *url = NULL;
	AUTO_JSON about = NULL;
	size_t length = strlen(oidc->options.issuer);

	(void)pthread_mutex_lock(&oidc->mutex);
	if (oidc->about && now - oidc->about_ms < DISCOVERY_MS)
		about = json_incref(oidc->about);
	(void)pthread_mutex_unlock(&oidc->mutex);
	if (about)
		return TAKE(about);
	url = text_format("%.*s" DISCOVERY_PATH, (int)(length - (oidc->options.issuer[length - 1] == '/')), oidc->options.issuer);
	about = ask("discovery", url, NULL, NULL, err);
	if (!about)
		return NULL;
	if (strcmp(json_text(about, "issuer", ""), oidc->options.issuer) != 0) {
		(void)err_set(err, ERR_BROKEN, "the provider at %.200s says that it is %.200s: oidc-issuer must be exactly that",
			      oidc->options.issuer, json_text(about, "issuer", "nobody"));
		return NULL;
	}
	for (size_t i = 0; i < ARRAY_LEN(places); i++)
		if (place_check(places[i], json_text(about, places[i], ""), err))
			return NULL;
	(void)pthread_mutex_lock(&oidc->mutex);
	json_decref(oidc->about);
	oidc->about = json_incref(about);
	oidc->about_ms = now;
	(void)pthread_mutex_unlock(&oidc->mutex);
	return TAKE(about);
}

/* The keys, as they are known or, when they must be new, asked for. Owned by the caller. */
static json_t *keys_get(struct oidc *oidc, const json_t *about, bool fresh, struct err *err)
{
	int64_t now = world_elapsed_ms(oidc->options.world);
	json_t *keys = NULL;

	(void)pthread_mutex_lock(&oidc->mutex);
	if (oidc->keys && (!fresh || now - oidc->keys_ms < KEYS_AGAIN_MS))
		keys = json_incref(oidc->keys);
	(void)pthread_mutex_unlock(&oidc->mutex);
	if (keys)
		return keys;
	keys = ask("keys", json_text(about, "jwks_uri", ""), NULL, NULL, err);
	if (!keys)
		return NULL;
	(void)pthread_mutex_lock(&oidc->mutex);
	json_decref(oidc->keys);
	oidc->keys = json_incref(keys);
	oidc->keys_ms = now;
	(void)pthread_mutex_unlock(&oidc->mutex);
	return keys;
}

static void pair_add(struct buf *out, const char *name, const char *value)
{
	if (out->length && out->at[out->length - 1] != '?')
		buf_add_char(out, '&');
	buf_add_format(out, "%s=", name);
	buf_add_url(out, view_of(value));
}

char *oidc_address(struct oidc *oidc, const char *redirect, const char *state, const char *nonce, const char *verifier,
		   struct err *err)
{
	AUTO_JSON about = about_get(oidc, err);
	AUTO_BUF out = buf_new(FORM_BYTES_MAX);
	AUTO_BUF challenge = buf_new(256);
	struct digest digest = digest_of(view_of(verifier));
	unsigned char bytes[32];
	const char *place;

	if (!about)
		return NULL;
	for (size_t i = 0; i < sizeof(bytes); i++) {
		char pair[3] = {digest.text[i * 2], digest.text[i * 2 + 1], '\0'};

		bytes[i] = (unsigned char)strtoul(pair, NULL, 16);
	}
	base64url_add(&challenge, bytes, sizeof(bytes));
	place = json_text(about, "authorization_endpoint", "");
	buf_add_text(&out, place);
	if (!strchr(place, '?'))
		buf_add_char(&out, '?');
	pair_add(&out, "response_type", "code");
	pair_add(&out, "client_id", oidc->options.client);
	pair_add(&out, "redirect_uri", redirect);
	pair_add(&out, "scope", SCOPES);
	pair_add(&out, "state", state);
	pair_add(&out, "nonce", nonce);
	pair_add(&out, "code_challenge", challenge.at);
	pair_add(&out, "code_challenge_method", "S256");
	return buf_finish(&out, err) ? NULL : buf_take(&out);
}

/* ---- tokens ---- */

static bool audience_has(const json_t *audience, const char *client)
{
	size_t i;
	json_t *one;

	if (json_is_string(audience))
		return strcmp(json_string_value(audience), client) == 0;
	json_array_foreach(audience, i, one)
		if (json_is_string(one) && strcmp(json_string_value(one), client) == 0)
			return true;
	return false;
}

/* OpenID Connect Core 1.0, 3.1.3.7. */
int oidc_claims_judge(const struct oidc_options *options, const json_t *claims, const char *nonce, struct err *err)
{
	int64_t now = world_now_ms(options->world) / 1000;
	int64_t skew = OIDC_SKEW_MS / 1000;
	const json_t *audience = json_member(claims, "aud");
	const char *party = json_text(claims, "azp", NULL);

	if (strcmp(json_text(claims, "iss", ""), options->issuer) != 0)
		return err_set(err, ERR_DENIED, "the token is another provider's");
	if (!audience_has(audience, options->client))
		return err_set(err, ERR_DENIED, "the token is for another program");
	if ((json_array_size(audience) > 1 || party) && (!party || strcmp(party, options->client) != 0))
		return err_set(err, ERR_DENIED, "the token was given to another program");
	if (!json_is_integer(json_member(claims, "exp")) || json_number(claims, "exp", 0) <= now - skew)
		return err_set(err, ERR_DENIED, "the token has ended: is the clock right?");
	if (!json_is_integer(json_member(claims, "iat")) || json_number(claims, "iat", 0) > now + skew ||
	    json_number(claims, "nbf", 0) > now + skew)
		return err_set(err, ERR_DENIED, "the token is of the future: is the clock right?");
	if (strcmp(json_text(claims, "nonce", ""), nonce) != 0)
		return err_set(err, ERR_DENIED, "the token is of another sign-in");
	if (!*json_text(claims, "sub", ""))
		return err_set(err, ERR_DENIED, "the token says of nobody who it is");
	return 0;
}

static json_t *token_judge_signed(struct oidc *oidc, const json_t *about, const char *token, struct err *err)
{
	AUTO_JSON keys = keys_get(oidc, about, false, err);
	json_t *claims = keys ? jwt_verify(view_of(token), keys, err) : NULL;

	if (claims || !keys || err->kind != ERR_NOT_FOUND)
		return claims;
	json_decref(keys);
	keys = keys_get(oidc, about, true, err); /* they have new ones */
	claims = keys ? jwt_verify(view_of(token), keys, err) : NULL;
	if (keys && !claims)
		err->kind = ERR_DENIED;
	return claims;
}

static bool says_post(const json_t *about)
{
	size_t i;
	json_t *one;
	bool basic = false, post = false;

	json_array_foreach(json_member(about, "token_endpoint_auth_methods_supported"), i, one) {
		basic = basic || (json_is_string(one) && strcmp(json_string_value(one), "client_secret_basic") == 0);
		post = post || (json_is_string(one) && strcmp(json_string_value(one), "client_secret_post") == 0);
	}
	return post && !basic;
}

/* "Basic …" (RFC 6749, 2.3.1: both parts are form-encoded first); owned. */
static char *basic_make(const struct oidc_options *options)
{
	AUTO_BUF pair = buf_new(FORM_BYTES_MAX);
	AUTO_BUF out = buf_new(FORM_BYTES_MAX);

	buf_add_url(&pair, view_of(options->client));
	buf_add_char(&pair, ':');
	buf_add_url(&pair, view_of(options->secret));
	buf_add_text(&out, "Basic ");
	buf_add_base64(&out, pair.at, pair.length);
	explicit_bzero(pair.at, pair.length);
	return buf_take(&out);
}

static json_t *tokens_get(struct oidc *oidc, const json_t *about, const char *redirect, const char *code, const char *verifier,
			  struct err *err)
{
	const struct oidc_options *options = &oidc->options;
	bool secret = options->secret[0] != '\0';
	bool post = says_post(about);
	AUTO_BUF form = buf_new(FORM_BYTES_MAX);
	AUTO_FREE char *authorization = secret && !post ? basic_make(options) : NULL;
	json_t *tokens;

	pair_add(&form, "grant_type", "authorization_code");
	pair_add(&form, "code", code);
	pair_add(&form, "redirect_uri", redirect);
	pair_add(&form, "code_verifier", verifier);
	if (!authorization)
		pair_add(&form, "client_id", options->client);
	if (secret && post)
		pair_add(&form, "client_secret", options->secret);
	tokens = ask("token endpoint", json_text(about, "token_endpoint", ""), authorization, &form, err);
	explicit_bzero(form.at, form.length);
	return tokens;
}

/* What else the provider says of the person, where the token does not say it. */
static int userinfo_add(const json_t *about, const json_t *tokens, json_t *claims, struct err *err)
{
	const char *place = json_text(about, "userinfo_endpoint", NULL);
	const char *access = json_text(tokens, "access_token", NULL);
	AUTO_FREE char *authorization = NULL;
	AUTO_JSON more = NULL;

	if (!place || !access)
		return 0;
	authorization = text_format("Bearer %s", access);
	more = ask("userinfo", place, authorization, NULL, err);
	if (!more)
		return -1;
	if (strcmp(json_text(more, "sub", ""), json_text(claims, "sub", "-")) != 0)
		return err_set(err, ERR_DENIED, "the provider's userinfo is of somebody else");
	return json_object_update_missing(claims, more) ? err_set(err, ERR_BROKEN, "userinfo cannot be joined") : 0;
}

static bool name_fits(const char *name)
{
	size_t length = strlen(name);

	for (size_t i = 0; i < length; i++)
		if (name[i] <= ' ' || name[i] >= 0x7f)
			return false;
	return length && length < OIDC_NAME_MAX && strchr(name, '@');
}

/* Whose name stands in the ledger and at messages. */
static int name_make(const struct oidc_options *options, const json_t *claims, struct oidc_person *person, struct err *err)
{
	const char *email = json_is_true(json_member(claims, "email_verified")) ? json_text(claims, "email", "") : "";
	struct url issuer;
	AUTO_FREE char *plain = NULL;

	if (url_parse(view_of(options->issuer), &issuer, err))
		return -1;
	plain = text_format("%s@%.*s", json_text(claims, "sub", ""), (int)issuer.host.length, issuer.host.at);
	if (!name_fits(email) && !name_fits(plain))
		return err_set(err, ERR_DENIED, "the provider gives you neither a verified address nor a short name");
	(void)snprintf(person->name, sizeof(person->name), "%s", name_fits(email) ? email : plain);
	return 0;
}

int oidc_exchange(struct oidc *oidc, const char *redirect, const char *code, const char *nonce, const char *verifier,
		  struct oidc_person *person, struct err *err)
{
	AUTO_JSON about = about_get(oidc, err);
	AUTO_JSON tokens = about ? tokens_get(oidc, about, redirect, code, verifier, err) : NULL;
	const char *token = json_text(tokens, "id_token", NULL);
	AUTO_JSON claims = NULL;

	if (!tokens)
		return -1;
	if (!token)
		return err_set(err, ERR_BROKEN, "the provider's token endpoint gives no id token");
	claims = token_judge_signed(oidc, about, token, err);
	if (!claims || oidc_claims_judge(&oidc->options, claims, nonce, err) || userinfo_add(about, tokens, claims, err) ||
	    name_make(&oidc->options, claims, person, err))
		return -1;
	if (oidc_role_find(oidc->options.roles, claims, person->role, err)) {
		log_warn("sign-in of %s: %s", person->name, err->text);
		return -1;
	}
	return 0;
}

int oidc_issuer_check(struct oidc *oidc, const char *issuer, struct err *err)
{
	AUTO_JSON about = about_get(oidc, err);

	if (!about)
		return -1;
	if (!issuer && !json_flag(about, "authorization_response_iss_parameter_supported", false))
		return 0;
	return issuer && strcmp(issuer, oidc->options.issuer) == 0 ? 0
								   : err_set(err, ERR_DENIED, "the answer is another provider's");
}
