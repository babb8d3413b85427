/*
 * The pool: where layers, volumes and roots live. The state directory itself when it can share blocks between files (XFS, btrfs), else a
 * sparse XFS image in it, mounted in the keeper's own mount namespace: it vanishes with the keeper. A machine that can do
 * neither gets a plain directory, and databases are copied.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "sandbox/local/keeper_priv.h"

#define IMAGE_BYTES_MIN ((uint64_t)400 << 20) /* mkfs.xfs refuses less than 300 MiB */
#define IMAGE_PERCENT 90                      /* of what is free; sparse, so nothing is taken */
#define COW_EXTENT_BYTES 8192                 /* XFS copies 128 KiB for each first write otherwise (measured: 9 times the writes) */
#define IMAGE_OPTIONS "allocsize=1m"          /* else a growing file is given as much again as it has: a database twice its size */
#define LOOP_TRIES 50
#define TRIM_EVERY_MS 60000
#define LOOP_WAIT_NS 100000000
#define UNMOUNT_TRIES 100
#define UNMOUNT_WAIT_NS 10000000

static pid_t reaper; /* 0: none runs */
static bool reap_again;
static int64_t trimmed_ms; /* when the image last gave its free space back */

static int image_make(const char *image, const char *dir, struct err *err)
{
	AUTO_FREE char *fresh = text_format("%s.new", image);
	struct statfs space;
	uint64_t bytes;

	if (file_exists(image))
		return 0;
	if (statfs(dir, &space))
		return err_errno(err, errno, "cannot read the free space of %s", dir);
	bytes = (uint64_t)space.f_bavail * (uint64_t)space.f_bsize / 100 * IMAGE_PERCENT;
	if (bytes < IMAGE_BYTES_MIN)
		return err_set(err, ERR_LIMIT, "%s has %llu MiB free, a pool needs %llu", dir, (unsigned long long)(bytes >> 20),
			       (unsigned long long)(IMAGE_BYTES_MIN >> 20));
	{
		AUTO_CLOSE int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		const char *argv[] = {"mkfs.xfs", "-q", "-f", "-m", "reflink=1", fresh, NULL};
		const char *env[] = {"PATH=/usr/sbin:/sbin:/usr/bin:/bin", NULL};

		if (fd < 0 || ftruncate(fd, (off_t)(bytes & ~(uint64_t)0xfffff)))
			return err_errno(err, errno, "cannot make %s", fresh);
		if (process_run(&(struct process_spec){.argv = argv, .env = env}, NULL, err)) {
			(void)unlink(fresh);
			return err_prefix(err, "cannot format the pool (package xfsprogs)");
		}
	}
	return rename(fresh, image) ? err_errno(err, errno, "cannot rename %s", fresh) : 0;
}

/* A loop device for the image; it goes when its last user does. */
static int loop_open(int image, char device[64], int *fd, struct err *err)
{
	AUTO_CLOSE int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	struct loop_config config = {.fd = (uint32_t)image, .info = {.lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO}};

	if (control < 0)
		return err_errno(err, errno, "cannot open /dev/loop-control (module loop)");
	for (int i = 0; i < LOOP_TRIES; i++) {
		int number = ioctl(control, LOOP_CTL_GET_FREE);

		if (number < 0)
			return err_errno(err, errno, "no free loop device");
		(void)snprintf(device, 64, "/dev/loop%d", number);
		*fd = open(device, O_RDWR | O_CLOEXEC);
		if (*fd < 0)
			return err_errno(err, errno, "cannot open %s", device);
		if (ioctl(*fd, LOOP_CONFIGURE, &config) == 0)
			return 0;
		if (errno == EINVAL) /* no direct I/O on this file system */
			config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
		else if (errno != EBUSY) {
			int failed = errno;

			scope_close(fd);
			return err_errno(err, failed, "cannot set up %s", device);
		}
		scope_close(fd); /* taken by another: try the next */
	}
	return err_set(err, ERR_RETRY, "no loop device stayed free");
}

static int image_mount(const char *image, const char *dir, struct err *err)
{
	AUTO_CLOSE int file = open(image, O_RDWR | O_CLOEXEC);
	AUTO_CLOSE int device_fd = -1;
	char device[64];

	if (file < 0)
		return err_errno(err, errno, "cannot open %s", image);
	/* After a crash the last keeper's mount may linger until its processes are gone; XFS refuses the same image twice. */
	for (int i = 0; i < LOOP_TRIES; i++) {
		if (loop_open(file, device, &device_fd, err))
			return -1;
		if (mount(device, dir, "xfs", MS_NOATIME | MS_NODEV | MS_NOSUID, IMAGE_OPTIONS) == 0)
			return 0;
		(void)err_errno(err, errno, "cannot mount %s as XFS", image);
		scope_close(&device_fd);
		device_fd = -1;
		(void)nanosleep(&(struct timespec){0, LOOP_WAIT_NS}, NULL);
	}
	return -1;
}

