/* What the files of `assay serve` share: its parts. */
#ifndef ASSAY_PROGRAMS_SERVE_PRIV_H
#define ASSAY_PROGRAMS_SERVE_PRIV_H

#include <pthread.h>

#include "net/loop.h"
#include "programs/serve_egress.h"
#include "programs/serve_front.h"
#include "programs/serve_gateway.h"
#include "programs/serve_relay.h"
#include "programs/serve_sandboxes.h"
#include "runs/runs.h"
#include "sandbox/environment.h"
#include "web/web.h"

#define TOOLS_SOCKET "tool.sock"

struct oidc; /* web/oidc.h */
struct otlp; /* http/otlp.h */

struct serve {
	/* options */
	const char *listen;
	const char *preview;
	struct {
		const char *domain; /* NULL: nobody elsewhere sees previews */
		const char *listen;
		const char *certificate;
		const char *key;
		const char *relay; /* NULL: they come by themselves */
		const char *token;
		bool plain; /* TLS ends before it */
	} outer;
	const char *provider; /* of sandboxes; NULL: this machine */
	const char *oci;      /* NULL: none */
	const char *policy;   /* NULL: where it usually is, as the next */
	const char *prices;
	const char *pages; /* where else the pages are reached; NULL: nowhere */
	bool sign_in;
	const char *store;        /* NULL: a file in the state */
	const char *repositories; /* NULL: in the state */
	bool exit_when_idle;
	bool warm;
	int64_t ready_fd; /* -1: none */
	/* places; owned */
	char *state_dir;
	char *runtime_dir;
	char *tools_dir;
	char *rules_dir;      /* compiled rules that find secrets */
	char *advisories_dir; /* known defects of packages, if somebody put them there */
	struct verify_sources sources;
	char *serve_socket;
	char *tool_socket;
	char *preview_base;
	char *outer_base; /* where people elsewhere come in; NULL: nowhere */
	int lock_fd;
	/* parts, in the order of their opening */
	struct loop *loop;
	struct serve_sandboxes *sandboxes;
	struct serve_egress egress;
	struct serve_gateway *gateway;
	struct vault *vault;
	struct serve_front *front; /* NULL: nobody elsewhere sees previews */
	struct serve_relay *relay; /* NULL: none is between */
	struct audit *audit;
	struct environments *environments;
	struct runs *runs;
	struct oidc *oidc; /* NULL: nobody signs in at a provider */
	struct web *web;
	struct otlp *otlp; /* NULL: nobody collects traces */
	/* signals and the clock */
	struct loop_watch signals;
	pthread_t ticker;
	bool ticking;
	pthread_mutex_t lock;
	pthread_cond_t ended;
	bool ending;        /* under lock */
	bool reload_wanted; /* likewise */
	bool hangup_ends;   /* a terminal is gone, and we with it */
};

void serve_end(void *self); /* any thread */
const char *serve_setting(
	const char *variable); /* what the environment, or the configuration for it, says; NULL: nothing. While it starts */

/* serve_place.c: where everything is, and that nobody else is there. */

MUST_USE int places_make(struct serve *serve, const char *state, const char *runtime, struct err *err);
MUST_USE int state_lock(struct serve *serve, struct err *err);
/* Is the address free? Port 0 becomes one that is; owned by the caller. */
char *address_take(const char *option, const char *address, struct err *err);

/* serve_clock.c: what is done every second, and when the configuration is read again. */

struct web_rates rates_wanted(void);
struct runs_keep keep_wanted(void);
json_t *serve_reload(void *self, struct err *err); /* web_options.reload */
MUST_USE int ticker_start(struct serve *serve, struct err *err);

#endif
