/*
 * sim: `sim [--seed N | --seeds COUNT [--from N]] [--trace]`. Each seed is a world of its own (sim.h); a broken promise ends the program
 * with the seed, and the same seed breaks it again.
 *
 * What is modelled: the steps of src/runs, their rooms, the forge, the messages. What is real: src/store, src/flow with its inbox and
 * outbox. tests/unit/runs_runs.c crashes the real steps of src/runs at every store call.
 */
#include "sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/fault.h"
#include "base/log.h"

#define SEEDS 500
#define SEEDS_LONG 10000
#define ACTIONS 500
#define CALM_ACTIONS 6000

struct sim sim;

/* ---- chance, and the clock ---- */

/* splitmix64, Steele, Lea and Flood 2014 */
static uint64_t next_random(void)
{
	uint64_t mixed = sim.state += 0x9e3779b97f4a7c15;

	mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9;
	mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
	return mixed ^ mixed >> 31;
}

uint64_t pick(uint64_t below)
{
	return next_random() % below;
}

bool chance(uint32_t n)
{
	return next_random() % n == 0 && !sim.calm;
}

static int64_t now(void *self)
{
	(void)self;
	return sim.clock_ms;
}

static void fill(void *self, void *at, size_t length)
{
	(void)self;
	for (size_t i = 0; i < length; i++)
		((unsigned char *)at)[i] = (unsigned char)next_random();
}

struct world sim_world(void)
{
	static const struct world_ops ops = {now, now, fill};

	return (struct world){&ops, NULL};
}

void broken(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)fprintf(stderr, "seed %llu: ", (unsigned long long)sim.seed);
	(void)vfprintf(stderr, format, args);
	(void)fprintf(stderr, "\nagain: sim --seed %llu\n", (unsigned long long)sim.seed);
	va_end(args);
	_Exit(1);
}

/* ---- crashes ---- */

void crash_here(void)
{
	if (sim.current && !sim.calm && !sim.immortal)
		sim.current->dead = true;
}

/* Each store call of a control plane that is dead fails; one of them kills it. */
static bool fault(const char *name)
{
	struct plane_sim *plane = sim.current;

	if (!plane)
		return false;
	if (!plane->dead && plane->faults_in > 0 && --plane->faults_in == 0 && !sim.calm && !sim.immortal)
		plane->dead = true;
	return plane->dead ||
	       (strcmp(name, "store.committed") != 0 && chance(sim.immortal ? 60 : 800)); /* or it did not answer once */
}

/* ---- control planes ---- */

static void plane_close_sim(struct plane_sim *plane)
{
	sim.current = plane;
	flows_close(plane->flow);
	plane->flow = NULL;
	sim.current = NULL;
}

static void plane_open_sim(struct plane_sim *plane)
{
	struct flow_options options = {.store = sim.store,
				       .definition = &sim_definition,
				       .self = plane,
				       .world = sim_world(),
				       .plane = plane->name,
				       .repository_max = 4};

	sim.current = plane;
	plane->dead = false;
	plane->faults_in = chance(2) ? 1 + (int64_t)pick(600) : 0;
	plane->flow = NULL;
	if (flows_open(&options, &plane->flow, NULL))
		plane->dead = true; /* it died while it began */
	else
		plane->outbox = (struct outbox){.store = sim.store,
						.world = sim_world(),
						.plane = flows_plane(plane->flow),
						.send = forge_send,
						.happened = forge_happened,
						.settled = sim_settled,
						.self = plane};
	plane->inbox = (struct inbox){sim.store, sim_world(), sim_inbox_act, plane};
	sim.current = NULL;
}

static void complain(const struct err *err)
{
	if (err->kind == ERR_BROKEN || err->kind == ERR_INVALID)
		broken("%s", err->text);
}

void sim_work(struct plane_sim *plane)
{
	struct err err = {0};
	int tried;
	bool did;

	if (plane->dead || !plane->flow)
		return;
	sim.current = plane;
	switch (pick(9)) {
	case 0:
		if (reconcilers_work(sim.store, sim_world(), plane->name, sim_reconcilers, sim_reconciler_count, plane, &tried,
				     &err))
			complain(&err);
		break;
	case 1:
	case 2:
		if (inbox_work(&plane->inbox, &did, &err))
			complain(&err);
		break;
	case 3:
	case 4:
		if (outbox_work(&plane->outbox, &did, &err))
			complain(&err);
		break;
	default:
		if (flows_work_on(plane->flow, 1 + (int)pick(3), &did, &err))
			complain(&err);
		break;
	}
	sim.current = NULL;
}

void sim_stop(struct plane_sim *plane, const char *run)
{
	struct err err = {0};

	if (plane->dead || !plane->flow)
		return;
	sim.current = plane;
	sim.stop_asked[run[1] - '0'] = true; /* even when its answer is lost */
	if (flow_stop(plane->flow, run, &err))
		complain(&err);
	sim.current = NULL;
}

/* ---- one world ---- */

static void people(void)
{
	int index = (int)pick(RUNS);
	char run[16];

	(void)snprintf(run, sizeof(run), "r%d", index);
	if (chance(3))
		mail_send(run, "changes", sim.mail_count);
	else if (chance(3))
		mail_send(run, "comment", sim.mail_count);
	if (chance(12))
		sim_stop(&sim.planes[0], run);
}

