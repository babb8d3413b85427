/* The built-in forge: pull requests in the store, merges in a bare repository in which nothing of anybody runs. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/scope.h"
#include "forges/builtin.h"

static char root[64];
static char repository[128];
static struct store *store;
static struct forge forge;
static struct git_hash base;
static struct git_hash head;

/* A commit whose tree has app.txt with this content. */
static struct git_hash commit_make(const char *content, const struct git_hash *parent)
{
	AUTO_BUF blob = buf_new(256);
	AUTO_BUF tree = buf_new(256);
	AUTO_BUF commit = buf_new(256);
	AUTO_FREE char *entry = NULL;
	AUTO_FREE char *tree_text = NULL;
	struct git_hash hash;

	assert_int_equal(git_run(repository, (const char *const[]){"hash-object", "-w", "--stdin", NULL},
				 &(struct process_spec){.input = view_of(content), .output = &blob}, NULL, NULL),
			 0);
	entry = text_format("100644 blob %.*s\tapp.txt\n", (int)view_trim(buf_view(&blob)).length, blob.at);
	assert_int_equal(git_run(repository, (const char *const[]){"mktree", NULL},
				 &(struct process_spec){.input = view_of(entry), .output = &tree}, NULL, NULL),
			 0);
	tree_text = view_copy(view_trim(buf_view(&tree)));
	assert_int_equal(git_run(repository,
				 (const char *const[]){"commit-tree", tree_text, "-m", content, parent ? "-p" : NULL,
						       parent ? parent->text : NULL, NULL},
				 &(struct process_spec){.output = &commit}, NULL, NULL),
			 0);
	assert_int_equal(git_hash_parse(view_trim(buf_view(&commit)), &hash, NULL), 0);
	return hash;
}

static int setup(void **state)
{
	AUTO_FREE char *db = NULL;

	(void)state;
	fault_hook = NULL;
	(void)snprintf(root, sizeof(root), "/tmp/assay-forge-XXXXXX");
	if (!mkdtemp(root))
		return -1;
	(void)snprintf(repository, sizeof(repository), "%s/shop.git", root);
	db = text_format("%s/db", root);
	if (git_repository_make(repository, NULL) || store_open(db, &store, NULL))
		return -1;
	base = commit_make("base\n", NULL);
	head = commit_make("good\n", &base);
	forge = forge_builtin_new(store, root, world_real);
	return git_ref_set(repository, "refs/heads/main", &base, NULL, NULL);
}

static int teardown(void **state)
{
	(void)state;
	fault_hook = NULL;
	forge_builtin_free(forge);
	store_close(store);
	return file_remove_tree(root, NULL);
}

static int upsert(const char *title, const struct git_hash *at, int64_t *number, struct err *err)
{
	struct forge_pull pull = {.repository = "shop",
				  .branch = "assay/1-x",
				  .target = "main",
				  .title = title,
				  .body = "body",
				  .draft = true,
				  .base = base,
				  .head = *at,
				  .run = "r1",
				  .issue = 1,
				  .verdict = "verified"};

	return forge_upsert(forge, &pull, number, err);
}

static int merges_of_main(void)
{
	AUTO_BUF out = buf_new(4096);
	uint64_t count = 0;

	assert_int_equal(git_run(repository, (const char *const[]){"rev-list", "--count", "--merges", "main", NULL},
				 &(struct process_spec){.output = &out}, NULL, NULL),
			 0);
	assert_true(view_to_u64(view_trim(buf_view(&out)), &count));
	return (int)count;
}

static void the_same_branch_is_the_same_pull_request(void **state)
{
	int64_t first = 0;
	int64_t again = 0;
	AUTO_JSON pull = NULL;

	(void)state;
	assert_int_equal(upsert("one", &head, &first, NULL), 0);
	assert_int_equal(upsert("two", &head, &again, NULL), 0);
	assert_int_equal(first, again);
	pull = forge_fetch(forge, first, NULL);
	assert_string_equal(json_text(pull, "title", ""), "two");
	assert_true(json_flag(pull, "draft", false));
	assert_null(json_member(pull, "merging"));
}

