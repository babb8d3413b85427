/*
 * blueprint: assay.yaml as one typed, checked, immutable description (doc/blueprint.md). Everything in it is owned by it; absent
 * texts are NULL, absent lists empty, defaults filled in.
 */
#ifndef ASSAY_BLUEPRINT_BLUEPRINT_H
#define ASSAY_BLUEPRINT_BLUEPRINT_H

#include "base/buf.h"

/* A program: `shell` (for sh -c) or `argv` (NULL-terminated), or neither. */
struct command {
	char *shell;
	char **argv;
};

struct name_value {
	char *name;
	char *value;
};

struct variables {
	struct name_value *at;
	size_t count;
};

struct texts {
	char **at;
	size_t count;
};

enum ready_kind { READY_NONE, READY_TCP, READY_HTTP, READY_EXEC };
enum restart_kind { RESTART_ALWAYS, RESTART_ON_FAILURE, RESTART_NEVER };

struct resource_limits { /* 0: default */
	int64_t memory_bytes;
	int cpu_percent;
	int pids;
};

struct service {
	char *name;
	struct command run; /* empty: the image's own */
	struct command build;
	char *dir;     /* relative, "." by default; NULL: the image's, of a service without `run` */
	uint16_t port; /* 0: a worker */
	enum ready_kind ready;
	int64_t ready_timeout_ms; /* of one attempt to start; 0: what others have */
	char *ready_target;       /* path for READY_HTTP, shell line for READY_EXEC */
	struct texts needs;       /* names of services and databases; checked: known, no cycle */
	struct variables env;
	char *image; /* NULL: the host's root */
	bool preview;
	int replicas;
	enum restart_kind restart;
	struct resource_limits limits;
};

enum engine_kind {
	ENGINE_POSTGRES,
	ENGINE_REDIS,
	ENGINE_MARIADB,
	ENGINE_MYSQL, /* read as mariadb */
	ENGINE_RABBITMQ,
	ENGINE_NATS,
	ENGINE_SQLITE,
};

enum mask_kind {
	MASK_KEEP, /* looked at, and fine as it is */
	MASK_NULL,
	MASK_FIXED,
	MASK_EMAIL,
	MASK_NAME,
	MASK_PHONE,
	MASK_TOKEN,
	MASK_CARD,
	MASK_ADDRESS,
	MASK_TEXT,
	MASK_NUMBER,
	MASK_DATE,
};

/* What stands for a column's values in a snapshot. */
struct mask_rule {
	char *column; /* "users.email", "audit.users.email", "users.profile/contact/email" within JSON */
	enum mask_kind kind;
	char *fixed; /* of MASK_FIXED */
};

/* How much of a table a snapshot keeps; what rows that are kept refer to is kept with them. */
struct subset_rule {
	char *table; /* "orders", "audit.orders" */
	int percent; /* 1 to 100; 0: by `where` */
	char *where; /* a condition; NULL: what other rows refer to */
};

struct database {
	char *name;
	enum engine_kind engine;
	int version;    /* 0: newest there is */
	char *database; /* of sqlite the file's name, the last part of `path` */
	char *user;
	char *path;     /* of sqlite: where rooms have the file */
	char *snapshot; /* NULL: the blueprint's name, if such a snapshot exists */
	char *seed;     /* a path, or "exec: LINE" */
	struct command migrate;
	struct command rollback; /* undoes what `migrate` of a later commit did */
	struct variables env;
	struct mask_rule *mask;
	size_t mask_count;
	struct subset_rule *subset;
	size_t subset_count;
};

struct queue {
	char *name;
	char *database; /* the Redis it lives in */
	char *stream;
	char *group;
};

enum report_format { REPORT_NONE, REPORT_JUNIT, REPORT_TAP, REPORT_CTRF, REPORT_JSON };

struct test_suite {
	char *name;
	struct command run;
	char *dir;
	char *report;
	enum report_format format;
	struct texts files;     /* globs */
	struct texts artefacts; /* globs of pictures and recordings that a run leaves for people */
	bool needs_services;
	int64_t timeout_ms;
	struct variables env;
};

/* A linter or static analyser of the repository. */
struct linter_run {
	char *name;
	struct command run;
	char *dir;    /* NULL: the work tree */
	char *report; /* the file that it writes; NULL: it prints */
	bool blocks;  /* what it newly says blocks; else it warns */
};

struct host_stub {
	char *name; /* a host name, lower case */
	char *stub; /* path of the stub file, NULL: the real host */
};

enum rule_severity { RULE_WARN, RULE_INFORM, RULE_BLOCK };

/* What a difference of behaviour is, whoever causes it; the first that fits counts. */
struct severity_rule {
	char *match; /* as declarations are (verify/declared.h), but by no id */
	enum rule_severity as;
	char *because; /* NULL: not said */
};
/* Is a match hardly more than wildcards and a method? Then it would be for everything. */
bool severity_match_wide(const char *match);

/* What a request is that is answered surely later than before. */
enum latency_rule { LATENCY_WARN, LATENCY_INFORM, LATENCY_BLOCK, LATENCY_OFF };

enum clock_kind { CLOCK_REAL, CLOCK_OFFSET, CLOCK_FROZEN };

/* What holds whatever is asked, and however much at once: exactly one of `sql` and `http`. */
struct invariant {
	char *name;
	char *database; /* of `sql`; the only one there is when it is not given */
	char *sql;      /* gives no row while it holds */
	char *http;     /* a path of the preview's service that answers 2xx while it holds */
};

