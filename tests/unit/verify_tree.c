/* What came of what in a request, and cascades that only the change has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/scope.h"
#include "verify/compare.h"
#include "verify/finding.h"
#include "verify/tree.h"

/* "from to protocol method place begun-ended outcome [body]" a line; the outcome is a status, or an error with "_" for blanks; a method
 * of a database is its statement, with "_" too. */
static json_t *seams_make(const char *text)
{
	json_t *seams = json_array();

	for (struct view rest = view_of(text), line; rest.length;) {
		char from[32], to[32], proto[16], method[200], place[64], outcome[100], body[64] = "";
		int begun, ended;
		AUTO_FREE char *copy = NULL;
		json_t *exchange;
		bool status;

		line = view_cut(rest, '\n', &rest);
		copy = view_copy(line);
		assert_true(sscanf(copy, "%31s %31s %15s %199s %63s %d-%d %99s %63s", from, to, proto, method, place, &begun,
				   &ended, outcome, body) >= 8);
		for (char *c = method; *c; c++)
			*c = *c == '_' ? ' ' : *c;
		for (char *c = outcome; *c; c++)
			*c = *c == '_' ? ' ' : *c;
		status = strlen(outcome) == 3 && strspn(outcome, "0123456789") == 3;
		exchange = json_pack("{s:s, s:s, s:s, s:i, s:i, s:{s:s}, s:{}}", "from", from, "to", to, "proto", proto, "t0_ms",
				     begun, "dt_us", (ended - begun) * 1000, "request",
				     strcmp(place, "-") == 0 ? "statement" : "method", method, "response");
		assert_non_null(exchange);
		if (strcmp(place, "-") != 0)
			(void)json_object_set_new(json_member(exchange, "request"), "url", json_string(place));
		if (*body)
			(void)json_object_set_new(json_member(exchange, "request"), "body", json_string(body));
		if (status)
			(void)json_object_set_new(json_member(exchange, "response"), "status", json_integer(atoi(outcome)));
		else if (strcmp(outcome, "ok") != 0)
			(void)json_object_set_new(exchange, "error", json_string(outcome));
		(void)json_array_append_new(seams, exchange);
	}
	return seams;
}

/* Gives each exchange the header, with the values as they stand, "-" for none. */
static void header_give(json_t *seams, const char *name, const char *values)
{
	struct view rest = view_of(values);

	for (size_t i = 0; i < json_array_size(seams); i++) {
		AUTO_FREE char *value = view_copy(view_cut(rest, ' ', &rest));

		if (strcmp(value, "-") != 0)
			(void)json_object_set_new(json_member(json_array_get(seams, i), "request"), "headers",
						  json_pack("[[ss]]", name, value));
	}
}

static json_t *inside_make(void)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "front", "service", "orders", "service", "bank", "service", "mail",
			 "service", "db", "database", "mq", "database");
}

static void calls_are_shown_under_what_they_came_of(void **state)
{
	AUTO_JSON inside = inside_make();
	/* In the order of the log: what ends first comes first. */
	AUTO_JSON seams = seams_make("orders db postgres SELECT_1 - 12-13 ok\n"
				     "orders mq amqp publish jobs 20-20 ok {\"id\":7}\n"
				     "front orders http POST /orders 10-30 201\n"
				     "orders db postgres INSERT_INTO_log_VALUES_(1) - 200-201 ok\n"
				     "front orders http GET /orders/1 40-50 200\n"
				     "front orders http GET /orders/1 52-60 200\n"
				     "preview front http POST /buy 5-70 200\n"
				     "mail mq amqp deliver jobs 100-100 ok {\"id\":7}\n"
				     "mail db postgres UPDATE_mails_SET_sent=1 - 110-115 ok\n"
				     "mail mq amqp ack jobs 120-120 ok");
	AUTO_JSON rows = tree_rows(seams, inside);
	AUTO_BUF text = buf_new(65536);
	size_t index;
	json_t *row;

	(void)state;
	json_array_foreach(rows, index, row) {
		finding_call_format(&text, row);
		buf_add_char(&text, '\n');
	}
	assert_string_equal(text.at, "front > orders POST /orders -> 201\n"
				     "  orders > db SELECT ?\n"
				     "  orders > mq publish jobs\n"
				     "    mail > mq deliver jobs\n"
				     "      mail > db UPDATE mails SET sent=?\n"
				     "      mail > mq ack jobs\n"
				     "front > orders GET /orders/1 -> 200 (2 times)\n"
				     "  orders > db INSERT INTO log VALUES (?) (after the answer)\n");
}