/* Files made below from now on are copied in small pieces when written to. */
static void cow_extent_set(const char *dir)
{
	AUTO_CLOSE int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct fsxattr attributes;

	if (fd < 0 || ioctl(fd, FS_IOC_FSGETXATTR, &attributes))
		return;
	attributes.fsx_xflags |= FS_XFLAG_COWEXTSIZE;
	attributes.fsx_cowextsize = COW_EXTENT_BYTES;
	(void)ioctl(fd, FS_IOC_FSSETXATTR, &attributes); /* other file systems have no such thing */
}

int storage_open(struct storage *pool, const char *state_dir, bool rootless, struct err *err)
{
	static const char *const parts[] = {"envs", "layers", "trash", "scratch", "scratch/root"};
	char path[PATH_BYTES];

	*pool = (struct storage){.user_xattrs = rootless};
	if (path_make(pool->dir, err, "%s/pool", state_dir) || path_make(path, err, "%s/pool.img", state_dir) ||
	    file_make_dirs(pool->dir, 0700, err))
		return -1;
	pool->reflink = !file_exists(path) && tree_can_reflink(pool->dir);
	if (!pool->reflink && rootless)
		log_warn("databases will be copied, not cloned: %s cannot share blocks between files", state_dir);
	else if (!pool->reflink) {
		struct err why;

		if (image_make(path, state_dir, &why) || image_mount(path, pool->dir, &why)) {
			if (file_exists(path)) /* it has our layers: going on without would lose them */
				return err_set(err, why.kind, "%s", why.text);
			log_warn("databases will be copied, not cloned: %s", why.text);
		} else
			pool->image = pool->reflink = true;
	}
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		if (path_make(path, err, "%s/%s", pool->dir, parts[i]))
			return -1;
		if (mkdir(path, 0700) && errno != EEXIST)
			return err_errno(err, errno, "cannot make %s", path);
		cow_extent_set(path);
	}
	for (unsigned i = 0; i <= LAYERS_BELOW_MAX + 1; i++) {
		if (path_make(path, err, "%s/scratch/%u", pool->dir, i))
			return -1;
		if (mkdir(path, 0700) && errno != EEXIST)
			return err_errno(err, errno, "cannot make %s", path);
	}
	return 0;
}

size_t storage_overlay_options(const struct storage *pool, const char *dir, char *at, size_t length)
{
	const char *below = dir + strlen(pool->dir); /* a sandbox sees these options: they do not tell where the pool is */
	int used = snprintf(at, length, ",upperdir=..%s/upper,workdir=..%s/work,volatile,index=off,metacopy=off,%s", below, below,
			    pool->user_xattrs ? "userxattr" : "redirect_dir=on");

	return used < 0 ? length : (size_t)used;
}

int storage_discard(const struct storage *pool, const char *path, struct err *err)
{
	unsigned long random;
	char trash[PATH_BYTES];

	world_random(world_real, &random, sizeof(random));
	if (path_make(trash, err, "%s/trash/%016lx", pool->dir, random))
		return -1;
	if (rename(path, trash) && errno != ENOENT)
		return err_errno(err, errno, "cannot discard %s", path);
	return 0;
}

/* Gives what was freed inside the image back to the machine's disk. */
static void image_trim(const struct storage *pool)
{
	AUTO_CLOSE int fd = open(pool->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct fstrim_range range = {.len = UINT64_MAX, .minlen = (uint64_t)1 << 20};

	if (fd >= 0)
		(void)ioctl(fd, FITRIM, &range);
}

void storage_reap(const struct storage *pool)
{
	char path[PATH_BYTES];
	bool trim;

	reap_again = true;
	if (reaper && waitpid(reaper, NULL, WNOHANG) == 0)
		return;
	reap_again = false;
	reaper = 0;
	if (path_make(path, NULL, "%s/trash", pool->dir))
		return;
	trim = pool->image && (!trimmed_ms || world_elapsed_ms(world_real) - trimmed_ms > TRIM_EVERY_MS);
	if (trim)
		trimmed_ms = world_elapsed_ms(world_real);
	reaper = fork();
	if (reaper == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)close_range(3, ~0u, 0);
		(void)setpriority(PRIO_PROCESS, 0, 19);
		tree_clear(path);
		if (trim)
			image_trim(pool);
		_exit(0);
	}
	if (reaper < 0)
		reaper = 0;
}

/*
 * The image is unmounted by hand: when its last user is a child that dies within it, a loop device over a tmpfs was seen to stay attached
 * for ever. What the reaper leaves is the next keeper's.
 */
void storage_close(const struct storage *pool)
{
	if (reaper) {
		(void)kill(reaper, SIGKILL);
		(void)waitpid(reaper, NULL, 0);
		reaper = 0;
	}
	for (int i = 0; pool->image && i < UNMOUNT_TRIES && umount2(pool->dir, 0) && errno == EBUSY; i++)
		(void)nanosleep(&(struct timespec){0, UNMOUNT_WAIT_NS},
				NULL); /* the kernel takes a moment to end a sandbox's mounts */
	if (!pool->image) {
		AUTO_CLOSE int fd = open(pool->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (fd >= 0)
			(void)syncfs(fd);
	}
}

bool storage_reap_pending(void)
{
	return reap_again;
}
