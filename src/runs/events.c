/* The timeline of a run, and the machine's changes. */
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/scope.h"
#include "runs/runs_priv.h"
#include "runs/thread.h"

#define EVENT_BYTES_MAX ((size_t)1 << 20)
#define EVENTS_LOOKED_BACK 50

int event_add_in(struct runs *runs, struct store_tx *tx, const char *run, const char *type, json_t *data, struct err *err)
{
	AUTO_JSON owned = data ? data : json_object(); /* a row that is none could be read by nobody, with all around it */
	AUTO_BUF text = buf_new(EVENT_BYTES_MAX);
	int64_t last = 0;

	if (store_number_get(tx, &last, 0, "SELECT max(seq) FROM run_event WHERE run = ?", VALUES(V(run)), err))
		return -1;
	if (last >= RUN_EVENTS_MAX && strcmp(type, "agent") == 0)
		return 0;
	json_format(&text, owned);
	if (buf_finish(&text, err))
		return err_prefix(err, "the event `%s`", type);
	if (store_run(tx, "INSERT INTO run_event (run, seq, time_ms, type, data) VALUES (?, ?, ?, ?, ?)",
		      VALUES(V(run), V(last + 1), V(world_now_ms(runs->options.world)), V(type), V(buf_view(&text))), err))
		return -1;
	return thread_event_in(runs, tx, run, last + 1, type, owned, err);
}

void event_add(struct runs *runs, const char *run, const char *type, json_t *data)
{
	struct err err = {0};
	AUTO_TX tx = {0};

	if (store_begin(runs->store, &tx, &err))
		json_decref(data);
	else if (!event_add_in(runs, &tx, run, type, data, &err) && !store_commit(&tx, &err))
		return;
	log_warn("run=%s event=%s: %s", run, type, err.text);
}

void event_note(struct runs *runs, const char *run, const char *format, ...)
{
	json_t *data = json_object();
	char text[1024];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	json_set_bytes(data, "text", view_of(text)); /* which may be cut within a character */
	event_add(runs, run, "note", data);
}

void event_text_set(json_t *object, const char *key, struct view text)
{
	AUTO_BUF cut = buf_new(RUN_EVENT_TEXT_MAX + 64);

	if (text.length <= RUN_EVENT_TEXT_MAX) {
		json_set_bytes(object, key, text);
		return;
	}
	buf_add(&cut, text.at, RUN_EVENT_TEXT_MAX);
	buf_add_format(&cut, "\n[%zu more bytes]", text.length - RUN_EVENT_TEXT_MAX);
	json_set_bytes(object, key, buf_view(&cut));
}

int change_add_in(struct runs *runs, struct store_tx *tx, const char *kind, const char *key, struct store_value value,
		  const char *state, struct err *err)
{
	AUTO_JSON data = json_object();
	AUTO_BUF text = buf_new(4096);
	int64_t seq;

	if (value.kind == STORE_NUMBER)
		(void)json_object_set_new(data, key, json_integer(value.number));
	else
		json_set_bytes(data, key, value.text);
	if (state)
		json_set_bytes(data, "state", view_of(state));
	json_format(&text, data);
	if (store_run(tx, "INSERT INTO change (time_ms, kind, data) VALUES (?, ?, ?)",
		      VALUES(V(world_now_ms(runs->options.world)), V(kind), V(buf_view(&text))), err))
		return -1;
	seq = store_last_id(tx);
	if (hook_put_in(runs, tx, seq, kind, data, err))
		return -1;
	if (seq % 100 == 0)
		return store_run(tx, "DELETE FROM change WHERE seq <= ?", VALUES(V(seq - RUN_CHANGES_KEPT)), err);
	return 0;
}

void change_add(struct runs *runs, const char *kind, const char *key, struct store_value value, const char *state)
{
	struct err err = {0};
	AUTO_TX tx = {0};

	if (store_begin(runs->store, &tx, &err) || change_add_in(runs, &tx, kind, key, value, state, &err) ||
	    store_commit(&tx, &err))
		log_warn("change of %s: %s", kind, err.text);
}

/* Rows of (seq, time_ms, name, data): the data's members with seq, time_ms and the name put in front. */
static json_t *items_read(struct runs *runs, const char *sql, const struct store_value *values, size_t count, const char *name,
			  struct err *err)
{
	AUTO_JSON items = json_array();
	AUTO_TX tx = {0};
	AUTO_ROWS rows = {0};

	if (store_begin(runs->store, &tx, err) || store_query(&tx, &rows, sql, values, count, err))
		return NULL;
	while (store_rows_next(&rows)) {
		json_t *item = json_object();
		json_t *data = json_parse(view_of(store_rows_text(&rows, 3)), err);

		(void)json_array_append_new(items, item);
		if (!data)
			return NULL;
		(void)json_object_set_new(item, "seq", store_rows_json(&rows, 0));
		(void)json_object_set_new(item, "time_ms", store_rows_json(&rows, 1));
		(void)json_object_set_new(item, name, store_rows_json(&rows, 2));
		(void)json_object_update_missing(item, data);
		json_decref(data);
	}
	return store_rows_finish(&rows, err) ? NULL : TAKE(items);
}

