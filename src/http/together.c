/*
 * Requests that are handled together, as deliveries are: what is to be written to the disk for each is written once for all.
 *
 * Theory of operation: what came in one turn of the loop is taken at its end by a thread of the pool, as much as HTTP_TOGETHER_MAX; what comes
 * meanwhile waits for that thread, or for one of a few more. So one alone waits for nothing, and the more come, the more are taken at once.
 */
#include <stdlib.h>

#include "http/server_priv.h"
#include "net/pool.h"

#define TAKERS_MAX 3 /* while one waits for the disk others read what came meanwhile */
#define WAITING_MAX 4096
#define BYTES_MAX ((size_t)1 << 20) /* of bodies: what is long is not waited for by many */

void together_init(struct together *together, struct http_server *server)
{
	*together = (struct together){.server = server};
	together->last = &together->first;
	(void)pthread_mutex_init(&together->mutex, NULL);
}

void together_fini(struct together *together)
{
	(void)pthread_mutex_destroy(&together->mutex);
}

/* Those of one route that came first. */
static size_t some_take(struct together *together, struct http_reply *replies[HTTP_TOGETHER_MAX])
{
	size_t bytes = 0;
	size_t count = 0;

	(void)pthread_mutex_lock(&together->mutex);
	while (together->first && count < HTTP_TOGETHER_MAX && bytes < BYTES_MAX &&
	       (!count || together->first->route == replies[0]->route)) {
		struct http_reply *reply = together->first;

		together->first = reply->next;
		if (!together->first)
			together->last = &together->first;
		together->waiting--;
		bytes += reply->body.length;
		replies[count++] = reply;
	}
	if (!count)
		together->takers--;
	(void)pthread_mutex_unlock(&together->mutex);
	return count;
}

static void take_all(void *self)
{
	struct together *together = self;
	struct http_reply *replies[HTTP_TOGETHER_MAX];
	size_t count;

	while ((count = some_take(together, replies)) > 0) {
		reply_run_all(replies, count, server_spec(together->server));
		for (size_t i = 0; i < count; i++)
			server_answer(replies[i]);
	}
}

/* No thread can be had for them, now or when the server stops. */
static void refuse_all(struct together *together)
{
	struct http_reply *replies[HTTP_TOGETHER_MAX];
	size_t count;

	while ((count = some_take(together, replies)) > 0)
		for (size_t i = 0; i < count; i++) {
			reply_plain(replies[i], 503, "the server is too busy; try again");
			server_answer(replies[i]);
		}
}

/* At the end of a turn. */
static void taker_start(void *self)
{
	struct together *together = self;
	bool starts;

	together->posted = false;
	(void)pthread_mutex_lock(&together->mutex);
	starts = together->first && together->takers < TAKERS_MAX;
	together->takers += starts;
	(void)pthread_mutex_unlock(&together->mutex);
	if (starts && !pool_add(server_pool(together->server), take_all, together))
		refuse_all(together);
}

bool together_add(struct together *together, struct http_reply *reply)
{
	bool room;

	(void)pthread_mutex_lock(&together->mutex);
	room = together->waiting < WAITING_MAX;
	if (room) {
		reply->next = NULL;
		*together->last = reply;
		together->last = &reply->next;
		together->waiting++;
	}
	(void)pthread_mutex_unlock(&together->mutex);
	if (room && !together->posted) {
		together->posted = true;
		loop_defer(server_loop(together->server), taker_start, together);
	}
	return room;
}
