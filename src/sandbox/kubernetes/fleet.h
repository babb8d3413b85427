/*
 * fleet: several clusters as one provider of sandboxes. An environment is wholly on one of them; a new one goes to the cluster that has the fewest of ours, was
 * in no trouble lately and answers. Where one is, is written down before anything of it is made. Layers are shared: the members keep them in one folder.
 */
#ifndef ASSAY_SANDBOX_KUBERNETES_FLEET_H
#define ASSAY_SANDBOX_KUBERNETES_FLEET_H

#include "sandbox/kubernetes/cluster.h"

#define KUBE_FLEET_MAX 16

struct kube_fleet_member {
	const char *name;         /* borrowed: for people, and of its snapshots */
	struct provider provider; /* of kube_cluster_open, with the same name; it stays the caller's */
};

/* The array is copied; `state_dir` is that of the members. ERR_INVALID: they are too many, or none. */
MUST_USE int kube_fleet_open(const struct kube_fleet_member *members, size_t count, const char *state_dir, struct world world,
			     struct provider *provider, struct err *err);
void kube_fleet_close(struct provider provider); /* before its members */

#endif
