/* One contract, three stores: SQLite in a file, SQLite in memory, PostgreSQL. */
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
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/scope.h"
#include "postgres_fixture.h"
#include "store/copy.h"
#include "store/lease.h"
#include "store/migrations.h"
#include "store/store.h"

static struct postgres_fixture server;
static bool server_there;
static int database_number;
static char *where;   /* of the store of the running test */
static bool lasting;  /* is it there after it was closed? */
static char path[64]; /* of the file, if it is one */

static int open_new(void **state)
{
	struct store *store = NULL;
	struct err err = {0};

	if (store_open(where, &store, &err)) {
		fprintf(stderr, "%s\n", err.text);
		return -1;
	}
	*state = store;
	return 0;
}

static int setup_file(void **state)
{
	(void)snprintf(path, sizeof(path), "/tmp/assay-store-XXXXXX");
	if (close(mkstemp(path)) || unlink(path))
		return -1;
	where = text_copy(path);
	lasting = true;
	return open_new(state);
}

static int setup_memory(void **state)
{
	path[0] = '\0';
	where = text_copy(":memory:");
	lasting = false;
	return open_new(state);
}

static int setup_postgres(void **state)
{
	AUTO_FREE char *name = text_format("t%d", ++database_number);

	if (!server_there)
		return 0;
	path[0] = '\0';
	lasting = true;
	where = postgres_fixture_database(&server, name);
	return where ? open_new(state) : -1;
}

static int teardown(void **state)
{
	AUTO_FREE char *wal = text_format("%s-wal", path);
	AUTO_FREE char *shm = text_format("%s-shm", path);

	fault_hook = NULL;
	store_close(*state);
	free(where);
	where = NULL;
	if (path[0]) {
		(void)unlink(wal);
		(void)unlink(shm);
		(void)unlink(path);
	}
	return 0;
}

static struct store *store_of(void **state)
{
	if (!*state)
		skip(); /* no PostgreSQL: said aloud by main() */
	return *state;
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
	struct store *store = store_of(state);

	{
		AUTO_TX tx = {0};

		assert_int_equal(store_begin(store, &tx, NULL), 0);
		assert_int_equal(add(&tx, "a", NULL), 0);
	}
	assert_int_equal(count(store), 0);
}

static void what_is_committed_is_there_after_opening_again(void **state)
{
	struct store *store = store_of(state);
	AUTO_TX tx = {0};

	if (!lasting)
		skip();
	assert_int_equal(store_begin(store, &tx, NULL), 0);
	assert_int_equal(add(&tx, "a", NULL), 0);
	assert_int_equal(store_commit_synced(&tx, NULL), 0);
	store_close(store);
	*state = NULL;
	assert_int_equal(open_new(state), 0);
	assert_int_equal(count(*state), 1);
}

