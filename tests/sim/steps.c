/* The steps of a run, as src/runs has them, over a world of chance: claim, fork, turn, verify, publish, review, close. */
#include <stdio.h>

#include "base/scope.h"
#include "sim.h"

/* Time passes in a step; meanwhile the other control plane may work, or our lease may run out. */
static int passes(const struct flow_visit *visit, struct err *err)
{
	struct plane_sim *self = sim.current;

	if (chance(30))
		crash_here();
	sim.clock_ms += 10 + (int64_t)pick(500);
	if (sim.depth == 0 && chance(8)) {
		if (chance(2)) {
			sim.clock_ms += PLANE_LIFE_MS + 1; /* we hung: others take over, and we go on without knowing */
			sim.takeovers++;
		}
		sim.depth++;
		if (chance(6))
			sim_stop(&sim.planes[self == &sim.planes[0]], visit->id);
		for (uint64_t i = pick(12); i > 0; i--)
			sim_work(&sim.planes[self == &sim.planes[0]]);
		sim.depth--;
		sim.current = self;
	}
	if (self->dead || __atomic_load_n(visit->cancelled, __ATOMIC_SEQ_CST))
		return err_set(err, ERR_CANCELLED, "asked to stop");
	return 0;
}

/* An effect of this visit, in a transaction of its own. */
static int effect_put(const struct flow_visit *visit, const char *what, const char *kind, bool chatter, struct err *err)
{
	char operation[OUTBOX_OPERATION_MAX];
	struct outbox_effect effect = {.operation = operation,
				       .tenant = "forge",
				       .target = visit->id,
				       .kind = kind,
				       .data = VIEW("{}"),
				       .chatter = chatter};
	AUTO_TX tx = {0};

	(void)snprintf(operation, sizeof(operation), "%s/%s/%d/%s", visit->id, visit->step, visit->visit, what);
	if (store_begin(sim.store, &tx, err) || outbox_put(&tx, sim_world(), &effect, err))
		return -1;
	return store_commit(&tx, err);
}

static int step_claim(void *self, struct flow_visit *visit, struct err *err)
{
	(void)self;
	visit->next = "fork";
	return passes(visit, err) || effect_put(visit, "started", "plain", false, err) ? -1 : 0;
}

/* What it made is found again by its owner: a step that begins again makes no second one. */
static int step_fork(void *self, struct flow_visit *visit, struct err *err)
{
	(void)self;
	visit->next = "turn";
	if (passes(visit, err))
		return -1;
	return room_count(visit->id) || !room_make(visit->id, err) ? 0 : -1;
}

static int undo_fork(void *self, struct flow_visit *visit, struct err *err)
{
	(void)self;
	return passes(visit, err) || room_remove(visit->id, err) ? -1 : 0;
}

static int step_turn(void *self, struct flow_visit *visit, struct err *err)
{
	(void)self;
	visit->next = "verify";
	for (int i = 0; i < 3; i++) {
		char what[16];

		(void)snprintf(what, sizeof(what), "thought-%d", i);
		if (passes(visit, err) || effect_put(visit, what, "known", true, err))
			return -1;
	}
	return chance(20) ? err_set(err, ERR_RETRY, "the model is overloaded") : 0;
}

static int step_verify(void *self, struct flow_visit *visit, struct err *err)
{
	(void)self;
	visit->next = chance(4) && visit->visit < 3 ? "turn" : "publish";
	return passes(visit, err);
}

/* Puts the pull request and waits until it is known to be there. */
static int step_publish(void *self, struct flow_visit *visit, struct err *err)
{
	AUTO_TX tx = {0};
	char operation[OUTBOX_OPERATION_MAX];
	int64_t sent = 0;
	int64_t dead = 0;

	(void)self;
	(void)snprintf(operation, sizeof(operation), "%s/%s/%d/pull", visit->id, visit->step, visit->visit);
	if (passes(visit, err) || effect_put(visit, "pull", "known", false, err) || store_begin(sim.store, &tx, err) ||
	    store_number_get(&tx, &sent, 0, "SELECT count(*) FROM outbox WHERE operation = ? AND status = 'sent'",
			     VALUES(V(operation)), err) ||
	    store_number_get(&tx, &dead, 0, "SELECT count(*) FROM outbox WHERE operation = ? AND status = 'dead'",
			     VALUES(V(operation)), err))
		return -1;
	if (dead)
		return err_set(err, ERR_INVALID, "the forge does not take the pull request");
	visit->park = !sent;
	visit->next = sent ? "review" : NULL;
	/* What a person says waits for review; that the pull request is there has been seen: so the line is emptied of it alone. */
	if (store_run(&tx, "UPDATE flow_signal SET taken = 1 WHERE flow = ? AND kind = 'sent'", VALUES(V(visit->id)), err) ||
	    store_commit(&tx, err))
		return -1;
	return passes(visit, err); /* whatever comes now must not be slept over */
}

/* What was decided in this visit by a try that died after its commit; "" when nothing was. */
static int decided_read(struct store_tx *tx, const char *visit, char decided[16], struct err *err)
{
	AUTO_ROWS rows = {0};

	decided[0] = '\0';
	if (store_query(tx, &rows, "SELECT data FROM change WHERE kind = ?", VALUES(V(visit)), err))
		return -1;
	if (store_rows_next(&rows))
		(void)snprintf(decided, 16, "%s", store_rows_text(&rows, 0));
	return store_rows_finish(&rows, err);
}

