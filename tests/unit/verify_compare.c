/* What the comparison of runs finds, what it leaves alone, and what it calls unstable. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/scope.h"
#include "quoted.h"
#include "verify/compare.h"
#include "verify/finding.h"

/* One request and everything around it, in short: texts with ' for ". NULL parts are as in the base; "" is nothing. */
struct sample {
	const char *status;
	const char *headers; /* more rows of [name, value] */
	const char *body;    /* JSON, sent as application/json; or text when it begins with no bracket */
	const char *seams;   /* exchanges: [from, to, method, url, request headers, request body, status, response headers?] */
	const char *rows;
};

static json_t *seams_make(const char *text)
{
	AUTO_JSON rows = quoted_json(text);
	json_t *seams = json_array();

	for (size_t i = 0; i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, i);
		json_t *exchange;

		if (json_array_size(row) == 4) { /* [from, to, protocol, statement] */
			exchange = json_pack("{s:O, s:O, s:O, s:{s:O}}", "from", json_array_get(row, 0), "to",
					     json_array_get(row, 1), "proto", json_array_get(row, 2), "request", "statement",
					     json_array_get(row, 3));
		} else if (json_array_size(row) == 6) { /* [from, to, what becomes of a message, place, headers, body] */
			exchange = json_pack("{s:O, s:O, s:s, s:i, s:i, s:{s:O, s:O, s:O, s:O}, s:{s:s}}", "from",
					     json_array_get(row, 0), "to", json_array_get(row, 1), "proto", "amqp", "t0_ms", (int)i,
					     "dt_us", 100, "request", "method", json_array_get(row, 2), "url",
					     json_array_get(row, 3), "headers", json_array_get(row, 4), "body",
					     json_array_get(row, 5), "response", "complete", "");
		} else {
			exchange = json_pack("{s:O, s:O, s:s, s:i, s:i, s:{s:O, s:O, s:O, s:O}, s:{s:O, s:[]}}", "from",
					     json_array_get(row, 0), "to", json_array_get(row, 1), "proto", "http", "t0_ms", (int)i,
					     "dt_us", 100, "request", "method", json_array_get(row, 2), "url",
					     json_array_get(row, 3), "headers", json_array_get(row, 4), "body",
					     json_array_get(row, 5), "response", "status", json_array_get(row, 6), "headers");
			if (json_array_size(row) > 7)
				(void)json_object_set(json_member(exchange, "response"), "headers", json_array_get(row, 7));
		}
		assert_non_null(exchange);
		(void)json_array_append_new(seams, exchange);
	}
	return seams;
}

static json_t *run_make(const struct sample *sample, const struct sample *base)
{
	const char *status = sample->status ? sample->status : base->status ? base->status : "200";
	const char *headers = sample->headers ? sample->headers : base->headers ? base->headers : "[]";
	const char *body = sample->body ? sample->body : base->body ? base->body : "{}";
	const char *seams = sample->seams ? sample->seams : base->seams ? base->seams : "[]";
	const char *rows = sample->rows ? sample->rows : base->rows ? base->rows : "{}";
	AUTO_FREE char *text = quoted_text(body);
	json_t *all = quoted_json(headers);
	json_t *response = NULL;

	if (body[0] == '{' || body[0] == '[')
		(void)json_array_append_new(all, json_pack("[ss]", "Content-Type", "application/json"));
	else
		(void)json_array_append_new(all, json_pack("[ss]", "Content-Type", "text/html; charset=utf-8"));
	if (status[0] != '-')
		response = json_pack("{s:i, s:o, s:s}", "status", atoi(status), "headers", all, "body", text);
	else
		json_decref(all);
	return json_pack("{s:[{s:s, s:{s:s, s:s, s:[[ss]], s:s}, s:o, s:o}], s:o}", "entries", "session", "s.har", "request",
			 "method", "POST", "url", "/api/orders/17?x=1", "headers", "x-request-id", "req-1", "body", "{\"a\":1}",
			 "response", response ? response : json_null(), "seams", seams_make(seams), "rows", quoted_json(rows));
}

