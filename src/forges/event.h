/*
 * event: what a code host tells by a webhook, in one shape for all hosts. What is unknown, or is our own doing, is FORGE_EVENT_IGNORED: never
 * an error. Texts are the host's, hostile, and borrowed from `json`.
 */
#ifndef ASSAY_FORGES_EVENT_H
#define ASSAY_FORGES_EVENT_H

#include "base/json.h"

enum forge_event_kind {
	FORGE_EVENT_IGNORED,
	FORGE_EVENT_ISSUE,          /* opened, labeled, unlabeled, assigned, unassigned, closed, reopened */
	FORGE_EVENT_COMMENT,        /* created, on an issue or a pull request */
	FORGE_EVENT_REVIEW,         /* submitted */
	FORGE_EVENT_REVIEW_COMMENT, /* created */
	FORGE_EVENT_PULL,           /* opened, synchronize, closed, reopened, ready_for_review, … */
	FORGE_EVENT_PUSH,           /* a branch has a new commit, or is gone */
	FORGE_EVENT_CHECKS,         /* the host's own CI ended with a failure */
	FORGE_EVENT_AGAIN,          /* a check of ours is asked for once more */
	FORGE_EVENT_INSTALLATION,   /* what we may reach has changed */
	FORGE_EVENT_MOVED, /* the repository has another name: `title` was its own, `base` its owner's where that changed, too */
};

/* Absent texts are "", absent numbers 0. */
struct forge_event {
	enum forge_event_kind kind;
	json_t *json; /* owned: forge_event_fini */
	const char *action;
	const char *repository; /* "owner/name" */
	int64_t number;         /* of the issue or pull request */
	bool on_pull;
	const char *actor;
	bool actor_is_bot;
	const char *title;
	const char *text; /* of the issue, comment or review */
	const char *url;
	json_t *gained; /* owned, or NULL: labels as "bug" and people as "@login" that an issue has now, and had not before */
	json_t *lost;   /* the other way round */
	bool whole;     /* `gained` is all that it has: the host does not say what is new */
	const char *review_state; /* approved, changes_requested, commented */
	const char *path;
	int64_t line;
	const char *branch; /* of the pull request, or that was pushed */
	const char *target;
	const char *head;
	const char *base;
	bool merged;
	bool draft;
	bool fork;         /* the pull request comes from another repository */
	char id[40];       /* of the comment, review, CI run, or check */
	char review[40];   /* the review a comment belongs to */
	char thread[64];   /* the first comment of its thread */
	char content[200]; /* the same when it is sent anew: the inbox's second key; empty: none */
	char stream[200];  /* what order matters in: "owner/name#12" */
};

/* What every parser begins with: all texts "", the body as JSON. ERR_INVALID: it is no object. */
MUST_USE int forge_event_open(struct view body, struct forge_event *event, struct err *err);
/* What order matters in: the issue or pull request, whose number follows the sign, or the repository. */
void forge_event_stream(struct forge_event *event, char sign);
void forge_event_fini(struct forge_event *event);
/* Adds to one of the lists of labels and people; a `login` is a person. Empty names are none. */
void forge_event_list(json_t **list, const char *name, bool login);
/* Is the label in the list, or the person? Any case. */
bool forge_event_lists(const json_t *list, const char *label, const char *login);
#define AUTO_EVENT __attribute__((cleanup(forge_event_fini))) struct forge_event
const char *forge_event_name(enum forge_event_kind kind);

/* A line "/assay WORD rest" in a comment. */
enum forge_command {
	FORGE_COMMAND_NONE,
	FORGE_COMMAND_STOP,
	FORGE_COMMAND_RETRY,
	FORGE_COMMAND_VERIFY,
	FORGE_COMMAND_PREVIEW,
	FORGE_COMMAND_APPROVE,
	FORGE_COMMAND_RUN, /* "/agent …", "/assay run …": take this issue */
	FORGE_COMMAND_UNKNOWN,
};
/* The first command that begins a line outside of quotes and code; *rest is what follows it on its line (borrowed from `text`). */
enum forge_command forge_command_find(const char *text, struct view *rest);
const char *forge_command_name(enum forge_command command);

/* Does the text mention "@name" (any case), as a word of its own, outside of quotes and code? */
bool forge_mentions(const char *text, const char *name);

#endif
