/* The keeper's records of environments: on disk first, so that nothing of one can exist without a record. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "sandbox/init/control.h"
#include "sandbox/local/keeper_priv.h"

#define LINGER_MS 10000 /* SIGKILL takes milliseconds; a process that a disk or a debugger holds takes longer */

struct kept_env *kept_env_find(const struct keeper *keeper, struct env_id id)
{
	struct kept_env *env = keeper->environments;

	while (env && strcmp(env->id.text, id.text) != 0)
		env = env->next;
	return env;
}

void kept_env_path(const struct keeper *keeper, struct env_id id, const char *below, char path[PATH_BYTES])
{
	(void)!path_make(path, NULL, "%s/envs/%s%s%s", keeper->pool.dir, id.text, *below ? "/" : "", below);
}

int kept_env_namespace_new(const struct keeper *keeper, const struct kept_env *env, int *fd, struct err *err)
{
	*fd = -1;
	if (!keeper->ids_mapped && !keeper->rootless.active)
		return 0;
	if (env->one_id)
		return ids_namespace(INIT_PROGRAM_UID, env->ids, 1, 0, fd, err);
	if (keeper->rootless.active)
		return ids_namespace(0, env->ids, keeper->rootless.count, 0, fd, err);
	return ids_namespace(0, env->ids, IDS_RANGE, env->ids + IDS_RANGE - 1, fd, err);
}

int kept_env_namespace(struct keeper *keeper, struct kept_env *env, struct err *err)
{
	return env->userns_fd >= 0 ? 0 : kept_env_namespace_new(keeper, env, &env->userns_fd, err);
}

int kept_env_map_ids(struct keeper *keeper, struct kept_env *env, uid_t from, int *fd, struct err *err)
{
	*fd = -1;
	if (!keeper->ids_mapped || from == env->ids)
		return 0;
	if (from == 0) {
		if (kept_env_namespace(keeper, env, err))
			return -1;
		*fd = env->userns_fd;
		return 0;
	}
	for (size_t i = 0; i < env->map_count; i++)
		if (env->maps[i].from == from) {
			*fd = env->maps[i].fd;
			return 0;
		}
	if (env->map_count == IDS_MAPS_MAX) /* forget the first: a mount that uses it keeps it */
		(void)close(env->maps[0].fd);
	else
		env->map_count++;
	memmove(env->maps + 1, env->maps, (env->map_count - 1) * sizeof(env->maps[0]));
	env->maps[0] = (struct ids_map){.from = from, .fd = -1};
	if (ids_namespace(from, env->ids, IDS_RANGE, 0, &env->maps[0].fd, err)) {
		memmove(env->maps, env->maps + 1, --env->map_count * sizeof(env->maps[0]));
		return -1;
	}
	*fd = env->maps[0].fd;
	return 0;
}

static bool slot_taken(const struct keeper *keeper, uint32_t slot)
{
	for (const struct kept_env *env = keeper->dying; env; env = env->next)
		if (env->slot == slot)
			return true;
	for (const struct kept_env *env = keeper->environments; env; env = env->next)
		if (env->slot == slot)
			return true;
	return false;
}

static struct kept_env *record_add(struct keeper *keeper, struct env_id id, uint32_t slot)
{
	struct kept_env *env = mem_new(sizeof(*env));

	env->id = id;
	env->slot = slot;
	env->ids = keeper->rootless.active ? keeper->rootless.first : keeper->ids_mapped ? ids_base(slot) : 0;
	env->one_id = keeper->rootless.active && !keeper->rootless.count;
	env->userns_fd = -1;
	env->next = keeper->environments;
	keeper->environments = env;
	return env;
}

static void record_unlink(struct kept_env **place, const struct kept_env *env)
{
	while (*place != env)
		place = &(*place)->next;
	*place = env->next;
}

static void record_free(struct kept_env *env)
{
	if (env->userns_fd >= 0)
		(void)close(env->userns_fd);
	for (size_t i = 0; i < env->map_count; i++)
		(void)close(env->maps[i].fd);
	while (env->volumes) {
		struct volume *volume = env->volumes;

		env->volumes = volume->next;
		free(volume);
	}
	free(env);
}

/* Makes the directory whole beside, then renames: a crash leaves all or nothing. */
static int dirs_make(const struct keeper *keeper, struct env_id id, uint32_t slot, struct err *err)
{
	static const char *const parts[] = {"", "/rooms", "/volumes"};
	char fresh[PATH_BYTES], path[PATH_BYTES], text[32];

	if (path_make(fresh, err, "%s/envs/.new-%s", keeper->pool.dir, id.text))
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		if (path_make(path, err, "%s%s", fresh, parts[i]))
			return -1;
		if (mkdir(path, 0700) && errno != EEXIST)
			return err_errno(err, errno, "cannot make %s", path);
	}
	(void)snprintf(text, sizeof(text), "slot %u\n", slot);
	if (path_make(path, err, "%s/env", fresh))
		return -1;
	{
		AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

		if (fd < 0 || file_write_fd(fd, view_of(text), err))
			return err_errno(err, errno, "cannot write %s", path);
	}
	kept_env_path(keeper, id, "", path);
	return rename(fresh, path) ? err_errno(err, errno, "cannot make %s", path) : 0;
}

