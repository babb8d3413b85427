/* What deliveries may have missed: the host is asked, every few minutes. */
#include <stdlib.h>

#include "base/log.h"
#include "base/scope.h"
#include "runs/remote.h"
#include "runs/runs_priv.h"

#define BACK_MS ((int64_t)3 * 24 * 3600 * 1000) /* GitHub keeps deliveries for three days */
#define LOOKS_MAX 200

static int sweep_send(struct runs *runs, const struct outbox_effect *effect, struct outbox_answer *answer, struct err *err)
{
	AUTO_JSON data = json_parse(effect->data, err);
	AUTO_CONNECTION connection = {0};
	struct remote_told told = {0};
	struct remote remote;
	int asked = 0;

	if (!data || connection_load(runs, json_text(data, "connection", ""), &connection, err) ||
	    remote_open(runs, &connection, &remote, err))
		return -1;
	if (!remote.ops->sweep)
		return 0;
	if (remote.ops->sweep(remote.self, world_now_ms(runs->options.world) - BACK_MS, &asked, &told, err))
		return remote_failed(&told, answer);
	if (asked)
		log_info("connection=%s: %d deliveries did not arrive, and are sent again", connection.name, asked);
	return 0;
}

const struct effect_kind effect_sweep = {"forge.sweep", sweep_send, NULL, NULL};

/* Chatter: one that waits still is enough. */
static int sweeps_put(struct runs *runs, struct store_tx *tx, int64_t now_ms, struct err *err)
{
	AUTO_ROWS rows = {0};

	if (store_query(tx, &rows, "SELECT DISTINCT connection FROM repository ORDER BY connection", NO_VALUES, err))
		return -1;
	while (store_rows_next(&rows)) {
		const char *connection = store_rows_text(&rows, 0);
		AUTO_FREE char *operation = text_format("sweep/%s/%lld", connection, (long long)now_ms);
		AUTO_FREE char *target = text_format("forge/%s", connection);
		AUTO_JSON data = json_pack("{s:s}", "connection", connection);

		if (effect_put(runs, tx,
			       &(struct effect){.kind = "forge.sweep",
						.operation = operation,
						.tenant = target,
						.target = target,
						.data = data,
						.chatter = true},
			       err))
			return -1;
	}
	return store_rows_finish(&rows, err);
}

struct look {
	int64_t pull;
	int64_t number;
	char *name;
	char *run;
};

static int look_put(struct runs *runs, struct store_tx *tx, const struct look *look, int64_t now_ms, struct err *err)
{
	AUTO_FREE char *operation = text_format("%s#%lld/forge.look/%lld", look->name, (long long)look->number, (long long)now_ms);
	AUTO_FREE char *target = text_format("#%lld/in", (long long)look->number);
	AUTO_PLACE place = {0};
	bool found;

	if (place_find(tx, look->name, &place, &found, err))
		return -1;
	if (!found)
		return 0;
	return remote_put(
		runs, tx, &place, "forge.look", operation, target, true,
		json_pack("{s:I, s:I, s:s?}", "pull", (json_int_t)look->pull, "number", (json_int_t)look->number, "run", look->run),
		err);
}

static int looks_read(struct store_tx *tx, struct look looks[LOOKS_MAX], size_t *count, struct err *err)
{
	AUTO_ROWS rows = {0};

	*count = 0;
	if (store_query(
		    tx, &rows,
		    "SELECT pull_remote.pull, pull_remote.number, pull_remote.repository, pull.run FROM pull_remote JOIN pull ON"
		    " pull.number = pull_remote.pull WHERE pull.state = 'open' ORDER BY pull_remote.pull DESC LIMIT 200",
		    NO_VALUES, err))
		return -1;
	while (*count < LOOKS_MAX && store_rows_next(&rows))
		looks[(*count)++] = (struct look){.pull = store_rows_number(&rows, 0),
						  .number = store_rows_number(&rows, 1),
						  .name = text_copy(store_rows_text(&rows, 2)),
						  .run = text_copy(store_rows_text(&rows, 3))};
	return store_rows_finish(&rows, err);
}

int remote_reconcile(void *self, struct err *err)
{
	struct runs *runs = self;
	int64_t now_ms = world_now_ms(runs->options.world);
	struct look looks[LOOKS_MAX];
	size_t count = 0;
	AUTO_TX tx = {0};
	int status = store_begin(runs->store, &tx, err) || sweeps_put(runs, &tx, now_ms, err) || looks_read(&tx, looks, &count, err)
			     ? -1
			     : 0;

	for (size_t i = 0; i < count; i++) {
		if (!status)
			status = look_put(runs, &tx, &looks[i], now_ms, err);
		free(looks[i].name);
		free(looks[i].run);
	}
	return status ? -1 : store_commit(&tx, err);
}
