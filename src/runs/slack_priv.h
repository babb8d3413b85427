/* slack_priv: what the files about Slack share: a request as the workspace that allowed it (token.h), and how that is allowed. */
#ifndef ASSAY_RUNS_SLACK_PRIV_H
#define ASSAY_RUNS_SLACK_PRIV_H

#include "runs/token.h"
#include "runs/voice.h"
#include "trackers/slack.h"

struct slack_asking {
	struct slack_call call; /* but for where, and as whom */
	json_t **answer;        /* owned by the caller */
	char *error;            /* gets Slack's word; 64 bytes */
	char *scopes;           /* gets what the token may; of the size in struct slack_said, or NULL */
};

/* For a token_call: `self` is a struct slack_asking. */
MUST_USE int slack_asking_act(void *self, const struct connection *connection, const char *token, struct token_said *said,
			      struct err *err);

extern const struct token_ops slack_tokens;
MUST_USE int slack_check(struct check *check, struct err *err);

#endif
