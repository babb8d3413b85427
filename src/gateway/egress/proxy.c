/* The explicit proxy. */
#include "gateway/egress/proxy.h"

#include <stdio.h>

#include "base/scope.h"
#include "gateway/egress/h1.h"
#include "gateway/policy/policy.h"
#include "gateway/egress/scan.h"

void proxy_begin(struct flow *flow)
{
	flow->to = text_copy(MESSAGE_PROXY_HOST);
	h1_proxy_begin(flow);
}

/* "host:port", the port in decimal digits that do not begin with 0. */
static bool authority_parse(struct view text, char host[HOST_NAME_MAX_BYTES], uint16_t *port)
{
	struct view port_text;
	struct view name = view_cut(text, ':', &port_text);
	uint64_t number;

	if (!port_text.at || !port_text.length || port_text.at[0] == '0' || !view_to_u64(port_text, &number) || number > 65535)
		return false;
	*port = (uint16_t)number;
	return host_or_address_canonical(name, host, &(bool){false});
}

bool proxy_target(const struct flow *flow, const struct http_head *head, char host[HOST_NAME_MAX_BYTES], uint16_t *port,
		  struct egress_verdict *verdict)
{
	const struct egress_origin origin = env_origin(flow->env, flow->from);
	char named[HOST_NAME_MAX_BYTES];
	uint16_t named_port;
	const char *why;

	*verdict = (struct egress_verdict){.action = EGRESS_DENY, .status = 400, .rule = "canonical-form"};
	if (!authority_parse(head->target, host, port)) {
		verdict->why = "CONNECT wants a canonical host name and a port";
		host[0] = '\0';
		return false;
	}
	/* Host says the same, or nothing that can be misunderstood: the port is often left out. */
	if (head->host.length &&
	    !(authority_parse(head->host, named, &named_port) && named_port == *port && strcmp(named, host) == 0) &&
	    !(host_or_address_canonical(head->host, named, &(bool){false}) && strcmp(named, host) == 0)) {
		verdict->why = "its Host is another than the one to connect to";
		return false;
	}
	if (env_stub(flow->env, host))
		return true;
	if (policy_host(flow->env->policy, &origin, host, *port, verdict) == EGRESS_DENY)
		return false;
	why = scan_host(flow->env, host);
	if (why)
		*verdict = (struct egress_verdict){.action = EGRESS_DENY, .status = 403, .rule = "dlp:host", .why = why};
	return !why;
}
