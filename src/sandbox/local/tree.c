/*
 * Whole trees, made by programs we do not trust: copied, counted and removed by descriptors, never through a symlink. Depth costs
 * descriptors while copying (bounded), and nothing while removing: what is deep is hoisted to the top first.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "sandbox/local/keeper_priv.h"

#define DEPTH_MAX 4096 /* of a copy */
#define HOIST_DEPTH 64 /* of a removal */
#define XATTR_LIST_BYTES ((size_t)64 << 10)
#define COPY_CHUNK ((size_t)1 << 20)
#define LINK_BUCKETS 4096
#define EXTENTS_AT_ONCE 128
#define INODE_BYTES 512                  /* XFS */
#define OWN_BYTES_MIN ((int64_t)8 << 20) /* smaller files are counted whole */

struct link {
	struct link *next;
	dev_t device;
	ino_t inode;
	char *path; /* in the copy */
};

struct copy {
	const struct tree_copy *how;
	struct link **links;
	struct buf path;
	int to_root;
	char *names; /* room for xattr names */
	char *value;
};

static uid_t id_move(const struct tree_copy *how, uid_t id)
{
	if (how->one_id)
		return how->to;
	return id >= how->from && id - how->from < IDS_RANGE ? how->to + (id - how->from) : id;
}

/* A name in a folder as a path that l*xattr(2) takes; the last part is not followed. */
static void name_path(char path[PATH_BYTES], int dir, const char *name)
{
	(void)snprintf(path, PATH_BYTES, "/proc/self/fd/%d/%s", dir, name);
}

static int xattrs_copy(struct copy *copy, int from, int to, const char *name, struct err *err)
{
	char source[PATH_BYTES], target[PATH_BYTES];
	ssize_t length;

	name_path(source, from, name);
	name_path(target, to, name);
	length = llistxattr(source, copy->names, XATTR_LIST_BYTES);
	if (length < 0)
		return errno == ENOTSUP ? 0 : err_errno(err, errno, "cannot list the attributes of %s", name);
	for (const char *key = copy->names; key < copy->names + length; key += strlen(key) + 1) {
		ssize_t size = lgetxattr(source, key, copy->value, XATTR_LIST_BYTES);

		if (size < 0 || lsetxattr(target, key, copy->value, (size_t)size, 0))
			return err_errno(err, errno, "cannot copy the attribute %s of %s", key, name);
	}
	return 0;
}

static int contents_copy(const struct copy *copy, int from, int to, off_t size, struct err *err)
{
	off_t at = 0;

	if (copy->how->reflink && ioctl(to, FICLONE, from) == 0)
		return 0;
	while (at < size && (at = lseek(from, at, SEEK_DATA)) >= 0) {
		off_t end = lseek(from, at, SEEK_HOLE);

		if (end < 0 || lseek(to, at, SEEK_SET) < 0)
			return err_errno(err, errno, "cannot seek");
		while (at < end) {
			ssize_t done = copy_file_range(from, &at, to, NULL, (size_t)(end - at), 0);

			if (done < 0 && (errno == EXDEV || errno == EINVAL || errno == EOPNOTSUPP)) /* between file systems */
				done = sendfile(to, from, &at, (size_t)(end - at));
			if (done < 0)
				return err_errno(err, errno, "cannot copy");
			if (done == 0)
				break;
		}
	}
	return ftruncate(to, size) ? err_errno(err, errno, "cannot set the size") : 0;
}

