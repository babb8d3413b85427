/*
 * pool: threads for work that may block (handlers, name lookups), with a bounded queue in front. Jobs start in the order they
 * were added; there is no order among their ends.
 */
#ifndef ASSAY_NET_POOL_H
#define ASSAY_NET_POOL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct pool;

/* `waiting_max` jobs may wait beyond those that run. */
struct pool *pool_new(size_t threads, size_t waiting_max, struct err *err);
/* Waits until every job added has ended; NULL is fine. */
void pool_free(struct pool *pool);
/* false, and nothing happens, when the queue is full. Any thread; never blocks. */
bool pool_add(struct pool *pool, void (*function)(void *self), void *self);

#endif
