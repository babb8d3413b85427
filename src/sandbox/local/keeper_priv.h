/*
 * keeper_priv: the state of the keeper and the parts it is made of. Only for this folder.
 *
 * On disk (all in the pool, which is the state directory itself or an XFS image in it):
 *	pool/envs/ID/env                       "slot N": its range of user ids; written first, so that nothing of it can be orphaned
 *	pool/envs/ID/rooms/NAME/{upper,work}   root of a sandbox
 *	pool/envs/ID/volumes/NAME/{spec,upper,work,merged}
 *	pool/layers/NAME/{spec,meta,bytes,tree}  '/' in a layer's name is '+' here
 *	pool/trash/…                           what the reaper frees
 *	pool/mask/…                            the upper lowers: what hides the host's private parts
 */
#ifndef ASSAY_SANDBOX_LOCAL_KEEPER_PRIV_H
#define ASSAY_SANDBOX_LOCAL_KEEPER_PRIV_H

#include <limits.h>
#include <sys/types.h>

#include "base/scope.h"
#include "sandbox/local/keeper.h"
#include "sandbox/local/protocol.h"

#define PATH_BYTES 1024
#define LIMIT_MEMORY_DEFAULT ((int64_t)1 << 30) /* of a room */
#define LIMIT_PIDS_DEFAULT 512
#define DYING_LOOK_MS 100
#define LAYERS_BELOW_MAX 64 /* of one volume, all generations */

/* ---- rootless.c: the keeper of an ordinary user ---- */

#define ROOTLESS_IDS_MIN 1001u /* root and the programs' user */

struct id_range {
	uint32_t first;
	uint32_t count;
};

struct rootless {
	bool active;           /* we are root of a user namespace that an ordinary user made */
	uint32_t count;        /* ids that sandboxes get; 0: the user's own is the only one */
	unsigned tops_mounted; /* bits: below mask_top(i) something is mounted */
	uid_t first;           /* of them, in our namespace */
	char home[PATH_BYTES]; /* the user's; "": unknown */
};

/* The calling process, which has one thread and is not root, becomes root of a new user namespace. ERR_DENIED when it may not. */
MUST_USE int rootless_enter(struct rootless *rootless, struct err *err);
/* Fills `home` with that of the calling process's user. */
void rootless_home_find(struct rootless *rootless);
/* Only the namespace, with the one id: for a look whether that can be. */
MUST_USE int rootless_try(struct err *err);
/* The user's ranges in /etc/subuid and /etc/subgid; their count is 0 when there are none. */
void rootless_ranges(struct id_range *users, struct id_range *groups);
/* How many ids they give a sandbox; 0: too few. */
uint32_t rootless_count(const struct id_range *users, const struct id_range *groups);

/* ---- ids.c: user id ranges and the user namespaces that map them ---- */

/* Above /etc/subuid's usual ranges and what systemd hands out by default, so that no other user of the machine has these ids. */
#define IDS_FIRST 0x50000000u
#define IDS_RANGE 65536u
#define IDS_SLOTS 4096u

static inline uid_t ids_base(uint32_t slot)
{
	return (uid_t)(IDS_FIRST + slot * IDS_RANGE);
}
/* A user namespace in which `count` ids from `inside` on are those from `outside` on of ours; what the kernel counts by user is counted for
 * `owner` (0: for us). Its descriptor is the caller's. */
MUST_USE int ids_namespace(uid_t inside, uid_t outside, uint32_t count, uid_t owner, int *fd, struct err *err);
/* A detached, private clone of the mount tree at `path` whose ids go from `from` to `to`; plain when they are equal. `flags`: more
 * MOUNT_ATTR_* to set. */
MUST_USE int ids_mount(const char *path, int userns, uint64_t flags, int *fd, struct err *err);

/* ---- cgroup.c ---- */

enum cgroup_controller {
	CGROUP_MEMORY = 1,
	CGROUP_PIDS = 2,
	CGROUP_CPU = 4,
	CGROUP_CPUACCT = 8,
	CGROUP_FREEZER = 16, /* of v1; v2 freezes without a controller */
};

struct cgroup_tree {
	char base[PATH_BYTES]; /* our own prefix in it */
	unsigned controllers;  /* bits of enum cgroup_controller used here */
	bool v2;
};

#define CGROUP_TREES_MAX 6
struct cgroups {
	struct cgroup_tree trees[CGROUP_TREES_MAX]; /* v2 first */
	size_t count;
	unsigned controllers;
};