static const struct {
	const char *name;
	struct sample base;
	struct sample again; /* NULL parts: as base */
	struct sample head;
	const char *expected; /* "severity kind", joined by ", ", worst first */
} rows[] = {
	/* answers */
	{"the same", {"200", "[]", "{'a': 1}"}, {0}, {0}, ""},
	{"status", {"201"}, {0}, {"502"}, "block status"},
	{"no answer", {"200"}, {0}, {"-"}, "block no-answer"},
	{"field missing", {.body = "{'a': 1, 'b': 2}"}, {0}, {.body = "{'a': 1}"}, "block missing"},
	{"field added", {.body = "{'a': 1}"}, {0}, {.body = "{'a': 1, 'b': 2}"}, "info added"},
	{"secret added", {.body = "{'a': 1}"}, {0}, {.body = "{'a': 1, 'password_hash': 'x'}"}, "block added"},
	{"keys in another order", {.body = "{'a': 1, 'b': 2}"}, {0}, {.body = "{'b': 2, 'a': 1}"}, ""},
	{"value", {.body = "{'a': 1}"}, {0}, {.body = "{'a': 2}"}, "block value"},
	{"type", {.body = "{'a': 1}"}, {0}, {.body = "{'a': '1'}"}, "block type"},
	{"integer became real", {.body = "{'a': 1}"}, {0}, {.body = "{'a': 1.0}"}, "block type"},
	{"null", {.body = "{'a': 1}"}, {0}, {.body = "{'a': null}"}, "block type"},
	{"nested in a list, once",
	 {.body = "{'i': [{'id': 1, 'p': 5}, {'id': 2, 'p': 6}]}"},
	 {0},
	 {.body = "{'i': [{'id': 1, 'p': 4}, {'id': 2, 'p': 3}]}"},
	 "block value"},
	{"element lost",
	 {.body = "{'i': [{'id': 1}, {'id': 2}, {'id': 3}]}"},
	 {0},
	 {.body = "{'i': [{'id': 1}, {'id': 3}]}"},
	 "block element"},
	{"element gained",
	 {.body = "{'i': [{'id': 1}, {'id': 3}]}"},
	 {0},
	 {.body = "{'i': [{'id': 1}, {'id': 2}, {'id': 3}]}"},
	 "warn element"},
	{"order of things",
	 {.body = "{'i': [{'id': 1}, {'id': 2}]}"},
	 {0},
	 {.body = "{'i': [{'id': 2}, {'id': 1}]}"},
	 "warn order"},
	{"order of texts", {.body = "['a', 'b']"}, {0}, {.body = "['b', 'a']"}, "warn order"},
	{"list that was sorted",
	 {.body = "[{'id': 9, 'n': 2}, {'id': 7, 'n': 5}, {'id': 5, 'n': 1}, {'id': 3, 'n': 4}]"},
	 {0},
	 {.body = "[{'id': 9, 'n': 2}, {'id': 5, 'n': 1}, {'id': 7, 'n': 5}, {'id': 3, 'n': 4}]"},
	 "block order"},
	{"three of a list that was sorted by chance",
	 {.body = "[{'id': 9}, {'id': 7}, {'id': 5}]"},
	 {0},
	 {.body = "[{'id': 9}, {'id': 5}, {'id': 7}]"},
	 "warn order"},
	{"three of a list the other way round",
	 {.body = "[{'id': 9}, {'id': 7}, {'id': 5}]"},
	 {0},
	 {.body = "[{'id': 5}, {'id': 7}, {'id': 9}]"},
	 "block order"},
	{"list that had no order",
	 {.body = "[{'id': 9}, {'id': 2}, {'id': 5}, {'id': 4}]"},
	 {0},
	 {.body = "[{'id': 2}, {'id': 4}, {'id': 5}, {'id': 9}]"},
	 "warn order"},
	{"shorter list", {.body = "[[1], [1]]"}, {0}, {.body = "[[1]]"}, "block length"},
	{"wording of an error",
	 {.status = "404", .body = "{'error': 'no such order'}"},
	 {0},
	 {.body = "{'error': 'order not found'}"},
	 "warn value"},
	{"code of an error", {.status = "404", .body = "{'code': 'a'}"}, {0}, {.body = "{'code': 'b'}"}, "block value"},
	{"no JSON any more", {.body = "{'a': 1}"}, {0}, {.body = "<p>oops</p>"}, "block type, block value"},
	{"text", {.body = "<p>\nold\n</p>"}, {0}, {.body = "<p>\nnew\n</p>"}, "block text"},
	/* noise */
	{"noise of one form",
	 {.body = "{'t': '8f14e45fceea167a'}"},
	 {.body = "{'t': '1f14e45fceea167b'}"},
	 {.body = "{'t': '2f14e45fceea167c'}"},
	 ""},
	{"noise of another form",
	 {.body = "{'t': '8f14e45fceea167a'}"},
	 {.body = "{'t': '1f14e45fceea167b'}"},
	 {.body = "{'t': 'none'}"},
	 "block format"},
	{"noise turned to null", {.body = "{'ms': 3}"}, {.body = "{'ms': 5}"}, {.body = "{'ms': null}"}, "block format"},
	{"noisy field missing", {.body = "{'ms': 3}"}, {.body = "{'ms': 5}"}, {.body = "{}"}, "block missing"},
	{"field that comes and goes", {.body = "{'a': 1, 'b': 2}"}, {.body = "{'a': 1}"}, {.body = "{'a': 1}"}, ""},
	{"noisy order", {.body = "['a', 'b']"}, {.body = "['b', 'a']"}, {.body = "['b', 'a']"}, ""},
	{"noisy line",
	 {.body = "<p>\n8f14e45fceea167a\n</p>"},
	 {.body = "<p>\n1f14e45fceea167b\n</p>"},
	 {.body = "<p>\n2f14e45fceea167c\n</p>"},
	 ""},
	{"noisy ids in a list",
	 {.body = "[{'id': '8f14e45fceea167a', 'v': 1}]"},
	 {.body = "[{'id': '9f14e45fceea167a', 'v': 1}]"},
	 {.body = "[{'id': '7f14e45fceea167a', 'v': 2}]"},
	 "block value"},
	{"base disagrees with itself", {.status = "200"}, {.status = "500"}, {.status = "503"}, ""},
	/* headers */
	{"header lost", {.headers = "[['Cache-Control', 'no-store']]"}, {0}, {.headers = "[]"}, "block missing"},
	{"header changed",
	 {.headers = "[['Cache-Control', 'no-store']]"},
	 {0},
	 {.headers = "[['cache-control', 'public']]"},
	 "block value"},
	{"header added", {.headers = "[]"}, {0}, {.headers = "[['X-New', '1']]"}, "info added"},
	{"date and length", {.headers = "[['Date', 'a'], ['Content-Length', '1']]"}, {0}, {.headers = "[['Date', 'b']]"}, ""},
	{"etag", {.headers = "[['ETag', 'a']]"}, {0}, {.headers = "[['ETag', 'b']]"}, ""},
	{"cookie attribute",
	 {.headers = "[['Set-Cookie', 'sid=1; HttpOnly; Path=/']]"},
	 {0},
	 {.headers = "[['Set-Cookie', 'sid=1; Path=/']]"},
	 "block missing"},
	{"cookie of a random value",
	 {.headers = "[['Set-Cookie', 'sid=8f14e45fceea167a; Max-Age=60']]"},
	 {.headers = "[['Set-Cookie', 'sid=7f14e45fceea167a; Max-Age=60']]"},
	 {.headers = "[['Set-Cookie', 'sid=6f14e45fceea167a; Max-Age=90']]"},
	 ""},
	{"cookie lost", {.headers = "[['Set-Cookie', 'sid=1']]"}, {0}, {.headers = "[]"}, "block missing"},
	{"propagated header",
	 {.headers = "[['X-Request-Id', '8f14e45fceea167a']]"},
	 {.headers = "[['X-Request-Id', '7f14e45fceea167a']]"},
	 {.headers = "[['X-Request-Id', 'undefined']]"},
	 "block format"},
	/* seams */
	{"N+1",
	 {.seams = "[['front', 'catalog', 'GET', '/p', [], '', 200]]"},
	 {0},
	 {.seams = "[['front', 'catalog', 'GET', '/p', [], '', 200], ['front', 'catalog', 'GET', '/p', [], '', 200], "
		   "['front', 'catalog', 'GET', '/p', [], '', 200]]"},
	 "block many-calls"},
	{"one call more",
	 {.seams = "[['front', 'catalog', 'GET', '/p', [], '', 200]]"},
	 {0},
	 {.seams = "[['front', 'catalog', 'GET', '/p', [], '', 200], ['front', 'catalog', 'GET', '/p', [], '', 200]]"},
	 "warn count"},
	{"one call less",
	 {.seams = "[['front', 'catalog', 'GET', '/p', [], '', 200], ['front', 'catalog', 'GET', '/p', [], '', 200]]"},
	 {0},
	 {.seams = "[['front', 'catalog', 'GET', '/p', [], '', 200]]"},
	 "warn count"},
	{"a call that fails below",
	 {.seams = "[['front', 'catalog', 'GET', '/p/1', [], '', 200]]"},
	 {0},
	 {.seams = "[['front', 'catalog', 'GET', '/p/1', [], '', 503]]"},
	 "block call-fails"},
	{"gRPC call fails",
	 {.seams = "[['a', 'b', 'POST', '/shop.Cart/Get', [], '', 200, [['grpc-status', '0']]]]"},
	 {0},
	 {.seams = "[['a', 'b', 'POST', '/shop.Cart/Get', [], '', 200, [['grpc-status', '13']]]]"},
	 "block call-fails"},
	{"gRPC call finds nothing",
	 {.seams = "[['a', 'b', 'POST', '/shop.Cart/Get', [], '', 200, [['grpc-status', '0']]]]"},
	 {0},
	 {.seams = "[['a', 'b', 'POST', '/shop.Cart/Get', [], '', 200, [['grpc-status', '5']]]]"},
	 ""},
	{"header not passed on",
	 {.seams = "[['front', 'catalog', 'GET', '/p', [['x-request-id', 'req-1']], '', 200]]"},
	 {0},
	 {.seams = "[['front', 'catalog', 'GET', '/p', [], '', 200]]"},
	 "block header-lost"},
	{"header replaced",
	 {.seams = "[['front', 'catalog', 'GET', '/p', [['x-request-id', 'req-1']], '', 200]]"},
	 {0},
	 {.seams = "[['front', 'catalog', 'GET', '/p', [['x-request-id', 'other']], '', 200]]"},
	 "block header-lost"},
	{"parameter lost",
	 {.seams = "[['front', 'catalog', 'GET', '/p?limit=5&q=a', [], '', 200]]"},
	 {0},
	 {.seams = "[['front', 'catalog', 'GET', '/p?q=a', [], '', 200]]"},
	 "block query-lost"},
	{"parameter changed",
	 {.seams = "[['front', 'catalog', 'GET', '/p?limit=5', [], '', 200]]"},
	 {0},
	 {.seams = "[['front', 'catalog', 'GET', '/p?limit=50', [], '', 200]]"},
	 "block query"},
	{"parameters in another order",
	 {.seams = "[['front', 'catalog', 'GET', '/p?a=1&b=2', [], '', 200]]"},
	 {0},
	 {.seams = "[['front', 'catalog', 'GET', '/p?b=2&a=%31', [], '', 200]]"},
	 ""},
	{"noisy parameter",
	 {.seams = "[['front', 'catalog', 'GET', '/p?t=5', [], '', 200]]"},
	 {.seams = "[['front', 'catalog', 'GET', '/p?t=6', [], '', 200]]"},
	 {.seams = "[['front', 'catalog', 'GET', '/p?t=7', [], '', 200]]"},
	 ""},
	{"seam body",
	 {.seams = "[['front', 'pricing', 'POST', '/q', [], '{}', 200]]"},
	 {0},
	 {.seams = "[['front', 'pricing', 'POST', '/q', [], '{}', 200]]"},
	 ""},
	{"calls in another order",
	 {.seams = "[['front', 'catalog', 'GET', '/p?a=1', [], '', 200], ['front', 'catalog', 'GET', '/p?a=2', [], '', 200]]"},
	 {0},
	 {.seams = "[['front', 'catalog', 'GET', '/p?a=2', [], '', 200], ['front', 'catalog', 'GET', '/p?a=1', [], '', 200]]"},
	 ""},
	{"replica called instead",
	 {.seams = "[['front', 'catalog', 'GET', '/p', [], '', 200]]"},
	 {0},
	 {.seams = "[['front-2', 'catalog', 'GET', '/p', [], '', 200]]"},
	 ""},
	/* the outside */
	{"paid twice",
	 {.seams = "[['orders', 'bank.example', 'POST', '/pay', [], '', 200]]"},
	 {0},
	 {.seams =
		  "[['orders', 'bank.example', 'POST', '/pay', [], '', 200], ['orders', 'bank.example', 'POST', '/pay', [], '', 200]]"},
	 "block outside-count"},
	{"key lost",
	 {.seams = "[['orders', 'bank.example', 'POST', '/pay', [['idempotency-key', 'k']], '', 200]]"},
	 {0},
	 {.seams = "[['orders', 'bank.example', 'POST', '/pay', [], '', 200]]"},
	 "block header-lost"},
	/* statements */
	{"few statements more",
	 {.seams = "[['orders', 'db', 'postgres', 'SELECT 1']]"},
	 {0},
	 {.seams = "[['orders', 'db', 'postgres', 'SELECT 1'], ['orders', 'db', 'postgres', 'SELECT 2']]"},
	 ""},
	/* messages */
	{"message not sent",
	 {.seams = "[['orders', 'mq', 'publish', 'events/created', [], '{}'], ['orders', 'db', 'postgres', 'SELECT 1']]"},
	 {0},
	 {.seams = "[['orders', 'db', 'postgres', 'SELECT 1']]"},
	 "block messages"},
	{"message sent twice",
	 {.seams = "[['orders', 'mq', 'publish', 'events/created', [], '{}']]"},
	 {0},
	 {.seams =
		  "[['orders', 'mq', 'publish', 'events/created', [], '{}'], ['orders', 'mq', 'publish', 'events/created', [], '{}']]"},
	 "block messages, block message-twice"},
	{"message with another value",
	 {.seams = "[['orders', 'mq', 'publish', 'events/created', [], '{\\'total\\': 100}']]"},
	 {0},
	 {.seams = "[['orders', 'mq', 'publish', 'events/created', [], '{\\'total\\': 90.5}']]"},
	 "block type"},
	{"message without its context",
	 {.seams = "[['orders', 'mq', 'publish', 'events/created', [['traceparent', '00-a']], '{}']]"},
	 {0},
	 {.seams = "[['orders', 'mq', 'publish', 'events/created', [], '{}']]"},
	 "block header-lost"},
	{"message whose JSON is written in another order",
	 {.seams = "[['orders', 'mq', 'publish', 's', [], '{\\'data\\': \\'{\\\\\\'a\\\\\\': 1, \\\\\\'b\\\\\\': 2}\\'}']]"},
	 {0},
	 {.seams = "[['orders', 'mq', 'publish', 's', [], '{\\'data\\': \\'{\\\\\\'b\\\\\\': 2, \\\\\\'a\\\\\\': 1}\\'}']]"},
	 ""},
	{"messages in another order, delivered and acknowledged otherwise",
	 {.seams = "[['orders', 'mq', 'publish', 'a', [], '{}'], ['orders', 'mq', 'publish', 'b', [], '{}'], "
		   "['pricing', 'mq', 'deliver', 'a', [], '{}'], ['pricing', 'mq', 'ack', 'a', [], '']]"},
	 {0},
	 {.seams = "[['orders', 'mq', 'publish', 'b', [], '{}'], ['orders', 'mq', 'publish', 'a', [], '{}'], "
		   "['pricing-2', 'mq', 'deliver', 'a', [], '{}']]"},
	 ""},
	{"replies to places of one connection",
	 {.seams = "[['orders', 'mq', 'publish', '_INBOX.aZ81', [], '{}'], ['orders', 'mq', 'publish', '$JS.API.INFO', [], '{}']]"},
	 {0},
	 {.seams = "[['orders', 'mq', 'publish', '_INBOX.q2Xv', [], '{}']]"},
	 ""},
	{"message refused",
	 {.seams = "[['pricing', 'mq', 'ack', 'orders', [], '']]"},
	 {0},
	 {.seams = "[['pricing', 'mq', 'reject', 'orders', [], '']]"},
	 "block message-refused"},
	{"messages of a broker left",
	 {.rows = "{'rabbitmq': {'mq': {'orders': {'type': 'queue', 'value': 0}}}}"},
	 {0},
	 {.rows = "{'rabbitmq': {'mq': {'orders': {'type': 'queue', 'value': 2}}}}"},
	 "block value"},
	/* rows */
	{"row missing",
	 {.rows = "{'tables': {'db': {'orders': [{'key': {'id': 1}, 'row': {'a': 1}}]}}}"},
	 {0},
	 {.rows = "{'tables': {'db': {}}}"},
	 "block rows"},
	{"row twice",
	 {.rows = "{'tables': {'db': {'o': [{'key': {'id': 1}, 'row': {'a': 1}}]}}}"},
	 {0},
	 {.rows = "{'tables': {'db': {'o': [{'key': {'id': 1}, 'row': {'a': 1}}, {'key': {'id': 2}, 'row': {'a': 1}}]}}}"},
	 "block rows"},
	{"column",
	 {.rows = "{'tables': {'db': {'o': [{'key': {'id': 1}, 'row': {'a': 1}}]}}}"},
	 {0},
	 {.rows = "{'tables': {'db': {'o': [{'key': {'id': 1}, 'row': {'a': 2}}]}}}"},
	 "block value"},
	{"time in a row",
	 {.rows = "{'tables': {'db': {'o': [{'key': {'id': 1}, 'row': {'at': '2026-11-21 19:30:00'}}]}}}"},
	 {.rows = "{'tables': {'db': {'o': [{'key': {'id': 1}, 'row': {'at': '2026-11-21 19:31:00'}}]}}}"},
	 {.rows = "{'tables': {'db': {'o': [{'key': {'id': 1}, 'row': {'at': '2026-11-21 19:32:00'}}]}}}"},
	 ""},
	{"row deleted",
	 {.rows = "{'tables': {'db': {}}}"},
	 {0},
	 {.rows = "{'tables': {'db': {}}, 'touched': {'db': {'o': ['1', '77']}}}"},
	 "block rows-deleted"},
	{"row not deleted",
	 {.rows = "{'tables': {'db': {}}, 'touched': {'db': {'o': ['2', '77']}}}"},
	 {0},
	 {.rows = "{'tables': {'db': {}}, 'touched': {'db': {'o': ['1', '70']}}}"},
	 "block rows-left"},
	{"another row deleted",
	 {.rows = "{'tables': {'db': {}}, 'touched': {'db': {'o': ['1', '77']}}}"},
	 {0},
	 {.rows = "{'tables': {'db': {}}, 'touched': {'db': {'o': ['1', '78']}}}"},
	 "block rows-deleted"},
	{"sometimes a row is deleted",
	 {.rows = "{'tables': {'db': {}}, 'touched': {'db': {'o': ['1', '77']}}}"},
	 {.rows = "{'tables': {'db': {}}}"},
	 {.rows = "{'tables': {'db': {}}, 'touched': {'db': {'o': ['2', '78']}}}"},
	 ""},
	{"a row is written instead of another, which says so itself",
	 {.rows = "{'tables': {'db': {'o': [{'key': {'id': 1}, 'row': {'a': 1}}]}}, 'touched': {'db': {'o': ['1', '77']}}}"},
	 {0},
	 {.rows = "{'tables': {'db': {}}}"},
	 "block rows"},
	{"column added",
	 {.rows = "{'tables': {'db': {'o': [{'key': {'id': 1}, 'row': {'a': 1}}]}}}"},
	 {0},
	 {.rows = "{'tables': {'db': {'o': [{'key': {'id': 1}, 'row': {'a': 1, 'b': null}}]}}}"},
	 "info added"},
	{"event changed",
	 {.rows = "{'redis': {'cache': {'orders': {'type': 'stream', 'value': [['1-0', ['total', '5']]]}}}}"},
	 {0},
	 {.rows = "{'redis': {'cache': {'orders': {'type': 'stream', 'value': [['2-0', ['amounts', '5']]]}}}}"},
	 "block missing, info added"},
	{"event's list changed",
	 {.rows = "{'redis': {'cache': {'orders': {'type': 'stream', 'value': [['1-0', ['items', '[{\\'n\\': 1}]']]]}}}}"},
	 {0},
	 {.rows = "{'redis': {'cache': {'orders': {'type': 'stream', 'value': [['2-0', ['items', '[{\\'m\\': 1}]']]]}}}}"},
	 "block missing, info added"},
	{"list that is noisy in one of its places",
	 {.body = "[['8f14e45fceea167a', ['a']]]"},
	 {.body = "[['7f14e45fceea167a', ['a']]]"},
	 {.body = "[['6f14e45fceea167a', ['b']]]"},
	 "block value"},
	{"session keys",
	 {.rows = "{'redis': {'cache': {'s:8f14e45fceea167a': {'type': 'string', 'value': '1'}}}}"},
	 {.rows = "{'redis': {'cache': {'s:7f14e45fceea167a': {'type': 'string', 'value': '1'}}}}"},
	 {.rows = "{'redis': {'cache': {'s:6f14e45fceea167a': {'type': 'string', 'value': '1'}}}}"},
	 ""},
	/* order within a request */
	{"rows of one transaction in two",
	 {.seams = "[['orders', 'db', 'postgres', 'BEGIN'], ['orders', 'db', 'postgres', 'INSERT INTO orders VALUES (1)'], "
		   "['orders', 'db', 'postgres', 'INSERT INTO lines VALUES (1)'], ['orders', 'db', 'postgres', 'COMMIT']]"},
	 {0},
	 {.seams = "[['orders', 'db', 'postgres', 'BEGIN'], ['orders', 'db', 'postgres', 'INSERT INTO orders VALUES (1)'], "
		   "['orders', 'db', 'postgres', 'COMMIT'], ['orders', 'db', 'postgres', 'insert into `lines`(a) values (1)']]"},
	 "block transaction-split"},
	{"the same rows, each by itself",
	 {.seams = "[['orders', 'db', 'postgres', 'BEGIN'], ['orders', 'db', 'postgres', 'UPDATE a SET x = 1'], "
		   "['orders', 'db', 'postgres', 'UPDATE a SET x = 2'], ['orders', 'db', 'postgres', 'COMMIT']]"},
	 {0},
	 {.seams = "[['orders', 'db', 'postgres', 'UPDATE a SET x = 1'], ['orders', 'db', 'postgres', 'UPDATE a SET x = 2']]"},
	 "block transaction-split"},
	{"one statement instead of a transaction of two",
	 {.seams = "[['orders', 'db', 'postgres', 'BEGIN; UPDATE a SET x = 1; UPDATE a SET x = 2; COMMIT']]"},
	 {0},
	 {.seams = "[['orders', 'db', 'postgres', 'UPDATE a SET x = 1 + 1']]"},
	 ""},
	{"transactions of a driver that never commits by itself",
	 {.seams = "[['orders', 'db', 'mysql', 'UPDATE a SET x = 1'], ['orders', 'db', 'mysql', 'UPDATE b SET x = 2'], "
		   "['orders', 'db', 'mysql', 'COMMIT']]"},
	 {0},
	 {.seams = "[['orders', 'db', 'mysql', 'START TRANSACTION'], ['orders', 'db', 'mysql', 'UPDATE b SET x = 2'], "
		   "['orders', 'db', 'mysql', 'UPDATE a SET x = 1'], ['orders', 'db', 'mysql', 'COMMIT']]"},
	 ""},
	{"transactions that overlap",
	 {.seams = "[['orders', 'db', 'postgres', 'BEGIN'], ['orders', 'db', 'postgres', 'UPDATE a SET x = 1'], "
		   "['orders', 'db', 'postgres', 'UPDATE a SET x = 2'], ['orders', 'db', 'postgres', 'COMMIT']]"},
	 {0},
	 {.seams =
		  "[['orders', 'db', 'postgres', 'BEGIN'], ['orders', 'db', 'postgres', 'BEGIN'], ['orders', 'db', 'postgres', 'UPDATE a SET x "
		  "= 1'], ['orders', 'db', 'postgres', 'COMMIT'], ['orders', 'db', 'postgres', 'UPDATE a SET x = 2'], "
		  "['orders', 'db', 'postgres', 'COMMIT']]"},
	 ""},
	{"a message before the commit",
	 {.seams = "[['orders', 'db', 'postgres', 'BEGIN'], ['orders', 'db', 'postgres', 'UPDATE a SET x = 1'], "
		   "['orders', 'db', 'postgres', 'COMMIT'], ['orders', 'mq', 'publish', 'orders', [], '{}']]"},
	 {0},
	 {.seams = "[['orders', 'db', 'postgres', 'BEGIN'], ['orders', 'db', 'postgres', 'UPDATE a SET x = 1'], "
		   "['orders', 'mq', 'publish', 'orders', [], '{}'], ['orders', 'db', 'postgres', 'COMMIT']]"},
	 "block told-before-commit"},
	{"a message to another stream",
	 {.seams = "[['orders', 'mq', 'publish', 'orders', [], '{}']]"},
	 {0},
	 {.seams = "[['orders', 'mq', 'publish', 'basket', [], '{}']]"},
	 "block messages, block messages"},
	{"a message while somebody else's transaction is open",
	 {.seams = "[['orders', 'mq', 'publish', 'orders', [], '{}']]"},
	 {0},
	 {.seams = "[['worker', 'db', 'postgres', 'BEGIN'], ['worker', 'db', 'postgres', 'UPDATE a SET x = 1'], "
		   "['orders', 'mq', 'publish', 'orders', [], '{}'], ['worker', 'db', 'postgres', 'COMMIT']]"},
	 ""},
	{"connections that are not given back",
	 {.rows = "{'connections': {'db': 4}}"},
	 {0},
	 {.rows = "{'connections': {'db': 20}}"},
	 "block connections"},
	{"a pool that is larger by some", {.rows = "{'connections': {'db': 4}}"}, {0}, {.rows = "{'connections': {'db': 9}}"}, ""},
	{"keys that never expire any more",
	 {.rows = "{'redis': {'cache': {'s:8f14e45fceea167a': {'type': 'string', 'value': '1', 'expires': true}}}}"},
	 {.rows = "{'redis': {'cache': {'s:7f14e45fceea167a': {'type': 'string', 'value': '1', 'expires': true}}}}"},
	 {.rows = "{'redis': {'cache': {'s:6f14e45fceea167a': {'type': 'string', 'value': '1', 'expires': false}}}}"},
	 "block never-expires"},
	{"keys of which some never expired",
	 {.rows = "{'redis': {'cache': {'a': {'type': 'string', 'value': '1', 'expires': false}}}}"},
	 {0},
	 {.rows = "{'redis': {'cache': {'a': {'type': 'string', 'value': '1', 'expires': true}}}}"},
	 ""},
	{"messages that nobody acknowledges",
	 {.rows = "{'redis': {'cache': {'orders': {'type': 'stream', 'value': [], 'left': {'worker': 0}}}}}"},
	 {0},
	 {.rows = "{'redis': {'cache': {'orders': {'type': 'stream', 'value': [], 'left': {'worker': 2}}}}}"},
	 "block messages-left"},
	{"messages that the base does not always acknowledge",
	 {.rows = "{'redis': {'cache': {'orders': {'type': 'stream', 'value': [], 'left': {'worker': 0}}}}}"},
	 {.rows = "{'redis': {'cache': {'orders': {'type': 'stream', 'value': [], 'left': {'worker': 1}}}}}"},
	 {.rows = "{'redis': {'cache': {'orders': {'type': 'stream', 'value': [], 'left': {'worker': 2}}}}}"},
	 ""},
	{"cache not filled",
	 {.rows = "{'redis': {'cache': {'p:1': {'type': 'string', 'value': '1'}}}}"},
	 {0},
	 {.rows = "{}"},
	 "warn keys"},
};

