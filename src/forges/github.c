/*
 * Who we are to GitHub: the App's JWT, installation tokens, and calls with them.
 *
 * Theory of operation: a token is made for one repository and one right, kept in memory until five minutes before it ends, and asked for only as
 * much as the installation was granted: an App that lacks a permission fails in the call that needs it, which says so, and not in all.
 */
#include "forges/github.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "forges/github_priv.h"

#define API_DEFAULT "https://api.github.com"
#define WEB_DEFAULT "https://github.com"
#define GHES_SUFFIX "/api/v3"
#define TOKENS_MAX 64
#define TOKEN_MARGIN_MS ((int64_t)5 * 60 * 1000)
#define TOKEN_LIFE_MS ((int64_t)60 * 60 * 1000)
#define SUSPENDED_PAUSE_MS ((int64_t)10 * 60 * 1000)
#define JWT_BACK_S 60
#define JWT_AHEAD_S 540
#define JWT_BYTES_MAX ((size_t)8192)
#define TOKEN_BYTES_MAX ((size_t)8192)

struct token {
	char *repository;
	enum github_right right;
	char *text;
	int64_t ends_ms;
};

struct github {
	char *api;
	char *web;
	char *app;
	char *token;
	char *name;
	EVP_PKEY *key;
	struct world world;
	pthread_mutex_t mutex; /* the tokens; held while one is made, so that one is */
	struct token tokens[TOKENS_MAX];
	size_t next;
};

const char *const github_permissions[][2] = {
	{"contents", "write"}, {"pull_requests", "write"}, {"issues", "write"}, {"checks", "write"},
	{"statuses", "write"}, {"deployments", "write"},   {"actions", "read"}, {"metadata", "read"},
};
const size_t github_permission_count = ARRAY_LEN(github_permissions);

/* What each right is made of; "" ends. */
static const char *const rights[][10][2] = {
	[GITHUB_READ] = {{"contents", "read"}, {"metadata", "read"}},
	[GITHUB_PUSH] = {{"contents", "write"}, {"metadata", "read"}, {"workflows", "write"}},
	[GITHUB_WORK] = {{"contents", "read"},
			 {"pull_requests", "write"},
			 {"issues", "write"},
			 {"checks", "write"},
			 {"statuses", "write"},
			 {"deployments", "write"},
			 {"actions", "read"},
			 {"metadata", "read"}},
	[GITHUB_MERGE] = {{"contents", "write"}, {"pull_requests", "write"}, {"metadata", "read"}},
	[GITHUB_APP] = {{NULL, NULL}},
};

bool github_is_app(const struct github *github)
{
	return github->key != NULL;
}

const char *github_api(const struct github *github)
{
	return github->api;
}

const char *github_web(const struct github *github)
{
	return github->web;
}

const char *github_name(const struct github *github)
{
	return github->name;
}

struct world github_world(const struct github *github)
{
	return github->world;
}

/* ---- the App's own word: RFC 7519, RS256 ---- */

static void base64url_add(struct buf *out, struct view bytes)
{
	size_t begin = out->length;

	buf_add_base64(out, bytes.at, bytes.length);
	for (size_t i = begin; i < out->length; i++)
		if (out->at[i] == '+' || out->at[i] == '/')
			out->at[i] = out->at[i] == '+' ? '-' : '_';
	while (out->length > begin && out->at[out->length - 1] == '=')
		buf_cut(out, out->length - 1);
}

static int jwt_sign(struct github *github, struct buf *text, struct err *err)
{
	unsigned char signature[1024];
	size_t length = sizeof(signature);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	int good = context && EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, github->key) == 1 &&
		   EVP_DigestSign(context, signature, &length, (const unsigned char *)text->at, text->length) == 1;

	EVP_MD_CTX_free(context);
	if (!good)
		return err_set(err, ERR_BROKEN, "the App's key does not sign");
	buf_add_char(text, '.');
	base64url_add(text, view_make(signature, length));
	return buf_finish(text, err);
}

static int jwt_make(struct github *github, struct buf *text, struct err *err)
{
	int64_t now_s = world_now_ms(github->world) / 1000;
	AUTO_BUF claims = buf_new(JWT_BYTES_MAX);
	AUTO_JSON object = json_pack("{s:I, s:I, s:s}", "iat", (json_int_t)(now_s - JWT_BACK_S), "exp",
				     (json_int_t)(now_s + JWT_AHEAD_S), "iss", github->app);

	json_format(&claims, object);
	base64url_add(text, VIEW("{\"alg\":\"RS256\",\"typ\":\"JWT\"}"));
	buf_add_char(text, '.');
	base64url_add(text, buf_view(&claims));
	return jwt_sign(github, text, err);
}

/* ---- calls ---- */

