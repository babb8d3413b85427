/*
 * What happens to a workflow: appended, folded into its row, and folded again to see whether the row is right.
 *
 * Theory of operation. The list of events is the truth. event_append() is the only writer of it: it asks for the version that its caller
 * read, so that of two writers one is told to read again. The rows of `flow` and `flow_visit` are what position_fold() and
 * visit_store() make of the list; nothing else changes them, but for who is on it (`owner`, `fence`), its place in line, and wake_ms
 * of one that waits, which is set to look again at every start.
 */
#include <stdio.h>

#include "base/log.h"
#include "base/scope.h"
#include "flow/flow_priv.h"

#include <assert.h>

static const struct status_row {
	const char *name;
	unsigned next; /* bits of enum flow_status */
} statuses[] = {
	[FLOW_READY] = {"ready", 1u << FLOW_READY | 1u << FLOW_WAITING | 1u << FLOW_DONE | 1u << FLOW_FAILED | 1u << FLOW_STOPPED},
	[FLOW_WAITING] = {"waiting", 1u << FLOW_READY | 1u << FLOW_WAITING | 1u << FLOW_FAILED | 1u << FLOW_STOPPED},
	[FLOW_DONE] = {"done", 1u << FLOW_DONE},
	[FLOW_FAILED] = {"failed", 1u << FLOW_READY | 1u << FLOW_FAILED},
	[FLOW_STOPPED] = {"stopped", 1u << FLOW_READY | 1u << FLOW_STOPPED},
};

static const char *const kinds[] = {
	[EVENT_IMPORTED] = "imported", [EVENT_STARTED] = "started",   [EVENT_BEGUN] = "begun",   [EVENT_WENT] = "went",
	[EVENT_PARKED] = "parked",     [EVENT_WOKEN] = "woken",       [EVENT_PAUSED] = "paused", [EVENT_SIGNALLED] = "signalled",
	[EVENT_FAILING] = "failing",   [EVENT_STOPPING] = "stopping", [EVENT_UNDONE] = "undone", [EVENT_ENDED] = "ended",
	[EVENT_RETRIED] = "retried",
};

const char *flow_status_name(enum flow_status status)
{
	return statuses[status].name;
}

static enum flow_status status_parse(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(statuses); i++)
		if (name && strcmp(statuses[i].name, name) == 0)
			return (enum flow_status)i;
	return FLOW_FAILED;
}

void position_read(struct position *position, struct store_rows *rows)
{
	*position = (struct position){.status = status_parse(store_rows_text(rows, 2)),
				      .tries = (int)store_rows_number(rows, 4),
				      .wake_ms = store_rows_number(rows, 5),
				      .version = store_rows_number(rows, 6),
				      .visit = store_rows_number(rows, 7),
				      .fence = store_rows_number(rows, 10)};
	position->ending = store_rows_null(rows, 3) ? FLOW_READY : status_parse(store_rows_text(rows, 3));
	(void)snprintf(position->id, sizeof(position->id), "%s", store_rows_text(rows, 0));
	(void)snprintf(position->step, sizeof(position->step), "%s", store_rows_text(rows, 1));
	(void)snprintf(position->error, sizeof(position->error), "%s", store_rows_null(rows, 8) ? "" : store_rows_text(rows, 8));
	(void)snprintf(position->owner, sizeof(position->owner), "%s", store_rows_null(rows, 9) ? "" : store_rows_text(rows, 9));
}

int position_get(struct store_tx *tx, const char *id, struct position *position, struct err *err)
{
	AUTO_ROWS rows = {0};

	if (store_query(tx, &rows, "SELECT " POSITION_COLUMNS " FROM flow WHERE id = ?", VALUES(V(id)), err))
		return -1;
	if (!store_rows_next(&rows))
		return store_rows_finish(&rows, err) ? -1 : err_set(err, ERR_NOT_FOUND, "no workflow %s", id);
	position_read(position, &rows);
	return 0;
}

static void position_go(struct position *position, const char *step)
{
	if (step != position->step)
		(void)snprintf(position->step, sizeof(position->step), "%s", step);
	position->status = FLOW_READY;
	position->tries = 0;
	position->wake_ms = 0;
	if (position->ending == FLOW_READY)
		position->error[0] = '\0';
}

static void position_error(struct position *position, const char *text)
{
	(void)snprintf(position->error, sizeof(position->error), "%s", text ? text : "");
}

