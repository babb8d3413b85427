/* Host git on hostile repositories: nothing of them runs, and what does not belong is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/git.h"
#include "base/scope.h"

struct fixture {
	char dir[64];
	char *user; /* a person's checkout */
	char *ours; /* our bare repository */
};

/* Runs a shell line in the checkout as the hostile author would; fails the test when it fails. */
static void author(const struct fixture *fixture, const char *line)
{
	struct err err = {0};
	const struct process_spec spec = {
		.argv = (const char *const[]){"sh", "-ec", line, NULL},
		.env = (const char *const[]){"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/nonexistent", "GIT_AUTHOR_NAME=a",
					     "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b", NULL},
		.dir = fixture->user,
	};

	if (process_run(&spec, NULL, &err))
		fail_msg("%s: %s", line, err.text);
}

static int set_up(void **state)
{
	struct fixture *fixture = mem_new(sizeof(*fixture));
	struct err err = {0};

	(void)snprintf(fixture->dir, sizeof(fixture->dir), "/tmp/assay-git-XXXXXX");
	assert_non_null(mkdtemp(fixture->dir));
	fixture->user = text_format("%s/user", fixture->dir);
	fixture->ours = text_format("%s/ours.git", fixture->dir);
	assert_int_equal(file_make_dirs(fixture->user, 0755, &err), 0);
	assert_int_equal(git_repository_make(fixture->ours, &err), 0);
	author(fixture, "git init -q -b main && echo one >file && git add file && git commit -qm one");
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;
	struct err err = {0};

	assert_int_equal(file_remove_tree(fixture->dir, &err), 0);
	free(fixture->user);
	free(fixture->ours);
	free(fixture);
	return 0;
}

static struct git_hash fetched(const struct fixture *fixture, const char *revision, const char *ref)
{
	struct git_hash commit;
	struct err err = {0};

	if (git_fetch_local(fixture->ours, fixture->user, revision, ref, &commit, &err))
		fail_msg("%s", err.text);
	return commit;
}

static void a_commit_of_a_checkout_is_fetched_and_its_files_are_read(void **state)
{
	const struct fixture *fixture = *state;
	struct git_hash commit = fetched(fixture, "HEAD", "refs/heads/main");
	AUTO_BUF text = buf_new(100);
	struct err err = {0};

	assert_int_equal(git_file_read(fixture->ours, &commit, "file", &text, &err), 0);
	assert_string_equal(text.at, "one\n");
	assert_int_equal(git_file_read(fixture->ours, &commit, "absent", &text, &err), -1);
	assert_int_equal(err.kind, ERR_NOT_FOUND);
}

static void hooks_and_configuration_of_the_users_repository_do_not_run(void **state)
{
	const struct fixture *fixture = *state;
	AUTO_FREE char *proof = text_format("%s/ran", fixture->dir);
	AUTO_FREE char *line = text_format(
		"for h in pre-commit post-checkout reference-transaction post-update pre-receive update post-receive fsmonitor-watchman; do "
		"printf '#!/bin/sh\\ntouch %s\\n' >.git/hooks/$h; chmod +x .git/hooks/$h; done; "
		"git config core.fsmonitor 'touch %s'; git config uploadpack.packObjectsHook 'touch %s; exec git'; "
		"git config filter.x.smudge 'touch %s'; git config filter.x.clean 'touch %s'; git config diff.x.textconv 'touch %s'; "
		"git config core.sshCommand 'touch %s'; git config alias.upload-pack '!touch %s'; git config core.pager 'touch %s'",
		proof, proof, proof, proof, proof, proof, proof, proof, proof);
	struct git_hash base = fetched(fixture, "HEAD", "refs/heads/main");
	struct git_hash head;
	AUTO_BUF diff = buf_new(4096);
	struct err err = {0};

	author(fixture, "echo '* filter=x diff=x merge=x' >.gitattributes && git add . && git commit -qm two");
	author(fixture, line);
	head = fetched(fixture, "HEAD", "refs/heads/work");
	assert_int_equal(git_diff(fixture->ours, &base, &head, &diff, &err), 0);
	assert_false(file_exists(proof));
}

