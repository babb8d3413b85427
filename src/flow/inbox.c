/* Messages from outside. */
#include "flow/inbox.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/scope.h"
#include "flow/flow_priv.h"

int inbox_accept(struct store *store, struct world world, const struct inbox_message *message, bool *seen, struct err *err)
{
	AUTO_TX tx = {0};

	if (message->data.length > INBOX_BYTES_MAX)
		return err_set(err, ERR_LIMIT, "the message has more than %zu bytes", INBOX_BYTES_MAX);
	if (store_begin_free(store, &tx, err) ||
	    store_run(&tx,
		      "INSERT INTO inbox (source, delivery, content, stream, kind, data, time_ms) VALUES (?, ?, ?, ?, ?, ?, ?)"
		      " ON CONFLICT DO NOTHING",
		      VALUES(V(message->source), V(message->delivery), V(message->content),
			     V(message->stream ? message->stream : ""), V(message->kind), V(message->data), V(world_now_ms(world))),
		      err))
		return -1;
	*seen = store_changed(&tx) == 0;
	/* One that is known may have been committed and not synced by the call that took it: it is, after this. */
	return store_commit_synced(&tx, err);
}

/* One message as it was read; owned. */
struct taken {
	int64_t seq;
	int64_t tries;
	struct inbox_message message;
	char *texts[6];
};

static void taken_fini(struct taken *taken)
{
	for (size_t i = 0; i < ARRAY_LEN(taken->texts); i++)
		free(taken->texts[i]);
}

/* The first that is due, and whose stream has none before it. */
static int take(const struct inbox *inbox, struct store_tx *tx, struct taken *taken, bool *found, struct err *err)
{
	AUTO_FREE char *sql = text_format(
		"SELECT seq, tries, source, delivery, content, stream, kind, data FROM inbox WHERE status = 'new' AND wake_ms <= ?"
		" AND (stream = '' OR NOT EXISTS (SELECT 1 FROM inbox earlier WHERE earlier.status = 'new' AND"
		" earlier.source = inbox.source AND earlier.stream = inbox.stream AND earlier.seq < inbox.seq))"
		" ORDER BY seq LIMIT 1%s",
		store_skip_locked(tx));
	AUTO_ROWS rows = {0};

	if (store_query(tx, &rows, sql, VALUES(V(world_now_ms(inbox->world))), err))
		return -1;
	*found = store_rows_next(&rows);
	if (!*found)
		return store_rows_finish(&rows, err);
	taken->seq = store_rows_number(&rows, 0);
	taken->tries = store_rows_number(&rows, 1);
	for (size_t i = 0; i < ARRAY_LEN(taken->texts); i++)
		taken->texts[i] = text_copy(store_rows_text(&rows, (int)i + 2));
	taken->message = (struct inbox_message){taken->texts[0], taken->texts[1], taken->texts[2],
						taken->texts[3], taken->texts[4], view_of(taken->texts[5])};
	return 0;
}

/* It could not be acted on: what was begun is undone, and when it is tried again is stored. */
static int postpone(const struct inbox *inbox, const struct taken *taken, const struct err *failure, struct err *err)
{
	bool again = (failure->kind == ERR_RETRY || failure->kind == ERR_CONFLICT) && taken->tries + 1 < INBOX_TRIES_MAX;
	int64_t wake_ms = world_now_ms(inbox->world) +
			  flow_pause_ms(inbox->world, FLOW_RETRY_FIRST_MS, FLOW_RETRY_LONGEST_MS, (int)taken->tries + 1);
	AUTO_TX tx = {0};

	if (!again)
		log_warn("inbox=%lld source=%s delivery=%s dead: %s", (long long)taken->seq, taken->message.source,
			 taken->message.delivery, failure->text);
	if (store_begin(inbox->store, &tx, err) ||
	    store_run(&tx,
		      "UPDATE inbox SET status = ?, tries = tries + 1, wake_ms = ?, error = ? WHERE seq = ? AND status = 'new'",
		      VALUES(V(again ? "new" : "dead"), V(wake_ms), V(failure->text), V(taken->seq)), err))
		return -1;
	return store_commit(&tx, err);
}

static int work_one(const struct inbox *inbox, struct taken *taken, bool *did, struct err *err)
{
	struct err failure = {0};
	AUTO_TX tx = {0};

	if (store_begin(inbox->store, &tx, err) || take(inbox, &tx, taken, did, err))
		return -1;
	if (!*did)
		return 0;
	if (!inbox->act(inbox->self, &tx, &taken->message, &failure)) {
		if (store_run(&tx, "UPDATE inbox SET status = 'done', error = NULL WHERE seq = ?", VALUES(V(taken->seq)), err))
			return -1;
		return store_commit(&tx, err);
	}
	store_abort(&tx);
	if (failure.kind == ERR_CANCELLED)
		return err_set(err, ERR_CANCELLED, "%s", failure.text);
	return postpone(inbox, taken, &failure, err);
}

int inbox_work(const struct inbox *inbox, bool *did, struct err *err)
{
	struct taken taken = {0};
	int status;

	*did = false;
	status = work_one(inbox, &taken, did, err);
	taken_fini(&taken);
	return status;
}
