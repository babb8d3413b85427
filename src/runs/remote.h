/*
 * remote: projects that live at a code host. A row of the table `repository` says which connection and what it is called there; the project's
 * bare repository here follows its default branch, and what runs publish is brought there by effects: the branch, the pull request, the
 * verdict as a check, the preview as a deployment, answers to reviewers. A pull request or an issue keeps the number it has here, and a row that
 * says which one it is there: what happened there is asked of the host when a delivery says that something did.
 *
 * Credentials are asked for by the thread that needs one and are in nothing that is stored, logged or seen by a sandbox.
 */
#ifndef ASSAY_RUNS_REMOTE_H
#define ASSAY_RUNS_REMOTE_H

#include "forges/remote.h"
#include "runs/effect.h"
#include "runs/inbox.h"

#define REMOTE_CHECK "assay"

struct run;

/* One project at a host; texts are owned. */
struct place {
	char *name;       /* here */
	char *connection; /* its id */
	char *remote;     /* "owner/name" */
	char *url;
	char *branch;       /* its default one */
	bool judges;        /* pull requests of anybody are verified */
	json_t *settings;   /* of the connection; only of place_load() */
	struct remote host; /* borrowed; only of place_load() */
};
void place_fini(struct place *place);
#define AUTO_PLACE __attribute__((cleanup(place_fini))) struct place

/* *found: is it at a host at all? */
MUST_USE int place_find(struct store_tx *tx, const char *name, struct place *place, bool *found, struct err *err);
MUST_USE int place_find_remote(struct store_tx *tx, const char *connection, const char *remote, struct place *place, bool *found,
			       struct err *err);
/* In a transaction of its own, with the host's client. ERR_NOT_FOUND: the project is not at a host. */
MUST_USE int place_load(struct runs *runs, const char *name, struct place *place, struct err *err);
/* Does something with the host's repository, as `git` knows it; what is refused is tried once more with a credential that is new. Blocks. */
MUST_USE int place_git(const struct place *place, bool push,
		       int (*act)(void *self, const struct git_remote *remote, struct err *err), void *self,
		       struct remote_told *told, struct err *err);
/* Fetches what the host calls `there` as `ref` into the project's repository, which is made when there is none. Blocks on the network. */
MUST_USE int place_fetch(struct runs *runs, const struct place *place, const char *there, const char *ref, struct git_hash *commit,
			 struct remote_told *told, struct err *err);
/* The client of a connection; borrowed until runs_close(). */
MUST_USE int remote_open(struct runs *runs, const struct connection *connection, struct remote *remote, struct err *err);
void remotes_close(struct runs *runs);
/* Before a run begins: its project's main is what the host has. No effect for other projects. */
MUST_USE int remote_refresh(struct runs *runs, const char *name, struct remote_told *told, struct err *err);
/* A step that failed waits when the host said that it must: until the limit that it announced is over, or a person has renewed the credential, which
 * the connection says. -1: it failed of something else, as err says. */
MUST_USE int remote_wait(struct runs *runs, const char *repository, const struct remote_told *told, struct flow_visit *visit,
			 struct err *err);

/* Which pull request or issue it is there; 0: none. `url` may be NULL; else owned by the caller. */
MUST_USE int remote_pull_number(struct store_tx *tx, int64_t pull, int64_t *number, char **url, struct err *err);
MUST_USE int remote_issue_number(struct store_tx *tx, int64_t issue, int64_t *number, char **url, struct err *err);
/* Here, by what it is there: the number and its run's id (owned, NULL: none); 0: it is none of ours. */
MUST_USE int remote_pull_find(struct store_tx *tx, const char *name, int64_t there, int64_t *pull, char **run, struct err *err);
MUST_USE int remote_issue_find(struct store_tx *tx, const char *name, int64_t there, int64_t *issue, char **run, struct err *err);

/* Puts an effect at a place: `kind` "forge.…"; `data` is stolen, and told the project's name. */
MUST_USE int remote_put(struct runs *runs, struct store_tx *tx, const struct place *place, const char *kind, const char *operation,
			const char *target, bool chatter, json_t *data, struct err *err);
