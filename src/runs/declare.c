/*
 * Differences that are meant: a person says which, the agent may propose some.
 *
 * Theory of operation. A declaration is a row of its run. Whenever one begins or ceases to hold, the run's `declarations` is one more; a report
 * says of which state of them it is (`judged_declarations`). A run that waits for a person and whose report is of an earlier state is verified
 * again, as a further attempt with a record of its own. A proposal holds nothing: it is shown, until a person declares the same.
 */
#include <stdlib.h>

#include "base/scope.h"
#include "runs/runs_priv.h"
#include "verify/declared.h"

#define BECAUSE_BYTES_MAX ((size_t)1000)
#define PROPOSED_BY "the agent"
#define COLUMNS "match, author, because, holds, time_ms"

enum column { MATCH, AUTHOR, BECAUSE, HOLDS, TIME };

static json_t *row_json(struct store_rows *rows, bool whole)
{
	json_t *item = json_object();

	json_set_bytes(item, "match", view_of(store_rows_text(rows, MATCH)));
	json_set_bytes(item, "by", view_of(store_rows_text(rows, AUTHOR)));
	json_set_bytes(item, "because", view_of(store_rows_text(rows, BECAUSE)));
	if (whole) {
		(void)json_object_set_new(item, "state", json_string(store_rows_number(rows, HOLDS) ? "declared" : "proposed"));
		(void)json_object_set_new(item, "time_ms", store_rows_json(rows, TIME));
	}
	return item;
}

static json_t *rows_read(struct store_tx *tx, const char *run, bool whole, struct err *err)
{
	AUTO_JSON items = json_array();
	AUTO_ROWS rows = {0};

	if (store_query(tx, &rows, "SELECT " COLUMNS " FROM declaration WHERE run = ? AND holds >= ? ORDER BY time_ms, match",
			VALUES(V(run), V(whole ? (int64_t)0 : (int64_t)1)), err))
		return NULL;
	while (store_rows_next(&rows))
		(void)json_array_append_new(items, row_json(&rows, whole));
	return store_rows_finish(&rows, err) ? NULL : TAKE(items);
}

json_t *declarations_json(struct store_tx *tx, const char *run, struct err *err)
{
	return rows_read(tx, run, true, err);
}

json_t *declarations_held(struct runs *runs, const char *run, struct err *err)
{
	AUTO_TX tx = {0};

	return store_begin(runs->store, &tx, err) ? NULL : rows_read(&tx, run, false, err);
}

bool declarations_changed(const struct run *run)
{
	return run->report && run->judged_declarations != run->declarations;
}

/* An attempt of its own: what was signed of the one before stays. */
int declarations_judge_again(struct runs *runs, const struct run *run, struct err *err)
{
	return run->judged ? run_store(runs, run->id, "judged = NULL, attempt = attempt + 1", NO_VALUES, err) : 0;
}

/* *count: of those that hold, or of proposals. */
static int match_read(struct store_tx *tx, const char *run, const char *match, bool counted, bool *known, bool *holds,
		      int64_t *count, struct err *err)
{
	AUTO_ROWS rows = {0};

	*known = *holds = false;
	if (store_number_get(tx, count, 0, "SELECT count(*) FROM declaration WHERE run = ? AND holds = ?",
			     VALUES(V(run), V(counted ? (int64_t)1 : (int64_t)0)), err) ||
	    store_query(tx, &rows, "SELECT holds FROM declaration WHERE run = ? AND match = ?", VALUES(V(run), V(match)), err))
		return -1;
	if (store_rows_next(&rows)) {
		*known = true;
		*holds = store_rows_number(&rows, 0) != 0;
	}
	return store_rows_finish(&rows, err);
}

/* In the timeline, and to whoever watches the run; one that waits for a person looks at it. */
static int tell(struct runs *runs, struct store_tx *tx, const struct run *run, const char *match, const char *by,
		const char *because, const char *state, struct err *err)
{
	json_t *shown = json_pack("{s:s, s:s}", "by", by, "state", state);
	AUTO_JSON nothing = json_object();

	event_text_set(shown, "match", view_of(match));
	event_text_set(shown, "because", view_of(because));
	if (event_add_in(runs, tx, run->id, "declaration", shown, err) ||
	    (strcmp(state, "proposed") != 0 && flow_signal(runs->flow, tx, run->id, "declared", nothing, err)))
		return -1;
	return change_add_in(runs, tx, "run", "id", V(run->id), run->state, err);
}

