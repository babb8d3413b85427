/*
 * environment_priv: what the files of the environment manager share: environments, their members (a member is one of its sandboxes and the program it is for), and the locks.
 *
 * Locks, outermost first: an environment's `operation` (held through a whole up, deploy, freeze, …; never taken while another one is
 * held, except a fork's new one), the manager's `mutex` (the list), an environment's `mutex` (its fields; held for moments only, never
 * over a call to the provider or the gateway).
 */
#ifndef ASSAY_SANDBOX_ENVIRONMENT_PRIV_H
#define ASSAY_SANDBOX_ENVIRONMENT_PRIV_H

#include <pthread.h>

#include "base/scope.h"
#include "base/digest.h"
#include "data/engine.h"
#include "sandbox/environment.h"
#include "sandbox/environment_log.h"

#define WORKSPACE_MEMBER "workspace"
#define WORKSPACE_PATH "/workspace"
#define WORK_VOLUME "work"
#define TOOL_VOLUME "tool"
#define TOOL_LAYERS "tool/"
#define TOOL_PATH "/opt/assay"
#define FRESH_PATH "/fresh"
#define MEMBER_FOLDER_MAX 256
#define READY_LIMIT_MS 20000  /* of one attempt; a service gets two */
#define BUILD_LIMIT_MS 600000 /* build, migrate, setup, seed */
#define STOP_GRACE_MS 3000    /* between SIGTERM and SIGKILL */
#define ENVIRONMENTS_MAX 1000
#define EXEC_TIMEOUT_DEFAULT_MS 600000

enum environment_state { ENV_STARTING, ENV_READY, ENV_FROZEN, ENV_FAILED, ENV_STOPPED, ENV_STATE_COUNT };

enum member_kind { MEMBER_SERVICE, MEMBER_WORKER, MEMBER_DATABASE, MEMBER_WORKSPACE };
enum member_state { MEMBER_ABSENT, MEMBER_STARTING, MEMBER_READY, MEMBER_RUNNING, MEMBER_EXITED, MEMBER_FAILED };

struct member {
	char name[SANDBOX_NAME_MAX + 1];
	char volume[SANDBOX_NAME_MAX + 1]; /* what it mounts */
	enum member_kind kind;
	const struct service *service;    /* of the environment's blueprint; NULL for others */
	struct engine_target target;      /* for databases */
	char folder[MEMBER_FOLDER_MAX];   /* of one that is a file: where other rooms mount its volume */
	char fresh[SANDBOX_NAME_MAX + 1]; /* of one that was set back: a volume of what it was, at FRESH_PATH; or empty */
	uint16_t port;
	struct log *log;

	/* Guarded by the environment's mutex. */
	json_t *image; /* what it says of its program (provider.h); NULL: there is none */
	enum member_state state;
	bool made;    /* the sandbox exists */
	bool running; /* `process` was started and its end not seen */
	uint32_t process;
	int restarts;
	int crashes;           /* in a row */
	int64_t started_ms;    /* elapsed time */
	int64_t ready_ms;      /* how long the last start took */
	int64_t restart_at_ms; /* elapsed time; 0: none is planned */
	bool has_exit;
	struct exit_status exit;
	int asked_fd;   /* a connection that its last question had, for the next; or -1 */
	bool destroyed; /* its sandbox was, under its program, at any time */
};

struct environment {
	struct environments *all;
	struct env_id id;
	int references; /* guarded by all->mutex */
	bool builder;   /* one of our own, for snapshots and checkouts: not listed, has no state file */
	char *dir;      /* <state>/envs/<id> */
	pthread_mutex_t operation;
	pthread_mutex_t saving; /* while its state file is written; taken before `mutex` */
	pthread_mutex_t mutex;
	int unrest; /* how often in a row somebody in it ran all the while that it should be quiet (atomic) */
	bool going; /* to be removed: whatever works on it ends soon, and it is removed, whatever happens (atomic) */

	/* Set before others see it. */
	char *name;
	char *purpose;
	char *owner;
	char *repository;
	struct git_hash commit;
	char *snapshot; /* asked for: "name", "name/version" or NULL */
	bool volatile_;
	bool no_services;
	struct env_id below; /* environment_shared.c; "" of one that is whole */
	json_t *own;         /* [name] of services, then */
	bool spare;          /* of the pool, and whole: a builder until somebody wants just that */
	bool adopted;        /* its databases came started from the pool */
	int wakes;           /* that failed in a row (operation lock) */
	bool lingers;        /* a removal failed: that it is going is written down (operation lock) */
	int64_t created_ms;
	char *blueprint_text;
	struct blueprint *blueprint;
	json_t *credentials; /* of its secrets, in their order; NULL: not bound yet (operation lock) */
	struct member *members;
	size_t member_count;

