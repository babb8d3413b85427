/*
 * Streams that stay open, and the thread that tells them all.
 *
 * Theory of operation: handlers put watchers into `fresh`; the thread takes them from there into its own list, which nobody else sees. A turn of it looks who
 * left, who may still be told (access.c), and lets the kind tell. Then it sleeps until it is rung: by a commit, a fresh watcher, or the server's loop when a
 * stream that was full is empty. It rests after a turn for as long as that took, so that it never has more than half a core, and what comes meanwhile is told
 * together. Order of locks: a stream's, or the store's, before the watch's.
 */
#include "web/watch.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/scope.h"
#include "store/store.h"

#define TURN_MS 500
#define REST_MS_MAX 200
#define ALIVE_MS 15000
#define STALL_MS 60000
#define JUDGE_MS 1000     /* no sooner again, when something was committed */
#define JUDGE_MS_MAX 5000 /* no later: a token may have ended */

struct watch {
	struct web *web;
	const struct watch_kind *kind;
	struct store_listener listener;
	pthread_t thread;
	pthread_mutex_t mutex; /* of what follows */
	pthread_cond_t rings;
	bool begun;
	bool rung;
	bool closing;
	int count; /* begun or added, and not gone */
	struct watcher *fresh;
	json_t *each; /* {digest of a token or session: how many of count} */

	/* The thread's. */
	struct watcher *watchers;
	int64_t judged_ms;
	int64_t judged_version;
	bool judged; /* the last time it could be found out */
};

struct web *watch_web(const struct watch *watch)
{
	return watch->web;
}

static int64_t now_ms(const struct watch *watch)
{
	return world_elapsed_ms(watch->web->options.world);
}

/* Any thread. */
static void watch_ring(void *self)
{
	struct watch *watch = self;

	(void)pthread_mutex_lock(&watch->mutex);
	if (!watch->rung)
		(void)pthread_cond_signal(&watch->rings);
	watch->rung = true;
	(void)pthread_mutex_unlock(&watch->mutex);
}

struct watch *watch_new(struct web *web, const struct watch_kind *kind)
{
	struct watch *watch = mem_new(sizeof(*watch));
	pthread_condattr_t clock;

	watch->web = web;
	watch->kind = kind;
	watch->each = json_object();
	watch->listener = (struct store_listener){.heard = watch_ring, .self = watch};
	(void)pthread_mutex_init(&watch->mutex, NULL);
	(void)pthread_condattr_init(&clock);
	(void)pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&watch->rings, &clock);
	(void)pthread_condattr_destroy(&clock);
	return watch;
}

void watch_free(struct watch *watch)
{
	if (!watch)
		return;
	(void)pthread_cond_destroy(&watch->rings);
	(void)pthread_mutex_destroy(&watch->mutex);
	json_decref(watch->each);
	free(watch);
}

int watch_count(struct watch *watch)
{
	int count;

	(void)pthread_mutex_lock(&watch->mutex);
	count = watch->count;
	(void)pthread_mutex_unlock(&watch->mutex);
	return count;
}

/* ---- the thread ---- */

/* With the mutex held. */
static void count_add(struct watch *watch, const struct caller *caller, int more)
{
	int64_t own = json_number(watch->each, caller->secret.text, 0) + more;

	watch->count += more;
	if (caller->known_by == KNOWN_BY_PLACE)
		return;
	if (own)
		(void)json_object_set_new(watch->each, caller->secret.text, json_integer(own));
	else
		(void)json_object_del(watch->each, caller->secret.text);
}

static void watcher_end(struct watch *watch, struct watcher *watcher, void (*end)(struct http_stream *stream))
{
	end(watcher->stream);
	if (watch->kind->free)
		watch->kind->free(watcher);
	(void)pthread_mutex_lock(&watch->mutex);
	count_add(watch, &watcher->caller, -1);
	(void)pthread_mutex_unlock(&watch->mutex);
	free(watcher);
}

/* Is there nothing that it takes, for a minute? The minute begins anew with whatever it takes. */
static bool watcher_stalls(const struct watch *watch, struct watcher *watcher)
{
	size_t waits = watcher->blocked_ms || watcher->ended ? http_stream_waiting(watcher->stream) : 0;

	if (watcher->ended && waits > WATCH_ROOM_BYTES && !watcher->blocked_ms) {
		watcher->blocked_ms = now_ms(watch);
		watcher->blocked_bytes = waits;
	} else if (watcher->blocked_ms && waits < watcher->blocked_bytes) {
		watcher->blocked_ms = now_ms(watch);
		watcher->blocked_bytes = waits;
	}
	return watcher->cut || (watcher->blocked_ms && waits && now_ms(watch) - watcher->blocked_ms > STALL_MS);
}

