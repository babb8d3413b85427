/* doctor: what this machine lacks, for the command line and for the pages; it needs no server. */
#ifndef ASSAY_PROGRAMS_DOCTOR_H
#define ASSAY_PROGRAMS_DOCTOR_H

#include "base/json.h"

/* [{"name", "status": "ok|warn|missing", "what", "how"}] (doc/api.md), owned by the caller. */
json_t *doctor_items_of(const json_t *checks); /* of rows as local_doctor() gives them */
json_t *doctor_items(const char *state_dir);

#endif
