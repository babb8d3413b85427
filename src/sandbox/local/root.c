/*
 * What a room sees, mounted by its child before it gives up its privileges: an overlay over id-mapped lowers as root, /dev, the volumes,
 * and /proc behind its masks. Paths inside the root are followed as the image has them, and never out of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/file.h"
#include "sandbox/init/control.h"
#include "sandbox/local/room_priv.h"

#define OVERLAY_OPTIONS_BYTES 4096
#define SHM_BYTES ((int64_t)256 << 20)
#define SHM_OPTION "size=%lld,nr_inodes=4096,mode=1777"

/* What only the machine's root may read is refused to the room's by its user namespace. */
const char *const room_proc_read_only[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger", NULL};
const char *const room_proc_hidden_files[] = {"/proc/kcore",         "/proc/keys",        "/proc/key-users", "/proc/timer_list",
					      "/proc/latency_stats", "/proc/sched_debug", "/proc/kallsyms",  NULL};
const char *const room_proc_hidden_folders[] = {"/proc/acpi", "/proc/asound", "/proc/scsi", NULL};

/* Where overlays are mounted from: all paths in their options begin there. */
static int scratch_enter(const struct plan *plan, struct err *err)
{
	char scratch[PATH_BYTES];

	if (path_make(scratch, err, "%s/scratch", plan->keeper->pool.dir))
		return -1;
	return chdir(scratch) ? err_errno(err, errno, "cannot enter %s", scratch) : 0;
}

static int overlay_mount(const struct plan *plan, struct err *err)
{
	char options[OVERLAY_OPTIONS_BYTES];
	size_t used = 0;

	if (scratch_enter(plan, err))
		return -1;
	for (size_t i = 0; i < plan->lowers.count; i++) {
		AUTO_CLOSE int tree = -1;
		char place[24];

		if (ids_mount(plan->lowers.at[i].path, plan->lowers.at[i].map_fd, MOUNT_ATTR_RDONLY, &tree, err))
			return -1;
		(void)snprintf(place, sizeof(place), "%zu", i);
		if (syscall(SYS_move_mount, tree, "", AT_FDCWD, place, MOVE_MOUNT_F_EMPTY_PATH))
			return err_errno(err, errno, "cannot mount %s", plan->lowers.at[i].path);
		used += (size_t)snprintf(options + used, sizeof(options) - used, "%s%s", i ? ":" : "lowerdir=", place);
	}
	used += storage_overlay_options(&plan->keeper->pool, plan->dir, options + used, sizeof(options) - used);
	if (used >= sizeof(options))
		return err_set(err, ERR_LIMIT, "the options of the root's overlay are longer than %d bytes", OVERLAY_OPTIONS_BYTES);
	if (mount("overlay", "root", "overlay", MS_NODEV | MS_NOSUID, options))
		return err_errno(err, errno, "cannot mount the root's overlay");
	if (chdir("root"))
		return err_errno(err, errno, "cannot enter the root");
	return 0;
}

bool room_has_tops(const struct plan *plan)
{
	return plan->keeper->rootless.active && !*plan->request->image;
}

/* Does the folder need an overlay of its own? Also when it is a mount of its own on the host: one over / would show it empty. Mounts
 * below these (/usr/share, /opt/one) are not shown. */
bool room_top_is_apart(const struct plan *plan, const char *top)
{
	AUTO_FREE char *path = text_format("/%s", top);
	struct statx info;

	if (room_has_tops(plan) || *plan->request->image)
		return room_has_tops(plan);
	return statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_TYPE, &info) == 0 && S_ISDIR(info.stx_mode) &&
	       (info.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

/* A read-only clone of a folder's mount, its ids mapped where its file system can, becomes scratch/`number`. */
static int scratch_attach(const struct plan *plan, const char *path, size_t number, struct err *err)
{
	AUTO_CLOSE int tree = -1;
	char place[24];

	if (ids_mount(path, plan->lowers.at[0].map_fd, MOUNT_ATTR_RDONLY, &tree, NULL) &&
	    ids_mount(path, -1, MOUNT_ATTR_RDONLY, &tree, err))
		return -1;
	(void)snprintf(place, sizeof(place), "%zu", number);
	return syscall(SYS_move_mount, tree, "", AT_FDCWD, place, MOVE_MOUNT_F_EMPTY_PATH)
		       ? err_errno(err, errno, "cannot mount %s", path)
		       : 0;
}

/* The lowers of a folder's overlay, while in scratch. */
static int top_lowers(const struct plan *plan, const char *top, size_t number, char options[OVERLAY_OPTIONS_BYTES], struct err *err)
{
	char mask[PATH_BYTES], host[PATH_BYTES];
	size_t first = plan->lowers.count + 2 * number;
	bool masked;

	if (room_has_tops(plan)) {
		(void)snprintf(options, OVERLAY_OPTIONS_BYTES, "lowerdir=../mask/host/%s:/%s", top, top);
		return 0;
	}
	if (path_make(mask, err, "%s/mask/host/%s", plan->keeper->pool.dir, top) || path_make(host, err, "/%s", top))
		return -1;
	masked = file_is_dir(mask);
	if (scratch_attach(plan, host, first + 1, err) || (masked && scratch_attach(plan, mask, first, err)))
		return -1;
	if (masked)
		(void)snprintf(options, OVERLAY_OPTIONS_BYTES, "lowerdir=%zu:%zu", first, first + 1);
	else
		(void)snprintf(options, OVERLAY_OPTIONS_BYTES, "lowerdir=%zu", first + 1);
	return 0;
}

/* The host's folder, behind its mask, on that of the root which is the working directory. */
static int top_mount(const struct plan *plan, const char *top, size_t number, struct err *err)
{
	AUTO_CLOSE int root = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	char options[OVERLAY_OPTIONS_BYTES], dir[PATH_BYTES], place[64];
	size_t used;

	if (path_make(dir, err, "%s/tops/%zu", plan->dir, number) || scratch_enter(plan, err) ||
	    top_lowers(plan, top, number, options, err))
		return -1;
	(void)snprintf(place, sizeof(place), "/proc/self/fd/%d/%s", root, top);
	used = strlen(options);
	used += storage_overlay_options(&plan->keeper->pool, dir, options + used, sizeof(options) - used);
	if (used >= sizeof(options))
		return err_set(err, ERR_LIMIT, "the options of the overlay over /%s are too long", top);
	if (mount("overlay", place, "overlay", MS_NODEV | MS_NOSUID, options))
		return err_errno(err, errno, "cannot mount the overlay over /%s", top);
	return root < 0 || fchdir(root) ? err_errno(err, errno, "cannot enter the root") : 0;
}

static bool is_folder(const char *path)
{
	struct stat info;

	return lstat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static int tops_mount(const struct plan *plan, struct err *err)
{
	const char *top;

	for (size_t i = 0; (top = mask_top(i)); i++)
		if (room_top_is_apart(plan, top) && is_folder(top) &&
		    (plan->keeper->rootless.tops_mounted & (1u << i) ? room_parts_mount(plan, i, err)
								     : top_mount(plan, top, i, err)))
			return -1;
	return 0;
}

/* Opens `path` inside the root that is the working directory, whatever symlinks the image has, making what is absent. */
int room_folder_open(const struct plan *plan, const char *path, int *fd, struct err *err)
{
	struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
	AUTO_FREE char *part = text_copy(path);
	AUTO_CLOSE int parent = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);

	for (char *at = part + 1;; at++) {
		char kept = *at, *name;
		int next;

		if (kept != '/' && kept != '\0')
			continue;
		*at = '\0';
		name = strrchr(part, '/') + 1;
		next = (int)syscall(SYS_openat2, AT_FDCWD, part, &how, sizeof(how));
		if (next < 0 && errno == ENOENT && mkdirat(parent, name, 0755) == 0) {
			(void)!fchownat(parent, name, kept_env_id(plan->env, INIT_PROGRAM_UID),
					kept_env_id(plan->env, INIT_PROGRAM_UID), AT_SYMLINK_NOFOLLOW);
			next = (int)syscall(SYS_openat2, AT_FDCWD, part, &how, sizeof(how));
		}
		if (next < 0)
			return err_errno(err, errno, "cannot make %s in the sandbox", part);
		scope_close(&parent);
		parent = next;
		*at = kept;
		if (!kept)
			break;
	}
	*fd = TAKE_FD(parent);
	return 0;
}

static int tree_attach(const struct plan *plan, int tree, const char *path, struct err *err)
{
	AUTO_CLOSE int folder = -1;

	if (room_folder_open(plan, path, &folder, err))
		return -1;
	if (syscall(SYS_move_mount, tree, "", folder, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH))
		return err_errno(err, errno, "cannot mount %s", path);
	return 0;
}

static int volumes_mount(const struct plan *plan, struct err *err)
{
	for (size_t i = 0; i < plan->request->mount_count; i++) {
		const struct keeper_mount *mount = &plan->request->mounts[i];
		uint64_t flags = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | (mount->read_only ? MOUNT_ATTR_RDONLY : 0);
		AUTO_CLOSE int tree = -1;

		if (ids_mount(plan->volumes[i], -1, flags, &tree, err) || tree_attach(plan, tree, mount->path, err))
			return err_prefix(err, "volume %s", mount->volume);
	}
	return 0;
}

/* Mounts a fresh file system at `path` of the root (followed safely) and enters it, if asked. */
static int fresh_mount(const struct plan *plan, const char *type, const char *path, unsigned long flags, const char *options,
		       struct err *err)
{
	AUTO_CLOSE int folder = -1;
	char place[64];

	if (room_folder_open(plan, path, &folder, err))
		return -1;
	(void)snprintf(place, sizeof(place), "/proc/self/fd/%d", folder);
	return mount(type, place, type, flags, options) ? err_errno(err, errno, "cannot mount %s", path) : 0;
}

/* In a user namespace no device can be made: the host's is mounted. */
static int device_borrow(const char *path)
{
	char host[40];

	(void)snprintf(host, sizeof(host), "/%s", path);
	return mknod(path, S_IFREG | 0666, 0) || mount(host, path, NULL, MS_BIND, NULL);
}

int64_t room_memory_limit(const struct plan *plan)
{
	return plan->request->limits.memory_bytes > 0 ? plan->request->limits.memory_bytes : LIMIT_MEMORY_DEFAULT;
}

static int devices_make(const struct plan *plan, struct err *err)
{
	static const struct {
		const char *name;
		unsigned major, minor;
	} devices[] = {{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}};
	static const char *const links[][2] = {{"pts/ptmx", "ptmx"},
					       {"/proc/self/fd", "fd"},
					       {"/proc/self/fd/0", "stdin"},
					       {"/proc/self/fd/1", "stdout"},
					       {"/proc/self/fd/2", "stderr"}};
	int64_t memory = room_memory_limit(plan), shm = SHM_BYTES;
	char options[128];

	if (fresh_mount(plan, "tmpfs", "/dev", MS_NOSUID | MS_NOEXEC, "size=64k,nr_inodes=64,mode=755", err))
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(devices); i++) {
		char path[32];

		(void)snprintf(path, sizeof(path), "dev/%s", devices[i].name);
		if (plan->keeper->rootless.active ? device_borrow(path)
						  : mknod(path, S_IFCHR | 0666, makedev(devices[i].major, devices[i].minor)) ||
							    chmod(path, 0666) || chown(path, plan->env->ids, plan->env->ids))
			return err_errno(err, errno, "cannot make /%s", path);
	}
	for (size_t i = 0; i < ARRAY_LEN(links); i++) {
		char path[32];

		(void)snprintf(path, sizeof(path), "dev/%s", links[i][1]);
		if (symlink(links[i][0], path))
			return err_errno(err, errno, "cannot make /%s", path);
	}
	if (mkdir("dev/pts", 0755) || mkdir("dev/shm", 01777))
		return err_errno(err, errno, "cannot make /dev/pts");
	(void)snprintf(options, sizeof(options), "newinstance,ptmxmode=0666,mode=0620,uid=%u,gid=%u", kept_env_id(plan->env, 0),
		       kept_env_id(plan->env, 5));
	if (mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, options))
		return err_errno(err, errno, "cannot mount /dev/pts");
	/* Where no control group counts what is in it, it is no larger than the memory that may be used. */
	if (!(plan->keeper->cgroups.controllers & CGROUP_MEMORY) && memory < shm)
		shm = memory;
	(void)snprintf(options, sizeof(options), SHM_OPTION, (long long)shm);
	if (mount("shm", "dev/shm", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options))
		return err_errno(err, errno, "cannot mount /dev/shm");
	return mount(NULL, "dev", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NOEXEC, NULL)
		       ? err_errno(err, errno, "cannot protect /dev")
		       : 0;
}

