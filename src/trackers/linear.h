/*
 * linear: requests to Linear's API and what its answers mean. Nothing here knows runs, keeps anything, or sleeps.
 *
 * The documents are those of linear.graphql, the only ones that are sent. An answer is judged as the vendor's errors are
 * (linear.app/developers/graphql, rate-limiting): `errors` is read at any status; RATELIMITED, which comes with status 400, is ERR_LIMIT with the
 * time at which the exhausted buckets are full again; a create that is repeated with its id is a success.
 */
#ifndef ASSAY_TRACKERS_LINEAR_H
#define ASSAY_TRACKERS_LINEAR_H

#include "base/json.h"
#include "base/world.h"

#define LINEAR_AUTHORIZE "https://linear.app/oauth/authorize"
#define LINEAR_SCOPES "read,write,app:assignable,app:mentionable"
#define LINEAR_WEBHOOK_AGE_MS ((int64_t)60 * 1000)
#define LINEAR_ANSWER_BYTES_MAX ((size_t)8 << 20)
#define LINEAR_OPTIONS_MAX 20

/* Which server, and as whom. */
struct linear_access {
	const char *base;  /* "https://api.linear.app" */
	const char *token; /* of an app's user */
};

/* The text of the operation in linear.graphql; NULL when there is none. Borrowed. */
struct view linear_document(const char *name);

/* Asks, blocks. `variables` is borrowed and may be NULL; *data (owned) is the answer's `data`. ERR_DENIED: the token is refused (401: *expired),
 * or what it may not do; ERR_LIMIT: *blocked_until_ms says when; ERR_RETRY: the same again later; ERR_CONFLICT: it was created before (the id is
 * known there), which is a success of whoever repeats it; ERR_INVALID: the same fails again. */
struct linear_said {
	int64_t blocked_until_ms;
	bool expired;
	int64_t requests_left; /* -1: not said */
};
MUST_USE int linear_call(const struct linear_access *access, const char *operation, const json_t *variables, int64_t now_ms,
			 json_t **data, struct linear_said *said, struct err *err);

/* The bytes to where the answer to FileUpload (its `data`) says, with the headers that it names and no token; *asset (owned) is what Markdown
 * there shows it by. Blocks. ERR_RETRY: ask for another place later. */
MUST_USE int linear_upload(struct world world, const json_t *data, const char *type, struct view bytes, char **asset,
			   struct err *err);

/* What an answer means, without the network: status, body, and its headers by name (NULL: absent). */
struct linear_answer {
	unsigned status;
	struct view body;
	const char *(*header)(void *self, const char *name);
	void *self;
};
MUST_USE int linear_answer_judge(const struct linear_answer *answer, int64_t now_ms, json_t **data, struct linear_said *said,
				 struct err *err);

/* A UUID in the form of version 4, the same for the same operation: "RUN/STEP/what". */
struct linear_uuid {
	char text[37];
};
struct linear_uuid linear_uuid_of(const char *operation);

/* OAuth. `answer` (owned) is {"access_token", "expires_in", "refresh_token"?, "scope"}. Tokens are in it: not for eyes. */
struct linear_client {
	const char *base;
	const char *id;
	const char *secret; /* NULL: PKCE alone */
};
/* Where a person allows it: state, and the digest of the verifier. Owned. */
char *linear_authorize_url(const char *authorize, const struct linear_client *client, const char *redirect, const char *scopes,
			   const char *state, const char *verifier);
MUST_USE int linear_token_of_code(const struct linear_client *client, const char *code, const char *redirect, const char *verifier,
				  json_t **answer, struct err *err);
MUST_USE int linear_token_refresh(const struct linear_client *client, const char *refresh, json_t **answer, struct err *err);
MUST_USE int linear_token_of_client(const struct linear_client *client, const char *scopes, json_t **answer, struct err *err);
/* The contents of an activity; owned. */
json_t *linear_thought(const char *text);
json_t *linear_action(const char *action, const char *parameter, const char *result); /* `result` NULL: it goes on */
json_t *linear_words(const char *type, const char *text);                             /* elicitation, response, error */
/* {"options": [{"value", "label"}]} for the signal `select`. */
json_t *linear_options(const char *const *values, size_t count);
/* A run's plan [{"text", "state"}] as the checklist's [{"content", "status"}]. */
json_t *linear_plan(const json_t *plan);

/* The started state with the lowest position, of TeamStates' data; NULL: the team has none. Borrowed. */
const char *linear_started_state(const json_t *data);
const char *linear_state_named(const json_t *data, const char *name);

#endif
