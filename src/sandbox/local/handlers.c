/* What the keeper does for each request: one function an ask. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/file.h"
#include "sandbox/local/keeper_priv.h"

int handle_env_make(struct keeper *keeper, struct kept_env *env, const struct keeper_request *request, int meta_fd,
		    struct answer *answer, struct err *err)
{
	(void)env;
	(void)meta_fd;
	(void)answer;
	if (!*request->env.text)
		return err_set(err, ERR_INVALID, "the environment's id is missing");
	keeper_warm(keeper);
	return kept_env_make(keeper, request->env, err);
}

int handle_env_remove(struct keeper *keeper, struct kept_env *env, const struct keeper_request *request, int meta_fd,
		      struct answer *answer, struct err *err)
{
	(void)meta_fd;
	(void)answer;
	for (const struct kept_env *dying = keeper->dying; dying; dying = dying->next)
		if (strcmp(dying->id.text, request->env.text) == 0 && kept_env_lingers(dying))
			return err_set(err, ERR_RETRY, "its processes do not end");
	return env ? kept_env_remove(keeper, env, err) : 0;
}

int handle_env_stop(struct keeper *keeper, struct kept_env *env, const struct keeper_request *request, int meta_fd,
		    struct answer *answer, struct err *err)
{
	(void)request;
	(void)meta_fd;
	(void)answer;
	return kept_env_stop(keeper, env, err);
}

int handle_env_freeze(struct keeper *keeper, struct kept_env *env, const struct keeper_request *request, int meta_fd,
		      struct answer *answer, struct err *err)
{
	bool frozen = request->flag;

	(void)meta_fd;
	(void)answer;
	if (env->frozen == frozen)
		return 0;
	if (kept_env_cgroups_make(keeper, env, err) || kept_env_freeze(keeper, env, frozen, err)) {
		if (frozen && env->has_cgroups)
			(void)!kept_env_freeze(keeper, env, false, NULL);
		return -1;
	}
	env->frozen = frozen;
	return 0;
}

int handle_env_list(struct keeper *keeper, struct kept_env *env, const struct keeper_request *request, int meta_fd,
		    struct answer *answer, struct err *err)
{
	AUTO_CLOSE int list = memfd_create("environments", MFD_CLOEXEC);

	(void)request;
	(void)meta_fd;
	if (list < 0)
		return err_errno(err, errno, "cannot make a memfd");
	for (env = keeper->environments; env; env = env->next) {
		struct keeper_env_row row = {.env = env->id, .frozen = env->frozen};

		memcpy(row.stopped, env->stopped, sizeof(row.stopped));
		if (file_write_fd(list, view_make(&row, sizeof(row)), err))
			return -1;
		for (const struct room *room = env->rooms; room; room = room->next) {
			if (!room->pid) /* it has ended */
				continue;
			memset(row.sandbox, 0, sizeof(row.sandbox));
			memcpy(row.sandbox, room->name, sizeof(row.sandbox));
			if (file_write_fd(list, view_make(&row, sizeof(row)), err))
				return -1;
		}
	}
	for (env = keeper->dying; env; env = env->next) {
		struct keeper_env_row row = {.env = env->id};

		if (kept_env_lingers(env) && file_write_fd(list, view_make(&row, sizeof(row)), err))
			return -1;
	}
	answer->fd = TAKE_FD(list);
	return 0;
}

/* A request whose answer waits for a job. */
struct long_request {
	struct keeper *keeper;
	struct message_header header;
	struct env_id env;
	char name[SANDBOX_NAME_MAX + 1];
	char layer[KEEPER_LAYER_NAME_BYTES];
	char from[PATH_BYTES];
	char to[PATH_BYTES];
	struct tree_copy copy;
	bool copied;
};

static struct long_request *long_new(struct keeper *keeper, const struct keeper_request *request, struct env_id env)
{
	struct long_request *pending = mem_new(sizeof(*pending));

	pending->keeper = keeper;
	pending->header = request->header;
	pending->env = env;
	memcpy(pending->name, request->name, sizeof(pending->name));
	return pending;
}

