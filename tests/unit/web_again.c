/* What is asked twice, and what is asked too often. */
#include "web_bench.h"

#include <stdlib.h>

#include "store/store.h"

#define ISSUES "/api/v1/issues"
#define BODY "{\"repository\":\"shop\",\"title\":\"a\"}"

static void the_same_request_is_done_once_and_answered_twice(void **state)
{
	AUTO_ANSWER first = ask(*state, UNIX, "POST", ISSUES, "Idempotency-Key: one", BODY);

	assert_int_equal(first.status, 200);
	assert_string_equal(fake_said, "issue shop a ");
	strcpy(fake_said, "nothing");
	AUTO_ANSWER second = ask(*state, UNIX, "POST", ISSUES, "Idempotency-Key: one", "{\"title\":\"a\",\"repository\":\"shop\"}");
	assert_int_equal(second.status, 200);
	assert_string_equal(second.text, first.text);
	assert_string_equal(second.replayed, "true");
	assert_null(first.replayed);
	assert_string_equal(fake_said, "nothing");
	AUTO_ANSWER other = ask(*state, UNIX, "POST", ISSUES, "Idempotency-Key: one", "{\"repository\":\"shop\",\"title\":\"b\"}");
	assert_int_equal(other.status, 422);
	assert_non_null(strstr(other.text, "sent with another body"));
	assert_string_equal(fake_said, "nothing");
	AUTO_ANSWER elsewhere = ask(*state, UNIX, "POST", ISSUES "/1/comments", "Idempotency-Key: one", "{\"text\":\"x\"}");
	assert_int_equal(elsewhere.status, 200);
	assert_string_equal(fake_said, "comment 1 you x");
}

static void what_failed_may_be_tried_again_with_its_key(void **state)
{
	AUTO_ANSWER failed = ask(*state, UNIX, "POST", ISSUES "/2/close", "Idempotency-Key: two", "{}");
	AUTO_ANSWER again = ask(*state, UNIX, "POST", ISSUES "/2/close", "Idempotency-Key: two", "{}");

	assert_int_equal(failed.status, 404);
	assert_int_equal(again.status, 404);
	assert_null(again.replayed);
}

/* Sets what a key's row says. */
static void rows_set(const char *sql, int64_t number)
{
	AUTO_TX tx = {0};

	assert_int_equal(store_begin(fake_store, &tx, NULL), 0);
	assert_int_equal(store_run(&tx, sql, VALUES(V(number)), NULL), 0);
	assert_int_equal(store_commit(&tx, NULL), 0);
}

static void what_a_crash_cut_off_is_not_done_twice(void **state)
{
	AUTO_ANSWER first = ask(*state, UNIX, "POST", ISSUES, "Idempotency-Key: three", BODY);

	assert_int_equal(first.status, 200);
	rows_set("UPDATE idempotency SET answer = NULL, time_ms = ?", world_now_ms(world_real));
	AUTO_ANSWER soon = ask(*state, UNIX, "POST", ISSUES, "Idempotency-Key: three", BODY);
	assert_int_equal(soon.status, 409);
	assert_non_null(strstr(soon.text, "still worked on"));
	rows_set("UPDATE idempotency SET time_ms = ?", world_now_ms(world_real) - (int64_t)3600 * 1000);
	AUTO_ANSWER late = ask(*state, UNIX, "POST", ISSUES, "Idempotency-Key: three", BODY);
	assert_int_equal(late.status, 409);
	assert_non_null(strstr(late.text, "see whether it was done"));
	rows_set("UPDATE idempotency SET time_ms = ?", world_now_ms(world_real) - (int64_t)25 * 3600 * 1000);
	AUTO_ANSWER next_day = ask(*state, UNIX, "POST", ISSUES, "Idempotency-Key: three", BODY);
	assert_int_equal(next_day.status, 200);
}

