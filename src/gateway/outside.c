/* The way out. */
#include "gateway/outside.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <errno.h>

#include "base/scope.h"
#include "gateway/entry.h"
#include "gateway/hello.h"
#include "gateway/seams/http.h"
#include "gateway/stub.h"
#include "net/pool.h"
#include "net/socket.h"

#define FIRST_BYTES_MS 30000
#define CONNECT_MS 15000
#define ADDRESSES_MAX 8

struct lookup {
	struct outside *owner; /* loop only; NULL when nobody waits any more */
	struct loop *loop;
	char host[HOST_NAME_MAX_BYTES];
	struct sockaddr_storage addresses[ADDRESSES_MAX];
	size_t count;
	bool found_private; /* an address that is not dialled was among them */
};

struct outside {
	struct flow *flow;
	char host[HOST_NAME_MAX_BYTES];
	uint16_t port;
	bool sniffing;
	struct buf first;
	struct lookup *lookup;
	struct sockaddr_storage addresses[ADDRESSES_MAX];
	size_t count, next;
	const char *error;
};

static void outside_row(struct outside *outside, const char *error)
{
	struct flow *flow = outside->flow;
	AUTO_EXCHANGE exchange;

	env_exchange_begin(flow->env, &exchange, flow->from, outside->host, "tcp");
	exchange.t0_ms = flow->t0_ms;
	exchange.dt_us = worker_now_us() - flow->begun_us;
	exchange.command = text_format("connect %u", outside->port);
	exchange.error = text_copy(error);
	exchange.request_body.bytes = flow->bytes[SIDE_CLIENT];
	exchange.request_body.cut = flow->bytes[SIDE_CLIENT] > 0;
	exchange.response_body.bytes = flow->bytes[SIDE_SERVER];
	exchange.response_body.cut = flow->bytes[SIDE_SERVER] > 0;
	exchange_log_add(flow->env->log, &exchange);
}

/* Not HTTP, so there is nobody to explain it to: the row says why. */
static void outside_refuse(struct outside *outside, const char *why)
{
	env_denied(outside->flow->env, outside->flow->from, outside->host, outside->port, why);
	outside->error = why;
	flow_close(outside->flow, why);
}

static bool outside_lost(struct outside *outside, const char *why);

static void port_set(struct sockaddr_storage *address, uint16_t port)
{
	if (address->ss_family == AF_INET)
		((struct sockaddr_in *)(void *)address)->sin_port = htons(port);
	else
		((struct sockaddr_in6 *)(void *)address)->sin6_port = htons(port);
}

static bool dial_next(struct outside *outside)
{
	while (outside->next < outside->count) {
		struct sockaddr_storage *address = &outside->addresses[outside->next++];
		socklen_t length = address->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
		int fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

		port_set(address, outside->port);
		if (fd >= 0 && (connect(fd, (const struct sockaddr *)address, length) == 0 || errno == EINPROGRESS)) {
			flow_server_set(outside->flow, fd, true);
			return true;
		}
		if (fd >= 0)
			(void)close(fd);
	}
	return false;
}

/* On the loop: takes what was found; nothing but vetted addresses got here. */
static void lookup_done(void *self)
{
	struct lookup *lookup = self;
	struct outside *outside = lookup->owner;
	struct flow *flow;

	if (!outside) {
		free(lookup);
		return;
	}
	flow = outside->flow;
	outside->lookup = NULL;
	outside->count = lookup->count;
	memcpy(outside->addresses, lookup->addresses, sizeof(outside->addresses));
	if (lookup->found_private && !lookup->count)
		env_denied(flow->env, flow->from, outside->host, outside->port, "its name leads to a private address");
	if (!dial_next(outside)) {
		const char *why = lookup->count           ? "cannot be reached"
				  : lookup->found_private ? "its name leads to a private address"
							  : "its name is not known outside";

		if (!flow->protocol->server_lost(flow, why))
			flow_close(flow, why);
	}
	free(lookup);
	flow_update(flow);
}

/* On the pool. */
static void lookup_run(void *self)
{
	struct lookup *lookup = self;
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;

	if (getaddrinfo(lookup->host, NULL, &hints, &found) == 0) {
		for (struct addrinfo *at = found; at && lookup->count < ADDRESSES_MAX; at = at->ai_next) {
			if (!address_is_reachable(at->ai_addr)) {
				lookup->found_private = true;
				continue;
			}
			memcpy(&lookup->addresses[lookup->count++], at->ai_addr, at->ai_addrlen);
		}
		freeaddrinfo(found);
	}
	loop_post(lookup->loop, lookup_done, lookup);
}

