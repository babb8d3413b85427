/* What the files of flow/ share. */
#ifndef ASSAY_FLOW_FLOW_PRIV_H
#define ASSAY_FLOW_FLOW_PRIV_H

#include "flow/flow.h"

const struct flow_options *flows_options(const struct flows *flow);

#endif