static void every_kind_of_value_comes_back(void **state)
{
	struct store *store = store_of(state);
	AUTO_TX tx = {0};
	AUTO_ROWS rows = {0};
	AUTO_JSON kinds = json_array();

	assert_int_equal(store_begin(store, &tx, NULL), 0);
	assert_int_equal(
		store_run(&tx,
			  "INSERT INTO run (id, repository, issue, title, state, state_since_ms, base_wanted, agent, agent_config,"
			  " created_ms, cost_usd, summary, head) VALUES (?, ?, ?, ?, 's', 0, 'main', 'a', '{}', ?, ?, ?, ?)",
			  VALUES(V("r1"), V(VIEW("view")), V(7), V("it's ? \"ü\""), V(INT64_MIN), V(1.5), V((const char *)NULL),
				 V("")),
			  NULL),
		-1); /* it has no workflow */
	store_abort(&tx);
	assert_int_equal(store_begin(store, &tx, NULL), 0);
	assert_int_equal(store_run(&tx, "INSERT INTO flow (id, name, step, status, since_ms) VALUES (?, 'n', 's', 'ready', 1)",
				   VALUES(V("r1")), NULL),
			 0);
	assert_int_equal(
		store_run(&tx,
			  "INSERT INTO run (id, repository, issue, title, state, state_since_ms, base_wanted, agent, agent_config,"
			  " created_ms, cost_usd, summary, head) VALUES (?, ?, ?, ?, 's', 0, 'main', 'a', '{}', ?, ?, ?, ?)",
			  VALUES(V("r1"), V(VIEW("view")), V(7), V("it's ? \"ü\""), V(INT64_MIN), V(1.5), V((const char *)NULL),
				 V("")),
			  NULL),
		0);
	assert_int_equal(store_query(&tx, &rows,
				     "SELECT created_ms, cost_usd, title, summary, repository, head, '?' FROM run WHERE id = ?",
				     VALUES(V("r1")), NULL),
			 0);
	assert_true(store_rows_next(&rows));
	assert_true(store_rows_number(&rows, 0) == INT64_MIN);
	assert_true(store_rows_real(&rows, 1) > 1.4 && store_rows_real(&rows, 1) < 1.6);
	assert_string_equal(store_rows_text(&rows, 2), "it's ? \"ü\"");
	assert_true(store_rows_null(&rows, 3));
	assert_null(store_rows_text(&rows, 3));
	assert_int_equal(store_rows_number(&rows, 3), 0);
	assert_string_equal(store_rows_text(&rows, 4), "view");
	assert_string_equal(store_rows_text(&rows, 5), "");
	assert_string_equal(store_rows_text(&rows, 6), "?");
	for (int i = 0; i < 5; i++)
		(void)json_array_append_new(kinds, store_rows_json(&rows, i));
	assert_true(json_is_integer(json_array_get(kinds, 0)));
	assert_true(json_is_real(json_array_get(kinds, 1)));
	assert_true(json_is_string(json_array_get(kinds, 2)));
	assert_true(json_is_null(json_array_get(kinds, 3)));
	assert_false(store_rows_next(&rows));
	assert_int_equal(store_rows_finish(&rows, NULL), 0);
}

