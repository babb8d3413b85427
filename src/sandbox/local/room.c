/*
 * A room: one clone3 into new namespaces, and what its first process does before it becomes assay-init.
 *
 * Theory of operation. The keeper makes the directories and cgroups, then clones. The child is still privileged on the host, in mount,
 * pid, network, ipc, uts and cgroup namespaces of its own; it joins the v1 cgroups, mounts the root (an overlay over id-mapped
 * lowers), /proc, /dev and the volumes, sets up its network, pivots, and only then enters the environment's user namespace: so mounts
 * and network belong to the host's user namespace, and nobody inside can unmount a mask or flush a rule. Last it drops capabilities
 * and executes the sealed assay-init, which installs the filter. An error comes back through a pipe that the exec closes. Where an OCI
 * runtime is wanted, it does the last part (runtime.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "sandbox/init/control.h"
#include "sandbox/local/keeper_priv.h"
#include "sandbox/local/room_priv.h"

#define KILL_WAIT_MS 10000
#define MAKE_WAIT_MS 30000
#define NOFILE_MAX 20000
#define DATA_PER_MEMORY 2 /* private writable address space for each byte that may be used: stacks and arenas are mostly empty */
#define OOM_SCORE "500"

const struct room_capability room_capabilities[ROOM_CAPABILITY_COUNT] = {
	{CAP_CHOWN, "CAP_CHOWN"},
	{CAP_DAC_OVERRIDE, "CAP_DAC_OVERRIDE"},
	{CAP_FOWNER, "CAP_FOWNER"},
	{CAP_FSETID, "CAP_FSETID"},
	{CAP_KILL, "CAP_KILL"},
	{CAP_SETGID, "CAP_SETGID"},
	{CAP_SETUID, "CAP_SETUID"},
	{CAP_SETPCAP, "CAP_SETPCAP"},
	{CAP_NET_BIND_SERVICE, "CAP_NET_BIND_SERVICE"},
};

/* ---- what the child does ---- */

static int privileges_drop(const struct plan *plan, struct err *err)
{
	if (plan->userns_fd >= 0 && setns(plan->userns_fd, CLONE_NEWUSER))
		return err_errno(err, errno, "cannot enter the user namespace");
	if (!plan->env->one_id && (setgroups(0, NULL) || setresgid(0, 0, 0) || setresuid(0, 0, 0)))
		return err_errno(err, errno, "cannot become root of the sandbox");
	for (int capability = 0; capability <= 63; capability++) {
		bool keep = false;

		for (size_t i = 0; i < ROOM_CAPABILITY_COUNT; i++)
			keep |= room_capabilities[i].number == capability;
		if (!keep && prctl(PR_CAPBSET_DROP, capability) && errno != EINVAL)
			return err_errno(err, errno, "cannot drop capability %d", capability);
	}
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return err_errno(err, errno, "cannot give up privileges");
	return 0;
}

static int limit_lower(int resource, rlim_t most)
{
	struct rlimit limit;

	if (getrlimit((__rlimit_resource_t)resource, &limit))
		return -1;
	limit.rlim_max = limit.rlim_max < most ? limit.rlim_max : most;
	limit.rlim_cur = limit.rlim_max;
	return setrlimit((__rlimit_resource_t)resource, &limit);
}

/*
 * What no control group limits: the processes of each user of the room, the writable memory of each process. Last of all, as it is for
 * what is executed.
 */
static int limits_replace(const struct plan *plan, struct err *err)
{
	const struct limits *limits = &plan->request->limits;
	unsigned controllers = plan->keeper->cgroups.controllers;
	rlim_t pids = (rlim_t)(limits->pids > 0 ? limits->pids : LIMIT_PIDS_DEFAULT);
	rlim_t bytes = (rlim_t)room_memory_limit(plan) * DATA_PER_MEMORY;

	if (!(controllers & CGROUP_PIDS) && plan->userns_fd >= 0 && limit_lower(RLIMIT_NPROC, pids))
		return err_errno(err, errno, "cannot limit the sandbox's processes");
	if (controllers & CGROUP_MEMORY)
		return 0;
	return limit_lower(RLIMIT_DATA, bytes) ? err_errno(err, errno, "cannot limit the sandbox's memory") : 0;
}

