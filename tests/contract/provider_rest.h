/* provider_rest: waits until nobody runs in an environment, for tests of any provider. */
#ifndef ASSAY_TESTS_CONTRACT_PROVIDER_REST_H
#define ASSAY_TESTS_CONTRACT_PROVIDER_REST_H

#include "base/world.h"
#include "sandbox/provider.h"

#define REST_MS 20000

/* IDLE or UNKNOWN; BUSY: somebody always did. */
static inline enum activity rest_await(struct provider provider, struct env_id env)
{
	int64_t until_ms = world_elapsed_ms(world_real) + REST_MS;
	enum activity activity;

	do
		activity = provider_env_activity(provider, env);
	while (activity == ACTIVITY_BUSY && world_elapsed_ms(world_real) < until_ms);
	return activity;
}

#endif
