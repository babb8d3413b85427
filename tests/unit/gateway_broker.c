/* Credentials put in, found where they may not be, and masked. Those named by a number are of the list of attacks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "asked.h"
#include "base/scope.h"
#include "gateway/egress/broker.h"

#define KEY "sk-ant-api03-REALREALREALREALREALREALREALREAL+/="
#define KEY_HELD               \
	"sk-ant-api03-xAssay0" \
	"abcdefghijABCDEFGHIJ01234567"
#define TOKEN "ghp_0123456789abcdefghijABCDEFGHIJ012345"
#define TOKEN_HELD "ghp_xAssay0abcdefghijABCDEFGHIJ012345678"
#define QUERY "AIzaSyReal/Value with blanks & more----"
#define QUERY_HELD "AIzaxAssay0abcdefghijABCDEFGHIJ01234567"
#define BODY "client-secret-of-the-real-kind-0123456"
#define BODY_HELD "xAssay0-placeholder-of-a-body-01234567"

static const struct {
	const char *name, *held, *value;
} values[] = {{"anthropic", KEY_HELD, KEY}, {"github", TOKEN_HELD, TOKEN}, {"maps", QUERY_HELD, QUERY}, {"oauth", BODY_HELD, BODY}};

static struct broker *broker_all(void)
{
	AUTO_JSON list = json_pack("[{s:s,s:s,s:[s],s:s},{s:s,s:s,s:[s,s],s:s},{s:s,s:s,s:[s],s:s},{s:s,s:s,s:[s],s:s,s:b}]",
				   "name", "anthropic", "placeholder", KEY_HELD, "for", "POST https://api.anthropic.com/v1/*", "in",
				   "header:x-api-key", "name", "github", "placeholder", TOKEN_HELD, "for",
				   "GET https://github.com/acme/app.git/*", "POST https://github.com/acme/app.git/git-upload-pack",
				   "in", "basic", "name", "maps", "placeholder", QUERY_HELD, "for", "https://maps.test/*", "in",
				   "query:key", "name", "oauth", "placeholder", BODY_HELD, "for", "POST https://login.test/token",
				   "in", "body", "require", 1);
	struct broker *broker = NULL;
	struct err err = {0};

	assert_non_null(list);
	if (broker_new(list, &broker, &err))
		fail_msg("%s", err.text);
	return broker;
}

static void release_all(const struct broker *broker, struct broker_plan *plan, const struct egress_request *request)
{
	for (size_t i = 0; i < plan->count; i++) {
		struct vault_release_request ask;
		struct vault_release_reply reply = {.errno_value = ENOENT};
		struct egress_verdict verdict;

		broker_ask(broker, plan, i, request, &ask);
		assert_string_equal(ask.env, "e1");
		assert_string_equal(ask.host, request->host);
		for (size_t k = 0; k < ARRAY_LEN(values); k++)
			if (strcmp(values[k].name, ask.name) == 0) {
				reply.errno_value = 0;
				reply.value_bytes = (uint32_t)strlen(values[k].value);
				memcpy(reply.value, values[k].value, strlen(values[k].value));
			}
		assert_int_equal(broker_answered(broker, plan, i, &reply, &verdict), 0);
	}
}

static struct view header_of(const struct egress_request *request, const char *name)
{
	for (size_t i = 0; i < request->field_count; i++)
		if (view_is(request->fields[i].name, name))
			return request->fields[i].value;
	return VIEW("");
}

struct row {
	const char *method, *host, *target;
	const char *fields[4];
	const char *rule; /* NULL: not refused */
};

static void rows_judge(const struct row *rows, size_t count)
{
	struct broker *broker = broker_all();

	for (size_t i = 0; i < count; i++) {
		struct broker_plan plan = {0, NULL};
		struct egress_verdict verdict = {.action = EGRESS_ALLOW};
		struct asked asked;
		enum broker_answer answer;

		ask_fill(&asked, rows[i].method, rows[i].host, rows[i].target, rows[i].fields);
		answer = broker_judge(broker, &asked.request, &plan, &verdict);
		if ((answer == BROKER_REFUSED) != (rows[i].rule != NULL) ||
		    (rows[i].rule && strcmp(verdict.rule, rows[i].rule) != 0))
			fail_msg("row %zu, %s %s%s: %s", i, rows[i].method, rows[i].host, rows[i].target,
				 answer == BROKER_REFUSED ? verdict.rule : "not refused");
		if (answer == BROKER_REFUSED)
			assert_int_equal(verdict.action, EGRESS_DENY);
		broker_plan_fini(&plan);
	}
	broker_free(broker);
}