static void long_answer(struct long_request *pending, const struct err *failure)
{
	struct keeper_reply reply = {.copied = pending->copied};

	if (failure) {
		reply.kind = failure->kind;
		memcpy(reply.text, failure->text, sizeof(reply.text));
	}
	keeper_answer(pending->keeper, &pending->header, &reply, -1);
	free(pending);
}

static struct volume *long_volume(const struct long_request *pending)
{
	struct kept_env *env = kept_env_find(pending->keeper, pending->env);

	return env ? volume_find(env, pending->name) : NULL;
}

static void volume_forget(struct keeper *keeper, struct kept_env *env, struct volume *volume)
{
	struct volume **place = &env->volumes;
	char path[PATH_BYTES];

	volume_unmount(keeper, env, volume);
	volume_path(keeper, env, volume->name, "", path);
	(void)!storage_discard(&keeper->pool, path, NULL);
	storage_reap(&keeper->pool);
	while (*place != volume)
		place = &(*place)->next;
	*place = volume->next;
	free(volume);
}

static int copy_work(void *self, struct err *err)
{
	const struct long_request *pending = self;

	return tree_copy(pending->from, pending->to, &pending->copy, err);
}

/* The copy of all layers becomes the volume's only folder. */
static void flatten_done(void *self, const struct err *failure)
{
	struct long_request *pending = self;
	struct kept_env *env = kept_env_find(pending->keeper, pending->env);
	struct volume *volume = long_volume(pending);
	char upper[PATH_BYTES];
	struct err err = {0};

	if (volume) {
		volume->busy = false;
		volume_unmount(pending->keeper, env, volume);
		volume->spec.below_count = 0;
		volume_path(pending->keeper, env, volume->name, "upper", upper);
		if (!failure && (storage_discard(&pending->keeper->pool, upper, &err) || rename(pending->to, upper) ||
				 volume_dirs_make(pending->keeper, env, volume, &err)))
			failure = err.kind ? &err : (err_errno(&err, errno, "cannot rename %s", pending->to), &err);
		if (failure)
			volume_forget(pending->keeper, env, volume);
	}
	long_answer(pending, failure);
}

static int flatten_start(struct keeper *keeper, struct kept_env *env, const struct keeper_request *request, struct volume *volume,
			 struct err *err)
{
	struct long_request *pending = long_new(keeper, request, env->id);
	struct job_spec job = {.env = env->id, .work = copy_work, .done = flatten_done, .self = pending};

	pending->copied = true;
	volume_path(keeper, env, volume->name, "copy", pending->to);
	if (volume_mount(keeper, env, volume, pending->from, err) || job_start(keeper, &job, err)) {
		free(pending);
		return -1;
	}
	volume->busy = true;
	return 0;
}

int handle_volume_make(struct keeper *keeper, struct kept_env *env, const struct keeper_request *request, int meta_fd,
		       struct answer *answer, struct err *err)
{
	struct volume *volume;

	(void)meta_fd;
	if (volume_find(env, request->name))
		return err_set(err, ERR_CONFLICT, "there is a volume %s already", request->name);
	keeper_warm(keeper);
	volume = mem_new(sizeof(*volume));
	memcpy(volume->name, request->name, sizeof(volume->name));
	volume->blocks = request->flag;
	if (volume_name_layers(keeper, request, &volume->spec, err)) {
		free(volume);
		return -1;
	}
	volume->next = env->volumes;
	env->volumes = volume;
	if (volume_dirs_make(keeper, env, volume, err) || volume_root_dress(keeper, env, volume, err))
		goto failed;
	if (volume->blocks && volume->spec.below_count && !keeper->pool.reflink) {
		if (flatten_start(keeper, env, request, volume, err))
			goto failed;
		answer->later = true;
	}
	return 0;
failed:
	volume_forget(keeper, env, volume);
	return -1;
}

