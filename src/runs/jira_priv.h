/* jira_priv: what the files about Jira share: a request as the account that allowed it (token.h), and how that is allowed. */
#ifndef ASSAY_RUNS_JIRA_PRIV_H
#define ASSAY_RUNS_JIRA_PRIV_H

#include "runs/token.h"
#include "runs/voice.h"
#include "trackers/jira.h"

/* With `file` a PNG of that name is attached: `bytes`; else as jira_call. */
struct jira_ask {
	struct world world;
	const char *method;
	const char *path;
	const json_t *body;
	const char *file;
	struct view bytes;
	json_t **answer; /* owned by the caller */
};

/* For a token_call: `self` is a struct jira_ask. */
MUST_USE int jira_ask_act(void *self, const struct connection *connection, const char *token, struct token_said *said,
			  struct err *err);
const char *jira_setting(const struct connection *connection, const char *name); /* NULL: it is not set */

extern const struct token_ops jira_tokens;
MUST_USE int jira_check(struct check *check, struct err *err);

#endif
