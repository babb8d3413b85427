/* Messages from outside. */
#include "flow/inbox.h"

#include <stdlib.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/scope.h"
#include "flow/flow_priv.h"

#define ACT_TOGETHER_MS 1 /* so long may acting hold the store before it looks who waits */
#define GIVE_WAY_MS 50    /* the longest that acting waits for those who keep */

/* ---- keeping ---- */

static int message_insert(struct store_tx *tx, struct world world, const struct inbox_message *message, bool *seen, struct err *err)
{
	if (FAULT("inbox.insert"))
		return err_set(err, ERR_BROKEN, "inbox: a fault was asked for");
	if (store_run(tx,
		      "INSERT INTO inbox (source, delivery, content, stream, kind, data, time_ms) VALUES (?, ?, ?, ?, ?, ?, ?)"
		      " ON CONFLICT DO NOTHING",
		      VALUES(V(message->source), V(message->delivery), V(message->content),
			     V(message->stream ? message->stream : ""), V(message->kind), V(message->data), V(world_now_ms(world))),
		      err))
		return -1;
	*seen = store_changed(tx) == 0;
	return 0;
}

static void results_fail(struct inbox_result *results, size_t count, const struct err *failure)
{
	for (size_t i = 0; i < count; i++)
		if (results[i].failure.kind == ERR_NONE)
			results[i].failure = *failure;
}

/* In one transaction, those that have not failed yet. false: one of them cannot be kept, and none is. */
static bool insert_all(struct store *store, struct world world, const struct inbox_message *messages, size_t count,
		       struct inbox_result *results)
{
	struct err failure = {0};
	AUTO_TX tx = {0};
	size_t left = 0;

	for (size_t i = 0; i < count; i++)
		left += results[i].failure.kind == ERR_NONE;
	if (!left)
		return true;
	if (store_begin_free(store, &tx, &failure)) {
		results_fail(results, count, &failure);
		return true;
	}
	for (size_t i = 0; i < count; i++) {
		if (results[i].failure.kind != ERR_NONE || !message_insert(&tx, world, &messages[i], &results[i].seen, &failure))
			continue;
		if (left > 1 && failure.kind != ERR_CANCELLED)
			return false;
		results_fail(results, count, &failure);
		return true;
	}
	/* One that is known may have been committed and not synced by the call that took it: it is, after this. */
	if (store_commit(&tx, &failure))
		results_fail(results, count, &failure);
	return true;
}

void inbox_accept_all(struct store *store, struct world world, const struct inbox_message *messages, size_t count,
		      struct inbox_result *results)
{
	struct err failure = {0};
	bool kept = false;

	for (size_t i = 0; i < count; i++) {
		results[i] = (struct inbox_result){0};
		if (messages[i].data.length > INBOX_BYTES_MAX)
			(void)err_set(&results[i].failure, ERR_LIMIT, "the message has more than %zu bytes", INBOX_BYTES_MAX);
	}
	store_hurry_begin(store);
	if (!insert_all(store, world, messages, count, results))
		for (size_t i = 0; i < count; i++)
			(void)insert_all(store, world, &messages[i], 1, &results[i]);
	store_hurry_end(store);
	for (size_t i = 0; i < count; i++)
		kept = kept || results[i].failure.kind == ERR_NONE;
	if (kept && store_sync(store, &failure))
		results_fail(results, count, &failure);
}

int inbox_accept(struct store *store, struct world world, const struct inbox_message *message, bool *seen, struct err *err)
{
	struct inbox_result result;

	inbox_accept_all(store, world, message, 1, &result);
	*seen = result.seen;
	return result.failure.kind == ERR_NONE ? 0 : err_set(err, result.failure.kind, "%s", result.failure.text);
}

/* ---- acting ---- */

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

/* Acts on what is due first and marks it done, in a transaction that goes on. */
static int act_in(const struct inbox *inbox, struct store_tx *tx, struct taken *taken, bool *did, struct err *failure,
		  struct err *err)
{
	if (take(inbox, tx, taken, did, err))
		return -1;
	if (!*did || inbox->act(inbox->self, tx, &taken->message, failure))
		return 0;
	failure->kind = ERR_NONE;
	/* Its names are known for as long as it may be sent again; what it says is the largest part of all that is written, and is read no more. */
	return store_run(tx, "UPDATE inbox SET status = 'done', data = '', error = NULL WHERE seq = ?", VALUES(V(taken->seq)), err);
}

/* What could not be acted on: a crash of the tests is none of its doing. */
static int put_off(const struct inbox *inbox, struct store_tx *tx, const struct taken *taken, const struct err *failure,
		   struct err *err)
{
	store_abort(tx);
	return failure->kind == ERR_CANCELLED ? err_set(err, ERR_CANCELLED, "%s", failure->text)
					      : postpone(inbox, taken, failure, err);
}

/* Up to `most` in one transaction. When one fails nothing of it is; unless it is the first, which is put off, *alone is how many are to be done one
 * by one. */
static int work_together(const struct inbox *inbox, int most, int *count, int *alone, struct err *err)
{
	int64_t until_ms = world_elapsed_ms(inbox->world) + ACT_TOGETHER_MS;
	bool did = true;
	AUTO_TX tx = {0};

	*count = *alone = 0;
	if (store_begin(inbox->store, &tx, err))
		return -1;
	while (did && *count < most) {
		__attribute__((cleanup(taken_fini))) struct taken taken = {0};
		struct err failure = {0};

		if (act_in(inbox, &tx, &taken, &did, &failure, err))
			return -1;
		*count += did;
		if (failure.kind != ERR_NONE && (*count == 1 || failure.kind == ERR_CANCELLED))
			return put_off(inbox, &tx, &taken, &failure, err);
		if (failure.kind != ERR_NONE) {
			*alone = *count;
			return 0;
		}
		if (world_elapsed_ms(inbox->world) >= until_ms && store_is_hurried(inbox->store))
			break;
	}
	return *count ? store_commit(&tx, err) : 0;
}

int inbox_work(const struct inbox *inbox, bool *did, struct err *err)
{
	int count;
	int alone;

	*did = false;
	store_give_way(inbox->store, GIVE_WAY_MS);
	if (work_together(inbox, INBOX_TOGETHER_MAX, &count, &alone, err))
		return -1;
	*did = count > 0;
	for (int left = alone; left > 0; left--) {
		if (work_together(inbox, 1, &count, &alone, err))
			return -1;
		if (!count)
			break;
	}
	return 0;
}
