/* What is told to workflows, and what is asked of them, in the transactions of others: rows of the store, no thread. */
#include <stdio.h>

#include "base/scope.h"
#include "flow/flow_priv.h"

#define RUNG_AT_ONCE 16 /* timers and sleepers, in one transaction */

/* One more than the first in line, or than the last of the same tenant: so that tenants take turns. */
#define RANK                                                                                                               \
	"1 + CASE WHEN coalesce((SELECT max(rank) FROM flow WHERE name = ? AND status = 'ready' AND tenant = ?), 0) >"     \
	" coalesce((SELECT rank FROM flow WHERE name = ? AND status = 'ready' AND priority = ? ORDER BY rank LIMIT 1), 0)" \
	" THEN coalesce((SELECT max(rank) FROM flow WHERE name = ? AND status = 'ready' AND tenant = ?), 0)"               \
	" ELSE coalesce((SELECT rank FROM flow WHERE name = ? AND status = 'ready' AND priority = ? ORDER BY rank LIMIT 1), 0) END"

int flow_start(struct flows *flow, struct store_tx *tx, const char *id, struct flow_line line, struct err *err)
{
	const struct flow_options *options = flows_options(flow);
	const char *name = options->definition->name;
	const char *tenant = line.tenant ? line.tenant : "";
	struct position position = {.status = FLOW_READY};
	int64_t now_ms = world_now_ms(options->world);

	if (strlen(id) >= FLOW_ID_MAX)
		return err_set(err, ERR_LIMIT, "the name of a workflow has at most %d characters: %.80s", FLOW_ID_MAX - 1, id);
	(void)snprintf(position.id, sizeof(position.id), "%s", id);
	(void)snprintf(position.step, sizeof(position.step), "%s", options->definition->steps[0].name);
	if (store_run(tx,
		      "INSERT INTO flow (id, name, step, status, since_ms, home, tenant, repository, priority, rank)"
		      " VALUES (?, ?, ?, 'ready', ?, ?, ?, ?, ?, " RANK ")",
		      VALUES(V(id), V(name), V(position.step), V(now_ms),
			     V(options->home == FLOW_WHERE_BEGUN ? flows_plane(flow)->lease.name : ""), V(tenant),
			     V(line.repository ? line.repository : ""), V(line.priority), V(name), V(tenant), V(name),
			     V(line.priority), V(name), V(tenant), V(name), V(line.priority)),
		      err))
		return -1;
	return event_append(tx, now_ms, &position, &(struct event){.kind = EVENT_STARTED}, err);
}

/* Stores a signal for the workflow at `position`, and wakes it. */
static int signal_add(struct store_tx *tx, int64_t now_ms, struct position *position, const char *kind, struct view data,
		      struct err *err)
{
	struct event event = {.kind = EVENT_SIGNALLED, .text = kind};

	if (store_run(tx, "INSERT INTO flow_signal (flow, kind, data, time_ms) VALUES (?, ?, ?, ?)",
		      VALUES(V(position->id), V(kind), V(data), V(now_ms)), err))
		return -1;
	return event_append(tx, now_ms, position, &event, err);
}

int flow_signal(struct flows *flow, struct store_tx *tx, const char *id, const char *kind, const json_t *data, struct err *err)
{
	AUTO_BUF text = buf_new(FLOW_SIGNAL_BYTES_MAX);
	struct position position;

	json_format(&text, data);
	if (buf_finish(&text, err))
		return err_prefix(err, "the signal `%s`", kind);
	if (position_get(tx, id, &position, err))
		return -1;
	return signal_add(tx, world_now_ms(flows_options(flow)->world), &position, kind, buf_view(&text), err);
}

/* ---- timers ---- */

