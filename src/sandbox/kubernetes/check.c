/* What a cluster lets us do, and whether what it says holds. */
#include "sandbox/kubernetes/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/scope.h"
#include "sandbox/kubernetes/manifest.h"

#define ROLE "kubectl apply -f deploy/kubernetes/clusterrole.yaml, and bind it to us"
#define SNAPSHOT_ROLE "kubectl apply -f deploy/kubernetes/snapshots.yaml, or do without kubernetes-snapshot-class"
#define LOG_BYTES_MAX ((size_t)64 << 10)
#define WORD "assay-conformance"
#define SERVE_PORT 8080
#define QUOTA_TRIES 20

/* clang-format off */
const struct kube_need kube_needs[] = {
	{"", "namespaces", "create"}, {"", "namespaces", "patch"}, {"", "namespaces", "list"}, {"", "namespaces", "delete"},
	{"", "resourcequotas", "create"}, {"", "resourcequotas", "patch"},
	{"", "limitranges", "create"}, {"", "limitranges", "patch"},
	{"", "serviceaccounts", "create"}, {"", "serviceaccounts", "patch"},
	{"", "pods", "create"}, {"", "pods", "patch"}, {"", "pods", "list"}, {"", "pods", "watch"}, {"", "pods", "delete"},
	{"", "configmaps", "create"}, {"", "configmaps", "patch"}, {"", "configmaps", "list"}, {"", "configmaps", "delete"},
	{"", "persistentvolumeclaims", "create"}, {"", "persistentvolumeclaims", "patch"}, {"", "persistentvolumeclaims", "list"},
	{"", "persistentvolumeclaims", "delete"}, {"authentication.k8s.io", "tokenreviews", "create"},
	{"", "pods/log", "get"},
	{"", "events", "list"},
	{"networking.k8s.io", "networkpolicies", "create"}, {"networking.k8s.io", "networkpolicies", "patch"},
	{NULL, NULL, NULL},
};
const struct kube_need kube_snapshot_needs[] = {
	{KUBE_SNAPSHOT_GROUP, "volumesnapshots", "create"}, {KUBE_SNAPSHOT_GROUP, "volumesnapshots", "get"},
	{KUBE_SNAPSHOT_GROUP, "volumesnapshots", "delete"},
	{KUBE_SNAPSHOT_GROUP, "volumesnapshotcontents", "create"}, {KUBE_SNAPSHOT_GROUP, "volumesnapshotcontents", "patch"},
	{KUBE_SNAPSHOT_GROUP, "volumesnapshotcontents", "list"}, {KUBE_SNAPSHOT_GROUP, "volumesnapshotcontents", "delete"},
	{NULL, NULL, NULL},
};
/* clang-format on */

struct rows {
	json_t *list;
	void (*row)(const json_t *row);
	bool broken; /* a needed one is not ok */
};

static void row_add(struct rows *rows, const char *check, bool ok, const char *level, const char *found, const char *mend)
{
	json_t *row = json_pack("{s:s, s:b, s:s, s:s, s:s}", "check", check, "ok", ok, "level", level, "found", found, "mend",
				ok ? "" : mend);

	if (!row) /* the cluster's words are no UTF-8 */
		row = json_pack("{s:s, s:b, s:s, s:s, s:s}", "check", check, "ok", ok, "level", level, "found", "", "mend", mend);
	rows->broken = rows->broken || (!ok && strcmp(level, "needed") == 0);
	(void)json_array_append_new(rows->list, row);
	if (rows->row)
		rows->row(row);
}

/* ---- what can be asked ---- */

static bool version_check(const struct kube_site *site, struct rows *rows)
{
	AUTO_JSON version = NULL;
	struct err err = {0};
	uint64_t minor = 0;
	const char *text;
	char digits[8];
	bool good;

	if (kube_get(site->client, "/version", &version, &err)) {
		row_add(rows, "API server", false, "needed", err.text, "see that its address is right and that it runs");
		return false;
	}
	text = json_text(version, "minor", ""); /* "35", and of some clouds "35+" */
	(void)snprintf(digits, sizeof(digits), "%.*s", (int)strspn(text, "0123456789"), text);
	good = strcmp(json_text(version, "major", ""), "1") == 0 && view_to_u64(view_of(digits), &minor) && minor >= KUBE_MINOR_MIN;
	row_add(rows, "API server", good, "needed", json_text(version, "gitVersion", "of no version"),
		"Kubernetes 1.33 or later is needed: native sidecars");
	return true;
}