/* ---- putting in ---- */

static void a_header_gets_the_credential_and_the_answer_stays_readable(void **state)
{
	static const char *const fields[] = {"x-api-key: " KEY_HELD, "accept-encoding: gzip, br", "range: bytes=0-3", "accept: */*",
					     NULL};
	struct broker *broker = broker_all();
	struct broker_plan plan = {0, NULL};
	struct egress_verdict verdict;
	struct broker_head head;
	struct asked asked;

	(void)state;
	ask_fill(&asked, "POST", "api.anthropic.com", "/v1/messages", fields);
	assert_int_equal(broker_judge(broker, &asked.request, &plan, &verdict), BROKER_RELEASE);
	assert_int_equal(plan.count, 1);
	release_all(broker, &plan, &asked.request);
	assert_int_equal(broker_apply(broker, &plan, &asked.request, &head, &verdict), 0);
	assert_true(view_is(header_of(&head.request, "x-api-key"), KEY));
	assert_true(view_is(header_of(&head.request, "accept-encoding"), "identity"));
	assert_true(view_is(header_of(&head.request, "accept"), "*/*"));
	assert_int_equal(header_of(&head.request, "range").length, 0);
	broker_head_fini(&head);
	broker_plan_fini(&plan);
	broker_free(broker);
}

static void item_55_basic_authentication_of_git_gets_the_token(void **state)
{
	struct broker *broker = broker_all();
	AUTO_BUF basic = buf_new(1024);
	AUTO_BUF plain = buf_new(1024);
	const char *fields[2] = {NULL, NULL};
	struct broker_plan plan = {0, NULL};
	struct egress_verdict verdict;
	struct broker_head head;
	struct asked asked;

	(void)state;
	buf_add_text(&basic, "authorization: Basic ");
	buf_add_base64(&basic, "x-access-token:" TOKEN_HELD, strlen("x-access-token:" TOKEN_HELD));
	fields[0] = basic.at;
	ask_fill(&asked, "GET", "github.com", "/acme/app.git/info/refs?service=git-upload-pack", fields);
	assert_int_equal(broker_judge(broker, &asked.request, &plan, &verdict), BROKER_RELEASE);
	release_all(broker, &plan, &asked.request);
	assert_int_equal(broker_apply(broker, &plan, &asked.request, &head, &verdict), 0);
	assert_int_equal(buf_add_unbase64(&plain,
					  view_make(header_of(&head.request, "authorization").at + 6,
						    header_of(&head.request, "authorization").length - 6),
					  NULL),
			 0);
	assert_true(view_is(buf_view(&plain), "x-access-token:" TOKEN));
	broker_head_fini(&head);
	broker_plan_fini(&plan);
	/* Its own token may fetch, and not push. */
	ask_fill(&asked, "POST", "github.com", "/acme/app.git/git-receive-pack", fields);
	assert_int_equal(broker_judge(broker, &asked.request, &plan, &verdict), BROKER_REFUSED);
	broker_plan_fini(&plan);
	broker_free(broker);
}

static void a_query_gets_it_percent_encoded(void **state)
{
	struct broker *broker = broker_all();
	struct broker_plan plan = {0, NULL};
	struct egress_verdict verdict;
	struct broker_head head;
	struct asked asked;

	(void)state;
	ask_fill(&asked, "GET", "maps.test", "/geo?q=a%20b&key=" QUERY_HELD "&x=1", NULL);
	assert_int_equal(broker_judge(broker, &asked.request, &plan, &verdict), BROKER_RELEASE);
	release_all(broker, &plan, &asked.request);
	assert_int_equal(broker_apply(broker, &plan, &asked.request, &head, &verdict), 0);
	assert_true(view_is(head.request.query, "q=a%20b&key=AIzaSyReal%2FValue%20with%20blanks%20%26%20more----&x=1"));
	broker_head_fini(&head);
	broker_plan_fini(&plan);
	broker_free(broker);
}

