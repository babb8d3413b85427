/* Two repositories as one tree, and what was done there as a commit for each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/git_join.h"
#include "base/scope.h"

static char dir[64];
static char *joined;
static char *repositories[2];
static struct git_side sides[2];

static void shell(const char *line)
{
	struct err err = {0};
	const struct process_spec spec = {
		.argv = (const char *const[]){"sh", "-ec", line, NULL},
		.env = (const char *const[]){"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/nonexistent", "GIT_AUTHOR_NAME=a",
					     "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b", NULL},
		.dir = dir,
	};

	if (process_run(&spec, NULL, &err))
		fail_msg("%s: %s", line, err.text);
}

static int set_up(void **state)
{
	static const char *const names[] = {"shop", "lib"};
	struct err err = {0};

	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/assay-join-XXXXXX");
	assert_non_null(mkdtemp(dir));
	joined = text_format("%s/shop+lib.git", dir);
	for (size_t i = 0; i < 2; i++) {
		AUTO_FREE char *make = text_format(
			"git init -q -b main %s; cd %s; echo %s >file; mkdir src; echo one >src/a; git add .; git commit -qm one",
			names[i], names[i], names[i]);
		AUTO_FREE char *from = text_format("%s/%s", dir, names[i]);

		shell(make);
		repositories[i] = text_format("%s/%s.git", dir, names[i]);
		sides[i] = (struct git_side){.name = names[i], .repository = repositories[i]};
		if (git_repository_make(repositories[i], &err) ||
		    git_fetch_local(repositories[i], from, "HEAD", "refs/heads/main", &sides[i].commit, &err))
			fail_msg("%s", err.text);
	}
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	assert_int_equal(file_remove_tree(dir, NULL), 0);
	free(joined);
	free(repositories[0]);
	free(repositories[1]);
	return 0;
}

static struct git_hash join(void)
{
	struct git_hash commit;
	struct err err = {0};

	if (git_join(joined, sides, 2, "assay.yaml", VIEW("version: 1\n"), &commit, &err))
		fail_msg("%s", err.text);
	return commit;
}

static void holds(const char *repository, const struct git_hash *commit, const char *path, const char *expected)
{
	AUTO_BUF text = buf_new(1000);
	struct err err = {0};

	if (git_file_read(repository, commit, path, &text, &err))
		fail_msg("%s", err.text);
	assert_string_equal(text.at, expected);
}

/* A commit on top of `from` in the joined repository, as an agent's would be. */
static struct git_hash work(const struct git_hash *from, const char *line)
{
	AUTO_FREE char *whole = text_format(
		"rm -rf work; git -c safe.directory='*' -c protocol.file.allow=always clone -q -n %s work 2>/dev/null; cd work;"
		" git fetch -q origin %s; git checkout -q %s; %s; git add -A; git commit -qm work; git push -q -f origin HEAD:refs/heads/work",
		joined, from->text, from->text, line);
	AUTO_FREE char *allow = text_format("git --git-dir=%s config uploadpack.allowAnySHA1InWant true", joined);
	struct git_hash commit;

	shell(allow);
	shell(whole);
	assert_int_equal(git_resolve(joined, "refs/heads/work", &commit, NULL), 0);
	return commit;
}

static struct git_hash split(const struct git_hash *whole, size_t nth)
{
	struct git_hash commit;
	struct err err = {0};

	if (git_split(joined, whole, &sides[nth], "refs/heads/assay/1", "Mend it\n", &commit, &err))
		fail_msg("%s", err.text);
	return commit;
}

static void the_same_commits_give_the_same_tree_and_the_same_commit(void **state)
{
	struct git_hash first = join();
	struct git_hash again = join();

	(void)state;
	assert_string_equal(first.text, again.text);
	holds(joined, &first, "assay.yaml", "version: 1\n");
	holds(joined, &first, "shop/file", "shop\n");
	holds(joined, &first, "lib/src/a", "one\n");
	assert_int_equal(file_remove_tree(joined, NULL), 0);
	again = join();
	assert_string_equal(first.text, again.text);
}

static void what_was_done_becomes_one_commit_in_each_repository_that_differs(void **state)
{
	struct git_hash base = join();
	struct git_hash whole = work(
		&base, "echo two >shop/src/a; git rm -q lib/file; echo note >outside; git commit -qam half; echo three >shop/b");
	struct git_hash shop = split(&whole, 0);
	struct git_hash lib = split(&whole, 1);
	struct git_hash again = split(&whole, 0);
	struct git_hash now;

	(void)state;
	holds(repositories[0], &shop, "src/a", "two\n");
	holds(repositories[0], &shop, "b", "three\n");
	assert_string_equal(shop.text, again.text);
	assert_int_equal(git_resolve(repositories[0], "refs/heads/assay/1", &now, NULL), 0);
	assert_string_equal(now.text, shop.text);
	{
		AUTO_JSON changes = git_changes(repositories[1], &sides[1].commit, &lib, NULL);
		AUTO_FREE char *parent = text_format("%s^", shop.text);

		assert_int_equal(json_array_size(changes), 1);
		assert_string_equal(json_text(json_array_get(changes, 0), "status", ""), "D");
		assert_int_equal(git_resolve(repositories[0], parent, &now, NULL), 0); /* one commit, however many there were */
		assert_string_equal(now.text, sides[0].commit.text);
	}
}

static void a_repository_in_which_nothing_differs_stays_as_it_is(void **state)
{
	struct git_hash base = join();
	struct git_hash whole = work(&base, "echo two >shop/src/a; echo note >outside");
	struct git_hash lib = split(&whole, 1);
	struct git_hash none;

	(void)state;
	assert_string_equal(lib.text, sides[1].commit.text);
	assert_int_not_equal(git_resolve(repositories[1], "refs/heads/assay/1", &none, NULL), 0);
}

static void a_folder_that_is_gone_is_an_empty_repository_and_one_that_is_something_else_is_refused(void **state)
{
	struct git_hash base = join();
	struct git_hash whole = work(&base, "git rm -qr lib");
	struct git_hash lib = split(&whole, 1);
	struct git_hash commit;
	struct err err = {0};
	AUTO_JSON changes = git_changes(repositories[1], &sides[1].commit, &lib, NULL);

	(void)state;
	assert_int_equal(json_array_size(changes), 2);
	whole = work(&base, "git rm -qr lib; ln -s /etc lib");
	assert_int_equal(git_split(joined, &whole, &sides[1], "refs/heads/assay/1", "x\n", &commit, &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
	whole = work(&base, "git rm -qr lib; git init -q lib; cd lib; git commit -q --allow-empty -m inner; cd ..");
	assert_int_equal(git_split(joined, &whole, &sides[1], "refs/heads/assay/1", "x\n", &commit, &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_same_commits_give_the_same_tree_and_the_same_commit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_was_done_becomes_one_commit_in_each_repository_that_differs, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_repository_in_which_nothing_differs_stays_as_it_is, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_folder_that_is_gone_is_an_empty_repository_and_one_that_is_something_else_is_refused, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
