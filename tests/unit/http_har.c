/* Exchanges as lines and sessions as HAR, there and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/scope.h"
#include "http/har.h"

static void exchange_fill(struct exchange *exchange)
{
	*exchange = (struct exchange){.seq = 4, .t0_ms = 1763753400123, .dt_us = 1500, .status = 201};
	exchange->from = text_copy("preview");
	exchange->to = text_copy("front");
	exchange->proto = text_copy("http");
	exchange->phase = text_copy("replay \"1\"\n");
	exchange->replay = text_copy("7");
	exchange->method = text_copy("POST");
	exchange->url = text_copy("http://a/b?c=d%20e");
	exchange_header_add(&exchange->request_headers, VIEW("Content-Type"), VIEW("text/plain"));
	exchange_header_add(&exchange->request_headers, VIEW("X-Odd"), VIEW("\xff tail"));
	exchange_header_add(&exchange->response_headers, VIEW("Set-Cookie"), VIEW("a=b"));
	exchange_header_add(&exchange->response_headers, VIEW("Set-Cookie"), VIEW("c=d"));
	exchange_body_add(&exchange->request_body, VIEW("grüße\n\"\\\x01"));
	exchange_body_add(&exchange->response_body, view_make("\x00\xff\x80", 3));
}

static void same(const struct exchange *a, const struct exchange *b)
{
	assert_int_equal(a->seq, b->seq);
	assert_int_equal(a->t0_ms, b->t0_ms);
	assert_int_equal(a->dt_us, b->dt_us);
	assert_int_equal(a->status, b->status);
	assert_string_equal(a->phase, b->phase);
	assert_string_equal(a->url, b->url);
	assert_string_equal(a->replay, b->replay);
	assert_string_equal(exchange_header(&b->request_headers, "x-odd"), "\xef\xbf\xbd tail");
	assert_int_equal(b->response_headers.count, 2);
	assert_true(view_equal(view_make(a->request_body.at, a->request_body.length),
			       view_make(b->request_body.at, b->request_body.length)));
	assert_true(view_equal(view_make(a->response_body.at, a->response_body.length),
			       view_make(b->response_body.at, b->response_body.length)));
}

static void a_line_of_the_log_comes_back_as_it_was(void **state)
{
	AUTO_EXCHANGE exchange;
	AUTO_EXCHANGE back;
	AUTO_BUF line = buf_new(65536);
	struct err err = {0};

	(void)state;
	exchange_fill(&exchange);
	exchange_format(&line, &exchange);
	assert_int_equal(line.at[line.length - 1], '\n');
	assert_ptr_equal(memchr(line.at, '\n', line.length), line.at + line.length - 1);
	if (exchange_parse(buf_view(&line), &back, &err))
		fail_msg("%s", err.text);
	same(&exchange, &back);
}

static void a_body_is_kept_to_its_limit_and_counted_whole(void **state)
{
	AUTO_EXCHANGE exchange = {0};
	AUTO_EXCHANGE back;
	AUTO_BUF line = buf_new(1 << 20);
	AUTO_FREE char *bytes = mem_new(50000);

	(void)state;
	memset(bytes, 'x', 50000);
	exchange_body_add(&exchange.request_body, view_make(bytes, 50000));
	assert_false(exchange.request_body.cut);
	exchange_body_add(&exchange.request_body, view_make(bytes, 50000));
	assert_true(exchange.request_body.cut);
	assert_int_equal(exchange.request_body.length, EXCHANGE_BODY_KEPT_MAX);
	exchange_format(&line, &exchange);
	assert_int_equal(exchange_parse(buf_view(&line), &back, NULL), 0);
	assert_int_equal(back.request_body.bytes, 100000);
	assert_true(back.request_body.cut);
}

static void a_session_comes_back_from_har(void **state)
{
	AUTO_SESSION session = {0};
	AUTO_SESSION back;
	AUTO_BUF text = buf_new(1 << 20);
	struct exchange first;
	struct exchange second = {.seq = 5, .t0_ms = 1763753400200};
	struct err err = {0};

	(void)state;
	exchange_fill(&first);
	second.proto = text_copy("redis");
	second.command = text_copy("XADD");
	second.statement = text_copy("XADD orders * a 1");
	session_add(&session, &first);
	session_add(&session, &second);
	har_format(&text, &session);
	if (har_parse(buf_view(&text), &back, &err))
		fail_msg("%s", err.text);
	assert_int_equal(back.count, 2);
	same(&session.at[0], &back.at[0]);
	assert_string_equal(back.at[1].statement, "XADD orders * a 1");
}

/* As Chromium writes it: pseudo headers, params beside text, cookies, pages, times out of order. */
static void what_browsers_export_is_understood(void **state)
{
	static const char text[] =
		"\xef\xbb\xbf{\"log\": {\"version\": \"1.2\", \"pages\": [], \"entries\": ["
		"{\"startedDateTime\": \"2026-11-21T10:00:01.500+01:00\", \"time\": 12.5, \"request\": {\"method\": \"POST\", \"url\": \"http://a/2\","
		" \"headers\": [{\"name\": \":authority\", \"value\": \"a\"}, {\"name\": \"accept\", \"value\": \"*/*\"}],"
		" \"postData\": {\"mimeType\": \"application/x-www-form-urlencoded\", \"params\": [{\"name\": \"a b\", \"value\": \"c&d\"}]}},"
		" \"response\": {\"status\": 200, \"headers\": [], \"content\": {\"size\": 3, \"text\": \"AAEC\", \"encoding\": \"base64\"}}},"
		"{\"startedDateTime\": \"2026-11-21T09:00:01.400Z\", \"time\": -1, \"request\": {\"method\": \"GET\", \"url\": \"http://a/1\", \"headers\": []},"
		" \"response\": {\"status\": 0, \"headers\": [], \"content\": {}}}]}}";
	AUTO_SESSION session;
	struct err err = {0};

	(void)state;
	if (har_parse(VIEW(text), &session, &err))
		fail_msg("%s", err.text);
	assert_int_equal(session.count, 2);
	assert_string_equal(session.at[0].url, "http://a/1");
	assert_int_equal(session.at[1].t0_ms - session.at[0].t0_ms, 100);
	assert_int_equal(session.at[1].request_headers.count, 1);
	assert_string_equal(session.at[1].request_body.at, "a%20b=c%26d");
	assert_int_equal(session.at[1].response_body.length, 3);
	assert_int_equal(session.at[1].dt_us, 12500);
}

