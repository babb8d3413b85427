/* What must always be true of runs, and what must be true at the end. */
#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"
#include "outside.h"

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

/* Statements that must find nothing. */
static void nothing(const char *sql, const char *means)
{
	int64_t found = stored(sql, NO_VALUES);

	if (found)
		broken("%s (%lld)", means, (long long)found);
}

/* ---- always ---- */

static void events_check(void)
{
	struct err err = {0};
	AUTO_TX tx = {0};

	if (store_begin(sim.store, &tx, &err) || flows_check(&tx, &err))
		broken("%s", err.text);
}

/* Each record names the one of its repository before it. */
static void records_check(void)
{
	char previous[65] = "";
	AUTO_FREE char *repository = NULL;
	AUTO_TX tx = {0};
	AUTO_ROWS rows = {0};

	if (store_begin(sim.store, &tx, NULL) ||
	    store_query(&tx, &rows, "SELECT envelope, digest, repository FROM record ORDER BY repository, seq", NO_VALUES, NULL))
		broken("the store does not answer");
	while (store_rows_next(&rows)) {
		AUTO_JSON envelope = json_parse(view_of(store_rows_text(&rows, 0)), NULL);

		if (!repository || strcmp(repository, store_rows_text(&rows, 2)) != 0) {
			free(repository);
			repository = text_copy(store_rows_text(&rows, 2));
			previous[0] = '\0';
		}
		if (strcmp(json_text(envelope, "previous", "?"), previous) != 0)
			broken("the chain of records is torn at %s", store_rows_text(&rows, 1));
		(void)snprintf(previous, sizeof(previous), "%s", store_rows_text(&rows, 1));
	}
}

/* What a pull request says is so. */
static void pulls_check(void)
{
	AUTO_TX tx = {0};
	AUTO_ROWS rows = {0};

	if (store_begin(sim.store, &tx, NULL) ||
	    store_query(&tx, &rows, "SELECT number, state, draft, verdict, head, merged, repository FROM pull", NO_VALUES, NULL))
		broken("the store does not answer");
	while (store_rows_next(&rows)) {
		long long number = (long long)store_rows_number(&rows, 0);
		const char *state = store_rows_text(&rows, 1);
		const char *head = store_rows_text(&rows, 4);
		const char *repository = store_rows_text(&rows, 6);
		bool verified = strcmp(store_rows_text(&rows, 3), "verified") == 0;

		if (verified && strncmp(git_content(head), "good", 4) != 0)
			broken("pull request %lld is said to be verified: %s", number, git_content(head));
		if (!verified && !store_rows_number(&rows, 2) && strcmp(state, "open") == 0)
			broken("pull request %lld is not verified and no draft", number);
		if (strcmp(state, "merged") == 0 &&
		    (!store_rows_text(&rows, 5) || !git_holds(git_main(repository), store_rows_text(&rows, 5))))
			broken("pull request %lld of %s is said to be merged, and main does not have %s", number, repository,
			       store_rows_text(&rows, 5));
		if (git_parents_merged(repository, head) > 1)
			broken("pull request %lld was merged %d times", number, git_parents_merged(repository, head));
	}
}

static void environments_check(void)
{
	for (int i = 0; i < sim.env_count; i++) {
		struct env_sim *env = &sim.envs[i];

		if (!env->alive)
			continue;
		if (!stored("SELECT count(*) FROM run WHERE id = ?", VALUES(V((const char *)env->owner))))
			broken("environment %s has no run", env->id);
		if (envs_of(env->owner, env->machine) > 2 + sim.hangs)
			broken("run %s has %d environments on one machine", env->owner, envs_of(env->owner, env->machine));
	}
}

