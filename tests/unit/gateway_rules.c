/* Rules over requests, layer under layer, and the attacks that policy answers; a number is the item of the gateway's list of attacks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/scope.h"
#include "gateway/policy/policy.h"

static struct policy *policy_of(const char *rules, struct policy *above)
{
	struct err err = {0};
	AUTO_JSON json = json_parse(view_of(rules), &err);
	struct policy *policy = json ? policy_new(json, above, &err) : NULL;

	if (!policy)
		fail_msg("%s: %s", rules, err.text);
	return policy;
}

struct ask {
	const char *method;
	const char *url; /* "host:port/path?query" */
	enum egress_action action;
	const char *rule; /* NULL: any */
	bool websocket;
};

/* The host that a request names may have no form: then it is refused before any rule. */
static enum egress_action ask_judge(const struct policy *policy, const struct ask *ask, const struct egress_origin *origin,
				    struct egress_verdict *verdict)
{
	AUTO_BUF path = buf_new(PATH_BYTES_MAX + 1);
	AUTO_BUF query = buf_new(PATH_QUERY_BYTES_MAX);
	const char *slash = strchr(ask->url, '/');
	struct view port_text;
	struct view name = view_cut(view_make(ask->url, (size_t)(slash - ask->url)), ':', &port_text);
	char host[HOST_NAME_MAX_BYTES];
	uint64_t port = 443;
	const char *why;
	struct egress_request request;
	bool address;

	*verdict = (struct egress_verdict){0};
	if ((port_text.at && !view_to_u64(port_text, &port)) || port > 65535 || !port ||
	    !host_or_address_canonical(name, host, &address) || !path_canonical(view_of(slash), &path, &query, &why))
		return EGRESS_DENY;
	request = (struct egress_request){.origin = *origin,
					  .host = host,
					  .port = (uint16_t)port,
					  .tls = true,
					  .method = view_of(ask->method),
					  .path = buf_view(&path),
					  .query = buf_view(&query),
					  .websocket = ask->websocket};
	policy_judge(policy, &request, verdict);
	return verdict->action;
}

static const struct egress_origin somebody = {
	.env = "e1", .sandbox = "workspace", .agent = "claude", .run = "r1", .repository = "acme/shop"};

static void rows_check(const struct policy *policy, const struct ask *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct egress_verdict verdict;
		enum egress_action action = ask_judge(policy, &rows[i], &somebody, &verdict);

		if (action != rows[i].action || (rows[i].rule && strcmp(rows[i].rule, verdict.rule) != 0))
			fail_msg("%s %s: %s by %s", rows[i].method, rows[i].url, egress_action_name(action), verdict.rule);
	}
}

static void methods_and_paths_are_judged(void **state)
{
	static const struct ask rows[] = {
		{"GET", "api.test/repos/acme/shop", EGRESS_ALLOW, "policy:read", false},
		{"POST", "api.test/repos/acme/shop", EGRESS_DENY, "default-deny", false},
		{"POST", "api.test/repos/acme/shop/pulls", EGRESS_APPROVE, "policy:pulls", false},
		{"GET", "api.test/repos/acme/shop/secrets", EGRESS_DENY, "policy:secrets", false},
		{"GET", "api.test/repos/acme/shop/Secrets", EGRESS_DENY, "policy:secrets", false},
		{"GET", "api.test/users", EGRESS_DENY, NULL, false},
		{"GET", "api.test:8443/repos/acme/shop", EGRESS_DENY, NULL, false},
		{"GET", "db.test:5432/", EGRESS_ALLOW, NULL, false},
		{"GET", "db.test/", EGRESS_DENY, NULL, false},
		{"PROPFIND", "free.test/", EGRESS_DENY, "default-deny", false},
		{"DELETE", "free.test/x", EGRESS_ALLOW, NULL, false},
		{"GET", "free.test/x", EGRESS_ALLOW, NULL, true},
		{"GET", "api.test/repos/acme/shop", EGRESS_DENY, NULL, true},
		{"GET", "ws.test/live", EGRESS_ALLOW, NULL, true},
		{"GET", "ws.test/live", EGRESS_DENY, NULL, false},
	};
	struct policy *policy = policy_of(
		"[{\"id\": \"read\", \"host\": \"api.test\", \"methods\": [\"GET\"], \"paths\": [\"/repos/*\"], \"action\": \"allow\"},"
		" {\"id\": \"pulls\", \"host\": \"api.test\", \"methods\": [\"POST\"], \"paths\": [\"/repos/*/*/pulls\"], \"action\": \"approve\"},"
		" {\"id\": \"secrets\", \"host\": \"*.test\", \"paths\": [\"/**/secrets\"], \"action\": \"deny\"},"
		" {\"host\": \"db.test:5432\", \"action\": \"allow\"}, {\"host\": \"free.test\", \"action\": \"allow\"},"
		" {\"host\": \"ws.test\", \"methods\": [\"WEBSOCKET\"], \"action\": \"allow\"}]",
		NULL);

	(void)state;
	rows_check(policy, rows, ARRAY_LEN(rows));
	policy_release(policy);
}

