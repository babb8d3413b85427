/*
 * status: what an answer of an API server means for the caller. Judged by status code, `reason` and `causes`, never by the message, but for one:
 * a malformed body of an apply is a 500 without a reason, which only its message tells from a server in trouble.
 */
#ifndef ASSAY_SANDBOX_KUBERNETES_STATUS_H
#define ASSAY_SANDBOX_KUBERNETES_STATUS_H

#include "base/json.h"

#define KUBE_WAIT_MAX_MS 60000 /* of a Retry-After: longer ones are shortened */

enum kube_meaning {
	KUBE_GOOD,
	KUBE_UNKNOWN_TO_SERVER, /* 401: other credentials, once */
	KUBE_FORBIDDEN,         /* RBAC, quota, admission: a person must act */
	KUBE_TERMINATING,       /* the namespace is going: another name */
	KUBE_MISSING,
	KUBE_EXISTS,
	KUBE_CHANGED,  /* another version or another uid than was meant: read again */
	KUBE_OWNED,    /* the fields belong to another manager */
	KUBE_EXPIRED,  /* 410: list again */
	KUBE_AHEAD,    /* 504: the version is from the future: list again, without it */
	KUBE_WRONG,    /* the request is: the same one fails again */
	KUBE_BUSY,     /* 429: after a while, whatever it was: nothing was done */
	KUBE_DISRUPTS, /* 429 by a PodDisruptionBudget: a state, no load */
	KUBE_TROUBLE,  /* 5xx: may have been done or not */
};

struct kube_status {
	enum kube_meaning meaning;
	unsigned code;
	int64_t wait_ms; /* that the server asks for; 0: none */
	char reason[64]; /* "" when it gives none */
	char cause[64];  /* the reason of the first cause */
	char kind[64];   /* what it is about: of a 404, what is missing */
	char message[384];
};

/* `retry_after`: that header, or NULL. The body is a Status, another object, or plain text. */
void kube_status_judge(unsigned code, const char *retry_after, struct view body, struct kube_status *status);
/* The same of an object that came within a stream. */
void kube_status_judge_object(const json_t *object, struct kube_status *status);
/* Fills err with "403 Forbidden: message"; returns -1. Not for KUBE_GOOD. */
int kube_status_err(const struct kube_status *status, struct err *err);
const char *kube_meaning_name(enum kube_meaning meaning);

/* One line of a watch. */
enum kube_change { KUBE_ADDED, KUBE_MODIFIED, KUBE_DELETED, KUBE_BOOKMARK, KUBE_ERROR };
struct kube_event {
	enum kube_change change;
	json_t *object; /* owned */
	char version[64];
};
/* ERR_BROKEN: it is none. */
MUST_USE int kube_event_parse(struct view line, struct kube_event *event, struct err *err);

#endif
