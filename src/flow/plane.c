/* A control plane's lease. */
#include "flow/plane.h"

#include <stdio.h>

int plane_open(struct plane *plane, struct store *store, struct world world, const char *name, int64_t life_ms, struct err *err)
{
	char lease[LEASE_NAME_MAX];

	*plane = (struct plane){.store = store, .world = world, .life_ms = life_ms ? life_ms : PLANE_LIFE_MS};
	(void)snprintf(lease, sizeof(lease), "plane/%s", name);
	plane->renewed_ms = world_elapsed_ms(world);
	/* A token that a database forgets when it dies would be another one's then. */
	return lease_take(store, world, lease, name, plane->life_ms, &plane->lease, err) || store_sync(store, err) ? -1 : 0;
}

bool plane_is_lost(const struct plane *plane)
{
	return __atomic_load_n(&plane->lost, __ATOMIC_SEQ_CST);
}

int plane_renew(struct plane *plane, struct err *err)
{
	int64_t now_ms = world_elapsed_ms(plane->world);
	struct err problem = {0};

	if (plane_is_lost(plane))
		return err_set(err, ERR_CONFLICT, "another control plane is called %s", plane->lease.owner);
	if (now_ms - __atomic_load_n(&plane->renewed_ms, __ATOMIC_SEQ_CST) < plane->life_ms / 3)
		return 0;
	if (lease_renew(plane->store, plane->world, &plane->lease, plane->life_ms, &problem)) {
		__atomic_store_n(&plane->lost, problem.kind == ERR_CONFLICT, __ATOMIC_SEQ_CST);
		return err_set(err, problem.kind, "%s", problem.text);
	}
	__atomic_store_n(&plane->renewed_ms, now_ms, __ATOMIC_SEQ_CST);
	return 0;
}

bool plane_is_late(const struct plane *plane)
{
	return plane_is_lost(plane) ||
	       world_elapsed_ms(plane->world) - __atomic_load_n(&plane->renewed_ms, __ATOMIC_SEQ_CST) >= plane->life_ms;
}

void plane_close(struct plane *plane)
{
	if (plane->store && !plane_is_lost(plane))
		lease_release(plane->store, plane->world, &plane->lease);
}
