/* fixture: a small repository for the tests of environments, as a checkout and as the bare one that environments are made from. */
#ifndef ASSAY_TESTS_CONTRACT_FIXTURE_H
#define ASSAY_TESTS_CONTRACT_FIXTURE_H

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

#endif
