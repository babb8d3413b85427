/*
 * Rooms made by an OCI runtime, for those who want one.
 *
 * Theory of operation. The keeper does what a runtime cannot: the child that room.c clones joins the room's cgroups, sets up its network
 * and mounts its root, as ever, in mount and network namespaces that belong to the host's user namespace. Then, instead of becoming
 * assay-init, it writes a bundle and runs `create` and `start`: the runtime makes the user, pid, ipc, uts, cgroup and mount namespaces,
 * masks /proc, drops capabilities and executes assay-init, which gets the control socket as descriptor 3 and itself as 4. assay-init
 * installs the same filter as ever. `create` and `start` are two steps so that the runtime is gone, and the keeper the parent, when
 * assay-init asks to die with its parent.
 *
 * The runtime sees a cgroup v2 hierarchy whose root is the room's cgroup, mounted over what this machine has, and keeps its state on a
 * tmpfs: both end with the child's mount namespace. So a room is held and ended by the keeper alone, by cgroup and pidfd; the runtime is
 * never asked again, and a kill -9 leaves nothing of it that the keeper does not know.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/process.h"
#include "sandbox/local/room_priv.h"

#define STAGE "/mnt" /* ours in the child's mount namespace: every id of the room may pass through it */
#define STAGE_OPTIONS "size=4m,mode=755"
#define CGROUP_VIEW "/sys/fs/cgroup"
#define INIT_EXEC_PATH "/proc/self/fd/4" /* after the control socket */
#define PRESERVED_FDS "2"
#define STEP_TIMEOUT_MS 20000
#define LOOK_TIMEOUT_MS 10000
#define ARGS_MAX 24
#define BUNDLE_BYTES_MAX ((size_t)256 << 10)
#define LOG_BYTES_MAX ((size_t)1 << 20)

#define NO_SOCKETS "cannot be used: its sockets are not the host kernel's, so the gateway could not hold them"

static const char *const runc_options[] = {"--rootless=true", NULL}; /* what it may not do to cgroups is not needed */
static const char *const crun_options[] = {"--cgroup-manager=disabled", NULL};

static const struct runtime_kind kinds[] = {
	{"runc", runc_options, NULL},
	{"crun", crun_options, NULL},
	{"runsc", NULL, NO_SOCKETS}, /* gVisor */
	{"kata-runtime", NULL, NO_SOCKETS},
};

static const char *const folders[] = {"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"};

static const struct runtime_kind *kind_find(struct view name)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (view_is(name, kinds[i].name))
			return &kinds[i];
	return NULL;
}

static bool program_find(const char *name, char path[PATH_BYTES])
{
	for (size_t i = 0; i < ARRAY_LEN(folders); i++)
		if (path_make(path, NULL, "%s/%s", folders[i], name) == 0 && access(path, X_OK) == 0)
			return true;
	return false;
}

/* The first word that a program says of itself. */
static const struct runtime_kind *kind_ask(const char *path, struct err *err)
{
	const char *argv[] = {path, "--version", NULL};
	AUTO_BUF said = buf_new(4096);
	const struct runtime_kind *kind;
	struct view rest;

	if (process_run(&(struct process_spec){.argv = argv, .timeout_ms = LOOK_TIMEOUT_MS, .output = &said}, NULL, err))
		return err_prefix(err, "the OCI runtime %s", path), NULL;
	kind = kind_find(view_cut(buf_view(&said), ' ', &rest));
	if (!kind)
		(void)err_set(err, ERR_INVALID, "%s is not an OCI runtime that is known here: expected runc or crun", path);
	return kind;
}

int runtime_open(struct keeper *keeper, const char *name, struct err *err)
{
	AUTO_FREE struct runtime *runtime = mem_new(sizeof(*runtime));
	bool is_path = name[0] == '/';

	runtime->kind = kind_find(view_of(name));
	if (!is_path && !runtime->kind)
		return err_set(err, ERR_INVALID, "`%.80s` is not an OCI runtime that is known here: expected runc, crun or a path",
			       name);
	if (is_path ? path_make(runtime->path, err, "%s", name) : !runtime->kind->refused && !program_find(name, runtime->path))
		return err_set(err, ERR_NOT_FOUND, "the OCI runtime %s is not installed: apt install %s", name, name);
	if (is_path && !(runtime->kind = kind_ask(name, err)))
		return -1;
	if (runtime->kind->refused)
		return err_set(err, ERR_DENIED, "the OCI runtime %s %s", name, runtime->kind->refused);
	if (keeper->rootless.active)
		return err_set(err, ERR_DENIED, "an OCI runtime makes sandboxes only for root: leave --oci and ASSAY_RUNTIME out");
	if (!keeper->cgroups.count || !keeper->cgroups.trees[0].v2)
		return err_set(err, ERR_DENIED, "the OCI runtime %s needs cgroup v2: mount it (beside v1 will do)", name);
	keeper->runtime = TAKE(runtime);
	return 0;
}

