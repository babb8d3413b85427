/*
 * web: the API of doc/api.md, the pages, and the tool API, as one table of routes over http/server. It holds no state of its own.
 */
#ifndef ASSAY_WEB_WEB_H
#define ASSAY_WEB_WEB_H

#include "base/json.h"
#include "base/world.h"

struct audit;
struct web;
struct loop; /* net/loop.h */
struct runs;
struct environments;
struct vault;

/* How often one may ask over TCP, a minute; 0: as often as one likes. */
struct web_rates {
	int64_t token;   /* each token */
	int64_t address; /* each address without one */
	int64_t refused; /* each address whose token, or session, is none */
};
#define WEB_RATE_TOKEN 3000
#define WEB_RATE_ADDRESS 6000
#define WEB_RATE_REFUSED 30

struct web_options {
	struct loop *loop;
	struct runs *runs;
	struct environments *environments;
	struct vault *vault;
	struct audit *audit;   /* NULL: no ledger */
	struct egress *egress; /* runs/egress.h */
	const char *state_dir;
	const char *listen;    /* "127.0.0.1:7420"; port 0 picks one */
	const char *pages_url; /* "https://assay.example.com": where else the pages are reached, through a proxy; NULL: nowhere */
	struct web_rates rates;
	bool sign_in;               /* a browser must sign in: others than this machine's people reach the pages */
	struct oidc *oidc;          /* web/oidc.h: where people sign in; NULL: by tokens only */
	const char *serve_socket;   /* path */
	const char *tool_socket;    /* path */
	const char *preview_base;   /* "127.0.0.1:7421" */
	const char *preview_domain; /* "preview.example.com": where people elsewhere see previews; NULL: nowhere */
	/* The address that lets a signed-in person's browser in at a preview's host (net/pass.h); owned by the caller. NULL: nobody. Any thread. */
	char *(*preview_enter)(void *self, const char *host, const char *to, const char *browser, struct err *err);
	void (*shutdown)(void *self);                   /* POST /shutdown */
	json_t *(*reload)(void *self, struct err *err); /* POST /reload; any thread; NULL: there is nothing to */
	/* Are the other processes well? One of them by name, "gateway" or `sandboxes_process`; NULL: it is not asked (GET /readyz). */
	int (*process_look)(void *self, const char *name, struct err *err);
	const char *sandboxes_process; /* who makes the sandboxes: "keeper" */
	json_t *(*doctor)(void *self); /* what GET /doctor answers; owned by the caller; any thread */
	/* Judges imagined requests (programs/policy.h); NULL: nobody does. Any thread. */
	json_t *(*policy_judge)(const json_t *rules, const json_t *organisation, const json_t *requests, struct err *err);
	void *self;
	struct world world;
};

MUST_USE int web_open(const struct web_options *options, struct web **web, struct err *err);
void web_rates_set(struct web *web, struct web_rates rates); /* from now on; any thread */
const char *web_base(const struct web *web);                 /* "http://127.0.0.1:PORT" as bound */
int web_clients(const struct web *web);                      /* open connections that ask for something now or follow events */
void web_close(struct web *web);

#endif