enum rule_action { RULE_DENY, RULE_ALLOW, RULE_APPROVE, RULE_PASSTHROUGH };

/* What is absent is not asked for. */
struct egress_rule {
	char *id;   /* NULL: by its number */
	char *host; /* exact, an address, "*.suffix" (one or more labels), or "*" */
	int port;   /* 0: 80 and 443, or, of a rule that denies, every one */
	struct texts methods;
	struct texts paths; /* patterns */
	struct texts agents;
	struct texts sandboxes;
	struct texts repositories; /* of the policy file only, as are environments */
	struct texts environments;
	enum rule_action action;
	char *because; /* for people, in refusals */
};

/* What is looked for in what leaves, or, without `pattern` and `near`, what is said of rules that are there. Absent texts are NULL. */
struct dlp_rule {
	char *id; /* `*` in it stands for anything */
	char *title;
	char *pattern;
	char *near;
	char *value;
	char *entropy; /* a number */
	char *check;
	char *action; /* block, hold, redact, log, off */
	int group;    /* 0: not given */
	struct texts keywords;
	struct texts stop;
	struct texts allow;
	struct texts paths;
};

struct dlp_section {
	struct dlp_rule *rules;
	size_t rule_count;
	struct texts allow;   /* patterns of values that are no secrets */
	struct texts secrets; /* names of variables of the file's `env`s */
	char *gitleaks;       /* path of a gitleaks.toml; NULL: none */
};

/* Runs of one issue at once, each with its agent. */
struct candidates {
	size_t count;        /* 0 or 1: one run, as ever */
	struct texts agents; /* "claude" or "claude:model", `count` of them; none: all are `use` */
};
#define BLUEPRINT_CANDIDATES_MAX 8
#define BLUEPRINT_REVIEWERS_MAX 3

struct blueprint {
	char *name;
	struct service *services;
	size_t service_count;
	struct database *databases;
	size_t database_count;
	struct queue *queues;
	size_t queue_count;

	struct {
		struct command *setup; /* in order */
		size_t setup_count;
		struct texts lock;
		struct variables env;
		struct resource_limits limits;
	} workspace;

	struct test_suite *tests;
	size_t test_count;
	struct texts sessions; /* globs of HAR files */
	struct host_stub *hosts;
	size_t host_count;

	struct {
		int attempts;
		struct texts protected_paths; /* globs; assay.yaml always is */
		struct texts skip;            /* gates that are left out */
		int64_t mutation_ms;          /* for mistakes in changed lines; 0: none are made */
		struct invariant *invariants;
		size_t invariant_count;
		struct severity_rule *rules;
		size_t rule_count;
		struct linter_run *linters;
		size_t linter_count;
		struct texts pages;            /* paths of the preview that are looked at, besides those of sessions */
		struct texts refused_licences; /* globs of SPDX names, of packages that a change brings */
		int64_t timeout_ms;
		enum latency_rule latency;
		struct {
			enum clock_kind kind;
			int64_t ms; /* what it is off by, or since 1970 */
		} clock;            /* of the services that are compared */
		int explore;        /* requests that nobody has asked yet; 0: none are made */
	} verify;

	struct {
		struct candidates candidates;
		struct texts reviewers; /* "claude" or "claude:model": who is asked for a second opinion */
		char *use;              /* "command", or an agent by name: "claude", "codex", … */
		struct command run;
		char *format; /* "text", "jsonl" */
		char *model;
		struct variables env;
		char *settings; /* "ignore", or "base": of its program, in the repository */
		int64_t timeout_ms;
	} agent;

	struct {
		struct egress_rule *rules;
		size_t rule_count;
		int64_t budget_micro_usd; /* of a run's model traffic; 0: none */
		struct dlp_section dlp;
	} egress;

	struct variables secrets; /* variables of every sandbox, each the name of a credential */

	struct {
		char *service; /* NULL: no service has a port */
		char *path;
		int64_t grace_ms;
		int64_t idle_ms;
	} preview;
};

/* Owned by the caller. The error names file, line, column, what was expected and the nearest known key:
 * "assay.yaml:7:3: unknown key `prot` in services.front: did you mean `port`?". `file_name` is only for messages. */
struct blueprint *blueprint_parse(struct view text, const char *file_name, struct err *err);
struct blueprint *blueprint_load(const char *path, struct err *err);
void blueprint_free(struct blueprint *blueprint);
void scope_blueprint(struct blueprint **blueprint);
#define AUTO_BLUEPRINT __attribute__((cleanup(scope_blueprint))) struct blueprint *

/* For what a request puts over a blueprint that it owns: zeroed room, and texts, that live as long as it. Nothing of a blueprint is
 * freed alone. */
void *blueprint_take(struct blueprint *blueprint, size_t count, size_t size);
char *blueprint_copy(struct blueprint *blueprint, const char *text); /* NULL gives NULL */

const char *engine_word(enum engine_kind kind); /* as assay.yaml has it */
const char *mask_kind_name(enum mask_kind kind);
/* Borrowed, or NULL. */
const struct service *blueprint_service_find(const struct blueprint *blueprint, const char *name);
const struct database *blueprint_database_find(const struct blueprint *blueprint, const char *name);
/* Does a path (relative, '/'-separated) match a glob with *, ?, ** and [...]? */
bool glob_match(const char *glob, const char *path);
extern const char
	*const blueprint_ci_globs[]; /* what runs a repository's checks, by the paths that services for it know; NULL-terminated */

#endif
