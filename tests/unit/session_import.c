/* What others recorded: each form, what is left out, and what is wrong where. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/scope.h"
#include "session/import.h"

static void import_good(const char *text, enum import_form form, struct import *import)
{
	struct err err = {0};

	if (import_parse(view_of(text), "file", form, import, &err))
		fail_msg("%s", err.text);
}

/* "GET http://app/a 200 [request body] [response body]" a line. */
static char *described(const struct import *import)
{
	AUTO_BUF out = buf_new(65536);

	for (size_t i = 0; i < import->session.count; i++) {
		const struct exchange *exchange = &import->session.at[i];

		buf_add_format(&out, "%s %s %d", exchange->method, exchange->url, exchange->status);
		if (exchange->request_body.length)
			buf_add_format(&out, " <%.*s>", (int)exchange->request_body.length, exchange->request_body.at);
		if (exchange->response_body.length)
			buf_add_format(&out, " >%.*s<", (int)exchange->response_body.length, exchange->response_body.at);
		buf_add_char(&out, '\n');
	}
	buf_add_text(&out, "");
	return buf_take(&out);
}

static const char openapi_yaml[] =
	"openapi: 3.0.3\n"
	"info: {title: Shop, version: '1'}\n"
	"servers: [{url: https://shop.example/api/v1}]\n"
	"paths:\n"
	"  /orders/{id}:\n"
	"    parameters:\n"
	"      - {name: id, in: path, required: true, schema: {type: integer}, example: 17}\n"
	"    get:\n"
	"      parameters:\n"
	"        - {name: expand, in: query, schema: {type: array, items: {type: string}}, example: [lines, payment]}\n"
	"        - {name: page, in: query, schema: {type: integer, default: 1}}\n"
	"      responses: {'200': {description: ok, content: {application/json: {example: {id: 17, paid: true}}}}}\n"
	"    delete: {responses: {'204': {description: gone}}}\n"
	"  /orders:\n"
	"    post:\n"
	"      requestBody:\n"
	"        required: true\n"
	"        content:\n"
	"          application/json:\n"
	"            schema: {$ref: '#/components/schemas/Order'}\n"
	"            examples: {one: {value: {item: 1}}, two: {$ref: '#/components/examples/Two'}}\n"
	"      responses: {'201': {description: made}}\n"
	"    put:\n"
	"      requestBody: {required: true, content: {application/json: {schema: {$ref: '#/components/schemas/Order'}}}}\n"
	"      responses: {'200': {description: ok}}\n"
	"  /users/{name}:\n"
	"    get: {parameters: [{name: name, in: path, required: true, schema: {type: string}}], responses: {'200': {description: ok}}}\n"
	"components:\n"
	"  examples: {Two: {value: {item: 2}}}\n"
	"  schemas:\n"
	"    Order: {type: object, required: [item], properties: {item: {type: integer, example: 5}, note: {type: string}, self: {$ref: "
	"'#/components/schemas/Order'}}}\n";

static void the_examples_of_an_openapi_document_are_requests(void **state)
{
	AUTO_IMPORT import;
	AUTO_FREE char *text = NULL;

	(void)state;
	import_good(openapi_yaml, IMPORT_GUESS, &import);
	text = described(&import);
	assert_string_equal(text,
			    "GET http://app/api/v1/orders/17?expand=lines&expand=payment&page=1 200 >{\"id\":17,\"paid\":true}<\n"
			    "DELETE http://app/api/v1/orders/17 204\n"
			    "POST http://app/api/v1/orders 201 <{\"item\":1}>\n"
			    "POST http://app/api/v1/orders 201 <{\"item\":2}>\n"
			    "PUT http://app/api/v1/orders 200 <{\"item\":5}>\n");
	assert_int_equal(json_array_size(import.left_out), 1);
	assert_string_equal(json_string_value(json_array_get(import.left_out, 0)),
			    "GET /api/v1/users/{name}: no example of `name`");
}

