/*
 * thread: an outside conversation about an issue (a session of Linear), and the run that it gave work to.
 *
 * Whatever the service, a person's words come in as struct tracker_event and are acted on here, in the transaction of the inbox; what
 * happens in the run goes out as speech: an effect of the connection's kind, whose data say what is meant ({"say": …} below), not how the
 * service shows it. The outside issue is a row of the built-in tracker that names where it is from.
 *
 *	opening -> asking (which repository?) -> running -> stopped, gone        stopped -> running, opening
 *	           `------------------------------^
 */
#ifndef ASSAY_RUNS_THREAD_H
#define ASSAY_RUNS_THREAD_H

#include "runs/connection.h"
#include "runs/effect.h"
#include "trackers/event.h"

#define THREAD_CHATTER_MS ((int64_t)8000)       /* between two lines of progress */
#define THREAD_SILENCE_MS ((int64_t)600 * 1000) /* then it is said that work goes on */
#define THREAD_APPROVE "Approve once"
#define THREAD_DENY "Deny"
#define THREAD_TEXT_MAX ((size_t)16 << 10)

/* Texts are owned. */
struct thread {
	char *id;
	char *connection;
	char *kind; /* of the connection */
	char *account;
	char *thread; /* as the service names it */
	char *item;   /* "ENG-12" */
	char *item_id;
	char *url;
	char *run;
	char *state;
	char *actor;   /* who gave the work: an id of the service */
	char *request; /* {"text", "title", "guidance", "comments", "context", "by"} */
	char *asked;   /* {"repositories": [names]}: what waits for an answer */
	char *woken;   /* the operation that woke its run last */
	char *board;   /* board.h: what is to be told in one message, and what is */
	char *told;
	int64_t issue;
	int64_t said_ms;
};

void thread_fini(struct thread *thread);
#define AUTO_THREAD __attribute__((cleanup(thread_fini))) struct thread

/* ERR_NOT_FOUND: there is none. */
MUST_USE int thread_read(struct store_tx *tx, const char *id, struct thread *thread, struct err *err);
MUST_USE int thread_load(struct runs *runs, const char *id, struct thread *thread, struct err *err);

/* "t…", the same for the same session; owned. */
char *thread_id_of(const char *connection, const char *account, const char *session);
/* Acts on an event, in the inbox's transaction. */
MUST_USE int thread_take(struct runs *runs, struct store_tx *tx, const struct connection *connection,
			 const struct tracker_event *event, struct err *err);

/*
 * Puts speech, stolen: {"say": "thought|action|ask|response|error|plan|links|state|open|wake|decide|stop|end", "text"?, "action"?, "parameter"?,
 * "result"?, "ephemeral"?, "options"?: [texts], "plan"?: a run's, "links"?: [{"label", "url"}], "state"?: "started|review|failed", "author"?}.
 * `operation` names it: the same is said once.
 */
MUST_USE int thread_say_in(struct runs *runs, struct store_tx *tx, const struct thread *thread, const char *operation, bool chatter,
			   json_t *speech, struct err *err);
/* What an event of a run means for the thread that gave it, if one did. */
MUST_USE int thread_event_in(struct runs *runs, struct store_tx *tx, const char *run, int64_t seq, const char *type,
			     const json_t *data, struct err *err);

/* ---- for those who send speech: what is not the service's ---- */

/* An item as it is outside. Texts are borrowed and may be NULL. */
struct thread_item {
	const char *item;
	const char *item_id;
	const char *url;
	const char *title;
	const char *body;
	const char *team;
	const char *project;
	const json_t *labels;   /* [names] */
	const json_t *comments; /* [{"id", "author", "text"}] */
};

/* Was it stopped or taken away, so that only its end is said? */
bool thread_is_silent(const struct thread *thread, const char *say);
/* By the connection's rules, then by what it is set to, then the only one there is; *repository (owned) is NULL when none of them says. */
MUST_USE int thread_repository(struct runs *runs, const struct connection *connection, const struct thread_item *item,
			       bool defaults, char **repository, struct err *err);
/* The run begins, once; `repository` NULL: a person is asked which. */
MUST_USE int thread_begin(struct runs *runs, const char *id, const struct thread_item *item, const char *repository,
			  struct err *err);
/* A run that a person began here on an issue of outside is heard of in the issue's newest thread, if there is one. */
MUST_USE int thread_follow(struct runs *runs, int64_t issue, const char *run, struct err *err);
/* The issue's row here, and a thread of the service's that waits for its run. */
MUST_USE int thread_import(struct runs *runs, const char *connection, const char *account, const char *session, const char *url,
			   const struct thread_item *item, const char *repository, int64_t *number, struct err *err);
/* It could not begin: what is said in it next tries again. Nothing when it began. */
MUST_USE int thread_unopened_in(struct store_tx *tx, const struct thread *thread, struct err *err);
/* A run that is over goes on with what was said; once an operation. */
MUST_USE int thread_wake(struct runs *runs, const struct thread *thread, const char *operation, const json_t *speech,
			 struct err *err);
/* Its run ends at once; nothing to do when it is over. */
MUST_USE int thread_stop(struct runs *runs, const struct thread *thread, struct err *err);
/* Says that work goes on where nothing was said for long; for a reconciler. */
MUST_USE int threads_keep_alive(struct runs *runs, struct err *err);

#endif
