/* control: the control plane's messages (net/messages.h), a row each. */
#ifndef ASSAY_GATEWAY_CONTROL_H
#define ASSAY_GATEWAY_CONTROL_H

#include "gateway/worker.h"

/* Takes the descriptor; when the control plane goes away, the loop stops. */
MUST_USE int control_begin(struct worker *worker, int fd, struct err *err);

#endif
