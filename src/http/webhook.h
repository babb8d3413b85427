/*
 * webhook: signatures of webhooks, as senders make them over the raw bytes of a body: those that come in are verified, those that go out are
 * signed. Nothing is parsed here. Comparing takes the same time wherever two signatures differ.
 *
 * Sources: standardwebhooks.com 1.0; docs.github.com "Validating webhook deliveries"; linear.app/developers/webhooks; docs.gitlab.com "Webhooks";
 * docs.gitea.com "Webhooks"; developer.atlassian.com/cloud/jira/platform/webhooks; api.slack.com/authentication/verifying-requests-from-slack.
 */
#ifndef ASSAY_HTTP_WEBHOOK_H
#define ASSAY_HTTP_WEBHOOK_H

#include "base/buf.h"

enum webhook_scheme {
	WEBHOOK_STANDARD, /* webhook-id, webhook-timestamp, webhook-signature: "v1,BASE64 …"; the secret is "whsec_BASE64" */
	WEBHOOK_GITHUB,   /* x-hub-signature-256: "sha256=HEX" */
	WEBHOOK_JIRA,     /* x-hub-signature: "sha256=HEX" */
	WEBHOOK_LINEAR,   /* linear-signature: "HEX"; the time is in the body, and is for the caller to judge */
	WEBHOOK_GITEA,    /* x-gitea-signature, x-forgejo-signature: "HEX" */
	WEBHOOK_GITLAB,   /* x-gitlab-token: the secret itself */
	WEBHOOK_SLACK,    /* x-slack-request-timestamp, x-slack-signature: "v0=HEX" */
};

#define WEBHOOK_TOLERANCE_MS ((int64_t)5 * 60 * 1000)
#define WEBHOOK_SIGNATURES_MAX 16 /* that one header may carry, while a secret rotates */

struct webhook_request {
	/* A header of the request by its lower-case name, NULL when absent. */
	const char *(*header)(void *self, const char *name);
	void *self;
	struct view body; /* as it came */
};

/* 0: signed with the secret, and recent where the scheme signs a time. ERR_DENIED: no, and why, without a word of what was expected. ERR_INVALID:
 * the secret is none of this scheme. */
MUST_USE int webhook_verify(enum webhook_scheme scheme, const char *secret, const struct webhook_request *request, int64_t now_ms,
			    struct err *err);

/* The value of webhook-signature for `id`, sent at `seconds` since 1970. ERR_INVALID: the secret is no "whsec_BASE64". */
MUST_USE int webhook_sign(const char *secret, const char *id, int64_t seconds, struct view body, struct buf *out, struct err *err);
/* "whsec_" and 32 random bytes in base64. */
void webhook_secret_format(const unsigned char random[32], struct buf *out);

#endif
