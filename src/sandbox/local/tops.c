/*
 * The host's top-level folders with mounts below them, in the root of an ordinary user's sandbox.
 *
 * A folder below which something is mounted (a partition at /usr/local, the drivers of WSL below /usr/lib) cannot be the lower of a user's
 * overlay: the kernel reveals nothing that lies under a mount to a user. So /usr and the like are taken apart, one read-only overlay for
 * each folder in them, or a read-only bind where that is still too much, with an empty folder over what is mounted; of /etc the mask has
 * a copy (mask.c); of others nothing shows.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "sandbox/local/room_priv.h"

#define TOP_OPTIONS_BYTES 4096
#define MOUNTINFO_BYTES_MAX ((size_t)4 << 20)
#define EMPTY_FOLDER "mask/host/mnt"

/* Mount points as /proc has them: blanks and the like are \ooo. */
static void unescape(char *text)
{
	char *to = text;

	for (const char *at = text; *at; at++, to++) {
		unsigned code;

		if (*at == '\\' && sscanf(at + 1, "%3o", &code) == 1) {
			*to = (char)code;
			at += 3;
		} else
			*to = *at;
	}
	*to = '\0';
}

/* Calls `each` for every mount point below `folder`; ends when that fails. */
static int mounts_below(const char *folder, int (*each)(void *self, const char *point, struct err *err), void *self,
			struct err *err)
{
	AUTO_BUF text = buf_new(MOUNTINFO_BYTES_MAX);
	AUTO_CLOSE int fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	size_t length = strlen(folder);

	if (fd < 0 || file_read_fd(fd, &text, err))
		return err_set(err, ERR_BROKEN, "cannot read /proc/self/mountinfo");
	for (struct view rest = buf_view(&text), line; rest.length;) {
		AUTO_FREE char *copy = NULL;
		char point[PATH_BYTES];

		line = view_cut(rest, '\n', &rest);
		copy = view_copy(line);
		if (sscanf(copy, "%*d %*d %*s %*s %1023s", point) != 1)
			continue;
		unescape(point);
		if (strncmp(point, folder, length) == 0 && point[length] == '/' && each(self, point, err))
			return -1;
	}
	return 0;
}

static int seen(void *self, const char *point, struct err *err)
{
	bool *any = self;

	(void)point;
	(void)err;
	*any = true;
	return 0;
}

unsigned tops_mounted(void)
{
	unsigned bits = 0;
	const char *top;

	for (unsigned i = 0; (top = mask_top(i)); i++) {
		AUTO_FREE char *folder = text_format("/%s", top);
		bool any = false;

		(void)!mounts_below(folder, seen, &any, NULL);
		bits |= any ? 1u << i : 0u;
	}
	return bits;
}

/* ---- in the room's child, whose working directory is the root ---- */

static int root_place(int root, const char *path, char place[PATH_BYTES], struct err *err)
{
	return path_make(place, err, "/proc/self/fd/%d/%s", root, path);
}

/* A lower option and, where `dir` (below the room's folder) is not NULL, a writable layer. */
static int layered(const struct plan *plan, int root, const char *lower, const char *path, const char *dir, struct err *err)
{
	char options[TOP_OPTIONS_BYTES], folder[PATH_BYTES], place[PATH_BYTES];
	size_t used = (size_t)snprintf(options, sizeof(options), "lowerdir=%s", lower);
	int failed;

	if (path_make(folder, err, "%s/scratch", plan->keeper->pool.dir) || root_place(root, path, place, err))
		return -1;
	if (chdir(folder))
		return err_errno(err, errno, "cannot enter %s", folder);
	if (dir && path_make(folder, err, "%s/%s", plan->dir, dir))
		return -1;
	if (dir && used < sizeof(options))
		used += storage_overlay_options(&plan->keeper->pool, folder, options + used, sizeof(options) - used);
	else if (used < sizeof(options))
		used += (size_t)snprintf(options + used, sizeof(options) - used, ",userxattr");
	if (used >= sizeof(options))
		return err_set(err, ERR_LIMIT, "the options of the overlay over /%s are too long", path);
	failed = mount("overlay", place, "overlay", MS_NODEV | MS_NOSUID | (dir ? 0 : MS_RDONLY), options) ? errno : 0;
	if (fchdir(root))
		return err_errno(err, errno, "cannot enter the root");
	return failed ? err_errno(err, failed, "cannot mount the overlay over /%s", path) : 0;
}

