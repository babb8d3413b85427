/*
 * What the files of runs/ share: the open object, one run as it is stored, and what changes it.
 *
 * A run's row is what its steps know; its position is the workflow's (flow/flow.h). Steps read the row when they begin and write
 * what they reached in one transaction, so that a step which is begun again sees what its last try had reached.
 */
#ifndef ASSAY_RUNS_RUNS_PRIV_H
#define ASSAY_RUNS_RUNS_PRIV_H

#include <pthread.h>

#include "agents/agent.h"
#include "base/git_join.h"
#include "blueprint/blueprint.h"
#include "flow/flow.h"
#include "forges/forge.h"
#include "runs/effect.h"
#include "runs/inbox.h"
#include "runs/runs.h"
#include "sandbox/environment.h"
#include "store/store.h"
#include "trackers/tracker.h"
#include "verify/verify.h"

#define ATTACHMENTS_FOLDER "attachments"      /* of the agent's HOME */
#define RUN_EVENT_TEXT_MAX ((size_t)16 << 10) /* a text in an event; longer ones are cut, and say so */
#define RUN_EVENTS_MAX 50000                  /* of one run; later ones of the agent are dropped */
#define RUN_GATES_MAX ((size_t)64)
#define RUN_CHANGES_KEPT 10000
#define RUN_TITLE_MAX ((size_t)200)

struct runs {
	struct runs_options options;
	char *state_dir;
	char *pages_base;
	char *repositories_dir;
	struct store *store;
	bool external; /* the store is somebody else's: runs_open_inside() */
	struct flows *flow;
	struct tracker tracker;
	struct forge forge;
	pthread_mutex_t repositories;  /* fetches into a project, one at a time */
	pthread_mutex_t records;       /* the chain of records grows one at a time */
	struct remote_client *clients; /* remote.c, under clients_lock */
	pthread_mutex_t clients_lock;
	struct effects *effects; /* effect.c */
	struct inboxes *inboxes; /* inbox.c */
	struct slack_sockets *slack_sockets;
	struct gate *gates;         /* gate.c; under `records` */
	struct model_state *models; /* model.c; under `records` */
	size_t gate_next;
	int64_t signals; /* that came in since the start; atomic: turns look when it grew */
};

/* For worlds in which several control planes are in one process. */
struct runs_inside {
	struct store *store; /* borrowed, and shared by all of them */
	const char *plane;   /* what this one is called */
};
MUST_USE int runs_open_inside(const struct runs_options *options, const struct runs_inside *inside, struct runs **runs,
			      struct err *err);

enum turn_state { TURN_NONE, TURN_PENDING /* the agent is to work */, TURN_WORKED /* what it wrote is to be exported */ };

/* One row; texts are owned and may be NULL. */
struct run {
	char *id;
	char *repository;
	char *title;
	char *state;
	char *base_wanted;
	char *base;
	char *head;
	char *branch;
	char *environment;
	char *preview;
	char *verdict;
	char *agent;
	char *agent_config; /* JSON: what POST /runs said about the agent */
	char *error;
	char *reason; /* of the turn: issue, unchanged, findings, review */
	char *prompt;
	char *history; /* what was said in earlier turns, for agents that cannot resume */
	char *session;
	char *summary;  /* what the agent said when it was done */
	char *blocking; /* ids of the findings that blocked last time */
	char *report;
	char *judged;    /* the head that `report` is about */
	char *published; /* the head that the pull request shows */
	char *outcome;   /* merged, closed */
	char *plan;
	int64_t seq;
	int64_t issue;
	int64_t state_since_ms;
	int64_t pull;
	int64_t attempt;
	int64_t attempts;
	int64_t created_ms;
	int64_t ended_ms;
	int64_t turn;
	int64_t pending; /* enum turn_state */
	int64_t unchanged;
	int64_t input_tokens;
	int64_t output_tokens;
	int64_t turns;
	int64_t agent_ms;
	int64_t cost_question; /* whether it may cost more, that a person is asked; 0: none is */
	double cost_allowed;   /* beyond the blueprint's budget */
	double cost_usd;
	double session_cost_usd;
	int64_t session_input_tokens;
	int64_t session_output_tokens;
	char *race;           /* the first run of its race; NULL: it is alone */
	char *race_winner;    /* once it is chosen */
	int64_t judges;       /* the number of the pull request at a code host that is only verified; 0: an issue is worked on */
	int64_t declarations; /* counts changes of what is declared to be meant */
	int64_t judged_declarations; /* as `report` was made */
	char *joined; /* the repository in which `base` and `head` are several ones, each in a folder (part.c); NULL: it is of one */
	char *exported; /* of one that is joined: the commit that its environment stands on */
	char *merging;  /* who wants all of its pull requests merged */
};