static json_t *inside(void)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s}", "front", "service", "catalog", "service", "pricing", "service", "orders",
			 "service", "db", "database");
}

static void each_difference_is_found_with_its_severity_and_nothing_else_is(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_JSON names = inside();
		AUTO_JSON base = run_make(&rows[i].base, &rows[i].base);
		AUTO_JSON again = run_make(&rows[i].again, &rows[i].base);
		AUTO_JSON head = run_make(&rows[i].head, &rows[i].base);
		struct comparison *comparison = comparison_new(base, again,
							       &(struct compare_options){.gate = "replay", .inside = names});
		AUTO_JSON findings = comparison_judge(comparison, head);
		AUTO_BUF got = buf_new(65536);

		for (size_t k = 0; k < json_array_size(findings); k++)
			buf_add_format(&got, "%s%s %s", k ? ", " : "", json_text(json_array_get(findings, k), "severity", ""),
				       json_text(json_array_get(findings, k), "kind", ""));
		if (strcmp(got.at ? got.at : "", rows[i].expected) != 0)
			fail_msg("%s: got `%s`, expected `%s`", rows[i].name, got.at ? got.at : "", rows[i].expected);
		comparison_free(comparison);
	}
}

static void a_finding_keeps_its_id_when_only_the_values_change(void **state)
{
	static const struct sample base = {.body = "{'a': 1}"};
	static const struct sample heads[] = {{.body = "{'a': 2}"}, {.body = "{'a': 3}"}};
	AUTO_JSON names = inside();
	AUTO_JSON run = run_make(&base, &base);
	struct comparison *comparison = comparison_new(run, run, &(struct compare_options){.gate = "replay", .inside = names});
	AUTO_JSON one = run_make(&heads[0], &base);
	AUTO_JSON two = run_make(&heads[1], &base);
	AUTO_JSON first = comparison_judge(comparison, one);
	AUTO_JSON second = comparison_judge(comparison, two);

	(void)state;
	assert_string_equal(json_text(json_array_get(first, 0), "id", "1"), json_text(json_array_get(second, 0), "id", "2"));
	assert_int_equal(strlen(json_text(json_array_get(first, 0), "id", "")), 14);
	comparison_free(comparison);
}

