/* DNS over UDP and TCP. */
#include "gateway/resolver.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/scope.h"
#include "gateway/dns.h"
#include "gateway/door.h"
#include "gateway/flow.h"
#include "gateway/egress/scan.h"
#include "gateway/egress/unresolved.h"

#define QUESTIONS_A_TURN 64
#define TCP_IDLE_MS 10000
#define TCP_BYTES_MAX 2048 /* questions that wait in one connection */

/* Why the host does not resolve. False: it does. */
static bool host_is_denied(struct env *env, const char *host, struct egress_verdict *verdict)
{
	const char *why = "its rules ask for what cannot be seen here";
	const char *rule = "default-deny";

	if (env_stub(env, host) || policy_resolves(env->policy, host)) {
		why = scan_host(env, host);
		rule = "dlp:host";
	} else if (policy_host(env->policy, NULL, host, 443, verdict) == EGRESS_DENY) {
		return true;
	}
	*verdict = (struct egress_verdict){.action = EGRESS_DENY, .status = 403, .why = why};
	(void)snprintf(verdict->rule, sizeof(verdict->rule), "%s", rule);
	return why != NULL;
}

/* The synthetic address of a name, 0 when there is none. */
static uint32_t name_address(struct door *door, const char *host)
{
	struct env *env = door_env(door);
	struct egress_verdict verdict;
	struct name *name;
	struct view bare = view_of(host);

	if (strcmp(host, MESSAGE_TOOL_HOST) == 0)
		return env_tool_allowed(env, door_sandbox(door)) ? ADDRESS_TOOLS : 0;
	if (strcmp(host, MESSAGE_TOLD_HOST) == 0)
		return ADDRESS_TOOLS;
	if (strcmp(host, MESSAGE_PROXY_HOST) == 0)
		return ADDRESS_PROXY;
	name = env_name_of_host(env, host);
	if (name)
		return address_of_own(env->addresses, name->name);
	if (!host_is_denied(env, host, &verdict)) {
		uint32_t address = address_of_host(env->addresses, host);

		door_host_asked(door, host, address);
		return address;
	}
	/* With the environment's own domain behind it, a program's resolver asks for it without that, too. */
	if (!view_ends(bare, VIEW(ENV_SEARCH_SUFFIX)))
		unresolved_note(env, door_sandbox(door), host, &verdict);
	return 0;
}

/* The name behind "1.0.18.198.in-addr.arpa", NULL when there is none. */
static const char *pointer_name(struct door *door, const char *host)
{
	unsigned bytes[4];
	int used = 0;
	uint32_t address;
	const char *name;

	if (sscanf(host, "%3u.%3u.%3u.%3u.in-addr.arpa%n", &bytes[3], &bytes[2], &bytes[1], &bytes[0], &used) != 4 || !used ||
	    host[used])
		return NULL;
	address = (bytes[0] & 255) << 24 | (bytes[1] & 255) << 16 | (bytes[2] & 255) << 8 | (bytes[3] & 255);
	address = door_address_back(door, address);
	name = address_own_name(door_env(door)->addresses, address);
	return name ? name : address_host_name(door_env(door)->addresses, address);
}

static void answer(struct door *door, struct view message, struct buf *out)
{
	struct dns_query query;
	int code = dns_query_parse(message, &query);
	char host[HOST_NAME_MAX_BYTES];
	uint32_t address = 0;
	const char *pointer = NULL;

	if (code < 0)
		return;
	if (code == DNS_OK && query.type == DNS_PTR) {
		pointer = pointer_name(door, query.name);
		code = pointer ? DNS_OK : DNS_NO_NAME;
	} else if (code == DNS_OK) {
		address = host_canonical(view_of(query.name), host) ? door_address(door, name_address(door, host)) : 0;
		code = address ? DNS_OK : DNS_NO_NAME;
	}
	dns_answer_format(out, &query, (enum dns_code)code, &address, query.type == DNS_A && address ? 1 : 0, pointer);
}

void resolver_udp(struct door *door, int fd)
{
	for (int i = 0; i < QUESTIONS_A_TURN; i++) {
		struct sockaddr_storage from;
		socklen_t from_length = sizeof(from);
		char bytes[DNS_MESSAGE_MAX + 1];
		AUTO_BUF out = buf_new(DNS_MESSAGE_MAX);
		ssize_t got = recvfrom(fd, bytes, sizeof(bytes), MSG_DONTWAIT, (struct sockaddr *)&from, &from_length);

		if (got < 0)
			return;
		if (got > DNS_MESSAGE_MAX)
			continue;
		answer(door, view_make(bytes, (size_t)got), &out);
		if (out.length)
			(void)sendto(fd, out.at, out.length, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&from, from_length);
	}
}

struct questions {
	char *sandbox; /* the door may be replaced while the connection lives */
	struct buf input;
};

static void tcp_data(struct flow *flow, enum side from, struct view bytes)
{
	struct questions *questions = flow->state;
	struct door *door = door_find(flow->env, questions->sandbox);

	(void)from;
	buf_add_view(&questions->input, bytes);
	if (!door || questions->input.over) {
		flow_close(flow, "too many questions");
		return;
	}
	while (questions->input.length >= 2) {
		const unsigned char *at = (const unsigned char *)questions->input.at;
		size_t length = (size_t)at[0] << 8 | at[1];
		AUTO_BUF out = buf_new(DNS_MESSAGE_MAX);
		char prefix[2];

		if (questions->input.length < length + 2)
			break;
		answer(door, view_make(questions->input.at + 2, length), &out);
		buf_drop_front(&questions->input, length + 2);
		prefix[0] = (char)(out.length >> 8);
		prefix[1] = (char)out.length;
		if (!out.length) {
			flow_close(flow, "no question");
			return;
		}
		flow_write(flow, SIDE_CLIENT, view_make(prefix, 2));
		flow_write(flow, SIDE_CLIENT, buf_view(&out));
	}
}

static void tcp_ended(struct flow *flow, enum side from)
{
	(void)from;
	flow_close(flow, NULL);
}

static bool tcp_server_lost(struct flow *flow, const char *why)
{
	(void)flow;
	(void)why;
	return false;
}

static void tcp_closing(struct flow *flow, const char *why)
{
	(void)flow;
	(void)why;
}

static void tcp_release(void *state)
{
	struct questions *questions = state;

	buf_fini(&questions->input);
	free(questions->sandbox);
	free(questions);
}

static void tcp_idle(struct flow *flow)
{
	flow_close(flow, NULL);
}

static const struct flow_protocol tcp_protocol = {"dns", tcp_data, tcp_ended, NULL, tcp_server_lost, tcp_closing, tcp_release};

void resolver_tcp(struct door *door, int fd)
{
	struct questions *questions = mem_new(sizeof(*questions));
	struct flow *flow = flow_new(door_env(door)->worker, door_env(door), fd, door_sandbox(door));

	questions->sandbox = text_copy(door_sandbox(door));
	questions->input = buf_new(TCP_BYTES_MAX);
	flow_protocol_set(flow, &tcp_protocol, questions);
	flow_timer(flow, TCP_IDLE_MS, tcp_idle);
	flow_update(flow);
}
