/*
 * Volumes and layers on a cluster. A layer is a whole tree in a file of ours (layer-NAME/tree.tar, beside meta.json); a volume is a claim that is filled
 * from one when a room has it for the first time: the room's link unpacks it, beside the programs, and leaves a mark of what it was filled with. Where the
 * cluster's storage takes snapshots, a database's layer is one of these, which meta.json names, and claims are clones of it (snapshots.c).
 */
#include "sandbox/kubernetes/cluster_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/scope.h"

#define CARRIER "assay-carrier" /* the room that packs a volume */
#define META_BYTES_MAX ((size_t)1 << 20)
#define LAYER "layer-"
#define SPOOL "spool-" /* what is being packed */
#define CLONE "clone/" /* layers with such names are of one volume alone */

/* ---- layers in files ---- */

/* The folder of a layer. */
static char *layer_path(const struct cluster *cluster, const char *layer, const char *file)
{
	AUTO_BUF name = buf_new(1024);

	buf_add_url(&name, view_of(layer));
	return text_format("%s/" LAYER "%s%s%s", cluster->folder, name.at, file ? "/" : "", file ? file : "");
}

static bool is_layer(const char *name)
{
	return strncmp(name, LAYER, sizeof(LAYER) - 1) == 0;
}

static bool layer_exists(const struct cluster *cluster, const char *layer)
{
	AUTO_FREE char *path = layer_path(cluster, layer, "meta.json");

	return file_exists(path);
}

/* Either a tree, which is taken, or a snapshot. */
static int layer_keep(struct cluster *cluster, const char *layer, const char *tree, const json_t *snapshot, const json_t *meta,
		      struct err *err)
{
	AUTO_FREE char *folder = layer_path(cluster, layer, NULL);
	AUTO_FREE char *own = layer_path(cluster, layer, "tree.tar");
	AUTO_FREE char *file = layer_path(cluster, layer, "meta.json");
	AUTO_BUF text = buf_new(META_BYTES_MAX + 4096);
	AUTO_JSON row = NULL;
	struct stat info = {.st_size = (off_t)json_number(snapshot, "bytes", 0)};

	if (tree && stat(tree, &info))
		return err_errno(err, errno, "cannot read %s", tree);
	row = json_pack("{s:s, s:o, s:I, s:I}", "layer", layer, "meta", meta ? json_deep_copy(meta) : json_object(), "bytes",
			(json_int_t)info.st_size, "created_ms", (json_int_t)world_now_ms(cluster->site.world));
	if (snapshot)
		(void)json_object_set_new(row, "snapshot", json_deep_copy(snapshot));
	json_format(&text, row);
	if (buf_finish(&text, err) || file_make_dirs(folder, 0700, err))
		return -1;
	if (tree && rename(tree, own))
		return err_errno(err, errno, "cannot keep the layer %s", layer);
	return file_replace(file, buf_view(&text), 0600, err); /* with it the layer is there */
}

static json_t *row_read(const char *folder, const char *name)
{
	AUTO_FREE char *path = text_format("%s/%s/meta.json", folder, name);
	AUTO_BUF text = buf_new(META_BYTES_MAX + 4096);

	return file_read(path, &text, NULL) ? NULL : json_parse(buf_view(&text), NULL);
}

/* Owned by the caller; NULL: there is none. */
static json_t *layer_snapshot(const struct cluster *cluster, const char *layer)
{
	AUTO_FREE char *path = layer_path(cluster, layer, NULL);
	AUTO_JSON row = row_read(cluster->folder, strrchr(path, '/') + 1);

	return json_incref(json_object_get(row, "snapshot"));
}

