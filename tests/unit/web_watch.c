/* Many who watch: one thread tells them all, none piles anything up, nothing is told twice or not at all, and who is nobody any more hears nothing. */
#include "web_bench.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "store/store.h"
#include "web/watch.h"

#define DEADLINE_MS 30000
#define MANY 200
#define SLOW_BYTES 65536 /* of their sockets' buffer */

/* One who watches everybody's changes. */
struct watching {
	int fd;
	struct buf text;
	size_t read;   /* bytes of text that were looked at */
	int64_t first; /* id that came; 0: none yet */
	int64_t last;
	bool ended;
};

/* `headers`: lines that end with CR LF. */
static void watching_ask(struct watching *watching, struct bench *bench, const char *path, const char *headers, int receive_bytes)
{
	const char *port = strrchr(web_base(bench->web), ':') + 1;
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	AUTO_FREE char *request = text_format("GET /api/v1%s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\n%s\r\n", path, port, headers);

	*watching = (struct watching){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .text = buf_new((size_t)64 << 20)};
	assert_true(watching->fd >= 0);
	if (receive_bytes)
		assert_int_equal(setsockopt(watching->fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof(receive_bytes)), 0);
	assert_int_equal(connect(watching->fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(send(watching->fd, request, strlen(request), 0), strlen(request));
}

static void watching_open(struct watching *watching, struct bench *bench, const char *headers, int receive_bytes)
{
	watching_ask(watching, bench, "/events?follow=1", headers ? headers : "", receive_bytes);
}

static void watching_close(struct watching *watching)
{
	(void)close(watching->fd);
	buf_fini(&watching->text);
}

/* Every id is one more than that before. */
static void ids_check(struct watching *watching)
{
	const char *at;

	while (watching->text.length > watching->read && (at = strstr(watching->text.at + watching->read, "\nid: "))) {
		char *end;
		int64_t id = strtoll(at + 5, &end, 10);

		if (*end != '\n' || !strstr(end, "\n\n"))
			return; /* the rest of it is still to come */
		if (!watching->first)
			watching->first = id;
		else if (id != watching->last + 1)
			fail_msg("%lld came after %lld", (long long)id, (long long)watching->last);
		watching->last = id;
		watching->read = (size_t)(end - watching->text.at);
	}
}

/* Reads until the text, or the id, or (neither) the end has come. */
static void watching_read(struct watching *watching, const char *text, int64_t id)
{
	struct pollfd ready = {.fd = watching->fd, .events = POLLIN};
	int64_t until = world_elapsed_ms(world_real) + DEADLINE_MS;
	char bytes[65536];

	while (!watching->ended && !(text && watching->text.length && strstr(watching->text.at, text)) &&
	       !(id && watching->last >= id)) {
		ssize_t got;

		if (poll(&ready, 1, (int)(until - world_elapsed_ms(world_real))) <= 0)
			fail_msg("after %lld nothing came", (long long)watching->last);
		got = recv(watching->fd, bytes, sizeof(bytes), 0);
		watching->ended = got <= 0;
		if (got > 0)
			buf_add(&watching->text, bytes, (size_t)got);
		ids_check(watching);
	}
	if (text || id)
		assert_false(watching->ended);
}

static void changes_make(int count)
{
	(void)atomic_fetch_add(&fake_changes, count);
	store_nudge(fake_store);
}

static size_t threads(void)
{
	DIR *dir = opendir("/proc/self/task");
	size_t count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	(void)closedir(dir);
	return count;
}

static void two_hundred_watchers_are_told_by_one_thread_that_reads_once(void **state)
{
	struct watching all[MANY];
	size_t before = 0;
	int reads;

	for (size_t i = 0; i < MANY; i++) {
		watching_open(&all[i], *state, NULL, 0);
		watching_read(&all[i], "retry: 1000\n\n", 0);
		if (!i)
			before = threads();
	}
	assert_int_equal(threads(), before);
	changes_make(1);
	for (size_t i = 0; i < MANY; i++)
		watching_read(&all[i], NULL, atomic_load(&fake_changes));
	reads = atomic_load(&fake_change_reads);
	changes_make(3);
	for (size_t i = 0; i < MANY; i++)
		watching_read(&all[i], NULL, atomic_load(&fake_changes));
	/* One read is enough; more are turns that began between. */
	assert_true(atomic_load(&fake_change_reads) - reads < MANY / 10);
	assert_true(web_clients(((struct bench *)*state)->web) >= MANY);
	for (size_t i = 0; i < MANY; i++) {
		assert_int_equal(all[i].last - all[i].first, 3);
		watching_close(&all[i]);
	}
}

/* 8 MB for each of them, which they do not read: that is not kept for them. */
static void who_reads_slowly_is_waited_for_and_holds_nothing(void **state)
{
	struct watching slow[20];
	struct watching quick;
	struct mallinfo2 memory;
	size_t before;
	int count = 1000;
	int64_t wanted;

	for (size_t i = 0; i < ARRAY_LEN(slow); i++) {
		watching_open(&slow[i], *state, NULL, SLOW_BYTES);
		watching_read(&slow[i], "retry: 1000\n\n", 0);
	}
	watching_open(&quick, *state, NULL, 0);
	watching_read(&quick, "retry: 1000\n\n", 0);
	memory = mallinfo2();
	before = memory.uordblks + memory.hblkhd;
	atomic_store(&fake_change_bytes, 8192);
	changes_make(count);
	wanted = atomic_load(&fake_changes);
	for (int64_t at = wanted - count + 1; at <= wanted; at += 100) {
		watching_read(&quick, NULL, at);
		buf_drop_front(&quick.text, quick.read); /* it is counted, not kept */
		quick.read = 0;
	}
	watching_read(&quick, NULL, wanted);
	memory = mallinfo2();
	if (memory.uordblks + memory.hblkhd > before + ((size_t)16 << 20))
		fail_msg("%zu bytes wait for 20 that do not read", memory.uordblks + memory.hblkhd - before);
	for (size_t i = 0; i < 2; i++) { /* and yet they have it, when they like */
		watching_read(&slow[i], NULL, wanted);
		assert_int_equal(slow[i].last - slow[i].first, count - 1);
	}
	for (size_t i = 0; i < ARRAY_LEN(slow); i++)
		watching_close(&slow[i]);
	watching_close(&quick);
	atomic_store(&fake_change_bytes, 0);
}

static void who_takes_nothing_for_a_minute_is_cut_and_goes_on_where_it_was(void **state)
{
	struct bench *bench = *state;
	struct watching slow;
	struct watching again;
	AUTO_FREE char *header = NULL;
	int64_t wanted;

	watching_open(&slow, bench, NULL, SLOW_BYTES);
	watching_read(&slow, "retry: 1000\n\n", 0);
	atomic_store(&fake_change_bytes, 8192);
	changes_make(1000);
	wanted = atomic_load(&fake_changes);
	for (int i = 0; i < DEADLINE_MS / 10 && web_clients(bench->web); i++) {
		(void)atomic_fetch_add(&bench_passed_ms, 61000);
		(void)poll(NULL, 0, 10);
	}
	assert_int_equal(web_clients(bench->web), 0);
	watching_read(&slow, NULL, 0);
	assert_true(slow.last < wanted);
	header = text_format("Last-Event-ID: %lld\r\n", (long long)slow.last);
	watching_open(&again, bench, header, 0);
	watching_read(&again, NULL, wanted);
	assert_int_equal(again.first, slow.last + 1);
	watching_close(&slow);
	watching_close(&again);
	atomic_store(&fake_change_bytes, 0);
}

static void *changes_write(void *self)
{
	const atomic_bool *stop = self;

	while (!atomic_load(stop)) {
		changes_make(1);
		(void)poll(NULL, 0, 1);
	}
	return NULL;
}

static void who_comes_back_while_things_happen_misses_nothing_and_hears_nothing_twice(void **state)
{
	atomic_bool stop = false;
	pthread_t writer;
	int64_t last = atomic_load(&fake_changes);

	changes_make(1);
	assert_int_equal(pthread_create(&writer, NULL, changes_write, &stop), 0);
	for (int i = 0; i < 50; i++) {
		AUTO_FREE char *header = text_format("Last-Event-ID: %lld\r\n", (long long)last);
		struct watching watching;

		watching_open(&watching, *state, last ? header : NULL, 0);
		watching_read(&watching, NULL, last + 1 + i % 7);
		if (last)
			assert_int_equal(watching.first, last + 1);
		last = watching.last;
		watching_close(&watching);
	}
	atomic_store(&stop, true);
	assert_int_equal(pthread_join(writer, NULL), 0);
}

/* The header of a fresh token. Owned by the caller. */
static char *token_header(struct bench *bench, const char *name, const char *role)
{
	AUTO_FREE char *body = text_format("{\"name\": \"%s\", \"role\": \"%s\", \"days\": 1}", name, role);
	AUTO_ANSWER made = ask(bench, UNIX, "POST", "/api/v1/tokens", NULL, body);
	AUTO_JSON json = json_parse(view_of(made.text), NULL);

	assert_int_equal(made.status, 200);
	return text_format("Authorization: Bearer %s\r\n", json_text(json, "token", ""));
}

static void a_stream_ends_with_its_token_and_no_other_does(void **state)
{
	struct bench *bench = *state;
	AUTO_FREE char *removed = token_header(bench, "removed", "viewer");
	AUTO_FREE char *kept = token_header(bench, "kept", "viewer");
	struct watching all[3];

	watching_open(&all[0], bench, removed, 0);
	watching_open(&all[1], bench, kept, 0);
	watching_open(&all[2], bench, NULL, 0);
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		watching_read(&all[i], "retry: 1000\n\n", 0);
	changes_make(1);
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		watching_read(&all[i], NULL, atomic_load(&fake_changes));
	AUTO_ANSWER gone = ask(bench, UNIX, "DELETE", "/api/v1/tokens/removed", NULL, NULL);
	assert_int_equal(gone.status, 200);
	watching_read(&all[0], NULL, 0);
	changes_make(1);
	watching_read(&all[1], NULL, atomic_load(&fake_changes));
	watching_read(&all[2], NULL, atomic_load(&fake_changes));
	assert_true(all[0].last < atomic_load(&fake_changes));
	/* Its days are over, and nobody writes anything meanwhile. */
	(void)atomic_fetch_add(&bench_passed_ms, (int64_t)25 * 3600 * 1000);
	watching_read(&all[1], NULL, 0);
	changes_make(1);
	watching_read(&all[2], NULL, atomic_load(&fake_changes));
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		watching_close(&all[i]);
}

static void a_terminal_ends_with_its_token(void **state)
{
	struct bench *bench = *state;
	AUTO_FREE char *token = token_header(bench, "typist", "developer");
	AUTO_FREE char *headers = text_format("%sConnection: Upgrade\r\nUpgrade: assay-terminal\r\n", token);
	struct watching typist;

	watching_ask(&typist, bench, "/environments/shop/terminal", headers, 0);
	watching_read(&typist, "HTTP/1.1 101 ", 0);
	AUTO_ANSWER gone = ask(bench, UNIX, "DELETE", "/api/v1/tokens/typist", NULL, NULL);
	assert_int_equal(gone.status, 200);
	watching_read(&typist, NULL, 0);
	assert_null(strstr(typist.text.at, "heard"));
	watching_close(&typist);
}

static void one_caller_leaves_room_for_others(void **state)
{
	struct bench *bench = *state;
	AUTO_FREE char *greedy = token_header(bench, "greedy", "viewer");
	AUTO_FREE char *other = token_header(bench, "other", "viewer");
	struct watching *all = mem_new_array(WATCHERS_EACH_MAX, sizeof(*all));
	struct watching more;

	for (int i = 0; i < WATCHERS_EACH_MAX; i++) {
		watching_open(&all[i], bench, greedy, 0);
		watching_read(&all[i], "retry: 1000\n\n", 0);
	}
	watching_open(&more, bench, greedy, 0);
	watching_read(&more, "more than 300 streams of `greedy` at once", 0);
	assert_true(view_starts(buf_view(&more.text), VIEW("HTTP/1.1 503 ")));
	watching_close(&more);
	watching_open(&more, bench, other, 0);
	watching_read(&more, "retry: 1000\n\n", 0);
	watching_close(&more);
	for (int i = 0; i < WATCHERS_EACH_MAX; i++)
		watching_close(&all[i]);
	free(all);
}

static void a_quiet_stream_says_that_it_is_there(void **state)
{
	struct watching watching;

	watching_open(&watching, *state, NULL, 0);
	watching_read(&watching, "retry: 1000\n\n", 0);
	(void)atomic_fetch_add(&bench_passed_ms, 16000);
	watching_read(&watching, "\n: alive\n\n", 0);
	watching_close(&watching);
}

static void logs_are_watched_by_one_thread_too(void **state)
{
	struct bench *bench = *state;
	struct watching all[20];
	size_t before = 0;

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		watching_ask(&all[i], bench, "/environments/shop/logs?follow=1", "", 0);
		watching_read(&all[i], "all 200\n", 0);
		watching_read(&all[i], "all 100000\n", 0); /* what the fake says whenever it is read on */
		if (!i)
			before = threads();
	}
	assert_int_equal(threads(), before);
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		watching_close(&all[i]);
}

static void every_stream_ends_with_the_server(void **state)
{
	void *own = NULL;
	struct watching all[3];

	(void)state;
	assert_int_equal(bench_open(&own), 0);
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		watching_open(&all[i], own, NULL, 0);
		watching_read(&all[i], "retry: 1000\n\n", 0);
	}
	assert_int_equal(bench_close(&own), 0);
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		watching_read(&all[i], NULL, 0);
		watching_close(&all[i]);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_hundred_watchers_are_told_by_one_thread_that_reads_once),
		cmocka_unit_test(who_reads_slowly_is_waited_for_and_holds_nothing),
		cmocka_unit_test(who_takes_nothing_for_a_minute_is_cut_and_goes_on_where_it_was),
		cmocka_unit_test(who_comes_back_while_things_happen_misses_nothing_and_hears_nothing_twice),
		cmocka_unit_test(a_stream_ends_with_its_token_and_no_other_does),
		cmocka_unit_test(a_terminal_ends_with_its_token),
		cmocka_unit_test(one_caller_leaves_room_for_others),
		cmocka_unit_test(a_quiet_stream_says_that_it_is_there),
		cmocka_unit_test(logs_are_watched_by_one_thread_too),
	};
	static const struct CMUnitTest last[] = {cmocka_unit_test(every_stream_ends_with_the_server)};

	return cmocka_run_group_tests_name("web/watch", tests, bench_open, bench_close) +
	       cmocka_run_group_tests_name("web/watch: its end", last, NULL, NULL);
}
