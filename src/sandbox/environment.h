/*
 * environment: one isolated copy of an application, made from a commit and a snapshot: forked, deployed, looked into, kept, cleaned.
 *
 * The manager owns every environment of this machine. What should exist is written as a file per environment
 * (<state>/envs/<id>/state.json) before anything of it does; what exists is asked of the provider; environment_reconcile() makes the
 * second follow the first, at start and every interval. After a crash of anything the environments that should be up are started
 * again from their volumes.
 *
 * All calls block, may come from any thread but a loop's, and are serialised by environment. JSON results are owned by the caller.
 * The program ignores SIGPIPE.
 */
#ifndef ASSAY_SANDBOX_ENVIRONMENT_H
#define ASSAY_SANDBOX_ENVIRONMENT_H

#include "base/git.h"
#include "blueprint/blueprint.h"
#include "sandbox/provider.h"

struct environments;
struct link; /* net/link.h */

/* Who decides what may leave, and is told what the gateway says about it; calls must be quick. */
struct environments_egress {
	/* Puts into ENV_PUT (net/messages.h) what is known of the environment: "run", "killed", "remembered", "over_budget". */
	void (*describe)(void *self, const char *env, const char *owner, int64_t budget_micro_usd, json_t *body);
	/* Binds a credential to the environment: {"name", "placeholder", "for", "in", "require"} as ENV_PUT has it, owned by the caller. May be
	 * NULL: there is no vault. */
	json_t *(*secret)(void *self, const char *env, const char *credential, struct err *err);
	void (*secrets_end)(void *self, const char *env); /* nothing is released for it any more */
	/* HOLD, HOLD_GONE, USAGE, MODEL. */
	int (*message)(void *self, uint16_t name, const json_t *body, struct err *err);
	void *self;
};

/* A link to a preview: two of the same hour are the same. */
struct preview_link {
	int64_t serial;
	int64_t ends_s;
};

struct environments_options {
	const char *state_dir;
	struct provider provider;
	struct link *gateway;     /* NULL: environments without seams, for tests of the provider */
	const char *preview_base; /* "127.0.0.1:7421": previews are http://<env>.localhost:7421/ */
	/* Where people elsewhere see the environment's `path`, by a link of that serial (net/pass.h); owned by the caller, NULL: not now. May be NULL: nowhere. Any thread. */
	char *(*preview_url)(void *self, const char *env, const char *path, int64_t serial);
	/* Is `link` one that preview_url() made for the environment? ERR_INVALID: it is none. NULL where that is. */
	int (*preview_link)(void *self, const char *env, const char *link, struct preview_link *found, struct err *err);
	struct world world;
	/* The certificate authority that an environment's programs trust (PEM, appended) and the hash of its name; NULL: none. Any thread. */
	int (*authority)(void *self, const char *env, struct buf *pem, char hash[SANDBOX_AUTHORITY_HASH_MAX], struct err *err);
	/* The organisation's key for masks, which no snapshot holds; NULL: nothing is masked, and a blueprint that asks for it is refused. */
	int (*mask_key)(void *self, unsigned char key[32], struct err *err);
	void *self;
	bool warm;                         /* keep one set of started databases ready for the next environment of the same kind */
	struct environments_egress egress; /* `describe` NULL: nobody */
};

MUST_USE int environments_open(const struct environments_options *options, struct environments **environments, struct err *err);
/* Stops every environment (their volumes and state stay, the next start brings them up again) and frees the manager. */
void environments_close(struct environments *environments);

/* A gateway that started again knows nothing: takes the new link (NULL: there is none for now; the old one is not used any more when
 * this returns) and tells it of every environment. */
MUST_USE int environments_gateway_reset(struct environments *environments, struct link *gateway, struct err *err);
/* What the gateway said (net/messages.h: THAW, TOUCH, DENIED). Blocks until a THAW is done, so never on the link's own thread. */
MUST_USE int environments_gateway_message(struct environments *environments, uint16_t name, const json_t *body, struct err *err);

/* Asks the gateway (net/messages.h); its answer, owned by the caller. ERR_RETRY: there is none, or it does not answer within timeout_ms. */
json_t *environments_gateway_call(struct environments *environments, uint16_t name, const json_t *body, int64_t timeout_ms,
				  struct err *err);
