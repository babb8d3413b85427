/* The first decision about a connection. */
#include "gateway/entry.h"

#include <arpa/inet.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/scope.h"
#include "gateway/door.h"
#include "gateway/egress/login.h"
#include "gateway/egress/proxy.h"
#include "gateway/egress/refusal.h"
#include "gateway/flow.h"
#include "gateway/outside.h"
#include "gateway/seams/http.h"
#include "gateway/seams/raw.h"
#include "gateway/told.h"
#include "gateway/tools.h"

#define DENIED_WAIT_MS 2000  /* for the first bytes, to see in which language to say it */
#define DENIED_SILENT_MS 200 /* where the server may be the one to begin */
#define TLS_HANDSHAKE 22

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
	char *host;
	uint16_t port;
	struct egress_verdict verdict;
	char *why, *remedy; /* its texts: rules may change while it waits */
	uint64_t number;
};

/* Whoever speaks a language in which one can be told is told. */
static void denied_data(struct flow *flow, enum side from, struct view bytes)
{
	const struct denied *denied = flow->state;
	struct egress_request request = refusal_sketch(flow, denied->host, denied->port);
	AUTO_BUF out = buf_new(SCRATCH_BYTES);

	(void)from;
	request.method = VIEW("");
	if (http_looks(bytes))
		refusal_http_format(&request, &denied->verdict, denied->number, bytes, &out);
	else if (bytes.at[0] == TLS_HANDSHAKE)
		refusal_alert_format(REFUSAL_ALERT_DENIED, &out);
	if (!out.length) {
		flow_close(flow, "denied");
		return;
	}
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

	free(denied->host);
	free(denied->why);
	free(denied->remedy);
	free(denied);
}

static void denied_timed_out(struct flow *flow)
{
	flow_close(flow, "denied");
}

static const struct flow_protocol denied_protocol = {"denied",           denied_data,    denied_ended,  NULL,
						     denied_server_lost, denied_closing, denied_release};

void entry_deny(struct flow *flow, const char *host, uint16_t port, const struct egress_verdict *verdict)
{
	static const uint16_t speaking[] = {80, 443, 8080, 8443}; /* ports at which the client begins */
	struct denied *denied = mem_new(sizeof(*denied));
	int64_t wait_ms = DENIED_SILENT_MS;

	denied->host = text_copy(host);
	denied->port = port;
	denied->why = text_copy(verdict->why);
	denied->remedy = text_copy(verdict->remedy);
	denied->verdict = *verdict;
	denied->verdict.why = denied->why;
	denied->verdict.remedy = denied->remedy;
	if (!denied->verdict.status)
		denied->verdict.status = 403;
	denied->number = refusal_connection(flow, denied->host, port, &denied->verdict);
	flow_protocol_set(flow, &denied_protocol, denied);
	for (size_t i = 0; i < ARRAY_LEN(speaking); i++)
		if (port == speaking[i])
			wait_ms = DENIED_WAIT_MS;
	flow_timer(flow, wait_ms, denied_timed_out);
}

static void entry_deny_for(struct flow *flow, const char *host, uint16_t port, const char *rule, const char *why,
			   const char *remedy)
{
	struct egress_verdict verdict = {.action = EGRESS_DENY, .status = 403, .why = why, .remedy = remedy};

	(void)snprintf(verdict.rule, sizeof(verdict.rule), "%s", rule);
	entry_deny(flow, host, port, &verdict);
}

static void own_begin(struct flow *flow, const char *name_text, uint16_t port)
{
	struct name *name = env_name(flow->env, name_text);

	if (!name) {
		entry_deny_for(flow, name_text, port, "no-service", "the environment has no such service any more", NULL);
		return;
	}
	if (port == name->port && name->protocol == PROTOCOL_POSTGRES && login_is_due(flow->env, name->name, port)) {
		login_begin_own(flow, name);
		return;
	}
	raw_begin(flow, port == name->port ? name->protocol : PROTOCOL_GUESS);
	door_dial(flow, name, port);
}

/* `text` is the address for people. */
static void entry_begin(struct door *door, int fd, uint32_t address, uint16_t port, const char *text)
{
	struct env *env = door_env(door);
	struct flow *flow = flow_new(env->worker, env, fd, door_sandbox(door));
	const char *name;

	flow->port = port;
	if (env->killed)
		entry_deny_for(flow, text, port, "kill", "a person stopped everything of this environment (assay kill)",
			       "only a person can undo it: `assay kill --undo`");
	else if (address == ADDRESS_TOOLS && port == 80 && env_tool_allowed(env, door_sandbox(door)))
		tools_begin(flow);
	else if (address == ADDRESS_TOOLS && port == TOLD_PORT)
		told_begin(flow);
	else if (address == ADDRESS_PROXY && port == MESSAGE_PROXY_PORT)
		proxy_begin(flow);
	else if ((name = address_own_name(env->addresses, address)))
		own_begin(flow, name, port);
	else if ((name = address_host_name(env->addresses, address)))
		outside_begin(flow, name, port, (struct view){"", 0});
	else
		entry_deny_for(flow, text, port, "by-number", "it was asked for by number, not by name",
			       "use its name; which may be reached is `egress.rules` in assay.yaml");
	flow_update(flow);
}

void entry_accept(struct door *door, int fd)
{
	char text[INET6_ADDRSTRLEN] = "?";
	uint32_t address;
	uint16_t port;

	destination_find(fd, &address, &port, text);
	entry_begin(door, fd, address, port, text);
}

void entry_flow(struct door *door, int fd, uint32_t address, uint16_t port)
{
	const struct in_addr meant = {htonl(address)};
	char text[INET6_ADDRSTRLEN] = "?";

	(void)inet_ntop(AF_INET, &meant, text, sizeof(text));
	entry_begin(door, fd, door_address_back(door, address), port, text);
}
