/* serve_egress: what leaves (runs/egress.h), tied to the gateway, the environments, the vault and the runs of this server. */
#ifndef ASSAY_PROGRAMS_SERVE_EGRESS_H
#define ASSAY_PROGRAMS_SERVE_EGRESS_H

#include "runs/egress.h"
#include "sandbox/environment.h"

struct audit;
struct runs;
struct serve_gateway;
struct vault;

struct serve_egress {
	struct egress *egress;
	struct environments *environments;
	struct provider provider;
	struct serve_gateway *gateway;
	struct runs *runs;
	struct vault *vault;
	struct audit *audit;
};

/* For environments_options. */
struct environments_egress serve_egress_watcher(struct serve_egress *self);
/* All its members are set: from now on answers, kills and the policy reach the others. */
void serve_egress_attach(struct serve_egress *self);

#endif
