/* Requests that wait for a person. A number is the item of the gateway's list of attacks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/scope.h"
#include "gateway/egress/hold.h"
#include "gateway/env.h"

#define TURN_MS 20

/* The control plane's end: counts, and keeps the last question. */
static struct {
	atomic_int asked, gone;
	char hold[16];
	char digest[65];
	char status[16];
} plane;

static struct worker worker;
static struct env env;
static struct link *far_end;
static struct egress_verdict heard[4];
static int heard_count;

static void on_hold(void *self, struct link *link, struct link_message *message)
{
	(void)self;
	(void)snprintf(plane.hold, sizeof(plane.hold), "%s", json_text(message->body, "hold", ""));
	(void)snprintf(plane.digest, sizeof(plane.digest), "%s", json_text(message->body, "digest", ""));
	link_reply(link, message->name, message->request, NULL, NULL);
	atomic_fetch_add(&plane.asked, 1);
}

static void on_gone(void *self, struct link *link, struct link_message *message)
{
	(void)self;
	(void)link;
	(void)snprintf(plane.status, sizeof(plane.status), "%s", json_text(message->body, "status", ""));
	atomic_fetch_add(&plane.gone, 1);
}

static void stop(struct loop_timer *timer)
{
	(void)timer;
	loop_stop(worker.loop);
}

/* Lets happen what is due, until `what` holds. A loop runs once; later what it was given is drained. */
static void turns_until(bool (*what)(void))
{
	struct loop_timer timer = {.expired = stop};

	loop_timer_set(worker.loop, &timer, TURN_MS);
	loop_run(worker.loop);
	loop_timer_stop(worker.loop, &timer);
	for (int i = 0; i < 500 && !what(); i++) {
		loop_drain(worker.loop);
		(void)usleep(TURN_MS * 1000);
	}
	assert_true(what());
}

static int wanted;

static bool asked_enough(void)
{
	return atomic_load(&plane.asked) >= wanted;
}

static bool gone_enough(void)
{
	return atomic_load(&plane.gone) >= wanted;
}

static bool heard_enough(void)
{
	return heard_count >= wanted;
}

static void on_answer(void *self, const struct egress_verdict *verdict)
{
	(void)self;
	if ((size_t)heard_count < ARRAY_LEN(heard))
		heard[heard_count] = *verdict;
	heard_count++;
}