/* With a descriptor beside it, which stays the caller's (-1: none). */
json_t *environments_gateway_call_fd(struct environments *environments, uint16_t name, const json_t *body, int fd,
				     int64_t timeout_ms, struct err *err);

/* Mends every seam of the environment that was broken on purpose (gateway/fault.h). *count: how many there were. ERR_RETRY: the gateway does
 * not answer; one that starts again knows none. */
MUST_USE int environment_faults_clear(struct environments *environments, struct env_id id, int *count, struct err *err);

/* Called with each step as it begins (ms < 0) and ends: "clone db", "start catalog", "ready front". From any thread. */
struct progress {
	void (*report)(void *self, const char *step, const char *detail, int64_t ms);
	void *self;
	const bool *cancelled; /* may be NULL; when it becomes true the work ends soon with ERR_CANCELLED */
};

struct environment_spec {
	const char *repository; /* a bare repository of ours (base/git.h) */
	struct git_hash commit; /* its assay.yaml is the blueprint, unless `blueprint` is given */
	const char *blueprint;  /* text of assay.yaml to use instead (verification takes it from base), or NULL */
	const char *name;       /* for people; NULL: the blueprint's name */
	const char *purpose;    /* "work", "base", "head", "preview", "test": shown */
	const char *owner;      /* the run it belongs to, or "" */
	const char *snapshot;   /* "name" or "name/version" instead of the blueprint's; NULL */
	const char *tool;       /* "name/version": a program installed by tool_install() that the workspace has; NULL */
	bool volatile_;         /* never started again after a crash: removed (verification) */
	bool no_services;       /* workspace and databases only: for tests that need nothing else */
	struct env_id
		below; /* another one of the same repository: what is not its own answers there; "" none. Never for a verdict */
	const json_t *services; /* [name] that are its own then; NULL: those whose files differ */
};

/* Forks and deploys: workspace from the commit, databases from the snapshot, migrations, services in order of need. *id is set as
 * soon as it exists. On failure what was made stays, state "failed", when `keep_failed`; else it is removed. The error says which step of
 * which service failed and quotes the last lines of its log. */
MUST_USE int environment_up(struct environments *environments, const struct environment_spec *spec, bool keep_failed,
			    struct progress progress, struct env_id *id, struct err *err);
MUST_USE int environment_down(struct environments *environments, struct env_id id, struct err *err);
/* Clones a live environment as it is now: workspace and databases. */
MUST_USE int environment_fork(struct environments *environments, struct env_id from, struct progress progress, struct env_id *id,
			      struct err *err);
/* Builds and restarts one service (NULL: all, with migrations) from the work tree as it is now; waits until ready. */
MUST_USE int environment_deploy(struct environments *environments, struct env_id id, const char *service, struct progress progress,
				struct err *err);
MUST_USE int environment_reset_data(struct environments *environments, struct env_id id, struct progress progress, struct err *err);
MUST_USE int environment_freeze(struct environments *environments, struct env_id id, bool frozen, struct err *err);
MUST_USE int environment_pin(struct environments *environments, struct env_id id, bool pinned, struct err *err);
MUST_USE int environment_extend(struct environments *environments, struct env_id id, int64_t grace_ms, struct err *err);

/* [{"id", "name", "purpose", "owner", "state": "starting|ready|frozen|failed|stopped", "state_since_ms", "repository", "commit", "snapshot", "created_ms",
 *   "expires_ms", "pinned", "preview": url | null, "below"?: id of the one that it stands on, "own"?: [its services], "propagation"?: [{"from",
 *   "to", "why": "lost|ambiguous|http/2"}: who called on without the baggage that it was called with], "error"?: text, "sandboxes": [{"name", "kind": "service|worker|database|workspace",
 *   "state": "starting|ready|running|exited|failed", "port", "restarts", "exit"?: text, "ready_ms", "memory_bytes", "cpu_ms", "oom_kills", "pids_refused"}]}] */
