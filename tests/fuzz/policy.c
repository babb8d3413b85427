/* Rules and a request, the first line the rules, the second method, host and target: any bytes give a policy or an error of one line; what no
 * rule of it names is denied, a request has one verdict, and the one before the dial allows for it. */
#include <stdlib.h>

#include "base/scope.h"
#include "gateway/policy/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

static void judge(const struct policy *policy, struct view line)
{
	AUTO_BUF path = buf_new(PATH_BYTES_MAX + 1);
	AUTO_BUF query = buf_new(PATH_QUERY_BYTES_MAX);
	AUTO_BUF again = buf_new(PATH_BYTES_MAX + 1);
	AUTO_BUF none = buf_new(PATH_QUERY_BYTES_MAX);
	struct view rest;
	struct view method = view_cut(line, ' ', &rest);
	struct view target;
	struct view name = view_cut(rest, ' ', &target);
	const struct egress_origin origin = {"e1", "workspace", "claude", "r1", "shop"};
	char host[HOST_NAME_MAX_BYTES];
	struct egress_verdict verdict = {0};
	struct egress_verdict before = {0};
	const char *why;
	bool address;

	if (!target.at || !host_or_address_canonical(name, host, &address) || !path_canonical(target, &path, &query, &why))
		return;
	check(path_canonical(buf_view(&path), &again, &none, &why) && view_equal(buf_view(&path), buf_view(&again)));
	(void)policy_host(policy, &origin, host, 443, &before);
	policy_judge(policy,
		     &(struct egress_request){.origin = origin,
					      .host = host,
					      .port = 443,
					      .method = method,
					      .path = buf_view(&path),
					      .query = buf_view(&query)},
		     &verdict);
	check(verdict.rule[0] && verdict.why && verdict.action != EGRESS_PASSTHROUGH);
	check(before.action != EGRESS_DENY || verdict.action == EGRESS_DENY);
	check(before.action != EGRESS_APPROVE || verdict.action != EGRESS_ALLOW);
	if (policy_host_is_free(policy, &origin, host, 443) && view_is(method, "GET"))
		check(verdict.action == EGRESS_ALLOW);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view rest;
	struct view rules = view_cut(view_make(data, size), '\n', &rest);
	struct err err = {0};
	AUTO_JSON json = json_parse(rules, &err);
	struct policy *policy = json ? policy_new(json, NULL, &err) : NULL;

	if (!policy) {
		check(err.kind != ERR_NONE && err.text[0] && !strchr(err.text, '\n'));
		return 0;
	}
	judge(policy, rest);
	policy_release(policy);
	return 0;
}
