/*
 * cluster: the provider of sandboxes on a cluster (sandbox/provider.h). An environment is a namespace, a room a pod, a volume a claim; programs run by the
 * link that each pod opens to us. What exists is asked of the cluster; we remember only whom we are talking to.
 *
 * What differs from a machine's provider, because a cluster is one: freezing ends the programs and keeps the volumes; after the control plane's own end
 * nothing runs on (pods stay, and what ran in them is ended when they are linked again); layers are whole trees that we keep, and volumes are copies of
 * them; programs are never root; doors are by flow (net/door.h): connections come over the links, those to the outside by a proxy that programs are told of.
 */
#ifndef ASSAY_SANDBOX_KUBERNETES_CLUSTER_H
#define ASSAY_SANDBOX_KUBERNETES_CLUSTER_H

#include "sandbox/kubernetes/manifest.h"
#include "sandbox/kubernetes/space.h"

struct kube_cluster_options {
	struct kube_site site; /* its client and owner are borrowed */
	struct kube_room_site
		rooms;         /* borrowed; `address` NULL: 127.0.0.1 and the port that is listened at; `owner` is the site's */
	struct kube_peer peer; /* borrowed; port 0: pods need no policy to reach us */
	const char *name;      /* among several; NULL: there is only one */
	const char *state_dir; /* where layers are kept, in "kubernetes"; several share it */
	const char *image;     /* of rooms that name none */
	const char *listen;    /* for pods: "0.0.0.0:7430"; port 0 takes a free one */
	struct view identity;  /* PEM: the certificate for `rooms.name`, and its key */
	int64_t claim_bytes;   /* of each volume; 0: KUBE_CLAIM_BYTES */
	int64_t sweep_ms;      /* how often doubled and expired namespaces are looked for; 0: every five minutes */
	int64_t patience_ms;   /* for a pod to be there; 0: five minutes */
	int64_t answer_ms;     /* for a pod's link to answer; 0: a minute, in which a connection may be made anew */
	int64_t aside_ms;      /* for a volume to be filled from a layer, or packed as one; 0: an hour */
};

/* For programs that ignore SIGPIPE: whoever a room's output is for may be gone. */
MUST_USE int kube_cluster_open(const struct kube_cluster_options *options, struct provider *provider, struct err *err);
/* What is on the cluster stays. */
void kube_cluster_close(struct provider provider);
int kube_cluster_port(struct provider provider); /* that is listened at */

/* For several of them (fleet.h), which share their layers: what the provider's calls do for one alone. */

/* ERR_NOT_FOUND: it says that it has not got it. */
MUST_USE int kube_cluster_find(struct provider provider, struct env_id env, struct err *err);
/* Does its API server answer? */
MUST_USE int kube_cluster_look(struct provider provider, struct err *err);
MUST_USE int kube_cluster_clone(struct provider from_provider, struct env_id from, struct provider to_provider, struct env_id to,
				const char *volume, struct err *err);
MUST_USE int kube_cluster_layer_unused(struct provider provider, const char *layer, struct err *err); /* ERR_CONFLICT: it is used */

/* Breaks all links, as a network would: for tests. */
void kube_cluster_cut(struct provider provider);

#endif
