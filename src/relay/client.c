/*
 * The machine's side.
 *
 * Theory of operation: one control connection, which is begun again whenever it ends, after a pause that grows up to half a minute. The relay's name is
 * looked up on a thread of its own, since nothing on a loop may block; the address is kept for the visits of that connection.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/scope.h"
#include "base/world.h"
#include "net/pool.h"
#include "net/socket.h"
#include "relay/pair.h"
#include "relay/relay.h"
#include "relay/wire.h"

#define PAUSE_FIRST_MS 500
#define PAUSE_LONGEST_MS 30000
#define ANSWER_MS 15000 /* to be welcome */
#define IN_BYTES_MAX ((size_t)8 << 10)
#define ADDRESS_MAX (NI_MAXHOST + 10)

struct relay_client {
	struct loop *loop;
	struct pool *pool; /* looks the name up */
	char *host, *port;
	char *domain, *token, *forward;
	struct loop_watch watch;
	struct loop_timer timer; /* for the next try, or for an answer */
	int fd;                  /* -1: none */
	char address[ADDRESS_MAX];
	struct buf in, out;
	int64_t pause_ms;
	unsigned visits;
	bool welcome;
	bool refused; /* said once */
};

static void lookup_begin(struct relay_client *client);

static void control_end(struct relay_client *client, const char *why)
{
	int64_t jitter = world_now_ms(world_real) % (client->pause_ms / 4 + 1);

	if (client->welcome || client->pause_ms == PAUSE_FIRST_MS)
		log_warn("domain=%s the relay %s:%s: %s; trying again", client->domain, client->host, client->port, why);
	if (client->welcome)
		client->pause_ms = PAUSE_FIRST_MS;
	client->welcome = false;
	loop_watch_remove(client->loop, &client->watch);
	scope_close(&client->fd);
	client->fd = -1;
	buf_clear(&client->in);
	buf_clear(&client->out);
	loop_timer_set(client->loop, &client->timer, client->pause_ms + jitter);
	client->pause_ms = client->pause_ms * 2 < PAUSE_LONGEST_MS ? client->pause_ms * 2 : PAUSE_LONGEST_MS;
}

static void timed_out(struct loop_timer *timer)
{
	struct relay_client *client = (struct relay_client *)((char *)timer - offsetof(struct relay_client, timer));

	if (client->fd >= 0)
		control_end(client, "it does not answer");
	else
		lookup_begin(client);
}

/* ---- visits ---- */

static void visit_over(void *self)
{
	struct relay_client *client = self;

	client->visits--;
}

static void visit_begin(struct relay_client *client, struct view name)
{
	AUTO_BUF join = buf_new(WIRE_HEAD_BYTES + WIRE_BODY_MAX);
	AUTO_BUF body = buf_new(WIRE_BODY_MAX);
	unsigned char mac[WIRE_MAC_BYTES];
	AUTO_CLOSE int theirs = -1;
	AUTO_CLOSE int ours = -1;
	struct err err = {0};
	bool pending;

	if (client->visits >= RELAY_VISITS_MAX)
		return;
	wire_mac(client->token, WIRE_JOIN, name, client->domain, mac);
	buf_add_view(&body, name);
	buf_add(&body, mac, sizeof(mac));
	wire_add(&join, WIRE_JOIN, buf_view(&body));
	if (socket_connect_tcp(client->address, &theirs, &pending, &err) ||
	    socket_connect_tcp(client->forward, &ours, &pending, &err)) {
		log_warn("a visit is lost: %s", err.text);
		return;
	}
	client->visits++;
	if (!pair_new(client->loop, (const int[2]){TAKE_FD(theirs), TAKE_FD(ours)},
		      (const struct view[2]){buf_view(&join), VIEW("")}, visit_over, client, &err))
		log_warn("a visit is lost: %s", err.text);
}

/* ---- the control connection ---- */

static void control_say(struct relay_client *client, enum wire_kind kind, struct view body)
{
	wire_add(&client->out, kind, body);
	loop_watch_set(client->loop, &client->watch, LOOP_READ | LOOP_WRITE);
}

/* false: it is over. */
static bool frame_take(struct relay_client *client, const struct wire *wire)
{
	unsigned char mac[WIRE_MAC_BYTES];

	if (wire->kind == WIRE_CHALLENGE && !client->welcome) {
		wire_mac(client->token, WIRE_PROOF, wire->body, client->domain, mac);
		control_say(client, WIRE_PROOF, view_make(mac, sizeof(mac)));
	} else if (wire->kind == WIRE_WELCOME && !client->welcome) {
		client->welcome = true;
		client->refused = false;
		client->pause_ms = PAUSE_FIRST_MS;
		loop_timer_stop(client->loop, &client->timer);
		log_info("domain=%s is reached by the relay %s:%s", client->domain, client->host, client->port);
	} else if (wire->kind == WIRE_REFUSED) {
		if (!client->refused)
			log_error("domain=%s is refused by the relay %s:%s: the token is not this domain's", client->domain,
				  client->host, client->port);
		client->refused = true;
		client->pause_ms = PAUSE_LONGEST_MS;
		control_end(client, "it refuses");
		return false;
	} else if (wire->kind == WIRE_VISIT && client->welcome) {
		visit_begin(client, wire->body);
	} else {
		control_end(client, "it does not speak as a relay does");
		return false;
	}
	return true;
}