static void wrong_files_are_refused_with_the_entry(void **state)
{
	static const struct {
		const char *text;
		const char *error;
	} rows[] = {
		{"", "not JSON"},
		{"[]", "`log.entries` must be a list"},
		{"{\"log\": {\"entries\": {}}}", "`log.entries` must be a list"},
		{"{\"log\": {\"entries\": [{}]}}", "entry 1: request: `method` must be a string"},
		{"{\"log\": {\"entries\": [{\"request\": {\"method\": \"GET\"}}]}}", "entry 1: request: `url`"},
		{"{\"log\": {\"entries\": [{\"request\": {\"method\": \"GET\", \"url\": \"u\", \"headers\": 1}}]}}",
		 "headers must be a list"},
		{"{\"log\": {\"entries\": [{\"request\": {\"method\": \"GET\", \"url\": \"u\"}, \"response\": {\"content\": {\"text\": \"*\", \"encoding\": \"base64\"}}}]}}",
		 "entry 1: response: not base64"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct session session;
		struct err err = {0};

		assert_int_equal(har_parse(view_of(rows[i].text), &session, &err), -1);
		if (!strstr(err.text, rows[i].error))
			fail_msg("row %zu says: %s", i, err.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_of_the_log_comes_back_as_it_was),
		cmocka_unit_test(a_body_is_kept_to_its_limit_and_counted_whole),
		cmocka_unit_test(a_session_comes_back_from_har),
		cmocka_unit_test(what_browsers_export_is_understood),
		cmocka_unit_test(wrong_files_are_refused_with_the_entry),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
