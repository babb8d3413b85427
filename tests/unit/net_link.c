/* A link between a loop and threads, in both directions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/scope.h"
#include "net/link.h"
#include "net/loop.h"

struct pair {
	struct loop *loop;
	pthread_t thread;
	struct link *served; /* on the loop, plays the gateway */
	struct link *caller; /* on a thread, plays the control plane */
	atomic_int noticed;
	atomic_int asked;
	atomic_int closed;
};

/* Answers with what it got, and how many bytes its descriptor had. */
static void on_echo(void *self, struct link *link, struct link_message *message)
{
	AUTO_JSON body = json_copy(message->body);
	char bytes[16] = "";

	(void)self;
	if (message->fd_count && read(message->fds[0], bytes, sizeof(bytes) - 1) > 0)
		(void)json_object_set_new(body, "read", json_string(bytes));
	link_reply(link, message->name, message->request, body, NULL);
}

static void on_fail(void *self, struct link *link, struct link_message *message)
{
	const struct err err = {ERR_CONFLICT, "not now"};

	(void)self;
	link_reply(link, message->name, message->request, NULL, &err);
}

static void on_silent(void *self, struct link *link, struct link_message *message)
{
	(void)self;
	(void)link;
	(void)message;
}

static void on_asked(void *self, json_t *answer, const struct err *err)
{
	struct pair *pair = self;

	(void)err;
	atomic_fetch_add(&pair->asked, answer ? 1 : 100);
	json_decref(answer);
}

/* A request that makes the loop's side ask back. */
static void on_ask_back(void *self, struct link *link, struct link_message *message)
{
	struct pair *pair = self;
	struct err err;

	assert_int_equal(link_ask(link, MESSAGE_THAW, message->body, on_asked, pair, &err), 0);
	link_notify(link, MESSAGE_TOUCH, message->body);
	link_reply(link, message->name, message->request, NULL, NULL);
}

static void on_thaw(void *self, struct link *link, struct link_message *message)
{
	(void)self;
	link_reply(link, message->name, message->request, NULL, NULL);
}

static void on_touch(void *self, struct link *link, struct link_message *message)
{
	struct pair *pair = self;

	(void)link;
	(void)message;
	atomic_fetch_add(&pair->noticed, 1);
}

static void on_closed(void *self, struct link *link)
{
	struct pair *pair = self;

	(void)link;
	atomic_fetch_add(&pair->closed, 1);
}

static const struct link_row served_rows[] = {
	{MESSAGE_ENV_PUT, LINK_CONTROL, on_echo},   {MESSAGE_KILL, LINK_CONTROL, on_fail}, {MESSAGE_QUIET, LINK_CONTROL, on_silent},
	{MESSAGE_PHASE, LINK_CONTROL, on_ask_back}, {MESSAGE_THAW, LINK_GATEWAY, on_echo},
};

static const struct link_row caller_rows[] = {
	{MESSAGE_THAW, LINK_GATEWAY, on_thaw},
	{MESSAGE_TOUCH, LINK_GATEWAY, on_touch},
};

static void *loop_main(void *self)
{
	loop_run(self);
	return NULL;
}

static int pair_open(void **state)
{
	struct pair *pair = mem_new(sizeof(*pair));
	struct link_spec served = {
		.peer = LINK_CONTROL, .rows = served_rows, .row_count = ARRAY_LEN(served_rows), .closed = on_closed, .self = pair};
	struct link_spec caller = {.peer = LINK_GATEWAY, .rows = caller_rows, .row_count = ARRAY_LEN(caller_rows), .self = pair};
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	served.fd = ends[0];
	caller.fd = ends[1];
	pair->loop = loop_new(NULL);
	pair->served = link_on_loop(pair->loop, &served, NULL);
	pair->caller = link_on_thread(&caller, NULL);
	assert_int_equal(pthread_create(&pair->thread, NULL, loop_main, pair->loop), 0);
	*state = pair;
	return 0;
}

static int pair_close(void **state)
{
	struct pair *pair = *state;

	link_free(pair->caller);
	for (int turn = 0; turn < 1000 && !atomic_load(&pair->closed); turn++)
		usleep(1000);
	assert_int_equal(atomic_load(&pair->closed), 1);
	loop_stop(pair->loop);
	(void)pthread_join(pair->thread, NULL);
	link_free(pair->served);
	loop_free(pair->loop);
	free(pair);
	return 0;
}

static void a_call_brings_its_answer_and_descriptors_travel(void **state)
{
	struct pair *pair = *state;
	AUTO_JSON body = json_pack("{s:s}", "env", "e1");
	AUTO_JSON answer = NULL;
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	assert_int_equal(write(ends[1], "hello", 5), 5);
	answer = link_call(pair->caller, MESSAGE_ENV_PUT, body, ends, 1, 5000, NULL);
	assert_string_equal(json_text(answer, "env", ""), "e1");
	assert_string_equal(json_text(answer, "read", ""), "hello");
	assert_true(json_flag(answer, "ok", false));
	(void)(close(ends[0]) + close(ends[1]));
}