void run_fini(struct run *run);
bool run_is_over(const struct run *run); /* done, failed or stopped */
#define AUTO_RUN __attribute__((cleanup(run_fini))) struct run

MUST_USE int run_read(struct store_tx *tx, const char *id, struct run *run, struct err *err);
/* For lists: a query of rows as run_row() takes them, whose first column is `seq`, without the texts that may be long. */
void run_list_init(struct list_sql *list);
void run_row(struct store_rows *rows, struct run *run);
MUST_USE int run_load(struct runs *runs, const char *id, struct run *run, struct err *err); /* in a transaction of its own */
/* "preview" of a run or a pull request is where its environment's is now: previews move when serve listens elsewhere, and end. */
void preview_now(struct runs *runs, json_t *item);
/* An environment's, with a link that is good from now on; owned by the caller, NULL: it has none, or is gone. */
char *preview_url_now(struct runs *runs, const char *environment);
/* The run's, before it is posted: a link that was signed at the fork may have ended. */
MUST_USE int run_preview_renew(struct runs *runs, struct run *run, struct err *err);
/* What an effect posts of a preview: sent late, it posts the link of then (effect.c). Either may be NULL. */
void preview_shown_add(json_t *data, const char *environment, const char *preview);
/* The effect's data with that link; owned by the caller, NULL: as it is. */
char *preview_shown_renew(struct runs *runs, struct view data);
json_t *run_json(struct runs *runs, struct store_tx *tx, const struct run *run, struct err *err); /* as in doc/api.md */
/* The same as what a step came to: refused when another control plane has taken the run over (flow_visit_held). */
MUST_USE int step_store(struct runs *runs, const struct flow_visit *visit, const char *set, const struct store_value *values,
			size_t count, struct err *err);
/* declare.c: [{"match", "by", "because", "state": "declared|proposed", "time_ms"}], and those that hold as a verification wants them. */
json_t *declarations_json(struct store_tx *tx, const char *run, struct err *err);
json_t *declarations_held(struct runs *runs, const char *run, struct err *err);
bool declarations_changed(const struct run *run); /* since its report */
MUST_USE int declarations_judge_again(struct runs *runs, const struct run *run, struct err *err);
/* UPDATE run SET <set> WHERE id = …; the last value is the id's, added here. */
MUST_USE int run_write(struct store_tx *tx, const char *id, const char *set, const struct store_value *values, size_t count,
		       struct err *err);
/* The same in a transaction of its own. */
MUST_USE int run_store(struct runs *runs, const char *id, const char *set, const struct store_value *values, size_t count,
		       struct err *err);

/* The bare repository of a project: "<repositories>/NAME.git". */
char *repository_path(const struct runs *runs, const char *name);
MUST_USE int repository_name_check(const char *name, struct err *err); /* of anybody: it becomes part of a path */
/* That in which the run's base and head are. */
const char *run_repository(const struct run *run);
char *run_repository_path(const struct runs *runs, const struct run *run);
/* Its blueprint at a commit, with what the run says about the agent put over it. */
/* "name/version" of the installed tool that the blueprint's agent is, owned; NULL: none is, and the host or the image must have it. */
char *agent_tool(struct runs *runs, const struct blueprint *blueprint);

struct blueprint *run_blueprint(struct runs *runs, const struct run *run, struct err *err);
MUST_USE int run_env(const struct run *run, struct env_id *env, struct err *err);
MUST_USE int run_hash(const char *text, struct git_hash *hash, struct err *err); /* ERR_BROKEN for NULL */

/* ---- events.c ---- */

