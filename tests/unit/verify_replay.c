/* Sessions: what is learned from the recording, and what is sent instead. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/scope.h"
#include "quoted.h"
#include "verify/replay.h"

static json_t *har_headers(const json_t *rows)
{
	json_t *list = json_array();

	for (size_t i = 0; i < json_array_size(rows); i++)
		(void)json_array_append_new(list, json_pack("{s:O, s:O}", "name", json_array_get(json_array_get(rows, i), 0),
							    "value", json_array_get(json_array_get(rows, i), 1)));
	return list;
}

/* Rows of [method, url, request headers, request body, response headers, response body]. */
static struct replay *replay_make(const char *text)
{
	AUTO_JSON rows = quoted_json(text);
	AUTO_JSON har = json_pack("{s:{s:s, s:[]}}", "log", "version", "1.2", "entries");
	AUTO_BUF bytes = buf_new((size_t)1 << 20);
	AUTO_SESSION session = {0};
	struct err err = {0};

	for (size_t i = 0; i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, i);
		json_t *entry = json_pack("{s:s, s:i, s:{s:O, s:O, s:o, s:{s:s, s:O}}, s:{s:i, s:o, s:{s:O}}}", "startedDateTime",
					  "2026-11-21T20:00:00.000Z", "time", 1, "request", "method", json_array_get(row, 0), "url",
					  json_array_get(row, 1), "headers", har_headers(json_array_get(row, 2)), "postData",
					  "mimeType", "application/json", "text", json_array_get(row, 3), "response", "status", 200,
					  "headers", har_headers(json_array_get(row, 4)), "content", "text",
					  json_array_get(row, 5));

		assert_non_null(entry);
		(void)json_array_append_new(json_member(json_member(har, "log"), "entries"), entry);
	}
	json_format(&bytes, har);
	assert_int_equal(har_parse(buf_view(&bytes), &session, &err), 0);
	return replay_new(&session, "test.har");
}

/* Live answers so far, as rows of [response headers, response body]. */
static json_t *live_make(const char *text)
{
	AUTO_JSON rows = quoted_json(text);
	json_t *entries = json_array();

	for (size_t i = 0; i < json_array_size(rows); i++)
		(void)json_array_append_new(entries, json_pack("{s:{s:i, s:O, s:O}}", "response", "status", 200, "headers",
							       json_array_get(json_array_get(rows, i), 0), "body",
							       json_array_get(json_array_get(rows, i), 1)));
	return entries;
}

