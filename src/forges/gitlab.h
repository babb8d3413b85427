/*
 * gitlab: GitLab (the service or one of one's own) as a remote, by a project or group access token, or a bot user's: merge requests, notes,
 * discussions, commit statuses with a note for the report, environments whose deployments are the preview ("View app"), failed jobs.
 *
 * base: "https://gitlab.com", "https://HOST". Settings: user, the bot's name; the secrets token, webhook_secret (what X-Gitlab-Token says),
 * signing_token ("whsec_…", Standard Webhooks; when it is set, nothing else is believed).
 *
 * Sources: docs.gitlab.com REST API v4, "Webhook events", "Webhooks"; the types of @gitbeaker/core.
 */
#ifndef ASSAY_FORGES_GITLAB_H
#define ASSAY_FORGES_GITLAB_H

#include "forges/remote.h"

extern const struct remote_kind gitlab_kind;

/* What came as X-Gitlab-Event `name`. Pure. */
MUST_USE int gitlab_event_parse(const char *name, struct view body, struct forge_event *event, struct err *err);

#endif