void runtimes_list(struct buf *found, bool *usable)
{
	*usable = false;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		char path[PATH_BYTES];
		bool there = program_find(kinds[i].name, path);

		if (found->length)
			buf_add_text(found, "; ");
		if (!there)
			buf_add_format(found, "no %s", kinds[i].name);
		else if (kinds[i].refused)
			buf_add_format(found, "%s %s", kinds[i].name, kinds[i].refused);
		else {
			buf_add_format(found, "has %s", kinds[i].name);
			*usable = true;
		}
	}
}

/* ---- the bundle ---- */

static json_t *texts_json(const char *const *texts)
{
	json_t *array = json_array();

	for (; *texts; texts++)
		(void)json_array_append_new(array, json_string(*texts));
	return array;
}

static json_t *capabilities_json(void)
{
	static const char *const sets[] = {"bounding", "effective", "permitted"};
	json_t *object = json_object();

	for (size_t set = 0; set < ARRAY_LEN(sets); set++) {
		json_t *names = json_array();

		for (size_t i = 0; i < ROOM_CAPABILITY_COUNT; i++)
			(void)json_array_append_new(names, json_string(room_capabilities[i].name));
		(void)json_object_set_new(object, sets[set], names);
	}
	return object;
}

static json_t *process_json(void)
{
	static const char *const argv[] = {INIT_EXEC_PATH, NULL};

	return json_pack("{s:b, s:{s:i, s:i}, s:o, s:[], s:s, s:o, s:b}", "terminal", 0, "user", "uid", 0, "gid", 0, "args",
			 texts_json(argv), "env", "cwd", "/", "capabilities", capabilities_json(), "noNewPrivileges", 1);
}

/* /proc is of the new pid namespace; /dev is in the root already, and said to be ours so that the runtime makes none. */
static json_t *mounts_json(void)
{
	return json_pack("[{s:s, s:s, s:s, s:[s, s, s]}, {s:s, s:s, s:s, s:[s]}]", "destination", "/proc", "type", "proc", "source",
			 "proc", "options", "nosuid", "nodev", "noexec", "destination", "/dev", "type", "bind", "source",
			 STAGE "/root/dev", "options", "rbind");
}

static json_t *linux_json(const struct plan *plan)
{
	static const char *const namespaces[] = {"pid", "ipc", "uts", "mount", "cgroup", "user"};
	json_t *masked = texts_json(room_proc_hidden_files), *folders_masked = texts_json(room_proc_hidden_folders);
	json_t *object = json_object(), *list = json_array();
	bool mapped = plan->env->userns_fd >= 0;

	(void)json_array_extend(masked, folders_masked);
	json_decref(folders_masked);
	for (size_t i = 0; i < ARRAY_LEN(namespaces) - !mapped; i++)
		(void)json_array_append_new(list, json_pack("{s:s}", "type", namespaces[i]));
	(void)json_object_set_new(object, "namespaces", list);
	(void)json_object_set_new(object, "maskedPaths", masked);
	(void)json_object_set_new(object, "readonlyPaths", texts_json(room_proc_read_only));
	(void)json_object_set_new(object, "cgroupsPath", json_string("/init"));
	for (int i = 0; mapped && i < 2; i++)
		(void)json_object_set_new(object, i ? "gidMappings" : "uidMappings",
					  json_pack("[{s:i, s:I, s:I}]", "containerID", 0, "hostID", (json_int_t)plan->env->ids,
						    "size", (json_int_t)IDS_RANGE));
	return object;
}

