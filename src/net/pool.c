/* A ring of jobs, one mutex, one condition. */
#include "net/pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/scope.h"

struct job {
	void (*function)(void *self);
	void *self;
};

struct pool {
	pthread_mutex_t mutex;
	pthread_cond_t added;
	struct job *ring;
	size_t ring_size;
	size_t first;
	size_t count;
	bool ending;
	pthread_t *threads;
	size_t thread_count;
};

static bool job_take(struct pool *pool, struct job *job)
{
	bool got;

	(void)pthread_mutex_lock(&pool->mutex);
	while (!pool->count && !pool->ending)
		(void)pthread_cond_wait(&pool->added, &pool->mutex);
	got = pool->count > 0;
	if (got) {
		*job = pool->ring[pool->first];
		pool->first = (pool->first + 1) % pool->ring_size;
		pool->count--;
	}
	(void)pthread_mutex_unlock(&pool->mutex);
	return got;
}

static void *thread_main(void *self)
{
	struct job job;

	while (job_take(self, &job))
		job.function(job.self);
	return NULL;
}

struct pool *pool_new(size_t threads, size_t waiting_max, struct err *err)
{
	struct pool *pool = mem_new(sizeof(*pool));

	(void)pthread_mutex_init(&pool->mutex, NULL);
	(void)pthread_cond_init(&pool->added, NULL);
	pool->ring_size = waiting_max ? waiting_max : 1;
	pool->ring = mem_new_array(pool->ring_size, sizeof(*pool->ring));
	pool->threads = mem_new_array(threads, sizeof(*pool->threads));
	while (pool->thread_count < threads) {
		int failed = pthread_create(&pool->threads[pool->thread_count], NULL, thread_main, pool);

		if (failed) {
			(void)err_errno(err, failed, "cannot start thread %zu of a pool", pool->thread_count + 1);
			pool_free(pool);
			return NULL;
		}
		pool->thread_count++;
	}
	return pool;
}

void pool_free(struct pool *pool)
{
	if (!pool)
		return;
	(void)pthread_mutex_lock(&pool->mutex);
	pool->ending = true;
	(void)pthread_cond_broadcast(&pool->added);
	(void)pthread_mutex_unlock(&pool->mutex);
	for (size_t i = 0; i < pool->thread_count; i++)
		(void)pthread_join(pool->threads[i], NULL);
	(void)pthread_cond_destroy(&pool->added);
	(void)pthread_mutex_destroy(&pool->mutex);
	free(pool->threads);
	free(pool->ring);
	free(pool);
}

bool pool_add(struct pool *pool, void (*function)(void *self), void *self)
{
	bool room;

	(void)pthread_mutex_lock(&pool->mutex);
	room = pool->count < pool->ring_size && !pool->ending;
	if (room) {
		pool->ring[(pool->first + pool->count++) % pool->ring_size] = (struct job){function, self};
		(void)pthread_cond_signal(&pool->added);
	}
	(void)pthread_mutex_unlock(&pool->mutex);
	return room;
}