json_t *environment_list(struct environments *environments, struct err *err);
json_t *environment_show(struct environments *environments, struct env_id id, struct err *err);
/* How many more that take as much memory as this one does now this machine holds with ease; 0 where nobody can say, as of a cluster. */
size_t environment_room(struct environments *environments, struct env_id like);
/* Its credentials are released for it, as from the beginning, or not any more: its run is over. */
MUST_USE int environment_secrets(struct environments *environments, struct env_id id, bool bound, struct err *err);
/* What governs what leaves it: {"rules": those of its blueprint (gateway/policy/policy.h), "repository", "agent", "run"}. */
json_t *environment_egress(struct environments *environments, struct env_id id, struct err *err);
/* "e…" or a unique prefix or name. */
MUST_USE int environment_find(struct environments *environments, const char *text, struct env_id *id, struct err *err);
/* Has nothing of it been destroyed, by a crash of ours or by a person, since it came up? What it was asked meanwhile proves nothing
 * otherwise: ERR_RETRY says what was, ERR_INVALID that it was stopped for what it did itself: it held more than its share of the disk.
 * A program that ended by itself is no such thing. */
MUST_USE int environment_intact(struct environments *environments, struct env_id id, struct err *err);
char *environment_preview_url(struct environments *environments, struct env_id id); /* owned; NULL when it has none */
/* Takes back one link to its preview, or with NULL all that were given so far: who comes by it is sent away at once, and what is given from then on
 * is another. Who signed in stays. ERR_INVALID: it is no link to this preview, or there are none. */
MUST_USE int environment_links_revoke(struct environments *environments, struct env_id id, const char *link, struct err *err);

struct environment_exec {
	const char *sandbox;         /* "workspace", a service, a database */
	const char *const *argv;     /* NULL-terminated */
	const struct variables *env; /* on top of the standard ones (doc/blueprint.md); may be NULL */
	const char *dir;             /* NULL: /workspace, or / for databases */
	bool as_root;
	int64_t timeout_ms; /* 0: ten minutes; over it the program's group is killed: ERR_LIMIT */
	struct view input;  /* for stdin; or input_fd > 0 */
	struct buf *output; /* stdout, or output_fd > 0 */
	struct buf *errors; /* stderr; NULL: with stdout */
	int input_fd;
	int output_fd;
	int error_fd;
	bool terminal;         /* the three descriptors are a pty */
	const bool *cancelled; /* may be NULL: when it becomes true the program's group is killed */
	bool sweep; /* when it has ended, so does whatever ended programs left in the sandbox, in groups of their own too */
};

/* The end of the program is in *status; when it has none of its own, because its sandbox was destroyed, that is ERR_RETRY,
 * or ERR_INVALID with EXIT_GONE when it was for what the environment did itself (environment_intact). */
MUST_USE int environment_exec(struct environments *environments, struct env_id id, const struct environment_exec *exec,
			      struct exit_status *status, struct err *err);
/* One statement on a database, as its client prints it: psql's CSV with a header, mariadb's fields with tabs between, redis-cli's lines. */
MUST_USE int environment_query(struct environments *environments, struct env_id id, const char *database, const char *statement,
			       struct buf *output, struct err *err);

/* The last `lines` of a sandbox's log (NULL: all services, interleaved with names); `from` is a byte position for following, may be
 * NULL, and is moved on. */
MUST_USE int environment_logs(struct environments *environments, struct env_id id, const char *sandbox, int lines, int64_t *from,
			      struct buf *output, struct err *err);

/* Exchanges recorded at seams and preview (net/messages.h), JSON lines from byte *from on, up to byte `until` (-1: all there are, of which
 * one call takes some 64 MiB); *from is moved on. */
MUST_USE int environment_exchanges(struct environments *environments, struct env_id id, int64_t *from, int64_t until,
				   struct buf *lines, struct err *err);
/* How many bytes of them there are. */
MUST_USE int environment_exchanges_end(struct environments *environments, struct env_id id, int64_t *end, struct err *err);
/* Waits until nothing is in flight, the blueprint's queues are empty and nobody runs (doc/adr/0069); ERR_LIMIT when it never is within
 * timeout_ms. */
MUST_USE int environment_quiet(struct environments *environments, struct env_id id, int64_t timeout_ms, struct err *err);
/* Breaks a seam of it on purpose, or mends it: `fault` as in gateway/fault.h. The faults there are now, owned by the caller. */
json_t *environment_fault(struct environments *environments, struct env_id id, const json_t *fault, struct err *err);
MUST_USE int environment_phase(struct environments *environments, struct env_id id, const char *phase, struct err *err);

