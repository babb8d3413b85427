/*
 * provider: makes and destroys sandboxes, and the copy-on-write volumes they mount. `local` does it on this machine through the
 * keeper; `kubernetes` does it on a cluster. Same promises, same contract test (tests/contract/provider).
 *
 * An environment is a set of sandboxes and volumes under one id. A *layer* is an immutable tree in the provider's pool, named
 * like a path ("snapshot/shop/3/db", "tree/4f…"). A *volume* belongs to an environment: writable, over zero or more layers. A
 * volume of a stopped environment can be committed, which makes it a layer.
 *
 * Calls block and may come from any thread but a loop's; each is atomic: on error nothing of it is left.
 */
#ifndef ASSAY_SANDBOX_PROVIDER_H
#define ASSAY_SANDBOX_PROVIDER_H

#include "base/json.h"
#include "base/world.h"

#define SANDBOX_NAME_MAX 63 /* a DNS label */
#define SANDBOX_MOUNTS_MAX 8
#define VOLUME_LAYERS_MAX 16
#define SANDBOX_AUTHORITY_MAX 2048   /* bytes of a certificate in PEM, with its NUL */
#define SANDBOX_AUTHORITY_HASH_MAX 9 /* eight hexadecimal digits, and the NUL */

struct mount_spec {
	const char *volume; /* of the same environment */
	const char *path;   /* absolute, made if absent */
	bool read_only;
};

struct limits {
	int64_t memory_bytes; /* 0: the provider's default, as for the others */
	int cpu_percent;      /* 100 is one core */
	int pids;
};

enum limit_kind { LIMIT_MEMORY = 1, LIMIT_CPU = 2, LIMIT_PIDS = 4 };

/* A room: namespaces, root, mounts, limits, door. No program runs in it yet but pid 1. */
struct sandbox_spec {
	struct env_id env;
	const char *name;  /* DNS label, unique in the environment */
	const char *image; /* NULL: the host's root, read-only, private parts masked; "dir:/path"; "layer:NAME"; an OCI reference */
	struct mount_spec mounts[SANDBOX_MOUNTS_MAX];
	size_t mount_count;
	struct limits limits;
	const char *authority;      /* PEM: a certificate authority that its programs trust besides the system's; NULL: none */
	const char *authority_hash; /* by which OpenSSL finds it in a folder; NULL: not at all */
};

/* A program to run in a room. stdin, stdout, stderr are descriptors of the caller, which stay the caller's; -1 is /dev/null. */
struct program_spec {
	const char *const *argv; /* NULL-terminated; argv[0] is looked up in the PATH of env inside the room */
	const char *const *env;  /* NULL-terminated, whole: nothing is inherited */
	const char *dir;
	bool as_root; /* uid 0 of the room's user namespace; otherwise uid and gid 1000 */
	const char *
		user; /* NULL: as_root decides; else whom the room's /etc/passwd says: "name", "7", "name:group", "7:8". Its home is HOME,
			   * unless env has one */
	int fds[3];
	bool terminal; /* fds[0] is a pty's slave made by the caller: becomes the controlling terminal */
};

enum exit_reason { EXIT_CODE, EXIT_SIGNAL, EXIT_OOM, EXIT_GONE /* the room was destroyed */ };

struct exit_status {
	enum exit_reason reason;
	int code; /* exit code, or the signal's number */
};

struct sandbox_usage {
	int64_t memory_bytes;
	int64_t memory_peak_bytes;
	int64_t cpu_ms;
	int pids;
	int oom_kills;
	int pids_refused;   /* how often a program could not start another one for the limit of processes */
	unsigned unlimited; /* bits of enum limit_kind: what this machine cannot limit for a sandbox as a whole */
};

/* How what leaves a room comes to the gateway. */
enum door_mode {
	DOOR_MODE_REDIRECT, /* whatever its programs do */
	DOOR_MODE_PROXY, /* names of the environment at addresses of the room's loopback, the outside by a proxy that programs are told of; nothing else
				 * leaves, by the cluster's NetworkPolicy */
};