static int put(struct runs *runs, struct store_tx *tx, const struct run *run, const char *match, const char *by,
	       const char *because, bool holds, struct err *err)
{
	bool known;
	bool held;
	int64_t count = 0;

	if (match_read(tx, run->id, match, holds, &known, &held, &count, err))
		return -1;
	if (held || (known && !holds))
		return 0;
	if (count >= DECLARATIONS_MAX)
		return err_set(err, ERR_LIMIT, "a run has at most %d declared differences", DECLARATIONS_MAX);
	if (store_run(tx,
		      "INSERT INTO declaration (run, match, author, because, holds, time_ms) VALUES (?, ?, ?, ?, ?, ?)"
		      " ON CONFLICT (run, match) DO UPDATE SET author = excluded.author, because = excluded.because,"
		      " holds = excluded.holds, time_ms = excluded.time_ms",
		      VALUES(V(run->id), V(match), V(by), V(because), V(holds ? (int64_t)1 : (int64_t)0),
			     V(world_now_ms(runs->options.world))),
		      err) ||
	    (holds && run_write(tx, run->id, "declarations = declarations + 1", NO_VALUES, err)))
		return -1;
	return tell(runs, tx, run, match, by, because, holds ? "declared" : "proposed", err);
}

static int texts_check(const char *match, const char *because, struct err *err)
{
	if (strlen(because) > BECAUSE_BYTES_MAX)
		return err_set(err, ERR_LIMIT, "a reason has at most %zu bytes", BECAUSE_BYTES_MAX);
	return declaration_check(match, err);
}

static int open_read(struct store_tx *tx, const char *id, struct run *run, struct err *err)
{
	if (run_read(tx, id, run, err))
		return -1;
	if (run_is_over(run))
		return err_set(err, ERR_DENIED, "run %s is %s: nothing is verified any more", id, run->state);
	return 0;
}

int runs_declare(struct runs *runs, struct run_id id, const char *match, const char *by, const char *because, struct err *err)
{
	AUTO_RUN run = {0};
	AUTO_TX tx = {0};

	if (texts_check(match, because, err) || store_begin(runs->store, &tx, err) || open_read(&tx, id.text, &run, err) ||
	    put(runs, &tx, &run, match, by, because, true, err) || store_commit(&tx, err))
		return -1;
	runs_told(runs);
	return 0;
}

int runs_declare_undo(struct runs *runs, struct run_id id, const char *match, const char *by, struct err *err)
{
	AUTO_RUN run = {0};
	bool known;
	bool held;
	int64_t count;
	AUTO_TX tx = {0};

	if (store_begin(runs->store, &tx, err) || open_read(&tx, id.text, &run, err) ||
	    match_read(&tx, run.id, match, true, &known, &held, &count, err))
		return -1;
	if (!known)
		return err_set(err, ERR_NOT_FOUND, "run %s has no declaration `%s`", id.text, match);
	if (store_run(&tx, "DELETE FROM declaration WHERE run = ? AND match = ?", VALUES(V(run.id), V(match)), err) ||
	    (held && run_write(&tx, run.id, "declarations = declarations + 1", NO_VALUES, err)) ||
	    tell(runs, &tx, &run, match, by, "", "taken back", err) || store_commit(&tx, err))
		return -1;
	runs_told(runs);
	return 0;
}

int runs_tool_declare(struct runs *runs, struct env_id env, const char *match, const char *because, struct err *err)
{
	AUTO_FREE char *id = NULL;
	AUTO_RUN run = {0};
	AUTO_TX tx = {0};

	if (texts_check(match, because, err) || store_begin(runs->store, &tx, err) || run_of_environment(&tx, env, &id, err) ||
	    open_read(&tx, id, &run, err) || put(runs, &tx, &run, match, PROPOSED_BY, because, false, err))
		return -1;
	return store_commit(&tx, err);
}

json_t *runs_tool_declared(struct runs *runs, struct env_id env, struct err *err)
{
	AUTO_FREE char *id = NULL;
	AUTO_TX tx = {0};
	struct err nobody = {0};

	if (store_begin(runs->store, &tx, err))
		return NULL;
	if (run_of_environment(&tx, env, &id, &nobody))
		return nobody.kind == ERR_NOT_FOUND ? json_array() : (err_set(err, nobody.kind, "%s", nobody.text), NULL);
	return rows_read(&tx, id, false, err);
}