static void a_body_gets_it_whatever_the_pieces(void **state)
{
	const char *text = "grant=x&client_secret=" BODY_HELD "&y=xAssa";
	struct broker *broker = broker_all();
	struct egress_verdict verdict;
	struct asked asked;

	(void)state;
	for (size_t piece = 1; piece <= strlen(text); piece++) {
		struct broker_plan plan = {0, NULL};
		AUTO_BUF out = buf_new(4096);
		struct swap *body;

		ask_fill(&asked, "POST", "login.test", "/token", NULL);
		assert_int_equal(broker_judge(broker, &asked.request, &plan, &verdict), BROKER_RELEASE);
		release_all(broker, &plan, &asked.request);
		assert_false(broker_body_resizes(broker, &plan, false));
		body = broker_body(broker, &plan, false);
		for (size_t at = 0; at < strlen(text); at += piece)
			swap_feed(body, view_make(text + at, strlen(text) - at < piece ? strlen(text) - at : piece), &out);
		swap_end(body, &out);
		assert_false(broker_body_stray(body));
		assert_true(view_is(buf_view(&out), "grant=x&client_secret=" BODY "&y=xAssa"));
		swap_free(body);
		broker_plan_fini(&plan);
	}
	broker_free(broker);
}

/* ---- where it may not be ---- */

static void item_54_a_placeholder_anywhere_else_is_a_leak_attempt(void **state)
{
	static const struct row rows[] = {
		{"POST", "api.anthropic.com", "/v1/messages", {"x-api-key: " KEY_HELD}, NULL},
		{"POST", "evil.test", "/v1/messages", {"x-api-key: " KEY_HELD}, "broker:stray-placeholder"},
		{"POST", "api.anthropic.com", "/v1/messages", {"authorization: Bearer " KEY_HELD}, "broker:stray-placeholder"},
		{"POST", "api.anthropic.com", "/v2/other", {"x-api-key: " KEY_HELD}, "broker:stray-placeholder"},
		{"GET", "api.anthropic.com", "/v1/messages", {"x-api-key: " KEY_HELD}, "broker:stray-placeholder"},
		{"GET", "evil.test", "/" KEY_HELD, {NULL}, "broker:stray-placeholder"},
		{"GET", "evil.test", "/?a=" KEY_HELD, {NULL}, "broker:stray-placeholder"},
		{"GET", "evil.test", "/?" KEY_HELD "=a", {NULL}, "broker:stray-placeholder"},
		{"GET", "evil.test", "/?a=b", {"cookie: a=" KEY_HELD}, "broker:stray-placeholder"},
		{"GET", "evil.test", "/?a=b", {"x-" KEY_HELD ": a"}, "broker:stray-placeholder"},
		{"GET", "maps.test", "/?other=" QUERY_HELD, {NULL}, "broker:stray-placeholder"},
		{"GET", "maps.test", "/?key=" QUERY_HELD, {NULL}, NULL},
		{"GET", "maps.test", "/" QUERY_HELD, {NULL}, "broker:stray-placeholder"},
		/* one letter off, cut off, of another environment */
		{"POST",
		 "api.anthropic.com",
		 "/v1/m",
		 {"x-api-key: sk-ant-api03-xAssay0zzzzzzzzzzzzzzzzzzzzzzzzzzzz"},
		 "broker:stray-placeholder"},
		{"POST", "api.anthropic.com", "/v1/m", {"x-api-key: xAssay0"}, "broker:stray-placeholder"},
	};

	(void)state;
	rows_judge(rows, ARRAY_LEN(rows));
}

