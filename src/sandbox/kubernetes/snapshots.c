/*
 * Clones of volumes by the cluster's storage (doc/adr/0070). A layer is a physical snapshot, which has the object that the cluster's controller made for it as
 * its holder: we keep its name, and its policy says that nothing else ends it. Each environment that has a volume from it has a name of its own for it.
 *
 * What ends a snapshot, or is about to keep one, is written down first ("freeing-CLUSTER:HOLDER"): whoever comes after a death goes on with it.
 */
#include "sandbox/kubernetes/cluster_priv.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/scope.h"

#define GROUP KUBE_SNAPSHOT_GROUP
#define VERSION GROUP "/v1"
#define FREEING "freeing-"
#define LOOK_FIRST_MS 50
#define LOOK_MAX_MS 2000
#define READY_MS 3600000
#define TROUBLE_MS 300000

pthread_mutex_t snapshots_keeping = PTHREAD_MUTEX_INITIALIZER;

static json_t *object_of(const char *kind, const char *space, const char *name, const char *owner, const char *env)
{
	json_t *object = json_pack("{s:s, s:s, s:{s:s, s:{s:s, s:s}}}", "apiVersion", VERSION, "kind", kind, "metadata", "name",
				   name, "labels", "app.kubernetes.io/managed-by", "assay", KUBE_LABEL_OWNER, owner);
	json_t *meta = json_object_get(object, "metadata");

	if (space)
		(void)json_object_set_new(meta, "namespace", json_string(space));
	if (env)
		(void)json_object_set_new(json_object_get(meta, "labels"), KUBE_LABEL_ENVIRONMENT, json_string(env));
	return object;
}

/* It was there already, under a name that only this has: as good. */
static int create(struct cluster *cluster, const char *plural, const json_t *object, struct err *err)
{
	AUTO_FREE char *path = kube_path(VERSION, plural, json_text(json_member(object, "metadata"), "namespace", NULL), NULL);
	struct err why = {0};

	if (kube_create(cluster->site.client, path, object, true, NULL, &why) == 0 || why.kind == ERR_CONFLICT)
		return 0;
	return err_set(err, why.kind, "%s", why.text);
}

static int delete (struct cluster *cluster, const char *plural, const char *space, const char *name, struct err *err)
{
	AUTO_FREE char *path = kube_path(VERSION, plural, space, name);
	struct err why = {0};

	if (kube_delete(cluster->site.client, path, NULL, &why) == 0 || why.kind == ERR_NOT_FOUND)
		return 0;
	return err_set(err, why.kind, "%s", why.text);
}

/* ---- the holder ---- */

/* *now: as it is then; owned by the caller. */
static int holder_patch(struct cluster *cluster, const char *holder, const char *policy, json_t **now, struct err *err)
{
	AUTO_FREE char *own = kube_path(VERSION, "volumesnapshotcontents", NULL, holder);
	AUTO_FREE char *path = text_format("%s?fieldManager=" KUBE_MANAGER "&fieldValidation=Strict", own);
	AUTO_JSON body = json_pack("{s:{s:{s:s, s:s}}, s:{s:s}}", "metadata", "labels", "app.kubernetes.io/managed-by", "assay",
				   KUBE_LABEL_OWNER, cluster->site.owner, "spec", "deletionPolicy", policy);
	const struct kube_request request = {.method = "PATCH", .path = path, .type = "application/merge-patch+json", .body = body};

	if (kube_ask(cluster->site.client, &request, now, err))
		return -1;
	return strcmp(json_text(json_member(*now, "spec"), "deletionPolicy", ""), policy) == 0
		       ? 0
		       : err_set(err, ERR_BROKEN, "the cluster does not give %s the policy %s", holder, policy);
}

static const char *cluster_name(const struct cluster *cluster)
{
	return cluster->options.name ? cluster->options.name : "";
}

/* `of`: the cluster's name. */
static char *freeing_path(const struct cluster *cluster, const char *of, const char *holder)
{
	AUTO_BUF name = buf_new(1024);

	buf_add_url(&name, view_of(of));
	return text_format("%s/" FREEING "%s:%s", cluster->folder, name.at ? name.at : "", holder);
}