static void a_finding_tells_the_request_and_where_it_begins(void **state)
{
	static const struct sample base = {.body = "{'a': 1}", .seams = "[['front', 'catalog', 'GET', '/p/1', [], '', 200]]"};
	static const struct sample changed = {.status = "502", .seams = "[['front', 'catalog', 'GET', '/p/1', [], '', 500]]"};
	AUTO_JSON names = inside();
	AUTO_JSON run = run_make(&base, &base);
	AUTO_JSON head = run_make(&changed, &base);
	struct comparison *comparison = comparison_new(run, run, &(struct compare_options){.gate = "replay", .inside = names});
	AUTO_JSON findings = comparison_judge(comparison, head);
	const json_t *finding = json_array_get(findings, 0);

	(void)state;
	assert_string_equal(json_text(finding, "title", ""), "POST /api/orders/:id: answers 502 instead of 200");
	assert_string_equal(json_text(finding, "detail", ""),
			    "first difference in the calls: front > catalog GET /p/:id answers 500 instead of 200");
	assert_int_equal(json_number(json_array_get(json_member(finding, "got_tree"), 0), "status", 0), 500);
	assert_string_equal(json_text(json_member(finding, "request"), "url", ""), "/api/orders/17?x=1");
	comparison_free(comparison);
}