static void the_cause_has_the_same_trace(void **state)
{
	static const char *const traces[] = {"00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-0000000000000001-01",
					     "00-bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb-0000000000000001-01",
					     "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-0000000000000002-01"};
	AUTO_JSON inside = inside_make();
	AUTO_JSON seams = seams_make("front orders http GET /a 0-100 200\n"
				     "front orders http GET /b 5-100 200\n"
				     "orders bank http GET /c 10-20 200");
	struct tree *tree;

	(void)state;
	for (size_t i = 0; i < 3; i++)
		(void)json_object_set_new(json_member(json_array_get(seams, i), "request"), "headers",
					  json_pack("[[ss]]", "traceparent", traces[i]));
	tree = tree_make(seams, inside);
	assert_int_equal(tree->nodes[2].parent, 0);
	tree_free(tree);
}

static void causes_that_go_round_are_cut(void **state)
{
	AUTO_JSON inside = inside_make();
	AUTO_JSON seams = seams_make(
		"front orders http GET /a 0-1 200\norders front http GET /b 0-1 200\norders orders http GET /c 0-1 200");
	AUTO_JSON rows = tree_rows(seams, inside);

	(void)state;
	assert_int_equal(json_array_size(rows), 3);
}

static const struct {
	const char *name;
	const char *base, *head;
	const char *kinds; /* of cascades, joined by ", " */
} cascades[] = {
	{"an error that is not told any more", "front orders http POST /orders 5-90 502\norders bank http POST /pay 10-80 503",
	 "front orders http POST /orders 5-90 200\norders bank http POST /pay 10-80 503", "error-hidden"},
	{"an error that neither tells", "front orders http POST /orders 5-90 200\norders bank http POST /pay 10-80 503",
	 "front orders http POST /orders 5-90 200\norders bank http POST /pay 10-80 503", ""},
	{"a retry that helps", "front orders http POST /orders 5-90 502\norders bank http POST /pay 10-40 503",
	 "front orders http POST /orders 5-90 200\norders bank http POST /pay 10-40 503\norders bank http POST /pay 50-80 200", ""},
	{"an error that was tried again until now",
	 "front orders http POST /orders 5-90 200\norders bank http POST /pay 10-40 503\norders bank http POST /pay 50-80 200",
	 "front orders http POST /orders 5-90 200\norders bank http POST /pay 10-40 503", "error-hidden"},
	{"one of several that may fail",
	 "front orders http GET /o 5-90 200\norders bank http GET /a/1 10-20 503\norders bank http GET /a/2 30-40 200",
	 "front orders http GET /o 5-90 200\norders bank http GET /a/1 10-20 503", ""},
	{"a statement that fails unseen", "front orders http POST /orders 5-90 200\norders db postgres SELECT_a - 10-20 ok",
	 "front orders http POST /orders 5-90 200\norders db postgres SELECT_b - 10-20 42703_column_b_does_not_exist",
	 "statement-hidden"},
	{"a key that exists already", "front orders http POST /orders 5-90 200\norders db postgres SELECT_a - 10-20 ok",
	 "front orders http POST /orders 5-90 200\norders db postgres INSERT_b - 10-20 23505_duplicate_key", ""},
	{"a statement that fails and is told", "front orders http POST /orders 5-90 200\norders db postgres SELECT_a - 10-20 ok",
	 "front orders http POST /orders 5-90 500\norders db postgres SELECT_b - 10-20 42703_column_b_does_not_exist", ""},
	{"an answer of 404 that becomes a failure", "front orders http GET /o 5-90 404\norders bank http GET /a 10-80 404",
	 "front orders http GET /o 5-90 500\norders bank http GET /a 10-80 404", "error-grows"},
	{"a storm of retries", "front orders http GET /o 5-90 502\norders bank http GET /a 10-20 503",
	 "front orders http GET /o 5-90 502\norders bank http GET /a 10-20 503\norders bank http GET /a 21-30 503\n"
	 "orders bank http GET /a 31-40 503\norders bank http GET /a 41-50 503\norders bank http GET /a 51-60 503",
	 "retry-storm"},
	{"a few retries", "front orders http GET /o 5-90 502\norders bank http GET /a 10-20 503",
	 "front orders http GET /o 5-90 502\norders bank http GET /a 10-20 503\norders bank http GET /a 21-30 503\n"
	 "orders bank http GET /a 31-40 503",
	 ""},
	{"many calls that fail, each another", "front orders http GET /o 5-90 502\norders bank http GET /a/1 10-20 503",
	 "front orders http GET /o 5-90 502\norders bank http GET /a/1 10-20 503\norders bank http GET /a/2 21-30 503\n"
	 "orders bank http GET /a/3 31-40 503\norders bank http GET /a/4 41-50 503\norders bank http GET /a/5 51-60 503",
	 ""},
	{"work that outlives its caller's patience",
	 "front orders http GET /o 5-2000 the_client_left\norders bank http GET /a 10-1000 the_client_left",
	 "front orders http GET /o 5-2000 the_client_left\norders bank http GET /a 10-5000 the_client_left", "deadline"},
	{"work that ends a little later",
	 "front orders http GET /o 5-2000 the_client_left\norders bank http GET /a 10-1000 the_client_left",
	 "front orders http GET /o 5-2000 the_client_left\norders bank http GET /a 10-2100 the_client_left", ""},
	{"a background job behind a good answer", "front orders http POST /o 5-90 200",
	 "front orders http POST /o 5-90 200\norders bank http POST /later 400-450 200", ""},
	{"a payment behind a failure", "front orders http POST /o 5-90 503",
	 "front orders http POST /o 5-90 503\norders bank http POST /pay 400-450 200", "orphan"},
	{"a row behind a failure", "front orders http POST /o 5-90 503",
	 "front orders http POST /o 5-90 503\norders db postgres INSERT_INTO_pays_VALUES_(1) - 400-401 ok", "orphan"},
	{"a question behind a failure", "front orders http POST /o 5-90 503",
	 "front orders http POST /o 5-90 503\norders db postgres SELECT_1 - 400-401 ok", ""},
	{"an error that the entry does not tell any more",
	 "preview front http POST /buy 5-90 502\nfront bank http POST /pay 10-80 503",
	 "preview front http POST /buy 5-90 200\nfront bank http POST /pay 10-80 503", "error-hidden"},
	{"an error that the entry makes a failure", "preview front http GET /o 5-90 404\nfront bank http GET /a 10-80 404",
	 "preview front http GET /o 5-90 500\nfront bank http GET /a 10-80 404", "error-grows"},
	{"a payment behind a failure of the entry", "preview front http POST /buy 5-90 503",
	 "preview front http POST /buy 5-90 503\nfront bank http POST /pay 400-450 200", "orphan"},
	{"what is noted when we did not wait", "preview front http POST /buy 5-5000 the_client_left",
	 "preview front http POST /buy 5-5000 the_client_left\nfront db postgres UPDATE_orders_SET_state=1 - 6000-6001 ok", ""},
	{"a person who does not wait", "preview front http GET /o 5-2000 the_client_left\nfront bank http GET /a 10-1000 200",
	 "preview front http GET /o 5-2000 the_client_left\nfront bank http GET /a 10-5000 200", ""},
	{"a message twice", "orders mq amqp publish jobs 10-10 ok {\"id\":1}\norders mq amqp publish jobs 11-11 ok {\"id\":2}",
	 "orders mq amqp publish jobs 10-10 ok {\"id\":1}\norders mq amqp publish jobs 11-11 ok {\"id\":1}", "message-twice"},
	{"a message twice in both",
	 "orders mq amqp publish jobs 10-10 ok {\"id\":1}\norders mq amqp publish jobs 11-11 ok {\"id\":1}",
	 "orders mq amqp publish jobs 10-10 ok {\"id\":1}\norders mq amqp publish jobs 11-11 ok {\"id\":1}", ""},
};