static void connect_timed_out(struct flow *flow)
{
	if (flow->legs[SIDE_SERVER].fd >= 0 && !flow->legs[SIDE_SERVER].connecting)
		return;
	flow_server_drop(flow);
	if (!flow->protocol->server_lost(flow, "no connection in time"))
		flow_close(flow, "no connection in time");
}

/* The verdict was yes: now, and not before, the name is asked for. */
static void outside_dial(struct outside *outside)
{
	struct lookup *lookup = mem_new(sizeof(*lookup));

	lookup->owner = outside;
	lookup->loop = outside->flow->worker->loop;
	memcpy(lookup->host, outside->host, sizeof(lookup->host));
	for (size_t i = 0; i < ADDRESSES_MAX; i++)
		lookup->addresses[i].ss_family = AF_UNSPEC;
	outside->lookup = lookup;
	flow_timer(outside->flow, CONNECT_MS, connect_timed_out);
	if (!pool_add(outside->flow->worker->lookups, lookup_run, lookup)) {
		outside->lookup = NULL;
		free(lookup);
		(void)outside_lost(outside, "too many names are being looked up");
	}
}

/* The next address, if there is one. */
static bool outside_lost(struct outside *outside, const char *why)
{
	if (!outside->flow->bytes[SIDE_SERVER] && outside->flow->legs[SIDE_SERVER].fd < 0 && dial_next(outside))
		return true;
	outside->error = why;
	return false;
}

static void state_free(void *self)
{
	struct outside *outside = self;

	if (outside->lookup)
		outside->lookup->owner = NULL;
	buf_fini(&outside->first);
	free(outside);
}

/* Hooks of HTTP to the outside: one connection to one host. */

static bool host_fits(const struct outside *outside, struct view host)
{
	char canonical[HOST_NAME_MAX_BYTES];
	struct view port_text;
	struct view name = view_cut(host, ':', &port_text);
	uint64_t port = 80;

	if (port_text.at && !view_to_u64(port_text, &port))
		return false;
	return host_canonical(name, canonical) && strcmp(canonical, outside->host) == 0 && port == outside->port;
}

static enum http_verdict refuse(struct http_seam *seam, unsigned status, const char *why)
{
	struct outside *outside = seam->self;
	AUTO_FREE char *line = text_format(
		"assay: %s:%u may not be reached from this environment: %s (egress.rules in assay.yaml)\n", outside->host,
		outside->port, why);
	AUTO_FREE char *error = text_format("denied: %s", why);

	env_denied(seam->flow->env, seam->flow->from, outside->host, outside->port, why);
	http_seam_answer(seam, status, "", view_of(line), error);
	return HTTP_ANSWER;
}

/* The head goes out as it was understood, not as it came. */
static enum http_verdict outside_request(struct http_seam *seam, const struct http_head *head, struct buf *out)
{
	static const char *const dropped[] = {"proxy-connection", "proxy-authorization", NULL};
	struct outside *outside = seam->self;
	const char *why;

	if (outside->port == 80)
		seam->exchange.url = (free(seam->exchange.url),
				      text_format("http://%s%.*s", outside->host, (int)head->target.length, head->target.at));
	if (!policy_allows(seam->flow->env->policy, NULL, outside->host, outside->port, &why))
		return refuse(seam, 403, why);
	if (!host_fits(outside, head->host) || head->target.at[0] != '/')
		return refuse(seam, 421, "the request names another host than the connection was made to");
	if (view_is(head->method, "CONNECT"))
		return refuse(seam, 403, "CONNECT is not passed on");
	buf_add_view(out, head->method);
	buf_add_char(out, ' ');
	buf_add_view(out, head->target);
	buf_add_format(out, " HTTP/1.%u\r\n", head->minor);
	http_fields_write(out, head, dropped);
	buf_add_text(out, "\r\n");
	if (seam->flow->legs[SIDE_SERVER].fd < 0 && !outside->lookup)
		outside_dial(outside);
	return HTTP_PASS;
}

static bool outside_http_lost(struct http_seam *seam, const char *why)
{
	struct outside *outside = seam->self;
	AUTO_FREE char *line = text_format("assay: %s:%u: %s\n", outside->host, outside->port, why);

	if (outside_lost(outside, why))
		return true;
	flow_server_drop(seam->flow);
	http_seam_answer(seam, 502, "", view_of(line), why);
	return true;
}

