/*
 * jira: requests to Jira Cloud's REST API (version 3), what its webhooks say, and OAuth (3LO). Nothing here knows runs, keeps anything, or
 * sleeps. Errors are sorted as in http/rest.h.
 *
 * Sources: developer.atlassian.com/cloud/jira/platform: rest/v3, webhooks, rate-limiting, oauth-2-3lo-apps.
 */
#ifndef ASSAY_TRACKERS_JIRA_H
#define ASSAY_TRACKERS_JIRA_H

#include "http/rest.h"
#include "trackers/event.h"

#define JIRA_BASE "https://api.atlassian.com" /* where OAuth's tokens are used; one's own token is used at the site */
#define JIRA_AUTH "https://auth.atlassian.com"
#define JIRA_SCOPES "read:jira-work write:jira-work read:jira-user offline_access"
#define JIRA_WEBHOOK_AGE_MS ((int64_t)3600 * 1000) /* Jira sends again for about half an hour */

/* Which site, and as whom. */
struct jira_access {
	struct world world;
	const char *base;  /* "https://acme.atlassian.net", or JIRA_BASE */
	const char *cloud; /* the site's id behind JIRA_BASE; NULL: base is the site */
	const char *email; /* with `token`: whose API token it is; NULL: `token` is OAuth's */
	const char *token;
};

struct jira_said {
	int64_t blocked_until_ms;
	bool expired;
};

/* `path` is below rest/api/3, with a slash: "/myself". `body` NULL: a GET, unless `method` says more; *answer (owned, may be NULL: nothing was
 * answered). Blocks. */
MUST_USE int jira_call(const struct jira_access *access, const char *method, const char *path, const json_t *body, json_t **answer,
		       struct jira_said *said, struct err *err);

/* A PNG of the name `file` as an attachment, by POST to `path`; else as jira_call. */
MUST_USE int jira_attach(const struct jira_access *access, const char *path, const char *file, struct view bytes, json_t **answer,
			 struct jira_said *said, struct err *err);

/* A webhook. `self` is our account id there, and `label` one that gives work (NULL: none does). ERR_INVALID: no JSON object. */
MUST_USE int jira_event_parse(struct view body, const char *self, const char *label, struct tracker_event *event, struct err *err);

/* Of GET …/transitions: the id of one into the status of that name, or, with `name` NULL, the first into one of the category in progress;
 * NULL: there is none. Borrowed. */
const char *jira_transition(const json_t *answer, const char *name);

/* OAuth; as in linear.h. */
struct jira_client {
	const char *auth; /* JIRA_AUTH */
	const char *id;
	const char *secret;
};
char *jira_authorize_url(const struct jira_client *client, const char *redirect, const char *scopes, const char *state);
MUST_USE int jira_token_of_code(struct world world, const struct jira_client *client, const char *code, const char *redirect,
				json_t **answer, struct err *err);
MUST_USE int jira_token_refresh(struct world world, const struct jira_client *client, const char *refresh, json_t **answer,
				struct err *err);
/* The sites that a token is for: [{"id", "url", "name", "scopes"}]; owned. */
json_t *jira_sites(struct world world, const char *base, const char *token, struct err *err);

#endif
