/*
 * What must be true of runs, whatever happened.
 *
 * Theory of operation. Signals are how things are learned quickly; these rows are how they are learned at all, when a delivery was lost, a
 * machine died between two stores, or a person did something elsewhere. Each looks at the facts and does nothing when all is well. What
 * is on this machine is looked at by this control plane, what is in the store by one of those that share it.
 */
#include "flow/reconcile.h"

#include <stdio.h>

#include "base/log.h"
#include "base/scope.h"
#include "runs/remote.h"
#include "runs/runs_priv.h"
#include "runs/thread.h"
#include "store/list.h"

#define ISSUES_MS ((int64_t)60000)
#define PULLS_MS ((int64_t)30000)
#define QUESTIONS_MS ((int64_t)60000)
#define HOSTS_MS ((int64_t)300000)
#define THREADS_MS ((int64_t)60000)
#define RETAIN_MS ((int64_t)600000)
#define LEASES_MS ((int64_t)3600000)
#define LEASE_KEPT_MS ((int64_t)7 * 24 * 3600000)

/* Services take an agent that is silent for long for a dead one. */
static int threads(void *self, struct err *err)
{
	return threads_keep_alive(self, err);
}

static int environments(void *self, struct err *err)
{
	return run_environments_reconcile(self, err);
}

/* ---- issues: who is said to work on one does ---- */

/* Its run is over, or never was: a crash between taking the issue and storing the run. */
static int is_abandoned(struct runs *runs, const json_t *issue, bool *abandoned, struct err *err)
{
	const char *id = json_text(issue, "run", NULL);
	struct err absent = {0};
	AUTO_RUN run = {0};

	*abandoned = !id;
	if (!id)
		return 0;
	if (run_load(runs, id, &run, &absent)) {
		*abandoned = absent.kind == ERR_NOT_FOUND;
		return *abandoned ? 0 : err_set(err, absent.kind, "%s", absent.text);
	}
	*abandoned = run_is_over(&run);
	return 0;
}

static int issues(void *self, struct err *err)
{
	struct runs *runs = self;
	const struct list_ask ask = {.limit = LIST_LIMIT_MAX, .state = "working,review"};
	AUTO_JSON page = tracker_list(runs->tracker, &ask, err);
	size_t index;
	json_t *issue;

	if (!page)
		return -1;
	json_array_foreach(json_member(page, "items"), index, issue) {
		int64_t number = json_number(issue, "number", 0);
		AUTO_FREE char *item = text_format("%lld", (long long)number);
		bool abandoned = false;

		if (is_abandoned(runs, issue, &abandoned, err))
			return -1;
		if (!abandoned)
			continue;
		log_info("issue=%s run=%s: nobody works on it any more: open again", item, json_text(issue, "run", ""));
		if (tracker_set_state(runs->tracker, item, "open", err))
			return -1;
		change_add(runs, "issue", "number", V(number), "open");
	}
	return 0;
}

/* ---- pull requests: a run that waits for a person hears what the person did elsewhere ---- */

static int pull_look(struct runs *runs, const char *run, int64_t number, struct err *err)
{
	AUTO_JSON pull = forge_fetch(runs->forge, number, err);
	AUTO_JSON data = json_object();
	const char *state = json_text(pull, "state", "");
	AUTO_TX tx = {0};

	if (!pull)
		return -1;
	if (forge_state_of(pull) == FORGE_OPEN)
		return 0;
	if (store_begin(runs->store, &tx, err) ||
	    run_pull_in(runs, &tx, run, number, state, data, "note",
			json_pack("{s:o}", "text", json_sprintf("the pull request was %s", state)), err) ||
	    store_commit(&tx, err))
		return -1;
	runs_told(runs);
	return 0;
}

static json_t *waiting_list(struct runs *runs, struct err *err)
{
	AUTO_JSON items = json_array();
	AUTO_TX tx = {0};
	AUTO_ROWS rows = {0};

	if (store_begin_snapshot(runs->store, &tx, err) ||
	    store_query(
		    &tx, &rows,
		    "SELECT run.id, coalesce(run_part.pull, run.pull) FROM run JOIN flow ON flow.id = run.id LEFT JOIN run_part ON"
		    " run_part.run = run.id AND run_part.pull IS NOT NULL AND run_part.outcome IS NULL WHERE flow.name = ? AND"
		    " flow.status = 'waiting' AND flow.step = 'review' AND run.pull IS NOT NULL AND"
		    " (run.joined IS NULL OR run_part.pull IS NOT NULL)",
		    VALUES(V(run_definition.name)), err))
		return NULL;
	while (store_rows_next(&rows))
		(void)json_array_append_new(
			items, json_pack("{s:o, s:o}", "run", store_rows_json(&rows, 0), "pull", store_rows_json(&rows, 1)));
	return store_rows_finish(&rows, err) ? NULL : TAKE(items);
}