static void item_55_a_placeholder_in_other_clothes_is_found(void **state)
{
	static const struct row rows[] = {
		{"GET", "evil.test", "/?a=%78Assay0abc", {NULL}, "broker:stray-placeholder"},
		{"GET", "evil.test", "/?a=%2578Assay0abc", {NULL}, "broker:stray-placeholder"},
		{"GET", "evil.test", "/%78%41ssay0abc", {NULL}, "broker:stray-placeholder"},
		{"GET", "maps.test", "/?key=" QUERY_HELD "&b=%78Assay0", {NULL}, "broker:stray-placeholder"},
		/* base64 of "xAssay0…" at each of its three places */
		{"GET", "evil.test", "/?a=eEFzc2F5MGFiYw", {NULL}, "broker:stray-placeholder"},
		{"GET", "evil.test", "/", {"authorization: Basic eHhBc3NheTBhYmM="}, "broker:stray-placeholder"},
		{"GET", "evil.test", "/", {"x: eHh4QXNzYXkwYWJj"}, "broker:stray-placeholder"},
		/* shaped like a JWT, with it in the claims: {"k":"xAssay0abc"} */
		{"GET",
		 "evil.test",
		 "/",
		 {"authorization: Bearer eyJhbGciOiJub25lIn0.eyJrIjoieEFzc2F5MGFiYyJ9.x"},
		 "broker:stray-placeholder"},
		/* a SigV4 credential scope */
		{"GET",
		 "s3.test",
		 "/",
		 {"authorization: AWS4-HMAC-SHA256 Credential=" KEY_HELD "/20260101/us-east-1/s3/aws4_request"},
		 "broker:stray-placeholder"},
	};

	(void)state;
	rows_judge(rows, ARRAY_LEN(rows));
}

static void item_55_a_body_with_a_placeholder_that_does_not_go_there_is_found(void **state)
{
	static const char *const bodies[] = {
		"{\"key\": \"" KEY_HELD "\"}",
		"a=eEFzc2F5MGFiYw",
		"\x01\x02 eHh4QXNzYXkwYWJj",
		"xAssay0",
	};
	struct broker *broker = broker_all();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++)
		for (size_t piece = 1; piece < 10; piece++) {
			struct swap *body = broker_body(i % 2 ? broker : NULL, NULL, false);
			AUTO_BUF out = buf_new(4096);
			bool early = false;

			for (size_t at = 0; at < strlen(bodies[i]); at += piece) {
				size_t left = strlen(bodies[i]) - at;

				swap_feed(body, view_make(bodies[i] + at, left < piece ? left : piece), &out);
				/* nothing of the mark is let go before it is known */
				early = early || (!broker_body_stray(body) && view_find(buf_view(&out), VIEW("xAssay0")) >= 0);
			}
			swap_end(body, &out);
			assert_true(broker_body_stray(body));
			assert_false(early);
			swap_free(body);
		}
	broker_free(broker);
}

static void item_59_a_brokered_host_takes_no_other_credential(void **state)
{
	static const struct row rows[] = {
		{"POST",
		 "api.anthropic.com",
		 "/v1/files",
		 {"x-api-key: sk-ant-api03-of-the-attacker"},
		 "broker:foreign-credential"},
		{"POST", "api.anthropic.com", "/v1/files", {"authorization: Bearer of-the-attacker"}, "broker:foreign-credential"},
		{"POST",
		 "api.anthropic.com",
		 "/v1/files",
		 {"x-api-key: " KEY_HELD, "authorization: Bearer x"},
		 "broker:foreign-credential"},
		{"POST",
		 "api.anthropic.com",
		 "/v1/files",
		 {"x-api-key: " KEY_HELD, "x-api-key: of-the-attacker"},
		 "broker:foreign-credential"},
		{"POST", "api.anthropic.com", "/v1/files", {"x-api-key: " KEY_HELD "," KEY_HELD}, "broker:foreign-credential"},
		{"POST", "api.anthropic.com", "/v1/files", {"x-api-key: of-the-attacker, " KEY_HELD}, "broker:foreign-credential"},
		{"POST", "api.anthropic.com", "/v1/files", {"x_api_key: of-the-attacker"}, "broker:foreign-credential"},
		{"POST", "api.anthropic.com", "/v1/files", {"x-api_key: of-the-attacker"}, "broker:foreign-credential"},
		{"POST", "api.anthropic.com", "/v1/files?api_key=of-the-attacker", {NULL}, "broker:foreign-credential"},
		{"GET", "maps.test", "/?key=of-the-attacker", {NULL}, "broker:foreign-credential"},
		{"GET", "github.com", "/acme/app.git/info/refs", {"authorization: Basic YTpi"}, "broker:foreign-credential"},
		{"GET", "github.com", "/other/repo.git/info/refs", {"authorization: Basic YTpi"}, "broker:foreign-credential"},
		{"GET", "github.com", "/acme/app.git/info/refs", {"accept: */*"}, NULL}, /* without any: the origin asks for it */
		{"GET", "evil.test", "/", {"authorization: Bearer of-another-service"}, NULL},
	};

	(void)state;
	rows_judge(rows, ARRAY_LEN(rows));
}

