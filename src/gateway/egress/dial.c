/* Names looked up, and the addresses found raced for. */
#include "gateway/egress/dial.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/scope.h"
#include "gateway/policy/policy.h"
#include "net/pool.h"
#include "net/socket.h"

#define ADDRESSES_MAX 8
#define NEXT_MS 250 /* the Connection Attempt Delay of RFC 8305, section 5 */
#define REMEMBERED_MAX 64

struct found {
	char host[HOST_NAME_MAX_BYTES];
	struct sockaddr_storage addresses[ADDRESSES_MAX];
	size_t count;
	bool private; /* an address that is not dialled was among them */
	int64_t at_ms;
};

struct dial_names {
	struct found rows[REMEMBERED_MAX]; /* by the name's hash; the later of two takes the place */
};

struct lookup {
	struct dial *owner; /* loop only; NULL when nobody waits any more */
	struct loop *loop;
	struct found found;
};

/* A connection under way to one of several addresses: who is first becomes the flow's. */
struct attempt {
	struct loop_watch watch;
	struct dial *dial;
	int fd; /* -1 when it is over */
};

struct dial {
	struct flow *flow;
	struct loop *loop;
	uint16_t port;
	struct lookup *lookup;
	struct found found;
	size_t next; /* address */
	struct attempt attempts[ADDRESSES_MAX];
	size_t attempt_count;
	struct loop_timer timer; /* to the next address */
};

struct dial_names *dial_names_new(void)
{
	return mem_new(sizeof(struct dial_names));
}

void dial_names_free(struct dial_names *names)
{
	free(names);
}

static struct found *row_of(struct flow *flow, const char *host)
{
	return &flow->worker->names->rows[view_hash(view_of(host)) % REMEMBERED_MAX];
}

static void port_set(struct sockaddr_storage *address, uint16_t port)
{
	if (address->ss_family == AF_INET)
		((struct sockaddr_in *)(void *)address)->sin_port = htons(port);
	else
		((struct sockaddr_in6 *)(void *)address)->sin6_port = htons(port);
}

static void dial_lost(struct dial *dial, const char *why)
{
	struct flow *flow = dial->flow;

	if (!flow->protocol->server_lost(flow, why))
		flow_close(flow, why);
}

static void attempt_end(struct attempt *attempt)
{
	loop_watch_remove(attempt->dial->loop, &attempt->watch);
	if (attempt->fd >= 0)
		(void)close(attempt->fd);
	attempt->fd = -1;
}

static void attempts_end(struct dial *dial)
{
	loop_timer_stop(dial->loop, &dial->timer);
	for (size_t i = 0; i < dial->attempt_count; i++)
		attempt_end(&dial->attempts[i]);
}

static bool attempts_wait(const struct dial *dial)
{
	for (size_t i = 0; i < dial->attempt_count; i++)
		if (dial->attempts[i].fd >= 0)
			return true;
	return false;
}

static void attempt_ready(struct loop_watch *watch, unsigned events)
{
	struct attempt *attempt = (struct attempt *)((char *)watch - offsetof(struct attempt, watch));
	struct dial *dial = attempt->dial;
	struct flow *flow = dial->flow;
	int error = socket_error(attempt->fd);

	(void)events;
	if (flow->closed)
		return;
	if (error) {
		attempt_end(attempt);
		if (!dial_again(dial) && !attempts_wait(dial))
			dial_lost(dial, error == ECONNREFUSED ? "connection refused" : strerror(error));
	} else {
		int fd = attempt->fd;

		loop_watch_remove(dial->loop, watch);
		attempt->fd = -1;
		attempts_end(dial);
		flow_server_set(flow, fd, true); /* which finds it connected */
	}
	flow_update(flow);
}

static void next_due(struct loop_timer *timer)
{
	struct dial *dial = (struct dial *)((char *)timer - offsetof(struct dial, timer));

	if (!dial->flow->closed)
		(void)dial_again(dial);
}

/* Its own descriptor from here on. */
static bool attempt_add(struct dial *dial, int fd)
{
	struct attempt *attempt = &dial->attempts[dial->attempt_count];
	struct err err;

	*attempt = (struct attempt){.watch = {.ready = attempt_ready}, .dial = dial, .fd = fd};
	if (loop_watch_add(dial->loop, &attempt->watch, fd, LOOP_WRITE, &err)) {
		(void)close(fd);
		return false;
	}
	dial->attempt_count++;
	dial->timer.expired = next_due;
	if (dial->next < dial->found.count)
		loop_timer_set(dial->loop, &dial->timer, NEXT_MS);
	return true;
}