static void odd_texts_come_back_as_they_were(void **state)
{
	static const char *const rows[] = {"'; DROP TABLE pull; --", "<script>alert(1)</script>", "--upload-pack=/bin/true",
					   "\xc3\xa9 \xf0\x9f\x8e\x89", "a\nb"};
	int64_t number = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_JSON pull = NULL;

		assert_int_equal(upsert(rows[i], &head, &number, NULL), 0);
		pull = forge_fetch(forge, number, NULL);
		assert_string_equal(json_text(pull, "title", ""), rows[i]);
	}
	{
		struct git_hash merged;

		assert_int_equal(forge_merge(forge, number, &merged, NULL), 0);
	}
}

static void a_merge_runs_no_hook_and_no_configuration_of_the_repository(void **state)
{
	static const char *const hooks[] = {"pre-receive",           "update",     "post-receive",     "post-update",
					    "reference-transaction", "post-merge", "pre-merge-commit", "post-commit",
					    "proc-receive"};
	AUTO_FREE char *ran = text_format("%s/ran", root);
	AUTO_FREE char *script = text_format("#!/bin/sh\ntouch %s\n", ran);
	AUTO_FREE char *folder = text_format("%s/hooks", repository);
	AUTO_FREE char *config = text_format("%s/config", repository);
	AUTO_FREE char *more = text_format(
		"[core]\n\trepositoryformatversion = 0\n\tbare = true\n\tfsmonitor = touch %s\n[gpg]\n\tprogram = touch"
		" %s\n[commit]\n\tgpgSign = true\n[merge]\n\tdriver = touch %s\n[alias]\n\tmerge-tree = !touch %s\n",
		ran, ran, ran, ran);
	struct git_hash merged;
	int64_t number = 0;

	(void)state;
	(void)mkdir(folder, 0755);
	for (size_t i = 0; i < ARRAY_LEN(hooks); i++) {
		AUTO_FREE char *path = text_format("%s/%s", folder, hooks[i]);

		assert_int_equal(file_replace(path, view_of(script), 0755, NULL), 0);
	}
	assert_int_equal(file_replace(config, view_of(more), 0644, NULL), 0);
	assert_int_equal(upsert("x", &head, &number, NULL), 0);
	assert_int_equal(forge_merge(forge, number, &merged, NULL), 0);
	assert_int_equal(merges_of_main(), 1);
	assert_false(file_exists(ran));
}

