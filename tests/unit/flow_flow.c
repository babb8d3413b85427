/* Durable workflows: crash at every store call, start again, same end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fault.h"
#include "base/scope.h"
#include "flow/flow.h"

static char path[64];

/* A world whose clock jumps to whatever is waited for. */
static int64_t clock_ms;
static int64_t fake_now(void *self)
{
	(void)self;
	return ++clock_ms;
}
static void fake_random(void *self, void *at, size_t length)
{
	(void)self;
	memset(at, 7, length);
}
static const struct world_ops fake_ops = {fake_now, fake_now, fake_random};
static const struct world fake_world = {&fake_ops, NULL};

/* What the steps of the test do to the outside, which outlives a crash. */
static struct {
	int fails; /* the second step fails so often before it works */
	enum err_kind kind;
	int begun;
	int worked;
	bool told;
	int endings;
	char trace[4096];
} outside;

static bool dead;
static int fault_at;
static int fault_count;

static bool crash(const char *name)
{
	(void)name;
	if (!dead && fault_at && ++fault_count == fault_at)
		dead = true;
	return dead;
}

static int first(void *self, struct flow_visit *visit, struct err *err)
{
	(void)self;
	if (dead)
		return err_set(err, ERR_CANCELLED, "dead");
	outside.begun++;
	visit->next = "work";
	return 0;
}

static int work(void *self, struct flow_visit *visit, struct err *err)
{
	(void)self;
	if (dead)
		return err_set(err, ERR_CANCELLED, "dead");
	if (outside.fails > 0) {
		outside.fails--;
		return err_set(err, outside.kind, "not yet");
	}
	outside.worked++;
	visit->next = "wait";
	return 0;
}

static int wait_step(void *self, struct flow_visit *visit, struct err *err)
{
	struct store *store = self;
	AUTO_JSON signals = NULL;
	AUTO_TX tx = {0};
	int64_t taken = 0;

	if (dead)
		return err_set(err, ERR_CANCELLED, "dead");
	if (store_begin(store, &tx, err) || flow_signals_take(&tx, visit->id, &signals, err))
		return -1;
	/* What was taken is remembered in the same transaction: a crash after it finds it there. */
	if (json_array_size(signals) &&
	    store_run(&tx, "INSERT INTO change (time_ms, kind, data) VALUES (1, 'told', '{}')", NO_VALUES, err))
		return -1;
	if (store_number_get(&tx, &taken, 0, "SELECT count(*) FROM change WHERE kind = 'told'", NO_VALUES, err) ||
	    store_commit(&tx, err))
		return -1;
	visit->park = taken == 0;
	return 0;
}

static int moved(void *self, struct store_tx *tx, const char *id, const struct flow_move *move, struct err *err)
{
	size_t used = strlen(outside.trace);

	(void)self;
	(void)tx;
	(void)id;
	(void)err;
	(void)snprintf(outside.trace + used, sizeof(outside.trace) - used, "%s:%s ", move->step, move->status);
	return 0;
}

static void ending(void *self, const char *id, enum flow_status final)
{
	(void)self;
	(void)id;
	(void) final;
	outside.endings++;
}

static const struct flow_step steps[] = {
	{"first", {"work"}, first, 1, 0},
	{"work", {"wait"}, work, 3, 0},
	{"wait", {NULL}, wait_step, 1, 0},
};
static const struct flow_definition definition = {"test", steps, ARRAY_LEN(steps), moved, ending};

static void file_remove(void)
{
	AUTO_FREE char *wal = text_format("%s-wal", path);
	AUTO_FREE char *shm = text_format("%s-shm", path);

	(void)unlink(wal);
	(void)unlink(shm);
	(void)unlink(path);
}

static int setup(void **state)
{
	(void)state;
	(void)snprintf(path, sizeof(path), "/tmp/assay-flow-XXXXXX");
	if (close(mkstemp(path)))
		return -1;
	file_remove();
	memset(&outside, 0, sizeof(outside));
	dead = false;
	fault_at = fault_count = 0;
	fault_hook = crash;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fault_hook = NULL;
	file_remove();
	return 0;
}

struct engine {
	struct store *store;
	struct flows *flow;
};

static int engine_open(struct engine *engine)
{
	struct flow_options options = {.definition = &definition, .world = fake_world};

	*engine = (struct engine){0};
	if (store_open(path, &engine->store, NULL))
		return -1;
	options.store = engine->store;
	options.self = engine->store;
	return flows_open(&options, &engine->flow, NULL);
}