static void an_answer_with_a_secret_is_said_once(void **state)
{
	static const char body[] = "{\"name\":\"once\",\"role\":\"viewer\"}";
	AUTO_ANSWER made = ask(*state, UNIX, "POST", "/api/v1/tokens", "Idempotency-Key: four", body);
	AUTO_ANSWER again = ask(*state, UNIX, "POST", "/api/v1/tokens", "Idempotency-Key: four", body);
	AUTO_TX tx = {0};
	int64_t kept;

	assert_int_equal(made.status, 200);
	assert_int_equal(again.status, 409);
	assert_non_null(strstr(again.text, "said once only"));
	assert_int_equal(store_begin(fake_store, &tx, NULL), 0);
	assert_int_equal(
		store_number_get(&tx, &kept, 0, "SELECT count(*) FROM idempotency WHERE answer LIKE '%assay_%'", NO_VALUES, NULL),
		0);
	assert_int_equal(kept, 0);
}

static void a_webhook_s_key_is_for_the_inbox(void **state)
{
	AUTO_ANSWER answer = ask(*state, UNIX, "POST", "/hooks/none", "Idempotency-Key: five", "{}");

	assert_int_equal(answer.status, 401); /* not signed: nothing was said about its key */
}

/* ---- often ---- */

static int slow_open(void **state)
{
	struct bench *bench = *state;
	struct bench *slow = mem_new(sizeof(*slow));
	struct web_options options = {.state_dir = "/nowhere",
				      .listen = "127.0.0.1:0",
				      .rates = {.token = 3, .address = 4, .refused = 2},
				      .preview_base = "127.0.0.1:7421",
				      .self = slow,
				      .world = world_real};

	slow->serve_socket = text_format("%s/slow.sock", bench->dir);
	slow->tool_socket = text_format("%s/slow-tool.sock", bench->dir);
	slow->token = text_copy("");
	options.serve_socket = slow->serve_socket;
	options.tool_socket = slow->tool_socket;
	*state = slow;
	return web_open(&options, &slow->web, NULL);
}

static int slow_close(void **state)
{
	struct bench *slow = *state;

	web_close(slow->web);
	free(slow->serve_socket);
	free(slow->tool_socket);
	free(slow->token);
	free(slow);
	return 0;
}

/* The statuses of so many requests, "200 200 429". */
static void statuses_are(struct bench *bench, const char *headers, const char *wanted)
{
	AUTO_BUF got = buf_new(4096);

	for (size_t i = 0; i < (strlen(wanted) + 1) / 4; i++) {
		AUTO_ANSWER answer = ask(bench, TCP, "GET", "/api/v1/status", headers, NULL);

		buf_add_format(&got, "%s%u", i ? " " : "", answer.status);
		if (answer.status == 429 && (!answer.retry || !strstr(answer.text, "a minute")))
			fail_msg("%s", answer.text);
	}
	assert_string_equal(got.at, wanted);
}

static void who_asks_too_often_is_told_when_to_come_back(void **state)
{
	AUTO_ANSWER made = ask(*state, UNIX, "POST", "/api/v1/tokens", NULL, "{\"name\":\"eager\",\"role\":\"viewer\"}");
	AUTO_JSON json = json_parse(view_of(made.text), NULL);
	AUTO_FREE char *header = text_format("Authorization: Bearer %s", json_text(json, "token", ""));
	AUTO_ANSWER first = ask(*state, TCP, "GET", "/api/v1/status", header, NULL);

	assert_string_equal(first.rate, "\"token\";r=2;t=20");
	statuses_are(*state, header, "200 200 429 429");
	statuses_are(*state, NULL, "200 200 200 200 429");
	statuses_are(*state, "Authorization: Bearer none", "401 401 429");
	for (int i = 0; i < 8; i++) {
		AUTO_ANSWER local = ask(*state, UNIX, "GET", "/api/v1/status", NULL, NULL);

		assert_int_equal(local.status, 200);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_same_request_is_done_once_and_answered_twice),
		cmocka_unit_test(what_failed_may_be_tried_again_with_its_key),
		cmocka_unit_test(what_a_crash_cut_off_is_not_done_twice),
		cmocka_unit_test(an_answer_with_a_secret_is_said_once),
		cmocka_unit_test(a_webhook_s_key_is_for_the_inbox),
		cmocka_unit_test_setup_teardown(who_asks_too_often_is_told_when_to_come_back, slow_open, slow_close),
	};

	return cmocka_run_group_tests(tests, bench_open, bench_close);
}
