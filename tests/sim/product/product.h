/*
 * product: a world that is made of one number, in which all of src/runs is real: its steps, its inbox and outbox, its reconcilers, the
 * built-in tracker and forge, those of Linear and GitHub, on the real engine and store. Faked at link time: environments and agents, the verifier,
 * the vault, git, and what is on the other end of HTTP (outside.h).
 *
 * Two control planes share a store and a folder of repositories; each has a machine with environments of its own. A crash makes every store
 * call of a control plane fail from then on, as a kill -9 would; its machine stays, or is lost with all that was on it.
 */
#ifndef ASSAY_TESTS_SIM_PRODUCT_H
#define ASSAY_TESTS_SIM_PRODUCT_H

#include "runs/runs_priv.h"

#define PLANES 2
#define ENVS_MAX 1024
#define COMMITS_MAX 8192
#define REFS_MAX 1024
#define MAILS_MAX 512
#define CALLS_MAX 16384
#define ISSUES 5 /* started by mail */

/* A machine, and the control plane on it; what the fakes are given as `struct environments`. */
struct plane_sim {
	struct runs *runs;
	struct forge forge; /* the real one, behind one that fails */
	struct tracker tracker;
	char name[8];
	char state_dir[96];
	bool dead;
	bool working; /* it is in the middle of something */
	bool lost;    /* its machine is gone, and comes back empty */
	int64_t faults_in;
	int64_t away_until_ms;
};

struct env_sim {
	struct plane_sim *machine;
	char id[ID_TEXT_MAX];
	char owner[ID_TEXT_MAX];
	char content[64];
	char repository[64];
	bool alive;
	bool frozen;
};

struct mail {
	char delivery[32];
	char *body;
	int64_t due_ms;
	bool answered;
};

struct world_sim {
	uint64_t seed, state;
	int64_t clock_ms;
	uint64_t hash; /* of all that happened: the same seed gives the same one */
	bool calm;
	bool immortal;
	int candidates; /* of each issue; 1: it is worked on by one run */
	struct store *store;
	struct plane_sim planes[PLANES];
	struct plane_sim *current;
	int depth;
	bool looked; /* atomic: a turn has looked for messages while its agent runs */

	struct env_sim envs[ENVS_MAX];
	int env_count;
	struct mail mails[MAILS_MAX];
	int mail_count;
	char secret[64];
	char connection[32];
	char *prompts; /* all that any agent was told */
	size_t prompts_length, prompts_size;
	char stops[64][ID_TEXT_MAX];
	int stop_count;
	bool receiver_down;
	char calls[CALLS_MAX][32]; /* ids that the receiver of webhooks has seen, in order */
	int call_count, call_doubles;
	struct err refusal; /* why what waits was not merged, when it was tried last */
	int crashes, losses, hangs, turns, resent;
};

extern struct world_sim sim;

bool chance(uint32_t n); /* one in `n`; never when it is calm */
uint64_t pick(uint64_t below);
void broken(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
struct world sim_world(void);
void note(const char *what); /* into the hash */
/* Time passes in the middle of a step, and others work meanwhile. */
void meanwhile(struct plane_sim *plane);
/* -1: the machine is off. */
MUST_USE int alive_check(struct plane_sim *plane, struct err *err);
MUST_USE int maybe_fails(uint32_t n, const char *what, struct err *err);
bool was_told(const char *text);  /* was any agent? */
void stop_note(const char *what); /* somebody asks for it: a run's id, or github/NUMBER for those of an issue there */

/* ---- fake_git.c ---- */
void git_reset(void);
const char *git_content(const char *hash);
bool git_holds(const char *main, const char *hash); /* is it an ancestor? */
/* Of a repository: a path, or a name. */
const char *git_ref(const char *repository, const char *name);    /* NULL: there is none */
const char *git_main(const char *repository);                     /* where it is merged: at GitHub, if it is there */
int git_parents_merged(const char *repository, const char *head); /* how often was it merged into main */
const char *git_commit_make(const char *parent, const char *other, const char *content);
void git_ref_put(const char *repository, const char *name, const char *hash);

/* ---- fake_host.c ---- */
void machine_lose(struct plane_sim *plane);
int envs_of(const char *run, const struct plane_sim *machine); /* NULL: on any */

/* ---- check.c ---- */
int64_t stored(const char *sql, const struct store_value *values, size_t count);
void invariants(void);
void end_check(void);

#endif