static void engine_close(struct engine *engine)
{
	flows_close(engine->flow);
	store_close(engine->store);
}

static int start(struct engine *engine)
{
	AUTO_TX tx = {0};
	int64_t there = 0;

	if (store_begin(engine->store, &tx, NULL) ||
	    store_number_get(&tx, &there, 0, "SELECT count(*) FROM flow", NO_VALUES, NULL) ||
	    (!there && flow_start(engine->flow, &tx, "f1", (struct flow_line){0}, NULL)))
		return -1;
	return store_commit(&tx, NULL);
}

static int tell(struct engine *engine)
{
	AUTO_TX tx = {0};
	AUTO_JSON data = json_object();
	int64_t there = 0;

	if (store_begin(engine->store, &tx, NULL) ||
	    store_number_get(&tx, &there, 0, "SELECT count(*) FROM flow_signal", NO_VALUES, NULL) ||
	    (!there && flow_signal(engine->flow, &tx, "f1", "go", data, NULL)))
		return -1;
	return store_commit(&tx, NULL);
}

static void status_get(struct engine *engine, char status[16])
{
	AUTO_TX tx = {0};
	AUTO_ROWS rows = {0};

	assert_int_equal(store_begin(engine->store, &tx, NULL), 0);
	assert_int_equal(store_query(&tx, &rows, "SELECT status FROM flow WHERE id = 'f1'", NO_VALUES, NULL), 0);
	assert_true(store_rows_next(&rows));
	(void)snprintf(status, 16, "%s", store_rows_text(&rows, 0));
}

static int visits = 1; /* at once */

/* Works until nothing is due; -1 when the world died. Pauses are jumped over. */
static int work_all(struct engine *engine)
{
	for (int idle = 0; idle < 3;) {
		bool did = false;

		if (flows_work_on(engine->flow, visits, &did, NULL) || dead)
			return -1;
		idle = did ? 0 : idle + 1;
		clock_ms += did ? 0 : 2 * FLOW_RETRY_LONGEST_MS;
	}
	return 0;
}

/* Start, work, signal, work: as far as it gets. */
static int story(struct engine *engine)
{
	return start(engine) || work_all(engine) || tell(engine) || work_all(engine) ? -1 : 0;
}

static int retry(struct engine *engine)
{
	AUTO_TX tx = {0};

	if (store_begin(engine->store, &tx, NULL) || flow_retry(engine->flow, &tx, "f1", NULL) || store_commit(&tx, NULL))
		return -1;
	flows_wake(engine->flow);
	return 0;
}

static void crash_everywhere(void)
{
	int crashes = 0;

	for (int at = 1;; at++) {
		struct engine engine;
		char status[16];
		bool died;

		assert_int_equal(setup(NULL), 0);
		outside.fails = 1;
		outside.kind = ERR_RETRY;
		assert_int_equal(engine_open(&engine), 0);
		fault_at = at;
		fault_count = 0;
		(void)story(&engine);
		died = dead;
		engine_close(&engine);
		dead = false;
		fault_at = 0;
		assert_int_equal(engine_open(&engine), 0);
		assert_int_equal(story(&engine), 0);
		status_get(&engine, status);
		assert_string_equal(status, "done");
		assert_in_range(outside.worked, 1, 2);
		engine_close(&engine);
		file_remove();
		if (!died)
			break;
		crashes++;
	}
	assert_true(crashes > 30);
}

static void a_crash_at_any_store_call_changes_nothing_about_the_end(void **state)
{
	(void)state;
	crash_everywhere();
}

static void nor_does_one_where_a_visit_begins_as_the_one_before_ends(void **state)
{
	(void)state;
	visits = 9;
	crash_everywhere();
	visits = 1;
}

static void transient_errors_are_tried_again_and_then_fail(void **state)
{
	struct engine engine;
	char status[16];

	(void)state;
	outside.fails = 3;
	outside.kind = ERR_RETRY;
	assert_int_equal(engine_open(&engine), 0);
	assert_int_equal(start(&engine), 0);
	assert_int_equal(work_all(&engine), 0);
	status_get(&engine, status);
	assert_string_equal(status, "failed");
	assert_int_equal(outside.fails, 0);
	assert_int_equal(outside.endings, 1);
	assert_int_equal(retry(&engine), 0);
	assert_int_equal(work_all(&engine), 0);
	status_get(&engine, status);
	assert_string_equal(status, "waiting");
	assert_int_equal(outside.begun, 1);
	engine_close(&engine);
}

