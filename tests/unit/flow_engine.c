/* What the engine promises besides not losing anything: undoing, retry rules, turns, limits, timers; and the boxes beside it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/scope.h"
#include "flow/flow.h"
#include "flow/inbox.h"
#include "flow/outbox.h"
#include "flow/reconcile.h"

static int64_t clock_ms;
static int64_t fake_now(void *self)
{
	(void)self;
	return clock_ms;
}
static void fake_random(void *self, void *at, size_t length)
{
	(void)self;
	memset(at, 0, length);
}
static const struct world_ops fake_ops = {fake_now, fake_now, fake_random};
static const struct world fake_world = {&fake_ops, NULL};

static struct store *store;
static struct flows *flows;
static char trace[1024]; /* what the steps did, in order */
static struct {
	enum err_kind kind; /* of the failure of "work"; ERR_NONE: it works */
	int undo_fails;
} script;

static void note(const char *what, const char *id)
{
	size_t used = strlen(trace);

	(void)snprintf(trace + used, sizeof(trace) - used, "%s:%s ", what, id);
}

static int make(void *self, struct flow_visit *visit, struct err *err)
{
	(void)self;
	(void)err;
	note("make", visit->id);
	visit->next = "work";
	return 0;
}

static int unmake(void *self, struct flow_visit *visit, struct err *err)
{
	(void)self;
	if (script.undo_fails > 0) {
		script.undo_fails--;
		return err_set(err, ERR_RETRY, "busy");
	}
	note("unmake", visit->id);
	return 0;
}

static int work(void *self, struct flow_visit *visit, struct err *err)
{
	(void)self;
	note("work", visit->id);
	return script.kind == ERR_NONE ? 0 : err_set(err, script.kind, "it does not work");
}

static int unwork(void *self, struct flow_visit *visit, struct err *err)
{
	(void)self;
	(void)err;
	note("unwork", visit->id);
	return 0;
}

static int wait_step(void *self, struct flow_visit *visit, struct err *err)
{
	AUTO_JSON signals = NULL;
	AUTO_TX tx = {0};
	size_t index;
	json_t *signal;

	(void)self;
	if (store_begin(store, &tx, err) || flow_signals_take(&tx, visit->id, &signals, err))
		return -1;
	visit->park = true;
	json_array_foreach(signals, index, signal) {
		note(json_text(signal, "kind", ""), json_text(json_member(signal, "data"), "name", "?"));
		visit->park = false;
	}
	return store_commit(&tx, err);
}

static const struct flow_retry limits_too[] = {{ERR_LIMIT, 3, 1000, 4000}, {.kind = ERR_NONE}};
static const struct flow_step steps[] = {
	{.name = "make", .next = {"work"}, .act = make, .tries_max = 2, .undo = unmake},
	{.name = "work", .next = {NULL}, .act = work, .tries_max = 2, .undo = unwork},
};
/* Looks every second, and wants no signal. */
static int look_step(void *self, struct flow_visit *visit, struct err *err)
{
	(void)self;
	(void)err;
	note("look", visit->id);
	visit->park = true;
	visit->wake_ms = clock_ms + 1000;
	return 0;
}

static const struct flow_step patient[] = {{.name = "work", .next = {NULL}, .act = work, .tries_max = 1, .retry = limits_too}};
static const struct flow_step waiting[] = {{.name = "wait", .next = {NULL}, .act = wait_step, .tries_max = 1}};
static const struct flow_definition making = {"making", steps, ARRAY_LEN(steps), NULL, NULL};
static const struct flow_definition patience = {"patience", patient, ARRAY_LEN(patient), NULL, NULL};
static const struct flow_step looks[] = {{.name = "look", .next = {NULL}, .act = look_step, .tries_max = 1}};
static const struct flow_definition looking = {"looking", looks, ARRAY_LEN(looks), NULL, NULL};
static const struct flow_definition sleeping = {"sleeping", waiting, ARRAY_LEN(waiting), NULL, NULL};

static int setup(void **state)
{
	(void)state;
	log_init("test", LOG_LEVEL_ERROR);
	memset(&script, 0, sizeof(script));
	trace[0] = '\0';
	clock_ms = 1000000;
	flows = NULL;
	return store_open(":memory:", &store, NULL);
}