static int name_order(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

json_t *cluster_layer_list(void *self, const char *prefix, struct err *err)
{
	const struct cluster *cluster = self;
	struct dirent **names;
	int count = scandir(cluster->folder, &names, NULL, name_order);
	json_t *list;

	if (count < 0) {
		(void)err_errno(err, errno, "cannot read %s", cluster->folder);
		return NULL;
	}
	list = json_array();
	for (int i = 0; i < count; i++) {
		json_t *row = is_layer(names[i]->d_name) ? row_read(cluster->folder, names[i]->d_name) : NULL;
		const char *layer = json_text(row, "layer", "");

		if (row && strncmp(layer, prefix, strlen(prefix)) == 0 && strncmp(layer, CLONE, sizeof(CLONE) - 1) != 0)
			(void)json_array_append_new(list, row);
		else
			json_decref(row);
		free(names[i]);
	}
	free(names);
	return list;
}

void leftovers_remove(const char *folder)
{
	DIR *all = opendir(folder);
	const struct dirent *entry;

	while (all && (entry = readdir(all))) {
		AUTO_FREE char *path = text_format("%s/%s", folder, entry->d_name);
		AUTO_FREE char *meta = text_format("%s/meta.json", path);

		if (strncmp(entry->d_name, SPOOL, sizeof(SPOOL) - 1) == 0 || (is_layer(entry->d_name) && !file_exists(meta)))
			(void)!file_remove_tree(path, NULL);
	}
	if (all)
		(void)closedir(all);
}

bool layer_has_holder(const struct cluster *cluster, const char *holder)
{
	DIR *folder = opendir(cluster->folder);
	const struct dirent *entry;
	bool has = false;

	while (folder && !has && (entry = readdir(folder)))
		if (is_layer(entry->d_name)) {
			AUTO_JSON row = row_read(cluster->folder, entry->d_name);

			has = strcmp(json_text(json_member(row, "snapshot"), "holder", ""), holder) == 0;
		}
	if (folder)
		(void)closedir(folder);
	return has;
}

/* Forgets a layer, whose folder this is, and then ends its snapshot. */
static int layer_end(struct cluster *cluster, const char *folder, struct err *err)
{
	AUTO_FREE char *meta = text_format("%s/meta.json", folder);
	AUTO_JSON row = row_read(cluster->folder, strrchr(folder, '/') + 1);
	const json_t *snapshot = json_member(row, "snapshot");
	int failed;

	(void)pthread_mutex_lock(&snapshots_keeping);
	failed = snapshot && snapshot_ending(cluster, snapshot, err) ? -1 : 0;
	if (!failed && unlink(meta) && errno != ENOENT)
		failed = err_errno(err, errno, "cannot remove %s", meta);
	if (!failed && snapshot)
		snapshot_end(cluster, snapshot);
	(void)pthread_mutex_unlock(&snapshots_keeping);
	return failed ? -1 : file_remove_tree(folder, err);
}

int layer_unused(struct cluster *cluster, const char *layer, struct err *err)
{
	AUTO_FREE char *selector = text_format(KUBE_LABEL_OWNER "=%s", cluster->site.owner);
	AUTO_JSON claims = NULL;
	size_t i, k;
	json_t *claim, *name;

	if (kube_list(cluster->site.client, "/api/v1/persistentvolumeclaims", selector, &claims, NULL, err))
		return -1;
	json_array_foreach(claims, i, claim) {
		const json_t *meta = json_member(claim, "metadata");
		AUTO_JSON layers = json_parse(view_of(json_text(json_member(meta, "annotations"), KUBE_NOTE_LAYERS, "[]")), NULL);

		json_array_foreach(layers, k, name)
			if (!json_member(meta, "deletionTimestamp") && json_is_string(name) &&
			    strcmp(json_string_value(name), layer) == 0)
				return err_set(err, ERR_CONFLICT, "the layer %s is used by volume %s of %s", layer,
					       json_text(meta, "name", ""), json_text(meta, "namespace", ""));
	}
	return 0;
}

int cluster_layer_remove(void *self, const char *layer, struct err *err)
{
	struct cluster *cluster = self;
	AUTO_FREE char *folder = layer_path(cluster, layer, NULL);

	if (!layer_exists(cluster, layer))
		return err_set(err, ERR_NOT_FOUND, "there is no layer %s", layer);
	return layer_unused(cluster, layer, err) || layer_end(cluster, folder, err) ? -1 : 0;
}

void clones_remove(struct cluster *cluster, struct env_id env)
{
	AUTO_FREE char *prefix = text_format(CLONE "%s/", env.text);
	AUTO_FREE char *begin = layer_path(cluster, prefix, NULL);
	const char *name = strrchr(begin, '/') + 1;
	DIR *folder = opendir(cluster->folder);
	const struct dirent *entry;

	while (folder && (entry = readdir(folder)))
		if (strncmp(entry->d_name, name, strlen(name)) == 0) {
			AUTO_FREE char *path = text_format("%s/%s", cluster->folder, entry->d_name);

			(void)!layer_end(cluster, path, NULL);
		}
	if (folder)
		(void)closedir(folder);
}

/* ---- filling ---- */

/* It has had its layer from the beginning. */
static bool is_clone(const json_t *claim)
{
	return json_member(json_member(claim, "spec"), "dataSource") != NULL;
}

/* Of those that were made for one. */
static bool is_database(const json_t *claim)
{
	const json_t *notes = json_member(json_member(claim, "metadata"), "annotations");

	return strcmp(json_text(notes, KUBE_NOTE_BLOCKS, ""), "true") == 0;
}

static const json_t *claim_of(const json_t *claims, const char *volume)
{
	size_t index;
	json_t *claim;

	json_array_foreach(claims, index, claim)
		if (strcmp(json_text(json_member(claim, "metadata"), "name", ""), volume) == 0 &&
		    !json_member(json_member(claim, "metadata"), "deletionTimestamp"))
			return claim;
	return NULL;
}

json_t *volumes_find(struct cluster *cluster, const char *space, const struct sandbox_spec *spec, struct err *err)
{
	AUTO_FREE char *path = kube_path("v1", "persistentvolumeclaims", space, NULL);
	AUTO_JSON claims = NULL;

	if (!spec->mount_count)
		return json_array();
	if (kube_list(cluster->site.client, path, NULL, &claims, NULL, err))
		return NULL;
	for (size_t i = 0; i < spec->mount_count; i++)
		if (!claim_of(claims, spec->mounts[i].volume)) {
			(void)err_set(err, ERR_NOT_FOUND, "there is no volume %s", spec->mounts[i].volume);
			return NULL;
		}
	return TAKE(claims);
}

/* Whatever it has is not what it should have: it is emptied, and this layer goes over what was there before (`first`: nothing). */
static int unpack(struct cluster *cluster, const struct sandbox_spec *spec, const char *volume, const char *layer, bool first,
		  struct err *err)
{
	static const char script[] = "cd \"$1\" || exit; [ -z \"$2\" ] || find tree -mindepth 1 -delete || exit\n"
				     "exec tar --extract --preserve-permissions --file=- --directory=tree";
	AUTO_FREE char *folder = text_format(POD_VOLUMES "/%s", volume);
	AUTO_FREE char *tree = layer_path(cluster, layer, "tree.tar");
	const char *argv[] = {"sh", "-c", script, "sh", folder, first ? "first" : "", NULL};
	AUTO_CLOSE int fd = open(tree, O_RDONLY | O_CLOEXEC);
	int code;

	if (fd < 0)
		return err_errno(err, errno, "the tree of the layer %s", layer);
	if (pod_room_aside(cluster, spec->env, spec->name, argv, fd, -1, &code, err))
		return -1;
	return code ? err_set(err, ERR_BROKEN, "the layer %s cannot be unpacked into volume %s: tar ended with %d", layer, volume,
			      code)
		    : 0;
}

static int fill(struct cluster *cluster, const struct sandbox_spec *spec, const char *volume, const json_t *claim, struct err *err)
{
	const char *text = json_text(json_member(json_member(claim, "metadata"), "annotations"), KUBE_NOTE_LAYERS, "[]");
	const char *uid = json_text(json_member(claim, "metadata"), "uid", "");
	AUTO_FREE char *mark = text_format("%s %s", uid, text);
	AUTO_FREE char *file = text_format(POD_VOLUMES "/%s/filled", volume);
	const char *look[] = {"sh", "-c", "[ \"$(cat \"$1\" 2>/dev/null)\" = \"$2\" ]", "sh", file, mark, NULL};
	const char *tell[] = {
		"sh", "-c", "printf '%s\\n' \"$2\" >\"$1.new\" && sync \"$1.new\" && mv \"$1.new\" \"$1\"", "sh", file, mark, NULL};
	AUTO_JSON layers = json_parse(view_of(text), err);
	int code;

	if (!layers || !json_array_size(layers) || is_clone(claim))
		return layers ? 0 : -1;
	if (pod_room_aside(cluster, spec->env, spec->name, look, -1, -1, &code, err))
		return -1;
	if (code == 0)
		return 0;
	for (size_t i = json_array_size(layers); i-- > 0;) { /* the topmost is the first of the list */
		const json_t *layer = json_array_get(layers, i);

		if (unpack(cluster, spec, volume, json_is_string(layer) ? json_string_value(layer) : "",
			   i + 1 == json_array_size(layers), err))
			return -1;
	}
	if (pod_room_aside(cluster, spec->env, spec->name, tell, -1, -1, &code, err))
		return -1;
	return code ? err_set(err, ERR_BROKEN, "volume %s cannot be written", volume) : 0;
}

int volumes_fill(struct cluster *cluster, const struct sandbox_spec *spec, const json_t *claims, struct err *err)
{
	for (size_t i = 0; i < spec->mount_count; i++)
		if (fill(cluster, spec, spec->mounts[i].volume, claim_of(claims, spec->mounts[i].volume), err))
			return -1;
	return 0;
}

/* ---- packing ---- */

/* In a room of its own, which is ended then, the one volume of `spec` is filled, and written to its disk: a snapshot is of that, not of what a node still has
 * in memory. With `out` its tree goes there, as tar has it. */
static int carry(struct cluster *cluster, const struct sandbox_spec *spec, const char *space, const json_t *claims, int out,
		 struct err *err)
{
	static const char script[] =
		"sync -f \"$1\" || exit\n[ -z \"$2\" ] || exec tar --create --sparse --file=- --directory \"$1/$2\" .";
	const char *volume = spec->mounts[0].volume;
	AUTO_FREE char *folder = text_format(POD_VOLUMES "/%s", volume);
	const char *argv[] = {"sh", "-c", script, "sh", folder, out >= 0 ? POD_TREE : "", NULL};
	AUTO_JSON pod = kube_room_object(&cluster->rooms_site, space, spec);
	int code = 0, failed;

	if (pod_room_make(cluster, spec->env, space, pod, err))
		return -1;
	failed = volumes_fill(cluster, spec, claims, err) || pod_room_aside(cluster, spec->env, CARRIER, argv, -1, out, &code, err);
	(void)!pod_room_unmake(cluster, spec->env, space, CARRIER, NULL);
	if (!failed && code)
		return err_set(err, ERR_BROKEN, "volume %s cannot be packed: %s ended with %d", volume, out >= 0 ? "tar" : "sync",
			       code);
	return failed ? -1 : 0;
}

/* By the cluster's storage, after `carry`; `tree` (or NULL): for other clusters. */
static int snapshot_keep(struct cluster *cluster, struct env_id env, const char *space, const char *volume, const char *layer,
			 const char *tree, const json_t *meta, struct err *err)
{
	struct snapshot_taken taken = {0};
	int failed;

	if (pods_end(cluster, space, err))
		return -1;
	failed = snapshot_take(cluster, env, space, volume, &taken, err);
	if (!failed) {
		AUTO_JSON snapshot = NULL;

		(void)pthread_mutex_lock(&snapshots_keeping);
		snapshot = snapshot_hold(cluster, &taken, err);
		failed = !snapshot || layer_keep(cluster, layer, tree, snapshot, meta, err);
		if (!failed)
			snapshot_held(cluster, &taken);
		(void)pthread_mutex_unlock(&snapshots_keeping);
	}
	snapshot_taken_fini(cluster, space, &taken);
	return failed ? -1 : 0;
}

/* A volume as a layer, and a snapshot of the storage where it is a database's (*blocks) and the cluster can; with several clusters that has a tree, too. */
static int commit(struct cluster *cluster, struct env_id env, const char *volume, const char *layer, const json_t *meta,
		  bool *blocks, struct err *err)
{
	const struct sandbox_spec spec = {.env = env,
					  .name = CARRIER,
					  .image = cluster->rooms_site.image,
					  .mounts = {{volume, "/volume", false}},
					  .mount_count = 1};
	AUTO_FREE char *spool = text_format("%s/" SPOOL "%s-%s", cluster->folder, env.text, volume);
	AUTO_JSON claims = NULL;
	AUTO_CLOSE int fd = -1;
	char space[KUBE_NAME_MAX];
	bool frozen, snapshot, tree;
	int failed;

	if (env_has_rooms(cluster, env))
		return err_set(err, ERR_CONFLICT, "environment %s has sandboxes that live: stop it first", env.text);
	if (space_of(cluster, env, space, &frozen, err))
		return -1;
	claims = volumes_find(cluster, space, &spec, err);
	if (!claims)
		return -1;
	*blocks = is_database(claim_of(claims, volume));
	snapshot = *blocks && cluster->site.snapshot_class;
	tree = !snapshot || cluster->options.name;
	if (tree && (fd = open(spool, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)) < 0)
		return err_errno(err, errno, "cannot write %s", spool);
	failed = carry(cluster, &spec, space, claims, fd, err);
	if (!failed && tree && fsync(fd))
		failed = err_errno(err, errno, "cannot write %s", spool);
	if (!failed && snapshot)
		failed = snapshot_keep(cluster, env, space, volume, layer, tree ? spool : NULL, meta, err);
	else if (!failed)
		failed = layer_keep(cluster, layer, spool, NULL, meta, err);
	(void)unlink(spool);
	return failed ? -1 : 0;
}

/* ---- the provider's ---- */

/* A claim is a clone when what it is made from is one snapshot. */
static int claim_put(struct cluster *cluster, struct env_id env, const char *volume, const json_t *layers, bool blocks,
		     bool *cloned, struct err *err)
{
	const char *only = json_array_size(layers) == 1 ? json_string_value(json_array_get(layers, 0)) : NULL;
	AUTO_FREE char *tree = only ? layer_path(cluster, only, "tree.tar") : NULL;
	AUTO_JSON snapshot = only ? layer_snapshot(cluster, only) : NULL;
	struct kube_claim_spec spec = {
		.env = env, .volume = volume, .bytes = cluster->options.claim_bytes, .layers = layers, .blocks = blocks};
	AUTO_JSON claim = NULL;
	char space[KUBE_NAME_MAX];
	bool frozen;

	if (space_of(cluster, env, space, &frozen, err))
		return -1;
	spec.space = space;
	*cloned = snapshot && cluster->site.snapshot_class && snapshot_is_here(cluster, snapshot);
	if (snapshot && !*cloned && !file_exists(tree))
		return err_set(
			err, ERR_INVALID,
			"%s is a snapshot of the storage of a cluster%s%s: say kubernetes-snapshot-class and kubernetes-context as "
			"they were, or take the data anew",
			only, json_text(snapshot, "cluster", "")[0] ? " " : "", json_text(snapshot, "cluster", ""));
	if (*cloned) {
		int64_t least = json_number(snapshot, "bytes", 0);

		if (snapshot_name_put(cluster, env, space, snapshot, err))
			return -1;
		spec.snapshot = json_text(snapshot, "holder", "");
		spec.bytes = spec.bytes ? spec.bytes : KUBE_CLAIM_BYTES;
		spec.bytes = spec.bytes < least ? least : spec.bytes;
	}
	claim = kube_claim_object(&cluster->rooms_site, &spec);
	return object_make(cluster, "persistentvolumeclaims", claim, false, NULL, err);
}

int cluster_volume_make(void *self, struct env_id env, const char *volume, const char *const *layers, size_t layer_count,
			bool blocks, bool *copied, struct err *err)
{
	struct cluster *cluster = self;
	AUTO_JSON list = json_array();
	bool cloned = false;

	for (size_t i = 0; i < layer_count; i++) {
		if (!layer_exists(cluster, layers[i]))
			return err_set(err, ERR_NOT_FOUND, "there is no layer %s", layers[i]);
		(void)json_array_append_new(list, json_string(layers[i]));
	}
	if (claim_put(cluster, env, volume, list, blocks, &cloned, err))
		return -1;
	*copied = layer_count > 0 && !cloned;
	return 0;
}

int cluster_volume_remove(void *self, struct env_id env, const char *volume, struct err *err)
{
	struct cluster *cluster = self;
	char space[KUBE_NAME_MAX];
	struct err why = {0};
	bool frozen;

	if (space_of(cluster, env, space, &frozen, err))
		return -1;
	{
		AUTO_FREE char *path = kube_path("v1", "persistentvolumeclaims", space, volume);

		if (kube_delete(cluster->site.client, path, NULL, &why) == 0 || why.kind == ERR_NOT_FOUND)
			return 0;
	}
	return err_set(err, why.kind, "%s", why.text);
}

int cluster_volume_commit(void *self, struct env_id env, const char *volume, const char *layer, const json_t *meta, struct err *err)
{
	struct cluster *cluster = self;
	bool blocks;

	if (layer_exists(cluster, layer))
		return err_set(err, ERR_CONFLICT, "there is a layer %s", layer);
	return commit(cluster, env, volume, layer, meta, &blocks, err);
}

int volume_copy(struct cluster *cluster, struct env_id from, struct cluster *other, struct env_id to, const char *volume,
		struct err *err)
{
	AUTO_FREE char *layer = text_format(CLONE "%s/%s", to.text, volume);
	AUTO_JSON list = json_pack("[s]", layer);
	bool blocks, cloned;

	return commit(cluster, from, volume, layer, NULL, &blocks, err) || claim_put(other, to, volume, list, blocks, &cloned, err)
		       ? -1
		       : 0;
}

int cluster_volume_clone(void *self, struct env_id from, struct env_id to, const char *volume, struct err *err)
{
	return volume_copy(self, from, self, to, volume, err);
}