static int ask_as(struct github *github, const struct github_call *call, const char *token, struct rest_answer *answer,
		  struct err *err)
{
	AUTO_FREE char *authorization = text_format("Bearer %s", token);
	AUTO_FREE char *url = strstr(call->path, "://") ? text_copy(call->path) : text_format("%s%s", github->api, call->path);
	struct rest_call rest = {.method = call->method,
				 .url = url,
				 .body = call->body,
				 .plain = call->plain,
				 .headers = {{"Authorization", authorization},
					     {"Accept", "application/vnd.github+json"},
					     {"X-GitHub-Api-Version", "2022-11-28"}}};
	int status = rest_ask(github->world, &rest, answer, err);

	OPENSSL_cleanse(authorization, strlen(authorization));
	return status;
}

static int app_ask(struct github *github, const struct github_call *call, struct rest_answer *answer, struct err *err)
{
	AUTO_BUF jwt = buf_new(JWT_BYTES_MAX);

	if (!github->key)
		return err_set(err, ERR_DENIED, "this needs a GitHub App: the connection has only a token");
	return jwt_make(github, &jwt, err) ? -1 : ask_as(github, call, jwt.at, answer, err);
}

/* ---- installation tokens ---- */

static int level_of(const char *name)
{
	return strcmp(name, "admin") == 0 ? 3 : strcmp(name, "write") == 0 ? 2 : strcmp(name, "read") == 0 ? 1 : 0;
}

/* Of what a right is made of, as much as the installation was granted. */
static json_t *permissions_of(enum github_right right, const json_t *granted)
{
	json_t *wanted = json_object();

	for (size_t i = 0; i < ARRAY_LEN(rights[right]) && rights[right][i][0]; i++) {
		const char *const *one = rights[right][i];
		int level = level_of(json_text(granted, one[0], ""));

		if (level)
			(void)json_object_set_new(wanted, one[0], json_string(level >= level_of(one[1]) ? one[1] : "read"));
	}
	return wanted;
}

static void answer_tell(const struct rest_answer *answer, struct remote_told *told)
{
	told->wait_until_ms = answer->wait_until_ms;
	told->refused = answer->status == 401;
}

static int installation_find(struct github *github, const char *repository, int64_t *id, json_t **granted, struct remote_told *told,
			     struct err *err)
{
	AUTO_ANSWER answer = {0};
	AUTO_FREE char *path = text_format("/repos/%s/installation", repository);

	if (app_ask(github, &(struct github_call){.path = path}, &answer, err)) {
		answer_tell(&answer, told);
		return answer.status == 404 ? err_set(err, ERR_NOT_FOUND, "the GitHub App is not installed on %s", repository) : -1;
	}
	*id = json_number(answer.body, "id", 0);
	/* Until somebody lets it go on nothing is lost: it is asked again. */
	if (json_text(answer.body, "suspended_at", NULL)) {
		told->wait_until_ms = world_now_ms(github->world) + SUSPENDED_PAUSE_MS;
		return err_set(err, ERR_LIMIT, "the GitHub App's installation on %s is suspended", repository);
	}
	*granted = json_incref(json_member(answer.body, "permissions"));
	return 0;
}

static int token_make(struct github *github, const char *repository, enum github_right right, struct token *token,
		      struct remote_told *told, struct err *err)
{
	AUTO_ANSWER answer = {0};
	AUTO_JSON granted = NULL;
	AUTO_JSON body = json_object();
	AUTO_FREE char *path = NULL;
	const char *slash = strchr(repository, '/');
	const char *text;
	int64_t id = 0;

	if (!slash || installation_find(github, repository, &id, &granted, told, err))
		return slash ? -1 : err_set(err, ERR_INVALID, "`%s` is no owner/name", repository);
	path = text_format("/app/installations/%lld/access_tokens", (long long)id);
	(void)json_object_set_new(body, "repositories", json_pack("[s]", slash + 1));
	(void)json_object_set_new(body, "permissions", permissions_of(right, granted));
	if (app_ask(github, &(struct github_call){.path = path, .body = body}, &answer, err)) {
		answer_tell(&answer, told);
		return -1;
	}
	if (json_text_get(answer.body, "token", &text, err))
		return -1;
	*token = (struct token){.repository = text_copy(repository),
				.right = right,
				.text = text_copy(text),
				.ends_ms = world_now_ms(github->world) + TOKEN_LIFE_MS - TOKEN_MARGIN_MS};
	return 0;
}

static void token_free(struct token *token)
{
	if (token->text)
		OPENSSL_cleanse(token->text, strlen(token->text));
	free(token->text);
	free(token->repository);
	*token = (struct token){0};
}