static void item_59_two_authorization_fields_are_refused(void **state)
{
	AUTO_JSON list = json_pack("[{s:s,s:s,s:[s],s:s,s:b}]", "name", "openai", "placeholder", KEY_HELD, "for",
				   "POST https://api.openai.com/v1/*", "in", "header:Authorization", "require", 1);
	static const struct {
		const char *fields[3];
		const char *rule;
	} rows[] = {
		{{"authorization: Bearer " KEY_HELD, NULL}, NULL},
		{{"authorization: Bearer " KEY_HELD, "authorization: Bearer " KEY_HELD, NULL}, "broker:foreign-credential"},
		{{"authorization: Bearer " KEY_HELD, "authorization: Bearer other", NULL}, "broker:foreign-credential"},
		{{"authorization: Bearer other", NULL}, "broker:foreign-credential"},
		{{"accept: */*", NULL}, "broker:credential-required"},
		{{"authorization: Bearer " KEY_HELD, "cookie: session=of-the-attacker", NULL}, "broker:foreign-credential"},
	};
	struct broker *broker = NULL;
	struct err err = {0};

	(void)state;
	assert_int_equal(broker_new(list, &broker, &err), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct broker_plan plan = {0, NULL};
		struct egress_verdict verdict = {.action = EGRESS_ALLOW};
		struct asked asked;

		ask_fill(&asked, "POST", "api.openai.com", "/v1/responses", rows[i].fields);
		assert_int_equal(broker_judge(broker, &asked.request, &plan, &verdict),
				 rows[i].rule ? BROKER_REFUSED : BROKER_RELEASE);
		if (rows[i].rule)
			assert_string_equal(verdict.rule, rows[i].rule);
		broker_plan_fini(&plan);
	}
	broker_free(broker);
}

static void item_33_a_value_with_a_line_end_is_never_put_in(void **state)
{
	static const char *const fields[] = {"x-api-key: " KEY_HELD, NULL};
	struct vault_release_reply reply = {.value_bytes = 20};
	struct broker *broker = broker_all();
	struct broker_plan plan = {0, NULL};
	struct egress_verdict verdict;
	struct asked asked;

	(void)state;
	memcpy(reply.value, "value\r\nhost: evil.te", 20);
	ask_fill(&asked, "POST", "api.anthropic.com", "/v1/messages", fields);
	assert_int_equal(broker_judge(broker, &asked.request, &plan, &verdict), BROKER_RELEASE);
	assert_int_equal(broker_answered(broker, &plan, 0, &reply, &verdict), -1);
	assert_string_equal(verdict.rule, "broker:not-released");
	reply.value_bytes = UINT32_MAX;
	assert_int_equal(broker_answered(broker, &plan, 0, &reply, &verdict), -1);
	broker_plan_fini(&plan);
	broker_free(broker);
}

static void item_58_each_credential_is_asked_for_by_its_own_name(void **state)
{
	static const char *const fields[] = {"x-api-key: " KEY_HELD, NULL};
	struct vault_release_request ask;
	struct broker *broker = broker_all();
	struct broker_plan plan = {0, NULL};
	struct egress_verdict verdict;
	struct asked asked;

	(void)state;
	ask_fill(&asked, "POST", "api.anthropic.com", "/v1/messages", fields);
	assert_int_equal(broker_judge(broker, &asked.request, &plan, &verdict), BROKER_RELEASE);
	broker_ask(broker, &plan, 0, &asked.request, &ask);
	assert_string_equal(ask.name, "anthropic"); /* the identity of the connection's pool too */
	assert_string_equal(ask.path, "/v1/messages");
	broker_plan_fini(&plan);
	broker_free(broker);
}

/* ---- coming back ---- */

