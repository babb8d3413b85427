/*
 * runs: the product. An issue is claimed, an environment forked, an agent works a turn, what it wrote is verified, findings go back to
 * it, a pull request is published, a reviewer's message wakes it, merge or close ends it and cleans up.
 *
 * A run is a row in the store and a position in a table of steps; each step is written before it is begun and when it ended, and
 * may be done again after a crash without harm. Runs work on threads of their own (a bounded pool); calls block briefly, any thread.
 * JSON shapes are those of doc/api.md; results are owned by the caller.
 */
#ifndef ASSAY_RUNS_RUNS_H
#define ASSAY_RUNS_RUNS_H

#include "base/json.h"
#include "base/world.h"
#include "sandbox/environment.h"
#include "store/list.h"
#include "verify/verify.h"

struct runs;
struct vault;

/* How long what is over is kept, in ms; 0: for ever. */
struct runs_keep {
	int64_t runs_ms;   /* runs, with their events; never records, issues and pull requests */
	int64_t events_ms; /* events of runs that are over */
	int64_t inbox_ms;  /* deliveries that were worked on: one that comes again later is new */
};

struct runs_options {
	const char *state_dir;
	const char *store; /* as store_open(); NULL: <state>/assay.db */
	const char *
		repositories; /* NAME.git are in it. NULL: <state>/repos; another one is shared by all control planes of the store */
	int64_t takeover_ms; /* runs of a control plane that is gone for so long are taken by others, where repositories are shared;
				     0: RUNS_TAKEOVER_MS */
	struct environments *environments;
	struct vault *vault;
	const char *pages_base; /* "http://127.0.0.1:7420" */
	int workers;            /* runs worked on here at once */
	int repository_max;     /* of one repository, on all control planes; 0: any number */
	int organisation_max;   /* of one organisation, or of one repository that is of none; 0: any number */
	bool goes_outside;      /* threads act on what comes in and send what goes out; without, both wait */
	struct runs_keep keep;
	struct world world;
	/* Lets a request of the run that waits for a person pass, once, or refuses it; NULL: none ever waits. */
	int (*approve)(void *self, const char *run, const char *hold, bool allow, const char *by, struct err *err);
	const struct verify_sources *sources; /* for verifications; outlive the runs; NULL: none */
	/* Lines that a record notes, owned by the caller; NULL: there is no ledger. A record waits while they cannot be read. */
	json_t *(*ledger_heads)(void *self, struct err *err);
	void *self;
};

#define RUNS_PRIORITY 5 /* of POST /runs, 0 to 9: higher ones go first; among equals organisations, or repositories, take turns */
#define RUNS_PRIORITY_MAX 9
#define RUNS_TAKEOVER_MS ((int64_t)20000)

/* Opens the store, migrates it, and goes on with every run that was not finished. */
MUST_USE int runs_open(const struct runs_options *options, struct runs **runs, struct err *err);
void runs_keep_set(struct runs *runs, struct runs_keep keep);              /* from now on; any thread */
const struct verify_sources *runs_verify_sources(const struct runs *runs); /* borrowed, or NULL */
struct store *runs_store(struct runs *runs); /* what runs are kept in; others keep theirs beside them */
void runs_close(struct runs *runs);          /* at the next safe point of each run; nothing is lost */

/* Repositories */
json_t *runs_repository_list(struct runs *runs, struct err *err);
/* `move`: the project's main follows; otherwise the commit is only kept here, as for a verification. */
json_t *runs_repository_put(struct runs *runs, const char *path, const char *revision, const char *name, bool move,
			    struct err *err);
/* A project at a code host ("https://HOST/OWNER/NAME"), by a connection's id or name (NULL: the only one of that host); its main follows the host's default branch. `judges`: pull
 * requests of anybody are verified. {"name", "commit", "remote", "branch"} */
json_t *runs_repository_add(struct runs *runs, const char *where, const char *connection, const char *name, bool judges,
			    struct err *err);
/* What is missing at a code host, for each project of the connection: [{"repository", "found": [{"what", "state", "do"}]}]. `public_base` is how
 * the host reaches us; NULL: as people do. */
json_t *runs_forge_examine(struct runs *runs, const char *connection, const char *public_base, struct err *err);
char *runs_repository_path(struct runs *runs, const char *name, struct err *err); /* of the bare repository; NULL when unknown */

/* A request of a run's agent waits for a person: {"hold", "run", "method", "host", "path"}. Told in its timeline, and where the work was given. */
void runs_hold_asked(struct runs *runs, const json_t *hold);

/* Webhooks out. Items are {"id", "url", "on": [kinds], "created_ms", "told_ms", "said", "waiting"}; a new one's secret is said once. `on` is a list of
 * "run", "issue" and "pull", or NULL for all. */