static void control_read(struct relay_client *client)
{
	char bytes[4096];
	ssize_t got = recv(client->fd, bytes, sizeof(bytes), 0);
	struct wire wire;
	enum wire_result result = WIRE_MORE;

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		control_end(client, got ? strerror(errno) : "it ended the connection");
		return;
	}
	buf_add(&client->in, bytes, (size_t)got);
	while (client->in.length && (result = wire_parse(buf_view(&client->in), &wire)) == WIRE_DONE) {
		size_t length = wire.bytes;

		if (!frame_take(client, &wire))
			return;
		buf_drop_front(&client->in, length);
	}
	if (result == WIRE_BAD || client->in.over)
		control_end(client, "it does not speak as a relay does");
}

static void control_ready(struct loop_watch *watch, unsigned events)
{
	struct relay_client *client = (struct relay_client *)((char *)watch - offsetof(struct relay_client, watch));
	int error = events & LOOP_BROKEN ? socket_error(client->fd) : 0;

	if (error || ((events & LOOP_BROKEN) && !(events & LOOP_READ))) {
		control_end(client, error ? strerror(error) : "it ended the connection");
		return;
	}
	if ((events & LOOP_WRITE) && client->out.length) {
		ssize_t sent = send(client->fd, client->out.at, client->out.length, MSG_NOSIGNAL);

		if (sent > 0)
			buf_drop_front(&client->out, (size_t)sent);
	}
	if (!client->out.length)
		loop_watch_set(client->loop, watch, LOOP_READ);
	if (events & LOOP_READ)
		control_read(client);
}

static void control_begin(struct relay_client *client)
{
	struct err err = {0};
	bool pending;

	if (socket_connect_tcp(client->address, &client->fd, &pending, &err)) {
		client->fd = -1;
		control_end(client, err.text);
		return;
	}
	socket_keep(client->fd);
	loop_timer_set(client->loop, &client->timer, ANSWER_MS);
	wire_add(&client->out, WIRE_REGISTER, view_of(client->domain));
	if (loop_watch_add(client->loop, &client->watch, client->fd, LOOP_READ | LOOP_WRITE, &err))
		control_end(client, err.text);
}

/* ---- the name ---- */

struct lookup {
	struct relay_client *client;
	char address[ADDRESS_MAX]; /* "" : it has none */
	int problem;
};

static void lookup_done(void *self)
{
	struct lookup *lookup = self;
	struct relay_client *client = lookup->client;

	memcpy(client->address, lookup->address, sizeof(client->address));
	if (lookup->problem)
		control_end(client, gai_strerror(lookup->problem));
	else
		control_begin(client);
	free(lookup);
}

static void lookup_run(void *self)
{
	struct lookup *lookup = self;
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV};
	struct addrinfo *found = NULL;
	char host[NI_MAXHOST];

	lookup->problem = getaddrinfo(lookup->client->host, lookup->client->port, &hints, &found);
	if (!lookup->problem)
		lookup->problem = getnameinfo(found->ai_addr, found->ai_addrlen, host, sizeof(host), NULL, 0, NI_NUMERICHOST);
	if (!lookup->problem)
		(void)snprintf(lookup->address, sizeof(lookup->address), strchr(host, ':') ? "[%s]:%s" : "%s:%s", host,
			       lookup->client->port);
	if (found)
		freeaddrinfo(found);
	loop_post(lookup->client->loop, lookup_done, lookup);
}

static void lookup_begin(struct relay_client *client)
{
	struct lookup *lookup = mem_new(sizeof(*lookup));

	lookup->client = client;
	if (pool_add(client->pool, lookup_run, lookup))
		return;
	free(lookup);
	control_end(client, "no thread to look its name up");
}

int relay_client_open(const struct relay_client_options *options, struct relay_client **client, struct err *err)
{
	struct view port;
	struct view host = view_cut(view_of(options->relay), ':', &port);
	size_t token = strlen(options->token);
	struct relay_client *made;
	uint64_t number;

	if (!host.length || !view_to_u64(port, &number) || !number || number > UINT16_MAX)
		return err_set(err, ERR_INVALID, "expected HOST:PORT, not `%.200s`", options->relay);
	if (!wire_domain_valid(view_of(options->domain)))
		return err_set(err, ERR_INVALID, "`%.200s` is no domain", options->domain);
	if (token < WIRE_TOKEN_MIN || token > WIRE_TOKEN_MAX)
		return err_set(err, ERR_INVALID, "the relay's token must have %d to %d characters", WIRE_TOKEN_MIN, WIRE_TOKEN_MAX);
	made = mem_new(sizeof(*made));
	*made = (struct relay_client){.loop = options->loop,
				      .pool = pool_new(1, 4, err),
				      .host = view_copy(host),
				      .port = view_copy(port),
				      .domain = text_copy(options->domain),
				      .token = text_copy(options->token),
				      .forward = text_copy(options->forward),
				      .watch = {.ready = control_ready},
				      .timer = {.expired = timed_out},
				      .fd = -1,
				      .in = buf_new(IN_BYTES_MAX),
				      .out = buf_new(IN_BYTES_MAX),
				      .pause_ms = PAUSE_FIRST_MS};
	if (!made->pool) {
		relay_client_close(made);
		return -1;
	}
	lookup_begin(made);
	*client = made;
	return 0;
}

void relay_client_close(struct relay_client *client)
{
	if (!client)
		return;
	pool_free(client->pool);
	loop_drain(client->loop);
	loop_watch_remove(client->loop, &client->watch);
	loop_timer_stop(client->loop, &client->timer);
	scope_close(&client->fd);
	buf_fini(&client->in);
	buf_fini(&client->out);
	explicit_bzero(client->token, strlen(client->token));
	free(client->host);
	free(client->port);
	free(client->domain);
	free(client->token);
	free(client->forward);
	free(client);
}