void invariants(void)
{
	struct plane_sim *at = sim.current;

	sim.current = NULL;
	nothing("SELECT count(*) FROM (SELECT branch FROM pull GROUP BY repository, branch HAVING count(*) > 1) AS twice",
		"a branch has two pull requests");
	nothing("SELECT count(*) FROM (SELECT head FROM record GROUP BY run, head, attempt HAVING count(*) > 1) AS twice",
		"a head has two records");
	nothing("SELECT count(*) FROM (SELECT title FROM issue WHERE title LIKE 'mail %' GROUP BY title HAVING count(*) > 1) AS twice",
		"a delivery started two runs");
	nothing("SELECT count(*) FROM run WHERE NOT EXISTS (SELECT 1 FROM flow WHERE flow.id = run.id)", "a run is nobody's work");
	nothing("SELECT count(*) FROM flow WHERE status = 'waiting' AND ending IS NOT NULL", "a run that is to stop sleeps");
	nothing("SELECT count(*) FROM (SELECT 1 FROM flow JOIN lease ON lease.name = flow.owner AND lease.token = flow.fence WHERE"
		" flow.home <> '' AND flow.home <> flow.owner) AS away",
		"a run is done where it does not live");
	nothing("SELECT count(*) FROM run_part JOIN run ON run.id = run_part.run WHERE run.state = 'review' AND run_part.head <> run_part.base"
		" AND run_part.pull IS NULL",
		"a run waits for a person, and a repository that it changed has no pull request");
	nothing("SELECT count(*) FROM (SELECT race FROM run WHERE race IS NOT NULL GROUP BY race HAVING count(DISTINCT race_winner) > 1) AS two",
		"a race has two winners");
	nothing("SELECT count(*) FROM run WHERE race_winner IS NOT NULL AND NOT EXISTS"
		" (SELECT 1 FROM run other WHERE other.id = run.race_winner AND other.race = run.race)",
		"a race was won by a run that is not in it");
	nothing("SELECT count(*) FROM run WHERE race IS NOT NULL AND pull IS NOT NULL AND race_winner IS DISTINCT FROM id",
		"a candidate that was not chosen has a pull request");
	environments_check();
	pulls_check();
	if (sim.calm || chance(16)) {
		events_check();
		records_check();
	}
	sim.current = at;
}

/* ---- at the end ---- */

static bool stop_is_noted(const char *what)
{
	for (int i = 0; i < sim.stop_count; i++)
		if (strcmp(sim.stops[i], what) == 0)
			return true;
	return false;
}

/* Of the run itself, or of its issue at GitHub or session at Linear: what is said there names no run, and what arrives late ends one that began
 * meanwhile. */
static void stopped_check(void)
{
	AUTO_TX tx = {0};
	AUTO_ROWS rows = {0};

	if (store_begin(sim.store, &tx, NULL) ||
	    store_query(&tx, &rows,
			"SELECT run.id, issue_remote.number, coalesce(thread.thread, '') FROM run"
			" LEFT JOIN issue_remote ON issue_remote.issue = run.issue LEFT JOIN thread ON thread.issue = run.issue"
			" WHERE run.state = 'stopped' AND coalesce(run.outcome, '') <> 'lost'",
			NO_VALUES, NULL))
		broken("the store does not answer");
	while (store_rows_next(&rows)) {
		AUTO_FREE char *issue = text_format("github/%lld", (long long)store_rows_number(&rows, 1));

		if (!stop_is_noted(store_rows_text(&rows, 0)) && !stop_is_noted(issue) && !stop_is_noted(store_rows_text(&rows, 2)))
			broken("run %s was stopped, and nobody had asked", store_rows_text(&rows, 0));
	}
}

/* `several`: of several pull requests the first may have been merged before another was closed. */
static void run_check(const char *run, const char *state, const char *outcome, const char *error, const char *pull, bool several)
{
	bool done = strcmp(state, "done") == 0;
	bool lost = outcome && strcmp(outcome, "lost") == 0; /* another candidate was chosen */
	int left = envs_of(run, NULL);

	if (!done && strcmp(state, "failed") != 0 && strcmp(state, "stopped") != 0)
		broken("run %s was lost: it is %s", run, state);
	if (lost && pull)
		broken("run %s lost, and has a pull request", run);
	if (done && !lost && (!outcome || !pull || (strcmp(outcome, pull) != 0 && !(several && strcmp(outcome, "closed") == 0))))
		broken("run %s ended as %s, its pull request is %s", run, outcome ? outcome : "nothing", pull ? pull : "none");
	if (strcmp(state, "failed") == 0 && (!error || !*error))
		broken("run %s failed and does not say why", run);
	if (left > (done && outcome && strcmp(outcome, "merged") == 0 ? 0 : 1))
		broken("run %s is %s (%s) and has %d environments", run, state, outcome ? outcome : "", left);
}