int flow_timer_set(struct store_tx *tx, const char *id, const char *name, int64_t due_ms, struct err *err)
{
	if (!due_ms)
		return store_run(tx, "DELETE FROM flow_timer WHERE flow = ? AND name = ?", VALUES(V(id), V(name)), err);
	return store_run(tx,
			 "INSERT INTO flow_timer (flow, name, due_ms) VALUES (?, ?, ?)"
			 " ON CONFLICT (flow, name) DO UPDATE SET due_ms = excluded.due_ms",
			 VALUES(V(id), V(name), V(due_ms)), err);
}

struct due {
	char id[FLOW_ID_MAX];
	char name[FLOW_TIMER_NAME_MAX]; /* of a timer; "" for one that sleeps */
};

static int due_read(struct store_tx *tx, const char *sql, const struct store_value *values, size_t count,
		    struct due due[RUNG_AT_ONCE], size_t *found, struct err *err)
{
	AUTO_ROWS rows = {0};

	*found = 0;
	if (store_query(tx, &rows, sql, values, count, err))
		return -1;
	while (*found < RUNG_AT_ONCE && store_rows_next(&rows)) {
		(void)snprintf(due[*found].id, FLOW_ID_MAX, "%s", store_rows_text(&rows, 0));
		(void)snprintf(due[*found].name, FLOW_TIMER_NAME_MAX, "%s", store_rows_text(&rows, 1));
		++*found;
	}
	return store_rows_finish(&rows, err);
}

static int ring_one(struct store_tx *tx, int64_t now_ms, const struct due *due, struct err *err)
{
	AUTO_BUF text = buf_new(4096);
	AUTO_JSON data = json_pack("{s:s}", "name", due->name);
	struct position position;

	json_format(&text, data);
	if (buf_finish(&text, err) || position_get(tx, due->id, &position, err))
		return -1;
	if (!due->name[0])
		return event_append(tx, now_ms, &position, &(struct event){.kind = EVENT_WOKEN}, err);
	return signal_add(tx, now_ms, &position, "timer", buf_view(&text), err) || flow_timer_set(tx, due->id, due->name, 0, err)
		       ? -1
		       : 0;
}

int flow_timers_ring(struct flows *flow, struct store_tx *tx, struct err *err)
{
	const char *name = flows_options(flow)->definition->name;
	int64_t now_ms = world_now_ms(flows_options(flow)->world);
	struct due due[2 * RUNG_AT_ONCE];
	size_t sleepers;
	size_t timers;

	if (due_read(tx, "SELECT id, '' FROM flow WHERE name = ? AND status = 'waiting' AND wake_ms > 0 AND wake_ms <= ? LIMIT 16",
		     VALUES(V(name), V(now_ms)), due, &sleepers, err) ||
	    due_read(tx,
		     "SELECT flow_timer.flow, flow_timer.name FROM flow_timer JOIN flow ON flow.id = flow_timer.flow"
		     " WHERE due_ms <= ? AND flow.name = ? ORDER BY due_ms LIMIT 16",
		     VALUES(V(now_ms), V(name)), due + sleepers, &timers, err))
		return -1;
	for (size_t i = 0; i < sleepers + timers; i++)
		if (ring_one(tx, now_ms, &due[i], err))
			return -1;
	return 0;
}

/* ---- where it is done ---- */

#define FREED_AT_ONCE 100

