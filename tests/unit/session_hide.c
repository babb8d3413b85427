/* Secrets of a session: found by their place, replaced wherever they stand, the same by the same, and put back by who has them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/file.h"
#include "base/scope.h"
#include "session/values.h"

static const struct hide_key key = {{1, 2, 3}};
static const struct hide_key other_key = {{4, 5, 6}};

#define JWT_HEADER "eyJhbGciOiJIUzI1NiJ9"
#define JWT_CLAIMS "eyJzdWIiOiJ1c2VyLTAwMDAwMDA0MiJ9"
#define JWT JWT_HEADER "." JWT_CLAIMS ".dBjftJeZ4CVPmB92K27uhbUJU1p1r"

struct made {
	const char *url;
	const char *header[2];
	const char *body;
	const char *answer;
	const char *set_cookie;
};

static void session_make(struct session *session, const struct made *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct exchange exchange = {.status = 200, .seq = i + 1};

		exchange.method = text_copy("POST");
		exchange.url = text_copy(rows[i].url);
		if (rows[i].header[0])
			exchange_header_add(&exchange.request_headers, view_of(rows[i].header[0]), view_of(rows[i].header[1]));
		if (rows[i].body && strchr(rows[i].body, '=') && rows[i].body[0] != '{')
			exchange_header_add(&exchange.request_headers, VIEW("Content-Type"),
					    VIEW("application/x-www-form-urlencoded"));
		if (rows[i].set_cookie)
			exchange_header_add(&exchange.response_headers, VIEW("Set-Cookie"), view_of(rows[i].set_cookie));
		exchange_body_add(&exchange.request_body, view_of(rows[i].body ? rows[i].body : ""));
		exchange_body_add(&exchange.response_body, view_of(rows[i].answer ? rows[i].answer : ""));
		session_add(session, &exchange);
	}
}

static char *har_of(const struct session *session)
{
	AUTO_BUF text = buf_new((size_t)1 << 20);

	har_format(&text, session);
	return buf_take(&text);
}

static void no_secret_stays_in_any_place(void **state)
{
	static const struct made rows[] = {
		{"http://user:url-secret-1@h/login?api_key=query%2Dsecret%2D2",
		 {NULL},
		 "user=ada&password=form-secret-3",
		 "{\"token\": \"json-secret-4\"}",
		 "sid=cookie-secret-5; Path=/; HttpOnly"},
		{"http://h/a/json-secret-4?next=%2Fx%3Ft%3Djson-secret-4",
		 {"Authorization", "Bearer json-secret-4"},
		 "{\"a\": \"see json-secret-4\"}",
		 NULL,
		 NULL},
		{"http://h/b",
		 {"Authorization", "Basic YWRhOmJhc2ljLXNlY3JldC02"},
		 "{\"card_number\": 4111111111111111, \"pin\": \"1234\", \"user\": \"1234\"}",
		 NULL,
		 NULL},
		{"http://h/c",
		 {"Cookie", "lang=en; sid=cookie-secret-5"},
		 NULL,
		 "{\"echo\": \"eyJhIjoiY29va2llLXNlY3JldC01In0=\"}",
		 NULL},
		{"http://h/d", {"X-Api-Key", "header-secret-7"}, NULL, "<a href='/x?k=header-secret-7'>", NULL},
		{"http://h/e", {"X-Note", "token " JWT}, NULL, "{\"jwt\": \"" JWT "\", \"token_type\": \"Bearer\"}", NULL},
	};
	AUTO_SESSION session = {0};
	AUTO_JSON values = NULL;
	AUTO_FREE char *text = NULL;

	(void)state;
	session_make(&session, rows, ARRAY_LEN(rows));
	values = session_hide(&session, &key, NULL);
	text = har_of(&session);
	assert_null(strstr(text, "-secret-"));
	assert_null(strstr(text, "query%2D"));
	assert_null(strstr(text, "4111111111111111"));
	assert_null(strstr(text, "YmFzaWMtc2VjcmV0LTY"));
	assert_null(strstr(text, "Y29va2llLXNlY3JldC01"));
	assert_null(strstr(text, "dBjftJeZ4CVPmB92K27uhbUJU1p1r"));
	assert_null(strstr(text, "\\\"pin\\\":\\\"1234"));
	assert_non_null(strstr(text, "\\\"user\\\":\\\"1234")); /* a short one only where it was */
	assert_non_null(strstr(text, "lang=en"));
	assert_non_null(strstr(text, "user=ada"));
	assert_non_null(strstr(text, "token_type"));
	assert_non_null(strstr(text, "Bearer"));
	assert_non_null(strstr(text, JWT_HEADER "." JWT_CLAIMS ".")); /* claims are for those who correlate */
}