/* Appends an event; `data` is stolen. */
MUST_USE int event_add_in(struct runs *runs, struct store_tx *tx, const char *run, const char *type, json_t *data, struct err *err);
/* In a transaction of its own; a failure is logged: an event is never a reason to stop. */
void event_add(struct runs *runs, const char *run, const char *type, json_t *data);
void event_note(struct runs *runs, const char *run, const char *format, ...) PRINTF_LIKE(3, 4);
/* A change for pages: kind and the key that names the thing ("id" or "number"). */
MUST_USE int change_add_in(struct runs *runs, struct store_tx *tx, const char *kind, const char *key, struct store_value value,
			   const char *state, struct err *err);
void change_add(struct runs *runs, const char *kind, const char *key, struct store_value value, const char *state);
/* A text for an event, cut to RUN_EVENT_TEXT_MAX. */
void event_text_set(json_t *object, const char *key, struct view text);

/* ---- steer.c: what a run is told, in the caller's transaction; after its commit runs_told() is called ---- */

/* A run on the issue ({"number", "title"}); `request` is the body of POST /runs; a source may say whose it is (`organisation`): those
 * take turns. Nothing is asked of the tracker or of git here. */
MUST_USE int run_start_in(struct runs *runs, struct store_tx *tx, struct run_id id, const json_t *issue, const json_t *request,
			  struct err *err);
/* A signal, and what the timeline shows of it: `shown` is stolen and may be NULL. ERR_DENIED: the run is over. */
MUST_USE int run_signal_in(struct runs *runs, struct store_tx *tx, const char *id, const char *kind, const json_t *data,
			   const char *type, json_t *shown, struct err *err);
/* As runs_message(): the answer to what its agent asked, else a message. */
MUST_USE int run_message_in(struct runs *runs, struct store_tx *tx, const char *id, const char *author, const char *text,
			    struct err *err);
/* What happened to a pull request (review, merged, closed), told to its run, if there is one and it goes on; `shown` is stolen. */
MUST_USE int run_pull_in(struct runs *runs, struct store_tx *tx, const char *run, int64_t number, const char *kind,
			 const json_t *data, const char *type, json_t *shown, struct err *err);
/* What was committed is looked at now: by workers, and by turns that wait for messages. */
void runs_told(struct runs *runs);

/* attachment.c: bytes by their digest, beside the repositories */
struct digest;
MUST_USE int kept_bytes_put(const struct runs *runs, const struct digest *digest, struct view bytes, struct err *err);
MUST_USE int kept_bytes_read(const struct runs *runs, const char *digest, struct buf *out, struct err *err);
/* bytes of files that no issue has any more, and that were put before then */
MUST_USE int attachments_sweep(struct runs *runs, int64_t before_ms, struct err *err);

/* picture.c: [{"id", "name", "bytes", "time_ms"}], the newest of each name, the newest first; owned by the caller */
/* What a verification made of pages and of runs of suites (verify.h, "media"), whose artefacts lie in `dir`, in place of the one before. */
MUST_USE int pictures_keep(struct runs *runs, const char *run, const char *dir, const json_t *media, struct err *err);
#define PICTURES_SHOWN_MAX 6
json_t *pictures_shown(struct store_tx *tx, const char *run, struct err *err);
json_t *pictures_untold(struct store_tx *tx, const char *run, struct err *err); /* they are told from now on */
/* What its file is called elsewhere: the same each time; owned. */
char *picture_file(const json_t *picture);
/* Uploads it to `place` unless that was done; *url (owned) is what it is called there. Blocks. */
MUST_USE int picture_bring(struct runs *runs, const json_t *picture, const char *place,
			   int (*upload)(void *self, const char *file, struct view bytes, char **url, struct err *err), void *self,
			   char **url, struct err *err);

/* ---- trace.c: spans ---- */

/* flow_definition.around */
MUST_USE int trace_step(void *self, int (*does)(void *self, struct flow_visit *visit, struct err *err), bool undoes,
			struct flow_visit *visit, struct err *err);
void trace_run_over(const struct runs *runs, const struct run *run, const char *state); /* done, failed or stopped */

/* ---- part.c: runs over several repositories ---- */

#define PARTS_MAX GIT_SIDES_MAX