static int freeing_write(const struct cluster *cluster, const char *of, const char *holder, struct err *err)
{
	AUTO_FREE char *path = freeing_path(cluster, of, holder);

	return file_replace(path, VIEW("\n"), 0600, err);
}

static void freeing_forget(const struct cluster *cluster, const char *holder)
{
	AUTO_FREE char *path = freeing_path(cluster, cluster_name(cluster), holder);

	(void)unlink(path);
}

/* The cluster's controller ends the physical one when the holder goes with this policy. */
static int holder_end(struct cluster *cluster, const char *holder, struct err *err)
{
	AUTO_JSON now = NULL;
	struct err why = {0};

	if (holder_patch(cluster, holder, "Delete", &now, &why) && why.kind != ERR_NOT_FOUND)
		return err_set(err, why.kind, "%s", why.text);
	return why.kind == ERR_NOT_FOUND ? 0 : delete (cluster, "volumesnapshotcontents", NULL, holder, err);
}

/* ---- taking one ---- */

/* Until it can be used: its holder's name, owned by the caller. */
static char *ready_await(struct cluster *cluster, const char *space, const char *name, struct err *err)
{
	AUTO_FREE char *path = kube_path(VERSION, "volumesnapshots", space, name);
	const struct kube_cluster_options *options = &cluster->options;
	int64_t began_ms = world_elapsed_ms(cluster->site.world);

	for (int64_t look_ms = LOOK_FIRST_MS;; look_ms = look_ms * 2 < LOOK_MAX_MS ? look_ms * 2 : LOOK_MAX_MS) {
		AUTO_JSON snapshot = NULL;
		const json_t *status;
		const char *holder, *trouble;
		int64_t most_ms;

		if (kube_get(cluster->site.client, path, &snapshot, err))
			return NULL;
		status = json_member(snapshot, "status");
		holder = json_text(status, "boundVolumeSnapshotContentName", "");
		trouble = json_text(json_member(status, "error"), "message", "");
		if (json_flag(status, "readyToUse", false) && holder[0])
			return text_copy(holder);
		most_ms = trouble[0] ? (options->patience_ms ? options->patience_ms : TROUBLE_MS)
				     : (options->aside_ms ? options->aside_ms : READY_MS);
		if (world_elapsed_ms(cluster->site.world) - began_ms >= most_ms) {
			(void)err_set(err, ERR_RETRY, "the snapshot %s of %s is not ready in time: %s", name, space,
				      trouble[0] ? trouble : "the cluster says nothing");
			return NULL;
		}
		kube_pause_ms(look_ms);
	}
}

/* What a layer remembers of it. */
static json_t *kept_row(const char *holder, const json_t *content, struct err *err)
{
	const json_t *spec = json_member(content, "spec");
	const json_t *status = json_member(content, "status");
	const char *handle = json_text(status, "snapshotHandle", "");
	const char *mode = json_text(spec, "sourceVolumeMode", "");
	json_t *row;

	if (!handle[0]) {
		(void)err_set(err, ERR_BROKEN, "the cluster says of %s that it is ready, and not what it is (snapshotHandle)",
			      holder);
		return NULL;
	}
	row = json_pack("{s:s, s:s, s:s, s:I}", "holder", holder, "driver", json_text(spec, "driver", ""), "handle", handle,
			"bytes", (json_int_t)json_number(status, "restoreSize", 0));
	if (mode[0])
		(void)json_object_set_new(row, "mode", json_string(mode));
	return row;
}

int snapshot_take(struct cluster *cluster, struct env_id env, const char *space, const char *volume, struct snapshot_taken *taken,
		  struct err *err)
{
	unsigned char random[8];
	AUTO_BUF nonce = buf_new(64);
	AUTO_JSON object = NULL;

