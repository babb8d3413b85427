/*
 * event: what a tracker's webhook says, whichever tracker: a person gave work, wrote, stopped, took it away. Parsers are pure and liberal:
 * members that are absent or null, kinds and values that are new, are no errors.
 */
#ifndef ASSAY_TRACKERS_EVENT_H
#define ASSAY_TRACKERS_EVENT_H

#include "base/json.h"

#define TRACKER_KEY_MAX 160

enum tracker_event_kind {
	TRACKER_IGNORED,    /* nothing for us, or nothing we know */
	TRACKER_CREATED,    /* work is given: a session begins */
	TRACKER_PROMPTED,   /* a person wrote into the session */
	TRACKER_STOP,       /* cease at once */
	TRACKER_UNASSIGNED, /* the item is not ours any more */
	TRACKER_REVOKED,    /* the whole account took its permission back */
	TRACKER_ACCESS,     /* what we may see of it changed */
	TRACKER_COMMENT,    /* somebody wrote about an item, outside a session */
	TRACKER_ISSUE,      /* an item changed */
};

/* Texts are borrowed from `raw`, and NULL when they were not said. */
struct tracker_event {
	enum tracker_event_kind kind;
	json_t *raw;               /* owned */
	char key[TRACKER_KEY_MAX]; /* the same when it is sent anew under another delivery; "": none */
	const char *account;       /* the workspace, the site, the team */
	const char *client;        /* the application that it is for */
	const char *self;          /* who we are there */
	const char *thread;        /* the session */
	const char *item;          /* "ENG-12" */
	const char *item_id;       /* as its API wants it */
	const char *url;           /* of the session, or the item */
	const char *title;
	const char *text; /* what was written; of an item: its description */
	const char *team; /* its key */
	const char *team_id;
	const char *actor; /* an id */
	const char *actor_name;
	const char *actor_email;
	bool actor_is_self;     /* our own writes come back */
	bool only_known;        /* in a thread that is none of ours it says nothing */
	const json_t *guidance; /* [{"body"}] */
	const json_t *comments; /* [{"body"}] */
	const json_t *removed;  /* ids of teams that we may not see any more */
	struct view context;    /* of the conversation, the part that is for us */
	const char *updated;    /* of an item: when; they compare as texts */
	bool is_new;            /* of a comment: it was not only edited */
	int64_t time_ms;        /* that the sender signed; 0: none */
};

void tracker_event_fini(struct tracker_event *event);
#define AUTO_TRACKER_EVENT __attribute__((cleanup(tracker_event_fini))) struct tracker_event

/* ERR_INVALID: the body is no JSON object; whatever else it is, it is at least ignored. */
MUST_USE int linear_event_parse(struct view body, struct tracker_event *event, struct err *err);

#endif
