/*
 * Limits, freezing, killing and counting by cgroups: v2, v1 and the hybrid of both.
 *
 * Theory of operation. Every hierarchy that has something for us gets our prefix below the keeper's own cgroup, in it a directory an
 * environment, in that one a room. v2 comes first wherever it is mounted, even without controllers: it freezes, kills frozen
 * processes, and takes a process at clone3 (CLONE_INTO_CGROUP), which v1 cannot. v1 hierarchies supply the controllers that v2 does not
 * have. A v1 join must be done by writing "0" in the child, as its first act: a write takes the global threadgroup lock.
 */
#include "sandbox/local/keeper_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"

#define MOUNTS_BYTES_MAX ((size_t)4 << 20)
#define LIST_BYTES ((size_t)64 << 10)
#define RMDIR_TRIES 200
#define WAIT_STEP_NS 1000000
#define FREEZE_WAIT_STEPS 2000
#define CPU_PERIOD_US 100000
#define THREAD_RESTS "SIZXTt" /* asleep until woken, ended, stopped; not R, and not D, which a disk will wake (proc(5)) */

struct controller_name {
	const char *name;
	unsigned bit;
};
static const struct controller_name controller_names[] = {
	{"memory", CGROUP_MEMORY},   {"pids", CGROUP_PIDS},       {"cpu", CGROUP_CPU},
	{"cpuacct", CGROUP_CPUACCT}, {"freezer", CGROUP_FREEZER},
};

static void step_wait(void)
{
	(void)nanosleep(&(struct timespec){0, WAIT_STEP_NS}, NULL);
}

/* Bits of the names in a list separated by commas or spaces, up to a colon. */
static unsigned controllers_in(const char *list)
{
	unsigned bits = 0;

	while (*list && *list != ':') {
		size_t length = strcspn(list, ":, \n");

		for (size_t i = 0; i < ARRAY_LEN(controller_names); i++)
			if (strlen(controller_names[i].name) == length && strncmp(list, controller_names[i].name, length) == 0)
				bits |= controller_names[i].bit;
		list += length + (list[length] && list[length] != ':');
	}
	return bits;
}

/* Our own path in the hierarchy that has `controllers` (v1) or in v2 (""), from /proc/self/cgroup. */
static bool own_path(const char *table, const char *controllers, char path[PATH_BYTES])
{
	for (const char *line = table; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		const char *names = strchr(line, ':');
		const char *at = names ? strchr(names + 1, ':') : NULL;
		size_t end;

		if (!at)
			continue;
		if (*controllers ? !(controllers_in(names + 1) & controllers_in(controllers)) || names[1] == ':' : names[1] != ':')
			continue;
		end = strcspn(at + 1, "\n");
		if (end >= PATH_BYTES)
			return false;
		memcpy(path, at + 1, end);
		path[end] = '\0';
		return true;
	}
	return false;
}

static bool dir_make(const char *path)
{
	return mkdir(path, 0755) == 0 || errno == EEXIST;
}

/* Lets children of `dir` use what we want of the controllers it has; the bits that work there. */
static unsigned v2_enable(const char *dir)
{
	char path[PATH_BYTES + 32], list[1024];
	unsigned have = 0;

	(void)snprintf(path, sizeof(path), "%s/cgroup.subtree_control", dir);
	for (size_t i = 0; i < 3; i++) {
		char word[16];

		(void)snprintf(word, sizeof(word), "+%s", controller_names[i].name);
		(void)!text_put(path, word, NULL);
	}
	if (text_get(path, list, sizeof(list)))
		have = controllers_in(list) & (CGROUP_MEMORY | CGROUP_PIDS | CGROUP_CPU);
	return have;
}

/* Moves every process of `dir` into a child, so that `dir` may have controllers for its children: only for the root of a namespace, and for
 * a cgroup that was delegated to a user. */
static void v2_vacate(const char *dir)
{
	char leaf[PATH_BYTES + 32], from[PATH_BYTES + 32], to[PATH_BYTES + 64];
	static char list[LIST_BYTES];

	(void)snprintf(leaf, sizeof(leaf), "%s/assay-host", dir);
	(void)snprintf(from, sizeof(from), "%s/cgroup.procs", dir);
	(void)snprintf(to, sizeof(to), "%s/cgroup.procs", leaf);
	if (!dir_make(leaf) || !text_get(from, list, sizeof(list)))
		return;
	for (char *save = NULL, *pid = strtok_r(list, "\n", &save); pid; pid = strtok_r(NULL, "\n", &save))
		(void)!text_put(to, pid, NULL);
}