/* Reads, and when there is nothing waits for a commit and reads again, until wait_ms are over. */
static json_t *items_wait(struct runs *runs, const char *sql, const struct store_value *values, size_t count, const char *name,
			  int64_t wait_ms, struct err *err)
{
	int64_t until_ms = world_elapsed_ms(world_real) + wait_ms;

	for (;;) {
		int64_t seen = store_version(runs->store);
		json_t *items = items_read(runs, sql, values, count, name, err);
		int64_t left_ms = until_ms - world_elapsed_ms(world_real);

		if (!items || json_array_size(items) || left_ms <= 0)
			return items;
		json_decref(items);
		store_wait(runs->store, seen, left_ms);
	}
}

static int limit_of(int limit)
{
	return limit < 1 || limit > RUNS_EVENTS_MAX ? RUNS_EVENTS_MAX : limit;
}

json_t *runs_events(struct runs *runs, struct run_id id, int64_t after, int limit, int64_t wait_ms, struct err *err)
{
	return items_wait(runs, "SELECT seq, time_ms, type, data FROM run_event WHERE run = ? AND seq > ? ORDER BY seq LIMIT ?",
			  VALUES(V(id.text), V(after), V(limit_of(limit))), "type", wait_ms, err);
}

static void member_copy(json_t *turn, const json_t *event, const char *name)
{
	json_t *value = json_member(event, name);

	if (value)
		(void)json_object_set(turn, name, value);
}

/* One that began before it has no end: it was cut off. */
static json_t *turn_begin(json_t *turns, const json_t *event)
{
	json_t *last = json_array_get(turns, json_array_size(turns) - 1);
	json_t *turn = json_pack("{s:I, s:s, s:I}", "number", (json_int_t)json_array_size(turns) + 1, "state", "working",
				 "began_ms", (json_int_t)json_number(event, "time_ms", 0));

	if (last && strcmp(json_text(last, "state", ""), "working") == 0)
		(void)json_object_set_new(last, "state", json_string("cut"));
	(void)json_array_append_new(turns, turn);
	return turn;
}

static void turns_add(json_t *turns, const json_t *event)
{
	static const char *const said[] = {"model", "session", "text", "error", "usage"};
	json_t *turn = json_array_get(turns, json_array_size(turns) - 1);
	const char *kind = json_text(event, "kind", "");
	bool ends = strcmp(kind, "end") == 0;

	if (!ends && strcmp(kind, "start") != 0)
		return; /* the words stood in a text */
	if (!ends || !turn || strcmp(json_text(turn, "state", ""), "working") != 0)
		turn = turn_begin(turns, event);
	for (size_t i = 0; i < ARRAY_LEN(said); i++)
		member_copy(turn, event, said[i]);
	if (!ends)
		return;
	(void)json_object_set_new(turn, "ended_ms", json_integer((json_int_t)json_number(event, "time_ms", 0)));
	(void)json_object_set_new(turn, "state", json_string(json_flag(event, "ok", false) ? "done" : "failed"));
}

json_t *runs_turns(struct runs *runs, struct run_id id, struct err *err)
{
	AUTO_RUN run = {0};
	AUTO_JSON turns = json_array();
	AUTO_JSON events = NULL;
	json_t *item;
	size_t i;

	if (run_load(runs, id.text, &run, err))
		return NULL;
	events = items_read(runs,
			    "SELECT seq, time_ms, type, data FROM run_event WHERE run = ? AND type = 'agent' AND"
			    " (data LIKE '%\"kind\":\"start\"%' OR data LIKE '%\"kind\":\"end\"%') ORDER BY seq LIMIT ?",
			    VALUES(V(id.text), V(RUNS_TURNS_MAX)), "type", err);
	if (!events)
		return NULL;
	json_array_foreach(events, i, item)
		turns_add(turns, item);
	item = json_array_get(turns, json_array_size(turns) - 1);
	if (item && strcmp(json_text(item, "state", ""), "working") == 0 && strcmp(run.state, "turn") != 0)
		(void)json_object_set_new(item, "state", json_string("cut"));
	return TAKE(turns);
}

json_t *runs_changes(struct runs *runs, int64_t after, int limit, int64_t wait_ms, struct err *err)
{
	return items_wait(runs, "SELECT seq, time_ms, kind, data FROM change WHERE seq > ? ORDER BY seq LIMIT ?",
			  VALUES(V(after), V(limit_of(limit))), "kind", wait_ms, err);
}

int runs_changes_end(struct runs *runs, int64_t *seq, struct err *err)
{
	AUTO_TX tx = {0};

	return store_begin(runs->store, &tx, err) ? -1 : store_number_get(&tx, seq, 0, "SELECT max(seq) FROM change", NULL, 0, err);
}

char *runs_last_action(struct runs *runs, struct run_id id)
{
	struct err err = {0};
	AUTO_JSON items = items_read(runs,
				     "SELECT seq, time_ms, type, data FROM run_event WHERE run = ? AND type = 'agent'"
				     " ORDER BY seq DESC LIMIT ?",
				     VALUES(V(id.text), V(EVENTS_LOOKED_BACK)), "type", &err);
	json_t *event;
	size_t i;

	json_array_foreach(items, i, event) {
		const char *title = json_text(event, "title", "");

		if (strcmp(json_text(event, "kind", ""), "action") == 0)
			return text_format("%.60s%s%.200s", json_text(event, "tool", ""), title[0] ? ": " : "", title);
	}
	return NULL;
}
