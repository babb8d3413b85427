/*
 * serve_front: previews for people elsewhere, as the control plane holds them: the domain, its certificate from files, which is given to the
 * gateway again when they change, and the passes, which the vault signs (net/pass.h, gateway/front.h).
 */
#ifndef ASSAY_PROGRAMS_SERVE_FRONT_H
#define ASSAY_PROGRAMS_SERVE_FRONT_H

#include "base/json.h"
#include "base/world.h"
#include "sandbox/environment.h"
#include "vault/vault.h"

#define SERVE_FRONT_LINK_MS ((int64_t)7 * 24 * 3600 * 1000)

struct serve_front;

struct serve_front_options {
	const char *domain;      /* "preview.example.com"; ":PORT" behind it is what people's addresses say, and need not be ours */
	const char *listen;      /* "0.0.0.0:443" */
	bool plain;              /* TLS ends before it, at a proxy of the operator's: no certificate */
	const char *certificate; /* files, PEM */
	const char *key;         /* NULL: in the certificate's */
	const char *sign_in;     /* "https://assay.example.com": where people sign in; NULL: nowhere, links only */
	int64_t link_ms;         /* how long a link is good; 0: addresses carry none */
	struct vault *vault;     /* borrowed; NULL: the files are only read, as a check */
	struct world world;
};

/* Reads the files. */
MUST_USE int serve_front_open(const struct serve_front_options *options, struct serve_front **front, struct err *err);
void serve_front_close(struct serve_front *front); /* NULL is fine */
const char *serve_front_listen(const struct serve_front *front);
const char *serve_front_name(const struct serve_front *front);   /* the domain without a port */
const char *serve_front_domain(const struct serve_front *front); /* as people's addresses end: "preview.example.com:8443" */
/* FRONT for the gateway, and the descriptor that goes with it (-1: none does); both the caller's. */
json_t *serve_front_body(struct serve_front *front, int *identity, struct err *err);
/* The files, when they changed, are for the gateway: to be called once in a while. What is wrong with them is said once, and what was told before
 * stays. */
void serve_front_look(struct serve_front *front, struct environments *environments);
/* Where people elsewhere see an environment, with a link's pass. Owned by the caller; any thread; NULL: the vault does not sign now. */
char *serve_front_url(struct serve_front *front, const char *env, const char *path, int64_t serial);
/* Is `link` one that was made so? Its text is an address, or the pass alone. ERR_INVALID: it is none, or has ended. Any thread. */
MUST_USE int serve_front_link(struct serve_front *front, const char *env, const char *link, struct preview_link *found,
			      struct err *err);
/* The address that lets the browser with that digest in at `host`, for a signed-in person; `to` is a path and query. ERR_INVALID: it is no address
 * of this domain. Owned by the caller; any thread. */
char *serve_front_enter(struct serve_front *front, const char *host, const char *to, const char *browser, struct err *err);

#endif
