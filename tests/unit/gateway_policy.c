/* Rules, names, addresses, server names and stubs: what decides whether something may leave. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#include "base/scope.h"
#include "net/hello.h"
#include "gateway/policy/policy.h"
#include "gateway/stub.h"

static void deny_wins_and_what_no_rule_names_is_denied(void **state)
{
	static const char rules[] =
		"[{\"host\": \"a.example\", \"action\": \"allow\"}, {\"host\": \"*.b.example\", \"action\": \"allow\"},"
		" {\"host\": \"x.b.example\", \"action\": \"deny\"}, {\"host\": \"db.example:5432\", \"action\": \"allow\"},"
		" {\"host\": \"*.c.example\", \"action\": \"deny\"}, {\"host\": \"ok.c.example\", \"action\": \"allow\"},"
		" {\"host\": \"p.example\", \"action\": \"allow\"}, {\"host\": \"p.example\", \"port\": 443, \"action\": \"deny\"}]";
	static const struct {
		const char *host;
		uint16_t port;
		bool allowed;
		bool resolves;
	} rows[] = {
		{"a.example", 443, true, true},     {"a.example", 80, true, true},      {"a.example", 22, false, true},
		{"b.a.example", 443, false, false}, {"b.example", 443, false, false},   {"q.b.example", 443, true, true},
		{"q.r.b.example", 443, true, true}, {"x.b.example", 443, false, false}, {"xb.example", 443, false, false},
		{"db.example", 5432, true, true},   {"db.example", 443, false, true},   {"ok.c.example", 443, false, false},
		{"p.example", 80, true, true},      {"p.example", 443, false, true},    {"evil.example", 443, false, false},
	};
	AUTO_JSON json = json_parse(VIEW(rules), NULL);
	struct policy *policy = policy_new(json, NULL, NULL);
	const char *why;

	(void)state;
	assert_non_null(policy);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (policy_allows(policy, NULL, rows[i].host, rows[i].port, &why) != rows[i].allowed)
			fail_msg("%s:%u", rows[i].host, rows[i].port);
		assert_int_equal(policy_resolves(policy, rows[i].host), rows[i].resolves);
	}
	policy_release(policy);
	policy = policy_new(NULL, NULL, NULL);
	assert_false(policy_allows(policy, NULL, "a.example", 443, &why));
	policy_release(policy);
}

static void the_ports_of_a_host_are_those_at_which_something_may_go(void **state)
{
	static const char above[] = "[{\"host\": \"*\", \"port\": 25, \"action\": \"deny\"}]";
	static const char rules[] = "[{\"host\": \"web.example\", \"action\": \"allow\"},"
				    " {\"host\": \"db.example\", \"port\": 5432, \"action\": \"allow\"},"
				    " {\"host\": \"db.example\", \"port\": 5433, \"action\": \"approve\"},"
				    " {\"host\": \"db.example\", \"port\": 5434, \"action\": \"deny\"},"
				    " {\"host\": \"mail.example\", \"port\": 25, \"action\": \"allow\"},"
				    " {\"host\": \"*.git.example\", \"port\": 22, \"action\": \"passthrough\"},"
				    " {\"host\": \"*.git.example\", \"action\": \"allow\"}]";
	static const struct {
		const char *host, *ports;
	} rows[] = {{"web.example", "443 80 "},      {"db.example", "5432 5433 "}, {"mail.example", ""},
		    {"a.git.example", "443 80 22 "}, {"git.example", ""},          {"none.example", ""}};
	AUTO_JSON json = json_parse(VIEW(rules), NULL);
	AUTO_JSON above_json = json_parse(VIEW(above), NULL);
	struct policy *organisation = policy_new(above_json, NULL, NULL);
	struct policy *policy = policy_new(json, organisation, NULL);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint16_t ports[4];
		size_t count = policy_ports(policy, rows[i].host, ports, ARRAY_LEN(ports));
		AUTO_BUF text = buf_new(100);

		for (size_t k = 0; k < count; k++)
			buf_add_format(&text, "%u ", ports[k]);
		assert_string_equal(count ? text.at : "", rows[i].ports);
	}
	assert_int_equal(policy_ports(policy, "db.example", (uint16_t[1]){0}, 1), 1);
	policy_release(policy);
	policy_release(organisation);
}

static void of_several_repositories_each_must_be_allowed_and_one_may_be_denied(void **state)
{
	static const char rules[] = "[{\"host\": \"lib.example\", \"action\": \"allow\", \"repositories\": [\"lib\"]},"
				    " {\"host\": \"both.example\", \"action\": \"allow\", \"repositories\": [\"lib\", \"sh*\"]},"
				    " {\"host\": \"not.example\", \"action\": \"allow\"},"
				    " {\"host\": \"not.example\", \"action\": \"deny\", \"repositories\": [\"lib\"]}]";
	static const struct {
		const char *repository;
		bool lib, both, not ;
	} rows[] = {{"lib", true, true, false},
		    {"shop", false, true, true},
		    {"shop+lib", false, true, false},
		    {"lib+shop", false, true, false}};
	AUTO_JSON json = json_parse(VIEW(rules), NULL);
	struct policy *policy = policy_new(json, NULL, NULL);
	const char *why;

	(void)state;
	assert_non_null(policy);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct egress_origin origin = {.repository = rows[i].repository};

		if (policy_allows(policy, &origin, "lib.example", 443, &why) != rows[i].lib ||
		    policy_allows(policy, &origin, "both.example", 443, &why) != rows[i].both ||
		    policy_allows(policy, &origin, "not.example", 443, &why) != rows[i].not )
			fail_msg("%s", rows[i].repository);
	}
	policy_release(policy);
}

static void one_bad_rule_refuses_all(void **state)
{
	static const char *const rows[] = {
		"[{}]",
		"[{\"action\": \"allow\"}]",
		"[{\"host\": \"a.example\"}]",
		"[{\"host\": \"a.example\", \"action\": \"Allow\"}]",
		"[{\"host\": \"a.example\", \"action\": \"allow\"}, {\"host\": \"a..example\", \"action\": \"allow\"}]",
		"[{\"host\": \"**.example\", \"action\": \"allow\"}]",
		"[{\"host\": \"a.*.example\", \"action\": \"allow\"}]",
		"[{\"host\": \"127.1\", \"action\": \"allow\"}]",
		"[{\"host\": \"*.0.0.1\", \"action\": \"allow\"}]",
		"[{\"host\": \"a.example:0\", \"action\": \"allow\"}]",
		"[{\"host\": \"a.example:99999\", \"action\": \"allow\"}]",
		"[{\"host\": \"\", \"action\": \"allow\"}]",
		"[{\"host\": \"a/b\", \"action\": \"allow\"}]",
		"[{\"host\": \"a.example\", \"action\": \"allow\", \"metods\": [\"GET\"]}]",
		"[{\"host\": \"a.example\", \"action\": \"allow\", \"methods\": []}]",
		"[{\"host\": \"a.example\", \"action\": \"allow\", \"methods\": [\"get\"]}]",
		"[{\"host\": \"a.example\", \"action\": \"allow\", \"paths\": [\"x\"]}]",
		"[{\"host\": \"a.example\", \"action\": \"allow\", \"paths\": \"/x\"}]",
		"[{\"host\": \"a.example\", \"action\": \"passthrough\", \"paths\": [\"/x\"]}]",
		"[{\"id\": \"x\", \"host\": \"a.example\", \"action\": \"deny\"}, {\"id\": \"x\", \"host\": \"b.example\", \"action\": \"deny\"}]",
		"[{\"host\": \"a.example\", \"action\": \"allow\", \"port\": \"443\"}]",
		"[{\"host\": \"a.example:443x\", \"action\": \"allow\"}]",
		"{\"rules\": [], \"ceiling\": \"yes\"}",
		"{\"rule\": []}",
		"\"allow\"",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_JSON json = json_parse(view_of(rows[i]), NULL);
		struct err err = {0};

		if (policy_new(json, NULL, &err))
			fail_msg("%s was taken", rows[i]);
	}
}

static void a_name_has_one_form_or_none(void **state)
{
	static const struct {
		const char *text;
		const char *host; /* NULL: none */
	} rows[] = {
		{"A.Example.", "a.example"},
		{"a_b-c.x1", "a_b-c.x1"},
		{"xn--bcher-kva.example", "xn--bcher-kva.example"},
		{"", NULL},
		{".", NULL},
		{"a..b", NULL},
		{"a.b..", NULL},
		{".a", NULL},
		{"1.2.3.4", NULL},
		{"127.1", NULL},
		{"2130706433", NULL},
		{"0x7f000001", NULL},
		{"a.0x1", NULL},
		{"::1", NULL},
		{"[::1]", NULL},
		{"a b", NULL},
		{"a%2eb", NULL},
		{"a@b", NULL},
		{"a:80", NULL},
		{"о.example", NULL},
		{"a\\b", NULL},
	};
	AUTO_BUF large = buf_new(400);
	char host[HOST_NAME_MAX_BYTES];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		bool good = host_canonical(view_of(rows[i].text), host);

		if (good != (rows[i].host != NULL))
			fail_msg("`%s`", rows[i].text);
		if (good)
			assert_string_equal(host, rows[i].host);
	}
	assert_false(host_canonical(view_make("a\0b", 3), host));
	for (int i = 0; i < 64; i++)
		buf_add_char(&large, 'a');
	assert_false(host_canonical(buf_view(&large), host));
	for (int i = 0; i < 5; i++)
		buf_add_text(&large, ".aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
	assert_false(host_canonical(view_make(large.at + 10, large.length - 10), host));
}