/* v2: our own cgroup when it can have controllers for children, else the root (a process may not live beside controllers). */
static bool v2_open(struct cgroup_tree *tree, const char *mount, const char *own, const char *prefix)
{
	char dirs[2][PATH_BYTES], list[1024], path[PATH_BYTES + 32];
	unsigned offered, have = 0;
	size_t at = 0;

	if (snprintf(dirs[0], PATH_BYTES, "%s%s", mount, strcmp(own, "/") == 0 ? "" : own) >= PATH_BYTES - 64)
		return false;
	(void)snprintf(dirs[1], PATH_BYTES, "%s", mount);
	(void)snprintf(path, sizeof(path), "%s/cgroup.controllers", mount);
	offered = text_get(path, list, sizeof(list)) ? controllers_in(list) & (CGROUP_MEMORY | CGROUP_PIDS | CGROUP_CPU) : 0;
	for (at = 0; offered && at < 2 && !have; at++)
		have = v2_enable(dirs[at]);
	at = at ? at - 1 : 0;
	(void)snprintf(path, sizeof(path), "%s/cgroup.procs", dirs[1]);
	if (offered && !have && access(path, W_OK)) {
		v2_vacate(dirs[0]);
		have = v2_enable(dirs[0]);
		at = 0;
	} else if (offered && !have) {
		v2_vacate(dirs[1]);
		have = v2_enable(dirs[1]);
		at = 1;
	}
	tree->v2 = true;
	if (snprintf(tree->base, sizeof(tree->base), "%s/%s", dirs[at], prefix) >= PATH_BYTES - 128 || !dir_make(tree->base))
		return false;
	tree->controllers = have ? v2_enable(tree->base) : 0;
	if (tree->controllers & CGROUP_CPU)
		tree->controllers |= CGROUP_CPUACCT; /* cpu.stat */
	return true;
}

static bool v1_open(struct cgroup_tree *tree, const char *mount, const char *own, const char *prefix, unsigned controllers)
{
	tree->v2 = false;
	tree->controllers = controllers;
	return snprintf(tree->base, sizeof(tree->base), "%s%s/%s", mount, strcmp(own, "/") == 0 ? "" : own, prefix) <
		       PATH_BYTES - 128 &&
	       dir_make(tree->base);
}

/* A line of /proc/self/mountinfo: "id parent dev root mount options … - type source super". */
struct mount_line {
	char root[PATH_BYTES];
	char mount[PATH_BYTES];
	char type[32];
	char super[PATH_BYTES];
};

static bool mount_line_parse(const char *line, struct mount_line *mount)
{
	const char *dash = strstr(line, " - ");

	return dash && sscanf(line, "%*d %*d %*s %1023s %1023s", mount->root, mount->mount) == 2 &&
	       sscanf(dash + 3, "%31s %*s %1023s", mount->type, mount->super) == 2;
}

/* `own` is relative to the hierarchy; the mount may show only a part of it (a container's). */
static const char *own_below(const char *own, const char *root)
{
	size_t length = strlen(root);

	if (strcmp(root, "/") == 0)
		return own;
	if (strncmp(own, root, length) == 0 && (own[length] == '/' || !own[length]))
		return own[length] ? own + length : "/";
	return "/";
}

static void tree_open(struct cgroups *cgroups, const struct mount_line *mount, const char *table, const char *prefix, bool v2)
{
	struct cgroup_tree *tree = &cgroups->trees[cgroups->count];
	unsigned wanted = controllers_in(mount->super) & ~cgroups->controllers;
	char own[PATH_BYTES];

	if (cgroups->count == CGROUP_TREES_MAX || strcmp(mount->type, v2 ? "cgroup2" : "cgroup") != 0)
		return;
	if (v2 ? cgroups->count > 0 : !wanted)
		return;
	if (!v2 && cgroups->count && cgroups->trees[0].v2)
		wanted &= ~(unsigned)CGROUP_FREEZER; /* v2 freezes better */
	if (!own_path(table, v2 ? "" : mount->super, own))
		return;
	if (v2 ? v2_open(tree, mount->mount, own_below(own, mount->root), prefix)
	       : wanted && v1_open(tree, mount->mount, own_below(own, mount->root), prefix, wanted)) {
		cgroups->controllers |= tree->controllers;
		cgroups->count++;
	}
}

