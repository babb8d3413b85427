/*
 * What an ordinary user can do here, and what is to be done for more. What depends on the kernel's mind is tried: a child makes the
 * namespaces of a keeper and a sandbox, and mounts or routes in them as those would; nothing of it outlives the child.
 */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox/local/doctor_priv.h"

#define PROBE_FOLDER "/tmp" /* any folder: what is mounted there is in the child's namespace */

/* One step of a sandbox, in the child, as root of a user namespace. */
typedef int probe(struct err *err);

static int probe_nothing(struct err *err)
{
	(void)err;
	return 0;
}

/* In a pid namespace of its own, for which /proc is. */
static int proc_mount(struct err *err)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0)
		_exit(mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) ? errno : 0);
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return err_set(err, ERR_RETRY, "cannot start a child");
	return WEXITSTATUS(status) ? err_errno(err, WEXITSTATUS(status), "cannot mount /proc (is it masked by a container?)") : 0;
}

static int probe_mounts(struct err *err)
{
	static const char *const parts[] = {"below", "upper", "work", "root", "proc"};

	if (unshare(CLONE_NEWNS | CLONE_NEWPID) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("tmpfs", PROBE_FOLDER, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m") || chdir(PROBE_FOLDER))
		return err_errno(err, errno, "cannot mount anything");
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		if (mkdir(parts[i], 0755))
			return err_errno(err, errno, "cannot make a folder");
	if (mount("overlay", "root", "overlay", MS_NOSUID | MS_NODEV, "lowerdir=below,upperdir=upper,workdir=work,userxattr"))
		return err_errno(err, errno, "cannot mount an overlay");
	return proc_mount(err);
}

static int probe_network(struct err *err)
{
	struct network network = {0};

	if (unshare(CLONE_NEWNET))
		return err_errno(err, errno, "cannot make a network namespace");
	return network_open(&network, err) || network_enter(&network, err) ? -1 : 0;
}

/* Runs it in a child that is root of a user namespace with one id; false leaves why in `found`. */
static bool probe_run(probe *run, char found[FOUND_BYTES])
{
	struct err err = {0};
	int report[2];
	pid_t pid;

	if (pipe2(report, O_CLOEXEC))
		return false;
	pid = fork();
	if (pid == 0) {
		if (rootless_try(&err) == 0 && run(&err) == 0)
			err.kind = ERR_NONE;
		(void)!write(report[1], &err, sizeof(err));
		_exit(0);
	}
	(void)close(report[1]);
	if (pid < 0 || read(report[0], &err, sizeof(err)) != (ssize_t)sizeof(err))
		(void)err_set(&err, ERR_RETRY, "the trial was interrupted");
	(void)close(report[0]);
	if (pid > 0)
		(void)waitpid(pid, NULL, 0);
	if (err.kind != ERR_NONE)
		(void)snprintf(found, FOUND_BYTES, "%.180s", err.text);
	return err.kind == ERR_NONE;
}

/* Adds the setting that is likely in the way, if one is. */
static void setting_add(char found[FOUND_BYTES])
{
	static const struct {
		const char *path, *name;
		int bad;
	} settings[] = {
		{"/proc/sys/kernel/unprivileged_userns_clone", "kernel.unprivileged_userns_clone", 0},
		{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "kernel.apparmor_restrict_unprivileged_userns", 1},
		{"/proc/sys/user/max_user_namespaces", "user.max_user_namespaces", 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
		size_t used = strlen(found);
		char text[32];

		if (text_get(settings[i].path, text, sizeof(text)) && atoi(text) == settings[i].bad)
			(void)snprintf(found + used, FOUND_BYTES - used, "; %s is %d", settings[i].name, settings[i].bad);
	}
}

static bool look_user(const char *state_dir, char found[FOUND_BYTES])
{
	const struct passwd *user = getpwuid(getuid());

	(void)state_dir;
	(void)snprintf(found, FOUND_BYTES, "user %.64s: rootless, with less than root has",
		       user ? user->pw_name : "without a name");
	return true;
}

static bool look_namespaces(const char *state_dir, char found[FOUND_BYTES])
{
	(void)state_dir;
	if (probe_run(probe_nothing, found)) {
		(void)snprintf(found, FOUND_BYTES, "a user may make them");
		return true;
	}
	setting_add(found);
	return false;
}

static bool look_mounts(const char *state_dir, char found[FOUND_BYTES])
{
	(void)state_dir;
	if (probe_run(probe_mounts, found)) {
		(void)snprintf(found, FOUND_BYTES, "overlay and /proc in a user namespace");
		return true;
	}
	setting_add(found);
	return false;
}

static bool look_network(const char *state_dir, char found[FOUND_BYTES])
{
	(void)state_dir;
	if (!probe_run(probe_network, found))
		return false;
	(void)snprintf(found, FOUND_BYTES, "nf_tables in a user namespace");
	return true;
}

static bool look_ids(const char *state_dir, char found[FOUND_BYTES])
{
	struct id_range users, groups;
	uint32_t count;

	(void)state_dir;
	rootless_ranges(&users, &groups);
	count = rootless_count(&users, &groups);
	if (count && doctor_program_found("newuidmap") && doctor_program_found("newgidmap")) {
		(void)snprintf(found, FOUND_BYTES, "%u for sandboxes, from %u", count, users.first);
		return true;
	}
	(void)snprintf(found, FOUND_BYTES, "sandboxes run with the user's own id: %s",
		       count ? "no newuidmap" : "no range in /etc/subuid and /etc/subgid");
	return false;
}

static void controllers_add(char found[FOUND_BYTES], unsigned controllers)
{
	static const struct {
		unsigned bit;
		const char *name;
	} names[] = {{CGROUP_MEMORY, "memory"}, {CGROUP_PIDS, "pids"}, {CGROUP_CPU, "cpu"}};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		size_t used = strlen(found);

		if (controllers & names[i].bit)
			(void)snprintf(found + used, FOUND_BYTES - used, " %s", names[i].name);
	}
}

static bool look_delegated(const char *state_dir, char found[FOUND_BYTES])
{
	unsigned all = CGROUP_MEMORY | CGROUP_PIDS | CGROUP_CPU, controllers;
	bool freezes;

	(void)state_dir;
	controllers = cgroups_delegated(&freezes) & all;
	(void)snprintf(found, FOUND_BYTES, "delegated cgroups:");
	controllers_add(found, controllers);
	if (controllers == all)
		return true;
	(void)snprintf(found + strlen(found), FOUND_BYTES - strlen(found), "%s; otherwise only what one process takes%s",
		       controllers ? "" : " none", controllers & CGROUP_PIDS ? "" : ", and their number,");
	(void)snprintf(found + strlen(found), FOUND_BYTES - strlen(found), " is limited");
	return false;
}

static bool look_freezing(const char *state_dir, char found[FOUND_BYTES])
{
	bool freezes;

	(void)state_dir;
	(void)cgroups_delegated(&freezes);
	(void)snprintf(found, FOUND_BYTES, "%s", freezes ? "by a delegated cgroup" : "by signals");
	return true;
}

static bool look_pool(const char *state_dir, char found[FOUND_BYTES])
{
	char dir[PATH_BYTES];
	bool can;

	doctor_existing(state_dir, dir);
	can = access(dir, W_OK) == 0 && tree_can_reflink(dir);
	(void)snprintf(found, FOUND_BYTES,
		       can ? "%.200s shares blocks between files" : "databases are copied, not cloned: %.180s cannot", dir);
	return can;
}

const struct doctor_check doctor_user_checks[] = {
	{"privileges", true, look_user, ""},
	{"kernel", true, look_kernel, "install a kernel of 5.12 or later"},
	{"overlay", true, look_overlay, "as root: modprobe overlay"},
	{"system call filter", true, look_seccomp, "use a kernel with CONFIG_SECCOMP_FILTER"},
	{"user namespaces", true, look_namespaces,
	 "as root: sysctl kernel.unprivileged_userns_clone=1 (Debian), kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu; or an "
	 "AppArmor profile with `userns,` for assay), user.max_user_namespaces=10000"},
	{"mounts", true, look_mounts, "outside of a container; as root: modprobe overlay; what stands by user namespaces"},
	{"network filter", true, look_network, "as root: modprobe nf_tables nft_chain_nat nft_redir"},
	{"user ids", false, look_ids,
	 "as root: apt install uidmap; usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER (a range of nobody else's)"},
	{"limits", false, look_delegated, "cgroup v2, delegated: systemd-run --user --scope -p Delegate=yes assay serve"},
	{"freezing", false, look_freezing, ""},
	{"cloning of data", false, look_pool, "put the state folder on XFS or btrfs (ASSAY_STATE); a user cannot mount an image"},
	{"disk", false, look_space, "free some, or use another state folder (ASSAY_STATE)"},
	{"open files", false, look_files, "raise the limit: ulimit -Hn 65536, or LimitNOFILE= of the service"},
	{"kill switch", false, look_kill, "run Assay as root: a user may not reset the machine's own connections"},
	{"images", false, look_images,
	 "apt install skopeo umoci; only services with an `image` from a registry or archive need them"},
};
const size_t doctor_user_check_count = ARRAY_LEN(doctor_user_checks);