static void the_most_specific_host_decides_and_deny_wins(void **state)
{
	static const struct ask rows[] = {
		{"GET", "a.test/", EGRESS_APPROVE, "policy:all", false},
		{"GET", "x.npm.test/", EGRESS_ALLOW, "policy:npm", false},
		{"GET", "npm.test/", EGRESS_APPROVE, "policy:all", false},
		{"GET", "x.evil.npm.test/", EGRESS_DENY, "policy:evil", false},
		{"GET", "both.test/", EGRESS_APPROVE, "policy:both-2", false},
		{"POST", "reads.test/", EGRESS_APPROVE, "policy:all", false},
		{"GET", "reads.test/", EGRESS_ALLOW, "policy:reads", false},
		{"GET", "8.8.8.8/", EGRESS_DENY, "default-deny", false},
		{"GET", "9.9.9.9/", EGRESS_ALLOW, "policy:nine", false},
	};
	struct policy *policy = policy_of(
		"[{\"id\": \"all\", \"host\": \"*\", \"action\": \"approve\"}, {\"id\": \"npm\", \"host\": \"*.npm.test\", \"action\": \"allow\"},"
		" {\"id\": \"evil\", \"host\": \"*.evil.npm.test\", \"action\": \"deny\"},"
		" {\"id\": \"both-1\", \"host\": \"both.test\", \"action\": \"allow\"}, {\"id\": \"both-2\", \"host\": \"both.test\", \"action\": \"approve\"},"
		" {\"id\": \"reads\", \"host\": \"reads.test\", \"methods\": [\"GET\"], \"action\": \"allow\"},"
		" {\"id\": \"nine\", \"host\": \"9.9.9.9\", \"action\": \"allow\"}]",
		NULL);

	(void)state;
	rows_check(policy, rows, ARRAY_LEN(rows));
	policy_release(policy);
}

