/*
 * suite: a test suite run in the workspace of an environment, and what came of it. The exit code is judged from outside; the report file
 * is believed for names and failures only.
 */
#ifndef ASSAY_VERIFY_SUITE_H
#define ASSAY_VERIFY_SUITE_H

#include "verify/ladder.h"

#define SUITE_SELF "(the suite itself)" /* the name of what failed when no test did */

/* Runs a program in the workspace of an environment, until the ladder stops or is out of time; `more` gives the rest but its sandbox, argv and flag. */
MUST_USE int workspace_exec(struct ladder *ladder, struct env_id env, const char *const *argv, const struct environment_exec *more,
			    struct exit_status *status, struct err *err);

/* Runs it. {"suite", "ok": bool, "end": "exit 1", "timed_out": bool, "reported": bool, "processes_refused": how many it could
 * not start for the limit of its sandbox, "output": last lines, "tests": {id: {"status",
 * "message"}}}; owned by the caller. ERR_CANCELLED when the ladder stops. */
json_t *suite_run(struct ladder *ladder, struct env_id env, const struct test_suite *suite, struct err *err);
/* What people may look at of what a run left, by its first bytes: "image/png", "video/webm" or "video/mp4"; NULL: nothing. */
const char *media_type(struct view bytes);
/* Was the head's environment stopped because what ran in it filled its share of the disk? Then that is a finding, and nothing runs there
 * any more. Only asked where the same suite ran on the base to its end. */
bool suite_overfilled(struct ladder *ladder, struct gate *gate, const struct test_suite *suite);
/* Fresh data for a suite that uses it. */
MUST_USE int suite_reset(struct ladder *ladder, struct env_id env, const struct test_suite *suite, struct err *err);

/* Did this test fail in the result? A suite that failed without a failing test fails as SUITE_SELF. */
bool suite_failed(const json_t *result, const char *id);
bool suite_passed(const json_t *result, const char *id);
const char *suite_message(const json_t *result, const char *id);

/* Paths of `all` ([text]) that belong to the suite: by its globs, or without globs by habit. Owned by the caller. */
json_t *suite_files(const struct ladder *ladder, const struct test_suite *suite, const json_t *all);
/* Puts files of a commit ([path]) into the environment's work tree. */
MUST_USE int files_put(struct ladder *ladder, struct env_id env, const struct git_hash *commit, const json_t *paths,
		       struct err *err);
/* Makes what test runners are configured by as it is in that commit, of base and head. */
MUST_USE int suite_configure(struct ladder *ladder, struct env_id env, const struct git_hash *commit, struct err *err);
/* One file, as given. */
MUST_USE int file_write_in(struct ladder *ladder, struct env_id env, const char *path, struct view text, struct err *err);
/* Adds what the suites' coverage files in the environment say (verify/mutate.h) to the ladder's. */
void suite_coverage(struct ladder *ladder, struct env_id env);
MUST_USE int files_remove(struct ladder *ladder, struct env_id env, const json_t *paths, struct err *err);

#endif