/* Puts nothing where on the host something is mounted. */
static int point_hide(void *self, const char *point, struct err *err)
{
	const struct plan *plan = self;
	struct open_how how = {.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
	AUTO_CLOSE int target = (int)syscall(SYS_openat2, AT_FDCWD, point + 1, &how, sizeof(how));
	AUTO_CLOSE int tree = -1;
	char empty[PATH_BYTES];
	struct stat info;

	if (target < 0 || fstat(target, &info)) /* under one that is hidden already */
		return errno == ENOENT ? 0 : err_errno(err, errno, "cannot hide %s", point);
	if (path_make(empty, err, "%s/" EMPTY_FOLDER, plan->keeper->pool.dir) ||
	    ids_mount(S_ISDIR(info.st_mode) ? empty : "/dev/null", -1, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV, &tree, err))
		return -1;
	if (syscall(SYS_move_mount, tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH))
		return err_errno(err, errno, "cannot hide %s", point);
	return 0;
}

static int bound(const struct plan *plan, const char *path, struct err *err)
{
	AUTO_FREE char *host = text_format("/%s", path);
	AUTO_CLOSE int tree = (int)syscall(SYS_open_tree, AT_FDCWD, host, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
	struct mount_attr attributes = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
					.propagation = 1u << 18 /* MS_PRIVATE */};

	if (tree < 0 || syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes, sizeof(attributes)) ||
	    syscall(SYS_move_mount, tree, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH))
		return err_errno(err, errno, "cannot show %s", host);
	return mounts_below(host, point_hide, (void *)(uintptr_t)plan, err);
}

/* One entry of a folder that is taken apart. */
static int part_mount(const struct plan *plan, int root, const char *path, const struct stat *info, struct err *err)
{
	AUTO_FREE char *host = text_format("/%s", path);
	AUTO_FREE char *mask = text_format("%s/mask/host/%s", plan->keeper->pool.dir, path);
	AUTO_FREE char *lower = text_format("../%s%s:/%s", file_is_dir(mask) ? "mask/host/" : EMPTY_FOLDER,
					    file_is_dir(mask) ? path : "", path);
	char target[PATH_BYTES];
	bool mounted = false;

	if (S_ISLNK(info->st_mode)) {
		ssize_t length = readlink(host, target, sizeof(target) - 1);

		target[length > 0 ? length : 0] = '\0';
		return length < 0 || (symlink(target, path) && errno != EEXIST) ? err_errno(err, errno, "cannot make %s", host) : 0;
	}
	if (!S_ISDIR(info->st_mode))
		return 0;
	if (mkdir(path, 0755) && errno != EEXIST)
		return err_errno(err, errno, "cannot make %s", host);
	(void)!mounts_below(host, seen, &mounted, NULL);
	return mounted ? bound(plan, path, err) : layered(plan, root, lower, path, NULL, err);
}

/* Is something mounted there? An overlay over the folder would not show that either. */
static bool is_point(int dir, const char *name)
{
	struct statx info;

	return statx(dir, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_TYPE, &info) == 0 &&
	       (info.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

static int apart_mount(const struct plan *plan, int root, const char *top, struct err *err)
{
	AUTO_FREE char *host = text_format("/%s", top);
	DIR *dir = opendir(host);
	struct stat info;
	struct dirent *entry;
	int result = 0;

	if (!dir)
		return err_errno(err, errno, "cannot list %s", host);
	while (!result && (entry = readdir(dir))) {
		AUTO_FREE char *path = text_format("%s/%s", top, entry->d_name);

		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
		    fstatat(dirfd(dir), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 && !is_point(dirfd(dir), entry->d_name))
			result = part_mount(plan, root, path, &info, err);
	}
	(void)closedir(dir);
	return result;
}

int room_parts_mount(const struct plan *plan, size_t index, struct err *err)
{
	const char *top = mask_top(index);
	AUTO_CLOSE int root = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	AUTO_FREE char *lower = text_format("../mask/host/%s", top);
	AUTO_FREE char *dir = text_format("tops/%zu", index);

	if (root < 0)
		return err_errno(err, errno, "cannot open the root");
	return mask_top_is_private(top) ? layered(plan, root, lower, top, dir, err) : apart_mount(plan, root, top, err);
}