/* The one place that says what an event means. */
static void position_fold(struct position *position, const struct event *event)
{
	enum flow_status before = position->status;

	position->version++;
	switch (event->kind) {
	case EVENT_IMPORTED:
		before = FLOW_READY;
		position_go(position, event->step);
		position->status = status_parse(event->next);
		position->tries = (int)event->number;
		position_error(position, event->text);
		break;
	case EVENT_STARTED:
		position_go(position, event->step);
		break;
	case EVENT_BEGUN:
		if (!position->visit)
			position->visit = position->version;
		position->tries++;
		position->wake_ms = 0;
		break;
	case EVENT_WENT:
		position->visit = 0;
		position_go(position, event->next ? event->next : position->step);
		if (!event->next) {
			position->status = FLOW_DONE;
			position->ending = FLOW_READY;
			position->error[0] = '\0';
		}
		break;
	case EVENT_PARKED:
		position->status = position->ending == FLOW_READY ? FLOW_WAITING : FLOW_READY;
		position->tries = 0;
		position->wake_ms = position->ending == FLOW_READY ? event->number : 0;
		break;
	case EVENT_PAUSED:
		position->wake_ms = event->number;
		if (position->ending != FLOW_READY)
			position->tries++; /* of an undo, which does not begin visits */
		break;
	case EVENT_WOKEN:
	case EVENT_SIGNALLED:
		if (position->status == FLOW_WAITING)
			position_go(position, position->step);
		break;
	case EVENT_FAILING:
	case EVENT_STOPPING:
		position->status = FLOW_READY;
		position->wake_ms = 0;
		position->tries = 0;
		if (position->ending == FLOW_READY) {
			position->ending = event->kind == EVENT_FAILING ? FLOW_FAILED : FLOW_STOPPED;
			position_error(position, event->text);
		}
		if (event->kind == EVENT_FAILING)
			position->visit = 0;
		break;
	case EVENT_UNDONE:
		position->tries = 0;
		position->wake_ms = 0;
		break;
	case EVENT_ENDED:
		position->status = position->ending;
		position->ending = FLOW_READY;
		position->visit = 0;
		position->tries = 0;
		position->wake_ms = 0;
		break;
	case EVENT_RETRIED:
		position_go(position, event->next);
		break;
	}
	assert(statuses[before].next & 1u << position->status);
	(void)before;
}

/* What people see of a visit. */
static int visit_store(struct store_tx *tx, int64_t now_ms, const struct position *before, const struct position *after,
		       const struct event *event, struct err *err)
{
	const char *status = event->kind == EVENT_PARKED    ? "waiting"
			     : event->kind == EVENT_FAILING ? "failed"
			     : event->kind == EVENT_WENT    ? "done"
							    : "running";
	bool over = event->kind == EVENT_FAILING || event->kind == EVENT_WENT;

	switch (event->kind) {
	case EVENT_BEGUN:
		if (before->visit)
			return store_run(tx, "UPDATE flow_visit SET status = 'running' WHERE flow = ? AND seq = ?",
					 VALUES(V(before->id), V(before->visit)), err);
		return store_run(tx,
				 "INSERT INTO flow_visit (flow, seq, step, visit, status, started_ms) VALUES (?, ?, ?,"
				 " 1 + (SELECT count(*) FROM flow_visit WHERE flow = ? AND step = ?), 'running', ?)",
				 VALUES(V(after->id), V(after->visit), V(after->step), V(after->id), V(after->step), V(now_ms)),
				 err);
	case EVENT_WENT:
	case EVENT_PARKED:
	case EVENT_PAUSED:
	case EVENT_FAILING:
		return store_run(tx, "UPDATE flow_visit SET status = ?, detail = ?, ended_ms = ? WHERE flow = ? AND seq = ?",
				 VALUES(V(status), V(event->text ? event->text : ""), over ? V(now_ms) : store_value_text(NULL),
					V(before->id), V(before->visit)),
				 err);
	case EVENT_ENDED:
		return store_run(tx, "UPDATE flow_visit SET status = 'failed', ended_ms = ? WHERE flow = ? AND ended_ms IS NULL",
				 VALUES(V(now_ms), V(before->id)), err);
	case EVENT_UNDONE:
		return store_run(tx, "UPDATE flow_visit SET undone = 1 WHERE flow = ? AND step = ?",
				 VALUES(V(before->id), V(event->step)), err);
	case EVENT_IMPORTED:
	case EVENT_STARTED:
	case EVENT_WOKEN:
	case EVENT_SIGNALLED:
	case EVENT_STOPPING:
	case EVENT_RETRIED:
		break;
	}
	return 0;
}