static void the_organisation_is_above_the_blueprint(void **state)
{
	static const struct ask rows[] = {
		{"GET", "bad.test/", EGRESS_DENY, "policy:no-bad", false},
		{"GET", "ask.test/", EGRESS_APPROVE, "policy:ask", false},
		{"GET", "ours.test/", EGRESS_ALLOW, "policy:ours", false},
		{"GET", "mine.test/", EGRESS_ALLOW, "policy:mine", false},
		{"GET", "not-ours.test/", EGRESS_DENY, "policy:not", false},
		{"GET", "other-repo.test/", EGRESS_DENY, NULL, false},
		{"GET", "codex.test/", EGRESS_DENY, NULL, false},
		{"GET", "claude.test/", EGRESS_ALLOW, NULL, false},
	};
	static const struct ask ceiling_rows[] = {
		{"GET", "mine.test/", EGRESS_DENY, "default-deny", false},
		{"GET", "ours.test/", EGRESS_ALLOW, NULL, false},
	};
	static const char blueprint[] =
		"[{\"host\": \"bad.test\", \"action\": \"allow\"}, {\"host\": \"ask.test\", \"action\": \"allow\"},"
		" {\"id\": \"mine\", \"host\": \"mine.test\", \"action\": \"allow\"}, {\"id\": \"not\", \"host\": \"not-ours.test\", \"action\": \"deny\"}]";
	struct policy *above = policy_of(
		"{\"rules\": [{\"id\": \"no-bad\", \"host\": \"bad.test\", \"action\": \"deny\"}, {\"id\": \"ask\", \"host\": \"ask.test\", \"action\": \"approve\"},"
		" {\"id\": \"ours\", \"host\": \"ours.test\", \"action\": \"allow\"}, {\"host\": \"not-ours.test\", \"action\": \"allow\"},"
		" {\"host\": \"other-repo.test\", \"repositories\": [\"evil/*\"], \"action\": \"allow\"},"
		" {\"host\": \"codex.test\", \"agents\": [\"codex\"], \"action\": \"allow\"},"
		" {\"host\": \"claude.test\", \"agents\": [\"claude\"], \"repositories\": [\"acme/*\"], \"action\": \"allow\"}]}",
		NULL);
	struct policy *roof = policy_of("{\"ceiling\": true, \"rules\": [{\"host\": \"ours.test\", \"action\": \"allow\"}]}", NULL);
	struct policy *policy = policy_of(blueprint, above);
	struct policy *under = policy_under(policy, roof);

	(void)state;
	rows_check(policy, rows, ARRAY_LEN(rows));
	rows_check(under, ceiling_rows, ARRAY_LEN(ceiling_rows));
	assert_true(policy_generation(policy) != policy_generation(under));
	policy_release(above);
	policy_release(roof);
	policy_release(policy);
	policy_release(under);
}

static void a_host_is_judged_before_it_is_dialled(void **state)
{
	static const struct {
		const char *host;
		uint16_t port;
		enum egress_action action;
		bool is_free;
	} rows[] = {
		{"free.test", 443, EGRESS_ALLOW, true},      {"free.test", 8080, EGRESS_DENY, false},
		{"some.test", 443, EGRESS_ALLOW, false},     {"ask.test", 443, EGRESS_APPROVE, false},
		{"partly.test", 443, EGRESS_ALLOW, false},   {"pinned.test", 443, EGRESS_PASSTHROUGH, false},
		{"looked.test", 443, EGRESS_ALLOW, false},   {"no.test", 443, EGRESS_DENY, false},
		{"half.test", 443, EGRESS_ALLOW, false},     {"forbidden.test", 443, EGRESS_PASSTHROUGH, false},
		{"asked.test", 443, EGRESS_APPROVE, false},  {"below.wild.test", 443, EGRESS_APPROVE, false},
		{"free.wild.test", 443, EGRESS_ALLOW, true},
	};
	static const char rules[] =
		"[{\"host\": \"free.test\", \"action\": \"allow\"},"
		" {\"host\": \"some.test\", \"methods\": [\"GET\"], \"action\": \"allow\"},"
		" {\"host\": \"ask.test\", \"action\": \"approve\"},"
		" {\"host\": \"partly.test\", \"action\": \"allow\"}, {\"host\": \"partly.test\", \"methods\": [\"POST\"], \"action\": \"approve\"},"
		" {\"host\": \"pinned.test\", \"action\": \"passthrough\"},"
		" {\"host\": \"looked.test\", \"action\": \"passthrough\"}, {\"host\": \"looked.test\", \"paths\": [\"/x\"], \"action\": \"deny\"},"
		" {\"host\": \"half.test\", \"action\": \"allow\"}, {\"host\": \"half.test\", \"methods\": [\"POST\"], \"action\": \"deny\"},"
		" {\"host\": \"forbidden.test\", \"action\": \"passthrough\"},"
		" {\"host\": \"asked.test\", \"action\": \"approve\"}, {\"host\": \"asked.test\", \"methods\": [\"GET\"], \"action\": \"allow\"},"
		" {\"host\": \"*.wild.test\", \"action\": \"approve\"}, {\"host\": \"free.wild.test\", \"action\": \"allow\"}]";
	struct policy *above = policy_of("{\"passthrough\": false, \"rules\": []}", NULL);
	struct policy *policy = policy_of(rules, NULL);
	struct policy *under = policy_under(policy, above);
	struct egress_verdict verdict;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		enum egress_action action = policy_host(policy, &somebody, rows[i].host, rows[i].port, &verdict);

		if (action != rows[i].action ||
		    policy_host_is_free(policy, &somebody, rows[i].host, rows[i].port) != rows[i].is_free)
			fail_msg("%s: %s", rows[i].host, egress_action_name(action));
	}
	assert_int_equal(policy_host(under, &somebody, "pinned.test", 443, &verdict), EGRESS_ALLOW);
	policy_release(above);
	policy_release(policy);
	policy_release(under);
}

