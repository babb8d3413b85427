/* gitea_priv: one connection to Gitea or Forgejo. Only for gitea*.c. */
#ifndef ASSAY_FORGES_GITEA_PRIV_H
#define ASSAY_FORGES_GITEA_PRIV_H

#include "forges/bot.h"
#include "forges/gitea.h"

#define GITEA_DRAFT "WIP: "

/* gitea_pull.c */
int gitea_pull_put(void *self, const char *repository, const struct remote_pull *pull, struct remote_told *told, struct err *err);
json_t *gitea_pull_get(void *self, const char *repository, int64_t number, struct remote_told *told, struct err *err);
int gitea_pull_close(void *self, const char *repository, int64_t number, struct remote_told *told, struct err *err);
int gitea_pull_merge(void *self, const char *repository, int64_t number, const char *head, struct remote_told *told,
		     struct err *err);
char *gitea_pull_ref(int64_t number);
int gitea_check_put(void *self, const char *repository, const struct remote_check *check, struct remote_told *told,
		    struct err *err);
int gitea_deployment_put(void *self, const char *repository, const struct remote_deployment *deployment, struct remote_told *told,
			 struct err *err);
int gitea_deployment_end(void *self, const char *repository, const char *environment, struct remote_told *told, struct err *err);
/* gitea_talk.c */
json_t *gitea_issue_get(void *self, const char *repository, int64_t number, struct remote_told *told, struct err *err);
int gitea_note_put(void *self, const char *repository, bool pull, int64_t number, const char *marker, const char *body,
		   struct remote_told *told, struct err *err);
int gitea_reply(void *self, const char *repository, int64_t number, const char *thread, const char *marker, const char *body,
		struct remote_told *told, struct err *err);
int gitea_picture_put(void *self, const char *repository, int64_t number, const char *file, struct view bytes, char **url,
		      struct remote_told *told, struct err *err);
json_t *gitea_missed(void *self, const char *repository, int64_t number, int64_t since_ms, struct remote_told *told,
		     struct err *err);
int gitea_ack(void *self, const char *repository, const struct forge_event *event, struct remote_told *told, struct err *err);
json_t *gitea_review(void *self, const char *repository, int64_t number, const char *review, struct remote_told *told,
		     struct err *err);
int gitea_may_command(void *self, const char *repository, const char *login, bool *may, struct remote_told *told, struct err *err);

#endif