/* Finds the hierarchies, makes the prefix in each; what is not there is left out. `prefix` is unique to the state directory. */
MUST_USE int cgroups_open(struct cgroups *cgroups, const char *prefix, struct err *err);
/* Kills what runs below the prefix and removes every directory of ours but the prefix itself. */
void cgroups_clean(const struct cgroups *cgroups);
/* The first v1 join after a pause waits 7 to 20 ms for the kernel's global lock, those after it not: this is a join that changes nothing. */
void cgroups_warm(const struct cgroups *cgroups);
bool cgroups_need_warmth(const struct cgroups *cgroups);
/* Removes the prefix too. */
void cgroups_close(const struct cgroups *cgroups);
MUST_USE int cgroup_env_make(const struct cgroups *cgroups, const char *env, struct err *err);
void cgroup_env_remove(const struct cgroups *cgroups, const char *env);
/* Controllers of the caller's own cgroups in which an ordinary user may make more; *freezes: one of them freezes. Changes nothing. */
unsigned cgroups_delegated(bool *freezes);
bool cgroups_can_freeze(const struct cgroups *cgroups);
MUST_USE int cgroup_env_freeze(const struct cgroups *cgroups, const char *env, bool frozen, struct err *err);
/* `limits` NULL: cgroup_room_limit follows. */
MUST_USE int cgroup_room_make(const struct cgroups *cgroups, const char *env, const char *room, const struct limits *limits,
			      struct err *err);
MUST_USE int cgroup_room_limit(const struct cgroups *cgroups, const char *env, const char *room, const struct limits *limits,
			       struct err *err);
/* *fd: the v2 directory for CLONE_INTO_CGROUP, or -1. */
MUST_USE int cgroup_room_fd(const struct cgroups *cgroups, const char *env, const char *room, int *fd, struct err *err);
/* The calling process joins the v1 hierarchies. */
MUST_USE int cgroup_room_join(const struct cgroups *cgroups, const char *env, const char *room, struct err *err);
/* All that runs in the environment's rooms; only v2 can, and returns before they are dead. */
void cgroup_env_kill(const struct cgroups *cgroups, const char *env);
void cgroup_room_kill(const struct cgroups *cgroups, const char *env, const char *room);
void cgroup_room_remove(const struct cgroups *cgroups, const char *env, const char *room);
void cgroup_room_usage(const struct cgroups *cgroups, const char *env, const char *room, struct sandbox_usage *usage);
/* What all its rooms have had of the processors, in the unit of the kernel's file; -1: it cannot be told. */
int64_t cgroup_env_cpu(const struct cgroups *cgroups, const char *env);
/* No thread in it runs, wants to, or waits for a disk; false when it cannot be told. */
bool cgroup_room_sleeps(const struct cgroups *cgroups, const char *env, const char *room);

/* ---- network.c ---- */

struct network {
	char *batch; /* the netfilter batch, built once */
	size_t length;
	uint32_t last; /* the message of it that is acknowledged */
};

MUST_USE int network_open(struct network *network, struct err *err);
/* Sets up the calling process's own, fresh network namespace: lo, routes, redirects. */
MUST_USE int network_enter(const struct network *network, struct err *err);

/* ---- tree.c: whole trees, by descriptors ---- */

struct tree_copy {
	uid_t from, to; /* ids in [from, from + 65536) move to [to, …) */
	bool one_id;    /* all ids become `to` */
	bool reflink;   /* files are cloned by block where the file system can */
};
/* Contents, modes, owners, times, xattrs, hard links, devices. `to` must not exist. */
MUST_USE int tree_copy(const char *from, const char *to, const struct tree_copy *how, struct err *err);
/* Allocated on disk; what cannot be read counts nothing. `own`: blocks of large files that are shared with others are left out. */
int64_t tree_bytes(const char *path, bool own);
/* Removes everything below `path`, however deep, whatever flags it has; keeps going on errors. */
void tree_clear(const char *path);
bool tree_can_reflink(const char *dir);

/* ---- storage.c ---- */

struct storage {
	char dir[PATH_BYTES];
	bool reflink;
	bool image;
	bool user_xattrs; /* overlays keep their marks in user.*, as they must in a user namespace */
};

/* `rootless`: no image can be mounted. */
MUST_USE int storage_open(struct storage *pool, const char *state_dir, bool rootless, struct err *err);
/* The options of an overlay whose `upper` and `work` are in `dir` of the pool, behind those for its lowers; for the working directory
 * pool/scratch. */