	/* Guarded by mutex. */
	enum environment_state state;
	int64_t state_since_ms;
	bool cold;           /* no sandbox of it exists: they are made again from the volumes when needed */
	bool still;          /* failed, and its programs stand still until somebody looks */
	char *snapshot_used; /* "name/version", or NULL: empty databases */
	int64_t expires_ms;
	int64_t touched_ms;
	bool pinned;
	int busy; /* programs of callers that run in it now */
	char error[ERR_TEXT_MAX];
	json_t *links; /* to its preview, that were taken back (gateway/front.h), and "serial" of those that are given; NULL: none was */
	json_t *propagation; /* where it was lost; NULL: nowhere */
	json_t *marks;       /* by database */
	json_t *layers;      /* by volume: the layers it was made over */
};

struct environments {
	char *state_dir;
	char *preview_base;
	struct provider provider;
	struct world world;
	struct log_pump *pump;
	char *(*preview_url)(void *self, const char *env, const char *path, int64_t serial); /* or NULL, as the next */
	int (*preview_link)(void *self, const char *env, const char *link, struct preview_link *found, struct err *err);
	int (*authority)(void *self, const char *env, struct buf *pem, char hash[SANDBOX_AUTHORITY_HASH_MAX], struct err *err);
	int (*mask_key)(void *self, unsigned char key[DIGEST_KEY_BYTES], struct err *err);
	void *self;

	struct environments_egress egress;
	pthread_rwlock_t gateway_lock;
	struct link *gateway;
	bool governed; /* there is a gateway, or was one and another will come; atomic */

	pthread_mutex_t mutex;
	pthread_cond_t changed;
	struct environment **list;
	size_t count;
	bool closing;        /* atomic */
	bool lost;           /* something of the provider's is gone: reconcile soon (atomic) */
	struct once *onces;  /* layers being built (environment_once) */
	bool copies;         /* data, for want of clones, which was told (atomic) */
	json_t *layer_marks; /* {layer: the last counted mark of a database over it} */

	struct {
		bool warm;
		struct environment *spare; /* with a reference; what follows is guarded by `mutex` */
		char *spare_key;
		int64_t spare_ms;
		char *wanted; /* the blueprint that a spare is wanted for */
		char *wanted_snapshot;
		int64_t wanted_ms;
		struct environment *whole; /* with a reference: up and frozen, services and all */
		int64_t whole_ms;
		char *whole_repository; /* what one is wanted of: this commit, with that snapshot */
		struct git_hash whole_commit;
		char *whole_snapshot;
		int64_t whole_wanted_ms;
		pthread_t filler; /* starts the next one; the monitor's and the closer's */
		bool filling;
		bool filled; /* it has ended (atomic) */
	} pool;

	pthread_t monitor;
	bool monitoring;
	pthread_mutex_t monitor_mutex;
	pthread_cond_t monitor_wake;
	bool monitor_hint;
};

/* ---- environment.c: the list ---- */
struct environment *environment_new(struct environments *all, const struct env_id *id);
void environment_add(struct environment *env);    /* now others see it */
void environment_unlist(struct environment *env); /* the last reference frees it */
/* With a reference; ERR_NOT_FOUND. */
struct environment *environment_take(struct environments *all, struct env_id id, struct err *err);
void environment_release(struct environment *env);
void scope_environment(struct environment **env);
#define AUTO_ENVIRONMENT __attribute__((cleanup(scope_environment))) struct environment *
/* All of them with references, owned by the caller. */
struct environment **environments_take_all(struct environments *all, size_t *count);
/* Takes the operation lock of an environment that is not going; unlock with environment_unlock. */
MUST_USE int environment_lock(struct environment *env, struct err *err);
void environment_unlock(struct environment *env);
void environment_touched(struct environment *env);
/* Only one thread makes `name` at a time: the others wait until it is made or failed, then look again. */
void environments_once_begin(struct environments *all, const char *name);
void environments_once_end(struct environments *all, const char *name);

/* ---- environment_state.c ---- */
/* The names in a directory, without "." and "..", owned by the caller. */
json_t *directory_names(const char *path, struct err *err);
const char *environment_state_name(enum environment_state state);
const char *member_state_name(enum member_state state);
const char *member_kind_name(enum member_kind kind);
void environment_move(struct environment *env,
		      enum environment_state state); /* asserts that the move is allowed; tells the gateway */