static const char one_host[] =
	"[{\"id\": \"ok\", \"host\": \"ok.test\", \"action\": \"allow\"}, {\"host\": \"evil.test\", \"action\": \"deny\"}]";

static void items_1_2_10_to_16_destinations(void **state)
{
	static const struct {
		int item;
		struct ask ask;
	} rows[] = {
		{1, {"GET", "203.0.113.9/", EGRESS_DENY, NULL, false}},
		{2, {"GET", "ok.test:22/", EGRESS_DENY, NULL, false}},
		{2, {"GET", "ok.test:8443/", EGRESS_DENY, NULL, false}},
		{2, {"GET", "ok.test:0/", EGRESS_DENY, NULL, false}},
		{2, {"GET", "ok.test:65536/", EGRESS_DENY, NULL, false}},
		{2, {"GET", "ok.test:443x/", EGRESS_DENY, NULL, false}},
		{10, {"GET", "ok.test./", EGRESS_ALLOW, "policy:ok", false}},
		{10, {"GET", "evil.test./", EGRESS_DENY, NULL, false}},
		{10, {"GET", "ok.test../", EGRESS_DENY, NULL, false}},
		{11, {"GET", "OK.TeSt/", EGRESS_ALLOW, "policy:ok", false}},
		{11, {"GET", " ok.test/", EGRESS_DENY, NULL, false}},
		{11, {"GET", "ok.test\t/", EGRESS_DENY, NULL, false}},
		{12, {"GET", "\xd0\xbek.test/", EGRESS_DENY, NULL, false}},
		{12, {"GET", "xn--k-wtb.test/", EGRESS_DENY, NULL, false}},
		{12, {"GET", "\xef\xbd\x8f\xef\xbd\x8b.test/", EGRESS_DENY, NULL, false}},
		{12, {"GET", "ok\xe3\x80\x82test/", EGRESS_DENY, NULL, false}},
		{12, {"GET", "o\xc2\xadk.test/", EGRESS_DENY, NULL, false}},
		{12, {"GET", "o\xe2\x80\x8dk.test/", EGRESS_DENY, NULL, false}},
		{12, {"GET", "\xef\xbb\xbfok.test/", EGRESS_DENY, NULL, false}},
		{12, {"GET", "xn--\x80.test/", EGRESS_DENY, NULL, false}},
		{13, {"GET", "evil.test%00.ok.test/", EGRESS_DENY, NULL, false}},
		{13, {"GET", "evil.test\r.ok.test/", EGRESS_DENY, NULL, false}},
		{13, {"GET", "evil.test\n.ok.test/", EGRESS_DENY, NULL, false}},
		{13, {"GET", "evil.test#.ok.test/", EGRESS_DENY, NULL, false}},
		{13, {"GET", "evil.test?.ok.test/", EGRESS_DENY, NULL, false}},
		{13, {"GET", "evil.test\\.ok.test/", EGRESS_DENY, NULL, false}},
		{14, {"GET", "ok.test@evil.test/", EGRESS_DENY, NULL, false}},
		{14, {"GET", "ok.test:443@evil.test/", EGRESS_DENY, NULL, false}},
		{15, {"GET", "notok.test/", EGRESS_DENY, NULL, false}},
		{15, {"GET", "ok.test.evil.test/", EGRESS_DENY, NULL, false}},
		{15, {"GET", "evil.test:443.ok.test/", EGRESS_DENY, NULL, false}},
		{15, {"GET", "evil.test%2eok.test/", EGRESS_DENY, NULL, false}},
		{16, {"GET", "2130706433/", EGRESS_DENY, NULL, false}},
		{16, {"GET", "0x7f000001/", EGRESS_DENY, NULL, false}},
		{16, {"GET", "0177.0.0.1/", EGRESS_DENY, NULL, false}},
		{16, {"GET", "127.1/", EGRESS_DENY, NULL, false}},
		{16, {"GET", "127.0.0.1.nip.example/", EGRESS_DENY, NULL, false}},
	};
	struct policy *policy = policy_of(one_host, NULL);
	char host[HOST_NAME_MAX_BYTES];
	bool address;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		rows_check(policy, &rows[i].ask, 1);
	assert_false(host_or_address_canonical(view_make("evil.test\0.ok.test", 18), host, &address)); /* 13 */
	policy_release(policy);
}