static struct token *token_find(struct github *github, const char *repository, enum github_right right)
{
	for (size_t i = 0; i < TOKENS_MAX; i++)
		if (github->tokens[i].text && github->tokens[i].right == right &&
		    strcmp(github->tokens[i].repository, repository) == 0)
			return &github->tokens[i];
	return NULL;
}

static int token_get_locked(struct github *github, const char *repository, enum github_right right, struct buf *text,
			    struct remote_told *told, struct err *err)
{
	struct token *token = token_find(github, repository, right);
	struct token made;

	if (!token || token->ends_ms <= world_now_ms(github->world)) {
		if (token_make(github, repository, right, &made, told, err))
			return -1;
		token = token ? token : &github->tokens[github->next++ % TOKENS_MAX];
		token_free(token);
		*token = made;
	}
	buf_add_text(text, token->text);
	return buf_finish(text, err);
}

int github_token_get(struct github *github, const char *repository, enum github_right right, struct buf *text,
		     struct remote_told *told, struct err *err)
{
	int status;

	if (!github->key) {
		buf_add_text(text, github->token);
		return buf_finish(text, err);
	}
	(void)pthread_mutex_lock(&github->mutex);
	status = token_get_locked(github, repository, right, text, told, err);
	(void)pthread_mutex_unlock(&github->mutex);
	return status;
}

static void token_forget(struct github *github, const char *repository, enum github_right right)
{
	struct token *token;

	(void)pthread_mutex_lock(&github->mutex);
	token = token_find(github, repository, right);
	if (token)
		token_free(token);
	(void)pthread_mutex_unlock(&github->mutex);
}

static int ask_once(struct github *github, const struct github_call *call, struct rest_answer *answer, struct remote_told *told,
		    struct err *err)
{
	AUTO_BUF token = buf_new(TOKEN_BYTES_MAX);
	int status;

	if (call->right == GITHUB_APP)
		status = app_ask(github, call, answer, err);
	else if (github_token_get(github, call->repository, call->right, &token, told, err))
		return -1;
	else
		status = ask_as(github, call, token.at, answer, err);
	answer_tell(answer, told);
	if (token.at)
		OPENSSL_cleanse(token.at, token.length);
	return status;
}

int github_ask(struct github *github, const struct github_call *call, struct rest_answer *answer, struct remote_told *told,
	       struct err *err)
{
	struct remote_told own = {0};

	told = told ? told : &own;
	if (!ask_once(github, call, answer, told, err))
		return 0;
	/* That an installation is suspended is told, and waited for, where a token is made. */
	if ((answer->status != 401 && !(answer->status == 403 && err && strcasestr(err->text, "suspended"))) ||
	    call->right == GITHUB_APP || !github->key)
		return -1;
	token_forget(github, call->repository, call->right);
	rest_answer_fini(answer);
	return ask_once(github, call, answer, told, err);
}

int github_query(struct github *github, const char *repository, const char *query, json_t *variables, json_t **data,
		 struct remote_told *told, struct err *err)
{
	size_t length = strlen(github->api);
	bool enterprise = view_ends(view_of(github->api), view_of(GHES_SUFFIX));
	AUTO_FREE char *url = text_format("%.*s/graphql", (int)(length - (enterprise ? strlen("/v3") : 0)), github->api);
	AUTO_JSON body = json_pack("{s:s, s:o}", "query", query, "variables", variables);
	AUTO_ANSWER answer = {0};
	const json_t *errors;

	if (github_ask(github, &(struct github_call){.repository = repository, .right = GITHUB_WORK, .path = url, .body = body},
		       &answer, told, err))
		return -1;
	errors = json_member(answer.body, "errors");
	if (json_array_size(errors))
		return err_set(err, ERR_INVALID, "GitHub's GraphQL answers: %s",
			       json_text(json_array_get(errors, 0), "message", "an error"));
	*data = json_incref(json_member(answer.body, "data"));
	return 0;
}

/* ---- as a remote ---- */

static int credential(void *self, const char *repository, bool push, struct buf *header, struct remote_told *told, struct err *err)
{
	AUTO_BUF token = buf_new(TOKEN_BYTES_MAX);
	AUTO_BUF pair = buf_new(TOKEN_BYTES_MAX);

	if (github_token_get(self, repository, push ? GITHUB_PUSH : GITHUB_READ, &token, told, err))
		return -1;
	buf_add_format(&pair, "x-access-token:%s", token.at);
	buf_add_text(header, "Authorization: Basic ");
	buf_add_base64(header, pair.at, pair.length);
	OPENSSL_cleanse(pair.at, pair.length);
	OPENSSL_cleanse(token.at, token.length);
	return buf_finish(header, err);
}

