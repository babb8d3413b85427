/*
 * serve_gateway: the gateway process as the control plane holds it: started, told of every environment, and started again, with growing
 * pauses, when it dies.
 */
#ifndef ASSAY_PROGRAMS_SERVE_GATEWAY_H
#define ASSAY_PROGRAMS_SERVE_GATEWAY_H

#include "sandbox/environment.h"
#include "vault/vault.h"

struct egress; /* runs/egress.h */
struct audit;
struct serve_front; /* programs/serve_front.h */
struct serve_gateway;

/* Starts it and waits until it answers. `tools_dir` is the folder of the tool API's socket, `tools_socket` its name in it. People elsewhere
 * see previews as `front`, borrowed, says; NULL: they do not. It gets its
 * certificates and credentials from `vault`, borrowed; NULL: none, and TLS to the outside is refused. Before it hears of any environment it is told the policy of
 * `egress`, borrowed; NULL: none. Its ledger and the signatures of that are of `audit`, borrowed; NULL: no ledger. */
MUST_USE int serve_gateway_open(const char *preview_listen, struct serve_front *front, const char *tools_dir,
				const char *tools_socket, struct vault *vault, struct egress *egress, struct audit *audit,
				struct serve_gateway **gateway, struct err *err);
/* Its process id; 0 when it does not run. */
int serve_gateway_pid(struct serve_gateway *gateway);
/* When it was started last, of the wall clock. */
int64_t serve_gateway_since_ms(struct serve_gateway *gateway);
/* Ends it at once; the watcher starts another. */
void serve_gateway_kill(struct serve_gateway *gateway);
/* For environments_options; changes with each restart. */
struct link *serve_gateway_link(struct serve_gateway *gateway);
/* From now on its messages go to the environments, and it is started again when it dies. */
MUST_USE int serve_gateway_watch(struct serve_gateway *gateway, struct environments *environments, struct err *err);
/* No more messages to the environments, no more restarts; then serve_gateway_close after they are closed. */
void serve_gateway_unwatch(struct serve_gateway *gateway);
void serve_gateway_close(struct serve_gateway *gateway);

#endif