size_t storage_overlay_options(const struct storage *pool, const char *dir, char *at, size_t length);
/* Ends the reaper and unmounts the image; nothing may run in it any more. */
void storage_close(const struct storage *pool);
/* Moves `path` to the trash, at once. */
MUST_USE int storage_discard(const struct storage *pool, const char *path, struct err *err);
/* Starts a background child that frees the trash, if none runs. */
void storage_reap(const struct storage *pool);
/* Was one running, so that storage_reap is to be called again in a while? */
bool storage_reap_pending(void);

/* ---- mask.c ---- */

/* Builds pool/mask/{host,image}: see the file. `ids`: what id 0 of a sandbox is on disk, where ids are not mapped. */
MUST_USE int mask_build(const struct storage *pool, const struct rootless *rootless, const struct keeper_tool *tools,
			size_t tool_count, struct err *err);
/* The host's i-th top-level folder that shows in sandboxes; NULL behind the last. */
const char *mask_top(size_t i);
/* Does it have files that are not for everybody? Where it cannot be overlaid, not more than what the mask has of it shows. */
bool mask_top_is_private(const char *top);

/* tops.c: bits of the folders mask_top(i) below which something is mounted. */
unsigned tops_mounted(void);

/* ---- runtime.c: OCI runtimes ---- */

struct keeper;

struct runtime_kind {
	const char *name;           /* of the program, and how it calls itself */
	const char *const *options; /* before the command; ends with NULL */
	const char *refused;        /* why it cannot be used; NULL: it can */
};

struct runtime {
	const struct runtime_kind *kind;
	char path[PATH_BYTES];
};

/* The keeper's runtime from now on. `name`: of one we know, or the absolute path of one. ERR_NOT_FOUND when it is not installed, ERR_DENIED
 * when it cannot work here. Runs it once, to ask what it is. */
MUST_USE int runtime_open(struct keeper *keeper, const char *name, struct err *err);
/* Those of this machine, for people; *usable: is there one that can be used? Starts no process. */
void runtimes_list(struct buf *found, bool *usable);

/* ---- the keeper's records ---- */

struct layer_spec {
	uid_t ids; /* first id of its files' range */
	int64_t created_ms;
	char below[LAYERS_BELOW_MAX][KEEPER_LAYER_NAME_BYTES]; /* topmost first */
	size_t below_count;
};

struct volume {
	struct volume *next;
	char name[SANDBOX_NAME_MAX + 1];
	struct layer_spec spec; /* `below` are its layers; created_ms is not used */
	bool blocks;
	bool mounted;
	bool busy; /* a background copy works on it */
};

/* What an epoll event points to: the first member of what it is about. */
enum watch { WATCH_PEER, WATCH_ROOM, WATCH_JOB };

struct room {
	enum watch watch;
	struct room *next;
	char name[SANDBOX_NAME_MAX + 1];
	pid_t pid; /* 0: dead and reaped */
	int pid_fd;
	char image_layer[KEEPER_LAYER_NAME_BYTES]; /* "": none */
	char volumes[SANDBOX_MOUNTS_MAX][SANDBOX_NAME_MAX + 1];
	size_t volume_count;
	struct sandbox_usage last; /* when it died */
};

struct ids_map {
	uid_t from;
	int fd;
};

#define IDS_MAPS_MAX 16

struct kept_env {
	struct kept_env *next;
	struct env_id id;
	uint32_t slot;
	uid_t ids;                         /* 0: this machine cannot map ids; rooms run without a user namespace */
	bool one_id;                       /* the only id is 0, our own: all files and programs are its */
	int userns_fd;                     /* -1: not made yet, or none */
	struct ids_map maps[IDS_MAPS_MAX]; /* from layers of other ranges to ours */
	size_t map_count;
	bool frozen;
	bool has_cgroups;
	char stopped[KEEPER_STOPPED_BYTES]; /* why we killed its sandboxes, until another is made */
	int64_t dying_ms;                   /* elapsed time at which its removal began */
	struct room *rooms;
	struct volume *volumes;
};

struct keeper {
	const char *state_dir;
	struct runtime *runtime; /* NULL: rooms are made by our own code */
	struct storage pool;
	struct cgroups cgroups;
	struct network network;
	struct kept_env *environments;
	struct kept_env
		*dying; /* removed: their directories are in the trash, their processes were killed but may not be gone yet */
	struct rootless rootless;
	bool ids_mapped; /* id-mapped mounts work here */
	int init_fd;     /* sealed memfd: assay-init */
	int epoll_fd;
	int peer_fd;
	int null_fd;
	int warm_fd; /* a byte makes the mourner warm the v1 cgroups; -1: there is no need */
};