enum environment_state environment_state_of(struct environment *env);
MUST_USE int environment_save(struct environment *env, struct err *err);
struct span; /* base/span.h */
/* Of the trace of the run that owns it. */
void environment_span_begin(const struct environment *env, struct span *span, const char *what);
/* Reads <state>/envs/<id>. The members are planned, nothing is started. */
struct environment *environment_load(struct environments *all, struct env_id id, struct err *err);
json_t *environment_json(struct environment *env, bool usage);

/* ---- environment_member.c ---- */
/* The members that the blueprint asks for: workspace, databases, services with replicas. */
MUST_USE int members_plan(struct environment *env, struct err *err);
/* ---- environment_shared.c ---- */

MUST_USE int shared_plan(struct environment *env, const struct environment_spec *spec, struct err *err);
/* It is listed now, so that what it stands on stays: is that there? */
MUST_USE int shared_below_there(struct environment *env, struct err *err);
bool environment_owns(const struct environment *env, const char *service);
size_t environment_stood_on(struct environment *env); /* by how many others */
/* ERR_CONFLICT when others stand on it: it cannot be "removed". */
MUST_USE int environment_stood_on_refuse(struct environment *env, const char *what, struct err *err);
void shared_names_add(const struct environment *env, json_t *names);
MUST_USE int shared_note(struct environments *all, struct env_id id, const json_t *body, struct err *err);
void shared_show(struct environment *env, json_t *json);

struct member *member_find(struct environment *env, const char *name);
bool environment_has_tool(struct environment *env);
/* Is the database a file whose folder this room mounts? The workspace has all, a service those that it needs. */
bool member_has_file(const struct member *member, const struct member *database);
/* Makes the sandbox and tells the gateway of its door. */
MUST_USE int member_make(struct environment *env, struct member *member, struct err *err);
void member_unmake(struct environment *env, struct member *member);
/* All sandboxes of it are gone by another way. */
void members_forget(struct environment *env);
/* Starts the member's program (server or `run`), output to its log. */
MUST_USE int member_start(struct environment *env, struct member *member, struct err *err);
MUST_USE int member_start_argv(struct environment *env, struct member *member, const char *const *argv, const char *dir,
			       const char *user, struct err *err);
/* Signals, waits, kills. No error when it does not run. */
void member_stop(struct environment *env, struct member *member, int signal_number, int64_t grace_ms);
/* One look, blocks for a moment: 0 ready, ERR_RETRY not yet, ERR_BROKEN the program has ended (its exit is in the member). */
MUST_USE int member_probe(struct environment *env, struct member *member, struct err *err);
/* Waits for the program to be ready, limit_ms at most. */
MUST_USE int member_wait_ready(struct environment *env, struct member *member, int64_t limit_ms, const bool *cancelled,
			       struct err *err);
/* Looks whether the program has ended; true when it did (state, exit and running are set). */
bool member_ended(struct environment *env, struct member *member);
MUST_USE int member_connect(struct environment *env, const struct member *member, int64_t limit_ms, int *fd, struct err *err);
/* Adds the last lines of the member's log to the error. */
int member_quote_log(struct environment *env, struct member *member, struct err *err);
/* A command of the blueprint as an argument list for the member: shell lines by sh -c. `held` gets the three words of a shell line. */
const char *const *command_argv(const struct command *command, const char **held);
bool command_is_set(const struct command *command);

/* ---- environment_exec.c ---- */
/* Runs a program in a member to its end; neither touches nor thaws. Default output is the member's log. */
MUST_USE int member_run(struct environment *env, struct member *member, const struct environment_exec *exec,
			struct exit_status *status, struct err *err);
/* As member_run, any end but exit 0 is an error that says `what` and quotes the log. */
MUST_USE int member_run_checked(struct environment *env, struct member *member, const struct environment_exec *exec,
				const char *what, struct err *err);
/* The environment of a program: standard variables (doc/blueprint.md), the service's, `more`. NULL-terminated, owned. */
char **member_variables(struct environment *env, const struct member *member, const struct variables *more);
/* Takes the usual user's HOME, USER and LOGNAME out: another will run the program. */
void variables_drop_account(char **variables);
void variables_free(char **variables);