static int limits_set(const struct plan *plan, struct err *err)
{
	struct rlimit none = {0, 0}, files;

	/* When memory runs short that nobody counts, the kernel takes what runs in sandboxes first. */
	if (!(plan->keeper->cgroups.controllers & CGROUP_MEMORY))
		(void)!text_put("/proc/self/oom_score_adj", OOM_SCORE, NULL);

	if (setrlimit(RLIMIT_CORE, &none) || getrlimit(RLIMIT_NOFILE, &files))
		return err_errno(err, errno, "cannot set limits");
	files.rlim_max = files.rlim_max < NOFILE_MAX ? files.rlim_max : NOFILE_MAX;
	files.rlim_cur = files.rlim_max;
	return setrlimit(RLIMIT_NOFILE, &files) ? err_errno(err, errno, "cannot set limits") : 0;
}

static int child_enter(const struct plan *plan, struct err *err)
{
	if (cgroup_room_join(&plan->keeper->cgroups, plan->env->id.text, plan->request->name, err))
		return -1;
	if (unshare(CLONE_NEWCGROUP)) /* now, so that its root is the room's */
		return err_errno(err, errno, "cannot make a cgroup namespace");
	if (network_enter(&plan->keeper->network, err))
		return -1;
	(void)setsid();
	(void)umask(0022);
	return limits_set(plan, err);
}

static int child_become(const struct plan *plan, struct err *err)
{
	char *const argv[] = {(char *)(uintptr_t) "assay-init", NULL};
	char *const env[] = {NULL};

	if (sethostname(plan->request->name, strlen(plan->request->name)))
		return err_errno(err, errno, "cannot set the host name");
	if (room_root_enter(plan, err))
		return -1;
	for (int i = 0; i < 3; i++)
		if (dup2(plan->keeper->null_fd, i) < 0)
			return err_errno(err, errno, "cannot close the terminal");
	if (dup2(plan->control_fd, INIT_CONTROL_FD) < 0)
		return err_errno(err, errno, "cannot place the control socket");
	if (privileges_drop(plan, err) || limits_replace(plan, err))
		return -1;
	(void)syscall(SYS_execveat, plan->keeper->init_fd, "", argv, env, AT_EMPTY_PATH);
	return err_errno(err, errno, "cannot execute assay-init");
}

/* ---- what the keeper does ---- */

static int lower_add(struct lowers *lowers, const char *path, int map_fd, struct err *err)
{
	if (lowers->count == ARRAY_LEN(lowers->at))
		return err_set(err, ERR_LIMIT, "the image has more than %zu layers", ARRAY_LEN(lowers->at) - 1);
	lowers->at[lowers->count].map_fd = map_fd;
	return path_make(lowers->at[lowers->count++].path, err, "%s", path);
}

static int lower_layer(struct plan *plan, const char *name, struct err *err)
{
	struct layer_spec spec;
	char path[PATH_BYTES];
	int map_fd;

	if (layer_spec_read(plan->keeper, name, &spec, err) || kept_env_map_ids(plan->keeper, plan->env, spec.ids, &map_fd, err))
		return -1;
	layer_path(plan->keeper, name, "tree", path);
	if (lower_add(&plan->lowers, path, map_fd, err))
		return -1;
	for (size_t i = 0; i < spec.below_count; i++) {
		struct layer_spec below;

		if (layer_spec_read(plan->keeper, spec.below[i], &below, err) ||
		    kept_env_map_ids(plan->keeper, plan->env, below.ids, &map_fd, err))
			return -1;
		layer_path(plan->keeper, spec.below[i], "tree", path);
		if (lower_add(&plan->lowers, path, map_fd, err))
			return -1;
	}
	return 0;
}

