/*
 * The keeper's process: start, one epoll loop, the table of requests, end.
 *
 * Theory of operation. Everything is done at once and in order, but copies and commits, which run in forked children (job.c) and
 * are answered when those end. All mounts are in a private mount namespace and all processes die with us (PR_SET_PDEATHSIG on each
 * pid 1), so nothing can outlive us but directories, and cgroups, which a forked mourner removes: it holds the state's lock until it
 * is done, so that no successor meets them.
 *
 * The keeper has no PR_SET_PDEATHSIG itself: that signal follows the thread that started us, not the process. The end of the peer's
 * socket tells the same, and lets us clean up.
 */
#include "sandbox/local/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/file.h"
#include "base/log.h"
#include "sandbox/init/blob.h"
#include "sandbox/local/keeper_priv.h"

#define BOOT_BYTES 64
#define LOCK_WAIT_STEPS 100
#define LOCK_WAIT_US 100000
#define REAP_AGAIN_MS 500
#define EVENTS_MAX 64
#define GUARD_EVERY_MS 1000
#define WARM_EVERY_MS 10
#define WARM_TIMES 50
#define LOW_FDS 16 /* ours are above: what a child places at 0..3 must not be one of them */

static const struct keeper_tool *own_tools;
static size_t own_tool_count;

void keeper_tools_set(const struct keeper_tool *tools, size_t count)
{
	own_tools = tools;
	own_tool_count = count;
}

/* ---- start ---- */

static int lock_take(const char *state_dir, struct err *err)
{
	char path[PATH_BYTES];
	int fd;

	if (path_make(path, err, "%s/keeper.lock", state_dir))
		return -1;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_errno(err, errno, "cannot open %s", path);
	/* The mourner of a predecessor holds it for some milliseconds. */
	for (int i = 0; i < LOCK_WAIT_STEPS; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return fd;
		(void)usleep(LOCK_WAIT_US);
	}
	(void)close(fd);
	return err_set(err, ERR_CONFLICT, "another keeper holds %s: end it, or use another state folder", state_dir);
}

/*
 * A file says which start of the machine the pool is open in, as long as a keeper has it open. What environments wrote before the machine
 * itself ended is not to be trusted: nothing of theirs waits for the disk.
 */
static int boot_look(const char *state_dir, char now[BOOT_BYTES], bool *cut, struct err *err)
{
	char path[PATH_BYTES], then[BOOT_BYTES] = "";

	if (path_make(path, err, "%s/keeper.boot", state_dir))
		return -1;
	if (!text_get("/proc/sys/kernel/random/boot_id", now, BOOT_BYTES))
		now[0] = '\0';
	*cut = text_get(path, then, sizeof(then)) && strcmp(then, now) != 0;
	return 0;
}

static int boot_note(const char *state_dir, const char *now, struct err *err)
{
	char path[PATH_BYTES];

	return path_make(path, err, "%s/keeper.boot", state_dir) || file_replace(path, view_of(now), 0600, err) ? -1 : 0;
}

static void boot_forget(const char *state_dir)
{
	char path[PATH_BYTES];

	if (path_make(path, NULL, "%s/keeper.boot", state_dir) == 0)
		(void)unlink(path);
}

/* A copy of assay-init that nobody can write to, in no file system. */
static int init_open(struct err *err)
{
	AUTO_CLOSE int fd = memfd_create("assay-init", MFD_CLOEXEC | MFD_ALLOW_SEALING | 0x0010u /* MFD_EXEC */);

	if (fd < 0 && errno == EINVAL) /* before Linux 6.3 */
		fd = memfd_create("assay-init", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return err_errno(err, errno, "cannot make a memfd");
	if (file_write_fd(fd, view_make(init_blob, init_blob_length), err) || fchmod(fd, 0555) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE))
		return err_errno(err, errno, "cannot seal assay-init");
	return TAKE_FD(fd);
}