static int teardown(void **state)
{
	AUTO_TX tx = {0};
	struct err err = {0};
	int status = store_begin(store, &tx, &err) || flows_check(&tx, &err) ? -1 : 0;

	(void)state;
	if (status)
		fprintf(stderr, "%s\n", err.text);
	store_abort(&tx);
	flows_close(flows);
	store_close(store);
	return status;
}

static void engine_open(const struct flow_definition *definition, int tenant_max, int repository_max)
{
	struct flow_options options = {.store = store,
				       .definition = definition,
				       .world = fake_world,
				       .tenant_max = tenant_max,
				       .repository_max = repository_max};

	assert_int_equal(flows_open(&options, &flows, NULL), 0);
}

static void start(const char *id, struct flow_line line)
{
	AUTO_TX tx = {0};

	assert_int_equal(store_begin(store, &tx, NULL), 0);
	assert_int_equal(flow_start(flows, &tx, id, line, NULL), 0);
	assert_int_equal(store_commit(&tx, NULL), 0);
}

/* Until nothing is due for `ms`. */
static void work_for(int64_t ms)
{
	int64_t until_ms = clock_ms + ms;

	while (clock_ms <= until_ms) {
		bool did = false;

		assert_int_equal(flows_work(flows, &did, NULL), 0);
		clock_ms += did ? 0 : 100;
	}
}

static int64_t number(const char *sql)
{
	AUTO_TX tx = {0};
	int64_t found = -1;

	assert_int_equal(store_begin(store, &tx, NULL), 0);
	assert_int_equal(store_number_get(&tx, &found, -1, sql, NO_VALUES, NULL), 0);
	return found;
}

static void a_workflow_that_fails_undoes_what_it_did_last_first(void **state)
{
	(void)state;
	engine_open(&making, 0, 0);
	script.kind = ERR_INVALID;
	script.undo_fails = 1;
	start("f", (struct flow_line){0});
	work_for(10000);
	assert_string_equal(trace, "make:f work:f unwork:f unmake:f ");
	assert_int_equal(number("SELECT count(*) FROM flow WHERE status = 'failed' AND error = 'it does not work'"), 1);
	/* Tried again it begins where the first thing was undone. */
	script.kind = ERR_NONE;
	trace[0] = '\0';
	{
		AUTO_TX tx = {0};

		assert_int_equal(store_begin(store, &tx, NULL), 0);
		assert_int_equal(flow_retry(flows, &tx, "f", NULL), 0);
		assert_int_equal(store_commit(&tx, NULL), 0);
		flows_wake(flows);
	}
	work_for(10000);
	assert_string_equal(trace, "make:f work:f ");
	assert_int_equal(number("SELECT count(*) FROM flow WHERE status = 'done' AND error IS NULL"), 1);
}

static void what_cannot_be_undone_is_told_and_the_rest_is_undone(void **state)
{
	(void)state;
	engine_open(&making, 0, 0);
	script.kind = ERR_INVALID;
	script.undo_fails = 99;
	start("f", (struct flow_line){0});
	work_for(60000);
	assert_string_equal(trace, "make:f work:f unwork:f ");
	assert_int_equal(number("SELECT count(*) FROM flow_event WHERE kind = 'undone' AND text = 'busy'"), 1);
	assert_int_equal(number("SELECT count(*) FROM flow WHERE status = 'failed'"), 1);
}

static void a_step_says_which_errors_are_tried_again(void **state)
{
	(void)state;
	engine_open(&patience, 0, 0);
	script.kind = ERR_LIMIT;
	start("f", (struct flow_line){0});
	work_for(60000);
	assert_string_equal(trace, "work:f work:f work:f ");
	trace[0] = '\0';
	script.kind = ERR_RETRY;
	start("g", (struct flow_line){0});
	work_for(60000);
	assert_string_equal(trace, "work:g ");
}

static void tenants_take_turns_and_priorities_go_first(void **state)
{
	(void)state;
	engine_open(&patience, 0, 0);
	for (int i = 0; i < 4; i++) {
		char id[8];

		(void)snprintf(id, sizeof(id), "a%d", i);
		start(id, (struct flow_line){.tenant = "a"});
	}
	start("b0", (struct flow_line){.tenant = "b"});
	start("b1", (struct flow_line){.tenant = "b"});
	start("urgent", (struct flow_line){.tenant = "a", .priority = 1});
	work_for(1000);
	assert_string_equal(trace, "work:urgent work:a0 work:a1 work:b0 work:a2 work:b1 work:a3 ");
}