static void hooks_put_into_our_own_repository_do_not_run_either(void **state)
{
	const struct fixture *fixture = *state;
	AUTO_FREE char *proof = text_format("%s/ran", fixture->dir);
	AUTO_FREE char *hook = text_format("%s/hooks/reference-transaction", fixture->ours);
	AUTO_FREE char *script = text_format("#!/bin/sh\ntouch %s\n", proof);
	AUTO_FREE char *hooks = text_format("%s/hooks", fixture->ours);
	struct err err = {0};

	assert_int_equal(file_make_dirs(hooks, 0755, &err), 0);
	assert_int_equal(file_replace(hook, view_of(script), 0755, &err), 0);
	(void)fetched(fixture, "HEAD", "refs/heads/main");
	assert_false(file_exists(proof));
}

/* The pack of the checkout's HEAD against `base`, as a sandbox would send it. */
static int pack_of(const struct fixture *fixture, const char *revisions)
{
	AUTO_FREE char *path = text_format("%s/pack", fixture->dir);
	AUTO_FREE char *line = text_format("printf '%s' | git pack-objects -q --revs --thin --stdout >%s", revisions, path);
	int fd;

	author(fixture, line);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static struct git_hash head_of(const struct fixture *fixture)
{
	AUTO_BUF out = buf_new(100);
	struct git_hash hash;
	struct err err = {0};
	const struct process_spec spec = {
		.argv = (const char *const[]){"git", "rev-parse", "HEAD", NULL}, .dir = fixture->user, .output = &out};

	assert_int_equal(process_run(&spec, NULL, &err), 0);
	assert_int_equal(git_hash_parse(view_trim(buf_view(&out)), &hash, &err), 0);
	return hash;
}

static void a_pack_of_a_descendant_is_taken(void **state)
{
	const struct fixture *fixture = *state;
	struct git_hash base = fetched(fixture, "HEAD", "refs/heads/main");
	struct git_hash head;
	struct err err = {0};
	AUTO_CLOSE int fd = -1;

	author(fixture, "echo two >file && git commit -qam two");
	head = head_of(fixture);
	fd = pack_of(fixture, "HEAD\\n^HEAD~1\\n");
	if (git_pack_take(fixture->ours, fd, &head, &base, "refs/heads/work", 1 << 20, &err))
		fail_msg("%s", err.text);
}

static void a_pack_without_all_of_its_objects_is_refused(void **state)
{
	const struct fixture *fixture = *state;
	struct git_hash base = fetched(fixture, "HEAD", "refs/heads/main");
	struct git_hash head;
	struct err err = {0};
	AUTO_CLOSE int fd = -1;

	author(fixture, "echo two >file && git commit -qam two && echo three >file && git commit -qam three");
	head = head_of(fixture);
	fd = pack_of(fixture, "HEAD\\n^HEAD~1\\n");
	assert_int_equal(git_pack_take(fixture->ours, fd, &head, &base, "refs/heads/work", 1 << 20, &err), -1);
}

static void a_commit_that_does_not_descend_from_the_base_is_refused(void **state)
{
	const struct fixture *fixture = *state;
	struct git_hash base = fetched(fixture, "HEAD", "refs/heads/main");
	struct git_hash head;
	struct err err = {0};
	AUTO_CLOSE int fd = -1;

	author(fixture, "git checkout -q --orphan other && git commit -qm other --allow-empty");
	head = head_of(fixture);
	fd = pack_of(fixture, "HEAD\\n");
	assert_int_equal(git_pack_take(fixture->ours, fd, &head, &base, "refs/heads/work", 1 << 20, &err), -1);
	assert_int_equal(err.kind, ERR_DENIED);
}

static void a_pack_over_its_size_is_refused(void **state)
{
	const struct fixture *fixture = *state;
	struct git_hash base = fetched(fixture, "HEAD", "refs/heads/main");
	struct git_hash head;
	struct err err = {0};
	AUTO_CLOSE int fd = -1;

	author(fixture, "head -c 300000 /dev/urandom >big && git add big && git commit -qm big");
	head = head_of(fixture);
	fd = pack_of(fixture, "HEAD\\n^HEAD~1\\n");
	assert_int_equal(git_pack_take(fixture->ours, fd, &head, &base, "refs/heads/work", 100000, &err), -1);
}

/* Trees that would escape or overwrite .git when checked out: git's own checks must be on. */
static void trees_with_dangerous_names_are_refused(void **state)
{
	static const char *const names[] = {".git", "..", ".GIT", "git~1"};
	const struct fixture *fixture = *state;
	struct git_hash base = fetched(fixture, "HEAD", "refs/heads/main");

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		AUTO_FREE char *line = text_format("b=$(echo x | git hash-object -w --stdin); "
						   "t=$(printf '100644 blob %%s\\t%s\\n' $b | git mktree); "
						   "git update-ref refs/heads/evil $(git commit-tree -p main -m evil $t)",
						   names[i]);
		struct git_hash head;
		struct err err = {0};
		AUTO_CLOSE int fd = -1;

		author(fixture, line);
		author(fixture, "git symbolic-ref HEAD refs/heads/evil");
		head = head_of(fixture);
		fd = pack_of(fixture, "HEAD\\n^main\\n");
		if (!git_pack_take(fixture->ours, fd, &head, &base, "refs/heads/work", 1 << 20, &err))
			fail_msg("a tree with `%s` was taken", names[i]);
		author(fixture, "git symbolic-ref HEAD refs/heads/main");
	}
}

