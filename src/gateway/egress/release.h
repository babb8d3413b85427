/*
 * release: asks the vault for credentials and for their fingerprints, over the link that certificates come by (egress/mint.h), without
 * waiting. At most RELEASE_ASKED_MAX are under way; the others wait in order.
 */
#ifndef ASSAY_GATEWAY_EGRESS_RELEASE_H
#define ASSAY_GATEWAY_EGRESS_RELEASE_H

#include "gateway/egress/mint.h"
#include "net/vault.h"

#define RELEASE_ASKED_MAX 12

struct releases;
struct release_ask;

/* `reply` lives for the call, and is wiped after it; NULL: the vault is gone. */
typedef void release_done(void *self, const struct vault_release_reply *reply);

struct releases *releases_new(struct mint *mint);
void releases_free(struct releases *releases); /* NULL is fine; nobody may wait any more */
/* `done` is called once, never before this returned. */
struct release_ask *release_ask(struct releases *releases, const struct vault_release_request *request, release_done *done,
				void *self);
/* The same for what it is recognised by. */
typedef void fingerprint_done(void *self, const struct vault_fingerprint_reply *reply);
struct release_ask *fingerprint_ask(struct releases *releases, const struct vault_fingerprint_request *request,
				    fingerprint_done *done, void *self);
void release_cancel(struct release_ask *ask); /* NULL is fine */
/* Called with the name of a credential that was set or removed; NULL: the vault was lost, so that any may be another now. */
void releases_changed_set(struct releases *releases, void (*changed)(void *self, const char *name), void *self);

#endif