/* Timers ring, and turns are kept, for a thread that goes on with the next one at once. */
static void who_goes_on_at_once_keeps_to_the_line(void **state)
{
	bool did = false;

	(void)state;
	engine_open(&making, 0, 1);
	start("a", (struct flow_line){.tenant = "a", .repository = "shop"});
	start("b", (struct flow_line){.tenant = "b", .repository = "shop", .priority = 1});
	assert_int_equal(flows_work_on(flows, 3, &did, NULL), 0);
	assert_true(did);
	assert_string_equal(trace, "make:b work:b make:a ");
	assert_int_equal(number("SELECT count(*) FROM flow WHERE owner IS NOT NULL"), 0);
	assert_int_equal(flows_work_on(flows, 9, &did, NULL), 0);
	assert_string_equal(trace, "make:b work:b make:a work:a ");
	assert_int_equal(number("SELECT count(*) FROM flow WHERE status = 'done'"), 2);
	assert_int_equal(flows_work_on(flows, 9, &did, NULL), 0);
	assert_false(did);
}

/* Another control plane is on one of the repository's: as many as may be. */
static void no_more_of_a_repository_at_once_than_may_be(void **state)
{
	AUTO_TX tx = {0};

	(void)state;
	engine_open(&patience, 0, 1);
	start("f", (struct flow_line){.repository = "shop"});
	start("g", (struct flow_line){.repository = "shop"});
	start("h", (struct flow_line){.repository = "other"});
	assert_int_equal(store_begin(store, &tx, NULL), 0);
	assert_int_equal(store_run(&tx, "INSERT INTO lease (name, owner, token, until_ms) VALUES ('plane/x', 'x', 1, 1020000)",
				   NO_VALUES, NULL),
			 0);
	assert_int_equal(store_run(&tx, "UPDATE flow SET owner = 'plane/x', fence = 1 WHERE id = 'f'", NO_VALUES, NULL), 0);
	assert_int_equal(store_commit(&tx, NULL), 0);
	work_for(10000);
	assert_string_equal(trace, "work:h ");
	work_for(20000); /* its lease is over */
	assert_string_equal(trace, "work:h work:f work:g ");
}

static void timers_ring_once_and_can_be_moved(void **state)
{
	AUTO_TX tx = {0};

	(void)state;
	engine_open(&sleeping, 0, 0);
	start("f", (struct flow_line){0});
	work_for(100);
	assert_int_equal(store_begin(store, &tx, NULL), 0);
	assert_int_equal(flow_timer_set(&tx, "f", "late", clock_ms + 1000, NULL), 0);
	assert_int_equal(flow_timer_set(&tx, "f", "late", clock_ms + 50000, NULL), 0);
	assert_int_equal(flow_timer_set(&tx, "f", "never", clock_ms + 1000, NULL), 0);
	assert_int_equal(flow_timer_set(&tx, "f", "never", 0, NULL), 0);
	assert_int_equal(store_commit(&tx, NULL), 0);
	work_for(49000);
	assert_string_equal(trace, "");
	work_for(5000);
	assert_string_equal(trace, "timer:late ");
	assert_int_equal(number("SELECT count(*) FROM flow_timer"), 0);
}

/* Else it would be looked at again and again, and nothing behind it in line. */
static void a_signal_that_is_not_taken_wakes_once(void **state)
{
	AUTO_TX tx = {0};
	AUTO_JSON data = json_object();

	(void)state;
	engine_open(&looking, 0, 0);
	start("f", (struct flow_line){0});
	work_for(100);
	assert_string_equal(trace, "look:f ");
	assert_int_equal(store_begin(store, &tx, NULL), 0);
	assert_int_equal(flow_signal(flows, &tx, "f", "message", data, NULL), 0);
	assert_int_equal(store_commit(&tx, NULL), 0);
	work_for(500);
	assert_string_equal(trace, "look:f look:f ");
	work_for(800);
	assert_string_equal(trace, "look:f look:f look:f ");
}

/* ---- inbox ---- */

static int acted(void *self, struct store_tx *tx, const struct inbox_message *message, struct err *err)
{
	(void)self;
	if (script.kind != ERR_NONE)
		return err_set(err, script.kind, "not now");
	note(message->kind, message->delivery);
	return store_run(tx, "INSERT INTO change (time_ms, kind, data) VALUES (0, 'acted', '')", NO_VALUES, err);
}

