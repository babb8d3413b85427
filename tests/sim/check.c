/* What must always be true, and what must be true at the end. */
#include <stdio.h>

#include "base/scope.h"
#include "sim.h"

/* A number from the store, with nothing failing. */
int64_t stored(const char *sql, const struct store_value *values, size_t count)
{
	struct plane_sim *at = sim.current;
	struct err err = {0};
	int64_t found = -1;
	AUTO_TX tx = {0};

	sim.current = NULL;
	if (store_begin(sim.store, &tx, &err) || store_number_get(&tx, &found, 0, sql, values, count, &err))
		broken("the store: %s", err.text);
	store_abort(&tx);
	sim.current = at;
	return found;
}

static void events_check(void)
{
	struct plane_sim *at = sim.current;
	struct err err = {0};
	AUTO_TX tx = {0};

	sim.current = NULL;
	if (store_begin(sim.store, &tx, &err) || flows_check(&tx, &err))
		broken("%s", err.text);
	store_abort(&tx);
	sim.current = at;
}

/* Each workflow went only where its steps may go, from a step that it was in. */
static void moves_check(void)
{
	struct plane_sim *at = sim.current;
	AUTO_TX tx = {0};
	AUTO_ROWS rows = {0};

	sim.current = NULL;
	if (store_begin(sim.store, &tx, NULL) ||
	    store_query(&tx, &rows, "SELECT flow, step, next, seq FROM flow_event WHERE kind = 'went' AND next IS NOT NULL",
			NO_VALUES, NULL))
		broken("the store does not answer");
	while (store_rows_next(&rows))
		if (!step_may_go(store_rows_text(&rows, 1), store_rows_text(&rows, 2)))
			broken("%s went from %s to %s in event %lld", store_rows_text(&rows, 0), store_rows_text(&rows, 1),
			       store_rows_text(&rows, 2), (long long)store_rows_number(&rows, 3));
	sim.current = at;
}

static void order_check(void)
{
	for (int i = 0; i < sim.effect_count; i++)
		if (sim.effects[i].applied > 1)
			broken("%s happened %d times", sim.effects[i].operation, sim.effects[i].applied);
}

void invariants(void)
{
	order_check();
	for (int i = 0; i < RUNS; i++) {
		char run[16];

		(void)snprintf(run, sizeof(run), "r%d", i);
		if (room_count(run) > 1 + sim.takeovers)
			broken("%s has %d rooms", run, room_count(run));
		if (room_count(run) && !stored("SELECT count(*) FROM flow WHERE id = ?", VALUES(V(run))))
			broken("a room of %s, which does not exist", run);
	}
	if (stored("SELECT count(*) FROM (SELECT data FROM change WHERE kind = 'acted' GROUP BY data HAVING count(*) > 1) AS twice",
		   NO_VALUES))
		broken("a message was acted on twice");
	if (stored("SELECT count(*) FROM flow WHERE status = 'waiting' AND ending IS NOT NULL", NO_VALUES))
		broken("a workflow that is to stop sleeps");
	if (chance(16) || sim.calm)
		events_check();
}

static void run_end_check(int index)
{
	char run[16];
	int64_t done;
	int64_t failed;
	int64_t stopped;
	int closed = 0;

	(void)snprintf(run, sizeof(run), "r%d", index);
	done = stored("SELECT count(*) FROM flow WHERE id = ? AND status = 'done'", VALUES(V(run)));
	failed = stored("SELECT count(*) FROM flow WHERE id = ? AND status = 'failed' AND error <> ''", VALUES(V(run)));
	stopped = stored("SELECT count(*) FROM flow WHERE id = ? AND status = 'stopped'", VALUES(V(run)));
	for (int i = 0; i < sim.effect_count; i++)
		closed += strcmp(sim.effects[i].target, run) == 0 && strstr(sim.effects[i].operation, "/closed") != NULL;
	if (done + failed + stopped != 1)
		broken("%s was lost: it never ended", run);
	if (stopped && !sim.stop_asked[index])
		broken("%s was stopped, and nobody had asked", run);
	if (room_count(run))
		broken("%s is over and has %d rooms", run, room_count(run));
	if (done && closed != 1)
		broken("%s is done and was closed %d times", run, closed);
	if (done &&
	    !stored("SELECT count(*) FROM outbox WHERE target = ? AND operation LIKE '%/pull' AND status = 'sent'", VALUES(V(run))))
		broken("%s is done without a pull request", run);
}

void end_check(void)
{
	events_check();
	moves_check();
	for (int i = 0; i < sim.mail_count; i++) {
		if (!sim.mails[i].answered)
			broken("the message %s was never taken", sim.mails[i].content);
		if (stored("SELECT count(*) FROM change WHERE kind = 'acted' AND data = ?",
			   VALUES(V((const char *)sim.mails[i].content))) != 1)
			broken("the message %s was taken and never acted on", sim.mails[i].content);
	}
	for (int i = 0; i < RUNS; i++)
		run_end_check(i);
	if (stored("SELECT count(*) FROM outbox WHERE status = 'queued' OR (status IN ('dropped', 'dead') AND chatter = 0)",
		   NO_VALUES))
		broken("an effect that is no chatter was not sent");
	for (int i = 0; i < sim.effect_count; i++)
		if (sim.effects[i].applied && !sim.effects[i].chatter &&
		    stored("SELECT count(*) FROM outbox WHERE operation = ? AND status = 'sent'",
			   VALUES(V((const char *)sim.effects[i].operation))) != 1)
			broken("%s happened, and we do not know it", sim.effects[i].operation);
}
