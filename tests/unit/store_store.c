/* Transactions, statements and migrations. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "base/fault.h"
#include "base/scope.h"
#include "store/store.h"

static char path[64];

static int setup(void **state)
{
	struct store *store = NULL;

	(void)snprintf(path, sizeof(path), "/tmp/assay-store-XXXXXX");
	if (close(mkstemp(path)) || unlink(path) || store_open(path, &store, NULL))
		return -1;
	*state = store;
	return 0;
}

static int teardown(void **state)
{
	AUTO_FREE char *wal = text_format("%s-wal", path);
	AUTO_FREE char *shm = text_format("%s-shm", path);

	store_close(*state);
	(void)unlink(wal);
	(void)unlink(shm);
	return unlink(path);
}

static int64_t count(struct store *store)
{
	AUTO_TX tx = {0};
	int64_t number = -1;

	assert_int_equal(store_begin(store, &tx, NULL), 0);
	assert_int_equal(store_number_get(&tx, &number, 0, "SELECT count(*) FROM change", NO_VALUES, NULL), 0);
	return number;
}

static int add(struct store_tx *tx, const char *kind, struct err *err)
{
	return store_run(tx, "INSERT INTO change (time_ms, kind, data) VALUES (?, ?, '{}')", VALUES(V(7), V(kind)), err);
}

static void what_is_not_committed_is_gone(void **state)
{
	{
		AUTO_TX tx = {0};

		assert_int_equal(store_begin(*state, &tx, NULL), 0);
		assert_int_equal(add(&tx, "a", NULL), 0);
	}
	assert_int_equal(count(*state), 0);
}

static void what_is_committed_is_there_after_opening_again(void **state)
{
	AUTO_TX tx = {0};
	struct store *again = NULL;

	assert_int_equal(store_begin(*state, &tx, NULL), 0);
	assert_int_equal(add(&tx, "a", NULL), 0);
	assert_int_equal(store_commit(&tx, NULL), 0);
	store_close(*state);
	assert_int_equal(store_open(path, &again, NULL), 0);
	*state = again;
	assert_int_equal(count(again), 1);
}

static void every_kind_of_value_comes_back(void **state)
{
	AUTO_TX tx = {0};
	AUTO_ROWS rows = {0};

	assert_int_equal(store_begin(*state, &tx, NULL), 0);
	assert_int_equal(store_query(&tx, &rows, "SELECT ?, ?, ?, ?, ?",
				     VALUES(V(INT64_MIN), V(1.5), V("it's"), V((const char *)NULL), V(VIEW("view"))), NULL),
			 0);
	assert_true(store_rows_next(&rows));
	assert_true(store_rows_number(&rows, 0) == INT64_MIN);
	assert_true(store_rows_real(&rows, 1) > 1.4 && store_rows_real(&rows, 1) < 1.6);
	assert_string_equal(store_rows_text(&rows, 2), "it's");
	assert_true(store_rows_null(&rows, 3));
	assert_string_equal(store_rows_text(&rows, 4), "view");
	assert_false(store_rows_next(&rows));
	assert_int_equal(store_rows_finish(&rows, NULL), 0);
}

static void a_broken_constraint_is_a_conflict(void **state)
{
	AUTO_TX tx = {0};
	struct err err = {0};

	assert_int_equal(store_begin(*state, &tx, NULL), 0);
	assert_int_equal(store_run(&tx, "INSERT INTO issue_comment (issue, author, text, time_ms) VALUES (99, 'a', 'b', 1)",
				   NO_VALUES, &err),
			 -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
}

static void a_database_of_a_newer_program_is_refused(void **state)
{
	sqlite3 *db = NULL;
	struct store *again = NULL;
	struct err err = {0};

	store_close(*state);
	*state = NULL;
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "PRAGMA user_version = 9999", NULL, NULL, NULL), SQLITE_OK);
	(void)sqlite3_close(db);
	assert_int_equal(store_open(path, &again, &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
	assert_non_null(strstr(err.text, "newer program"));
}

static void a_database_of_another_program_is_refused(void **state)
{
	sqlite3 *db = NULL;
	struct store *again = NULL;
	struct err err = {0};

	store_close(*state);
	*state = NULL;
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "PRAGMA application_id = 1", NULL, NULL, NULL), SQLITE_OK);
	(void)sqlite3_close(db);
	assert_int_equal(store_open(path, &again, &err), -1);
	assert_int_equal(err.kind, ERR_BROKEN);
}

static void *commit_soon(void *store)
{
	AUTO_TX tx = {0};

	(void)usleep(20000);
	if (store_begin(store, &tx, NULL) || add(&tx, "a", NULL) || store_commit(&tx, NULL))
		abort();
	return NULL;
}

static void a_wait_ends_with_the_next_commit(void **state)
{
	pthread_t thread;
	int64_t seen = store_version(*state);

	assert_int_equal(pthread_create(&thread, NULL, commit_soon, *state), 0);
	store_wait(*state, seen, 10000);
	assert_true(store_version(*state) > seen);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

static bool fail_commit(const char *name)
{
	return strcmp(name, "store.commit") == 0;
}

static void a_failed_commit_leaves_nothing_and_the_store_usable(void **state)
{
	AUTO_TX tx = {0};

	assert_int_equal(store_begin(*state, &tx, NULL), 0);
	assert_int_equal(add(&tx, "a", NULL), 0);
	fault_hook = fail_commit;
	assert_int_equal(store_commit(&tx, NULL), -1);
	fault_hook = NULL;
	assert_int_equal(count(*state), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_not_committed_is_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_committed_is_there_after_opening_again, setup, teardown),
		cmocka_unit_test_setup_teardown(every_kind_of_value_comes_back, setup, teardown),
		cmocka_unit_test_setup_teardown(a_broken_constraint_is_a_conflict, setup, teardown),
		cmocka_unit_test_setup_teardown(a_database_of_a_newer_program_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(a_database_of_another_program_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(a_wait_ends_with_the_next_commit, setup, teardown),
		cmocka_unit_test_setup_teardown(a_failed_commit_leaves_nothing_and_the_store_usable, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