/* One line of mountinfo, for cgroups_delegated. */
static unsigned line_delegated(const struct mount_line *mount, const char *table, bool *freezes)
{
	bool v2 = strcmp(mount->type, "cgroup2") == 0;
	char own[PATH_BYTES], dir[PATH_BYTES], path[PATH_BYTES + 32], list[1024];
	unsigned controllers = v2 ? 0 : controllers_in(mount->super);

	if ((!v2 && strcmp(mount->type, "cgroup") != 0) || !own_path(table, v2 ? "" : mount->super, own) ||
	    path_make(dir, NULL, "%s%s", mount->mount, own_below(own, mount->root)) || access(dir, W_OK))
		return 0;
	*freezes |= v2 || (controllers & CGROUP_FREEZER);
	(void)snprintf(path, sizeof(path), "%s/cgroup.controllers", dir);
	return v2 && text_get(path, list, sizeof(list)) ? controllers_in(list) : controllers;
}

unsigned cgroups_delegated(bool *freezes)
{
	AUTO_BUF mounts = buf_new(MOUNTS_BYTES_MAX);
	AUTO_CLOSE int fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	char table[4096];
	unsigned controllers = 0;

	*freezes = false;
	if (fd < 0 || file_read_fd(fd, &mounts, NULL) || !text_get("/proc/self/cgroup", table, sizeof(table)))
		return 0;
	for (struct view rest = buf_view(&mounts), line; rest.length;) {
		struct mount_line mount;
		AUTO_FREE char *text = NULL;

		line = view_cut(rest, '\n', &rest);
		text = view_copy(line);
		if (mount_line_parse(text, &mount))
			controllers |= line_delegated(&mount, table, freezes);
	}
	return controllers;
}

int cgroups_open(struct cgroups *cgroups, const char *prefix, struct err *err)
{
	AUTO_BUF mounts = buf_new(MOUNTS_BYTES_MAX);
	char table[4096];
	struct view rest, line;

	*cgroups = (struct cgroups){0};
	if (!text_get("/proc/self/cgroup", table, sizeof(table)))
		return 0; /* a kernel without cgroups */
	{
		AUTO_CLOSE int fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);

		if (fd < 0 || file_read_fd(fd, &mounts, err))
			return err_set(err, ERR_BROKEN, "cannot read /proc/self/mountinfo");
	}
	for (int pass = 0; pass < 2; pass++) /* v2 first */
		for (rest = buf_view(&mounts); rest.length;) {
			struct mount_line mount;
			AUTO_FREE char *text = NULL;

			line = view_cut(rest, '\n', &rest);
			text = view_copy(line);
			if (mount_line_parse(text, &mount))
				tree_open(cgroups, &mount, table, prefix, pass == 0);
		}
	return 0;
}

/* The directory of a room ("" : of the environment) in one hierarchy, with a file of it. */
static void place(const struct cgroup_tree *tree, const char *env, const char *room, const char *file, char path[PATH_BYTES * 2])
{
	(void)snprintf(path, PATH_BYTES * 2, "%s%s%s%s%s%s%s", tree->base, *env ? "/" : "", env, *room ? "/" : "", room,
		       *file ? "/" : "", file);
}

static int put(const struct cgroup_tree *tree, const char *env, const char *room, const char *file, const char *text,
	       struct err *err)
{
	char path[PATH_BYTES * 2];

	place(tree, env, room, file, path);
	return text_put(path, text, err);
}

static bool get(const struct cgroup_tree *tree, const char *env, const char *room, const char *file, char *at, size_t length)
{
	char path[PATH_BYTES * 2];

	place(tree, env, room, file, path);
	return text_get(path, at, length);
}

/* The number in a file, or after `key ` in it; -1 when there is none. */
static int64_t number(const struct cgroup_tree *tree, const char *env, const char *room, const char *file, const char *key)
{
	char text[4096], *at = text;

	if (!get(tree, env, room, file, text, sizeof(text)))
		return -1;
	for (size_t length = strlen(key); *key && at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL)
		if (strncmp(at, key, length) == 0 && at[length] == ' ') {
			at += length + 1;
			break;
		}
	return at && *at >= '0' && *at <= '9' ? strtoll(at, NULL, 10) : -1;
}

