/* gitlab_priv: one connection to GitLab. Only for gitlab*.c. */
#ifndef ASSAY_FORGES_GITLAB_PRIV_H
#define ASSAY_FORGES_GITLAB_PRIV_H

#include "forges/bot.h"
#include "forges/gitlab.h"

#define GITLAB_DRAFT "Draft: "
#define GITLAB_SIGN "!"
#define GITLAB_LEVEL_DEVELOPER 30

/* "/projects/group%2Fname" and what is formatted behind it; owned. */
char *gitlab_path(const char *repository, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Text of ours as GitLab may have it: no line of it is a quick action ("/close"). */
void gitlab_text_set(json_t *object, const char *key, const char *text);

/* gitlab_pull.c */
int gitlab_pull_put(void *self, const char *repository, const struct remote_pull *pull, struct remote_told *told, struct err *err);
json_t *gitlab_pull_get(void *self, const char *repository, int64_t number, struct remote_told *told, struct err *err);
int gitlab_pull_close(void *self, const char *repository, int64_t number, struct remote_told *told, struct err *err);
int gitlab_pull_merge(void *self, const char *repository, int64_t number, const char *head, struct remote_told *told,
		      struct err *err);
char *gitlab_pull_ref(int64_t number);
/* gitlab_talk.c */
json_t *gitlab_issue_get(void *self, const char *repository, int64_t number, struct remote_told *told, struct err *err);
int gitlab_note_put(void *self, const char *repository, bool pull, int64_t number, const char *marker, const char *body,
		    struct remote_told *told, struct err *err);
int gitlab_reply(void *self, const char *repository, int64_t number, const char *thread, const char *marker, const char *body,
		 struct remote_told *told, struct err *err);
int gitlab_resolve(void *self, const char *repository, int64_t number, const char *thread, struct remote_told *told,
		   struct err *err);
int gitlab_picture_put(void *self, const char *repository, int64_t number, const char *file, struct view bytes, char **url,
		       struct remote_told *told, struct err *err);
json_t *gitlab_missed(void *self, const char *repository, int64_t number, int64_t since_ms, struct remote_told *told,
		      struct err *err);
int gitlab_ack(void *self, const char *repository, const struct forge_event *event, struct remote_told *told, struct err *err);
json_t *gitlab_review(void *self, const char *repository, int64_t number, const char *review, struct remote_told *told,
		      struct err *err);
int gitlab_may_command(void *self, const char *repository, const char *login, bool *may, struct remote_told *told, struct err *err);
int gitlab_failure_read(void *self, const char *repository, const char *id, struct buf *text, struct remote_told *told,
			struct err *err);
/* gitlab_check.c */
int gitlab_check_put(void *self, const char *repository, const struct remote_check *check, struct remote_told *told,
		     struct err *err);
int gitlab_deployment_put(void *self, const char *repository, const struct remote_deployment *deployment, struct remote_told *told,
			  struct err *err);
int gitlab_deployment_end(void *self, const char *repository, const char *environment, struct remote_told *told, struct err *err);

#endif