static void items_17_to_19_addresses_that_no_rule_opens(void **state)
{
	static const char *const rows[] = {
		"::1",
		"[::1]",
		"::ffff:127.0.0.1",
		"::ffff:7f00:1",
		"::127.0.0.1",
		"64:ff9b::7f00:1",
		"64:ff9b:1::1",
		"2002:7f00:1::",
		"fe80::1%25eth0",
		"fe80::1%eth0",
		"::1%x.ok.test",
		"169.254.169.254",
		"fd00:ec2::254",
		"100.100.100.200",
		"168.63.129.16",
		"192.0.0.192",
		"metadata.google.internal",
		"metadata",
		"0.0.0.0",
		"::",
		"255.255.255.255",
		"224.0.0.1",
		"ff02::1",
		"127.0.0.1",
		"10.0.0.1",
		"192.168.0.1",
		"localhost",
		"db.internal",
		"printer.local",
		"x.invalid",
	};
	struct policy *policy = policy_of(
		"[{\"host\": \"*\", \"action\": \"allow\"}, {\"host\": \"169.254.169.254\", \"action\": \"allow\"},"
		" {\"host\": \"metadata.google.internal\", \"action\": \"allow\"}, {\"host\": \"::1\", \"action\": \"allow\"},"
		" {\"host\": \"10.0.0.1\", \"action\": \"allow\"}]",
		NULL);
	struct egress_verdict verdict;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char host[HOST_NAME_MAX_BYTES];
		bool address;

		if (host_or_address_canonical(view_of(rows[i]), host, &address) &&
		    policy_host(policy, &somebody, host, 443, &verdict) != EGRESS_DENY)
			fail_msg("%s: %s", rows[i], verdict.rule);
	}
	assert_int_equal(policy_host(policy, &somebody, "any.test", 443, &verdict), EGRESS_ALLOW);
	policy_release(policy);
}

