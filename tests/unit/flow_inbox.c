/* Messages that are kept and acted on together: what becomes of one must not be what becomes of the others. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "base/scope.h"
#include "flow/inbox.h"

#define TOGETHER 3
#define KILLS 10

static struct store *store;
static char root[64];

static int setup(void **state)
{
	(void)state;
	log_init("test", LOG_LEVEL_ERROR + 1);
	return store_open(":memory:", &store, NULL);
}

static int teardown(void **state)
{
	(void)state;
	fault_hook = NULL;
	store_close(store);
	return 0;
}

static int64_t number(struct store *of, const char *sql)
{
	int64_t found = -1;
	AUTO_TX tx = {0};

	assert_int_equal(store_begin(of, &tx, NULL), 0);
	assert_int_equal(store_number_get(&tx, &found, -1, sql, NO_VALUES, NULL), 0);
	return found;
}

static struct inbox_message message(const char *delivery)
{
	return (struct inbox_message){.source = "forge", .delivery = delivery, .kind = "push", .data = VIEW("{}")};
}

/* ---- keeping ---- */

static const char *fault_name;
static unsigned fault_visits; /* bits: which visits fail */
static unsigned visit;

static bool fails(const char *name)
{
	return strcmp(name, fault_name) == 0 && (fault_visits >> visit++ & 1);
}

static void faults_set(const char *name, unsigned visits)
{
	fault_name = name;
	fault_visits = visits;
	visit = 0;
	fault_hook = fails;
}

static void accept_all(struct inbox_result results[TOGETHER])
{
	const struct inbox_message messages[TOGETHER] = {message("1"), message("2"), message("3")};

	inbox_accept_all(store, world_real, messages, TOGETHER, results);
}

static void one_that_cannot_be_kept_keeps_no_other_from_it(void **state)
{
	struct inbox_result results[TOGETHER];

	(void)state;
	faults_set("inbox.insert", 1u << 1 | 1u << 3); /* the second of three, and again when each is kept alone */
	accept_all(results);
	assert_int_equal(results[0].failure.kind, ERR_NONE);
	assert_int_equal(results[1].failure.kind, ERR_BROKEN);
	assert_int_equal(results[2].failure.kind, ERR_NONE);
	assert_int_equal(number(store, "SELECT count(*) FROM inbox"), 2);
	assert_int_equal(number(store, "SELECT count(*) FROM inbox WHERE delivery = '2'"), 0);
	fault_hook = NULL;
	accept_all(results); /* sent again, all of them */
	assert_true(results[0].seen);
	assert_false(results[1].seen);
	assert_int_equal(number(store, "SELECT count(*) FROM inbox"), 3);
}

static void one_that_is_too_long_is_refused_alone(void **state)
{
	struct inbox_message messages[TOGETHER] = {message("1"), message("2"), message("3")};
	struct inbox_result results[TOGETHER];

	(void)state;
	messages[0].data.length = INBOX_BYTES_MAX + 1; /* it is not read */
	inbox_accept_all(store, world_real, messages, TOGETHER, results);
	assert_int_equal(results[0].failure.kind, ERR_LIMIT);
	assert_int_equal(number(store, "SELECT count(*) FROM inbox"), 2);
}

static void the_same_message_twice_at_once_is_kept_once(void **state)
{
	const struct inbox_message messages[TOGETHER] = {message("1"), message("1"), message("2")};
	struct inbox_result results[TOGETHER];

	(void)state;
	inbox_accept_all(store, world_real, messages, TOGETHER, results);
	assert_false(results[0].seen);
	assert_true(results[1].seen);
	assert_int_equal(results[1].failure.kind, ERR_NONE);
	assert_int_equal(number(store, "SELECT count(*) FROM inbox"), 2);
}

/* Whatever the store refuses: nobody is told that it was taken. */
static void nobody_is_told_that_it_is_kept_when_the_store_or_the_disk_refuses(void **state)
{
	static const char *const places[] = {"store.begin", "store.commit", "store.committed", "store.sync"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		struct inbox_result results[TOGETHER];

		faults_set(places[i], ~0u);
		accept_all(results);
		for (size_t j = 0; j < TOGETHER; j++)
			assert_int_not_equal(results[j].failure.kind, ERR_NONE);
		fault_hook = NULL;
		accept_all(results); /* and it can be sent again */
		for (size_t j = 0; j < TOGETHER; j++)
			assert_int_equal(results[j].failure.kind, ERR_NONE);
		assert_int_equal(number(store, "SELECT count(*) FROM inbox"), TOGETHER);
	}
}

/* Keeps three at a time and says which were kept, until it is killed. */
static void keep_until_killed(const char *path, int said)
{
	struct store *own = NULL;
	char names[TOGETHER][16];

	if (store_open(path, &own, NULL))
		_exit(1);
	for (int round = 0;; round++) {
		struct inbox_message messages[TOGETHER];
		struct inbox_result results[TOGETHER];

		for (int i = 0; i < TOGETHER; i++) {
			(void)snprintf(names[i], sizeof(names[i]), "%d-%d", (int)getpid(), round * TOGETHER + i);
			messages[i] = message(names[i]);
		}
		inbox_accept_all(own, world_real, messages, TOGETHER, results);
		for (int i = 0; i < TOGETHER; i++)
			if (results[i].failure.kind == ERR_NONE && write(said, names[i], sizeof(names[i])) != sizeof(names[i]))
				_exit(1);
	}
}