static int bundle_write(const struct plan *plan, struct err *err)
{
	AUTO_JSON config = json_pack("{s:s, s:s, s:{s:s, s:b}, s:o, s:o, s:o}", "ociVersion", "1.0.2", "hostname",
				     plan->request->name, "root", "path", STAGE "/root", "readonly", 0, "process", process_json(),
				     "mounts", mounts_json(), "linux", linux_json(plan));
	AUTO_BUF text = buf_new(BUNDLE_BYTES_MAX);

	json_format(&text, config);
	if (buf_finish(&text, err))
		return err_prefix(err, "the bundle");
	return file_replace(STAGE "/config.json", buf_view(&text), 0600, err);
}

/* Puts the root where the room's ids can reach it, and the runtime's view of the machine around it. */
static int stage_make(const struct plan *plan, struct err *err)
{
	AUTO_CLOSE int root = -1;

	if (room_root_mount(plan, err))
		return -1;
	root = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0 || mount("tmpfs", STAGE, "tmpfs", MS_NOSUID, STAGE_OPTIONS) || chdir(STAGE) || mkdir("root", 0755))
		return err_errno(err, errno, "cannot mount " STAGE " for the OCI runtime");
	if (syscall(SYS_move_mount, root, "", AT_FDCWD, "root", MOVE_MOUNT_F_EMPTY_PATH))
		return err_errno(err, errno, "cannot move the root to " STAGE);
	if (mount("cgroup2", CGROUP_VIEW, "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL))
		return err_errno(err, errno, "cannot show the OCI runtime its cgroup");
	return bundle_write(plan, err);
}

/* ---- its steps ---- */

/* The last error in the runtime's log, a line of JSON each. */
static void complaint_read(char *text, size_t size)
{
	AUTO_BUF log = buf_new(LOG_BYTES_MAX);

	(void)snprintf(text, size, "it does not say why");
	if (file_read(STAGE "/log", &log, NULL))
		return;
	for (struct view rest = buf_view(&log), line; rest.length;) {
		AUTO_JSON said = NULL;

		line = view_cut(rest, '\n', &rest);
		said = json_parse(line, NULL);
		if (strcmp(json_text(said, "level", ""), "error") == 0)
			(void)snprintf(text, size, "%s", json_text(said, "msg", ""));
	}
	for (char *at = text; *at; at++)
		*at = *at == '\n' ? ' ' : *at;
}

static int step_run(const struct plan *plan, const char *const *words, struct err *err)
{
	const struct runtime *runtime = plan->keeper->runtime;
	const char *env[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL};
	const char *argv[ARGS_MAX] = {runtime->path, "--root", STAGE "/state", "--log", STAGE "/log", "--log-format", "json"};
	int fds[] = {plan->keeper->null_fd, plan->keeper->null_fd, plan->keeper->null_fd, plan->control_fd, plan->keeper->init_fd};
	char complaint[ERR_TEXT_MAX / 2];
	AUTO_CLOSE int pid_fd = -1;
	size_t count = 7;
	int status;
	pid_t pid;

	for (const char *const *option = runtime->kind->options; *option; option++)
		argv[count++] = *option;
	for (const char *const *word = words; *word; word++)
		argv[count++] = *word;
	if (process_start(argv, env, fds, ARRAY_LEN(fds), &pid, &pid_fd, err))
		return err_prefix(err, "%s %s", runtime->path, words[0]);
	if (process_wait(pid_fd, STEP_TIMEOUT_MS, &status, err))
		return err_set(err, ERR_RETRY, "%s %s did not end within %d s", runtime->path, words[0], STEP_TIMEOUT_MS / 1000);
	if (!status)
		return 0;
	complaint_read(complaint, sizeof(complaint));
	return err_set(err, ERR_DENIED, "%s %s: %s", runtime->path, words[0], complaint);
}

int runtime_room_make(const struct plan *plan, pid_t *pid, struct err *err)
{
	AUTO_FREE char *id = text_format("%s.%s", plan->env->id.text, plan->request->name);
	const char *create[] = {"create", "--bundle", STAGE, "--pid-file", STAGE "/pid", "--preserve-fds", PRESERVED_FDS, id, NULL};
	const char *start[] = {"start", id, NULL};
	char text[32];

	if (stage_make(plan, err) || step_run(plan, create, err))
		return -1;
	if (!text_get(STAGE "/pid", text, sizeof(text)) || (*pid = atoi(text)) <= 1)
		return err_set(err, ERR_BROKEN, "%s made a sandbox without a process", plan->keeper->runtime->path);
	return step_run(plan, start, err);
}