static void what_is_seen_in_one_of_two_runs_does_not_block(void **state)
{
	static const struct sample base = {.body = "{'a': 1}"};
	static const struct sample changed = {.body = "{'a': 2}"};
	AUTO_JSON names = inside();
	AUTO_JSON unstable = json_array();
	AUTO_JSON run = run_make(&base, &base);
	AUTO_JSON head = run_make(&changed, &base);
	struct comparison *comparison = comparison_new(run, run, &(struct compare_options){.gate = "replay", .inside = names});
	AUTO_JSON findings = comparison_judge(comparison, head);
	AUTO_JSON again = comparison_judge(comparison, run);

	(void)state;
	assert_true(findings_block(findings));
	findings_confirm(findings, again, unstable);
	assert_false(findings_block(findings));
	assert_int_equal(json_array_size(unstable), 1);
	comparison_free(comparison);
}

static void an_endpoint_on_which_the_base_disagrees_is_unstable(void **state)
{
	static const struct sample base = {.status = "200"};
	static const struct sample other = {.status = "500"};
	AUTO_JSON names = inside();
	AUTO_JSON run = run_make(&base, &base);
	AUTO_JSON again = run_make(&other, &base);
	struct comparison *comparison = comparison_new(run, again, &(struct compare_options){.gate = "replay", .inside = names});
	AUTO_JSON unstable = comparison_unstable(comparison);

	(void)state;
	assert_string_equal(json_text(json_array_get(unstable, 0), "reason", ""), "the base answered 200, and 500 the second time");
	comparison_free(comparison);
}