json_t *runs_hook_list(struct runs *runs, struct err *err);
json_t *runs_hook_make(struct runs *runs, const char *url, const json_t *on, struct err *err);
MUST_USE int runs_hook_remove(struct runs *runs, const char *id, struct err *err);

/* Issues. Lists are pages (store/list.h). */
json_t *runs_issue_list(struct runs *runs, const struct list_ask *ask, struct err *err);
json_t *runs_issue_show(struct runs *runs, int64_t number, struct err *err);
json_t *runs_issue_make(struct runs *runs, const char *repository, const char *title, const char *body, struct err *err);
MUST_USE int runs_issue_comment(struct runs *runs, int64_t number, const char *author, const char *text, struct err *err);
MUST_USE int runs_issue_close(struct runs *runs, int64_t number, bool closed, struct err *err);
/* What new issues of a project may begin with: [{"name", "text"}], its files .assay/templates/NAME.md on `main`. */
json_t *runs_template_list(struct runs *runs, const char *repository, struct err *err);

/* Files of an issue, which its agent gets beside the repository: {"name", "digest", "bytes", "author", "time_ms"}. The same again is the same one;
 * another of that name is ERR_CONFLICT. */
#define RUNS_ATTACHMENT_BYTES_MAX ((size_t)8 << 20)
#define RUNS_ATTACHMENTS_BYTES_MAX ((int64_t)32 << 20)
#define RUNS_ATTACHMENTS_MAX 16
#define RUNS_ATTACHMENT_NAME_MAX 120
json_t *runs_attachment_add(struct runs *runs, int64_t number, const char *name, const char *author, struct view bytes,
			    struct err *err);
json_t *runs_attachment_list(struct runs *runs, int64_t number, struct err *err);
MUST_USE int runs_attachment_read(struct runs *runs, int64_t number, const char *name, struct buf *out, struct err *err);
MUST_USE int runs_attachment_remove(struct runs *runs, int64_t number, const char *name, struct err *err);

/* Pictures that the agent of a run took of its pages, and what verification made, the newest first: {"id", "name", "bytes", "time_ms",
 * "source": "agent" | "verify", "type"}. Who knows an id may see its picture. */
#define RUNS_PICTURE_BYTES_MAX ((size_t)4 << 20)
#define RUNS_PICTURES_BYTES_MAX ((int64_t)64 << 20)
#define RUNS_PICTURES_MAX 100
#define RUNS_PICTURE_TYPE_MAX 32
#define RUNS_RECORDING_BYTES_MAX ((size_t)32 << 20) /* of one that verification kept */
json_t *runs_picture_list(struct runs *runs, struct run_id run, struct err *err);
MUST_USE int runs_picture_read(struct runs *runs, const char *id, struct buf *out, char type[RUNS_PICTURE_TYPE_MAX],
			       struct err *err);

/* Runs. `request` is the body of POST /runs. */
json_t *runs_list(struct runs *runs, const struct list_ask *ask, struct err *err);
/* {state: how many runs are in it}; of what `ask` filters by, only the repository and the agent count. */
json_t *runs_states(struct runs *runs, const struct list_ask *ask, struct err *err);
json_t *runs_show(struct runs *runs, struct run_id id, struct err *err);
json_t *runs_start(struct runs *runs, const json_t *request, struct err *err);
MUST_USE int runs_message(struct runs *runs, struct run_id id, const char *author, const char *text, struct err *err);
MUST_USE int runs_stop(struct runs *runs, struct run_id id, struct err *err);
MUST_USE int runs_retry(struct runs *runs, struct run_id id, struct err *err);
/* A difference of its change is meant (verify/declared.h): what is verified next, and what waits for a person now, does not fail by it. The same
 * again does nothing. Undone: it blocks again, or is proposed no more. */
MUST_USE int runs_declare(struct runs *runs, struct run_id id, const char *match, const char *by, const char *because,
			  struct err *err);
MUST_USE int runs_declare_undo(struct runs *runs, struct run_id id, const char *match, const char *by, struct err *err);
#define RUNS_EVENTS_MAX 1000 /* at once */
/* Events after `after`, at most `limit`, in order; waits up to wait_ms for one when there is none. */
json_t *runs_events(struct runs *runs, struct run_id id, int64_t after, int limit, int64_t wait_ms, struct err *err);
#define RUNS_TURNS_MAX 10000 /* events of turns that are looked at */
/* What its agent did, turn by turn, the first first: [{"number", "state", "began_ms", "ended_ms"?, "model"?, "session"?, "text"?, "error"?,
 * "usage"?}], as the agent program said it. Owned by the caller. */