static void action(void)
{
	struct plane_sim *plane = &sim.planes[pick(PLANES)];

	sim.clock_ms += 1 + (int64_t)pick(300);
	if (plane->dead || !plane->flow) {
		if (sim.calm || chance(6)) {
			sim.crashes++;
			if (plane->flow)
				plane_close_sim(plane);
			plane_open_sim(plane);
		}
		return;
	}
	if (plane->faults_in == 0 && chance(60))
		plane->faults_in = 1 + (int64_t)pick(40);
	if (chance(12))
		people();
	mail_deliver(plane);
	sim.current = NULL;
	sim_work(plane);
}

static bool is_over(void)
{
	AUTO_TX tx = {0};
	int64_t open_count = -1;

	sim.current = NULL;
	for (int i = 0; i < sim.mail_count; i++)
		if (!sim.mails[i].answered)
			return false;
	if (store_begin(sim.store, &tx, NULL) ||
	    store_number_get(
		    &tx, &open_count, -1,
		    "SELECT (SELECT count(*) FROM flow WHERE status IN ('ready', 'waiting')) +"
		    " (SELECT count(*) FROM inbox WHERE status = 'new') + (SELECT count(*) FROM outbox WHERE status = 'queued')",
		    NO_VALUES, NULL))
		broken("the store does not answer");
	return open_count == 0;
}

static void world_begin(uint64_t seed)
{
	struct err err = {0};

	memset(&sim, 0, sizeof(sim));
	sim.seed = sim.state = seed;
	sim.clock_ms = 1000000;
	sim.immortal = seed % 4 == 0;
	fault_hook = fault;
	if (store_open(":memory:", &sim.store, &err))
		broken("%s", err.text);
	for (int i = 0; i < PLANES; i++) {
		(void)snprintf(sim.planes[i].name, sizeof(sim.planes[i].name), "p%d", i);
		plane_open_sim(&sim.planes[i]);
	}
	for (int i = 0; i < RUNS; i++) {
		char run[16];

		(void)snprintf(run, sizeof(run), "r%d", i);
		mail_send(run, "opened", 0);
	}
}

static void world_end(void)
{
	for (int i = 0; i < PLANES; i++)
		if (sim.planes[i].flow)
			plane_close_sim(&sim.planes[i]);
	store_close(sim.store);
}

/* A person merges what waits for one. */
static void merge_what_waits(void)
{
	for (int i = 0; i < RUNS; i++) {
		char run[16];

		(void)snprintf(run, sizeof(run), "r%d", i);
		if (!sim.merged[i] &&
		    stored("SELECT count(*) FROM flow WHERE id = ? AND step = 'review' AND status = 'waiting'", VALUES(V(run)))) {
			sim.merged[i] = true;
			mail_send(run, "merge", 0);
		}
	}
}

static void world_live(uint64_t seed)
{
	world_begin(seed);
	for (int i = 0; i < ACTIONS; i++) {
		action();
		invariants();
	}
	/* Nothing fails from here on, and every run is merged: all must come to an end. */
	sim.calm = true;
	for (int i = 0; !is_over(); i++) {
		if (i == CALM_ACTIONS)
			broken("it does not come to an end");
		if (i % 50 == 0)
			merge_what_waits();
		action();
		sim.clock_ms += 1000;
	}
	for (int i = 0; i < CALM_ACTIONS / 20; i++) { /* and what a hung control plane left is tidied within an interval */
		action();
		sim.clock_ms += 1000;
	}
	invariants();
	end_check();
	world_end();
}

int main(int argc, char **argv)
{
	uint64_t from = 1;
	uint64_t count = getenv("ASSAY_LONG") ? SEEDS_LONG : SEEDS;
	int64_t crashes = 0;
	int64_t takeovers = 0;
	int64_t resent = 0;
	int64_t doubled = 0;

	log_init("sim", LOG_LEVEL_ERROR);
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--trace") == 0) {
			log_init("sim", LOG_LEVEL_DEBUG);
		} else if (i + 1 < argc && strcmp(argv[i], "--seed") == 0) {
			from = strtoull(argv[++i], NULL, 10);
			count = 1;
		} else if (i + 1 < argc && strcmp(argv[i], "--seeds") == 0) {
			count = strtoull(argv[++i], NULL, 10);
		} else if (i + 1 < argc && strcmp(argv[i], "--from") == 0) {
			from = strtoull(argv[++i], NULL, 10);
		} else {
			(void)fprintf(stderr, "usage: sim [--seed N | --seeds COUNT [--from N]] [--trace]\n");
			return 2;
		}
	}
	for (uint64_t seed = from; seed < from + count; seed++) {
		world_live(seed);
		crashes += sim.crashes;
		takeovers += sim.takeovers;
		resent += sim.resent;
		doubled += sim.doubled;
	}
	printf("%llu worlds: %lld crashes, %lld hangs past the lease, %lld effects sent again, %lld messages known already\n",
	       (unsigned long long)count, (long long)crashes, (long long)takeovers, (long long)resent, (long long)doubled);
	return 0;
}