static void item_26_paths(void **state)
{
	static const struct ask rows[] = {
		{"GET", "ok.test/allowed/x", EGRESS_ALLOW, NULL, false},
		{"GET", "ok.test/allowed/./x", EGRESS_ALLOW, NULL, false},
		{"GET", "ok.test/%61llowed/x", EGRESS_ALLOW, NULL, false},
		{"GET", "ok.test/x/../allowed/y", EGRESS_ALLOW, NULL, false},
		{"GET", "ok.test/allowed/../secret", EGRESS_DENY, NULL, false},
		{"GET", "ok.test/allowed/%2e%2e/secret", EGRESS_DENY, NULL, false},
		{"GET", "ok.test/allowed/..;x/secret", EGRESS_DENY, NULL, false},
		{"GET", "ok.test/allowed/;x/../secret", EGRESS_DENY, NULL, false},
		{"GET", "ok.test/allowed/%252e%252e/", EGRESS_DENY, "builtin:ambiguous-path", false},
		{"GET", "ok.test//evil", EGRESS_DENY, NULL, false},
		{"GET", "ok.test/allowed//x", EGRESS_DENY, "builtin:ambiguous-path", false},
		{"GET", "ok.test/allowed/..\\secret", EGRESS_DENY, NULL, false},
		{"GET", "ok.test/allowed/..%5csecret", EGRESS_DENY, "builtin:ambiguous-path", false},
		{"GET", "ok.test/%2fsecret", EGRESS_DENY, NULL, false},
		{"GET", "ok.test/allowed/%2f..%2fsecret", EGRESS_DENY, "builtin:ambiguous-path", false},
		{"GET", "ok.test/allowed/%00", EGRESS_DENY, NULL, false},
		{"GET", "ok.test/allowed/%0a", EGRESS_DENY, NULL, false},
		{"GET", "ok.test/allowed/\x01", EGRESS_DENY, NULL, false},
		{"GET", "ok.test/allowed/\xc3\xbc", EGRESS_DENY, NULL, false},
		{"GET", "ok.test/allowed/%c0%ae%c0%ae/secret", EGRESS_DENY, "builtin:ambiguous-path", false},
		{"GET", "ok.test/allowed/%zz", EGRESS_DENY, NULL, false},
		{"GET", "ok.test/allowed/%4", EGRESS_DENY, NULL, false},
		{"GET", "ok.test/..", EGRESS_DENY, NULL, false},
		{"GET", "ok.test/allowed/../../secret", EGRESS_DENY, NULL, false},
		{"GET", "npm.test/@scope%2fname", EGRESS_ALLOW, NULL, false},
	};
	struct policy *policy = policy_of("[{\"host\": \"ok.test\", \"paths\": [\"/allowed/*\"], \"action\": \"allow\"},"
					  " {\"host\": \"npm.test\", \"action\": \"allow\"}]",
					  NULL);
	AUTO_BUF path = buf_new(PATH_BYTES_MAX + 1);
	AUTO_BUF query = buf_new(PATH_QUERY_BYTES_MAX);
	AUTO_BUF longer = buf_new(PATH_BYTES_MAX * 2);
	const char *why;

	(void)state;
	rows_check(policy, rows, ARRAY_LEN(rows));
	buf_add_text(&longer, "/allowed/");
	while (longer.length <= PATH_BYTES_MAX)
		buf_add_char(&longer, 'a');
	assert_false(path_canonical(buf_view(&longer), &path, &query, &why));
	policy_release(policy);
}

static void item_27_methods(void **state)
{
	static const struct ask rows[] = {
		{"get", "ok.test/", EGRESS_DENY, NULL, false},
		{"GET\t", "ok.test/", EGRESS_DENY, NULL, false},
		{"TRACE", "ok.test/", EGRESS_DENY, "builtin:method", false},
		{"TRACK", "ok.test/", EGRESS_DENY, "builtin:method", false},
		{"CONNECT", "ok.test/", EGRESS_DENY, "builtin:method", false},
		{"FROBNICATE", "ok.test/", EGRESS_DENY, NULL, false},
		{"POST", "form.test/x?_method=DELETE", EGRESS_DENY, "builtin:method-override", false},
		{"POST", "form.test/x?a=1&_METHOD=delete", EGRESS_DENY, "builtin:method-override", false},
		{"POST", "form.test/x?%5fmethod=delete", EGRESS_DENY, "builtin:method-override", false},
		{"POST", "form.test/x?a=1", EGRESS_ALLOW, NULL, false},
		{"GET", "ok.test/", EGRESS_ALLOW, NULL, false},
	};
	struct policy *policy = policy_of("[{\"host\": \"ok.test\", \"action\": \"allow\"},"
					  " {\"host\": \"form.test\", \"methods\": [\"GET\", \"POST\"], \"action\": \"allow\"}]",
					  NULL);

	(void)state;
	rows_check(policy, rows, ARRAY_LEN(rows));
	assert_true(policy_field_is_dropped(VIEW("x-http-method-override")));
	assert_true(policy_field_is_dropped(VIEW("x_http_method_override")));
	assert_true(policy_field_is_dropped(VIEW("x-http_method-override")));
	assert_true(policy_field_is_dropped(VIEW("forwarded")));
	assert_false(policy_field_is_dropped(VIEW("x-http-method-override2")));
	assert_false(policy_field_is_dropped(VIEW("x-http-metho")));
	assert_false(policy_field_is_dropped(VIEW("x-api-key")));
	policy_release(policy);
}

