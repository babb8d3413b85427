/* github_priv: one connection to GitHub. Only for github*.c. */
#ifndef ASSAY_FORGES_GITHUB_PRIV_H
#define ASSAY_FORGES_GITHUB_PRIV_H

#include "forges/github.h"
#include "http/rest.h"

struct github;

/* With whose word a call is made; each token is of one repository and may do only this. */
enum github_right { GITHUB_READ /* its code */, GITHUB_PUSH, GITHUB_WORK /* pull requests, checks … */, GITHUB_MERGE, GITHUB_APP };

struct github_call {
	const char *repository; /* NULL for GITHUB_APP */
	enum github_right right;
	const char *method;
	const char *path; /* "/repos/o/r/pulls", or a whole URL of the host */
	const json_t *body;
	bool plain;
};

/* rest_ask with the right token; a refused one is made anew, once. `told` may be NULL. */
MUST_USE int github_ask(struct github *github, const struct github_call *call, struct rest_answer *answer, struct remote_told *told,
			struct err *err);
/* ERR_INVALID with what its "errors" say. *data is owned by the caller. */
MUST_USE int github_query(struct github *github, const char *repository, const char *query, json_t *variables /* stolen */,
			  json_t **data, struct remote_told *told, struct err *err);
MUST_USE int github_token_get(struct github *github, const char *repository, enum github_right right, struct buf *token,
			      struct remote_told *told, struct err *err);
bool github_is_app(const struct github *github);
const char *github_api(const struct github *github);
const char *github_web(const struct github *github);
const char *github_name(const struct github *github);
struct world github_world(const struct github *github);
/* "permission: write", … that an App of ours needs: [{name: level}] as one object, borrowed for ever. */
extern const char *const github_permissions[][2];
extern const size_t github_permission_count;

/* github_pull.c */
int github_pull_put(void *self, const char *repository, const struct remote_pull *pull, struct remote_told *told, struct err *err);
json_t *github_pull_get(void *self, const char *repository, int64_t number, struct remote_told *told, struct err *err);
int github_pull_close(void *self, const char *repository, int64_t number, struct remote_told *told, struct err *err);
int github_pull_merge(void *self, const char *repository, int64_t number, const char *head, struct remote_told *told,
		      struct err *err);
char *github_pull_ref(int64_t number);
/* github_talk.c */
json_t *github_issue_get(void *self, const char *repository, int64_t number, struct remote_told *told, struct err *err);
int github_note_put(void *self, const char *repository, bool pull, int64_t number, const char *marker, const char *body,
		    struct remote_told *told, struct err *err);
int github_reply(void *self, const char *repository, int64_t number, const char *thread, const char *marker, const char *body,
		 struct remote_told *told, struct err *err);
int github_resolve(void *self, const char *repository, int64_t number, const char *thread, struct remote_told *told,
		   struct err *err);
int github_ack(void *self, const char *repository, const struct forge_event *event, struct remote_told *told, struct err *err);
json_t *github_review(void *self, const char *repository, int64_t number, const char *review, struct remote_told *told,
		      struct err *err);
int github_may_command(void *self, const char *repository, const char *login, bool *may, struct remote_told *told, struct err *err);
int github_failure_read(void *self, const char *repository, const char *id, struct buf *text, struct remote_told *told,
			struct err *err);
/* github_check.c */
int github_check_put(void *self, const char *repository, const struct remote_check *check, struct remote_told *told,
		     struct err *err);
int github_deployment_put(void *self, const char *repository, const struct remote_deployment *deployment, struct remote_told *told,
			  struct err *err);
int github_deployment_end(void *self, const char *repository, const char *environment, struct remote_told *told, struct err *err);
/* github_app.c */
int github_sweep(void *self, int64_t since_ms, int *asked, struct remote_told *told, struct err *err);
json_t *github_examine(void *self, const char *repository, const char *hook_url, struct err *err);

#endif