bool dial_again(struct dial *dial)
{
	while (dial->next < dial->found.count) {
		struct sockaddr_storage *address = &dial->found.addresses[dial->next++];
		socklen_t length = address->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
		int fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

		port_set(address, dial->port);
		if (fd < 0 || (connect(fd, (const struct sockaddr *)address, length) != 0 && errno != EINPROGRESS)) {
			if (fd >= 0)
				(void)close(fd);
		} else if (dial->found.count == 1) { /* against nobody */
			flow_server_set(dial->flow, fd, true);
			return true;
		} else if (attempt_add(dial, fd)) {
			return true;
		}
	}
	return false;
}

/* The first of the addresses, or why there is none. */
static void dial_first(struct dial *dial)
{
	struct flow *flow = dial->flow;
	const struct found *found = &dial->found;
	const char *why;

	if (found->private && !found->count)
		env_denied(flow->env, flow->from, found->host, dial->port, "its name leads to a private address");
	if (dial_again(dial))
		return;
	why = found->count     ? "cannot be reached"
	      : found->private ? "its name leads to a private address"
			       : "its name is not known outside";
	dial_lost(dial, why);
}

/* On the loop: takes what was found; nothing but vetted addresses got here. */
static void lookup_done(void *self)
{
	struct lookup *lookup = self;
	struct dial *dial = lookup->owner;

	if (dial) {
		struct flow *flow = dial->flow;

		dial->lookup = NULL;
		dial->found = lookup->found;
		if (dial->found.count && !dial->found.at_ms) {
			dial->found.at_ms = loop_now_ms(flow->worker->loop);
			*row_of(flow, dial->found.host) = dial->found;
		}
		dial_first(dial);
		flow_update(flow);
	}
	free(lookup);
}

/* The family that the resolver put first, and the other one, in turn (RFC 8305, section 4). */
static void families_alternate(struct found *found)
{
	for (size_t i = 1; i < found->count; i++) {
		sa_family_t last = found->addresses[i - 1].ss_family;
		size_t other = i;
		struct sockaddr_storage taken;

		while (other < found->count && found->addresses[other].ss_family == last)
			other++;
		if (other == found->count)
			return;
		taken = found->addresses[other];
		memmove(&found->addresses[i + 1], &found->addresses[i], (other - i) * sizeof(taken));
		found->addresses[i] = taken;
	}
}

/* On the pool. */
static void lookup_run(void *self)
{
	struct lookup *lookup = self;
	struct found *found = &lookup->found;
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct addrinfo *list = NULL;

	if (getaddrinfo(found->host, NULL, &hints, &list) == 0) {
		for (struct addrinfo *at = list; at && found->count < ADDRESSES_MAX; at = at->ai_next) {
			if (!address_is_reachable(at->ai_addr)) {
				found->private = true;
				continue;
			}
			memcpy(&found->addresses[found->count++], at->ai_addr, at->ai_addrlen);
		}
		freeaddrinfo(list);
		families_alternate(found);
	}
	loop_post(lookup->loop, lookup_done, lookup);
}

struct dial *dial_begin(struct flow *flow, const char *host, uint16_t port)
{
	struct dial *dial = mem_new(sizeof(*dial));
	struct lookup *lookup = mem_new(sizeof(*lookup));
	const struct found *known = row_of(flow, host);

	*dial = (struct dial){.flow = flow, .loop = flow->worker->loop, .port = port, .lookup = lookup};
	lookup->owner = dial;
	lookup->loop = dial->loop;
	if (strcmp(known->host, host) == 0 && loop_now_ms(lookup->loop) - known->at_ms < DIAL_REMEMBERED_MS) {
		lookup->found = *known;
		loop_defer(lookup->loop, lookup_done, lookup); /* not now: the caller is not ready yet */
		return dial;
	}
	memcpy(lookup->found.host, host, strlen(host) + 1);
	if (!pool_add(flow->worker->lookups, lookup_run, lookup)) /* too many names are being looked up: none is found */
		loop_defer(lookup->loop, lookup_done, lookup);
	return dial;
}

bool dial_looks_up(const struct dial *dial)
{
	return dial->lookup;
}

void dial_free(struct dial *dial)
{
	if (!dial)
		return;
	if (dial->lookup)
		dial->lookup->owner = NULL;
	attempts_end(dial);
	free(dial);
}
