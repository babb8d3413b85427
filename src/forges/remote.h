/*
 * remote: a code host elsewhere (GitHub, GitLab, Gitea), as a place where branches, pull requests, comments, checks and deployments are
 * made and read. Stateless about runs; every write may be repeated with no further effect: each looks for what an earlier try made by its natural
 * key (a pull request: its branch; a note: its marker; a check: name and commit; a deployment: environment and commit).
 *
 * `repository` is the host's name of one ("owner/name"). Errors are sorted as in http/rest.h. All calls block; any thread.
 */
#ifndef ASSAY_FORGES_REMOTE_H
#define ASSAY_FORGES_REMOTE_H

#include "base/json.h"
#include "base/world.h"
#include "forges/event.h"
#include "http/webhook.h"

#define REMOTE_BODY_BYTES_MAX ((size_t)65000) /* of a body or a comment: GitHub takes 65536 characters */
#define REMOTE_ANNOTATIONS_MAX ((size_t)500)

/* What is told beside success or error. */
struct remote_told {
	int64_t wait_until_ms; /* with ERR_LIMIT: wall clock */
	bool refused;          /* with ERR_DENIED: the credential itself, which a person renews; not what it may not do */
	int64_t number;
	char url[512];
};

struct remote_pull {
	const char *branch;
	const char *target;
	const char *title;
	const char *body;
	const char *head; /* the commit that the branch shows */
	int64_t number;   /* when it is known already, else 0 */
	const char *run;  /* a name that stands in `body`, and in that of no other; may be NULL */
	bool draft;
};

enum remote_state { REMOTE_RUNNING, REMOTE_GOOD, REMOTE_BAD, REMOTE_UNKNOWN };

struct remote_check {
	const char *name; /* "assay" */
	const char *head;
	const char *run; /* our id of what is judged */
	const char *title;
	const char *summary; /* Markdown */
	const char *url;     /* details */
	enum remote_state state;
	const json_t *annotations; /* [{"path", "line", "level": "notice|warning|failure", "title", "message"}] or NULL */
	int64_t number;            /* of its pull request, for hosts that show a report as a note; 0: none */
	const json_t *pictures;    /* [{"name", "url"}] or NULL: for hosts that fetch what they show */
};

struct remote_deployment {
	const char *environment; /* "assay/12-fix-the-cart" */
	const char *head;
	const char *branch;
	const char *run;
	const char *url;     /* the preview */
	const char *log_url; /* the run */
	enum remote_state state;
	int64_t number; /* of its pull request, where `branch` is only what we call it; else 0 */
};

struct remote_ops {
	const char *name;
	const char *pull_sign; /* what a pull request's number follows in a text: "#", "!" */
	/* What git over HTTPS is to send as Authorization for this one repository, and where it is; never to be logged or stored. */
	int (*credential)(void *self, const char *repository, bool push, struct buf *header, struct remote_told *told,
			  struct err *err);
	/* Git was refused with what credential() gave: the next one is made anew. NULL: it would be the same again. */
	void (*credential_refused)(void *self, const char *repository, bool push);
	void (*clone_url)(void *self, const char *repository, struct buf *url);
	/* {"branch": the default one, "private": bool, "url"} */
	json_t *(*describe)(void *self, const char *repository, struct remote_told *told, struct err *err);
	/* told->number and ->url; `number` is not known and one with this head is over already: which one it is. ERR_CONFLICT: a person merged or
	 * closed it. */
	int (*pull_put)(void *self, const char *repository, const struct remote_pull *pull, struct remote_told *told,
			struct err *err);
	/* {"number", "url", "state": "open|merged|closed", "head", "branch", "target", "base", "draft", "fork", "title", "author"} */
	json_t *(*pull_get)(void *self, const char *repository, int64_t number, struct remote_told *told, struct err *err);
	int (*pull_close)(void *self, const char *repository, int64_t number, struct remote_told *told, struct err *err);
	/* The head that it must still have, or had when somebody merged it. */
	int (*pull_merge)(void *self, const char *repository, int64_t number, const char *head, struct remote_told *told,
			  struct err *err);
	/* A comment on an issue or pull request, made or edited. */
	int (*note_put)(void *self, const char *repository, bool pull, int64_t number, const char *marker, const char *body,
			struct remote_told *told, struct err *err);
	/* In a review thread, named by its first comment; where there is none, a comment. */
	int (*reply)(void *self, const char *repository, int64_t number, const char *thread, const char *marker, const char *body,
		     struct remote_told *told, struct err *err);
	/* Marks a review thread as dealt with; one that is, or is gone, stays so. NULL: this host has no such thing. */
	int (*resolve)(void *self, const char *repository, int64_t number, const char *thread, struct remote_told *told,
		       struct err *err);
	/* Brings a PNG to a pull request; *url (owned) shows it in a comment there. The same file's name again is the same picture, or another one that
	 * nobody sees. NULL: this host takes none, and fetches what a check shows. */
	int (*picture_put)(void *self, const char *repository, int64_t number, const char *file, struct view bytes, char **url,
			   struct remote_told *told, struct err *err);
	/* {"title", "body", "url", "state": "open|closed"} */
	json_t *(*issue_get)(void *self, const char *repository, int64_t number, struct remote_told *told, struct err *err);
	/* What git fetches its head by; owned by the caller. */
	char *(*pull_ref)(int64_t number);
	/* "It was seen", on a comment. */
	int (*ack)(void *self, const char *repository, const struct forge_event *event, struct remote_told *told, struct err *err);
	/* What one review says as a whole, and its comments: [{"id", "thread", "path", "line", "author", "text"}]. */
	json_t *(*review)(void *self, const char *repository, int64_t number, const char *review, struct remote_told *told,
			  struct err *err);
	int (*check_put)(void *self, const char *repository, const struct remote_check *check, struct remote_told *told,
			 struct err *err);
	int (*deployment_put)(void *self, const char *repository, const struct remote_deployment *deployment,
			      struct remote_told *told, struct err *err);
	int (*deployment_end)(void *self, const char *repository, const char *environment, struct remote_told *told,
			      struct err *err);
	/* May this person write to the repository? */
	int (*may_command)(void *self, const char *repository, const char *login, bool *may, struct remote_told *told,
			   struct err *err);
	/* What failed in a run of the host's own CI: the ends of the logs. NULL: this host has none. */
	int (*failure_read)(void *self, const char *repository, const char *id, struct buf *text, struct remote_told *told,
			    struct err *err);
	/* Asks for webhooks since then that did not arrive, again. NULL: this host cannot. */
	int (*sweep)(void *self, int64_t since_ms, int *asked, struct remote_told *told, struct err *err);
	/* What people wrote about a pull request since then, for hosts that cannot send again what did not arrive: events as their webhooks have them,
	 * [{"event": its name, "body"}]. NULL: this host can. */
	json_t *(*missed)(void *self, const char *repository, int64_t number, int64_t since_ms, struct remote_told *told,
			  struct err *err);
	/* [{"what", "state": "good|missing|wrong|unknown", "do"}]: of the connection, and of one repository when it is not NULL. */
	json_t *(*examine)(void *self, const char *repository, const char *hook_url, struct err *err);
	void (*free)(void *self);
};

