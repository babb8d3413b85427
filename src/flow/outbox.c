/*
 * Effects outside.
 *
 * Theory of operation. An effect is taken in a free transaction (many senders take different rows), with the control plane's name and
 * token; it is sent without any transaction; and what came of it is stored if name and token are still there. When a control plane dies
 * in between, another takes the effect after its lease and sends it again, with tries > 1, so that `happened` is asked.
 */
#include "flow/outbox.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/scope.h"
#include "flow/flow_priv.h"

#define LIMIT_PAUSE_MS 60000 /* of a tenant whose service does not say how long */

/* ---- putting ---- */

static int chatter_drop(struct store_tx *tx, const struct outbox_effect *effect, struct err *err)
{
	if (!effect->chatter)
		return store_run(
			tx,
			"UPDATE outbox SET status = 'dropped' WHERE target = ? AND chatter = 1 AND status = 'queued' AND owner IS NULL",
			VALUES(V(effect->target)), err);
	return store_run(
		tx,
		"UPDATE outbox SET status = 'dropped' WHERE target = ? AND chatter = 1 AND status = 'queued' AND owner IS NULL AND"
		" seq <= (SELECT seq FROM outbox WHERE target = ? AND chatter = 1 AND status = 'queued'"
		" ORDER BY seq DESC LIMIT 1 OFFSET ?)",
		VALUES(V(effect->target), V(effect->target), V(OUTBOX_CHATTER_MAX - 1)), err);
}

int outbox_put(struct store_tx *tx, struct world world, const struct outbox_effect *effect, struct err *err)
{
	int64_t there = 0;

	if (strlen(effect->operation) > OUTBOX_OPERATION_MAX || effect->data.length > OUTBOX_BYTES_MAX)
		return err_set(err, ERR_LIMIT, "an effect has at most %zu bytes, and its name %zu", OUTBOX_BYTES_MAX,
			       OUTBOX_OPERATION_MAX);
	if (store_number_get(tx, &there, 0, "SELECT 1 FROM outbox WHERE operation = ?", VALUES(V(effect->operation)), err))
		return -1;
	if (there)
		return 0;
	if (chatter_drop(tx, effect, err))
		return -1;
	return store_run(tx,
			 "INSERT INTO outbox (operation, tenant, target, kind, data, chatter, time_ms) VALUES (?, ?, ?, ?, ?, ?, ?)"
			 " ON CONFLICT (operation) DO NOTHING",
			 VALUES(V(effect->operation), V(effect->tenant), V(effect->target), V(effect->kind), V(effect->data),
				V(effect->chatter), V(world_now_ms(world))),
			 err);
}

/* ---- sending ---- */

struct taken {
	int64_t seq;
	struct outbox_effect effect;
	char *texts[5];
};

static void taken_fini(struct taken *taken)
{
	for (size_t i = 0; i < ARRAY_LEN(taken->texts); i++)
		free(taken->texts[i]);
}

/* The first that is due, is nobody's, has none before it at its target, and whose tenant is not blocked. Finals go before chatter. */
static int find(const struct outbox *outbox, struct store_tx *tx, struct taken *taken, bool *found, struct err *err)
{
	AUTO_FREE char *sql = text_format(
		"SELECT seq, operation, tenant, target, kind, data, chatter, tries FROM outbox WHERE status = 'queued' AND"
		" wake_ms <= ? AND " PLANE_NOBODYS(
			"outbox") " AND NOT EXISTS (SELECT 1 FROM outbox earlier WHERE"
				  " earlier.target = outbox.target AND earlier.status = 'queued' AND earlier.seq < outbox.seq)"
				  " AND NOT EXISTS (SELECT 1 FROM outbox_tenant WHERE outbox_tenant.tenant = outbox.tenant AND"
				  " blocked_until_ms > ?) ORDER BY chatter, seq LIMIT 1%s",
		store_skip_locked(tx));
	int64_t now_ms = world_now_ms(outbox->world);
	int64_t store_ms;
	AUTO_ROWS rows = {0};

	if (store_now_ms(tx, outbox->world, &store_ms, err) ||
	    store_query(tx, &rows, sql, VALUES(V(now_ms), V(store_ms), V(now_ms)), err))
		return -1;
	*found = store_rows_next(&rows);
	if (!*found)
		return store_rows_finish(&rows, err);
	taken->seq = store_rows_number(&rows, 0);
	for (size_t i = 0; i < ARRAY_LEN(taken->texts); i++)
		taken->texts[i] = text_copy(store_rows_text(&rows, (int)i + 1));
	taken->effect = (struct outbox_effect){.operation = taken->texts[0],
					       .tenant = taken->texts[1],
					       .target = taken->texts[2],
					       .kind = taken->texts[3],
					       .data = view_of(taken->texts[4]),
					       .chatter = store_rows_number(&rows, 6) != 0,
					       .tries = (int)store_rows_number(&rows, 7) + 1};
	return 0;
}

