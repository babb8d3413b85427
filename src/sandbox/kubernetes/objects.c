/* Manifests, and what becomes of them. */
#include "sandbox/kubernetes/objects.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/scope.h"

#define PODS_DEFAULT 40
#define CPU_DEFAULT 800
#define MEMORY_DEFAULT ((int64_t)16 << 30)
#define STORAGE_DEFAULT ((int64_t)64 << 30)
#define SECURITY "pod-security.kubernetes.io/"

void kube_space_name(char name[KUBE_NAME_MAX], struct env_id env, struct world world)
{
	static const char digits[] = "0123456789abcdefghijklmnopqrstuv";
	unsigned char random[6];
	char nonce[sizeof(random) + 1];

	world_random(world, random, sizeof(random));
	for (size_t i = 0; i < sizeof(random); i++)
		nonce[i] = digits[random[i] % 32];
	nonce[sizeof(random)] = '\0';
	(void)snprintf(name, KUBE_NAME_MAX, "assay-%s-%s", env.text, nonce);
}

const char *kube_meta_text(const json_t *object, const char *key)
{
	return json_text(json_member(object, "metadata"), key, "");
}

static json_t *meta_of(const char *space, const char *name)
{
	return space ? json_pack("{s:s, s:s, s:{s:s}}", "name", name, "namespace", space, "labels", "app.kubernetes.io/managed-by",
				 "assay")
		     : json_pack("{s:s, s:{s:s}}", "name", name, "labels", "app.kubernetes.io/managed-by", "assay");
}

static json_t *object_of(const char *version, const char *kind, const char *space, const char *name)
{
	return json_pack("{s:s, s:s, s:o}", "apiVersion", version, "kind", kind, "metadata", meta_of(space, name));
}

static void set(json_t *object, const char *key, json_t *value)
{
	(void)json_object_set_new(object, key, value);
}

static json_t *seconds_text(int64_t time_ms)
{
	time_t seconds = (time_t)(time_ms / 1000);
	struct tm broken;
	char text[32];

	(void)gmtime_r(&seconds, &broken);
	(void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &broken);
	return json_string(text);
}

json_t *kube_space_object(const char *space, struct env_id env, const char *owner, int64_t expires_ms, bool frozen)
{
	static const char *const restricted[] = {SECURITY "enforce", SECURITY "warn", SECURITY "audit"};
	json_t *object = object_of("v1", "Namespace", NULL, space);
	json_t *meta = json_object_get(object, "metadata");
	json_t *labels = json_object_get(meta, "labels");

	set(labels, KUBE_LABEL_ENVIRONMENT, json_string(env.text));
	set(labels, KUBE_LABEL_OWNER, json_string(owner));
	for (size_t i = 0; i < ARRAY_LEN(restricted); i++)
		set(labels, restricted[i], json_string("restricted"));
	set(labels, SECURITY "enforce-version", json_string("latest"));
	if (expires_ms || frozen)
		set(meta, "annotations", json_object());
	if (expires_ms)
		set(json_object_get(meta, "annotations"), KUBE_NOTE_EXPIRES, seconds_text(expires_ms));
	if (frozen)
		set(json_object_get(meta, "annotations"), KUBE_NOTE_FROZEN, json_string("true"));
	return object;
}

/* ---- what keeps it in ---- */

static json_t *number_text(int64_t number, const char *unit)
{
	char text[40];

	(void)snprintf(text, sizeof(text), "%lld%s", (long long)number, unit);
	return json_string(text);
}

json_t *kube_quota_object(const char *space, const struct kube_share *share)
{
	json_t *object = object_of("v1", "ResourceQuota", space, "assay");
	json_t *hard = json_object();
	int64_t cpu = (share->cpu_percent ? share->cpu_percent : CPU_DEFAULT) * (int64_t)10;
	int64_t memory = share->memory_bytes ? share->memory_bytes : MEMORY_DEFAULT;

	set(hard, "pods", number_text(share->pods ? share->pods : PODS_DEFAULT, ""));
	set(hard, "limits.cpu", number_text(cpu, "m"));
	set(hard, "requests.cpu", number_text(cpu, "m"));
	set(hard, "limits.memory", number_text(memory, ""));
	set(hard, "requests.memory", number_text(memory, ""));
	set(hard, "requests.storage", number_text(share->storage_bytes ? share->storage_bytes : STORAGE_DEFAULT, ""));
	set(hard, "services.nodeports", json_string("0"));
	set(hard, "services.loadbalancers", json_string("0"));
	set(object, "spec", json_pack("{s:o}", "hard", hard));
	return object;
}