static void live_values_take_the_place_of_recorded_ones(void **state)
{
	static const struct {
		const char *name;
		const char *session;
		const char *live;
		const char *url;    /* of the last request, as sent */
		const char *header; /* its first header's value, or NULL */
		const char *body;
	} rows[] = {
		{"token in a header",
		 "[['POST', 'http://h/login', [], '', [], '{\\'token\\': \\'recorded-token-1\\'}'],"
		 " ['GET', 'http://h/me', [['Authorization', 'Bearer recorded-token-1']], '', [], '']]",
		 "[[[], '{\\'token\\': \\'live-token-99\\'}']]", "/me", "Bearer live-token-99", ""},
		{"cookie, however short",
		 "[['POST', 'http://h/login', [], '', [['Set-Cookie', 'sid=abc; Path=/']], '{}'],"
		 " ['GET', 'http://h/me', [['Cookie', 'a=1; sid=abc']], '', [], '']]",
		 "[[[['Set-Cookie', 'sid=xyz; Path=/']], '{}']]", "/me", "a=1; sid=xyz", ""},
		{"token in a page",
		 "[['GET', 'http://h/form', [], '', [], '<input name=csrf value=0123456789abcdef>'],"
		 " ['POST', 'http://h/form', [], 'csrf=0123456789abcdef', [], '']]",
		 "[[[], '<input name=csrf value=fedcba9876543210>']]", "/form", NULL, "csrf=fedcba9876543210"},
		{"id of what was made, in a path",
		 "[['POST', 'http://h/orders', [], '', [], '{\\'id\\': 17}'], ['GET', 'http://h/orders/17/lines', [], '', [], '']]",
		 "[[[], '{\\'id\\': 18}']]", "/orders/18/lines", NULL, ""},
		{"id of what was only listed",
		 "[['GET', 'http://h/products', [], '', [], '[{\\'id\\': 17}]'], ['GET', 'http://h/products/17', [], '', [], '']]",
		 "[[[], '[{\\'id\\': 3}]']]", "/products/17", NULL, ""},
		{"value that is still given",
		 "[['GET', 'http://h/list', [], '', [], '[\\'walnut-table-01\\', \\'birch-chair-02\\']'], "
		 "['GET', 'http://h/p/walnut-table-01', [], '', [], '']]",
		 "[[[], '[\\'birch-chair-02\\', \\'walnut-table-01\\']']]", "/p/walnut-table-01", NULL, ""},
		{"value in a query, encoded",
		 "[['GET', 'http://h/a', [], '', [], '{\\'c\\': \\'next=page+two/3\\'}'], "
		 "['GET', 'http://h/b?cursor=next%3Dpage%2Btwo%2F3', [], '', [], '']]",
		 "[[[], '{\\'c\\': \\'next=page+six/9\\'}']]", "/b?cursor=next%3Dpage%2Bsix%2F9", NULL, ""},
		{"value in a body",
		 "[['GET', 'http://h/a', [], '', [], '{\\'k\\': {\\'v\\': \\'idem-0123456789\\'}}'], "
		 "['POST', 'http://h/b', [], '{\\'key\\': \\'idem-0123456789\\'}', [], '']]",
		 "[[[], '{\\'k\\': {\\'v\\': \\'idem-9876543210\\'}}']]", "/b", NULL, "{\"key\": \"idem-9876543210\"}"},
		{"claim of a token, in a path", /* {"sub": "user-000000042"}, then {"sub": "user-000000777"} */
		 "[['POST', 'http://h/login', [], '', [], '{\\'jwt\\': \\'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1c2VyLTAwMDAwMDA0MiJ9.c2lnbmF0dXJlLW9uZS1hYmM\\'}'],"
		 " ['GET', 'http://h/users/user-000000042', [['Authorization', 'Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1c2VyLTAwMDAwMDA0MiJ9.c2lnbmF0dXJlLW9uZS1hYmM']], '', [], '']]",
		 "[[[], '{\\'jwt\\': \\'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1c2VyLTAwMDAwMDc3NyJ9.c2lnbmF0dXJlLXR3by1hYmM\\'}']]",
		 "/users/user-000000777", "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1c2VyLTAwMDAwMDc3NyJ9.c2lnbmF0dXJlLXR3by1hYmM",
		 ""},
		{"number that a token claims, in a path", /* {"sub":42} in a cookie, then {"sub":7} */
		 "[['POST', 'http://h/login', [], '', [['Set-Cookie', 't=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOjQyfQ.c2lnbmF0dXJlLW9uZS1hYmM; Path=/']], '{}'],"
		 " ['GET', 'http://h/users/42/orders', [], '', [], '']]",
		 "[[[['Set-Cookie', 't=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOjd9.c2lnbmF0dXJlLXR3by1hYmM; Path=/']], '{}']]",
		 "/users/7/orders", NULL, ""},
		{"value in base64 that the client made", /* user:recorded-token-1, then user:live-token-99 */
		 "[['POST', 'http://h/login', [], '', [], '{\\'token\\': \\'recorded-token-1\\'}'],"
		 " ['GET', 'http://h/me', [['Authorization', 'Basic dXNlcjpyZWNvcmRlZC10b2tlbi0x']], '', [], '']]",
		 "[[[], '{\\'token\\': \\'live-token-99\\'}']]", "/me", "Basic dXNlcjpsaXZlLXRva2VuLTk5", ""},
		{"field of a cursor in base64, in a body", /* {"after":"recorded-row-0001"}, then {"after":"live-row-00000002"} */
		 "[['GET', 'http://h/list', [], '', [], '{\\'next\\': \\'eyJhZnRlciI6InJlY29yZGVkLXJvdy0wMDAxIn0=\\'}'],"
		 " ['POST', 'http://h/rows', [], '{\\'row\\': \\'recorded-row-0001\\'}', [], '']]",
		 "[[[], '{\\'next\\': \\'eyJhZnRlciI6ImxpdmUtcm93LTAwMDAwMDAyIn0=\\'}']]", "/rows", NULL,
		 "{\"row\": \"live-row-00000002\"}"},
		{"id of what was made, in a JSON body",
		 "[['POST', 'http://h/orders', [], '', [], '{\\'id\\': 17}'],"
		 " ['POST', 'http://h/payments', [], '{\\'order_id\\':17,\\'item_id\\':17,\\'id\\':17}', [], '']]",
		 "[[[], '{\\'id\\': 18}']]", "/payments", NULL, "{\"order_id\":18,\"item_id\":17,\"id\":17}"},
		{"keys that are nothing but the mark of an id",
		 "[['POST', 'http://h/orders', [], '', [], '{\\'id\\': 17, \\'_id\\': 23}'],"
		 " ['POST', 'http://h/payments', [], '{\\'Id\\':17,\\'id\\':17,\\'_id\\':17,\\'\\':17,\\'d\\':17,\\'order_Id\\':17}', [], '']]",
		 "[[[], '{\\'id\\': 18, \\'_id\\': 24}']]", "/payments", NULL,
		 "{\"Id\":17,\"id\":17,\"_id\":17,\"\":17,\"d\":17,\"order_Id\":18}"},
		{"id of what was made, in a form",
		 "[['POST', 'http://h/orders', [], '', [], '{\\'id\\': 17}'],"
		 " ['POST', 'http://h/payments', [['Content-Type', 'application/x-www-form-urlencoded']], 'order_id=17&amount=17', [], '']]",
		 "[[[], '{\\'id\\': 18}']]", "/payments", NULL, "order_id=18&amount=17"},
		{"token that was hidden",
		 "[['POST', 'http://h/login', [], '{\\'password\\': \\'hidden-0123456789abcdef01234567\\'}', [], '{\\'token\\': \\'hidden-89abcdef0123456789abcdef\\'}'],"
		 " ['GET', 'http://h/me', [['Authorization', 'Bearer hidden-89abcdef0123456789abcdef']], '', [], '']]",
		 "[[[], '{\\'token\\': \\'live-token-99\\'}']]", "/me", "Bearer live-token-99", ""},
		{"what the client invented",
		 "[['GET', 'http://h/a', [], '', [], '{}'], ['POST', 'http://h/b', [['Idempotency-Key', 'client-made-0001']], '', [], '']]",
		 "[[[], '{}']]", "/b", "client-made-0001", ""},
		{"no live answer",
		 "[['POST', 'http://h/login', [], '', [], '{\\'token\\': \\'recorded-token-1\\'}'],"
		 " ['GET', 'http://h/me', [['Authorization', 'Bearer recorded-token-1']], '', [], '']]",
		 "[]", "/me", "Bearer recorded-token-1", ""},
		{"hop headers and hosts",
		 "[['GET', 'http://h/a', [['Host', 'h'], ['Accept-Encoding', 'gzip'], ['X-Keep', 'me']], '', [], '']]", "[]", "/a",
		 "me", ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct replay *replay;
		AUTO_JSON live = NULL;
		AUTO_JSON request = NULL;
		AUTO_BUF session_json = buf_new(65536);
		AUTO_BUF live_json = buf_new(65536);

		/* \' inside a text is an escaped quote. */
		for (const char *c = rows[i].session; *c; c++)
			buf_add(&session_json, *c == '\\' ? "\\\"" : c, *c == '\\' ? 2 : 1), c += *c == '\\';
		for (const char *c = rows[i].live; *c; c++)
			buf_add(&live_json, *c == '\\' ? "\\\"" : c, *c == '\\' ? 2 : 1), c += *c == '\\';
		replay = replay_make(session_json.at);
		live = live_make(live_json.at);
		request = replay_request(replay, replay_count(replay) - 1, live);
		if (strcmp(json_text(request, "url", ""), rows[i].url) != 0)
			fail_msg("%s: url is %s", rows[i].name, json_text(request, "url", ""));
		if (rows[i].header)
			assert_string_equal(
				json_string_value(json_array_get(json_array_get(json_member(request, "headers"), 0), 1)),
				rows[i].header);
		assert_string_equal(json_text(request, "body", "?"), rows[i].body);
		replay_free(replay);
	}
}

static void secrets_that_no_answer_gives_are_told(void **state)
{
	static const struct {
		const char *name;
		const char *session;
		size_t missing;
	} rows[] = {
		{"none", "[['GET', 'http://h/a', [['Authorization', 'Bearer client-made-0001']], '', [], '']]", 0},
		{"in a header, twice",
		 "[['GET', 'http://h/a', [['Authorization', 'Bearer hidden-89abcdef0123456789abcdef']], '', [], ''],"
		 " ['GET', 'http://h/b?k=hidden-89abcdef0123456789abcdef', [], '', [], '']]",
		 1},
		{"of an answer",
		 "[['POST', 'http://h/login', [], 'password=hidden-0123456789abcdef01234567', [], 'is hidden-89abcdef0123456789abcdef'],"
		 " ['GET', 'http://h/a', [['Authorization', 'Bearer hidden-89abcdef0123456789abcdef']], '', [], '']]",
		 1},
		{"of Basic", /* ada:hidden-89abcdef0123456789abcdef */
		 "[['GET', 'http://h/a', [['Authorization', 'Basic YWRhOmhpZGRlbi04OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=']], '', [], '']]",
		 1},
		{"of Basic, of an answer",
		 "[['POST', 'http://h/keys', [], '', [], 'is hidden-89abcdef0123456789abcdef'],"
		 " ['GET', 'http://h/a', [['Authorization', 'Basic YWRhOmhpZGRlbi04OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=']], '', [], '']]",
		 0},
		{"a token without its signature",
		 "[['GET', 'http://h/a', [['Authorization', 'Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOjQyfQ.hidden-89abcdef0123456789abcdef']], '', [], '']]",
		 1},
		{"a token without its signature, of an answer",
		 "[['POST', 'http://h/login', [], '', [], 'is eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOjQyfQ.hidden-89abcdef0123456789abcdef'],"
		 " ['GET', 'http://h/a', [['Authorization', 'Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOjQyfQ.hidden-89abcdef0123456789abcdef']], '', [], '']]",
		 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct replay *replay = replay_make(rows[i].session);
		AUTO_JSON hidden = replay_hidden(replay);

		if (json_array_size(hidden) != rows[i].missing)
			fail_msg("%s: %zu are missing", rows[i].name, json_array_size(hidden));
		replay_free(replay);
	}
}

static void streams_and_upgrades_are_left_out_and_told(void **state)
{
	struct replay *replay = replay_make("[['GET', 'http://h/events', [], '', [['content-type', 'text/event-stream']], ''],"
					    " ['GET', 'http://h/a', [], '', [], '']]");

	(void)state;
	assert_int_equal(replay_count(replay), 1);
	assert_int_equal(json_array_size(replay_left_out(replay)), 1);
	replay_free(replay);
}

static void a_host_that_does_not_answer_is_an_entry_with_an_error(void **state)
{
	struct replay *replay = replay_make("[['GET', 'http://h/a', [], '', [], '']]");
	AUTO_JSON live = json_array();
	AUTO_JSON request = replay_request(replay, 0, live);
	AUTO_JSON entry = replay_send(replay, 0, request, &(struct replay_target){"http://e0.localhost:1/", 2000});

	(void)state;
	assert_true(json_is_null(json_member(entry, "response")));
	assert_non_null(json_text(entry, "error", NULL));
	assert_string_equal(json_text(entry, "session", ""), "test.har");
	replay_free(replay);
}

static void a_request_is_told_as_commands_that_come_to_it(void **state)
{
	struct replay *replay = replay_make(
		"[['POST', 'http://h/login', [['Content-Type', 'a/b']], 'n=1', [], '{\\\"token\\\": \\\"recorded-token-1\\\"}'],"
		" ['GET', 'http://h/list', [], '', [], ''],"
		" ['GET', 'http://h/me?q=it is', [['Authorization', 'Bearer recorded-token-1']], '', [], '']]");
	AUTO_BUF whole = buf_new(65536);
	AUTO_BUF alone = buf_new(65536);

	(void)state;
	replay_script(replay, 2, "front", false, &whole);
	assert_string_equal(whole.at, "v0=$(assay-env http POST 'http://front/login' -H 'Content-Type: a/b' -d 'n=1' | "
				      "sed -n 's/.*\"token\": *\"\\([^\"]*\\)\".*/\\1/p'); "
				      "assay-env http GET 'http://front/me?q=it is' -H 'Authorization: Bearer '\"$v0\"");
	replay_script(replay, 2, "front", true, &alone);
	assert_string_equal(alone.at, "assay-env http GET 'http://front/me?q=it is' -H 'Authorization: Bearer recorded-token-1'");
	replay_free(replay);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(live_values_take_the_place_of_recorded_ones),
		cmocka_unit_test(secrets_that_no_answer_gives_are_told),
		cmocka_unit_test(streams_and_upgrades_are_left_out_and_told),
		cmocka_unit_test(a_request_is_told_as_commands_that_come_to_it),
		cmocka_unit_test(a_host_that_does_not_answer_is_an_entry_with_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
