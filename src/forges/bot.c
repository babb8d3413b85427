/* A code host's user, by its token. */
#include "forges/bot.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"

#define FORM_BYTES_MAX 1024
#define TOKEN_BYTES_MAX ((size_t)8192)

struct bot {
	const struct bot_style *style;
	char *web;
	char *api;
	char *token;
	char *name;
	char *login; /* NULL: not asked yet; once set it stays */
	pthread_mutex_t mutex;
	struct world world;
};

int bot_new(const struct bot_style *style, const struct remote_options *options, const char *name, struct bot **bot,
	    struct err *err)
{
	const char *token = json_text(options->secrets, "token", NULL);
	struct view base = view_of(options->base && *options->base ? options->base : style->base);

	if (!token)
		return err_set(err, ERR_INVALID, "a connection to %s needs the secret `token`", style->label);
	if (view_ends(base, view_of(style->api)))
		base.length -= strlen(style->api);
	while (view_ends(base, VIEW("/")))
		base.length--;
	if (!base.length)
		return err_set(err, ERR_INVALID, "a connection to %s needs `base`: https://HOST", style->label);
	*bot = mem_new(sizeof(**bot));
	**bot = (struct bot){.style = style, .token = text_copy(token), .name = text_copy(name), .world = options->world};
	(*bot)->web = view_copy(base);
	(*bot)->api = text_format("%s%s", (*bot)->web, style->api);
	(void)pthread_mutex_init(&(*bot)->mutex, NULL);
	return 0;
}

void bot_free(void *self)
{
	struct bot *bot = self;

	if (!bot)
		return;
	explicit_bzero(bot->token, strlen(bot->token));
	free(bot->token);
	free(bot->name);
	free(bot->web);
	free(bot->api);
	free(bot->login);
	(void)pthread_mutex_destroy(&bot->mutex);
	free(bot);
}

const char *bot_name(const struct bot *bot)
{
	return bot->name;
}

const char *bot_web(const struct bot *bot)
{
	return bot->web;
}

struct world bot_world(const struct bot *bot)
{
	return bot->world;
}

static int ask(struct bot *bot, struct rest_call *rest, struct rest_answer *answer, struct remote_told *told, struct err *err)
{
	AUTO_FREE char *value = text_format("%s%s", bot->style->scheme, bot->token);
	int status;

	rest->headers[0] = (struct http_header){bot->style->header, value};
	rest->headers[1] = (struct http_header){"Accept", rest->plain ? "*/*" : "application/json"};
	status = rest_ask(bot->world, rest, answer, err);
	explicit_bzero(value, strlen(value));
	if (told) {
		told->wait_until_ms = answer->wait_until_ms;
		told->refused = answer->status == 401;
	}
	return status;
}

int bot_ask(struct bot *bot, const char *method, const char *path, const json_t *body, struct rest_answer *answer,
	    struct remote_told *told, struct err *err)
{
	AUTO_FREE char *url = text_format("%s%s", bot->api, path);

	return ask(bot, &(struct rest_call){.method = method, .url = url, .body = body}, answer, told, err);
}

int bot_send_picture(struct bot *bot, const char *path, const char *field, const char *file, struct view bytes,
		     struct rest_answer *answer, struct remote_told *told, struct err *err)
{
	AUTO_FREE char *url = text_format("%s%s", bot->api, path);
	AUTO_BUF form = buf_new(bytes.length + FORM_BYTES_MAX);
	AUTO_FREE char *type = rest_form(bot->world, field, file, "image/png", bytes, &form);

	if (buf_finish(&form, err)) {
		*answer = (struct rest_answer){0};
		return -1;
	}
	return ask(bot, &(struct rest_call){.url = url, .bytes = buf_view(&form), .type = type}, answer, told, err);
}

int bot_ask_plain(struct bot *bot, const char *path, struct rest_answer *answer, struct remote_told *told, struct err *err)
{
	AUTO_FREE char *url = text_format("%s%s", bot->api, path);

	return ask(bot, &(struct rest_call){.url = url, .plain = true}, answer, told, err);
}