/* Commits whatever is in the work tree on top of `base` (nobody's hooks run on the host: git works inside the sandbox, the host takes
 * a checked pack) into the bare repository as `ref`; *head equals the base when nothing changed. */
MUST_USE int environment_export(struct environments *environments, struct env_id id, const struct git_hash *base, const char *ref,
				const char *message, struct git_hash *head, struct err *err);

/* The other way: what `commit` has beyond `base`, which the work tree was exported as, or forked from, is in the work tree as well; what else was changed there stays.
 * What `base` has beyond a `commit` that does not follow it goes, from the history of the workspace's branch, too. Done twice is done once.
 * ERR_CONFLICT: names files that were changed on both sides, and nothing was done. */
MUST_USE int environment_import(struct environments *environments, struct env_id id, const struct git_hash *base,
				const struct git_hash *commit, struct err *err);

/* Rows written since deploy, by table and key: {"tables": {"db": {"orders": [{"key": {...}, "row": {...}}]}}, "redis": {"cache": {"key":
 * {"type", "value"}}}}. Bounded per table; {"cut": true} says so. In one that is volatile also {"touched": {"db": {"orders": [how many rows that
 * were there at deploy were changed or deleted since, the sum of their keys' digests]}}}, both texts of numbers. {"connections": {"db": n}}: how many
 * others have open. Of Redis, a key says besides whether it "expires", and a stream what its groups have "left". */
json_t *environment_rows_written(struct environments *environments, struct env_id id, struct err *err);
/* The same without what was touched, which is dear: it reads all that there was. */
json_t *environment_rows_new(struct environments *environments, struct env_id id, struct err *err);

/* Removes what should not exist, starts again what should; idle ones are frozen, expired ones removed. */
MUST_USE int environment_reconcile(struct environments *environments, struct err *err);

/* ---- snapshots: named, versioned states of all databases of a blueprint, one cut ---- */

struct snapshot_source {
	const char *seed;     /* a file: .sql, .sql.gz, or anything else: run in a shell with the databases' URLs */
	const char *dump;     /* a file: pg_dump's plain or custom form, mariadb-dump's, or a Redis RDB */
	const char *url;      /* postgres://…, mysql://… or redis://… of a running server, read from the host */
	const char *database; /* which one of the blueprint; NULL: the only one it can mean */
};

/* Builds the next version of `name` for the blueprint (all its databases; those without a source start empty). *version is 1, 2, … */
MUST_USE int snapshot_create(struct environments *environments, const char *name, const struct blueprint *blueprint,
			     const struct snapshot_source *sources, size_t source_count, struct progress progress, int *version,
			     struct err *err);
/* The same from the seeds that the blueprint (its text) names, files of the commit. */
MUST_USE int snapshot_create_from_seeds(struct environments *environments, const char *name, const char *repository,
					const struct git_hash *commit, const char *blueprint, struct progress progress,
					int *version, struct err *err);
/* [{"name", "version", "digest", "created_ms", "bytes", "databases": [{"name", "engine", "version"}], "used_by": n}] */
json_t *snapshot_list(struct environments *environments, struct err *err);
json_t *snapshot_show(struct environments *environments, const char *name_version, struct err *err);
MUST_USE int snapshot_remove(struct environments *environments, const char *name_version, struct err *err);

/* ---- tools: programs installed once, which workspaces then have below /opt/assay, with its bin/ first in PATH ---- */

struct tool_spec {
	const char *name;    /* letters, digits, `-` */
	const char *version; /* letters, digits, `.`, `-` */
	const char *script;  /* for sh, in an empty folder: what it leaves there is the tool, its programs in bin/ */
	const struct variables *env;
	const char *const *hosts; /* that it may reach, NULL-terminated */
};

/* Runs the script in a sandbox of its own and keeps what it left; nothing to do when that version is there. */
MUST_USE int tool_install(struct environments *environments, const struct tool_spec *spec, struct progress progress,
			  struct err *err);
/* [{"name", "version", "bytes", "created_ms"}] */
json_t *tool_list(struct environments *environments, struct err *err);
/* ERR_CONFLICT while an environment has it. */
MUST_USE int tool_remove(struct environments *environments, const char *name, const char *version, struct err *err);

#endif
