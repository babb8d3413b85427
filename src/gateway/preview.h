/*
 * preview: the reverse proxy through which people (and the verifier) reach an environment: http://<env>.localhost:PORT/ by Host, and
 * http://127.0.0.1:PORT/env/<env>/ by path, where the prefix is taken off, and put on again in Location and cookie paths. HTTP/1.1 with
 * WebSocket, SSE and bodies of any size. The application sees what the browser sent, plus X-Forwarded-For, -Host, -Proto (and -Prefix).
 *
 * People elsewhere come by https://<env>.<domain>/, past gateway/front.h.
 *
 * While there is nothing to show, a page says so and reloads itself; a frozen environment is thawed first.
 */
#ifndef ASSAY_GATEWAY_PREVIEW_H
#define ASSAY_GATEWAY_PREVIEW_H

#include "gateway/env.h"

#define PREVIEW_THAW_MS 10000
#define PREVIEW_LABEL "X-Assay-Replay" /* a request's label for the exchange log; taken off before the application sees it */

struct front; /* gateway/front.h */
struct preview;

/* `listener` is taken; -1: connections come by preview_enter() alone. With a `front`, borrowed, it is for people elsewhere. */
struct preview *preview_new(struct worker *worker, int listener, struct front *front, struct err *err);
/* Takes a connection that came another way; `peer` is who is at its other end. */
void preview_enter(struct preview *preview, int fd, const char *peer);
void preview_free(struct preview *preview);
/* The environment's state changed: requests that waited for it go on. */
void preview_env_changed(struct env *env);
/* Which links of it are taken back (front.h): what they let in ends. */
void preview_links_put(struct env *env, const json_t *links);

#endif
