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

static bool listed(const char *const *list, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(list[i], name) == 0)
			return true;
	return false;
}

/* Makes `path` of the mask hide what is below: a whiteout. */
static int whiteout(int root, const char *path, struct err *err)
{
	if (mknodat(root, path, S_IFCHR | 0600, makedev(0, 0)) && errno != EEXIST)
		return err_errno(err, errno, "cannot hide /%s", path);
	return 0;
}

/* Folders of the mask that lead to `path`, looking like those of the host. */
static int parents_make(int root, const char *path, struct err *err)
{
	AUTO_FREE char *part = text_copy(path);

	for (char *slash = strchr(part, '/'); slash; slash = strchr(slash + 1, '/')) {
		struct stat info = {.st_mode = 0755};
		AUTO_FREE char *host = NULL;

		*slash = '\0';
		host = text_format("/%s", part);
		(void)!stat(host, &info);
		if (mkdirat(root, part, info.st_mode & 07777) == 0)
			(void)!fchmodat(root, part, info.st_mode & 07777, 0);
		else if (errno != EEXIST)
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
static int scan(int root, const char *path, int depth, struct err *err)
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
			result = parents_make(root, below, err) || whiteout(root, below, err) ? -1 : 0;
		else if (S_ISDIR(info.st_mode))
			result = scan(root, below, depth + 1, err);
	}
	(void)closedir(dir);
	return result;
}

static int tops_hide(int root, struct err *err)
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
		if (fstatat(root, entry->d_name, &info, AT_SYMLINK_NOFOLLOW)) /* not one of ours */
			result = whiteout(root, entry->d_name, err);
	}
	(void)closedir(dir);
	return result;
}

static int fresh_make(int root, bool image, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(fresh); i++) {
		/* Over the host's root every folder of ours starts empty but those that lead to its programs. */
		bool leads = strncmp(fresh[i].path, "usr", 3) == 0 || strcmp(fresh[i].path, "etc") == 0;
		AUTO_CLOSE int fd = -1;

		if (image && !fresh[i].images)
			continue;
		if (mkdirat(root, fresh[i].path, 0700))
			return err_errno(err, errno, "cannot make /%s of the mask", fresh[i].path);
		fd = openat(root, fresh[i].path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0 || fchown(fd, fresh[i].owner, fresh[i].owner) || fchmod(fd, fresh[i].mode))
			return err_errno(err, errno, "cannot set the owner of /%s of the mask", fresh[i].path);
		if ((image ? fresh[i].opaque : !leads) && fsetxattr(fd, "trusted.overlay.opaque", "y", 1, 0))
			return err_errno(err, errno, "cannot make /%s opaque", fresh[i].path);
	}
	if (!image && (symlinkat("/run", root, "var/run") || symlinkat("/run/lock", root, "var/lock")))
		return err_errno(err, errno, "cannot make /var/run of the mask");
	return 0;
}

static int put(int root, const char *path, struct view bytes, mode_t mode, struct err *err)
{
	AUTO_CLOSE int fd = openat(root, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

	if (fd < 0)
		return err_errno(err, errno, "cannot make /%s of the mask", path);
	return file_write_fd(fd, bytes, err) || fchmod(fd, mode) ? err_prefix(err, "/%s", path) : 0;
}

/* The host's system accounts (their ids own files that show), and ours. */
static int accounts_put(int root, const char *path, const char *extra, struct err *err)
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
	return put(root, path, buf_view(&kept), 0644, err);
}

static int files_put(int root, bool image, const struct keeper_tool *tools, size_t tool_count, struct err *err)
{
	if (put(root, "etc/hosts", VIEW("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"), 0644, err) ||
	    put(root, "etc/resolv.conf", VIEW("nameserver 127.0.0.1\noptions ndots:0\n"), 0644, err) ||
	    put(root, "etc/hostname", VIEW("sandbox\n"), 0644, err))
		return -1;
	if (!image && (accounts_put(root, "etc/passwd", "assay:x:1000:1000:Assay:/home/assay:/bin/bash\n", err) ||
		       accounts_put(root, "etc/group", "assay:x:1000:\n", err) ||
		       put(root, "etc/nsswitch.conf",
			   VIEW("passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\nprotocols: files\n"
				"services: files\n"),
			   0644, err)))
		return -1;
	for (size_t i = 0; i < tool_count; i++) {
		AUTO_FREE char *path = text_format("usr/local/bin/%s", tools[i].name);

		if (put(root, path, view_make(tools[i].bytes, tools[i].length), 0755, err))
			return -1;
	}
	return 0;
}

static int one_build(const struct storage *pool, const char *name, bool image, const struct keeper_tool *tools, size_t tool_count,
		     struct err *err)
{
	char path[PATH_BYTES];
	AUTO_CLOSE int root = -1;

	if (path_make(path, err, "%s/mask/%s", pool->dir, name))
		return -1;
	if (mkdir(path, 0755) || (root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		return err_errno(err, errno, "cannot make %s", path);
	if (fresh_make(root, image, err) || files_put(root, image, tools, tool_count, err))
		return -1;
	if (image)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(scanned); i++)
		if (scan(root, scanned[i], 0, err))
			return -1;
	return tops_hide(root, err);
}

int mask_build(const struct storage *pool, const struct keeper_tool *tools, size_t tool_count, struct err *err)
{
	char path[PATH_BYTES];

	if (path_make(path, err, "%s/mask", pool->dir) || storage_discard(pool, path, err))
		return -1;
	if (mkdir(path, 0755))
		return err_errno(err, errno, "cannot make %s", path);
	if (one_build(pool, "host", false, tools, tool_count, err) || one_build(pool, "image", true, tools, tool_count, err))
		return err_prefix(err, "cannot build the mask");
	return 0;
}
