/*
 * The mask: overlay layers that lie over a sandbox's root file system. `host` hides what is private to this machine, by an allow list
 * of top-level folders, an empty /var, and inside /etc, /opt and /usr/local everything that is not readable to all; `image` only puts
 * our few files over an image. Both are built afresh when the keeper starts.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/file.h"
#include "sandbox/local/keeper_priv.h"

#define ACCOUNT_UID 1000
#define ACCOUNT_BYTES_MAX ((size_t)1 << 20)
#define COPIED_FILE_BYTES_MAX ((size_t)4 << 20)
#define SCAN_DEPTH_MAX 32

static const char *const tops_shown[] = {"bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr", "etc", "opt"};
/* Scanned for what others may not read; the rest of /usr comes from packages. */
static const char *const scanned[] = {"etc", "opt", "usr/local"};
static const char *const hidden[] = {
	"etc/shadow",      "etc/shadow-",     "etc/gshadow",        "etc/gshadow-",       "etc/passwd-", "etc/group-",
	"etc/subuid",      "etc/subgid",      "etc/sudoers",        "etc/sudoers.d",      "etc/ssh",     "etc/ssl/private",
	"etc/assay",       "etc/machine-id",  "etc/NetworkManager", "etc/wpa_supplicant", "etc/docker",  "etc/kubernetes",
	"etc/krb5.keytab", "etc/letsencrypt", "etc/wireguard",      "etc/openvpn",        "etc/ppp",     "etc/containers",
	"etc/containerd",  "etc/cni",         "etc/rancher",        "etc/cron.d",         "etc/netplan", "etc/systemd/network",
};

struct fresh {
	const char *path;
	mode_t mode;
	uid_t owner;
	bool images; /* in the mask of images too */
	bool opaque; /* nothing of the lower folder shows */
};
static const struct fresh fresh[] = {
	{"proc", 0555, 0, true, true},
	{"sys", 0555, 0, true, true},
	{"dev", 0755, 0, true, true},
	{"etc", 0755, 0, true, false},
	{"tmp", 01777, 0, true, false},
	{"run", 0755, 0, true, false},
	{"run/lock", 01777, 0, true, false},
	{"home", 0755, 0, true, false},
	{"home/assay", 0755, ACCOUNT_UID, true, true},
	{"root", 0700, 0, true, false},
	{"workspace", 0755, ACCOUNT_UID, true, true},
	{"data", 0755, ACCOUNT_UID, true, true},
	{"var", 0755, 0, true, false},
	{"var/tmp", 01777, 0, true, false},
	{"mnt", 0755, 0, false, true},
	{"srv", 0755, 0, false, true},
	{"var/lib", 0755, 0, false, true},
	{"var/log", 0755, 0, false, true},
	{"var/cache", 0755, 0, false, true},
	{"var/spool", 0755, 0, false, true},
	{"var/mail", 0755, 0, false, true},
	{"usr", 0755, 0, true, false},
	{"usr/local", 0755, 0, true, false},
	{"usr/local/bin", 0755, 0, true, false},
};

struct mask {
	int root;
	const struct rootless *rootless;
};

/* What `id` of a sandbox is on disk: without a namespace that maps it, itself. */
static uid_t id_on_disk(const struct mask *mask, uid_t id)
{
	return mask->rootless->count ? mask->rootless->first + id : mask->rootless->active ? 0 : id;
}

static bool listed(const char *const *list, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(list[i], name) == 0)
			return true;
	return false;
}

/* Makes `path` of the mask hide what is below: a whiteout. */
static int whiteout(const struct mask *mask, const char *path, struct err *err)
{
	if (mknodat(mask->root, path, S_IFCHR | 0600, makedev(0, 0)) && errno != EEXIST)
		return err_errno(err, errno, "cannot hide /%s", path);
	return 0;
}

/* Folders of the mask that lead to `path`, looking like those of the host. */
static int parents_make(const struct mask *mask, const char *path, struct err *err)
{
	AUTO_FREE char *part = text_copy(path);

	for (char *slash = strchr(part, '/'); slash; slash = strchr(slash + 1, '/')) {
		struct stat info = {.st_mode = 0755};
		AUTO_FREE char *host = NULL;

		*slash = '\0';
		host = text_format("/%s", part);
		(void)!stat(host, &info);
		if (mkdirat(mask->root, part, 0700) == 0) {
			(void)!fchownat(mask->root, part, id_on_disk(mask, 0), id_on_disk(mask, 0), AT_SYMLINK_NOFOLLOW);
			(void)!fchmodat(mask->root, part, info.st_mode & 07777, 0);
		} else if (errno != EEXIST)
			return err_errno(err, errno, "cannot make /%s of the mask", part);
		*slash = '/';
	}
	return 0;
}