/* The next page is asked for by number: a host behind a proxy may name itself otherwise, and our token goes nowhere else. */
json_t *bot_list(struct bot *bot, const char *path, struct remote_told *told, struct err *err)
{
	AUTO_JSON all = json_array();
	bool more = true;

	for (int page = 1; more && page <= BOT_PAGES_MAX; page++) {
		AUTO_FREE char *paged = text_format("%s&page=%d", path, page);
		AUTO_ANSWER answer = {0};

		if (bot_ask(bot, NULL, paged, NULL, &answer, told, err))
			return NULL;
		if (!json_is_array(answer.body)) {
			(void)err_set(err, ERR_BROKEN, "%s answers no list at %.200s", bot->style->label, path);
			return NULL;
		}
		(void)json_array_extend(all, answer.body);
		more = *answer.next != '\0';
	}
	return TAKE(all);
}

static int self_ask(struct bot *bot, struct remote_told *told, struct err *err)
{
	AUTO_ANSWER answer = {0};
	const char *login;

	if (bot->login)
		return 0;
	if (bot_ask(bot, NULL, "/user", NULL, &answer, told, err) || json_text_get(answer.body, bot->style->login, &login, err))
		return -1;
	bot->login = text_copy(login);
	return 0;
}

int bot_self(struct bot *bot, const char **login, struct remote_told *told, struct err *err)
{
	int status;

	(void)pthread_mutex_lock(&bot->mutex);
	status = self_ask(bot, told, err);
	*login = bot->login;
	(void)pthread_mutex_unlock(&bot->mutex);
	return status;
}

int bot_marked(struct bot *bot, const json_t *notes, const char *author, const char *marker, int64_t *id, struct remote_told *told,
	       struct err *err)
{
	const char *login;
	size_t index;
	json_t *item;

	*id = 0;
	if (bot_self(bot, &login, told, err))
		return -1;
	json_array_foreach((json_t *)(uintptr_t)notes, index, item)
		if (!*id && strstr(json_text(item, "body", ""), marker) &&
		    strcmp(json_text(json_member(item, author), bot->style->login, ""), login) == 0)
			*id = json_number(item, "id", 0);
	return 0;
}

int bot_credential(void *self, const char *repository, bool push, struct buf *header, struct remote_told *told, struct err *err)
{
	struct bot *bot = self;
	AUTO_BUF pair = buf_new(TOKEN_BYTES_MAX);

	(void)repository;
	(void)push;
	(void)told;
	buf_add_format(&pair, "oauth2:%s", bot->token);
	buf_add_text(header, "Authorization: Basic ");
	buf_add_base64(header, pair.at, pair.length);
	explicit_bzero(pair.at, pair.length);
	return buf_finish(header, err);
}

void bot_clone_url(void *self, const char *repository, struct buf *url)
{
	const struct bot *bot = self;

	buf_add_format(url, "%s/%s.git", bot->web, repository);
}

int bot_pull_put(struct bot *bot, const struct bot_pulls *pulls, const char *repository, const struct remote_pull *pull,
		 struct remote_told *told, struct err *err)
{
	AUTO_JSON item = NULL;
	struct err why;

	if (pulls->find(bot, repository, pull, &item, told, err))
		return -1;
	if (item)
		return pulls->edit(bot, repository, pull, item, told, err);
	if (pull->number)
		return err_set(err, ERR_CONFLICT, "%s%lld is not open any more", pulls->what, (long long)pull->number);
	if (!pulls->make(bot, repository, pull, told, err))
		return 0;
	if (err->kind != ERR_CONFLICT)
		return -1;
	why = *err; /* another open one exists already for this branch */
	if (pulls->find(bot, repository, pull, &item, told, err))
		return -1;
	if (item)
		return pulls->edit(bot, repository, pull, item, told, err);
	*err = why;
	return -1;
}