static void items_60_and_61_reading_without_publishing(void **state)
{
	static const struct ask rows[] = {
		{"GET", "git.test/acme/shop.git/info/refs?service=git-upload-pack", EGRESS_ALLOW, NULL, false},
		{"POST", "git.test/acme/shop.git/git-upload-pack", EGRESS_ALLOW, NULL, false},
		{"GET", "git.test/acme/shop.git/info/refs?service=git-receive-pack", EGRESS_DENY, NULL, false},
		{"GET", "git.test/acme/shop.git/info/refs?service=git-upload-pack&service=git-receive-pack", EGRESS_DENY, NULL,
		 false},
		{"GET", "git.test/acme/shop.git/info/refs?service=git%2dreceive-pack", EGRESS_DENY, NULL, false},
		{"POST", "git.test/attacker/repo.git/git-receive-pack", EGRESS_DENY, NULL, false},
		{"PUT", "git.test/acme/shop.git/objects/x", EGRESS_DENY, NULL, false},
		{"MKCOL", "git.test/acme/shop.git/refs/", EGRESS_DENY, NULL, false},
		{"POST", "git.test/acme/shop.git/info/lfs/objects/batch", EGRESS_DENY, NULL, false},
		{"POST", "api.git.test/gists", EGRESS_DENY, NULL, false},
		{"POST", "api.git.test/repos/acme/shop/forks", EGRESS_DENY, NULL, false},
		{"GET", "npm.test/left-pad", EGRESS_ALLOW, NULL, false},
		{"GET", "npm.test/@scope%2fname", EGRESS_ALLOW, NULL, false},
		{"PUT", "npm.test/left-pad", EGRESS_DENY, NULL, false},
		{"POST", "upload.pypi.test/legacy/", EGRESS_DENY, NULL, false},
		{"GET", "s3.test/ours/x", EGRESS_ALLOW, NULL, false},
		{"PUT", "s3.test/attackers/x?X-Amz-Signature=00", EGRESS_DENY, NULL, false},
		{"PUT", "s3.test/ours/x?X-Amz-Signature=00", EGRESS_ALLOW, NULL, false},
		{"POST", "hooks.chat.test/services/T0/B0/x", EGRESS_DENY, NULL, false},
	};
	struct policy *policy = policy_of(
		"[{\"host\": \"git.test\", \"methods\": [\"GET\"], \"paths\": [\"/**/info/refs?service=git-upload-pack\"], \"action\": \"allow\"},"
		" {\"host\": \"git.test\", \"methods\": [\"POST\"], \"paths\": [\"/*/*/git-upload-pack\"], \"action\": \"allow\"},"
		" {\"host\": \"npm.test\", \"methods\": [\"GET\", \"HEAD\"], \"action\": \"allow\"},"
		" {\"host\": \"s3.test\", \"paths\": [\"/ours/*\"], \"action\": \"allow\"}]",
		NULL);

	(void)state;
	rows_check(policy, rows, ARRAY_LEN(rows));
	policy_release(policy);
}

static void item_74_a_hundred_thousand_rules(void **state)
{
	AUTO_JSON rules = json_array();
	struct egress_verdict verdict;
	struct policy *policy;
	struct err err = {0};

	(void)state;
	for (int i = 0; i < 100000; i++) {
		AUTO_FREE char *host = text_format("%sh%d.many.test", i % 3 ? "" : "*.", i);

		(void)json_array_append_new(rules, json_pack("{s:s,s:s}", "host", host, "action", i % 2 ? "allow" : "deny"));
	}
	policy = policy_new(rules, NULL, &err);
	assert_non_null(policy);
	assert_int_equal(policy_rule_count(policy), 100000);
	assert_int_equal(policy_host(policy, NULL, "h99995.many.test", 443, &verdict), EGRESS_ALLOW);
	assert_int_equal(policy_host(policy, NULL, "x.h99999.many.test", 443, &verdict), EGRESS_ALLOW);
	assert_int_equal(policy_host(policy, NULL, "h99999.many.test", 443, &verdict), EGRESS_DENY);
	assert_int_equal(policy_host(policy, NULL, "h99998.many.test", 443, &verdict), EGRESS_DENY);
	policy_release(policy);
}