static bool contains(const char *folder, const char *path)
{
	size_t length = strcmp(folder, "/") == 0 ? 0 : strlen(folder);

	return strncmp(folder, path, length) == 0 && (path[length] == '/' || !path[length]);
}

/* A blueprint names it, and blueprints come with repositories: only what is made to be a root, and nothing of the user's own. */
static int lower_folder(struct plan *plan, const char *path, int map_fd, struct err *err)
{
	AUTO_FREE char *folder = realpath(path, NULL);
	AUTO_FREE char *programs = text_format("%s/bin", folder ? folder : "");
	AUTO_FREE char *usr = text_format("%s/usr", folder ? folder : "");
	const char *home = plan->keeper->rootless.home;

	if (!folder || (!file_is_dir(programs) && !file_is_dir(usr)))
		return err_set(err, ERR_INVALID, "the image dir:%s is not a root file system: it has neither bin nor usr", path);
	if (contains(folder, plan->keeper->state_dir) || contains(plan->keeper->state_dir, folder) ||
	    (*home && (contains(folder, home) || contains(home, folder))))
		return err_set(err, ERR_DENIED,
			       "the image dir:%s would show the home or the state of who runs this: put it elsewhere", path);
	return lower_add(&plan->lowers, folder, map_fd, err);
}

static int lowers_find(struct plan *plan, struct err *err)
{
	const char *image = plan->request->image;
	char path[PATH_BYTES];
	int map_fd;

	if (path_make(path, err, "%s/mask/%s", plan->keeper->pool.dir, *image ? "image" : "host") ||
	    kept_env_map_ids(plan->keeper, plan->env, 0, &map_fd, err) || lower_add(&plan->lowers, path, map_fd, err))
		return -1;
	if (room_has_tops(plan))
		return 0;
	if (!*image)
		return lower_add(&plan->lowers, "/", map_fd, err);
	if (strncmp(image, "layer:", 6) == 0)
		return lower_layer(plan, image + 6, err);
	if (strncmp(image, "dir:/", 5) == 0 && file_is_dir(image + 4))
		return lower_folder(plan, image + 4, map_fd, err);
	if (strncmp(image, "dir:", 4) == 0)
		return err_set(err, ERR_NOT_FOUND, "the image %s is not a folder: expected dir:/absolute/path", image);
	return err_set(err, ERR_INVALID, "the image %s is not fetched: the local provider takes dir:/path and layer:NAME", image);
}

/* The folders of one overlay. */
static int overlay_dirs_make(const struct plan *plan, const char *below, struct err *err)
{
	static const char *const parts[] = {"", "/upper", "/work"};
	uid_t root = kept_env_id(plan->env, 0);

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		char path[PATH_BYTES];

		if (path_make(path, err, "%s%s%s", plan->dir, below, parts[i]))
			return -1;
		if (mkdir(path, i == 1 ? 0755 : 0700) || (i == 1 && chown(path, root, root)))
			return err_errno(err, errno, "cannot make %s", path);
	}
	return 0;
}

static int dirs_make(const struct plan *plan, struct err *err)
{
	char path[PATH_BYTES];
	const char *top;

	if (overlay_dirs_make(plan, "", err))
		return -1;
	for (size_t i = 0; (top = mask_top(i)); i++) {
		if (!room_top_is_apart(plan, top))
			continue;
		if (path_make(path, err, "%s/tops", plan->dir))
			return -1;
		if (mkdir(path, 0700) && errno != EEXIST)
			return err_errno(err, errno, "cannot make %s", path);
		if (path_make(path, err, "/tops/%zu", i) || overlay_dirs_make(plan, path, err))
			return -1;
	}
	return 0;
}

/* What the child says before it ends; one that became assay-init says nothing. */
struct child_report {
	pid_t pid; /* of the assay-init that a runtime started */
	struct err failure;
};