static const struct cgroup_tree *tree_with(const struct cgroups *cgroups, unsigned controller)
{
	for (size_t i = 0; i < cgroups->count; i++)
		if (cgroups->trees[i].controllers & controller)
			return &cgroups->trees[i];
	return NULL;
}

static const struct cgroup_tree *freezing_tree(const struct cgroups *cgroups)
{
	return cgroups->count && cgroups->trees[0].v2 ? &cgroups->trees[0] : tree_with(cgroups, CGROUP_FREEZER);
}

/* Kills every process in a directory and below, frozen or not; returns when none is left or after two seconds. */
static void kill_below(const struct cgroup_tree *tree, const char *path)
{
	char file[PATH_BYTES * 2 + 32];
	static char list[LIST_BYTES];

	if (tree->v2) {
		(void)snprintf(file, sizeof(file), "%s/cgroup.kill", path);
		(void)!text_put(file, "1", NULL);
	}
	(void)snprintf(file, sizeof(file), "%s/cgroup.procs", path);
	for (int i = 0; i < FREEZE_WAIT_STEPS; i++) {
		char thaw[PATH_BYTES * 2 + 32];

		if (!text_get(file, list, sizeof(list)) || !*list)
			return;
		for (char *save = NULL, *pid = strtok_r(list, "\n", &save); pid; pid = strtok_r(NULL, "\n", &save))
			if (atoi(pid) > 0)
				(void)kill(atoi(pid), SIGKILL);
		(void)snprintf(thaw, sizeof(thaw), "%s/freezer.state", path);
		if (!tree->v2)
			(void)!text_put(thaw, "THAWED", NULL);
		step_wait();
	}
}

static void dir_remove(const char *path)
{
	for (int i = 0; i < RMDIR_TRIES; i++) {
		if (rmdir(path) == 0 || (errno != EBUSY && errno != ENOTEMPTY))
			return;
		step_wait();
	}
}

/* Kills and removes every directory below `path`, not `path` itself. */
static void clean_below(const struct cgroup_tree *tree, const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		char child[PATH_BYTES * 2];

		if (entry->d_type != DT_DIR || entry->d_name[0] == '.' ||
		    snprintf(child, sizeof(child), "%s/%s", path, entry->d_name) >= (int)sizeof(child))
			continue;
		kill_below(tree, child);
		clean_below(tree, child);
		dir_remove(child);
	}
	if (dir)
		(void)closedir(dir);
}

void cgroups_warm(const struct cgroups *cgroups)
{
	for (size_t i = 0; i < cgroups->count; i++) {
		char path[PATH_BYTES + 32];

		if (cgroups->trees[i].v2)
			continue;
		(void)snprintf(path, sizeof(path), "%s/../cgroup.procs", cgroups->trees[i].base);
		(void)!text_put(path, "0", NULL);
		return; /* the lock is one for all hierarchies */
	}
}

bool cgroups_need_warmth(const struct cgroups *cgroups)
{
	return cgroups->count && !cgroups->trees[cgroups->count - 1].v2;
}

void cgroups_clean(const struct cgroups *cgroups)
{
	for (size_t i = 0; i < cgroups->count; i++)
		clean_below(&cgroups->trees[i], cgroups->trees[i].base);
}

void cgroups_close(const struct cgroups *cgroups)
{
	cgroups_clean(cgroups);
	for (size_t i = 0; i < cgroups->count; i++)
		dir_remove(cgroups->trees[i].base);
}

int cgroup_env_make(const struct cgroups *cgroups, const char *env, struct err *err)
{
	for (size_t i = 0; i < cgroups->count; i++) {
		char path[PATH_BYTES * 2];

		place(&cgroups->trees[i], env, "", "", path);
		if (!dir_make(path))
			return err_errno(err, errno, "cannot make the cgroup %s", path);
		if (cgroups->trees[i].v2 && cgroups->trees[i].controllers)
			(void)v2_enable(path);
	}
	return 0;
}

void cgroup_env_remove(const struct cgroups *cgroups, const char *env)
{
	for (size_t i = 0; i < cgroups->count; i++) {
		char path[PATH_BYTES * 2];

		place(&cgroups->trees[i], env, "", "", path);
		if (rmdir(path) == 0 || errno == ENOENT)
			continue;
		kill_below(&cgroups->trees[i], path);
		clean_below(&cgroups->trees[i], path);
		dir_remove(path);
	}
}

bool cgroups_can_freeze(const struct cgroups *cgroups)
{
	return freezing_tree(cgroups);
}

