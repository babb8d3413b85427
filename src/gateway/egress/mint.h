/*
 * mint: certificates for the names that sandboxes connect to. They are made by the vault, which is asked over a link without waiting, and
 * kept: the 4,096 used last. Ask only for names that the rules allow. New names are limited for each environment: a burst of
 * MINT_BURST, then MINT_PER_SECOND.
 */
#ifndef ASSAY_GATEWAY_EGRESS_MINT_H
#define ASSAY_GATEWAY_EGRESS_MINT_H

#include "gateway/worker.h"
#include "net/tls.h"

#define MINT_KEPT_MAX 4096 /* certificates */
#define MINT_BURST 512
#define MINT_PER_SECOND 50

struct mint;
struct mint_ask;

/* One of the two: what the gateway presents for the name, borrowed for the call; or NULL, NULL and a constant that says why not. */
typedef void mint_done(void *self, const struct tls_certificate *certificate, const struct tls_key *key, const char *why);

struct mint *mint_new(struct worker *worker);
void mint_free(struct mint *mint); /* NULL is fine; nobody may wait any more */
/* The link to the vault (net/vault.h), taken; what was asked over the one before is asked again. */
MUST_USE int mint_link_set(struct mint *mint, int fd, struct err *err);
/* `host` is canonical. `done` is called once: at once, and then NULL is returned, or later. */
struct mint_ask *mint_leaf(struct mint *mint, const char *env, const char *host, mint_done *done, void *self);
void mint_cancel(struct mint_ask *ask); /* NULL is fine */
/* Another that asks the vault over the same link: hears every answer that is none of a certificate's (it is wiped after the call), and
 * that the link ended, so that nothing asked before is answered. */
struct mint_rider {
	void (*answered)(void *self, const struct message_header *header, size_t bytes);
	void (*lost)(void *self);
	void *self;
};
void mint_rider_set(struct mint *mint, struct mint_rider rider);
/* Fills the header and sends; the request's number, 0 when there is no link. */
uint64_t mint_say(struct mint *mint, uint16_t name, struct message_header *message, size_t bytes);
struct loop *mint_loop(const struct mint *mint);
void mint_env_forget(struct mint *mint, const char *env);

#endif