static void noise_is_told_by_endpoint_field_and_class(void **state)
{
	static const struct sample base = {.body = "{'i': [{'t': '8f14e45fceea167a'}]}"};
	static const struct sample other = {.body = "{'i': [{'t': '7f14e45fceea167a'}]}"};
	AUTO_JSON names = inside();
	AUTO_JSON run = run_make(&base, &base);
	AUTO_JSON again = run_make(&other, &base);
	struct comparison *comparison = comparison_new(run, again, &(struct compare_options){.gate = "replay", .inside = names});
	AUTO_JSON noise = comparison_noise(comparison);

	(void)state;
	assert_int_equal(json_array_size(noise), 1);
	assert_string_equal(json_text(json_array_get(noise, 0), "endpoint", ""), "POST /api/orders/:id");
	assert_string_equal(json_text(json_array_get(noise, 0), "path", ""), "body i[].t");
	assert_string_equal(json_text(json_array_get(noise, 0), "class", ""), "hex:16");
	comparison_free(comparison);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_difference_is_found_with_its_severity_and_nothing_else_is),
		cmocka_unit_test(a_finding_keeps_its_id_when_only_the_values_change),
		cmocka_unit_test(a_finding_tells_the_request_and_where_it_begins),
		cmocka_unit_test(what_is_seen_in_one_of_two_runs_does_not_block),
		cmocka_unit_test(an_endpoint_on_which_the_base_disagrees_is_unstable),
		cmocka_unit_test(noise_is_told_by_endpoint_field_and_class),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