static int volume_get(struct kept_env *env, const struct keeper_request *request, struct volume **volume, struct err *err)
{
	*volume = volume_find(env, request->name);
	if (!*volume)
		return err_set(err, ERR_NOT_FOUND, "there is no volume %s", request->name);
	if ((*volume)->busy)
		return err_set(err, ERR_CONFLICT, "volume %s is being copied", request->name);
	return 0;
}

static int nobody_alive(const struct kept_env *env, struct err *err)
{
	for (const struct room *room = env->rooms; room; room = room->next)
		if (room->pid)
			return err_set(err, ERR_CONFLICT, "sandbox %s still runs: stop the environment first", room->name);
	return 0;
}

/* Those that do not mount it may go on: a database is replaced under a live workspace. */
static int nobody_mounts(const struct kept_env *env, const char *volume, struct err *err)
{
	for (const struct room *room = env->rooms; room; room = room->next)
		for (size_t i = 0; room->pid && i < room->volume_count; i++)
			if (strcmp(room->volumes[i], volume) == 0)
				return err_set(err, ERR_CONFLICT, "sandbox %s uses it: remove that first", room->name);
	return 0;
}

int handle_volume_remove(struct keeper *keeper, struct kept_env *env, const struct keeper_request *request, int meta_fd,
			 struct answer *answer, struct err *err)
{
	struct volume *volume;

	(void)meta_fd;
	(void)answer;
	if (!volume_find(env, request->name))
		return 0;
	if (volume_get(env, request, &volume, err) || nobody_mounts(env, request->name, err))
		return -1;
	volume_forget(keeper, env, volume);
	return 0;
}

/* ---- commit ---- */

static int meta_copy(int meta_fd, const char *path, struct err *err)
{
	AUTO_BUF meta = buf_new(KEEPER_META_BYTES_MAX);

	if (meta_fd < 0 || lseek(meta_fd, 0, SEEK_SET) < 0 || file_read_fd(meta_fd, &meta, err))
		return err_set(err, ERR_INVALID, "the layer's meta is missing");
	return file_replace(path, buf_view(&meta), 0600, err);
}

