/*
 * github: GitHub and GitHub Enterprise Server as a remote: as an App (JWT, installation tokens of one repository each and no more rights than the
 * call needs), or with a token of a person, for which checks become commit statuses.
 *
 * Sources: docs.github.com REST API 2022-11-28 ("Apps", "Pulls", "Checks", "Deployments", "Webhooks"); the OpenAPI description of it.
 */
#ifndef ASSAY_FORGES_GITHUB_H
#define ASSAY_FORGES_GITHUB_H

#include "forges/remote.h"

/*
 * base: "https://api.github.com", "https://HOST/api/v3". Settings: app_id, the App's client id or number, with the secret private_key (PEM, read
 * when it is made: ERR_INVALID), or the secret token; slug, the App's name.
 */
extern const struct remote_kind github_kind;

/* What came as X-GitHub-Event `name`. Pure. */
MUST_USE int github_event_parse(const char *name, struct view body, struct forge_event *event, struct err *err);

#endif
