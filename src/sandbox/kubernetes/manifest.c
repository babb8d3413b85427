/* Rooms and volumes as manifests. */
#include "sandbox/kubernetes/manifest.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"
#include "sandbox/link/pod.h"

#define VOLUME_LABEL "volume.assay.dev/"
#define SPREAD_WEIGHT 50 /* of 100 */
#define LINK_MEMORY "128Mi"

static void set(json_t *object, const char *key, json_t *value)
{
	(void)json_object_set_new(object, key, value);
}

static json_t *object_of(const char *version, const char *kind, const char *space, const char *name)
{
	return json_pack("{s:s, s:s, s:{s:s, s:s, s:{s:s}}}", "apiVersion", version, "kind", kind, "metadata", "name", name,
			 "namespace", space, "labels", "app.kubernetes.io/managed-by", "assay");
}

static json_t *labels_of(json_t *object)
{
	return json_object_get(json_object_get(object, "metadata"), "labels");
}

static void label(json_t *object, const char *name, const char *value)
{
	set(labels_of(object), name, json_string(value));
}

/* ---- the two containers ---- */

static json_t *secure(void)
{
	return json_pack("{s:b, s:b, s:{s:[s]}}", "allowPrivilegeEscalation", 0, "privileged", 0, "capabilities", "drop", "ALL");
}

static void variable(json_t *list, const char *name, const char *value)
{
	(void)json_array_append_new(list, json_pack("{s:s, s:s}", "name", name, "value", value));
}

static void mounted(json_t *list, const char *name, const char *path, const char *part, bool read_only)
{
	json_t *mount = json_pack("{s:s, s:s}", "name", name, "mountPath", path);

	if (part)
		set(mount, "subPath", json_string(part));
	if (read_only)
		set(mount, "readOnly", json_true());
	(void)json_array_append_new(list, mount);
}

static json_t *link_variables(const struct kube_room_site *site, const struct sandbox_spec *spec)
{
	AUTO_BUF volumes = buf_new(4096);
	json_t *list = json_array();

	for (size_t i = 0; i < spec->mount_count; i++)
		buf_add_format(&volumes, "%s%s", i ? " " : "", spec->mounts[i].volume);
	variable(list, POD_ENV_ADDRESS, site->address);
	variable(list, POD_ENV_NAME, site->name);
	variable(list, POD_ENV_AUTHORITY, site->authority);
	if (volumes.length)
		variable(list, POD_ENV_VOLUMES, volumes.at);
	if (spec->authority)
		variable(list, POD_ENV_TRUST, spec->authority);
	if (spec->authority && spec->authority_hash)
		variable(list, POD_ENV_TRUST_HASH, spec->authority_hash);
	return list;
}

/* A volume that is mounted twice is one. */
static bool is_first(const struct sandbox_spec *spec, size_t at)
{
	for (size_t i = 0; i < at; i++)
		if (strcmp(spec->mounts[i].volume, spec->mounts[at].volume) == 0)
			return false;
	return true;
}

static json_t *link_container(const struct kube_room_site *site, const struct sandbox_spec *spec)
{
	json_t *mounts = json_array();

	mounted(mounts, "assay", POD_FOLDER, NULL, false);
	mounted(mounts, "assay-token", POD_TOKEN_FOLDER, NULL, true);
	for (size_t i = 0; i < spec->mount_count; i++)
		if (is_first(spec, i)) {
			AUTO_FREE char *volume = text_format("volume-%s", spec->mounts[i].volume);
			AUTO_FREE char *path = text_format("%s/%s", POD_VOLUMES, spec->mounts[i].volume);

			mounted(mounts, volume, path, NULL, false);
		}
	return json_pack("{s:s, s:s, s:s, s:[s, s], s:o, s:o, s:o, s:{s:{s:s, s:s}, s:{s:s, s:s}}, s:{s:{s:[s, s, s]}, s:i, s:i}}",
			 "name", "assay-link", "image", site->image, "restartPolicy", "Always", "command", "assay", "pod", "env",
			 link_variables(site, spec), "volumeMounts", mounts, "securityContext", secure(), "resources", "limits",
			 "cpu", "1", "memory", LINK_MEMORY, "requests", "cpu", "10m", "memory", "16Mi", "startupProbe", "exec",
			 "command", "assay", "pod", "--ready", "periodSeconds", 1, "failureThreshold", 120);
}