static int file_copy(struct copy *copy, int from, int to, const char *name, const struct stat *info, struct err *err)
{
	AUTO_CLOSE int source = openat(from, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	AUTO_CLOSE int target = -1;

	if (source < 0)
		return err_errno(err, errno, "cannot open %s", name);
	target = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (target < 0)
		return err_errno(err, errno, "cannot make %s", name);
	if (contents_copy(copy, source, target, info->st_size, err))
		return err_prefix(err, "%s", name);
	return 0;
}

static struct link **link_place(const struct copy *copy, const struct stat *info)
{
	struct link **place = &copy->links[(info->st_ino ^ info->st_dev) % LINK_BUCKETS];

	while (*place && ((*place)->inode != info->st_ino || (*place)->device != info->st_dev))
		place = &(*place)->next;
	return place;
}

/* True when `name` is another link to a file that was copied before, and now is in the copy too. */
static bool link_copied(struct copy *copy, int to, const char *name, const struct stat *info)
{
	struct link **place;

	if (S_ISDIR(info->st_mode) || info->st_nlink < 2)
		return false;
	place = link_place(copy, info);
	if (*place)
		return linkat(copy->to_root, (*place)->path, to, name, 0) == 0;
	*place = mem_new(sizeof(**place));
	**place = (struct link){.device = info->st_dev, .inode = info->st_ino};
	(*place)->path = text_format("%.*s%s%s", (int)copy->path.length, copy->path.at ? copy->path.at : "",
				     copy->path.length ? "/" : "", name);
	return false;
}

static int below_copy(struct copy *copy, int from, int to, int depth, struct err *err);

static int node_make(struct copy *copy, int from, int to, const char *name, const struct stat *info, int depth, struct err *err)
{
	char text[PATH_MAX];
	ssize_t length;

	if (S_ISREG(info->st_mode))
		return file_copy(copy, from, to, name, info, err);
	if (S_ISLNK(info->st_mode)) {
		length = readlinkat(from, name, text, sizeof(text) - 1);
		if (length < 0)
			return err_errno(err, errno, "cannot read the link %s", name);
		text[length] = '\0';
		return symlinkat(text, to, name) ? err_errno(err, errno, "cannot make the link %s", name) : 0;
	}
	if (!S_ISDIR(info->st_mode))
		return mknodat(to, name, info->st_mode, info->st_rdev) ? err_errno(err, errno, "cannot make %s", name) : 0;
	if (mkdirat(to, name, 0700))
		return err_errno(err, errno, "cannot make the folder %s", name);
	{
		AUTO_CLOSE int child_from = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		AUTO_CLOSE int child_to = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		size_t mark = copy->path.length;
		int result;

		if (child_from < 0 || child_to < 0)
			return err_errno(err, errno, "cannot open the folder %s", name);
		buf_add_format(&copy->path, "%s%s", mark ? "/" : "", name);
		result = below_copy(copy, child_from, child_to, depth + 1, err);
		copy->path.length = mark;
		return result;
	}
}

static int entry_copy(struct copy *copy, int from, int to, const char *name, int depth, struct err *err)
{
	struct stat info;

	if (fstatat(from, name, &info, AT_SYMLINK_NOFOLLOW))
		return err_errno(err, errno, "cannot read %s", name);
	if (link_copied(copy, to, name, &info))
		return 0;
	if (node_make(copy, from, to, name, &info, depth, err))
		return -1;
	if (fchownat(to, name, id_move(copy->how, info.st_uid), id_move(copy->how, info.st_gid), AT_SYMLINK_NOFOLLOW))
		return err_errno(err, errno, "cannot set the owner of %s", name);
	if (!S_ISLNK(info.st_mode) && fchmodat(to, name, info.st_mode & 07777, 0))
		return err_errno(err, errno, "cannot set the mode of %s", name);
	if (xattrs_copy(copy, from, to, name, err))
		return -1;
	(void)utimensat(to, name, (struct timespec[2]){info.st_atim, info.st_mtim}, AT_SYMLINK_NOFOLLOW);
	return 0;
}

static int below_copy(struct copy *copy, int from, int to, int depth, struct err *err)
{
	int again = depth > DEPTH_MAX ? -1 : openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = again < 0 ? NULL : fdopendir(again);
	struct dirent *entry;
	int result = 0;

	if (depth > DEPTH_MAX)
		return err_set(err, ERR_LIMIT, "folders are more than %d deep", DEPTH_MAX);
	if (!dir)
		return err_errno(err, errno, "cannot list a folder");
	while (!result && (entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			result = entry_copy(copy, from, to, entry->d_name, depth, err);
	(void)closedir(dir);
	return result;
}

static void copy_fini(struct copy *copy)
{
	for (size_t i = 0; i < LINK_BUCKETS; i++)
		while (copy->links[i]) {
			struct link *link = copy->links[i];

			copy->links[i] = link->next;
			free(link->path);
			free(link);
		}
	free(copy->links);
	free(copy->names);
	free(copy->value);
	buf_fini(&copy->path);
}

int tree_copy(const char *from, const char *to, const struct tree_copy *how, struct err *err)
{
	struct copy copy = {.how = how,
			    .links = mem_new_array(LINK_BUCKETS, sizeof(struct link *)),
			    .path = buf_new((size_t)8 << 20),
			    .names = mem_new(XATTR_LIST_BYTES),
			    .value = mem_new(XATTR_LIST_BYTES)};
	AUTO_CLOSE int source = open(from, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	AUTO_CLOSE int target = -1;
	struct stat info;
	int result;

	if (source < 0 || fstat(source, &info) || mkdir(to, 0700))
		result = err_errno(err, errno, "cannot copy %s to %s", from, to);
	else {
		target = copy.to_root = open(to, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		result = below_copy(&copy, source, target, 0, err) || xattrs_copy(&copy, source, target, ".", err) ? -1 : 0;
		if (!result &&
		    (fchown(target, id_move(how, info.st_uid), id_move(how, info.st_gid)) || fchmod(target, info.st_mode & 07777)))
			result = err_errno(err, errno, "cannot set the owner of %s", to);
	}
	copy_fini(&copy);
	return result ? err_prefix(err, "copying %s", from) : 0;
}

/* The bytes of a file that no other file shares. */
static int64_t own_bytes(int dir, const char *name)
{
	AUTO_CLOSE int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	union {
		struct fiemap map;
		char bytes[sizeof(struct fiemap) + EXTENTS_AT_ONCE * sizeof(struct fiemap_extent)];
	} place;
	uint64_t from = 0;
	int64_t bytes = 0;

	while (fd >= 0) {
		memset(&place.map, 0, sizeof(place.map));
		place.map.fm_start = from;
		place.map.fm_length = UINT64_MAX - from;
		place.map.fm_extent_count = EXTENTS_AT_ONCE;
		if (ioctl(fd, FS_IOC_FIEMAP, &place.map) || !place.map.fm_mapped_extents)
			return bytes;
		for (unsigned i = 0; i < place.map.fm_mapped_extents; i++) {
			const struct fiemap_extent *extent = &place.map.fm_extents[i];

			from = extent->fe_logical + extent->fe_length;
			if (!(extent->fe_flags & FIEMAP_EXTENT_SHARED))
				bytes += (int64_t)extent->fe_length;
			if (extent->fe_flags & FIEMAP_EXTENT_LAST)
				return bytes;
		}
	}
	return 0;
}

static int64_t entry_bytes(int dir, const char *name, const struct stat *info, bool own)
{
	int64_t links = S_ISDIR(info->st_mode) || !info->st_nlink ? 1 : (int64_t)info->st_nlink;

	if (own && S_ISREG(info->st_mode) && info->st_blocks * 512 > OWN_BYTES_MIN)
		return own_bytes(dir, name);
	/* A file without a byte takes an inode of the disk. */
	return (info->st_blocks * 512 + (own ? INODE_BYTES : 0)) / links;
}

/* What is mounted below is not in the tree: an overlay would be counted beside its own upper folder. */
static int64_t bytes_below(int dir_fd, dev_t device, bool own, int depth)
{
	DIR *dir = fdopendir(dir_fd);
	struct dirent *entry;
	int64_t bytes = 0;

	if (!dir) {
		(void)close(dir_fd);
		return 0;
	}
	while ((entry = readdir(dir))) {
		struct stat info;
		int child;

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
		    fstatat(dirfd(dir), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) || info.st_dev != device)
			continue;
		bytes += entry_bytes(dirfd(dir), entry->d_name, &info, own);
		if (!S_ISDIR(info.st_mode) || depth > DEPTH_MAX)
			continue;
		child = openat(dirfd(dir), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (child >= 0)
			bytes += bytes_below(child, device, own, depth + 1);
	}
	(void)closedir(dir);
	return bytes;
}

int64_t tree_bytes(const char *path, bool own)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat info;

	if (fd >= 0 && fstat(fd, &info) == 0)
		return bytes_below(fd, info.st_dev, own, 0);
	if (fd >= 0)
		(void)close(fd);
	return 0;
}

struct clear {
	int top;
	unsigned long hoisted;
	unsigned long stuck; /* what could not be removed: the loop over the top ends when nothing else moves */
};

/* Takes immutable and append-only off. */
static void flags_clear(int dir, const char *name)
{
	AUTO_CLOSE int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	unsigned int flags = 0;

	if (fd >= 0 && ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0 && (flags & (FS_IMMUTABLE_FL | FS_APPEND_FL))) {
		flags &= ~(unsigned)(FS_IMMUTABLE_FL | FS_APPEND_FL);
		(void)ioctl(fd, FS_IOC_SETFLAGS, &flags);
	}
}

static void clear_below(struct clear *clear, int dir_fd, int depth);

static void clear_entry(struct clear *clear, int dir, const char *name, int depth)
{
	char hoisted[32];
	int child;

	if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
		return;
	if (errno == EPERM || errno == EACCES) {
		flags_clear(dir, ".");
		flags_clear(dir, name);
		if (unlinkat(dir, name, 0) == 0)
			return;
	}
	if (unlinkat(dir, name, AT_REMOVEDIR) == 0)
		return;
	(void)snprintf(hoisted, sizeof(hoisted), ".hoisted-%lu", clear->hoisted);
	if (depth >= HOIST_DEPTH && renameat(dir, name, clear->top, hoisted) == 0) {
		clear->hoisted++;
		return;
	}
	child = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (child >= 0)
		clear_below(clear, child, depth + 1);
	if (unlinkat(dir, name, AT_REMOVEDIR) && errno != ENOENT)
		clear->stuck++;
}

static void clear_below(struct clear *clear, int dir_fd, int depth)
{
	DIR *dir = fdopendir(dir_fd);
	struct dirent *entry;

	if (!dir) {
		(void)close(dir_fd);
		return;
	}
	while ((entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			clear_entry(clear, dirfd(dir), entry->d_name, depth);
	(void)closedir(dir);
}

void tree_clear(const char *path)
{
	struct clear clear = {.top = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
	unsigned long before;

	if (clear.top < 0)
		return;
	do {
		int again = openat(clear.top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		before = clear.hoisted;
		if (again >= 0)
			clear_below(&clear, again, 0);
	} while (clear.hoisted != before);
	(void)close(clear.top);
}

bool tree_can_reflink(const char *dir)
{
	char from[PATH_BYTES], to[PATH_BYTES];
	AUTO_CLOSE int source = -1;
	AUTO_CLOSE int target = -1;
	bool can = false;

	if (path_make(from, NULL, "%s/.reflink-a", dir) || path_make(to, NULL, "%s/.reflink-b", dir))
		return false;
	source = open(from, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	target = open(to, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (source >= 0 && target >= 0 && ftruncate(source, 4096) == 0 && pwrite(source, "x", 1, 0) == 1)
		can = ioctl(target, FICLONE, source) == 0;
	(void)unlink(from);
	(void)unlink(to);
	return can;
}