int cgroup_env_freeze(const struct cgroups *cgroups, const char *env, bool frozen, struct err *err)
{
	const struct cgroup_tree *tree = freezing_tree(cgroups);
	const char *wanted = frozen ? "FROZEN" : "THAWED";

	if (!tree)
		return err_set(err, ERR_DENIED, "there is no cgroup that freezes");
	if (put(tree, env, "", tree->v2 ? "cgroup.freeze" : "freezer.state", tree->v2 ? (frozen ? "1" : "0") : wanted, err))
		return err_prefix(err, "cannot %s the environment", frozen ? "freeze" : "thaw");
	for (int i = 0; i < FREEZE_WAIT_STEPS; i++) {
		char state[16];

		if (tree->v2 ? number(tree, env, "", "cgroup.events", "frozen") == frozen
			     : get(tree, env, "", "freezer.state", state, sizeof(state)) &&
				       strncmp(state, wanted, strlen(wanted)) == 0)
			return 0;
		if (i < 20)
			(void)nanosleep(&(struct timespec){0, 50000}, NULL);
		else
			step_wait();
	}
	return err_set(err, ERR_RETRY, "the environment did not %s in time", frozen ? "freeze" : "thaw");
}

static int limits_put(const struct cgroup_tree *tree, const char *env, const char *room, const struct limits *limits,
		      struct err *err)
{
	int64_t memory = limits->memory_bytes > 0 ? limits->memory_bytes : LIMIT_MEMORY_DEFAULT;
	char text[64];

	(void)snprintf(text, sizeof(text), "%lld", (long long)memory);
	if ((tree->controllers & CGROUP_MEMORY) &&
	    put(tree, env, room, tree->v2 ? "memory.max" : "memory.limit_in_bytes", text, err))
		return -1;
	if (tree->controllers & CGROUP_MEMORY) /* a kernel without swap accounting has none of these */
		(void)!put(tree, env, room, tree->v2 ? "memory.swap.max" : "memory.memsw.limit_in_bytes", tree->v2 ? "0" : text,
			   NULL);
	(void)snprintf(text, sizeof(text), "%d", limits->pids > 0 ? limits->pids : LIMIT_PIDS_DEFAULT);
	if ((tree->controllers & CGROUP_PIDS) && put(tree, env, room, "pids.max", text, err))
		return -1;
	if (!(tree->controllers & CGROUP_CPU) || limits->cpu_percent <= 0)
		return 0;
	(void)snprintf(text, sizeof(text), tree->v2 ? "%d %d" : "%d", limits->cpu_percent * (CPU_PERIOD_US / 100), CPU_PERIOD_US);
	return put(tree, env, room, tree->v2 ? "cpu.max" : "cpu.cfs_quota_us", text, err);
}

int cgroup_room_make(const struct cgroups *cgroups, const char *env, const char *room, const struct limits *limits, struct err *err)
{
	for (size_t i = 0; i < cgroups->count; i++) {
		char path[PATH_BYTES * 2];

		place(&cgroups->trees[i], env, room, "", path);
		if (!dir_make(path))
			return err_errno(err, errno, "cannot make the cgroup %s", path);
	}
	return limits ? cgroup_room_limit(cgroups, env, room, limits, err) : 0;
}

int cgroup_room_limit(const struct cgroups *cgroups, const char *env, const char *room, const struct limits *limits,
		      struct err *err)
{
	for (size_t i = 0; i < cgroups->count; i++)
		if (limits_put(&cgroups->trees[i], env, room, limits, err))
			return err_prefix(err, "cannot limit the sandbox");
	return 0;
}

int cgroup_room_fd(const struct cgroups *cgroups, const char *env, const char *room, int *fd, struct err *err)
{
	char path[PATH_BYTES * 2];

	*fd = -1;
	if (!cgroups->count || !cgroups->trees[0].v2)
		return 0;
	place(&cgroups->trees[0], env, room, "", path);
	*fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *fd < 0 ? err_errno(err, errno, "cannot open the cgroup %s", path) : 0;
}

int cgroup_room_join(const struct cgroups *cgroups, const char *env, const char *room, struct err *err)
{
	for (size_t i = 0; i < cgroups->count; i++)
		if (!cgroups->trees[i].v2 && put(&cgroups->trees[i], env, room, "cgroup.procs", "0", err))
			return err_prefix(err, "cannot join the cgroup");
	return 0;
}

