/* The built-in tracker: issues in the store. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/scope.h"
#include "trackers/builtin.h"

static char root[64];
static struct store *store;
static struct tracker tracker;

static int setup(void **state)
{
	AUTO_FREE char *db = NULL;

	(void)state;
	(void)snprintf(root, sizeof(root), "/tmp/assay-tracker-XXXXXX");
	if (!mkdtemp(root))
		return -1;
	db = text_format("%s/db", root);
	if (store_open(db, &store, NULL))
		return -1;
	tracker = tracker_builtin_new(store, world_real);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	tracker_builtin_free(tracker);
	store_close(store);
	return file_remove_tree(root, NULL);
}

static void issue_make(void)
{
	AUTO_JSON issue = tracker_make(tracker, "shop", "Fix it", "It is wrong", NULL);

	assert_string_equal(json_text(issue, "state", ""), "open");
}

static void one_run_at_a_time_has_an_issue(void **state)
{
	struct err err = {0};

	(void)state;
	issue_make();
	assert_int_equal(tracker_claim(tracker, "1", "r1", NULL), 0);
	assert_int_equal(tracker_claim(tracker, "1", "r1", NULL), 0);
	assert_int_equal(tracker_claim(tracker, "1", "r2", &err), -1);
	assert_int_equal(err.kind, ERR_DENIED);
	assert_non_null(strstr(err.text, "r1"));
	assert_int_equal(tracker_set_state(tracker, "1", "open", NULL), 0);
	assert_int_equal(tracker_claim(tracker, "1", "r2", NULL), 0);
	assert_int_equal(tracker_set_state(tracker, "1", "closed", NULL), 0);
	assert_int_equal(tracker_claim(tracker, "1", "r2", &err), -1);
	assert_non_null(strstr(err.text, "reopen"));
}

static void the_same_comment_is_written_once(void **state)
{
	AUTO_JSON issue = NULL;

	(void)state;
	issue_make();
	assert_int_equal(tracker_post(tracker, "1", "assay", "hello", "op-1", NULL), 0);
	assert_int_equal(tracker_post(tracker, "1", "assay", "hello", "op-1", NULL), 0);
	assert_int_equal(tracker_post(tracker, "1", "ann", "hi", NULL, NULL), 0);
	assert_int_equal(tracker_post(tracker, "1", "ann", "hi", NULL, NULL), 0);
	issue = tracker_fetch(tracker, "1", NULL);
	assert_int_equal(json_array_size(json_member(issue, "comments")), 3);
}

static void wrong_input_is_told_in_one_line(void **state)
{
	struct err err = {0};
	AUTO_BUF big = buf_new(TRACKER_TEXT_BYTES_MAX * 2);

	(void)state;
	issue_make();
	for (size_t i = 0; i <= TRACKER_TEXT_BYTES_MAX; i++)
		buf_add_char(&big, 'x');
	assert_null(tracker_fetch(tracker, "x", &err));
	assert_int_equal(err.kind, ERR_NOT_FOUND);
	assert_null(tracker_fetch(tracker, "99999999999999999999", &err));
	assert_int_equal(err.kind, ERR_NOT_FOUND);
	assert_null(tracker_fetch(tracker, "7", &err));
	assert_int_equal(err.kind, ERR_NOT_FOUND);
	assert_null(tracker_make(tracker, "shop", " ", "x", &err));
	assert_int_equal(err.kind, ERR_INVALID);
	assert_null(tracker_make(tracker, "shop", "x", big.at, &err));
	assert_int_equal(err.kind, ERR_LIMIT);
	assert_int_equal(tracker_post(tracker, "1", "ann", "", NULL, &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
	assert_int_equal(tracker_post(tracker, "7", "ann", "x", NULL, &err), -1);
	assert_int_equal(err.kind, ERR_NOT_FOUND);
	assert_int_equal(tracker_set_state(tracker, "1", "dancing", &err), -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
	assert_int_equal(tracker_link_pull(tracker, "7", 1, &err), -1);
	assert_int_equal(err.kind, ERR_NOT_FOUND);
}

static void page_is(const struct list_ask *ask, const char *numbers, const char *next)
{
	AUTO_JSON page = tracker_list(tracker, ask, NULL);
	AUTO_BUF got = buf_new(4096);
	size_t i;
	json_t *issue;

	json_array_foreach(json_member(page, "items"), i, issue)
		buf_add_format(&got, "%s%lld", got.length ? " " : "", (long long)json_number(issue, "number", 0));
	assert_string_equal(got.length ? got.at : "", numbers);
	assert_string_equal(json_text(page, "next", "-"), next);
}

static void a_list_comes_in_pages_that_what_is_made_meanwhile_does_not_move(void **state)
{
	(void)state;
	for (int i = 0; i < 5; i++)
		issue_make();
	page_is(&(struct list_ask){.limit = 2}, "5 4", "4");
	issue_make();
	page_is(&(struct list_ask){.limit = 2, .after = 4}, "3 2", "2");
	page_is(&(struct list_ask){.limit = 2, .after = 2}, "1", "-");
	page_is(&(struct list_ask){.limit = 6}, "6 5 4 3 2 1", "-");
	page_is(&(struct list_ask){0}, "6 5 4 3 2 1", "-");
}

static void a_list_has_what_its_filters_say(void **state)
{
	AUTO_JSON other = NULL;
	AUTO_BUF words = buf_new(4096);
	struct err err = {0};

	(void)state;
	issue_make();
	other = tracker_make(tracker, "billing", "100% off_the bill", "A \\ in it", NULL);
	assert_non_null(other);
	assert_int_equal(tracker_set_state(tracker, "1", "closed", NULL), 0);
	page_is(&(struct list_ask){.state = "closed"}, "1", "-");
	page_is(&(struct list_ask){.state = "open, closed"}, "2 1", "-");
	page_is(&(struct list_ask){.state = "done"}, "", "-");
	page_is(&(struct list_ask){.repository = "billing"}, "2", "-");
	page_is(&(struct list_ask){.repository = "billing", .state = "closed"}, "", "-");
	page_is(&(struct list_ask){.text = "IS WRONG"}, "1", "-");
	page_is(&(struct list_ask){.text = "0% OFF"}, "2", "-");
	page_is(&(struct list_ask){.text = "0%off"}, "", "-");
	page_is(&(struct list_ask){.text = "off_the"}, "2", "-");
	page_is(&(struct list_ask){.text = "off.the"}, "", "-");
	page_is(&(struct list_ask){.text = "\\ IN"}, "2", "-");
	for (int i = 0; i < LIST_VALUES_MAX + 1; i++)
		buf_add_text(&words, "shop,");
	assert_null(tracker_list(tracker, &(struct list_ask){.repository = words.at}, &err));
	assert_int_equal(err.kind, ERR_LIMIT);
	assert_null(tracker_list(tracker, &(struct list_ask){.limit = LIST_LIMIT_MAX + 1}, &err));
	assert_int_equal(err.kind, ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(one_run_at_a_time_has_an_issue, setup, teardown),
		cmocka_unit_test_setup_teardown(the_same_comment_is_written_once, setup, teardown),
		cmocka_unit_test_setup_teardown(a_list_comes_in_pages_that_what_is_made_meanwhile_does_not_move, setup, teardown),
		cmocka_unit_test_setup_teardown(a_list_has_what_its_filters_say, setup, teardown),
		cmocka_unit_test_setup_teardown(wrong_input_is_told_in_one_line, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
