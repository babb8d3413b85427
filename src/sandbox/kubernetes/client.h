/*
 * client: one API server. Every call blocks, may come from any thread but a loop's, and keeps the server's rules: 429 is waited out as long as it
 * says, what may be repeated is repeated after a 5xx or a lost connection (never a request that is itself wrong), 401 is answered with fresh
 * credentials once, warnings are logged, refusals are logged with their audit id. ERR_RETRY means that patience (KUBE_PATIENCE_MS) was not enough.
 *
 * Objects are made by server-side apply under one manager, without force: what somebody else owns stays theirs, and is ERR_CONFLICT.
 */
#ifndef ASSAY_SANDBOX_KUBERNETES_CLIENT_H
#define ASSAY_SANDBOX_KUBERNETES_CLIENT_H

#include "base/world.h"
#include "sandbox/kubernetes/config.h"
#include "sandbox/kubernetes/status.h"

#define KUBE_MANAGER "assay"
#define KUBE_PATIENCE_MS 30000
#define KUBE_CALL_MS 30000
#define KUBE_PAGE 500
#define KUBE_PAGES_MAX 1000
#define KUBE_LINE_BYTES_MAX ((size_t)8 << 20) /* of a watch: an object is below 3 MiB */

struct kube_client;

/* Borrows `config`; makes no connection yet. */
struct kube_client *kube_client_open(const struct kube_config *config, struct world world);
void kube_client_close(struct kube_client *client); /* no call is under way; NULL is allowed */
/* Requests sent since it was opened, repeated ones too. */
uint64_t kube_client_requests(const struct kube_client *client);

/* "/api/v1/namespaces/N/pods/NAME", from "v1" and "pods"; `space` NULL: of the cluster; `name` NULL: all of them. Owned by the caller. */
char *kube_path(const char *api_version, const char *plural, const char *space, const char *name);

void kube_pause_ms(int64_t ms); /* between looks */

struct kube_request {
	const char *method;         /* "GET", "POST", "PATCH", "DELETE" */
	const char *path;           /* with its query */
	const char *type;           /* of the body; NULL: application/json */
	const char *accept;         /* NULL: application/json */
	const json_t *body;         /* NULL: none */
	bool repeatable;            /* though it is a POST */
	struct kube_status *status; /* where to say what it was, too; NULL: not */
	char *warning;              /* 256 bytes for the first Warning, or NULL; the caller empties it */
	int64_t patience_ms;        /* 0: KUBE_PATIENCE_MS */
};
/* *answer (NULL: not wanted) is owned by the caller, NULL when the body is empty. A 2xx that is no JSON is ERR_BROKEN. */
MUST_USE int kube_ask(struct kube_client *client, const struct kube_request *request, json_t **answer, struct err *err);

MUST_USE int kube_get(struct kube_client *client, const char *path, json_t **object, struct err *err);
/* Puts an object as it should be: `path` is the object's own. Nothing changes where nothing differs. */
MUST_USE int kube_apply(struct kube_client *client, const char *path, const json_t *object, json_t **applied, struct err *err);
/* For what has no name yet, and for reviews, which store nothing (`repeatable`). */
MUST_USE int kube_create(struct kube_client *client, const char *path, const json_t *object, bool repeatable, json_t **created,
			 struct err *err);
/* `uid` (NULL: any): another object of that name stays, which is ERR_CONFLICT. Absence is ERR_NOT_FOUND. It may take its time to go. */
MUST_USE int kube_delete(struct kube_client *client, const char *path, const char *uid, struct err *err);
/* All pages. `selector`: of labels, or NULL. *items is an array, owned by the caller; `version` (64 bytes, or NULL) is where a watch goes on. */
MUST_USE int kube_list(struct kube_client *client, const char *path, const char *selector, json_t **items, char *version,
		       struct err *err);
/* A body as it comes: logs. `on_bytes` as in http/client.h; on an error what came was the error's text. 0 when `on_bytes` ended it. */
MUST_USE int kube_stream(struct kube_client *client, const char *path, bool (*on_bytes)(void *self, struct view bytes), void *self,
			 struct err *err);

/*
 * What exists, and what becomes of it: a list, then a watch, again and again, over every way in which one ends (its time, a cut, 410, a version
 * from the future, 429, 5xx). All callbacks come from the calling thread; one that returns false ends it, with 0.
 */
struct kube_watch {
	const char *path;
	const char *selector;                            /* or NULL */
	bool (*listed)(void *self, const json_t *items); /* all that exist: whatever is not among them is gone */
	bool (*changed)(void *self, enum kube_change change, const json_t *object); /* one was added, modified or deleted */
	bool (*idle)(void *self);                                                   /* at least once a second while nothing comes */
	void *self;
	unsigned lists, watches; /* how often it began: for reports */
};
/* ERR_DENIED, ERR_INVALID, ERR_NOT_FOUND: it can never go on. */
MUST_USE int kube_watch_run(struct kube_client *client, struct kube_watch *watch, struct err *err);

#endif
