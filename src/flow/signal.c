/* What is told to workflows, and what is asked of them, in the transactions of others: rows of the store, no thread. */
#include "base/scope.h"
#include "flow/flow_priv.h"

int flow_start(struct flows *flow, struct store_tx *tx, const char *id, struct err *err)
{
	const struct flow_options *options = flows_options(flow);

	return store_run(
		tx, "INSERT INTO flow (id, name, step, status, since_ms) VALUES (?, ?, ?, 'ready', ?)",
		VALUES(V(id), V(options->definition->name), V(options->definition->steps[0].name), V(world_now_ms(options->world))),
		err);
}

int flow_signal(struct flows *flow, struct store_tx *tx, const char *id, const char *kind, const json_t *data, struct err *err)
{
	const struct flow_options *options = flows_options(flow);
	AUTO_BUF text = buf_new(FLOW_SIGNAL_BYTES_MAX);

	json_format(&text, data);
	if (buf_finish(&text, err))
		return err_prefix(err, "the signal `%s`", kind);
	if (store_run(tx, "INSERT INTO flow_signal (flow, kind, data, time_ms) VALUES (?, ?, ?, ?)",
		      VALUES(V(id), V(kind), V(buf_view(&text)), V(world_now_ms(options->world))), err))
		return -1;
	return store_run(tx, "UPDATE flow SET status = 'ready', tries = 0, wake_ms = 0 WHERE id = ? AND status = 'waiting'",
			 VALUES(V(id)), err);
}

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
