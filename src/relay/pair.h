/*
 * pair: two sockets whose bytes are each other's, and are not looked at. At most about a quarter of a mebibyte waits in each direction; ends are passed
 * on, and when one breaks both are closed. A pair with nothing to pass for PAIR_IDLE_MS is over.
 */
#ifndef ASSAY_RELAY_PAIR_H
#define ASSAY_RELAY_PAIR_H

#include "base/buf.h"
#include "net/loop.h"

#define PAIR_WAITING_MAX ((size_t)256 << 10)
#define PAIR_IDLE_MS 600000
#define PAIR_REST_MS 30000 /* the same, once the server's side has said all it will */

struct pair;

/* Takes both descriptors, fds[1] the server's; either may still be connecting. `first[i]` is sent to fds[i] before anything else. `over`: called once, when it is freed. */
struct pair *pair_new(struct loop *loop, const int fds[2], const struct view first[2], void (*over)(void *self), void *self,
		      struct err *err);
void pair_free(struct pair *pair); /* as if both had broken */

#endif