/* As rehearsal.c keeps them: what the preview asked is apart. */
static json_t *run_make(const char *text)
{
	AUTO_JSON all = seams_make(text);
	json_t *seams = json_array();
	json_t *asked = json_array();
	size_t index;
	json_t *exchange;

	json_array_foreach(all, index, exchange)
		(void)json_array_append(strcmp(json_text(exchange, "from", ""), "preview") == 0 ? asked : seams, exchange);
	return json_pack("{s:[{s:s, s:{s:s, s:s, s:[], s:s}, s:{s:i, s:[], s:s}, s:o, s:o}], s:{}}", "entries", "session", "s.har",
			 "request", "method", "POST", "url", "/buy", "headers", "body", "", "response", "status", 200, "headers",
			 "body", "{}", "seams", seams, "asked", asked, "rows");
}

/* The cascades that block, joined by ", "; the runs are given up. */
static void cascades_judge(struct buf *out, json_t *base, json_t *again, json_t *head)
{
	static const char *const kinds[] = {"error-hidden", "statement-hidden", "error-grows",   "retry-storm",
					    "deadline",     "orphan",           "message-twice", "context-remade"};
	AUTO_JSON inside = inside_make();
	const struct compare_options options = {.gate = "replay", .inside = inside};
	struct comparison *comparison = comparison_new(base, again, &options);
	AUTO_JSON findings = comparison_judge(comparison, head);
	size_t index;
	json_t *finding;

	json_array_foreach(findings, index, finding)
		for (size_t kind = 0; kind < ARRAY_LEN(kinds); kind++)
			if (strcmp(json_text(finding, "kind", ""), kinds[kind]) == 0 && finding_is(finding, SEVERITY_BLOCK))
				buf_add_format(out, "%s%s", out->length ? ", " : "", kinds[kind]);
	buf_add_text(out, "");
	comparison_free(comparison);
	json_decref(base);
	json_decref(again);
	json_decref(head);
}