/* ---- environment_gateway.c: all are nothing without a gateway ---- */
MUST_USE int gateway_env_put(struct environment *env, struct err *err);
MUST_USE int gateway_links(struct environment *env, struct err *err); /* LINKS; waits for nothing that is under way */
MUST_USE int gateway_member_put(struct environment *env, const struct member *member, struct err *err);
void gateway_member_gone(struct environment *env, const struct member *member);
void gateway_env_state(struct environment *env, enum environment_state state);
void gateway_env_gone(struct environment *env);
/* *present is false without a gateway. */
/* What the gateway says of calls; all 0 where there is none. */
struct calls {
	int64_t in_flight;
	int64_t ended;     /* so far */
	int64_t unwritten; /* of those that ended: not in the exchange log yet */
};
MUST_USE int gateway_calls(struct environment *env, struct calls *calls, struct err *err);

/* ---- environment_image.c ---- */
/* Asks what the image says; must be done before the member is started. */
MUST_USE int member_image_load(struct environment *env, struct member *member, struct err *err);
/* NULL when it has none. Owned by the caller. */
json_t *member_image(struct environment *env, const struct member *member);
/* The blueprint's program or the image's. */
MUST_USE int member_start_service(struct environment *env, struct member *member, struct err *err);

/* ---- environment_clock.c: `verify.clock`, for services of what is verified ---- */
bool environment_has_clock(const struct environment *env);
/* Before the program of a service starts; nothing where no other date is asked for. */
MUST_USE int member_clock_put(struct environment *env, struct member *member, struct err *err);
struct clock_variables {
	struct name_value at[2];
	struct variables list; /* of them; none where no other date is asked for */
};
/* What its program gets on top. Owned by the caller. */
struct clock_variables *clock_variables_new(const struct environment *env, const struct member *member);
void clock_variables_free(struct clock_variables *variables);

/* ---- environment_start.c ---- */
#define START_VOLUMES 1u /* make the volumes first */
#define START_MIGRATE 2u /* run migrations and take marks */
/* Starts whatever of the environment does not run: databases, migrations, services. */
MUST_USE int environment_start(struct environment *env, unsigned what, struct progress progress, struct err *err);
/* Stops programs and members of services, and with `databases` of those too; cleanly where that matters. */
void environment_stop_members(struct environment *env, bool databases);
MUST_USE int environment_marks_take(struct environment *env, struct err *err);

/* ---- environment_data.c ---- */
int64_t member_ready_limit_ms(const struct member *member,
			      int64_t usual_ms); /* of one attempt: its engine may need longer, its blueprint may say */
/* Connects where its engine is asked what it holds. */
MUST_USE int member_ask(struct environment *env, const struct member *member, int64_t limit_ms, int *fd, struct err *err);
/* Runs what a database's engine wants to say over a socket of its own. */
MUST_USE int member_talk(struct environment *env, const struct member *member,
			 int (*talk)(const struct engine_target *target, int fd, struct err *err), struct err *err);

/* ---- environment_fork.c ---- */
/* Makes a frozen or cold environment run; the operation lock is held. */
MUST_USE int environment_wake(struct environment *env, struct err *err);
/* Moves it to `failed`, for that reason. */
void environment_failed(struct environment *env, const struct err *why);
/* A failed one is kept as it is at that moment: frozen, where the machine can, until environment_wake. The lock is held. */
void environment_still(struct environment *env);
/* As environment_wake, takes the lock itself, only when needed. */
MUST_USE int environment_awake(struct environment *env, struct err *err);
/* Has a sandbox of it ended, whatever ended it? Asks the provider; any thread. */
bool environment_ground_lost(struct environment *env);
/* 0, or -1 and ERR_LIMIT with the reason when it was the provider that ended it, for what it held. Any thread. */
int environment_unstopped(struct environment *env, struct err *err);
MUST_USE int environment_freeze_locked(struct environment *env, struct err *err);

/* ---- environment_monitor.c ---- */
MUST_USE int monitor_start(struct environments *all, struct err *err);
void monitor_stop(struct environments *all);
void monitor_hint(void *environments);       /* something may have ended */
void monitor_lost(struct environments *all); /* a sandbox is gone: what should be there is made again soon */
/* Sees what ended since the last look, and does what follows from it; the operation lock is held. True: look again soon. */
bool monitor_look(struct environment *env);

/* ---- environment_remove.c ---- */
/* Removes it, whatever it is: provider, gateway, files. The operation lock is held. When it fails the monitor goes on with it. */
MUST_USE int environment_remove_locked(struct environment *env, struct err *err);
/* Does somebody want it gone? */
bool environment_leaves(const struct environment *env);

/* ---- builder.c: environments of our own, in which layers are made ---- */

