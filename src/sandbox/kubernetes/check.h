/*
 * check: can this cluster carry environments, and as us? First what can be asked without making anything; then, with `kube_conform`, one environment
 * of our own from its beginning to its end. Both give rows {"check": text, "ok": bool, "level": "needed" | "better", "found": text, "mend": text}.
 */
#ifndef ASSAY_SANDBOX_KUBERNETES_CHECK_H
#define ASSAY_SANDBOX_KUBERNETES_CHECK_H

#include "sandbox/kubernetes/space.h"

#define KUBE_MINOR_MIN 33 /* of version 1: native sidecars */

/* What we do, and so must be allowed to: exactly what deploy/kubernetes/clusterrole.yaml grants. Ends with a NULL. */
struct kube_need {
	const char *group, *resource; /* "" is the core; "pods/log" is a part of a resource */
	const char *verb;
};
extern const struct kube_need kube_needs[];
/* What a site with a snapshot_class needs besides: deploy/kubernetes/snapshots.yaml. */
extern const struct kube_need kube_snapshot_needs[];

/* Owned by the caller; what could not be asked is a row, too. */
json_t *kube_check(const struct kube_site *site);
/* Makes an environment, pods of `image` (which must have sh, nc and sleep) in it, proves that its walls hold, and removes it. `row` (or NULL) sees each
 * row at once. Owned by the caller. */
json_t *kube_conform(const struct kube_site *site, const char *image, int64_t patience_ms, void (*row)(const json_t *row));

#endif