static void a_merged_pull_request_is_merged_once_and_can_no_longer_be_changed(void **state)
{
	struct git_hash merged;
	struct git_hash again;
	struct err err = {0};
	int64_t number = 0;

	(void)state;
	assert_int_equal(upsert("x", &head, &number, NULL), 0);
	assert_int_equal(forge_merge(forge, number, &merged, NULL), 0);
	assert_int_equal(forge_merge(forge, number, &again, NULL), 0);
	assert_string_equal(merged.text, again.text);
	assert_int_equal(merges_of_main(), 1);
	assert_int_equal(upsert("y", &head, &number, &err), -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
	assert_int_equal(forge_review(forge, number, "ann", "approve", "", NULL, &err), -1);
	assert_int_equal(err.kind, ERR_DENIED);
	assert_int_equal(forge_close(forge, number, &err), -1);
}

/* A reader that begins when the merge has been begun and is not done. */
static struct {
	pthread_t thread;
	int64_t number;
	atomic_bool begun;
	atomic_int queries;
	json_t *shown;
	struct err err;
} reader;

static void *reader_reads(void *self)
{
	(void)self;
	reader.shown = forge_fetch(forge, reader.number, &reader.err);
	return NULL;
}

static bool reader_hook(const char *name)
{
	if (strcmp(name, "store.query") == 0 && atomic_load(&reader.begun) && pthread_equal(pthread_self(), reader.thread))
		atomic_fetch_add(&reader.queries, 1);
	if (strcmp(name, "store.committed") == 0 && !atomic_exchange(&reader.begun, true)) {
		assert_int_equal(pthread_create(&reader.thread, NULL, reader_reads, NULL), 0);
		while (atomic_load(&reader.queries) < 2) /* it, and its reviews */
			(void)sched_yield();
	}
	return false;
}

/* The page of a pull request is loaded just then. */
static void who_reads_one_that_another_merges_is_told_what_it_is(void **state)
{
	struct git_hash merged;
	struct err err = {0};

	(void)state;
	assert_int_equal(upsert("x", &head, &reader.number, &err), 0);
	fault_hook = reader_hook;
	assert_int_equal(forge_merge(forge, reader.number, &merged, &err), 0);
	fault_hook = NULL;
	assert_int_equal(pthread_join(reader.thread, NULL), 0);
	if (!reader.shown)
		fail_msg("%s", reader.err.text);
	assert_int_equal(forge_state_of(reader.shown), FORGE_MERGED);
	json_decref(reader.shown);
}

static void a_conflict_names_the_file_and_moves_nothing(void **state)
{
	struct git_hash other = commit_make("other\n", &base);
	struct git_hash merged;
	struct git_hash now;
	struct err err = {0};
	int64_t number = 0;

	(void)state;
	assert_int_equal(upsert("x", &head, &number, NULL), 0);
	assert_int_equal(git_ref_set(repository, "refs/heads/main", &other, NULL, NULL), 0);
	assert_int_equal(forge_merge(forge, number, &merged, &err), -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
	assert_non_null(strstr(err.text, "app.txt"));
	assert_int_equal(git_resolve(repository, "main", &now, NULL), 0);
	assert_string_equal(now.text, other.text);
}

static void the_same_review_is_written_once_and_an_empty_one_is_refused(void **state)
{
	struct err err = {0};
	int64_t number = 0;
	AUTO_JSON pull = NULL;

	(void)state;
	assert_int_equal(upsert("x", &head, &number, NULL), 0);
	assert_int_equal(forge_review(forge, number, "ann", "changes", "Mend it.", "op-1", NULL), 0);
	assert_int_equal(forge_review(forge, number, "ann", "changes", "Mend it.", "op-1", NULL), 0);
	assert_int_equal(forge_review(forge, number, "ann", "changes", " \n", NULL, &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
	assert_int_equal(forge_review(forge, number, "ann", "shout", "x", NULL, &err), -1);
	pull = forge_fetch(forge, number, NULL);
	assert_int_equal(json_array_size(json_member(pull, "reviews")), 1);
	assert_int_equal(forge_review(forge, 99, "ann", "comment", "x", NULL, &err), -1);
	assert_int_equal(err.kind, ERR_NOT_FOUND);
}

static int fault_at;
static int fault_count;

static bool crash(const char *name)
{
	(void)name;
	return ++fault_count >= fault_at;
}

static void a_merge_cut_at_any_store_call_is_finished_or_forgotten(void **state)
{
	int crashes = 0;

	for (int at = 1; at < 100; at++) {
		struct git_hash merged;
		int64_t number = 0;
		int cut;

		assert_int_equal(upsert("x", &head, &number, NULL), 0);
		fault_at = at;
		fault_count = 0;
		fault_hook = crash;
		cut = forge_merge(forge, number, &merged, NULL);
		fault_hook = NULL;
		{
			AUTO_JSON pull = forge_fetch(forge, number, NULL);
			bool shown = forge_state_of(pull) == FORGE_MERGED;

			/* What is shown is what the branch has. */
			assert_int_equal(shown, merges_of_main() == 1);
		}
		assert_int_equal(forge_merge(forge, number, &merged, NULL), 0);
		assert_int_equal(merges_of_main(), 1);
		(void)teardown(state);
		assert_int_equal(setup(state), 0);
		if (!cut)
			break;
		crashes++;
	}
	assert_true(crashes > 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_same_branch_is_the_same_pull_request, setup, teardown),
		cmocka_unit_test_setup_teardown(odd_texts_come_back_as_they_were, setup, teardown),
		cmocka_unit_test_setup_teardown(a_merge_runs_no_hook_and_no_configuration_of_the_repository, setup, teardown),
		cmocka_unit_test_setup_teardown(a_merged_pull_request_is_merged_once_and_can_no_longer_be_changed, setup, teardown),
		cmocka_unit_test_setup_teardown(who_reads_one_that_another_merges_is_told_what_it_is, setup, teardown),
		cmocka_unit_test_setup_teardown(a_conflict_names_the_file_and_moves_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(the_same_review_is_written_once_and_an_empty_one_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(a_merge_cut_at_any_store_call_is_finished_or_forgotten, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
