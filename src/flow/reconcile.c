/* Reconcilers: when each was done last is a row. */
#include "flow/reconcile.h"

#include <stdio.h>

#include "base/log.h"
#include "base/scope.h"
#include "store/lease.h"

#define LIFE_MS 600000 /* of the lease of one that is being done: longer than any takes */

static int is_due(struct store *store, struct world world, const struct reconciler *reconciler, bool *due, struct err *err)
{
	int64_t now_ms;
	int64_t last_ms;
	AUTO_TX tx = {0};

	if (store_begin_free(store, &tx, err) || store_now_ms(&tx, world, &now_ms, err) ||
	    store_number_get(&tx, &last_ms, INT64_MIN, "SELECT last_ms FROM reconciler WHERE name = ?", VALUES(V(reconciler->name)),
			     err))
		return -1;
	*due = last_ms == INT64_MIN || last_ms + reconciler->every_ms <= now_ms;
	return 0;
}

static int done_store(struct store *store, struct world world, const struct reconciler *reconciler, const struct lease *lease,
		      const struct err *failure, struct err *err)
{
	int64_t now_ms;
	AUTO_TX tx = {0};

	if (store_begin(store, &tx, err) || lease_check(&tx, lease, err) || store_now_ms(&tx, world, &now_ms, err) ||
	    store_run(&tx,
		      "INSERT INTO reconciler (name, last_ms, error) VALUES (?, ?, ?)"
		      " ON CONFLICT (name) DO UPDATE SET last_ms = excluded.last_ms, error = excluded.error",
		      VALUES(V(reconciler->name), V(now_ms), V(failure->kind == ERR_NONE ? NULL : failure->text)), err))
		return -1;
	return store_commit(&tx, err);
}

static int work_one(struct store *store, struct world world, const char *plane, const struct reconciler *reconciler, void *self,
		    int *did, struct err *err)
{
	AUTO_FREE char *name = text_format("reconcile/%s", reconciler->name);
	struct err failure = {0};
	struct lease lease;
	bool due = false;
	int status;

	if (is_due(store, world, reconciler, &due, err))
		return -1;
	if (!due)
		return 0;
	if (lease_take(store, world, name, plane, LIFE_MS, &lease, &failure)) {
		if (failure.kind == ERR_CONFLICT)
			return 0; /* another control plane does it */
		return err_set(err, failure.kind, "%s", failure.text);
	}
	++*did;
	if (reconciler->act(self, &failure))
		log_warn("reconcile=%s: %s", reconciler->name, failure.text);
	else
		failure.kind = ERR_NONE;
	status = done_store(store, world, reconciler, &lease, &failure, err);
	lease_release(store, world, &lease);
	return status;
}

int reconcilers_work(struct store *store, struct world world, const char *plane, const struct reconciler *table, size_t count,
		     void *self, int *did, struct err *err)
{
	*did = 0;
	for (size_t i = 0; i < count; i++)
		if (work_one(store, world, plane, &table[i], self, did, err))
			return err_prefix(err, "reconcile %s", table[i].name);
	return 0;
}