/* A repository of a run, with what the run has there. A run of one repository is its own only part. Texts are owned and may be NULL. */
struct part {
	int64_t position;
	char *repository;
	char *base_wanted;
	char *base;
	char *head;
	char *published; /* the head that its pull request shows */
	char *outcome;   /* merged, closed */
	int64_t pull;
};
struct parts {
	struct part at[PARTS_MAX];
	size_t count;
};
void parts_fini(struct parts *parts);
#define AUTO_PARTS __attribute__((cleanup(parts_fini))) struct parts

MUST_USE int parts_read(struct store_tx *tx, const struct run *run, struct parts *parts, struct err *err);
MUST_USE int parts_load(struct runs *runs, const struct run *run, struct parts *parts,
			struct err *err); /* in a transaction of its own */
/* UPDATE of the part, wherever it is stored: its own row, or the run's. */
MUST_USE int part_write(struct store_tx *tx, const struct run *run, const struct part *part, const char *set,
			const struct store_value *values, size_t count, struct err *err);
bool part_is_changed(const struct part *part); /* has the run written something there? */
/* The run as if it were of this part alone: for what knows one repository. Borrowed from both. */
struct run part_run(const struct run *run, const struct part *part);
/* [{"repository", "base", "head", "pull", "outcome"}]; owned by the caller. */
json_t *parts_json(struct store_tx *tx, const struct run *run, struct err *err);

/* "repositories" of a request: ["shop", "lib@REVISION"]. *first, owned, is the request as if it were of the first alone. */
MUST_USE int parts_request(struct runs *runs, const json_t *request, json_t **first, struct err *err);
/* What `joined` is for that request, owned; NULL: it is of one repository. */
char *parts_joined(const json_t *request);
/* The request may be anybody's: names are checked here again. */
MUST_USE int parts_insert(struct store_tx *tx, const char *run, const json_t *request, struct err *err);
/* A candidate has the same ones, from the same bases. */
MUST_USE int parts_copy(struct store_tx *tx, const char *from, const char *to, struct err *err);

/* Each part's base is pinned; *base: all of them, joined. */
MUST_USE int parts_pin(struct runs *runs, const struct run *run, struct parts *parts, struct git_hash *base,
		       struct flow_visit *visit, struct err *err);
/* What was exported becomes a commit in each part in which something differs; *whole: all heads, joined. */
MUST_USE int parts_take(struct runs *runs, const struct run *run, struct parts *parts, const struct git_hash *exported,
			const char *message, struct git_hash *whole, struct err *err);
MUST_USE int parts_store(struct store_tx *tx, const struct run *run, const struct parts *parts, struct err *err);
/* "repositories" of a report: [{"name", "base", "head", "base_tree", "head_tree"}]. No effect for a run of one. */
MUST_USE int parts_report(struct runs *runs, const struct run *run, json_t *report, struct err *err);
/* Held-out sessions of all parts, in one folder that is made; of one repository: its own. NULL: there are none. */
char *parts_sessions(struct runs *runs, const struct run *run);

/* ---- part_pull.c: their pull requests ---- */

/* Is it decided, all of them merged or closed? Then the visit goes to `close`. One that was closed closes the others; *later says why that cannot
 * be done now, and is to be tried again. */
MUST_USE int parts_settle(struct runs *runs, const struct run *run, struct parts *parts, struct flow_visit *visit, bool *settled,
			  struct err *later, struct err *err);
/* The run of which the pull request is one of several. */
MUST_USE int parts_of_pull(struct runs *runs, const json_t *pull, struct run *run, struct parts *parts, bool *several,
			   struct err *err);
/* Merges all that are open, in order; that each can be, and was verified (`force`: whether it was or not), is asked before. What was asked for is stored: a crash does not leave it half done. */
MUST_USE int parts_merge(struct runs *runs, const struct run *run, const struct parts *parts, const char *author, bool force,
			 struct err *err);
