/* Two control planes on one PostgreSQL: they share the work, and what one had goes on at the other when it dies or hangs. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/scope.h"
#include "flow/flow.h"
#include "postgres_fixture.h"

#define FLOWS 24
#define STEPS 4
#define LIFE_MS 1500
#define WAIT_TRIES 1200 /* of 100 ms */

static struct postgres_fixture server;
static int database_number;
static char *url;

/* ---- what a control plane does ---- */

static const char *plane_name;

/* Says that this plane did the step, then takes a while, then says that it ended. */
static int did(struct store *store, const struct flow_visit *visit, const char *word, struct err *err)
{
	AUTO_FREE char *kind = text_format("%s/%s", word, visit->step);
	AUTO_FREE char *data = text_format("%s %s", visit->id, plane_name);
	AUTO_TX tx = {0};

	if (store_begin(store, &tx, err) || store_run(&tx, "INSERT INTO change (time_ms, kind, data) VALUES (0, ?, ?)",
						      VALUES(V((const char *)kind), V((const char *)data)), err))
		return -1;
	return store_commit(&tx, err);
}

static int step(void *self, struct flow_visit *visit, struct err *err)
{
	static const char *const next[] = {"b", "c", "d", NULL};

	if (did(self, visit, "began", err))
		return -1;
	for (int i = 0; i < (visit->id[0] == 'l' ? 600 : 2); i++) { /* l…: a long one */
		if (__atomic_load_n(visit->cancelled, __ATOMIC_SEQ_CST))
			return err_set(err, ERR_CANCELLED, "asked to stop");
		(void)usleep(20000);
	}
	visit->next = next[visit->step[0] - 'a'];
	return did(self, visit, "ended", err);
}

static const struct flow_step steps[] = {
	{.name = "a", .next = {"b"}, .act = step, .tries_max = 9},
	{.name = "b", .next = {"c"}, .act = step, .tries_max = 9},
	{.name = "c", .next = {"d"}, .act = step, .tries_max = 9},
	{.name = "d", .next = {NULL}, .act = step, .tries_max = 9},
};
static const struct flow_definition definition = {"shared", steps, ARRAY_LEN(steps), NULL, NULL};

static int plane_run(const char *store_url, const char *name)
{
	struct flow_options options = {
		.definition = &definition, .world = world_real, .workers = 3, .plane = name, .life_ms = LIFE_MS};
	struct flows *flows = NULL;
	struct err err = {0};

	log_init(name, LOG_LEVEL_ERROR);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	plane_name = name;
	if (store_open(store_url, &options.store, &err)) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	options.self = options.store;
	if (flows_open(&options, &flows, &err)) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	for (;;)
		(void)pause();
}

static pid_t plane_start(const char *name)
{
	pid_t pid = fork();

	if (!pid) {
		(void)execl("/proc/self/exe", "contract_flow", "--plane", url, name, (char *)NULL);
		_exit(127);
	}
	return pid;
}

static void plane_kill(pid_t pid)
{
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
}

/* ---- the tests ---- */

struct story {
	struct store *store;
	struct flows *flows; /* without threads: only to start and to stop */
};

static int setup(void **state)
{
	static struct story story;
	struct flow_options options = {.definition = &definition, .world = world_real, .plane = "test"};
	AUTO_FREE char *name = text_format("flow%d", ++database_number);
	struct err err = {0};

	free(url);
	url = postgres_fixture_database(&server, name);
	if (!url || store_open(url, &story.store, &err)) {
		fprintf(stderr, "%s\n", err.text);
		return -1;
	}
	options.store = story.store;
	*state = &story;
	return flows_open(&options, &story.flows, &err);
}

static int teardown(void **state)
{
	struct story *story = *state;

	flows_close(story->flows);
	store_close(story->store);
	return 0;
}

static int64_t number(struct story *story, const char *sql)
{
	struct err err = {0};
	int64_t found = -1;
	AUTO_TX tx = {0};
	int result = store_begin(story->store, &tx, &err);

	/* One that was stopped in the middle of a transaction has the lock of all until the server ends it. */
	for (int i = 0; result && err.kind == ERR_RETRY && i < WAIT_TRIES; i++) {
		(void)usleep(100000);
		result = store_begin(story->store, &tx, &err);
	}
	if (result || store_number_get(&tx, &found, -1, sql, NO_VALUES, &err))
		fail_msg("%s", err.text);
	return found;
}

/* Waits until the number is at least `least`. */
static void number_wait(struct story *story, const char *sql, int64_t least)
{
	for (int i = 0; i < WAIT_TRIES && number(story, sql) < least; i++)
		(void)usleep(100000);
	if (number(story, sql) < least)
		fail_msg("%lld, not %lld: %s", (long long)number(story, sql), (long long)least, sql);
}

static void start(struct story *story, const char *prefix, int count)
{
	AUTO_TX tx = {0};

	assert_int_equal(store_begin(story->store, &tx, NULL), 0);
	for (int i = 0; i < count; i++) {
		AUTO_FREE char *id = text_format("%s%d", prefix, i);

		assert_int_equal(flow_start(story->flows, &tx, id, (struct flow_line){.tenant = i % 2 ? "odd" : "even"}, NULL), 0);
	}
	assert_int_equal(store_commit(&tx, NULL), 0);
}