int kept_env_make(struct keeper *keeper, struct env_id id, struct err *err)
{
	struct kept_env *env;
	uint32_t slot = 0;

	if (kept_env_find(keeper, id))
		return err_set(err, ERR_CONFLICT, "environment %s exists already", id.text);
	while (slot < IDS_SLOTS && slot_taken(keeper, slot))
		slot++;
	if (slot == IDS_SLOTS)
		return err_set(err, ERR_LIMIT, "there are %u environments already", IDS_SLOTS);
	if (dirs_make(keeper, id, slot, err))
		return -1;
	env = record_add(keeper, id, slot);
	if (kept_env_namespace(keeper, env, err) || kept_env_cgroups_make(keeper, env, err)) {
		(void)!kept_env_remove(keeper, env, NULL);
		return -1;
	}
	return 0;
}

int kept_env_cgroups_make(struct keeper *keeper, struct kept_env *env, struct err *err)
{
	if (!env->has_cgroups && cgroup_env_make(&keeper->cgroups, env->id.text, err))
		return -1;
	env->has_cgroups = true;
	return 0;
}

int kept_env_freeze(struct keeper *keeper, struct kept_env *env, bool frozen, struct err *err)
{
	if (!cgroups_can_freeze(&keeper->cgroups))
		return processes_freeze(env, frozen, err);
	return cgroup_env_freeze(&keeper->cgroups, env->id.text, frozen, err);
}

int kept_env_stop(struct keeper *keeper, struct kept_env *env, struct err *err)
{
	rooms_kill(keeper, env);
	while (env->rooms)
		if (room_remove(keeper, env, env->rooms, err))
			return -1;
	for (struct volume *volume = env->volumes; volume; volume = volume->next)
		volume_unmount(keeper, env, volume);
	storage_reap(&keeper->pool);
	return 0;
}

int kept_env_remove(struct keeper *keeper, struct kept_env *env, struct err *err)
{
	char path[PATH_BYTES];

	jobs_cancel(keeper, env->id);
	rooms_kill_begin(keeper, env);
	for (struct volume *volume = env->volumes; volume; volume = volume->next)
		volume_unmount(keeper, env, volume);
	kept_env_path(keeper, env->id, "", path);
	if (storage_discard(&keeper->pool, path, err))
		return -1;
	record_unlink(&keeper->environments, env);
	env->next = keeper->dying;
	env->dying_ms = world_elapsed_ms(world_real);
	keeper->dying = env;
	return 0;
}

bool kept_env_lingers(const struct kept_env *env)
{
	return world_elapsed_ms(world_real) - env->dying_ms > LINGER_MS;
}

void kept_envs_bury(struct keeper *keeper)
{
	struct kept_env *next;
	bool buried = false;

	for (struct kept_env *env = keeper->dying; env; env = next) {
		next = env->next;
		if (!rooms_dead(keeper, env))
			continue;
		rooms_forget(keeper, env);
		cgroup_env_remove(&keeper->cgroups, env->id.text);
		record_unlink(&keeper->dying, env);
		record_free(env);
		buried = true;
	}
	if (buried)
		storage_reap(&keeper->pool);
}

/* What a predecessor left: the roots of its sandboxes go, volumes stay. */
static void kept_env_load(struct keeper *keeper, struct env_id id)
{
	char path[PATH_BYTES], text[64];
	struct kept_env *env;
	unsigned slot;

	kept_env_path(keeper, id, "env", path);
	if (!text_get(path, text, sizeof(text)) || sscanf(text, "slot %u", &slot) != 1 || slot >= IDS_SLOTS)
		slot = IDS_SLOTS - 1; /* unreadable: only to be removed */
	env = record_add(keeper, id, slot);
	kept_env_path(keeper, id, "rooms", path);
	(void)!storage_discard(&keeper->pool, path, NULL);
	(void)mkdir(path, 0700);
	volumes_load(keeper, env);
}

int kept_envs_load(struct keeper *keeper, bool cut, struct err *err)
{
	char path[PATH_BYTES], part[PATH_BYTES];
	struct dirent *entry;
	DIR *dir;

	if (path_make(path, err, "%s/envs", keeper->pool.dir))
		return -1;
	dir = opendir(path);
	if (!dir)
		return err_errno(err, errno, "cannot list %s", path);
	while ((entry = readdir(dir))) {
		struct env_id id;

		if (strncmp(entry->d_name, ".new-", 5) == 0 && path_make(part, NULL, "%s/%s", path, entry->d_name) == 0)
			(void)!storage_discard(&keeper->pool, part, NULL);
		else if (env_id_parse(view_of(entry->d_name), &id, NULL) || path_make(part, NULL, "%s/%s", path, entry->d_name))
			continue;
		else if (cut && storage_discard(&keeper->pool, part, NULL) == 0)
			log_warn("environment %s is gone: the machine ended while it was up", id.text);
		else
			kept_env_load(keeper, id);
	}
	(void)closedir(dir);
	return 0;
}

static void records_free(struct kept_env **list)
{
	while (*list) {
		struct kept_env *env = *list;

		while (env->rooms) {
			struct room *room = env->rooms;

			env->rooms = room->next;
			free(room);
		}
		*list = env->next;
		record_free(env);
	}
}

void kept_envs_forget(struct keeper *keeper)
{
	records_free(&keeper->environments);
	records_free(&keeper->dying);
}
