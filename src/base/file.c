/* Whole files and trees, with crashes in mind. */
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/scope.h"

#define READ_CHUNK ((size_t)64 << 10)

int file_read_fd(int fd, struct buf *out, struct err *err)
{
	AUTO_FREE char *chunk = mem_new(READ_CHUNK);

	for (;;) {
		ssize_t got = read(fd, chunk, READ_CHUNK);

		if (got == 0)
			return buf_finish(out, err);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_errno(err, errno, "cannot read");
		buf_add(out, chunk, (size_t)got);
		if (out->over)
			return buf_finish(out, err);
	}
}

int file_read(const char *path, struct buf *out, struct err *err)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat info;

	if (fd < 0)
		return err_errno(err, errno, "cannot open %s", path);
	if (fstat(fd, &info) || !S_ISREG(info.st_mode))
		return err_set(err, ERR_INVALID, "%s is not a regular file", path);
	if (file_read_fd(fd, out, err))
		return err_prefix(err, "%s", path);
	return 0;
}

int file_write_fd(int fd, struct view bytes, struct err *err)
{
	while (bytes.length) {
		ssize_t put = write(fd, bytes.at, bytes.length);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return err_errno(err, errno, "cannot write");
		bytes.at += put;
		bytes.length -= (size_t)put;
	}
	return 0;
}

static int dir_sync(const char *path, struct err *err)
{
	AUTO_FREE char *dir = text_copy(path);
	char *slash = strrchr(dir, '/');
	AUTO_CLOSE int fd = -1;

	if (slash)
		*(slash == dir ? slash + 1 : slash) = '\0';
	fd = open(slash ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd))
		return err_errno(err, errno, "cannot sync the folder of %s", path);
	return 0;
}

int file_anonymous(struct view bytes, struct err *err)
{
	AUTO_CLOSE int fd = memfd_create("assay", MFD_CLOEXEC);

	if (fd < 0)
		return err_errno(err, errno, "cannot make a file without a name");
	if (file_write_fd(fd, bytes, err) || lseek(fd, 0, SEEK_SET) < 0)
		return -1;
	return TAKE_FD(fd);
}

int file_replace(const char *path, struct view bytes, mode_t mode, struct err *err)
{
	AUTO_FREE char *beside = text_format("%s.new-XXXXXX", path);
	AUTO_CLOSE int fd = mkostemp(beside, O_CLOEXEC);

	if (fd < 0)
		return err_errno(err, errno, "cannot make a file beside %s", path);
	if (file_write_fd(fd, bytes, err) || (fchmod(fd, mode) && err_errno(err, errno, "cannot set the mode")) ||
	    (fsync(fd) && err_errno(err, errno, "cannot sync"))) {
		(void)unlink(beside);
		return err_prefix(err, "%s", path);
	}
	if (rename(beside, path)) {
		(void)err_errno(err, errno, "cannot replace %s", path);
		(void)unlink(beside);
		return -1;
	}
	return dir_sync(path, err);
}

int file_make_dirs(const char *path, mode_t mode, struct err *err)
{
	AUTO_FREE char *part = text_copy(path);

	for (char *at = part + 1;; at++) {
		char kept = *at;

		if (kept != '/' && kept != '\0')
			continue;
		*at = '\0';
		if (mkdir(part, mode) && errno != EEXIST)
			return err_errno(err, errno, "cannot make the folder %s", part);
		*at = kept;
		if (!kept)
			return 0;
	}
}

static int remove_below(int dir_fd, dev_t device, struct err *err);

static int remove_entry(int dir_fd, const char *name, dev_t device, struct err *err)
{
	AUTO_CLOSE int child = -1;
	struct stat info;

	if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM && errno != ENOTEMPTY)
		return err_errno(err, errno, "cannot remove %s", name);
	child = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (child < 0 && errno == EACCES && fchmodat(dir_fd, name, 0700, 0) == 0)
		child = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (child < 0 || fstat(child, &info))
		return err_errno(err, errno, "cannot open %s", name);
	if (info.st_dev != device)
		return err_set(err, ERR_CONFLICT, "%s is a mount point", name);
	if (remove_below(child, device, err))
		return -1;
	if (unlinkat(dir_fd, name, AT_REMOVEDIR) && errno != ENOENT)
		return err_errno(err, errno, "cannot remove %s", name);
	return 0;
}

/* Recursion is bounded by the descriptors we may hold: deeper trees are hoisted up first by the keeper's reaper. */
static int remove_below(int dir_fd, dev_t device, struct err *err)
{
	int again = dup(dir_fd);
	DIR *dir = again < 0 ? NULL : fdopendir(again);
	struct dirent *entry;
	int result = 0;

	if (!dir) {
		(void)err_errno(err, errno, "cannot list a folder");
		if (again >= 0)
			(void)close(again);
		return -1;
	}
	while (!result && (entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			result = remove_entry(dir_fd, entry->d_name, device, err);
	(void)closedir(dir);
	return result;
}

int file_remove_tree(const char *path, struct err *err)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat info;

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 && (errno == ENOTDIR || errno == ELOOP)) {
		if (unlink(path) && errno != ENOENT)
			return err_errno(err, errno, "cannot remove %s", path);
		return 0;
	}
	if (fd < 0 || fstat(fd, &info))
		return err_errno(err, errno, "cannot open %s", path);
	if (remove_below(fd, info.st_dev, err))
		return err_prefix(err, "%s", path);
	if (rmdir(path) && errno != ENOENT)
		return err_errno(err, errno, "cannot remove %s", path);
	return 0;
}

bool file_exists(const char *path)
{
	return access(path, F_OK) == 0;
}

bool file_is_dir(const char *path)
{
	struct stat info;

	return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}
