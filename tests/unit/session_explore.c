/* Requests that nobody has asked yet: what is varied, how many, and the same for the same seed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/scope.h"
#include "session/document.h"
#include "session/explore.h"

static const char document[] =
	"openapi: 3.0.3\n"
	"paths:\n"
	"  /orders/{id}:\n"
	"    get:\n"
	"      parameters:\n"
	"        - {name: id, in: path, required: true, schema: {type: integer}}\n"
	"        - {name: q, in: query, schema: {type: string}}\n"
	"      responses: {'200': {description: ok}}\n"
	"  /orders:\n"
	"    post:\n"
	"      requestBody: {content: {application/json: {schema: {type: object, properties: {lines: {type: array, items: {type: "
	"integer}}, paid: {type: boolean}}}}}}\n"
	"      responses: {'201': {description: made}}\n";

static char *explored(const char *yaml, const struct session *seen, uint64_t seed, size_t count, size_t *made)
{
	struct err err = {0};
	AUTO_JSON json = yaml ? document_parse(view_of(yaml), "openapi.yaml", &err) : NULL;
	AUTO_SESSION session = {0};
	AUTO_BUF text = buf_new((size_t)8 << 20);
	struct explore_spec spec = {json, seen, seed, count};

	if (explore_make(&spec, &session, &err))
		fail_msg("%s", err.text);
	*made = session.count;
	for (size_t i = 0; i < session.count; i++) {
		const struct exchange *exchange = &session.at[i];

		buf_add_format(&text, "%s %s %s%.*s\n", exchange->method, exchange->url, exchange->phase ? exchange->phase : "seen",
			       (int)exchange->request_body.length, exchange->request_body.at ? exchange->request_body.at : "");
	}
	return buf_take(&text);
}

static void each_kind_of_value_is_asked(void **state)
{
	/* As it is, then twice. */
	static const char first[] =
		"GET http://app/orders/1?q=text synthesised\nPOST http://app/orders synthesised{\"lines\":[1],\"paid\":true}\n"
		"GET http://app/orders/1?q=text synthesised\nPOST http://app/orders synthesised{\"lines\":[1],\"paid\":true}\n";
	static const char *const wanted[] = {
		"GET http://app/orders/1 synthesised\n",    /* missing */
		"GET http://app/orders/1?q= synthesised\n", /* empty */
		"GET http://app/orders/0?q=text",           /* zero */
		"GET http://app/orders/-1?q=text",          /* boundary */
		"GET http://app/orders/2147483648?q=text",  /* boundary */
		"%E6%97%A5%E6%9C%AC",                       /* unicode */
		"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", /* long */
		"{\"lines\":[],\"paid\":true}",             /* empty list */
		"{\"lines\":[1,1],\"paid\":true}",          /* duplicate */
		"{\"lines\":null,\"paid\":true}",           /* null */
		"{\"paid\":true}",                          /* missing */
		"{\"lines\":[1],\"paid\":false}",
	};
	size_t made;
	AUTO_FREE char *text = explored(document, NULL, 1, 500, &made);

	(void)state;
	assert_true(strncmp(text, first, strlen(first)) == 0);
	for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
		if (!strstr(text, wanted[i]))
			fail_msg("%s is not asked:\n%s", wanted[i], text);
	assert_null(strstr(text, "GET http://app/orders/?")); /* what has no path is another operation */
}

static void the_same_seed_makes_the_same_and_no_more_than_is_asked_for(void **state)
{
	size_t made;
	size_t again;
	size_t other;
	AUTO_FREE char *first = explored(document, NULL, 7, 20, &made);
	AUTO_FREE char *second = explored(document, NULL, 7, 20, &again);
	AUTO_FREE char *third = explored(document, NULL, 8, 20, &other);

	(void)state;
	assert_int_equal(made, 20);
	assert_string_equal(first, second);
	assert_string_not_equal(first, third);
}

static void what_was_seen_goes_first_and_is_varied(void **state)
{
	static const char har[] =
		"{\"log\": {\"version\": \"1.2\", \"entries\": ["
		"{\"startedDateTime\": \"2026-11-21T10:00:01Z\", \"request\": {\"method\": \"POST\", \"url\": \"http://h/login\", \"headers\": [],"
		" \"postData\": {\"mimeType\": \"application/json\", \"text\": \"{\\\"name\\\": \\\"ada\\\"}\"}}, \"response\": {\"status\": 200}},"
		"{\"startedDateTime\": \"2026-11-21T10:00:02Z\", \"request\": {\"method\": \"GET\", \"url\": \"http://h/orders/17/lines?page=2\","
		" \"headers\": [{\"name\": \"Authorization\", \"value\": \"Bearer abc\"}, {\"name\": \"X-Other\", \"value\": \"1\"}]}, \"response\": {\"status\": 200}},"
		"{\"startedDateTime\": \"2026-11-21T10:00:03Z\", \"request\": {\"method\": \"GET\", \"url\": \"http://h/orders/18/lines\", \"headers\": []},"
		" \"response\": {\"status\": 200}}]}}";
	AUTO_SESSION seen = {0};
	struct err err = {0};
	size_t made;
	AUTO_FREE char *text = NULL;

	(void)state;
	assert_int_equal(har_parse(VIEW(har), &seen, &err), 0);
	text = explored(NULL, &seen, 1, 200, &made);
	assert_true(strncmp(text, "POST http://h/login seen{\"name\": \"ada\"}\nGET http://h/orders/17/lines?page=2 seen\n", 40) ==
		    0);
	assert_non_null(strstr(text, "GET http://app/orders/17/lines?page=2 synthesised\n"));
	assert_non_null(strstr(text, "GET http://app/orders/0/lines?page=2 synthesised\n"));
	assert_non_null(strstr(text, "GET http://app/orders/17/lines synthesised\n"));
	assert_non_null(strstr(text, "POST http://app/login synthesised{}\n"));
	assert_null(strstr(text, "orders/18/lines synthesised")); /* the same operation */
}

static void nothing_to_ask_is_said(void **state)
{
	AUTO_SESSION session = {0};
	AUTO_SESSION none = {0};
	struct explore_spec spec = {NULL, &none, 1, 10};
	struct err err = {0};

	(void)state;
	assert_int_equal(explore_make(&spec, &session, &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_kind_of_value_is_asked),
		cmocka_unit_test(the_same_seed_makes_the_same_and_no_more_than_is_asked_for),
		cmocka_unit_test(what_was_seen_goes_first_and_is_varied),
		cmocka_unit_test(nothing_to_ask_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