void cgroup_env_kill(const struct cgroups *cgroups, const char *env)
{
	if (cgroups->count && cgroups->trees[0].v2)
		(void)!put(&cgroups->trees[0], env, "", "cgroup.kill", "1", NULL);
}

void cgroup_room_kill(const struct cgroups *cgroups, const char *env, const char *room)
{
	if (cgroups->count && cgroups->trees[0].v2)
		(void)!put(&cgroups->trees[0], env, room, "cgroup.kill", "1", NULL);
}

void cgroup_room_remove(const struct cgroups *cgroups, const char *env, const char *room)
{
	for (size_t i = 0; i < cgroups->count; i++) {
		char path[PATH_BYTES * 2];

		place(&cgroups->trees[i], env, room, "", path);
		if (rmdir(path) == 0 || errno == ENOENT)
			continue;
		kill_below(&cgroups->trees[i], path);
		clean_below(&cgroups->trees[i], path);
		dir_remove(path);
	}
}

void cgroup_room_usage(const struct cgroups *cgroups, const char *env, const char *room, struct sandbox_usage *usage)
{
	const struct cgroup_tree *memory = tree_with(cgroups, CGROUP_MEMORY);
	const struct cgroup_tree *pids = tree_with(cgroups, CGROUP_PIDS);
	const struct cgroup_tree *cpu = tree_with(cgroups, CGROUP_CPUACCT);

	*usage = (struct sandbox_usage){0};
	if (memory) {
		usage->memory_bytes = number(memory, env, room, memory->v2 ? "memory.current" : "memory.usage_in_bytes", "");
		usage->memory_peak_bytes = number(memory, env, room, memory->v2 ? "memory.peak" : "memory.max_usage_in_bytes", "");
		usage->oom_kills = (int)number(memory, env, room, memory->v2 ? "memory.events" : "memory.oom_control", "oom_kill");
	}
	if (pids)
		usage->pids = (int)number(pids, env, room, "pids.current", "");
	if (pids)
		usage->pids_refused = (int)number(pids, env, room, "pids.events", "max");
	if (cpu)
		usage->cpu_ms = cpu->v2 ? number(cpu, env, room, "cpu.stat", "usage_usec") / 1000
					: number(cpu, env, room, "cpuacct.usage", "") / 1000000;
	usage->memory_bytes = usage->memory_bytes < 0 ? 0 : usage->memory_bytes;
	usage->memory_peak_bytes = usage->memory_peak_bytes < 0 ? 0 : usage->memory_peak_bytes;
	usage->oom_kills = usage->oom_kills < 0 ? 0 : usage->oom_kills;
	usage->pids = usage->pids < 0 ? 0 : usage->pids;
	usage->pids_refused = usage->pids_refused < 0 ? 0 : usage->pids_refused;
}

int64_t cgroup_env_cpu(const struct cgroups *cgroups, const char *env)
{
	const struct cgroup_tree *cpu = tree_with(cgroups, CGROUP_CPUACCT);

	if (!cpu)
		return -1;
	return cpu->v2 ? number(cpu, env, "", "cpu.stat", "usage_usec") : number(cpu, env, "", "cpuacct.usage", "");
}

/* The letter behind the name in /proc/TID/stat; the name may hold anything. A thread that is gone does nothing. */
static bool thread_sleeps(const char *thread)
{
	char path[64], text[1024];
	const char *end;

	(void)snprintf(path, sizeof(path), "/proc/%.20s/stat", thread);
	if (!text_get(path, text, sizeof(text)))
		return true;
	end = strrchr(text, ')');
	return end && end[1] == ' ' && strchr(THREAD_RESTS, end[2]);
}

bool cgroup_room_sleeps(const struct cgroups *cgroups, const char *env, const char *room)
{
	const struct cgroup_tree *cpu = tree_with(cgroups, CGROUP_CPUACCT);
	static char list[LIST_BYTES];
	bool sleeps;

	if (!cpu || !get(cpu, env, room, cpu->v2 ? "cgroup.threads" : "tasks", list, sizeof(list)))
		return false;
	sleeps = strlen(list) < sizeof(list) - 1;
	for (char *save = NULL, *thread = strtok_r(list, "\n", &save); thread && sleeps; thread = strtok_r(NULL, "\n", &save))
		sleeps = thread_sleeps(thread);
	return sleeps;
}