static void cascades_are_found_where_the_base_has_none(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cascades); i++) {
		AUTO_BUF text = buf_new(4096);

		cascades_judge(&text, run_make(cascades[i].base), run_make(cascades[i].base), run_make(cascades[i].head));
		if (strcmp(text.at ? text.at : "", cascades[i].kinds) != 0)
			fail_msg("%s: found `%s`", cascades[i].name, text.at ? text.at : "");
	}
}

/* A run of two calls, the second made for the first, with the values of a header that each carries. */
static json_t *hop_make(const char *header, const char *values)
{
	json_t *run = run_make("front orders http POST /orders 5-90 200\norders bank http POST /pay 10-80 200");

	header_give(json_member(json_array_get(json_member(run, "entries"), 0), "seams"), header, values);
	return run;
}

static void what_a_call_is_part_of_is_handed_on(void **state)
{
#define TRACE_A "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-"
#define TRACE_B "00-bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb-"
	static const struct {
		const char *name, *header;
		const char *base, *again, *head;
		const char *kinds;
	} cases[] = {
		{"handed on", "x-request-id", "r1 r1", "r2 r2", "r3 r3", ""},
		{"made again", "x-request-id", "r1 r1", "r2 r2", "r3 r4", "context-remade"},
		{"made again before, too", "x-request-id", "r1 x", "r2 y", "r3 z", ""},
		{"made again before, sometimes", "x-request-id", "r1 r1", "r2 y", "r3 z", ""},
		{"new", "x-request-id", "- -", "- -", "r3 r4", ""},
		{"a span of its own", "traceparent", TRACE_A "01-01 " TRACE_A "02-01", TRACE_A "03-01 " TRACE_A "04-01",
		 TRACE_B "05-01 " TRACE_B "06-01", ""},
		{"a trace of its own", "traceparent", TRACE_A "01-01 " TRACE_A "02-01", TRACE_A "03-01 " TRACE_A "04-01",
		 TRACE_A "05-01 " TRACE_B "06-01", "context-remade"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_BUF text = buf_new(4096);

		cascades_judge(&text, hop_make(cases[i].header, cases[i].base), hop_make(cases[i].header, cases[i].again),
			       hop_make(cases[i].header, cases[i].head));
		if (strcmp(text.at ? text.at : "", cases[i].kinds) != 0)
			fail_msg("%s: found `%s`", cases[i].name, text.at ? text.at : "");
	}
}

/* Each at the same time as the others: which was the cause of which cannot be told, but all were handed on. */
static void ids_that_are_handed_on_at_once_are_not_made_anew(void **state)
{
	static const char *const calls = "front orders http POST /pay 0-20 200\nfront orders http POST /pay 1-21 200\n"
					 "orders bank http POST /take 5-10 200\norders bank http POST /take 5-11 200";
	static const char *const before = "front orders http POST /pay 0-20 200\norders bank http POST /take 5-10 200\n"
					  "front orders http POST /pay 30-50 200\norders bank http POST /take 35-40 200";
	json_t *runs[3];
	AUTO_BUF text = buf_new(4096);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(runs); i++) {
		runs[i] = run_make(i < 2 ? before : calls);
		header_give(json_member(json_array_get(json_member(runs[i], "entries"), 0), "seams"), "idempotency-key",
			    i < 2 ? "k1 k1 k2 k2" : "k1 k2 k1 k2");
	}
	cascades_judge(&text, runs[0], runs[1], runs[2]);
	assert_string_equal(text.at, "");
}