static bool accept_one(const char *delivery, const char *content, const char *stream)
{
	struct inbox_message message = {"forge", delivery, content, stream, "push", VIEW("{}")};
	bool seen = false;

	assert_int_equal(inbox_accept(store, fake_world, &message, &seen, NULL), 0);
	return seen;
}

static void inbox_for(int64_t ms)
{
	const struct inbox inbox = {store, fake_world, acted, NULL};
	int64_t until_ms = clock_ms + ms;

	while (clock_ms <= until_ms) {
		bool did = false;

		assert_int_equal(inbox_work(&inbox, &did, NULL), 0);
		clock_ms += did ? 0 : 100;
	}
}

static void a_message_is_known_by_its_delivery_and_by_its_content(void **state)
{
	(void)state;
	assert_false(accept_one("1", "x", NULL));
	assert_true(accept_one("1", "x", NULL));
	assert_true(accept_one("2", "x", NULL));
	assert_false(accept_one("3", NULL, NULL));
	assert_false(accept_one("4", NULL, NULL));
	inbox_for(1000);
	assert_string_equal(trace, "push:1 push:3 push:4 ");
}

static void a_message_that_must_wait_holds_up_only_its_own_stream(void **state)
{
	(void)state;
	assert_false(accept_one("1", NULL, "issue 1"));
	script.kind = ERR_RETRY;
	inbox_for(0);
	script.kind = ERR_NONE;
	assert_false(accept_one("2", NULL, "issue 1"));
	assert_false(accept_one("3", NULL, "issue 2"));
	inbox_for(0);
	assert_string_equal(trace, "push:3 ");
	inbox_for(5000);
	assert_string_equal(trace, "push:3 push:1 push:2 ");
}

static void a_message_that_cannot_be_acted_on_stays_to_be_looked_at(void **state)
{
	(void)state;
	assert_false(accept_one("1", NULL, "issue 1"));
	script.kind = ERR_INVALID;
	inbox_for(1000);
	assert_int_equal(number("SELECT count(*) FROM inbox WHERE status = 'dead' AND error = 'not now'"), 1);
	assert_int_equal(number("SELECT count(*) FROM change"), 0);
}

/* ---- outbox ---- */

static int64_t blocked_until_ms;

static int sent(void *self, const struct outbox_effect *effect, struct outbox_answer *answer, struct err *err)
{
	(void)self;
	answer->blocked_until_ms = blocked_until_ms;
	note(effect->operation, effect->tenant);
	return script.kind == ERR_NONE ? 0 : err_set(err, script.kind, "no");
}

static void put(const char *operation, const char *tenant, const char *target, bool chatter)
{
	struct outbox_effect effect = {operation, tenant, target, "comment", VIEW("{}"), chatter, 0};
	AUTO_TX tx = {0};

	assert_int_equal(store_begin(store, &tx, NULL), 0);
	assert_int_equal(outbox_put(&tx, fake_world, &effect, NULL), 0);
	assert_int_equal(store_commit(&tx, NULL), 0);
}

static void outbox_for(int64_t ms)
{
	static struct plane plane;
	struct outbox outbox = {.store = store, .world = fake_world, .plane = &plane, .send = sent};
	int64_t until_ms = clock_ms + ms;

	assert_int_equal(plane_open(&plane, store, fake_world, "x", 1000000, NULL), 0);
	while (clock_ms <= until_ms) {
		bool did = false;

		assert_int_equal(outbox_work(&outbox, &did, NULL), 0);
		clock_ms += did ? 0 : 100;
	}
}

static void an_effect_is_put_once_and_sent_in_its_targets_order(void **state)
{
	(void)state;
	put("1", "a", "issue", false);
	put("1", "a", "issue", false);
	put("2", "a", "issue", false);
	put("3", "a", "pull", false);
	script.kind = ERR_RETRY;
	outbox_for(0);
	assert_string_equal(trace, "1:a 3:a ");
	script.kind = ERR_NONE;
	trace[0] = '\0';
	outbox_for(2000);
	assert_string_equal(trace, "1:a 2:a 3:a ");
	assert_int_equal(number("SELECT count(*) FROM outbox WHERE status = 'sent'"), 3);
}