static void child_run(const struct plan *plan, int report_fd) __attribute__((noreturn));
static void child_run(const struct plan *plan, int report_fd)
{
	struct child_report report = {0};

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (child_enter(plan, &report.failure) == 0)
		(void)!(plan->keeper->runtime ? runtime_room_make(plan, &report.pid, &report.failure)
					      : child_become(plan, &report.failure));
	(void)!write(report_fd, &report, sizeof(report));
	_exit(1);
}

/* The pid 1 that the runtime left us, as its parent. */
static int room_adopt(struct room *room, pid_t pid, struct err *err)
{
	room->pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (room->pid_fd < 0)
		return err_errno(err, errno, "cannot hold the process that the OCI runtime started");
	room->pid = pid;
	return 0;
}

static int clone_child(const struct plan *plan, struct room *room, struct err *err)
{
	unsigned long more = plan->keeper->runtime ? 0 : CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS;
	struct clone_args args = {.flags = (uint64_t)CLONE_NEWNS | CLONE_NEWNET | CLONE_PIDFD | more,
				  .exit_signal = SIGCHLD,
				  .pidfd = (uint64_t)(uintptr_t)&room->pid_fd};
	struct child_report report = {0};
	AUTO_CLOSE int cgroup_fd = -1;
	int ends[2];
	ssize_t got;

	if (cgroup_room_fd(&plan->keeper->cgroups, plan->env->id.text, room->name, &cgroup_fd, err))
		return -1;
	if (cgroup_fd >= 0) {
		args.flags |= (uint64_t)CLONE_INTO_CGROUP;
		args.cgroup = (unsigned)cgroup_fd;
	}
	if (pipe2(ends, O_CLOEXEC))
		return err_errno(err, errno, "cannot make a pipe");
	room->pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (room->pid == 0)
		child_run(plan, ends[1]);
	(void)close(ends[1]);
	if (room->pid < 0) {
		int failed = errno;

		room->pid = 0;
		(void)close(ends[0]);
		return err_errno(err, failed, "cannot make the sandbox's namespaces");
	}
	/* A mount that hangs must not hang the keeper. */
	if (poll(&(struct pollfd){ends[0], POLLIN, 0}, 1, MAKE_WAIT_MS) == 0)
		(void)syscall(SYS_pidfd_send_signal, room->pid_fd, SIGKILL, NULL, 0);
	got = read(ends[0], &report, sizeof(report));
	(void)close(ends[0]);
	if (got == 0 && !plan->keeper->runtime)
		return 0;
	(void)waitpid(room->pid, NULL, 0);
	room->pid = 0;
	scope_close(&room->pid_fd);
	if (got != (ssize_t)sizeof(report))
		return err_set(err, ERR_RETRY, "the sandbox died while it was made");
	return report.failure.kind ? err_set(err, report.failure.kind, "%s", report.failure.text)
				   : room_adopt(room, report.pid, err);
}

struct room *room_find(const struct kept_env *env, const char *name)
{
	struct room *room = env->rooms;

	while (room && strcmp(room->name, name) != 0)
		room = room->next;
	return room;
}

static int plan_make(struct plan *plan, struct err *err)
{
	struct kept_env *env = plan->env;

	if (env->frozen)
		return err_set(err, ERR_CONFLICT, "the environment is frozen: thaw it first");
	if (room_find(env, plan->request->name))
		return err_set(err, ERR_CONFLICT, "there is one of that name already");
	for (size_t i = 0; i < plan->request->mount_count; i++) {
		struct volume *volume = volume_find(env, plan->request->mounts[i].volume);

		if (!volume)
			return err_set(err, ERR_NOT_FOUND, "there is no volume %s", plan->request->mounts[i].volume);
		if (volume_mount(plan->keeper, env, volume, plan->volumes[i], err))
			return -1;
	}
	if (lowers_find(plan, err))
		return -1;
	kept_env_path(plan->keeper, env->id, "rooms/", plan->dir);
	if (strlen(plan->dir) + strlen(plan->request->name) >= PATH_BYTES)
		return err_set(err, ERR_LIMIT, "the state folder's path is too long");
	strcat(plan->dir, plan->request->name);
	return 0;
}