static void only_public_addresses_are_dialled(void **state)
{
	static const struct {
		const char *text;
		bool public;
	} rows[] = {
		{"8.8.8.8", true},
		{"1.1.1.1", true},
		{"172.15.0.1", true},
		{"172.32.0.1", true},
		{"0.0.0.0", false},
		{"10.1.2.3", false},
		{"100.100.100.200", false},
		{"127.0.0.1", false},
		{"169.254.169.254", false},
		{"172.16.0.1", false},
		{"172.31.255.255", false},
		{"192.168.1.1", false},
		{"192.0.0.192", false},
		{"168.63.129.16", false},
		{"198.18.0.1", false},
		{"198.51.100.1", false},
		{"203.0.113.9", false},
		{"224.0.0.1", false},
		{"255.255.255.255", false},
		{"2606:4700::1", true},
		{"2a00:1450::1", true},
		{"::1", false},
		{"::", false},
		{"::ffff:8.8.8.8", false},
		{"64:ff9b::7f00:1", false},
		{"fe80::1", false},
		{"fd00:ec2::254", false},
		{"ff02::1", false},
		{"2002:7f00:1::", false},
		{"2001:db8::1", false},
		{"2001::1", false},
		{"::127.0.0.1", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct sockaddr_in v4 = {.sin_family = AF_INET};
		struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
		bool is4 = inet_pton(AF_INET, rows[i].text, &v4.sin_addr) == 1;

		if (!is4)
			assert_int_equal(inet_pton(AF_INET6, rows[i].text, &v6.sin6_addr), 1);
		if (address_is_public(is4 ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6) != rows[i].public)
			fail_msg("%s", rows[i].text);
	}
}

/* A ClientHello: `extensions` as they are. */
static void hello_make(struct buf *out, struct view extensions)
{
	size_t body = 2 + 32 + 1 + 4 + 2 + 2 + extensions.length;
	const char head[] = {0x16, 3, 1, (char)((body + 4) >> 8), (char)(body + 4), 1, 0, (char)(body >> 8), (char)body, 3, 3};

	buf_add(out, head, sizeof(head));
	for (int i = 0; i < 32; i++)
		buf_add_char(out, 7);
	buf_add(out, "\0\0\2\x13\1\1\0", 7);
	buf_add_char(out, (char)(extensions.length >> 8));
	buf_add_char(out, (char)extensions.length);
	buf_add_view(out, extensions);
}

static void the_server_name_is_found_in_one_piece_or_many(void **state)
{
	static const struct {
		const char *bytes;
		size_t length;
		enum hello_result result;
		const char *name;
	} rows[] = {
		{"\0\0\0\x0e\0\x0c\0\0\x09"
		 "a.example",
		 18, HELLO_DONE, "a.example"},
		{"\0\x2b\0\3\2\3\4\0\0\0\x06\0\4\0\0\1"
		 "a",
		 17, HELLO_DONE, "a"},
		{"\0\x2b\0\3\2\3\4", 7, HELLO_DONE, ""},
		{"\0\0\0\x0e\0\x0c\1\0\x09"
		 "a.example",
		 18, HELLO_BAD, NULL}, /* no host_name */
		{"\0\0\0\x0e\0\x0b\0\0\x09"
		 "a.example",
		 18, HELLO_BAD, NULL}, /* list length wrong */
		{"\0\0\0\x0a\0\x08\0\0\1"
		 "a\0\0\1"
		 "b",
		 14, HELLO_BAD, NULL}, /* two names */
		{"\0\0\0\xff\0\x0c\0\0\x09"
		 "a.example",
		 18, HELLO_BAD, NULL}, /* longer than there is */
		{"\0\0\0\6\0\4\0\0\1"
		 "a\0\0\0\6\0\4\0\0\1"
		 "b",
		 20, HELLO_BAD, NULL}, /* the extension twice */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_BUF bytes = buf_new(4096);
		AUTO_BUF scratch = buf_new(HELLO_BYTES_MAX * 2);
		struct view name;

		hello_make(&bytes, view_make(rows[i].bytes, rows[i].length));
		for (size_t length = 1; length < bytes.length; length++)
			assert_int_equal(hello_parse(view_make(bytes.at, length), &scratch, &name), HELLO_MORE);
		if (hello_parse(buf_view(&bytes), &scratch, &name) != rows[i].result)
			fail_msg("row %zu", i);
		if (rows[i].name)
			assert_true(view_is(name, rows[i].name));
	}
}

static void what_is_no_hello_is_refused_at_once(void **state)
{
	static const char *const rows[] = {"GET / HTTP/1.1\r\n", "SSH-2.0-x\r\n", "\x16\x02\x01", "\x17\x03\x03\x01\x01",
					   "\x16\x03\x01\xff\xff"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_BUF scratch = buf_new(4096);
		struct view name;

		assert_int_equal(hello_parse(view_of(rows[i]), &scratch, &name), HELLO_BAD);
	}
}

static void the_first_row_of_a_stub_that_fits_answers(void **state)
{
	static const struct {
		const char *method;
		const char *target;
		int status; /* 0: none fits */
	} rows[] = {
		{"POST", "/v1/pay", 1},   {"post", "/v1/pay?x=1", 1}, {"GET", "/v1/pay", 3}, {"GET", "/v1/list", 2},
		{"GET", "/v1/list/9", 2}, {"GET", "/q?a=1", 4},       {"GET", "/q?a=2", 0},  {"GET", "/", 0},
	};
	AUTO_JSON stub = json_parse(
		VIEW("[{\"request\": {\"method\": \"POST\", \"path\": \"/v1/pay\"}, \"response\": {\"status\": 1}},"
		     "{\"request\": {\"path\": \"/v1/list*\"}, \"response\": {\"status\": 2}},"
		     "{\"request\": {\"path\": \"/v1/*\"}, \"response\": {\"status\": 3}},"
		     "{\"request\": {\"path\": \"/q?a=1\"}, \"response\": {\"status\": 4}}]"),
		NULL);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(json_number(stub_find(stub, view_of(rows[i].method), view_of(rows[i].target)), "status", 0),
				 rows[i].status);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(deny_wins_and_what_no_rule_names_is_denied),
		cmocka_unit_test(the_ports_of_a_host_are_those_at_which_something_may_go),
		cmocka_unit_test(of_several_repositories_each_must_be_allowed_and_one_may_be_denied),
		cmocka_unit_test(one_bad_rule_refuses_all),
		cmocka_unit_test(a_name_has_one_form_or_none),
		cmocka_unit_test(only_public_addresses_are_dialled),
		cmocka_unit_test(the_server_name_is_found_in_one_piece_or_many),
		cmocka_unit_test(what_is_no_hello_is_refused_at_once),
		cmocka_unit_test(the_first_row_of_a_stub_that_fits_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