int flow_homes_free(struct flows *flow, int64_t gone_ms, int *freed,
		    int (*moves)(void *self, struct store_tx *tx, const char *id, struct err *err), struct err *err)
{
	const struct flow_options *options = flows_options(flow);
	struct due *due = mem_new_array(FREED_AT_ONCE, sizeof(*due));
	AUTO_FREE void *owned = due;
	int64_t now_ms;
	AUTO_TX tx = {0};
	AUTO_ROWS rows = {0};

	*freed = 0;
	if (store_begin(options->store, &tx, err) || store_now_ms(&tx, options->world, &now_ms, err) ||
	    store_query(
		    &tx, &rows,
		    "SELECT id FROM flow WHERE name = ? AND status IN ('ready', 'waiting') AND home <> '' AND home <> ? AND NOT EXISTS"
		    " (SELECT 1 FROM lease WHERE lease.name = flow.home AND lease.until_ms > ?) LIMIT 100",
		    VALUES(V(options->definition->name), V(flows_plane(flow)->lease.name), V(now_ms - gone_ms)), err))
		return -1;
	while (*freed < FREED_AT_ONCE && store_rows_next(&rows))
		(void)snprintf(due[(*freed)++].id, FLOW_ID_MAX, "%s", store_rows_text(&rows, 0));
	if (store_rows_finish(&rows, err))
		return -1;
	for (int i = 0; i < *freed; i++)
		if (store_run(
			    &tx,
			    "UPDATE flow SET home = '', wake_ms = CASE status WHEN 'waiting' THEN 1 ELSE wake_ms END WHERE id = ?",
			    VALUES(V((const char *)due[i].id)), err) ||
		    (moves && moves(options->self, &tx, due[i].id, err)))
			return -1;
	return store_commit(&tx, err);
}

/* ---- what is asked ---- */

int flow_signals_take(struct store_tx *tx, const char *id, json_t **signals, struct err *err)
{
	AUTO_ROWS rows = {0};
	AUTO_JSON items = json_array();

	if (store_query(tx, &rows, "SELECT kind, data, time_ms FROM flow_signal WHERE flow = ? AND taken = 0 ORDER BY seq",
			VALUES(V(id)), err))
		return -1;
	while (store_rows_next(&rows)) {
		json_t *item = json_object();
		json_t *data = json_parse(view_of(store_rows_text(&rows, 1)), err);

		(void)json_array_append_new(items, item);
		if (!data)
			return err_prefix(err, "a signal of %s", id);
		(void)json_object_set_new(item, "kind", store_rows_json(&rows, 0));
		(void)json_object_set_new(item, "data", data);
		(void)json_object_set_new(item, "time_ms", store_rows_json(&rows, 2));
	}
	if (store_rows_finish(&rows, err) ||
	    store_run(tx, "UPDATE flow_signal SET taken = 1 WHERE flow = ? AND taken = 0", VALUES(V(id)), err))
		return -1;
	*signals = TAKE(items);
	return 0;
}

void flows_count(struct flows *flow, int *unfinished, int *active)
{
	const struct flow_options *options = flows_options(flow);
	AUTO_TX tx = {0};
	int64_t all = 0;
	int64_t ready = 0;

	*unfinished = 0;
	*active = 0;
	if (store_begin(options->store, &tx, NULL) ||
	    store_number_get(&tx, &all, 0, "SELECT count(*) FROM flow WHERE name = ? AND status IN ('ready', 'waiting')",
			     VALUES(V(options->definition->name)), NULL) ||
	    store_number_get(&tx, &ready, 0, "SELECT count(*) FROM flow WHERE name = ? AND status = 'ready'",
			     VALUES(V(options->definition->name)), NULL))
		return;
	*unfinished = (int)all;
	*active = (int)ready;
}

json_t *flow_visits(struct store_tx *tx, const char *id, struct err *err)
{
	static const char *const names[] = {"name", "status", "attempt", "started_ms", "ended_ms", "detail"};
	AUTO_ROWS rows = {0};
	AUTO_JSON items = json_array();

	if (store_query(tx, &rows,
			"SELECT step, status, visit, started_ms, ended_ms, detail FROM flow_visit WHERE flow = ? ORDER BY seq",
			VALUES(V(id)), err))
		return NULL;
	while (store_rows_next(&rows)) {
		json_t *item = json_object();

		for (size_t i = 0; i < ARRAY_LEN(names); i++)
			(void)json_object_set_new(item, names[i], store_rows_json(&rows, (int)i));
		(void)json_array_append_new(items, item);
	}
	return store_rows_finish(&rows, err) ? NULL : TAKE(items);
}