/* After each byte, keeps v1 joins cheap for a while. Returns when the keeper has ended. */
static void mourner_loop(const struct cgroups *cgroups, int pid_fd, int warm_fd)
{
	struct pollfd polled[2] = {{pid_fd, POLLIN, 0}, {warm_fd, POLLIN, 0}};
	int left = 0;

	for (;;) {
		char drained[64];

		if (poll(polled, 2, left ? WARM_EVERY_MS : -1) < 0)
			continue;
		if (polled[0].revents || (polled[1].revents & POLLHUP))
			return;
		if (polled[1].revents && read(warm_fd, drained, sizeof(drained)) > 0)
			left = WARM_TIMES;
		if (left) {
			cgroups_warm(cgroups);
			left--;
		}
	}
}

/*
 * Waits for the keeper's end, then removes what the kernel does not: cgroups. Forked before the mount namespace is made. Meanwhile it
 * is the one that waits for the kernel's cgroup lock, so that a sandbox need not.
 */
static int mourner_start(struct keeper *keeper, struct err *err)
{
	pid_t parent = getpid(), pid;
	int warm[2];

	if (pipe2(warm, O_CLOEXEC | O_NONBLOCK))
		return err_errno(err, errno, "cannot make a pipe");
	pid = fork();
	if (pid == 0) {
		int pid_fd = (int)syscall(SYS_pidfd_open, parent, 0);

		(void)close(keeper->peer_fd);
		(void)close(warm[1]);
		(void)prctl(PR_SET_NAME, "assay-mourner");
		(void)setsid(); /* a terminal's ^C is for the keeper */
		if (getppid() == parent)
			mourner_loop(&keeper->cgroups, pid_fd, warm[0]);
		cgroups_close(&keeper->cgroups);
		_exit(0);
	}
	(void)close(warm[0]);
	keeper->warm_fd = warm[1];
	return pid < 0 ? err_errno(err, errno, "cannot start a child") : 0;
}

void keeper_warm(const struct keeper *keeper)
{
	if (cgroups_need_warmth(&keeper->cgroups))
		(void)!write(keeper->warm_fd, "", 1);
}

static bool ids_can_map(const struct storage *pool)
{
	AUTO_CLOSE int userns = -1;
	AUTO_CLOSE int root = -1;
	AUTO_CLOSE int dir = -1;
	struct err why;

	if (ids_namespace(0, ids_base(0), IDS_RANGE, 0, &userns, &why) || ids_mount("/", userns, 0, &root, &why) ||
	    ids_mount(pool->dir, userns, 0, &dir, &why)) {
		log_warn("sandboxes have no user namespace of their own: %s", why.text);
		return false;
	}
	return true;
}

static int keeper_open(struct keeper *keeper, const char *state_dir, const char *runtime, struct err *err)
{
	struct digest digest = digest_of(view_of(state_dir));
	struct rlimit files;
	char prefix[32], boot[BOOT_BYTES];
	bool cut;

	if (state_dir[0] != '/' || strpbrk(state_dir, ":,\\\n"))
		return err_set(err, ERR_INVALID, "the state folder must be absolute, without `:`, `,` and `\\`: %s", state_dir);
	keeper->state_dir = state_dir;
	if (guard_share_set(getenv(KEEPER_SHARE_VARIABLE), err))
		return -1;
	rootless_home_find(&keeper->rootless);
	if (geteuid() != 0 && rootless_enter(&keeper->rootless, err))
		return -1;
	if (file_make_dirs(state_dir, 0755, err) || lock_take(state_dir, err) < 0 || boot_look(state_dir, boot, &cut, err))
		return -1;
	(void)snprintf(prefix, sizeof(prefix), "assay-%.10s", digest.text);
	if (cgroups_open(&keeper->cgroups, prefix, err))
		return -1;
	cgroups_clean(&keeper->cgroups);
	if (runtime && runtime_open(keeper, runtime, err))
		return -1;
	if (mourner_start(keeper, err))
		return -1;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return err_errno(err, errno, "cannot make a mount namespace");
	if (storage_open(&keeper->pool, state_dir, keeper->rootless.active, err) || network_open(&keeper->network, err) ||
	    mask_build(&keeper->pool, &keeper->rootless, own_tools, own_tool_count, err) || (keeper->init_fd = init_open(err)) < 0)
		return -1;
	keeper->ids_mapped = !keeper->rootless.active && ids_can_map(&keeper->pool);
	if (kept_envs_load(keeper, cut, err) || boot_note(state_dir, boot, err))
		return -1;
	storage_reap(&keeper->pool);
	return 0;
}