/* One that cannot be asked now keeps no other from being asked. */
static int pulls(void *self, struct err *err)
{
	AUTO_JSON waiting = waiting_list(self, err);
	int status = waiting ? 0 : -1;
	size_t index;
	json_t *item;

	json_array_foreach(waiting, index, item)
		if (pull_look(self, json_text(item, "run", ""), json_number(item, "pull", 0), err))
			status = -1;
	return status;
}

/* ---- questions: one of a run that is over waits for nobody ---- */

static int questions(void *self, struct err *err)
{
	struct runs *runs = self;
	int64_t now_ms = world_now_ms(runs->options.world);
	AUTO_TX tx = {0};

	if (store_begin(runs->store, &tx, err) ||
	    store_run(&tx,
		      "UPDATE question SET deadline_ms = ? WHERE answer IS NULL AND deadline_ms > ? AND EXISTS"
		      " (SELECT 1 FROM run WHERE run.id = question.run AND run.ended_ms IS NOT NULL)",
		      VALUES(V(now_ms), V(now_ms)), err))
		return -1;
	return store_commit(&tx, err);
}

static int retention(void *self, struct err *err)
{
	return runs_retain(self, err);
}

/* ---- leases: of control planes that are gone for good ---- */

static int leases(void *self, struct err *err)
{
	struct runs *runs = self;
	int64_t now_ms;
	AUTO_TX tx = {0};

	if (store_begin(runs->store, &tx, err) || store_now_ms(&tx, runs->options.world, &now_ms, err) ||
	    store_run(
		    &tx,
		    "DELETE FROM lease WHERE until_ms < ? AND NOT EXISTS (SELECT 1 FROM flow WHERE flow.status IN ('ready', 'waiting')"
		    " AND (flow.owner = lease.name OR flow.home = lease.name))",
		    VALUES(V(now_ms - LEASE_KEPT_MS)), err) ||
	    store_run(&tx, "DELETE FROM outbox_tenant WHERE blocked_until_ms < ?", VALUES(V(now_ms - LEASE_KEPT_MS)), err))
		return -1;
	return store_commit(&tx, err);
}

/* ---- control planes: what lived in one that is gone is begun again in another ---- */

/* The agent's work since its last commit, its session and the environment's data are lost: that is said. */
static int run_moves(void *self, struct store_tx *tx, const char *id, struct err *err)
{
	struct runs *runs = self;
	AUTO_RUN run = {0};

	if (run_read(tx, id, &run, err))
		return -1;
	if (run.environment &&
	    event_add_in(
		    runs, tx, id, "note",
		    json_pack(
			    "{s:o}", "text",
			    json_sprintf("its machine is gone: another one goes on from %s%.12s; what its environment %s held, and "
					 "what the agent had not committed, is lost",
					 run.head ? "commit " : "the base", run.head ? run.head : "", run.environment)),
		    err))
		return -1;
	return change_add_in(runs, tx, "run", "id", V(id), run.state, err);
}

static int planes(void *self, struct err *err)
{
	struct runs *runs = self;
	int64_t gone_ms = runs->options.takeover_ms ? runs->options.takeover_ms : RUNS_TAKEOVER_MS;
	int freed;

	if (flow_homes_free(runs->flow, gone_ms, &freed, run_moves, err))
		return -1;
	if (freed) {
		log_info("%d runs of a control plane that is gone are taken over", freed);
		runs_told(runs);
	}
	return 0;
}

int runs_reconcile(struct runs *runs, struct err *err)
{
	const char *plane = flows_plane(runs->flow)->lease.owner;
	AUTO_FREE char *here = text_format("environments of %s", plane);
	const struct reconciler table[] = {
		{here, 0, environments},
		{"issues", ISSUES_MS, issues},
		{"pulls", PULLS_MS, pulls},
		{"questions", QUESTIONS_MS, questions},
		{"leases", LEASES_MS, leases},
		{"code hosts", HOSTS_MS, remote_reconcile},
		{"threads", THREADS_MS, threads},
		{"retention", RETAIN_MS, retention},
		{"planes", 0, planes}, /* the last: where runs have no other home there is nothing to it */
	};
	size_t count = ARRAY_LEN(table) - !runs->options.repositories;
	int did;

	return reconcilers_work(runs->store, runs->options.world, plane, table, count, runs, &did, err);
}