static json_t *limits_of(const struct limits *limits)
{
	json_t *most = json_object();
	char text[40];

	if (limits->memory_bytes) {
		(void)snprintf(text, sizeof(text), "%lld", (long long)limits->memory_bytes);
		set(most, "memory", json_string(text));
	}
	if (limits->cpu_percent) {
		(void)snprintf(text, sizeof(text), "%dm", limits->cpu_percent * 10);
		set(most, "cpu", json_string(text));
	}
	return most;
}

/* Asks for little of what it may have: a cluster is shared. */
static json_t *requests_of(const struct limits *limits)
{
	json_t *least = json_object();

	if (limits->memory_bytes)
		set(least, "memory", json_string(limits->memory_bytes < (int64_t)64 << 20 ? "4Mi" : "64Mi"));
	if (limits->cpu_percent)
		set(least, "cpu", json_string(limits->cpu_percent < 5 ? "10m" : "50m"));
	return least;
}

/* What the pod's own process puts there (programs/assay.c). */
static const char *const tools[] = {"assay-env", "assay-sqlite"};

static json_t *program_container(const struct sandbox_spec *spec)
{
	json_t *mounts = json_array();
	json_t *container = json_pack("{s:s, s:s, s:[s, s], s:o}", "name", "main", "image", spec->image, "command", POD_INIT,
				      POD_CONTROL, "securityContext", secure());

	mounted(mounts, "assay", POD_FOLDER, NULL, true);
	for (size_t i = 0; i < ARRAY_LEN(tools); i++) {
		AUTO_FREE char *path = text_format("/usr/local/bin/%s", tools[i]);

		mounted(mounts, "assay", path, tools[i], true);
	}
	if (spec->authority)
		mounted(mounts, "assay", "/etc/ssl/certs", POD_CERTIFICATES_PART, true);
	for (size_t i = 0; i < spec->mount_count; i++) {
		AUTO_FREE char *volume = text_format("volume-%s", spec->mounts[i].volume);

		mounted(mounts, volume, spec->mounts[i].path, POD_TREE, spec->mounts[i].read_only);
	}
	set(container, "volumeMounts", mounts);
	if (spec->limits.memory_bytes || spec->limits.cpu_percent)
		set(container, "resources",
		    json_pack("{s:o, s:o}", "limits", limits_of(&spec->limits), "requests", requests_of(&spec->limits)));
	return container;
}

/* ---- the pod ---- */

static json_t *volumes_of(const struct sandbox_spec *spec)
{
	json_t *list = json_pack("[{s:s, s:{s:s}}, {s:s, s:{s:[{s:{s:s, s:i, s:s}}]}}]", "name", "assay", "emptyDir", "sizeLimit",
				 "64Mi", "name", "assay-token", "projected", "sources", "serviceAccountToken", "audience",
				 KUBE_AUDIENCE, "expirationSeconds", KUBE_TOKEN_SECONDS, "path", "token");

	for (size_t i = 0; i < spec->mount_count; i++) {
		AUTO_FREE char *name = text_format("volume-%s", spec->mounts[i].volume);

		if (is_first(spec, i))
			(void)json_array_append_new(list, json_pack("{s:s, s:{s:s}}", "name", name, "persistentVolumeClaim",
								    "claimName", spec->mounts[i].volume));
	}
	return list;
}