static void a_finding_shows_where_its_trees_part(void **state)
{
	AUTO_JSON finding = json_pack(
		"{s:[{s:s,s:s,s:i,s:i},{s:s,s:s,s:i,s:i},{s:s,s:s,s:i,s:i}],s:[{s:s,s:s,s:i,s:i},{s:s,s:s,s:i,s:i},{s:s,s:s,s:i,s:i}]}",
		"expected_tree", "edge", "a > b", "call", "GET /1", "status", 200, "depth", 0, "edge", "b > c", "call", "GET /2",
		"status", 200, "depth", 1, "edge", "a > d", "call", "GET /3", "status", 200, "depth", 0, "got_tree", "edge",
		"a > b", "call", "GET /1", "status", 200, "depth", 0, "edge", "b > c", "call", "GET /```\n2", "status", 503,
		"depth", 1, "edge", "a > d", "call", "GET /3", "status", 200, "depth", 0);
	AUTO_BUF text = buf_new(4096);

	(void)state;
	finding_trees_format(&text, finding, "  ");
	assert_string_equal(text.at, "    a > b GET /1 -> 200\n"
				     "  -   b > c GET /2 -> 200\n"
				     "  +   b > c GET /''' 2 -> 503\n"
				     "    a > d GET /3 -> 200\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_are_shown_under_what_they_came_of),
		cmocka_unit_test(the_cause_has_the_same_trace),
		cmocka_unit_test(causes_that_go_round_are_cut),
		cmocka_unit_test(cascades_are_found_where_the_base_has_none),
		cmocka_unit_test(what_a_call_is_part_of_is_handed_on),
		cmocka_unit_test(ids_that_are_handed_on_at_once_are_not_made_anew),
		cmocka_unit_test(a_finding_shows_where_its_trees_part),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