json_t *kube_limits_object(const char *space)
{
	json_t *object = object_of("v1", "LimitRange", space, "assay");

	set(object, "spec",
	    json_pack("{s:[{s:s, s:{s:s, s:s}, s:{s:s, s:s}}]}", "limits", "type", "Container", "default", "cpu", "1", "memory",
		      "512Mi", "defaultRequest", "cpu", "50m", "memory", "64Mi"));
	return object;
}

json_t *kube_account_object(const char *space)
{
	json_t *object = object_of("v1", "ServiceAccount", space, KUBE_ACCOUNT);

	set(object, "automountServiceAccountToken", json_false());
	return object;
}

json_t *kube_deny_object(const char *space)
{
	json_t *object = object_of("networking.k8s.io/v1", "NetworkPolicy", space, "assay-deny");

	set(object, "spec", json_pack("{s:{}, s:[s, s]}", "podSelector", "policyTypes", "Ingress", "Egress"));
	return object;
}

static json_t *pod_selector(const char *pod)
{
	return json_pack("{s:{s:s}}", "matchLabels", KUBE_LABEL_POD, pod);
}

/* Both sides must let it: the policy selects both, and each of its rules is met by one of them. Ports are those of the pod. */
json_t *kube_allow_object(const char *space, const char *from, const char *to, int port)
{
	AUTO_FREE char *name = text_format("assay-%s-to-%s", from, to);
	json_t *object = object_of("networking.k8s.io/v1", "NetworkPolicy", space, name);
	json_t *ports = json_pack("[{s:s, s:i}]", "protocol", "TCP", "port", port);

	set(object, "spec",
	    json_pack("{s:{s:[{s:s, s:s, s:[s, s]}]}, s:[s, s], s:[{s:[{s:o}], s:O}], s:[{s:[{s:o}], s:o}]}", "podSelector",
		      "matchExpressions", "key", KUBE_LABEL_POD, "operator", "In", "values", from, to, "policyTypes", "Ingress",
		      "Egress", "ingress", "from", "podSelector", pod_selector(from), "ports", ports, "egress", "to", "podSelector",
		      pod_selector(to), "ports", ports));
	return object;
}

/* ---- pods ---- */

static json_t *container_of(const struct kube_container *spec)
{
	json_t *container = json_pack("{s:s, s:s, s:{s:b, s:b, s:{s:[s]}}}", "name", spec->name, "image", spec->image,
				      "securityContext", "allowPrivilegeEscalation", 0, "privileged", 0, "capabilities", "drop",
				      "ALL");
	json_t *command = json_array();

	for (size_t i = 0; spec->argv && spec->argv[i] && i < KUBE_ARGV_MAX; i++)
		(void)json_array_append_new(command, json_string(spec->argv[i]));
	if (json_array_size(command))
		set(container, "command", json_incref(command));
	json_decref(command);
	return container;
}

static json_t *probe_of(int port)
{
	return json_pack("{s:{s:i}, s:i, s:i}", "tcpSocket", "port", port, "periodSeconds", 1, "failureThreshold", 120);
}

json_t *kube_pod_object(const struct kube_pod_spec *spec)
{
	json_t *object = object_of("v1", "Pod", spec->space, spec->name);
	json_t *labels = json_object_get(json_object_get(object, "metadata"), "labels");
	json_t *main = container_of(&spec->main);
	json_t *pod = json_pack("{s:s, s:b, s:b, s:s, s:i, s:{s:b, s:i, s:i, s:i, s:{s:s}}}", "serviceAccountName", KUBE_ACCOUNT,
				"automountServiceAccountToken", 0, "enableServiceLinks", 0, "restartPolicy", "Never",
				"terminationGracePeriodSeconds", 1, "securityContext", "runAsNonRoot", 1, "runAsUser", KUBE_USER,
				"runAsGroup", KUBE_USER, "fsGroup", KUBE_USER, "seccompProfile", "type", "RuntimeDefault");

	set(labels, KUBE_LABEL_POD, json_string(spec->name));
	if (spec->queue)
		set(labels, "kueue.x-k8s.io/queue-name", json_string(spec->queue));
	if (spec->deadline_s)
		set(pod, "activeDeadlineSeconds", json_integer(spec->deadline_s));
	if (spec->main.ready_port)
		set(main, "readinessProbe", probe_of(spec->main.ready_port));
	set(pod, "containers", json_pack("[o]", main));
	if (spec->sidecar) { /* a native one: an init container that stays */
		json_t *sidecar = container_of(spec->sidecar);

		set(sidecar, "restartPolicy", json_string("Always"));
		if (spec->sidecar->ready_port)
			set(sidecar, "startupProbe", probe_of(spec->sidecar->ready_port));
		set(pod, "initContainers", json_pack("[o]", sidecar));
	}
	set(object, "spec", pod);
	return object;
}

