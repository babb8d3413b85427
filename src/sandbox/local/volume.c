/*
 * Volumes: an overlay of a writable folder over layers, or a plain folder. The keeper mounts a volume once, in its own mount
 * namespace, when the first sandbox asks for it; each sandbox gets a clone of that mount, so that all see the same files.
 *
 * A volume for a database (`blocks`) over layers is the same overlay where the pool shares blocks: copying a file up clones it. Where it
 * cannot, the layers are copied when the volume is made: an overlay would copy the whole database at the first query (measured).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "sandbox/init/control.h"
#include "sandbox/local/keeper_priv.h"

#define OPTIONS_BYTES 4096

struct volume *volume_find(const struct kept_env *env, const char *name)
{
	struct volume *volume = env->volumes;

	while (volume && strcmp(volume->name, name) != 0)
		volume = volume->next;
	return volume;
}

void volume_path(const struct keeper *keeper, const struct kept_env *env, const char *name, const char *below,
		 char path[PATH_BYTES])
{
	char dir[PATH_BYTES];

	kept_env_path(keeper, env->id, "volumes", dir);
	(void)!path_make(path, NULL, "%s/%s%s%s", dir, name, *below ? "/" : "", below);
}

static bool has_layer(const struct layer_spec *spec, const char *name)
{
	for (size_t i = 0; i < spec->below_count; i++)
		if (strcmp(spec->below[i], name) == 0)
			return true;
	return false;
}

static int below_add(struct layer_spec *spec, const char *name, struct err *err)
{
	if (has_layer(spec, name))
		return 0;
	if (spec->below_count == LAYERS_BELOW_MAX)
		return err_set(err, ERR_LIMIT, "more than %d layers lie on each other: build a new snapshot", LAYERS_BELOW_MAX);
	(void)snprintf(spec->below[spec->below_count++], KEEPER_LAYER_NAME_BYTES, "%s", name);
	return 0;
}

int volume_name_layers(const struct keeper *keeper, const struct keeper_request *request, struct layer_spec *spec, struct err *err)
{
	AUTO_FREE struct layer_spec *layer = mem_new(sizeof(*layer));

	*spec = (struct layer_spec){0};
	for (size_t i = 0; i < request->layer_count; i++) {
		if (layer_spec_read(keeper, request->layers[i], layer, err) || below_add(spec, request->layers[i], err))
			return -1;
		for (size_t k = 0; k < layer->below_count; k++)
			if (below_add(spec, layer->below[k], err))
				return -1;
	}
	return 0;
}

/* Attaches the layers below scratch/, their ids mapped for the environment, and makes the lowerdir option. */
static int lowers_attach(struct keeper *keeper, struct kept_env *env, const struct layer_spec *spec, char options[OPTIONS_BYTES],
			 size_t *used, struct err *err)
{
	AUTO_FREE struct layer_spec *layer = mem_new(sizeof(*layer));

	for (size_t i = 0; i < spec->below_count; i++) {
		AUTO_CLOSE int tree = -1;
		char path[PATH_BYTES], place[PATH_BYTES];
		int map_fd;

		if (layer_spec_read(keeper, spec->below[i], layer, err) || kept_env_map_ids(keeper, env, layer->ids, &map_fd, err))
			return -1;
		layer_path(keeper, spec->below[i], "tree", path);
		if (ids_mount(path, map_fd, MOUNT_ATTR_RDONLY, &tree, err) ||
		    path_make(place, err, "%s/scratch/%zu", keeper->pool.dir, i))
			return -1;
		if (syscall(SYS_move_mount, tree, "", AT_FDCWD, place, MOVE_MOUNT_F_EMPTY_PATH))
			return err_errno(err, errno, "cannot mount layer %s", spec->below[i]);
		*used += (size_t)snprintf(options + *used, OPTIONS_BYTES - *used, "%s%zu", i ? ":" : "lowerdir=", i);
	}
	return 0;
}

static void lowers_detach(const struct keeper *keeper, const struct layer_spec *spec)
{
	for (size_t i = 0; i < spec->below_count; i++) {
		char place[PATH_BYTES];

		if (path_make(place, NULL, "%s/scratch/%zu", keeper->pool.dir, i) == 0)
			(void)umount2(place, MNT_DETACH);
	}
}

/* After an unclean end the kernel refuses a volatile upper until it is told that we know. */
static void volatile_forgive(const char *dir)
{
	char path[PATH_BYTES];

	if (path_make(path, NULL, "%s/work/work/incompat/volatile/dirty", dir) == 0)
		(void)unlink(path);
	if (path_make(path, NULL, "%s/work/work/incompat/volatile", dir) == 0 && rmdir(path) == 0 &&
	    path_make(path, NULL, "%s/work/work/incompat", dir) == 0)
		(void)rmdir(path);
}

