/*
 * conform: a room of ours on a cluster, from its beginning to its end: the parts of a conformance run (check.h) that need a control plane, which
 * whoever runs it is for as long.
 */
#ifndef ASSAY_SANDBOX_KUBERNETES_CONFORM_H
#define ASSAY_SANDBOX_KUBERNETES_CONFORM_H

#include "sandbox/kubernetes/cluster.h"

struct kube_conform_room {
	const struct kube_site *site; /* that the provider is at */
	struct provider provider;     /* of kube_cluster_open() */
	const char *server;           /* a URL that a room must not reach: the API server's; NULL: it is not tried */
	int64_t patience_ms;
};

/* Rows as kube_conform() gives them; its image needs sh, and curl and python3 for what is said to be left out without them. */
json_t *kube_conform_rooms(const struct kube_conform_room *trial, void (*row)(const json_t *row));

#endif