/* ---- what becomes of them ---- */

static const json_t *condition_find(const json_t *status, const char *type)
{
	size_t index;
	json_t *condition;

	json_array_foreach(json_member(status, "conditions"), index, condition)
		if (strcmp(json_text(condition, "type", ""), type) == 0)
			return condition;
	return NULL;
}

/* What a container waits for, or how it ended, when that means that it will not go on. */
static bool container_fails(const json_t *container, struct kube_pod_state *state)
{
	static const char *const hopeless[] = {
		"ErrImagePull",         "ImagePullBackOff",  "InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError",
		"CreateContainerError", "RunContainerError", "CrashLoopBackOff"};
	const json_t *waiting = json_member(json_member(container, "state"), "waiting");
	const char *reason = json_text(waiting, "reason", "");

	for (size_t i = 0; i < ARRAY_LEN(hopeless); i++)
		if (strcmp(reason, hopeless[i]) == 0) {
			(void)snprintf(state->why, sizeof(state->why), "%s: %s: %s", json_text(container, "name", "?"), reason,
				       json_text(waiting, "message", ""));
			return true;
		}
	return false;
}

static bool any_fails(const json_t *status, const char *list, struct kube_pod_state *state)
{
	size_t index;
	json_t *container;

	json_array_foreach(json_member(status, list), index, container)
		if (container_fails(container, state))
			return true;
	return false;
}

/* OOMKilled, DeadlineExceeded, Evicted: said of the pod or of its container. */
static void end_read(const json_t *status, struct kube_pod_state *state)
{
	const json_t *container = json_array_get(json_member(status, "containerStatuses"), 0);
	const json_t *ended = json_member(json_member(container, "state"), "terminated");
	const char *reason = json_text(status, "reason", json_text(ended, "reason", ""));
	const char *message = json_text(status, "message", json_text(ended, "message", ""));
	bool plain = strcmp(reason, "Completed") == 0 || strcmp(reason, "Error") == 0 || !reason[0];

	state->exit_code = (int)json_number(ended, "exitCode", -1);
	state->phase = ended && plain ? KUBE_POD_ENDED : KUBE_POD_FAILED;
	(void)snprintf(state->why, sizeof(state->why), "%s%s%s", reason, message[0] ? ": " : "", message);
}

void kube_pod_judge(const json_t *pod, struct kube_pod_state *state)
{
	const json_t *status = json_member(pod, "status");
	const json_t *scheduled = condition_find(status, "PodScheduled");
	const char *phase = json_text(status, "phase", "");

	*state = (struct kube_pod_state){.phase = KUBE_POD_WAITS};
	if (strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0) {
		end_read(status, state);
	} else if (any_fails(status, "initContainerStatuses", state) || any_fails(status, "containerStatuses", state)) {
		state->phase = KUBE_POD_FAILED;
	} else if (strcmp(json_text(condition_find(status, "Ready"), "status", ""), "True") == 0) {
		state->phase = KUBE_POD_READY;
	} else if (strcmp(json_text(scheduled, "status", ""), "False") == 0) {
		if (strcmp(json_text(scheduled, "reason", ""), "SchedulingGated") == 0)
			state->phase = KUBE_POD_QUEUED;
		(void)snprintf(state->why, sizeof(state->why), "%s: %s", json_text(scheduled, "reason", ""),
			       json_text(scheduled, "message", ""));
	}
}

void kube_space_why(const json_t *space, char *why, size_t size)
{
	size_t index;
	json_t *condition;
	size_t length = 0;

	why[0] = '\0';
	json_array_foreach(json_member(json_member(space, "status"), "conditions"), index, condition)
		if (strcmp(json_text(condition, "status", ""), "True") == 0 && length < size)
			length += (size_t)snprintf(why + length, size - length, "%s%s", length ? "; " : "",
						   json_text(condition, "message", ""));
}

bool kube_space_is_frozen(const json_t *space)
{
	return strcmp(json_text(json_member(json_member(space, "metadata"), "annotations"), KUBE_NOTE_FROZEN, ""), "true") == 0;
}

int64_t kube_space_expires_ms(const json_t *space)
{
	const char *text = json_text(json_member(json_member(space, "metadata"), "annotations"), KUBE_NOTE_EXPIRES, "");
	struct tm broken = {0};
	const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &broken);

	return end && !*end && text[0] ? (int64_t)timegm(&broken) * 1000 : 0;
}
