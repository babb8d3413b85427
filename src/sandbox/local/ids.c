/*
 * User id ranges: each environment has 65,536 host ids of its own, and a lower layer that belongs to other ids is mounted with an
 * id-mapping. The mapping of a mount, like that of a user namespace, is a user namespace that a parked child lends us.
 */
#include "sandbox/local/keeper_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int map_put(pid_t pid, const char *file, uid_t inside, uid_t outside, uint32_t count, struct err *err)
{
	char path[64], text[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	(void)snprintf(text, sizeof(text), "%u %u %u", inside, outside, count);
	return text_put(path, text, err);
}

/* Until its parent kills it, or is killed: it holds whatever that holds, so that it must not outlive it. */
static void parked(pid_t parent) __attribute__((noreturn));
static void parked(pid_t parent)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (getppid() == parent)
		(void)pause();
	_exit(0);
}

/*
 * What the kernel limits by user (inotify, locked memory, queues) is counted in a namespace, and once more for the user who made that, up to
 * the host's: made by root, all environments would use up one and the same allowance, which is also the host's own.
 */
static void owner_become(uid_t owner)
{
	if (owner && prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP) == 0) /* capabilities stay */
		(void)!syscall(SYS_setresuid, (uid_t)-1, owner, (uid_t)-1);
}

/* The child, in its new user namespace; -1 with err. */
static pid_t parked_start(uid_t owner, struct err *err)
{
	pid_t parent = getpid(), pid;
	int made[2];
	char failed = 0;

	if (pipe2(made, O_CLOEXEC)) {
		(void)err_errno(err, errno, "cannot make a pipe");
		return -1;
	}
	pid = fork();
	if (pid == 0) {
		owner_become(owner);
		failed = unshare(CLONE_NEWUSER) ? (char)errno : 0;
		(void)!write(made[1], &failed, 1);
		(void)close(made[0]);
		(void)close(made[1]);
		parked(parent);
	}
	(void)close(made[1]);
	if (pid > 0 && (read(made[0], &failed, 1) != 1 || failed)) {
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
		errno = failed ? failed : ECHILD;
		pid = -1;
	}
	if (pid < 0)
		(void)err_errno(err, errno, "cannot make a user namespace (is user.max_user_namespaces 0?)");
	(void)close(made[0]);
	return pid;
}

int ids_namespace(uid_t inside, uid_t outside, uint32_t count, uid_t owner, int *fd, struct err *err)
{
	pid_t pid = parked_start(owner, err);
	char path[64];
	int result;

	if (pid < 0)
		return -1;
	(void)snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
	result = map_put(pid, "uid_map", inside, outside, count, err) || map_put(pid, "gid_map", inside, outside, count, err) ? -1
															      : 0;
	if (!result) {
		*fd = open(path, O_RDONLY | O_CLOEXEC);
		result = *fd < 0 ? err_errno(err, errno, "cannot open %s", path) : 0;
	}
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	return result ? err_prefix(err, "cannot map user ids") : 0;
}

int ids_mount(const char *path, int userns, uint64_t flags, int *fd, struct err *err)
{
	AUTO_CLOSE int tree = (int)syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	struct mount_attr attributes = {.attr_set = flags | (userns >= 0 ? MOUNT_ATTR_IDMAP : 0u),
					.propagation = 1u << 18 /* MS_PRIVATE */,
					.userns_fd = userns >= 0 ? (unsigned)userns : 0};

	if (tree < 0)
		return err_errno(err, errno, "cannot clone the mount of %s", path);
	if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attributes, sizeof(attributes)))
		return err_errno(err, errno, "cannot mount %s with its ids mapped (its file system may not support that)", path);
	*fd = TAKE_FD(tree);
	return 0;
}
