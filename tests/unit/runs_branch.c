/* What a run's branch at a code host was when we last knew it, and what that says of what it is now. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/scope.h"
#include "runs/branch.h"

static char root[64];
static char path[96];
static const struct branch branch = {path, "r1", "assay/1-shout"};
static struct git_hash commits[4]; /* each on the one before; the last is on the first */

static struct git_hash commit_on(const struct git_hash *parent, const char *message)
{
	AUTO_BUF out = buf_new(100);
	struct git_hash tree;
	struct git_hash made = {""};
	struct err err = {0};

	if (git_run(path, (const char *const[]){"mktree", NULL}, &(struct process_spec){.input = VIEW(""), .output = &out}, NULL,
		    &err) ||
	    git_hash_parse(view_trim(buf_view(&out)), &tree, &err))
		fail_msg("%s", err.text);
	buf_clear(&out);
	if (git_run(path,
		    (const char *const[]){"commit-tree", tree.text, "-m", message, parent ? "-p" : NULL,
					  parent ? parent->text : NULL, NULL},
		    &(struct process_spec){.output = &out}, NULL, &err) ||
	    git_hash_parse(view_trim(buf_view(&out)), &made, &err))
		fail_msg("%s", err.text);
	return made;
}

static int setup(void **state)
{
	(void)state;
	(void)snprintf(root, sizeof(root), "/tmp/assay-branch-XXXXXX");
	if (!mkdtemp(root))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/shop.git", root);
	if (git_repository_make(path, NULL))
		return -1;
	commits[0] = commit_on(NULL, "0");
	commits[1] = commit_on(&commits[0], "1");
	commits[2] = commit_on(&commits[1], "2");
	commits[3] = commit_on(&commits[0], "beside");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return file_remove_tree(root, NULL);
}

static void what_is_there_is_judged_by_what_was_there(void **state)
{
	static const struct {
		int seen, there, ours; /* -1: nothing was seen */
		enum branch_news news;
	} rows[] = {
		{1, 1, 1, BRANCH_KNOWN}, {1, 1, 2, BRANCH_KNOWN},  {1, 2, 2, BRANCH_KNOWN}, /* a push whose answer was lost */
		{1, 2, 1, BRANCH_MORE},  {1, 0, 1, BRANCH_BACK},   {2, 1, 2, BRANCH_BACK},
		{2, 3, 2, BRANCH_BACK},  /* another line */
		{2, 0, 0, BRANCH_KNOWN}, /* the run went on from there already */
		{2, 3, 0, BRANCH_MORE},  {-1, 0, 2, BRANCH_KNOWN}, {-1, 2, 0, BRANCH_MORE},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		static const struct git_hash none;
		const struct git_hash *seen = rows[i].seen < 0 ? &none : &commits[rows[i].seen];
		enum branch_news news = BRANCH_KNOWN;
		struct err err = {0};

		assert_int_equal(branch_news(&branch, seen, &commits[rows[i].there], &commits[rows[i].ours], &news, &err), 0);
		if (news != rows[i].news)
			fail_msg("row %zu: %d", i, (int)news);
	}
}

static void what_is_known_moves_only_from_what_it_was_read_as(void **state)
{
	struct git_hash seen;
	struct err err = {0};

	(void)state;
	assert_int_equal(branch_seen(&branch, &seen, &err), 0);
	assert_string_equal(seen.text, "");
	assert_int_equal(branch_see(&branch, &seen, &commits[1], &err), 0);
	/* Who read the same, and is later, leaves it. */
	assert_int_equal(branch_see(&branch, &seen, &commits[0], &err), 0);
	assert_int_equal(branch_seen(&branch, &seen, &err), 0);
	assert_string_equal(seen.text, commits[1].text);
	assert_int_equal(branch_see(&branch, &seen, &commits[2], &err), 0);
	assert_int_equal(branch_seen(&branch, &seen, &err), 0);
	assert_string_equal(seen.text, commits[2].text);
}

static void a_repository_that_cannot_be_read_is_no_branch_that_was_never_seen(void **state)
{
	static const struct branch gone = {"/nonexistent", "r1", "b"};
	struct git_hash seen;
	struct err err = {0};

	(void)state;
	assert_int_equal(branch_seen(&gone, &seen, &err), -1);
	err = (struct err){0};
	assert_int_equal(branch_push_check(&gone, &commits[0], &commits[1], &commits[1], &err), -1);
}

static void what_was_taken_back_is_not_pushed_however_late(void **state)
{
	static const struct {
		int seen, newest, head; /* -1: none */
		bool may;
	} rows[] = {
		{-1, 1, 1, true}, {1, 2, 2, true},  {1, 2, 1, true}, /* of a turn before the last */
		{0, 3, 2, false}, /* set back to 0, the run is beside: a push of 2 that still waits would only go forward there */
		{0, 3, 3, true},  {2, 3, 3, false}, /* set back, and not looked at since */
		{1, -1, 2, true},                   /* the run begins anew */
	};
	static const struct git_hash none;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = {0};
		int refused = branch_push_check(&branch, rows[i].seen < 0 ? &none : &commits[rows[i].seen],
						rows[i].newest < 0 ? &none : &commits[rows[i].newest], &commits[rows[i].head],
						&err);

		if ((refused == 0) != rows[i].may || (refused && err.kind != ERR_DENIED))
			fail_msg("row %zu: %s", i, err.text);
	}
}

#define ROW(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ROW(what_is_there_is_judged_by_what_was_there),
		ROW(what_is_known_moves_only_from_what_it_was_read_as),
		ROW(a_repository_that_cannot_be_read_is_no_branch_that_was_never_seen),
		ROW(what_was_taken_back_is_not_pushed_however_late),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
