/* own: Assay's own rules, data/dlp-rules.yaml, as JSON in the binary; made at build time. */
#ifndef ASSAY_GATEWAY_DLP_OWN_H
#define ASSAY_GATEWAY_DLP_OWN_H

#include <stddef.h>

extern const unsigned char own_rules[];
extern const size_t own_rules_length;

#endif