static const char postman[] =
	"{\"info\": {\"name\": \"Shop\", \"schema\": \"https://schema.getpostman.com/json/collection/v2.1.0/collection.json\"},"
	" \"auth\": {\"type\": \"bearer\", \"bearer\": [{\"key\": \"token\", \"value\": \"{{token}}\"}]},"
	" \"variable\": [{\"key\": \"token\", \"value\": \"t-{{suffix}}\"}, {\"key\": \"suffix\", \"value\": \"1\"}, {\"key\": \"loop\", \"value\": \"{{loop}}{{loop}}\"}],"
	" \"item\": [{\"name\": \"Orders\", \"item\": ["
	"   {\"name\": \"make\", \"request\": {\"method\": \"POST\", \"url\": {\"raw\": \"{{base}}/orders?x={{suffix}}\"},"
	"     \"header\": [{\"key\": \"X-A\", \"value\": \"{{suffix}}\"}, {\"key\": \"X-Off\", \"value\": \"1\", \"disabled\": true}],"
	"     \"body\": {\"mode\": \"raw\", \"raw\": \"{\\\"n\\\": {{suffix}}}\"}},"
	"     \"response\": [{\"code\": 201, \"body\": \"made\", \"header\": []}]},"
	"   {\"name\": \"form\", \"request\": {\"method\": \"PUT\", \"auth\": {\"type\": \"basic\", \"basic\": [{\"key\": \"username\", \"value\": \"a\"}, "
	"{\"key\": \"password\", \"value\": \"b\"}]}, \"url\": \"https://h.example:8443/f\", \"body\": {\"mode\": \"urlencoded\", \"urlencoded\": [{\"key\": \"a b\", "
	"\"value\": \"c&d\"}]}}},"
	"   {\"name\": \"lost\", \"request\": \"http://h/{{nobody}}\"},"
	"   {\"name\": \"again and again\", \"request\": \"http://h/{{loop}}\"},"
	"   {\"name\": \"file\", \"request\": {\"method\": \"POST\", \"url\": \"http://h/u\", \"body\": {\"mode\": \"file\"}}}]}]}";

static void a_postman_collection_is_a_session(void **state)
{
	AUTO_IMPORT import;
	AUTO_FREE char *text = NULL;

	(void)state;
	import_good(postman, IMPORT_GUESS, &import);
	text = described(&import);
	assert_string_equal(text, "POST http://app/orders?x=1 201 <{\"n\": 1}> >made<\nPUT http://app/f 0 <a%20b=c%26d>\n");
	assert_string_equal(exchange_header(&import.session.at[0].request_headers, "authorization"), "Bearer t-1");
	assert_string_equal(exchange_header(&import.session.at[0].request_headers, "content-type"), "application/json");
	assert_null(exchange_header(&import.session.at[0].request_headers, "x-off"));
	assert_string_equal(exchange_header(&import.session.at[1].request_headers, "authorization"), "Basic YTpi");
	assert_int_equal(json_array_size(import.left_out), 3);
	assert_string_equal(json_string_value(json_array_get(import.left_out, 0)),
			    "lost: the variable `nobody` has no value in the collection");
}

static void an_access_log_is_a_session(void **state)
{
	static const char log[] =
		"127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] \"GET /items?limit=3 HTTP/1.1\" 200 2326\n"
		"127.0.0.1 - - [10/Oct/2000:13:55:37 -0700] \"GET /items?limit=3 HTTP/1.1\" 200 2326 \"http://a/\" \"agent \\\"x\\\"\"\n"
		"::1 - - [10/Oct/2000:13:55:38 +0000] \"DELETE /items/4 HTTP/2.0\" 204 - \"-\" \"curl\"\r\n"
		"::1 - - [10/Oct/2000:13:55:38 +0000] \"POST /items HTTP/2.0\" 201 5 \"-\" \"curl\"\n"
		"::1 - - [10/Oct/2000:13:55:38 +0000] \"\\x16\\x03\" 400 5 \"-\" \"-\"\n"
		"\n";
	AUTO_IMPORT import;
	AUTO_FREE char *text = NULL;

	(void)state;
	import_good(log, IMPORT_GUESS, &import);
	text = described(&import);
	assert_string_equal(text, "GET http://app/items?limit=3 200\nDELETE http://app/items/4 204\n");
	assert_int_equal(import.session.at[0].t0_ms, 971211336000);
	assert_int_equal(json_array_size(import.left_out), 3);
	assert_string_equal(json_string_value(json_array_get(import.left_out, 0)),
			    "1 lines that are none of an access log; the first is line 5");
}