int event_append(struct store_tx *tx, int64_t now_ms, struct position *position, const struct event *event, struct err *err)
{
	struct position after = *position;
	struct event whole = *event;

	if (!whole.step)
		whole.step = position->step;
	position_fold(&after, &whole);
	log_debug("flow=%s event=%s version=%lld step=%s status=%s from=%s:%s", after.id, kinds[whole.kind],
		  (long long)after.version, after.step, statuses[after.status].name, position->step,
		  statuses[position->status].name);
	if (store_run(tx,
		      "INSERT INTO flow_event (flow, seq, time_ms, kind, step, next, number, text) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		      VALUES(V(after.id), V(after.version), V(now_ms), V(kinds[whole.kind]), V(whole.step), V(whole.next),
			     V(whole.number), V(whole.text)),
		      err) ||
	    store_run(
		    tx,
		    "UPDATE flow SET step = ?, status = ?, ending = ?, tries = ?, wake_ms = ?, since_ms = ?, error = ?, version = ?,"
		    " visit = ?, owner = ?, fence = ? WHERE id = ? AND version = ?",
		    VALUES(V(after.step), V(statuses[after.status].name),
			   after.ending == FLOW_READY ? store_value_text(NULL) : V(statuses[after.ending].name), V(after.tries),
			   V(after.wake_ms), V(now_ms), after.error[0] ? V((const char *)after.error) : store_value_text(NULL),
			   V(after.version), V(after.visit), after.owner[0] ? V((const char *)after.owner) : store_value_text(NULL),
			   V(after.fence), V(after.id), V(position->version)),
		    err))
		return -1;
	if (!store_changed(tx))
		return err_set(err, ERR_CONFLICT, "workflow %s has changed since it was read", after.id);
	if (visit_store(tx, now_ms, position, &after, &whole, err))
		return -1;
	*position = after;
	return 0;
}

/* ---- are the rows what the events say? ---- */

static int kind_parse(const char *name, enum event_kind *kind, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (strcmp(kinds[i], name) == 0) {
			*kind = (enum event_kind)i;
			return 0;
		}
	return err_set(err, ERR_BROKEN, "an event of the unknown kind `%.40s`", name);
}

static int events_fold(struct store_tx *tx, const struct position *row, struct position *folded, struct err *err)
{
	AUTO_ROWS rows = {0};

	*folded = (struct position){.status = FLOW_READY};
	if (store_query(tx, &rows, "SELECT seq, kind, step, next, number, text FROM flow_event WHERE flow = ? ORDER BY seq",
			VALUES(V(row->id)), err))
		return -1;
	while (store_rows_next(&rows)) {
		struct event event = {.step = store_rows_text(&rows, 2),
				      .next = store_rows_text(&rows, 3),
				      .number = store_rows_number(&rows, 4),
				      .text = store_rows_text(&rows, 5)};

		if (kind_parse(store_rows_text(&rows, 1), &event.kind, err))
			return -1;
		if (event.kind == EVENT_IMPORTED)
			folded->version = store_rows_number(&rows, 0) - 1;
		if (folded->version + 1 != store_rows_number(&rows, 0))
			return err_set(err, ERR_BROKEN, "event %lld is missing", (long long)folded->version + 1);
		position_fold(folded, &event);
	}
	return store_rows_finish(&rows, err);
}

static int position_check(struct store_tx *tx, const struct position *row, struct err *err)
{
	struct position folded;

	if (events_fold(tx, row, &folded, err))
		return -1;
	if (folded.version != row->version || folded.status != row->status || folded.ending != row->ending ||
	    folded.tries != row->tries || strcmp(folded.step, row->step) != 0 || strcmp(folded.error, row->error) != 0)
		return err_set(err, ERR_BROKEN, "its events lead to %s:%s at version %lld, its row says %s:%s at %lld", folded.step,
			       statuses[folded.status].name, (long long)folded.version, row->step, statuses[row->status].name,
			       (long long)row->version);
	return 0;
}

int flows_check(struct store_tx *tx, struct err *err)
{
	AUTO_ROWS rows = {0};

	if (store_query(tx, &rows, "SELECT " POSITION_COLUMNS " FROM flow ORDER BY id", NO_VALUES, err))
		return -1;
	while (store_rows_next(&rows)) {
		struct position row;

		position_read(&row, &rows);
		if (position_check(tx, &row, err))
			return err_prefix(err, "workflow %s", row.id);
	}
	return store_rows_finish(&rows, err);
}