/* What a driver told, as the outbox wants it: a limit of this tenant, or a credential that is refused. Returns -1. */
int remote_failed(const struct remote_told *told, struct outbox_answer *answer);
/* An effect's credential was refused (ERR_DENIED): nothing of it is lost. The connection says so, its tenant waits (ERR_LIMIT), and it is tried
 * again every minute, and when the connection is changed. Returns -1. */
int remote_refused(struct runs *runs, const struct outbox_effect *effect, struct outbox_answer *answer, struct err *err);
/* In the transaction that stores that an effect was sent: what the connection said of it is over. */
MUST_USE int remote_accepted_in(struct store_tx *tx, const struct outbox_effect *effect, struct err *err);

/* In the transaction that stores what was published: all that the host is to show of it. No effect for other projects. */
MUST_USE int remote_publish_in(struct runs *runs, struct store_tx *tx, const struct run *run, const struct flow_visit *visit,
			       const json_t *report, int64_t pull, struct err *err);
/* What a verdict on `head` shows as a check, `base` being what it is compared with; owned by the caller. */
json_t *remote_check_data(const json_t *report, const char *base, const char *head, const char *url);
/* Its annotations are those on lines that the change brings; the others are told in its summary. Asks git, by the path of the bare repository. */
void remote_check_place(const char *repository, json_t *data);
/* Reviewers whose words the agent had are answered. */
MUST_USE int remote_answer_in(struct runs *runs, struct store_tx *tx, const struct run *run, struct err *err);
/* In the transaction in which the run's words are taken: what reviewers wrote is with the agent now. */
MUST_USE int remote_given_in(struct store_tx *tx, const char *run, struct err *err);
/* The run's state changed: the issue's comment follows; when it is over, its preview's deployment is retired. */
MUST_USE int remote_moved_in(struct runs *runs, struct store_tx *tx, const char *id, const char *state, bool over, struct err *err);
/* A note on the pull request or issue, made once by its name. */
MUST_USE int remote_note_in(struct runs *runs, struct store_tx *tx, const struct place *place, bool pull, int64_t number,
			    const char *name, const char *text, struct err *err);

/* Merges or closes at the host first; *there is false when the pull request is only here. */
MUST_USE int remote_pull_merge(struct runs *runs, const json_t *pull, bool *there, struct err *err);
MUST_USE int remote_pull_close(struct runs *runs, const json_t *pull, bool *there, struct err *err);
/* Every few minutes: hosts are asked for deliveries that did not arrive, and pull requests that are open here for what they are there. */
MUST_USE int remote_reconcile(void *runs, struct err *err);
/* "remote": {"number", "url"} or null. */
void remote_pull_json(struct runs *runs, json_t *pull);

/* remote_event.c: an event that no delivery told of, in the shape of one; what is known of it is not taken again. */
MUST_USE int remote_missed(struct runs *runs, const char *connection, const char *name, const json_t *body, struct err *err);

/* ---- judge.c: pull requests of others ---- */

/* The host is asked what the pull request is, and its run is begun, told of its head, or of its end. `form` names the asking. */
MUST_USE int judge_put_in(struct runs *runs, struct store_tx *tx, const struct place *place, int64_t number, const char *form,
			  bool asked, struct err *err);
MUST_USE int judge_find(struct store_tx *tx, const char *name, int64_t number, struct run *run, bool *found, struct err *err);
MUST_USE int step_judge_claim(struct runs *runs, const struct run *run, struct flow_visit *visit, struct err *err);
MUST_USE int step_judge_publish(struct runs *runs, const struct run *run, const json_t *report, struct flow_visit *visit,
				struct err *err);
MUST_USE int step_judge_review(struct runs *runs, const struct run *run, struct flow_visit *visit, struct err *err);

extern const struct effect_kind effect_push, effect_pull, effect_check, effect_deployment, effect_retire, effect_reply, effect_note,
	effect_progress, effect_pictures;
extern const struct effect_kind effect_look, effect_words, effect_command, effect_intake, effect_failure, effect_fetch,
	effect_judge, effect_sweep;
extern const struct inbox_source inbox_forge; /* of any kind of code host */

#endif