/* What a layer is built from. `blueprint_text` may be NULL: no services, no databases, no egress. */
struct builder_spec {
	const char *repository; /* may be NULL */
	const struct git_hash *commit;
	const char *blueprint_text;
};
/* An environment that nobody sees: a workspace and the blueprint's databases, none of them made. */
struct environment *builder_begin(struct environments *all, const struct builder_spec *spec, struct err *err);
void builder_end(struct environment *builder); /* NULL is fine */
#define AUTO_BUILDER __attribute__((cleanup(scope_builder))) struct environment *
void scope_builder(struct environment **builder);
/* Volume over the layer (or none) and sandbox. */
MUST_USE int builder_member_make(struct environment *builder, struct member *member, const char *layer, struct err *err);
/* The sandboxes must be unmade. */
MUST_USE int builder_commit(struct environment *builder, const struct member *member, const char *layer, const json_t *meta,
			    struct err *err);
MUST_USE int layer_exists(struct environments *all, const char *name, bool *exists, struct err *err);

/* A blueprint of our own, with only what the engines must know of these databases. Owned by the caller. */
char *builder_databases_text(const struct database *databases, size_t count);

/* ---- environment.c: up, in two steps ---- */
struct environment *environment_plan(struct environments *all, const struct environment_spec *spec, struct err *err);
MUST_USE int environment_up_locked(struct environment *env, struct progress progress, struct err *err);

/* ---- environment_pool.c: nothing happens unless the manager was opened `warm` ---- */
/* Gives an environment that nobody has seen a fitting set of started databases, and its id with it. The spare that was is to be
 * taken off the list and released once the environment is on it; NULL when there is none. */
struct environment *pool_adopt(struct environment *env);
/* A whole one that is just what was planned, thawed and with its operation lock held, as that; the caller's reference. NULL: there is none. */
struct environment *pool_take_whole(struct environment *planned);
void pool_want(struct environment *env);  /* it came up: another of its kind may be wanted */
void pool_tend(struct environments *all); /* the monitor's turn */
void pool_drop(struct environments *all);
void pool_close(struct environments *all);

/* ---- source.c ---- */
/* The layer that holds a checkout of the commit with its dependencies installed and, with `built`, its services built; made when there
 * is none. Owned by the caller. */
char *source_layer(struct environments *all, const char *repository, const struct git_hash *commit, const char *blueprint_text,
		   bool built, struct progress progress, struct err *err);
/* Is this service built in the checkout, so that a fresh environment finds it built? Those with an image of their own are not. */
bool source_builds(const struct service *service);

/* ---- snapshot.c ---- */
/* "name/version" of an existing snapshot, owned; NULL with err->kind ERR_NONE when there is none and none is asked for. */
char *snapshot_resolve(struct environments *all, const struct blueprint *blueprint, const char *wanted, struct err *err);
/* The layer of one database: of the snapshot, or (NULL, or it has no such database) an empty one, made when there is none. Owned. */
char *snapshot_layer(struct environments *all, const char *snapshot, const struct database *database, struct progress progress,
		     struct err *err);

/* ---- snapshot_build.c ---- */
/* An empty, initialised data directory for the database. Owned by the caller. */
char *snapshot_empty_layer(struct environments *all, const struct database *database, struct progress progress, struct err *err);
/* Version 1 from the blueprint's seeds; when another thread has just made it, that one. */
MUST_USE int snapshot_from_seeds(struct environments *all, const struct builder_spec *spec, struct progress progress,
				 char **snapshot, struct err *err);
/* The highest version of the name there is, complete or not; 0: none. */
MUST_USE int snapshot_version_last(struct environments *all, const char *name, bool complete_only, int *version, struct err *err);
const char *snapshot_name_of(const struct blueprint *blueprint); /* what the blueprint calls its snapshot */

/* ---- steps for the progress ---- */
static inline void step_report(struct progress progress, const char *step, const char *detail, int64_t ms)
{
	if (progress.report)
		progress.report(progress.self, step, detail, ms);
}
static inline bool progress_cancelled(struct progress progress)
{
	return progress.cancelled && __atomic_load_n(progress.cancelled, __ATOMIC_RELAXED);
}
static inline bool environment_going(const struct environment *env)
{
	return __atomic_load_n(&env->going, __ATOMIC_RELAXED) || __atomic_load_n(&env->all->closing, __ATOMIC_RELAXED);
}
static inline int64_t elapsed_ms(const struct environments *all)
{
	return world_elapsed_ms(all->world);
}

#endif