/* After the pivot: what of /proc speaks of the machine is hidden or read-only. */
static int proc_mask(struct err *err)
{
	const char *empty = NULL;

	for (size_t i = 0; room_proc_read_only[i]; i++)
		if (mount(room_proc_read_only[i], room_proc_read_only[i], NULL, MS_BIND | MS_REC, NULL)
			    ? errno != ENOENT
			    : mount(NULL, room_proc_read_only[i], NULL,
				    MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL))
			return err_errno(err, errno, "cannot protect %s", room_proc_read_only[i]);
	for (size_t i = 0; room_proc_hidden_files[i]; i++)
		if (mount("/dev/null", room_proc_hidden_files[i], NULL, MS_BIND, NULL) && errno != ENOENT)
			return err_errno(err, errno, "cannot hide %s", room_proc_hidden_files[i]);
	for (size_t i = 0; room_proc_hidden_folders[i]; i++) {
		/* One file system for all: making it is most of the cost. */
		if (empty ? mount(empty, room_proc_hidden_folders[i], NULL, MS_BIND, NULL)
			  : mount("tmpfs", room_proc_hidden_folders[i], "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
				  "size=0,nr_inodes=1")) {
			if (errno != ENOENT)
				return err_errno(err, errno, "cannot hide %s", room_proc_hidden_folders[i]);
		} else
			empty = room_proc_hidden_folders[i];
	}
	return 0;
}

int room_root_mount(const struct plan *plan, struct err *err)
{
	return overlay_mount(plan, err) || tops_mount(plan, err) || room_trust(plan, err) || devices_make(plan, err) ||
			       volumes_mount(plan, err)
		       ? -1
		       : 0;
}

int room_root_enter(const struct plan *plan, struct err *err)
{
	if (room_root_mount(plan, err) || fresh_mount(plan, "proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, err))
		return -1;
	if (syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH) || chdir("/"))
		return err_errno(err, errno, "cannot make the overlay the root");
	return proc_mask(err);
}