/* ---- requests ---- */

static bool text_ends(const char *text, size_t size)
{
	return memchr(text, '\0', size) != NULL;
}

/* Every text ends, every count is within its array, every name has the shape of one. */
static int request_check(const struct keeper_request *request, struct err *err)
{
	struct env_id parsed;
	bool good = request->layer_count <= VOLUME_LAYERS_MAX && request->mount_count <= SANDBOX_MOUNTS_MAX &&
		    text_ends(request->env.text, sizeof(request->env.text)) &&
		    text_ends(request->env_to.text, sizeof(request->env_to.text)) &&
		    text_ends(request->name, sizeof(request->name)) && text_ends(request->image, sizeof(request->image));

	for (size_t i = 0; good && i < request->layer_count; i++)
		good = text_ends(request->layers[i], sizeof(request->layers[i]));
	for (size_t i = 0; good && i < request->mount_count; i++)
		good = text_ends(request->mounts[i].volume, sizeof(request->mounts[i].volume)) &&
		       text_ends(request->mounts[i].path, sizeof(request->mounts[i].path)) && request->mounts[i].path[0] == '/';
	if (!good)
		return err_set(err, ERR_INVALID, "the request is malformed");
	for (const char *at = request->name; *at; at++)
		if (!((*at >= 'a' && *at <= 'z') || (*at >= '0' && *at <= '9') || (*at == '-' && at != request->name)))
			return err_set(err, ERR_INVALID, "`%s` is not a name: expected lower-case letters, digits and dashes",
				       request->name);
	if ((*request->env.text && env_id_parse(view_of(request->env.text), &parsed, err)) ||
	    (*request->env_to.text && env_id_parse(view_of(request->env_to.text), &parsed, err)))
		return -1;
	return 0;
}

void keeper_answer(struct keeper *keeper, const struct message_header *asked, struct keeper_reply *reply, int fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {{0}};
	struct iovec part = {reply, sizeof(*reply)};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

	reply->header = *asked;
	reply->header.length = sizeof(*reply);
	if (fd >= 0) {
		struct cmsghdr *header;

		message.msg_control = control.bytes;
		message.msg_controllen = sizeof(control.bytes);
		header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(header), &fd, sizeof(int));
	}
	if (sendmsg(keeper->peer_fd, &message, MSG_NOSIGNAL) < 0)
		log_warn("cannot answer the control plane: %s", strerror(errno));
}