static void credential_refused(void *self, const char *repository, bool push)
{
	const struct github *github = self;

	if (github->key)
		token_forget(self, repository, push ? GITHUB_PUSH : GITHUB_READ);
}

static void clone_url(void *self, const char *repository, struct buf *url)
{
	const struct github *github = self;

	buf_add_format(url, "%s/%s.git", github->web, repository);
}

static json_t *describe(void *self, const char *repository, struct remote_told *told, struct err *err)
{
	AUTO_FREE char *path = text_format("/repos/%s", repository);
	AUTO_ANSWER answer = {0};

	if (github_ask(self, &(struct github_call){.repository = repository, .right = GITHUB_READ, .path = path}, &answer, told,
		       err))
		return NULL;
	return json_pack("{s:s, s:b, s:s}", "branch", json_text(answer.body, "default_branch", "main"), "private",
			 json_flag(answer.body, "private", false), "url", json_text(answer.body, "html_url", ""));
}

static void github_free(void *self)
{
	struct github *github = self;

	if (!github)
		return;
	for (size_t i = 0; i < TOKENS_MAX; i++)
		token_free(&github->tokens[i]);
	if (github->token)
		OPENSSL_cleanse(github->token, strlen(github->token));
	EVP_PKEY_free(github->key);
	(void)pthread_mutex_destroy(&github->mutex);
	free(github->api);
	free(github->web);
	free(github->app);
	free(github->token);
	free(github->name);
	free(github);
}

static const struct remote_ops github_ops = {
	.name = "github",
	.pull_sign = "#",
	.credential = credential,
	.credential_refused = credential_refused,
	.clone_url = clone_url,
	.describe = describe,
	.pull_put = github_pull_put,
	.pull_get = github_pull_get,
	.pull_close = github_pull_close,
	.pull_merge = github_pull_merge,
	.note_put = github_note_put,
	.reply = github_reply,
	.resolve = github_resolve,
	.issue_get = github_issue_get,
	.pull_ref = github_pull_ref,
	.ack = github_ack,
	.review = github_review,
	.check_put = github_check_put,
	.deployment_put = github_deployment_put,
	.deployment_end = github_deployment_end,
	.may_command = github_may_command,
	.failure_read = github_failure_read,
	.sweep = github_sweep,
	.examine = github_examine,
	.free = github_free,
};

static int key_read(const char *pem, EVP_PKEY **key, struct err *err)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);

	*key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
	BIO_free(bio);
	return *key && EVP_PKEY_get_base_id(*key) == EVP_PKEY_RSA
		       ? 0
		       : err_set(err, ERR_INVALID,
				 "the GitHub App's key is no RSA private key in PEM: download one from the App's settings");
}

/* GitHub Enterprise Server has its API below its pages. */
static char *web_of(const char *api)
{
	size_t length = strlen(api);
	bool enterprise = view_ends(view_of(api), view_of(GHES_SUFFIX));

	if (strcmp(api, API_DEFAULT) == 0)
		return text_copy(WEB_DEFAULT);
	return view_copy(view_make(api, length - (enterprise ? strlen(GHES_SUFFIX) : 0)));
}

static int github_make(const struct remote_options *options, struct remote *remote, struct err *err)
{
	const char *api = options->base && *options->base ? options->base : API_DEFAULT;
	const char *app = json_text(options->configuration, "app_id", NULL);
	const char *pem = json_text(options->secrets, "private_key", NULL);
	const char *token = json_text(options->secrets, "token", NULL);
	size_t length = strlen(api);
	EVP_PKEY *key = NULL;
	struct github *github;

	if (!token && !(app && pem))
		return err_set(err, ERR_INVALID, "a connection to GitHub needs `app_id` and `private_key`, or `token`");
	if (pem && key_read(pem, &key, err))
		return -1;
	while (length && api[length - 1] == '/')
		length--;
	github = mem_new(sizeof(*github));
	github->api = view_copy(view_make(api, length));
	github->web = web_of(github->api);
	github->app = text_copy(app);
	github->token = text_copy(token);
	github->name = text_copy(remote_kind_mention(&github_kind, options->configuration));
	github->key = key;
	github->world = options->world;
	(void)pthread_mutex_init(&github->mutex, NULL);
	*remote = (struct remote){&github_ops, github};
	return 0;
}

static int github_verify(const json_t *secrets, const struct webhook_request *request, int64_t now_ms, struct err *err)
{
	return remote_webhook_verify(WEBHOOK_GITHUB, secrets, "webhook_secret", request, now_ms, err);
}

const struct remote_kind github_kind = {.name = "github",
					.name_key = "slug",
					.actor = "%s[bot]",
					.event_header = "x-github-event",
					.delivery_headers = {"x-github-delivery"},
					.make = github_make,
					.verify = github_verify,
					.event_parse = github_event_parse};