json_t *runs_turns(struct runs *runs, struct run_id id, struct err *err);
MUST_USE int runs_record(struct runs *runs, struct run_id id, struct buf *envelope, struct err *err);
/* The record with the same verdict in standard forms (verify/record.h, record_bundle). */
MUST_USE int runs_record_bundle(struct runs *runs, struct run_id id, struct buf *bundle, struct err *err);
json_t *runs_report(struct runs *runs, struct run_id id, struct err *err);
/* What its commits change, published or not. ERR_NOT_FOUND: nothing yet. */
MUST_USE int runs_diff(struct runs *runs, struct run_id id, struct buf *diff, struct err *err);
MUST_USE int runs_find(struct runs *runs, const char *text, struct run_id *id, struct err *err); /* id or unique prefix */

/* Agents. [{"name", "resumes", "installed": [versions], "key"?: variable, "measured"?: version, "missing"?: text}] */
json_t *runs_agent_list(struct runs *runs, struct err *err);
/* From npm, into a layer that workspaces of its runs have. `version` NULL: the measured one; `registry` NULL: npm's. {"name", "version"} */
json_t *runs_agent_install(struct runs *runs, const char *name, const char *version, const char *registry, struct progress progress,
			   struct err *err);
MUST_USE int runs_agent_remove(struct runs *runs, const char *name, const char *version, struct err *err);

/* Pull requests */
json_t *runs_pull_list(struct runs *runs, const struct list_ask *ask, struct err *err);
json_t *runs_pull_show(struct runs *runs, int64_t number, struct err *err);
MUST_USE int runs_pull_diff(struct runs *runs, int64_t number, struct buf *diff, struct err *err);
json_t *runs_pull_changes(struct runs *runs, int64_t number, struct err *err);
MUST_USE int runs_pull_review(struct runs *runs, int64_t number, const char *author, const char *kind, const char *text,
			      struct err *err);
json_t *runs_pull_merge(struct runs *runs, int64_t number, const char *author, bool force, struct err *err);
MUST_USE int runs_pull_close(struct runs *runs, int64_t number, struct err *err);

/* Rows of a kind (runs, events, issues, pulls, records), the oldest first, behind the row whose `cursor` is `after` (NULL: all). */
json_t *runs_export(struct runs *runs, const char *kind, const char *after, int64_t limit, struct err *err);

/* The whole machine's changes, for pages: {"seq", "kind": "run|environment|issue|pull", …}; as runs_events. */
json_t *runs_changes(struct runs *runs, int64_t after, int limit, int64_t wait_ms, struct err *err);
MUST_USE int runs_changes_end(struct runs *runs, int64_t *seq, struct err *err); /* of the newest change; 0: there is none */
/* Makes true what must be true whatever happened: environments have a run that goes on, claimed issues and questions too, runs hear of pull
 * requests that were merged or closed elsewhere. Each at its interval; call it every few seconds. ERR_* of the store only. */
MUST_USE int runs_reconcile(struct runs *runs, struct err *err);
/* How many are not finished, waiting ones included; and how many need a thread now. */
void runs_count(struct runs *runs, int *unfinished, int *active);

/* What its agent did last, one line, owned by the caller; NULL when nothing is known. */
char *runs_last_action(struct runs *runs, struct run_id id);

/* The tool API's verbs that need the run: what `assay-env` asks. */
/* A question to the person: {"id", "state": "open|answered|expired", "question", "asked_ms", "deadline_ms", "answer"?, "by"?, "answered_ms"?}.
 * The same question again is the same one. A message to the run answers it. */
json_t *runs_tool_ask(struct runs *runs, struct env_id env, const char *question, int64_t wait_ms, struct err *err);
json_t *runs_tool_question(struct runs *runs, struct env_id env, int64_t id, struct err *err);
/* A difference that the agent holds for meant: shown to people, who may declare it. */
MUST_USE int runs_tool_declare(struct runs *runs, struct env_id env, const char *match, const char *because, struct err *err);
json_t *runs_tool_declared(struct runs *runs, struct env_id env, struct err *err); /* by people, for verify_request.declared */
MUST_USE int runs_tool_done(struct runs *runs, struct env_id env, const char *summary, struct err *err);

/* A PNG of a page, kept with the run; the same again is the same one: {"id", "name"}. */
json_t *runs_tool_picture(struct runs *runs, struct env_id env, const char *name, struct view bytes, struct err *err);

/* What the agent's own verification came to, in which tree; `feedback` NULL: it did not fail. For the next. */
void runs_tool_verified(struct runs *runs, struct env_id env, const char *tree, const char *feedback);
/* An agent wants to end with this tree, in which something is `changed` or not: {"hold": bool, "reason"?: text}. Holds once a turn at most. */
json_t *runs_tool_gate(struct runs *runs, struct env_id env, bool changed, const char *tree, struct err *err);

/* What a model's host answered to an environment (net/messages.h, MODEL): a failure, or the first good answer after one. */
void runs_model_status(struct runs *runs, const json_t *body);

#endif