static void a_body_larger_than_a_message_travels_too(void **state)
{
	struct pair *pair = *state;
	AUTO_FREE char *text = mem_new(300001);
	AUTO_JSON body = NULL;
	AUTO_JSON answer = NULL;

	memset(text, 'x', 300000);
	body = json_pack("{s:s}", "text", text);
	answer = link_call(pair->caller, MESSAGE_ENV_PUT, body, NULL, 0, 5000, NULL);
	assert_string_equal(json_text(answer, "text", ""), text);
}

static void failures_come_with_their_kind(void **state)
{
	static const struct {
		uint16_t name;
		enum err_kind kind;
	} rows[] = {{MESSAGE_KILL, ERR_CONFLICT}, {MESSAGE_THAW, ERR_DENIED}, {777, ERR_DENIED}, {MESSAGE_QUIET, ERR_RETRY}};
	struct pair *pair = *state;
	AUTO_JSON body = json_object();

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = {0};

		assert_null(link_call(pair->caller, rows[i].name, body, NULL, 0, 200, &err));
		assert_int_equal(err.kind, rows[i].kind);
	}
}

static void the_loop_can_ask_and_tell_too(void **state)
{
	struct pair *pair = *state;
	AUTO_JSON body = json_object();

	json_decref(link_call(pair->caller, MESSAGE_PHASE, body, NULL, 0, 5000, NULL));
	for (int turn = 0; turn < 1000 && (!atomic_load(&pair->asked) || !atomic_load(&pair->noticed)); turn++)
		usleep(1000);
	assert_int_equal(atomic_load(&pair->asked), 1);
	assert_int_equal(atomic_load(&pair->noticed), 1);
}

#define CALLS 300

static void *caller_main(void *self)
{
	struct pair *pair = self;
	intptr_t wrong = 0;

	for (int i = 0; i < CALLS; i++) {
		AUTO_JSON body = json_pack("{s:i}", "n", i);
		AUTO_JSON answer = link_call(pair->caller, MESSAGE_ENV_PUT, body, NULL, 0, 10000, NULL);

		wrong += json_number(answer, "n", -1) != i;
	}
	return (void *)wrong;
}

static void many_threads_share_a_link(void **state)
{
	pthread_t threads[8];

	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, caller_main, *state), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		void *wrong;

		(void)pthread_join(threads[i], &wrong);
		assert_null(wrong);
	}
}

static void bytes_that_are_no_message_do_no_harm(void **state)
{
	struct pair *pair = *state;
	struct link_spec spec = {.peer = LINK_CONTROL, .rows = served_rows, .row_count = ARRAY_LEN(served_rows), .self = pair};
	struct message_header header = {.length = 16, .version = 9, .name = MESSAGE_ENV_PUT, .request = 1};
	AUTO_JSON body = json_object();
	AUTO_JSON answer = NULL;
	char bytes[512];
	struct link *link;
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	spec.fd = ends[0];
	link = link_on_thread(&spec, NULL);
	assert_int_equal(send(ends[1], "x", 1, 0), 1);
	assert_int_equal(send(ends[1], &header, sizeof(header), 0), sizeof(header));
	assert_true(recv(ends[1], bytes, sizeof(bytes), 0) > (ssize_t)sizeof(header));
	header.version = MESSAGE_VERSION;
	header.name = MESSAGE_ENV_PUT | 0x8000; /* promises a descriptor */
	assert_int_equal(send(ends[1], &header, sizeof(header), 0), sizeof(header));
	assert_true(recv(ends[1], bytes, sizeof(bytes), 0) > (ssize_t)sizeof(header));
	assert_false(link_is_over(link));
	(void)close(ends[1]);
	assert_null(link_call(link, MESSAGE_ENV_PUT, body, NULL, 0, 5000, NULL));
	assert_true(link_is_over(link));
	link_free(link);
	answer = link_call(pair->caller, MESSAGE_ENV_PUT, body, NULL, 0, 5000, NULL);
	assert_non_null(answer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_call_brings_its_answer_and_descriptors_travel, pair_open, pair_close),
		cmocka_unit_test_setup_teardown(a_body_larger_than_a_message_travels_too, pair_open, pair_close),
		cmocka_unit_test_setup_teardown(failures_come_with_their_kind, pair_open, pair_close),
		cmocka_unit_test_setup_teardown(the_loop_can_ask_and_tell_too, pair_open, pair_close),
		cmocka_unit_test_setup_teardown(many_threads_share_a_link, pair_open, pair_close),
		cmocka_unit_test_setup_teardown(bytes_that_are_no_message_do_no_harm, pair_open, pair_close),
	};

	log_init("unit", LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