static void what_was_said_to_be_kept_is_there_after_kill_9(void **state)
{
	AUTO_FREE char *path = NULL;
	int64_t said = 0;

	(void)state;
	(void)snprintf(root, sizeof(root), "/tmp/assay-kept-XXXXXX");
	assert_non_null(mkdtemp(root));
	path = text_format("%s/store.db", root);
	for (int i = 0; i < KILLS; i++) {
		struct store *again = NULL;
		char name[16];
		int pipes[2];
		pid_t child;

		assert_int_equal(pipe(pipes), 0);
		child = fork();
		if (child == 0)
			keep_until_killed(path, pipes[1]);
		assert_true(child > 0);
		(void)close(pipes[1]);
		for (int j = 0; j < 1 + i; j++) /* somewhere in its work, which goes on meanwhile */
			assert_int_equal(read(pipes[0], name, sizeof(name)), sizeof(name));
		said += 1 + i;
		assert_int_equal(kill(child, SIGKILL), 0);
		assert_int_equal(waitpid(child, NULL, 0), child);
		assert_int_equal(store_open(path, &again, NULL), 0);
		do {
			AUTO_FREE char *sql = text_format("SELECT count(*) FROM inbox WHERE delivery = '%s'", name);

			assert_int_equal(number(again, sql), 1);
		} while (read(pipes[0], name, sizeof(name)) == sizeof(name) && ++said);
		assert_true(number(again, "SELECT count(*) FROM inbox") >= said);
		assert_int_equal(number(again, "SELECT count(*) FROM inbox") % TOGETHER, 0); /* all of a transaction, or nothing */
		store_close(again);
		(void)close(pipes[0]);
	}
	assert_int_equal(file_remove_tree(root, NULL), 0);
}

/* ---- acting ---- */

static const char *bad;      /* the delivery that cannot be acted on */
static enum err_kind as;     /* what it fails with */
static int64_t commits_seen; /* of the store, when the last was acted on */

static int act(void *self, struct store_tx *tx, const struct inbox_message *taken, struct err *err)
{
	(void)self;
	commits_seen = store_version(store);
	if (bad && strcmp(taken->delivery, bad) == 0)
		return err_set(err, as, "not this one");
	return store_run(tx, "INSERT INTO change (time_ms, kind, data) VALUES (0, 'acted', ?)", VALUES(V(taken->delivery)), err);
}

static void work_all(void)
{
	const struct inbox inbox = {store, world_real, act, NULL};
	bool did = true;

	while (did)
		assert_int_equal(inbox_work(&inbox, &did, NULL), 0);
}

static void several_are_acted_on_in_one_transaction(void **state)
{
	struct inbox_result results[TOGETHER];
	int64_t before;

	(void)state;
	bad = NULL;
	accept_all(results);
	before = store_version(store);
	work_all();
	assert_int_equal(commits_seen, before); /* the last one before anything was committed */
	assert_int_equal(store_version(store), before + 1);
	assert_int_equal(number(store, "SELECT count(*) FROM inbox WHERE status = 'done'"), TOGETHER);
	assert_int_equal(number(store, "SELECT count(*) FROM change"), TOGETHER);
}

static void one_that_cannot_be_acted_on_keeps_no_other_from_it(void **state)
{
	static const char *const deliveries[] = {"1", "2", "3"};

	for (size_t i = 0; i < ARRAY_LEN(deliveries); i++) {
		struct inbox_result results[TOGETHER];

		bad = deliveries[i];
		as = i == 1 ? ERR_INVALID : ERR_RETRY;
		accept_all(results);
		work_all();
		assert_int_equal(number(store, "SELECT count(*) FROM inbox WHERE status = 'done'"), TOGETHER - 1);
		assert_int_equal(number(store, "SELECT count(*) FROM change"), TOGETHER - 1); /* each once */
		assert_int_equal(number(store, "SELECT tries FROM inbox WHERE status <> 'done'"), 1);
		assert_int_equal(number(store, "SELECT count(*) FROM inbox WHERE status = 'dead'"), i == 1);
		/* what was acted on keeps its names only; what was not is there whole, to be looked at */
		assert_int_equal(number(store, "SELECT count(*) FROM inbox WHERE (status = 'done') = (data = '')"), TOGETHER);
		(void)teardown(state);
		assert_int_equal(setup(state), 0);
	}
}

static void acting_waits_for_nobody_when_nobody_hurries_and_goes_on_when_somebody_does(void **state)
{
	struct inbox_result results[TOGETHER];

	(void)state;
	bad = NULL;
	accept_all(results);
	assert_false(store_is_hurried(store));
	store_hurry_begin(store);
	assert_true(store_is_hurried(store));
	work_all(); /* after a while all the same: who hurries for ever stops nobody */
	store_hurry_end(store);
	assert_false(store_is_hurried(store));
	assert_int_equal(number(store, "SELECT count(*) FROM change"), TOGETHER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(one_that_cannot_be_kept_keeps_no_other_from_it, setup, teardown),
		cmocka_unit_test_setup_teardown(one_that_is_too_long_is_refused_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(the_same_message_twice_at_once_is_kept_once, setup, teardown),
		cmocka_unit_test_setup_teardown(nobody_is_told_that_it_is_kept_when_the_store_or_the_disk_refuses, setup, teardown),
		cmocka_unit_test_setup_teardown(several_are_acted_on_in_one_transaction, setup, teardown),
		cmocka_unit_test_setup_teardown(one_that_cannot_be_acted_on_keeps_no_other_from_it, setup, teardown),
		cmocka_unit_test_setup_teardown(acting_waits_for_nobody_when_nobody_hurries_and_goes_on_when_somebody_does, setup,
						teardown),
		cmocka_unit_test(what_was_said_to_be_kept_is_there_after_kill_9),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