static void a_merge_makes_a_commit_and_a_conflict_names_its_files(void **state)
{
	const struct fixture *fixture = *state;
	struct git_hash ours;
	struct git_hash theirs;
	struct git_hash merged;
	AUTO_BUF text = buf_new(100);
	struct err err = {0};

	author(fixture, "git checkout -qb side && echo side >other && git add . && git commit -qm side && git checkout -q main && "
			"echo two >file && git commit -qam two");
	ours = fetched(fixture, "main", "refs/heads/main");
	theirs = fetched(fixture, "side", "refs/heads/side");
	assert_int_equal(git_merge(fixture->ours, &ours, &theirs, "merge", &merged, &err), 0);
	assert_int_equal(git_file_read(fixture->ours, &merged, "other", &text, &err), 0);
	author(fixture, "git checkout -q side && echo three >file && git commit -qam three");
	theirs = fetched(fixture, "side", "refs/heads/side");
	assert_int_equal(git_merge(fixture->ours, &ours, &theirs, "merge", &merged, &err), -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
	assert_non_null(strstr(err.text, "file"));
}

static void what_was_made_since_is_carried_without_the_rest(void **state)
{
	const struct fixture *fixture = *state;
	struct git_hash base = fetched(fixture, "HEAD", "refs/heads/base");
	struct git_hash seen;
	struct git_hash ours;
	struct git_hash carried;
	struct git_hash again;
	AUTO_BUF text = buf_new(100);
	struct err err = {0};
	bool is = true;

	author(fixture, "echo secret >secret && git add . && git commit -qm secret");
	seen = fetched(fixture, "HEAD", "refs/heads/seen");
	author(fixture, "echo more >more && git add . && git commit -qm more");
	ours = fetched(fixture, "HEAD", "refs/heads/ours");
	assert_int_equal(git_carry(fixture->ours, &ours, &seen, &base, "carried", &carried, &err), 0);
	assert_int_equal(git_file_read(fixture->ours, &carried, "more", &text, &err), 0);
	assert_int_equal(git_file_read(fixture->ours, &carried, "secret", &text, &err), -1);
	assert_int_equal(err.kind, ERR_NOT_FOUND);
	assert_int_equal(git_is_ancestor(fixture->ours, &base, &carried, &is, &err), 0);
	assert_true(is);
	assert_int_equal(git_is_ancestor(fixture->ours, &seen, &carried, &is, &err), 0);
	assert_false(is);
	/* Nothing since: it is that commit itself. */
	assert_int_equal(git_carry(fixture->ours, &seen, &seen, &base, "carried", &again, &err), 0);
	assert_string_equal(again.text, base.text);
	author(fixture, "echo own >secret && git commit -qam own");
	ours = fetched(fixture, "HEAD", "refs/heads/ours");
	err = (struct err){0};
	assert_int_equal(git_carry(fixture->ours, &ours, &seen, &base, "carried", &carried, &err), -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
	assert_non_null(strstr(err.text, "secret"));
}

static void a_ref_is_found_by_its_whole_name(void **state)
{
	const struct fixture *fixture = *state;
	struct git_hash one = fetched(fixture, "HEAD", "refs/assay/seen/r1/assay/1-shout");
	struct git_hash none = {""};
	struct git_hash got;
	struct err err = {0};
	bool found = true;

	assert_int_equal(git_ref_find(fixture->ours, "refs/assay/seen/r1/assay", &got, &found, &err), 0);
	assert_false(found);
	assert_int_equal(git_ref_find(fixture->ours, "refs/assay/seen/r1/assay/1-shout", &got, &found, &err), 0);
	assert_true(found);
	assert_string_equal(got.text, one.text);
	assert_int_equal(git_ref_find("/nonexistent", "refs/heads/main", &got, &found, &err), -1);
	assert_int_equal(git_ref_set(fixture->ours, "refs/assay/new", &one, &none, &err), 0);
	assert_int_equal(git_ref_set(fixture->ours, "refs/assay/new", &one, &none, &err), -1);
}

static void a_ref_moves_only_from_where_it_was_seen(void **state)
{
	const struct fixture *fixture = *state;
	struct git_hash one = fetched(fixture, "HEAD", "refs/heads/main");
	struct git_hash two;
	struct err err = {0};

	author(fixture, "echo two >file && git commit -qam two");
	two = fetched(fixture, "HEAD", "refs/heads/main");
	assert_int_equal(git_ref_set(fixture->ours, "refs/heads/main", &one, &one, &err), -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
	assert_int_equal(git_ref_set(fixture->ours, "refs/heads/main", &one, &two, &err), 0);
}

static void changes_list_renames_counts_and_odd_names(void **state)
{
	const struct fixture *fixture = *state;
	struct git_hash base;
	struct git_hash head;
	struct err err = {0};
	json_t *change;
	size_t index;
	bool odd = false;
	bool renamed = false;

	author(fixture, "seq 100 >long && git add . && git commit -qm long");
	base = fetched(fixture, "HEAD", "refs/heads/main");
	author(fixture, "git mv long longer && printf 'a\\n' >\"$(printf 'od\\td\\nname')\" && git add . && git commit -qm odd");
	head = fetched(fixture, "HEAD", "refs/heads/work");
	AUTO_JSON changes = git_changes(fixture->ours, &base, &head, &err);
	assert_int_equal(json_array_size(changes), 2);
	json_array_foreach(changes, index, change) {
		odd = odd ||
		      (view_is(view_of(json_text(change, "path", "")), "od\td\nname") && json_number(change, "added", 0) == 1 &&
		       view_is(view_of(json_text(change, "blob", "")), "78981922613b2afb6025042ff6bd878ac1994e85"));
		renamed = renamed || view_is(view_of(json_text(change, "old_path", "")), "long");
	}
	assert_true(odd);
	assert_true(renamed);
}

static void revisions_that_are_options_are_refused(void **state)
{
	const struct fixture *fixture = *state;
	struct git_hash commit;
	struct err err = {0};

	assert_int_equal(git_fetch_local(fixture->ours, fixture->user, "--upload-pack=touch /tmp/x", "refs/heads/x", &commit, &err),
			 -1);
	assert_int_equal(git_resolve(fixture->ours, "--all", &commit, &err), -1);
}

static void a_fetch_that_fails_says_what_is_missing(void **state)
{
	const struct fixture *fixture = *state;
	struct git_hash commit;
	struct err err = {0};

	assert_int_equal(git_fetch_local(fixture->ours, fixture->user, "none", "refs/heads/x", &commit, &err), -1);
	assert_non_null(strstr(err.text, "there is no commit, branch or tag `none` in "));
	assert_int_equal(err.kind, ERR_NOT_FOUND);
	assert_int_equal(git_fetch_local(fixture->ours, "/usr/share", "HEAD", "refs/heads/x", &commit, &err), -1);
	assert_string_equal(err.text, "/usr/share is not a git repository: `git init` there, and a first commit, make it one");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define ROW(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		ROW(a_commit_of_a_checkout_is_fetched_and_its_files_are_read),
		ROW(hooks_and_configuration_of_the_users_repository_do_not_run),
		ROW(hooks_put_into_our_own_repository_do_not_run_either),
		ROW(a_pack_of_a_descendant_is_taken),
		ROW(a_pack_without_all_of_its_objects_is_refused),
		ROW(a_commit_that_does_not_descend_from_the_base_is_refused),
		ROW(a_pack_over_its_size_is_refused),
		ROW(trees_with_dangerous_names_are_refused),
		ROW(a_merge_makes_a_commit_and_a_conflict_names_its_files),
		ROW(what_was_made_since_is_carried_without_the_rest),
		ROW(a_ref_is_found_by_its_whole_name),
		ROW(a_ref_moves_only_from_where_it_was_seen),
		ROW(changes_list_renames_counts_and_odd_names),
		ROW(revisions_that_are_options_are_refused),
		ROW(a_fetch_that_fails_says_what_is_missing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
