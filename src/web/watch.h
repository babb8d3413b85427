/*
 * watch: streams that stay open, all of them told by one thread, however many there are.
 *
 * What a watcher is told next is read from where the news are kept, behind what it was told last. So nothing piles up for one
 * that reads slowly: it is told no more until what waits for it was taken, and one that takes nothing for a minute is cut, and may
 * come back for the rest. A watcher whose token or session is over is told nothing more a few seconds later, and its stream ends;
 * while that cannot be found out, nobody is told anything.
 */
#ifndef ASSAY_WEB_WATCH_H
#define ASSAY_WEB_WATCH_H

#include "web/web_priv.h"

#define WATCHERS_MAX 1500 /* of a watch, of which there are two; the server has HTTP_SERVER_CONNECTIONS_MAX connections for all */
#define WATCHERS_EACH_MAX 300                   /* of those with one token or session: the rest is for others */
#define WATCH_ROOM_BYTES ((size_t)64 << 10)     /* nothing more is told while more than this waits */
#define WATCH_WAITING_BYTES ((size_t)256 << 10) /* who is told what cannot be read again later is cut when more than this waits */

/* The first member of what a kind keeps for each. */
struct watcher {
	struct watcher *next;
	struct http_stream *stream;
	struct caller caller;
	int64_t spoken_ms;
	int64_t blocked_ms; /* since when too much waits, and none of it was taken; 0: it does not */
	size_t blocked_bytes;
	bool ended; /* nothing more is to be told */
	bool cut;   /* nor what waits */
};

struct watch_kind {
	size_t size; /* of what is kept for each */
	/* Tells all what is new to them. On the watch's thread, when somebody came, took what waited, the store changed, or half a second is over. True: there is
	 * more. */
	bool (*tell)(struct watch *watch, struct watcher *watchers);
	bool (*alike)(const struct watcher *one,
		      const struct watcher *other); /* are they told the same? Those are beside each other. */
	void (*free)(struct watcher *watcher);      /* what is behind `struct watcher` */
	bool alive; /* a comment every 15 s when there is nothing to tell, so that a dead connection shows */
};

extern const struct watch_kind watch_of_events, watch_of_logs; /* follow.c */

struct watch *watch_new(struct web *web, const struct watch_kind *kind);
void watch_end(struct watch *watch);  /* ends every stream; nobody watches any more; NULL is fine */
void watch_free(struct watch *watch); /* after watch_end, and when no stream is left; NULL is fine */
int watch_count(struct watch *watch);
struct web *watch_web(const struct watch *watch);

/* Answers the call by a stream of watcher->stream. NULL: there are too many, or the server ends, and nothing was answered. The thread is begun with the first. */
struct watcher *watch_begin(struct watch *watch, struct call *call, const char *content_type, struct err *err);
/* From now on it is the watch's. */
void watch_add(struct watch *watch, struct watcher *watcher);

/* For `tell`. */
bool watcher_takes(struct watch *watch, struct watcher *watcher); /* may it be told something? */
void watcher_tell(struct watch *watch, struct watcher *watcher, struct view bytes);
/* The same for what cannot be told later. */
void watcher_tell_now(struct watch *watch, struct watcher *watcher, struct view bytes);

#endif