static bool shown(const char *path, const struct stat *info)
{
	if (listed(hidden, ARRAY_LEN(hidden), path))
		return false;
	if (S_ISLNK(info->st_mode))
		return true;
	if (S_ISDIR(info->st_mode))
		return (info->st_mode & 05) == 05;
	return S_ISREG(info->st_mode) && (info->st_mode & 04);
}

/* Hides what is private below the host's /path. */
static int scan(const struct mask *mask, const char *path, int depth, struct err *err)
{
	AUTO_FREE char *host = text_format("/%s", path);
	int fd = open(host, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	int result = 0;

	if (!dir)
		return 0; /* there is none, or it is a link into what is scanned itself */
	while (!result && (entry = readdir(dir))) {
		AUTO_FREE char *below = text_format("%s/%s", path, entry->d_name);
		struct stat info;

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (fstatat(dirfd(dir), entry->d_name, &info, AT_SYMLINK_NOFOLLOW))
			continue;
		if (!shown(below, &info) || depth == SCAN_DEPTH_MAX)
			result = parents_make(mask, below, err) || whiteout(mask, below, err) ? -1 : 0;
		else if (S_ISDIR(info.st_mode))
			result = scan(mask, below, depth + 1, err);
	}
	(void)closedir(dir);
	return result;
}

static int put(const struct mask *mask, const char *path, struct view bytes, mode_t mode, struct err *err)
{
	AUTO_CLOSE int fd = openat(mask->root, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

	if (fd < 0)
		return err_errno(err, errno, "cannot make /%s of the mask", path);
	if (fchown(fd, id_on_disk(mask, 0), id_on_disk(mask, 0)) || fchmod(fd, mode))
		return err_errno(err, errno, "cannot set the owner of /%s of the mask", path);
	return file_write_fd(fd, bytes, err) ? err_prefix(err, "/%s", path) : 0;
}

static int below_copy(const struct mask *mask, const char *path, dev_t device, int depth, struct err *err);

/* What is ours already stays. */
static int entry_copy(const struct mask *mask, const char *path, const struct stat *info, int depth, struct err *err)
{
	AUTO_FREE char *host = text_format("/%s", path);
	AUTO_BUF bytes = buf_new(COPIED_FILE_BYTES_MAX);
	char target[PATH_BYTES];
	ssize_t length;

	if (S_ISDIR(info->st_mode)) {
		AUTO_FREE char *inside = text_format("%s/.", path);

		return parents_make(mask, inside, err) || below_copy(mask, path, info->st_dev, depth + 1, err) ? -1 : 0;
	}
	if (faccessat(mask->root, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	if (S_ISREG(info->st_mode)) /* one that is too large, or just went, is left out */
		return file_read(host, &bytes, NULL) || bytes.over ? 0
								   : put(mask, path, buf_view(&bytes), info->st_mode & 0755, err);
	length = readlink(host, target, sizeof(target) - 1);
	if (length < 0)
		return 0;
	target[length] = '\0';
	return symlinkat(target, mask->root, path) ? err_errno(err, errno, "cannot make /%s of the mask", path) : 0;
}

/* Copies what shows of the host's /path, on its own file system, into the mask. */
static int below_copy(const struct mask *mask, const char *path, dev_t device, int depth, struct err *err)
{
	AUTO_FREE char *host = text_format("/%s", path);
	DIR *dir = opendir(host);
	struct dirent *entry;
	int result = 0;

	while (dir && !result && (entry = readdir(dir))) {
		AUTO_FREE char *below = text_format("%s/%s", path, entry->d_name);
		struct stat info;

		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 && depth < SCAN_DEPTH_MAX &&
		    fstatat(dirfd(dir), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 && info.st_dev == device &&
		    shown(below, &info))
			result = entry_copy(mask, below, &info, depth, err);
	}
	if (dir)
		(void)closedir(dir);
	return result;
}

/* /etc, where it cannot be the lower of an overlay. */
static int etc_copy(const struct mask *mask, struct err *err)
{
	struct stat info;

	for (size_t i = 0; i < ARRAY_LEN(tops_shown); i++)
		if (strcmp(tops_shown[i], "etc") == 0 && (mask->rootless->tops_mounted & (1u << i)))
			return stat("/etc", &info) ? err_errno(err, errno, "cannot read /etc")
						   : below_copy(mask, "etc", info.st_dev, 0, err);
	return 0;
}

static int tops_hide(const struct mask *mask, struct err *err)
{
	DIR *dir = opendir("/");
	struct dirent *entry;
	int result = 0;

	if (!dir)
		return err_errno(err, errno, "cannot list /");
	while (!result && (entry = readdir(dir))) {
		struct stat info;

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
		    listed(tops_shown, ARRAY_LEN(tops_shown), entry->d_name))
			continue;
		if (fstatat(mask->root, entry->d_name, &info, AT_SYMLINK_NOFOLLOW)) /* not one of ours */
			result = whiteout(mask, entry->d_name, err);
	}
	(void)closedir(dir);
	return result;
}

static int fresh_make(const struct mask *mask, bool image, struct err *err)
{
	const char *mark = mask->rootless->active ? "user.overlay.opaque" : "trusted.overlay.opaque";

	for (size_t i = 0; i < ARRAY_LEN(fresh); i++) {
		/* Over the host's root every folder of ours starts empty but those that lead to its programs. */
		bool leads = strncmp(fresh[i].path, "usr", 3) == 0 || strcmp(fresh[i].path, "etc") == 0;
		AUTO_CLOSE int fd = -1;
		uid_t owner;

		if (image && !fresh[i].images)
			continue;
		if (mkdirat(mask->root, fresh[i].path, 0700))
			return err_errno(err, errno, "cannot make /%s of the mask", fresh[i].path);
		fd = openat(mask->root, fresh[i].path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		owner = id_on_disk(mask, fresh[i].owner);
		if (fd < 0 || fchown(fd, owner, owner) || fchmod(fd, fresh[i].mode))
			return err_errno(err, errno, "cannot set the owner of /%s of the mask", fresh[i].path);
		if ((image ? fresh[i].opaque : !leads) && fsetxattr(fd, mark, "y", 1, 0))
			return err_errno(err, errno, "cannot make /%s opaque", fresh[i].path);
	}
	if (!image && (symlinkat("/run", mask->root, "var/run") || symlinkat("/run/lock", mask->root, "var/lock")))
		return err_errno(err, errno, "cannot make /var/run of the mask");
	return 0;
}

/* The host's system accounts (their ids own files that show), and ours. */
static int accounts_put(const struct mask *mask, const char *path, const char *extra, struct err *err)
{
	AUTO_FREE char *host = text_format("/%s", path);
	AUTO_BUF lines = buf_new(ACCOUNT_BYTES_MAX);
	AUTO_BUF kept = buf_new(ACCOUNT_BYTES_MAX);
	struct view rest, line;

	if (file_read(host, &lines, err))
		return -1;
	for (rest = buf_view(&lines); rest.length;) {
		struct view id, after;
		uint64_t number;

		line = view_cut(rest, '\n', &rest);
		(void)view_cut(line, ':', &after);
		(void)view_cut(after, ':', &after);
		id = view_cut(after, ':', &after);
		if (!view_to_u64(id, &number) || (number >= ACCOUNT_UID && number != 65534) || view_starts(line, VIEW("assay:")))
			continue;
		buf_add_view(&kept, line);
		buf_add_char(&kept, '\n');
	}
	buf_add_text(&kept, extra);
	return put(mask, path, buf_view(&kept), 0644, err);
}

static int files_put(const struct mask *mask, bool image, const struct keeper_tool *tools, size_t tool_count, struct err *err)
{
	if (put(mask, "etc/hosts", VIEW("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"), 0644, err) ||
	    put(mask, "etc/resolv.conf", VIEW("nameserver 127.0.0.1\noptions ndots:0\n"), 0644, err) ||
	    put(mask, "etc/hostname", VIEW("sandbox\n"), 0644, err))
		return -1;
	if (!image && (accounts_put(mask, "etc/passwd", "assay:x:1000:1000:Assay:/home/assay:/bin/bash\n", err) ||
		       accounts_put(mask, "etc/group", "assay:x:1000:\n", err) ||
		       put(mask, "etc/nsswitch.conf",
			   VIEW("passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\nprotocols: files\n"
				"services: files\n"),
			   0644, err)))
		return -1;
	for (size_t i = 0; i < tool_count; i++) {
		AUTO_FREE char *path = text_format("usr/local/bin/%s", tools[i].name);

		if (put(mask, path, view_make(tools[i].bytes, tools[i].length), 0755, err))
			return -1;
	}
	return 0;
}

/*
 * In a user namespace the host's root, under which other mounts lie, cannot be the lower of an overlay; its folders can. So the mask is
 * all of the root there, with links and mount points for those folders (room.c mounts an overlay on each).
 */
static int tops_place(const struct mask *mask, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(tops_shown); i++) {
		AUTO_FREE char *host = text_format("/%s", tops_shown[i]);
		char target[PATH_BYTES];
		struct stat info;
		ssize_t length;

		if (lstat(host, &info))
			continue;
		if (S_ISDIR(info.st_mode)) {
			AUTO_FREE char *inside = text_format("%s/.", tops_shown[i]);

			if (parents_make(mask, inside, err))
				return -1;
			continue;
		}
		length = readlink(host, target, sizeof(target) - 1);
		if (length < 0)
			continue;
		target[length] = '\0';
		if (symlinkat(target, mask->root, tops_shown[i]))
			return err_errno(err, errno, "cannot make /%s of the mask", tops_shown[i]);
	}
	return 0;
}

/* Rooms have an authority of their own among the trusted ones (trust.c): where ids are not mapped, that folder must be ours to change. */
static int trust_place(const struct mask *mask, struct err *err)
{
	struct stat info;

	if (!mask->rootless->active || lstat("/etc/ssl/certs", &info) || !S_ISDIR(info.st_mode))
		return 0;
	return parents_make(mask, "etc/ssl/certs/.", err);
}

/* The user's home, should it lie in a folder that shows. */
static int home_hide(const struct mask *mask, struct err *err)
{
	const char *home = mask->rootless->home;
	size_t length = strcspn(*home ? home + 1 : "", "/");

	if (!*home)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(tops_shown); i++)
		if (strlen(tops_shown[i]) == length && strncmp(tops_shown[i], home + 1, length) == 0) {
			if (!home[1 + length])
				return err_set(err, ERR_DENIED, "the home folder %s is one that sandboxes show", home);
			return parents_make(mask, home + 1, err) || whiteout(mask, home + 1, err) ? -1 : 0;
		}
	return 0;
}

static int one_build(const struct storage *pool, const char *name, const struct rootless *rootless, const struct keeper_tool *tools,
		     size_t tool_count, struct err *err)
{
	bool image = strcmp(name, "image") == 0;
	char path[PATH_BYTES];
	AUTO_CLOSE int root = -1;
	struct mask mask = {.rootless = rootless};

	if (path_make(path, err, "%s/mask/%s", pool->dir, name))
		return -1;
	if (mkdir(path, 0755) || (root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		return err_errno(err, errno, "cannot make %s", path);
	mask.root = root;
	if (fresh_make(&mask, image, err) || files_put(&mask, image, tools, tool_count, err))
		return -1;
	if (image)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(scanned); i++)
		if (scan(&mask, scanned[i], 0, err))
			return -1;
	return trust_place(&mask, err) || home_hide(&mask, err) || etc_copy(&mask, err) ||
			       (rootless->active ? tops_place(&mask, err) : tops_hide(&mask, err))
		       ? -1
		       : 0;
}

bool mask_top_is_private(const char *top)
{
	return strcmp(top, "etc") == 0 || strcmp(top, "opt") == 0;
}

const char *mask_top(size_t i)
{
	return i < ARRAY_LEN(tops_shown) ? tops_shown[i] : NULL;
}

int mask_build(const struct storage *pool, const struct rootless *rootless, const struct keeper_tool *tools, size_t tool_count,
	       struct err *err)
{
	char path[PATH_BYTES];

	if (path_make(path, err, "%s/mask", pool->dir) || storage_discard(pool, path, err))
		return -1;
	if (mkdir(path, 0755))
		return err_errno(err, errno, "cannot make %s", path);
	if (one_build(pool, "host", rootless, tools, tool_count, err) || one_build(pool, "image", rootless, tools, tool_count, err))
		return err_prefix(err, "cannot build the mask");
	return 0;
}
