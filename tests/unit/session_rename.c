/* A session with other names and amounts: what the client made up is replaced, what answers gave is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/scope.h"
#include "session/rename.h"

struct row {
	const char *url;
	const char *body;
	const char *answer;
	const char *renamed; /* the body as it is then */
};

static void what_the_client_made_up_is_renamed_and_nothing_else(void **state)
{
	static const struct row rows[] = {
		{"http://h/login", "{\"user\":\"Ada Lovelace\",\"password\":\"Walnut Wood\"}", "{\"token\":\"abc\"}",
		 "{\"user\":\"Ada Lovelace\",\"password\":\"Walnut Wood\"}"}, /* signs in as before */
		{"http://h/items", "", "[{\"id\":3,\"title\":\"Birch Chair\",\"limit\":7}]", ""},
		{"http://h/orders",
		 "{\"customer\":\"Grace Hopper\",\"quantity\":2,\"item_id\":3,\"kind\":\"express\",\"currency\":\"EUR\"}",
		 "{\"id\":41}",
		 "{\"customer\":\"QGrace Hopper\",\"quantity\":3,\"item_id\":3,\"kind\":\"express\",\"currency\":\"EUR\"}"},
		{"http://h/notes",
		 "{\"of\":\"Grace Hopper\",\"title\":\"Birch Chair\",\"limit\":7,\"at\":\"2026-01-01\",\"who\":[\"Linus\"]}", "{}",
		 "{\"of\":\"QGrace Hopper\",\"title\":\"Birch Chair\",\"limit\":7,\"at\":\"2026-01-01\",\"who\":[\"QLinus\"]}"},
		{"http://h/people/Barbara", "{\"name\":\"Barbara\",\"count\":0}", "{}",
		 "{\"name\":\"Barbara\",\"count\":0}"}, /* the path asks for her */
		{"http://h/form", "name=Donald+Knuth", "{}", "name=Donald+Knuth"},
	};
	AUTO_SESSION session = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct exchange exchange = {.status = 200, .seq = i + 1};

		exchange.method = text_copy("POST");
		exchange.url = text_copy(rows[i].url);
		exchange_body_add(&exchange.request_body, view_of(rows[i].body));
		exchange_body_add(&exchange.response_body, view_of(rows[i].answer));
		session_add(&session, &exchange);
	}
	assert_int_equal(session_rename(&session), 3);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct exchange_body *body = &session.at[i].request_body;

		if (!view_is(view_make(body->at ? body->at : "", body->length), rows[i].renamed))
			fail_msg("%s: %.*s", rows[i].url, (int)body->length, body->at);
		assert_string_equal(session.at[i].phase, RENAME_PHASE);
	}
}

static void a_session_without_anything_of_the_clients_stays(void **state)
{
	AUTO_SESSION session = {0};
	struct exchange exchange = {.status = 200, .seq = 1};

	(void)state;
	exchange.method = text_copy("GET");
	exchange.url = text_copy("http://h/a");
	session_add(&session, &exchange);
	assert_int_equal(session_rename(&session), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_the_client_made_up_is_renamed_and_nothing_else),
		cmocka_unit_test(a_session_without_anything_of_the_clients_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
