/*
 * space: environments as namespaces of a cluster: made, listed, removed, and swept when nobody owes them anything any more. Whatever of one exists
 * is found by its labels, never by what we remember, so a crash at any moment leaves nothing that the next call does not see. Calls block.
 */
#ifndef ASSAY_SANDBOX_KUBERNETES_SPACE_H
#define ASSAY_SANDBOX_KUBERNETES_SPACE_H

#include "sandbox/kubernetes/client.h"
#include "sandbox/kubernetes/objects.h"

struct kube_site {
	struct kube_client *client;
	struct world world;
	const char *owner; /* of this installation, the value of a label: what has another one is not ours */
	struct kube_share share;
	int64_t life_ms;            /* after which an environment may be deleted by anybody who finds it; 0: never */
	const char *snapshot_class; /* a VolumeSnapshotClass, by which databases are cloned; NULL: they are copied */
};

/* Is it a value of a label? ERR_INVALID says what one is. */
MUST_USE int kube_owner_check(const char *owner, struct err *err);

/* Makes what is missing of it: after a crash, or when it is all there, the same call again. `space` is its name then. */
MUST_USE int kube_space_make(const struct kube_site *site, struct env_id env, char space[KUBE_NAME_MAX], struct err *err);
/* Its namespace, and whether it is frozen. ERR_NOT_FOUND: there is none. */
MUST_USE int kube_space_find(const struct kube_site *site, struct env_id env, char space[KUBE_NAME_MAX], bool *frozen,
			     struct err *err);
/* Writes at its namespace, whose name is told, that it is frozen or is not. ERR_NOT_FOUND: there is none. */
MUST_USE int kube_space_freeze(const struct kube_site *site, struct env_id env, bool frozen, char space[KUBE_NAME_MAX],
			       struct err *err);
/* Asks for its end. Absence is no error. It is gone some seconds later. */
MUST_USE int kube_space_remove(const struct kube_site *site, struct env_id env, struct err *err);
/* Waits until nothing of it is left; ERR_RETRY after timeout_ms, with what holds it in the cluster's words. */
MUST_USE int kube_space_wait_gone(const struct kube_site *site, struct env_id env, int64_t timeout_ms, struct err *err);
/* [{"env", "space", "ending": bool, "frozen": bool, "why"?, "expires_ms"}] of all that have our owner; owned by the caller. */
json_t *kube_space_list(const struct kube_site *site, struct err *err);
/* Removes those that are not wanted any more, and those that expired. *removed: how many were asked to end. */
MUST_USE int kube_space_sweep(const struct kube_site *site, bool (*wanted)(void *self, struct env_id env), void *self, int *removed,
			      struct err *err);

/* As kube_object_put, for a pod: a quota that is young has no status yet, and lets nothing in until the cluster has counted; that is waited for. */
MUST_USE int kube_pod_put(const struct kube_site *site, const json_t *pod, struct err *err);
/* Waits until the pod is ready or has ended (`to_end`: until it has ended), within timeout_ms, which stands still while it is queued. ERR_INVALID: it
 * never will, with the cluster's own words, events too; ERR_RETRY: not yet. */
MUST_USE int kube_pod_wait(const struct kube_site *site, const char *space, const char *pod, bool to_end, int64_t timeout_ms,
			   struct kube_pod_state *state, struct err *err);
/* Adds what the cluster's events say of the pod, the last warnings: "; Reason: message". */
void kube_pod_events(const struct kube_site *site, const char *space, const char *pod, struct buf *out);
/* Applies an object of a kind that objects.h makes. */
MUST_USE int kube_object_put(const struct kube_site *site, const json_t *object, struct err *err);

#endif