static const struct http_seam_hooks outside_hooks = {
	.logged = true,
	.request = outside_request,
	.lost = outside_http_lost,
	.release = state_free,
};

static const struct http_seam_hooks stub_hooks = {.logged = true, .request = stub_request, .release = state_free};

/* Sniffing, and then passing on. */

static void sniff_http(struct outside *outside)
{
	struct flow *flow = outside->flow;

	flow->state = NULL; /* it goes on as the hooks' */
	flow_timer(flow, -1, NULL);
	http_seam_begin(flow, env_stub(flow->env, outside->host) ? &stub_hooks : &outside_hooks, outside);
	http_seam_feed(flow, buf_view(&outside->first));
}

static void sniff_tls(struct outside *outside)
{
	AUTO_BUF scratch = buf_new(HELLO_BYTES_MAX * 2);
	char name[HOST_NAME_MAX_BYTES];
	struct view found;
	const char *why;

	if (env_stub(outside->flow->env, outside->host)) {
		outside_refuse(outside, "a stub cannot answer TLS: use http://");
		return;
	}
	switch (hello_parse(buf_view(&outside->first), &scratch, &found)) {
	case HELLO_MORE:
		return;
	case HELLO_BAD:
		outside_refuse(outside, "what came is no TLS ClientHello");
		return;
	case HELLO_DONE:
		break;
	}
	if (!found.length)
		outside_refuse(outside, "TLS without a server name");
	else if (!host_canonical(found, name) || strcmp(name, outside->host) != 0)
		outside_refuse(outside, "TLS for another server name than the connection was made to");
	else if (!policy_allows(outside->flow->env->policy, NULL, outside->host, outside->port, &why))
		outside_refuse(outside, why);
	else {
		outside->sniffing = false;
		flow_write(outside->flow, SIDE_SERVER, buf_view(&outside->first));
		outside_dial(outside);
	}
}

static void outside_data(struct flow *flow, enum side from, struct view bytes)
{
	struct outside *outside = flow->state;

	if (!outside->sniffing) {
		flow->passes = true;
		flow_write(flow, from == SIDE_CLIENT ? SIDE_SERVER : SIDE_CLIENT, bytes);
		return;
	}
	buf_add_view(&outside->first, bytes);
	if (outside->first.at[0] == 22)
		sniff_tls(outside);
	else if (http_looks(buf_view(&outside->first)))
		sniff_http(outside);
	else if (!http_looks_more(buf_view(&outside->first)))
		outside_refuse(outside, "neither HTTP nor TLS");
}

static void outside_ended(struct flow *flow, enum side from)
{
	const struct outside *outside = flow->state;

	if (outside->sniffing)
		flow_close(flow, NULL);
	else
		flow_end(flow, from == SIDE_CLIENT ? SIDE_SERVER : SIDE_CLIENT);
}

static void outside_connected(struct flow *flow)
{
	flow_timer(flow, -1, NULL);
}

static bool outside_server_lost(struct flow *flow, const char *why)
{
	return outside_lost(flow->state, why);
}

static void outside_closing(struct flow *flow, const char *why)
{
	struct outside *outside = flow->state;

	if (flow->env->gone)
		return;
	if (!outside->sniffing || outside->error || why)
		outside_row(outside, outside->error ? outside->error : why);
}

static const struct flow_protocol outside_protocol = {"outside",           outside_data,    outside_ended, outside_connected,
						      outside_server_lost, outside_closing, state_free};

static void first_bytes_timed_out(struct flow *flow)
{
	flow_close(flow, "no first bytes");
}

void outside_begin(struct flow *flow, const char *host, uint16_t port)
{
	const json_t *stub = env_stub(flow->env, host);
	struct outside *outside;
	const char *why = NULL;

	if (!stub && !policy_allows(flow->env->policy, NULL, host, port, &why)) {
		AUTO_FREE char *kept = text_copy(host);

		entry_deny(flow, kept, port, why);
		return;
	}
	outside = mem_new(sizeof(*outside));
	outside->flow = flow;
	memcpy(outside->host, host, strlen(host) + 1);
	outside->port = port;
	outside->first = buf_new(SCRATCH_BYTES * 2);
	outside->sniffing = stub || port == 80 || port == 443;
	flow->to = text_copy(host);
	flow->outside = !stub;
	flow_protocol_set(flow, &outside_protocol, outside);
	if (outside->sniffing)
		flow_timer(flow, FIRST_BYTES_MS, first_bytes_timed_out);
	else
		outside_dial(outside); /* a port that a rule names: whatever it speaks */
}