/* The environment's; one of its own (the caller's) where only a user namespace counts the processes of this room. */
static int namespace_choose(struct plan *plan, int *own, struct err *err)
{
	if (kept_env_namespace(plan->keeper, plan->env, err))
		return -1;
	plan->userns_fd = plan->env->userns_fd;
	if (plan->userns_fd < 0 || (plan->keeper->cgroups.controllers & CGROUP_PIDS))
		return 0;
	if (kept_env_namespace_new(plan->keeper, plan->env, own, err))
		return -1;
	plan->userns_fd = *own;
	return 0;
}

int room_make(struct keeper *keeper, struct kept_env *env, const struct keeper_request *request, int *control_fd, struct err *err)
{
	AUTO_FREE struct plan *plan = mem_new(sizeof(*plan));
	AUTO_FREE struct room *room = mem_new(sizeof(*room));
	AUTO_CLOSE int own_userns = -1;
	int pair[2];

	plan->keeper = keeper;
	plan->env = env;
	plan->request = request;
	(void)snprintf(room->name, sizeof(room->name), "%s", request->name);
	room->pid_fd = -1;
	for (; room->volume_count < request->mount_count; room->volume_count++)
		(void)snprintf(room->volumes[room->volume_count], sizeof(room->volumes[0]), "%s",
			       request->mounts[room->volume_count].volume);
	if (strncmp(request->image, "layer:", 6) == 0)
		(void)snprintf(room->image_layer, sizeof(room->image_layer), "%s", request->image + 6);
	if (plan_make(plan, err) || namespace_choose(plan, &own_userns, err) || dirs_make(plan, err))
		return -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) {
		(void)err_errno(err, errno, "cannot make a socketpair");
		goto failed;
	}
	plan->control_fd = pair[1];
	if (cgroup_room_make(&keeper->cgroups, env->id.text, room->name, keeper->runtime ? NULL : &request->limits, err) ||
	    clone_child(plan, room, err) ||
	    (keeper->runtime && cgroup_room_limit(&keeper->cgroups, env->id.text, room->name, &request->limits, err))) {
		if (room->pid)
			room_kill(keeper, env, room);
		(void)close(pair[0]);
		(void)close(pair[1]);
		cgroup_room_remove(&keeper->cgroups, env->id.text, room->name);
		goto failed;
	}
	(void)close(pair[1]);
	*control_fd = pair[0];
	room->watch = WATCH_ROOM;
	(void)epoll_ctl(keeper->epoll_fd, EPOLL_CTL_ADD, room->pid_fd, &(struct epoll_event){.events = EPOLLIN, .data.ptr = room});
	room->next = env->rooms;
	env->rooms = TAKE(room);
	return 0;
failed:
	(void)!storage_discard(&keeper->pool, plan->dir, NULL);
	return -1;
}

void room_usage(const struct keeper *keeper, const struct kept_env *env, const struct room *room, struct sandbox_usage *usage)
{
	unsigned controllers = keeper->cgroups.controllers;

	if (controllers & (CGROUP_MEMORY | CGROUP_PIDS | CGROUP_CPUACCT))
		cgroup_room_usage(&keeper->cgroups, env->id.text, room->name, usage);
	else
		processes_usage(room->pid, usage);
	usage->unlimited = (controllers & CGROUP_MEMORY ? 0 : LIMIT_MEMORY) | (controllers & CGROUP_CPU ? 0 : LIMIT_CPU) |
			   (controllers & CGROUP_PIDS ? 0 : LIMIT_PIDS);
}

