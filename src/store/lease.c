/* Leases are rows: a name, its owner, the token, until when. */
#include "store/lease.h"

#include <stdio.h>

#include "base/log.h"
#include "base/scope.h"

static int lost(const struct lease *lease, struct err *err)
{
	return err_set(err, ERR_CONFLICT, "%s is no longer held by %s: another control plane took over", lease->name, lease->owner);
}

int lease_take(struct store *store, struct world world, const char *name, const char *owner, int64_t life_ms, struct lease *lease,
	       struct err *err)
{
	AUTO_TX tx = {0};
	int64_t now_ms = 0;

	*lease = (struct lease){0};
	(void)snprintf(lease->name, sizeof(lease->name), "%s", name);
	(void)snprintf(lease->owner, sizeof(lease->owner), "%s", owner);
	if (store_begin(store, &tx, err) || store_now_ms(&tx, world, &now_ms, err) ||
	    store_run(&tx,
		      "INSERT INTO lease (name, owner, token, until_ms) VALUES (?, ?, 1, ?) ON CONFLICT (name) DO UPDATE"
		      " SET owner = excluded.owner, token = lease.token + 1, until_ms = excluded.until_ms"
		      " WHERE lease.owner = excluded.owner OR lease.until_ms <= ?",
		      VALUES(V(name), V(owner), V(now_ms + life_ms), V(now_ms)), err))
		return -1;
	if (!store_changed(&tx))
		return err_set(err, ERR_CONFLICT, "%s is held by another control plane", name);
	if (store_number_get(&tx, &lease->token, 0, "SELECT token FROM lease WHERE name = ?", VALUES(V(name)), err) ||
	    store_commit(&tx, err)) {
		lease->token = 0;
		return -1;
	}
	return 0;
}

int lease_renew(struct store *store, struct world world, const struct lease *lease, int64_t life_ms, struct err *err)
{
	AUTO_TX tx = {0};
	int64_t now_ms = 0;

	if (store_begin(store, &tx, err) || store_now_ms(&tx, world, &now_ms, err) ||
	    store_run(&tx, "UPDATE lease SET until_ms = ? WHERE name = ? AND owner = ? AND token = ?",
		      VALUES(V(now_ms + life_ms), V(lease->name), V(lease->owner), V(lease->token)), err))
		return -1;
	return store_changed(&tx) ? store_commit(&tx, err) : lost(lease, err);
}

int lease_check(struct store_tx *tx, const struct lease *lease, struct err *err)
{
	int64_t token = 0;

	if (store_number_get(tx, &token, 0, "SELECT token FROM lease WHERE name = ? AND owner = ?",
			     VALUES(V(lease->name), V(lease->owner)), err))
		return -1;
	return token == lease->token && token ? 0 : lost(lease, err);
}

void lease_release(struct store *store, struct world world, struct lease *lease)
{
	struct err err = {0};
	int64_t now_ms = 0;
	AUTO_TX tx = {0};

	if (!lease->token)
		return;
	if (store_begin(store, &tx, &err) || store_now_ms(&tx, world, &now_ms, &err) ||
	    store_run(&tx, "UPDATE lease SET until_ms = ? WHERE name = ? AND token = ?",
		      VALUES(V(now_ms), V(lease->name), V(lease->token)), &err) ||
	    store_commit(&tx, &err))
		log_info("lease=%s: %s: it runs out by itself", lease->name, err.text);
	lease->token = 0;
}