static int overlay_mount(struct keeper *keeper, struct kept_env *env, struct volume *volume, const char *dir, const char *merged,
			 struct err *err)
{
	char options[OPTIONS_BYTES], scratch[PATH_BYTES];
	size_t used = 0;
	int result;

	if (path_make(scratch, err, "%s/scratch", keeper->pool.dir))
		return -1;
	if (chdir(scratch))
		return err_errno(err, errno, "cannot enter %s", scratch);
	volatile_forgive(dir);
	result = lowers_attach(keeper, env, &volume->spec, options, &used, err);
	used += result ? 0 : storage_overlay_options(&keeper->pool, dir, options + used, sizeof(options) - used);
	if (!result && used >= sizeof(options))
		result = err_set(err, ERR_LIMIT, "too many layers");
	if (!result && mount("overlay", merged, "overlay", MS_NODEV | MS_NOSUID, options))
		result = err_errno(err, errno, "cannot mount the overlay");
	lowers_detach(keeper, &volume->spec);
	(void)!chdir("/");
	return result;
}

int volume_mount(struct keeper *keeper, struct kept_env *env, struct volume *volume, char path[PATH_BYTES], struct err *err)
{
	char dir[PATH_BYTES];

	if (volume->busy)
		return err_set(err, ERR_CONFLICT, "volume %s is being copied", volume->name);
	if (!volume->spec.below_count) {
		volume_path(keeper, env, volume->name, "upper", path);
		return 0;
	}
	volume_path(keeper, env, volume->name, "merged", path);
	if (volume->mounted)
		return 0;
	volume_path(keeper, env, volume->name, "", dir);
	if (overlay_mount(keeper, env, volume, dir, path, err))
		return err_prefix(err, "volume %s", volume->name);
	volume->mounted = true;
	return 0;
}

void volume_unmount(struct keeper *keeper, struct kept_env *env, struct volume *volume)
{
	char path[PATH_BYTES];

	if (!volume->mounted)
		return;
	volume_path(keeper, env, volume->name, "merged", path);
	(void)umount2(path, MNT_DETACH);
	volume->mounted = false;
}

/* Folders upper, work and merged, and the spec. */
int volume_dirs_make(const struct keeper *keeper, const struct kept_env *env, const struct volume *volume, struct err *err)
{
	static const char *const parts[] = {"", "upper", "work", "merged"};
	char path[PATH_BYTES];

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		volume_path(keeper, env, volume->name, parts[i], path);
		if (mkdir(path, 0700) && errno != EEXIST)
			return err_errno(err, errno, "cannot make %s", path);
	}
	volume_path(keeper, env, volume->name, "spec", path);
	return spec_write(path, &volume->spec, volume->blocks, false, err);
}

/* The root of a fresh upper looks like that of the topmost layer; without layers it belongs to the environment's user. */
int volume_root_dress(struct keeper *keeper, const struct kept_env *env, const struct volume *volume, struct err *err)
{
	uid_t owner = kept_env_id(env, INIT_PROGRAM_UID);
	gid_t group = kept_env_id(env, INIT_PROGRAM_UID);
	mode_t mode = 0755;
	char path[PATH_BYTES];

	if (volume->spec.below_count) {
		AUTO_FREE struct layer_spec *layer = mem_new(sizeof(*layer));
		struct stat info;

		if (layer_spec_read(keeper, volume->spec.below[0], layer, err))
			return -1;
		layer_path(keeper, volume->spec.below[0], "tree", path);
		if (stat(path, &info))
			return err_errno(err, errno, "cannot read layer %s", volume->spec.below[0]);
		owner = env->ids + (info.st_uid - layer->ids);
		group = env->ids + (info.st_gid - layer->ids);
		mode = info.st_mode & 07777;
	}
	volume_path(keeper, env, volume->name, "upper", path);
	return chown(path, owner, group) || chmod(path, mode) ? err_errno(err, errno, "cannot set the owner of %s", path) : 0;
}

void volumes_load(struct keeper *keeper, struct kept_env *env)
{
	char path[PATH_BYTES];
	struct dirent *entry;
	DIR *dir;

	kept_env_path(keeper, env->id, "volumes", path);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		struct volume *volume = mem_new(sizeof(*volume));
		char spec[PATH_BYTES];
		unsigned flags = 0;

		(void)snprintf(volume->name, sizeof(volume->name), "%.63s", entry->d_name);
		volume_path(keeper, env, volume->name, "spec", spec);
		if (entry->d_name[0] == '.' || spec_parse(spec, &volume->spec, &flags, NULL)) {
			free(volume);
			continue;
		}
		volume->blocks = flags;
		volume->next = env->volumes;
		env->volumes = volume;
	}
	if (dir)
		(void)closedir(dir);
}
