/*
 * export: a verification's report (verify/verify.h) in the forms that other tools read: SARIF 2.1.0 for code scanning, JUnit XML for the test pages of
 * CI. Both say no more than the report; what a finding's text holds is escaped.
 */
#ifndef ASSAY_VERIFY_EXPORT_H
#define ASSAY_VERIFY_EXPORT_H

#include "base/json.h"

/* A run of the tool "Assay": a rule for each gate and kind, a result for each finding; a declared one is suppressed. Its id is the partial fingerprint
 * "assay/v1". Owned by the caller. */
json_t *export_sarif(const json_t *report);

/* A suite for each gate, a case for each finding that blocks or warns, and one for the gate itself; what blocks fails. */
void export_junit(const json_t *report, struct buf *out);

#endif