/* One pull request, here and where it lives; one that is not open any more is left alone. project.c */
MUST_USE int pull_merge_one(struct runs *runs, int64_t number, const char *author, struct err *err);
/* What was asked for and is not done yet. */
MUST_USE int parts_merge_on(struct runs *runs, const struct run *run, const struct parts *parts, struct err *err);
/* Those that were made, and not all could be, are closed. */
MUST_USE int parts_unpublish(struct runs *runs, const struct run *run, struct err *err);
void parts_body(struct buf *out, const struct runs *runs, const struct parts *parts); /* of a pull request */
/* The report as the part's repository sees it: places in other repositories have none there. Owned by the caller. */
json_t *part_report(const json_t *report, const struct part *part);

/* ---- race.c: candidates ---- */

/* With `first`, which is being claimed, the others of its race begin. */
MUST_USE int race_begin(struct runs *runs, struct store_tx *tx, const struct run *first, const struct blueprint *blueprint,
			struct err *err);
/* Does the run publish? Else the visit is told to wait, or that it lost. */
MUST_USE int race_stand(struct runs *runs, const struct run *run, struct flow_visit *visit, bool *publishes, struct err *err);
bool run_lost(const struct run *run);
/* Appends the ids of those that run beside the first of a race. */
MUST_USE int race_others(struct runs *runs, const char *first, json_t *ids, struct err *err);
/* [{"id", "agent", "state", "verdict", "branch", "findings", "lines", "cost_usd", "chosen"}]; owned by the caller. */
json_t *race_json(struct runs *runs, struct store_tx *tx, const char *race, struct err *err);
MUST_USE int race_body(struct buf *out, struct runs *runs, const struct run *run, struct err *err); /* of the pull request */

/* Puts "claude" or "claude:model" into what a request says of the agent. False: it is another agent than `own`. */
bool agent_config_name(json_t *config, const char *name, const char *own);

/* ---- opinion.c: second opinions ---- */

/* Asks each of agent.reviewers once about the head, when its verdict is verified, and puts their words under the pull request. What
 * becomes of them holds nothing up: -1 only when the step is to end or the store fails. Blocks for as long as they work. */
MUST_USE int opinions_ask(struct runs *runs, const struct run *run, int64_t pull, const json_t *report, struct flow_visit *visit,
			  struct err *err);
/* [{"by", "head", "status": "given|nothing|failed|skipped", "text", "cost_usd", "agent_ms"}]; owned by the caller. */
json_t *opinions_json(struct store_tx *tx, const char *run, struct err *err);

/* ---- claims.c ---- */

/* The run's summary, claim by claim (verify/claims.h); owned by the caller. */
MUST_USE int run_claims(struct runs *runs, const struct run *run, const json_t *report, json_t **claims, struct err *err);

/* ---- ask.c: questions of agents ---- */

/* The newest that waits for an answer (NULL: none), and whether its asker is still there. */
MUST_USE int question_open_find(struct store_tx *tx, const char *run, int64_t now_ms, json_t **question, bool *heard,
				struct err *err);
/* Does the run's agent wait for a person now? Then its silence and its time do not count. */
bool question_waits(struct runs *runs, const char *run);
/* A person's words are the answer to what is open. *unheard: the question (owned) when its asker is gone, so that the agent must be told
 * otherwise; else NULL. */
MUST_USE int question_answer_in(struct runs *runs, struct store_tx *tx, const char *run, const char *author, const char *text,
				char **unheard, bool *answered, struct err *err);
/* The run that works in the environment; owned. */
MUST_USE int run_of_environment(struct store_tx *tx, struct env_id env, char **run, struct err *err);

/* ---- model.c: what the hosts of models answered ---- */

struct model_state {
	char env[ID_TEXT_MAX];
	char host[128];
	int64_t number;
	int64_t status;   /* the failure that is the last answer; 0: none is */
	int64_t count;    /* of failures in a row */
	int64_t since_ms; /* of the first of them, as world_elapsed_ms() */
	int64_t told_ms;
	int64_t pause_ms; /* that the last answer asked for */
};

void models_free(struct runs *runs);
struct model_state model_state(struct runs *runs, const char *env);
void model_forget(struct runs *runs, const char *env);      /* a turn begins */
int64_t model_pause_ms(struct runs *runs, const char *env); /* before the host wants to be asked again; 0: at once */

