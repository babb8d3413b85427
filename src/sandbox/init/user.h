/*
 * user: who a program runs as, looked up in the files of the room that it runs in. Part of assay-init: no allocation, no library that
 * would load another.
 */
#ifndef ASSAY_SANDBOX_INIT_USER_H
#define ASSAY_SANDBOX_INIT_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define USER_GROUPS_MAX 32
#define USER_HOME_MAX 256

struct user {
	uid_t uid;
	gid_t gid;
	gid_t groups[USER_GROUPS_MAX]; /* of whom it is a member besides; none when a group was asked for */
	size_t group_count;
	char home[USER_HOME_MAX]; /* "/" when it has none */
};

/* `wanted` is what an OCI image calls its user: a name or number, or one with ":" and a group's name or number. `passwd` and `group` are the
 * texts of /etc/passwd and /etc/group, "" where there is none. False when a name is in neither. */
bool user_find(const char *wanted, const char *passwd, const char *group, struct user *user);

#endif
