/* secrets_find: the scanner of the way out, on files of a repository: what the gate `scan` of a verification asks (verify/verify.h). */
#ifndef ASSAY_PROGRAMS_SECRETS_FIND_H
#define ASSAY_PROGRAMS_SECRETS_FIND_H

#include "base/json.h"

/* As verify_sources.secrets has it. `cache_dir` is a text: where the compiled rules are kept. The built-in rules are loaded for each call and let go
 * behind it: it is rare, and they are large. Blocks. */
MUST_USE int secrets_find(void *cache_dir, const struct view *texts, size_t count, json_t *found, struct err *err);

#endif
