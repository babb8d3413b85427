/*
 * ladder: what the gates share: the request, the blueprint of the base, the environments that must not outlive the work, the report as it
 * grows, and the one flag that ends everything (cancelled, or out of time).
 */
#ifndef ASSAY_VERIFY_LADDER_H
#define ASSAY_VERIFY_LADDER_H

#include <pthread.h>

#include "base/digest.h"
#include "base/scope.h"
#include "verify/finding.h"
#include "verify/pressure.h"
#include "verify/verify.h"

#define LADDER_ENVS_MAX 24

enum gate_status { GATE_PASS, GATE_FAIL, GATE_UNSTABLE, GATE_SKIPPED };

struct gate {
	const char *name;
	const char *title;
	enum gate_status status;
	char *reason;
	json_t *findings;
	json_t *counts;
};

struct ladder {
	const struct verify_request *request;
	char *blueprint_text;
	struct blueprint *blueprint;
	struct git_hash base_tree;
	struct git_hash head_tree;
	json_t *changes;  /* git_changes of base and head */
	json_t *inside;   /* {name: "service" | "database"} */
	json_t *snapshot; /* {"name", "version", "digest"}, or null */
	char *pinned;     /* "name/version": what every environment is forked from; NULL: no databases, or not known yet */
	json_t *suites;   /* {suite: {"base": result, "head": result}} (verify/suite.h) */
	json_t *sessions; /* [{"name", "digest", "requests", "held_out"}] that were replayed, or NULL */
	struct rehearsal *rehearsal; /* from the replay, for the gates after it (verify/rehearsal.h); NULL: there was none */
	json_t *base_run;            /* what they came to on the base */
	json_t *base_again;          /* the same, once more */
	json_t *coverage;            /* of the suites on the head (verify/mutate.h), or NULL */
	json_t *noise;
	json_t *not_covered;
	int64_t deadline_ms; /* elapsed */

	bool stop; /* atomic: cancelled or late */
	bool late;
	bool ending;
	pthread_t watcher;

	pthread_mutex_t mutex; /* for what follows: two sides of a gate work at once */
	json_t *artefacts;
	json_t *media;                /* those of them that people look at: verify.h */
	struct pressure_sum pressure; /* of the gate at work */
	struct env_id envs[LADDER_ENVS_MAX];
	size_t env_count;
	json_t *services_seen; /* {name: true} of whatever took part in an exchange */
	size_t room;           /* how many more environments the machine held beside one in the replay; 0: not known */
	int starting;          /* environments that come up just now */
	pthread_cond_t started;

	/* From the deploy gate, for the tests. */
	struct env_id base_env;
	struct env_id head_env;
	bool deployed;
	char overfilled[ERR_TEXT_MAX]; /* why the head's was stopped, when it filled its share of the disk; else "" */
};

/* One of the two versions, at work in a gate. */
struct side {
	struct ladder *ladder;
	const char *gate;
	const char *label; /* "base", "base again", "head", "head again" */
	const struct git_hash *commit;
	struct env_id env;
	int result; /* of the work: 0 or -1 with err */
	struct err err;
	json_t *run;          /* of a replay, owned */
	const void *argument; /* of the work */
};

/* A fresh environment of the commit with the base's blueprint; it is taken down at the end at the latest. A failure is tried once more. */
MUST_USE int ladder_env_up(struct side *side, struct err *err);
void ladder_env_down(struct ladder *ladder, struct env_id env);
#define SIDES_MAX 16 /* at once */
/* All of them, in their order, `at_once` at the same time (at most SIDES_MAX); returns when all have ended. */
void sides_run_some(void (*work)(struct side *side), struct side *const *sides, size_t count, size_t at_once);
/* How many sides may have an environment at once: as many as the machine holds, `fewest` at least. */
size_t ladder_at_once(const struct ladder *ladder, size_t fewest);
/* All at once. */
void sides_run(void (*work)(struct side *side), struct side *const *sides, size_t count);

bool ladder_stopped(const struct ladder *ladder);
int64_t ladder_left_ms(const struct ladder *ladder);
/* "<gate>: <what>" begins (ms < 0) or ended. */
void ladder_report(struct ladder *ladder, const char *gate, const char *what, const char *detail, int64_t ms);
/* Keeps bytes by their digest and lists them in the report; a failure to do so is logged only. */
void ladder_artefact(struct ladder *ladder, const char *name, struct view bytes);
/* Kept, and shown to people as `title`; of the same name the last one is. */
void ladder_media(struct ladder *ladder, const char *name, const char *title, const char *type, struct view bytes);
void ladder_artefact_json(struct ladder *ladder, const char *name, const json_t *json);
void ladder_not_covered(struct ladder *ladder, const char *format, ...) PRINTF_LIKE(2, 3);

void gate_reason(struct gate *gate, const char *format, ...) PRINTF_LIKE(2, 3);
void gate_count(struct gate *gate, const char *name, int64_t count);
void gate_count_add(struct gate *gate, const char *name, int64_t count);

/* The gates. Each returns 0 with its status set, or -1 when it could not tell (which makes it unstable with the error as reason). */
MUST_USE int gate_deploy(struct ladder *ladder, struct gate *gate, struct err *err);
MUST_USE int gate_tests(struct ladder *ladder, struct gate *gate, struct err *err);
MUST_USE int gate_red_green(struct ladder *ladder, struct gate *gate, struct err *err);
MUST_USE int gate_integrity(struct ladder *ladder, struct gate *gate, struct err *err);
MUST_USE int gate_scan(struct ladder *ladder, struct gate *gate, struct err *err);
MUST_USE int gate_replay(struct ladder *ladder, struct gate *gate, struct err *err);
/* A part of gate_replay(), where nothing blocks: what is answered later than by the base. */
MUST_USE int latency_judge(struct ladder *ladder, struct gate *gate, const json_t *again, const json_t *head, struct err *err);
MUST_USE int gate_migrations(struct ladder *ladder, struct gate *gate, struct err *err);
MUST_USE int gate_faults(struct ladder *ladder, struct gate *gate, struct err *err);
MUST_USE int gate_race(struct ladder *ladder, struct gate *gate, struct err *err);
MUST_USE int gate_visual(struct ladder *ladder, struct gate *gate, struct err *err);
MUST_USE int gate_mutation(struct ladder *ladder, struct gate *gate, struct err *err);

/* All paths of a commit's tree: [text]. Owned by the caller. */
json_t *tree_paths(struct ladder *ladder, const struct git_hash *commit, struct err *err);
/* Held-out and committed sessions: [{"name", "text", "held_out"}], sorted by name. What cannot be read is told in not_covered. */
json_t *sessions_read(struct ladder *ladder, struct err *err);

#endif
