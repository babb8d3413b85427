/*
 * What is kept, and for how long: runs that are over, their events, deliveries that were worked on. Only what is over goes, a portion at a time so that nobody waits; never
 * the record of a verdict, an issue or a pull request. The ledger has its own (audit/retain.c).
 */
#include "base/file.h"
#include "base/log.h"
#include "base/scope.h"
#include "runs/branch.h"
#include "runs/runs_priv.h"

#define PORTION 200
#define UNNAMED_MS ((int64_t)24 * 3600000) /* bytes of files that no issue has any more */
#define PORTIONS_MAX 50                    /* of one kind at a time: the rest at the next */

#define OVER "flow.status IN ('done', 'failed', 'stopped') AND run.ended_ms IS NOT NULL AND run.ended_ms < ?"

/* Ids of at most PORTION runs; owned by the caller. */
static json_t *runs_find_over(struct runs *runs, const char *more, int64_t before_ms, struct err *err)
{
	AUTO_FREE char *sql = text_format(
		"SELECT run.id FROM run JOIN flow ON flow.id = run.id WHERE " OVER " %s ORDER BY run.seq LIMIT %d", more, PORTION);
	AUTO_JSON ids = json_array();
	AUTO_TX tx = {0};
	AUTO_ROWS rows = {0};

	if (store_begin_snapshot(runs->store, &tx, err) || store_query(&tx, &rows, sql, VALUES(V(before_ms)), err))
		return NULL;
	while (store_rows_next(&rows))
		(void)json_array_append_new(ids, store_rows_json(&rows, 0));
	return store_rows_finish(&rows, err) ? NULL : TAKE(ids);
}

/* What hangs on a run first. */
static const char *const run_sql[] = {
	"DELETE FROM run_event WHERE run = ?",
	"DELETE FROM question WHERE run = ?",
	"DELETE FROM opinion WHERE run = ?",
	"DELETE FROM flow_event WHERE flow = ?",
	"DELETE FROM flow_visit WHERE flow = ?",
	"DELETE FROM flow_signal WHERE flow = ?",
	"DELETE FROM flow_timer WHERE flow = ?",
	"DELETE FROM run_part WHERE run = ?",
	"DELETE FROM declaration WHERE run = ?",
	"DELETE FROM picture_place WHERE picture IN (SELECT id FROM picture WHERE run = ?)",
	"DELETE FROM picture WHERE run = ?",
	"DELETE FROM run WHERE id = ?",
	"DELETE FROM flow WHERE id = ?",
};

/* In the repositories of its projects. Whoever dies before the run is gone finds it again, and does this again. */
static int refs_remove(struct runs *runs, struct store_tx *tx, const char *id, struct err *err)
{
	AUTO_JSON names = json_array();
	AUTO_ROWS rows = {0};
	size_t i;
	json_t *name;

	if (store_query(tx, &rows, "SELECT repository FROM run WHERE id = ? UNION SELECT repository FROM run_part WHERE run = ?",
			VALUES(V(id), V(id)), err))
		return -1;
	while (store_rows_next(&rows))
		(void)json_array_append_new(names, store_rows_json(&rows, 0));
	if (store_rows_finish(&rows, err))
		return -1;
	json_array_foreach(names, i, name) {
		AUTO_FREE char *path = json_is_string(name) ? repository_path(runs, json_string_value(name)) : NULL;

		if (path && file_exists(path) && branches_forget(path, id, err))
			return -1;
	}
	return 0;
}

/* Was it tried again meanwhile? Then it stays. */
static int run_remove(struct runs *runs, const char *id, int64_t before_ms, struct err *err)
{
	AUTO_FREE char *folder = text_format("%s/runs/%s", runs->state_dir, id);
	int64_t over = 0;
	AUTO_TX tx = {0};

	if (store_begin(runs->store, &tx, err) ||
	    store_number_get(&tx, &over, 0, "SELECT count(*) FROM run JOIN flow ON flow.id = run.id WHERE run.id = ? AND " OVER,
			     VALUES(V(id), V(before_ms)), err))
		return -1;
	if (!over)
		return 0;
	if (refs_remove(runs, &tx, id, err))
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(run_sql); i++)
		if (store_run(&tx, run_sql[i], VALUES(V(id)), err))
			return -1;
	if (change_add_in(runs, &tx, "run", "id", V(id), "gone", err) || store_commit(&tx, err))
		return -1;
	return file_exists(folder) ? file_remove_tree(folder, err) : 0;
}

static int events_remove(struct runs *runs, const char *id, int64_t before_ms, struct err *err)
{
	AUTO_TX tx = {0};

	(void)before_ms;
	if (store_begin(runs->store, &tx, err) || store_run(&tx, "DELETE FROM run_event WHERE run = ?", VALUES(V(id)), err))
		return -1;
	return store_commit(&tx, err);
}

static int each_remove(struct runs *runs, const char *more, int64_t keep_ms,
		       int (*remove)(struct runs *runs, const char *id, int64_t before_ms, struct err *err), const char *what,
		       struct err *err)
{
	int64_t before_ms = world_now_ms(runs->options.world) - keep_ms;
	size_t removed = 0;

	for (int portion = 0; keep_ms > 0 && portion < PORTIONS_MAX; portion++) {
		AUTO_JSON ids = runs_find_over(runs, more, before_ms, err);
		size_t i;
		json_t *id;

		if (!ids)
			return -1;
		json_array_foreach(ids, i, id)
			if (remove(runs, json_string_value(id), before_ms, err))
				return -1;
		removed += json_array_size(ids);
		if (json_array_size(ids) < PORTION)
			break;
	}
	if (removed)
		log_info("%zu %s are older than they are kept: removed", removed, what);
	return 0;
}

static int inbox_remove(struct runs *runs, int64_t keep_ms, struct err *err)
{
	AUTO_TX tx = {0};

	if (keep_ms <= 0)
		return 0;
	if (store_begin(runs->store, &tx, err) || store_run(&tx, "DELETE FROM inbox WHERE status <> 'new' AND time_ms < ?",
							    VALUES(V(world_now_ms(runs->options.world) - keep_ms)), err))
		return -1;
	return store_commit(&tx, err);
}

static pthread_mutex_t keep_mutex = PTHREAD_MUTEX_INITIALIZER;

void runs_keep_set(struct runs *runs, struct runs_keep keep)
{
	(void)pthread_mutex_lock(&keep_mutex);
	runs->options.keep = keep;
	(void)pthread_mutex_unlock(&keep_mutex);
}

static struct runs_keep keep_get(const struct runs *runs)
{
	struct runs_keep keep;

	(void)pthread_mutex_lock(&keep_mutex);
	keep = runs->options.keep;
	(void)pthread_mutex_unlock(&keep_mutex);
	return keep;
}

int runs_retain(struct runs *runs, struct err *err)
{
	const struct runs_keep keep = keep_get(runs);

	/* Candidates of one issue stay until the last of them is over. */
	if (each_remove(runs, "AND NOT EXISTS (SELECT 1 FROM run other WHERE other.race = run.race AND other.ended_ms IS NULL)",
			keep.runs_ms, run_remove, "runs", err) ||
	    each_remove(runs, "AND EXISTS (SELECT 1 FROM run_event WHERE run_event.run = run.id)", keep.events_ms, events_remove,
			"runs' events", err))
		return -1;
	return inbox_remove(runs, keep.inbox_ms, err) ||
			       attachments_sweep(runs, world_now_ms(runs->options.world) - UNNAMED_MS, err)
		       ? -1
		       : 0;
}
