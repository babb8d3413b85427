/*
 * bot: one user of a code host, a bot's as a rule, by a token: calls, lists of many pages, who it is, what git sends. For hosts whose tokens
 * neither end nor are made anew by us. Blocks; any thread.
 */
#ifndef ASSAY_FORGES_BOT_H
#define ASSAY_FORGES_BOT_H

#include "forges/remote.h"
#include "http/rest.h"

#define BOT_PAGES_MAX 20

/* How a kind of host wants it. */
struct bot_style {
	const char *label;  /* "GitLab" */
	const char *base;   /* where it is when nothing is said; "": it must be said */
	const char *api;    /* "/api/v4", behind the base */
	const char *header; /* "PRIVATE-TOKEN" */
	const char *scheme; /* before the token: "", "token " */
	const char *login;  /* how a user's name is called: "username" */
};

struct bot;

/* ERR_INVALID: there is no token, or nowhere to go. */
MUST_USE int bot_new(const struct bot_style *style, const struct remote_options *options, const char *name, struct bot **bot,
		     struct err *err);
void bot_free(void *bot);
const char *bot_name(const struct bot *bot); /* who we are, by the connection */
const char *bot_web(const struct bot *bot);
struct world bot_world(const struct bot *bot);

/* `path` is what follows the API's. `told` may be NULL. */
MUST_USE int bot_ask(struct bot *bot, const char *method, const char *path, const json_t *body, struct rest_answer *answer,
		     struct remote_told *told, struct err *err);
/* A form with one PNG. */
MUST_USE int bot_send_picture(struct bot *bot, const char *path, const char *field, const char *file, struct view bytes,
			      struct rest_answer *answer, struct remote_told *told, struct err *err);
/* No JSON comes back but a text: `answer->text`. */
MUST_USE int bot_ask_plain(struct bot *bot, const char *path, struct rest_answer *answer, struct remote_told *told,
			   struct err *err);
/* All pages of a list, BOT_PAGES_MAX at most; owned. `path` has a query already. */
json_t *bot_list(struct bot *bot, const char *path, struct remote_told *told, struct err *err);
/* Who we are there; asked once. Borrowed as long as the bot. */
MUST_USE int bot_self(struct bot *bot, const char **login, struct remote_told *told, struct err *err);
/* Of notes or comments, the first of ours that has the marker: its id, else 0. Anyone can write a marker. `author` is the member that has who wrote. */
MUST_USE int bot_marked(struct bot *bot, const json_t *notes, const char *author, const char *marker, int64_t *id,
			struct remote_told *told, struct err *err);

/* How a host's pull requests are found, changed and made. */
struct bot_pulls {
	const char *what; /* before a number: "merge request !" */
	/* *item: the open one of that branch, owned by the caller; else, where no number is known, one with that head that is over: an earlier try
	 * made it, and its answer was lost; or NULL */
	int (*find)(struct bot *bot, const char *repository, const struct remote_pull *pull, json_t **item,
		    struct remote_told *told, struct err *err);
	/* nothing of one that is over */
	int (*edit)(struct bot *bot, const char *repository, const struct remote_pull *pull, const json_t *item,
		    struct remote_told *told, struct err *err);
	int (*make)(struct bot *bot, const char *repository, const struct remote_pull *pull, struct remote_told *told,
		    struct err *err);
};
/* By its branch: the open one is changed, else one is made; one that somebody made meanwhile is changed, too. */
MUST_USE int bot_pull_put(struct bot *bot, const struct bot_pulls *pulls, const char *repository, const struct remote_pull *pull,
			  struct remote_told *told, struct err *err);

/* As in struct remote_ops. */
MUST_USE int bot_credential(void *self, const char *repository, bool push, struct buf *header, struct remote_told *told,
			    struct err *err);
void bot_clone_url(void *self, const char *repository, struct buf *url);

#endif