static void self_check(const struct kube_site *site, struct rows *rows)
{
	AUTO_JSON review = json_pack("{s:s, s:s}", "apiVersion", "authentication.k8s.io/v1", "kind", "SelfSubjectReview");
	AUTO_JSON answer = NULL;
	struct err err = {0};

	if (kube_create(site->client, "/apis/authentication.k8s.io/v1/selfsubjectreviews", review, true, &answer, &err))
		row_add(rows, "who we are", false, "better", err.text, "the cluster should know us");
	else
		row_add(rows, "who we are", true, "better",
			json_text(json_member(json_member(answer, "status"), "userInfo"), "username", "nobody"), "");
}

static int need_ask(const struct kube_site *site, const struct kube_need *need, bool *allowed, struct err *err)
{
	const char *slash = strchr(need->resource, '/');
	AUTO_FREE char *resource = view_copy(
		view_make(need->resource, slash ? (size_t)(slash - need->resource) : strlen(need->resource)));
	AUTO_JSON review = json_pack("{s:s, s:s, s:{s:{s:s, s:s, s:s, s:s}}}", "apiVersion", "authorization.k8s.io/v1", "kind",
				     "SelfSubjectAccessReview", "spec", "resourceAttributes", "group", need->group, "resource",
				     resource, "subresource", slash ? slash + 1 : "", "verb", need->verb);
	AUTO_JSON answer = NULL;

	if (kube_create(site->client, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review, true, &answer, err))
		return -1;
	*allowed = json_flag(json_member(answer, "status"), "allowed", false);
	return 0;
}

/* Those of a list that are lacking; how many were asked, or -1. */
static int needs_ask(const struct kube_site *site, const struct kube_need *needs, struct buf *lacks, struct err *err)
{
	int count = 0;

	for (const struct kube_need *need = needs; need->verb; need++, count++) {
		bool allowed;

		if (need_ask(site, need, &allowed, err))
			return -1;
		if (!allowed)
			buf_add_format(lacks, "%s%s %s%s%s", lacks->length ? ", " : "may not ", need->verb, need->resource,
				       need->group[0] ? "." : "", need->group);
	}
	return count;
}

static void needs_check(const struct kube_site *site, const char *check, const struct kube_need *needs, const char *mend,
			struct rows *rows)
{
	AUTO_BUF lacks = buf_new(2048);
	struct err err = {0};
	int count = needs_ask(site, needs, &lacks, &err);
	char found[32];

	(void)snprintf(found, sizeof(found), "all of %d verbs", count);
	if (count < 0)
		row_add(rows, check, false, "needed", err.text, "see who we are, and try again");
	else
		row_add(rows, check, !lacks.length, "needed", lacks.length ? lacks.at : found, mend);
}