static void item_56_what_the_origin_echoes_is_masked_in_every_piece(void **state)
{
	static const char *const fields[] = {"x-api-key: " KEY_HELD, NULL};
	struct broker *broker = broker_all();
	struct broker_plan plan = {0, NULL};
	AUTO_BUF text = buf_new(4096);
	AUTO_BUF base64 = buf_new(4096);
	AUTO_BUF url = buf_new(4096);
	AUTO_BUF hex = buf_new(4096);
	struct egress_verdict verdict;
	struct asked asked;

	(void)state;
	ask_fill(&asked, "POST", "api.anthropic.com", "/v1/messages", fields);
	assert_int_equal(broker_judge(broker, &asked.request, &plan, &verdict), BROKER_RELEASE);
	release_all(broker, &plan, &asked.request);
	buf_add_base64(&base64, "user:" KEY, strlen("user:" KEY));
	buf_add_url(&url, VIEW(KEY));
	buf_add_hex(&hex, KEY, strlen(KEY));
	buf_add_format(&text, "{\"a\": \"%s\", \"b\": \"%s\", \"c\": \"%s\", \"d\": \"%s\"} %s %.*s", KEY, base64.at, url.at,
		       hex.at, KEY, (int)strlen(KEY) - 1, KEY);
	for (size_t piece = 1; piece <= text.length; piece++) {
		struct swap *mask = broker_mask(broker, &plan);
		AUTO_BUF out = buf_new(8192);

		for (size_t at = 0; at < text.length; at += piece)
			swap_feed(mask, view_make(text.at + at, text.length - at < piece ? text.length - at : piece), &out);
		swap_end(mask, &out);
		assert_int_equal(out.length, text.length); /* Content-Length stays true */
		assert_int_equal(view_find(buf_view(&out), VIEW(KEY)), -1);
		assert_true(view_find(buf_view(&out), VIEW("{\"a\": \"" KEY_HELD "\"")) == 0);
		assert_int_equal(view_find(buf_view(&out), view_make(base64.at + 8, 30)), -1);
		assert_int_equal(view_find(buf_view(&out), buf_view(&url)), -1);
		assert_int_equal(view_find(buf_view(&out), buf_view(&hex)), -1);
		assert_true(view_ends(buf_view(&out), view_make(KEY, strlen(KEY) - 1))); /* not the whole of it */
		swap_free(mask);
	}
	{
		struct swap *mask = broker_mask(broker, &plan);
		AUTO_BUF out = buf_new(8192);

		swap_text(mask, VIEW("https://x.test/?k=" KEY), &out); /* Location */
		assert_true(view_is(buf_view(&out), "https://x.test/?k=" KEY_HELD));
		swap_free(mask);
	}
	broker_plan_fini(&plan);
	broker_free(broker);
}

static void only_what_could_grow_is_kept_back(void **state)
{
	struct swap *swap = swap_new();
	AUTO_BUF out = buf_new(4096);

	(void)state;
	assert_true(swap_add(swap, VIEW("secret-value"), VIEW("hidden"), 1));
	assert_true(swap_add(swap, VIEW("secret-value-longer"), VIEW("h2"), 2));
	assert_false(swap_add(swap, VIEW("secret-value"), VIEW("x"), 1));
	assert_false(swap_add(swap, VIEW("abc"), VIEW("x"), 1));
	swap_feed(swap, VIEW("data: hello\n\n"), &out);
	assert_true(view_is(buf_view(&out), "data: hello\n\n")); /* an event stream is not held up */
	swap_feed(swap, VIEW("sec"), &out);
	assert_int_equal(out.length, 13);
	swap_feed(swap, VIEW("ret-valuesecret-value-long"), &out);
	swap_feed(swap, VIEW("er."), &out);
	swap_end(swap, &out);
	assert_true(view_is(buf_view(&out), "data: hello\n\nhiddenh2."));
	assert_int_equal(swap_hits(swap, 2), 1);
	assert_int_equal(swap_hits(swap, 1), 1);
	swap_free(swap);
}

