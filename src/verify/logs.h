/*
 * logs: what services print while sessions are replayed: which of their lines speak of an error, by form, and which give away a secret of
 * the session. A line is the code's own word, so it can only speak against it.
 */
#ifndef ASSAY_VERIFY_LOGS_H
#define ASSAY_VERIFY_LOGS_H

#include "base/json.h"

#define LOG_FORMS_MAX ((size_t)200)
#define LOG_SECRET_MIN ((size_t)12) /* shorter values are found anywhere */

/* {form of a line: {"count", "line": the first one}} of the lines that speak of an error. Owned by the caller. */
json_t *logs_errors(struct view log);

/* {value: what it is: "cookie sid", "authorization", "password in POST /api/login"} of all that the entries (verify/compare.h) sent and were
 * given that nobody else should see. Owned by the caller. */
json_t *logs_secrets(const json_t *entries);
/* {what it is: the line, with the value hidden} of those that the log holds. Owned by the caller. */
json_t *logs_leaks(struct view log, json_t *secrets);

#endif