struct remote {
	const struct remote_ops *ops;
	void *self;
};

/* What is said about a connection to a host; borrowed for the call. */
struct remote_options {
	const char *base;            /* where the host is; "": where its kind usually is */
	const json_t *configuration; /* objects, with what runs/connection.c lists for the kind */
	const json_t *secrets;
	struct world world;
};

#define REMOTE_DELIVERY_HEADERS_MAX 3

/* A kind of host: all that is known of it before anything is asked. */
struct remote_kind {
	const char *name;     /* "github", as a connection's kind */
	const char *name_key; /* the setting with the name that is mentioned, and that issues are assigned to */
	const char *actor;    /* how that name writes there: "%s[bot]" */
	const char *event_header;
	const char
		*delivery_headers[REMOTE_DELIVERY_HEADERS_MAX]; /* its id; the first that came. None did: what it says is its id */
	MUST_USE int (*make)(const struct remote_options *options, struct remote *remote, struct err *err);
	/* ERR_DENIED: not sent by who knows the secret, or not now. */
	MUST_USE int (*verify)(const json_t *secrets, const struct webhook_request *request, int64_t now_ms, struct err *err);
	/* What came as event `name`; ERR_INVALID: it is no JSON of this host. Pure. */
	MUST_USE int (*event_parse)(const char *name, struct view body, struct forge_event *event, struct err *err);
};

const struct remote_kind *remote_kind_find(const char *name); /* NULL: it is no code host */
/* The name that is mentioned; borrowed. */
const char *remote_kind_mention(const struct remote_kind *kind, const json_t *configuration);
/* Is this login our own? */
bool remote_kind_is_self(const struct remote_kind *kind, const json_t *configuration, const char *login);
/* webhook_verify with the secret of this name; ERR_DENIED when it is not set. */
MUST_USE int remote_webhook_verify(enum webhook_scheme scheme, const json_t *secrets, const char *key,
				   const struct webhook_request *request, int64_t now_ms, struct err *err);

/* ---- what the drivers share ---- */

/* Sets a member to a text cut to whole characters within `max` bytes. */
void remote_text_set(json_t *object, const char *key, const char *text, size_t max);
/* It is merged already, with the head `now`: is that what was to be merged? ERR_CONFLICT: no. */
MUST_USE int remote_merged_with(const char *now, const char *head, struct err *err);
/* One that is over, with this head and text: was it made of this one by an earlier try, whose answer was lost? */
bool remote_is_earlier(const struct remote_pull *pull, const char *head, const char *body);
/* A line of examine(). */
void remote_found_add(json_t *list, const char *what, const char *state, const char *todo);
/* A check as a comment, for hosts that have none: brought to its pull request, if it has one and is judged, by the host's note_put. */
MUST_USE int remote_report_put(void *self, const char *repository, const struct remote_check *check,
			       int (*note_put)(void *self, const char *repository, bool pull, int64_t number, const char *marker,
					       const char *body, struct remote_told *told, struct err *err),
			       struct remote_told *told, struct err *err);

#endif