/* Against the plain way of doing it, over random texts of few letters, in random pieces. */
static void it_replaces_as_the_plain_way_does(void **state)
{
	unsigned seed = 1;

	(void)state;
	for (int round = 0; round < 3000; round++) {
		struct swap *swap = swap_new();
		char texts[4][12] = {{0}};
		char data[200];
		size_t length = (size_t)rand_r(&seed) % sizeof(data);
		AUTO_BUF out = buf_new(4096);
		AUTO_BUF want = buf_new(4096);
		int letters = 2 + round % 12;

		for (size_t i = 0; i < 4; i++) {
			size_t bytes = 4 + (size_t)rand_r(&seed) % 7;

			for (size_t k = 0; k < bytes; k++)
				texts[i][k] = (char)('a' + rand_r(&seed) % letters);
			(void)swap_add(swap, view_of(texts[i]), VIEW("#"), 0);
		}
		for (size_t i = 0; i < length; i++)
			data[i] = (char)('a' + rand_r(&seed) % letters);
		for (size_t at = 0; at < length;) {
			size_t best = 0;

			for (size_t i = 0; i < 4; i++)
				if (strlen(texts[i]) > best && view_starts(view_make(data + at, length - at), view_of(texts[i])))
					best = strlen(texts[i]);
			buf_add_char(&want, best ? '#' : data[at]);
			at += best ? best : 1;
		}
		for (size_t at = 0; at < length;) {
			size_t piece = 1 + (size_t)rand_r(&seed) % 20;

			if (round % 3 == 0)
				piece *= 10;
			piece = piece < length - at ? piece : length - at;
			if (round % 2) {
				AUTO_BUF changed = buf_new(4096);

				buf_add_view(&out, swap_pass(swap, view_make(data + at, piece), at + piece == length, &changed));
			} else {
				swap_feed(swap, view_make(data + at, piece), &out);
			}
			at += piece;
		}
		swap_end(swap, &out);
		if (!view_equal(buf_view(&out), buf_view(&want)))
			fail_msg("round %d: %.*s", round, (int)length, data);
		swap_free(swap);
	}
}

static void a_list_with_one_bad_row_is_refused(void **state)
{
	static const char *const lists[] = {
		"{}",
		"[{}]",
		"[{\"name\": \"a\", \"placeholder\": \"no mark\", \"for\": [\"https://a.test/*\"], \"in\": \"basic\"}]",
		"[{\"name\": \"a\", \"placeholder\": \"xAssay0aaaa\", \"for\": [], \"in\": \"basic\"}]",
		"[{\"name\": \"a\", \"placeholder\": \"xAssay0aaaa\", \"for\": [1], \"in\": \"basic\"}]",
		"[{\"name\": \"A\", \"placeholder\": \"xAssay0aaaa\", \"for\": [\"https://a.test/*\"], \"in\": \"basic\"}]",
		"[{\"name\": \"a\", \"placeholder\": \"xAssay0aaaa\", \"for\": [\"https://a.test/*\"], \"in\": \"nowhere\"}]",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		AUTO_JSON json = json_parse(view_of(lists[i]), NULL);
		struct broker *broker = NULL;
		struct err err = {0};

		assert_non_null(json);
		assert_int_equal(broker_new(json, &broker, &err), -1);
		assert_null(broker);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_header_gets_the_credential_and_the_answer_stays_readable),
		cmocka_unit_test(item_55_basic_authentication_of_git_gets_the_token),
		cmocka_unit_test(a_query_gets_it_percent_encoded),
		cmocka_unit_test(a_body_gets_it_whatever_the_pieces),
		cmocka_unit_test(item_54_a_placeholder_anywhere_else_is_a_leak_attempt),
		cmocka_unit_test(item_55_a_placeholder_in_other_clothes_is_found),
		cmocka_unit_test(item_55_a_body_with_a_placeholder_that_does_not_go_there_is_found),
		cmocka_unit_test(item_59_a_brokered_host_takes_no_other_credential),
		cmocka_unit_test(item_59_two_authorization_fields_are_refused),
		cmocka_unit_test(item_33_a_value_with_a_line_end_is_never_put_in),
		cmocka_unit_test(item_58_each_credential_is_asked_for_by_its_own_name),
		cmocka_unit_test(item_56_what_the_origin_echoes_is_masked_in_every_piece),
		cmocka_unit_test(only_what_could_grow_is_kept_back),
		cmocka_unit_test(it_replaces_as_the_plain_way_does),
		cmocka_unit_test(a_list_with_one_bad_row_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