/* What a crash of the machine must not take: everything of the pool that is not on disk yet. */
static int sync_work(void *self, struct err *err)
{
	const struct long_request *pending = self;
	AUTO_CLOSE int fd = open(pending->from, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || syncfs(fd) ? err_errno(err, errno, "cannot sync the pool") : 0;
}

/* Counts in the background what the layer takes. */
static int count_work(void *self, struct err *err)
{
	const struct long_request *pending = self;
	char text[32];

	(void)snprintf(text, sizeof(text), "%lld\n", (long long)tree_bytes(pending->from, false));
	return file_replace(pending->to, view_of(text), 0600, err);
}

static void count_done(void *self, const struct err *failure)
{
	(void)failure;
	free(self);
}

static void count_start(struct keeper *keeper, const char *layer)
{
	struct long_request *pending = mem_new(sizeof(*pending));
	struct job_spec job = {.work = count_work, .done = count_done, .self = pending};

	layer_path(keeper, layer, "tree", pending->from);
	layer_path(keeper, layer, "bytes", pending->to);
	if (job_start(keeper, &job, NULL))
		free(pending);
}

/* The volume's writes become the layer's tree; the volume goes on over it, with a fresh folder to write into. */
static int commit_apply(struct long_request *pending, struct kept_env *env, struct volume *volume, struct err *err)
{
	struct keeper *keeper = pending->keeper;
	char fresh[PATH_BYTES], upper[PATH_BYTES], path[PATH_BYTES], tree[PATH_BYTES];
	struct layer_spec *spec = &volume->spec;

	(void)!path_make(fresh, NULL, "%s/layers/.new-%s", keeper->pool.dir, env->id.text);
	volume_path(keeper, env, volume->name, "upper", upper);
	layer_path(keeper, pending->layer, "", path);
	if (path_make(tree, err, "%s/tree", fresh))
		return -1;
	if (spec->below_count == LAYERS_BELOW_MAX)
		return err_set(err, ERR_LIMIT, "more than %d layers lie on each other: build a new snapshot", LAYERS_BELOW_MAX);
	if (rename(upper, tree))
		return err_errno(err, errno, "cannot move %s", upper);
	if (rename(fresh, path)) {
		int failed = errno;

		(void)rename(tree, upper);
		return err_errno(err, failed, "cannot make layer %s", pending->layer);
	}
	memmove(spec->below + 1, spec->below, spec->below_count++ * sizeof(spec->below[0]));
	(void)snprintf(spec->below[0], sizeof(spec->below[0]), "%s", pending->layer);
	volume_path(keeper, env, volume->name, "work", path);
	(void)!storage_discard(&keeper->pool, path, NULL);
	if (volume_dirs_make(keeper, env, volume, err) || volume_root_dress(keeper, env, volume, err))
		return -1;
	count_start(keeper, pending->layer);
	return 0;
}

static void commit_done(void *self, const struct err *failure)
{
	struct long_request *pending = self;
	struct kept_env *env = kept_env_find(pending->keeper, pending->env);
	struct volume *volume = long_volume(pending);
	char fresh[PATH_BYTES];
	struct err err = {0};

	if (volume)
		volume->busy = false;
	if (!failure && volume && commit_apply(pending, env, volume, &err))
		failure = &err;
	(void)!path_make(fresh, NULL, "%s/layers/.new-%s", pending->keeper->pool.dir, pending->env.text);
	if (failure)
		(void)!storage_discard(&pending->keeper->pool, fresh, NULL);
	long_answer(pending, failure);
}

/* The layer's folder, all but its tree, beside its place. */
static int layer_prepare(struct keeper *keeper, struct kept_env *env, const struct volume *volume, int meta_fd, struct err *err)
{
	struct layer_spec *spec = mem_new(sizeof(*spec));
	char fresh[PATH_BYTES], path[PATH_BYTES];
	int result;

	*spec = volume->spec;
	spec->ids = env->ids;
	spec->created_ms = world_now_ms(world_real);
	(void)!path_make(fresh, NULL, "%s/layers/.new-%s", keeper->pool.dir, env->id.text);
	result = mkdir(fresh, 0700) ? err_errno(err, errno, "cannot make %s (is another volume of it being committed?)", fresh) : 0;
	if (!result)
		result = path_make(path, err, "%s/meta", fresh) || meta_copy(meta_fd, path, err) ||
					 path_make(path, err, "%s/spec", fresh) || spec_write(path, spec, 0, true, err)
				 ? -1
				 : 0;
	free(spec);
	return result;
}

int handle_volume_commit(struct keeper *keeper, struct kept_env *env, const struct keeper_request *request, int meta_fd,
			 struct answer *answer, struct err *err)
{
	struct long_request *pending;
	struct job_spec job = {.env = env->id, .work = sync_work, .done = commit_done};
	struct volume *volume;
	char path[PATH_BYTES];

	if (request->layer_count != 1 || layer_name_check(request->layers[0], err))
		return err_set(err, ERR_INVALID, "a commit names one layer");
	layer_path(keeper, request->layers[0], "", path);
	if (volume_get(env, request, &volume, err) || nobody_alive(env, err))
		return -1;
	if (file_exists(path))
		return err_set(err, ERR_CONFLICT, "there is a layer %s already", request->layers[0]);
	volume_unmount(keeper, env, volume);
	if (layer_prepare(keeper, env, volume, meta_fd, err))
		return -1;
	job.self = pending = long_new(keeper, request, env->id);
	memcpy(pending->layer, request->layers[0], sizeof(pending->layer));
	(void)!path_make(pending->from, NULL, "%s/layers", keeper->pool.dir);
	if (job_start(keeper, &job, err)) {
		free(pending);
		return -1;
	}
	volume->busy = answer->later = true;
	return 0;
}

/* ---- clone ---- */

static void clone_done(void *self, const struct err *failure)
{
	struct long_request *pending = self;
	struct kept_env *env = kept_env_find(pending->keeper, pending->env);
	struct volume *volume = long_volume(pending);

	if (volume)
		volume->busy = false;
	if (volume && failure)
		volume_forget(pending->keeper, env, volume);
	long_answer(pending, failure);
}

int handle_volume_clone(struct keeper *keeper, struct kept_env *env, const struct keeper_request *request, int meta_fd,
			struct answer *answer, struct err *err)
{
	struct kept_env *to = kept_env_find(keeper, request->env_to);
	struct job_spec job = {.env = request->env_to, .work = copy_work, .done = clone_done};
	struct volume *volume, *copy;
	struct long_request *pending;
	char path[PATH_BYTES];

	(void)meta_fd;
	if (!to)
		return err_set(err, ERR_NOT_FOUND, "there is no environment %s", request->env_to.text);
	if (volume_get(env, request, &volume, err))
		return -1;
	if (volume_find(to, request->name))
		return err_set(err, ERR_CONFLICT, "there is a volume %s already", request->name);
	if (!env->frozen && nobody_alive(env, err))
		return -1;
	copy = mem_new(sizeof(*copy));
	memcpy(copy->name, volume->name, sizeof(copy->name));
	copy->spec = volume->spec;
	copy->blocks = volume->blocks;
	copy->next = to->volumes;
	to->volumes = copy;
	job.self = pending = long_new(keeper, request, to->id);
	pending->copy = (struct tree_copy){.from = env->ids, .to = to->ids, .reflink = keeper->pool.reflink};
	volume_path(keeper, env, volume->name, "upper", pending->from);
	volume_path(keeper, to, copy->name, "upper", pending->to);
	/* The copy makes `upper` itself. */
	if (volume_dirs_make(keeper, to, copy, err) ||
	    (rmdir(pending->to) && err_errno(err, errno, "cannot remove %s", pending->to)) || job_start(keeper, &job, err)) {
		free(pending);
		volume_forget(keeper, to, copy);
		return -1;
	}
	(void)path;
	copy->busy = answer->later = true;
	return 0;
}

/* ---- layers ---- */

int handle_layer_list(struct keeper *keeper, struct kept_env *env, const struct keeper_request *request, int meta_fd,
		      struct answer *answer, struct err *err)
{
	(void)env;
	(void)meta_fd;
	return layers_list(keeper, request->layer_count ? request->layers[0] : "", &answer->fd, err);
}

int handle_layer_remove(struct keeper *keeper, struct kept_env *env, const struct keeper_request *request, int meta_fd,
			struct answer *answer, struct err *err)
{
	(void)env;
	(void)meta_fd;
	(void)answer;
	return layer_remove(keeper, request->layer_count ? request->layers[0] : "", err);
}

static int import_work(void *self, struct err *err)
{
	const struct long_request *pending = self;
	AUTO_CLOSE int fd = -1;

	if (tree_copy(pending->from, pending->to, &pending->copy, err))
		return -1;
	fd = open(pending->to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 || syncfs(fd) ? err_errno(err, errno, "cannot sync the pool") : 0;
}

static void import_done(void *self, const struct err *failure)
{
	struct long_request *pending = self;
	char path[PATH_BYTES];
	struct err err = {0};

	*strrchr(pending->to, '/') = '\0'; /* the folder around the tree */
	layer_path(pending->keeper, pending->layer, "", path);
	if (!failure && rename(pending->to, path)) {
		(void)err_errno(&err, errno, "cannot make layer %s", pending->layer);
		failure = &err;
	}
	if (failure)
		(void)!storage_discard(&pending->keeper->pool, pending->to, NULL);
	else
		count_start(pending->keeper, pending->layer);
	long_answer(pending, failure);
}

int handle_layer_import(struct keeper *keeper, struct kept_env *env, const struct keeper_request *request, int meta_fd,
			struct answer *answer, struct err *err)
{
	struct layer_spec *spec = mem_new(sizeof(*spec));
	struct job_spec job = {.work = import_work, .done = import_done};
	struct long_request *pending;
	char fresh[PATH_BYTES], path[PATH_BYTES];
	unsigned long random;
	int result;

	(void)env;
	spec->created_ms = world_now_ms(world_real);
	spec->ids = keeper->rootless.first;
	world_random(world_real, &random, sizeof(random));
	(void)!path_make(fresh, NULL, "%s/layers/.new-%016lx", keeper->pool.dir, random);
	if (request->layer_count != 1 || layer_name_check(request->layers[0], err) || request->image[0] != '/') {
		free(spec);
		return err_set(err, ERR_INVALID, "an import names one layer and one folder");
	}
	result = mkdir(fresh, 0700) ? err_errno(err, errno, "cannot make %s", fresh) : 0;
	if (!result)
		result = path_make(path, err, "%s/meta", fresh) || meta_copy(meta_fd, path, err) ||
					 path_make(path, err, "%s/spec", fresh) || spec_write(path, spec, 0, true, err)
				 ? -1
				 : 0;
	free(spec);
	if (result)
		return -1;
	job.self = pending = long_new(keeper, request, request->env);
	memcpy(pending->layer, request->layers[0], sizeof(pending->layer));
	pending->copy = (struct tree_copy){.to = keeper->rootless.first,
					   .one_id = keeper->rootless.active && !keeper->rootless.count,
					   .reflink = keeper->pool.reflink};
	if (path_make(pending->from, err, "%s", request->image) || path_make(pending->to, err, "%s/tree", fresh) ||
	    job_start(keeper, &job, err)) {
		free(pending);
		(void)!storage_discard(&keeper->pool, fresh, NULL);
		return -1;
	}
	answer->later = true;
	return 0;
}

/* ---- sandboxes ---- */

int handle_sandbox_make(struct keeper *keeper, struct kept_env *env, const struct keeper_request *request, int meta_fd,
			struct answer *answer, struct err *err)
{
	(void)meta_fd;
	keeper_warm(keeper); /* for the next one */
	env->stopped[0] = '\0';
	if (kept_env_cgroups_make(keeper, env, err))
		return -1;
	return room_make(keeper, env, request, &answer->fd, err);
}

int handle_sandbox_remove(struct keeper *keeper, struct kept_env *env, const struct keeper_request *request, int meta_fd,
			  struct answer *answer, struct err *err)
{
	struct room *room = room_find(env, request->name);

	(void)meta_fd;
	(void)answer;
	if (!room)
		return 0;
	if (room_remove(keeper, env, room, err))
		return -1;
	storage_reap(&keeper->pool);
	return 0;
}

int handle_sandbox_usage(struct keeper *keeper, struct kept_env *env, const struct keeper_request *request, int meta_fd,
			 struct answer *answer, struct err *err)
{
	const struct room *room = room_find(env, request->name);

	(void)meta_fd;
	if (!room)
		return err_set(err, ERR_NOT_FOUND, "there is no sandbox %s", request->name);
	if (room->pid)
		room_usage(keeper, env, room, &answer->reply.usage);
	else
		answer->reply.usage = room->last;
	return 0;
}

/*
 * Threads are looked at one after the other, and one that was seen asleep may be woken by one that has yet to be seen, which then goes to
 * sleep itself: but that one has run meanwhile, and the processor time of all of them says so.
 */
int handle_env_activity(struct keeper *keeper, struct kept_env *env, const struct keeper_request *request, int meta_fd,
			struct answer *answer, struct err *err)
{
	int64_t before = cgroup_env_cpu(&keeper->cgroups, env->id.text);
	bool idle = true;

	(void)request;
	(void)meta_fd;
	(void)err;
	for (const struct room *room = env->rooms; room && idle && before >= 0; room = room->next)
		idle = !room->pid || cgroup_room_sleeps(&keeper->cgroups, env->id.text, room->name);
	if (before >= 0)
		answer->reply.activity = idle && cgroup_env_cpu(&keeper->cgroups, env->id.text) == before ? ACTIVITY_IDLE
													  : ACTIVITY_BUSY;
	return 0;
}