/* Of several repositories all pull requests are decided, and alike unless a person was faster than we: none is lost, none is half published. */
static void parts_check(void)
{
	nothing("SELECT count(*) FROM run_part JOIN run ON run.id = run_part.run JOIN pull ON pull.number = run_part.pull"
		" WHERE run.state = 'done' AND pull.state = 'open'",
		"a run is done, and a pull request of it open");
	nothing("SELECT count(*) FROM run_part JOIN run ON run.id = run_part.run WHERE run.outcome = 'merged' AND run_part.head <> run_part.base"
		" AND run_part.outcome IS NOT 'merged'",
		"a run is merged, and a repository that it changed is not");
}

static void runs_check(void)
{
	AUTO_TX tx = {0};
	AUTO_ROWS rows = {0};

	if (store_begin(sim.store, &tx, NULL) ||
	    store_query(
		    &tx, &rows,
		    "SELECT run.id, run.state, run.outcome, run.error, pull.state, run.joined FROM run LEFT JOIN pull ON pull.number = run.pull",
		    NO_VALUES, NULL))
		broken("the store does not answer");
	while (store_rows_next(&rows))
		run_check(store_rows_text(&rows, 0), store_rows_text(&rows, 1), store_rows_text(&rows, 2),
			  store_rows_text(&rows, 3), store_rows_text(&rows, 4), store_rows_text(&rows, 5) != NULL);
}

/* What was said to a run that went on to its end was said to its agent. */
static void messages_check(void)
{
	AUTO_TX tx = {0};
	AUTO_ROWS rows = {0};

	if (store_begin(sim.store, &tx, NULL) ||
	    store_query(&tx, &rows,
			"SELECT flow_signal.data, flow_signal.taken, flow_signal.flow FROM flow_signal JOIN run ON run.id = flow"
			" WHERE kind = 'message' AND run.outcome = 'merged' AND run.pending = 0 AND taken = 1",
			NO_VALUES, NULL))
		broken("the store does not answer");
	while (store_rows_next(&rows)) {
		AUTO_JSON data = json_parse(view_of(store_rows_text(&rows, 0)), NULL);

		if (!was_told(json_text(data, "text", "?")))
			broken("`%s` was taken for run %s and told to no agent", json_text(data, "text", ""),
			       store_rows_text(&rows, 2));
	}
}

/* What was to be done outside was done. */
static void effects_check(void)
{
	AUTO_TX tx = {0};
	AUTO_ROWS rows = {0};

	if (store_begin(sim.store, &tx, NULL) ||
	    store_query(&tx, &rows,
			"SELECT operation, status, error FROM outbox WHERE status = 'dead' OR (status = 'queued' AND chatter = 0)",
			NO_VALUES, NULL))
		broken("the store does not answer");
	while (store_rows_next(&rows)) {
		const char *error = store_rows_text(&rows, 2) ? store_rows_text(&rows, 2) : "";

		/* A person there was faster. */
		if (!strstr(error, "is not open any more"))
			broken("%s is %s: %s", store_rows_text(&rows, 0), store_rows_text(&rows, 1), error);
	}
}

/* Webhooks came in order, each at least once. */
static void calls_check(void)
{
	long long last = 0;

	for (int i = 0; i < sim.call_count; i++) {
		const char *slash = strchr(sim.calls[i], '/');
		long long seq = slash ? atoll(slash + 1) : 0;

		if (seq <= last)
			broken("a receiver was told %s after %lld", sim.calls[i], last);
		last = seq;
	}
	if (sim.call_count != stored("SELECT count(*) FROM outbox WHERE kind = 'hook' AND status = 'sent'", NO_VALUES))
		broken("a receiver was told %d times, and we think otherwise", sim.call_count);
}

void end_check(void)
{
	invariants();
	runs_check();
	stopped_check();
	parts_check();
	messages_check();
	calls_check();
	nothing("SELECT count(*) FROM issue WHERE state IN ('working', 'review')", "an issue is said to be worked on");
	effects_check();
	outside_check();
	nothing("SELECT count(*) FROM inbox WHERE status = 'new'", "a delivery was not acted on");
	nothing("SELECT count(*) FROM inbox WHERE status = 'dead' AND kind = 'run.start'", "a delivery was given up");
	for (int i = 0; i < sim.mail_count; i++)
		if (!sim.mails[i].answered)
			broken("the delivery %s was never taken", sim.mails[i].delivery);
	if (stored("SELECT count(*) FROM issue WHERE title LIKE 'mail %'", NO_VALUES) != ISSUES)
		broken("%lld issues of %d", (long long)stored("SELECT count(*) FROM issue WHERE title LIKE 'mail %'", NO_VALUES),
		       ISSUES);
}
