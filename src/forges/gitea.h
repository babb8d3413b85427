/*
 * gitea: Gitea and Forgejo as a remote, by a bot user's token: pull requests, comments, reviews, commit statuses with a comment for the report. There are no
 * deployments: the preview is a status whose link leads there. There is no answering in a review's thread: answers are comments that link to it.
 *
 * base: "https://gitea.com", "https://HOST". Settings: user, the bot's name; the secrets token and webhook_secret. The bot is an administrator of the
 * repository, for only such a one may ask what others may.
 *
 * Sources: docs.gitea.com "API", "Webhooks"; the types of gitea-js; forgejo.org/docs "API".
 */
#ifndef ASSAY_FORGES_GITEA_H
#define ASSAY_FORGES_GITEA_H

#include "forges/remote.h"

extern const struct remote_kind gitea_kind;

/* What came as X-Gitea-Event `name`. Pure. */
MUST_USE int gitea_event_parse(const char *name, struct view body, struct forge_event *event, struct err *err);

#endif
