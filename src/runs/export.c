/* What the store holds, as rows for other programs: the oldest first, each with the place where an export that was broken off goes on. */
#include <inttypes.h>
#include <stdio.h>

#include "base/scope.h"
#include "runs/runs_priv.h"

#define COLUMNS_MAX 32

/* The first two columns are the place. `data` is JSON whose members are the row's. */
static const struct export_kind {
	const char *name;
	const char *sql; /* behind two places */
	const char *columns[COLUMNS_MAX];
} kinds[] = {
	{"runs",
	 "SELECT seq, 0, id, repository, issue, title, state, base, head, branch, pull, verdict, agent, attempt, created_ms, ended_ms, error,"
	 " outcome, summary, turns, input_tokens, output_tokens, cost_usd, agent_ms, race FROM run"
	 " WHERE seq > ? OR (seq = ? AND 0 > ?) ORDER BY seq LIMIT ?",
	 {"id",      "repository", "issue",        "title",         "state",      "base",     "head",  "branch",
	  "pull",    "verdict",    "agent",        "attempt",       "created_ms", "ended_ms", "error", "outcome",
	  "summary", "turns",      "input_tokens", "output_tokens", "cost_usd",   "agent_ms", "race"}},
	{"events",
	 "SELECT run.seq, run_event.seq, run_event.run, run_event.seq, run_event.time_ms, run_event.type, run_event.data FROM run"
	 " JOIN run_event ON run_event.run = run.id WHERE run.seq > ? OR (run.seq = ? AND run_event.seq > ?)"
	 " ORDER BY run.seq, run_event.seq LIMIT ?",
	 {"run", "seq", "time_ms", "type", "data"}},
	{"issues",
	 "SELECT number, 0, number, repository, title, body, state, created_ms, run, pull FROM issue"
	 " WHERE number > ? OR (number = ? AND 0 > ?) ORDER BY number LIMIT ?",
	 {"number", "repository", "title", "body", "state", "created_ms", "run", "pull"}},
	{"pulls",
	 "SELECT number, 0, number, repository, branch, target, title, body, draft, state, base, head, run, issue, verdict, created_ms, merged"
	 " FROM pull WHERE number > ? OR (number = ? AND 0 > ?) ORDER BY number LIMIT ?",
	 {"number", "repository", "branch", "target", "title", "body", "draft", "state", "base", "head", "run", "issue", "verdict",
	  "created_ms", "merged"}},
	{"records",
	 "SELECT seq, 0, repository, run, head, attempt, digest, time_ms, envelope FROM record"
	 " WHERE seq > ? OR (seq = ? AND 0 > ?) ORDER BY seq LIMIT ?",
	 {"repository", "run", "head", "attempt", "digest", "time_ms", "data"}},
};

static int place_parse(const char *text, int64_t place[2], struct err *err)
{
	struct view rest;
	struct view first = view_cut(view_of(text), '.', &rest);
	uint64_t one, two = 0;

	if (!view_to_u64(first, &one) || (rest.at && !view_to_u64(rest, &two)) || one > INT64_MAX || two > INT64_MAX)
		return err_set(err, ERR_INVALID, "after=%.40s: expected `cursor` of the last row", text);
	place[0] = (int64_t)one;
	place[1] = (int64_t)two;
	return 0;
}

static json_t *row_make(const struct export_kind *kind, struct store_rows *rows)
{
	json_t *row = json_pack("{s:s}", "kind", kind->name);
	int64_t second = store_rows_number(rows, 1);
	char cursor[64];

	(void)snprintf(cursor, sizeof(cursor), second ? "%" PRId64 ".%" PRId64 : "%" PRId64, store_rows_number(rows, 0), second);
	(void)json_object_set_new(row, "cursor", json_string(cursor));
	for (int i = 0; i < COLUMNS_MAX && kind->columns[i]; i++) {
		const char *text = store_rows_text(rows, i + 2);
		json_t *value = strcmp(kind->columns[i], "data") == 0 && text ? json_parse(view_of(text), NULL) : NULL;

		(void)json_object_set_new(row, kind->columns[i], value ? value : store_rows_json(rows, i + 2));
	}
	return row;
}

json_t *runs_export(struct runs *runs, const char *name, const char *after, int64_t limit, struct err *err)
{
	const struct export_kind *kind = NULL;
	AUTO_JSON items = json_array();
	int64_t place[2] = {0, 0};
	AUTO_TX tx = {0};
	AUTO_ROWS rows = {0};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (strcmp(kinds[i].name, name) == 0)
			kind = &kinds[i];
	if (!kind) {
		(void)err_set(err, ERR_INVALID, "export: expected runs, events, issues, pulls or records, not `%.40s`", name);
		return NULL;
	}
	if ((after && place_parse(after, place, err)) || store_begin_snapshot(runs->store, &tx, err) ||
	    store_query(&tx, &rows, kind->sql, VALUES(V(place[0]), V(place[0]), V(place[1]), V(limit)), err))
		return NULL;
	while (store_rows_next(&rows))
		(void)json_array_append_new(items, row_make(kind, &rows));
	return store_rows_finish(&rows, err) ? NULL : TAKE(items);
}