static void request_serve(struct keeper *keeper, const struct keeper_request *request, int meta_fd)
{
	static const struct {
		keeper_handler *handle;
		bool needs_env;
		bool needs_name;
	} rows[KEEPER_ASK_COUNT] = {
		[KEEPER_ENV_MAKE] = {handle_env_make, false, false},
		[KEEPER_ENV_REMOVE] = {handle_env_remove, false, false},
		[KEEPER_ENV_STOP] = {handle_env_stop, true, false},
		[KEEPER_ENV_FREEZE] = {handle_env_freeze, true, false},
		[KEEPER_ENV_LIST] = {handle_env_list, false, false},
		[KEEPER_VOLUME_MAKE] = {handle_volume_make, true, true},
		[KEEPER_VOLUME_REMOVE] = {handle_volume_remove, true, true},
		[KEEPER_VOLUME_COMMIT] = {handle_volume_commit, true, true},
		[KEEPER_VOLUME_CLONE] = {handle_volume_clone, true, true},
		[KEEPER_LAYER_LIST] = {handle_layer_list, false, false},
		[KEEPER_LAYER_REMOVE] = {handle_layer_remove, false, false},
		[KEEPER_LAYER_IMPORT] = {handle_layer_import, false, false},
		[KEEPER_SANDBOX_MAKE] = {handle_sandbox_make, true, true},
		[KEEPER_SANDBOX_REMOVE] = {handle_sandbox_remove, true, true},
		[KEEPER_SANDBOX_USAGE] = {handle_sandbox_usage, true, true},
		[KEEPER_ENV_ACTIVITY] = {handle_env_activity, true, false},
		[KEEPER_SEVER] = {handle_sever, false, false},
	};
	struct answer answer = {.fd = -1};
	struct kept_env *env = NULL;
	struct err err = {0};
	unsigned ask = request->header.name;
	int result = -1;

	if (ask >= KEEPER_ASK_COUNT || !rows[ask].handle)
		(void)err_set(&err, ERR_INVALID, "the keeper does not know request %u", ask);
	else if (request_check(request, &err) == 0) {
		env = kept_env_find(keeper, request->env);
		if (rows[ask].needs_env && !env)
			(void)err_set(&err, ERR_NOT_FOUND, "there is no environment %s", request->env.text);
		else if (rows[ask].needs_name && !*request->name)
			(void)err_set(&err, ERR_INVALID, "a name is missing");
		else
			result = rows[ask].handle(keeper, env, request, meta_fd, &answer, &err);
	}
	if (answer.later && !result)
		return;
	if (result) {
		answer.reply.kind = err.kind ? err.kind : ERR_BROKEN;
		memcpy(answer.reply.text, err.text, sizeof(answer.reply.text));
	}
	keeper_answer(keeper, &request->header, &answer.reply, answer.fd);
	if (answer.fd >= 0)
		(void)close(answer.fd);
}

/* False when the peer is gone. */
static bool peer_serve(struct keeper *keeper)
{
	static struct keeper_request request;
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec part = {&request, sizeof(request)};
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)};
	ssize_t got = recvmsg(keeper->peer_fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	const struct cmsghdr *header = got > 0 ? CMSG_FIRSTHDR(&message) : NULL;
	int meta_fd = -1;

	if (got <= 0)
		return got < 0 && (errno == EAGAIN || errno == EINTR);
	if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
	    header->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(&meta_fd, CMSG_DATA(header), sizeof(int));
	if (got != (ssize_t)sizeof(request) || request.header.length != sizeof(request) ||
	    request.header.version != MESSAGE_VERSION) {
		log_error("the control plane does not speak our protocol: ending");
		got = 0;
	} else
		request_serve(keeper, &request, meta_fd);
	if (meta_fd >= 0)
		(void)close(meta_fd);
	return got > 0;
}

/* A room's pid 1 ended by itself: the record stays until it is removed. */
static void room_ended(struct keeper *keeper, struct room *ended)
{
	for (struct kept_env *env = keeper->environments; env; env = env->next)
		for (struct room *room = env->rooms; room; room = room->next)
			if (room == ended)
				room_kill(keeper, env, room);
}