/* Asks; `waits`: the run itself does, and goes on when it is answered. */
MUST_USE int question_put(struct runs *runs, struct store_tx *tx, const char *run, const char *text, int64_t wait_ms, bool waits,
			  int64_t *id, struct err *err);
MUST_USE int question_get(struct store_tx *tx, const char *run, int64_t id, int64_t now_ms, json_t **question, struct err *err);

/* ---- cost.c ---- */

/* Has the run, with what a turn that works has cost so far, reached what it may cost? */
bool cost_is_over(const struct run *run, const struct blueprint *blueprint, double more_usd);

/* May another turn begin, for what the run has cost? Else the visit is told to wait, or the error says that it ends. */
MUST_USE int cost_check(struct runs *runs, const struct run *run, const struct blueprint *blueprint, struct flow_visit *visit,
			struct err *err);

/* ---- gate.c ---- */

void gates_free(struct runs *runs);

/* ---- steps.c, turn.c, publish.c ---- */

extern const struct flow_definition run_definition;

/* What the step functions call, one per file. */
MUST_USE int step_turn(void *self, struct flow_visit *visit, struct err *err);
MUST_USE int step_verify(void *self, struct flow_visit *visit, struct err *err);
#define PULL_EVIDENCE "### What was checked" /* of a pull request's text: from here on it is folded where that can be */
MUST_USE int record_publish(struct runs *runs, const struct run *run, const json_t *report, const json_t *claims, struct err *err);
MUST_USE int step_publish(void *self, struct flow_visit *visit, struct err *err);

/* Reports of the environment as events `service` of the run `self->id`. */
struct run_progress {
	struct runs *runs;
	const char *id;
	const bool *cancelled;
};
struct progress run_progress(struct run_progress *self);

/* ---- keep.c ---- */

/* What an earlier try made: kept when it is good, else removed, so that a run has one. */
MUST_USE int run_environment_adopt(struct runs *runs, const struct run *run, struct env_id *env, bool *found, struct err *err);
/* The run is over: its environments go; the one it worked in stays, frozen, when it was not merged, and one that is pinned always. */
MUST_USE int run_environments_end(struct runs *runs, const struct run *run, struct err *err);

/* Removes what a run that is over, or that is done by another control plane now, still has here. */
MUST_USE int run_environments_reconcile(struct runs *runs, struct err *err);
/* What was forked for a commit that is no longer the pull request's. */
MUST_USE int judge_environments_end(struct runs *runs, const struct run *run, struct err *err);

/* retain.c: removes what is older than it is kept. */
MUST_USE int runs_retain(struct runs *runs, struct err *err);

/* ---- prompt.c ---- */

/* `parts` NULL: it is of one repository. */
void prompt_issue(struct buf *out, const json_t *issue, const struct blueprint *blueprint, const struct parts *parts);
void prompt_unchanged(struct buf *out);
void prompt_go_on(struct buf *out, const char *before); /* after a turn that was ended for its cost; `before`: what it was told */
/* The same tree in which its own verification failed. */
void prompt_unmended(struct buf *out, const char *feedback);
void prompt_findings(struct buf *out, const json_t *report);
#define REMOTE_WORDS_CI "ci" /* the kind of a review that no person wrote: what a host's CI printed */
void prompt_review(struct buf *out, const json_t *signals);   /* empty when none of them is for the agent */
void prompt_messages(struct buf *out, const json_t *signals); /* the same, in the middle of its work */
/* The whole of a turn that begins without a session: what was said before, then `prompt`. */
void prompt_fence(struct buf *out, const char *title, struct view text);

/* ---- kinds of effects and sources of deliveries, by the file that has them ---- */

extern const struct effect_kind effect_hook;                              /* hook.c: webhooks out */
extern const struct effect_kind effect_linear, effect_jira, effect_slack; /* speak.c: what is said in threads */
extern const struct inbox_source inbox_standard;                          /* standard.c: whoever signs Standard Webhooks */
extern const struct inbox_source inbox_linear, inbox_jira, inbox_slack;

/* What a change is told of by, in its transaction. */
MUST_USE int hook_put_in(struct runs *runs, struct store_tx *tx, int64_t seq, const char *kind, const json_t *data,
			 struct err *err);

#endif