/* keeper.c: sandboxes will soon be made. */
void keeper_warm(const struct keeper *keeper);

/* What `id` of the environment's sandboxes is for us. */
static inline uid_t kept_env_id(const struct kept_env *env, uid_t id)
{
	return env->one_id ? env->ids : env->ids + id;
}
/* Makes the environment's user namespace, where it has one. */
MUST_USE int kept_env_namespace_new(const struct keeper *keeper, const struct kept_env *env, int *fd, struct err *err);
/* The same, once: the environment keeps it. */
MUST_USE int kept_env_namespace(struct keeper *keeper, struct kept_env *env, struct err *err);
/* The namespace that maps files of `from`'s range for this environment, kept by it; -1: none is needed. */
MUST_USE int kept_env_map_ids(struct keeper *keeper, struct kept_env *env, uid_t from, int *fd, struct err *err);
struct kept_env *kept_env_find(const struct keeper *keeper, struct env_id id);
void kept_env_path(const struct keeper *keeper, struct env_id id, const char *below, char path[PATH_BYTES]);
MUST_USE int kept_env_make(struct keeper *keeper, struct env_id id, struct err *err);
/* Makes its cgroups, if they are not there (after a start of the keeper). */
MUST_USE int kept_env_cgroups_make(struct keeper *keeper, struct kept_env *env, struct err *err);
MUST_USE int kept_env_freeze(struct keeper *keeper, struct kept_env *env, bool frozen, struct err *err);
MUST_USE int kept_env_stop(struct keeper *keeper, struct kept_env *env, struct err *err);
/* Kills, moves the disk to the trash (after which no crash brings it back) and forgets; what is left is for kept_envs_bury. */
MUST_USE int kept_env_remove(struct keeper *keeper, struct kept_env *env, struct err *err);
/* Ends the removals whose processes are gone; to be called after each event and every DYING_LOOK_MS while there are any. */
void kept_envs_bury(struct keeper *keeper);
/* Has its removal lasted so long that something is wrong? */
bool kept_env_lingers(const struct kept_env *env);
/* `cut`: they were up when the machine ended, and are discarded. */
MUST_USE int kept_envs_load(struct keeper *keeper, bool cut, struct err *err);
void kept_envs_forget(struct keeper *keeper); /* the records, not what they are of */

/* ---- handlers.c ---- */

struct answer {
	struct keeper_reply reply;
	int fd;     /* goes with the reply and is closed; -1 */
	bool later; /* a job will answer */
};

typedef int keeper_handler(struct keeper *keeper, struct kept_env *env, const struct keeper_request *request, int meta_fd,
			   struct answer *answer, struct err *err);
keeper_handler handle_env_make, handle_env_remove, handle_env_stop, handle_env_freeze, handle_env_list, handle_volume_make,
	handle_volume_remove, handle_volume_commit, handle_volume_clone, handle_layer_list, handle_layer_remove,
	handle_env_activity, handle_layer_import, handle_sandbox_make, handle_sandbox_remove, handle_sandbox_usage, handle_sever;

/* keeper.c: sends the reply to what was asked; `fd` stays the caller's. */
void keeper_answer(struct keeper *keeper, const struct message_header *asked, struct keeper_reply *reply, int fd);

/* ---- room.c: a sandbox ---- */

/* *control_fd is the caller's. */
MUST_USE int room_make(struct keeper *keeper, struct kept_env *env, const struct keeper_request *request, int *control_fd,
		       struct err *err);
struct room *room_find(const struct kept_env *env, const char *name);
/* Kills and waits; the record stays, dead. */
void room_kill(struct keeper *keeper, struct kept_env *env, struct room *room);
void room_usage(const struct keeper *keeper, const struct kept_env *env, const struct room *room, struct sandbox_usage *usage);
/* Nothing of the environment runs a step of its program from now on; those that die are for rooms_dead. */
void rooms_kill_begin(struct keeper *keeper, struct kept_env *env);
/* Buries those that are dead by now; are all? */
bool rooms_dead(const struct keeper *keeper, struct kept_env *env);
/* The records of dead rooms and their cgroups. */
void rooms_forget(const struct keeper *keeper, struct kept_env *env);
/* All of the environment at once. */
void rooms_kill(struct keeper *keeper, struct kept_env *env);
/* Discards the roots of dead rooms at once; their records stay. */
void rooms_empty(struct keeper *keeper, struct kept_env *env);
/* Kills, forgets, discards its root. */
MUST_USE int room_remove(struct keeper *keeper, struct kept_env *env, struct room *room, struct err *err);

