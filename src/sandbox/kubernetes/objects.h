/*
 * objects: what an environment is on a cluster, as the JSON of server-side apply, and what a pod's state means. A namespace with everything that
 * keeps it in: Pod Security `restricted`, a quota, limits for whoever states none, no way in or out until a policy opens one, an account without a
 * token. Pods are made directly: a Deployment that breaks a rule is accepted and never gets any. Nothing here talks to a server.
 */
#ifndef ASSAY_SANDBOX_KUBERNETES_OBJECTS_H
#define ASSAY_SANDBOX_KUBERNETES_OBJECTS_H

#include "base/json.h"
#include "base/world.h"

#define KUBE_LABEL_ENVIRONMENT "assay.dev/environment"
#define KUBE_LABEL_OWNER "assay.dev/owner"
#define KUBE_LABEL_POD "assay.dev/pod"
#define KUBE_NOTE_EXPIRES "assay.dev/expires"
#define KUBE_NOTE_FROZEN "assay.dev/frozen" /* of a namespace: its pods are away, by our will */
#define KUBE_ACCOUNT "assay"
#define KUBE_NAME_MAX 64
#define KUBE_ARGV_MAX 64
#define KUBE_USER 1000 /* and group: of every program */

/* What one environment may have at most. 0: the default, in brackets. */
struct kube_share {
	int pods;              /* [40] */
	int cpu_percent;       /* of all its pods: 100 is one core [800] */
	int64_t memory_bytes;  /* [16 GiB] */
	int64_t storage_bytes; /* [64 GiB] */
};

/* The namespace's name: "assay-", the environment, "-", a nonce, since one that was deleted takes its time to go. */
void kube_space_name(char name[KUBE_NAME_MAX], struct env_id env, struct world world);

/* All are owned by the caller. `expires_ms`: after which anybody may delete it, by the wall clock; 0: never. */
json_t *kube_space_object(const char *space, struct env_id env, const char *owner, int64_t expires_ms, bool frozen);
json_t *kube_quota_object(const char *space, const struct kube_share *share);
json_t *kube_limits_object(const char *space);
json_t *kube_account_object(const char *space);
json_t *kube_deny_object(const char *space);
/* Lets `from` reach that port of `to` (both are names of pods), and nothing else. */
json_t *kube_allow_object(const char *space, const char *from, const char *to, int port);

/* A container; argv ends with NULL. */
struct kube_container {
	const char *name;
	const char *image;
	const char *const *argv;
	int ready_port; /* it is ready when it accepts there; 0: when it has begun */
};

struct kube_pod_spec {
	const char *space, *name;
	struct kube_container main;
	const struct kube_container *sidecar; /* starts before it, is ready before it, ends after it; NULL: none */
	const char *queue;                    /* of Kueue, or NULL */
	int deadline_s;                       /* the kubelet ends it then, whatever has become of us; 0: never */
};
json_t *kube_pod_object(const struct kube_pod_spec *spec);

enum kube_pod_phase {
	KUBE_POD_WAITS,  /* for a node, an image, its containers */
	KUBE_POD_QUEUED, /* held back on purpose: no timeout runs */
	KUBE_POD_READY,
	KUBE_POD_ENDED,  /* by itself: `exit_code` */
	KUBE_POD_FAILED, /* it will not become ready: `why` */
};
struct kube_pod_state {
	enum kube_pod_phase phase;
	int exit_code; /* of the main container, when it ended */
	char why[256]; /* in the cluster's own words, else empty */
};
void kube_pod_judge(const json_t *pod, struct kube_pod_state *state);

/* Of an object's metadata: "" when it is not there. */
const char *kube_meta_text(const json_t *object, const char *key);
/* Why a namespace is still there, in the words of its conditions; empty when it says nothing. */
void kube_space_why(const json_t *space, char *why, size_t size);
bool kube_space_is_frozen(const json_t *space);
/* 0 when absent or not of the form that we write. */
int64_t kube_space_expires_ms(const json_t *space);

#endif