/* Those who left, who may not stay and who do not read. At the end of all nobody is waited for. */
static void watchers_leave(struct watch *watch, bool at_once)
{
	for (struct watcher **at = &watch->watchers, *watcher; (watcher = *at);) {
		bool stalls = watcher_stalls(watch, watcher);
		bool over = watcher->ended && (at_once || http_stream_waiting(watcher->stream) <= WATCH_ROOM_BYTES);

		if (!stalls && !over && !http_stream_gone(watcher->stream)) {
			at = &watcher->next;
			continue;
		}
		*at = watcher->next;
		watcher_end(watch, watcher, stalls ? http_stream_cut : http_stream_close);
	}
}

/* Beside those that are told the same. */
static void watcher_place(struct watch *watch, struct watcher *watcher)
{
	struct watcher **at = &watch->watchers;

	for (struct watcher *other = watch->watchers; other; other = other->next)
		if (watch->kind->alike(other, watcher)) {
			at = &other->next;
			break;
		}
	watcher->next = *at;
	*at = watcher;
}

static void fresh_take(struct watch *watch)
{
	struct watcher *fresh;

	(void)pthread_mutex_lock(&watch->mutex);
	fresh = TAKE(watch->fresh);
	(void)pthread_mutex_unlock(&watch->mutex);
	for (struct watcher *next; fresh; fresh = next) {
		next = fresh->next;
		watcher_place(watch, fresh);
	}
}

static int watchers_judge(struct watch *watch, struct err *err)
{
	int64_t now = world_now_ms(watch->web->options.world);
	AUTO_TX tx = {0};

	if (store_begin_snapshot(runs_store(watch->web->options.runs), &tx, err))
		return -1;
	for (struct watcher *watcher = watch->watchers; watcher; watcher = watcher->next) {
		bool lasts;

		if (access_lasts(&tx, &watcher->caller, now, &lasts, err))
			return -1;
		watcher->ended |= !lasts;
		watcher->cut |= !lasts && http_stream_waiting(watcher->stream) > WATCH_ROOM_BYTES; /* nor is it given what waits */
	}
	return 0;
}

static bool some_are_known(const struct watch *watch)
{
	bool known = false;

	for (const struct watcher *watcher = watch->watchers; watcher && !known; watcher = watcher->next)
		known = watcher->caller.known_by != KNOWN_BY_PLACE;
	return known;
}

/* Who cannot be judged is told nothing, nor is anybody else. */
static bool all_are_judged(struct watch *watch)
{
	int64_t since = now_ms(watch) - watch->judged_ms;
	int64_t version = store_version(runs_store(watch->web->options.runs));
	struct err err = {0};

	if (!some_are_known(watch))
		return true;
	if (since <= JUDGE_MS || (since <= JUDGE_MS_MAX && watch->judged && version == watch->judged_version))
		return watch->judged;
	watch->judged = !watchers_judge(watch, &err);
	watch->judged_ms = now_ms(watch);
	watch->judged_version = version;
	if (!watch->judged)
		log_warn("who watches is told nothing: %s", err.text);
	return watch->judged;
}

static void watchers_live(struct watch *watch)
{
	for (struct watcher *watcher = watch->watchers; watcher; watcher = watcher->next)
		if (now_ms(watch) - watcher->spoken_ms > ALIVE_MS && watcher_takes(watch, watcher))
			watcher_tell(watch, watcher, VIEW(": alive\n\n"));
}

/* Until the time, or what rings when `wakes`. False: it is the end. */
static bool watch_sleep(struct watch *watch, int64_t ms, bool wakes)
{
	struct timespec until;
	bool closing;

	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += ms * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	(void)pthread_mutex_lock(&watch->mutex);
	while (!watch->closing && !(wakes && watch->rung))
		if (pthread_cond_timedwait(&watch->rings, &watch->mutex, &until))
			break;
	if (wakes)
		watch->rung = false;
	closing = watch->closing;
	(void)pthread_mutex_unlock(&watch->mutex);
	return !closing;
}