static int take(const struct outbox *outbox, int64_t *sending, struct taken *taken, bool *found, struct err *err)
{
	const struct lease *lease = &outbox->plane->lease;
	AUTO_TX tx = {0};

	if (store_begin_free(outbox->store, &tx, err) || find(outbox, &tx, taken, found, err))
		return -1;
	if (!*found)
		return 0;
	__atomic_store_n(sending, taken->seq, __ATOMIC_SEQ_CST);
	if (store_run(&tx, "UPDATE outbox SET owner = ?, fence = ?, tries = tries + 1 WHERE seq = ?",
		      VALUES(V(lease->name), V(lease->token), V(taken->seq)), err))
		return -1;
	return store_commit_synced(&tx, err);
}

/* Stores what came of it, if it is still ours. */
static int settle(const struct outbox *outbox, const struct taken *taken, const char *status, int64_t wake_ms, const char *answer,
		  const struct err *failure, struct err *err)
{
	const struct lease *lease = &outbox->plane->lease;
	bool over = strcmp(status, "queued") != 0;
	AUTO_TX tx = {0};

	if (store_begin(outbox->store, &tx, err) ||
	    store_run(&tx,
		      "UPDATE outbox SET status = ?, wake_ms = ?, answer = ?, error = ?, owner = NULL WHERE seq = ? AND owner = ?"
		      " AND fence = ? AND status = 'queued'",
		      VALUES(V(status), V(wake_ms), V(answer), V(failure ? failure->text : NULL), V(taken->seq), V(lease->name),
			     V(lease->token)),
		      err))
		return -1;
	if (!store_changed(&tx))
		return err_set(err, ERR_CONFLICT, "the effect %s was taken over by another control plane", taken->effect.operation);
	if (over && outbox->settled && outbox->settled(outbox->self, &tx, &taken->effect, answer, failure, err))
		return -1;
	return store_commit(&tx, err);
}

/* The whole tenant waits. To be told to wait is no failure: it has all its tries again, and is known to have been tried. */
static int block(const struct outbox *outbox, const struct taken *taken, int64_t until_ms, const struct err *failure,
		 struct err *err)
{
	AUTO_TX tx = {0};

	if (until_ms <= world_now_ms(outbox->world))
		until_ms = world_now_ms(outbox->world) + LIMIT_PAUSE_MS;
	log_info("outbox tenant=%s blocked_ms=%lld: %s", taken->effect.tenant, (long long)(until_ms - world_now_ms(outbox->world)),
		 failure->text);
	if (store_begin(outbox->store, &tx, err) ||
	    store_run(&tx,
		      "INSERT INTO outbox_tenant (tenant, blocked_until_ms) VALUES (?, ?)"
		      " ON CONFLICT (tenant) DO UPDATE SET blocked_until_ms = excluded.blocked_until_ms",
		      VALUES(V(taken->effect.tenant), V(until_ms)), err) ||
	    store_run(&tx, "UPDATE outbox SET tries = 1 WHERE seq = ? AND owner = ? AND fence = ? AND tries > 1",
		      VALUES(V(taken->seq), V(outbox->plane->lease.name), V(outbox->plane->lease.token)), err) ||
	    store_commit(&tx, err))
		return -1;
	return settle(outbox, taken, "queued", 0, NULL, failure, err);
}

