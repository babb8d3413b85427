/*
 * github: GitHub and GitHub Enterprise Server as a remote: as an App (JWT, installation tokens of one repository each and no more rights than the
 * call needs), or with a token of a person, for which checks become commit statuses.
 *
 * Sources: docs.github.com REST API 2022-11-28 ("Apps", "Pulls", "Checks", "Deployments", "Webhooks"); the OpenAPI description of it.
 */
#ifndef ASSAY_FORGES_GITHUB_H
#define ASSAY_FORGES_GITHUB_H

#include "base/world.h"
#include "forges/remote.h"

struct github_options {
	const char *api; /* "https://api.github.com", "https://HOST/api/v3"; NULL: the first */
	const char *web; /* "https://github.com"; NULL: from `api` */
	const char *app; /* the App's client id or number, with `key`; or NULL with `token` */
	const char *key; /* PEM */
	const char *token;
	const char *name; /* the App's slug, the name that is mentioned; what NAME[bot] does is our own doing */
	struct world world;
};

/* Texts are copied; the key is read now (ERR_INVALID). */
MUST_USE int github_remote_new(const struct github_options *options, struct remote *remote, struct err *err);

/* What came as X-GitHub-Event `name`. Pure. */
MUST_USE int github_event_parse(const char *name, struct view body, struct forge_event *event, struct err *err);

#endif