/* Pods of other environments, in whatever namespace: better on another node, if there is one. */
static json_t *others_avoided(const struct kube_room_site *site, const struct sandbox_spec *spec)
{
	json_t *others = json_pack("{s:{s:s}, s:[{s:s, s:s, s:[s]}]}", "matchLabels", KUBE_LABEL_OWNER, site->owner,
				   "matchExpressions", "key", KUBE_LABEL_ENVIRONMENT, "operator", "NotIn", "values",
				   spec->env.text);

	return json_pack("{s:[{s:i, s:{s:s, s:{s:{s:s}}, s:o}}]}", "preferredDuringSchedulingIgnoredDuringExecution", "weight",
			 SPREAD_WEIGHT, "podAffinityTerm", "topologyKey", "kubernetes.io/hostname", "namespaceSelector",
			 "matchLabels", KUBE_LABEL_OWNER, site->owner, "labelSelector", others);
}

/* Most volumes can be on one node at a time: who shares one goes where the other is. */
static json_t *volumes_joined(const struct sandbox_spec *spec)
{
	json_t *terms = json_array();

	for (size_t i = 0; i < spec->mount_count; i++) {
		AUTO_FREE char *name = text_format(VOLUME_LABEL "%s", spec->mounts[i].volume);

		if (is_first(spec, i))
			(void)json_array_append_new(terms, json_pack("{s:s, s:{s:{s:s}}}", "topologyKey", "kubernetes.io/hostname",
								     "labelSelector", "matchLabels", name, "true"));
	}
	return json_pack("{s:o}", "requiredDuringSchedulingIgnoredDuringExecution", terms);
}

static void affinity_set(json_t *pod, const struct kube_room_site *site, const struct sandbox_spec *spec)
{
	json_t *affinity = json_object();

	if (spec->mount_count)
		set(affinity, "podAffinity", volumes_joined(spec));
	if (site->spread)
		set(affinity, "podAntiAffinity", others_avoided(site, spec));
	if (json_object_size(affinity))
		set(pod, "affinity", json_incref(affinity));
	json_decref(affinity);
}

/* Names are asked of the link alone, which may listen at the ports below 1024 as the user it is: a sysctl of the pod's own network that Pod Security
 * calls safe. */
static void names_set(json_t *pod)
{
	set(pod, "dnsPolicy", json_string("None"));
	set(pod, "dnsConfig",
	    json_pack("{s:[s], s:[{s:s, s:s}]}", "nameservers", "127.0.0.1", "options", "name", "ndots", "value", "0"));
	set(json_object_get(pod, "securityContext"), "sysctls",
	    json_pack("[{s:s, s:s}]", "name", "net.ipv4.ip_unprivileged_port_start", "value", "0"));
}

json_t *kube_room_object(const struct kube_room_site *site, const char *space, const struct sandbox_spec *spec)
{
	json_t *object = object_of("v1", "Pod", space, spec->name);
	json_t *pod = json_pack("{s:s, s:b, s:b, s:s, s:i, s:s, s:{s:b, s:i, s:i, s:i, s:{s:s}}}", "serviceAccountName",
				KUBE_ACCOUNT, "automountServiceAccountToken", 0, "enableServiceLinks", 0, "restartPolicy", "Never",
				"terminationGracePeriodSeconds", 1, "hostname", spec->name, "securityContext", "runAsNonRoot", 1,
				"runAsUser", KUBE_USER, "runAsGroup", KUBE_USER, "fsGroup", KUBE_USER, "seccompProfile", "type",
				"RuntimeDefault");

	names_set(pod);
	label(object, KUBE_LABEL_POD, spec->name);
	label(object, KUBE_LABEL_OWNER, site->owner);
	label(object, KUBE_LABEL_ENVIRONMENT, spec->env.text);
	for (size_t i = 0; i < spec->mount_count; i++) {
		AUTO_FREE char *name = text_format(VOLUME_LABEL "%s", spec->mounts[i].volume);

		label(object, name, "true");
	}
	if (site->queue)
		label(object, "kueue.x-k8s.io/queue-name", site->queue);
	if (site->priority)
		set(pod, "priorityClassName", json_string(site->priority));
	set(pod, "initContainers", json_pack("[o]", link_container(site, spec)));
	set(pod, "containers", json_pack("[o]", program_container(spec)));
	set(pod, "volumes", volumes_of(spec));
	if (site->life_ms >= 1000)
		set(pod, "activeDeadlineSeconds", json_integer(site->life_ms / 1000));
	affinity_set(pod, site, spec);
	set(object, "spec", pod);
	return object;
}

