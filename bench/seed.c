/*
 * A store as a busy year leaves it: `bench_seed STATE_DIR RUNS [waiting]` makes STATE_DIR/assay.db with so many runs, an issue and a pull request each, their events
 * and reports. Without `waiting` nine of ten are over; with it all of them wait for a reviewer.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/scope.h"
#include "base/world.h"
#include "store/store.h"

#define EVENTS 30
#define REPORT_BYTES ((size_t)20000)
#define RUNS_A_COMMIT 500

static const char *const repositories[] = {"shop", "billing", "search", "mobile-api", "website"};
static const char *const agents[] = {"claude", "codex", "gemini", "command"};
static const char *const subjects[] = {"the cart forgets discounts", "slow search", "login fails twice", "export is empty",
				       "wrong currency"};

static void must(int failed, const struct err *err)
{
	if (!failed)
		return;
	fprintf(stderr, "%s\n", err->text);
	exit(1);
}

/* A workflow that stands where it should: its event is the one that a migration would have written. */
static void flow_seed(struct store_tx *tx, const char *id, bool waits, int64_t now, struct err *err)
{
	const char *step = waits ? "review" : "close";
	const char *status = waits ? "waiting" : "done";

	must(store_run(tx, "INSERT INTO flow (id, name, step, status, since_ms, version) VALUES (?, 'run', ?, ?, ?, 1)",
		       VALUES(V(id), V(step), V(status), V(now)), err) ||
		     store_run(tx,
			       "INSERT INTO flow_event (flow, seq, time_ms, kind, step, next) VALUES (?, 1, ?, 'imported', ?, ?)",
			       VALUES(V(id), V(now), V(step), V(status)), err),
	     err);
	for (int i = 0; i < 7; i++)
		must(store_run(
			     tx,
			     "INSERT INTO flow_visit (flow, seq, step, visit, status, started_ms, ended_ms) VALUES (?, ?, ?, 1, 'done', ?, ?)",
			     VALUES(V(id), V(i + 1),
				    V(((const char *const[]){"claim", "fork", "turn", "verify", "publish", "review", "close"})[i]),
				    V(now), V(now + 1000)),
			     err),
		     err);
}

static void events_seed(struct store_tx *tx, const char *id, int64_t now, struct err *err)
{
	for (int64_t i = 1; i <= EVENTS; i++)
		must(store_run(
			     tx, "INSERT INTO run_event (run, seq, time_ms, type, data) VALUES (?, ?, ?, 'agent', ?)",
			     VALUES(V(id), V(i), V(now + i),
				    V("{\"kind\":\"action\",\"tool\":\"Edit\",\"title\":\"src/cart.js\",\"text\":\"the discount is taken from the "
				      "session, not from the row\"}")),
			     err),
		     err);
}

static void run_seed(struct store_tx *tx, int64_t i, bool waits, const char *report, struct err *err)
{
	struct run_id id = run_id_new(world_real);
	const char *repository = repositories[i % (int64_t)ARRAY_LEN(repositories)];
	AUTO_FREE char *title = text_format("%s (%" PRId64 ")", subjects[i % (int64_t)ARRAY_LEN(subjects)], i);
	AUTO_FREE char *branch = text_format("assay/%" PRId64, i);
	int64_t now = world_now_ms(world_real) - (20000 - i) * 60000;
	const char *hash = "0123456789012345678901234567890123456789";

	flow_seed(tx, id.text, waits, now, err);
	events_seed(tx, id.text, now, err);
	must(store_run(tx, "INSERT INTO issue (repository, title, body, state, created_ms, run, pull) VALUES (?, ?, ?, ?, ?, ?, ?)",
		       VALUES(V(repository), V(title), V("As the title says, and no more."), V(waits ? "review" : "done"), V(now),
			      V(id.text), V(i)),
		       err) ||
		     store_run(
			     tx,
			     "INSERT INTO pull (repository, branch, target, title, body, draft, state, base, head, run, issue, verdict, created_ms)"
			     " VALUES (?, ?, 'main', ?, 'What was proven', 0, ?, ?, ?, ?, ?, 'verified', ?)",
			     VALUES(V(repository), V(branch), V(title), V(waits ? "open" : "merged"), V(hash), V(hash), V(id.text),
				    V(i), V(now)),
			     err) ||
		     store_run(
			     tx,
			     "INSERT INTO run (id, repository, issue, title, state, state_since_ms, base_wanted, base, head, branch, pull,"
			     " verdict, agent, agent_config, created_ms, ended_ms, report, outcome)"
			     " VALUES (?, ?, ?, ?, ?, ?, 'main', ?, ?, ?, ?, 'verified', ?, '{}', ?, ?, ?, ?)",
			     VALUES(V(id.text), V(repository), V(i), V(title), V(waits ? "review" : "done"), V(now), V(hash),
				    V(hash), V(branch), V(i), V(agents[i % (int64_t)ARRAY_LEN(agents)]), V(now),
				    V(waits ? 0 : now + 600000), V(report), V(waits ? NULL : "merged")),
			     err),
	     err);
}

int main(int argc, char **argv)
{
	int64_t count = argc > 2 ? strtoll(argv[2], NULL, 10) : 0;
	bool all_wait = argc > 3 && strcmp(argv[3], "waiting") == 0;
	AUTO_FREE char *path = text_format("%s/assay.db", argc > 1 ? argv[1] : ".");
	AUTO_FREE char *filler = mem_new(REPORT_BYTES + 1);
	AUTO_FREE char *report = NULL;
	struct store *store;
	struct err err = {0};

	if (count < 1) {
		fprintf(stderr, "usage: bench_seed STATE_DIR RUNS [waiting]\n");
		return 2;
	}
	memset(filler, 'x', REPORT_BYTES);
	report = text_format("{\"verdict\":\"verified\",\"reason\":\"\",\"gates\":[],\"findings\":[],\"filler\":\"%s\"}", filler);
	must(file_make_dirs(argv[1], 0700, &err) || store_open(path, &store, &err), &err);
	for (int64_t i = 1; i <= count;) {
		AUTO_TX tx = {0};

		must(store_begin(store, &tx, &err), &err);
		for (int n = 0; n < RUNS_A_COMMIT && i <= count; n++, i++)
			run_seed(&tx, i, all_wait || i % 10 == 0, report, &err);
		must(store_commit(&tx, &err), &err);
	}
	store_close(store);
	return 0;
}
