/*
 * The keeper of an ordinary user: root of a user namespace of its own, in which it does what the keeper of root does on the machine.
 *
 * Theory of operation. Id 0 of that namespace is the user. The ids from 1 on are the user's range in /etc/subuid and /etc/subgid, which the
 * programs newuidmap and newgidmap may map; sandboxes get those and never 0, so that nothing in one has the rights of the user. Mounts
 * and networks of sandboxes belong to the keeper's namespace, their programs live in one below it: as with root, nobody inside can
 * unmount a mask or flush a rule. Without a range the user's own id is the only one: a sandbox's programs then are that user, and what
 * they may see is decided by their mounts alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "sandbox/init/control.h"
#include "sandbox/local/keeper_priv.h"

#define RANGES_BYTES_MAX ((size_t)1 << 20)

/* The largest range of the user in /etc/subuid or /etc/subgid: lines "name or number:first:count". */
static struct id_range range_find(const char *path, const char *name, uid_t uid)
{
	AUTO_BUF text = buf_new(RANGES_BYTES_MAX);
	struct id_range best = {0, 0};
	char number[16];

	(void)snprintf(number, sizeof(number), "%u", uid);
	if (file_read(path, &text, NULL))
		return best;
	for (struct view rest = buf_view(&text), line; rest.length;) {
		struct view after, who, first;
		uint64_t from, count;

		line = view_cut(rest, '\n', &rest);
		who = view_cut(line, ':', &after);
		first = view_cut(after, ':', &after);
		if ((!view_is(who, name) && !view_is(who, number)) || !view_to_u64(first, &from) || !view_to_u64(after, &count))
			continue;
		if (from > UINT32_MAX || count > UINT32_MAX - from || count <= best.count)
			continue;
		best = (struct id_range){(uint32_t)from, (uint32_t)count};
	}
	return best;
}

void rootless_ranges(struct id_range *users, struct id_range *groups)
{
	const struct passwd *user = getpwuid(getuid());
	const char *name = user ? user->pw_name : "";

	*users = range_find("/etc/subuid", name, getuid());
	*groups = range_find("/etc/subgid", name, getuid());
}

uint32_t rootless_count(const struct id_range *users, const struct id_range *groups)
{
	uint32_t count = users->count < groups->count ? users->count : groups->count;

	return count < ROOTLESS_IDS_MIN ? 0 : count < IDS_RANGE ? count : IDS_RANGE;
}

static int map_run(const char *program, pid_t pid, uid_t own, const struct id_range *range, uint32_t count, struct err *err)
{
	char texts[4][16];
	const char *argv[] = {program, texts[0], "0", texts[1], "1", "1", texts[2], texts[3], NULL};
	const char *env[] = {"PATH=/usr/bin:/bin:/usr/sbin:/sbin:/usr/local/bin", NULL};
	const uint32_t numbers[4] = {(uint32_t)pid, own, range->first, count};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		(void)snprintf(texts[i], sizeof(texts[i]), "%u", numbers[i]);
	return process_run(&(struct process_spec){.argv = argv, .env = env}, NULL, err);
}

/* The one that stays outside: waits until the keeper is in its namespace, then has its ids mapped. Ends with a bit for each failure. */
static void mapper_run(pid_t keeper, int entered, const struct id_range *users, const struct id_range *groups, uint32_t count)
	__attribute__((noreturn));
static void mapper_run(pid_t keeper, int entered, const struct id_range *users, const struct id_range *groups, uint32_t count)
{
	struct err err = {0};
	char byte;

	if (read(entered, &byte, 1) != 1)
		_exit(0); /* the keeper said already why it could not */
	if (map_run("newuidmap", keeper, getuid(), users, count, &err)) {
		log_warn("cannot map the user ids of /etc/subuid: %s", err.text);
		_exit(1);
	}
	if (map_run("newgidmap", keeper, getgid(), groups, count, &err)) {
		log_warn("cannot map the group ids of /etc/subgid: %s", err.text);
		_exit(2);
	}
	_exit(0);
}

static int own_id_map(uid_t uid, gid_t gid, struct err *err)
{
	char users[32], groups[32];

	(void)snprintf(users, sizeof(users), "0 %u 1", uid);
	(void)snprintf(groups, sizeof(groups), "0 %u 1", gid);
	if (text_put("/proc/self/setgroups", "deny", err) || text_put("/proc/self/uid_map", users, err) ||
	    text_put("/proc/self/gid_map", groups, err))
		return err_prefix(err, "cannot map the user's own id");
	return 0;
}

static int namespace_enter(struct err *err)
{
	char text[16] = "";
	int problem;

	if (unshare(CLONE_NEWUSER) == 0)
		return 0;
	problem = errno;
	if (text_get("/proc/sys/kernel/unprivileged_userns_clone", text, sizeof(text)) && atoi(text) == 0)
		return err_set(err, ERR_DENIED, "users may not make user namespaces: sysctl kernel.unprivileged_userns_clone=1");
	return err_set(err, ERR_DENIED, "cannot make a user namespace: %s (`assay doctor` says what to do)", strerror(problem));
}

int rootless_try(struct err *err)
{
	uid_t uid = getuid();
	gid_t gid = getgid();

	return namespace_enter(err) || own_id_map(uid, gid, err) ? -1 : 0;
}

void rootless_home_find(struct rootless *rootless)
{
	const struct passwd *user = getpwuid(getuid());
	AUTO_FREE char *home = user && user->pw_dir && user->pw_dir[0] == '/' ? realpath(user->pw_dir, NULL) : NULL;

	(void)!path_make(rootless->home, NULL, "%s", home ? home : "");
}

int rootless_enter(struct rootless *rootless, struct err *err)
{
	struct id_range users, groups;
	pid_t keeper = getpid(), mapper = -1;
	uid_t uid = getuid();
	gid_t gid = getgid();
	int entered[2], status = 0;

	rootless->active = true;
	rootless->tops_mounted = tops_mounted();
	rootless_ranges(&users, &groups);
	rootless->count = rootless_count(&users, &groups);
	if (pipe2(entered, O_CLOEXEC))
		return err_errno(err, errno, "cannot make a pipe");
	if (rootless->count && (mapper = fork()) == 0) {
		(void)close(entered[1]);
		mapper_run(keeper, entered[0], &users, &groups, rootless->count);
	}
	(void)close(entered[0]);
	if (namespace_enter(err)) {
		(void)close(entered[1]);
		if (mapper > 0)
			(void)waitpid(mapper, NULL, 0);
		return -1;
	}
	(void)!write(entered[1], "", 1);
	(void)close(entered[1]);
	if (mapper > 0 && waitpid(mapper, &status, 0) == mapper && status) {
		if (!WIFEXITED(status) || WEXITSTATUS(status) != 1)
			return err_set(err, ERR_DENIED,
				       "cannot map the user's range of group ids: install newgidmap (package uidmap)");
		rootless->count = 0; /* nothing is mapped yet */
	}
	if (mapper < 0)
		rootless->count = 0;
	if (!rootless->count && own_id_map(uid, gid, err))
		return -1;
	rootless->first = rootless->count ? 1 : 0;
	if (setresgid(0, 0, 0) || setresuid(0, 0, 0) || (rootless->count && setgroups(0, NULL)))
		return err_errno(err, errno, "cannot become root of the user namespace");
	if (!rootless->count)
		log_warn(
			"sandboxes run with the user's own id: no range in /etc/subuid and /etc/subgid, or no newuidmap (package uidmap)");
	return 0;
}