void kube_room_relink(const struct kube_room_site *site, json_t *room)
{
	json_t *link = json_array_get(json_object_get(json_object_get(room, "spec"), "initContainers"), 0);
	size_t index;
	json_t *each;

	set(link, "image", json_string(site->image));
	json_array_foreach(json_object_get(link, "env"), index, each) {
		const char *name = json_text(each, "name", "");

		if (strcmp(name, POD_ENV_ADDRESS) == 0)
			set(each, "value", json_string(site->address));
		else if (strcmp(name, POD_ENV_NAME) == 0)
			set(each, "value", json_string(site->name));
		else if (strcmp(name, POD_ENV_AUTHORITY) == 0)
			set(each, "value", json_string(site->authority));
	}
}

/* ---- beside it ---- */

void kube_room_note_name(char name[KUBE_NAME_MAX + 8], const char *room)
{
	(void)snprintf(name, KUBE_NAME_MAX + 8, "room-%s", room);
}

json_t *kube_room_note_object(const struct kube_room_site *site, const char *space, const char *name, const json_t *room)
{
	char note[KUBE_NAME_MAX + 8];
	AUTO_BUF text = buf_new((size_t)1 << 20);
	json_t *object;

	kube_room_note_name(note, name);
	json_format(&text, room);
	object = object_of("v1", "ConfigMap", space, note);
	label(object, KUBE_LABEL_OWNER, site->owner);
	label(object, KUBE_LABEL_POD, name);
	set(object, "data", json_pack("{s:s%}", "pod", text.at, text.length));
	return object;
}

json_t *kube_claim_object(const struct kube_room_site *site, const struct kube_claim_spec *claim)
{
	json_t *object = object_of("v1", "PersistentVolumeClaim", claim->space, claim->volume);
	AUTO_BUF text = buf_new((size_t)64 << 10);
	json_t *notes, *spec;
	char size[40];

	(void)snprintf(size, sizeof(size), "%lld", (long long)(claim->bytes ? claim->bytes : KUBE_CLAIM_BYTES));
	spec = json_pack("{s:[s], s:{s:{s:s}}}", "accessModes", "ReadWriteOnce", "resources", "requests", "storage", size);
	if (site->storage_class)
		set(spec, "storageClassName", json_string(site->storage_class));
	if (claim->snapshot)
		set(spec, "dataSource",
		    json_pack("{s:s, s:s, s:s}", "apiGroup", KUBE_SNAPSHOT_GROUP, "kind", "VolumeSnapshot", "name",
			      claim->snapshot));
	label(object, KUBE_LABEL_OWNER, site->owner);
	label(object, KUBE_LABEL_ENVIRONMENT, claim->env.text);
	json_format(&text, claim->layers);
	notes = json_pack("{s:s%}", KUBE_NOTE_LAYERS, text.at, text.length);
	if (claim->blocks)
		set(notes, KUBE_NOTE_BLOCKS, json_string("true"));
	set(json_object_get(object, "metadata"), "annotations", notes);
	set(object, "spec", spec);
	return object;
}

json_t *kube_link_object(const char *space, const struct kube_peer *peer)
{
	json_t *object = object_of("networking.k8s.io/v1", "NetworkPolicy", space, "assay-link");
	json_t *to = peer->cidr ? json_pack("{s:{s:s}}", "ipBlock", "cidr", peer->cidr)
				: json_pack("{s:{s:{s:s}}, s:{s:{s:s}}}", "namespaceSelector", "matchLabels",
					    "kubernetes.io/metadata.name", peer->space, "podSelector", "matchLabels", peer->label,
					    peer->value);

	set(object, "spec",
	    json_pack("{s:{}, s:[s], s:[{s:[o], s:[{s:s, s:i}]}]}", "podSelector", "policyTypes", "Egress", "egress", "to", to,
		      "ports", "protocol", "TCP", "port", peer->port));
	return object;
}