static void a_limit_stops_the_tenant_and_no_other(void **state)
{
	(void)state;
	put("1", "a", "x", false);
	put("2", "a", "y", false);
	put("3", "b", "z", false);
	script.kind = ERR_LIMIT;
	blocked_until_ms = clock_ms + 30000;
	outbox_for(0);
	assert_string_equal(trace, "1:a 3:b ");
	script.kind = ERR_NONE;
	trace[0] = '\0';
	outbox_for(29000);
	assert_string_equal(trace, "");
	outbox_for(2000);
	assert_string_equal(trace, "1:a 2:a 3:b ");
}

static void chatter_goes_before_a_final_waits(void **state)
{
	(void)state;
	for (int i = 0; i < OUTBOX_CHATTER_MAX + 3; i++) {
		char operation[16];

		(void)snprintf(operation, sizeof(operation), "c%d", i);
		put(operation, "a", "issue", true);
	}
	assert_int_equal(number("SELECT count(*) FROM outbox WHERE status = 'queued'"), OUTBOX_CHATTER_MAX);
	put("final", "a", "issue", false);
	outbox_for(1000);
	assert_string_equal(trace, "final:a ");
}

static void an_effect_that_is_refused_is_dead_and_the_next_is_sent(void **state)
{
	(void)state;
	put("1", "a", "issue", false);
	script.kind = ERR_DENIED;
	outbox_for(0);
	script.kind = ERR_NONE;
	put("2", "a", "issue", false);
	outbox_for(1000);
	assert_string_equal(trace, "1:a 2:a ");
	assert_int_equal(number("SELECT count(*) FROM outbox WHERE status = 'dead' AND error = 'no'"), 1);
}

/* ---- reconcilers ---- */

static int tidy(void *self, struct err *err)
{
	(void)self;
	note("tidy", "up");
	return script.kind == ERR_NONE ? 0 : err_set(err, script.kind, "not tidy");
}

static void a_reconciler_is_done_each_interval_and_its_failure_is_kept(void **state)
{
	static const struct reconciler table[] = {{"tidy", 10000, tidy}};
	int did = 0;

	(void)state;
	for (int i = 0; i < 25; i++) {
		script.kind = i < 5 ? ERR_NONE : ERR_RETRY;
		assert_int_equal(reconcilers_work(store, fake_world, "x", table, 1, NULL, &did, NULL), 0);
		clock_ms += 1000;
	}
	assert_string_equal(trace, "tidy:up tidy:up tidy:up ");
	assert_int_equal(number("SELECT count(*) FROM reconciler WHERE error = 'not tidy'"), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_workflow_that_fails_undoes_what_it_did_last_first, setup, teardown),
		cmocka_unit_test_setup_teardown(what_cannot_be_undone_is_told_and_the_rest_is_undone, setup, teardown),
		cmocka_unit_test_setup_teardown(a_step_says_which_errors_are_tried_again, setup, teardown),
		cmocka_unit_test_setup_teardown(tenants_take_turns_and_priorities_go_first, setup, teardown),
		cmocka_unit_test_setup_teardown(who_goes_on_at_once_keeps_to_the_line, setup, teardown),
		cmocka_unit_test_setup_teardown(no_more_of_a_repository_at_once_than_may_be, setup, teardown),
		cmocka_unit_test_setup_teardown(timers_ring_once_and_can_be_moved, setup, teardown),
		cmocka_unit_test_setup_teardown(a_signal_that_is_not_taken_wakes_once, setup, teardown),
		cmocka_unit_test_setup_teardown(a_message_is_known_by_its_delivery_and_by_its_content, setup, teardown),
		cmocka_unit_test_setup_teardown(a_message_that_must_wait_holds_up_only_its_own_stream, setup, teardown),
		cmocka_unit_test_setup_teardown(a_message_that_cannot_be_acted_on_stays_to_be_looked_at, setup, teardown),
		cmocka_unit_test_setup_teardown(an_effect_is_put_once_and_sent_in_its_targets_order, setup, teardown),
		cmocka_unit_test_setup_teardown(a_limit_stops_the_tenant_and_no_other, setup, teardown),
		cmocka_unit_test_setup_teardown(chatter_goes_before_a_final_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(an_effect_that_is_refused_is_dead_and_the_next_is_sent, setup, teardown),
		cmocka_unit_test_setup_teardown(a_reconciler_is_done_each_interval_and_its_failure_is_kept, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