static void item_74_an_empty_list_denies_everything(void **state)
{
	static const char *const lists[] = {"[]", "{}", "{\"rules\": []}", "null"};
	static const struct ask rows[] = {{"GET", "ok.test/", EGRESS_DENY, "default-deny", false}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		struct policy *policy = strcmp(lists[i], "null") == 0 ? policy_new(NULL, NULL, NULL) : policy_of(lists[i], NULL);

		rows_check(policy, rows, 1);
		policy_release(policy);
	}
}

static void patterns_stay_within_a_segment_but_at_the_end(void **state)
{
	static const struct {
		const char *pattern;
		const char *path;
		const char *query;
		bool fits;
	} rows[] = {
		{"/v1/*", "/v1/messages", "", true},
		{"/v1/*", "/v1/a/b/c", "", true},
		{"/v1/*", "/v1/", "", true},
		{"/v1/*", "/v1", "", false},
		{"/v1/*", "/v11/x", "", false},
		{"/*/x", "/a/x", "", true},
		{"/*/x", "/a/b/x", "", false},
		{"/**/x", "/a/b/x", "", true},
		{"/**/x", "/a/b/xy", "", false},
		{"/**.js", "/a/b.js", "", true},
		{"/a*b*c/d", "/axbxbc/d", "", true},
		{"/a*b/*c/d", "/ab/xc/d", "", true},
		{"/a*b/*c/d", "/a/b/xc/d", "", false},
		{"/**/a/*/b", "/x/a/y/z/a/q/b", "", true},
		{"*", "/x/y", "z", true},
		{"/x?a=*", "/x", "a=1&b=2", true},
		{"/x?a=1", "/x", "a=1&b=2", false},
		{"/x?a=1", "/x", "", false},
		{"/x", "/x", "a=1", true},
		{"/x?*", "/x", "", true},
		{"/X", "/x", "", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (path_matches(view_of(rows[i].pattern), view_of(rows[i].path), view_of(rows[i].query), false) != rows[i].fits)
			fail_msg("%s over %s?%s", rows[i].pattern, rows[i].path, rows[i].query);
	assert_true(path_matches(VIEW("/X"), VIEW("/x"), VIEW(""), true));
}

static void it_is_explained_which_rule_and_why(void **state)
{
	struct policy *policy = policy_of(
		"[{\"id\": \"get\", \"host\": \"*.test\", \"methods\": [\"GET\"], \"action\": \"allow\"}]", NULL);
	const struct egress_request request = {
		.origin = somebody, .host = "a.test", .port = 443, .method = VIEW("POST"), .path = VIEW("/"), .query = VIEW("")};
	AUTO_JSON said = policy_explain(policy, &request, false);
	const json_t *rule = json_array_get(json_member(said, "rules"), 0);

	(void)state;
	assert_string_equal(json_text(said, "action", ""), "deny");
	assert_string_equal(json_text(said, "rule", ""), "default-deny");
	assert_string_equal(json_text(rule, "id", ""), "get");
	assert_string_equal(json_text(rule, "host", ""), "*.test");
	assert_string_equal(json_text(rule, "not", ""), "it is for other methods");
	policy_release(policy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(methods_and_paths_are_judged),
		cmocka_unit_test(the_most_specific_host_decides_and_deny_wins),
		cmocka_unit_test(the_organisation_is_above_the_blueprint),
		cmocka_unit_test(a_host_is_judged_before_it_is_dialled),
		cmocka_unit_test(items_1_2_10_to_16_destinations),
		cmocka_unit_test(items_17_to_19_addresses_that_no_rule_opens),
		cmocka_unit_test(item_26_paths),
		cmocka_unit_test(item_27_methods),
		cmocka_unit_test(items_60_and_61_reading_without_publishing),
		cmocka_unit_test(item_74_a_hundred_thousand_rules),
		cmocka_unit_test(item_74_an_empty_list_denies_everything),
		cmocka_unit_test(patterns_stay_within_a_segment_but_at_the_end),
		cmocka_unit_test(it_is_explained_which_rule_and_why),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