static void an_error_that_stays_fails_at_once(void **state)
{
	struct engine engine;
	char status[16];

	(void)state;
	outside.fails = 3;
	outside.kind = ERR_INVALID;
	assert_int_equal(engine_open(&engine), 0);
	assert_int_equal(start(&engine), 0);
	assert_int_equal(work_all(&engine), 0);
	status_get(&engine, status);
	assert_string_equal(status, "failed");
	assert_int_equal(outside.fails, 2);
	assert_non_null(strstr(outside.trace, "work:failed"));
	engine_close(&engine);
}

static void what_waits_can_be_stopped_and_what_is_over_cannot(void **state)
{
	struct engine engine;
	struct err err = {0};
	char status[16];

	(void)state;
	assert_int_equal(engine_open(&engine), 0);
	assert_int_equal(start(&engine), 0);
	assert_int_equal(work_all(&engine), 0);
	assert_int_equal(flow_stop(engine.flow, "f1", NULL), 0);
	assert_int_equal(work_all(&engine), 0);
	status_get(&engine, status);
	assert_string_equal(status, "stopped");
	assert_int_equal(flow_stop(engine.flow, "f1", &err), -1);
	assert_int_equal(err.kind, ERR_DENIED);
	assert_int_equal(flow_stop(engine.flow, "f2", &err), -1);
	assert_int_equal(err.kind, ERR_NOT_FOUND);
	engine_close(&engine);
}

/* ---- with threads ---- */

static bool slow_began; /* atomic */

static int slow(void *self, struct flow_visit *visit, struct err *err)
{
	(void)self;
	__atomic_store_n(&slow_began, true, __ATOMIC_SEQ_CST);
	for (int i = 0; i < 1000; i++) {
		if (__atomic_load_n(visit->cancelled, __ATOMIC_SEQ_CST))
			return err_set(err, ERR_CANCELLED, "asked to stop");
		(void)usleep(5000);
	}
	return 0;
}

static void threads_run(const struct flow_step *step, bool stop, const char *expected)
{
	const struct flow_definition threaded = {"test", step, 1, moved, ending};
	struct store *store = NULL;
	struct flow_options options = {.definition = &threaded, .world = world_real, .workers = 2};
	struct engine engine = {0};
	char status[16] = "";

	fault_hook = NULL;
	slow_began = false;
	assert_int_equal(store_open(path, &store, NULL), 0);
	options.store = store;
	engine.store = store;
	assert_int_equal(flows_open(&options, &engine.flow, NULL), 0);
	assert_int_equal(start(&engine), 0);
	flows_wake(engine.flow);
	for (int i = 0; i < 500 && !__atomic_load_n(&slow_began, __ATOMIC_SEQ_CST); i++)
		(void)usleep(10000);
	if (stop)
		assert_int_equal(flow_stop(engine.flow, "f1", NULL), 0);
	for (int i = 0; i < 300; i++) {
		status_get(&engine, status);
		if (strcmp(status, expected) == 0)
			break;
		(void)usleep(20000);
	}
	assert_string_equal(status, expected);
	engine_close(&engine);
}

static void a_stop_cancels_the_step_at_once(void **state)
{
	static const struct flow_step step = {"slow", {NULL}, slow, 1, 0};

	(void)state;
	threads_run(&step, true, "stopped");
}

static void a_step_over_its_deadline_is_cancelled_and_fails(void **state)
{
	static const struct flow_step step = {"slow", {NULL}, slow, 1, 100};

	(void)state;
	threads_run(&step, false, "failed");
}

static void closing_cancels_the_step_which_begins_again_at_the_next_open(void **state)
{
	static const struct flow_step step = {"slow", {NULL}, slow, 1, 0};
	struct engine engine;
	char status[16];

	threads_run(&step, false, "ready");
	(void)state;
	assert_int_equal(engine_open(&engine), 0);
	status_get(&engine, status);
	assert_string_equal(status, "ready");
	engine_close(&engine);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_crash_at_any_store_call_changes_nothing_about_the_end, setup, teardown),
		cmocka_unit_test_setup_teardown(nor_does_one_where_a_visit_begins_as_the_one_before_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(transient_errors_are_tried_again_and_then_fail, setup, teardown),
		cmocka_unit_test_setup_teardown(an_error_that_stays_fails_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(what_waits_can_be_stopped_and_what_is_over_cannot, setup, teardown),
		cmocka_unit_test_setup_teardown(a_stop_cancels_the_step_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(a_step_over_its_deadline_is_cancelled_and_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(closing_cancels_the_step_which_begins_again_at_the_next_open, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
