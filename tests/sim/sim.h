/*
 * sim: a world that is made of one number. Clock, chance, the network, the forge, the rooms and the crashes of two control planes all
 * follow from the seed; the store, the engine, the inbox and the outbox are the real ones, over SQLite in memory.
 *
 * What is outside (struct world_outside) outlives every crash. A crash makes each store call of a control plane fail from then on, as a
 * kill -9 would: what was not committed is gone; the plane is opened again later, or the other one takes over.
 */
#ifndef ASSAY_TESTS_SIM_H
#define ASSAY_TESTS_SIM_H

#include "flow/flow.h"
#include "flow/inbox.h"
#include "flow/outbox.h"
#include "flow/reconcile.h"

#define PLANES 2
#define RUNS 6
#define ROOMS_MAX 256
#define EFFECTS_MAX 4096
#define MAILS_MAX 256

struct room {
	char owner[16];
	bool alive;
};

/* An effect as the forge saw it. */
struct effect {
	char operation[96];
	char target[32];
	int applied;
	bool chatter;
};

/* A message on its way to us; it is sent again until it is answered. */
struct mail {
	char delivery[32];
	char content[32];
	char run[16];
	const char *kind;
	int64_t due_ms;
	bool answered;
};

struct plane_sim {
	struct flows *flow;
	struct outbox outbox;
	struct inbox inbox;
	char name[8];
	bool dead;
	int64_t faults_in; /* store calls until it dies; 0: it does not */
};

struct sim {
	uint64_t seed, state;
	int64_t clock_ms;
	bool calm;     /* nothing fails any more: the end must be reached */
	bool immortal; /* no control plane dies in this world, and the store fails more often */
	struct store *store;
	struct plane_sim planes[PLANES];
	struct plane_sim *current;
	int depth; /* planes that work while another's step takes its time */

	struct room rooms[ROOMS_MAX];
	int room_count;
	struct effect effects[EFFECTS_MAX];
	int effect_count;
	struct mail mails[MAILS_MAX];
	int mail_count;
	bool stop_asked[RUNS];
	bool merged[RUNS];
	int crashes, takeovers, resent, doubled;
};

extern struct sim sim;

/* One in `n`, never when it is calm. */
bool chance(uint32_t n);
uint64_t pick(uint64_t below);
/* Ends the program: says the seed and what is wrong. */
void broken(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
void crash_here(void); /* the control plane at work dies */
struct world sim_world(void);
void sim_work(struct plane_sim *plane); /* one thing, of any kind */
void sim_stop(struct plane_sim *plane, const char *run);

/* ---- steps.c ---- */
extern const struct flow_definition sim_definition;
int sim_inbox_act(void *self, struct store_tx *tx, const struct inbox_message *message, struct err *err);
int sim_settled(void *self, struct store_tx *tx, const struct outbox_effect *effect, const char *answer, const struct err *failure,
		struct err *err);
extern const struct reconciler sim_reconcilers[];
extern const size_t sim_reconciler_count;
/* ---- outside.c ---- */
int forge_send(void *self, const struct outbox_effect *effect, struct outbox_answer *answer, struct err *err);
int forge_happened(void *self, const struct outbox_effect *effect, bool *did, struct outbox_answer *answer, struct err *err);
int room_make(const char *run, struct err *err);
int room_remove(const char *run, struct err *err);
int room_count(const char *run);
void mail_send(const char *run, const char *kind, int nth);
void mail_deliver(struct plane_sim *plane);
/* ---- check.c ---- */
/* A number from the store, with nothing failing. */
int64_t stored(const char *sql, const struct store_value *values, size_t count);
void invariants(void);
void end_check(void);
bool step_may_go(const char *step, const char *next);

#endif