/* Of all programs of an environment, at one moment of the question. */
enum activity {
	ACTIVITY_UNKNOWN, /* the provider cannot tell */
	ACTIVITY_BUSY,
	ACTIVITY_IDLE, /* every thread sleeps, and waits for no disk: nothing goes on by itself but timers */
};

struct provider_ops {
	const char *name;
	enum door_mode door_mode;
	bool elsewhere;   /* its sandboxes are on other machines: this one's memory is not theirs */
	bool freeze_ends; /* freezing ends all programs: what is thawed has its sandboxes, and nothing runs in them */

	/* Records the environment before anything of it exists, so that env_list finds it after a crash. */
	int (*env_make)(void *self, struct env_id env, struct err *err);
	/* Kills every sandbox, then removes volumes, mounts, cgroups. Absence is no error. Replies in milliseconds: by then no program of
	 * it takes another step and no crash brings it back; the kernel's clean-up and the disk follow. */
	int (*env_remove)(void *self, struct env_id env, struct err *err);
	/* Kills every sandbox; volumes stay. */
	int (*env_stop)(void *self, struct env_id env, struct err *err);
	int (*env_freeze)(void *self, struct env_id env, bool frozen, struct err *err);
	/* Array of {"env": id, "sandboxes": [names], "frozen": bool, "stopped"?: why the provider itself killed its sandboxes,
	 * "own_fault"?: true when it was over its own share of the disk, whoever else was there}: whatever there is any trace of. Owned by the
	 * caller. */
	json_t *(*env_list)(void *self, struct err *err);

	/* `layers`, topmost first. With `blocks` the volume is for a database: large files are cloned by block, never copied up whole;
	 * where the pool cannot, the layer is copied and *copied is set. */
	int (*volume_make)(void *self, struct env_id env, const char *volume, const char *const *layers, size_t layer_count,
			   bool blocks, bool *copied, struct err *err);
	int (*volume_remove)(void *self, struct env_id env, const char *volume, struct err *err);
	/* No sandbox of the environment may be alive. The volume's own writes become the layer; its layers stay below it. */
	int (*volume_commit)(void *self, struct env_id env, const char *volume, const char *layer, const json_t *meta,
			     struct err *err);
	/* A clone of another environment's volume as it is now; freeze or stop that environment first. */
	int (*volume_clone)(void *self, struct env_id from, struct env_id to, const char *volume, struct err *err);

	/* Array of {"layer": name, "meta": {...}, "bytes": n, "created_ms": t}. */
	json_t *(*layer_list)(void *self, const char *prefix, struct err *err);
	int (*layer_remove)(void *self, const char *layer, struct err *err); /* ERR_CONFLICT while used */

	/* What an image says of its program: {"image": what a sandbox of exactly this one is made from, "env": ["K=V"], "command":
	 * [entrypoint and arguments], "dir": path, "user": text}, each only where it is said; "dir:" and NULL say nothing. An image is
	 * fetched for that. Owned by the caller. */
	json_t *(*image_describe)(void *self, const char *image, struct err *err);
	int (*sandbox_make)(void *self, const struct sandbox_spec *spec, struct err *err);
	int (*sandbox_remove)(void *self, struct env_id env, const char *name, struct err *err);
	/* A fresh socket to the room's door (net/door.h); the caller owns it. */
	int (*sandbox_door)(void *self, struct env_id env, const char *name, int *fd, struct err *err);
	/* *process names it for the calls below until program_wait returned its end. */
	int (*program_start)(void *self, struct env_id env, const char *name, const struct program_spec *spec, uint32_t *process,
			     struct err *err);
	/* ERR_RETRY when it still runs after timeout_ms (-1: for ever). */
	int (*program_wait)(void *self, struct env_id env, const char *name, uint32_t process, int64_t timeout_ms,
			    struct exit_status *status, struct err *err);
	/* To the program's whole process group. `process` 0: to every process of the room that descends from no program which runs: what
	 * those that ended left behind, wherever it hid; with SIGKILL it is gone when this returns. */
	int (*program_signal)(void *self, struct env_id env, const char *name, uint32_t process, int signal_number,
			      struct err *err);
	/* A stream socket connected to 127.0.0.1:port inside the room, or else to [::1]:port; ERR_RETRY when refused. */
	int (*sandbox_dial)(void *self, struct env_id env, const char *name, uint16_t port, int *fd, struct err *err);
	int (*sandbox_usage)(void *self, struct env_id env, const char *name, struct sandbox_usage *usage, struct err *err);
	enum activity (*env_activity)(void *self, struct env_id env); /* NULL: it cannot tell */
	/* Resets all connections that a process (the gateway, which does not answer) holds in the environment's sandboxes (`env` NULL: in
	 * all) and outside of them, without its help; not `whole`: only those in the sandboxes, and what listens there stays. May be NULL: then
	 * ending that process is all there is. */
	int (*sever)(void *self, const struct env_id *env, int process, bool whole, struct err *err);
};