/* ---- processes.c: a room's, without control groups ---- */

/* Stops or continues all processes of the environment but those of ours, and waits until they stand still. */
MUST_USE int processes_freeze(const struct kept_env *env, bool frozen, struct err *err);
/* What those below `first` use now. */
void processes_usage(pid_t first, struct sandbox_usage *usage);

/* ---- sever.c ---- */

/* Can the kernel reset connections of this network for us? */
bool sever_is_possible(void);

/* ---- volume.c ---- */

/* The request's layers with all that lie below them. */
MUST_USE int volume_name_layers(const struct keeper *keeper, const struct keeper_request *request, struct layer_spec *spec,
				struct err *err);
struct volume *volume_find(const struct kept_env *env, const char *name);
void volume_path(const struct keeper *keeper, const struct kept_env *env, const char *name, const char *below,
		 char path[PATH_BYTES]);
MUST_USE int volume_dirs_make(const struct keeper *keeper, const struct kept_env *env, const struct volume *volume,
			      struct err *err);
MUST_USE int volume_root_dress(struct keeper *keeper, const struct kept_env *env, const struct volume *volume, struct err *err);
/* Mounts it (once) and gives its path. */
MUST_USE int volume_mount(struct keeper *keeper, struct kept_env *env, struct volume *volume, char path[PATH_BYTES],
			  struct err *err);
void volume_unmount(struct keeper *keeper, struct kept_env *env, struct volume *volume);
/* Those on disk, after a start. */
void volumes_load(struct keeper *keeper, struct kept_env *env);

/* ---- layer.c ---- */

void layer_path(const struct keeper *keeper, const char *name, const char *below, char path[PATH_BYTES]);
MUST_USE int layer_name_check(const char *name, struct err *err);
MUST_USE int layer_spec_read(const struct keeper *keeper, const char *name, struct layer_spec *spec, struct err *err);
MUST_USE int layer_remove(struct keeper *keeper, const char *name, struct err *err);
/* *fd: a memfd of struct keeper_layer_row, each followed by its meta; the caller's. */
MUST_USE int layers_list(const struct keeper *keeper, const char *prefix, int *fd, struct err *err);
/* `flags` may be NULL. */
MUST_USE int spec_parse(const char *path, struct layer_spec *spec, unsigned *flags, struct err *err);
/* `durable`: on the disk when it returns; else whole or absent after a crash of ours, and found empty after one of the machine. */
MUST_USE int spec_write(const char *path, const struct layer_spec *spec, unsigned flags, bool durable, struct err *err);

/* ---- guard.c ---- */

/* To be called every second or so while it says true: sandboxes live. */
bool guard_look(struct keeper *keeper);
/* The share of the pool that one environment may hold, as text; NULL or "": the default. */
MUST_USE int guard_share_set(const char *percent, struct err *err);

/* ---- job.c: work that takes long, in a forked child ---- */

struct job;

/* `work` runs in the child, `done` in the keeper afterwards (failure is NULL when it went well), with `self`, which done frees. */
struct job_spec {
	struct env_id env; /* whose removal ends the job */
	int (*work)(void *self, struct err *err);
	void (*done)(void *self, const struct err *failure);
	void *self;
};
MUST_USE int job_start(struct keeper *keeper, const struct job_spec *spec, struct err *err);
/* For an epoll event. */
void job_finish(struct keeper *keeper, struct job *job);
/* Kills those of an environment; their done() is called with ERR_CANCELLED. */
void jobs_cancel(struct keeper *keeper, struct env_id env);
/* Kills all; nobody is told. */
void jobs_kill(void);

/* ---- small helpers: text.c ---- */

MUST_USE int text_put(const char *path, const char *text, struct err *err); /* one write(2) into an existing file */
/* First bytes of a file, NUL-terminated; false when it cannot be read. */
bool text_get(const char *path, char *at, size_t length);
MUST_USE int path_make(char path[PATH_BYTES], struct err *err, const char *format, ...) PRINTF_LIKE(3, 4);

#endif
