/*
 * worker: one loop and everything that hangs from it: environments, doors, connections. One thread runs it and nothing of it is shared,
 * but for the exchange log's writer and the name lookups, which have threads of their own and speak through queues.
 */
#ifndef ASSAY_GATEWAY_WORKER_H
#define ASSAY_GATEWAY_WORKER_H

#include "net/link.h"
#include "net/loop.h"

struct env;
struct flow;
struct front;
struct log_writer;
struct mint;
struct dial_names;
struct pipeline;
struct policy;
struct pool;
struct record;
struct releases;
struct scan_sets;
struct tls_side;
struct upstreams;

#define SCRATCH_BYTES ((size_t)256 << 10) /* read at most at once */
#define GONE_KEPT 256                     /* ids of environments that were: their previews say so */

struct worker {
	struct loop *loop;
	struct link *link;
	struct pool *lookups;
	struct log_writer *log_writer;
	struct env *envs; /* list */
	size_t env_flows_max;
	struct flow *loose; /* list: preview connections between two environments */
	char gone[GONE_KEPT][64];
	size_t gone_next;
	struct buf_spares spares; /* for what flows send */
	char *scratch;            /* SCRATCH_BYTES, for the callback that runs */
	const char *tool_socket;  /* NULL: none */
	struct preview *preview;
	struct front *front;   /* previews for people elsewhere */
	struct preview *outer; /* their listener; NULL: none */
	struct policy *policy; /* the organisation's; NULL: none */
	struct mint *mint;
	struct releases *releases;
	struct record *record; /* NULL: no ledger was given */
	struct tls_side *tls_server;
	struct tls_side *tls_client;
	struct upstreams *upstreams;
	struct dial_names *names;
	struct pipeline *spare; /* requests that were, to be used again */
	size_t spare_count;
	struct scan_sets *scan_sets;
	bool scan_failed; /* Assay's own rules do not compile */
};

int64_t worker_wall_ms(void);
int64_t worker_now_us(void); /* monotonic */

#endif