static void groups_check(const struct kube_site *site, struct rows *rows)
{
	static const struct {
		const char *group, *check, *without;
	} groups[] = {
		{"snapshot.storage.k8s.io", "volume snapshots", "databases will be copied"},
		{"gateway.networking.k8s.io", "Gateway API", "previews will go through our own proxy"},
		{"kueue.x-k8s.io", "Kueue", "pods will not be queued"},
		{"agents.x-k8s.io", "agent sandboxes", "workspaces will be plain pods"},
	};
	const struct kube_request request = {
		.method = "GET", .path = "/apis", .accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"};
	AUTO_JSON answer = NULL;
	struct err err = {0};

	if (kube_ask(site->client, &request, &answer, &err)) {
		row_add(rows, "what is installed", false, "better", err.text, "discovery should be allowed");
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(groups); i++) {
		bool there = false;
		size_t index;
		json_t *group;

		json_array_foreach(json_member(answer, "items"), index, group)
			there = there || strcmp(json_text(json_member(group, "metadata"), "name", ""), groups[i].group) == 0;
		row_add(rows, groups[i].check, there, "better", there ? groups[i].group : "not installed", groups[i].without);
	}
}

json_t *kube_check(const struct kube_site *site)
{
	struct rows rows = {.list = json_array()};

	if (version_check(site, &rows)) {
		self_check(site, &rows);
		needs_check(site, "what we may do", kube_needs, ROLE, &rows);
		if (site->snapshot_class)
			needs_check(site, "what we may do for snapshots", kube_snapshot_needs, SNAPSHOT_ROLE, &rows);
		groups_check(site, &rows);
	}
	return rows.list;
}

/* ---- one environment from its beginning to its end ---- */

struct trial {
	const struct kube_site *site;
	const char *image;
	int64_t patience_ms;
	struct env_id env;
	char space[KUBE_NAME_MAX];
	struct rows rows;
};

/* A row of something that went well or not; true when it did. */
static bool did(struct trial *trial, const char *check, int failed, const struct err *err, const char *found)
{
	row_add(&trial->rows, check, !failed, "needed", failed ? err->text : found, "see what the cluster says");
	return !failed;
}

static int pod_make(struct trial *trial, const char *name, const char *script, bool sidecar, bool serves, struct err *err)
{
	const char *const argv[] = {"sh", "-c", script, NULL};
	const char *const stay[] = {"sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1; done", NULL};
	const struct kube_container beside = {.name = "gateway", .image = trial->image, .argv = stay};
	const struct kube_pod_spec spec = {.space = trial->space,
					   .name = name,
					   .main = {"main", trial->image, argv, serves ? SERVE_PORT : 0},
					   .sidecar = sidecar ? &beside : NULL,
					   .deadline_s = 900};
	AUTO_JSON pod = kube_pod_object(&spec);

	return kube_pod_put(trial->site, pod, err);
}

static bool log_add(void *self, struct view bytes)
{
	buf_add_view(self, bytes);
	return true;
}

static int logs_look(struct trial *trial, struct err *err)
{
	AUTO_FREE char *pod = kube_path("v1", "pods", trial->space, "inside");
	AUTO_FREE char *path = text_format("%s/log?container=main&tailLines=10", pod);
	AUTO_BUF text = buf_new(LOG_BYTES_MAX);

	if (kube_stream(trial->site->client, path, log_add, &text, err))
		return -1;
	return view_find(buf_view(&text), VIEW(WORD)) >= 0 ? 0 : err_set(err, ERR_BROKEN, "what the pod printed is not in its log");
}

/* A pod that ends with this code: how it tells us what it saw. */
static int visitor_ends(struct trial *trial, const char *name, const char *script, int wanted, struct err *err)
{
	struct kube_pod_state state = {0};

	if (pod_make(trial, name, script, false, false, err) ||
	    kube_pod_wait(trial->site, trial->space, name, true, trial->patience_ms, &state, err))
		return -1;
	return state.exit_code == wanted ? 0
					 : err_set(err, ERR_BROKEN, "the visitor ended with %d, not %d", state.exit_code, wanted);
}

static bool inside_check(struct trial *trial)
{
	struct kube_pod_state state = {0};
	struct err err = {0};
	int failed = pod_make(trial, "inside", "echo " WORD "; while :; do echo hello | nc -l -p 8080; done", true, true, &err) ||
		     kube_pod_wait(trial->site, trial->space, "inside", false, trial->patience_ms, &state, &err);

	if (!failed && state.phase != KUBE_POD_READY)
		failed = err_set(&err, ERR_BROKEN, "the pod ended: %d %s", state.exit_code, state.why);
	return did(trial, "a pod with a sidecar becomes ready", failed, &err, "it did");
}

/* Pods as they must not be: who lets them in has no walls. */
static void refusals_check(struct trial *trial)
{
	static const char *const argv[] = {"sh", NULL};
	const struct kube_pod_spec spec = {.space = trial->space, .name = "rude", .main = {"main", trial->image, argv, 0}};
	AUTO_JSON pod = kube_pod_object(&spec);
	struct err err = {0};
	bool refused;

	(void)json_object_set_new(json_object_get(pod, "spec"), "hostNetwork", json_true());
	/* By that admission: one that may not make pods at all is refused, too. */
	refused = kube_object_put(trial->site, pod, &err) && err.kind == ERR_DENIED && strstr(err.text, "PodSecurity");
	row_add(&trial->rows, "a pod that breaks Pod Security is refused", refused, "needed",
		refused    ? "it was"
		: err.kind ? err.text
			   : "it was let in",
		"turn PodSecurity admission on");
}

/* The cluster takes a moment to count by a quota that was changed: some get in before. */
static bool is_over(struct trial *trial, struct err *err)
{
	for (int i = 0; i < QUOTA_TRIES; i++) {
		const struct timespec pause = {.tv_nsec = 500000000};
		char name[32];

		(void)snprintf(name, sizeof(name), "much-%d", i);
		*err = (struct err){0};
		if (pod_make(trial, name, "sleep 600", false, false, err))
			return strstr(err->text, "exceeded quota");
		(void)nanosleep(&pause, NULL);
	}
	return false;
}

static void quota_check(struct trial *trial)
{
	const struct kube_share one = {.pods = 1};
	AUTO_JSON tight = kube_quota_object(trial->space, &one);
	AUTO_JSON wide = kube_quota_object(trial->space, &trial->site->share);
	struct err err = {0};
	bool refused = kube_object_put(trial->site, tight, &err) == 0 && is_over(trial, &err);
	const char *words = strstr(err.text, "exceeded quota");

	row_add(&trial->rows, "what is over the quota is refused", refused, "needed",
		words      ? words
		: err.kind ? err.text
			   : "it was let in",
		"turn ResourceQuota admission on");
	if (kube_object_put(trial->site, wide, &err))
		row_add(&trial->rows, "the quota can be changed", false, "needed", err.text, "see what the cluster says");
}

/* The visitor tries for a while, since a policy takes a moment to be in force. */
#define REACH "for i in 1 2 3 4 5 6 7 8 9 10; do nc -w 2 \"$0\" 8080 </dev/null && exit 0; sleep 1; done; exit 7"

static char *visit_line(const char *address)
{
	return text_format("exec sh -c '%s' %s", REACH, address);
}

static int address_find(struct trial *trial, char *address, size_t size, struct err *err)
{
	AUTO_FREE char *path = kube_path("v1", "pods", trial->space, NULL);
	AUTO_JSON pods = NULL;
	size_t index;
	json_t *pod;

	address[0] = '\0';
	if (kube_list(trial->site->client, path, KUBE_LABEL_POD "=inside", &pods, NULL, err))
		return -1;
	json_array_foreach(pods, index, pod)
		(void)snprintf(address, size, "%s", json_text(json_member(pod, "status"), "podIP", ""));
	if (!address[0] || address[strspn(address, "0123456789abcdefABCDEF.:")])
		return err_set(err, ERR_BROKEN, "the pod has no address");
	return 0;
}

static void walls_check(struct trial *trial)
{
	AUTO_JSON allow = kube_allow_object(trial->space, "friend", "inside", SERVE_PORT);
	AUTO_FREE char *line = NULL;
	char address[64];
	struct err err = {0};

	if (address_find(trial, address, sizeof(address), &err)) {
		(void)did(trial, "NetworkPolicy keeps a pod out", -1, &err, "");
		return;
	}
	line = visit_line(address);
	(void)did(trial, "NetworkPolicy keeps a pod out", visitor_ends(trial, "stranger", line, 7, &err), &err, "blocked");
	(void)did(trial, "NetworkPolicy lets a pod in that may",
		  kube_object_put(trial->site, allow, &err) || visitor_ends(trial, "friend", line, 0, &err), &err, "reached");
}

json_t *kube_conform(const struct kube_site *site, const char *image, int64_t patience_ms, void (*row)(const json_t *row))
{
	struct trial trial = {.site = site,
			      .image = image,
			      .patience_ms = patience_ms,
			      .env = env_id_new(site->world),
			      .rows = {.list = json_array(), .row = row}};
	struct err err = {0};

	if (did(&trial, "an environment's namespace", kube_space_make(site, trial.env, trial.space, &err), &err, trial.space) &&
	    inside_check(&trial)) {
		(void)did(&trial, "its log", logs_look(&trial, &err), &err, "what it printed");
		refusals_check(&trial);
		walls_check(&trial);
		quota_check(&trial);
	}
	(void)did(&trial, "nothing is left of it",
		  kube_space_remove(site, trial.env, &err) || kube_space_wait_gone(site, trial.env, patience_ms, &err), &err,
		  "gone");
	return trial.rows.list;
}