	world_random(cluster->site.world, random, sizeof(random));
	buf_add_hex(&nonce, random, sizeof(random));
	taken->name = text_format("%s-%s", volume, nonce.at);
	object = object_of("VolumeSnapshot", space, taken->name, cluster->site.owner, env.text);
	(void)json_object_set_new(object, "spec",
				  json_pack("{s:s, s:{s:s}}", "volumeSnapshotClassName", cluster->site.snapshot_class, "source",
					    "persistentVolumeClaimName", volume));
	if (create(cluster, "volumesnapshots", object, err))
		return -1;
	taken->holder = ready_await(cluster, space, taken->name, err);
	return taken->holder ? 0 : -1;
}

json_t *snapshot_hold(struct cluster *cluster, const struct snapshot_taken *taken, struct err *err)
{
	AUTO_JSON content = NULL;
	json_t *row;

	if (freeing_write(cluster, cluster_name(cluster), taken->holder, err) ||
	    holder_patch(cluster, taken->holder, "Retain", &content, err))
		return NULL;
	row = kept_row(taken->holder, content, err);
	if (row && cluster->options.name)
		(void)json_object_set_new(row, "cluster", json_string(cluster->options.name));
	return row;
}

void snapshot_held(struct cluster *cluster, const struct snapshot_taken *taken)
{
	freeing_forget(cluster, taken->holder);
}

void snapshot_taken_fini(struct cluster *cluster, const char *space, struct snapshot_taken *taken)
{
	struct err err = {0};

	if (taken->name && delete (cluster, "volumesnapshots", space, taken->name, &err)) /* it goes with the environment */
		log_warn("kubernetes: the snapshot's name %s of %s stays for now: %s", taken->name, space, err.text);
	free(taken->name);
	free(taken->holder);
}

/* ---- what is made from one ---- */

int snapshot_name_put(struct cluster *cluster, struct env_id env, const char *space, const json_t *snapshot, struct err *err)
{
	const char *name = json_text(snapshot, "holder", "");
	const char *mode = json_text(snapshot, "mode", "");
	AUTO_FREE char *own = text_format("%s-%s", space, name);
	AUTO_JSON content = object_of("VolumeSnapshotContent", NULL, own, cluster->site.owner, env.text);
	AUTO_JSON object = object_of("VolumeSnapshot", space, name, cluster->site.owner, env.text);
	json_t *spec = json_pack("{s:s, s:s, s:s, s:{s:s}, s:{s:s, s:s}}", "deletionPolicy", "Retain", "driver",
				 json_text(snapshot, "driver", ""), "volumeSnapshotClassName", cluster->site.snapshot_class,
				 "source", "snapshotHandle", json_text(snapshot, "handle", ""), "volumeSnapshotRef", "name", name,
				 "namespace", space);

	if (mode[0])
		(void)json_object_set_new(spec, "sourceVolumeMode", json_string(mode));
	(void)json_object_set_new(content, "spec", spec);
	(void)json_object_set_new(object, "spec",
				  json_pack("{s:s, s:{s:s}}", "volumeSnapshotClassName", cluster->site.snapshot_class, "source",
					    "volumeSnapshotContentName", own));
	return create(cluster, "volumesnapshotcontents", content, err) || create(cluster, "volumesnapshots", object, err) ? -1 : 0;
}

/* ---- ending ---- */

bool snapshot_is_here(const struct cluster *cluster, const json_t *snapshot)
{
	return strcmp(json_text(snapshot, "cluster", ""), cluster_name(cluster)) == 0;
}

int snapshot_ending(struct cluster *cluster, const json_t *snapshot, struct err *err)
{
	return freeing_write(cluster, json_text(snapshot, "cluster", ""), json_text(snapshot, "holder", ""), err);
}

void snapshot_end(struct cluster *cluster, const json_t *snapshot)
{
	const char *holder = json_text(snapshot, "holder", "");
	struct err err = {0};

	if (!snapshot_is_here(cluster, snapshot))
		return;
	if (holder_end(cluster, holder, &err))
		log_warn("kubernetes: the snapshot %s cannot be ended yet, and will be: %s", holder, err.text);
	else
		freeing_forget(cluster, holder);
}