static void *watch_main(void *self)
{
	struct watch *watch = self;
	struct store *store = runs_store(watch->web->options.runs);
	bool more = false;
	int64_t took = 0;

	store_listen(store, &watch->listener);
	while (watch_sleep(watch, took < REST_MS_MAX ? took : REST_MS_MAX, false) && watch_sleep(watch, more ? 0 : TURN_MS, true)) {
		int64_t from = now_ms(watch);
		bool may;

		fresh_take(watch);
		may = all_are_judged(watch);
		watchers_leave(watch, false);
		more = may && watch->kind->tell(watch, watch->watchers);
		if (watch->kind->alive)
			watchers_live(watch);
		took = now_ms(watch) - from;
	}
	store_listen_end(store, &watch->listener);
	fresh_take(watch);
	for (struct watcher *watcher = watch->watchers; watcher; watcher = watcher->next)
		watcher->ended = true;
	watchers_leave(watch, true);
	return NULL;
}

/* With the mutex held. */
static int watch_start(struct watch *watch, struct err *err)
{
	int failed = pthread_create(&watch->thread, NULL, watch_main, watch);

	if (failed)
		return err_errno(err, failed, "cannot start a thread");
	watch->begun = true;
	return 0;
}

void watch_end(struct watch *watch)
{
	bool begun;

	if (!watch)
		return;
	(void)pthread_mutex_lock(&watch->mutex);
	watch->closing = true;
	(void)pthread_cond_signal(&watch->rings);
	begun = watch->begun;
	(void)pthread_mutex_unlock(&watch->mutex);
	if (begun)
		(void)pthread_join(watch->thread, NULL);
}

/* ---- watchers ---- */

static int place_take(struct watch *watch, const struct caller *caller, struct err *err)
{
	bool known = caller->known_by != KNOWN_BY_PLACE;
	int status = -1;

	(void)pthread_mutex_lock(&watch->mutex);
	if (watch->count >= WATCHERS_MAX || watch->closing)
		(void)err_set(err, ERR_RETRY, "more than %d streams at once: close some pages", WATCHERS_MAX);
	else if (known && json_number(watch->each, caller->secret.text, 0) >= WATCHERS_EACH_MAX)
		(void)err_set(err, ERR_RETRY, "more than %d streams of `%s` at once: close some pages", WATCHERS_EACH_MAX,
			      caller->name);
	else
		status = watch->begun ? 0 : watch_start(watch, err);
	if (!status)
		count_add(watch, caller, 1);
	(void)pthread_mutex_unlock(&watch->mutex);
	return status;
}

struct watcher *watch_begin(struct watch *watch, struct call *call, const char *content_type, struct err *err)
{
	struct watcher *watcher;

	if (place_take(watch, &call->caller, err))
		return NULL;
	watcher = mem_new(watch->kind->size);
	watcher->caller = call->caller;
	watcher->spoken_ms = now_ms(watch);
	watcher->stream = http_reply_stream(call->reply, 200, content_type);
	call->answered = true;
	return watcher;
}

void watch_add(struct watch *watch, struct watcher *watcher)
{
	bool closing;

	(void)pthread_mutex_lock(&watch->mutex);
	closing = watch->closing;
	if (!closing) {
		watcher->next = watch->fresh;
		watch->fresh = watcher;
		watch->rung = true;
		(void)pthread_cond_signal(&watch->rings);
	}
	(void)pthread_mutex_unlock(&watch->mutex);
	if (closing)
		watcher_end(watch, watcher, http_stream_close);
}

bool watcher_takes(struct watch *watch, struct watcher *watcher)
{
	bool takes = !watcher->ended && http_stream_room(watcher->stream, WATCH_ROOM_BYTES, watch_ring, watch);

	if (takes) {
		watcher->blocked_ms = 0;
	} else if (!watcher->blocked_ms) {
		watcher->blocked_ms = now_ms(watch);
		watcher->blocked_bytes = http_stream_waiting(watcher->stream);
	}
	return takes;
}

void watcher_tell(struct watch *watch, struct watcher *watcher, struct view bytes)
{
	if (!http_stream_write(watcher->stream, bytes))
		watcher->ended = true;
	watcher->spoken_ms = now_ms(watch);
}

void watcher_tell_now(struct watch *watch, struct watcher *watcher, struct view bytes)
{
	if (http_stream_waiting(watcher->stream) > WATCH_WAITING_BYTES)
		watcher->cut = true;
	else if (!watcher->ended)
		watcher_tell(watch, watcher, bytes);
}
