/* The first decision about a connection. */
#include "gateway/entry.h"

#include <arpa/inet.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/scope.h"
#include "gateway/door.h"
#include "gateway/egress/login.h"
#include "gateway/egress/proxy.h"
#include "gateway/flow.h"
#include "gateway/outside.h"
#include "gateway/seams/http.h"
#include "gateway/seams/raw.h"
#include "gateway/tools.h"

#define DENIED_WAIT_MS 2000 /* for the first bytes, to see whether it is HTTP */

/* Where the program wanted to go: before the redirect, or, where there was none, the address it connected to. Host byte order; `text` is
 * the address for people. Only IPv4 can be one of ours: *address is 0 for others. */
static void destination_find(int fd, uint32_t *address, uint16_t *port, char text[INET6_ADDRSTRLEN])
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} to = {.any = {0}};
	socklen_t length = sizeof(to);

	*address = 0;
	*port = 0;
	(void)getsockname(fd, &to.any, &length);
	length = sizeof(to);
	if (to.any.sa_family == AF_INET6)
		(void)getsockopt(fd, SOL_IPV6, IP6T_SO_ORIGINAL_DST, &to, &length);
	else
		(void)getsockopt(fd, SOL_IP, SO_ORIGINAL_DST, &to, &length);
	if (to.any.sa_family == AF_INET) {
		*address = ntohl(to.v4.sin_addr.s_addr);
		*port = ntohs(to.v4.sin_port);
		(void)inet_ntop(AF_INET, &to.v4.sin_addr, text, INET6_ADDRSTRLEN);
	} else {
		*port = ntohs(to.v6.sin6_port);
		(void)inet_ntop(AF_INET6, &to.v6.sin6_addr, text, INET6_ADDRSTRLEN);
	}
}

struct denied {
	char *line;
};

static void denied_data(struct flow *flow, enum side from, struct view bytes)
{
	const struct denied *denied = flow->state;
	AUTO_BUF out = buf_new(4096);

	(void)from;
	if (!http_looks(bytes)) {
		flow_close(flow, "denied");
		return;
	}
	http_plain_format(&out, 403, denied->line, false);
	flow_write(flow, SIDE_CLIENT, buf_view(&out));
	flow_finish(flow);
}

static void denied_ended(struct flow *flow, enum side from)
{
	(void)from;
	flow_close(flow, "denied");
}

static bool denied_server_lost(struct flow *flow, const char *why)
{
	(void)flow;
	(void)why;
	return false;
}

static void denied_closing(struct flow *flow, const char *why)
{
	(void)flow;
	(void)why;
}

static void denied_release(void *state)
{
	struct denied *denied = state;

	free(denied->line);
	free(denied);
}

static void denied_timed_out(struct flow *flow)
{
	flow_close(flow, "denied");
}

static const struct flow_protocol denied_protocol = {"denied",           denied_data,    denied_ended,  NULL,
						     denied_server_lost, denied_closing, denied_release};

void entry_deny(struct flow *flow, const char *host, uint16_t port, const char *why)
{
	struct denied *denied = mem_new(sizeof(*denied));

	env_denied(flow->env, flow->from, host, port, why);
	denied->line = text_format("assay: %s:%u may not be reached from this environment: %s (egress.rules in assay.yaml)\n", host,
				   port, why);
	flow_protocol_set(flow, &denied_protocol, denied);
	if (port == 80 || port == 8080)
		flow_timer(flow, DENIED_WAIT_MS, denied_timed_out);
	else
		flow_close(flow, "denied");
}

static void own_begin(struct flow *flow, const char *name_text, uint16_t port)
{
	struct name *name = env_name(flow->env, name_text);

	if (!name) {
		entry_deny(flow, name_text, port, "the environment has no such service any more");
		return;
	}
	if (port == name->port && name->protocol == PROTOCOL_POSTGRES && login_is_due(flow->env, name->name, port)) {
		login_begin_own(flow, name);
		return;
	}
	raw_begin(flow, port == name->port ? name->protocol : PROTOCOL_GUESS);
	door_dial(flow, name, port);
}

void entry_accept(struct door *door, int fd)
{
	struct env *env = door_env(door);
	struct flow *flow = flow_new(env->worker, env, fd, door_sandbox(door));
	char text[INET6_ADDRSTRLEN] = "?";
	const char *name;
	uint32_t address;
	uint16_t port;

	destination_find(fd, &address, &port, text);
	flow->port = port;
	if (env->killed)
		entry_deny(flow, text, port, "a person stopped everything of this environment (assay kill)");
	else if (address == ADDRESS_TOOLS && port == 80 && env_tool_allowed(env, door_sandbox(door)))
		tools_begin(flow);
	else if (address == ADDRESS_PROXY && port == MESSAGE_PROXY_PORT)
		proxy_begin(flow);
	else if ((name = address_own_name(env->addresses, address)))
		own_begin(flow, name, port);
	else if ((name = address_host_name(env->addresses, address)))
		outside_begin(flow, name, port, (struct view){"", 0});
	else
		entry_deny(flow, text, port, "it was asked for by number, not by name");
	flow_update(flow);
}