/* Merge is final, changes go back to the agent, the rest is read and forgotten. */
static void decide(const json_t *signals, char decided[16])
{
	size_t index;
	json_t *signal;

	json_array_foreach(signals, index, signal) {
		const char *kind = json_text(signal, "kind", "");

		if (strcmp(kind, "merge") == 0 || (strcmp(kind, "changes") == 0 && strcmp(decided, "close") != 0))
			(void)snprintf(decided, 16, "%s", *kind == 'm' ? "close" : "turn");
	}
}

static int step_review(void *self, struct flow_visit *visit, struct err *err)
{
	AUTO_JSON signals = NULL;
	AUTO_TX tx = {0};
	char name[64];
	char decided[16];

	(void)self;
	(void)snprintf(name, sizeof(name), "%s/review/%d", visit->id, visit->visit);
	if (passes(visit, err) || store_begin(sim.store, &tx, err) || decided_read(&tx, name, decided, err))
		return -1;
	if (!decided[0]) {
		if (flow_signals_take(&tx, visit->id, &signals, err))
			return -1;
		decide(signals, decided);
		if (decided[0] && store_run(&tx, "INSERT INTO change (time_ms, kind, data) VALUES (?, ?, ?)",
					    VALUES(V(sim.clock_ms), V(name), V((const char *)decided)), err))
			return -1;
	}
	visit->park = !decided[0];
	visit->next = strcmp(decided, "close") == 0 ? "close" : decided[0] ? "turn" : NULL;
	if (flow_timer_set(&tx, visit->id, "remind", visit->park ? sim.clock_ms + 60000 : 0, err) || store_commit(&tx, err))
		return -1;
	return passes(visit, err);
}

static int step_close(void *self, struct flow_visit *visit, struct err *err)
{
	(void)self;
	return passes(visit, err) || room_remove(visit->id, err) || effect_put(visit, "closed", "plain", false, err) ? -1 : 0;
}

static const struct flow_step steps[] = {
	{.name = "claim", .next = {"fork"}, .act = step_claim, .tries_max = 50},
	{.name = "fork", .next = {"turn"}, .act = step_fork, .tries_max = 50, .undo = undo_fork},
	{.name = "turn", .next = {"verify"}, .act = step_turn, .tries_max = 50},
	{.name = "verify", .next = {"turn", "publish"}, .act = step_verify, .tries_max = 50},
	{.name = "publish", .next = {"review"}, .act = step_publish, .tries_max = 50},
	{.name = "review", .next = {"turn", "close"}, .act = step_review, .tries_max = 50},
	{.name = "close", .next = {NULL}, .act = step_close, .tries_max = 50},
};

const struct flow_definition sim_definition = {"sim", steps, ARRAY_LEN(steps), NULL, NULL};

bool step_may_go(const char *step, const char *next)
{
	for (size_t i = 0; i < ARRAY_LEN(steps); i++)
		for (size_t k = 0; strcmp(steps[i].name, step) == 0 && steps[i].next[k]; k++)
			if (strcmp(steps[i].next[k], next) == 0)
				return true;
	return false;
}

/* ---- what comes in, and what went out ---- */

int sim_inbox_act(void *self, struct store_tx *tx, const struct inbox_message *message, struct err *err)
{
	struct plane_sim *plane = self;
	AUTO_FREE char *run = view_copy(message->data);
	AUTO_JSON data = json_object();
	int64_t there = 0;

	if (chance(30))
		return err_set(err, ERR_RETRY, "not now");
	if (store_number_get(tx, &there, 0, "SELECT count(*) FROM flow WHERE id = ?", VALUES(V(run)), err) ||
	    store_run(tx, "INSERT INTO change (time_ms, kind, data) VALUES (1, 'acted', ?)", VALUES(V(message->content)), err))
		return -1;
	/* Messages overtake each other: whichever comes first begins the run. */
	if (!there && flow_start(plane->flow, tx, run, (struct flow_line){.tenant = run, .repository = "shop"}, err))
		return -1;
	return strcmp(message->kind, "opened") == 0 ? 0 : flow_signal(plane->flow, tx, run, message->kind, data, err);
}

int sim_settled(void *self, struct store_tx *tx, const struct outbox_effect *effect, const char *answer, const struct err *failure,
		struct err *err)
{
	struct plane_sim *plane = self;
	AUTO_JSON data = json_object();

	(void)answer;
	(void)failure;
	return strstr(effect->operation, "/pull") ? flow_signal(plane->flow, tx, effect->target, "sent", data, err) : 0;
}

/* ---- what must be true ---- */

/* A control plane that hung past its lease may have made a room when its run was over already: rooms of runs that are over go. */
static int rooms_reconcile(void *self, struct err *err)
{
	(void)self;
	for (int i = 0; i < sim.room_count; i++) {
		AUTO_TX tx = {0};
		int64_t alive = 1;

		if (!sim.rooms[i].alive)
			continue;
		if (store_begin(sim.store, &tx, err) ||
		    store_number_get(&tx, &alive, 0, "SELECT count(*) FROM flow WHERE id = ? AND status IN ('ready', 'waiting')",
				     VALUES(V((const char *)sim.rooms[i].owner)), err))
			return -1;
		store_abort(&tx);
		if (!alive && room_remove(sim.rooms[i].owner, err))
			return -1;
	}
	return 0;
}

const struct reconciler sim_reconcilers[] = {{"rooms", 30000, rooms_reconcile}};
const size_t sim_reconciler_count = ARRAY_LEN(sim_reconcilers);
