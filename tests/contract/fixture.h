/* fixture: the frame of the tests of environments, and a small repository, as a checkout and as the bare one that environments are made from. */
#ifndef ASSAY_TESTS_CONTRACT_FIXTURE_H
#define ASSAY_TESTS_CONTRACT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/git.h"

struct fixture_file {
	const char *name;
	const char *text;
};

/* The test fails, with the error's text, unless result is 0. */
void must(int result, const struct err *err);
/* git in a folder of the host; args end with NULL. */
void host_git(const char *dir, const char *const *args);
/* <state_dir>/origin with the files as its first commit, and <state_dir>/repos/<name>.git that holds it. The latter's path is returned,
 * owned by the caller. */
char *fixture_repository(const char *state_dir, const char *name, const struct fixture_file *files, size_t count,
			 struct git_hash *first);
/* Removes what a manager and its keeper had: their last processes may still be going. 0, or -1 when it cannot be. */
int fixture_remove(const char *state_dir);

/* A contract program over the local provider: as `keeper` it is the keeper; without root it says so and is skipped; else its tests run. */
int fixture_main(int argc, char **argv, const char *name, const struct CMUnitTest *tests, size_t count, CMFixtureFunction begin,
		 CMFixtureFunction end);
const char *fixture_self(void); /* this program's path, for the provider to start keepers from */

#endif