static void secrets_in_lists_and_far_down_are_hidden(void **state)
{
	static const struct made rows[] = {
		{"http://h/a",
		 {NULL},
		 "{\"api_keys\": [\"listed-secret-1\", [\"listed-secret-2\"], {\"note\": \"stays-as-it-is\"}, \"listed-secret-3\", 7],"
		 " \"cvv\": [4711], \"names\": [\"ada-and-others\", 4712]}",
		 "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[{\"token\": \"deep-secret-4\"}"
		 "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
		 NULL},
	};
	AUTO_SESSION session = {0};
	AUTO_JSON values = NULL;
	AUTO_FREE char *text = NULL;

	(void)state;
	session_make(&session, rows, ARRAY_LEN(rows));
	values = session_hide(&session, &key, NULL);
	text = har_of(&session);
	assert_null(strstr(text, "-secret-"));
	assert_null(strstr(text, "4711"));
	assert_non_null(strstr(text, "stays-as-it-is"));
	assert_non_null(strstr(text, "ada-and-others"));
	assert_non_null(strstr(text, ",7]"));
	assert_non_null(strstr(text, "4712"));
	assert_int_equal(json_object_size(values), 4);
}

static void who_signs_in_by_a_name_alone_has_it_hidden(void **state)
{
	static const struct {
		const char *sent;
		const char *plain; /* what is left, decoded; "?": a placeholder */
	} rows[] = {
		{"sk_live_0123456789:", "?:"},
		{"ghp_0123456789:x-oauth-basic", "?:x-oauth-basic"},
		{"token-with-no-password", "?"},
		{"ada:walnut-wood", "ada:?"},
		{"x-access-token:walnut-wood", "x-access-token:?"},
		{"ada:a:b", "ada:?"},
		{":", ":"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_BUF header = buf_new(4096);
		AUTO_BUF plain = buf_new(4096);
		AUTO_BUF shown = buf_new(4096);
		AUTO_BUF back = buf_new(4096);
		AUTO_SESSION session = {0};
		AUTO_JSON values = NULL;
		AUTO_JSON again = NULL;
		AUTO_FREE char *once = NULL;
		struct made made = {"http://h/a", {"Authorization", NULL}, NULL, NULL, NULL};
		struct view rest;
		struct view found;

		buf_add_text(&header, "Basic ");
		buf_add_base64(&header, rows[i].sent, strlen(rows[i].sent));
		made.header[1] = header.at;
		session_make(&session, &made, 1);
		values = session_hide(&session, &key, NULL);
		once = text_copy(exchange_header(&session.at[0].request_headers, "authorization"));
		assert_int_equal(buf_add_unbase64(&plain, view_of(once + strlen("Basic ")), NULL), 0);
		rest = buf_view(&plain);
		if (hide_next(&rest, &found))
			buf_add_format(&shown, "%.*s?%.*s", (int)(found.at - plain.at), plain.at, (int)rest.length, rest.at);
		else
			buf_add_view(&shown, buf_view(&plain));
		assert_string_equal(shown.at, rows[i].plain);
		(void)hide_undo(&back, view_of(once), values, NULL);
		assert_string_equal(back.at, header.at);
		again = session_hide(&session, &key, NULL);
		assert_string_equal(exchange_header(&session.at[0].request_headers, "authorization"), once);
		assert_int_equal(json_object_size(again), 0);
	}
}

static void a_body_that_is_nearly_json_keeps_no_secret(void **state)
{
	static const struct {
		const char *name;
		const char *body;
		const char *left; /* "?": a placeholder */
	} rows[] = {
		{"cut behind it", "{\"password\": \"walnut-wood\", \"list\": [1, 2", "{\"password\": \"?\", \"list\": [1, 2"},
		{"cut within it", "{\"a\": \"b\", \"token\": \"walnut-wo", "{\"a\": \"b\", \"token\": \""},
		{"cut within an escape", "[{\"token\" : \"walnut\\", "[{\"token\" : \""},
		{"cut before it", "{\"a\": \"b\", \"token\":", "{\"a\": \"b\", \"token\":"},
		{"cut in a name", "{\"a\": \"b\", \"tok", "{\"a\": \"b\", \"tok"},
		{"another cut in two", "{\"note\": \"walnut-wo", "{\"note\": \"walnut-wo"},
		{"a name twice", "{\"secret\":\"walnut-wood\",\"a\":1,\"a\":2}", "{\"secret\":\"?\",\"a\":1,\"a\":2}"},
		{"lines", "{\"n\":1}\n{\"token\":\"walnut-wood\"}\n{\"n\":\"token\"}\n",
		 "{\"n\":1}\n{\"token\":\"?\"}\n{\"n\":\"token\"}\n"},
		{"a list", "{\"tokens\": [1, [\"walnut-wood\"], true,\n\"birch-wood\"], \"n\": [\"oak-wood-chair\"",
		 "{\"tokens\": [1, [\"?\"], true,\n\"?\"], \"n\": [\"oak-wood-chair\""},
		{"numbers", "{\"pin\": 4711, \"cvv\": -1.5, \"n\": 4712, \"cut\": [",
		 "{\"pin\": #, \"cvv\": -1.5, \"n\": 4712, \"cut\": ["},
		{"an escape", "{\"password\": \"a\\\"walnut\", \"n\": \"a\\\"b\"", "{\"password\": \"?\", \"n\": \"a\\\"b\""},
		{"no UTF-8", "{\"password\": \"walnut\xff\"}", "{\"password\": \"?\"}"},
		{"what is said of a secret", "{\"token_type\": \"Bearer\", \"password\": \"\", \"token\": null, \"cut",
		 "{\"token_type\": \"Bearer\", \"password\": \"\", \"token\": null, \"cut"},
		{"words", "{\"a\": \"the token, and \\\"token\\\": here\", \"password\", \"b\": \"oak\"",
		 "{\"a\": \"the token, and \\\"token\\\": here\", \"password\", \"b\": \"oak\""},
		{"no JSON", "[12:00] \"password\": walnut", "[12:00] \"password\": walnut"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_BUF shown = buf_new(4096);
		AUTO_SESSION session = {0};
		AUTO_JSON values = NULL;
		AUTO_JSON again = NULL;
		AUTO_FREE char *once = NULL;
		struct made made = {"http://h/a", {NULL}, NULL, rows[i].body, NULL};
		struct view rest;
		struct view found;
		const char *from;
		const char *number = strchr(rows[i].left, '#');

		session_make(&session, &made, 1);
		values = session_hide(&session, &key, NULL);
		once = view_copy(view_make(session.at[0].response_body.at, session.at[0].response_body.length));
		rest = view_of(once);
		for (from = once; hide_next(&rest, &found); from = rest.at)
			buf_add_format(&shown, "%.*s?", (int)(found.at - from), from);
		buf_add_text(&shown, from);
		if (number) {
			assert_null(strstr(once, "4711"));
			for (size_t at = 0; at < 4; at++)
				assert_true(once[number - rows[i].left + (ptrdiff_t)at] >= '0' &&
					    once[number - rows[i].left + (ptrdiff_t)at] <= '9');
		} else if (strcmp(shown.at, rows[i].left) != 0) {
			fail_msg("%s: left is %s", rows[i].name, shown.at);
		}
		if (number)
			continue; /* of digits only: a number is not told from what stands for it */
		again = session_hide(&session, &key, NULL);
		assert_string_equal(session.at[0].response_body.at, once);
		assert_int_equal(json_object_size(again), 0);
	}
}

static void the_same_secret_has_the_same_placeholder_and_another_key_another(void **state)
{
	static const struct made rows[] = {{"http://h/a", {"Authorization", "Bearer token-number-one"}, NULL, NULL, NULL},
					   {"http://h/b?x=token-number-one", {NULL}, NULL, NULL, NULL}};
	AUTO_SESSION session = {0};
	AUTO_SESSION other = {0};
	AUTO_JSON values = NULL;
	AUTO_JSON other_values = NULL;
	const char *first;

	(void)state;
	session_make(&session, rows, 2);
	session_make(&other, rows, 2);
	values = session_hide(&session, &key, NULL);
	other_values = session_hide(&other, &other_key, NULL);
	first = exchange_header(&session.at[0].request_headers, "authorization");
	assert_int_equal(strlen(first), strlen("Bearer ") + HIDE_PLACEHOLDER_BYTES);
	assert_string_equal(strstr(session.at[1].url, HIDE_PREFIX), first + strlen("Bearer "));
	assert_string_not_equal(first, exchange_header(&other.at[0].request_headers, "authorization"));
	assert_string_equal(json_text(values, first + strlen("Bearer "), ""), "token-number-one");
}

static void what_is_to_be_kept_stays(void **state)
{
	static const struct made rows[] = {{"http://h/a",
					    {"X-Api-Key", "demo-key-for-all"},
					    "{\"password\": \"walnut\", \"secret\": \"hazelnut\"}",
					    NULL,
					    NULL}};
	AUTO_JSON keep = json_pack("[s, s]", "password", "x-api-key");
	AUTO_SESSION session = {0};
	AUTO_JSON values = NULL;

	(void)state;
	session_make(&session, rows, 1);
	values = session_hide(&session, &key, keep);
	assert_int_equal(json_object_size(values), 1);
	assert_non_null(strstr(session.at[0].request_body.at, "walnut"));
	assert_null(strstr(session.at[0].request_body.at, "hazelnut"));
	assert_string_equal(exchange_header(&session.at[0].request_headers, "x-api-key"), "demo-key-for-all");
}

static void hidden_twice_is_hidden_once(void **state)
{
	static const struct made rows[] = {{"http://h/a?token=a-token-of-mine",
					    {"Authorization", "Bearer a-token-of-mine"},
					    "{\"password\": \"walnut\"}",
					    NULL,
					    NULL}};
	AUTO_SESSION session = {0};
	AUTO_JSON values = NULL;
	AUTO_JSON again = NULL;
	AUTO_FREE char *once = NULL;
	AUTO_FREE char *twice = NULL;

	(void)state;
	session_make(&session, rows, 1);
	values = session_hide(&session, &key, NULL);
	once = har_of(&session);
	again = session_hide(&session, &key, NULL);
	twice = har_of(&session);
	assert_string_equal(once, twice);
	assert_int_equal(json_object_size(again), 0);
}

static void placeholders_are_put_back_by_who_has_the_values(void **state)
{
	static const struct made rows[] = {
		{"http://h/a", {"Authorization", "Basic YWRhOndhbG51dC13b29k"}, "user=ada&password=walnut%2Dwood", NULL, NULL}};
	AUTO_SESSION session = {0};
	AUTO_JSON values = NULL;
	AUTO_BUF body = buf_new(4096);
	AUTO_BUF header = buf_new(4096);
	AUTO_BUF none = buf_new(4096);
	AUTO_JSON nothing = json_object();
	size_t unknown = 0;

	(void)state;
	session_make(&session, rows, 1);
	values = session_hide(&session, &key, NULL);
	assert_int_equal(hide_undo(&body, view_of(session.at[0].request_body.at), values, &unknown), 1);
	assert_string_equal(body.at, "user=ada&password=walnut-wood");
	assert_int_equal(unknown, 0);
	assert_int_equal(
		hide_undo(&header, view_of(exchange_header(&session.at[0].request_headers, "authorization")), values, NULL), 1);
	assert_string_equal(header.at, "Basic YWRhOndhbG51dC13b29k");
	assert_int_equal(hide_undo(&none, view_of(session.at[0].request_body.at), nothing, &unknown), 1);
	assert_int_equal(unknown, 1);
	assert_string_equal(none.at, session.at[0].request_body.at);
}

static void a_token_gets_its_signature_back(void **state)
{
	static const struct made rows[] = {{"http://h/a", {"Authorization", "Bearer " JWT}, NULL, NULL, NULL},
					   {"http://h/b", {NULL}, NULL, "{\"see\": \"" JWT "\"}", NULL}};
	AUTO_SESSION session = {0};
	AUTO_JSON values = NULL;
	AUTO_JSON again = NULL;
	AUTO_BUF header = buf_new(4096);
	AUTO_FREE char *once = NULL;
	AUTO_FREE char *twice = NULL;
	const char *hidden;

	(void)state;
	session_make(&session, rows, 2);
	values = session_hide(&session, &key, NULL);
	hidden = exchange_header(&session.at[0].request_headers, "authorization");
	assert_int_equal(strncmp(hidden, "Bearer " JWT_HEADER "." JWT_CLAIMS "." HIDE_PREFIX,
				 strlen("Bearer " JWT_HEADER "." JWT_CLAIMS "." HIDE_PREFIX)),
			 0);
	assert_non_null(strstr(session.at[1].response_body.at, hidden + strlen("Bearer ")));
	assert_int_equal(hide_undo(&header, view_of(hidden), values, NULL), 1);
	assert_string_equal(header.at, "Bearer " JWT);
	once = har_of(&session);
	again = session_hide(&session, &key, NULL);
	twice = har_of(&session);
	assert_string_equal(once, twice);
	assert_int_equal(json_object_size(again), 0);
}

static void values_are_sealed_and_only_their_key_opens_them(void **state)
{
	char dir[] = "/tmp/assay-values-XXXXXX";
	AUTO_JSON values = json_pack("{s:s}", "hidden-000000000000000000000001", "walnut-wood");
	AUTO_JSON more = json_pack("{s:s}", "hidden-000000000000000000000002", "birch");
	AUTO_FREE char *path = NULL;
	AUTO_BUF file = buf_new(65536);
	AUTO_JSON read = NULL;
	struct err err = {0};

	(void)state;
	assert_non_null(mkdtemp(dir));
	path = text_format("%s/sessions/values.sealed", dir);
	assert_false(values_exist(dir));
	if (values_add(dir, &key, values, &err) || values_add(dir, &key, more, &err))
		fail_msg("%s", err.text);
	read = values_read(dir, &key, &err);
	assert_int_equal(json_object_size(read), 2);
	assert_string_equal(json_text(read, "hidden-000000000000000000000001", ""), "walnut-wood");
	assert_null(values_read(dir, &other_key, &err));
	assert_int_equal(err.kind, ERR_BROKEN);
	assert_int_equal(file_read(path, &file, &err), 0);
	assert_true(view_find(buf_view(&file), VIEW("walnut")) < 0);
	file.at[file.length - 1] ^= 1;
	assert_int_equal(file_replace(path, buf_view(&file), 0600, &err), 0);
	assert_null(values_read(dir, &key, &err));
	assert_int_equal(file_remove_tree(dir, &err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_secret_stays_in_any_place),
		cmocka_unit_test(secrets_in_lists_and_far_down_are_hidden),
		cmocka_unit_test(who_signs_in_by_a_name_alone_has_it_hidden),
		cmocka_unit_test(a_body_that_is_nearly_json_keeps_no_secret),
		cmocka_unit_test(the_same_secret_has_the_same_placeholder_and_another_key_another),
		cmocka_unit_test(what_is_to_be_kept_stays),
		cmocka_unit_test(hidden_twice_is_hidden_once),
		cmocka_unit_test(placeholders_are_put_back_by_who_has_the_values),
		cmocka_unit_test(a_token_gets_its_signature_back),
		cmocka_unit_test(values_are_sealed_and_only_their_key_opens_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
