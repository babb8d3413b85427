/* kubernetes_fixture: a scripted API server for a test (tests/kubernetes/api.mjs), which ends with the test. */
#ifndef ASSAY_TESTS_KUBERNETES_FIXTURE_H
#define ASSAY_TESTS_KUBERNETES_FIXTURE_H

#include "base/json.h"
#include "http/client.h"
#include "sandbox/kubernetes/client.h"

struct cluster {
	char *base; /* "http://127.0.0.1:PORT" */
	int pid_fd;
	int life; /* it ends when this does */
	const struct http_tls *tls;
	struct kube_config *config; /* how to reach it */
	struct kube_client *client;
};

/* `folder`: with ca.pem, server.pem and server.key, for HTTPS as `tls` says; NULL: HTTP. False, said aloud: what it needs is not there. */
bool cluster_begin(struct cluster *cluster, const char *folder, const struct http_tls *tls);
void cluster_end(struct cluster *cluster);

/* A kubeconfig of this cluster with more in its cluster and its user; ends the test when it cannot be read. Owned by the caller. */
struct kube_config *cluster_config(const struct cluster *cluster, const char *more_cluster, const char *more_user);
/* What is done there (actions of api.mjs), with a JSON object. */
void cluster_act(struct cluster *cluster, const char *what, const char *format, ...) PRINTF_LIKE(3, 4);
/* {"wrong", "log", "requests", "objects": [{"path", "object"}], "watches"}; owned. */
json_t *cluster_state(struct cluster *cluster);
/* How many objects there are whose path ("/pods/NAMESPACE/NAME", "GROUP/PLURAL/…") begins with this. */
size_t cluster_count(struct cluster *cluster, const char *prefix);
/* Fails the test with what was wrong in what it was asked, by the official description of the API. */
void cluster_unwrong(struct cluster *cluster);

#endif