/* The names that environments have for snapshots; those of nobody are of layers. */
static json_t *names_list(struct cluster *cluster, const char *env, struct err *err)
{
	AUTO_FREE char *path = kube_path(VERSION, "volumesnapshotcontents", NULL, NULL);
	AUTO_FREE char *selector = text_format(KUBE_LABEL_OWNER "=%s," KUBE_LABEL_ENVIRONMENT "%s%s", cluster->site.owner,
					       env ? "=" : "", env ? env : "");
	json_t *items;

	return kube_list(cluster->site.client, path, selector, &items, NULL, err) ? NULL : items;
}

static const char *name_env(const json_t *content)
{
	return json_text(json_member(json_member(content, "metadata"), "labels"), KUBE_LABEL_ENVIRONMENT, "");
}

/* Only one that ends nothing: whoever labelled another one with ours is no concern of ours. */
static bool name_is_ours(const json_t *content)
{
	const json_t *spec = json_member(content, "spec");
	const json_t *of = json_member(spec, "volumeSnapshotRef");
	AUTO_FREE char *own = text_format("%s-%s", json_text(of, "namespace", ""), json_text(of, "name", ""));

	return strcmp(json_text(spec, "deletionPolicy", ""), "Retain") == 0 && strcmp(own, kube_meta_text(content, "name")) == 0;
}

static int name_end(struct cluster *cluster, const json_t *content, struct err *err)
{
	if (json_member(json_member(content, "metadata"), "deletionTimestamp") || !name_is_ours(content))
		return 0;
	return delete (cluster, "volumesnapshotcontents", NULL, kube_meta_text(content, "name"), err);
}

int snapshot_names_end(struct cluster *cluster, struct env_id env, struct err *err)
{
	AUTO_JSON names = NULL;
	size_t index;
	json_t *content;

	if (!cluster->site.snapshot_class)
		return 0;
	names = names_list(cluster, env.text, err);
	if (!names)
		return -1;
	json_array_foreach(names, index, content)
		if (name_end(cluster, content, err))
			return -1;
	return 0;
}

/* ---- what a death left ---- */

static void freeing_resume(struct cluster *cluster, const char *holder)
{
	struct err err = {0};

	if (layer_has_holder(cluster, holder)) { /* it had just become one */
		freeing_forget(cluster, holder);
		return;
	}
	if (holder_end(cluster, holder, &err))
		log_warn("kubernetes: the snapshot %s cannot be ended yet: %s", holder, err.text);
	else
		freeing_forget(cluster, holder);
}

static void freeings_resume(struct cluster *cluster)
{
	AUTO_FREE char *path = freeing_path(cluster, cluster_name(cluster), "");
	const char *begin = strrchr(path, '/') + 1;
	struct dirent **names;
	int count;

	(void)pthread_mutex_lock(&snapshots_keeping);
	count = scandir(cluster->folder, &names, NULL, NULL);
	for (int i = 0; i < count; i++) {
		if (strncmp(names[i]->d_name, begin, strlen(begin)) == 0)
			freeing_resume(cluster, names[i]->d_name + strlen(begin));
		free(names[i]);
	}
	if (count >= 0)
		free(names);
	(void)pthread_mutex_unlock(&snapshots_keeping);
}

static bool env_among(const json_t *spaces, const char *env)
{
	size_t index;
	json_t *space;

	json_array_foreach(spaces, index, space)
		if (strcmp(json_text(space, "env", ""), env) == 0)
			return true;
	return false;
}

void snapshots_sweep(struct cluster *cluster)
{
	AUTO_JSON names = NULL;
	AUTO_JSON spaces = NULL;
	struct err err = {0};
	size_t index;
	json_t *content;

	if (!cluster->site.snapshot_class)
		return;
	freeings_resume(cluster);
	names = names_list(cluster, NULL, &err); /* first: what comes meanwhile has its namespace already */
	spaces = names ? kube_space_list(&cluster->site, &err) : NULL;
	if (!spaces) {
		log_warn("kubernetes: names of snapshots cannot be swept: %s", err.text);
		return;
	}
	json_array_foreach(names, index, content)
		if (!env_among(spaces, name_env(content)) && name_end(cluster, content, &err))
			log_warn("kubernetes: %s cannot be removed: %s", kube_meta_text(content, "name"), err.text);
}
