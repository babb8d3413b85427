/*
 * verify_frame: the frame of the tests of the ladder: environments with a gateway, an application as a repository of its own, and changes to it
 * that are verified and held against what was expected.
 */
#ifndef ASSAY_TESTS_CONTRACT_VERIFY_FRAME_H
#define ASSAY_TESTS_CONTRACT_VERIFY_FRAME_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "verify/verify.h"

struct edit {
	const char *file;
	const char *
		find; /* NULL: the file is new, or replaced as a whole; "->": it becomes a link to `replace`; "<>": it is new, a hole of so
				many bytes */
	const char *replace;
};

struct application {
	const char *folder;   /* below tests/data/verify */
	const char *from;     /* below the source's root, instead; NULL: it is of tests/data/verify */
	struct edit quick[3]; /* what leaves out the gates that only some changes are about */
	/* application_make() sets: */
	char *origin;
	char *repository;
	struct git_hash base;
	struct git_hash base_quick;
};

struct change {
	const char *name;
	struct edit edits[4];
	const char *verdict;
	const char *gate;         /* of a finding that blocks; NULL: none does */
	const char *kind;         /* NULL: whatever that gate finds */
	bool whole;               /* judged by all gates of the application, not only by the quick ones */
	const char *asks;         /* kind of a finding that only informs; NULL: any or none */
	bool rare;                /* only with ASSAY_LONG set, or by its name */
	bool busy;                /* on a machine that has more to do than it can */
	const char *why;          /* a part of the reason of the verdict; NULL: any */
	const char *declares;     /* a difference that a person declared (verify/declared.h) */
	const char *patch;        /* a file, instead of edits */
	const char *about;        /* what sort of change it is, for the table */
	const char *says;         /* a part of that finding; NULL: any */
	const char *uncovered[2]; /* parts of what the report says that it does not cover */
	bool missed;              /* a bug that no gate catches: it is counted as one */
};

/* The test fails, with the error's text, unless result is 0. */
void must(int result, const struct err *err);
void application_make(struct application *application);
void application_fini(struct application *application);
/* Of its base, without a head. */
struct verify_request frame_request(const struct application *application);
/* Verifies those that the command line names, or all, and prints what came of each; how many were judged otherwise than expected. With
 * ASSAY_TEST_TIMES set, each is verified so often, and must give the same findings every time. With ASSAY_TEST_TABLE set, a row for each is
 * appended to that file: folder, name, what about, verdict, gate, what unit tests said, ms, title, parted by tabs. */
int changes_run(struct application *application, const struct change *changes, size_t count);
void nothing_is_left_of_a_verification(void **state);
int frame_open(void **state);
int frame_close(void **state);
/* As `keeper` or `gateway` it is that; without root it says so and is skipped; else `run`. */
int frame_main(int argc, char **argv, int (*run)(void));

#endif