static int settle_failed(const struct outbox *outbox, const struct taken *taken, int64_t blocked_until_ms,
			 const struct err *failure, struct err *err)
{
	int64_t wake_ms = world_now_ms(outbox->world) +
			  flow_pause_ms(outbox->world, FLOW_RETRY_FIRST_MS, FLOW_RETRY_LONGEST_MS, taken->effect.tries);

	switch (failure->kind) {
	case ERR_CANCELLED:
		return err_set(err, ERR_CANCELLED, "%s", failure->text);
	case ERR_LIMIT:
		return block(outbox, taken, blocked_until_ms, failure, err);
	case ERR_RETRY:
	case ERR_CONFLICT:
		if (taken->effect.tries < OUTBOX_TRIES_MAX)
			return settle(outbox, taken, "queued", wake_ms, NULL, failure, err);
		break;
	case ERR_NONE:
	case ERR_INVALID:
	case ERR_NOT_FOUND:
	case ERR_DENIED:
	case ERR_BROKEN:
		break;
	}
	log_warn("outbox operation=%s target=%s dead: %s", taken->effect.operation, taken->effect.target, failure->text);
	return settle(outbox, taken, "dead", 0, NULL, failure, err);
}

static int send_one(struct outbox *outbox, const struct taken *taken, struct err *err)
{
	struct outbox_answer answer = {0};
	struct err failure = {0};
	bool happened = false;

	if (taken->effect.tries > 1 && outbox->happened &&
	    outbox->happened(outbox->self, &taken->effect, &happened, &answer, &failure))
		return settle_failed(outbox, taken, answer.blocked_until_ms, &failure, err);
	if (!happened && outbox->send(outbox->self, &taken->effect, &answer, &failure))
		return settle_failed(outbox, taken, answer.blocked_until_ms, &failure, err);
	return settle(outbox, taken, "sent", 0, answer.text, NULL, err);
}

/* ---- what was taken and left, because the store failed ---- */

static bool is_being_sent(struct outbox *outbox, int64_t seq)
{
	for (size_t i = 0; i < OUTBOX_SENDERS_MAX; i++)
		if (__atomic_load_n(&outbox->sending[i], __ATOMIC_SEQ_CST) == seq)
			return true;
	return false;
}

static int unsettled_release(struct outbox *outbox, struct err *err)
{
	const struct lease *lease = &outbox->plane->lease;
	AUTO_TX tx = {0};
	AUTO_ROWS rows = {0};

	if (store_begin(outbox->store, &tx, err) ||
	    store_query(&tx, &rows, "SELECT seq FROM outbox WHERE status = 'queued' AND owner = ? AND fence = ?",
			VALUES(V(lease->name), V(lease->token)), err))
		return -1;
	while (store_rows_next(&rows))
		if (!is_being_sent(outbox, store_rows_number(&rows, 0)) &&
		    store_run(&tx, "UPDATE outbox SET owner = NULL WHERE seq = ?", VALUES(V(store_rows_number(&rows, 0))), err))
			return -1;
	return store_rows_finish(&rows, err) ? -1 : store_commit(&tx, err);
}

/* A place for a sender's number; what is in it is being sent. -1 stands for one that is about to be taken. */
static int64_t *sending_take(struct outbox *outbox)
{
	for (size_t i = 0; i < OUTBOX_SENDERS_MAX; i++) {
		int64_t nothing = 0;

		if (__atomic_compare_exchange_n(&outbox->sending[i], &nothing, -1, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			return &outbox->sending[i];
	}
	return NULL;
}

int outbox_work(struct outbox *outbox, bool *did, struct err *err)
{
	struct taken taken = {0};
	int64_t *sending = sending_take(outbox);
	int64_t connects = store_connects(outbox->store);
	int status;

	*did = false;
	if (!sending)
		return err_set(err, ERR_LIMIT, "an outbox has at most %d senders", OUTBOX_SENDERS_MAX);
	if (__atomic_exchange_n(&outbox->connects, connects, __ATOMIC_SEQ_CST) != connects)
		__atomic_store_n(&outbox->unsettled, true, __ATOMIC_SEQ_CST);
	status = __atomic_exchange_n(&outbox->unsettled, false, __ATOMIC_SEQ_CST) && unsettled_release(outbox, err) ? -1
		 : take(outbox, sending, &taken, did, err)                                                          ? -1
		 : *did ? send_one(outbox, &taken, err)
			: 0;
	__atomic_store_n(sending, 0, __ATOMIC_SEQ_CST);
	if (status)
		__atomic_store_n(&outbox->unsettled, true, __ATOMIC_SEQ_CST);
	taken_fini(&taken);
	return status;
}