static void rows_may_be_read_while_the_same_question_is_asked(void **state)
{
	struct store *store = store_of(state);
	AUTO_TX tx = {0};
	AUTO_ROWS outer = {0};
	int seen = 0;

	assert_int_equal(store_begin(store, &tx, NULL), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(add(&tx, "a", NULL), 0);
	assert_int_equal(store_query(&tx, &outer, "SELECT seq FROM change ORDER BY seq", NO_VALUES, NULL), 0);
	while (store_rows_next(&outer)) {
		AUTO_ROWS inner = {0};

		assert_int_equal(store_query(&tx, &inner, "SELECT seq FROM change ORDER BY seq", NO_VALUES, NULL), 0);
		while (store_rows_next(&inner))
			seen++;
	}
	assert_int_equal(seen, 9);
}

static void texts_are_ordered_by_their_bytes(void **state)
{
	static const char *const kinds[] = {"b", "B", "a", "_", "A", "ü"};
	struct store *store = store_of(state);
	AUTO_TX tx = {0};
	AUTO_ROWS rows = {0};
	char order[32] = "";

	assert_int_equal(store_begin(store, &tx, NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		assert_int_equal(add(&tx, kinds[i], NULL), 0);
	assert_int_equal(store_query(&tx, &rows, "SELECT kind FROM change ORDER BY kind", NO_VALUES, NULL), 0);
	while (store_rows_next(&rows))
		(void)strcat(order, store_rows_text(&rows, 0));
	assert_string_equal(order, "AB_abü");
}

static void changed_rows_and_new_numbers_are_told(void **state)
{
	struct store *store = store_of(state);
	AUTO_TX tx = {0};
	int64_t first;

	assert_int_equal(store_begin(store, &tx, NULL), 0);
	assert_int_equal(add(&tx, "a", NULL), 0);
	first = store_last_id(&tx);
	assert_int_equal(add(&tx, "b", NULL), 0);
	assert_int_equal(store_last_id(&tx), first + 1);
	assert_int_equal(store_run(&tx, "UPDATE change SET kind = 'c'", NO_VALUES, NULL), 0);
	assert_int_equal(store_changed(&tx), 2);
	assert_int_equal(store_run(&tx, "UPDATE change SET kind = 'd' WHERE kind = 'none'", NO_VALUES, NULL), 0);
	assert_int_equal(store_changed(&tx), 0);
}

static void a_broken_constraint_is_a_conflict(void **state)
{
	struct store *store = store_of(state);
	AUTO_TX tx = {0};
	struct err err = {0};

	assert_int_equal(store_begin(store, &tx, NULL), 0);
	assert_int_equal(store_run(&tx, "INSERT INTO issue_comment (issue, author, text, time_ms) VALUES (99, 'a', 'b', 1)",
				   NO_VALUES, &err),
			 -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
	store_abort(&tx);
	assert_int_equal(count(store), 0); /* and the store goes on */
}

static void a_wrong_statement_is_told_in_one_line(void **state)
{
	struct store *store = store_of(state);
	AUTO_TX tx = {0};
	struct err err = {0};

	assert_int_equal(store_begin(store, &tx, NULL), 0);
	assert_int_equal(store_run(&tx, "UPDATE nothing SET a = 1", NO_VALUES, &err), -1);
	assert_int_equal(err.kind, ERR_BROKEN);
	assert_null(strchr(err.text, '\n'));
	assert_non_null(strstr(err.text, "nothing"));
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
	struct store *store = store_of(state);
	pthread_t thread;
	int64_t seen = store_version(store);

	assert_int_equal(pthread_create(&thread, NULL, commit_soon, store), 0);
	store_wait(store, seen, 60000);
	assert_true(store_version(store) > seen);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

static void commit(struct store *store, const char *key)
{
	AUTO_TX tx = {0};

	assert_int_equal(store_begin(store, &tx, NULL), 0);
	assert_int_equal(add(&tx, key, NULL), 0);
	assert_int_equal(store_commit(&tx, NULL), 0);
}

static void heard_one(void *self)
{
	(void)atomic_fetch_add((atomic_int *)self, 1);
}

static void who_listens_hears_of_every_commit_until_it_does_no_more(void **state)
{
	struct store *store = store_of(state);
	atomic_int heard = 0, other = 0;
	struct store_listener listener = {.heard = heard_one, .self = &heard};
	struct store_listener second = {.heard = heard_one, .self = &other};

	store_listen_end(store, &listener); /* which does not listen yet */
	store_listen(store, &listener);
	store_listen(store, &second);
	commit(store, "a");
	assert_true(atomic_load(&heard) > 0);
	store_listen_end(store, &listener);
	atomic_store(&heard, 0);
	atomic_store(&other, 0);
	commit(store, "b");
	assert_int_equal(atomic_load(&heard), 0);
	assert_true(atomic_load(&other) > 0);
	store_listen_end(store, &second);
}

static void a_wait_ends_with_a_commit_of_another_program(void **state)
{
	struct store *store = store_of(state);
	struct store *other = NULL;
	pthread_t thread;
	int64_t seen;

	if (!store_is_shared(store))
		skip();
	assert_int_equal(store_open(where, &other, NULL), 0);
	(void)usleep(300000); /* who listens first hears of nothing: this is not waited for, only made likely */
	seen = store_version(store);
	assert_int_equal(pthread_create(&thread, NULL, commit_soon, other), 0);
	for (int i = 0; i < 600 && store_version(store) == seen; i++)
		store_wait(store, seen, 100);
	assert_true(store_version(store) > seen);
	assert_int_equal(pthread_join(thread, NULL), 0);
	store_close(other);
}

static bool fail_commit(const char *name)
{
	return strcmp(name, "store.commit") == 0;
}

static void a_failed_commit_leaves_nothing_and_the_store_usable(void **state)
{
	struct store *store = store_of(state);
	AUTO_TX tx = {0};

	assert_int_equal(store_begin(store, &tx, NULL), 0);
	assert_int_equal(add(&tx, "a", NULL), 0);
	fault_hook = fail_commit;
	assert_int_equal(store_commit(&tx, NULL), -1);
	fault_hook = NULL;
	assert_int_equal(count(store), 0);
}

#define THREADS 8
#define ROUNDS 25

/* Reads, then writes what it read and one more: only right when no other runs in between. */
static void *count_up(void *store)
{
	for (int i = 0; i < ROUNDS; i++) {
		AUTO_TX tx = {0};
		int64_t before = -1;

		if (store_begin(store, &tx, NULL) ||
		    store_number_get(&tx, &before, 0, "SELECT max(time_ms) FROM change", NO_VALUES, NULL) ||
		    store_run(&tx, "INSERT INTO change (time_ms, kind, data) VALUES (?, 'n', '{}')", VALUES(V(before + 1)), NULL) ||
		    store_commit_synced(&tx, NULL))
			abort();
	}
	return NULL;
}

static void transactions_are_serial_and_syncs_are_shared(void **state)
{
	struct store *store = store_of(state);
	pthread_t threads[THREADS];
	AUTO_TX tx = {0};
	int64_t last = 0;

	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, count_up, store), 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(store_begin(store, &tx, NULL), 0);
	assert_int_equal(store_number_get(&tx, &last, 0, "SELECT max(time_ms) FROM change", NO_VALUES, NULL), 0);
	assert_int_equal(last, THREADS * ROUNDS);
}

#define LOG_BYTES ((int64_t)24 << 20) /* more than waits for being put into the file */

static int64_t bytes_of(const char *end)
{
	AUTO_FREE char *name = text_format("%s%s", path, end);
	struct stat status;

	return stat(name, &status) ? 0 : (int64_t)status.st_size;
}

/* In transactions of 1 MiB. */
static void write_bytes(struct store *store, int64_t bytes)
{
	AUTO_FREE char *mebibyte = mem_new((1 << 20) + 1);

	memset(mebibyte, 'x', 1 << 20);
	for (int64_t done = 0; done < bytes; done += 1 << 20) {
		AUTO_TX tx = {0};

		assert_int_equal(store_begin(store, &tx, NULL), 0);
		assert_int_equal(store_run(&tx, "INSERT INTO change (time_ms, kind, data) VALUES (1, 'long', ?)",
					   VALUES(V((const char *)mebibyte)), NULL),
				 0);
		assert_int_equal(store_commit(&tx, NULL), 0);
	}
}

static void the_log_is_put_into_the_file_while_a_transaction_goes_on(void **state)
{
	struct store *store = store_of(state);
	AUTO_TX tx = {0};

	write_bytes(store, LOG_BYTES);
	assert_int_equal(store_begin(store, &tx, NULL), 0);
	assert_int_equal(add(&tx, "a", NULL), 0);
	for (time_t until = time(NULL) + 60; bytes_of("") < LOG_BYTES / 2;) {
		assert_true(time(NULL) < until);
		(void)sched_yield();
	}
	assert_int_equal(store_commit(&tx, NULL), 0);
	assert_int_equal(count(store), (LOG_BYTES >> 20) + 1);
}

static void commits_that_never_pause_make_no_log_without_end(void **state)
{
	struct store *store = store_of(state);

	write_bytes(store, 8 * LOG_BYTES);
	assert_true(bytes_of("-wal") < 6 * LOG_BYTES);
	assert_int_equal(count(store), 8 * LOG_BYTES >> 20);
}

static void *take_all(void *store)
{
	for (;;) {
		AUTO_TX tx = {0};
		AUTO_FREE char *sql = NULL;
		int64_t seq = 0;

		if (store_begin_free(store, &tx, NULL))
			abort();
		sql = text_format("SELECT seq FROM change WHERE kind = 'work' ORDER BY seq LIMIT 1%s", store_skip_locked(&tx));
		if (store_number_get(&tx, &seq, 0, sql, NO_VALUES, NULL))
			abort();
		if (!seq)
			return NULL;
		if (store_run(&tx, "UPDATE change SET kind = 'done', time_ms = time_ms + 1 WHERE seq = ?", VALUES(V(seq)), NULL) ||
		    store_commit(&tx, NULL))
			abort();
	}
}

static void a_queue_gives_each_row_to_one(void **state)
{
	struct store *store = store_of(state);
	pthread_t threads[THREADS];
	AUTO_TX tx = {0};
	int64_t sum = 0;

	assert_int_equal(store_begin(store, &tx, NULL), 0);
	for (int i = 0; i < 100; i++)
		assert_int_equal(
			store_run(&tx, "INSERT INTO change (time_ms, kind, data) VALUES (0, 'work', '{}')", NO_VALUES, NULL), 0);
	assert_int_equal(store_commit(&tx, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, take_all, store), 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(store_begin(store, &tx, NULL), 0);
	assert_int_equal(store_number_get(&tx, &sum, 0, "SELECT sum(time_ms) FROM change WHERE kind = 'done'", NO_VALUES, NULL), 0);
	assert_int_equal(sum, 100);
}

/* ---- leases ---- */

static int64_t clock_ms;
static int64_t fake_now(void *self)
{
	(void)self;
	return clock_ms;
}
static const struct world_ops fake_ops = {fake_now, fake_now, NULL};
static const struct world fake_world = {&fake_ops, NULL};

#define LIFE_MS 400

/* Until the lease has run out, by whatever clock the store has. */
static void outlive(void)
{
	clock_ms += LIFE_MS + 1;
	(void)usleep((LIFE_MS + 100) * 1000);
}

static void a_lease_is_held_by_one_and_its_token_grows(void **state)
{
	struct store *store = store_of(state);
	struct lease a = {0};
	struct lease b = {0};
	struct err err = {0};
	AUTO_TX tx = {0};

	assert_int_equal(lease_take(store, fake_world, "work", "a", 600000, &a, NULL), 0);
	assert_int_equal(lease_take(store, fake_world, "work", "b", LIFE_MS, &b, &err), -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
	lease_release(store, fake_world, &a);
	assert_int_equal(lease_take(store, fake_world, "work", "b", LIFE_MS, &b, NULL), 0);
	assert_int_equal(b.token, 2);
	outlive();
	assert_int_equal(lease_renew(store, fake_world, &b, LIFE_MS, NULL), 0); /* nobody took it */
	outlive();
	assert_int_equal(lease_take(store, fake_world, "work", "a", 600000, &a, NULL), 0);
	assert_int_equal(a.token, 3);
	assert_int_equal(lease_renew(store, fake_world, &b, LIFE_MS, &err), -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
	assert_int_equal(store_begin(store, &tx, NULL), 0);
	assert_int_equal(lease_check(&tx, &b, &err), -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
	assert_int_equal(lease_check(&tx, &a, &err), 0);
}

static void an_owner_that_begins_again_waits_for_nothing(void **state)
{
	struct store *store = store_of(state);
	struct lease before = {0};
	struct lease after = {0};
	struct err err = {0};

	assert_int_equal(lease_take(store, fake_world, "work", "a", 600000, &before, NULL), 0);
	assert_int_equal(lease_take(store, fake_world, "work", "a", 600000, &after, NULL), 0);
	assert_true(after.token > before.token);
	assert_int_equal(lease_renew(store, fake_world, &before, 600000, &err), -1);
}

/* ---- forms ---- */

static int form_spoil(struct store *store, const char *sql)
{
	AUTO_TX tx = {0};

	return store_begin(store, &tx, NULL) || store_run(&tx, sql, NO_VALUES, NULL) || store_commit(&tx, NULL);
}

static void refused(void **state, const char *sql, enum err_kind kind, const char *words)
{
	struct store *store = store_of(state);
	struct store *again = NULL;
	struct err err = {0};

	if (!lasting)
		skip();
	assert_int_equal(form_spoil(store, sql), 0);
	store_close(store);
	*state = NULL;
	assert_int_equal(store_open(where, &again, &err), -1);
	assert_int_equal(err.kind, kind);
	assert_non_null(strstr(err.text, words));
}

static void a_newer_store_is_refused(void **state)
{
	refused(state, "INSERT INTO store_form (number, about, checksum, time_ms) VALUES (9999, 'later', 'x', 0)", ERR_INVALID,
		"newer program");
}

static void a_store_whose_forms_were_other_ones_is_refused(void **state)
{
	refused(state, "UPDATE store_form SET checksum = 'x' WHERE number = 2", ERR_BROKEN, "form 2");
}

/* ---- copies ---- */

static void fill(struct store *store)
{
	AUTO_TX tx = {0};

	assert_int_equal(store_begin(store, &tx, NULL), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(add(&tx, "it's\nü", NULL), 0);
	assert_int_equal(
		store_run(&tx,
			  "INSERT INTO issue (repository, title, body, state, created_ms, pull) VALUES ('r', '', ?, 'open', ?, ?)",
			  VALUES(V("long text"), V(INT64_MAX), V((const char *)NULL)), NULL),
		0);
	assert_int_equal(store_commit(&tx, NULL), 0);
}

/* Out of this kind of store into memory and back into a new one of this kind. */
static void a_copy_holds_everything_and_goes_into_any_other_kind(void **state)
{
	struct store *from = store_of(state);
	AUTO_CLOSE int lines = file_anonymous(VIEW(""), NULL);
	AUTO_CLOSE int back = file_anonymous(VIEW(""), NULL);
	struct store *memory = NULL;
	struct err err = {0};
	int64_t rows = 0;
	AUTO_TX tx = {0};

	fill(from);
	assert_int_equal(store_copy_out(from, lines, &rows, NULL), 0);
	assert_int_equal(rows, 4);
	assert_int_equal(store_open(":memory:", &memory, NULL), 0);
	assert_int_equal(lseek(lines, 0, SEEK_SET), 0);
	if (store_copy_in(memory, lines, &rows, &err))
		fail_msg("%s", err.text);
	assert_int_equal(count(memory), 3);
	assert_int_equal(store_copy_out(memory, back, &rows, NULL), 0);
	store_close(memory);
	assert_int_equal(lseek(back, 0, SEEK_SET), 0);
	assert_int_equal(store_copy_in(from, back, &rows, &err), -1); /* it is not empty */
	assert_int_equal(err.kind, ERR_CONFLICT);
	assert_int_equal(store_begin(from, &tx, NULL), 0);
	assert_int_equal(store_run(&tx, "DELETE FROM change", NO_VALUES, NULL), 0);
	assert_int_equal(store_run(&tx, "DELETE FROM issue", NO_VALUES, NULL), 0);
	assert_int_equal(store_commit(&tx, NULL), 0);
	assert_int_equal(lseek(back, 0, SEEK_SET), 0);
	if (store_copy_in(from, back, &rows, &err))
		fail_msg("%s", err.text);
	assert_int_equal(count(from), 3);
	assert_int_equal(store_begin(from, &tx, NULL), 0);
	assert_int_equal(
		store_number_get(&tx, &rows, 0, "SELECT created_ms FROM issue WHERE pull IS NULL AND title = ''", NO_VALUES, NULL),
		0);
	assert_true(rows == INT64_MAX);
	assert_int_equal(add(&tx, "next", NULL), 0); /* numbers go on after the largest */
	assert_int_equal(store_last_id(&tx), 4);
}

static void lines_that_are_no_copy_are_refused_and_leave_nothing(void **state)
{
	static const struct {
		const char *lines, *words;
	} bad[] = {
		{"", "middle"},
		{"{}\n", "no copy"},
		{"{\"assay\": \"store\", \"form\": 1}\n", "form 1"},
		{"{\"assay\": \"store\", \"form\": %zu}\n{\"table\": \"change; DROP TABLE run\", \"columns\": [\"seq\"]}\n",
		 "no table"},
		{"{\"assay\": \"store\", \"form\": %zu}\n{\"table\": \"change\", \"columns\": [\"seq) --\"]}\n", "no name"},
		{"{\"assay\": \"store\", \"form\": %zu}\n[1, 2]\n", "fits no table"},
		{"{\"assay\": \"store\", \"form\": %zu}\n{\"table\": \"change\", \"columns\": [\"seq\"]}\n[1, 2]\n",
		 "fits no table"},
		{"{\"assay\": \"store\", \"form\": %zu}\n{\"table\": \"chan", "middle"},
	};
	struct store *store = store_of(state);

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		AUTO_FREE char *number = text_format("%zu", store_migration_count);
		const char *mark = strstr(bad[i].lines, "%zu");
		AUTO_FREE char *lines = mark ? text_format("%.*s%s%s", (int)(mark - bad[i].lines), bad[i].lines, number, mark + 3)
					     : text_copy(bad[i].lines);
		AUTO_CLOSE int fd = file_anonymous(view_of(lines), NULL);
		struct err err = {0};
		int64_t rows;

		assert_int_equal(store_copy_in(store, fd, &rows, &err), -1);
		if (!strstr(err.text, bad[i].words) || err.kind != ERR_INVALID)
			fail_msg("%s: %s", lines, err.text);
		assert_int_equal(count(store), 0);
	}
}

/* ---- PostgreSQL alone ---- */

static void a_server_that_is_gone_is_tried_again_and_comes_back(void **state)
{
	struct store *store = store_of(state);
	struct err err = {0};
	AUTO_TX tx = {0};
	bool begun = false;
	bool gone = false;

	if (!store_is_shared(store))
		skip();
	assert_int_equal(store_begin(store, &tx, NULL), 0);
	assert_int_equal(add(&tx, "a", NULL), 0);
	assert_int_equal(store_commit_synced(&tx, NULL), 0);
	postgres_fixture_kill(&server);
	/* Its processes outlive it for a moment. */
	for (int i = 0; i < 600 && !gone; i++) {
		gone = store_begin(store, &tx, &err) != 0;
		store_abort(&tx);
		if (!gone)
			(void)usleep(100000);
	}
	assert_true(gone);
	assert_int_equal(err.kind, ERR_RETRY);
	assert_true(postgres_fixture_again(&server));
	for (int i = 0; i < 600 && !begun; i++) {
		begun = !store_begin(store, &tx, &err);
		if (!begun)
			(void)usleep(100000);
	}
	assert_true(begun);
	store_abort(&tx);
	assert_int_equal(count(store), 1);
}

static void a_server_that_is_not_there_is_told_without_the_password(void **state)
{
	struct store *store = NULL;
	struct err err = {0};

	(void)state;
	assert_int_equal(store_open("postgres://me:secret@127.0.0.1:1/none", &store, &err), -1);
	assert_int_equal(err.kind, ERR_RETRY);
	assert_null(strstr(err.text, "secret"));
	assert_non_null(strstr(err.text, "127.0.0.1"));
	assert_null(strchr(err.text, '\n'));
}

#define TEST(name, kind)                                                 \
	{                                                                \
#name " (" #kind ")", name, setup_##kind, teardown, NULL \
	}
#define EACH(name) TEST(name, file), TEST(name, memory), TEST(name, postgres)

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH(what_is_not_committed_is_gone),
		EACH(what_is_committed_is_there_after_opening_again),
		EACH(every_kind_of_value_comes_back),
		EACH(rows_may_be_read_while_the_same_question_is_asked),
		EACH(texts_are_ordered_by_their_bytes),
		EACH(changed_rows_and_new_numbers_are_told),
		EACH(a_broken_constraint_is_a_conflict),
		EACH(a_wrong_statement_is_told_in_one_line),
		EACH(a_wait_ends_with_the_next_commit),
		EACH(who_listens_hears_of_every_commit_until_it_does_no_more),
		EACH(a_wait_ends_with_a_commit_of_another_program),
		EACH(a_failed_commit_leaves_nothing_and_the_store_usable),
		EACH(transactions_are_serial_and_syncs_are_shared),
		TEST(the_log_is_put_into_the_file_while_a_transaction_goes_on, file),
		TEST(commits_that_never_pause_make_no_log_without_end, file),
		EACH(a_queue_gives_each_row_to_one),
		EACH(a_lease_is_held_by_one_and_its_token_grows),
		EACH(an_owner_that_begins_again_waits_for_nothing),
		EACH(a_newer_store_is_refused),
		EACH(a_store_whose_forms_were_other_ones_is_refused),
		EACH(a_copy_holds_everything_and_goes_into_any_other_kind),
		EACH(lines_that_are_no_copy_are_refused_and_leave_nothing),
		EACH(a_server_that_is_gone_is_tried_again_and_comes_back),
		cmocka_unit_test(a_server_that_is_not_there_is_told_without_the_password),
	};
	int failed;

	server_there = postgres_fixture_start(&server, false);
	if (!server_there)
		fprintf(stderr, "skipped: everything that needs PostgreSQL\n");
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	postgres_fixture_stop(&server);
	return failed;
}