static void rows_check(struct story *story)
{
	struct err err = {0};
	AUTO_TX tx = {0};

	if (store_begin(story->store, &tx, &err) || flows_check(&tx, &err))
		fail_msg("%s", err.text);
}

#define DONE "SELECT count(*) FROM flow WHERE status = 'done'"

static void two_share_the_work_and_one_that_dies_leaves_it_to_the_other(void **state)
{
	struct story *story = *state;
	pid_t a = plane_start("a");
	pid_t b = plane_start("b");

	start(story, "f", FLOWS);
	number_wait(story, "SELECT count(*) FROM change WHERE kind = 'ended/b'", FLOWS / 3);
	number_wait(story, "SELECT count(*) FROM change WHERE data LIKE '% a'", 1);
	number_wait(story, "SELECT count(*) FROM change WHERE data LIKE '% b'", 1);
	plane_kill(a);
	number_wait(story, DONE, FLOWS);
	plane_kill(b);
	/* Only what was being done when it died was begun twice. */
	assert_in_range(number(story, "SELECT count(*) FROM change WHERE kind LIKE 'began/%'"), FLOWS * STEPS, FLOWS * STEPS + 3);
	assert_int_equal(number(story, "SELECT count(*) FROM flow_event WHERE kind = 'went'"), FLOWS * STEPS);
	rows_check(story);
}

static void one_that_hangs_is_taken_over_and_what_it_does_then_is_refused(void **state)
{
	struct story *story = *state;
	pid_t a = plane_start("a");
	pid_t b;

	start(story, "f", 3);
	number_wait(story, "SELECT count(*) FROM change WHERE kind = 'began/a'", 1);
	(void)kill(a, SIGSTOP);
	b = plane_start("b");
	number_wait(story, DONE, 3);
	(void)kill(a, SIGCONT);
	start(story, "g", 3);
	number_wait(story, DONE, 6);
	plane_kill(a);
	plane_kill(b);
	assert_int_equal(number(story, "SELECT count(*) FROM flow_event WHERE kind = 'went'"), 6 * STEPS);
	rows_check(story);
}

static void a_stop_reaches_the_control_plane_that_is_on_it(void **state)
{
	struct story *story = *state;
	pid_t a = plane_start("a");

	start(story, "l", 1);
	number_wait(story, "SELECT count(*) FROM change WHERE kind = 'began/a'", 1);
	assert_int_equal(flow_stop(story->flows, "l0", NULL), 0);
	number_wait(story, "SELECT count(*) FROM flow WHERE status = 'stopped'", 1);
	assert_int_equal(number(story, "SELECT count(*) FROM change WHERE kind = 'ended/a'"), 0);
	plane_kill(a);
}

/* The lease of the one before is still good: the same name takes it at once. */
static void one_that_begins_again_waits_for_nothing(void **state)
{
	struct story *story = *state;
	pid_t a = plane_start("a");

	start(story, "l", 1);
	number_wait(story, "SELECT count(*) FROM change WHERE kind = 'began/a'", 1);
	plane_kill(a);
	assert_int_equal(number(story, "SELECT count(*) FROM flow WHERE owner IS NOT NULL"), 1);
	a = plane_start("a");
	number_wait(story, "SELECT count(*) FROM change WHERE kind = 'began/a'", 2);
	plane_kill(a);
}

/* What is not synced is forgotten, as whose a workflow is: also what the plane that lives believes to have ended. */
static void what_a_database_forgot_when_it_died_is_done_again(void **state)
{
	struct story *story = *state;
	pid_t a = plane_start("a");

	start(story, "f", FLOWS);
	assert_int_equal(store_sync(story->store, NULL), 0);
	for (int i = 0; i < 2; i++) { /* while it works, and when it has nothing to do */
		number_wait(story, i ? DONE : "SELECT count(*) FROM change WHERE kind = 'ended/b'", i ? FLOWS : 1);
		postgres_fixture_kill(&server);
		assert_true(postgres_fixture_again(&server));
	}
	number_wait(story, DONE, FLOWS);
	plane_kill(a);
	assert_int_equal(number(story, "SELECT count(*) FROM flow_event WHERE kind = 'went'"), FLOWS * STEPS);
	rows_check(story);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(two_share_the_work_and_one_that_dies_leaves_it_to_the_other, setup, teardown),
		cmocka_unit_test_setup_teardown(one_that_hangs_is_taken_over_and_what_it_does_then_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(a_stop_reaches_the_control_plane_that_is_on_it, setup, teardown),
		cmocka_unit_test_setup_teardown(one_that_begins_again_waits_for_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(what_a_database_forgot_when_it_died_is_done_again, setup, teardown),
	};
	int failed;

	if (argc == 4 && strcmp(argv[1], "--plane") == 0)
		return plane_run(argv[2], argv[3]);
	if (!postgres_fixture_start(&server, false)) {
		printf("skipped: it needs PostgreSQL\n");
		return 77;
	}
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	free(url);
	postgres_fixture_stop(&server);
	return failed;
}