static int world_make(void **state)
{
	static const struct link_row rows[] = {{MESSAGE_HOLD, LINK_GATEWAY, on_hold}, {MESSAGE_HOLD_GONE, LINK_GATEWAY, on_gone}};
	struct link_spec here = {.peer = LINK_CONTROL};
	struct link_spec there = {.peer = LINK_GATEWAY, .rows = rows, .row_count = ARRAY_LEN(rows)};
	struct err err;
	int ends[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	here.fd = ends[0];
	there.fd = ends[1];
	memset(&plane, 0, sizeof(plane));
	heard_count = 0;
	worker = (struct worker){.loop = loop_new(&err)};
	env = (struct env){.worker = &worker, .id = "eaaaaaaaaaa"};
	worker.envs = &env;
	far_end = link_on_thread(&there, &err);
	worker.link = link_on_loop(worker.loop, &here, &err);
	env.holds = holds_new(&env);
	return far_end && worker.link ? 0 : -1;
}

static int world_end(void **state)
{
	(void)state;
	worker.envs = NULL; /* as env_remove() does */
	holds_free(env.holds);
	link_free(worker.link);
	link_free(far_end);
	loop_drain(worker.loop);
	loop_free(worker.loop);
	return 0;
}

static struct egress_request request_of(const char *path)
{
	return (struct egress_request){.origin = {"eaaaaaaaaaa", "workspace", "claude", "", "shop"},
				       .host = "ok.test",
				       .port = 443,
				       .tls = true,
				       .method = VIEW("POST"),
				       .path = view_of(path),
				       .query = VIEW("")};
}

static const struct egress_verdict asks = {.action = EGRESS_APPROVE, .status = 403, .rule = "policy:ask", .why = "a rule names it"};

static struct hold_waiter *park(const char *path, const char *body, const struct egress_verdict *verdict,
				struct egress_verdict *refusal)
{
	struct egress_request request = request_of(path);

	return hold_park(env.holds, &request, verdict, view_of(body), on_answer, NULL, refusal);
}

static int answer(const char *digest, bool allow, const char *scope, struct err *err)
{
	AUTO_JSON body = json_pack("{s:s, s:s, s:b, s:s, s:s, s:s}", "hold", plane.hold, "digest", digest, "allow", allow,
				   "remember", scope, "by", "ann", "because", "no");

	return hold_answer(env.holds, body, err);
}

static void requests_that_are_the_same_share_one_question(void **state)
{
	struct egress_verdict refusal;
	struct err err;

	(void)state;
	assert_non_null(park("/a", "x", &asks, &refusal));
	assert_non_null(park("/a", "x", &asks, &refusal));
	wanted = 1;
	turns_until(asked_enough);
	assert_int_equal(answer(plane.digest, true, "once", &err), 0);
	wanted = 2;
	turns_until(heard_enough);
	assert_int_equal(atomic_load(&plane.asked), 1);
	assert_int_equal(heard[0].action, EGRESS_ALLOW);
	assert_int_equal(heard[1].action, EGRESS_ALLOW);
	assert_int_equal(answer(plane.digest, true, "once", &err), -1); /* one shot */
	assert_int_equal(err.kind, ERR_NOT_FOUND);
}

static void item_71_an_answer_is_bound_to_all_that_is_sent(void **state)
{
	struct egress_request request = request_of("/a");
	struct egress_field fields[] = {{VIEW("x-to"), VIEW("one")}};
	struct egress_verdict refusal;
	struct err err;
	char digests[9][65];

	(void)state;
	hold_digest(&request, VIEW("x"), digests[0]);
	hold_digest(&request, VIEW("y"), digests[1]);
	request.path = VIEW("/b");
	hold_digest(&request, VIEW("x"), digests[2]);
	request.path = VIEW("/a");
	request.fields = fields;
	request.field_count = 1;
	hold_digest(&request, VIEW("x"), digests[3]);
	request.method = VIEW("PUT");
	hold_digest(&request, VIEW("x"), digests[4]);
	request.trailing = fields;
	request.trailing_count = 1;
	hold_digest(&request, VIEW("x"), digests[5]);
	request.field_count = 0;
	hold_digest(&request, VIEW("x"), digests[6]);
	request.trailing_count = 0;
	request.method = VIEW("GET");
	hold_digest(&request, VIEW("x"), digests[7]);
	request.websocket = true;
	hold_digest(&request, VIEW("x"), digests[8]);
	for (size_t i = 0; i < ARRAY_LEN(digests); i++)
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(digests[i], digests[k]);

	assert_non_null(park("/a", "x", &asks, &refusal));
	wanted = 1;
	turns_until(asked_enough);
	assert_int_equal(answer(digests[1], true, "once", &err), -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
	assert_int_equal(heard_count, 0);
}

static void item_71_a_flood_of_questions_has_an_end(void **state)
{
	struct egress_verdict refusal;
	int parked = 0;

	(void)state;
	for (int i = 0; i < 10000; i++) {
		AUTO_FREE char *path = text_format("/flood/%d", i);

		if (park(path, "x", &asks, &refusal))
			parked++;
		else
			assert_int_equal(refusal.status, 429);
	}
	assert_int_equal(parked, HOLD_QUESTIONS_MAX);
	for (parked = 1; park("/flood/0", "x", &asks, &refusal); parked++)
		assert_true(parked < HOLD_WAITERS_MAX);
	assert_int_equal(refusal.status, 429);
}

static void item_71_an_answer_for_one_path_opens_no_other(void **state)
{
	struct egress_request same = request_of("/a");
	struct egress_request other = request_of("/b");
	struct egress_verdict verdict;
	struct egress_verdict refusal;
	struct err err;

	(void)state;
	assert_non_null(park("/a", "x", &asks, &refusal));
	wanted = 1;
	turns_until(asked_enough);
	assert_int_equal(answer(plane.digest, true, "run", &err), 0);
	turns_until(heard_enough);
	verdict = asks;
	assert_true(hold_remembered(env.holds, &same, &verdict));
	assert_int_equal(verdict.action, EGRESS_ALLOW);
	verdict = asks;
	assert_false(hold_remembered(env.holds, &other, &verdict));
	same.tls = false;
	assert_false(hold_remembered(env.holds, &same, &verdict));
	same.tls = true;
	same.method = VIEW("DELETE");
	assert_false(hold_remembered(env.holds, &same, &verdict));
	same.method = VIEW("POST");
	(void)snprintf(verdict.rule, sizeof(verdict.rule), "policy:another");
	assert_false(hold_remembered(env.holds, &same, &verdict));
	/* What asks for a WebSocket is a GET, too, and was not what was approved. */
	heard_count = 0;
	same.method = VIEW("GET");
	same.path = VIEW("/c");
	assert_non_null(hold_park(env.holds, &same, &asks, VIEW(""), on_answer, NULL, &refusal));
	wanted = 2;
	turns_until(asked_enough);
	assert_int_equal(answer(plane.digest, true, "run", &err), 0);
	verdict = asks;
	same.websocket = true;
	assert_false(hold_remembered(env.holds, &same, &verdict));
	same.websocket = false;
	assert_true(hold_remembered(env.holds, &same, &verdict));
}

static void what_a_scanner_found_is_never_remembered(void **state)
{
	const struct egress_verdict found = {.action = EGRESS_APPROVE, .rule = "dlp:aws-key", .why = "a secret"};
	AUTO_JSON list = json_pack("[{s:s, s:s, s:s, s:i, s:s, s:s}]", "hold", "h1", "rule", "dlp:x", "host", "ok.test", "port",
				   443, "method", "POST", "path", "/a");
	struct egress_verdict refusal;
	struct err err;

	(void)state;
	assert_non_null(park("/a", "x", &found, &refusal));
	wanted = 1;
	turns_until(asked_enough);
	assert_int_equal(answer(plane.digest, true, "hour", &err), -1);
	assert_int_equal(answer(plane.digest, true, "once", &err), 0);
	assert_int_equal(holds_remember(env.holds, list, &err), -1);
}

static void an_answer_for_an_hour_ends(void **state)
{
	struct egress_request request = request_of("/a");
	AUTO_JSON list = json_pack("[{s:s, s:s, s:s, s:i, s:s, s:s, s:I}]", "hold", "h1", "rule", "policy:ask", "host", "ok.test",
				   "port", 443, "method", "POST", "path", "/a", "until_ms", (json_int_t)(worker_wall_ms() - 1));
	struct egress_verdict verdict = asks;
	struct err err;

	(void)state;
	assert_int_equal(holds_remember(env.holds, list, &err), 0);
	assert_false(hold_remembered(env.holds, &request, &verdict));
	(void)json_object_set_new(json_array_get(list, 0), "until_ms", json_integer(worker_wall_ms() + 60000));
	assert_int_equal(holds_remember(env.holds, list, &err), 0);
	assert_true(hold_remembered(env.holds, &request, &verdict));
	(void)json_object_set_new(json_array_get(list, 0), "tls", json_false());
	assert_int_equal(holds_remember(env.holds, list, &err), 0);
	assert_false(hold_remembered(env.holds, &request, &verdict));
}

static void item_71_a_client_that_left_gets_no_answer(void **state)
{
	struct egress_verdict refusal;
	struct hold_waiter *waiter;
	struct err err;

	(void)state;
	waiter = park("/a", "x", &asks, &refusal);
	wanted = 1;
	turns_until(asked_enough);
	hold_cancel(waiter);
	turns_until(gone_enough);
	assert_string_equal(plane.status, "cancelled");
	assert_int_equal(answer(plane.digest, true, "once", &err), -1);
	assert_int_equal(heard_count, 0);
}

static void item_69_a_kill_denies_what_waits(void **state)
{
	struct egress_verdict refusal;

	(void)state;
	assert_non_null(park("/a", "x", &asks, &refusal));
	holds_deny(env.holds, "kill", "a person stopped everything");
	wanted = 1;
	turns_until(heard_enough);
	assert_int_equal(heard[0].action, EGRESS_DENY);
	assert_string_equal(heard[0].rule, "kill");
}

static void a_body_too_large_to_be_shown_is_refused(void **state)
{
	AUTO_FREE char *body = mem_new(HOLD_BODY_BYTES_MAX + 2);
	struct egress_verdict refusal;

	(void)state;
	memset(body, 'a', HOLD_BODY_BYTES_MAX + 1);
	assert_null(park("/a", body, &asks, &refusal));
	assert_int_equal(refusal.status, 413);
}

static void without_a_control_plane_nothing_waits(void **state)
{
	struct egress_verdict refusal;

	(void)state;
	link_free(far_end);
	far_end = NULL;
	if (park("/a", "x", &asks, &refusal)) { /* it was asked into the void: the answer is no */
		wanted = 1;
		turns_until(heard_enough);
		assert_int_equal(heard[0].action, EGRESS_DENY);
	} else {
		assert_int_equal(refusal.action, EGRESS_DENY);
	}
}

int main(void)
{
#define IN_A_WORLD(test) cmocka_unit_test_setup_teardown(test, world_make, world_end)
	const struct CMUnitTest tests[] = {
		IN_A_WORLD(requests_that_are_the_same_share_one_question),
		IN_A_WORLD(item_71_an_answer_is_bound_to_all_that_is_sent),
		IN_A_WORLD(item_71_a_flood_of_questions_has_an_end),
		IN_A_WORLD(item_71_an_answer_for_one_path_opens_no_other),
		IN_A_WORLD(what_a_scanner_found_is_never_remembered),
		IN_A_WORLD(an_answer_for_an_hour_ends),
		IN_A_WORLD(item_71_a_client_that_left_gets_no_answer),
		IN_A_WORLD(item_69_a_kill_denies_what_waits),
		IN_A_WORLD(a_body_too_large_to_be_shown_is_refused),
		IN_A_WORLD(without_a_control_plane_nothing_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