static void keeper_loop(struct keeper *keeper)
{
	bool guarding = false;
	int64_t looked_ms = 0;

	for (;;) {
		struct epoll_event events[EVENTS_MAX];
		int timeout_ms = keeper->dying            ? DYING_LOOK_MS
				 : storage_reap_pending() ? REAP_AGAIN_MS
				 : guarding               ? GUARD_EVERY_MS
							  : -1;
		int count = epoll_wait(keeper->epoll_fd, events, EVENTS_MAX, timeout_ms);
		bool peer = false;

		/* One event at a time where records may vanish: what is left comes again. */
		for (int i = 0; i < count; i++) {
			enum watch *watch = events[i].data.ptr;

			if (*watch == WATCH_PEER)
				peer = true;
			else if (*watch == WATCH_JOB) {
				job_finish(keeper, (void *)watch);
				break;
			} else
				room_ended(keeper, (void *)watch);
		}
		if (peer && !peer_serve(keeper))
			return;
		if (keeper->dying)
			kept_envs_bury(keeper);
		if (storage_reap_pending())
			storage_reap(&keeper->pool);
		if (world_elapsed_ms(world_real) - looked_ms >= GUARD_EVERY_MS) {
			looked_ms = world_elapsed_ms(world_real);
			guarding = guard_look(keeper);
		} else
			guarding = true; /* something happened just now: look again in a while */
	}
}

static void keeper_close(struct keeper *keeper)
{
	for (struct kept_env *env = keeper->environments; env; env = env->next)
		rooms_kill_begin(keeper, env);
	for (struct kept_env *env = keeper->dying; env; env = env->next)
		rooms_kill(keeper, env);
	for (struct kept_env *env = keeper->environments; env; env = env->next)
		rooms_kill(keeper, env);
	jobs_kill();
	cgroups_close(&keeper->cgroups);
	for (struct kept_env *env = keeper->environments; env; env = env->next)
		for (struct volume *volume = env->volumes; volume; volume = volume->next)
			volume_unmount(keeper, env, volume);
	kept_envs_forget(keeper);
	storage_close(&keeper->pool);
	boot_forget(keeper->state_dir);
	free(keeper->network.batch);
	free(keeper->runtime);
}

int keeper_main(int argc, char **argv)
{
	static enum watch watch_peer = WATCH_PEER;
	struct keeper keeper = {.init_fd = -1};
	const char *state_dir = argc >= 3 && strcmp(argv[1], "--state") == 0 ? argv[2] : NULL;
	const char *runtime = argc == 5 && strcmp(argv[3], "--oci") == 0 ? argv[4] : NULL;
	struct keeper_reply ready = {0};
	struct message_header none = {.version = MESSAGE_VERSION};
	struct err err = {0};

	log_init("keeper", LOG_LEVEL_INFO);
	if (!state_dir || argc != (runtime ? 5 : 3)) {
		log_error("usage: assay keeper --state DIR [--oci RUNTIME], with the control plane's socket as descriptor %d",
			  KEEPER_PEER_FD);
		return 2;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGINT, SIG_IGN); /* of the terminal: the control plane ends us */
	(void)umask(0022);
	keeper.peer_fd = fcntl(KEEPER_PEER_FD, F_DUPFD_CLOEXEC, LOW_FDS);
	keeper.null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (keeper.peer_fd < 0 || keeper.null_fd < 0 || (keeper.null_fd = fcntl(keeper.null_fd, F_DUPFD_CLOEXEC, LOW_FDS)) < 0) {
		log_error("descriptor %d must be the control plane's socket", KEEPER_PEER_FD);
		return 2;
	}
	for (int fd = KEEPER_PEER_FD; fd < LOW_FDS; fd++)
		(void)dup3(keeper.null_fd, fd, O_CLOEXEC);
	keeper.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	(void)epoll_ctl(keeper.epoll_fd, EPOLL_CTL_ADD, keeper.peer_fd,
			&(struct epoll_event){.events = EPOLLIN, .data.ptr = &watch_peer});
	if (keeper_open(&keeper, state_dir, runtime, &err)) {
		ready.kind = err.kind;
		memcpy(ready.text, err.text, sizeof(ready.text));
		keeper_answer(&keeper, &none, &ready, -1);
		return 1;
	}
	keeper_answer(&keeper, &none, &ready, -1);
	mem_settle();
	keeper_loop(&keeper);
	keeper_close(&keeper);
	return 0;
}