struct provider {
	const struct provider_ops *ops;
	void *self;
};

/* Wrappers that check the promises (names, counts, sizes) and add context: sandbox/provider.c. */
MUST_USE int provider_env_make(struct provider provider, struct env_id env, struct err *err);
MUST_USE int provider_env_remove(struct provider provider, struct env_id env, struct err *err);
MUST_USE int provider_env_stop(struct provider provider, struct env_id env, struct err *err);
MUST_USE int provider_env_freeze(struct provider provider, struct env_id env, bool frozen, struct err *err);
json_t *provider_env_list(struct provider provider, struct err *err);
MUST_USE int provider_volume_make(struct provider provider, struct env_id env, const char *volume, const char *const *layers,
				  size_t layer_count, bool blocks, bool *copied, struct err *err);
MUST_USE int provider_volume_remove(struct provider provider, struct env_id env, const char *volume, struct err *err);
MUST_USE int provider_volume_commit(struct provider provider, struct env_id env, const char *volume, const char *layer,
				    const json_t *meta, struct err *err);
MUST_USE int provider_volume_clone(struct provider provider, struct env_id from, struct env_id to, const char *volume,
				   struct err *err);
json_t *provider_layer_list(struct provider provider, const char *prefix, struct err *err);
MUST_USE int provider_layer_remove(struct provider provider, const char *layer, struct err *err);
json_t *provider_image_describe(struct provider provider, const char *image, struct err *err);
MUST_USE int provider_sandbox_make(struct provider provider, const struct sandbox_spec *spec, struct err *err);
MUST_USE int provider_sandbox_remove(struct provider provider, struct env_id env, const char *name, struct err *err);
MUST_USE int provider_sandbox_door(struct provider provider, struct env_id env, const char *name, int *fd, struct err *err);
MUST_USE int provider_program_start(struct provider provider, struct env_id env, const char *name, const struct program_spec *spec,
				    uint32_t *process, struct err *err);
MUST_USE int provider_program_wait(struct provider provider, struct env_id env, const char *name, uint32_t process,
				   int64_t timeout_ms, struct exit_status *status, struct err *err);
MUST_USE int provider_program_signal(struct provider provider, struct env_id env, const char *name, uint32_t process,
				     int signal_number, struct err *err);
MUST_USE int provider_sandbox_dial(struct provider provider, struct env_id env, const char *name, uint16_t port, int *fd,
				   struct err *err);
MUST_USE int provider_sandbox_usage(struct provider provider, struct env_id env, const char *name, struct sandbox_usage *usage,
				    struct err *err);
enum activity provider_env_activity(struct provider provider, struct env_id env);

/* ERR_NOT_FOUND when the provider cannot. */
MUST_USE int provider_sever(struct provider provider, const struct env_id *env, int process, bool whole, struct err *err);

const char *door_mode_name(enum door_mode mode); /* for people */

/* "exit 3", "signal 9 (Killed)", "out of memory (limit 512 MiB)": for people. */
void exit_status_format(struct buf *out, struct exit_status status);

#endif