static void what_is_wrong_is_said_with_its_place(void **state)
{
	static const struct {
		const char *text;
		enum import_form form;
		const char *error;
	} rows[] = {
		{"{\"log\": {\"version\": \"1.2\", \"entries\": [{\"request\": {\"url\": \"http://a/\"}}]}}", IMPORT_GUESS,
		 "entry 1: request"},
		{"{\"log\": {\"version\": \"1.2\",\n \"entries\": [{]}}", IMPORT_GUESS, "line 2, column"},
		{"{\"log\": {\"version\": \"1.2\", \"entries\": 3}}", IMPORT_GUESS, "`log.entries` must be a list"},
		{"{\"a\": 1}", IMPORT_GUESS, "neither a HAR file"},
		{"openapi: 3.0.0\npaths:\n  /a: [\n", IMPORT_OPENAPI, "file:"},
		{"openapi: 2.0\npaths: {}\n", IMPORT_OPENAPI, "no OpenAPI 3 document"},
		{"{\"info\": {\"schema\": \"https://x/collection/v1.0.0/\"}, \"item\": []}", IMPORT_POSTMAN, "another version"},
		{"{\"info\": {}, \"item\": [{\"name\": \"x\"}]}", IMPORT_GUESS, "item 1 (x): neither"},
		{"a - - [10/Oct/2000:13:55:36 -0700] \"GET items HTTP/1.1\" 200 5\n", IMPORT_GUESS,
		 "line 1: no line of an access log"},
		{"\n\nhello\n", IMPORT_LOG, "line 3: no line of an access log"},
		{"", IMPORT_GUESS, "neither a HAR file"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct import import;
		struct err err = {0};

		if (import_parse(view_of(rows[i].text), "file", rows[i].form, &import, &err) == 0)
			fail_msg("row %zu is taken", i);
		if (!strstr(err.text, rows[i].error) || strncmp(err.text, "file", 4) != 0)
			fail_msg("row %zu: %s", i, err.text);
	}
}

static void a_file_that_is_too_large_is_refused_before_it_is_parsed(void **state)
{
	struct import import;
	struct err err = {0};

	(void)state;
	assert_int_equal(import_parse(view_make("", IMPORT_BYTES_MAX + 1), "big.har", IMPORT_HAR, &import, &err), -1);
	assert_int_equal(err.kind, ERR_LIMIT);
	assert_string_equal(err.text, "big.har: more than 64 MiB: take a part of it");
}

static void more_requests_than_a_session_has_are_left_out_and_told(void **state)
{
	AUTO_BUF log = buf_new((size_t)8 << 20);
	AUTO_IMPORT import;

	(void)state;
	for (int i = 0; i < HAR_ENTRIES_MAX + 5; i++)
		buf_add_format(&log, "h - - [10/Oct/2000:13:55:36 +0000] \"GET /items/%d HTTP/1.1\" 200 2\n", i);
	import_good(log.at, IMPORT_LOG, &import);
	assert_int_equal(import.session.count, HAR_ENTRIES_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_examples_of_an_openapi_document_are_requests),
		cmocka_unit_test(a_postman_collection_is_a_session),
		cmocka_unit_test(an_access_log_is_a_session),
		cmocka_unit_test(what_is_wrong_is_said_with_its_place),
		cmocka_unit_test(a_file_that_is_too_large_is_refused_before_it_is_parsed),
		cmocka_unit_test(more_requests_than_a_session_has_are_left_out_and_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
