/*
 * manifest: what a room and a volume of an environment are on a cluster. A room is a pod with two containers: the programs' one, of any image, whose pid 1 is
 * assay-init, and before it the link as a native sidecar (sandbox/link/pod.h), which alone has the pod's token: a projected one for us as its audience,
 * of no use at the API server. A volume is a claim, and the room's manifest is kept beside it, so that a frozen environment can be thawed by whoever
 * comes. Nothing here talks to a server. All are owned by the caller.
 */
#ifndef ASSAY_SANDBOX_KUBERNETES_MANIFEST_H
#define ASSAY_SANDBOX_KUBERNETES_MANIFEST_H

#include "sandbox/kubernetes/objects.h"
#include "sandbox/provider.h"

#define KUBE_AUDIENCE "assay"
#define KUBE_NOTE_LAYERS "assay.dev/layers" /* of a claim: what it is made from, as a JSON array */
#define KUBE_NOTE_BLOCKS "assay.dev/blocks" /* of a claim: a database's, which is cloned by the cluster's storage where that can */
#define KUBE_SNAPSHOT_GROUP "snapshot.storage.k8s.io"
#define KUBE_TOKEN_SECONDS 3600 /* after which the kubelet has renewed it long since */
#define KUBE_CLAIM_BYTES ((int64_t)8 << 30)

/* Whom the pods may reach: the control plane. */
struct kube_peer {
	const char *cidr;                  /* "192.0.2.7/32", or NULL: */
	const char *space, *label, *value; /* pods of that namespace which have that label */
	int port;                          /* of that pod, or at that address */
};

struct kube_room_site {
	const char *owner;
	const char *image;                            /* Assay's own, for the link */
	const char *address;                          /* of the control plane for pods: "10.96.0.7:7430" */
	const char *name;                             /* that its certificate is for */
	const char *authority;                        /* PEM */
	const char *storage_class, *queue, *priority; /* each may be NULL: the cluster's default, none, none */
	int64_t life_ms; /* then the cluster ends a pod by itself, whoever is there to make it again; 0: never */
	bool spread;     /* environments keep away from each other's nodes where they can */
};

/* `spec->image` is an OCI reference; what a cluster cannot do is the caller's to refuse. */
json_t *kube_room_object(const struct kube_room_site *site, const char *space, const struct sandbox_spec *spec);
/* A room's manifest that was kept: its link shall come to where we are now. */
void kube_room_relink(const struct kube_room_site *site, json_t *room);
/* Where a room's manifest is kept. */
json_t *kube_room_note_object(const struct kube_room_site *site, const char *space, const char *name, const json_t *room);
struct kube_claim_spec {
	struct env_id env;
	const char *space, *volume;
	int64_t bytes;        /* 0: KUBE_CLAIM_BYTES */
	const json_t *layers; /* what it is made from: an array of names */
	bool blocks;
	const char *snapshot; /* of its namespace: what it has from the beginning; NULL: it is filled */
};
json_t *kube_claim_object(const struct kube_room_site *site, const struct kube_claim_spec *spec);
/* Lets all pods of the environment reach the peer. */
json_t *kube_link_object(const char *space, const struct kube_peer *peer);
/* The name of a room's note: "room-" and its own. */
void kube_room_note_name(char name[KUBE_NAME_MAX + 8], const char *room);

#endif
