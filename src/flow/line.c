/* Where a workflow stands in line, told to people: what it waits for, if it is its turn that it waits for. */
#include <stdlib.h>

#include "base/scope.h"
#include "flow/flow_priv.h"

/* Of one that is ready. */
struct place {
	char *tenant;
	char *repository;
	char *home;
	int64_t priority;
	int64_t rank;
	int64_t wake_ms;
	char *error; /* of its last try */
	bool taken;
};

static void place_fini(struct place *place)
{
	free(place->tenant);
	free(place->repository);
	free(place->home);
	free(place->error);
}

static int place_read(struct store_tx *tx, const char *id, int64_t store_ms, struct place *place, bool *ready, struct err *err)
{
	AUTO_ROWS rows = {0};

	if (store_query(
		    tx, &rows,
		    "SELECT tenant, repository, home, priority, rank, wake_ms, CASE WHEN " PLANE_NOBODYS(
			    "flow") " THEN 1 ELSE 0 END, (SELECT text FROM flow_event WHERE flow_event.flow = flow.id AND kind = 'paused' AND"
				    " flow_event.seq = flow.version) FROM flow WHERE id = ? AND status = 'ready' AND ending IS NULL",
		    VALUES(V(store_ms), V(id)), err))
		return -1;
	*ready = store_rows_next(&rows);
	if (!*ready)
		return store_rows_finish(&rows, err);
	place->tenant = text_copy(store_rows_text(&rows, 0));
	place->repository = text_copy(store_rows_text(&rows, 1));
	place->home = text_copy(store_rows_text(&rows, 2));
	place->priority = store_rows_number(&rows, 3);
	place->rank = store_rows_number(&rows, 4);
	place->wake_ms = store_rows_number(&rows, 5);
	place->taken = !store_rows_number(&rows, 6);
	place->error = text_copy(store_rows_text(&rows, 7));
	return store_rows_finish(&rows, err);
}

/* How many of a tenant or a repository are being done. */
static int busy_count(struct flows *flow, struct store_tx *tx, const char *column, const char *value, int64_t store_ms,
		      int64_t *count, struct err *err)
{
	AUTO_FREE char *sql = text_format(
		"SELECT count(*) FROM flow JOIN lease ON lease.name = flow.owner AND lease.token = flow.fence WHERE"
		" flow.name = ? AND flow.%s = ? AND lease.until_ms > ?",
		column);

	return store_number_get(tx, count, 0, sql, VALUES(V(flows_options(flow)->definition->name), V(value), V(store_ms)), err);
}

static int home_is_gone(struct flows *flow, struct store_tx *tx, const struct place *place, int64_t store_ms, bool *gone,
			struct err *err)
{
	int64_t there = 1;

	if (place->home[0] && strcmp(place->home, flows_plane(flow)->lease.name) != 0 &&
	    store_number_get(tx, &there, 0, "SELECT count(*) FROM lease WHERE name = ? AND until_ms > ?",
			     VALUES(V(place->home), V(store_ms)), err))
		return -1;
	*gone = !there;
	return 0;
}

/* Those that go before it. */
static int line_say(struct flows *flow, struct store_tx *tx, const struct place *place, int64_t now_ms, struct buf *out,
		    struct err *err)
{
	int64_t before = 0;

	if (store_number_get(tx, &before, 0,
			     "SELECT count(*) FROM flow WHERE name = ? AND status = 'ready' AND wake_ms <= ? AND owner IS NULL AND"
			     " (priority > ? OR (priority = ? AND rank < ?))",
			     VALUES(V(flows_options(flow)->definition->name), V(now_ms), V(place->priority), V(place->priority),
				    V(place->rank)),
			     err))
		return -1;
	buf_add_format(out, "a free worker, %lld before it in line", (long long)before);
	return 0;
}

int flow_waits(struct flows *flow, struct store_tx *tx, const char *id, struct buf *out, struct err *err)
{
	const struct flow_options *options = flows_options(flow);
	__attribute__((cleanup(place_fini))) struct place place = {0};
	int64_t now_ms = world_now_ms(options->world);
	int64_t store_ms;
	int64_t tenant = 0;
	int64_t repository = 0;
	bool ready;
	bool gone;

	if (store_now_ms(tx, options->world, &store_ms, err) || place_read(tx, id, store_ms, &place, &ready, err))
		return -1;
	if (!ready || place.taken)
		return 0;
	if (home_is_gone(flow, tx, &place, store_ms, &gone, err) ||
	    (options->repository_max && busy_count(flow, tx, "repository", place.repository, store_ms, &repository, err)) ||
	    (options->tenant_max && busy_count(flow, tx, "tenant", place.tenant, store_ms, &tenant, err)))
		return -1;
	if (gone)
		buf_add_text(out, "its machine, which is gone, or another one");
	else if (place.wake_ms > now_ms)
		buf_add_format(out, "the next try in %lld s%s%.200s", (long long)(place.wake_ms - now_ms + 999) / 1000,
			       place.error ? ": " : "", place.error ? place.error : "");
	else if (options->repository_max && repository >= options->repository_max)
		buf_add_format(out, "the repository %s: %lld of %d at once are being done", place.repository, (long long)repository,
			       options->repository_max);
	else if (options->tenant_max && tenant >= options->tenant_max)
		buf_add_format(out, "the organisation %s: %lld of %d at once are being done", place.tenant, (long long)tenant,
			       options->tenant_max);
	else
		return line_say(flow, tx, &place, now_ms, out, err);
	return 0;
}
