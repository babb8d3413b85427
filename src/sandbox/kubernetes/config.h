/*
 * config: which cluster, and as whom: a kubeconfig (or a list of them, merged as kubectl does), or what a pod finds of its own cluster.
 *
 * It is checked when it is read: what is not supported is refused with a text that says what to use instead, and what is missing is named by
 * file, line and column. A kubeconfig may name commands and files of this machine: one that comes from a tenant may do neither.
 */
#ifndef ASSAY_SANDBOX_KUBERNETES_CONFIG_H
#define ASSAY_SANDBOX_KUBERNETES_CONFIG_H

#include "base/arena.h"

#define KUBE_FILES_MAX 16 /* of a list */
#define KUBE_FILE_BYTES_MAX ((size_t)4 << 20)
#define KUBE_GROUPS_MAX 32 /* to act as, and further properties of who is acted as */
#define KUBE_ARGS_MAX 64   /* of a plugin, and variables for it */

/* A program that gives credentials (client.authentication.k8s.io). */
struct kube_exec {
	const char *command; /* NULL: there is none. A path, or a name that is looked up in PATH */
	const char *version; /* "client.authentication.k8s.io/v1" or …/v1beta1 */
	const char *hint;    /* how to install it, else NULL */
	const char *args[KUBE_ARGS_MAX + 2];
	const char *env[KUBE_ARGS_MAX + 1]; /* "NAME=VALUE", besides ours */
	bool with_cluster;                  /* it is told which cluster */
};

struct kube_pair {
	const char *name;
	const char *value;
};

/* Everything is in its arena; what is absent is NULL. */
struct kube_config {
	struct arena arena;
	const char *context;     /* its name; "in-cluster" in a pod */
	const char *server;      /* "https://host:port" and perhaps a path, no slash at its end */
	const char *server_name; /* the name that the server's certificate must have, where it is not the URL's host */
	const char *proxy;
	const char *authority;         /* PEM; NULL: the system's */
	bool unverified;               /* any certificate will do */
	const char *namespace;         /* of the context */
	const char *certificate, *key; /* PEM, both or neither */
	const char *token;
	const char *token_file; /* is read again all the time: its token goes before `token` */
	struct kube_exec exec;
	const char *as, *as_uid;                     /* whom to act as */
	struct kube_pair as_groups[KUBE_GROUPS_MAX]; /* in `value` */
	size_t as_group_count;
	struct kube_pair as_extra[KUBE_GROUPS_MAX];
	size_t as_extra_count;
};

struct kube_text {
	const char *path; /* for messages; relative paths in it are relative to its folder */
	struct view text;
};

/* Of texts that were read, in the order in which names are looked for. `context` NULL: the current one. With `tenant`, commands and files of
 * this machine are refused; else files that it names are read here. ERR_INVALID, ERR_NOT_FOUND (a context, cluster, user, file). */
struct kube_config *kube_config_parse(const struct kube_text *texts, size_t count, const char *context, bool tenant,
				      struct err *err);
/* Of a list of files, with colons between them; those that are not there are passed over, unless none is. */
struct kube_config *kube_config_read(const char *files, const char *context, struct err *err);
/* Of a pod: `dir` is where its service account is mounted (NULL: /var/run/secrets/kubernetes.io/serviceaccount). ERR_NOT_FOUND: this is none. */
struct kube_config *kube_config_pod(const char *dir, struct err *err);
/* $KUBECONFIG, else that of a pod when this is one, else ~/.kube/config. */
struct kube_config *kube_config_find(const char *context, struct err *err);
void kube_config_free(struct kube_config *config); /* NULL is allowed */

#endif
