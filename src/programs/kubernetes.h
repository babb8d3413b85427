/* kubernetes: `assay kubernetes`: what a cluster can do for environments (sandbox/kubernetes/check.h), asked of it without a server of ours. */
#ifndef ASSAY_PROGRAMS_KUBERNETES_H
#define ASSAY_PROGRAMS_KUBERNETES_H

int kubernetes_main(int argc, char **argv); /* argv[0] is "kubernetes". Returns the exit code. */

#endif