static void room_reap(const struct keeper *keeper, struct room *room)
{
	(void)waitpid(room->pid, NULL, 0);
	room->pid = 0;
	(void)epoll_ctl(keeper->epoll_fd, EPOLL_CTL_DEL, room->pid_fd, NULL); /* a forked child may hold it too */
	scope_close(&room->pid_fd);
	room->pid_fd = -1;
}

/* Waits for its end, and keeps what it used. */
static void room_bury(struct keeper *keeper, struct kept_env *env, struct room *room)
{
	struct pollfd polled = {room->pid_fd, POLLIN, 0};

	if (!room->pid)
		return;
	if (poll(&polled, 1, KILL_WAIT_MS) <= 0)
		return;
	room_reap(keeper, room);
	if (keeper->cgroups.count)
		cgroup_room_usage(&keeper->cgroups, env->id.text, room->name, &room->last);
}

void room_kill(struct keeper *keeper, struct kept_env *env, struct room *room)
{
	if (room->pid) {
		cgroup_room_kill(&keeper->cgroups, env->id.text, room->name);
		(void)syscall(SYS_pidfd_send_signal, room->pid_fd, SIGKILL, NULL, 0);
	}
	room_bury(keeper, env, room);
}

void rooms_kill_begin(struct keeper *keeper, struct kept_env *env)
{
	if (env->rooms)
		cgroup_env_kill(&keeper->cgroups, env->id.text);
	for (struct room *room = env->rooms; room; room = room->next)
		if (room->pid)
			(void)syscall(SYS_pidfd_send_signal, room->pid_fd, SIGKILL, NULL, 0);
	if (env->frozen && cgroups_can_freeze(&keeper->cgroups)) /* a stopped process dies as it is */
		(void)!cgroup_env_freeze(&keeper->cgroups, env->id.text, false, NULL);
	env->frozen = false;
}

bool rooms_dead(const struct keeper *keeper, struct kept_env *env)
{
	bool dead = true;

	for (struct room *room = env->rooms; room; room = room->next) {
		struct pollfd polled = {room->pid_fd, POLLIN, 0};

		if (room->pid && poll(&polled, 1, 0) > 0)
			room_reap(keeper, room);
		dead = dead && !room->pid;
	}
	return dead;
}

void rooms_forget(const struct keeper *keeper, struct kept_env *env)
{
	while (env->rooms) {
		struct room *room = env->rooms;

		cgroup_room_remove(&keeper->cgroups, env->id.text, room->name);
		env->rooms = room->next;
		free(room);
	}
}

void rooms_kill(struct keeper *keeper, struct kept_env *env)
{
	rooms_kill_begin(keeper, env);
	for (struct room *room = env->rooms; room; room = room->next)
		room_bury(keeper, env, room);
}

void rooms_empty(struct keeper *keeper, struct kept_env *env)
{
	for (const struct room *room = env->rooms; room; room = room->next) {
		char path[PATH_BYTES], dir[PATH_BYTES];

		kept_env_path(keeper, env->id, "rooms", dir);
		if (!room->pid && path_make(path, NULL, "%s/%s", dir, room->name) == 0)
			(void)!storage_discard(&keeper->pool, path, NULL);
	}
	storage_reap(&keeper->pool);
}

int room_remove(struct keeper *keeper, struct kept_env *env, struct room *room, struct err *err)
{
	char path[PATH_BYTES], dir[PATH_BYTES];
	struct room **place = &env->rooms;

	room_kill(keeper, env, room);
	if (room->pid)
		return err_set(err, ERR_RETRY, "its processes do not end");
	cgroup_room_remove(&keeper->cgroups, env->id.text, room->name);
	kept_env_path(keeper, env->id, "rooms", dir);
	if (path_make(path, err, "%s/%s", dir, room->name) || storage_discard(&keeper->pool, path, err))
		return -1;
	while (*place != room)
		place = &(*place)->next;
	*place = room->next;
	free(room);
	return 0;
}
