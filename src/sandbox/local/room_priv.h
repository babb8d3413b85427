/*
 * room_priv: a room while it is made: what our own way (room.c) and that by an OCI runtime (runtime.c) share. Only for this folder.
 */
#ifndef ASSAY_SANDBOX_LOCAL_ROOM_PRIV_H
#define ASSAY_SANDBOX_LOCAL_ROOM_PRIV_H

#include "sandbox/local/keeper_priv.h"

/* What lies below the writable layer of the root, topmost first. */
struct lower {
	char path[PATH_BYTES];
	int map_fd; /* of the environment; -1: ids as they are */
};

struct lowers {
	struct lower at[LAYERS_BELOW_MAX + 2];
	size_t count;
};

struct plan {
	struct keeper *keeper;
	struct kept_env *env;
	const struct keeper_request *request;
	struct lowers lowers;
	char volumes[SANDBOX_MOUNTS_MAX][PATH_BYTES];
	char dir[PATH_BYTES]; /* of the room in the pool */
	int control_fd;
	int userns_fd; /* that its programs enter; -1: none */
};

/* What of /proc speaks of the machine; each list ends with NULL. */
extern const char *const room_proc_read_only[];
extern const char *const room_proc_hidden_files[];
extern const char *const room_proc_hidden_folders[];

/* Opens a folder inside the root that is the working directory, making what is absent. */
MUST_USE int room_folder_open(const struct plan *plan, const char *path, int *fd, struct err *err);
/* Has the room trust the authority of its request, if there is one; the root is the working directory. */
MUST_USE int room_trust(const struct plan *plan, struct err *err);

/* What root of a room may do. */
struct room_capability {
	int number;
	const char *name;
};
#define ROOM_CAPABILITY_COUNT 9
extern const struct room_capability room_capabilities[ROOM_CAPABILITY_COUNT];

/* ---- root.c, in the child, in a mount namespace of its own ---- */

/* Is the root made of overlays over the host's folders, one each? */
bool room_has_tops(const struct plan *plan);
/* Has this folder of the host's one, in any case? */
bool room_top_is_apart(const struct plan *plan, const char *top);
int64_t room_memory_limit(const struct plan *plan);
/* Mounts the root with /dev and the volumes, without /proc, and enters it. */
MUST_USE int room_root_mount(const struct plan *plan, struct err *err);
/* All of it, and nothing else is left. */
MUST_USE int room_root_enter(const struct plan *plan, struct err *err);

/* ---- tops.c, in the child too ---- */

/* For an ordinary user: what can be shown of the host's folder mask_top(index), below which something is mounted. */
MUST_USE int room_parts_mount(const struct plan *plan, size_t index, struct err *err);

/* ---- runtime.c ---- */

/* In the child, which is in the room's cgroups, cgroup namespace and network: has the keeper's runtime make the rest of the room and run
 * assay-init in it. *pid is assay-init's, an orphan that the keeper inherits. Blocks for a second on a busy machine. */
MUST_USE int runtime_room_make(const struct plan *plan, pid_t *pid, struct err *err);

#endif
